#include "engine/engine.h"
#include "base/clock.h"
#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

static ts_status recognise_chat(ts_engine *e, ts_err *err) {
    ts_span jinja = {0};
    TS_TRY(ts_gguf_str(e->file, "tokenizer.chat_template", false, &jinja, err));
    if (jinja.len == 0) {
        (void)ts_fail(&e->chat_err, TS_E_UNSUPP,
                      "%s has no chat template; name one with --chat-template NAME", ts_gguf_path(e->file));
        return TS_OK;
    }
    /* an unknown template is an error only when somebody wants to chat */
    if (ts_chat_detect(&e->chat, (const char *)jinja.data, jinja.len, &e->chat_err) != TS_OK) e->chat = TS_CHAT_NONE;
    return TS_OK;
}

struct load_ud {
    ts_progress_fn *fn;
    void *ud;
};

static bool load_progress(void *ud, size_t done, size_t all) {
    const struct load_ud *l = ud;
    return l->fn(l->ud, done, all);
}

/* Everything behind e->file. */
static ts_status open_parts(ts_engine *e, const ts_engine_opts *opts, ts_err *err) {
    ts_cpu_level level;
    TS_TRY(ts_cpu_choose(&level, err));
    ts_kern_init(&e->kern, level);
    int n_threads = opts->n_threads ? opts->n_threads : ts_cpu_count();
    TS_TRY(ts_pool_new(&e->pool, n_threads, err));
    struct load_ud ud = {opts->progress, opts->progress_ud};
    ts_load_progress progress = {.fn = opts->progress ? load_progress : NULL, .ud = &ud};
    TS_TRY(ts_model_describe(&e->model, e->file, err));
    TS_TRY(ts_accel_open(&e->accel, opts, e->model, err)); /* before packing: it says what the CPU need not have */
    TS_TRY(ts_model_pack(e->model, e->pool, progress, err));
    TS_TRY(ts_accel_load(e->accel, e->pool, progress, err));
    TS_TRY(ts_tokenizer_from_gguf(&e->tok, e->file, err));
    if ((uint32_t)ts_tokenizer_size(e->tok) > e->model->c.n_vocab)
        return ts_fail(err, TS_E_FORMAT, "%s: the vocabulary has %d tokens, but token_embd.weight only %u rows", ts_gguf_path(e->file),
                       ts_tokenizer_size(e->tok), e->model->c.n_vocab);
    return recognise_chat(e, err);
}

/* From `path`, or from memory where `data` is not NULL. */
static ts_status open_any(ts_engine **out, const char *path, const void *data, size_t len, const ts_engine_opts *opts,
                          ts_err *err) {
    const ts_engine_opts none = {0};
    if (!opts) opts = &none;
    TS_TRY(ts_accel_check_device(opts->device, err));
    uint64_t begin = ts_now_ns();
    ts_engine *e = ts_calloc(1, sizeof *e);
    if (!e) return ts_fail_nomem(err, "the engine", sizeof *e);
    ts_status s = data ? ts_gguf_open_mem(&e->file, (ts_span){.data = data, .len = len}, "(memory)", 0, err)
                       : ts_gguf_open(&e->file, path, err);
    if (s == TS_OK) s = open_parts(e, opts, err);
    if (s != TS_OK) {
        ts_engine_close(e);
        return s;
    }
    e->load_ns = ts_now_ns() - begin;
    *out = e;
    return TS_OK;
}

ts_status ts_engine_open(ts_engine **out, const char *path, const ts_engine_opts *opts, ts_err *err) {
    return open_any(out, path, NULL, 0, opts, err);
}

ts_status ts_engine_open_memory(ts_engine **out, const void *data, size_t len, const ts_engine_opts *opts, ts_err *err) {
    return open_any(out, NULL, data, len, opts, err);
}

ts_status ts_engine_use_threads(ts_engine *e, int n_threads, ts_err *err) {
    ts_pool *pool;
    TS_TRY(ts_pool_new(&pool, n_threads, err));
    ts_pool_free(e->pool);
    e->pool = pool;
    return TS_OK;
}

void ts_engine_close(ts_engine *e) {
    if (!e) return;
    ts_tokenizer_free(e->tok);
    ts_accel_close(e->accel);
    ts_model_close(e->model);
    ts_pool_free(e->pool);
    ts_gguf_close(e->file);
    ts_free(e);
}

void ts_engine_info(const ts_engine *e, ts_model_info *out) {
    const ts_model_config *c = &e->model->c;
    *out = (ts_model_info){
        .arch = c->arch,
        .name = c->name,
        .device = ts_accel_device(e->accel),
        .cpu_level = ts_cpu_level_name(e->kern.level),
        .n_threads = ts_pool_threads(e->pool),
        .n_layer = c->n_layer,
        .n_vocab = c->n_vocab,
        .n_ctx_train = c->n_ctx_train,
        .d_model = c->d_model,
        .weight_bytes = e->model->packed.bytes + ts_accel_weight_bytes(e->accel),
        .token_bytes = ts_model_token_bytes(e->model),
        .layer_macs = ts_model_layer_macs(e->model),
        .head_macs = ts_model_head_macs(e->model),
        .load_ns = e->load_ns,
        .chat_template = e->chat ? ts_chat_name(e->chat) : NULL,
    };
    for (size_t i = 0; i < ts_gguf_n_tensors(e->file); i++) {
        const ts_tensor *t = ts_gguf_tensor_at(e->file, i);
        out->n_params += t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
    }
    for (int i = 0; i < ts_gguf_n_files(e->file); i++) out->file_bytes += ts_gguf_file(e->file, i)->len;
}

ts_status ts_engine_tokenize(const ts_engine *e, const char *text, size_t len, unsigned flags, ts_token **out, size_t *n,
                             ts_err *err) {
    ts_tokens t = {0};
    ts_status s = ts_tokenize(e->tok, text, len, flags, &t, err);
    if (s != TS_OK) {
        ts_tokens_free(&t);
        return s;
    }
    *out = t.id;
    *n = t.n;
    return TS_OK;
}

void ts_tokens_release(ts_token *tokens) {
    ts_free(tokens);
}

bool ts_engine_is_end(const ts_engine *e, ts_token id) {
    return ts_tokenizer_is_end(e->tok, id);
}

/* The messages with the system message in front that the file's own template supplies where there is none: a new array
 * (ts_free), its text in `text`. */
static ts_status with_default_system(const ts_engine *e, ts_chat_template t, const ts_message *msg, size_t n, ts_buf *text,
                                     ts_message **out, size_t *n_out, ts_err *err) {
    const bool has_system = n > 0 && !strcmp(msg[0].role, "system");
    ts_span jinja = {0};
    if (t == e->chat && !has_system) TS_TRY(ts_gguf_str(e->file, "tokenizer.chat_template", false, &jinja, err));
    ts_message *all = ts_alloc(n + 1, sizeof *all);
    if (!all || !ts_chat_default_system(t, (const char *)jinja.data, jinja.len, text)) {
        ts_free(all);
        return ts_fail_nomem(err, "the messages", (n + 1) * sizeof *all);
    }
    *n_out = 0;
    if (text->len) all[(*n_out)++] = (ts_message){"system", text->data};
    for (size_t i = 0; i < n; i++) all[(*n_out)++] = msg[i];
    *out = all;
    return TS_OK;
}

ts_status ts_engine_chat_prompt(const ts_engine *e, const char *name, const ts_message *msg, size_t n, char **out,
                                ts_err *err) {
    ts_chat_template t = e->chat;
    if (name) {
        TS_TRY(ts_chat_find(&t, name, err));
    } else if (t == TS_CHAT_NONE) {
        if (err) *err = e->chat_err;
        return e->chat_err.code;
    }
    ts_buf text = {0}, system = {0}, eos = {0};
    ts_message *all = NULL;
    ts_status s = with_default_system(e, t, msg, n, &system, &all, &n, err);
    /* BOS is the tokenizer's business; the end token between turns is the model's own */
    ts_token end = ts_tokenizer_eos(e->tok);
    if (s == TS_OK && end >= 0 && !ts_token_bytes(e->tok, end, true, &eos)) s = ts_fail_nomem(err, "the prompt", 16);
    if (s == TS_OK) s = ts_chat_apply_eos(t, all, n, NULL, eos.len ? eos.data : NULL, true, &text, err);
    if (s == TS_OK && !text.data && !ts_buf_reserve(&text, 1)) s = ts_fail_nomem(err, "the prompt", 1);
    ts_free(all);
    ts_buf_free(&system);
    ts_buf_free(&eos);
    if (s != TS_OK) {
        ts_buf_free(&text);
        return s;
    }
    *out = text.data;
    return TS_OK;
}

void ts_text_release(char *text) {
    ts_free(text);
}

size_t ts_engine_ledger(const ts_engine *e, ts_ledger_row *rows, size_t cap) {
    return ts_accel_ledger(e->accel, rows, cap);
}

void ts_engine_ledger_reset(ts_engine *e) {
    ts_accel_ledger_reset(e->accel);
}
