/* Kernels in AIE2 assembly (tests/aie2) on the core model: results equal to C, cycles as the listing states. */
#include "support/test.h"

#include "aie2/asm.h"
#include "aie2/core.h"
#include "base/file.h"
#include "base/rng.h"

#include <math.h>

typedef struct machine {
    ts_aie2_core core;
    uint8_t mem[TS_AIE2_DM_BYTES];
    ts_aie2_program p;
    unsigned undefined;
} machine;

static void undefined(void *ud, uint32_t pc, ts_aie2_reg reg) {
    machine *m = ud;
    print_message("pc 0x%x reads %s, never written\n", pc, ts_aie2_regs[reg].name);
    m->undefined++;
}

static void load(machine *m, const char *name) {
    char path[500];
    ts_err err;
    ts_buf text = {0};
    memset(m, 0, sizeof *m);
    snprintf(path, sizeof path, "%s/tests/aie2/%s", getenv("TESSERA_SOURCE"), name);
    assert_ok(ts_file_read(&text, path, 1 << 20, &err));
    assert_ok(ts_aie2_assemble(&m->p, name, text.data, text.len, NULL, &err));
    assert_int_equal(m->p.n_warnings, 0);
    ts_buf_free(&text);
    ts_aie2_outside out = {.ud = m, .undefined = undefined};
    out.mem[TS_AIE2_OWN] = m->mem;
    assert_ok(ts_aie2_core_init(&m->core, &out, &err));
    assert_ok(ts_aie2_core_load(&m->core, 0, (const uint8_t *)m->p.code.data, m->p.code.len, &err));
    m->core.check_undefined = true;
}

static void unload(machine *m) {
    ts_aie2_core_fini(&m->core);
    ts_aie2_program_free(&m->p);
}

/* Run from the start with n passes; the cycles it took. */
static uint64_t run(machine *m, unsigned n) {
    ts_aie2_core_reset(&m->core);
    ts_aie2_core_set32(&m->core, TS_R_p0, 0x70000);
    ts_aie2_core_set32(&m->core, TS_R_p1, 0x74000);
    ts_aie2_core_set32(&m->core, TS_R_p2, 0x78000);
    ts_aie2_core_set32(&m->core, TS_R_p3, 0x7c000);
    ts_aie2_core_set32(&m->core, TS_R_r4, n);
    ts_aie2_event e = ts_aie2_core_run(&m->core, 1000000);
    if (e == TS_AIE2_ERROR) fail_msg("%s", m->core.error.msg);
    assert_int_equal(e, TS_AIE2_DONE);
    ts_aie2_core_drain(&m->core, 16);
    assert_int_equal(m->undefined, 0);
    assert_int_equal(m->core.bank_stalls, 0);
    return m->core.bundles;
}

/* One more pass costs what the listing says, and no more than the schedule that the kernel claims. */
static void check_cycles(machine *m, unsigned claimed) {
    ts_buf text = {0};
    char want[60];
    assert_int_equal(m->p.n_loops, 1);
    assert_int_equal(m->p.loop[0].cycles, claimed);
    assert_int_equal(m->p.loop[0].stalls, 0);
    assert_true(ts_aie2_listing(&text, &m->p));
    snprintf(want, sizeof want, "%u cycles a pass", claimed);
    assert_non_null(strstr(text.data, want));
    ts_buf_free(&text);
    uint64_t few = run(m, 3), more = run(m, 53);
    assert_int_equal(more - few, 50 * claimed);
}

static void fill_random(machine *m, ts_rng *rng) {
    for (size_t i = 0; i < sizeof m->mem; i++) m->mem[i] = (uint8_t)ts_rng_u32(rng);
}

static int32_t got32(const machine *m, unsigned i) {
    int32_t v;
    memcpy(&v, m->mem + 0xc000 + 4 * i, 4);
    return v;
}

/* element of a blocked matrix: blocks of 8x8 (weights), in two halves */
static int weight(const machine *m, unsigned block, unsigned k, unsigned n) {
    return (int8_t)m->mem[(k < 4 ? 0 : 0x4000) + 32 * block + 8 * (k % 4) + n];
}

static void test_gemv(void **state) {
    (void)state;
    static machine m;
    ts_rng rng = ts_rng_seed(1);
    load(&m, "gemv_i8.s");
    for (unsigned n = 1; n <= 40; n += 13) {
        fill_random(&m, &rng);
        run(&m, n);
        for (unsigned r = 0; r < 4; r++)
            for (unsigned c = 0; c < 8; c++) {
                int32_t sum = 0;
                for (unsigned k = 0; k < 16 * n; k++)
                    sum += (int8_t)m.mem[0x8000 + 32 * (k / 8) + 8 * r + k % 8] * weight(&m, k / 8, k % 8, c);
                assert_int_equal(got32(&m, 8 * r + c), sum);
            }
    }
    check_cycles(&m, 3);
    unload(&m);
}

static void test_gemm(void **state) {
    (void)state;
    static machine m;
    ts_rng rng = ts_rng_seed(2);
    load(&m, "gemm_i8.s");
    for (unsigned n = 1; n <= 60; n += 19) {
        fill_random(&m, &rng);
        run(&m, n);
        for (unsigned r = 0; r < 8; r++)
            for (unsigned c = 0; c < 16; c++) {
                int32_t sum = 0;
                for (unsigned k = 0; k < 8 * n; k++)
                    sum += (int8_t)m.mem[0x8000 + 64 * (k / 8) + 32 * (r / 4) + 8 * (r % 4) + k % 8] *
                           weight(&m, 2 * (k / 8) + c / 8, k % 8, c % 8);
                assert_int_equal(got32(&m, 64 * (r / 4) + 32 * (c / 8) + 8 * (r % 4) + c % 8), sum);
            }
    }
    check_cycles(&m, 4);
    unload(&m);
}

/* ---- bfloat16, written down from the documentation in double arithmetic ------------------------------------------ */

static double bf16(const machine *m, unsigned at) {
    uint32_t bits = 0;
    float f;
    memcpy((uint8_t *)&bits + 2, m->mem + at, 2);
    memcpy(&f, &bits, 4);
    return (double)f;
}

/* The exponent that a term is lined up by: of a product, the sum of those of its factors, also when the mantissas make
 * it one more. */
static int exponent(double x) {
    return x == 0 ? -10000 : ilogb(x);
}

/* Sum of terms as the vector unit makes it: each rounded to 23 bits below the largest exponent, then added, then
 * rounded to a float. `e` are the exponents that count. */
static float hardware_sum(const double *t, const int *e, int n) {
    int top = -10000;
    double sum = 0;
    for (int i = 0; i < n; i++)
        if (e[i] > top) top = e[i];
    for (int i = 0; i < n; i++) sum += ldexp(rint(ldexp(t[i], 23 - top)), top - 23);
    return (float)sum;
}

static float mac_lane(const machine *m, float acc, unsigned pair, unsigned lane) {
    double t[3] = {(double)acc};
    int e[3] = {exponent((double)acc)};
    for (unsigned k = 0; k < 2; k++) {
        double a = bf16(m, 64 * pair + 32 * k + 2 * lane), b = bf16(m, 0x4000 + 64 * pair + 32 * k + 2 * lane);
        t[1 + k] = a * b;
        e[1 + k] = a == 0 || b == 0 ? -10000 : exponent(a) + exponent(b);
    }
    return hardware_sum(t, e, 3);
}

static float add(float a, float b) {
    return hardware_sum((double[]){(double)a, (double)b}, (int[]){exponent((double)a), exponent((double)b)}, 2);
}

static void test_dot(void **state) {
    (void)state;
    static machine m;
    ts_rng rng = ts_rng_seed(3);
    load(&m, "dot_bf16.s");
    for (unsigned n = 1; n <= 40; n += 3) {
        for (unsigned i = 0; i < 0x8000; i += 2) { /* numbers about 1, both signs */
            uint16_t v =
                (uint16_t)(ts_rng_below(&rng, 2) << 15 | (120 + ts_rng_below(&rng, 14)) << 7 | ts_rng_below(&rng, 128));
            memcpy(m.mem + i, &v, 2);
        }
        run(&m, n);
        float lane[2][16] = {{0}};
        for (unsigned p = 0; p < 2 * n; p++)
            for (unsigned i = 0; i < 16; i++) lane[p % 2][i] = mac_lane(&m, lane[p % 2][i], p, i);
        float v[16];
        for (unsigned i = 0; i < 16; i++) v[i] = add(lane[0][i], lane[1][i]);
        for (unsigned half = 8; half; half /= 2) {
            float turned[16];
            for (unsigned i = 0; i < 16; i++) turned[i] = i + half < 16 ? v[i + half] : v[i + half - 16];
            for (unsigned i = 0; i < 16; i++) v[i] = add(v[i], turned[i]);
        }
        int32_t want;
        memcpy(&want, &v[0], 4);
        assert_int_equal(got32(&m, 0), want);
    }
    check_cycles(&m, 4);
    unload(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemv),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_dot),
    };
    return cmocka_run_group_tests_name("aie2 kernels", tests, NULL, NULL);
}
