#include "xdna/design.h"

#include "base/arena.h"
#include "xdna/regs.h"

#include <stdarg.h>
#include <stdio.h>

enum { ALIGN = 32, TOKEN_ID = TS_CONTROLLER_SHIM };

typedef struct buffer {
    const char *name;
    ts_tile tile;
    uint32_t at, bytes;
    uint32_t *data; /* arena; NULL: none */
    size_t data_words;
} buffer;

typedef struct lock {
    const char *name;
    ts_tile tile;
    int number, value;
} lock;

typedef struct ring {
    ts_tile tile;
    ts_dma_dir dir;
    int channel, first, n; /* BDs first .. first + n - 1 */
    ts_bd *bd;             /* arena */
} ring;

typedef struct flow {
    ts_end src, *dst;
    int n_dst, packet_id; /* -1: circuit */
    bool keep_header;
} flow;

typedef struct tile_state {
    int n_locks, n_bds[2]; /* memtile: BDs of even and odd channels; else only [0] */
    bool ring[2][TS_CHANNELS_MAX];
    uint32_t *code;
    size_t code_words;
    bool used;
} tile_state;

struct ts_design {
    const ts_chip *chip;
    int n_cols;
    ts_arena arena;
    buffer *buffers;
    lock *locks;
    ring *rings;
    flow *flows;
    size_t n_buffers, n_locks, n_rings, n_flows, cap_buffers, cap_locks, cap_rings, cap_flows;
    tile_state tile[TS_COLS_MAX][TS_ROWS_MAX];
    ts_err err; /* the first error; code TS_OK: none */
};

/* ---- errors are kept --------------------------------------------------------------------------------------------- */

TS_PRINTF(3, 4) static void fail(ts_design *d, ts_status code, const char *fmt, ...);
static void fail(ts_design *d, ts_status code, const char *fmt, ...) {
    if (d->err.code != TS_OK) return;
    char text[sizeof d->err.msg - 16];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ts_fail(&d->err, code, "design: %s", text);
}

static void *fail_nomem(ts_design *d) {
    fail(d, TS_E_NOMEM, "out of memory");
    return NULL;
}

static bool tile_ok(ts_design *d, ts_tile t, const char *what) {
    if (ts_tile_in(d->chip, d->n_cols, t)) return true;
    fail(d, TS_E_INVAL, "%s: tile (%u,%u) is outside the %d columns", what, t.col, t.row, d->n_cols);
    return false;
}

static tile_state *state_of(ts_design *d, ts_tile t) {
    tile_state *s = &d->tile[t.col][t.row];
    s->used = true;
    return s;
}

/* A new element at the end of a list; NULL when out of memory. */
#define ADD(d, list)                                                                                         \
    (ts_grow((void **)&(d)->list, &(d)->cap_##list, (d)->n_##list + 1, sizeof *(d)->list)                    \
         ? &(d)->list[(d)->n_##list++]                                                                       \
         : fail_nomem(d))

ts_status ts_design_new(ts_design **out, const ts_chip *chip, int n_cols, ts_err *err) {
    if (n_cols < 1 || n_cols > chip->cols)
        return ts_fail(err, TS_E_INVAL, "design: %d columns, there are 1 to %d", n_cols, chip->cols);
    ts_design *d = ts_calloc(1, sizeof *d);
    if (!d) return ts_fail_nomem(err, "a design", sizeof *d);
    d->chip = chip;
    d->n_cols = n_cols;
    *out = d;
    return TS_OK;
}

void ts_design_free(ts_design *d) {
    if (!d) return;
    ts_free(d->buffers);
    ts_free(d->locks);
    ts_free(d->rings);
    ts_free(d->flows);
    ts_arena_free(&d->arena);
    ts_free(d);
}

/* ---- the description --------------------------------------------------------------------------------------------- */

/* The lowest free place of `bytes` in [lo, hi), or -1: first fit over the buffers of the tile. */
static int64_t first_fit(const ts_design *d, ts_tile tile, uint32_t lo, uint32_t hi, uint32_t bytes) {
    uint64_t at = lo;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < d->n_buffers; i++) {
            const buffer *b = &d->buffers[i];
            if (!ts_tile_eq(b->tile, tile) || at + bytes <= b->at || at >= (uint64_t)b->at + b->bytes)
                continue;
            at = ((uint64_t)b->at + b->bytes + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
            moved = true;
        }
    }
    return at + bytes <= hi ? (int64_t)at : -1;
}

ts_tile_buf ts_design_buffer(ts_design *d, ts_tile tile, const char *name, uint32_t bytes, int bank) {
    if (!tile_ok(d, tile, name)) return 0;
    const ts_tile_info *info = ts_tile_info_of(d->chip, tile);
    bool banked = bank != TS_ANY_BANK;
    if (!info->data_bytes || !bytes || bytes % 4 ||
        (banked && (ts_tile_kind_of(d->chip, tile) != TS_TILE_CORE || bank < 0 || bank > 3))) {
        fail(d, TS_E_INVAL, "buffer %s: %u bytes, bank %d in %s(%u,%u)", name, bytes, bank, ts_tile_name(d->chip, tile),
             tile.col, tile.row);
        return 0;
    }
    uint32_t lo = banked                                          ? (uint32_t)bank * TS_BANK_BYTES
                  : ts_tile_kind_of(d->chip, tile) == TS_TILE_MEM ? TS_MEM_LOW_BYTES
                                                                  : 0,
             hi = banked ? lo + TS_BANK_BYTES : info->data_bytes;
    int64_t at = bytes > hi - lo ? -1 : first_fit(d, tile, lo, hi, bytes);
    if (at < 0) {
        fail(d, TS_E_LIMIT, "buffer %s: no room for %u bytes in %s(%u,%u)%s", name, bytes, ts_tile_name(d->chip, tile),
             tile.col, tile.row, banked ? " in the bank asked for" : "");
        return 0;
    }
    buffer *b = ADD(d, buffers);
    if (!b) return 0;
    *b = (buffer){.name = name, .tile = tile, .at = (uint32_t)at, .bytes = bytes};
    state_of(d, tile);
    return (ts_tile_buf)d->n_buffers;
}

static buffer *buffer_of(const ts_design *d, ts_tile_buf b) {
    return b >= 1 && (size_t)b <= d->n_buffers ? &d->buffers[b - 1] : NULL;
}

static lock *lock_of(const ts_design *d, ts_tile_lock l) {
    return l >= 1 && (size_t)l <= d->n_locks ? &d->locks[l - 1] : NULL;
}

/* A copy padded with zeros to whole words. */
static uint32_t *copy_words(ts_design *d, const void *data, size_t bytes, size_t *n_words) {
    *n_words = (bytes + 3) / 4;
    uint32_t *w = ts_arena_calloc(&d->arena, *n_words, 4);
    if (!w) return fail_nomem(d);
    if (bytes) memcpy(w, data, bytes);
    return w;
}

void ts_design_data(ts_design *d, ts_tile_buf handle, const void *data, size_t bytes) {
    buffer *b = buffer_of(d, handle);
    if (!b || bytes > b->bytes) {
        fail(d, TS_E_INVAL, "data: %zu bytes for buffer %s of %u bytes", bytes, b ? b->name : "(none)",
             b ? b->bytes : 0);
        return;
    }
    b->data = copy_words(d, data, bytes, &b->data_words);
}

ts_tile_lock ts_design_lock(ts_design *d, ts_tile tile, const char *name, int value) {
    if (!tile_ok(d, tile, name)) return 0;
    tile_state *s = state_of(d, tile);
    if (value < 0 || value > TS_LOCK_VALUE_MAX || s->n_locks == ts_tile_info_of(d->chip, tile)->n_locks) {
        fail(d, s->n_locks == ts_tile_info_of(d->chip, tile)->n_locks ? TS_E_LIMIT : TS_E_INVAL,
             "lock %s in %s(%u,%u): value %d, %d of %u locks in use", name, ts_tile_name(d->chip, tile),
             tile.col, tile.row, value, s->n_locks, ts_tile_info_of(d->chip, tile)->n_locks);
        return 0;
    }
    lock *l = ADD(d, locks);
    if (!l) return 0;
    *l = (lock){.name = name, .tile = tile, .number = s->n_locks++, .value = value};
    return (ts_tile_lock)d->n_locks;
}

void ts_design_program(ts_design *d, ts_tile core, const void *code, size_t bytes) {
    if (!tile_ok(d, core, "program")) return;
    tile_state *s = state_of(d, core);
    if (ts_tile_kind_of(d->chip, core) != TS_TILE_CORE || !bytes || bytes > d->chip->program_bytes || s->code) {
        char room[32];
        snprintf(room, sizeof room, "1 to %u bytes fit", d->chip->program_bytes);
        fail(d, TS_E_INVAL, "program of %zu bytes for tile (%u,%u): %s", bytes, core.col, core.row,
             ts_tile_kind_of(d->chip, core) != TS_TILE_CORE ? "it has no core"
             : s->code                             ? "it has a program already"
                                                   : room);
        return;
    }
    s->code = copy_words(d, code, bytes, &s->code_words);
}

/* One step as a BD; the tile's own view of memory and locks. */
static bool step_bd(ts_design *d, const ring *r, const ts_ring_step *s, int i, ts_bd *bd) {
    const buffer *b = buffer_of(d, s->buffer);
    const lock *acq = lock_of(d, s->acquire), *rel = lock_of(d, s->release);
    bool mem = ts_tile_kind_of(d->chip, r->tile) == TS_TILE_MEM;
    uint32_t bytes = b && !s->bytes && s->offset < b->bytes ? b->bytes - s->offset : s->bytes;
    const char *wrong = !b || !ts_tile_eq(b->tile, r->tile) ? "its buffer is not in this tile"
                        : (s->acquire && !acq) || (acq && !ts_tile_eq(acq->tile, r->tile))
                            ? "the lock to take is not in this tile"
                        : (s->release && !rel) || (rel && !ts_tile_eq(rel->tile, r->tile))
                            ? "the lock to give is not in this tile"
                        : !bytes || bytes % 4 || s->offset % 4   ? "offset and size are not whole words"
                        : (uint64_t)s->offset + bytes > b->bytes ? "it reaches past its buffer"
                        : s->packet && r->dir == TS_S2MM         ? "only MM2S makes packets"
                                                                 : NULL;
    if (wrong) {
        fail(d, TS_E_INVAL, "step %d of %s(%u,%u) %s %d: %s", i, ts_tile_name(d->chip, r->tile), r->tile.col,
             r->tile.row, r->dir == TS_S2MM ? "S2MM" : "MM2S", r->channel, wrong);
        return false;
    }
    *bd = (ts_bd){.base = (mem ? TS_MEM_OWN_BASE : 0) + (uint64_t)b->at + s->offset,
                  .words = bytes / 4,
                  .valid = 1,
                  .use_next = 1,
                  .next = (uint32_t)(r->first + (i + 1) % r->n),
                  .packet = s->packet,
                  .packet_id = s->packet_id};
    memcpy(bd->dim, s->dim, sizeof bd->dim);
    uint32_t lock_base = mem ? TS_MEM_OWN_LOCK : 0;
    if (acq) {
        bd->acq_enable = 1;
        bd->acq_lock = lock_base + (uint32_t)acq->number;
        bd->acq_value = s->acquire_n ? -s->acquire_n : -1;
    }
    if (rel) {
        bd->rel_lock = lock_base + (uint32_t)rel->number;
        bd->rel_value = s->release_n ? s->release_n : 1;
    }
    return true;
}

void ts_design_dma(ts_design *d, ts_tile tile, ts_dma_dir dir, int channel, const ts_ring_step *steps,
                   int n_steps) {
    if (!tile_ok(d, tile, "dma")) return;
    const ts_tile_info *info = ts_tile_info_of(d->chip, tile);
    ts_tile_kind kind = ts_tile_kind_of(d->chip, tile);
    tile_state *s = state_of(d, tile);
    int half = kind == TS_TILE_MEM ? channel & 1 : 0,
        room = kind == TS_TILE_MEM ? info->n_bds / 2 : info->n_bds;
    if (kind == TS_TILE_SHIM || channel < 0 || channel >= info->n_channels || n_steps < 1 ||
        s->ring[dir][channel] || s->n_bds[half] + n_steps > room) {
        fail(d, TS_E_INVAL, "dma %s(%u,%u) %s %d with %d steps: %s", ts_tile_name(d->chip, tile), tile.col, tile.row,
             dir == TS_S2MM ? "S2MM" : "MM2S", channel, n_steps,
             kind == TS_TILE_SHIM                         ? "shim tasks belong to commands"
             : channel < 0 || channel >= info->n_channels ? "there is no such channel"
             : n_steps < 1                                ? "a ring needs a step"
             : s->ring[dir][channel]                      ? "the channel has a ring already"
                                                          : "not enough descriptors are left");
        return;
    }
    ring *r = ADD(d, rings);
    if (!r) return;
    *r = (ring){.tile = tile,
                .dir = dir,
                .channel = channel,
                .n = n_steps,
                .first = (kind == TS_TILE_MEM && half ? info->n_bds / 2 : 0) + s->n_bds[half]};
    r->bd = ts_arena_calloc(&d->arena, (size_t)n_steps, sizeof *r->bd);
    if (!r->bd) {
        fail_nomem(d);
        d->n_rings--;
        return;
    }
    for (int i = 0; i < n_steps; i++)
        if (!step_bd(d, r, &steps[i], i, &r->bd[i])) {
            d->n_rings--;
            return;
        }
    s->n_bds[half] += n_steps;
    s->ring[dir][channel] = true;
}

static void add_flow(ts_design *d, ts_end src, const ts_end *dst, int n_dst, int packet_id,
                     bool keep_header) {
    if (!tile_ok(d, src.tile, "flow")) return;
    if (n_dst < 1) {
        fail(d, TS_E_INVAL, "a flow without a destination");
        return;
    }
    for (int i = 0; i < n_dst; i++)
        if (!tile_ok(d, dst[i].tile, "flow")) return;
    flow *f = ADD(d, flows);
    if (!f) return;
    *f = (flow){.src = src, .n_dst = n_dst, .packet_id = packet_id, .keep_header = keep_header};
    f->dst = ts_arena_alloc(&d->arena, (size_t)n_dst, sizeof *dst);
    if (!f->dst) {
        fail_nomem(d);
        d->n_flows--;
        return;
    }
    memcpy(f->dst, dst, (size_t)n_dst * sizeof *dst);
}

void ts_design_flow(ts_design *d, ts_end src, const ts_end *dst, int n_dst) {
    add_flow(d, src, dst, n_dst, -1, false);
}

void ts_design_packets(ts_design *d, int id, ts_end src, const ts_end *dst, int n_dst, bool keep_header) {
    if (id < 0 || id >= TS_PACKET_IDS) fail(d, TS_E_INVAL, "packet id %d is outside 0 to 31", id);
    else add_flow(d, src, dst, n_dst, id, keep_header);
}

/* ---- where things lie -------------------------------------------------------------------------------------------- */

uint32_t ts_design_addr(const ts_design *d, ts_tile_buf handle) {
    const buffer *b = buffer_of(d, handle);
    return b ? b->at : 0;
}

int ts_design_lock_number(const ts_design *d, ts_tile_lock handle) {
    const lock *l = lock_of(d, handle);
    return l ? l->number : 0;
}

/* Which of a core's four windows shows that tile: south 0, west 1, north 2, own 3; -1: none. */
static int window(const ts_design *d, ts_tile core, ts_tile t) {
    if (ts_tile_kind_of(d->chip, core) != TS_TILE_CORE || ts_tile_kind_of(d->chip, t) != TS_TILE_CORE) return -1;
    int dc = t.col - core.col, dr = t.row - core.row;
    return dc == 0 && dr == -1   ? 0
           : dc == -1 && dr == 0 ? 1
           : dc == 0 && dr == 1  ? 2
           : dc == 0 && dr == 0  ? 3
                                 : -1;
}

uint32_t ts_design_core_addr(const ts_design *d, ts_tile_buf handle, ts_tile core) {
    const buffer *b = buffer_of(d, handle);
    int w = b ? window(d, core, b->tile) : -1;
    return w < 0 ? 0 : 0x40000 + 0x10000 * (uint32_t)w + b->at;
}

int ts_design_core_lock(const ts_design *d, ts_tile_lock handle, ts_tile core) {
    const lock *l = lock_of(d, handle);
    int w = l ? window(d, core, l->tile) : -1;
    return w < 0 ? -1 : 16 * w + l->number;
}

/* ---- the PDI ----------------------------------------------------------------------------------------------------- */

enum { CHANNEL_RESET = 2 }; /* bit 1 of a core's or memtile's channel control */

static void emit_channel_resets(const ts_design *d, ts_cdo *c, ts_tile t, uint32_t value) {
    ts_tile_kind k = ts_tile_kind_of(d->chip, t);
    if (k == TS_TILE_SHIM) return; /* bit 1 of a shim channel is something else (Pause_Mem) */
    for (int dir = 0; dir < 2; dir++)
        for (int ch = 0; ch < d->chip->tile[k].n_channels; ch++)
            ts_cdo_mask_write(c, ts_addr(t, ts_dma_ctrl(k, (ts_dma_dir)dir, ch)), CHANNEL_RESET, value);
}

static void emit_memory(const ts_design *d, ts_cdo *c, ts_tile t) {
    const tile_state *s = &d->tile[t.col][t.row];
    if (s->code) ts_cdo_block(c, ts_addr(t, TS_PROGRAM_BASE), s->code, s->code_words);
    for (size_t i = 0; i < d->n_buffers; i++) {
        const buffer *b = &d->buffers[i];
        if (ts_tile_eq(b->tile, t) && b->data) ts_cdo_block(c, ts_addr(t, b->at), b->data, b->data_words);
    }
}

static void emit_locks(const ts_design *d, ts_cdo *c, ts_tile t) {
    ts_tile_kind k = ts_tile_kind_of(d->chip, t);
    int value[TS_LOCKS_MAX] = {0}; /* all locks: an earlier context may have left anything */
    for (size_t i = 0; i < d->n_locks; i++)
        if (ts_tile_eq(d->locks[i].tile, t)) value[d->locks[i].number] = d->locks[i].value;
    for (int l = 0; l < d->chip->tile[k].n_locks; l++)
        ts_cdo_write(c, ts_addr(t, ts_lock_off(k, l)), (uint32_t)value[l]);
}

static ts_status emit_rings(const ts_design *d, ts_cdo *c, ts_tile t, ts_err *err) {
    ts_tile_kind k = ts_tile_kind_of(d->chip, t);
    for (size_t i = 0; i < d->n_rings; i++) {
        const ring *r = &d->rings[i];
        if (!ts_tile_eq(r->tile, t)) continue;
        for (int j = 0; j < r->n; j++) {
            uint32_t w[TS_BD_WORDS_MAX];
            TS_TRY(ts_bd_encode(k, &r->bd[j], w, err));
            ts_cdo_block(c, ts_addr(t, ts_bd_off(k, r->first + j)), w, ts_tile_maps[k].bd_words);
        }
        ts_cdo_write(c, ts_addr(t, ts_dma_queue(k, r->dir, r->channel)),
                     ts_dma_start_encode((ts_dma_start){.bd = (uint32_t)r->first, .repeat = 1}));
    }
    return TS_OK;
}

static void emit_core_bit(ts_cdo *c, ts_tile t, ts_field field, uint32_t value) {
    ts_cdo_mask_write(c, ts_addr(t, TS_CORE_CORE_CONTROL), ts_field_mask(field), ts_put(field, value));
}

static ts_status route_all(ts_design *d, ts_fabric *f, ts_err *err) {
    bool shim_dma[TS_COLS_MAX] = {0};
    ts_fabric_init(f, d->chip, d->n_cols);
    for (int pass = 0; pass < 2; pass++) /* circuits first: they cannot share a port */
        for (size_t i = 0; i < d->n_flows; i++) {
            const flow *fl = &d->flows[i];
            if ((fl->packet_id >= 0) != (pass == 1)) continue;
            if (fl->packet_id < 0) TS_TRY(ts_route_circuit(f, fl->src, fl->dst, fl->n_dst, err));
            else TS_TRY(ts_route_packet(f, fl->packet_id, fl->src, fl->dst, fl->n_dst, fl->keep_header, err));
            for (int j = -1; j < fl->n_dst; j++) {
                ts_end e = j < 0 ? fl->src : fl->dst[j];
                if (e.tile.row == TS_ROW_SHIM && e.port.type == TS_PORT_DMA) shim_dma[e.tile.col] = true;
            }
        }
    for (int col = 0; col < d->n_cols; col++) {
        if (!shim_dma[col]) continue;
        ts_tile t = ts_tile_at(col, TS_ROW_SHIM);
        ts_end to = ts_end_port(t, TS_PORT_SOUTH, 0);
        TS_TRY(ts_route_packet(f, TOKEN_ID, ts_end_port(t, TS_PORT_CTRL, 0), &to, 1, true, err));
        state_of(d, t); /* its locks are cleared too */
    }
    return TS_OK;
}

ts_status ts_design_finish(ts_design *d, ts_buf *pdi, ts_fabric *fabric, ts_err *err) {
    if (d->err.code != TS_OK) {
        if (err) *err = d->err;
        return d->err.code;
    }
    ts_fabric f;
    ts_cdo c = {0};
    TS_TRY(route_all(d, &f, err));
    ts_tile used[TS_COLS_MAX * TS_ROWS_MAX];
    int n = 0;
    for (int col = 0; col < d->n_cols; col++)
        for (int row = 0; row < d->chip->rows; row++)
            if (d->tile[col][row].used) used[n++] = ts_tile_at(col, row);

    /* The order is mlir-aie's [doc]: quiet the tile, fill memories, locks, descriptors and starts, switches, go. */
    for (int i = 0; i < n; i++) {
        bool core = ts_tile_kind_of(d->chip, used[i]) == TS_TILE_CORE;
        if (core) emit_core_bit(&c, used[i], TS_CORE_CORE_CONTROL_ENABLE, 0);
        emit_channel_resets(d, &c, used[i], CHANNEL_RESET);
        emit_memory(d, &c, used[i]);
        emit_channel_resets(d, &c, used[i], 0);
    }
    for (int i = 0; i < n; i++)
        if (ts_tile_kind_of(d->chip, used[i]) == TS_TILE_CORE) {
            emit_core_bit(&c, used[i], TS_CORE_CORE_CONTROL_RESET, 1);
            emit_core_bit(&c, used[i], TS_CORE_CORE_CONTROL_RESET, 0);
        }
    for (int i = 0; i < n; i++) emit_locks(d, &c, used[i]);
    ts_status s = TS_OK;
    for (int i = 0; i < n && s == TS_OK; i++) s = emit_rings(d, &c, used[i], err);
    ts_fabric_emit(&f, &c);
    for (int i = 0; i < n; i++)
        if (d->tile[used[i].col][used[i].row].code)
            emit_core_bit(&c, used[i], TS_CORE_CORE_CONTROL_ENABLE, 1);
    if (s == TS_OK) s = ts_pdi_write(&c, pdi, err);
    ts_cdo_free(&c);
    if (s == TS_OK && fabric) *fabric = f;
    return s;
}
