/* zoo.h - small random models that together have every feature the engine knows.
 *
 * A model is made anew wherever it is needed, from its name alone and with the same bytes on every machine: by the
 * test of same bits (tests/engine), and by make_model for the implementations that the stored logits come from. */
#ifndef TS_TESTS_ZOO_H
#define TS_TESTS_ZOO_H

#include "report/shape.h"

typedef struct zoo_model {
    ts_shape shape; /* with the model's name */
    ts_mix mix;
} zoo_model;

/* Models by number, ended by NULL. First those that differ in architecture (float weights mostly), then from
 * zoo_first_type on one for every tensor type. */
const zoo_model *zoo_at(size_t i);
extern const size_t zoo_first_type;
const zoo_model *zoo_find(const char *name); /* NULL: unknown */

/* The seed of its weights. */
uint64_t zoo_seed(const zoo_model *m);
/* The model's file, appended to `out`. */
TS_NODISCARD ts_status zoo_make(const zoo_model *m, ts_buf *out, ts_err *err);

/* The prompt that all models are asked: n tokens in [0, n_vocab), the same for all. */
void zoo_prompt(uint32_t n_vocab, int32_t *token, size_t n);

#endif
