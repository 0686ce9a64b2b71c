/* explain.c - who waits for what, in readable lines; what a run cost, as a table. */
#include "sim/array_int.h"

#include <stdio.h>

/* ---- who waits for what ------------------------------------------------------------------------------------------ */

static bool lock_line(ts_array *a, ts_buf *out, const sim_comp *c, unsigned number, bool by_core, int32_t value) {
    ts_tile of;
    unsigned own;
    const sim_lock *l =
        by_core ? sim_core_lock(a, c->tile, number, &of, &own) : sim_dma_lock(a, c->tile, number, &of, &own);
    if (!l) return ts_buf_printf(out, "waits for lock %u, which is not there", number);
    if (!ts_buf_printf(out, "waits for lock %u of %s", own, sim_tile_name(a, of).s)) return false;
    if (value < 0 && !ts_buf_printf(out, " to be %d or more", -value)) return false;
    if (value > 0 && !ts_buf_printf(out, " to be %d", value)) return false;
    return ts_buf_printf(out, "; it is %d", l->value);
}

/* Where the words of a FIFO come from. */
static sim_text source_of(const ts_array *a, const sim_fifo *f) {
    sim_text none = {"nowhere: no route leads here"};
    if (!f->from || !f->word) return none;
    return sim_port_name(a, f->from->tile, f->from->port);
}

static bool room_line(ts_buf *out, const sim_link *l) {
    uint32_t room;
    if (l->dead[0] || !l->n)
        return ts_buf_printf(out, "has no whole route: %s", l->dead[0] ? l->dead : "it leads nowhere");
    const sim_fifo *full = sim_full(l, &room);
    if (!full) return ts_buf_puts(out, "sends");
    return ts_buf_printf(out, "waits for room: %s does not take what it has been sent", sim_name(full->reader).s);
}

static bool channel_line(ts_array *a, ts_buf *out, const sim_channel *ch) {
    if (ch->step == SIM_IDLE) return true;
    if (!ts_buf_printf(out, "  %s: BD %u", sim_name(&ch->c).s, ch->bd_no)) return false;
    if (ch->step == SIM_MOVE && !ts_buf_printf(out, ", %u of %u words", ch->bd.words - ch->left, ch->bd.words))
        return false;
    if (ch->n_queue > 1 && !ts_buf_printf(out, ", %d more tasks in its queue", ch->n_queue - 1)) return false;
    if (!ts_buf_puts(out, ", ")) return false;
    bool ok = true;
    switch (ch->c.wait) {
    case TS_WAIT_LOCK: ok = lock_line(a, out, &ch->c, ch->bd.acq_lock, false, ch->bd.acq_value); break;
    case TS_WAIT_WORDS: ok = ts_buf_printf(out, "waits for words from %s", source_of(a, &ch->in).s); break;
    case TS_WAIT_ROOM:
    case TS_WAIT_ROUTE: ok = room_line(out, &ch->out); break;
    case TS_WAIT_NONE: ok = ts_buf_puts(out, "goes on"); break;
    default: ok = ts_buf_printf(out, "waits for %s", ts_wait_text((ts_wait)ch->c.wait)); break;
    }
    return ok && ts_buf_putc(out, '\n');
}

static bool packets_line(ts_array *a, ts_buf *out, const sim_packets *p) {
    (void)a;
    if (!p->in.n && p->step == SIM_HEAD) return true;
    if (!ts_buf_printf(out, "  %s (packets from %s): ", sim_name(&p->c).s, source_of(a, &p->in).s)) return false;
    if (p->stuck[0]) return ts_buf_printf(out, "%s\n", p->stuck);
    if (p->c.wait == TS_WAIT_WORDS) return ts_buf_puts(out, "waits for the rest of a packet\n");
    return ts_buf_printf(out, "waits for %s\n", p->c.wait ? ts_wait_text((ts_wait)p->c.wait) : "its turn");
}

static bool core_line(ts_array *a, ts_buf *out, const sim_core *k) {
    if (!k->runs) return true;
    if (!ts_buf_printf(out, "  %s: pc 0x%05x ", sim_name(&k->c).s, k->core.pc)) return false;
    bool ok = true;
    switch (k->c.wait) {
    case TS_WAIT_LOCK: ok = lock_line(a, out, &k->c, k->core.stall_lock, true, 0); break;
    case TS_WAIT_WORDS: ok = ts_buf_printf(out, "waits for words from %s", source_of(a, &k->in).s); break;
    case TS_WAIT_ROOM:
    case TS_WAIT_ROUTE: ok = room_line(out, &k->out); break;
    case TS_WAIT_CASCADE: ok = ts_buf_puts(out, "waits for the cascade"); break;
    default: ok = ts_buf_puts(out, "runs"); break;
    }
    return ok && ts_buf_putc(out, '\n');
}

/* Why a token that is waited for may never come. */
static bool token_line(ts_array *a, ts_buf *out, ts_tile at, ts_dma_dir dir, int channel) {
    sim_tile *t = sim_tile_at(a, at);
    if (!t || channel >= t->info->n_channels) return true;
    const sim_channel *ch = &t->ch[dir][channel];
    bool asked = false;
    for (int i = 0; i < ch->n_queue; i++) asked |= ch->queue[i].token;
    if (asked && ch->c.wait != TS_WAIT_TOKEN) return true; /* its line says what it waits for */
    if (t->token.dead[0]) return ts_buf_printf(out, "    tokens have no way out of this tile: %s\n", t->token.dead);
    if (a->fw.lost[at.col][at.row]) return ts_buf_puts(out, "    tokens of this tile were lost\n");
    if (ch->n_queue) return ts_buf_puts(out, "    its tasks were started without a token\n");
    if (ch->n_tasks)
        return ts_buf_puts(out, "    its tasks have ended; their tokens were taken, or none was asked for\n");
    return ts_buf_puts(out, "    it was given no task\n");
}

static bool firmware_lines(ts_array *a, ts_buf *out) {
    const sim_firmware *fw = &a->fw;
    const ts_txn_op *op = &fw->op;
    if (fw->step == SIM_FW_OFF || fw->step == SIM_FW_END) return true;
    if (fw->step == SIM_FW_LAUNCH) return ts_buf_puts(out, "  firmware: prepares the command\n");
    if (!ts_buf_printf(out, "  firmware: operation %llu, at offset %zu, ", (unsigned long long)fw->n_ops, op->offset))
        return false;
    if (fw->step == SIM_FW_WAIT) {
        ts_tile at = ts_tile_at(op->tile.col + fw->n_tokens / op->n_rows, op->tile.row + fw->n_tokens % op->n_rows);
        return ts_buf_printf(out, "waits for a token of %s %s %u\n", sim_tile_name(a, at).s,
                             op->dir == TS_S2MM ? "S2MM" : "MM2S", op->channel) &&
               token_line(a, out, at, op->dir, op->channel);
    }
    if (fw->step == SIM_FW_POLL)
        return ts_buf_printf(out, "polls 0x%08x for 0x%x of 0x%x\n", op->addr, op->value & op->mask, op->mask);
    return ts_buf_puts(out, "goes on\n");
}

static bool explain(ts_array *a, const char *first_line) {
    ts_buf *out = &a->report;
    bool ok = true;
    if (first_line) {
        ok = ts_buf_printf(out, "cycle %llu: %s\n", (unsigned long long)a->now, first_line) && firmware_lines(a, out);
        for (int i = 0; ok && i < sim_tiles(a); i++) {
            const sim_tile *t = &a->tile[i];
            if (t->core) ok = core_line(a, out, t->core);
            for (int d = 0; d < 2; d++)
                for (int c = 0; ok && c < t->info->n_channels; c++)
                    ok = channel_line(a, out, &t->ch[d][c]);
            for (int s = 0; ok && s < ts_port_count(t->kind, TS_SLAVE); s++) ok = packets_line(a, out, &t->packets[s]);
        }
    }
    for (size_t i = 0; ok && i < a->n_mishaps && i < TS_MISHAPS_KEPT; i++)
        ok = ts_buf_printf(out, "  mishap, %s\n", a->mishap[i]);
    if (ok && a->n_mishaps > TS_MISHAPS_KEPT)
        ok = ts_buf_printf(out, "  and %zu mishaps more\n", a->n_mishaps - TS_MISHAPS_KEPT);
    return ok;
}

void sim_explain(ts_array *a, const char *first_line) {
    ts_buf_clear(&a->report);
    if (!explain(a, first_line)) ts_buf_clear(&a->report); /* out of memory: err still says what happened */
}

/* ---- what it cost ------------------------------------------------------------------------------------------------ */

void ts_array_get_stats(const ts_array *a, ts_array_stats *s) {
    memset(s, 0, sizeof *s);
    s->cycles = a->now - a->run_start;
    s->launch = a->fw.launched > a->run_start ? a->fw.launched - a->run_start : 0;
    s->fw_ops = a->fw.n_ops;
    s->fw_busy = a->fw.busy;
    s->fw_wait = a->fw.c.waited[TS_WAIT_TOKEN];
    s->read_bytes = a->read.bytes;
    s->write_bytes = a->write.bytes;
    s->events = a->events;
    for (int i = 0; i < sim_tiles(a); i++) {
        const sim_tile *t = &a->tile[i];
        for (int d = 0; d < 2; d++)
            for (int c = 0; c < t->info->n_channels; c++) {
                const sim_channel *ch = &t->ch[d][c];
                ts_channel_stats *x = &s->channel[t->at.col][t->at.row][d][c];
                x->words = ch->n_words;
                x->bds = ch->n_bds;
                x->tasks = ch->n_tasks;
                memcpy(x->waited, ch->c.waited, sizeof x->waited);
            }
        if (!t->core) continue;
        ts_core_stats *x = &s->core[t->at.col][t->at.row];
        x->running = t->core->runs;
        x->bundles = t->core->core.bundles - t->core->bundles0;
        x->bank_stalls = t->core->core.bank_stalls - t->core->bank_stalls0;
        x->words_in = t->core->words_in;
        x->words_out = t->core->words_out;
        memcpy(x->waited, t->core->c.waited, sizeof x->waited);
    }
}

static double percent(uint64_t part, uint64_t whole) {
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

bool ts_array_print_costs(const ts_array *a, ts_buf *out) {
    ts_array_stats s;
    ts_array_get_stats(a, &s);
    double us = (double)s.cycles / TS_SIM_CLOCK_MHZ;
    bool ok =
        ts_buf_printf(out,
                      "%llu cycles (%.1f us at %d MHz), simulated; launch %llu, firmware %llu operations in %llu "
                      "cycles, waiting %llu\n"
                      "host memory: %llu bytes read (%.2f bytes a cycle), %llu written (%.2f)\n",
                      (unsigned long long)s.cycles, us, TS_SIM_CLOCK_MHZ, (unsigned long long)s.launch,
                      (unsigned long long)s.fw_ops, (unsigned long long)s.fw_busy, (unsigned long long)s.fw_wait,
                      (unsigned long long)s.read_bytes, (double)s.read_bytes / (double)(s.cycles ? s.cycles : 1),
                      (unsigned long long)s.write_bytes, (double)s.write_bytes / (double)(s.cycles ? s.cycles : 1)) &&
        ts_buf_puts(out, "core        bundles   busy%   banks%   lock%  words%   room%  cascade%\n");
    for (int c = 0; ok && c < a->o.n_cols; c++)
        for (int r = a->o.chip->core_row; ok && r < a->o.chip->rows; r++) {
            const ts_core_stats *x = &s.core[c][r];
            if (!x->running && !x->bundles) continue;
            ok = ts_buf_printf(out, "(%d,%d) %12llu %7.1f  %7.1f %7.1f %7.1f %7.1f   %7.1f\n", c, r,
                               (unsigned long long)x->bundles, percent(x->bundles, s.cycles),
                               percent(x->bank_stalls, s.cycles), percent(x->waited[TS_WAIT_LOCK], s.cycles),
                               percent(x->waited[TS_WAIT_WORDS], s.cycles), percent(x->waited[TS_WAIT_ROOM], s.cycles),
                               percent(x->waited[TS_WAIT_CASCADE], s.cycles));
        }
    ok = ok &&
         ts_buf_puts(out,
                     "channel              words  tasks      BDs   busy%   idle%   lock%  words%   room%   host%\n");
    for (int i = 0; ok && i < sim_tiles(a); i++) {
        const sim_tile *t = &a->tile[i];
        for (int d = 0; d < 2; d++)
            for (int c = 0; ok && c < t->info->n_channels; c++) {
                const ts_channel_stats *x = &s.channel[t->at.col][t->at.row][d][c];
                if (!x->words) continue;
                ok = ts_buf_printf(out, "%-14s %11llu %6llu %8llu %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f\n",
                                   sim_name(&t->ch[d][c].c).s, (unsigned long long)x->words,
                                   (unsigned long long)x->tasks, (unsigned long long)x->bds,
                                   percent(x->words, s.cycles), percent(x->waited[TS_WAIT_TASK], s.cycles),
                                   percent(x->waited[TS_WAIT_LOCK], s.cycles),
                                   percent(x->waited[TS_WAIT_WORDS], s.cycles),
                                   percent(x->waited[TS_WAIT_ROOM], s.cycles),
                                   percent(x->waited[TS_WAIT_HOST], s.cycles));
            }
    }
    return ok;
}
