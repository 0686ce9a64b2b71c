#include "model/pass.h"
#include "model/finite.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <stdatomic.h>

ts_status ts_scratch_init(ts_scratch *out, const ts_model *m, uint32_t max_tok, int n_threads, ts_err *err) {
    ts_scratch s = {.dev = m->steps, .max_tok = max_tok};
    TS_TRY(s.dev->scratch_new(m, max_tok, n_threads, &s.own, err));
    *out = s;
    return TS_OK;
}

void ts_scratch_fini(ts_scratch *s) {
    if (s->dev) s->dev->scratch_free(s->own);
    *s = (ts_scratch){0};
}

/* ---- what can go wrong ------------------------------------------------------------------------------------------- */

void ts_pass_fault(ts_pass *p, ts_fault kind, size_t t) {
    uint64_t now = (uint64_t)p->layer << 40 | (uint64_t)kind << 32 | (uint32_t)t, was = atomic_load(&p->fault);
    while (now < was && !atomic_compare_exchange_weak(&p->fault, &was, now)) continue;
}

static bool faulty(const ts_pass *p) {
    return atomic_load(&p->fault) != UINT64_MAX;
}

bool ts_pass_cancelled(const ts_pass *p) {
    return p->failed != TS_OK || faulty(p) || (p->batch->cancelled && p->batch->cancelled(p->batch->ud));
}

static ts_status fail_fault(const ts_pass *p, ts_err *err) {
    static const char *const what[] = {
        [TS_FAULT_HEAD] = "the sum of squares of a query or key overflows",
        [TS_FAULT_NORM] = "the sum of squares of the activations overflows",
        [TS_FAULT_CACHE] = "a key or value is not finite",
        [TS_FAULT_QUERY] = "a query is not finite",
        [TS_FAULT_F16] = "a key or value is larger than an F16 KV cache can hold (65504); use --kv f32",
        [TS_FAULT_Q8] = "a key or value is larger than a Q8_0 KV cache can hold (8319008); use --kv f32",
        [TS_FAULT_ATTENTION] = "the output of attention is not finite",
        [TS_FAULT_FFN] = "the feed-forward network's products are not finite",
    };
    uint64_t f = atomic_load(&p->fault);
    ts_fault kind = (ts_fault)(f >> 32 & 255);
    const ts_att_span *span = ts_span_of(p->batch, (uint32_t)f);
    p->s->culprit = (uint32_t)(span - p->batch->span);
    const bool too_large = kind == TS_FAULT_F16 || kind == TS_FAULT_Q8;
    return ts_fail(err, too_large ? TS_E_UNSUPP : TS_E_FORMAT, "%s: layer %" PRIu64 ", position %u: %s%s",
                   p->m->src->name, f >> 40, span->pos0 + (uint32_t)f - span->first, what[kind],
                   too_large ? "" : "; the file's weights are damaged, or its metadata does not fit them");
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

static void end(ts_pass *p) {
    if (p->s->dev->end) p->s->dev->end(p);
}

ts_status ts_forward(const ts_model *m, ts_exec ex, ts_scratch *s, const ts_batch *b, ts_err *err) {
    assert(b->n_tok >= 1 && b->n_tok <= s->max_tok);
    s->culprit = UINT32_MAX;
    ts_pass p = {.m = m, .ex = ex, .s = s, .batch = b, .n_tok = b->n_tok, .fault = UINT64_MAX, .err = err};
    s->dev->embed(&p);
    ts_status st = m->arch->forward(&p);
    end(&p);
    if (p.failed != TS_OK) return p.failed;
    if (faulty(&p)) return fail_fault(&p, err);
    return st == TS_E_CANCELLED ? ts_fail(err, st, "stopped") : st;
}

/* Behind the layers, about n rows. */
static ts_pass behind(const ts_model *m, ts_exec ex, ts_scratch *s, uint32_t n, ts_err *err) {
    assert(n <= s->max_tok);
    return (ts_pass){.m = m, .ex = ex, .s = s, .n_tok = n, .layer = m->c.n_layer - 1, .fault = UINT64_MAX, .err = err};
}

static ts_status out_norm(ts_pass *p, const uint32_t *row, float *out) {
    p->s->dev->out_norm(p, row, out);
    end(p);
    if (p->failed != TS_OK) return p->failed;
    if (!faulty(p)) return TS_OK;
    return ts_fail(p->err, TS_E_FORMAT,
                   "%s: behind the last layer the sum of squares of the activations overflows; the file's weights are "
                   "damaged, or its metadata does not fit them",
                   p->m->src->name);
}

static ts_status head(ts_pass *p, const float *hidden, float *out) {
    const size_t n_vocab = p->m->c.n_vocab;
    p->s->dev->head(p, hidden, out);
    end(p);
    if (p->failed != TS_OK) return p->failed;
    for (uint32_t i = 0; i < p->n_tok; i++)
        if (ts_beyond(out + i * n_vocab, n_vocab, FLT_MAX))
            return ts_fail(
                p->err, TS_E_FORMAT,
                "%s: the logits are not finite; the file's weights are damaged, or its metadata does not fit them",
                p->m->src->name);
    return TS_OK;
}

ts_status ts_forward_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n, float *out,
                            ts_err *err) {
    ts_pass p = behind(m, ex, s, n, err);
    TS_TRY(out_norm(&p, row, NULL));
    return head(&p, NULL, out);
}

ts_status ts_forward_hidden(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n, float *out,
                            ts_err *err) {
    ts_pass p = behind(m, ex, s, n, err);
    return out_norm(&p, row, out);
}

ts_status ts_hidden_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const float *hidden, uint32_t n, float *out,
                           ts_err *err) {
    ts_pass p = behind(m, ex, s, n, err);
    return head(&p, hidden, out);
}
