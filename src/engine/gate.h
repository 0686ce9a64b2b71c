/* gate.h - one pass at a time: who comes first is let in first.
 *
 * The threads of an engine, its scratch memory and its device are used by one pass at a time. A plain mutex may let the
 * same thread in again and again while others wait; here each gets a number when it comes. */
#ifndef TS_ENGINE_GATE_H
#define TS_ENGINE_GATE_H

#include "tessera/tessera.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct ts_gate {
    pthread_mutex_t lock;
    pthread_cond_t left;
    uint64_t next, now; /* the number of the next who comes; of who is inside, or may go in */
    bool taken;
    pthread_t inside; /* where taken */
} ts_gate;

TS_NODISCARD ts_status ts_gate_new(ts_gate **out, ts_err *err);
void ts_gate_free(ts_gate *g); /* NULL-safe; nobody is inside or waits */
/* Wait until all who came before have left. Not again by a thread that is inside. */
void ts_gate_enter(ts_gate *g);
void ts_gate_leave(ts_gate *g);

#endif
