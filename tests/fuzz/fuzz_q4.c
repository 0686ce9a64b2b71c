/* Arrays of any shapes and types as the parts of a 4-bit layer: what opens is read without leaving an array, and its
 * blocks are worth what its floats are.
 *
 * The input: a configuration, sizes, then parts: which one, type, shape in words of the layer's sizes, and data. */
#include "ckpt/q4.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const parts[] = {
    "qweight",           "qzeros",        "scales",       "g_idx",        "weight",       "weight_scale",
    "weight_zero_point", "weight_packed", "weight_shape", "weight_g_idx", "scaled_zeros", "trellis"};
enum { PARTS = sizeof parts / sizeof *parts, WIDE = 512 };

typedef struct input {
    const uint8_t *data;
    size_t len, pos;
} input;

static uint8_t next(input *in) {
    return in->pos < in->len ? in->data[in->pos++] : 0;
}

typedef struct layer {
    ts_array array[PARTS];
    bool there[PARTS];
} layer;

static const ts_array *find(void *ud, const char *name) {
    const layer *l = ud;
    if (strncmp(name, "m.", 2) != 0) abort();
    for (int i = 0; i < PARTS; i++)
        if (l->there[i] && !strcmp(name + 2, parts[i])) return &l->array[i];
    return NULL;
}

/* A size in words of the layer's: those that the forms have, and small ones. */
static uint64_t size_of(uint8_t code, uint32_t n_in, uint32_t n_out, uint32_t groups) {
    const uint64_t sizes[] = {
        n_in,      n_out,        n_in / 8, n_out / 8, n_out / 4, groups, (groups + 7) / 8, 8 * ((groups + 7) / 8),
        n_in / 16, 2ull * n_out, 1,        2,         0};
    const size_t n = sizeof sizes / sizeof *sizes;
    return code < n ? sizes[code] : code % 64;
}

static void read_part(layer *l, input *in, uint32_t n_in, uint32_t n_out, uint32_t groups) {
    const int which = next(in) % PARTS;
    ts_array *a = &l->array[which];
    if (l->there[which]) return;
    *a = (ts_array){.name = parts[which], .elem = next(in) % (TS_EL_OTHER + 1), .elem_name = "?"};
    const uint8_t form = next(in);
    a->n_dims = form % 4;
    uint64_t n = 1;
    for (uint32_t i = 0; i < a->n_dims; i++) n *= a->dim[i] = size_of(next(in), n_in, n_out, groups);
    if (n > 1 << 16) return;
    uint64_t step = 1;
    for (uint32_t i = a->n_dims; i-- > 0; step *= a->dim[i]) a->stride[i] = step;
    if (form & 4 && a->n_dims == 2) a->stride[0] = 1, a->stride[1] = a->dim[0]; /* a view, turned */
    const size_t size = ts_elem_size(a->elem) ? ts_elem_size(a->elem) : 1;
    a->bytes = (size_t)n * size;
    uint8_t *data = malloc(a->bytes ? a->bytes : 1); /* so large: reading beyond it is seen */
    if (!data) abort();
    const uint8_t period = next(in) % 16 + 1;
    uint8_t value[16];
    for (int i = 0; i < 16; i++) value[i] = i < period ? next(in) : 0;
    for (size_t i = 0; i < a->bytes; i++) data[i] = value[i % period];
    if (form & 8 && a->elem == TS_EL_I32 && a->n_dims == 1) /* groups in order, or a little out of it */
        for (uint64_t i = 0; i < n; i++)
            memcpy(data + 4 * i, &(int32_t){(int32_t)((form & 16 ? n - 1 - i : i) * groups / n)}, 4);
    if (form & 8 && a->elem == TS_EL_I64 && n == 2) {
        memcpy(data, &(int64_t){n_out}, 8);
        memcpy(data + 8, &(int64_t){n_in}, 8);
    }
    a->data = data;
    l->there[which] = true;
}

static void look_at(const ts_q4 *q, uint32_t n_in, uint32_t n_out) {
    static ts_block_u4g block[3 * (WIDE / 32)];
    static float plain[WIDE], worth[WIDE];
    ts_err err = {0};
    const ts_dtype type = ts_q4_type(q);
    if (q->n_in != n_in || q->n_out != n_out || !q->group || !q->n_groups) abort();
    if ((uint64_t)q->group * (q->n_groups - 1) >= n_in || (uint64_t)q->group * q->n_groups < n_in) abort();
    bool *seen = calloc(n_in, 1);
    for (uint32_t i = 0; q->order && i < n_in; i++) {
        if (q->order[i] >= n_in || seen[q->order[i]]) abort();
        seen[q->order[i]] = true;
    }
    free(seen);
    (void)ts_q4_symmetric(q);
    const ts_status s = ts_q4_check(q, &err);
    if (s != TS_OK && (err.code != s || strpbrk(err.msg, "\n\r"))) abort();
    const uint32_t row[3] = {0, n_out / 2, n_out - 1};
    if (type != TS_F32) ts_q4_rows(q, row, 3, block);
    for (int r = 0; r < 3; r++) {
        ts_q4_floats(q, row[r], plain);
        if (type == TS_F32 || s != TS_OK) continue;
        ts_dequant(type, block + (size_t)r * (n_in / 32), worth, n_in);
        for (uint32_t i = 0; i < n_in; i++)
            if (plain[q->order ? q->order[i] : i] != worth[i]) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    input in = {data, len, 0};
    layer l = {0};
    ts_q4 q;
    ts_err err = {0};
    const uint8_t flags = next(&in);
    const ts_q4_config c = {.method = next(&in) % (TS_Q4_QUARK + 1),
                            .bits = (uint32_t[]){0, 4, 4, 8}[next(&in) % 4],
                            .group = (int64_t[]){0, -1, 32, 64, 128, 16, -2, 1000}[next(&in) % 8],
                            .sym = (ts_q4_said)((flags & 3) % 3),
                            .v2 = flags & 4,
                            .plain_order = flags & 8,
                            .two_complement = flags & 16,
                            .asym = flags & 32};
    const uint32_t n_in = 1 + (flags & 64 ? next(&in) : (next(&in) % 12u) * 32 + 31), groups = 1 + next(&in) % 16,
                   n_out = 1 + (flags & 128 ? next(&in) % 64u : (next(&in) % 8u) * 8 + 7);
    for (int i = 0; i < 6 && in.pos < in.len; i++) read_part(&l, &in, n_in, n_out, groups);
    bool is = false;
    const ts_status s = ts_q4_open(&q, &is, &c, "m", n_in, n_out, find, &l, &err);
    if (s == TS_OK && is) {
        look_at(&q, n_in, n_out);
        ts_q4_fini(&q);
    } else if (s != TS_OK && (err.code != s || !*err.msg || strpbrk(err.msg, "\n\r\x1b"))) {
        abort();
    }
    for (int i = 0; i < PARTS; i++)
        if (l.there[i]) free((void *)(uintptr_t)l.array[i].data);
    return 0;
}
