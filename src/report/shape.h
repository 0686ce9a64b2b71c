/* shape.h - models of well-known shapes with random weights, for benchmarks and tests.
 *
 * A shape gives a list of tensors in the mix of types that the usual quantisers choose, and is written as a complete
 * GGUF file in memory, with metadata and a small byte vocabulary. Its weights are random with a deviation that keeps
 * activations finite; what it says is noise, how long it takes is not. */
#ifndef TS_REPORT_SHAPE_H
#define TS_REPORT_SHAPE_H

#include "base/mem.h"
#include "base/rng.h"
#include "format/dtype.h"
#include "source/role.h"

typedef struct ts_shape {
    const char *name, *arch;
    uint32_t n_layer, d_model, d_ff, n_head, n_kv_head, head_dim, n_vocab, n_ctx;
    bool tied;
    float rope_base, norm_eps;
    float rope_factor; /* > 1: a rope_freqs tensor as Llama 3.2 has it */
    /* what only tests ask for; 0: leave it out */
    uint32_t n_rot;       /* rotated elements of a head, where not all */
    uint32_t window;      /* sliding window */
    float linear, yarn;   /* rope.scaling.factor of that type */
    uint32_t rope_ctx_orig;
} ts_shape;

/* By name: llama-3-8b, llama-3.2-1b, llama-3.2-3b, tinyllama, qwen2.5-0.5b, qwen3-0.6b, tiny. TS_E_INVAL lists them. */
TS_NODISCARD ts_status ts_shape_find(const ts_shape **out, const char *name, ts_err *err);

/* What weights are made of, by the name of a mix: "q4_0" and "iq4_xs" (Q6_K for the head), "q4_k" (= "q4_k_m") and
 * "q5_k_m" (Q6_K for the head and half of attn_v and ffn_down), or by that of any type for all matrices. TS_E_INVAL for
 * an unknown name. */
typedef struct ts_mix {
    ts_dtype base, head, more; /* more: attn_v and ffn_down of some layers */
} ts_mix;
TS_NODISCARD ts_status ts_mix_find(ts_mix *out, const char *name, ts_err *err);

/* The type of a layer's matrix, or of the head; `more`: in a layer that gets more bits. */
ts_dtype ts_mix_type(const ts_mix *mix, ts_role role, bool more);
ts_widths ts_shape_widths(const ts_shape *s);

/* llama-quantize's rule for which layers get `more` in a _M mix. */
bool ts_shape_more_bits(uint32_t layer, uint32_t n_layer);

/* A tensor of a random model. */
typedef struct ts_random_tensor {
    ts_role role;
    uint32_t layer;
    bool bias;
    ts_dtype type;
    uint64_t cols, rows; /* rows 0: a vector of cols */
    /* how it is made */
    const ts_shape *shape;
    ts_rng rng;
    float deviation;
    bool norm; /* around 1 instead of 0 */
} ts_random_tensor;
/* All tensors, with `out` NULL only how many there are. `shape` must outlive the list. Rows that are not whole blocks
 * of a type fall back: 256-element types to Q8_0, others to F16. `seed` makes the weights. */
size_t ts_shape_tensors(const ts_shape *shape, const ts_mix *mix, uint64_t seed, ts_random_tensor *out);
/* The next n rows of it (of a vector 1). */
void ts_random_rows(ts_random_tensor *t, uint64_t n, void *out);

/* The file, appended to `out`. */
TS_NODISCARD ts_status ts_shape_make(const ts_shape *shape, const ts_mix *mix, uint64_t seed, ts_buf *out, ts_err *err);
/* The same, and `step` (NULL: nobody) is called now and then with bytes of weights done of all; false stops it with
 * TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_shape_make_watched(const ts_shape *shape, const ts_mix *mix, uint64_t seed,
                                             bool (*step)(void *ud, uint64_t done, uint64_t all), void *ud, ts_buf *out,
                                             ts_err *err);

#endif
