#include "model/finite.h"
#include "format/quant.h"
#include "kern/fmath.h"

#include <stdatomic.h>
#include <string.h>

bool ts_beyond(const float *x, size_t n, float limit) {
    int32_t most, over = 0;
    memcpy(&most, &limit, sizeof most);
    for (size_t i = 0; i < n; i++) { /* without the sign, floats are ordered as their bits are, NaN behind infinity */
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        over |= (bits & INT32_MAX) > most;
    }
    return over;
}

bool ts_any_small(ts_dtype type, const void *data, size_t n) {
    const uint32_t *f32 = data;
    const uint16_t *bf16 = data;
    uint32_t any = 0; /* by bits, so that 0 wraps around and nothing branches */
    if (type == TS_F32)
        for (size_t i = 0; i < n; i++) any |= (f32[i] & INT32_MAX) - 1u < TS_Z_BITS - 1u;
    if (type == TS_BF16)
        for (size_t i = 0; i < n; i++) any |= (bf16[i] & INT16_MAX) - 1u < (TS_Z_BITS >> 16) - 1u;
    return any;
}

void ts_clear_small(ts_dtype type, void *data, size_t n) {
    uint32_t *f32 = data;
    uint16_t *bf16 = data;
    for (size_t i = 0; i < n && type == TS_F32; i++)
        if ((f32[i] & INT32_MAX) < TS_Z_BITS) f32[i] = 0;
    for (size_t i = 0; i < n && type == TS_BF16; i++)
        if ((bf16[i] & INT16_MAX) < TS_Z_BITS >> 16) bf16[i] = 0;
}

ts_status ts_fail_not_finite(const ts_source *src, const ts_tensor *t, size_t i, ts_err *err) {
    const ts_dtype_info *info = ts_dtype_get(t->type);
    const size_t row = i / (size_t)t->dim[0], column = i % (size_t)t->dim[0];
    return ts_fail(err, TS_E_FORMAT, "%s: tensor %s: %s (row %zu, element %zu; byte %llu of the file)",
                   src->op->part(src, t->file), t->name,
                   info->block > 1 ? "a block's scale is infinite, too large or not a number"
                                   : "a number is infinite or not a number",
                   row, column, (unsigned long long)(t->offset + i / (size_t)info->block * (size_t)info->block_bytes));
}

enum { CHUNK = 1 << 18 }; /* elements, whole blocks of every type */

struct check {
    const ts_tensor *t;
    size_t n, n_block;
    atomic_size_t first; /* that is not finite */
    atomic_bool small;
};

static void check_task(void *arg, size_t task, int thread) {
    struct check *c = arg;
    (void)thread;
    const ts_dtype_info *info = ts_dtype_get(c->t->type);
    const size_t begin = task * CHUNK, n = c->n - begin < CHUNK ? c->n - begin : CHUNK;
    const char *data = (const char *)c->t->data + begin / (size_t)info->block * (size_t)info->block_bytes;
    size_t bad = ts_find_not_finite(c->t->type, data, n), first = atomic_load(&c->first);
    while (bad < n && begin + bad < first && !atomic_compare_exchange_weak(&c->first, &first, begin + bad)) continue;
    if (ts_any_small(c->t->type, data, n)) atomic_store(&c->small, true);
}

ts_status ts_tensor_check_finite(const ts_source *src, const ts_tensor *t, ts_pool *pool, bool release, bool *small,
                                 ts_err *err) {
    struct check c = {.t = t, .n = (size_t)(t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3])};
    atomic_init(&c.first, SIZE_MAX);
    ts_pool_run(pool, (c.n + CHUNK - 1) / CHUNK, check_task, &c);
    if (release) src->op->release(src, t, 0, t->bytes);
    if (small) *small = atomic_load(&c.small);
    size_t first = atomic_load(&c.first);
    return first == SIZE_MAX ? TS_OK : ts_fail_not_finite(src, t, first, err);
}
