/* test.h - what every cmocka program of the tests includes: cmocka, the shared data folder, small helpers. */
#ifndef TS_TESTS_TEST_H
#define TS_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

/* The call succeeds, or the test fails with the error's own message. */
#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        ts_status assert_ok_status_ = (expr);                                                                          \
        if (assert_ok_status_ != TS_OK)                                                                                \
            fail_msg("%s: %s: %s", #expr, ts_status_name(assert_ok_status_), err.msg);                                 \
    } while (0)
#define assert_status(expr, want) assert_int_equal((expr), (want))

/* A test that leaves something out says so in one line, which check.sh shows: what and why, and what would cure it. */
#define SKIP(why, cure)                                                                                                \
    do {                                                                                                               \
        print_message("skip: %s; cure: %s\n", why, cure);                                                              \
        skip();                                                                                                        \
    } while (0)
#define SKIP_NO_SHARED \
    SKIP("no shared test data", "lay them beside the source tree as ../shared, or set TESSERA_SHARED")

/* The path of a file of the shared test data ($TESSERA_SHARED, by default ../shared beside the source tree:
 * environ.c), or NULL where there is none: skip the test then with SKIP_WITHOUT, before anything is allocated
 * (skip() does not come back). Where the folder exists, a missing file is a failure. Caller's buffer. */
static inline const char *shared_path(char *buf, size_t len, const char *name) {
    const char *root = getenv("TESSERA_SHARED");
    if (!root || !*root) return NULL;
    snprintf(buf, len, "%s/%s", root, name);
    FILE *f = fopen(buf, "rb");
    if (!f) fail_msg("the shared test data has no %s", buf);
    fclose(f);
    return buf;
}

#define SKIP_WITHOUT(path)                                                                                             \
    do {                                                                                                               \
        if (!(path)) SKIP_NO_SHARED;                                                                                   \
    } while (0)

#endif
