/* isa_check.c - a program of the build: checks the instruction table, so that a wrong one does not compile.
 *
 * Every bit of a format belongs to a fixed field or to one slot; every bit of an instruction is fixed, ignored or part
 * of one operand; no 16-byte pattern is two bundles, no slot word two instructions. Exit code 1 names what is wrong. */
#include "aie2/bundle.h"

#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

static int bad;

#define complain(...) (bad++, fprintf(stderr, "isa.def: " __VA_ARGS__), fputc('\n', stderr))

static u128 wide(const uint64_t v[2]) {
    return (u128)v[1] << 64 | v[0];
}

static void check_formats(void) {
    for (int f = 0; f < TS_FORMATS; f++) {
        const ts_aie2_format *a = &ts_aie2_formats[f];
        u128 all = a->bytes == 16 ? ~(u128)0 : ((u128)1 << (a->bytes * 8)) - 1, used = wide(a->mask);
        unsigned set = 0;
        if (wide(a->value) & ~used) complain("format %s: a value bit outside the mask", a->name);
        for (int i = 0; i < a->n_slots; i++) {
            u128 field = (((u128)1 << ts_aie2_slots[a->slot[i].slot].bits) - 1) << a->slot[i].lsb;
            if (used & field) complain("format %s: slot %s overlaps", a->name, ts_aie2_slots[a->slot[i].slot].name);
            used |= field;
            set |= 1u << a->slot[i].slot;
        }
        if (used != all) complain("format %s: bits that belong to nothing, or too many", a->name);
        if (set != a->slot_mask) complain("format %s: the slot set is wrong", a->name);
        if (ts_aie2_bundle_length((uint8_t)a->value[0]) != a->bytes)
            complain("format %s: its first byte tells another length", a->name);
        if (ts_aie2_format_find(set, 0) != f) complain("format %s: its slots do not choose it", a->name);
        for (int g = 0; g < f; g++) {
            const ts_aie2_format *b = &ts_aie2_formats[g];
            if (a->bytes == b->bytes && !((wide(a->value) ^ wide(b->value)) & wide(a->mask) & wide(b->mask)))
                complain("formats %s and %s share bit patterns", a->name, b->name);
        }
    }
}

static uint64_t field_mask(const ts_aie2_operand *op) {
    uint64_t m = 0;
    for (int i = 0; i < op->n_parts; i++) m |= ((1ull << op->part[i].bits) - 1) << op->part[i].lsb;
    return m;
}

static unsigned code_of(const ts_aie2_operand *op, uint64_t word) {
    unsigned v = 0;
    for (int i = 0; i < op->n_parts; i++)
        v |= (unsigned)((word >> op->part[i].lsb) & ((1ull << op->part[i].bits) - 1)) << op->part[i].value_lsb;
    return v;
}

static bool codes_valid(const ts_aie2_insninfo *info, uint64_t word) {
    for (int i = 0; i < info->n_ops; i++)
        if (info->op[i].kind == TS_OP_REG && ts_aie2_class_reg(info->op[i].cls, code_of(&info->op[i], word)) < 0)
            return false;
    return true;
}

/* bits that decide whether a word is the instruction, beyond its mask: operand fields with unused codes */
static uint64_t class_bits(const ts_aie2_insninfo *info) {
    uint64_t m = 0;
    for (int i = 0; i < info->n_ops; i++) {
        const ts_aie2_classinfo *c = &ts_aie2_classes[info->op[i].cls];
        if (info->op[i].kind == TS_OP_REG && c->n < 1u << c->bits) m |= field_mask(&info->op[i]);
    }
    return m;
}

static void check_pair(const ts_aie2_insninfo *a, const ts_aie2_insninfo *b) {
    uint64_t fixed = a->mask | b->mask, value = a->value | b->value;
    if ((a->value ^ b->value) & a->mask & b->mask) return;
    uint64_t free = (class_bits(a) | class_bits(b)) & ~fixed;
    for (uint64_t sub = free;; sub = (sub - 1) & free) { /* all subsets of the free bits */
        if (codes_valid(a, value | sub) && codes_valid(b, value | sub)) {
            complain("%s and %s are both 0x%llx", a->name, b->name, (unsigned long long)(value | sub));
            return;
        }
        if (!sub) return;
    }
}

static void check_insn(const ts_aie2_insninfo *a) {
    const ts_aie2_slotinfo *s = &ts_aie2_slots[a->slot];
    uint64_t all = (1ull << s->bits) - 1, used = a->mask;
    if (a->value & ~a->mask) complain("%s: a value bit outside the mask", a->name);
    for (int i = 0; i < a->n_ops; i++) {
        const ts_aie2_operand *op = &a->op[i];
        uint64_t m = field_mask(op);
        unsigned bits = (unsigned)__builtin_popcountll(m);
        if (used & m) complain("%s: operand %d overlaps", a->name, i);
        used |= m;
        if (op->kind == TS_OP_REG && bits != ts_aie2_classes[op->cls].bits)
            complain("%s: operand %d is not as wide as its class", a->name, i);
        if (op->role & TS_ROLE_DEF && !op->def_cycle) complain("%s: operand %d has no write cycle", a->name, i);
        if (op->role & TS_ROLE_USE && !op->use_cycle) complain("%s: operand %d has no read cycle", a->name, i);
        char ref[3] = {'%', (char)('0' + i), 0};
        if (op->kind != TS_OP_FIXED && !strstr(a->text, ref)) complain("%s: operand %d is not in its text", a->name, i);
    }
    if (used & a->dont_care) complain("%s: a don't-care bit is in use", a->name);
    if ((used | a->dont_care) != all) complain("%s: bits that belong to nothing", a->name);
}

int main(int argc, char **argv) {
    int formats = 0;
    for (; formats < TS_FORMATS && ts_aie2_formats[formats].name; formats++) {}
    if (formats != 78 || TS_INSNS != 607 || TS_CLASSES != 51)
        complain("%d formats, %d instructions, %d classes", formats, TS_INSNS, TS_CLASSES);
    check_formats();
    for (int i = 0; i < TS_INSNS; i++) {
        const ts_aie2_insninfo *a = &ts_aie2_insns[i];
        if (!a->name) {
            complain("instruction %d is missing", i);
            continue;
        }
        check_insn(a);
        for (int j = ts_aie2_slots[a->slot].first; j < i; j++) check_pair(a, &ts_aie2_insns[j]);
        if (i < ts_aie2_slots[a->slot].first || i >= ts_aie2_slots[a->slot].first + ts_aie2_slots[a->slot].count)
            complain("%s is not in its slot's run", a->name);
    }
    if (bad) return 1;
    /* what ninja looks at to know that the check has passed */
    FILE *f = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (f) fprintf(f, "%d formats, %d instructions, %d classes\n", formats, TS_INSNS, TS_CLASSES), fclose(f);
    return argc > 1 && !f;
}
