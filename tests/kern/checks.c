/* checks.c - see checks.h. Sizes are odd on purpose, inputs contain saturating values, zeros, denormals, NaN and Inf;
 * buffers end at an unmapped page, so that reading or writing past the end is a crash; outputs have canaries. */
#define _GNU_SOURCE
#include "checks.h"
#include "base/rng.h"
#include "format/quant.h"
#include "kern/fmath.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct checking checking;
static ts_rng rng;

/* n bytes that end right before an unmapped page. */
void *guarded(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), total = (n + 63 + page - 1) / page * page + page;
    char *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + total - page, page, PROT_NONE)) {
        perror("mmap");
        exit(2);
    }
    return p + total - page - n;
}

void guarded_free(void *p, size_t n) {
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

/* The checks, and the kernels that each is about, with commas between; gemm_q has a check of each type. */
static const struct {
    const char *check, *kernels;
} known[] = {
    {"quant", "quant32,quant256"},
    {"gemm_q", ""},
    {"combine", ""},
    {"search", ""},
    {"gemm_f", "gemm_f f32,gemm_f f16,gemm_f bf16"},
    {"rows", "rmsnorm,silu_mul,add,rope,f16_row,q8_rows,to_f16"},
    {"attention", "att_scores,att_softmax,att_join,att_values,att_merge"},
    {"probes", "probe_int8,probe_narrow,probe_read"},
};
enum { N_KNOWN = sizeof known / sizeof *known };

static bool is_meant(const char *check, const char *kernels) {
    return !checking.only || strstr(check, checking.only) || strstr(kernels, checking.only);
}

static bool left_out(const char *check) {
    for (int i = 0; i < N_KNOWN; i++)
        if (!strncmp(check, known[i].check, strlen(known[i].check))) return !is_meant(check, known[i].kernels);
    abort(); /* a check that is not in the list */
}

void check_name_of(ts_dtype type, char out[32]) {
    snprintf(out, 32, "gemm_q %s", ts_dtype_get(type)->name);
}

bool check_only_known(void) {
    char name[32];
    for (int i = 0; i < N_KNOWN; i++)
        if (is_meant(known[i].check, known[i].kernels)) return true;
    for (int i = 0; i < TS_DTYPES; i++) {
        check_name_of((ts_dtype)i, name);
        if (ts_act_block((ts_dtype)i) && is_meant(name, "")) return true;
    }
    return false;
}

void check_list_known(FILE *f) {
    char name[32];
    for (int i = 0; i < N_KNOWN; i++) fprintf(f, "%s%s", i ? ", " : "", known[i].check);
    for (int i = 0; i < TS_DTYPES; i++) {
        check_name_of((ts_dtype)i, name);
        if (ts_act_block((ts_dtype)i)) fprintf(f, ", %s", name);
    }
    for (int i = 0; i < N_KNOWN; i++)
        for (const char *p = known[i].kernels; *p; p += strcspn(p, ","), p += *p == ',')
            fprintf(f, ", %.*s", (int)strcspn(p, ","), p);
}

static int rounds(int n) {
    return checking.quick ? (n + 2) / 3 : n;
}

static void fail(const char *what, const char *level, size_t i, double want, double got) {
    if (checking.stop) _exit(1);
    if (checking.failures++ < 20)
        printf("FAIL %s (%s): element %zu is %a, reference %a; seed %llu\n", what, level, i, got, want,
               (unsigned long long)checking.seed);
}

static void compare(const char *what, const char *level, const float *want, float *got, size_t n) {
    checking.checks++;
    if (checking.break_it && n && ts_rng_below(&rng, 50) == 0) {
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

static float special(void) {
    static const uint32_t bits[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f7fffff, 0xff7fffff, 0x00000001, 0x80000000};
    return ts_f32_from_bits(bits[ts_rng_below(&rng, sizeof bits / sizeof *bits)]);
}

static float pick_float(int kind) {
    switch (kind) {
    case 0: return (float)ts_rng_gauss(&rng);
    case 1: return ts_rng_below(&rng, 16) ? ts_f32_from_bits(ts_rng_u32(&rng)) : special();
    case 2: return ts_rng_below(&rng, 4) ? 0.0f : (float)ts_rng_gauss(&rng) * 1e-42f;
    case 3: return ts_rng_below(&rng, 2) ? 1.0f : -1.0f;
    case 5: return fabsf((float)ts_rng_gauss(&rng));
    case 6: return (float)((int)ts_rng_below(&rng, 509) - 254) / 2;
    default: return 1.0f;
    }
}

void fill_floats(float *x, size_t n, int kind) {
    for (size_t i = 0; i < n; i++) {
        x[i] = pick_float(kind == 4 ? (ts_rng_below(&rng, 100) == 0 ? 1 : 0) : kind);
        if (kind == 6 && i % 32 == 0) x[i] = 127; /* the scale is 1: integers and halves stay what they are */
    }
}

/* A scale: of a row of ordinary ones, of f16 denormals, of the largest, or of all kinds. A small one beside a large one
 * would not be seen in a sum, so a row's are alike. */
static uint16_t pick_f16(int kind) {
    const uint16_t sign = (uint16_t)(ts_rng_below(&rng, 2) << 15);
    switch (kind) {
    case 0: return (uint16_t)(sign | ts_rng_below(&rng, 0x400));
    case 1: return (uint16_t)(sign | (0x7bff - ts_rng_below(&rng, 0x800)));
    case 2: return (uint16_t)(sign | ts_rng_below(&rng, 0x7c00));
    default: return ts_f32_to_f16((float)ts_rng_gauss(&rng) * 0.01f);
    }
}
static uint8_t pick_e8(int kind) {
    switch (kind) {
    case 0: return (uint8_t)(74 + ts_rng_below(&rng, 8)); /* below 78 they count as 0 */
    case 1: return (uint8_t)(255 - ts_rng_below(&rng, 4));
    case 2: return (uint8_t)ts_rng_u32(&rng);
    default: return (uint8_t)(110 + ts_rng_below(&rng, 20));
    }
}

/* A row of valid random blocks: any bits for the integers, often extreme ones. */
static void fill_row(ts_dtype type, uint8_t *p, size_t n_block) {
    const size_t bytes = ts_dtype_get(type)->block_bytes;
    const ts_wtype *t = ts_wtype_of(type);
    const int kind = (int)ts_rng_below(&rng, 8), often = (int)ts_rng_below(&rng, 3);
    static const uint8_t extreme[] = {0xff, 0, 0x80, 0x7f};
    for (size_t b = 0; b < n_block; b++, p += bytes) {
        for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)ts_rng_u32(&rng);
        /* piece by piece, so that the largest weights meet the largest sub-scales */
        for (int i = 0; i < TS_WPIECES; i++)
            if (ts_rng_below(&rng, 4) < (uint64_t)often)
                memset(p + t->piece[i].at, extreme[ts_rng_below(&rng, 4)], 4 * (size_t)t->piece[i].words);
        const uint16_t d = pick_f16(kind), m = pick_f16(kind);
        if (t->scale == TS_SCALE_E8) p[t->d_at] = pick_e8(kind);
        else memcpy(p + t->d_at, &d, 2);
        if (ts_wtype_has_min(t)) memcpy(p + t->second_at, &m, 2);
        ts_wtype_as_before(t, p, b, bytes);
    }
}

struct matrix make_matrix(ts_dtype type, uint32_t rows, uint32_t cols) {
    struct matrix x = {.row_bytes = ts_dtype_row_bytes(type, cols)};
    if (!ts_qmat_init(&x.m, type, rows, cols)) abort();
    x.file = malloc(x.row_bytes * rows);
    for (uint32_t r = 0; r < rows; r++) fill_row(type, x.file + r * x.row_bytes, cols / ts_dtype_get(type)->block);
    x.data = guarded64(ts_qmat_bytes(&x.m));
    x.m.data = x.data;
    for (uint32_t g = 0; g < x.m.n_group; g++)
        ts_qmat_pack_group(&x.m, x.file, x.row_bytes, g, (char *)x.data + g * x.m.group_bytes);
    return x;
}

void free_matrix(struct matrix *x) {
    free(x->file);
    guarded64_free(x->data, ts_qmat_bytes(&x->m));
}

ts_qact make_act(uint32_t K, uint32_t n_tok) {
    ts_qact a;
    ts_err err;
    if (ts_qact_init(&a, K, n_tok, &err) != TS_OK) abort();
    return a;
}

void quantise_all(const ts_kern *k, ts_qact *a, const float *x, uint32_t K, uint32_t n_tok) {
    for (uint32_t t = 0; t < n_tok; t++) {
        k->quant32(x + (size_t)t * K, K, n_tok, t, a);
        if (K % 256 == 0) k->quant256(x + (size_t)t * K, K, n_tok, t, a);
    }
}

/* ---- quantised linear layers ------------------------------------------------------------------------------------- */

/* The integers that a file block's elements are, sub-scales included (or, `mins`, minus the minimums): what they are
 * worth where d is 1 and the minimum 0 (or the other way round). */
static void block_integers(ts_dtype type, const uint8_t *block, bool mins, float *out) {
    const ts_wtype *t = ts_wtype_of(type);
    const uint16_t one = 0x3c00, zero = 0;
    uint8_t b[256];
    memcpy(b, block, ts_dtype_get(type)->block_bytes);
    if (t->scale == TS_SCALE_E8) b[t->d_at] = 128;
    else memcpy(b + t->d_at, mins ? &zero : &one, 2);
    if (ts_wtype_has_min(t)) memcpy(b + t->second_at, mins ? &one : &zero, 2);
    ts_dequant(type, b, out, t->block);
}

static float f16_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return ts_f16_to_f32(h);
}

/* Rule 1 of docs/numerics.md from the file's own blocks as src/format reads them, which shares nothing with packing and
 * kernels but the place of the scales. The activations are those of `a`. */
static float exact_element(const struct matrix *w, uint32_t row, const ts_qact *a, uint32_t n_tok, uint32_t tok) {
    const ts_dtype type = w->m.type;
    const ts_wtype *t = ts_wtype_of(type);
    const ts_tok_place at = ts_tok_place_of(n_tok, tok);
    const uint32_t K = w->m.n_cols, n_block = K / t->block;
    const int8_t *q = (t->block == 32 ? a->q32 : a->q256) + (size_t)at.first * K;
    const float *dx = (t->block == 32 ? a->d32 : a->d256) + (size_t)at.first * n_block;
    const float *sx = a->s32 + (size_t)at.first * n_block;
    float acc = 0, part = 0;
    for (uint32_t b = 0; b < n_block; b++) {
        if (b && b * t->block % 4096 == 0) acc = acc + part, part = 0;
        const uint8_t *block = w->file + row * w->row_bytes + (size_t)b * ts_dtype_get(type)->block_bytes;
        float weight[256], min[256] = {0};
        block_integers(type, block, false, weight);
        if (t->second == TS_SECOND_MINUS) block_integers(type, block, true, min);
        int64_t isum = 0, msum = 0;
        for (uint32_t k = 0; k < t->block; k++) {
            const uint32_t i = b * t->block + k;
            const int v = q[((size_t)(i / 4) * at.width + at.col) * 4 + i % 4];
            isum += (int64_t)weight[k] * v;
            msum -= (int64_t)min[k] * v;
        }
        const size_t s = (size_t)b * at.width + at.col;
        const float d = t->scale == TS_SCALE_E8 ? ts_mxfp4_scale(block[t->d_at]) : f16_at(block + t->d_at);
        part = fmaf((float)isum * dx[s], d, part);
        if (t->second == TS_SECOND_PLUS) part = fmaf(sx[s], f16_at(block + t->second_at), part);
        if (t->second == TS_SECOND_MINUS) part = fmaf(-((float)msum * dx[s]), f16_at(block + t->second_at), part);
    }
    return acc + part;
}

/* Of a product y, the elements of a few tokens: catches a mistake that all variants and the packing share, and holds
 * the reference itself. */
static void check_exact(const struct matrix *w, const ts_qact *a, uint32_t n_tok, const float *y, size_t ld) {
    for (int i = 0; i < 3; i++) {
        const uint32_t t = (uint32_t)ts_rng_below(&rng, n_tok);
        for (uint32_t r = 0; r < w->m.n_rows; r++) {
            checking.checks++;
            const float want = exact_element(w, r, a, n_tok, t);
            if (!same(want, y[t * ld + r]))
                fail("gemm_q against the file", ts_dtype_get(w->m.type)->name, r, (double)want, (double)y[t * ld + r]);
        }
    }
}

static void check_product(const ts_kern *ref, const ts_kern *lev, const char *level, ts_dtype type, int round) {
    static const uint32_t toks[] = {1, 2, 3, 4, 5, 7, 16, 21, 37, 81}; /* panels take 64 at a time */
    const bool slices = round % 5 == 4;
    const uint32_t unit = (uint32_t)ts_act_block(type), n_tok = slices ? 21 : toks[round % 10];
    const uint32_t rows = (uint32_t)(1 + ts_rng_below(&rng, slices ? 20 : round % 4 ? 70 : 16));
    uint32_t K = unit * (uint32_t)(1 + ts_rng_below(&rng, unit == 32 ? 9 : 3));
    if (slices) K += round % 2 ? 4096 : 8192 - K; /* more than a slice, or whole ones */
    char name[32];
    check_name_of(type, name);
    struct matrix w = make_matrix(type, rows, K);
    const size_t ld = rows + (round % 3 ? 0 : ts_rng_below(&rng, 20)), nx = (size_t)n_tok * K, ny = n_tok * ld;
    float *x = guarded(nx * 4), *want = guarded(ny * 4), *got = guarded(ny * 4);
    memset(want, 0xa5, ny * 4), memset(got, 0xa5, ny * 4); /* columns that nobody may write */
    fill_floats(x, nx, (int)ts_rng_below(&rng, FILL_KINDS));
    ts_qact a = make_act(K, n_tok);
    quantise_all(ref, &a, x, K, n_tok);
    const uint32_t g1 = w.m.n_group;
    ref->gemm_q[type](&w.m, &a, n_tok, 0, n_tok, 0, g1, want, ld);
    check_exact(&w, &a, n_tok, want, ld);
    lev->gemm_q[type](&w.m, &a, n_tok, 0, n_tok, 0, g1, got, ld);
    compare(name, level, want, got, ny);
    /* in parts: groups one by one, the last first, token blocks one by one */
    memset(got, 0xa5, ny * 4);
    for (uint32_t g = g1; g-- > 0;)
        for (uint32_t t = 0, n; t < n_tok; t += n) {
            n = ts_tok_width(n_tok, t);
            lev->gemm_q[type](&w.m, &a, n_tok, t, t + n, g, g + 1, got, ld);
        }
    compare(name, level, want, got, ny);
    /* each token alone: batching must not show */
    for (uint32_t t = 0; t < n_tok; t++) {
        quantise_all(lev, &a, x + (size_t)t * K, K, 1);
        lev->gemm_q[type](&w.m, &a, 1, 0, 1, 0, g1, got, ld);
        compare(name, level, want + t * ld, got, rows);
    }
    ts_qact_fini(&a);
    guarded_free(x, nx * 4), guarded_free(want, ny * 4), guarded_free(got, ny * 4);
    free_matrix(&w);
}

static void check_gemm_q(const ts_kern *ref, const ts_kern *lev, const char *level) {
    for (int i = 0; i < TS_DTYPES; i++) {
        char name[32];
        if (!ts_act_block((ts_dtype)i)) continue;
        check_name_of((ts_dtype)i, name);
        for (int round = 0; round < rounds(30) && !left_out(name); round++)
            check_product(ref, lev, level, (ts_dtype)i, round);
    }
}

/* Sums as an NPU returns them: one row of int32 a block, two with a minimum, or int16 of two blocks in a row. */
static void check_combine(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (left_out("combine")) return;
    for (int round = 0; round < rounds(300); round++) {
        const bool min = round % 4 == 1, zeros = round % 4 == 3,
                   pairs = round % 4 == 2 || (zeros && round % 8 == 3);
        const uint32_t share = zeros ? 1u << ts_rng_below(&rng, 3) : 1;
        const uint32_t n = 1 + (uint32_t)ts_rng_below(&rng, 40);
        const uint32_t dx_step = (uint32_t[]){1, 4, 16}[ts_rng_below(&rng, 3)];
        const size_t min_at = min ? 32 * (1 + ts_rng_below(&rng, 4)) : 0,
                     step = (min ? min_at + 32 : 32) + 32 * ts_rng_below(&rng, 4), rows = pairs ? (n + 1) / 2 : n,
                     n_sum = (rows - 1) * step + min_at + 32, n_head = (n + share - 1) / share,
                     n_scale = zeros ? n_head * 12 : n_head * (min ? 16 : 8), at = round % 2;
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
        for (size_t i = 0; i < n_scale && zeros; i += 12)
            for (int r = 0; r < 8; r++) ((uint8_t *)(scale + i + 8))[r] &= 15;
        int32_t *off8 = guarded(((n - 1) * dx_step + 1) * sizeof *off8);
        for (size_t i = 0; i < (n - 1) * dx_step + 1; i++) off8[i] = -8 * ((int)ts_rng_below(&rng, 8129) - 4064);
        fill_floats(dx, (n - 1) * dx_step + 1, round % 5);
        fill_floats(want, 8, 0), memcpy(got, want, sizeof got);
        const ts_sums s = {.sum = sum + at, .step = step, .min_at = min_at, .pairs = pairs, .scale = scale,
                           .share = share, .off8 = zeros ? off8 : NULL, .dx = dx, .dx_step = dx_step, .n = n};
        ref->combine(&s, want), lev->combine(&s, got);
        compare("combine", level, want, got, 8);
        guarded_free(sum, n_sum + at), guarded_free(scale, n_scale * 2);
        guarded_free(dx, ((n - 1) * dx_step + 1) * sizeof *dx);
        guarded_free(off8, ((n - 1) * dx_step + 1) * sizeof *off8);
    }
}

/* Floats to blocks, by every type's search, with weights and without. */
static void check_search(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (left_out("search")) return;
    for (int type = 0; type < TS_DTYPES; type++)
        for (int round = 0; round < rounds(12) && ts_search_takes((ts_dtype)type, true); round++) {
            const ts_dtype_info *t = ts_dtype_get((ts_dtype)type);
            const bool weighted = round % 2 || !ts_search_takes((ts_dtype)type, false);
            const size_t per_row = (size_t)t->block * (1 + ts_rng_below(&rng, 3)), rows = 1 + ts_rng_below(&rng, 7),
                         n = per_row * rows, bytes = n / t->block * t->block_bytes;
            float *x = guarded(n * sizeof *x), *w = guarded(per_row * sizeof *w);
            uint8_t *want = guarded(bytes), *got = guarded(bytes);
            fill_floats(x, n, round % FILL_KINDS);
            for (size_t i = 0; i < per_row; i++) /* a mean of squares; some columns are dead */
                w[i] = ts_rng_below(&rng, 9) ? expf(2 * (float)ts_rng_gauss(&rng)) : 0;
            ref->search((ts_dtype)type, x, weighted ? w : NULL, per_row, want, n);
            lev->search((ts_dtype)type, x, weighted ? w : NULL, per_row, got, n);
            if (checking.break_it && ts_rng_below(&rng, 50) == 0) got[bytes / 2] ^= 1;
            checking.checks++;
            for (size_t i = 0; i < bytes; i++)
                if (want[i] != got[i]) {
                    fail(t->name, level, i, want[i], got[i]);
                    break;
                }
            guarded_free(x, n * sizeof *x), guarded_free(w, per_row * sizeof *w);
            guarded_free(want, bytes), guarded_free(got, bytes);
        }
}

static void check_quant(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (left_out("quant")) return;
    for (int round = 0; round < 200; round++) { /* all of them: cheap, and what a few do not show */
        uint32_t n_tok = (uint32_t)(1 + ts_rng_below(&rng, 22)), K = 256 * (uint32_t)(1 + ts_rng_below(&rng, 3));
        size_t n = (size_t)n_tok * K;
        float *x = guarded(n * 4);
        fill_floats(x, n, round % FILL_KINDS);
        ts_qact a = make_act(K, n_tok), b = make_act(K, n_tok);
        quantise_all(ref, &a, x, K, n_tok);
        quantise_all(lev, &b, x, K, n_tok);
        compare("quant32 d", level, a.d32, b.d32, n / 32);
        compare("quant32 s", level, a.s32, b.s32, n / 32);
        compare("quant256 d", level, a.d256, b.d256, n / 256);
        checking.checks++;
        if (memcmp(a.q32, b.q32, n) || memcmp(a.off8, b.off8, n / 8) || memcmp(a.off16, b.off16, n / 8) ||
            memcmp(a.off128, b.off128, n / 8) || (n_tok > 3 && memcmp(a.wide32, b.wide32, n * 2)))
            fail("quant32 integers", level, 0, 0, 0);
        if (memcmp(a.q256, b.q256, n) || memcmp(a.sums256, b.sums256, n / 256 * 48) ||
            memcmp(a.pairs256, b.pairs256, n / 256 * 64) || (n_tok > 3 && memcmp(a.wide256, b.wide256, n * 2)))
            fail("quant256 integers", level, 0, 0, 0);
        ts_qact_fini(&a), ts_qact_fini(&b);
        guarded_free(x, n * 4);
    }
}

static void check_gemm_f(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (left_out("gemm_f")) return;
    static const ts_dtype types[] = {TS_F32, TS_F16, TS_BF16};
    for (int i = 0; i < 3; i++)
        for (int round = 0; round < rounds(60); round++) {
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
    if (left_out("rows")) return;
    for (int round = 0; round < rounds(300); round++) {
        uint32_t n = (uint32_t)(1 + ts_rng_below(&rng, round % 8 ? 300 : 1500)), n16 = (n + 15) / 16 * 16;
        float *x = guarded(n * 4), *w = guarded(n * 4), *a = guarded(n16 * 4), *b = guarded(n16 * 4);
        uint16_t *h = guarded(n16 * 2), *g = guarded(n16 * 2);
        int kind = round % 5;
        fill_floats(x, n, kind), fill_floats(w, n, kind == 1 ? 0 : kind);
        ref->rmsnorm(x, w, a, n, 1e-5f), lev->rmsnorm(x, w, b, n, 1e-5f);
        compare("rmsnorm", level, a, b, n);
        memcpy(a, x, n * 4); /* around 2^-40, where a part of the numbers counts as 0 */
        for (uint32_t i = 0; i < n; i++) x[i] = 0x1p-40f * (float)ts_rng_gauss(&rng);
        ref->rmsnorm(x, w, b, n, 0), lev->rmsnorm(x, w, x, n, 0);
        compare("rmsnorm of tiny numbers", level, b, x, n);
        memcpy(x, a, n * 4);
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
        int8_t *q = guarded(n16);
        for (uint32_t i = 0; i < n16; i++) q[i] = (int8_t)ts_rng_u32(&rng), h[i] &= 0xfbff; /* scales are finite */
        const uint32_t width = 16 * (uint32_t)(1 + ts_rng_below(&rng, 5)), rows = n16 / width, used = rows * width;
        ref->q8_rows(q + n16 - used, h, a, rows, width), lev->q8_rows(q + n16 - used, h, b, rows, width);
        compare("q8_rows", level, a, b, used);
        guarded_free(q, n16);
        guarded_free(x, n * 4), guarded_free(w, n * 4), guarded_free(a, n16 * 4), guarded_free(b, n16 * 4);
        guarded_free(h, n16 * 2), guarded_free(g, n16 * 2);
    }
}

/* A tile of keys or values in one of the cache's types, from floats: F16 and Q8_0 in `half`. */
static const void *tile_as(ts_dtype type, const float *x, void *half, uint32_t hd) {
    enum { T = TS_KV_TILE };
    uint16_t *h = half;
    int8_t *q = half;
    if (type == TS_F32) return x;
    for (uint32_t i = 0; type == TS_F16 && i < T * hd; i++) h[i] = ts_f32_to_f16(x[i]);
    if (type == TS_F16) return half;
    for (uint32_t i = 0; i < T * hd; i++) q[i] = (int8_t)ts_rng_u32(&rng);
    for (uint32_t i = 0; i < T * ((hd + 31) / 32); i++) {
        const uint16_t d = ts_f32_to_f16((float)ts_rng_gauss(&rng));
        memcpy(q + T * hd + 2 * i, &d, 2);
    }
    return half;
}

static void check_attention(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (left_out("attention")) return;
    enum { T = TS_KV_TILE, NQ = 21 };
    static const ts_dtype types[] = {TS_F32, TS_F16, TS_Q8_0};
    for (int round = 0; round < rounds(300); round++) {
        const uint32_t hd = 16 * (uint32_t)(1 + ts_rng_below(&rng, 10)), nq = (uint32_t)(1 + ts_rng_below(&rng, NQ));
        const size_t ld = hd + ts_rng_below(&rng, 40), nq_floats = (size_t)(nq - 1) * ld + hd;
        const ts_dtype type = types[round % 3];
        const size_t half_bytes = type == TS_F16 ? T * hd * 2 : T * hd + T * ((hd + 31) / 32) * 2;
        float *q = guarded(nq_floats * 4), *kv = guarded(hd * T * 4), *s = guarded((size_t)nq * T * 4),
              *r = guarded((size_t)nq * T * 4), *o = guarded(nq_floats * 4), *u = guarded(nq_floats * 4);
        float *m = guarded(nq * 4), *l = guarded(nq * 4), *m2 = guarded(nq * 4), *l2 = guarded(nq * 4);
        char *half = guarded(half_bytes);
        const int kind = round / 3 % 5;
        fill_floats(q, nq_floats, kind), fill_floats(kv, hd * T, kind == 3 ? 0 : kind);
        const void *tile = tile_as(type == TS_Q8_0 ? TS_F32 : type, kv, half, hd);
        const ts_dtype k_type = type == TS_Q8_0 ? TS_F32 : type;
        ref->att_scores(q, ld, nq, k_type, tile, NULL, hd, s);
        lev->att_scores(q, ld, nq, k_type, tile, round % 2 ? tile : NULL, hd, r);
        compare("att_scores", level, s, r, (size_t)nq * T);
        const bool all = ts_rng_below(&rng, 3) == 0;
        const uint32_t lo = all ? 0 : (uint32_t)ts_rng_below(&rng, T),
                       hi = all ? T : lo + 1 + (uint32_t)ts_rng_below(&rng, T - lo);
        ref->att_softmax(s, nq, lo, hi, 0.125f, m, l), lev->att_softmax(r, nq, lo, hi, 0.125f, m2, l2);
        compare("att_softmax m", level, m, m2, nq);
        compare("att_softmax l", level, l, l2, nq);
        compare("att_softmax p", level, s, r, (size_t)nq * T);
        tile = tile_as(type, kv, half, hd);
        memset(o, 0, nq_floats * 4), memset(u, 0, nq_floats * 4);
        ref->att_values(s, nq, lo, hi, type, tile, NULL, hd, NULL, NULL, o, ld);
        lev->att_values(s, nq, lo, hi, type, tile, NULL, hd, NULL, NULL, u, ld);
        compare("att_values", level, o, u, nq_floats);
        /* joined to earlier ones, in one way and in the other */
        float M[NQ], L[NQ], M2[NQ], L2[NQ], join_m[NQ], join_l[NQ], join_m2[NQ], join_l2[NQ];
        for (uint32_t i = 0; i < nq; i++) {
            M[i] = M2[i] = ts_rng_below(&rng, 9) ? (float)(ts_rng_gauss(&rng) * (i % 3 ? 1 : 20)) : -INFINITY;
            L[i] = L2[i] = 3;
            join_m[i] = join_m2[i] = m[i], join_l[i] = join_l2[i] = l[i];
        }
        fill_floats(q, nq_floats, 0);
        for (size_t d = 0; d < nq_floats && round % 4 == 0; d++) q[d] *= 0x1p-38f, o[d] *= 0x1p-38f;
        memcpy(u, q, nq_floats * 4);
        ref->att_merge(M, L, q, ld, m, l, o, ld, nq, hd), lev->att_merge(M2, L2, u, ld, m2, l2, o, ld, nq, hd);
        compare("att_merge", level, q, u, nq_floats);
        compare("att_merge M", level, M, M2, nq);
        compare("att_merge L", level, L, L2, nq);
        ref->att_join(M, L, join_m, join_l, nq), lev->att_join(M2, L2, join_m2, join_l2, nq);
        compare("att_join M", level, M, M2, nq);
        compare("att_join L", level, L, L2, nq);
        compare("att_join a", level, join_m, join_m2, nq);
        compare("att_join b", level, join_l, join_l2, nq);
        ref->att_values(s, nq, lo, hi, type, tile, NULL, hd, m, l, q, ld);
        lev->att_values(s, nq, lo, hi, type, tile, tile, hd, m, l, u, ld);
        compare("att_values joined", level, q, u, nq_floats);
        guarded_free(q, nq_floats * 4), guarded_free(kv, hd * T * 4), guarded_free(s, (size_t)nq * T * 4);
        guarded_free(r, (size_t)nq * T * 4), guarded_free(o, nq_floats * 4), guarded_free(u, nq_floats * 4);
        guarded_free(m, nq * 4), guarded_free(l, nq * 4), guarded_free(m2, nq * 4), guarded_free(l2, nq * 4);
        guarded_free(half, half_bytes);
    }
}

static uint64_t xor_of(const uint64_t *p, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++) x ^= p[i];
    return x;
}

static void compare_words(const char *what, const char *level, uint64_t want, uint64_t got) {
    checking.checks++;
    if (want != got) fail(what, level, 0, (double)want, (double)got);
}

/* Every byte is read, and none behind; as many operations as were asked for. */
static void check_probes(const ts_kern *ref, const ts_kern *lev, const char *level) {
    if (left_out("probes")) return;
    for (int round = 0; round < 40; round++) {
        const size_t bytes = 256 * (size_t)ts_rng_below(&rng, 20);
        uint64_t *p = guarded(bytes);
        for (size_t i = 0; i < bytes / 8; i++) p[i] = ts_rng_u64(&rng);
        const uint64_t before = ts_rng_u64(&rng), want = before ^ xor_of(p, bytes / 8);
        for (int four = 0; four < 2; four++) {
            uint64_t got = before, from_ref = before;
            lev->probe_read(p, bytes, four, &got), ref->probe_read(p, bytes, four, &from_ref);
            compare_words(four ? "probe_read, four streams" : "probe_read", level, want, got);
            compare_words("the reference's probe_read", level, want, from_ref);
        }
        guarded_free(p, bytes);
    }
    uint64_t sink = 0;
    const uint64_t int8 = lev->probe_int8(3, &sink), narrow = lev->probe_narrow(3, &sink);
    compare_words("probe_int8", level, int8 * 5, lev->probe_int8(15, &sink));
    compare_words("probe_narrow", level, narrow * 5, lev->probe_narrow(15, &sink));
    compare_words("operations of the probes", level, true, int8 > 0 && narrow > 0);
}

void check_all(const ts_kern *ref, const ts_kern *lev, const char *level) {
    rng = ts_rng_seed(checking.seed);
    check_quant(ref, lev, level);
    check_gemm_q(ref, lev, level);
    check_combine(ref, lev, level);
    check_search(ref, lev, level);
    check_gemm_f(ref, lev, level);
    check_rows(ref, lev, level);
    check_attention(ref, lev, level);
    check_probes(ref, lev, level);
}
