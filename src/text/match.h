/* match.h - where a text spells one of many fixed strings, in time linear in the text whatever the strings are.
 *
 * Special tokens are looked for at every place of a text, and a place may agree with a long string up to its last
 * byte. Trying one place after the other would cost the length of the strings each time, so all places are tried at
 * once: an automaton (Aho and Corasick's) over the strings, read from the end, runs over the text from its end.
 * Behind every byte it knows the longest string that begins there. */
#ifndef TS_TEXT_MATCH_H
#define TS_TEXT_MATCH_H

#include "text/vocab.h"

/* The trie of the reversed strings, its nodes numbered by depth, so that a node's children are neighbours. Zeroed: no
 * strings. Read-only once made. */
typedef struct ts_matcher {
    uint32_t n;       /* nodes; 0: no strings */
    uint32_t *first;  /* [n + 1] children of node i: first[i] .. first[i + 1] */
    uint32_t *fail;   /* [n] the node of the longest proper suffix of what node i has read */
    ts_token *token;  /* [n] the longest string that ends here, -1: none */
    uint8_t *label;   /* [n] the byte that leads to the node */
    uint32_t top[256]; /* the root's children by byte; 0: none */
} ts_matcher;

/* Of the entries id[0..n), none of which is empty; of equal ones the lowest id counts. Errors: TS_E_NOMEM,
 * TS_E_LIMIT. */
TS_NODISCARD ts_status ts_matcher_init(ts_matcher *m, const ts_vocab *v, const ts_token *id, size_t n, ts_err *err);
void ts_matcher_free(ts_matcher *m);

/* The node behind `node` (0 at the end of the text) and the byte in front of what has been read. */
static inline uint32_t ts_matcher_step(const ts_matcher *m, uint32_t node, uint8_t byte) {
    for (; node; node = m->fail[node]) {
        uint32_t lo = m->first[node], hi = m->first[node + 1];
        while (lo < hi) {
            uint32_t mid = lo + (hi - lo) / 2;
            if (m->label[mid] < byte) lo = mid + 1;
            else hi = mid;
        }
        if (lo < m->first[node + 1] && m->label[lo] == byte) return lo;
    }
    return m->top[byte];
}

#endif
