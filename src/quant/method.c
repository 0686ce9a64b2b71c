#include "quant/method.h"
#include "quant/awq.h"
#include "quant/gptq.h"
#include "quant/grid.h"

#include <math.h>
#include <string.h>

enum {
    ROWS = 32,        /* of a task */
    COST_SEARCH = 12, /* units of an element */
};

static const char *const names[] = {"plain", "awq", "gptq", "awq+gptq"};

const char *ts_quant_method_name(unsigned method) {
    return names[method];
}

bool ts_quant_method_find(const char *name, unsigned *out) {
    for (unsigned i = 0; i < 4; i++)
        if (!strcmp(name, names[i])) {
            *out = i;
            return true;
        }
    return false;
}

/* ---- what it costs, in units of the watch ------------------------------------------------------------------------ */

/* The group's inputs, from the states. */
static uint64_t inputs_cost(const ts_calib *c, ts_mat_group g, uint32_t n) {
    uint64_t products = 0;
    if (g == TS_GROUP_O)
        for (ts_role r = TS_ROLE_Q; r <= TS_ROLE_V; r++)
            products += (uint64_t)ts_role_in(r, &c->width) * ts_role_out(r, &c->width);
    if (g == TS_GROUP_DOWN) products = 2 * (uint64_t)c->c.d_model * c->c.d_ff;
    return products * n / TS_WATCH_PRODUCTS;
}

static uint64_t sums_cost(const ts_calib *c, ts_mat_group g, bool compensate, uint32_t n) {
    const uint64_t K = ts_calib_width(c, g);
    return inputs_cost(c, g, n) + (compensate ? K * K / 2 * n / TS_WATCH_PRODUCTS : K * n / TS_WATCH_PRODUCTS);
}

static uint64_t advance_cost(const ts_calib *c, ts_mat_group g) {
    return inputs_cost(c, g, c->n) + (uint64_t)ts_calib_width(c, g) * c->c.d_model * c->n / TS_WATCH_PRODUCTS;
}

static bool makes_up(unsigned method, ts_dtype type) {
    return (method & TS_METHOD_GPTQ) && ts_grid_size(type);
}

static uint64_t matrix_cost(const ts_calib *c, ts_role r, ts_dtype type, unsigned method) {
    const uint32_t K = ts_role_in(r, &c->width), n_out = ts_role_out(r, &c->width);
    return makes_up(method, type) ? ts_gptq_row_cost(K) * n_out : (uint64_t)K * n_out * COST_SEARCH;
}

uint64_t ts_quant_layer_cost(const ts_calib *c, const ts_dtype type[TS_LAYER_MATS], unsigned method) {
    uint64_t cost = method & TS_METHOD_AWQ ? ts_awq_cost(c, type) : 0;
    for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++) {
        const ts_mat_group_info *info = &ts_layer_group[g];
        bool any = false;
        for (int i = 0; i < info->n; i++) {
            const ts_role r = info->first + (ts_role)i;
            if (!ts_act_block(type[r])) continue;
            cost += matrix_cost(c, r, type[r], method);
            any = true;
        }
        if (any) cost += sums_cost(c, g, method & TS_METHOD_GPTQ, c->n);
        if (any && (method & TS_METHOD_GPTQ)) cost += ts_gptq_factor_cost(ts_calib_width(c, g));
        if (g == TS_GROUP_O || g == TS_GROUP_DOWN) cost += advance_cost(c, g);
    }
    return cost;
}

/* ---- rounding ---------------------------------------------------------------------------------------------------- */

struct rounding {
    const ts_kern *kern;
    ts_dtype type;
    float *w;
    uint32_t n_in, n_out;
    const float *importance;
    uint8_t *blocks;
    size_t row_bytes;
};

static void round_task(void *arg, size_t task, int thread) {
    const struct rounding *p = arg;
    (void)thread;
    const size_t r0 = task * ROWS, r1 = p->n_out - r0 < ROWS ? p->n_out : r0 + ROWS;
    for (size_t r = r0; r < r1; r++) {
        float *w = p->w + r * p->n_in;
        ts_quant_round(p->kern, p->type, w, p->importance, p->n_in, p->blocks + r * p->row_bytes, w);
    }
}

static double squares(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum += d * d;
    }
    return sum;
}

static ts_status round_matrix(const ts_calib *c, ts_calib_layer *l, ts_quant_layer *q, ts_role r, const ts_gptq *gptq,
                              bool compensate, ts_err *err) {
    const uint32_t K = ts_role_in(r, &c->width), n_out = ts_role_out(r, &c->width);
    const size_t n = (size_t)K * n_out;
    float *was = ts_alloc(n, sizeof *was);
    if (!was) return ts_fail_nomem(err, "a matrix", n * sizeof *was);
    memcpy(was, l->mat[r], n * sizeof *was);
    ts_status st = TS_OK;
    if (compensate) {
        st = ts_gptq_rows(gptq, q->type[r], l->mat[r], n_out, q->blocks[r], c->kern, c->pool, err);
    } else {
        struct rounding p = {.kern = c->kern,
                             .type = q->type[r],
                             .w = l->mat[r],
                             .n_in = K,
                             .n_out = n_out,
                             .importance = gptq->square,
                             .blocks = q->blocks[r],
                             .row_bytes = ts_dtype_row_bytes(q->type[r], K)};
        ts_pool_run(c->pool, (n_out + ROWS - 1) / ROWS, round_task, &p);
        st = ts_watch_step(gptq->watch, matrix_cost(c, r, q->type[r], TS_METHOD_PLAIN), err);
    }
    const size_t lost = ts_quant_lost(was, l->mat[r], n);
    q->lost[r] = lost < n ? lost : UINT64_MAX;
    q->error[r] = squares(was, l->mat[r], n);
    q->norm[r] = squares(was, NULL, n);
    ts_free(was);
    return st;
}

/* ---- a layer ----------------------------------------------------------------------------------------------------- */

static ts_status round_group(ts_calib *c, ts_calib_layer *l, ts_quant_layer *q, ts_mat_group g, unsigned method,
                             ts_watch *watch, ts_err *err) {
    const ts_mat_group_info *info = &ts_layer_group[g];
    const uint32_t K = ts_calib_width(c, g);
    bool any = false;
    for (int i = 0; i < info->n; i++) any |= ts_act_block(q->type[info->first + (ts_role)i]);
    if (!any) return TS_OK;
    const bool compensate = method & TS_METHOD_GPTQ;
    ts_gptq sums;
    TS_TRY(ts_gptq_init(&sums, K, compensate, err));
    sums.watch = watch;
    float *in = ts_alloc((size_t)TS_CALIB_CHUNK * K, sizeof *in);
    ts_status st = in ? TS_OK : ts_fail_nomem(err, "the calibration's activations", (size_t)TS_CALIB_CHUNK * K * 4);
    for (uint32_t i = 0, n; i < c->n_chunks && st == TS_OK; i++) {
        ts_calib_chunk(c, i, &n);
        st = ts_calib_inputs(c, l, g, i, in, err);
        if (st == TS_OK) st = ts_gptq_add(&sums, in, n, c->kern, c->pool, err);
        if (st == TS_OK) st = ts_watch_step(watch, sums_cost(c, g, compensate, n), err);
    }
    ts_free(in);
    for (uint32_t i = 0; i < K && st == TS_OK; i++) /* a search takes no others */
        if (!isfinite(sums.square[i])) st = ts_fail(err, TS_E_FORMAT, "activations are not finite");
    if (st == TS_OK && compensate) st = ts_gptq_factor(&sums, 0.01f, c->kern, c->pool, err);
    for (int i = 0; i < info->n && st == TS_OK; i++) {
        const ts_role r = info->first + (ts_role)i;
        if (ts_act_block(q->type[r])) st = round_matrix(c, l, q, r, &sums, makes_up(method, q->type[r]), err);
    }
    ts_gptq_fini(&sums);
    return st;
}

ts_status ts_quant_layer_run(ts_calib *c, ts_calib_layer *l, ts_quant_layer *q, unsigned method, ts_watch *watch,
                             ts_err *err) {
    if (method & TS_METHOD_AWQ) TS_TRY(ts_awq_layer(c, l, q->type, watch, err));
    for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++) {
        TS_TRY(round_group(c, l, q, g, method, watch, err));
        if (g != TS_GROUP_O && g != TS_GROUP_DOWN) continue;
        TS_TRY(ts_calib_advance(c, l, g, err));
        TS_TRY(ts_watch_step(watch, advance_cost(c, g), err));
    }
    return TS_OK;
}
