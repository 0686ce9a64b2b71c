/* pass.h - one forward pass over a batch of tokens, on whatever runs the model's steps. */
#ifndef TS_MODEL_PASS_H
#define TS_MODEL_PASS_H

#include "model/step.h"

/* Memory of passes on m->steps. */
TS_NODISCARD ts_status ts_scratch_init(ts_scratch *s, const ts_model *m, uint32_t max_tok, int n_threads, ts_err *err);
void ts_scratch_fini(ts_scratch *s);

/* Run the layers: stores keys and values, leaves the residual stream of every token in `s`. TS_E_CANCELLED when
 * asked to stop, TS_E_DEVICE; TS_E_FORMAT where a value is not finite any more, TS_E_UNSUPP where a key or value is
 * too large for an F16 cache, both with layer and position, and s->culprit says whose. (The KV caches then hold entries
 * of these positions that must not be used; the pass may be run again without that span.) */
TS_NODISCARD ts_status ts_forward(const ts_model *m, ts_exec ex, ts_scratch *s, const ts_batch *b, ts_err *err);
/* Logits of n <= max_tok rows of the last pass: out f32 [n, n_vocab], finite. The residual stream stays as it is.
 * Errors: those of a device; TS_E_FORMAT: they would not be finite. */
TS_NODISCARD ts_status ts_forward_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n,
                                         float *out, ts_err *err);
/* The same in two steps: what the output layer is given, the residual stream after the last norm, out f32 [n,
 * d_model]; and, whenever that is wanted, the logits that it makes of it. */
TS_NODISCARD ts_status ts_forward_hidden(const ts_model *m, ts_exec ex, ts_scratch *s, const uint32_t *row, uint32_t n,
                                         float *out, ts_err *err);
TS_NODISCARD ts_status ts_hidden_logits(const ts_model *m, ts_exec ex, ts_scratch *s, const float *hidden, uint32_t n,
                                        float *out, ts_err *err);

#endif
