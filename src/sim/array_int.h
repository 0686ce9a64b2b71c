/* array_int.h - inside the simulator: components and their events, stream FIFOs and links, tiles.
 *
 * A component (core, DMA channel, packet port, firmware ...) has its own time `t`, the cycle of its next action. The
 * scheduler takes the component with the smallest time; it may then run ahead of the others by a window, but what
 * others can see happens in order of time: locks, arbiters, tokens and register writes only when no other component
 * could act earlier. Streams need no such care: one writer, one reader, and every word carries the cycle from which
 * it can be read, every free place the cycle from which it can be written, so both ends compute exact times in any
 * order. */
#ifndef TS_SIM_ARRAY_INT_H
#define TS_SIM_ARRAY_INT_H

#include "base/rng.h"
#include "sim/array.h"
#include "xdna/bd.h"
#include "xdna/route.h"
#include "xdna/txn.h"

#include <stdarg.h>
#include <string.h>

#define SIM_NEVER UINT64_MAX
enum {
    SIM_WINDOW = 128,       /* cycles that a DMA or a switch runs ahead, by default */
    SIM_CORE_WINDOWS = 4,   /* of these a core */
    SIM_BURST = 64,         /* words of a burst of the shim, at most */
    SIM_BURSTS = 32,        /* under way, at most */
    SIM_MAX_CYCLES = 20,    /* default of a run, in thousand millions */
};

/* ---- components -------------------------------------------------------------------------------------------------- */

typedef struct sim_comp sim_comp;
typedef enum sim_comp_kind { SIM_CORE, SIM_CHANNEL, SIM_FETCH, SIM_PACKETS, SIM_FIRMWARE } sim_comp_kind;

struct sim_comp {
    uint64_t t;    /* its own time: when it can act next; while it waits, when it began to */
    uint64_t when; /* of its next event, if it is in the heap */
    uint32_t heap; /* place in the heap + 1, 0: not there */
    uint16_t order; /* who goes first at the same time */
    uint8_t kind, wait; /* wait: a ts_wait */
    bool acts;          /* it is being run */
    uint8_t tile_kind;
    ts_tile tile;
    sim_comp *next; /* in the list of those that wait for the same */
    uint64_t waited[TS_WAIT_COUNT];
    ts_rng rng;
};

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* The way into a reader: a ring of words. when[i] is the first cycle in which word i can be read, or, in a free
 * place, the cycle in which it was read. */
typedef struct sim_fifo {
    uint32_t *word;
    uint64_t *when;
    uint8_t *last; /* TLAST */
    uint32_t cap, latency, in, out, n;
    sim_comp *reader;
    sim_comp *writers; /* those that wait for room */
    bool reader_waits;
    uint64_t n_words;
    struct sim_link *from; /* NULL: nothing leads here */
} sim_fifo;

/* The way out of a writer: a circuit to one or more readers. */
typedef struct sim_link {
    ts_tile tile; /* where it begins */
    ts_port port;
    bool from_master; /* it begins at a master port in packet mode, else at a slave port */
    sim_fifo **sink;
    size_t n, cap;
    char dead[100];  /* not empty: the route is not whole, words cannot leave; says why */
    sim_comp *waits; /* its writer, waiting for a route */
} sim_link;

/* ---- locks ------------------------------------------------------------------------------------------------------- */

typedef struct sim_lock {
    int32_t value;
    sim_comp *waiters;
} sim_lock;

/* ---- DMA --------------------------------------------------------------------------------------------------------- */

/* Which words a descriptor moves, in order. With padding the index of a dimension also runs over the zeros around
 * it. */
typedef struct sim_walk {
    uint64_t base; /* bytes, iteration included */
    uint32_t step[TS_BD_DIMS], size[TS_BD_DIMS]; /* size: indices until the next dimension advances, 0: no end */
    uint32_t index[TS_BD_DIMS];
    uint64_t offset[TS_BD_DIMS]; /* words, of the index of that dimension */
    uint32_t before[TS_BD_DIMS], inner[TS_BD_DIMS];
    bool padded;
} sim_walk;

typedef struct sim_burst {
    uint32_t n, at;
    uint64_t ready; /* read: it is there; in a free place: since when it is free; write: acknowledged */
    uint32_t word[SIM_BURST];
} sim_burst;

typedef struct sim_task {
    uint8_t bd;
    uint16_t repeat;
    bool token;
    uint64_t pushed;
} sim_task;

typedef enum sim_step {
    SIM_IDLE, SIM_START, SIM_ACQUIRE, SIM_MOVE, SIM_RELEASE, SIM_FINISH, SIM_TOKEN, SIM_DEAD
} sim_step;

typedef struct sim_channel sim_channel;

/* The shim's reads of host memory, ahead of the stream. */
typedef struct sim_fetch {
    sim_comp c;
    sim_channel *ch;
    sim_walk walk;
    uint32_t left;
    uint64_t latency, last_ready;
} sim_fetch;

struct sim_channel {
    sim_comp c;
    ts_dma_dir dir;
    uint8_t index, step;
    bool overflow, invalid; /* sticky: a push was dropped, a descriptor was not valid */
    uint32_t ctrl;
    sim_task queue[TS_DMA_QUEUE_DEPTH]; /* the first one is under way */
    int n_queue;
    ts_bd bd;
    uint32_t bd_no, runs_left, left;
    bool header;    /* MM2S: the packet header is still to come */
    bool continues; /* this BD follows another one of its task */
    uint64_t ended; /* when the task before ended */
    sim_walk walk;
    sim_fifo in;
    sim_link out;
    uint64_t n_words, n_bds, n_tasks;
    /* shim */
    uint32_t pace, fraction; /* of a word, in thousandths of a cycle; what has added up */
    sim_fetch *fetch;        /* reads */
    sim_burst *burst;        /* a ring of SIM_BURSTS; writes: one is being filled, the others have been sent */
    uint32_t b_in, b_out, b_n;
    uint64_t b_addr, b_done; /* writes: of the burst being filled; when the last one is acknowledged */
};

/* ---- packets ----------------------------------------------------------------------------------------------------- */

typedef struct sim_arbiter {
    struct sim_packets *owner;
    sim_comp *waiters;
} sim_arbiter;

/* A slave port in packet mode. */
typedef struct sim_packets {
    sim_comp c;
    uint8_t slave;
    enum { SIM_HEAD, SIM_BODY, SIM_TAIL } step;
    bool first;
    uint8_t arbiter;
    uint32_t masters;
    sim_fifo in;
    char stuck[80]; /* why the packet at its head goes nowhere */
} sim_packets;

/* ---- cores ------------------------------------------------------------------------------------------------------- */

typedef struct sim_cascade {
    uint8_t value[8][64];
    uint64_t when[8];
    uint32_t in, out, n;
    sim_comp *reader, *writer; /* waiting, or NULL */
} sim_cascade;

typedef struct sim_core {
    sim_comp c;
    ts_array *a;
    ts_aie2_core core;
    uint32_t control;
    bool runs, is_done;
    uint64_t base;   /* time of its cycle 0 */
    uint64_t retry;  /* when a bundle that could not issue is tried again; SIM_NEVER: when it is woken */
    uint64_t bundles0, bank_stalls0; /* at the start of the run */
    uint64_t words_in, words_out;
    sim_fifo in;
    sim_link out;
    sim_cascade cascade; /* into this core */
    uint32_t cascade_ctrl;
} sim_core;

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

typedef struct sim_tile {
    ts_tile at;
    ts_tile_kind kind;
    const ts_tile_info *info; /* of its kind */
    uint8_t *mem;
    uint32_t bd[TS_BDS_MAX][TS_BD_WORDS_MAX];
    sim_lock lock[TS_LOCKS_MAX];
    uint64_t lock_over, lock_under; /* sticky, a bit a lock */
    sim_channel *ch[2];             /* n_channels each */
    sim_core *core;
    sim_link token; /* from the control port */
    sim_packets packets[TS_SLAVES_MAX];
    sim_arbiter arbiter[8];
    sim_link master[TS_MASTERS_MAX]; /* in packet mode */
    sim_fifo inbox;                  /* shim: from South0 to the firmware */
} sim_tile;

typedef struct sim_firmware {
    sim_comp c;
    enum { SIM_FW_OFF, SIM_FW_LAUNCH, SIM_FW_NEXT, SIM_FW_DO, SIM_FW_WAIT, SIM_FW_POLL, SIM_FW_END } step;
    ts_txn_reader txn;
    ts_txn_op op;
    const uint64_t *args;
    int n_args;
    uint64_t n_ops, busy, waited, launched;
    uint32_t tokens[TS_COLS_MAX][TS_ROWS_MAX][2][TS_CHANNELS_MAX]; /* arrived, not waited for */
    uint32_t lost[TS_COLS_MAX][TS_ROWS_MAX];                        /* that had no way out */
    int n_tokens; /* of the wait under way, taken already */
} sim_firmware;

/* One direction of the way to host memory: serves bursts one after the other. Times in 1/1024 cycles. */
typedef struct sim_server {
    uint64_t free;
    uint64_t bytes;
} sim_server;

struct ts_array {
    ts_array_options o;
    ts_sim_timing timing;
    uint64_t now;
    sim_comp **heap;
    uint32_t n_heap;
    sim_comp **comp;
    uint32_t n_comp;
    sim_tile *tile; /* sim_tiles(), column by column */
    ts_fabric fabric;
    bool fabric_changed;
    bool launched;
    bool ended_badly;
    const ts_array_host *host; /* of the run under way */
    sim_firmware fw;
    sim_server read, write;
    uint64_t run_start, run_end, events; /* run_end: nothing runs beyond it */
    ts_array_outcome outcome;
    ts_err fault; /* code TS_OK: none */
    const struct sim_channel *bus_error; /* whose access ended it, if any */
    bool stopped;
    char mishap[TS_MISHAPS_KEPT][200];
    size_t n_mishaps;
    uint64_t rewritten_at; /* the last rewriting of a live descriptor that was noted */
    const sim_tile *rewritten_tile;
    uint32_t rewritten_bd;
    ts_buf report;
    ts_array_stats stats;
};

static inline sim_tile *sim_tile_at(const ts_array *a, ts_tile t) {
    return ts_tile_in(a->o.chip, a->o.n_cols, t) ? &a->tile[t.col * a->o.chip->rows + t.row] : NULL;
}
static inline int sim_tiles(const ts_array *a) {
    return a->o.n_cols * a->o.chip->rows;
}

/* ---- sched.c: events, figures, names, mishaps -------------------------------------------------------------------- */

/* Its next event is at `t` or earlier. */
void sim_wake(ts_array *a, sim_comp *c, uint64_t t);
/* It waits, without an event of its own. */
static inline void sim_sleep(sim_comp *c, ts_wait why) {
    c->wait = (uint8_t)why;
}
void sim_wake_list(ts_array *a, sim_comp **list, uint64_t t);
void sim_unlist(sim_comp **list, sim_comp *c);
void sim_forget(ts_array *a, sim_comp *c); /* take it out of the heap */
/* Nothing but this component's event can happen before cycle t. */
static inline bool sim_is_first(const ts_array *a, uint64_t t) {
    return t <= a->now || !a->n_heap || a->heap[0]->when > t;
}
/* Run events until the firmware is through, something fails, nothing is left, or `end` is reached. */
void sim_run_events(ts_array *a, uint64_t end);
/* Time up to now counts as waited for everybody who waits. */
void sim_account(ts_array *a);

uint32_t sim_draw(ts_array *a, sim_comp *c, ts_sim_range r);
TS_PRINTF(2, 3) void sim_mishap(ts_array *a, const char *fmt, ...);
TS_PRINTF(2, 3) void sim_fault(ts_array *a, const char *fmt, ...);
void sim_fault_nomem(ts_array *a);
TS_PRINTF(3, 4) void sim_trace_line(ts_array *a, uint64_t t, const char *fmt, ...);
#define SIM_TRACE(a, t, ...)                                                                                           \
    do {                                                                                                               \
        if ((a)->o.trace) sim_trace_line(a, t, __VA_ARGS__);                                                           \
    } while (0)

typedef struct sim_text {
    char s[48];
} sim_text;
sim_text sim_name(const sim_comp *c); /* "shim(0,0) MM2S 1" */
sim_text sim_tile_name(const ts_array *a, ts_tile t);
sim_text sim_port_name(const ts_array *a, ts_tile t, ts_port p);

/* ---- net.c: links and packet ports ------------------------------------------------------------------------------- */

/* Work out all links again if a switch has changed. */
void sim_net_update(ts_array *a);
void sim_packets_run(ts_array *a, sim_packets *p);
void sim_packets_pull(ts_array *a, sim_packets *p);
void sim_fifo_free(sim_fifo *f);
void sim_fifo_clear(sim_fifo *f);

/* Let the reader of a full FIFO go on, so that its writer can. false: it cannot, or is no DMA or packet port. */
bool sim_pull(ts_array *a, sim_fifo *f);
static inline void sim_wait_room(sim_fifo *f, sim_comp *c) {
    c->next = f->writers;
    f->writers = c;
    sim_sleep(c, TS_WAIT_ROOM);
}
/* The first sink that is full, or NULL; *room: words that all can take. */
static inline sim_fifo *sim_full(const sim_link *l, uint32_t *room) {
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < l->n; i++) {
        sim_fifo *f = l->sink[i];
        uint32_t r = f->cap - f->n;
        if (!r) return f;
        if (r < least) least = r;
    }
    *room = least;
    return NULL;
}
/* The same, after the readers have done what they can. */
static inline sim_fifo *sim_full_now(ts_array *a, const sim_link *l, uint32_t *room) {
    sim_fifo *f;
    while ((f = sim_full(l, room)) && sim_pull(a, f)) {}
    return f;
}
/* Put a word into all sinks, which have room, at cycle t or when the places have become free. Returns the cycle. */
static inline uint64_t sim_push(ts_array *a, sim_link *l, uint64_t t, uint32_t word, bool last) {
    for (size_t i = 0; i < l->n; i++) {
        const sim_fifo *f = l->sink[i];
        if (f->when[f->in] >= t) t = f->when[f->in] + 1;
    }
    for (size_t i = 0; i < l->n; i++) {
        sim_fifo *f = l->sink[i];
        f->word[f->in] = word;
        f->last[f->in] = last;
        f->when[f->in] = t + f->latency;
        f->in = f->in + 1 == f->cap ? 0 : f->in + 1;
        f->n++;
        if (f->reader_waits) {
            f->reader_waits = false;
            sim_wake(a, f->reader, t + f->latency);
        }
    }
    return t;
}
/* Take the oldest word of a FIFO that is not empty, at cycle t or when it comes. Returns the cycle. */
static inline uint64_t sim_pop(ts_array *a, sim_fifo *f, uint64_t t, uint32_t *word, bool *last) {
    if (f->when[f->out] > t) t = f->when[f->out];
    *word = f->word[f->out];
    *last = f->last[f->out];
    f->when[f->out] = t;
    f->out = f->out + 1 == f->cap ? 0 : f->out + 1;
    f->n--;
    f->n_words++;
    if (f->writers) sim_wake_list(a, &f->writers, t + 1);
    return t;
}

/* ---- lock.c ------------------------------------------------------------------------------------------------------ */

/* The lock that `number` means for a core or a DMA of the tile; NULL: none. */
sim_lock *sim_core_lock(ts_array *a, ts_tile t, unsigned number, ts_tile *of, unsigned *own_number);
sim_lock *sim_dma_lock(ts_array *a, ts_tile t, unsigned number, ts_tile *of, unsigned *own_number);
/* Take from a lock: value < 0: when it is >= -value; else when it is == value. false: not now. */
bool sim_acquire(ts_array *a, sim_lock *l, int32_t value);
void sim_wait_lock(sim_lock *l, sim_comp *c);
/* Add to a lock, now; wakes those who wait. */
void sim_release(ts_array *a, ts_tile t, unsigned number, int32_t value);
void sim_lock_set(ts_array *a, ts_tile t, unsigned number, uint32_t value);

/* ---- walk.c ------------------------------------------------------------------------------------------------------ */

void sim_walk_start(sim_walk *w, const ts_bd *bd);
/* The next words: up to `max` at consecutive addresses from *addr on, or zeros (*zero). Returns their number, >= 1. */
uint32_t sim_walk_take(sim_walk *w, uint32_t max, uint64_t *addr, bool *zero);

/* ---- channel.c, hostmem.c ---------------------------------------------------------------------------------------- */

void sim_channel_run(ts_array *a, sim_channel *ch);
void sim_channel_pull(ts_array *a, sim_channel *ch); /* move words, if that is what it is at */
/* A write to the start queue at this moment. */
void sim_channel_push(ts_array *a, sim_channel *ch, uint32_t word);
void sim_channel_ctrl(ts_array *a, sim_channel *ch, uint32_t word);
uint32_t sim_channel_status(const ts_array *a, const sim_channel *ch);
/* May a task under way or in a queue of the tile still read the descriptor? The channel, or NULL. */
const sim_channel *sim_bd_user(const sim_tile *t, uint32_t bd);
/* `words` words at the byte address of a DMA of the tile, NULL: not in its reach. *words is cut at the memory's end. */
uint8_t *sim_dma_memory(ts_array *a, ts_tile t, uint64_t addr, uint32_t *words);

void sim_fetch_run(ts_array *a, sim_fetch *f);
void sim_fetch_start(ts_array *a, sim_channel *ch);
/* Move words between the shim's stream and its bursts; false: not through yet, it waits or has an event. */
bool sim_shim_out(ts_array *a, sim_channel *ch);
bool sim_shim_in(ts_array *a, sim_channel *ch);
void sim_shim_clear(sim_channel *ch);

/* ---- tilecore.c -------------------------------------------------------------------------------------------------- */

ts_status sim_core_init(ts_array *a, sim_core *k, ts_tile t, ts_err *err);
void sim_core_run(ts_array *a, sim_core *k);
void sim_core_control(ts_array *a, sim_core *k, uint32_t value);
uint32_t sim_core_status(const sim_core *k);
void sim_core_launch(ts_array *a); /* the first dispatch: enabled cores leave reset */

/* ---- regfile.c --------------------------------------------------------------------------------------------------- */

void sim_write(ts_array *a, uint32_t addr, uint32_t value);
void sim_mask_write(ts_array *a, uint32_t addr, uint32_t mask, uint32_t value);
void sim_block_write(ts_array *a, uint32_t addr, ts_span data);
/* false: cannot be read; *why says so */
bool sim_read(const ts_array *a, uint32_t addr, uint32_t *value, const char **why);

/* ---- firmware.c -------------------------------------------------------------------------------------------------- */

void sim_firmware_run(ts_array *a);
void sim_token(ts_array *a, sim_tile *t, sim_channel *ch);
ts_status sim_configure(ts_array *a, const void *pdi, size_t len, ts_err *err);

/* ---- explain.c --------------------------------------------------------------------------------------------------- */

void sim_explain(ts_array *a, const char *first_line);

#endif
