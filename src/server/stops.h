/* stops.h - stop strings in what an answer says, where thoughts and calls of tools are told apart from it: those they
 * leave alone. (Where nothing is told apart, and where a stop string is a control token, ts_answer looks for them.) */
#ifndef TS_SERVER_STOPS_H
#define TS_SERVER_STOPS_H

#include "base/kmp.h"
#include "base/mem.h"

enum { SRV_STOPS = 16 };

/* Of one choice; zero-initialise. Text is put in and stands in `held` until it was handed out. */
typedef struct srv_stop {
    size_t at[SRV_STOPS]; /* how many of the last bytes are the beginning of each stop string */
    ts_buf held;
    const char *found;    /* the one that has ended it */
} srv_stop;

/* More of the text. *decided: so many of the held bytes are no part of a stop string, or stand in front of the one that
 * was found (the rest of the text is gone then). false: no memory. */
bool srv_stop_feed(srv_stop *s, const ts_kmp *stops, size_t n, const char *text, size_t len, size_t *decided);
/* The first n bytes were handed out. */
void srv_stop_drop(srv_stop *s, size_t n);
/* The text was interrupted: what is held is no part of a stop string, and none begins in it. Returns how much it is. */
size_t srv_stop_break(srv_stop *s);
void srv_stop_free(srv_stop *s);

#endif
