#include "cli/table.h"

#include "cli/wrap.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add(cli_table *t, char *owned) {
    if (ts_grow((void **)&t->cell, &t->cap, t->n + 1, sizeof *t->cell)) {
        t->cell[t->n++] = owned;
        return;
    }
    ts_free(owned);
    t->nomem = true;
}

void cli_table_add(cli_table *t, const char *fmt, ...) {
    ts_buf text = {0};
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0 || !ts_buf_reserve(&text, (size_t)n + 1)) t->nomem = true;
    else vsnprintf(text.data, (size_t)n + 1, fmt, again), add(t, text.data);
    va_end(again);
    va_end(ap);
}

void cli_table_skip(cli_table *t, int n_cells) {
    while (n_cells-- > 0) add(t, NULL);
}

static int cols_of(const char *s) {
    return s ? cli_text_cols(s, strlen(s)) : 0;
}

static bool put_cell(ts_buf *out, const char *s, const cli_column *c, int wide, bool last) {
    const int pad = wide - cols_of(s);
    bool ok = c->left || ts_buf_printf(out, "%*s", pad, "");
    if (s) ok = ok && ts_buf_puts(out, s);
    return ok && (!c->left || last || ts_buf_printf(out, "%*s", pad, ""));
}

static void cut_blanks(ts_buf *out) {
    while (out->len && out->data[out->len - 1] == ' ') out->data[--out->len] = 0;
}

static bool put_row(ts_buf *out, const cli_table *t, char *const *row, const int *wide) {
    bool ok = true, first = true;
    for (int i = 0; i < t->n_columns; i++) {
        if (!wide[i]) continue;
        ok = ok && (first || ts_buf_puts(out, "  ")) &&
             put_cell(out, row ? row[i] : t->column[i].head, &t->column[i], wide[i], false);
        first = false;
    }
    if (ok) cut_blanks(out);
    return ok && ts_buf_putc(out, '\n');
}

static int all_cols(const cli_table *t, const int *wide) {
    int sum = -2;
    for (int i = 0; i < t->n_columns; i++)
        if (wide[i]) sum += wide[i] + 2;
    return sum;
}

bool cli_table_text(const cli_table *t, int width, ts_buf *out) {
    int wide[CLI_TABLE_COLUMNS];
    bool gone[CLI_TABLE_COLUMNS] = {false}, any = false;
    const size_t rows = t->n / (size_t)t->n_columns;
    if (t->nomem) return false;
    for (int i = 0; i < t->n_columns; i++) {
        int most = 0;
        for (size_t r = 0; r < rows; r++) {
            int cols = cols_of(t->cell[r * (size_t)t->n_columns + (size_t)i]);
            if (cols > most) most = cols;
        }
        /* an empty column is none */
        wide[i] = !most ? 0 : cols_of(t->column[i].head) > most ? cols_of(t->column[i].head) : most;
    }
    while (width && all_cols(t, wide) > width) {
        int least = -1;
        for (int i = 0; i < t->n_columns; i++)
            if (wide[i] && t->column[i].keep && (least < 0 || t->column[i].keep < t->column[least].keep)) least = i;
        if (least < 0) break;
        wide[least] = 0;
        gone[least] = any = true;
    }
    bool ok = put_row(out, t, NULL, wide);
    for (size_t r = 0; r < rows; r++) ok = ok && put_row(out, t, t->cell + r * (size_t)t->n_columns, wide);
    if (!any) return ok;
    const char *between = "";
    ok = ok && ts_buf_puts(out, "(no room here for: ");
    for (int i = 0; i < t->n_columns; i++)
        if (gone[i]) ok = ok && ts_buf_printf(out, "%s%s", between, t->column[i].head), between = ", ";
    return ok && ts_buf_puts(out, ")\n");
}

void cli_table_free(cli_table *t) {
    for (size_t i = 0; i < t->n; i++) ts_free(t->cell[i]);
    ts_free(t->cell);
    *t = (cli_table){.column = t->column, .n_columns = t->n_columns};
}
