/* The AIE2 assembler: messages with their places, layout of loops, the timing check, data; running out of memory. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "aie2/asm.h"
#include "aie2/core.h"
#include "aie2/replay.h"


#define NOP5 "nop\nnop\nnop\nnop\nnop\n"

/* what must be in the messages; NULL: it assembles without any */
static const struct {
    const char *source, *want;
} CASES[] = {
    {"", NULL},
    {"// nothing\n/* at\nall */\n", NULL},
    {"nop\n done // end\n", NULL},
    {"add r0, r1", "t:1:11: error: \",\" is wanted here"},
    {"\n  add r0, r1, p2", "t:2:15: error: p2 cannot stand here; it takes r0, r1"},
    {"add r0, r1, r99", "t:1:13: error: \"r99\" is not a register"},
    {"add r0, r1, #64", "t:1:14: error: 64 does not fit: -64 to 63"},
    {"padda [p0], #6", "t:1:14: error: 6 does not fit: multiples of 4"},
    {"frob r0", "t:1:1: error: there is no instruction \"frob\""},
    {"add r0, r1, r2 ; sub r3, r4, r5", "t:1:18: error: the alu slot of this bundle is taken"},
    {"movxm r0, #1 ; mov r1, #1", "t:1:16: error: the mv slot of this bundle is taken"},
    {"nop nop", "t:1:5: error: the instruction should end here"},
    {"a: nop\na: nop", "t:2:1: error: \"a\" is defined already"},
    {"r5: nop", "t:1:1: error: \"r5\" is the name of a register"},
    {"j #away\n" NOP5, "t:1:4: error: \"away\" is not defined"},
    {"j #1f\n" NOP5 "2: done", "there is no label 1 after here"},
    {".equ n, 3\n.equ n, 4", "t:2:6: error: \"n\" is defined already"},
    {".equ n, (3", "t:1:9: error: this parenthesis is not closed"},
    {".equ n, 0x8g", "\"0x8g\" is not a number"},
    {".equ n, 1/(2-2)", "error: division by zero"},
    {".rept 2\nnop\n", "t:1:1: error: this .rept has no .endr"},
    {".endr", "there is no .rept open"},
    {".frob 1", "there is no directive \".frob\""},
    {".byte 1", "data stands in a data section"},
    {".data 0x70000\nnop", "an instruction in a data section"},
    {".data 5", "5 is outside 262144 to 524287"},
    {".data 0x70000\n.byte 256", "t:2:7: error: 256 is outside -128 to 255"},
    {".include \"x\"", "t:1:1: error: .include is not possible here"},
    {".align 3", ".align takes a power of two"},
    {"nop /* open", "t:1:5: error: this comment is not closed"},
    {"vaddmac cm0, cm1, cm2, x0, x1, r0", "t:1:14: error: this must be cm0 again"},
    {"add r0, r1, r2 @new", "the only mark is @old"},
    {"vclr cm0 ; vst amll9, [p0], #0", "\"amll9\" is not a register"},
    /* timing */
    {"lda r0, [p0], #4\nadd r1, r0, r2\ndone",
     "t:2:1: error: r0 is read 1 bundle after lda; the result is there after 7, this reads the old value: put 6 more"},
    {"lda r0, [p0], #4\nadd r1, r0, r2 @old\ndone", NULL},
    {"lda r0, [p0], #4\n" NOP5 "nop\nadd r1, r0, r2\ndone", NULL},
    {"vadd.8 x0, x1, x2\nvsub.8 x3, x0, x1\ndone", NULL}, /* forwarded */
    {"vadd.8 x0, x1, x2\nvst wl0, [p0], #32\ndone", "t:2:1: error: wl0 is read 1 bundle after vadd.8"},
    {"vmac cm0, cm0, x0, x1, r0\nvmac cm0, cm0, x0, x1, r0\ndone", "cm0 is read 1 bundle after vmac"},
    {"vmac cm0, cm0, x0, x1, r0\nnop\nvmac cm0, cm0, x0, x1, r0\ndone", NULL},
    {"mul r0, r1, r2\nadd r3, r4, r5\ndone", "add and mul, 1 bundle earlier, both need the scalar unit's write port"},
    {"vldb.4x32.lo wl0, wl1 ; lda r0, [p0], #4\ndone", "both need load unit A"},
    {"st.s8 r0, [p0], #1\nlda r1, [p1], #4\ndone", "both need memory, held by a partial-word store"},
    {"acq #48, r0\nnop\nrel #49, r0\ndone", "both need the lock interface"},
    {"vst.srs.d8.s32 cm0, s0, [p0, #0]\nvlda wl0, [p0, #0]\n" NOP5 NOP5 "done",
     "warning: this load is 1 bundle behind vst.srs.d8.s32 through p0"},
    {"j #0\nnop\nnop\nnop\nnop\n", "a branch needs five bundles behind it; the program ends after 4"},
    {"j #0\nnop\njz r0, #0\n" NOP5, "t:3:1: error: a branch among the five bundles behind another branch"},
    {"j #2\n" NOP5, "no bundle starts at 0x00002"},
    {"movxm ls, #a\nmovxm le, #b\na: nop\nb: nop\ndone", "the loop's end is set only 2 bundles before its last one"},
    {"mul r0, r1, r2\nmova r0, #1\ndone", "t:2:1: error: r0 is written in the same cycle by mul, 1 bundle earlier"},
    {"vlda wl0, [p0, #0]\n" NOP5 "vldb wl0, [p1, #0] ; nop\n" NOP5 "done", NULL},
    {"movxm ls, #a\nmovxm le, #b\nmova lc, #9\n" NOP5 NOP5 "a: nop\nb: st.s8 r0, [p0], #1\n" NOP5 NOP5 "done",
     "a partial-word store in the last bundle of a loop of 32 bytes is lost; move it up"},
    {"movxm ls, #16\nmovxm le, #34\nmova lc, #9\n" NOP5 NOP5 NOP5 "done",
     "the loop's last bundle is at 0x00022, not on a"},
    {"movxm ls, #a\nmovxm le, #b\nmova lc, #9\n" NOP5 NOP5 "a: j #a\nnop\nnop\nnop\nnop\nb: nop\ndone",
     "a loop's last bundle may not be a branch or one of the five bundles behind it"},
    {"rel #48, r0\nmov r1, SS\n" NOP5 NOP5 "done", "both need the lock interface"},
    {"movxm p0, #0x70000\nmovxm p1, #0x70020\nvlda wl0, [p0, #0] ; vldb wl1, [p1, #0]\n" NOP5 NOP5 "done",
     "t:3:22: warning: two accesses of this bundle are in memory bank 0"},
    {"movxm p0, #0x70000\nmovxm p1, #0x74000\nvlda wl0, [p0, #0] ; vldb wl1, [p1, #0]\n" NOP5 NOP5 "done", NULL},
    {"a: lda r0, [p0], #4\n" NOP5 "nop\njnz r0, #a\nadd r2, r0, r0\n" NOP5 "done", NULL},
    {"a: add r2, r1, r1\njnz r3, #a\nnop\nnop\nnop\nnop\nlda r1, [p0], #4\ndone",
     "t:1:4: error: r1 is read 1 bundle after lda"},
};

static void test_messages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ts_aie2_program p;
        ts_err err = {0};
        ts_status e = ts_aie2_assemble(&p, "t", CASES[i].source, strlen(CASES[i].source), NULL, &err);
        const char *got = p.messages.data ? p.messages.data : "";
        if (!CASES[i].want && (e != TS_OK || *got)) fail_msg("case %zu: unexpected: %s", i, got);
        if (CASES[i].want && !strstr(got, CASES[i].want))
            fail_msg("case %zu: wanted \"%s\", got: %s", i, CASES[i].want, got);
        if (CASES[i].want) assert_int_equal(e, strstr(CASES[i].want, "warning") ? TS_OK : TS_E_FORMAT);
        if (e != TS_OK) assert_non_null(strstr(got, err.msg));
        ts_aie2_program_free(&p);
    }
}

static void test_caret(void **state) {
    (void)state;
    ts_aie2_program p;
    const char *source = "nop\n\tadd r0, r77, r1";
    assert_status(ts_aie2_assemble(&p, "file.s", source, strlen(source), NULL, NULL), TS_E_FORMAT);
    assert_string_equal(p.messages.data,
                        "file.s:2:10: error: \"r77\" is not a register\n   add r0, r77, r1\n           ^\n");
    ts_aie2_program_free(&p);
}

/* A loop's first and last bundle start at 16 bytes, its last is full, and no bundle was added for that. */
static void test_loop_layout(void **state) {
    (void)state;
    ts_err err;
    for (int before = 9; before < 14; before++)
        for (int body = 1; body < 6; body++) {
            ts_buf text = {0};
            ts_aie2_program p;
            assert_true(ts_buf_puts(&text, "movxm ls, #first\nmovxm le, #last\nmovxm lc, #7\n"));
            for (int i = 0; i < before; i++)
                assert_true(ts_buf_puts(&text, i % 3 ? "nop\n" : i % 2 ? "add r1, r1, #1\n" : "movxm r2, #3\n"));
            assert_true(ts_buf_puts(&text, "first:\n"));
            for (int i = 0; i < body; i++)
                assert_true(ts_buf_printf(&text, "%sadd r0, r0, #%d\n", i == body - 1 ? "last: " : "", i));
            assert_true(ts_buf_puts(&text, "done\n"));
            assert_ok(ts_aie2_assemble(&p, "t", text.data, text.len, NULL, &err));
            assert_int_equal(p.n_lines, 3 + before + body + 1);
            assert_int_equal(p.n_loops, 1);
            assert_int_equal(p.loop[0].cycles, body);
            assert_int_equal(p.loop[0].count, 7);
            const ts_aie2_line *first = &p.line[p.loop[0].first], *last = &p.line[p.loop[0].last];
            assert_int_equal(first->addr % 16, 0);
            assert_int_equal(last->addr % 16, 0);
            assert_int_equal(last->b.bytes, 16);
            assert_true(last->addr - p.line[1].addr >= 112);
            ts_aie2_program_free(&p);
            ts_buf_free(&text);
        }
}

static ts_status include(void *ud, const char *path, ts_buf *out, ts_err *err) {
    (void)ud;
    if (strcmp(path, "a.s") != 0 && strcmp(path, "self.s") != 0) return ts_fail(err, TS_E_IO, "%s: not there", path);
    bool ok = ts_buf_puts(out, *path == 'a' ? "mov r1, #2\n" : ".include \"self.s\"\n");
    return ok ? TS_OK : ts_fail_nomem(err, "text", 1);
}

static void test_data_and_include(void **state) {
    (void)state;
    ts_err err;
    ts_aie2_program p;
    ts_aie2_asm_opts opts = {.include = include};
    const char *source =
        ".include \"a.s\"\n.equ n, 2\n.data 0x70010\nx: .byte n, -1\n.align 4\ny: .word x + n*2, 'A'\n"
        ".bf16 1.0, -3.5\n.float 0.5\n.space 3, 7\n.ascii \"hi\\n\"\n.text\n.rept n\nmovxm r0, #y\n.endr\n"
        ".data 0x74000\n.quad 1 << 40\n.text\ndone\n";
    assert_ok(ts_aie2_assemble(&p, "t", source, strlen(source), &opts, &err));
    assert_int_equal(p.n_data, 2);
    const uint8_t want[] = {2,    255,  0,    0, 0x14, 0, 7,    0, 'A', 0, 0, 0, 0x80,
                            0x3f, 0x60, 0xc0, 0, 0,    0, 0x3f, 7, 7,   7, 'h', 'i', '\n'};
    assert_int_equal(p.data[0].addr, 0x70010);
    assert_int_equal(p.data[0].bytes.len, sizeof want);
    assert_memory_equal(p.data[0].bytes.data, want, sizeof want);
    assert_int_equal(p.data[1].bytes.len, 8);
    assert_int_equal(p.n_lines, 4);
    assert_int_equal(p.line[1].b.inst[TS_SLOT_LNG].v[1], 0x70014);
    ts_aie2_program_free(&p);
    assert_status(ts_aie2_assemble(&p, "t", ".include \"b.s\"", 14, &opts, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "b.s: not there"));
    ts_aie2_program_free(&p);
    assert_status(ts_aie2_assemble(&p, "t", ".include \"self.s\"", 17, &opts, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "include each other"));
    ts_aie2_program_free(&p);
}

static void test_too_long(void **state) {
    (void)state;
    ts_err err;
    ts_aie2_program p;
    const char *source = ".rept 1025\nnopa ; nopb ; nops ; nopx ; nopm ; nopv\n.endr\n";
    assert_status(ts_aie2_assemble(&p, "t", source, strlen(source), NULL, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "takes 16400 bytes"));
    ts_aie2_program_free(&p);
}

static bool assemble_and_list(void *ud) {
    (void)ud;
    const char *source =
        ".include \"a.s\"\n.data 0x70000\nx: .word 1\n.text\nmovxm ls, #a\nmovxm le, #b\nmovxm lc, #3\n"
        ".rept 8\nnop\n.endr\na: add r0, r0, r1 ; nopa\n1: nop\nb: nop\njnz r0, #1b\n" NOP5 "done\n";
    ts_aie2_program p, q;
    ts_aie2_asm_opts opts = {.include = include};
    ts_buf text = {0};
    size_t unknown;
    ts_status e = ts_aie2_assemble(&p, "t", source, strlen(source), &opts, NULL);
    bool ok = e == TS_OK;
    assert_true(ok || e == TS_E_NOMEM || e == TS_E_FORMAT); /* an include that found no memory is a message */
    if (ok) {
        ok = ts_aie2_listing(&text, &p) && ts_aie2_map(&text, &p) &&
             ts_aie2_disassemble(&q, (const uint8_t *)p.code.data, p.code.len, 0, &unknown, NULL) == TS_OK;
        if (ok) ts_aie2_program_free(&q);
    }
    ts_buf_free(&text);
    ts_aie2_program_free(&p);
    return ok;
}

static bool run_core(void *ud) {
    (void)ud;
    static const uint8_t code[] = {0x19, 0x08, 0x00, 0x10}; /* done */
    ts_aie2_core core;
    ts_aie2_outside out = {0};
    if (ts_aie2_core_init(&core, &out, NULL) != TS_OK) return false;
    assert_status(ts_aie2_core_load(&core, 0, code, sizeof code, NULL), TS_OK);
    ts_aie2_event e = ts_aie2_core_run(&core, 10);
    bool ok = e == TS_AIE2_DONE;
    if (!ok) assert_int_equal(core.error.code, TS_E_NOMEM);
    ts_aie2_core_fini(&core);
    return ok;
}

static bool run_replay(void *ud) {
    (void)ud;
    static const uint8_t code[] = {0x01, 0x00};
    uint8_t got[4], known[4];
    ts_aie2_capture c = {.code = code, .code_len = 2, .out = code, .out_len = 2, .got = got, .known = known};
    return ts_aie2_replay(&c, 1, NULL) == TS_OK && c.verdict != TS_REPLAY_NOT_MODELLED;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(assemble_and_list, NULL, false);
    alloc_fail_loop(run_core, NULL, false);
    /* 64 worlds, all made alike: a sample of the allocations */
    for (long n = 1, step = 1; n < 1000; n += step, step = n < 8 ? 1 : 29) {
        long live = alloc_fail_live();
        alloc_fail_at(n, false);
        bool ok = run_replay(NULL), failed = alloc_fail_hit();
        alloc_fail_at(0, false);
        assert_int_equal(alloc_fail_live(), live);
        assert_int_equal(ok, !failed);
        if (ok) return;
    }
    fail_msg("the replay needs 1,000 allocations");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),         cmocka_unit_test(test_caret),    cmocka_unit_test(test_loop_layout),
        cmocka_unit_test(test_data_and_include), cmocka_unit_test(test_too_long), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("aie2 asm", tests, NULL, NULL);
}
