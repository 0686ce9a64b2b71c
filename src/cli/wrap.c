#define _GNU_SOURCE /* memrchr */
#include "cli/wrap.h"

#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

enum { TAB = 8, CODE_INDENT = 4, FENCE = 3, JOINER = 0x200d };

static int char_cols(uint32_t c) {
    return c < 0x7f ? 1 : utf8proc_charwidth((utf8proc_int32_t)c);
}

int cli_text_cols(const char *text, size_t len) {
    int cols = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        int n = ts_utf8_decode(text + i, len - i, &c);
        cols += n ? char_cols(c) : 1;
        i += n ? (size_t)n : 1;
    }
    return cols;
}

/* Marks that must not begin a line, among those of scripts that break between any two characters. */
static bool ends_word(uint32_t c) {
    static const uint32_t marks[] = {0x2019, 0x201d, 0x2026, 0x3001, 0x3002, 0x3005, 0x3009, 0x300b,
                                     0x300d, 0x300f, 0x3011, 0x3015, 0x30fb, 0x30fc, 0xff01, 0xff09,
                                     0xff0c, 0xff0e, 0xff1a, 0xff1b, 0xff1f, 0xff3d, 0xff5d};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i] == c) return true;
    return false;
}

static bool put_hang(cli_wrap *w, ts_buf *out) {
    if (!ts_buf_putc(out, '\n')) return false;
    for (int i = 0; i < w->hang; i++)
        if (!ts_buf_putc(out, ' ')) return false;
    w->col = w->hang;
    w->on_line = false;
    return true;
}

static bool put_gap(cli_wrap *w, ts_buf *out) {
    bool ok = !w->gap.len || ts_buf_append(out, w->gap.data, w->gap.len);
    w->col += w->gap_cols;
    w->gap_cols = 0;
    ts_buf_clear(&w->gap);
    return ok;
}

/* The word that is held back, behind its gap or on the next line. */
static bool put_word(cli_wrap *w, ts_buf *out) {
    if (!w->word.len) return true;
    bool ok = true;
    if (w->on_line && w->col + w->gap_cols + w->word_cols > w->width) {
        ok = put_hang(w, out);
        w->gap_cols = 0;
        ts_buf_clear(&w->gap);
    }
    ok = ok && put_gap(w, out) && ts_buf_append(out, w->word.data, w->word.len);
    w->col += w->word_cols;
    w->on_line = true;
    w->word_cols = 0;
    ts_buf_clear(&w->word);
    return ok;
}

/* "-", "*", "+", "12." or "12)": text of a list item follows. */
static bool is_marker(const char *s, int n) {
    if (n == 1) return *s == '-' || *s == '*' || *s == '+';
    if (n < 2 || n > 4 || (s[n - 1] != '.' && s[n - 1] != ')')) return false;
    for (int i = 0; i < n - 1; i++)
        if (s[i] < '0' || s[i] > '9') return false;
    return true;
}

/* What kind of line this is shows in its first characters. */
static void look_at_start(cli_wrap *w, uint32_t c) {
    if (w->run < 0) return;
    if (w->run == 0) {
        if (c == ' ' || c == '\t') {
            w->lead += c == ' ' ? 1 : CODE_INDENT;
            if (w->lead >= CODE_INDENT) w->raw = true;
        } else if ((c == '`' || c == '~') && w->lead < CODE_INDENT) {
            w->mark = (char)c;
            w->run = 1;
        } else {
            w->raw |= c == '|';
            w->run = -1;
        }
        return;
    }
    if (c != (uint32_t)w->mark) {
        w->run = -1;
    } else if (++w->run == FENCE) {
        w->raw = true;
        if (!w->fence) w->fence = w->mark;
        else if (w->fence == w->mark) w->fence = 0;
    }
}

static void begin_line(cli_wrap *w) {
    w->col = w->hang = w->lead = w->run = w->n_first = w->gap_cols = w->word_cols = 0;
    w->on_line = w->direct = w->second = w->wide = w->joiner = false;
    w->raw = w->fence != 0;
    ts_buf_clear(&w->gap);
    ts_buf_clear(&w->word);
}

static int most_hang(const cli_wrap *w) {
    return w->width / 2;
}

/* The first character of a word. */
static bool begin_word(cli_wrap *w, ts_buf *out) {
    w->direct = !w->on_line;
    if (w->direct && w->col == 0) { /* the line's own indentation */
        int lead = w->gap_cols;
        if (!put_gap(w, out)) return false;
        w->hang = lead < most_hang(w) ? lead : most_hang(w);
    } else if (w->markup && !w->second && w->on_line) {
        int hang = w->col + w->gap_cols;
        w->second = true;
        if (is_marker(w->first, w->n_first) && hang <= most_hang(w)) w->hang = hang;
    }
    return true;
}

static bool put_char(cli_wrap *w, uint32_t c, const char *bytes, size_t n, ts_buf *out) {
    int cols = w->joiner ? 0 : char_cols(c);
    bool within = w->direct || w->word.len;
    /* between two characters of Chinese or Japanese, or beside one, a line may end */
    if (within && cols && (cols == 2 || w->wide) && !ends_word(c)) {
        if (!put_word(w, out)) return false;
        w->on_line |= w->direct;
        within = w->direct = false;
    }
    if (cols) w->wide = cols == 2;
    w->joiner = c == JOINER;
    if (!within && !begin_word(w, out)) return false;
    if (!w->second && !w->on_line && w->n_first < (int)sizeof w->first)
        w->first[w->n_first++] = c < 0x80 ? (char)c : '?';
    if (!w->direct) {
        if (!ts_buf_append(&w->word, bytes, n)) return false;
        w->word_cols += cols;
        if (w->col + w->gap_cols + w->word_cols <= w->width) return true;
        w->direct = true; /* it does not fit: on the next line it need not wait */
        return put_word(w, out);
    }
    /* longer than a line */
    if (cols && w->col + cols > w->width && w->col > w->hang && !put_hang(w, out)) return false;
    w->col += cols;
    return ts_buf_append(out, bytes, n);
}

static bool put_one(cli_wrap *w, uint32_t c, const char *bytes, size_t n, ts_buf *out) {
    if (c == '\n') {
        bool ok = put_word(w, out) && ts_buf_putc(out, '\n');
        begin_line(w);
        return ok;
    }
    if (w->markup) look_at_start(w, c);
    if (w->raw) {
        if (!put_word(w, out) || !put_gap(w, out)) return false;
        w->col += c == '\t' ? TAB - w->col % TAB : char_cols(c);
        return ts_buf_append(out, bytes, n);
    }
    if (c != ' ' && c != '\t') return put_char(w, c, bytes, n, out);
    if (!put_word(w, out)) return false;
    w->on_line |= w->direct;
    w->direct = w->wide = w->joiner = false;
    w->gap_cols += c == ' ' ? 1 : TAB - (w->col + w->gap_cols) % TAB;
    return ts_buf_append(&w->gap, bytes, n);
}

bool cli_wrap_put(cli_wrap *w, const char *text, size_t len, ts_buf *out) {
    if (w->width <= 0) {
        const char *nl = memrchr(text, '\n', len);
        w->col = nl ? cli_text_cols(nl + 1, len - (size_t)(nl + 1 - text)) : w->col + cli_text_cols(text, len);
        return ts_buf_append(out, text, len);
    }
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = 0xfffd;
        int got = ts_utf8_decode(text + i, len - i, &c);
        n = got ? (size_t)got : 1;
        if (!put_one(w, c, text + i, n, out)) return false;
    }
    return true;
}

bool cli_wrap_end(cli_wrap *w, ts_buf *out) {
    bool ok = put_word(w, out);
    w->fence = 0;
    begin_line(w);
    return ok;
}

void cli_wrap_free(cli_wrap *w) {
    ts_buf_free(&w->gap);
    ts_buf_free(&w->word);
    *w = (cli_wrap){.width = w->width, .markup = w->markup};
}
