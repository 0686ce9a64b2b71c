#define _GNU_SOURCE /* strcasestr */
#include "hub/hub_api.h"

#include "base/hash.h"
#include "base/json_pull.h"
#include "base/printable.h"

#include <stdio.h>
#include <strings.h>

enum { DOCUMENT_MAX = 64 << 20, PAGES_MAX = 1000, PATIENCE_S = 120 };

/* ---- trying again ------------------------------------------------------------------------------------------------ */

bool ts_hub_may_pass(long status) {
    return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

double ts_hub_asked_wait(const ts_hub_answer *a) {
    if (a->status == 503) return a->retry_after_s; /* counts of requests are told with it, and are not its reason */
    if (a->status != 429) return -1;
    return a->retry_after_s >= 0 ? a->retry_after_s : a->limit_s;
}

ts_status ts_hub_again(const ts_hub_net *net, ts_hub_tries *t, const ts_hub_answer *a, ts_status failed, ts_err *err) {
    const double asked = a ? ts_hub_asked_wait(a) : -1;
    const bool busy = asked >= 0;
    if (t->failed + 1 >= TS_HUB_TRIES) {
        ts_err_add(err, "; tried %d times", TS_HUB_TRIES);
        return failed;
    }
    if (busy && asked > PATIENCE_S) {
        ts_err_add(err, "; %s asks to wait for %.0f s: try again then", a->host, asked);
        return failed;
    }
    double wait = net->retry_wait_s * (double)(1 << (t->failed < 3 ? t->failed : 3));
    t->failed++;
    if (busy) {
        wait = asked + 1 > wait ? asked + 1 : wait;
        char line[400];
        snprintf(line, sizeof line, "%s is busy and asks to wait: going on in %.0f s", a->host, wait);
        if (net->note) net->note(net->ud, line);
    }
    ts_err quiet;
    ts_status s = ts_hub_sleep(net, wait, &quiet);
    if (s != TS_OK) *err = quiet;
    return s;
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

/* X-Error-Message, or the member "error" of a JSON text. */
static void message_of(const ts_hub_answer *a, char out[301]) {
    snprintf(out, 301, "%s", a->error_message);
    ts_json j;
    ts_span key, s;
    ts_json_init(&j, a->body.data ? a->body.data : "", a->body.len);
    const bool object = !*out && ts_json_peek(&j) == TS_JSON_OBJECT && ts_json_object(&j);
    while (object && ts_json_key(&j, &key)) {
        if (!ts_span_is(key, "error") || ts_json_peek(&j) != TS_JSON_STRING) ts_json_skip(&j);
        else if (ts_json_string(&j, &s)) ts_printable(out, 301, s.data, s.len);
    }
    ts_json_fini(&j);
}

ts_status ts_hub_refusal(const ts_hub_net *net, const ts_hub_answer *a, const char *repo, const char *what,
                         ts_err *err) {
    char said[301];
    message_of(a, said);
    const bool gated = !strcasecmp(a->error_code, "GatedRepo"), no_repo = !strcasecmp(a->error_code, "RepoNotFound");
    const bool bad_token = strcasestr(said, "invalid credentials") || strcasestr(said, "token");
    const long st = a->status;
    if (st == 407)
        return ts_fail(err, TS_E_IO, "the proxy wants a name and a password (http_proxy=http://NAME:PASSWORD@HOST)");
    if (!a->own) return ts_fail(err, TS_E_IO, "%s answers %ld%s%s", a->host, st, *said ? ": " : "", said);
    if (gated && st == 401)
        return ts_fail(err, TS_E_IO,
                       "%s is gated: accept its terms at %s/%s, then set HF_TOKEN to a token of your account", repo,
                       net->endpoint, repo);
    if (gated)
        return ts_fail(err, TS_E_IO,
                       "%s is gated, and the account of your token has no access yet: ask for it at %s/%s", repo,
                       net->endpoint, repo);
    if (st == 401 && net->token && bad_token && !no_repo)
        return ts_fail(err, TS_E_IO,
                       "the hub does not know your token: it is wrong, or has expired (HF_TOKEN, or the file "
                       "that a login left)");
    if (st == 401 && !net->token)
        return ts_fail(err, TS_E_IO, "%s was not found, or is private: for a private one set HF_TOKEN to a token",
                       repo);
    if (no_repo || (st == 401 && net->token))
        return ts_fail(err, TS_E_IO,
                       "%s was not found, also with your token: there is no such repository, or your account "
                       "may not see it",
                       repo);
    if (!strcasecmp(a->error_code, "RevisionNotFound"))
        return ts_fail(err, TS_E_IO, "%s has no revision %s", repo, what);
    if (!strcasecmp(a->error_code, "EntryNotFound")) return ts_fail(err, TS_E_IO, "%s has no file %s", repo, what);
    if (st == 404) return ts_fail(err, TS_E_IO, "%s was not found at %s", repo, net->endpoint);
    if (st == 403) return ts_fail(err, TS_E_IO, "no access to %s%s%s", repo, *said ? ": " : "", said);
    if (st == 429) return ts_fail(err, TS_E_IO, "too many requests: %s counts them per address and account", a->host);
    return ts_fail(err, TS_E_IO, "%s: %s answers %ld%s%s", repo, a->host, st, *said ? ": " : "", said);
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

/* What reads a document; it may be called again after a failure. */
typedef ts_status read_document(void *out, const char *text, size_t len, ts_err *err);

/* The document at url, after as many tries as are worth it. *a is the answer (200). */
static ts_status ask(ts_hub_conn *c, const ts_hub_net *net, const char *url, size_t max, const char *repo,
                     const char *what, read_document *read, void *out, ts_hub_answer *a, ts_err *err) {
    const ts_hub_request q = {.url = url, .from = -1, .body_max = max};
    ts_hub_tries t = {0};
    bool spoilt = false; /* one that cannot be read may have been cut off on its way: once more */
    for (;;) {
        ts_status s = ts_hub_get(c, &q, a, err);
        bool again = s == TS_OK ? ts_hub_may_pass(a->status) : a->fault == TS_HUB_AGAIN;
        if (s == TS_OK && a->status == 200) {
            s = read(out, a->body.data ? a->body.data : "", a->body.len, err);
            again = s == TS_E_FORMAT && !spoilt;
            spoilt = true;
            if (!again) return s;
            TS_TRY(ts_hub_again(net, &t, a, s, err));
            continue;
        }
        if (s == TS_OK) s = ts_hub_refusal(net, a, repo, what, err);
        if (!again) return s;
        TS_TRY(ts_hub_again(net, &t, a, s, err));
    }
}

static ts_status read_info(void *out, const char *text, size_t len, ts_err *err) {
    return ts_hub_info_parse(out, text, len, err);
}

static ts_status read_files(void *out, const char *text, size_t len, ts_err *err) {
    ts_hub_files *f = out;
    const size_t n = f->n, n_refused = f->n_refused;
    const ts_status s = ts_hub_files_page(f, text, len, err);
    if (s == TS_E_FORMAT) f->n = n, f->n_refused = n_refused;
    return s;
}

ts_status ts_hub_ask_info(ts_hub_conn *c, const ts_hub_net *net, const char *repo, const char *rev, ts_hub_info *out,
                          ts_err *err) {
    ts_hub_answer a = {0};
    ts_buf url = {0};
    const bool ok = ts_buf_printf(&url, "%s/api/models/%s/revision/", net->endpoint, repo) &&
                    ts_hub_put_encoded(&url, rev, strlen(rev), false);
    ts_status s = ok ? ask(c, net, url.data, DOCUMENT_MAX, repo, rev, read_info, out, &a, err)
                     : ts_fail_nomem(err, "an address", 0);
    if (s == TS_OK && out->disabled) s = ts_fail(err, TS_E_IO, "access to %s has been disabled by the hub", repo);
    if (s == TS_OK && ts_hub_is_commit(rev, strlen(rev)) && strcmp(rev, out->commit) != 0)
        s = ts_fail(err, TS_E_FORMAT, "%s: commit %s was asked for, and the hub answers with %s", repo, rev,
                    out->commit);
    ts_buf_free(&url);
    ts_hub_answer_free(&a);
    return s;
}

/* The addresses of pages that have been read, by a hash: one twice would never end. */
static uint64_t mark_of(const char *s) {
    return ts_fnv1a(TS_FNV1A, s, strlen(s));
}

ts_status ts_hub_ask_files(ts_hub_conn *c, const ts_hub_net *net, const char *repo, const char *shown,
                           const char *commit, ts_hub_files *out, ts_err *err) {
    ts_hub_answer a = {0};
    ts_buf url = {0};
    out->token = net->token;
    uint64_t *seen = ts_alloc(PAGES_MAX, sizeof *seen);
    size_t left = DOCUMENT_MAX;
    ts_status s = seen && ts_buf_printf(&url, "%s/api/models/%s/tree/%s?recursive=true", net->endpoint, repo, commit)
                      ? TS_OK
                      : ts_fail_nomem(err, "the list of files", 0);
    for (size_t n = 0; s == TS_OK; n++) {
        ts_span next;
        if (n == PAGES_MAX) {
            s = ts_fail(err, TS_E_LIMIT, "the list of files of %s has more than %d pages", shown, PAGES_MAX);
            break;
        }
        seen[n] = mark_of(url.data);
        for (size_t i = 0; i < n && s == TS_OK; i++)
            if (seen[i] == seen[n])
                s = ts_fail(err, TS_E_FORMAT, "the pages of the list of files of %s go in a circle", shown);
        if (s == TS_OK) s = ask(c, net, url.data, left, shown, commit, read_files, out, &a, err);
        if (s != TS_OK) break;
        left -= a.body.len;
        if (!a.link.len || !ts_hub_link_next(a.link.data, &next)) break;
        char *to = ts_strndup((const char *)next.data, next.len);
        s = to ? ts_hub_redirect(&url, net->endpoint, a.url.data, to, err) : ts_fail_nomem(err, "an address", next.len);
        ts_free(to);
    }
    if (s == TS_OK) ts_hub_files_end(out);
    ts_buf_free(&url);
    ts_free(seen);
    ts_hub_answer_free(&a);
    return s;
}
