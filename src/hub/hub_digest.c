#include "hub/hub_digest.h"

#include "base/mem.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static ts_status read_all(EVP_MD_CTX *ctx, char *piece, int fd, const char *path, ts_hub_tick *tick, void *ud,
                          ts_err *err) {
    for (uint64_t at = 0;;) {
        const ssize_t n = pread(fd, piece, PIECE, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
        if (n == 0) return TS_OK;
        if (!EVP_DigestUpdate(ctx, piece, (size_t)n)) return ts_fail_nomem(err, "a hash", 0);
        at += (uint64_t)n;
        if (tick && !tick(ud, at)) return ts_fail(err, TS_E_CANCELLED, "interrupted");
    }
}

ts_status ts_hub_digest(char out[65], int fd, const char *like, const char *path, ts_hub_tick *tick, void *ud,
                        ts_err *err) {
    const bool git = strlen(like) == 40;
    struct stat st;
    if (fstat(fd, &st) != 0) return ts_fail_os(err, TS_E_IO, errno, "cannot read %s", path);
    char head[40];
    const int n_head = snprintf(head, sizeof head, "blob %lld", (long long)st.st_size) + 1; /* with its NUL */
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    char *piece = ts_alloc(PIECE, 1);
    ts_status s = TS_OK;
    if (!ctx || !piece || !EVP_DigestInit_ex(ctx, git ? EVP_sha1() : EVP_sha256(), NULL) ||
        (git && !EVP_DigestUpdate(ctx, head, (size_t)n_head)))
        s = ts_fail_nomem(err, "a hash", PIECE);
    if (s == TS_OK) s = read_all(ctx, piece, fd, path, tick, ud, err);
    if (s == TS_OK && !EVP_DigestFinal_ex(ctx, md, &len)) s = ts_fail_nomem(err, "a hash", 0);
    EVP_MD_CTX_free(ctx);
    ts_free(piece);
    if (s != TS_OK) return s;
    for (unsigned i = 0; i < len && i < 32; i++) snprintf(out + 2 * i, 3, "%02x", md[i]);
    return TS_OK;
}
