#include "source/source.h"
#include "source/gguf_source.h"
#include "source/hf_source.h"

/* A folder is Hugging Face's, and so are files with the endings of its formats. All else is for GGUF's reader, whose
 * messages about other formats are good. */
ts_status ts_source_open(ts_source **out, const char *path, ts_err *err) {
    ts_gguf *g;
    if (ts_hf_is_model(path)) return ts_hf_source_open(out, path, err);
    TS_TRY(ts_gguf_open(&g, path, err));
    return ts_gguf_source_take(out, g, err);
}

ts_status ts_source_open_mem(ts_source **out, ts_span bytes, ts_err *err) {
    ts_gguf *g;
    TS_TRY(ts_gguf_open_mem(&g, bytes, "(memory)", TS_GGUF_OWN_TYPES, err));
    return ts_gguf_source_take(out, g, err);
}
