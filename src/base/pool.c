#define _GNU_SOURCE
#include "base/pool.h"
#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The ticket is (job number << 32 | next task). A thread claims a task by compare-and-swap on the whole ticket, so a
 * thread that slept through a job can never take a task of it, nor mix the fields of two jobs: the ticket is closed
 * (task = CLOSED) before the fields of the next job are written. */
enum { CLOSED = 0x7fffffff };
enum { SPIN_NS = 40000 }; /* longer than the pause between two operations of a forward pass */

struct ts_pool {
    pthread_mutex_t caller; /* one job at a time */
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic uint32_t finished; /* tasks of this job that have ended */
    _Alignas(64) _Atomic(ts_pool_fn *) fn;
    _Atomic(void *) arg;
    _Atomic uint32_t n_tasks;
    _Alignas(64) _Atomic uint32_t wake; /* job number, for sleepers */
    _Atomic uint32_t sleepers;
    _Atomic bool stop;
    int n_threads, n_started;
    struct worker {
        ts_pool *pool;
        pthread_t id;
        int thread;
    } *workers;
};

static void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value) {
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Claim and run tasks until the job of `job` is used up. */
static void work(ts_pool *p, uint32_t job, int thread) {
    for (;;) {
        uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
        ts_pool_fn *fn = atomic_load_explicit(&p->fn, memory_order_acquire);
        void *arg = atomic_load_explicit(&p->arg, memory_order_acquire);
        uint32_t n = atomic_load_explicit(&p->n_tasks, memory_order_acquire), task = (uint32_t)t;
        if (t >> 32 != job || task >= n || task == CLOSED) return;
        if (!atomic_compare_exchange_weak_explicit(&p->ticket, &t, t + 1, memory_order_acq_rel, memory_order_relaxed))
            continue;
        fn(arg, task, thread);
        atomic_fetch_add_explicit(&p->finished, 1, memory_order_acq_rel);
    }
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    ts_pool *p = w->pool;
    uint32_t seen = 0;
    for (;;) {
        uint64_t begin = 0;
        uint32_t job;
        for (unsigned spins = 0; (job = atomic_load_explicit(&p->wake, memory_order_acquire)) == seen; spins++) {
            if (spins % 64 != 63) {
                cpu_relax();
                continue;
            }
            uint64_t now = ts_now_ns();
            if (!begin) begin = now;
            if (now - begin < SPIN_NS) continue;
            atomic_fetch_add(&p->sleepers, 1);
            futex(&p->wake, FUTEX_WAIT, seen);
            atomic_fetch_sub(&p->sleepers, 1);
            begin = 0;
        }
        seen = job;
        if (atomic_load(&p->stop)) return NULL;
        work(p, job, w->thread);
    }
}

static void publish(ts_pool *p, uint32_t job) {
    atomic_store(&p->wake, job);
    if (atomic_load(&p->sleepers)) futex(&p->wake, FUTEX_WAKE, (uint32_t)p->n_threads);
}

ts_status ts_pool_new(ts_pool **out, int n_threads, ts_err *err) {
    if (n_threads < 1 || n_threads > 1024)
        return ts_fail(err, TS_E_INVAL, "%d threads: use a number from 1 to 1024", n_threads);
    ts_pool *p = ts_alloc_aligned(1, sizeof *p);
    if (!p) return ts_fail_nomem(err, "the thread pool", sizeof *p);
    *p = (ts_pool){.n_threads = n_threads};
    pthread_mutex_init(&p->caller, NULL);
    p->workers = ts_calloc((size_t)n_threads, sizeof *p->workers);
    if (!p->workers) {
        ts_pool_free(p);
        return ts_fail_nomem(err, "the thread pool", (size_t)n_threads * sizeof *p->workers);
    }
    /* signals are the program's business: one that went to a worker would not wake a main thread that waits for
     * input */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t outside, before;
    sigfillset(&outside);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&outside, faults[i]);
    pthread_sigmask(SIG_SETMASK, &outside, &before);
    int e = 0;
    for (int i = 1; i < n_threads && !e; i++) {
        p->workers[i] = (struct worker){.pool = p, .thread = i};
        e = pthread_create(&p->workers[i].id, NULL, worker_main, &p->workers[i]);
        if (!e) p->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        int failed = p->n_started + 2;
        ts_pool_free(p);
        return ts_fail_os(err, TS_E_NOMEM, e, "cannot start thread %d of %d", failed, n_threads);
    }
    *out = p;
    return TS_OK;
}

void ts_pool_free(ts_pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    publish(p, atomic_load(&p->wake) + 1);
    for (int i = 1; i <= p->n_started; i++) pthread_join(p->workers[i].id, NULL);
    pthread_mutex_destroy(&p->caller);
    ts_free(p->workers);
    ts_free(p);
}

int ts_pool_threads(const ts_pool *p) {
    return p->n_threads;
}

/* On all threads; the caller holds p->caller. */
static void run(ts_pool *p, size_t n_tasks, ts_pool_fn *fn, void *arg) {
    uint32_t job = atomic_load_explicit(&p->wake, memory_order_relaxed) + 1;
    atomic_store_explicit(&p->ticket, (uint64_t)job << 32 | CLOSED, memory_order_relaxed);
    atomic_store_explicit(&p->finished, 0, memory_order_relaxed);
    atomic_store_explicit(&p->fn, fn, memory_order_release);
    atomic_store_explicit(&p->arg, arg, memory_order_release);
    atomic_store_explicit(&p->n_tasks, (uint32_t)n_tasks, memory_order_release);
    atomic_store_explicit(&p->ticket, (uint64_t)job << 32, memory_order_release);
    publish(p, job);
    work(p, job, 0);
    for (unsigned spins = 0; atomic_load_explicit(&p->finished, memory_order_acquire) != n_tasks; spins++) {
        cpu_relax();
        if (spins > 20000) sched_yield(); /* another program has the processor that our last task needs */
    }
}

void ts_pool_run(ts_pool *p, size_t n_tasks, ts_pool_fn *fn, void *arg) {
    assert(n_tasks < CLOSED);
    pthread_mutex_lock(&p->caller);
    if (p->n_started == 0 || n_tasks <= 1)
        for (size_t i = 0; i < n_tasks; i++) fn(arg, i, 0);
    else
        run(p, n_tasks, fn, arg);
    pthread_mutex_unlock(&p->caller);
}
