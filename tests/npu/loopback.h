/* loopback.h - the least array that can stand behind the fake node: shim channel MM2S n of a column sends what it
 * reads to S2MM n of the same column. It does what an instruction stream says, with queues, descriptors, patches
 * and tokens, and hangs when a wait can never end. */
#ifndef TS_TESTS_LOOPBACK_H
#define TS_TESTS_LOOPBACK_H

#include "xdna/bd.h"
#include "xdna/fake.h"
#include "xdna/pdi.h"
#include "xdna/regs.h"
#include "xdna/txn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct loop_task {
    ts_bd bd;
    uint32_t repeat;
    bool token;
} loop_task;

typedef struct loop_channel {
    loop_task task[TS_DMA_QUEUE_DEPTH];
    int n, tokens;
} loop_channel;

typedef struct loopback {
    ts_fake_array table;
    int loads, unloads, runs;
    bool refuse_pdi, flip; /* flip: complement every word, to see that the copy was the array's */
    uint32_t bd[TS_COLS_MAX][16][8];
    loop_channel channel[TS_COLS_MAX][2][2];
    struct {
        uint32_t *word;
        size_t n, at, cap;
    } fifo[TS_COLS_MAX][2];
} loopback;

static bool loop_load(void *ud, int slot, int n_cols, const void *pdi, size_t len, char *why,
                      size_t why_len) {
    loopback *l = ud;
    ts_cdo_reader r;
    (void)slot, (void)n_cols;
    if (l->refuse_pdi || ts_pdi_open(&r, pdi, len, NULL) != TS_OK) {
        snprintf(why, why_len, "the loop-back array was told to refuse it");
        return false;
    }
    l->loads++;
    return true;
}

static void loop_unload(void *ud, int slot) {
    loopback *l = ud;
    (void)slot;
    l->unloads++;
    for (int c = 0; c < ts_npu1.cols; c++)
        for (int ch = 0; ch < 2; ch++) {
            free(l->fifo[c][ch].word);
            memset(&l->fifo[c][ch], 0, sizeof l->fifo[c][ch]);
        }
    memset(l->channel, 0, sizeof l->channel);
}

/* Move words while any task can; false: a bus error. */
static bool loop_move(loopback *l, const ts_fake_bus *bus) {
    for (bool moved = true; moved;) {
        moved = false;
        for (int c = 0; c < ts_npu1.cols; c++)
            for (int ch = 0; ch < 2; ch++)
                for (int dir = 0; dir < 2; dir++) {
                    loop_channel *x = &l->channel[c][dir][ch];
                    if (!x->n) continue;
                    loop_task *t = &x->task[0];
                    size_t total = (size_t)t->bd.words * t->repeat;
                    if (dir == TS_S2MM && l->fifo[c][ch].n - l->fifo[c][ch].at < total) continue;
                    for (size_t i = 0; i < total; i++) {
                        uint64_t addr = ts_bd_addr(&t->bd, (uint32_t)(i % t->bd.words)) +
                                        4 * (i / t->bd.words) % t->bd.iter_wrap * (uint64_t)t->bd.iter_step;
                        uint32_t w;
                        if (dir == TS_MM2S) {
                            if (bus->read(bus->ud, addr, &w, 4)) return false;
                            if (l->fifo[c][ch].n == l->fifo[c][ch].cap) {
                                l->fifo[c][ch].cap = l->fifo[c][ch].cap ? 2 * l->fifo[c][ch].cap : 1024;
                                l->fifo[c][ch].word = realloc(l->fifo[c][ch].word, 4 * l->fifo[c][ch].cap);
                                if (!l->fifo[c][ch].word) return false;
                            }
                            l->fifo[c][ch].word[l->fifo[c][ch].n++] = w;
                        } else {
                            w = l->fifo[c][ch].word[l->fifo[c][ch].at++];
                            if (l->flip) w = ~w;
                            if (bus->write(bus->ud, addr, &w, 4)) return false;
                        }
                    }
                    x->tokens += t->token;
                    memmove(&x->task[0], &x->task[1], (size_t)(--x->n) * sizeof x->task[0]);
                    moved = true;
                }
    }
    return true;
}

static void loop_write(loopback *l, uint32_t addr, uint32_t value) {
    ts_place p = ts_locate(&ts_npu1, addr);
    if (p.kind != TS_TILE_SHIM || p.tile.col >= ts_npu1.cols) return;
    if (p.what == TS_AT_BD) l->bd[p.tile.col][p.index][p.word] = value;
    if (p.what != TS_AT_DMA_QUEUE) return;
    loop_channel *x = &l->channel[p.tile.col][p.dir][p.index];
    ts_dma_start s = ts_dma_start_decode(TS_TILE_SHIM, value);
    if (x->n == TS_DMA_QUEUE_DEPTH) return; /* as the hardware: dropped */
    ts_bd_decode(TS_TILE_SHIM, l->bd[p.tile.col][s.bd], &x->task[x->n].bd);
    x->task[x->n].repeat = s.repeat;
    x->task[x->n++].token = s.token;
}

static ts_fake_outcome loop_run(void *ud, int slot, const void *txn, size_t len, const uint64_t *args,
                                int n_args, const ts_fake_bus *bus, char *why, size_t why_len) {
    loopback *l = ud;
    ts_txn_reader r;
    ts_txn_op op;
    bool more = true;
    (void)slot;
    l->runs++;
    if (ts_txn_open(&r, &ts_npu1, txn, len, NULL) != TS_OK) return TS_FAKE_FAULT;
    for (;;) {
        if (ts_txn_next(&r, &op, &more, NULL) != TS_OK) return TS_FAKE_FAULT;
        if (!more) return loop_move(l, bus) ? TS_FAKE_DONE : TS_FAKE_FAULT;
        if (op.kind == TS_TXN_WRITE) loop_write(l, op.addr, op.value);
        for (size_t i = 0; op.kind == TS_TXN_BLOCK && i < op.data.len / 4; i++)
            loop_write(l, op.addr + 4 * (uint32_t)i, ts_word(op.data, i));
        if (op.kind == TS_TXN_PATCH) {
            ts_place p = ts_locate(&ts_npu1, op.addr);
            if (op.arg >= (uint32_t)n_args) return TS_FAKE_FAULT;
            uint64_t addr = args[op.arg] + op.arg_offset + TS_ARRAY_BIAS;
            l->bd[p.tile.col][p.index][1] = (uint32_t)addr;
            l->bd[p.tile.col][p.index][2] |= (uint32_t)(addr >> 32);
        }
        if (op.kind != TS_TXN_WAIT) continue;
        if (!loop_move(l, bus)) return TS_FAKE_FAULT;
        loop_channel *x = &l->channel[op.tile.col][op.dir][op.channel];
        if (!x->tokens) {
            snprintf(why, why_len, "column %u waits for a token that never comes", op.tile.col);
            return TS_FAKE_HANG;
        }
        x->tokens--;
    }
}

static inline void loopback_init(loopback *l) {
    *l = (loopback){.table = {.load = loop_load, .run = loop_run, .unload = loop_unload}};
    l->table.ud = l;
}

#endif
