/* calibrate.h - importance matrices from a model and a text. */
#ifndef TS_QUANT_CALIBRATE_H
#define TS_QUANT_CALIBRATE_H

#include "format/imatrix.h"
#include "tessera/tessera.h"

typedef struct ts_calibrate_opts {
    uint32_t chunk;           /* tokens of a piece, BOS included; 0: 512, or what the model was trained with, if less */
    uint32_t max_chunks;      /* 0: all of the text */
    bool head;                /* the head's input, too */
    const char *dataset;      /* what the text is called in the file */
    ts_progress_fn *progress; /* in tokens; false stops. NULL: nobody */
    void *progress_ud;
} ts_calibrate_opts;

/* The text in pieces, each on an empty timeline behind BOS where the model has one, through the engine as it is; a last
 * piece of fewer than 16 tokens is left out unless it is the only one. The sums do not depend on threads or processor.
 * Errors: TS_E_INVAL where the text has no token or a piece does not fit the model, those of passes, TS_E_CANCELLED. */
TS_NODISCARD ts_status ts_calibrate(ts_engine *e, const char *text, size_t len, const ts_calibrate_opts *o,
                                    ts_imatrix **out, ts_err *err);

#endif
