#include "hub/hub_log.h"

#include "base/clock.h"
#include "base/mem.h"
#include "hub/hub_mask.h"

#include <pthread.h>
#include <string.h>

enum { LOG_MAX = 10000 };

struct ts_hub_log {
    pthread_mutex_t lock;
    ts_hub_logged *item;
    size_t n, cap;
    uint64_t begin_ns;
};

ts_hub_log *ts_hub_log_new(void) {
    ts_hub_log *l = ts_calloc(1, sizeof *l);
    if (!l) return NULL;
    pthread_mutex_init(&l->lock, NULL);
    l->begin_ns = ts_now_ns();
    return l;
}

void ts_hub_log_free(ts_hub_log *l) {
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) ts_free(l->item[i].url);
    ts_free(l->item);
    pthread_mutex_destroy(&l->lock);
    ts_free(l);
}

size_t ts_hub_log_count(ts_hub_log *l) {
    pthread_mutex_lock(&l->lock);
    const size_t n = l->n;
    pthread_mutex_unlock(&l->lock);
    return n;
}

const ts_hub_logged *ts_hub_log_at(ts_hub_log *l, size_t i) {
    return &l->item[i];
}

void ts_hub_log_write(ts_hub_log *l, const char *url, const char *token, uint64_t begin_ns, ts_hub_logged entry) {
    if (!l) return;
    entry.url = ts_strndup(url, strcspn(url, "?"));
    if (entry.url) ts_hub_mask(entry.url, token);
    entry.at_ms = (begin_ns - l->begin_ns) / 1000000;
    entry.ms = (ts_now_ns() - begin_ns) / 1000000;
    pthread_mutex_lock(&l->lock);
    if (entry.url && l->n < LOG_MAX && ts_grow((void **)&l->item, &l->cap, l->n + 1, sizeof *l->item))
        l->item[l->n++] = entry, entry.url = NULL;
    pthread_mutex_unlock(&l->lock);
    ts_free(entry.url);
}
