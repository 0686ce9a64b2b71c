#include "hub/hub_fetch.h"

#include "hub/hub_api.h"
#include "hub/hub_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

enum { TRIES_MAX = 2000, MUCH = 1 << 20, MAGIC = 4 };

/* ---- one file ---------------------------------------------------------------------------------------------------- */

struct one {
    const ts_hub_fetch *f;
    ts_hub_item *item;
    ts_hub_part part;
    char *blob; /* its path when it is complete */
    uint64_t size;
    bool told; /* that another process is waited for */
};

static bool wait_for(void *ud, long pid) {
    struct one *p = ud;
    const ts_hub_net *net = p->f->net;
    const uint64_t there = ts_hub_part_size(p->blob);
    p->item->done = there < p->size ? there : p->size;
    char line[200], who[40] = "another program";
    if (pid) snprintf(who, sizeof who, "process %ld", pid);
    snprintf(line, sizeof line, "waiting for %s, which is fetching the same file (%.0f %% so far)", who,
             p->size ? 100.0 * (double)there / (double)p->size : 100.0);
    if (!p->told && net->note) net->note(net->ud, line);
    p->told = true;
    return !(net->stop && net->stop(net->ud));
}

static bool tick(void *ud, uint64_t bytes) {
    const ts_hub_net *net = ud;
    (void)bytes;
    return !(net->stop && net->stop(net->ud));
}

static ts_status cut(struct one *p, uint64_t len, ts_err *err) {
    TS_TRY(ts_hub_part_cut(&p->part, len, err));
    p->item->done = len;
    return TS_OK;
}

/* All bytes are there: do they have the hash? Then the blob gets its name. *right: they had. */
static ts_status finish(struct one *p, bool *right, char is[65], ts_err *err) {
    struct stat st;
    TS_TRY(ts_hub_digest(is, p->part.fd, p->item->hash, p->part.name, tick, (void *)(uintptr_t)p->f->net, err));
    *right = !strcmp(is, p->item->hash);
    if (!*right) return TS_OK;
    TS_TRY(ts_hub_part_install(&p->part, p->blob, err));
    if (fstat(p->part.fd, &st) == 0) ts_hub_remember(p->f->state, p->item->hash, &st, true);
    return TS_OK;
}

/* ---- what comes -------------------------------------------------------------------------------------------------- */

enum trouble { NONE, WRONG_RANGE, OTHER_BYTES, WEB_PAGE, NO_MODEL, OTHER_HASH };

struct sink {
    struct one *p;
    int64_t from;      /* what was asked for */
    bool replace;      /* an answer with everything takes the place of what is there, without a comparison */
    bool look;         /* it has not the file's length: does it begin as the file may? */
    uint64_t pos, end; /* where the next byte belongs; where the answer should end by its own words (0: it has none) */
    enum trouble trouble;
    int disk_errno;
    bool overlong;
    char better[65]; /* what the hub calls a file that the listing has not told the truth of, and its size */
    uint64_t better_size;
};

/* The listing has told the hash of a pointer to the file; the hub's own answer tells the file's. */
static bool is_better(struct sink *k, const ts_hub_answer *a) {
    if (strlen(k->p->item->hash) != 40 || strlen(a->linked_hash) != 64) return false;
    strcpy(k->better, a->linked_hash);
    k->better_size = a->linked_size >= 0 && a->linked_size <= TS_HUB_SIZE_MAX ? (uint64_t)a->linked_size : k->p->size;
    k->trouble = OTHER_HASH;
    return true;
}

/* Before anything is asked of the file's server: perhaps the file is there by its right name. */
static bool on_redirect(void *ud, const ts_hub_answer *a) {
    return !is_better(ud, a);
}

static bool ends(const char *path, const char *end) {
    const size_t n = strlen(path), k = strlen(end);
    return n >= k && !strcasecmp(path + n - k, end);
}

static bool is_markup(const char *path) {
    return ends(path, ".htm") || ends(path, ".html") || ends(path, ".xml") || ends(path, ".svg") || ends(path, ".md");
}

static bool on_begin(void *ud, const ts_hub_answer *a) {
    struct sink *k = ud;
    struct one *p = k->p;
    const uint64_t from = k->from < 0 ? 0 : (uint64_t)k->from;
    const bool fits = a->status == 206 || (a->length >= 0 && (uint64_t)a->length == p->size);
    if (is_better(k, a)) return false;
    if (a->html && !fits && a->length >= 0 && (uint64_t)a->length < p->part.len) {
        k->trouble = WEB_PAGE; /* what is there is not thrown away for it */
    } else if (a->status == 206 &&
               (a->range_begin != (int64_t)from || (a->range_total >= 0 && (uint64_t)a->range_total != p->size))) {
        k->trouble = WRONG_RANGE;
    } else if (a->status == 200 && a->length >= 0 && (uint64_t)a->length < p->part.len) {
        k->trouble = OTHER_BYTES; /* less than what is there is not the file: a page with 200, for example */
    } else {
        k->pos = a->status == 206 ? from : 0;
        k->end = a->length >= 0 ? k->pos + (uint64_t)a->length : 0;
        k->look = !fits;
        k->replace = k->replace && a->status == 200 && p->part.len;
    }
    return k->trouble == NONE;
}

/* A login page, or a message, with status 200 and in the place of a file; where the length is the file's, its hash
 * tells. */
static enum trouble look_at(const struct sink *k, const char *data, size_t len) {
    static const char magic[MAGIC + 1] = "GGUF";
    const char *path = k->p->item->file->path;
    if (ends(path, ".gguf") && k->pos < MAGIC) {
        const size_t n = MAGIC - (size_t)k->pos < len ? MAGIC - (size_t)k->pos : len;
        return memcmp(data, magic + k->pos, n) != 0 ? NO_MODEL : NONE;
    }
    if (k->pos || is_markup(path)) return NONE;
    size_t i = len >= 3 && !memcmp(data, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (i < len && data[i] && strchr(" \t\r\n", data[i])) i++;
    return i < len && data[i] == '<' ? WEB_PAGE : NONE;
}

/* A server without ranges sends the beginning again: it must be what is there. */
static size_t compare(struct sink *k, const char *data, size_t len) {
    char there[16 << 10];
    struct one *p = k->p;
    size_t n = p->part.len - k->pos < len ? (size_t)(p->part.len - k->pos) : len;
    for (size_t done = 0; done < n;) {
        const size_t want = n - done < sizeof there ? n - done : sizeof there;
        const ssize_t got = pread(p->part.fd, there, want, (off_t)(k->pos + done));
        if (got <= 0 || memcmp(there, data + done, (size_t)got) != 0) {
            k->trouble = OTHER_BYTES;
            break;
        }
        done += (size_t)got;
    }
    k->pos += n;
    return n;
}

static bool on_take(void *ud, const char *data, size_t len) {
    struct sink *k = ud;
    struct one *p = k->p;
    p->item->fetched += len;
    if (k->look && k->pos < MAGIC) k->trouble = look_at(k, data, len);
    if (k->trouble) return false;
    if (k->replace) {
        ts_err err;
        k->replace = false;
        if (cut(p, 0, &err) != TS_OK) k->disk_errno = EIO;
        if (k->disk_errno) return false;
    }
    if (len > p->size - k->pos) {
        len = (size_t)(p->size - k->pos);
        k->overlong = true;
    }
    if (k->pos < p->part.len) {
        const size_t n = compare(k, data, len);
        data += n, len -= n;
        if (k->trouble) return false;
    }
    while (len) {
        const ssize_t n = pwrite(p->part.fd, data, len, (off_t)k->pos);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            k->disk_errno = n < 0 ? errno : ENOSPC;
            return false;
        }
        data += n, len -= (size_t)n;
        p->part.len = k->pos += (uint64_t)n;
        p->item->done = p->part.len;
    }
    /* with all bytes there the rest of an answer is of no use, unless it ends here by itself */
    return !k->overlong && (k->pos < p->size || k->end == p->size);
}

/* ---- tries ------------------------------------------------------------------------------------------------------- */

struct course { /* of one file */
    ts_hub_tries tries;
    uint64_t highest; /* the most that was there: only a byte beyond it is a step forward */
    bool no_ranges;   /* a whole copy was wrong: perhaps the ranges were */
    bool replace;     /* the next answer with everything takes the place of what is there */
    int n_wrong, n_all;
};

static ts_status disk_trouble(const struct one *p, int why, ts_err *err) {
    if (why != ENOSPC && why != EDQUOT) return ts_fail_os(err, TS_E_IO, why, "cannot write %s", p->part.path);
    return ts_fail(err, TS_E_LIMIT,
                   "no space is left on the disk: %s lacks %.1f MB of its %.1f MB; what is there is kept",
                   p->item->file->path, (double)(p->size - p->part.len) / 1e6, (double)p->size / 1e6);
}

/* What the end of a try means. TS_OK: another one; *failed is its fault, in *err. TS_E_*: the end. */
static ts_status judge(const struct one *p, struct course *r, const struct sink *k, const ts_hub_answer *a, ts_status s,
                       ts_status *failed, ts_err *err) {
    const char *path = p->item->file->path;
    const bool good = s == TS_OK && (a->status == 200 || a->status == 206);
    if (k->disk_errno) return disk_trouble(p, k->disk_errno, err);
    if (s != TS_OK && a->fault != TS_HUB_AGAIN) return s;
    *failed = s;
    if (s == TS_OK && a->status == 416) {
        r->replace = true;
        *failed =
            ts_fail(err, TS_E_IO, "%s: %s has no bytes beyond %llu", path, a->host, (unsigned long long)p->part.len);
    } else if (s == TS_OK && !good) {
        *failed = ts_hub_refusal(p->f->net, a, p->f->repo, path, err);
        /* a signed address that has expired: the next try asks for a new one */
        if (!ts_hub_may_pass(a->status) && !(a->status == 403 && !a->own)) return *failed;
    } else if (k->trouble == WEB_PAGE || k->trouble == NO_MODEL) {
        *failed = ts_fail(err, TS_E_FORMAT, "%s: %s sends %s instead: does this network want a login?", path, a->host,
                          k->trouble == WEB_PAGE ? "a web page" : "something that is no GGUF file");
    } else if (k->trouble == WRONG_RANGE) {
        r->replace = true;
        *failed = ts_fail(err, TS_E_FORMAT, "%s: %s sends another part of the file than was asked for", path, a->host);
    } else if (k->trouble == OTHER_BYTES) {
        r->replace = true;
        *failed = ts_fail(err, TS_E_FORMAT, "%s: %s sends other bytes than before", path, a->host);
    } else if (good) {
        *failed = ts_fail(err, TS_E_IO, "%s: the transfer from %s ended after %llu of %llu bytes", path, a->host,
                          (unsigned long long)p->part.len, (unsigned long long)p->size);
    }
    return TS_OK;
}

/* What the hub itself says of a file, where the listing has not. */
struct better {
    char hash[65]; /* "": nothing */
    uint64_t size;
};

static ts_status try_once(struct one *p, struct course *r, ts_hub_conn *c, const char *url, struct better *better,
                          ts_err *err) {
    ts_hub_answer a = {0};
    const uint64_t before = p->part.len;
    const bool ranged = p->part.len && !r->no_ranges && !r->replace;
    struct sink k = {.p = p, .from = ranged ? (int64_t)p->part.len : -1, .replace = r->replace};
    const ts_hub_request q = {
        .url = url, .from = k.from, .begin = on_begin, .take = on_take, .onward = on_redirect, .ud = &k};
    ts_status s = ts_hub_get(c, &q, &a, err), failed = TS_OK;
    if (r->replace && !k.replace && k.trouble == NONE && s != TS_E_CANCELLED && a.status == 200) r->replace = false;
    strcpy(better->hash, k.better), better->size = k.better_size;
    const bool further = p->part.len > r->highest;
    if (further) {
        r->highest = p->part.len;
        r->tries.failed = 0;
    }
    if (s != TS_E_CANCELLED && p->part.len < p->size && k.trouble != OTHER_HASH) {
        s = judge(p, r, &k, &a, s, &failed, err);
        if (s == TS_OK && ++r->n_all > TRIES_MAX) s = failed, ts_err_add(err, "; tried %d times", TRIES_MAX);
        if (s == TS_OK && !(further && p->part.len - before >= MUCH))
            s = ts_hub_again(p->f->net, &r->tries, &a, failed, err);
    } else if (s != TS_E_CANCELLED) {
        s = TS_OK; /* how the connection ended matters no more */
    }
    ts_hub_answer_free(&a);
    return s;
}

/* A copy is complete. Right: TS_OK, *right. Wrong: once more, and then never. */
static ts_status check_copy(struct one *p, struct course *r, bool *right, ts_err *err) {
    char is[65] = "";
    TS_TRY(finish(p, right, is, err));
    if (*right) return TS_OK;
    r->no_ranges = true;
    r->highest = 0;
    TS_TRY(cut(p, 0, err));
    if (++r->n_wrong < 2 && p->size) return TS_OK;
    ts_hub_part_remove(&p->part);
    const char *kind = strlen(p->item->hash) == 64 ? "SHA-256" : "SHA-1 (git's)", *path = p->item->file->path;
    if (!p->size)
        return ts_fail(err, TS_E_FORMAT, "%s: the hub says that it has no bytes, and a hash that is not nothing's: %s",
                       path, p->item->hash);
    return ts_fail(err, TS_E_FORMAT,
                   "%s: wrong bytes, twice: by the hub its hash, %s, is %s, and that of what comes is %s", path, kind,
                   p->item->hash, is);
}

static ts_status fetch_into(struct one *p, ts_hub_conn *c, bool alone, struct better *better, ts_err *err) {
    struct course r = {0};
    ts_buf url = {0};
    const ts_hub_fetch *f = p->f;
    const char *path = p->item->file->path;
    if (!ts_buf_printf(&url, "%s/%s/resolve/%s/", f->net->endpoint, f->repo, f->commit) ||
        !ts_hub_put_encoded(&url, path, strlen(path), true)) {
        ts_buf_free(&url);
        return ts_fail_nomem(err, path, 0);
    }
    ts_status s = ts_hub_part_open(&p->part, p->blob, alone, err);
    if (s == TS_OK && p->part.len > p->size) s = cut(p, 0, err);
    r.highest = p->part.len;
    p->item->done = p->part.len;
    for (bool right = false; s == TS_OK && !right && !*better->hash;)
        s = p->part.len == p->size ? check_copy(p, &r, &right, err) : try_once(p, &r, c, url.data, better, err);
    ts_buf_free(&url);
    return s;
}

ts_status ts_hub_has_blob(const ts_hub_fetch *f, const char *hash, uint64_t size, bool *has, ts_err *err) {
    char *blob = ts_hub_join(f->place->dir, "blobs", hash, NULL);
    struct stat st;
    ts_err why;
    if (!blob) return ts_fail_nomem(err, hash, 0);
    *has = stat(blob, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
    ts_status s = *has ? ts_hub_check(f->state, blob, hash, tick, (void *)(uintptr_t)f->net, &why) : TS_OK;
    ts_free(blob);
    *has = *has && s == TS_OK;
    if (s != TS_E_CANCELLED && s != TS_E_NOMEM) return TS_OK;
    *err = why;
    return s;
}

/* With the hash that the item has now. */
static ts_status fetch(const ts_hub_fetch *f, ts_hub_conn *c, ts_hub_item *item, struct better *better, ts_err *err) {
    struct one p = {.f = f, .item = item, .part.fd = -1, .size = item->size};
    ts_hub_lock lock = {.fd = -1};
    ts_buf path = {0};
    bool has = false;
    p.blob = ts_hub_join(f->place->dir, "blobs", item->hash, NULL);
    const bool ok = p.blob && ts_buf_printf(&path, "%s/%s.lock", f->place->locks, item->hash);
    ts_status s = ok ? ts_hub_lock_take(&lock, path.data, false, wait_for, &p, err) : ts_fail_nomem(err, item->hash, 0);
    if (s == TS_E_LIMIT) s = ts_fail(err, TS_E_CANCELLED, "interrupted");
    /* another process may have fetched it meanwhile */
    if (s == TS_OK) s = ts_hub_has_blob(f, item->hash, p.size, &has, err);
    if (s == TS_OK && !has) s = fetch_into(&p, c, lock.certain, better, err);
    if (s == TS_OK && !*better->hash) {
        item->done = p.size;
        item->had = has;
    }
    if (*better->hash) ts_hub_part_remove(&p.part);
    ts_hub_part_close(&p.part);
    ts_hub_lock_leave(&lock);
    ts_buf_free(&path);
    ts_free(p.blob);
    return s;
}

ts_status ts_hub_fetch_file(const ts_hub_fetch *f, ts_hub_conn *c, ts_hub_item *item, ts_err *err) {
    struct better better = {0}, none = {0};
    TS_TRY(fetch(f, c, item, &better, err));
    if (!*better.hash) return TS_OK;
    strcpy(item->hash, better.hash);
    item->size = better.size;
    return fetch(f, c, item, &none, err);
}
