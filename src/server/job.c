/* job.c - a request and its answer between the threads. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "base/clock.h"
#include "base/rng.h"
#include "server/server_int.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static const char *type_of(int status) {
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

bool srv_refuse(srv_error *e, int status, const char *param, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    *e = (srv_error){.status = status, .type = type_of(status)};
    vsnprintf(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
    if (param) snprintf(e->param, sizeof e->param, "%s", param);
    return false;
}

bool srv_refuse_nomem(srv_error *e) {
    return srv_refuse(e, 503, NULL, "out of memory");
}

bool srv_refuse_err(srv_error *e, const char *param, const ts_err *err) {
    const bool ours = err->code == TS_E_NOMEM || err->code == TS_E_IO || err->code == TS_E_DEVICE;
    return srv_refuse(e, err->code == TS_E_NOMEM ? 503 : ours ? 500 : 400, param, "%s", err->msg);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

srv_job *srv_job_new(ts_server *s) {
    srv_job *job = ts_calloc(1, sizeof *job);
    if (!job) return NULL;
    job->srv = s;
    job->name = "";
    job->fd = -1;
    job->began_ns = job->spoke_ns = ts_now_ns();
    atomic_init(&job->refs, 1);
    pthread_mutex_init(&job->lock, NULL);
    pthread_mutex_lock(&s->jobs_lock);
    job->next = s->jobs;
    if (s->jobs) s->jobs->prev = job;
    s->jobs = job;
    s->n_jobs++;
    pthread_mutex_unlock(&s->jobs_lock);
    return job;
}

void srv_job_drop_body(srv_job *job) {
    atomic_fetch_sub(&job->srv->body_bytes, job->body.len);
    ts_buf_free(&job->body);
}

void srv_job_hold(srv_job *job) {
    atomic_fetch_add(&job->refs, 1);
}

void srv_job_drop(srv_job *job) {
    if (atomic_fetch_sub(&job->refs, 1) != 1) return;
    ts_server *s = job->srv;
    pthread_mutex_lock(&s->jobs_lock);
    if (job->prev) job->prev->next = job->next;
    else s->jobs = job->next;
    if (job->next) job->next->prev = job->prev;
    s->n_jobs--;
    pthread_mutex_unlock(&s->jobs_lock);
    pthread_mutex_destroy(&job->lock);
    srv_job_drop_body(job);
    ts_buf_free(&job->out);
    ts_arena_free(&job->arena);
    ts_free(job);
}

/* A client that has closed its end, or the whole connection, is seen by asking the system: libmicrohttpd does not watch
 * connections that are suspended. */
void srv_jobs_look(ts_server *s) {
    struct pollfd fd[128];
    srv_job *of[128];
    pthread_mutex_lock(&s->jobs_lock);
    for (srv_job *job = s->jobs; job;) {
        nfds_t n = 0;
        for (; job && n < 128; job = job->next) {
            if (job->fd < 0 || !job->arrived || atomic_load(&job->gone)) continue;
            of[n] = job;
            fd[n++] = (struct pollfd){.fd = job->fd, .events = POLLRDHUP};
        }
        if (n == 0 || poll(fd, n, 0) <= 0) continue;
        for (nfds_t i = 0; i < n; i++)
            if (fd[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) atomic_store(&of[i]->gone, true);
    }
    pthread_mutex_unlock(&s->jobs_lock);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

void srv_job_resume(srv_job *job) {
    if (!job->suspended || !job->conn) return;
    job->suspended = false;
    MHD_resume_connection(job->conn);
}

void srv_job_reply(srv_job *job, int status, const char *type, ts_buf *body) {
    pthread_mutex_lock(&job->lock);
    if (job->status == 0) {
        job->status = status, job->type = type, job->ended = true;
        job->out = *body;
        job->written = body->len;
    } else {
        ts_buf_free(body);
    }
    *body = (ts_buf){0};
    srv_job_resume(job);
    pthread_mutex_unlock(&job->lock);
}

void srv_job_reply_json(srv_job *job, bool ok, ts_buf *body) {
    srv_error e;
    if (ok) {
        srv_job_reply(job, 200, "application/json", body);
        return;
    }
    ts_buf_free(body);
    srv_refuse_nomem(&e);
    srv_job_fail(job, &e);
}

void srv_job_fail(srv_job *job, const srv_error *e) {
    ts_buf body = {0};
    srv_error_body *say = job->route && job->route->error ? job->route->error : srv_openai_error;
    if (!say(&body, e)) ts_buf_clear(&body); /* the status has to do */
    srv_job_reply(job, e->status, "application/json", &body);
}

void srv_job_stream(srv_job *job, const char *type) {
    pthread_mutex_lock(&job->lock);
    job->status = 200, job->type = type, job->stream = true;
    job->spoke_ns = ts_now_ns();
    srv_job_resume(job);
    pthread_mutex_unlock(&job->lock);
}

bool srv_job_write(srv_job *job, const void *data, size_t len) {
    if (atomic_load(&job->gone)) return true; /* it will be looked at before long */
    pthread_mutex_lock(&job->lock);
    if (job->taken == job->out.len) ts_buf_clear(&job->out), job->taken = 0;
    const bool ok = ts_buf_append(&job->out, data, len);
    job->written += ok ? len : 0;
    job->spoke_ns = ts_now_ns();
    srv_job_resume(job);
    pthread_mutex_unlock(&job->lock);
    return ok;
}

void srv_job_end(srv_job *job) {
    pthread_mutex_lock(&job->lock);
    job->ended = true;
    srv_job_resume(job);
    pthread_mutex_unlock(&job->lock);
}

bool srv_job_full(srv_job *job) {
    pthread_mutex_lock(&job->lock);
    const bool full = job->out.len - job->taken > SRV_OUT_FULL;
    pthread_mutex_unlock(&job->lock);
    return full;
}

uint64_t srv_job_silence(srv_job *job) {
    pthread_mutex_lock(&job->lock);
    const uint64_t ns = ts_now_ns() - job->spoke_ns;
    pthread_mutex_unlock(&job->lock);
    return ns;
}

const ts_jval *srv_job_json(srv_job *job, srv_error *e) {
    const ts_jval *v = NULL;
    ts_err err;
    *e = (srv_error){0};
    if (job->body.len == 0) {
        srv_refuse(e, 400, NULL, "the request has no body; a JSON object is wanted");
        return NULL;
    }
    const ts_jlimits limits = {.depth = 300, .values = 1u << 20}; /* schemas are looked at again, more closely */
    if (ts_jtree_parse(&v, &job->arena, job->body.data, job->body.len, &limits, &err) != TS_OK) {
        if (err.code == TS_E_NOMEM) srv_refuse_err(e, NULL, &err);
        else srv_refuse(e, 400, NULL, "the body is not JSON that can be read: %s", err.msg);
        return NULL;
    }
    if (v->type == TS_JSON_OBJECT) return v;
    srv_refuse(e, 400, NULL, "the body is JSON, but no object");
    return NULL;
}

void srv_new_id(ts_server *s, const char *prefix, char *out, size_t cap) {
    static const char letter[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char id[25];
    ts_rng rng = ts_rng_seed(s->id_key + atomic_fetch_add(&s->next_id, 1));
    for (int i = 0; i < 24; i++) id[i] = letter[ts_rng_below(&rng, 62)];
    id[24] = 0;
    snprintf(out, cap, "%s%s", prefix, id);
}
