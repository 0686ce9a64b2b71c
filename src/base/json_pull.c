/* json_pull.c - JSON front to back. */
#include "base/json_pull.h"

#include "base/hash.h"
#include "base/printable.h"
#include "base/utf8.h"

void ts_json_init(ts_json *j, const char *s, size_t len) {
    *j = (ts_json){.s = s, .len = len, .max_depth = TS_JSON_DEPTH};
    if (len >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0) j->pos = 3;
}

void ts_json_fini(ts_json *j) {
    ts_buf_free(&j->key);
    ts_buf_free(&j->str);
}

void ts_json_fail(ts_json *j, const char *what) {
    if (!j->bad) j->bad = what;
}

ts_status ts_json_status(const ts_json *j, ts_err *err) {
    if (!j->bad) return TS_OK;
    if (!*j->bad) return ts_fail_nomem(err, "a JSON string", 0);
    size_t line = 1, begin = 0;
    for (size_t i = 0; i < j->pos && i < j->len; i++)
        if (j->s[i] == '\n') {
            line++;
            begin = i + 1;
        }
    if (!j->named.data) return ts_fail(err, TS_E_FORMAT, "line %zu, column %zu: %s", line, j->pos - begin + 1, j->bad);
    char name[64];
    ts_printable(name, sizeof name, j->named.data, j->named.len);
    return ts_fail(err, TS_E_FORMAT, "line %zu, column %zu: %s: \"%s\"", line, j->pos - begin + 1, j->bad, name);
}

/* The next character that is not white space, without passing it; 0: a fault or the end. */
static inline char look(ts_json *j) {
    if (j->bad) return 0;
    while (j->pos < j->len) {
        char c = j->s[j->pos];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return c;
        j->pos++;
    }
    return 0;
}

ts_json_type ts_json_peek(ts_json *j) {
    switch (look(j)) {
    case '{': return TS_JSON_OBJECT;
    case '[': return TS_JSON_ARRAY;
    case '"': return TS_JSON_STRING;
    case 't':
    case 'f': return TS_JSON_BOOL;
    case 'n': return TS_JSON_NULL;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return TS_JSON_NUMBER;
    default: return TS_JSON_BAD;
    }
}

static bool open_group(ts_json *j, char bracket, const char *what) {
    if (look(j) != bracket) {
        ts_json_fail(j, what);
        return false;
    }
    if (++j->depth > j->max_depth) {
        ts_json_fail(j, "nested too deeply");
        return false;
    }
    j->pos++;
    j->first = true;
    return true;
}

/* Step to the next key or item. false: the group has ended. */
static bool next_member(ts_json *j, char bracket) {
    char c = look(j);
    if (c == bracket) {
        j->pos++;
        j->depth--;
        j->first = false; /* the group around has this one as a member */
        return false;
    }
    if (!j->first) {
        if (c != ',') {
            ts_json_fail(j, c ? "expected a comma" : "ends too early");
            return false;
        }
        j->pos++;
        if (look(j) == bracket) ts_json_fail(j, "a comma without anything behind it");
    }
    j->first = false;
    return !j->bad;
}

bool ts_json_object(ts_json *j) {
    return open_group(j, '{', "expected an object");
}

bool ts_json_array(ts_json *j) {
    return open_group(j, '[', "expected an array");
}

bool ts_json_item(ts_json *j) {
    return next_member(j, ']');
}

static int hex4(const char *s) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* \uXXXX at pos (behind the u), with the second half of a surrogate pair. false: a fault. */
static bool unicode_escape(ts_json *j, ts_buf *out) {
    int hi = j->len - j->pos >= 4 ? hex4(j->s + j->pos) : -1, lo;
    if (hi < 0) {
        ts_json_fail(j, "a bad \\u escape");
        return false;
    }
    uint32_t cp = (uint32_t)hi;
    j->pos += 4;
    if (cp >= 0xD800 && cp < 0xE000) {
        bool pair = cp < 0xDC00 && j->len - j->pos >= 6 && j->s[j->pos] == '\\' && j->s[j->pos + 1] == 'u';
        lo = pair ? hex4(j->s + j->pos + 2) : -1;
        if (lo < 0xDC00 || lo > 0xDFFF) {
            ts_json_fail(j, "half of a surrogate pair");
            return false;
        }
        cp = 0x10000 + ((cp - 0xD800) << 10) + ((uint32_t)lo - 0xDC00);
        j->pos += 6;
    }
    char utf8[4];
    if (!ts_buf_append(out, utf8, (size_t)ts_utf8_encode(cp, utf8))) {
        ts_json_fail(j, "");
        return false;
    }
    return true;
}

static bool string_fault(ts_json *j, size_t at, const char *what) {
    j->pos = at;
    ts_json_fail(j, what);
    return false;
}

static bool read_string(ts_json *j, ts_buf *buf, ts_span *out) {
    if (look(j) != '"') return string_fault(j, j->pos, j->pos < j->len ? "expected a string" : "ends too early");
    j->pos++;
    bool copied = false; /* into buf, up to pos */
    for (;;) {
        size_t i = j->pos;
        while (i < j->len && j->s[i] != '"' && j->s[i] != '\\' && (uint8_t)j->s[i] >= 0x20) i++;
        if (i == j->len) return string_fault(j, i, "a string without an end");
        if ((uint8_t)j->s[i] < 0x20) return string_fault(j, i, "a control character in a string");
        if (j->s[i] == '"' && !copied) { /* no escapes: a view of the text itself */
            *out = (ts_span){(const uint8_t *)j->s + j->pos, i - j->pos};
            j->pos = i + 1;
            return true;
        }
        if (!copied) ts_buf_clear(buf);
        copied = true;
        if (!ts_buf_append(buf, j->s + j->pos, i - j->pos)) return string_fault(j, i, "");
        if (j->s[i] == '"') {
            *out = (ts_span){(const uint8_t *)buf->data, buf->len};
            j->pos = i + 1;
            return true;
        }
        if (i + 1 == j->len) return string_fault(j, i, "a string without an end");
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *esc = memchr(from, j->s[i + 1], sizeof from - 1);
        j->pos = i + 2;
        if (j->s[i + 1] == 'u') {
            if (!unicode_escape(j, buf)) return false;
        } else if (!esc) {
            return string_fault(j, i, "an unknown escape");
        } else if (!ts_buf_putc(buf, to[esc - from])) {
            return string_fault(j, i, "");
        }
    }
}

bool ts_json_key(ts_json *j, ts_span *key) {
    if (!next_member(j, '}') || !read_string(j, &j->key, key)) return false;
    if (look(j) != ':') {
        ts_json_fail(j, "expected a colon");
        return false;
    }
    j->pos++;
    return true;
}

void ts_json_fail_twice(ts_json *j, ts_span key) {
    if (!j->bad) j->named = key;
    ts_json_fail(j, "a key that the object already has");
}

bool ts_json_key_once(ts_json *j, ts_span *key, ts_json_keys *seen) {
    if (!ts_json_key(j, key)) return false;
    const uint64_t h = ts_fnv1a(TS_FNV1A, key->data, key->len);
    for (int i = 0; i < seen->n && !j->bad; i++)
        if (seen->hash[i] == h) ts_json_fail_twice(j, *key);
    if (seen->n == TS_JSON_KEYS) ts_json_fail(j, "an object of more keys than any such has");
    if (j->bad) return false;
    seen->hash[seen->n++] = h;
    return true;
}

bool ts_json_string(ts_json *j, ts_span *out) {
    return read_string(j, &j->str, out);
}

ts_span ts_json_number(ts_json *j) {
    if (ts_json_peek(j) != TS_JSON_NUMBER) {
        ts_json_fail(j, "expected a number");
        return (ts_span){0};
    }
    size_t begin = j->pos, i = begin;
    const char *s = j->s;
    size_t len = j->len;
    if (s[i] == '-') i++;
    size_t digits = i;
    while (i < len && s[i] >= '0' && s[i] <= '9') i++;
    bool ok = i > digits && !(s[digits] == '0' && i > digits + 1);
    if (i < len && s[i] == '.') {
        digits = ++i;
        while (i < len && s[i] >= '0' && s[i] <= '9') i++;
        ok = ok && i > digits;
    }
    if (i < len && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        if (i < len && (s[i] == '+' || s[i] == '-')) i++;
        digits = i;
        while (i < len && s[i] >= '0' && s[i] <= '9') i++;
        ok = ok && i > digits;
    }
    if (!ok) {
        ts_json_fail(j, "a malformed number");
        return (ts_span){0};
    }
    j->pos = i;
    return (ts_span){(const uint8_t *)s + begin, i - begin};
}

int64_t ts_json_int(ts_json *j) {
    ts_span n = ts_json_number(j);
    bool negative = n.len > 0 && n.data[0] == '-';
    int64_t v = 0;
    for (size_t i = negative; i < n.len; i++) {
        int d = n.data[i] - '0';
        if (d < 0 || d > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, d, &v)) {
            ts_json_fail(j, "expected a whole number");
            return 0;
        }
    }
    if (!negative && v == INT64_MIN) ts_json_fail(j, "expected a whole number");
    return j->bad ? 0 : negative ? v : -v;
}

static bool literal(ts_json *j, const char *word) {
    size_t n = strlen(word);
    if (look(j) != *word || j->len - j->pos < n || memcmp(j->s + j->pos, word, n) != 0) return false;
    j->pos += n;
    return true;
}

bool ts_json_bool(ts_json *j) {
    if (literal(j, "true")) return true;
    if (!literal(j, "false")) ts_json_fail(j, "expected true or false");
    return false;
}

void ts_json_null(ts_json *j) {
    if (!literal(j, "null")) ts_json_fail(j, "expected a value");
}

void ts_json_skip(ts_json *j) {
    ts_span s;
    switch (ts_json_peek(j)) {
    case TS_JSON_OBJECT:
        ts_json_object(j);
        while (ts_json_key(j, &s)) ts_json_skip(j);
        break;
    case TS_JSON_ARRAY:
        ts_json_array(j);
        while (ts_json_item(j)) ts_json_skip(j);
        break;
    case TS_JSON_STRING: ts_json_string(j, &s); break;
    case TS_JSON_NUMBER: ts_json_number(j); break;
    case TS_JSON_BOOL: ts_json_bool(j); break;
    case TS_JSON_NULL: ts_json_null(j); break;
    case TS_JSON_BAD: ts_json_fail(j, look(j) ? "expected a value" : "ends too early"); break;
    }
}

void ts_json_defer(ts_json *j) {
    char c = look(j);
    if (c != '{' && c != '[') {
        ts_json_fail(j, "expected an object or an array");
        return;
    }
    const char *s = j->s;
    size_t i = j->pos;
    for (int depth = 0; i < j->len; i++) {
        switch (s[i]) {
        case '"':
            for (i++; i < j->len && s[i] != '"'; i++) i += s[i] == '\\';
            break;
        case '{':
        case '[': depth++; break;
        case '}':
        case ']':
            if (--depth > 0) break;
            j->pos = i + 1;
            return;
        }
    }
    j->pos = j->len;
    ts_json_fail(j, "ends too early");
}

void ts_json_end(ts_json *j) {
    look(j);
    if (j->pos < j->len) ts_json_fail(j, "something behind the end");
}
