#include "quant/calibrate.h"

#include "engine/engine.h"
#include "model/actstats.h"

#include <string.h>

enum { CHUNK = 512, SHORTEST = 16 };

typedef struct pieces {
    const ts_token *token;
    size_t n, bos;       /* bos: how many tokens stand before each piece, the first of `token` */
    size_t each;         /* tokens of the text in a piece */
    size_t count, whole; /* pieces; tokens of all, BOS included */
} pieces;

static void cut(pieces *p, uint32_t chunk, uint32_t max_chunks) {
    const size_t text = p->n - p->bos;
    p->each = chunk - p->bos;
    p->count = text / p->each;
    const size_t rest = text % p->each;
    if (rest + p->bos >= SHORTEST || !p->count) p->count += rest > 0;
    if (max_chunks && p->count > max_chunks) p->count = max_chunks;
    p->whole = p->count * p->each < text ? p->count * p->each : text;
    p->whole += p->count * p->bos;
}

typedef struct watch {
    const ts_calibrate_opts *o;
    size_t before, whole;
} watch;

static bool on_progress(void *ud, uint64_t done, uint64_t all) {
    (void)all;
    const watch *w = ud;
    return !w->o->progress || w->o->progress(w->o->progress_ud, w->before + done, w->whole);
}

static bool on_logits(void *ud, size_t pos, const float *logits) {
    (void)ud, (void)pos, (void)logits;
    return true;
}

static ts_status run_pieces(ts_engine *e, const pieces *p, uint32_t chunk, const ts_calibrate_opts *o, ts_err *err) {
    ts_session *s = NULL;
    watch w = {.o = o, .whole = p->whole};
    TS_TRY(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = chunk, .progress = on_progress, .progress_ud = &w}, err));
    ts_model_info info;
    ts_engine_info(e, &info);
    ts_token *piece = ts_alloc(chunk, sizeof *piece);
    float *mean = ts_alloc(info.d_model, sizeof *mean);
    ts_status st = piece && mean ? TS_OK : ts_fail_nomem(err, "a piece of the text", chunk * sizeof *piece);
    for (size_t k = 0; k < p->count && st == TS_OK; k++) {
        const size_t at = p->bos + k * p->each, n = p->n - at < p->each ? p->n - at : p->each;
        memcpy(piece, p->token, p->bos * sizeof *piece);
        memcpy(piece + p->bos, p->token + at, n * sizeof *piece);
        /* both begin with an empty timeline; an embedding leaves the head out */
        st = o->head ? ts_session_score(s, piece, p->bos + n, on_logits, NULL, err)
                     : ts_session_embed(s, piece, p->bos + n, TS_POOLING_MEAN, false, mean, err);
        w.before += p->bos + n;
        if (st == TS_OK && o->progress && !o->progress(o->progress_ud, w.before, w.whole))
            st = ts_fail(err, TS_E_CANCELLED, "stopped after %zu of %zu tokens", w.before, w.whole);
    }
    ts_free(piece);
    ts_free(mean);
    ts_session_free(s);
    return st;
}

static ts_status matrix_of(const ts_act_stats *stats, const pieces *p, uint32_t chunk, const ts_calibrate_opts *o,
                           ts_imatrix **out, ts_err *err) {
    ts_imatrix *m = NULL;
    TS_TRY(ts_imatrix_new(&m, o->dataset ? o->dataset : "", (uint32_t)p->count, chunk, err));
    ts_status s = TS_OK;
    for (size_t i = 0; i < ts_act_stats_n(stats) && s == TS_OK; i++) {
        const ts_act_stat t = ts_act_stats_at(stats, i);
        s = ts_imatrix_add(m, t.name, t.n_in, t.count, t.sum_square, err);
    }
    if (s == TS_OK) *out = m;
    else ts_imatrix_free(m);
    return s;
}

/* Tokens of the text; p->bos: is there a BOS in front? */
static ts_status tokenize(const ts_engine *e, const char *text, size_t len, pieces *p, ts_token **token, ts_err *err) {
    ts_token *first = NULL;
    TS_TRY(ts_engine_tokenize(e, "", 0, TS_TOKENIZE_BOS, &first, &p->bos, err));
    ts_tokens_release(first);
    if (p->bos > 1) p->bos = 1;
    TS_TRY(ts_engine_tokenize(e, text, len, TS_TOKENIZE_BOS, token, &p->n, err));
    p->token = *token;
    if (p->n > p->bos) return TS_OK;
    ts_tokens_release(*token);
    return ts_fail(err, TS_E_INVAL, "the text has no tokens");
}

ts_status ts_calibrate(ts_engine *e, const char *text, size_t len, const ts_calibrate_opts *o, ts_imatrix **out,
                       ts_err *err) {
    ts_model_info info;
    ts_engine_info(e, &info);
    uint32_t chunk = o->chunk ? o->chunk : CHUNK;
    if (!o->chunk && info.n_ctx_train && info.n_ctx_train < chunk) chunk = info.n_ctx_train;
    if (chunk < 2) return ts_fail(err, TS_E_INVAL, "pieces of %u tokens are too short", chunk);
    pieces p = {0};
    ts_token *token = NULL;
    TS_TRY(tokenize(e, text, len, &p, &token, err));
    cut(&p, chunk, o->max_chunks);
    ts_act_stats *stats = NULL;
    ts_status s = ts_act_stats_new(&stats, err);
    if (s == TS_OK) {
        ts_engine_listen(e, ts_act_stats_listener(stats));
        s = run_pieces(e, &p, chunk, o, err);
        ts_engine_unlisten(e, ts_act_stats_listener(stats));
    }
    if (s == TS_OK) s = matrix_of(stats, &p, chunk, o, out, err);
    ts_act_stats_free(stats);
    ts_tokens_release(token);
    return s;
}
