/* array.c - the life of an array: parts, reset, loading, running. */
#include "sim/array_int.h"
#include "xdna/regs.h"

#include <assert.h>

/* ---- making ------------------------------------------------------------------------------------------------------ */

static void add_comp(ts_array *a, sim_comp *c, sim_comp_kind kind, ts_tile at) {
    c->kind = (uint8_t)kind;
    c->tile = at;
    c->tile_kind = (uint8_t)ts_tile_kind_of(a->o.chip, at);
    c->order = (uint16_t)a->n_comp;
    a->comp[a->n_comp++] = c;
}

static uint32_t count_comps(const ts_array *a) {
    uint32_t n = 1; /* the firmware */
    for (int i = 0; i < sim_tiles(a); i++) {
        ts_tile_kind k = ts_tile_kind_of(a->o.chip, ts_tile_at(0, i % a->o.chip->rows));
        n += 2u * a->o.chip->tile[k].n_channels + (uint32_t)ts_port_count(k, TS_SLAVE);
        n += k == TS_TILE_CORE ? 1 : k == TS_TILE_SHIM ? a->o.chip->tile[k].n_channels : 0;
    }
    return n;
}

static ts_status make_channels(ts_array *a, sim_tile *t, ts_err *err) {
    uint8_t n = t->info->n_channels;
    for (int d = 0; d < 2; d++) {
        if (!(t->ch[d] = ts_calloc(n, sizeof *t->ch[d])))
            return ts_fail_nomem(err, "DMA channels", n * sizeof *t->ch[d]);
        for (int i = 0; i < n; i++) {
            sim_channel *ch = &t->ch[d][i];
            ch->dir = (ts_dma_dir)d;
            ch->index = (uint8_t)i;
            ch->in.reader = &ch->c;
            add_comp(a, &ch->c, SIM_CHANNEL, t->at);
            if (t->kind != TS_TILE_SHIM) continue;
            if (!(ch->burst = ts_calloc(SIM_BURSTS, sizeof *ch->burst)))
                return ts_fail_nomem(err, "DMA bursts", SIM_BURSTS * sizeof *ch->burst);
            if (d == TS_S2MM) continue;
            if (!(ch->fetch = ts_calloc(1, sizeof *ch->fetch)))
                return ts_fail_nomem(err, "a DMA channel", sizeof *ch->fetch);
            ch->fetch->ch = ch;
            add_comp(a, &ch->fetch->c, SIM_FETCH, t->at);
        }
    }
    return TS_OK;
}

static ts_status make_tile(ts_array *a, sim_tile *t, ts_err *err) {
    uint32_t bytes = t->info->data_bytes;
    if (bytes && !(t->mem = ts_alloc_aligned(bytes, 1))) return ts_fail_nomem(err, "a tile's memory", bytes);
    TS_TRY(make_channels(a, t, err));
    for (int s = 0; s < ts_port_count(t->kind, TS_SLAVE); s++) {
        t->packets[s].slave = (uint8_t)s;
        t->packets[s].in.reader = &t->packets[s].c;
        add_comp(a, &t->packets[s].c, SIM_PACKETS, t->at);
    }
    t->inbox.reader = &a->fw.c;
    return TS_OK;
}

static ts_status make(ts_array *a, ts_err *err) {
    size_t n_tiles = (size_t)sim_tiles(a);
    uint32_t n_comps = count_comps(a);
    if (!(a->tile = ts_calloc(n_tiles, sizeof *a->tile))) return ts_fail_nomem(err, "tiles", n_tiles * sizeof *a->tile);
    a->comp = ts_calloc(n_comps, sizeof(sim_comp *));
    a->heap = ts_calloc(n_comps, sizeof(sim_comp *));
    if (!a->comp || !a->heap) return ts_fail_nomem(err, "events", 2 * n_comps * sizeof(sim_comp *));
    for (size_t i = 0; i < n_tiles; i++) {
        a->tile[i].at = ts_tile_at((int)i / a->o.chip->rows, (int)i % a->o.chip->rows);
        a->tile[i].kind = ts_tile_kind_of(a->o.chip, a->tile[i].at);
        a->tile[i].info = ts_tile_info_of(a->o.chip, a->tile[i].at);
    }
    add_comp(a, &a->fw.c, SIM_FIRMWARE, ts_tile_at(0, 0));
    for (size_t i = 0; i < n_tiles; i++) TS_TRY(make_tile(a, &a->tile[i], err));
    for (size_t i = 0; i < n_tiles; i++) { /* cores see their neighbours' memories */
        sim_tile *t = &a->tile[i];
        if (t->kind != TS_TILE_CORE) continue;
        sim_core *k = t->core = ts_alloc_aligned(1, sizeof *t->core); /* the register file is aligned */
        if (!k) return ts_fail_nomem(err, "a core", sizeof *k);
        memset(k, 0, sizeof *k);
        k->in.reader = &k->c;
        add_comp(a, &k->c, SIM_CORE, t->at);
        TS_TRY(sim_core_init(a, k, t->at, err));
    }
    return TS_OK;
}

ts_status ts_array_new(ts_array **out, const ts_array_options *o, ts_err *err) {
    const ts_chip *chip = o->chip ? o->chip : &ts_npu1;
    if (o->n_cols < 1 || o->n_cols > chip->cols)
        return ts_fail(err, TS_E_INVAL, "array: %d columns, there are 1 to %d", o->n_cols, chip->cols);
    /* the core model has memories of its own sizes */
    assert(chip->tile[TS_TILE_CORE].data_bytes == TS_AIE2_DM_BYTES && chip->program_bytes == TS_AIE2_PM_BYTES);
    ts_array *a = ts_calloc(1, sizeof *a);
    if (!a) return ts_fail_nomem(err, "an array", sizeof *a);
    a->o = *o;
    a->o.chip = chip;
    if (o->timing) a->timing = *o->timing;
    else ts_sim_timing_init(&a->timing);
    a->o.timing = NULL;
    if (!a->o.window) a->o.window = SIM_WINDOW;
    if (!a->o.max_cycles) a->o.max_cycles = (uint64_t)SIM_MAX_CYCLES * 1000000000;
    ts_status e = make(a, err);
    if (e != TS_OK) {
        ts_array_free(a);
        return e;
    }
    ts_array_reset(a);
    *out = a;
    return TS_OK;
}

static void free_tile(sim_tile *t) {
    for (int d = 0; d < 2; d++)
        for (int i = 0; t->ch[d] && i < t->info->n_channels; i++) {
            sim_channel *ch = &t->ch[d][i];
            sim_fifo_free(&ch->in);
            ts_free(ch->out.sink);
            ts_free(ch->burst);
            ts_free(ch->fetch);
        }
    ts_free(t->ch[0]);
    ts_free(t->ch[1]);
    for (int s = 0; s < TS_SLAVES_MAX; s++) sim_fifo_free(&t->packets[s].in);
    for (int m = 0; m < TS_MASTERS_MAX; m++) ts_free(t->master[m].sink);
    ts_free(t->token.sink);
    sim_fifo_free(&t->inbox);
    if (t->core) {
        ts_aie2_core_fini(&t->core->core);
        sim_fifo_free(&t->core->in);
        ts_free(t->core->out.sink);
        ts_free(t->core);
    }
    ts_free(t->mem);
}

void ts_array_free(ts_array *a) {
    if (!a) return;
    for (int i = 0; a->tile && i < sim_tiles(a); i++) free_tile(&a->tile[i]);
    ts_free(a->tile);
    ts_free(a->comp);
    ts_free(a->heap);
    ts_buf_free(&a->report);
    ts_free(a);
}

/* ---- reset ------------------------------------------------------------------------------------------------------- */

/* The order at equal times, a permutation that the seed gives; the firmware is part of it. */
static void shuffle(ts_array *a, ts_rng *r) {
    for (uint32_t i = 0; i < a->n_comp; i++) a->comp[i]->order = (uint16_t)i;
    for (uint32_t i = a->n_comp; a->o.seed && i > 1; i--) {
        uint32_t j = (uint32_t)ts_rng_below(r, i);
        uint16_t x = a->comp[i - 1]->order;
        a->comp[i - 1]->order = a->comp[j]->order;
        a->comp[j]->order = x;
    }
}

static void reset_channel(sim_channel *ch) {
    ch->step = SIM_IDLE;
    ch->overflow = ch->invalid = ch->header = ch->continues = false;
    ch->ctrl = 0;
    ch->n_queue = 0;
    ch->left = ch->bd_no = ch->runs_left = 0;
    ch->ended = 0;
    ch->n_words = ch->n_bds = ch->n_tasks = 0;
    ch->out.waits = NULL;
    sim_fifo_clear(&ch->in);
    if (ch->burst) sim_shim_clear(ch);
    if (ch->fetch) ch->fetch->left = 0;
}

static void reset_core(sim_core *k) {
    k->runs = k->is_done = false;
    k->base = k->retry = k->words_in = k->words_out = k->bundles0 = k->bank_stalls0 = 0;
    k->control = ts_field_mask(TS_CORE_CORE_CONTROL_RESET);
    k->cascade_ctrl = 0;
    memset(&k->cascade, 0, sizeof k->cascade);
    k->out.waits = NULL;
    sim_fifo_clear(&k->in);
    uint8_t nops[TS_AIE2_PM_BYTES];
    for (size_t i = 0; i < sizeof nops; i += 2) nops[i] = 1, nops[i + 1] = 0;
    ts_status e = ts_aie2_core_load(&k->core, 0, nops, sizeof nops, NULL);
    assert(e == TS_OK);
    (void)e;
    ts_aie2_core_reset(&k->core);
}

static void reset_tile(sim_tile *t, ts_rng *r) {
    uint32_t bytes = t->info->data_bytes;
    for (uint32_t i = 0; i < bytes; i += 8) { /* what is there after power-on is not known: reading it must show */
        uint64_t x = ts_rng_u64(r);
        memcpy(t->mem + i, &x, 8);
    }
    memset(t->bd, 0, sizeof t->bd);
    memset(t->lock, 0, sizeof t->lock);
    t->lock_over = t->lock_under = 0;
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < t->info->n_channels; i++) reset_channel(&t->ch[d][i]);
    for (int s = 0; s < TS_SLAVES_MAX; s++) {
        sim_packets *p = &t->packets[s];
        sim_fifo_clear(&p->in);
        p->in.reader_waits = true;
        p->step = SIM_HEAD;
        p->stuck[0] = 0;
    }
    memset(t->arbiter, 0, sizeof t->arbiter);
    sim_fifo_clear(&t->inbox);
    if (t->core) reset_core(t->core);
}

void ts_array_reset(ts_array *a) {
    ts_rng r = ts_rng_seed(a->o.seed ^ 0x6172726179u);
    a->now = a->run_start = a->events = 0;
    a->n_heap = 0;
    a->launched = a->ended_badly = false;
    a->host = NULL;
    a->fault = (ts_err){0};
    a->bus_error = NULL;
    a->stopped = false;
    a->n_mishaps = 0;
    a->rewritten_tile = NULL;
    ts_buf_clear(&a->report);
    memset(&a->stats, 0, sizeof a->stats);
    memset(&a->read, 0, sizeof a->read);
    memset(&a->write, 0, sizeof a->write);
    sim_comp fw = a->fw.c;
    memset(&a->fw, 0, sizeof a->fw);
    a->fw.c = fw;
    for (uint32_t i = 0; i < a->n_comp; i++) {
        sim_comp *c = a->comp[i];
        c->t = c->when = 0;
        c->heap = 0;
        c->next = NULL;
        c->wait = c->kind == SIM_PACKETS ? TS_WAIT_WORDS : TS_WAIT_TASK;
        memset(c->waited, 0, sizeof c->waited);
        c->rng = ts_rng_seed(a->o.seed * 0x9e3779b97f4a7c15u + i);
    }
    shuffle(a, &r);
    for (int i = 0; i < sim_tiles(a); i++) reset_tile(&a->tile[i], &r);
    ts_fabric_init(&a->fabric, a->o.chip, a->o.n_cols);
    a->fabric_changed = true;
}

/* ---- loading and running ----------------------------------------------------------------------------------------- */

ts_status ts_array_load(ts_array *a, const void *pdi, size_t len, ts_err *err) {
    ts_array_reset(a);
    ts_status e = sim_configure(a, pdi, len, err);
    if (e != TS_OK) a->ended_badly = true;
    sim_explain(a, e == TS_OK ? NULL : "the configuration could not be loaded");
    return e;
}

/* Everything is counted from here on. */
static void start_counting(ts_array *a) {
    sim_account(a);
    a->run_start = a->now;
    a->events = 0;
    a->read.bytes = a->write.bytes = 0;
    a->fw.n_ops = a->fw.busy = a->fw.launched = 0;
    for (uint32_t i = 0; i < a->n_comp; i++) memset(a->comp[i]->waited, 0, sizeof a->comp[i]->waited);
    for (int i = 0; i < sim_tiles(a); i++) {
        sim_tile *t = &a->tile[i];
        for (int d = 0; d < 2; d++)
            for (int c = 0; c < t->info->n_channels; c++)
                t->ch[d][c].n_words = t->ch[d][c].n_bds = t->ch[d][c].n_tasks = 0;
        if (!t->core) continue;
        t->core->bundles0 = t->core->core.bundles;
        t->core->bank_stalls0 = t->core->core.bank_stalls;
        t->core->words_in = t->core->words_out = 0;
    }
}

/* A stream that is malformed anywhere is refused before anything of it happens. */
static ts_status read_through(const ts_array *a, const void *txn, size_t len, ts_err *err) {
    ts_txn_reader r;
    ts_txn_op op;
    bool more = true;
    TS_TRY(ts_txn_open(&r, a->o.chip, txn, len, err));
    if (r.n_cols > a->o.n_cols)
        return ts_fail(err, TS_E_INVAL, "instruction stream: it is for %d columns, the partition has %d", r.n_cols,
                       a->o.n_cols);
    while (more) TS_TRY(ts_txn_next(&r, &op, &more, err));
    return TS_OK;
}

ts_status ts_array_run(ts_array *a, const void *txn, size_t len, const uint64_t *args, int n_args,
                       const ts_array_host *host, ts_array_outcome *outcome, ts_err *err) {
    if (outcome) *outcome = TS_ARRAY_FAULT;
    if (a->ended_badly)
        return ts_fail(err, TS_E_DEVICE, "the array takes nothing more after what happened before: load it again");
    TS_TRY(read_through(a, txn, len, err));
    TS_TRY(ts_txn_open(&a->fw.txn, a->o.chip, txn, len, err));
    start_counting(a);
    a->host = host;
    a->fw.args = args;
    a->fw.n_args = n_args;
    a->fw.step = SIM_FW_LAUNCH;
    a->fw.c.wait = TS_WAIT_NONE;
    a->fw.c.t = a->now + sim_draw(a, &a->fw.c, a->timing.fw_launch);
    sim_forget(a, &a->fw.c);
    sim_wake(a, &a->fw.c, a->fw.c.t);
    uint64_t end = a->now + a->o.max_cycles;
    sim_run_events(a, end);
    a->host = NULL;
    sim_account(a);
    const char *why = NULL;
    a->outcome = TS_ARRAY_DONE;
    if (a->fault.code != TS_OK) {
        a->outcome = TS_ARRAY_FAULT;
        why = a->fault.msg;
    } else if (a->fw.step != SIM_FW_END) {
        a->outcome = TS_ARRAY_HANG;
        why = a->stopped  ? "the command was taken away"
              : a->n_heap ? "the command has not ended after the cycles it was given"
                          : "nothing can go on: a deadlock";
    }
    sim_explain(a, why);
    a->fw.step = SIM_FW_OFF;
    a->fw.args = NULL;
    if (outcome) *outcome = a->outcome;
    if (a->outcome == TS_ARRAY_DONE) return TS_OK;
    a->ended_badly = true;
    if (a->fault.code != TS_OK) {
        if (err) *err = a->fault;
        return a->fault.code;
    }
    return ts_fail(err, TS_E_DEVICE, "cycle %llu: %s", (unsigned long long)a->now, why);
}

ts_status ts_array_idle(ts_array *a, uint64_t cycles, const ts_array_host *host, ts_err *err) {
    if (a->ended_badly)
        return ts_fail(err, TS_E_DEVICE, "the array takes nothing more after what happened before: load it again");
    uint64_t end = a->now + cycles;
    a->host = host;
    if (a->fabric_changed) sim_net_update(a);
    sim_run_events(a, end);
    a->host = NULL;
    if (a->fault.code == TS_OK && a->now < end) a->now = end;
    sim_account(a);
    if (a->fault.code == TS_OK) return TS_OK;
    a->ended_badly = true;
    sim_explain(a, a->fault.msg);
    if (err) *err = a->fault;
    return a->fault.code;
}

bool ts_array_bus_error(const ts_array *a, ts_tile *tile, ts_dma_dir *dir) {
    if (!a->bus_error) return false;
    *tile = a->bus_error->c.tile;
    *dir = a->bus_error->dir;
    return true;
}

/* ---- looking in -------------------------------------------------------------------------------------------------- */

ts_status ts_array_write(ts_array *a, uint32_t addr, uint32_t value, ts_err *err) {
    sim_write(a, addr, value);
    if (a->fault.code == TS_OK) return TS_OK;
    if (err) *err = a->fault;
    ts_status e = a->fault.code;
    if (!a->ended_badly) a->fault = (ts_err){0}; /* the write has done nothing */
    return e;
}

ts_status ts_array_read(const ts_array *a, uint32_t addr, uint32_t *value, ts_err *err) {
    const char *why;
    char name[64];
    if (sim_read(a, addr, value, &why)) return TS_OK;
    return ts_fail(err, TS_E_DEVICE, "%s (0x%08x): %s", ts_reg_name(a->o.chip, addr, name, sizeof name), addr, why);
}

uint8_t *ts_array_memory(ts_array *a, ts_tile tile) {
    sim_tile *t = sim_tile_at(a, tile);
    return t ? t->mem : NULL;
}

uint64_t ts_array_cycles(const ts_array *a) {
    return a->now;
}

size_t ts_array_mishaps(const ts_array *a) {
    return a->n_mishaps;
}

const char *ts_array_mishap(const ts_array *a, size_t i) {
    return i < a->n_mishaps && i < TS_MISHAPS_KEPT ? a->mishap[i] : "";
}

const char *ts_array_report(const ts_array *a) {
    return a->report.data ? a->report.data : "";
}
