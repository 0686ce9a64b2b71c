#include "source/gguf_names.h"

#include <stdio.h>

static const char *const names[TS_ROLES] = {
    [TS_ROLE_Q] = "attn_q",
    [TS_ROLE_K] = "attn_k",
    [TS_ROLE_V] = "attn_v",
    [TS_ROLE_O] = "attn_output",
    [TS_ROLE_GATE] = "ffn_gate",
    [TS_ROLE_UP] = "ffn_up",
    [TS_ROLE_DOWN] = "ffn_down",
    [TS_ROLE_ATTN_NORM] = "attn_norm",
    [TS_ROLE_FFN_NORM] = "ffn_norm",
    [TS_ROLE_Q_NORM] = "attn_q_norm",
    [TS_ROLE_K_NORM] = "attn_k_norm",
    [TS_ROLE_EMBED] = "token_embd",
    [TS_ROLE_OUT_NORM] = "output_norm",
    [TS_ROLE_HEAD] = "output",
    [TS_ROLE_ROPE_FACTORS] = "rope_freqs",
};

const char *ts_gguf_role_name(ts_role role) {
    return names[role];
}

const char *ts_gguf_tensor_name(char *buf, size_t len, ts_role role, uint32_t layer, bool bias) {
    const char *ending = bias ? "bias" : "weight";
    if (role < TS_LAYER_ROLES) snprintf(buf, len, "blk.%u.%s.%s", layer, names[role], ending);
    else snprintf(buf, len, "%s.%s", names[role], ending);
    return buf;
}
