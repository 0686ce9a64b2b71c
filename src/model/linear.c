#include "model/linear.h"
#include "base/clock.h"
#include "format/quant.h"
#include "model/finite.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>

enum { MAX_LAYERS = 4 };

ts_status ts_linear_init(ts_linear *l, const ts_source *src, const ts_tensor *t, ts_err *err) {
    const ts_dtype_info *info = ts_dtype_get(t->type);
    const char *path = src->name;
    *l = (ts_linear){.name = t->name, .type = t->type, .src = src, .tensor = t, .raw = t->data};
    if (src->op->order) l->order = src->op->order(src, t);
    if (t->n_dims > 2 || t->dim[0] > UINT32_MAX || t->dim[1] > UINT32_MAX - TS_GROUP_ROWS)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is not a matrix", path, t->name);
    l->n_in = (uint32_t)t->dim[0];
    l->n_out = l->cpu_rows = (uint32_t)t->dim[1];
    l->row_bytes = ts_dtype_row_bytes(t->type, t->dim[0]);
    if (!l->row_bytes)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s: rows of %u are not whole blocks of %s", path, t->name, l->n_in,
                       info->name ? info->name : "?");
    if (t->type == TS_F32 || t->type == TS_F16 || t->type == TS_BF16) return TS_OK;
    if (!ts_qmat_init(&l->q, t->type, l->n_out, l->n_in))
        return ts_fail(err, TS_E_UNSUPP, "%s: tensor %s has type %s, which Tessera does not compute with", path,
                       t->name, info->name ? info->name : "?");
    return TS_OK;
}

void ts_linear_keep(ts_linear *l, uint32_t row0, uint32_t n_rows) {
    assert((row0 % TS_GROUP_ROWS == 0 || !n_rows) && row0 <= l->n_out && n_rows <= l->n_out - row0 && !l->q.data);
    l->cpu_row0 = row0, l->cpu_rows = n_rows;
    if (l->q.n_cols && !ts_qmat_init(&l->q, l->type, n_rows, l->n_in)) l->q = (ts_qmat){0}; /* no rows */
}

ts_linear ts_linear_part(const ts_linear *l, uint32_t row0, uint32_t n_rows) {
    const uint32_t from = row0 - l->cpu_row0;
    ts_linear p = *l;
    assert(row0 >= l->cpu_row0 && from % TS_GROUP_ROWS == 0 && n_rows <= l->cpu_rows - from);
    p.n_out = p.cpu_rows = n_rows, p.cpu_row0 = 0, p.home = NULL;
    if (l->raw) p.raw = (const char *)l->raw + row0 * l->row_bytes;
    if (l->bias) p.bias = l->bias + row0;
    if (!l->q.data) return p;
    p.q.n_rows = n_rows;
    p.q.n_group = (n_rows + TS_GROUP_ROWS - 1) / TS_GROUP_ROWS;
    p.q.data = l->q.data + from / TS_GROUP_ROWS * l->q.group_bytes;
    return p;
}

size_t ts_linear_token_bytes(const ts_linear *l) {
    ts_qmat q;
    return ts_qmat_init(&q, l->type, l->n_out, l->n_in) ? ts_qmat_bytes(&q) : l->row_bytes * l->n_out;
}

size_t ts_linear_packed_bytes(const ts_linear *l) {
    if (l->q.n_group) return ts_qmat_bytes(&l->q);
    return !l->q.n_cols && !l->tensor->data && ts_act_block(l->type) == 0 ? l->row_bytes * l->cpu_rows : 0;
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

struct each_rows {
    const ts_linear *l;
    ts_take_rows *take;
    void *ud;
    uint32_t row0, end;       /* of the layer */
    uint32_t first;           /* row of task 0, counted from row0 */
    uint32_t at_a_time;       /* rows of a task: a group, or as many as are made together */
    uint8_t *scratch;         /* for those, of each thread; NULL: they lie in the file */
    atomic_size_t not_finite; /* the first element of the layer that is not */
};

static void rows_task(void *arg, size_t task, int thread) {
    struct each_rows *p = arg;
    const ts_linear *l = p->l;
    const uint32_t from = p->first + (uint32_t)task * p->at_a_time, left = p->end - p->row0 - from,
                   rows = left < p->at_a_time ? left : p->at_a_time;
    const char *data = ts_source_rows(l->src, l->tensor, p->row0 + from, rows,
                                      p->scratch ? p->scratch + (size_t)thread * p->at_a_time * l->row_bytes : NULL);
    const size_t n = (size_t)rows * l->n_in, begin = (size_t)(p->row0 + from) * l->n_in;
    size_t bad = ts_find_not_finite(l->type, data, n), first = atomic_load(&p->not_finite);
    while (bad < n && begin + bad < first && !atomic_compare_exchange_weak(&p->not_finite, &first, begin + bad))
        continue;
    for (uint32_t r = 0; r < rows; r += TS_GROUP_ROWS)
        p->take(p->ud, data + r * l->row_bytes, l->row_bytes, from + r,
                rows - r < TS_GROUP_ROWS ? rows - r : TS_GROUP_ROWS);
}

/* In steps of 8 MiB of the file, whose pages are then let go. */
ts_status ts_linear_each_rows(const ts_linear *l, uint32_t row0, uint32_t n_rows, ts_take_rows *take, void *ud,
                              ts_pool *pool, ts_err *err) {
    struct each_rows p = {.l = l, .take = take, .ud = ud, .row0 = row0, .end = row0 + n_rows,
                          .at_a_time = l->tensor->data ? TS_GROUP_ROWS : TS_ROWS_AT_A_TIME};
    atomic_init(&p.not_finite, SIZE_MAX);
    if (!l->tensor->data) {
        const size_t n = (size_t)ts_pool_threads(pool) * p.at_a_time;
        if (!(p.scratch = ts_alloc(n, l->row_bytes))) return ts_fail_nomem(err, l->name, n * l->row_bytes);
    }
    const uint32_t step = ((uint32_t)((8u << 20) / (p.at_a_time * l->row_bytes)) + 1) * p.at_a_time;
    for (; p.first < n_rows; p.first += step) {
        const uint32_t n = n_rows - p.first < step ? n_rows - p.first : step;
        ts_pool_run(pool, (n + p.at_a_time - 1) / p.at_a_time, rows_task, &p);
        l->src->op->release(l->src, l->tensor, (size_t)(row0 + p.first) * l->row_bytes, (size_t)n * l->row_bytes);
    }
    ts_free(p.scratch);
    const size_t bad = atomic_load(&p.not_finite);
    return bad == SIZE_MAX ? TS_OK : ts_fail_not_finite(l->src, l->tensor, bad, err);
}

struct pack {
    const ts_qmat *q;
    uint8_t *dst;
};

static void take_group(void *ud, const void *rows, size_t row_bytes, uint32_t row0, uint32_t n) {
    const struct pack *p = ud;
    ts_qmat q = *p->q; /* one group: its rows begin at `rows` */
    q.n_rows = n;
    ts_qmat_pack_group(&q, rows, row_bytes, 0, p->dst + row0 / TS_GROUP_ROWS * q.group_bytes);
}

static void take_copy(void *ud, const void *rows, size_t row_bytes, uint32_t row0, uint32_t n) {
    memcpy((char *)ud + (size_t)row0 * row_bytes, rows, (size_t)n * row_bytes);
}

ts_status ts_linear_pack(ts_linear *l, void *dst, ts_pool *pool, ts_err *err) {
    if (!l->q.n_cols) { /* made rows: the CPU has all, as no device takes them */
        assert(l->cpu_row0 == 0);
        TS_TRY(ts_linear_each_rows(l, 0, l->cpu_rows, take_copy, dst, pool, err));
        ts_clear_small(l->type, dst, (size_t)l->cpu_rows * l->n_in); /* docs/numerics.md, rule 4 */
        l->raw = dst;
        return TS_OK;
    }
    struct pack p = {.q = &l->q, .dst = dst};
    TS_TRY(ts_linear_each_rows(l, l->cpu_row0, l->cpu_rows, take_group, &p, pool, err));
    l->q.data = dst;
    return TS_OK;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

struct run {
    const ts_exec *ex;
    const ts_linear *const *layer;
    int n;
    const float *x;
    size_t ld_x;
    const ts_qact *act;
    uint32_t n_tok;
    float *const *y;
    const size_t *ld;
    /* tasks [first[i], first[i + 1]) are slices of layer i, slice[i] groups of 16 rows each */
    size_t first[MAX_LAYERS + 1];
    uint32_t slice[MAX_LAYERS];
};

static uint32_t n_groups(const ts_linear *l) {
    return (l->n_out + TS_GROUP_ROWS - 1) / TS_GROUP_ROWS;
}

/* How many groups of a layer are a slice, of `all` that are to run. Small enough to balance, as a thread may be put
 * aside by the system with a slice in its hands; large enough that beginning one costs nothing. In a batch, a slice's
 * weights should also stay in the second-level cache. */
enum { SLICE_GROUPS = 8, SLICE_BYTES = 1 << 20, SLICE_BYTES_BATCH = 256 << 10 };

static size_t slice_groups(const ts_linear *l, size_t all, size_t n_threads, uint32_t n_tok) {
    const bool batch = n_tok > TS_TOK_BLOCK;
    const size_t group_bytes = l->row_bytes * TS_GROUP_ROWS,
                 most = (batch ? SLICE_BYTES_BATCH : SLICE_BYTES) / group_bytes + 1,
                 two_each = all / (2 * n_threads) + 1;
    size_t slice = all / (8 * n_threads) + 1;
    if (slice > most) slice = most;
    if (!batch && slice < SLICE_GROUPS) slice = two_each < SLICE_GROUPS ? two_each : SLICE_GROUPS;
    return slice;
}

static void run_task(void *arg, size_t task, int thread) {
    const struct run *r = arg;
    (void)thread;
    int i = 0;
    while (task >= r->first[i + 1]) i++;
    const ts_linear *l = r->layer[i];
    uint32_t g0 = (uint32_t)(task - r->first[i]) * r->slice[i], g1 = g0 + r->slice[i];
    if (g1 > n_groups(l)) g1 = n_groups(l);
    uint32_t row0 = g0 * TS_GROUP_ROWS, row1 = g1 * TS_GROUP_ROWS < l->n_out ? g1 * TS_GROUP_ROWS : l->n_out;
    /* as many tokens at a time as keep their activations in the second-level cache, beside the slice's weights: those
     * that quantised kernels use at a time, of a slice along K, or all */
    const size_t slice = l->n_in < TS_SLICE_K ? l->n_in : TS_SLICE_K,
                 most = l->q.data ? (256u << 10) / slice : (384u << 10) / ((size_t)l->n_in * 4);
    uint32_t step = (uint32_t)(most / TS_TOK_BLOCK * TS_TOK_BLOCK);
    if (step < TS_TOK_BLOCK) step = TS_TOK_BLOCK;
    for (uint32_t t0 = 0, t1; t0 < r->n_tok; t0 = t1) {
        t1 = r->n_tok - t0 > step ? t0 + step : r->n_tok;
        if (l->q.data)
            r->ex->kern->gemm_q[l->type](&l->q, r->act, r->n_tok, t0, t1, g0, g1, r->y[i], r->ld[i]);
        else
            r->ex->kern->gemm_f[l->type](l->raw, l->row_bytes, l->n_in, r->x + t0 * r->ld_x, r->ld_x, t1 - t0, row0,
                                         row1, r->y[i] + t0 * r->ld[i], r->ld[i]);
    }
    if (l->bias)
        for (uint32_t t = 0; t < r->n_tok; t++) {
            float *y = r->y[i] + t * r->ld[i];
            for (uint32_t row = row0; row < row1; row++) y[row] = y[row] + l->bias[row];
        }
}

void ts_linear_run_cpu(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                       const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld) {
    assert(n >= 1 && n <= MAX_LAYERS);
    struct run r = {
        .ex = ex, .layer = layer, .n = n, .x = x, .ld_x = ld_x, .act = act, .n_tok = n_tok, .y = y, .ld = ld};
    size_t all = 0;
    for (int i = 0; i < n; i++) all += n_groups(layer[i]);
    for (int i = 0; i < n; i++) {
        const size_t slice = slice_groups(layer[i], all, (size_t)ts_pool_threads(ex->pool), n_tok);
        r.slice[i] = (uint32_t)slice;
        r.first[i + 1] = r.first[i] + (n_groups(layer[i]) + slice - 1) / slice;
    }
    ts_pool_run(ex->pool, r.first[n], run_task, &r);
}

ts_status ts_tell_ran(const ts_linear_ran *r, ts_err *err) {
    for (const ts_listener *l = r->ex->listener; l; l = l->next)
        if (l->ran) TS_TRY(l->ran(l->ud, r, err));
    return TS_OK;
}

void ts_tell_step(const ts_exec *ex, const char *name, uint32_t n_tok, uint64_t ns) {
    for (const ts_listener *l = ex->listener; l; l = l->next)
        if (l->step) l->step(l->ud, name, n_tok, ns);
}

ts_status ts_linear_run_rows(const ts_exec *ex, const ts_linear *const *layer, const uint32_t *row0,
                             const uint32_t *n_rows, int n, const float *x, size_t ld_x, const ts_qact *act,
                             uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err) {
    ts_linear part[MAX_LAYERS];
    const ts_linear *parts[MAX_LAYERS];
    float *to[MAX_LAYERS];
    assert(n >= 1 && n <= MAX_LAYERS);
    for (int i = 0; i < n; i++) {
        part[i] = ts_linear_part(layer[i], row0[i], n_rows[i]);
        parts[i] = &part[i];
        to[i] = y[i] + row0[i];
    }
    const uint64_t begin = ex->listener ? ts_now_ns() : 0;
    ts_linear_run_cpu(ex, parts, n, x, ld_x, act, n_tok, to, ld);
    if (!ex->listener) return TS_OK;
    return ts_tell_ran(&(ts_linear_ran){.ex = ex, .device = "cpu", .layer = layer, .row0 = row0, .n_rows = n_rows,
                                        .n = n, .act = act, .n_tok = n_tok, .y = y, .ld = ld,
                                        .ns = ts_now_ns() - begin, .evidence = TS_MEASURED},
                       err);
}

static ts_status run_told(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                          const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err) {
    uint32_t row0[MAX_LAYERS] = {0}, n_rows[MAX_LAYERS];
    for (const ts_listener *l = ex->listener; l; l = l->next)
        if (l->input) TS_TRY(l->input(l->ud, layer, n, x, ld_x, n_tok, err));
    if (ex->runner) return ex->runner->run(ex->runner->ud, ex, layer, n, x, ld_x, act, n_tok, y, ld, err);
    assert(n >= 1 && n <= MAX_LAYERS);
    for (int i = 0; i < n; i++) n_rows[i] = layer[i]->n_out;
    return ts_linear_run_rows(ex, layer, row0, n_rows, n, x, ld_x, act, n_tok, y, ld, err);
}

ts_status ts_linear_run(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                        const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err) {
    if (ex->runner || ex->listener) return run_told(ex, layer, n, x, ld_x, act, n_tok, y, ld, err);
    ts_linear_run_cpu(ex, layer, n, x, ld_x, act, n_tok, y, ld);
    return TS_OK;
}
