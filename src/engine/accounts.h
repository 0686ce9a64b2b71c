/* accounts.h - the ledger: a listener that adds up what ran where, and compares what devices have computed with the
 * CPU. */
#ifndef TS_ENGINE_ACCOUNTS_H
#define TS_ENGINE_ACCOUNTS_H

#include "model/linear.h"
#include "tessera/tessera.h"

typedef struct ts_accounts ts_accounts;

/* check: run on the CPU too what devices have run, whose weights the CPU must have. */
TS_NODISCARD ts_status ts_accounts_new(ts_accounts **out, bool check, ts_err *err);
void ts_accounts_free(ts_accounts *a); /* NULL-safe */

/* To be put into the chain; borrowed. */
ts_listener *ts_accounts_listener(ts_accounts *a);

size_t ts_accounts_rows(const ts_accounts *a, ts_ledger_row *rows, size_t cap); /* how many there are; NULL: none */
void ts_accounts_reset(ts_accounts *a); /* NULL-safe */

#endif
