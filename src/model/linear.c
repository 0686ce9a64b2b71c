#include "model/linear.h"
#include "format/quant.h"
#include "model/finite.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>

enum { MAX_LAYERS = 4 };

ts_status ts_linear_init(ts_linear *l, const ts_gguf *file, const ts_tensor *t, ts_err *err) {
    const ts_dtype_info *info = ts_dtype_get(t->type);
    const char *path = ts_gguf_path(file);
    *l = (ts_linear){.name = t->name, .type = t->type, .file = file, .tensor = t, .raw = t->data};
    if (t->n_dims > 2 || t->dim[0] > UINT32_MAX || t->dim[1] > UINT32_MAX - TS_GROUP_ROWS)
        return ts_fail(err, TS_E_FORMAT, "%s: tensor %s is not a matrix", path, t->name);
    l->n_in = (uint32_t)t->dim[0];
    l->n_out = (uint32_t)t->dim[1];
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

size_t ts_linear_packed_bytes(const ts_linear *l) {
    return l->q.n_group ? ts_qmat_bytes(&l->q) : 0;
}

struct pack {
    const ts_linear *l;
    uint8_t *dst;
    uint32_t first;        /* group of task 0 */
    atomic_size_t not_finite; /* the first element that is not */
};

static void pack_task(void *arg, size_t task, int thread) {
    struct pack *p = arg;
    (void)thread;
    const ts_qmat *q = &p->l->q;
    uint32_t group = p->first + (uint32_t)task;
    uint8_t *dst = p->dst + group * q->group_bytes;
    const size_t rows = p->l->n_out - (size_t)group * TS_GROUP_ROWS < TS_GROUP_ROWS
                            ? p->l->n_out - (size_t)group * TS_GROUP_ROWS
                            : TS_GROUP_ROWS;
    const size_t n = rows * p->l->n_in, begin = (size_t)group * TS_GROUP_ROWS * p->l->n_in;
    size_t bad =
        ts_find_not_finite(q->type, (const char *)p->l->raw + (size_t)group * TS_GROUP_ROWS * p->l->row_bytes, n);
    size_t first = atomic_load(&p->not_finite);
    while (bad < n && begin + bad < first && !atomic_compare_exchange_weak(&p->not_finite, &first, begin + bad))
        continue;
    ts_qmat_pack_group(q, p->l->raw, p->l->row_bytes, group, dst);
}

ts_status ts_linear_pack(ts_linear *l, void *dst, ts_pool *pool, ts_err *err) {
    struct pack p = {.l = l, .dst = dst};
    atomic_init(&p.not_finite, SIZE_MAX);
    const size_t group_file_bytes = TS_GROUP_ROWS * l->row_bytes;
    uint32_t step = (uint32_t)((32u << 20) / group_file_bytes) + 1;
    for (; p.first < l->q.n_group; p.first += step) {
        uint32_t n = l->q.n_group - p.first < step ? l->q.n_group - p.first : step;
        ts_pool_run(pool, n, pack_task, &p);
        ts_gguf_release(l->file, l->tensor, p.first * group_file_bytes, n * group_file_bytes);
    }
    if (atomic_load(&p.not_finite) != SIZE_MAX)
        return ts_fail_not_finite(l->file, l->tensor, atomic_load(&p.not_finite), err);
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

static void run_task(void *arg, size_t task, int thread) {
    const struct run *r = arg;
    (void)thread;
    int i = 0;
    while (task >= r->first[i + 1]) i++;
    const ts_linear *l = r->layer[i];
    uint32_t g0 = (uint32_t)(task - r->first[i]) * r->slice[i], g1 = g0 + r->slice[i];
    if (g1 > n_groups(l)) g1 = n_groups(l);
    uint32_t row0 = g0 * TS_GROUP_ROWS, row1 = g1 * TS_GROUP_ROWS < l->n_out ? g1 * TS_GROUP_ROWS : l->n_out;
    /* as many tokens at a time as keep their activations in the second-level cache, beside the slice's weights */
    uint32_t step = (uint32_t)((384u << 10) / ((size_t)l->n_in * (l->q.data ? 1 : 4)) / TS_TOK_BLOCK * TS_TOK_BLOCK);
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
    /* Slices are small enough to balance (a thread may be put aside by the system) and large enough that claiming them
     * costs nothing; in a batch, a slice's weights should also stay in the second-level cache. */
    size_t want = all / (8 * (size_t)ts_pool_threads(ex->pool)) + 1;
    for (int i = 0; i < n; i++) {
        size_t group_bytes = layer[i]->row_bytes * TS_GROUP_ROWS, slice = want;
        if (n_tok > TS_TOK_BLOCK && slice > (256u << 10) / group_bytes + 1) slice = (256u << 10) / group_bytes + 1;
        r.slice[i] = (uint32_t)slice;
        r.first[i + 1] = r.first[i] + (n_groups(layer[i]) + slice - 1) / slice;
    }
    ts_pool_run(ex->pool, r.first[n], run_task, &r);
}

ts_status ts_linear_run(const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                        const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err) {
    if (ex->hook) return ex->hook->linear(ex->hook->ud, ex, layer, n, x, ld_x, act, n_tok, y, ld, err);
    ts_linear_run_cpu(ex, layer, n, x, ld_x, act, n_tok, y, ld);
    return TS_OK;
}
