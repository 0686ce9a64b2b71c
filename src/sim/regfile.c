/* regfile.c - register writes and reads by address: what each of them does. */
#include "sim/array_int.h"
#include "xdna/regs.h"

static void refuse(ts_array *a, uint32_t addr, const char *what) {
    char name[64];
    sim_fault(a, "%s (0x%08x): %s", ts_reg_name(a->o.chip, addr, name, sizeof name), addr, what);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static void write_bd(ts_array *a, sim_tile *t, const ts_place *p, uint32_t value) {
    const sim_channel *user = sim_bd_user(t, p->index);
    if (user && !(a->rewritten_at == a->now && a->rewritten_tile == t && a->rewritten_bd == p->index)) {
        sim_mishap(a, "BD %u of %s is rewritten while %s may still read it", p->index, sim_tile_name(a, t->at).s,
                   sim_name(&user->c).s);
        a->rewritten_at = a->now; /* once for all its words */
        a->rewritten_tile = t;
        a->rewritten_bd = p->index;
    }
    t->bd[p->index][p->word] = value;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

static void load_program(ts_array *a, sim_tile *t, uint32_t off, const uint8_t *code, size_t len) {
    ts_err err;
    if (t->core->runs) sim_mishap(a, "the program of %s is written while it runs", sim_tile_name(a, t->at).s);
    if (ts_aie2_core_load(&t->core->core, off, code, len, &err) != TS_OK)
        sim_fault(a, "%s: %s", sim_tile_name(a, t->at).s, err.msg);
}

/* ---- the other registers ----------------------------------------------------------------------------------------- */

static void write_other(ts_array *a, sim_tile *t, const ts_place *p, uint32_t addr, uint32_t value) {
    uint32_t bytes = t->info->data_bytes, off = p->off;
    bool core = t->kind == TS_TILE_CORE, mem = t->kind == TS_TILE_MEM;
    if ((core && off == TS_CORE_MEMORY_CONTROL) || (mem && off == TS_MEM_MEMORY_CONTROL)) {
        if (value & 1) memset(t->mem, 0, bytes);
    } else if (core && off == TS_CORE_CORE_MEMORY_CONTROL) {
        static const uint8_t zeros[TS_AIE2_PM_BYTES];
        if (value & 1) load_program(a, t, 0, zeros, sizeof zeros);
    } else if ((core && off == TS_CORE_LOCKS_OVERFLOW) || (t->kind == TS_TILE_SHIM && off == TS_SHIM_LOCKS_OVERFLOW)) {
        t->lock_over &= ~(uint64_t)value; /* a 1 clears its bit */
    } else if ((core && off == TS_CORE_LOCKS_UNDERFLOW) ||
               (t->kind == TS_TILE_SHIM && off == TS_SHIM_LOCKS_UNDERFLOW)) {
        t->lock_under &= ~(uint64_t)value;
    } else if (mem && off - TS_MEM_LOCKS_OVERFLOW < 8) {
        t->lock_over &= ~((uint64_t)value << 32 * p->index);
    } else if (mem && off - TS_MEM_LOCKS_UNDERFLOW < 8) {
        t->lock_under &= ~((uint64_t)value << 32 * p->index);
    } else {
        refuse(a, addr, "the register cannot be written, or writing it is not modelled");
    }
}

static void write_place(ts_array *a, const ts_place *p, uint32_t addr, uint32_t value) {
    sim_tile *t = sim_tile_at(a, p->tile);
    if (!t) {
        refuse(a, addr, "the tile is outside the partition");
        return;
    }
    SIM_TRACE(a, a->now, "write 0x%08x to 0x%08x", value, addr);
    switch (p->what) {
    case TS_AT_DATA:
        if (p->off % 4) refuse(a, addr, "a word is not at a multiple of 4");
        else memcpy(t->mem + p->off, &value, 4);
        break;
    case TS_AT_PROGRAM: {
        uint8_t code[4];
        memcpy(code, &value, 4);
        if (p->off % 4) refuse(a, addr, "a word is not at a multiple of 4");
        else load_program(a, t, p->off, code, 4);
        break;
    }
    case TS_AT_BD: write_bd(a, t, p, value); break;
    case TS_AT_DMA_CTRL: sim_channel_ctrl(a, &t->ch[p->dir][p->index], value); break;
    case TS_AT_DMA_QUEUE: sim_channel_push(a, &t->ch[p->dir][p->index], value); break;
    case TS_AT_DMA_STATUS: refuse(a, addr, "the register can only be read"); break;
    case TS_AT_LOCK: sim_lock_set(a, t->at, p->index, value); break;
    case TS_AT_SS_MASTER:
    case TS_AT_SS_SLAVE:
    case TS_AT_SS_SLOT:
    case TS_AT_MUX:
    case TS_AT_DEMUX:
        ts_fabric_apply(&a->fabric, *p, value);
        a->fabric_changed = true;
        break;
    case TS_AT_CORE_CONTROL: sim_core_control(a, t->core, value); break;
    case TS_AT_CASCADE: t->core->cascade_ctrl = value; break;
    case TS_AT_OTHER: write_other(a, t, p, addr, value); break;
    case TS_AT_NOTHING: refuse(a, addr, "there is no such register, or it is not modelled"); break;
    }
}

void sim_write(ts_array *a, uint32_t addr, uint32_t value) {
    ts_place p = ts_locate(a->o.chip, addr);
    write_place(a, &p, addr, value);
}

void sim_mask_write(ts_array *a, uint32_t addr, uint32_t mask, uint32_t value) {
    ts_place p = ts_locate(a->o.chip, addr);
    uint32_t old = 0;
    const char *why;
    if (p.what != TS_AT_DMA_QUEUE && !sim_read(a, addr, &old, &why)) {
        refuse(a, addr, why);
        return;
    }
    write_place(a, &p, addr, (old & ~mask) | (value & mask));
}

void sim_block_write(ts_array *a, uint32_t addr, ts_span data) {
    ts_place p = ts_locate(a->o.chip, addr);
    sim_tile *t = sim_tile_at(a, p.tile);
    if (t && p.what == TS_AT_PROGRAM && !(p.off % 4)) { /* in one piece: each load drops the decoded program */
        load_program(a, t, p.off, data.data, data.len);
        return;
    }
    for (size_t i = 0; i < data.len / 4 && a->fault.code == TS_OK; i++)
        sim_write(a, addr + 4 * (uint32_t)i, ts_word(data, i));
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool read_core(const ts_array *a, const sim_core *k, const ts_place *p, uint32_t *v) {
    (void)a;
    switch (p->off) {
    case TS_CORE_CORE_PC: *v = k->core.pc; return true;
    case TS_CORE_CORE_SP: *v = ts_aie2_core_get32(&k->core, TS_R_SP); return true;
    case TS_CORE_CORE_LR: *v = ts_aie2_core_get32(&k->core, TS_R_lr); return true;
    case TS_CORE_CORE_STATUS: *v = sim_core_status(k); return true;
    case TS_CORE_TIMER_LOW: *v = (uint32_t)a->now; return true;
    case TS_CORE_TIMER_HIGH: *v = (uint32_t)(a->now >> 32); return true;
    default: return false;
    }
}

bool sim_read(const ts_array *a, uint32_t addr, uint32_t *value, const char **why) {
    ts_place p = ts_locate(a->o.chip, addr);
    const sim_tile *t = sim_tile_at(a, p.tile);
    *why = "the tile is outside the partition";
    if (!t) return false;
    *why = "there is no such register, or reading it is not modelled";
    const ts_switch *sw = &a->fabric.sw[t->at.col][t->at.row];
    switch (p.what) {
    case TS_AT_DATA:
        if (p.off % 4) return false;
        memcpy(value, t->mem + p.off, 4);
        return true;
    case TS_AT_BD: *value = t->bd[p.index][p.word]; return true;
    case TS_AT_DMA_CTRL: *value = t->ch[p.dir][p.index].ctrl; return true;
    case TS_AT_DMA_STATUS: *value = sim_channel_status(a, &t->ch[p.dir][p.index]); return true;
    case TS_AT_LOCK: *value = (uint32_t)t->lock[p.index].value; return true;
    case TS_AT_SS_MASTER: *value = ts_ss_master_encode(sw->master[p.index]); return true;
    case TS_AT_SS_SLAVE: *value = ts_ss_slave_encode(sw->slave[p.index]); return true;
    case TS_AT_SS_SLOT: *value = ts_ss_slot_encode(sw->slot[p.index][p.word]); return true;
    case TS_AT_MUX: *value = sw->mux; return true;
    case TS_AT_DEMUX: *value = sw->demux; return true;
    case TS_AT_CORE_CONTROL: *value = t->core->control; return true;
    case TS_AT_CASCADE: *value = t->core->cascade_ctrl; return true;
    case TS_AT_DMA_QUEUE: *why = "the register can only be written"; return false;
    case TS_AT_OTHER: break;
    default: return false;
    }
    if (t->core && read_core(a, t->core, &p, value)) return true;
    uint32_t over = p.off, half = t->kind == TS_TILE_MEM ? 32 * p.index : 0;
    static const uint32_t overs[TS_TILE_KINDS] = {TS_SHIM_LOCKS_OVERFLOW, TS_MEM_LOCKS_OVERFLOW,
                                                  TS_CORE_LOCKS_OVERFLOW};
    static const uint32_t unders[TS_TILE_KINDS] = {TS_SHIM_LOCKS_UNDERFLOW, TS_MEM_LOCKS_UNDERFLOW,
                                                   TS_CORE_LOCKS_UNDERFLOW};
    if (over - overs[t->kind] < 8) *value = (uint32_t)(t->lock_over >> half);
    else if (over - unders[t->kind] < 8) *value = (uint32_t)(t->lock_under >> half);
    else *value = 0; /* memory control: its bits clear themselves */
    return true;
}
