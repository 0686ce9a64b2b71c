#include "text/pretok.h"

#include "base/mem.h"
#include "base/printable.h"
#include "base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct ts_pretok {
    ts_pretok_kind kind;
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_code *code;
    bool jit;
};

/* White space as in Unicode's White_Space property. PCRE2's own \s lacks U+0085 and has U+180E. */
#define WS  "\\t-\\r\\x{85}\\p{Z}"
#define LN  "\\p{L}\\p{N}"
#define LOW "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define UPP "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"

#define SHORT_FORMS  "'s|'t|'re|'ve|'m|'ll|'d"
#define NEWLINES_END "|[" WS "]*[\\r\\n]+"
#define SPACES_END   "|[" WS "]+(?![^" WS "])|[" WS "]+"

/* What the models' files say, with \s spelled out. `regex` is the text in a tokenizer.json, NULL: said otherwise. */
static const struct {
    const char *name, *aliases, *pattern, *regex;
} kinds[TS_PRETOK_KINDS] = {
    [TS_PRETOK_LLAMA3] =
        {"llama-bpe", " llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 ",
         "(?i:" SHORT_FORMS ")|[^\\r\\n" LN "]?\\p{L}+|\\p{N}{1,3}| ?[^" WS LN "]+[\\r\\n]*" NEWLINES_END SPACES_END,
         "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    [TS_PRETOK_QWEN2] =
        {"qwen2", " deepseek-r1-qwen stablelm2 megrez kormo hunyuan ",
         "(?i:" SHORT_FORMS ")|[^\\r\\n" LN "]?\\p{L}+|\\p{N}| ?[^" WS LN "]+[\\r\\n]*" NEWLINES_END SPACES_END,
         "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    [TS_PRETOK_GPT2] =
        {"gpt-2", " gpt2 phi-2 olmo gigachat a.x-4.0 exaone4 mellum ",
         SHORT_FORMS "| ?\\p{L}+| ?\\p{N}+| ?[^" WS LN "]+" SPACES_END,
         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    /* The files cut out every digit first and then apply GPT-2's pattern to what lies between, where "the end of the
     * text" is also the place before a digit. One pattern says the same. */
    [TS_PRETOK_SMOLLM] = {"smollm", " refact starcoder command-r codeshell exaone minerva-7b ",
                          SHORT_FORMS "| ?\\p{L}+|\\p{N}| ?[^" WS LN "]+|[" WS "]+(?![^" WS "\\p{N}])|[" WS "]+",
                          NULL},
    [TS_PRETOK_TEKKEN] =
        {"tekken", " ",
         "[^\\r\\n" LN "]?[" UPP "]*[" LOW "]+|[^\\r\\n" LN "]?[" UPP "]+[" LOW "]*|\\p{N}| ?[^" WS LN "]+[\\r\\n/]*"
         NEWLINES_END SPACES_END,
         "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
         "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| "
         "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};

static bool in_list(const char *list, ts_span name) { /* list: " a b c " */
    for (const char *p = list; (p = strchr(p, ' ')) && p[1];) {
        const char *word = ++p;
        size_t len = strcspn(word, " ");
        if (len == name.len && memcmp(word, name.data, len) == 0) return true;
    }
    return false;
}

ts_status ts_pretok_find(ts_pretok_kind *out, ts_span name, ts_err *err) {
    for (int k = 0; k < TS_PRETOK_KINDS; k++)
        if ((strlen(kinds[k].name) == name.len && memcmp(kinds[k].name, name.data, name.len) == 0) ||
            in_list(kinds[k].aliases, name)) {
            *out = (ts_pretok_kind)k;
            return TS_OK;
        }
    char shown[64];
    ts_printable(shown, sizeof shown, name.data, name.len);
    return ts_fail(err, TS_E_UNSUPP,
                   "pre-tokenizer \"%s\" is not known; known are llama-bpe, qwen2, gpt-2, smollm and tekken", shown);
}

bool ts_pretok_by_regex(ts_pretok_kind *out, ts_span regex) {
    for (int k = 0; k < TS_PRETOK_KINDS; k++)
        if (kinds[k].regex && strlen(kinds[k].regex) == regex.len && !memcmp(kinds[k].regex, regex.data, regex.len)) {
            *out = (ts_pretok_kind)k;
            return true;
        }
    return false;
}

const char *ts_pretok_name(ts_pretok_kind kind) {
    return kinds[kind].name;
}

bool ts_pretok_takes_entries(ts_pretok_kind kind) {
    return kind == TS_PRETOK_LLAMA3 || kind == TS_PRETOK_TEKKEN;
}

bool ts_pretok_adds_bos(ts_pretok_kind kind) {
    return kind == TS_PRETOK_LLAMA3 || kind == TS_PRETOK_TEKKEN;
}

static void *pcre_alloc(size_t n, void *ud) {
    (void)ud;
    return ts_alloc(n, 1);
}

static void pcre_free(void *p, void *ud) {
    (void)ud;
    ts_free(p);
}

ts_status ts_pretok_new(ts_pretok **out, ts_pretok_kind kind, ts_err *err) {
    ts_pretok *p = ts_calloc(1, sizeof *p);
    if (!p) return ts_fail_nomem(err, "the split pattern", sizeof *p);
    p->kind = kind;
    p->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    if (p->memory) p->limits = pcre2_match_context_create(p->memory);
    if (!p->limits) {
        ts_pretok_free(p);
        return ts_fail_nomem(err, "the split pattern", 0);
    }
    /* The patterns backtrack over a run of white space at most twice, so work is linear in the text; PCRE2's default
     * limit would stop at a run of ten million characters. */
    pcre2_set_match_limit(p->limits, UINT32_MAX);
    pcre2_compile_context *compile = pcre2_compile_context_create(p->memory);
    int code = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE at = 0;
    if (compile)
        p->code = pcre2_compile((PCRE2_SPTR)kinds[kind].pattern, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_NO_AUTO_CAPTURE, &code, &at, compile);
    pcre2_compile_context_free(compile);
    if (!p->code) {
        ts_pretok_free(p);
        if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED)
            return ts_fail_nomem(err, "the split pattern", 0);
        return ts_fail(err, TS_E_UNSUPP, "this PCRE2 does not take the split pattern \"%s\" (error %d at %zu)",
                       kinds[kind].name, code, (size_t)at);
    }
    /* No JIT (not built in, or the system forbids writable code): the interpreter gives the same words, slower. */
    p->jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    *out = p;
    return TS_OK;
}

void ts_pretok_free(ts_pretok *p) {
    if (!p) return;
    pcre2_code_free(p->code);
    pcre2_match_context_free(p->limits);
    pcre2_general_context_free(p->memory);
    ts_free(p);
}

/* ---- ASCII by hand ----------------------------------------------------------------------------------------------- */

enum { L = 1, N = 2, R = 4 /* \r \n */, W = 8 /* other white space */, O = 16, X = 32 /* not ASCII */ };

/* clang-format off */
static const uint8_t class_of[256] = {
    O, O, O, O, O, O, O, O, O, W, R, W, W, R, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    W, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
};
/* clang-format on */

/* The class of the byte at i; 0 at the end of the text. */
static inline unsigned at(const char *s, size_t len, size_t i) {
    return i < len ? class_of[(uint8_t)s[i]] : 0;
}

static inline size_t run(const char *s, size_t len, size_t i, unsigned classes) {
    while (i < len && class_of[(uint8_t)s[i]] & classes) i++;
    return i;
}

/* Each of these gives the end of the word that begins at i, or 0 where a byte that decides about it is not ASCII. The
 * comments name the alternative of the pattern. */

static inline size_t decided(const char *s, size_t len, size_t end) {
    return at(s, len, end) == X ? 0 : end;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d), with the apostrophe at i; 0: none of them. Where case does not matter U+017F is an s
 * too: then no alternative can be decided here, and the callers' later ones say so. */
static inline size_t short_form(const char *s, size_t len, size_t i, bool fold) {
    char c = i + 1 < len ? s[i + 1] : 0, d = i + 2 < len ? s[i + 2] : 0;
    if (fold) {
        c = (char)(c | ('A' <= c && c <= 'Z' ? 0x20 : 0));
        d = (char)(d | ('A' <= d && d <= 'Z' ? 0x20 : 0));
    }
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return i + 2;
    if ((c == 'r' && d == 'e') || (c == 'v' && d == 'e') || (c == 'l' && d == 'l')) return i + 3;
    return 0;
}

/* \s+(?!\S)|\s+ over the white space [i, end) */
static inline size_t spaces(size_t i, size_t end, size_t len) {
    return end == len || end - i == 1 ? end : end - 1;
}

static inline size_t next_cl100k(const char *s, size_t len, size_t i, unsigned max_digits) {
    unsigned c = class_of[(uint8_t)s[i]], d;
    size_t end;
    switch (c) {
    case L: /* \p{L}+ */
        return decided(s, len, run(s, len, i + 1, L));
    case N: /* \p{N}{1,max_digits} */
        for (end = i + 1; end < i + max_digits; end++) {
            d = at(s, len, end);
            if (d == X) return 0;
            if (d != N) break;
        }
        return end;
    case O:
        if (s[i] == '\'') {
            end = short_form(s, len, i, true);
            if (end) return end;
        }
        d = at(s, len, i + 1);
        if (d == L) return decided(s, len, run(s, len, i + 2, L)); /* [^\r\n\p{L}\p{N}]?\p{L}+ */
        end = i + 1;
        break;
    case W:
        d = at(s, len, i + 1);
        if (d == L) return decided(s, len, run(s, len, i + 2, L)); /* [^\r\n\p{L}\p{N}]?\p{L}+ */
        if (s[i] == ' ' && d == O) {
            end = i + 2;
            break;
        }
        /* fall through */
    case R: { /* \s*[\r\n]+|\s+(?!\S)|\s+ */
        size_t newline = c == R ? i + 1 : 0;
        for (end = i + 1; end < len && class_of[(uint8_t)s[end]] & (W | R); end++)
            if (class_of[(uint8_t)s[end]] == R) newline = end + 1;
        if (at(s, len, end) == X) return 0;
        return newline ? newline : spaces(i, end, len);
    }
    default: return 0;
    }
    /* ?[^\s\p{L}\p{N}]+[\r\n]* */
    end = run(s, len, end, O);
    if (at(s, len, end) == X) return 0;
    return run(s, len, end, R);
}

static inline size_t next_gpt2(const char *s, size_t len, size_t i) {
    unsigned c = class_of[(uint8_t)s[i]];
    size_t begin = i;
    if (c == X) return 0;
    if (s[i] == '\'') {
        size_t end = short_form(s, len, i, false);
        if (end) return end;
    }
    if (s[i] == ' ') c = at(s, len, ++begin);
    if (c & (L | N | O)) return decided(s, len, run(s, len, begin + 1, c)); /* ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+ */
    if (c == X) return 0;
    size_t end = run(s, len, i + 1, W | R);
    if (at(s, len, end) == X) return 0;
    return spaces(i, end, len);
}

static inline size_t next_ascii(ts_pretok_kind kind, const char *s, size_t len, size_t i) {
    switch (kind) {
    case TS_PRETOK_LLAMA3: return next_cl100k(s, len, i, 3);
    case TS_PRETOK_QWEN2: return next_cl100k(s, len, i, 1);
    case TS_PRETOK_GPT2: return next_gpt2(s, len, i);
    case TS_PRETOK_SMOLLM:
    case TS_PRETOK_TEKKEN:
    case TS_PRETOK_KINDS: break;
    }
    return 0;
}

/* ---- the iteration ----------------------------------------------------------------------------------------------- */

void ts_split_init(ts_split *it, const ts_pretok *p, const char *s, size_t len) {
    *it = (ts_split){.p = p, .s = s, .len = len};
}

void ts_split_fini(ts_split *it) {
    pcre2_match_data_free(it->match);
    it->match = NULL;
}

static ts_status next_pcre(ts_split *it, ts_err *err) {
    uint32_t cp;
    if (it->valid_end <= it->pos) {
        size_t end = it->pos;
        for (int n; (n = ts_utf8_decode(it->s + end, it->len - end, &cp)) > 0;) end += (size_t)n;
        it->valid_end = end;
    }
    if (it->valid_end == it->pos) { /* not UTF-8: up to the next valid character */
        do it->pos++;
        while (it->pos < it->len && ts_utf8_decode(it->s + it->pos, it->len - it->pos, &cp) == 0);
        return TS_OK;
    }
    const ts_pretok *p = it->p;
    if (!it->match) it->match = pcre2_match_data_create(1, p->memory);
    if (!it->match) return ts_fail_nomem(err, "splitting text", 0);
    PCRE2_SPTR subject = (PCRE2_SPTR)it->s + it->pos;
    size_t n = it->valid_end - it->pos;
    int r = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit && !it->no_jit) r = pcre2_jit_match(p->code, subject, n, 0, PCRE2_NO_UTF_CHECK, it->match, p->limits);
    if (r == PCRE2_ERROR_JIT_STACKLIMIT)
        r = pcre2_match(p->code, subject, n, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, it->match, p->limits);
    if (r < 0 && r != PCRE2_ERROR_NOMATCH) {
        if (r == PCRE2_ERROR_NOMEMORY || r == PCRE2_ERROR_HEAPLIMIT) return ts_fail_nomem(err, "splitting text", n);
        return ts_fail(err, TS_E_LIMIT, "splitting text failed at byte %zu (PCRE2 error %d)", it->pos, r);
    }
    /* every character is in one alternative, so there is always a match of at least one */
    size_t end = r < 0 ? 0 : pcre2_get_ovector_pointer(it->match)[1];
    it->pos += end ? end : (size_t)ts_utf8_decode(it->s + it->pos, n, &cp);
    return TS_OK;
}

ts_status ts_split_next(ts_split *it, size_t *begin, ts_err *err) {
    *begin = it->pos;
    if (it->pos == it->len) return TS_OK;
    size_t end = it->slow ? 0 : next_ascii(it->p->kind, it->s, it->len, it->pos);
    if (end) {
        it->pos = end;
        return TS_OK;
    }
    return next_pcre(it, err);
}
