/* gemv_core.h - what the core program gemv.s and the host agree on: memory map, locks, packet header.
 *
 * The numbers stand here once. C sees them as an enum; gemv_embed.c hands them to the assembler as .equ lines, so that
 * the program that the library carries is made from the same values (docs/npu/gemv.md explains them). */
#ifndef TS_NPU_GEMV_CORE_H
#define TS_NPU_GEMV_CORE_H

#include <stdint.h>

#define TS_GEMV_CONSTANTS(C)                                                                                           \
    /* weights: a ring of buffers that static descriptors fill; each holds a whole number of units of any type, and    \
     * behind them a tag, a word that no other buffer of this process has */                                           \
    C(W_BASE, 0x70000)                                                                                                 \
    C(W_UNITS, 6720) /* bytes of units */                                                                              \
    C(W_TAG, 6720)                                                                                                     \
    C(W_BYTES, 6724)                                                                                                   \
    C(W_STRIDE, 6752)                                                                                                  \
    C(W_COUNT, 4)                                                                                                      \
    /* sums: a ring of chunks. A unit stores four rows of results however many tokens there are, the next one over     \
     * those that do not count; behind a chunk there is room for what its last unit stores too much */                 \
    C(O_BASE, 0x76980)                                                                                                 \
    C(O_BYTES, 768)                                                                                                    \
    C(O_STRIDE, 864)                                                                                                   \
    C(O_COUNT, 8)                                                                                                      \
    /* activations: a ring of packets as they come in, and room for one slice in the form that the multiplier takes */ \
    C(A_BASE, 0x78480)                                                                                                 \
    C(A_BYTES, 4480)                                                                                                   \
    C(A_COUNT, 4)                                                                                                      \
    C(A_HEADER, 128)                                                                                                   \
    C(X_BEFORE, 288) /* the loop that spreads a slice stores so much before its first vector, */                       \
    C(X_BYTES, 4352)                                                                                                   \
    C(X_AFTER, 96) /* and so much behind its last */                                                                   \
    C(X_BASE, 0x7cba0)                                                                                                 \
    C(PARAMS, 0x7dd00) /* word 0: 4 * number of the core, 0 to 7; word 1: commands done, at first 0 */                 \
    C(PARAMS_BYTES, 32)                                                                                                \
    /* locks as the core numbers its own */                                                                            \
    C(W_EMPTY, 48)                                                                                                     \
    C(W_FULL, 49)                                                                                                      \
    C(A_EMPTY, 50)                                                                                                     \
    C(A_FULL, 51)                                                                                                      \
    C(O_EMPTY, 52)                                                                                                     \
    C(O_FULL, 53)                                                                                                      \
    /* the packet header: byte offsets of 32-bit words */                                                              \
    C(H_KERNEL, 0)     /* ts_gemv_kernel */                                                                            \
    C(H_STEP, 4)       /* 32 * tokens: bytes of a row of results */                                                    \
    C(H_UNITS_W, 8)    /* units in a weight buffer */                                                                  \
    C(H_UNITS_O, 12)   /* units whose results fill a chunk */                                                          \
    C(H_SPREAD, 16)    /* one token: bytes of a slice in the packet; else 0, and the packet is one slice */            \
    C(H_SLICES, 20)    /* slices in the packet */                                                                      \
    C(H_LAST, 24)      /* 1: the last packet of its job; 2: of its command too, and a proof is wanted */               \
    C(H_UNITS, 28)     /* four bytes: units of a row group in each slice */                                            \
    C(H_SHARE, 32)     /* for each core: row groups | weight buffers to pass over at the end of the job << 24 */       \
    C(H_TAGS, 64)      /* for each core: the next weight buffer's tag, those behind it count up; 0: go on */           \
    C(H_NUMBER, 96)    /* of the command: comes back in the proof */                                                   \
    /* the proof, a chunk of its own behind the last sums of a command: byte offsets of 32-bit words */                \
    C(P_NUMBER, 0)     /* H_NUMBER of the last packet */                                                               \
    C(P_CORE, 4)       /* 4 * number of the core */                                                                    \
    C(P_STARTED, 8)    /* commands since the program was started, this one included */                                 \
    C(P_LOADED, 12)    /* the same as data memory has it */                                                            \
    C(P_TAG, 16)       /* the tag that the next weight buffer should have */                                           \
    C(P_WRONG, 20)     /* all bits in which a tag since the start was not what it should have been */

enum {
#define TS_GEMV_ENUM(name, value) TS_GEMV_##name = (value),
    TS_GEMV_CONSTANTS(TS_GEMV_ENUM)
#undef TS_GEMV_ENUM
    TS_GEMV_CORES = 8,
    TS_GEMV_ROWS = 8,      /* output rows of a row group */
    TS_GEMV_TOKENS = 4,    /* at most, in a pass */
    TS_GEMV_SLICE_K = 1024 /* K of a slice */
};

/* The kernels of gemv.s by number. A unit is what a kernel does between two looks at the clock:
 *                bytes   covers           results per token (int32 but for Q4_0)      activations of 1024 K
 *   Q4_K          1120   8 rows x 256 K   isum[8], msum[8]                            4 x 34 blocks of 8 bytes
 *   Q6_K          1664   8 rows x 256 K   isum[8]                                     4 x 34
 *   Q8_0           256   8 rows x 32 K    isum[8]                                     128
 *   Q4_0           256   8 rows x 64 K    int16 isum[2][8]: two blocks of 32          128 */
typedef enum ts_gemv_kernel { TS_GEMV_Q4_K, TS_GEMV_Q6_K, TS_GEMV_Q8_0, TS_GEMV_Q4_0, TS_GEMV_KERNELS } ts_gemv_kernel;

#endif
