/* session_fork.c - a second timeline from the same beginning, and a shorter one. */
#include "engine/session.h"

#include <string.h>

ts_status ts_session_fork(ts_session **out, const ts_session *src, ts_err *err) {
    TS_NEED(out && src, err, "ts_session_fork: there is no session");
    const ts_session_opts o = {.n_ctx = src->n_ctx, .kv = src->kv.type, .progress = src->progress,
                               .progress_ud = src->progress_ud};
    ts_session *s;
    TS_TRY(ts_session_make(&s, src->e, &o, err));
    ts_kv_share(&s->kv, &src->kv, (uint32_t)src->n);
    memcpy(s->token, src->token, (src->n + src->pending) * sizeof *s->token);
    s->n = src->n;
    s->pending = src->pending;
    s->run = src->run;
    s->has_logits = src->has_logits;
    if (src->has_logits) memcpy(s->logits, src->logits, src->e->model->c.n_vocab * sizeof *s->logits);
    *out = s;
    return TS_OK;
}

ts_status ts_session_truncate(ts_session *s, size_t n, ts_err *err) {
    TS_NEED(s, err, "ts_session_truncate: there is no session");
    TS_NEED(n <= s->n, err, "a timeline of %zu tokens cannot be cut to %zu", s->n, n);
    if (n < s->n) s->has_logits = false;
    s->n = n;
    s->pending = s->run = 0;
    s->failed.code = TS_OK;
    ts_kv_keep(&s->kv, (uint32_t)n);
    return TS_OK;
}
