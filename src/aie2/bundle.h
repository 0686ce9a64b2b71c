/* bundle.h - one AIE2 bundle: bits to instructions with operands and back, and as text. */
#ifndef TS_AIE2_BUNDLE_H
#define TS_AIE2_BUNDLE_H

#include "aie2/isa.h"
#include "base/mem.h"

/* One instruction with its operands, in the order of ts_aie2_insns[id].op: a ts_aie2_reg, or the immediate's value. */
typedef struct ts_aie2_inst {
    uint16_t id; /* ts_aie2_insn */
    int32_t v[TS_MAX_OPERANDS];
} ts_aie2_inst;

typedef struct ts_aie2_bundle {
    uint8_t format; /* index into ts_aie2_formats */
    uint8_t bytes;
    uint8_t set; /* the slots of the format, a bit per ts_aie2_slot; the others' inst is not set */
    bool plain;  /* decoded: no ignored bit is 1, so encoding gives the same bytes */
    ts_aie2_inst inst[TS_SLOTS];
} ts_aie2_bundle;

/* false when no instruction of the slot has these bits. */
bool ts_aie2_inst_decode(ts_aie2_slot slot, uint64_t word, ts_aie2_inst *inst);

/* The slot's bits; don't-care bits are 0. TS_E_INVAL naming the operand when a register is not in its class or an
 * immediate does not fit. */
TS_NODISCARD ts_status ts_aie2_inst_encode(const ts_aie2_inst *inst, uint64_t *word, ts_err *err);

/* Whether the value can stand in an immediate operand; the range it must be in, for messages. */
bool ts_aie2_imm_fits(const ts_aie2_operand *op, int64_t value, int64_t *lo, int64_t *hi);

/* The smallest format of at least min_bytes that has all slots of the set (0: the two-byte nop); -1 when none has. */
int ts_aie2_format_find(unsigned slot_set, int min_bytes);

/* TS_E_FORMAT when the bytes are no bundle: too few, no such format, or no such instruction in a slot. */
TS_NODISCARD ts_status ts_aie2_bundle_decode(ts_aie2_bundle *b, const uint8_t *bytes, size_t len, ts_err *err);

/* Writes b->bytes bytes from b->format and the slots' instructions. */
TS_NODISCARD ts_status ts_aie2_bundle_encode(const ts_aie2_bundle *b, uint8_t out[TS_BUNDLE_BYTES], ts_err *err);

/* Make *b a bundle of `format` with every slot a nop. */
void ts_aie2_bundle_nops(ts_aie2_bundle *b, int format);
static inline bool ts_aie2_is_nop(ts_aie2_slot slot, const ts_aie2_inst *inst) {
    return inst->id == ts_aie2_slots[slot].nop;
}

/* The assembler text of an instruction, and of a bundle with its slots separated by " ; ". Nops are left out where the
 * assembler picks the same format without them, so that the text assembles to the same bytes. false: out of memory. */
TS_NODISCARD bool ts_aie2_inst_print(ts_buf *out, const ts_aie2_inst *inst);
TS_NODISCARD bool ts_aie2_bundle_print(ts_buf *out, const ts_aie2_bundle *b);
/* The name to print for a register: "r17:r16" for the pair l0, else the name of the table. Static storage. */
const char *ts_aie2_reg_print(ts_aie2_reg reg);

#endif
