#include "hub/hub_http.h"

#include "base/clock.h"
#include "base/printable.h"
#include "hub/hub_name.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

enum { HEADERS_MAX = 300000, REFUSAL_MAX = 64 << 10, REDIRECTS = 10, VALUE_MAX = 16 << 10 };

struct ts_hub_conn {
    const ts_hub_net *net;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers, *with_token;
};

/* ---- addresses --------------------------------------------------------------------------------------------------- */

static bool part(CURLU *u, CURLUPart what, char *out, size_t cap) {
    char *s = NULL;
    const bool ok = curl_url_get(u, what, &s, CURLU_DEFAULT_PORT) == CURLUE_OK && strlen(s) < cap;
    if (ok) strcpy(out, s);
    curl_free(s);
    return ok;
}

struct origin {
    char scheme[16], host[256], port[16];
};

static bool origin_of(struct origin *o, const char *url) {
    CURLU *u = curl_url();
    const bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                    part(u, CURLUPART_SCHEME, o->scheme, sizeof o->scheme) &&
                    part(u, CURLUPART_HOST, o->host, sizeof o->host) &&
                    part(u, CURLUPART_PORT, o->port, sizeof o->port);
    curl_url_cleanup(u);
    return ok;
}

bool ts_hub_same_origin(const char *a, const char *b) {
    struct origin x, y;
    return origin_of(&x, a) && origin_of(&y, b) && !strcasecmp(x.scheme, y.scheme) && !strcasecmp(x.host, y.host) &&
           !strcmp(x.port, y.port);
}

ts_status ts_hub_redirect(ts_buf *out, const char *endpoint, const char *from, const char *to, ts_err *err) {
    static const char hub[] = "https://huggingface.co/";
    ts_buf target = {0};
    struct origin a, b;
    char shown[200];
    ts_printable(shown, sizeof shown, to, strcspn(to, "?"));
    /* mirrors pass on what the hub has written; who asked a mirror means the mirror */
    const bool rewrite = !strncasecmp(to, hub, sizeof hub - 1);
    const bool ok = rewrite ? ts_buf_puts(&target, endpoint) && ts_buf_puts(&target, to + sizeof hub - 2)
                            : ts_buf_puts(&target, to);
    CURLU *u = curl_url();
    if (!ok || !u) {
        curl_url_cleanup(u);
        ts_buf_free(&target);
        return ts_fail_nomem(err, "an address", strlen(to));
    }
    char *url = NULL;
    const bool whole =
        *to && curl_url_set(u, CURLUPART_URL, from, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, target.data, CURLU_URLENCODE | CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &url, 0) == CURLUE_OK && origin_of(&a, from) && origin_of(&b, url);
    ts_status s = TS_OK;
    if (!whole || (strcasecmp(b.scheme, "http") != 0 && strcasecmp(b.scheme, "https") != 0))
        s = ts_fail(err, TS_E_FORMAT, "a redirect leads to \"%s\", which is no address of a file", shown);
    else if (!strcasecmp(a.scheme, "https") && strcasecmp(b.scheme, "https") != 0)
        s = ts_fail(err, TS_E_FORMAT, "a redirect leads from https to %s, which anybody can read and change", shown);
    ts_buf_clear(out);
    if (s == TS_OK && !ts_buf_puts(out, url)) s = ts_fail_nomem(err, "an address", strlen(url));
    curl_free(url);
    curl_url_cleanup(u);
    ts_buf_free(&target);
    return s;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

ts_status ts_hub_http_init(ts_err *err) {
    const CURLcode c = curl_global_init(CURL_GLOBAL_DEFAULT);
    return c == CURLE_OK ? TS_OK : ts_fail(err, TS_E_IO, "libcurl does not start: %s", curl_easy_strerror(c));
}

static bool add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer) *list = longer;
    return longer != NULL;
}

ts_status ts_hub_conn_new(ts_hub_conn **out, const ts_hub_net *net, ts_err *err) {
    ts_hub_conn *c = ts_calloc(1, sizeof *c);
    if (!c) return ts_fail_nomem(err, "a connection", sizeof *c);
    c->net = net;
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    ts_buf auth = {0};
    /* a server that compresses drops length and ranges, and its hash is another: plain bytes, please */
    bool ok = c->multi && c->easy && add_header(&c->headers, "Accept-Encoding: identity") &&
              add_header(&c->with_token, "Accept-Encoding: identity");
    if (ok && net->token)
        ok = ts_buf_printf(&auth, "Authorization: Bearer %s", net->token) && add_header(&c->with_token, auth.data);
    ts_buf_free(&auth);
    if (ok) {
        *out = c;
        return TS_OK;
    }
    ts_hub_conn_free(c);
    return ts_fail_nomem(err, "a connection", 0);
}

void ts_hub_conn_free(ts_hub_conn *c) {
    if (!c) return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->headers);
    curl_slist_free_all(c->with_token);
    ts_free(c);
}

void ts_hub_answer_free(ts_hub_answer *a) {
    ts_buf_free(&a->url), ts_buf_free(&a->body), ts_buf_free(&a->link), ts_buf_free(&a->location);
    *a = (ts_hub_answer){0};
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

static void forget_headers(ts_hub_answer *a) {
    ts_buf_clear(&a->link), ts_buf_clear(&a->location);
    *a->error_code = *a->error_message = 0;
    a->length = a->range_begin = a->range_total = -1;
    a->retry_after_s = a->limit_s = -1;
    a->encoded = a->html = false;
}

static int64_t number(const char *s, const char **end) {
    int64_t v = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v)) v = INT64_MAX;
    *end = p;
    return p > s ? v : -1;
}

/* "bytes 100-199/200", or "bytes 100-199" followed by "/" and a star. */
static void content_range(ts_hub_answer *a, const char *s) {
    const char *end;
    if (strncasecmp(s, "bytes", 5) != 0) return;
    s += 5;
    s += strspn(s, " \t=");
    const int64_t begin = number(s, &end);
    if (begin < 0 || *end != '-') return;
    number(end + 1, &end);
    a->range_begin = begin;
    if (*end == '/') a->range_total = number(end + 1, &end);
}

static void retry_after(ts_hub_answer *a, const char *s) {
    const char *end;
    const int64_t v = number(s, &end);
    if (v >= 0 && (!*end || *end == '.' || *end == ' ')) {
        a->retry_after_s = (double)v;
        return;
    }
    const time_t when = curl_getdate(s, NULL), now = time(NULL);
    if (when != (time_t)-1) a->retry_after_s = when > now ? (double)(when - now) : 0;
}

/* RateLimit: "api";r=0;t=55, "resolvers";r=2999;t=290: what is left of each count, and seconds until it begins again.
 * The one that has nothing left is why we are refused; all of them are told of. */
static void rate_limit(ts_hub_answer *a, const char *s) {
    while (*s) {
        const char *end = s + strcspn(s, ",");
        int64_t left = -1, seconds = -1;
        for (const char *at = s; (at = memchr(at, ';', (size_t)(end - at)));) {
            at += 1 + strspn(at + 1, " \t");
            const char *last;
            if (at[0] == 'r' && at[1] == '=') left = number(at + 2, &last);
            if (at[0] == 't' && at[1] == '=') seconds = number(at + 2, &last);
            if (at > end) break;
        }
        if (left == 0 && (double)seconds > a->limit_s) a->limit_s = (double)seconds;
        s = end + (*end == ',');
    }
}

void ts_hub_answer_header(ts_hub_answer *a, const char *line, size_t len) {
    char value[VALUE_MAX];
    const char *colon = memchr(line, ':', len);
    if (!colon) return;
    const size_t n = (size_t)(colon - line);
    const char *v = colon + 1, *end = line + len;
    while (v < end && strchr(" \t", *v)) v++;
    while (end > v && strchr(" \t\r\n", end[-1])) end--;
    const size_t k = (size_t)(end - v);
    if (k >= sizeof value) return; /* as if it were not there: no answer needs one so long */
    memcpy(value, v, k);
    value[k] = 0;
    const char *last;
#define IS(name) (n == sizeof name - 1 && !strncasecmp(line, name, n))
    if (IS("Location")) ts_buf_clear(&a->location), (void)!ts_buf_puts(&a->location, value);
    else if (IS("Link")) (void)!((!a->link.len || ts_buf_puts(&a->link, ", ")) && ts_buf_puts(&a->link, value));
    else if (IS("Content-Length")) a->length = number(value, &last);
    else if (IS("Content-Range")) content_range(a, value);
    else if (IS("Content-Encoding")) a->encoded = *value && strcasecmp(value, "identity") != 0;
    else if (IS("Content-Type")) a->html = !strncasecmp(value, "text/html", 9);
    else if (IS("Retry-After")) retry_after(a, value);
    else if (IS("RateLimit")) rate_limit(a, value);
    else if (IS("X-Error-Code")) ts_printable(a->error_code, sizeof a->error_code, value, k);
    else if (IS("X-Error-Message")) ts_printable(a->error_message, sizeof a->error_message, value, k);
    else if (IS("X-Linked-Size") && a->own) a->linked_size = number(value, &last);
    else if (IS("X-Linked-Etag") && a->own) {
        const char *s = value;
        if (!strncmp(s, "W/", 2)) s += 2;
        size_t m = strlen(s);
        if (m >= 2 && *s == '"' && s[m - 1] == '"') s++, m -= 2;
        *a->linked_hash = 0;
        if (ts_hub_is_hash(s, m)) memcpy(a->linked_hash, s, m), a->linked_hash[m] = 0;
    }
#undef IS
}

/* ---- one exchange ------------------------------------------------------------------------------------------------ */

struct exchange {
    ts_hub_conn *c;
    const ts_hub_request *q;
    ts_hub_answer *a;
    uint64_t heard_ns; /* when the last byte came */
    uint64_t head_ns;  /* when the headers were complete, of an answer that is no document; 0: not yet */
    size_t header_bytes;
    uint64_t body_bytes;
    bool begun, enough; /* enough: the rest is not wanted, which is no fault */
    bool too_much, nomem;
};

static bool is_redirect(long status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static size_t on_header(char *data, size_t size, size_t n, void *ud) {
    struct exchange *x = ud;
    const size_t len = size * n;
    x->heard_ns = ts_now_ns();
    x->header_bytes += len;
    if (x->header_bytes > HEADERS_MAX) {
        x->too_much = true;
        return 0;
    }
    if (len >= 5 && !strncasecmp(data, "HTTP/", 5)) forget_headers(x->a); /* what came before was a 1xx */
    else ts_hub_answer_header(x->a, data, len);
    long status = 0;
    if (len <= 2 && curl_easy_getinfo(x->c->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 300)
        x->head_ns = x->heard_ns, x->a->status = status;
    return len;
}

static bool hand_on(struct exchange *x, const char *data, size_t len) {
    ts_hub_answer *a = x->a;
    const bool good = a->status == 200 || a->status == 206;
    if (good && x->q->take) {
        if (!x->begun) {
            x->begun = true;
            if (a->encoded || !x->q->begin(x->q->ud, a)) return false;
        }
        return !len || x->q->take(x->q->ud, data, len);
    }
    const size_t most = good ? x->q->body_max : REFUSAL_MAX;
    if (good && a->encoded) return false;
    if (len > most - a->body.len) {
        x->too_much = good;
        return false;
    }
    x->nomem |= !ts_buf_append(&a->body, data, len);
    return !x->nomem;
}

static size_t on_body(char *data, size_t size, size_t n, void *ud) {
    struct exchange *x = ud;
    const size_t len = size * n;
    curl_easy_getinfo(x->c->easy, CURLINFO_RESPONSE_CODE, &x->a->status);
    x->body_bytes += len;
    const bool more = hand_on(x, data, len);
    x->heard_ns = ts_now_ns();
    if (more) return len;
    x->enough = true;
    return len ? 0 : 1;
}

static void prepare(struct exchange *x, bool own) {
    CURL *e = x->c->easy;
    const ts_hub_net *net = x->c->net;
    char range[40];
    curl_easy_reset(e); /* open connections stay */
    curl_easy_setopt(e, CURLOPT_URL, x->a->url.data);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, own ? x->c->with_token : x->c->headers);
    curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* a proxy's CONNECT has no token */
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "tessera/" TESSERA_VERSION);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 256L << 10); /* a write each */
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(e, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(x->c->net->stall_s * 1000) + 1);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    if (net->ca_file) curl_easy_setopt(e, CURLOPT_CAINFO, net->ca_file);
    if (net->ca_file) curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, net->ca_file);
    if (net->ca_dir) curl_easy_setopt(e, CURLOPT_CAPATH, net->ca_dir);
    if (x->q->from < 0) return;
    snprintf(range, sizeof range, "%lld-", (long long)x->q->from);
    curl_easy_setopt(e, CURLOPT_RANGE, range);
}

/* Of a redirect its address is enough, of a refusal its number: a body that does not come with them is not waited for
 * long. (One that does is read, so that the connection can be used again.) */
static bool is_enough(const struct exchange *x) {
    const double limit_s = is_redirect(x->a->status) && x->a->location.len ? 0.3 : 3;
    return x->head_ns && (double)(ts_now_ns() - x->head_ns) > limit_s * 1e9;
}

static CURLcode code_of(CURLMcode m) {
    return m == CURLM_OK ? CURLE_OK : m == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_FAILED_INIT;
}

/* CURLE_OK, or what went wrong; *stalled, *stopped: it was we who broke it off. */
static CURLcode perform(struct exchange *x, bool *stalled, bool *stopped) {
    const ts_hub_net *net = x->c->net;
    CURLcode result = CURLE_OK;
    int running = 1;
    x->heard_ns = ts_now_ns();
    CURLMcode m = curl_multi_add_handle(x->c->multi, x->c->easy);
    if (m != CURLM_OK) return code_of(m);
    while (!*stalled && !*stopped && !x->enough) {
        m = curl_multi_perform(x->c->multi, &running);
        if (m == CURLM_OK && running) m = curl_multi_poll(x->c->multi, NULL, 0, 100, NULL);
        result = code_of(m);
        if (!running || result != CURLE_OK) break;
        x->enough = is_enough(x);
        *stopped = net->stop && net->stop(net->ud);
        *stalled = (double)(ts_now_ns() - x->heard_ns) > net->stall_s * 1e9;
    }
    int left;
    for (CURLMsg *done; (done = curl_multi_info_read(x->c->multi, &left));)
        if (done->msg == CURLMSG_DONE) result = done->data.result;
    curl_easy_getinfo(x->c->easy, CURLINFO_RESPONSE_CODE, &x->a->status);
    curl_multi_remove_handle(x->c->multi, x->c->easy);
    return result;
}

/* Will it be the same whenever it is asked? */
static bool is_lasting(CURLcode c) {
    switch (c) {
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_OUT_OF_MEMORY:
        return true;
    default:
        return false;
    }
}

static ts_status say(ts_err *err, ts_hub_answer *a, CURLcode c, long proxy_status) {
    if (proxy_status >= 400) {
        a->fault = proxy_status >= 500 ? TS_HUB_AGAIN : TS_HUB_NEVER;
        return ts_fail(err, TS_E_IO, "the proxy refuses the way to %s: %ld%s", a->host, proxy_status,
                       proxy_status == 407 ? ", it wants a name and a password (http://NAME:PASSWORD@HOST)" : "");
    }
    a->fault = is_lasting(c) ? TS_HUB_NEVER : TS_HUB_AGAIN;
    switch (c) {
    case CURLE_OUT_OF_MEMORY:
        return ts_fail_nomem(err, "a connection", 0);
    case CURLE_COULDNT_RESOLVE_HOST:
        return ts_fail(err, TS_E_IO, "there is no network, or no host %s (the name is not known)", a->host);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return ts_fail(err, TS_E_IO, "the proxy's name is not known (https_proxy)");
    case CURLE_COULDNT_CONNECT:
        return ts_fail(err, TS_E_IO, "no connection to %s, or to the proxy before it", a->host);
    case CURLE_PEER_FAILED_VERIFICATION:
        return ts_fail(err, TS_E_IO,
                       "the certificate of %s is not trusted; where a proxy of the network is in between, "
                       "name its authority's file in SSL_CERT_FILE",
                       a->host);
    case CURLE_SSL_CACERT_BADFILE:
        return ts_fail(err, TS_E_IO, "the file of trusted certificates cannot be read (SSL_CERT_FILE, CURL_CA_BUNDLE)");
    default:
        return ts_fail(err, TS_E_IO, "the connection to %s broke: %s", a->host, curl_easy_strerror(c));
    }
}

/* One request and its answer, without what it redirects to. */
static ts_status exchange(ts_hub_conn *c, const ts_hub_request *q, ts_hub_answer *a, ts_err *err) {
    struct exchange x = {.c = c, .q = q, .a = a};
    struct origin o;
    bool stalled = false, stopped = false;
    a->fault = TS_HUB_NEVER;
    a->status = 0;
    forget_headers(a);
    ts_buf_clear(&a->body);
    if (!origin_of(&o, a->url.data)) return ts_fail(err, TS_E_FORMAT, "\"%s\" is no address", a->url.data);
    snprintf(a->host, sizeof a->host, "%s", o.host);
    a->own = ts_hub_same_origin(a->url.data, c->net->endpoint);
    const uint64_t begin_ns = ts_now_ns();
    prepare(&x, a->own);
    const CURLcode code = perform(&x, &stalled, &stopped);
    long proxy_status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    const bool good = a->status == 200 || a->status == 206;
    /* of what is no file, and of a file that is not wanted, the beginning was enough */
    const bool whole = !stalled && !stopped && !x.too_much && !x.nomem && (code == CURLE_OK || x.enough);
    const bool usable = whole || (!stopped && a->status >= 300 && !x.nomem && x.header_bytes <= HEADERS_MAX);
    ts_status s = TS_OK;
    if (usable && good && !x.begun && q->take && !a->encoded) /* a file of no bytes */
        (void)q->begin(q->ud, a);
    if (stopped) s = ts_fail(err, TS_E_CANCELLED, "interrupted");
    else if (x.nomem) s = ts_fail_nomem(err, "an answer of the hub", a->body.len);
    else if (x.header_bytes > HEADERS_MAX) s = ts_fail(err, TS_E_LIMIT, "%s sends headers without end", a->host);
    else if (x.too_much && good)
        s = ts_fail(err, TS_E_LIMIT, "the answer of %s is larger than %zu bytes", a->host, q->body_max);
    else if (good && a->encoded)
        s = ts_fail(err, TS_E_FORMAT, "%s sends compressed bytes where plain ones were asked for", a->host),
        a->fault = TS_HUB_AGAIN;
    else if (stalled && !usable)
        s = ts_fail(err, TS_E_IO, "the connection to %s has stalled: no byte for %g s", a->host, c->net->stall_s),
        a->fault = TS_HUB_AGAIN;
    else if (!usable) s = say(err, a, code, proxy_status);
    else if (a->status < 200)
        s = ts_fail(err, TS_E_IO, "the connection to %s closed without an answer", a->host), a->fault = TS_HUB_AGAIN;
    if (s == TS_OK) a->fault = TS_HUB_FINE;
    ts_hub_logged entry = {
        .from = q->from, .status = a->status, .bytes = x.body_bytes, .with_token = a->own && c->net->token};
    const char *fault = stopped            ? "interrupted"
                        : stalled          ? "stalled"
                        : x.enough         ? ""
                        : code != CURLE_OK ? curl_easy_strerror(code)
                                           : "";
    snprintf(entry.fault, sizeof entry.fault, "%s", fault);
    ts_hub_log_write(c->net->log, a->url.data, c->net->token, begin_ns, entry);
    return s;
}

ts_status ts_hub_get(ts_hub_conn *c, const ts_hub_request *q, ts_hub_answer *a, ts_err *err) {
    ts_buf next = {0};
    ts_buf_clear(&a->url);
    *a->linked_hash = 0;
    a->linked_size = -1;
    a->fault = TS_HUB_NEVER;
    if (!ts_buf_puts(&a->url, q->url)) return ts_fail_nomem(err, "an address", strlen(q->url));
    ts_status s = TS_OK;
    for (int n = 0;; n++) {
        s = exchange(c, q, a, err);
        if (s != TS_OK || !is_redirect(a->status)) break;
        if (q->onward && !q->onward(q->ud, a)) break;
        a->fault = TS_HUB_NEVER;
        if (n == REDIRECTS) {
            s = ts_fail(err, TS_E_FORMAT, "%s: more than %d redirects", a->host, REDIRECTS);
            break;
        }
        s = ts_hub_redirect(&next, c->net->endpoint, a->url.data, a->location.data ? a->location.data : "", err);
        if (s != TS_OK) break;
        ts_buf swap = a->url;
        a->url = next, next = swap;
    }
    ts_buf_free(&next);
    return s;
}

ts_status ts_hub_sleep(const ts_hub_net *net, double seconds, ts_err *err) {
    const uint64_t end = ts_now_ns() + (uint64_t)(seconds * 1e9);
    for (uint64_t now; (now = ts_now_ns()) < end;) {
        if (net->stop && net->stop(net->ud)) return ts_fail(err, TS_E_CANCELLED, "interrupted");
        const uint64_t left = end - now, tick = left < 50000000 ? left : 50000000;
        nanosleep(&(struct timespec){.tv_nsec = (long)tick}, NULL);
    }
    return net->stop && net->stop(net->ud) ? ts_fail(err, TS_E_CANCELLED, "interrupted") : TS_OK;
}
