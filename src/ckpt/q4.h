/* q4.h - linear layers in the 4-bit forms of checkpoints, and their rows as blocks of U4G.
 *
 * All of them mean y[o] = sum over inputs i of s[g, o] * (q[i, o] - z[g, o]) * x[i], q and z 0..15, groups g of inputs
 * that share a scale and a zero point. What differs is where the bits lie:
 *   AutoAWQ gemm, gemv, gemv_fast (llm-awq v2)   GPTQ v1 and v2, with or without act-order
 *   compressed-tensors pack-quantized            Quark uint4 and int4             AMD's QLinearPerGrp, a byte each
 * Source: the packing code of AutoAWQ, GPTQModel, compressed-tensors, Quark and llm-awq. */
#ifndef TS_CKPT_Q4_H
#define TS_CKPT_Q4_H

#include "ckpt/ndarray.h"
#include "format/quant.h"

typedef enum ts_q4_method { /* as a checkpoint's configuration says it */
                            TS_Q4_UNSAID,
                            TS_Q4_AWQ,
                            TS_Q4_GPTQ,
                            TS_Q4_COMPRESSED,
                            TS_Q4_QUARK,
} ts_q4_method;

typedef enum ts_q4_said { TS_Q4_NOT_SAID, TS_Q4_SAID_NO, TS_Q4_SAID_YES } ts_q4_said;

typedef struct ts_q4_config {
    ts_q4_method method;
    uint32_t bits;       /* 0: not said */
    int64_t group;       /* inputs; -1: the row; 0: not said */
    bool asym;           /* compressed-tensors: there must be zero points */
    bool own_group;      /* group is this layer's own, and no other fits */
    ts_q4_said sym;      /* GPTQ: are all zero points 8? */
    bool v2;             /* GPTQ: zeros are stored as they are, not less 1 */
    bool plain_order;    /* Quark: nibbles in plain order, not AutoAWQ's */
    bool two_complement; /* Quark: int4 */
} ts_q4_config;

typedef enum ts_q4_form {
    TS_Q4_COLUMNS, /* words [in][out/8]: AutoAWQ gemm, Quark */
    TS_Q4_ROWS,    /* words [out][in/8]: AutoAWQ gemv, compressed-tensors */
    TS_Q4_DOWN,    /* words [in/8][out]: GPTQ */
    TS_Q4_FAST,    /* 16-bit words [out/4][in]: llm-awq v2 */
    TS_Q4_BYTES,   /* a byte each [out][in]: AMD's */
} ts_q4_form;

typedef enum ts_q4_zeros {
    TS_Q4_EIGHT,        /* all are 8 */
    TS_Q4_ZERO_COLUMNS, /* words [group][out/8], in the order of the weights' nibbles */
    TS_Q4_ZERO_DOWN,    /* words [group][out/8], plain */
    TS_Q4_ZERO_ROWS,    /* words [out][groups/8], plain */
    TS_Q4_ZERO_ACROSS,  /* words [out/8][group], plain */
    TS_Q4_ZERO_BYTES,   /* a byte each [out][group] */
    TS_Q4_ZERO_SIGNED,  /* a byte each [out][group], less 8 */
    TS_Q4_ZERO_SCALED,  /* floats [group][out]: -s z */
} ts_q4_zeros;

/* What of GPTQ's zero points is odd; they are read as the configuration says, there being nothing better. */
enum {
    TS_Q4_ODD_NOT_EIGHT = 1, /* said to be symmetric, and neither all 8 nor all 8 less 1 */
    TS_Q4_ODD_EIGHT = 2,     /* said not to be, and all are 8 by the other way to store them */
    TS_Q4_ODD_SMEARED = 4,   /* of v1: an old writer has lost those behind a 0 in their words */
};

typedef struct ts_q4 {
    ts_q4_form form;
    ts_q4_zeros zero_form;
    bool awq_order;     /* COLUMNS: of the nibbles in a word */
    uint32_t flip;      /* xor of every word: 0x88888888 makes two's complement unsigned */
    uint32_t zero_plus; /* added to every word of zeros: 0x11111111 for GPTQ v1 */
    uint8_t odd;        /* TS_Q4_ODD_* */
    bool scale_rows;    /* scales [out][group], else [group][out] */
    uint32_t n_in, n_out, group, n_groups;
    const ts_array *q, *zeros, *scales, *index; /* borrowed; index: act-order's, NULL: there is none */
    uint32_t *order; /* [n_in] act-order: which input is the i-th, so that groups lie together; NULL: the i-th. Owned */
} ts_q4;

/* The array of that name; NULL: there is none. */
typedef const ts_array *ts_q4_find(void *ud, const char *name);

/* Is the linear layer `module` ("model.layers.0.self_attn.q_proj"), of n_in inputs and n_out outputs, there in one of
 * these forms? *is says so; *out is filled then (ts_q4_fini). Every shape is checked.
 * Errors: TS_E_FORMAT, TS_E_UNSUPP in one line naming the tensor; for arrays that are such a form and are not right, or
 * of another number of bits. */
TS_NODISCARD ts_status ts_q4_open(ts_q4 *out, bool *is, const ts_q4_config *c, const char *module, uint32_t n_in,
                                  uint32_t n_out, ts_q4_find *find, void *ud, ts_err *err);
void ts_q4_fini(ts_q4 *q);

/* Look at all scales and, where they are bytes, weights: TS_E_FORMAT naming the first that is no weight (a scale that
 * is 0, infinite or NaN, a byte above 15). */
TS_NODISCARD ts_status ts_q4_check(const ts_q4 *q, ts_err *err);
/* Are all scales numbers of binary16, so that U4G holds them exactly? */
bool ts_q4_exact(const ts_q4 *q);
/* Are all zero points 8, so that Q4_0 holds the same numbers? */
bool ts_q4_symmetric(const ts_q4 *q);
/* Are all s * z numbers of binary16, rounded, as Q4_1 has them? */
bool ts_q4_products_fit(const ts_q4 *q);
/* The U4G type of its groups; for groups that are no multiple of 32, or inputs that are not: TS_F32. */
ts_dtype ts_q4_type(const ts_q4 *q);

enum { TS_Q4_TILE = 128 }; /* rows that are best made together */
/* Rows row[0..n), n <= TS_Q4_TILE, as blocks of U4G: row r's n_in / 32 blocks at out + r * n_in / 32. Inputs in
 * `order`. */
void ts_q4_rows(const ts_q4 *q, const uint32_t *row, uint32_t n, ts_block_u4g *out);
/* A row as floats, inputs as they are: s * (q - z), rounded once where s is an F32. */
void ts_q4_floats(const ts_q4 *q, uint32_t row, float *out);

#endif
