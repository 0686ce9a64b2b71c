/* prefix_disk.c - the folder of the prefix store: index, cap, removal. */
#include "engine/prefix_disk.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/session_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_LEN = 48 /* "0123456789abcdef-4294967295-4294967295.kv" */ };
#define SECOND INT64_C(1000000000)
#define LOOK_NS (5 * SECOND)         /* between two looks at the folder */
#define TOUCH_NS (60 * SECOND)       /* a file's time says when it was used, give or take this */
#define LEFT_BEHIND_NS (10 * SECOND) /* a file that is being written is locked by then */
#define ABANDONED_NS (3600 * SECOND) /* where files cannot be locked: nobody writes for so long */

typedef struct file file;
struct tile { /* of a file */
    ts_keyed in;
    file *of;
};
struct file {
    ts_keyed in; /* by name */
    file *older, *newer; /* in no order but that of coming */
    char name[NAME_LEN];
    uint64_t bytes, seen; /* seen: the last look that has found it */
    int64_t used, touched; /* from 1970 in ns: when it was used; and what the file's time says of that */
    uint32_t first, n;    /* n 0: of another model or version */
    struct tile tile[];
};

struct ts_prefix_disk {
    char *dir;
    uint64_t cap, model;
    uint64_t looks;  /* who looks is one at a time */
    int64_t looked, changed; /* when, on the monotonic clock; the folder's time then */
    pthread_mutex_t lock; /* of what follows */
    ts_keytable tiles, names;
    file *newest;
    uint64_t bytes, n_file;
    int64_t last_use; /* the latest `used` that was given */
    ts_prefix_stats stats;
};

static int64_t ns_of(struct timespec t) {
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t now_real(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return ns_of(t);
}

static void set_time(const char *path, int64_t ns) {
    const struct timespec t = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
    (void)utimensat(AT_FDCWD, path, (struct timespec[]){t, t}, AT_SYMLINK_NOFOLLOW);
}

/* The time of a use, later than that of any before it, whatever the clock does. */
static int64_t use_time(ts_prefix_disk *d) {
    const int64_t now = now_real();
    pthread_mutex_lock(&d->lock);
    d->last_use = now > d->last_use ? now : d->last_use + 1;
    const int64_t t = d->last_use;
    pthread_mutex_unlock(&d->lock);
    return t;
}

/* ---- the index; the caller holds the lock ------------------------------------------------------------------------ */

static uint64_t name_key(const char *name) {
    ts_session_sum sum = {0};
    ts_session_sum_add(&sum, name, strlen(name));
    return ts_session_sum_end(&sum);
}

static void insert(ts_prefix_disk *d, file *f) {
    f->in.key = name_key(f->name);
    ts_keytable_put(&d->names, &f->in);
    f->older = d->newest;
    f->newer = NULL;
    if (d->newest) d->newest->newer = f;
    d->newest = f;
    d->bytes += f->bytes;
    d->n_file++;
    for (uint32_t i = 0; i < f->n; i++) {
        f->tile[i].of = f;
        ts_keytable_put(&d->tiles, &f->tile[i].in);
    }
}

/* From the index; the file itself is another matter. */
static void forget(ts_prefix_disk *d, file *f) {
    *(f->newer ? &f->newer->older : &d->newest) = f->older;
    if (f->older) f->older->newer = f->newer;
    d->bytes -= f->bytes;
    d->n_file--;
    ts_keytable_take_out(&d->names, &f->in);
    for (uint32_t i = 0; i < f->n; i++) ts_keytable_take_out(&d->tiles, &f->tile[i].in);
    ts_free(f);
}

static file *named(const ts_prefix_disk *d, const char *name) {
    for (ts_keyed *r = ts_keytable_first(&d->names, name_key(name)); r; r = ts_keytable_next(r))
        if (!strcmp(((file *)r)->name, name)) return (file *)r;
    return NULL;
}

/* A file with tile i of the path. */
static file *file_with(const ts_prefix_disk *d, const ts_prefix_path *path, uint32_t i) {
    for (ts_keyed *r = ts_keytable_first(&d->tiles, path->key[i]); r; r = ts_keytable_next(r)) {
        const struct tile *t = (const struct tile *)r;
        if (t->of->first + (uint32_t)(t - t->of->tile) == i) return t->of;
    }
    return NULL;
}

/* Least lately used; of one path, all used at once, the last. */
static file *first_to_go(const ts_prefix_disk *d) {
    file *go = d->newest;
    for (file *f = d->newest; f; f = f->older)
        if (f->used < go->used || (f->used == go->used && f->first > go->first)) go = f;
    return go;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static char *path_of(const ts_prefix_disk *d, const char *name) {
    return ts_path_join(d->dir, name);
}

/* Is it one of our names, or, *unfinished, one that is written to? */
static bool is_name(const char *name, bool *unfinished) {
    uint64_t key;
    uint32_t first, n;
    int end = 0;
    char again[NAME_LEN];
    if (sscanf(name, "%16" SCNx64 "-%" SCNu32 "-%" SCNu32 ".kv%n", &key, &first, &n, &end) != 3 || !end) return false;
    snprintf(again, sizeof again, "%016" PRIx64 "-%" PRIu32 "-%" PRIu32 ".kv", key, first, n);
    if (strncmp(name, again, (size_t)end) != 0 || (size_t)end != strlen(again)) return false;
    const size_t len = strlen(name);
    *unfinished = len > (size_t)end + 4 && !strcmp(name + len - 4, ".tmp");
    return !name[end] || *unfinished;
}

/* When the file was used; one of the future would stay for ever. */
static int64_t used_at(const struct stat *st) {
    const int64_t now = now_real(), then = ns_of(st->st_mtim);
    return then < now ? then : now;
}

/* The record of a file; NULL: none (*damaged, or gone, or no memory). */
static file *examine(const ts_prefix_disk *d, const char *name, const char *path, bool *damaged) {
    ts_prefix_file f;
    struct stat st;
    const ts_status s = ts_prefix_file_open(&f, path, NULL);
    *damaged = s == TS_E_FORMAT;
    if (s != TS_OK) return NULL;
    const uint32_t n = f.known && f.h.model == d->model && f.h.kv_type < TS_PREFIX_KV_TYPES ? f.h.n : 0;
    size_t tiles, size;
    file *r = NULL;
    if (fstat(f.fd, &st) == 0 && ts_size_mul(n, sizeof *r->tile, &tiles) && ts_size_add(tiles, sizeof *r, &size))
        r = ts_calloc(1, size);
    if (r) {
        snprintf(r->name, sizeof r->name, "%s", name);
        r->bytes = f.bytes;
        r->used = r->touched = used_at(&st);
        r->first = f.h.first;
        r->n = n;
        for (uint32_t i = 0; i < n; i++) r->tile[i].in.key = f.tile[i].key;
    }
    ts_prefix_file_close(&f);
    return r;
}

/* What a program that ended has left unfinished. */
static void clear_unfinished(const char *path) {
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid()) {
        const int64_t age = now_real() - ns_of(st.st_mtim);
        const bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (age > (dead ? LEFT_BEHIND_NS : errno == EWOULDBLOCK ? INT64_MAX : ABANDONED_NS)) unlink(path);
    }
    close(fd);
}

static void count_removed(ts_prefix_disk *d, bool damaged) {
    d->stats.removed++;
    d->stats.damaged += damaged;
}

/* A file that the index has is still there; somebody else may have used it. */
static bool see_again(ts_prefix_disk *d, const char *name, const char *path) {
    struct stat st;
    const int64_t used = lstat(path, &st) == 0 ? used_at(&st) : 0;
    pthread_mutex_lock(&d->lock);
    file *f = named(d, name);
    if (f) f->seen = d->looks;
    if (f && used > f->used) f->used = f->touched = used;
    pthread_mutex_unlock(&d->lock);
    return f;
}

static void see_first(ts_prefix_disk *d, const char *name, const char *path) {
    bool damaged;
    file *f = examine(d, name, path, &damaged);
    if (damaged) damaged = unlink(path) == 0;
    if (f) f->seen = d->looks;
    pthread_mutex_lock(&d->lock);
    if (f) insert(d, f);
    if (damaged) count_removed(d, true);
    pthread_mutex_unlock(&d->lock);
}

static void look_at(ts_prefix_disk *d, const char *name) {
    bool unfinished;
    char *path = is_name(name, &unfinished) ? path_of(d, name) : NULL;
    if (path && unfinished) clear_unfinished(path);
    else if (path && !see_again(d, name, path)) see_first(d, name, path);
    ts_free(path);
}

/* All files of the folder into the index, and out of it what is there no more. */
static void look(ts_prefix_disk *d) {
    DIR *dir = opendir(d->dir);
    if (!dir) return;
    d->looks++;
    for (struct dirent *e; (e = readdir(dir));) look_at(d, e->d_name);
    closedir(dir);
    pthread_mutex_lock(&d->lock);
    for (file *f = d->newest, *older; f; f = older) {
        older = f->older;
        if (f->seen != d->looks) forget(d, f);
    }
    pthread_mutex_unlock(&d->lock);
}

void ts_prefix_disk_look(ts_prefix_disk *d, bool at_once) {
    struct stat st;
    const int64_t now = (int64_t)ts_now_ns();
    if (!at_once && now - d->looked < LOOK_NS) return;
    if (stat(d->dir, &st) < 0 || ns_of(st.st_mtim) == d->changed) return;
    d->looked = now;
    d->changed = ns_of(st.st_mtim);
    look(d);
}

/* Remove files until `more` bytes fit, none that was used at `keep` or later. */
static bool make_room(ts_prefix_disk *d, uint64_t more, int64_t keep) {
    for (;;) {
        pthread_mutex_lock(&d->lock);
        file *f = d->bytes > d->cap - more ? first_to_go(d) : NULL;
        char *path = f && f->used < keep ? path_of(d, f->name) : NULL;
        if (path) {
            forget(d, f);
            count_removed(d, false);
        }
        pthread_mutex_unlock(&d->lock);
        if (!path) return !f;
        unlink(path);
        ts_free(path);
    }
}

/* ---- a folder ---------------------------------------------------------------------------------------------------- */

static ts_status make_folder(char *dir, ts_err *err) {
    struct stat st;
    for (char *at = dir + 1; *dir && *at; at++)
        if (*at == '/') {
            *at = 0;
            (void)mkdir(dir, 0700);
            *at = '/';
        }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return ts_fail_os(err, TS_E_IO, errno, "cannot make the folder %s", dir);
    if (stat(dir, &st) < 0 || access(dir, R_OK | W_OK | X_OK) < 0)
        return ts_fail_os(err, TS_E_IO, errno, "cannot use the folder %s", dir);
    if (!S_ISDIR(st.st_mode)) return ts_fail(err, TS_E_IO, "%s is not a folder", dir);
    if (st.st_uid != geteuid() || st.st_mode & 022)
        return ts_fail(err, TS_E_IO, "others may write to the folder %s: make it one of this user's alone (chmod 700)",
                       dir);
    return TS_OK;
}

ts_status ts_prefix_disk_open(ts_prefix_disk **out, const char *dir, uint64_t cap, uint64_t model, ts_err *err) {
    ts_prefix_disk *d = ts_calloc(1, sizeof *d);
    if (!d) return ts_fail_nomem(err, "the folder of the KV store", sizeof *d);
    *d = (ts_prefix_disk){.cap = cap, .model = model, .dir = ts_strdup(dir)};
    pthread_mutex_init(&d->lock, NULL);
    const bool room = d->dir && ts_keytable_init(&d->tiles) && ts_keytable_init(&d->names);
    ts_status s = room ? make_folder(d->dir, err) : ts_fail_nomem(err, "the folder of the KV store", strlen(dir));
    if (s != TS_OK) {
        ts_prefix_disk_close(d);
        return s;
    }
    ts_prefix_disk_look(d, true);
    (void)make_room(d, 0, INT64_MAX);
    *out = d;
    return TS_OK;
}

void ts_prefix_disk_close(ts_prefix_disk *d) {
    if (!d) return;
    while (d->newest) forget(d, d->newest);
    ts_keytable_fini(&d->tiles), ts_keytable_fini(&d->names);
    pthread_mutex_destroy(&d->lock);
    ts_free(d->dir);
    ts_free(d);
}

void ts_prefix_disk_count(ts_prefix_disk *d, ts_prefix_stats *stats) {
    pthread_mutex_lock(&d->lock);
    stats->disk_files = d->n_file;
    stats->disk_bytes = d->bytes;
    stats->written = d->stats.written;
    stats->written_bytes = d->stats.written_bytes;
    stats->removed = d->stats.removed;
    stats->damaged = d->stats.damaged;
    stats->failed = d->stats.failed;
    pthread_mutex_unlock(&d->lock);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

bool ts_prefix_disk_has(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t i) {
    pthread_mutex_lock(&d->lock);
    const bool has = file_with(d, path, i);
    pthread_mutex_unlock(&d->lock);
    return has;
}

/* The file's tiles from the path's `from` on, as far as they are the path's. TS_OK: all of these. */
static ts_status read_tiles(const ts_prefix_disk *d, const ts_prefix_file *f, const ts_prefix_path *path, uint32_t from,
                            const ts_kv *like, char *page[], uint32_t *n, ts_err *err) {
    uint32_t same;
    if (!f->known || f->h.model != d->model) return ts_fail(err, TS_E_IO, "it is another file now");
    TS_TRY(ts_prefix_file_compare(f, path, &same, err));
    for (uint32_t i = from; i < same && i >= f->h.first; i++, ++*n) {
        char *p;
        TS_TRY(ts_kv_page_new(like, &p, err));
        const ts_status s = ts_prefix_file_page(f, i - f->h.first, like, p, err);
        if (s != TS_OK) {
            ts_kv_page_drop(like, p);
            return s;
        }
        page[i] = p;
    }
    return TS_OK;
}

/* A file that cannot be used: out of the index, and where it is damaged, out of the folder. */
static void drop(ts_prefix_disk *d, const char *name, const char *path, bool damaged) {
    if (damaged) unlink(path);
    pthread_mutex_lock(&d->lock);
    file *f = named(d, name); /* unless another thread was faster */
    if (f) forget(d, f);
    if (damaged) count_removed(d, true);
    pthread_mutex_unlock(&d->lock);
}

uint32_t ts_prefix_disk_read(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t from, const ts_kv *like,
                             char *page[]) {
    ts_status s = TS_E_IO;
    uint32_t n = 0;
    /* one that is damaged or gone is known no more; perhaps another one has the tile, too */
    while (n == 0 && (s == TS_E_IO || s == TS_E_FORMAT)) {
        ts_prefix_file f;
        ts_err err;
        char name[NAME_LEN];
        pthread_mutex_lock(&d->lock);
        const file *with = file_with(d, path, from);
        if (with) memcpy(name, with->name, sizeof name);
        pthread_mutex_unlock(&d->lock);
        char *at = with ? path_of(d, name) : NULL;
        if (!at) break;
        s = ts_prefix_file_open(&f, at, &err);
        if (s == TS_OK) {
            s = read_tiles(d, &f, path, from, like, page, &n, &err);
            ts_prefix_file_close(&f);
        }
        if (s == TS_E_FORMAT) ts_log(TS_LOG_DEBUG, "%s is damaged and removed: %s", at, err.msg);
        if (s == TS_E_FORMAT || s == TS_E_IO) drop(d, name, at, s == TS_E_FORMAT);
        ts_free(at);
    }
    return n;
}

/* Say now in the files' times. */
static void touch(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t n, int64_t now) {
    for (uint32_t i = 0; i < n; i++) {
        pthread_mutex_lock(&d->lock);
        file *f = file_with(d, path, i);
        char *at = f && f->touched < now ? path_of(d, f->name) : NULL;
        if (at) f->touched = now;
        pthread_mutex_unlock(&d->lock);
        if (at) set_time(at, now);
        ts_free(at);
    }
}

/* Tiles [0, n) of the path are used now, says the index; so do the files' times where one of them is older by `late`:
 * all of them, so that the beginning of a timeline never looks older than what goes on from it. */
static void use(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t n, int64_t now, int64_t late) {
    bool any = false;
    pthread_mutex_lock(&d->lock);
    for (uint32_t i = 0; i < n; i++) {
        file *f = file_with(d, path, i);
        if (!f) continue;
        if (f->used < now) f->used = now;
        any |= f->touched < now - late;
    }
    pthread_mutex_unlock(&d->lock);
    if (any) touch(d, path, n, now);
}

void ts_prefix_disk_used(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t n) {
    use(d, path, n, use_time(d), TOUCH_NS);
}

static file *record_of(const ts_prefix_path *path, uint32_t first) {
    const uint32_t n = path->n - first;
    file *r = ts_calloc(1, sizeof *r + n * sizeof *r->tile);
    if (!r) return NULL;
    snprintf(r->name, sizeof r->name, "%016" PRIx64 "-%" PRIu32 "-%" PRIu32 ".kv", path->key[path->n - 1], first, n);
    r->first = first;
    r->n = n;
    for (uint32_t i = 0; i < n; i++) r->tile[i].in.key = path->key[first + i];
    return r;
}

/* Of a write that has gone well, or wrong, or was not to be. */
static void note_write(ts_prefix_disk *d, file *r, ts_status s) {
    pthread_mutex_lock(&d->lock);
    if (s == TS_OK) {
        file *old = named(d, r->name);
        if (old) forget(d, old);
        insert(d, r);
        d->stats.written++;
        d->stats.written_bytes += r->bytes;
    } else if (s != TS_E_LIMIT) {
        d->stats.failed++;
    }
    pthread_mutex_unlock(&d->lock);
    if (s != TS_OK) ts_free(r);
}

ts_status ts_prefix_disk_write(ts_prefix_disk *d, const ts_prefix_path *path, uint32_t first, const ts_kv *like,
                               char *const page[], ts_err *err) {
    const uint64_t bytes = ts_prefix_file_bytes(like->page_bytes, first, path->n - first);
    const int64_t now = use_time(d);
    file *r = record_of(path, first);
    char *file_path = r ? path_of(d, r->name) : NULL;
    ts_status s = file_path ? TS_OK : ts_fail_nomem(err, "the KV store", path->n * sizeof(ts_keyed));
    if (s == TS_OK) {
        ts_prefix_disk_look(d, false);
        use(d, path, first, now, 0);
        if (!bytes || bytes > d->cap || !make_room(d, bytes, now)) s = ts_fail(err, TS_E_LIMIT, "no room");
    }
    if (s == TS_OK) s = ts_prefix_file_write(file_path, d->model, like, path, first, page, &r->bytes, err);
    if (s == TS_E_IO && err->os_errno == EEXIST) s = TS_E_LIMIT; /* another store of this program is at it */
    if (s == TS_OK) {
        set_time(file_path, now);
        r->used = r->touched = now;
        r->seen = d->looks;
    }
    if (r) note_write(d, r, s);
    ts_free(file_path);
    return s;
}
