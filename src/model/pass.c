#include "model/pass.h"
#include "base/clock.h"
#include "format/quant.h"
#include "model/finite.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <math.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Hand out 64-byte aligned pieces of one allocation; with base NULL only the sizes are added up. */
struct carve {
    char *base;
    size_t used;
    bool overflow;
};

static float *take(struct carve *c, size_t rows, size_t cols) {
    size_t bytes;
    if (!ts_size_mul(rows, cols, &bytes) || !ts_size_mul(bytes, sizeof(float), &bytes) ||
        !ts_size_add(bytes, 63, &bytes) || !ts_size_add(c->used, bytes & ~(size_t)63, &bytes)) {
        c->overflow = true;
        return NULL;
    }
    float *p = c->base ? (float *)(void *)(c->base + c->used) : NULL;
    c->used = bytes;
    return p;
}

static void carve_all(struct carve *cv, ts_scratch *s, const ts_model_config *c, ts_att_scratch *thread) {
    size_t T = s->max_tok, hd = ts_head_pad(c), d_q = (size_t)c->n_head * c->head_dim,
           d_kv = (size_t)c->n_kv_head * c->head_dim;
    size_t widest = c->d_model > d_q ? c->d_model : d_q, group = c->n_head / c->n_kv_head;
    s->x = take(cv, T, c->d_model);
    s->norm = take(cv, T, widest);
    s->y = take(cv, T, c->d_model);
    s->q = take(cv, T, d_q);
    s->k = take(cv, T, d_kv);
    s->v = take(cv, T, d_kv);
    s->qr = take(cv, T, c->n_head * hd);
    s->att = take(cv, T, c->n_head * hd);
    s->gate = take(cv, T, c->d_ff);
    s->up = take(cv, T, c->d_ff);
    s->angles = take(cv, T, c->n_rot);
    for (int i = 0; i < s->n_threads; i++)
        thread[i] = (ts_att_scratch){
            .k = take(cv, hd, TS_KV_TILE),
            .v = take(cv, hd, TS_KV_TILE),
            .s = take(cv, 4, TS_KV_TILE),
            .o = take(cv, 4, hd),
            .M = take(cv, TS_ATT_TOKENS, group),
            .L = take(cv, TS_ATT_TOKENS, group),
        };
}

ts_status ts_scratch_init(ts_scratch *out, const ts_model *m, uint32_t max_tok, int n_threads, ts_err *err) {
    ts_scratch s = {.max_tok = max_tok, .n_threads = n_threads};
    s.thread = ts_calloc((size_t)n_threads, sizeof *s.thread);
    if (!s.thread) return ts_fail_nomem(err, "scratch memory", (size_t)n_threads * sizeof *s.thread);
    struct carve cv = {0};
    carve_all(&cv, &s, &m->c, s.thread);
    ts_status st = cv.overflow ? ts_fail_nomem(err, "scratch memory", SIZE_MAX)
                               : ts_big_alloc(&s.mem, cv.used, true, "scratch memory", err);
    if (st == TS_OK) {
        cv = (struct carve){.base = s.mem.ptr};
        carve_all(&cv, &s, &m->c, s.thread);
        uint32_t d_q = m->c.n_head * m->c.head_dim, widest = m->c.d_model > m->c.d_ff ? m->c.d_model : m->c.d_ff;
        st = ts_qact_init(&s.act, widest > d_q ? widest : d_q, max_tok, err);
    }
    if (st != TS_OK) {
        ts_scratch_fini(&s);
        return st;
    }
    *out = s;
    return TS_OK;
}

void ts_scratch_fini(ts_scratch *s) {
    ts_qact_fini(&s->act);
    ts_big_free(&s->mem);
    ts_free(s->thread);
    *s = (ts_scratch){0};
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* A number that is infinite or none does not always stay visible: quantised activations make 0 of a NaN, and a mean
 * of squares that overflows makes 0 of everything. So each step looks at what it is about to lose. The earliest
 * place is kept: layer, then the order of these, then position. */
enum fault {
    FAULT_HEAD,      /* squares of a head's query or key overflow before its norm */
    FAULT_CACHE,     /* a key or value is not finite */
    FAULT_F16,       /* a key or value is finite, but not as an F16 */
    FAULT_ATTENTION, /* attention's output is not finite */
    FAULT_NORM,      /* squares of the residual stream overflow */
    FAULT_FFN,       /* the feed-forward network's products are not finite */
};
static const float F16_LIMIT = 0x1.ffdffep+15f; /* the largest f32 that rounds to a finite F16, 65504 */

static const ts_att_span *span_of(const ts_batch *b, size_t t) {
    const ts_att_span *span = b->span;
    while (t >= (size_t)span->first + span->n) span++;
    return span;
}

static void note_fault(ts_pass *p, enum fault kind, size_t t) {
    uint64_t now = (uint64_t)p->layer << 40 | (uint64_t)kind << 32 | (uint32_t)t, was = atomic_load(&p->fault);
    while (now < was && !atomic_compare_exchange_weak(&p->fault, &was, now)) continue;
}

static ts_status fail_fault(const ts_pass *p, ts_err *err) {
    static const char *const what[] = {
        [FAULT_HEAD] = "the sum of squares of a query or key overflows",
        [FAULT_NORM] = "the sum of squares of the activations overflows",
        [FAULT_CACHE] = "a key or value is not finite",
        [FAULT_F16] = "a key or value is larger than an F16 KV cache can hold (65504); use --kv f32",
        [FAULT_ATTENTION] = "the output of attention is not finite",
        [FAULT_FFN] = "the feed-forward network's products are not finite",
    };
    uint64_t f = atomic_load(&p->fault);
    enum fault kind = (enum fault)(f >> 32 & 255);
    const ts_att_span *span = span_of(p->batch, (uint32_t)f);
    p->s->culprit = (uint32_t)(span - p->batch->span);
    return ts_fail(err, kind == FAULT_F16 ? TS_E_UNSUPP : TS_E_FORMAT, "%s: layer %" PRIu64 ", position %u: %s%s",
                   p->m->src->name, f >> 40, span->pos0 + (uint32_t)f - span->first, what[kind],
                   kind == FAULT_F16 ? "" : "; the file's weights are damaged, or its metadata does not fit them");
}

/* Can n numbers be squared and summed in f32? Nearly always one look at their sizes tells. */
static bool squares_overflow(const float *x, uint32_t n) {
    if (!ts_beyond(x, n, 0x1p+50f)) return false; /* n is at most 2^18 (config.c) */
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return !(sum <= (double)FLT_MAX);
}

/* The time of a step, where somebody wants to know. */
static uint64_t begin_step(const ts_exec *ex) {
    return ex->listener ? ts_now_ns() : 0;
}
static void end_step(const ts_exec *ex, const char *name, uint32_t n_tok, uint64_t begin) {
    if (ex->listener) ts_tell_step(ex, name, n_tok, ts_now_ns() - begin);
}

/* The matrices of a group, each into rows of its own width: y[i] [n_tok, n_out]. */
static void linear(ts_pass *p, const ts_layer *l, ts_mat_group g, const float *x, float *const *y) {
    const ts_linear *mat[TS_GROUP_MATS];
    size_t ld[TS_GROUP_MATS];
    const int n = ts_layer_mats(l, g, mat);
    for (int i = 0; i < n; i++) ld[i] = mat[i]->n_out;
    if (p->failed == TS_OK)
        p->failed = ts_linear_run(&p->ex, mat, n, x, mat[0]->n_in, &p->s->act, p->n_tok, y, ld, p->err);
}

struct wants {
    bool block32, block256;
};

static struct wants wants_of(const ts_linear *const *consumer, int n) {
    struct wants w = {0};
    for (int i = 0; i < n; i++) {
        w.block32 |= ts_linear_wants32(consumer[i]);
        w.block256 |= ts_linear_wants256(consumer[i]);
    }
    return w;
}

static struct wants wants_of_group(const ts_layer *l, ts_mat_group g) {
    const ts_linear *mat[TS_GROUP_MATS];
    const int n = ts_layer_mats(l, g, mat);
    return wants_of(mat, n);
}

static void quantise(const ts_pass *p, struct wants w, const float *x, uint32_t K, uint32_t n_tok, uint32_t t) {
    if (w.block32) p->ex.kern->quant32(x, K, n_tok, t, &p->s->act);
    if (w.block256) p->ex.kern->quant256(x, K, n_tok, t, &p->s->act);
}

struct norm_args {
    ts_pass *p;
    const float *weight;
    const uint32_t *row; /* of task t; NULL: t */
    float *to;
    bool add;
    struct wants w;
};

static void norm_task(void *arg, size_t t, int thread) {
    const struct norm_args *a = arg;
    (void)thread;
    const ts_model_config *c = &a->p->m->c;
    ts_scratch *s = a->p->s;
    float *x = s->x + (a->row ? a->row[t] : t) * c->d_model, *norm = a->to + t * c->d_model;
    if (a->add) a->p->ex.kern->add(x, s->y + t * c->d_model, c->d_model);
    if (squares_overflow(x, c->d_model)) note_fault(a->p, FAULT_NORM, t);
    a->p->ex.kern->rmsnorm(x, a->weight, norm, c->d_model, c->norm_eps);
    quantise(a->p, a->w, norm, c->d_model, a->p->n_tok, (uint32_t)t);
}

void ts_step_norm(ts_pass *p, bool add, const float *weight, const ts_layer *l, ts_mat_group consumer) {
    struct norm_args a = {.p = p, .weight = weight, .to = p->s->norm, .add = add, .w = wants_of_group(l, consumer)};
    uint64_t begin = begin_step(&p->ex);
    ts_pool_run(p->ex.pool, p->n_tok, norm_task, &a);
    end_step(&p->ex, "norm", p->n_tok, begin);
}

static void add_task(void *arg, size_t t, int thread) {
    ts_pass *p = arg;
    (void)thread;
    uint32_t d = p->m->c.d_model;
    p->ex.kern->add(p->s->x + t * d, p->s->y + t * d, d);
}

void ts_step_add(ts_pass *p) {
    ts_pool_run(p->ex.pool, p->n_tok, add_task, p);
}

void ts_step_qkv(ts_pass *p, const ts_layer *l) {
    p->layer = (uint32_t)(l - p->m->layer);
    linear(p, l, TS_GROUP_QKV, p->s->norm, (float *const[]){p->s->q, p->s->k, p->s->v});
}

struct rope_args {
    ts_pass *p;
    uint32_t layer;
};

/* One token: q and k turned, k and v stored. */
static void rope_task(void *arg, size_t t, int thread) {
    const struct rope_args *a = arg;
    (void)thread;
    ts_pass *p = a->p;
    const ts_model *m = p->m;
    const ts_model_config *c = &m->c;
    const ts_layer *l = &m->layer[a->layer];
    const ts_kern *kern = p->ex.kern;
    const uint32_t hd = c->head_dim, pad = ts_head_pad(c);
    const ts_att_span *span = p->batch->span;
    while (t >= (size_t)span->first + span->n) span++;
    const uint32_t pos = span->pos0 + (uint32_t)t - span->first;
    const float *cs = p->s->angles + t * c->n_rot, limit = span->kv->type == TS_KV_F16 ? F16_LIMIT : FLT_MAX;
    float turned[1024];
    for (uint32_t h = 0; h < c->n_head; h++) {
        float *q = p->s->q + (t * c->n_head + h) * hd, *out = p->s->qr + (t * c->n_head + h) * pad;
        if (l->q_norm && squares_overflow(q, hd)) note_fault(p, FAULT_HEAD, t);
        if (l->q_norm) kern->rmsnorm(q, l->q_norm, q, hd, c->norm_eps);
        kern->rope(q, out, cs, c->n_rot, hd, c->rope_halves);
        for (uint32_t d = hd; d < pad; d++) out[d] = 0;
    }
    for (uint32_t h = 0; h < c->n_kv_head; h++) {
        float *k = p->s->k + (t * c->n_kv_head + h) * hd, *v = p->s->v + (t * c->n_kv_head + h) * hd;
        if (l->k_norm && squares_overflow(k, hd)) note_fault(p, FAULT_HEAD, t);
        if (l->k_norm) kern->rmsnorm(k, l->k_norm, k, hd, c->norm_eps);
        kern->rope(k, turned, cs, c->n_rot, hd, c->rope_halves);
        if (ts_beyond(turned, hd, limit) || ts_beyond(v, hd, limit))
            note_fault(p, ts_beyond(turned, hd, FLT_MAX) || ts_beyond(v, hd, FLT_MAX) ? FAULT_CACHE : FAULT_F16, t);
        ts_kv_store(span->kv, kern, a->layer, h, pos, turned, v, hd);
    }
}

struct quant_args {
    ts_pass *p;
    struct wants w;
};

/* Attention's output without the padding of heads, in s->norm, and quantised. */
static void attention_out_task(void *arg, size_t t, int thread) {
    const struct quant_args *a = arg;
    (void)thread;
    const ts_model_config *c = &a->p->m->c;
    ts_scratch *s = a->p->s;
    const uint32_t hd = c->head_dim, pad = ts_head_pad(c), K = c->n_head * hd;
    float *out = s->norm + t * K;
    for (uint32_t h = 0; h < c->n_head; h++) memcpy(out + h * hd, s->att + (t * c->n_head + h) * pad, hd * sizeof *out);
    if (ts_beyond(out, K, FLT_MAX)) note_fault(a->p, FAULT_ATTENTION, t);
    quantise(a->p, a->w, out, K, a->p->n_tok, (uint32_t)t);
}

void ts_step_attention(ts_pass *p, uint32_t layer) {
    const ts_model_config *c = &p->m->c;
    const ts_layer *l = &p->m->layer[layer];
    ts_scratch *s = p->s;
    struct rope_args ra = {p, layer};
    uint64_t begin = begin_step(&p->ex);
    ts_pool_run(p->ex.pool, p->n_tok, rope_task, &ra);
    end_step(&p->ex, "rope", p->n_tok, begin);
    begin = begin_step(&p->ex);
    ts_attention(&p->ex, c, layer, p->batch->span, p->batch->n_span, s->qr, s->att, c->att_scale, s->thread);
    struct quant_args qa = {p, wants_of_group(l, TS_GROUP_O)};
    ts_pool_run(p->ex.pool, p->n_tok, attention_out_task, &qa);
    end_step(&p->ex, "attention", p->n_tok, begin);
    linear(p, l, TS_GROUP_O, s->norm, &s->y);
}

static void silu_task(void *arg, size_t t, int thread) {
    const struct quant_args *a = arg;
    (void)thread;
    const uint32_t n = a->p->m->c.d_ff;
    float *gate = a->p->s->gate + t * n;
    a->p->ex.kern->silu_mul(gate, a->p->s->up + t * n, gate, n);
    if (ts_beyond(gate, n, FLT_MAX)) note_fault(a->p, FAULT_FFN, t);
    quantise(a->p, a->w, gate, n, a->p->n_tok, (uint32_t)t);
}

void ts_step_ffn(ts_pass *p, const ts_layer *l) {
    ts_scratch *s = p->s;
    linear(p, l, TS_GROUP_FFN, s->norm, (float *const[]){s->gate, s->up});
    struct quant_args qa = {p, wants_of_group(l, TS_GROUP_DOWN)};
    uint64_t begin = begin_step(&p->ex);
    ts_pool_run(p->ex.pool, p->n_tok, silu_task, &qa);
    end_step(&p->ex, "silu", p->n_tok, begin);
    linear(p, l, TS_GROUP_DOWN, s->gate, &s->y);
}

bool ts_pass_cancelled(const ts_pass *p) {
    return p->failed != TS_OK || atomic_load(&p->fault) != UINT64_MAX ||
           (p->batch->cancelled && p->batch->cancelled(p->batch->ud));
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

/* A token's embedding and its angles. */
static void embed_task(void *arg, size_t t, int thread) {
    const ts_pass *p = arg;
    (void)thread;
    const ts_model *m = p->m;
    const uint32_t d = m->c.d_model;
    const size_t row = ts_dtype_row_bytes(m->embed->type, d);
    ts_dequant(m->embed->type, (const char *)m->embed->data + (size_t)p->batch->id[t] * row, p->s->x + t * d, d);
    const ts_att_span *span = p->batch->span;
    while (t >= (size_t)span->first + span->n) span++;
    ts_rope_angles(&m->rope, span->pos0 + (uint32_t)t - span->first, p->s->angles + t * m->c.n_rot);
}

ts_status ts_forward(const ts_model *m, ts_exec ex, ts_scratch *s, const ts_batch *b, ts_err *err) {
    assert(b->n_tok >= 1 && b->n_tok <= s->max_tok);
    s->culprit = UINT32_MAX;
    ts_pass p = {.m = m, .ex = ex, .s = s, .batch = b, .n_tok = b->n_tok, .fault = UINT64_MAX, .err = err};
    uint64_t begin = begin_step(&ex);
    ts_pool_run(ex.pool, p.n_tok, embed_task, &p);
    end_step(&ex, "embedding", p.n_tok, begin);
    ts_status st = m->arch->forward(&p);
    if (p.failed != TS_OK) return p.failed;
    if (atomic_load(&p.fault) != UINT64_MAX) return fail_fault(&p, err);
    return st == TS_E_CANCELLED ? ts_fail(err, st, "stopped") : st;
}

/* Behind the last layer: the norm of n rows of the residual stream into `to` [n, d_model], and its quantised forms. */
static ts_status out_norm(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n, struct wants w,
                          float *to, ts_err *err) {
    assert(n <= s->max_tok);
    ts_pass p = {.m = m, .ex = ex, .s = s, .n_tok = n, .layer = m->c.n_layer - 1, .fault = UINT64_MAX};
    struct norm_args a = {.p = &p, .weight = m->out_norm, .row = row, .to = to, .w = w};
    uint64_t begin = begin_step(&ex);
    ts_pool_run(ex.pool, n, norm_task, &a);
    end_step(&ex, "norm", n, begin);
    if (atomic_load(&p.fault) == UINT64_MAX) return TS_OK;
    return ts_fail(err, TS_E_FORMAT,
                   "%s: behind the last layer the sum of squares of the activations overflows; the file's weights are "
                   "damaged, or its metadata does not fit them",
                   m->src->name);
}

/* Of n rows of x [n, d_model], whose quantised forms are in s->act. */
static ts_status head_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const float *x, uint32_t n, float *out,
                             ts_err *err) {
    const ts_linear *const head[] = {m->head};
    float *const y[] = {out};
    const size_t ld[] = {m->c.n_vocab};
    TS_TRY(ts_linear_run(&ex, head, 1, x, m->c.d_model, &s->act, n, y, ld, err));
    for (uint32_t i = 0; i < n; i++)
        if (ts_beyond(out + (size_t)i * m->c.n_vocab, m->c.n_vocab, FLT_MAX))
            return ts_fail(
                err, TS_E_FORMAT,
                "%s: the logits are not finite; the file's weights are damaged, or its metadata does not fit them",
                m->src->name);
    return TS_OK;
}

ts_status ts_forward_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n, float *out,
                            ts_err *err) {
    const ts_linear *const head[] = {m->head};
    TS_TRY(out_norm(m, ex, s, row, n, wants_of(head, 1), s->norm, err));
    return head_logits(m, ex, s, s->norm, n, out, err);
}

ts_status ts_forward_hidden(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n, float *out,
                            ts_err *err) {
    return out_norm(m, ex, s, row, n, (struct wants){0}, out, err);
}

struct hidden_args {
    const ts_pass *p;
    const float *x;
    struct wants w;
};

static void hidden_task(void *arg, size_t t, int thread) {
    const struct hidden_args *a = arg;
    (void)thread;
    const uint32_t d = a->p->m->c.d_model;
    quantise(a->p, a->w, a->x + t * d, d, a->p->n_tok, (uint32_t)t);
}

ts_status ts_hidden_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const float *hidden, uint32_t n, float *out,
                           ts_err *err) {
    assert(n <= s->max_tok);
    const ts_linear *const head[] = {m->head};
    const ts_pass p = {.m = m, .ex = ex, .s = s, .n_tok = n};
    struct hidden_args a = {&p, hidden, wants_of(head, 1)};
    uint64_t begin = begin_step(&ex);
    ts_pool_run(ex.pool, n, hidden_task, &a);
    end_step(&ex, "norm", n, begin);
    return head_logits(m, ex, s, hidden, n, out, err);
}
