#include "source/role.h"

const ts_mat_group_info ts_layer_group[TS_LAYER_GROUPS] = {
    [TS_GROUP_QKV] = {TS_ROLE_Q, 3, "q+k+v"},
    [TS_GROUP_O] = {TS_ROLE_O, 1, "attn_output"},
    [TS_GROUP_FFN] = {TS_ROLE_GATE, 2, "gate+up"},
    [TS_GROUP_DOWN] = {TS_ROLE_DOWN, 1, "ffn_down"},
};

static const struct {
    ts_width in, out;
} shape[TS_LAYER_ROLES] = {
    [TS_ROLE_Q] = {TS_WIDTH_MODEL, TS_WIDTH_Q},
    [TS_ROLE_K] = {TS_WIDTH_MODEL, TS_WIDTH_KV},
    [TS_ROLE_V] = {TS_WIDTH_MODEL, TS_WIDTH_KV},
    [TS_ROLE_O] = {TS_WIDTH_Q, TS_WIDTH_MODEL},
    [TS_ROLE_GATE] = {TS_WIDTH_MODEL, TS_WIDTH_FF},
    [TS_ROLE_UP] = {TS_WIDTH_MODEL, TS_WIDTH_FF},
    [TS_ROLE_DOWN] = {TS_WIDTH_FF, TS_WIDTH_MODEL},
    [TS_ROLE_ATTN_NORM] = {TS_WIDTH_MODEL, TS_WIDTH_MODEL},
    [TS_ROLE_FFN_NORM] = {TS_WIDTH_MODEL, TS_WIDTH_MODEL},
    [TS_ROLE_Q_NORM] = {TS_WIDTH_HEAD, TS_WIDTH_HEAD},
    [TS_ROLE_K_NORM] = {TS_WIDTH_HEAD, TS_WIDTH_HEAD},
};

ts_widths ts_widths_of(uint32_t d_model, uint32_t n_head, uint32_t n_kv_head, uint32_t head_dim, uint32_t d_ff) {
    return (ts_widths){{
        [TS_WIDTH_MODEL] = d_model,
        [TS_WIDTH_Q] = n_head * head_dim,
        [TS_WIDTH_KV] = n_kv_head * head_dim,
        [TS_WIDTH_FF] = d_ff,
        [TS_WIDTH_HEAD] = head_dim,
    }};
}

uint32_t ts_role_in(ts_role r, const ts_widths *w) {
    return w->of[shape[r].in];
}

uint32_t ts_role_out(ts_role r, const ts_widths *w) {
    return w->of[shape[r].out];
}
