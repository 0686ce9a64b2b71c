#include "quant/awq.h"
#include "quant/grid.h"

#include "kern/fmath.h"

#include <math.h>
#include <string.h>

enum {
    SAMPLE_CHUNKS = 4, /* of the texts */
    RATIOS = 20,
    ROWS = 32,       /* of a task */
    COST_ROUND = 10, /* units of an element, with its search */
};

/* May the group's columns be scaled? Attention gives o several heads for one of v where heads share. */
static bool can_scale(const ts_calib *c, const ts_dtype type[], ts_mat_group g) {
    if (g == TS_GROUP_O && c->c.n_head != c->c.n_kv_head) return false;
    for (int i = 0; i < ts_layer_group[g].n; i++)
        if (ts_act_block(type[ts_layer_group[g].first + i])) return true;
    return false;
}

static ts_calib sample_of(const ts_calib *c) {
    ts_calib s = *c;
    if (s.n_chunks > SAMPLE_CHUNKS) s.n_chunks = SAMPLE_CHUNKS, s.n = SAMPLE_CHUNKS * TS_CALIB_CHUNK;
    return s;
}

/* Units of a ratio: rounding, and the outputs of n inputs. */
static uint64_t ratio_cost(const ts_calib *c, const ts_dtype type[], ts_mat_group g, uint32_t n) {
    uint64_t n_el = 0;
    for (int i = 0; i < ts_layer_group[g].n; i++) {
        const ts_role r = ts_layer_group[g].first + (ts_role)i;
        if (ts_act_block(type[r])) n_el += (uint64_t)ts_role_in(r, &c->width) * ts_role_out(r, &c->width);
    }
    return n_el * (COST_ROUND + n / TS_WATCH_PRODUCTS);
}

uint64_t ts_awq_cost(const ts_calib *c, const ts_dtype type[TS_LAYER_MATS]) {
    uint64_t cost = 0;
    for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++)
        if (can_scale(c, type, g)) cost += RATIOS * ratio_cost(c, type, g, sample_of(c).n);
    return cost;
}

/* Matrices with one input, for a scaling of its columns. */
struct scaling {
    const ts_calib *c;
    const ts_calib_layer *l;
    const ts_dtype *type; /* [TS_LAYER_MATS] */
    ts_mat_group g;
    const float *x; /* [n, n_in] */
    uint32_t n, n_in;
    const float *s; /* [n_in] */
    ts_role role;   /* of the tasks */
    double *loss;   /* [tasks] */
    float *scratch; /* [threads] of scratch_size */
    size_t scratch_size;
    ts_watch *watch;
};

static size_t scratch_of(uint32_t n_in, uint32_t n) {
    return (size_t)(ROWS + 1) * n_in + (size_t)n * ROWS + n_in; /* rows, one row scaled, outputs, blocks */
}

static void loss_task(void *arg, size_t task, int thread) {
    const struct scaling *a = arg;
    const uint32_t K = a->n_in, r0 = (uint32_t)task * ROWS, n_out = ts_role_out(a->role, &a->c->width),
                   rows = n_out - r0 < ROWS ? n_out - r0 : ROWS;
    float *diff = a->scratch + (size_t)thread * a->scratch_size, *scaled = diff + (size_t)ROWS * K, *y = scaled + K;
    void *blocks = y + (size_t)a->n * ROWS;
    for (uint32_t r = 0; r < rows; r++) {
        const float *w = a->l->mat[a->role] + (size_t)(r0 + r) * K;
        float *d = diff + (size_t)r * K;
        for (uint32_t i = 0; i < K; i++) scaled[i] = w[i] * a->s[i];
        ts_quant_round(a->c->kern, a->type[a->role], scaled, NULL, K, blocks, d);
        for (uint32_t i = 0; i < K; i++) d[i] = w[i] - d[i] / a->s[i];
    }
    a->c->kern->gemm_f[TS_F32](diff, K * sizeof *diff, K, a->x, K, a->n, 0, rows, y, rows);
    double sum = 0;
    for (size_t i = 0; i < (size_t)a->n * rows; i++) sum += (double)y[i] * (double)y[i];
    a->loss[task] = sum;
}

/* What rounding costs the group's outputs. */
static double loss_of(struct scaling *a) {
    const ts_mat_group_info *info = &ts_layer_group[a->g];
    double sum = 0;
    for (int i = 0; i < info->n; i++) {
        a->role = info->first + (ts_role)i;
        if (!ts_act_block(a->type[a->role])) continue;
        const size_t tasks = (ts_role_out(a->role, &a->c->width) + ROWS - 1) / ROWS;
        ts_pool_run(a->c->pool, tasks, loss_task, a);
        for (size_t t = 0; t < tasks; t++) sum += a->loss[t];
    }
    return sum;
}

/* Powers of the mean size of the inputs, around 1: s^ratio / sqrt(largest * smallest). */
static void candidate(const float *mean, uint32_t n, int k, float *s) {
    float most = 0, least = INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        const double m = mean[i] > 1e-4f ? (double)mean[i] : 1e-4;
        s[i] = (float)ts_pow_d(m, (double)k / RATIOS);
        if (s[i] < 1e-4f) s[i] = 1e-4f;
        if (s[i] > most) most = s[i];
        if (s[i] < least) least = s[i];
    }
    const float by = 1 / sqrtf(most * least);
    for (uint32_t i = 0; i < n; i++) s[i] *= by;
}

static ts_status find_scales(struct scaling *a, float *best, ts_err *err) {
    const size_t threads = (size_t)ts_pool_threads(a->c->pool);
    uint32_t most_out = 0;
    for (int i = 0; i < ts_layer_group[a->g].n; i++) {
        const uint32_t n = ts_role_out(ts_layer_group[a->g].first + (ts_role)i, &a->c->width);
        if (n > most_out) most_out = n;
    }
    a->scratch_size = scratch_of(a->n_in, a->n);
    float *mean = ts_calloc(a->n_in, sizeof *mean), *s = ts_alloc(a->n_in, sizeof *s);
    a->scratch = ts_alloc(threads * a->scratch_size, sizeof *a->scratch);
    a->loss = ts_alloc((most_out + ROWS - 1) / ROWS, sizeof *a->loss);
    ts_status st = TS_OK;
    if (mean && s && a->scratch && a->loss) {
        for (uint32_t t = 0; t < a->n; t++)
            for (uint32_t i = 0; i < a->n_in; i++) mean[i] += fabsf(a->x[(size_t)t * a->n_in + i]) / (float)a->n;
        double least = HUGE_VAL;
        a->s = s;
        for (int k = 0; k < RATIOS && st == TS_OK; k++) { /* 0: as it was, so that nothing gets worse */
            candidate(mean, a->n_in, k, s);
            const double loss = loss_of(a);
            st = ts_watch_step(a->watch, ratio_cost(a->c, a->type, a->g, a->n), err);
            if (!(loss < least)) continue;
            least = loss;
            memcpy(best, s, a->n_in * sizeof *s);
        }
        if (st == TS_OK && !isfinite(least)) st = ts_fail(err, TS_E_FORMAT, "activations are not finite");
    } else {
        st = ts_fail_nomem(err, "AWQ's scales", threads * a->scratch_size * sizeof *s);
    }
    ts_free(mean), ts_free(s), ts_free(a->scratch), ts_free(a->loss);
    return st;
}

static void scale_columns(const ts_calib *c, ts_calib_layer *l, ts_mat_group g, const float *s) {
    const uint32_t K = ts_calib_width(c, g);
    for (int i = 0; i < ts_layer_group[g].n; i++) {
        const ts_role r = ts_layer_group[g].first + (ts_role)i;
        float *w = l->mat[r];
        for (uint32_t o = 0; o < ts_role_out(r, &c->width); o++)
            for (uint32_t k = 0; k < K; k++) w[(size_t)o * K + k] *= s[k];
    }
}

/* What gives the group its input gives so much less. */
static void scale_giver(const ts_calib *c, ts_calib_layer *l, ts_mat_group g, const float *s) {
    const uint32_t n = ts_calib_width(c, g);
    if (g == TS_GROUP_QKV || g == TS_GROUP_FFN) {
        float *norm = l->vec[(g == TS_GROUP_QKV ? TS_ROLE_ATTN_NORM : TS_ROLE_FFN_NORM) - TS_LAYER_MATS];
        for (uint32_t i = 0; i < n; i++) norm[i] /= s[i];
        return;
    }
    const ts_role giver = g == TS_GROUP_O ? TS_ROLE_V : TS_ROLE_UP;
    const uint32_t K = ts_role_in(giver, &c->width);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < K; k++) l->mat[giver][(size_t)i * K + k] /= s[i];
        if (l->bias[giver]) l->bias[giver][i] /= s[i];
    }
}

/* The whole layer, on a copy of some of the states, before anything is rounded. */
ts_status ts_awq_layer(const ts_calib *c, ts_calib_layer *l, const ts_dtype type[TS_LAYER_MATS], ts_watch *watch,
                       ts_err *err) {
    ts_calib sample = sample_of(c);
    uint32_t widest = 0;
    for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++)
        if (ts_calib_width(c, g) > widest) widest = ts_calib_width(c, g);
    sample.x = ts_alloc((size_t)sample.n * c->c.d_model, sizeof *sample.x);
    float *in = ts_alloc((size_t)sample.n * widest, sizeof *in), *s = ts_alloc(widest, sizeof *s);
    ts_status st = TS_OK;
    if (!sample.x || !in || !s) st = ts_fail_nomem(err, "AWQ's sample", (size_t)sample.n * widest * sizeof *in);
    else memcpy(sample.x, c->x, (size_t)sample.n * c->c.d_model * sizeof *sample.x);
    for (ts_mat_group g = 0; g < TS_LAYER_GROUPS && st == TS_OK; g++) {
        struct scaling a = {
            .c = c, .l = l, .type = type, .g = g, .x = in, .n = sample.n, .n_in = ts_calib_width(c, g), .watch = watch};
        for (uint32_t i = 0, n; i < sample.n_chunks && st == TS_OK; i++)
            st = ts_calib_inputs(&sample, l, g, i, in + (size_t)ts_calib_chunk(&sample, i, &n) * a.n_in, err);
        if (st == TS_OK && can_scale(c, type, g)) {
            st = find_scales(&a, s, err);
            if (st == TS_OK) scale_columns(c, l, g, s), scale_giver(c, l, g, s);
        }
        if (st == TS_OK && g == TS_GROUP_O) st = ts_calib_advance(&sample, l, g, err);
    }
    ts_free(sample.x), ts_free(in), ts_free(s);
    return st;
}
