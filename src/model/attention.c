/* attention.c - the queries of a few tokens that share a KV head meet its tiles one after the other. Where there are
 * too few of them for the threads, tiles are shared out as well: each is done alone, and they are joined afterwards. */
#include "model/attention.h"
#include "kern/fmath.h"

#include <string.h>

enum {
    TOKENS = 64,    /* of one task at most, */
    TOKENS_MIN = 8, /* and at least where there are few tasks */
    TASKS = 4,      /* for each thread, if possible */
    TOGETHER = 4,   /* tokens whose scores are at hand at the same time */
    CONVERT = 24,   /* from so many queries on a tile is made f32 first */
    ALONE = 128,    /* so many tiles of one token are kept until they are joined, */
    ALONE_MIN = 4,  /* and so many at least are a task */
};

/* Working memory of one thread, for up to TOKENS * group queries. */
typedef struct scratch {
    float *q;     /* [max_q][K] */
    float *k, *v; /* [head_pad][64], [64][head_pad]: a tile in f32 */
    float *s, *o; /* [max_q][64] scores; [max_q][head_pad] results so far */
    float *M, *L; /* [max_q] their maximum and sum */
    float *m, *l; /* [max_q] the tile's */
    ts_qact q8;   /* for q8_0 caches */
} scratch;

/* Results of queries: maximum, sum, and [head_pad] values, query i's at o + i * ld. */
typedef struct results {
    float *m, *l, *o;
    size_t ld;
} results;

struct attention {
    const ts_exec *ex;
    const ts_model_config *c;
    uint32_t layer, n_kv_head, group, hd, K, tokens;
    const ts_att_span *span;
    const float *q;
    float *out, scale;
    char *mem;
};

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static size_t take(char *base, size_t *used, size_t n, size_t elem, void *to) {
    char *at = base ? base + *used : NULL;
    memcpy(to, &at, sizeof at);
    return *used += (n * elem + 63) & ~(size_t)63;
}

/* A thread's memory at `base`, or NULL for its size alone, which it returns. */
static size_t carve(const ts_model_config *c, char *base, scratch *s) {
    const size_t hd = ts_head_pad(c), K = (hd + 31) & ~(size_t)31, n = TOKENS * (c->n_head / c->n_kv_head),
                 blocks = n * (K / 32);
    size_t used = 0;
    *s = (scratch){.q8 = {.K_max = (uint32_t)K, .cap = (uint32_t)n}};
    take(base, &used, n * K, sizeof(float), &s->q);
    take(base, &used, hd * TS_KV_TILE, sizeof(float), &s->k);
    take(base, &used, hd * TS_KV_TILE, sizeof(float), &s->v);
    take(base, &used, n * TS_KV_TILE, sizeof(float), &s->s);
    take(base, &used, n * hd, sizeof(float), &s->o);
    take(base, &used, n, sizeof(float), &s->M);
    take(base, &used, n, sizeof(float), &s->L);
    take(base, &used, n, sizeof(float), &s->m);
    take(base, &used, n, sizeof(float), &s->l);
    take(base, &used, n * K, 1, &s->q8.q32);
    take(base, &used, n * K, 2, &s->q8.wide32);
    take(base, &used, blocks, sizeof(float), &s->q8.d32);
    take(base, &used, blocks, sizeof(float), &s->q8.s32);
    take(base, &used, blocks, sizeof(int32_t), &s->q8.off8);
    take(base, &used, blocks, sizeof(int32_t), &s->q8.off16);
    return take(base, &used, blocks, sizeof(int32_t), &s->q8.off128);
}

/* The results of n queries and n_tile tiles: [tile][query] in each array. */
static size_t carve_results(size_t n, size_t hd, char *base, results *r) {
    size_t used = 0;
    r->ld = hd;
    take(base, &used, n, sizeof(float), &r->m);
    take(base, &used, n, sizeof(float), &r->l);
    return take(base, &used, n * hd, sizeof(float), &r->o);
}

size_t ts_att_scratch_bytes(const ts_model_config *c, int n_threads) {
    scratch s;
    results r;
    size_t shared = carve_results((size_t)ALONE * c->n_head, ts_head_pad(c), NULL, &r) +
                    carve_results((size_t)TOKENS * c->n_head, 0, NULL, &r);
    return (size_t)n_threads * carve(c, NULL, &s) + shared;
}

/* ---- one task ---------------------------------------------------------------------------------------------------- */

/* Tokens [t0, t1) of a span and a KV head, with all query heads that share it: query number (t - t0) * group + h. */
struct part {
    const struct attention *a;
    const ts_att_span *span;
    uint32_t head, t0, t1;
    scratch sc;
};

/* Where the queries of token t begin, in q and out. */
static size_t queries_of(const struct part *p, uint32_t t) {
    const struct attention *a = p->a;
    return ((size_t)(p->span->first + t) * a->c->n_head + (size_t)p->head * a->group) * a->hd;
}

/* The first position that token t sees. */
static uint32_t first_seen(const struct part *p, uint32_t t) {
    const uint32_t pos = p->span->pos0 + t, window = p->a->c->window;
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* What token t sees of a tile: positions [lo, hi) of it; `first`: nothing before it. */
struct sight {
    uint32_t lo, hi;
    bool first;
};

static struct sight sight_of(const struct part *p, uint32_t t, uint32_t tile) {
    const uint32_t base = tile * TS_KV_TILE, end = p->span->pos0 + t + 1, begin = first_seen(p, t);
    if (end <= base || begin >= base + TS_KV_TILE) return (struct sight){0};
    return (struct sight){.lo = begin > base ? begin - base : 0,
                          .hi = end - base < TS_KV_TILE ? end - base : TS_KV_TILE,
                          .first = begin >= base};
}

/* The tiles that a part sees are [first_tile, end_tile). */
static uint32_t first_tile(const struct part *p) {
    return first_seen(p, p->t0) / TS_KV_TILE;
}
static uint32_t end_tile(const struct part *p) {
    return (p->span->pos0 + p->t1 - 1) / TS_KV_TILE + 1;
}

static void fetch(const char *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

static void fetch_tile(const struct attention *a, const ts_kv *kv, uint32_t head, uint32_t tile) {
    fetch(ts_kv_tile(kv, a->layer, false, head, tile), kv->key_bytes + kv->value_bytes);
}

/* A part of a task, with the queries side by side, padded and for q8_0 quantised. */
static struct part part_of(const struct attention *a, const ts_att_span *span, uint32_t head, uint32_t t0, uint32_t t1,
                           int thread) {
    struct part p = {.a = a, .span = span, .head = head, .t0 = t0, .t1 = t1};
    const uint32_t n = (t1 - t0) * a->group, K = a->K;
    if (thread < 0) return p;
    carve(a->c, a->mem + (size_t)thread * carve(a->c, NULL, &p.sc), &p.sc);
    if (!a->ex->kern->wide) p.sc.q8.wide32 = NULL;
    for (uint32_t i = 0; i < n; i++) {
        float *q = p.sc.q + (size_t)i * K;
        memcpy(q, a->q + queries_of(&p, t0 + i / a->group) + (size_t)(i % a->group) * a->hd, a->hd * sizeof *q);
        memset(q + a->hd, 0, (K - a->hd) * sizeof *q);
        if (span->kv->type == TS_KV_Q8_0) a->ex->kern->quant32(q, K, n, i, &p.sc.q8);
    }
    return p;
}

/* A tile as the kernels take it, and what of another they shall fetch meanwhile. */
struct tile {
    const void *k, *v;
    ts_dtype k_type, v_type;
    const char *next_k, *next_v;
    size_t to_fetch; /* bytes from next_k on that no kernel fetches */
};

static struct tile tile_of(const struct part *p, uint32_t tile, uint32_t next, uint32_t n_query) {
    const struct attention *a = p->a;
    const ts_kern *kern = a->ex->kern;
    const ts_kv *kv = p->span->kv;
    const ts_dtype type = kv->type == TS_KV_F32 ? TS_F32 : kv->type == TS_KV_F16 ? TS_F16 : TS_Q8_0;
    struct tile t = {.k = ts_kv_tile(kv, a->layer, false, p->head, tile),
                     .k_type = type,
                     .v = ts_kv_tile(kv, a->layer, true, p->head, tile),
                     .v_type = type,
                     .next_k = ts_kv_tile(kv, a->layer, false, p->head, next),
                     .next_v = ts_kv_tile(kv, a->layer, true, p->head, next)};
    if (n_query >= CONVERT && type == TS_F16) { /* keys first: memory is read upwards */
        kern->f16_row(t.k, p->sc.k, a->hd * TS_KV_TILE);
        kern->f16_row(t.v, p->sc.v, a->hd * TS_KV_TILE);
        t.k = p->sc.k, t.k_type = TS_F32;
        t.v = p->sc.v, t.v_type = TS_F32;
    }
    if (n_query >= CONVERT && type == TS_Q8_0) {
        const int8_t *q = t.v;
        kern->q8_rows(q, (const uint16_t *)(const void *)(q + (size_t)TS_KV_TILE * a->hd), p->sc.v, TS_KV_TILE, a->hd);
        t.v = p->sc.v, t.v_type = TS_F32;
    }
    if (next != tile)
        t.to_fetch = t.v_type == TS_F32 ? kv->key_bytes + kv->value_bytes : type == TS_Q8_0 ? kv->key_bytes : 0;
    return t;
}

/* Scores of queries [begin, end), query i's at sc->s + 64 i. */
static void scores(const struct part *p, const struct tile *t, uint32_t begin, uint32_t end) {
    const struct attention *a = p->a;
    const scratch *sc = &p->sc;
    if (t->k_type != TS_Q8_0) {
        a->ex->kern->att_scores(sc->q + (size_t)begin * a->K, a->K, end - begin, t->k_type, t->k, t->next_k, a->hd,
                                sc->s + (size_t)begin * TS_KV_TILE);
        return;
    }
    const uint32_t n = (p->t1 - p->t0) * a->group;
    uint32_t last, width; /* whole blocks of the quantised queries */
    ts_tok_block(n, end - 1, &last, &width);
    end = last + width;
    ts_tok_block(n, begin, &begin, &width);
    ts_qmat keys = p->span->kv->keys;
    keys.data = t->k;
    a->ex->kern->gemm_q[TS_Q8_0](&keys, &sc->q8, n, begin, end, 0, keys.n_group, sc->s, TS_KV_TILE);
}

/* Weights and values of tokens [begin, end), whose scores are there; `alone`: what the tile gives alone. */
static void weigh(const struct part *p, const struct tile *kv, uint32_t tile, uint32_t begin, uint32_t end,
                  const results *to, bool alone) {
    const struct attention *a = p->a;
    const ts_kern *kern = a->ex->kern;
    const scratch *sc = &p->sc;
    for (uint32_t t = begin, next; t < end; t = next) { /* tokens that see the same of it go together */
        const struct sight see = sight_of(p, t, tile);
        for (next = t + 1; next < end; next++) {
            const struct sight other = sight_of(p, next, tile);
            if (other.lo != see.lo || other.hi != see.hi || other.first != see.first) break;
        }
        const uint32_t i = (t - p->t0) * a->group, n = (next - t) * a->group;
        const bool fresh = alone || see.first;
        float *s = sc->s + (size_t)i * TS_KV_TILE, *m = fresh ? to->m + i : sc->m, *l = fresh ? to->l + i : sc->l;
        kern->att_softmax(s, n, see.lo, see.hi, a->scale, m, l);
        if (!fresh) kern->att_join(to->m + i, to->l + i, m, l, n);
        kern->att_values(s, n, see.lo, see.hi, kv->v_type, kv->v, kv->next_v, a->hd, fresh ? NULL : m, fresh ? NULL : l,
                         to->o + i * to->ld, to->ld);
    }
}

/* All tokens that see a tile: what it adds to their results, or gives alone. `next` is the tile that follows. */
static void one_tile(const struct part *p, uint32_t tile, uint32_t next, const results *to, bool alone) {
    const uint32_t group = p->a->group, t0 = p->t0;
    uint32_t begin = p->t0, end = p->t1;
    while (begin < end && !sight_of(p, begin, tile).hi) begin++;
    while (begin < end && !sight_of(p, end - 1, tile).hi) end--;
    if (begin == end) return;
    const struct tile kv = tile_of(p, tile, next, (end - begin) * group);
    const bool q8 = kv.k_type == TS_Q8_0;
    if (q8) scores(p, &kv, (begin - t0) * group, (end - t0) * group); /* in few calls: its blocks are wide */
    const size_t part = kv.to_fetch / ((end - begin + TOGETHER - 1) / TOGETHER);
    const char *ahead = kv.next_k;
    for (uint32_t t = begin, t_end; t < end; t = t_end, ahead += part) {
        t_end = end - t < TOGETHER ? end : t + TOGETHER;
        fetch(ahead, part);
        if (!q8) scores(p, &kv, (t - t0) * group, (t_end - t0) * group);
        weigh(p, &kv, tile, t, t_end, to, alone);
    }
}

/* The results of a token's queries, number i and on, into out. */
static void finish(const struct part *p, uint32_t t, const results *r, uint32_t i) {
    const struct attention *a = p->a;
    float *out = a->out + queries_of(p, t);
    for (uint32_t h = 0; h < a->group; h++, i++, out += a->hd) {
        const float inv = 1.0f / r->l[i], *o = r->o + i * r->ld;
        for (uint32_t d = 0; d < a->hd; d++) out[d] = ts_z(o[d] * inv);
    }
}

static uint32_t chunks(const struct attention *a, const ts_att_span *s) {
    return (s->n + a->tokens - 1) / a->tokens;
}

/* Tile by tile in ascending order. */
static void attention_task(void *arg, size_t task, int thread) {
    const struct attention *a = arg;
    uint32_t chunk = (uint32_t)(task / a->n_kv_head);
    const ts_att_span *span = a->span;
    while (chunk >= chunks(a, span)) chunk -= chunks(a, span++);
    const uint32_t t0 = chunk * a->tokens, t1 = t0 + a->tokens < span->n ? t0 + a->tokens : span->n;
    struct part p = {.a = a, .span = span, .head = (uint32_t)(task % a->n_kv_head), .t0 = t0, .t1 = t1};
    fetch_tile(a, span->kv, p.head, first_tile(&p));
    p = part_of(a, span, p.head, t0, t1, thread);
    const results r = {p.sc.M, p.sc.L, p.sc.o, a->hd};
    for (uint32_t tile = first_tile(&p), end = end_tile(&p); tile < end; tile++)
        one_tile(&p, tile, tile + 1 < end ? tile + 1 : tile, &r, false);
    for (uint32_t t = t0; t < t1; t++) finish(&p, t, &r, (t - t0) * a->group);
}

/* ---- tiles shared out -------------------------------------------------------------------------------------------- */

/* Tiles [begin, end) of one chunk of tokens. */
struct window {
    const struct attention *a;
    const ts_att_span *span;
    uint32_t t0, t1, begin, end, piece; /* so many tiles are a task */
    bool last;
    results tile, all; /* [tile][head][query], [head][query] without values: those are in out */
};

static void alone_task(void *arg, size_t task, int thread) {
    const struct window *w = arg;
    const struct attention *a = w->a;
    const uint32_t head = (uint32_t)(task % a->n_kv_head), n = (w->t1 - w->t0) * a->group;
    const uint32_t begin = w->begin + (uint32_t)(task / a->n_kv_head) * w->piece;
    const uint32_t end = begin + w->piece < w->end ? begin + w->piece : w->end;
    fetch_tile(a, w->span->kv, head, begin);
    const struct part p = part_of(a, w->span, head, w->t0, w->t1, thread);
    for (uint32_t tile = begin; tile < end; tile++) {
        const size_t i = ((size_t)(tile - w->begin) * a->n_kv_head + head) * n;
        const results r = {w->tile.m + i, w->tile.l + i, w->tile.o + i * a->hd, a->hd};
        one_tile(&p, tile, tile + 1 < end ? tile + 1 : tile, &r, true);
    }
}

static void join_task(void *arg, size_t task, int thread) {
    const struct window *w = arg;
    const struct attention *a = w->a;
    const uint32_t head = (uint32_t)(task % a->n_kv_head), t = w->t0 + (uint32_t)(task / a->n_kv_head), g = a->group;
    const size_t n = (size_t)(w->t1 - w->t0) * g, first = (size_t)(t - w->t0) * g, at = head * n + first;
    const struct part p = part_of(a, w->span, head, w->t0, w->t1, -1);
    const results r = {w->all.m + at, w->all.l + at, a->out + queries_of(&p, t), a->hd};
    (void)thread;
    for (uint32_t tile = w->begin; tile < w->end; tile++) {
        const struct sight see = sight_of(&p, t, tile);
        const size_t i = ((size_t)(tile - w->begin) * a->n_kv_head + head) * n + first;
        float *m = w->tile.m + i, *l = w->tile.l + i, *o = w->tile.o + i * a->hd;
        if (!see.hi) continue;
        if (see.first) {
            memcpy(r.m, m, g * sizeof *m), memcpy(r.l, l, g * sizeof *l), memcpy(r.o, o, g * a->hd * sizeof *o);
        } else {
            a->ex->kern->att_merge(r.m, r.l, r.o, a->hd, m, l, o, a->hd, g, a->hd);
        }
    }
    if (w->last) finish(&p, t, &r, 0);
}

/* A chunk of tokens with its tiles shared out in so many pieces for each head. */
static void share_out(const struct attention *a, const ts_att_span *span, uint32_t t0, uint32_t t1, uint32_t pieces) {
    const struct part p = part_of(a, span, 0, t0, t1, -1);
    struct window w = {.a = a, .span = span, .t0 = t0, .t1 = t1, .begin = first_tile(&p)};
    const uint32_t end = end_tile(&p), at_once = ALONE / (t1 - t0);
    scratch sc;
    char *mem = a->mem + (size_t)ts_pool_threads(a->ex->pool) * carve(a->c, NULL, &sc);
    mem += carve_results((size_t)ALONE * a->c->n_head, a->hd, mem, &w.tile);
    carve_results((size_t)TOKENS * a->c->n_head, 0, mem, &w.all);
    for (; w.begin < end; w.begin = w.end) {
        w.end = end - w.begin < at_once ? end : w.begin + at_once;
        w.last = w.end == end;
        w.piece = (w.end - w.begin + pieces - 1) / pieces;
        if (w.piece < ALONE_MIN) w.piece = ALONE_MIN;
        ts_pool_run(a->ex->pool, (size_t)((w.end - w.begin + w.piece - 1) / w.piece) * a->n_kv_head, alone_task, &w);
        ts_pool_run(a->ex->pool, (size_t)(t1 - t0) * a->n_kv_head, join_task, &w);
    }
}

static size_t count_tasks(const struct attention *a, uint32_t n_span) {
    size_t n = 0;
    for (uint32_t i = 0; i < n_span; i++) n += chunks(a, &a->span[i]);
    return n * a->n_kv_head;
}

void ts_attention(const ts_exec *ex, const ts_model_config *c, uint32_t layer, const ts_att_span *span, uint32_t n_span,
                  const float *q, float *out, float scale, void *mem) {
    struct attention a = {.ex = ex,
                          .c = c,
                          .layer = layer,
                          .n_kv_head = c->n_kv_head,
                          .group = c->n_head / c->n_kv_head,
                          .hd = ts_head_pad(c),
                          .K = (ts_head_pad(c) + 31) & ~31u,
                          .tokens = TOKENS,
                          .span = span,
                          .q = q,
                          .out = out,
                          .scale = scale,
                          .mem = mem};
    const size_t threads = (size_t)ts_pool_threads(ex->pool);
    while (threads > 1 && a.tokens > TOKENS_MIN && count_tasks(&a, n_span) < TASKS * threads) a.tokens /= 2;
    const size_t tasks = count_tasks(&a, n_span);
    if (8 * tasks >= 7 * threads * ((tasks + threads - 1) / threads)) { /* nearly all threads have as much to do */
        ts_pool_run(ex->pool, tasks, attention_task, &a);
        return;
    }
    for (uint32_t i = 0; i < n_span; i++)
        for (uint32_t t = 0; t < span[i].n; t += a.tokens)
            share_out(&a, &span[i], t, t + a.tokens < span[i].n ? t + a.tokens : span[i].n,
                      (uint32_t)(TASKS * threads / c->n_kv_head) + 1);
}
