/* arch_llama.c - Llama 1, 2, 3, 3.1, 3.2, Mistral, TinyLlama, SmolLM: pre-norm transformer with grouped-query
 * attention, rotary positions, SwiGLU. Source: Touvron et al. 2023 (arXiv 2302.13971, 2307.09288). */
#include "model/step.h"

ts_status ts_llama_forward(ts_pass *p) {
    for (uint32_t i = 0; i < p->m->c.n_layer; i++) {
        const ts_layer *l = &p->m->layer[i];
        if (ts_pass_cancelled(p)) return TS_E_CANCELLED;
        /* T tokens, d = d_model, H heads and G KV heads of h elements, f = d_ff */
        ts_step_norm(p, i > 0, TS_ROLE_ATTN_NORM, l, TS_GROUP_QKV); /* x [T, d] += y of the layer before; norm [T, d] */
        ts_step_qkv(p, l);                                          /* q [T, H h], k and v [T, G h] */
        ts_step_attention(p, l); /* q_norm and k_norm where the layer has them, rope, cache, softmax(q k / sqrt h) v
                                  * [T, H h]; y [T, d] */
        ts_step_norm(p, true, TS_ROLE_FFN_NORM, l, TS_GROUP_FFN);   /* x [T, d] += y; norm [T, d] */
        ts_step_ffn(p, l);                                          /* silu(gate [T, f]) * up [T, f]; y [T, d] */
    }
    ts_step_add(p); /* x [T, d] += y */
    return TS_OK;
}

const ts_arch ts_arch_llama = {.name = "llama", .forward = ts_llama_forward};
