#include "source/hf_folder.h"
#include "base/json_tree.h"
#include "base/log.h"
#include "base/printable.h"
#include "ckpt/safetensors.h"
#include "ckpt/torch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { INDEX_MAX = 16 << 20, FILES_MAX = 4096, FOLDER_ENTRIES = 100000 };

/* A file of weights: one of the two is there. */
typedef struct part {
    char *path, *name; /* name: without the folder */
    ts_safetensors *safe;
    ts_torch *torch;
    size_t first; /* of ts_hf_folder.array: this file's */
} part;

typedef struct named {
    ts_array array; /* its `file` says which part */
    bool used;
} named;

struct ts_hf_folder {
    char *dir;
    part *part;
    size_t n_parts, cap_parts;
    named *array; /* [n] in the order of the files */
    uint32_t *by_name;
    size_t n;
    char prefix[64]; /* of all names of the text model, and what it stands for: "model." */
};

/* ---- the files --------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}
static bool begins_with(const char *s, const char *with) {
    return !strncmp(s, with, strlen(with));
}

/* Names of files in a folder. */
typedef struct names {
    char **name;
    size_t n, cap;
} names;

static void names_free(names *l) {
    for (size_t i = 0; i < l->n; i++) ts_free(l->name[i]);
    ts_free(l->name);
    *l = (names){0};
}

static ts_status names_add(names *l, const char *name, size_t len, ts_err *err) {
    char *copy = ts_strndup(name, len);
    if (!copy || !ts_grow((void **)&l->name, &l->cap, l->n + 1, sizeof *l->name)) {
        ts_free(copy);
        return ts_fail_nomem(err, "a file name", len);
    }
    l->name[l->n++] = copy;
    return TS_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static ts_status list_folder(names *out, const char *dir, ts_err *err) {
    DIR *d = opendir(dir);
    if (!d) return ts_fail(err, TS_E_IO, "%s: cannot be listed: %s", dir, strerror(errno));
    ts_status st = TS_OK;
    for (struct dirent *e; st == TS_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        st = out->n == FOLDER_ENTRIES ? ts_fail(err, TS_E_LIMIT, "%s: more than %d files", dir, (int)FOLDER_ENTRIES)
                                      : names_add(out, e->d_name, strlen(e->d_name), err);
    }
    closedir(d);
    if (st == TS_OK && out->n) qsort(out->name, out->n, sizeof *out->name, by_text);
    return st;
}

/* Weights of something else than the model: adapters, states of training, Meta's own form beside the common one. */
static bool is_other(const char *name) {
    static const char *const begin[] = {"adapter_",      "optimizer", "scheduler",
                                        "training_args", "rng_state", "consolidated"};
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (begins_with(name, begin[i])) return true;
    return false;
}

/* The files that the names with this ending are, and the index, if there is one. */
static ts_status collect(names *out, const names *all, const char *const *ending, ts_err *err) {
    for (size_t i = 0; i < all->n; i++)
        for (const char *const *e = ending; *e; e++)
            if (ends_with(all->name[i], *e) && !is_other(all->name[i])) {
                TS_TRY(names_add(out, all->name[i], strlen(all->name[i]), err));
                break;
            }
    return TS_OK;
}

static bool is_shard(const char *name, unsigned *nth, unsigned *of) {
    const char *dash = strrchr(name, '-');
    if (!dash || dash - name < 9) return false;
    while (dash > name && strncmp(dash, "-of-", 4) != 0) dash--;
    return dash - name >= 6 && sscanf(dash - 6, "-%5u-of-%5u", nth, of) == 2;
}

/* Several files without an index must be all parts of one model. */
static ts_status check_shards(const char *dir, const names *l, ts_err *err) {
    unsigned nth, of;
    for (size_t i = 0; l->n > 1 && i < l->n; i++) {
        if (!is_shard(l->name[i], &nth, &of))
            return ts_fail(err, TS_E_FORMAT, "%s: %s and %s: which of them is the model? Name the file", dir,
                           l->name[0], l->name[1]);
        if (of != l->n)
            return ts_fail(err, TS_E_FORMAT, "%s: %s is one of %u parts, but %zu are there", dir, l->name[i], of, l->n);
    }
    if (l->n == 1 && is_shard(l->name[0], &nth, &of) && of > 1)
        return ts_fail(err, TS_E_FORMAT, "%s: %s is one of %u parts; the others are not there", dir, l->name[0], of);
    return TS_OK;
}

/* ---- the index --------------------------------------------------------------------------------------------------- */

/* A file of this folder, by a name that goes nowhere else. */
static bool is_plain_name(ts_span s) {
    if (!s.len || s.len > 255 || s.data[0] == '.') return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < 32 || s.data[i] == '/' || s.data[i] == '\\' || s.data[i] == 127) return false;
    return true;
}

typedef struct index_file {
    ts_buf text;
    ts_arena arena;
    const ts_jval *map; /* tensor: file */
    char name[64];
} index_file;

static void index_free(index_file *x) {
    ts_buf_free(&x->text);
    ts_arena_free(&x->arena);
}

static ts_status index_read(index_file *x, const char *dir, const char *name, ts_err *err) {
    char *path = ts_path_join(dir, name);
    if (!path) return ts_fail_nomem(err, "a path", strlen(dir));
    ts_status st = ts_file_read(&x->text, path, INDEX_MAX, err);
    const ts_jval *root = NULL;
    if (st == TS_OK) {
        st = ts_jtree_parse(&root, &x->arena, x->text.data ? x->text.data : "", x->text.len,
                            &(ts_jlimits){.values = 1 << 22}, err);
        if (st != TS_OK) ts_err_prefix(err, st, "%s", path);
    }
    if (st == TS_OK) {
        x->map = ts_jval_get(root, "weight_map");
        if (!x->map || x->map->type != TS_JSON_OBJECT || !x->map->n)
            st = ts_fail(err, TS_E_FORMAT, "%s: there is no weight_map with tensors", path);
    }
    for (const ts_jval *v = st == TS_OK ? x->map->first : NULL; v && st == TS_OK; v = v->next)
        if (v->type != TS_JSON_STRING || !is_plain_name(v->text)) {
            char shown[80];
            ts_printable(shown, sizeof shown, v->source.data, v->source.len);
            st = ts_fail(err, TS_E_FORMAT, "%s: %s is not the name of a file in this folder", path, shown);
        }
    ts_free(path);
    return st;
}

/* The files that it names, each once. */
static ts_status index_files(names *out, const index_file *x, ts_err *err) {
    const char **all = ts_alloc(x->map->n, sizeof *all);
    size_t n = 0;
    if (!all) return ts_fail_nomem(err, "the files of an index", x->map->n * sizeof *all);
    for (const ts_jval *v = x->map->first; v; v = v->next) all[n++] = (const char *)v->text.data;
    qsort(all, n, sizeof *all, by_text);
    ts_status st = TS_OK;
    for (size_t i = 0; i < n && st == TS_OK; i++) {
        if (i && !strcmp(all[i - 1], all[i])) continue;
        st = out->n == FILES_MAX ? ts_fail(err, TS_E_LIMIT, "an index of more than %d files", (int)FILES_MAX)
                                 : names_add(out, all[i], strlen(all[i]), err);
    }
    ts_free(all);
    return st;
}

static size_t find_array(const ts_hf_folder *f, const char *name);

/* The index and the files have the same tensors in the same places. */
static ts_status index_compare(const index_file *x, const ts_hf_folder *f, ts_err *err) {
    bool *seen = ts_calloc(f->n, sizeof *seen);
    if (!seen) return ts_fail_nomem(err, "the list of tensors", f->n);
    ts_status st = TS_OK;
    for (const ts_jval *v = x->map->first; v && st == TS_OK; v = v->next) {
        const size_t i = find_array(f, (const char *)v->key.data);
        if (i == SIZE_MAX) {
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s, which %s names, is in none of the files", f->dir,
                         (const char *)v->key.data, x->name);
            break;
        }
        seen[i] = true;
        const part *p = &f->part[f->array[i].array.file];
        if (strcmp(p->name, (const char *)v->text.data) != 0)
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s is in %s, not in %s as %s says", f->dir,
                         f->array[i].array.name, p->name, (const char *)v->text.data, x->name);
    }
    for (size_t i = 0; i < f->n && st == TS_OK; i++)
        if (!seen[i])
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s in %s is not in %s", f->dir, f->array[i].array.name,
                         f->part[f->array[i].array.file].name, x->name);
    ts_free(seen);
    return st;
}

/* ---- the arrays -------------------------------------------------------------------------------------------------- */

static ts_status add_part(ts_hf_folder *f, const char *name, bool torch, ts_err *err) {
    if (!ts_grow((void **)&f->part, &f->cap_parts, f->n_parts + 1, sizeof *f->part))
        return ts_fail_nomem(err, "the list of files", (f->n_parts + 1) * sizeof *f->part);
    part *p = &f->part[f->n_parts++];
    *p = (part){.name = ts_strdup(name), .path = ts_path_join(f->dir, name), .first = f->n};
    if (!p->name || !p->path) return ts_fail_nomem(err, "a path", strlen(name));
    TS_TRY(torch ? ts_torch_open(&p->torch, p->path, err) : ts_safetensors_open(&p->safe, p->path, err));
    f->n += torch ? ts_torch_n(p->torch) : ts_safetensors_n(p->safe);
    return TS_OK;
}

/* A merge of our own: qsort's comparison would need the array in a global. */
static void sort_names(const named *array, uint32_t *a, uint32_t *tmp, size_t n) {
    if (n < 2) return;
    const size_t h = n / 2;
    sort_names(array, a, tmp, h);
    sort_names(array, a + h, tmp, n - h);
    memcpy(tmp, a, h * sizeof *tmp);
    for (size_t i = 0, k = h, to = 0; i < h; to++) {
        const bool left = k == n || strcmp(array[tmp[i]].array.name, array[a[k]].array.name) <= 0;
        a[to] = left ? tmp[i++] : a[k++];
    }
}

static ts_status index_names(ts_hf_folder *f, ts_err *err) {
    uint32_t *tmp = ts_alloc(f->n, sizeof *tmp);
    f->by_name = ts_alloc(f->n, sizeof *f->by_name);
    f->array = ts_calloc(f->n, sizeof *f->array);
    if (!tmp || !f->by_name || !f->array || f->n > UINT32_MAX) {
        ts_free(tmp);
        return ts_fail_nomem(err, "the list of tensors", f->n * sizeof *f->array);
    }
    for (size_t k = 0, i = 0; k < f->n_parts; k++) {
        const part *p = &f->part[k];
        const size_t n = p->safe ? ts_safetensors_n(p->safe) : ts_torch_n(p->torch);
        for (size_t a = 0; a < n; a++, i++) {
            f->array[i].array = p->safe ? *ts_safetensors_at(p->safe, a) : *ts_torch_at(p->torch, a);
            f->array[i].array.file = (int)k;
            f->by_name[i] = (uint32_t)i;
        }
    }
    sort_names(f->array, f->by_name, tmp, f->n);
    ts_free(tmp);
    for (size_t i = 1; i < f->n; i++) {
        const ts_array *a = &f->array[f->by_name[i - 1]].array, *b = &f->array[f->by_name[i]].array;
        if (!strcmp(a->name, b->name))
            return ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s is in %s and in %s", f->dir, a->name,
                           f->part[a->file].name, f->part[b->file].name);
    }
    return TS_OK;
}

/* Where the name is, or where it would stand (`at`). */
static size_t search(const ts_hf_folder *f, const char *name, size_t *at) {
    size_t lo = 0, hi = f->n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int c = strcmp(f->array[f->by_name[mid]].array.name, name);
        if (!c) return f->by_name[mid];
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    if (at) *at = lo;
    return SIZE_MAX;
}
static size_t find_array(const ts_hf_folder *f, const char *name) {
    return search(f, name, NULL);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static const char *const safe_endings[] = {".safetensors", NULL};
static const char *const torch_endings[] = {".bin", ".pt", ".pth", NULL};

static ts_status open_set(ts_hf_folder *f, names *files, index_file *x, bool torch, ts_err *err) {
    if (!x->map) TS_TRY(check_shards(f->dir, files, err));
    for (size_t i = 0; i < files->n; i++) {
        char *path = ts_path_join(f->dir, files->name[i]);
        const bool there = path && ts_file_exists(path);
        ts_free(path);
        if (path && !there)
            return ts_fail(err, TS_E_IO, "%s: %s is missing%s%s", f->dir, files->name[i], x->map ? "; named by " : "",
                           x->map ? x->name : "");
        TS_TRY(add_part(f, files->name[i], torch, err));
    }
    TS_TRY(index_names(f, err));
    return x->map ? index_compare(x, f, err) : TS_OK;
}

/* The index of this kind, wherever it is called: model.safetensors.index.json, pytorch_model.bin.index.json. */
static ts_status find_index(index_file *x, const ts_hf_folder *f, const names *all, bool torch, ts_err *err) {
    for (size_t i = 0; i < all->n; i++) {
        if (!ends_with(all->name[i], torch ? ".bin.index.json" : ".safetensors.index.json") || is_other(all->name[i]))
            continue;
        snprintf(x->name, sizeof x->name, "%s", all->name[i]);
        return index_read(x, f->dir, all->name[i], err);
    }
    return TS_OK;
}

static ts_status open_one_set(ts_hf_folder *f, const names *all, const char *only, bool torch, ts_err *err) {
    index_file x = {0};
    names files = {0};
    unsigned nth, of;
    ts_status st = TS_OK;
    /* a file that is named is taken alone, unless it is a part of the whole */
    if (!only || is_shard(only, &nth, &of)) st = find_index(&x, f, all, torch, err);
    if (st == TS_OK && x.map) st = index_files(&files, &x, err);
    else if (st == TS_OK && only && !is_shard(only, &nth, &of)) st = names_add(&files, only, strlen(only), err);
    else if (st == TS_OK) st = collect(&files, all, torch ? torch_endings : safe_endings, err);
    if (st == TS_OK) st = open_set(f, &files, &x, torch, err);
    names_free(&files);
    index_free(&x);
    return st;
}

/* What a folder without weights may be. */
static ts_status no_weights(const ts_hf_folder *f, const names *all, ts_err *err) {
    for (size_t i = 0; i < all->n; i++) {
        if (begins_with(all->name[i], "adapter_"))
            return ts_fail(err, TS_E_UNSUPP, "%s: an adapter (LoRA) without its model; merge it into the model first",
                           f->dir);
        if (ends_with(all->name[i], ".gguf"))
            return ts_fail(err, TS_E_FORMAT, "%s: a folder of GGUF files; name one: %s/%s", f->dir, f->dir,
                           all->name[i]);
        if (begins_with(all->name[i], "consolidated"))
            return ts_fail(err, TS_E_UNSUPP,
                           "%s: weights in Meta's or Mistral's own form (%s); take the folder in "
                           "Hugging Face's form",
                           f->dir, all->name[i]);
    }
    return ts_fail(err, TS_E_FORMAT, "%s: no model is there: neither a GGUF file nor *.safetensors, *.bin, *.pt, *.pth",
                   f->dir);
}

static bool any(const names *all, const char *const *ending) {
    for (size_t i = 0; i < all->n; i++)
        for (const char *const *e = ending; *e; e++)
            if (ends_with(all->name[i], *e) && !is_other(all->name[i])) return true;
    return false;
}

static ts_status open_files(ts_hf_folder *f, const names *all, const char *only, ts_err *err) {
    if (only) {
        bool torch = false;
        for (const char *const *e = torch_endings; *e; e++) torch |= ends_with(only, *e);
        return open_one_set(f, all, only, torch, err);
    }
    const bool safe = any(all, safe_endings) || any(all, (const char *const[]){".safetensors.index.json", NULL}),
               torch = any(all, torch_endings);
    if (!safe && !torch) return no_weights(f, all, err);
    if (safe && torch) ts_log(TS_LOG_INFO, "%s: safetensors are taken, not the PyTorch files beside them", f->dir);
    return open_one_set(f, all, NULL, !safe, err);
}

/* Models with more than text have the text model under a name of its own. */
static void find_prefix(ts_hf_folder *f) {
    static const char *const known[] = {"", "language_model.", "model.language_model."};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s%sembed_tokens.weight", known[i], i == 2 ? "" : "model.");
        if (find_array(f, name) == SIZE_MAX) continue;
        snprintf(f->prefix, sizeof f->prefix, "%s", known[i]);
        return;
    }
}

ts_status ts_hf_folder_open(ts_hf_folder **out, const char *path, ts_err *err) {
    ts_hf_folder *f = ts_calloc(1, sizeof *f);
    if (!f) return ts_fail_nomem(err, "a folder", sizeof *f);
    const bool dir = ts_file_is_dir(path);
    const char *slash = strrchr(path, '/');
    size_t len = dir ? strlen(path) : slash ? (size_t)(slash - path) : 0;
    while (dir && len > 1 && path[len - 1] == '/') len--;
    f->dir = dir || slash ? ts_strndup(len || !slash ? path : "/", len ? len : 1) : ts_strdup(".");
    names all = {0};
    ts_status st = f->dir ? list_folder(&all, f->dir, err) : ts_fail_nomem(err, "a path", strlen(path));
    if (st == TS_OK) st = open_files(f, &all, dir ? NULL : slash ? slash + 1 : path, err);
    names_free(&all);
    if (st != TS_OK) {
        ts_hf_folder_close(f);
        return st;
    }
    find_prefix(f);
    *out = f;
    return TS_OK;
}

void ts_hf_folder_close(ts_hf_folder *f) {
    if (!f) return;
    for (size_t i = 0; i < f->n_parts; i++) {
        ts_safetensors_close(f->part[i].safe);
        ts_torch_close(f->part[i].torch);
        ts_free(f->part[i].path);
        ts_free(f->part[i].name);
    }
    ts_free(f->part);
    ts_free(f->array);
    ts_free(f->by_name);
    ts_free(f->dir);
    ts_free(f);
}

/* ---- access ------------------------------------------------------------------------------------------------------ */

const char *ts_hf_folder_dir(const ts_hf_folder *f) {
    return f->dir;
}
int ts_hf_folder_n_files(const ts_hf_folder *f) {
    return (int)f->n_parts;
}
const char *ts_hf_folder_file(const ts_hf_folder *f, int i) {
    return f->part[i].path;
}
bool ts_hf_folder_is_torch(const ts_hf_folder *f) {
    return f->n_parts && f->part[0].torch;
}
size_t ts_hf_folder_n_arrays(const ts_hf_folder *f) {
    return f->n;
}

const ts_map *ts_hf_folder_map(const ts_hf_folder *f, int i) {
    if (i < 0 || (size_t)i >= f->n_parts) return NULL;
    return f->part[i].safe ? ts_safetensors_map(f->part[i].safe) : ts_torch_map(f->part[i].torch);
}

uint64_t ts_hf_folder_bytes(const ts_hf_folder *f) {
    uint64_t n = 0;
    for (size_t i = 0; i < f->n; i++) n += f->array[i].array.bytes;
    return n;
}

/* The name as this folder has it. */
static const char *full_name(const ts_hf_folder *f, const char *name, char *buf, size_t len) {
    if (!*f->prefix) return name;
    const bool inner = !strcmp(f->prefix, "model.language_model.") && begins_with(name, "model.");
    if (!strcmp(f->prefix, "model.language_model.") && !inner) return name; /* lm_head stands outside */
    snprintf(buf, len, "%s%s", f->prefix, inner ? name + 6 : name);
    return buf;
}

const ts_array *ts_hf_folder_find(ts_hf_folder *f, const char *name) {
    char buf[640];
    const size_t i = find_array(f, full_name(f, name, buf, sizeof buf));
    if (i == SIZE_MAX) return NULL;
    f->array[i].used = true;
    return &f->array[i].array;
}

bool ts_hf_folder_has(const ts_hf_folder *f, const char *prefix) {
    char buf[640];
    size_t at = 0;
    const char *name = full_name(f, prefix, buf, sizeof buf);
    if (search(f, name, &at) != SIZE_MAX) return true;
    return at < f->n && begins_with(f->array[f->by_name[at]].array.name, name);
}

/* Follows from the configuration, or is of another sense than text. */
static bool means_nothing(const char *name) {
    static const char *const ending[] = {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
                                         ".rotary_emb.cos_cached", ".rotary_emb.sin_cached"};
    static const char *const begin[] = {"vision_tower.",          "visual.",
                                        "multi_modal_projector.", "model.visual.",
                                        "model.vision_tower.",    "model.multi_modal_projector.",
                                        "vision_model."};
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (ends_with(name, ending[i])) return true;
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (begins_with(name, begin[i])) return true;
    return false;
}

const ts_array *ts_hf_folder_unused(const ts_hf_folder *f, size_t *i) {
    for (; *i < f->n; ++*i)
        if (!f->array[*i].used && !means_nothing(f->array[*i].array.name)) return &f->array[(*i)++].array;
    return NULL;
}

/* From data of the array to the file. */
static size_t nth_of(const ts_hf_folder *f, const ts_array *a) {
    const size_t all = (size_t)((const named *)(const void *)a - f->array); /* `array` is its first member */
    return all - f->part[a->file].first;
}

void ts_hf_folder_release(const ts_hf_folder *f, const ts_array *a, size_t first, size_t len) {
    const part *p = &f->part[a->file];
    if (first >= a->bytes) return;
    if (len > a->bytes - first) len = a->bytes - first;
    if (p->safe) ts_map_dontneed(ts_safetensors_map(p->safe), (size_t)a->offset + first, len);
    else ts_torch_release(p->torch, nth_of(f, a), first, len);
}

void ts_hf_folder_fetch(const ts_hf_folder *f, const ts_array *a, size_t first, size_t len) {
    const part *p = &f->part[a->file];
    if (first >= a->bytes || !p->safe) return;
    if (len > a->bytes - first) len = a->bytes - first;
    ts_map_willneed(ts_safetensors_map(p->safe), (size_t)a->offset + first, len);
}

ts_status ts_hf_folder_check(ts_hf_folder *f, const ts_array *a, ts_err *err) {
    const part *p = &f->part[a->file];
    return p->torch ? ts_torch_check(p->torch, nth_of(f, a), err) : TS_OK;
}

ts_status ts_hf_folder_unchanged(const ts_hf_folder *f, ts_err *err) {
    for (size_t i = 0; i < f->n_parts; i++) {
        const part *p = &f->part[i];
        if (p->safe) TS_TRY(ts_map_check(ts_safetensors_map(p->safe), p->path, err));
        else TS_TRY(ts_torch_unchanged(p->torch, err));
    }
    return TS_OK;
}
