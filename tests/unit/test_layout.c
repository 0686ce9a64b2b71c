/* layout: packing loses nothing and mixes nothing up; how tokens are cut into blocks; quantised activations. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/rng.h"
#include "format/quant.h"
#include "kern/kern.h"

#include <math.h>

static const ts_dtype types[] = {
#define WTYPE(NAME, ...) TS_##NAME,
#include "format/wtype.def"
};
enum { N_TYPES = sizeof types / sizeof *types };

static void test_token_blocks(void **state) {
    (void)state;
    for (uint32_t n = 1; n <= 70; n++) {
        uint32_t end = 0, last = 16;
        for (uint32_t t = 0; t < n; t++) {
            uint32_t first, width;
            ts_tok_block(n, t, &first, &width);
            assert_true(first <= t && t < first + width && first + width <= n);
            assert_true(width == 16 || width == 4 || width == 1);
            if (t == end) { /* a new block: right behind the last one, never wider */
                assert_int_equal(first, end);
                assert_int_equal(width, ts_tok_width(n, first));
                assert_true(width <= last);
                end = first + width, last = width;
            }
        }
        assert_int_equal(end, n);
    }
}

/* What the kernels take for granted of a row of wtype.def; that the row is true is check_kern's business. */
static void test_rows(void **state) {
    (void)state;
    for (int i = 0; i < N_TYPES; i++) {
        const ts_wtype *t = ts_wtype_of(types[i]);
        const ts_dtype_info *info = ts_dtype_get(types[i]);
        int bytes = t->scale == TS_SCALE_E8 ? 1 : 2;
        assert_true(t->block == 32 || t->block == 256);
        assert_int_equal(t->block, info->block);
        bytes += ts_wtype_second_bytes(t);
        for (int k = 0; k < TS_WPIECES; k++) bytes += 4 * t->piece[k].words;
        assert_int_equal(bytes, info->block_bytes); /* every byte of the block is somewhere */
        assert_true(t->scale == TS_SCALE_F16 || t->second == TS_SECOND_NONE);
        assert_int_equal(t->low.mask & t->high.mask, 0);
        assert_true((t->low.mask | t->high.mask) < 64 || t->offset == 7); /* unsigned bytes that vpmaddubsw takes */
        assert_true(!t->values || ((t->low.mask | t->high.mask) == 15 && (t->offset == 4 || t->offset == 7)));
        assert_true(t->block == 32 || t->offset <= 5 || t->offset == 7); /* 16-bit sums begin with -32 sums, or less */
        for (int k = 0; k < 16 && t->values; k++) assert_true(t->values[k] + (1 << t->offset) >= 0);
        if (t->block == 32) { /* the accumulators begin with the offset's share, the minimum is the block's */
            assert_true(t->sub == TS_SUB_NONE && (t->offset == 0 || t->offset >= 3));
            assert_true(t->second == TS_SECOND_NONE || t->second == TS_SECOND_PLUS || t->second == TS_SECOND_ZERO);
            assert_true(t->second != TS_SECOND_ZERO || !t->offset); /* the sum begins with the one or the other */
            assert_true(8 % ts_wtype_share(t) == 0);                /* panels are 8 blocks */
        } else {
            assert_true(t->sub != TS_SUB_NONE && (t->sub_block == 16 || t->sub_block == 32));
            assert_true(t->second != TS_SECOND_PLUS && t->second != TS_SECOND_ZERO && !t->share);
        }
        assert_true(t->spread > 0);
        assert_true(!t->tight || (1u << t->tight) - 1 == (unsigned)(t->low.mask | t->high.mask));
        /* Groups lie in words that are there, their bits inside bytes and nowhere twice, as the pieces have them and as
         * the kernels do; every bit of an element is somewhere. */
        for (int tight = 0; tight <= (t->tight != 0); tight++) {
            uint8_t seen[64] = {0};
            for (int c = 0; c < t->block / 32; c++)
                for (int g = 0; g < 8; g++) {
                    unsigned bits = 0;
                    for (int k = 0; k < 3; k++) {
                        const ts_wfield f = tight ? ts_wtype_field(t, c, g, k) : ts_wtype_piece_field(t, c, g, k);
                        if (!f.mask) continue;
                        assert_in_range(f.word, 0, ts_wtype_main_words(t) - 1);
                        assert_true(f.shift > -8 && f.shift < 8);
                        const unsigned from = f.shift >= 0 ? (unsigned)f.mask << f.shift : (unsigned)f.mask >> -f.shift;
                        assert_true(from > 0 && from < 256);
                        assert_int_equal(seen[f.word] & from, 0);
                        seen[f.word] |= (uint8_t)from;
                        assert_int_equal(bits & f.mask, 0);
                        bits |= f.mask;
                    }
                    assert_int_equal(bits, t->low.mask | t->high.mask);
                }
        }
    }
    assert_int_equal(ts_wtype_of(TS_F16)->block, 0);
    assert_int_equal(ts_wtype_of(TS_DTYPES)->block, 0);
}

static void test_shapes(void **state) {
    (void)state;
    ts_qmat m;
    for (int i = 0; i < N_TYPES; i++) {
        const ts_dtype_info *info = ts_dtype_get(types[i]);
        const uint32_t block = (uint32_t)ts_act_block(types[i]);
        assert_int_equal(block, info->block);
        for (uint32_t rows = 1; rows < 50; rows += 7) {
            const uint32_t cols = 4 * block; /* four blocks: the head is whole lines */
            assert_true(ts_qmat_init(&m, types[i], rows, cols));
            assert_int_equal(m.n_group, (rows + 15) / 16);
            /* packed weights are as large as the file's, rows rounded up to 16; what blocks share is there once */
            const ts_wtype *t = ts_wtype_of(types[i]);
            const size_t again = (size_t)ts_wtype_head_bytes(t) * (4 - 4 / (size_t)ts_wtype_share(t)),
                         group = 16 * ts_dtype_row_bytes(types[i], cols) - again;
            assert_int_equal(ts_qmat_bytes(&m), m.n_group * ((group + 63) & ~(size_t)63));
        }
        assert_false(ts_qmat_init(&m, types[i], 16, block + 16));
        assert_false(ts_qmat_init(&m, types[i], 16, 0));
        assert_false(ts_qmat_init(&m, types[i], 0, block));
        assert_false(ts_qmat_init(&m, types[i], UINT32_MAX, block));
        assert_false(ts_qmat_init(&m, types[i], 1ull << 40, block));
        assert_false(ts_qmat_init(&m, types[i], 16, (uint64_t)block << 32));
    }
    assert_false(ts_qmat_init(&m, TS_F32, 16, 256));
    assert_false(ts_qmat_init(&m, TS_DTYPES, 16, 256));
    assert_int_equal(ts_act_block(TS_F16), 0);
}

/* Every bit of a row's file form turns up at exactly one place of the packed group, in that row's lane, and no two
 * at the same: found by flipping them one at a time. */
static void test_bijection(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(1);
    for (int i = 0; i < N_TYPES; i++) {
        const ts_dtype type = types[i];
        const uint32_t rows = 21, blocks = 2, cols = blocks * ts_dtype_get(type)->block;
        const size_t row_bytes = ts_dtype_row_bytes(type, cols);
        ts_qmat m;
        assert_true(ts_qmat_init(&m, type, rows, cols));
        uint8_t *file = malloc(row_bytes * rows), *a = ts_alloc_aligned(m.group_bytes, 1),
                *b = ts_alloc_aligned(m.group_bytes, 1);
        uint8_t *seen = calloc(m.group_bytes, 8);
        assert_true(file && a && b && seen);
        for (size_t k = 0; k < row_bytes * rows; k++) file[k] = (uint8_t)ts_rng_u32(&rng);
        for (uint32_t row = 0; row < rows; row += 5) { /* of the whole group and of the one with padding */
            const uint32_t g = row / 16;
            memset(seen, 0, m.group_bytes * 8);
            ts_qmat_pack_group(&m, file, row_bytes, g, a);
            const ts_wtype *info = ts_wtype_of(type);
            for (size_t bit = 0; bit < row_bytes * 8; bit++) {
                file[row * row_bytes + bit / 8] ^= (uint8_t)(1 << bit % 8);
                memset(b, 0x5a, m.group_bytes);
                ts_qmat_pack_group(&m, file, row_bytes, g, b);
                file[row * row_bytes + bit / 8] ^= (uint8_t)(1 << bit % 8);
                size_t changed = 0;
                for (size_t k = 0; k < m.group_bytes; k++)
                    for (int j = 0; a[k] != b[k] && j < 8; j++)
                        if ((a[k] ^ b[k]) >> j & 1) {
                            changed++;
                            assert_int_equal(seen[k * 8 + (size_t)j]++, 0);
                            if (k >= m.head_stride) assert_int_equal((k - m.head_stride) % 64 / 4, row % 16);
                            else if (info->scale == TS_SCALE_E8) assert_int_equal(k % 16, row % 16);
                            else if (k % (size_t)ts_wtype_head_bytes(info) < 32 || info->second != TS_SECOND_ZERO)
                                assert_int_equal(k % (size_t)ts_wtype_head_bytes(info) % 32 / 2, row % 16);
                            else assert_int_equal(k % (size_t)ts_wtype_head_bytes(info) % 16, row % 16);
                        }
                /* a byte of which 4 bits count, and what other blocks have too, are not all there */
                const size_t bytes = ts_dtype_get(type)->block_bytes, in_block = bit / 8 % bytes, nth = bit / 8 / bytes;
                const bool idle = info->second == TS_SECOND_ZERO && in_block == info->second_at && bit % 8 >= 4,
                           shared = nth % (size_t)ts_wtype_share(info) && in_block < info->piece[0].at;
                assert_int_equal(changed, idle || shared ? 0 : 1);
            }
        }
        /* rows past the end are zero bytes (Q8_0: they may be anything that is the same every time) */
        ts_qmat_pack_group(&m, file, row_bytes, 1, a);
        for (size_t k = m.head_stride; k < m.group_bytes; k++)
            if ((k - m.head_stride) % 64 / 4 >= rows % 16) assert_int_equal(a[k], 0);
        free(file), free(seen), ts_free(a), ts_free(b);
    }
}

/* The reference quantiser against its specification in kern.h. */
static void test_quantise(void **state) {
    (void)state;
    enum { K = 512, N = 21 };
    ts_kern kern;
    ts_kern_init(&kern, TS_CPU_REF);
    ts_rng rng = ts_rng_seed(2);
    static float x[N][K];
    for (int t = 0; t < N; t++)
        for (int i = 0; i < K; i++) x[t][i] = (float)ts_rng_gauss(&rng);
    memset(x[1], 0, 32 * sizeof(float));
    x[2][5] = NAN, x[2][6] = INFINITY, x[2][300] = -INFINITY;
    for (int i = 0; i < 256; i++) x[3][i] = i == 7 ? 0x1p-149f : i < 32 ? 0 : 0x1.fffffep-41f; /* too small: nothing */
    for (int i = 256; i < 288; i++) x[3][i] = i == 256 ? -0x1p-40f : 0x1p-41f;                 /* just large enough */
    for (int i = 0; i < 32; i++) x[4][i] = (float)(i - 16) * 0.5f, x[4][31] = 127; /* steps of a half: ties to even */
    ts_qact a;
    ts_err err;
    assert_ok(ts_qact_init(&a, K, N, &err));
    for (uint32_t t = 0; t < N; t++) kern.quant32(x[t], K, N, t, &a), kern.quant256(x[t], K, N, t, &a);
    for (uint32_t t = 0; t < N; t++) {
        uint32_t first, width;
        ts_tok_block(N, t, &first, &width);
        for (uint32_t block = 32; block <= 256; block += 224)
            for (uint32_t b = 0; b < K / block; b++) {
                const int8_t *q = (block == 32 ? a.q32 : a.q256) + first * K;
                const float d = (block == 32 ? a.d32 : a.d256)[first * (K / block) + b * width + t - first];
                float amax = 0;
                for (uint32_t i = 0; i < block; i++) amax = fmaxf(amax, fabsf(x[t][b * block + i]));
                if (amax < 0x1p-40f) amax = 0;
                assert_true(d == amax * 0x1.020408p-7f);
                int sum = 0;
                for (uint32_t i = 0; i < block; i++) {
                    const uint32_t at = b * block + i;
                    const int v = q[(at / 4 * width + t - first) * 4 + at % 4];
                    const float in = x[t][at];
                    double want = amax == 0   ? 0
                                  : isinf(in) ? copysign(127, (double)in)
                                              : rint((double)(in * (127 / amax)));
                    if (isnan(want)) want = 0;
                    assert_int_equal(v, (int)want);
                    sum += v;
                }
                const size_t s = first * (K / 32) + b * width + t - first;
                if (block == 32) {
                    assert_true(a.s32[s] == (float)sum * d || isnan(a.s32[s]));
                    assert_int_equal(a.off8[s], -8 * sum);
                    assert_int_equal(a.off16[s], -16 * sum);
                    assert_int_equal(a.off128[s], -128 * sum);
                }
            }
    }
    ts_qact_fini(&a);
}

static bool make_act(void *ud) {
    (void)ud;
    ts_qact a = {0};
    bool ok = ts_qact_init(&a, 1000, 17, NULL) == TS_OK;
    ts_qact_fini(&a);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(make_act, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_blocks), cmocka_unit_test(test_rows),     cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_bijection),
        cmocka_unit_test(test_quantise),     cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
