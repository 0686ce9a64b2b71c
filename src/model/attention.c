#include "model/attention.h"

#include <string.h>

struct attention {
    const ts_exec *ex;
    const ts_model_config *c;
    uint32_t layer, n_span, n_kv_head, group, hd;
    const ts_att_span *span;
    const float *q;
    float *out, scale;
    const ts_att_scratch *scratch;
};

static uint32_t chunks(const ts_att_span *s) {
    return (s->n + TS_ATT_TOKENS - 1) / TS_ATT_TOKENS;
}

/* A tile of the cache as f32: in place, or converted into `buf`. */
static const float *tile_f32(const ts_kern *k, const ts_kv *kv, const void *tile, float *buf) {
    if (kv->type == TS_KV_F32) return tile;
    k->f16_row(tile, buf, kv->head_pad * TS_KV_TILE);
    return buf;
}

/* One KV head and up to TS_ATT_TOKENS tokens: all their query heads, tile by tile in ascending order. */
static void attention_task(void *arg, size_t task, int thread) {
    const struct attention *a = arg;
    const ts_kern *kern = a->ex->kern;
    const ts_att_scratch *sc = &a->scratch[thread];
    uint32_t head = (uint32_t)(task % a->n_kv_head), chunk = (uint32_t)(task / a->n_kv_head), i = 0;
    while (chunk >= chunks(&a->span[i])) chunk -= chunks(&a->span[i++]);
    const ts_att_span *span = &a->span[i];
    const uint32_t t0 = chunk * TS_ATT_TOKENS, t1 = t0 + TS_ATT_TOKENS < span->n ? t0 + TS_ATT_TOKENS : span->n;
    const uint32_t last = span->pos0 + t1 - 1, window = a->c->window, first_pos = span->pos0 + t0;
    const uint32_t first_tile = window && first_pos + 1 > window ? (first_pos + 1 - window) / TS_KV_TILE : 0;
    const size_t token_floats = (size_t)a->c->n_head * a->hd;
    for (uint32_t tile = first_tile; tile <= last / TS_KV_TILE; tile++) {
        const uint32_t base = tile * TS_KV_TILE;
        const float *k = NULL, *v = NULL;
        for (uint32_t t = t0; t < t1; t++) {
            const uint32_t pos = span->pos0 + t, begin = window && pos + 1 > window ? pos + 1 - window : 0;
            if (base > pos || base + TS_KV_TILE <= begin) continue;
            const uint32_t lo = begin > base ? begin - base : 0;
            const uint32_t hi = pos - base + 1 < TS_KV_TILE ? pos - base + 1 : TS_KV_TILE;
            const bool fresh = base <= begin; /* the first visible tile of this token */
            if (!k) {
                k = tile_f32(kern, span->kv, ts_kv_tile(span->kv, a->layer, false, head, tile), sc->k);
                v = tile_f32(kern, span->kv, ts_kv_tile(span->kv, a->layer, true, head, tile), sc->v);
            }
            const size_t row = (span->first + t) * token_floats + (size_t)head * a->group * a->hd;
            for (uint32_t h = 0; h < a->group; h += 4) {
                const int nq = a->group - h < 4 ? (int)(a->group - h) : 4;
                const size_t at = row + (size_t)h * a->hd;
                float m[4], l[4], *M = sc->M + (t - t0) * a->group + h, *L = sc->L + (t - t0) * a->group + h;
                kern->att_scores(a->q + at, a->hd, nq, k, a->hd, a->scale, sc->s);
                for (int j = 0; j < nq; j++) kern->att_softmax(sc->s + j * TS_KV_TILE, lo, hi, &m[j], &l[j]);
                kern->att_values(sc->s, nq, lo, hi, v, a->hd, fresh ? a->out + at : sc->o, a->hd);
                for (int j = 0; j < nq; j++) {
                    if (fresh)
                        M[j] = m[j], L[j] = l[j];
                    else
                        kern->att_merge(&M[j], &L[j], a->out + at + (size_t)j * a->hd, m[j], l[j],
                                        sc->o + (size_t)j * a->hd, a->hd);
                }
            }
        }
    }
    for (uint32_t t = t0; t < t1; t++)
        for (uint32_t h = 0; h < a->group; h++) {
            float *o = a->out + (span->first + t) * token_floats + (size_t)(head * a->group + h) * a->hd;
            const float L = sc->L[(t - t0) * a->group + h];
            for (uint32_t d = 0; d < a->hd; d++) o[d] = o[d] / L;
        }
}

void ts_attention(const ts_exec *ex, const ts_model_config *c, uint32_t layer, const ts_att_span *span, uint32_t n_span,
                  const float *q, float *out, float scale, const ts_att_scratch *scratch) {
    struct attention a = {.ex = ex, .c = c, .layer = layer, .n_span = n_span, .n_kv_head = c->n_kv_head,
                          .group = c->n_head / c->n_kv_head, .hd = ts_head_pad(c), .span = span, .q = q, .out = out,
                          .scale = scale, .scratch = scratch};
    size_t n = 0;
    for (uint32_t i = 0; i < n_span; i++) n += chunks(&span[i]);
    ts_pool_run(ex->pool, n * c->n_kv_head, attention_task, &a);
}
