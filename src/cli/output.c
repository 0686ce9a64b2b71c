#include "cli/output.h"

#include "base/printable.h"
#include "cli/opt.h"
#include "cli/term.h"
#include "cli/wrap.h"

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

static bool escape(ts_buf *out, const char *text, size_t len) {
    size_t begin = 0;
    bool ok = true;
    for (size_t i = 0; i < len && ok;) {
        uint32_t c = 0;
        size_t n = ts_utf8_valid((const uint8_t *)text + i, len - i, &c);
        if (n && !acts_on_terminal(c)) {
            i += n;
            continue;
        }
        ok = ts_buf_append(out, text + begin, i - begin);
        if (!n) ok = ok && ts_buf_puts(out, "\xef\xbf\xbd");
        else if (c == '\r') ok = ok && ts_buf_puts(out, "\\r");
        else ok = ok && ts_buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u{%x}", (unsigned)c);
        i += n ? n : 1;
        begin = i;
    }
    return ok && ts_buf_append(out, text + begin, len - begin);
}

/* The answer that is being printed. */
static struct {
    cli_wrap wrap;
    ts_buf escaped, ready;
    bool as_it_comes; /* the person wants no wrapping */
    bool open;        /* its last line has no line break yet */
} answer;

static bool put_bytes(const char *text, size_t len) {
    if (len) {
        answer.open = text[len - 1] != '\n';
        fwrite(text, 1, len, stdout);
    }
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    if (!first_errno) first_errno = errno;
    return false;
}

static bool out_of_memory(void) {
    if (!first_errno) first_errno = ENOMEM;
    return false;
}

bool cli_put_text(const char *text, size_t len) {
    if (!isatty(STDOUT_FILENO)) return put_bytes(text, len);
    int width = answer.as_it_comes ? 0 : cli_term_width(stdout);
    /* so terminals fold what is there */
    if (answer.wrap.width && answer.wrap.width != width && width) answer.wrap.col %= width;
    answer.wrap.width = width;
    answer.wrap.markup = true;
    ts_buf_clear(&answer.escaped);
    ts_buf_clear(&answer.ready);
    if (!escape(&answer.escaped, text, len) ||
        !cli_wrap_put(&answer.wrap, answer.escaped.data, answer.escaped.len, &answer.ready))
        return out_of_memory();
    return put_bytes(answer.ready.data, answer.ready.len);
}

bool cli_put_end(void) {
    ts_buf_clear(&answer.ready);
    bool ok =
        cli_wrap_end(&answer.wrap, &answer.ready) ? put_bytes(answer.ready.data, answer.ready.len) : out_of_memory();
    if (ok && answer.open) ok = put_bytes("\n", 1);
    answer.open = false;
    cli_wrap_free(&answer.wrap);
    ts_buf_free(&answer.escaped);
    ts_buf_free(&answer.ready);
    return ok;
}

void cli_put_wrapped(bool wrapped) {
    answer.as_it_comes = !wrapped;
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
