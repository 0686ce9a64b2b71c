/* actstats.h - a listener: how large each input of each linear layer is, in the mean of squares, which is what an
 * importance matrix is made of. */
#ifndef TS_MODEL_ACTSTATS_H
#define TS_MODEL_ACTSTATS_H

#include "model/linear.h"

typedef struct ts_act_stats ts_act_stats;

typedef struct ts_act_stat {
    const char *name; /* of the layer's tensor, borrowed from the model */
    uint32_t n_in;
    uint64_t count;           /* of inputs */
    const double *sum_square; /* [n_in], over all of them in their order: the mean is this over count. Borrowed */
} ts_act_stat;

TS_NODISCARD ts_status ts_act_stats_new(ts_act_stats **out, ts_err *err);
void ts_act_stats_free(ts_act_stats *s); /* NULL-safe; must be out of the chain */
/* To be put into the chain; borrowed. */
ts_listener *ts_act_stats_listener(ts_act_stats *s);
/* Layers so far, in the order in which they first ran; layer i < n. Not while a pass runs. */
size_t ts_act_stats_n(const ts_act_stats *s);
ts_act_stat ts_act_stats_at(const ts_act_stats *s, size_t i);

#endif
