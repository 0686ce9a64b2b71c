/* core_int.h - inside the core model: decoded operations, the pipeline's rings, access to registers.
 *
 * Time is counted in issued bundles. At cycle t first the writes of cycle t - 1 land in the register file, then all
 * reads of cycle t happen (those of the bundle that issues and those of older instructions in a later stage), then the
 * writes of cycle t are known. A reader on the same bypass as a writer of cycle t sees the new value already. */
#ifndef TS_AIE2_CORE_INT_H
#define TS_AIE2_CORE_INT_H

#include "aie2/bundle.h"
#include "aie2/core.h"

#include <string.h>

typedef struct ts_aie2_op ts_aie2_op;
typedef struct later later;
/* `now` is NULL when the instruction issues, else the entry that it left for this stage. */
typedef void ts_aie2_fn(ts_aie2_core *core, const ts_aie2_op *op, const later *now);

/* How a memory operand forms its address and moves its pointer. */
typedef enum ts_aie2_mode {
    TS_MODE_NONE,     /* [p] */
    TS_MODE_IMM,      /* [p, #imm] */
    TS_MODE_DJ,       /* [p, dj] */
    TS_MODE_SP,       /* [sp, #imm] */
    TS_MODE_POST_IMM, /* [p], #imm */
    TS_MODE_POST_M,   /* [p], m */
    TS_MODE_POST_2D,
    TS_MODE_POST_3D,
} ts_aie2_mode;

/* One instruction, ready to run. */
struct ts_aie2_op {
    ts_aie2_fn *fn;
    uint16_t id;
    uint16_t r[TS_MAX_OPERANDS]; /* byte in the register file of each register operand */
    int32_t imm;                 /* the immediate, if there is one */
    uint32_t wmask;              /* scalar destination: the bits that exist */
    uint8_t slot;
    uint8_t byp_in;  /* operands that read on the MOV bypass, a bit each */
    uint8_t byp_out; /* TS_BYP_* of the vector result */
    uint8_t lat;     /* def cycle of operand 0 or of the loaded result */
    uint8_t lat2;
    uint8_t bits;    /* lane width or access size */
    uint8_t sign;    /* 0 unsigned, 1 signed, 2 decided by a control register, 3 bfloat16 */
    uint8_t bits2;   /* second width of a conversion */
    uint8_t kind;    /* OP_*: whether it may have to wait */
    uint8_t mode, ptr, mod; /* memory: TS_MODE_*, pointer and modifier numbers */
    uint8_t data, shift;    /* memory: operand indices */
    uint8_t bytes;          /* of the vector operand that gives the width */
};

enum { RING = 16, MAX_SCALAR = 24, MAX_VECTOR = 10, MAX_LATER = 8 };

typedef struct ts_aie2_vec {
    _Alignas(32) uint8_t b[128];
} ts_aie2_vec;

/* A vector write on its way. */
typedef struct pending {
    uint16_t at, bytes;
    uint8_t byp;
    ts_aie2_vec v;
} pending;

/* Work of an instruction in a later stage. */
struct later {
    ts_aie2_fn *fn;
    const ts_aie2_op *op;
    uint32_t a, b;
    ts_aie2_vec v;
};

typedef struct bucket {
    uint8_t n_scalar, n_vector, n_later;
    uint8_t byp; /* bit per TS_BYP_* that one of the vector writes is on */
    struct {
        uint16_t at;
        bool is_or; /* sticky flags */
        uint32_t value;
    } scalar[MAX_SCALAR];
    pending vector[MAX_VECTOR];
    later later[MAX_LATER];
} bucket;

enum { MAX_ACCESS = 6 };

struct ts_aie2_pipe {
    uint64_t t; /* bundles issued, plus drained cycles */
    ts_aie2_vec scratch[4]; /* bypassed operands */
    unsigned n_scratch;
    unsigned n_access; /* memory accesses of this cycle: banks of the core's own memory, a bit each */
    uint8_t access[MAX_ACCESS];
    uint8_t touched, collision; /* banks of any access, and of more than one */
    uint8_t cascade[64]; /* what a cascade read has received */
    ts_aie2_bundle next;
    bucket ring[RING];
};

/* A bundle, decoded. */
typedef struct ts_aie2_dbundle {
    uint8_t bytes, n_ops;
    bool blocking;   /* has an operation that may have to wait */
    bool is_bad;     /* does not decode, or the model does not know an instruction of it */
    uint64_t reads[3]; /* registers read at stage 1, as ts_aie2_core.valid */
    ts_aie2_op op[6];
} ts_aie2_dbundle;

enum { CHUNK = 64, CHUNKS = TS_AIE2_PM_BYTES / 2 / CHUNK };
struct ts_aie2_prog {
    uint8_t code[TS_AIE2_PM_BYTES];
    uint16_t at[TS_AIE2_PM_BYTES / 2]; /* by pc / 2: number of the decoded bundle + 1, 0: not decoded yet */
    ts_aie2_dbundle *chunk[CHUNKS];
    unsigned n;
};

/* Fill *op from a decoded instruction. False: the model does not know it. (bind.c) */
bool ts_aie2_bind(ts_aie2_op *op, const ts_aie2_inst *inst);
/* Decode a bundle for the model; a bad one has is_bad set. (bind.c) */
void ts_aie2_predecode(ts_aie2_dbundle *d, const uint8_t *bytes, size_t len);
/* An operation that may have to wait does so here, before any of its bundle runs. False: wait. (ex_scalar.c) */
bool ts_aie2_try(ts_aie2_core *core, const ts_aie2_op *op, unsigned index);
/* op->kind of such operations */
enum { OP_PLAIN, OP_ACQUIRE, OP_RELEASE, OP_STREAM_READ, OP_STREAM_WRITE, OP_CASCADE_READ, OP_CASCADE_WRITE };

/* The families: given the mnemonic cut at its dots, set op->fn and its parameters. */
typedef struct ts_aie2_mnemonic {
    char base[16];
    int n;
    struct {
        char text[8];
        char kind; /* 'd', 's', 'u', 'b' (bf16), 'f' (fp32), or 0 for a bare number */
        uint8_t bits;
    } part[4];
} ts_aie2_mnemonic;
bool ts_aie2_bind_scalar(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m);
bool ts_aie2_bind_memory(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m);
bool ts_aie2_bind_vector(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m);
bool ts_aie2_bind_convert(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m);
bool ts_aie2_bind_mac(ts_aie2_op *op, const ts_aie2_inst *inst, const ts_aie2_mnemonic *m);
bool ts_aie2_mnemonic_has(const ts_aie2_mnemonic *m, const char *part);

/* ---- access ------------------------------------------------------------------------------------------------------ */

/* Byte offsets of scalars with a fixed place. */
#define TS_AT(reg) (ts_aie2_regs[TS_R_##reg].at)
enum { AT_R = 0, AT_P = 4 * 32, AT_M = 4 * 40, AT_DN = 4 * 48, AT_DJ = 4 * 56, AT_DC = 4 * 64, AT_SP = 4 * 72,
       AT_LR = 4 * 73, AT_LC = 4 * 74, AT_LS = 4 * 75, AT_LE = 4 * 76, AT_S = 4 * 79, AT_CR = 4 * 83, AT_SR = 4 * 95 };
enum { CR_VADD_SIGN, CR_F2F_MASK, CR_F2I_MASK, CR_FP_MASK, CR_MCD_EN, CR_PACK_SIGN, CR_RND, CR_SCD_EN, CR_SRS_SIGN,
       CR_SAT, CR_UPS_SIGN, CR_UNPACK_SIGN };
enum { SR_CARRY, SR_COMPR_UF, SR_F2F_FLAGS, SR_F2I_FLAGS, SR_FP_FLAGS, SR_MS0, SR_SRS_OF, SR_SS0, SR_SPARSE_OF,
       SR_UPS_OF };

static inline uint32_t get32(const ts_aie2_core *core, unsigned at) {
    uint32_t v;
    memcpy(&v, core->rf + at, 4);
    return v;
}
static inline uint32_t get_cr(const ts_aie2_core *core, unsigned cr) { return get32(core, AT_CR + 4 * cr); }

/* The bucket of the writes that happen in stage `cycle` of an instruction that issues now. */
static inline bucket *bucket_of(ts_aie2_core *core, unsigned cycle) {
    return &core->pipe->ring[(core->pipe->t + cycle - 1) % RING];
}

void ts_aie2_fail(ts_aie2_core *core, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ts_aie2_overflow(ts_aie2_core *core); /* more results in one cycle than any legal program has */

static inline void put32(ts_aie2_core *core, unsigned cycle, unsigned at, uint32_t value) {
    bucket *b = bucket_of(core, cycle);
    if (b->n_scalar == MAX_SCALAR) {
        ts_aie2_overflow(core);
        return;
    }
    b->scalar[b->n_scalar].at = (uint16_t)at;
    b->scalar[b->n_scalar].is_or = false;
    b->scalar[b->n_scalar++].value = value;
}

/* Add flags to a sticky status register. */
static inline void or32(ts_aie2_core *core, unsigned cycle, unsigned sr, uint32_t flags) {
    if (!flags) return;
    bucket *b = bucket_of(core, cycle);
    if (b->n_scalar == MAX_SCALAR) {
        ts_aie2_overflow(core);
        return;
    }
    b->scalar[b->n_scalar].at = (uint16_t)(AT_SR + 4 * sr);
    b->scalar[b->n_scalar].is_or = true;
    b->scalar[b->n_scalar++].value = flags;
}

/* Where to build a vector result that lands in stage `cycle`. */
static inline uint8_t *put_vec(ts_aie2_core *core, unsigned cycle, unsigned at, unsigned bytes, unsigned byp) {
    bucket *b = bucket_of(core, cycle);
    if (b->n_vector == MAX_VECTOR) {
        ts_aie2_overflow(core);
        return core->pipe->scratch[3].b;
    }
    pending *p = &b->vector[b->n_vector++];
    p->at = (uint16_t)at;
    p->bytes = (uint16_t)bytes;
    p->byp = (uint8_t)byp;
    b->byp |= (uint8_t)(1u << byp);
    return p->v.b;
}

/* A register operand with what the bypass forwards laid over it. */
const uint8_t *ts_aie2_bypassed(ts_aie2_core *core, unsigned byp, unsigned at, unsigned bytes);

/* `bytes` bytes of a vector register operand, read now on bypass `byp`. Valid until the end of this operation. */
static inline const uint8_t *get_vec(ts_aie2_core *core, unsigned byp, unsigned at, unsigned bytes) {
    if (byp && core->pipe->ring[core->pipe->t % RING].byp >> byp & 1)
        return ts_aie2_bypassed(core, byp, at, bytes);
    return core->rf + at;
}
/* Operand i of an operation on the vector move unit. */
static inline const uint8_t *src_vec(ts_aie2_core *core, const ts_aie2_op *op, int i, unsigned bytes) {
    return get_vec(core, op->byp_in >> i & 1 ? TS_BYP_MOV : TS_BYP_NONE, op->r[i], bytes);
}

/* Run fn(core, op, entry) in stage `cycle`; the caller fills the entry's a, b, v. */
static inline later *put_later(ts_aie2_core *core, unsigned cycle, ts_aie2_fn *fn, const ts_aie2_op *op) {
    bucket *b = bucket_of(core, cycle);
    if (b->n_later == MAX_LATER) {
        ts_aie2_overflow(core);
        b->n_later--;
    }
    later *l = &b->later[b->n_later++];
    l->fn = fn;
    l->op = op;
    return l;
}

/* Memory at a core address: a pointer to `bytes` bytes, NULL with the core failed. `addr` must not cross a window. */
uint8_t *ts_aie2_memory(ts_aie2_core *core, uint32_t addr, unsigned bytes);
/* The address of a memory operation; moves its pointer. */
uint32_t ts_aie2_address(ts_aie2_core *core, const ts_aie2_op *op);

/* ---- conversions (convert.c): lanes little-endian, buffers may not overlap --------------------------------------- */
/* Up-shift: n lanes of `from` bits, sign- or zero-extended to `to` bits, shifted left, saturated when asked. Returns
 * whether a lane saturated or overflowed. A shift outside 0-63 counts as 0. */
bool ts_aie2_ups(uint8_t *out, unsigned to, const uint8_t *in, unsigned from, unsigned n, uint32_t shift,
                 bool is_signed, unsigned sat);
/* Shift, round, saturate: n lanes of `from` bits to `to` bits. */
bool ts_aie2_srs(uint8_t *out, unsigned to, const uint8_t *in, unsigned from, unsigned n, uint32_t shift,
                 bool is_signed, unsigned sat, unsigned rnd);
void ts_aie2_unpack(uint8_t out[64], const uint8_t in[32], unsigned from, bool is_signed);
void ts_aie2_pack(uint8_t out[32], const uint8_t in[64], unsigned to, bool is_signed, unsigned sat);
/* 16 lanes; flags of srF2FFlags are returned. */
unsigned ts_aie2_f32_to_bf16(uint8_t out[32], const uint8_t in[64], unsigned rnd);
void ts_aie2_bf16_to_f32(uint8_t out[64], const uint8_t in[32]);
unsigned ts_aie2_bf16_floor(uint8_t out[64], const uint8_t in[32], uint32_t shift);

/* Start a branch: its target is fetched after five more bundles. The address behind those. (core.c) */
void ts_aie2_branch(ts_aie2_core *core, uint32_t target);
uint32_t ts_aie2_return_address(ts_aie2_core *core);
/* A read that the bundle's own set does not tell, because it happens in a later stage or not always. (core.c) */
void ts_aie2_note_read(ts_aie2_core *core, unsigned at, unsigned bytes);

/* Sign of a form: fixed by the encoding, or from its control register. */
static inline bool op_signed(const ts_aie2_core *core, const ts_aie2_op *op, unsigned cr) {
    return op->sign == 2 ? get_cr(core, cr) & 1 : op->sign == 1;
}

#endif
