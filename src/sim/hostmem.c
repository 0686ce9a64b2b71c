/* hostmem.c - the shim's bursts to and from host memory: requests ahead of the stream, the shared bandwidth, bus
 * errors. */
#include "sim/array_int.h"

enum { DDR_GRAIN = 64 }; /* bytes; a shorter burst costs as much [guess] */

/* Let a server carry a burst that was asked for at cycle t; the cycle in which it is through. */
static uint64_t serve(sim_server *s, uint32_t rate, uint64_t t, uint32_t bytes) {
    s->bytes += bytes;
    if (!rate) return t;
    uint64_t cost = (uint64_t)((bytes + DDR_GRAIN - 1) / DDR_GRAIN * DDR_GRAIN) * (1024 * 1000) / rate;
    if (s->free < t << 10) s->free = t << 10;
    s->free += cost;
    return (s->free + 1023) >> 10;
}

static uint32_t bursts_of(const ts_array *a) {
    uint32_t n = a->timing.shim_bursts.nominal;
    return n < 1 ? 1 : n > SIM_BURSTS ? SIM_BURSTS : n;
}

static uint32_t burst_words(const ts_bd *bd) {
    return bd->burst >= 2 ? 64 : 16u << bd->burst;
}

static void bus_error(ts_array *a, const sim_channel *ch, uint64_t addr, uint32_t words) {
    if (a->fault.code == TS_OK) a->bus_error = ch;
    sim_fault(a, "%s: BD %u: bus error, %u bytes at 0x%llx are in no buffer%s", sim_name(&ch->c).s, ch->bd_no,
              4 * words, (unsigned long long)addr,
              addr < TS_ARRAY_BIAS ? " (addresses of the array are 0x80000000 higher)" : "");
}

/* One word more has gone through the shim. */
static uint64_t step(sim_channel *ch, uint64_t t) {
    t++;
    if (ch->pace > 1000) ch->fraction += ch->pace - 1000;
    t += ch->fraction / 1000;
    ch->fraction %= 1000;
    return t;
}

/* ---- reads ------------------------------------------------------------------------------------------------------- */

void sim_fetch_start(ts_array *a, sim_channel *ch) {
    sim_fetch *f = ch->fetch;
    const sim_task *task = &ch->queue[0];
    bool queued = ch->n_tasks && task->pushed <= ch->ended; /* it was there when the one before ended */
    f->latency = ch->continues ? 0 : sim_draw(a, &f->c, queued ? a->timing.shim_read_task : a->timing.shim_read_cold);
    f->walk = ch->walk;
    f->left = ch->left;
    f->last_ready = 0;
    f->c.t = ch->c.t;
    sim_wake(a, &f->c, f->c.t);
}

void sim_fetch_run(ts_array *a, sim_fetch *f) {
    sim_channel *ch = f->ch;
    if (!f->left || ch->step != SIM_MOVE) {
        sim_sleep(&f->c, TS_WAIT_TASK);
        return;
    }
    sim_burst *b = &ch->burst[ch->b_in];
    if (ch->b_n == bursts_of(a)) {
        sim_sleep(&f->c, TS_WAIT_ROOM);
        return;
    }
    if (b->ready > a->now) { /* the stream has run ahead: the place becomes free only then */
        f->c.t = b->ready;
        sim_wake(a, &f->c, f->c.t);
        return;
    }
    uint64_t addr;
    bool zero;
    uint32_t most = burst_words(&ch->bd);
    b->n = sim_walk_take(&f->walk, f->left < most ? f->left : most, &addr, &zero);
    b->at = 0;
    f->left -= b->n;
    if (!a->host || !a->host->read || a->host->read(a->host->ud, addr, b->word, 4 * (size_t)b->n) < 0) {
        bus_error(a, ch, addr, b->n);
        return;
    }
    b->ready = serve(&a->read, a->timing.ddr_read_rate.nominal, a->now, 4 * b->n) + f->latency +
               sim_draw(a, &f->c, a->timing.ddr_jitter);
    if (b->ready < f->last_ready) b->ready = f->last_ready;
    f->last_ready = b->ready;
    ch->b_in = (ch->b_in + 1) % bursts_of(a);
    ch->b_n++;
    if (ch->c.wait == TS_WAIT_HOST) sim_wake(a, &ch->c, b->ready);
    f->c.t = a->now + 1 + sim_draw(a, &f->c, a->timing.shim_burst_gap);
    sim_wake(a, &f->c, f->c.t);
}

bool sim_shim_out(ts_array *a, sim_channel *ch) {
    uint64_t horizon = a->now + a->o.window;
    uint32_t room;
    while (ch->left || ch->header) {
        if (ch->out.dead[0] || !ch->out.n) {
            ch->out.waits = &ch->c;
            sim_sleep(&ch->c, TS_WAIT_ROUTE);
            return false;
        }
        sim_fifo *full = sim_full_now(a, &ch->out, &room);
        if (full) {
            sim_wait_room(full, &ch->c);
            return false;
        }
        if (!ch->b_n) {
            sim_sleep(&ch->c, TS_WAIT_HOST);
            return false;
        }
        sim_burst *b = &ch->burst[ch->b_out];
        if (b->ready > ch->c.t) {
            ch->c.waited[TS_WAIT_HOST] += b->ready - ch->c.t;
            ch->c.t = b->ready;
        }
        if (ch->c.t > horizon) {
            sim_wake(a, &ch->c, ch->c.t);
            return false;
        }
        uint64_t t = ch->c.t, stalled = 0;
        uint32_t n = b->n - b->at < room ? b->n - b->at : room;
        if (ch->header) {
            const ts_packet p = {.id = (uint8_t)ch->bd.packet_id,
                                 .type = (uint8_t)ch->bd.packet_type,
                                 .col = ch->c.tile.col};
            uint64_t sent = sim_push(a, &ch->out, t, ts_packet_encode(p), false);
            stalled = sent - t;
            t = step(ch, sent);
            ch->header = false;
            n = 0;
        }
        for (uint32_t i = 0; i < n; i++) {
            ch->left--;
            uint64_t sent = sim_push(a, &ch->out, t, b->word[b->at + i], !ch->left && !ch->bd.tlast_suppress);
            stalled += sent - t;
            t = step(ch, sent);
        }
        b->at += n;
        ch->n_words += n;
        ch->c.waited[TS_WAIT_ROOM] += stalled;
        ch->c.t = t;
        if (b->at < b->n) continue;
        b->ready = t; /* the place is free */
        ch->b_out = (ch->b_out + 1) % bursts_of(a);
        ch->b_n--;
        if (ch->fetch->c.wait == TS_WAIT_ROOM) sim_wake(a, &ch->fetch->c, t);
    }
    return true;
}

/* ---- writes ------------------------------------------------------------------------------------------------------ */

/* Send the burst that has been filled, in order of time with those of the other channels; at most so many are under
 * way. false: its event comes. */
static bool flush(ts_array *a, sim_channel *ch) {
    sim_burst *b = &ch->burst[ch->b_in];
    if (!b->n) return true;
    if (ch->c.t > a->now) {
        sim_wake(a, &ch->c, ch->c.t);
        return false;
    }
    if (!a->host || !a->host->write || a->host->write(a->host->ud, ch->b_addr, b->word, 4 * (size_t)b->n) < 0) {
        bus_error(a, ch, ch->b_addr, b->n);
        return false;
    }
    b->ready = serve(&a->write, a->timing.ddr_write_rate.nominal, ch->c.t, 4 * b->n) +
               sim_draw(a, &ch->c, a->timing.ddr_write_latency);
    if (b->ready > ch->b_done) ch->b_done = b->ready;
    ch->b_in = (ch->b_in + 1) % bursts_of(a);
    b = &ch->burst[ch->b_in];
    if (b->ready > ch->c.t) {
        ch->c.waited[TS_WAIT_HOST] += b->ready - ch->c.t;
        ch->c.t = b->ready;
    }
    b->n = 0;
    return true;
}

bool sim_shim_in(ts_array *a, sim_channel *ch) {
    uint64_t horizon = a->now + a->o.window;
    sim_fifo *f = &ch->in;
    uint32_t most = burst_words(&ch->bd);
    while (ch->left) {
        if (ch->burst[ch->b_in].n == most && !flush(a, ch)) return false;
        if (!f->n) {
            f->reader_waits = true;
            sim_sleep(&ch->c, TS_WAIT_WORDS);
            return false;
        }
        if (ch->c.t > horizon || f->when[f->out] > horizon) {
            sim_wake(a, &ch->c, f->when[f->out] > ch->c.t ? f->when[f->out] : ch->c.t);
            return false;
        }
        sim_burst *b = &ch->burst[ch->b_in];
        uint64_t addr, stalled = 0;
        bool zero, last;
        uint32_t n = most - b->n;
        if (n > f->n) n = f->n;
        if (n > ch->left) n = ch->left;
        sim_walk walk = ch->walk;
        n = sim_walk_take(&walk, n, &addr, &zero);
        if (b->n && addr != ch->b_addr + 4ull * b->n) {
            if (!flush(a, ch)) return false;
            continue;
        }
        ch->walk = walk;
        if (!b->n) ch->b_addr = addr;
        uint64_t t = ch->c.t;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t got = sim_pop(a, f, t, &b->word[b->n++], &last);
            stalled += got - t;
            t = step(ch, got);
        }
        ch->left -= n;
        ch->n_words += n;
        ch->c.waited[TS_WAIT_WORDS] += stalled;
        ch->c.t = t;
    }
    return flush(a, ch);
}

void sim_shim_clear(sim_channel *ch) {
    ch->b_in = ch->b_out = ch->b_n = 0;
    ch->b_done = 0;
    ch->fraction = 0;
    for (int i = 0; i < SIM_BURSTS; i++) ch->burst[i].n = ch->burst[i].at = 0, ch->burst[i].ready = 0;
}
