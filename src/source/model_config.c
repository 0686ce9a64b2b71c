#include "source/model_config.h"

#include <math.h>

ts_status ts_model_config_check(const ts_model_config *c, const char *name, ts_err *err) {
    const struct {
        const char *what;
        uint32_t value, most;
    } counts[] = {
        {"number of layers", c->n_layer, TS_MAX_LAYERS},
        {"context", c->n_ctx_train, TS_MAX_CTX},
        {"width", c->d_model, TS_MAX_WIDTH},
        {"width of the feed-forward network", c->d_ff, TS_MAX_FF},
        {"number of heads", c->n_head, TS_MAX_HEADS},
        {"number of KV heads", c->n_kv_head, TS_MAX_HEADS},
        {"size of a head", c->head_dim, TS_MAX_HEAD_DIM},
        {"number of rotated elements", c->n_rot, c->head_dim},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value == 0 || counts[i].value > counts[i].most)
            return ts_fail(err, TS_E_FORMAT, "%s: the %s is %u (expected 1 to %u)", name, counts[i].what,
                           counts[i].value, counts[i].most);
    if (c->n_head % c->n_kv_head)
        return ts_fail(err, TS_E_FORMAT, "%s: %u heads cannot share %u KV heads evenly", name, c->n_head, c->n_kv_head);
    if (c->n_rot % 2)
        return ts_fail(err, TS_E_FORMAT, "%s: the number of rotated elements is %u, not even", name, c->n_rot);
    if (!(c->norm_eps >= 0) || !isfinite(c->norm_eps) || !(c->att_scale > 0) || !isfinite(c->att_scale))
        return ts_fail(err, TS_E_FORMAT, "%s: the norms' epsilon or attention's scale is not a number to use", name);
    if (!(c->rope_base > 0) || !(c->rope_factor > 0) || !isfinite(c->rope_base) || !isfinite(c->rope_factor))
        return ts_fail(err, TS_E_FORMAT, "%s: the base or factor of rope is not a positive number", name);
    return TS_OK;
}
