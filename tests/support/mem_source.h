/* mem_source.h - a source of models that is no file: random tensors in memory. The second implementation of ts_source,
 * to keep the interface honest. */
#ifndef TS_TESTS_MEM_SOURCE_H
#define TS_TESTS_MEM_SOURCE_H

#include "source/source.h"
#include "vectors/zoo.h"

/* The tensors of a model of the zoo, the same that zoo_make writes into a file. */
TS_NODISCARD ts_status mem_source_new(ts_source **out, const zoo_model *m, ts_err *err);

/* For tests, what it says and has: changed before the model is opened. */
ts_model_config *mem_source_config(ts_source *s);
/* NULL: there is none. */
ts_tensor *mem_source_tensor(ts_source *s, ts_role role, uint32_t layer, bool bias);
/* Put the rows of q and k into the order in which they were trained, pairs as halves of a head (float types only). */
void mem_source_untangle(ts_source *s);

#endif
