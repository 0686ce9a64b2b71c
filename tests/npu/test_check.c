/* The static checker: every rule has configurations or commands that break it, made from good ones by one change. */
#include "designs.h"

#include "xdna/regs.h"

/* ---- editing a configuration ------------------------------------------------------------------------------------- */

typedef struct edit_op {
    ts_cdo_kind kind;
    uint32_t addr, mask, value, n;
    uint32_t *data; /* TS_CDO_BLOCK */
} edit_op;

typedef struct edit {
    edit_op op[4000];
    size_t n;
    int n_cols;
} edit;

static void edit_load(edit *e, const ts_buf *pdi, int n_cols) {
    ts_cdo_reader r;
    ts_cdo_op op;
    ts_err err;
    bool more;
    e->n = 0;
    e->n_cols = n_cols;
    assert_ok(ts_pdi_open(&r, pdi->data, pdi->len, &err));
    for (;;) {
        assert_ok(ts_cdo_next(&r, &op, &more, &err));
        if (!more) return;
        if (op.kind == TS_CDO_NOP) continue;
        assert_true(e->n < 4000);
        edit_op *x = &e->op[e->n++];
        *x = (edit_op){.kind = op.kind,
                       .addr = op.addr,
                       .mask = op.mask,
                       .value = op.value,
                       .n = (uint32_t)(op.data.len / 4)};
        if (op.kind != TS_CDO_BLOCK) continue;
        x->data = malloc(op.data.len);
        assert_non_null(x->data);
        memcpy(x->data, op.data.data, op.data.len);
    }
}

static void edit_free(edit *e) {
    for (size_t i = 0; i < e->n; i++) free(e->op[i].data);
    e->n = 0;
}

static void edit_store(const edit *e, ts_buf *pdi) {
    ts_cdo cdo = {0};
    ts_err err;
    for (size_t i = 0; i < e->n; i++) {
        const edit_op *x = &e->op[i];
        switch (x->kind) {
        case TS_CDO_WRITE: ts_cdo_write(&cdo, x->addr, x->value); break;
        case TS_CDO_MASK_WRITE: ts_cdo_mask_write(&cdo, x->addr, x->mask, x->value); break;
        case TS_CDO_BLOCK: ts_cdo_block(&cdo, x->addr, x->data, x->n); break;
        case TS_CDO_MASK_POLL: ts_cdo_mask_poll(&cdo, x->addr, x->mask, x->value, 0); break;
        case TS_CDO_NOP: break;
        }
    }
    assert_ok(ts_pdi_write(&cdo, pdi, &err));
    ts_cdo_free(&cdo);
}

static edit_op *find(edit *e, uint32_t addr, int nth) {
    for (size_t i = 0; i < e->n; i++)
        if (e->op[i].addr == addr && nth-- == 0) return &e->op[i];
    fail_msg("the base has no write to 0x%x", addr);
    return NULL;
}

static void drop(edit *e, uint32_t addr) {
    edit_op *x = find(e, addr, 0);
    free(x->data);
    memmove(x, x + 1, (size_t)(&e->op[e->n] - (x + 1)) * sizeof *x);
    e->n--;
}

static void add(edit *e, uint32_t addr, uint32_t value) {
    assert_true(e->n < 4000);
    e->op[e->n++] = (edit_op){.kind = TS_CDO_WRITE, .addr = addr, .value = value};
}

static void add_masked(edit *e, ts_cdo_kind kind, uint32_t addr, uint32_t mask, uint32_t value) {
    add(e, addr, value);
    e->op[e->n - 1].kind = kind;
    e->op[e->n - 1].mask = mask;
}

static void add_block(edit *e, uint32_t addr, uint32_t n) {
    add(e, addr, 0);
    e->op[e->n - 1].kind = TS_CDO_BLOCK;
    e->op[e->n - 1].n = n;
    e->op[e->n - 1].data = calloc(n, 4);
    assert_non_null(e->op[e->n - 1].data);
}

/* ---- the bases and what is done to them -------------------------------------------------------------------------- */

#define SHIM(off) ts_addr(ts_tile_at(0, 0), off)
#define MEM(off)  ts_addr(ts_tile_at(0, 1), off)
#define CORE(off) ts_addr(ts_tile_at(0, 2), off)

typedef enum base { LOOP_MEM, LOOP_CORE, GATHER, BASES } base;

static ts_design *base_design(base b) {
    return b == LOOP_MEM    ? loopback_design(1, 1, 256)
           : b == LOOP_CORE ? loopback_design(1, 2, 256)
                            : gather_design(1);
}

/* In LOOP_MEM: memtile BDs 0, 1 (S2MM 0) and 2, 3 (MM2S 0), own locks 0 (empty, 2) and 1 (full, 0), buffers of
 * 256 words at 0x40 and 0x440 (LOOP_CORE: 0 and 0x400). LOOP_CORE is the same in a core tile. GATHER: see designs.h. */
static uint32_t *bd(edit *e, ts_tile t, int number) {
    return find(e, ts_addr(t, ts_bd_off(ts_tile_kind_of(&ts_npu1, t), number)), 0)->data;
}
#define MEM_BD(n)  bd(e, ts_tile_at(0, 1), n)
#define CORE_BD(n) bd(e, ts_tile_at(0, 2), n)

static void change(edit *e, uint32_t *word, ts_field f, uint32_t value) {
    (void)e;
    *word = (*word & ~ts_field_mask(f)) | ts_put(f, value);
}

/* The first port register of that kind, in that tile, that is in use. */
static edit_op *port(edit *e, ts_tile t, ts_place_kind what, int nth) {
    for (size_t i = 0; i < e->n; i++) {
        ts_place p = ts_locate(&ts_npu1, e->op[i].addr);
        if (p.what == what && ts_tile_eq(p.tile, t) && nth-- == 0) return &e->op[i];
    }
    fail_msg("no such port in the base");
    return NULL;
}

typedef struct config_case {
    const char *name;
    ts_rule rule;
    base base;
    void (*change)(edit *e);
} config_case;

#define CASE(name, body)                                                                                     \
    static void name(edit *e) {                                                                              \
        body;                                                                                                \
    }

CASE(nothing, (void)e)
CASE(other_column, add(e, ts_addr(ts_tile_at(1, 1), TS_MEM_LOCK), 1))
CASE(row_six, add(e, ts_addr(ts_tile_at(0, 6), 0), 1))
CASE(clock_control, add(e, CORE(0x60000), 1))
CASE(status_register, add(e, CORE(TS_CORE_CORE_STATUS), 1))
CASE(masked_lock, add_masked(e, TS_CDO_MASK_WRITE, CORE(TS_CORE_LOCK), 1, 1))
CASE(masked_bd, add_masked(e, TS_CDO_MASK_WRITE, CORE(TS_CORE_DMA_BD_0 + 0x100), 1, 1))
CASE(masked_start, add_masked(e, TS_CDO_MASK_WRITE, CORE(TS_CORE_DMA_S2MM_QUEUE), 1, 1))
CASE(masked_port, add_masked(e, TS_CDO_MASK_WRITE, CORE(TS_CORE_SS_MASTER), 1, 1))
CASE(masked_data, add_masked(e, TS_CDO_MASK_WRITE, CORE(0), 1, 1))
CASE(odd_address, add(e, CORE(2), 1))
CASE(unknown_master_bits, add(e, CORE(TS_CORE_SS_MASTER), 0x80001000))
CASE(channel_mode, add(e, CORE(TS_CORE_DMA_S2MM_CTRL), 8))
CASE(shim_pause, add_masked(e, TS_CDO_MASK_WRITE, SHIM(TS_SHIM_DMA_S2MM_CTRL), 2, 2))
CASE(mux_to_pl, add_masked(e, TS_CDO_MASK_WRITE, SHIM(TS_SHIM_MUX), 3 << 8, 1 << 8))
CASE(core_debug, add(e, CORE(TS_CORE_CORE_CONTROL), 4))
CASE(cascade_bits, add(e, CORE(TS_CORE_ACCUMULATOR_CONTROL), 4))
CASE(start_bits, add(e, CORE(TS_CORE_DMA_S2MM_QUEUE), 0x100))
CASE(poll, add_masked(e, TS_CDO_MASK_POLL, CORE(TS_CORE_CORE_STATUS), 1, 1))
CASE(long_program, add_block(e, CORE(0x23ff0), 8))
CASE(late_program, add_block(e, CORE(0x20000), 8))
CASE(no_enable, drop(e, CORE(TS_CORE_CORE_CONTROL)); find(e, CORE(TS_CORE_CORE_CONTROL), 2)->value = 0)
CASE(no_program, drop(e, CORE(TS_PROGRAM_BASE)))
CASE(shim_start, add(e, SHIM(TS_SHIM_DMA_S2MM_QUEUE), 0))
CASE(started_twice, add(e, MEM(TS_MEM_DMA_S2MM_QUEUE), 0))
CASE(started_five_times, for (int i = 0; i < 4; i++) add(e, MEM(TS_MEM_DMA_S2MM_QUEUE), 0))
CASE(ring_token, find(e, MEM(TS_MEM_DMA_S2MM_QUEUE), 0)->value |= 1u << 31)
CASE(ring_repeat, find(e, MEM(TS_MEM_DMA_S2MM_QUEUE), 0)->value |= 1u << 16)
CASE(ring_ends, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_USE_NEXT_BD, 0))
CASE(ring_of_one_in_two, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_NEXT_BD, 1))
CASE(in_reset, find(e, MEM(TS_MEM_DMA_S2MM_CTRL), 1)->value = 2)
CASE(bd_missing, drop(e, MEM(TS_MEM_DMA_BD_0 + 32)))
CASE(bd_half_written, find(e, MEM(TS_MEM_DMA_BD_0 + 32), 0)->n = 7)
CASE(bd_invalid, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_VALID_BD, 0))
CASE(bd_empty, change(e, &MEM_BD(1)[0], TS_MEM_DMA_BD_0_BUFFER_LENGTH, 0))
CASE(bd_next_48, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_NEXT_BD, 48))
CASE(start_bd_48, find(e, MEM(TS_MEM_DMA_S2MM_QUEUE), 0)->value = 48)
CASE(bd_live, add(e, MEM(TS_MEM_DMA_BD_0), 256))
CASE(bd_half, edit_op *x = find(e, MEM(TS_MEM_DMA_S2MM_QUEUE), 0); x->addr += 8)
CASE(bd_past_end, change(e, &CORE_BD(1)[0], TS_CORE_DMA_BD_0_BASE_ADDRESS, 0x4000 - 255))
CASE(bd_steps_out, change(e, &CORE_BD(1)[2], TS_CORE_DMA_BD_2_D0_STEPSIZE, 100))
CASE(bd_west_of_column_0, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_BASE_ADDRESS, 0x1ff00))
CASE(bd_across_memtiles, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_BASE_ADDRESS, 0x40000 - 128))
CASE(bd_low, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_BASE_ADDRESS, 0x20000 + 15))
CASE(bd_low_east, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_BASE_ADDRESS, 0x20000))
CASE(bd_compressed, change(e, &MEM_BD(1)[4], TS_MEM_DMA_BD_4_ENABLE_COMPRESSION, 1))
CASE(bd_padded, change(e, &MEM_BD(1)[1], TS_MEM_DMA_BD_1_D0_ZERO_BEFORE, 1))
CASE(bd_ooo, change(e, &MEM_BD(1)[0], TS_MEM_DMA_BD_0_OUT_OF_ORDER_BD_ID, 1))
CASE(bd_no_tlast, change(e, &MEM_BD(1)[2], TS_MEM_DMA_BD_2_TLAST_SUPPRESS, 1))
CASE(bd_packet_in, change(e, &MEM_BD(1)[0], TS_MEM_DMA_BD_0_ENABLE_PACKET, 1))
CASE(lock_64, find(e, MEM(TS_MEM_LOCK), 0)->value = 64)
CASE(lock_sum, find(e, MEM(TS_MEM_LOCK), 0)->value = 32; find(e, MEM(TS_MEM_LOCK + 16), 0)->value = 32)
CASE(lock_never_set, drop(e, MEM(TS_MEM_LOCK)))
CASE(lock_equal, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_LOCK_ACQ_VALUE, 1))
CASE(lock_minus_64, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_LOCK_ACQ_VALUE, 64))
CASE(lock_taken_by_release, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_LOCK_REL_VALUE, 127))
CASE(lock_200, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_LOCK_REL_ID, 200))
CASE(lock_of_west, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_LOCK_ACQ_ID, 3))
CASE(lock_gives_two, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_LOCK_REL_VALUE, 2))
CASE(lock_leaks, change(e, &MEM_BD(1)[7], TS_MEM_DMA_BD_7_LOCK_REL_ID, 64 + 5))
CASE(lock_no_release, change(e, &MEM_BD(3)[7], TS_MEM_DMA_BD_7_LOCK_REL_VALUE, 0))
CASE(lock_two_takers, change(e, &MEM_BD(3)[7], TS_MEM_DMA_BD_7_LOCK_ACQ_ID, 64))
CASE(slave_off, drop(e, port(e, ts_tile_at(0, 1), TS_AT_SS_SLAVE, 0)->addr))
CASE(master_off, drop(e, port(e, ts_tile_at(0, 1), TS_AT_SS_MASTER, 0)->addr))
CASE(slave_unfed, add(e, MEM(ts_ss_slave_off(TS_TILE_MEM, 12)), 1u << 31))
CASE(slave_fifo, add(e, CORE(ts_ss_slave_off(TS_TILE_CORE, 4)), 1u << 31))
CASE(master_undrained, add(e, MEM(ts_ss_master_off(TS_TILE_MEM, 5)), 1u << 31))
CASE(master_to_pl, add(e, SHIM(ts_ss_master_off(TS_TILE_SHIM, 7)), 1u << 31 | 5))
CASE(master_of_control, add(e, MEM(ts_ss_master_off(TS_TILE_MEM, 6)), 1u << 31))
CASE(slave_number_31, port(e, ts_tile_at(0, 1), TS_AT_SS_MASTER, 0)->value = 1u << 31 | 31)
CASE(illegal_turn, add(e, MEM(ts_ss_master_off(TS_TILE_MEM, 12)),
                       port(e, ts_tile_at(0, 1), TS_AT_SS_MASTER, 0)->value); /* South0 to North1 */
     add(e, CORE(ts_ss_slave_off(TS_TILE_CORE, 6)), 1u << 31);
     add(e, CORE(ts_ss_master_off(TS_TILE_CORE, 0)), 1u << 31 | 6))
CASE(circle, /* core South0 -> South0 -> memtile North0 -> North0 -> back */
     add(e, MEM(ts_ss_slave_off(TS_TILE_MEM, 14)), 1u << 31);
     add(e, MEM(ts_ss_master_off(TS_TILE_MEM, 12)), 1u << 31 | 14);
     add(e, CORE(ts_ss_slave_off(TS_TILE_CORE, 6)), 1u << 31);
     add(e, CORE(ts_ss_master_off(TS_TILE_CORE, 6)), 1u << 31 | 6))
CASE(slot_of_off_port, add(e, MEM(ts_ss_slot_off(TS_TILE_MEM, 12, 0)), 1u << 8))
CASE(slots_overlap, edit_op *x = port(e, ts_tile_at(0, 2), TS_AT_SS_SLOT, 0);
     add(e, x->addr + 4, x->value & ~(1u << 16)))
CASE(slot_impossible, port(e, ts_tile_at(0, 2), TS_AT_SS_SLOT, 0)->value &= ~(1u << 16))
CASE(slot_arbiter_7, port(e, ts_tile_at(0, 2), TS_AT_SS_SLOT, 0)->value |= 7)
CASE(slot_nowhere, port(e, ts_tile_at(0, 2), TS_AT_SS_SLOT, 0)->value |= 3u << 4)
CASE(slot_other_id, change(e, &port(e, ts_tile_at(0, 2), TS_AT_SS_SLOT, 0)->value, TS_CORE_SS_SLOT_ID, 30))
CASE(packet_port_as_circuit,
     add(e, CORE(ts_ss_master_off(TS_TILE_CORE, 0)), 1u << 31 | 1)) /* DMA0 sends packets */
CASE(arbiter_unfed, add(e, CORE(ts_ss_master_off(TS_TILE_CORE, 0)), 3u << 30 | 1u << 3 | 5))
CASE(ring_without_stream, edit_op *x = find(e, CORE(TS_CORE_DMA_S2MM_QUEUE), 0);
     add(e, x->addr + 8, x->value))
CASE(port_twice, edit_op *x = port(e, ts_tile_at(0, 1), TS_AT_SS_MASTER, 0); add(e, x->addr, x->value ^ 1))
CASE(slot_twice, edit_op *x = port(e, ts_tile_at(0, 2), TS_AT_SS_SLOT, 0);
     add(e, x->addr, x->value ^ 1u << 24))
CASE(mux_undone, add_masked(e, TS_CDO_MASK_WRITE, SHIM(TS_SHIM_MUX), 3u << 10, 0))
CASE(same_value_twice, edit_op *x = port(e, ts_tile_at(0, 1), TS_AT_SS_MASTER, 0); add(e, x->addr, x->value))
CASE(ring_rates, change(e, &CORE_BD(0)[0], TS_CORE_DMA_BD_0_BUFFER_LENGTH,
                        255)) /* weights: the memtile sends 256 words */
CASE(core_rates,
     change(e, &CORE_BD(1)[0], TS_CORE_DMA_BD_0_BUFFER_LENGTH, 32)) /* activations come for half a block */

static const config_case config_cases[] = {
    {"the base itself", TS_RULE_NONE, LOOP_MEM, nothing},
    {"the base itself", TS_RULE_NONE, LOOP_CORE, nothing},
    {"the base itself", TS_RULE_NONE, GATHER, nothing},
    {"the same value again is no conflict", TS_RULE_NONE, LOOP_MEM, same_value_twice},
    {"a column too far", TS_RULE_COLUMNS, LOOP_MEM, other_column},
    {"row 6", TS_RULE_COLUMNS, LOOP_MEM, row_six},
    {"clock control", TS_RULE_REGISTER, LOOP_CORE, clock_control},
    {"a status register", TS_RULE_REGISTER, LOOP_CORE, status_register},
    {"a masked lock", TS_RULE_REGISTER, LOOP_CORE, masked_lock},
    {"a masked descriptor", TS_RULE_REGISTER, LOOP_CORE, masked_bd},
    {"a masked start", TS_RULE_REGISTER, LOOP_CORE, masked_start},
    {"a masked port", TS_RULE_REGISTER, LOOP_CORE, masked_port},
    {"masked data", TS_RULE_REGISTER, LOOP_CORE, masked_data},
    {"an odd address", TS_RULE_REGISTER, LOOP_CORE, odd_address},
    {"unknown bits of a master port", TS_RULE_REGISTER, LOOP_CORE, unknown_master_bits},
    {"out-of-order mode of a channel", TS_RULE_REGISTER, LOOP_CORE, channel_mode},
    {"a paused shim channel", TS_RULE_REGISTER, LOOP_CORE, shim_pause},
    {"the mux of another port", TS_RULE_REGISTER, LOOP_CORE, mux_to_pl},
    {"unknown bits of core control", TS_RULE_REGISTER, LOOP_CORE, core_debug},
    {"unknown bits of cascade control", TS_RULE_REGISTER, LOOP_CORE, cascade_bits},
    {"unknown bits of a start", TS_RULE_REGISTER, LOOP_CORE, start_bits},
    {"a poll", TS_RULE_POLL, LOOP_CORE, poll},
    {"a program past 16 KiB", TS_RULE_PROGRAM, LOOP_CORE, long_program},
    {"a program after the enable", TS_RULE_CORE, GATHER, late_program},
    {"a program without enable", TS_RULE_CORE, GATHER, no_enable},
    {"an enable without program", TS_RULE_CORE, GATHER, no_program},
    {"a shim channel started", TS_RULE_SHIM_START, LOOP_MEM, shim_start},
    {"a ring started twice", TS_RULE_RING, LOOP_MEM, started_twice},
    {"a ring with a token", TS_RULE_RING, LOOP_MEM, ring_token},
    {"a ring with a repeat count", TS_RULE_RING, LOOP_MEM, ring_repeat},
    {"a chain that ends", TS_RULE_RING, LOOP_MEM, ring_ends},
    {"a chain that does not come back", TS_RULE_RING, LOOP_MEM, ring_of_one_in_two},
    {"a channel left in reset", TS_RULE_RING, LOOP_MEM, in_reset},
    {"five starts", TS_RULE_QUEUE, LOOP_MEM, started_five_times},
    {"a descriptor that is missing", TS_RULE_BD_VALID, LOOP_MEM, bd_missing},
    {"a descriptor half written", TS_RULE_BD_VALID, LOOP_MEM, bd_half_written},
    {"a descriptor not valid", TS_RULE_BD_VALID, LOOP_MEM, bd_invalid},
    {"a descriptor of no words", TS_RULE_BD_VALID, LOOP_MEM, bd_empty},
    {"next descriptor 48", TS_RULE_BD_VALID, LOOP_MEM, bd_next_48},
    {"start with descriptor 48", TS_RULE_BD_VALID, LOOP_MEM, start_bd_48},
    {"a descriptor rewritten after its start", TS_RULE_BD_LIVE, LOOP_MEM, bd_live},
    {"an even descriptor on an odd channel", TS_RULE_BD_HALF, LOOP_MEM, bd_half},
    {"a buffer past the end", TS_RULE_BD_RANGE, LOOP_CORE, bd_past_end},
    {"strides past the end", TS_RULE_BD_RANGE, LOOP_CORE, bd_steps_out},
    {"the memtile west of column 0", TS_RULE_BD_RANGE, LOOP_MEM, bd_west_of_column_0},
    {"a buffer across two memtiles", TS_RULE_BD_RANGE, LOOP_MEM, bd_across_memtiles},
    {"a buffer that begins in the first 64 bytes", TS_RULE_BD_LOW, LOOP_MEM, bd_low},
    {"a buffer at 0", TS_RULE_BD_LOW, LOOP_MEM, bd_low_east},
    {"compression", TS_RULE_BD_FEATURE, LOOP_MEM, bd_compressed},
    {"padding", TS_RULE_BD_FEATURE, LOOP_MEM, bd_padded},
    {"an out-of-order id", TS_RULE_BD_FEATURE, LOOP_MEM, bd_ooo},
    {"TLAST suppressed", TS_RULE_BD_FEATURE, LOOP_MEM, bd_no_tlast},
    {"a packet header on S2MM", TS_RULE_BD_FEATURE, LOOP_MEM, bd_packet_in},
    {"a lock at 64", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_64},
    {"64 units in a circle of locks", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_sum},
    {"a lock without a first value", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_never_set},
    {"a lock waited for by equality", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_equal},
    {"64 taken from a lock", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_minus_64},
    {"a release that takes", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_taken_by_release},
    {"lock 200", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_200},
    {"a lock west of column 0", TS_RULE_LOCK_RANGE, LOOP_MEM, lock_of_west},
    {"a lock with two takers", TS_RULE_LOCK_TAKER, LOOP_MEM, lock_two_takers},
    {"one taken, two given", TS_RULE_LOCK_BALANCE, LOOP_MEM, lock_gives_two},
    {"given to a lock that nobody takes", TS_RULE_LOCK_BALANCE, LOOP_MEM, lock_leaks},
    {"not given back", TS_RULE_LOCK_BALANCE, LOOP_MEM, lock_no_release},
    {"a slave port off", TS_RULE_ROUTE, LOOP_MEM, slave_off},
    {"a master port off", TS_RULE_ROUTE, LOOP_MEM, master_off},
    {"a slave port that nothing feeds", TS_RULE_ROUTE, LOOP_MEM, slave_unfed},
    {"the FIFO", TS_RULE_ROUTE, LOOP_CORE, slave_fifo},
    {"a master port to an idle channel", TS_RULE_ROUTE, LOOP_MEM, master_undrained},
    {"a master port to where a PL would be", TS_RULE_ROUTE, LOOP_MEM, master_to_pl},
    {"a master port to control", TS_RULE_ROUTE, LOOP_MEM, master_of_control},
    {"slave number 31", TS_RULE_ROUTE, LOOP_MEM, slave_number_31},
    {"a memtile's South0 to North1", TS_RULE_ROUTE, LOOP_MEM, illegal_turn},
    {"a circle", TS_RULE_ROUTE, LOOP_MEM, circle},
    {"a slot of a port that is off", TS_RULE_ROUTE, LOOP_MEM, slot_of_off_port},
    {"slots that overlap", TS_RULE_ROUTE, GATHER, slots_overlap},
    {"a slot that matches nothing", TS_RULE_ROUTE, GATHER, slot_impossible},
    {"arbiter 7", TS_RULE_ROUTE, GATHER, slot_arbiter_7},
    {"a selector that no master hears", TS_RULE_ROUTE, GATHER, slot_nowhere},
    {"packets without a slot", TS_RULE_ROUTE, GATHER, slot_other_id},
    {"a circuit out of a packet port", TS_RULE_ROUTE, GATHER, packet_port_as_circuit},
    {"an arbiter that nothing feeds", TS_RULE_ROUTE, GATHER, arbiter_unfed},
    {"a ring that no stream reaches", TS_RULE_ROUTE, LOOP_CORE, ring_without_stream},
    {"a port set twice", TS_RULE_PORT, LOOP_MEM, port_twice},
    {"a slot set twice", TS_RULE_PORT, GATHER, slot_twice},
    {"a mux setting taken back", TS_RULE_PORT, LOOP_MEM, mux_undone},
    {"rings of different rates", TS_RULE_LOCK_BALANCE, GATHER, ring_rates},
    {"a core that gets less than it takes", TS_RULE_LOCK_BALANCE, GATHER, core_rates},
};

static bool broken[TS_RULE_COUNT];

static void test_configs(void **state) {
    (void)state;
    static edit e;
    static ts_core_use uses[24];
    for (size_t i = 0; i < sizeof config_cases / sizeof config_cases[0]; i++) {
        const config_case *k = &config_cases[i];
        ts_err err = {.msg = ""};
        ts_design *d = base_design(k->base);
        ts_buf pdi = {0}, changed = {0};
        ts_npu_config *config = NULL;
        ts_rule rule = TS_RULE_COUNT;
        size_t n_uses = k->base == GATHER ? gather_uses(1, uses) : 0;
        assert_ok(ts_design_finish(d, &pdi, NULL, &err));
        edit_load(&e, &pdi, 1);
        k->change(&e);
        edit_store(&e, &changed);
        ts_status s = ts_npu_config_check(&config, &ts_npu1, changed.data, changed.len, 1, uses, n_uses, &rule, &err);
        if (rule != k->rule)
            fail_msg("%s: rule %s, not %s (%s)", k->name, ts_rule_name(rule), ts_rule_name(k->rule), err.msg);
        if (k->rule == TS_RULE_NONE) {
            if (s != TS_OK) fail_msg("%s: %s", k->name, err.msg);
        } else {
            assert_int_equal(s, TS_E_INVAL);
            assert_null(config);
            assert_non_null(strstr(err.msg, ts_rule_name(rule)));
            broken[rule] = true;
        }
        ts_npu_config_free(config);
        edit_free(&e);
        ts_buf_free(&pdi);
        ts_buf_free(&changed);
        ts_design_free(d);
    }
}

static void test_config_format(void **state) {
    (void)state;
    ts_err err;
    ts_rule rule;
    ts_npu_config *config;
    ts_design *d = loopback_design(1, 1, 256);
    ts_buf pdi = {0};
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_status(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len - 400, 1, NULL, 0, &rule, &err), TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_FORMAT);
    assert_status(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 5, NULL, 0, &rule, &err), TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_COLUMNS);
    assert_status(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 0, NULL, 0, &rule, &err), TS_E_INVAL);
    /* promises about cores that do not exist, or locks out of reach */
    ts_core_use use = {.core = {0, 2}, .tile = {0, 2}, .lock = 0, .acquire = 1, .release = 1};
    assert_status(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 1, &use, 1, &rule, &err), TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_LOCK_RANGE);
    broken[TS_RULE_FORMAT] = true;
    ts_buf_free(&pdi);
    ts_design_free(d);
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* A loop-back command for one column written out by hand, so that each step can be left out or changed. */
typedef struct steps {
    ts_txn t;
    uint32_t in_words, out_words, in_repeat;
    bool out_token, controller, wait, claim, patch_in, fill_first;
    ts_bd bd_in, bd_out;
    int n_args;
    uint64_t arg_bytes[6];
    ts_claim claim_value;
    bool wrong_columns;
} steps;

static void steps_init(steps *s) {
    *s = (steps){.in_words = 512,
                 .out_words = 512,
                 .in_repeat = 1,
                 .out_token = true,
                 .controller = true,
                 .wait = true,
                 .claim = true,
                 .patch_in = true,
                 .n_args = 2,
                 .arg_bytes = {2048, 2048, 64, 64, 64, 64},
                 .claim_value = {.dir = TS_MM2S}};
    s->bd_in = s->bd_out = (ts_bd){.valid = 1, .burst = 2, .axcache = 2};
}

static void put_bd(steps *s, int number, const ts_bd *b) {
    uint32_t w[TS_BD_WORDS_MAX];
    ts_err err;
    assert_ok(ts_bd_encode(TS_TILE_SHIM, b, w, &err));
    ts_txn_block(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, number)), w, 8);
}

static void put_start(steps *s, ts_dma_dir dir, uint32_t bd_number, uint32_t repeat, bool token) {
    ts_txn_write(&s->t, SHIM(ts_dma_queue(TS_TILE_SHIM, dir, 0)),
                 ts_dma_start_encode((ts_dma_start){.bd = bd_number, .repeat = repeat, .token = token}));
}

static void put_out(steps *s) {
    s->bd_out.words = s->out_words;
    put_bd(s, 0, &s->bd_out);
    ts_txn_patch(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 0) + 4), 1, 0);
    if (s->controller) ts_txn_mask_write(&s->t, SHIM(TS_SHIM_DMA_S2MM_CTRL), 0xff00, 0xf00);
    put_start(s, TS_S2MM, 0, 1, s->out_token);
}

static void put_in(steps *s) {
    s->bd_in.words = s->in_words;
    put_bd(s, 1, &s->bd_in);
    if (s->patch_in) ts_txn_patch(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 1) + 4), 0, 0);
    put_start(s, TS_MM2S, 1, s->in_repeat, false);
}

static void put_wait(steps *s) {
    ts_txn_wait(&s->t, ts_tile_at(0, 0), TS_S2MM, 0);
}

typedef struct command_case {
    const char *name;
    ts_rule rule;
    void (*before)(steps *s); /* changes settings, or writes before the transfers */
    void (*after)(steps *s);  /* writes after the wait */
} command_case;

#undef CASE
#define CASE(name, body)                                                                                     \
    static void name(steps *s) {                                                                             \
        body;                                                                                                \
    }

CASE(as_is, (void)s)
CASE(write_other_column, ts_txn_write(&s->t, ts_addr(ts_tile_at(1, 2), 0), 1))
CASE(wait_other_column, ts_txn_wait(&s->t, ts_tile_at(1, 0), TS_S2MM, 0))
CASE(patch_other_column, ts_txn_patch(&s->t, ts_addr(ts_tile_at(1, 0), 0x1d004), 0, 0))
CASE(columns_differ, s->wrong_columns = true)
CASE(write_lock, ts_txn_write(&s->t, MEM(TS_MEM_LOCK), 1))
CASE(write_port, ts_txn_write(&s->t, SHIM(TS_SHIM_SS_MASTER), 1))
CASE(write_mask_data, ts_txn_mask_write(&s->t, CORE(0), 1, 1))
CASE(write_ctrl_whole, ts_txn_write(&s->t, SHIM(TS_SHIM_DMA_S2MM_CTRL), 0xf00))
CASE(start_odd_bits, ts_txn_write(&s->t, SHIM(TS_SHIM_DMA_S2MM_QUEUE), 0x40))
CASE(write_data, ts_txn_write(&s->t, CORE(0x100), 1))
CASE(poll_txn, ts_txn_mask_poll(&s->t, CORE(0), 1, 1))
CASE(start_memtile, ts_txn_write(&s->t, MEM(TS_MEM_DMA_S2MM_QUEUE), 0))
CASE(five_tasks, for (int i = 0; i < 5; i++) put_in(s))
CASE(no_bd, put_start(s, TS_S2MM, 7, 1, false))
CASE(not_valid, s->bd_in.valid = 0)
CASE(no_words, s->in_words = 0)
CASE(endless_chain, s->bd_in.use_next = 1; s->bd_in.next = 1)
CASE(rewrite_live, put_out(s); put_out(s))
CASE(patch_live, put_out(s); ts_txn_patch(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 0) + 4), 1, 0))
CASE(secure, s->bd_in.secure = 1)
CASE(shim_lock, s->bd_in.acq_enable = 1; s->bd_in.acq_value = -1)
CASE(header_in, s->bd_out.packet = 1)
CASE(packet_on_circuit, (void)s; s->bd_in.tlast_suppress = 1)
CASE(unknown_channel,
     ts_txn_block(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 5)), (uint32_t[]){8, 0, 0, 0, 0, 0, 0, 1u << 25}, 8);
     ts_txn_patch(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 5) + 4), 0, 0);
     ts_txn_write(&s->t, SHIM(ts_dma_queue(TS_TILE_SHIM, TS_MM2S, 1)), 5))
CASE(wait_for_nothing, put_wait(s))
CASE(wait_core, ts_txn_wait(&s->t, ts_tile_at(0, 2), TS_S2MM, 0))
CASE(token_left, s->wait = s->claim = false)
CASE(no_token, s->out_token = false)
CASE(no_controller, s->controller = false)
CASE(short_out, s->out_words = 256)
CASE(half_block, s->in_words = s->out_words = 500)
CASE(fill_first, s->fill_first = true)
CASE(no_claim, s->claim = false)
CASE(claim_of_no_wait, s->claim_value.wait = 3)
CASE(claim_of_column_9, s->claim_value.col = 9)
CASE(six_args, s->n_args = 6)
CASE(one_arg, s->n_args = 1)
CASE(small_arg, s->arg_bytes[0] = 2047)
CASE(repeat_past_arg, s->bd_in.iter_wrap = 2; s->bd_in.iter_step = 256; s->in_repeat = 2; s->in_words = 256;
     s->arg_bytes[0] = 2044)
CASE(repeat_in_arg, s->bd_in.iter_wrap = 2; s->bd_in.iter_step = 256; s->in_repeat = 2; s->in_words = 256)
CASE(far_offset,
     ts_txn_block(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 5)), (uint32_t[]){8, 0, 0, 0, 0, 0, 0, 1u << 25}, 8);
     ts_txn_patch(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 5) + 4), 0, UINT64_C(1) << 32))
CASE(no_patch, s->patch_in = false)
CASE(patch_word_2, ts_txn_patch(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 5) + 8), 0, 0))
CASE(patch_first, ts_txn_patch(&s->t, SHIM(ts_bd_off(TS_TILE_SHIM, 5) + 4), 0, 0))
CASE(base_not_zero, s->bd_in.base = 0x1000)

static const command_case command_cases[] = {
    {"the base itself", TS_RULE_NONE, as_is, as_is},
    {"a run-time parameter", TS_RULE_NONE, write_data, as_is},
    {"a repeat inside its argument", TS_RULE_NONE, repeat_in_arg, as_is},
    {"another column written", TS_RULE_COLUMNS, write_other_column, as_is},
    {"another column waited for", TS_RULE_COLUMNS, as_is, wait_other_column},
    {"another column patched", TS_RULE_COLUMNS, patch_other_column, as_is},
    {"a stream for two columns", TS_RULE_COLUMNS, columns_differ, as_is},
    {"a lock written", TS_RULE_REGISTER, write_lock, as_is},
    {"a port written", TS_RULE_REGISTER, write_port, as_is},
    {"masked data", TS_RULE_REGISTER, write_mask_data, as_is},
    {"a whole channel control", TS_RULE_REGISTER, write_ctrl_whole, as_is},
    {"unknown bits of a start", TS_RULE_REGISTER, start_odd_bits, as_is},
    {"a poll", TS_RULE_POLL, poll_txn, as_is},
    {"a memtile channel started", TS_RULE_SHIM_START, start_memtile, as_is},
    {"a fifth task", TS_RULE_BD_LIVE, five_tasks,
     as_is}, /* its descriptor is live; see test_queue for the queue itself */
    {"a descriptor never written", TS_RULE_BD_VALID, no_bd, as_is},
    {"a descriptor not valid", TS_RULE_BD_VALID, not_valid, as_is},
    {"a descriptor of no words", TS_RULE_BD_VALID, no_words, as_is},
    {"a chain that never ends", TS_RULE_BD_VALID, endless_chain, as_is},
    {"a live descriptor rewritten", TS_RULE_BD_LIVE, rewrite_live, as_is},
    {"a live descriptor patched", TS_RULE_BD_LIVE, patch_live, as_is},
    {"a secure transfer", TS_RULE_BD_FEATURE, secure, as_is},
    {"a shim lock", TS_RULE_BD_FEATURE, shim_lock, as_is},
    {"a header on S2MM", TS_RULE_BD_FEATURE, header_in, as_is},
    {"TLAST suppressed", TS_RULE_BD_FEATURE, packet_on_circuit, as_is},
    {"a channel without a route", TS_RULE_ROUTE, unknown_channel, as_is},
    {"a wait for nothing", TS_RULE_TOKEN, as_is, wait_for_nothing},
    {"a wait for a core's token", TS_RULE_TOKEN, as_is, wait_core},
    {"a token without a wait", TS_RULE_TOKEN, token_left, as_is},
    {"a wait without a token", TS_RULE_TOKEN, no_token, as_is},
    {"no controller number", TS_RULE_TOKEN_ROUTE, no_controller, as_is},
    {"less taken than sent", TS_RULE_WORDS, short_out, as_is},
    {"a buffer left half full", TS_RULE_WORDS, half_block, as_is},
    {"filled before emptied", TS_RULE_ORDER, fill_first, as_is},
    {"an input that may still run", TS_RULE_UNFINISHED, no_claim, as_is},
    {"a claim on a wait that is not there", TS_RULE_UNFINISHED, claim_of_no_wait, as_is},
    {"a claim about column 9", TS_RULE_COLUMNS, claim_of_column_9, as_is},
    {"six arguments", TS_RULE_ARGS, six_args, as_is},
    {"an argument that is not passed", TS_RULE_ARGS, one_arg, as_is},
    {"an argument too small", TS_RULE_ARGS, small_arg, as_is},
    {"a repeat past its argument", TS_RULE_ARGS, repeat_past_arg, as_is},
    {"an offset of 4 GiB", TS_RULE_ARGS, far_offset, as_is},
    {"an address not patched", TS_RULE_PATCH, no_patch, as_is},
    {"a patch of word 2", TS_RULE_PATCH, patch_word_2, as_is},
    {"a patch before its descriptor", TS_RULE_PATCH, patch_first, as_is},
    {"an address under the patch", TS_RULE_PATCH, base_not_zero, as_is},
};

static ts_status run_steps(steps *s, const ts_npu_config *config, ts_rule *rule, ts_err *out_err) {
    ts_err err;
    ts_buf out = {0};
    ts_npu_command *cmd = NULL;
    if (s->fill_first) put_in(s);
    put_out(s);
    if (!s->fill_first) put_in(s);
    if (s->wait) put_wait(s);
    assert_ok(ts_txn_finish(&s->t, &ts_npu1, s->wrong_columns ? 2 : 1, &out, &err));
    ts_status st = ts_npu_command_check(&cmd, config, out.data, out.len, s->arg_bytes, s->n_args,
                                        &s->claim_value, s->claim, rule, out_err);
    if (st != TS_OK) assert_null(cmd);
    ts_npu_command_free(cmd);
    ts_buf_free(&out);
    return st;
}

static ts_npu_config *loop_config(void) {
    ts_err err;
    ts_design *d = loopback_design(1, 1, 256);
    ts_buf pdi = {0};
    ts_npu_config *config;
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 1, NULL, 0, NULL, &err));
    ts_buf_free(&pdi);
    ts_design_free(d);
    return config;
}

static void test_commands(void **state) {
    (void)state;
    ts_npu_config *config = loop_config();
    for (size_t i = 0; i < sizeof command_cases / sizeof command_cases[0]; i++) {
        const command_case *k = &command_cases[i];
        ts_err err = {.msg = ""};
        ts_rule rule = TS_RULE_COUNT;
        steps s;
        steps_init(&s);
        k->before(&s);
        if (k->after != as_is) { /* `after` runs behind a whole good command */
            put_out(&s);
            put_in(&s);
            put_wait(&s);
            k->after(&s);
        }
        ts_status st = run_steps(&s, config, &rule, &err);
        if (rule != k->rule)
            fail_msg("%s: rule %s, not %s (%s)", k->name, ts_rule_name(rule), ts_rule_name(k->rule), err.msg);
        if (k->rule == TS_RULE_NONE) {
            if (st != TS_OK) fail_msg("%s: %s", k->name, err.msg);
        } else {
            assert_int_equal(st, TS_E_INVAL);
            broken[rule] = true;
        }
        ts_txn_free(&s.t);
    }
    ts_npu_config_free(config);
}

/* Five starts with five good descriptors: only the queue is wrong. */
static void test_queue(void **state) {
    (void)state;
    ts_npu_config *config = loop_config();
    for (int n = 4; n <= 5; n++) {
        ts_err err;
        ts_rule rule;
        steps s;
        steps_init(&s);
        ts_txn_mask_write(&s.t, SHIM(TS_SHIM_DMA_S2MM_CTRL), 0xff00, 0xf00);
        for (int dir = 0; dir < 2; dir++)
            for (int i = 0; i < n; i++) {
                int number = dir * 8 + i;
                put_bd(&s, number, &(ts_bd){.valid = 1, .words = 256});
                ts_txn_patch(&s.t, SHIM(ts_bd_off(TS_TILE_SHIM, number) + 4), dir == TS_S2MM, 0);
                put_start(&s, (ts_dma_dir)dir, (uint32_t)number, 1, dir == TS_S2MM);
            }
        for (int i = 0; i < n; i++) put_wait(&s);
        ts_buf out = {0};
        ts_npu_command *cmd = NULL;
        ts_claim claim = {.wait = 3, .dir = TS_MM2S};
        assert_ok(ts_txn_finish(&s.t, &ts_npu1, 1, &out, &err));
        ts_status st =
            ts_npu_command_check(&cmd, config, out.data, out.len, s.arg_bytes, 2, &claim, 1, &rule, &err);
        assert_int_equal(rule, n == 5 ? TS_RULE_QUEUE : TS_RULE_NONE);
        assert_int_equal(st, n == 5 ? TS_E_INVAL : TS_OK);
        broken[rule] = true;
        ts_npu_command_free(cmd);
        ts_buf_free(&out);
        ts_txn_free(&s.t);
    }
    ts_npu_config_free(config);
}

/* A configuration without the route for tokens: commands that ask for one are refused. */
static void test_token_route(void **state) {
    (void)state;
    static edit e;
    ts_err err;
    ts_rule rule;
    ts_design *d = loopback_design(1, 1, 256);
    ts_buf pdi = {0}, changed = {0};
    ts_npu_config *config;
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    edit_load(&e, &pdi, 1);
    drop(&e, SHIM(ts_ss_slave_off(TS_TILE_SHIM, 0)));
    drop(&e, SHIM(ts_ss_slot_off(TS_TILE_SHIM, 0, 0)));
    drop(&e, SHIM(ts_ss_master_off(TS_TILE_SHIM, 2)));
    edit_store(&e, &changed);
    assert_ok(ts_npu_config_check(&config, &ts_npu1, changed.data, changed.len, 1, NULL, 0, NULL, &err));
    steps s;
    steps_init(&s);
    assert_status(run_steps(&s, config, &rule, &err), TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_TOKEN_ROUTE);
    ts_txn_free(&s.t);
    ts_npu_config_free(config);
    ts_buf_clear(&changed);
    edit_free(&e); /* a route that drops the header loses the token as well */
    edit_load(&e, &pdi, 1);
    find(&e, SHIM(ts_ss_master_off(TS_TILE_SHIM, 2)), 0)->value |= 1u << 7;
    edit_store(&e, &changed);
    assert_ok(ts_npu_config_check(&config, &ts_npu1, changed.data, changed.len, 1, NULL, 0, NULL, &err));
    steps_init(&s);
    assert_status(run_steps(&s, config, &rule, &err), TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_TOKEN_ROUTE);
    ts_txn_free(&s.t);
    ts_npu_config_free(config);
    edit_free(&e);
    ts_buf_free(&pdi);
    ts_buf_free(&changed);
    ts_design_free(d);
}

/* The cores' promises tie input to output: a gather command that asks for one result too many is caught. */
static void test_gather_words(void **state) {
    (void)state;
    ts_err err;
    ts_rule rule;
    static ts_core_use uses[24];
    ts_design *d = gather_design(1);
    ts_buf pdi = {0};
    ts_npu_config *config;
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_npu_config_check(&config, &ts_npu1, pdi.data, pdi.len, 1, uses, gather_uses(1, uses), NULL, &err));
    for (int extra = 0; extra < 3; extra++) {
        ts_dispatch p;
        ts_npu_command *cmd = NULL;
        ts_dispatch_init(&p, &ts_npu1, 1);
        ts_dispatch_task(
            &p, &(ts_shim_task){
                    .dir = TS_S2MM, .arg = 2, .words = 64 * 3 + (extra == 1 ? 64 : 0), .token = true});
        ts_dispatch_task(
            &p, &(ts_shim_task){
                    .channel = 1, .dir = TS_MM2S, .arg = 1, .words = 64, .repeat = extra == 2 ? 4 : 3});
        ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_MM2S, .arg = 0, .words = 1024 * 3});
        ts_dispatch_wait(&p, 0, TS_S2MM, 0);
        ts_dispatch_implies(&p, 0, TS_MM2S, 0);
        ts_dispatch_implies(&p, 0, TS_MM2S, 1);
        uint64_t bytes[3] = {1 << 20, 1 << 20, 1 << 20};
        ts_status s = ts_npu_command_from(&cmd, config, &p, bytes, 3, &rule, &err);
        assert_int_equal(s, extra ? TS_E_INVAL : TS_OK);
        assert_int_equal(rule, extra ? TS_RULE_WORDS : TS_RULE_NONE);
        ts_npu_command_free(cmd);
        ts_dispatch_free(&p);
    }
    ts_npu_config_free(config);
    ts_buf_free(&pdi);
    ts_design_free(d);
}

/* A wait stands between what it needs and what sends that. Columns of the table: words that are emptied and filled
 * before the first wait, and after it. */
static void test_words_in_time(void **state) {
    (void)state;
    static const struct {
        uint32_t out[2], in[2];
        ts_rule rule;
    } k[] = {
        /* more may wait in the memtile */
        {{256, 256}, {256, 256}, TS_RULE_NONE},  {{256, 512}, {512, 256}, TS_RULE_NONE},
        {{512, 256}, {256, 512}, TS_RULE_WORDS}, {{512, 256}, {512, 256}, TS_RULE_NONE},
        {{128, 128}, {128, 128}, TS_RULE_WORDS}, /* a buffer goes on when it is full */
        {{128, 384}, {256, 256}, TS_RULE_NONE},
    };
    ts_npu_config *config = loop_config();
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_dispatch p;
        ts_err err = {.msg = ""};
        ts_rule rule = TS_RULE_NONE;
        ts_npu_command *cmd = NULL;
        ts_dispatch_init(&p, &ts_npu1, 1);
        for (int j = 0; j < 2; j++) {
            ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_S2MM, .arg = 1, .words = k[i].out[j], .token = true});
            ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_MM2S, .arg = 0, .words = k[i].in[j]});
            ts_dispatch_wait(&p, 0, TS_S2MM, 0);
            if (j == 1) ts_dispatch_implies(&p, 0, TS_MM2S, 0);
        }
        ts_status s = ts_npu_command_from(&cmd, config, &p, (uint64_t[]){4096, 4096}, 2, &rule, &err);
        if (rule != k[i].rule || (s == TS_OK) != (rule == TS_RULE_NONE))
            fail_msg("case %zu: rule %s, not %s (%s)", i, ts_rule_name(rule), ts_rule_name(k[i].rule), err.msg);
        if (rule != TS_RULE_NONE) assert_non_null(strstr(err.msg, "the wait at offset"));
        ts_npu_command_free(cmd);
        ts_dispatch_free(&p);
    }
    ts_npu_config_free(config);
}

/* A command that says it leaves a transfer behind, but waits for it; test_ahead has the others. */
static void test_left_behind(void **state) {
    (void)state;
    ts_npu_config *config = loop_config();
    const ts_prefetched behind = {.n = 1, .task = {{.bd = 5, .words = 256}}};
    ts_dispatch p;
    ts_buf txn = {0};
    ts_err err;
    ts_rule rule;
    ts_npu_command *cmd = NULL;
    loopback_dispatch(&p, 1, 256);
    assert_ok(ts_dispatch_finish(&p, &txn, &err));
    assert_status(ts_npu_command_check_prefetched(&cmd, config, txn.data, txn.len, (uint64_t[]){1024, 1024}, 2,
                                                  p.claims, p.n_claims, NULL, &behind, &rule, &err),
                  TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_AHEAD);
    broken[rule] = true;
    ts_dispatch_free(&p);
    ts_buf_free(&txn);
    ts_npu_config_free(config);
}

static void test_command_format(void **state) {
    (void)state;
    ts_err err;
    ts_rule rule;
    ts_npu_command *cmd;
    ts_npu_config *config = loop_config();
    assert_status(ts_npu_command_check(&cmd, config, "0123456789abcdef", 16, NULL, 0, NULL, 0, &rule, &err),
                  TS_E_INVAL);
    assert_int_equal(rule, TS_RULE_FORMAT);
    ts_npu_config_free(config);
}

/* Runs last: the tests above have broken every rule. */
static void test_every_rule_was_broken(void **state) {
    (void)state;
    for (int r = TS_RULE_NONE + 1; r < TS_RULE_COUNT; r++)
        if (!broken[r])
            fail_msg("no test breaks rule %s: %s", ts_rule_name((ts_rule)r), ts_rule_text((ts_rule)r));
    assert_string_equal(ts_rule_name(TS_RULE_COUNT), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configs),        cmocka_unit_test(test_config_format),
        cmocka_unit_test(test_commands),       cmocka_unit_test(test_queue),
        cmocka_unit_test(test_token_route),    cmocka_unit_test(test_gather_words),
        cmocka_unit_test(test_words_in_time),  cmocka_unit_test(test_left_behind),
        cmocka_unit_test(test_command_format), cmocka_unit_test(test_every_rule_was_broken),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
