/* bd.h - DMA buffer descriptors, task starts and channel control of the three kinds of tile.
 *
 * A descriptor (BD) says what one DMA task moves: base, length, up to four strided dimensions, the packet header
 * to put in front, the lock to take before and to give after, the BD to go on with. `ts_bd` holds it in natural
 * units; ts_bd_encode puts it into the words that the tile's registers take, ts_bd_decode is its inverse. Source:
 * AM025. */
#ifndef TS_XDNA_BD_H
#define TS_XDNA_BD_H

#include "base/err.h"
#include "xdna/tile.h"

#include <stddef.h>

enum {
    TS_MEM_OWN_BASE =
        0x80000, /* a memtile's DMA sees its own memory here, the west one's at 0, the east one's at 0x100000 */
    TS_MEM_OWN_LOCK = 64, /* and its own locks from here: west 0-63, own 64-127, east 128-191 */
    TS_BD_DIMS = 4,
};

/* Element index of dimension 0 runs fastest. wrap 0: takes all that is left (the last dimension in use). */
typedef struct ts_bd_dim {
    uint32_t step; /* 32-bit words from one element to the next; 0 counts as 1 */
    uint32_t wrap; /* elements, then the next dimension advances; the last dimension of a tile has no wrap */
    uint32_t before, after; /* memtile only: elements of zeros around; not used by Tessera */
} ts_bd_dim;

typedef struct ts_bd {
    uint64_t
        base; /* bytes, a multiple of 4. Core: in its data memory. Memtile: in the DMA's view (TS_MEM_OWN_BASE).
                     * Shim: host address as the array's bus sees it, 48 bits */
    uint32_t words;            /* 32-bit words moved */
    ts_bd_dim dim[TS_BD_DIMS]; /* core, shim: 3; memtile: 4 */
    uint32_t iter_step, iter_wrap,
        iter_current; /* words added per run of this BD, runs until it starts over; 0 counts
                                                  * as 1 */
    uint32_t valid, use_next, next, tlast_suppress, compress;
    uint32_t packet, packet_id, packet_type, ooo_id;
    uint32_t acq_enable, acq_lock, rel_lock;
    int32_t
        acq_value; /* < 0: wait until the lock is >= -value, then subtract; >= 0: wait until equal (never used here) */
    int32_t rel_value;                            /* added when done; 0 releases nothing */
    uint32_t burst, secure, smid, axcache, axqos; /* shim only: burst 0, 1, 2 = 64, 128, 256 bytes */
} ts_bd;

/* Errors: TS_E_INVAL naming the field that does not fit. words[] gets ts_tile_maps[kind].bd_words values. */
TS_NODISCARD ts_status ts_bd_encode(ts_tile_kind kind, const ts_bd *bd, uint32_t words[TS_BD_WORDS_MAX],
                                    ts_err *err);

/* Total: any words decode. Steps and iteration counts come out as 1 or more. */
void ts_bd_decode(ts_tile_kind kind, const uint32_t words[TS_BD_WORDS_MAX], ts_bd *bd);

/* Byte address of the i-th word that the BD moves, without iteration. */
uint64_t ts_bd_addr(const ts_bd *bd, uint32_t i);

/* The bytes [*lo, *hi) that the BD touches in all its iterations. false: the address runs out of 64 bits or is
 * empty. */
bool ts_bd_extent(const ts_bd *bd, uint64_t *lo, uint64_t *hi);

/* One line for dumps: "len 1024 base 0x400 d0 8x1 acq 0-1 rel 1+1 next 3". Returns buf. */
const char *ts_bd_print(ts_tile_kind kind, const ts_bd *bd, char *buf, size_t len);

/* A write to a start queue: run BD `bd` `repeat` times (1 to 256), then send a token if asked. */
typedef struct ts_dma_start {
    uint32_t bd, repeat;
    bool token;
} ts_dma_start;
uint32_t ts_dma_start_encode(ts_dma_start s);
ts_dma_start ts_dma_start_decode(ts_tile_kind kind, uint32_t word);

/* The word for a channel's control register: which controller the completion token names. */
uint32_t ts_dma_ctrl_encode(uint32_t controller_id);
uint32_t ts_dma_ctrl_controller(uint32_t word);

/* The controller number that mlir-aie gives a shim tile, and we keep: 15 [silicon]. Shim numbers must be below 16. */
enum { TS_CONTROLLER_SHIM = 15 };

#endif
