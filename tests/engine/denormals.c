/* denormals.c - rule 4 of docs/numerics.md: are the bits the same on a processor that flushes denormals?
 *
 * Everything runs under the four settings of x86's MXCSR (as the system leaves it, results flushed, operands flushed,
 * both), or the two of ARM's FPCR (FZ flushes operands, and results before they are rounded),
 * on all threads, and all bits are compared: first kernel by kernel, on values around 2^-40 and 2^-126, denormals where
 * a kernel may meet them, outliers, zeros, f16 denormals as scales, scores far apart; then whole passes of the zoo's
 * models, into whose weights such numbers were put, at every level.
 *
 * Usage: denormals [-v] */
#define _GNU_SOURCE
#include "base/pool.h"
#include "base/rng.h"
#include "format/gguf.h"
#include "format/quant.h"
#include "kern/kern.h"
#include "support/levels.h"
#include "tessera/tessera.h"
#include "vectors/zoo.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#    include <immintrin.h>
enum { FTZ = 0x8000, DAZ = 0x0040, FLUSH = FTZ | DAZ, MODES = 4 };
static const unsigned mode[MODES] = {0, FTZ, DAZ, FTZ | DAZ};
static const char *const mode_name[MODES] = {"kept", "results flushed", "operands flushed", "both flushed"};
static unsigned get_control(void) {
    return _mm_getcsr();
}
static void set_control(unsigned v) {
    _mm_setcsr(v);
}
#elif defined(__aarch64__)
enum { FLUSH = 1 << 24, MODES = 2 }; /* FPCR.FZ */
static const unsigned mode[MODES] = {0, FLUSH};
static const char *const mode_name[MODES] = {"kept", "flushed"};
static unsigned get_control(void) {
    uint64_t v;
    __asm__ volatile("mrs %0, fpcr" : "=r"(v));
    return (unsigned)v;
}
static void set_control(unsigned v) {
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)v) : "memory");
}
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
int main(void) {
    puts("skip: this processor's treatment of denormals is not known here; cure: x86-64 or 64-bit ARM");
    return 77;
}
#else

static ts_rng rng;
static bool verbose;

static void set_mode(int m) {
    set_control((get_control() & ~(unsigned)FLUSH) | mode[m]);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* +-1.xxx times 2^e, e in [low, high]; denormal below -126. */
static float scaled(int low, int high) {
    const float m = 1 + (float)ts_rng_below(&rng, 1 << 23) * 0x1p-23f;
    return ldexpf(ts_rng_below(&rng, 2) ? m : -m, low + (int)ts_rng_below(&rng, (uint64_t)(high - low + 1)));
}

typedef enum kind { ANY, Z, SUM, NORMAL } kind;

/* ANY: denormals, too.  Z: as rule 4 lets it into a kernel.  SUM: a multiple of 2^-126, as linear layers and residual
 * sums have it.  NORMAL: not denormal. */
static float nasty(kind k, int flavour) {
    float x = 0;
    switch (flavour == 5 ? (int)ts_rng_below(&rng, 5) : flavour) {
    case 0: x = scaled(-2, 1); break;
    case 1: x = ts_rng_below(&rng, 3) ? scaled(-44, -36) : 0; break;
    case 2: x = ts_rng_below(&rng, 4) ? scaled(-130, -100) : scaled(-149, -20); break;
    case 3: x = ts_rng_below(&rng, 30) ? scaled(-60, -30) : scaled(0, 20); break;
    default: x = ts_rng_below(&rng, 8) ? 0 : scaled(-149, 4); break;
    }
    if (k == Z && fabsf(x) < 0x1p-40f) x = 0;
    if (k == SUM) x = (float)(rint((double)x * 0x1p126) * 0x1p-126);
    if (k == NORMAL && fabsf(x) < 0x1p-126f) x = copysignf(0x1p-126f, x);
    return x;
}
static void fill(float *x, size_t n, kind k, int flavour) {
    for (size_t i = 0; i < n; i++) x[i] = nasty(k, flavour);
}

static uint16_t nasty_f16(void) {
    switch (ts_rng_below(&rng, 4)) {
    case 0: return (uint16_t)(ts_rng_below(&rng, 0x400) | ts_rng_below(&rng, 2) << 15); /* denormal */
    case 1: return 0;
    default: return ts_f32_to_f16(scaled(-14, -9));
    }
}

/* Where a block's f16 fields are; -1: none. */
static void f16_fields(ts_dtype type, int at[2]) {
    at[0] = 0, at[1] = -1;
    switch (type) {
    case TS_Q4_1:
    case TS_Q5_1:
    case TS_Q4_K:
    case TS_Q5_K: at[1] = 2; break;
    case TS_Q2_K: at[0] = 80, at[1] = 82; break;
    case TS_Q3_K: at[0] = 108; break;
    case TS_Q6_K: at[0] = 208; break;
    case TS_MXFP4: at[0] = -1; break;
    default: break;
    }
}

/* Some of n blocks get tiny scales, or all of them. */
static void spoil_blocks(ts_dtype type, uint8_t *p, size_t n, bool every) {
    int at[2];
    f16_fields(type, at);
    for (size_t b = 0; b < n; b++, p += ts_dtype_get(type)->block_bytes)
        for (int i = 0; i < 2; i++) {
            if (!every && ts_rng_below(&rng, 4)) continue;
            const uint16_t h = nasty_f16();
            if (at[i] >= 0) memcpy(p + at[i], &h, 2);
            else if (type == TS_MXFP4 && i == 0)
                p[0] = (uint8_t)(ts_rng_below(&rng, 3) ? ts_rng_below(&rng, 128) : 126);
        }
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

enum { ROUNDS = 30, ROWS = 24, TOKS = 5, MAX_OUT = 1 << 15 };
static float out[MODES][MAX_OUT];
static struct tally {
    const char *name;
    size_t results, differ;
} tally[64];

static struct tally *tally_of(const char *name) {
    struct tally *t = tally;
    while (t->name && strcmp(t->name, name)) t++;
    t->name = name;
    return t;
}

/* The n results of all modes are in `out`. */
static void compare(const char *name, size_t n) {
    struct tally *t = tally_of(name);
    t->results += n;
    for (size_t i = 0; i < n; i++) {
        bool same = true;
        for (int m = 1; m < MODES; m++) same = same && !memcmp(&out[0][i], &out[m][i], 4);
        t->differ += !same;
    }
}

#    define IN_ALL_MODES(name, n, ...)                                                                                 \
        do {                                                                                                           \
            for (int m = 0; m < MODES; m++) {                                                                          \
                float *y = out[m];                                                                                     \
                set_mode(m);                                                                                           \
                __VA_ARGS__;                                                                                           \
                set_mode(0);                                                                                           \
            }                                                                                                          \
            compare(name, n);                                                                                          \
        } while (0)

static void run_rows(const ts_kern *k, int flavour) {
    static float a[512], b[512], c[512];
    static uint16_t h[512];
    const uint32_t n = 1 + (uint32_t)ts_rng_below(&rng, 512);
    fill(a, 512, ANY, flavour), fill(b, 512, Z, flavour);
    IN_ALL_MODES("rmsnorm", n, k->rmsnorm(a, b, y, n, 1e-5f));
    IN_ALL_MODES("rmsnorm", n, k->rmsnorm(a, b, y, n, 0x1p-40f));
    IN_ALL_MODES("rope", 128, k->rope(a, y, b, 96, 128, true));
    IN_ALL_MODES("rope", 128, k->rope(a, y, b, 128, 128, false));
    IN_ALL_MODES("f16", 512, (k->to_f16(a, h, 512), k->f16_row(h, y, 512)));
    fill(a, 512, SUM, flavour), fill(b, 512, SUM, flavour);
    IN_ALL_MODES("add", n, (memcpy(y, a, sizeof a), k->add(y, b, n)));
    fill(a, 512, NORMAL, flavour), fill(b, 512, NORMAL, flavour);
    for (int i = 0; i < 512; i++) c[i] = i % 4 ? a[i] : scaled(3, 7); /* gates far from 0 */
    for (int i = 0; i < 512; i++)
        if (i % 8 == 0) b[i] = scaled(60, 90);
    IN_ALL_MODES("silu_mul", n, k->silu_mul(c, b, y, n));
}

static void run_attention(const ts_kern *k, int flavour) {
    enum { HD = 48, T = TS_KV_TILE };
    static float q[4 * HD], keys[HD * T], s[4 * T], p[4 * T], o[HD];
    fill(q, 4 * HD, Z, flavour), fill(keys, HD * T, Z, flavour);
    IN_ALL_MODES("att: scores, weights", 2 * T, {
        float max[2], l[2];
        k->att_scores(q, HD, 2, TS_F32, keys, NULL, HD, y);
        k->att_softmax(y, 2, 1, 60, 0.14433756f, max, l);
        y[0] = l[0], y[T] = l[1];
    });
    /* scores far apart, some of them denormal */
    for (int i = 0; i < 4 * T; i++) s[i] = ts_rng_below(&rng, 8) ? scaled(-3, 6) : nasty(ANY, flavour);
    if (flavour == 2) fill(s, 4 * T, ANY, 2);
    IN_ALL_MODES("att: weights", 4 * T, {
        memcpy(y, s, sizeof s);
        float max[4], l[4];
        k->att_softmax(y, 4, 0, 64, 1, max, l);
    });
    memcpy(p, out[0], sizeof p);
    IN_ALL_MODES("att: values", 4 * HD, k->att_values(p, 4, 3, 64, TS_F32, keys, NULL, HD, NULL, NULL, y, HD));
    fill(o, HD, Z, flavour);
    const float far = scaled(-2, 5);
    IN_ALL_MODES("att: merge", HD + 1, {
        float M = 1, L = 3, max = 1 + far, l = 2;
        memcpy(y, q, HD * sizeof *y);
        k->att_merge(&M, &L, y, HD, &max, &l, o, HD, 1, HD);
        y[HD] = L;
    });
    IN_ALL_MODES("att: values, merged", 4 * HD, {
        float M[4] = {1, 1, 0, 1}, L[4] = {3, 3, 3, 3}, max[4] = {1 + far, 1 - far, far, 40}, l[4] = {2, 2, 2, 2};
        memcpy(y, q, 4 * HD * sizeof *y);
        k->att_join(M, L, max, l, 4);
        k->att_values(p, 4, 3, 64, TS_F32, keys, NULL, HD, max, l, y, HD);
    });
}

static void run_gemm_f(const ts_kern *k, int flavour) {
    enum { K = 80 };
    static const ts_dtype types[] = {TS_F32, TS_F16, TS_BF16};
    static float w[ROWS * K], x[TOKS * K];
    static uint16_t h[ROWS * K];
    fill(w, ROWS * K, Z, flavour), fill(x, TOKS * K, Z, flavour);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < ROWS * K; j++) {
            h[j] = types[i] == TS_F16 ? ts_f32_to_f16(w[j]) : ts_f32_to_bf16(w[j]);
            if (types[i] == TS_F16 && j % 2) h[j] = nasty_f16();
        }
        const void *rows = types[i] == TS_F32 ? (const void *)w : h;
        IN_ALL_MODES("gemm_f", TOKS * ROWS,
                     k->gemm_f[types[i]](rows, (types[i] == TS_F32 ? 4 : 2) * K, K, x, K, TOKS, 0, ROWS, y, ROWS));
    }
}

/* All of it: activations quantised under the setting, too. */
static void run_gemm_q(const ts_kern *k, int flavour) {
    enum { K = 512 };
    static float x[TOKS * K];
    fill(x, TOKS * K, ANY, flavour);
    for (int i = 0; i < 32; i++) x[i] = 0, x[K + 256 + i] = scaled(-149, -38); /* blocks of nothing, or nearly */
    ts_err err;
    for (int type = 0; type < TS_DTYPES; type++) {
        ts_qmat w;
        ts_qact act;
        const int block = ts_act_block((ts_dtype)type);
        if (!k->gemm_q[type] || !ts_qmat_init(&w, (ts_dtype)type, ROWS, K)) continue;
        const size_t row_bytes = ts_dtype_row_bytes((ts_dtype)type, K);
        uint8_t *rows = ts_alloc(ROWS, row_bytes), *data = ts_alloc_aligned(1, ts_qmat_bytes(&w));
        if (!rows || !data || ts_qact_init(&act, K, TOKS, &err) != TS_OK) abort();
        for (size_t i = 0; i < ROWS * row_bytes; i++) rows[i] = (uint8_t)ts_rng_u32(&rng);
        spoil_blocks((ts_dtype)type, rows, ROWS * row_bytes / ts_dtype_get((uint32_t)type)->block_bytes, true);
        for (uint32_t g = 0; g < w.n_group; g++)
            ts_qmat_pack_group(&w, rows, row_bytes, g, data + g * w.group_bytes);
        w.data = data;
        IN_ALL_MODES(ts_dtype_get((uint32_t)type)->name, ROWS * TOKS + TOKS * K / 32, {
            for (uint32_t t = 0; t < TOKS; t++) (block == 32 ? k->quant32 : k->quant256)(x + t * K, K, TOKS, t, &act);
            k->gemm_q[type](&w, &act, TOKS, 0, TOKS, 0, w.n_group, y, ROWS);
            for (int i = 0; i < TOKS * K / 32; i++)
                y[ROWS * TOKS + i] = block == 32 ? act.d32[i] : act.d256[i % (TOKS * K / 256)];
        });
        ts_qact_fini(&act);
        ts_free(rows), ts_free(data);
    }
}

/* What a device's host does with integer sums. */
static void run_combine(const ts_kern *k, int flavour) {
    enum { N = 24 };
    int32_t sum[N * 16];
    uint16_t scale[N * 16];
    float dx[N];
    for (int i = 0; i < N * 16; i++) sum[i] = (int32_t)ts_rng_u32(&rng) >> (5 + ts_rng_below(&rng, 26));
    for (int i = 0; i < N * 16; i++) scale[i] = nasty_f16();
    fill(dx, N, Z, flavour);
    for (int i = 0; i < N; i++) dx[i] *= 0x1.02p-7f; /* as quantising leaves it */
    const ts_sums s = {.sum = (const uint8_t *)sum, .step = 64, .min_at = 32, .scale = scale, .dx = dx, .dx_step = 1,
                       .n = N};
    IN_ALL_MODES("combine", 8, (memset(y, 0, 32), k->combine(&s, y)));
}

static size_t run_kernels(void) {
    size_t results = 0, differ = 0;
    for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level)) {
        ts_kern k;
        ts_kern_init(&k, (ts_cpu_level)level);
        for (int round = 0; round < ROUNDS; round++) {
            run_rows(&k, round % 6);
            run_attention(&k, round % 6);
            run_gemm_f(&k, round % 6);
            run_combine(&k, round % 6);
            if (round < 6) run_gemm_q(&k, round % 6);
        }
    }
    for (const struct tally *t = tally; t->name; t++) {
        if (verbose || t->differ) printf("  %-22s %7zu results, %zu differ\n", t->name, t->results, t->differ);
        results += t->results, differ += t->differ;
    }
    printf("kernels: %zu of %zu results differ between settings\n", differ, results);
    return differ;
}

/* ---- whole passes ------------------------------------------------------------------------------------------------ */

/* Are the pool's threads under the setting of the thread that made it? */
static atomic_int arrived, wrong;
static void look(void *arg, size_t task, int thread) {
    const int n = *(const int *)arg;
    (void)task, (void)thread;
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < n) sched_yield(); /* so that no thread has two of the tasks */
    if ((get_control() & FLUSH) != FLUSH) atomic_fetch_add(&wrong, 1);
}

static bool threads_follow(void) {
    int n = 3;
    ts_pool *pool;
    ts_err err;
    set_mode(MODES - 1);
    if (ts_pool_new(&pool, n, &err) != TS_OK) abort();
    ts_pool_run(pool, (size_t)n, look, &n);
    ts_pool_free(pool);
    set_mode(0);
    if (atomic_load(&wrong)) printf("FAILED: %d of %d threads are not under the setting\n", atomic_load(&wrong), n);
    return !atomic_load(&wrong);
}

/* A tensor as a whole 2^shift times as large, and some of its numbers others. */
static void spoil_floats(ts_dtype type, uint8_t *p, size_t n, int shift) {
    for (size_t i = 0; i < n; i++) {
        float x;
        uint16_t h;
        if (type == TS_F32) memcpy(&x, p + 4 * i, 4);
        memcpy(&h, p + (type == TS_F32 ? 0 : 2 * i), 2);
        if (type == TS_F16) x = ts_f16_to_f32(h);
        if (type == TS_BF16) x = ts_bf16_to_f32(h);
        x = ldexpf(x, shift);
        switch (ts_rng_below(&rng, 64)) {
        case 0: x *= 40; break;
        case 1: x = 0; break;
        case 2:
        case 3:
        case 4:
        case 5: x = scaled(-45, -35); break;
        case 6:
        case 7:
        case 8: x = scaled(-149, -60); break;
        default: break;
        }
        h = type == TS_F16 ? ts_f32_to_f16(x) : ts_f32_to_bf16(x);
        if (type == TS_F32) memcpy(p + 4 * i, &x, 4);
        else memcpy(p + 2 * i, &h, 2);
    }
}

/* A model of the zoo with tiny numbers among its weights, 64-byte aligned. */
static ts_buf spoilt(const zoo_model *m) {
    ts_buf raw = {0};
    ts_err err;
    ts_gguf *g;
    if (zoo_make(m, &raw, &err) != TS_OK) abort();
    ts_buf file = {.data = ts_alloc_aligned(raw.len, 1), .len = raw.len};
    if (!file.data) abort();
    memcpy(file.data, raw.data, raw.len);
    ts_buf_free(&raw);
    if (ts_gguf_open_mem(&g, (ts_span){(const uint8_t *)file.data, file.len}, "a model", 0, &err) != TS_OK) abort();
    for (size_t i = 0; i < ts_gguf_n_tensors(g); i++) {
        const ts_tensor *t = ts_gguf_tensor_at(g, i);
        const ts_dtype_info *info = ts_dtype_get(t->type);
        uint8_t *p = (uint8_t *)(uintptr_t)t->data;
        const size_t n = t->bytes / info->block_bytes;
        if (!strcmp(t->name, "rope_freqs.weight")) continue; /* must be positive */
        static const int shift[] = {0, 0, 0, -12, -24, -36, -60};
        if (info->block == 1) spoil_floats(t->type, p, n, shift[ts_rng_below(&rng, 7)]);
        else spoil_blocks(t->type, p, n, false);
    }
    ts_gguf_close(g);
    return file;
}

enum { N_TOK = 70 };
typedef struct hashes {
    uint64_t at[N_TOK];
    uint32_t n_vocab;
    size_t n;
} hashes;

static bool on_logits(void *ud, size_t pos, const float *logits) {
    hashes *h = ud;
    uint64_t x = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < h->n_vocab; i++) {
        uint32_t u;
        memcpy(&u, &logits[i], 4);
        x = (x ^ u) * 0x100000001b3u;
    }
    h->at[pos] = x;
    h->n++;
    return true;
}

static hashes run_model(const zoo_model *m, const ts_buf *file, ts_kv_type kv, ts_cpu_level level, int n_threads,
                        int setting) {
    hashes h = {0};
    ts_engine *e = NULL;
    ts_session *s = NULL;
    ts_model_info info;
    ts_token token[N_TOK];
    ts_err err;
    zoo_prompt(m->shape.n_vocab, token, N_TOK);
    set_mode(setting); /* threads made from here on are under it */
    const ts_engine_opts opts = {.n_threads = n_threads, .cpu_level = ts_cpu_level_name(level)};
    const ts_session_opts session = {.n_ctx = N_TOK, .kv = kv};
    ts_status st = ts_engine_open_memory(&e, file->data, file->len, &opts, &err);
    if (st == TS_OK) st = ts_session_new(&s, e, &session, &err);
    if (st == TS_OK) {
        ts_engine_info(e, &info);
        h.n_vocab = info.n_vocab;
        st = ts_session_score(s, token, N_TOK, on_logits, &h, &err);
    }
    ts_session_free(s);
    ts_engine_close(e);
    set_mode(0);
    if (st != TS_OK) printf("FAILED: %s, %s: %s\n", m->shape.name, mode_name[setting], err.msg);
    return h;
}

static size_t run_models(ts_cpu_level best) {
    size_t positions = 0, differ = 0, models = 0, bad_models = 0;
    for (size_t i = 0; zoo_at(i); i++) {
        const zoo_model *m = zoo_at(i);
        const ts_buf file = spoilt(m);
        static const ts_kv_type kvs[] = {TS_KV_F16, TS_KV_F32, TS_KV_Q8_0};
        const ts_kv_type kv = kvs[i % 3];
        const hashes want = run_model(m, &file, kv, TS_CPU_REF, 1, 0);
        size_t bad = want.n == N_TOK ? 0 : 1;
        for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level))
            for (int setting = 0; setting < MODES; setting++) {
                /* where only the type of the weights differs, one level each */
                if (i >= zoo_first_type && (i + (size_t)level) % ((size_t)best + 1)) continue;
                const int n_threads = 1 + (int)(i + (size_t)level) % 3;
                const hashes got = run_model(m, &file, kv, (ts_cpu_level)level, n_threads, setting);
                for (int p = 0; p < N_TOK; p++) bad += got.at[p] != want.at[p];
                positions += N_TOK;
            }
        if (verbose || bad) printf("  %-22s %zu positions differ\n", m->shape.name, bad);
        differ += bad, models++, bad_models += bad != 0;
        ts_free(file.data);
    }
    printf("passes: the logits of %zu of %zu positions differ, in %zu of %zu models\n", differ, positions, bad_models,
           models);
    return differ;
}

int main(int argc, char **argv) {
    verbose = argc > 1 && !strcmp(argv[1], "-v");
    const ts_cpu_level best = levels_here();
    rng = ts_rng_seed(1);
    const bool threads = threads_follow();
    const size_t differ = run_kernels() + run_models(best);
    return differ || !threads;
}
#endif
