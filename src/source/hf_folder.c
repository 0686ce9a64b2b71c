#include "source/hf_folder.h"
#include "ckpt/safetensors.h"
#include "ckpt/torch.h"
#include "source/hf_index.h"

#include <stdio.h>
#include <sys/stat.h>

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

/* ---- the index --------------------------------------------------------------------------------------------------- */

static size_t find_array(const ts_hf_folder *f, const char *name);

/* The index and the files have the same tensors in the same places. */
static ts_status index_compare(const ts_hf_files *x, const ts_hf_folder *f, ts_err *err) {
    bool *seen = ts_calloc(f->n, sizeof *seen);
    if (!seen) return ts_fail_nomem(err, "the list of tensors", f->n);
    ts_status st = TS_OK;
    for (const ts_jval *v = x->map->first; v && st == TS_OK; v = v->next) {
        const size_t i = find_array(f, (const char *)v->key.data);
        if (i == SIZE_MAX) {
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s, which %s names, is in none of the files", f->dir,
                         (const char *)v->key.data, x->index);
            break;
        }
        seen[i] = true;
        const part *p = &f->part[f->array[i].array.file];
        if (strcmp(p->name, (const char *)v->text.data) != 0)
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s is in %s, not in %s as %s says", f->dir,
                         f->array[i].array.name, p->name, (const char *)v->text.data, x->index);
    }
    for (size_t i = 0; i < f->n && st == TS_OK; i++)
        if (!seen[i])
            st = ts_fail(err, TS_E_FORMAT, "%s: tensor %.100s in %s is not in %s", f->dir, f->array[i].array.name,
                         f->part[f->array[i].array.file].name, x->index);
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

static ts_status not_there(const ts_hf_folder *f, const ts_hf_files *x, const char *name, const char *path,
                           ts_err *err) {
    struct stat st;
    const bool link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
    return ts_fail(err, TS_E_IO, "%s: %s is %s%s%s", f->dir, name,
                   link ? "a link to a file that is not there; fetch the model again" : "missing",
                   x->map ? "; named by " : "", x->map ? x->index : "");
}

static ts_status open_files(ts_hf_folder *f, const ts_hf_files *x, ts_err *err) {
    for (size_t i = 0; i < x->files.n; i++) {
        char *path = ts_path_join(f->dir, x->files.name[i]);
        if (!path) return ts_fail_nomem(err, "a path", strlen(f->dir));
        const ts_status st = ts_file_exists(path) ? TS_OK : not_there(f, x, x->files.name[i], path, err);
        ts_free(path);
        TS_TRY(st);
        TS_TRY(add_part(f, x->files.name[i], x->torch, err));
    }
    TS_TRY(index_names(f, err));
    return x->map ? index_compare(x, f, err) : TS_OK;
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
    ts_hf_files x = {0};
    ts_status st = f->dir ? ts_hf_files_choose(&x, f->dir,
                                               dir     ? NULL
                                               : slash ? slash + 1
                                                       : path,
                                               err)
                          : ts_fail_nomem(err, "a path", strlen(path));
    if (st == TS_OK) st = open_files(f, &x, err);
    ts_hf_files_free(&x);
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
    const bool inner = !strcmp(f->prefix, "model.language_model.") && ts_begins(name, "model.");
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
    return at < f->n && ts_begins(f->array[f->by_name[at]].array.name, name);
}

const ts_array *ts_hf_folder_at(const ts_hf_folder *f, size_t i) {
    return i < f->n ? &f->array[i].array : NULL;
}

void ts_hf_folder_skip(ts_hf_folder *f, const char *prefix) {
    char buf[640];
    size_t at = 0;
    const char *name = full_name(f, prefix, buf, sizeof buf);
    search(f, name, &at);
    for (; at < f->n && ts_begins(f->array[f->by_name[at]].array.name, name); at++)
        f->array[f->by_name[at]].used = true;
}

bool ts_hf_folder_int(const ts_hf_folder *f, const char *name, int64_t *v) {
    char buf[640];
    name = full_name(f, name, buf, sizeof buf);
    for (size_t i = 0; i < f->n_parts; i++)
        if (f->part[i].torch && ts_torch_int(f->part[i].torch, name, v)) return true;
    return false;
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
        if (ts_ends(name, ending[i])) return true;
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (ts_begins(name, begin[i])) return true;
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
