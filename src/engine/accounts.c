#include "engine/accounts.h"

#include "format/dtype.h"
#include "model/linear_dev.h"

#include <stdio.h>
#include <string.h>

struct ts_accounts {
    bool check;
    ts_ledger_row *row;
    size_t n_rows, cap_rows;
    ts_listener listener;
};

/* The row of an operation; a scratch one where there is no memory for it. */
static ts_ledger_row *row_of(ts_accounts *a, const ts_ledger_row *key, ts_ledger_row *scratch) {
    for (size_t i = 0; i < a->n_rows; i++) {
        ts_ledger_row *r = &a->row[i];
        if (!strcmp(r->op, key->op) && !strcmp(r->types, key->types) && !strcmp(r->device, key->device) &&
            r->rows == key->rows && r->rows_all == key->rows_all)
            return r;
    }
    *scratch = *key;
    if (!ts_grow((void **)&a->row, &a->cap_rows, a->n_rows + 1, sizeof *a->row)) return scratch;
    a->row[a->n_rows] = *key;
    return &a->row[a->n_rows++];
}

/* "blk.7.attn_q.weight" is an attn_q. */
static void short_name(const char *tensor, char *buf, size_t len) {
    if (!strncmp(tensor, "blk.", 4)) {
        const char *dot = strchr(tensor + 4, '.');
        if (dot) tensor = dot + 1;
    }
    const char *end = strrchr(tensor, '.');
    size_t n = end && !strcmp(end, ".weight") ? (size_t)(end - tensor) : strlen(tensor);
    snprintf(buf, len, "%.*s", (int)(n < len ? n : len - 1), tensor);
}

static ts_ledger_row *row_of_layers(ts_accounts *a, const ts_linear_ran *r, ts_ledger_row *scratch) {
    ts_ledger_row key = {.linear = true};
    char *op = key.op, *types = key.types;
    for (int i = 0; i < r->n; i++) {
        char name[24];
        short_name(r->layer[i]->name, name, sizeof name);
        snprintf(op + strlen(op), sizeof key.op - strlen(op), "%s%s", i ? "+" : "", name);
        const ts_dtype type = r->layer[i]->type;
        if (i == 0 || type != r->layer[0]->type || strchr(types, '+'))
            snprintf(types + strlen(types), sizeof key.types - strlen(types), "%s%s", i ? "+" : "",
                     ts_dtype_get(type)->name);
        key.rows += r->n_rows[i];
        key.rows_all += r->layer[i]->n_out;
    }
    snprintf(key.device, sizeof key.device, "%s", r->device);
    return row_of(a, &key, scratch);
}

static void add_cost(ts_ledger_row *r, const ts_linear_cost *c) {
    r->commands += c->commands;
    r->macs += c->macs;
    r->weight_bytes += c->weight_bytes + c->padding_bytes;
    r->padding_bytes += c->padding_bytes;
    r->act_bytes += c->act_bytes;
    r->sum_bytes += c->sum_bytes;
    r->cycles += c->cycles;
    r->device_ns += c->device_ns;
    r->host_ns += c->host_ns;
    r->bound_ns += c->bound_ns;
}

static uint64_t checksum(const float *y, size_t n, uint64_t h) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &y[i], 4);
        h = (h ^ bits) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* The rows once more on the CPU, and whether the bits are the same. */
static ts_status check(const ts_linear_ran *e, ts_ledger_row *r, ts_err *err) {
    const ts_exec plain = {.pool = e->ex->pool, .kern = e->ex->kern};
    for (int i = 0; i < e->n; i++) {
        const ts_linear part = ts_linear_part(e->layer[i], e->row0[i], e->n_rows[i]);
        size_t n_out = part.n_out;
        float *want = ts_alloc((size_t)e->n_tok * n_out, sizeof *want);
        if (!want) return ts_fail_nomem(err, "the check of the ledger", (size_t)e->n_tok * n_out * sizeof *want);
        ts_linear_run_cpu(&plain, (const ts_linear *[]){&part}, 1, NULL, 0, e->act, e->n_tok, &want, &n_out);
        for (uint32_t t = 0; t < e->n_tok; t++) {
            const float *got = e->y[i] + t * e->ld[i] + e->row0[i], *cpu = want + t * n_out;
            for (size_t k = 0; k < n_out; k++) r->differ += memcmp(&got[k], &cpu[k], 4) != 0;
            r->sum_device = checksum(got, n_out, r->sum_device);
            r->sum_cpu = checksum(cpu, n_out, r->sum_cpu);
        }
        r->checked += e->n_tok * n_out;
        ts_free(want);
    }
    return TS_OK;
}

static ts_status on_ran(void *ud, const ts_linear_ran *e, ts_err *err) {
    ts_accounts *a = ud;
    ts_ledger_row scratch, *r = row_of_layers(a, e, &scratch);
    if (e->cost) { /* also of what failed */
        r->proofs += e->cost->proofs;
        r->wrong_proofs += e->cost->wrong_proofs;
        r->anew += e->cost->anew;
    }
    if (e->failed) return TS_OK;
    r->calls++;
    r->tokens += e->n_tok;
    r->evidence = e->evidence;
    if (e->cost) {
        add_cost(r, e->cost);
        return a->check ? check(e, r, err) : TS_OK;
    }
    r->device_ns += e->ns;
    for (int i = 0; i < e->n; i++) {
        r->macs += (uint64_t)e->layer[i]->n_in * e->n_rows[i] * e->n_tok;
        r->weight_bytes += e->layer[i]->row_bytes * e->n_rows[i];
    }
    return TS_OK;
}

static void on_step(void *ud, const char *name, uint32_t n_tok, uint64_t ns) {
    ts_ledger_row scratch, key = {.device = "cpu"};
    snprintf(key.op, sizeof key.op, "%s", name);
    ts_ledger_row *r = row_of(ud, &key, &scratch);
    r->calls++;
    r->tokens += n_tok;
    r->device_ns += ns;
}

ts_status ts_accounts_new(ts_accounts **out, bool check_too, ts_err *err) {
    ts_accounts *a = ts_calloc(1, sizeof *a);
    if (!a) return ts_fail_nomem(err, "the ledger", sizeof *a);
    a->check = check_too;
    a->listener = (ts_listener){.ud = a, .ran = on_ran, .step = on_step};
    *out = a;
    return TS_OK;
}

void ts_accounts_free(ts_accounts *a) {
    if (!a) return;
    ts_free(a->row);
    ts_free(a);
}

ts_listener *ts_accounts_listener(ts_accounts *a) {
    return &a->listener;
}

size_t ts_accounts_rows(const ts_accounts *a, ts_ledger_row *rows, size_t cap) {
    if (!a) return 0;
    for (size_t i = 0; i < a->n_rows && i < cap; i++) rows[i] = a->row[i];
    return a->n_rows;
}

void ts_accounts_reset(ts_accounts *a) {
    if (a) a->n_rows = 0;
}
