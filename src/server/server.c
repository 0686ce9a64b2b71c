/* server.c - the parts of a server, put together and taken apart. */
#include "base/clock.h"
#include "server/guard.h"
#include "server/server_int.h"

#include <sys/random.h>
#include <time.h>

static ts_server_opts with_defaults(ts_server_opts o) {
    if (!o.host) o.host = "127.0.0.1";
    if (!o.n_parallel) o.n_parallel = 4;
    if (!o.n_queue) o.n_queue = 64;
    if (!o.max_body) o.max_body = 32u << 20;
    if (!o.timeout_s) o.timeout_s = 30;
    if (!o.drain_s) o.drain_s = 30;
    if (!o.max_loaded) o.max_loaded = 1;
    if (!o.idle_unload_s) o.idle_unload_s = 300;
    return o;
}

ts_status ts_server_new(ts_server **out, const ts_server_opts *opts, ts_err *err) {
    TS_NEED(opts->n_parallel <= SRV_SLOTS, err, "%u requests at a time are more than %d", opts->n_parallel, SRV_SLOTS);
    ts_server *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "the server", sizeof *s);
    s->o = with_defaults(*opts);
    s->began_ns = ts_now_ns();
    if (getrandom(&s->id_key, sizeof s->id_key, 0) < 0) s->id_key = s->began_ns ^ (uint64_t)time(NULL);
    pthread_mutex_init(&s->jobs_lock, NULL);
    pthread_mutex_init(&s->live_lock, NULL);
    s->books = srv_books_new();
    ts_status status = s->books ? srv_guard_check(&s->o, err) : ts_fail_nomem(err, "the server", 0);
    if (status == TS_OK) status = srv_models_new(&s->models, &s->o, err);
    if (status == TS_OK) status = srv_work_new(&s->work, s, err);
    if (status == TS_OK) status = srv_sched_new(&s->sched, s, err);
    if (status == TS_OK) status = srv_net_new(&s->net, s, err);
    if (status != TS_OK) {
        ts_server_free(s);
        return status;
    }
    *out = s;
    return TS_OK;
}

uint16_t ts_server_port(const ts_server *s) {
    return srv_net_port(s->net);
}

void ts_server_stop(ts_server *s) {
    if (atomic_fetch_add(&s->stopping, 1) == 0) srv_net_quiesce(s->net);
    srv_sched_wake(s->sched);
}

static bool idle(ts_server *s) {
    pthread_mutex_lock(&s->jobs_lock);
    bool none = true; /* of those that are here; what has not arrived yet is not waited for */
    for (const srv_job *job = s->jobs; job && none; job = job->next) none = !atomic_load(&job->arrived);
    pthread_mutex_unlock(&s->jobs_lock);
    return none && srv_sched_idle(s->sched);
}

void ts_server_wait(ts_server *s) {
    const struct timespec tick = {.tv_nsec = 20 * 1000 * 1000};
    uint64_t since = 0, tidy_ns = 0;
    while (atomic_load(&s->stopping) < 2) {
        nanosleep(&tick, NULL);
        srv_live_tick(s);
        if (ts_now_ns() - tidy_ns > 1000000000u) {
            tidy_ns = ts_now_ns();
            srv_models_tidy(s->models);
            srv_net_tidy(s->net);
        }
        if (!atomic_load(&s->stopping)) continue;
        if (!since) since = ts_now_ns();
        if (idle(s)) return;
        if ((ts_now_ns() - since) / 1000000000u >= s->o.drain_s) ts_server_stop(s);
    }
}

void ts_server_free(ts_server *s) {
    if (!s) return;
    atomic_store(&s->stopping, 2);
    s->live_ns = 0;
    srv_live_tick(s);
    srv_work_stop(s->work); /* what it still submits is ended by the scheduler */
    srv_sched_stop(s->sched);
    srv_net_free(s->net); /* until then HTTP may ask the others, or wake them */
    srv_sched_free(s->sched);
    srv_work_free(s->work);
    srv_models_free(s->models);
    srv_books_free(s->books);
    pthread_mutex_destroy(&s->live_lock);
    pthread_mutex_destroy(&s->jobs_lock);
    ts_free(s);
}
