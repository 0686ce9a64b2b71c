/* The AIE2 instruction table: every instruction and format through encoder, decoder, printer and assembler and back. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "aie2/asm.h"
#include "base/rng.h"

static int32_t random_operand(ts_rng *rng, const ts_aie2_operand *op) {
    if (op->kind == TS_OP_FIXED) return op->reg;
    if (op->kind == TS_OP_REG) {
        const ts_aie2_classinfo *c = &ts_aie2_classes[op->cls];
        for (;;) {
            int r = ts_aie2_class_reg(op->cls, (unsigned)ts_rng_below(rng, 1u << c->bits));
            if (r >= 0) return r;
        }
    }
    int64_t lo, hi;
    (void)ts_aie2_imm_fits(op, 0, &lo, &hi);
    if (hi > INT32_MAX) hi = INT32_MAX;
    uint64_t steps = (uint64_t)(hi - lo) / op->step + 1;
    uint64_t pick = ts_rng_below(rng, 4);
    int64_t v = pick == 0 ? lo : pick == 1 ? hi : lo + (int64_t)(ts_rng_below(rng, steps) * op->step);
    return (int32_t)v;
}

static ts_aie2_inst random_inst(ts_rng *rng, unsigned id) {
    ts_aie2_inst inst = {.id = (uint16_t)id};
    for (int i = 0; i < ts_aie2_insns[id].n_ops; i++) inst.v[i] = random_operand(rng, &ts_aie2_insns[id].op[i]);
    return inst;
}

static void assert_same_inst(const ts_aie2_inst *a, const ts_aie2_inst *b) {
    assert_string_equal(ts_aie2_insns[a->id].name, ts_aie2_insns[b->id].name);
    for (int i = 0; i < ts_aie2_insns[a->id].n_ops; i++) assert_int_equal(a->v[i], b->v[i]);
}

/* bytes -> text -> bytes */
static void assert_text_round_trip(const ts_aie2_bundle *b, const uint8_t *bytes) {
    ts_err err;
    ts_buf text = {0};
    ts_aie2_program p;
    assert_true(ts_aie2_bundle_print(&text, b));
    ts_aie2_asm_opts opts = {.no_hazards = true};
    assert_ok(ts_aie2_assemble(&p, "test", text.data, text.len, &opts, &err));
    if (p.code.len != b->bytes || memcmp(p.code.data, bytes, b->bytes) != 0)
        fail_msg("\"%s\" assembles to other bytes (%zu, not %d)", text.data, p.code.len, b->bytes);
    ts_aie2_program_free(&p);
    ts_buf_free(&text);
}

static void test_every_instruction(void **state) {
    (void)state;
    ts_err err;
    ts_rng rng = ts_rng_seed(4);
    for (unsigned id = 0; id < TS_INSNS; id++)
        for (int round = 0; round < 12; round++) {
            ts_aie2_inst inst = random_inst(&rng, id), back;
            uint64_t word;
            assert_ok(ts_aie2_inst_encode(&inst, &word, &err));
            assert_true(ts_aie2_inst_decode(ts_aie2_insns[id].slot, word, &back));
            assert_same_inst(&inst, &back);
            ts_aie2_bundle b, again;
            uint8_t bytes[TS_BUNDLE_BYTES];
            ts_aie2_bundle_nops(&b, ts_aie2_format_find(1u << ts_aie2_insns[id].slot, 0));
            b.inst[ts_aie2_insns[id].slot] = inst;
            assert_ok(ts_aie2_bundle_encode(&b, bytes, &err));
            assert_ok(ts_aie2_bundle_decode(&again, bytes, b.bytes, &err));
            assert_true(again.plain);
            assert_text_round_trip(&again, bytes);
        }
}

static void test_every_format(void **state) {
    (void)state;
    ts_err err;
    ts_rng rng = ts_rng_seed(5);
    for (int f = 0; f < TS_FORMATS; f++)
        for (int round = 0; round < 60; round++) {
            ts_aie2_bundle b, back;
            ts_aie2_bundle_nops(&b, f);
            for (int s = 0; s < TS_SLOTS; s++)
                if (b.set >> s & 1 && ts_rng_below(&rng, 4)) /* one slot in four stays a nop */
                    b.inst[s] = random_inst(&rng, ts_aie2_slots[s].first +
                                                      (unsigned)ts_rng_below(&rng, ts_aie2_slots[s].count));
            uint8_t bytes[TS_BUNDLE_BYTES];
            assert_ok(ts_aie2_bundle_encode(&b, bytes, &err));
            assert_int_equal(ts_aie2_bundle_length(bytes[0]), b.bytes);
            assert_ok(ts_aie2_bundle_decode(&back, bytes, b.bytes, &err));
            assert_int_equal(back.format, f);
            for (int s = 0; s < TS_SLOTS; s++)
                if (b.set >> s & 1) assert_same_inst(&b.inst[s], &back.inst[s]);
            assert_text_round_trip(&back, bytes);
            assert_status(ts_aie2_bundle_decode(&back, bytes, b.bytes - 1u, &err), TS_E_FORMAT);
        }
}

/* Random bytes are refused, or decode to something that encodes to the same bytes but for ignored bits. */
static void test_any_bytes(void **state) {
    (void)state;
    ts_err err;
    ts_rng rng = ts_rng_seed(6);
    unsigned accepted = 0;
    for (int round = 0; round < 300000; round++) {
        uint64_t r[2] = {ts_rng_u64(&rng), ts_rng_u64(&rng)};
        uint8_t bytes[TS_BUNDLE_BYTES], again[TS_BUNDLE_BYTES];
        memcpy(bytes, r, sizeof bytes);
        ts_aie2_bundle b, c;
        if (ts_aie2_bundle_decode(&b, bytes, sizeof bytes, NULL) != TS_OK) continue;
        accepted++;
        assert_ok(ts_aie2_bundle_encode(&b, again, &err));
        assert_ok(ts_aie2_bundle_decode(&c, again, b.bytes, &err));
        assert_int_equal(b.format, c.format);
        assert_true(c.plain);
        if (b.plain) assert_memory_equal(bytes, again, b.bytes);
        for (int s = 0; s < TS_SLOTS; s++)
            if (b.set >> s & 1) assert_same_inst(&b.inst[s], &c.inst[s]);
    }
    assert_true(accepted > 1000);
}

static void test_bad_operands(void **state) {
    (void)state;
    ts_err err;
    uint64_t word = 77;
    ts_aie2_inst inst = {.id = TS_I_ADD, .v = {TS_R_r1, TS_R_p0, TS_R_r2}};
    assert_status(ts_aie2_inst_encode(&inst, &word, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "p0"));
    inst = (ts_aie2_inst){.id = TS_I_PADDA_lda_ptr_inc_idx_imm, .v = {TS_R_p0, 6}};
    assert_status(ts_aie2_inst_encode(&inst, &word, &err), TS_E_INVAL);
    inst.v[1] = 2048;
    assert_status(ts_aie2_inst_encode(&inst, &word, &err), TS_E_INVAL);
    assert_int_equal(word, 77);
    inst.v[1] = -2048;
    assert_ok(ts_aie2_inst_encode(&inst, &word, &err));
    assert_int_equal(ts_aie2_reg_find("R17:R16", 7), TS_R_l0);
    assert_int_equal(ts_aie2_reg_find("crsat", 5), TS_R_crSat);
    assert_int_equal(ts_aie2_reg_find("r17:r15", 7), TS_REGS);
    assert_int_equal(ts_aie2_reg_find("r32", 3), TS_REGS);
    assert_int_equal(ts_aie2_reg_find("r", 1), TS_REGS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_instruction), cmocka_unit_test(test_every_format),
        cmocka_unit_test(test_any_bytes),         cmocka_unit_test(test_bad_operands),
    };
    return cmocka_run_group_tests_name("aie2 isa", tests, NULL, NULL);
}
