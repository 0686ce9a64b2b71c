/* net.c - stream switches: circuits become links from a writer to its readers, packet ports forward packet by
 * packet. */
#include "sim/array_int.h"

#include <stdio.h>

enum { INBOX_WORDS = 256 }; /* what the firmware's side takes without being asked [guess] */

/* ---- FIFOs ------------------------------------------------------------------------------------------------------- */

void sim_fifo_free(sim_fifo *f) {
    ts_free(f->word);
    ts_free(f->when);
    ts_free(f->last);
    f->word = NULL;
    f->when = NULL;
    f->last = NULL;
}

void sim_fifo_clear(sim_fifo *f) {
    f->in = f->out = f->n = 0;
    f->n_words = 0;
    f->writers = NULL;
    f->reader_waits = false;
    for (uint32_t i = 0; i < f->cap; i++) f->when[i] = 0;
}

static bool fifo_size(sim_fifo *f, uint32_t cap) {
    if (f->cap == cap && f->word) return true;
    sim_fifo_free(f);
    f->word = ts_calloc(cap, sizeof *f->word);
    f->when = ts_calloc(cap, sizeof *f->when);
    f->last = ts_calloc(cap, sizeof *f->last);
    f->cap = cap;
    f->in = f->out = f->n = 0;
    return f->word && f->when && f->last;
}

/* ---- building links ---------------------------------------------------------------------------------------------- */

typedef struct builder {
    ts_array *a;
    sim_link *link;
    int depth;
} builder;

static void dead(const ts_array *a, sim_link *l, ts_tile t, ts_port p, const char *why) {
    if (!l->dead[0]) snprintf(l->dead, sizeof l->dead, "%s %s", sim_port_name(a, t, p).s, why);
}

/* A reader: its FIFO holds what all ports on the way hold. */
static void add_sink(builder *b, sim_fifo *f, ts_tile t, ts_port p, uint32_t cap, uint32_t latency) {
    sim_link *l = b->link;
    if (!ts_grow((void **)&l->sink, &l->cap, l->n + 1, sizeof *l->sink)) {
        sim_fault_nomem(b->a);
        return;
    }
    bool same = f->from == l && f->cap == cap && f->word;
    if (!same && f->n)
        sim_mishap(b->a, "the route to %s is changed while %u words are on it: they are lost",
                   sim_port_name(b->a, t, p).s, f->n);
    if (!same) {
        latency += sim_draw(b->a, f->reader, b->a->timing.route_extra);
        if (!fifo_size(f, cap)) {
            f->cap = 0;
            sim_fault_nomem(b->a);
            return;
        }
        f->in = f->out = f->n = 0;
        for (uint32_t i = 0; i < cap; i++) f->when[i] = 0;
        f->latency = latency ? latency : 1;
    }
    f->from = l;
    l->sink[l->n++] = f;
}

static void visit_slave(builder *b, ts_tile t, int s, uint32_t cap, uint32_t lat);

static void visit_master(builder *b, ts_tile t, int m, uint32_t cap, uint32_t lat) {
    const ts_sim_timing *tm = &b->a->timing;
    sim_tile *tile = sim_tile_at(b->a, t);
    ts_port p = ts_port_at(tile->kind, TS_MASTER, m), next_port;
    ts_tile next;
    if (ts_port_peer(b->a->o.chip, b->a->o.n_cols, t, p, &next, &next_port)) {
        visit_slave(b, next, ts_port_number(ts_tile_kind_of(b->a->o.chip, next), TS_SLAVE, next_port),
                    cap + tm->master_depth.nominal, lat + tm->master_latency.nominal);
        return;
    }
    cap += tm->local_depth.nominal;
    lat += tm->local_latency.nominal;
    int ch = ts_port_dma_channel(tile->kind, TS_MASTER, p);
    if (p.type == TS_PORT_FIFO) {
        visit_slave(b, t, ts_port_number(tile->kind, TS_SLAVE, p), cap + tm->fifo_depth.nominal, lat + 1);
    } else if (p.type == TS_PORT_CORE) {
        add_sink(b, &tile->core->in, t, p, cap, lat);
    } else if (ch >= 0) {
        bool to_dma = tile->kind != TS_TILE_SHIM;
        if (!to_dma) {
            uint32_t bit = ts_shim_mux_bits(TS_S2MM, ch);
            to_dma = (b->a->fabric.sw[t.col][t.row].demux & 3 * bit) == bit;
        }
        if (to_dma) add_sink(b, &tile->ch[TS_S2MM][ch].in, t, p, cap, lat);
        else dead(b->a, b->link, t, p, "is not led to the DMA by the demux");
    } else if (tile->kind == TS_TILE_SHIM && p.type == TS_PORT_SOUTH && p.index == 0) {
        add_sink(b, &tile->inbox, t, p, cap + INBOX_WORDS, lat);
    } else if (p.type == TS_PORT_CTRL) {
        dead(b->a, b->link, t, p, "gets control packets, which are not modelled");
    } else {
        dead(b->a, b->link, t, p, "leads out of the array");
    }
}

static void visit_slave(builder *b, ts_tile t, int s, uint32_t cap, uint32_t lat) {
    const ts_sim_timing *tm = &b->a->timing;
    const ts_switch *sw = &b->a->fabric.sw[t.col][t.row];
    sim_tile *tile = sim_tile_at(b->a, t);
    ts_port p = ts_port_at(tile->kind, TS_SLAVE, s);
    if (s < 0 || !sw->slave[s].enable) {
        dead(b->a, b->link, t, p, "is off");
        return;
    }
    if (b->depth > 4 * TS_ROWS_MAX * TS_COLS_MAX) {
        dead(b->a, b->link, t, p, "is on a route that goes round in a circle");
        return;
    }
    cap += tm->slave_depth.nominal;
    lat += tm->slave_latency.nominal;
    if (sw->slave[s].packet) {
        add_sink(b, &tile->packets[s].in, t, p, cap, lat);
        return;
    }
    bool any = false;
    b->depth++;
    for (int m = 0; m < ts_port_count(tile->kind, TS_MASTER); m++) {
        if (!sw->master[m].enable || sw->master[m].packet || sw->master[m].slave != s) continue;
        ts_port mp = ts_port_at(tile->kind, TS_MASTER, m);
        any = true;
        if (ts_port_legal(tile->kind, p, mp)) visit_master(b, t, m, cap, lat);
        else dead(b->a, b->link, t, mp, "cannot be reached from the slave port it names");
    }
    b->depth--;
    if (!any) dead(b->a, b->link, t, p, "feeds no master port");
}

static void begin(sim_link *l, ts_tile t, ts_port p, bool from_master) {
    l->tile = t;
    l->port = p;
    l->from_master = from_master;
    l->n = 0;
    l->dead[0] = 0;
}

static void from_slave(ts_array *a, sim_link *l, ts_tile t, ts_port p) {
    begin(l, t, p, false);
    visit_slave(&(builder){.a = a, .link = l}, t, ts_port_number(ts_tile_kind_of(a->o.chip, t), TS_SLAVE, p), 0, 0);
}

static void build_tile(ts_array *a, sim_tile *t) {
    const ts_switch *sw = &a->fabric.sw[t->at.col][t->at.row];
    for (int i = 0; i < t->info->n_channels; i++) {
        sim_link *l = &t->ch[TS_MM2S][i].out;
        ts_port p = ts_port_dma(t->kind, TS_MM2S, i);
        uint32_t bit = t->kind == TS_TILE_SHIM ? ts_shim_mux_bits(TS_MM2S, i) : 0;
        if ((sw->mux & 3 * bit) == bit) {
            from_slave(a, l, t->at, p);
        } else {
            begin(l, t->at, p, false);
            dead(a, l, t->at, p, "is not fed by the DMA: the mux is off");
        }
    }
    if (t->core) from_slave(a, &t->core->out, t->at, ts_port_of(TS_PORT_CORE, 0));
    from_slave(a, &t->token, t->at, ts_port_of(TS_PORT_CTRL, 0));
    int ctrl = ts_port_number(t->kind, TS_SLAVE, ts_port_of(TS_PORT_CTRL, 0));
    if (!sw->slave[ctrl].packet) dead(a, &t->token, t->at, ts_port_of(TS_PORT_CTRL, 0), "is not in packet mode");
    for (int m = 0; m < ts_port_count(t->kind, TS_MASTER); m++) {
        ts_port p = ts_port_at(t->kind, TS_MASTER, m);
        begin(&t->master[m], t->at, p, true);
        if (sw->master[m].enable && sw->master[m].packet)
            visit_master(&(builder){.a = a, .link = &t->master[m]}, t->at, m, 0, 0);
        else dead(a, &t->master[m], t->at, p, "is not in packet mode");
    }
}

static void wake_writer(ts_array *a, sim_link *l) {
    if (!l->waits) return;
    sim_comp *c = l->waits;
    l->waits = NULL;
    sim_wake(a, c, a->now);
}

/* Who waited for room may have been given another route: all try again. */
static void wake_all(ts_array *a) {
    for (int i = 0; i < sim_tiles(a); i++) {
        sim_tile *t = &a->tile[i];
        for (int c = 0; c < t->info->n_channels; c++) {
            wake_writer(a, &t->ch[TS_MM2S][c].out);
            sim_wake_list(a, &t->ch[TS_S2MM][c].in.writers, a->now);
        }
        if (t->core) {
            wake_writer(a, &t->core->out);
            sim_wake_list(a, &t->core->in.writers, a->now);
        }
        sim_wake_list(a, &t->inbox.writers, a->now);
        for (int s = 0; s < ts_port_count(t->kind, TS_SLAVE); s++) {
            sim_packets *p = &t->packets[s];
            sim_wake_list(a, &p->in.writers, a->now);
            if (p->c.wait == TS_WAIT_ROUTE) sim_wake(a, &p->c, a->now);
            if (p->in.n && p->c.wait == TS_WAIT_WORDS) sim_wake(a, &p->c, a->now);
        }
    }
}

void sim_net_update(ts_array *a) {
    a->fabric_changed = false;
    for (int i = 0; i < sim_tiles(a); i++) build_tile(a, &a->tile[i]);
    wake_all(a);
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

/* Where the packet with this header goes; 0 masters: nowhere, p->stuck says why. */
static uint32_t match(ts_array *a, sim_packets *p, uint32_t header) {
    const ts_switch *sw = &a->fabric.sw[p->c.tile.col][p->c.tile.row];
    uint32_t id = ts_packet_decode(header).id, masters = 0;
    int found = 0;
    for (int i = 0; i < TS_PACKET_SLOTS; i++) {
        const ts_ss_slot *x = &sw->slot[p->slave][i];
        if (!x->enable || (id & x->mask) != x->id) continue;
        if (found++) {
            snprintf(p->stuck, sizeof p->stuck, "two slots match packet id %u", id);
            return 0;
        }
        p->arbiter = x->arbiter;
        for (int m = 0; m < TS_MASTERS_MAX; m++) {
            const ts_ss_master *y = &sw->master[m];
            if (y->enable && y->packet && y->arbiter == x->arbiter && y->msels & 1u << x->msel) masters |= 1u << m;
        }
    }
    if (!found) snprintf(p->stuck, sizeof p->stuck, "no slot matches packet id %u (header 0x%08x)", id, header);
    else if (!masters) snprintf(p->stuck, sizeof p->stuck, "no master port takes packet id %u", id);
    if (!ts_packet_parity_ok(header))
        sim_mishap(a, "%s: packet header 0x%08x has even parity", sim_name(&p->c).s, header);
    return masters;
}

/* false: it waits. */
static bool head(ts_array *a, sim_packets *p) {
    sim_fifo *f = &p->in;
    sim_tile *t = sim_tile_at(a, p->c.tile);
    ts_port sp = ts_port_at(t->kind, TS_SLAVE, p->slave);
    if (!f->n) {
        f->reader_waits = true;
        sim_sleep(&p->c, TS_WAIT_WORDS);
        return false;
    }
    if (f->when[f->out] > a->now) {
        sim_wake(a, &p->c, f->when[f->out]);
        return false;
    }
    p->masters = match(a, p, f->word[f->out]);
    for (int m = 0; m < TS_MASTERS_MAX; m++) {
        if (!(p->masters >> m & 1)) continue;
        if (!ts_port_legal(t->kind, sp, ts_port_at(t->kind, TS_MASTER, m)))
            snprintf(p->stuck, sizeof p->stuck, "the switch cannot lead it to %s",
                     sim_port_name(a, t->at, ts_port_at(t->kind, TS_MASTER, m)).s);
        else if (t->master[m].dead[0]) snprintf(p->stuck, sizeof p->stuck, "%.78s", t->master[m].dead);
        else continue;
        p->masters = 0;
    }
    if (!p->masters) {
        sim_sleep(&p->c, TS_WAIT_ROUTE);
        return false;
    }
    p->stuck[0] = 0;
    sim_arbiter *arb = &t->arbiter[p->arbiter];
    if (arb->owner) {
        p->c.next = arb->waiters;
        arb->waiters = &p->c;
        sim_sleep(&p->c, TS_WAIT_ARBITER);
        return false;
    }
    arb->owner = p;
    p->step = SIM_BODY;
    p->first = true;
    p->c.t = a->now + sim_draw(a, &p->c, a->timing.arbiter);
    return true;
}

static bool body(ts_array *a, sim_packets *p) {
    uint64_t horizon = a->now + a->o.window;
    sim_tile *t = sim_tile_at(a, p->c.tile);
    const ts_switch *sw = &a->fabric.sw[t->at.col][t->at.row];
    sim_fifo *f = &p->in;
    for (bool last = false; !last;) {
        if (!f->n) {
            f->reader_waits = true;
            sim_sleep(&p->c, TS_WAIT_WORDS);
            return false;
        }
        uint64_t when = f->when[f->out] > p->c.t ? f->when[f->out] : p->c.t;
        if (when > horizon) {
            sim_wake(a, &p->c, when);
            return false;
        }
        /* one word goes to all masters in one cycle: find it */
        for (int m = 0; m < TS_MASTERS_MAX; m++) {
            if (!(p->masters >> m & 1) || (p->first && sw->master[m].drop_header)) continue;
            const sim_link *l = &t->master[m];
            uint32_t room;
            sim_fifo *full = l->dead[0] ? NULL : sim_full_now(a, l, &room);
            if (l->dead[0]) sim_sleep(&p->c, TS_WAIT_ROUTE);
            if (full) sim_wait_room(full, &p->c);
            if (full || l->dead[0]) return false;
            for (size_t i = 0; i < l->n; i++)
                if (l->sink[i]->when[l->sink[i]->in] >= when) when = l->sink[i]->when[l->sink[i]->in] + 1;
        }
        uint32_t w;
        uint64_t got = sim_pop(a, f, when, &w, &last);
        for (int m = 0; m < TS_MASTERS_MAX; m++)
            if (p->masters >> m & 1 && !(p->first && sw->master[m].drop_header))
                sim_push(a, &t->master[m], got, w, last);
        p->first = false;
        p->c.t = got + 1;
    }
    p->step = SIM_TAIL;
    return true;
}

void sim_packets_pull(ts_array *a, sim_packets *p) {
    if (p->step != SIM_BODY) return;
    p->c.wait = TS_WAIT_NONE;
    p->in.reader_waits = false;
    if (body(a, p)) sim_wake(a, &p->c, p->c.t);
}

void sim_packets_run(ts_array *a, sim_packets *p) {
    for (;;) {
        if (p->c.t > a->now && p->step != SIM_BODY) {
            sim_wake(a, &p->c, p->c.t);
            return;
        }
        switch (p->step) {
        case SIM_HEAD:
            if (!head(a, p)) return;
            break;
        case SIM_BODY:
            if (!body(a, p)) return;
            break;
        case SIM_TAIL: { /* the arbiter is free; those who wait for it come before the next packet of this port */
            sim_arbiter *arb = &sim_tile_at(a, p->c.tile)->arbiter[p->arbiter];
            arb->owner = NULL;
            sim_wake_list(a, &arb->waiters, a->now);
            p->step = SIM_HEAD;
            p->c.t = a->now + 1;
            break;
        }
        }
    }
}
