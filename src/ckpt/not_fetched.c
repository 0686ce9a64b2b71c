#include "ckpt/not_fetched.h"

#include <strings.h>

static bool begins(ts_span s, const char *with) { /* in whatever capitals */
    const size_t n = strlen(with);
    return s.len >= n && !strncasecmp((const char *)s.data, with, n);
}

ts_status ts_not_fetched(ts_span s, ts_err *err) {
    if (begins(s, "version https://git-lfs"))
        return ts_fail(err, TS_E_UNSUPP, "a Git LFS pointer, not the file itself; run: git lfs pull");
    if (begins(s, "\x1f\x8b")) return ts_fail(err, TS_E_UNSUPP, "compressed by gzip; unpack it first");
    for (; s.len && (*s.data == ' ' || *s.data == '\n' || *s.data == '\r' || *s.data == '\t'); s.len--) s.data++;
    if (begins(s, "<!") || begins(s, "<html") || begins(s, "<?xml") || begins(s, "<head"))
        return ts_fail(err, TS_E_UNSUPP, "a web page, not the file itself; fetch the file again");
    /* what the hub sends without a token: "Access to model X is restricted", or the same as JSON */
    if (begins(s, "Access to model") || begins(s, "{\"error\"") || begins(s, "Invalid username"))
        return ts_fail(err, TS_E_UNSUPP,
                       "an answer of a server that gives no access, not the file itself; ask for access on the model's "
                       "page and fetch the file again");
    return TS_OK;
}
