#define _GNU_SOURCE /* ppoll */
#include "cli/repl.h"

#include "cli/progress.h"
#include "cli/repl_history.h"
#include "cli/term.h"
#include "cli/tty.h"
#include "base/utf8.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef TS_HAVE_LIBEDIT
#    include <histedit.h>
#endif

enum { LINE_LIMIT = 256 << 20 };

struct cli_repl {
    bool terminal;
    FILE *screen; /* where prompts go: standard output, or standard error where that is no terminal */
    char *history_path;
    unsigned char ahead[4096]; /* read, not used yet */
    size_t ahead_at, ahead_n;
    cli_line why; /* the input stopped, for a reader that can only say that it did */
    int read_errno;
    int signal;
    sigset_t outside; /* the signal mask while we wait */
    bool dropped_text;
    cli_complete_fn *complete;
    void *complete_ud;
#ifdef TS_HAVE_LIBEDIT
    EditLine *edit;
    History *history;
    const char *prompt;
    ts_buf last; /* the newest entry */
#endif
};

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

#ifdef TS_HAVE_LIBEDIT
/* Signals that matter while the editor has the terminal, as bits of their numbers. */
static volatile sig_atomic_t caught;
static const int editor_signals[] = {SIGWINCH, SIGTSTP, SIGTERM, SIGHUP, SIGQUIT};
enum { N_EDITOR_SIGNALS = sizeof editor_signals / sizeof *editor_signals };

static void on_signal(int sig) {
    caught |= 1 << sig;
}

static bool take_signal(int sig) {
    bool was = caught >> sig & 1;
    caught &= ~(1 << sig);
    return was;
}

/* Bracketed paste, DEC private mode 2004: terminals then put \e[200~ and \e[201~ around what is pasted. */
#    define PASTE_ON "\033[?2004h"
#    define PASTE_OFF "\033[?2004l"

static void put_screen(cli_repl *r, const char *s) {
    fputs(s, r->screen);
    fflush(r->screen);
}

/* Between bytes: what the signals ask for. false: the input ends. */
static bool serve_signals(cli_repl *r) {
    if (take_signal(SIGWINCH)) el_resize(r->edit);
    if (take_signal(SIGTSTP)) { /* Ctrl-Z: stop with the terminal as it was, and come back into the line */
        struct sigaction old, dfl = {.sa_handler = SIG_DFL};
        sigset_t tstp;
        el_set(r->edit, EL_PREP_TERM, 0);
        put_screen(r, PASTE_OFF);
        sigaction(SIGTSTP, &dfl, &old);
        sigemptyset(&tstp);
        sigaddset(&tstp, SIGTSTP);
        raise(SIGTSTP);
        pthread_sigmask(SIG_UNBLOCK, &tstp, NULL); /* here the program stops, and goes on after SIGCONT */
        pthread_sigmask(SIG_BLOCK, &tstp, NULL);
        sigaction(SIGTSTP, &old, NULL);
        el_set(r->edit, EL_PREP_TERM, 1);
        put_screen(r, PASTE_ON);
        el_set(r->edit, EL_REFRESH);
    }
    for (int i = 2; i < N_EDITOR_SIGNALS; i++)
        if (take_signal(editor_signals[i])) r->signal = editor_signals[i];
    return !r->signal;
}
#else
static bool serve_signals(cli_repl *r) {
    (void)r;
    return true;
}
#endif

/* Signals are let in only while this waits, so that none falls between the question and the wait. */
static bool next_byte(cli_repl *r, unsigned char *out) {
    while (r->ahead_at == r->ahead_n) {
        r->why = CLI_LINE_END;
        if (!serve_signals(r)) return false;
        if (cli_interrupted()) {
            r->why = CLI_LINE_INTERRUPTED;
            return false;
        }
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        if (ppoll(&p, 1, NULL, &r->outside) < 0 && errno == EINTR) continue;
        ssize_t n = read(STDIN_FILENO, r->ahead, sizeof r->ahead);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0 && errno != EIO) { /* EIO: the terminal is gone */
            r->why = CLI_LINE_FAILED;
            r->read_errno = errno;
        }
        if (n <= 0) return false;
        r->ahead_at = 0;
        r->ahead_n = (size_t)n;
    }
    *out = r->ahead[r->ahead_at++];
    return true;
}

/* Why there are no more bytes. */
static cli_line stopped(cli_repl *r, bool typed, ts_err *err) {
    r->dropped_text = typed;
    if (r->why == CLI_LINE_INTERRUPTED) r->ahead_at = r->ahead_n = 0; /* Ctrl-C is about everything typed so far */
    if (r->why == CLI_LINE_FAILED) (void)ts_fail_os(err, TS_E_IO, r->read_errno, "cannot read standard input");
    if (r->terminal) fputs(r->why == CLI_LINE_INTERRUPTED && cli_repl_edits(r) ? "^C\n" : "\n", r->screen);
    return r->why;
}

/* ---- without an editor ------------------------------------------------------------------------------------------- */

static cli_line read_plain(cli_repl *r, const char *prompt, ts_buf *line, ts_err *err) {
    if (r->terminal) {
        fputs(prompt, r->screen);
        fflush(r->screen);
    }
    unsigned char c = 0;
    while (next_byte(r, &c) && c != '\n') {
        if (line->len >= LINE_LIMIT) {
            (void)ts_fail(err, TS_E_LIMIT, "a line of the input is longer than %d MiB", LINE_LIMIT >> 20);
            return CLI_LINE_FAILED;
        }
        if (!ts_buf_putc(line, (char)c)) {
            (void)ts_fail_nomem(err, "a line of the input", line->len);
            return CLI_LINE_FAILED;
        }
    }
    /* the last line of a file may have no line break */
    if (c != '\n' && (r->why != CLI_LINE_END || !line->len)) return stopped(r, line->len > 0, err);
    if (line->len && line->data[line->len - 1] == '\r') line->data[--line->len] = 0;
    return CLI_LINE_TEXT;
}

/* ---- with libedit ------------------------------------------------------------------------------------------------ */

#ifdef TS_HAVE_LIBEDIT

static cli_repl *repl_of(EditLine *edit) {
    void *r = NULL;
    el_get(edit, EL_CLIENTDATA, &r);
    return r;
}

static char *show_prompt(EditLine *edit) {
    return (char *)(uintptr_t)repl_of(edit)->prompt; /* libedit does not write to it */
}

/* EL_GETCFN: one character, 0 at the end of the input. What is not UTF-8 becomes U+FFFD. */
static int next_char(EditLine *edit, wchar_t *out) {
    cli_repl *r = repl_of(edit);
    char seq[4];
    unsigned char byte;
    if (!next_byte(r, &byte)) {
        const LineInfoW *l = el_wline(edit);
        r->dropped_text = l->lastchar > l->buffer;
        if (l->cursor < l->lastchar) { /* what is printed next comes behind the text */
            el_cursor(edit, (int)(l->lastchar - l->cursor));
            el_set(edit, EL_REFRESH);
        }
        return 0;
    }
    size_t n = 0, need = byte < 0xc2 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 1;
    seq[n++] = (char)byte;
    while (n < need && next_byte(r, &byte)) {
        if ((byte & 0xc0) != 0x80) {
            r->ahead_at--; /* it begins the next character */
            break;
        }
        seq[n++] = (char)byte;
    }
    uint32_t c;
    *out = ts_utf8_decode(seq, n, &c) == (int)n ? (wchar_t)c : 0xfffd;
    return 1;
}

/* A paste goes into the line as it is: its line breaks are text, not Enter. */
static unsigned char paste(EditLine *edit, wint_t key) {
    static const char end[] = "\033[201~";
    wchar_t c, piece[2] = {0};
    size_t matched = 0;
    (void)key;
    while (matched < sizeof end - 1 && el_wgetc(edit, &c) == 1) {
        if (c == (wchar_t)end[matched]) {
            matched++;
            continue;
        }
        for (size_t i = 0; i < matched; i++) { /* it was not the end after all */
            piece[0] = (wchar_t)end[i];
            el_winsertstr(edit, piece);
        }
        matched = c == (wchar_t)end[0];
        if (matched) continue;
        piece[0] = c == '\r' ? '\n' : c; /* terminals send \r for a line break */
        if (c) el_winsertstr(edit, piece);
    }
    return CC_REFRESH;
}

static bool put_utf8(ts_buf *out, const wchar_t *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char seq[4];
        if (!ts_buf_append(out, seq, (size_t)ts_utf8_encode((uint32_t)s[i] <= 0x10ffff ? (uint32_t)s[i] : 0xfffd, seq)))
            return false;
    }
    return true;
}

static void insert(EditLine *edit, const char *text, size_t len) {
    wchar_t c[2] = {0};
    for (size_t i = 0; i < len;) {
        uint32_t u = 0xfffd;
        int n = ts_utf8_decode(text + i, len - i, &u);
        c[0] = (wchar_t)u;
        el_winsertstr(edit, c);
        i += n ? (size_t)n : 1;
    }
}

/* Tab: what all the words that fit have in common is put in; where that is nothing, they are listed. */
static unsigned char complete(EditLine *edit, wint_t key) {
    cli_repl *r = repl_of(edit);
    const LineInfoW *l = el_wline(edit);
    ts_buf line = {0};
    cli_words words = {0};
    size_t from = 0;
    unsigned char then = CC_NORM;
    (void)key;
    if (r->complete && ts_buf_reserve(&line, 1) && put_utf8(&line, l->buffer, (size_t)(l->cursor - l->buffer))) {
        r->complete(r->complete_ud, line.data, &from, &words);
        size_t common = cli_words_common(&words), typed = line.len - from;
        if (common > typed) {
            insert(edit, words.item[0] + typed, common - typed);
            then = CC_REFRESH;
        } else if (words.n > 1) {
            fputc('\n', r->screen);
            cli_words_print(&words, cli_term_width(r->screen), r->screen);
            fflush(r->screen);
            then = CC_REDISPLAY;
        }
    }
    cli_words_free(&words);
    ts_buf_free(&line);
    return then;
}

static void add_entry(void *ud, const char *entry) {
    cli_repl *r = ud;
    HistEvent ev;
    history(r->history, &ev, H_ENTER, entry);
}

static void open_editor(cli_repl *r) {
    /* the model speaks UTF-8; a locale that does not would make the editor drop half of every line */
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
    r->edit = el_init("tessera", stdin, r->screen, stderr);
    if (!r->edit) return; /* lines are read all the same */
    el_set(r->edit, EL_CLIENTDATA, r);
    el_set(r->edit, EL_PROMPT, show_prompt);
    el_set(r->edit, EL_EDITOR, "emacs");
    el_wset(r->edit, EL_GETCFN, next_char);
    el_wset(r->edit, EL_ADDFN, L"tessera-paste", L"insert a paste", paste);
    el_wset(r->edit, EL_ADDFN, L"tessera-complete", L"complete a command", complete); /* el_set leaks copies of both */
    static const char *const keys[][2] = {
        {"\\e[200~", "tessera-paste"},     {"^I", "tessera-complete"},   {"^R", "em-inc-search-prev"},
        {"\\e[3~", "ed-delete-next-char"}, {"\\e[1~", "ed-move-to-beg"}, {"\\e[4~", "ed-move-to-end"},
        {"\\e[H", "ed-move-to-beg"},       {"\\e[F", "ed-move-to-end"},  {"\\e[1;5C", "em-next-word"},
        {"\\e[1;5D", "ed-prev-word"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) el_set(r->edit, EL_BIND, keys[i][0], keys[i][1], NULL);
    r->history = history_init();
    if (r->history) {
        HistEvent ev;
        history(r->history, &ev, H_SETSIZE, CLI_HISTORY_ENTRIES);
        history(r->history, &ev, H_SETUNIQUE, 1);
        el_set(r->edit, EL_HIST, history, r->history);
    }
    el_source(r->edit, NULL); /* ~/.editrc has the last word */
}

/* Our handlers for as long as the editor has the terminal. A signal that is ignored stays so. */
static void hold_signals(struct sigaction *old) {
    caught = 0;
    for (int i = 0; i < N_EDITOR_SIGNALS; i++) {
        struct sigaction a = {.sa_handler = on_signal};
        sigemptyset(&a.sa_mask);
        sigaction(editor_signals[i], NULL, &old[i]);
        if (old[i].sa_handler != SIG_IGN) sigaction(editor_signals[i], &a, NULL);
    }
}

static void add_editor_signals(sigset_t *set) {
    for (int i = 0; i < N_EDITOR_SIGNALS; i++) sigaddset(set, editor_signals[i]);
}

static void release_signals(const struct sigaction *old) {
    for (int i = 0; i < N_EDITOR_SIGNALS; i++) sigaction(editor_signals[i], &old[i], NULL);
}

static cli_line read_edited(cli_repl *r, const char *prompt, ts_buf *line, ts_err *err) {
    struct sigaction old[N_EDITOR_SIGNALS];
    hold_signals(old);
    r->prompt = prompt;
    r->why = CLI_LINE_END;
    r->dropped_text = false;
    el_resize(r->edit); /* the window may have changed while nobody looked */
    /* before the prompt invites: libedit itself does it after, and keys in between are lost */
    el_set(r->edit, EL_PREP_TERM, 1);
    put_screen(r, PASTE_ON);
    int n = 0;
    const wchar_t *text = el_wgets(r->edit, &n);
    put_screen(r, PASTE_OFF);
    release_signals(old);
    if (!text || n <= 0) {
        el_reset(r->edit);
        cli_line why = stopped(r, r->dropped_text, err);
        fflush(r->screen);
        return why;
    }
    fflush(r->screen);
    if (text[n - 1] == '\n') n--;
    if (put_utf8(line, text, (size_t)n)) return CLI_LINE_TEXT;
    (void)ts_fail_nomem(err, "a line of the input", (size_t)n);
    return CLI_LINE_FAILED;
}

bool cli_repl_edits(const cli_repl *r) {
    return r->edit != NULL;
}

void cli_repl_remember(cli_repl *r, const char *entry) {
    if (!r->history || !*entry) return;
    bool again = r->last.len && !strcmp(r->last.data, entry);
    add_entry(r, entry);
    if (again) return;
    ts_buf_clear(&r->last);
    if (!ts_buf_puts(&r->last, entry)) ts_buf_clear(&r->last);
    if (r->history_path) cli_history_append(r->history_path, entry);
}

static void close_editor(cli_repl *r) {
    if (r->edit) el_end(r->edit);
    if (r->history) history_end(r->history);
    ts_buf_free(&r->last);
}

#else

static cli_line read_edited(cli_repl *r, const char *prompt, ts_buf *line, ts_err *err) {
    return read_plain(r, prompt, line, err);
}

bool cli_repl_edits(const cli_repl *r) {
    (void)r;
    return false;
}

void cli_repl_remember(cli_repl *r, const char *entry) {
    (void)r, (void)entry; /* nothing could show it again */
}

static void add_editor_signals(sigset_t *set) {
    (void)set;
}

static void close_editor(cli_repl *r) {
    (void)r;
}

#endif

/* ---- both -------------------------------------------------------------------------------------------------------- */

ts_status cli_repl_open(cli_repl **out, bool terminal, bool keep_history, ts_err *err) {
    cli_repl *r = ts_calloc(1, sizeof *r);
    if (!r) return ts_fail_nomem(err, "the line reader", sizeof *r);
    r->terminal = terminal;
    r->screen = isatty(STDOUT_FILENO) ? stdout : stderr;
    if (terminal && isatty(STDIN_FILENO)) {
#ifdef TS_HAVE_LIBEDIT
        open_editor(r);
        if (r->history && keep_history) r->history_path = cli_history_path();
        if (r->history_path) cli_history_read(r->history_path, add_entry, r);
#else
        (void)keep_history;
#endif
    }
    *out = r;
    return TS_OK;
}

void cli_repl_close(cli_repl *r) {
    if (!r) return;
    cli_tty_restore();
    close_editor(r);
    ts_free(r->history_path);
    ts_free(r);
}

cli_line cli_repl_read(cli_repl *r, const char *prompt, ts_buf *line, ts_err *err) {
    sigset_t ours;
    ts_buf_clear(line);
    cli_tty_restore();
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    if (cli_repl_edits(r)) add_editor_signals(&ours);
    pthread_sigmask(SIG_BLOCK, &ours, &r->outside);
    cli_line got = cli_repl_edits(r) ? read_edited(r, prompt, line, err) : read_plain(r, prompt, line, err);
    pthread_sigmask(SIG_SETMASK, &r->outside, NULL);
    if (r->terminal && got == CLI_LINE_TEXT) cli_tty_hush(cli_repl_edits(r));
    return got;
}

void cli_repl_completion(cli_repl *r, cli_complete_fn *fn, void *ud) {
    r->complete = fn;
    r->complete_ud = ud;
}

bool cli_repl_dropped_text(const cli_repl *r) {
    return r->dropped_text;
}

int cli_repl_signal(const cli_repl *r) {
    return r->signal;
}
