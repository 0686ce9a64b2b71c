/* hf_model.h - a Hugging Face folder seen as the GGUF file that it would be converted to: the same metadata, the same
 * tensors under the same names and in the same order of rows; their rows are made when they are asked for.
 *
 * What changes on the way is the order of the rows of q and k for the Llama family (neighbours turn together in GGUF,
 * halves in Hugging Face's form); vectors become F32. Matrices keep their type; 4-bit ones are U4G. No number changes.
 */
#ifndef TS_SOURCE_HF_MODEL_H
#define TS_SOURCE_HF_MODEL_H

#include "format/gguf_write.h"
#include "source/hf_config.h"
#include "source/hf_folder.h"
#include "source/role.h"

typedef struct ts_hf_tensor {
    char name[64]; /* GGUF's */
    ts_dtype type;
    uint32_t n_dims;
    uint64_t dim[2];   /* as GGUF has them: the row first */
    const ts_array *a; /* the numbers of a float tensor; NULL: q4 or made */
    ts_q4 q4;          /* of a 4-bit one: q4.q is there */
    const float *made; /* computed from the configuration */
    bool turn;         /* rows go from Hugging Face's order to GGUF's */
} ts_hf_tensor;

typedef struct ts_hf_model {
    ts_hf_folder *folder;
    ts_hf_config c;
    ts_hf_tensor *tensor;
    size_t n, cap;
    float *rope_factors; /* [n_rot / 2] or NULL */
} ts_hf_model;

/* `path`: a folder, or a file of weights in one. Errors: those of the folder, the configuration and the tensors'
 * shapes. */
TS_NODISCARD ts_status ts_hf_model_open(ts_hf_model **out, const char *path, ts_err *err);
void ts_hf_model_close(ts_hf_model *m); /* NULL-safe */

/* All metadata of the model, its name, and for 4-bit matrices the size of their groups; not the tokenizer's. */
TS_NODISCARD ts_status ts_hf_model_put(const ts_hf_model *m, ts_gguf_writer *w, ts_err *err);
/* The whole tensor where it lies in the file as GGUF would have it; NULL: its rows have to be made. */
const void *ts_hf_tensor_in_place(const ts_hf_model *m, const ts_hf_tensor *t);
/* Rows [first, first + n), in the tensor's type, one behind the other. Any thread. */
void ts_hf_tensor_rows(const ts_hf_model *m, const ts_hf_tensor *t, uint64_t first, uint64_t n, void *out);
/* What is to be known before rows are taken for good: sums over the file's bytes, scales. TS_E_FORMAT. */
TS_NODISCARD ts_status ts_hf_tensor_check(ts_hf_model *m, const ts_hf_tensor *t, ts_err *err);
/* The arrays that rows come from: number i, NULL: no more. */
const ts_array *ts_hf_tensor_array(const ts_hf_tensor *t, int i);

#endif
