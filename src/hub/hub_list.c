/* hub_list.c - all that the store holds. */
#include "hub/hub_find.h"

#include "hub/hub_fetch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct list {
    ts_hub_model *item;
    size_t n, cap;
} list;

void ts_hub_list_free(ts_hub_model *items, size_t n) {
    for (size_t i = 0; i < n; i++) ts_hub_model_free(&items[i]);
    ts_free(items);
}

/* Takes *m over. */
static ts_status add(list *l, ts_hub_model *m, ts_err *err) {
    if (!ts_grow((void **)&l->item, &l->cap, l->n + 1, sizeof *l->item)) {
        ts_hub_model_free(m);
        return ts_fail_nomem(err, "the list of models", (l->n + 1) * sizeof *l->item);
    }
    l->item[l->n++] = *m;
    return TS_OK;
}

/* One repository in one cache, while its snapshots are looked at. */
struct walk {
    const ts_hub_opts *o;
    const char *cache, *repo;
    const ts_hub_place *p;
    list *l;
    size_t first; /* of this repository in the list */
};

/* The same files in an older snapshot are no other model. */
static bool is_listed(const struct walk *w, const ts_hub_model *m, const ts_hub_choice *c) {
    struct stat a, b;
    for (size_t i = w->first; i < w->l->n; i++) {
        const ts_hub_model *other = &w->l->item[i];
        if (other->kind != m->kind || other->n_files != m->n_files || other->bytes != m->bytes) continue;
        char *x = ts_hub_join(w->p->dir, "snapshots", m->commit, c->file[0]->path, NULL),
             *y = ts_hub_join(w->p->dir, "snapshots", other->commit, c->file[0]->path, NULL);
        const bool same =
            x && y && stat(x, &a) == 0 && stat(y, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
        ts_free(x), ts_free(y);
        if (same) return true;
    }
    return false;
}

static ts_status add_choice(struct walk *w, const char *commit, ts_hub_files *files, const char *tag, bool is_file,
                            const char *rev, ts_err *err) {
    ts_hub_choice c = {0};
    ts_hub_model m;
    ts_err why;
    /* what is incomplete is no model */
    const ts_status s = ts_hub_choose_stored(&c, w->p, commit, files, w->repo, tag, is_file, false, &why);
    if (s == TS_E_NOMEM) *err = why;
    if (s != TS_OK) return s == TS_E_NOMEM ? s : TS_OK;
    ts_status t = ts_hub_model_of(&m, w->o, w->cache, w->p, w->repo, rev, commit, files, &c, err);
    if (t == TS_OK && is_listed(w, &m, &c)) ts_hub_model_free(&m);
    else if (t == TS_OK) t = add(w->l, &m, err);
    ts_hub_choice_free(&c);
    return t;
}

static ts_status add_snapshot(struct walk *w, const char *commit, bool newest, ts_err *err) {
    ts_hub_files files = {0};
    char rev[9] = "";
    if (!newest) snprintf(rev, sizeof rev, "%.8s", commit);
    ts_status s = ts_hub_snapshot_files(w->p, commit, false, &files, err);
    for (size_t i = 0; i < files.n && s == TS_OK; i++) {
        size_t prefix;
        unsigned index = 1, count;
        const char *path = files.item[i].path;
        if (!ts_hub_is_gguf(path) || ts_hub_is_aside(path)) continue;
        if (ts_hub_split(path, &prefix, &index, &count) && index != 1) continue;
        s = add_choice(w, commit, &files, path, true, rev, err);
    }
    if (s == TS_OK) s = add_choice(w, commit, &files, TS_HUB_FOLDER_TAG, false, rev, err);
    ts_hub_files_free(&files);
    return s;
}

static bool count_left(void *ud, int dir, const char *name, const struct stat *st) {
    ts_hub_model *m = ud;
    (void)dir, (void)name;
    m->bytes += (uint64_t)st->st_size;
    m->n_files++;
    return true;
}

/* What unfinished pulls have left. */
static ts_status add_left(struct walk *w, ts_err *err) {
    ts_hub_model m = {.unfinished = true, .ours = true};
    ts_err why; /* what cannot be told is not listed */
    const ts_status s = ts_hub_each_left(w->p, count_left, &m, &why);
    if (s == TS_E_NOMEM) *err = why;
    if (s != TS_OK || !m.n_files) return s == TS_E_NOMEM ? s : TS_OK;
    m.name = ts_strdup(w->repo), m.cache = ts_strdup(w->cache);
    strcpy(m.repo, w->repo);
    if (m.name && m.cache) return add(w->l, &m, err);
    ts_hub_model_free(&m);
    return ts_fail_nomem(err, "the list of models", 0);
}

static ts_status add_repo(list *l, const ts_hub_opts *o, const char *cache, const char *repo, ts_err *err) {
    ts_hub_place p;
    char(*commit)[TS_HUB_COMMIT + 1] = NULL;
    size_t n = 0;
    TS_TRY(ts_hub_place_of(&p, cache, repo, err));
    struct walk w = {.o = o, .cache = cache, .repo = repo, .p = &p, .l = l, .first = l->n};
    ts_status s = ts_hub_snapshots(&p, "", &commit, &n, err);
    for (size_t i = 0; i < n && s == TS_OK; i++) s = add_snapshot(&w, commit[i], i == 0, err);
    if (s == TS_OK) s = add_left(&w, err);
    ts_free(commit);
    ts_hub_place_free(&p);
    return s;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const ts_hub_model *)a)->name, ((const ts_hub_model *)b)->name);
}

ts_status ts_hub_list(ts_hub_model **out, size_t *n, const ts_hub_opts *o, ts_err *err) {
    const char *const caches[] = {o->cache, o->own_cache};
    list l = {0};
    ts_status s = TS_OK;
    for (int i = 0; i < 2 && s == TS_OK; i++) {
        DIR *d = caches[i] && (i == 0 || strcmp(caches[0], caches[1]) != 0) ? opendir(caches[i]) : NULL;
        for (struct dirent *e; d && s == TS_OK && (e = readdir(d));) {
            char repo[2 * TS_HUB_ID_MAX + 2];
            if (ts_hub_repo_of_dir(repo, e->d_name)) s = add_repo(&l, o, caches[i], repo, err);
        }
        if (d) closedir(d);
    }
    if (s != TS_OK) {
        ts_hub_list_free(l.item, l.n);
        return s;
    }
    if (l.n) qsort(l.item, l.n, sizeof *l.item, by_name);
    *out = l.item, *n = l.n;
    return TS_OK;
}
