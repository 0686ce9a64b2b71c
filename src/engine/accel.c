#include "engine/accel.h"

#include "base/clock.h"
#include "format/dtype.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GROUP_MAX = 4 };

/* Layers with the same input that run in one command. */
typedef struct accel_op {
    ts_gemv_op *op;
    ts_linear *layer[GROUP_MAX];
    int n;
    struct accel_op *next; /* in the order of a token */
} accel_op;

struct ts_accel {
    const char *device;
    ts_npu npu; /* all zero: cpu */
    ts_gemv_dev *dev;
    bool keep, check;
    ts_model *m;
    accel_op *op;
    size_t n_ops, cap_ops;
    uint64_t weight_bytes;
    ts_ledger_row *row;
    size_t n_rows, cap_rows;
    ts_exec_hook hook;
};

/* ---- the ledger -------------------------------------------------------------------------------------------------- */

/* The row of an operation; a scratch one where there is no ledger or no memory for it. */
static ts_ledger_row *row_of(ts_accel *a, ts_ledger_row *scratch, const char *op, const char *types,
                             const char *device) {
    *scratch = (ts_ledger_row){0};
    if (!a->keep) return scratch;
    for (size_t i = 0; i < a->n_rows; i++) {
        ts_ledger_row *r = &a->row[i];
        if (!strcmp(r->op, op) && !strcmp(r->types, types) && !strcmp(r->device, device)) return r;
    }
    if (!ts_grow((void **)&a->row, &a->cap_rows, a->n_rows + 1, sizeof *a->row)) return scratch;
    ts_ledger_row *r = &a->row[a->n_rows++];
    *r = (ts_ledger_row){0};
    snprintf(r->op, sizeof r->op, "%s", op);
    snprintf(r->types, sizeof r->types, "%s", types);
    snprintf(r->device, sizeof r->device, "%s", device);
    return r;
}

/* "blk.7.attn_q.weight" is an attn_q. */
static void short_name(const char *tensor, char *buf, size_t len) {
    if (!strncmp(tensor, "blk.", 4)) {
        const char *dot = strchr(tensor + 4, '.');
        if (dot) tensor = dot + 1;
    }
    const char *end = strrchr(tensor, '.');
    size_t n = end && !strcmp(end, ".weight") ? (size_t)(end - tensor) : strlen(tensor);
    snprintf(buf, len, "%.*s", (int)(n < len ? n : len - 1), tensor);
}

static ts_ledger_row *row_of_layers(ts_accel *a, ts_ledger_row *scratch, const ts_linear *const *layer, int n,
                                    const char *device) {
    char op[sizeof scratch->op] = "", types[sizeof scratch->types] = "";
    for (int i = 0; i < n && a->keep; i++) {
        char name[24];
        short_name(layer[i]->name, name, sizeof name);
        snprintf(op + strlen(op), sizeof op - strlen(op), "%s%s", i ? "+" : "", name);
        const char *type = ts_dtype_get(layer[i]->type)->name;
        if (i == 0 || layer[i]->type != layer[0]->type || strchr(types, '+'))
            snprintf(types + strlen(types), sizeof types - strlen(types), "%s%s", i ? "+" : "", type);
    }
    ts_ledger_row *r = row_of(a, scratch, op, types, device);
    r->linear = true;
    return r;
}

static void on_step(void *ud, const char *name, uint32_t n_tok, uint64_t ns) {
    ts_ledger_row scratch, *r = row_of(ud, &scratch, name, "", "cpu");
    r->calls++;
    r->tokens += n_tok;
    r->device_ns += ns;
}

size_t ts_accel_ledger(const ts_accel *a, ts_ledger_row *rows, size_t cap) {
    if (!a) return 0;
    for (size_t i = 0; i < a->n_rows && i < cap; i++) rows[i] = a->row[i];
    return a->n_rows;
}

void ts_accel_ledger_reset(ts_accel *a) {
    if (a) a->n_rows = 0;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void add_cost(ts_ledger_row *r, const ts_gemv_cost *c, const ts_gemv_dev *d) {
    uint64_t in = c->weight_bytes + c->act_bytes, slower = in > c->sum_bytes ? in : c->sum_bytes;
    r->evidence = ts_gemv_dev_evidence(d);
    r->calls++;
    r->tokens += c->tokens;
    r->commands += c->commands;
    r->macs += c->macs;
    r->weight_bytes += c->weight_bytes;
    r->padding_bytes += c->weight_bytes - c->unit_bytes;
    r->act_bytes += c->act_bytes;
    r->sum_bytes += c->sum_bytes;
    r->cycles += c->cycles;
    r->device_ns += c->device_ns;
    r->host_ns += c->host_ns;
    r->bound_ns += (uint64_t)((double)slower * 1000 / ts_gemv_dma_bytes_per_us(ts_gemv_dev_clock(d).mhz));
}

static void add_proofs(ts_ledger_row *r, const ts_gemv_cost *c) {
    r->proofs += c->proofs;
    r->wrong_proofs += c->wrong_proofs;
    r->anew += c->anew;
}

static uint64_t checksum(const float *y, size_t n, uint64_t h) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &y[i], 4);
        h = (h ^ bits) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* The layers once more on the CPU, and whether the bits are the same. */
static ts_status check(ts_accel *a, const ts_exec *ex, const ts_linear *const *layer, int n, const ts_qact *act,
                       uint32_t n_tok, float *const *y, const size_t *ld, ts_ledger_row *r, ts_err *err) {
    const ts_exec plain = {.pool = ex->pool, .kern = ex->kern};
    (void)a;
    for (int i = 0; i < n; i++) {
        size_t n_out = layer[i]->n_out;
        float *want = ts_alloc((size_t)n_tok * n_out, sizeof *want);
        if (!want) return ts_fail_nomem(err, "the check of the ledger", (size_t)n_tok * n_out * sizeof *want);
        ts_linear_run_cpu(&plain, &layer[i], 1, NULL, 0, act, n_tok, &want, &n_out);
        for (uint32_t t = 0; t < n_tok; t++) {
            const float *got = y[i] + t * ld[i], *cpu = want + t * n_out;
            for (size_t k = 0; k < n_out; k++) r->differ += memcmp(&got[k], &cpu[k], 4) != 0;
            r->sum_device = checksum(got, n_out, r->sum_device);
            r->sum_cpu = checksum(cpu, n_out, r->sum_cpu);
        }
        r->checked += n_tok * n_out;
        ts_free(want);
    }
    return TS_OK;
}

static ts_status run_op(ts_accel *a, const accel_op *o, const ts_exec *ex, const ts_linear *const *layer,
                        const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld, ts_err *err) {
    ts_gemv_cost cost = {0};
    ts_ledger_row scratch;
    /* only a token alone is sure to go on with the next op at once: the layers before the head may be the end of a
     * pass */
    const accel_op *next = o->next && (n_tok == 1 || o->next->next) ? o->next : NULL;
    ts_status s = ts_gemv_op_run(o->op, act, n_tok, y, ld, next ? next->op : NULL, ex->kern, ex->pool, &cost, err);
    add_proofs(row_of_layers(a, &scratch, layer, o->n, a->device), &cost); /* also of what failed */
    if (s == TS_E_CANCELLED) return s;
    if (s != TS_OK) return ts_err_prefix(err, s, "%s", layer[0]->name);
    for (int i = 0; i < o->n; i++)
        for (uint32_t t = 0; layer[i]->bias && t < n_tok; t++)
            for (uint32_t row = 0; row < layer[i]->n_out; row++) y[i][t * ld[i] + row] += layer[i]->bias[row];
    ts_ledger_row *r = row_of_layers(a, &scratch, layer, o->n, a->device);
    add_cost(r, &cost, a->dev);
    return a->check ? check(a, ex, layer, o->n, act, n_tok, y, ld, r, err) : TS_OK;
}

static void run_cpu(ts_accel *a, const ts_exec *ex, const ts_linear *const *layer, int n, const float *x, size_t ld_x,
                    const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld) {
    ts_ledger_row scratch;
    uint64_t begin = ts_now_ns();
    ts_linear_run_cpu(ex, layer, n, x, ld_x, act, n_tok, y, ld);
    ts_ledger_row *r = row_of_layers(a, &scratch, layer, n, "cpu");
    r->calls++;
    r->tokens += n_tok;
    r->device_ns += ts_now_ns() - begin;
    for (int i = 0; i < n; i++) {
        r->macs += (uint64_t)layer[i]->n_in * layer[i]->n_out * n_tok;
        r->weight_bytes += layer[i]->row_bytes * layer[i]->n_out;
    }
}

/* The layers come in the order in which their ops were made: the device's, in runs of the same op, and the CPU's. */
static ts_status on_linear(void *ud, const ts_exec *ex, const ts_linear *const *layer, int n, const float *x,
                           size_t ld_x, const ts_qact *act, uint32_t n_tok, float *const *y, const size_t *ld,
                           ts_err *err) {
    ts_accel *a = ud;
    for (int i = 0, k; i < n; i = k) {
        const accel_op *o = layer[i]->device_op;
        for (k = i + 1; k < n && layer[k]->device_op == o; k++) {}
        if (o) TS_TRY(run_op(a, o, ex, layer + i, act, n_tok, y + i, ld + i, err));
        else run_cpu(a, ex, layer + i, k - i, x, ld_x, act, n_tok, y + i, ld + i);
    }
    return TS_OK;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static const char *const devices[] = {"cpu", "npu", "npu-sim"};

ts_status ts_accel_check_device(const char *name, ts_err *err) {
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (!name || !strcmp(name, devices[i])) return TS_OK;
    return ts_fail(err, TS_E_INVAL, "unknown device \"%s\"; known: cpu, npu, npu-sim", name);
}

static ts_gemv_shape shape_of(const ts_linear *l) {
    return (ts_gemv_shape){.type = l->type, .n_rows = l->n_out, .K = l->n_in};
}

/* A run of layers as one op. */
static ts_status add_op(ts_accel *a, ts_linear *const *layer, int n, ts_err *err) {
    ts_gemv_shape shape[GROUP_MAX];
    accel_op *o = &a->op[a->n_ops]; /* there is room: see assign */
    *o = (accel_op){.n = n};
    for (int i = 0; i < n; i++) shape[i] = shape_of(layer[i]);
    TS_TRY(ts_gemv_op_new(&o->op, a->dev, shape, n, err));
    for (int i = 0; i < n; i++) {
        o->layer[i] = layer[i];
        layer[i]->device_op = o;
        layer[i]->device_mat = i;
        layer[i]->elsewhere = !a->check; /* to check it the CPU needs the weights too */
    }
    if (a->n_ops) o[-1].next = o;
    a->n_ops++;
    return TS_OK;
}

/* Layers with the same input: in one op where they fit, else one by one. */
static ts_status add_group(ts_accel *a, const ts_engine_opts *o, ts_linear *const *layer, int n, ts_err *err) {
    for (int i = 0, k; i < n; i = k) {
        ts_gemv_shape shape[GROUP_MAX];
        shape[0] = shape_of(layer[i]);
        k = i + 1;
        const char *why = ts_gemv_refusal(shape, 1);
        if (why && !o->allow_cpu_ops)
            return ts_fail(err, TS_E_UNSUPP,
                           "tensor %s (%s, %u x %u) cannot run on the NPU: %s; --allow-cpu-ops runs it on the CPU",
                           layer[i]->name, ts_dtype_get(layer[i]->type)->name, layer[i]->n_in, layer[i]->n_out, why);
        if (why) continue;
        for (; k < n; k++) {
            shape[k - i] = shape_of(layer[k]);
            if (ts_gemv_refusal(&shape[k - i], 1) || ts_gemv_refusal(shape, k - i + 1)) break;
        }
        TS_TRY(add_op(a, layer + i, k - i, err));
    }
    return TS_OK;
}

static ts_status assign(ts_accel *a, const ts_engine_opts *o, ts_err *err) {
    ts_model *m = a->m;
    a->cap_ops = m->n_linear;
    if (!(a->op = ts_calloc(a->cap_ops, sizeof *a->op)))
        return ts_fail_nomem(err, "the NPU's ops", a->cap_ops * sizeof *a->op);
    for (uint32_t i = 0; i < m->c.n_layer; i++)
        for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++) {
            const ts_mat_group_info *group = &ts_layer_group[g];
            ts_linear *mat[TS_GROUP_MATS];
            for (int k = 0; k < group->n; k++) mat[k] = &m->layer[i].mat[(int)group->first + k];
            TS_TRY(add_group(a, o, mat, group->n, err));
        }
    return add_group(a, o, &m->head, 1, err);
}

ts_status ts_accel_open(ts_accel **out, const ts_engine_opts *o, ts_model *m, ts_err *err) {
    const bool cpu = !o->device || !strcmp(o->device, "cpu"), sim = o->device && !strcmp(o->device, "npu-sim");
    if (cpu && !o->ledger && !o->ledger_check) return TS_OK;
    ts_accel *a = ts_calloc(1, sizeof *a);
    if (!a) return ts_fail_nomem(err, "the device", sizeof *a);
    a->device = cpu ? "cpu" : sim ? "npu-sim" : "npu";
    a->keep = o->ledger || o->ledger_check;
    a->check = o->ledger_check && !cpu;
    a->m = m;
    a->hook = (ts_exec_hook){.ud = a, .linear = on_linear, .step = on_step};
    const ts_npu_options d = {
        .simulated = sim, .seed = o->sim_seed, .prefetch = o->prefetch, .stop = {o->stop, o->stop_ud}};
    ts_status s = cpu ? TS_OK : ts_npu_open(&a->npu, &d, err);
    a->dev = a->npu.gemv;
    if (s == TS_OK && !cpu) s = assign(a, o, err);
    if (s != TS_OK) {
        ts_accel_close(a);
        return s;
    }
    *out = a;
    return TS_OK;
}

void ts_accel_close(ts_accel *a) {
    if (!a) return;
    for (size_t i = 0; a->op && i < a->cap_ops; i++) ts_gemv_op_free(a->op[i].op);
    ts_npu_close(&a->npu);
    ts_free(a->op);
    ts_free(a->row);
    ts_free(a);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

struct packing {
    accel_op *o;
    int mat;
    uint32_t first;
};
enum { PACK_GROUPS = 16 }; /* of a task */

static void pack_task(void *arg, size_t task, int thread) {
    const struct packing *p = arg;
    (void)thread;
    const ts_linear *l = p->o->layer[p->mat];
    uint32_t n_group = ts_gemv_op_mat(p->o->op, p->mat)->n_group, g = p->first + (uint32_t)task * PACK_GROUPS;
    for (uint32_t end = n_group - g < PACK_GROUPS ? n_group : g + PACK_GROUPS; g < end; g++)
        ts_gemv_op_pack(p->o->op, p->mat, l->raw, l->row_bytes, g);
}

/* A matrix in steps of 32 MiB of the file, whose pages are then let go. */
static void pack_matrix(accel_op *o, int mat, ts_pool *pool) {
    const ts_linear *l = o->layer[mat];
    const size_t group_bytes = TS_GEMV_ROWS * l->row_bytes;
    uint32_t n_group = ts_gemv_op_mat(o->op, mat)->n_group;
    uint32_t step = ((uint32_t)((32u << 20) / group_bytes) / PACK_GROUPS + 1) * PACK_GROUPS;
    for (uint32_t g = 0; g < n_group; g += step) {
        uint32_t n = n_group - g < step ? n_group - g : step;
        struct packing p = {.o = o, .mat = mat, .first = g};
        ts_pool_run(pool, (n + PACK_GROUPS - 1) / PACK_GROUPS, pack_task, &p);
        ts_gguf_release(l->file, l->tensor, g * group_bytes, n * group_bytes);
    }
}

/* The block scales decide: an f16 with all exponent bits set is Inf or NaN. */
static ts_status check_scales(const accel_op *o, int mat, const ts_gguf *file, ts_err *err) {
    size_t n;
    const uint16_t *scale = ts_gemv_op_scales(o->op, mat, &n);
    for (size_t i = 0; i < n; i++)
        if ((scale[i] & 0x7c00) == 0x7c00)
            return ts_fail(err, TS_E_FORMAT, "%s: tensor %s: a block scale is infinite or not a number",
                           ts_gguf_path(file), o->layer[mat]->name);
    return TS_OK;
}

ts_status ts_accel_load(ts_accel *a, ts_pool *pool, ts_load_progress progress, ts_err *err) {
    uint64_t all = 0, done = 0;
    for (size_t i = 0; a && i < a->n_ops; i++)
        for (int k = 0; k < a->op[i].n; k++) all += (uint64_t)a->op[i].layer[k]->row_bytes * a->op[i].layer[k]->n_out;
    for (size_t i = 0; a && i < a->n_ops; i++) {
        accel_op *o = &a->op[i];
        for (int k = 0; k < o->n; k++) {
            pack_matrix(o, k, pool);
            TS_TRY(check_scales(o, k, a->m->file, err));
            done += (uint64_t)o->layer[k]->row_bytes * o->layer[k]->n_out;
            if (progress.fn && !progress.fn(progress.ud, done, all))
                return ts_fail(err, TS_E_CANCELLED, "loading was stopped");
        }
        ts_gemv_op_packed(o->op);
        a->weight_bytes += ts_gemv_op_bytes(o->op);
    }
    return TS_OK;
}

const ts_exec_hook *ts_accel_hook(const ts_accel *a) {
    return a ? &a->hook : NULL;
}
bool ts_accel_on_device(const ts_accel *a) {
    return a && a->dev;
}
const char *ts_accel_device(const ts_accel *a) {
    return a ? a->device : "cpu";
}
ts_evidence ts_accel_evidence(const ts_accel *a) {
    return a && a->dev && !a->npu.node ? ts_gemv_dev_evidence(a->dev) : TS_MEASURED;
}
ts_npu_clock ts_accel_clock(const ts_accel *a) {
    return a && a->dev ? ts_gemv_dev_clock(a->dev) : (ts_npu_clock){0};
}
uint64_t ts_accel_weight_bytes(const ts_accel *a) {
    return a ? a->weight_bytes : 0;
}
