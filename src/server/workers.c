/* workers.c - threads that read requests, so that neither HTTP nor the engine waits for a template, a schema or a model
 * that is loaded. */
#include "server/server_int.h"

#include <string.h>

enum { WORKERS = 2 }; /* so that one model that is loaded does not keep everybody waiting */

struct srv_work {
    ts_server *srv;
    pthread_t thread[WORKERS];
    int n_thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    srv_job **ring; /* [cap] */
    uint32_t cap, first, n, handling;
    bool stop;
};

static void *work(void *ud) {
    srv_work *w = ud;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->n == 0 && !w->stop) pthread_cond_wait(&w->more, &w->lock);
        if (w->n == 0) break;
        srv_job *job = w->ring[w->first];
        w->first = (w->first + 1) % w->cap;
        w->n--;
        w->handling++;
        pthread_mutex_unlock(&w->lock);
        if (!atomic_load(&job->gone)) job->route->handle(job);
        else srv_job_reply(job, SRV_LEFT, "text/plain", &(ts_buf){0});
        srv_job_drop(job);
        pthread_mutex_lock(&w->lock);
        w->handling--;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

ts_status srv_work_new(srv_work **out, ts_server *s, ts_err *err) {
    srv_work *w = ts_calloc(1, sizeof *w);
    if (w) w->ring = ts_alloc(s->o.n_queue, sizeof *w->ring);
    if (!w || !w->ring) {
        ts_free(w);
        return ts_fail_nomem(err, "the queue of requests", s->o.n_queue * sizeof *w->ring);
    }
    w->srv = s;
    w->cap = s->o.n_queue;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    for (; w->n_thread < WORKERS; w->n_thread++) {
        const int fault = pthread_create(&w->thread[w->n_thread], NULL, work, w);
        if (!fault) continue;
        srv_work_free(w);
        return ts_fail_os(err, TS_E_NOMEM, fault, "cannot start a thread");
    }
    *out = w;
    return TS_OK;
}

void srv_work_stop(srv_work *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
    while (w->n_thread) pthread_join(w->thread[--w->n_thread], NULL);
}

void srv_work_free(srv_work *w) {
    if (!w) return;
    srv_work_stop(w);
    pthread_cond_destroy(&w->more);
    pthread_mutex_destroy(&w->lock);
    ts_free(w->ring);
    ts_free(w);
}

bool srv_work_put(srv_work *w, srv_job *job) {
    pthread_mutex_lock(&w->lock);
    const bool room = w->n < w->cap && !w->stop;
    if (room) {
        srv_job_hold(job);
        w->ring[(w->first + w->n++) % w->cap] = job;
        pthread_cond_signal(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

uint32_t srv_work_coming(srv_work *w) {
    pthread_mutex_lock(&w->lock);
    const uint32_t n = w->n + w->handling;
    pthread_mutex_unlock(&w->lock);
    return n;
}
