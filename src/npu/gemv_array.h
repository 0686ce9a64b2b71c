/* gemv_array.h - the one configuration that all linear layers run on.
 *
 *     shim (c,0)  --weights-->  memtile (c,1)  --->  core (c,2)  --sums-->  shim (c,0)      stream 2c, channel 0
 *                               a ring each    --->  core (c,3)                              stream 2c + 1, channel 1
 *     shim (0,0) channel 0 also sends the activation packets: memtile (0,1) keeps them in a ring of their own and
 *     sends
 *     them to all eight cores.
 *
 * Every buffer is filled by a static descriptor of fixed length, so what a command sends is made of whole buffers:
 * weights in multiples of ts_gemv_ring_bytes, activations in whole packets, and it takes sums in whole chunks. */
#ifndef TS_NPU_GEMV_ARRAY_H
#define TS_NPU_GEMV_ARRAY_H

#include "npu/gemv_core.h"
#include "xdna/check.h"

enum {
    TS_GEMV_COLS = 4,
    TS_GEMV_PACKET_WEIGHTS = 0, /* header ids on channel 0 of column 0 */
    TS_GEMV_PACKET_ACTS = 1,
    TS_GEMV_ACT_RING = 10,      /* packets that memtile (0,1) holds */
};

static inline int ts_gemv_stream_col(int stream) { return stream / 2; }
static inline int ts_gemv_stream_channel(int stream) { return stream % 2; }

/* The buffers in the memtile that a stream passes: size, count, and how many weight buffers each holds, one behind
 * the other; what is behind these, up to the next multiple of 64 bytes, comes in and does not go on to the core. */
uint32_t ts_gemv_ring_bytes(int stream);
uint32_t ts_gemv_ring_count(int stream);
uint32_t ts_gemv_ring_holds(int stream);

/* Build the configuration and put it through the static checker. The caller frees it with ts_npu_config_free. */
TS_NODISCARD ts_status ts_gemv_config(ts_npu_config **out, const ts_chip *chip, ts_err *err);

#endif
