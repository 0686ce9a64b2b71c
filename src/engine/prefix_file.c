/* prefix_file.c - files of the prefix store, written and read. The format is described in docs/formats/kv-store.md; it
 * is little-endian, as memory is (session_file.c). */
#include "engine/prefix_file.h"
#include "base/outfile.h"
#include "engine/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, ALIGN = 64, TILE_TOKENS = TS_KV_TILE * sizeof(ts_token), MOST_TILES = 1 << 26 /* 2^32 / 64 */ };
static const char MAGIC[8] = "TSKVTILE"; /* without its NUL */
_Static_assert(sizeof(ts_prefix_head) == 64 && sizeof(ts_prefix_entry) == 16, "there are no holes");

/* ---- where things are -------------------------------------------------------------------------------------------- */

static uint64_t tokens_at(uint32_t n) {
    return sizeof(ts_prefix_head) + (uint64_t)n * sizeof(ts_prefix_entry);
}

/* Tiles are counted up to 2^26, so that this cannot overflow. */
static uint64_t pages_at(uint32_t first, uint32_t n) {
    const uint64_t end = tokens_at(n) + ((uint64_t)first + n) * TILE_TOKENS;
    return end + -end % ALIGN;
}

uint64_t ts_prefix_file_bytes(uint64_t page_bytes, uint32_t first, uint32_t n) {
    uint64_t pages, all;
    if (__builtin_mul_overflow(page_bytes, n, &pages) || __builtin_add_overflow(pages, pages_at(first, n), &all) ||
        all > INT64_MAX)
        return 0;
    return all;
}

static uint64_t sum_of(const void *data, size_t len) {
    ts_session_sum sum = {0};
    ts_session_sum_add(&sum, data, len);
    return ts_session_sum_end(&sum);
}

static uint64_t head_sum(const ts_prefix_head *h, const ts_prefix_entry *tile) {
    ts_session_sum sum = {0};
    ts_session_sum_add(&sum, h, offsetof(ts_prefix_head, head_sum));
    ts_session_sum_add(&sum, tile, h->n * sizeof *tile);
    return ts_session_sum_end(&sum);
}

/* ---- read -------------------------------------------------------------------------------------------------------- */

static ts_status read_at(const ts_prefix_file *f, uint64_t at, void *to, size_t len, ts_err *err) {
    for (size_t done = 0; done < len;) {
        const ssize_t n = pread(f->fd, (char *)to + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot read it");
        if (n == 0) return ts_fail(err, TS_E_FORMAT, "it ends too early");
        done += (size_t)n;
    }
    return TS_OK;
}

static ts_status read_head(ts_prefix_file *f, ts_err *err) {
    struct stat st;
    if (fstat(f->fd, &st) < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot read it");
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return ts_fail(err, TS_E_IO, "not a regular file of this user's");
    f->bytes = (uint64_t)st.st_size;
    TS_TRY(read_at(f, 0, &f->h, sizeof f->h, err));
    const ts_prefix_head *h = &f->h;
    if (memcmp(h->magic, MAGIC, sizeof MAGIC) != 0) return ts_fail(err, TS_E_FORMAT, "not a file of the KV store");
    if (h->version != VERSION) return TS_OK;
    if (h->n == 0 || h->page_bytes == 0 || h->n > MOST_TILES || h->first > MOST_TILES || h->reserved ||
        f->bytes != ts_prefix_file_bytes(h->page_bytes, h->first, h->n))
        return ts_fail(err, TS_E_FORMAT, "its head is not right");
    /* the table is shorter than the file, so that a head cannot ask for more memory than somebody has written */
    f->tile = ts_alloc(h->n, sizeof *f->tile);
    if (!f->tile) return ts_fail_nomem(err, "the table of a file of the KV store", h->n * sizeof *f->tile);
    TS_TRY(read_at(f, sizeof *h, f->tile, h->n * sizeof *f->tile, err));
    if (head_sum(h, f->tile) != h->head_sum) return ts_fail(err, TS_E_FORMAT, "the checksum of its head is wrong");
    f->known = h->arithmetic == TS_SESSION_VERSION;
    return TS_OK;
}

ts_status ts_prefix_file_from(ts_prefix_file *out, int fd, const char *name, ts_err *err) {
    ts_prefix_file f = {.fd = fd};
    ts_status s = read_head(&f, err);
    if (s != TS_OK) {
        ts_prefix_file_close(&f);
        return ts_err_prefix(err, s, "%s", name);
    }
    *out = f;
    return TS_OK;
}

ts_status ts_prefix_file_open(ts_prefix_file *f, const char *path, ts_err *err) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
    return ts_prefix_file_from(f, fd, path, err);
}

void ts_prefix_file_close(ts_prefix_file *f) {
    close(f->fd);
    ts_free(f->tile);
}

/* Is tile i of the file's timeline, with these tokens, that of the path? */
static bool same_tile(const ts_prefix_file *f, const ts_prefix_path *path, uint32_t i, const ts_token *token) {
    return i < path->n && !memcmp(token, path->token + (size_t)i * TS_KV_TILE, TILE_TOKENS) &&
           (i < f->h.first || f->tile[i - f->h.first].key == path->key[i]);
}

ts_status ts_prefix_file_compare(const ts_prefix_file *f, const ts_prefix_path *path, uint32_t *same, ts_err *err) {
    enum { AT_ONCE = 32 };
    const uint32_t all = f->h.first + f->h.n;
    uint32_t n = 0;
    ts_session_sum sum = {0};
    for (uint32_t i = 0; i < all; i += AT_ONCE) { /* all of them: they have one checksum */
        const uint32_t some = all - i < AT_ONCE ? all - i : AT_ONCE;
        ts_token token[AT_ONCE * TS_KV_TILE];
        TS_TRY(read_at(f, tokens_at(f->h.n) + (uint64_t)i * TILE_TOKENS, token, (size_t)some * TILE_TOKENS, err));
        ts_session_sum_add(&sum, token, (size_t)some * TILE_TOKENS);
        for (uint32_t k = 0; k < some && n == i + k; k++)
            n += same_tile(f, path, i + k, token + (size_t)k * TS_KV_TILE);
    }
    if (ts_session_sum_end(&sum) != f->h.token_sum)
        return ts_fail(err, TS_E_FORMAT, "the checksum of its tokens is wrong");
    *same = n;
    return TS_OK;
}

static ts_status read_page(const ts_prefix_file *f, uint32_t i, const ts_kv *like, char *page, ts_err *err) {
    TS_TRY(read_at(f, pages_at(f->h.first, f->h.n) + i * f->h.page_bytes, page, like->page_bytes, err));
    if (sum_of(page, like->page_bytes) != f->tile[i].sum)
        return ts_fail(err, TS_E_FORMAT, "the checksum of tile %u is wrong", i);
    if (!ts_kv_admit(like, page, TS_KV_TILE))
        return ts_fail(err, TS_E_FORMAT, "a key or value of tile %u is no finite number", i);
    return TS_OK;
}

ts_status ts_prefix_file_page(const ts_prefix_file *f, uint32_t i, const ts_kv *like, char *page, ts_err *err) {
    if (f->h.kv_type != (uint32_t)like->type || f->h.page_bytes != like->page_bytes)
        return ts_fail(err, TS_E_FORMAT, "its pages are not those of this model");
    const ts_status s = read_page(f, i, like, page, err);
    if (s != TS_OK) ts_kv_blank(like, page, 0); /* others will use it, and believe its padding to be zero */
    return s;
}

/* ---- write ------------------------------------------------------------------------------------------------------- */

static ts_status put_all(ts_outfile *out, const ts_prefix_head *h, const ts_prefix_entry *tile, const ts_token *token,
                         char *const page[], ts_err *err) {
    static const char zero[ALIGN];
    TS_TRY(ts_outfile_write(out, h, sizeof *h, err));
    TS_TRY(ts_outfile_write(out, tile, h->n * sizeof *tile, err));
    TS_TRY(ts_outfile_write(out, token, ((size_t)h->first + h->n) * TILE_TOKENS, err));
    TS_TRY(ts_outfile_write(out, zero, pages_at(h->first, h->n) - out->written, err));
    for (uint32_t i = 0; i < h->n; i++) TS_TRY(ts_outfile_write(out, page[i], h->page_bytes, err));
    return TS_OK;
}

/* The lock says to others that the one who writes is alive: without it the file has been left behind. */
static ts_status put_file(const char *path, const ts_prefix_head *h, const ts_prefix_entry *tile,
                          const ts_token *token, char *const page[], ts_err *err) {
    ts_outfile out;
    TS_TRY(ts_outfile_open_private(&out, path, err));
    (void)flock(out.fd, LOCK_EX | LOCK_NB); /* where it cannot be locked, its age says so too */
    ts_status s = put_all(&out, h, tile, token, page, err);
    if (s == TS_OK) s = ts_outfile_commit(&out, err);
    ts_outfile_discard(&out);
    return s;
}

ts_status ts_prefix_file_write(const char *path, uint64_t model, const ts_kv *like, const ts_prefix_path *tiles,
                               uint32_t first, char *const page[], uint64_t *bytes, ts_err *err) {
    ts_prefix_head h = {.version = VERSION, .kv_type = (uint32_t)like->type, .model = model,
                        .page_bytes = like->page_bytes, .first = first, .n = tiles->n - first,
                        .token_sum = sum_of(tiles->token, (size_t)tiles->n * TILE_TOKENS),
                        .arithmetic = TS_SESSION_VERSION};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    ts_prefix_entry *tile = ts_alloc(h.n, sizeof *tile);
    if (!tile) return ts_fail_nomem(err, "the table of a file of the KV store", h.n * sizeof *tile);
    for (uint32_t i = 0; i < h.n; i++)
        tile[i] = (ts_prefix_entry){.key = tiles->key[first + i], .sum = sum_of(page[i], like->page_bytes)};
    h.head_sum = head_sum(&h, tile);
    const ts_status s = put_file(path, &h, tile, tiles->token, page, err);
    ts_free(tile);
    if (s == TS_OK) *bytes = ts_prefix_file_bytes(like->page_bytes, first, h.n);
    return s;
}
