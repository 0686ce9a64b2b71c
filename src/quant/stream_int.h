/* stream_int.h - between stream.c, which writes tensors in their order, and stream_layers.c, layers by calibration. */
#ifndef TS_QUANT_STREAM_INT_H
#define TS_QUANT_STREAM_INT_H

#include "base/outfile.h"
#include "base/pool.h"
#include "kern/kern.h"
#include "quant/stream.h"
#include "quant/watch.h"

typedef struct ts_quant_run_state {
    ts_quant_plan *p;
    const ts_quant_in *in;
    const ts_quant_run_opts *o;
    ts_pool *pool;
    ts_kern kern;
    ts_outfile file;
    char *state_path;
    uint64_t key; /* of all that decides what is written */
    ts_watch watch;
    uint64_t saved_ns;
    size_t n_saved; /* tensors that DST.state has */
    bool begun;     /* what was in DST.partial is, or is about to be, written over */
} ts_quant_run_state;

/* What a tensor costs, in units of the watch. */
uint64_t ts_quant_cost(const ts_quant_item *it);
/* An element that is finite in the source, and not in its type: TS_E_FORMAT. */
TS_NODISCARD ts_status ts_quant_too_large(const ts_quant_run_state *r, const ts_quant_item *it, uint64_t element,
                                          ts_err *err);
/* What was in DST.partial is written over from here on: with `anew` all of it, so that nothing may say any more that
 * parts of it are whole. */
TS_NODISCARD ts_status ts_quant_begin(ts_quant_run_state *r, bool anew, ts_err *err);
/* Is there room for the file, and for so many bytes beside it? TS_E_IO. */
TS_NODISCARD ts_status ts_quant_check_room(const ts_quant_run_state *r, uint64_t beside, ts_err *err);
/* Write a tensor where the file stands. */
TS_NODISCARD ts_status ts_quant_write_item(ts_quant_run_state *r, ts_quant_item *it, ts_err *err);
/* The whole file by o->token; `had` bytes of an earlier run are there. */
TS_NODISCARD ts_status ts_quant_write_layers(ts_quant_run_state *r, uint64_t had, ts_quant_done *done, ts_err *err);

#endif
