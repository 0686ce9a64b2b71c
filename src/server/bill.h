/* bill.h - what a request has cost: its share of the passes that it took part in.
 *
 * The engine's ledger tells what ran where in a pass; a request gets of every row as much as of the pass's tokens were
 * its own. That is exact for what is done token by token, and a fair division for what is done once for all (weights
 * are read once, whoever shares the pass) and for attention, whose cost grows with each one's own context. */
#ifndef TS_SERVER_BILL_H
#define TS_SERVER_BILL_H

#include "server/job.h"

typedef struct srv_bill srv_bill;
typedef struct srv_books srv_books;

srv_bill *srv_bill_new(const char *id, const char *model, const char *device); /* NULL: no memory */
void srv_bill_free(srv_bill *b);                                               /* NULL-safe */
/* A pass: the ledger behind it and in front of it; `tokens` of its `all` are this request's. NULL-safe. */
void srv_bill_add(srv_bill *b, const ts_ledger_row *now, size_t n_now, const ts_ledger_row *before, size_t n_before,
                  uint32_t tokens, uint32_t all);

/* The bills of the last requests, by the id that their answers had. Any thread. */
srv_books *srv_books_new(void);
void srv_books_free(srv_books *k); /* NULL-safe */
void srv_books_put(srv_books *k, srv_bill *b); /* it is theirs from now on; NULL-safe */
/* JSON of the bill with this id. false: there is none, or (*nomem) no memory. */
bool srv_books_find(srv_books *k, const char *id, ts_buf *out, bool *nomem);

#endif
