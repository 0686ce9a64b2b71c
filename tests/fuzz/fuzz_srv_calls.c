/* Any bytes as an answer, in any form: however they are cut, the parts are the same, and nothing is said that was not
 * in the text. The first byte says the form and what is looked for, the second how the rest is cut. */
#include "support/parts.h"

#include "base/rng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t some(void *ud) { return 1 + (size_t)ts_rng_below(ud, 9); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const char *text = (const char *)data + 2;
    const size_t len = size - 2;
    srv_parser p = {.form = (srv_calls)((data[0] & 7) % (SRV_CALLS_DEEPSEEK_V3 + 1)),
                    .calls = data[0] & 8,
                    .thinks = data[0] & 16};
    if ((data[0] & 48) == 48) p.state = SRV_IN_THINKING;
    ts_rng rng = ts_rng_seed(data[1]);
    parts whole = {0}, cut = {0};
    if (!parts_of(&whole, p, text, len, NULL, NULL) || !parts_of(&cut, p, text, len, some, &rng)) abort();
    if (whole.text.len != cut.text.len || (whole.text.len && memcmp(whole.text.data, cut.text.data, cut.text.len)))
        abort();
    if (!p.calls && !p.thinks && len > 0) /* then it is all text */
        if (whole.text.len != len + 3 || memcmp(whole.text.data + 2, text, len) != 0) abort();
    ts_buf_free(&whole.text);
    ts_buf_free(&cut.text);
    return 0;
}
