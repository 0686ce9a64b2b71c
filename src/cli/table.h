/* table.h - rows of text in columns that are as wide as what stands in them, and that fit the terminal. */
#ifndef TS_CLI_TABLE_H
#define TS_CLI_TABLE_H

#include "base/mem.h"

enum { CLI_TABLE_COLUMNS = 16 };

typedef struct cli_column {
    const char *head;
    bool left;   /* text: to the left; otherwise numbers, to the right */
    int keep;    /* where there is no room, columns with the smallest number go first; 0: never */
} cli_column;

typedef struct cli_table { /* set `column` and `n_columns`, the rest zero; free with cli_table_free */
    const cli_column *column;
    int n_columns;
    char **cell; /* owned: [n_rows][n_columns], NULL where nothing stands */
    size_t n, cap;
    bool nomem;
} cli_table;

/* Add a cell, row by row. NULL: nothing stands there. */
TS_PRINTF(2, 3) void cli_table_add(cli_table *t, const char *fmt, ...);
void cli_table_skip(cli_table *t, int n_cells);
/* Append head and rows. width 0: all columns. Otherwise columns go until a line fits, and a last line names them. */
TS_NODISCARD bool cli_table_text(const cli_table *t, int width, ts_buf *out);
void cli_table_free(cli_table *t);

#endif
