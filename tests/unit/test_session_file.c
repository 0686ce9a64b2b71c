/* saved sessions: the same bits afterwards, what is refused and how, nothing left of what is not in the timeline. */
#include "support/alloc_fail.h"
#include "support/zoo_file.h"

#include "base/file.h"
#include "engine/session_file.h"

#include <stdlib.h>
#include <unistd.h>

enum { N = 200, VOCAB = 272 };

static ts_token prompt[N];
static char folder[] = "/tmp/ts-session-XXXXXX";
static char path[64];

static struct fixture {
    void *file[2];
    ts_engine *e, *other;
} fx;

static ts_engine *open_zoo(const char *name, void **file) {
    const gguf_file f = zoo_file(name);
    ts_err err;
    ts_engine *e;
    *file = f.data;
    assert_ok(ts_engine_open_memory(&e, f.data, f.len, &(ts_engine_opts){.n_threads = 1}, &err));
    return e;
}

static int setup(void **state) {
    (void)state;
    zoo_prompt(VOCAB, prompt, N);
    fx.e = open_zoo("gqa3-hd40", &fx.file[0]); /* heads of 40 elements, 48 in the cache */
    fx.other = open_zoo("linear", &fx.file[1]);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        ts_engine_close(i ? fx.other : fx.e);
        ts_free(fx.file[i]);
    }
    unlink(path);
    return rmdir(folder); /* no temporary file is left either */
}

static ts_session *session(ts_engine *e, ts_kv_type kv, uint32_t n_ctx) {
    ts_session *s;
    ts_err err;
    assert_ok(ts_session_new(&s, e, &(ts_session_opts){.kv = kv, .n_ctx = n_ctx}, &err));
    return s;
}

static ts_buf contents(void) {
    ts_buf b = {0};
    ts_err err;
    assert_ok(ts_file_read(&b, path, 1 << 26, &err));
    return b;
}

/* From memory, whatever lies there. */
struct memory {
    const char *data;
    size_t left;
};

static ts_status read_memory(void *ud, void *to, size_t len, ts_err *err) {
    struct memory *m = ud;
    if (len > m->left) return ts_fail(err, TS_E_FORMAT, "memory: a damaged session: it ends too early");
    memcpy(to, m->data, len);
    m->data += len;
    m->left -= len;
    return TS_OK;
}

static ts_status restore(ts_session *s, const char *data, size_t len, ts_err *err) {
    struct memory m = {data, len};
    const ts_session_source from = {.name = "memory", .bytes = len, .read = read_memory, .ud = &m};
    return ts_session_restore_from(s, &from, err);
}

static void same_logits(ts_session *a, ts_session *b) {
    assert_true((ts_session_logits(a) == NULL) == (ts_session_logits(b) == NULL));
    if (ts_session_logits(a)) assert_memory_equal(ts_session_logits(a), ts_session_logits(b), VOCAB * sizeof(float));
}

/* Saved at some place and with or without logits, restored into sessions that are empty or have something else: goes on
 * with the bits of one that was not interrupted, without processing anything again. */
static void test_round(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 63, 64, 65, 128, 150};
    ts_err err;
    for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (int cut = 0; cut < 2; cut++) {
                const size_t n = lengths[i];
                ts_session *a = session(fx.e, (ts_kv_type)kv, N), *b = session(fx.e, (ts_kv_type)kv, N);
                if (n + (size_t)cut) assert_ok(ts_session_sync(a, prompt, n + (size_t)cut, &err));
                assert_ok(ts_session_truncate(a, n, &err));
                assert_ok(ts_session_save(a, path, &err));
                if (i % 2) assert_ok(ts_session_sync(b, prompt + 7, 90, &err));
                assert_ok(ts_session_restore(b, path, &err));
                size_t len;
                const ts_token *t = ts_session_tokens(b, &len);
                assert_int_equal(len, n);
                assert_memory_equal(t, prompt, n * sizeof *t);
                assert_true((ts_session_logits(b) != NULL) == (n > 0 && !cut));
                same_logits(a, b);
                ts_session_stats_reset(b);
                for (size_t to = n + 1; to <= N; to += to < n + 3 ? 1 : 20) {
                    assert_ok(ts_session_sync(a, prompt, to, &err));
                    assert_ok(ts_session_sync(b, prompt, to, &err));
                    same_logits(a, b);
                }
                ts_session_stats st;
                ts_session_get_stats(b, &st);
                assert_true(st.n_prefill + st.n_decode <= N - n);
                ts_session_free(a), ts_session_free(b);
            }
}

/* A file shows the timeline and nothing of what was in its pages before. */
static void test_traces(void **state) {
    (void)state;
    ts_err err;
    ts_session *a = session(fx.e, TS_KV_F16, 0), *b = session(fx.e, TS_KV_F16, N);
    assert_ok(ts_session_sync(a, prompt + 10, 190, &err));
    assert_ok(ts_session_sync(a, prompt, 70, &err));
    assert_ok(ts_session_save(a, path, &err));
    ts_buf one = contents();
    assert_ok(ts_session_sync(b, prompt, 70, &err));
    assert_ok(ts_session_save(b, path, &err));
    ts_buf two = contents();
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len);
    ts_buf_free(&one), ts_buf_free(&two);
    ts_session_free(a), ts_session_free(b);
}

/* Refused with this status and word, and the session stays as it was. */
static void refused(ts_session *s, const char *data, size_t len, ts_status code, const char *word) {
    ts_err err = {0};
    size_t n, n_after;
    const ts_token *t = ts_session_tokens(s, &n);
    ts_token before[N];
    float logits[VOCAB];
    memcpy(before, t, n * sizeof *t);
    memcpy(logits, ts_session_logits(s), sizeof logits);
    const long live = alloc_fail_live();
    const uint64_t held = ts_kv_pool_bytes(s->e->kv_pool);
    assert_status(restore(s, data, len, &err), code);
    if (!strstr(err.msg, word) || strchr(err.msg, '\n')) fail_msg("\"%s\" does not mention %s", err.msg, word);
    t = ts_session_tokens(s, &n_after);
    assert_int_equal(n_after, n);
    assert_memory_equal(t, before, n * sizeof *t);
    assert_memory_equal(ts_session_logits(s), logits, sizeof logits);
    assert_true(alloc_fail_live() <= live + 8); /* pages that are kept */
    assert_int_equal(ts_kv_pool_bytes(s->e->kv_pool), held);
}

static void put(ts_buf *file, size_t at, uint64_t value, size_t bytes) {
    memcpy(file->data + at, &value, bytes);
}

/* Make the checksum fit again. */
static void seal(ts_buf *file) {
    ts_session_sum sum = {0};
    ts_session_sum_add(&sum, file->data, file->len - 8);
    put(file, file->len - 8, ts_session_sum_end(&sum), 8);
}

static void test_refused(void **state) {
    (void)state;
    ts_err err;
    ts_session *s = session(fx.e, TS_KV_F16, N), *wide = session(fx.e, TS_KV_F32, N),
               *small = session(fx.e, TS_KV_F16, 60), *other = session(fx.other, TS_KV_F16, N);
    ts_session *const all[] = {wide, small, other};
    assert_ok(ts_session_sync(s, prompt, 100, &err));
    assert_ok(ts_session_save(s, path, &err));
    for (int i = 0; i < 3; i++) assert_ok(ts_session_sync(all[i], prompt, 10, &err));
    const ts_buf good = contents();
    refused(wide, good.data, good.len, TS_E_UNSUPP, "a KV cache of f16, but this one has f32");
    refused(small, good.data, good.len, TS_E_LIMIT, "100 tokens does not fit into the context of 60");
    refused(other, good.data, good.len, TS_E_UNSUPP, "another model");
    for (int i = 0; i < 3; i++) ts_session_free(all[i]);

    static const struct {
        size_t at, bytes;
        uint64_t value;
        ts_status code;
        const char *says;
    } t[] = {
        {0, 1, 'X', TS_E_FORMAT, "not a saved session"},
        {8, 4, 1, TS_E_UNSUPP, "version 1, but this program reads version 2"},
        {12, 4, 7, TS_E_UNSUPP, "an unknown type"},
        {16, 8, 0, TS_E_UNSUPP, "another model"},
        {24, 4, 1000, TS_E_FORMAT, "contradicts the model"},
        {28, 4, 0, TS_E_FORMAT, "contradicts the model"},
        {32, 4, UINT32_MAX, TS_E_FORMAT, "contradicts the model"},
        {36, 4, 1, TS_E_FORMAT, "contradicts the model"},
        {40, 8, UINT64_MAX, TS_E_LIMIT, "does not fit"},
        {40, 8, (uint64_t)1 << 32, TS_E_LIMIT, "does not fit"},
        {40, 8, 101, TS_E_FORMAT, "checksum"}, /* as long as 100: tokens are padded */
        {40, 8, 64, TS_E_FORMAT, "not what its header says"},
        {40, 8, 0, TS_E_FORMAT, "not what its header says"},
        {48, 8, 0, TS_E_FORMAT, "contradicts the model"},
        {48, 8, UINT64_MAX, TS_E_FORMAT, "contradicts the model"},
        {56, 4, 3, TS_E_FORMAT, "contradicts the model"},
        {56, 4, 0, TS_E_FORMAT, "not what its header says"},
        {60, 4, 1, TS_E_FORMAT, "contradicts the model"},
        {64 + 4 * 50, 4, VOCAB, TS_E_FORMAT, "checksum"},
    };
    ts_buf bad = {0};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        bad.len = 0;
        assert_true(ts_buf_append(&bad, good.data, good.len));
        put(&bad, t[i].at, t[i].value, t[i].bytes);
        refused(s, bad.data, bad.len, t[i].code, t[i].says);
    }
    /* with a checksum that fits */
    static const uint32_t tokens[] = {VOCAB, UINT32_MAX, 0x80000000u};
    for (int i = 0; i < 3; i++) {
        bad.len = 0;
        assert_true(ts_buf_append(&bad, good.data, good.len));
        put(&bad, 64 + 4 * 50, tokens[i], 4);
        seal(&bad);
        refused(s, bad.data, bad.len, TS_E_FORMAT, "at position 50");
    }
    bad.len = 0;
    assert_true(ts_buf_append(&bad, good.data, good.len));
    put(&bad, 64 + 448 + 4 * 9, 0x7fc00000, 4); /* a logit that is none, behind 100 tokens in 448 bytes */
    seal(&bad);
    refused(s, bad.data, bad.len, TS_E_FORMAT, "logits");

    for (int value = 0; value < 2; value++) { /* an infinite key, a value that is no number */
        bad.len = 0;
        assert_true(ts_buf_append(&bad, good.data, good.len));
        put(&bad, good.len - 8 - 2 * s->kv.page_bytes + (value ? s->kv.key_bytes : 0), value ? 0x7e00 : 0xfc00, 2);
        seal(&bad);
        refused(s, bad.data, bad.len, TS_E_FORMAT, "a key or value");
    }

    /* cut off, longer, and any byte changed */
    for (size_t len = 0; len < good.len; len += len < 80 ? 1 : 997)
        refused(s, good.data, len, TS_E_FORMAT, len < 64 ? "not a saved session" : "damaged");
    assert_true(ts_buf_append(&bad, "more", 4));
    refused(s, bad.data, bad.len, TS_E_FORMAT, "damaged");
    for (size_t at = 64; at < good.len; at += at < 1000 || at + 20 > good.len ? 1 : 331) {
        bad.len = 0;
        assert_true(ts_buf_append(&bad, good.data, good.len));
        bad.data[at] ^= (char)(1 << at % 8);
        refused(s, bad.data, bad.len, TS_E_FORMAT, "checksum");
    }
    assert_ok(restore(s, good.data, good.len, &err));
    ts_buf_free(&bad);
    ts_buf copy = good;
    ts_buf_free(&copy);
    ts_session_free(s);
}

/* What a hostile file puts where nothing may be does not stay in the pages, which others use after it. */
static void test_padding(void **state) {
    (void)state;
    ts_err err;
    for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++) {
        ts_session *s = session(fx.e, (ts_kv_type)kv, N), *b = session(fx.e, (ts_kv_type)kv, N);
        assert_ok(ts_session_sync(s, prompt, 1, &err));
        assert_ok(ts_session_save(s, path, &err));
        ts_buf file = contents();
        for (size_t i = file.len - 8 - s->kv.page_bytes; i < file.len - 8; i++) /* NaN, but where the timeline is */
            if (file.data[i] == 0) file.data[i] = (char)0x7f;
        seal(&file);
        assert_ok(restore(s, file.data, file.len, &err));
        ts_session_free(s); /* its page goes to b */
        assert_ok(ts_session_sync(b, prompt, 10, &err));
        s = session(fx.e, (ts_kv_type)kv, N);
        assert_ok(ts_session_sync(s, prompt, 10, &err));
        same_logits(s, b);
        ts_buf_free(&file);
        ts_session_free(s), ts_session_free(b);
    }
}

static ts_status read_half(void *ud, void *to, size_t len, ts_err *err) {
    struct memory *m = ud;
    if (len <= m->left) return read_memory(ud, to, len, err);
    memset(to, 0x7f, len - 1); /* what it gets to read is no number */
    return ts_fail(err, TS_E_IO, "memory: it cannot be read");
}

/* So it is where reading fails in the middle of a page. */
static void test_half(void **state) {
    (void)state;
    ts_err err;
    for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++) {
        ts_session *s = session(fx.e, (ts_kv_type)kv, N), *b = session(fx.e, (ts_kv_type)kv, N);
        assert_ok(ts_session_sync(s, prompt, 100, &err));
        assert_ok(ts_session_save(s, path, &err));
        ts_buf file = contents();
        struct memory m = {file.data, file.len - 8 - s->kv.page_bytes};
        const ts_session_source from = {.name = "memory", .bytes = file.len, .read = read_half, .ud = &m};
        assert_status(ts_session_restore_from(b, &from, &err), TS_E_IO);
        assert_ok(ts_session_sync(b, prompt, 100, &err)); /* in the page that was half read */
        same_logits(s, b);
        ts_buf_free(&file);
        ts_session_free(s), ts_session_free(b);
    }
}

static void test_places(void **state) {
    (void)state;
    ts_err err;
    ts_session *s = session(fx.e, TS_KV_F16, N);
    assert_ok(ts_session_sync(s, prompt, 100, &err));
    assert_ok(ts_session_save(s, path, &err));
    const ts_buf before = contents();
    assert_status(ts_session_save(s, "/dev/full", &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "/dev/full: No space left"));
    assert_status(ts_session_save(s, "/nowhere/x", &err), TS_E_IO);
    assert_status(ts_session_save(s, folder, &err), TS_E_IO);
    assert_status(ts_session_restore(s, "/nowhere/x", &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "/nowhere/x"));
    assert_status(ts_session_restore(s, folder, &err), TS_E_IO);
    assert_status(ts_session_restore(s, "/dev/null", &err), TS_E_IO);
    assert_status(ts_session_save(s, NULL, &err), TS_E_INVAL);
    assert_status(ts_session_restore(NULL, path, &err), TS_E_INVAL);
    ts_buf now = contents(), old = before;
    assert_memory_equal(now.data, before.data, before.len);
    ts_buf_free(&now), ts_buf_free(&old);
    ts_session_free(s);
}

static bool save_it(void *ud) {
    return ts_session_save(ud, path, NULL) == TS_OK;
}

static void test_alloc(void **state) {
    (void)state;
    ts_err err;
    ts_session *s = session(fx.e, TS_KV_F16, N);
    assert_ok(ts_session_sync(s, prompt, 100, &err));
    alloc_fail_loop(save_it, s, false);
    /* no page is left by others: each allocation of a restore, pages included, fails once */
    ts_session *hold[8];
    for (int i = 0; i < 8; i++) {
        hold[i] = session(fx.e, TS_KV_F16, N);
        assert_ok(ts_session_sync(hold[i], prompt, N, &err));
    }
    for (long n = 1;; n++) {
        alloc_fail_at(n, false);
        ts_status st = ts_session_restore(s, path, &err);
        const bool hit = alloc_fail_hit();
        alloc_fail_at(0, false);
        if (!hit) {
            assert_ok(st);
            assert_true(n > 4);
            break;
        }
        assert_int_equal(st, TS_E_NOMEM);
        size_t len;
        ts_session_tokens(s, &len);
        assert_int_equal(len, 100);
        assert_non_null(ts_session_logits(s));
    }
    for (int i = 0; i < 8; i++) ts_session_free(hold[i]);
    ts_session_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),   cmocka_unit_test(test_traces), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_padding), cmocka_unit_test(test_half),   cmocka_unit_test(test_places),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("session_file", tests, setup, teardown);
}
