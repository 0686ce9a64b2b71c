/* gguf_source.h - GGUF files as a source of models. */
#ifndef TS_SOURCE_GGUF_SOURCE_H
#define TS_SOURCE_GGUF_SOURCE_H

#include "format/gguf.h"
#include "source/source.h"

/* `g` is borrowed, and must outlive the source. */
TS_NODISCARD ts_status ts_gguf_source_new(ts_source **out, const ts_gguf *g, ts_err *err);
/* The same, but *g belongs to the source from now on, also where this fails. */
TS_NODISCARD ts_status ts_gguf_source_take(ts_source **out, ts_gguf *g, ts_err *err);

/* Read and check the metadata of a file whose architecture is `arch` ("llama", "qwen2", ...: the prefix of its keys).
 * Errors: TS_E_FORMAT naming the key; TS_E_UNSUPP for what is well-formed but not done (experts, other rope kinds). */
TS_NODISCARD ts_status ts_gguf_model_config(ts_model_config *c, const ts_gguf *g, const char *arch, ts_err *err);

#endif
