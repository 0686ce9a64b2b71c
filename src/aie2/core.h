/* core.h - a model of one AIE2 core: program memory, registers, pipeline, and calls for what lies outside.
 *
 * One bundle a cycle. Registers are written at the exact cycle of the instruction table, so a program that reads too
 * early gets the old value, as on silicon. The memory accesses of an ordinary load or store happen when its bundle
 * issues; this is pipeline stage 5 shifted to 0, and later stages (stores of vst.srs, partial words) keep their
 * distance to it. A bundle that cannot have what it waits for (a lock, a stream word) does nothing and is tried
 * again. Deterministic; no globals; a core may be embedded any number of times, one thread at a time each. */
#ifndef TS_AIE2_CORE_H
#define TS_AIE2_CORE_H

#include "aie2/isa.h"
#include "base/err.h"

/* ---- the outside ------------------------------------------------------------------------------------------------- */

enum { TS_AIE2_DM_BYTES = 65536 }; /* one tile's data memory */

/* The four memories a core sees, by the top bits of the address: 0x40000 south, 0x50000 west, 0x60000 north,
 * 0x70000 its own. */
enum { TS_AIE2_SOUTH, TS_AIE2_WEST, TS_AIE2_NORTH, TS_AIE2_OWN, TS_AIE2_WINDOWS };

typedef struct ts_aie2_outside {
    void *ud;
    uint8_t *mem[TS_AIE2_WINDOWS]; /* TS_AIE2_DM_BYTES each, borrowed; NULL: an access there is an error */
    /* Memory at any other address, or NULL (then, and without the call, the access is an error). */
    uint8_t *(*mem_other)(void *ud, uint32_t addr, unsigned bytes);
    /* Each returns false when it must wait. A NULL call never succeeds: the core stalls. `lock` is 0-63: south 0-15,
     * west, north, own 48-63. value < 0: acquire when the lock is >= -value; else when it is == value. */
    bool (*acquire)(void *ud, unsigned lock, int32_t value);
    bool (*release)(void *ud, unsigned lock, int32_t value);
    bool (*stream_read)(void *ud, uint32_t *word, bool *tlast);
    bool (*stream_write)(void *ud, uint32_t word, bool tlast);
    bool (*cascade_read)(void *ud, uint8_t data[64]);
    bool (*cascade_write)(void *ud, const uint8_t data[64]);
    /* The processor bus (lda.tm, st.tm): tile registers. NULL: reads give 0. */
    uint32_t (*bus_read)(void *ud, uint32_t addr);
    void (*bus_write)(void *ud, uint32_t addr, uint32_t value);
    void (*event)(void *ud, unsigned number); /* the `event` instruction */
    /* A store wrote `bytes` bytes at `addr`, unchanged from byte `at` of the register file. Converting and partial
     * stores are not told. */
    void (*stored)(void *ud, uint32_t addr, unsigned at, unsigned bytes);
    /* A register is read that was never written (each register once a program counter). NULL: not told. */
    void (*undefined)(void *ud, uint32_t pc, ts_aie2_reg reg);
} ts_aie2_outside;

/* ---- the core ---------------------------------------------------------------------------------------------------- */

typedef enum ts_aie2_event {
    TS_AIE2_RAN,   /* the cycles asked for have passed */
    TS_AIE2_DONE,  /* the program executed `done` */
    TS_AIE2_STALL, /* a bundle waits: ts_aie2_core.stall tells for what */
    TS_AIE2_BREAK, /* the bundle at a breakpoint is next */
    TS_AIE2_ERROR, /* ts_aie2_core.error tells what */
} ts_aie2_event;

typedef enum ts_aie2_stall {
    TS_AIE2_STALL_NONE,
    TS_AIE2_STALL_LOCK,
    TS_AIE2_STALL_STREAM_IN,
    TS_AIE2_STALL_STREAM_OUT,
    TS_AIE2_STALL_CASCADE_IN,
    TS_AIE2_STALL_CASCADE_OUT,
} ts_aie2_stall;

typedef struct ts_aie2_prog ts_aie2_prog; /* decoded program memory */
typedef struct ts_aie2_pipe ts_aie2_pipe; /* results on their way */

typedef struct ts_aie2_core {
    ts_aie2_outside out; /* set by the owner */
    bool check_undefined;
    bool has_break;
    uint32_t break_pc;

    uint32_t pc;
    uint64_t cycle;        /* cycles since reset, stalls included */
    uint64_t bundles;      /* bundles issued */
    uint64_t bank_stalls;  /* cycles lost because one bundle's accesses met in a bank of the core's own memory */
    ts_aie2_stall stall;
    unsigned stall_lock;
    bool done;
    uint64_t timer; /* what `mov l, cntr` reads at cycle 0 */
    ts_err error;

    /* Registers as an instruction issued now reads them, see TS_RF_*; bit sets of those ever written. */
    _Alignas(64) uint8_t rf[TS_RF_BYTES];
    uint64_t valid[3]; /* scalars 0-63, scalars 64-104, 32-byte units of x, cm and the q registers */

    ts_aie2_prog *prog, *own_prog;
    ts_aie2_pipe *pipe;
    uint32_t branch_target;
    int branch_in;    /* bundles until the target is fetched, 0: no branch under way */
    unsigned blocked; /* slots of the waiting bundle that have had what they waited for */
    uint32_t latch[4];
} ts_aie2_core;

/* Caller's storage. The program memory is all nop until loaded; *out is copied. TS_E_NOMEM. */
TS_NODISCARD ts_status ts_aie2_core_init(ts_aie2_core *core, const ts_aie2_outside *out, ts_err *err);
void ts_aie2_core_fini(ts_aie2_core *core); /* NULL-safe */

/* Run the program memory of `owner` from now on, instead of the core's own: many cores with one program decode it once.
 * The owner must outlive the core; both on one thread. */
void ts_aie2_core_share(ts_aie2_core *core, const ts_aie2_core *owner);

/* Copy `len` bytes to program memory at `addr`. TS_E_LIMIT when they do not fit. */
TS_NODISCARD ts_status ts_aie2_core_load(ts_aie2_core *core, uint32_t addr, const uint8_t *code, size_t len,
                                         ts_err *err);

/* Back to pc 0 with an empty pipeline. Registers are undefined, read as 0; control and status registers, lc and the
 * stack pointer are defined as 0. Keeps memory and program. */
void ts_aie2_core_reset(ts_aie2_core *core);

/* Run until something happens or `max_cycles` have passed (stall cycles count; a stalled core returns at once and uses
 * one cycle a call). */
ts_aie2_event ts_aie2_core_run(ts_aie2_core *core, uint64_t max_cycles);

/* Let `cycles` cycles pass without fetching, so that results and stores on their way arrive. */
void ts_aie2_core_drain(ts_aie2_core *core, unsigned cycles);

/* Registers from outside. A 3D or sparse name is TS_REGS-like nonsense and asserts; pairs and vectors take all
 * bytes. */
void ts_aie2_core_get(const ts_aie2_core *core, ts_aie2_reg reg, void *value);
void ts_aie2_core_set(ts_aie2_core *core, ts_aie2_reg reg, const void *value);
bool ts_aie2_core_defined(const ts_aie2_core *core, ts_aie2_reg reg);
static inline uint32_t ts_aie2_core_get32(const ts_aie2_core *core, ts_aie2_reg reg) {
    uint32_t v;
    ts_aie2_core_get(core, reg, &v);
    return v;
}
static inline void ts_aie2_core_set32(ts_aie2_core *core, ts_aie2_reg reg, uint32_t v) {
    ts_aie2_core_set(core, reg, &v);
}

/* The bundle that is next, for traces; NULL when it does not decode. Borrowed until the program changes. */
const struct ts_aie2_bundle *ts_aie2_core_next(ts_aie2_core *core);

/* Whether the model knows what the instruction does. */
bool ts_aie2_modelled(ts_aie2_insn insn);

#endif
