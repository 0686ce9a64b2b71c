/* model.h - a loaded model and its forward pass. */
#ifndef TS_MODEL_MODEL_H
#define TS_MODEL_MODEL_H

#include "base/arena.h"
#include "model/attention.h"
#include "model/config.h"
#include "model/kv.h"
#include "model/linear.h"
#include "model/rope.h"
#include "source/source.h"

typedef struct ts_model ts_model;
typedef struct ts_pass ts_pass;

/* A family of models, a row in a file arch_<family>.c. */
typedef struct ts_arch {
    const char *name;     /* as sources call it: GGUF's general.architecture */
    bool head_norms;      /* q and k of every head are normed */
    unsigned need_biases; /* a set of roles (1u << role): matrices that must have a bias; any may */
    /* The layers, in order, on p->x. Stops early with TS_E_CANCELLED. */
    ts_status (*forward)(ts_pass *p);
} ts_arch;
extern const ts_arch ts_arch_llama, ts_arch_qwen2, ts_arch_qwen3;

/* Its matrices stand in the order in which a token needs them; which of them have the same input says ts_layer_group
 * (source/role.h). Whoever loads, counts, packs or places them loops over `mat`. */
typedef struct ts_layer {
    const float *attn_norm, *ffn_norm; /* [d_model] */
    const float *q_norm, *k_norm;      /* [head_dim], NULL: none */
    ts_linear *mat;                    /* [TS_LAYER_MATS] by role */
} ts_layer;

struct ts_model {
    ts_source *src; /* borrowed */
    const struct ts_step_dev *steps; /* who computes: the CPU, unless it is changed before the weights are loaded */
    const ts_arch *arch;
    ts_model_config c;
    ts_rope rope;
    const ts_tensor *embed; /* [n_vocab] rows of d_model */
    const void *embed_rows; /* they: in the source, or made; set by ts_model_pack */
    const float *out_norm;  /* [d_model] */
    ts_linear *head;        /* d_model -> n_vocab; the embedding again where the source has no output tensor */
    ts_layer *layer;        /* [n_layer] */
    ts_linear *linear;      /* [n_linear] all layers' matrices in order, then the head */
    size_t n_linear;
    ts_widths width;        /* of the matrices in a layer */
    ts_big packed;          /* all packed weights */
    void *on_steps;         /* what the device of the steps keeps with the model */
    ts_arena arena;
};

typedef struct ts_load_progress {
    /* Called now and then with bytes done of all; false stops the load with TS_E_CANCELLED. NULL: nobody listens. */
    bool (*fn)(void *ud, size_t done, size_t all);
    void *ud;
} ts_load_progress;

/* Recognise the family, check every tensor's presence and shape, refuse what would be left out, then pack the
 * weights, all of which must be finite. `src` must outlive the model.
 * Errors: TS_E_UNSUPP naming the architecture or tensor type, TS_E_FORMAT, TS_E_NOMEM with the bytes wanted and
 * there. */
TS_NODISCARD ts_status ts_model_open(ts_model **out, ts_source *src, ts_pool *pool, ts_load_progress progress,
                                     ts_err *err);
/* The same in two steps: everything but packing; then packing what the CPU has. */
TS_NODISCARD ts_status ts_model_describe(ts_model **out, ts_source *src, ts_err *err);
/* The same, but without refusing tensors that are left over and keys that are not followed: to look at a file, not
 * to run it. */
TS_NODISCARD ts_status ts_model_survey(ts_model **out, ts_source *src, ts_err *err);
TS_NODISCARD ts_status ts_model_pack(ts_model *m, ts_pool *pool, ts_load_progress progress, ts_err *err);
void ts_model_close(ts_model *m); /* NULL-safe */

/* A family by its name; NULL: ts_model_open does not take it. */
const ts_arch *ts_arch_find(const char *name, size_t len);

/* The bytes read from memory for one token: packed and float weights, the head included, the embedding table not. */
size_t ts_model_token_bytes(const ts_model *m);
/* Multiply-accumulates of the linear layers for one token; of the head apart. */
uint64_t ts_model_layer_macs(const ts_model *m);
uint64_t ts_model_head_macs(const ts_model *m);

/* The layer's vector of that role; NULL: it has none. */
static inline const float *ts_layer_vec(const ts_layer *l, ts_role r) {
    const float *const vec[] = {l->attn_norm, l->ffn_norm, l->q_norm, l->k_norm};
    return vec[r - TS_LAYER_MATS];
}

/* The matrices of a layer that have the same input, as ts_linear_run takes them; returns how many. */
int ts_layer_mats(const ts_layer *l, ts_mat_group g, const ts_linear *out[TS_GROUP_MATS]);

#endif
