#include "cli/output.h"

#include "base/printable.h"
#include "cli/opt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int first_errno; /* of the first write that failed: stdio keeps only that there was one */

/* Not among these: the joiners and the marks of direction that ordinary text of many languages contains. */
static bool acts_on_terminal(uint32_t c) {
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

static void put_escaped(const char *text, size_t len) {
    size_t begin = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t n = ts_utf8_valid((const uint8_t *)text + i, len - i, &c);
        if (n && !acts_on_terminal(c)) {
            i += n;
            continue;
        }
        fwrite(text + begin, 1, i - begin, stdout);
        if (!n) fputs("\xef\xbf\xbd", stdout);
        else if (c == '\r') fputs("\\r", stdout);
        else printf(c < 0x100 ? "\\x%02x" : "\\u{%x}", (unsigned)c);
        i += n ? n : 1;
        begin = i;
    }
    fwrite(text + begin, 1, len - begin, stdout);
}

bool cli_put_text(const char *text, size_t len) {
    if (isatty(STDOUT_FILENO)) put_escaped(text, len);
    else fwrite(text, 1, len, stdout);
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    if (!first_errno) first_errno = errno;
    return false;
}

int cli_output_end(int code) {
    bool gone = ferror(stdout) != 0;
    if (fflush(stdout) != 0) {
        if (!first_errno) first_errno = errno;
        gone = true;
    }
    if (!gone) return code;
    if (first_errno != EPIPE)
        fprintf(stderr, "tessera: cannot write to standard output%s%s\n", first_errno ? ": " : "",
                first_errno ? strerror(first_errno) : "");
    return code == CLI_OK ? CLI_FAIL : code;
}
