/* plan.h - what becomes of every tensor of a model, before anything is written. */
#ifndef TS_QUANT_PLAN_H
#define TS_QUANT_PLAN_H

#include "format/imatrix.h"
#include "quant/recipe.h"
#include "source/source.h"

/* A model to be quantised, and what is to be carried over of it. */
typedef struct ts_quant_in {
    ts_source *source;
    const struct ts_gguf *gguf; /* metadata */
    struct ts_gguf *own;        /* the same, where it is not the source's */
    ts_recipe_model model;      /* without .imatrix */
} ts_quant_in;

/* A GGUF file of any family, split or not, or a Hugging Face folder. Errors: those of the format; TS_E_FORMAT where it
 * is no model. */
TS_NODISCARD ts_status ts_quant_in_open(ts_quant_in *in, const char *path, ts_err *err);
void ts_quant_in_close(ts_quant_in *in); /* also after a failed open */

/* Another type for some tensors. The pattern has * and ?; it is for names of which it matches all, or some parts
 * between dots: "attn_v", "blk.3", "blk.?.ffn_down". */
typedef struct ts_quant_rule {
    const char *pattern;
    ts_dtype type;
} ts_quant_rule;

typedef struct ts_quant_opts {
    const ts_recipe *recipe;
    const ts_imatrix *imatrix; /* NULL: none */
    const char *imatrix_name;  /* for the metadata */
    const ts_quant_rule *rule; /* a later one counts more */
    size_t n_rules;
    bool has_head, has_embedding;
    ts_dtype head, embedding; /* where the model is tied, `head` is the embedding's */
    bool allow_requantize;    /* tensors that are quantised already may change their type */
    unsigned method;          /* of ts_quant_method, with calibration */
    const char *calibration;  /* what its text is called, for the metadata; NULL: none */
} ts_quant_opts;

typedef struct ts_quant_item {
    const ts_tensor *from;
    ts_dtype type;
    ts_dtype file;                   /* the type in the file: of U4G what carries it */
    bool copied;                     /* of this type already, and not rounded again */
    bool fallback;                   /* rows are no whole blocks of the type that was asked for */
    const ts_imatrix_entry *weights; /* NULL: all columns alike */
    uint64_t n_el, bytes, offset;    /* in the file */
    double error, norm;              /* ts_quant_run: sums of squares of the difference, and of the elements */
} ts_quant_item;

typedef struct ts_quant_plan {
    ts_quant_item *item; /* in the order of the source */
    size_t n;
    ts_buf header;   /* the file up to the tensors */
    unsigned method; /* of ts_quant_method */
    uint64_t file_bytes, data_bytes, n_el;
    size_t n_fallback, n_requantized;
    size_t
        n_unweighted; /* of those that are searched for and have no entry, though there is a matrix; not embeddings */
} ts_quant_plan;

/* Errors: TS_E_INVAL for a pattern that no tensor has, quantised tensors without leave, or an importance matrix of
 * other sizes; TS_E_UNSUPP for a tensor whose type cannot be read; TS_E_NOMEM. `in` and what `o` has must outlive the
 * plan. */
TS_NODISCARD ts_status ts_quant_plan_make(ts_quant_plan *p, const ts_quant_in *in, const ts_quant_opts *o, ts_err *err);
void ts_quant_plan_free(ts_quant_plan *p); /* also after a failure */

/* What kind of tensor it is, for sums over all layers: "attn_q", "token_embd". */
void ts_quant_kind(const char *name, char out[64]);

#endif
