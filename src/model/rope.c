#include "model/rope.h"
#include "base/mem.h"
#include "kern/fmath.h"

#include <math.h>

/* Radians per position: 1 at most where nothing is scaled. With 2^30 positions the angle stays what ts_sincos_d
 * takes. */
#define MAX_FREQ 1024.0

/* The (fractional) pair whose wavelength turns `rotations` times within the original context. */
static double yarn_pair(const ts_model_config *c, double rotations) {
    const double two_pi = 0x1.921fb54442d18p+2;
    return c->n_rot * ts_log2_d(c->rope_ctx_orig / (rotations * two_pi)) / (2 * ts_log2_d((double)c->rope_base));
}

ts_status ts_rope_init(ts_rope *r, const ts_model_config *c, const float *factors, ts_err *err) {
    uint32_t half = c->n_rot / 2;
    double *freq = ts_alloc(half, sizeof *freq);
    if (!freq) return ts_fail_nomem(err, "rope frequencies", half * sizeof *freq);
    const bool yarn = c->rope_scaling == TS_ROPE_YARN && c->yarn_ext != 0;
    double low = 0, high = 0, inv = 1 / (double)c->rope_factor;
    if (yarn) {
        low = floor(yarn_pair(c, (double)c->yarn_beta_fast));
        high = ceil(yarn_pair(c, (double)c->yarn_beta_slow));
        if (!(low > 0)) low = 0;
        if (!(high < c->n_rot - 1)) high = c->n_rot - 1;
    }
    for (uint32_t i = 0; i < half; i++) {
        double f = ts_pow_d((double)c->rope_base, -2.0 * i / c->n_rot);
        if (factors) f /= (double)factors[i];
        double squeezed = f * inv;
        if (yarn) {
            double span = high - low > 0.001 ? high - low : 0.001, ramp = (i - low) / span;
            ramp = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
            ramp *= (double)c->yarn_ext;
            squeezed = squeezed * (1 - ramp) + f * ramp;
        }
        if (!(squeezed >= 0 && squeezed <= MAX_FREQ)) {
            ts_free(freq);
            return ts_fail(err, TS_E_FORMAT,
                           "rope pair %u turns by %g radians per position: the file's rope settings are nonsense", i,
                           squeezed);
        }
        freq[i] = squeezed;
    }
    double scale = c->rope_scaling == TS_ROPE_YARN ? (double)c->yarn_attn : 1;
    if (yarn) scale *= 1 + 0.1 * ts_log2_d((double)c->rope_factor) * 0x1.62e42fefa39efp-1;
    if (!isfinite(scale)) {
        ts_free(freq);
        return ts_fail(err, TS_E_FORMAT, "the file's yarn attention factor is not a number");
    }
    *r = (ts_rope){.n_rot = c->n_rot, .freq = freq, .scale = scale};
    return TS_OK;
}

void ts_rope_fini(ts_rope *r) {
    ts_free(r->freq);
    *r = (ts_rope){0};
}

void ts_rope_angles(const ts_rope *r, uint32_t pos, float *cs) {
    for (uint32_t i = 0; i < r->n_rot / 2; i++) {
        double s, c;
        ts_sincos_d(pos * r->freq[i], &s, &c);
        cs[i] = ts_z((float)(c * r->scale));
        cs[i + r->n_rot / 2] = ts_z((float)(s * r->scale));
    }
}
