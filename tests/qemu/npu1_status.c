/* What the array tells of itself: the status of columns, and asynchronous errors. */
#include "qemu/npu1_int.h"

#include "xdna/regs.h"

#include <string.h>

/* ---- column status
 * ---------------------------------------------------------------------------------------------------------------
 * A record for a column holds its cores, its memtile, its shim, each as: a word for S2MM and one for MM2S of every
 * channel, event registers (a core has two modules of them), for a core also status, pc, sp and lr, and a byte for
 * every lock.
 * Source: XRT's src/runtime_src/core/common/info_aie2.cpp, which takes it apart; it wants exactly this length [doc]. */

typedef struct writer {
    const ts_array *a; /* NULL: all is as after power-on */
    uint8_t *at;
} writer;

static uint32_t read_reg(const writer *w, ts_tile t, uint32_t off) {
    uint32_t value = 0;
    if (!w->a || ts_array_read(w->a, ts_addr(t, off), &value, NULL) != TS_OK) return 0;
    return value;
}

static void put_word(writer *w, uint32_t value) {
    memcpy(w->at, &value, sizeof value);
    w->at += sizeof value;
}

static void put_tile(writer *w, ts_tile t, int event_words) {
    const ts_tile_info *info = ts_tile_info_of(&ts_npu1, t);
    const ts_tile_map *map = &ts_tile_maps[ts_tile_kind_of(&ts_npu1, t)];
    for (int c = 0; c < info->n_channels; c++)
        for (int d = 0; d < 2; d++) put_word(w, read_reg(w, t, map->status[d] + 4 * (uint32_t)c));
    for (int i = 0; i < event_words; i++) put_word(w, i % 4 ? 0 : 2); /* event 1 is always true; no other is modelled */
    if (t.row >= ts_npu1.core_row) {
        put_word(w, read_reg(w, t, TS_CORE_CORE_STATUS));
        put_word(w, read_reg(w, t, TS_CORE_CORE_PC));
        put_word(w, read_reg(w, t, TS_CORE_CORE_SP));
        put_word(w, read_reg(w, t, TS_CORE_CORE_LR));
    }
    for (uint32_t i = 0; i < info->n_locks; i++)
        *w->at++ = (uint8_t)read_reg(w, t, map->lock_base + TS_LOCK_STRIDE * i);
}

void npu1_record_column(const ts_array *a, int col, uint8_t out[COLUMN_BYTES]) {
    writer w = {a, out};
    for (int row = ts_npu1.core_row; row < ts_npu1.rows; row++)
        put_tile(&w, ts_tile_at(col, row), 2 * CORE_EVENT_WORDS);
    put_tile(&w, ts_tile_at(col, TS_ROW_MEM), MEM_EVENT_WORDS);
    put_tile(&w, ts_tile_at(col, TS_ROW_SHIM), SHIM_EVENT_WORDS);
}

/* The record of a column of the device: of whoever has it now, as it was after its last command. */
void npu1_column(const npu1 *n, int col, uint8_t out[COLUMN_BYTES]) {
    for (int i = 0; i < NPU1_CONTEXTS; i++) {
        const npu1_context *x = n->ctx[i];
        if (!x || !x->recorded || !x->configured || col < x->start_col || col >= x->start_col + x->n_cols) continue;
        memcpy(out, x->record[col - x->start_col], COLUMN_BYTES);
        return;
    }
    npu1_record_column(NULL, 0, out);
}

/* ---- asynchronous errors
 * ------------------------------------------------------------------------------------------------------------
 * The driver leaves buffers for them (message 0x10C), each of which is answered once. Event numbers are those of
 * AIE-ML. */

enum { MODULE_MEMORY, MODULE_CORE, MODULE_PL };

/* 0: such tiles have no such error. */
static const struct {
    const char *name;
    uint8_t shim, memtile, core, core_memory; /* the last two: modules of a core tile */
} events[] = {
    {"access", 0, 0, 55, 0}, {"stream", 65, 135, 56, 0}, {"bus", 64, 138, 58, 0},  {"instruction", 0, 0, 59, 0},
    {"ecc", 0, 130, 62, 0},  {"lock", 74, 139, 67, 0},   {"dma", 72, 133, 0, 97}, {"parity", 0, 0, 0, 91},
};

static npu1_told tell(npu1 *n, int col, int row, uint32_t module, uint32_t event) {
    if (!n->n_async) return NPU1_NO_BUFFER;
    npu1_async b = n->async[0];
    memmove(n->async, n->async + 1, (size_t)--n->n_async * sizeof b);
    /* count, return code, reserved; then for each error row and column in the first two bytes, module, event */
    const uint32_t w[6] = {1, 0, 0, (uint32_t)row | (uint32_t)col << 8, module, event}, answer[2] = {STATUS_OK, 0};
    if (b.size < sizeof w || !dma_write(n->memory, b.addr, w, sizeof w)) {
        n->unmapped++;
        return NPU1_NO_BUFFER;
    }
    npu1_say(n, "asynchronous error: column %d, row %d, module %u, event %u", col, row, module, event);
    n->counts.async++;
    npu1_answer(n, 0, b.id, OP_ASYNC_EVENT, answer, sizeof answer);
    return NPU1_TOLD;
}

npu1_told npu1_tell_error(npu1 *n, const char *type, int col, int row) {
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        if (strcmp(events[i].name, type)) continue;
        if (row == TS_ROW_SHIM && events[i].shim) return tell(n, col, row, MODULE_PL, events[i].shim);
        if (row == TS_ROW_MEM && events[i].memtile) return tell(n, col, row, MODULE_MEMORY, events[i].memtile);
        if (row >= ts_npu1.core_row && events[i].core) return tell(n, col, row, MODULE_CORE, events[i].core);
        if (row >= ts_npu1.core_row && events[i].core_memory)
            return tell(n, col, row, MODULE_MEMORY, events[i].core_memory);
        return NPU1_NO_SUCH_ERROR;
    }
    return NPU1_NO_SUCH_ERROR;
}

/* The shim's event tells the direction as well. */
void npu1_tell_bus_error(npu1 *n, int col, ts_dma_dir dir) {
    enum { S2MM_ERROR = 72, MM2S_ERROR = 73 };
    if (tell(n, col, TS_ROW_SHIM, MODULE_PL, dir == TS_S2MM ? S2MM_ERROR : MM2S_ERROR) != NPU1_TOLD)
        npu1_say(n, "no buffer for an asynchronous error");
}
