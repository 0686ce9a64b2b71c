/* checked.h - what the checker knows about a configuration; shared by the three check*.c only. Depends
 * on: check.h. */
#ifndef TS_XDNA_CHECKED_H
#define TS_XDNA_CHECKED_H

#include "xdna/check.h"

/* Descriptors as a list of register writes leaves them. */
typedef struct ts_bd_regs {
    uint32_t words[TS_BD_WORDS_MAX];
    uint8_t written; /* a bit for each word */
} ts_bd_regs;

/* A channel that the configuration starts, or a shim channel: an actor of the balance. A round of a ring is once
 * through its descriptors; a round of a shim channel is one word. */
typedef struct ts_ring {
    bool exists;
    uint8_t n, bd[TS_BDS_MAX]; /* descriptors in order */
    int64_t words;             /* in a round */
} ts_ring;

typedef struct ts_tile_regs {
    ts_bd_regs bd[TS_BDS_MAX];
    uint64_t bd_live; /* descriptors in use by a ring */
    uint32_t lock[TS_LOCKS_MAX];
    uint64_t lock_written;
    uint32_t ctrl[2][TS_CHANNELS_MAX];
    uint32_t starts[2][TS_CHANNELS_MAX], start_word[2][TS_CHANNELS_MAX];
    ts_ring ring[2][TS_CHANNELS_MAX];
    uint32_t mux, demux;
    bool program, enabled;
} ts_tile_regs;

enum {
    TS_TILES = TS_COLS_MAX * TS_ROWS_MAX,
    TS_CHANNEL_ACTORS = TS_TILES * 2 * TS_CHANNELS_MAX,
    TS_ACTORS = TS_CHANNEL_ACTORS + TS_TILES, /* channels, then cores */
};

static inline int ts_tile_index(ts_tile t) {
    return t.col * TS_ROWS_MAX + t.row;
}
static inline ts_tile ts_tile_of_index(int i) {
    return ts_tile_at(i / TS_ROWS_MAX, i % TS_ROWS_MAX);
}
static inline int ts_channel_actor(ts_tile t, ts_dma_dir dir, int ch) {
    return (ts_tile_index(t) * 2 + dir) * TS_CHANNELS_MAX + ch;
}
static inline int ts_core_actor(ts_tile t) {
    return TS_CHANNEL_ACTORS + ts_tile_index(t);
}

/* Kinds of equations in a configuration's balance: id is an S2MM channel's actor number, or a lock (tile * 64 +
 * number). */
enum { TS_EQ_STREAM, TS_EQ_LOCK };

struct ts_npu_config {
    const ts_chip *chip;
    int n_cols;
    ts_buf pdi;
    ts_fabric fabric;
    ts_tile_regs tile[TS_COLS_MAX][TS_ROWS_MAX];
    bool contract[TS_COLS_MAX][TS_ROWS_MAX]; /* the core has said how it uses locks */
    ts_balance balance;                 /* locks, and streams as far as the configuration fixes them */
    bool by_packets[TS_CHANNEL_ACTORS]; /* S2MM channels that get their words from shim packets alone */
};

/* Channels of the columns that there are: their actors come first. */
static inline int ts_n_channel_actors(const ts_npu_config *c) {
    return c->n_cols * TS_ROWS_MAX * 2 * TS_CHANNELS_MAX;
}

/* Fail with "rule name: ..." and say which rule. */
TS_PRINTF(4, 5) ts_status ts_rule_fail(ts_err *err, ts_rule *rule, ts_rule which, const char *fmt, ...);

/* Is the descriptor one that Tessera's rules allow in that tile? `channel` < 0: any. `name` for messages. */
ts_status ts_check_bd(const ts_npu_config *c, ts_tile t, const ts_bd_regs *regs, int number, int channel,
                      ts_bd *bd, ts_rule *rule, ts_err *err);

/* The tile and number of a lock that a BD of tile `t` names; false: there is none. */
bool ts_check_lock_of_bd(const ts_npu_config *c, ts_tile t, uint32_t number, ts_tile *where, uint32_t *lock);

/* Streams and locks: fills c->balance and c->by_packets. */
ts_status ts_check_flow(ts_npu_config *c, const ts_core_use *uses, size_t n_uses, ts_rule *rule, ts_err *err);

static inline const ts_tile_regs *ts_tile_regs_at(const ts_npu_config *c, ts_tile t) {
    return &c->tile[t.col][t.row];
}

#endif
