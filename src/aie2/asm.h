/* asm.h - the AIE2 assembler: text to a checked program image.
 *
 * Syntax: docs/npu/isa.md. One bundle a line, its slots separated by ";". The result keeps the bundles beside the
 * bytes, for the listing, the hazard checker and tools. */
#ifndef TS_AIE2_ASM_H
#define TS_AIE2_ASM_H

#include "aie2/bundle.h"

/* A bundle at its place, with where it was written. */
typedef struct ts_aie2_line {
    ts_aie2_bundle b;
    uint32_t addr;    /* byte address in program memory */
    uint8_t old;      /* slots marked @old: they mean to read values that are about to change */
    uint8_t busy;     /* slots that hold something else than a nop */
    const char *text; /* source of the statement, not NUL-terminated; NULL for a program that was disassembled */
    uint32_t text_len;
    const char *pos[TS_SLOTS]; /* source of each slot, for messages */
} ts_aie2_line;

typedef struct ts_aie2_symbol {
    const char *name;
    int64_t value;
    bool is_code, is_data; /* a label in the program, a label in data; neither: .equ */
    bool loop_start, loop_end;
} ts_aie2_symbol;

typedef struct ts_aie2_data {
    uint32_t addr; /* as the core sees it */
    ts_buf bytes;
} ts_aie2_data;

/* A loop of the program, found by the hazard checker. */
typedef struct ts_aie2_loop {
    uint32_t first, last; /* indices of the LS and LE bundles */
    uint32_t cycles;      /* bundles of one pass */
    uint32_t stalls;      /* further cycles a pass that accesses of one bank cost, as far as addresses are known */
    int64_t count;        /* LC when it is a constant, else -1 */
    bool zero_overhead;   /* LS and LE; else a branch back */
    /* registers that hold, somewhere in the loop, a value that is still read (bit per ts_aie2_reg) */
    uint8_t live[(TS_REGS + 7) / 8];
} ts_aie2_loop;

typedef struct ts_aie2_program {
    ts_aie2_line *line;
    size_t n_lines, cap_lines;
    ts_buf code;
    ts_aie2_data *data;
    size_t n_data, cap_data;
    ts_aie2_symbol *sym;
    size_t n_syms, cap_syms;
    ts_aie2_loop *loop;
    size_t n_loops, cap_loops;
    uint8_t named[(TS_REGS + 7) / 8]; /* registers that the program names (bit per ts_aie2_reg) */
    ts_buf messages;                 /* errors and warnings: "file:line:col: error: ...", source line, caret */
    unsigned n_errors, n_warnings;
    struct ts_asm_source *source; /* the texts that `text` and `pos` point into */
    size_t n_sources, cap_sources;
} ts_aie2_program;

typedef struct ts_aie2_asm_opts {
    /* Append the text of an included file to *out. NULL: .include is an error. */
    ts_status (*include)(void *ud, const char *path, ts_buf *out, ts_err *err);
    void *ud;
    bool no_hazards; /* do not check timing */
} ts_aie2_asm_opts;

/* Assemble `text`. On errors: TS_E_FORMAT, err->msg is the first one, p->messages has all. *p is valid either way and
 * must be freed. `name` is used in messages. */
TS_NODISCARD ts_status ts_aie2_assemble(ts_aie2_program *p, const char *name, const char *text, size_t len,
                                        const ts_aie2_asm_opts *opts, ts_err *err);
void ts_aie2_program_free(ts_aie2_program *p); /* NULL-safe */

/* Fill *p from program memory bytes by decoding from `base` on. Unknown bundles are skipped two bytes at a time and
 * counted; their text goes to p->messages. */
TS_NODISCARD ts_status ts_aie2_disassemble(ts_aie2_program *p, const uint8_t *code, size_t len, uint32_t base,
                                           size_t *n_unknown, ts_err *err);

/* Check timing (hazard.c): adds messages and fills p->loop and p->named. false: out of memory. */
TS_NODISCARD bool ts_aie2_check_hazards(ts_aie2_program *p);

/* A listing: address, bytes, cycle, source; then loops, registers, size. The map: symbols and sections. */
TS_NODISCARD bool ts_aie2_listing(ts_buf *out, const ts_aie2_program *p);
TS_NODISCARD bool ts_aie2_map(ts_buf *out, const ts_aie2_program *p);

/* Add a message to p->messages at a source position (NULL: none). Used by the checker. */
TS_PRINTF(4, 5)
TS_NODISCARD bool ts_aie2_message(ts_aie2_program *p, const char *at, bool is_error, const char *fmt, ...);

#endif
