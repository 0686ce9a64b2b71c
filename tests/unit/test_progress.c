#define _GNU_SOURCE /* posix_openpt */
/* What a line of progress says, at any time. */
#include "support/test.h"

#include "cli/progress.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static const uint64_t second = 1000000000, begin = 5000000000;

static void test_text(void **state) {
    (void)state;
    static const struct {
        uint64_t done, all, step, now, guess, before, whole; /* times in tenths of seconds from the beginning */
        const char *unit;
        const char *want;
    } cases[] = {
        {0, 0, 0, 20, 0, 0, 0, "tokens", "work, 2 s so far"},
        {7, 0, 20, 20, 0, 0, 0, "tokens", "work: 7 tokens, 2 s so far"},
        {0, 100, 0, 20, 0, 0, 0, "tokens", "work: 0 of 100 tokens, 2 s so far"}, /* nothing to reckon from */
        {50, 100, 5, 20, 0, 0, 0, "tokens", "work: 50 of 100 tokens, 2 s so far"}, /* too little */
        {50, 100, 100, 100, 0, 0, 0, "tokens", "work: 50 of 100 tokens, 10 s left"},
        /* it counts down between the steps */
        {50, 100, 100, 140, 0, 0, 0, "tokens", "work: 50 of 100 tokens, 6 s left"},
        {50, 100, 100, 199, 0, 0, 0, "tokens", "work: 50 of 100 tokens, 1 s left"},
        {50, 100, 100, 220, 0, 0, 0, "tokens", "work: 50 of 100 tokens, 1 s left"},
        /* the forecast was wrong: none */
        {50, 100, 100, 300, 0, 0, 0, "tokens", "work: 50 of 100 tokens, 30 s so far"},
        {2, 100, 100, 100, 0, 0, 0, "tokens", "work: 2 of 100 tokens, 8 min left"},
        {1, 10000, 100, 100, 0, 0, 0, "tokens", "work: 1 of 10000 tokens, 27.8 h left"},
        {0, 4, 0, 20, 1000, 0, 0, "ops", "work: 0 of 4 ops, 98 s left"}, /* as it was reckoned beforehand */
        {2, 4, 400, 400, 1000, 0, 0, "ops", "work: 2 of 4 ops, 40 s left"}, /* until something was measured */
        {0, 4, 0, 1200, 1000, 0, 0, "ops", "work: 0 of 4 ops, 2 min so far"},
        {25, 100, 100, 100, 0, 0, 0, NULL, "work: 25 %, 30 s left"},
        {10, 50, 100, 100, 0, 30, 80, "tokens", "work: 40 of 80 tokens, 10 s left"}, /* a part of something larger */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const cli_progress p = {.what = "work", .unit = cases[i].unit, .begin_ns = begin,
                                .guess_ns = cases[i].guess * second / 10, .done = cases[i].done, .all = cases[i].all,
                                .step_ns = begin + cases[i].step * second / 10, .before = cases[i].before,
                                .whole = cases[i].whole};
        char text[100];
        cli_progress_text(&p, begin + cases[i].now * second / 10, text, sizeof text);
        assert_string_equal(text, cases[i].want);
    }
    const cli_progress small = {.what = "work", .unit = "MiB", .per_unit = 1 << 20, .begin_ns = begin,
                                .step_ns = begin, .done = 1000, .all = 4000};
    char text[100];
    cli_progress_text(&small, begin + 2 * second, text, sizeof text);
    assert_string_equal(text, "work: 25 %, 2 s so far"); /* not 0 of 0 MiB */
    /* what was there when it began took no time: 400 of the 1000 came in 10 s */
    cli_progress on = {.what = "work", .unit = "B", .rate = true, .begin_ns = begin, .step_ns = begin + 10 * second,
                       .start = 500, .done = 900, .all = 1000};
    cli_progress_text(&on, begin + 10 * second, text, sizeof text);
    assert_string_equal(text, "work: 900 of 1000 B, 40.0 B/s, 2 s left");
    on.done = 500; /* nothing has come: no rate, and no forecast */
    cli_progress_text(&on, begin + 10 * second, text, sizeof text);
    assert_string_equal(text, "work: 500 of 1000 B, 10 s so far");
}

/* Steps come from one thread while another shows them; one is at work at a time, and an end is an end. */
static void test_life(void **state) {
    (void)state;
    cli_progress a = {.what = "a"}, b = {.what = "b"};
    for (int i = 0; i < 100; i++) {
        assert_true(cli_progress_step(&a, (uint64_t)i, 100));
        if (i % 10 == 0) cli_progress_begin(&b);
        if (i % 10 == 5) cli_progress_end(&b);
        if (i % 10 == 0) assert_true(a.ended);
        if (i % 10 == 6) cli_progress_begin(&a);
    }
    cli_progress_end(&a);
    cli_progress_end(&a);
    assert_true(a.ended);
    uint64_t done = a.done;
    assert_true(cli_progress_step(&a, 1000, 1000));
    assert_int_equal(a.done, done);
}

/* A message while the line stands there is a line of its own. */
static void test_log(void **state) {
    (void)state;
    char path[] = "/tmp/ts_log_XXXXXX", text[1000] = "";
    const int file = mkstemp(path), saved = dup(2), tty = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(file >= 0 && saved >= 0);
    unlink(path);
    dup2(file, 2);
    cli_progress_log(NULL, TS_LOG_WARN, "first");
    cli_progress_log(NULL, TS_LOG_INFO, "second");
    dup2(saved, 2);
    assert_true(pread(file, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "tessera: warning: first\ntessera: second\n");
    close(file);
    if (tty >= 0 && grantpt(tty) == 0 && unlockpt(tty) == 0) { /* a terminal: the line is there after 0.3 s */
        const int end = open(ptsname(tty), O_RDWR | O_NOCTTY);
        cli_progress p = {.what = "loading"};
        assert_true(end >= 0);
        setenv("TERM", "xterm", 1);
        dup2(end, 2);
        cli_progress_begin(&p);
        usleep(600000);
        cli_progress_log(NULL, TS_LOG_INFO, "third");
        cli_progress_end(&p);
        dup2(saved, 2);
        memset(text, 0, sizeof text);
        struct pollfd readable = {.fd = tty, .events = POLLIN};
        /* what was written comes out in pieces, each in its time */
        for (size_t n = 0; !strstr(text, "third\r\n") && n < sizeof text - 1 && poll(&readable, 1, 10000) == 1;) {
            ssize_t got = read(tty, text + n, sizeof text - 1 - n);
            assert_true(got > 0);
            n += (size_t)got;
        }
        const char *line = strstr(text, "loading"),
                   *third = strstr(text, line ? "\rtessera: third\r\n" : "tessera: third\r\n");
        if (!third) fail_msg("%s", text);
        close(end);
    }
    close(saved);
    if (tty >= 0) close(tty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
