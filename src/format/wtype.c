#include "format/wtype.h"
#include "format/quant.h"

const ts_wtype *ts_wtype_of(ts_dtype type) {
    static const ts_wtype none, types[TS_DTYPES] = {
#define WTYPE(NAME, number, name, elements, bytes, ...) [number] = {.block = elements, __VA_ARGS__},
#include "format/wtype.def"
    };
    return (unsigned)type < TS_DTYPES ? &types[type] : &none;
}
