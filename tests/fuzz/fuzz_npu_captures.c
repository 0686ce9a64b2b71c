/* Any bytes as a file of captured results: read it, and replay what there is of it. */
#include "cli/npu_captures.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ts_err err;
    npu_captures cs = {0};
    if (npu_captures_parse(&cs, (const char *)data, len, "input", &err) == TS_OK && cs.n <= 8)
        (void)!npu_captures_replay(&cs, "input", &err);
    npu_captures_free(&cs);
    return 0;
}
