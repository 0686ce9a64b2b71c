/* kv: where keys and values lie, what storing rounds, what sizes are refused. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "format/quant.h"
#include "model/kv.h"

#include <math.h>

static ts_model_config config(uint32_t layers, uint32_t heads, uint32_t head_dim) {
    return (ts_model_config){.n_layer = layers, .n_kv_head = heads, .head_dim = head_dim};
}

static void test_sizes(void **state) {
    (void)state;
    ts_model_config c = config(3, 2, 40); /* heads of 48 elements in the cache */
    assert_int_equal(ts_kv_bytes(&c, 1, 2), 3 * 2 * 48 * 64 * 2 * 2);
    assert_int_equal(ts_kv_bytes(&c, 64, 4), 3 * 2 * 48 * 64 * 2 * 4);
    assert_int_equal(ts_kv_bytes(&c, 65, 2), 2 * ts_kv_bytes(&c, 64, 2));
    c = config(1024, 1024, 1024);
    assert_int_equal(ts_kv_bytes(&c, UINT64_MAX / 2, 4), 0); /* overflow */
    assert_int_equal(ts_kv_bytes(&c, UINT32_MAX, 4), (1ull << 32) << 33);
    c = config(1, 1, 16);
    ts_kv kv;
    ts_err err;
    assert_status(ts_kv_init(&kv, &c, 0, TS_KV_F16, &err), TS_E_INVAL);
}

/* A value that tells layer, head, position, element and key from value apart, exact in f16. */
static float mark(uint32_t layer, uint32_t head, uint32_t pos, uint32_t d, bool value) {
    uint32_t n = (((layer * 2 + head) * 130 + pos) * 24 + d) * 2 + value;
    return ts_f16_to_f32((uint16_t)(0x0400 + n % 0x7000)); /* normal, finite */
}

static float element(const ts_kv *kv, const void *tile, size_t i) {
    return kv->type == TS_KV_F32 ? ((const float *)tile)[i] : ts_f16_to_f32(((const uint16_t *)tile)[i]);
}

static void check_places(ts_kv_type type, const ts_kern *kern) {
    enum { LAYERS = 2, HEADS = 2, HD = 24, PAD = 32, CTX = 130 };
    ts_model_config c = config(LAYERS, HEADS, HD);
    ts_kv kv;
    ts_err err;
    assert_ok(ts_kv_init(&kv, &c, CTX, type, &err));
    assert_int_equal(kv.n_tile, 3);
    assert_int_equal(kv.mem.bytes, ts_kv_bytes(&c, CTX, type == TS_KV_F16 ? 2 : 4));
    for (uint32_t l = 0; l < LAYERS; l++)
        for (uint32_t h = 0; h < HEADS; h++)
            for (uint32_t pos = CTX; pos-- > 0;) {
                float k[HD], v[HD];
                for (uint32_t d = 0; d < HD; d++) k[d] = mark(l, h, pos, d, false), v[d] = mark(l, h, pos, d, true);
                ts_kv_store(&kv, kern, l, h, pos, k, v, HD);
            }
    for (uint32_t l = 0; l < LAYERS; l++)
        for (uint32_t h = 0; h < HEADS; h++)
            for (uint32_t pos = 0; pos < 3 * TS_KV_TILE; pos++) {
                const void *k = ts_kv_tile(&kv, l, false, h, pos / TS_KV_TILE),
                           *v = ts_kv_tile(&kv, l, true, h, pos / TS_KV_TILE);
                uint32_t p = pos % TS_KV_TILE;
                for (uint32_t d = 0; d < PAD; d++) {
                    bool there = pos < CTX && d < HD; /* padding of heads and unused positions stay zero */
                    assert_true(element(&kv, k, d * TS_KV_TILE + p) == (there ? mark(l, h, pos, d, false) : 0));
                    assert_true(element(&kv, v, p * PAD + d) == (there ? mark(l, h, pos, d, true) : 0));
                }
            }
    ts_kv_fini(&kv);
    assert_null(kv.mem.ptr);
}

static void test_places(void **state) {
    (void)state;
    for (int level = TS_CPU_REF; level <= (int)ts_cpu_detect(); level++) {
        ts_kern kern;
        ts_kern_init(&kern, (ts_cpu_level)level);
        check_places(TS_KV_F16, &kern);
        check_places(TS_KV_F32, &kern);
    }
}

/* f16: to nearest, ties to even; too large becomes infinite, tiny becomes denormal or 0. */
static void test_rounding(void **state) {
    (void)state;
    ts_kern kern;
    ts_kern_init(&kern, ts_cpu_detect());
    ts_model_config c = config(1, 1, 16);
    ts_kv kv;
    ts_err err;
    assert_ok(ts_kv_init(&kv, &c, 1, TS_KV_F16, &err));
    const float in[16] = {1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 1 + 0x1.002p-11f, 65519, 65520, -65520, 0x1p-25f,
                          0x1.8p-25f, -0.0f, 0x1p-24f, 1};
    const float want[16] = {1, 1 + 0x1p-9f, 1 + 0x1p-10f, 65504, INFINITY, -INFINITY, 0, 0x1p-24f, -0.0f, 0x1p-24f, 1};
    ts_kv_store(&kv, &kern, 0, 0, 0, in, in, 16);
    for (uint32_t d = 0; d < 16; d++) {
        float k = element(&kv, ts_kv_tile(&kv, 0, false, 0, 0), d * TS_KV_TILE),
              v = element(&kv, ts_kv_tile(&kv, 0, true, 0, 0), d);
        assert_memory_equal(&k, &want[d], sizeof k);
        assert_memory_equal(&v, &want[d], sizeof v);
    }
    ts_kv_fini(&kv);
}

static bool make(void *ud) {
    (void)ud;
    ts_model_config c = config(1, 1, 16);
    ts_kv kv = {0};
    bool ok = ts_kv_init(&kv, &c, 100, TS_KV_F32, NULL) == TS_OK;
    ts_kv_fini(&kv);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(make, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
