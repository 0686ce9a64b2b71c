#include "cli/complete.h"

#include "base/printable.h"
#include "cli/wrap.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_SHOWN = 200 };

static void add(cli_words *w, char *owned) {
    if (owned && ts_grow((void **)&w->item, &w->cap, w->n + 1, sizeof *w->item)) w->item[w->n++] = owned;
    else ts_free(owned);
}

void cli_words_add(cli_words *w, const char *word, const char *typed) {
    if (strncmp(word, typed, strlen(typed)) == 0) add(w, ts_strdup(word));
}

/* The folder of a path as it is typed, opened. */
static char *folder_of(const char *path, size_t len) {
    const char *home = getenv("HOME");
    ts_buf real = {0};
    bool ok = len == 0 ? ts_buf_puts(&real, "./")
              : home && len >= 2 && !strncmp(path, "~/", 2)
                  ? ts_buf_printf(&real, "%s/%.*s", home, (int)(len - 2), path + 2)
                  : ts_buf_append(&real, path, len);
    if (!ok) ts_buf_free(&real);
    return real.data;
}

void cli_words_add_files(cli_words *w, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t len = (size_t)(name - path), n_name = strlen(name);
    char *folder = folder_of(path, len);
    DIR *dir = folder ? opendir(folder) : NULL;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (strncmp(d->d_name, name, n_name) != 0 || !strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) continue;
        if (d->d_name[0] == '.' && *name != '.') continue;
        ts_buf full = {0}, shown = {0};
        struct stat st;
        bool is_folder =
            ts_buf_printf(&full, "%s%s", folder, d->d_name) && stat(full.data, &st) == 0 && S_ISDIR(st.st_mode);
        if (ts_buf_printf(&shown, "%.*s%s%s", (int)len, path, d->d_name, is_folder ? "/" : "")) add(w, shown.data);
        else ts_buf_free(&shown);
        ts_buf_free(&full);
    }
    if (dir) closedir(dir);
    ts_free(folder);
    cli_words_sort(w);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void cli_words_sort(cli_words *w) {
    if (w->n) qsort(w->item, w->n, sizeof *w->item, by_name);
}

size_t cli_words_common(const cli_words *w) {
    if (!w->n) return 0;
    size_t n = strlen(w->item[0]);
    for (size_t i = 1; i < w->n; i++) {
        size_t k = 0;
        while (k < n && w->item[i][k] == w->item[0][k]) k++;
        n = k;
    }
    while (n && ((unsigned char)w->item[0][n] & 0xc0) == 0x80) n--; /* not into a character */
    return n;
}

/* The last part of a name that ends the same way for all: what stands in front of it was typed. */
static size_t known(const cli_words *w) {
    size_t at = 0;
    for (size_t i = 1, n = cli_words_common(w); i < n; i++)
        if (w->item[0][i] == '/' && w->item[0][i + 1]) at = i + 1;
    return at;
}

void cli_words_print(const cli_words *w, int width, FILE *out) {
    char shown[300];
    int widest = 1;
    size_t skip = known(w), n = w->n < MOST_SHOWN ? w->n : MOST_SHOWN;
    for (size_t i = 0; i < n; i++) {
        size_t len = ts_printable(shown, sizeof shown, w->item[i] + skip, strlen(w->item[i] + skip));
        int cols = cli_text_cols(shown, len);
        if (cols > widest) widest = cols;
    }
    size_t per_line = width > widest ? (size_t)(width - 1) / (size_t)(widest + 2) : 1;
    if (!per_line) per_line = 1;
    const size_t lines = (n + per_line - 1) / per_line;
    for (size_t line = 0; line < lines; line++) { /* down the columns */
        for (size_t i = line; i < n; i += lines) {
            size_t len = ts_printable(shown, sizeof shown, w->item[i] + skip, strlen(w->item[i] + skip));
            fprintf(out, "%s%*s", shown, i + lines < n ? widest + 2 - cli_text_cols(shown, len) : 0, "");
        }
        fputc('\n', out);
    }
    if (n < w->n) fprintf(out, "and %zu more\n", w->n - n);
}

void cli_words_free(cli_words *w) {
    for (size_t i = 0; i < w->n; i++) ts_free(w->item[i]);
    ts_free(w->item);
    *w = (cli_words){0};
}
