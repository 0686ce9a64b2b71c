/* hub_http.h - one GET of the hub, by libcurl: redirects are followed by hand, because the token goes to the hub's own
 * origin (scheme, host, port) and to nobody else.
 *
 * libcurl reads the proxies' variables (https_proxy, NO_PROXY, ...) of the environment itself; everything else comes
 * from ts_hub_net. */
#ifndef TS_HUB_HUB_HTTP_H
#define TS_HUB_HUB_HTTP_H

#include "base/mem.h"
#include "hub/hub_log.h"

#include <stdbool.h>
#include <stdint.h>

/* What all requests share. Strings are borrowed. */
typedef struct ts_hub_net {
    const char *endpoint;                     /* as ts_hub_endpoint makes it */
    const char *token;                        /* NULL: none */
    const char *ca_file, *ca_dir;             /* NULL: the system's */
    double stall_s;                           /* so long without a byte: the connection is given up */
    double retry_wait_s;                      /* before the second try; then twice as long, and so on */
    bool (*stop)(void *ud);                   /* true: leave off; from any thread */
    void (*note)(void *ud, const char *line); /* something that a person waits for; from any thread */
    void *ud;                                 /* of stop and note */
    ts_hub_log *log;                          /* nullable */
} ts_hub_net;

typedef struct ts_hub_conn ts_hub_conn; /* for one thread; keeps connections open between requests */
/* ts_hub_http_init once in a process, before the first. */
TS_NODISCARD ts_status ts_hub_http_init(ts_err *err);
TS_NODISCARD ts_status ts_hub_conn_new(ts_hub_conn **out, const ts_hub_net *net, ts_err *err);
void ts_hub_conn_free(ts_hub_conn *c);

/* May the same request go better next time? */
typedef enum ts_hub_fault { TS_HUB_FINE, TS_HUB_AGAIN, TS_HUB_NEVER } ts_hub_fault;

typedef struct ts_hub_answer {               /* zero-initialise; free with ts_hub_answer_free */
    ts_hub_fault fault;                      /* of a request without a whole answer */
    long status;                             /* of the last one, behind all redirects */
    bool own;                                /* it came from the hub's own origin */
    ts_buf url;                              /* where it came from */
    ts_buf body;                             /* the document, or the text of a refusal */
    ts_buf link, location;                   /* headers; empty: not there */
    char host[256];                          /* of url */
    char error_code[64], error_message[301]; /* X-Error-Code, X-Error-Message, fit for a message */
    int64_t length;                          /* Content-Length; -1: not said */
    int64_t range_begin, range_total;        /* Content-Range; -1: not said */
    double retry_after_s;                    /* Retry-After; -1: not said */
    double limit_s;                          /* RateLimit: until all that is used up begins again; -1: nothing is */
    bool encoded, html;                      /* compressed, though it was not asked for; it calls itself a web page */
    char linked_hash[65];                    /* X-Linked-Etag of a redirect of the hub's own; "": none */
    int64_t linked_size;                     /* X-Linked-Size of the same; -1: none */
} ts_hub_answer;
void ts_hub_answer_free(ts_hub_answer *a);

typedef struct ts_hub_request {
    const char *url;
    int64_t from;    /* "Range: bytes=from-"; -1: all */
    size_t body_max; /* of the document in answer.body, where there is no `take` */
    /* A file: told of the answer (200 or 206) before its first byte, false: it is not wanted; then its bytes, false:
     * enough. Neither makes the request fail. */
    bool (*onward)(void *ud, const ts_hub_answer *a); /* nullable: is this redirect followed? Or is it the answer */
    bool (*begin)(void *ud, const ts_hub_answer *a);
    bool (*take)(void *ud, const char *data, size_t len);
    void *ud;
} ts_hub_request;

/* TS_OK: there is an answer, of whatever status. Otherwise a->fault tells whether to try again: TS_E_IO (the network),
 * TS_E_FORMAT (not an answer that makes sense), TS_E_LIMIT, TS_E_NOMEM, TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_hub_get(ts_hub_conn *c, const ts_hub_request *q, ts_hub_answer *a, ts_err *err);

/* Sleep; TS_E_CANCELLED where net->stop says so. */
TS_NODISCARD ts_status ts_hub_sleep(const ts_hub_net *net, double seconds, ts_err *err);

/* For tests: the value of one header to an answer, as if it had come. */
void ts_hub_answer_header(ts_hub_answer *a, const char *line, size_t len);
/* Have both addresses the same scheme, host and port? */
bool ts_hub_same_origin(const char *a, const char *b);
/* Where an answer of `from` sends: `to` may be relative. Errors: TS_E_FORMAT: none, not http(s), with a name or
 * password, or from https to http. */
TS_NODISCARD ts_status ts_hub_redirect(ts_buf *out, const char *endpoint, const char *from, const char *to,
                                       ts_err *err);

#endif
