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
