#include "cli/term.h"

#include "cli/wrap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NARROWEST = 16, USUAL = 80 };

int cli_term_width(FILE *f) {
    struct winsize size;
    int fd = fileno(f), cols = 0;
    if (!isatty(fd)) return 0;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0) cols = size.ws_col;
    const char *set = getenv("COLUMNS");
    if (cols <= 0 && set) cols = atoi(set);
    if (cols <= 0) return USUAL;
    return cols < NARROWEST ? NARROWEST : cols;
}

bool cli_term_colour(FILE *f) {
    const char *no = getenv("NO_COLOR"), *force = getenv("CLICOLOR_FORCE"), *term = getenv("TERM");
    if (no && *no) return false;
    if (force && *force && strcmp(force, "0") != 0) return true;
    return isatty(fileno(f)) && term && *term && strcmp(term, "dumb") != 0;
}

void cli_term_print(FILE *f, const char *text, bool dim) {
    cli_wrap w = {.width = cli_term_width(f)};
    ts_buf out = {0};
    const char *shown = text;
    if (w.width && cli_wrap_put(&w, text, strlen(text), &out) && cli_wrap_end(&w, &out) && out.data) shown = out.data;
    dim = dim && *shown && cli_term_colour(f);
    fprintf(f, dim ? "\033[2m%s\033[22m\n" : "%s\n", shown);
    fflush(f);
    ts_buf_free(&out);
    cli_wrap_free(&w);
}
