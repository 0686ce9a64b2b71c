/* arch_qwen.c - Qwen2 / Qwen2.5 (biases on q, k, v) and Qwen3 (RMSNorm on every head's q and k): otherwise like
 * Llama, with rotary positions on the two halves of a head. Source: Yang et al. 2024, 2025 (arXiv 2407.10671,
 * 2505.09388). */
#include "model/pass.h"

#include <string.h>

static ts_status load_layer(ts_model *m, uint32_t layer, ts_err *err) {
    TS_TRY(ts_model_load_common(m, layer, err));
    ts_layer *l = &m->layer[layer];
    const bool norms = strcmp(m->c.arch, "qwen3") == 0;
    if (norms) TS_TRY(ts_model_vector(m, &l->q_norm, (int)layer, "attn_q_norm", m->c.head_dim, true, err));
    if (norms) TS_TRY(ts_model_vector(m, &l->k_norm, (int)layer, "attn_k_norm", m->c.head_dim, true, err));
    if (!norms && (!l->q.bias || !l->k.bias || !l->v.bias))
        return ts_fail(err, TS_E_FORMAT, "%s: layer %u lacks a bias of attn_q, attn_k or attn_v, which qwen2 has",
                       ts_gguf_path(m->file), layer);
    return TS_OK;
}

static ts_status forward(ts_pass *p) {
    for (uint32_t i = 0; i < p->m->c.n_layer; i++) {
        const ts_layer *l = &p->m->layer[i];
        if (ts_pass_cancelled(p)) return TS_E_CANCELLED;
        /* T tokens, d = d_model, H heads and G KV heads of h elements, f = d_ff */
        const ts_linear *const qkv[] = {&l->q, &l->k, &l->v}, *const ffn[] = {&l->gate, &l->up};
        ts_step_norm(p, i > 0, l->attn_norm, qkv, 3); /* x [T, d] += y of the layer before; norm [T, d] */
        ts_step_qkv(p, l);                            /* q [T, H h], k and v [T, G h], with biases */
        ts_step_attention(p, i);                      /* q and k norms, rope, cache, attention; y [T, d] */
        ts_step_norm(p, true, l->ffn_norm, ffn, 2);   /* x [T, d] += y; norm [T, d] */
        ts_step_ffn(p, l);                            /* silu(gate [T, f]) * up [T, f]; y [T, d] */
    }
    ts_step_add(p); /* x [T, d] += y */
    return TS_OK;
}

static const char *const names[] = {"qwen2", "qwen3", NULL};

const ts_arch ts_arch_qwen = {
    .names = names,
    .load_layer = load_layer,
    .forward = forward,
    .rope_halves = true,
};
