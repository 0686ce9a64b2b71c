/* Any bytes as a constraint, the first byte saying of which kind: it is refused, or random walks find no dead end, end
 * in texts that are accepted, and masks on the way allow exactly the tokens whose bytes go on. */
#include "base/rng.h"
#include "constrain/mask.h"
#include "constrain/sample.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOKENS = 300 };

static void need(bool kept) {
    if (!kept) abort();
}

/* All bytes, and pairs that go together in JSON and in words. */
static size_t token(uint32_t id, char out[8]) {
    static const char *const more[] = {"\",", "\": ", "{\"", "\"}", "]}", "ab", " a", "null", "10", "\\n", "\xC3\xA9",
                                       "\x9F\x99"};
    if (id < 256) {
        out[0] = (char)id;
        return 1;
    }
    const char *s = more[(id - 256) % 12];
    size_t n = strlen(s);
    memcpy(out, s, n);
    if (id >= 268) out[n++] = (char)('a' + id % 26);
    return n;
}

static bool bytes_of(void *ud, uint32_t id, ts_buf *out) {
    char text[8];
    (void)ud;
    const size_t n = token(id, text);
    return ts_buf_append(out, text, n);
}

static void masks(ts_automaton *a, const ts_trie *t, ts_rng *rng) {
    ts_place_id at = ts_automaton_start(a);
    ts_err err;
    for (int step = 0; step < 6; step++) {
        uint32_t allowed[TOKENS / 32 + 1], can[TOKENS], n = 0;
        bool any;
        if (ts_automaton_mask(a, t, at, false, allowed, &any, &err) != TS_OK) return;
        for (uint32_t id = 0; id < TOKENS; id++) {
            char text[8];
            ts_place_id to = at;
            const size_t len = token(id, text);
            if (ts_automaton_bytes(a, &to, text, len, &err) != TS_OK) return;
            need((to != TS_PLACE_NONE) == (allowed[id / 32] >> id % 32 & 1));
            if (to != TS_PLACE_NONE) can[n++] = id;
        }
        need(any == (n > 0) && (any || ts_automaton_accepts(a, at)));
        if (n == 0) return;
        char text[8];
        const size_t len = token(can[ts_rng_below(rng, n)], text);
        if (ts_automaton_bytes(a, &at, text, len, &err) != TS_OK) return;
        if (step == 3 && ts_automaton_collect(a, (ts_place_id *const[]){&at}, 1, &err) != TS_OK) abort();
    }
}

static void walk(ts_automaton *a, ts_rng *rng) {
    ts_buf text = {0};
    ts_err err;
    bool whole;
    const ts_status s = ts_automaton_sample(a, rng, 300, &text, &whole, &err);
    need(s == TS_OK || s == TS_E_LIMIT); /* a dead end is TS_E_FORMAT */
    if (s == TS_OK && whole) {
        ts_place_id at = ts_automaton_start(a);
        need(ts_automaton_bytes(a, &at, text.data, text.len, &err) == TS_OK);
        need(at != TS_PLACE_NONE && ts_automaton_accepts(a, at));
    }
    ts_buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const format[] = {"hermes", "llama3", "mistral", "mistral-args", "deepseek-r1", "deepseek-v3"};
    static const char *const choice[] = {"auto", "required", "none", "f"};
    static const char answer[] = "{\"anyOf\":[{\"enum\":[\"ab\",null]},{\"properties\":{\"name\":{\"type\":"
                                 "\"string\"}}}]}";
    static ts_trie *trie;
    ts_automaton *a;
    ts_err err;
    if (size == 0) return 0;
    if (!trie) need(ts_trie_new(&trie, TOKENS, bytes_of, NULL, &err) == TS_OK);
    const unsigned how = data[0];
    const ts_automaton_opts o = {.spec = {.kind = (ts_constraint_kind)(how & 3), .text = (const char *)data + 1,
                                          .len = size - 1, .tool_format = format[(how >> 2) % 6],
                                          .tool_choice = choice[(how >> 5) & 3], .exact = !(how >> 7),
                                          .thinking = how == 255,
                                          .answer = size % 2 ? answer : NULL, .answer_len = sizeof answer - 1}};
    const ts_status s = ts_automaton_new(&a, &o, &err);
    if (s != TS_OK) {
        need(s == TS_E_FORMAT || s == TS_E_UNSUPP || s == TS_E_LIMIT);
        need(strncmp(err.msg, "refused at ", 11) == 0 && strchr(err.msg + 11, ':'));
        return 0;
    }
    ts_rng rng = ts_rng_seed(size);
    for (int i = 0; i < 3; i++) walk(a, &rng);
    masks(a, trie, &rng);
    ts_automaton_free(a);
    return 0;
}
