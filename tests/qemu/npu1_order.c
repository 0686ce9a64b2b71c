/* Orders: what a test wants to go wrong. */
#include "qemu/npu1_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 4 }; /* behind the order's name */
enum { DELAY_MS_MAX = 600000, MINOR_MAX = 255 };

typedef struct words {
    const char *order, *name; /* name: of an order whose first word is none of the numbers */
    int n;
    uint64_t value[WORDS_MAX];
} words;

static int error(char *reply, size_t bytes, const char *why) {
    snprintf(reply, bytes, "error: %s", why);
    return -1;
}

static bool number(const char *s, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(s, &end, 0);
    return *s >= '0' && *s <= '9' && !*end && !errno;
}

static int plan(npu1 *n, npu1_order_kind kind, uint64_t in, uint64_t every, uint32_t value, char *reply, size_t bytes) {
    if (!in) return error(reply, bytes, "commands are counted from 1");
    if (in > INT64_MAX || every > INT64_MAX) return error(reply, bytes, "a number is too large");
    if (n->n_plan == NPU1_ORDERS) return error(reply, bytes, "too many orders are pending");
    n->plan[n->n_plan++] = (npu1_planned){.kind = kind, .at = n->counts.commands + in, .every = every, .value = value};
    return 0;
}

static int hang(npu1 *n, const words *w, char *reply, size_t bytes) {
    return plan(n, ORDER_HANG, w->value[0], 0, 0, reply, bytes);
}

static int fault(npu1 *n, const words *w, char *reply, size_t bytes) {
    uint64_t status = w->n > 1 ? w->value[1] : STATUS_DMA_ERROR;
    if (!status || status > UINT32_MAX) return error(reply, bytes, "a status is a number of 32 bits, not 0");
    return plan(n, ORDER_FAULT, w->value[0], 0, (uint32_t)status, reply, bytes);
}

static int delay(npu1 *n, const words *w, char *reply, size_t bytes) {
    if (w->value[1] > DELAY_MS_MAX) return error(reply, bytes, "more than ten minutes");
    return plan(n, ORDER_DELAY, w->value[0], w->n > 2 ? w->value[2] : 0, (uint32_t)w->value[1], reply, bytes);
}

static int lose(npu1 *n, const words *w, char *reply, size_t bytes) {
    return plan(n, ORDER_LOSE, w->value[0], w->n > 1 ? w->value[1] : 0, 0, reply, bytes);
}

static int refuse(npu1 *n, const words *w, char *reply, size_t bytes) {
    uint64_t times = w->n > 2 ? w->value[2] : 1;
    if (w->value[0] > UINT32_MAX || w->value[1] > UINT32_MAX || !times || times > UINT32_MAX)
        return error(reply, bytes, "a number is too large, or 0 times");
    if (n->n_refusals == NPU1_ORDERS) return error(reply, bytes, "too many orders are pending");
    n->refusal[n->n_refusals++] = (npu1_refusal){(uint32_t)w->value[0], (uint32_t)w->value[1], (uint32_t)times};
    return 0;
}

static int async(npu1 *n, const words *w, char *reply, size_t bytes) {
    if (w->value[0] >= NPU1_COLUMNS || w->value[1] >= ts_npu1.rows) return error(reply, bytes, "there is no such tile");
    switch (npu1_tell_error(n, w->name, (int)w->value[0], (int)w->value[1])) {
    case NPU1_TOLD: return 0;
    case NPU1_NO_BUFFER: return error(reply, bytes, "the driver has left no buffer for it");
    default: return error(reply, bytes, "such a tile has no such error");
    }
}

static int protocol(npu1 *n, const words *w, char *reply, size_t bytes) {
    if (w->value[0] > MINOR_MAX) return error(reply, bytes, "a minor number is at most 255");
    n->minor = (uint32_t)w->value[0];
    return 0;
}

static int dead(npu1 *n, const words *w, char *reply, size_t bytes) {
    if (w->value[0] > 1) return error(reply, bytes, "0 or 1");
    n->dead = w->value[0];
    return 0;
}

static int clock_most(npu1 *n, const words *w, char *reply, size_t bytes) {
    if (w->value[0] > UINT32_MAX) return error(reply, bytes, "a number is too large");
    n->clock_most = (uint32_t)w->value[0];
    return 0;
}

static int reset(npu1 *n, const words *w, char *reply, size_t bytes) {
    (void)w, (void)reply, (void)bytes;
    n->n_plan = n->n_refusals = 0;
    n->dead = false;
    n->clock_most = 0;
    n->minor = n->o.minor;
    return 0;
}

static const struct {
    const char *name;
    int least, most; /* numbers */
    bool named;      /* a name in front of them */
    int (*give)(npu1 *n, const words *w, char *reply, size_t bytes);
} orders[] = {
    {"hang", 1, 1, false, hang},   {"fault", 1, 2, false, fault},       {"delay", 2, 3, false, delay},
    {"lose", 1, 2, false, lose},   {"refuse", 2, 3, false, refuse},     {"async", 2, 2, true, async},
    {"dead", 1, 1, false, dead},   {"protocol", 1, 1, false, protocol}, {"clock", 1, 1, false, clock_most},
    {"reset", 0, 0, false, reset},
};

static void counts(npu1 *n, char *reply, size_t bytes) {
    npu1_counts c = npu1_get_counts(n);
    dma_counts d = dma_get_counts(n->memory);
    snprintf(
        reply, bytes,
        "ok commands=%llu failed=%llu contexts=%llu created=%llu starts=%llu suspends=%llu reloads=%llu messages=%llu "
        "unmapped=%llu hung=%llu async=%llu ranges=%llu maps=%llu unmaps=%llu busy_ms=%llu",
        (unsigned long long)c.commands, (unsigned long long)c.failed, (unsigned long long)c.contexts,
        (unsigned long long)c.created, (unsigned long long)c.starts, (unsigned long long)c.suspends,
        (unsigned long long)c.reloads, (unsigned long long)c.messages, (unsigned long long)c.unmapped,
        (unsigned long long)c.hung, (unsigned long long)c.async, (unsigned long long)d.ranges,
        (unsigned long long)d.maps, (unsigned long long)d.unmaps, (unsigned long long)(c.busy_ns / 1000000));
}

void npu1_order(npu1 *n, const char *line, char *reply, size_t reply_bytes) {
    char copy[256], *save = NULL;
    words w = {0};
    snprintf(copy, sizeof copy, "%s", line);
    w.order = strtok_r(copy, " \t", &save);
    if (!w.order || strlen(line) >= sizeof copy) {
        error(reply, reply_bytes, w.order ? "the line is too long" : "no order");
        return;
    }
    if (!strcmp(w.order, "counts")) {
        counts(n, reply, reply_bytes);
        return;
    }
    size_t i = 0;
    while (i < sizeof orders / sizeof *orders && strcmp(orders[i].name, w.order)) i++;
    if (i == sizeof orders / sizeof *orders) {
        error(reply, reply_bytes, "no such order");
        return;
    }
    if (orders[i].named && !(w.name = strtok_r(NULL, " \t", &save))) {
        error(reply, reply_bytes, "a name is missing");
        return;
    }
    for (const char *s; (s = strtok_r(NULL, " \t", &save));) {
        const char *why = w.n == orders[i].most        ? "too many words"
                          : number(s, &w.value[w.n++]) ? NULL
                                                       : "that is no number";
        if (!why) continue;
        error(reply, reply_bytes, why);
        return;
    }
    if (w.n < orders[i].least) {
        error(reply, reply_bytes, "a number is missing");
        return;
    }
    snprintf(reply, reply_bytes, "ok");
    pthread_mutex_lock(&n->lock);
    orders[i].give(n, &w, reply, reply_bytes);
    pthread_mutex_unlock(&n->lock);
    npu1_say(n, "order \"%s\": %s", line, reply);
}
