/* calls.c - an answer's text taken apart, as it comes.
 *
 * A form of calls is a handful of patterns: what opens a call up to its arguments, what closes it, what stands between
 * two. Text that may become one of them is held and matched anew as it grows; since a pattern is matched against the
 * same bytes however they were cut, so are the parts. Arguments are not held: their brackets are counted. */
#include "server/calls.h"

#include "base/json_pull.h"

enum { HELD_MOST = 4096 }; /* bytes that a mark with a name in it can have */

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

/* A pattern is text in which these characters have a meaning. */
#define W "\1"      /* white space, or none */
#define QUOTED "\2" /* the name, a JSON string */
#define BARE "\3"   /* the name, as it is */
#define ID "\4"     /* an id as it is, which nobody needs */
#define STRING "\5" /* a JSON string that nobody needs */
#define OBJECT "\6" /* an object begins here, which is not part of the match */
#define MARK "\7"   /* up to here it is a mark and no text any more, even if nothing follows */
enum { WHITE = 1, A_QUOTED, A_BARE, AN_ID, A_STRING, AN_OBJECT, A_MARK };

/* The bars and underlines of DeepSeek's marks: U+FF5C, U+2581. */
#define BAR "\xEF\xBD\x9C"
#define LOW "\xE2\x96\x81"
#define CALLS_BEGIN "<" BAR "tool" LOW "calls" LOW "begin" BAR ">"
#define CALLS_END "<" BAR "tool" LOW "calls" LOW "end" BAR ">"
#define CALL_BEGIN "<" BAR "tool" LOW "call" LOW "begin" BAR ">"
#define CALL_END "<" BAR "tool" LOW "call" LOW "end" BAR ">"
#define SEP "<" BAR "tool" LOW "sep" BAR ">"

#define CALL_OF(arguments) "{" W "\"name\"" W ":" W QUOTED W "," W "\"" arguments "\"" W ":" W OBJECT
#define R1_CALL CALL_BEGIN "function" SEP BARE "\n```json" W OBJECT
#define V3_CALL CALL_BEGIN BARE SEP W OBJECT

enum { ALTERNATIVES = 2 };
static const struct form {
    const char *open[ALTERNATIVES];  /* from the mark to the arguments */
    const char *bare;                /* the same without a mark, at the beginning of what is said */
    const char *close[ALTERNATIVES]; /* behind the arguments; none: nothing */
    const char *next, *end;          /* of a list: to the next call's arguments; behind the last one */
} forms[] = {
    [SRV_CALLS_HERMES] = {.open = {"<tool_call>" MARK W CALL_OF("arguments")}, .close = {W "}" W "</tool_call>"}},
    [SRV_CALLS_LLAMA3] = {.open = {"<|python_tag|>" MARK W CALL_OF("parameters")},
                          .bare = CALL_OF("parameters"),
                          .close = {W "}"}},
    [SRV_CALLS_MISTRAL] = {.open = {"[TOOL_CALLS]" MARK W "[" W CALL_OF("arguments")},
                           .close = {W "}", W "," W "\"id\"" W ":" W STRING W "}"},
                           .next = W "," W CALL_OF("arguments"),
                           .end = W "]"},
    [SRV_CALLS_MISTRAL_ARGS] = {.open = {"[TOOL_CALLS]" MARK W BARE "[ARGS]" W OBJECT,
                                         "[TOOL_CALLS]" MARK W BARE "[CALL_ID]" ID "[ARGS]" W OBJECT}},
    [SRV_CALLS_DEEPSEEK_R1] = {.open = {CALLS_BEGIN MARK W R1_CALL},
                               .close = {W "```" W CALL_END},
                               .next = W R1_CALL,
                               .end = W CALLS_END},
    [SRV_CALLS_DEEPSEEK_V3] = {.open = {CALLS_BEGIN MARK W V3_CALL},
                               .close = {W CALL_END},
                               .next = W V3_CALL,
                               .end = W CALLS_END},
};
static const char think_begin[] = "<think>" MARK, think_end[] = "</think>" MARK;

typedef struct match {
    enum { NO, PERHAPS, YES } is; /* PERHAPS: as far as there is text */
    size_t len;                   /* YES: of the match */
    bool marked;                  /* MARK has been passed */
    ts_span name;
} match;

static bool white(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* Where a JSON string from its quote on ends; len: further on; 0: it is none. */
static size_t string_end(const char *s, size_t len) {
    if (*s != '"') return 0;
    for (size_t i = 1; i < len; i++) {
        if ((unsigned char)s[i] < 0x20) return 0;
        if (s[i] == '"') return i + 1;
        if (s[i] == '\\' && ++i >= len) return len + 1;
    }
    return len + 1;
}

static size_t bare_end(const char *s, size_t len) {
    size_t i = 0;
    while (i < len && (unsigned char)s[i] > 0x20 && !strchr("[]<>{}\"", s[i])) i++;
    return i;
}

static match match_pattern(const char *pattern, const char *s, size_t len) {
    match m = {.is = PERHAPS};
    size_t i = 0, n;
    for (const char *p = pattern; *p; p++) {
        if (*p == A_MARK) {
            m.marked = true;
            continue;
        }
        if (*p == WHITE) {
            while (i < len && white(s[i])) i++;
            continue;
        }
        if (i > HELD_MOST) break;
        if (i == len) return m;
        switch (*p) {
        case A_QUOTED:
        case A_STRING:
            n = string_end(s + i, len - i);
            if (n > len - i) {
                m.is = len > HELD_MOST ? NO : PERHAPS;
                return m;
            }
            if (n == 0 || (*p == A_QUOTED && n == 2)) return (match){0}; /* nobody has no name */
            if (*p == A_QUOTED) m.name = (ts_span){(const uint8_t *)s + i, n};
            i += n;
            break;
        case A_BARE:
        case AN_ID:
            n = bare_end(s + i, len - i);
            if (n == 0 || i + n > HELD_MOST) return (match){0};
            if (*p == A_BARE) m.name = (ts_span){(const uint8_t *)s + i, n};
            i += n;
            break;
        case AN_OBJECT:
            if (s[i] != '{') return (match){0};
            break;
        default:
            if (s[i++] != *p) return (match){0};
        }
    }
    if (i > HELD_MOST) return (match){0};
    m.is = YES;
    m.len = i;
    return m;
}

/* The better one of two. */
static match better(match a, const char *pattern, const char *s, size_t len) {
    if (!pattern || a.is == YES) return a;
    const match b = match_pattern(pattern, s, len);
    return b.is > a.is || (b.is == a.is && b.marked) ? b : a;
}

/* ---- taking apart ------------------------------------------------------------------------------------------------ */

/* The text that there is, from `at` on not yet taken. */
typedef struct cut {
    srv_parser *p;
    const char *s;
    size_t at, len;
    bool last;
    srv_part_fn *fn;
    void *ud;
} cut;

static bool tell(const cut *c, srv_part part, const char *text, size_t len) {
    return len == 0 || c->fn(c->ud, part, text, len);
}

/* The name of a call, which begins it. */
static bool tell_name(const cut *c, ts_span name) {
    const char *s = (const char *)name.data;
    if (*s != '"') return tell(c, SRV_PART_NAME, s, name.len);
    ts_json j;
    ts_span plain;
    ts_json_init(&j, s, name.len);
    /* a constraint lets only names pass that were offered; anything else is passed on as it is */
    const bool ok = ts_json_string(&j, &plain);
    const bool told = ok ? tell(c, SRV_PART_NAME, (const char *)plain.data, plain.len)
                         : (!j.bad || *j.bad) && tell(c, SRV_PART_NAME, s, name.len);
    ts_json_fini(&j);
    return told;
}

/* What opens a call or a block, at s. *thinks: it is a block. */
static match match_open(const srv_parser *p, const char *s, size_t len, bool *thinks) {
    match m = {0};
    const struct form *f = &forms[p->form];
    if (p->calls) {
        for (int i = 0; i < ALTERNATIVES; i++) m = better(m, f->open[i], s, len);
        if (p->state != SRV_IN_TEXT && !p->called) m = better(m, f->bare, s, len);
    }
    *thinks = false;
    if (!p->thinks || p->state != SRV_AT_BEGIN) return m;
    const match block = better(m, think_begin, s, len);
    *thinks = block.is == YES && m.is != YES;
    return block;
}

/* Text, up to what opens a call or a block, or may come to. `thoughts`: up to what ends it. true: go on in the state
 * that there is now. */
typedef enum step { GO_ON, WAIT, STOP } step;

static step begin_call(cut *c, match m) {
    c->at += m.len;
    c->p->state = SRV_IN_ARGUMENTS;
    c->p->called = true;
    c->p->depth = 0;
    c->p->string = c->p->escape = false;
    return tell_name(c, m.name) ? GO_ON : STOP;
}

static step take_text(cut *c) {
    srv_parser *p = c->p;
    const bool thoughts = p->state == SRV_IN_THOUGHT;
    const srv_part part = thoughts ? SRV_PART_THINKING : SRV_PART_TEXT;
    size_t from = c->at, i = from;
    bool block = false;
    match m = {0};
    while (i < c->len) {
        size_t mark = i;
        while (mark < c->len && white(c->s[mark])) mark++;
        m = (match){.is = PERHAPS};
        if (mark < c->len)
            m = thoughts ? match_pattern(think_end, c->s + mark, c->len - mark)
                         : match_open(p, c->s + mark, c->len - mark, &block);
        if (m.is != NO) {
            c->at = mark;
            break;
        }
        i = mark + 1;
        if (!thoughts) p->state = SRV_IN_TEXT;
    }
    if (c->at < i) c->at = i; /* nothing is held */
    if (!tell(c, part, c->s + from, i - from)) return STOP;
    if (m.is == YES) {
        if (!thoughts && !block) return begin_call(c, m);
        c->at += m.len;
        p->state = thoughts ? SRV_BEHIND : SRV_IN_THINKING;
        return GO_ON;
    }
    if (!c->last) {
        c->at = i; /* with the white space in front */
        return WAIT;
    }
    const bool drop = m.marked;
    c->at = c->len;
    return drop || tell(c, part, c->s + i, c->len - i) ? WAIT : STOP;
}

/* White space in front of thoughts, and behind a block or a call, is nobody's. */
static step skip_white(cut *c) {
    while (c->at < c->len && white(c->s[c->at])) c->at++;
    return c->at < c->len ? GO_ON : WAIT;
}

static step take_arguments(cut *c) {
    srv_parser *p = c->p;
    size_t i = c->at;
    do {
        const char ch = c->s[i++];
        if (p->escape) p->escape = false;
        else if (p->string) {
            p->escape = ch == '\\';
            p->string = ch != '"';
        } else if (ch == '"') p->string = true;
        else if (ch == '{' || ch == '[') p->depth++;
        else if (ch == '}' || ch == ']') p->depth--;
    } while (i < c->len && p->depth > 0);
    const size_t from = c->at;
    c->at = i;
    if (p->depth == 0) p->state = SRV_AT_CLOSE;
    return tell(c, SRV_PART_ARGUMENTS, c->s + from, i - from) ? GO_ON : STOP;
}

/* What stands behind a call. What is not of the form is text. */
static step take_between(cut *c) {
    srv_parser *p = c->p;
    const struct form *f = &forms[p->form];
    const char *s = c->s + c->at;
    const size_t len = c->len - c->at;
    const bool close = p->state == SRV_AT_CLOSE;
    match m = {0};
    if (close) {
        for (int i = 0; i < ALTERNATIVES; i++) m = better(m, f->close[i], s, len);
        if (!f->close[0]) m.is = YES;
    } else {
        m = better(match_pattern(f->next, s, len), f->end, s, len);
    }
    if (m.is == PERHAPS) {
        if (c->last) c->at = c->len;
        return WAIT;
    }
    if (m.is == YES && m.name.len) return begin_call(c, m);
    c->at += m.len;
    p->state = m.is == NO ? SRV_IN_TEXT : close && f->next ? SRV_AT_NEXT : SRV_BEHIND;
    return GO_ON;
}

static step take(cut *c) {
    srv_parser *p = c->p;
    switch (p->state) {
    case SRV_IN_THINKING:
        if (skip_white(c) == WAIT) return WAIT;
        p->state = SRV_IN_THOUGHT;
        return GO_ON;
    case SRV_BEHIND:
        if (skip_white(c) == WAIT) return WAIT;
        return take_text(c);
    case SRV_AT_BEGIN:
    case SRV_IN_THOUGHT:
    case SRV_IN_TEXT: return take_text(c);
    case SRV_IN_ARGUMENTS: return take_arguments(c);
    case SRV_AT_CLOSE:
    case SRV_AT_NEXT: return take_between(c);
    }
    return STOP;
}

bool srv_parser_feed(srv_parser *p, const char *text, size_t len, bool last, srv_part_fn *fn, void *ud) {
    /* nothing to look for any more: text is handed on as it is */
    if (p->held.len == 0 && !p->calls && (!p->thinks || p->state == SRV_IN_TEXT))
        return len == 0 || fn(ud, SRV_PART_TEXT, text, len);
    if (len > 0 && !ts_buf_append(&p->held, text, len)) return false;
    cut c = {.p = p, .s = p->held.data, .len = p->held.len, .last = last, .fn = fn, .ud = ud};
    step next = GO_ON;
    while (next == GO_ON && c.at < c.len) next = take(&c);
    if (next == STOP) return false;
    p->held.len -= c.at;
    if (c.at > 0) memmove(p->held.data, p->held.data + c.at, p->held.len + 1);
    return true;
}

void srv_parser_free(srv_parser *p) { ts_buf_free(&p->held); }
