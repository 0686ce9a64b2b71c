/* rx.h - regular languages over bytes as expressions that are equal where they are the same number.
 *
 * Expressions are hash-consed and kept in a normal form, and a state of an automaton is an expression: what may follow.
 * The next state is the derivative by a byte (Brzozowski 1964; Owens, Reppy and Turon 2009 on making it practical), so
 * intersection and complement cost nothing extra, counted repetition is never unrolled, and nothing is built that a
 * text does not visit. Depth is limited where expressions are made, so that recursion over them is. */
#ifndef TS_CONSTRAIN_RX_H
#define TS_CONSTRAIN_RX_H

#include "constrain/work.h"

typedef uint32_t ts_rx;
enum { TS_RX_NEVER = 0 /* no text */, TS_RX_EMPTY = 1 /* the empty text */, TS_RX_ANY = 2 /* any bytes at all */ };
#define TS_RX_INF UINT32_MAX

typedef struct ts_byteset {
    uint64_t w[4];
} ts_byteset;
static inline bool ts_byteset_has(const ts_byteset *s, unsigned b) { return s->w[b >> 6] >> (b & 63) & 1; }
static inline void ts_byteset_add(ts_byteset *s, unsigned b) { s->w[b >> 6] |= 1ull << (b & 63); }

typedef enum ts_rx_kind { RX_NEVER, RX_EMPTY, RX_SET, RX_CAT, RX_ALT, RX_AND, RX_NOT, RX_REP, RX_MOD } ts_rx_kind;

typedef struct ts_rx_node {
    uint8_t kind;
    bool nullable;  /* the empty text is in it */
    bool booleans;  /* has AND or NOT inside: whether it is empty has to be found out */
    bool finite;    /* surely finitely many texts */
    uint16_t depth; /* of recursion over it */
    /* SET: a the set; CAT: a, then b; ALT, AND: list[a .. a + b]; NOT: a; REP: a, b to c times (c TS_RX_INF: no
     * bound); MOD: a decimal number that is a multiple of a / 10^c: b the rest so far, d digits behind the point + 1,
     * 0 before it */
    uint32_t a, b, c, d;
} ts_rx_node;

typedef struct ts_rxs { /* zero-initialise, then ts_rxs_init */
    ts_work *work;
    ts_rx_node *node;
    size_t n, cap;
    ts_byteset *set;
    size_t n_sets, sets_cap;
    uint32_t *list;
    size_t n_list, list_cap;
    uint32_t *slot; /* hash table of nodes: number + 1, 0: empty */
    size_t slots;
    uint32_t *set_slot;
    size_t set_slots;
    ts_rx *tmp; /* a stack of arguments */
    size_t n_tmp, tmp_cap;
    struct ts_rx_memo *memo;
} ts_rxs;

bool ts_rxs_init(ts_rxs *p, ts_work *work);
void ts_rxs_free(ts_rxs *p);

ts_rx ts_rx_set(ts_rxs *p, const ts_byteset *s);
ts_rx ts_rx_range(ts_rxs *p, unsigned first, unsigned last);
ts_rx ts_rx_cat(ts_rxs *p, ts_rx a, ts_rx b);
ts_rx ts_rx_alt(ts_rxs *p, ts_rx a, ts_rx b);
ts_rx ts_rx_and(ts_rxs *p, ts_rx a, ts_rx b);
ts_rx ts_rx_not(ts_rxs *p, ts_rx a);
ts_rx ts_rx_rep(ts_rxs *p, ts_rx a, uint32_t min, uint32_t max);
ts_rx ts_rx_mod(ts_rxs *p, uint32_t m, uint32_t rest, uint32_t decimals, uint32_t behind);
ts_rx ts_rx_text(ts_rxs *p, const void *text, size_t len);
/* Many at once: push them, then take all behind `mark` (p->n_tmp before the first push). */
void ts_rx_push(ts_rxs *p, ts_rx e);
ts_rx ts_rx_alt_from(ts_rxs *p, size_t mark);
/* e without the empty text. */
ts_rx ts_rx_nonempty(ts_rxs *p, ts_rx e);
/* One of n texts; sorted and made unique in place. */
typedef struct ts_rx_word {
    const uint8_t *text;
    size_t len;
} ts_rx_word;
ts_rx ts_rx_words(ts_rxs *p, ts_rx_word *word, size_t n);

static inline const ts_rx_node *ts_rx_at(const ts_rxs *p, ts_rx e) { return &p->node[e]; }
static inline bool ts_rx_nullable(const ts_rxs *p, ts_rx e) { return p->node[e].nullable; }

/* What may follow behind byte b. */
ts_rx ts_rx_deriv(ts_rxs *p, ts_rx e, uint8_t b);
/* class[b]: bytes of equal number have equal derivatives. Returns how many classes there are. */
unsigned ts_rx_classes(ts_rxs *p, ts_rx e, uint8_t class[static 256]);

#endif
