/* tilecore.c - a core in its tile: what the core model sees of locks, streams, cascade and registers, and when it
 * runs. */
#include "aie2/bundle.h"
#include "sim/array_int.h"
#include "xdna/regs.h"

static uint64_t time_of(const sim_core *k) {
    return k->base + k->core.cycle;
}

/* The bundle waits: it is tried again at cycle t, SIM_NEVER: when something wakes the core. */
static bool later(sim_core *k, uint64_t t) {
    k->retry = t;
    return false;
}

static sim_core *cascade_to(ts_array *a, const sim_core *k);

/* It is in no list of those who wait. */
static void stop_waiting(sim_core *k) {
    ts_tile of;
    unsigned own;
    sim_lock *l = k->c.wait == TS_WAIT_LOCK ? sim_core_lock(k->a, k->c.tile, k->core.stall_lock, &of, &own) : NULL;
    if (l) sim_unlist(&l->waiters, &k->c);
    for (size_t i = 0; k->c.wait == TS_WAIT_ROOM && i < k->out.n; i++) sim_unlist(&k->out.sink[i]->writers, &k->c);
    sim_core *to = k->c.wait == TS_WAIT_CASCADE ? cascade_to(k->a, k) : NULL;
    if (to && to->cascade.writer == &k->c) to->cascade.writer = NULL;
    k->cascade.reader = NULL;
    k->out.waits = NULL;
    k->in.reader_waits = false;
    k->c.wait = TS_WAIT_NONE;
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static bool lock_acquire(void *ud, unsigned number, int32_t value) {
    sim_core *k = ud;
    ts_array *a = k->a;
    ts_tile of;
    unsigned own;
    uint64_t t = time_of(k);
    if (!sim_is_first(a, t)) return later(k, t);
    sim_lock *l = sim_core_lock(a, k->c.tile, number, &of, &own);
    if (!l) {
        sim_fault(a, "%s: pc 0x%05x takes lock %u, which is not there", sim_name(&k->c).s, k->core.pc, number);
        return later(k, SIM_NEVER);
    }
    if (!sim_acquire(a, l, value)) {
        sim_wait_lock(l, &k->c);
        return later(k, SIM_NEVER);
    }
    k->core.cycle += sim_draw(a, &k->c, a->timing.core_lock);
    SIM_TRACE(a, t, "%s takes lock %u of %s (%+d)", sim_name(&k->c).s, own, sim_tile_name(a, of).s, value);
    return true;
}

static bool lock_release(void *ud, unsigned number, int32_t value) {
    sim_core *k = ud;
    ts_array *a = k->a;
    ts_tile of;
    unsigned own;
    uint64_t t = time_of(k), now = a->now;
    if (!sim_is_first(a, t)) return later(k, t);
    if (!sim_core_lock(a, k->c.tile, number, &of, &own)) {
        sim_fault(a, "%s: pc 0x%05x gives lock %u, which is not there", sim_name(&k->c).s, k->core.pc, number);
        return later(k, SIM_NEVER);
    }
    a->now = t; /* nobody acts before */
    sim_release(a, of, own, value);
    a->now = now;
    k->core.cycle += sim_draw(a, &k->c, a->timing.core_lock);
    SIM_TRACE(a, t, "%s gives lock %u of %s (%+d)", sim_name(&k->c).s, own, sim_tile_name(a, of).s, value);
    return true;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static bool stream_read(void *ud, uint32_t *word, bool *tlast) {
    sim_core *k = ud;
    uint64_t t = time_of(k);
    if (k->c.wait) stop_waiting(k); /* the non-blocking form went on without its word */
    if (!k->in.n) {
        k->in.reader_waits = true;
        sim_sleep(&k->c, TS_WAIT_WORDS);
        return later(k, SIM_NEVER);
    }
    if (k->in.when[k->in.out] > t) return later(k, k->in.when[k->in.out]);
    sim_pop(k->a, &k->in, t, word, tlast);
    k->words_in++;
    return true;
}

static bool stream_write(void *ud, uint32_t word, bool tlast) {
    sim_core *k = ud;
    uint32_t room;
    uint64_t t = time_of(k);
    if (k->c.wait) stop_waiting(k);
    if (k->out.dead[0] || !k->out.n) {
        k->out.waits = &k->c;
        sim_sleep(&k->c, TS_WAIT_ROUTE);
        return later(k, SIM_NEVER);
    }
    sim_fifo *full = sim_full(&k->out, &room);
    if (full) {
        sim_wait_room(full, &k->c);
        return later(k, SIM_NEVER);
    }
    for (size_t i = 0; i < k->out.n; i++) {
        uint64_t free = k->out.sink[i]->when[k->out.sink[i]->in];
        if (free >= t) return later(k, free + 1);
    }
    sim_push(k->a, &k->out, t, word, tlast);
    k->words_out++;
    return true;
}

/* ---- cascade ----------------------------------------------------------------------------------------------------- */

/* In: 0 from the north, 1 from the west. Out: 0 to the south, 1 to the east [doc] AM025. */
static sim_core *cascade_to(ts_array *a, const sim_core *k) {
    bool east = ts_get(k->cascade_ctrl, TS_CORE_ACCUMULATOR_CONTROL_OUTPUT);
    if (!east && k->c.tile.row == a->o.chip->core_row) return NULL;
    sim_tile *t = sim_tile_at(a, ts_tile_at(k->c.tile.col + east, k->c.tile.row - !east));
    if (!t || !t->core) return NULL;
    bool west = ts_get(t->core->cascade_ctrl, TS_CORE_ACCUMULATOR_CONTROL_INPUT);
    return west == east ? t->core : NULL;
}

static void cascade_wake(ts_array *a, sim_comp **who, uint64_t t) {
    sim_comp *c = *who;
    *who = NULL;
    if (c) sim_wake(a, c, t);
}

static uint32_t cascade_cap(const ts_array *a) {
    uint32_t n = a->timing.cascade_depth.nominal;
    return n < 1 ? 1 : n > 8 ? 8 : n;
}

static bool cascade_read(void *ud, uint8_t data[64]) {
    sim_core *k = ud;
    sim_cascade *q = &k->cascade;
    uint64_t t = time_of(k);
    if (!q->n) {
        q->reader = &k->c;
        sim_sleep(&k->c, TS_WAIT_CASCADE);
        return later(k, SIM_NEVER);
    }
    if (q->when[q->out] > t) return later(k, q->when[q->out]);
    memcpy(data, q->value[q->out], 64);
    q->when[q->out] = t;
    q->out = (q->out + 1) % cascade_cap(k->a);
    q->n--;
    cascade_wake(k->a, &q->writer, t + 1);
    return true;
}

static bool cascade_write(void *ud, const uint8_t data[64]) {
    sim_core *k = ud;
    sim_core *to = cascade_to(k->a, k);
    uint64_t t = time_of(k);
    if (!to) {
        sim_fault(k->a, "%s: pc 0x%05x writes to the cascade, which leads nowhere", sim_name(&k->c).s, k->core.pc);
        return later(k, SIM_NEVER);
    }
    sim_cascade *q = &to->cascade;
    if (q->n == cascade_cap(k->a)) {
        q->writer = &k->c;
        sim_sleep(&k->c, TS_WAIT_CASCADE);
        return later(k, SIM_NEVER);
    }
    if (q->when[q->in] >= t && t) return later(k, q->when[q->in] + 1);
    memcpy(q->value[q->in], data, 64);
    q->when[q->in] = t + sim_draw(k->a, &k->c, k->a->timing.cascade_latency);
    q->in = (q->in + 1) % cascade_cap(k->a);
    q->n++;
    cascade_wake(k->a, &q->reader, t + 1);
    return true;
}

/* ---- registers and the rest -------------------------------------------------------------------------------------- */

static uint32_t bus_read(void *ud, uint32_t addr) {
    sim_core *k = ud;
    uint32_t v = 0;
    const char *why;
    if (!sim_read(k->a, ts_addr(k->c.tile, addr & 0xfffff), &v, &why))
        sim_fault(k->a, "%s: pc 0x%05x reads register 0x%x of its tile: %s", sim_name(&k->c).s, k->core.pc, addr, why);
    return v;
}

static void bus_write(void *ud, uint32_t addr, uint32_t value) {
    sim_core *k = ud;
    sim_fault(k->a, "%s: pc 0x%05x writes 0x%x to register 0x%x of its tile, which is not modelled", sim_name(&k->c).s,
              k->core.pc, value, addr);
}

static void undefined(void *ud, uint32_t pc, ts_aie2_reg reg) {
    sim_core *k = ud;
    sim_mishap(k->a, "%s: pc 0x%05x reads %s, which was never written", sim_name(&k->c).s, pc, ts_aie2_reg_print(reg));
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

void sim_core_run(ts_array *a, sim_core *k) {
    if (!k->runs) {
        sim_sleep(&k->c, TS_WAIT_TASK);
        return;
    }
    k->core.cycle = k->c.t - k->base; /* what it has waited is on its clock */
    ts_wait why = TS_WAIT_NONE;
    uint64_t ahead = (uint64_t)a->o.window * SIM_CORE_WINDOWS;
    if (ahead > a->run_end - a->now) ahead = a->run_end - a->now;
    ts_aie2_event e = ts_aie2_core_run(&k->core, ahead ? ahead : 1);
    if (a->fault.code != TS_OK) return;
    if (e != TS_AIE2_STALL && k->c.wait) stop_waiting(k);
    switch (e) {
    case TS_AIE2_RAN:
    case TS_AIE2_BREAK: k->c.t = time_of(k); break;
    case TS_AIE2_DONE:
        k->c.t = time_of(k);
        k->runs = false;
        k->is_done = true;
        sim_sleep(&k->c, TS_WAIT_TASK);
        SIM_TRACE(a, k->c.t, "%s is done", sim_name(&k->c).s);
        return;
    case TS_AIE2_STALL:
        k->core.cycle--; /* the waiting is counted by its real length */
        k->c.t = time_of(k);
        if (k->retry == SIM_NEVER) return;
        switch (k->core.stall) {
        case TS_AIE2_STALL_STREAM_IN: why = TS_WAIT_WORDS; break;
        case TS_AIE2_STALL_STREAM_OUT: why = TS_WAIT_ROOM; break;
        case TS_AIE2_STALL_CASCADE_IN:
        case TS_AIE2_STALL_CASCADE_OUT: why = TS_WAIT_CASCADE; break;
        default: break; /* a lock: only its turn has to come */
        }
        if (k->retry < k->c.t) k->retry = k->c.t;
        k->c.waited[why] += k->retry - k->c.t;
        k->c.t = k->retry;
        break;
    case TS_AIE2_ERROR:
        k->c.t = time_of(k);
        if (k->core.error.code == TS_E_NOMEM) a->fault = k->core.error;
        else sim_fault(a, "%s: %s", sim_name(&k->c).s, k->core.error.msg);
        return;
    }
    sim_wake(a, &k->c, k->c.t);
}

/* Runs when it is enabled, out of reset, and the first command has come. */
static void start_or_stop(ts_array *a, sim_core *k) {
    bool reset = ts_get(k->control, TS_CORE_CORE_CONTROL_RESET),
         enabled = ts_get(k->control, TS_CORE_CORE_CONTROL_ENABLE);
    bool runs = enabled && !reset && a->launched && !k->is_done;
    if (runs == k->runs) return;
    k->runs = runs;
    if (!runs) return; /* it stops at the end of its window */
    if (k->c.heap || k->c.wait != TS_WAIT_TASK) return; /* it was stopped and has not noticed yet */
    k->base = a->now - k->core.cycle;
    k->core.timer = k->base;
    k->c.t = a->now;
    sim_wake(a, &k->c, a->now);
    SIM_TRACE(a, a->now, "%s starts at pc 0x%05x", sim_name(&k->c).s, k->core.pc);
}

void sim_core_control(ts_array *a, sim_core *k, uint32_t value) {
    if (ts_get(value, TS_CORE_CORE_CONTROL_RESET)) {
        stop_waiting(k);
        sim_forget(a, &k->c);
        sim_sleep(&k->c, TS_WAIT_TASK);
        ts_aie2_core_reset(&k->core);
        k->bundles0 = k->bank_stalls0 = 0;
        k->is_done = k->runs = false;
        k->c.t = k->base = a->now;
    }
    k->control = value & (ts_field_mask(TS_CORE_CORE_CONTROL_RESET) | ts_field_mask(TS_CORE_CORE_CONTROL_ENABLE));
    start_or_stop(a, k);
}

uint32_t sim_core_status(const sim_core *k) {
    uint8_t w = k->c.wait;
    return ts_put(TS_CORE_CORE_STATUS_ENABLE, ts_get(k->control, TS_CORE_CORE_CONTROL_ENABLE)) |
           ts_put(TS_CORE_CORE_STATUS_RESET, ts_get(k->control, TS_CORE_CORE_CONTROL_RESET)) |
           ts_put(TS_CORE_CORE_STATUS_LOCK_STALL_E, k->runs && w == TS_WAIT_LOCK) |
           ts_put(TS_CORE_CORE_STATUS_STREAM_STALL_SS0, k->runs && w == TS_WAIT_WORDS) |
           ts_put(TS_CORE_CORE_STATUS_STREAM_STALL_MS0, k->runs && w == TS_WAIT_ROOM) |
           ts_put(TS_CORE_CORE_STATUS_CORE_DONE, k->is_done);
}

void sim_core_launch(ts_array *a) {
    if (a->launched) return;
    a->launched = true;
    for (int i = 0; i < sim_tiles(a); i++) {
        sim_core *k = a->tile[i].core;
        if (!k || !ts_get(k->control, TS_CORE_CORE_CONTROL_ENABLE)) continue;
        k->control &= ~ts_field_mask(TS_CORE_CORE_CONTROL_RESET);
        start_or_stop(a, k);
    }
}

ts_status sim_core_init(ts_array *a, sim_core *k, ts_tile at, ts_err *err) {
    static const int8_t dcol[TS_AIE2_WINDOWS] = {[TS_AIE2_WEST] = -1},
                        drow[TS_AIE2_WINDOWS] = {[TS_AIE2_SOUTH] = -1, [TS_AIE2_NORTH] = 1};
    ts_aie2_outside out = {.ud = k,
                           .acquire = lock_acquire,
                           .release = lock_release,
                           .stream_read = stream_read,
                           .stream_write = stream_write,
                           .cascade_read = cascade_read,
                           .cascade_write = cascade_write,
                           .bus_read = bus_read,
                           .bus_write = bus_write,
                           .undefined = undefined};
    for (int w = 0; w < TS_AIE2_WINDOWS; w++) {
        int col = at.col + dcol[w], row = at.row + drow[w];
        sim_tile *t = col >= 0 && row >= a->o.chip->core_row ? sim_tile_at(a, ts_tile_at(col, row)) : NULL;
        out.mem[w] = t ? t->mem : NULL;
    }
    k->a = a;
    TS_TRY(ts_aie2_core_init(&k->core, &out, err));
    k->core.check_undefined = a->o.check_undefined;
    return TS_OK;
}
