/* pack.h - quantised matrices as the NPU's eight weight streams, activations as packets, results back to floats.
 *
 * A matrix W [n_rows, K] is cut into row groups of 8 rows; each of the eight streams (one per core) gets a run of
 * them. K is cut into slices of 1024. A stream is, for each slice, for each of its row groups, the units of that
 * slice (gemv_core.h), in buffers of TS_GEMV_W_BYTES that hold a whole number of units and a tag. The units hold the
 * file's bits but for the f16 scales, which stay on the host: results come back as integers, and the host combines
 * them in the order of the numeric contract (docs/numerics.md). Nothing is widened. */
#ifndef TS_NPU_PACK_H
#define TS_NPU_PACK_H

#include "format/dtype.h"
#include "kern/kern.h"
#include "npu/gemv_core.h"

/* How a weight type goes to the array. */
typedef struct ts_gemv_type {
    ts_gemv_kernel kernel;
    uint16_t unit_bytes, unit_k;
    uint16_t block_k;    /* K elements that share the scales, in weights and in activations: 32 or 256 */
    uint8_t block_bytes; /* f16 scales of a block and row: 2, or 4 with a minimum's, or 3 with a zero point */
    uint8_t out_rows;    /* rows of 32 bytes that a unit returns for a token */
} ts_gemv_type;
/* NULL for a type that the program does not take. */
const ts_gemv_type *ts_gemv_type_of(ts_dtype type);

typedef struct ts_gemv_mat {
    const ts_gemv_type *info;
    ts_dtype type;
    uint32_t n_rows, K;
    uint32_t n_block;                    /* blocks of scales in a row */
    uint32_t n_group;                    /* row groups */
    uint32_t n_slice, units, units_last; /* units of a row group in a slice, and in the last slice */
    uint32_t first[TS_GEMV_CORES + 1];   /* stream c has the row groups first[c] to first[c + 1] - 1 */
} ts_gemv_mat;

/* Cut the matrix evenly; where it does not come out even, the streams from number `turn` on get one row group more.
 * false: a type that the program does not take, K no multiple of its block, or too large. */
bool ts_gemv_mat_init(ts_gemv_mat *m, ts_dtype type, uint64_t n_rows, uint64_t K, unsigned turn);

/* Weight buffers of a stream, TS_GEMV_W_BYTES each; bytes of all scales on the host. */
uint32_t ts_gemv_buffers(const ts_gemv_mat *m, int stream);
size_t ts_gemv_scale_bytes(const ts_gemv_mat *m);
/* Bytes of all units: what the matrix costs without padding at the ends of buffers. */
uint64_t ts_gemv_unit_bytes(const ts_gemv_mat *m);

/* The weight buffers of a stream in memory: `holds` of them one behind the other, the next ones `bytes` farther on. */
typedef struct ts_gemv_stream {
    uint8_t *data;
    uint32_t holds, bytes;
    uint32_t first; /* number of the buffer that a matrix begins with */
} ts_gemv_stream;
static inline uint8_t *ts_gemv_buffer(const ts_gemv_stream *s, uint32_t n) {
    return s->data + (size_t)((s->first + n) / s->holds) * s->bytes +
           (size_t)((s->first + n) % s->holds) * TS_GEMV_W_BYTES;
}
/* Number the first n buffers: buffer i gets the tag + i. Tags are not 0. */
void ts_gemv_tag_buffers(const ts_gemv_stream *s, uint32_t n, uint32_t tag);

/* Pack row group g: `rows` is the tensor's data, row r at rows + r * row_bytes. `stream`: of the core that has the
 * group, ts_gemv_buffers() of them, zeroed before. `scales`: of the matrix, [n_group][n_block][8 d, 8 dmin] f16; or
 * [n_group][blocks that share one][8 d f16, 8 z bytes].
 * Rows past the end are zeros. Any thread, any order. */
void ts_gemv_pack_group(const ts_gemv_mat *m, const void *rows, size_t row_bytes, uint32_t g,
                        const ts_gemv_stream *stream, uint16_t *scales);
/* The same where `rows` are those of the group alone. */
void ts_gemv_pack_rows(const ts_gemv_mat *m, const void *rows, size_t row_bytes, uint32_t g,
                       const ts_gemv_stream *stream, uint16_t *scales);
int ts_gemv_stream_of(const ts_gemv_mat *m, uint32_t g);

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* Packets, TS_GEMV_A_BYTES each, that n_tok tokens (1 to 4) need. */
uint32_t ts_gemv_packets(const ts_gemv_mat *m, uint32_t n_tok);
/* What a command demands a proof with: its number, and the tags of the weight buffers that its streams begin with. */
typedef struct ts_gemv_guard {
    uint32_t number, tag[TS_GEMV_CORES];
} ts_gemv_guard;

/* Write them for tokens [t0, t0 + n_tok) of `x`, which was quantised with all_tok tokens; x NULL: all
 * zero. `begin`, `end`: they are the first, the last of their command. skip[c], with `end`: weight buffers that core c
 * shall pass over then. */
void ts_gemv_fill_packets(const ts_gemv_mat *m, const ts_qact *x, uint32_t all_tok, uint32_t t0, uint32_t n_tok,
                          const ts_gemv_guard *guard, bool begin, bool end, const uint8_t skip[TS_GEMV_CORES],
                          uint8_t *dst);

/* A proof, as P_... of gemv_core.h has its words. */
typedef struct ts_gemv_proof {
    uint32_t number, core, started, loaded, tag, wrong;
} ts_gemv_proof;
ts_gemv_proof ts_gemv_proof_read(const uint8_t chunk[TS_GEMV_O_BYTES]);

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* Bytes of sums that a stream returns for n_tok tokens: whole chunks. Behind those of a command's last matrix comes
 * the proof, one chunk. */
size_t ts_gemv_result_bytes(const ts_gemv_mat *m, int stream, uint32_t n_tok);
/* Combine row group g's sums: y[(t0 + t) * ld_y + row] as TS_GEMM_Q (kern/kern.h) has it, bit for bit. `results`: of
 * the stream that has the group. Rows past n_rows are not written. */
void ts_gemv_combine_group(const ts_gemv_mat *m, const uint16_t *scales, const void *results, const ts_qact *x,
                           uint32_t all_tok, uint32_t t0, uint32_t n_tok, uint32_t g, const ts_kern *kern,
                           float *y, size_t ld_y);

#endif
