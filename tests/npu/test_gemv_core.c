/* The core program gemv.s on the model of one core, the DMA played by the test: sums against C from the file's blocks,
 * results against the reference kernel bit for bit, cycles of a unit. */
#include "support/alloc_fail.h"
#include "mats.h"

#include "aie2/core.h"
#include "npu/gemv_code.h"

/* ---- one core and what surrounds it ------------------------------------------------------------------------------ */

typedef struct machine {
    ts_aie2_core core;
    uint8_t mem[TS_AIE2_DM_BYTES];
    ts_rng *rng;
    unsigned wait_1_in; /* a lock is refused once in so many times, 0: never */
    /* what comes in, what goes out */
    const uint8_t *weights, *packets;
    uint32_t n_buffers, n_packets, next_buffer, next_packet;
    uint8_t *out;
    size_t out_bytes, out_cap;
    uint32_t w_held, a_held, o_held, w_slot, a_slot, o_slot; /* slots: the next of each ring */
    unsigned undefined;
} machine;

static uint8_t *at(machine *m, uint32_t addr) {
    return m->mem + (addr & 0xffff);
}

static bool acquire(void *ud, unsigned lock, int32_t v) {
    machine *m = ud;
    assert_int_equal(v, -1);
    if (m->wait_1_in && ts_rng_below(m->rng, m->wait_1_in) == 0) return false;
    switch (lock) {
    case TS_GEMV_W_FULL:
        if (m->next_buffer == m->n_buffers) return false;
        memcpy(at(m, TS_GEMV_W_BASE + m->w_slot++ % TS_GEMV_W_COUNT * TS_GEMV_W_STRIDE),
               m->weights + (size_t)m->next_buffer * TS_GEMV_W_BYTES, TS_GEMV_W_BYTES);
        m->next_buffer++;
        assert_int_equal(m->w_held++, 0);
        return true;
    case TS_GEMV_A_FULL:
        if (m->next_packet == m->n_packets) return false;
        memcpy(at(m, TS_GEMV_A_BASE + m->a_slot++ % TS_GEMV_A_COUNT * TS_GEMV_A_BYTES),
               m->packets + (size_t)m->next_packet * TS_GEMV_A_BYTES, TS_GEMV_A_BYTES);
        m->next_packet++;
        assert_int_equal(m->a_held++, 0);
        return true;
    case TS_GEMV_O_EMPTY: assert_int_equal(m->o_held++, 0); return true;
    default: fail_msg("the core takes lock %u", lock); return false;
    }
}

/* What has been given back is not looked at again. */
static void spoil(machine *m, uint32_t addr, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) at(m, addr)[i] = (uint8_t)(0x55 + 7 * i);
}

static bool release(void *ud, unsigned lock, int32_t v) {
    machine *m = ud;
    assert_int_equal(v, 1);
    switch (lock) {
    case TS_GEMV_W_EMPTY:
        assert_int_equal(m->w_held--, 1);
        spoil(m, TS_GEMV_W_BASE + (m->w_slot - 1) % TS_GEMV_W_COUNT * TS_GEMV_W_STRIDE, TS_GEMV_W_STRIDE);
        return true;
    case TS_GEMV_A_EMPTY:
        assert_int_equal(m->a_held--, 1);
        spoil(m, TS_GEMV_A_BASE + (m->a_slot - 1) % TS_GEMV_A_COUNT * TS_GEMV_A_BYTES, TS_GEMV_A_BYTES);
        return true;
    case TS_GEMV_O_FULL: {
        assert_int_equal(m->o_held--, 1);
        uint32_t chunk = TS_GEMV_O_BASE + m->o_slot++ % TS_GEMV_O_COUNT * TS_GEMV_O_STRIDE;
        if (m->out_bytes + TS_GEMV_O_BYTES > m->out_cap) fail_msg("more results than there should be");
        memcpy(m->out + m->out_bytes, at(m, chunk), TS_GEMV_O_BYTES);
        m->out_bytes += TS_GEMV_O_BYTES;
        spoil(m, chunk, TS_GEMV_O_BYTES);
        return true;
    }
    default: fail_msg("the core gives lock %u", lock); return false;
    }
}

static void undefined(void *ud, uint32_t pc, ts_aie2_reg reg) {
    machine *m = ud;
    print_message("pc 0x%x reads %s, never written\n", pc, ts_aie2_regs[reg].name);
    m->undefined++;
}

static void machine_init(machine *m, int number, ts_rng *rng) {
    ts_err err;
    memset(m, 0, sizeof *m);
    ts_aie2_outside out = {.ud = m, .acquire = acquire, .release = release, .undefined = undefined};
    out.mem[TS_AIE2_OWN] = m->mem;
    for (size_t i = 0; i < sizeof m->mem; i++) m->mem[i] = (uint8_t)ts_rng_u32(rng);
    memcpy(at(m, TS_GEMV_PARAMS), (uint32_t[]){4 * (uint32_t)number, 0}, 8);
    m->rng = rng;
    assert_ok(ts_aie2_core_init(&m->core, &out, &err));
    assert_ok(ts_aie2_core_load(&m->core, 0, ts_gemv_code, ts_gemv_code_bytes, &err));
    m->core.check_undefined = true;
}

/* Feed a job; the cycles until the core waits for the next packet. */
static uint64_t machine_run(machine *m, const uint8_t *packets, uint32_t n_packets, const uint8_t *weights,
                            uint32_t n_buffers, uint8_t *out, size_t out_bytes) {
    m->packets = packets, m->n_packets = n_packets, m->next_packet = 0;
    m->weights = weights, m->n_buffers = n_buffers, m->next_buffer = 0;
    m->out = out, m->out_bytes = 0, m->out_cap = out_bytes;
    uint64_t begin = m->core.cycle, quiet = 0;
    for (uint64_t last = begin; m->core.cycle - begin < 100000000;) {
        ts_aie2_event e = ts_aie2_core_run(&m->core, 1000000);
        if (e == TS_AIE2_ERROR) fail_msg("%s", m->core.error.msg);
        if (e != TS_AIE2_STALL) continue;
        assert_int_equal(m->core.stall, TS_AIE2_STALL_LOCK);
        quiet = m->core.cycle - last < 2 ? quiet + 1 : 0;
        last = m->core.cycle;
        if (quiet > 200) break; /* for good: not one of the test's own delays */
    }
    assert_int_equal(m->core.stall_lock, TS_GEMV_A_FULL);
    assert_int_equal(m->next_packet, n_packets);
    assert_int_equal(m->next_buffer, n_buffers);
    assert_int_equal(m->out_bytes, out_bytes);
    assert_int_equal(m->w_held + m->a_held + m->o_held, 0);
    assert_int_equal(m->undefined, 0);
    return m->core.cycle - begin - quiet;
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static ts_kern ref, best; /* the reference, and the best of this processor */

typedef struct cost {
    uint64_t cycles, units;
} cost;

/* A whole linear layer on eight cores, one after the other; `wait_1_in` as in machine. */
static cost layer(ts_dtype type, uint32_t n_rows, uint32_t K, uint32_t n_tok, fill weights, fill acts,
                  unsigned wait_1_in, uint64_t seed) {
    static machine m;
    ts_rng rng = ts_rng_seed(seed);
    ts_gemv_mat mat;
    ts_err err;
    ts_qact x;
    cost c = {0};
    assert_true(ts_gemv_mat_init(&mat, type, n_rows, K, (unsigned)seed));
    size_t row_bytes = ts_dtype_row_bytes(type, K);
    uint8_t *rows = ts_alloc(n_rows, row_bytes);
    float *in = ts_alloc((size_t)n_tok * K, 4), *want = ts_alloc((size_t)n_tok * n_rows, 4),
          *got = ts_calloc((size_t)n_tok * n_rows, 4);
    fill_rows(rows, type, n_rows * row_bytes, weights, &rng);
    fill_x(in, (size_t)n_tok * K, acts, &rng);
    assert_ok(ts_qact_init(&x, K, n_tok, &err));
    for (uint32_t t = 0; t < n_tok; t++)
        (ts_act_block(type) == 32 ? ref.quant32 : ref.quant256)(in + (size_t)t * K, K, n_tok, t, &x);
    reference(&ref, &mat, rows, row_bytes, &x, n_tok, want);

    ts_gemv_stream stream[TS_GEMV_CORES];
    ts_gemv_guard guard;
    uint16_t *scales = ts_alloc(1, ts_gemv_scale_bytes(&mat));
    for (int s = 0; s < TS_GEMV_CORES; s++) {
        uint32_t n = ts_gemv_buffers(&mat, s) + 1;
        stream[s] = (ts_gemv_stream){.data = ts_calloc(n, TS_GEMV_W_BYTES), .holds = 1, .bytes = TS_GEMV_W_BYTES};
        guard.tag[s] = 1 + ts_rng_u32(&rng) / 2;
        ts_gemv_tag_buffers(&stream[s], n, guard.tag[s]);
    }
    for (uint32_t g = 0; g < mat.n_group; g++)
        ts_gemv_pack_group(&mat, rows, row_bytes, g, &stream[ts_gemv_stream_of(&mat, g)], scales);

    for (int s = 0; s < TS_GEMV_CORES; s++) {
        machine_init(&m, s, &rng);
        m.wait_1_in = wait_1_in;
        /* four tokens at a time, on the same core without a restart */
        uint32_t job = 0;
        for (uint32_t t0 = 0; t0 < n_tok; t0 += TS_GEMV_TOKENS) {
            uint32_t n = n_tok - t0 < TS_GEMV_TOKENS ? n_tok - t0 : TS_GEMV_TOKENS, np = ts_gemv_packets(&mat, n);
            uint8_t skip[TS_GEMV_CORES] = {0};
            skip[s] = (uint8_t)(seed + t0) % 2; /* one buffer of padding, or none */
            uint8_t *packets = ts_alloc(np, TS_GEMV_A_BYTES);
            size_t bytes = ts_gemv_result_bytes(&mat, s, n);
            uint8_t *results = ts_alloc(bytes + TS_GEMV_O_BYTES, 1);
            const uint32_t n_buffers = ts_gemv_buffers(&mat, s) + skip[s];
            guard.number = ts_rng_u32(&rng);
            ts_gemv_fill_packets(&mat, &x, n_tok, t0, n, &guard, true, true, skip, packets);
            c.cycles += machine_run(&m, packets, np, stream[s].data, n_buffers, results, bytes + TS_GEMV_O_BYTES);
            const ts_gemv_proof proof = ts_gemv_proof_read(results + bytes);
            job++;
            assert_memory_equal(&proof,
                                (&(ts_gemv_proof){guard.number, (uint32_t)s, job, job, guard.tag[s] + n_buffers, 0}),
                                sizeof proof);
            for (uint32_t g = mat.first[s]; g < mat.first[s + 1]; g++)
                ts_gemv_combine_group(&mat, scales, results, &x, n_tok, t0, n, g, seed % 2 ? &ref : &best, got,
                                      n_rows);
            c.units += (uint64_t)(mat.first[s + 1] - mat.first[s]) * ((mat.n_slice - 1) * mat.units + mat.units_last);
            ts_free(packets);
            ts_free(results);
        }
        ts_aie2_core_fini(&m.core);
    }
    for (size_t i = 0; i < (size_t)n_tok * n_rows; i++)
        if (memcmp(&want[i], &got[i], 4) != 0 && !(want[i] != want[i] && got[i] != got[i]))
            fail_msg("%s [%u, %u], %u tokens, fill %d %d: token %zu row %zu: %.9g, the reference has %.9g",
                     ts_dtype_get(type)->name, n_rows, K, n_tok, weights, acts, i / n_rows, i % n_rows, (double)got[i],
                     (double)want[i]);
    for (int s = 0; s < TS_GEMV_CORES; s++) ts_free(stream[s].data);
    ts_free(scales), ts_free(rows), ts_free(in), ts_free(want), ts_free(got);
    ts_qact_fini(&x);
    return c;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void test_units(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (int w = 0; w < FILLS; w++)
            for (int a = 0; a < FILLS; a++) layer(all_types[i], 8, 256, 1, (fill)w, (fill)a, 0, 1);
}

static void test_shapes(void **state) {
    (void)state;
    static const uint32_t rows[] = {1, 7, 65, 200}, ks[] = {256, 1024, 1280, 5120};
    uint64_t seed = 10;
    for (size_t i = 0; i < 4; i++)
        for (size_t r = 0; r < 4; r++)
            for (size_t k = 0; k < 4; k++)
                for (uint32_t t = 1; t <= 6; t++)
                    if (r < 3 || k < 2)
                        seed++, layer(all_types[i], rows[r], ks[k], t, RANDOM, RANDOM, 3 * (unsigned)(seed % 3), seed);
    /* small blocks: K that is no multiple of 64 */
    for (size_t i = 2; i < 4; i++)
        for (uint32_t k = 32; k < 1200; k += 224) layer(all_types[i], 30, k, k % 5 + 1, RANDOM, RANDOM, 0, seed + k);
}

/* Other weights than the header says never pass: a stream that is a buffer too far on or too far back, two buffers
 * that have changed places, one of another job, one that is all zero; in the units and in the padding behind them;
 * in the first job and in a later one. And the counts: memory or program as new. */
static void test_guard(void **state) {
    (void)state;
    enum { RIGHT, AHEAD, BACK, SWAPPED, FOREIGN, ZERO, PADDING, MEMORY, HOWS };
    static machine m;
    for (size_t type = 0; type < 4; type++)
        for (int how = 0; how < HOWS; how++)
            for (int late = 0; late < 2; late++) {
                ts_rng rng = ts_rng_seed(type * 100 + (unsigned)how);
                ts_gemv_mat mat;
                assert_true(ts_gemv_mat_init(&mat, all_types[type], 1024, 1024, 0));
                const uint32_t n = ts_gemv_buffers(&mat, 0), all = n + 1, np = ts_gemv_packets(&mat, 1);
                assert_true(n >= 4);
                const uint8_t skip[TS_GEMV_CORES] = {1};
                ts_gemv_stream s = {.data = ts_calloc(all + 2, TS_GEMV_W_BYTES), .holds = 1, .bytes = TS_GEMV_W_BYTES};
                uint8_t *packets = ts_alloc(np, TS_GEMV_A_BYTES), buffer[TS_GEMV_W_BYTES];
                const size_t bytes = ts_gemv_result_bytes(&mat, 0, 1) + TS_GEMV_O_BYTES;
                uint8_t *results = ts_alloc(bytes, 1);
                ts_gemv_tag_buffers(&s, all + 2, 999);
                machine_init(&m, 0, &rng);
                ts_gemv_proof p = {0};
                for (int job = 0; job <= late; job++) {
                    const uint8_t *from = ts_gemv_buffer(&s, 1);
                    if (job == late) {
                        if (how == AHEAD) from = ts_gemv_buffer(&s, 2);
                        if (how == BACK) from = ts_gemv_buffer(&s, 0);
                        if (how == SWAPPED) {
                            memcpy(buffer, ts_gemv_buffer(&s, 2), sizeof buffer);
                            memcpy(ts_gemv_buffer(&s, 2), ts_gemv_buffer(&s, 3), sizeof buffer);
                            memcpy(ts_gemv_buffer(&s, 3), buffer, sizeof buffer);
                        }
                        if (how == FOREIGN)
                            ts_gemv_tag_buffers(&(ts_gemv_stream){ts_gemv_buffer(&s, 4), 1, TS_GEMV_W_BYTES, 0}, 1,
                                                5000);
                        if (how == ZERO) memset(ts_gemv_buffer(&s, n), 0, TS_GEMV_W_BYTES); /* the last with units */
                        if (how == PADDING) memset(ts_gemv_buffer(&s, n + 1), 0, TS_GEMV_W_BYTES);
                        if (how == MEMORY) memset(at(&m, TS_GEMV_PARAMS + 4), 0, 4);
                    }
                    ts_gemv_fill_packets(&mat, NULL, 1, 0, 1, &(ts_gemv_guard){.number = 77, .tag = {1000}}, true, true,
                                         skip, packets);
                    machine_run(&m, packets, np, from, all, results, bytes);
                    p = ts_gemv_proof_read(results + bytes - TS_GEMV_O_BYTES);
                    if (job < late) assert_int_equal(p.wrong, 0);
                }
                const bool counted = how != MEMORY || !late;
                assert_int_equal(p.wrong != 0, how != RIGHT && how != MEMORY);
                assert_int_equal(p.started, late + 1);
                assert_int_equal(p.loaded == p.started, counted);
                assert_int_equal(p.tag, 1000 + all);
                assert_int_equal(p.number, 77);
                ts_aie2_core_fini(&m.core);
                ts_free(s.data), ts_free(packets), ts_free(results);
            }
}

/* What a unit costs on the core beside what its bytes cost on the stream, one word a cycle. */
static void test_cycles(void **state) {
    (void)state;
    for (uint32_t t = 1; t <= 4; t += 3)
        for (size_t i = 0; i < 4; i++) {
            ts_gemv_mat m;
            assert_true(ts_gemv_mat_init(&m, all_types[i], 256, 4096, 0));
            cost c = layer(all_types[i], 256, 4096, t, RANDOM, RANDOM, 0, 3);
            double per_unit = (double)c.cycles / (double)c.units, stream = m.info->unit_bytes / 4.0;
            print_message("%s, %u token%s: %.1f cycles a unit, %.0f words of weights\n",
                          ts_dtype_get(all_types[i])->name, t, t > 1 ? "s" : "", per_unit, stream);
            assert_true(per_unit < stream);
        }
}

static int setup(void **state) {
    (void)state;
    ts_kern_init(&ref, TS_CPU_REF);
    ts_kern_init(&best, ts_cpu_detect());
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_cycles),
    };
    return cmocka_run_group_tests_name("gemv core", tests, setup, NULL);
}
