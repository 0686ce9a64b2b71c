/* group_keys.h - metadata that say which Q4_1 tensors of a GGUF file are the 4-bit groups of a checkpoint, whose zero
 * points come back from the minimums (docs/formats/checkpoints.md). */
#ifndef TS_SOURCE_GROUP_KEYS_H
#define TS_SOURCE_GROUP_KEYS_H

#include "format/gguf_write.h"
#include "source/gguf_names.h"

/* A tensor of such groups, or one of Q4_1 that is just that. */
typedef struct ts_group_key {
    const char *name;
    uint32_t group; /* elements; 0: Q4_1 */
} ts_group_key;

/* The size that most of them have, and the names of those that have another; nothing where none has groups. Errors:
 * TS_E_NOMEM. */
TS_NODISCARD ts_status ts_group_keys_put(ts_gguf_writer *w, const ts_group_key key[], size_t n, ts_err *err);

#endif
