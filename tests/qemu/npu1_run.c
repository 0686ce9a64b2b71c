/* Commands of contexts: one thread takes them from the contexts' channels and runs them on the array simulator, one
 * at a time. */
#include "qemu/npu1_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "xdna/txn.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEAP_AT UINT64_C(0x4000000) /* where a context's heap begins in the addresses of the firmware */

enum {
    PDI_UNIT = 32768,
    PDI_HEAD_BYTES = 0x150,
    PDI_WORDS_AT = 0xD4,      /* words of the partition behind the head */
    PDI_WORDS_MAX = 1 << 20,
    STREAM_BYTES_MAX = 16 << 20,
    CHAIN_BYTES_MAX = 4096,
    ARGS_MAX = 8,
    NON_ELF = 1,       /* kind of an 0x18 slot */
    TRANSACTION = 3,   /* operation of a START_CU */
    QMP_PATIENCE = 5000, /* milliseconds */
};

typedef enum run_end { RUN_DONE, RUN_FAILED, RUN_HUNG } run_end;

static uint32_t word_at(const uint8_t *p, size_t i) {
    uint32_t w;
    memcpy(&w, p + 4 * i, sizeof w);
    return w;
}

static uint64_t word64_at(const uint8_t *p, size_t i) {
    return word_at(p, i) | (uint64_t)word_at(p, i + 1) << 32;
}

/* ---- memory, from the device's thread ---------------------------------------------------------------------------- */

typedef struct view { /* of a context */
    npu1 *n;
    npu1_context *x;
} view;

/* Host memory as the context sees it: addresses of its process, or of the device's own space. */
static bool reach(npu1 *n, npu1_context *x, uint64_t addr, void *data, size_t len, bool write) {
    uint8_t *p = data;
    dma_lock(n->memory);
    while (len && !x->gone) {
        size_t k = len;
        uint8_t *at = !x->pasid    ? dma_at(n->memory, addr, write, &k)
                      : n->o.pasid ? pasid_at(n->o.pasid, x->pasid, addr, write, &k)
                                   : NULL;
        if (!at) break;
        if (write) memcpy(at, p, k);
        else memcpy(p, at, k);
        p += k, addr += k, len -= k;
    }
    dma_unlock(n->memory);
    if (len && !x->gone) {
        n->unmapped++;
        npu1_say(n, "context %d: PASID %u has nothing to %s at 0x%llx", x->id, x->pasid, write ? "write" : "read",
                 (unsigned long long)addr);
    }
    return !len;
}

/* Bytes of the heap, by the firmware's address. */
static bool fetch(npu1 *n, npu1_context *x, uint64_t addr, void *data, size_t len) {
    uint8_t *p = data;
    if (addr < HEAP_AT) return false;
    addr -= HEAP_AT;
    for (int i = 0; i < x->n_pieces && len; i++) {
        uint64_t size = x->piece[i].size;
        if (addr >= size) {
            addr -= size;
            continue;
        }
        size_t k = len < size - addr ? len : (size_t)(size - addr);
        if (!reach(n, x, x->piece[i].addr + addr, p, k, false)) return false;
        p += k, len -= k, addr = 0;
    }
    return !len;
}

static int host_read(void *ud, uint64_t addr, void *data, size_t len) {
    const view *w = ud;
    return reach(w->n, w->x, addr - TS_ARRAY_BIAS, data, len, false) ? 0 : -1;
}

static int host_write(void *ud, uint64_t addr, const void *data, size_t len) {
    const view *w = ud;
    return reach(w->n, w->x, addr - TS_ARRAY_BIAS, (void *)data, len, true) ? 0 : -1;
}

static bool is_gone(void *ud) {
    const view *w = ud;
    return w->x->gone;
}

/* ---- the array --------------------------------------------------------------------------------------------------- */

static bool shares(const npu1_context *a, const npu1_context *b) {
    return a != b && a->start_col < b->start_col + b->n_cols && b->start_col < a->start_col + a->n_cols;
}

/* Power-on, then the commands of the context's PDI, read from the heap each time as a firmware without memory of its
 * own does
 * [guess]. */
static bool load(npu1 *n, npu1_context *x) {
    const ts_array_options o = {.n_cols = x->n_cols, .max_cycles = n->o.max_cycles};
    uint64_t at = (uint64_t)x->pdi * PDI_UNIT;
    uint8_t head[PDI_HEAD_BYTES];
    ts_err err;
    if (!fetch(n, x, at, head, sizeof head)) return false;
    uint32_t words = word_at(head, PDI_WORDS_AT / 4);
    if (words > PDI_WORDS_MAX) return false;
    size_t len = PDI_HEAD_BYTES + 4 * (size_t)words;
    uint8_t *pdi = ts_alloc(1, len);
    bool ok = pdi && fetch(n, x, at, pdi, len);
    if (ok) {
        ts_status s = x->array ? TS_OK : ts_array_new(&x->array, &o, &err);
        if (s == TS_OK) s = ts_array_load(x->array, pdi, len, &err);
        ok = s == TS_OK;
        if (!ok) npu1_say(n, "context %d: %s", x->id, err.msg);
    }
    ts_free(pdi);
    return ok;
}

/* Give the columns to x. Whoever had them has lost its state. */
static bool take_columns(npu1 *n, npu1_context *x, bool anew) {
    pthread_mutex_lock(&n->lock);
    for (int i = 0; i < NPU1_CONTEXTS; i++)
        if (n->ctx[i] && shares(n->ctx[i], x)) n->ctx[i]->configured = false;
    bool need = anew || !x->configured;
    n->counts.reloads += need && x->lost;
    pthread_mutex_unlock(&n->lock);
    if (!need) return true;
    bool ok = load(n, x);
    pthread_mutex_lock(&n->lock);
    x->configured = x->lost = ok;
    pthread_mutex_unlock(&n->lock);
    return ok;
}

/* ---- one command ------------------------------------------------------------------------------------------------- */

typedef struct verdict { /* what is planned for a command */
    bool hang, lose;
    uint32_t fault, delay_ms;
} verdict;

static verdict next_verdict(npu1 *n) {
    verdict v = {0};
    pthread_mutex_lock(&n->lock);
    uint64_t now = ++n->counts.commands;
    for (int i = 0; i < n->n_plan;) {
        npu1_planned *p = &n->plan[i];
        if (p->at != now) {
            i++;
            continue;
        }
        switch (p->kind) {
        case ORDER_HANG: v.hang = true; break;
        case ORDER_LOSE: v.lose = true; break;
        case ORDER_FAULT: v.fault = p->value; break;
        case ORDER_DELAY: v.delay_ms = p->value; break;
        }
        if (p->every) p->at += p->every, i++;
        else *p = n->plan[--n->n_plan];
    }
    pthread_mutex_unlock(&n->lock);
    return v;
}

/* Let time pass, unless the context goes. */
static void wait_ms(npu1 *n, const npu1_context *x, uint32_t ms) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) end.tv_sec++, end.tv_nsec -= 1000000000L;
    pthread_mutex_lock(&n->lock);
    while (!x->gone && pthread_cond_timedwait(&n->work, &n->lock, &end) == 0) {}
    pthread_mutex_unlock(&n->lock);
}

/* Keep what the columns look like now, and tell the driver of a bus error, once: told says that it knows. */
static void after_run(npu1 *n, npu1_context *x, uint64_t ns, bool told) {
    uint8_t record[TS_COLS_MAX][COLUMN_BYTES];
    ts_tile tile;
    ts_dma_dir dir;
    bool bus = ts_array_bus_error(x->array, &tile, &dir) && !told;
    for (int c = 0; c < x->n_cols; c++) npu1_record_column(x->array, c, record[c]);
    pthread_mutex_lock(&n->lock);
    n->counts.busy_ns += ns;
    memcpy(x->record, record, (size_t)x->n_cols * COLUMN_BYTES);
    x->recorded = true;
    if (bus && !x->gone) npu1_tell_bus_error(n, x->start_col + tile.col, dir);
    pthread_mutex_unlock(&n->lock);
}

/* What follows the CU's number: operation, stream, its words, buffers. *status is the firmware's word for it. */
static run_end start_cu(npu1 *n, npu1_context *x, const uint8_t *arg, uint32_t words, bool lose, uint32_t *status) {
    const view w = {n, x};
    const ts_array_host host = {.ud = (void *)&w, .read = host_read, .write = host_write, .stop = is_gone};
    uint64_t args[ARGS_MAX];
    int n_args = 0;
    ts_array_outcome outcome = TS_ARRAY_FAULT;
    ts_err err;
    *status = STATUS_INVALID_PARAM;
    if (words < 5 || word64_at(arg, 0) != TRANSACTION || !x->pdi) return RUN_FAILED;
    uint64_t bytes = 4 * (uint64_t)word_at(arg, 4);
    if (!bytes || bytes > STREAM_BYTES_MAX) return RUN_FAILED;
    for (uint32_t i = 5; i + 1 < words && n_args < ARGS_MAX; i += 2) args[n_args++] = word64_at(arg, i);
    uint8_t *stream = ts_alloc(1, (size_t)bytes);
    if (!stream || !fetch(n, x, word64_at(arg, 2), stream, (size_t)bytes)) {
        ts_free(stream);
        *status = STATUS_INVALID_BUFFER;
        return RUN_FAILED;
    }
    *status = STATUS_PDI_FAILED;
    run_end end = RUN_FAILED;
    if (take_columns(n, x, lose)) {
        ts_tile tile;
        ts_dma_dir dir;
        bool told = ts_array_bus_error(x->array, &tile, &dir); /* of a command before: the array takes no further one */
        uint64_t t = ts_now_ns();
        ts_status s = ts_array_run(x->array, stream, (size_t)bytes, args, n_args, &host, &outcome, &err);
        t = ts_now_ns() - t;
        end = s == TS_OK ? RUN_DONE : outcome == TS_ARRAY_HANG ? RUN_HUNG : RUN_FAILED;
        *status = s == TS_OK ? STATUS_OK : s == TS_E_DEVICE ? STATUS_DMA_ERROR : STATUS_INVALID_INSTR;
        if (s == TS_E_DEVICE && !x->gone && !n->o.quiet)
            fprintf(stderr, "npu1-server: context %d: %s", x->id, ts_array_report(x->array));
        else if (s != TS_OK) npu1_say(n, "context %d: %s", x->id, err.msg);
        after_run(n, x, t, told);
    }
    ts_free(stream);
    return end;
}

static run_end command(npu1 *n, npu1_context *x, uint32_t cu, const uint8_t *arg, uint32_t words, uint32_t *status) {
    verdict v = next_verdict(n);
    run_end end = RUN_FAILED;
    if (v.hang) {
        npu1_say(n, "context %d: this command never ends, as ordered", x->id);
        end = RUN_HUNG;
    } else if (v.fault) {
        npu1_say(n, "context %d: this command ends with 0x%x, as ordered", x->id, v.fault);
        *status = v.fault;
    } else if (cu) {
        *status = STATUS_INVALID_PARAM; /* there is one CU */
    } else {
        end = start_cu(n, x, arg, words, v.lose, status);
    }
    if (v.delay_ms) wait_ms(n, x, v.delay_ms);
    pthread_mutex_lock(&n->lock);
    n->counts.failed += end != RUN_DONE;
    pthread_mutex_unlock(&n->lock);
    return end;
}

/* ---- messages of contexts ---------------------------------------------------------------------------------------- */

/* false: no answer, now or ever. r, *bytes: the answer. */
static bool chain(npu1 *n, npu1_context *x, const npu1_message *m, bool npu, uint32_t r[3]) {
    uint8_t slots[CHAIN_BYTES_MAX];
    const uint8_t *req = m->bytes + (npu ? 8 : 0);
    uint32_t head = npu ? 52 : 8, size = word_at(req, 2), count = word_at(req, 3), at = 0;
    if (size > sizeof slots || !fetch(n, x, word64_at(req, 0), slots, size)) {
        r[0] = r[2] = STATUS_INVALID_BUFFER;
        return true;
    }
    for (uint32_t i = 0; i < count && !x->gone; i++) {
        const uint8_t *slot = slots + at;
        uint32_t words = size - at >= head ? word_at(slot, head / 4 - 1) : 0; /* the head's last word in either form */
        r[1] = i;
        if (size - at < head || words > (size - at - head) / 4) r[2] = STATUS_INVALID_PARAM;
        else if (npu && word_at(slot, 0) != NON_ELF) r[2] = STATUS_INVALID_COMMAND;
        else if (command(n, x, word_at(slot, npu ? 11 : 0), slot + head, words, &r[2]) == RUN_HUNG) return false;
        if (r[2]) {
            r[0] = r[2];
            return true;
        }
        at += head + 4 * words;
    }
    r[1] = 0;
    return true;
}

/* The array is configured when the first command needs it [guess]. */
static uint32_t configure(npu1 *n, npu1_context *x, const npu1_message *m) {
    uint32_t status;
    pthread_mutex_lock(&n->lock);
    if (!npu1_refused(n, m->op, &status)) {
        bool good = m->len >= 8 && word_at(m->bytes, 0) == 1; /* one CU */
        if (good) x->pdi = word_at(m->bytes, 1) & 0x1FFFF;
        x->configured = x->lost = false;
        status = good ? STATUS_OK : STATUS_INVALID_PARAM;
    }
    pthread_mutex_unlock(&n->lock);
    return status;
}

/* false: no answer. */
static bool obey(npu1 *n, npu1_context *x, const npu1_message *m, uint32_t r[3], uint32_t *bytes) {
    *bytes = 4;
    if (n->o.pasid) pasid_flush(n->o.pasid);
    if (n->o.pasid && x->pasid && !pasid_wait(n->o.pasid, QMP_PATIENCE)) npu1_say(n, "no device table");
    switch (m->op) {
    case OP_CONFIG_CU: r[0] = configure(n, x, m); return true;
    case OP_EXECUTE:
        if (m->len < 4) r[0] = STATUS_INVALID_PARAM;
        else return command(n, x, word_at(m->bytes, 0), m->bytes + 4, (m->len - 4) / 4, &r[0]) != RUN_HUNG;
        return true;
    case OP_CHAIN:
    case OP_CHAIN_NPU: *bytes = 12; return chain(n, x, m, m->op == OP_CHAIN_NPU, r);
    case OP_SYNC_BO:      /* memory is coherent here */
    case OP_CONFIG_DEBUG: /* nothing is written to it */
        return true;
    default:
        npu1_say(n, "message 0x%x of context %d is unknown", m->op, x->id);
        r[0] = STATUS_INVALID_COMMAND;
        return true;
    }
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool may_run(const npu1 *n, const npu1_context *x) {
    if (!x || x->hung || !npu1_waiting(n, 1 + x->id)) return false;
    for (int i = 0; i < NPU1_CONTEXTS; i++) /* a command that never ends keeps its columns [guess] */
        if (n->ctx[i] && n->ctx[i]->hung && shares(n->ctx[i], x)) return false;
    return true;
}

/* The next context in turn whose channel has a message. */
static npu1_context *next_context(npu1 *n, npu1_message *m) {
    for (int i = 1; i <= NPU1_CONTEXTS; i++) {
        npu1_context *x = n->ctx[(n->turn + i) % NPU1_CONTEXTS];
        if (!may_run(n, x) || !npu1_take(n, 1 + x->id, m)) continue;
        n->turn = x->id;
        return x;
    }
    return NULL;
}

void *npu1_worker(void *ud) {
    npu1 *n = ud;
    npu1_message m;
    pthread_mutex_lock(&n->lock);
    while (!n->quit) {
        npu1_context *x = n->running = next_context(n, &m);
        if (!x) {
            pthread_cond_wait(&n->work, &n->lock);
            continue;
        }
        pthread_mutex_unlock(&n->lock);
        uint32_t r[3] = {0}, bytes;
        bool answer = obey(n, x, &m, r, &bytes);
        pthread_mutex_lock(&n->lock);
        n->running = NULL;
        if (x->gone) {
            npu1_free_context(x);
            continue;
        }
        x->hung = !answer;
        if (answer) npu1_answer(n, 1 + x->id, m.id, m.op, r, bytes);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}
