#include "cli/npu_captures.h"

#include <jansson.h>
#include <string.h>

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static ts_status get_hex(json_t *o, const char *key, ts_arena *a, const uint8_t **out, size_t *len, ts_err *err) {
    const char *s = json_string_value(json_object_get(o, key));
    if (!s) return ts_fail(err, TS_E_FORMAT, "no string \"%s\"", key);
    size_t n = strlen(s) / 2;
    uint8_t *b = ts_arena_alloc(a, n + 1, 1);
    if (!b) return ts_fail_nomem(err, "a record", n);
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);
        if (hi < 0 || lo < 0) return ts_fail(err, TS_E_FORMAT, "\"%s\" is not hexadecimal", key);
        b[i] = (uint8_t)(hi << 4 | lo);
    }
    if (strlen(s) % 2) return ts_fail(err, TS_E_FORMAT, "\"%s\" has an odd number of digits", key);
    *out = b;
    *len = n;
    return TS_OK;
}

static ts_status get_int(json_t *o, const char *key, long lo, long hi, long *out, ts_err *err) {
    json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
        return ts_fail(err, TS_E_FORMAT, "\"%s\" is missing or not a number from %ld to %ld", key, lo, hi);
    *out = (long)json_integer_value(v);
    return TS_OK;
}

static ts_status read_record(npu_captures *cs, json_t *o, size_t line, ts_err *err) {
    if (!ts_grow((void **)&cs->r, &cs->cap, cs->n + 1, sizeof *cs->r))
        return ts_fail_nomem(err, "records", sizeof *cs->r);
    npu_capture *r = &cs->r[cs->n];
    long in_offset = 0, out_offset = 0;
    *r = (npu_capture){.line = line};
    TS_TRY(get_int(o, "batch", 0, 1 << 30, &r->batch, err));
    TS_TRY(get_int(o, "index", 0, 1 << 30, &r->index, err));
    TS_TRY(get_int(o, "in_offset", 0, 1 << 20, &in_offset, err));
    TS_TRY(get_int(o, "out_offset", 0, 1 << 20, &out_offset, err));
    TS_TRY(get_hex(o, "code", &cs->arena, &r->c.code, &r->c.code_len, err));
    TS_TRY(get_hex(o, "in", &cs->arena, &r->c.in, &r->c.in_len, err));
    TS_TRY(get_hex(o, "out", &cs->arena, &r->c.out, &r->c.out_len, err));
    r->c.in_offset = (uint32_t)in_offset;
    r->c.out_offset = (uint32_t)out_offset;
    r->c.got = ts_arena_calloc(&cs->arena, r->c.out_len + 1, 1);
    r->c.known = ts_arena_calloc(&cs->arena, r->c.out_len + 1, 1);
    const char *name = json_string_value(json_object_get(o, "instruction"));
    if (!name) return ts_fail(err, TS_E_FORMAT, "no string \"instruction\"");
    for (r->insn = 0; r->insn < TS_INSNS && strcmp(ts_aie2_insns[r->insn].name, name); r->insn++) {}
    if (r->insn == TS_INSNS) return ts_fail(err, TS_E_FORMAT, "there is no instruction \"%.60s\"", name);
    r->name = ts_aie2_insns[r->insn].name;
    json_t *u = json_object_get(o, "uninitialised_sources");
    r->initialised = json_is_array(u) ? json_array_size(u) == 0 : -1;
    if (!r->c.got || !r->c.known) return ts_fail_nomem(err, "a record", r->c.out_len);
    cs->n++;
    return TS_OK;
}

ts_status npu_captures_parse(npu_captures *cs, const char *text, size_t len, const char *name, ts_err *err) {
    const char *end = text + len;
    size_t line = 0;
    for (const char *p = text; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p), blank = 0;
        line++;
        while (blank < n && strchr(" \t\r", p[blank]) && p[blank]) blank++;
        if (blank < n) {
            json_error_t why;
            json_t *o = json_loadb(p, n, 0, &why);
            ts_status s = json_is_object(o) ? read_record(cs, o, line, err)
                                            : ts_fail(err, TS_E_FORMAT, "%s", o ? "not a JSON object" : why.text);
            json_decref(o);
            if (s != TS_OK) return ts_err_prefix(err, s, "%s:%zu", name, line);
        }
        p += n + (nl != NULL);
    }
    return cs->n ? TS_OK : ts_fail(err, TS_E_FORMAT, "%s: no records", name);
}

ts_status npu_captures_replay(npu_captures *cs, const char *name, ts_err *err) {
    for (size_t i = 0, n; i < cs->n; i += n) {
        for (n = 1; i + n < cs->n && cs->r[i + n].batch == cs->r[i].batch;) n++;
        ts_aie2_capture *c = ts_calloc(n, sizeof *c);
        if (!c) return ts_fail_nomem(err, "a batch", n);
        for (size_t k = 0; k < n; k++) c[k] = cs->r[i + k].c;
        ts_status s = ts_aie2_replay(c, n, err);
        for (size_t k = 0; k < n; k++) cs->r[i + k].c = c[k];
        ts_free(c);
        if (s != TS_OK) return ts_err_prefix(err, s, "%s: batch %ld", name, cs->r[i].batch);
    }
    return TS_OK;
}

void npu_captures_free(npu_captures *cs) {
    ts_free(cs->r);
    ts_arena_free(&cs->arena);
    *cs = (npu_captures){0};
}
