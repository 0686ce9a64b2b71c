/* design.h - a whole array configuration as a description: buffers, locks, programs, DMA rings, flows. Depends
 * on: route.h, bd.h, pdi.h.
 *
 * What a design says, in any order:
 *     buffer   bytes in the memory of a core or memtile, by name
 *     lock     a counting semaphore of a tile with its first value
 *     program  the code of a core
 *     dma      a ring of descriptors that a channel runs for ever: move this buffer, take that lock before, give
 *     this
 *              one after
 *     flow     a circuit from one stream port to one or more others
 *     packets  the same for packets with a header id
 * Addresses, lock and descriptor numbers are given out as things are added, in that order, so that the same
 * description gives the same bytes. ts_design_finish finds the routes and writes the PDI. Shim channels are not
 * part of it beyond their flows: each command brings its own shim tasks (dispatch.h).
 *
 * Adders return a handle >= 1, or 0 after an error; the first error is kept and returned by ts_design_finish, so
 * a description needs no check on every line. */
#ifndef TS_XDNA_DESIGN_H
#define TS_XDNA_DESIGN_H

#include "xdna/bd.h"
#include "xdna/pdi.h"
#include "xdna/route.h"

typedef struct ts_design ts_design;

/* n_cols: 1 to chip->cols. */
TS_NODISCARD ts_status ts_design_new(ts_design **out, const ts_chip *chip, int n_cols, ts_err *err);
void ts_design_free(ts_design *d);

typedef int ts_tile_buf; /* handles */
typedef int ts_tile_lock;

/* `bytes` (a multiple of 4) at a 32-byte boundary. Core tiles: `bank` 0 to 3 puts the buffer wholly into that bank,
 * TS_ANY_BANK anywhere, also across banks. Memtiles: TS_ANY_BANK. The name is for messages and is borrowed. */
enum { TS_ANY_BANK = -1 };
ts_tile_buf ts_design_buffer(ts_design *d, ts_tile tile, const char *name, uint32_t bytes, int bank);
/* Contents when the configuration is loaded; copied. Without: undefined. */
void ts_design_data(ts_design *d, ts_tile_buf b, const void *data, size_t bytes);

/* A lock with its first value, 0 to 63. */
ts_tile_lock ts_design_lock(ts_design *d, ts_tile tile, const char *name, int value);

/* The program of a core, at most chip->program_bytes, entry at address 0; copied. The core is enabled by the
 * configuration and begins with the first command. */
void ts_design_program(ts_design *d, ts_tile core, const void *code, size_t bytes);

/* One descriptor of a ring. Locks 0: none. Counts 0 mean 1. */
typedef struct ts_ring_step {
    ts_tile_buf buffer;
    uint32_t offset, bytes; /* of the buffer; bytes 0: to its end */
    ts_tile_lock acquire, release;
    int acquire_n, release_n;
    ts_bd_dim dim[TS_BD_DIMS]; /* all zero: contiguous */
    bool packet;               /* MM2S: put a header with packet_id in front */
    uint8_t packet_id;
} ts_ring_step;

/* The ring of a channel of a core or memtile. Locks and buffers are those of the same tile. */
void ts_design_dma(ts_design *d, ts_tile tile, ts_dma_dir dir, int channel, const ts_ring_step *steps,
                   int n_steps);

/* Streams. The ends of shim DMA channels are ts_end_dma(ts_tile_at(col, 0), channel). A column with a shim DMA
 * end also gets the route that completion tokens take to the firmware. */
void ts_design_flow(ts_design *d, ts_end src, const ts_end *dst, int n_dst);
void ts_design_packets(ts_design *d, int id, ts_end src, const ts_end *dst, int n_dst, bool keep_header);

/* Where things came to lie; 0 for a bad handle. Byte offset in the tile; the address that `core` uses for it (own
 * memory or that of a neighbour it can reach: south, west, north), or 0 where it cannot; the same for lock
 * numbers. */
uint32_t ts_design_addr(const ts_design *d, ts_tile_buf b);
uint32_t ts_design_core_addr(const ts_design *d, ts_tile_buf b, ts_tile core);
int ts_design_lock_number(const ts_design *d, ts_tile_lock l);
/* The number that the lock instructions of `core` use: south 0-15, west 16-31, north 32-47, own 48-63; -1: out of
 * reach. */
int ts_design_core_lock(const ts_design *d, ts_tile_lock l, ts_tile core);

/* Find the routes and append the PDI to `pdi`; `fabric` (nullable) gets the switches. Errors: the first error of the
 * description, or a route that cannot be found. The design may be finished again. */
TS_NODISCARD ts_status ts_design_finish(ts_design *d, ts_buf *pdi, ts_fabric *fabric, ts_err *err);

#endif
