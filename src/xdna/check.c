#include "xdna/check.h"

#include "xdna/checked.h"
#include "xdna/regs.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
} rules[TS_RULE_COUNT] = {[TS_RULE_NONE] = {"none", "no rule is broken"},
#define RULE(name, text) [TS_RULE_##name] = {#name, text},
                          TS_RULES(RULE)
#undef RULE
};

const char *ts_rule_name(ts_rule r) {
    return (unsigned)r < TS_RULE_COUNT ? rules[r].name : "?";
}
const char *ts_rule_text(ts_rule r) {
    return (unsigned)r < TS_RULE_COUNT ? rules[r].text : "?";
}

ts_status ts_rule_fail(ts_err *err, ts_rule *rule, ts_rule which, const char *fmt, ...) {
    char text[sizeof err->msg - 40];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (rule) *rule = which;
    return ts_fail(err, TS_E_INVAL, "rule %s: %s", rules[which].name, text);
}

/* ---- one register write of the configuration --------------------------------------------------------------------- */

typedef struct checker {
    ts_npu_config *c;
    ts_rule *rule;
    ts_err *err;
    size_t at; /* byte offset of the command, for messages */
} checker;

#define FAIL(ck, which, ...) ts_rule_fail((ck)->err, (ck)->rule, TS_RULE_##which, __VA_ARGS__)

static ts_status fail_at(checker *ck, ts_rule which, uint32_t addr, const char *why) {
    char name[64];
    return ts_rule_fail(ck->err, ck->rule, which, "%s at offset %zu of the PDI: %s",
                        ts_reg_name(ck->c->chip, addr, name, sizeof name), ck->at, why);
}

/* Only these bits of a channel's control register are ours to set. */
static uint32_t ctrl_mask(ts_tile_kind k) {
    uint32_t controller = ts_field_mask(TS_SHIM_DMA_S2MM_CTRL_CONTROLLER_ID);
    return k == TS_TILE_SHIM ? controller : controller | ts_field_mask(TS_CORE_DMA_S2MM_CTRL_RESET);
}

/* A port register that was set keeps its value: a second, different one means that two flows fight over it. */
static ts_status set_port(checker *ck, uint32_t addr, ts_place p, uint32_t old, uint32_t value) {
    if (old && old != value) return fail_at(ck, TS_RULE_PORT, addr, "it was set to another value before");
    ts_fabric_apply(&ck->c->fabric, p, value);
    return TS_OK;
}

static ts_status write_switch(checker *ck, uint32_t addr, ts_place p, uint32_t value) {
    ts_switch *sw = &ck->c->fabric.sw[p.tile.col][p.tile.row];
    uint32_t old = p.what == TS_AT_SS_MASTER  ? ts_ss_master_encode(sw->master[p.index])
                   : p.what == TS_AT_SS_SLAVE ? ts_ss_slave_encode(sw->slave[p.index])
                                              : ts_ss_slot_encode(sw->slot[p.index][p.word]);
    TS_TRY(set_port(ck, addr, p, old, value));
    uint32_t now = p.what == TS_AT_SS_MASTER  ? ts_ss_master_encode(sw->master[p.index])
                   : p.what == TS_AT_SS_SLAVE ? ts_ss_slave_encode(sw->slave[p.index])
                                              : ts_ss_slot_encode(sw->slot[p.index][p.word]);
    if (now != value) return fail_at(ck, TS_RULE_REGISTER, addr, "bits are set that mean nothing there");
    return TS_OK;
}

static ts_status write_lock(checker *ck, uint32_t addr, ts_place p, uint32_t value) {
    ts_tile_regs *t = &ck->c->tile[p.tile.col][p.tile.row];
    if (value > TS_LOCK_VALUE_MAX) return fail_at(ck, TS_RULE_LOCK_RANGE, addr, "a lock holds 0 to 63");
    t->lock[p.index] = value;
    t->lock_written |= UINT64_C(1) << p.index;
    return TS_OK;
}

static ts_status write_queue(checker *ck, uint32_t addr, ts_place p, uint32_t value) {
    ts_tile_regs *t = &ck->c->tile[p.tile.col][p.tile.row];
    if (p.kind == TS_TILE_SHIM)
        return fail_at(ck, TS_RULE_SHIM_START, addr, "shim channels are started by commands only");
    if (ts_dma_start_encode(ts_dma_start_decode(p.kind, value)) != value)
        return fail_at(ck, TS_RULE_REGISTER, addr, "bits are set that mean nothing there");
    if (t->starts[p.dir][p.index]++ >= TS_DMA_QUEUE_DEPTH)
        return fail_at(ck, TS_RULE_QUEUE, addr, "a fifth start is dropped without notice");
    t->start_word[p.dir][p.index] = value;
    /* the descriptors that the task will go through; they must be complete at this point */
    uint32_t bd = ts_dma_start_decode(p.kind, value).bd;
    const int n_bds = ck->c->chip->tile[p.kind].n_bds;
    for (int n = 0; n <= n_bds; n++) {
        if (bd >= (uint32_t)n_bds)
            return fail_at(ck, TS_RULE_BD_VALID, addr, "it names a descriptor that the tile does not have");
        const ts_bd_regs *regs = &t->bd[bd];
        if (regs->written != (1u << ts_tile_maps[p.kind].bd_words) - 1)
            return fail_at(ck, TS_RULE_BD_VALID, addr,
                           "a descriptor of the task has not been written completely");
        if (t->bd_live & UINT64_C(1) << bd) break;
        t->bd_live |= UINT64_C(1) << bd;
        ts_bd d;
        ts_bd_decode(p.kind, regs->words, &d);
        if (!d.use_next) break;
        bd = d.next;
    }
    return TS_OK;
}

static ts_status write_word(checker *ck, uint32_t addr, uint32_t mask, uint32_t value) {
    ts_place p = ts_locate(ck->c->chip, addr);
    if (!ts_tile_in(ck->c->chip, ck->c->n_cols, p.tile))
        return fail_at(ck, TS_RULE_COLUMNS, addr, "it is outside the partition");
    ts_tile_regs *t = &ck->c->tile[p.tile.col][p.tile.row];
    bool whole = mask == UINT32_MAX;
    switch (p.what) {
    case TS_AT_DATA:
        if (!whole || addr % 4)
            return fail_at(ck, TS_RULE_REGISTER, addr, "memory is written in whole words");
        return TS_OK;
    case TS_AT_PROGRAM:
        if (!whole || addr % 4)
            return fail_at(ck, TS_RULE_REGISTER, addr, "memory is written in whole words");
        if (t->enabled)
            return fail_at(ck, TS_RULE_CORE, addr, "the program changes after its core was enabled");
        t->program = true;
        return TS_OK;
    case TS_AT_BD:
        if (!whole) return fail_at(ck, TS_RULE_REGISTER, addr, "descriptors are written in whole words");
        if (t->bd_live & UINT64_C(1) << p.index)
            return fail_at(ck, TS_RULE_BD_LIVE, addr, "a started task uses this descriptor");
        t->bd[p.index].words[p.word] = value;
        t->bd[p.index].written |= (uint8_t)(1u << p.word);
        return TS_OK;
    case TS_AT_DMA_CTRL:
        if (value & mask & ~ctrl_mask(p.kind))
            return fail_at(ck, TS_RULE_REGISTER, addr, "a mode is set that Tessera does not use");
        if (whole || (mask & ctrl_mask(p.kind)))
            t->ctrl[p.dir][p.index] = (t->ctrl[p.dir][p.index] & ~mask) | (value & mask);
        return TS_OK;
    case TS_AT_DMA_QUEUE:
        return whole ? write_queue(ck, addr, p, value)
                     : fail_at(ck, TS_RULE_REGISTER, addr, "a masked start");
    case TS_AT_LOCK:
        return whole ? write_lock(ck, addr, p, value)
                     : fail_at(ck, TS_RULE_REGISTER, addr, "a masked lock write");
    case TS_AT_SS_MASTER:
    case TS_AT_SS_SLAVE:
    case TS_AT_SS_SLOT:
        return whole ? write_switch(ck, addr, p, value)
                     : fail_at(ck, TS_RULE_REGISTER, addr, "a masked port write");
    case TS_AT_MUX:
    case TS_AT_DEMUX: {
        uint32_t *r = p.what == TS_AT_MUX ? &t->mux : &t->demux, now = (*r & ~mask) | (value & mask);
        if (*r & mask & ~now) return fail_at(ck, TS_RULE_PORT, addr, "a setting is taken back");
        uint32_t ours = p.what == TS_AT_MUX ? ts_shim_mux_bits(TS_MM2S, 0) | ts_shim_mux_bits(TS_MM2S, 1)
                                            : ts_shim_mux_bits(TS_S2MM, 0) | ts_shim_mux_bits(TS_S2MM, 1);
        if (now & ~ours)
            return fail_at(ck, TS_RULE_REGISTER, addr, "only DMA channels are joined to the array");
        *r = now;
        ts_fabric_apply(&ck->c->fabric, p, now);
        return TS_OK;
    }
    case TS_AT_CORE_CONTROL: {
        uint32_t known =
            ts_field_mask(TS_CORE_CORE_CONTROL_ENABLE) | ts_field_mask(TS_CORE_CORE_CONTROL_RESET);
        if (value & mask & ~known)
            return fail_at(ck, TS_RULE_REGISTER, addr, "bits are set that mean nothing there");
        if (mask & ts_field_mask(TS_CORE_CORE_CONTROL_ENABLE))
            t->enabled = value & ts_field_mask(TS_CORE_CORE_CONTROL_ENABLE);
        return TS_OK;
    }
    case TS_AT_CASCADE:
        if (value & mask & ~3u)
            return fail_at(ck, TS_RULE_REGISTER, addr, "bits are set that mean nothing there");
        return TS_OK;
    case TS_AT_DMA_STATUS:
    case TS_AT_OTHER:
    case TS_AT_NOTHING: break;
    }
    if (p.kind == TS_TILE_CORE && p.off - TS_PROGRAM_BASE < TS_PROGRAM_BYTES_MAX)
        return fail_at(ck, TS_RULE_PROGRAM, addr, "it is behind the end of program memory");
    return fail_at(ck, TS_RULE_REGISTER, addr, "a configuration has no business there");
}

static ts_status read_list(checker *ck) {
    ts_cdo_reader r;
    ts_cdo_op op;
    bool more = true;
    ts_err err = {0};
    ts_status s = ts_pdi_open(&r, ck->c->pdi.data, ck->c->pdi.len, &err);
    if (s != TS_OK) return FAIL(ck, FORMAT, "%s", err.msg);
    for (;;) {
        s = ts_cdo_next(&r, &op, &more, &err);
        if (s != TS_OK) return FAIL(ck, FORMAT, "%s", err.msg);
        if (!more) return TS_OK;
        ck->at = op.offset;
        switch (op.kind) {
        case TS_CDO_WRITE: TS_TRY(write_word(ck, op.addr, UINT32_MAX, op.value)); break;
        case TS_CDO_MASK_WRITE: TS_TRY(write_word(ck, op.addr, op.mask, op.value)); break;
        case TS_CDO_BLOCK:
            for (size_t i = 0; i < op.data.len / 4; i++) {
                uint64_t addr = op.addr + 4 * (uint64_t)i;
                if (addr > UINT32_MAX)
                    return FAIL(ck, COLUMNS, "a block at offset %zu runs past the address space", op.offset);
                TS_TRY(write_word(ck, (uint32_t)addr, UINT32_MAX, ts_word(op.data, i)));
            }
            break;
        case TS_CDO_MASK_POLL: return fail_at(ck, TS_RULE_POLL, op.addr, "a poll can wait for ever");
        case TS_CDO_NOP: break;
        }
    }
}

/* ---- descriptors and rings --------------------------------------------------------------------------------------- */

/* The memory that a BD of the tile may name: a memtile sees its western and eastern neighbours too. */
static bool in_memory(const ts_npu_config *c, ts_tile t, uint64_t lo, uint64_t hi) {
    const uint32_t size = ts_tile_info_of(c->chip, t)->data_bytes;
    if (ts_tile_kind_of(c->chip, t) == TS_TILE_CORE) return hi <= size;
    uint64_t first = lo / TS_MEM_OWN_BASE, last = (hi - 1) / TS_MEM_OWN_BASE;
    return first == last && last <= 2 && (hi - 1) % TS_MEM_OWN_BASE < size && t.col + first >= 1 &&
           t.col + first - 1 < (uint64_t)c->n_cols;
}

/* The tile and number of a lock that a BD names; false: there is none. */
bool ts_check_lock_of_bd(const ts_npu_config *c, ts_tile t, uint32_t number, ts_tile *where, uint32_t *lock) {
    *where = t;
    *lock = number;
    const uint32_t n_locks = ts_tile_info_of(c->chip, t)->n_locks;
    if (ts_tile_kind_of(c->chip, t) != TS_TILE_MEM) return number < n_locks;
    int col = t.col + (int)(number / TS_MEM_OWN_LOCK) - 1;
    if (number >= 3 * TS_MEM_OWN_LOCK || number % TS_MEM_OWN_LOCK >= n_locks || col < 0 || col >= c->n_cols)
        return false;
    *where = ts_tile_at(col, t.row);
    *lock = number % TS_MEM_OWN_LOCK;
    return true;
}

ts_status ts_check_bd(const ts_npu_config *c, ts_tile t, const ts_bd_regs *regs, int number, int channel,
                      ts_bd *bd, ts_rule *rule, ts_err *err) {
    ts_tile_kind k = ts_tile_kind_of(c->chip, t);
    char where[48];
    snprintf(where, sizeof where, "%s(%u,%u) BD %d", ts_tile_maps[k].name, t.col, t.row, number);
#define FAIL_BD(which, ...) return ts_rule_fail(err, rule, TS_RULE_##which, __VA_ARGS__)
    if (number < 0 || number >= c->chip->tile[k].n_bds) FAIL_BD(BD_VALID, "%s does not exist", where);
    if (regs->written != (1u << ts_tile_maps[k].bd_words) - 1)
        FAIL_BD(BD_VALID, "%s is not completely written", where);
    ts_bd_decode(k, regs->words, bd);
    if (!bd->valid) FAIL_BD(BD_VALID, "%s is used but not marked valid", where);
    if (!bd->words) FAIL_BD(BD_VALID, "%s moves nothing", where);
    if (channel >= 0 && !ts_bd_fits_channel(c->chip, k, number, channel))
        FAIL_BD(BD_HALF, "%s runs on channel %d", where, channel);
    bool padded = false;
    for (int d = 0; d < TS_BD_DIMS; d++) padded |= bd->dim[d].before || bd->dim[d].after;
    if (bd->compress || padded || bd->ooo_id || bd->tlast_suppress || bd->secure || bd->packet_type ||
        bd->iter_current || bd->smid || bd->axqos)
        FAIL_BD(
            BD_FEATURE,
            "%s uses compression, padding, out-of-order, TLAST, secure, packet type or an iteration start",
            where);
    uint64_t lo, hi;
    if (!ts_bd_extent(bd, &lo, &hi)) FAIL_BD(BD_RANGE, "%s reaches past the address space", where);
    if (k != TS_TILE_SHIM && !in_memory(c, t, lo, hi))
        FAIL_BD(BD_RANGE, "%s touches 0x%llx to 0x%llx, outside the tile's memory", where,
                (unsigned long long)lo, (unsigned long long)hi);
    if (k == TS_TILE_MEM && lo % TS_MEM_OWN_BASE < TS_MEM_LOW_BYTES)
        FAIL_BD(BD_LOW, "%s touches 0x%llx to 0x%llx, among the first %d bytes of a memtile", where,
                (unsigned long long)lo, (unsigned long long)hi, TS_MEM_LOW_BYTES);
    ts_tile lock_tile;
    uint32_t lock;
    if (bd->acq_enable && (!ts_check_lock_of_bd(c, t, bd->acq_lock, &lock_tile, &lock) ||
                           bd->acq_value >= 0 || bd->acq_value < -TS_LOCK_VALUE_MAX))
        FAIL_BD(LOCK_RANGE, "%s takes %d of lock %u", where, -bd->acq_value, bd->acq_lock);
    if (bd->rel_value && (!ts_check_lock_of_bd(c, t, bd->rel_lock, &lock_tile, &lock) || bd->rel_value < 0))
        FAIL_BD(LOCK_RANGE, "%s gives %d to lock %u", where, bd->rel_value, bd->rel_lock);
    if (bd->acq_enable && bd->rel_value && bd->rel_value != -bd->acq_value)
        FAIL_BD(LOCK_BALANCE, "%s takes %d from a lock and gives %d to another", where, -bd->acq_value,
                bd->rel_value);
    if (k == TS_TILE_SHIM && (bd->acq_enable || bd->rel_value))
        FAIL_BD(BD_FEATURE, "%s uses a shim lock", where);
#undef FAIL_BD
    return TS_OK;
}

static ts_status build_ring(checker *ck, ts_tile t, ts_dma_dir dir, int ch) {
    ts_tile_kind k = ts_tile_kind_of(ck->c->chip, t);
    const int n_bds = ck->c->chip->tile[k].n_bds;
    ts_tile_regs *r = &ck->c->tile[t.col][t.row];
    ts_ring *ring = &r->ring[dir][ch];
    ts_dma_start start = ts_dma_start_decode(k, r->start_word[dir][ch]);
    char where[48];
    snprintf(where, sizeof where, "%s(%u,%u) %s %d", ts_tile_maps[k].name, t.col, t.row,
             dir == TS_S2MM ? "S2MM" : "MM2S", ch);
    if (r->starts[dir][ch] > 1)
        return FAIL(ck, RING, "%s is started %u times: only the first would ever run", where,
                    r->starts[dir][ch]);
    if (start.token || start.repeat != 1) return FAIL(ck, RING, "%s asks for a token or a repetition", where);
    if (r->ctrl[dir][ch] & ts_field_mask(TS_CORE_DMA_S2MM_CTRL_RESET))
        return FAIL(ck, RING, "%s is left in reset", where);
    uint32_t bd = start.bd;
    do {
        ts_bd d;
        if (ring->n == n_bds)
            return FAIL(ck, RING, "%s: the ring does not come back to its first descriptor", where);
        TS_TRY(ts_check_bd(ck->c, t, &r->bd[bd], (int)bd, ch, &d, ck->rule, ck->err));
        if (d.packet && dir == TS_S2MM)
            return FAIL(ck, BD_FEATURE, "%s: a header on a receiving channel", where);
        ring->bd[ring->n++] = (uint8_t)bd;
        ring->words += d.words;
        if (!d.use_next) return FAIL(ck, RING, "%s: the task ends with descriptor %u", where, bd);
        bd = d.next;
        if (bd >= (uint32_t)n_bds)
            return FAIL(ck, BD_VALID, "%s: next descriptor %u does not exist", where, bd);
    } while (bd != start.bd);
    ring->exists = true;
    return TS_OK;
}

static ts_status check_tiles(checker *ck) {
    for (int col = 0; col < ck->c->n_cols; col++)
        for (int row = 0; row < ck->c->chip->rows; row++) {
            ts_tile t = ts_tile_at(col, row);
            ts_tile_regs *r = &ck->c->tile[col][row];
            if (r->program != r->enabled)
                return FAIL(ck, CORE, "core(%d,%d) %s", col, row,
                            r->program ? "has a program but is never enabled"
                                       : "is enabled without a program");
            for (int dir = 0; dir < 2; dir++)
                for (int ch = 0; ch < ts_tile_info_of(ck->c->chip, t)->n_channels; ch++)
                    if (r->starts[dir][ch]) TS_TRY(build_ring(ck, t, (ts_dma_dir)dir, ch));
        }
    return TS_OK;
}

/* ---- stream switches --------------------------------------------------------------------------------------------- */

typedef struct port_at {
    char text[64];
} port_at;

static port_at say(const ts_npu_config *c, ts_tile t, const char *role, ts_port p) {
    port_at s;
    char name[16];
    snprintf(s.text, sizeof s.text, "%s(%u,%u) %s %s", ts_tile_name(c->chip, t), t.col, t.row, role,
             ts_port_name(p, name, sizeof name));
    return s;
}

/* Does something send words into this slave port? */
static bool is_fed(const ts_npu_config *c, ts_tile t, ts_port p) {
    ts_tile_kind k = ts_tile_kind_of(c->chip, t);
    const ts_tile_regs *r = ts_tile_regs_at(c, t);
    ts_tile prev;
    ts_port master;
    if (ts_port_peer_back(c->chip, c->n_cols, t, p, &prev, &master)) {
        int m = ts_port_number(ts_tile_kind_of(c->chip, prev), TS_MASTER, master);
        return c->fabric.sw[prev.col][prev.row].master[m].enable;
    }
    int ch = ts_port_dma_channel(k, TS_SLAVE, p);
    if (k == TS_TILE_SHIM && ch >= 0) return (r->mux & ts_shim_mux_bits(TS_MM2S, ch)) != 0;
    if (ch >= 0) return r->ring[TS_MM2S][ch].exists;
    if (p.type == TS_PORT_CORE) return r->enabled;
    return p.type == TS_PORT_CTRL; /* tokens; FIFO and trace ports are not used */
}

/* Does something take the words of this master port? */
static bool is_drained(const ts_npu_config *c, ts_tile t, ts_port p) {
    ts_tile_kind k = ts_tile_kind_of(c->chip, t);
    const ts_tile_regs *r = ts_tile_regs_at(c, t);
    ts_tile next;
    ts_port slave;
    if (ts_port_peer(c->chip, c->n_cols, t, p, &next, &slave)) {
        int s = ts_port_number(ts_tile_kind_of(c->chip, next), TS_SLAVE, slave);
        return c->fabric.sw[next.col][next.row].slave[s].enable;
    }
    int ch = ts_port_dma_channel(k, TS_MASTER, p);
    if (k == TS_TILE_SHIM && ch >= 0) return (r->demux & ts_shim_mux_bits(TS_S2MM, ch)) != 0;
    if (ch >= 0) return r->ring[TS_S2MM][ch].exists;
    if (p.type == TS_PORT_CORE) return r->enabled;
    return k == TS_TILE_SHIM && p.type == TS_PORT_SOUTH && p.index == 0; /* tokens, to the firmware */
}

/* A circuit walked back from `p` comes to a source, not round to itself. */
static bool has_source(const ts_npu_config *c, ts_tile t, ts_port p) {
    ts_tile prev;
    ts_port master;
    for (int steps = 0; steps < TS_TILES * TS_SLAVES_MAX; steps++) {
        if (!ts_port_peer_back(c->chip, c->n_cols, t, p, &prev, &master)) return true;
        ts_tile_kind k = ts_tile_kind_of(c->chip, prev);
        const ts_ss_master *m =
            &c->fabric.sw[prev.col][prev.row].master[ts_port_number(k, TS_MASTER, master)];
        if (m->packet) return true; /* its slots are checked in their own tile */
        t = prev;
        p = ts_port_at(k, TS_SLAVE, m->slave);
        if (p.type == TS_PORT_TYPES) return true; /* no such port: that is reported where it is set */
    }
    return false;
}

static ts_status check_switch(checker *ck, ts_tile t) {
    ts_tile_kind k = ts_tile_kind_of(ck->c->chip, t);
    const ts_switch *sw = &ck->c->fabric.sw[t.col][t.row];
    bool slave_used[TS_SLAVES_MAX] = {0}, master_used[TS_MASTERS_MAX] = {0};
    for (int s = 0; s < ts_port_count(k, TS_SLAVE); s++) {
        ts_port sp = ts_port_at(k, TS_SLAVE, s);
        if (!sw->slave[s].enable) {
            for (int i = 0; i < TS_PACKET_SLOTS; i++)
                if (sw->slot[s][i].enable)
                    return FAIL(ck, ROUTE, "%s has a slot but is off", say(ck->c, t, "slave", sp).text);
            continue;
        }
        if (!is_fed(ck->c, t, sp))
            return FAIL(ck, ROUTE, "%s is on, but nothing feeds it", say(ck->c, t, "slave", sp).text);
        if (!has_source(ck->c, t, sp))
            return FAIL(ck, ROUTE, "%s is part of a circle", say(ck->c, t, "slave", sp).text);
        if (!sw->slave[s].packet) continue;
        for (int i = 0; i < TS_PACKET_SLOTS; i++) {
            const ts_ss_slot *x = &sw->slot[s][i];
            if (!x->enable) continue;
            if (x->arbiter >= TS_ARBITERS)
                return FAIL(ck, ROUTE, "%s slot %d names arbiter %u", say(ck->c, t, "slave", sp).text, i,
                            x->arbiter);
            if (x->id & ~x->mask)
                return FAIL(ck, ROUTE, "%s slot %d can match nothing", say(ck->c, t, "slave", sp).text, i);
            for (int j = 0; j < i; j++)
                if (sw->slot[s][j].enable && !((x->id ^ sw->slot[s][j].id) & x->mask & sw->slot[s][j].mask))
                    return FAIL(ck, ROUTE, "%s slots %d and %d match the same packets",
                                say(ck->c, t, "slave", sp).text, j, i);
            bool any = false;
            for (int m = 0; m < ts_port_count(k, TS_MASTER); m++) {
                const ts_ss_master *y = &sw->master[m];
                if (!y->enable || !y->packet || y->arbiter != x->arbiter || !(y->msels & 1u << x->msel))
                    continue;
                if (!ts_port_legal(k, sp, ts_port_at(k, TS_MASTER, m)))
                    return FAIL(ck, ROUTE, "%s cannot be joined to %s", say(ck->c, t, "slave", sp).text,
                                say(ck->c, t, "master", ts_port_at(k, TS_MASTER, m)).text);
                any = slave_used[s] = master_used[m] = true;
            }
            if (!any)
                return FAIL(ck, ROUTE, "%s slot %d leads to no master port", say(ck->c, t, "slave", sp).text, i);
        }
    }
    for (int m = 0; m < ts_port_count(k, TS_MASTER); m++) {
        const ts_ss_master *x = &sw->master[m];
        ts_port mp = ts_port_at(k, TS_MASTER, m);
        if (!x->enable) continue;
        if (!is_drained(ck->c, t, mp))
            return FAIL(ck, ROUTE, "%s is on, but nothing takes its words", say(ck->c, t, "master", mp).text);
        if (x->packet) {
            if (!master_used[m])
                return FAIL(ck, ROUTE, "%s listens to an arbiter that no slot feeds",
                            say(ck->c, t, "master", mp).text);
            continue;
        }
        if (x->slave >= ts_port_count(k, TS_SLAVE))
            return FAIL(ck, ROUTE, "%s names slave %u, which does not exist", say(ck->c, t, "master", mp).text,
                        x->slave);
        ts_port sp = ts_port_at(k, TS_SLAVE, x->slave);
        if (!sw->slave[x->slave].enable || sw->slave[x->slave].packet)
            return FAIL(ck, ROUTE, "%s is a circuit from %s, which is %s", say(ck->c, t, "master", mp).text,
                        say(ck->c, t, "slave", sp).text, sw->slave[x->slave].packet ? "a packet port" : "off");
        if (!ts_port_legal(k, sp, mp))
            return FAIL(ck, ROUTE, "%s cannot be joined to %s", say(ck->c, t, "slave", sp).text,
                        say(ck->c, t, "master", mp).text);
        slave_used[x->slave] = true;
    }
    for (int s = 0; s < ts_port_count(k, TS_SLAVE); s++)
        if (sw->slave[s].enable && !slave_used[s])
            return FAIL(ck, ROUTE, "%s is on, but leads nowhere",
                        say(ck->c, t, "slave", ts_port_at(k, TS_SLAVE, s)).text);
    return TS_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static ts_status check_uses(checker *ck, const ts_core_use *uses, size_t n) {
    const ts_chip *chip = ck->c->chip;
    for (size_t i = 0; i < n; i++) {
        const ts_core_use *u = &uses[i];
        int dc = u->tile.col - u->core.col, dr = u->tile.row - u->core.row;
        bool in_reach = (dc == 0 && dr >= -1 && dr <= 1) || (dc == -1 && dr == 0);
        if (!ts_tile_in(chip, ck->c->n_cols, u->core) || u->core.row < chip->core_row ||
            u->tile.row < chip->core_row || u->tile.row >= chip->rows || !in_reach || u->lock < 0 ||
            u->lock >= chip->tile[TS_TILE_CORE].n_locks || u->acquire < 0 || u->release < 0 ||
            !ck->c->tile[u->core.col][u->core.row].enabled)
            return FAIL(ck, LOCK_RANGE, "core(%u,%u) cannot use lock %d of tile (%u,%u)", u->core.col,
                        u->core.row, u->lock, u->tile.col, u->tile.row);
        ck->c->contract[u->core.col][u->core.row] = true;
    }
    return TS_OK;
}

static ts_status check_all(checker *ck, const ts_core_use *uses, size_t n_uses) {
    TS_TRY(read_list(ck));
    TS_TRY(check_tiles(ck));
    TS_TRY(check_uses(ck, uses, n_uses));
    for (int col = 0; col < ck->c->n_cols; col++)
        for (int row = 0; row < ck->c->chip->rows; row++) TS_TRY(check_switch(ck, ts_tile_at(col, row)));
    return ts_check_flow(ck->c, uses, n_uses, ck->rule, ck->err);
}

ts_status ts_npu_config_check(ts_npu_config **out, const ts_chip *chip, const void *pdi, size_t len, int n_cols,
                              const ts_core_use *uses, size_t n_uses, ts_rule *rule, ts_err *err) {
    if (rule) *rule = TS_RULE_NONE;
    if (n_cols < 1 || n_cols > chip->cols)
        return ts_rule_fail(err, rule, TS_RULE_COLUMNS, "%d columns, there are 1 to %d", n_cols, chip->cols);
    ts_npu_config *c = ts_calloc(1, sizeof *c);
    if (!c) return ts_fail_nomem(err, "a configuration", sizeof *c);
    c->chip = chip;
    c->n_cols = n_cols;
    ts_fabric_init(&c->fabric, chip, n_cols);
    checker ck = {.c = c, .rule = rule, .err = err};
    ts_status s = ts_buf_append(&c->pdi, pdi, len) ? check_all(&ck, uses, n_uses)
                                                   : ts_fail_nomem(err, "a configuration", len);
    if (s != TS_OK) {
        ts_npu_config_free(c);
        return s;
    }
    *out = c;
    return TS_OK;
}

void ts_npu_config_free(ts_npu_config *c) {
    if (!c) return;
    ts_balance_free(&c->balance);
    ts_buf_free(&c->pdi);
    ts_free(c);
}

ts_span ts_npu_config_pdi(const ts_npu_config *c) {
    return (ts_span){.data = (const uint8_t *)c->pdi.data, .len = c->pdi.len};
}
int ts_npu_config_cols(const ts_npu_config *c) {
    return c->n_cols;
}
const ts_chip *ts_npu_config_chip(const ts_npu_config *c) {
    return c->chip;
}
