#include "aie2/replay.h"

#include "aie2/bundle.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

enum {
    /* Unknown scalars have the world's number in their low bits: every lane index and every shuffle mode occurs. */
    WORLDS = 64,
    MAX_STORES = 64,
    DRAIN_CYCLES = 16,
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
    uint8_t *mem; /* the core's own memory; what is in others is never known */
    uint32_t in_at, out_at;
    ts_rng rng;
    uint8_t other[128];
    store stores[MAX_STORES]; /* of the current test */
    unsigned n_stores;
    uint8_t before[TS_RF_BYTES]; /* the registers as the current test found them */
} world;

static uint8_t *other_memory(void *ud, uint32_t addr, unsigned bytes) {
    world *w = ud;
    (void)addr;
    for (unsigned i = 0; i < bytes; i++) w->other[i] = (uint8_t)ts_rng_u32(&w->rng);
    return w->other;
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

/* What is unknown differs in every world: all zeros in the first, all ones in the last, random in the rest. */
static void fill(world *w, unsigned number, uint8_t *p, size_t n) {
    if (number == 0 || number == WORLDS - 1) {
        memset(p, number ? 0xff : 0, n);
        return;
    }
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = ts_rng_u64(&w->rng);
        memcpy(p + i, &v, n - i < 8 ? n - i : 8);
    }
}

static void unknown_register(world *w, unsigned number, ts_aie2_reg reg) {
    uint8_t v[128];
    const ts_aie2_reginfo *r = &ts_aie2_regs[reg];
    if (r->kind == TS_K_D || r->kind == TS_K_D3) return;
    fill(w, number, v, r->bytes);
    if (r->bytes == 4) v[0] = (uint8_t)((v[0] & 0xc0) | number);
    if (r->kind >= TS_K_P && r->kind <= TS_K_LE && r->kind != TS_K_LC) v[2] &= 0x0f, v[3] = 0; /* 20 bits */
    ts_aie2_core_set(&w->core, reg, v);
}

static ts_status make_world(world *w, unsigned number, const world *first, const uint8_t *code, size_t code_len,
                            ts_err *err) {
    memset(w, 0, sizeof *w);
    w->rng = ts_rng_seed(number);
    w->mem = ts_alloc(TS_AIE2_DM_BYTES, 1);
    if (!w->mem) return ts_fail_nomem(err, "a memory", TS_AIE2_DM_BYTES);
    ts_aie2_outside out = {.ud = w,
                           .mem_other = other_memory,
                           .stored = stored,
                           .acquire = always_lock,
                           .release = always_lock,
                           .stream_read = stream_read};
    out.mem[TS_AIE2_OWN] = w->mem;
    TS_TRY(ts_aie2_core_init(&w->core, &out, err));
    if (w == first) TS_TRY(ts_aie2_core_load(&w->core, 0, code, code_len, err));
    else ts_aie2_core_share(&w->core, &first->core);
    w->core.timer = ts_rng_u64(&w->rng);
    fill(w, number, w->mem, TS_AIE2_DM_BYTES);
    for (int r = 0; r < TS_REGS; r++) {
        uint8_t kind = ts_aie2_regs[r].kind;
        if (kind != TS_K_CR && kind != TS_K_SR && kind != TS_K_LC && kind < TS_K_L && kind != TS_K_COREID)
            unknown_register(w, number, (ts_aie2_reg)r);
    }
    w->in_at = IN_AT + 64 * (number % 8);
    w->out_at = OUT_AT + 64 * (number / 8);
    ts_aie2_core_set32(&w->core, TS_R_p0, w->in_at);
    ts_aie2_core_set32(&w->core, TS_R_p1, w->out_at);
    return TS_OK;
}

static uint8_t *at_address(world *w, uint32_t addr) {
    return w->mem + (addr & 0xffff);
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
static ts_status run_test(world *w, unsigned number, uint32_t end, ts_aie2_capture *c, ts_err *err) {
    w->n_stores = 0;
    memcpy(w->before, w->core.rf, sizeof w->before);
    w->core.has_break = true;
    w->core.break_pc = end;
    for (int guard = 0; guard < 10000 && w->core.pc != end; guard++) {
        ts_aie2_event e = ts_aie2_core_run(&w->core, 10000);
        if (e == TS_AIE2_BREAK) break;
        if (e != TS_AIE2_ERROR && e != TS_AIE2_STALL) continue;
        if (w->core.error.code == TS_E_NOMEM) return ts_fail(err, TS_E_NOMEM, "%s", w->core.error.msg);
        if (!c->why[0])
            snprintf(c->why, sizeof c->why, "%s",
                     e == TS_AIE2_STALL ? "waits for a stream or a lock" : w->core.error.msg);
        step_over(w, number);
    }
    return TS_OK;
}

/* What the test left in the output buffer: defined where all worlds agree. Buffers went to memory in words: of a last
 * word that the batch does not fill, nothing was captured [silicon: both batches of odd size]. */
static void look(world *ws, ts_aie2_capture *c, uint32_t captured_end) {
    memcpy(c->got, at_address(&ws[0], ws[0].out_at + c->out_offset), c->out_len);
    memset(c->known, 1, c->out_len);
    for (int n = 1; n < WORLDS; n++) {
        const uint8_t *p = at_address(&ws[n], ws[n].out_at + c->out_offset);
        for (size_t i = 0; i < c->out_len; i++) c->known[i] &= p[i] == c->got[i];
    }
    for (size_t i = 0; i < c->out_len; i++) c->known[i] &= c->out_offset + i < captured_end;
}

/* A register of a world turns out to hold another value: correct it, and where the test had just copied it there with a
 * `mov`, its source as well. */
static void correct(world *w, const ts_aie2_capture *c, unsigned at, const uint8_t *value, unsigned bytes) {
    uint8_t old[128];
    memcpy(old, w->core.rf + at, bytes);
    memcpy(w->core.rf + at, value, bytes);
    if (bytes != 4) return;
    uint32_t was, is;
    memcpy(&was, old, 4);
    memcpy(&is, value, 4);
    ts_aie2_bundle b;
    for (size_t i = 0; i < c->code_len && ts_aie2_bundle_decode(&b, c->code + i, c->code_len - i, NULL) == TS_OK;
         i += b.bytes) {
        const ts_aie2_inst *m = &b.inst[TS_SLOT_MV];
        if (b.set >> TS_SLOT_MV & 1 && m->id == TS_I_MOV_CNTR) { /* the halves are stored, and come here, one by one */
            unsigned lo = ts_aie2_regs[m->v[0]].at;
            uint32_t low = (uint32_t)w->core.timer + (is - was);
            if (at == lo) w->core.timer = (w->core.timer >> 32 << 32) | low;
            else if (at == lo + 4) w->core.timer += (uint64_t)(is - was) << 32;
        }
        if (!(b.set >> TS_SLOT_MV & 1) || m->id != TS_I_MOV_mv_scl || ts_aie2_regs[m->v[0]].at != at) continue;
        uint8_t *from = w->core.rf + ts_aie2_regs[m->v[1]].at;
        if (!memcmp(from, old, 4)) memcpy(from, value, 4);
    }
}

/* The registers that a test reads: what the worlds disagree on may be there. */
static void take_sources(world *to, const world *from, const ts_aie2_capture *c) {
    ts_aie2_bundle b;
    for (size_t i = 0; i < c->code_len && ts_aie2_bundle_decode(&b, c->code + i, c->code_len - i, NULL) == TS_OK;
         i += b.bytes)
        for (int s = 0; s < TS_SLOTS; s++) {
            if (!(b.set >> s & 1)) continue;
            const ts_aie2_insninfo *info = &ts_aie2_insns[b.inst[s].id];
            for (int k = 0; k < info->n_ops; k++) {
                if (info->op[k].kind == TS_OP_IMM || !(info->op[k].role & TS_ROLE_USE)) continue;
                const ts_aie2_reginfo *r = &ts_aie2_regs[b.inst[s].v[k]];
                uint8_t *mine = to->core.rf + r->at;
                /* addresses differ by right */
                if (r->kind == TS_K_P || r->kind == TS_K_D || r->kind == TS_K_D3) continue;
                if (!memcmp(to->before + r->at, mine, r->bytes)) memcpy(mine, from->core.rf + r->at, r->bytes);
            }
        }
}

/* Use what the capture tells. When some worlds agree with it, the others take over what the test read there; when none
 * does, registers that the test stored are taken from the capture. */
static void learn(world *ws, const ts_aie2_capture *c) {
    int agrees[WORLDS], n_agree = 0;
    bool unsure = false;
    for (size_t i = 0; i < c->out_len; i++) unsure |= !c->known[i];
    if (!unsure || c->why[0]) return;
    for (int n = 0; n < WORLDS; n++)
        if (!memcmp(at_address(&ws[n], ws[n].out_at + c->out_offset), c->out, c->out_len)) agrees[n_agree++] = n;
    for (int n = 0, k = 0, next = 0; n < WORLDS; n++) {
        world *w = &ws[n];
        if (next < n_agree && agrees[next] == n) {
            next++;
            continue;
        }
        if (n_agree) {
            take_sources(w, &ws[agrees[k++ % n_agree]], c);
            continue;
        }
        for (unsigned s = 0; s < w->n_stores; s++) {
            const store *st = &w->stores[s];
            uint32_t from = st->addr - w->out_at - c->out_offset;
            if (from >= c->out_len || st->bytes > c->out_len - from) continue;
            if (!memcmp(w->core.rf + st->at, at_address(w, st->addr), st->bytes))
                correct(w, c, st->at, c->out + from, st->bytes);
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

/* The captures' inputs are bytes of one generator. Where the tests of a batch agree with it, what lies between their
 * inputs is known too. */
static void known_inputs(world *ws, const ts_aie2_capture *c, size_t n) {
    uint32_t end = 0;
    for (size_t i = 0; i < n; i++)
        if (c[i].in_offset + c[i].in_len > end) end = c[i].in_offset + (uint32_t)c[i].in_len;
    end = (end + 31) & ~31u;
    uint32_t x = 42;
    for (uint32_t at = 0; at < end; at++) {
        x = (x * 1103515245 + 12345) & 0x7fffffff;
        for (unsigned k = 0; k < WORLDS; k++) *at_address(&ws[k], ws[k].in_at + at) = (uint8_t)(x >> 16);
    }
    for (size_t i = 0; i < n; i++)
        if (c[i].in_len && memcmp(at_address(&ws[0], ws[0].in_at + c[i].in_offset), c[i].in, c[i].in_len) != 0) {
            for (unsigned k = 0; k < WORLDS; k++) fill(&ws[k], k, at_address(&ws[k], ws[k].in_at), end);
            return;
        }
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
        if (c[i].in_offset > 0x6000 || c[i].in_len > 0x6000 - c[i].in_offset ||
            c[i].out_offset > 0x6000 || c[i].out_len > 0x6000 - c[i].out_offset)
            return ts_fail(err, TS_E_FORMAT, "test %zu: its buffers lie outside the 24 KiB that are set aside", i);
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
    for (unsigned k = 0; k < WORLDS && e == TS_OK; k++) e = make_world(&ws[k], k, ws, code, code_len, err);
    if (e == TS_OK) known_inputs(ws, c, n);
    for (unsigned k = 0; k < WORLDS && e == TS_OK; k++) {
        for (size_t i = 0; i < n; i++) {
            if (c[i].out_len) memset(at_address(&ws[k], ws[k].out_at + c[i].out_offset), 0, c[i].out_len);
            if (c[i].in_len) memcpy(at_address(&ws[k], ws[k].in_at + c[i].in_offset), c[i].in, c[i].in_len);
        }
    }
    uint32_t end = 0, captured_end = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t last = c[i].out_offset + (uint32_t)c[i].out_len;
        if (last > captured_end) captured_end = last;
    }
    captured_end &= ~3u;
    for (size_t i = 0; i < n && e == TS_OK; i++) {
        end += (uint32_t)c[i].code_len;
        for (unsigned k = 0; k < WORLDS && e == TS_OK; k++) e = run_test(&ws[k], k, end, &c[i], err);
        if (e != TS_OK) break;
        look(ws, &c[i], captured_end);
        learn(ws, &c[i]);
        /* judged with what was known before; late stores are looked at once more at the end */
        judge(&c[i]);
    }
    for (unsigned k = 0; k < WORLDS && e == TS_OK; k++) ts_aie2_core_drain(&ws[k].core, DRAIN_CYCLES);
    for (size_t i = 0; i < n && e == TS_OK; i++) {
        if (c[i].verdict != TS_REPLAY_DIFFERENT) continue;
        look(ws, &c[i], captured_end);
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
