/* The management firmware: what the driver asks on channel 0. */
#include "qemu/npu1_int.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Least length of a request and the exact length of its answer, in bytes, for each message that is known: the driver
 * takes no other length, so a refusal has it as well. */
static const struct {
    uint32_t op;
    uint16_t request, answer;
} forms[] = {
    {OP_CREATE, 28, 76},       {OP_DESTROY, 4, 4},           {OP_TELEMETRY, 16, 16}, {OP_COLUMN_STATUS, 20, 8},
    {OP_TILE_INFO, 4, 48},     {OP_AIE_VERSION, 4, 8},       {OP_SUSPEND, 4, 4},     {OP_RESUME, 4, 4},
    {OP_ASSIGN_PASID, 4, 4},   {OP_MAP_BUFFER, 20, 4},       {OP_ADD_BUFFER, 20, 4}, {OP_FIRMWARE_VERSION, 4, 20},
    {OP_SET_CONFIG, 12, 4},    {OP_GET_CONFIG, 4, 12},       {OP_ASYNC_EVENT, 12, 8},
};

static uint32_t word_at(const npu1_message *m, uint32_t off) {
    uint32_t w;
    memcpy(&w, m->bytes + off, sizeof w);
    return w;
}

static uint64_t word64_at(const npu1_message *m, uint32_t off) {
    return word_at(m, off) | (uint64_t)word_at(m, off + 4) << 32;
}

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

void npu1_free_context(npu1_context *x) {
    if (!x) return;
    ts_array_free(x->array);
    ts_free(x);
}

/* Its memory may be given to somebody else as soon as the driver knows that the context is gone: no access comes
 * after this. */
void npu1_drop_context(npu1 *n, int id) {
    npu1_context *x = n->ctx[id];
    if (!x) return;
    n->ctx[id] = NULL;
    n->channel[1 + id] = (npu1_channel){0};
    if (n->running != x) {
        npu1_free_context(x);
        return;
    }
    x->gone = true;
    dma_lock(n->memory); /* an access that has begun ends */
    dma_unlock(n->memory);
    pthread_cond_signal(&n->work);
}

static npu1_context *context_of(npu1 *n, uint32_t id) {
    return id < NPU1_CONTEXTS ? n->ctx[id] : NULL;
}

static uint32_t create(npu1 *n, const npu1_message *m, uint32_t *r) {
    int start = m->bytes[4], cols = m->bytes[5], id = 0;
    uint32_t d[8];
    /* columns; pairs of rings asked for */
    if (!cols || start + cols > NPU1_COLUMNS || !m->bytes[8]) return STATUS_INVALID_PARAM;
    while (id < NPU1_CONTEXTS && n->ctx[id]) id++;
    if (id == NPU1_CONTEXTS) return STATUS_NOT_AVAILABLE;
    npu1_context *x = ts_calloc(1, sizeof *x);
    if (!x) return STATUS_NOT_AVAILABLE;
    *x = (npu1_context){.id = id, .start_col = start, .n_cols = cols, .pasid = word_at(m, 10) & 0xFFFF};
    n->ctx[id] = x;
    n->counts.created++;
    npu1_open_channel(n, 1 + id);
    npu1_describe_channel(1 + id, d);
    r[1] = (uint32_t)id;
    r[2] = (1 + (uint32_t)id) | 1 << 16; /* vector, pairs */
    const uint32_t heads_first[8] = {d[1], d[0], d[2], d[3], d[5], d[4], d[6], d[7]};
    memcpy(r + 3, heads_first, sizeof heads_first);
    npu1_say(n, "context %d: columns %d to %d, PASID %u", id, start, start + cols - 1, x->pasid);
    return STATUS_OK;
}

static uint32_t destroy(npu1 *n, const npu1_message *m) {
    const npu1_context *x = context_of(n, word_at(m, 0));
    if (!x) return STATUS_INVALID_PARAM;
    npu1_say(n, "context %d: destroyed%s", x->id, n->running == x ? " while a command runs" : "");
    npu1_drop_context(n, x->id);
    return STATUS_OK;
}

static uint32_t add_piece(npu1 *n, const npu1_message *m) {
    npu1_context *x = context_of(n, word_at(m, 0));
    uint64_t addr = word64_at(m, 4), size = word64_at(m, 12);
    if (!x || !size || addr + (size - 1) < addr) return STATUS_INVALID_PARAM;
    if (n->running == x) return STATUS_INVALID_PARAM; /* the driver does not do it [guess] */
    if (m->op == OP_MAP_BUFFER) x->n_pieces = 0;
    if (x->n_pieces == NPU1_PIECES) return STATUS_NOT_AVAILABLE;
    x->piece[x->n_pieces].addr = addr;
    x->piece[x->n_pieces++].size = size;
    npu1_say(n, "context %d: heap at 0x%llx, %llu bytes", x->id, (unsigned long long)addr, (unsigned long long)size);
    return STATUS_OK;
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static void tile_info(uint32_t *r) {
    const uint16_t w[20] = {
        1, 1,                     /* version of the status record: the one that XRT knows */
        NPU1_COLUMNS, ts_npu1.rows,    /* the array */
        4, 1, 1,                  /* rows of cores, of memtiles, of shims */
        ts_npu1.core_row, TS_ROW_MEM, TS_ROW_SHIM,
        2, 6, 2,                  /* DMA channels a tile, in each direction */
        16, 64, 16,               /* locks */
        CORE_EVENT_WORDS, MEM_EVENT_WORDS, SHIM_EVENT_WORDS,
    };
    r[1] = COLUMN_BYTES;
    memcpy(r + 2, w, sizeof w);
}

static uint32_t column_status(npu1 *n, const npu1_message *m, uint32_t *r) {
    uint8_t all[NPU1_COLUMNS * COLUMN_BYTES];
    uint32_t room = word_at(m, 8), columns = word_at(m, 12), which = word_at(m, 16), bytes = 0;
    if (which >> NPU1_COLUMNS) return STATUS_INVALID_PARAM;
    for (int col = 0; col < NPU1_COLUMNS; col++) {
        if (!(which >> col & 1)) continue;
        npu1_column(n, col, all + bytes);
        bytes += COLUMN_BYTES;
    }
    if (bytes != columns * COLUMN_BYTES) return STATUS_INVALID_PARAM;
    if (bytes > room) return STATUS_INVALID_BUFFER;
    if (!dma_write(n->memory, word64_at(m, 0), all, bytes)) {
        n->unmapped++;
        return STATUS_INVALID_BUFFER;
    }
    r[1] = bytes;
    return STATUS_OK;
}

/* Kept until there is an error to tell. */
static bool keep_async(npu1 *n, const npu1_message *m) {
    if (n->n_async == NPU1_ASYNC) return false;
    n->async[n->n_async++] = (npu1_async){.id = m->id, .addr = word64_at(m, 0), .size = word_at(m, 8)};
    return true;
}

bool npu1_refused(npu1 *n, uint32_t op, uint32_t *status) {
    for (int i = 0; i < n->n_refusals; i++) {
        npu1_refusal *f = &n->refusal[i];
        if (f->op != op) continue;
        *status = f->status;
        if (!--f->times) *f = n->refusal[--n->n_refusals];
        return true;
    }
    return false;
}

void npu1_manage(npu1 *n, const npu1_message *m) {
    uint32_t r[REPLY_WORDS] = {0}, status = STATUS_OK, answer = 4;
    size_t form = 0;
    while (form < sizeof forms / sizeof *forms && forms[form].op != m->op) form++;
    bool known = form < sizeof forms / sizeof *forms;
    if (known) answer = forms[form].answer;
    if (npu1_refused(n, m->op, &status)) {
        npu1_say(n, "message 0x%x: refused with 0x%x, as ordered", m->op, status);
    } else if (!known) {
        npu1_say(n, "message 0x%x is unknown", m->op);
        status = STATUS_INVALID_COMMAND;
    } else if (m->len < forms[form].request) {
        status = STATUS_INVALID_PARAM;
    } else {
        switch (m->op) {
        case OP_CREATE: status = create(n, m, r); break;
        case OP_DESTROY: status = destroy(n, m); break;
        case OP_MAP_BUFFER:
        case OP_ADD_BUFFER: status = add_piece(n, m); break;
        case OP_COLUMN_STATUS: status = column_status(n, m, r); break;
        case OP_TILE_INFO: tile_info(r); break;
        case OP_AIE_VERSION: r[1] = 1 | 1 << 16; break; /* 1.1, the one that XRT knows */
        case OP_FIRMWARE_VERSION: r[1] = 1, r[2] = 5, r[3] = 5, r[4] = 391; break; /* that of Linux's firmware files */
        case OP_SUSPEND: n->reg[(REG_WAIT_MODE - BAR0_AT) / 4] = 1; break;
        case OP_RESUME: n->reg[(REG_WAIT_MODE - BAR0_AT) / 4] = 0; break;
        case OP_ASYNC_EVENT:
            if (keep_async(n, m)) return;
            status = STATUS_NOT_AVAILABLE;
            break;
        case OP_TELEMETRY: status = STATUS_INVALID_COMMAND; break;
        default: break; /* OP_ASSIGN_PASID, OP_SET_CONFIG, OP_GET_CONFIG: taken as they are */
        }
    }
    r[m->op == OP_TELEMETRY ? 3 : 0] = status; /* the one answer with its status at the end */
    npu1_answer(n, 0, m->id, m->op, r, answer);
}
