#include "support/toy_steps.h"

#include "format/quant.h"
#include "model/finite.h"

#include <float.h>
#include <string.h>

toy_count toy_counts;

/* A step that waits. */
typedef struct step {
    enum kind { EMBED, NORM, QKV, ATTENTION, FFN, ADD, OUT_NORM, HEAD } kind;
    const ts_layer *l;
    uint32_t layer;
    bool add;
    ts_role weight;
    ts_mat_group consumer;
    const uint32_t *row;
    const float *hidden;
    float *out;
} step;

enum { MAX_STEPS = 8192, MAX_HEAD = 1024 };

/* What it remembers of one token. */
typedef struct token {
    float *x, *norm, *y, *q, *k, *v, *turned, *att, *gate, *up, *angles;
} token;

typedef struct memory {
    uint32_t max_tok;
    token *tok; /* [max_tok] */
    float *floats;
    ts_qact act; /* of one token */
    float *att;
    ts_pool *pool; /* of one thread */
    step waiting[MAX_STEPS];
    int n;
} memory;

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void scratch_free(void *own) {
    memory *m = own;
    if (!m) return;
    ts_pool_free(m->pool);
    ts_qact_fini(&m->act);
    ts_free(m->tok);
    ts_free(m->floats);
    ts_free(m);
    toy_counts.scratches--;
}

static float *take(float **at, size_t n) {
    float *p = *at;
    if (p) *at += (n + 15) / 16 * 16;
    return p;
}

/* How many floats all tokens take, with `at` NULL; otherwise they are handed out. */
static size_t lay_out(memory *m, const ts_model_config *c, float *at) {
    float *const first = at;
    const size_t hd = ts_head_pad(c), d_q = (size_t)c->n_head * c->head_dim, d_kv = (size_t)c->n_kv_head * c->head_dim,
                 wide = (c->d_model > d_q ? c->d_model : d_q) + 16, att = ts_att_scratch_bytes(c, 1) / sizeof *at;
    if (!at)
        return m->max_tok *
                   (3 * wide + d_q + 2 * d_kv + 2 * c->n_head * hd + 2 * (size_t)c->d_ff + c->n_rot + 11 * 16) +
               att;
    for (uint32_t t = 0; t < m->max_tok; t++)
        m->tok[t] = (token){take(&at, wide), take(&at, wide), take(&at, wide), take(&at, d_q), take(&at, d_kv),
                            take(&at, d_kv), take(&at, c->n_head * hd), take(&at, c->n_head * hd), take(&at, c->d_ff),
                            take(&at, c->d_ff), take(&at, c->n_rot)};
    m->att = take(&at, att);
    return (size_t)(at - first);
}

static ts_status scratch_new(const ts_model *model, uint32_t max_tok, int n_threads, void **out, ts_err *err) {
    const ts_model_config *c = &model->c;
    const uint32_t d_q = c->n_head * c->head_dim, wide = c->d_model > c->d_ff ? c->d_model : c->d_ff;
    memory *m = ts_calloc(1, sizeof *m);
    (void)n_threads;
    if (!m) return ts_fail_nomem(err, "the toy's memory", sizeof *m);
    toy_counts.scratches++;
    m->max_tok = max_tok;
    m->tok = ts_calloc(max_tok, sizeof *m->tok);
    const size_t n = lay_out(m, c, NULL);
    m->floats = ts_alloc_aligned(n, sizeof *m->floats);
    ts_status s = m->tok && m->floats ? TS_OK : ts_fail_nomem(err, "the toy's memory", n);
    if (s == TS_OK) lay_out(m, c, m->floats);
    if (s == TS_OK) s = ts_qact_init(&m->act, wide > d_q ? wide : d_q, 1, err);
    if (s == TS_OK) s = ts_pool_new(&m->pool, 1, err);
    if (s == TS_OK) *out = m;
    else scratch_free(m);
    return s;
}

static ts_status load(ts_model *m, ts_pool *pool, ts_load_progress progress, ts_err *err) {
    m->on_steps = &toy_counts;
    toy_counts.models++;
    return ts_model_pack(m, pool, progress, err);
}

static void unload(ts_model *m) {
    ts_big_free(&m->packed);
    if (m->on_steps) toy_counts.models--;
}

static ts_status page_new(size_t bytes, ts_big *out, ts_err *err) {
    TS_TRY(ts_big_alloc(out, bytes, false, "the toy's page", err));
    toy_counts.pages++;
    return TS_OK;
}

static void page_free(ts_big *page) {
    ts_big_free(page);
    toy_counts.pages--;
}

static const ts_kv_mem kv_mem = {.page_new = page_new, .page_free = page_free};

/* ---- one token --------------------------------------------------------------------------------------------------- */

static memory *of(const ts_pass *p) {
    return p->s->own;
}

/* What the token is multiplied with, and how. */
static void multiply(ts_pass *p, const ts_linear *mat, const float *x, float *y) {
    const ts_exec ex = {.pool = of(p)->pool, .kern = p->ex.kern};
    const size_t ld = mat->n_out;
    if (ts_linear_wants32(mat)) ex.kern->quant32(x, mat->n_in, 1, 0, &of(p)->act);
    if (ts_linear_wants256(mat)) ex.kern->quant256(x, mat->n_in, 1, 0, &of(p)->act);
    ts_linear_run_cpu(&ex, &mat, 1, x, mat->n_in, &of(p)->act, 1, &y, &ld);
}

static bool overflows(const float *x, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return !(sum <= (double)FLT_MAX);
}

static void embed_one(const ts_pass *p, uint32_t t, const token *k) {
    const ts_model *m = p->m;
    const ts_att_span *span = ts_span_of(p->batch, t);
    const size_t row = ts_dtype_row_bytes(m->embed->type, m->c.d_model);
    ts_dequant(m->embed->type, (const char *)m->embed->data + (size_t)p->batch->id[t] * row, k->x, m->c.d_model);
    ts_rope_angles(&m->rope, span->pos0 + t - span->first, k->angles);
}

/* A head's query or key: normed where the layer does that, and turned. */
static void turn(ts_pass *p, uint32_t t, float *head, const float *weight, const float *angles, float *out) {
    const ts_model_config *c = &p->m->c;
    if (weight && overflows(head, c->head_dim)) ts_pass_fault(p, TS_FAULT_HEAD, t);
    if (weight) p->ex.kern->rmsnorm(head, weight, head, c->head_dim, c->norm_eps);
    p->ex.kern->rope(head, out, angles, c->n_rot, c->head_dim, c->rope_halves);
}

static void attend_one(ts_pass *p, const step *s, uint32_t t, const token *k) {
    const ts_exec ex = {.pool = of(p)->pool, .kern = p->ex.kern};
    const ts_model_config *c = &p->m->c;
    const uint32_t hd = c->head_dim, pad = ts_head_pad(c);
    const ts_att_span *span = ts_span_of(p->batch, t);
    const ts_att_span one = {.kv = span->kv, .first = 0, .n = 1, .pos0 = span->pos0 + t - span->first};
    const float limit = span->kv->type == TS_KV_F16 ? 0x1.ffdffep+15f : FLT_MAX;
    float key[MAX_HEAD];
    for (uint32_t h = 0; h < c->n_head; h++) {
        turn(p, t, k->q + h * hd, ts_layer_vec(s->l, TS_ROLE_Q_NORM), k->angles, k->turned + h * pad);
        for (uint32_t d = hd; d < pad; d++) k->turned[h * pad + d] = 0;
    }
    for (uint32_t h = 0; h < c->n_kv_head; h++) {
        const float *v = k->v + h * hd;
        turn(p, t, k->k + h * hd, ts_layer_vec(s->l, TS_ROLE_K_NORM), k->angles, key);
        if (ts_beyond(key, hd, FLT_MAX) || ts_beyond(v, hd, FLT_MAX)) ts_pass_fault(p, TS_FAULT_CACHE, t);
        else if (ts_beyond(key, hd, limit) || ts_beyond(v, hd, limit)) ts_pass_fault(p, TS_FAULT_F16, t);
        ts_kv_store(span->kv, ex.kern, s->layer, h, one.pos0, key, v, hd);
    }
    ts_attention(&ex, c, s->layer, &one, 1, k->turned, k->att, c->att_scale, of(p)->att);
    for (uint32_t h = 0; h < c->n_head; h++) memcpy(k->norm + h * hd, k->att + h * pad, hd * sizeof(float));
    if (ts_beyond(k->norm, c->n_head * hd, FLT_MAX)) ts_pass_fault(p, TS_FAULT_ATTENTION, t);
    multiply(p, &s->l->mat[TS_ROLE_O], k->norm, k->y);
}

static void norm_one(ts_pass *p, uint32_t t, float *x, const float *weight, float *out) {
    const ts_model_config *c = &p->m->c;
    if (overflows(x, c->d_model)) ts_pass_fault(p, TS_FAULT_NORM, t);
    p->ex.kern->rmsnorm(x, weight, out, c->d_model, c->norm_eps);
}

static void ffn_one(ts_pass *p, const step *s, uint32_t t, const token *k) {
    const uint32_t f = p->m->c.d_ff;
    multiply(p, &s->l->mat[TS_ROLE_GATE], k->norm, k->gate);
    multiply(p, &s->l->mat[TS_ROLE_UP], k->norm, k->up);
    p->ex.kern->silu_mul(k->gate, k->up, k->gate, f);
    if (ts_beyond(k->gate, f, FLT_MAX)) ts_pass_fault(p, TS_FAULT_FFN, t);
    multiply(p, &s->l->mat[TS_ROLE_DOWN], k->gate, k->y);
}

static void do_one(ts_pass *p, const step *s, uint32_t t) {
    const ts_model *m = p->m;
    const uint32_t d = m->c.d_model;
    const token *k = &of(p)->tok[t];
    switch (s->kind) {
    case EMBED: embed_one(p, t, k); break;
    case NORM:
        if (s->add) p->ex.kern->add(k->x, k->y, d);
        norm_one(p, t, k->x, ts_layer_vec(s->l, s->weight), k->norm);
        break;
    case QKV:
        multiply(p, &s->l->mat[TS_ROLE_Q], k->norm, k->q);
        multiply(p, &s->l->mat[TS_ROLE_K], k->norm, k->k);
        multiply(p, &s->l->mat[TS_ROLE_V], k->norm, k->v);
        break;
    case ATTENTION: attend_one(p, s, t, k); break;
    case FFN: ffn_one(p, s, t, k); break;
    case ADD: p->ex.kern->add(k->x, k->y, d); break;
    case OUT_NORM: norm_one(p, t, of(p)->tok[s->row[t]].x, m->out_norm, s->out ? s->out + t * d : k->norm); break;
    case HEAD: multiply(p, m->head, s->hidden ? s->hidden + t * d : k->norm, s->out + (size_t)t * m->c.n_vocab); break;
    }
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void wait_for_end(ts_pass *p, step s) {
    memory *m = of(p);
    s.layer = p->layer;
    if (m->n < MAX_STEPS) m->waiting[m->n++] = s;
    else p->failed = ts_fail(p->err, TS_E_DEVICE, "the toy can remember %d steps", MAX_STEPS);
    if (m->n > toy_counts.behind) toy_counts.behind = m->n;
}

static void embed(ts_pass *p) { wait_for_end(p, (step){.kind = EMBED}); }
static void norm(ts_pass *p, bool add, ts_role weight, const ts_layer *l, ts_mat_group consumer) {
    wait_for_end(p, (step){.kind = NORM, .l = l, .add = add, .weight = weight, .consumer = consumer});
}
static void qkv(ts_pass *p, const ts_layer *l) { wait_for_end(p, (step){.kind = QKV, .l = l}); }
static void attention(ts_pass *p, const ts_layer *l) { wait_for_end(p, (step){.kind = ATTENTION, .l = l}); }
static void ffn(ts_pass *p, const ts_layer *l) { wait_for_end(p, (step){.kind = FFN, .l = l}); }
static void add(ts_pass *p) { wait_for_end(p, (step){.kind = ADD}); }
static void out_norm(ts_pass *p, const uint32_t *row, float *out) {
    wait_for_end(p, (step){.kind = OUT_NORM, .row = row, .out = out});
}
static void head(ts_pass *p, const float *hidden, float *out) {
    wait_for_end(p, (step){.kind = HEAD, .hidden = hidden, .out = out});
}

static void end(ts_pass *p) {
    memory *m = of(p);
    const uint32_t layer = p->layer;
    for (int i = 0; i < m->n && p->failed == TS_OK; i++) {
        const bool next_layer = m->waiting[i].kind == NORM && m->waiting[i].consumer == TS_GROUP_QKV;
        if (next_layer && p->fault != UINT64_MAX) break; /* what comes of a fault is none of its own */
        p->layer = m->waiting[i].layer;
        for (uint32_t t = 0; t < p->n_tok; t++) do_one(p, &m->waiting[i], t);
        toy_counts.steps++;
    }
    p->layer = layer;
    m->n = 0;
    toy_counts.passes++;
}

const ts_step_dev toy_steps = {
    .name = "toy",
    .load = load,
    .unload = unload,
    .scratch_new = scratch_new,
    .scratch_free = scratch_free,
    .kv = &kv_mem,
    .embed = embed,
    .norm = norm,
    .qkv = qkv,
    .attention = attention,
    .ffn = ffn,
    .add = add,
    .end = end,
    .out_norm = out_norm,
    .head = head,
};
