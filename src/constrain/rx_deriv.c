/* rx_deriv.c - what may follow behind a byte, and which bytes make no difference. */
#include "constrain/rx_memo.h"

#include <string.h>

/* A decimal number goes on. */
static ts_rx mod_step(ts_rxs *p, const ts_rx_node *n, uint8_t b) {
    if (b == '-' && n->d == 0 && n->b == 0) return ts_rx_mod(p, n->a, 0, n->c, 0);
    if (b == '.') return n->d == 0 && n->c > 0 ? ts_rx_mod(p, n->a, n->b, n->c, 1) : TS_RX_NEVER;
    if (b < '0' || b > '9' || n->d > n->c) return TS_RX_NEVER;
    const uint32_t rest = (uint32_t)(((uint64_t)n->b * 10 + (b - '0')) % n->a);
    return ts_rx_mod(p, n->a, rest, n->c, n->d ? n->d + 1 : 0);
}

static ts_rx step(ts_rxs *p, const ts_rx_node n, uint8_t b) {
    switch (n.kind) {
    case RX_SET: return ts_byteset_has(&p->set[n.a], b) ? TS_RX_EMPTY : TS_RX_NEVER;
    case RX_NOT: return ts_rx_not(p, ts_rx_deriv(p, n.a, b));
    case RX_MOD: return mod_step(p, &n, b);
    case RX_REP: {
        const ts_rx rest = ts_rx_rep(p, n.a, n.b ? n.b - 1 : 0, n.c == TS_RX_INF ? TS_RX_INF : n.c - 1);
        return ts_rx_cat(p, ts_rx_deriv(p, n.a, b), rest);
    }
    case RX_ALT: {
        const size_t mark = p->n_tmp;
        for (uint32_t i = 0; i < n.b && p->work->bad == TS_OK; i++) {
            const ts_rx d = ts_rx_deriv(p, p->list[n.a + i], b);
            if (d != TS_RX_NEVER) ts_rx_push(p, d);
        }
        return ts_rx_alt_from(p, mark);
    }
    case RX_AND: {
        ts_rx r = TS_RX_ANY;
        for (uint32_t i = 0; i < n.b && r != TS_RX_NEVER; i++)
            r = ts_rx_and(p, r, ts_rx_deriv(p, p->list[n.a + i], b));
        return r;
    }
    default: return TS_RX_NEVER;
    }
}

ts_rx ts_rx_deriv(ts_rxs *p, ts_rx e, uint8_t b) {
    if (e <= TS_RX_EMPTY || !ts_work_pay(p->work, 1)) return TS_RX_NEVER;
    if (e == TS_RX_ANY) return e;
    ts_rx_memo *m = &p->memo[(e * 31u + b) % RX_MEMO];
    if (m->of == e && m->byte == b) return m->is;
    const size_t mark = p->n_tmp;
    ts_rx at = e;
    bool rest = false; /* what is behind a part may follow, and so may what is behind a later one that can be empty */
    while (p->node[at].kind == RX_CAT) { /* down the sequence, as long as its parts can be empty */
        const ts_rx_node n = p->node[at];
        const ts_rx d = ts_rx_deriv(p, n.a, b);
        if (d != TS_RX_EMPTY || !rest || !p->node[n.a].nullable) ts_rx_push(p, ts_rx_cat(p, d, n.b));
        rest |= d == TS_RX_EMPTY;
        at = p->node[n.a].nullable ? n.b : TS_RX_NEVER;
        if (!ts_work_pay(p->work, 1)) break;
    }
    ts_rx_push(p, step(p, p->node[at], b));
    const ts_rx r = ts_rx_alt_from(p, mark);
    *m = (ts_rx_memo){.of = e, .is = r, .byte = b};
    return r;
}

static void split_by(uint8_t class[static 256], unsigned *n, const ts_byteset *s) {
    uint16_t to[256];
    memset(to, 0xff, sizeof to);
    unsigned out[256] = {0};
    for (unsigned b = 0; b < 256; b++) out[class[b]] += !ts_byteset_has(s, b);
    for (unsigned b = 0; b < 256; b++) {
        if (!ts_byteset_has(s, b) || !out[class[b]]) continue;
        if (to[class[b]] == UINT16_MAX) to[class[b]] = (uint16_t)(*n)++;
    }
    for (unsigned b = 0; b < 256; b++)
        if (ts_byteset_has(s, b) && to[class[b]] != UINT16_MAX) class[b] = (uint8_t)to[class[b]];
}

/* The sets that can read the next byte. */
static void heads(ts_rxs *p, ts_rx e, uint64_t *seen, uint8_t class[static 256], unsigned *n) {
    while (ts_work_pay(p->work, 1)) {
        const ts_rx_node x = p->node[e];
        switch (x.kind) {
        case RX_SET:
            if (x.a < 4096) {
                if (seen[x.a >> 6] >> (x.a & 63) & 1) return;
                seen[x.a >> 6] |= 1ull << (x.a & 63);
            }
            split_by(class, n, &p->set[x.a]);
            return;
        case RX_MOD:
            for (unsigned b = '0'; b <= '9'; b++) {
                ts_byteset s = {0};
                ts_byteset_add(&s, b);
                split_by(class, n, &s);
            }
            for (const char *c = "-."; *c; c++) {
                ts_byteset s = {0};
                ts_byteset_add(&s, (unsigned char)*c);
                split_by(class, n, &s);
            }
            return;
        case RX_CAT:
            heads(p, x.a, seen, class, n);
            if (!p->node[x.a].nullable) return;
            e = x.b;
            continue;
        case RX_NOT:
        case RX_REP: e = x.a; continue;
        case RX_ALT:
        case RX_AND:
            for (uint32_t i = 0; i < x.b; i++) heads(p, p->list[x.a + i], seen, class, n);
            return;
        default: return;
        }
    }
}

unsigned ts_rx_classes(ts_rxs *p, ts_rx e, uint8_t class[static 256]) {
    uint64_t seen[64] = {0};
    unsigned n = 1;
    memset(class, 0, 256);
    heads(p, e, seen, class, &n);
    return n;
}
