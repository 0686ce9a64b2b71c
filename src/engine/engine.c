#include "engine/engine.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/sized.h"
#include "constrain/trie.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* One progress for all that is loaded: the CPU's part, then the devices'. */
struct load_ud {
    ts_progress_fn *fn;
    void *ud;
    uint64_t cpu, devices; /* bytes */
    bool cpu_done;
};

static bool load_progress(void *ud, size_t done, size_t all) {
    struct load_ud *l = ud;
    if (!l->cpu_done) l->cpu = all;
    return l->fn(l->ud, done + (l->cpu_done ? l->cpu : 0), l->cpu + l->devices);
}

/* Settings in the file that nobody here follows are not passed over in silence. */
static void warn_of_keys(const ts_engine *e) {
    char keys[300];
    size_t n = e->src->op->warn_rest(e->src, &e->model->c, keys, sizeof keys);
    if (n) ts_log(TS_LOG_WARN, "%.150s: metadata that is not followed: %s", e->src->name, keys);
}

static void add_listener(ts_engine *e, ts_listener *l) {
    l->next = e->listener;
    e->listener = l;
}

void ts_engine_listen(ts_engine *e, ts_listener *l) {
    ts_engine_enter(e);
    add_listener(e, l);
    ts_engine_leave(e);
}

void ts_engine_unlisten(ts_engine *e, const ts_listener *l) {
    ts_engine_enter(e);
    ts_listener **at = &e->listener;
    while (*at && *at != l) at = &(*at)->next;
    if (*at) *at = l->next;
    ts_engine_leave(e);
}

static uint32_t pass_tokens(const ts_engine *e) {
    return e->accel ? TS_PASS_TOKENS_DEVICE : TS_PASS_TOKENS;
}

/* Vocabularies are filled up to sizes that devices like; what such rows give was never trained. */
static ts_status list_never(ts_engine *e, ts_err *err) {
    const ts_token n = (ts_token)e->model->c.n_vocab;
    for (ts_token i = 0; i < n; i++) e->n_never += ts_token_kind_of(e->tok, i) == TS_TOKEN_UNUSED;
    if (!e->n_never) return TS_OK;
    e->never = ts_alloc(e->n_never, sizeof *e->never);
    if (!e->never) return ts_fail_nomem(err, "the unused tokens", e->n_never * sizeof *e->never);
    for (ts_token i = 0, k = 0; i < n; i++)
        if (ts_token_kind_of(e->tok, i) == TS_TOKEN_UNUSED) e->never[k++] = i;
    return TS_OK;
}

/* Everything behind e->src. */
static ts_status open_parts(ts_engine *e, const ts_engine_opts *opts, const ts_device_plan *plan,
                            const ts_step_dev *steps, ts_err *err) {
    ts_cpu_level level;
    TS_TRY(ts_cpu_choose(&level, opts->cpu_level, err));
    ts_kern_init(&e->kern, level);
    int n_threads = opts->n_threads ? opts->n_threads : ts_cpu_count();
    TS_TRY(ts_pool_new(&e->pool, n_threads, err));
    struct load_ud ud = {.fn = opts->progress, .ud = opts->progress_ud};
    ts_load_progress progress = {.fn = opts->progress ? load_progress : NULL, .ud = &ud};
    TS_TRY(ts_model_describe(&e->model, e->src, err));
    if (steps) e->model->steps = steps;
    TS_TRY(ts_kv_pool_new(&e->kv_pool, &e->model->c, err));
    ts_kv_pool_use(e->kv_pool, e->model->steps->kv);
    warn_of_keys(e);
    if (opts->ledger || opts->ledger_check) {
        TS_TRY(ts_accounts_new(&e->accounts, opts->ledger_check, err));
        add_listener(e, ts_accounts_listener(e->accounts)); /* there is no gate yet, and nobody to wait for */
    }
    /* before packing: it says what the CPU need not have */
    const ts_accel_options on = {
        .plan = plan, .keep_all = opts->ledger_check, .stop = opts->stop, .stop_ud = opts->stop_ud};
    TS_TRY(ts_accel_open(&e->accel, &on, e->model, err));
    ud.devices = ts_accel_load_bytes(e->accel);
    TS_TRY(e->model->steps->load(e->model, e->pool, progress, err));
    ud.cpu_done = true;
    TS_TRY(ts_accel_load(e->accel, e->pool, progress, err));
    TS_TRY(e->src->op->tokenizer(e->src, opts->pre, &e->tok, err));
    if ((uint32_t)ts_tokenizer_size(e->tok) > e->model->c.n_vocab)
        return ts_fail(err, TS_E_FORMAT, "%s: the vocabulary has %d tokens, but %s only %u rows",
                       e->src->name, ts_tokenizer_size(e->tok), e->model->embed->name, e->model->c.n_vocab);
    TS_TRY(list_never(e, err));
    TS_TRY(ts_templates_new(&e->templates, e->tok, err));
    TS_TRY(ts_executor_init(&e->executor, e->model, pass_tokens(e), n_threads, err));
    return e->src->op->check_unchanged(e->src, err); /* everything read so far came from one and the same file */
}

static void note_clock(ts_engine *e) {
    const ts_dev_clock clock = ts_accel_clock(e->accel);
    atomic_store(&e->mhz, clock.mhz);
    atomic_store(&e->mhz_least, clock.least);
    atomic_store(&e->mhz_most, clock.most);
}

/* Takes the source, which was being opened since `begin`. */
static ts_status open_timed(ts_engine **out, ts_source *src, const ts_engine_opts *opts, const ts_device_plan *plan,
                            const ts_step_dev *steps, uint64_t begin, ts_err *err) {
    ts_engine *e = ts_calloc(1, sizeof *e);
    if (!e) {
        ts_source_close(src);
        return ts_fail_nomem(err, "the engine", sizeof *e);
    }
    e->src = src;
    ts_status s = open_parts(e, opts, plan, steps, err);
    if (s != TS_OK) {
        ts_engine_close(e);
        return s;
    }
    note_clock(e);
    e->load_ns = ts_now_ns() - begin;
    *out = e;
    return TS_OK;
}

/* From `path`, or from memory where `data` is not NULL. */
ts_status ts_engine_open_with(ts_engine **out, const char *path, const void *data, size_t len,
                              const ts_engine_opts *opts, const ts_device *const *known, ts_err *err) {
    const ts_engine_opts none = {0};
    const uint64_t begin = ts_now_ns();
    ts_device_plan plan;
    ts_source *src;
    if (!opts) opts = &none;
    TS_TRY(ts_device_parse(&plan, opts->device, known, err));
    TS_TRY(data ? ts_source_open_mem(&src, (ts_span){.data = data, .len = len}, err) : ts_source_open(&src, path, err));
    return open_timed(out, src, opts, &plan, NULL, begin, err);
}

ts_status ts_engine_open_source(ts_engine **out, ts_source *src, const ts_engine_opts *opts, const ts_step_dev *steps,
                                ts_err *err) {
    const ts_engine_opts none = {0};
    const uint64_t begin = ts_now_ns();
    ts_device_plan plan;
    if (!opts) opts = &none;
    ts_status s = ts_device_parse(&plan, opts->device, ts_devices, err);
    if (s == TS_OK) return open_timed(out, src, opts, &plan, steps, begin, err);
    ts_source_close(src);
    return s;
}

ts_status ts_engine_open_sized(ts_engine **out, const char *path, const ts_engine_opts *opts, size_t opts_size,
                               ts_err *err) {
    ts_engine_opts o = {0};
    TS_TRY(ts_sized_in(&o, sizeof o, opts, opts_size, err));
    TS_NEED(out && (path || o.text_only), err, "an engine needs a model");
    return o.text_only ? ts_engine_open_text(out, path, &o, err)
                       : ts_engine_open_with(out, path, NULL, 0, &o, ts_devices, err);
}

ts_status ts_engine_open_memory_sized(ts_engine **out, const void *data, size_t len, const ts_engine_opts *opts,
                                      size_t opts_size, ts_err *err) {
    ts_engine_opts o = {0};
    TS_TRY(ts_sized_in(&o, sizeof o, opts, opts_size, err));
    TS_NEED(out && data && !o.text_only, err, "an engine needs a model; text_only needs a path");
    TS_NEED((uintptr_t)data % 16 == 0, err, "a model in memory has to begin at a multiple of 16 bytes");
    return ts_engine_open_with(out, NULL, data, len, &o, ts_devices, err);
}

ts_status ts_device_check(const char *device, ts_err *err) {
    ts_device_plan plan;
    return ts_device_parse(&plan, device, ts_devices, err);
}

ts_status ts_engine_use_threads(ts_engine *e, int n_threads, ts_err *err) {
    ts_pool *pool;
    TS_TRY(ts_pool_new(&pool, n_threads, err));
    ts_executor x;
    ts_status s = ts_executor_init(&x, e->model, pass_tokens(e), n_threads, err);
    if (s != TS_OK) {
        ts_pool_free(pool);
        return s;
    }
    ts_executor_fini(&e->executor);
    e->executor = x;
    ts_pool_free(e->pool);
    e->pool = pool;
    return TS_OK;
}

void ts_engine_close(ts_engine *e) {
    if (!e) return;
    ts_templates_free(e->templates);
    ts_trie_free(atomic_load(&e->trie));
    ts_free(e->never);
    ts_tokenizer_free(e->tok);
    ts_accel_close(e->accel);
    ts_kv_pool_free(e->kv_pool);
    ts_accounts_free(e->accounts);
    ts_model_close(e->model);
    ts_pool_free(e->pool);
    ts_executor_fini(&e->executor);
    ts_source_close(e->src);
    ts_free(e);
}

void ts_engine_enter(ts_engine *e) {
    ts_gate_enter(e->executor.gate);
}

void ts_engine_leave(ts_engine *e) {
    note_clock(e);
    ts_gate_leave(e->executor.gate);
}

void ts_engine_info_sized(const ts_engine *e, ts_model_info *out, size_t out_size) {
    if (!e->model) {
        ts_engine_text_info(e, out, out_size);
        return;
    }
    const ts_model_config *c = &e->model->c;
    ts_model_info info = {
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
        .device_mhz = atomic_load(&e->mhz),
        .device_mhz_least = atomic_load(&e->mhz_least),
        .device_mhz_most = atomic_load(&e->mhz_most),
        .evidence = ts_accel_evidence(e->accel),
        .chat_template = ts_templates_describe(e->templates),
        .n_params = e->src->n_params,
        .file_bytes = e->src->file_bytes,
    };
    ts_sized_out(out, out_size, &info, sizeof info);
}

ts_status ts_engine_tokenize(const ts_engine *e, const char *text, size_t len, unsigned flags, ts_token **out,
                             size_t *n, ts_err *err) {
    TS_NEED(e && e->tok && out && n && (text || !len), err, "there is no text to tokenise, or no room for its tokens");
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
    return e->tok && ts_tokenizer_is_end(e->tok, id);
}

/* ---- conversations ----------------------------------------------------------------------------------------------- */

/* Parse a JSON object of the caller's. */
static ts_status read_json(const char *what, const char *text, size_t len, json_t **out, ts_err *err) {
    json_error_t e;
    json_t *j = json_loadb(text, len, JSON_ALLOW_NUL, &e);
    if (!j && json_error_code(&e) == json_error_out_of_memory) return ts_fail_nomem(err, what, len);
    if (!j) return ts_fail(err, TS_E_INVAL, "%s: line %d, column %d: %s", what, e.line, e.column, e.text);
    if (json_is_object(j)) {
        *out = j;
        return TS_OK;
    }
    json_decref(j);
    return ts_fail(err, TS_E_INVAL, "%s: not a JSON object", what);
}

/* Takes the context. */
static ts_status chat(const ts_engine *e, const ts_chat_opts *given, size_t opts_size, json_t *context, ts_prompt *out,
                      ts_err *err) {
    ts_chat_opts all = {0}, *opts = &all;
    json_t *vars = NULL;
    ts_jinja_out text = {0};
    ts_tokens tokens = {0};
    ts_status s = context ? TS_OK : ts_fail_nomem(err, "the messages", 0);
    if (s == TS_OK) s = ts_sized_in(&all, sizeof all, given, opts_size, err);
    if (s == TS_OK && opts->vars) s = read_json("the variables", opts->vars, strlen(opts->vars), &vars, err);
    if (s == TS_OK && json_object_get(vars, "messages")) /* they would take the place of what is being said */
        s = ts_fail(err, TS_E_INVAL, "messages is no variable to be set: the conversation is in it");
    if (s == TS_OK && vars && json_object_update(context, vars) != 0) s = ts_fail_nomem(err, "the variables", 0);
    const ts_prompt_opts p = {.name = opts->name, .text = opts->text, .text_name = opts->text_name,
                              .has_now = opts->has_now, .now = opts->now};
    if (s == TS_OK) s = ts_prompt_render(e->templates, e->tok, context, &p, &text, err);
    const char *key;
    json_t *value;
    /* what is given and cannot change anything was meant for another template */
    json_object_foreach(vars, key, value) {
        if (s != TS_OK || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0)) continue;
        if (ts_prompt_names(e->templates, e->tok, context, &p, key)) continue;
        char shown[64];
        ts_printable(shown, sizeof shown, key, strlen(key));
        s = ts_fail(err, TS_E_UNSUPP, "the chat template does not use the variable %s", shown);
    }
    if (s == TS_OK && !text.text.data && !ts_buf_puts(&text.text, "")) s = ts_fail_nomem(err, "the prompt", 1);
    if (s == TS_OK && e->tok) s = ts_prompt_tokens(e->tok, &text, &tokens, err);
    ts_text_range *data = s == TS_OK ? ts_alloc(text.n_data, sizeof *data) : NULL;
    if (s == TS_OK && !data) s = ts_fail_nomem(err, "the prompt", text.n_data * sizeof *data);
    json_decref(vars);
    json_decref(context);
    if (s == TS_OK) {
        for (size_t i = 0; i < text.n_data; i++) data[i] = (ts_text_range){text.data[i].begin, text.data[i].end};
        *out = (ts_prompt){.token = tokens.id, .n = tokens.n, .text = text.text.data, .len = text.text.len,
                           .data = data, .n_data = text.n_data};
        text.text = (ts_buf){0};
    } else {
        ts_tokens_free(&tokens);
    }
    ts_jinja_out_free(&text);
    return s;
}

ts_status ts_engine_chat_sized(const ts_engine *e, const ts_chat_opts *opts, size_t opts_size, const ts_message *msg,
                               size_t n, ts_prompt *out, ts_err *err) {
    TS_NEED(e && out && (msg || !n), err, "there are no messages, or no room for their prompt");
    for (size_t i = 0; i < n; i++)
        TS_NEED(msg[i].role && msg[i].content, err, "message %zu has no role or no content", i);
    return chat(e, opts, opts_size, ts_prompt_context(msg, n, true), out, err);
}

ts_status ts_engine_chat_json_sized(const ts_engine *e, const ts_chat_opts *opts, size_t opts_size, const char *json,
                                    size_t len, ts_prompt *out, ts_err *err) {
    json_t *context;
    TS_NEED(e && out && json, err, "there is no context, or no room for its prompt");
    TS_TRY(read_json("the context", json, len, &context, err));
    return chat(e, opts, opts_size, context, out, err);
}

void ts_prompt_release(ts_prompt *p) {
    if (!p) return;
    ts_free(p->token);
    ts_free(p->text);
    ts_free(p->data);
    *p = (ts_prompt){0};
}

/* Rows of another size than ours are made from ours. */
static size_t rows_sized(const ts_engine *e, char *rows, size_t cap, size_t row_size) {
    size_t n = ts_accounts_rows(e->accounts, NULL, 0);
    ts_ledger_row *all = ts_calloc(n, sizeof *all);
    if (!all) return 0;
    n = ts_accounts_rows(e->accounts, all, n);
    for (size_t i = 0; i < n && i < cap; i++) ts_sized_out(rows + i * row_size, row_size, &all[i], sizeof *all);
    ts_free(all);
    return n;
}

size_t ts_engine_ledger_sized(const ts_engine *e, ts_ledger_row *rows, size_t cap, size_t row_size) {
    if (!e->model) return 0;
    ts_gate_enter(e->executor.gate);
    const size_t n = row_size == sizeof *rows ? ts_accounts_rows(e->accounts, rows, cap)
                                              : rows_sized(e, (char *)rows, cap, row_size);
    ts_gate_leave(e->executor.gate);
    return n;
}

void ts_engine_ledger_reset(ts_engine *e) {
    if (!e->model) return;
    ts_gate_enter(e->executor.gate);
    ts_accounts_reset(e->accounts);
    ts_gate_leave(e->executor.gate);
}
