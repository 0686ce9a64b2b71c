#include "xdna/dispatch.h"

#include "xdna/regs.h"

#include <stdarg.h>
#include <stdio.h>

TS_PRINTF(3, 4) static void fail(ts_dispatch *p, ts_status code, const char *fmt, ...);
static void fail(ts_dispatch *p, ts_status code, const char *fmt, ...) {
    if (p->err.code != TS_OK) return;
    char text[sizeof p->err.msg - 16];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ts_fail(&p->err, code, "command: %s", text);
}

void ts_dispatch_init(ts_dispatch *p, const ts_chip *chip, int n_cols) {
    *p = (ts_dispatch){.chip = chip, .n_cols = n_cols};
    if (n_cols < 1 || n_cols > chip->cols)
        fail(p, TS_E_INVAL, "%d columns, there are 1 to %d", n_cols, chip->cols);
}

void ts_dispatch_free(ts_dispatch *p) {
    ts_txn_free(&p->txn);
    ts_free(p->claims);
    *p = (ts_dispatch){0};
}

bool ts_prefetched_eq(const ts_prefetched *a, const ts_prefetched *b) {
    bool eq = a->n == b->n;
    for (int i = 0; eq && i < a->n; i++) {
        const ts_prefetched_task *x = &a->task[i], *y = &b->task[i];
        eq = x->col == y->col && x->channel == y->channel && x->bd == y->bd && x->packet == y->packet &&
             x->packet_id == y->packet_id && x->words == y->words;
    }
    return eq;
}

static ts_dispatch_channel *channel_of(ts_dispatch *p, int col, ts_dma_dir dir, int channel) {
    if (p->err.code != TS_OK) return NULL;
    if (col >= 0 && col < p->n_cols && channel >= 0 && channel < 2) return &p->channel[col][dir][channel];
    fail(p, TS_E_INVAL, "column %d, channel %d: there are %d columns with 2 channels each way", col, channel,
         p->n_cols);
    return NULL;
}

static const char *dir_name(ts_dma_dir dir) {
    return dir == TS_S2MM ? "S2MM" : "MM2S";
}

void ts_dispatch_begin(ts_dispatch *p, const ts_prefetched *in) {
    for (int i = 0; i < in->n; i++) {
        const ts_prefetched_task *c = &in->task[i];
        ts_dispatch_channel *ch = channel_of(p, c->col, TS_MM2S, c->channel);
        if (!ch) return;
        if (ch->n || c->bd >= TS_SHIM_BDS || p->live[c->col] & 1u << c->bd) {
            fail(p, TS_E_INVAL, "column %u MM2S %u: what was left behind is one transfer a channel", c->col,
                 c->channel);
            return;
        }
        ch->task[ch->n++].bd = c->bd;
        p->live[c->col] |= (uint16_t)(1u << c->bd);
    }
    p->in = *in;
}

/* The next free descriptor of a column, round robin: a bug in the account shows late rather than never. */
static int take_bd(ts_dispatch *p, int col) {
    for (int i = 0; i < TS_SHIM_BDS; i++) {
        int bd = (p->next_bd[col] + i) % TS_SHIM_BDS;
        if (p->live[col] & 1u << bd) continue;
        p->live[col] |= (uint16_t)(1u << bd);
        p->next_bd[col] = (uint8_t)((bd + 1) % TS_SHIM_BDS);
        return bd;
    }
    return -1;
}

/* The first n tasks of a channel are complete. */
static void complete(ts_dispatch *p, int col, ts_dispatch_channel *ch, int n) {
    for (int i = 0; i < n; i++) p->live[col] &= (uint16_t) ~(1u << ch->task[i].bd);
    for (int i = n; i < ch->n; i++) ch->task[i - n] = ch->task[i];
    ch->n -= n;
}

void ts_dispatch_task(ts_dispatch *p, const ts_shim_task *t) {
    ts_dispatch_channel *ch = channel_of(p, t->col, t->dir, t->channel);
    if (!ch) return;
    if (ch->n == TS_DMA_QUEUE_DEPTH) {
        fail(p, TS_E_LIMIT, "column %d %s %d: a fifth task would be lost; wait first", t->col,
             dir_name(t->dir), t->channel);
        return;
    }
    int repeat = t->repeat ? t->repeat : 1;
    if (t->arg >= TS_ARGS_MAX || t->offset % 4 || t->offset > UINT32_MAX || !t->words || repeat < 1 ||
        repeat > 256 || (t->packet && t->dir == TS_S2MM)) {
        fail(p, TS_E_INVAL, "column %d %s %d: argument %u, offset %llu, %u words, repeat %d", t->col,
             dir_name(t->dir), t->channel, t->arg, (unsigned long long)t->offset, t->words, repeat);
        return;
    }
    if (t->ahead && (t->dir != TS_MM2S || t->token || repeat > 1 || t->bd >= TS_SHIM_BDS ||
                     p->live[t->col] & 1u << t->bd || p->out.n == 2 * TS_COLS_MAX)) {
        fail(p, TS_E_INVAL, "column %d MM2S %d: a transfer ahead of time is plain, and its descriptor %u is free",
             t->col, t->channel, t->bd);
        return;
    }
    int bd = t->bd;
    if (t->ahead) {
        p->live[t->col] |= (uint16_t)(1u << bd);
        p->out.task[p->out.n++] =
            (ts_prefetched_task){.col = (uint8_t)t->col, .channel = (uint8_t)t->channel, .bd = t->bd,
                                 .packet = t->packet, .packet_id = t->packet_id, .words = t->words};
    } else {
        bd = take_bd(p, t->col);
    }
    if (bd < 0) {
        fail(p, TS_E_LIMIT, "column %d: all 16 descriptors are under way; wait first", t->col);
        return;
    }
    ts_tile shim = ts_tile_at(t->col, TS_ROW_SHIM);
    ts_bd d = {.words = t->words,
               .valid = 1,
               .iter_step = t->iter_step,
               .iter_wrap = t->iter_wrap,
               .packet = t->packet,
               .packet_id = t->packet_id,
               .burst = 2,
               .axcache = 2 /* 256-byte bursts, as measured fastest [doc] */};
    memcpy(d.dim, t->dim, sizeof t->dim);
    uint32_t w[TS_BD_WORDS_MAX];
    if (ts_bd_encode(TS_TILE_SHIM, &d, w, &p->err) != TS_OK) return;
    uint32_t at = ts_addr(shim, ts_bd_off(TS_TILE_SHIM, bd));
    ts_txn_block(&p->txn, at, w, 8);
    ts_txn_patch(&p->txn, at + 4, t->arg, t->offset);
    if (t->token && !ch->controller_set) {
        ts_txn_mask_write(&p->txn, ts_addr(shim, ts_dma_ctrl(TS_TILE_SHIM, t->dir, t->channel)),
                          ts_field_mask(TS_SHIM_DMA_S2MM_CTRL_CONTROLLER_ID),
                          ts_dma_ctrl_encode(TS_CONTROLLER_SHIM));
        ch->controller_set = true;
    }
    ts_txn_write(&p->txn, ts_addr(shim, ts_dma_queue(TS_TILE_SHIM, t->dir, t->channel)),
                 ts_dma_start_encode(
                     (ts_dma_start){.bd = (uint32_t)bd, .repeat = (uint32_t)repeat, .token = t->token}));
    ch->task[ch->n].bd = (uint8_t)bd;
    ch->task[ch->n].after = p->n_waits;
    ch->task[ch->n].ahead = t->ahead;
    ch->task[ch->n++].token = t->token;
}

void ts_dispatch_wait(ts_dispatch *p, int col, ts_dma_dir dir, int channel) {
    ts_dispatch_channel *ch = channel_of(p, col, dir, channel);
    if (!ch) return;
    int i = 0;
    while (i < ch->n && !ch->task[i].token) i++;
    if (i == ch->n) {
        fail(p, TS_E_INVAL, "column %d %s %d: nothing under way sends a token to wait for", col,
             dir_name(dir), channel);
        return;
    }
    complete(p, col, ch, i + 1);
    ts_txn_wait(&p->txn, ts_tile_at(col, TS_ROW_SHIM), dir, channel);
    p->n_waits++;
}

void ts_dispatch_implies(ts_dispatch *p, int col, ts_dma_dir dir, int channel) {
    ts_dispatch_channel *ch = channel_of(p, col, dir, channel);
    if (!ch) return;
    int n = 0;
    while (n < ch->n && ch->task[n].after < p->n_waits && !ch->task[n].token && !ch->task[n].ahead) n++;
    if (!n) {
        fail(p, TS_E_INVAL, "column %d %s %d: no task before the last wait that it could imply", col,
             dir_name(dir), channel);
        return;
    }
    if (!ts_grow((void **)&p->claims, &p->cap_claims, p->n_claims + 1, sizeof *p->claims)) {
        fail(p, TS_E_NOMEM, "out of memory");
        return;
    }
    p->claims[p->n_claims++] = (ts_claim){
        .wait = p->n_waits - 1, .col = (uint8_t)col, .dir = (uint8_t)dir, .channel = (uint8_t)channel};
    complete(p, col, ch, n);
}

void ts_dispatch_data(ts_dispatch *p, ts_tile tile, uint32_t off, const uint32_t *words, size_t n) {
    if (p->err.code != TS_OK) return;
    uint64_t end = (uint64_t)off + 4 * (uint64_t)n;
    if (!ts_tile_in(p->chip, p->n_cols, tile) || off % 4 || !n || end > ts_tile_info_of(p->chip, tile)->data_bytes) {
        fail(p, TS_E_INVAL, "%zu words at 0x%x are not in the data memory of %s(%u,%u)", n, off,
             ts_tile_name(p->chip, tile), tile.col, tile.row);
        return;
    }
    if (n == 1) ts_txn_write(&p->txn, ts_addr(tile, off), words[0]);
    else ts_txn_block(&p->txn, ts_addr(tile, off), words, n);
}

int ts_dispatch_room(const ts_dispatch *p, int col, ts_dma_dir dir, int channel) {
    if (col < 0 || col >= p->n_cols || channel < 0 || channel > 1) return 0;
    return TS_DMA_QUEUE_DEPTH - p->channel[col][dir][channel].n;
}

ts_status ts_dispatch_finish(ts_dispatch *p, ts_buf *out, ts_err *err) {
    for (int col = 0; col < p->n_cols && p->err.code == TS_OK; col++)
        for (int dir = 0; dir < 2; dir++)
            for (int ch = 0; ch < 2; ch++)
                if (p->channel[col][dir][ch].n > p->channel[col][dir][ch].task[0].ahead)
                    fail(p, TS_E_INVAL, "column %d %s %d: tasks are still under way at the end", col,
                         dir_name((ts_dma_dir)dir), ch);
    if (p->err.code != TS_OK) {
        if (err) *err = p->err;
        return p->err.code;
    }
    return ts_txn_finish(&p->txn, p->chip, p->n_cols, out, err);
}
