/* pool.h - a thread pool that runs one job at a time, cut into numbered tasks.
 *
 * Tasks are claimed from a counter, so a thread that the system has put aside delays at most the task it holds. Which
 * thread runs a task must never change a result: tasks write to places that depend on their number alone. */
#ifndef TS_BASE_POOL_H
#define TS_BASE_POOL_H

#include "base/err.h"

#include <stddef.h>

typedef struct ts_pool ts_pool;

/* `thread` is in [0, ts_pool_threads), for scratch memory; the calling thread is 0. */
typedef void ts_pool_fn(void *arg, size_t task, int thread);

/* n_threads >= 1 counts the caller: n_threads - 1 are started. */
TS_NODISCARD ts_status ts_pool_new(ts_pool **out, int n_threads, ts_err *err);
void ts_pool_free(ts_pool *pool);
int ts_pool_threads(const ts_pool *pool);

/* Run fn(arg, 0..n_tasks-1) and return when all have finished. n_tasks < 2^31. Callers on several threads take turns,
 * whole jobs in no certain order; not from a task, which would wait for itself. */
void ts_pool_run(ts_pool *pool, size_t n_tasks, ts_pool_fn *fn, void *arg);

#endif
