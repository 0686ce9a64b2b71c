/* search_tmpl.h - floats to blocks by a search for the scales, weighted by the importance of columns, by means of v16,
 * sixteen lanes of f32. Not a header of its own: included once by search.c with v16_plain.h, and by each level's
 * search_<level>.c in src/kern with its vectors. What a lane computes depends on its own block alone, and every
 * operation has one rounding, so all levels give the same bytes.
 *
 * A lane is a sub-block of 16 or 32 elements (or a whole block of 32), and sixteen are fitted at a time: each by
 * weighted least squares from several starting steps. Where sub-blocks share a scale (or two) as integer codes, the
 * scales and the codes are then refined in turn against the weighted squared error of what is stored. */
#include "format/search.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    LANES = 16,
    TRIES = 2,  /* of the shared scales: the largest step is the largest code, or the one before */
    ROUNDS = 2, /* of refining scales and codes in turn; a third changes nothing that can be measured */
};

/* The levels of a type: whole numbers from lo to hi, or ts_iq4_nl_values. */
typedef struct grid {
    float lo, hi;
    bool iq4;
} grid;

/* What a fit starts from: the range or the extreme on the last level, then beyond and inside of it in turn, n steps of
 * `by` levels in all. The plain one is first, so that it wins a tie. From each, rounding and fitting alternate so many
 * rounds. */
typedef struct starts {
    float by;
    int n, rounds;
} starts;

static float start_at(starts s, int t) { return s.by * (float)(t % 2 ? (t + 1) / 2 : -t / 2); }

typedef struct packet {
    int len, share;   /* elements of a lane; lanes that share a scale */
    bool large;       /* an error costs more where the element is large: times sqrt(mean x^2 + x^2) */
    v16 x[32], w[32]; /* [element], in units of `unit` and of the block's mean weight */
    v16 sw, swx;      /* sums of w and w x */
    float unit[LANES]; /* a power of two, the same for all that share */
} packet;

static float power_of_two(int e) {
    union { uint32_t u; float f; } v = {.u = (uint32_t)(e + 127) << 23};
    return v.f;
}

/* n (at most LANES * len) elements, of which the first is in column `col`; missing lanes are zeros. */
static void packet_load(packet *p, const float *in, size_t n, const float *weights, size_t n_per_row, size_t col) {
    float x[32][LANES] = {0}, w[32][LANES];
    const size_t each = (size_t)(p->len * p->share);
    for (int i = 0; i < p->len; i++)
        for (int l = 0; l < LANES; l++) w[i][l] = 1;
    for (size_t at = 0; at < (size_t)LANES * p->len; at += each) {
        const int lane = (int)(at / p->len);
        float amax = 0;
        for (size_t i = at; i < at + each && i < n; i++) {
            const float size = fabsf(in[i]);
            amax = size > amax ? size : amax; /* a NaN is passed over */
        }
        union { float f; uint32_t u; } bits = {.f = amax};
        int e = (int)(bits.u >> 23) - 127;
        e = e < -126 ? -126 : e > 126 ? 126 : e;
        const float by = power_of_two(-e);
        for (int s = 0; s < p->share; s++) p->unit[lane + s] = power_of_two(e);
        if (at >= n) continue;
        for (int s = 0; s < p->share; s++)
            for (int i = 0; i < p->len; i++) x[i][lane + s] = in[at + (size_t)(s * p->len + i)] * by;
        if (p->large) {
            float sum = 0;
            for (int s = 0; s < p->share; s++)
                for (int i = 0; i < p->len; i++) sum += x[i][lane + s] * x[i][lane + s];
            const float mean = sum / (float)each;
            for (int s = 0; s < p->share; s++)
                for (int i = 0; i < p->len; i++)
                    w[i][lane + s] = sqrtf(mean + x[i][lane + s] * x[i][lane + s]);
        }
        if (!weights) continue;
        float sum = 0;
        const float *const v = weights + (col + at) % n_per_row; /* a super-block lies in one row */
        for (size_t i = 0; i < each; i++) sum += v[i];
        const float mean = sum / (float)each;
        if (!(mean > 1e-30f && mean < 1e30f)) continue; /* nothing known: all alike */
        const float inverse = 1 / mean;
        for (int s = 0; s < p->share; s++)
            for (int i = 0; i < p->len; i++) {
                const float of = v[s * p->len + i] * inverse;
                w[i][lane + s] *= of > 1e-6f ? of : 1e-6f; /* a dead column still gets its nearest level */
            }
    }
    const v16 limit = v16_set1(4), lowest = v16_set1(-4);
    p->sw = p->swx = v16_set1(0);
    for (int i = 0; i < p->len; i++) {
        /* infinities are as good as gone; the order makes a NaN the lower limit */
        p->x[i] = v16_min(v16_max(v16_load(x[i]), lowest), limit);
        p->w[i] = v16_load(w[i]);
        p->sw = v16_add(p->sw, p->w[i]);
        p->swx = v16_add(p->swx, v16_mul(p->w[i], p->x[i]));
    }
}

INL v16 on_grid(grid g, v16 t) {
    t = v16_min(v16_max(t, v16_set1(g.lo)), v16_set1(g.hi));
    if (!g.iq4) return v16_nearest(t);
    const v16 zero = v16_set1(0);
    v16 level = v16_set1((float)ts_iq4_nl_values[0]);
    UNROLL for (int k = 1; k < 16; k++) { /* in the middle the upper one */
        const float low = (float)ts_iq4_nl_values[k - 1], high = (float)ts_iq4_nl_values[k];
        level = v16_add(level, v16_if_less(t, v16_set1((low + high) * 0.5f), zero, v16_set1(high - low)));
    }
    return level;
}

INL v16 inverse_or_zero(v16 d) { return v16_if_less(v16_set1(0), v16_abs(d), v16_div(v16_set1(1), d), v16_set1(0)); }

/* Sums over a lane with its elements rounded to the grid, q = (x + min) * id: w q, w q q, w q x. */
typedef struct sums {
    v16 q, qq, qx;
} sums;

INL sums sum_up(const packet *p, int len, grid g, v16 id, v16 min) {
    sums s = {v16_set1(0), v16_set1(0), v16_set1(0)};
    for (int i = 0; i < len; i++) {
        const v16 q = on_grid(g, v16_mul(v16_add(p->x[i], min), id)), wq = v16_mul(p->w[i], q);
        s.q = v16_add(s.q, wq);
        s.qq = v16_add(s.qq, v16_mul(wq, q));
        s.qx = v16_add(s.qx, v16_mul(wq, p->x[i]));
    }
    return s;
}

/* The weighted squared error with x ~ step * q - min. */
INL v16 error_of(const packet *p, int len, grid g, v16 step, v16 min) {
    const v16 id = inverse_or_zero(step);
    v16 e = v16_set1(0);
    for (int i = 0; i < len; i++) {
        const v16 q = on_grid(g, v16_mul(v16_add(p->x[i], min), id));
        const v16 r = v16_sub(v16_sub(v16_mul(step, q), min), p->x[i]);
        e = v16_add(e, v16_mul(p->w[i], v16_mul(r, r)));
    }
    return e;
}

/* The levels themselves, [element][lane]. */
INL void put_levels(const packet *p, int len, grid g, v16 step, v16 min, float q[32][LANES]) {
    const v16 id = inverse_or_zero(step);
    for (int i = 0; i < len; i++) v16_store(q[i], on_grid(g, v16_mul(v16_add(p->x[i], min), id)));
}

static uint16_t scale_to_f16(float d) {
    if (d > 65504.0f) d = 65504.0f;
    if (d < -65504.0f) d = -65504.0f;
    return ts_f32_to_f16(d == d ? d : 0.0f);
}

/* For a scale that integer codes multiply: not rounded down to zero. */
static uint16_t scale_to_f16_nonzero(float d) {
    const uint16_t h = scale_to_f16(d);
    return d > 0 && h == 0 ? 1 : h;
}

/* ---- x ~ step * q - min, q from 0 -------------------------------------------------------------------------------- */

/* Each lane on its own. min >= 0, or of any sign where `signed_min`. */
INL void affine_fit(const packet *p, int len, grid g, bool signed_min, starts from, v16 *step, v16 *min) {
    const v16 zero = v16_set1(0);
    v16 lo = p->x[0], hi = p->x[0];
    for (int i = 1; i < len; i++) {
        lo = v16_min(p->x[i], lo);
        hi = v16_max(p->x[i], hi);
    }
    if (!signed_min) lo = v16_min(lo, zero);
    const v16 range = v16_sub(hi, lo), inverse = inverse_or_zero(range);
    v16 best = v16_set1(-FLT_MAX);
    *step = v16_mul(range, v16_set1(1 / g.hi));
    *min = v16_sub(zero, lo);
    for (int t = 0; t < from.n; t++) {
        v16 id = v16_mul(v16_set1(g.hi + start_at(from, t)), inverse), m = v16_sub(zero, lo);
        for (int round = 0; round < from.rounds; round++) {
            const sums s = sum_up(p, len, g, id, m);
            /* the least squares solution for these q */
            const v16 det = v16_sub(v16_mul(p->sw, s.qq), v16_mul(s.q, s.q));
            const v16 limit = v16_mul(v16_set1(1e-5f), v16_mul(p->sw, s.qq)); /* below it all q are alike */
            const v16 over = v16_div(v16_set1(1), det);
            const v16 flat = v16_div(s.qx, s.qq); /* without a minimum */
            v16 m2 = v16_mul(v16_sub(v16_mul(s.q, s.qx), v16_mul(s.qq, p->swx)), over);
            v16 s2 = v16_mul(v16_sub(v16_mul(p->sw, s.qx), v16_mul(s.q, p->swx)), over);
            if (!signed_min) {
                s2 = v16_if_less(m2, zero, flat, s2);
                m2 = v16_if_less(m2, zero, zero, m2);
            }
            s2 = v16_if_less(limit, det, s2, flat);
            m2 = v16_if_less(limit, det, m2, zero);
            /* what it takes off the squares; nothing where it is no solution */
            const v16 off = v16_sub(v16_mul(s2, s.qx), v16_mul(m2, p->swx));
            const v16 gain = v16_if_less(zero, s2, off, v16_set1(-FLT_MAX));
            *step = v16_if_less(best, gain, s2, *step);
            *min = v16_if_less(best, gain, m2, *min);
            best = v16_if_less(best, gain, gain, best);
            id = v16_if_less(zero, s2, v16_div(v16_set1(1), s2), id);
            m = v16_if_less(zero, s2, m2, m);
        }
    }
}

/* Scales that lanes share, and codes of the lanes. */
typedef struct shared {
    uint16_t d[LANES], dmin[LANES]; /* binary16 */
    v16 step, min;                  /* codes */
    v16 error;
} shared;

INL v16 lanes_of(const packet *p, const uint16_t *h) {
    float f[LANES];
    for (int l = 0; l < LANES; l++) f[l] = ts_f16_to_f32(h[l]) * (1 / p->unit[l]);
    return v16_load(f);
}

/* Codes for the scales given: of each lane its own fit's, or a neighbour. */
INL void affine_codes(const packet *p, int len, grid g, float code_max, v16 step, v16 min, shared *to) {
    const v16 zero = v16_set1(0), top = v16_set1(code_max), d = lanes_of(p, to->d), dmin = lanes_of(p, to->dmin);
    const grid code = {0, code_max, false};
    const v16 at_step = on_grid(code, v16_mul(step, inverse_or_zero(d)));
    const v16 at_min = on_grid(code, v16_mul(min, inverse_or_zero(dmin)));
    to->step = at_step;
    to->min = at_min;
    to->error = v16_set1(FLT_MAX);
    for (int i = -1; i <= 1; i++) {
        const v16 a = v16_min(v16_max(v16_add(at_step, v16_set1((float)i)), zero), top), s = v16_mul(d, a);
        for (int j = -1; j <= 1; j++) {
            const v16 b = v16_min(v16_max(v16_add(at_min, v16_set1((float)j)), zero), top);
            const v16 e = error_of(p, len, g, s, v16_mul(dmin, b));
            to->step = v16_if_less(e, to->error, a, to->step);
            to->min = v16_if_less(e, to->error, b, to->min);
            to->error = v16_if_less(e, to->error, e, to->error);
        }
    }
}

/* Better scales for these codes: weighted least squares over the lanes that share them. */
INL void affine_scales(const packet *p, int len, grid g, const shared *of, shared *to) {
    const v16 s = v16_mul(lanes_of(p, of->d), of->step), m = v16_mul(lanes_of(p, of->dmin), of->min);
    const sums sum = sum_up(p, len, g, inverse_or_zero(s), m);
    float q[LANES], qq[LANES], qx[LANES], sw[LANES], swx[LANES], a[LANES], b[LANES];
    v16_store(q, sum.q), v16_store(qq, sum.qq), v16_store(qx, sum.qx);
    v16_store(sw, p->sw), v16_store(swx, p->swx), v16_store(a, of->step), v16_store(b, of->min);
    *to = *of;
    for (int first = 0; first < LANES; first += p->share) {
        double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0; /* x ~ d * a q - dmin * b */
        for (int l = first; l < first + p->share; l++) {
            aa += (double)(a[l] * a[l]) * (double)qq[l];
            ab += (double)(a[l] * b[l]) * (double)q[l];
            bb += (double)(b[l] * b[l]) * (double)sw[l];
            ax += (double)a[l] * (double)qx[l];
            bx += (double)b[l] * (double)swx[l];
        }
        double d, dmin, det = aa * bb - ab * ab;
        const float unit = p->unit[first];
        uint16_t hd = of->d[first], hmin = of->dmin[first];
        if (det > aa * bb * 1e-6) {
            d = (ax * bb - bx * ab) / det;
            dmin = (ax * ab - bx * aa) / det;
            if (d > 0 && dmin >= 0) {
                hd = scale_to_f16_nonzero((float)d * unit);
                hmin = scale_to_f16_nonzero((float)dmin * unit);
            }
        } else if (aa > 0 && ax > 0) {
            hd = scale_to_f16_nonzero((float)(ax / aa) * unit);
        }
        for (int l = first; l < first + p->share; l++) to->d[l] = hd, to->dmin[l] = hmin;
    }
}

/* Of those that share a scale, take the better. */
static void keep_better(const packet *p, shared *best, const shared *other) {
    float e[LANES], f[LANES], step[2][LANES], min[2][LANES];
    v16_store(e, best->error), v16_store(f, other->error);
    v16_store(step[0], best->step), v16_store(step[1], other->step);
    v16_store(min[0], best->min), v16_store(min[1], other->min);
    for (int first = 0; first < LANES; first += p->share) {
        double a = 0, b = 0;
        for (int l = first; l < first + p->share; l++) a += (double)e[l], b += (double)f[l];
        if (!(b < a)) continue;
        for (int l = first; l < first + p->share; l++) {
            best->d[l] = other->d[l], best->dmin[l] = other->dmin[l];
            e[l] = f[l], step[0][l] = step[1][l], min[0][l] = min[1][l];
        }
    }
    best->error = v16_load(e), best->step = v16_load(step[0]), best->min = v16_load(min[0]);
}

static void scales_of_largest(const packet *p, float code_max, v16 step, v16 min, shared *to) {
    float s[LANES], m[LANES];
    v16_store(s, step), v16_store(m, min);
    for (int first = 0; first < LANES; first += p->share) {
        float a = 0, b = 0;
        for (int l = first; l < first + p->share; l++) a = s[l] > a ? s[l] : a, b = m[l] > b ? m[l] : b;
        for (int l = first; l < first + p->share; l++) {
            to->d[l] = scale_to_f16_nonzero(a / code_max * p->unit[l]);
            to->dmin[l] = scale_to_f16_nonzero(b / code_max * p->unit[l]);
        }
    }
}

INL void affine_search(const packet *p, int len, grid g, float code_max, starts from, shared *best,
                       float q[32][LANES]) {
    v16 step, min;
    affine_fit(p, len, g, false, from, &step, &min);
    for (int t = 0; t < TRIES; t++) {
        shared at, other;
        scales_of_largest(p, code_max - (float)t, step, min, &at);
        affine_codes(p, len, g, code_max, step, min, &at);
        for (int round = 0; round < ROUNDS; round++) {
            affine_scales(p, len, g, &at, &other);
            affine_codes(p, len, g, code_max, step, min, &other);
            keep_better(p, &at, &other);
        }
        if (t == 0) *best = at;
        else keep_better(p, best, &at);
    }
    put_levels(p, len, g, v16_mul(lanes_of(p, best->d), best->step), v16_mul(lanes_of(p, best->dmin), best->min), q);
}

/* ---- x ~ step * level, step of any sign -------------------------------------------------------------------------- */

INL v16 scaled_fit(const packet *p, int len, grid g, starts from) {
    const v16 zero = v16_set1(0);
    v16 extreme = zero, size = zero;
    for (int i = 0; i < len; i++) {
        const v16 a = v16_abs(p->x[i]);
        extreme = v16_if_less(size, a, p->x[i], extreme);
        size = v16_max(a, size);
    }
    const v16 inverse = inverse_or_zero(extreme);
    v16 best = zero, step = zero;
    for (int t = 0; t < 2 * from.n; t++) { /* the extreme on the lowest level, and on the highest */
        const float level = t < from.n ? g.lo + start_at(from, t) : g.hi + start_at(from, t - from.n);
        v16 id = v16_mul(v16_set1(level), inverse);
        for (int round = 0; round < from.rounds; round++) {
            const sums s = sum_up(p, len, g, id, zero);
            const v16 s2 = v16_div(s.qx, s.qq), gain = v16_mul(s2, s.qx);
            step = v16_if_less(best, gain, s2, step);
            best = v16_if_less(best, gain, gain, best);
            id = v16_if_less(zero, v16_abs(s2), v16_div(v16_set1(1), s2), id);
        }
    }
    return step;
}

INL void scaled_codes(const packet *p, int len, grid g, float code_max, v16 step, shared *to) {
    const v16 zero = v16_set1(0), d = lanes_of(p, to->d), low = v16_set1(-code_max - 1), top = v16_set1(code_max);
    const grid code = {-code_max - 1, code_max, false};
    const v16 at = on_grid(code, v16_mul(step, inverse_or_zero(d)));
    to->step = at;
    to->min = zero;
    to->error = v16_set1(FLT_MAX);
    for (int i = -1; i <= 1; i++) {
        const v16 a = v16_min(v16_max(v16_add(at, v16_set1((float)i)), low), top);
        const v16 e = error_of(p, len, g, v16_mul(d, a), zero);
        to->step = v16_if_less(e, to->error, a, to->step);
        to->error = v16_if_less(e, to->error, e, to->error);
    }
}

INL void scaled_scales(const packet *p, int len, grid g, const shared *of, shared *to) {
    const v16 s = v16_mul(lanes_of(p, of->d), of->step);
    const sums sum = sum_up(p, len, g, inverse_or_zero(s), v16_set1(0));
    float qq[LANES], qx[LANES], a[LANES];
    v16_store(qq, sum.qq), v16_store(qx, sum.qx), v16_store(a, of->step);
    *to = *of;
    for (int first = 0; first < LANES; first += p->share) {
        double aa = 0, ax = 0;
        for (int l = first; l < first + p->share; l++) {
            aa += (double)(a[l] * a[l]) * (double)qq[l];
            ax += (double)a[l] * (double)qx[l];
        }
        if (!(aa > 0)) continue;
        for (int l = first; l < first + p->share; l++) to->d[l] = scale_to_f16((float)(ax / aa) * p->unit[l]);
    }
}

static void scale_of_extreme(const packet *p, float code, v16 step, shared *to) {
    float s[LANES];
    v16_store(s, step);
    for (int first = 0; first < LANES; first += p->share) {
        float extreme = 0;
        for (int l = first; l < first + p->share; l++)
            if (fabsf(s[l]) > fabsf(extreme)) extreme = s[l];
        for (int l = first; l < first + p->share; l++) {
            to->d[l] = scale_to_f16(extreme / code * p->unit[l]);
            to->dmin[l] = 0;
        }
    }
}

INL void scaled_search(const packet *p, int len, grid g, float code_max, starts from, shared *best,
                       float q[32][LANES]) {
    const v16 step = scaled_fit(p, len, g, from);
    for (int t = 0; t < TRIES; t++) {
        shared at, other;
        scale_of_extreme(p, -code_max - 1 + (float)t, step, &at); /* there is one code more below 0 than above */
        scaled_codes(p, len, g, code_max, step, &at);
        for (int round = 0; round < ROUNDS; round++) {
            scaled_scales(p, len, g, &at, &other);
            scaled_codes(p, len, g, code_max, step, &other);
            keep_better(p, &at, &other);
        }
        if (t == 0) *best = at;
        else keep_better(p, best, &at);
    }
    put_levels(p, len, g, v16_mul(lanes_of(p, best->d), best->step), v16_set1(0), q);
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

/* What a packet became, for ts_search_pack. */
static void result_of(const shared *s, int lane, int share, int len, const float q[32][LANES], ts_searched *r) {
    float step[LANES], min[LANES];
    v16_store(step, s->step), v16_store(min, s->min);
    r->d = s->d[lane], r->m = s->dmin[lane];
    for (int l = 0; l < share; l++) {
        r->scale[l] = (int16_t)step[lane + l], r->min[l] = (int16_t)min[lane + l];
        for (int i = 0; i < len; i++) r->q[l * len + i] = (int8_t)q[i][lane + l];
    }
}

#define AFFINE(name, len_, share_, q_max, code_max, ...)                                       \
    static void name(packet *p, shared *s, float q[32][LANES]) {                              \
        affine_search(p, len_, (grid){0, q_max, false}, code_max, (starts)__VA_ARGS__, s, q); \
    }
#define SCALED(name, len_, share_, lo, hi, is_iq4, code_max, ...)                              \
    static void name(packet *p, shared *s, float q[32][LANES]) {                              \
        scaled_search(p, len_, (grid){lo, hi, is_iq4}, code_max, (starts)__VA_ARGS__, s, q);  \
    }
AFFINE(search_q2_k, 16, 16, 3, 15, {0.15f, 13, 3})
AFFINE(search_q4_k, 32, 8, 15, 63, {0.3f, 15, 2})
AFFINE(search_q5_k, 32, 8, 31, 63, {0.3f, 15, 2})
SCALED(search_q3_k, 16, 16, -4, 3, false, 31, {0.2f, 21, 2})
SCALED(search_q6_k, 16, 16, -32, 31, false, 127, {0.3f, 31, 1})
SCALED(search_iq4_xs, 32, 8, -127, 113, true, 31, {5, 21, 1})

/* Blocks of 32 with a scale of their own. */
#define PLAIN(name, lo, hi, is_iq4, ...)                                              \
    static void name(packet *p, shared *s, float q[32][LANES]) {                      \
        const grid g = {lo, hi, is_iq4};                                              \
        float step[LANES];                                                            \
        v16_store(step, scaled_fit(p, 32, g, (starts)__VA_ARGS__));                   \
        for (int l = 0; l < LANES; l++) s->d[l] = scale_to_f16(step[l] * p->unit[l]); \
        put_levels(p, 32, g, lanes_of(p, s->d), v16_set1(0), q);                      \
    }
#define PLAIN_MIN(name, q_max, ...)                                                            \
    static void name(packet *p, shared *s, float q[32][LANES]) {                               \
        const grid g = {0, q_max, false};                                                      \
        v16 fit, off;                                                                          \
        float step[LANES], min[LANES];                                                         \
        affine_fit(p, 32, g, true, (starts)__VA_ARGS__, &fit, &off);                           \
        v16_store(step, fit), v16_store(min, off);                                             \
        for (int l = 0; l < LANES; l++) {                                                      \
            s->d[l] = scale_to_f16(step[l] * p->unit[l]);                                      \
            s->dmin[l] = scale_to_f16(-min[l] * p->unit[l]);                                   \
        }                                                                                      \
        put_levels(p, 32, g, lanes_of(p, s->d), v16_sub(v16_set1(0), lanes_of(p, s->dmin)), q); \
    }
PLAIN(search_q4_0, -8, 7, false, {0.2f, 21, 2})
PLAIN(search_q5_0, -16, 15, false, {0.3f, 31, 2})
PLAIN(search_iq4_nl, -127, 113, true, {5, 21, 2})
PLAIN_MIN(search_q4_1, 15, {0.3f, 15, 2})
PLAIN_MIN(search_q5_1, 31, {0.3f, 15, 2})

static const struct search {
    void (*fn)(packet *p, shared *s, float q[32][LANES]);
    int len, share;
    /* At two bits an error is no small noise any more, and large elements carry the result: the KL divergence of the
     * bundled model in Q2_K is 0.80 instead of 0.96, without weights 1.02 instead of 1.16. With more bits it gets worse
     * by it: in Q4_K_M 0.108 instead of 0.093. */
    bool large;
} searches[TS_DTYPES] = {
    [TS_Q2_K] = {search_q2_k, 16, 16, true},  [TS_Q3_K] = {search_q3_k, 16, 16},    [TS_Q4_K] = {search_q4_k, 32, 8},
    [TS_Q5_K] = {search_q5_k, 32, 8},   [TS_Q6_K] = {search_q6_k, 16, 16},    [TS_IQ4_XS] = {search_iq4_xs, 32, 8},
    [TS_Q4_0] = {search_q4_0, 32, 1},   [TS_Q5_0] = {search_q5_0, 32, 1},     [TS_Q4_1] = {search_q4_1, 32, 1},
    [TS_Q5_1] = {search_q5_1, 32, 1},   [TS_IQ4_NL] = {search_iq4_nl, 32, 1},
};

static TS_SEARCH(search_blocks) {
    const struct search *const t = &searches[type];
    const ts_dtype_info *const info = ts_dtype_get(type);
    uint8_t *to = blocks;
    packet p = {.len = t->len, .share = t->share, .large = t->large};
    for (size_t at = 0; at < n; at += (size_t)LANES * t->len) {
        shared s = {.step = v16_set1(0), .min = v16_set1(0)};
        float q[32][LANES];
        packet_load(&p, in + at, n - at, weights, n_per_row, at);
        t->fn(&p, &s, q);
        for (int lane = 0; lane < LANES && at + (size_t)(lane * t->len) < n; lane += t->share) {
            ts_searched r;
            result_of(&s, lane, t->share, t->len, q, &r);
            ts_search_pack(type, &r, to);
            to += info->block_bytes;
        }
    }
}
