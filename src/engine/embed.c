/* embed.c - what a text means, as a vector: hidden states behind the last norm, pooled. */
#include "engine/executor.h"
#include "engine/session.h"

#include <math.h>

/* Sums are taken in f64 in ascending order, so that they are the same everywhere. */
static void finish(double *sum, uint32_t d, double divide, bool unit, float *out) {
    double squares = 0;
    for (uint32_t i = 0; i < d; i++) sum[i] /= divide;
    for (uint32_t i = 0; i < d; i++) squares += sum[i] * sum[i];
    const double length = unit && squares > 0 ? sqrt(squares) : 1;
    for (uint32_t i = 0; i < d; i++) out[i] = (float)(sum[i] / length);
}

/* Hidden states of all pending tokens into sum: added up, or the last one's alone. */
static ts_status pool(ts_session *s, ts_pooling how, float *rows, double *sum, ts_err *err) {
    const uint32_t d = s->e->model->c.d_model;
    while (s->pending) {
        const size_t pos = s->n;
        TS_TRY(ts_executor_step(s->e, &s, 1, 0, rows, err));
        if (how == TS_POOLING_LAST && s->pending) continue;
        for (size_t t = how == TS_POOLING_LAST ? s->n - 1 - pos : 0; t < s->n - pos; t++)
            for (uint32_t i = 0; i < d; i++) sum[i] += (double)rows[t * d + i];
    }
    return TS_OK;
}

ts_status ts_session_embed(ts_session *s, const ts_token *tokens, size_t n, ts_pooling how, bool unit, float *out,
                           ts_err *err) {
    TS_NEED(s && out, err, "there is no session, or no room for the embedding");
    TS_NEED(how == TS_POOLING_MEAN || how == TS_POOLING_LAST, err, "there is no pooling %d", (int)how);
    const uint32_t d = s->e->model->c.d_model, most = s->e->executor.scratch.max_tok;
    const size_t rows_max = n < most ? n : most;
    double *sum = ts_calloc(d, sizeof *sum);
    float *rows = ts_alloc_aligned(rows_max * d, sizeof *rows);
    ts_status st = sum && rows ? TS_OK : ts_fail_nomem(err, "the hidden states", rows_max * d * sizeof *rows);
    if (st == TS_OK) st = ts_session_begin(s, tokens, n, err);
    if (st == TS_OK) {
        st = pool(s, how, rows, sum, err);
        ts_session_end(s);
    }
    if (st == TS_OK) finish(sum, d, how == TS_POOLING_MEAN ? (double)n : 1, unit, out);
    ts_free(sum);
    ts_free(rows);
    return st;
}
