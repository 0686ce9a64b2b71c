/* parts.h - what an answer's parser says, written down: parts of one kind that follow each other are one, but for
 * names. */
#ifndef TS_TESTS_PARTS_H
#define TS_TESTS_PARTS_H

#include "server/calls.h"

/* "T(text)", "R(thinking)", "N(name)", "A(arguments)" one behind the other. */
typedef struct parts {
    ts_buf text;
    int kind; /* of the open one, 0: none */
} parts;

static inline bool parts_hear(void *ud, srv_part part, const char *text, size_t len) {
    parts *p = ud;
    const char kind = "TRNA"[part];
    if (len == 0) return false; /* nothing is not worth a call */
    if (p->kind != kind || kind == 'N') {
        if (p->kind && !ts_buf_putc(&p->text, ')')) return false;
        if (!ts_buf_printf(&p->text, "%c(", kind)) return false;
        p->kind = kind;
    }
    return ts_buf_append(&p->text, text, len);
}

/* The text in pieces, whose lengths `next` says. false: no memory. */
static inline bool parts_of(parts *out, srv_parser p, const char *text, size_t len, size_t (*next)(void *ud),
                            void *ud) {
    bool ok = true;
    for (size_t at = 0, n; ok && at < len; at += n) {
        n = next ? next(ud) : len;
        if (n > len - at) n = len - at;
        ok = srv_parser_feed(&p, text + at, n, false, parts_hear, out);
    }
    ok = ok && srv_parser_feed(&p, NULL, 0, true, parts_hear, out) && (!out->kind || ts_buf_putc(&out->text, ')'));
    srv_parser_free(&p);
    return ok;
}

#endif
