/* The third part of the checker: what passes between the rings of a configuration, words on streams and units of
 * locks, as equations; and whether they can hold (balance.h). */
#include "xdna/checked.h"

#define FAIL(which, ...) ts_rule_fail(err, rule, TS_RULE_##which, __VA_ARGS__)

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* What one round of a source brings to an S2MM channel. */
typedef struct stream {
    int src, sink; /* actors; src NO_RATE: words whose number the configuration does not fix */
    int64_t words;
    bool by_packets; /* of a shim channel: a command says how much goes with which header */
} stream;

enum { NO_RATE = -1 };

typedef struct streams {
    stream *list;
    size_t n, cap;
} streams;

/* Follow what `from` sends into the switch of its tile with that packet id (-1: a plain stream), and note where
 * it ends. */
static ts_status trace(const ts_npu_config *c, streams *st, ts_tile t, ts_port slave, int id, stream from,
                       ts_rule *rule, ts_err *err) {
    ts_sink sinks[TS_SINKS_MAX];
    int n;
    ts_err lost;
    if (ts_route_trace(&c->fabric, t, slave, id, sinks, &n, &lost) != TS_OK)
        return FAIL(ROUTE, "%s", lost.msg);
    for (int i = 0; i < n; i++) {
        int ch = ts_port_dma_channel(ts_tile_kind_of(c->chip, sinks[i].tile), TS_MASTER, sinks[i].port);
        if (ch < 0) continue;
        if (!ts_grow((void **)&st->list, &st->cap, st->n + 1, sizeof *st->list))
            return ts_fail_nomem(err, "the checker", sizeof *st->list);
        stream *s = &st->list[st->n++];
        *s = from;
        s->sink = ts_channel_actor(sinks[i].tile, TS_S2MM, ch);
        s->words += sinks[i].header ? 1 : 0;
    }
    return TS_OK;
}

/* All streams that start in one tile. */
static ts_status collect_tile(const ts_npu_config *c, streams *st, ts_tile t, ts_rule *rule, ts_err *err) {
    ts_tile_kind k = ts_tile_kind_of(c->chip, t);
    const ts_tile_regs *r = ts_tile_regs_at(c, t);
    const ts_switch *sw = &c->fabric.sw[t.col][t.row];
    for (int ch = 0; ch < c->chip->tile[k].n_channels; ch++) {
        ts_port p = ts_port_dma(k, TS_MM2S, ch);
        int number = ts_port_number(k, TS_SLAVE, p), actor = ts_channel_actor(t, TS_MM2S, ch);
        const ts_ring *ring = &r->ring[TS_MM2S][ch];
        if (k != TS_TILE_SHIM) {
            for (int i = 0; i < ring->n; i++) {
                ts_bd bd;
                ts_bd_decode(k, r->bd[ring->bd[i]].words, &bd);
                TS_TRY(trace(c, st, t, p, bd.packet ? (int)bd.packet_id : -1,
                             (stream){.src = actor, .words = bd.words}, rule, err));
            }
        } else if (sw->slave[number].enable && !sw->slave[number].packet) {
            TS_TRY(trace(c, st, t, p, -1, (stream){.src = actor, .words = 1}, rule, err));
        } else if (sw->slave[number].enable) {
            for (int i = 0; i < TS_PACKET_SLOTS; i++)
                if (sw->slot[number][i].enable)
                    TS_TRY(trace(c, st, t, p, sw->slot[number][i].id,
                                 (stream){.src = NO_RATE, .by_packets = true}, rule, err));
        }
    }
    ts_port core = ts_port_of(TS_PORT_CORE, 0); /* words that a program writes to its stream port */
    int number = ts_port_number(k, TS_SLAVE, core);
    if (number < 0 || !sw->slave[number].enable) return TS_OK;
    if (sw->slave[number].packet)
        return FAIL(ROUTE, "core(%u,%u): packets made by a program are not supported", t.col, t.row);
    return trace(c, st, t, core, -1, (stream){.src = NO_RATE}, rule, err);
}

/* One equation for each S2MM channel whose words all come at known rates. */
static ts_status balance_sink(ts_npu_config *c, const streams *st, ts_tile t, int ch, ts_rule *rule,
                              ts_err *err) {
    ts_tile_kind k = ts_tile_kind_of(c->chip, t);
    int sink = ts_channel_actor(t, TS_S2MM, ch);
    const ts_ring *ring = &ts_tile_regs_at(c, t)->ring[TS_S2MM][ch];
    int n = 0, n_open = 0, n_by_packets = 0;
    for (size_t i = 0; i < st->n; i++) {
        if (st->list[i].sink != sink) continue;
        n++;
        n_open += st->list[i].src == NO_RATE;
        n_by_packets += st->list[i].by_packets;
    }
    if (ring->exists && !n)
        return FAIL(ROUTE, "%s(%u,%u) S2MM %d runs, but no stream leads to it", ts_tile_maps[k].name, t.col,
                    t.row, ch);
    c->by_packets[sink] = n && n_by_packets == n;
    if (!n || n_open) return TS_OK;
    bool ok = ts_balance_equation(&c->balance, TS_EQ_STREAM, sink) &&
              ts_balance_term(&c->balance, sink, k == TS_TILE_SHIM ? -1 : -ring->words);
    for (size_t i = 0; i < st->n && ok; i++)
        if (st->list[i].sink == sink) ok = ts_balance_term(&c->balance, st->list[i].src, st->list[i].words);
    return ok ? TS_OK : ts_fail_nomem(err, "the checker", sizeof(ts_term));
}

static ts_status balance_streams(ts_npu_config *c, ts_rule *rule, ts_err *err) {
    streams st = {0};
    ts_status s = TS_OK;
    for (int col = 0; col < c->n_cols; col++)
        for (int row = 0; row < c->chip->rows && s == TS_OK; row++)
            s = collect_tile(c, &st, ts_tile_at(col, row), rule, err);
    for (int col = 0; col < c->n_cols; col++)
        for (int row = 0; row < c->chip->rows; row++)
            for (int ch = 0; ch < ts_tile_info_of(c->chip, ts_tile_at(col, row))->n_channels && s == TS_OK; ch++)
                s = balance_sink(c, &st, ts_tile_at(col, row), ch, rule, err);
    ts_free(st.list);
    return s;
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

/* Could a core whose use of locks is not declared touch the locks of this tile? */
static bool unknown_core_near(const ts_npu_config *c, ts_tile t) {
    static const int8_t near[4][2] = {
        {0, 0}, {0, 1}, {1, 0}, {0, -1}}; /* own; it is south, west, north of that core */
    if (ts_tile_kind_of(c->chip, t) != TS_TILE_CORE) return false;
    for (int i = 0; i < 4; i++) {
        int col = t.col + near[i][0], row = t.row + near[i][1];
        if (col < c->n_cols && row >= c->chip->core_row && row < c->chip->rows && c->tile[col][row].enabled &&
            !c->contract[col][row])
            return true;
    }
    return false;
}

typedef struct lock_use {
    int lock; /* tile index * 64 + number */
    int actor;
    int64_t net;
    bool takes;
} lock_use;

/* All of a configuration, and the promises of cores. */
typedef struct lock_uses {
    lock_use *use;
    size_t n, cap;
    int parent[TS_TILES * TS_LOCKS_MAX]; /* locks that units move between, joined */
} lock_uses;

static int root(lock_uses *u, int lock) {
    while (u->parent[lock] != lock) lock = u->parent[lock] = u->parent[u->parent[lock]];
    return lock;
}

static bool note_use(lock_uses *u, ts_tile t, uint32_t lock, int actor, int64_t net, bool takes) {
    if (!ts_grow((void **)&u->use, &u->cap, u->n + 1, sizeof *u->use)) return false;
    u->use[u->n++] = (lock_use){ts_tile_index(t) * TS_LOCKS_MAX + (int)lock, actor, net, takes};
    return true;
}

static ts_status collect_locks(const ts_npu_config *c, lock_uses *u, const ts_core_use *uses, size_t n_uses,
                               ts_err *err) {
    for (int col = 0; col < c->n_cols; col++)
        for (int row = TS_ROW_MEM; row < c->chip->rows; row++)
            for (int dir = 0; dir < 2; dir++)
                for (int ch = 0; ch < ts_tile_info_of(c->chip, ts_tile_at(col, row))->n_channels; ch++) {
                    ts_tile t = ts_tile_at(col, row), at, at2;
                    const ts_tile_regs *r = ts_tile_regs_at(c, t);
                    const ts_ring *ring = &r->ring[dir][ch];
                    for (int i = 0; i < ring->n; i++) {
                        ts_bd bd;
                        uint32_t lock = 0, lock2 = 0;
                        ts_bd_decode(ts_tile_kind_of(c->chip, t), r->bd[ring->bd[i]].words, &bd);
                        int actor = ts_channel_actor(t, (ts_dma_dir)dir, ch);
                        bool acq = bd.acq_enable && ts_check_lock_of_bd(c, t, bd.acq_lock, &at, &lock);
                        bool rel = bd.rel_value && ts_check_lock_of_bd(c, t, bd.rel_lock, &at2, &lock2);
                        if ((acq && !note_use(u, at, lock, actor, bd.acq_value, true)) ||
                            (rel && !note_use(u, at2, lock2, actor, bd.rel_value, false)))
                            return ts_fail_nomem(err, "the checker", sizeof(lock_use));
                        if (acq && rel)
                            u->parent[root(u, ts_tile_index(at) * TS_LOCKS_MAX + (int)lock)] =
                                root(u, ts_tile_index(at2) * TS_LOCKS_MAX + (int)lock2);
                    }
                }
    for (size_t i = 0; i < n_uses; i++)
        if (!note_use(u, uses[i].tile, (uint32_t)uses[i].lock, ts_core_actor(uses[i].core),
                      uses[i].release - uses[i].acquire, uses[i].acquire > 0))
            return ts_fail_nomem(err, "the checker", sizeof(lock_use));
    return TS_OK;
}

static ts_status balance_locks(ts_npu_config *c, lock_uses *u, const ts_core_use *uses, size_t n_uses,
                               ts_rule *rule, ts_err *err) {
    uint32_t sum[TS_TILES * TS_LOCKS_MAX] = {0};
    bool used[TS_TILES * TS_LOCKS_MAX] = {0};
    for (int i = 0; i < TS_TILES * TS_LOCKS_MAX; i++) u->parent[i] = i;
    TS_TRY(collect_locks(c, u, uses, n_uses, err));
    for (size_t i = 0; i < u->n; i++) used[u->use[i].lock] = true;
    for (int l = 0; l < TS_TILES * TS_LOCKS_MAX; l++) {
        if (!used[l]) continue;
        ts_tile t = ts_tile_of_index(l / TS_LOCKS_MAX);
        const ts_tile_regs *r = ts_tile_regs_at(c, t);
        int number = l % TS_LOCKS_MAX;
        if (!(r->lock_written >> number & 1))
            return FAIL(LOCK_RANGE, "lock %d of %s(%u,%u) is used but never given a first value", number,
                        ts_tile_name(c->chip, t), t.col, t.row);
        sum[root(u, l)] += r->lock[number];
        if (sum[root(u, l)] > TS_LOCK_VALUE_MAX)
            return FAIL(LOCK_RANGE, "lock %d of %s(%u,%u) could go above 63: so many units go round with it",
                        number, ts_tile_name(c->chip, t), t.col, t.row);
        int taker = -1;
        for (size_t i = 0; i < u->n; i++) {
            if (u->use[i].lock != l || !u->use[i].takes) continue;
            if (taker >= 0 && taker != u->use[i].actor)
                return FAIL(LOCK_TAKER, "lock %d of %s(%u,%u) has two takers", number,
                            ts_tile_name(c->chip, t), t.col, t.row);
            taker = u->use[i].actor;
        }
        if (unknown_core_near(c, t)) continue;
        if (!ts_balance_equation(&c->balance, TS_EQ_LOCK, l))
            return ts_fail_nomem(err, "the checker", sizeof(ts_equation));
        for (size_t i = 0; i < u->n; i++)
            if (u->use[i].lock == l && !ts_balance_term(&c->balance, u->use[i].actor, u->use[i].net))
                return ts_fail_nomem(err, "the checker", sizeof(ts_term));
    }
    return TS_OK;
}

static ts_status check_balance(ts_npu_config *c, ts_rule *rule, ts_err *err) {
    const ts_equation *bad;
    TS_TRY(ts_balance_consistent(&c->balance, &bad, err));
    if (!bad) return TS_OK;
    if (bad->kind == TS_EQ_LOCK) {
        ts_tile t = ts_tile_of_index(bad->id / TS_LOCKS_MAX);
        return FAIL(LOCK_BALANCE, "lock %d of %s(%u,%u): what is given and what is taken cannot be equal",
                    bad->id % TS_LOCKS_MAX, ts_tile_name(c->chip, t), t.col, t.row);
    }
    int ch = bad->id % TS_CHANNELS_MAX, tile = bad->id / TS_CHANNELS_MAX / 2;
    ts_tile t = ts_tile_of_index(tile);
    return FAIL(WORDS, "the streams into %s(%u,%u) S2MM %d do not bring as much as its ring takes",
                ts_tile_name(c->chip, t), t.col, t.row, ch);
}

ts_status ts_check_flow(ts_npu_config *c, const ts_core_use *uses, size_t n_uses, ts_rule *rule,
                        ts_err *err) {
    TS_TRY(balance_streams(c, rule, err));
    lock_uses *u = ts_calloc(1, sizeof *u);
    if (!u) return ts_fail_nomem(err, "the checker", sizeof *u);
    ts_status s = balance_locks(c, u, uses, n_uses, rule, err);
    ts_free(u->use);
    ts_free(u);
    return s == TS_OK ? check_balance(c, rule, err) : s;
}
