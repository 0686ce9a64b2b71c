#include "aie2/replay.h"

#include "aie2/bundle.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

enum {
    WORLDS = 8,
    MAX_STORES = 64,
    /* The kernel returns behind its last test: a branch and its five delay slots pass before the results are taken
     * away. A store that comes later than that is lost, as one capture shows [silicon]. */
    CYCLES_TO_EXIT = 5,
    /* Places of the buffers in the core's own memory; each world shifts them by a multiple of 64 bytes. */
    IN_AT = 0x71000,
    OUT_AT = 0x78000,
};

typedef struct store {
    uint32_t addr;
    unsigned at, bytes;
} store;

typedef struct world {
    ts_aie2_core core;
    uint8_t *mem; /* TS_AIE2_WINDOWS memories */
    uint32_t in_at, out_at;
    ts_rng rng;
    bool dropped;
    uint8_t elsewhere[128];
    store stores[MAX_STORES]; /* of the current test */
    unsigned n_stores;
} world;

static uint8_t *elsewhere(void *ud, uint32_t addr, unsigned bytes) {
    world *w = ud;
    (void)addr;
    for (unsigned i = 0; i < bytes; i++) w->elsewhere[i] = (uint8_t)ts_rng_u32(&w->rng);
    return w->elsewhere;
}

static void stored(void *ud, uint32_t addr, unsigned at, unsigned bytes) {
    world *w = ud;
    if (w->n_stores < MAX_STORES) w->stores[w->n_stores++] = (store){addr, at, bytes};
}

static bool stream_read(void *ud, uint32_t *word, bool *tlast) {
    world *w = ud;
    *word = ts_rng_u32(&w->rng);
    *tlast = false;
    return true;
}
static bool always_lock(void *ud, unsigned lock, int32_t value) {
    (void)ud, (void)lock, (void)value;
    return true;
}

/* What is unknown differs in every world: all zeros in one, all ones in another, random in the rest. */
static void fill(world *w, unsigned number, uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = number == 0 ? 0 : number == 1 ? 0xff : (uint8_t)ts_rng_u32(&w->rng);
}

static void unknown_register(world *w, unsigned number, ts_aie2_reg reg) {
    uint8_t v[128];
    const ts_aie2_reginfo *r = &ts_aie2_regs[reg];
    if (r->kind == TS_K_D || r->kind == TS_K_D3) return;
    fill(w, number, v, r->bytes);
    if (r->kind >= TS_K_P && r->kind <= TS_K_LE && r->kind != TS_K_LC) v[2] &= 0x0f, v[3] = 0; /* 20 bits */
    ts_aie2_core_set(&w->core, reg, v);
}

static ts_status make_world(world *w, unsigned number, const uint8_t *code, size_t code_len, ts_err *err) {
    memset(w, 0, sizeof *w);
    w->rng = ts_rng_seed(number);
    w->mem = ts_alloc(TS_AIE2_WINDOWS, TS_AIE2_DM_BYTES);
    if (!w->mem) return ts_fail_nomem(err, "a memory", (size_t)TS_AIE2_WINDOWS * TS_AIE2_DM_BYTES);
    ts_aie2_outside out = {.ud = w,
                           .elsewhere = elsewhere,
                           .stored = stored,
                           .acquire = always_lock,
                           .release = always_lock,
                           .stream_read = stream_read};
    for (int i = 0; i < TS_AIE2_WINDOWS; i++) out.mem[i] = w->mem + (size_t)i * TS_AIE2_DM_BYTES;
    TS_TRY(ts_aie2_core_init(&w->core, &out, err));
    TS_TRY(ts_aie2_core_load(&w->core, 0, code, code_len, err));
    fill(w, number, w->mem, (size_t)TS_AIE2_WINDOWS * TS_AIE2_DM_BYTES);
    for (int r = 0; r < TS_REGS; r++) {
        uint8_t kind = ts_aie2_regs[r].kind;
        if (kind != TS_K_CR && kind != TS_K_SR && kind != TS_K_LC && kind < TS_K_L && kind != TS_K_COREID)
            unknown_register(w, number, (ts_aie2_reg)r);
    }
    w->in_at = IN_AT + 64 * number;
    w->out_at = OUT_AT + 64 * number;
    ts_aie2_core_set32(&w->core, TS_R_p0, w->in_at);
    ts_aie2_core_set32(&w->core, TS_R_p1, w->out_at);
    return TS_OK;
}

static uint8_t *at_address(world *w, uint32_t addr) {
    return w->mem + (addr - 0x40000);
}

/* The model stopped at a bundle: step over it, its results unknown. */
static void step_over(world *w, unsigned number) {
    const ts_aie2_bundle *b = ts_aie2_core_next(&w->core);
    if (!b) return;
    for (int s = 0; s < TS_SLOTS; s++) {
        if (!(b->set >> s & 1)) continue;
        const ts_aie2_insninfo *info = &ts_aie2_insns[b->inst[s].id];
        for (int i = 0; i < info->n_ops; i++)
            if (info->op[i].role & TS_ROLE_DEF) unknown_register(w, number, (ts_aie2_reg)b->inst[s].v[i]);
    }
    w->core.pc += b->bytes;
    w->core.error = (ts_err){0};
}

/* Run one test in one world. The first reason not to know a result is kept. */
static void run_test(world *w, unsigned number, uint32_t end, ts_aie2_capture *c) {
    w->n_stores = 0;
    w->core.has_break = true;
    w->core.break_pc = end;
    for (int guard = 0; guard < 10000 && w->core.pc != end; guard++) {
        ts_aie2_event e = ts_aie2_core_run(&w->core, 10000);
        if (e == TS_AIE2_BREAK) break;
        if (e != TS_AIE2_ERROR && e != TS_AIE2_STALL) continue;
        if (!c->why[0])
            snprintf(c->why, sizeof c->why, "%s", e == TS_AIE2_STALL ? "waits for a stream or a lock" : w->core.error.msg);
        step_over(w, number);
    }
}

/* What the test left in the output buffer: defined where all worlds agree. */
static void look(world *ws, ts_aie2_capture *c) {
    int first = -1;
    for (int n = 0; n < WORLDS; n++) {
        if (ws[n].dropped) continue;
        const uint8_t *p = at_address(&ws[n], ws[n].out_at + c->out_offset);
        if (first < 0) {
            first = n;
            memcpy(c->got, p, c->out_len);
            memset(c->known, 1, c->out_len);
        }
        for (size_t i = 0; i < c->out_len; i++) c->known[i] &= p[i] == c->got[i];
    }
}

/* Use what the capture tells: drop the worlds that contradict it, take over stored registers. */
static void learn(world *ws, const ts_aie2_capture *c) {
    bool agrees[WORLDS], any = false, unsure = false;
    for (size_t i = 0; i < c->out_len; i++) unsure |= !c->known[i];
    if (!unsure || c->why[0]) return;
    for (int n = 0; n < WORLDS; n++) {
        agrees[n] = !ws[n].dropped && !memcmp(at_address(&ws[n], ws[n].out_at + c->out_offset), c->out, c->out_len);
        any |= agrees[n];
    }
    for (int n = 0; n < WORLDS; n++) {
        world *w = &ws[n];
        if (any) w->dropped |= !agrees[n];
        if (w->dropped || any) continue;
        for (unsigned s = 0; s < w->n_stores; s++) {
            const store *st = &w->stores[s];
            uint32_t from = st->addr - w->out_at - c->out_offset;
            if (from >= c->out_len || st->bytes > c->out_len - from) continue;
            uint8_t *m = at_address(w, st->addr);
            if (!memcmp(w->core.rf + st->at, m, st->bytes)) memcpy(w->core.rf + st->at, c->out + from, st->bytes);
        }
    }
}

static void judge(ts_aie2_capture *c) {
    bool differs = false, unsure = false;
    for (size_t i = 0; i < c->out_len; i++) {
        differs |= c->known[i] && c->got[i] != c->out[i];
        unsure |= !c->known[i];
    }
    c->verdict = c->why[0] ? TS_REPLAY_NOT_MODELLED
                 : differs ? TS_REPLAY_DIFFERENT
                 : unsure  ? TS_REPLAY_UNDEFINED
                           : TS_REPLAY_EQUAL;
}

static ts_status check_sizes(const ts_aie2_capture *c, size_t n, size_t *code_len, ts_err *err) {
    *code_len = 0;
    for (size_t i = 0; i < n; i++) {
        *code_len += c[i].code_len;
        if (c[i].code_len > TS_AIE2_PM_BYTES || *code_len > TS_AIE2_PM_BYTES)
            return ts_fail(err, TS_E_FORMAT, "test %zu: the batch does not fit program memory", i);
        for (size_t at = 0; at < c[i].code_len;) {
            ts_aie2_bundle b;
            ts_status e = ts_aie2_bundle_decode(&b, c[i].code + at, c[i].code_len - at, err);
            if (e != TS_OK) return ts_err_prefix(err, e, "test %zu, byte %zu of its code", i, at);
            at += b.bytes;
        }
        if (c[i].in_offset > OUT_AT - IN_AT || c[i].in_len > OUT_AT - IN_AT - c[i].in_offset ||
            c[i].out_offset > 0x7000 || c[i].out_len > 0x7000 - c[i].out_offset)
            return ts_fail(err, TS_E_FORMAT, "test %zu: its buffers lie outside the 28 KiB that are set aside", i);
    }
    return TS_OK;
}

ts_status ts_aie2_replay(ts_aie2_capture *c, size_t n, ts_err *err) {
    size_t code_len;
    TS_TRY(check_sizes(c, n, &code_len, err));
    uint8_t *code = ts_alloc(code_len + 1, 1);
    world *ws = ts_calloc(WORLDS, sizeof *ws);
    ts_status e = code && ws ? TS_OK : ts_fail_nomem(err, "a replay", code_len + WORLDS * sizeof *ws);
    size_t at = 0;
    for (size_t i = 0; i < n && e == TS_OK; i++) {
        if (c[i].code_len) memcpy(code + at, c[i].code, c[i].code_len);
        at += c[i].code_len;
        c[i].why[0] = 0;
    }
    for (unsigned k = 0; k < WORLDS && e == TS_OK; k++) {
        e = make_world(&ws[k], k, code, code_len, err);
        if (e != TS_OK) break;
        for (size_t i = 0; i < n; i++) {
            if (c[i].out_len) memset(at_address(&ws[k], ws[k].out_at + c[i].out_offset), 0, c[i].out_len);
            if (c[i].in_len) memcpy(at_address(&ws[k], ws[k].in_at + c[i].in_offset), c[i].in, c[i].in_len);
        }
    }
    uint32_t end = 0;
    for (size_t i = 0; i < n && e == TS_OK; i++) {
        end += (uint32_t)c[i].code_len;
        for (unsigned k = 0; k < WORLDS; k++) run_test(&ws[k], k, end, &c[i]);
        look(ws, &c[i]);
        learn(ws, &c[i]);
        /* judged with what was known before; late stores are looked at once more at the end */
        judge(&c[i]);
    }
    for (unsigned k = 0; k < WORLDS && e == TS_OK; k++) ts_aie2_core_drain(&ws[k].core, CYCLES_TO_EXIT);
    for (size_t i = 0; i < n && e == TS_OK; i++) {
        if (c[i].verdict != TS_REPLAY_DIFFERENT) continue;
        look(ws, &c[i]);
        judge(&c[i]);
    }
    for (unsigned k = 0; ws && k < WORLDS; k++) {
        ts_aie2_core_fini(&ws[k].core);
        ts_free(ws[k].mem);
    }
    ts_free(ws);
    ts_free(code);
    return e;
}
