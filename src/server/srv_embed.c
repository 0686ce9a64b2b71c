/* srv_embed.c - vectors of texts. */
#include "server/srv_embed.h"

#include "server/api.h"
#include "server/server_int.h"

enum { INPUTS_MOST = 2048 }; /* as many as OpenAI's API takes */

typedef struct inputs {
    ts_token **token; /* [n], each [len[i]] */
    size_t *len, n;
} inputs;

static void inputs_free(inputs *in) {
    for (size_t i = 0; i < in->n; i++) ts_tokens_release(in->token[i]);
    ts_free(in->token);
    ts_free(in->len);
}

static bool refuse_form(srv_error *e) {
    return srv_refuse(e, 400, "input", "input has to be a text, a list of texts, or a list of tokens");
}

static bool add_tokens(inputs *in, const srv_model *m, const ts_jval *list, srv_error *e) {
    if (!srv_api_token_list(m, list, "input", &in->token[in->n], e)) return false;
    in->len[in->n++] = list->n;
    return true;
}

static bool add_text(inputs *in, const srv_model *m, const ts_jval *text, srv_error *e) {
    ts_err err;
    ts_token *token;
    size_t n;
    if (text->text.len == 0) return srv_refuse(e, 400, "input", "input: a text is empty");
    if (ts_engine_tokenize(m->engine, (const char *)text->text.data, text->text.len, TS_TOKENIZE_BOS | TS_TOKENIZE_EOS,
                           &token, &n, &err) != TS_OK)
        return srv_refuse_err(e, "input", &err);
    in->token[in->n] = token;
    in->len[in->n++] = n;
    return true;
}

static bool read_inputs(inputs *in, const srv_model *m, const ts_jval *input, srv_error *e) {
    const bool list = input && input->type == TS_JSON_ARRAY;
    if (!list && !(input && input->type == TS_JSON_STRING)) return refuse_form(e);
    if (list && input->n == 0) return srv_refuse(e, 400, "input", "input: the list is empty");
    const bool tokens = list && input->first->type == TS_JSON_NUMBER;
    const size_t n = list && !tokens ? input->n : 1;
    if (n > INPUTS_MOST)
        return srv_refuse(e, 400, "input", "input: %zu texts are more than a request may have, %d", n, INPUTS_MOST);
    in->token = ts_calloc(n, sizeof *in->token);
    in->len = ts_calloc(n, sizeof *in->len);
    if (!in->token || !in->len) return srv_refuse_nomem(e);
    if (tokens) return add_tokens(in, m, input, e);
    for (const ts_jval *v = list ? input->first : input; v; v = list ? v->next : NULL) {
        if (v->type != TS_JSON_STRING && !(v->type == TS_JSON_ARRAY && v->n > 0)) return refuse_form(e);
        if (!(v->type == TS_JSON_STRING ? add_text(in, m, v, e) : add_tokens(in, m, v, e))) return false;
    }
    return true;
}

static bool check_lengths(const inputs *in, const srv_model *m, srv_error *e) {
    for (size_t i = 0; i < in->n; i++) {
        if (in->len[i] == 0)
            return srv_refuse(e, 400, "input", "input: text %zu has no tokens: this model needs at least one", i);
        if (in->len[i] <= m->n_ctx) continue;
        srv_refuse(e, 400, "input", "input: text %zu has %zu tokens, the context of a request is %u", i, in->len[i],
                   m->n_ctx);
        e->code = "context_length_exceeded";
        e->n_prompt = (uint32_t)in->len[i], e->n_ctx = m->n_ctx;
        return false;
    }
    return true;
}

static bool still_wanted(void *ud, uint64_t done, uint64_t all) {
    srv_job *job = ud;
    (void)done, (void)all;
    return !atomic_load(&job->gone);
}

static bool compute(srv_job *job, srv_model *m, const inputs *in, srv_vector_fn *fn, void *ud, srv_error *e) {
    const ts_session_opts o = {.n_ctx = m->n_ctx, .kv = job->srv->o.kv, .progress = still_wanted, .progress_ud = job};
    const uint32_t d = m->info.d_model;
    float *v = ts_alloc(d, sizeof *v);
    ts_session *s = NULL;
    ts_err err;
    ts_status status = v ? ts_session_new(&s, m->engine, &o, &err) : ts_fail_nomem(&err, "a vector", d * sizeof *v);
    bool room = true;
    for (size_t i = 0; i < in->n && status == TS_OK && room; i++) {
        status = ts_session_embed(s, in->token[i], in->len[i], TS_POOLING_MEAN, true, v, &err);
        if (status == TS_OK) room = fn(ud, i, v, d);
    }
    ts_session_free(s);
    ts_free(v);
    if (status == TS_E_CANCELLED) return srv_refuse(e, SRV_LEFT, NULL, "the client has left");
    if (status != TS_OK) {
        srv_model_hide_folder(m, err.msg);
        return srv_refuse_err(e, "input", &err);
    }
    return room || srv_refuse_nomem(e);
}

bool srv_embed(srv_job *job, srv_model *model, const ts_jval *input, srv_vector_fn *fn, void *ud, size_t *n_tokens,
               srv_error *e) {
    inputs in = {0};
    const bool ok = read_inputs(&in, model, input, e) && check_lengths(&in, model, e) &&
                    compute(job, model, &in, fn, ud, e);
    if (ok) {
        *n_tokens = 0;
        for (size_t i = 0; i < in.n; i++) *n_tokens += in.len[i];
    }
    inputs_free(&in);
    return ok;
}
