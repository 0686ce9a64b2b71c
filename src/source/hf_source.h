/* hf_source.h - Hugging Face folders as a source of models. */
#ifndef TS_SOURCE_HF_SOURCE_H
#define TS_SOURCE_HF_SOURCE_H

#include "source/hf_model.h"
#include "source/source.h"

/* From a folder, or a file of weights in one. Errors: those of ts_hf_model_open. */
TS_NODISCARD ts_status ts_hf_source_open(ts_source **out, const char *path, ts_err *err);
/* Is this path for it: a folder, or a file with an ending of safetensors or PyTorch that is not GGUF all the same? */
bool ts_hf_is_model(const char *path);
/* What it reads; NULL: another kind of source. */
const ts_hf_model *ts_hf_source_model(const ts_source *s);
/* The metadata without the tokenizer's, of such a source. Borrowed until close. */
const ts_gguf *ts_hf_source_header(const ts_source *s);

#endif
