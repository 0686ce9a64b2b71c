#include "device/dev_npu.h"

ts_status ts_npu_open(ts_npu *out, const ts_npu_options *o, ts_err *err) {
    ts_npu n = {0};
    ts_gemv_dev_options g = {.prefetch = o->prefetch, .stop = o->stop};
    if (o->simulated) {
        const ts_simnode_options so = {.seed = o->seed, .strict = o->seed != 0, .gap = ts_sim_submit_gap()};
        TS_TRY(ts_simnode_new(&n.node, &so, err));
        g.io = ts_simnode_io(n.node);
        g.meter = ts_simnode_meter(n.node);
        g.evidence = TS_SIMULATED;
    }
    ts_status s = ts_gemv_dev_open(&n.gemv, &g, err);
    if (s != TS_OK) {
        ts_npu_close(&n);
        return s;
    }
    *out = n;
    return TS_OK;
}

void ts_npu_close(ts_npu *n) {
    ts_gemv_dev_close(n->gemv);
    ts_simnode_free(n->node);
    *n = (ts_npu){0};
}

/* ---- as a ts_linear_dev ------------------------------------------------------------------------------------------ */

static void shapes(ts_gemv_shape *out, const ts_linear_shape *s, int n) {
    for (int i = 0; i < n; i++) out[i] = (ts_gemv_shape){.type = s[i].type, .n_rows = s[i].n_rows, .K = s[i].n_in};
}

static const char *refuse(void *ud, const ts_linear_shape *shape, int n) {
    ts_gemv_shape s[TS_LINEAR_MATS];
    (void)ud;
    shapes(s, shape, n);
    return ts_gemv_refusal(s, n);
}

static ts_status op_new(void *ud, void **op, const ts_linear_shape *shape, int n, ts_err *err) {
    const ts_npu *npu = ud;
    ts_gemv_shape s[TS_LINEAR_MATS];
    ts_gemv_op *g;
    shapes(s, shape, n);
    TS_TRY(ts_gemv_op_new(&g, npu->gemv, s, n, err));
    *op = g;
    return TS_OK;
}

static void op_free(void *op) {
    ts_gemv_op_free(op);
}

static void pack(void *op, int m, const void *rows, size_t row_bytes, uint32_t row0, uint32_t n) {
    for (uint32_t r = 0; r < n; r += TS_GEMV_ROWS)
        ts_gemv_op_pack_rows(op, m, (const char *)rows + r * row_bytes, row_bytes, (row0 + r) / TS_GEMV_ROWS);
}

static void packed(void *op) {
    ts_gemv_op_packed(op);
}

static size_t bytes(const void *op) {
    return ts_gemv_op_bytes(op);
}

static ts_status submit(void *op, const ts_qact *x, uint32_t n_tok, const void *next, ts_err *err) {
    return ts_gemv_op_submit(op, x, n_tok, next, err);
}

static ts_status wait(void *op, float *const *y, const size_t *ld, const ts_kern *kern, ts_pool *pool,
                      ts_linear_cost *cost, ts_err *err) {
    ts_gemv_cost c = {0};
    const ts_status s = ts_gemv_op_wait(op, y, ld, kern, pool, &c, err);
    const uint64_t in = c.weight_bytes + c.act_bytes, slower = in > c.sum_bytes ? in : c.sum_bytes;
    const uint32_t mhz = ts_gemv_dev_clock(ts_gemv_op_dev(op)).mhz;
    cost->commands += c.commands, cost->tokens += c.tokens, cost->macs += c.macs;
    cost->weight_bytes += c.unit_bytes, cost->padding_bytes += c.weight_bytes - c.unit_bytes;
    cost->act_bytes += c.act_bytes, cost->sum_bytes += c.sum_bytes;
    cost->cycles += c.cycles, cost->device_ns += c.device_ns, cost->host_ns += c.host_ns;
    cost->bound_ns += (uint64_t)((double)slower * 1000 / ts_gemv_dma_bytes_per_us(mhz));
    cost->proofs += c.proofs, cost->wrong_proofs += c.wrong_proofs, cost->anew += c.anew;
    return s;
}

static ts_evidence evidence(const void *ud) {
    return ts_gemv_dev_evidence(((const ts_npu *)ud)->gemv);
}

static ts_dev_clock dev_clock(const void *ud) {
    const ts_npu_clock c = ts_gemv_dev_clock(((const ts_npu *)ud)->gemv);
    return (ts_dev_clock){.mhz = c.mhz, .least = c.least, .most = c.most};
}

static void close_npu(void *ud) {
    ts_npu_close(ud);
    ts_free(ud);
}

enum { PREFETCH, SEED };

ts_npu_options ts_npu_options_of(const ts_device_choice *c) {
    return (ts_npu_options){.simulated = c->device == &ts_device_npu_sim, .seed = c->value[SEED],
                            .prefetch = (ts_prefetch)c->value[PREFETCH]};
}

static ts_status open_npu(ts_linear_dev *out, const ts_device_choice *c, ts_stop_fn *stop, void *stop_ud, ts_err *err) {
    ts_npu_options o = ts_npu_options_of(c);
    o.stop = (ts_npu_stop){stop, stop_ud};
    ts_npu *n = ts_calloc(1, sizeof *n);
    if (!n) return ts_fail_nomem(err, "the device", sizeof *n);
    const ts_status s = ts_npu_open(n, &o, err);
    if (s != TS_OK) {
        ts_free(n);
        return s;
    }
    *out = (ts_linear_dev){.name = c->device->name, .ud = n, .refuse = refuse, .op_new = op_new, .op_free = op_free,
                           .pack = pack, .packed = packed, .bytes = bytes, .submit = submit, .wait = wait,
                           .evidence = evidence, .clock = dev_clock, .close = close_npu};
    return TS_OK;
}

static const char when[] = "auto|on|off"; /* ts_prefetch */
static const ts_device_option npu_options[] = {
    {.name = "prefetch", .slot = PREFETCH, .words = when},
    {.name = "no-prefetch", .slot = PREFETCH, .is = TS_PREFETCH_OFF},
    {0},
};
static const ts_device_option sim_options[] = {
    {.name = "prefetch", .slot = PREFETCH, .words = when},
    {.name = "no-prefetch", .slot = PREFETCH, .is = TS_PREFETCH_OFF},
    {.name = "seed", .slot = SEED, .most = UINT64_C(1) << 53},
    {0},
};

const ts_device ts_device_npu = {.name = "npu", .option = npu_options, .open = open_npu};
const ts_device ts_device_npu_sim = {.name = "npu-sim", .option = sim_options, .open = open_npu};
