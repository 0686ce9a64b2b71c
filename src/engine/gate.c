#include "engine/gate.h"
#include "base/mem.h"

#include <assert.h>

ts_status ts_gate_new(ts_gate **out, ts_err *err) {
    ts_gate *g = ts_calloc(1, sizeof *g);
    if (!g) return ts_fail_nomem(err, "the engine", sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->left, NULL);
    *out = g;
    return TS_OK;
}

void ts_gate_free(ts_gate *g) {
    if (!g) return;
    pthread_cond_destroy(&g->left);
    pthread_mutex_destroy(&g->lock);
    ts_free(g);
}

void ts_gate_enter(ts_gate *g) {
    pthread_mutex_lock(&g->lock);
    assert(!g->taken || !pthread_equal(g->inside, pthread_self())); /* it would wait for itself */
    for (uint64_t mine = g->next++; g->now != mine;) pthread_cond_wait(&g->left, &g->lock);
    g->taken = true;
    g->inside = pthread_self();
    pthread_mutex_unlock(&g->lock);
}

void ts_gate_leave(ts_gate *g) {
    pthread_mutex_lock(&g->lock);
    g->now++;
    g->taken = false;
    pthread_cond_broadcast(&g->left);
    pthread_mutex_unlock(&g->lock);
}
