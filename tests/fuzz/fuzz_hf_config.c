/* Any text as a config.json: what is taken is within the bounds that a model has, and is metadata of GGUF. */
#include "format/gguf.h"
#include "source/gguf_source.h"
#include "source/hf_config.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void quiet(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level;
    if (!*line || strpbrk(line, "\n\r\x1b")) abort();
}

static void look_at(const ts_hf_config *c) {
    if (!c->n_layer || c->n_layer > TS_MAX_LAYERS || !c->d_model || c->d_model > TS_MAX_WIDTH || !c->d_ff ||
        c->d_ff > TS_MAX_FF || !c->n_head || c->n_head > TS_MAX_HEADS || !c->n_kv_head || c->n_head % c->n_kv_head ||
        !c->head_dim || c->head_dim > TS_MAX_HEAD_DIM || !c->n_vocab || !c->n_ctx || c->n_ctx > TS_MAX_CTX)
        abort();
    if (c->n_rot > c->head_dim || c->n_rot % 2 || !c->n_rot || !(c->norm_eps > 0) || !(c->rope_base > 0) ||
        !(c->rope_factor > 0))
        abort();
    float factor[TS_MAX_HEAD_DIM / 2];
    if (c->rope == TS_HF_ROPE_LLAMA3) {
        ts_hf_rope_factors(c, factor);
        for (uint32_t i = 0; i < c->n_rot / 2; i++)
            if (isnan(factor[i])) abort();
    }
    ts_gguf_writer *w;
    ts_buf text = {0};
    ts_gguf *g = NULL;
    ts_err err = {0};
    if (ts_gguf_writer_new(&w, 0, &err) != TS_OK) abort();
    ts_gguf_put_str(w, "general.architecture", c->family);
    ts_hf_config_put(c, w);
    if (ts_gguf_save_header(w, &text, &err) != TS_OK) abort();
    ts_gguf_writer_free(w);
    if (ts_gguf_open_mem(&g, (ts_span){(const uint8_t *)text.data, text.len}, "fuzz", TS_GGUF_NO_DATA, &err) != TS_OK)
        abort();
    ts_model_config out; /* numbers that a float cannot hold may still be refused there */
    const ts_status s = ts_gguf_model_config(&out, g, c->family, &err);
    if (s != TS_OK && (err.code != s || strpbrk(err.msg, "\n\r\x1b"))) abort();
    ts_gguf_close(g);
    ts_buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_hf_config c;
    ts_err err = {0};
    ts_log_sink(quiet, NULL, TS_LOG_DEBUG);
    const ts_status s = ts_hf_config_read_mem(&c, (ts_span){data, len}, &err);
    if (s == TS_OK) look_at(&c);
    else if (err.code != s || !*err.msg || strpbrk(err.msg, "\n\r\x1b")) abort();
    return 0;
}
