#include "source/hf_index.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/span.h"
#include "base/stand_in.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { INDEX_MAX = 16 << 20, NAME_BYTES = 64 << 10, FILES_MAX = 4096, FOLDER_ENTRIES = 100000 };

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void names_free(ts_hf_names *l) {
    for (size_t i = 0; i < l->n; i++) ts_free(l->name[i]);
    ts_free(l->name);
    *l = (ts_hf_names){0};
}

static ts_status names_add(ts_hf_names *l, const char *name, ts_err *err) {
    char *copy = ts_strdup(name);
    if (!copy || !ts_grow((void **)&l->name, &l->cap, l->n + 1, sizeof *l->name)) {
        ts_free(copy);
        return ts_fail_nomem(err, "a file name", strlen(name));
    }
    l->name[l->n++] = copy;
    return TS_OK;
}

static bool names_have(const ts_hf_names *l, const char *name) {
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->name[i], name)) return true;
    return false;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static ts_status list_folder(ts_hf_names *out, const char *dir, ts_err *err) {
    DIR *d = opendir(dir);
    if (!d) return ts_fail_os(err, TS_E_IO, errno, "%s: cannot be listed", dir);
    ts_status st = TS_OK;
    while (st == TS_OK) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e && errno) st = ts_fail_os(err, TS_E_IO, errno, "%s: cannot be listed to its end", dir);
        if (!e) break;
        if (e->d_name[0] == '.') continue;
        st = out->n == FOLDER_ENTRIES ? ts_fail(err, TS_E_LIMIT, "%s: more than %d files", dir, (int)FOLDER_ENTRIES)
                                      : names_add(out, e->d_name, err);
    }
    closedir(d);
    if (st == TS_OK && out->n) qsort(out->name, out->n, sizeof *out->name, by_text);
    return st;
}

/* ---- kinds of files ---------------------------------------------------------------------------------------------- */

typedef struct kind {
    const char *single; /* what the file is called where there is one */
    const char *parts;  /* how the names of several begin */
    const char *ending[4];
} kind;
static const kind safe_kind = {"model.safetensors", "model-", {".safetensors"}},
                  torch_kind = {"pytorch_model.bin", "pytorch_model-", {".bin", ".pt", ".pth"}};

/* Weights of something else than the model: adapters, states of training, Meta's own form beside the common one. */
static bool is_other(const char *name) {
    static const char *const begin[] = {"adapter_",  "optimizer",     "scheduler", "scaler",
                                        "tokenizer", "training_args", "rng_state", "consolidated"};
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (ts_begins(name, begin[i])) return true;
    return false;
}

static bool is_of(const kind *k, ts_span name) {
    for (const char *const *e = k->ending; *e; e++)
        if (ts_span_ends(name, *e)) return true;
    return false;
}

static bool is_weights(const kind *k, const char *name) {
    return is_of(k, ts_span_str(name)) && !is_other(name);
}

static bool is_index(const kind *k, const char *name) {
    static const char end[] = ".index.json";
    const ts_span s = ts_span_str(name);
    return ts_span_ends(s, end) && !is_other(name) && is_of(k, (ts_span){s.data, s.len - strlen(end)});
}

static bool any(const ts_hf_names *all, const kind *k, bool (*is)(const kind *k, const char *name)) {
    for (size_t i = 0; i < all->n; i++)
        if (is(k, all->name[i])) return true;
    return false;
}

/* "model-00002-of-00003.safetensors": the second of three, and how much of the name is common to all. */
static bool is_shard(const char *name, unsigned *nth, unsigned *of, size_t *common) {
    const char *dash = strrchr(name, '-');
    if (!dash || dash - name < 9) return false;
    while (dash > name && strncmp(dash, "-of-", 4) != 0) dash--;
    if (dash - name < 6 || sscanf(dash - 6, "-%5u-of-%5u", nth, of) != 2) return false;
    *common = (size_t)(dash - 5 - name);
    return true;
}

/* Several files without an index must be all parts of one model. */
static ts_status check_shards(const char *dir, const ts_hf_names *l, ts_err *err) {
    unsigned nth, of;
    size_t common;
    for (size_t i = 0; l->n > 1 && i < l->n; i++) {
        if (!is_shard(l->name[i], &nth, &of, &common))
            return ts_fail(err, TS_E_FORMAT, "%s: %s and %s: which of them is the model? Name the file", dir,
                           l->name[0], l->name[1]);
        if (of != l->n)
            return ts_fail(err, TS_E_FORMAT, "%s: %s is one of %u parts, but %zu are there", dir, l->name[i], of, l->n);
    }
    if (l->n == 1 && is_shard(l->name[0], &nth, &of, &common) && of > 1)
        return ts_fail(err, TS_E_FORMAT, "%s: %s is one of %u parts; the others are not there", dir, l->name[0], of);
    return TS_OK;
}

/* ---- an index ---------------------------------------------------------------------------------------------------- */

/* A file of this folder, by a name that goes nowhere else. */
static bool is_plain_name(ts_span s) {
    if (!s.len || s.len > 255 || s.data[0] == '.') return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < 32 || s.data[i] == '/' || s.data[i] == '\\' || s.data[i] == 127) return false;
    return true;
}

static ts_status check_map(const ts_jval *map, const char *path, ts_err *err) {
    char shown[80];
    if (!map || map->type != TS_JSON_OBJECT || !map->n)
        return ts_fail(err, TS_E_FORMAT, "%s: there is no weight_map with tensors", path);
    for (const ts_jval *v = map->first; v; v = v->next) {
        const ts_span key = v->key;
        if (!key.len || key.len > NAME_BYTES || memchr(key.data, 0, key.len)) {
            ts_printable(shown, sizeof shown, key.data, key.len);
            return ts_fail(err, TS_E_FORMAT, "%s: \"%s\" is no name of a tensor: it is %s", path, shown,
                           !key.len               ? "empty"
                           : key.len > NAME_BYTES ? "longer than 64 KiB"
                                                  : "one with a NUL in it");
        }
        if (v->type == TS_JSON_STRING && is_plain_name(v->text)) continue;
        ts_printable(shown, sizeof shown, v->source.data, v->source.len);
        return ts_fail(err, TS_E_FORMAT, "%s: %s is not the name of a file in this folder", path, shown);
    }
    return TS_OK;
}

static ts_status parse_index(ts_hf_files *x, const char *path, ts_err *err) {
    const ts_jval *root = NULL;
    const char *text = x->text.data ? x->text.data : "";
    ts_status st = ts_no_stand_in((ts_span){(const uint8_t *)text, x->text.len}, err);
    if (st == TS_OK) st = ts_jtree_parse(&root, &x->arena, text, x->text.len, &(ts_jlimits){.values = 1 << 22}, err);
    if (st != TS_OK) return ts_err_prefix(err, st, "%s", path);
    const ts_jval *map = ts_jval_get(root, "weight_map");
    TS_TRY(check_map(map, path, err));
    x->map = map;
    return TS_OK;
}

static void forget_index(ts_hf_files *x) {
    ts_buf_free(&x->text);
    ts_arena_free(&x->arena);
    x->map = NULL;
    x->index[0] = 0;
}

static ts_status read_index(ts_hf_files *x, const char *dir, const char *name, ts_err *err) {
    char *path = ts_path_join(dir, name);
    if (!path) return ts_fail_nomem(err, "a path", strlen(dir));
    snprintf(x->index, sizeof x->index, "%s", name);
    ts_status st = ts_file_read(&x->text, path, INDEX_MAX, err);
    if (st == TS_OK) st = parse_index(x, path, err);
    ts_free(path);
    return st;
}

/* The files that it names, each once. */
static ts_status index_files(ts_hf_files *x, ts_err *err) {
    const char **all = ts_alloc(x->map->n, sizeof *all);
    size_t n = 0;
    if (!all) return ts_fail_nomem(err, "the files of an index", x->map->n * sizeof *all);
    for (const ts_jval *v = x->map->first; v; v = v->next) all[n++] = (const char *)v->text.data;
    qsort(all, n, sizeof *all, by_text);
    ts_status st = TS_OK;
    for (size_t i = 0; i < n && st == TS_OK; i++) {
        if (i && !strcmp(all[i - 1], all[i])) continue;
        st = x->files.n == FILES_MAX ? ts_fail(err, TS_E_LIMIT, "an index of more than %d files", (int)FILES_MAX)
                                     : names_add(&x->files, all[i], err);
    }
    ts_free(all);
    return st;
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

static void usual_index(const kind *k, char *out, size_t len) {
    snprintf(out, len, "%s.index.json", k->single);
}

/* The index beside a file that holds all: followed only where it is of what is there. */
static ts_status index_beside(ts_hf_files *x, const ts_hf_names *all, const kind *k, const char *dir, ts_err *err) {
    char name[64];
    ts_err own = {0};
    usual_index(k, name, sizeof name);
    if (!names_have(all, name)) return TS_OK;
    const ts_status st = read_index(x, dir, name, &own);
    if (st == TS_E_NOMEM) return ts_fail_nomem(err, "an index", INDEX_MAX);
    bool fits = st == TS_OK;
    for (const ts_jval *v = fits ? x->map->first : NULL; v && fits; v = v->next)
        fits = names_have(all, (const char *)v->text.data);
    if (fits) return TS_OK;
    ts_log(TS_LOG_INFO, "%s: %s is taken, not %s, whose files are not all there", dir, k->single, name);
    forget_index(x);
    return TS_OK;
}

static bool index_names_file(const ts_hf_files *x, const char *file) {
    for (const ts_jval *v = x->map->first; v; v = v->next)
        if (ts_jval_is(v, file)) return true;
    return false;
}

/* The index, that of the usual name before others. `part`: one that names it; NULL: any. */
static ts_status find_index(ts_hf_files *x, const ts_hf_names *all, const kind *k, const char *dir, const char *part,
                            ts_err *err) {
    char usual[64];
    usual_index(k, usual, sizeof usual);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < all->n; i++) {
            if (!is_index(k, all->name[i]) || (round == 0) != !strcmp(all->name[i], usual)) continue;
            TS_TRY(read_index(x, dir, all->name[i], err));
            if (!part || index_names_file(x, part)) return TS_OK;
            forget_index(x);
        }
    return TS_OK;
}

/* The files of this kind whose names begin with these bytes; parts: of parts alone. */
static ts_status collect(ts_hf_names *out, const ts_hf_names *all, const kind *k, const char *begin, size_t n,
                         bool parts, ts_err *err) {
    unsigned nth, of;
    size_t common;
    for (size_t i = 0; i < all->n; i++) {
        const char *name = all->name[i];
        if (!is_weights(k, name) || strncmp(name, begin, n) != 0) continue;
        if (parts && (!is_shard(name, &nth, &of, &common) || common != n)) continue;
        TS_TRY(names_add(out, name, err));
    }
    return TS_OK;
}

static ts_status choose_named(ts_hf_files *x, const ts_hf_names *all, const kind *k, const char *dir, const char *only,
                              ts_err *err) {
    unsigned nth, of;
    size_t common;
    if (ts_begins(only, "adapter_"))
        return ts_fail(err, TS_E_UNSUPP, "%s/%s: an adapter (LoRA), not a model; merge it into its model first", dir,
                       only);
    if (!is_shard(only, &nth, &of, &common)) return names_add(&x->files, only, err);
    TS_TRY(find_index(x, all, k, dir, only, err));
    if (x->map) return index_files(x, err);
    TS_TRY(collect(&x->files, all, k, only, common, true, err));
    return x->files.n ? check_shards(dir, &x->files, err) : names_add(&x->files, only, err);
}

static ts_status choose_kind(ts_hf_files *x, const ts_hf_names *all, const kind *k, const char *dir, ts_err *err) {
    const bool single = names_have(all, k->single);
    TS_TRY(single ? index_beside(x, all, k, dir, err) : find_index(x, all, k, dir, NULL, err));
    if (x->map) return index_files(x, err);
    if (single) return names_add(&x->files, k->single, err);
    TS_TRY(collect(&x->files, all, k, k->parts, strlen(k->parts), true, err));
    if (!x->files.n) TS_TRY(collect(&x->files, all, k, "", 0, false, err));
    return check_shards(dir, &x->files, err);
}

/* What a folder without weights may be. */
static ts_status no_weights(const ts_hf_names *all, const char *dir, ts_err *err) {
    for (size_t i = 0; i < all->n; i++) {
        if (ts_begins(all->name[i], "adapter_"))
            return ts_fail(err, TS_E_UNSUPP, "%s: an adapter (LoRA) without its model; merge it into the model first",
                           dir);
        if (ts_ends(all->name[i], ".gguf"))
            return ts_fail(err, TS_E_FORMAT, "%s: a folder of GGUF files; name one: %s/%s", dir, dir, all->name[i]);
        if (ts_begins(all->name[i], "consolidated"))
            return ts_fail(err, TS_E_UNSUPP,
                           "%s: weights in Meta's or Mistral's own form (%s); take the folder in Hugging Face's form",
                           dir, all->name[i]);
    }
    return ts_fail(err, TS_E_FORMAT, "%s: no model is there: neither a GGUF file nor *.safetensors, *.bin, *.pt, *.pth",
                   dir);
}

static ts_status choose(ts_hf_files *x, const ts_hf_names *all, const char *dir, const char *only, ts_err *err) {
    const bool safe = any(all, &safe_kind, is_weights), torch = any(all, &torch_kind, is_weights);
    if (only) {
        x->torch = is_of(&torch_kind, ts_span_str(only));
        return choose_named(x, all, x->torch ? &torch_kind : &safe_kind, dir, only, err);
    }
    x->torch = torch && !safe;
    if (!safe && !torch && !any(all, &safe_kind, is_index)) return no_weights(all, dir, err);
    if (safe && torch) ts_log(TS_LOG_INFO, "%s: safetensors are taken, not the PyTorch files beside them", dir);
    return choose_kind(x, all, x->torch ? &torch_kind : &safe_kind, dir, err);
}

ts_status ts_hf_files_choose(ts_hf_files *out, const char *dir, const char *only, ts_err *err) {
    ts_hf_names all = {0};
    *out = (ts_hf_files){0};
    ts_status st = list_folder(&all, dir, err);
    if (st == TS_OK) st = choose(out, &all, dir, only, err);
    names_free(&all);
    if (st != TS_OK) ts_hf_files_free(out);
    return st;
}

void ts_hf_files_free(ts_hf_files *f) {
    names_free(&f->files);
    forget_index(f);
}
