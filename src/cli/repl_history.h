/* repl_history.h - what was typed at prompts, kept over sessions.
 *
 * A text file, one entry a line, oldest first; a line break within an entry is \n and a backslash \\. Entries are
 * appended as they come, so that sessions side by side do not lose each other's. The file and folders made for it
 * are readable by their owner alone. Nothing here fails: without a home, or where it cannot be written, there is no
 * history. */
#ifndef TS_CLI_REPL_HISTORY_H
#define TS_CLI_REPL_HISTORY_H

#include "base/mem.h"

enum { CLI_HISTORY_ENTRIES = 1000 }; /* that many are read; the file is cut when it holds twice as many */

/* $XDG_STATE_HOME/tessera/history, or ~/.local/state/tessera/history; the folders are made. NULL: none. ts_free. */
TS_NODISCARD char *cli_history_path(void);
/* The last entries, oldest first. */
void cli_history_read(const char *path, void (*fn)(void *ud, const char *entry), void *ud);
void cli_history_append(const char *path, const char *entry);

/* An entry as a line of the file (without its line break) and back, appended to `out`. false when out of memory. */
TS_NODISCARD bool cli_history_escape(ts_buf *out, const char *entry);
TS_NODISCARD bool cli_history_unescape(ts_buf *out, const char *line, size_t len);

#endif
