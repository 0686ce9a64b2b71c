/* bill.c - what requests have cost. */
#include "server/bill.h"

#include "base/json_write.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 64, KEPT = 64 };

typedef struct bill_row {
    ts_ledger_row like; /* names, evidence; sums of checks */
    bool shared;        /* with other requests, in a pass at least: what it took is divided, not measured */
    double calls, tokens, macs, weight_bytes, act_bytes, sum_bytes, device_ns, host_ns, bound_ns;
} bill_row;

struct srv_bill {
    char id[40], model[120], device[40];
    uint32_t passes, tokens, n;
    bill_row row[ROWS];
};

struct srv_books {
    pthread_mutex_t lock;
    srv_bill *kept[KEPT];
    uint32_t next;
};

srv_bill *srv_bill_new(const char *id, const char *model, const char *device) {
    srv_bill *b = ts_calloc(1, sizeof *b);
    if (!b) return NULL;
    snprintf(b->id, sizeof b->id, "%s", id);
    snprintf(b->model, sizeof b->model, "%s", model);
    snprintf(b->device, sizeof b->device, "%s", device);
    return b;
}

void srv_bill_free(srv_bill *b) {
    ts_free(b);
}

void srv_bill_add(srv_bill *b, const ts_ledger_row *now, size_t n_now, const ts_ledger_row *before, size_t n_before,
                  uint32_t tokens, uint32_t all) {
    if (!b || all == 0 || tokens == 0) return;
    const double share = (double)tokens / all;
    b->passes++;
    b->tokens += tokens;
    for (size_t i = 0; i < n_now && i < ROWS; i++) {
        static const ts_ledger_row none;
        const ts_ledger_row *w = &now[i], *o = i < n_before && before[i].calls <= w->calls ? &before[i] : &none;
        bill_row *r = &b->row[i];
        if (w->calls == o->calls) continue;
        r->like = *w;
        r->shared |= tokens < all;
        if (i >= b->n) b->n = (uint32_t)i + 1;
#define SHARE(FIELD) r->FIELD += share * (double)(w->FIELD - o->FIELD)
        r->calls += (double)(w->calls - o->calls); /* the request was in them, whoever else was */
        SHARE(tokens), SHARE(macs), SHARE(weight_bytes), SHARE(act_bytes), SHARE(sum_bytes);
        SHARE(device_ns), SHARE(host_ns), SHARE(bound_ns);
#undef SHARE
    }
}

/* ---- the books --------------------------------------------------------------------------------------------------- */

srv_books *srv_books_new(void) {
    srv_books *k = ts_calloc(1, sizeof *k);
    if (k) pthread_mutex_init(&k->lock, NULL);
    return k;
}

void srv_books_free(srv_books *k) {
    if (!k) return;
    for (int i = 0; i < KEPT; i++) srv_bill_free(k->kept[i]);
    pthread_mutex_destroy(&k->lock);
    ts_free(k);
}

void srv_books_put(srv_books *k, srv_bill *b) {
    if (!b) return;
    pthread_mutex_lock(&k->lock);
    srv_bill **at = &k->kept[k->next++ % KEPT];
    srv_bill_free(*at);
    *at = b;
    pthread_mutex_unlock(&k->lock);
}

static bool put_row(const bill_row *r, double all_ns, bool first, ts_buf *out) {
    const ts_ledger_row *l = &r->like;
    const char *evidence = ts_evidence_name(l->evidence);
    return ts_buf_puts(out, first ? "{\"op\":" : ",{\"op\":") && ts_json_put_string(out, l->op, strlen(l->op)) &&
           ts_buf_printf(out,
                         ",\"types\":\"%s\",\"device\":\"%s\",\"linear\":%s,\"evidence\":\"%s\",\"times\":\"%s\","
                         "\"calls\":%.0f,\"tokens\":%.0f,\"macs\":%.0f,\"weight_bytes\":%.0f,\"act_bytes\":%.0f,"
                         "\"sum_bytes\":%.0f,",
                         l->types, l->device, l->linear ? "true" : "false", evidence, r->shared ? "derived" : evidence,
                         r->calls, r->tokens, r->macs, r->weight_bytes, r->act_bytes, r->sum_bytes) &&
           ts_buf_printf(out,
                         "\"device_ns\":%.0f,\"host_ns\":%.0f,\"bound_ns\":%.0f,\"share\":%.6f,\"checked\":%llu,"
                         "\"differ\":%llu,\"sum_device\":\"%016llx\",\"sum_cpu\":\"%016llx\"}",
                         r->device_ns, r->host_ns, r->bound_ns,
                         all_ns > 0 ? (r->device_ns + r->host_ns) / all_ns : 0, (unsigned long long)l->checked,
                         (unsigned long long)l->differ, (unsigned long long)l->sum_device,
                         (unsigned long long)l->sum_cpu);
}

static bool put_bill(const srv_bill *b, ts_buf *out) {
    double all_ns = 0;
    bool ok = ts_buf_printf(out, "{\"id\":\"%s\",\"model\":", b->id) &&
              ts_json_put_string(out, b->model, strlen(b->model)) &&
              ts_buf_printf(out, ",\"device\":\"%s\",\"passes\":%u,\"tokens\":%u,\"rows\":[", b->device, b->passes,
                            b->tokens);
    for (uint32_t i = 0; i < b->n; i++) all_ns += b->row[i].device_ns + b->row[i].host_ns;
    bool first = true;
    for (uint32_t i = 0; i < b->n && ok; i++) {
        if (b->row[i].calls == 0) continue;
        ok = put_row(&b->row[i], all_ns, first, out);
        first = false;
    }
    return ok && ts_buf_puts(out, "],\"note\":\"times and bytes are this request's share, by tokens, of the passes "
                                  "that it took part in (derived where others were in them, too); checks and "
                                  "checksums are the model's since it was loaded\"}");
}

bool srv_books_find(srv_books *k, const char *id, ts_buf *out, bool *nomem) {
    bool found = false;
    *nomem = false;
    pthread_mutex_lock(&k->lock);
    for (int i = 0; i < KEPT && !found; i++) {
        if (!k->kept[i] || strcmp(k->kept[i]->id, id)) continue;
        found = true;
        *nomem = !put_bill(k->kept[i], out);
    }
    pthread_mutex_unlock(&k->lock);
    return found && !*nomem;
}
