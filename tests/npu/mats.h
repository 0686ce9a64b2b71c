/* mats.h - matrices and inputs for the tests of the NPU's linear layers, and what the reference kernel makes of
 * them. */
#ifndef TS_TESTS_MATS_H
#define TS_TESTS_MATS_H

#include "support/test.h"

#include "base/rng.h"
#include "format/quant.h"
#include "kern/kern.h"
#include "npu/pack.h"

static const ts_dtype all_types[] = {TS_Q4_K, TS_Q6_K, TS_Q8_0, TS_Q4_0, TS_U4G32, TS_U4G64, TS_U4G128};

typedef enum fill { RANDOM, LARGEST, SMALLEST, MIXED, FILLS } fill;

/* Blocks with any bits but a scale that is a number: extremes are all ones, all zeros, or a mix of these. */
static inline void fill_rows(uint8_t *rows, ts_dtype type, size_t bytes, fill how, ts_rng *rng) {
    const size_t block = ts_dtype_get(type)->block_bytes;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t v = (uint8_t)ts_rng_u32(rng);
        rows[i] = how == RANDOM ? v : how == LARGEST ? 0xff : how == SMALLEST ? 0 : (uint8_t)(v & 1 ? 0xff : 0);
    }
    for (size_t b = 0; b + block <= bytes; b += block) {
        uint16_t d = ts_f32_to_f16((float)ts_rng_gauss(rng)), dmin = ts_f32_to_f16((float)ts_rng_gauss(rng));
        size_t d_at = type == TS_Q6_K ? 208 : 0;
        memcpy(rows + b + d_at, &d, 2);
        if (type == TS_Q4_K) memcpy(rows + b + 2, &dmin, 2);
        if (type == TS_Q8_0 && how != RANDOM)
            for (size_t i = 2; i < 34; i++) rows[b + i] = rows[b + i] == 0xff ? 127 : 0x81; /* -127 */
    }
}

static inline void fill_x(float *x, size_t n, fill how, ts_rng *rng) {
    for (size_t i = 0; i < n; i++) {
        float v = (float)ts_rng_gauss(rng);
        x[i] = how == RANDOM ? v : how == LARGEST ? 3.5f : how == SMALLEST ? -3.5f : v > 0 ? 1.0f : -1.0f;
    }
}

/* Rows through the reference kernel. */
static inline void reference(const ts_kern *ref, const ts_gemv_mat *m, const uint8_t *rows, size_t row_bytes,
                             const ts_qact *x, uint32_t n_tok, float *y) {
    ts_qmat q;
    assert_true(ts_qmat_init(&q, m->type, m->n_rows, m->K));
    uint8_t *packed = ts_alloc_aligned(1, ts_qmat_bytes(&q));
    for (uint32_t g = 0; g < q.n_group; g++) ts_qmat_pack_group(&q, rows, row_bytes, g, packed + g * q.group_bytes);
    q.data = packed;
    ref->gemm_q[m->type](&q, x, n_tok, 0, n_tok, 0, q.n_group, y, m->n_rows);
    ts_free(packed);
}

#endif
