/* sched.c - the heap of events, figures drawn from their ranges, names, mishaps and faults. */
#include "sim/array_int.h"

#include <stdio.h>

/* ---- the heap ---------------------------------------------------------------------------------------------------- */

static inline bool before(const sim_comp *x, const sim_comp *y) {
    return x->when < y->when || (x->when == y->when && x->order < y->order);
}

static void put(ts_array *a, uint32_t at, sim_comp *c) {
    a->heap[at] = c;
    c->heap = at + 1;
}

static void rise(ts_array *a, uint32_t at) {
    sim_comp *c = a->heap[at];
    while (at) {
        uint32_t up = (at - 1) / 2;
        if (!before(c, a->heap[up])) break;
        put(a, at, a->heap[up]);
        at = up;
    }
    put(a, at, c);
}

static void sink(ts_array *a, uint32_t at) {
    sim_comp *c = a->heap[at];
    for (;;) {
        uint32_t down = 2 * at + 1;
        if (down >= a->n_heap) break;
        if (down + 1 < a->n_heap && before(a->heap[down + 1], a->heap[down])) down++;
        if (!before(a->heap[down], c)) break;
        put(a, at, a->heap[down]);
        at = down;
    }
    put(a, at, c);
}

void sim_forget(ts_array *a, sim_comp *c) {
    if (!c->heap) return;
    uint32_t at = c->heap - 1;
    c->heap = 0;
    sim_comp *last = a->heap[--a->n_heap];
    if (last == c) return;
    put(a, at, last);
    rise(a, at);
    sink(a, last->heap - 1);
}

void sim_wake(ts_array *a, sim_comp *c, uint64_t t) {
    if (t < a->now) t = a->now;
    if (c->heap) {
        if (c->when <= t) return;
        c->when = t;
        rise(a, c->heap - 1);
        return;
    }
    c->when = t;
    a->heap[a->n_heap++] = c; /* the heap has room for every component */
    rise(a, a->n_heap - 1);
}

void sim_wake_list(ts_array *a, sim_comp **list, uint64_t t) {
    sim_comp *c = *list;
    *list = NULL;
    while (c) {
        sim_comp *next = c->next;
        c->next = NULL;
        sim_wake(a, c, t);
        c = next;
    }
}

void sim_unlist(sim_comp **list, sim_comp *c) {
    for (; *list; list = &(*list)->next)
        if (*list == c) {
            *list = c->next;
            c->next = NULL;
            return;
        }
}

static void end_wait(sim_comp *c, uint64_t now) {
    if (now <= c->t) return;
    c->waited[c->wait] += now - c->t;
    c->t = now;
}

void sim_account(ts_array *a) {
    for (uint32_t i = 0; i < a->n_comp; i++)
        if (a->comp[i]->wait != TS_WAIT_NONE) end_wait(a->comp[i], a->now);
}

static void run(ts_array *a, sim_comp *c) {
    if (c->wait != TS_WAIT_NONE) {
        end_wait(c, a->now);
        c->wait = TS_WAIT_NONE;
    }
    if (c->t > a->now) { /* woken before its time */
        sim_wake(a, c, c->t);
        return;
    }
    c->acts = true;
    switch ((sim_comp_kind)c->kind) {
    case SIM_CORE: sim_core_run(a, (sim_core *)c); break;
    case SIM_CHANNEL: sim_channel_run(a, (sim_channel *)c); break;
    case SIM_FETCH: sim_fetch_run(a, (sim_fetch *)c); break;
    case SIM_PACKETS: sim_packets_run(a, (sim_packets *)c); break;
    case SIM_FIRMWARE: sim_firmware_run(a); break;
    }
    c->acts = false;
}

/* Words may be moved at any moment: their times do not depend on when that is computed. What the reader does next
 * happens at its own time, as an event. */
bool sim_pull(ts_array *a, sim_fifo *f) {
    sim_comp *c = f->reader;
    if (c->acts || a->fault.code != TS_OK || (c->wait != TS_WAIT_NONE && c->wait != TS_WAIT_WORDS)) return false;
    uint32_t before = f->n;
    c->acts = true;
    if (c->kind == SIM_CHANNEL) sim_channel_pull(a, (sim_channel *)c);
    else if (c->kind == SIM_PACKETS) sim_packets_pull(a, (sim_packets *)c);
    c->acts = false;
    return f->n < before;
}

void sim_run_events(ts_array *a, uint64_t end) {
    enum { ASK_EVERY = 4096 }; /* events: well under a millisecond */
    a->run_end = end;
    while (a->n_heap && a->fault.code == TS_OK && a->fw.step != SIM_FW_END) {
        sim_comp *c = a->heap[0];
        if (c->when > end) {
            a->now = end;
            return;
        }
        if (a->events % ASK_EVERY == 0 && a->host && a->host->stop && a->host->stop(a->host->ud)) {
            a->stopped = true;
            return;
        }
        a->n_heap--;
        c->heap = 0;
        if (a->n_heap) {
            a->heap[0] = a->heap[a->n_heap];
            sink(a, 0);
        }
        a->now = c->when;
        a->events++;
        if (a->fabric_changed && c->kind != SIM_FIRMWARE) sim_net_update(a); /* it may set many switches in a row */
        run(a, c);
    }
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

uint32_t sim_draw(ts_array *a, sim_comp *c, ts_sim_range r) {
    if (!a->o.seed || r.high <= r.low) return r.nominal;
    return r.low + (uint32_t)ts_rng_below(&c->rng, r.high - r.low + 1);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static sim_text tile_name(ts_tile_kind kind, ts_tile t) {
    sim_text x;
    snprintf(x.s, sizeof x.s, "%s(%u,%u)", ts_tile_maps[kind].name, t.col, t.row);
    return x;
}

static sim_text port_name(ts_tile_kind kind, ts_tile t, ts_port p) {
    sim_text x = tile_name(kind, t);
    char port[16];
    size_t n = strlen(x.s);
    snprintf(x.s + n, sizeof x.s - n, " %s", ts_port_name(p, port, sizeof port));
    return x;
}

sim_text sim_tile_name(const ts_array *a, ts_tile t) {
    return tile_name(ts_tile_kind_of(a->o.chip, t), t);
}

sim_text sim_port_name(const ts_array *a, ts_tile t, ts_port p) {
    return port_name(ts_tile_kind_of(a->o.chip, t), t, p);
}

sim_text sim_name(const sim_comp *c) {
    const ts_tile_kind kind = (ts_tile_kind)c->tile_kind;
    sim_text x = tile_name(kind, c->tile);
    size_t n = strlen(x.s);
    if (c->kind == SIM_CHANNEL || c->kind == SIM_FETCH) {
        const sim_channel *ch = c->kind == SIM_FETCH ? ((const sim_fetch *)c)->ch : (const sim_channel *)c;
        snprintf(x.s + n, sizeof x.s - n, " %s %u", ch->dir == TS_S2MM ? "S2MM" : "MM2S", ch->index);
    } else if (c->kind == SIM_PACKETS) {
        return port_name(kind, c->tile, ts_port_at(kind, TS_SLAVE, ((const sim_packets *)c)->slave));
    } else if (c->kind == SIM_FIRMWARE) {
        snprintf(x.s, sizeof x.s, "firmware");
    }
    return x;
}

static const char *const wait_texts[TS_WAIT_COUNT] = {
    "nothing",
#define W(name, text) text,
    TS_WAITS(W)
#undef W
};
const char *ts_wait_text(ts_wait w) {
    return w < TS_WAIT_COUNT ? wait_texts[w] : "?";
}

/* ---- what goes wrong --------------------------------------------------------------------------------------------- */

void sim_mishap(ts_array *a, const char *fmt, ...) {
    char text[sizeof a->mishap[0]];
    int n = snprintf(text, sizeof text, "cycle %llu: ", (unsigned long long)a->now);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
    va_end(ap);
    if (a->n_mishaps < TS_MISHAPS_KEPT) memcpy(a->mishap[a->n_mishaps], text, sizeof text);
    a->n_mishaps++;
    SIM_TRACE(a, a->now, "mishap: %s", text);
    if (a->o.strict && a->fault.code == TS_OK) ts_fail(&a->fault, TS_E_DEVICE, "%s", text);
}

void sim_fault(ts_array *a, const char *fmt, ...) {
    if (a->fault.code != TS_OK) return; /* the first one counts */
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ts_fail(&a->fault, TS_E_DEVICE, "cycle %llu: %s", (unsigned long long)a->now, text);
}

void sim_fault_nomem(ts_array *a) {
    if (a->fault.code == TS_OK) ts_fail_nomem(&a->fault, "the simulated array", 0);
}

void sim_trace_line(ts_array *a, uint64_t t, const char *fmt, ...) {
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    a->o.trace(a->o.trace_ud, t, text);
}
