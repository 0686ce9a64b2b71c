/* Bodies of requests, from JSON to the last byte of the answer: the first byte chooses the endpoint, the rest is the
 * body. A server without a network computes them with the bundled model and little context. Whatever comes: an answer
 * that is JSON (or events and lines of it), a status that blames the client where it is to blame, never 500, and an
 * end. */
#include "base/json_tree.h"
#include "server/server_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const srv_route *const tables[] = {srv_openai_routes, srv_own_routes, srv_anthropic_routes, srv_ollama_routes,
                                          srv_responses_routes};
static const srv_route *route[64];
static size_t n_routes;
static ts_server *srv;

static void prepare(void) {
    const ts_server_model model = {.path = SOURCE_ROOT "/models/tessera-tiny-q4_0.gguf", .name = "m"};
    ts_err err;
    if (ts_server_new(&srv, &(ts_server_opts){.model = &model, .n_model = 1, .n_ctx = 96, .n_parallel = 2,
                                              .engine = {.n_threads = 1}}, &err) != TS_OK) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const srv_route *r = tables[t]; r->path; r++)
            if (!strcmp(r->method, "POST") && n_routes < 64) route[n_routes++] = r;
}

static void need(bool kept, const ts_buf *out) {
    if (kept) return;
    fprintf(stderr, "%.*s\n", (int)out->len, out->data ? out->data : "");
    abort();
}

static bool is_json(const char *s, size_t len) {
    ts_arena arena = {0};
    const ts_jval *v;
    ts_err err;
    const bool ok = ts_jtree_parse(&v, &arena, s, len, &(ts_jlimits){.depth = 400}, &err) == TS_OK;
    ts_arena_free(&arena);
    return ok;
}

/* Lines of events or of JSON. */
static void look_at_lines(const ts_buf *out) {
    for (const char *p = out->data, *end = p + out->len; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        need(nl != NULL, out);
        const size_t n = (size_t)(nl - p);
        if (n > 6 && !memcmp(p, "data: ", 6)) need(!memcmp(p + 6, "[DONE]", 6) || is_json(p + 6, n - 6), out);
        else if (n > 0 && *p == '{') need(is_json(p, n), out);
        else need(n == 0 || *p == ':' || !memcmp(p, "event: ", 7), out);
        p = nl + 1;
    }
}

/* As the HTTP thread does: take what there is, until it has ended. */
static void drain(srv_job *job, ts_buf *out) {
    const struct timespec tick = {.tv_nsec = 50 * 1000};
    for (bool over = false; !over; nanosleep(&tick, NULL)) {
        pthread_mutex_lock(&job->lock);
        over = job->ended;
        const bool ok = ts_buf_append(out, job->out.data ? job->out.data + job->taken : "", job->out.len - job->taken);
        job->taken = job->out.len;
        pthread_mutex_unlock(&job->lock);
        if (!ok) abort();
        srv_sched_wake(srv->sched);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (!srv) prepare();
    if (len == 0) return 0;
    srv_job *job = srv_job_new(srv);
    ts_buf out = {0};
    if (!job || !ts_buf_append(&job->body, data + 1, len - 1)) abort();
    job->route = route[data[0] % n_routes];
    job->route->handle(job);
    drain(job, &out);
    need(job->status == 200 || job->status == 400 || job->status == 404, &out);
    if (job->stream) look_at_lines(&out);
    else need(is_json(out.data ? out.data : "", out.len), &out);
    ts_buf_free(&out);
    srv_job_drop(job);
    return 0;
}
