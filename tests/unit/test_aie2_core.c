/* The AIE2 core model: when results appear, delay slots, loops, addresses, waiting, undefined registers. */
#include "support/test.h"

#include "aie2/asm.h"
#include "aie2/core.h"

typedef struct machine {
    ts_aie2_core core;
    uint8_t mem[TS_AIE2_WINDOWS][TS_AIE2_DM_BYTES];
    int32_t lock[64];
    uint32_t stream_in[8], stream_out[8];
    unsigned n_in, next_in, n_out, room_out;
    bool cascade_ready;
    unsigned n_undefined;
    ts_aie2_reg undefined[8];
} machine;

static machine m;

static bool acquire(void *ud, unsigned lock, int32_t v) {
    (void)ud;
    if (v < 0 ? m.lock[lock] < -v : m.lock[lock] != v) return false;
    m.lock[lock] += v < 0 ? v : -v;
    return true;
}
static bool release(void *ud, unsigned lock, int32_t v) {
    (void)ud;
    m.lock[lock] += v;
    return true;
}
static bool stream_read(void *ud, uint32_t *word, bool *tlast) {
    (void)ud;
    if (m.next_in == m.n_in) return false;
    *word = m.stream_in[m.next_in++];
    *tlast = false;
    return true;
}
static bool stream_write(void *ud, uint32_t word, bool tlast) {
    (void)ud, (void)tlast;
    if (m.n_out == m.room_out) return false;
    m.stream_out[m.n_out++] = word;
    return true;
}
static bool cascade_read(void *ud, uint8_t data[64]) {
    (void)ud;
    for (int i = 0; i < 64; i++) data[i] = (uint8_t)(3 * i);
    return m.cascade_ready;
}
static void undefined(void *ud, uint32_t pc, ts_aie2_reg reg) {
    (void)ud, (void)pc;
    if (m.n_undefined < 8) m.undefined[m.n_undefined] = reg;
    m.n_undefined++;
}

static void load(const char *source) {
    ts_err err;
    ts_aie2_program p;
    ts_aie2_asm_opts opts = {.no_hazards = true};
    ts_aie2_core_fini(&m.core);
    memset(&m, 0, sizeof m);
    assert_ok(ts_aie2_assemble(&p, "t", source, strlen(source), &opts, &err));
    ts_aie2_outside out = {.acquire = acquire,
                           .release = release,
                           .stream_read = stream_read,
                           .stream_write = stream_write,
                           .cascade_read = cascade_read,
                           .undefined = undefined};
    for (int i = 0; i < TS_AIE2_WINDOWS; i++) out.mem[i] = m.mem[i];
    assert_ok(ts_aie2_core_init(&m.core, &out, &err));
    assert_ok(ts_aie2_core_load(&m.core, 0, (const uint8_t *)p.code.data, p.code.len, &err));
    ts_aie2_program_free(&p);
    m.room_out = 8;
}

static void run_to_done(void) {
    ts_aie2_event e = ts_aie2_core_run(&m.core, 10000);
    if (e != TS_AIE2_DONE) fail_msg("event %d: %s", e, m.core.error.msg);
    ts_aie2_core_drain(&m.core, 16);
}

static uint32_t reg(ts_aie2_reg r) {
    return ts_aie2_core_get32(&m.core, r);
}

/* a value copied to r10, r11, ... one bundle after another: the first that has the new one is in r(10 + distance -
 * 1) */
#define COPY(r)                                                                                                   \
    "mov r10, " r "\nmov r11, " r "\nmov r12, " r "\nmov r13, " r "\nmov r14, " r "\nmov r15, " r "\nmov r16, " r \
    "\nmov r17, " r "\nmov r18, " r "\ndone\n"

static void assert_distance(const char *what, unsigned distance, uint32_t new_value) {
    for (unsigned d = 1; d <= 9; d++)
        if ((reg((ts_aie2_reg)(TS_R_r10 + d - 1)) == new_value) != (d >= distance))
            fail_msg("%s: after %u bundles r is 0x%x", what, d, reg((ts_aie2_reg)(TS_R_r10 + d - 1)));
}

static void test_latency(void **state) {
    (void)state;
    load("mova r1, #6\nmova r2, #7\nmova r3, #1\nmul r3, r1, r2\n" COPY("r3"));
    run_to_done();
    assert_distance("mul", 2, 42);
    load("movxm p0, #0x70000\nmova r3, #1\nlda r3, [p0, #4]\n" COPY("r3"));
    m.mem[TS_AIE2_OWN][4] = 99;
    run_to_done();
    assert_distance("lda", 7, 99);
    load("mova r3, #1\nmova r4, #5\nmov.d4 r3, r4\n" COPY("r3"));
    run_to_done();
    assert_distance("mov.d4", 5, 5);
    load("mova r3, #1\nmov r3, SS\n" COPY("r3"));
    m.n_in = 1, m.stream_in[0] = 77;
    run_to_done();
    assert_distance("stream", 7, 77);
    load("movxm p0, #0x70000\npadda [p0], #12\nmov r3, p0\n" COPY("r3"));
    run_to_done();
    assert_distance("padda", 1, 0x7000c);
}

/* lanes on the bypass: one bundle to another lane instruction, two to a store */
static void test_bypass(void **state) {
    (void)state;
    load(
        "mova r1, #3\nmovxm p0, #0x70000\nvbcst.32 x0, r1\nvadd.32 x1, x0, x0\nvadd.32 x2, x1, x1\nvadd.32 x3, x2, x2\n"
        "vst wl3, [p0, #0]\nvst wl3, [p0, #32]\ndone\n");
    run_to_done();
    uint32_t v[2];
    memcpy(&v[0], m.mem[TS_AIE2_OWN], 4);
    memcpy(&v[1], m.mem[TS_AIE2_OWN] + 32, 4);
    assert_int_equal(v[0], 0); /* one bundle behind: the old value */
    assert_int_equal(v[1], 24);
    /* vmac after vmac on one accumulator: two bundles */
    load("mova r1, #1\nmovxm r0, #0x308\nvbcst.8 x0, r1\nvclr cm0\nnop\nnop\nnop\nnop\nnop\n"
         "vmac cm0, cm0, x0, x0, r0\nnop\nvmac cm0, cm0, x0, x0, r0\nnop\nnop\nnop\nnop\nnop\ndone\n");
    run_to_done();
    uint32_t acc[32];
    ts_aie2_core_get(&m.core, TS_R_cm0, acc);
    for (int i = 0; i < 32; i++) assert_int_equal(acc[i], 16);
    load("mova r1, #1\nmovxm r0, #0x308\nvbcst.8 x0, r1\nvclr cm0\nnop\nnop\nnop\nnop\nnop\n"
         "vmac cm0, cm0, x0, x0, r0\nvmac cm0, cm0, x0, x0, r0\nnop\nnop\nnop\nnop\nnop\ndone\n");
    run_to_done();
    ts_aie2_core_get(&m.core, TS_R_cm0, acc);
    for (int i = 0; i < 32; i++) assert_int_equal(acc[i], 8); /* the second has not seen the first */
}

static void test_branches(void **state) {
    (void)state;
    load("mova r1, #0\nj #away\nadd r1, r1, #1\nadd r1, r1, #2\nadd r1, r1, #4\nadd r1, r1, #8\nadd r1, r1, #16\n"
         "add r1, r1, #32\naway: done\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r1), 31);
    load("mova r1, #0\nmova r2, #3\nagain: jnz r2, #again\nadd r2, r2, #-1\nadd r1, r1, #1\nnop\nnop\nnop\ndone\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r1), 4);
    load("movxm p1, #2f\nmova r1, #0\nmova r2, #2\n2: jnzd r2, r2, p1\nadd r1, r1, #1\nnop\nnop\nnop\nnop\ndone\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r1), 3);
    assert_int_equal(reg(TS_R_r2), 0xffffffff);
    load("mova r1, #0\njl #sub\nnop\nnop\nnop\nnop\nnop\nadd r1, r1, #1\ndone\nnop\n"
         "sub: ret lr\nadd r1, r1, #10\nnop\nnop\nnop\nnop\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r1), 11);
    load("j #0\nj #0\nnop\nnop\nnop\nnop\n");
    assert_int_equal(ts_aie2_core_run(&m.core, 100), TS_AIE2_ERROR);
    assert_non_null(strstr(m.core.error.msg, "delay slots"));
}

static void test_loops(void **state) {
    (void)state;
    for (int count = 0; count < 5; count++) {
        char source[400];
        snprintf(source, sizeof source,
                 "movxm ls, #a\nmovxm le, #b\nmova lc, #%d\nmova r1, #0\nnop\nnop\nnop\nnop\nnop\na: add r1, r1, #1\n"
                 "add r1, r1, #10\nb: nop\ndone\n", count);
        load(source);
        run_to_done();
        assert_int_equal(reg(TS_R_r1), 11 * (count ? count : 1));
        assert_int_equal(m.core.cycle - 16, 9 + 3 * (unsigned)(count ? count : 1) + 1);
    }
}

static void test_walks(void **state) {
    (void)state;
    /* 2D: 3 columns 4 apart, rows 100 apart: the modifier goes to the next row from the last column */
    load("movxm p0, #0x70000\nmova dn1, #2\nmova dj1, #4\nmova dc1, #0\nmova m1, #92\n"
         "padda.2d [p0], d1\nmov r1, p0\npadda.2d [p0], d1\nmov r2, p0\npadda.2d [p0], d1\nmov r3, p0\n"
         "padda.2d [p0], d1\nmov r4, p0\ndone\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r1), 0x70004);
    assert_int_equal(reg(TS_R_r2), 0x70008);
    assert_int_equal(reg(TS_R_r3), 0x70008 + 92);
    assert_int_equal(reg(TS_R_r4), 0x70008 + 96);
    /* 3D: 2 x 2, then the modifier */
    load("movxm p0, #0x70000\nmova dn0, #1\nmova dj0, #1\nmova dc0, #0\nmova dn4, #1\nmova dj4, #16\nmova dc4, #0\n"
         "mova m0, #256\npaddb.3d [p0], d0_3d\nmov r1, p0\npaddb.3d [p0], d0_3d\nmov r2, p0\npaddb.3d [p0], d0_3d\n"
         "mov r3, p0\npaddb.3d [p0], d0_3d\nmov r4, p0\ndone\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r1), 0x70001);
    assert_int_equal(reg(TS_R_r2), 0x70011);
    assert_int_equal(reg(TS_R_r3), 0x70012);
    assert_int_equal(reg(TS_R_r4), 0x70112);
    /* wraps at 20 bits; negative modifiers */
    load("movxm p0, #0xffffc\npadda [p0], #8\nmov r1, p0\nmova m2, #-4\npadda [p0], m2\nmov r2, p0\ndone\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r1), 4);
    assert_int_equal(reg(TS_R_r2), 0);
}

static void test_memory(void **state) {
    (void)state;
    load("movxm p0, #0x40000\nmovxm p1, #0x50000\nmovxm p2, #0x60000\nmovxm p3, #0x70000\nmova r1, #-2\n"
         "st r1, [p0, #0]\nst r1, [p1, #4]\nst r1, [p2, #8]\nst.s8 r1, [p3, #1]\nlda r2, [p3, #0]\n"
         "nop\nnop\nnop\nnop\nnop\nlda r3, [p3, #0]\nlda.u8 r4, [p3, #1]\nlda.s8 r5, [p3, #1]\n"
         "nop\nnop\nnop\nnop\nnop\nnop\nnop\ndone\n");
    run_to_done();
    assert_int_equal(m.mem[TS_AIE2_SOUTH][0], 0xfe);
    assert_int_equal(m.mem[TS_AIE2_WEST][4], 0xfe);
    assert_int_equal(m.mem[TS_AIE2_NORTH][8], 0xfe);
    assert_int_equal(reg(TS_R_r2), 0); /* a partial store lands six bundles later */
    assert_int_equal(reg(TS_R_r3), 0xfe00);
    assert_int_equal(reg(TS_R_r4), 0xfe);
    assert_int_equal(reg(TS_R_r5), 0xfffffffe);
    /* vst.srs lands two bundles later than vst */
    load(
        "movxm p0, #0x70000\nmova r1, #5\nvbcst.8 x0, r1\nmova r2, #0\nmov s0, r2\nvups.s32.s8 cm0, wl0, s0\nnop\nnop\n"
        "vst.srs.s8.s32 cm0, s0, [p0, #0]\nlda r3, [p0, #0]\nlda r4, [p0, #0]\nlda r5, [p0, #0]\n"
        "nop\nnop\nnop\nnop\nnop\nnop\nnop\ndone\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r3), 0);
    assert_int_equal(reg(TS_R_r4), 0);
    assert_int_equal(reg(TS_R_r5), 0x05050505);
    /* banks: two loads of one quarter collide, of two quarters do not */
    load("movxm p0, #0x70000\nmovxm p1, #0x70020\nmovxm p2, #0x74000\nvlda wl0, [p0, #0] ; vldb wl1, [p1, #0]\n"
         "vlda wl0, [p0, #0] ; vldb wl1, [p2, #0]\ndone\n");
    run_to_done();
    assert_int_equal(m.core.bank_stalls, 1);
    assert_int_equal(m.core.cycle - 16 - m.core.bundles, 1);
    load("movxm p0, #0x30000\nlda r0, [p0, #0]\ndone\n");
    assert_int_equal(ts_aie2_core_run(&m.core, 100), TS_AIE2_ERROR);
    assert_non_null(strstr(m.core.error.msg, "no memory at address 0x30000"));
}

static void test_waiting(void **state) {
    (void)state;
    /* both things that a bundle waits for; results under way wait with it */
    load("mova r0, #-1\nmova r1, #1\nmova r3, #0\nmova r2, #20\nmul r3, r2, r2\nacq #49, r0 ; mov r4, SS\nadd r5, r3, "
         "r3\n"
         "nop\nnop\nnop\nnop\nnop\nnop\nrel #50, r1\ndone\n");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ts_aie2_core_run(&m.core, 100), TS_AIE2_STALL);
        assert_int_equal(m.core.stall, TS_AIE2_STALL_STREAM_IN);
    }
    m.stream_in[0] = 5, m.n_in = 1;
    for (int i = 0; i < 2; i++) { /* the word is taken once, however often the bundle is tried */
        assert_int_equal(ts_aie2_core_run(&m.core, 100), TS_AIE2_STALL);
        assert_int_equal(m.core.stall, TS_AIE2_STALL_LOCK);
        assert_int_equal(m.core.stall_lock, 49);
        assert_int_equal(m.next_in, 1);
    }
    m.lock[49] = 1;
    run_to_done();
    assert_int_equal(reg(TS_R_r4), 5);
    assert_int_equal(reg(TS_R_r5), 800);
    assert_int_equal(m.lock[49], 0);
    assert_int_equal(m.lock[50], 1);
    assert_int_equal(m.core.bundles, 15);
    assert_int_equal(m.core.cycle - 16, 15 + 5);
    /* a full output */
    load("mova r0, #7\nmov ms, r0\nmov ms, r0\ndone\n");
    m.room_out = 1;
    assert_int_equal(ts_aie2_core_run(&m.core, 100), TS_AIE2_STALL);
    assert_int_equal(m.core.stall, TS_AIE2_STALL_STREAM_OUT);
    m.room_out = 2;
    run_to_done();
    assert_int_equal(m.n_out, 2);
    /* the form that does not wait */
    load("mova r0, #1\nmov.nb r0, SS\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nmov r1, srSS0\ndone\n");
    run_to_done();
    assert_int_equal(reg(TS_R_r0), 1);
    assert_int_equal(reg(TS_R_r1), 0);
    load("vmov x1, SCD\nnop\nnop\nnop\nnop\nnop\nnop\ndone\n");
    assert_int_equal(ts_aie2_core_run(&m.core, 100), TS_AIE2_STALL);
    assert_int_equal(m.core.stall, TS_AIE2_STALL_CASCADE_IN);
    m.cascade_ready = true;
    run_to_done();
    uint8_t x[64];
    ts_aie2_core_get(&m.core, TS_R_x1, x);
    assert_int_equal(x[10], 30);
    /* acq.cond */
    load("mova r26, #0\nmova r0, #-1\nacq.cond #48, r0, r26\ndone\n");
    run_to_done();
}

static void test_undefined(void **state) {
    (void)state;
    load("movxm p0, #0x70000\nlda r1, [p0, #0]\nadd r2, r1, r3\nvadd.8 x1, x2, x2\nvmov x3, x1\nvclr cm1\n"
         "movxm r0, #0x309\nnop\nnop\nnop\nvmac cm0, cm2, x1, x1, r0\nmovxm r0, #0x308\nvmac cm0, cm3, x1, x1, r0\n"
         "nop\nnop\nnop\nnop\nnop\nmov r4, crSat\ndone\n");
    m.core.check_undefined = true;
    run_to_done();
    /* r1 and r3 (the load has not arrived), x2's halves, cm3's quarters; cm2 is not read, for its configuration says
     * zero */
    assert_int_equal(m.n_undefined, 2 + 2 + 4);
    assert_int_equal(m.undefined[0], TS_R_r1);
    assert_int_equal(m.undefined[1], TS_R_r3);
    assert_int_equal(m.undefined[2], TS_R_wl2);
    assert_int_equal(m.undefined[4], TS_R_amll3);
    assert_true(ts_aie2_core_defined(&m.core, TS_R_x1));
    assert_false(ts_aie2_core_defined(&m.core, TS_R_x5));
}

static void test_stepping(void **state) {
    (void)state;
    load("mova r1, #1\nadd r1, r1, #1\nadd r1, r1, #1\nvmac cm0, cm0, x0, qx0, r0\n");
    m.core.has_break = true;
    m.core.break_pc = 4 + 4;
    assert_int_equal(ts_aie2_core_run(&m.core, 100), TS_AIE2_BREAK);
    assert_int_equal(m.core.pc, 8);
    assert_int_equal(ts_aie2_core_run(&m.core, 1), TS_AIE2_RAN);
    assert_int_equal(ts_aie2_core_run(&m.core, 1), TS_AIE2_ERROR);
    assert_non_null(strstr(m.core.error.msg, "VMAC_vmac_cm_core_sparse_narrow is not modelled"));
    assert_int_equal(reg(TS_R_r1), 3);
    ts_aie2_core_reset(&m.core);
    assert_int_equal(m.core.pc, 0);
    assert_int_equal(ts_aie2_core_run(&m.core, 1), TS_AIE2_RAN);
    /* a second core on the same program */
    ts_err err;
    ts_aie2_core other;
    ts_aie2_outside out = {0};
    assert_ok(ts_aie2_core_init(&other, &out, &err));
    ts_aie2_core_share(&other, &m.core);
    other.has_break = true;
    other.break_pc = 12;
    assert_int_equal(ts_aie2_core_run(&other, 100), TS_AIE2_BREAK);
    assert_int_equal(ts_aie2_core_get32(&other, TS_R_r1), 3);
    ts_aie2_core_fini(&other);
    assert_status(ts_aie2_core_load(&m.core, 16380, (const uint8_t *)"12345", 5, &err), TS_E_LIMIT);
}

/* Everything but what is said not to be modelled is modelled. */
static void test_modelled(void **state) {
    (void)state;
    unsigned n = 0;
    for (unsigned i = 0; i < TS_INSNS; i++) {
        const ts_aie2_insninfo *info = &ts_aie2_insns[i];
        bool sparse = strstr(info->name, "sparse") || strstr(info->name, "SPARSE") || strstr(info->name, "COMPR");
        if (ts_aie2_modelled((ts_aie2_insn)i) == sparse) fail_msg("%s", info->name);
        n += !sparse;
    }
    assert_true(n > 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency), cmocka_unit_test(test_bypass),    cmocka_unit_test(test_branches),
        cmocka_unit_test(test_loops),   cmocka_unit_test(test_walks),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_waiting), cmocka_unit_test(test_undefined), cmocka_unit_test(test_stepping),
        cmocka_unit_test(test_modelled),
    };
    int e = cmocka_run_group_tests_name("aie2 core", tests, NULL, NULL);
    ts_aie2_core_fini(&m.core);
    return e;
}
