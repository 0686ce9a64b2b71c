/* folder.c - the model files of a folder, as they are now. */
#include "server/folder.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { PART = 20 }; /* strlen("-00001-of-00003.gguf") */

static srv_file file_of(const struct stat *st) {
    const int64_t ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    const uint64_t what[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)ns};
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        h = (h ^ what[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return (srv_file){.bytes = (uint64_t)st->st_size, .modified_ns = ns, .stamp = h};
}

ts_status srv_file_look(srv_file *out, const char *path, ts_err *err) {
    struct stat st;
    if (stat(path, &st) != 0) return ts_fail_os(err, TS_E_IO, errno, "%s", path);
    *out = file_of(&st);
    return TS_OK;
}

static bool is_model(const char *name) {
    const size_t n = strlen(name);
    return name[0] != '.' && n > 5 && !strcasecmp(name + n - 5, ".gguf");
}

/* "x-00002-of-00003.gguf" is no model of its own; the first part is. */
static bool is_later_part(const char *name) {
    const size_t n = strlen(name);
    unsigned part, of;
    return n > PART && sscanf(name + n - PART, "-%5u-of-%5u", &part, &of) == 2 && part > 1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const srv_file *)a)->name, ((const srv_file *)b)->name);
}

srv_file *srv_folder_find(const srv_folder *f, const char *name) {
    const srv_file key = {.name = (char *)(uintptr_t)name};
    return f->n ? bsearch(&key, f->file, f->n, sizeof *f->file, by_name) : NULL;
}

static ts_status add(srv_folder *f, DIR *d, const char *name, ts_err *err) {
    struct stat st;
    if (!is_model(name) || fstatat(dirfd(d), name, &st, 0) != 0 || !S_ISREG(st.st_mode)) return TS_OK;
    srv_file file = file_of(&st);
    file.name = ts_strdup(name);
    if (!file.name || !ts_grow((void **)&f->file, &f->cap, f->n + 1, sizeof *f->file)) {
        ts_free(file.name);
        return ts_fail_nomem(err, "the list of models", strlen(name));
    }
    f->file[f->n++] = file;
    return TS_OK;
}

/* A later part counts for the first one, in whose place all of them stand. */
static void join(const srv_folder *f, srv_file *part) {
    memcpy(part->name + strlen(part->name) - PART + 1, "00001", 5);
    srv_file *first = srv_folder_find(f, part->name);
    if (!first) return;
    first->bytes += part->bytes;
    first->stamp += part->stamp;
    if (part->modified_ns > first->modified_ns) first->modified_ns = part->modified_ns;
}

ts_status srv_folder_read(srv_folder *out, const char *dir, ts_err *err) {
    srv_folder f = {0}, parts = {0};
    ts_status s = TS_OK;
    DIR *d = opendir(dir);
    if (!d) return ts_fail_os(err, TS_E_IO, errno, "the folder of models %s", dir);
    while (s == TS_OK) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e && errno) s = ts_fail_os(err, TS_E_IO, errno, "the folder of models %s", dir);
        if (!e) break;
        s = add(is_later_part(e->d_name) ? &parts : &f, d, e->d_name, err);
    }
    closedir(d);
    if (f.n) qsort(f.file, f.n, sizeof *f.file, by_name);
    for (size_t i = 0; i < parts.n; i++) join(&f, &parts.file[i]);
    srv_folder_free(&parts);
    if (s == TS_OK) *out = f;
    else srv_folder_free(&f);
    return s;
}

void srv_folder_free(srv_folder *f) {
    for (size_t i = 0; i < f->n; i++) ts_free(f->file[i].name);
    ts_free(f->file);
    *f = (srv_folder){0};
}
