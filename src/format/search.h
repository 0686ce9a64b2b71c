/* search.h - the parts of the search for scales (search_tmpl.h) that its levels share. */
#ifndef TS_FORMAT_SEARCH_H
#define TS_FORMAT_SEARCH_H

#include "format/quant.h"

/* in[0..n) to blocks of a type that is searched for: Q2_K to Q6_K, IQ4_XS; with weights also Q4_0, Q4_1, Q5_0, Q5_1,
 * IQ4_NL. As ts_quantize_weighted. */
#define TS_SEARCH(name)                                                                               \
    void name(ts_dtype type, const float *in, const float *weights, size_t n_per_row, void *blocks, size_t n)
typedef TS_SEARCH(ts_search_fn);

/* A block as numbers: elements are d * scale * q - m * min in blocks of 256, d * q or d * q + m in blocks of 32. */
typedef struct ts_searched {
    uint16_t d, m; /* binary16; m is dmin in blocks of 256 */
    int16_t scale[16], min[16];
    int8_t q[256]; /* levels: of IQ4 types ts_iq4_nl_values */
} ts_searched;
void ts_search_pack(ts_dtype type, const ts_searched *r, void *block);
/* The scales of a block; not its levels. */
void ts_search_unpack(ts_dtype type, const void *block, ts_searched *r);

/* Is the type searched for, with weights or without? */
bool ts_search_takes(ts_dtype type, bool weighted);
/* On any processor. */
TS_SEARCH(ts_search_plain);

/* ts_quantize_weighted with the search of a level; weights NULL: ts_quantize. The bytes are the same for all levels. */
void ts_quantize_with(ts_search_fn *search, ts_dtype type, const float *in, const float *weights, size_t n_per_row,
                      void *blocks, size_t n);

#endif
