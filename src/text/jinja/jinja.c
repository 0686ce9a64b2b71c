/* The interpreter's edge: parse and render with everything in one arena, errors with their place, and the marks of
 * the output as ranges. */
#include "text/jinja/jinja_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    TEMPLATE_MAX = 4 << 20,
    DEPTH_DEFAULT = 1000,
    OUTPUT_DEFAULT = 64 << 20,
    MEMORY_DEFAULT = 512 << 20,
};
static const uint64_t steps_default = 200000000;

void tj_fail(tj *r, ts_status code, const char *fmt, ...) {
    char text[sizeof r->err.msg - 48]; /* the place goes in front */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* one line, and no character cut in half */
    size_t n = strlen(text);
    if (n + 1 == sizeof text) {
        while (n && (text[n - 1] & 0xC0) == 0x80) n--;
        text[n ? n - 1 : 0] = 0;
    }
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = ' ';
    r->status = r->line ? ts_fail(&r->err, code, "line %u, column %u: %s", r->line, r->col, text)
                        : ts_fail(&r->err, code, "%s", text);
    longjmp(r->fail, 1);
}

void tj_nomem(tj *r) {
    r->status = ts_fail(&r->err, TS_E_NOMEM, "out of memory in a chat template");
    longjmp(r->fail, 1);
}

void tj_fail_steps(tj *r) {
    tj_fail(r, TS_E_LIMIT, "the template does not come to an end (more than %llu steps)",
            (unsigned long long)r->max_steps);
}

void tj_enter(tj *r) {
    if (++r->depth > r->max_depth) tj_fail(r, TS_E_LIMIT, "nested too deeply (more than %u levels)", r->max_depth);
    tj_step(r, 1);
}

void *tj_alloc(tj *r, size_t n, size_t size) {
    size_t bytes;
    if (!ts_size_mul(n, size, &bytes) || bytes > r->max_memory || r->arena.total > r->max_memory - bytes)
        tj_fail(r, TS_E_LIMIT, "the template needs too much memory (more than %zu MiB)", r->max_memory >> 20);
    void *p = ts_arena_calloc(&r->arena, n ? n : 1, size);
    if (!p) tj_nomem(r);
    return p;
}

void *tj_more(tj *r, void *array, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return array;
    size_t more = *cap ? *cap * 2 : 8;
    void *p = tj_alloc(r, more, size);
    if (n) memcpy(p, array, n * size);
    *cap = more;
    return p;
}

static ts_status leave(tj *r, ts_err *err) {
    if (err) *err = r->err;
    ts_arena_free(&r->arena);
    return r->status;
}

ts_status ts_jinja_parse(ts_jinja **out, const char *text, size_t len, ts_err *err) {
    if (len > TEMPLATE_MAX)
        return ts_fail(err, TS_E_LIMIT, "the chat template has %zu bytes; %d MiB are the limit", len,
                       TEMPLATE_MAX >> 20);
    tj r = {.max_steps = UINT64_MAX, .max_depth = 250, .max_text = SIZE_MAX, .max_memory = MEMORY_DEFAULT};
    ts_jinja *t = ts_calloc(1, sizeof *t);
    if (!t) return ts_fail_nomem(err, "a chat template", sizeof *t);
    if (setjmp(r.fail)) {
        ts_free(t);
        return leave(&r, err);
    }
    tj_parse(&r, t, text, len);
    t->arena = r.arena;
    *out = t;
    return TS_OK;
}

void ts_jinja_free(ts_jinja *t) {
    if (!t) return;
    ts_arena_free(&t->arena);
    ts_free(t);
}

void ts_jinja_out_free(ts_jinja_out *o) {
    if (!o) return;
    ts_buf_free(&o->text);
    ts_free(o->data);
    *o = (ts_jinja_out){0};
}

/* The text and its marks as ranges. */
static bool give(const tj_sb *b, ts_jinja_out *o) {
    if (!ts_buf_append(&o->text, b->s, b->len)) return false;
    for (size_t i = 0; i < b->len;) {
        bool data = b->mk ? b->mk[i] : b->data;
        size_t e = b->len;
        if (b->mk) {
            const uint8_t *p = memchr(b->mk + i, !data, b->len - i);
            if (p) e = (size_t)(p - b->mk);
        }
        if (data) {
            void *a = o->data;
            if (!ts_grow(&a, &o->cap_data, o->n_data + 1, sizeof *o->data)) return false;
            o->data = a;
            o->data[o->n_data++] = (ts_jinja_range){i, e};
        }
        i = e;
    }
    return true;
}

ts_status ts_jinja_render(const ts_jinja *t, const json_t *context, const ts_jinja_opts *opts, ts_jinja_out *out,
                          ts_err *err) {
    static const ts_jinja_opts none = {0};
    if (!opts) opts = &none;
    if (context && !json_is_object(context))
        return ts_fail(err, TS_E_INVAL, "the context of a chat template must be a JSON object");
    tj r = {.t = t, .opts = opts, .context = context};
    r.max_steps = opts->max_steps ? opts->max_steps : steps_default;
    r.max_depth = opts->max_depth ? opts->max_depth : DEPTH_DEFAULT;
    r.max_text = opts->max_output ? opts->max_output : OUTPUT_DEFAULT;
    r.max_memory = opts->max_memory ? opts->max_memory : MEMORY_DEFAULT;
    ts_jinja_out made = {0};
    tj_sb text;
    tj_sb_init(&r, &text);
    if (setjmp(r.fail)) return leave(&r, err);
    r.out = &text;
    tj_exec_template(&r);
    if (!give(&text, &made)) {
        ts_jinja_out_free(&made);
        r.status = ts_fail_nomem(&r.err, "the text of a chat template", text.len);
        return leave(&r, err);
    }
    ts_jinja_out_free(out);
    *out = made;
    ts_arena_free(&r.arena);
    return TS_OK;
}
