/* cmd_constrain_vocab.c - masks along texts: how long they take, and that they are exact. */
#include "cli/cmd_constrain_vocab.h"
#include "base/file.h"
#include "engine/constraint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_MAX = 1 << 30, EXACT = 64 /* places of a text that are compared with all tokens one by one */ };

typedef struct along {
    ts_engine *e;
    ts_constraint *c;
    uint32_t n_vocab;
    uint32_t *allowed; /* bits */
    uint64_t *ns;      /* of each mask */
    size_t n, cap;
} along;

static int by_size(const void *x, const void *y) {
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static bool is_allowed(const along *w, ts_token id) {
    return w->allowed[id / 32] >> id % 32 & 1;
}

/* Time of this thread alone, which others on the machine do not lengthen. */
static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Every token pushed by itself, against the mask. */
static ts_status compare(along *w, const ts_standing *at, ts_err *err) {
    for (uint32_t id = 0; id < w->n_vocab; id++) {
        ts_standing to = *at;
        const ts_status s = ts_constraint_push(w->c, &to, (ts_token)id, err);
        if (s != TS_OK && s != TS_E_INVAL) return s;
        if ((s == TS_OK) != is_allowed(w, (ts_token)id))
            return ts_fail(err, TS_E_FORMAT, "the mask %s token %u", s == TS_OK ? "forbids" : "allows", id);
    }
    return TS_OK;
}

/* *end: how many tokens could be pushed. `exact`: with comparisons, otherwise times are taken. */
static ts_status follow(along *w, const ts_token *token, size_t n, bool exact, ts_standing *at, size_t *end,
                        ts_err *err) {
    for (*end = 0;; ++*end) {
        bool only_end;
        const uint64_t begin = now_ns();
        ts_status s = ts_constraint_mask(w->c, at, false, w->allowed, &only_end, err);
        const uint64_t ns = now_ns() - begin;
        if (!ts_grow((void **)&w->ns, &w->cap, w->n + 1, sizeof *w->ns)) s = ts_fail_nomem(err, "times", w->n);
        if (s == TS_OK && !exact) w->ns[w->n++] = ns;
        if (s == TS_OK && exact && *end < EXACT) s = compare(w, at, err);
        if (s != TS_OK || *end == n) return s;
        const bool may = is_allowed(w, token[*end]);
        s = ts_constraint_push(w->c, at, token[*end], err);
        if (s == TS_E_INVAL && !may) return TS_OK;
        if (s == TS_OK && !may) s = ts_fail(err, TS_E_FORMAT, "the mask forbids token %zu of the text", *end);
        if (s != TS_OK) return s;
    }
}

static double microseconds(const along *w, double share) {
    return w->n ? (double)w->ns[(size_t)(share * (double)(w->n - 1))] * 1e-3 : 0;
}

static ts_status one_text(along *w, const char *path, bool json, double build_ms, bool *whole, ts_err *err) {
    ts_buf text = {0};
    ts_token *token = NULL;
    size_t n = 0, end = 0;
    ts_standing at;
    ts_status s = ts_file_read(&text, path, TEXT_MAX, err);
    const char *data = text.data ? text.data : "";
    if (s == TS_OK) s = ts_engine_tokenize(w->e, data, text.len, TS_TOKENIZE_SPECIAL, &token, &n, err);
    w->n = 0;
    for (int exact = 0; s == TS_OK && exact < 2; exact++) {
        ts_constraint_begin(w->c, &at, false);
        s = follow(w, token, n, exact, &at, &end, err);
        ts_constraint_end(w->c, &at);
    }
    ts_buf_free(&text);
    ts_tokens_release(token);
    if (s != TS_OK) return s;
    const ts_automaton_size size = ts_automaton_get_size(w->c->automaton);
    const bool accepted = end == n && ts_automaton_accepts(w->c->automaton, at.place);
    *whole = accepted;
    qsort(w->ns, w->n, sizeof *w->ns, by_size);
    size_t over = 0;
    for (size_t i = 0; i < w->n; i++) over += w->ns[i] > 100000;
    const char *format =
        json ? "{\"build_ms\":%.3f,\"tokens\":%zu,\"of\":%zu,\"accepted\":%s,\"mask_us\":{\"p50\":%.1f,"
               "\"p99\":%.1f,\"max\":%.1f,\"over_100\":%zu},\"states\":%zu,\"places\":%zu}\n"
             : "built in %.3f ms; %zu of %zu tokens, accepted: %s; masks %.1f us p50, %.1f p99, %.1f worst, %zu over "
               "100 us; %zu states, %zu places\n";
    printf(format, build_ms, end, n, accepted ? "true" : "false", microseconds(w, 0.5), microseconds(w, 0.99),
           microseconds(w, 1), over, size.states, size.places);
    return TS_OK;
}

ts_status constrain_vocab(const char *model, const ts_constraint_opts *opts, const cli_list *texts, bool json,
                          bool *whole, ts_err *err) {
    along w = {0};
    const ts_trie *trie;
    *whole = true;
    TS_TRY(ts_engine_open(&w.e, model, &(ts_engine_opts){.text_only = true}, err));
    ts_status s = ts_engine_trie(w.e, &trie, err); /* once a model: not part of a constraint's time */
    const uint64_t begin = now_ns();
    if (s == TS_OK) s = ts_constraint_new(&w.c, w.e, opts, err);
    const double build_ms = (double)(now_ns() - begin) * 1e-6;
    if (s == TS_OK) {
        w.n_vocab = trie->n_vocab;
        w.allowed = ts_alloc(trie->n_words, sizeof *w.allowed);
        if (!w.allowed) s = ts_fail_nomem(err, "the mask", trie->n_words * sizeof *w.allowed);
    }
    for (size_t i = 0; s == TS_OK && i < texts->n; i++) {
        bool one = false;
        s = one_text(&w, texts->item[i], json, build_ms, &one, err);
        *whole &= one;
    }
    ts_free(w.allowed);
    ts_free(w.ns);
    ts_constraint_free(w.c);
    ts_engine_close(w.e);
    return s;
}
