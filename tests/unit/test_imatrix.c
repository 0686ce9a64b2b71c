/* Importance matrices: both formats, round trips, damaged files, files that llama-imatrix has written. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "format/gguf_write.h"
#include "format/imatrix.h"

#include <math.h>
#include <unistd.h>

static ts_err err;

static void assert_says(const char *part) {
    if (!strstr(err.msg, part)) fail_msg("\"%s\" is not in \"%s\"", part, err.msg);
}

static ts_span span_of(const ts_buf *b) { return (ts_span){.data = (const uint8_t *)b->data, .len = b->len}; }

/* ---- the older format -------------------------------------------------------------------------------------------- */

static void put_u32(ts_buf *b, uint32_t v) { assert_true(ts_buf_append(b, &v, 4)); }
static void put_f32(ts_buf *b, float v) { assert_true(ts_buf_append(b, &v, 4)); }
static void put_name(ts_buf *b, const char *s) {
    put_u32(b, (uint32_t)strlen(s));
    assert_true(ts_buf_puts(b, s));
}

static void make_dat(ts_buf *b) {
    put_u32(b, 2);
    put_name(b, "blk.0.ffn_up.weight"), put_u32(b, 4), put_u32(b, 3);
    put_f32(b, 4), put_f32(b, 0), put_f32(b, 2);
    put_name(b, "blk.0.attn_q.weight"), put_u32(b, 0), put_u32(b, 2);
    put_f32(b, 7), put_f32(b, 8);
    put_u32(b, 11);
    put_name(b, "some text.txt");
}

static void test_dat(void **state) {
    (void)state;
    ts_buf b = {0};
    make_dat(&b);
    ts_imatrix *m;
    assert_ok(ts_imatrix_open_mem(&m, span_of(&b), "old", &err));
    assert_int_equal(ts_imatrix_n(m), 2);
    assert_string_equal(ts_imatrix_at(m, 0)->name, "blk.0.attn_q.weight"); /* sorted */
    const ts_imatrix_entry *e = ts_imatrix_find(m, "blk.0.ffn_up.weight");
    assert_true(e && e->n_in == 3 && e->n_mat == 1 && e->count == 4);
    assert_true(e->mean[0] == 1 && e->mean[1] == 0 && e->mean[2] == 0.5f);
    e = ts_imatrix_find(m, "blk.0.attn_q.weight");
    assert_true(e && e->count == 0 && e->mean[0] == 1 && e->mean[1] == 1); /* none seen: all alike */
    assert_null(ts_imatrix_find(m, "blk.0.attn_k.weight"));
    assert_int_equal(ts_imatrix_chunks(m), 11);
    assert_int_equal(ts_imatrix_chunk_size(m), 0);
    assert_string_equal(ts_imatrix_dataset(m), "some text.txt");
    ts_imatrix_free(m);
    const size_t tail = 4 + 4 + strlen("some text.txt");
    for (size_t n = 0; n < b.len; n++) { /* cut anywhere: refused, but without the tail it is an older one */
        const ts_status s = ts_imatrix_open_mem(&m, (ts_span){.data = (const uint8_t *)b.data, .len = n}, "cut", &err);
        if (n == b.len - tail) {
            assert_ok(s);
            assert_string_equal(ts_imatrix_dataset(m), "");
            ts_imatrix_free(m);
        } else {
            assert_status(s, TS_E_FORMAT);
            assert_says("cut: not an importance matrix, or damaged");
        }
    }
    static const struct {
        size_t at;
        uint32_t v;
        const char *says;
    } wrong[] = {
        {0, 0, "a number of entries"},    {0, 1000000, "a number of entries"}, {0, 1, "what follows the entries"},
        {4, 0, "a name's length"},        {4, UINT32_MAX, "a name's length"},  {8, 0, "a name"},
        {27, UINT32_MAX, "size"},         {31, 0, "size"},                     {31, 1u << 30, "size"},
        {35, 0x7fc00000, "column 0: a sum of squares of nan"},
        {39, 0xbf800000, "\"blk.0.ffn_up.weight\", column 1: a sum of squares of -1"},
        {43, 0x7f800000, "column 2: a sum of squares of inf"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char old[4];
        memcpy(old, b.data + wrong[i].at, 4);
        memcpy(b.data + wrong[i].at, &wrong[i].v, 4);
        assert_status(ts_imatrix_open_mem(&m, span_of(&b), "old", &err), TS_E_FORMAT);
        assert_says(wrong[i].says);
        memcpy(b.data + wrong[i].at, old, 4);
    }
    memcpy(strstr(b.data + 51, "attn_q"), "ffn_up", 6);
    assert_status(ts_imatrix_open_mem(&m, span_of(&b), "old", &err), TS_E_FORMAT);
    assert_says("\"blk.0.ffn_up.weight\" is there twice");
    ts_buf_free(&b);
}

/* ---- GGUF -------------------------------------------------------------------------------------------------------- */

static const float sums[6] = {2, 4, 6, 30, 0, 12}, counts[2] = {2, 0};

static void make_gguf(ts_buf *b, const float *sum, const float *count, uint64_t n_mat, uint64_t n_count,
                      const char *count_name, const char *type) {
    ts_gguf_writer *w;
    assert_ok(ts_gguf_writer_new(&w, 0, &err));
    if (type) ts_gguf_put_str(w, "general.type", type);
    ts_gguf_put_u32(w, "imatrix.chunk_count", 9);
    ts_gguf_put_u32(w, "imatrix.chunk_size", 512);
    const ts_span text[2] = {{(const uint8_t *)"a.txt", 5}, {(const uint8_t *)"b.txt", 5}};
    ts_gguf_put_strings(w, "imatrix.datasets", text, 2);
    ts_gguf_add_tensor(w, "blk.1.ffn_up.weight.in_sum2", TS_F32, 2, (uint64_t[]){3, n_mat}, sum);
    ts_gguf_add_tensor(w, count_name, TS_F32, 2, (uint64_t[]){1, n_count}, count);
    ts_gguf_add_tensor(w, "blk.1.ffn_up.weight.in_sum", TS_F32, 2, (uint64_t[]){3, n_mat}, sum);
    b->len = 0;
    assert_ok(ts_gguf_save_mem(w, b, &err));
    ts_gguf_writer_free(w);
}

static void test_gguf(void **state) {
    (void)state;
    static const char COUNTS[] = "blk.1.ffn_up.weight.counts";
    ts_buf b = {0};
    ts_imatrix *m;
    make_gguf(&b, sums, counts, 2, 2, COUNTS, "imatrix");
    assert_ok(ts_imatrix_open_mem(&m, span_of(&b), "new", &err));
    assert_int_equal(ts_imatrix_n(m), 1);
    const ts_imatrix_entry *e = ts_imatrix_find(m, "blk.1.ffn_up.weight");
    assert_true(e && e->n_in == 3 && e->n_mat == 2 && e->count == 2);
    for (int i = 0; i < 3; i++) assert_true(e->mean[i] == sums[i] / 2 && e->mean[3 + i] == 1);
    assert_int_equal(ts_imatrix_chunks(m), 9);
    assert_int_equal(ts_imatrix_chunk_size(m), 512);
    assert_string_equal(ts_imatrix_dataset(m), "a.txt");
    ts_imatrix_free(m);

    make_gguf(&b, sums, counts, 2, 1, COUNTS, "imatrix");
    assert_status(ts_imatrix_open_mem(&m, span_of(&b), "new", &err), TS_E_FORMAT);
    assert_says("\"blk.1.ffn_up.weight\" and its counts are not F32 of [columns, matrices]");
    make_gguf(&b, sums, counts, 2, 2, "blk.2.ffn_up.weight.counts", "imatrix");
    assert_status(ts_imatrix_open_mem(&m, span_of(&b), "new", &err), TS_E_FORMAT);
    assert_says("\"blk.1.ffn_up.weight\" has no counts");
    make_gguf(&b, sums, (float[]){1, -1}, 2, 2, COUNTS, "imatrix");
    assert_status(ts_imatrix_open_mem(&m, span_of(&b), "new", &err), TS_E_FORMAT);
    assert_says("matrix 1: a count of -1");
    make_gguf(&b, (float[]){1, 2, NAN}, counts, 1, 1, COUNTS, "imatrix");
    assert_status(ts_imatrix_open_mem(&m, span_of(&b), "new", &err), TS_E_FORMAT);
    assert_says("column 2: a sum of squares of nan");
    make_gguf(&b, sums, counts, 2, 2, COUNTS, "model");
    assert_status(ts_imatrix_open_mem(&m, span_of(&b), "new", &err), TS_E_FORMAT);
    assert_says("new: not an importance matrix (its general.type is not \"imatrix\")");
    make_gguf(&b, sums, counts, 2, 2, COUNTS, NULL);
    assert_status(ts_imatrix_open_mem(&m, span_of(&b), "new", &err), TS_E_FORMAT);
    ts_buf_free(&b);
}

/* ---- making one -------------------------------------------------------------------------------------------------- */

static void test_made(void **state) {
    (void)state;
    char path[] = "/tmp/tessera-imatrix-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    ts_imatrix *m, *back;
    assert_ok(ts_imatrix_new(&m, "words", 3, 512, &err));
    double sum[2][40];
    ts_rng rng = ts_rng_seed(4);
    for (int i = 0; i < 80; i++) sum[i / 40][i % 40] = ldexp(ts_rng_gauss(&rng) * ts_rng_gauss(&rng), i % 30 - 10);
    for (int i = 0; i < 80; i++) sum[i / 40][i % 40] *= sum[i / 40][i % 40];
    assert_ok(ts_imatrix_add(m, "b.weight", 40, 1500, sum[0], &err));
    assert_ok(ts_imatrix_add(m, "a.weight", 17, 1536, sum[1], &err));
    assert_status(ts_imatrix_add(m, "b.weight", 40, 1500, sum[0], &err), TS_E_INVAL);
    assert_says("\"b.weight\" is there already");
    assert_status(ts_imatrix_add(m, "c.weight", 1, 1, (double[]){-1}, &err), TS_E_INVAL);
    assert_status(ts_imatrix_add(m, "c.weight", 1, 1, (double[]){1e300}, &err), TS_E_INVAL);
    assert_status(ts_imatrix_add(m, "c.weight", 2, 1, (double[]){1, (double)NAN}, &err), TS_E_INVAL);
    assert_says("\"c.weight\", column 1");
    assert_int_equal(ts_imatrix_n(m), 2);
    assert_ok(ts_imatrix_save(m, path, &err));
    assert_ok(ts_imatrix_open(&back, path, &err));
    assert_int_equal(ts_imatrix_n(back), 2);
    assert_string_equal(ts_imatrix_dataset(back), "words");
    assert_true(ts_imatrix_chunks(back) == 3 && ts_imatrix_chunk_size(back) == 512);
    for (int k = 0; k < 2; k++) {
        const ts_imatrix_entry *a = ts_imatrix_at(m, (size_t)k), *e = ts_imatrix_at(back, (size_t)k);
        assert_string_equal(a->name, e->name);
        assert_true(a->n_in == e->n_in && a->count == e->count && e->n_mat == 1);
        for (size_t i = 0; i < a->n_in; i++) {
            const double want = sum[1 - k][i] / a->count;
            assert_true(fabs((double)a->mean[i] - want) <= want * 1e-6);
            assert_true(fabs((double)e->mean[i] - want) <= want * 1e-6);
        }
    }
    ts_imatrix_free(back);
    ts_imatrix_free(m);
    unlink(path);
    assert_status(ts_imatrix_open(&m, path, &err), TS_E_IO);
}

static bool open_it(void *ud) {
    ts_imatrix *m;
    if (ts_imatrix_open_mem(&m, span_of(ud), "x", &err) != TS_OK) return false;
    ts_imatrix_free(m);
    return true;
}

static bool make_it(void *ud) {
    ts_imatrix *m = NULL;
    bool ok = ts_imatrix_new(&m, "t", 1, 2, &err) == TS_OK &&
              ts_imatrix_add(m, "a", 2, 1, (double[]){1, 2}, &err) == TS_OK &&
              ts_imatrix_add(m, "b", 2, 1, (double[]){1, 2}, &err) == TS_OK && ts_imatrix_save(m, ud, &err) == TS_OK;
    ts_imatrix_free(m);
    return ok;
}

static void test_no_memory(void **state) {
    (void)state;
    char path[] = "/tmp/tessera-imatrix-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    ts_buf b = {0};
    make_dat(&b);
    alloc_fail_loop(open_it, &b, false);
    make_gguf(&b, sums, counts, 2, 2, "blk.1.ffn_up.weight.counts", "imatrix");
    alloc_fail_loop(open_it, &b, false);
    alloc_fail_loop(make_it, path, false);
    ts_buf_free(&b);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dat),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("imatrix", tests, NULL, NULL);
}
