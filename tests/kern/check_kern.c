/* check_kern.c - the kernel checker: every variant of every kernel against the reference, bit for bit.
 *
 * Usage: check_kern [--seed N] [--bench] [--only NAME] [--break]
 *        check_kern --levels       the levels of this processor, weakest first, a line each
 *   --bench   also time each variant at a large size: ns, GB/s of weights, GOP/s
 *   --break   corrupt one bit of one variant's output now and then: the checker must notice (its own test)
 * Sizes are odd on purpose, inputs contain saturating values, zeros, denormals, NaN and Inf; buffers end at an unmapped
 * page, so that reading or writing past the end is a crash; outputs have canaries. The seed is printed on failure. */
#define _GNU_SOURCE
#include "base/clock.h"
#include "base/rng.h"
#include "format/quant.h"
#include "kern/fmath.h"
#include "kern/kern.h"
#include "support/levels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static ts_rng rng;
static uint64_t seed;
static bool bench, break_it;
static const char *only;
static int failures, checks;

/* n bytes that end right before an unmapped page. */
static void *guarded(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), total = (n + 63 + page - 1) / page * page + page;
    char *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + total - page, page, PROT_NONE)) {
        perror("mmap");
        exit(2);
    }
    return p + total - page - n;
}

static void guarded_free(void *p, size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), total = (n + 63 + page - 1) / page * page + page;
    munmap((char *)p + n + page - total, total);
}

/* The same, 64-byte aligned where the kernel's contract says so: the guard follows after at most 63 bytes. */
static void *guarded64(size_t n) {
    return guarded((n + 63) & ~(size_t)63);
}

static void guarded64_free(void *p, size_t n) {
    guarded_free(p, (n + 63) & ~(size_t)63);
}

static bool same(float a, float b) {
    uint32_t x, y;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    return x == y || (isnan(a) && isnan(b));
}

static void fail(const char *what, const char *level, size_t i, double want, double got) {
    if (failures++ < 20)
        printf("FAIL %s (%s): element %zu is %a, reference %a; seed %llu\n", what, level, i, got, want,
               (unsigned long long)seed);
}

static void compare(const char *what, const char *level, const float *want, float *got, size_t n) {
    checks++;
    if (break_it && n && ts_rng_below(&rng, 50) == 0) {
        uint32_t u;
        memcpy(&u, got + n / 2, 4);
        u ^= 1;
        memcpy(got + n / 2, &u, 4);
    }
    for (size_t i = 0; i < n; i++)
        if (!same(want[i], got[i])) {
            fail(what, level, i, (double)want[i], (double)got[i]);
            return;
        }
}

static float pick_float(int kind) {
    switch (kind) {
    case 0: return (float)ts_rng_gauss(&rng);
    case 1: return ts_f32_from_bits(ts_rng_u32(&rng)); /* any bits: NaN, Inf, denormals */
    case 2: return ts_rng_below(&rng, 4) ? 0.0f : (float)ts_rng_gauss(&rng) * 1e-42f;
    default: return ts_rng_below(&rng, 2) ? 1.0f : -1.0f;
    }
}

/* `kind`: 0 gaussian, 1 any bits, 2 mostly zeros and denormals, 3 saturating, 4 gaussian with a few wild values */
static void fill_floats(float *x, size_t n, int kind) {
    for (size_t i = 0; i < n; i++)
        x[i] = pick_float(kind == 4 ? (ts_rng_below(&rng, 100) == 0 ? 1 : 0) : kind);
}

/* A row of valid random blocks: any bits for the integers, tame scales. */
static void fill_blocks(ts_dtype type, uint8_t *p, size_t n_block) {
    const size_t bytes = ts_dtype_get(type)->block_bytes;
    const ts_wtype *t = ts_wtype_of(type);
    for (size_t b = 0; b < n_block; b++, p += bytes) {
        int extreme = (int)ts_rng_below(&rng, 8);
        for (size_t i = 0; i < bytes; i++)
            p[i] = extreme == 0 ? 0xff : extreme == 1 ? 0 : extreme == 2 ? 0x80 : (uint8_t)ts_rng_u32(&rng);
        uint16_t d = ts_f32_to_f16((float)ts_rng_gauss(&rng) * 0.01f), m = ts_f32_to_f16((float)ts_rng_gauss(&rng));
        if (t->scale == TS_SCALE_E8) {
            if (extreme > 2) p[t->d_at] = (uint8_t)(110 + ts_rng_below(&rng, 20));
            continue;
        }
        memcpy(p + t->d_at, &d, 2);
        if (ts_wtype_has_min(t)) memcpy(p + t->second_at, &m, 2);
    }
}

static const ts_dtype quant_types[] = {TS_Q4_0, TS_Q4_1, TS_Q5_0, TS_Q5_1, TS_Q8_0,   TS_Q2_K,   TS_Q3_K,
                                       TS_Q4_K, TS_Q5_K, TS_Q6_K, TS_MXFP4, TS_IQ4_NL, TS_IQ4_XS};
enum { N_QUANT = sizeof quant_types / sizeof *quant_types };

/* A packed matrix, its file form and its place in guarded memory. */
struct matrix {
    ts_qmat m;
    uint8_t *file;
    size_t row_bytes;
    void *data;
};

static struct matrix make_matrix(ts_dtype type, uint32_t rows, uint32_t cols) {
    struct matrix x = {.row_bytes = ts_dtype_row_bytes(type, cols)};
    if (!ts_qmat_init(&x.m, type, rows, cols)) abort();
    x.file = malloc(x.row_bytes * rows);
    fill_blocks(type, x.file, (size_t)rows * cols / ts_dtype_get(type)->block);
    x.data = guarded64(ts_qmat_bytes(&x.m));
    x.m.data = x.data;
    for (uint32_t g = 0; g < x.m.n_group; g++)
        ts_qmat_pack_group(&x.m, x.file, x.row_bytes, g, (char *)x.data + g * x.m.group_bytes);
    return x;
}

static void free_matrix(struct matrix *x) {
    free(x->file);
    guarded64_free(x->data, ts_qmat_bytes(&x->m));
}

static ts_qact make_act(uint32_t K, uint32_t n_tok) {
    ts_qact a;
    ts_err err;
    if (ts_qact_init(&a, K, n_tok, &err) != TS_OK) abort();
    return a;
}

static void quantise_all(const ts_kern *k, ts_qact *a, const float *x, uint32_t K, uint32_t n_tok) {
    for (uint32_t t = 0; t < n_tok; t++) {
        k->quant32(x + (size_t)t * K, K, n_tok, t, a);
        if (K % 256 == 0) k->quant256(x + (size_t)t * K, K, n_tok, t, a);
    }
}

/* An element of the packed product against the file's own blocks, in double: catches a mistake that all variants and
 * the packing share. */
static void check_meaning(const struct matrix *w, const float *x, uint32_t n_tok, const float *y) {
    uint32_t K = w->m.n_cols;
    float *row = malloc(K * sizeof *row);
    for (int probe = 0; probe < 6; probe++) {
        uint32_t r = (uint32_t)ts_rng_below(&rng, w->m.n_rows), t = (uint32_t)ts_rng_below(&rng, n_tok);
        ts_dequant(w->m.type, w->file + r * w->row_bytes, row, K);
        double sum = 0, scale = 0;
        int block = ts_act_block(w->m.type);
        for (uint32_t b = 0; b < K; b += (uint32_t)block) {
            double amax = 0;
            for (uint32_t i = b; i < b + (uint32_t)block; i++) amax = fmax(amax, fabs((double)x[t * K + i]));
            for (uint32_t i = b; i < b + (uint32_t)block; i++) {
                double v = amax > 0 ? rint((double)x[t * K + i] * 127 / amax) * amax / 127 : 0;
                sum += (double)row[i] * v;
                scale += fabs((double)row[i]) * amax;
            }
        }
        checks++;
        if (fabs(sum - (double)y[t * w->m.n_rows + r]) > 1e-4 * scale + 1e-30) /* a half may round the other way */
            fail("meaning", ts_dtype_get(w->m.type)->name, r, sum, (double)y[t * w->m.n_rows + r]);
    }
    free(row);
}

static void check_gemm_q(const ts_kern *ref, const ts_kern *lev, const char *level) {
    static const uint32_t toks[] = {1, 2, 3, 4, 5, 7, 16, 17, 21, 37};
    for (int i = 0; i < N_QUANT; i++) {
        ts_dtype type = quant_types[i];
        char name[64];
        snprintf(name, sizeof name, "gemm_q %s", ts_dtype_get(type)->name);
        if (only && !strstr(name, only)) continue;
        for (int round = 0; round < 12; round++) {
            uint32_t rows = (uint32_t)(1 + ts_rng_below(&rng, 70)), n_tok = toks[ts_rng_below(&rng, 10)];
            uint32_t unit = (uint32_t)ts_act_block(type),
                     K = unit * (uint32_t)(1 + ts_rng_below(&rng, unit == 32 ? 9 : 3));
            struct matrix w = make_matrix(type, rows, K);
            size_t nx = (size_t)n_tok * K, ny = (size_t)n_tok * rows;
            float *x = guarded(nx * 4), *want = guarded(ny * 4), *got = guarded(ny * 4);
            int kind = (int)ts_rng_below(&rng, 5);
            fill_floats(x, nx, kind);
            ts_qact a = make_act(K, n_tok);
            quantise_all(ref, &a, x, K, n_tok);
            uint32_t g1 = w.m.n_group;
            ref->gemm_q[type](&w.m, &a, n_tok, 0, n_tok, 0, g1, want, rows);
            lev->gemm_q[type](&w.m, &a, n_tok, 0, n_tok, 0, g1, got, rows);
            compare(name, level, want, got, ny);
            if (kind == 0) check_meaning(&w, x, n_tok, want);
            /* in parts: groups one by one, token blocks one by one */
            memset(got, 0xa5, ny * 4);
            for (uint32_t g = 0; g < g1; g++)
                for (uint32_t t = 0, n; t < n_tok; t += n) {
                    n = ts_tok_width(n_tok, t);
                    lev->gemm_q[type](&w.m, &a, n_tok, t, t + n, g, g + 1, got, rows);
                }
            compare(name, level, want, got, ny);
            /* each token alone: batching must not show */
            for (uint32_t t = 0; t < n_tok; t++) {
                quantise_all(lev, &a, x + (size_t)t * K, K, 1);
                lev->gemm_q[type](&w.m, &a, 1, 0, 1, 0, g1, got, rows);
                compare(name, level, want + (size_t)t * rows, got, rows);
            }
            ts_qact_fini(&a);
            guarded_free(x, nx * 4), guarded_free(want, ny * 4), guarded_free(got, ny * 4);
            free_matrix(&w);
        }
    }
}

/* Sums as an NPU returns them: one row of int32 a block, two with a minimum, or int16 of two blocks in a row. */
static void check_combine(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (only && !strstr("combine", only)) return;
    for (int round = 0; round < 300; round++) {
        const bool min = round % 3 == 1, pairs = round % 3 == 2;
        const uint32_t n = 1 + (uint32_t)ts_rng_below(&rng, 40);
        const uint32_t dx_step = (uint32_t[]){1, 4, 16}[ts_rng_below(&rng, 3)];
        const size_t min_at = min ? 32 * (1 + ts_rng_below(&rng, 4)) : 0,
                     step = (min ? min_at + 32 : 32) + 32 * ts_rng_below(&rng, 4), rows = pairs ? (n + 1) / 2 : n,
                     n_sum = (rows - 1) * step + min_at + 32, n_scale = (size_t)n * (min ? 16 : 8), at = round % 2;
        uint8_t *sum = guarded(n_sum + at);
        uint16_t *scale = guarded(n_scale * 2);
        float *dx = guarded(((n - 1) * dx_step + 1) * sizeof *dx), want[8], got[8];
        const int small = pairs ? 0 : (int)ts_rng_below(&rng, 20); /* sums of a block are below 2^27, wild ones any */
        for (size_t i = 0; i < n_sum + at; i++) sum[i] = (uint8_t)ts_rng_u32(&rng);
        for (size_t i = 0; i + 4 <= n_sum && !pairs; i += 4) {
            int32_t v = (int32_t)ts_rng_u32(&rng) >> small;
            memcpy(sum + at + i, &v, 4);
        }
        for (size_t i = 0; i < n_scale; i++)
            scale[i] = round % 7 ? ts_f32_to_f16((float)ts_rng_gauss(&rng)) : (uint16_t)ts_rng_u32(&rng);
        fill_floats(dx, (n - 1) * dx_step + 1, round % 5);
        fill_floats(want, 8, 0), memcpy(got, want, sizeof got);
        const ts_sums s = {sum + at, step, min_at, pairs, scale, dx, dx_step, n};
        ref->combine(&s, want), lev->combine(&s, got);
        compare("combine", level, want, got, 8);
        guarded_free(sum, n_sum + at), guarded_free(scale, n_scale * 2);
        guarded_free(dx, ((n - 1) * dx_step + 1) * sizeof *dx);
    }
}

static void check_quant(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (only && !strstr("quant", only)) return;
    for (int round = 0; round < 200; round++) {
        uint32_t n_tok = (uint32_t)(1 + ts_rng_below(&rng, 22)), K = 256 * (uint32_t)(1 + ts_rng_below(&rng, 3));
        size_t n = (size_t)n_tok * K;
        float *x = guarded(n * 4);
        fill_floats(x, n, round % 5);
        ts_qact a = make_act(K, n_tok), b = make_act(K, n_tok);
        quantise_all(ref, &a, x, K, n_tok);
        quantise_all(lev, &b, x, K, n_tok);
        compare("quant32 d", level, a.d32, b.d32, n / 32);
        compare("quant32 s", level, a.s32, b.s32, n / 32);
        compare("quant256 d", level, a.d256, b.d256, n / 256);
        checks++;
        if (memcmp(a.q32, b.q32, n) || memcmp(a.off8, b.off8, n / 8) || memcmp(a.off16, b.off16, n / 8) ||
            memcmp(a.off128, b.off128, n / 8))
            fail("quant32 integers", level, 0, 0, 0);
        if (memcmp(a.q256, b.q256, n) || memcmp(a.sums256, b.sums256, n / 256 * 48))
            fail("quant256 integers", level, 0, 0, 0);
        ts_qact_fini(&a), ts_qact_fini(&b);
        guarded_free(x, n * 4);
    }
}

static void check_gemm_f(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (only && !strstr("gemm_f", only)) return;
    static const ts_dtype types[] = {TS_F32, TS_F16, TS_BF16};
    for (int i = 0; i < 3; i++)
        for (int round = 0; round < 60; round++) {
            ts_dtype type = types[i];
            size_t size = ts_dtype_get(type)->block_bytes;
            uint32_t rows = (uint32_t)(1 + ts_rng_below(&rng, 23)), n_tok = (uint32_t)(1 + ts_rng_below(&rng, 11));
            uint32_t K = (uint32_t)(1 + ts_rng_below(&rng, 200));
            size_t nw = rows * K * size, nx = (size_t)n_tok * K * 4, ny = (size_t)n_tok * rows * 4;
            uint8_t *w = guarded(nw);
            float *x = guarded(nx), *want = guarded(ny), *got = guarded(ny);
            int kind = round % 5;
            for (size_t k = 0; k < (size_t)rows * K; k++) {
                float v = pick_float(kind == 4 ? 0 : kind);
                uint16_t h = type == TS_F16 ? ts_f32_to_f16(v) : ts_f32_to_bf16(v);
                memcpy(w + k * size, type == TS_F32 ? (void *)&v : (void *)&h, size);
            }
            fill_floats(x, nx / 4, kind);
            ref->gemm_f[type](w, K * size, K, x, K, n_tok, 0, rows, want, rows);
            lev->gemm_f[type](w, K * size, K, x, K, n_tok, 0, rows, got, rows);
            compare("gemm_f", level, want, got, ny / 4);
            memset(got, 0xa5, ny);
            for (uint32_t r = 0; r < rows; r++)
                for (uint32_t t = 0; t < n_tok; t++)
                    lev->gemm_f[type](w, K * size, K, x + (size_t)t * K, K, 1, r, r + 1, got + (size_t)t * rows, rows);
            compare("gemm_f by element", level, want, got, ny / 4);
            guarded_free(w, nw), guarded_free(x, nx), guarded_free(want, ny), guarded_free(got, ny);
        }
}

static void check_rows(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (only && !strstr("rows", only)) return;
    for (int round = 0; round < 300; round++) {
        uint32_t n = (uint32_t)(1 + ts_rng_below(&rng, 300)), n16 = (n + 15) / 16 * 16;
        float *x = guarded(n * 4), *w = guarded(n * 4), *a = guarded(n16 * 4), *b = guarded(n16 * 4);
        uint16_t *h = guarded(n16 * 2), *g = guarded(n16 * 2);
        int kind = round % 5;
        fill_floats(x, n, kind), fill_floats(w, n, kind == 1 ? 0 : kind);
        ref->rmsnorm(x, w, a, n, 1e-5f), lev->rmsnorm(x, w, b, n, 1e-5f);
        compare("rmsnorm", level, a, b, n);
        ref->silu_mul(x, w, a, n), lev->silu_mul(x, w, b, n);
        compare("silu_mul", level, a, b, n);
        memcpy(a, w, n * 4), memcpy(b, w, n * 4);
        ref->add(a, x, n), lev->add(b, x, n);
        compare("add", level, a, b, n);
        if (n >= 4) {
            uint32_t rot = 2 * (uint32_t)(1 + ts_rng_below(&rng, n / 2));
            if (rot > n) rot -= 2;
            ref->rope(x, a, w, rot, n, round % 2), lev->rope(x, b, w, rot, n, round % 2);
            compare("rope", level, a, b, n);
        }
        memset(h, 0, n16 * 2), memset(g, 0, n16 * 2);
        ref->to_f16(x, h, n), lev->to_f16(x, g, n);
        ref->f16_row(h, a, n16), ref->f16_row(g, b, n16);
        compare("to_f16", level, a, b, n16);
        for (uint32_t i = 0; i < n16; i++) h[i] = (uint16_t)ts_rng_u32(&rng);
        ref->f16_row(h, a, n16), lev->f16_row(h, b, n16);
        compare("f16_row", level, a, b, n16);
        guarded_free(x, n * 4), guarded_free(w, n * 4), guarded_free(a, n16 * 4), guarded_free(b, n16 * 4);
        guarded_free(h, n16 * 2), guarded_free(g, n16 * 2);
    }
}

static void check_attention(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (only && !strstr("attention", only)) return;
    enum { T = TS_KV_TILE };
    for (int round = 0; round < 200; round++) {
        uint32_t hd = 16 * (uint32_t)(1 + ts_rng_below(&rng, 10));
        int nq = (int)(1 + ts_rng_below(&rng, 4));
        size_t ld = hd + ts_rng_below(&rng, 40), nq_floats = (size_t)(nq - 1) * ld + hd;
        float *q = guarded(nq_floats * 4), *kv = guarded(hd * T * 4), *s = guarded((size_t)nq * T * 4),
              *r = guarded((size_t)nq * T * 4), *o = guarded(nq_floats * 4), *u = guarded(nq_floats * 4);
        int kind = round % 5;
        fill_floats(q, nq_floats, kind), fill_floats(kv, hd * T, kind == 3 ? 0 : kind);
        ref->att_scores(q, ld, nq, kv, hd, 0.125f, s), lev->att_scores(q, ld, nq, kv, hd, 0.125f, r);
        compare("att_scores", level, s, r, (size_t)nq * T);
        uint32_t lo = (uint32_t)ts_rng_below(&rng, T), hi = lo + 1 + (uint32_t)ts_rng_below(&rng, T - lo);
        float m[4], l[4], m2[4], l2[4];
        for (int i = 0; i < nq; i++) {
            ref->att_softmax(s + i * T, lo, hi, &m[i], &l[i]);
            lev->att_softmax(r + i * T, lo, hi, &m2[i], &l2[i]);
        }
        compare("att_softmax m", level, m, m2, (size_t)nq);
        compare("att_softmax l", level, l, l2, (size_t)nq);
        compare("att_softmax p", level, s, r, (size_t)nq * T);
        memset(o, 0, nq_floats * 4), memset(u, 0, nq_floats * 4);
        ref->att_values(s, nq, lo, hi, kv, hd, o, ld), lev->att_values(s, nq, lo, hi, kv, hd, u, ld);
        compare("att_values", level, o, u, nq_floats);
        float M = (float)ts_rng_gauss(&rng), L = 3, M2 = M, L2 = L;
        fill_floats(q, hd, 0), memcpy(kv, q, hd * 4);
        ref->att_merge(&M, &L, q, m[0], l[0], o, hd), lev->att_merge(&M2, &L2, kv, m[0], l[0], o, hd);
        compare("att_merge", level, q, kv, hd);
        compare("att_merge M", level, &M, &M2, 1);
        compare("att_merge L", level, &L, &L2, 1);
        guarded_free(q, nq_floats * 4), guarded_free(kv, hd * T * 4), guarded_free(s, (size_t)nq * T * 4);
        guarded_free(r, (size_t)nq * T * 4), guarded_free(o, nq_floats * 4), guarded_free(u, nq_floats * 4);
    }
}

/* Best of a few runs, in ns per call. */
#define TIME(call)                                                                                                     \
    ({                                                                                                                 \
        double best_ = 1e30;                                                                                           \
        for (int rep_ = 0; rep_ < 7; rep_++) {                                                                         \
            uint64_t t_ = ts_now_ns();                                                                                 \
            int n_ = 0;                                                                                                \
            do {                                                                                                       \
                call;                                                                                                  \
                n_++;                                                                                                  \
            } while (ts_now_ns() - t_ < 20000000);                                                                     \
            double ns_ = (double)(ts_now_ns() - t_) / n_;                                                              \
            if (ns_ < best_) best_ = ns_;                                                                              \
        }                                                                                                              \
        best_;                                                                                                         \
    })

static void run_bench(const ts_kern *lev, const char *level) {
    enum { K = 2048, ROWS = 2048, TOKS = 64 };
    for (int i = 0; i < N_QUANT; i++) {
        ts_dtype type = quant_types[i];
        char name[64];
        snprintf(name, sizeof name, "gemm_q %s", ts_dtype_get(type)->name);
        if (only && !strstr(name, only)) continue;
        struct matrix w = make_matrix(type, ROWS, K);
        float *x = guarded(TOKS * K * 4), *y = guarded(TOKS * ROWS * 4);
        fill_floats(x, TOKS * K, 0);
        ts_qact a = make_act(K, TOKS);
        static const uint32_t toks[] = {1, 4, TOKS};
        for (int j = 0; j < 3; j++) {
            quantise_all(lev, &a, x, K, toks[j]);
            double ns = TIME(lev->gemm_q[type](&w.m, &a, toks[j], 0, toks[j], 0, w.m.n_group, y, ROWS));
            printf("%-14s %-11s %2u tok  %9.0f ns  %6.1f GB/s  %7.1f GOP/s\n", name, level, toks[j], ns,
                   (double)ts_qmat_bytes(&w.m) / ns, 2.0 * K * ROWS * toks[j] / ns);
        }
        ts_qact_fini(&a);
        guarded_free(x, TOKS * K * 4), guarded_free(y, TOKS * ROWS * 4);
        free_matrix(&w);
    }
    if (!only || strstr("attention", only)) {
        enum { HD = 128 };
        float *q = guarded(4 * HD * 4), *kv = guarded(HD * 64 * 4), *s = guarded(4 * 64 * 4), *o = guarded(4 * HD * 4),
              m, l;
        fill_floats(q, 4 * HD, 0), fill_floats(kv, HD * 64, 0);
        double ns = TIME(lev->att_scores(q, HD, 4, kv, HD, 0.1f, s));
        printf("%-14s %-11s  4 q    %9.0f ns  %7.1f GFLOP/s\n", "att_scores", level, ns, 2.0 * 4 * HD * 64 / ns);
        ns = TIME(lev->att_softmax(s, 0, 64, &m, &l));
        printf("%-14s %-11s         %9.0f ns\n", "att_softmax", level, ns);
        ns = TIME(lev->att_values(s, 4, 0, 64, kv, HD, o, HD));
        printf("%-14s %-11s  4 q    %9.0f ns  %7.1f GFLOP/s\n", "att_values", level, ns, 2.0 * 4 * HD * 64 / ns);
    }
}

int main(int argc, char **argv) {
    seed = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench")) bench = true;
        else if (!strcmp(argv[i], "--break")) break_it = true;
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc) seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--only") && i + 1 < argc) only = argv[++i];
        else if (!strcmp(argv[i], "--levels")) {
            for (int level = TS_CPU_REF; level <= (int)ts_cpu_detect(); level++)
                puts(ts_cpu_level_name((ts_cpu_level)level));
            levels_here();
            return 0;
        } else return fprintf(stderr, "check_kern: unknown option %s\n", argv[i]), 2;
    }
    const ts_cpu_level best = levels_here();
    ts_kern ref, lev;
    ts_kern_init(&ref, TS_CPU_REF);
    for (int level = TS_CPU_REF; level <= (int)best; level++) {
        rng = ts_rng_seed(seed);
        const char *name = ts_cpu_level_name((ts_cpu_level)level);
        ts_kern_init(&lev, (ts_cpu_level)level);
        check_quant(&ref, &lev, name);
        check_gemm_q(&ref, &lev, name);
        check_combine(&ref, &lev, name);
        check_gemm_f(&ref, &lev, name);
        check_rows(&ref, &lev, name);
        check_attention(&ref, &lev, name);
        if (bench) run_bench(&lev, name);
    }
    printf("%d comparisons, %d failed (seed %llu)\n", checks, failures, (unsigned long long)seed);
    if (break_it) return failures ? 0 : 1;
    return failures ? 1 : 0;
}
