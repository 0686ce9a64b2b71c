/* tiny_tokenizer.h - small tokenizers made up for tests and fuzzing, as the files they would come in. */
#ifndef TS_TESTS_TINY_TOKENIZER_H
#define TS_TESTS_TINY_TOKENIZER_H

#include "base/mem.h"

#include <string.h>

/* How byte-level files write a byte: the visible Latin-1 characters as themselves, the others from U+0100 on. Written
 * from the rule, not from the code under test. */
static inline bool tiny_byte(ts_buf *out, unsigned byte) {
    unsigned cp = byte, hidden = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool visible = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte && !visible) cp = 0x100 + hidden;
        hidden += !visible;
    }
    if (cp < 0x80) return ts_buf_putc(out, (char)cp);
    return ts_buf_putc(out, (char)(0xC0 | cp >> 6)) && ts_buf_putc(out, (char)(0x80 | (cp & 0x3F)));
}

static inline bool tiny_text(ts_buf *out, const char *s) {
    for (; *s; s++)
        if (!tiny_byte(out, (unsigned char)*s)) return false;
    return true;
}

/* Merges "left|right" in rank order; tokens 0..255 are the bytes, 256 + i is what merge i makes. */
static const char *const tiny_merges[] = {
    "h|e",    "l|l",     "he|ll",   "hell|o",   " |hello", " |w",      "o|r",     " w|or",  "l|d",    " wor|ld",
    "a|a",    "aa|aa",   "1|2",     "12|3",     " | ",     "  |  ",    "\n|\n",   "e|l",    "o|w",    "\xE6|\x97",
    "\xE6\x97|\xA5", "'|s", "lo|w", "l|o",
};
enum { TINY_MERGES = sizeof tiny_merges / sizeof *tiny_merges };
/* "lo|w" stands in front of "l|o" on purpose: its left part exists only later. */

static inline bool tiny_vocab_json(ts_buf *b) {
    if (!ts_buf_puts(b, "{")) return false;
    for (unsigned i = 0; i < 256 + TINY_MERGES; i++) {
        ts_buf s = {0};
        bool ok = true;
        if (i < 256) ok = tiny_byte(&s, i);
        else {
            const char *m = tiny_merges[i - 256];
            for (const char *p = m; *p; p++)
                if (*p != '|') ok = ok && tiny_byte(&s, (unsigned char)*p);
        }
        const char *esc = ok && (s.data[0] == '"' || s.data[0] == '\\') ? "\\" : "";
        ok = ok && ts_buf_printf(b, "%s\"%s%s\":%u", i ? "," : "", esc, s.data, i);
        ts_buf_free(&s);
        if (!ok) return false;
    }
    return ts_buf_puts(b, "}");
}

/* "left right" of merge i, as in a file */
static inline bool tiny_merge(ts_buf *b, int i, const char *between) {
    const char *m = tiny_merges[i], *bar = strchr(m, '|');
    ts_buf left = {0};
    bool ok = ts_buf_append(&left, m, (size_t)(bar - m)) && tiny_text(b, left.data) && ts_buf_puts(b, between) &&
              tiny_text(b, bar + 1);
    ts_buf_free(&left);
    return ok;
}

static inline bool tiny_merges_text(ts_buf *b) {
    if (!ts_buf_puts(b, "#version: 0.2\n")) return false;
    for (int i = 0; i < TINY_MERGES; i++)
        if (!tiny_merge(b, i, " ") || !ts_buf_putc(b, '\n')) return false;
    return true;
}

#define TINY_LLAMA3_REGEX                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| " \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

/* Ids behind the merges: <|bos|> and <|end|> (control), <think> (user-defined), <|pad|> (control, swallows white space
 * on both sides). */
enum { TINY_BOS = 256 + TINY_MERGES, TINY_END, TINY_THINK, TINY_PAD, TINY_SIZE };

static inline bool tiny_added_json(ts_buf *b) {
    return ts_buf_printf(b,
                         "\"added_tokens\":[{\"id\":%d,\"content\":\"<|bos|>\",\"special\":true},"
                         "{\"id\":%d,\"content\":\"<|end|>\",\"special\":true},"
                         "{\"id\":%d,\"content\":\"<think>\",\"special\":false},"
                         "{\"id\":%d,\"content\":\"<|pad|>\",\"lstrip\":true,\"rstrip\":true,\"special\":true}]",
                         TINY_BOS, TINY_END, TINY_THINK, TINY_PAD);
}

/* A tokenizer.json. `pairs`: merges as ["a","b"] instead of "a b". `late`: what the vocabulary depends on stands behind
 * it, as some tools write it. */
static inline bool tiny_json(ts_buf *b, bool pairs, bool late) {
    static const char pre[] =
        "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
        "\"pattern\":{\"Regex\":\"" TINY_LLAMA3_REGEX "\"},\"behavior\":\"Isolated\",\"invert\":false},"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<|bos|>\","
        "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]}";
    if (!ts_buf_puts(b, "{\"version\":\"1.0\",")) return false;
    if (!late && (!tiny_added_json(b) || !ts_buf_printf(b, ",%s,", pre))) return false;
    if (!ts_buf_puts(b, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"byte_fallback\":false,\"vocab\":") ||
        !tiny_vocab_json(b) || !ts_buf_puts(b, ",\"merges\":["))
        return false;
    for (int i = 0; i < TINY_MERGES; i++)
        if (!ts_buf_printf(b, "%s%s\"", i ? "," : "", pairs ? "[" : "") || !tiny_merge(b, i, pairs ? "\",\"" : " ") ||
            !ts_buf_puts(b, pairs ? "\"]" : "\""))
            return false;
    if (!ts_buf_puts(b, "]}")) return false;
    if (late && (!ts_buf_printf(b, ",%s,", pre) || !tiny_added_json(b))) return false;
    return ts_buf_puts(b, "}");
}

/* ---- SentencePiece ----------------------------------------------------------------------------------------------- */

/* Ids: 0 <unk>, 1 <s>, 2 </s>, 3..258 the bytes, then these, the score falling by one each, then "<sep>"
 * (user-defined). U+2581 is written "_". */
static const char *const tiny_pieces[] = {
    "_t", "he", "_the", "er", "in", "an", "and", "_and", "_a", "__", "____", "_", "t",
    "h",  "e",  "r",    "i",  "n",  "a",  "d",   "s",    "x",  "1",  ".",    ",", "\xE6\x97\xA5",
};
enum { TINY_PIECES = sizeof tiny_pieces / sizeof *tiny_pieces, TINY_SEP = 259 + TINY_PIECES, TINY_SPM_SIZE };

static inline bool tiny_varint(ts_buf *b, unsigned v) {
    for (; v >= 0x80; v >>= 7)
        if (!ts_buf_putc(b, (char)(v | 0x80))) return false;
    return ts_buf_putc(b, (char)v);
}

static inline bool tiny_piece(ts_buf *b, const char *text, float score, unsigned type) {
    ts_buf m = {0};
    uint32_t bits;
    memcpy(&bits, &score, 4);
    bool ok = ts_buf_puts(&m, "\x0A") && tiny_varint(&m, (unsigned)strlen(text)) && ts_buf_puts(&m, text) &&
              ts_buf_puts(&m, "\x15") && ts_buf_append(&m, &bits, 4) && ts_buf_puts(&m, "\x18") &&
              tiny_varint(&m, type) && ts_buf_puts(b, "\x0A") && tiny_varint(b, (unsigned)m.len) &&
              ts_buf_append(b, m.data, m.len);
    ts_buf_free(&m);
    return ok;
}

/* "_" to U+2581 */
static inline bool tiny_block(ts_buf *b, const char *s) {
    for (; *s; s++)
        if (*s == '_' ? !ts_buf_puts(b, "\xE2\x96\x81") : !ts_buf_putc(b, *s)) return false;
    return true;
}

/* A SentencePiece model. */
static inline bool tiny_spm(ts_buf *b, bool byte_fallback, bool prefix, bool collapse) {
    bool ok = tiny_piece(b, "<unk>", 0, 2) && tiny_piece(b, "<s>", 0, 3) && tiny_piece(b, "</s>", 0, 3);
    for (int i = 0; i < 256 && ok; i++) {
        char name[8];
        static const char hex[] = "0123456789ABCDEF";
        memcpy(name, "<0x00>", 7);
        name[3] = hex[i >> 4];
        name[4] = hex[i & 15];
        ok = tiny_piece(b, name, 0, 6);
    }
    for (int i = 0; i < TINY_PIECES && ok; i++) {
        ts_buf s = {0};
        ok = tiny_block(&s, tiny_pieces[i]) && tiny_piece(b, s.data, -(float)i, 1);
        ts_buf_free(&s);
    }
    ok = ok && tiny_piece(b, "<sep>", 0, 4);
    /* trainer_spec: model_type BPE, byte_fallback; normalizer_spec: identity and the flags */
    ok = ok && ts_buf_append(b, "\x12\x05\x18\x02\x98\x02", 6) && ts_buf_putc(b, (char)byte_fallback);
    ok = ok && ts_buf_append(b, "\x1A\x0E\x0A\x08identity\x18", 13) && ts_buf_putc(b, (char)prefix) &&
         ts_buf_append(b, "\x20", 1) && ts_buf_putc(b, (char)collapse);
    return ok;
}

/* The same as a tokenizer.json of the Llama 2 kind: every way to cut a piece in two is a merge, in the order of ids. */
static inline bool tiny_spm_json(ts_buf *b, const char *pre_tokenizer, const char *normalizer) {
    if (!ts_buf_printf(b, "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":1,\"content\":"
                          "\"<s>\",\"special\":true},{\"id\":2,\"content\":\"</s>\",\"special\":true},{\"id\":%d,"
                          "\"content\":\"<sep>\",\"special\":false}],\"normalizer\":%s,\"pre_tokenizer\":%s,"
                          "\"post_processor\":null,\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\","
                          "\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2",
                       TINY_SEP, normalizer, pre_tokenizer))
        return false;
    for (int i = 0; i < 256; i++)
        if (!ts_buf_printf(b, ",\"<0x%02X>\":%d", (unsigned)i, 3 + i)) return false;
    for (int i = 0; i < TINY_PIECES; i++)
        if (!ts_buf_puts(b, ",\"") || !tiny_block(b, tiny_pieces[i]) || !ts_buf_printf(b, "\":%d", 259 + i))
            return false;
    if (!ts_buf_puts(b, "},\"merges\":[")) return false;
    bool first = true;
    for (int i = 0; i < TINY_PIECES; i++) {
        size_t len = strlen(tiny_pieces[i]);
        for (size_t cut = 1; cut < len; cut++) {
            int found = 0;
            for (int k = 0; k < TINY_PIECES; k++) {
                const char *p = tiny_pieces[k];
                found |= strlen(p) == cut && memcmp(p, tiny_pieces[i], cut) == 0 ? 1 : 0;
                found |= strcmp(p, tiny_pieces[i] + cut) == 0 ? 2 : 0;
            }
            if (found != 3) continue;
            char left[32];
            memcpy(left, tiny_pieces[i], cut);
            left[cut] = 0;
            if (!ts_buf_puts(b, first ? "\"" : ",\"") || !tiny_block(b, left) || !ts_buf_putc(b, ' ') ||
                !tiny_block(b, tiny_pieces[i] + cut) || !ts_buf_putc(b, '"'))
                return false;
            first = false;
        }
    }
    return ts_buf_puts(b, "]}}");
}

/* ---- tiktoken ---------------------------------------------------------------------------------------------------- */

/* Lines "base64 rank": the bytes, and what the merges make. */
static inline bool tiny_tiktoken(ts_buf *b) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 256 + TINY_MERGES; i++) {
        unsigned char s[32];
        size_t n = 0;
        if (i < 256) s[n++] = (unsigned char)i;
        else
            for (const char *p = tiny_merges[i - 256]; *p; p++)
                if (*p != '|') s[n++] = (unsigned char)*p;
        for (size_t k = 0; k < n; k += 3) {
            unsigned v = (unsigned)s[k] << 16 | (k + 1 < n ? (unsigned)s[k + 1] << 8 : 0) | (k + 2 < n ? s[k + 2] : 0);
            char out[4] = {digit[v >> 18], digit[v >> 12 & 63], k + 1 < n ? digit[v >> 6 & 63] : '=',
                           k + 2 < n ? digit[v & 63] : '='};
            if (!ts_buf_append(b, out, 4)) return false;
        }
        if (!ts_buf_printf(b, " %d\n", i)) return false;
    }
    return true;
}

#endif
