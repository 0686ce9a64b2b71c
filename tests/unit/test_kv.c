/* kv: where keys and values lie, what storing rounds, what sizes are refused, pages that timelines share. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "format/quant.h"
#include "model/kv.h"
#include "support/levels.h"

#include <math.h>
#include <pthread.h>

static ts_model_config config(uint32_t layers, uint32_t heads, uint32_t head_dim) {
    return (ts_model_config){.n_layer = layers, .n_kv_head = heads, .head_dim = head_dim};
}

static ts_kv_pool *pool_of(const ts_model_config *c) {
    ts_kv_pool *pool;
    ts_err err;
    assert_ok(ts_kv_pool_new(&pool, c, &err));
    return pool;
}

static void test_sizes(void **state) {
    (void)state;
    ts_model_config c = config(3, 2, 40); /* heads of 48 elements in the cache */
    assert_int_equal(ts_kv_bytes(&c, 1, TS_KV_F16), 3 * 2 * 48 * 64 * 2 * 2);
    assert_int_equal(ts_kv_bytes(&c, 64, TS_KV_F32), 3 * 2 * 48 * 64 * 2 * 4);
    assert_int_equal(ts_kv_bytes(&c, 1, TS_KV_Q8_0), 3 * 2 * (4 * (64 + 2 * 512) + 64 * (48 + 2 * 2)));
    assert_int_equal(ts_kv_bytes(&c, 65, TS_KV_F16), 2 * ts_kv_bytes(&c, 64, TS_KV_F16));
    c = config(1024, 1024, 1024);
    assert_int_equal(ts_kv_bytes(&c, UINT64_MAX / 2, TS_KV_F32), 0); /* overflow */
    assert_int_equal(ts_kv_bytes(&c, UINT32_MAX, TS_KV_F32), (1ull << 32) << 33);
    c = config(1, 1, 16);
    ts_kv kv;
    ts_err err;
    ts_kv_pool *pool = pool_of(&c);
    assert_status(ts_kv_init(&kv, pool, 0, TS_KV_F16, &err), TS_E_INVAL);
    ts_kv_pool_free(pool);
}

/* A value that tells layer, head, position, element and key from value apart, exact in f16. */
static float mark(uint32_t layer, uint32_t head, uint32_t pos, uint32_t d, bool value) {
    uint32_t n = (((layer * 2 + head) * 130 + pos) * 40 + d) * 2 + value;
    return ts_f16_to_f32((uint16_t)(0x0400 + n % 0x7000)); /* normal, finite */
}

/* Element d of position p of a tile. */
static float element(const ts_kv *kv, uint32_t layer, bool value, uint32_t head, uint32_t pos, uint32_t d) {
    const void *tile = ts_kv_tile(kv, layer, value, head, pos / TS_KV_TILE);
    const uint8_t *bytes = tile;
    const uint32_t p = pos % TS_KV_TILE, n_block = (kv->head_pad + 31) / 32, row = p % 16;
    const size_t at = value ? p * kv->head_pad + d : d * TS_KV_TILE + p;
    if (kv->type == TS_KV_F32) return ((const float *)tile)[at];
    if (kv->type == TS_KV_F16) return ts_f16_to_f32(((const uint16_t *)tile)[at]);
    if (value)
        return (float)(int8_t)bytes[at] *
               ts_f16_to_f32(((const uint16_t *)(bytes + TS_KV_TILE * kv->head_pad))[p * n_block + d / 32]);
    const uint8_t *group = bytes + p / 16 * kv->keys.group_bytes, *words = group + kv->keys.head_stride;
    return (float)(words[d / 4 * 64 + row * 4 + d % 4] - 128) *
           ts_f16_to_f32(((const uint16_t *)group)[d / 32 * 16 + row]);
}

/* What a q8_0 cache makes of block b of x. */
static float rounded(const float *x, uint32_t n, uint32_t d) {
    float amax = 0;
    for (uint32_t i = d & ~31u; i < n && i < (d | 31) + 1; i++) amax = fmaxf(amax, fabsf(x[i]));
    return rintf(x[d] * (127 / amax)) * ts_f16_to_f32(ts_f32_to_f16(amax * 0x1.020408p-7f));
}

static void check_places(ts_kv_type type, const ts_kern *kern) {
    enum { LAYERS = 2, HEADS = 2, HD = 40, PAD = 48, CTX = 130 };
    ts_model_config c = config(LAYERS, HEADS, HD);
    ts_kv kv;
    ts_err err;
    ts_kv_pool *pool = pool_of(&c);
    assert_ok(ts_kv_init(&kv, pool, CTX, type, &err));
    assert_int_equal(kv.n_tile, 3);
    uint64_t own;
    assert_int_equal(ts_kv_held(&kv, &own), 0);
    assert_ok(ts_kv_reserve(&kv, 0, CTX, &err));
    assert_int_equal(ts_kv_held(&kv, &own), ts_kv_bytes(&c, CTX, type));
    assert_int_equal(own, ts_kv_bytes(&c, CTX, type));
    assert_int_equal(ts_kv_pool_bytes(pool), ts_kv_bytes(&c, CTX, type));
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
                for (uint32_t d = 0; d < PAD; d++)
                    for (int value = 0; value < 2; value++) {
                        float x[HD], want = 0; /* padding of heads and unused positions stay zero */
                        for (uint32_t i = 0; i < HD; i++) x[i] = mark(l, h, pos, i, value);
                        if (pos < CTX && d < HD) want = type == TS_KV_Q8_0 ? rounded(x, HD, d) : x[d];
                        assert_true(element(&kv, l, value, h, pos, d) == want);
                    }
            }
    ts_kv_fini(&kv);
    assert_null(kv.page);
    assert_int_equal(ts_kv_pool_bytes(pool), 0);
    ts_kv_pool_free(pool);
}

static void test_places(void **state) {
    (void)state;
    for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level)) {
        ts_kern kern;
        ts_kern_init(&kern, (ts_cpu_level)level);
        check_places(TS_KV_F16, &kern);
        check_places(TS_KV_F32, &kern);
        check_places(TS_KV_Q8_0, &kern);
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
    ts_kv_pool *pool = pool_of(&c);
    assert_ok(ts_kv_init(&kv, pool, 1, TS_KV_F16, &err));
    assert_ok(ts_kv_reserve(&kv, 0, 1, &err));
    const float in[16] = {1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 1 + 0x1.002p-11f, 65519, 65520, -65520, 0x1p-25f,
                          0x1.8p-25f, -0.0f, 0x1p-24f, 1};
    const float want[16] = {1, 1 + 0x1p-9f, 1 + 0x1p-10f, 65504, INFINITY, -INFINITY, 0, 0x1p-24f, -0.0f, 0x1p-24f, 1};
    ts_kv_store(&kv, &kern, 0, 0, 0, in, in, 16);
    for (uint32_t d = 0; d < 16; d++) {
        float k = element(&kv, 0, false, 0, 0, d), v = element(&kv, 0, true, 0, 0, d);
        assert_memory_equal(&k, &want[d], sizeof k);
        assert_memory_equal(&v, &want[d], sizeof v);
    }
    ts_kv_fini(&kv);
    ts_kv_pool_free(pool);
}

/* A timeline of one layer, head and 16 elements whose positions [begin, end) hold `value`. */
static void fill(ts_kv *kv, uint32_t begin, uint32_t end, float value) {
    ts_kern kern;
    ts_err err;
    ts_kern_init(&kern, TS_CPU_REF);
    float x[16];
    for (int d = 0; d < 16; d++) x[d] = value;
    assert_ok(ts_kv_reserve(kv, begin, end - begin, &err));
    for (uint32_t pos = begin; pos < end; pos++) ts_kv_store(kv, &kern, 0, 0, pos, x, x, 16);
}

static void holds(const ts_kv *kv, uint32_t begin, uint32_t end, float value) {
    for (uint32_t pos = begin; pos < end; pos++)
        for (uint32_t d = 0; d < 16; d++) {
            assert_true(element(kv, 0, false, 0, pos, d) == value);
            assert_true(element(kv, 0, true, 0, pos, d) == value);
        }
}

/* Shared pages are held once, and what one timeline writes the other does not see. */
static void test_share(void **state) {
    (void)state;
    const ts_model_config c = config(1, 1, 16);
    ts_kv_pool *pool = pool_of(&c);
    ts_kv a, b, third;
    ts_err err;
    uint64_t own;
    assert_ok(ts_kv_init(&a, pool, 300, TS_KV_F16, &err));
    assert_ok(ts_kv_init(&b, pool, 200, TS_KV_F16, &err));
    assert_ok(ts_kv_init(&third, pool, 300, TS_KV_F16, &err));
    const size_t page = a.page_bytes;
    fill(&a, 0, 150, 1);
    fill(&b, 0, 200, 9);
    ts_kv_share(&b, &a, 150); /* in place of what it had */
    assert_int_equal(ts_kv_pool_bytes(pool), 3 * page);
    assert_int_equal(ts_kv_held(&b, &own), 3 * page);
    assert_int_equal(own, 0);
    holds(&b, 0, 150, 1);
    ts_kv_share(&third, &b, 64);
    assert_int_equal(ts_kv_held(&third, &own), page);
    fill(&b, 150, 170, 2); /* the last, partial page becomes b's own */
    assert_int_equal(ts_kv_held(&b, &own), 3 * page);
    assert_int_equal(own, page);
    ts_kv_held(&a, &own);
    assert_int_equal(own, page); /* and its old one a's */
    assert_int_equal(ts_kv_pool_bytes(pool), 4 * page);
    fill(&a, 150, 180, 3);
    assert_int_equal(ts_kv_pool_bytes(pool), 4 * page);
    holds(&b, 0, 150, 1), holds(&b, 150, 170, 2);
    holds(&a, 0, 150, 1), holds(&a, 150, 180, 3);
    fill(&a, 10, 20, 4); /* in the page that all three hold; what lies before it is kept */
    holds(&a, 0, 10, 1), holds(&a, 10, 20, 4);
    holds(&b, 0, 150, 1), holds(&third, 0, 64, 1);
    assert_int_equal(ts_kv_pool_bytes(pool), 5 * page);
    ts_kv_keep(&b, 128);
    assert_int_equal(ts_kv_pool_bytes(pool), 4 * page);
    ts_kv_fini(&a);
    holds(&b, 0, 128, 1), holds(&third, 0, 64, 1);
    ts_kv_fini(&b);
    assert_int_equal(ts_kv_pool_bytes(pool), page);
    holds(&third, 0, 64, 1);
    ts_kv_fini(&third);
    assert_int_equal(ts_kv_pool_bytes(pool), 0);
    ts_kv_pool_free(pool);
}

/* Pages that were let go are used again, for caches of their own type only; without memory for a copy all stays. */
static void test_kept(void **state) {
    (void)state;
    const ts_model_config c = config(1, 1, 16);
    ts_kv_pool *pool = pool_of(&c);
    ts_kv a, b, wide;
    ts_err err;
    assert_ok(ts_kv_init(&a, pool, 300, TS_KV_F16, &err));
    assert_ok(ts_kv_init(&b, pool, 300, TS_KV_F16, &err));
    assert_ok(ts_kv_init(&wide, pool, 300, TS_KV_F32, &err));
    fill(&a, 0, 128, 1);
    ts_kv_keep(&a, 0);
    alloc_fail_at(1, true);
    assert_status(ts_kv_reserve(&wide, 0, 1, &err), TS_E_NOMEM);
    fill(&b, 0, 128, 2);
    assert_status(ts_kv_reserve(&b, 128, 1, &err), TS_E_NOMEM);
    ts_kv_share(&a, &b, 100);
    assert_status(ts_kv_reserve(&a, 100, 1, &err), TS_E_NOMEM);
    alloc_fail_at(0, false);
    holds(&a, 0, 100, 2), holds(&b, 0, 128, 2);
    assert_int_equal(ts_kv_pool_bytes(pool), 2 * a.page_bytes);
    ts_kv_fini(&a), ts_kv_fini(&b), ts_kv_fini(&wide);
    ts_kv_pool_free(pool);
}

struct sharer {
    ts_kv *from;
    float mine;
};

/* Takes a prefix, writes behind and into it, lets go of it, many times. */
static void *share_and_write(void *arg) {
    const struct sharer *s = arg;
    ts_kv kv;
    ts_err err;
    assert_ok(ts_kv_init(&kv, s->from->pool, 300, TS_KV_F16, &err));
    for (uint32_t i = 0; i < 300; i++) {
        ts_kv_share(&kv, s->from, 100 + i % 90);
        holds(&kv, 0, 100, 1);
        fill(&kv, 100, 200, s->mine);
        holds(&kv, 0, 100, 1), holds(&kv, 100, 200, s->mine);
        if (i % 7 == 0) fill(&kv, i % 64, 70, s->mine);
    }
    ts_kv_fini(&kv);
    return NULL;
}

/* Timelines on four threads share a fifth one's pages. */
static void test_threads(void **state) {
    (void)state;
    const ts_model_config c = config(1, 1, 16);
    ts_kv_pool *pool = pool_of(&c);
    ts_kv from;
    ts_err err;
    assert_ok(ts_kv_init(&from, pool, 300, TS_KV_F16, &err));
    fill(&from, 0, 200, 1);
    pthread_t id[4];
    struct sharer s[4];
    for (int i = 0; i < 4; i++) {
        s[i] = (struct sharer){&from, (float)(i + 2)};
        assert_int_equal(pthread_create(&id[i], NULL, share_and_write, &s[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(id[i], NULL);
    holds(&from, 0, 200, 1);
    uint64_t own;
    assert_int_equal(ts_kv_held(&from, &own), 4 * from.page_bytes);
    assert_int_equal(own, 4 * from.page_bytes);
    assert_int_equal(ts_kv_pool_bytes(pool), 4 * from.page_bytes);
    ts_kv_fini(&from);
    ts_kv_pool_free(pool);
}

/* A page from outside stays as it is, or is told to have something that is no finite number, wherever that is. */
static void test_admit(void **state) {
    (void)state;
    const ts_model_config c = config(3, 2, 40);
    ts_kern kern;
    ts_kern_init(&kern, TS_CPU_REF);
    ts_kv_pool *pool = pool_of(&c);
    for (int type = TS_KV_F16; type <= TS_KV_Q8_0; type++) {
        ts_kv kv;
        ts_err err;
        assert_ok(ts_kv_init(&kv, pool, 64, (ts_kv_type)type, &err));
        assert_ok(ts_kv_reserve(&kv, 0, 64, &err));
        float x[40];
        for (int d = 0; d < 40; d++) x[d] = d % 2 ? 65504 : -1e-3f;
        for (uint32_t pos = 0; pos < 64; pos++)
            for (uint32_t l = 0; l < 3; l++)
                for (uint32_t h = 0; h < 2; h++) ts_kv_store(&kv, &kern, l, h, pos, x, x, 40);
        char *page = kv.page[0], *copy = test_malloc(kv.page_bytes);
        memcpy(copy, page, kv.page_bytes);
        assert_true(ts_kv_admit(&kv, page, 64));
        assert_memory_equal(page, copy, kv.page_bytes);
        const size_t elem = type == TS_KV_F32 ? 4 : 2, tile = kv.key_bytes + kv.value_bytes;
        const size_t keys = type == TS_KV_Q8_0 ? 0 : 40 * 64 * elem; /* padding is cleared: before it */
        const size_t last = type == TS_KV_Q8_0 ? kv.value_bytes : kv.value_bytes - 8 * elem;
        const size_t at[] = {0, 5 * tile + (keys ? keys : 3 * kv.keys.group_bytes + 16 * 2 * 2) - elem,
                             kv.key_bytes + (type == TS_KV_Q8_0 ? 64 * 48 : 0), 5 * tile + kv.key_bytes + last - elem};
        for (size_t i = 0; i < sizeof at / sizeof *at; i++)
            for (int nan = 0; nan < 2; nan++) {
                const uint32_t bad = type == TS_KV_F32 ? 0xff800000u | (uint32_t)nan : 0xfc00u | (uint32_t)nan;
                memcpy(page + at[i], &bad, elem);
                assert_false(ts_kv_admit(&kv, page, 64));
                memcpy(page, copy, kv.page_bytes);
            }
        test_free(copy);
        ts_kv_fini(&kv);
    }
    ts_kv_pool_free(pool);
}

static bool make(void *ud) {
    (void)ud;
    ts_model_config c = config(1, 1, 16);
    ts_kv_pool *pool = NULL;
    ts_kv a = {0}, b = {0};
    bool ok = ts_kv_pool_new(&pool, &c, NULL) == TS_OK && ts_kv_init(&a, pool, 100, TS_KV_F32, NULL) == TS_OK &&
              ts_kv_init(&b, pool, 100, TS_KV_F32, NULL) == TS_OK && ts_kv_reserve(&a, 0, 70, NULL) == TS_OK;
    if (ok) ts_kv_share(&b, &a, 70);
    ok = ok && ts_kv_reserve(&b, 70, 30, NULL) == TS_OK;
    ts_kv_fini(&a), ts_kv_fini(&b);
    ts_kv_pool_free(pool);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(make, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes), cmocka_unit_test(test_places),  cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_share), cmocka_unit_test(test_kept),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_admit), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
