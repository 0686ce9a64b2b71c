/* live.c - what the page shows beside answers: bills, figures four times a second, other servers to compare with. */
#include "base/clock.h"
#include "base/json_write.h"
#include "server/server_int.h"

#include <string.h>

enum { LISTENERS = sizeof((ts_server *)NULL)->live / sizeof(srv_job *), EVERY_NS = 250 * 1000 * 1000 };

static void handle_ledger(srv_job *job) {
    ts_buf out = {0};
    bool nomem;
    const bool found = srv_books_find(job->srv->books, job->name, &out, &nomem);
    if (found || nomem) {
        srv_job_reply_json(job, found, &out);
        return;
    }
    srv_error e;
    srv_refuse(&e, 404, "id", "there is no bill of that request: those of the last 64 are kept");
    srv_job_fail(job, &e);
}

static void handle_peers(srv_job *job) {
    const ts_server_opts *o = &job->srv->o;
    ts_buf out = {0};
    bool ok = ts_buf_puts(&out, "{\"peers\":[");
    for (size_t i = 0; i < o->n_peer && ok; i++)
        ok = ts_buf_puts(&out, i ? ",{\"name\":" : "{\"name\":") &&
             ts_json_put_string(&out, o->peer[i].name, strlen(o->peer[i].name)) && ts_buf_puts(&out, ",\"base\":") &&
             ts_json_put_string(&out, o->peer[i].url, strlen(o->peer[i].url)) && ts_buf_putc(&out, '}');
    srv_job_reply_json(job, ok && ts_buf_puts(&out, "]}"), &out);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

struct pages {
    uint64_t bytes, disk;
};

static bool add_pages(void *ud, const srv_model *m) {
    struct pages *p = ud;
    ts_prefix_stats st;
    ts_prefix_get_stats(m->prefix, &st);
    p->bytes += st.bytes;
    p->disk = st.disk_bytes; /* one folder */
    return true;
}

static bool put_figures(ts_server *s, ts_buf *out) {
    srv_now now;
    struct pages pages = {0};
    srv_sched_now(s->sched, &now);
    srv_models_loaded(s->models, add_pages, &pages);
    return ts_buf_printf(out,
                         "data: {\"tok_s\":%.2f,\"prompt_tok_s\":%.2f,\"evidence\":\"measured\",\"processing\":%u,"
                         "\"waiting\":%u,\"slots\":%u,\"kv_bytes\":%llu,\"kv_disk_bytes\":%llu,\"watts\":null,"
                         "\"watts_source\":\"not measured\"}\n\n",
                         now.tok_s, now.prompt_tok_s, now.busy, now.waiting, now.n_slot,
                         (unsigned long long)pages.bytes, (unsigned long long)pages.disk);
}

void srv_live_tick(ts_server *s) {
    const uint64_t now = ts_now_ns();
    ts_buf out = {0};
    if (now - s->live_ns < EVERY_NS) return;
    s->live_ns = now;
    pthread_mutex_lock(&s->live_lock);
    for (size_t i = 0; i < LISTENERS; i++) {
        srv_job *job = s->live[i];
        if (!job) continue;
        if (atomic_load(&job->gone) || atomic_load(&s->stopping)) {
            s->live[i] = NULL;
            srv_job_end(job);
            srv_job_drop(job);
            continue;
        }
        if (!out.len && !put_figures(s, &out)) break;
        if (!srv_job_full(job)) (void)srv_job_write(job, out.data, out.len);
    }
    pthread_mutex_unlock(&s->live_lock);
    ts_buf_free(&out);
}

static void handle_live(srv_job *job) {
    ts_server *s = job->srv;
    size_t i = 0;
    pthread_mutex_lock(&s->live_lock);
    while (i < LISTENERS && s->live[i]) i++;
    if (i < LISTENERS) {
        srv_job_hold(job);
        s->live[i] = job;
        srv_job_stream(job, "text/event-stream");
    }
    pthread_mutex_unlock(&s->live_lock);
    if (i < LISTENERS) return;
    srv_error e;
    srv_refuse(&e, 429, NULL, "%zu listen to the figures already", (size_t)LISTENERS);
    srv_job_fail(job, &e);
}

const srv_route srv_live_routes[] = {
    {"GET", "/tessera/ledger/", SRV_NOW, handle_ledger, srv_openai_error},
    {"GET", "/tessera/peers", SRV_NOW, handle_peers, srv_openai_error},
    {"GET", "/tessera/live", 0, handle_live, srv_openai_error},
    {0},
};
