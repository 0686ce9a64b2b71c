#include "hub/hub_mask.h"

#include <ctype.h>
#include <string.h>

enum {
    TOKEN_MIN = 6,
    TELLING = 8 /* so much of its beginning: a message that was cut off can end in the middle of it */
};

static int hex(char c) {
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* Bytes of the text, from its beginning, that are the token or enough of it; 0: none. */
static size_t token_at(const char *s, size_t len, const char *token) {
    const size_t n = strlen(token), least = n < TELLING ? n : TELLING;
    size_t used = 0, k = 0;
    while (k < n && used < len) {
        const bool coded = s[used] == '%' && len - used > 2 && hex(s[used + 1]) >= 0 && hex(s[used + 2]) >= 0;
        const int c = coded ? hex(s[used + 1]) << 4 | hex(s[used + 2]) : (unsigned char)s[used];
        if (tolower(c) != tolower((unsigned char)token[k])) break;
        used += coded ? 3 : 1;
        k++;
    }
    return k >= least ? used : 0;
}

bool ts_hub_has_token(const char *text, size_t len, const char *token) {
    if (!token || strlen(token) < TOKEN_MIN) return false;
    for (size_t i = 0; i < len; i++)
        if (token_at(text + i, len - i, token)) return true;
    return false;
}

void ts_hub_mask(char *text, const char *token) {
    static const char shown[] = "hf_\xe2\x80\xa6";
    if (!token || strlen(token) < TOKEN_MIN) return;
    const size_t len = strlen(text);
    size_t to = 0;
    for (size_t i = 0; i < len;) {
        const size_t n = token_at(text + i, len - i, token);
        if (n) memcpy(text + to, shown, sizeof shown - 1), to += sizeof shown - 1;
        else text[to++] = text[i];
        i += n ? n : 1;
    }
    text[to] = 0;
}
