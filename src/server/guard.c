/* guard.c - who may ask. */
#include "server/guard.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct srv_guard {
    const ts_server_opts *o;
    uint16_t port;
};

ts_status srv_guard_new(srv_guard **out, const ts_server_opts *o, uint16_t port, ts_err *err) {
    srv_guard *g = ts_calloc(1, sizeof *g);
    if (!g) return ts_fail_nomem(err, "the server's rules", sizeof *g);
    *g = (srv_guard){o, port};
    *out = g;
    return TS_OK;
}

void srv_guard_free(srv_guard *g) {
    ts_free(g);
}

static bool is_address(const char *name) {
    struct in6_addr a;
    return inet_pton(AF_INET, name, &a) == 1 || inet_pton(AF_INET6, name, &a) == 1;
}

bool ts_server_is_any(const char *host) {
    struct in_addr a4;
    struct in6_addr a6;
    if (inet_pton(AF_INET, host, &a4) == 1) return a4.s_addr == htonl(INADDR_ANY);
    return inet_pton(AF_INET6, host, &a6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&a6);
}

/* ---- Host -------------------------------------------------------------------------------------------------------- */

/* "name:port", "[v6]:port" or without a port: into its two parts. */
static bool split(const char *host, char *name, size_t cap, int *port) {
    const char *end = host[0] == '[' ? strchr(host, ']') : strchr(host, ':');
    if (host[0] == '[' && (!end || (end[1] && end[1] != ':'))) return false;
    const char *begin = host[0] == '[' ? host + 1 : host;
    const char *colon = host[0] == '[' ? (end[1] ? end + 1 : NULL) : end;
    const size_t n = end ? (size_t)(end - begin) : strlen(begin);
    if (n == 0 || n >= cap) return false;
    memcpy(name, begin, n);
    name[n] = 0;
    *port = 80;
    if (!colon) return true;
    const size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits]) return false;
    sscanf(colon + 1, "%d", port);
    return true;
}

bool srv_guard_host_is_ours(const srv_guard *g, const char *host) {
    char name[256];
    int port;
    if (!split(host, name, sizeof name, &port)) return false;
    for (size_t i = 0; i < g->o->n_allow_host; i++) /* behind a proxy: with any port */
        if (!strcasecmp(name, g->o->allow_host[i])) return true;
    if (port != g->port) return false;
    if (ts_server_is_any(g->o->host) && is_address(name)) return true; /* which no foreign name can be bent to */
    return !strcasecmp(name, "localhost") || !strcmp(name, "127.0.0.1") || !strcmp(name, "::1") ||
           !strcasecmp(name, g->o->host);
}

static const char scheme[] = "http://";
enum { SCHEME = sizeof scheme - 1 };

const char *srv_guard_path(const char *target) {
    if (strncasecmp(target, scheme, SCHEME) != 0) return target;
    const char *slash = strchr(target + SCHEME, '/');
    return slash ? slash : "/";
}

static bool target_is_ours(const srv_guard *g, const char *target) {
    char host[264];
    if (strncasecmp(target, scheme, SCHEME) != 0) return true;
    const size_t n = strcspn(target + SCHEME, "/");
    if (n >= sizeof host) return false;
    memcpy(host, target + SCHEME, n);
    host[n] = 0;
    return srv_guard_host_is_ours(g, host);
}

/* More digits than any body needs are none, either. */
static bool is_length(const char *value, size_t len) {
    bool digits = value && len > 0 && len <= 15;
    for (size_t i = 0; digits && i < len; i++) digits = value[i] >= '0' && value[i] <= '9';
    return digits;
}

bool srv_guard_length(struct MHD_Connection *conn) {
    static const char name[] = "Content-Length";
    const char *value;
    size_t len;
    return !MHD_lookup_connection_value_n(conn, MHD_HEADER_KIND, name, sizeof name - 1, &value, &len) ||
           is_length(value, len);
}

/* Of these another who reads the request might take the other one. */
static const char *const once[] = {"Origin", "Authorization", "x-api-key"};
enum { ONCE = sizeof once / sizeof *once };

struct counts {
    int host, length, encoding, of[ONCE];
    bool bad;
};

static enum MHD_Result count(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value,
                             size_t value_len) {
    struct counts *c = cls;
    (void)kind;
    /* what others would read in another way: no name, a blank in front of the colon, a NUL */
    if (!*name || strpbrk(name, " \t") || strlen(name) != name_len) c->bad = true;
    if (value && strlen(value) != value_len) c->bad = true;
    if (!strcasecmp(name, "Transfer-Encoding") && (!value || strcasecmp(value, "chunked"))) c->bad = true;
    c->host += !strcasecmp(name, "Host");
    c->encoding += !strcasecmp(name, "Transfer-Encoding");
    for (int i = 0; i < ONCE; i++) c->of[i] += !strcasecmp(name, once[i]);
    if (strcasecmp(name, "Content-Length")) return MHD_YES;
    c->length++;
    if (!is_length(value, value_len)) c->bad = true;
    return MHD_YES;
}

bool srv_guard_head(const srv_guard *g, struct MHD_Connection *conn, const char *target, srv_error *e) {
    struct counts c = {0};
    MHD_get_connection_values_n(conn, MHD_HEADER_KIND, count, &c);
    if (c.host != 1) return srv_refuse(e, 400, NULL, "one Host header is needed, there are %d", c.host);
    if (c.bad || c.length > 1 || c.encoding > 1 || (c.length && c.encoding))
        return srv_refuse(e, 400, NULL, "headers that can be read in two ways: the body's length is said twice or in a "
                                        "form that is not known, or there is a blank or a NUL too many");
    for (int i = 0; i < ONCE; i++)
        if (c.of[i] > 1) return srv_refuse(e, 400, NULL, "one %s header is the most, there are %d", once[i], c.of[i]);
    const char *host = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Host");
    if (host && srv_guard_host_is_ours(g, host) && target_is_ours(g, target)) return true;
    return srv_refuse(e, 403, NULL,
                      "the request is for another host than this server is known as; name it with --allow-host");
}

/* ---- what the rules are ------------------------------------------------------------------------------------------ */

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* Does only this machine reach the address? */
static bool is_loopback(const char *host) {
    struct in_addr a4;
    struct in6_addr a6;
    if (!strcasecmp(host, "localhost")) return true;
    if (inet_pton(AF_INET, host, &a4) == 1) return ntohl(a4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &a6) == 1 && IN6_IS_ADDR_LOOPBACK(&a6);
}

/* "https://app.example": as a browser writes it, for it is compared with what that sends. */
static bool is_origin(const char *text) {
    const char *const sep = strstr(text, "://");
    char name[256];
    int port;
    if (!sep || strspn(text, LOWER) == 0 || strspn(text, LOWER DIGITS "+-.") != (size_t)(sep - text)) return false;
    const char *const host = sep + 3;
    if (host[strspn(host, LOWER DIGITS "-._:[]")] || !split(host, name, sizeof name, &port)) return false;
    const bool said = host[0] == '[' ? strstr(host, "]:") != NULL : strchr(host, ':') != NULL;
    return !said || !((port == 80 && !strncmp(text, "http:", 5)) || (port == 443 && !strncmp(text, "https:", 6)));
}

static bool is_name(const char *text) {
    return is_address(text) || (*text && !text[strspn(text, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "-._")]);
}

const char *ts_server_key_fault(const char *key) {
    if (strpbrk(key, " \t\r\n")) return "has white space in it";
    return strlen(key) < 8 ? "has fewer than 8 characters" : NULL;
}

ts_status srv_guard_check(const ts_server_opts *o, ts_err *err) {
    if (!is_loopback(o->host) && o->n_key == 0 && !o->insecure)
        return ts_fail(err, TS_E_INVAL,
                       "at %s others can reach this server: give it a key (--key-file FILE), or let everybody in with "
                       "--insecure", o->host);
    for (size_t i = 0; i < o->n_key; i++)
        if (ts_server_key_fault(o->key[i]))
            return ts_fail(err, TS_E_INVAL, "key %zu %s", i + 1, ts_server_key_fault(o->key[i]));
    for (size_t i = 0; i < o->n_allow_host; i++)
        if (!is_name(o->allow_host[i]))
            return ts_fail(err, TS_E_INVAL, "--allow-host %s: a name or an address alone is wanted, without http://, "
                                            "brackets, port or path: box.example", o->allow_host[i]);
    for (size_t i = 0; i < o->n_allow_origin; i++)
        if (!is_origin(o->allow_origin[i]))
            return ts_fail(err, TS_E_INVAL, "--allow-origin %s: no page has that origin; name each as browsers do, in "
                                            "small letters, without a path or a *: https://app.example, "
                                            "http://localhost:3000", o->allow_origin[i]);
    return TS_OK;
}

/* ---- Origin ------------------------------------------------------------------------------------------------------ */

bool srv_guard_origin(const srv_guard *g, struct MHD_Connection *conn, const char *method, const char **allowed,
                      srv_error *e) {
    const char *origin = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Origin");
    if (!origin) return true;
    bool ok = !strncmp(origin, scheme, SCHEME) && srv_guard_host_is_ours(g, origin + SCHEME);
    for (size_t i = 0; i < g->o->n_allow_origin && !ok; i++)
        if (!strcmp(origin, g->o->allow_origin[i])) *allowed = g->o->allow_origin[i], ok = true;
    if (!ok)
        return srv_refuse(e, 403, NULL, "pages of another origin may not use this server; name it with --allow-origin");
    const char *type = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Content-Type");
    if (strcmp(method, "POST") != 0 || (type && !strncasecmp(type, "application/json", 16))) return true;
    return srv_refuse(e, 415, NULL, "a page has to send application/json");
}

const char *srv_guard_may_send(struct MHD_Connection *conn) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~, \t";
    static const char usual[] = "authorization, content-type, x-api-key, anthropic-version, anthropic-beta";
    const char *list = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Access-Control-Request-Headers");
    const size_t n = list ? strlen(list) : 0;
    return n > 0 && n <= 4096 && strspn(list, letters) == n ? list : usual;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

bool srv_guard_key_is_right(const srv_guard *g, const char *key, size_t len) {
    unsigned any = 0;
    for (size_t i = 0; i < g->o->n_key; i++) { /* the same work whatever is wrong, but for the length */
        const char *want = g->o->key[i];
        const size_t n = strlen(want);
        unsigned differ = n != len;
        for (size_t k = 0; k < n; k++) differ |= (unsigned)(unsigned char)(want[k] ^ (k < len ? key[k] : 0));
        any |= differ == 0;
    }
    return any;
}

bool srv_guard_key(const srv_guard *g, struct MHD_Connection *conn, srv_error *e) {
    if (g->o->n_key == 0) return true;
    const char *key = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "x-api-key");
    const char *bearer = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Authorization");
    if (bearer && !strncasecmp(bearer, "Bearer ", 7)) key = bearer + 7;
    if (key && srv_guard_key_is_right(g, key, strlen(key))) return true;
    srv_refuse(e, 401, NULL, key ? "that key is not one of this server's"
                                 : "this server wants a key: Authorization: Bearer KEY, or x-api-key: KEY");
    e->code = "invalid_api_key";
    return false;
}
