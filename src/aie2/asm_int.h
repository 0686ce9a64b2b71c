/* asm_int.h - what the assembler's own files share. */
#ifndef TS_AIE2_ASM_INT_H
#define TS_AIE2_ASM_INT_H

#include "aie2/asm.h"

/* A source text. The buffer is owned and does not move, so that positions are plain pointers into it. */
struct ts_asm_source {
    char *name;
    ts_buf text;
};

/* An operand whose value was not known when its line was read. */
typedef struct ts_asm_fixup {
    uint32_t line;
    uint8_t slot, operand;
    const char *expr, *end;
    uint32_t at; /* statement number, for local labels */
} ts_asm_fixup;

/* 1: 2: ... labels, by statement order */
typedef struct ts_asm_local {
    uint32_t at, number;
    uint32_t line; /* bundle index */
} ts_asm_local;

/* Where a label or an alignment binds: before bundle `line`. */
typedef struct ts_asm_bind {
    uint32_t line;
    uint32_t align;  /* bytes, 0: a label */
    uint32_t symbol; /* index, for a label */
    const char *pos;
} ts_asm_bind;

typedef struct ts_asm {
    ts_aie2_program *p;
    const ts_aie2_asm_opts *opts;
    const char *pos, *end; /* cursor and the end of the text being read */
    bool nomem;
    int depth;        /* of .include and .rept */
    uint32_t n_stmts; /* statements executed, bounded */
    bool in_data;
    size_t data_now; /* index of the open data section */
    ts_asm_fixup *fix;
    size_t n_fix, cap_fix;
    ts_asm_local *local;
    size_t n_local, cap_local;
    ts_asm_bind *bind;
    size_t n_bind, cap_bind;
    ts_err first; /* the first error */
} ts_asm;

/* ---- text and messages (asm_expr.c) ------------------------------------------------------------------------------ */
TS_PRINTF(3, 4) void ts_asm_error(ts_asm *as, const char *at, const char *fmt, ...);
void ts_asm_skip(ts_asm *as); /* blanks and comments, not line ends */
bool ts_asm_at_end(ts_asm *as); /* at a line end or the end of the text */
size_t ts_asm_word(ts_asm *as);  /* length of the identifier at the cursor */
bool ts_asm_ident(char c);

/* Evaluate the expression at the cursor. Unknown symbols: *known = false (an error when `must`). false: syntax error,
 * reported. */
bool ts_asm_expr(ts_asm *as, bool must, int64_t *value, bool *known);
ts_aie2_symbol *ts_asm_symbol(ts_asm *as, const char *name, size_t len);

/* ---- statements (asm.c) and layout (asm_layout.c) ---------------------------------------------------------------- */
bool ts_asm_run(ts_asm *as, const char *text, const char *end);
bool ts_asm_layout(ts_asm *as);

#endif
