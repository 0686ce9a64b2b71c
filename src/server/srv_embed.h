/* srv_embed.h - vectors of texts, for all APIs that give some. */
#ifndef TS_SERVER_SRV_EMBED_H
#define TS_SERVER_SRV_EMBED_H

#include "server/fields.h"
#include "server/models.h"

/* The vector of input number i, f32 [n] of unit length. false: no memory. */
typedef bool srv_vector_fn(void *ud, size_t i, const float *v, uint32_t n);

/* The vectors of `input`, one after the other, in the worker's own thread: a text, a list of texts, a list of tokens,
 * or a list of such lists; the mean over a text's positions. *n_tokens: of all of them. Stops where the client has
 * left. false: *e says why not: empty, not of these forms, longer than the context. */
bool srv_embed(srv_job *job, srv_model *model, const ts_jval *input, srv_vector_fn *fn, void *ud, size_t *n_tokens,
               srv_error *e);

#endif
