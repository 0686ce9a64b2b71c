/* gguf_names.h - what GGUF calls the tensors of a model. */
#ifndef TS_SOURCE_GGUF_NAMES_H
#define TS_SOURCE_GGUF_NAMES_H

#include "source/role.h"

#include <stdbool.h>
#include <stddef.h>

/* "attn_q", "token_embd": the role without layer and ending. */
const char *ts_gguf_role_name(ts_role role);
/* The whole name, at most `len` bytes of buf; `layer` counts for the roles of a layer. Returns buf. */
const char *ts_gguf_tensor_name(char *buf, size_t len, ts_role role, uint32_t layer, bool bias);

/* What says that Q4_1 tensors are the 4-bit groups of a checkpoint, whose zero points come back from the minimums; the
 * size of the groups; and for tensors that have another, an array of "NAME=SIZE". */
#define TS_KEY_IMPORT_ZEROS  "tessera.import.zero_points"
#define TS_KEY_IMPORT_GROUP  "tessera.import.group_size"
#define TS_KEY_IMPORT_GROUPS "tessera.import.group_sizes"

#endif
