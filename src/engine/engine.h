/* engine.h - what the engine's own files know about each other. */
#ifndef TS_ENGINE_ENGINE_H
#define TS_ENGINE_ENGINE_H

#include "base/pool.h"
#include "engine/accel.h"
#include "engine/accounts.h"
#include "engine/executor.h"
#include "model/pass.h"
#include "tessera/tessera.h"
#include "text/prompt.h"

struct ts_engine {
    ts_source *src;
    ts_executor executor; /* its gate is to pool and accel too */
    /* accel's clock when the last pass ended: told without waiting for the one that runs */
    _Atomic uint32_t mhz, mhz_least, mhz_most;
    ts_pool *pool;
    ts_kern kern;
    ts_model *model;
    ts_kv_pool *kv_pool; /* the pages of all sessions' KV caches */
    ts_accel *accel;       /* NULL: everything on the CPU */
    ts_accounts *accounts; /* NULL: no ledger is kept */
    ts_listener *listener;  /* the first of them, borrowed but for the ledger's */
    ts_tokenizer *tok;
    ts_token *never; /* [n_never] rows of the embedding that no token has, and unused tokens: no answer has them */
    size_t n_never;
    ts_templates *templates;
    _Atomic(struct ts_trie *) trie; /* the vocabulary for constraints, once one was made (constraint.h) */
    uint64_t load_ns;
};

/* Tokens of a prompt that go through the layers together. Large enough that weights are read rarely, small enough that
 * their activations stay in the caches. */
enum { TS_PASS_TOKENS = 256, TS_PASS_TOKENS_DEVICE = 32 /* progress and Ctrl-C are asked for between layers */ };

/* A pass is what happens in between: one at a time, who comes first goes first. */
void ts_engine_enter(ts_engine *e);
void ts_engine_leave(ts_engine *e);

static inline ts_exec ts_engine_exec(const ts_engine *e) {
    return (ts_exec){.pool = e->pool, .kern = &e->kern, .runner = ts_accel_runner(e->accel), .listener = e->listener};
}

/* From now on `l` is told, too; it must last as long as the engine, or until it is taken out again, and is in one chain
 * at a time. From any thread: both wait for the pass that runs and those that came before, so that `l` is told of whole
 * passes only, and of none once it is out. Not from within a pass, so not by a listener. */
void ts_engine_listen(ts_engine *e, ts_listener *l);
void ts_engine_unlisten(ts_engine *e, const ts_listener *l);

/* ts_engine_open (or ts_engine_open_memory, with `data`) where other devices are known than ts_devices: for tests. */
TS_NODISCARD ts_status ts_engine_open_with(ts_engine **out, const char *path, const void *data, size_t len,
                                           const ts_engine_opts *opts, const ts_device *const *known, ts_err *err);

/* From any source, which belongs to the engine from now on, also where this fails; with the steps on `steps` (NULL: the
 * CPU). */
TS_NODISCARD ts_status ts_engine_open_source(ts_engine **out, ts_source *src, const ts_engine_opts *opts,
                                             const ts_step_dev *steps, ts_err *err);
/* An engine without weights: ts_engine_opts.text_only. */
TS_NODISCARD ts_status ts_engine_open_text(ts_engine **out, const char *path, const ts_engine_opts *opts, ts_err *err);
void ts_engine_text_info(const ts_engine *e, ts_model_info *out, size_t out_size);

/* Use another number of threads from now on; there must be no session. For benchmarks. */
TS_NODISCARD ts_status ts_engine_use_threads(ts_engine *e, int n_threads, ts_err *err);

#endif
