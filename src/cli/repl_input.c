#include "cli/repl_input.h"

#include <string.h>

static const char MARK[] = "\"\"\"";

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

void cli_input_clear(cli_input *in) {
    ts_buf_clear(&in->text);
    ts_buf_clear(&in->typed);
    in->state = CLI_INPUT_EMPTY;
    in->literal = in->pending = false;
}

void cli_input_free(cli_input *in) {
    ts_buf_free(&in->text);
    ts_buf_free(&in->typed);
    *in = (cli_input){0};
}

/* The length of s without the """ that closes a block at its end; `len` itself where there is none. */
static size_t without_close(const char *s, size_t len, bool *closed) {
    size_t n = len;
    while (n && is_blank(s[n - 1])) n--;
    *closed = n >= 3 && memcmp(s + n - 3, MARK, 3) == 0;
    return *closed ? n - 3 : len;
}

/* Where a block opens in a first line: the position behind """; 0 where none does. *keep: bytes in front that stay. */
static size_t opening(const char *s, size_t len, size_t *keep) {
    static const char system[] = "/system";
    size_t at = 0;
    *keep = 0;
    if (len > sizeof system && memcmp(s, system, sizeof system - 1) == 0 && is_blank(s[sizeof system - 1])) {
        at = sizeof system;
        while (at < len && is_blank(s[at])) at++;
        *keep = at;
    }
    return len - at >= 3 && memcmp(s + at, MARK, 3) == 0 ? at + 3 : 0;
}

static bool continues(const char *s, size_t len) {
    size_t n = 0;
    while (n < len && s[len - 1 - n] == '\\') n++;
    return n % 2 == 1;
}

static bool take_block_line(cli_input *in, const char *s, size_t len) {
    bool closed;
    len = without_close(s, len, &closed);
    if (len || !closed) { /* a mark that stands alone closes without a line of its own */
        if (in->pending && !ts_buf_putc(&in->text, '\n')) return false;
        if (!ts_buf_append(&in->text, s, len)) return false;
    }
    in->pending = true;
    in->state = closed ? CLI_INPUT_WHOLE : CLI_INPUT_BLOCK;
    return true;
}

static bool take_line(cli_input *in, const char *s, size_t len) {
    if (in->state == CLI_INPUT_BLOCK) return take_block_line(in, s, len);
    size_t keep, at = in->state == CLI_INPUT_EMPTY ? opening(s, len, &keep) : 0;
    if (at) {
        if (!ts_buf_append(&in->text, s, keep)) return false;
        in->state = CLI_INPUT_BLOCK;
        in->literal = keep == 0;
        in->pending = false;
        bool alone = true;
        for (size_t i = at; i < len; i++) alone = alone && is_blank(s[i]);
        return alone || take_block_line(in, s + at, len - at);
    }
    if (continues(s, len)) {
        in->state = CLI_INPUT_CONTINUED;
        return ts_buf_append(&in->text, s, len - 1) && ts_buf_putc(&in->text, '\n');
    }
    in->state = CLI_INPUT_WHOLE;
    return ts_buf_append(&in->text, s, len);
}

/* Are all these lines but the last unfinished, so that they are one message in one of the two forms? */
static bool in_our_form(const cli_input *in, const char *s, size_t len) {
    size_t keep;
    if (in->state == CLI_INPUT_BLOCK || (in->state != CLI_INPUT_CONTINUED && opening(s, len, &keep))) return true;
    for (const char *nl; (nl = memchr(s, '\n', len));) {
        size_t n = (size_t)(nl - s);
        if (!continues(s, n)) return false;
        s += n + 1;
        len -= n + 1;
    }
    return true;
}

static bool take(cli_input *in, const char *s, size_t len) {
    if (in->typed.len && !ts_buf_putc(&in->typed, '\n')) return false;
    if (!ts_buf_append(&in->typed, s, len)) return false;
    if (!memchr(s, '\n', len)) return take_line(in, s, len);
    if (!in_our_form(in, s, len)) {
        in->literal = true;
        in->state = CLI_INPUT_WHOLE;
        return ts_buf_append(&in->text, s, len);
    }
    while (in->state != CLI_INPUT_WHOLE) {
        const char *nl = memchr(s, '\n', len);
        size_t n = nl ? (size_t)(nl - s) : len;
        if (!take_line(in, s, n)) return false;
        if (!nl) return true;
        s += n + 1;
        len -= n + 1;
    }
    /* text behind a closed block: it belongs to the message as well */
    return ts_buf_putc(&in->text, '\n') && ts_buf_append(&in->text, s, len);
}

bool cli_input_line(cli_input *in, const char *line, size_t len) {
    if (in->state == CLI_INPUT_WHOLE) cli_input_clear(in);
    if (take(in, line, len)) return true;
    cli_input_clear(in);
    return false;
}

bool cli_input_end(cli_input *in) {
    bool unfinished = in->state == CLI_INPUT_BLOCK || in->state == CLI_INPUT_CONTINUED;
    if (unfinished) in->state = CLI_INPUT_WHOLE;
    return unfinished;
}
