#include "sim/simnode.h"

#include <stdio.h>

enum { SLOTS = 6 };

struct ts_simnode {
    ts_simnode_options o;
    ts_sim_timing timing;
    ts_fake *fake;
    ts_fake_array table;
    ts_array *array[SLOTS];
    ts_npu_meter meter;
    ts_array_stats stats;
    ts_buf report;
};

static bool load(void *ud, int slot, int n_cols, const void *pdi, size_t len, char *why, size_t why_len) {
    ts_simnode *n = ud;
    ts_array_options o = {.n_cols = n_cols, .seed = n->o.seed, .timing = &n->timing, .strict = n->o.strict,
                          .check_undefined = n->o.strict};
    ts_err err;
    if (slot < 0 || slot >= SLOTS) return false;
    ts_array_free(n->array[slot]);
    n->array[slot] = NULL;
    if (ts_array_new(&n->array[slot], &o, &err) == TS_OK && ts_array_load(n->array[slot], pdi, len, &err) == TS_OK)
        return true;
    snprintf(why, why_len, "%s", err.msg);
    return false;
}

static ts_fake_outcome run(void *ud, int slot, const void *txn, size_t len, const uint64_t *args, int n_args,
                           const ts_fake_bus *bus, char *why, size_t why_len) {
    ts_simnode *n = ud;
    ts_array *a = n->array[slot];
    const ts_array_host host = {.ud = bus->ud, .read = bus->read, .write = bus->write};
    ts_array_outcome outcome = TS_ARRAY_FAULT;
    ts_err err = {.msg = ""};
    ts_status s = n->o.gap ? ts_array_idle(a, n->o.gap, &host, &err) : TS_OK;
    if (s == TS_OK) s = ts_array_run(a, txn, len, args, n_args, &host, &outcome, &err);
    ts_array_get_stats(a, &n->stats);
    if (s == TS_OK) return TS_FAKE_DONE;
    snprintf(why, why_len, "%s", err.msg);
    ts_buf_clear(&n->report);
    if (!ts_buf_puts(&n->report, ts_array_report(a))) ts_buf_clear(&n->report);
    return outcome == TS_ARRAY_HANG ? TS_FAKE_HANG : TS_FAKE_FAULT;
}

static void unload(void *ud, int slot) {
    ts_simnode *n = ud;
    ts_array_free(n->array[slot]);
    n->array[slot] = NULL;
}

static void last_cost(void *ud, uint64_t *cycles, uint64_t *launch_cycles) {
    const ts_simnode *n = ud;
    *cycles = n->stats.cycles;
    *launch_cycles = n->stats.launch;
}

static const char *last_report(void *ud) {
    return ts_simnode_report(ud);
}

ts_status ts_simnode_new(ts_simnode **out, const ts_simnode_options *o, ts_err *err) {
    ts_simnode *n = ts_calloc(1, sizeof *n);
    if (!n) return ts_fail_nomem(err, "the simulated NPU", sizeof *n);
    n->o = *o;
    if (o->timing) n->timing = *o->timing;
    else ts_sim_timing_init(&n->timing);
    n->meter = (ts_npu_meter){.ud = n, .mhz = TS_SIM_CLOCK_MHZ, .submit_cycles = ts_sim_submit_gap(),
                              .last = last_cost, .report = last_report};
    n->table = (ts_fake_array){.ud = n, .load = load, .run = run, .unload = unload};
    ts_fake_options f = {.profile = o->profile, .array = &n->table, .coherent = !o->strict,
                         .h_clock_mhz = TS_SIM_CLOCK_MHZ};
    ts_status s = ts_fake_new(&n->fake, &f, err);
    if (s != TS_OK) {
        ts_simnode_free(n);
        return s;
    }
    *out = n;
    return TS_OK;
}

void ts_simnode_free(ts_simnode *n) {
    if (!n) return;
    ts_fake_free(n->fake);
    for (int i = 0; i < SLOTS; i++) ts_array_free(n->array[i]);
    ts_buf_free(&n->report);
    ts_free(n);
}

const ts_npu_io *ts_simnode_io(ts_simnode *n) {
    return ts_fake_io(n->fake);
}
const ts_npu_meter *ts_simnode_meter(const ts_simnode *n) {
    return &n->meter;
}
ts_fake *ts_simnode_fake(ts_simnode *n) {
    return n->fake;
}
const ts_array_stats *ts_simnode_stats(const ts_simnode *n) {
    return &n->stats;
}
const char *ts_simnode_report(const ts_simnode *n) {
    return n->report.data ? n->report.data : "";
}
