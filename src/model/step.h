/* step.h - the steps that families are written in (arch_*.c), as a table that a device fills: the interface of whoever
 * runs whole layers.
 *
 * A step takes its input from the memory of the pass and leaves its result there; what the memory looks like is the
 * device's affair, and nothing of it is read by others. Steps come in order; a device may run behind, up to `end`. The
 * results are those of docs/numerics.md, bit for bit. (A device for single linear layers, whose results the CPU goes on
 * with, is linear_dev.h.) */
#ifndef TS_MODEL_STEP_H
#define TS_MODEL_STEP_H

#include "model/model.h"

/* T = p->n_tok tokens, d = d_model, H heads and G KV heads of h elements, f = d_ff. */
typedef struct ts_step_dev {
    const char *name;

    /* Make the weights ready, once, before any pass. Errors: TS_E_NOMEM; TS_E_FORMAT: not finite; TS_E_CANCELLED. */
    ts_status (*load)(ts_model *m, ts_pool *pool, ts_load_progress progress, ts_err *err);
    void (*unload)(ts_model *m); /* also after a load that failed, or none */
    /* Memory of passes of up to max_tok tokens. */
    ts_status (*scratch_new)(const ts_model *m, uint32_t max_tok, int n_threads, void **out, ts_err *err);
    void (*scratch_free)(void *own); /* NULL-safe */
    /* Where pages of KV caches come from; the host reads and copies them too (fork, save). */
    const ts_kv_mem *kv;

    /* x [T, d] = embeddings of the batch's tokens; what else depends on tokens and positions alone. */
    void (*embed)(ts_pass *p);
    /* With `add` x += y first. norm [T, d] = rmsnorm(x, the layer's vector of that role), ready for the group. */
    void (*norm)(ts_pass *p, bool add, ts_role weight, const ts_layer *l, ts_mat_group consumer);
    /* q [T, H h], k and v [T, G h] = the layer's matrices times norm */
    void (*qkv)(ts_pass *p, const ts_layer *l);
    /* q and k normed by head where the layer has such norms, and turned; keys and values into the cache; attention;
     * y [T, d] = the output matrix times its result */
    void (*attention)(ts_pass *p, const ts_layer *l);
    /* y [T, d] = down(silu(gate(norm)) * up(norm)) */
    void (*ffn)(ts_pass *p, const ts_layer *l);
    /* x += y, after the last layer */
    void (*add)(ts_pass *p);
    /* All steps so far have been done, their faults noted. NULL: they always are. */
    void (*end)(ts_pass *p);
    /* Of T rows of x (p->n_tok; numbers `row`) of the pass before: the last norm, into `out` on the host [T, d], or,
     * with `out` NULL, kept for `head`. */
    void (*out_norm)(ts_pass *p, const uint32_t *row, float *out);
    /* Logits of what out_norm has kept, or of T rows on the host: out [T, n_vocab] on the host. */
    void (*head)(ts_pass *p, const float *hidden, float *out);
} ts_step_dev;
extern const ts_step_dev ts_step_cpu;

/* Memory of passes: made once, used for every pass. */
typedef struct ts_scratch {
    const ts_step_dev *dev;
    uint32_t max_tok;
    uint32_t culprit; /* the span whose numbers ended the last ts_forward; UINT32_MAX: no one's */
    void *own;        /* the device's */
} ts_scratch;

/* What to compute. */
typedef struct ts_batch {
    uint32_t n_tok;        /* 1 .. max_tok */
    const int32_t *id;     /* [n_tok], each in [0, n_vocab) */
    const ts_att_span *span; /* cover the tokens in order; their positions are reserved (ts_kv_reserve) */
    uint32_t n_span;
    bool (*cancelled)(void *ud); /* asked between layers; NULL: never */
    void *ud;
} ts_batch;

struct ts_pass {
    const ts_model *m;
    ts_exec ex;
    ts_scratch *s;
    const ts_batch *batch;
    uint32_t n_tok;
    ts_status failed; /* of a device, with *err: the steps that follow may do nothing */
    uint32_t layer;   /* that we are in */
    _Atomic uint64_t fault; /* see ts_pass_fault; UINT64_MAX: none */
    ts_err *err;
};

/* A number that is infinite or none does not always stay visible: quantised activations make 0 of a NaN, and a mean
 * of squares that overflows makes 0 of everything. So each step looks at what it is about to lose. */
typedef enum ts_fault {
    TS_FAULT_HEAD,      /* squares of a head's query or key overflow before its norm */
    TS_FAULT_CACHE,     /* a key or value is not finite */
    TS_FAULT_QUERY,     /* a query is not finite, and would be rounded to something that is */
    TS_FAULT_F16,       /* a key or value is finite, but not as an F16 */
    TS_FAULT_Q8,        /* a key or value is finite, but its block's scale is not as an F16 */
    TS_FAULT_ATTENTION, /* attention's output is not finite */
    TS_FAULT_NORM,      /* squares of the residual stream overflow */
    TS_FAULT_FFN,       /* the feed-forward network's products are not finite */
} ts_fault;
/* Row t has it. The earliest place is kept: layer, then the order above, then row. Any thread. A device that runs
 * behind leaves out the layers behind one with a fault: what comes of it is no fault of theirs. */
void ts_pass_fault(ts_pass *p, ts_fault kind, size_t t);
/* The timeline that row t belongs to. */
static inline const ts_att_span *ts_span_of(const ts_batch *b, size_t t) {
    const ts_att_span *span = b->span;
    while (t >= (size_t)span->first + span->n) span++;
    return span;
}

/* ---- for arch_*.c ------------------------------------------------------------------------------------------------ */

static inline void ts_step_norm(ts_pass *p, bool add, ts_role weight, const ts_layer *l, ts_mat_group consumer) {
    p->s->dev->norm(p, add, weight, l, consumer);
}
static inline void ts_step_qkv(ts_pass *p, const ts_layer *l) {
    p->layer = (uint32_t)(l - p->m->layer);
    p->s->dev->qkv(p, l);
}
static inline void ts_step_attention(ts_pass *p, const ts_layer *l) {
    p->s->dev->attention(p, l);
}
static inline void ts_step_ffn(ts_pass *p, const ts_layer *l) {
    p->s->dev->ffn(p, l);
}
static inline void ts_step_add(ts_pass *p) {
    p->s->dev->add(p);
}
/* Has the batch's owner asked to stop, or is the pass lost? */
bool ts_pass_cancelled(const ts_pass *p);
/* All of it, for every family with Llama's layer (arch_llama.c). */
ts_status ts_llama_forward(ts_pass *p);

#endif
