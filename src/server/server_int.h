/* server_int.h - what the server's own files know about each other. */
#ifndef TS_SERVER_SERVER_INT_H
#define TS_SERVER_SERVER_INT_H

#include "server/gen.h"
#include "server/job.h"
#include "server/models.h"
#include "server/server.h"

/* Counters that only grow, for /metrics and the log. */
typedef struct srv_metrics {
    _Atomic uint64_t requests, failed, refused, left; /* answered; with 5xx; with 4xx; whose client left */
    _Atomic uint64_t prompt_tokens, cached_tokens, prompt_ns; /* computed; found in the prefix store; in such passes */
    _Atomic uint64_t tokens, draw_ns;                 /* drawn; in passes that only draw */
    _Atomic uint64_t passes, rows;                    /* and tokens in all of them */
} srv_metrics;

typedef struct srv_sched srv_sched;
typedef struct srv_net srv_net;
typedef struct srv_work srv_work;

struct ts_server {
    ts_server_opts o;
    srv_models *models;
    srv_sched *sched;
    srv_work *work;
    srv_net *net;
    srv_metrics metrics;
    srv_books *books;
    uint64_t began_ns;
    atomic_size_t body_bytes;    /* of all requests that live */
    atomic_int stopping;         /* 1: take no more; 2: end what there is, too */
    atomic_uint_fast64_t next_id;
    uint64_t id_key;             /* so that ids of two servers differ */

    pthread_mutex_t live_lock;
    srv_job *live[16];           /* held: those who listen to the figures */
    uint64_t live_ns;

    pthread_mutex_t jobs_lock;
    srv_job *jobs;               /* all that live */
    uint32_t n_jobs;
};

/* ---- http.c ------------------------------------------------------------------------------------------------------ */

TS_NODISCARD ts_status srv_net_new(srv_net **out, ts_server *s, ts_err *err);
uint16_t srv_net_port(const srv_net *n);
void srv_net_quiesce(srv_net *n); /* no new connections */
void srv_net_free(srv_net *n);    /* NULL-safe; ends the rest */
/* Close connections whose request does not come. Called now and then. */
void srv_net_tidy(srv_net *n);

/* ---- job.c ------------------------------------------------------------------------------------------------------- */

srv_job *srv_job_new(ts_server *s); /* one reference; NULL: no memory */
void srv_job_drop_body(srv_job *job);
/* Let the HTTP thread look at it again; under its lock. */
void srv_job_resume(srv_job *job);
/* Mark those whose client has left. */
void srv_jobs_look(ts_server *s);

/* ---- workers.c ----------------------------------------------------------------------------------------- */

TS_NODISCARD ts_status srv_work_new(srv_work **out, ts_server *s, ts_err *err);
void srv_work_stop(srv_work *w); /* NULL-safe; ends after what there is */
void srv_work_free(srv_work *w); /* NULL-safe */
/* Have a worker handle the job. false: too many wait. */
bool srv_work_put(srv_work *w, srv_job *job);
/* How many wait, or are being handled? */
uint32_t srv_work_coming(srv_work *w);

/* ---- scheduler.c ------------------------------------------------------------------------------------------------- */

TS_NODISCARD ts_status srv_sched_new(srv_sched **out, ts_server *s, ts_err *err);
void srv_sched_stop(srv_sched *s); /* NULL-safe; ends after what there is */
void srv_sched_free(srv_sched *s); /* NULL-safe */
void srv_sched_wake(srv_sched *s);
bool srv_sched_put(srv_sched *s, srv_gen *g); /* false: too many wait */
bool srv_sched_idle(srv_sched *s);            /* nothing is computed, nothing waits */

typedef struct srv_slot { /* what one of n_parallel places is at */
    bool busy;
    uint64_t task;
    uint32_t n_prompt, n_read, n_drawn; /* tokens of the prompt, of these done; drawn */
    char model[120];
} srv_slot;
typedef struct srv_now {
    uint32_t n_slot, busy, waiting;
    double tok_s, prompt_tok_s; /* over the last second that something was computed in; measured */
    srv_slot slot[64];
} srv_now;
enum { SRV_SLOTS = 64 };
void srv_sched_now(srv_sched *s, srv_now *out);

/* ---- live.c: figures four times a second ------------------------------------------------------------------------- */

/* Tell those who listen, where it is time. Called now and then. */
void srv_live_tick(ts_server *s);

/* ---- routes ------------------------------------------------------------------------------------------------------ */

extern const srv_route srv_openai_routes[], srv_own_routes[], srv_live_routes[], srv_anthropic_routes[],
    srv_ollama_routes[], srv_responses_routes[];
srv_error_body srv_openai_error, srv_anthropic_error, srv_ollama_error;

/* A new id behind `prefix`, 24 letters and digits. */
void srv_new_id(ts_server *s, const char *prefix, char *out, size_t cap);

#endif
