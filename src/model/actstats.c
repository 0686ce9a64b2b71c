#include "model/actstats.h"

struct ts_act_stats {
    struct entry {
        const ts_linear *layer;
        uint64_t count;
        double *sum;
    } *entry;
    size_t n, cap, at; /* at: where the search begins; layers come again in the same order */
    ts_listener listener;
};

static ts_status find(ts_act_stats *s, const ts_linear *l, struct entry **out, ts_err *err) {
    for (size_t i = 0; i < s->n; i++) {
        const size_t k = (s->at + i) % s->n;
        if (s->entry[k].layer != l) continue;
        s->at = k + 1;
        *out = &s->entry[k];
        return TS_OK;
    }
    double *sum = ts_calloc(l->n_in, sizeof *sum);
    if (!sum || !ts_grow((void **)&s->entry, &s->cap, s->n + 1, sizeof *s->entry)) {
        ts_free(sum);
        return ts_fail_nomem(err, "statistics of activations", l->n_in * sizeof *sum);
    }
    s->entry[s->n] = (struct entry){.layer = l, .sum = sum};
    *out = &s->entry[s->n++];
    s->at = s->n;
    return TS_OK;
}

static ts_status on_input(void *ud, const ts_linear *const *layer, int n, const float *x, size_t ld_x, uint32_t n_tok,
                          ts_err *err) {
    for (int i = 0; i < n; i++) {
        struct entry *e = NULL;
        TS_TRY(find(ud, layer[i], &e, err));
        for (uint32_t t = 0; t < n_tok; t++)
            for (uint32_t k = 0; k < layer[i]->n_in; k++)
                e->sum[k] += (double)x[t * ld_x + k] * (double)x[t * ld_x + k];
        e->count += n_tok;
    }
    return TS_OK;
}

ts_status ts_act_stats_new(ts_act_stats **out, ts_err *err) {
    ts_act_stats *s = ts_calloc(1, sizeof *s);
    if (!s) return ts_fail_nomem(err, "statistics of activations", sizeof *s);
    s->listener = (ts_listener){.ud = s, .input = on_input};
    *out = s;
    return TS_OK;
}

void ts_act_stats_free(ts_act_stats *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) ts_free(s->entry[i].sum);
    ts_free(s->entry);
    ts_free(s);
}

ts_listener *ts_act_stats_listener(ts_act_stats *s) {
    return &s->listener;
}

size_t ts_act_stats_n(const ts_act_stats *s) {
    return s->n;
}

ts_act_stat ts_act_stats_at(const ts_act_stats *s, size_t i) {
    const struct entry *e = &s->entry[i];
    return (ts_act_stat){.name = e->layer->name, .n_in = e->layer->n_in, .count = e->count, .sum_square = e->sum};
}
