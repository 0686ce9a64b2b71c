/* JSON in and out: the context's variables as values, and tojson as Python's json.dumps writes it. */
#include "text/jinja/jinja_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Roles that a conversation may have without being taken for text that somebody wrote: templates make control tokens
 * of them. */
static const char *const roles[] = {
    "system",      "user",        "assistant", "tool",      "function",      "developer",   "ipython",
    "model",       "human",       "gpt",       "bot",       "chatbot",       "critic",      "context",
    "environment", "observation", "documents", "functions", "tool_response", "tool_result",
};

static tj_val from_str(tj *r, const json_t *j, bool data) {
    const char *s = json_string_value(j);
    size_t len = json_string_length(j);
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c;
        if ((unsigned char)s[i] < 0x80) {
            n = 1;
            continue;
        }
        n = (size_t)ts_utf8_decode(s + i, len - i, &c);
        if (!n) tj_fail(r, TS_E_INVAL, "a string of the context is not valid UTF-8");
    }
    return tj_of_str(tj_str_new(r, s, len, data));
}

tj_val tj_from_json(tj *r, const json_t *j, bool data) {
    switch (json_typeof(j)) {
    case JSON_NULL: return tj_none();
    case JSON_TRUE: return tj_bool(true);
    case JSON_FALSE: return tj_bool(false);
    case JSON_INTEGER: return tj_int(json_integer_value(j));
    case JSON_REAL: return tj_float(json_real_value(j));
    case JSON_STRING: return from_str(r, j, data);
    case JSON_ARRAY: {
        tj_enter(r);
        tj_seq *q = tj_seq_new(r, TJ_LIST, json_array_size(j));
        for (size_t i = 0; i < json_array_size(j); i++) tj_seq_push(r, q, tj_from_json(r, json_array_get(j, i), data));
        tj_leave(r);
        return tj_of_seq(q);
    }
    case JSON_OBJECT: break;
    }
    tj_enter(r);
    json_t *o = (json_t *)j; /* the iterator's interface wants it so; nothing is changed */
    tj_dict *d = tj_dict_new(r, json_object_size(o));
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *key = json_object_iter_key(it);
        tj_dict_set(r, d, tj_of_str(tj_str_new(r, key, strlen(key), data)),
                    tj_from_json(r, json_object_iter_value(it), data));
    }
    tj_leave(r);
    return TJ_V(TJ_DICT, d, d);
}

static void trust_roles(tj *r, tj_val messages) {
    static const tj_str role = {.s = "role", .len = 4, .n_chars = 4};
    for (size_t i = 0; messages.t == TJ_SEQ && i < messages.q->n; i++) {
        if (messages.q->v[i].t != TJ_DICT) continue;
        tj_val *v = tj_dict_name(r, messages.q->v[i].d, &role);
        for (size_t k = 0; v && v->t == TJ_STR && k < sizeof roles / sizeof *roles; k++)
            if (tj_str_is(v->s, roles[k])) *v = tj_of_str(tj_str_lit(r, roles[k]));
    }
}

tj_val tj_variable(tj *r, const char *name) {
    const json_t *j = r->context ? json_object_get(r->context, name) : NULL;
    if (!j) return (tj_val){.t = TJ_ABSENT};
    bool data = true;
    for (const char *const *t = r->opts->trusted; t && *t && data; t++) data = strcmp(*t, name) != 0;
    tj_val v = tj_from_json(r, j, data);
    if (strcmp(name, "messages") == 0) trust_roles(r, v);
    return v;
}

static void json_str(tj_sb *b, const tj_str *s, bool ascii) {
    tj_sb_add(b, "\"", 1, s->mk || s->data);
    for (size_t i = 0, n, from = 0; i <= s->len; i += n) {
        uint32_t c = 0;
        char e[16] = "";
        if (i < s->len) {
            c = tj_char_at(s, i, &n);
            if (c == '"' || c == '\\') snprintf(e, sizeof e, "\\%c", (char)c);
            else if (c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f')
                snprintf(e, sizeof e, "\\%c",
                         c == '\n'   ? 'n'
                         : c == '\r' ? 'r'
                         : c == '\t' ? 't'
                         : c == '\b' ? 'b'
                                     : 'f');
            else if (c < 32 || (ascii && c > 126 && c < 0x10000)) snprintf(e, sizeof e, "\\u%04x", c);
            else if (ascii && c >= 0x10000)
                snprintf(e, sizeof e, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
                         0xDC00 + ((c - 0x10000) & 0x3FF));
            else continue;
        } else {
            n = 1;
        }
        tj_sb_sub(b, s, from, i);
        if (e[0]) tj_sb_add(b, e, strlen(e), tj_mark(s, i));
        from = i + n;
    }
    tj_sb_add(b, "\"", 1, s->mk || s->data);
}

static void newline(tj_sb *b, const tj_json_opts *o, int level) {
    if (!o->indent) return;
    tj_sb_puts(b, "\n");
    for (int i = 0; i < level; i++) tj_sb_str(b, o->indent);
}

static void json_key(tj_sb *b, tj_val k, const tj_json_opts *o) {
    tj *r = b->r;
    if (k.t == TJ_STR) {
        json_str(b, k.s, o->ascii);
    } else if (k.t == TJ_NONE || tj_is_number(k)) {
        tj_sb_puts(b, "\"");
        tj_sb_json(b, k, o, 0);
        tj_sb_puts(b, "\"");
    } else {
        tj_fail(r, TS_E_INVAL, "keys must be str, int, float, bool or None, not %s", tj_type_name(k));
    }
}

static void json_dict(tj_sb *b, const tj_dict *d, const tj_json_opts *o, int level) {
    tj *r = b->r;
    tj_seq *keys = tj_iter(r, TJ_V(TJ_DICT, d, (tj_dict *)d));
    if (o->sort) {
        keys = tj_call_func(r, tj_func_in(tj_filters_seq, tj_n_filters_seq, "sort", 4), "filter", tj_of_seq(keys),
                            &(tj_args){.kw = (const tj_str *[]){tj_str_lit(r, "case_sensitive")},
                                       .kwv = (tj_val[]){tj_bool(true)},
                                       .n_kw = 1})
                   .q;
    }
    tj_sb_puts(b, "{");
    for (size_t i = 0; i < keys->n; i++) {
        if (i) tj_sb_str(b, o->item_sep);
        newline(b, o, level + 1);
        json_key(b, keys->v[i], o);
        tj_sb_str(b, o->key_sep);
        tj_sb_json(b, *tj_dict_get(r, d, keys->v[i]), o, level + 1);
    }
    if (keys->n) newline(b, o, level);
    tj_sb_puts(b, "}");
}

void tj_sb_json(tj_sb *b, tj_val v, const tj_json_opts *o, int level) {
    tj *r = b->r;
    tj_enter(r);
    switch (v.t) {
    case TJ_NONE: tj_sb_puts(b, "null"); break;
    case TJ_BOOL: tj_sb_puts(b, v.b ? "true" : "false"); break;
    case TJ_INT: tj_sb_int(b, v.i); break;
    case TJ_FLOAT:
        if (isfinite(v.f)) tj_sb_float(b, v.f);
        else tj_sb_puts(b, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
        break;
    case TJ_STR: json_str(b, v.s, o->ascii); break;
    case TJ_DICT: json_dict(b, v.d, o, level); break;
    case TJ_SEQ:
        if (v.q->kind == TJ_LIST || v.q->kind == TJ_TUPLE || v.q->kind == TJ_GROUP) {
            tj_sb_puts(b, "[");
            for (size_t i = 0; i < v.q->n; i++) {
                if (i) tj_sb_str(b, o->item_sep);
                newline(b, o, level + 1);
                tj_sb_json(b, v.q->v[i], o, level + 1);
            }
            if (v.q->n) newline(b, o, level);
            tj_sb_puts(b, "]");
            break;
        } /* fall through */
    default: tj_fail(r, TS_E_INVAL, "Object of type %s is not JSON serializable", tj_type_name(v));
    }
    tj_leave(r);
}
