/* hazard.c - the static timing check of a program: the pipeline has no interlock, so what the checker does not find is
 * found by wrong results.
 *
 * For every bundle the ways that lead to it are walked back as far as a result can be under way, and each pair of
 * instructions on the way is compared: reads against writes, and the units that both occupy. */
#include "aie2/asm.h"

#include <stdio.h>
#include <string.h>

enum {
    REACH = 12,         /* no result or unit use lasts longer */
    DELAY_SLOTS = 5,
    MAX_WAYS = 4000,    /* steps of one walk; a program of many short blocks is cut off there */
    MAX_MESSAGES = 60,
    LEAD_BYTES = 96,    /* production code sets LE this far before the LE bundle */
    SHORT_LOOP_BYTES = 0x60,
};

/* A register access of an instruction. */
typedef struct access {
    uint64_t units[3];
    uint16_t reg;
    uint8_t cycle, bypass;
    bool told; /* a read that was complained about */
} access;

/* What the check needs of an instruction. */
typedef struct timing {
    const ts_aie2_insninfo *info;
    const ts_aie2_inst *inst;
    access read[16], write[12];
    ts_aie2_unituse unit[TS_MAX_UNITS + 2];
    uint8_t n_reads, n_writes, n_units, slot;
    bool is_branch;
} timing;

typedef struct block {
    timing t[6];
    uint8_t n;
    bool no_fall;       /* what follows is not reached from here: the last delay slot of a jump, or done */
    int32_t delay_of;   /* the line of the branch whose last delay slot this is, or -1 */
    int32_t target;     /* of a branch in this line: line, or -1 */
    uint32_t from, n_from; /* lines that come here by a branch or loop, in checker.edge */
} block;

typedef struct checker {
    ts_aie2_program *p;
    block *b;
    uint32_t *edge;
    size_t n_edges, cap_edges;
    bool nomem;
    unsigned n_messages;
} checker;

/* ---- preparation ------------------------------------------------------------------------------------------------- */

static void add_access(access *list, uint8_t *n, unsigned reg, unsigned cycle, unsigned bypass) {
    access *a = &list[(*n)++];
    ts_aie2_units_of((ts_aie2_reg)reg, a->units);
    a->reg = (uint16_t)reg;
    a->cycle = (uint8_t)cycle;
    a->bypass = (uint8_t)bypass;
}

/* The counts of a modifier: what a 2D or 3D access writes. */
static void add_counts(timing *t, unsigned reg) {
    const ts_aie2_reginfo *r = &ts_aie2_regs[reg];
    add_access(t->write, &t->n_writes, TS_R_dc0 + r->num, 1, TS_BYP_NONE);
    if (r->kind == TS_K_D3) add_access(t->write, &t->n_writes, TS_R_dc4 + r->num, 1, TS_BYP_NONE);
}

static bool is_address_kind(unsigned kind) {
    return kind == TS_K_P || kind == TS_K_M || kind == TS_K_DN || kind == TS_K_DJ || kind == TS_K_DC;
}

/* Ports that depend on the registers: zero, one or two units for one entry of the table. */
static void add_unit(timing *t, ts_aie2_unituse u) {
    static const uint8_t wm_of[] = {[TS_K_P] = TS_U_P_WM,   [TS_K_M] = TS_U_M_WM,   [TS_K_DN] = TS_U_DN_WM,
                                    [TS_K_DJ] = TS_U_DJ_WM, [TS_K_DC] = TS_U_DC_WM};
    unsigned def = TS_REGS, use = TS_REGS;
    for (int i = 0; i < t->info->n_ops; i++) {
        const ts_aie2_operand *o = &t->info->op[i];
        if (o->kind != TS_OP_REG || o->cls == TS_C_eP) continue;
        if (o->role == TS_ROLE_DEF && def == TS_REGS) def = (unsigned)t->inst->v[i];
        if (o->role == TS_ROLE_USE && o->cls != TS_C_eM && o->cls != TS_C_eDJ && use == TS_REGS)
            use = (unsigned)t->inst->v[i];
    }
    unsigned dk = def < TS_REGS ? ts_aie2_regs[def].kind : TS_K_R, uk = use < TS_REGS ? ts_aie2_regs[use].kind : TS_K_R;
    bool acc = dk == TS_K_AM || dk == TS_K_BM || dk == TS_K_CM, two = false;
    switch (u.unit) {
    case TS_U_SCLA:
        u.unit = is_address_kind(dk) ? wm_of[dk] : TS_U_R_WA;
        if (dk != TS_K_R && !is_address_kind(dk)) return;
        break;
    case TS_U_SCLM:
        u.unit = TS_U_RS_WM;
        two = is_address_kind(dk);
        break;
    case TS_U_PRM:
        if (!is_address_kind(uk)) return;
        u.unit = TS_U_P_RM;
        break;
    case TS_U_VECWM: u.unit = acc ? TS_U_CM_WM : TS_U_W_WM; break;
    case TS_U_VECWA: u.unit = acc ? TS_U_CM_WM : TS_U_W_WA; break;
    case TS_U_CMRM_SRC:
        if (uk != TS_K_AM && uk != TS_K_BM && uk != TS_K_CM) return;
        u.unit = TS_U_CM_RM;
        break;
    default: break;
    }
    t->unit[t->n_units++] = u;
    if (two) {
        u.unit = wm_of[dk];
        t->unit[t->n_units++] = u;
    }
}

static void prepare(timing *t, const ts_aie2_inst *inst, unsigned slot) {
    const ts_aie2_insninfo *info = &ts_aie2_insns[inst->id];
    *t = (timing){.info = info, .inst = inst, .slot = (uint8_t)slot};
    for (int i = 0; i < info->n_ops; i++) {
        const ts_aie2_operand *o = &info->op[i];
        if (o->kind == TS_OP_IMM) continue;
        unsigned reg = (unsigned)inst->v[i], kind = ts_aie2_regs[reg].kind, bypass = o->bypass;
        if (bypass == TS_BYP_MOVW) bypass = kind == TS_K_WL || kind == TS_K_X ? TS_BYP_MOV : TS_BYP_NONE;
        if (o->role & TS_ROLE_USE) add_access(t->read, &t->n_reads, reg, o->use_cycle, bypass);
        if (!(o->role & TS_ROLE_DEF)) continue;
        if (kind == TS_K_D || kind == TS_K_D3) add_counts(t, reg);
        else add_access(t->write, &t->n_writes, reg, o->def_cycle, bypass);
    }
    for (int i = 0; i < info->n_implicit; i++) {
        const ts_aie2_implicit *m = &info->implicit[i];
        if (m->role == TS_ROLE_USE) add_access(t->read, &t->n_reads, m->reg, m->cycle, TS_BYP_NONE);
        if (m->role == TS_ROLE_DEF) add_access(t->write, &t->n_writes, m->reg, m->cycle, TS_BYP_NONE);
    }
    for (int i = 0; i < info->n_units; i++) add_unit(t, info->unit[i]);
    const char *x = info->text;
    t->is_branch = (*x == 'j' && slot != TS_SLOT_VEC) || !strncmp(x, "ret", 3);
}

static int32_t line_at(const ts_aie2_program *p, int64_t addr) {
    size_t lo = 0, hi = p->n_lines;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (p->line[mid].addr < addr) lo = mid + 1;
        else hi = mid;
    }
    return lo < p->n_lines && p->line[lo].addr == addr ? (int32_t)lo : -1;
}

static void complain(checker *c, const char *at, bool is_error, const char *text) {
    if (c->n_messages++ >= MAX_MESSAGES) return;
    if (!ts_aie2_message(c->p, at, is_error, "%s", text)) c->nomem = true;
}

#define SAY(c, at, is_error, ...)                                                                                      \
    do {                                                                                                               \
        char text_[300];                                                                                               \
        snprintf(text_, sizeof text_, __VA_ARGS__);                                                                    \
        complain(c, at, is_error, text_);                                                                              \
    } while (0)

static const char *mnemonic(const timing *t, char buf[40]) {
    size_t n = strcspn(t->info->text, " ");
    snprintf(buf, 40, "%.*s", (int)(n < 39 ? n : 39), t->info->text);
    return buf;
}

/* ---- control flow ------------------------------------------------------------------------------------------------ */

typedef struct edge {
    uint32_t from, to;
} edge;

static void find_branches(checker *c) {
    ts_aie2_program *p = c->p;
    for (size_t i = 0; i < p->n_lines; i++) {
        block *b = &c->b[i];
        for (int k = 0; k < b->n; k++) {
            timing *t = &b->t[k];
            const char *pos = p->line[i].pos[t->slot];
            if (!strncmp(t->info->text, "done", 4)) b->no_fall = true;
            if (!t->is_branch) continue;
            size_t last = i + DELAY_SLOTS;
            if (last >= p->n_lines) {
                SAY(c, pos, true, "a branch needs five bundles behind it; the program ends after %zu",
                    p->n_lines - 1 - i);
                continue;
            }
            for (size_t d = i + 1; d <= last; d++)
                for (int m = 0; m < c->b[d].n; m++)
                    if (c->b[d].t[m].is_branch)
                        SAY(c, p->line[d].pos[c->b[d].t[m].slot], true,
                            "a branch among the five bundles behind another branch");
            c->b[last].delay_of = (int32_t)i;
            const char *x = t->info->text;
            bool call = !strncmp(x, "jl", 2), conditional = !strncmp(x, "jz", 2) || !strncmp(x, "jnz", 3);
            if (!call && !conditional) c->b[last].no_fall = true;
            for (int m = 0; m < t->info->n_ops; m++)
                if (t->info->op[m].kind == TS_OP_IMM) {
                    b->target = line_at(p, t->inst->v[m]);
                    if (b->target < 0)
                        SAY(c, pos, true, "no bundle starts at 0x%05x, where this branch goes",
                            (unsigned)t->inst->v[m]);
                }
        }
    }
}

static ts_aie2_loop *add_loop(checker *c, uint32_t first, uint32_t last, int64_t count, bool zero_overhead) {
    ts_aie2_program *p = c->p;
    for (size_t i = 0; i < p->n_loops; i++)
        if (p->loop[i].first == first && p->loop[i].last == last) return &p->loop[i];
    if (!ts_grow((void **)&p->loop, &p->cap_loops, p->n_loops + 1, sizeof *p->loop)) {
        c->nomem = true;
        return NULL;
    }
    p->loop[p->n_loops] = (ts_aie2_loop){
        .first = first, .last = last, .cycles = last - first + 1, .count = count, .zero_overhead = zero_overhead};
    return &p->loop[p->n_loops++];
}

/* The rules of a loop's place; `set` is the line that writes LE. */
static void check_loop(checker *c, const ts_aie2_loop *loop, size_t set, const char *pos) {
    const ts_aie2_line *first = &c->p->line[loop->first], *last = &c->p->line[loop->last];
    if (first->addr % 16)
        SAY(c, pos, true, "the loop's first bundle is at 0x%05x, not on a 16-byte boundary", first->addr);
    if (last->addr % 16)
        SAY(c, pos, true, "the loop's last bundle is at 0x%05x, not on a 16-byte boundary", last->addr);
    if (last->b.bytes != TS_BUNDLE_BYTES)
        SAY(c, last->text, true, "the last bundle of a loop must be 16 bytes, this one is %d", last->b.bytes);
    uint32_t lead = last->addr - c->p->line[set].addr;
    if (set < loop->last && lead < LEAD_BYTES)
        SAY(c, pos, true, "LE is set %u bytes before the loop's last bundle; the fetch unit needs %d", lead,
            LEAD_BYTES);
    uint32_t body = last->addr + last->b.bytes - first->addr;
    for (int k = 0; k < c->b[loop->last].n; k++) {
        const timing *t = &c->b[loop->last].t[k];
        if (!strncmp(t->info->text, "st.", 3) && t->info->mem_stage == 11 && body <= SHORT_LOOP_BYTES)
            SAY(c, last->pos[t->slot], true,
                "a partial-word store in the last bundle of a loop of %u bytes is lost; move it up", body);
    }
    for (uint32_t i = loop->last > DELAY_SLOTS ? loop->last - DELAY_SLOTS : 0; i <= loop->last; i++)
        for (int k = 0; k < c->b[i].n; k++)
            if (c->b[i].t[k].is_branch)
                SAY(c, c->p->line[i].pos[c->b[i].t[k].slot], true,
                    "a loop's last bundle may not be a branch or one of the five bundles behind it");
}

static void find_loops(checker *c) {
    ts_aie2_program *p = c->p;
    int64_t ls = -1, le = -1, count = -1;
    size_t le_line = 0;
    const char *le_pos = NULL;
    for (size_t i = 0; i < p->n_lines && !c->nomem; i++) {
        bool changed = false;
        for (int k = 0; k < c->b[i].n; k++) {
            const timing *t = &c->b[i].t[k];
            for (int w = 0; w < t->n_writes; w++) {
                unsigned reg = t->write[w].reg;
                if (reg != TS_R_LS && reg != TS_R_LE && reg != TS_R_LC) continue;
                bool constant = t->info->n_ops == 2 && t->info->op[1].kind == TS_OP_IMM;
                int64_t v = constant ? t->inst->v[1] : -1;
                if (reg == TS_R_LC) count = v;
                if (reg == TS_R_LS) ls = v, changed = true;
                if (reg == TS_R_LE) le = v, le_line = i, le_pos = p->line[i].pos[t->slot], changed = true;
            }
        }
        if (!changed || ls < 0 || le < 0) continue;
        int32_t first = line_at(p, ls), last = line_at(p, le);
        if (first < 0 || last < 0) {
            if (first < 0 && last < 0) continue; /* one of them is still to be set anew */
            SAY(c, le_pos, true, "no bundle starts at the loop's %s, 0x%05x", first < 0 ? "start" : "end",
                (unsigned)(first < 0 ? ls : le));
            continue;
        }
        if (last < first) continue;
        size_t before = p->n_loops;
        ts_aie2_loop *loop = add_loop(c, (uint32_t)first, (uint32_t)last, count, true);
        if (loop && p->n_loops > before) check_loop(c, loop, le_line, le_pos);
    }
    /* the count may be set behind LS and LE */
    for (size_t l = 0; l < p->n_loops; l++)
        for (size_t i = 0; i < p->loop[l].first && p->loop[l].count < 0; i++)
            for (int k = 0; k < c->b[i].n; k++) {
                const timing *t = &c->b[i].t[k];
                if (t->n_writes && t->write[0].reg == TS_R_LC && t->info->n_ops == 2 &&
                    t->info->op[1].kind == TS_OP_IMM)
                    p->loop[l].count = t->inst->v[1];
            }
    for (size_t i = 0; i < p->n_lines && !c->nomem; i++) /* loops by branch */
        if (c->b[i].target >= 0 && (size_t)c->b[i].target <= i && i + DELAY_SLOTS < p->n_lines)
            add_loop(c, (uint32_t)c->b[i].target, (uint32_t)(i + DELAY_SLOTS), -1, false);
}

/* Lists of the lines from which each line is reached other than by falling through. */
static bool make_edges(checker *c) {
    ts_aie2_program *p = c->p;
    edge *all = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < p->n_lines; i++) {
        if (c->b[i].target < 0 || i + DELAY_SLOTS >= p->n_lines) continue;
        if (!ts_grow((void **)&all, &cap, n + 1, sizeof *all)) goto nomem;
        all[n++] = (edge){(uint32_t)(i + DELAY_SLOTS), (uint32_t)c->b[i].target};
    }
    for (size_t i = 0; i < p->n_loops; i++) {
        if (!p->loop[i].zero_overhead) continue;
        if (!ts_grow((void **)&all, &cap, n + 1, sizeof *all)) goto nomem;
        all[n++] = (edge){p->loop[i].last, p->loop[i].first};
    }
    c->edge = ts_alloc(n + 1, sizeof *c->edge);
    if (!c->edge) goto nomem;
    for (size_t i = 0; i < n; i++) c->b[all[i].to].n_from++;
    uint32_t at = 0;
    for (size_t i = 0; i < p->n_lines; i++) {
        c->b[i].from = at;
        at += c->b[i].n_from;
        c->b[i].n_from = 0;
    }
    for (size_t i = 0; i < n; i++) {
        block *b = &c->b[all[i].to];
        c->edge[b->from + b->n_from++] = all[i].from;
    }
    ts_free(all);
    return true;
nomem:
    ts_free(all);
    c->nomem = true;
    return false;
}

/* ---- registers that are live ------------------------------------------------------------------------------------- */

/* By the equations of every compiler: a register is live at a bundle when some way on from there reads it before it
 * is written. A write counts from the bundle that issues it. */
static void find_live(checker *c) {
    ts_aie2_program *p = c->p;
    const size_t n = p->n_lines;
    typedef struct units {
        uint64_t u[3];
    } units;
    units *in = ts_calloc(n + 1, sizeof *in), *out = ts_calloc(n + 1, sizeof *out);
    if (!in || !out) c->nomem = true;
    for (bool again = !c->nomem; again;) {
        again = false;
        for (size_t i = n; i-- > 0;) {
            const block *b = &c->b[i];
            units now = {{0}}, def = {{0}};
            for (int w = 0; w < 3; w++) {
                for (int k = 0; k < b->n; k++) {
                    for (int r = 0; r < b->t[k].n_reads; r++) now.u[w] |= b->t[k].read[r].units[w];
                    for (int r = 0; r < b->t[k].n_writes; r++) def.u[w] |= b->t[k].write[r].units[w];
                }
                if (!b->no_fall) out[i].u[w] |= in[i + 1].u[w];
                now.u[w] |= out[i].u[w] & ~def.u[w];
                for (uint32_t k = 0; k < b->n_from; k++) out[c->edge[b->from + k]].u[w] |= now.u[w];
            }
            if (!memcmp(&now, &in[i], sizeof now)) continue;
            in[i] = now;
            again = true;
        }
    }
    for (size_t l = 0; l < p->n_loops && !c->nomem; l++) {
        units all = {{0}};
        for (uint32_t i = p->loop[l].first; i <= p->loop[l].last && i < n; i++)
            for (int w = 0; w < 3; w++) all.u[w] |= in[i].u[w];
        for (unsigned r = 0; r < TS_REGS; r++) {
            if (ts_aie2_regs[r].kind > TS_K_AM || ts_aie2_regs[r].kind == TS_K_X) continue; /* made of others */
            uint64_t u[3];
            ts_aie2_units_of((ts_aie2_reg)r, u);
            if ((u[0] & all.u[0]) | (u[1] & all.u[1]) | (u[2] & all.u[2]))
                p->loop[l].live[r / 8] |= (uint8_t)(1u << r % 8);
        }
    }
    ts_free(in);
    ts_free(out);
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static bool overlap(const access *a, const access *b) {
    return (a->units[0] & b->units[0]) | (a->units[1] & b->units[1]) | (a->units[2] & b->units[2]);
}

static void check_reads(checker *c, const timing *early, timing *late, unsigned d, size_t line) {
    const ts_aie2_line *l = &c->p->line[line];
    if (l->old >> late->slot & 1) return;
    for (int w = 0; w < early->n_writes; w++)
        for (int r = 0; r < late->n_reads; r++) {
            const access *a = &early->write[w];
            access *b = &late->read[r];
            if (b->told || !overlap(a, b)) continue;
            int need = a->cycle - b->cycle + 1 - (a->bypass && a->bypass == b->bypass);
            if ((int)d >= need || d == 0) continue;
            char m1[40];
            b->told = true;
            SAY(c, l->pos[late->slot], true,
                "%s is read %u bundle%s after %s; the result is there after %d, this reads the old value: put %d more "
                "between, or mark it @old",
                ts_aie2_reg_print((ts_aie2_reg)b->reg), d, d == 1 ? "" : "s", mnemonic(early, m1), need, need - (int)d);
            return; /* one message for a pair */
        }
}

static void check_writes(checker *c, const timing *early, const timing *late, unsigned d, size_t line) {
    for (int w = 0; w < early->n_writes; w++)
        for (int r = 0; r < late->n_writes; r++) {
            const access *a = &early->write[w], *b = &late->write[r];
            if (!overlap(a, b) || a->cycle != d + b->cycle) continue;
            if (early == late) continue;
            char m1[40];
            SAY(c, c->p->line[line].pos[late->slot], true, "%s is written in the same cycle by %s, %u bundle%s earlier",
                ts_aie2_reg_print((ts_aie2_reg)b->reg), mnemonic(early, m1), d, d == 1 ? "" : "s");
            return;
        }
}

static void check_units(checker *c, const timing *early, const timing *late, unsigned d, size_t line) {
    for (int i = 0; i < early->n_units; i++)
        for (int k = 0; k < late->n_units; k++) {
            const ts_aie2_unituse *a = &early->unit[i], *b = &late->unit[k];
            if (a->unit != b->unit || (a->avoid && b->avoid)) continue;
            unsigned b_first = d + b->first;
            if (a->first >= b_first + b->cycles || b_first >= (unsigned)a->first + a->cycles) continue;
            char m1[40], m2[40];
            SAY(c, c->p->line[line].pos[late->slot], true, "%s and %s, %u bundle%s earlier, both need %s",
                mnemonic(late, m2), mnemonic(early, m1), d, d == 1 ? "" : "s", ts_aie2_unit_names[a->unit]);
            return;
        }
}

/* A store that converts lands two cycles after an ordinary one: a load soon behind it may miss it. */
static void check_memory(checker *c, const timing *early, const timing *late, unsigned d, size_t line) {
    if (!(early->info->mem & TS_MEM_STORE) || early->info->mem_stage != 7 || late->info->mem != TS_MEM_LOAD || d > 2)
        return;
    for (int i = 0; i < early->n_reads; i++)
        for (int k = 0; k < late->n_reads; k++) {
            unsigned reg = early->read[i].reg;
            if (reg != late->read[k].reg || ts_aie2_regs[reg].kind != TS_K_P) continue;
            char m1[40];
            SAY(c, c->p->line[line].pos[late->slot], false,
                "this load is %u bundle%s behind %s through %s, whose data reach memory only for loads 3 bundles later",
                d, d == 1 ? "" : "s", mnemonic(early, m1), ts_aie2_reg_print((ts_aie2_reg)reg));
            return;
        }
}

static void check_pair(checker *c, size_t early, size_t late, unsigned d) {
    const block *a = &c->b[early];
    block *b = &c->b[late];
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < b->n; k++) {
            if (early == late && d == 0 && i >= k) continue;
            check_reads(c, &a->t[i], &b->t[k], d, late);
            check_writes(c, &a->t[i], &b->t[k], d, late);
            check_units(c, &a->t[i], &b->t[k], d, late);
            check_memory(c, &a->t[i], &b->t[k], d, late);
        }
}

/* Walk all ways that lead to `line`, back to REACH bundles; each (bundle, distance) once. */
static void walk_back(checker *c, size_t line, uint32_t (*seen)[REACH + 1], uint32_t mark) {
    struct {
        uint32_t line;
        uint8_t d;
    } stack[MAX_WAYS];
    size_t n = 0;
    unsigned steps = 0;
    stack[n].line = (uint32_t)line;
    stack[n++].d = 0;
    while (n && steps++ < MAX_WAYS) {
        uint32_t at = stack[--n].line;
        unsigned d = stack[n].d;
        check_pair(c, at, line, d);
        if (d == REACH) continue;
        const block *b = &c->b[at];
        uint32_t before[1 + 64], n_before = 0;
        if (at && !c->b[at - 1].no_fall) before[n_before++] = at - 1;
        for (uint32_t k = 0; k < b->n_from && n_before < 65; k++) before[n_before++] = c->edge[b->from + k];
        for (uint32_t k = 0; k < n_before; k++) {
            if (seen[before[k]][d + 1] == mark || n == MAX_WAYS) continue;
            seen[before[k]][d + 1] = mark;
            stack[n].line = before[k];
            stack[n++].d = (uint8_t)(d + 1);
        }
    }
}

/* ---- memory banks ------------------------------------------------------------------------------------------------ */

/* Pointers with a known value, followed in program order; within a loop the first pass counts. */
typedef struct pointers {
    bool known[8], known_m[8];
    uint32_t p[8], m[8];
} pointers;

static unsigned banks_of(uint32_t addr, unsigned bytes) {
    unsigned pair = 2 * (addr >> 14 & 3);
    return bytes > 16 ? 3u << pair : 1u << (pair + (addr >> 4 & 1));
}

/* The banks of a memory access, 0 when the address is not known; moves its pointer. */
static unsigned access_banks(pointers *ps, const timing *t) {
    int ptr = -1, mod = -1;
    int64_t imm = 0;
    bool post = false, other = false;
    unsigned bytes = 4;
    for (int i = 0; i < t->info->n_ops; i++) {
        const ts_aie2_operand *o = &t->info->op[i];
        const ts_aie2_reginfo *r = o->kind == TS_OP_REG ? &ts_aie2_regs[t->inst->v[i]] : NULL;
        if (o->kind == TS_OP_IMM) imm = t->inst->v[i];
        else if (r && o->cls == TS_C_eP) ptr = r->num, post = o->role == TS_ROLE_BOTH;
        else if (r && o->cls == TS_C_eM) mod = r->num;
        else if (r && (o->cls == TS_C_eDJ || o->cls == TS_C_eD || o->cls == TS_C_eDS)) other = true;
        else if (r && r->bytes >= 32) bytes = 32;
        else if (r && r->kind == TS_K_Q) bytes = 16;
    }
    if (strstr(t->info->text, "128")) bytes = 16;
    if (ptr < 0) return 0;
    uint32_t addr = ps->p[ptr] + (uint32_t)(post ? 0 : imm);
    bool known = ps->known[ptr] && (post || !other);
    if (post) {
        ps->known[ptr] &= !other && (mod < 0 || ps->known_m[mod]);
        ps->p[ptr] += mod >= 0 ? ps->m[mod] : (uint32_t)imm;
    }
    return known && t->info->mem && addr >> 16 == 7 ? banks_of(addr, bytes) : 0;
}

static void check_banks(checker *c) {
    ts_aie2_program *p = c->p;
    pointers ps = {0};
    for (size_t i = 0; i < p->n_lines; i++) {
        unsigned used = 0, twice = 0;
        const timing *culprit = NULL;
        if (c->b[i].n_from) { /* a branch may come here with other values; a loop keeps its first pass */
            bool loop = false;
            for (size_t l = 0; l < p->n_loops; l++) loop |= p->loop[l].first == i;
            if (!loop) memset(&ps, 0, sizeof ps);
        }
        for (int k = 0; k < c->b[i].n; k++) {
            const timing *t = &c->b[i].t[k];
            unsigned banks = access_banks(&ps, t);
            if (used & banks) culprit = t;
            twice |= used & banks;
            used |= banks;
        }
        for (int k = 0; k < c->b[i].n; k++) { /* constants and everything else that writes a pointer */
            const timing *t = &c->b[i].t[k];
            for (int w = 0; w < t->n_writes; w++) {
                const ts_aie2_reginfo *r = &ts_aie2_regs[t->write[w].reg];
                bool moved = t->info->mem || !strncmp(t->info->text, "padd", 4);
                if ((r->kind != TS_K_P && r->kind != TS_K_M) || (moved && r->kind == TS_K_P && t->write[w].cycle == 1))
                    continue;
                bool constant = !moved && t->info->n_ops == 2 && t->info->op[1].kind == TS_OP_IMM;
                if (r->kind == TS_K_P) ps.known[r->num] = constant, ps.p[r->num] = (uint32_t)t->inst->v[1];
                else ps.known_m[r->num] = constant, ps.m[r->num] = (uint32_t)t->inst->v[1];
            }
        }
        if (!twice) continue;
        SAY(c, p->line[i].pos[culprit->slot], false,
            "two accesses of this bundle are in memory bank %d of 8: this costs a cycle each time",
            __builtin_ctz(twice));
        for (size_t l = 0; l < p->n_loops; l++)
            if (i >= p->loop[l].first && i <= p->loop[l].last) p->loop[l].stalls++;
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

bool ts_aie2_check_hazards(ts_aie2_program *p) {
    checker c = {.p = p};
    size_t n = p->n_lines;
    uint32_t(*seen)[REACH + 1] = ts_calloc(n + 1, sizeof *seen);
    c.b = ts_calloc(n + 1, sizeof *c.b);
    if (!c.b || !seen) {
        c.nomem = true;
        goto out;
    }
    memset(p->named, 0, sizeof p->named);
    for (size_t i = 0; i < n; i++) {
        block *b = &c.b[i];
        b->target = b->delay_of = -1;
        for (int s = 0; s < TS_SLOTS; s++)
            if (p->line[i].busy >> s & 1) prepare(&b->t[b->n++], &p->line[i].b.inst[s], (unsigned)s);
        for (int k = 0; k < b->n; k++) {
            for (int r = 0; r < b->t[k].n_reads; r++)
                p->named[b->t[k].read[r].reg / 8] |= (uint8_t)(1u << b->t[k].read[r].reg % 8);
            for (int w = 0; w < b->t[k].n_writes; w++)
                p->named[b->t[k].write[w].reg / 8] |= (uint8_t)(1u << b->t[k].write[w].reg % 8);
        }
    }
    find_branches(&c);
    find_loops(&c);
    if (c.nomem || !make_edges(&c)) goto out;
    for (size_t i = 0; i < n; i++) walk_back(&c, i, seen, (uint32_t)i + 1);
    check_banks(&c);
    find_live(&c);
out:
    ts_free(seen);
    ts_free(c.b);
    ts_free(c.edge);
    return !c.nomem;
}
