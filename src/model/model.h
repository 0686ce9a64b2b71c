/* model.h - a loaded model and its forward pass. Depends on: config.h, rope.h, linear.h, kv.h, attention.h. */
#ifndef TS_MODEL_MODEL_H
#define TS_MODEL_MODEL_H

#include "base/arena.h"
#include "model/attention.h"
#include "model/config.h"
#include "model/kv.h"
#include "model/linear.h"
#include "model/rope.h"

typedef struct ts_model ts_model;
typedef struct ts_pass ts_pass;

/* A family of models: one file arch_<family>.c. */
typedef struct ts_arch {
    const char *const *names; /* values of general.architecture, ended by NULL */
    /* What a layer consists of, beside what ts_model_open reads for every family. */
    ts_status (*load_layer)(ts_model *m, uint32_t layer, ts_err *err);
    /* The layers, in order, on p->x. Stops early with TS_E_CANCELLED. */
    ts_status (*forward)(ts_pass *p);
    bool rope_halves; /* pairs (i, i + n/2) instead of (2i, 2i + 1) */
} ts_arch;
extern const ts_arch ts_arch_llama, ts_arch_qwen;

typedef struct ts_layer {
    const float *attn_norm, *ffn_norm; /* [d_model] */
    const float *q_norm, *k_norm;      /* [head_dim], NULL: none */
    ts_linear q, k, v;                 /* d_model -> n_head * head_dim, n_kv_head * head_dim (twice) */
    ts_linear o;                       /* n_head * head_dim -> d_model */
    ts_linear gate, up, down;          /* d_model -> d_ff (twice), d_ff -> d_model */
} ts_layer;

struct ts_model {
    const ts_gguf *file; /* borrowed */
    const ts_arch *arch;
    ts_model_config c;
    ts_rope rope;
    const ts_tensor *embed; /* [n_vocab] rows of d_model, read from the file */
    const float *out_norm;  /* [d_model] */
    ts_linear head;         /* d_model -> n_vocab; the embedding again where the file has no output tensor */
    ts_layer *layer;        /* [n_layer] */
    bool *used;             /* [tensors of the file] */
    ts_big packed;          /* all packed weights */
    ts_arena arena;
};

typedef struct ts_load_progress {
    /* Called now and then with bytes done of all; false stops the load with TS_E_CANCELLED. NULL: nobody listens. */
    bool (*fn)(void *ud, size_t done, size_t all);
    void *ud;
} ts_load_progress;

/* Recognise the family, check every tensor's presence and shape, refuse what would be left out (leftover.h), then
 * pack the weights, all of which must be finite. `g` must outlive the model.
 * Errors: TS_E_UNSUPP naming the architecture or tensor type, TS_E_FORMAT, TS_E_NOMEM with the bytes wanted and
 * there. */
TS_NODISCARD ts_status ts_model_open(ts_model **out, const ts_gguf *g, ts_pool *pool, ts_load_progress progress,
                                     ts_err *err);
/* The same in two steps: everything but packing; then packing what is not `elsewhere`. */
TS_NODISCARD ts_status ts_model_describe(ts_model **out, const ts_gguf *g, ts_err *err);
/* The same, but without refusing tensors that are left over and keys that are not followed: to look at a file, not
 * to run it. */
TS_NODISCARD ts_status ts_model_survey(ts_model **out, const ts_gguf *g, ts_err *err);
/* The tensors that no layer has asked for, one at a time: *i is 0 at first. NULL: no more. */
const ts_tensor *ts_model_unused(const ts_model *m, size_t *i);
TS_NODISCARD ts_status ts_model_pack(ts_model *m, ts_pool *pool, ts_load_progress progress, ts_err *err);
void ts_model_close(ts_model *m); /* NULL-safe */

/* Is general.architecture something that ts_model_open takes? */
const ts_arch *ts_arch_find(const char *name, size_t len);

/* Bytes that packing takes, without doing it, and the bytes read from memory for one token (packed and float weights,
 * the head included, the embedding table not). */
size_t ts_model_token_bytes(const ts_model *m);
/* Multiply-accumulates of the linear layers for one token; of the head apart. */
uint64_t ts_model_layer_macs(const ts_model *m);
uint64_t ts_model_head_macs(const ts_model *m);

/* For load_layer: "blk.<layer>.<name>" as a linear layer n_in -> n_out (with "<...>.bias" where the file has one). */
TS_NODISCARD ts_status ts_model_linear(ts_model *m, ts_linear *l, int layer, const char *name, uint32_t n_in,
                                       uint32_t n_out, ts_err *err);
/* The same for a vector of n floats; *out stays NULL when it is absent and not required. */
TS_NODISCARD ts_status ts_model_vector(ts_model *m, const float **out, int layer, const char *name, uint32_t n,
                                       bool required, ts_err *err);
/* What most families have: norms, q k v o, gate up down. */
TS_NODISCARD ts_status ts_model_load_common(ts_model *m, uint32_t layer, ts_err *err);

#endif
