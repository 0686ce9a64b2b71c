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
enum {
    SPIN_NS = 40000, /* longer than the pause between two operations of a forward pass */
    /* Where others want the processor, the system takes it from a thread after some milliseconds, mostly with a task in
     * its hands that everybody then waits for, for as long again. So a worker offers it before, between two tasks: the
     * others go on with the rest of the job, and where nobody wants it, it has it back at once. */
    YIELD_NS = 2000000,
};

struct ts_pool {
    pthread_mutex_t caller; /* one job at a time */
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic uint32_t finished; /* tasks of this job that have ended */
    _Atomic bool caller_sleeps;             /* until that is all */
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
        uint64_t since; /* when it last slept or offered its processor */
    } *workers;
};

static void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value) {
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Does *word become another than `is` while we look? */
static bool changes_soon(const _Atomic uint32_t *word, uint32_t is) {
    uint64_t begin = 0, now;
    for (unsigned spins = 0; atomic_load_explicit(word, memory_order_acquire) == is; spins++) {
        cpu_relax();
        if (spins % 64 != 63) continue;
        now = ts_now_ns();
        if (!begin) begin = now;
        if (now - begin >= SPIN_NS) return false;
    }
    return true;
}

static void finish(ts_pool *p, uint32_t n_tasks) {
    if (atomic_fetch_add(&p->finished, 1) + 1 == n_tasks && atomic_load(&p->caller_sleeps))
        futex(&p->finished, FUTEX_WAKE, 1);
}

/* Claim and run tasks until the job of `job` is used up; `w` is NULL for the caller. */
static void work(ts_pool *p, uint32_t job, struct worker *w) {
    for (;;) {
        uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
        ts_pool_fn *fn = atomic_load_explicit(&p->fn, memory_order_acquire);
        void *arg = atomic_load_explicit(&p->arg, memory_order_acquire);
        uint32_t n = atomic_load_explicit(&p->n_tasks, memory_order_acquire), task = (uint32_t)t;
        if (t >> 32 != job || task >= n || task == CLOSED) return;
        if (!atomic_compare_exchange_weak_explicit(&p->ticket, &t, t + 1, memory_order_acq_rel, memory_order_relaxed))
            continue;
        fn(arg, task, w ? w->thread : 0);
        finish(p, n);
        if (!w || ts_now_ns() - w->since < YIELD_NS) continue;
        sched_yield();
        w->since = ts_now_ns();
    }
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    ts_pool *p = w->pool;
    uint32_t seen = 0, job;
    for (;; seen = job) {
        while (!changes_soon(&p->wake, seen)) {
            atomic_fetch_add(&p->sleepers, 1);
            futex(&p->wake, FUTEX_WAIT, seen);
            atomic_fetch_sub(&p->sleepers, 1);
            w->since = ts_now_ns();
        }
        job = atomic_load_explicit(&p->wake, memory_order_acquire);
        if (atomic_load(&p->stop)) return NULL;
        work(p, job, w);
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
    work(p, job, NULL);
    for (uint32_t n; (n = atomic_load(&p->finished)) != n_tasks;) {
        if (changes_soon(&p->finished, n)) continue;
        atomic_store(&p->caller_sleeps, true);
        futex(&p->finished, FUTEX_WAIT, n);
        atomic_store(&p->caller_sleeps, false);
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
