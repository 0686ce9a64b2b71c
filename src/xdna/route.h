/* route.h - finding, tracing and writing down paths through the stream switches of a partition.
 *
 * The router looks for a shortest free path, hop by hop, over connections that ts_port_legal allows, and never
 * takes a port that another flow has. Flows are routed in the order in which they are asked for; the result
 * depends on nothing else, so a design gives the same bytes on every machine. */
#ifndef TS_XDNA_ROUTE_H
#define TS_XDNA_ROUTE_H

#include "base/err.h"
#include "xdna/cdo.h"
#include "xdna/port.h"

/* One end of a flow. As the start it is a slave port, as a destination a master port. A port of type DMA is a
 * channel of the tile's DMA (MM2S at the start, S2MM at the end), on the shim too. */
typedef struct ts_end {
    ts_tile tile;
    ts_port port;
} ts_end;

static inline ts_end ts_end_dma(ts_tile tile, int channel) {
    return (ts_end){tile, ts_port_of(TS_PORT_DMA, channel)};
}
static inline ts_end ts_end_port(ts_tile tile, ts_port_type type, int index) {
    return (ts_end){tile, ts_port_of(type, index)};
}

/* All switches off. */
void ts_fabric_init(ts_fabric *f, const ts_chip *chip, int n_cols);

/* A circuit from `src` to every one of dst[0..n_dst-1] (a multicast). Errors: TS_E_LIMIT when no free path is left,
 * TS_E_INVAL for a port that does not exist; the fabric is then as it was. */
TS_NODISCARD ts_status ts_route_circuit(ts_fabric *f, ts_end src, const ts_end *dst, int n_dst, ts_err *err);

/* A path for packets with header id `id`. Several packet flows may share ports. keep_header: the destination sees the
 * header word. Errors: as above, and TS_E_LIMIT when a switch has no slot, arbiter or selector left. */
TS_NODISCARD ts_status ts_route_packet(ts_fabric *f, int id, ts_end src, const ts_end *dst, int n_dst,
                                       bool keep_header, ts_err *err);

/* Where a stream that enters the switch of `tile` at `slave` comes out. */
typedef struct ts_sink {
    ts_tile tile;
    ts_port port; /* a master port that does not lead to a neighbour: DMA, core, ctrl, FIFO, shim South */
    bool header;  /* the packet header is still in front */
} ts_sink;
enum { TS_SINKS_MAX = 64 };

/* Follow a stream; id: of its packet headers, -1 for a stream without. Writes up to TS_SINKS_MAX sinks and their
 * number. Errors: TS_E_INVAL where the configuration loses the stream, with the place: a port that leads nowhere
 * or is off, an illegal connection, a header that matches no slot, a loop. */
TS_NODISCARD ts_status ts_route_trace(const ts_fabric *f, ts_tile tile, ts_port slave, int id, ts_sink *sinks,
                                      int *n_sinks, ts_err *err);

/* The switch port of an end, with the shim's DMA channels resolved. */
ts_port ts_end_slave(const ts_chip *chip, ts_end e);
ts_port ts_end_master(const ts_chip *chip, ts_end e);

/* The registers of all switches that are in use: slave ports, slots, master ports, shim mux and demux. */
void ts_fabric_emit(const ts_fabric *f, ts_cdo *cdo);
/* The inverse for one register write; `at` is one of the stream switch places or the shim's mux and demux. */
void ts_fabric_apply(ts_fabric *f, ts_place at, uint32_t value);

#endif
