#include "hub/hub_listing.h"

#include "base/json_pull.h"
#include "base/printable.h"
#include "hub/hub_mask.h"

#include <stdlib.h>
#include <strings.h>

enum { INDEX_MAX = 2000 };

void ts_hub_files_free(ts_hub_files *f) {
    ts_arena_free(&f->arena);
    ts_free(f->item);
    *f = (ts_hub_files){0};
}

ts_status ts_hub_files_add(ts_hub_files *f, const char *path, size_t len, uint64_t size, const char *hash,
                           ts_err *err) {
    const char *fault = ts_hub_path_fault(path, len);
    if (ts_hub_has_token(path, len, f->token)) fault = "it has your token in it";
    if (f->n + f->n_refused >= TS_HUB_FILES_MAX)
        return ts_fail(err, TS_E_LIMIT, "the repository has more than %d files", TS_HUB_FILES_MAX);
    if (fault) {
        if (f->n_refused++ == 0) {
            f->fault = fault;
            ts_printable(f->refused, sizeof f->refused, path, len);
            ts_hub_mask(f->refused, f->token);
        }
        return TS_OK;
    }
    if (!ts_grow((void **)&f->item, &f->cap, f->n + 1, sizeof *f->item))
        return ts_fail_nomem(err, "the list of files", (f->n + 1) * sizeof *f->item);
    ts_hub_file *e = &f->item[f->n];
    *e = (ts_hub_file){.path = ts_arena_strndup(&f->arena, path, len), .size = size};
    if (!e->path) return ts_fail_nomem(err, "the list of files", len);
    strcpy(e->hash, hash);
    f->n++;
    return TS_OK;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* Why an answer of status 200 is no JSON is seldom the hub's doing. */
static ts_status not_json(const ts_json *j, const char *what, const char *json, size_t len, ts_err *err) {
    ts_status s = ts_json_status(j, err);
    if (s != TS_E_FORMAT) return s;
    size_t i = 0;
    while (i < len && strchr(" \t\r\n", json[i])) i++;
    if (i < len && json[i] == '<')
        return ts_fail(err, s,
                       "%s is a web page and not JSON: does this network want a login, or is a proxy in "
                       "between?",
                       what);
    return ts_err_prefix(err, s, "%s is not what it should be", what);
}

static void put_hash(char out[65], ts_span s) {
    if (ts_hub_is_hash((const char *)s.data, s.len)) memcpy(out, s.data, s.len), out[s.len] = 0;
}

/* A size that can be one; false: it is none, and *fault says so. */
static bool read_size(ts_json *j, uint64_t *out, const char **fault) {
    const bool is_number = ts_json_peek(j) == TS_JSON_NUMBER;
    const ts_span text = is_number ? ts_json_number(j) : (ts_span){0};
    uint64_t v = 0;
    if (!is_number) ts_json_skip(j);
    bool fits = text.len > 0 && text.len < 16;
    for (size_t i = 0; fits && i < text.len; i++) {
        fits = text.data[i] >= '0' && text.data[i] <= '9';
        v = v * 10 + (uint64_t)(text.data[i] - '0');
    }
    fits = fits && v <= (uint64_t)TS_HUB_SIZE_MAX;
    if (fits) *out = v;
    else *fault = "its size cannot be one";
    return fits;
}

static bool is_null(ts_json *j) {
    if (ts_json_peek(j) != TS_JSON_NULL) return false;
    ts_json_null(j);
    return true;
}

struct entry {
    ts_buf path;
    bool has_path, is_file, has_size, has_lfs;
    const char *fault; /* what of it cannot be */
    uint64_t size, lfs_size;
    char oid[65], lfs_oid[65];
};

static void read_hash(ts_json *j, char out[65]) {
    ts_span s;
    if (ts_json_peek(j) != TS_JSON_STRING) ts_json_skip(j);
    else if (ts_json_string(j, &s)) put_hash(out, s);
}

static void read_lfs(ts_json *j, struct entry *e) {
    ts_span key;
    if (is_null(j)) return;
    e->has_lfs = true;
    if (ts_json_peek(j) != TS_JSON_OBJECT) {
        e->fault = "what it says of a large file is none";
        ts_json_skip(j);
        return;
    }
    bool said = false;
    ts_json_object(j);
    while (ts_json_key(j, &key))
        if (ts_span_is(key, "oid")) read_hash(j, e->lfs_oid);
        else if (ts_span_is(key, "size")) said = read_size(j, &e->lfs_size, &e->fault) || said;
        else ts_json_skip(j);
    if (strlen(e->lfs_oid) != 64) *e->lfs_oid = 0; /* the pointer's, perhaps; the file's is a SHA-256 */
    if (!said && !e->fault) e->fault = "it is a large file without a size";
}

static bool read_entry(ts_json *j, struct entry *e) {
    ts_span key, s;
    ts_buf path = e->path;
    ts_buf_clear(&path);
    *e = (struct entry){.path = path};
    bool ok = true;
    ts_json_object(j);
    while (ts_json_key(j, &key)) {
        const ts_json_type type = ts_json_peek(j);
        if (ts_span_is(key, "path") && type == TS_JSON_STRING) {
            if (ts_json_string(j, &s))
                ts_buf_clear(&e->path), e->has_path = ok = ok && ts_buf_append(&e->path, s.data, s.len);
        } else if (ts_span_is(key, "type") && type == TS_JSON_STRING) {
            if (ts_json_string(j, &s)) e->is_file = ts_span_is(s, "file");
        } else if (ts_span_is(key, "size")) {
            if (!is_null(j)) e->has_size = read_size(j, &e->size, &e->fault);
        } else if (ts_span_is(key, "oid")) {
            read_hash(j, e->oid);
        } else if (ts_span_is(key, "lfs")) {
            read_lfs(j, e);
        } else {
            ts_json_skip(j);
        }
    }
    if (!e->has_size && !e->fault) e->fault = "it has no size";
    return ok;
}

/* Where both sizes are there they are one; a listing that contradicts itself gives no hash to go by. */
static const char *hash_of(const struct entry *e) {
    return e->has_lfs && e->lfs_size != e->size ? "" : e->has_lfs ? e->lfs_oid : e->oid;
}

static ts_status add_entry(ts_hub_files *f, const struct entry *e, ts_err *err) {
    const size_t before = f->n;
    TS_TRY(ts_hub_files_add(f, e->path.data ? e->path.data : "", e->path.len, e->size, hash_of(e), err));
    if (f->n > before) f->item[before].fault = e->fault;
    return TS_OK;
}

ts_status ts_hub_files_page(ts_hub_files *f, const char *json, size_t len, ts_err *err) {
    ts_json j;
    struct entry e = {0};
    ts_status s = TS_OK;
    ts_json_init(&j, json, len);
    ts_json_array(&j);
    while (s == TS_OK && ts_json_item(&j)) {
        if (!read_entry(&j, &e)) s = ts_fail_nomem(err, "the list of files", e.path.len);
        if (s != TS_OK || j.bad || !e.is_file) continue;
        s = add_entry(f, &e, err);
    }
    if (s == TS_OK) ts_json_end(&j);
    if (s == TS_OK && j.bad) s = not_json(&j, "the hub's list of files", json, len, err);
    ts_json_fini(&j);
    ts_buf_free(&e.path);
    return s;
}

static void read_license(ts_json *j, ts_hub_info *out) {
    ts_span key, s;
    if (ts_json_peek(j) != TS_JSON_OBJECT) {
        ts_json_skip(j);
        return;
    }
    ts_json_object(j);
    while (ts_json_key(j, &key))
        if (ts_span_is(key, "license") && ts_json_peek(j) == TS_JSON_STRING) {
            if (ts_json_string(j, &s)) ts_printable(out->license, sizeof out->license, s.data, s.len);
        } else {
            ts_json_skip(j);
        }
}

/* false, null, or a word that says how. */
static bool read_yes(ts_json *j) {
    switch (ts_json_peek(j)) {
    case TS_JSON_BOOL:
        return ts_json_bool(j);
    case TS_JSON_STRING:
        ts_json_skip(j);
        return true;
    default:
        ts_json_skip(j);
        return false;
    }
}

ts_status ts_hub_info_parse(ts_hub_info *out, const char *json, size_t len, ts_err *err) {
    ts_json j;
    ts_span key, s;
    *out = (ts_hub_info){0};
    ts_json_init(&j, json, len);
    ts_json_object(&j);
    while (ts_json_key(&j, &key))
        if (ts_span_is(key, "sha")) {
            if (ts_json_string(&j, &s) && ts_hub_is_commit((const char *)s.data, s.len))
                memcpy(out->commit, s.data, s.len);
        } else if (ts_span_is(key, "id") && ts_json_peek(&j) == TS_JSON_STRING) {
            if (ts_json_string(&j, &s) && ts_hub_is_repo((const char *)s.data, s.len)) memcpy(out->id, s.data, s.len);
        } else if (ts_span_is(key, "gated")) {
            out->gated = read_yes(&j);
        } else if (ts_span_is(key, "private")) {
            out->closed = read_yes(&j);
        } else if (ts_span_is(key, "disabled")) {
            out->disabled = read_yes(&j);
        } else if (ts_span_is(key, "cardData")) {
            read_license(&j, out);
        } else {
            ts_json_skip(&j);
        }
    ts_json_end(&j);
    if (!j.bad && !*out->commit) ts_json_fail(&j, "there is no commit in it (sha)");
    ts_status st = j.bad ? not_json(&j, "the hub's answer about the model", json, len, err) : TS_OK;
    ts_json_fini(&j);
    return st;
}

ts_status ts_hub_index_parse(ts_arena *arena, const char ***path, size_t *n, const char *json, size_t len,
                             ts_err *err) {
    ts_json j;
    ts_span key, s;
    const char **list = NULL;
    size_t count = 0, cap = 0;
    ts_status st = TS_OK;
    bool found = false;
    ts_json_init(&j, json, len);
    ts_json_object(&j);
    while (st == TS_OK && ts_json_key(&j, &key)) {
        if (!ts_span_is(key, "weight_map")) {
            ts_json_skip(&j);
            continue;
        }
        found = true;
        ts_json_object(&j);
        while (st == TS_OK && ts_json_key(&j, &key)) {
            if (!ts_json_string(&j, &s)) break;
            const char *name = (const char *)s.data, *fault = ts_hub_path_fault(name, s.len);
            bool known = false;
            /* tensors of a file stand together, mostly */
            for (size_t i = count; i-- > 0 && !known;)
                known = strlen(list[i]) == s.len && !memcmp(list[i], name, s.len);
            if (known) continue;
            char shown[100];
            ts_printable(shown, sizeof shown, name, s.len);
            if (fault) st = ts_fail(err, TS_E_FORMAT, "the index of the model names the file \"%s\": %s", shown, fault);
            else if (count == INDEX_MAX)
                st = ts_fail(err, TS_E_LIMIT, "the index of the model names more than %d files", INDEX_MAX);
            else if (!ts_grow((void **)&list, &cap, count + 1, sizeof *list) ||
                     !(list[count++] = ts_arena_strndup(arena, name, s.len)))
                st = ts_fail_nomem(err, "the index of the model", s.len);
        }
    }
    if (st == TS_OK) ts_json_end(&j);
    if (st == TS_OK && !j.bad && (!found || !count)) ts_json_fail(&j, "it names no files (weight_map)");
    if (st == TS_OK && j.bad) st = not_json(&j, "the index of the model", json, len, err);
    ts_json_fini(&j);
    if (st == TS_OK) *path = list, *n = count;
    else ts_free(list);
    return st;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static int by_fold(const void *a, const void *b) {
    const ts_hub_file *const *x = a, *const *y = b;
    const int d = strcasecmp((*x)->path, (*y)->path);
    return d ? d : strcmp((*x)->path, (*y)->path);
}

static int by_path(const void *a, const void *b) {
    const ts_hub_file *x = a, *y = b;
    const int d = strcmp(x->path, y->path);
    return d ? d : strcmp(x->hash, y->hash);
}

void ts_hub_files_end(ts_hub_files *f) {
    if (!f->n) return;
    qsort(f->item, f->n, sizeof *f->item, by_path);
    size_t n = 1; /* one name twice with the same contents is one file */
    for (size_t i = 1; i < f->n; i++) {
        ts_hub_file *last = &f->item[n - 1], *e = &f->item[i];
        if (strcmp(last->path, e->path) != 0) f->item[n++] = *e;
        else if (strcmp(last->hash, e->hash) != 0 || last->size != e->size || last->fault != e->fault)
            last->doubtful = true;
    }
    f->n = n;
    const ts_hub_file **order = ts_arena_alloc(&f->arena, n, sizeof *order);
    if (!order) { /* rather nothing than a wrong one */
        for (size_t i = 0; i < n; i++) f->item[i].doubtful = true;
        return;
    }
    for (size_t i = 0; i < n; i++) order[i] = &f->item[i];
    qsort(order, n, sizeof *order, by_fold);
    for (size_t i = 1; i < n; i++)
        if (strcasecmp(order[i - 1]->path, order[i]->path) == 0)
            f->item[order[i - 1] - f->item].doubtful = f->item[order[i] - f->item].doubtful = true;
}

static int path_is(const void *key, const void *item) {
    return strcmp(key, ((const ts_hub_file *)item)->path);
}

const ts_hub_file *ts_hub_files_find(const ts_hub_files *f, const char *path) {
    return f->n ? bsearch(path, f->item, f->n, sizeof *f->item, path_is) : NULL;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

/* Does a parameter list (;a=b; c="d") say rel=next? *end: where it stops, at a comma or the end. */
static bool says_next(const char *s, const char **end) {
    bool next = false;
    while (*s && *s != ',') {
        s += strspn(s, "; \t");
        const char *name = s;
        const size_t n = strcspn(s, "=;, \t");
        s += n;
        s += strspn(s, " \t");
        if (*s != '=') {
            if (!n && *s && *s != ',') s++;
            continue;
        }
        s++;
        s += strspn(s, " \t");
        const bool quoted = *s == '"';
        const char *value = s += quoted;
        const size_t len = strcspn(s, quoted ? "\"" : ";, \t");
        s += len;
        if (quoted && *s) s++;
        if (n == 3 && !strncasecmp(name, "rel", 3)) next |= len == 4 && !strncasecmp(value, "next", 4);
    }
    *end = s;
    return next;
}

bool ts_hub_link_next(const char *value, ts_span *url) {
    while (*value) {
        value += strspn(value, ", \t");
        if (*value != '<') return false;
        const char *begin = value + 1, *close = strchr(begin, '>');
        if (!close) return false;
        if (says_next(close + 1, &value)) {
            *url = (ts_span){(const uint8_t *)begin, (size_t)(close - begin)};
            return url->len > 0;
        }
    }
    return false;
}
