/* job.h - a request on its way through the server: what came, and what goes back.
 *
 * Made by the HTTP thread, answered by a worker or the engine thread. What is written waits in a buffer until the
 * HTTP thread has sent it; who writes asks srv_job_full and waits, if only with this one job. Counted by reference: the
 * connection has one, whoever works on it another. */
#ifndef TS_SERVER_JOB_H
#define TS_SERVER_JOB_H

#include "base/json_tree.h"
#include "tessera/tessera.h"

#include <pthread.h>
#include <stdatomic.h>

struct MHD_Connection;
typedef struct srv_job srv_job;

/* Why a request is not answered as it was meant; how it is put into words is the API's matter. */
typedef struct srv_error {
    int status;       /* HTTP's; 0: no error */
    const char *type; /* "invalid_request_error", ... */
    const char *code; /* nullable: "context_length_exceeded", ... */
    char param[120];  /* the field it is about; "": none */
    char message[700];
    uint32_t n_prompt, n_ctx; /* of a prompt that is too long */
} srv_error;
/* Fill `e` and return false. `param` nullable. */
TS_PRINTF(4, 5) bool srv_refuse(srv_error *e, int status, const char *param, const char *fmt, ...);
bool srv_refuse_nomem(srv_error *e); /* 503 */
/* The same from the status of the library: the caller's mistake is 400, ours 500. */
bool srv_refuse_err(srv_error *e, const char *param, const ts_err *err);

/* How an API says that something went wrong: the whole body, JSON. false: no memory. */
typedef bool srv_error_body(ts_buf *out, const srv_error *e);

typedef enum srv_need {
    SRV_OPEN = 1, /* no key is asked for */
    SRV_NOW = 2,  /* answered by the HTTP thread: nothing that takes time; there is no body */
} srv_need;
typedef struct srv_route {
    const char *method, *path; /* a path that ends in "/" has a name behind it */
    unsigned need;
    void (*handle)(srv_job *job); /* answers the job, or hands it on */
    srv_error_body *error;
} srv_route;

struct srv_job {
    struct ts_server *srv;
    const srv_route *route;
    const char *name;  /* behind the route's path, decoded; "" */
    uint64_t began_ns; /* ts_now_ns */
    ts_buf body;
    ts_arena arena; /* for whoever works on it; lives as long as the job */
    const char *origin; /* of a page that may read the answer; NULL: none, or our own */

    /* the HTTP thread's */
    struct MHD_Connection *conn;
    atomic_int fd;     /* -1: the connection is gone */
    srv_error refused; /* at its headers, told once the body has gone by */
    bool hang_up;      /* and close the connection then */
    bool queued;       /* its response was given to libmicrohttpd */
    atomic_bool arrived; /* the body is here, the handler has it */
    char accept_html;

    atomic_int refs;
    atomic_bool gone; /* the client has left, or the time is up: nobody reads an answer */

    pthread_mutex_t lock; /* what follows */
    int status;           /* 0: nothing is said yet */
    const char *type;     /* of the content; static storage */
    const char *may_send; /* of a preflight: headers that the page may send; the connection's or static; else NULL */
    bool stream, ended, suspended;
    ts_buf out;
    size_t taken, written; /* of `out`, sent; of all, for the log */
    uint64_t spoke_ns;     /* when something was last written */

    srv_job *prev, *next; /* the server's list of those that live */
    uint32_t n_prompt, n_out; /* tokens, for the log */
};

enum {
    SRV_OUT_FULL = 64 << 10,
    SRV_LEFT = 499, /* a status that nobody reads: the client has left */
};

void srv_job_hold(srv_job *job);
void srv_job_drop(srv_job *job);

/* The whole answer; takes the bytes of `body`. */
void srv_job_reply(srv_job *job, int status, const char *type, ts_buf *body);
/* The same, in JSON, where `ok`; otherwise 500 for want of memory. */
void srv_job_reply_json(srv_job *job, bool ok, ts_buf *body);
void srv_job_fail(srv_job *job, const srv_error *e);
/* An answer that comes piece by piece: its head; a piece (false: no memory, or nobody reads it); its end. */
void srv_job_stream(srv_job *job, const char *type);
bool srv_job_write(srv_job *job, const void *data, size_t len);
void srv_job_end(srv_job *job);
/* More waits to be sent than should: the next piece is made later. */
bool srv_job_full(srv_job *job);
/* Nanoseconds since something was written. */
uint64_t srv_job_silence(srv_job *job);

/* The body as JSON, which has to be an object. NULL: *e says why not. */
const ts_jval *srv_job_json(srv_job *job, srv_error *e);

#endif
