/* step_cpu.c - the steps on the CPU: each is one parallel region over tokens, rows or heads; between steps all threads
 * meet. Linear layers may be run by others (ts_exec). */
#include "model/step.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "format/quant.h"
#include "model/finite.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* For up to max_tok tokens at a time. */
typedef struct memory {
    uint32_t max_tok;
    float *x;      /* [n_tok, d_model] the residual stream */
    float *norm;   /* [n_tok, widest input of a linear layer] */
    float *y;      /* [n_tok, d_model] what a block adds to x */
    float *q;      /* [n_tok, n_head * head_dim] */
    float *k, *v;  /* [n_tok, n_kv_head * head_dim] */
    float *qr;     /* [n_tok, n_head, head_pad] queries after rope, padded */
    float *att;    /* [n_tok, n_head, head_pad] */
    float *gate, *up; /* [n_tok, d_ff] */
    float *angles; /* [n_tok, n_rot] */
    float *sorted; /* [n_threads, widest input] one token's, for layers whose columns have another order */
    ts_qact act;
    void *att_mem;
    size_t sorted_size;
    int n_threads;
    ts_big mem;
} memory;

static memory *of(const ts_pass *p) {
    return p->s->own;
}

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

static void carve_all(struct carve *cv, memory *s, const ts_model_config *c) {
    size_t T = s->max_tok, hd = ts_head_pad(c), d_q = (size_t)c->n_head * c->head_dim,
           d_kv = (size_t)c->n_kv_head * c->head_dim;
    size_t widest = c->d_model > d_q ? c->d_model : d_q;
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
    s->sorted_size = widest > c->d_ff ? widest : c->d_ff;
    s->sorted = take(cv, (size_t)s->n_threads, s->sorted_size);
    s->att_mem = take(cv, ts_att_scratch_bytes(c, s->n_threads) / sizeof(float), 1);
}

static void scratch_free(void *own) {
    memory *s = own;
    if (!s) return;
    ts_qact_fini(&s->act);
    ts_big_free(&s->mem);
    ts_free(s);
}

/* Huge pages are asked for from here on. A single token touches little of this memory; of a small model's, which may
 * fit into one huge page, all would become resident. */
enum { HUGE_FROM = 16 << 20 };

static ts_status take_memory(memory *s, size_t bytes, ts_err *err) {
    const size_t there = ts_mem_available();
    if (there && bytes > there)
        return ts_fail(err, TS_E_NOMEM, "the passes work in %zu MiB of memory, but %zu MiB are free", bytes >> 20,
                       there >> 20);
    return ts_big_alloc(&s->mem, bytes, bytes >= HUGE_FROM, "scratch memory", err);
}

static ts_status scratch_new(const ts_model *m, uint32_t max_tok, int n_threads, void **out, ts_err *err) {
    memory *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "scratch memory", sizeof *s);
    *s = (memory){.max_tok = max_tok, .n_threads = n_threads};
    struct carve cv = {0};
    carve_all(&cv, s, &m->c);
    ts_status st = cv.overflow ? ts_fail_nomem(err, "scratch memory", SIZE_MAX) : take_memory(s, cv.used, err);
    if (st == TS_OK) {
        cv = (struct carve){.base = s->mem.ptr};
        carve_all(&cv, s, &m->c);
        uint32_t d_q = m->c.n_head * m->c.head_dim, widest = m->c.d_model > m->c.d_ff ? m->c.d_model : m->c.d_ff;
        st = ts_qact_init(&s->act, widest > d_q ? widest : d_q, max_tok, err);
    }
    if (st == TS_OK) *out = s;
    else scratch_free(s);
    return st;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

struct tokens {
    ts_pool_fn *fn;
    void *arg;
    uint32_t n;
};

static void tokens_task(void *arg, size_t task, int thread) {
    const struct tokens *a = arg;
    uint32_t t = 0, width = ts_tok_width(a->n, 0);
    for (; task; task--) t += width, width = ts_tok_width(a->n, t);
    for (uint32_t end = t + width; t < end; t++) a->fn(a->arg, t, thread);
}

/* fn(arg, t) for every token t of the pass. A block of tokens is one thread's: their quantised forms lie in the same
 * cache lines, which two threads would take from each other. */
static void run_tokens(const ts_pass *p, ts_pool_fn *fn, void *arg) {
    size_t blocks = 0;
    for (uint32_t t = 0; t < p->n_tok; t += ts_tok_width(p->n_tok, t)) blocks++;
    ts_pool_run(p->ex.pool, blocks, tokens_task, &(struct tokens){.fn = fn, .arg = arg, .n = p->n_tok});
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
        p->failed = ts_linear_run(&p->ex, mat, n, x, mat[0]->n_in, &of(p)->act, p->n_tok, y, ld, p->err);
}

struct wants {
    bool block32, block256, wide;
    const uint32_t *order; /* of the layers' columns; NULL: as inputs come */
};

static struct wants wants_of(const ts_linear *const *consumer, int n) {
    struct wants w = {0};
    for (int i = 0; i < n; i++) {
        w.block32 |= ts_linear_wants32(consumer[i]);
        w.block256 |= ts_linear_wants256(consumer[i]);
        w.wide |= ts_linear_wants_wide(consumer[i]);
        if (consumer[i]->order) w.order = consumer[i]->order; /* those of one input have the same */
    }
    return w;
}

static struct wants wants_of_group(const ts_layer *l, ts_mat_group g) {
    const ts_linear *mat[TS_GROUP_MATS];
    const int n = ts_layer_mats(l, g, mat);
    return wants_of(mat, n);
}

static void quantise(const ts_pass *p, struct wants w, const float *x, uint32_t K, uint32_t n_tok, uint32_t t,
                     int thread) {
    ts_qact act = of(p)->act;
    if (w.order) {
        float *sorted = of(p)->sorted + (size_t)thread * of(p)->sorted_size;
        for (uint32_t i = 0; i < K; i++) sorted[i] = x[w.order[i]];
        x = sorted;
    }
    if (!w.wide || !p->ex.kern->wide) act.wide32 = act.wide256 = NULL;
    if (w.block32) p->ex.kern->quant32(x, K, n_tok, t, &act);
    if (w.block256) p->ex.kern->quant256(x, K, n_tok, t, &act);
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
    const ts_model_config *c = &a->p->m->c;
    memory *s = of(a->p);
    float *x = s->x + (a->row ? a->row[t] : t) * c->d_model, *norm = a->to + t * c->d_model;
    if (a->add) a->p->ex.kern->add(x, s->y + t * c->d_model, c->d_model);
    if (squares_overflow(x, c->d_model)) ts_pass_fault(a->p, TS_FAULT_NORM, t);
    a->p->ex.kern->rmsnorm(x, a->weight, norm, c->d_model, c->norm_eps);
    quantise(a->p, a->w, norm, c->d_model, a->p->n_tok, (uint32_t)t, thread);
}

static void norm(ts_pass *p, bool add, ts_role weight, const ts_layer *l, ts_mat_group consumer) {
    struct norm_args a = {.p = p, .weight = ts_layer_vec(l, weight), .to = of(p)->norm, .add = add,
                          .w = wants_of_group(l, consumer)};
    uint64_t begin = begin_step(&p->ex);
    run_tokens(p, norm_task, &a);
    end_step(&p->ex, "norm", p->n_tok, begin);
}

static void add_task(void *arg, size_t t, int thread) {
    ts_pass *p = arg;
    (void)thread;
    uint32_t d = p->m->c.d_model;
    p->ex.kern->add(of(p)->x + t * d, of(p)->y + t * d, d);
}

static void add(ts_pass *p) {
    run_tokens(p, add_task, p);
}

static void qkv(ts_pass *p, const ts_layer *l) {
    linear(p, l, TS_GROUP_QKV, of(p)->norm, (float *const[]){of(p)->q, of(p)->k, of(p)->v});
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
    const ts_att_span *span = ts_span_of(p->batch, t);
    const uint32_t pos = span->pos0 + (uint32_t)t - span->first;
    const float *cs = of(p)->angles + t * c->n_rot, limit = ts_kv_limit(span->kv->type);
    const bool q8 = span->kv->type == TS_KV_Q8_0;
    float turned[1024];
    for (uint32_t h = 0; h < c->n_head; h++) {
        float *q = of(p)->q + (t * c->n_head + h) * hd, *out = of(p)->qr + (t * c->n_head + h) * pad;
        if (l->q_norm && squares_overflow(q, hd)) ts_pass_fault(p, TS_FAULT_HEAD, t);
        if (l->q_norm) kern->rmsnorm(q, l->q_norm, q, hd, c->norm_eps);
        kern->rope(q, out, cs, c->n_rot, hd, c->rope_halves);
        for (uint32_t d = hd; d < pad; d++) out[d] = 0;
        if (q8 && ts_beyond(out, hd, FLT_MAX)) ts_pass_fault(p, TS_FAULT_QUERY, t);
    }
    for (uint32_t h = 0; h < c->n_kv_head; h++) {
        float *k = of(p)->k + (t * c->n_kv_head + h) * hd, *v = of(p)->v + (t * c->n_kv_head + h) * hd;
        if (l->k_norm && squares_overflow(k, hd)) ts_pass_fault(p, TS_FAULT_HEAD, t);
        if (l->k_norm) kern->rmsnorm(k, l->k_norm, k, hd, c->norm_eps);
        kern->rope(k, turned, cs, c->n_rot, hd, c->rope_halves);
        if (ts_beyond(turned, hd, limit) || ts_beyond(v, hd, limit))
            ts_pass_fault(p,
                          ts_beyond(turned, hd, FLT_MAX) || ts_beyond(v, hd, FLT_MAX) ? TS_FAULT_CACHE
                          : q8                                                        ? TS_FAULT_Q8
                                                                                      : TS_FAULT_F16,
                          t);
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
    const ts_model_config *c = &a->p->m->c;
    memory *s = of(a->p);
    const uint32_t hd = c->head_dim, pad = ts_head_pad(c), K = c->n_head * hd;
    float *out = s->norm + t * K;
    for (uint32_t h = 0; h < c->n_head; h++) memcpy(out + h * hd, s->att + (t * c->n_head + h) * pad, hd * sizeof *out);
    if (ts_beyond(out, K, FLT_MAX)) ts_pass_fault(a->p, TS_FAULT_ATTENTION, t);
    quantise(a->p, a->w, out, K, a->p->n_tok, (uint32_t)t, thread);
}

static void attention(ts_pass *p, const ts_layer *l) {
    const ts_model_config *c = &p->m->c;
    const uint32_t layer = p->layer;
    memory *s = of(p);
    struct rope_args ra = {p, layer};
    uint64_t begin = begin_step(&p->ex);
    run_tokens(p, rope_task, &ra);
    end_step(&p->ex, "rope", p->n_tok, begin);
    begin = begin_step(&p->ex);
    ts_attention(&p->ex, c, layer, p->batch->span, p->batch->n_span, s->qr, s->att, c->att_scale, s->att_mem);
    struct quant_args qa = {p, wants_of_group(l, TS_GROUP_O)};
    run_tokens(p, attention_out_task, &qa);
    end_step(&p->ex, "attention", p->n_tok, begin);
    linear(p, l, TS_GROUP_O, s->norm, &s->y);
}

static void silu_task(void *arg, size_t t, int thread) {
    const struct quant_args *a = arg;
    const uint32_t n = a->p->m->c.d_ff;
    float *gate = of(a->p)->gate + t * n;
    a->p->ex.kern->silu_mul(gate, of(a->p)->up + t * n, gate, n);
    if (ts_beyond(gate, n, FLT_MAX)) ts_pass_fault(a->p, TS_FAULT_FFN, t);
    quantise(a->p, a->w, gate, n, a->p->n_tok, (uint32_t)t, thread);
}

static void ffn(ts_pass *p, const ts_layer *l) {
    memory *s = of(p);
    linear(p, l, TS_GROUP_FFN, s->norm, (float *const[]){s->gate, s->up});
    struct quant_args qa = {p, wants_of_group(l, TS_GROUP_DOWN)};
    uint64_t begin = begin_step(&p->ex);
    run_tokens(p, silu_task, &qa);
    end_step(&p->ex, "silu", p->n_tok, begin);
    linear(p, l, TS_GROUP_DOWN, s->gate, &s->y);
}

/* A token's embedding and its angles. */
static void embed_task(void *arg, size_t t, int thread) {
    const ts_pass *p = arg;
    (void)thread;
    const ts_model *m = p->m;
    const uint32_t d = m->c.d_model;
    const size_t row = ts_dtype_row_bytes(m->embed->type, d);
    ts_dequant(m->embed->type, (const char *)m->embed_rows + (size_t)p->batch->id[t] * row, of(p)->x + t * d, d);
    ts_clear_small(TS_F32, of(p)->x + t * d, d);
    const ts_att_span *span = ts_span_of(p->batch, t);
    ts_rope_angles(&m->rope, span->pos0 + (uint32_t)t - span->first, of(p)->angles + t * m->c.n_rot);
}

static void embed(ts_pass *p) {
    uint64_t begin = begin_step(&p->ex);
    run_tokens(p, embed_task, p);
    end_step(&p->ex, "embedding", p->n_tok, begin);
}

/* ---- behind the layers ------------------------------------------------------------------------------------------- */

static void out_norm(ts_pass *p, const uint32_t *row, float *out) {
    const ts_linear *const mat[] = {p->m->head};
    struct norm_args a = {.p = p, .weight = p->m->out_norm, .row = row, .to = out ? out : of(p)->norm,
                          .w = out ? (struct wants){0} : wants_of(mat, 1)};
    uint64_t begin = begin_step(&p->ex);
    run_tokens(p, norm_task, &a);
    end_step(&p->ex, "norm", p->n_tok, begin);
}

struct hidden_args {
    const ts_pass *p;
    const float *x;
    struct wants w;
};

static void hidden_task(void *arg, size_t t, int thread) {
    const struct hidden_args *a = arg;
    const uint32_t d = a->p->m->c.d_model;
    quantise(a->p, a->w, a->x + t * d, d, a->p->n_tok, (uint32_t)t, thread);
}

static void head(ts_pass *p, const float *hidden, float *out) {
    const ts_linear *const mat[] = {p->m->head};
    float *const y[] = {out};
    const size_t ld[] = {p->m->c.n_vocab};
    if (hidden) {
        struct hidden_args a = {p, hidden, wants_of(mat, 1)};
        uint64_t begin = begin_step(&p->ex);
        run_tokens(p, hidden_task, &a);
        end_step(&p->ex, "norm", p->n_tok, begin);
    }
    p->failed = ts_linear_run(&p->ex, mat, 1, hidden ? hidden : of(p)->norm, p->m->c.d_model, &of(p)->act, p->n_tok, y,
                              ld, p->err);
}

static void unload(ts_model *m) {
    ts_big_free(&m->packed);
}

const ts_step_dev ts_step_cpu = {
    .name = "cpu",
    .load = ts_model_pack,
    .unload = unload,
    .scratch_new = scratch_new,
    .scratch_free = scratch_free,
    .kv = &ts_kv_mem_host,
    .embed = embed,
    .norm = norm,
    .qkv = qkv,
    .attention = attention,
    .ffn = ffn,
    .add = add,
    .out_norm = out_norm,
    .head = head,
};
