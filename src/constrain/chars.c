/* chars.c - sets of characters as bytes. */
#include "constrain/chars.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ts_chars_add(ts_chars *c, ts_work *w, uint32_t first, uint32_t last) {
    if (!ts_work_pay(w, 1) || !ts_work_grow(w, (void **)&c->range, &c->cap, c->n + 2, sizeof *c->range)) return false;
    if (first < 0xD800 && last > 0xDFFF) {
        c->range[c->n++] = (ts_char_range){first, 0xD7FF};
        c->range[c->n++] = (ts_char_range){0xE000, last};
        return true;
    }
    if (first >= 0xD800 && first <= 0xDFFF) first = 0xE000;
    if (last >= 0xD800 && last <= 0xDFFF) last = 0xD7FF;
    if (first <= last) c->range[c->n++] = (ts_char_range){first, last};
    return true;
}

static int by_first(const void *x, const void *y) {
    const ts_char_range *a = x, *b = y;
    return a->first < b->first ? -1 : a->first > b->first;
}

void ts_chars_sort(ts_chars *c) {
    if (c->n < 2) return;
    qsort(c->range, c->n, sizeof *c->range, by_first);
    size_t k = 0;
    for (size_t i = 1; i < c->n; i++) {
        ts_char_range *last = &c->range[k], r = c->range[i];
        if (r.first <= last->last + 1) last->last = r.last > last->last ? r.last : last->last;
        else c->range[++k] = r;
    }
    c->n = k + 1;
}

bool ts_chars_add_all_but(ts_chars *c, ts_work *w, ts_chars *but) {
    ts_chars_sort(but);
    uint32_t at = 0;
    for (size_t i = 0; i < but->n; i++) {
        if (but->range[i].first > at && !ts_chars_add(c, w, at, but->range[i].first - 1)) return false;
        at = but->range[i].last + 1;
    }
    return at > 0x10FFFF || ts_chars_add(c, w, at, 0x10FFFF);
}

void ts_chars_free(ts_chars *c) {
    ts_free(c->range);
    *c = (ts_chars){0};
}

/* What follows first bytes, and which these are: characters that differ in the first byte alone share an entry. */
typedef struct heads {
    struct head {
        ts_rx tail;
        ts_byteset first;
    } *head;
    size_t n, cap;
} heads;

static void add_head(ts_rxs *p, heads *h, unsigned first, unsigned last, ts_rx tail) {
    size_t i = 0;
    while (i < h->n && h->head[i].tail != tail) i++;
    if (i == h->n) {
        if (!ts_work_grow(p->work, (void **)&h->head, &h->cap, h->n + 1, sizeof *h->head)) return;
        h->head[h->n++] = (struct head){.tail = tail};
    }
    for (unsigned b = first; b <= last; b++) ts_byteset_add(&h->head[i].first, b);
}

/* Characters first..last, cut until the bytes of both ends span a range. */
static void add_utf8(ts_rxs *p, heads *h, uint32_t first, uint32_t last) {
    static const uint32_t border[] = {0x7F, 0x7FF, 0xFFFF};
    if (!ts_work_pay(p->work, 1)) return;
    for (int i = 0; i < 3; i++)
        if (first <= border[i] && last > border[i]) {
            add_utf8(p, h, first, border[i]);
            add_utf8(p, h, border[i] + 1, last);
            return;
        }
    for (int i = 1; i < 4 && last > 0x7F; i++) {
        const uint32_t low = (1u << 6 * i) - 1;
        if ((first & ~low) == (last & ~low)) break;
        if (first & low) {
            add_utf8(p, h, first, first | low);
            add_utf8(p, h, (first | low) + 1, last);
            return;
        }
        if ((last & low) != low) {
            add_utf8(p, h, first, (last & ~low) - 1);
            add_utf8(p, h, last & ~low, last);
            return;
        }
    }
    char lo[4], hi[4];
    const int n = ts_utf8_encode(first, lo);
    ts_utf8_encode(last, hi);
    ts_rx tail = TS_RX_EMPTY;
    for (int i = n - 1; i > 0; i--) tail = ts_rx_cat(p, ts_rx_range(p, (uint8_t)lo[i], (uint8_t)hi[i]), tail);
    add_head(p, h, (uint8_t)lo[0], (uint8_t)hi[0], tail);
}

/* The escape of a character that does not stand for itself in a JSON string; its length, 0 where it does. */
static int escape(uint32_t c, char out[7]) {
    static const char plain[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";
    const char *at = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (at) return snprintf(out, 7, "\\%c", letter[at - plain]);
    return c < 0x20 ? snprintf(out, 7, "\\u%04x", (unsigned)c) : 0;
}

ts_rx ts_chars_rx(ts_rxs *p, ts_chars *c, ts_spelling how) {
    ts_chars_sort(c);
    heads h = {0};
    const size_t mark = p->n_tmp;
    for (size_t i = 0; i < c->n && p->work->bad == TS_OK; i++) {
        uint32_t at = c->range[i].first;
        const uint32_t last = c->range[i].last;
        while (how == TS_SPELL_JSON && at <= last && at <= '\\') {
            char text[7];
            const int n = escape(at, text);
            if (n) ts_rx_push(p, ts_rx_text(p, text, (size_t)n));
            else add_utf8(p, &h, at, at);
            at++;
        }
        if (at <= last) add_utf8(p, &h, at, last);
    }
    for (size_t i = 0; i < h.n; i++) ts_rx_push(p, ts_rx_cat(p, ts_rx_set(p, &h.head[i].first), h.head[i].tail));
    ts_free(h.head);
    return ts_rx_alt_from(p, mark);
}

ts_rx ts_chars_any(ts_rxs *p, ts_spelling how) {
    ts_chars all = {0};
    ts_chars_add(&all, p->work, 0, 0x10FFFF);
    const ts_rx r = ts_chars_rx(p, &all, how);
    ts_chars_free(&all);
    return r;
}

bool ts_json_spell(ts_buf *out, const void *text, size_t len) {
    const uint8_t *s = text;
    for (size_t i = 0; i < len; i++) {
        char e[7];
        const int n = escape(s[i], e);
        if (n ? !ts_buf_append(out, e, (size_t)n) : !ts_buf_putc(out, (char)s[i])) return false;
    }
    return true;
}
