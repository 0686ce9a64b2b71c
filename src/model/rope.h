/* rope.h - rotary position embedding: the angles.
 *
 * Source: Su et al. 2021 (RoFormer, arXiv 2104.09864); YaRN: Peng et al. 2023 (arXiv 2309.00071). */
#ifndef TS_MODEL_ROPE_H
#define TS_MODEL_ROPE_H

#include "model/config.h"

typedef struct ts_rope {
    uint32_t n_rot;
    double *freq; /* [n_rot/2] radians per position, all scaling applied; owned */
    double scale; /* of cos and sin (YaRN's attention factor) */
} ts_rope;

/* `factors` (nullable): the rope_freqs tensor, [n_rot/2] divisors of the frequencies (Llama 3.1 and later).
 * Errors: TS_E_NOMEM; TS_E_FORMAT where the settings give frequencies or a scale beyond reason (hostile files). */
TS_NODISCARD ts_status ts_rope_init(ts_rope *r, const ts_model_config *c, const float *factors, ts_err *err);
void ts_rope_fini(ts_rope *r);

/* cs[0 .. n_rot/2) = cos, cs[n_rot/2 .. n_rot) = sin of position `pos`: computed in double, rounded once. */
void ts_rope_angles(const ts_rope *r, uint32_t pos, float *cs);

#endif
