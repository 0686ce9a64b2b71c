/* torch_legacy.c - files from before PyTorch 1.6: pickles one behind the other (magic, version, system, the object, the
 * list of storages), then the storages in the order of that list, each with its number of elements in front. */
#include "ckpt/torch_int.h"

#include <inttypes.h>
#include <stdlib.h>

static const uint8_t magic[] = {0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19};

typedef struct stored {
    ts_span key;
    const ts_pdtype *dtype;
    size_t number; /* in the list of the file */
    uint64_t offset, n;
} stored;

static int by_key(const void *a, const void *b) {
    const ts_span x = ((const stored *)a)->key, y = ((const stored *)b)->key;
    const size_t n = x.len < y.len ? x.len : y.len;
    const int c = n ? memcmp(x.data, y.data, n) : 0;
    return c ? c : (x.len > y.len) - (x.len < y.len);
}

static int by_number(const void *a, const void *b) {
    const size_t x = ((const stored *)a)->number, y = ((const stored *)b)->number;
    return (x > y) - (x < y);
}

/* The next pickle of the file. */
static ts_status next_pickle(const ts_torch *t, size_t *at, ts_pickle *p, const char *what, ts_err *err) {
    const size_t rest = t->file.len - *at;
    const ts_span in = {t->file.data + *at, rest < TS_PICKLE_MAX ? rest : TS_PICKLE_MAX};
    const ts_status s = ts_pickle_run(p, in, err);
    if (s != TS_OK) return ts_err_prefix(err, s, "the pickle of %s at byte %zu", what, *at);
    *at += p->used;
    return TS_OK;
}

/* A file of another kind that begins with a pickle ends here. */
static ts_status read_head(const ts_torch *t, size_t *at, ts_err *err) {
    ts_pickle p;
    TS_TRY(next_pickle(t, at, &p, "the magic number", err));
    const bool ours = p.root->kind == TS_PK_BIG && p.root->text.len == sizeof magic &&
                      memcmp(p.root->text.data, magic, sizeof magic) == 0;
    ts_pickle_free(&p);
    if (!ours) return ts_fail(err, TS_E_FORMAT, "a pickle, but no file of torch.save");
    TS_TRY(next_pickle(t, at, &p, "the version", err));
    const bool known = p.root->kind == TS_PK_INT && p.root->i == 1001;
    ts_pickle_free(&p);
    if (!known)
        return ts_fail(err, TS_E_UNSUPP, "a version of the old format that is not known");
    TS_TRY(next_pickle(t, at, &p, "the system", err));
    bool big = false;
    if (p.root->kind == TS_PK_DICT)
        for (const ts_pitem *it = p.root->first; it; it = it->next)
            big = big || (ts_pval_is(it->key, "little_endian") && it->value->kind == TS_PK_BOOL && !it->value->i);
    ts_pickle_free(&p);
    return big ? ts_fail(err, TS_E_UNSUPP, "the byte order is big-endian") : TS_OK;
}

/* Where the storages of the list lie. They are sorted by key before and after. */
static ts_status place_storages(const ts_torch *t, size_t at, stored *all, size_t n, ts_err *err) {
    ts_reader r = {.in = t->file, .pos = at};
    qsort(all, n, sizeof *all, by_number);
    for (size_t i = 0; i < n; i++) {
        const size_t begin = r.pos;
        all[i].n = ts_read_u64(&r);
        all[i].offset = r.pos;
        uint64_t bytes;
        if (!all[i].dtype)
            return ts_fail(err, TS_E_FORMAT, "byte %zu: a storage that no tensor has, so its size is not known", begin);
        if (__builtin_mul_overflow(all[i].n, all[i].dtype->bytes, &bytes)) r.fail = true;
        ts_read_bytes(&r, bytes);
        if (r.fail)
            return ts_fail(err, TS_E_FORMAT,
                           "byte %zu: storage %zu of %zu reaches beyond the end of the file", begin, i + 1, n);
    }
    qsort(all, n, sizeof *all, by_key);
    return TS_OK;
}

static stored *find(const ts_pstorage *s, stored *all, size_t n) {
    const stored wanted = {.key = s->key};
    return n ? bsearch(&wanted, all, n, sizeof *all, by_key) : NULL;
}

static ts_status find_storages(const ts_torch *t, size_t at, const ts_pickle *p, stored *all, size_t n, ts_err *err) {
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 1; i < n; i++)
        if (by_key(&all[i - 1], &all[i]) == 0) return ts_fail(err, TS_E_FORMAT, "two storages have the same key");
    for (const ts_pstorage *s = p->storages; s; s = s->next) {
        stored *found = find(s, all, n);
        if (!found) return ts_torch_bad_storage(s, "it is not in the list of storages: the file is damaged", err);
        if (!s->dtype || (found->dtype && found->dtype != s->dtype))
            return ts_torch_bad_storage(s, "it has two types of elements, or none", err);
        found->dtype = s->dtype;
    }
    TS_TRY(place_storages(t, at, all, n, err));
    for (ts_pstorage *s = p->storages; s; s = s->next) {
        const stored *found = find(s, all, n);
        if (found->n != s->n) return ts_torch_bad_storage(s, "it has another size than the pickle says", err);
        s->offset = found->offset;
        s->member = found->number;
    }
    return TS_OK;
}

/* The list of keys becomes *all, sorted by nothing yet. */
static ts_status read_keys(const ts_pickle *keys, stored **all, size_t *n, ts_err *err) {
    if (keys->root->kind != TS_PK_LIST) return ts_fail(err, TS_E_FORMAT, "the list of storages is no list");
    *n = 0;
    *all = ts_alloc((size_t)keys->root->n, sizeof **all);
    if (!*all) return ts_fail_nomem(err, "the list of storages", (size_t)keys->root->n * sizeof **all);
    for (const ts_pitem *it = keys->root->first; it; it = it->next, ++*n) {
        if (it->value->kind != TS_PK_STR || it->value->text.len > 255)
            return ts_fail(err, TS_E_FORMAT, "the key of a storage is no string, or longer than 255 bytes");
        (*all)[*n] = (stored){.key = it->value->text, .number = *n};
    }
    return TS_OK;
}

ts_status ts_torch_read_legacy(ts_torch *t, ts_pickle *p, ts_err *err) {
    size_t at = 0, n = 0;
    ts_pickle keys = {0};
    stored *all = NULL;
    TS_TRY(read_head(t, &at, err));
    TS_TRY(next_pickle(t, &at, p, "the tensors", err));
    ts_status s = next_pickle(t, &at, &keys, "the list of storages", err);
    if (s == TS_OK) s = read_keys(&keys, &all, &n, err);
    if (s == TS_OK) s = find_storages(t, at, p, all, n, err);
    ts_free(all);
    ts_pickle_free(&keys);
    if (s != TS_OK) return s;
    t->member = ts_calloc(n, sizeof *t->member);
    return t->member ? TS_OK : ts_fail_nomem(err, "the list of storages", n * sizeof *t->member);
}
