/* ledger.h - the ledger of an engine as a table and as JSON. */
#ifndef TS_CLI_LEDGER_H
#define TS_CLI_LEDGER_H

#include "base/mem.h"
#include "tessera/tessera.h"

#include <stdio.h>

/* The table, for a person: where the terminal is narrow, the columns that matter most. */
void cli_ledger_print(const ts_engine *e, FILE *out);
/* Append a JSON object: rows and totals. */
TS_NODISCARD bool cli_ledger_json(const ts_engine *e, ts_buf *out);
/* Do all checked results have the CPU's bits? */
bool cli_ledger_agrees(const ts_engine *e);

#endif
