/* Block formats: dequantising equals the goldens bit for bit; the reference quantisers equal them byte for byte; the
 * searched ones are no worse. Without the shared data the layouts are still pinned by hand-made blocks. */
#include "support/test.h"

#include "base/rng.h"
#include "format/search.h"

#include <math.h>

/* Every type that ts_dequant and ts_quantize take, but F32. */
static const struct type_case {
    ts_dtype type;
    bool exact; /* ts_quantize gives the reference's bytes */
} types[] = {
    {TS_F16, true},   {TS_BF16, true},  {TS_Q4_0, true},  {TS_Q4_1, true},  {TS_Q5_0, true},
    {TS_Q5_1, true},  {TS_Q8_0, true},  {TS_Q2_K, false}, {TS_Q3_K, false}, {TS_Q4_K, false},
    {TS_Q5_K, false}, {TS_Q6_K, false}, {TS_IQ4_NL, true}, {TS_IQ4_XS, false}, {TS_MXFP4, true},
};
enum { N_TYPES = sizeof types / sizeof *types, N = 4096, ROW = 256, ROWS = N / ROW };

static void test_dtype(void **state) {
    (void)state;
    ts_dtype t;
    for (int i = 0; i < N_TYPES; i++) {
        const ts_dtype_info *info = ts_dtype_get(types[i].type);
        assert_true(info->block > 0 && info->block == info->file_block);
        assert_int_equal(info->block_bytes, info->file_block_bytes);
        assert_true(ts_dtype_find(info->name, &t));
        assert_int_equal(t, types[i].type);
        assert_int_equal(ts_dtype_row_bytes(t, info->block), info->block_bytes);
        assert_int_equal(ts_dtype_row_bytes(t, 7 * info->block), 7 * info->block_bytes);
        if (info->block > 1) assert_int_equal(ts_dtype_row_bytes(t, info->block + 1), 0);
    }
    assert_true(ts_dtype_find("Q4_k", &t));
    assert_int_equal(t, TS_Q4_K);
    assert_true(ts_dtype_find("f32", &t));
    assert_int_equal(t, TS_F32);
    assert_false(ts_dtype_find("q4", &t));
    assert_false(ts_dtype_find("", &t));
    assert_false(ts_dtype_find("iq2_xs", &t)); /* has a name, cannot be read */
    assert_string_equal(ts_dtype_get(17)->name, "iq2_xs");
    assert_int_equal(ts_dtype_get(17)->block, 0);
    assert_int_equal(ts_dtype_get(17)->file_block_bytes, 74);
    assert_int_equal(ts_dtype_row_bytes((ts_dtype)17, 256), 0);
    assert_null(ts_dtype_get(63)->name);
    assert_null(ts_dtype_get(UINT32_MAX)->name);
    assert_int_equal(ts_dtype_row_bytes(TS_F32, UINT64_MAX / 2), 0);
    assert_int_equal(ts_dtype_row_bytes((ts_dtype)UINT32_MAX, 32), 0);
}

static uint32_t bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static void test_f16(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = ts_f16_to_f32((uint16_t)h);
        int e = h >> 10 & 31, m = h & 1023;
        double want = e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25);
        if (e == 31) want = m ? (double)NAN : (double)INFINITY;
        if (h & 0x8000) want = -want;
        if (isnan(want)) {
            assert_true(isnan(f));
            assert_true((ts_f32_to_f16(f) & 0x7e00) == 0x7e00);
            continue;
        }
        assert_true((double)f == want && !signbit(f) == !(h & 0x8000));
        assert_int_equal(ts_f32_to_f16(f), h);
        if (e == 31) continue;
        /* half way to the next: to even; a hair less or more: to the nearer one */
        float next = ts_f16_to_f32((uint16_t)(h + 1));
        float half = (h & 0x7fff) == 0x7bff ? copysignf(65520, f) : (f + next) / 2;
        assert_int_equal(ts_f32_to_f16(half), h % 2 ? h + 1 : h);
        assert_int_equal(ts_f32_to_f16(nextafterf(half, 0)), h);
        assert_int_equal(ts_f32_to_f16(nextafterf(half, copysignf(INFINITY, f))), h + 1);
    }
    assert_int_equal(ts_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(ts_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(ts_f32_to_f16(1e-30f), 0);
    assert_int_equal(ts_f32_to_f16(-1e-30f), 0x8000);
}

static void test_bf16(void **state) {
    (void)state;
    const struct {
        uint32_t f, want;
    } cases[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81}, {0xbf80ffff, 0xbf81},
        {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff},
        {0x00000001, 0x0000}, {0x00008001, 0x0001}, {0x80000000, 0x8000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float f;
        memcpy(&f, &cases[i].f, sizeof f);
        assert_int_equal(ts_f32_to_bf16(f), cases[i].want);
    }
    for (uint32_t b = 0; b < 0x10000; b++)
        if ((b & 0x7fff) <= 0x7f80) assert_int_equal(ts_f32_to_bf16(ts_bf16_to_f32((uint16_t)b)), b);
}

static void test_scales(void **state) {
    (void)state;
    for (int e = 0; e < 256; e++)
        assert_true((double)ts_mxfp4_scale((uint8_t)e) == (e - 128 < -50 ? 0 : ldexp(1, e - 128)));
    /* the 12 bytes of 6-bit scales and mins, filled one by one through their documented bit positions */
    for (int j = 0; j < 8; j++)
        for (int v = 0; v < 64; v++) {
            uint8_t s[12] = {0}, m[12] = {0}, scale, min;
            if (j < 4) {
                s[j] = m[j + 4] = (uint8_t)v;
            } else {
                s[j + 4] = (uint8_t)(v % 16);
                s[j - 4] = (uint8_t)(v / 16 * 64);
                m[j + 4] = (uint8_t)(v % 16 * 16);
                m[j] = (uint8_t)(v / 16 * 64);
            }
            for (int k = 0; k < 8; k++) {
                ts_q4k_scale_min(s, k, &scale, &min);
                assert_int_equal(scale, k == j ? v : 0);
                assert_int_equal(min, 0);
                ts_q4k_scale_min(m, k, &scale, &min);
                assert_int_equal(scale, 0);
                assert_int_equal(min, k == j ? v : 0);
            }
        }
    for (int j = 0; j < 16; j++)
        for (int v = 0; v < 64; v++) {
            uint8_t s[12] = {0};
            int8_t out[16];
            s[j % 8] = (uint8_t)(v % 16 << (j < 8 ? 0 : 4));
            s[8 + j % 4] = (uint8_t)(v / 16 << (j / 4 * 2));
            ts_q3k_scales(s, out);
            for (int k = 0; k < 16; k++) assert_int_equal(out[k], k == j ? v - 32 : -32);
        }
    for (int j = 0; j < 8; j++)
        for (int v = 0; v < 64; v++) {
            ts_block_iq4_xs b = {0};
            b.scales_l[j / 2] = (uint8_t)(v % 16 << (j % 2 * 4));
            b.scales_h = (uint16_t)(v / 16 << (j * 2));
            for (int k = 0; k < 8; k++) assert_int_equal(ts_iq4xs_scale(&b, k), k == j ? v - 32 : -32);
        }
}

/* One block of each type with a few bits set: the expected value of single elements, worked out by hand. */
static void test_layouts(void **state) {
    (void)state;
    enum { ONE = 0x3c00, TWO = 0x4000, HALF = 0x3800 };
    float o[256];
    ts_block_q4_0 q40 = {.d = TWO, .qs = {[3] = 0x1f}};
    ts_dequant(TS_Q4_0, &q40, o, 32);
    assert_true(o[3] == 14 && o[19] == -14 && o[4] == -16);
    ts_block_q4_1 q41 = {.d = TWO, .m = HALF, .qs = {[15] = 0xe3}};
    ts_dequant(TS_Q4_1, &q41, o, 32);
    assert_true(o[15] == 6.5f && o[31] == 28.5f && o[0] == 0.5f);
    ts_block_q5_0 q50 = {.d = ONE, .qh = {1, 0, 0, 0x80}, .qs = {[0] = 0x02, [15] = 0x50}};
    ts_dequant(TS_Q5_0, &q50, o, 32);
    assert_true(o[0] == 2 && o[31] == 5 && o[16] == -16 && o[15] == -16);
    ts_block_q5_1 q51 = {.d = ONE, .m = ONE, .qh = {0, 2, 0, 0}, .qs = {[9] = 0x73}};
    ts_dequant(TS_Q5_1, &q51, o, 32);
    assert_true(o[9] == 20 && o[25] == 8 && o[8] == 1);
    ts_block_q8_0 q80 = {.d = HALF, .qs = {[7] = -128, [31] = 127}};
    ts_dequant(TS_Q8_0, &q80, o, 32);
    assert_true(o[7] == -64 && o[31] == 63.5f);
    ts_block_q2_k q2 = {.d = ONE, .dmin = TWO, .scales = {[13] = 0x35}, .qs = {[32 + 17] = 0x20}};
    ts_dequant(TS_Q2_K, &q2, o, 256); /* element 128 + 2 * 32 + 17 = 209, sub-block 13 */
    assert_true(o[209] == 5 * 2 - 6 && o[208] == -6 && o[177] == 0);
    ts_block_q3_k q3 = {.d = ONE, .scales = {[5] = 0x03}, .hmask = {[1] = 0x20}, .qs = {[32 + 1] = 0x0c}};
    ts_dequant(TS_Q3_K, &q3, o, 256); /* element 161: sub-block 10, q = 3 + 4 - 4 */
    assert_true(o[161] == -32 * 3 && o[160] == -32 * -4 && o[33] == -32 * -4 && o[80] == -29 * -4);
    ts_block_q4_k q4 = {.d = TWO, .dmin = ONE, .scales = {[1] = 3, [5] = 4}, .qs = {[31] = 0x92}};
    ts_dequant(TS_Q4_K, &q4, o, 256);
    assert_true(o[63] == 2 * 3 * 9 - 4 && o[31] == 0 && o[32] == -4);
    ts_block_q5_k q5 = {.d = ONE, .dmin = ONE, .scales = {[8 + 3] = 0x21}, .qh = {[2] = 0x80}, .qs = {[96 + 2] = 0x50}};
    ts_dequant(TS_Q5_K, &q5, o, 256);
    assert_true(o[226] == 21 - 2 && o[225] == -2 && o[194] == 0);
    ts_block_q6_k q6 = {.d = HALF, .scales = {[15] = -4}, .ql = {[127] = 0x70}, .qh = {[63] = 0xc0}};
    ts_dequant(TS_Q6_K, &q6, o, 256);
    assert_true(o[255] == 0.5f * -4 * (7 + 48 - 32) && o[254] == 64 && o[127] == 0);
    ts_block_iq4_nl i4 = {.d = ONE, .qs = {[2] = 0xf8}};
    ts_dequant(TS_IQ4_NL, &i4, o, 32);
    assert_true(o[2] == 1 && o[18] == 113 && o[3] == -127);
    ts_block_iq4_xs ix = {.d = ONE, .scales_h = 0x8000, .scales_l = {[3] = 0x50}, .qs = {[112] = 0x7c}};
    ts_dequant(TS_IQ4_XS, &ix, o, 256); /* sub-block 7: 5 + 32 - 32 */
    assert_true(o[224] == 5 * 53 && o[240] == -50 && o[0] == -32 * -127);
    ts_block_mxfp4 mx = {.e = 130, .qs = {[4] = 0xf7}};
    ts_dequant(TS_MXFP4, &mx, o, 32);
    assert_true(o[4] == 48 && o[20] == -48 && o[0] == 0);
}

/* A file of shared/assets/quant-goldens, exactly `bytes` long. NULL: no shared data. */
static void *golden(const char *name, size_t bytes) {
    char path[500], file[100];
    snprintf(file, sizeof file, "assets/quant-goldens/%s", name);
    if (!shared_path(path, sizeof path, file)) return NULL;
    FILE *f = fopen(path, "rb");
    void *p = malloc(bytes);
    assert_non_null(f);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, bytes, f), bytes);
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
    return p;
}

static void test_goldens(void **state) {
    (void)state;
    for (int i = 0; i < N_TYPES; i++) {
        const ts_dtype_info *info = ts_dtype_get(types[i].type);
        size_t bytes = ts_dtype_row_bytes(types[i].type, N);
        for (int imatrix = 0; imatrix < 2; imatrix++) { /* two sets of blocks each */
            char name[60];
            snprintf(name, sizeof name, "%s%s.q", info->name, imatrix ? ".imatrix" : "");
            uint8_t *blocks = golden(name, bytes);
            SKIP_WITHOUT(blocks);
            uint8_t *moved = malloc(bytes + 1);
            snprintf(name, sizeof name, "%s%s.dq.f32", info->name, imatrix ? ".imatrix" : "");
            float *want = golden(name, N * sizeof *want), *got = malloc(N * sizeof *got);
            assert_non_null(moved);
            assert_non_null(got);
            memcpy(moved + 1, blocks, bytes); /* blocks may lie at any address */
            ts_dequant(types[i].type, moved + 1, got, N);
            for (int k = 0; k < N; k++)
                if (bits(got[k]) != bits(want[k]))
                    fail_msg("%s: element %d is %a, not %a", name, k, (double)got[k], (double)want[k]);
            free(blocks), free(moved), free(want), free(got);
        }
    }
}

static double row_error(const float *x, const float *y) {
    double e = 0;
    for (int i = 0; i < ROW; i++) e += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sqrt(e / ROW);
}

static void test_quantize_goldens(void **state) {
    (void)state;
    float *in = golden("input.f32", N * sizeof *in);
    SKIP_WITHOUT(in);
    float *got = malloc(N * sizeof *got);
    assert_non_null(got);
    for (int i = 0; i < N_TYPES; i++) {
        const ts_dtype_info *info = ts_dtype_get(types[i].type);
        size_t bytes = ts_dtype_row_bytes(types[i].type, N);
        char name[60];
        snprintf(name, sizeof name, "%s.q", info->name);
        uint8_t *want = golden(name, bytes), *blocks = malloc(bytes);
        assert_non_null(blocks);
        ts_quantize(types[i].type, in, blocks, N);
        if (types[i].exact) {
            for (size_t k = 0; k < bytes; k++)
                if (blocks[k] != want[k])
                    fail_msg("%s: byte %zu of block %zu is %02x, not %02x", info->name, k % info->block_bytes,
                             k / info->block_bytes, blocks[k], want[k]);
        } else {
            /* No worse than the reference on any row: gaussian, constant, tiny, huge, ramp. Row 10 is four outliers
             * among near zeros, where it is luck which codes fit together. */
            enum { OUTLIERS = 10 };
            float *ref = malloc(N * sizeof *ref);
            assert_non_null(ref);
            ts_dequant(types[i].type, want, ref, N);
            ts_dequant(types[i].type, blocks, got, N);
            for (int r = 0; r < ROWS; r++) {
                double e = row_error(in + r * ROW, got + r * ROW), limit = row_error(in + r * ROW, ref + r * ROW);
                if (!(e <= limit * (r == OUTLIERS ? 1.35 : 1.02)))
                    fail_msg("%s: row %d has RMSE %g, the reference %g", info->name, r, e, limit);
            }
            free(ref);
        }
        free(want), free(blocks);
    }
    free(in), free(got);
}

/* What the formats promise without any golden: the error of gaussian numbers, and exact zeros. */
static void test_quantize_error(void **state) {
    (void)state;
    static const struct {
        ts_dtype type;
        double rmse;
    } limit[] = {
        {TS_F16, 0.0003},  {TS_BF16, 0.002}, {TS_Q8_0, 0.0065}, {TS_Q6_K, 0.020},  {TS_Q5_K, 0.040},
        {TS_Q5_1, 0.042},  {TS_Q5_0, 0.048}, {TS_Q4_K, 0.080},  {TS_Q4_1, 0.088},  {TS_IQ4_XS, 0.086},
        {TS_IQ4_NL, 0.088}, {TS_Q4_0, 0.096}, {TS_MXFP4, 0.135}, {TS_Q3_K, 0.165}, {TS_Q2_K, 0.29},
    };
    float in[N], out[N];
    uint8_t blocks[N * 2];
    ts_rng rng = ts_rng_seed(7);
    for (int i = 0; i < N; i++) in[i] = (float)ts_rng_gauss(&rng);
    for (size_t i = 0; i < sizeof limit / sizeof *limit; i++) {
        const char *name = ts_dtype_get(limit[i].type)->name;
        ts_quantize(limit[i].type, in, blocks, N);
        ts_dequant(limit[i].type, blocks, out, N);
        double e = 0;
        for (int r = 0; r < ROWS; r++) e += row_error(in + r * ROW, out + r * ROW) / ROWS;
        if (!(e < limit[i].rmse && e > limit[i].rmse / 3)) fail_msg("%s: RMSE %g, limit %g", name, e, limit[i].rmse);
        const float zeros[ROW] = {0};
        ts_quantize(limit[i].type, zeros, blocks, ROW);
        ts_dequant(limit[i].type, blocks, out, ROW);
        for (int k = 0; k < ROW; k++)
            if (out[k] != 0) fail_msg("%s: 0 became %g", name, (double)out[k]);
    }
    ts_quantize(TS_F32, in, blocks, 256);
    ts_dequant(TS_F32, blocks, out, 256);
    assert_memory_equal(in, out, 256 * sizeof *in);
}

/* Numbers no block can hold: no crash, no undefined conversion, and finite input stays finite. */
static void test_quantize_extremes(void **state) {
    (void)state;
    static const float odd[] = {0,     -0.0f,   1e-45f, -1e-45f, 1e-38f, 1e-6f,    -1e-6f,    1,        -1,
                                70000, 1e9f,    -1e20f, 3e38f,   -3e38f, INFINITY, -INFINITY, (float)NAN};
    enum { FINITE = sizeof odd / sizeof *odd - 3 };
    float in[ROW], out[ROW];
    uint8_t blocks[ROW * 4];
    ts_rng rng = ts_rng_seed(3);
    for (int round = 0; round < 300; round++) {
        bool finite = round % 2 == 0;
        float scale = (float)ldexp(1, (int)ts_rng_below(&rng, 200) - 130);
        for (int i = 0; i < ROW; i++)
            in[i] = ts_rng_below(&rng, 8) ? (float)ts_rng_gauss(&rng) * scale
                                          : odd[ts_rng_below(&rng, finite ? FINITE - 4 : FINITE + 3)];
        for (int i = 0; i < N_TYPES; i++) {
            ts_quantize(types[i].type, in, blocks, ROW);
            ts_dequant(types[i].type, blocks, out, ROW);
            if (!finite || types[i].type == TS_F16) continue;
            for (int k = 0; k < ROW; k++)
                if (!isfinite(out[k]))
                    fail_msg("%s, round %d: %g became %g", ts_dtype_get(types[i].type)->name, round, (double)in[k],
                             (double)out[k]);
        }
    }
}

/* ---- with the columns' importance ------------------------------------------------------------------------------- */

static const ts_dtype searched[] = {TS_Q2_K, TS_Q3_K, TS_Q4_K, TS_Q5_K,   TS_Q6_K,  TS_Q4_0,
                                    TS_Q4_1, TS_Q5_0, TS_Q5_1, TS_IQ4_NL, TS_IQ4_XS};
enum { N_SEARCHED = sizeof searched / sizeof *searched };

static double square_of(double v) { return v * v; }

static double weighted_error(const float *x, const float *y, const float *w, size_t per_row, size_t n) {
    double e = 0;
    for (size_t i = 0; i < n; i++) e += (double)w[i % per_row] * square_of((double)x[i] - (double)y[i]);
    return e;
}

/* By the measure of the weights the result is better than one without them, and each is the better by its own. */
static void test_weights(void **state) {
    (void)state;
    enum { PER_ROW = 512 };
    float in[N], plain[N], aware[N], w[PER_ROW], flat[PER_ROW];
    uint8_t blocks[2][N * 2];
    ts_rng rng = ts_rng_seed(21);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < N; i++) {
            const double v = ts_rng_gauss(&rng);
            in[i] = (float)(round % 2 ? v : v * v * v); /* with long tails, and without */
        }
        for (int i = 0; i < PER_ROW; i++) {
            w[i] = ts_rng_below(&rng, 20) ? expf(1.5f * (float)ts_rng_gauss(&rng)) : round % 3 ? 0 : 1e-9f;
            flat[i] = 3;
        }
        for (int t = 0; t < N_SEARCHED; t++) {
            const char *name = ts_dtype_get(searched[t])->name;
            ts_quantize(searched[t], in, blocks[0], N);
            ts_dequant(searched[t], blocks[0], plain, N);
            ts_quantize_weighted(searched[t], in, w, PER_ROW, blocks[1], N);
            ts_dequant(searched[t], blocks[1], aware, N);
            const double with = weighted_error(in, aware, w, PER_ROW, N),
                         without = weighted_error(in, plain, w, PER_ROW, N);
            if (!(with < without * 0.97)) fail_msg("%s: %g with weights, %g without", name, with, without);
            /* what all columns have in common does not matter */
            ts_quantize_weighted(searched[t], in, flat, PER_ROW, blocks[1], N);
            ts_dequant(searched[t], blocks[1], aware, N);
            const double alike = weighted_error(in, aware, flat, PER_ROW, N);
            if (!(alike <= weighted_error(in, plain, flat, PER_ROW, N) * 1.0001)) fail_msg("%s: equal weights", name);
const double gain = weighted_error(in, plain, flat, PER_ROW, N) / alike;
            if (ts_search_takes(searched[t], false)) assert_true(gain < 1.0001);
        }
        for (int i = 0; i < N_TYPES; i++) { /* the others do not ask for weights */
            bool is_searched = false;
            for (int t = 0; t < N_SEARCHED; t++) is_searched |= searched[t] == types[i].type;
            if (is_searched) continue;
            ts_quantize(types[i].type, in, blocks[0], N);
            ts_quantize_weighted(types[i].type, in, w, PER_ROW, blocks[1], N);
            assert_memory_equal(blocks[0], blocks[1], ts_dtype_row_bytes(types[i].type, N));
        }
    }
}

/* Weights that say nothing: all zero, in one block, one row, or everywhere; and the bytes do not depend on what else is
 * quantised in the same call. */
static void test_weights_odd(void **state) {
    (void)state;
    float in[N], out[N], w[N];
    uint8_t all[N * 2], alone[N * 2], plain[N * 2];
    ts_rng rng = ts_rng_seed(5);
    for (int i = 0; i < N; i++) {
        in[i] = (float)ts_rng_gauss(&rng);
        w[i] = i / ROW % 3 == 1 ? 0 : expf((float)ts_rng_gauss(&rng));
    }
    for (int t = 0; t < N_SEARCHED; t++) {
        const ts_dtype type = searched[t];
        const size_t row = ts_dtype_row_bytes(type, ROW);
        ts_quantize_weighted(type, in, w, N, all, N);
        for (int r = 0; r < ROWS; r++) {
            ts_quantize_weighted(type, in + r * ROW, w + r * ROW, ROW, alone, ROW);
            assert_memory_equal(alone, all + (size_t)r * row, row);
        }
        static const float wild[] = {0, 1e-38f, 3e38f, 1e-45f};
        for (int k = 0; k < 4; k++) {
            for (int i = 0; i < ROW; i++) w[i] = wild[k];
            ts_quantize_weighted(type, in, w, ROW, plain, N);
            ts_dequant(type, plain, out, N);
            assert_true(row_error(in, out) < 0.35);
            for (int i = 0; i < ROW; i++) w[i] = ts_rng_below(&rng, 2) ? wild[ts_rng_below(&rng, 4)] : 1;
            ts_quantize_weighted(type, in, w, ROW, plain, N);
            ts_dequant(type, plain, out, N);
            for (int i = 0; i < N; i++) assert_true(isfinite(out[i]));
        }
        for (int i = 0; i < N; i++) w[i] = i / ROW % 3 == 1 ? 0 : expf((float)ts_rng_gauss(&rng));
    }
}

/* The least weighted error that any of the 65536 scales of a block of 32 gives, its elements rounded to the nearest. */
static double best_of_all_scales(ts_dtype type, const float *x, const float *w) {
    double best = (double)INFINITY;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float d = ts_f16_to_f32((uint16_t)h);
        if (!isfinite(d) || fabsf(d) > 2) continue;
        double e = 0;
        for (int i = 0; i < 32 && e < best; i++) {
            const double v = (double)x[i] / (double)d;
            double off = (double)INFINITY;
            if (type == TS_IQ4_NL) {
                for (int k = 0; k < 16; k++) off = fmin(off, fabs(v - ts_iq4_nl_values[k]));
            } else {
                const int half = type == TS_Q4_0 ? 8 : 16;
                off = fabs(v - fmin(fmax(rint(v), -half), half - 1));
            }
            if (d == 0) off = fabs((double)x[i]);
            e += (double)w[i] * square_of(d == 0 ? off : off * (double)d);
        }
        best = e < best ? e : best;
    }
    return best;
}

static void test_brute_force(void **state) {
    (void)state;
    enum { BLOCKS = 6 };
    static const ts_dtype type[] = {TS_Q4_0, TS_Q5_0, TS_IQ4_NL};
    ts_rng rng = ts_rng_seed(77);
    for (int t = 0; t < 3; t++) {
        double got = 0, best = 0;
        for (int b = 0; b < BLOCKS; b++) {
            float x[32], y[32], w[32];
            uint8_t block[64];
            for (int i = 0; i < 32; i++) {
                x[i] = (float)ts_rng_gauss(&rng);
                w[i] = expf(1.5f * (float)ts_rng_gauss(&rng));
            }
            ts_quantize_weighted(type[t], x, w, 32, block, 32);
            ts_dequant(type[t], block, y, 32);
            const double mine = weighted_error(x, y, w, 32, 32), least = best_of_all_scales(type[t], x, w);
            assert_true(mine >= least * 0.9999);
            if (!(mine <= least * 1.15))
                fail_msg("%s: %g, where %g is possible", ts_dtype_get(type[t])->name, mine, least);
            got += mine, best += least;
        }
        if (!(got <= best * 1.03)) fail_msg("%s: %g, where %g is possible", ts_dtype_get(type[t])->name, got, best);
    }
}

/* The weighted error beside the reference's with the same weights. */
static void test_weights_goldens(void **state) {
    (void)state;
    float *in = golden("input.f32", N * sizeof *in);
    SKIP_WITHOUT(in);
    float *w = golden("imatrix.f32", N * sizeof *w);
    float ref[N], got[N];
    for (int t = 0; t < N_SEARCHED; t++) {
        const ts_dtype_info *info = ts_dtype_get(searched[t]);
        char name[60];
        snprintf(name, sizeof name, "%s.imatrix.dq.f32", info->name);
        float *want = golden(name, N * sizeof *want);
        uint8_t blocks[N * 2];
        memcpy(ref, want, sizeof ref);
        ts_quantize_weighted(searched[t], in, w, N, blocks, N);
        ts_dequant(searched[t], blocks, got, N);
        double ours = 0, theirs = 0;
        for (int r = 0; r < ROWS; r++) { /* rows of all sizes: each by what it has, gaussians and the like */
            const double own = weighted_error(in + r * ROW, got + r * ROW, w + r * ROW, ROW, ROW),
                         other = weighted_error(in + r * ROW, ref + r * ROW, w + r * ROW, ROW, ROW);
            const bool is_noise = r < 6 || r == 11 || r == 12 || r == 14 || r == 15;
            if (is_noise) ours += own / other, theirs += 1;
        }
        if (!(ours <= theirs * 0.995)) fail_msg("%s: %g of the reference's weighted error", info->name, ours / theirs);
        free(want);
    }
    free(in), free(w);
}

/* What ts_find_not_finite says about random bytes is what the values say. */
static void test_not_finite(void **state) {
    (void)state;
    enum { BLOCKS = 40 };
    uint8_t raw[BLOCKS * 256 + 1];
    float out[BLOCKS * 256];
    ts_rng rng = ts_rng_seed(11);
    int found = 0, clean = 0;
    for (int round = 0; round < 400; round++)
        for (int i = 0; i <= N_TYPES; i++) {
            const ts_dtype type = i < N_TYPES ? types[i].type : TS_F32;
            const ts_dtype_info *info = ts_dtype_get(type);
            const size_t block = (size_t)info->block, bytes = (size_t)info->block_bytes,
                         n_block = 1 + ts_rng_below(&rng, BLOCKS), n = n_block * block;
            for (size_t k = 0; k < n_block * bytes; k++) raw[1 + k] = (uint8_t)ts_rng_u32(&rng);
            if (type == TS_MXFP4) /* the upper end, where it matters */
                for (size_t k = 0; k < n_block; k++) raw[1 + k * bytes] = (uint8_t)(255 - ts_rng_below(&rng, 60));
            ts_dequant(type, raw + 1, out, n); /* + 1: no alignment is needed */
            size_t want = n;
            for (size_t k = 0; k < n && want == n; k++)
                if (!isfinite(out[k]) || (type == TS_MXFP4 && raw[1 + k / block * bytes] == 255))
                    want = k / block * block;
            size_t got = ts_find_not_finite(type, raw + 1, n);
            if (got != want) fail_msg("%s: %zu of %zu, not %zu", info->name, got, n, want);
            *(want < n ? &found : &clean) += 1;
        }
    assert_true(found > 1000 && clean > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtype),          cmocka_unit_test(test_f16),
        cmocka_unit_test(test_bf16),           cmocka_unit_test(test_scales),
        cmocka_unit_test(test_layouts),        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_quantize_goldens), cmocka_unit_test(test_quantize_error),
        cmocka_unit_test(test_quantize_extremes), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_weights),        cmocka_unit_test(test_weights_odd),
        cmocka_unit_test(test_brute_force),    cmocka_unit_test(test_weights_goldens),
    };
    return cmocka_run_group_tests_name("quant", tests, NULL, NULL);
}
