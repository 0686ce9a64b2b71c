/* port.h - stream switches: ports, legal connections, neighbours, register words, packet headers.
 *
 * A stream switch joins slave ports (words come in) with master ports (words go out). In circuit mode a master
 * names one slave; several masters may name the same one, then the slowest of them stalls all. In packet mode the
 * first word of a packet is matched against the slots of its slave port, which name an arbiter and a selector;
 * every master of that arbiter that listens to the selector gets the packet. Source: port order and registers
 * AM025; legal connections aie-rt [doc]. */
#ifndef TS_XDNA_PORT_H
#define TS_XDNA_PORT_H

#include "xdna/tile.h"

#include <stddef.h>

typedef enum ts_port_type {
    TS_PORT_CORE,
    TS_PORT_DMA,
    TS_PORT_CTRL, /* control packets in, completion tokens and replies out */
    TS_PORT_FIFO,
    TS_PORT_SOUTH,
    TS_PORT_WEST,
    TS_PORT_NORTH,
    TS_PORT_EAST,
    TS_PORT_TRACE,
    TS_PORT_TYPES,
} ts_port_type;

typedef struct ts_port {
    uint8_t type, index;
} ts_port;

typedef enum ts_port_role { TS_SLAVE, TS_MASTER } ts_port_role;

enum {
    TS_MASTERS_MAX = 23,
    TS_SLAVES_MAX = 25,
    TS_PACKET_SLOTS = 4,
    TS_ARBITERS = 6, /* fields allow 8; 0-5 is what the open tools use [doc] */
    TS_MSELS = 4,
    TS_PACKET_IDS = 32,
};

static inline ts_port ts_port_of(ts_port_type type, int index) {
    return (ts_port){(uint8_t)type, (uint8_t)index};
}
static inline bool ts_port_eq(ts_port a, ts_port b) {
    return a.type == b.type && a.index == b.index;
}

int ts_port_count(ts_tile_kind kind, ts_port_role role);
/* The number by which registers name a port, or -1 when the tile has no such port; and back. */
int ts_port_number(ts_tile_kind kind, ts_port_role role, ts_port port);
ts_port ts_port_at(ts_tile_kind kind, ts_port_role role, int number);
/* "DMA0", "South3"; at least 12 bytes. Returns buf. */
const char *ts_port_name(ts_port port, char *buf, size_t len);

/* May this slave feed this master? What cannot be proved legal is not: a wrong connection moves nothing, silently. */
bool ts_port_legal(ts_tile_kind kind, ts_port slave, ts_port master);

/* Where the words of a master port go: the neighbouring tile and its slave port. false: not to a neighbour inside the
 * partition of n_cols columns (a local sink, the edge of the array). ts_port_peer_back is the inverse. */
bool ts_port_peer(const ts_chip *chip, int n_cols, ts_tile tile, ts_port master, ts_tile *next, ts_port *slave);
bool ts_port_peer_back(const ts_chip *chip, int n_cols, ts_tile tile, ts_port slave, ts_tile *prev, ts_port *master);

/* The switch port of a DMA channel. Core and memtile: DMA n. Shim: MM2S 0, 1 = slave South 3, 7; S2MM 0, 1 = master
 * South 2, 3, through the mux and demux below. */
ts_port ts_port_dma(ts_tile_kind kind, ts_dma_dir dir, int channel);
/* The channel behind a port, or -1. `role` TS_SLAVE is an MM2S channel, TS_MASTER an S2MM channel. */
int ts_port_dma_channel(ts_tile_kind kind, ts_port_role role, ts_port port);

/* Shim mux (DMA to slave South) and demux (master South to DMA): the field of a channel is set to 1. */
uint32_t ts_shim_mux_bits(ts_dma_dir dir, int channel);

/* ---- registers --------------------------------------------------------------------------------------------------- */

typedef struct ts_ss_master {
    bool enable, packet, drop_header;
    uint8_t slave;          /* circuit */
    uint8_t arbiter, msels; /* packet: msels is a mask of selectors listened to */
} ts_ss_master;

typedef struct ts_ss_slave {
    bool enable, packet;
} ts_ss_slave;

typedef struct ts_ss_slot {
    bool enable;
    uint8_t id, mask; /* matches when (header id & mask) == id */
    uint8_t msel, arbiter;
} ts_ss_slot;

uint32_t ts_ss_master_encode(ts_ss_master m);
ts_ss_master ts_ss_master_decode(uint32_t word);
uint32_t ts_ss_slave_encode(ts_ss_slave s);
ts_ss_slave ts_ss_slave_decode(uint32_t word);
uint32_t ts_ss_slot_encode(ts_ss_slot s);
ts_ss_slot ts_ss_slot_decode(uint32_t word);

uint32_t ts_ss_master_off(ts_tile_kind kind, int number);
uint32_t ts_ss_slave_off(ts_tile_kind kind, int number);
uint32_t ts_ss_slot_off(ts_tile_kind kind, int slave_number, int slot);

/* All switches of a partition, decoded: what the router fills and the checker and simulator read. */
typedef struct ts_switch {
    ts_ss_master master[TS_MASTERS_MAX];
    ts_ss_slave slave[TS_SLAVES_MAX];
    ts_ss_slot slot[TS_SLAVES_MAX][TS_PACKET_SLOTS];
    uint32_t mux, demux; /* shim */
} ts_switch;

typedef struct ts_fabric {
    const ts_chip *chip;
    int n_cols;
    ts_switch sw[TS_COLS_MAX][TS_ROWS_MAX];
} ts_fabric;

/* ---- packets ----------------------------------------------------------------------------------------------------- */

/* The header word of a packet: id [4:0], type [14:12], source row [20:16], source column [27:21], odd parity [31]. */
typedef struct ts_packet {
    uint8_t id, type, row, col;
} ts_packet;
uint32_t ts_packet_encode(ts_packet p);
ts_packet ts_packet_decode(uint32_t word);
bool ts_packet_parity_ok(uint32_t word);

enum { TS_PACKET_TYPE_TOKEN = 6 };
/* The completion token of a task: a packet of type 6 whose id is the channel's controller number and whose bits
 * [12:8] (the upper ones overlap the type) name the actor. Observed: 0x0020600F = column 1, shim, S2MM 0,
 * controller 15 [silicon, xdna-emu]. Returns 0 for a channel whose actor number is not known. */
uint32_t ts_token_word(ts_tile tile, ts_dma_dir dir, int channel, uint32_t controller);

#endif
