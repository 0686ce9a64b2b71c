/* text_only.c - an engine that has a tokenizer and chat templates, and no weights; and what all
 * engines say of their templates. */
#include "base/sized.h"
#include "engine/engine.h"
#include "text/chat.h"

ts_status ts_engine_open_text(ts_engine **out, const char *path, const ts_engine_opts *opts, ts_err *err) {
    ts_engine *e = ts_calloc(1, sizeof *e);
    if (!e) return ts_fail_nomem(err, "the engine", sizeof *e);
    ts_status s = path ? ts_tokenizer_open(&e->tok, path, opts->pre, err) : TS_OK;
    if (s == TS_OK && path) s = ts_templates_new(&e->templates, e->tok, err);
    if (s != TS_OK) {
        ts_engine_close(e);
        return s;
    }
    *out = e;
    return TS_OK;
}

void ts_engine_text_info(const ts_engine *e, ts_model_info *out, size_t out_size) {
    const ts_model_info info = {.arch = "", .name = "", .device = "", .cpu_level = "",
                                .n_vocab = e->tok ? (uint32_t)ts_tokenizer_size(e->tok) : 0,
                                .chat_template = e->templates ? ts_templates_describe(e->templates) : NULL};
    ts_sized_out(out, out_size, &info, sizeof info);
}

const char *ts_chat_template_name(size_t i) {
    return i < TS_CHAT_TEMPLATES - 1 ? ts_chat_name((ts_chat_template)(i + 1)) : NULL;
}

const char *ts_engine_chat_template(const ts_engine *e, size_t i, const char **name, size_t *len) {
    if (!e->tok || i >= ts_tokenizer_n_templates(e->tok)) return NULL;
    const char *called;
    const ts_span text = ts_tokenizer_template(e->tok, i, &called);
    if (name) *name = called;
    *len = text.len;
    return (const char *)text.data;
}
