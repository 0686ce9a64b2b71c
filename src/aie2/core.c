/* core.c - the model's clock: fetch, issue, the rings of results on their way, branches and loops. */
#include "aie2/core.h"

#include "aie2/core_int.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- failures and undefined registers ---------------------------------------------------------------------------- */

void ts_aie2_fail(ts_aie2_core *core, const char *fmt, ...) {
    if (core->error.code) return; /* the first one counts */
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ts_fail(&core->error, TS_E_UNSUPP, "pc 0x%05x, cycle %llu: %s", core->pc, (unsigned long long)core->cycle, text);
}

void ts_aie2_overflow(ts_aie2_core *core) {
    ts_aie2_fail(core, "too many results arrive in one cycle");
}

/* Tell which registers of a set were never written; a write that the bypass forwards right now counts as made. */
static void report_undefined(ts_aie2_core *core, const uint64_t reads[3]) {
    uint64_t miss[3] = {reads[0] & ~core->valid[0], reads[1] & ~core->valid[1], reads[2] & ~core->valid[2]};
    const bucket *now = bucket_of(core, 1);
    for (unsigned i = 0; i < now->n_vector; i++) {
        const pending *p = &now->vector[i];
        if (p->byp && p->at < TS_RF_Q) miss[2] &= ~(((1ull << p->bytes / 32) - 1) << (p->at - TS_RF_X) / 32);
    }
    for (int r = 0; r < TS_REGS && (miss[0] | miss[1] | miss[2]); r++) {
        const ts_aie2_reginfo *info = &ts_aie2_regs[r];
        uint64_t u[3];
        if (info->kind >= TS_K_L || info->kind == TS_K_X || info->kind == TS_K_BM || info->kind == TS_K_CM)
            continue; /* tell the parts */
        ts_aie2_units_of((ts_aie2_reg)r, u);
        if (!((u[0] & miss[0]) | (u[1] & miss[1]) | (u[2] & miss[2]))) continue;
        for (int i = 0; i < 3; i++) {
            miss[i] &= ~u[i];
            core->valid[i] |= u[i]; /* told once */
        }
        core->out.undefined(core->out.ud, core->pc, (ts_aie2_reg)r);
    }
}

void ts_aie2_note_read(ts_aie2_core *core, unsigned at, unsigned bytes) {
    if (!core->check_undefined || !core->out.undefined) return;
    uint64_t reads[3] = {0, 0, 0};
    if (at >= TS_RF_X && at < TS_RF_Q) reads[2] = ((1ull << bytes / 32) - 1) << (at - TS_RF_X) / 32;
    else if (at < TS_RF_X) reads[at / 256] = 1ull << at / 4 % 64;
    if ((reads[0] & ~core->valid[0]) | (reads[1] & ~core->valid[1]) | (reads[2] & ~core->valid[2]))
        report_undefined(core, reads);
}

/* ---- registers --------------------------------------------------------------------------------------------------- */

static inline void mark_valid(ts_aie2_core *core, unsigned at, unsigned bytes) {
    if (at < TS_RF_X) core->valid[at / 256] |= 1ull << at / 4 % 64;
    else if (at < TS_RF_Q) core->valid[2] |= ((1ull << bytes / 32) - 1) << (at - TS_RF_X) / 32;
    else core->valid[2] |= 1ull << (60 + (at - TS_RF_Q) / 16);
}

/* The writes of a cycle land. */
static inline void commit(ts_aie2_core *core, bucket *b) {
    for (unsigned i = 0; i < b->n_scalar; i++) {
        unsigned at = b->scalar[i].at;
        uint32_t v = b->scalar[i].value;
        if (b->scalar[i].is_or) v |= get32(core, at);
        memcpy(core->rf + at, &v, 4);
        core->valid[at / 256] |= 1ull << at / 4 % 64;
    }
    for (unsigned i = 0; i < b->n_vector; i++) {
        const pending *p = &b->vector[i];
        if (p->bytes == 32) memcpy(core->rf + p->at, p->v.b, 32);
        else if (p->bytes == 64) memcpy(core->rf + p->at, p->v.b, 64);
        else if (p->bytes == 128) memcpy(core->rf + p->at, p->v.b, 128);
        else memcpy(core->rf + p->at, p->v.b, p->bytes);
        mark_valid(core, p->at, p->bytes);
    }
    b->n_scalar = b->n_vector = 0;
    b->byp = 0;
}

const uint8_t *ts_aie2_bypassed(ts_aie2_core *core, unsigned byp, unsigned at, unsigned bytes) {
    const bucket *b = bucket_of(core, 1);
    uint8_t *copy = NULL;
    for (unsigned i = 0; i < b->n_vector; i++) {
        const pending *p = &b->vector[i];
        if (p->byp != byp || p->at >= at + bytes || at >= (unsigned)p->at + p->bytes) continue;
        if (p->at <= at && (unsigned)p->at + p->bytes >= at + bytes && i + 1 == b->n_vector)
            return p->v.b + (at - p->at);
        if (!copy) {
            copy = core->pipe->scratch[core->pipe->n_scratch++ % 4].b;
            memcpy(copy, core->rf + at, bytes);
        }
        unsigned from = p->at > at ? p->at : at;
        unsigned to = p->at + p->bytes < at + bytes ? (unsigned)p->at + p->bytes : at + bytes;
        memcpy(copy + (from - at), p->v.b + (from - p->at), to - from);
    }
    return copy ? copy : core->rf + at;
}

void ts_aie2_core_get(const ts_aie2_core *core, ts_aie2_reg reg, void *value) {
    memcpy(value, core->rf + ts_aie2_regs[reg].at, ts_aie2_regs[reg].bytes);
}

void ts_aie2_core_set(ts_aie2_core *core, ts_aie2_reg reg, const void *value) {
    uint64_t u[3];
    assert(ts_aie2_regs[reg].kind != TS_K_D && ts_aie2_regs[reg].kind != TS_K_D3);
    memcpy(core->rf + ts_aie2_regs[reg].at, value, ts_aie2_regs[reg].bytes);
    ts_aie2_units_of(reg, u);
    for (int i = 0; i < 3; i++) core->valid[i] |= u[i];
}

bool ts_aie2_core_defined(const ts_aie2_core *core, ts_aie2_reg reg) {
    uint64_t u[3];
    ts_aie2_units_of(reg, u);
    return !((u[0] & ~core->valid[0]) | (u[1] & ~core->valid[1]) | (u[2] & ~core->valid[2]));
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* The banks of an access: 8 of 8 KiB, 128 bits wide, paired so that 16-byte lines alternate within 16 KiB. */
static uint8_t banks_of(uint32_t addr, unsigned bytes) {
    unsigned pair = 2 * (addr >> 14 & 3);
    return (uint8_t)(bytes > 16 ? 3u << pair : 1u << (pair + (addr >> 4 & 1)));
}

uint8_t *ts_aie2_memory(ts_aie2_core *core, uint32_t addr, unsigned bytes) {
    unsigned window = (addr >> 16) - 4;
    uint32_t offset = addr & 0xffff;
    if (window >= TS_AIE2_WINDOWS || !core->out.mem[window]) {
        uint8_t *m = core->out.mem_other ? core->out.mem_other(core->out.ud, addr, bytes) : NULL;
        if (m) return m;
        ts_aie2_fail(core, "no memory at address 0x%05x", addr);
        return NULL;
    }
    if (offset + bytes > TS_AIE2_DM_BYTES) {
        ts_aie2_fail(core, "an access of %u bytes at 0x%05x crosses the end of a memory", bytes, addr);
        return NULL;
    }
    ts_aie2_pipe *p = core->pipe;
    if (window == TS_AIE2_OWN && p->n_access < MAX_ACCESS) {
        uint8_t banks = banks_of(addr, bytes);
        p->access[p->n_access++] = banks;
        p->collision |= p->touched & banks;
        p->touched |= banks;
    }
    return core->out.mem[window] + offset;
}

/* Cycles lost to accesses of one cycle that share a bank: each bank serves one a cycle. */
static unsigned bank_stalls(const ts_aie2_pipe *p) {
    unsigned most = 1;
    for (unsigned bank = 0; bank < 8; bank++) {
        unsigned n = 0;
        for (unsigned i = 0; i < p->n_access; i++) n += p->access[i] >> bank & 1;
        if (n > most) most = n;
    }
    return most - 1;
}

/* ---- program memory ---------------------------------------------------------------------------------------------- */

static const ts_aie2_dbundle *fetch_slow(ts_aie2_core *core, uint32_t pc) {
    ts_aie2_prog *p = core->prog;
    if (pc % 2 || pc >= TS_AIE2_PM_BYTES) {
        ts_aie2_fail(core, "the program counter is outside program memory");
        return NULL;
    }
    unsigned n = p->n;
    if (!p->chunk[n / CHUNK] && !(p->chunk[n / CHUNK] = ts_alloc(CHUNK, sizeof(ts_aie2_dbundle)))) {
        ts_fail(&core->error, TS_E_NOMEM, "out of memory: could not decode the program");
        return NULL;
    }
    ts_aie2_dbundle *d = &p->chunk[n / CHUNK][n % CHUNK];
    ts_aie2_predecode(d, p->code + pc, TS_AIE2_PM_BYTES - pc);
    p->at[pc / 2] = (uint16_t)(++p->n);
    return d;
}

static inline const ts_aie2_dbundle *fetch(ts_aie2_core *core, uint32_t pc) {
    const ts_aie2_prog *p = core->prog;
    unsigned n = pc < TS_AIE2_PM_BYTES && !(pc & 1) ? p->at[pc / 2] : 0;
    if (n) return &p->chunk[(n - 1) / CHUNK][(n - 1) % CHUNK];
    return fetch_slow(core, pc);
}

const ts_aie2_bundle *ts_aie2_core_next(ts_aie2_core *core) {
    if (core->pc >= TS_AIE2_PM_BYTES) return NULL;
    ts_status e =
        ts_aie2_bundle_decode(&core->pipe->next, core->prog->code + core->pc, TS_AIE2_PM_BYTES - core->pc, NULL);
    return e == TS_OK ? &core->pipe->next : NULL;
}

/* The bundle cannot run: say why. */
static void explain_bad(ts_aie2_core *core) {
    ts_err why;
    ts_aie2_bundle b;
    if (ts_aie2_bundle_decode(&b, core->prog->code + core->pc, TS_AIE2_PM_BYTES - core->pc, &why) != TS_OK) {
        ts_aie2_fail(core, "%s", why.msg);
        return;
    }
    for (int s = 0; s < TS_SLOTS; s++)
        if (b.set >> s & 1 && !ts_aie2_modelled(b.inst[s].id))
            ts_aie2_fail(core, "%s is not modelled", ts_aie2_insns[b.inst[s].id].name);
}

void ts_aie2_branch(ts_aie2_core *core, uint32_t target) {
    if (core->branch_in) ts_aie2_fail(core, "a branch in the delay slots of another");
    core->branch_target = target;
    core->branch_in = 6; /* this bundle and five more */
}

uint32_t ts_aie2_return_address(ts_aie2_core *core) {
    uint32_t pc = core->pc;
    for (int i = 0; i < 6 && pc < TS_AIE2_PM_BYTES; i++) pc += (uint32_t)ts_aie2_bundle_length(core->prog->code[pc]);
    return pc;
}

/* ---- the clock --------------------------------------------------------------------------------------------------- */

static void run_later(ts_aie2_core *core, bucket *b) {
    for (unsigned i = 0; i < b->n_later; i++) b->later[i].fn(core, b->later[i].op, &b->later[i]);
    b->n_later = 0;
}

/* The clock ticks: what was written in the cycle before can be read. */
static inline void tick(ts_aie2_core *core) {
    ts_aie2_pipe *p = core->pipe;
    p->t++;
    bucket *before = &p->ring[(p->t - 1) % RING];
    commit(core, before);
}

static inline bool may_issue(ts_aie2_core *core, const ts_aie2_dbundle *d) {
    for (unsigned i = 0; i < d->n_ops; i++) {
        if (d->op[i].kind == OP_PLAIN || core->blocked >> i & 1) continue;
        if (!ts_aie2_try(core, &d->op[i], i)) return false;
        core->blocked |= 1u << i;
    }
    core->blocked = 0;
    return true;
}

ts_aie2_event ts_aie2_core_run(ts_aie2_core *core, uint64_t max_cycles) {
    ts_aie2_pipe *pipe = core->pipe;
    uint64_t end = core->cycle + max_cycles;
    bool fresh = true; /* a breakpoint does not stop the bundle that the run starts with */
    core->stall = TS_AIE2_STALL_NONE;
    while (core->cycle < end) {
        if (core->done) return TS_AIE2_DONE;
        if (core->error.code) return TS_AIE2_ERROR;
        if (core->has_break && core->pc == core->break_pc && !fresh) return TS_AIE2_BREAK;
        fresh = false;
        const ts_aie2_dbundle *d = fetch(core, core->pc);
        if (!d) return TS_AIE2_ERROR;
        if (d->is_bad) {
            explain_bad(core);
            return TS_AIE2_ERROR;
        }
        if (d->blocking && !may_issue(core, d)) {
            core->cycle++;
            return core->error.code ? TS_AIE2_ERROR : TS_AIE2_STALL;
        }
        if (core->check_undefined && core->out.undefined &&
            ((d->reads[0] & ~core->valid[0]) | (d->reads[1] & ~core->valid[1]) | (d->reads[2] & ~core->valid[2])))
            report_undefined(core, d->reads);
        pipe->n_access = pipe->touched = pipe->collision = 0;
        bucket *now = &pipe->ring[pipe->t % RING];
        if (now->n_later) run_later(core, now);
        for (unsigned i = 0; i < d->n_ops; i++) d->op[i].fn(core, &d->op[i], NULL);
        if (pipe->collision) {
            unsigned lost = bank_stalls(pipe);
            core->cycle += lost;
            core->bank_stalls += lost;
        }
        uint32_t next = core->pc + d->bytes;
        uint32_t count = get32(core, AT_LC);
        if (count && core->pc == get32(core, AT_LE)) { /* the loop's last bundle */
            count--;
            memcpy(core->rf + AT_LC, &count, 4);
            if (count) next = get32(core, AT_LS);
        }
        if (core->branch_in && !--core->branch_in) next = core->branch_target;
        tick(core);
        core->cycle++;
        core->bundles++;
        if (core->error.code) return TS_AIE2_ERROR; /* the program counter stays on the culprit */
        core->pc = next;
    }
    return core->done ? TS_AIE2_DONE : TS_AIE2_RAN;
}

void ts_aie2_core_drain(ts_aie2_core *core, unsigned cycles) {
    for (; cycles; cycles--) {
        bucket *now = &core->pipe->ring[core->pipe->t % RING];
        core->pipe->n_access = core->pipe->touched = 0;
        if (now->n_later) run_later(core, now);
        tick(core);
        core->cycle++;
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

ts_status ts_aie2_core_init(ts_aie2_core *core, const ts_aie2_outside *out, ts_err *err) {
    memset(core, 0, sizeof *core);
    core->out = *out;
    core->prog = core->own_prog = ts_calloc(1, sizeof *core->prog);
    core->pipe = ts_alloc_aligned(1, sizeof *core->pipe);
    if (!core->prog || !core->pipe) {
        ts_aie2_core_fini(core);
        return ts_fail_nomem(err, "a core", sizeof *core->prog + sizeof *core->pipe);
    }
    /* two-byte nops: the pattern 0x0001 */
    for (size_t i = 0; i < TS_AIE2_PM_BYTES; i += 2) core->prog->code[i] = 1;
    ts_aie2_core_reset(core);
    return TS_OK;
}

void ts_aie2_core_fini(ts_aie2_core *core) {
    if (!core) return;
    if (core->own_prog)
        for (int i = 0; i < CHUNKS; i++) ts_free(core->own_prog->chunk[i]);
    ts_free(core->own_prog);
    ts_free(core->pipe);
    core->prog = core->own_prog = NULL;
    core->pipe = NULL;
}

void ts_aie2_core_share(ts_aie2_core *core, const ts_aie2_core *owner) {
    core->prog = owner->prog;
}

ts_status ts_aie2_core_load(ts_aie2_core *core, uint32_t addr, const uint8_t *code, size_t len, ts_err *err) {
    if (addr > TS_AIE2_PM_BYTES || len > TS_AIE2_PM_BYTES - addr)
        return ts_fail(err, TS_E_LIMIT, "%zu bytes at 0x%x do not fit the %d bytes of program memory", len, addr,
                       TS_AIE2_PM_BYTES);
    if (len) memcpy(core->prog->code + addr, code, len);
    memset(core->prog->at, 0, sizeof core->prog->at);
    core->prog->n = 0;
    return TS_OK;
}

void ts_aie2_core_reset(ts_aie2_core *core) {
    memset(core->pipe, 0, sizeof *core->pipe);
    core->pipe->t = RING; /* so that t - 1 and earlier exist */
    core->pc = 0;
    core->cycle = core->bundles = core->bank_stalls = 0;
    core->stall = TS_AIE2_STALL_NONE;
    core->done = false;
    core->error = (ts_err){0};
    core->branch_in = 0;
    core->blocked = 0;
    memset(core->rf, 0, sizeof core->rf);
    memset(core->valid, 0, sizeof core->valid);
    for (int r = 0; r < TS_REGS; r++) {
        uint8_t kind = ts_aie2_regs[r].kind;
        if (kind != TS_K_CR && kind != TS_K_SR && kind != TS_K_LC && kind != TS_K_SP && kind != TS_K_COREID &&
            kind != TS_K_DP)
            continue;
        uint64_t u[3];
        ts_aie2_units_of((ts_aie2_reg)r, u);
        for (int i = 0; i < 3; i++) core->valid[i] |= u[i];
    }
}
