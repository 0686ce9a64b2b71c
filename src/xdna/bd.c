#include "xdna/bd.h"

#include "xdna/regs.h"

#include <stdio.h>
#include <string.h>

/* How a member of ts_bd lies in the words: one table a kind of tile serves encoding, decoding and range checks. */
typedef enum coding {
    PLAIN,
    MINUS_1, /* stored less one; 0 in the struct counts as 1 */
    SIGNED,
} coding;

typedef struct part {
    const char *name; /* as a user of ts_bd knows it */
    uint16_t member;
    uint8_t word, coding;
    ts_field field;
} part;

#define P(tile, w, reg_field, member, coding)                                                                \
    { #member, offsetof(ts_bd, member), w, coding, TS_##tile##_DMA_BD_##w##_##reg_field }

static const part core_parts[] = {
    P(CORE, 0, BUFFER_LENGTH, words, PLAIN),           P(CORE, 1, ENABLE_COMPRESSION, compress, PLAIN),
    P(CORE, 1, ENABLE_PACKET, packet, PLAIN),          P(CORE, 1, OUT_OF_ORDER_BD_ID, ooo_id, PLAIN),
    P(CORE, 1, PACKET_ID, packet_id, PLAIN),           P(CORE, 1, PACKET_TYPE, packet_type, PLAIN),
    P(CORE, 2, D1_STEPSIZE, dim[1].step, MINUS_1),     P(CORE, 2, D0_STEPSIZE, dim[0].step, MINUS_1),
    P(CORE, 3, D1_WRAP, dim[1].wrap, PLAIN),           P(CORE, 3, D0_WRAP, dim[0].wrap, PLAIN),
    P(CORE, 3, D2_STEPSIZE, dim[2].step, MINUS_1),     P(CORE, 4, ITERATION_CURRENT, iter_current, PLAIN),
    P(CORE, 4, ITERATION_WRAP, iter_wrap, MINUS_1),    P(CORE, 4, ITERATION_STEPSIZE, iter_step, MINUS_1),
    P(CORE, 5, TLAST_SUPPRESS, tlast_suppress, PLAIN), P(CORE, 5, NEXT_BD, next, PLAIN),
    P(CORE, 5, USE_NEXT_BD, use_next, PLAIN),          P(CORE, 5, VALID_BD, valid, PLAIN),
    P(CORE, 5, LOCK_REL_VALUE, rel_value, SIGNED),     P(CORE, 5, LOCK_REL_ID, rel_lock, PLAIN),
    P(CORE, 5, LOCK_ACQ_ENABLE, acq_enable, PLAIN),    P(CORE, 5, LOCK_ACQ_VALUE, acq_value, SIGNED),
    P(CORE, 5, LOCK_ACQ_ID, acq_lock, PLAIN),          {0},
};

static const part mem_parts[] = {
    P(MEM, 0, ENABLE_PACKET, packet, PLAIN),
    P(MEM, 0, PACKET_TYPE, packet_type, PLAIN),
    P(MEM, 0, PACKET_ID, packet_id, PLAIN),
    P(MEM, 0, OUT_OF_ORDER_BD_ID, ooo_id, PLAIN),
    P(MEM, 0, BUFFER_LENGTH, words, PLAIN),
    P(MEM, 1, D0_ZERO_BEFORE, dim[0].before, PLAIN),
    P(MEM, 1, NEXT_BD, next, PLAIN),
    P(MEM, 1, USE_NEXT_BD, use_next, PLAIN),
    P(MEM, 2, TLAST_SUPPRESS, tlast_suppress, PLAIN),
    P(MEM, 2, D0_WRAP, dim[0].wrap, PLAIN),
    P(MEM, 2, D0_STEPSIZE, dim[0].step, MINUS_1),
    P(MEM, 3, D1_ZERO_BEFORE, dim[1].before, PLAIN),
    P(MEM, 3, D1_WRAP, dim[1].wrap, PLAIN),
    P(MEM, 3, D1_STEPSIZE, dim[1].step, MINUS_1),
    P(MEM, 4, ENABLE_COMPRESSION, compress, PLAIN),
    P(MEM, 4, D2_ZERO_BEFORE, dim[2].before, PLAIN),
    P(MEM, 4, D2_WRAP, dim[2].wrap, PLAIN),
    P(MEM, 4, D2_STEPSIZE, dim[2].step, MINUS_1),
    P(MEM, 5, D2_ZERO_AFTER, dim[2].after, PLAIN),
    P(MEM, 5, D1_ZERO_AFTER, dim[1].after, PLAIN),
    P(MEM, 5, D0_ZERO_AFTER, dim[0].after, PLAIN),
    P(MEM, 5, D3_STEPSIZE, dim[3].step, MINUS_1),
    P(MEM, 6, ITERATION_CURRENT, iter_current, PLAIN),
    P(MEM, 6, ITERATION_WRAP, iter_wrap, MINUS_1),
    P(MEM, 6, ITERATION_STEPSIZE, iter_step, MINUS_1),
    P(MEM, 7, VALID_BD, valid, PLAIN),
    P(MEM, 7, LOCK_REL_VALUE, rel_value, SIGNED),
    P(MEM, 7, LOCK_REL_ID, rel_lock, PLAIN),
    P(MEM, 7, LOCK_ACQ_ENABLE, acq_enable, PLAIN),
    P(MEM, 7, LOCK_ACQ_VALUE, acq_value, SIGNED),
    P(MEM, 7, LOCK_ACQ_ID, acq_lock, PLAIN),
    {0},
};

static const part shim_parts[] = {
    P(SHIM, 0, BUFFER_LENGTH, words, PLAIN),
    P(SHIM, 2, ENABLE_PACKET, packet, PLAIN),
    P(SHIM, 2, OUT_OF_ORDER_BD_ID, ooo_id, PLAIN),
    P(SHIM, 2, PACKET_ID, packet_id, PLAIN),
    P(SHIM, 2, PACKET_TYPE, packet_type, PLAIN),
    P(SHIM, 3, SECURE_ACCESS, secure, PLAIN),
    P(SHIM, 3, D0_WRAP, dim[0].wrap, PLAIN),
    P(SHIM, 3, D0_STEPSIZE, dim[0].step, MINUS_1),
    P(SHIM, 4, BURST_LENGTH, burst, PLAIN),
    P(SHIM, 4, D1_WRAP, dim[1].wrap, PLAIN),
    P(SHIM, 4, D1_STEPSIZE, dim[1].step, MINUS_1),
    P(SHIM, 5, SMID, smid, PLAIN),
    P(SHIM, 5, AXCACHE, axcache, PLAIN),
    P(SHIM, 5, AXQOS, axqos, PLAIN),
    P(SHIM, 5, D2_STEPSIZE, dim[2].step, MINUS_1),
    P(SHIM, 6, ITERATION_CURRENT, iter_current, PLAIN),
    P(SHIM, 6, ITERATION_WRAP, iter_wrap, MINUS_1),
    P(SHIM, 6, ITERATION_STEPSIZE, iter_step, MINUS_1),
    P(SHIM, 7, TLAST_SUPPRESS, tlast_suppress, PLAIN),
    P(SHIM, 7, NEXT_BD, next, PLAIN),
    P(SHIM, 7, USE_NEXT_BD, use_next, PLAIN),
    P(SHIM, 7, VALID_BD, valid, PLAIN),
    P(SHIM, 7, LOCK_REL_VALUE, rel_value, SIGNED),
    P(SHIM, 7, LOCK_REL_ID, rel_lock, PLAIN),
    P(SHIM, 7, LOCK_ACQ_ENABLE, acq_enable, PLAIN),
    P(SHIM, 7, LOCK_ACQ_VALUE, acq_value, SIGNED),
    P(SHIM, 7, LOCK_ACQ_ID, acq_lock, PLAIN),
    {0},
};
#undef P

static const part *const parts[TS_TILE_KINDS] = {
    [TS_TILE_SHIM] = shim_parts, [TS_TILE_MEM] = mem_parts, [TS_TILE_CORE] = core_parts};

/* Members that a kind of tile has no bits for must be left at 0 (steps at 0 or 1): or the caller's wish is lost. */
static bool all_said(ts_tile_kind kind, const ts_bd *bd, const uint32_t *words) {
    ts_bd back;
    ts_bd_decode(kind, words, &back);
    ts_bd want = *bd;
    for (int d = 0; d < TS_BD_DIMS; d++)
        if (!want.dim[d].step) want.dim[d].step = 1;
    if (!want.iter_step) want.iter_step = 1;
    if (!want.iter_wrap) want.iter_wrap = 1;
    return !memcmp(&back, &want, sizeof back);
}

static ts_status put_base(ts_tile_kind kind, uint64_t base, uint32_t *words, ts_err *err) {
    static const uint64_t limit[TS_TILE_KINDS] = {
        [TS_TILE_SHIM] = UINT64_C(1) << 48, [TS_TILE_MEM] = 0x180000, [TS_TILE_CORE] = 0x10000};
    if (base % 4 || base >= limit[kind])
        return ts_fail(err, TS_E_INVAL, "%s BD: base 0x%llx is not a multiple of 4 below 0x%llx",
                       ts_tile_maps[kind].name, (unsigned long long)base, (unsigned long long)limit[kind]);
    if (kind == TS_TILE_SHIM) {
        words[1] = (uint32_t)base;
        words[2] |= ts_put(TS_SHIM_DMA_BD_2_BASE_ADDRESS_HIGH, (uint32_t)(base >> 32));
    } else if (kind == TS_TILE_MEM) {
        words[1] |= ts_put(TS_MEM_DMA_BD_1_BASE_ADDRESS, (uint32_t)(base / 4));
    } else {
        words[0] |= ts_put(TS_CORE_DMA_BD_0_BASE_ADDRESS, (uint32_t)(base / 4));
    }
    return TS_OK;
}

static uint64_t get_base(ts_tile_kind kind, const uint32_t *words) {
    if (kind == TS_TILE_SHIM)
        return (words[1] & ~3u) | (uint64_t)ts_get(words[2], TS_SHIM_DMA_BD_2_BASE_ADDRESS_HIGH) << 32;
    if (kind == TS_TILE_MEM) return (uint64_t)ts_get(words[1], TS_MEM_DMA_BD_1_BASE_ADDRESS) * 4;
    return (uint64_t)ts_get(words[0], TS_CORE_DMA_BD_0_BASE_ADDRESS) * 4;
}

ts_status ts_bd_encode(ts_tile_kind kind, const ts_bd *bd, uint32_t words[TS_BD_WORDS_MAX], ts_err *err) {
    uint32_t out[TS_BD_WORDS_MAX] = {0};
    for (const part *p = parts[kind]; p->name; p++) {
        uint32_t v;
        memcpy(&v, (const char *)bd + p->member, sizeof v);
        uint32_t max = ts_field_max(p->field);
        if (p->coding == SIGNED) {
            int32_t s = (int32_t)v, half = (int32_t)(max / 2 + 1);
            if (s < -half || s >= half)
                return ts_fail(err, TS_E_INVAL, "%s BD: %s %d is outside %d to %d", ts_tile_maps[kind].name,
                               p->name, s, -half, half - 1);
        } else {
            uint32_t less = p->coding == MINUS_1 ? 1 : 0;
            if (less && !v) v = 1;
            if (v - less > max)
                return ts_fail(err, TS_E_INVAL, "%s BD: %s %u is more than %llu", ts_tile_maps[kind].name,
                               p->name, v, (unsigned long long)max + less);
            v -= less;
        }
        out[p->word] |= ts_put(p->field, v);
    }
    TS_TRY(put_base(kind, bd->base, out, err));
    if (!all_said(kind, bd, out))
        return ts_fail(err, TS_E_INVAL, "%s BD: a member is set that this kind of tile does not have",
                       ts_tile_maps[kind].name);
    memcpy(words, out, ts_tile_maps[kind].bd_words * sizeof out[0]);
    return TS_OK;
}

void ts_bd_decode(ts_tile_kind kind, const uint32_t words[TS_BD_WORDS_MAX], ts_bd *bd) {
    memset(bd, 0, sizeof *bd); /* padding too: all_said compares bytes */
    for (int d = 0; d < TS_BD_DIMS; d++) bd->dim[d].step = 1;
    for (const part *p = parts[kind]; p->name; p++) {
        uint32_t v = ts_get(words[p->word], p->field);
        if (p->coding == MINUS_1) v++;
        if (p->coding == SIGNED && v > ts_field_max(p->field) / 2) v -= ts_field_max(p->field) + 1;
        memcpy((char *)bd + p->member, &v, sizeof v);
    }
    bd->base = get_base(kind, words);
}

uint64_t ts_bd_addr(const ts_bd *bd, uint32_t i) {
    uint64_t word = 0;
    for (int d = 0; d < TS_BD_DIMS; d++) {
        uint32_t wrap = bd->dim[d].wrap, step = bd->dim[d].step ? bd->dim[d].step : 1;
        if (!wrap || d == TS_BD_DIMS - 1) {
            word += (uint64_t)i * step;
            break;
        }
        word += (uint64_t)(i % wrap) * step;
        i /= wrap;
    }
    return bd->base + word * 4;
}

bool ts_bd_extent(const ts_bd *bd, uint64_t *lo, uint64_t *hi) {
    if (!bd->words) return false;
    uint64_t last =
        0; /* the greatest word offset; each dimension's greatest index is reached together with the others',
                        * or with one less of an outer one: an upper bound is what a check wants */
    uint32_t left = bd->words;
    for (int d = 0; d < TS_BD_DIMS; d++) {
        uint32_t wrap = bd->dim[d].wrap, step = bd->dim[d].step ? bd->dim[d].step : 1;
        bool open = !wrap || d == TS_BD_DIMS - 1;
        uint32_t n = open || wrap > left ? left : wrap;
        last += (uint64_t)(n - 1) * step;
        if (open) break;
        left = (left + wrap - 1) / wrap;
    }
    if (bd->iter_wrap > 1) last += (uint64_t)(bd->iter_wrap - 1) * (bd->iter_step ? bd->iter_step : 1);
    uint64_t end;
    if (__builtin_add_overflow(bd->base, (last + 1) * 4, &end)) return false;
    *lo = bd->base;
    *hi = end;
    return true;
}

const char *ts_bd_print(ts_tile_kind kind, const ts_bd *bd, char *buf, size_t len) {
    size_t used = 0;
    if (len) buf[0] = 0;
#define ADD(...)                                                                                             \
    do {                                                                                                     \
        if (used < len) {                                                                                    \
            int n_ = snprintf(buf + used, len - used, __VA_ARGS__);                                          \
            used = n_ < 0 ? len : used + (size_t)n_;                                                         \
        }                                                                                                    \
    } while (0)
    ADD("%s%u words at 0x%llx", bd->valid ? "" : "INVALID ", bd->words, (unsigned long long)bd->base);
    for (int d = 0; d < TS_BD_DIMS; d++)
        if (bd->dim[d].wrap || bd->dim[d].step > 1) ADD(" d%d %ux%u", d, bd->dim[d].wrap, bd->dim[d].step);
    if (bd->iter_wrap > 1) ADD(" iter %ux%u at %u", bd->iter_wrap, bd->iter_step, bd->iter_current);
    if (bd->packet) ADD(" packet %u type %u", bd->packet_id, bd->packet_type);
    if (bd->acq_enable) ADD(" acquire %u%s%d", bd->acq_lock, bd->acq_value >= 0 ? "==" : "", bd->acq_value);
    if (bd->rel_value) ADD(" release %u%+d", bd->rel_lock, bd->rel_value);
    if (bd->use_next) ADD(" next %u", bd->next);
    if (kind == TS_TILE_SHIM) ADD(" burst %u cache %u", 64u << bd->burst, bd->axcache);
#undef ADD
    return buf;
}

/* The three kinds of tile agree in these registers, but for the width of the BD number. */
uint32_t ts_dma_start_encode(ts_dma_start s) {
    return ts_put(TS_MEM_DMA_S2MM_QUEUE_ENABLE_TOKEN_ISSUE, s.token) |
           ts_put(TS_MEM_DMA_S2MM_QUEUE_REPEAT_COUNT, s.repeat ? s.repeat - 1 : 0) |
           ts_put(TS_MEM_DMA_S2MM_QUEUE_START_BD_ID, s.bd);
}

ts_dma_start ts_dma_start_decode(ts_tile_kind kind, uint32_t word) {
    return (ts_dma_start){.bd = ts_get(word, kind == TS_TILE_MEM ? TS_MEM_DMA_S2MM_QUEUE_START_BD_ID
                                                                 : TS_CORE_DMA_S2MM_QUEUE_START_BD_ID),
                          .repeat = ts_get(word, TS_MEM_DMA_S2MM_QUEUE_REPEAT_COUNT) + 1,
                          .token = ts_get(word, TS_MEM_DMA_S2MM_QUEUE_ENABLE_TOKEN_ISSUE)};
}

uint32_t ts_dma_ctrl_encode(uint32_t controller_id) {
    return ts_put(TS_SHIM_DMA_S2MM_CTRL_CONTROLLER_ID, controller_id);
}

uint32_t ts_dma_ctrl_controller(uint32_t word) {
    return ts_get(word, TS_SHIM_DMA_S2MM_CTRL_CONTROLLER_ID);
}
