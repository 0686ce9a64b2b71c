/* firmware.c - what the NPU's firmware does: it loads configurations and carries out instruction streams. */
#include "sim/array_int.h"
#include "xdna/pdi.h"
#include "xdna/regs.h"

/* ---- completion tokens ------------------------------------------------------------------------------------------- */

/* The shim's actor numbers are the vendor's (ts_token_word); those of the other rows are read from the same table by
 * others and not confirmed [guess]. */
static uint32_t token_word(ts_tile_kind kind, ts_tile t, ts_dma_dir dir, int channel, uint32_t controller) {
    static const uint8_t mem[2][TS_CHANNELS_MAX] = {{1, 2, 3, 4, 5, 7}, {16, 17, 18, 19, 20, 22}};
    static const uint8_t core[2][2] = {{0, 1}, {6, 7}};
    if (kind == TS_TILE_SHIM) return ts_token_word(t, dir, channel, controller);
    uint32_t actor = kind == TS_TILE_MEM ? mem[dir][channel] : core[dir][channel];
    uint32_t w =
        (controller & 31) | actor << 8 | TS_PACKET_TYPE_TOKEN << 12 | (uint32_t)t.row << 16 | (uint32_t)t.col << 21;
    return w | (__builtin_parity(w) ? 0 : 1u << 31);
}

void sim_token(ts_array *a, sim_tile *t, sim_channel *ch) {
    uint32_t controller = ts_dma_ctrl_controller(ch->ctrl);
    uint32_t word = token_word(t->kind, t->at, ch->dir, ch->index, controller);
    if (t->token.dead[0]) {
        a->fw.lost[t->at.col][t->at.row]++;
        sim_mishap(a, "the token of %s is lost: %s", sim_name(&ch->c).s, t->token.dead);
        return;
    }
    SIM_TRACE(a, a->now, "%s sends a token, 0x%08x", sim_name(&ch->c).s, word);
    sim_push(a, &t->token, ch->c.t, word, true);
}

static void take_token(ts_array *a, uint32_t word) {
    enum { ALL_BUT_PARITY_AND_CONTROLLER = 0x7fffffe0 };
    ts_packet p = ts_packet_decode(word);
    sim_tile *t = sim_tile_at(a, ts_tile_at(p.col, p.row));
    for (int dir = 0; t && dir < 2; dir++)
        for (int i = 0; i < t->info->n_channels; i++)
            if (!((token_word(t->kind, t->at, (ts_dma_dir)dir, i, 0) ^ word) & ALL_BUT_PARITY_AND_CONTROLLER)) {
                a->fw.tokens[p.col][p.row][dir][i]++;
                return;
            }
    sim_mishap(a, "the firmware gets 0x%08x, which is no completion token", word);
}

/* Take what has arrived; the firmware is woken by what arrives later. */
static void drain(ts_array *a) {
    for (int c = 0; c < a->o.n_cols; c++) {
        sim_fifo *f = &sim_tile_at(a, ts_tile_at(c, TS_ROW_SHIM))->inbox;
        while (f->n && f->when[f->out] <= a->now) {
            uint32_t word;
            bool last;
            sim_pop(a, f, a->now, &word, &last);
            take_token(a, word);
        }
    }
}

/* The tokens of the wait under way; it takes one from each of its tiles. true: it has them all. */
static bool have_tokens(ts_array *a) {
    sim_firmware *fw = &a->fw;
    const ts_txn_op *op = &fw->op;
    int n = op->n_cols * op->n_rows;
    for (; fw->n_tokens < n; fw->n_tokens++) {
        int col = op->tile.col + fw->n_tokens / op->n_rows, row = op->tile.row + fw->n_tokens % op->n_rows;
        uint32_t *have = &fw->tokens[col][row][op->dir][op->channel];
        if (!*have) return false;
        --*have;
    }
    return true;
}

static void expect_tokens(ts_array *a) {
    for (int c = 0; c < a->o.n_cols; c++) {
        sim_fifo *f = &sim_tile_at(a, ts_tile_at(c, TS_ROW_SHIM))->inbox;
        if (f->n) sim_wake(a, &a->fw.c, f->when[f->out]);
        else f->reader_waits = true;
    }
    sim_sleep(&a->fw.c, TS_WAIT_TOKEN);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static void patch(ts_array *a, const ts_txn_op *op) {
    ts_place p = ts_locate(a->o.chip, op->addr);
    char name[64];
    if (p.what != TS_AT_BD || p.kind != TS_TILE_SHIM || p.word != 1) {
        sim_fault(a, "a patch of %s, which is not word 1 of a shim BD",
                  ts_reg_name(a->o.chip, op->addr, name, sizeof name));
    } else if (op->arg >= (uint32_t)a->fw.n_args) {
        sim_fault(a, "a patch with argument %u, the command has %d", op->arg, a->fw.n_args);
    } else {
        uint64_t addr = a->fw.args[op->arg] + op->arg_offset + TS_ARRAY_BIAS;
        sim_write(a, op->addr, (uint32_t)addr);
        sim_mask_write(a, op->addr + 4, 0xffff, (uint32_t)(addr >> 32));
    }
}

static bool poll_ok(ts_array *a) {
    uint32_t v = 0;
    const char *why;
    char name[64];
    const ts_txn_op *op = &a->fw.op;
    if (!sim_read(a, op->addr, &v, &why))
        sim_fault(a, "a poll of %s: %s", ts_reg_name(a->o.chip, op->addr, name, sizeof name), why);
    return (v & op->mask) == (op->value & op->mask);
}

static bool wait_ok(ts_array *a, const ts_txn_op *op) {
    bool ok = op->n_cols && op->n_rows && op->tile.col + op->n_cols <= a->o.n_cols &&
              op->tile.row + op->n_rows <= a->o.chip->rows;
    for (int r = 0; ok && r < op->n_rows; r++)
        ok = op->channel < ts_tile_info_of(a->o.chip, ts_tile_at(op->tile.col, op->tile.row + r))->n_channels;
    if (!ok)
        sim_fault(a, "a wait for tokens of channel %u of %u by %u tiles from (%u,%u) on, which are not there",
                  op->channel, op->n_cols, op->n_rows, op->tile.col, op->tile.row);
    return ok;
}

static void carry_out(ts_array *a) {
    sim_firmware *fw = &a->fw;
    const ts_txn_op *op = &fw->op;
    fw->step = SIM_FW_NEXT;
    switch (op->kind) {
    case TS_TXN_WRITE: sim_write(a, op->addr, op->value); break;
    case TS_TXN_MASK_WRITE: sim_mask_write(a, op->addr, op->mask, op->value); break;
    case TS_TXN_BLOCK: sim_block_write(a, op->addr, op->data); break;
    case TS_TXN_PATCH: patch(a, op); break;
    case TS_TXN_NOP: break;
    case TS_TXN_MASK_POLL: fw->step = SIM_FW_POLL; break;
    case TS_TXN_WAIT:
        if (!wait_ok(a, op)) return;
        fw->n_tokens = 0;
        fw->step = SIM_FW_WAIT;
        break;
    }
}

/* Read the next operation; it takes effect when its time has passed. */
static void next(ts_array *a) {
    sim_firmware *fw = &a->fw;
    bool more;
    if (ts_txn_next(&fw->txn, &fw->op, &more, &a->fault) != TS_OK) return;
    if (!more) {
        fw->step = SIM_FW_END;
        return;
    }
    uint64_t cost = sim_draw(a, &fw->c, a->timing.fw_op);
    if (!fw->n_ops++) cost += sim_draw(a, &fw->c, a->timing.fw_cold);
    if (fw->op.kind == TS_TXN_BLOCK) cost += fw->op.data.len / 4 * sim_draw(a, &fw->c, a->timing.fw_word);
    fw->busy += cost;
    fw->c.t += cost;
    fw->step = SIM_FW_DO;
}

void sim_firmware_run(ts_array *a) {
    sim_firmware *fw = &a->fw;
    enum { POLL_EVERY = 128 };
    while (a->fault.code == TS_OK && fw->step != SIM_FW_END) {
        if (fw->c.t > a->now) {
            sim_wake(a, &fw->c, fw->c.t);
            return;
        }
        if (a->fabric_changed && (fw->step != SIM_FW_DO || fw->op.kind > TS_TXN_NOP)) sim_net_update(a);
        drain(a);
        switch (fw->step) {
        case SIM_FW_LAUNCH:
            sim_core_launch(a);
            fw->launched = a->now;
            fw->step = SIM_FW_NEXT;
            break;
        case SIM_FW_NEXT: next(a); break;
        case SIM_FW_DO: carry_out(a); break;
        case SIM_FW_WAIT:
            if (!have_tokens(a)) {
                expect_tokens(a);
                return;
            }
            fw->c.t += sim_draw(a, &fw->c, a->timing.fw_token);
            fw->step = SIM_FW_NEXT;
            break;
        case SIM_FW_POLL:
            if (poll_ok(a)) {
                fw->step = SIM_FW_NEXT;
                break;
            }
            sim_sleep(&fw->c, TS_WAIT_TASK);
            if (a->n_heap) /* only another component can change it */
                sim_wake(a, &fw->c, a->heap[0]->when > a->now + POLL_EVERY ? a->heap[0]->when : a->now + POLL_EVERY);
            return;
        case SIM_FW_OFF:
        case SIM_FW_END: return;
        }
    }
}

/* ---- configuration ----------------------------------------------------------------------------------------------- */

/* Let everything else go on for so long. */
static void pass(ts_array *a, uint64_t cycles) {
    uint64_t end = a->now + cycles;
    sim_run_events(a, end);
    if (a->now < end) a->now = end;
}

static void configure_poll(ts_array *a, const ts_cdo_op *op) {
    uint32_t v;
    const char *why;
    char name[64];
    ts_reg_name(a->o.chip, op->addr, name, sizeof name);
    while (a->fault.code == TS_OK) {
        if (!sim_read(a, op->addr, &v, &why)) sim_fault(a, "a poll of %s: %s", name, why);
        else if ((v & op->mask) == (op->value & op->mask)) return;
        else if (!a->n_heap || a->now > (uint64_t)SIM_MAX_CYCLES * 1000000)
            sim_fault(a, "a poll of %s waits for 0x%x of 0x%x, it stays 0x%x", name, op->value, op->mask, v);
        pass(a, 128);
    }
}

ts_status sim_configure(ts_array *a, const void *pdi, size_t len, ts_err *err) {
    ts_cdo_reader r;
    ts_cdo_op op;
    bool more;
    TS_TRY(ts_pdi_open(&r, pdi, len, err));
    for (;;) {
        TS_TRY(ts_cdo_next(&r, &op, &more, err));
        if (!more) break;
        uint64_t words = 1;
        switch (op.kind) {
        case TS_CDO_WRITE: sim_write(a, op.addr, op.value); break;
        case TS_CDO_MASK_WRITE: sim_mask_write(a, op.addr, op.mask, op.value); break;
        case TS_CDO_BLOCK:
            sim_block_write(a, op.addr, op.data);
            words += op.data.len / 4;
            break;
        case TS_CDO_MASK_POLL: configure_poll(a, &op); break;
        case TS_CDO_NOP: words = 0; break;
        }
        if (a->fault.code == TS_OK) pass(a, words * sim_draw(a, &a->fw.c, a->timing.fw_config));
        if (a->fault.code != TS_OK) {
            if (err) *err = a->fault;
            return ts_err_prefix(err, a->fault.code, "PDI, command at offset %zu", op.offset);
        }
    }
    if (a->fabric_changed) sim_net_update(a);
    if (a->fault.code == TS_OK) return TS_OK;
    if (err) *err = a->fault;
    return a->fault.code;
}
