/* npu_captures.h - files of captured silicon results, a JSON object a line (`tessera npu replay`). */
#ifndef TS_CLI_NPU_CAPTURES_H
#define TS_CLI_NPU_CAPTURES_H

#include "aie2/replay.h"
#include "base/arena.h"

typedef struct npu_capture {
    ts_aie2_capture c;
    long batch, index;
    ts_aie2_insn insn;
    const char *name;
    int initialised; /* 1: every source is loaded in the test, 0: some are not, -1: not told */
    size_t line;
} npu_capture;

typedef struct npu_captures {
    npu_capture *r;
    size_t n, cap;
    ts_arena arena;
} npu_captures;

/* Add the records of a text to an empty or filled *cs. `name` is what messages call the text. On an error *cs holds
 * those before the bad line. Errors: TS_E_FORMAT with name and line, or where there is no record at all; TS_E_NOMEM. */
TS_NODISCARD ts_status npu_captures_parse(npu_captures *cs, const char *text, size_t len, const char *name,
                                          ts_err *err);
/* Replay all, batch by batch (records of a batch stand together). Errors: as ts_aie2_replay, with the batch. */
TS_NODISCARD ts_status npu_captures_replay(npu_captures *cs, const char *name, ts_err *err);
void npu_captures_free(npu_captures *cs);

#endif
