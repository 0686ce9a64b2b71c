/* sample.c - texts of an automaton by a random walk: to see what it allows, and for tests. */
#include "constrain/sample.h"
#include "constrain/front.h"

#include <string.h>

/* The bytes that may come, in kinds: a walk chooses the kind first, so that of a string's hundred letters each has its
 * share beside the one quote that ends it. */
enum { KIND_CLOSE, KIND_PUNCTUATION, KIND_WORD, KIND_OTHER, KINDS };

static int kind_of(uint8_t b) {
    if (strchr("\"]}", b) && b) return KIND_CLOSE;
    if ((b | 32) - 'a' >= 0 && (b | 32) <= 'z') return KIND_WORD;
    if (b >= '0' && b <= '9') return KIND_WORD;
    return b > 0x20 && b < 0x7F ? KIND_PUNCTUATION : KIND_OTHER;
}

static bool choose(ts_machine *m, uint32_t place, ts_rng *rng, bool home, uint8_t *out, uint32_t *to) {
    uint8_t can[KINDS][256];
    unsigned n[KINDS] = {0}, kinds = 0;
    for (unsigned b = 0; b < 256; b++)
        if (ts_machine_next(m, place, (uint8_t)b)) {
            const int k = kind_of((uint8_t)b);
            can[k][n[k]++] = (uint8_t)b;
        }
    for (int k = 0; k < KINDS; k++) kinds += n[k] != 0;
    if (kinds == 0) return false;
    uint64_t pick = home && n[KIND_CLOSE] ? 0 : ts_rng_below(rng, kinds);
    int k = 0;
    while (n[k] == 0 || pick-- > 0) k++;
    *out = can[k][ts_rng_below(rng, n[k])];
    *to = ts_machine_next(m, place, *out);
    return true;
}

ts_status ts_automaton_sample(ts_automaton *a, ts_rng *rng, size_t longest, ts_buf *out, bool *whole, ts_err *err) {
    uint32_t at = a->start;
    const size_t from = out->len;
    *whole = false;
    for (;;) {
        uint8_t b;
        const size_t n = out->len - from;
        a->work.fuel = 8 << 20;
        if (ts_machine_accepts(&a->machine, at) && (n > longest / 2 || ts_rng_below(rng, 3) == 0)) break;
        if (n >= longest) return ts_automaton_status(a, err);
        if (!choose(&a->machine, at, rng, n > longest / 8, &b, &at)) {
            TS_TRY(ts_automaton_status(a, err));
            if (ts_machine_accepts(&a->machine, at)) break;
            return ts_fail(err, TS_E_FORMAT, "a dead end behind %zu bytes", n);
        }
        if (!ts_buf_putc(out, (char)b)) return ts_fail_nomem(err, "a text", out->len);
    }
    *whole = true;
    return ts_automaton_status(a, err);
}
