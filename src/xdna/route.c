#include "xdna/route.h"

#include "xdna/regs.h"

#include <stdio.h>
#include <string.h>

enum { NODES = TS_COLS_MAX * TS_ROWS_MAX * TS_SLAVES_MAX };

void ts_fabric_init(ts_fabric *f, const ts_chip *chip, int n_cols) {
    memset(f, 0, sizeof *f);
    f->chip = chip;
    f->n_cols = n_cols;
}

ts_port ts_end_slave(const ts_chip *chip, ts_end e) {
    return e.port.type == TS_PORT_DMA ? ts_port_dma(ts_tile_kind_of(chip, e.tile), TS_MM2S, e.port.index) : e.port;
}

ts_port ts_end_master(const ts_chip *chip, ts_end e) {
    return e.port.type == TS_PORT_DMA ? ts_port_dma(ts_tile_kind_of(chip, e.tile), TS_S2MM, e.port.index) : e.port;
}

static const char *end_name(const ts_fabric *f, ts_end e, char *buf, size_t len) {
    char port[16];
    snprintf(buf, len, "%s(%u,%u) %s", ts_tile_name(f->chip, e.tile), e.tile.col, e.tile.row,
             ts_port_name(e.port, port, sizeof port));
    return buf;
}

/* ---- nodes: a slave port of a tile ------------------------------------------------------------------------------- */

static int node_of(ts_tile t, int slave) {
    return (t.col * TS_ROWS_MAX + t.row) * TS_SLAVES_MAX + slave;
}
static ts_tile node_tile(int node) {
    int t = node / TS_SLAVES_MAX;
    return ts_tile_at(t / TS_ROWS_MAX, t % TS_ROWS_MAX);
}
static int node_slave(int node) {
    return node % TS_SLAVES_MAX;
}

static ts_switch *switch_at(ts_fabric *f, ts_tile t) {
    return &f->sw[t.col][t.row];
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

/* One flow being routed: the tree grows by one branch a destination. masters[] of a node are those that the flow uses
 * there, a bit each. */
typedef struct flow {
    ts_fabric *f;
    bool packet;
    bool in_tree[NODES];
    uint32_t masters[NODES];
} flow;

static bool master_free(const flow *fl, ts_tile t, int m) {
    const ts_ss_master *x = &fl->f->sw[t.col][t.row].master[m];
    return !x->enable || (fl->packet && x->packet);
}

static bool slave_free(const flow *fl, ts_tile t, int s) {
    const ts_switch *sw = &fl->f->sw[t.col][t.row];
    if (!sw->slave[s].enable) return true;
    return fl->packet && sw->slave[s].packet;
}

/* Breadth first from the whole tree to the master `goal` of tile `to`; then the branch is added to the tree. */
static bool add_branch(flow *fl, ts_tile to, int goal) {
    static const int NONE = -1;
    int queue[NODES], from[NODES], via[NODES], head = 0, tail = 0;
    bool seen[NODES] = {0};
    const ts_chip *chip = fl->f->chip;
    ts_tile_kind to_kind = ts_tile_kind_of(chip, to);
    for (int n = 0; n < NODES; n++) {
        from[n] = via[n] = NONE;
        if (fl->in_tree[n]) {
            seen[n] = true;
            queue[tail++] = n;
        }
    }
    ts_port goal_port = ts_port_at(to_kind, TS_MASTER, goal);
    while (head < tail) {
        int n = queue[head++];
        ts_tile t = node_tile(n);
        ts_tile_kind k = ts_tile_kind_of(chip, t);
        ts_port s = ts_port_at(k, TS_SLAVE, node_slave(n));
        if (ts_tile_eq(t, to) && ts_port_legal(k, s, goal_port)) {
            fl->masters[n] |= 1u << goal;
            for (; from[n] != NONE; n = from[n]) {
                fl->in_tree[n] = true;
                fl->masters[from[n]] |= 1u << via[n];
            }
            return true;
        }
        for (int m = 0; m < ts_port_count(k, TS_MASTER); m++) {
            ts_port mp = ts_port_at(k, TS_MASTER, m);
            ts_tile t2;
            ts_port s2;
            if (!master_free(fl, t, m) || (fl->masters[n] & 1u << m) || !ts_port_legal(k, s, mp)) continue;
            if (!ts_port_peer(chip, fl->f->n_cols, t, mp, &t2, &s2)) continue;
            int s2n = ts_port_number(ts_tile_kind_of(chip, t2), TS_SLAVE, s2), n2 = node_of(t2, s2n);
            if (seen[n2] || !slave_free(fl, t2, s2n)) continue;
            seen[n2] = true;
            from[n2] = n;
            via[n2] = m;
            queue[tail++] = n2;
        }
    }
    return false;
}

static ts_status check_end(const ts_fabric *f, ts_end e, ts_port_role role, int *number, ts_err *err) {
    char name[48];
    if (!ts_tile_in(f->chip, f->n_cols, e.tile))
        return ts_fail(err, TS_E_INVAL, "route: %s is outside the partition of %d columns",
                       end_name(f, e, name, sizeof name), f->n_cols);
    bool dma_ok = e.port.type != TS_PORT_DMA || e.port.index < ts_tile_info_of(f->chip, e.tile)->n_channels;
    *number = dma_ok ? ts_port_number(ts_tile_kind_of(f->chip, e.tile), role,
                                      role == TS_SLAVE ? ts_end_slave(f->chip, e) : ts_end_master(f->chip, e))
                     : -1;
    if (*number < 0)
        return ts_fail(err, TS_E_INVAL, "route: %s is not a %s port", end_name(f, e, name, sizeof name),
                       role == TS_SLAVE ? "slave" : "master");
    return TS_OK;
}

/* The tree of a flow; nothing is configured yet. */
static ts_status grow(flow *fl, ts_end src, const ts_end *dst, int n_dst, ts_err *err) {
    char a[48], b[48];
    int s;
    TS_TRY(check_end(fl->f, src, TS_SLAVE, &s, err));
    if (!slave_free(fl, src.tile, s))
        return ts_fail(err, TS_E_LIMIT, "route: %s is in use by another flow", end_name(fl->f, src, a, sizeof a));
    fl->in_tree[node_of(src.tile, s)] = true;
    for (int i = 0; i < n_dst; i++) {
        int m;
        TS_TRY(check_end(fl->f, dst[i], TS_MASTER, &m, err));
        if (!master_free(fl, dst[i].tile, m))
            return ts_fail(err, TS_E_LIMIT, "route: %s is in use by another flow",
                           end_name(fl->f, dst[i], a, sizeof a));
        for (int j = 0; j < i; j++)
            if (ts_tile_eq(dst[i].tile, dst[j].tile) && ts_port_eq(dst[i].port, dst[j].port))
                return ts_fail(err, TS_E_INVAL, "route: %s is named twice", end_name(fl->f, dst[i], a, sizeof a));
        if (!add_branch(fl, dst[i].tile, m))
            return ts_fail(err, TS_E_LIMIT, "route: no free path from %s to %s", end_name(fl->f, src, a, sizeof a),
                           end_name(fl->f, dst[i], b, sizeof b));
    }
    return TS_OK;
}

/* Shim DMA channels go through a mux (out of the DMA) or demux (into it). */
static void set_mux(ts_fabric *f, ts_end src, const ts_end *dst, int n_dst) {
    if (src.port.type == TS_PORT_DMA && src.tile.row == TS_ROW_SHIM)
        switch_at(f, src.tile)->mux |= ts_shim_mux_bits(TS_MM2S, src.port.index);
    for (int i = 0; i < n_dst; i++)
        if (dst[i].port.type == TS_PORT_DMA && dst[i].tile.row == TS_ROW_SHIM)
            switch_at(f, dst[i].tile)->demux |= ts_shim_mux_bits(TS_S2MM, dst[i].port.index);
}

ts_status ts_route_circuit(ts_fabric *f, ts_end src, const ts_end *dst, int n_dst, ts_err *err) {
    flow fl = {.f = f};
    TS_TRY(grow(&fl, src, dst, n_dst, err));
    for (int n = 0; n < NODES; n++) {
        if (!fl.in_tree[n]) continue;
        ts_switch *sw = switch_at(f, node_tile(n));
        sw->slave[node_slave(n)] = (ts_ss_slave){.enable = true};
        for (int m = 0; m < TS_MASTERS_MAX; m++)
            if (fl.masters[n] & 1u << m)
                sw->master[m] = (ts_ss_master){.enable = true, .slave = (uint8_t)node_slave(n)};
    }
    set_mux(f, src, dst, n_dst);
    return TS_OK;
}

/* ---- packets: slots, arbiters, selectors ------------------------------------------------------------------------- */

/* The masters that an arbiter and selector reach. */
static uint32_t reached(const ts_switch *sw, int arbiter, int msel) {
    uint32_t set = 0;
    for (int m = 0; m < TS_MASTERS_MAX; m++) {
        const ts_ss_master *x = &sw->master[m];
        if (x->enable && x->packet && x->arbiter == arbiter && (x->msels & 1u << msel)) set |= 1u << m;
    }
    return set;
}

static uint32_t arbiter_masters(const ts_switch *sw, int arbiter) {
    uint32_t set = 0;
    for (int v = 0; v < TS_MSELS; v++) set |= reached(sw, arbiter, v);
    return set;
}

/* Does slave port `s` send packets to the arbiter? */
static bool feeds(const ts_switch *sw, int s, int arbiter) {
    for (int i = 0; i < TS_PACKET_SLOTS; i++)
        if (sw->slot[s][i].enable && sw->slot[s][i].arbiter == arbiter) return true;
    return false;
}

/* An arbiter and selector that reach exactly `want`, set up if need be. A master belongs to one arbiter, and an
 * arbiter lets one packet through at a time; so what comes from one slave port, where packets queue up anyway,
 * goes to one arbiter, and what comes from another to one of its own as long as there are any. */
static bool pick_arbiter(ts_switch *sw, int s, uint32_t want, int *arbiter, int *msel) {
    for (int a = 0; a < TS_ARBITERS; a++)
        for (int v = 0; v < TS_MSELS; v++)
            if (reached(sw, a, v) == want) {
                *arbiter = a;
                *msel = v;
                return true;
            }
    uint32_t taken = 0; /* masters of `want` that have an arbiter already: it must be the same for all */
    for (int m = 0; m < TS_MASTERS_MAX; m++)
        if ((want & 1u << m) && sw->master[m].enable) taken |= 1u << m;
    enum { SAME_SLAVE, UNUSED, ANY, ROUNDS };
    for (int round = 0; round < ROUNDS; round++)
        for (int a = 0; a < TS_ARBITERS; a++) {
            uint32_t has = arbiter_masters(sw, a);
            if ((has & taken) != taken) continue;
            if (round == SAME_SLAVE && !feeds(sw, s, a)) continue;
            if (round == UNUSED && !taken && has) continue;
            for (int v = 0; v < TS_MSELS; v++) {
                if (reached(sw, a, v)) continue;
                for (int m = 0; m < TS_MASTERS_MAX; m++) {
                    if (!(want & 1u << m)) continue;
                    ts_ss_master *x = &sw->master[m];
                    x->enable = x->packet = true;
                    x->arbiter = (uint8_t)a;
                    x->msels |= (uint8_t)(1u << v);
                }
                *arbiter = a;
                *msel = v;
                return true;
            }
        }
    return false;
}

static ts_status set_slot(ts_fabric *f, ts_tile t, int s, int id, uint32_t want, ts_err *err) {
    ts_switch *sw = switch_at(f, t);
    char name[48];
    ts_end e = {t, ts_port_at(ts_tile_kind_of(f->chip, t), TS_SLAVE, s)};
    int free_slot = -1, a = 0, v = 0;
    for (int i = TS_PACKET_SLOTS - 1; i >= 0; i--) {
        const ts_ss_slot *x = &sw->slot[s][i];
        if (!x->enable) {
            free_slot = i;
        } else if ((id & x->mask) == x->id) {
            if (reached(sw, x->arbiter, x->msel) == want)
                return TS_OK; /* another source's packets go the same way */
            return ts_fail(err, TS_E_LIMIT, "route: %s sends packets of id %d elsewhere already",
                           end_name(f, e, name, sizeof name), id);
        }
    }
    if (free_slot < 0)
        return ts_fail(err, TS_E_LIMIT, "route: %s has no packet slot left", end_name(f, e, name, sizeof name));
    if (!pick_arbiter(sw, s, want, &a, &v))
        return ts_fail(err, TS_E_LIMIT, "route: no arbiter left in %s(%u,%u)", ts_tile_name(f->chip, t),
                       t.col, t.row);
    sw->slave[s] = (ts_ss_slave){.enable = true, .packet = true};
    sw->slot[s][free_slot] = (ts_ss_slot){.enable = true,
                                          .id = (uint8_t)id,
                                          .mask = TS_PACKET_IDS - 1,
                                          .msel = (uint8_t)v,
                                          .arbiter = (uint8_t)a};
    return TS_OK;
}

ts_status ts_route_packet(ts_fabric *f, int id, ts_end src, const ts_end *dst, int n_dst, bool keep_header,
                          ts_err *err) {
    if (id < 0 || id >= TS_PACKET_IDS)
        return ts_fail(err, TS_E_INVAL, "route: packet id %d is outside 0 to 31", id);
    ts_fabric work = *f; /* slots may run out half way: keep the old state until all is set */
    flow fl = {.f = &work, .packet = true};
    TS_TRY(grow(&fl, src, dst, n_dst, err));
    for (int n = 0; n < NODES; n++)
        if (fl.in_tree[n]) TS_TRY(set_slot(&work, node_tile(n), node_slave(n), id, fl.masters[n], err));
    for (int i = 0; i < n_dst; i++) {
        ts_switch *sw = switch_at(&work, dst[i].tile);
        int m = ts_port_number(ts_tile_kind_of(f->chip, dst[i].tile), TS_MASTER, ts_end_master(f->chip, dst[i]));
        const ts_ss_master *old = &f->sw[dst[i].tile.col][dst[i].tile.row].master[m];
        char name[48];
        if (old->enable && old->drop_header == keep_header)
            return ts_fail(err, TS_E_INVAL, "route: %s would both keep and drop packet headers",
                           end_name(f, dst[i], name, sizeof name));
        sw->master[m].drop_header = !keep_header;
    }
    set_mux(&work, src, dst, n_dst);
    *f = work;
    return TS_OK;
}

/* ---- following a configuration ----------------------------------------------------------------------------------- */

typedef struct tracer {
    const ts_fabric *f;
    ts_sink *sinks;
    int n;
    bool seen[NODES];
    ts_err *err;
} tracer;

static ts_status lost(const tracer *tr, ts_tile t, ts_port p, const char *why) {
    char name[48];
    return ts_fail(tr->err, TS_E_INVAL, "stream lost at %s: %s", end_name(tr->f, (ts_end){t, p}, name, sizeof name),
                   why);
}

static ts_status follow(tracer *tr, ts_tile t, int s, int id);

static ts_status follow_master(tracer *tr, ts_tile t, int s, int m, int id) {
    const ts_chip *chip = tr->f->chip;
    ts_tile_kind k = ts_tile_kind_of(chip, t);
    ts_port sp = ts_port_at(k, TS_SLAVE, s), mp = ts_port_at(k, TS_MASTER, m), next_port;
    ts_tile next;
    if (mp.type == TS_PORT_TYPES) return lost(tr, t, sp, "it is sent to a master port that does not exist");
    if (!ts_port_legal(k, sp, mp)) return lost(tr, t, mp, "the switch cannot make this connection");
    const ts_ss_master *x = &tr->f->sw[t.col][t.row].master[m];
    if (x->drop_header) id = -1;
    if (ts_port_peer(chip, tr->f->n_cols, t, mp, &next, &next_port))
        return follow(tr, next, ts_port_number(ts_tile_kind_of(chip, next), TS_SLAVE, next_port), id);
    bool edge = mp.type == TS_PORT_WEST || mp.type == TS_PORT_EAST || mp.type == TS_PORT_NORTH;
    if (edge) return lost(tr, t, mp, "it leaves the partition");
    if (tr->n == TS_SINKS_MAX) return lost(tr, t, mp, "too many destinations");
    tr->sinks[tr->n++] = (ts_sink){.tile = t, .port = mp, .header = id >= 0};
    return TS_OK;
}

static ts_status follow(tracer *tr, ts_tile t, int s, int id) {
    const ts_switch *sw = &tr->f->sw[t.col][t.row];
    ts_port sp = ts_port_at(ts_tile_kind_of(tr->f->chip, t), TS_SLAVE, s);
    if (tr->seen[node_of(t, s)]) return lost(tr, t, sp, "the route goes round in a circle");
    tr->seen[node_of(t, s)] = true;
    if (!sw->slave[s].enable) return lost(tr, t, sp, "the slave port is off");
    int found = 0;
    if (!sw->slave[s].packet) {
        for (int m = 0; m < TS_MASTERS_MAX; m++)
            if (sw->master[m].enable && !sw->master[m].packet && sw->master[m].slave == s) {
                TS_TRY(follow_master(tr, t, s, m, id));
                found++;
            }
        return found ? TS_OK : lost(tr, t, sp, "no master port takes it");
    }
    if (id < 0) return lost(tr, t, sp, "a stream without packet headers enters a packet port");
    for (int i = 0; i < TS_PACKET_SLOTS; i++) {
        const ts_ss_slot *x = &sw->slot[s][i];
        if (!x->enable || (id & x->mask) != x->id) continue;
        if (found++) return lost(tr, t, sp, "two slots match the packet header");
        uint32_t set = reached(sw, x->arbiter, x->msel);
        if (!set) return lost(tr, t, sp, "no master port listens to the slot's arbiter and selector");
        for (int m = 0; m < TS_MASTERS_MAX; m++)
            if (set & 1u << m) TS_TRY(follow_master(tr, t, s, m, id));
    }
    return found ? TS_OK : lost(tr, t, sp, "no slot matches the packet header");
}

ts_status ts_route_trace(const ts_fabric *f, ts_tile tile, ts_port slave, int id, ts_sink *sinks,
                         int *n_sinks, ts_err *err) {
    tracer tr = {.f = f, .sinks = sinks, .err = err};
    int s = ts_port_number(ts_tile_kind_of(f->chip, tile), TS_SLAVE, slave);
    if (!ts_tile_in(f->chip, f->n_cols, tile) || s < 0)
        return lost(&tr, tile, slave, "there is no such slave port");
    TS_TRY(follow(&tr, tile, s, id));
    *n_sinks = tr.n;
    return TS_OK;
}

/* ---- registers --------------------------------------------------------------------------------------------------- */

void ts_fabric_emit(const ts_fabric *f, ts_cdo *cdo) {
    for (int c = 0; c < f->n_cols; c++)
        for (int r = 0; r < f->chip->rows; r++) {
            ts_tile t = ts_tile_at(c, r);
            ts_tile_kind k = ts_tile_kind_of(f->chip, t);
            const ts_switch *sw = &f->sw[c][r];
            for (int s = 0; s < ts_port_count(k, TS_SLAVE); s++) {
                if (!sw->slave[s].enable) continue;
                ts_cdo_write(cdo, ts_addr(t, ts_ss_slave_off(k, s)), ts_ss_slave_encode(sw->slave[s]));
                for (int i = 0; i < TS_PACKET_SLOTS; i++)
                    if (sw->slot[s][i].enable)
                        ts_cdo_write(cdo, ts_addr(t, ts_ss_slot_off(k, s, i)),
                                     ts_ss_slot_encode(sw->slot[s][i]));
            }
            for (int m = 0; m < ts_port_count(k, TS_MASTER); m++)
                if (sw->master[m].enable)
                    ts_cdo_write(cdo, ts_addr(t, ts_ss_master_off(k, m)), ts_ss_master_encode(sw->master[m]));
            /* the fields are two bits wide, their value 1 */
            if (sw->mux) ts_cdo_mask_write(cdo, ts_addr(t, TS_SHIM_MUX), 3 * sw->mux, sw->mux);
            if (sw->demux) ts_cdo_mask_write(cdo, ts_addr(t, TS_SHIM_DEMUX), 3 * sw->demux, sw->demux);
        }
}

void ts_fabric_apply(ts_fabric *f, ts_place at, uint32_t value) {
    if (!ts_tile_in(f->chip, f->n_cols, at.tile)) return;
    ts_switch *sw = switch_at(f, at.tile);
    switch (at.what) {
    case TS_AT_SS_MASTER: sw->master[at.index] = ts_ss_master_decode(value); break;
    case TS_AT_SS_SLAVE: sw->slave[at.index] = ts_ss_slave_decode(value); break;
    case TS_AT_SS_SLOT: sw->slot[at.index][at.word] = ts_ss_slot_decode(value); break;
    case TS_AT_MUX: sw->mux = value; break;
    case TS_AT_DEMUX: sw->demux = value; break;
    default: break;
    }
}
