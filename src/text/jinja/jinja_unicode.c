/* Characters as Python sees them: classes from utf8proc's tables, and the changes of case that give more than one
 * character. */
#include "text/jinja/jinja_int.h"

#include <string.h>
#include <utf8proc.h>

static int category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

bool tj_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool tj_is_alpha(uint32_t c) {
    int k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool tj_is_decimal(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool tj_is_digit(uint32_t c) {
    return tj_is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
           (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468) || (c >= 0x2474 && c <= 0x247C) ||
           (c >= 0x2488 && c <= 0x2490) || c == 0x24EA || (c >= 0x24F5 && c <= 0x24FD) || c == 0x24FF ||
           (c >= 0x2776 && c <= 0x277E) || (c >= 0x2780 && c <= 0x2788) || (c >= 0x278A && c <= 0x2792);
}

bool tj_is_numeric(uint32_t c) {
    int k = category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool tj_is_word(uint32_t c) {
    if (c < 128) return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
    return tj_is_alpha(c) || tj_is_numeric(c);
}

bool tj_is_upper(uint32_t c) {
    return category(c) == UTF8PROC_CATEGORY_LU || (c >= 0x2160 && c <= 0x216F) || (c >= 0x24B6 && c <= 0x24CF);
}

bool tj_is_lower(uint32_t c) {
    return category(c) == UTF8PROC_CATEGORY_LL || c == 0xAA || c == 0xBA || (c >= 0x2B0 && c <= 0x2B8) ||
           (c >= 0x2170 && c <= 0x217F) || (c >= 0x24D0 && c <= 0x24E9);
}

bool tj_is_title(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }

bool tj_is_printable(uint32_t c) {
    if (c == ' ') return true;
    switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    default: return true;
    }
}

/* Characters that become several in upper case (Unicode's SpecialCasing, unconditional); `title` where it differs in
 * kind. */
static const struct wide {
    uint32_t c;
    uint32_t upper[3], title[3];
} wide[] = {
    {0xDF, {0x53, 0x53}, {0x53, 0x73}},
    {0x149, {0x2BC, 0x4E}, {0x2BC, 0x4E}},
    {0x1F0, {0x4A, 0x30C}, {0x4A, 0x30C}},
    {0x390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x3B0, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x587, {0x535, 0x552}, {0x535, 0x582}},
    {0x1E96, {0x48, 0x331}, {0x48, 0x331}},
    {0x1E97, {0x54, 0x308}, {0x54, 0x308}},
    {0x1E98, {0x57, 0x30A}, {0x57, 0x30A}},
    {0x1E99, {0x59, 0x30A}, {0x59, 0x30A}},
    {0x1E9A, {0x41, 0x2BE}, {0x41, 0x2BE}},
    {0xFB00, {0x46, 0x46}, {0x46, 0x66}},
    {0xFB01, {0x46, 0x49}, {0x46, 0x69}},
    {0xFB02, {0x46, 0x4C}, {0x46, 0x6C}},
    {0xFB03, {0x46, 0x46, 0x49}, {0x46, 0x66, 0x69}},
    {0xFB04, {0x46, 0x46, 0x4C}, {0x46, 0x66, 0x6C}},
    {0xFB05, {0x53, 0x54}, {0x53, 0x74}},
    {0xFB06, {0x53, 0x54}, {0x53, 0x74}},
};

static bool cased(uint32_t c) { return tj_is_upper(c) || tj_is_lower(c) || tj_is_title(c); }

static bool ignorable(uint32_t c) {
    int k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xB7 ||
           c == 0x2018 || c == 0x2019;
}

/* A capital sigma at the end of a word has a small form of its own. */
static bool final_sigma(const tj_str *s, size_t at) {
    uint32_t c;
    size_t p = at, n;
    do {
        if (!p) return false;
        do p--;
        while (p && (s->s[p] & 0xC0) == 0x80);
        c = tj_char_at(s, p, &n);
    } while (ignorable(c));
    if (!cased(c)) return false;
    for (p = at + 2; p < s->len; p += n) {
        c = tj_char_at(s, p, &n);
        if (!ignorable(c)) return !cased(c);
    }
    return true;
}

size_t tj_sb_case(tj_sb *b, const tj_str *s, size_t at, tj_case to) {
    size_t n;
    uint32_t c = tj_char_at(s, at, &n);
    bool data = tj_mark(s, at);
    if (to == TJ_LOWER) {
        if (c == 0x3A3 && final_sigma(s, at)) tj_sb_char(b, 0x3C2, data);
        else if (c == 0x130) tj_sb_add(b, "i\xCC\x87", 3, data);
        else tj_sb_char(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c), data);
        return n;
    }
    if (c >= 0xDF)
        for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
            if (wide[i].c != c) continue;
            const uint32_t *w = to == TJ_UPPER ? wide[i].upper : wide[i].title;
            for (int k = 0; k < 3 && w[k]; k++) tj_sb_char(b, w[k], data);
            return n;
        }
    tj_sb_char(b,
               (uint32_t)(to == TJ_UPPER ? utf8proc_toupper((utf8proc_int32_t)c)
                                         : utf8proc_totitle((utf8proc_int32_t)c)),
               data);
    return n;
}
