#include "format/dtype.h"

#include "base/mem.h"

#include <strings.h>

#define READ(name, n, bytes) {name, n, bytes, n, bytes}
#define NAMED(name, n, bytes) {name, 0, 0, n, bytes}

static const ts_dtype_info types[TS_DTYPES] = {
    [TS_F32] = READ("f32", 1, 4),
    [TS_F16] = READ("f16", 1, 2),
    [4] = NAMED("q4_2", 0, 0), /* withdrawn */
    [5] = NAMED("q4_3", 0, 0), /* withdrawn */
    [9] = NAMED("q8_1", 32, 36),
    [15] = NAMED("q8_K", 256, 292),
    [16] = NAMED("iq2_xxs", 256, 66),
    [17] = NAMED("iq2_xs", 256, 74),
    [18] = NAMED("iq3_xxs", 256, 98),
    [19] = NAMED("iq1_s", 256, 50),
    [21] = NAMED("iq3_s", 256, 110),
    [22] = NAMED("iq2_s", 256, 82),
    [24] = NAMED("i8", 1, 1),
    [25] = NAMED("i16", 1, 2),
    [26] = NAMED("i32", 1, 4),
    [27] = NAMED("i64", 1, 8),
    [28] = NAMED("f64", 1, 8),
    [29] = NAMED("iq1_m", 256, 56),
    [TS_BF16] = READ("bf16", 1, 2),
#define WTYPE(NAME, number, name, elements, bytes, ...) [number] = READ(name, elements, bytes),
#include "format/wtype.def"
    [31] = NAMED("q4_0_4_4", 0, 0), /* 31..33 and 36..38: repacked layouts, withdrawn */
    [32] = NAMED("q4_0_4_8", 0, 0),
    [33] = NAMED("q4_0_8_8", 0, 0),
    [34] = NAMED("tq1_0", 256, 54),
    [35] = NAMED("tq2_0", 256, 66),
    [36] = NAMED("iq4_nl_4_4", 0, 0),
    [37] = NAMED("iq4_nl_4_8", 0, 0),
    [38] = NAMED("iq4_nl_8_8", 0, 0),
    [40] = NAMED("nvfp4", 64, 36),
    [41] = NAMED("q1_0", 128, 18),
    [42] = NAMED("q2_0", 64, 18),
};

const ts_dtype_info *ts_dtype_get(uint32_t type) {
    static const ts_dtype_info unknown;
    return type < TS_DTYPES ? &types[type] : &unknown;
}

bool ts_dtype_find(const char *name, ts_dtype *out) {
    for (uint32_t i = 0; i < TS_DTYPES; i++)
        if (types[i].block && !strcasecmp(types[i].name, name)) {
            *out = (ts_dtype)i;
            return true;
        }
    return false;
}

size_t ts_dtype_row_bytes(ts_dtype type, uint64_t n) {
    const ts_dtype_info *t = ts_dtype_get(type);
    size_t bytes;
    if (!t->block || n % t->block || !ts_size_mul(n / t->block, t->block_bytes, &bytes)) return 0;
    return bytes;
}
