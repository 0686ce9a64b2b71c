#include "hub/hub_find.h"

#include "base/file.h"

#include <unistd.h>

enum { INDEX_MAX = 16 << 20 };

void ts_hub_model_free(ts_hub_model *m) {
    ts_free(m->name);
    ts_free(m->path);
    ts_free(m->cache);
    *m = (ts_hub_model){0};
}

ts_status ts_hub_choose_by_index(ts_hub_choice *c, ts_hub_files *files, const char *path, ts_err *err) {
    ts_buf text = {0};
    const char **name = NULL;
    size_t n = 0;
    ts_status s = ts_file_read(&text, path, INDEX_MAX, err);
    if (s == TS_OK) s = ts_hub_index_parse(&files->arena, &name, &n, text.data ? text.data : "", text.len, err);
    if (s == TS_OK) s = ts_hub_choose_indexed(c, files, name, n, err);
    ts_free(name);
    ts_buf_free(&text);
    return s;
}

ts_status ts_hub_choose_stored(ts_hub_choice *out, const ts_hub_place *p, const char *commit, ts_hub_files *files,
                               const char *repo, const char *tag, bool is_file, bool for_npu, ts_err *err) {
    TS_TRY(ts_hub_choose(out, files, repo, tag, is_file, for_npu, err));
    if (!out->index) return TS_OK;
    char *path = ts_hub_join(p->dir, "snapshots", commit, out->index->path, NULL);
    ts_status s = path ? ts_hub_choose_by_index(out, files, path, err) : ts_fail_nomem(err, repo, 0);
    ts_free(path);
    if (s != TS_OK) ts_hub_choice_free(out);
    return s;
}

ts_status ts_hub_model_of(ts_hub_model *out, const ts_hub_opts *o, const char *cache, const ts_hub_place *p,
                          const char *repo, const char *rev, const char *commit, const ts_hub_files *files,
                          const ts_hub_choice *c, ts_err *err) {
    ts_hub_model m = {.kind = c->kind, .n_files = c->n, .n_alike = c->n_alike, .ours = true};
    ts_buf name = {0}, tag = {0};
    const bool ok =
        ts_hub_choice_name(&tag, c, files) && ts_buf_puts(&name, repo) &&
        (!*rev || c->kind == TS_HUB_FILE || (tag.len && tag.data[0] == '/') || ts_buf_printf(&name, "@%s", rev)) &&
        ts_buf_puts(&name, tag.len ? tag.data : "") &&
        (!*rev || strchr(name.data, '@') || ts_buf_printf(&name, "@%s", rev));
    ts_buf_free(&tag);
    m.name = name.data;
    m.cache = ts_strdup(cache);
    m.path = ts_hub_join(p->dir, "snapshots", commit, c->kind == TS_HUB_FOLDER ? NULL : c->file[0]->path, NULL);
    if (!ok || !m.cache || !m.path) {
        ts_hub_model_free(&m);
        return ts_fail_nomem(err, repo, 0);
    }
    strcpy(m.repo, repo);
    strcpy(m.commit, commit);
    strcpy(m.quant, c->quant);
    for (size_t i = 0; i < c->n; i++) {
        struct stat st;
        bool ours = false;
        char *path = ts_hub_join(p->dir, "snapshots", commit, c->file[i]->path, NULL);
        m.bytes += c->file[i]->size;
        m.ours =
            m.ours && path && stat(path, &st) == 0 && ts_hub_is_known(o->state, c->file[i]->hash, &st, &ours) && ours;
        ts_free(path);
    }
    *out = m;
    return TS_OK;
}

/* ---- one model --------------------------------------------------------------------------------------------------- */

struct checking {
    const ts_hub_opts *o;
    uint64_t before, all;
};

static bool tick(void *ud, uint64_t bytes) {
    const struct checking *c = ud;
    if (c->o->stop && c->o->stop(c->o->ud)) return false;
    return !c->o->progress || c->o->progress(c->o->ud, c->before + bytes, c->all, 0);
}

static ts_status check_all(const ts_hub_opts *o, const ts_hub_place *p, const char *commit, const ts_hub_choice *c,
                           ts_err *err) {
    struct checking k = {.o = o};
    for (size_t i = 0; i < c->n; i++) k.all += c->file[i]->size;
    for (size_t i = 0; i < c->n; i++) {
        if (!*c->file[i]->hash) continue; /* no link: nothing says what it should be */
        char *path = ts_hub_join(p->dir, "snapshots", commit, c->file[i]->path, NULL);
        ts_status s =
            path ? ts_hub_check(o->state, path, c->file[i]->hash, tick, &k, err) : ts_fail_nomem(err, commit, 0);
        ts_free(path);
        if (s != TS_OK) return s;
        k.before += c->file[i]->size;
    }
    return TS_OK;
}

/* In one of the caches. TS_OK and *found, or an error of a model that is there. */
static ts_status find_in(ts_hub_model *out, bool *found, const ts_hub_name *name, const ts_hub_opts *o,
                         const char *cache, ts_err *err) {
    ts_hub_place p;
    char(*commit)[TS_HUB_COMMIT + 1] = NULL;
    size_t n = 0;
    TS_TRY(ts_hub_place_of(&p, cache, name->repo, err));
    ts_status s = ts_hub_snapshots(&p, name->rev, &commit, &n, err);
    for (size_t i = 0; i < n && s == TS_OK && !*found; i++) {
        ts_hub_files files = {0};
        ts_hub_choice c = {0};
        ts_err why;
        s = ts_hub_snapshot_files(&p, commit[i], false, &files, err);
        if (s == TS_OK && ts_hub_choose_stored(&c, &p, commit[i], &files, name->repo, name->tag, name->is_file,
                                               o->for_npu, &why) == TS_OK) {
            s = check_all(o, &p, commit[i], &c, err);
            if (s == TS_OK) s = ts_hub_model_of(out, o, cache, &p, name->repo, name->rev, commit[i], &files, &c, err);
            *found = s == TS_OK;
        }
        ts_hub_choice_free(&c);
        ts_hub_files_free(&files);
    }
    ts_free(commit);
    ts_hub_place_free(&p);
    return s;
}

ts_status ts_hub_find(ts_hub_model *out, bool *found, const ts_hub_name *name, const ts_hub_opts *o, ts_err *err) {
    *found = false;
    const ts_status s = find_in(out, found, name, o, o->cache, err);
    if (*found || !o->own_cache || (s != TS_OK && s != TS_E_FORMAT)) return s;
    /* what is damaged in a cache that may not be written to has been fetched anew to our own */
    ts_err why;
    const ts_status own = find_in(out, found, name, o, o->own_cache, s == TS_OK ? err : &why);
    return s == TS_OK || *found ? own : s;
}
