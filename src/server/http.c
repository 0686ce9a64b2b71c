/* http.c - libmicrohttpd on one side, jobs on the other: who may ask, how much, for how long; bodies in, bytes out.
 *
 * What is checked stands in the order in which it is checked: the first line, one Host and one length, the Host's name,
 * the Origin, the size, the path, the key. A request that is refused is told so once its body has gone by, so that the
 * connection lives on; only a body that is too large is cut off, one whose end is not known, and one that its sender
 * holds back (Expect: 100-continue). */
#define _GNU_SOURCE /* POLLRDHUP */
#include "base/clock.h"
#include "server/guard.h"
#include "server/page.h"
#include "server/server_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS = 512,
    CONNECTIONS_OF_ONE = 256, /* of an address: many programs of this machine have the same one */
    HEADER_BYTES = 64 << 10,
    BLOCK = 16 << 10,
    BODIES = 8, /* so many of the largest are in memory at a time */
};

/* A connection that is open, from its beginning: one that brings no request is closed in time. */
typedef struct peer {
    int fd;
    uint64_t since_ns; /* since when a request is waited for; 0: one is being answered */
    struct MHD_Connection *head; /* of whose request the first line is here, but not all of its head; or NULL */
    const srv_route *lost;       /* and in whose words it is refused */
    bool broken_line;            /* there is a blank or a control character in what it asks for */
    struct peer *prev, *next;
} peer;

struct srv_net {
    ts_server *srv;
    struct MHD_Daemon *daemon;
    int listener;
    uint16_t port;
    srv_guard *guard;
    pthread_mutex_t lock;
    peer *peers;
    pthread_t thread; /* libmicrohttpd's, from the first request on */
    ts_buf csp; /* of the page: it loads and asks this server, and asks the peers that were named, nobody else */
};

/* Errors that nobody's route tells: in the form of the API that the path belongs to. */
static const srv_route lost_openai = {.error = srv_openai_error}, lost_ollama = {.error = srv_ollama_error},
                       lost_anthropic = {.error = srv_anthropic_error};

static const srv_route *lost(const char *url) {
    return !strncmp(url, "/api/", 5)           ? &lost_ollama
           : !strncmp(url, "/v1/messages", 12) ? &lost_anthropic
                                               : &lost_openai;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void on_connection(void *cls, struct MHD_Connection *conn, void **ctx,
                          enum MHD_ConnectionNotificationCode code) {
    srv_net *n = cls;
    peer *p = *ctx;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        p = ts_calloc(1, sizeof *p);
        if (!p) return; /* then it has no deadline but libmicrohttpd's */
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        p->fd = fd ? fd->connect_fd : -1;
        p->since_ns = ts_now_ns();
        pthread_mutex_lock(&n->lock);
        p->next = n->peers;
        if (p->next) p->next->prev = p;
        n->peers = p;
        pthread_mutex_unlock(&n->lock);
        *ctx = p;
    } else if (p) {
        pthread_mutex_lock(&n->lock);
        if (p->prev) p->prev->next = p->next;
        else n->peers = p->next;
        if (p->next) p->next->prev = p->prev;
        pthread_mutex_unlock(&n->lock);
        ts_free(p);
        *ctx = NULL;
    }
}

static peer *peer_of(struct MHD_Connection *conn) {
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

static void peer_waits(srv_net *n, struct MHD_Connection *conn, bool waits) {
    peer *p = peer_of(conn);
    if (!p) return;
    pthread_mutex_lock(&n->lock);
    p->since_ns = waits ? ts_now_ns() : 0;
    p->head = NULL;
    pthread_mutex_unlock(&n->lock);
}

/* The first line of a request: what it asks for, as it came. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *conn) {
    srv_net *n = cls;
    peer *p = peer_of(conn);
    if (!p) return NULL;
    pthread_mutex_lock(&n->lock);
    n->thread = pthread_self();
    p->head = conn;
    p->lost = lost(srv_guard_path(target));
    p->broken_line = false;
    for (const unsigned char *c = (const unsigned char *)target; *c; c++) p->broken_line |= *c <= ' ' || *c == 127;
    pthread_mutex_unlock(&n->lock);
    return NULL; /* what on_request finds in *ctx */
}

/* The head is whole: is its first line one? */
static bool line_is_fine(srv_net *n, struct MHD_Connection *conn, srv_error *e) {
    peer *p = peer_of(conn);
    if (!p) return true;
    pthread_mutex_lock(&n->lock);
    p->head = NULL;
    const bool broken = p->broken_line;
    pthread_mutex_unlock(&n->lock);
    return !broken || srv_refuse(e, 400, NULL, "there is a blank or a control character in what is asked for");
}

/* The answer to a head that on_request is never shown; under the lock. */
static void refuse_head(srv_net *n, peer *p) {
    srv_error e;
    ts_buf out = {0}, body = {0};
    srv_refuse(&e, 400, NULL, "Content-Length is no number that can be read");
    if (p->lost->error(&body, &e) &&
        ts_buf_printf(&out, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
                            "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n\r\n", body.len) &&
        ts_buf_append(&out, body.data, body.len))
        (void)!send(p->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    ts_buf_free(&out), ts_buf_free(&body);
    shutdown(p->fd, SHUT_RDWR);
    p->head = NULL;
    atomic_fetch_add(&n->srv->metrics.requests, 1);
    atomic_fetch_add(&n->srv->metrics.refused, 1);
}

/* libmicrohttpd's messages are of clients' faults, and what matters is told by our own. But one of them is the only
 * sign of a Content-Length that is no number: it answers that itself, with two heads one behind the other (0.9.75), and
 * asks nobody. The message comes before its answer does, so ours is sent first, and then the way is closed.
 *
 * What else it refuses itself (a line without a colon, chunks that are none, a head of more than HEADER_BYTES, another
 * version of HTTP) it does with one head, a page of its own and an end: there is no place to put ours. What has no
 * method at all it hangs up on. */
static void on_message(void *cls, const char *fmt, va_list ap) {
    srv_net *n = cls;
    (void)fmt, (void)ap;
    pthread_mutex_lock(&n->lock);
    /* on another thread heads would be seen while they change */
    peer *p = n->peers && pthread_equal(n->thread, pthread_self()) ? n->peers : NULL;
    for (; p; p = p->next) {
        if (!p->head || p->fd < 0) continue;
        if (MHD_get_connection_info(p->head, MHD_CONNECTION_INFO_HTTP_STATUS)) p->head = NULL; /* it is answered */
        else if (!srv_guard_length(p->head)) refuse_head(n, p);
    }
    pthread_mutex_unlock(&n->lock);
}

/* What comes together with the end of its connection is read, and the end is not seen (libmicrohttpd 0.9.75, which is
 * told of each change only once): such a connection would take a place until its time is up. */
static bool has_left(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

void srv_net_tidy(srv_net *n) {
    const uint64_t now = ts_now_ns(), most = (uint64_t)n->srv->o.timeout_s * 1000000000u;
    pthread_mutex_lock(&n->lock);
    for (peer *p = n->peers; p; p = p->next)
        if (p->since_ns && p->fd >= 0 && (now - p->since_ns > most || has_left(p->fd))) {
            shutdown(p->fd, SHUT_RDWR); /* libmicrohttpd sees its end, and closes it */
            p->since_ns = 0;
        }
    pthread_mutex_unlock(&n->lock);
}

/* ---- bytes out --------------------------------------------------------------------------------------------------- */

/* More of a stream. Nothing there: the connection sleeps until somebody writes. */
static ssize_t read_stream(void *cls, uint64_t pos, char *buf, size_t max) {
    srv_job *job = cls;
    (void)pos;
    pthread_mutex_lock(&job->lock);
    size_t n = job->out.len - job->taken;
    const bool was_full = n > SRV_OUT_FULL;
    ssize_t result;
    if (n > 0) {
        if (n > max) n = max;
        memcpy(buf, job->out.data + job->taken, n);
        job->taken += n;
        result = (ssize_t)n;
    } else if (job->ended) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        job->suspended = true;
        MHD_suspend_connection(job->conn);
        result = 0;
    }
    const bool room = was_full && job->out.len - job->taken <= SRV_OUT_FULL;
    pthread_mutex_unlock(&job->lock);
    if (room) srv_sched_wake(job->srv->sched); /* its request was paused */
    return result;
}

static void add_headers(srv_job *job, struct MHD_Response *r) {
    MHD_add_response_header(r, "Content-Type", job->type);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Cache-Control", job->stream ? "no-cache" : "no-store");
    if (job->stream) MHD_add_response_header(r, "X-Accel-Buffering", "no");
    if (job->hang_up) MHD_add_response_header(r, "Connection", "close");
    if (job->status == 429) MHD_add_response_header(r, "Retry-After", "1");
    if (job->status == 401) MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    if (job->origin) {
        MHD_add_response_header(r, "Access-Control-Allow-Origin", job->origin);
        MHD_add_response_header(r, "Access-Control-Expose-Headers", "Retry-After");
        MHD_add_response_header(r, "Vary", job->may_send ? "Origin, Access-Control-Request-Headers" : "Origin");
    }
    if (job->may_send) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
        MHD_add_response_header(r, "Access-Control-Allow-Headers", job->may_send);
        MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    }
}

static enum MHD_Result send_answer(srv_job *job) {
    struct MHD_Response *r = NULL;
    pthread_mutex_lock(&job->lock);
    if (job->status == 0) { /* woken for nothing */
        job->suspended = true;
        MHD_suspend_connection(job->conn);
        pthread_mutex_unlock(&job->lock);
        return MHD_YES;
    }
    if (job->stream) {
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, job, NULL);
    } else if (job->out.data) {
        r = MHD_create_response_from_buffer_with_free_callback(job->out.len, job->out.data, ts_free);
        if (r) job->out = (ts_buf){0}; /* it frees them */
    } else {
        r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    }
    if (r) add_headers(job, r);
    const unsigned status = (unsigned)job->status;
    pthread_mutex_unlock(&job->lock);
    if (!r) return MHD_NO;
    job->queued = true;
    const enum MHD_Result ok = MHD_queue_response(job->conn, status, r);
    MHD_destroy_response(r);
    return ok;
}

/* ---- requests in ------------------------------------------------------------------------------------------------- */

static const srv_route *const tables[] = {srv_openai_routes, srv_own_routes, srv_live_routes, srv_anthropic_routes,
                                          srv_ollama_routes, srv_responses_routes};
enum { TABLES = sizeof tables / sizeof *tables };

/* "%41" in a name is "A". false: it is no such text, or has a NUL in it. */
static bool decode(const char *from, char *to) {
    while (*from) {
        unsigned v;
        char hex[3] = {0};
        if (*from != '%') {
            *to++ = *from++;
            continue;
        }
        hex[0] = from[1], hex[1] = hex[0] ? from[2] : 0;
        if (strspn(hex, "0123456789abcdefABCDEF") != 2 || sscanf(hex, "%2x", &v) != 1 || v == 0) return false;
        *to++ = (char)v;
        from += 3;
    }
    *to = 0;
    return true;
}

static bool matches(const char *path, const char *url) {
    const size_t n = strlen(path);
    if (n > 1 && path[n - 1] == '/') return strncmp(url, path, n) == 0 && url[n];
    return strcmp(url, path) == 0;
}

/* The route of this method and path; *known: there is one of another method. */
static const srv_route *find_route(const char *method, const char *url, const srv_route **known) {
    *known = NULL;
    if (!strcmp(method, "HEAD")) method = "GET";
    for (size_t t = 0; t < TABLES; t++)
        for (const srv_route *r = tables[t]; r->path; r++) {
            if (!matches(r->path, url)) continue;
            if (!strcmp(r->method, method)) return r;
            *known = r;
        }
    return NULL;
}

/* A body that is only somewhat too large is let go by, so that its sender can read why it was refused; many cannot
 * before all is sent. */
static bool is_huge(const srv_net *n, struct MHD_Connection *conn) {
    const char *length = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) / 4 > n->srv->o.max_body;
}

/* Everything that its head can be refused for. */
static void look_at_head(srv_net *n, srv_job *job, const char *target, const char *method) {
    const char *url = srv_guard_path(target);
    const ts_server_opts *o = &n->srv->o;
    srv_error *e = &job->refused;
    const srv_route *known;
    job->route = find_route(method, url, &known);
    const bool page = !job->route && !known && srv_page_find(url);
    const bool framed = line_is_fine(n, job->conn, e) && srv_guard_head(n->guard, job->conn, target, e);
    job->hang_up = !framed && e->status == 400; /* where this request ends is not known */
    if (!framed || !srv_guard_origin(n->guard, job->conn, method, &job->origin, e)) {
        if (!job->route) job->route = known ? known : lost(url);
        return;
    }
    const char *length = MHD_lookup_connection_value(job->conn, MHD_HEADER_KIND, "Content-Length");
    if (length && strtoull(length, NULL, 10) > o->max_body)
        srv_refuse(e, 413, NULL, "the body has %s bytes, %u are the most (--max-body)", length, o->max_body);
    else if (!strcmp(method, "OPTIONS"))
        e->status = 204; /* a preflight: what is allowed stands in its headers */
    else if (!job->route && !page && known)
        srv_refuse(e, 405, NULL, "%s does not take %s, but %s", url, method, known->method);
    else if (!job->route && !(page && (!strcmp(method, "GET") || !strcmp(method, "HEAD"))))
        srv_refuse(e, 404, NULL, "there is no %s here", url);
    else if (job->route && !(job->route->need & SRV_OPEN))
        srv_guard_key(n->guard, job->conn, e);
    if (atomic_load(&n->srv->stopping) && !e->status) srv_refuse(e, 503, NULL, "the server is stopping");
    if (!job->route) job->route = known ? known : lost(url);
}

static enum MHD_Result give(struct MHD_Connection *conn, unsigned status, struct MHD_Response *r) {
    if (!r) return MHD_NO;
    const enum MHD_Result ok = MHD_queue_response(conn, status, r);
    MHD_destroy_response(r);
    return ok;
}

/* A part of the page: it does not change while the program runs. */
static enum MHD_Result send_page(srv_net *n, srv_job *job, const srv_page_file *f) {
    if (!f) return MHD_NO;
    const char *have = MHD_lookup_connection_value(job->conn, MHD_HEADER_KIND, "If-None-Match");
    const bool same = srv_page_same(f, have);
    struct MHD_Response *r =
        MHD_create_response_from_buffer(same ? 0 : f->len, (void *)(uintptr_t)f->data, MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    const char *const header[][2] = {
        {"Content-Security-Policy", n->csp.data},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-cache"}};
    for (size_t i = 0; i < sizeof header / sizeof *header; i++) MHD_add_response_header(r, header[i][0], header[i][1]);
    MHD_add_response_header(r, "Content-Type", f->type);
    MHD_add_response_header(r, "ETag", f->etag);
    job->status = same ? 304 : 200;
    job->queued = true;
    return give(job->conn, (unsigned)job->status, r);
}

/* The head is here. NULL: no memory. */
static srv_job *open_job(srv_net *n, struct MHD_Connection *conn, const char *target, const char *method) {
    const char *url = srv_guard_path(target);
    srv_job *job = srv_job_new(n->srv);
    if (!job) return NULL;
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    const char *accept = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Accept");
    job->conn = conn;
    job->fd = fd ? fd->connect_fd : -1;
    job->accept_html = accept && strstr(accept, "text/html");
    look_at_head(n, job, target, method);
    const size_t prefix = job->route->path ? strlen(job->route->path) : 0;
    if (prefix > 1 && job->route->path[prefix - 1] == '/' && !job->refused.status) {
        char *name = ts_arena_alloc(&job->arena, strlen(url) + 1, 1);
        if (name) job->name = name;
        if (!name || !decode(url + prefix, name)) srv_refuse(&job->refused, 400, NULL, "the path cannot be read");
    }
    return job;
}

/* The request is whole: refuse it, answer it, or let a worker do that. */
static enum MHD_Result arrived(srv_net *n, srv_job *job, const char *url) {
    job->arrived = true;
    peer_waits(n, job->conn, false);
    if (job->refused.status) {
        if (job->refused.status == 204) {
            job->may_send = srv_guard_may_send(job->conn);
            srv_job_reply(job, 204, "text/plain", &(ts_buf){0});
        } else {
            srv_job_fail(job, &job->refused);
        }
        return send_answer(job);
    }
    if (!job->route->handle) return send_page(n, job, srv_page_find(url));
    if (!strcmp(job->route->path, "/") && job->accept_html) return send_page(n, job, srv_page_find("/"));
    if (job->route->need & SRV_NOW) {
        job->route->handle(job);
        return send_answer(job);
    }
    pthread_mutex_lock(&job->lock);
    job->suspended = true; /* before a worker can have an answer */
    MHD_suspend_connection(job->conn);
    pthread_mutex_unlock(&job->lock);
    if (srv_work_put(n->srv->work, job)) return MHD_YES;
    srv_error e;
    srv_refuse(&e, 429, NULL, "%u requests wait already; try again in a moment", n->srv->o.n_queue);
    srv_job_fail(job, &e);
    return MHD_YES;
}

/* Bodies of all requests together are bounded, too. */
static bool keep_body(srv_net *n, srv_job *job, const char *data, size_t len) {
    const size_t most = (size_t)n->srv->o.max_body * BODIES;
    if (atomic_fetch_add(&n->srv->body_bytes, len) + len <= most && ts_buf_append(&job->body, data, len)) return true;
    atomic_fetch_sub(&n->srv->body_bytes, len);
    return false;
}

/* Does the client hold its body back until it is told to go on, or why not? */
static bool holds_back(struct MHD_Connection *conn, const char *version) {
    const char *expect = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Expect");
    return expect && !strcasecmp(expect, "100-continue") && strcmp(version, "HTTP/1.0") != 0;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *target, const char *method,
                                  const char *version, const char *data, size_t *len, void **ctx) {
    srv_net *n = cls;
    srv_job *job = *ctx;
    if (!job) {
        *ctx = job = open_job(n, conn, target, method);
        if (!job) return MHD_NO;
        if (job->hang_up || (job->refused.status == 413 && is_huge(n, conn)) ||
            (job->refused.status >= 400 && holds_back(conn, version))) { /* do not even wait for it */
            job->arrived = true;
            srv_job_fail(job, &job->refused);
            return send_answer(job);
        }
        return MHD_YES;
    }
    if (*len > 0) {
        if (!job->refused.status && *len > n->srv->o.max_body - job->body.len)
            srv_refuse(&job->refused, 413, NULL, "the body is larger than %u bytes (--max-body)", n->srv->o.max_body);
        if (!job->refused.status && !keep_body(n, job, data, *len))
            srv_refuse(&job->refused, 503, NULL, "there is no memory for the body");
        if (job->refused.status) srv_job_drop_body(job);
        *len = 0;
        return MHD_YES;
    }
    if (!job->arrived) return arrived(n, job, srv_guard_path(target));
    return job->queued ? MHD_YES : send_answer(job);
}

/* ---- the end of a request ---------------------------------------------------------------------------------------- */

static void count(ts_server *s, const srv_job *job, bool left) {
    atomic_fetch_add(&s->metrics.requests, 1);
    if (left) atomic_fetch_add(&s->metrics.left, 1);
    else if (job->status >= 500) atomic_fetch_add(&s->metrics.failed, 1);
    else if (job->status >= 400) atomic_fetch_add(&s->metrics.refused, 1);
}

static void log_job(ts_server *s, const srv_job *job, bool left) {
    char line[400], tokens[64] = "";
    if (!s->o.log) return;
    if (job->n_prompt) snprintf(tokens, sizeof tokens, ", %u + %u tokens", job->n_prompt, job->n_out);
    snprintf(line, sizeof line, "%s %s%s %d%s %.3f s, %zu bytes%s", job->route->method ? job->route->method : "-",
             job->route->path ? job->route->path : "(no such path)", job->name[0] ? "..." : "", job->status,
             left ? " (the client has left)" : "", (double)(ts_now_ns() - job->began_ns) * 1e-9, job->written, tokens);
    s->o.log(s->o.log_ud, line);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **ctx, enum MHD_RequestTerminationCode why) {
    srv_net *n = cls;
    srv_job *job = *ctx;
    peer_waits(n, conn, true);
    if (!job) return; /* its head was refused */
    pthread_mutex_lock(&job->lock);
    /* an answer that says so is written into the void, where it may fit */
    const bool left = why != MHD_REQUEST_TERMINATED_COMPLETED_OK || job->status == SRV_LEFT;
    job->conn = NULL;
    job->fd = -1;
    job->suspended = false;
    atomic_store(&job->gone, true);
    count(n->srv, job, left);
    log_job(n->srv, job, left);
    pthread_mutex_unlock(&job->lock);
    if (left) srv_sched_wake(n->srv->sched);
    srv_job_drop(job);
    *ctx = NULL;
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static size_t keep_escapes(void *cls, struct MHD_Connection *conn, char *s) {
    (void)cls, (void)conn;
    return strlen(s);
}

static ts_status listen_at(srv_net *n, const ts_server_opts *o, ts_err *err) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", o->port);
    const int fault = getaddrinfo(o->host, port, &hints, &list);
    if (fault)
        return ts_fail(err, TS_E_INVAL, "there is no address of the name %s: %s", o->host, gai_strerror(fault));
    n->listener = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    const bool ok = n->listener >= 0 && setsockopt(n->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                    bind(n->listener, list->ai_addr, list->ai_addrlen) == 0 && listen(n->listener, 128) == 0;
    const int os = errno;
    freeaddrinfo(list);
    if (!ok)
        return ts_fail_os(err, TS_E_IO, os, "cannot listen at %s, port %u%s", o->host, o->port,
                          os == EADDRINUSE ? " (another program does: choose one with --port)" : "");
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    if (getsockname(n->listener, (struct sockaddr *)&at, &len) != 0)
        return ts_fail_os(err, TS_E_IO, errno, "cannot tell the port");
    n->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                             : ((struct sockaddr_in *)&at)->sin_port);
    return TS_OK;
}

static bool make_csp(srv_net *n) {
    const ts_server_opts *o = &n->srv->o;
    bool ok = ts_buf_puts(&n->csp, "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
                                   "object-src 'none'; require-trusted-types-for 'script'; connect-src 'self'");
    for (size_t i = 0; i < o->n_peer && ok; i++) ok = ts_buf_printf(&n->csp, " %s", o->peer[i].url);
    return ok;
}

static ts_status start(srv_net *n, ts_err *err) {
    const ts_server_opts *o = &n->srv->o;
    if (!make_csp(n)) return ts_fail_nomem(err, "the HTTP server", 0);
    n->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, n,
        MHD_OPTION_EXTERNAL_LOGGER, on_message, n, MHD_OPTION_LISTEN_SOCKET, n->listener, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_OF_ONE,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)o->timeout_s, MHD_OPTION_STRICT_FOR_CLIENT, 0, /* no Host, a blank in the path: ours to refuse */
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target, n,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, n, MHD_OPTION_NOTIFY_CONNECTION, on_connection, n, MHD_OPTION_END);
    if (n->daemon) return TS_OK;
    return ts_fail_os(err, TS_E_IO, errno, "cannot start the HTTP server");
}

ts_status srv_net_new(srv_net **out, ts_server *s, ts_err *err) {
    srv_net *n = ts_calloc(1, sizeof *n);
    if (!n) return ts_fail_nomem(err, "the HTTP server", sizeof *n);
    n->srv = s;
    n->listener = -1;
    pthread_mutex_init(&n->lock, NULL);
    ts_status status = listen_at(n, &s->o, err);
    if (status == TS_OK) status = srv_guard_new(&n->guard, &s->o, n->port, err);
    if (status == TS_OK) status = start(n, err);
    if (status != TS_OK) {
        srv_net_free(n);
        return status;
    }
    *out = n;
    return TS_OK;
}

uint16_t srv_net_port(const srv_net *n) {
    return n->port;
}

void srv_net_quiesce(srv_net *n) {
    const MHD_socket fd = n->daemon ? MHD_quiesce_daemon(n->daemon) : MHD_INVALID_SOCKET;
    if (fd != MHD_INVALID_SOCKET) close(fd);
    n->listener = -1;
}

void srv_net_free(srv_net *n) {
    if (!n) return;
    if (n->daemon) { /* it closes the listener, unless that was done already */
        pthread_mutex_lock(&n->srv->jobs_lock);
        for (srv_job *job = n->srv->jobs; job; job = job->next) {
            pthread_mutex_lock(&job->lock);
            job->ended = true;
            if (!job->status) job->status = 503, job->type = "text/plain";
            srv_job_resume(job);
            pthread_mutex_unlock(&job->lock);
        }
        pthread_mutex_unlock(&n->srv->jobs_lock);
        MHD_stop_daemon(n->daemon);
    } else if (n->listener >= 0) {
        close(n->listener);
    }
    srv_guard_free(n->guard);
    ts_buf_free(&n->csp);
    pthread_mutex_destroy(&n->lock);
    ts_free(n);
}
