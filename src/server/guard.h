/* guard.h - who may ask: the names that the server is called by, pages of which origins, keys. */
#ifndef TS_SERVER_GUARD_H
#define TS_SERVER_GUARD_H

#include "server/job.h"
#include "server/server.h"

typedef struct srv_guard srv_guard;

/* Errors: TS_E_INVAL: an address that others reach, without a key; a key, a name or an origin that no request has. */
TS_NODISCARD ts_status srv_guard_check(const ts_server_opts *o, ts_err *err);
/* `o` is borrowed. Errors: TS_E_NOMEM. */
TS_NODISCARD ts_status srv_guard_new(srv_guard **out, const ts_server_opts *o, uint16_t port, ts_err *err);
void srv_guard_free(srv_guard *g); /* NULL-safe */

/* The path of what a request asks for, which may have "http://host" in front (RFC 9112, 3.2.2). Borrowed from it. */
const char *srv_guard_path(const char *target);
/* One Host, one length, one key; and the Host is a name of ours, as is the one in front of the path: a foreign page
 * whose name was bent to this address (DNS rebinding) has another. */
bool srv_guard_head(const srv_guard *g, struct MHD_Connection *conn, const char *target, srv_error *e);
/* A head of which more may come: its Content-Length, if it has one, is a number. */
bool srv_guard_length(struct MHD_Connection *conn);
/* No Origin, our own, or one that was allowed: *allowed is then to be answered with. A POST of a page is JSON. */
bool srv_guard_origin(const srv_guard *g, struct MHD_Connection *conn, const char *method, const char **allowed,
                      srv_error *e);
/* Which headers an origin that may ask may send: those that it says it will, as clients have some of their own. */
const char *srv_guard_may_send(struct MHD_Connection *conn);
/* The key, where one is asked for, compared in constant time. */
bool srv_guard_key(const srv_guard *g, struct MHD_Connection *conn, srv_error *e);

/* The parts of it that are text alone, for tests and fuzzing. `host`: of a header, "localhost:8080". */
bool srv_guard_host_is_ours(const srv_guard *g, const char *host);
bool srv_guard_key_is_right(const srv_guard *g, const char *key, size_t len);

#endif
