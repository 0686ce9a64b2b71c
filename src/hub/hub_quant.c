#define _GNU_SOURCE /* strcasestr */
#include "hub/hub_quant.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Four bits for most, then finer, then coarser: what runs well in little memory first. */
const char *const ts_hub_preferred[] = {"Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q4_0",   "IQ4_XS", "Q5_K_M",
                                        "Q5_K_S", "Q6_K",       "Q8_0",   "Q3_K_M", "IQ4_NL", "Q4_K_L",
                                        "Q4_1",   "Q5_0",       "Q5_1",   "MXFP4",  "Q3_K_L", "Q3_K_S",
                                        "Q2_K",   "BF16",       "F16",    "F32",    NULL};

static bool is_word(char c) {
    return isalnum((unsigned char)c) != 0;
}

static size_t fits(const char *s, const char *word) {
    const size_t n = strlen(word);
    return strncasecmp(s, word, n) == 0 && !is_word(s[n]) ? n : 0;
}

/* Bytes of the quant that begins at s; 0: none does. What follows is no letter or digit. */
static size_t quant_at(const char *s) {
    static const char *const whole[] = {"MXFP4_MOE", "MXFP4", "MXFP8", "NVFP4", "BF16", "FP16",
                                        "FP32",      "FP8",   "F16",   "F32",   "F64"},
                             *const group[] = {"0",   "1",  "2",  "4",   "8",  "16",  "K",  "S",
                                               "M",   "L",  "XL", "XXL", "XS", "XXS", "NL", "KS",
                                               "KSS", "KL", "KT", "KV",  "R4", "R8",  "P"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (fits(s, whole[i])) return strlen(whole[i]);
    size_t n = strchr("iItT", *s) && *s ? 1 : 0, groups = 0;
    if ((s[n] != 'Q' && s[n] != 'q') || s[n + 1] < '1' || s[n + 1] > '9' || s[n + 2] != '_') return 0;
    for (n += 2; s[n] == '_'; groups++) {
        size_t k = 0;
        for (size_t i = 0; i < sizeof group / sizeof *group && !k; i++) k = fits(s + n + 1, group[i]);
        if (!k) break;
        n += 1 + k;
    }
    return groups ? n : 0;
}

bool ts_hub_quant_of(const char *path, char out[TS_HUB_QUANT_MAX]) {
    size_t at = 0, len = 0;
    for (size_t i = 0; path[i]; i++) {
        if (i && is_word(path[i - 1])) continue;
        const size_t n = quant_at(path + i);
        if (!n) continue;
        const bool ud = i >= 3 && !strncasecmp(path + i - 3, "UD-", 3) && (i == 3 || !is_word(path[i - 4]));
        at = i - (ud ? 3 : 0);
        len = n + (ud ? 3 : 0);
        i += n - 1;
    }
    if (len >= TS_HUB_QUANT_MAX) len = 0;
    for (size_t i = 0; i < len; i++) out[i] = (char)toupper((unsigned char)path[at + i]);
    out[len] = 0;
    return len > 0;
}

static const char *without_ud(const char *quant) {
    return strncasecmp(quant, "UD-", 3) == 0 ? quant + 3 : quant;
}

bool ts_hub_is_quant(const char *tag) {
    const char *s = without_ud(tag);
    const size_t n = quant_at(s);
    return n && !s[n];
}

int ts_hub_quant_fits(const char *quant, const char *tag) {
    return !*quant ? 0 : !strcasecmp(quant, tag) ? 2 : !strcasecmp(without_ud(quant), tag) ? 1 : 0;
}

bool ts_hub_has_word(const char *path, const char *tag) {
    const size_t n = strlen(tag);
    for (size_t i = 0; n && path[i]; i++)
        if (strncasecmp(path + i, tag, n) == 0 && !(i && is_word(path[i - 1])) && !is_word(path[i + n]) &&
            path[i + n] != '_')
            return true;
    return false;
}

bool ts_hub_is_gguf(const char *path) {
    const size_t n = strlen(path);
    return n > 5 && !strcasecmp(path + n - 5, ".gguf");
}

bool ts_hub_is_aside(const char *path) {
    static const char *const begins[] = {"mtp-", "eagle3-", "dflash-", "dspark-"};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strcasestr(path, "mmproj") || strcasestr(name, "imatrix")) return true;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (!strncasecmp(name, begins[i], strlen(begins[i]))) return true;
    return false;
}

static bool five_digits(const char *s, unsigned *out) {
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        *out = *out * 10 + (unsigned)(s[i] - '0');
    }
    return true;
}

bool ts_hub_split(const char *path, size_t *prefix, unsigned *index, unsigned *count) {
    enum { MARK = sizeof "-00001-of-00003" - 1 };
    const char *dot = strrchr(path, '.');
    if (!dot || strchr(dot, '/') || dot - path <= MARK) return false;
    const char *s = dot - MARK;
    if (*s != '-' || !five_digits(s + 1, index) || strncasecmp(s + 6, "-of-", 4) != 0 || !five_digits(s + 10, count) ||
        *index < 1 || *index > *count)
        return false;
    *prefix = (size_t)(s - path);
    return true;
}
