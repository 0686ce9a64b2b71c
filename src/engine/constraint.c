/* constraint.c - constraints on an engine's vocabulary. */
#include "engine/constraint.h"
#include "base/sized.h"

#include <stdatomic.h>

/* Does it come for its bytes? */
static bool is_text(const ts_tokenizer *tok, ts_token id) {
    const ts_token_kind kind = ts_token_kind_of(tok, id);
    return kind != TS_TOKEN_CONTROL && kind != TS_TOKEN_UNKNOWN && kind != TS_TOKEN_UNUSED &&
           !ts_tokenizer_is_end(tok, id);
}

static bool bytes_of(void *ud, uint32_t id, ts_buf *out) {
    const ts_tokenizer *tok = ud;
    return !is_text(tok, (ts_token)id) || ts_token_bytes(tok, (ts_token)id, false, out);
}

/* Two threads may make it at the same time; the first one's stays. */
ts_status ts_engine_trie(const ts_engine *e, const ts_trie **out, ts_err *err) {
    _Atomic(ts_trie *) *kept = &((ts_engine *)e)->trie;
    ts_trie *t = atomic_load(kept);
    if (!t) {
        ts_trie *made, *none = NULL;
        TS_TRY(ts_trie_new(&made, (uint32_t)ts_tokenizer_size(e->tok), bytes_of, e->tok, err));
        if (atomic_compare_exchange_strong(kept, &none, made)) t = made;
        else {
            ts_trie_free(made);
            t = none;
        }
    }
    *out = t;
    return TS_OK;
}

static ts_token find_control(void *ud, const char *text, size_t len) {
    const ts_tokenizer *tok = ud;
    const ts_token id = ts_tokenizer_find(tok, text, len);
    return id >= 0 && ts_token_kind_of(tok, id) == TS_TOKEN_CONTROL && !ts_tokenizer_is_end(tok, id) ? id : -1;
}

ts_status ts_constraint_new_sized(ts_constraint **out, const ts_engine *e, const ts_constraint_opts *given,
                                  size_t opts_size, ts_err *err) {
    ts_automaton_opts o = {.find_control = find_control};
    TS_TRY(ts_sized_in(&o.spec, sizeof o.spec, given, opts_size, err));
    TS_NEED(out && e && e->tok, err, "a constraint needs an engine with a tokenizer");
    ts_constraint *c = ts_calloc(1, sizeof *c);
    if (!c) return ts_fail_nomem(err, "the constraint", sizeof *c);
    c->e = e;
    o.find_ud = e->tok;
    ts_status s = ts_automaton_new(&c->automaton, &o, err);
    if (s == TS_OK) s = ts_engine_trie(e, &c->trie, err);
    if (s != TS_OK) {
        ts_constraint_free(c);
        return s;
    }
    *out = c;
    return TS_OK;
}

void ts_constraint_free(ts_constraint *c) {
    if (!c) return;
    ts_automaton_free(c->automaton);
    ts_buf_free(&c->bytes);
    ts_free(c);
}

void ts_constraint_begin(ts_constraint *c, ts_standing *at, bool keep_space) {
    *at = (ts_standing){.place = ts_automaton_start(c->automaton), .keep_space = keep_space, .next = c->standing};
    c->standing = at;
}

void ts_constraint_end(ts_constraint *c, ts_standing *at) {
    for (ts_standing **p = &c->standing; *p; p = &(*p)->next)
        if (*p == at) {
            *p = at->next;
            return;
        }
}

/* Memory does not grow with the length of answers. */
static ts_status tidy(ts_constraint *c, ts_err *err) {
    size_t n = 0;
    if (!ts_automaton_is_large(c->automaton)) return TS_OK;
    for (ts_standing *at = c->standing; at; at = at->next) n++;
    ts_place_id **live = ts_alloc(n + 1, sizeof *live);
    if (!live) return ts_fail_nomem(err, "the constraint", n * sizeof *live);
    n = 0;
    for (ts_standing *at = c->standing; at; at = at->next) live[n++] = &at->place;
    const ts_status s = ts_automaton_collect(c->automaton, live, n, err);
    ts_free(live);
    return s;
}

/* Does the detokeniser drop a space in front of what comes next? As ts_detok_push has it. */
static bool drops_space(const ts_constraint *c, const ts_standing *at) {
    return !at->begun && !at->keep_space && ts_tokenizer_adds_prefix(c->e->tok);
}

/* Only ordinary tokens lose their first space: the others that begin with one are looked at by themselves. */
static ts_status keep_other_spaces(ts_constraint *c, const ts_standing *at, uint32_t *allowed, ts_err *err) {
    const ts_tokenizer *tok = c->e->tok;
    for (uint32_t id = 0; id < c->trie->n_vocab; id++) {
        ts_place_id to = at->place;
        if (ts_token_kind_of(tok, (ts_token)id) == TS_TOKEN_NORMAL || !is_text(tok, (ts_token)id)) continue;
        ts_buf_clear(&c->bytes);
        if (!ts_token_bytes(tok, (ts_token)id, false, &c->bytes)) return ts_fail_nomem(err, "a token", 0);
        if (c->bytes.len == 0 || c->bytes.data[0] != ' ') continue;
        TS_TRY(ts_automaton_bytes(c->automaton, &to, c->bytes.data, c->bytes.len, err));
        allowed[id / 32] &= ~(1u << id % 32);
        if (to != TS_PLACE_NONE) allowed[id / 32] |= 1u << id % 32;
    }
    return TS_OK;
}

ts_status ts_constraint_mask(ts_constraint *c, const ts_standing *at, bool no_end, uint32_t *allowed, bool *only_end,
                             ts_err *err) {
    const ts_tokenizer *tok = c->e->tok;
    bool any;
    TS_TRY(tidy(c, err));
    const bool drop = drops_space(c, at);
    TS_TRY(ts_automaton_mask(c->automaton, c->trie, at->place, drop, allowed, &any, err));
    if (drop) {
        uint32_t some = 0;
        TS_TRY(keep_other_spaces(c, at, allowed, err));
        for (uint32_t i = 0; i < c->trie->n_words; i++) some |= allowed[i];
        any = some != 0;
    }
    const bool accepts = ts_automaton_accepts(c->automaton, at->place);
    for (size_t i = 0; accepts && !no_end && i < ts_tokenizer_n_ends(tok); i++) {
        const ts_token id = ts_tokenizer_end(tok, i);
        if (id >= 0 && (uint32_t)id < c->trie->n_vocab) allowed[id / 32] |= 1u << id % 32;
    }
    *only_end = accepts && !any;
    if (!any && !accepts)
        return ts_fail(err, TS_E_INVAL, "the vocabulary has no token that the constraint allows here");
    return TS_OK;
}

ts_status ts_constraint_push(ts_constraint *c, ts_standing *at, ts_token token, ts_err *err) {
    const ts_tokenizer *tok = c->e->tok;
    ts_standing to = *at;
    bool fits = true;
    if (ts_tokenizer_is_end(tok, token)) {
        fits = ts_automaton_accepts(c->automaton, at->place);
    } else if (!is_text(tok, token)) {
        TS_TRY(ts_automaton_control(c->automaton, &to.place, token, err));
    } else {
        ts_buf_clear(&c->bytes);
        if (!ts_token_bytes(tok, token, false, &c->bytes)) return ts_fail_nomem(err, "a token", 0);
        const bool drop = drops_space(c, at) && c->bytes.len && c->bytes.data[0] == ' ' &&
                          ts_token_kind_of(tok, token) == TS_TOKEN_NORMAL;
        fits = c->bytes.len > drop;
        if (fits) TS_TRY(ts_automaton_bytes(c->automaton, &to.place, c->bytes.data + drop, c->bytes.len - drop, err));
        to.begun = true;
    }
    if (!fits || to.place == TS_PLACE_NONE)
        return ts_fail(err, TS_E_INVAL, "the constraint forbids token %d here", token);
    at->place = to.place;
    at->begun = to.begun;
    return TS_OK;
}
