/* hub_api.h - what is asked of the hub before files: which commit, which files. Also when and how long it is worth
 * trying again, and what a refusal means. */
#ifndef TS_HUB_HUB_API_H
#define TS_HUB_HUB_API_H

#include "hub/hub_http.h"
#include "hub/hub_listing.h"

/* Tries that brought nothing, one after the other. */
typedef struct ts_hub_tries {
    int failed;
} ts_hub_tries;
enum { TS_HUB_TRIES = 5 };

/* Seconds that the server asks to wait before the next try; -1: it does not. */
double ts_hub_asked_wait(const ts_hub_answer *a);
bool ts_hub_may_pass(long status); /* is it a status that another time may not have? */
/* After a failed try: wait and return TS_OK, for another one; or the error itself (err as it was) where enough has been
 * tried, or the server names a time that is too long to wait. `a` is the answer, nullable. */
TS_NODISCARD ts_status ts_hub_again(const ts_hub_net *net, ts_hub_tries *t, const ts_hub_answer *a, ts_status failed,
                                    ts_err *err);
/* What an answer that refuses means, for a person: always an error. `what`: the file or revision that was asked for. */
ts_status ts_hub_refusal(const ts_hub_net *net, const ts_hub_answer *a, const char *repo, const char *what,
                         ts_err *err);

TS_NODISCARD ts_status ts_hub_ask_info(ts_hub_conn *c, const ts_hub_net *net, const char *repo, const char *rev,
                                       ts_hub_info *out, ts_err *err);
/* All pages of the list. `repo` is today's name, `shown` what messages call it. */
TS_NODISCARD ts_status ts_hub_ask_files(ts_hub_conn *c, const ts_hub_net *net, const char *repo, const char *shown,
                                        const char *commit, ts_hub_files *out, ts_err *err);

#endif
