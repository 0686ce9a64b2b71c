#include "model/attention.h"
#include "kern/fmath.h"

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

/* A tile of the cache as f32 (of a q8_0 cache: of its values): in place, or converted into `buf`. */
static const float *tile_f32(const ts_kern *k, const ts_kv *kv, const void *tile, float *buf) {
    if (kv->type == TS_KV_F32) return tile;
    if (kv->type == TS_KV_F16) {
        k->f16_row(tile, buf, kv->head_pad * TS_KV_TILE);
    } else {
        const int8_t *q = tile;
        k->q8_rows(q, (const uint16_t *)(const void *)(q + (size_t)TS_KV_TILE * kv->head_pad), buf, TS_KV_TILE,
                   kv->head_pad);
    }
    return buf;
}

/* One task's part: a KV head and up to TS_ATT_TOKENS tokens of a span, with all their query heads. */
struct part {
    const struct attention *a;
    const ts_att_scratch *sc;
    const ts_att_span *span;
    uint32_t head, t0, t1;
    size_t token_floats;
};

/* Where the queries of token t begin, in q and out. */
static size_t queries_of(const struct part *p, uint32_t t) {
    return (p->span->first + t) * p->token_floats + (size_t)p->head * p->a->group * p->a->hd;
}

/* The first position that token t sees. */
static uint32_t first_seen(const struct part *p, uint32_t t) {
    const uint32_t pos = p->span->pos0 + t, window = p->a->c->window;
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

static bool sees(const struct part *p, uint32_t t, uint32_t base) {
    return base <= p->span->pos0 + t && base + TS_KV_TILE > first_seen(p, t);
}

/* q8_0: the queries of all tokens as int8, number (t - t0) * group + h. */
static void round_queries(const struct part *p) {
    const struct attention *a = p->a;
    const uint32_t K = p->span->kv->keys.n_cols, n = (p->t1 - p->t0) * a->group;
    ts_qact act = p->sc->q8;
    for (uint32_t i = 0; i < n; i++) {
        const float *q = a->q + queries_of(p, p->t0 + i / a->group) + (size_t)(i % a->group) * a->hd;
        float padded[1024];
        if (K > a->hd) {
            memcpy(padded, q, a->hd * sizeof *q);
            memset(padded + a->hd, 0, (K - a->hd) * sizeof *q);
            q = padded;
        }
        a->ex->kern->quant32(q, K, n, i, &act);
    }
}

/* q8_0: scores of all queries that see the tile, query i's at s + 64 i. */
static void scores_q8(const struct part *p, uint32_t tile, float *s) {
    const struct attention *a = p->a;
    const uint32_t n = (p->t1 - p->t0) * a->group, base = tile * TS_KV_TILE;
    uint32_t begin = p->t0, end = p->t1, first, width;
    while (begin < end && !sees(p, begin, base)) begin++;
    while (end > begin && !sees(p, end - 1, base)) end--;
    if (begin == end) return;
    ts_tok_block(n, (begin - p->t0) * a->group, &begin, &width); /* whole blocks of the quantised queries */
    ts_tok_block(n, (end - p->t0) * a->group - 1, &first, &width);
    end = first + width;
    ts_qmat keys = p->span->kv->keys;
    keys.data = ts_kv_tile(p->span->kv, a->layer, false, p->head, tile);
    a->ex->kern->gemm_q[TS_Q8_0](&keys, &p->sc->q8, n, begin, end, 0, keys.n_group, s, TS_KV_TILE);
    for (size_t i = (size_t)begin * TS_KV_TILE; i < (size_t)end * TS_KV_TILE; i++) s[i] = s[i] * a->scale;
}

/* All tokens that see a tile: what it adds to their results. */
static void one_tile(const struct part *p, uint32_t tile) {
    const struct attention *a = p->a;
    const ts_kern *kern = a->ex->kern;
    const ts_att_scratch *sc = p->sc;
    ts_kv *kv = p->span->kv;
    const bool q8 = kv->type == TS_KV_Q8_0;
    const uint32_t base = tile * TS_KV_TILE;
    const float *k = NULL, *v = NULL;
    for (uint32_t t = p->t0; t < p->t1; t++) {
        const uint32_t pos = p->span->pos0 + t, begin = first_seen(p, t);
        if (!sees(p, t, base)) continue;
        const uint32_t lo = begin > base ? begin - base : 0;
        const uint32_t hi = pos - base + 1 < TS_KV_TILE ? pos - base + 1 : TS_KV_TILE;
        const bool fresh = base <= begin; /* the first visible tile of this token */
        if (!v) { /* keys first: memory is read upwards */
            if (q8) scores_q8(p, tile, sc->s);
            else k = tile_f32(kern, kv, ts_kv_tile(kv, a->layer, false, p->head, tile), sc->k);
            v = tile_f32(kern, kv, ts_kv_tile(kv, a->layer, true, p->head, tile), sc->v);
        }
        for (uint32_t h = 0; h < a->group; h += 4) {
            const int nq = a->group - h < 4 ? (int)(a->group - h) : 4;
            const size_t at = queries_of(p, t) + (size_t)h * a->hd, number = (t - p->t0) * a->group + h;
            float m[4], l[4], *M = sc->M + number, *L = sc->L + number, *s = q8 ? sc->s + number * TS_KV_TILE : sc->s;
            if (!q8) kern->att_scores(a->q + at, a->hd, nq, k, a->hd, a->scale, s);
            for (int j = 0; j < nq; j++) kern->att_softmax(s + j * TS_KV_TILE, lo, hi, &m[j], &l[j]);
            kern->att_values(s, nq, lo, hi, v, a->hd, fresh ? a->out + at : sc->o, a->hd);
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

/* Tile by tile in ascending order. */
static void attention_task(void *arg, size_t task, int thread) {
    const struct attention *a = arg;
    uint32_t chunk = (uint32_t)(task / a->n_kv_head), i = 0;
    while (chunk >= chunks(&a->span[i])) chunk -= chunks(&a->span[i++]);
    struct part p = {.a = a, .sc = &a->scratch[thread], .span = &a->span[i], .head = (uint32_t)(task % a->n_kv_head),
                     .t0 = chunk * TS_ATT_TOKENS, .token_floats = (size_t)a->c->n_head * a->hd};
    p.t1 = p.t0 + TS_ATT_TOKENS < p.span->n ? p.t0 + TS_ATT_TOKENS : p.span->n;
    if (p.span->kv->type == TS_KV_Q8_0) round_queries(&p);
    for (uint32_t tile = first_seen(&p, p.t0) / TS_KV_TILE; tile <= (p.span->pos0 + p.t1 - 1) / TS_KV_TILE; tile++)
        one_tile(&p, tile);
    for (uint32_t t = p.t0; t < p.t1; t++)
        for (uint32_t h = 0; h < a->group; h++) {
            float *o = a->out + queries_of(&p, t) + (size_t)h * a->hd;
            const float inv = 1.0f / p.sc->L[(t - p.t0) * a->group + h];
            for (uint32_t d = 0; d < a->hd; d++) o[d] = ts_z(o[d] * inv);
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
