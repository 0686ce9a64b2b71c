/* channel.c - DMA channels: the queue of tasks, descriptors one after the other, words between stream and memory. */
#include "sim/array_int.h"
#include "xdna/regs.h"

#include <stdio.h>

/* ---- memory ------------------------------------------------------------------------------------------------------ */

uint8_t *sim_dma_memory(ts_array *a, ts_tile at, uint64_t addr, uint32_t *words) {
    uint32_t bytes = ts_tile_info_of(a->o.chip, at)->data_bytes;
    int col = at.col;
    if (ts_tile_kind_of(a->o.chip, at) == TS_TILE_MEM) { /* west, own, east */
        if (addr >= 3ull * TS_MEM_OWN_BASE) return NULL;
        col += (int)(addr / TS_MEM_OWN_BASE) - 1;
        addr %= TS_MEM_OWN_BASE;
    }
    sim_tile *t = col >= 0 ? sim_tile_at(a, ts_tile_at(col, at.row)) : NULL;
    if (!t || addr >= bytes) return NULL;
    if (*words > (bytes - addr) / 4) *words = (uint32_t)((bytes - addr) / 4);
    return t->mem + addr;
}

/* Channels 4 and 5 of a memtile reach their own tile only [doc] AM020. */
static uint8_t *reach(ts_array *a, const sim_channel *ch, uint64_t addr, uint32_t *words) {
    uint8_t *m = sim_dma_memory(a, ch->c.tile, addr, words);
    bool own = ch->c.tile_kind != TS_TILE_MEM || (addr >= TS_MEM_OWN_BASE && addr < 2 * TS_MEM_OWN_BASE);
    if (m && (own || ch->index < 4)) return m;
    sim_fault(a, "%s: BD %u: there is no memory at 0x%llx", sim_name(&ch->c).s, ch->bd_no, (unsigned long long)addr);
    return NULL;
}

/* ---- moving words ------------------------------------------------------------------------------------------------ */

/* The link can take words now; else the channel waits. */
static bool has_room(ts_array *a, sim_channel *ch, uint32_t *room) {
    if (ch->out.dead[0] || !ch->out.n) {
        ch->out.waits = &ch->c;
        sim_sleep(&ch->c, TS_WAIT_ROUTE);
        return false;
    }
    sim_fifo *full = sim_full_now(a, &ch->out, room);
    if (!full) return true;
    sim_wait_room(full, &ch->c);
    return false;
}

static uint32_t header_of(const sim_channel *ch) {
    return ts_packet_encode((ts_packet){.id = (uint8_t)ch->bd.packet_id,
                                        .type = (uint8_t)ch->bd.packet_type,
                                        .row = ch->c.tile.row,
                                        .col = ch->c.tile.col});
}

static bool move_out(ts_array *a, sim_channel *ch) {
    uint64_t horizon = a->now + a->o.window;
    uint32_t room;
    while (ch->left || ch->header) {
        if (!has_room(a, ch, &room)) return false;
        if (ch->c.t > horizon) {
            sim_wake(a, &ch->c, ch->c.t);
            return false;
        }
        uint64_t t = ch->c.t, stalled = 0;
        if (ch->header) {
            ch->header = false;
            uint64_t sent = sim_push(a, &ch->out, t, header_of(ch), false);
            ch->c.waited[TS_WAIT_ROOM] += sent - t;
            ch->c.t = sent + 1;
            continue;
        }
        uint64_t addr;
        bool zero;
        uint32_t n = sim_walk_take(&ch->walk, room < ch->left ? room : ch->left, &addr, &zero), fits = n;
        const uint8_t *m = zero ? NULL : reach(a, ch, addr, &fits);
        if (!zero && !m) return false;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t w = 0;
            if (i == fits && !(m = reach(a, ch, addr + 4ull * i, &(uint32_t){n - i}))) return false;
            if (m) memcpy(&w, m + 4 * (i < fits ? i : i - fits), 4);
            ch->left--;
            uint64_t sent = sim_push(a, &ch->out, t, w, !ch->left && !ch->bd.tlast_suppress);
            stalled += sent - t;
            t = sent + 1;
        }
        ch->n_words += n;
        ch->c.waited[TS_WAIT_ROOM] += stalled;
        ch->c.t = t;
    }
    return true;
}

static bool move_in(ts_array *a, sim_channel *ch) {
    uint64_t horizon = a->now + a->o.window;
    sim_fifo *f = &ch->in;
    while (ch->left) {
        if (!f->n) {
            f->reader_waits = true;
            sim_sleep(&ch->c, TS_WAIT_WORDS);
            return false;
        }
        if (ch->c.t > horizon || f->when[f->out] > horizon) {
            sim_wake(a, &ch->c, f->when[f->out] > ch->c.t ? f->when[f->out] : ch->c.t);
            return false;
        }
        uint64_t addr, t = ch->c.t, stalled = 0;
        bool zero, last;
        uint32_t n = sim_walk_take(&ch->walk, f->n < ch->left ? f->n : ch->left, &addr, &zero), fits = n;
        uint8_t *m = reach(a, ch, addr, &fits);
        if (!m) return false;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t w;
            uint64_t got = sim_pop(a, f, t, &w, &last);
            if (i == fits && !(m = reach(a, ch, addr + 4ull * i, &(uint32_t){n - i}))) return false;
            memcpy(m + 4 * (i < fits ? i : i - fits), &w, 4);
            stalled += got - t;
            t = got + 1;
        }
        ch->left -= n;
        ch->n_words += n;
        ch->c.waited[TS_WAIT_WORDS] += stalled;
        ch->c.t = t;
    }
    return true;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static void load_bd(ts_array *a, sim_channel *ch) {
    const sim_tile *t = sim_tile_at(a, ch->c.tile);
    ts_bd *bd = &ch->bd;
    ts_bd_decode(t->kind, t->bd[ch->bd_no], bd);
    const char *why = NULL;
    ts_tile of;
    unsigned number;
    bool padded = false;
    for (int d = 0; d < TS_BD_DIMS; d++) padded |= bd->dim[d].before || bd->dim[d].after;
    if (!bd->valid) why = "is not valid";
    else if (!bd->words) why = "moves no words";
    else if (!ts_bd_fits_channel(a->o.chip, t->kind, (int)ch->bd_no, ch->index))
        why = "belongs to the other half of the channels";
    else if (bd->compress) why = "asks for compression, which is not modelled";
    else if (padded && ch->dir == TS_S2MM) why = "asks for zeros on the way in";
    else if (bd->acq_enable && !sim_dma_lock(a, ch->c.tile, bd->acq_lock, &of, &number))
        why = "takes a lock that is not there";
    else if (bd->rel_value && !sim_dma_lock(a, ch->c.tile, bd->rel_lock, &of, &number))
        why = "gives a lock that is not there";
    if (why) {
        ch->invalid = true;
        ch->step = SIM_DEAD;
        sim_fault(a, "%s: BD %u %s", sim_name(&ch->c).s, ch->bd_no, why);
        return;
    }
    if (a->o.trace) {
        char text[160];
        SIM_TRACE(a, ch->c.t, "%s BD %u: %s", sim_name(&ch->c).s, ch->bd_no,
                  ts_bd_print(t->kind, bd, text, sizeof text));
    }
    ch->step = SIM_ACQUIRE;
}

static bool acquire(ts_array *a, sim_channel *ch) {
    ts_tile of;
    unsigned number;
    if (ch->bd.acq_enable) {
        sim_lock *l = sim_dma_lock(a, ch->c.tile, ch->bd.acq_lock, &of, &number);
        if (!sim_acquire(a, l, ch->bd.acq_value)) {
            sim_wait_lock(l, &ch->c);
            return false;
        }
        ch->c.t += sim_draw(a, &ch->c, a->timing.dma_lock);
    }
    sim_walk_start(&ch->walk, &ch->bd);
    ch->left = ch->bd.words;
    ch->header = ch->dir == TS_MM2S && ch->bd.packet;
    ch->step = SIM_MOVE;
    ch->pace = sim_draw(a, &ch->c, a->timing.shim_word);
    if (ch->fetch) sim_fetch_start(a, ch);
    else if (ch->dir == TS_MM2S && !ch->continues) ch->c.t += sim_draw(a, &ch->c, a->timing.dma_memory);
    return true;
}

/* The hardware counts the runs of a descriptor in the descriptor itself. */
static void count_iteration(sim_tile *t, const sim_channel *ch) {
    static const struct {
        uint8_t word;
        ts_field field;
    } at[TS_TILE_KINDS] = {[TS_TILE_SHIM] = {6, TS_SHIM_DMA_BD_6_ITERATION_CURRENT},
                           [TS_TILE_MEM] = {6, TS_MEM_DMA_BD_6_ITERATION_CURRENT},
                           [TS_TILE_CORE] = {4, TS_CORE_DMA_BD_4_ITERATION_CURRENT}};
    uint32_t next = ch->bd.iter_current + 1 >= ch->bd.iter_wrap ? 0 : ch->bd.iter_current + 1;
    uint32_t *w = &t->bd[ch->bd_no][at[t->kind].word];
    *w = (*w & ~ts_field_mask(at[t->kind].field)) | ts_put(at[t->kind].field, next);
}

static void release(ts_array *a, sim_channel *ch) {
    ts_tile of;
    unsigned number;
    ch->n_bds++;
    count_iteration(sim_tile_at(a, ch->c.tile), ch);
    if (ch->bd.rel_value && sim_dma_lock(a, ch->c.tile, ch->bd.rel_lock, &of, &number))
        sim_release(a, of, number, ch->bd.rel_value);
    ch->continues = true;
    if (ch->bd.use_next) ch->bd_no = ch->bd.next;
    else if (--ch->runs_left) ch->bd_no = ch->queue[0].bd;
    else {
        ch->step = SIM_FINISH;
        if (ch->c.tile_kind == TS_TILE_SHIM && ch->dir == TS_S2MM) {
            ch->c.t += sim_draw(a, &ch->c, a->timing.shim_write_task);
            if (ch->c.t < ch->b_done) ch->c.t = ch->b_done;
        }
        return;
    }
    ch->step = SIM_START;
    ch->c.t += 1 + sim_draw(a, &ch->c, a->timing.dma_chain);
    if (ch->bd_no >= a->o.chip->tile[ch->c.tile_kind].n_bds) {
        ch->step = SIM_DEAD;
        sim_fault(a, "%s goes on with BD %u, which is not there", sim_name(&ch->c).s, ch->bd_no);
    }
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

static void begin_task(ts_array *a, sim_channel *ch) {
    const sim_task *task = &ch->queue[0];
    ch->bd_no = task->bd;
    ch->runs_left = task->repeat;
    ch->continues = false;
    ch->step = SIM_START;
    bool shim = ch->c.tile_kind == TS_TILE_SHIM;
    if (!shim) ch->c.t += sim_draw(a, &ch->c, a->timing.dma_start);
    else if (ch->dir == TS_S2MM) ch->c.t += sim_draw(a, &ch->c, a->timing.shim_start);
    SIM_TRACE(a, a->now, "%s starts a task: BD %u, %u times%s", sim_name(&ch->c).s, task->bd, task->repeat,
              task->token ? ", with a token" : "");
}

static void drop_task(sim_channel *ch) {
    ch->n_queue--;
    memmove(&ch->queue[0], &ch->queue[1], (size_t)ch->n_queue * sizeof ch->queue[0]);
    ch->step = SIM_IDLE;
}

/* false: the token cannot leave yet. */
static bool send_token(ts_array *a, sim_channel *ch) {
    sim_tile *t = sim_tile_at(a, ch->c.tile);
    uint32_t room;
    sim_fifo *full = t->token.dead[0] ? NULL : sim_full(&t->token, &room);
    if (full) {
        sim_wait_room(full, &ch->c);
        sim_sleep(&ch->c, TS_WAIT_TOKEN);
        return false;
    }
    sim_token(a, t, ch);
    return true;
}

void sim_channel_run(ts_array *a, sim_channel *ch) {
    bool shim = ch->c.tile_kind == TS_TILE_SHIM;
    while (a->fault.code == TS_OK) {
        if (ch->c.t > a->now && ch->step != SIM_MOVE) { /* all else happens in order of time */
            sim_wake(a, &ch->c, ch->c.t);
            return;
        }
        bool through = true;
        switch ((sim_step)ch->step) {
        case SIM_IDLE:
            if (!ch->n_queue) {
                sim_sleep(&ch->c, TS_WAIT_TASK);
                return;
            }
            begin_task(a, ch);
            break;
        case SIM_START: load_bd(a, ch); break;
        case SIM_ACQUIRE: through = acquire(a, ch); break;
        case SIM_MOVE:
            if (ch->dir == TS_MM2S) through = shim ? sim_shim_out(a, ch) : move_out(a, ch);
            else through = shim ? sim_shim_in(a, ch) : move_in(a, ch);
            if (through) ch->step = SIM_RELEASE;
            break;
        case SIM_RELEASE: release(a, ch); break;
        case SIM_FINISH:
            ch->n_tasks++;
            ch->ended = ch->c.t;
            SIM_TRACE(a, a->now, "%s has finished a task", sim_name(&ch->c).s);
            ch->step = SIM_TOKEN;
            break;
        case SIM_TOKEN:
            if (ch->queue[0].token) through = send_token(a, ch);
            if (through) drop_task(ch);
            break;
        case SIM_DEAD: return;
        }
        if (!through) return;
    }
}

void sim_channel_pull(ts_array *a, sim_channel *ch) {
    if (ch->step != SIM_MOVE) return;
    ch->c.wait = TS_WAIT_NONE;
    ch->in.reader_waits = false;
    bool through = ch->c.tile_kind == TS_TILE_SHIM ? sim_shim_in(a, ch) : move_in(a, ch);
    if (through) sim_wake(a, &ch->c, ch->c.t);
}

void sim_channel_push(ts_array *a, sim_channel *ch, uint32_t word) {
    ts_tile_kind kind = ch->c.tile_kind;
    ts_dma_start s = ts_dma_start_decode(kind, word);
    if (s.bd >= a->o.chip->tile[kind].n_bds) {
        sim_fault(a, "%s is to run BD %u, which is not there", sim_name(&ch->c).s, s.bd);
        return;
    }
    if (kind != TS_TILE_SHIM && ts_get(ch->ctrl, TS_CORE_DMA_S2MM_CTRL_RESET)) {
        sim_mishap(a, "%s is given a task while it is in reset: lost", sim_name(&ch->c).s);
        return;
    }
    if (ch->n_queue == TS_DMA_QUEUE_DEPTH) {
        ch->overflow = true;
        sim_mishap(a, "%s has %d tasks already, a further one (BD %u) is lost", sim_name(&ch->c).s, ch->n_queue, s.bd);
        return;
    }
    ch->queue[ch->n_queue++] =
        (sim_task){.bd = (uint8_t)s.bd, .repeat = (uint16_t)s.repeat, .token = s.token, .pushed = a->now};
    if (ch->step == SIM_IDLE) sim_wake(a, &ch->c, a->now);
}

/* ---- control ----------------------------------------------------------------------------------------------------- */

/* Forget everything under way; words in the stream stay there. */
static void reset(ts_array *a, sim_channel *ch) {
    ts_tile of;
    unsigned number;
    sim_lock *l = ch->c.wait == TS_WAIT_LOCK ? sim_dma_lock(a, ch->c.tile, ch->bd.acq_lock, &of, &number) : NULL;
    if (l) sim_unlist(&l->waiters, &ch->c);
    for (size_t i = 0; i < ch->out.n; i++) sim_unlist(&ch->out.sink[i]->writers, &ch->c);
    const sim_tile *t = sim_tile_at(a, ch->c.tile);
    for (size_t i = 0; i < t->token.n; i++) sim_unlist(&t->token.sink[i]->writers, &ch->c);
    ch->out.waits = NULL;
    ch->in.reader_waits = false;
    sim_forget(a, &ch->c);
    ch->step = SIM_IDLE;
    ch->n_queue = 0;
    ch->overflow = ch->invalid = false;
    ch->c.t = a->now;
    sim_sleep(&ch->c, TS_WAIT_TASK);
}

void sim_channel_ctrl(ts_array *a, sim_channel *ch, uint32_t word) {
    bool shim = ch->c.tile_kind == TS_TILE_SHIM;
    uint32_t known = ts_field_mask(TS_SHIM_DMA_S2MM_CTRL_CONTROLLER_ID);
    if (!shim) known |= ts_field_mask(TS_CORE_DMA_S2MM_CTRL_RESET);
    if (word & ~known) {
        char fields[128];
        uint32_t addr = ts_addr(ch->c.tile, ts_dma_ctrl(ch->c.tile_kind, ch->dir, ch->index));
        sim_fault(a, "%s: control 0x%x (%s) is not modelled", sim_name(&ch->c).s, word,
                  ts_reg_fields(a->o.chip, addr, word & ~known, fields, sizeof fields));
        return;
    }
    ch->ctrl = word;
    if (!shim && ts_get(word, TS_CORE_DMA_S2MM_CTRL_RESET)) reset(a, ch);
}

uint32_t sim_channel_status(const ts_array *a, const sim_channel *ch) {
    (void)a;
    uint8_t w = ch->c.wait;
    bool busy = ch->step != SIM_IDLE;
    return ts_put(TS_SHIM_DMA_S2MM_STATUS_STATUS, busy) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_STALLED_LOCK_ACQ, w == TS_WAIT_LOCK) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_STALLED_STREAM_STARVATION, w == TS_WAIT_WORDS || w == TS_WAIT_ROOM) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_STALLED_TCT_OR_COUNT_FIFO_FULL, w == TS_WAIT_TOKEN) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_ERROR_BD_INVALID, ch->invalid) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_TASK_QUEUE_OVERFLOW, ch->overflow) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_CHANNEL_RUNNING, busy) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_TASK_QUEUE_SIZE, (uint32_t)ch->n_queue) |
           ts_put(TS_SHIM_DMA_S2MM_STATUS_CUR_BD, busy ? ch->bd_no : 0);
}

/* ---- descriptors in use ------------------------------------------------------------------------------------------ */

static uint64_t chain_of(const sim_tile *t, uint32_t bd) {
    uint64_t seen = 0;
    while (bd < t->info->n_bds && !(seen >> bd & 1)) {
        ts_bd d;
        seen |= 1ull << bd;
        ts_bd_decode(t->kind, t->bd[bd], &d);
        if (!d.use_next) break;
        bd = d.next;
    }
    return seen;
}

const sim_channel *sim_bd_user(const sim_tile *t, uint32_t bd) {
    for (int dir = 0; dir < 2; dir++)
        for (int i = 0; i < t->info->n_channels; i++) {
            const sim_channel *ch = &t->ch[dir][i];
            uint64_t live = 0;
            for (int q = 0; q < ch->n_queue; q++) {
                bool under_way = q == 0 && ch->step != SIM_IDLE;
                if (under_way) live |= chain_of(t, ch->bd_no);
                if (!under_way || ch->runs_left > 1 || ch->step == SIM_START) live |= chain_of(t, ch->queue[q].bd);
            }
            if (live >> bd & 1) return ch;
        }
    return NULL;
}
