/* engine.h - what the engine's own files know about each other. Depends on: model, text, tessera.h. */
#ifndef TS_ENGINE_ENGINE_H
#define TS_ENGINE_ENGINE_H

#include "base/pool.h"
#include "engine/accel.h"
#include "format/gguf.h"
#include "model/pass.h"
#include "tessera/tessera.h"
#include "text/prompt.h"

struct ts_engine {
    ts_gguf *file;
    ts_pool *pool; /* one session computes at a time */
    ts_kern kern;
    ts_model *model;
    ts_kv_pool *kv_pool; /* the pages of all sessions' KV caches */
    ts_accel *accel; /* NULL: everything on the CPU, without a ledger */
    ts_tokenizer *tok;
    ts_templates *templates;
    uint64_t load_ns;
};

/* Tokens of a prompt that go through the layers together. Large enough that weights are read rarely, small enough that
 * their activations stay in the caches. */
enum { TS_PASS_TOKENS = 256, TS_PASS_TOKENS_DEVICE = 32 /* progress and Ctrl-C are asked for between layers */ };

static inline ts_exec ts_engine_exec(const ts_engine *e) {
    return (ts_exec){.pool = e->pool, .kern = &e->kern, .hook = ts_accel_hook(e->accel)};
}

/* Use another number of threads from now on; there must be no session. For benchmarks. */
TS_NODISCARD ts_status ts_engine_use_threads(ts_engine *e, int n_threads, ts_err *err);

#endif
