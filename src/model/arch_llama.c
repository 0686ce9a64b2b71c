/* arch_llama.c - Llama 1, 2, 3, 3.1, 3.2, Mistral, TinyLlama, SmolLM: pre-norm transformer with grouped-query
 * attention, rotary positions on neighbouring pairs, SwiGLU. Source: Touvron et al. 2023 (arXiv 2302.13971,
 * 2307.09288). */
#include "model/pass.h"

static ts_status forward(ts_pass *p) {
    for (uint32_t i = 0; i < p->m->c.n_layer; i++) {
        const ts_layer *l = &p->m->layer[i];
        if (ts_pass_cancelled(p)) return TS_E_CANCELLED;
        /* T tokens, d = d_model, H heads and G KV heads of h elements, f = d_ff */
        const ts_linear *const qkv[] = {&l->q, &l->k, &l->v}, *const ffn[] = {&l->gate, &l->up};
        ts_step_norm(p, i > 0, l->attn_norm, qkv, 3); /* x [T, d] += y of the layer before; norm [T, d] */
        ts_step_qkv(p, l);                            /* q [T, H h], k and v [T, G h] */
        ts_step_attention(p, i);                      /* rope, cache, softmax(q k / sqrt h) v [T, H h]; y [T, d] */
        ts_step_norm(p, true, l->ffn_norm, ffn, 2);   /* x [T, d] += y; norm [T, d] */
        ts_step_ffn(p, l);                            /* silu(gate [T, f]) * up [T, f]; y [T, d] */
    }
    ts_step_add(p); /* x [T, d] += y */
    return TS_OK;
}

static const char *const names[] = {"llama", NULL};

const ts_arch ts_arch_llama = {
    .names = names,
    .load_layer = ts_model_load_common,
    .forward = forward,
};
