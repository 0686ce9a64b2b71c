/* recipe.h - file types: which type each tensor of a model gets, by what it is for and where it stands.
 *
 * The mixes are llama.cpp's, so that a file of a name is what people know by that name; tests/tools/test_quantize.py
 * holds them against its llama-quantize. What counts is the layer's number, not the order of the file. Ours are u4g32
 * to u4g128, 4-bit groups in Q4_1, and npu4, what the NPU takes with the fewest bytes: groups of 128, head and
 * embedding in Q6_K. */
#ifndef TS_QUANT_RECIPE_H
#define TS_QUANT_RECIPE_H

#include "base/err.h"
#include "format/tensor.h"

#include <stdbool.h>

typedef struct ts_recipe {
    const char *name;   /* "q4_k_m" */
    uint32_t file_type; /* general.file_type */
    ts_dtype base;      /* what matrices get where no rule says otherwise */
} ts_recipe;

/* Recipe i, NULL behind the last. */
const ts_recipe *ts_recipe_at(size_t i);
/* That all tensors keep what they are: its base is what most of them have. */
extern const ts_recipe ts_recipe_keep;
/* By name, capitals or not; "q4_k" is "q4_k_m", and so on. TS_E_INVAL lists the names. */
TS_NODISCARD ts_status ts_recipe_find(const ts_recipe **out, const char *name, ts_err *err);

/* What of a model the rules ask for. */
typedef struct ts_recipe_model {
    uint32_t n_layer, n_head, n_kv_head;
    bool tied;    /* there is no tensor for the head: it is the embedding */
    bool imatrix; /* an importance matrix is at hand */
} ts_recipe_model;

/* Matrices are quantised, but not those of norms, routers and positions; `name` as in a GGUF file. */
bool ts_recipe_quantises(const ts_tensor *t);
/* The type for a matrix of that name, whatever its row length. */
ts_dtype ts_recipe_type(const ts_recipe *r, const ts_recipe_model *m, const char *name);
/* The type itself where rows of so many elements are whole blocks of it, else the next larger one of which they are;
 * F16 fits all. `head`: for the head, whose next larger type is Q8_0. */
ts_dtype ts_recipe_fitting(ts_dtype type, uint64_t row, bool head);
/* Is this the head, or the embedding where it serves as the head? */
bool ts_recipe_is_head(const ts_recipe_model *m, const char *name);

#endif
