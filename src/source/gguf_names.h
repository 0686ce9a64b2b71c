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

#endif
