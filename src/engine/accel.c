#include "engine/accel.h"

#include "format/dtype.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { GROUP_MAX = TS_GROUP_MATS };

/* Rows of layers with the same input that run together on one device. */
typedef struct accel_op {
    const ts_linear_dev *dev;
    void *op;
    int n, at[TS_LINEAR_MATS]; /* which layers of their group */
    uint32_t row0[TS_LINEAR_MATS], n_rows[TS_LINEAR_MATS];
    int round;                 /* ops of a group and a device run one after the other */
    struct accel_op *next;     /* of the device, in the order of a token */
} accel_op;

/* Layers with the same input: what a pass runs at a time. */
typedef struct accel_group {
    ts_linear *layer[GROUP_MAX];
    int n;
    size_t op0, n_ops; /* of ts_accel.op, by rounds */
    int n_cpu, cpu_at[GROUP_MAX];
    uint32_t cpu_row0[GROUP_MAX], cpu_rows[GROUP_MAX];
} accel_group;

struct ts_accel {
    char name[64];
    ts_linear_dev dev[TS_DEVICES_AT_ONCE];
    uint32_t percent[TS_DEVICES_AT_ONCE];
    int n_devs;
    bool keep_all, allow_cpu_ops;
    ts_model *m;
    accel_group *group;
    size_t n_groups, cap_groups;
    accel_op *op;
    size_t n_ops, cap_ops;
    uint64_t weight_bytes, load_bytes;
    ts_linear_runner runner;
};

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* What a pass asks for. */
typedef struct request {
    const ts_exec *ex;
    const accel_group *g;
    const float *x;
    size_t ld_x;
    const ts_qact *act;
    uint32_t n_tok;
    float *const *y;
    const size_t *ld;
} request;

static ts_status submit(const request *q, const accel_op *o, ts_err *err) {
    /* only a token alone is sure to go on with the next op at once: the layers before the head may be the end of a
     * pass */
    const accel_op *next = o->next && (q->n_tok == 1 || o->next->next) ? o->next : NULL;
    const ts_status s = o->dev->submit(o->op, q->act, q->n_tok, next ? next->op : NULL, err);
    return s == TS_OK || s == TS_E_CANCELLED ? s : ts_err_prefix(err, s, "%s", q->g->layer[o->at[0]]->name);
}

static void add_bias(const ts_linear *l, uint32_t row0, uint32_t n_rows, uint32_t n_tok, float *y, size_t ld) {
    for (uint32_t t = 0; l->bias && t < n_tok; t++)
        for (uint32_t row = row0; row < row0 + n_rows; row++) y[t * ld + row] += l->bias[row];
}

static ts_status finish(const request *q, const accel_op *o, ts_err *err) {
    const ts_linear *layer[TS_LINEAR_MATS];
    float *y[TS_LINEAR_MATS], *rows[TS_LINEAR_MATS];
    size_t ld[TS_LINEAR_MATS];
    ts_linear_cost cost = {0};
    for (int i = 0; i < o->n; i++) {
        layer[i] = q->g->layer[o->at[i]];
        y[i] = q->y[o->at[i]];
        rows[i] = y[i] + o->row0[i];
        ld[i] = q->ld[o->at[i]];
    }
    ts_status s = o->dev->wait(o->op, rows, ld, q->ex->kern, q->ex->pool, &cost, err);
    if (s != TS_OK && s != TS_E_CANCELLED) s = ts_err_prefix(err, s, "%s", layer[0]->name);
    for (int i = 0; i < o->n && s == TS_OK; i++)
        add_bias(layer[i], o->row0[i], o->n_rows[i], q->n_tok, y[i], ld[i]);
    if (!q->ex->listener) return s;
    const ts_linear_ran r = {.ex = q->ex, .device = o->dev->name, .layer = layer, .row0 = o->row0,
                             .n_rows = o->n_rows, .n = o->n, .act = q->act, .n_tok = q->n_tok, .y = y, .ld = ld,
                             .cost = &cost, .evidence = o->dev->evidence(o->dev->ud), .failed = s != TS_OK};
    const ts_status told = ts_tell_ran(&r, s == TS_OK ? err : NULL);
    return s == TS_OK ? told : s; /* the first error is the one that counts */
}

static ts_status run_cpu(const request *q, ts_err *err) {
    const accel_group *g = q->g;
    const ts_linear *layer[GROUP_MAX];
    float *y[GROUP_MAX];
    size_t ld[GROUP_MAX];
    for (int i = 0; i < g->n_cpu; i++) {
        layer[i] = g->layer[g->cpu_at[i]];
        y[i] = q->y[g->cpu_at[i]];
        ld[i] = q->ld[g->cpu_at[i]];
    }
    return ts_linear_run_rows(q->ex, layer, g->cpu_row0, g->cpu_rows, g->n_cpu, q->x, q->ld_x, q->act, q->n_tok, y, ld,
                              err);
}

/* Round by round: every device begins, the CPU does its part in the first, every device is waited for. */
static ts_status run(void *ud, const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                     const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err) {
    const ts_accel *a = ud;
    const accel_group *g = layer[0]->home;
    const request q = {.ex = ex, .g = g, .x = x, .ld_x = ld_x, .act = act, .n_tok = n_tok, .y = y, .ld = ld};
    bool cpu = g->n_cpu > 0;
    assert(n == g->n && layer[n - 1] == g->layer[n - 1]);
    ts_status s = TS_OK;
    for (size_t i = g->op0, end = i + g->n_ops, begun; s == TS_OK && (i < end || cpu); i = begun) {
        for (begun = i; s == TS_OK && begun < end && a->op[begun].round == a->op[i].round; begun += s == TS_OK)
            s = submit(&q, &a->op[begun], err);
        if (s == TS_OK && cpu) s = run_cpu(&q, err);
        cpu = false;
        for (; i < begun; i++) { /* what has begun must end, whatever has failed */
            const ts_status t = finish(&q, &a->op[i], s == TS_OK ? err : NULL);
            if (s == TS_OK) s = t;
        }
    }
    return s;
}

/* ---- sharing out ------------------------------------------------------------------------------------------------- */

/* Where device d's rows of a layer begin, or the last one's end: a whole group of 16. */
static uint32_t border(const ts_accel *a, const ts_linear *l, int d) {
    uint64_t groups = (l->n_out + TS_GROUP_ROWS - 1) / TS_GROUP_ROWS, percent = 0;
    for (int i = 0; i < d; i++) percent += a->percent[i];
    const uint64_t row = (groups * percent + 50) / 100 * TS_GROUP_ROWS;
    return row < l->n_out ? (uint32_t)row : l->n_out;
}

static ts_linear_shape shape_of(const ts_accel *a, const ts_linear *l, int d) {
    return (ts_linear_shape){.type = l->type, .n_rows = border(a, l, d + 1) - border(a, l, d), .n_in = l->n_in};
}

/* Does every device take its rows of the layer? */
static ts_status taken(const ts_accel *a, const ts_linear *l, bool *yes, ts_err *err) {
    *yes = true;
    for (int d = 0; d < a->n_devs && *yes; d++) {
        const ts_linear_shape s = shape_of(a, l, d);
        const char *why = s.n_rows ? a->dev[d].refuse(a->dev[d].ud, &s, 1) : NULL;
        if (why && !a->allow_cpu_ops)
            return ts_fail(err, TS_E_UNSUPP,
                           "tensor %s (%s, %u x %u) cannot run on %s: %s; --allow-cpu-ops runs it on the CPU", l->name,
                           ts_dtype_get(l->type)->name, l->n_in, l->n_out, a->dev[d].name, why);
        *yes = !why;
    }
    return TS_OK;
}

/* The rows that device d has of a group's layers i, i + 1, ..., as many as fit, in one op; *n of them. */
static ts_status add_op(ts_accel *a, const accel_group *g, const bool *on, int d, int i, int round, int *n,
                        ts_err *err) {
    ts_linear_shape shape[GROUP_MAX];
    accel_op o = {.dev = &a->dev[d], .round = round};
    for (; i < g->n && o.n < TS_LINEAR_MATS; i++) {
        shape[o.n] = shape_of(a, g->layer[i], d);
        if (!on[i] || !shape[o.n].n_rows || (o.n && o.dev->refuse(o.dev->ud, shape, o.n + 1))) break;
        o.at[o.n] = i;
        o.row0[o.n] = border(a, g->layer[i], d);
        o.n_rows[o.n] = shape[o.n].n_rows;
        o.n++;
    }
    *n = o.n;
    if (!o.n) return TS_OK;
    if (!ts_grow((void **)&a->op, &a->cap_ops, a->n_ops + 1, sizeof *a->op))
        return ts_fail_nomem(err, "the devices' ops", sizeof *a->op);
    TS_TRY(o.dev->op_new(o.dev->ud, &o.op, shape, o.n, err));
    for (int m = 0; m < o.n; m++) a->load_bytes += (uint64_t)o.n_rows[m] * g->layer[o.at[m]]->row_bytes;
    size_t k = a->n_ops++; /* behind those of its round */
    for (; k > g->op0 && a->op[k - 1].round > round; k--) a->op[k] = a->op[k - 1];
    a->op[k] = o;
    return TS_OK;
}

static void add_cpu_rows(ts_accel *a, accel_group *g, int i, bool on) {
    ts_linear *l = g->layer[i];
    const uint32_t row0 = on ? border(a, l, a->n_devs) : 0;
    if (!a->keep_all) ts_linear_keep(l, row0, l->n_out - row0);
    if (row0 == l->n_out) return;
    g->cpu_at[g->n_cpu] = i;
    g->cpu_row0[g->n_cpu] = row0;
    g->cpu_rows[g->n_cpu++] = l->n_out - row0;
}

static ts_status add_group(ts_accel *a, ts_linear *layer, int n, ts_err *err) {
    accel_group *g = &a->group[a->n_groups++]; /* there is room: see assign */
    bool on[GROUP_MAX];
    *g = (accel_group){.n = n, .op0 = a->n_ops};
    for (int i = 0; i < n; i++) {
        g->layer[i] = &layer[i];
        layer[i].home = g;
        TS_TRY(taken(a, &layer[i], &on[i], err));
        add_cpu_rows(a, g, i, on[i]);
    }
    for (int d = 0; d < a->n_devs; d++)
        for (int i = 0, round = 0, k; i < n; i += k ? k : 1, round += k > 0)
            TS_TRY(add_op(a, g, on, d, i, round, &k, err));
    g->n_ops = a->n_ops - g->op0;
    return TS_OK;
}

static ts_status assign(ts_accel *a, ts_err *err) {
    ts_model *m = a->m;
    a->cap_groups = (size_t)m->c.n_layer * TS_LAYER_GROUPS + 1;
    if (!(a->group = ts_calloc(a->cap_groups, sizeof *a->group)))
        return ts_fail_nomem(err, "the devices' layers", a->cap_groups * sizeof *a->group);
    for (uint32_t i = 0; i < m->c.n_layer; i++)
        for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++) {
            const ts_mat_group_info *info = &ts_layer_group[g];
            TS_TRY(add_group(a, &m->layer[i].mat[info->first], info->n, err));
        }
    TS_TRY(add_group(a, m->head, 1, err));
    for (size_t i = a->n_ops; i-- > 0;) /* a->op stays where it is from now on */
        for (size_t k = i + 1; k < a->n_ops && !a->op[i].next; k++)
            if (a->op[k].dev == a->op[i].dev) a->op[i].next = &a->op[k];
    return TS_OK;
}

static ts_status open_devices(ts_accel *a, const ts_accel_options *o, ts_err *err) {
    for (int i = 0; i < o->plan->n; i++) {
        const ts_device_choice *c = &o->plan->use[i];
        TS_TRY(c->device->open(&a->dev[i], c, o->stop, o->stop_ud, err));
        a->percent[i] = c->percent;
        a->n_devs++;
        snprintf(a->name + strlen(a->name), sizeof a->name - strlen(a->name), "%s%s", i ? "+" : "", c->device->name);
    }
    return TS_OK;
}

ts_status ts_accel_open(ts_accel **out, const ts_accel_options *o, ts_model *m, ts_err *err) {
    if (!o->plan->n) return TS_OK;
    ts_accel *a = ts_calloc(1, sizeof *a);
    if (!a) return ts_fail_nomem(err, "the devices", sizeof *a);
    a->keep_all = o->keep_all;
    a->allow_cpu_ops = o->plan->allow_cpu_ops;
    a->m = m;
    a->runner = (ts_linear_runner){.ud = a, .run = run};
    ts_status s = open_devices(a, o, err);
    if (s == TS_OK) s = assign(a, err);
    if (s != TS_OK) {
        ts_accel_close(a);
        return s;
    }
    *out = a;
    return TS_OK;
}

void ts_accel_close(ts_accel *a) {
    if (!a) return;
    for (size_t i = 0; i < a->n_ops; i++) a->op[i].dev->op_free(a->op[i].op);
    for (int i = 0; i < a->n_devs; i++) a->dev[i].close(a->dev[i].ud);
    ts_free(a->op);
    ts_free(a->group);
    ts_free(a);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

struct packing {
    const accel_op *o;
    int mat;
};

static void take_rows(void *ud, const void *rows, size_t row_bytes, uint32_t row0, uint32_t n) {
    const struct packing *p = ud;
    p->o->dev->pack(p->o->op, p->mat, rows, row_bytes, row0, n);
}

static ts_status load_op(ts_accel *a, const accel_group *g, accel_op *o, ts_pool *pool, ts_load_progress progress,
                         uint64_t *done, ts_err *err) {
    for (int k = 0; k < o->n; k++) {
        const ts_linear *l = g->layer[o->at[k]];
        TS_TRY(ts_linear_each_rows(l, o->row0[k], o->n_rows[k], take_rows, &(struct packing){o, k}, pool, err));
        *done += (uint64_t)l->row_bytes * o->n_rows[k];
        if (progress.fn && !progress.fn(progress.ud, *done, a->load_bytes))
            return ts_fail(err, TS_E_CANCELLED, "loading was stopped");
    }
    o->dev->packed(o->op);
    a->weight_bytes += o->dev->bytes(o->op);
    return TS_OK;
}

ts_status ts_accel_load(ts_accel *a, ts_pool *pool, ts_load_progress progress, ts_err *err) {
    uint64_t done = 0;
    for (size_t i = 0; a && i < a->n_groups; i++)
        for (size_t k = 0; k < a->group[i].n_ops; k++)
            TS_TRY(load_op(a, &a->group[i], &a->op[a->group[i].op0 + k], pool, progress, &done, err));
    return TS_OK;
}

uint64_t ts_accel_load_bytes(const ts_accel *a) {
    return a ? a->load_bytes : 0;
}
const ts_linear_runner *ts_accel_runner(const ts_accel *a) {
    return a ? &a->runner : NULL;
}
const char *ts_accel_device(const ts_accel *a) {
    return a ? a->name : "cpu";
}
ts_evidence ts_accel_evidence(const ts_accel *a) {
    for (int i = 0; a && i < a->n_devs; i++)
        if (a->dev[i].evidence(a->dev[i].ud) == TS_VIRTUAL) return TS_VIRTUAL;
    return TS_MEASURED;
}
ts_dev_clock ts_accel_clock(const ts_accel *a) {
    return a ? a->dev[0].clock(a->dev[0].ud) : (ts_dev_clock){0};
}
uint64_t ts_accel_weight_bytes(const ts_accel *a) {
    return a ? a->weight_bytes : 0;
}
