/* replay.h - run captured instructions in the model and compare with what silicon gave.
 *
 * Captures come in batches: all tests of a batch ran in one program, one after another on one register state that is
 * unknown at the start. The unknown is handled by running a batch in several worlds that differ in every bit that the
 * captures do not fix: registers, memory around the buffers, their addresses. A result byte that is the same in all
 * worlds is defined. What a capture shows of an unknown value is taken over: a register that is stored becomes known,
 * and a world that contradicts a capture is dropped while others agree. */
#ifndef TS_AIE2_REPLAY_H
#define TS_AIE2_REPLAY_H

#include "aie2/core.h"

typedef enum ts_aie2_verdict {
    TS_REPLAY_EQUAL,
    TS_REPLAY_DIFFERENT,
    TS_REPLAY_NOT_MODELLED, /* the model does not know an instruction, or the mode it is asked for */
    TS_REPLAY_UNDEFINED,    /* the result depends on state that the captures do not tell */
    TS_REPLAY_VERDICTS,
} ts_aie2_verdict;

typedef struct ts_aie2_capture {
    const uint8_t *code;
    size_t code_len;
    const uint8_t *in, *out;
    size_t in_len, out_len;
    uint32_t in_offset, out_offset; /* in the buffers of the batch */
    /* filled by the replay */
    ts_aie2_verdict verdict;
    uint8_t *got; /* caller's storage of out_len bytes: the model's result, of the first world */
    uint8_t *known; /* the same size: 1 where the byte is defined; or NULL */
    char why[200]; /* for TS_REPLAY_NOT_MODELLED */
} ts_aie2_capture;

/* Replay a batch in order. Errors: TS_E_NOMEM; TS_E_FORMAT when the code does not decode, or does not fit. */
TS_NODISCARD ts_status ts_aie2_replay(ts_aie2_capture *captures, size_t n, ts_err *err);

#endif
