/* stops.c - stop strings in what an answer says. */
#include "server/stops.h"

#include <string.h>

/* One more byte, the one in front of held[end]. true: it completes a stop string; of several the one that begins
 * first. */
static bool complete(srv_stop *s, const ts_kmp *stops, size_t n, char c, size_t end, size_t *begin) {
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        s->at[i] = ts_kmp_step(&stops[i], s->at[i], c);
        if (s->at[i] < stops[i].len || (found && end - stops[i].len >= *begin)) continue;
        found = true;
        *begin = end - stops[i].len;
        s->found = stops[i].s;
    }
    return found;
}

bool srv_stop_feed(srv_stop *s, const ts_kmp *stops, size_t n, const char *text, size_t len, size_t *decided) {
    const size_t from = s->held.len;
    *decided = 0;
    if (s->found) return true;
    if (!ts_buf_append(&s->held, text, len)) return false;
    for (size_t i = from; i < s->held.len; i++)
        if (complete(s, stops, n, s->held.data[i], i + 1, decided)) {
            s->held.len = *decided;
            return true;
        }
    size_t keep = 0;
    for (size_t i = 0; i < n; i++)
        if (s->at[i] > keep) keep = s->at[i];
    *decided = s->held.len - keep;
    return true;
}

void srv_stop_drop(srv_stop *s, size_t n) {
    if (n == 0) return;
    s->held.len -= n;
    memmove(s->held.data, s->held.data + n, s->held.len);
}

size_t srv_stop_break(srv_stop *s) {
    memset(s->at, 0, sizeof s->at);
    return s->held.len;
}

void srv_stop_free(srv_stop *s) {
    ts_buf_free(&s->held);
}
