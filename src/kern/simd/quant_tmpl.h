/* quant_tmpl.h - activations to integers, in terms of v16, sixteen f32 lanes; included once by each level's
 * gemm_q_<level>.c. Not a header of its own. Specification: kern/kern.h; reference: ref/gemm_q_ref.c. */

/* n (32 or 256) activations to q, and the sums of every 16. Returns amax. */
INL float quant_block(const float *x, int n, int8_t *q, int32_t *sum16) {
    v16 m = v16_zero();
    for (int i = 0; i < n; i += 16) m = v16_max(v16_abs(v16_load(x + i)), m);
    const float amax = ts_z(v16_hmax(m));
    const v16 inv = v16_set1(amax > 0 ? 127.0f / amax : 0.0f);
    for (int i = 0; i < n; i += 16) {
        const v16 a = v16_load(x + i);
        sum16[i / 16] = v16_to_i8(q + i, v16_nan_to_zero(v16_or_inf(v16_mul(a, inv), a, 127.0f)));
    }
    return amax;
}

static TS_QUANT(quant32) {
    const ts_tok_place at = ts_tok_place_of(n_tok, t);
    for (uint32_t b = 0; b < K / 32; b++) {
        int8_t q[32];
        int32_t sum16[2];
        const float amax = quant_block(x + 32 * (size_t)b, 32, q, sum16);
        ts_qact_put32(out, K, at, b, q, sum16, amax * TS_INV_127);
    }
}

static TS_QUANT(quant256) {
    const ts_tok_place at = ts_tok_place_of(n_tok, t);
    for (uint32_t b = 0; b < K / 256; b++) {
        int8_t q[256];
        int32_t sum16[16];
        const float amax = quant_block(x + 256 * (size_t)b, 256, q, sum16);
        ts_qact_put256(out, K, at, b, q, sum16, amax * TS_INV_127);
    }
}

INL void init_quant(ts_kern *k) {
    k->quant32 = quant32;
    k->quant256 = quant256;
}
