/* The rungs that make the array work: a core's program, the linear layers, as much reading as it can. */
#include "npu/ladder_int.h"

#include "aie2/asm.h"
#include "base/rng.h"
#include "format/quant.h"
#include "kern/kern.h"
#include "npu/gemv_dev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one core ---------------------------------------------------------------------------------------------------- */

enum { CORE_WORDS = 256 };

/* For each pair of buffers in turn: wait for a full and an empty one, write twice the words, hand both on. Loads take 7
 * cycles, lock instructions and zero-overhead loops want room behind them: the assembler checks the distances. */
static ts_status double_program(ts_buf *code, const ts_design *d, ts_tile core, const ts_tile_buf in[2],
                                const ts_tile_buf out[2], const ts_tile_lock in_lock[2], const ts_tile_lock out_lock[2],
                                ts_err *err) {
    ts_buf text = {0};
    ts_aie2_program p = {0};
    bool ok = ts_buf_puts(&text, "        mova r0, #-1\n        mova r1, #1\ntop:\n");
    for (int i = 0; i < 2; i++)
        ok = ok &&
             ts_buf_printf(&text,
                           "        movxm p0, #0x%x\n"
                           "        movxm p1, #0x%x\n"
                           "        movxm ls, #first%d\n"
                           "        movxm le, #last%d\n"
                           "        movxm lc, #%d\n"
                           "        acq #%d, r0\n"
                           "        .rept 4\n        nop\n        .endr\n"
                           "        acq #%d, r0\n"
                           "        .rept 4\n        nop\n        .endr\n"
                           "first%d: lda r4, [p0], #4\n"
                           "        .rept 6\n        nop\n        .endr\n"
                           "        add r4, r4, r4\n"
                           "last%d:  st r4, [p1], #4\n"
                           "        .rept 4\n        nop\n        .endr\n"
                           "        rel #%d, r1\n"
                           "        .rept 4\n        nop\n        .endr\n"
                           "        rel #%d, r1\n",
                           ts_design_core_addr(d, in[i], core), ts_design_core_addr(d, out[i], core), i, i, CORE_WORDS,
                           ts_design_core_lock(d, in_lock[1], core), ts_design_core_lock(d, out_lock[0], core), i, i,
                           ts_design_core_lock(d, in_lock[0], core), ts_design_core_lock(d, out_lock[1], core));
    ok = ok && ts_buf_puts(&text, "        j #top\n        .rept 5\n        nop\n        .endr\n");
    ts_status s = ok ? ts_aie2_assemble(&p, "the ladder's core program", text.data, text.len, NULL, err)
                     : ts_fail_nomem(err, "a core program", text.len);
    if (s == TS_OK && !ts_buf_append(code, p.code.data, p.code.len))
        s = ts_fail_nomem(err, "a core program", p.code.len);
    ts_aie2_program_free(&p);
    ts_buf_free(&text);
    return s;
}

static ts_status describe_core(const ts_chip *chip, ts_design *d, ts_err *err) {
    ts_tile shim = ts_tile_at(0, TS_ROW_SHIM), core = ts_tile_at(0, chip->core_row);
    ts_tile_buf in[2], out[2];
    ts_ring_step get[2], put[2];
    for (int i = 0; i < 2; i++) {
        in[i] = ts_design_buffer(d, core, "in", 4 * CORE_WORDS, i);
        out[i] = ts_design_buffer(d, core, "out", 4 * CORE_WORDS, 2 + i);
    }
    ts_tile_lock in_lock[2] = {ts_design_lock(d, core, "in empty", 2), ts_design_lock(d, core, "in full", 0)};
    ts_tile_lock out_lock[2] = {ts_design_lock(d, core, "out empty", 2), ts_design_lock(d, core, "out full", 0)};
    for (int i = 0; i < 2; i++) {
        get[i] = (ts_ring_step){.buffer = in[i], .acquire = in_lock[0], .release = in_lock[1]};
        put[i] = (ts_ring_step){.buffer = out[i], .acquire = out_lock[1], .release = out_lock[0]};
    }
    ts_design_dma(d, core, TS_S2MM, 0, get, 2);
    ts_design_dma(d, core, TS_MM2S, 0, put, 2);
    ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(core, 0)}, 1);
    ts_design_flow(d, ts_end_dma(core, 0), (ts_end[]){ts_end_dma(shim, 0)}, 1);
    ts_buf code = {0};
    ts_status s = double_program(&code, d, core, in, out, in_lock, out_lock, err);
    if (s == TS_OK) ts_design_program(d, core, code.data, code.len);
    ts_buf_free(&code);
    return s;
}

ts_status rung_core(climb *c, ts_err *err) {
    const size_t bytes = 4 * LADDER_LOOP_WORDS;
    ts_design *d;
    ts_dispatch p;
    double us;
    TS_TRY(ts_design_new(&d, c->dev->chip, 1, err));
    ts_status s = describe_core(c->dev->chip, d, err);
    if (s != TS_OK) {
        ts_design_free(d);
        return s;
    }
    climb_loop_dispatch(&p, c->dev->chip, 1, 0, LADDER_LOOP_WORDS);
    TS_TRY(climb_plan(c, d, 1, &p, (uint64_t[]){bytes, bytes}, 2, err));
    TS_TRY(climb_up(c, bytes, bytes, err));
    TS_TRY(climb_trip(c, 7, 2, &us, err));
    TS_TRY(climb_trip(c, 8, 2, &us, err)); /* the core goes on where it was */
    climb_say(c, "    core (0,2) doubles %d words in %.0f us (%s)", LADDER_LOOP_WORDS, us, climb_source(c));
    climb_figure(c, "core", us, "us");
    return TS_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Each of the eight channels fills a ring of blocks in its memtile; of each block the first words go back as a proof
 * that it arrived, so a command's end is the arrival of everything. */
enum {
    BLOCK_WORDS = 8192,
    PROOF_WORDS = 16,
    BLOCKS = 4, /* of a ring */
    CHANNELS = 8,
    BLOCKS_SHORT_REAL = 128, /* per channel: 4 MiB and 16 MiB */
    BLOCKS_LONG_REAL = 512,
    BLOCKS_SHORT_SIM = 8, /* 256 KiB and 1 MiB: simulated times do not scatter */
    BLOCKS_LONG_SIM = 32,
};

/* Channel k: first one of each column, then the others. */
static int read_col(const climb *c, int k) {
    return k % c->dev->chip->cols;
}
static int read_channel(const climb *c, int k) {
    return k / c->dev->chip->cols;
}

static void describe_read(const climb *c, ts_design *d) {
    for (int k = 0; k < CHANNELS; k++) {
        int ch = read_channel(c, k);
        ts_tile shim = ts_tile_at(read_col(c, k), TS_ROW_SHIM), mem = ts_tile_at(read_col(c, k), TS_ROW_MEM);
        ts_tile_buf b = ts_design_buffer(d, mem, "blocks", 4 * BLOCK_WORDS * BLOCKS, TS_ANY_BANK);
        ts_tile_lock empty = ts_design_lock(d, mem, "empty", BLOCKS), full = ts_design_lock(d, mem, "full", 0);
        ts_ring_step in[BLOCKS], out[BLOCKS];
        for (uint32_t i = 0; i < BLOCKS; i++) {
            in[i] = (ts_ring_step){.buffer = b, .offset = i * 4 * BLOCK_WORDS, .bytes = 4 * BLOCK_WORDS,
                                   .acquire = empty, .release = full};
            out[i] = (ts_ring_step){.buffer = b, .offset = i * 4 * BLOCK_WORDS, .bytes = 4 * PROOF_WORDS,
                                    .acquire = full, .release = empty};
        }
        ts_design_dma(d, mem, TS_S2MM, ch, in, BLOCKS);
        ts_design_dma(d, mem, TS_MM2S, ch, out, BLOCKS);
        ts_design_flow(d, ts_end_dma(shim, ch), (ts_end[]){ts_end_dma(mem, ch)}, 1);
        ts_design_flow(d, ts_end_dma(mem, ch), (ts_end[]){ts_end_dma(shim, ch)}, 1);
    }
}

/* Channels 0 to n - 1 read `blocks` blocks each, from consecutive places. */
static ts_status read_command(climb *c, int n, uint32_t blocks, ts_err *err) {
    const uint64_t in = 4 * (uint64_t)BLOCK_WORDS * blocks, out = 4 * (uint64_t)PROOF_WORDS * blocks;
    ts_dispatch p;
    ts_dispatch_init(&p, c->dev->chip, c->dev->chip->cols);
    for (int k = 0; k < n; k++)
        ts_dispatch_task(&p, &(ts_shim_task){.col = read_col(c, k),
                                             .channel = read_channel(c, k),
                                             .dir = TS_S2MM,
                                             .arg = 1,
                                             .offset = out * (unsigned)k,
                                             .words = PROOF_WORDS * blocks,
                                             .token = true});
    for (int k = 0; k < n; k++)
        ts_dispatch_task(&p, &(ts_shim_task){.col = read_col(c, k),
                                             .channel = read_channel(c, k),
                                             .dir = TS_MM2S,
                                             .arg = 0,
                                             .offset = in * (unsigned)k,
                                             .words = BLOCK_WORDS * blocks});
    for (int k = 0; k < n; k++) ts_dispatch_wait(&p, read_col(c, k), TS_S2MM, read_channel(c, k));
    for (int k = 0; k < n; k++) ts_dispatch_implies(&p, read_col(c, k), TS_MM2S, read_channel(c, k));
    return climb_command(c, &p, (uint64_t[]){in * (unsigned)n, out * (unsigned)n}, 2, err);
}

static uint32_t read_word(size_t i) {
    return (uint32_t)(i * 2654435761u);
}

/* The best of a few: what else the machine does makes it slower, nothing makes it faster. */
static ts_status read_time(climb *c, int n, uint32_t blocks, double *best, uint32_t *mhz, ts_err *err) {
    const uint32_t *out = (const uint32_t *)(const void *)c->out.ptr;
    size_t words = (size_t)PROOF_WORDS * blocks * (size_t)n;
    TS_TRY(read_command(c, n, blocks, err));
    *best = 1e30;
    for (int run = 0; run < (c->o->meter ? 1 : 5); run++) {
        double us;
        memset(c->out.ptr, 0xa5, c->out.bytes);
        ts_npu_bo_flush(&c->out, 0, c->out.bytes);
        TS_TRY(climb_submit(c, 2, err));
        bool told = ts_npu_clocks(c->dev, &(uint32_t){0}, mhz); /* while it runs: idle, the chip is clocked down */
        TS_TRY(climb_wait(c, &us, err));
        if (!told) *mhz = 0;
        ts_npu_bo_invalidate(&c->out, 0, c->out.bytes);
        for (size_t i = 0; i < words; i++) {
            size_t at = i / PROOF_WORDS * BLOCK_WORDS + i % PROOF_WORDS;
            if (out[i] != read_word(at))
                return ts_fail(err, TS_E_DEVICE, "NPU: %d channels: word %zu arrived as 0x%08x, not 0x%08x", n, at,
                               out[i], read_word(at));
        }
        if (us < *best) *best = us;
    }
    return TS_OK;
}

ts_status rung_read(climb *c, ts_err *err) {
    static const struct {
        int n;
        const char *figure;
    } rows[] = {{1, "read_1"}, {2, "read_2"}, {4, "read_4"}, {8, "read_8"}};
    const uint32_t few = c->o->meter ? BLOCKS_SHORT_SIM : BLOCKS_SHORT_REAL,
                   many = c->o->meter ? BLOCKS_LONG_SIM : BLOCKS_LONG_REAL;
    const size_t in = 4 * (size_t)BLOCK_WORDS * many * CHANNELS, out = 4 * (size_t)PROOF_WORDS * many * CHANNELS;
    ts_design *d;
    ts_buf pdi = {0};
    TS_TRY(ts_design_new(&d, c->dev->chip, c->dev->chip->cols, err));
    describe_read(c, d);
    ts_status s = ts_design_finish(d, &pdi, NULL, err);
    if (s == TS_OK)
        s = ts_npu_config_check(&c->config, c->dev->chip, pdi.data, pdi.len, c->dev->chip->cols, NULL, 0, NULL, err);
    ts_buf_free(&pdi);
    ts_design_free(d);
    TS_TRY(s);
    TS_TRY(ts_npu_bo_init(&c->in, c->dev, TS_NPU_SHARED, in, "the data to read", err));
    TS_TRY(ts_npu_bo_init(&c->out, c->dev, TS_NPU_SHARED, out, "the proof of reading", err));
    for (size_t i = 0; i < in / 4; i++) ((uint32_t *)(void *)c->in.ptr)[i] = read_word(i);
    ts_npu_bo_flush(&c->in, 0, in);
    TS_TRY(ts_npu_ctx_new(&c->ctx, c->dev, c->config, err));
    climb_sharers(c);
    for (size_t r = 0; r < 4; r++) {
        double small, large, block = 4.0 * BLOCK_WORDS * rows[r].n;
        uint32_t mhz;
        TS_TRY(read_time(c, rows[r].n, few, &small, &mhz, err));
        TS_TRY(read_time(c, rows[r].n, many, &large, &mhz, err));
        /* bytes per us are MB/s */
        double whole = block * many / large / 1000,
               marginal = large > small ? block * (many - few) / (large - small) / 1000 : 0;
        climb_say(c,
                  "    %d channel%s: %.2f GB/s without the fixed costs of a command, %.2f GB/s with them at %.0f MiB, "
                  "array at %u MHz (%s)",
                  rows[r].n, rows[r].n == 1 ? "" : "s", marginal, whole, block * many / (1 << 20), mhz,
                  climb_source(c));
        climb_figure(c, rows[r].figure, marginal, "GB/s");
        if (rows[r].n == CHANNELS) climb_figure(c, "clock_busy", mhz, "MHz");
    }
    return TS_OK;
}

/* ---- linear layers ----------------------------------------------------------------------------------------------- */

enum { GEMV_ROWS = 520, GEMV_K = 2048, GEMV_TOKENS = 4 };

/* Blocks of any bits; the f16 scales are small numbers. */
static void random_rows(uint8_t *rows, ts_dtype type, size_t bytes, ts_rng *rng) {
    const size_t block = ts_dtype_get(type)->block_bytes;
    const ts_wtype *t = ts_wtype_of(type);
    for (size_t i = 0; i < bytes; i++) rows[i] = (uint8_t)ts_rng_u32(rng);
    for (size_t b = 0; b + block <= bytes; b += block) {
        uint16_t scale = ts_f32_to_f16((float)ts_rng_gauss(rng)), min = ts_f32_to_f16((float)ts_rng_gauss(rng));
        memcpy(rows + b + t->d_at, &scale, 2);
        if (ts_wtype_has_min(t)) memcpy(rows + b + t->second_at, &min, 2);
    }
}

/* What one type needs, all of it from ts_alloc. */
typedef struct layer {
    uint8_t *rows, *packed;
    float *x, *want, *got;
    ts_qact act;
    ts_gemv_op *op;
    size_t row_bytes;
} layer;

static void layer_free(layer *l) {
    ts_gemv_op_free(l->op);
    ts_qact_fini(&l->act);
    ts_free(l->rows), ts_free(l->packed), ts_free(l->x), ts_free(l->want), ts_free(l->got);
}

/* On the CPU, by the reference kernels. */
static ts_status layer_reference(layer *l, const ts_kern *k, ts_dtype type, ts_err *err) {
    ts_qmat q;
    if (!ts_qmat_init(&q, type, GEMV_ROWS, GEMV_K)) return ts_fail(err, TS_E_INVAL, "a matrix of the self-test");
    l->packed = ts_alloc_aligned(1, ts_qmat_bytes(&q));
    if (!l->packed) return ts_fail_nomem(err, "a matrix", ts_qmat_bytes(&q));
    for (uint32_t g = 0; g < q.n_group; g++)
        ts_qmat_pack_group(&q, l->rows, l->row_bytes, g, l->packed + g * q.group_bytes);
    q.data = l->packed;
    k->gemm_q[type](&q, &l->act, GEMV_TOKENS, 0, GEMV_TOKENS, 0, q.n_group, l->want, GEMV_ROWS);
    return TS_OK;
}

static ts_status layer_make(layer *l, ts_gemv_dev *d, const ts_kern *k, ts_dtype type, ts_rng *rng, ts_err *err) {
    l->row_bytes = ts_dtype_row_bytes(type, GEMV_K);
    l->rows = ts_alloc(GEMV_ROWS, l->row_bytes);
    l->x = ts_alloc(GEMV_TOKENS * GEMV_K, sizeof *l->x);
    l->want = ts_alloc(GEMV_TOKENS * GEMV_ROWS, sizeof *l->want);
    l->got = ts_calloc(GEMV_TOKENS * GEMV_ROWS, sizeof *l->got);
    if (!l->rows || !l->x || !l->want || !l->got) return ts_fail_nomem(err, "a matrix", GEMV_ROWS * l->row_bytes);
    TS_TRY(ts_qact_init(&l->act, GEMV_K, GEMV_TOKENS, err));
    random_rows(l->rows, type, GEMV_ROWS * l->row_bytes, rng);
    for (size_t i = 0; i < GEMV_TOKENS * GEMV_K; i++) l->x[i] = (float)ts_rng_gauss(rng);
    for (uint32_t t = 0; t < GEMV_TOKENS; t++)
        (ts_act_block(type) == 32 ? k->quant32 : k->quant256)(l->x + (size_t)t * GEMV_K, GEMV_K, GEMV_TOKENS, t,
                                                              &l->act);
    TS_TRY(layer_reference(l, k, type, err));
    TS_TRY(ts_gemv_op_new(&l->op, d, &(ts_gemv_shape){type, GEMV_ROWS, GEMV_K}, 1, err));
    for (uint32_t g = 0; g < ts_gemv_op_mat(l->op, 0)->n_group; g++)
        ts_gemv_op_pack(l->op, 0, l->rows, l->row_bytes, g);
    ts_gemv_op_packed(l->op);
    return TS_OK;
}

static ts_status layer_run(climb *c, layer *l, const ts_kern *k, ts_dtype type, ts_pool *pool, ts_err *err) {
    const char *name = ts_dtype_get(type)->name;
    ts_gemv_cost cost = {0};
    char figure[24];
    TS_TRY(ts_gemv_op_run(l->op, &l->act, GEMV_TOKENS, &l->got, (size_t[]){GEMV_ROWS}, NULL, k, pool, &cost, err));
    for (size_t i = 0; i < GEMV_TOKENS * GEMV_ROWS; i++)
        if (memcmp(&l->got[i], &l->want[i], sizeof l->got[i]) != 0)
            return ts_fail(err, TS_E_DEVICE, "NPU: %s: token %zu row %zu is %.9g, the CPU has %.9g", name,
                           i / GEMV_ROWS, i % GEMV_ROWS, (double)l->got[i], (double)l->want[i]);
    double us = (double)cost.device_ns / 1000;
    if (c->o->meter) us = climb_simulated_us(c);
    climb_say(c, "    %s: %d rows of %d, %d tokens: the CPU's bits, %.0f us (%s)", name, GEMV_ROWS, GEMV_K, GEMV_TOKENS,
              us, climb_source(c));
    snprintf(figure, sizeof figure, "gemv_%s", name);
    climb_figure(c, figure, us, "us");
    return TS_OK;
}

ts_status rung_gemv(climb *c, ts_err *err) {
    static const ts_dtype types[] = {TS_Q4_0, TS_U4G128, TS_Q8_0, TS_Q4_K, TS_Q6_K};
    ts_gemv_dev *d = NULL;
    ts_pool *pool;
    ts_kern k;
    ts_rng rng = ts_rng_seed(1);
    ts_kern_init(&k, TS_CPU_REF);
    TS_TRY(ts_pool_new(&pool, 1, err));
    ts_status s =
        ts_gemv_dev_open(&d, &(ts_gemv_dev_options){.io = c->o->io, .path = c->o->path, .stop = c->o->stop}, err);
    for (size_t i = 0; i < sizeof types / sizeof types[0] && s == TS_OK; i++) {
        layer l = {0};
        s = ts_npu_dev_stopped(c->dev) ? ts_fail(err, TS_E_CANCELLED, "stopped") : TS_OK;
        if (s == TS_OK) s = layer_make(&l, d, &k, types[i], &rng, err);
        if (s == TS_OK) s = layer_run(c, &l, &k, types[i], pool, err);
        layer_free(&l);
    }
    ts_gemv_dev_close(d);
    ts_pool_free(pool);
    return s;
}
