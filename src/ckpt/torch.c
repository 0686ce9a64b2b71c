#include "ckpt/torch_int.h"

#include "base/printable.h"
#include "base/stand_in.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- the zip ----------------------------------------------------------------------------------------------------- */

/* The one member <any>/data.pkl. */
static ts_status find_pickle(const ts_zip *z, const ts_zip_member **out, ts_err *err) {
    *out = NULL;
    for (size_t i = 0; i < z->n; i++) {
        const ts_span name = z->member[i].name;
        if (!ts_span_ends(name, "/data.pkl") && !ts_span_is(name, "data.pkl")) continue;
        if (*out)
            return ts_fail(err, TS_E_FORMAT,
                           "the zip has two members data.pkl (bytes %" PRIu64 " and %" PRIu64
                           "): which one is meant, cannot be known",
                           (*out)->header, z->member[i].header);
        *out = &z->member[i];
    }
    if (*out && (*out)->name.len > 9 && memchr((*out)->name.data, '/', (*out)->name.len - 9) == NULL) return TS_OK;
    return ts_fail(err, TS_E_FORMAT, "the zip has no member <name>/data.pkl, so it is no file of torch.save");
}

ts_status ts_torch_bad_storage(const ts_pstorage *s, const char *what, ts_err *err) {
    char key[64];
    ts_printable(key, sizeof key, s->key.data, s->key.len);
    return ts_fail(err, TS_E_FORMAT, "storage \"%s\" (offset %zu of data.pkl): %s", key, s->at, what);
}

/* What helps where the pickle, or what it says, is refused. */
static ts_status advise(ts_status s, ts_err *err) {
    if (s == TS_E_FORMAT || s == TS_E_UNSUPP || s == TS_E_LIMIT)
        ts_err_add(err, "; %ssave its weights anew, as safetensors or a state dict",
                   s == TS_E_FORMAT ? "download the file again, or " : "");
    return s;
}

/* A key is the last part of a member's name, and nothing that could lead elsewhere. */
static bool plain_key(ts_span key) {
    if (key.len == 0 || key.len > 255 || key.data[0] == '.') return false;
    for (size_t i = 0; i < key.len; i++)
        if (key.data[i] <= ' ' || key.data[i] == '/' || key.data[i] == '\\' || key.data[i] == ':') return false;
    return true;
}

static ts_status find_storages(ts_torch *t, const ts_pickle *p, ts_span folder, ts_err *err) {
    const ts_zip *z = &t->zip;
    for (ts_pstorage *s = p->storages; s; s = s->next) {
        if (!plain_key(s->key)) return ts_torch_bad_storage(s, "a key that is no plain name: refused", err);
        const ts_zip_member *m = ts_zip_find(z, folder, s->key);
        if (!m) return ts_torch_bad_storage(s, "the zip has no such member: the file is incomplete", err);
        uint64_t bytes;
        if (__builtin_mul_overflow(s->n, s->dtype ? s->dtype->bytes : 1, &bytes) || bytes != m->size)
            return ts_torch_bad_storage(s, "its member in the zip has another size than the pickle says", err);
        s->offset = m->offset;
        s->member = (size_t)(m - z->member);
    }
    return TS_OK;
}

/* Little-endian, and no program of TorchScript. folder: "<name>/". */
static ts_status check_kind(const ts_zip *z, ts_span folder, ts_err *err) {
    if (ts_zip_find(z, folder, ts_span_str("constants.pkl")))
        return ts_fail(err, TS_E_UNSUPP,
                       "a TorchScript archive (torch.jit.save), which is a program: save the model's "
                       "state_dict() with torch.save, or as safetensors");
    const ts_zip_member *order = ts_zip_find(z, folder, ts_span_str("byteorder"));
    if (!order) return TS_OK;
    TS_TRY(ts_zip_check(z, order, err));
    if (order->size == 6 && memcmp(z->file.data + order->offset, "little", 6) == 0) return TS_OK;
    return ts_fail(err, TS_E_UNSUPP, "byte %" PRIu64 ": the byte order is not \"little\": save it on such a machine",
                   order->offset);
}

static ts_status read_zip(ts_torch *t, ts_pickle *p, ts_err *err) {
    const ts_zip_member *m = NULL;
    TS_TRY(ts_zip_open(&t->zip, t->file, err));
    TS_TRY(find_pickle(&t->zip, &m, err));
    const ts_span folder = {m->name.data, m->name.len - strlen("data.pkl")};
    TS_TRY(check_kind(&t->zip, folder, err));
    TS_TRY(ts_zip_check(&t->zip, m, err));
    ts_status s = ts_pickle_run(p, (ts_span){t->file.data + m->offset, (size_t)m->size}, err);
    if (s != TS_OK) return advise(ts_err_prefix(err, s, "data.pkl"), err);
    ts_buf data = {0};
    if (!ts_buf_append(&data, folder.data, folder.len) || !ts_buf_puts(&data, "data/")) {
        ts_buf_free(&data);
        return ts_fail_nomem(err, "the names of members", folder.len);
    }
    s = find_storages(t, p, (ts_span){(const uint8_t *)data.data, data.len}, err);
    ts_buf_free(&data);
    if (s != TS_OK) return advise(s, err);
    t->member = ts_calloc(t->zip.n, sizeof *t->member);
    return t->member ? TS_OK : ts_fail_nomem(err, "the zip's members", t->zip.n * sizeof *t->member);
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static ts_status not_torch(ts_span file, ts_err *err) {
    if (file.len == 0) return ts_fail(err, TS_E_FORMAT, "the file is empty");
    TS_TRY(ts_no_stand_in(file, err));
    return ts_fail(err, TS_E_FORMAT, "byte 0: neither a zip nor a pickle, so it is no file of torch.save");
}

static ts_status read_file(ts_torch *t, ts_err *err) {
    ts_pickle p = {0};
    ts_status s;
    if (ts_zip_looks(t->file)) s = read_zip(t, &p, err);
    else if (ts_span_begins(t->file, "\x80")) s = advise(ts_torch_read_legacy(t, &p, err), err);
    else s = not_torch(t->file, err);
    if (s == TS_OK) s = advise(ts_torch_walk(t, &p, err), err);
    ts_pickle_free(&p);
    return s;
}

/* The rest of both ways of opening: t->map or t->file is there. Takes t. */
static ts_status finish_open(ts_torch **out, ts_torch *t, const char *path, ts_err *err) {
    t->path = ts_strdup(path);
    ts_status s = t->path ? read_file(t, err) : ts_fail_nomem(err, path, strlen(path));
    if (s != TS_OK) {
        ts_torch_close(t);
        /* of a long path the end says most */
        const size_t n = strlen(path);
        return ts_err_prefix(err, s, "%s%s", n > 160 ? "..." : "", n > 160 ? path + n - 160 : path);
    }
    *out = t;
    return TS_OK;
}

ts_status ts_torch_open(ts_torch **out, const char *path, ts_err *err) {
    *out = NULL;
    ts_torch *t = ts_calloc(1, sizeof *t);
    if (!t) return ts_fail_nomem(err, path, sizeof *t);
    const ts_status s = ts_map_open(&t->map, path, err);
    if (s != TS_OK) {
        ts_free(t);
        return s;
    }
    t->file = (ts_span){t->map.data, t->map.len};
    return finish_open(out, t, path, err);
}

ts_status ts_torch_open_mem(ts_torch **out, ts_span bytes, const char *name, ts_err *err) {
    *out = NULL;
    ts_torch *t = ts_calloc(1, sizeof *t);
    if (!t) return ts_fail_nomem(err, name, sizeof *t);
    t->file = bytes;
    return finish_open(out, t, name, err);
}

void ts_torch_close(ts_torch *t) {
    if (!t) return;
    ts_zip_close(&t->zip);
    ts_map_close(&t->map);
    ts_free(t->path);
    ts_free(t->member);
    ts_free(t->array);
    ts_free(t->ints);
    ts_arena_free(&t->arena);
    ts_free(t);
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

size_t ts_torch_n(const ts_torch *t) {
    return t->n;
}

const ts_array *ts_torch_at(const ts_torch *t, size_t i) {
    return &t->array[i].array;
}

bool ts_torch_int(const ts_torch *t, const char *name, int64_t *v) {
    for (size_t low = 0, high = t->n_ints; low < high;) {
        const size_t mid = low + (high - low) / 2;
        const int c = strcmp(t->ints[mid].name, name);
        if (c == 0) {
            *v = t->ints[mid].v;
            return true;
        }
        if (c < 0) low = mid + 1;
        else high = mid;
    }
    return false;
}

ts_status ts_torch_check(ts_torch *t, size_t i, ts_err *err) {
    torch_member *m = &t->member[t->array[i].member];
    if (m->checked || !t->zip.member) return TS_OK;
    const ts_status s = ts_zip_check(&t->zip, &t->zip.member[t->array[i].member], err);
    if (s != TS_OK) return ts_err_prefix(err, s, "%s: tensor %.100s", t->path, t->array[i].array.name);
    m->checked = true;
    return TS_OK;
}

void ts_torch_release(const ts_torch *t, size_t i, uint64_t first, uint64_t len) {
    const uint64_t at = t->array[i].array.offset;
    if (first <= t->file.len - at) ts_map_dontneed(&t->map, (size_t)(at + first), (size_t)len);
}

const ts_map *ts_torch_map(const ts_torch *t) {
    return &t->map;
}

ts_status ts_torch_unchanged(const ts_torch *t, ts_err *err) {
    return ts_map_check(&t->map, t->path, err);
}
