/* What driver and firmware do with a command: packet checks, loading the PDI, running the stream, ending the
 * packet. */
#include "xdna/fake_int.h"

#include "xdna/pdi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The packet is read by the driver, on the CPU: no cache in between. */
static uint32_t packet_word(const fake_job *job, size_t i) {
    uint32_t w;
    memcpy(&w, job->cmd->mem.cpu + 4 * i, 4);
    return w;
}

static uint64_t packet_addr(const fake_job *job, size_t i) {
    return packet_word(job, i) | (uint64_t)packet_word(job, i + 1) << 32;
}

/* The driver writes through the CPU's mapping, too: both sides see it. */
static void put_word(const fake_job *job, size_t i, uint32_t w) {
    memcpy(job->cmd->mem.cpu + 4 * i, &w, 4);
    if (job->cmd->mem.dram != job->cmd->mem.cpu) memcpy(job->cmd->mem.dram + 4 * i, &w, 4);
}

/* Newer drivers spoil the payload of a packet that has failed: it says what they know of the failure, or nothing. */
static void set_state(const ts_fake *f, const fake_job *job, uint32_t state) {
    put_word(job, 0, (packet_word(job, 0) & ~15u) | state);
    for (size_t i = 1; fake_is_7_3(f) && state != TS_CMD_COMPLETED && i < job->cmd->size / 4; i++)
        put_word(job, i, UINT32_MAX);
}

/* The buffer of the client that covers [addr, addr + len) for the device; *off is where in it. */
static fake_bo *find_by_address(const fake_client *c, uint64_t addr, uint64_t len, size_t *off) {
    for (size_t i = 0; i < c->n_bos; i++) {
        fake_bo *b = c->bos[i];
        const uint64_t base = fake_bo_addr(b);
        if (b->type == TS_UAPI_BO_DEV_HEAP || b->own || !base) continue;
        if (addr < base || addr - base >= b->size || len > b->size - (addr - base)) continue;
        *off = (size_t)(addr - base);
        return b;
    }
    return NULL;
}

static bool is_listed(const fake_job *job, const fake_bo *b) {
    for (int i = 0; i < job->n_args; i++)
        if (job->args[i] == b) return true;
    return false;
}

int fake_check_packet(ts_fake *f, const fake_ctx *x, const fake_job *job) {
    uint32_t head = packet_word(job, 0), count = ts_cmd_count(head);
    if (ts_cmd_state(head) != TS_CMD_NEW)
        return fake_broken(f, TS_FAKE_RULE_CMD_STATE, EINVAL, "state %u", ts_cmd_state(head));
    if (ts_cmd_reserved(head)) return fake_broken(f, TS_FAKE_RULE_CMD_BITS, EINVAL, "header 0x%08x", head);
    if (ts_cmd_op(head) != TS_CMD_OP_START_CU)
        return fake_broken(f, TS_FAKE_RULE_CMD_OPCODE, EINVAL, "operation %u", ts_cmd_op(head));
    if (count < TS_CMD_FIXED_WORDS || count % 2 || 4 * (uint64_t)(count + 1) > job->cmd->size ||
        count > TS_CMD_FIXED_WORDS + 10)
        return fake_broken(f, TS_FAKE_RULE_CMD_COUNT, EINVAL, "%u words", count);
    if (packet_word(job, 1) != 1)
        return fake_broken(f, TS_FAKE_RULE_CMD_MASK, EINVAL, "mask 0x%x", packet_word(job, 1));
    if (packet_addr(job, 2) != TS_CMD_TRANSACTION)
        return fake_broken(f, TS_FAKE_RULE_CMD_OPCODE, EINVAL, "operation %llu of START_CU",
                           (unsigned long long)packet_addr(job, 2));
    size_t off;
    uint64_t stream = packet_addr(job, 4), bytes = 4 * (uint64_t)packet_word(job, 6);
    const fake_bo *b = find_by_address(x->client, stream, bytes, &off);
    if (!b || b->type != TS_UAPI_BO_DEV || !bytes)
        return fake_broken(f, TS_FAKE_RULE_CMD_STREAM, EINVAL, "0x%llx, %llu bytes",
                           (unsigned long long)stream, (unsigned long long)bytes);
    if (!is_listed(job, b)) return fake_broken(f, TS_FAKE_RULE_CMD_PINNED, EINVAL, "the instruction stream");
    for (uint32_t i = TS_CMD_FIXED_WORDS + 1; i < count + 1; i += 2) {
        b = find_by_address(x->client, packet_addr(job, i), 1, &off);
        if (!b || b->type == TS_UAPI_BO_CMD)
            return fake_broken(f, TS_FAKE_RULE_CMD_ADDRESS, EINVAL, "argument %u: 0x%llx", (i - 7) / 2,
                               (unsigned long long)packet_addr(job, i));
        if (!is_listed(job, b))
            return fake_broken(f, TS_FAKE_RULE_CMD_PINNED, EINVAL, "argument %u", (i - 7) / 2);
    }
    return 0;
}

/* ---- the bus ----------------------------------------------------------------------------------------------------- */

typedef struct bus {
    ts_fake *f;
    fake_ctx *x;
    const fake_job *job;
    fake_bo *last; /* of the access before: most come in runs */
} bus;

static fake_mem *reach(bus *u, uint64_t addr, size_t len, size_t *off) {
    uint64_t at = addr - TS_ARRAY_BIAS;
    fake_bo *b = NULL;
    if (addr >= TS_ARRAY_BIAS && u->last && u->last->type != TS_UAPI_BO_DEV) {
        const uint64_t base = fake_bo_addr(u->last);
        if (at >= base && at - base < u->last->size && len <= u->last->size - (at - base)) {
            *off = (size_t)(at - base);
            return &u->last->mem;
        }
    }
    if (addr >= TS_ARRAY_BIAS) b = find_by_address(u->x->client, at, len, off);
    if (!b || !is_listed(u->job, b)) {
        fake_broken(u->f, TS_FAKE_RULE_BUS_ADDRESS, EFAULT, "0x%llx, %zu bytes", (unsigned long long)addr,
                    len);
        return NULL;
    }
    u->last = b;
    size_t inner = *off;
    fake_mem *m = fake_bo_mem(u->x->client, b, off);
    *off += inner;
    return m;
}

static int bus_read(void *ud, uint64_t addr, void *data, size_t len) {
    bus *u = ud;
    size_t off = 0;
    const fake_mem *m = reach(u, addr, len, &off);
    if (!m) return -EFAULT;
    fake_mem_read(u->f, m, off, data, len);
    return 0;
}

static int bus_write(void *ud, uint64_t addr, const void *data, size_t len) {
    bus *u = ud;
    size_t off = 0;
    fake_mem *m = reach(u, addr, len, &off);
    if (!m) return -EFAULT;
    fake_mem_write(u->f, m, off, data, len);
    return 0;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* Bytes of a device buffer as the device reads them. */
static bool read_device(ts_fake *f, fake_ctx *x, fake_bo *b, size_t at, size_t len, ts_buf *out) {
    size_t off;
    const fake_mem *m = fake_bo_mem(x->client, b, &off);
    if (!ts_buf_reserve(out, len)) return false;
    fake_mem_read(f, m, off + at, out->data + out->len, len);
    out->len += len;
    return true;
}

int fake_load_pdi(ts_fake *f, fake_ctx *x) {
    ts_buf pdi = {0};
    ts_cdo_reader r;
    ts_err err = {.msg = ""};
    int result = 0;
    if (!read_device(f, x, x->pdi, 0, x->pdi->size, &pdi)) {
        result = -ENOMEM;
    } else if (f->now.rule == TS_FAKE_RULE_STALE_READ) {
        result = -EINVAL; /* half of it is still in the CPU's cache */
    } else if (ts_pdi_open(&r, pdi.data, pdi.len, &err) != TS_OK) {
        result = fake_broken(f, TS_FAKE_RULE_PDI, EINVAL, "firmware status 0x3000003: %.70s", err.msg);
    } else if (f->o.array && f->o.array->load) {
        char why[100] = "";
        int slot = (int)(x - f->ctx);
        if (!f->o.array->load(f->o.array->ud, slot, (int)x->n_cols, pdi.data, pdi.len, why, sizeof why))
            result = fake_broken(f, TS_FAKE_RULE_PDI, EINVAL, "firmware status 0x3000003: %s", why);
    }
    ts_buf_free(&pdi);
    x->loaded = result == 0;
    return result;
}

static uint32_t run_stream(ts_fake *f, fake_ctx *x, const fake_job *job) {
    ts_buf txn = {0};
    ts_err err = {.msg = ""};
    size_t off, len = 4 * (size_t)packet_word(job, 6);
    uint32_t count = ts_cmd_count(packet_word(job, 0));
    uint64_t args[FAKE_ARGS];
    int n_args = 0;
    fake_bo *b = find_by_address(x->client, packet_addr(job, 4), len, &off);
    if (!b || !read_device(f, x, b, off, len, &txn)) return TS_CMD_ERROR;
    uint32_t state = TS_CMD_COMPLETED;
    ts_txn_reader r;
    ts_txn_op op;
    bool more = true;
    ts_status s = ts_txn_open(&r, f->o.chip, txn.data, txn.len, &err);
    while (s == TS_OK && more) s = ts_txn_next(&r, &op, &more, &err);
    if (s != TS_OK) {
        fake_broken(f, TS_FAKE_RULE_STREAM, 0, "%.110s", err.msg);
        state = TS_CMD_ERROR;
    } else if (f->o.array && f->o.array->run) {
        bus u = {.f = f, .x = x, .job = job};
        const ts_fake_bus table = {.ud = &u, .read = bus_read, .write = bus_write};
        char why[100] = "";
        for (uint32_t i = TS_CMD_FIXED_WORDS + 1; i < count + 1; i += 2) args[n_args++] = packet_addr(job, i);
        switch (f->o.array->run(f->o.array->ud, (int)(x - f->ctx), txn.data, txn.len, args, n_args, &table,
                                why, sizeof why)) {
        case TS_FAKE_DONE: break;
        case TS_FAKE_HANG: state = TS_CMD_TIMEOUT; break;
        case TS_FAKE_FAULT: state = TS_CMD_ERROR; break;
        }
        if (state != TS_CMD_COMPLETED && !f->now.text[0])
            snprintf(f->now.text, sizeof f->now.text, "%s", why);
    }
    ts_buf_free(&txn);
    return state;
}

static void end_job(ts_fake *f, fake_ctx *x, uint32_t state) {
    const fake_job job = x->jobs[0];
    set_state(f, &job, state);
    x->n_done = job.seq + 1;
    x->completed++;
    x->n_jobs--;
    memmove(&x->jobs[0], &x->jobs[1], (size_t)x->n_jobs * sizeof x->jobs[0]);
    for (int i = 0; i < job.n_args; i++) {
        job.args[i]->busy--;
        fake_put_bo(x->client, job.args[i]);
    }
    job.cmd->busy--;
    fake_put_bo(x->client, job.cmd);
}

void fake_drop_jobs(ts_fake *f, fake_ctx *x, uint32_t state) {
    x->lost = false;
    while (x->n_jobs) end_job(f, x, state);
}

/* Contexts that share columns take turns: what ran last is in the array. */
static bool was_replaced(const ts_fake *f, const fake_ctx *x) {
    for (int i = 0; i < FAKE_CTXS; i++) {
        const fake_ctx *y = &f->ctx[i];
        if (y != x && y->client && y->last_run > x->last_run && y->start_col < x->start_col + x->n_cols &&
            x->start_col < y->start_col + y->n_cols)
            return true;
    }
    return false;
}

/* The array is configured anew where that is due; false: it would not be. */
static bool reload(ts_fake *f, fake_ctx *x) {
    const bool turn = was_replaced(f, x), due = f->reload_in && --f->reload_in == 0;
    if (due) f->reload_in = f->reload_every;
    x->last_run = ++f->n_runs;
    if ((!turn && !due) || !x->loaded) return true; /* not loaded yet comes to the same */
    f->n_reloads++;
    if (f->o.array && f->o.array->unload) f->o.array->unload(f->o.array->ud, (int)(x - f->ctx));
    return fake_load_pdi(f, x) == 0;
}

bool fake_run_one(ts_fake *f, fake_ctx *x) {
    static const uint32_t states[] = {[TS_FAKE_END_ERROR] = TS_CMD_ERROR,
                                      [TS_FAKE_END_ABORT] = TS_CMD_ABORT,
                                      [TS_FAKE_END_TIMEOUT] = TS_CMD_TIMEOUT,
                                      [TS_FAKE_END_NORESPONSE] = TS_CMD_NORESPONSE};
    if (x->lost) return false;
    ts_fake_ending e = fake_take_ending(f);
    if (e == TS_FAKE_END_LOST) {
        x->lost = true;
        return false;
    }
    uint32_t state;
    if (e != TS_FAKE_END_WELL) state = states[e];
    else if (!x->pdi || !reload(f, x) || (!x->loaded && fake_load_pdi(f, x) < 0))
        state = TS_CMD_ERROR; /* the newer drivers find out only now */
    else state = run_stream(f, x, &x->jobs[0]);
    if (f->now.rule != TS_FAKE_OK && state == TS_CMD_COMPLETED) state = TS_CMD_ERROR;
    end_job(f, x, state);
    if (state != TS_CMD_TIMEOUT && state != TS_CMD_ABORT && state != TS_CMD_NORESPONSE) return true;
    fake_drop_jobs(f, x, TS_CMD_ABORT);
    if (!fake_is_7_3(f) || state != TS_CMD_TIMEOUT) {
        x->dead = true;
        return true;
    }
    if (x->loaded && f->o.array && f->o.array->unload) f->o.array->unload(f->o.array->ud, (int)(x - f->ctx));
    x->loaded = false; /* the driver has made the context anew and configures it again */
    return true;
}
