/* The instruction streams that docs/npu/streams.md explains word by word are those that we write: the page is the
 * golden.
 *
 * A block of the page begins with "stream NAME"; each line is hex words, then two spaces and an explanation. */
#include "designs.h"

#include "base/file.h"

#include <ctype.h>

static void nothing(ts_dispatch *p) {
    ts_dispatch_init(p, &ts_npu1, 1);
    ts_txn_nop(&p->txn);
}

static void loop_back(ts_dispatch *p) {
    loopback_dispatch(p, 1, 1024);
}

/* Two transfers with headers on one channel, one of them in rows, and what comes back. */
static void packets(ts_dispatch *p) {
    ts_dispatch_init(p, &ts_npu1, 4);
    ts_dispatch_task(p, &(ts_shim_task){.dir = TS_S2MM, .arg = 2, .words = 192, .token = true});
    ts_dispatch_task(p, &(ts_shim_task){.dir = TS_MM2S, .arg = 1, .words = 1104, .repeat = 2, .iter_step = 1104,
                                        .iter_wrap = 2, .packet = true, .packet_id = 1});
    ts_dispatch_task(p, &(ts_shim_task){.dir = TS_MM2S, .arg = 0, .offset = 0x8000, .words = 8400, .packet = true,
                                        .dim = {{.step = 1, .wrap = 840}, {.step = 6720}}});
    ts_dispatch_wait(p, 0, TS_S2MM, 0);
    ts_dispatch_implies(p, 0, TS_MM2S, 0);
}

static const struct {
    const char *name;
    void (*make)(ts_dispatch *p);
} streams[] = {{"nothing", nothing}, {"loop-back", loop_back}, {"packets", packets}};

/* The words of a block; -1: there is no such block. */
static int words_of(const char *page, const char *name, uint32_t *out, int max) {
    char head[64];
    snprintf(head, sizeof head, "```\nstream %s\n", name);
    const char *p = strstr(page, head);
    if (!p) return -1;
    int n = 0;
    for (p += strlen(head); strncmp(p, "```", 3) && *p; p = strchr(p, '\n') + 1)
        for (const char *w = p; isxdigit((unsigned char)*w);) {
            char *end;
            assert_true(n < max);
            out[n++] = (uint32_t)strtoul(w, &end, 16);
            w = *end == ' ' && end[1] != ' ' ? end + 1 : end; /* two spaces: the explanation */
            if (*end == ' ' && end[1] == ' ') break;
        }
    return n;
}

static void test_streams(void **state) {
    (void)state;
    const char *source = getenv("TESSERA_SOURCE");
    ts_err err;
    char path[512];
    ts_buf page = {0};
    assert_non_null(source);
    snprintf(path, sizeof path, "%s/docs/npu/streams.md", source);
    assert_ok(ts_file_read(&page, path, 1 << 20, &err));
    assert_true(ts_buf_append(&page, "", 1));
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        uint32_t want[256];
        ts_dispatch p;
        ts_buf out = {0};
        int n = words_of(page.data, streams[i].name, want, 256);
        streams[i].make(&p);
        assert_ok(ts_dispatch_finish(&p, &out, &err));
        bool same = n == (int)(out.len / 4);
        for (int k = 0; k < n && same; k++)
            same = want[k] == ts_word((ts_span){(const uint8_t *)out.data, out.len}, (size_t)k);
        if (!same) {
            ts_buf text = {0};
            for (size_t k = 0; k < out.len / 4; k++)
                assert_true(ts_buf_printf(&text, "%08x%s", ts_word((ts_span){(const uint8_t *)out.data, out.len}, k),
                                          k % 4 == 3 ? "\n" : " "));
            assert_ok(ts_txn_print(&ts_npu1, out.data, out.len, &text, &err));
            printf("%s\n", text.data);
            fail_msg("%s: %d words in the page, not those above", streams[i].name, n);
        }
        ts_dispatch_free(&p);
        ts_buf_free(&out);
    }
    ts_buf_free(&page);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_streams)};
    return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
