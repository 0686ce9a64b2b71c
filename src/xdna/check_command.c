/* The second half of check.h: the instruction stream of a command, played through against its configuration. */
#include "xdna/checked.h"
#include "xdna/regs.h"

#include <stdio.h>

struct ts_npu_command {
    const ts_npu_config *config;
    ts_buf txn;
    int n_args;
    uint64_t arg_bytes[TS_ARGS_MAX]; /* what the stream reaches */
    ts_prefetched before, behind;
};

typedef struct shim_bd {
    ts_bd_regs regs;
    bool patched;
    uint32_t arg;
    uint64_t arg_offset;
    int live; /* tasks under way that may still read it */
} shim_bd;

typedef struct shim_task {
    uint16_t bds; /* a bit each */
    bool token, ahead;
    uint32_t after; /* waits in the stream before it */
    int64_t words;
} shim_task;

typedef struct shim_channel {
    shim_task task[TS_DMA_QUEUE_DEPTH]; /* under way, oldest first */
    int n;
    uint32_t ctrl;
    int64_t words, done; /* started; of these in tasks that waits have shown to be complete */
} shim_channel;

typedef struct player {
    ts_npu_command *cmd;
    const ts_npu_config *c;
    const uint64_t *arg_bytes;
    const ts_claim *claims;
    size_t n_claims;
    uint32_t n_waits;
    bool filling; /* an MM2S task was started since the last wait */
    bool drained; /* an S2MM task was waited for since the last MM2S start, at offset drained_at */
    size_t drained_at;
    shim_bd bd[TS_COLS_MAX][TS_SHIM_BDS];
    shim_channel channel[TS_COLS_MAX][2][2];
    int64_t arriving[TS_CHANNEL_ACTORS]; /* words that shim tasks send to an S2MM channel */
    size_t at;
    ts_rule *rule;
    ts_err *err;
} player;

#define FAIL(p, which, ...) ts_rule_fail((p)->err, (p)->rule, TS_RULE_##which, __VA_ARGS__)

static ts_status fail_at(player *p, ts_rule which, uint32_t addr, const char *why) {
    char name[64];
    return ts_rule_fail(p->err, p->rule, which, "%s at offset %zu of the stream: %s",
                        ts_reg_name(p->c->chip, addr, name, sizeof name), p->at, why);
}

static const char *dir_name(int dir) {
    return dir == TS_S2MM ? "S2MM" : "MM2S";
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

/* Bytes of its argument that the BD reaches; repeats beyond the iteration wrap start over. */
static ts_status check_reach(player *p, uint32_t addr, const shim_bd *b, ts_bd *bd, uint32_t repeat) {
    uint64_t lo, hi, end;
    if (bd->iter_wrap > repeat) bd->iter_wrap = repeat;
    bd->base = b->arg_offset;
    if (!ts_bd_extent(bd, &lo, &hi))
        return fail_at(p, TS_RULE_BD_RANGE, addr, "the transfer reaches past the address space");
    end = hi;
    if (end > p->arg_bytes[b->arg])
        return FAIL(p, ARGS,
                    "offset %zu of the stream: the transfer reaches byte %llu of argument %u, which has %llu",
                    p->at, (unsigned long long)end, b->arg, (unsigned long long)p->arg_bytes[b->arg]);
    if (end > p->cmd->arg_bytes[b->arg]) p->cmd->arg_bytes[b->arg] = end;
    return TS_OK;
}

/* A header takes its packet to other places than the next one may go: add up the words by sink. */
static ts_status send(player *p, uint32_t addr, ts_tile t, int ch, const ts_bd *bd, int64_t times) {
    ts_sink sinks[TS_SINKS_MAX];
    int n;
    ts_err err;
    ts_port slave = ts_port_dma(TS_TILE_SHIM, TS_MM2S, ch);
    if (!(ts_tile_regs_at(p->c, t)->mux & ts_shim_mux_bits(TS_MM2S, ch)))
        return fail_at(p, TS_RULE_ROUTE, addr, "the channel is not joined to the array");
    if (ts_route_trace(&p->c->fabric, t, slave, bd->packet ? (int)bd->packet_id : -1, sinks, &n, &err) !=
        TS_OK)
        return FAIL(p, ROUTE, "offset %zu of the stream: %s", p->at, err.msg);
    for (int i = 0; i < n; i++) {
        int sink = ts_port_dma_channel(ts_tile_kind_of(p->c->chip, sinks[i].tile), TS_MASTER, sinks[i].port);
        if (sink >= 0)
            p->arriving[ts_channel_actor(sinks[i].tile, TS_S2MM, sink)] +=
                times * ((int64_t)bd->words + (sinks[i].header ? 1 : 0));
    }
    return TS_OK;
}

static void complete(player *p, int col, shim_channel *ch, int n);

/* Is the task that channel has been given with that descriptor one for the next command? */
static bool is_ahead(const player *p, ts_tile t, uint32_t ch, uint32_t bd) {
    for (int i = 0; i < p->cmd->behind.n; i++) {
        const ts_prefetched_task *c = &p->cmd->behind.task[i];
        if (c->col == t.col && c->channel == ch && c->bd == bd) return true;
    }
    return false;
}

/* Count the words of a prefetched transfer in or out; *room: of the ring that they go to. */
static ts_status carry(player *p, const ts_prefetched_task *c, int64_t times, int64_t *room) {
    ts_tile t = ts_tile_at(c->col, TS_ROW_SHIM);
    if (c->col >= p->c->n_cols || c->channel > 1 || c->bd > 15 || !c->words)
        return FAIL(p, AHEAD, "column %u MM2S %u, descriptor %u, %u words: there is no such transfer", c->col,
                    c->channel, c->bd, c->words);
    uint32_t addr = ts_addr(t, ts_dma_queue(TS_TILE_SHIM, TS_MM2S, c->channel));
    const ts_bd bd = {.words = c->words, .packet = c->packet, .packet_id = c->packet_id};
    ts_sink sinks[TS_SINKS_MAX];
    int n, sink;
    ts_err err;
    p->channel[c->col][TS_MM2S][c->channel].words += times * (int64_t)c->words;
    TS_TRY(send(p, addr, t, c->channel, &bd, times));
    if (ts_route_trace(&p->c->fabric, t, ts_port_dma(TS_TILE_SHIM, TS_MM2S, c->channel),
                       c->packet ? (int)c->packet_id : -1, sinks, &n, &err) != TS_OK)
        return FAIL(p, ROUTE, "%s", err.msg);
    *room = 0;
    if (n != 1) return TS_OK; /* only a single ring is simple enough to be sure */
    sink = ts_port_dma_channel(ts_tile_kind_of(p->c->chip, sinks[0].tile), TS_MASTER, sinks[0].port);
    if (sink < 0 || sinks[0].tile.row == TS_ROW_SHIM) return TS_OK;
    const ts_ring *ring = &ts_tile_regs_at(p->c, sinks[0].tile)->ring[TS_S2MM][sink];
    if (ring->exists) *room = ring->words;
    return TS_OK;
}

static ts_status begin(player *p) {
    const ts_prefetched *in = &p->cmd->before;
    for (int i = 0; i < in->n; i++) {
        const ts_prefetched_task *c = &in->task[i];
        int64_t room;
        TS_TRY(carry(p, c, 1, &room));
        shim_channel *ch = &p->channel[c->col][TS_MM2S][c->channel];
        if (ch->n) return FAIL(p, AHEAD, "column %u MM2S %u begins with two transfers", c->col, c->channel);
        ch->task[ch->n++] = (shim_task){.bds = (uint16_t)(1u << c->bd)};
        p->bd[c->col][c->bd].live++;
    }
    return TS_OK;
}

/* What is left behind at the end is what was said, plain, and fits. */
static ts_status leave_behind(player *p) {
    const ts_prefetched *out = &p->cmd->behind;
    for (int i = 0; i < out->n; i++) {
        const ts_prefetched_task *c = &out->task[i];
        int64_t room;
        TS_TRY(carry(p, c, -1, &room));
        shim_channel *ch = &p->channel[c->col][TS_MM2S][c->channel];
        ts_bd bd;
        ts_bd_decode(TS_TILE_SHIM, p->bd[c->col][c->bd].regs.words, &bd);
        if (ch->n != 1 || ch->task[0].bds != 1u << c->bd || !ch->task[0].ahead || bd.words != c->words ||
            bd.packet != c->packet || (bd.packet && bd.packet_id != c->packet_id))
            return FAIL(p, AHEAD,
                        "column %u MM2S %u: what is under way at the end is not what the next command is told", c->col,
                        c->channel);
        if ((int64_t)c->words > room)
            return FAIL(p, AHEAD, "column %u MM2S %u: %u words go ahead of the next command, there is room for %lld",
                        c->col, c->channel, c->words, (long long)room);
        complete(p, c->col, ch, 1);
    }
    return TS_OK;
}

/* The token's way: shim Ctrl to South 0, with its header, by the number in the channel's control register. */
static bool token_arrives(const player *p, ts_tile t, uint32_t controller) {
    ts_sink sinks[TS_SINKS_MAX];
    int n;
    if (controller != TS_CONTROLLER_SHIM) return false;
    if (ts_route_trace(&p->c->fabric, t, ts_port_of(TS_PORT_CTRL, 0), (int)controller, sinks, &n, NULL) !=
        TS_OK)
        return false;
    return n == 1 && ts_tile_eq(sinks[0].tile, t) &&
           ts_port_eq(sinks[0].port, ts_port_of(TS_PORT_SOUTH, 0)) && sinks[0].header;
}

/* ---- words in time ----------------------------------------------------------------------------------------------- */

/* So many words of a ring, filled up to the end of the descriptor that they reach into. */
static int64_t whole_buffers(const ts_npu_config *c, ts_tile t, const ts_ring *ring, int64_t words) {
    int64_t rest = words % ring->words;
    for (int i = 0; i < ring->n && rest > 0; i++) {
        ts_bd bd;
        ts_bd_decode(ts_tile_kind_of(c->chip, t), ts_tile_regs_at(c, t)->bd[ring->bd[i]].words, &bd);
        rest -= bd.words;
    }
    return words - rest; /* rest is now what is missing, below 0 */
}

/* Does all that the S2MM channel gets come from shim channels? */
static bool fed_by_shim(const ts_npu_config *c, int actor) {
    if (c->by_packets[actor]) return true;
    for (size_t i = 0; i < c->balance.n; i++) {
        const ts_equation *e = &c->balance.eq[i];
        if (e->kind != TS_EQ_STREAM || e->id != actor) continue;
        for (size_t k = 0; k < e->n; k++)
            if (e->terms[k].actor != actor && e->terms[k].actor / TS_CHANNELS_MAX / 2 % TS_ROWS_MAX != TS_ROW_SHIM)
                return false;
        return true;
    }
    return false;
}

/* What has been waited for needs words that were sent before the wait, for the firmware gets to nothing behind it: the
 * words that came back fix the rounds of the rings that depend on them, and those how much must have gone in. */
static ts_status check_fed(player *p) {
    for (int i = 0; i < 2 * p->c->n_cols; i++) {
        const shim_channel *ch = &p->channel[i / 2][TS_S2MM][i % 2];
        ts_frac rounds[TS_ACTORS] = {0};
        const ts_equation *bad;
        if (!ch->done) continue;
        rounds[ts_channel_actor(ts_tile_at(i / 2, TS_ROW_SHIM), TS_S2MM, i % 2)] = (ts_frac){ch->done, 1};
        TS_TRY(ts_balance_solve(&p->c->balance, rounds, &bad, p->err));
        for (int a = 0; a < ts_n_channel_actors(p->c); a++) {
            int tile = a / TS_CHANNELS_MAX / 2, sink = a % TS_CHANNELS_MAX;
            ts_tile t = ts_tile_of_index(tile);
            const ts_ring *ring = &p->c->tile[t.col][t.row].ring[TS_S2MM][sink];
            bool shim = t.row == TS_ROW_SHIM;
            int64_t need, per_round = shim ? 1 : ring->words;
            if (a / TS_CHANNELS_MAX % 2 != TS_S2MM || (!shim && !ring->exists) || !ts_frac_known(rounds[a]) ||
                !fed_by_shim(p->c, a) || __builtin_mul_overflow(rounds[a].num, per_round, &need))
                continue;
            need = need / rounds[a].den + (need % rounds[a].den != 0);
            if (!shim) need = whole_buffers(p->c, t, ring, need);
            if (p->arriving[a] < need)
                return FAIL(p, WORDS,
                            "the wait at offset %zu of the stream is for column %d S2MM %d, which needs %lld words in "
                            "%s(%u,%u) S2MM %d; only %lld are sent before it",
                            p->drained_at, i / 2, i % 2, (long long)need, ts_tile_name(p->c->chip, t), t.col, t.row,
                            sink, (long long)p->arriving[a]);
        }
    }
    return TS_OK;
}

static ts_status start(player *p, uint32_t addr, ts_place at, uint32_t value) {
    ts_tile t = at.tile;
    shim_channel *ch = &p->channel[t.col][at.dir][at.index];
    ts_dma_start s = ts_dma_start_decode(TS_TILE_SHIM, value);
    if (ts_dma_start_encode(s) != value)
        return fail_at(p, TS_RULE_REGISTER, addr, "bits are set that mean nothing there");
    if (ch->n == TS_DMA_QUEUE_DEPTH)
        return fail_at(p, TS_RULE_QUEUE, addr, "a fifth task is dropped without notice: wait first");
    if (at.dir == TS_S2MM && p->filling)
        return fail_at(
            p, TS_RULE_ORDER, addr,
            "it empties the array, but one that fills it was started before, with no wait between");
    if (at.dir == TS_MM2S) {
        if (p->drained) TS_TRY(check_fed(p));
        p->drained = false;
        p->filling = true;
    }
    if (s.token && !token_arrives(p, t, ts_dma_ctrl_controller(ch->ctrl)))
        return fail_at(p, TS_RULE_TOKEN_ROUTE, addr, "its token would not reach the firmware");
    shim_task task = {.token = s.token, .after = p->n_waits};
    for (uint32_t number = s.bd;;) {
        shim_bd *b = &p->bd[t.col][number];
        ts_bd bd;
        if (task.bds & 1u << number)
            return fail_at(p, TS_RULE_BD_VALID, addr, "its chain of descriptors never ends");
        TS_TRY(ts_check_bd(p->c, t, &b->regs, (int)number, -1, &bd, p->rule, p->err));
        if (!b->patched)
            return fail_at(p, TS_RULE_PATCH, addr, "the address of its descriptor was not patched in");
        if (at.dir == TS_S2MM && bd.packet)
            return fail_at(p, TS_RULE_BD_FEATURE, addr, "a header on a receiving channel");
        if (at.dir == TS_MM2S && is_ahead(p, t, at.index, number)) {
            if (s.token || s.repeat != 1 || bd.use_next || task.bds)
                return fail_at(p, TS_RULE_AHEAD, addr,
                               "a transfer for the next command is one descriptor, once, without a token");
            task.ahead = true;
        }
        task.bds |= (uint16_t)(1u << number);
        b->live++;
        ch->words += (int64_t)bd.words * s.repeat;
        task.words += (int64_t)bd.words * s.repeat;
        if (at.dir == TS_MM2S) TS_TRY(send(p, addr, t, (int)at.index, &bd, s.repeat));
        uint32_t use_next = bd.use_next, next = bd.next;
        TS_TRY(check_reach(p, addr, b, &bd, s.repeat));
        if (!use_next) break;
        number = next;
    }
    ch->task[ch->n++] = task;
    return TS_OK;
}

static void complete(player *p, int col, shim_channel *ch, int n) {
    for (int i = 0; i < n; i++) ch->done += ch->task[i].words;
    for (int i = 0; i < n; i++)
        for (int b = 0; b < 16; b++)
            if (ch->task[i].bds & 1u << b) p->bd[col][b].live--;
    for (int i = n; i < ch->n; i++) ch->task[i - n] = ch->task[i];
    ch->n -= n;
}

static ts_status wait_token(player *p, const ts_txn_op *op) {
    if (op->n_cols != 1 || op->n_rows != 1 || op->tile.row != TS_ROW_SHIM || op->channel > 1)
        return FAIL(p, TOKEN, "offset %zu of the stream: waits are for one shim channel", p->at);
    if (op->tile.col >= p->c->n_cols)
        return FAIL(p, COLUMNS, "offset %zu of the stream: a wait outside the partition", p->at);
    shim_channel *ch = &p->channel[op->tile.col][op->dir][op->channel];
    int i = 0;
    while (i < ch->n && !ch->task[i].token) i++;
    if (i == ch->n)
        return FAIL(p, TOKEN, "offset %zu of the stream: nothing under way on column %u %s %u sends a token",
                    p->at, op->tile.col, dir_name(op->dir), op->channel);
    complete(p, op->tile.col, ch, i + 1);
    for (size_t j = 0; j < p->n_claims; j++) {
        const ts_claim *cl = &p->claims[j];
        if (cl->wait != p->n_waits) continue;
        if (cl->col >= p->c->n_cols || cl->dir > 1 || cl->channel > 1)
            return FAIL(p, COLUMNS, "claim %zu is about no shim channel", j);
        shim_channel *cc = &p->channel[cl->col][cl->dir][cl->channel];
        int n = 0;
        while (n < cc->n && !cc->task[n].token && !cc->task[n].ahead) n++;
        complete(p, cl->col, cc, n);
    }
    p->n_waits++;
    p->filling = false;
    if (op->dir == TS_S2MM) p->drained = true, p->drained_at = p->at;
    return TS_OK;
}

/* ---- register writes --------------------------------------------------------------------------------------------- */

static ts_status write_word(player *p, uint32_t addr, uint32_t mask, uint32_t value) {
    ts_place at = ts_locate(p->c->chip, addr);
    bool whole = mask == UINT32_MAX;
    if (!ts_tile_in(p->c->chip, p->c->n_cols, at.tile))
        return fail_at(p, TS_RULE_COLUMNS, addr, "it is outside the partition");
    if (at.what == TS_AT_DATA) {
        if (!whole || addr % 4) return fail_at(p, TS_RULE_REGISTER, addr, "memory is written in whole words");
        return TS_OK;
    }
    if (at.kind != TS_TILE_SHIM) {
        if (at.what == TS_AT_DMA_QUEUE)
            return fail_at(p, TS_RULE_SHIM_START, addr, "a command starts shim channels only");
        return fail_at(p, TS_RULE_REGISTER, addr, "a command has no business there");
    }
    if (at.what == TS_AT_BD && whole) {
        shim_bd *b = &p->bd[at.tile.col][at.index];
        if (b->live) return fail_at(p, TS_RULE_BD_LIVE, addr, "a task under way uses this descriptor");
        b->regs.words[at.word] = value;
        b->regs.written |= (uint8_t)(1u << at.word);
        if (at.word == 1 || at.word == 2) {
            if (at.word == 1 && value)
                return fail_at(p, TS_RULE_PATCH, addr, "the address must be 0 before it is patched");
            b->patched = false;
        }
        return TS_OK;
    }
    if (at.what == TS_AT_DMA_CTRL) {
        uint32_t ours = ts_field_mask(TS_SHIM_DMA_S2MM_CTRL_CONTROLLER_ID);
        if (mask & ~ours)
            return fail_at(p, TS_RULE_REGISTER, addr, "only the controller number is set by a command");
        uint32_t *ctrl = &p->channel[at.tile.col][at.dir][at.index].ctrl;
        *ctrl = (*ctrl & ~mask) | (value & mask);
        return TS_OK;
    }
    if (at.what == TS_AT_DMA_QUEUE && whole) return start(p, addr, at, value);
    return fail_at(p, TS_RULE_REGISTER, addr, "a command has no business there");
}

static ts_status patch(player *p, const ts_txn_op *op) {
    ts_place at = ts_locate(p->c->chip, op->addr);
    if (!ts_tile_in(p->c->chip, p->c->n_cols, at.tile))
        return fail_at(p, TS_RULE_COLUMNS, op->addr, "it is outside the partition");
    if (at.kind != TS_TILE_SHIM || at.what != TS_AT_BD || at.word != 1)
        return fail_at(p, TS_RULE_PATCH, op->addr, "only word 1 of a shim descriptor takes an address");
    if (op->arg >= (uint32_t)p->cmd->n_args)
        return fail_at(p, TS_RULE_ARGS, op->addr, "the command has no such argument");
    if (op->arg_offset > UINT32_MAX || op->arg_offset % 4)
        return fail_at(p, TS_RULE_ARGS, op->addr,
                       "offsets are whole words below 4 GiB: pass the argument further on instead");
    shim_bd *b = &p->bd[at.tile.col][at.index];
    if (b->live) return fail_at(p, TS_RULE_BD_LIVE, op->addr, "a task under way uses this descriptor");
    if (!(b->regs.written & 2))
        return fail_at(p, TS_RULE_PATCH, op->addr, "the descriptor is written after its patch");
    b->patched = true;
    b->arg = op->arg;
    b->arg_offset = op->arg_offset;
    return TS_OK;
}

static ts_status play(player *p) {
    ts_txn_reader r;
    ts_txn_op op;
    bool more = true;
    ts_err err = {0};
    ts_status s = ts_txn_open(&r, p->c->chip, p->cmd->txn.data, p->cmd->txn.len, &err);
    if (s != TS_OK) return FAIL(p, FORMAT, "%s", err.msg);
    if (r.n_cols != p->c->n_cols)
        return FAIL(p, COLUMNS, "the stream is for %u columns, the configuration has %d", r.n_cols,
                    p->c->n_cols);
    for (;;) {
        s = ts_txn_next(&r, &op, &more, &err);
        if (s != TS_OK) return FAIL(p, FORMAT, "%s", err.msg);
        if (!more) return TS_OK;
        p->at = op.offset;
        switch (op.kind) {
        case TS_TXN_WRITE: TS_TRY(write_word(p, op.addr, UINT32_MAX, op.value)); break;
        case TS_TXN_MASK_WRITE: TS_TRY(write_word(p, op.addr, op.mask, op.value)); break;
        case TS_TXN_BLOCK:
            for (size_t i = 0; i < op.data.len / 4; i++) {
                uint64_t addr = op.addr + 4 * (uint64_t)i;
                if (addr > UINT32_MAX)
                    return FAIL(p, COLUMNS, "a block at offset %zu runs past the address space", op.offset);
                TS_TRY(write_word(p, (uint32_t)addr, UINT32_MAX, ts_word(op.data, i)));
            }
            break;
        case TS_TXN_MASK_POLL: return fail_at(p, TS_RULE_POLL, op.addr, "a poll can wait for ever");
        case TS_TXN_WAIT: TS_TRY(wait_token(p, &op)); break;
        case TS_TXN_PATCH: TS_TRY(patch(p, &op)); break;
        case TS_TXN_NOP: break;
        }
    }
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static ts_status check_end(player *p) {
    for (int col = 0; col < p->c->n_cols; col++)
        for (int dir = 0; dir < 2; dir++)
            for (int ch = 0; ch < 2; ch++) {
                const shim_channel *x = &p->channel[col][dir][ch];
                if (!x->n) continue;
                bool token = false;
                for (int i = 0; i < x->n; i++) token |= x->task[i].token;
                if (token)
                    return FAIL(p, TOKEN, "column %d %s %d: a token is never waited for", col, dir_name(dir),
                                ch);
                return FAIL(p, UNFINISHED, "column %d %s %d: nothing tells that its last tasks are complete",
                            col, dir_name(dir), ch);
            }
    return TS_OK;
}

static ts_status check_rings(player *p, const ts_frac *rounds) {
    for (int a = 0; a < ts_n_channel_actors(p->c); a++) {
        int tile = a / TS_CHANNELS_MAX / 2, dir = a / TS_CHANNELS_MAX % 2, ch = a % TS_CHANNELS_MAX;
        ts_tile t = ts_tile_of_index(tile);
        const ts_ring *ring = &p->c->tile[t.col][t.row].ring[dir][ch];
        if (!ring->exists || !ts_frac_known(rounds[a])) continue;
        int64_t words;
        if (__builtin_mul_overflow(rounds[a].num, ring->words, &words) || words % rounds[a].den ||
            whole_buffers(p->c, t, ring, words / rounds[a].den) != words / rounds[a].den)
            return FAIL(p, WORDS,
                        "%s(%u,%u) %s %d is left in the middle of a buffer: %lld words in rounds of %lld",
                        ts_tile_name(p->c->chip, t), t.col, t.row, dir_name(dir), ch,
                        (long long)(words / rounds[a].den), (long long)ring->words);
    }
    return TS_OK;
}

static ts_status check_words(player *p) {
    /* the configuration's equations, with what the shim channels move put in; streams that only this command
     * decides are added here */
    ts_frac rounds[TS_ACTORS] = {0};
    for (int col = 0; col < p->c->n_cols; col++)
        for (int ch = 0; ch < 2; ch++) {
            ts_tile t = ts_tile_at(col, TS_ROW_SHIM);
            for (int dir = 0; dir < 2; dir++)
                rounds[ts_channel_actor(t, (ts_dma_dir)dir, ch)] =
                    (ts_frac){p->channel[col][dir][ch].words, 1};
            if (p->channel[col][TS_S2MM][ch].words &&
                !(ts_tile_regs_at(p->c, t)->demux & ts_shim_mux_bits(TS_S2MM, ch)))
                return FAIL(p, ROUTE, "column %d S2MM %d: the channel is not joined to the array", col, ch);
        }
    for (int a = 0; a < ts_n_channel_actors(p->c); a++) {
        int tile = a / TS_CHANNELS_MAX / 2;
        ts_tile t = ts_tile_of_index(tile);
        const ts_ring *ring = &p->c->tile[t.col][t.row].ring[TS_S2MM][a % TS_CHANNELS_MAX];
        if (!p->c->by_packets[a] || (t.row != TS_ROW_SHIM && !ring->exists)) continue;
        /* packets from the shim alone: the sink's rounds are known */
        if (t.row == TS_ROW_SHIM) {
            if (p->arriving[a] != rounds[a].num)
                return FAIL(p, WORDS, "column %u S2MM %d takes %lld words, %lld are sent", t.col,
                            a % TS_CHANNELS_MAX, (long long)rounds[a].num, (long long)p->arriving[a]);
        } else {
            rounds[a] = ts_frac_of(p->arriving[a], ring->words);
        }
    }
    const ts_equation *bad;
    TS_TRY(ts_balance_solve(&p->c->balance, rounds, &bad, p->err));
    if (bad && bad->kind == TS_EQ_STREAM) {
        int tile = bad->id / TS_CHANNELS_MAX / 2;
        ts_tile t = ts_tile_of_index(tile);
        return FAIL(p, WORDS, "%s(%u,%u) S2MM %d: the words sent to it are not the words it takes",
                    ts_tile_name(p->c->chip, t), t.col, t.row, bad->id % TS_CHANNELS_MAX);
    }
    if (bad) {
        ts_tile t = ts_tile_of_index(bad->id / TS_LOCKS_MAX);
        return FAIL(p, WORDS, "lock %d of %s(%u,%u): the transfers do not give it as much as they take",
                    bad->id % TS_LOCKS_MAX, ts_tile_name(p->c->chip, t), t.col, t.row);
    }
    return check_rings(p, rounds);
}

static ts_status check_all(player *p) {
    TS_TRY(begin(p));
    TS_TRY(play(p));
    for (size_t i = 0; i < p->n_claims; i++)
        if (p->claims[i].wait >= p->n_waits)
            return FAIL(p, UNFINISHED, "claim %zu rests on wait %u, which does not exist", i,
                        p->claims[i].wait);
    TS_TRY(leave_behind(p));
    TS_TRY(check_end(p));
    return check_words(p);
}

ts_status ts_npu_command_check(ts_npu_command **out, const ts_npu_config *config, const void *txn, size_t len,
                               const uint64_t *arg_bytes, int n_args, const ts_claim *claims, size_t n_claims,
                               ts_rule *rule, ts_err *err) {
    return ts_npu_command_check_prefetched(out, config, txn, len, arg_bytes, n_args, claims, n_claims, NULL, NULL, rule,
                                           err);
}

ts_status ts_npu_command_check_prefetched(ts_npu_command **out, const ts_npu_config *config, const void *txn,
                                          size_t len, const uint64_t *arg_bytes, int n_args, const ts_claim *claims,
                                          size_t n_claims, const ts_prefetched *before, const ts_prefetched *behind,
                                          ts_rule *rule, ts_err *err) {
    if (rule) *rule = TS_RULE_NONE;
    if (n_args < 0 || n_args > TS_ARGS_MAX)
        return ts_rule_fail(err, rule, TS_RULE_ARGS, "%d buffer arguments: more than %d have hung devices",
                            n_args, TS_ARGS_MAX);
    ts_npu_command *cmd = ts_calloc(1, sizeof *cmd);
    player *p = ts_calloc(1, sizeof *p);
    ts_status s = TS_E_NOMEM;
    if (!cmd || !p || !ts_buf_append(&cmd->txn, txn, len)) {
        ts_fail_nomem(err, "a command", len);
        goto out;
    }
    cmd->config = config;
    cmd->n_args = n_args;
    if (before) cmd->before = *before;
    if (behind) cmd->behind = *behind;
    *p = (player){.cmd = cmd,
                  .c = config,
                  .arg_bytes = arg_bytes,
                  .claims = claims,
                  .n_claims = n_claims,
                  .rule = rule,
                  .err = err};
    s = check_all(p);
    if (s != TS_OK) goto out;
    *out = cmd;
    cmd = NULL;
out:
    ts_npu_command_free(cmd);
    ts_free(p);
    return s;
}

void ts_npu_command_free(ts_npu_command *c) {
    if (!c) return;
    ts_buf_free(&c->txn);
    ts_free(c);
}

ts_span ts_npu_command_txn(const ts_npu_command *c) {
    return (ts_span){.data = (const uint8_t *)c->txn.data, .len = c->txn.len};
}
int ts_npu_command_args(const ts_npu_command *c) {
    return c->n_args;
}
uint64_t ts_npu_command_arg_bytes(const ts_npu_command *c, int i) {
    return c->arg_bytes[i];
}
const ts_prefetched *ts_npu_command_before(const ts_npu_command *c) {
    return &c->before;
}
const ts_prefetched *ts_npu_command_behind(const ts_npu_command *c) {
    return &c->behind;
}
const ts_npu_config *ts_npu_command_config(const ts_npu_command *c) {
    return c->config;
}

ts_status ts_npu_command_from(ts_npu_command **out, const ts_npu_config *config, ts_dispatch *d,
                              const uint64_t *arg_bytes, int n_args, ts_rule *rule, ts_err *err) {
    ts_buf txn = {0};
    ts_status s = ts_dispatch_finish(d, &txn, err);
    if (s == TS_OK)
        s = ts_npu_command_check_prefetched(out, config, txn.data, txn.len, arg_bytes, n_args, d->claims, d->n_claims,
                                            &d->in, &d->out, rule, err);
    ts_buf_free(&txn);
    return s;
}
