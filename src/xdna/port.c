#include "xdna/port.h"

#include "xdna/regs.h"

#include <stdio.h>

static const char *const type_names[TS_PORT_TYPES] = {"Core", "DMA",   "Ctrl", "FIFO", "South",
                                                      "West", "North", "East", "Trace"};

/* How many ports of each type a switch has; registers number them in the order of ts_port_type, and no kind of
 * tile has them in another order. */
static const uint8_t counts[TS_TILE_KINDS][2][TS_PORT_TYPES] = {
    /*                 core dma ctrl fifo  S  W  N  E trace */
    [TS_TILE_SHIM] = {{0, 0, 1, 1, 8, 4, 4, 4, 1}, {0, 0, 1, 1, 6, 4, 6, 4, 0}},
    [TS_TILE_MEM] = {{0, 6, 1, 0, 6, 0, 4, 0, 1}, {0, 6, 1, 0, 4, 0, 6, 0, 0}},
    [TS_TILE_CORE] = {{1, 2, 1, 1, 6, 4, 4, 4, 2}, {1, 2, 1, 1, 4, 4, 6, 4, 0}},
};

int ts_port_count(ts_tile_kind kind, ts_port_role role) {
    int n = 0;
    for (int t = 0; t < TS_PORT_TYPES; t++) n += counts[kind][role][t];
    return n;
}

int ts_port_number(ts_tile_kind kind, ts_port_role role, ts_port port) {
    if (port.type >= TS_PORT_TYPES || port.index >= counts[kind][role][port.type]) return -1;
    int n = port.index;
    for (int t = 0; t < port.type; t++) n += counts[kind][role][t];
    return n;
}

ts_port ts_port_at(ts_tile_kind kind, ts_port_role role, int number) {
    for (int t = 0; t < TS_PORT_TYPES; t++) {
        if (number < counts[kind][role][t]) return ts_port_of((ts_port_type)t, number);
        number -= counts[kind][role][t];
    }
    return ts_port_of(TS_PORT_TYPES, 0);
}

const char *ts_port_name(ts_port port, char *buf, size_t len) {
    snprintf(buf, len, "%s%u", port.type < TS_PORT_TYPES ? type_names[port.type] : "?", port.index);
    return buf;
}

/* Per kind of tile, as far as the aie-rt tables allow; both ports exist. */
bool ts_port_legal(ts_tile_kind kind, ts_port s, ts_port m) {
    if (ts_port_number(kind, TS_SLAVE, s) < 0 || ts_port_number(kind, TS_MASTER, m) < 0) return false;
    bool same_index = s.index == m.index;
    switch (s.type) {
    case TS_PORT_CORE: return m.type != TS_PORT_CORE;
    case TS_PORT_DMA: return m.type != TS_PORT_DMA || same_index;
    case TS_PORT_CTRL:
        if (m.type == TS_PORT_CTRL) return false;
        return m.type != TS_PORT_DMA || (kind == TS_TILE_MEM && m.index == 5);
    case TS_PORT_FIFO: return true;
    case TS_PORT_TRACE:
        if (m.type == TS_PORT_SOUTH) return true;
        if (kind == TS_TILE_MEM) return m.type == TS_PORT_DMA && m.index == 5;
        return m.type == TS_PORT_FIFO || (kind == TS_TILE_CORE && m.type == TS_PORT_DMA && m.index == 0);
    case TS_PORT_SOUTH:
        if (kind == TS_TILE_SHIM) return true;
        break;
    default: break;
    }
    /* A stream that passes a memtile keeps its index, up, down or back; elsewhere only turning back needs it. */
    if (kind == TS_TILE_MEM && (m.type == TS_PORT_SOUTH || m.type == TS_PORT_NORTH)) return same_index;
    return s.type != m.type || same_index;
}

static ts_port_type opposite(ts_port_type t) {
    switch (t) {
    case TS_PORT_SOUTH: return TS_PORT_NORTH;
    case TS_PORT_NORTH: return TS_PORT_SOUTH;
    case TS_PORT_WEST: return TS_PORT_EAST;
    case TS_PORT_EAST: return TS_PORT_WEST;
    default: return TS_PORT_TYPES;
    }
}

static bool neighbour(const ts_chip *chip, int n_cols, ts_tile tile, ts_port port, ts_port_role role, ts_tile *other,
                      ts_port *peer) {
    int col = tile.col, row = tile.row;
    switch (port.type) {
    case TS_PORT_SOUTH: row--; break;
    case TS_PORT_NORTH: row++; break;
    case TS_PORT_WEST: col--; break;
    case TS_PORT_EAST: col++; break;
    default: return false;
    }
    if (col < 0 || col >= n_cols || row < 0 || row >= chip->rows) return false;
    ts_tile t = ts_tile_at(col, row);
    ts_port p = ts_port_of(opposite((ts_port_type)port.type), port.index);
    if (ts_port_number(ts_tile_kind_of(chip, t), role == TS_MASTER ? TS_SLAVE : TS_MASTER, p) < 0) return false;
    *other = t;
    *peer = p;
    return true;
}

bool ts_port_peer(const ts_chip *chip, int n_cols, ts_tile tile, ts_port master, ts_tile *next, ts_port *slave) {
    return neighbour(chip, n_cols, tile, master, TS_MASTER, next, slave);
}

bool ts_port_peer_back(const ts_chip *chip, int n_cols, ts_tile tile, ts_port slave, ts_tile *prev, ts_port *master) {
    return neighbour(chip, n_cols, tile, slave, TS_SLAVE, prev, master);
}

ts_port ts_port_dma(ts_tile_kind kind, ts_dma_dir dir, int channel) {
    if (kind != TS_TILE_SHIM) return ts_port_of(TS_PORT_DMA, channel);
    if (dir == TS_MM2S) return ts_port_of(TS_PORT_SOUTH, channel ? 7 : 3);
    return ts_port_of(TS_PORT_SOUTH, channel ? 3 : 2);
}

int ts_port_dma_channel(ts_tile_kind kind, ts_port_role role, ts_port port) {
    const int n = kind == TS_TILE_SHIM ? 2 : counts[kind][role][TS_PORT_DMA];
    for (int ch = 0; ch < n; ch++)
        if (ts_port_eq(port, ts_port_dma(kind, role == TS_SLAVE ? TS_MM2S : TS_S2MM, ch))) return ch;
    return -1;
}

uint32_t ts_shim_mux_bits(ts_dma_dir dir, int channel) {
    enum { TO_DMA = 1 };
    if (dir == TS_MM2S) return ts_put(channel ? TS_SHIM_MUX_SOUTH7 : TS_SHIM_MUX_SOUTH3, TO_DMA);
    return ts_put(channel ? TS_SHIM_DEMUX_SOUTH3 : TS_SHIM_DEMUX_SOUTH2, TO_DMA);
}

/* ---- registers: the same layout in all kinds of tile ------------------------------------------------------------- */

/* Configuration [6:0] of a packet-mode master: arbiter [2:0], selector mask [6:3]. */
uint32_t ts_ss_master_encode(ts_ss_master m) {
    uint32_t config = m.packet ? (m.arbiter & 7u) | (m.msels & 15u) << 3 : m.slave & 31u;
    return ts_put(TS_CORE_SS_MASTER_MASTER_ENABLE, m.enable) |
           ts_put(TS_CORE_SS_MASTER_PACKET_ENABLE, m.packet) |
           ts_put(TS_CORE_SS_MASTER_DROP_HEADER, m.drop_header) |
           ts_put(TS_CORE_SS_MASTER_CONFIGURATION, config);
}

ts_ss_master ts_ss_master_decode(uint32_t word) {
    uint32_t config = ts_get(word, TS_CORE_SS_MASTER_CONFIGURATION);
    ts_ss_master m = {.enable = ts_get(word, TS_CORE_SS_MASTER_MASTER_ENABLE),
                      .packet = ts_get(word, TS_CORE_SS_MASTER_PACKET_ENABLE),
                      .drop_header = ts_get(word, TS_CORE_SS_MASTER_DROP_HEADER)};
    if (m.packet) {
        m.arbiter = (uint8_t)(config & 7);
        m.msels = (uint8_t)(config >> 3);
    } else {
        m.slave = (uint8_t)(config & 31);
    }
    return m;
}

uint32_t ts_ss_slave_encode(ts_ss_slave s) {
    return ts_put(TS_CORE_SS_SLAVE_SLAVE_ENABLE, s.enable) | ts_put(TS_CORE_SS_SLAVE_PACKET_ENABLE, s.packet);
}

ts_ss_slave ts_ss_slave_decode(uint32_t word) {
    return (ts_ss_slave){.enable = ts_get(word, TS_CORE_SS_SLAVE_SLAVE_ENABLE),
                         .packet = ts_get(word, TS_CORE_SS_SLAVE_PACKET_ENABLE)};
}

uint32_t ts_ss_slot_encode(ts_ss_slot s) {
    return ts_put(TS_CORE_SS_SLOT_ID, s.id) | ts_put(TS_CORE_SS_SLOT_MASK, s.mask) |
           ts_put(TS_CORE_SS_SLOT_ENABLE, s.enable) | ts_put(TS_CORE_SS_SLOT_MSEL, s.msel) |
           ts_put(TS_CORE_SS_SLOT_ARBIT, s.arbiter);
}

ts_ss_slot ts_ss_slot_decode(uint32_t word) {
    return (ts_ss_slot){.id = (uint8_t)ts_get(word, TS_CORE_SS_SLOT_ID),
                        .mask = (uint8_t)ts_get(word, TS_CORE_SS_SLOT_MASK),
                        .enable = ts_get(word, TS_CORE_SS_SLOT_ENABLE),
                        .msel = (uint8_t)ts_get(word, TS_CORE_SS_SLOT_MSEL),
                        .arbiter = (uint8_t)ts_get(word, TS_CORE_SS_SLOT_ARBIT)};
}

static uint32_t by_kind(ts_tile_kind kind, uint32_t shim, uint32_t mem, uint32_t core) {
    return kind == TS_TILE_SHIM ? shim : kind == TS_TILE_MEM ? mem : core;
}

uint32_t ts_ss_master_off(ts_tile_kind kind, int number) {
    return by_kind(kind, TS_SHIM_SS_MASTER, TS_MEM_SS_MASTER, TS_CORE_SS_MASTER) + 4 * (uint32_t)number;
}
uint32_t ts_ss_slave_off(ts_tile_kind kind, int number) {
    return by_kind(kind, TS_SHIM_SS_SLAVE, TS_MEM_SS_SLAVE, TS_CORE_SS_SLAVE) + 4 * (uint32_t)number;
}
uint32_t ts_ss_slot_off(ts_tile_kind kind, int slave_number, int slot) {
    return by_kind(kind, TS_SHIM_SS_SLOT, TS_MEM_SS_SLOT, TS_CORE_SS_SLOT) + 16 * (uint32_t)slave_number +
           4 * (uint32_t)slot;
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

static uint32_t with_parity(uint32_t w) {
    return w | (__builtin_parity(w) ? 0 : 1u << 31);
}

uint32_t ts_packet_encode(ts_packet p) {
    return with_parity((p.id & 31u) | (p.type & 7u) << 12 | (p.row & 31u) << 16 | (p.col & 127u) << 21);
}

ts_packet ts_packet_decode(uint32_t w) {
    return (ts_packet){.id = w & 31, .type = w >> 12 & 7, .row = w >> 16 & 31, .col = w >> 21 & 127};
}

bool ts_packet_parity_ok(uint32_t word) {
    return __builtin_parity(word);
}

uint32_t ts_token_word(ts_tile tile, ts_dma_dir dir, int channel, uint32_t controller) {
    /* only what a token can tell apart and what Tessera waits on: the shim's channels [doc, vendor table] */
    static const uint8_t shim_actor[2][2] = {{0, 2}, {6, 7}};
    if (tile.row != TS_ROW_SHIM || channel < 0 || channel > 1 || controller > 31) return 0;
    return with_parity(controller | (uint32_t)shim_actor[dir][channel] << 8 | TS_PACKET_TYPE_TOKEN << 12 |
                       (uint32_t)tile.row << 16 | (uint32_t)tile.col << 21);
}
