#include "npu/gemv_dev.h"

#include "base/clock.h"
#include "base/log.h"
#include "npu/gemv_array.h"
#include "xdna/cmd.h"
#include "xdna/host.h"

#include <assert.h>
#include <string.h>

enum { ARG_WEIGHTS, ARG_ACTS, ARG_SUMS, ARG_NEXT, ARGS };

/* Descriptors of the transfers for the next op, two a column, in turn with two others: the ones before are still in
 * use. */
enum { AHEAD_BD = 12 };

enum { LOOK_EVERY = 16 }; /* commands: a look is a system call */

/* Everything that the instruction stream of a command depends on. Ops of equal layout share commands: layers repeat. */
typedef struct layout {
    uint32_t weights[TS_GEMV_CORES], at[TS_GEMV_CORES]; /* words of each stream, and where they begin */
    uint32_t sums[TS_GEMV_CORES];                       /* words that come back, one stream behind the other */
    uint32_t packets;
    uint32_t sent[TS_GEMV_CORES];                       /* of `weights`, ahead of this command */
    uint32_t next[TS_GEMV_CORES], next_at[TS_GEMV_CORES]; /* words for the next command; all 0: none */
    uint32_t turn;                                      /* of the descriptors that brought what was sent */
} layout;

typedef struct command {
    layout key;
    ts_npu_command *checked;
    ts_npu_cmd *cmd;
} command;

/* A command from its packets to its proofs. */
typedef struct flight {
    ts_gemv_op *op;
    const ts_gemv_op *next;
    uint32_t n_tok;
    bool again; /* the second try */
    layout key;
    command *c;
} flight;

/* An op under way: of its tokens, those from t0 on are in flight. */
typedef struct running {
    flight f; /* f.op NULL: none is */
    const ts_qact *x;
    uint32_t all_tok, t0;
    const ts_gemv_op *next;
    uint64_t fill_ns;
} running;

struct ts_gemv_dev {
    const ts_npu_meter *meter; /* nullable */
    ts_npu_dev *dev;
    ts_npu_config *config;
    ts_npu_ctx *ctx;
    ts_npu_bo acts, sums; /* grown as needed */
    command *command;
    size_t n_commands, cap_commands;
    uint64_t timeout_ns;
    ts_evidence evidence;
    bool prefetch, keep_prefetch;
    uint32_t asked; /* commands since the driver was last asked who else is there */
    uint32_t looked; /* and at which clock they run */
    ts_npu_clock clock;
    const ts_gemv_op *ahead; /* the op whose first weights are in the array already; NULL: none */
    uint32_t turn;
    uint32_t jobs;     /* commands since the configuration was loaded, as the cores count them too */
    uint32_t number;   /* of the last command */
    uint32_t next_tag; /* of weight buffers */
    running run;
};

struct ts_gemv_op {
    ts_gemv_dev *d;
    int n;
    ts_gemv_mat mat[TS_GEMV_MATS];
    uint16_t *scales[TS_GEMV_MATS];
    ts_npu_bo weights;
    uint32_t words[TS_GEMV_CORES], at[TS_GEMV_CORES];          /* of the streams in `weights` */
    uint32_t first[TS_GEMV_MATS][TS_GEMV_CORES];               /* buffer with which a matrix' part of a stream begins */
    uint32_t buffers[TS_GEMV_CORES];                           /* of a stream; the first one's tag */
    uint32_t tag[TS_GEMV_CORES];
    uint8_t skip[TS_GEMV_CORES];                               /* buffers of padding at its end */
    uint64_t macs, unit_bytes;                                 /* for one token */
};

/* ---- the device -------------------------------------------------------------------------------------------------- */

static ts_status find_node(ts_gemv_dev *d, const ts_gemv_dev_options *o, const ts_npu_io **io, char *path, size_t len,
                           ts_err *err) {
    if (o->io) {
        *io = o->io;
        d->evidence = o->evidence;
        d->meter = o->meter;
        if (d->meter) d->clock = (ts_npu_clock){d->meter->mhz, d->meter->mhz, d->meter->mhz};
    } else {
        ts_npu_host host;
        char line[300];
        ts_npu_host_probe(&host, "");
        TS_TRY(ts_npu_host_node(&host, path, len, err));
        const char *w;
        for (int i = 0; (w = ts_npu_host_warning(&host, 0, i, line, sizeof line)) != NULL; i++)
            ts_log(TS_LOG_WARN, "%s", w);
        d->evidence = *host.hypervisor ? TS_VIRTUAL : TS_MEASURED;
        *io = ts_npu_io_drm();
        return TS_OK;
    }
    const char *name = o->path ? o->path : "/dev/accel/accel0";
    if (strlen(name) >= len) return ts_fail(err, TS_E_INVAL, "NPU: the path of the node is too long");
    memcpy(path, name, strlen(name) + 1);
    return TS_OK;
}

ts_status ts_gemv_dev_open(ts_gemv_dev **out, const ts_gemv_dev_options *o, ts_err *err) {
    const ts_npu_io *io = NULL;
    char path[64];
    ts_gemv_dev *d = ts_calloc(1, sizeof *d);
    if (!d) return ts_fail_nomem(err, "an NPU", sizeof *d);
    d->prefetch = o->prefetch == TS_PREFETCH_ON || (o->prefetch == TS_PREFETCH_AUTO && o->meter);
    d->keep_prefetch = o->keep_prefetch;
    d->timeout_ns = o->timeout_ns ? o->timeout_ns : TS_NPU_TIMEOUT_NS;
    ts_status s = find_node(d, o, &io, path, sizeof path, err);
    if (s == TS_OK) s = ts_npu_dev_open(&d->dev, io, path, err);
    if (s == TS_OK) ts_npu_dev_stop_by(d->dev, o->stop);
    if (s == TS_OK) s = ts_gemv_config(&d->config, d->dev->chip, err);
    if (s == TS_OK)
        s = ts_npu_bo_init(&d->acts, d->dev, TS_NPU_SHARED, TS_GEMV_PACKETS * TS_GEMV_A_BYTES, "activations", err);
    if (s == TS_OK) s = ts_npu_ctx_new(&d->ctx, d->dev, d->config, err);
    if (s != TS_OK) {
        ts_gemv_dev_close(d);
        return s;
    }
    *out = d;
    return TS_OK;
}

static void free_commands(ts_gemv_dev *d) {
    for (size_t i = 0; i < d->n_commands; i++) {
        ts_npu_cmd_free(d->command[i].cmd);
        ts_npu_command_free(d->command[i].checked);
    }
    ts_free(d->command);
    d->command = NULL;
    d->n_commands = d->cap_commands = 0;
}

void ts_gemv_dev_close(ts_gemv_dev *d) {
    if (!d) return;
    free_commands(d);
    ts_npu_ctx_free(d->ctx);
    ts_npu_bo_fini(&d->acts);
    ts_npu_bo_fini(&d->sums);
    ts_npu_dev_close(d->dev);
    ts_npu_config_free(d->config);
    ts_free(d);
}

ts_evidence ts_gemv_dev_evidence(const ts_gemv_dev *d) {
    return d->evidence;
}
bool ts_gemv_dev_prefetch(const ts_gemv_dev *d) {
    return d->prefetch;
}
ts_npu_clock ts_gemv_dev_clock(const ts_gemv_dev *d) {
    return d->clock;
}
double ts_gemv_dma_bytes_per_us(uint32_t mhz) {
    return 27.5 * (mhz ? mhz : 1000);
}

/* ---- ops --------------------------------------------------------------------------------------------------------- */

static uint32_t packets_of(const ts_gemv_mat *mat, int n, uint32_t n_tok) {
    uint32_t p = 0;
    for (int m = 0; m < n; m++) p += ts_gemv_packets(&mat[m], n_tok);
    return p;
}

const char *ts_gemv_refusal(const ts_gemv_shape *shape, int n) {
    ts_gemv_mat mat[TS_GEMV_MATS];
    if (n < 1 || n > TS_GEMV_MATS) return "there are 1 to 4 matrices in an op";
    for (int m = 0; m < n; m++) {
        if (!ts_gemv_type_of(shape[m].type)) return "the NPU's program takes Q4_0, U4G, Q8_0, Q4_K and Q6_K";
        if (shape[m].K != shape[0].K) return "the matrices have inputs of different size";
        if (!ts_gemv_mat_init(&mat[m], shape[m].type, shape[m].n_rows, shape[m].K, 0)) return "the matrix is too large";
    }
    if (packets_of(mat, n, 1) > TS_GEMV_PACKETS) return "the input is too long for the array's activation buffers";
    return NULL;
}

/* Tags for all buffers: no two of a process have the same, and none has 0. They would begin anew after 28 TB of
 * weights. */
static void take_tags(ts_gemv_op *op) {
    uint64_t n = 0;
    for (int c = 0; c < TS_GEMV_CORES; c++) n += op->buffers[c];
    if (!op->d->next_tag || op->d->next_tag + n + TS_GEMV_CORES > UINT32_MAX) op->d->next_tag = 1;
    for (int c = 0; c < TS_GEMV_CORES; c++) {
        op->tag[c] = op->d->next_tag;
        op->d->next_tag += op->buffers[c] + 1; /* a stream's end is no other's beginning */
    }
}

static ts_gemv_stream stream_of(const ts_gemv_op *op, int c, uint32_t first) {
    return (ts_gemv_stream){.data = (uint8_t *)op->weights.ptr + 4 * (size_t)op->at[c],
                            .holds = ts_gemv_ring_holds(c),
                            .bytes = ts_gemv_ring_bytes(c),
                            .first = first};
}

/* Places of all streams in the buffer; its size, 0: too large. */
static size_t lay_out(ts_gemv_op *op) {
    uint64_t at = 0;
    for (int c = 0; c < TS_GEMV_CORES; c++) {
        uint64_t n = 0, holds = ts_gemv_ring_holds(c);
        for (int m = 0; m < op->n; m++) {
            op->first[m][c] = (uint32_t)n;
            n += ts_gemv_buffers(&op->mat[m], c);
        }
        uint64_t rings = (n + holds - 1) / holds, bytes = rings * ts_gemv_ring_bytes(c);
        op->skip[c] = (uint8_t)(rings * holds - n);
        op->buffers[c] = (uint32_t)(rings * holds);
        op->at[c] = (uint32_t)(at / 4);
        op->words[c] = (uint32_t)(bytes / 4);
        at += bytes;
    }
    return at <= UINT32_MAX ? (size_t)at : 0; /* offsets of a command have 32 bits */
}

ts_status ts_gemv_op_new(ts_gemv_op **out, ts_gemv_dev *d, const ts_gemv_shape *shape, int n, ts_err *err) {
    const char *why = ts_gemv_refusal(shape, n);
    if (why) return ts_fail(err, TS_E_UNSUPP, "%s", why);
    ts_gemv_op *op = ts_calloc(1, sizeof *op);
    if (!op) return ts_fail_nomem(err, "an NPU op", sizeof *op);
    op->d = d;
    op->n = n;
    ts_status s = TS_OK;
    unsigned turn = 0; /* what does not come out even goes round */
    for (int m = 0; m < n && s == TS_OK; m++) {
        ts_gemv_mat *mat = &op->mat[m];
        if (!ts_gemv_mat_init(mat, shape[m].type, shape[m].n_rows, shape[m].K, turn))
            s = ts_fail(err, TS_E_UNSUPP, "the matrix is too large");
        turn += mat->n_group;
        op->macs += shape[m].n_rows * shape[m].K;
        op->unit_bytes += ts_gemv_unit_bytes(mat);
        if (s == TS_OK && !(op->scales[m] = ts_alloc(1, ts_gemv_scale_bytes(mat))))
            s = ts_fail_nomem(err, "scales of weights", ts_gemv_scale_bytes(mat));
    }
    size_t bytes = s == TS_OK ? lay_out(op) : 1;
    if (!bytes) s = ts_fail(err, TS_E_UNSUPP, "the matrices of an op are more than 4 GiB");
    if (s == TS_OK) s = ts_npu_bo_init(&op->weights, d->dev, TS_NPU_SHARED, bytes, "weights", err);
    if (s != TS_OK) {
        ts_gemv_op_free(op);
        return s;
    }
    take_tags(op);
    *out = op;
    return TS_OK;
}

static void abandon(ts_gemv_dev *d);

void ts_gemv_op_free(ts_gemv_op *op) {
    if (!op) return;
    if (op->d->run.f.op == op) abandon(op->d);
    if (op->d->ahead == op && ts_gemv_dev_drain(op->d, NULL) != TS_OK) ts_npu_ctx_drop(op->d->ctx);
    ts_npu_bo_fini(&op->weights);
    for (int m = 0; m < TS_GEMV_MATS; m++) ts_free(op->scales[m]);
    ts_free(op);
}

const ts_gemv_mat *ts_gemv_op_mat(const ts_gemv_op *op, int m) {
    return &op->mat[m];
}
const ts_gemv_dev *ts_gemv_op_dev(const ts_gemv_op *op) {
    return op->d;
}

void ts_gemv_op_pack(ts_gemv_op *op, int m, const void *rows, size_t row_bytes, uint32_t g) {
    ts_gemv_op_pack_rows(op, m, (const uint8_t *)rows + (size_t)g * TS_GEMV_ROWS * row_bytes, row_bytes, g);
}

void ts_gemv_op_pack_rows(ts_gemv_op *op, int m, const void *rows, size_t row_bytes, uint32_t g) {
    const ts_gemv_mat *mat = &op->mat[m];
    const int c = ts_gemv_stream_of(mat, g);
    const ts_gemv_stream stream = stream_of(op, c, op->first[m][c]);
    ts_gemv_pack_rows(mat, rows, row_bytes, g, &stream, op->scales[m]);
}

void ts_gemv_op_packed(ts_gemv_op *op) {
    for (int c = 0; c < TS_GEMV_CORES; c++) {
        const ts_gemv_stream stream = stream_of(op, c, 0);
        ts_gemv_tag_buffers(&stream, op->buffers[c], op->tag[c]);
    }
    ts_npu_bo_flush(&op->weights, 0, op->weights.bytes);
}

size_t ts_gemv_op_bytes(const ts_gemv_op *op) {
    size_t n = op->weights.bytes;
    for (int m = 0; m < op->n; m++) n += ts_gemv_scale_bytes(&op->mat[m]);
    return n;
}

void ts_gemv_cost_add(ts_gemv_cost *sum, const ts_gemv_cost *c) {
    sum->commands += c->commands, sum->tokens += c->tokens, sum->macs += c->macs;
    sum->weight_bytes += c->weight_bytes, sum->act_bytes += c->act_bytes, sum->sum_bytes += c->sum_bytes;
    sum->unit_bytes += c->unit_bytes, sum->device_ns += c->device_ns, sum->cycles += c->cycles;
    sum->launch_cycles += c->launch_cycles, sum->host_ns += c->host_ns;
    sum->proofs += c->proofs, sum->wrong_proofs += c->wrong_proofs, sum->anew += c->anew;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* How much of a stream may go ahead of its activations: what a ring in the memtile holds. */
static uint32_t words_ahead(const ts_gemv_op *op, int c) {
    uint32_t room = ts_gemv_ring_bytes(c) * ts_gemv_ring_count(c) / 4;
    return op->words[c] < room ? op->words[c] : room;
}

static layout layout_of(const ts_gemv_op *op, uint32_t n_tok, const ts_gemv_op *next) {
    const bool ahead = op->d->ahead == op;
    layout k = {.packets = packets_of(op->mat, op->n, n_tok), .turn = ahead ? op->d->turn : 0};
    for (int c = 0; c < TS_GEMV_CORES; c++) {
        size_t sums = TS_GEMV_O_BYTES; /* the proof */
        for (int m = 0; m < op->n; m++) sums += ts_gemv_result_bytes(&op->mat[m], c, n_tok);
        k.weights[c] = op->words[c];
        k.at[c] = op->at[c];
        k.sums[c] = (uint32_t)(sums / 4);
        if (ahead) k.sent[c] = words_ahead(op, c);
        if (next) k.next[c] = words_ahead(next, c), k.next_at[c] = next->at[c];
    }
    return k;
}

static uint64_t sum_words(const uint32_t words[TS_GEMV_CORES]) {
    uint64_t n = 0;
    for (int c = 0; c < TS_GEMV_CORES; c++) n += words[c];
    return n;
}

static uint8_t ahead_bd(uint32_t turn, int c) {
    return (uint8_t)(AHEAD_BD + 2 * turn + (uint32_t)ts_gemv_stream_channel(c));
}

/* First what empties the array, then what fills it: activations before the weights behind them on the same channel. */
static void describe(ts_dispatch *p, const layout *k) {
    uint64_t out = 0;
    ts_prefetched before = {0};
    for (int c = 0; c < TS_GEMV_CORES; c++)
        if (k->sent[c])
            before.task[before.n++] = (ts_prefetched_task){.col = (uint8_t)ts_gemv_stream_col(c),
                                                           .channel = (uint8_t)ts_gemv_stream_channel(c),
                                                           .bd = ahead_bd(k->turn, c), .packet = c == 0,
                                                           .packet_id = TS_GEMV_PACKET_WEIGHTS,
                                                           .words = k->sent[c]};
    ts_dispatch_begin(p, &before);
    for (int c = 0; c < TS_GEMV_CORES; c++) {
        const int col = ts_gemv_stream_col(c), ch = ts_gemv_stream_channel(c);
        ts_dispatch_task(p, &(ts_shim_task){.col = col, .channel = ch, .dir = TS_S2MM, .arg = ARG_SUMS, .offset = out,
                                            .words = k->sums[c], .token = true});
        out += 4 * (uint64_t)k->sums[c];
    }
    ts_dispatch_task(p, &(ts_shim_task){.dir = TS_MM2S, .arg = ARG_ACTS, .words = k->packets * TS_GEMV_A_BYTES / 4,
                                        .packet = true, .packet_id = TS_GEMV_PACKET_ACTS});
    for (int c = TS_GEMV_CORES - 1; c >= 0; c--)
        if (k->weights[c] > k->sent[c])
            ts_dispatch_task(p, &(ts_shim_task){.col = ts_gemv_stream_col(c), .channel = ts_gemv_stream_channel(c),
                                                .dir = TS_MM2S, .arg = ARG_WEIGHTS,
                                                .offset = 4 * (uint64_t)(k->at[c] + k->sent[c]),
                                                .words = k->weights[c] - k->sent[c], .packet = c == 0,
                                                .packet_id = TS_GEMV_PACKET_WEIGHTS});
    for (int c = 0; c < TS_GEMV_CORES; c++)
        if (k->next[c])
            ts_dispatch_task(p, &(ts_shim_task){.col = ts_gemv_stream_col(c), .channel = ts_gemv_stream_channel(c),
                                                .dir = TS_MM2S, .arg = ARG_NEXT,
                                                .offset = 4 * (uint64_t)k->next_at[c], .words = k->next[c],
                                                .packet = c == 0, .packet_id = TS_GEMV_PACKET_WEIGHTS, .ahead = true,
                                                .bd = ahead_bd(k->turn ^ 1, c)});
    for (int c = 0; c < TS_GEMV_CORES; c++)
        ts_dispatch_wait(p, ts_gemv_stream_col(c), TS_S2MM, ts_gemv_stream_channel(c));
    /* a core gives its proof away when it has taken all its weights, and the proof needs activations */
    for (int c = 0; c < TS_GEMV_CORES; c++)
        if (k->weights[c] || c == 0) ts_dispatch_implies(p, ts_gemv_stream_col(c), TS_MM2S, ts_gemv_stream_channel(c));
}

static ts_status find_command(ts_gemv_dev *d, const layout *k, command **out, ts_err *err) {
    for (size_t i = 0; i < d->n_commands; i++)
        if (!memcmp(&d->command[i].key, k, sizeof *k)) {
            *out = &d->command[i];
            return TS_OK;
        }
    if (!ts_grow((void **)&d->command, &d->cap_commands, d->n_commands + 1, sizeof *d->command))
        return ts_fail_nomem(err, "NPU commands", sizeof *d->command);
    uint64_t bytes[ARGS] = {[ARG_ACTS] = (uint64_t)k->packets * TS_GEMV_A_BYTES, [ARG_SUMS] = 4 * sum_words(k->sums)};
    for (int c = 0; c < TS_GEMV_CORES; c++) {
        bytes[ARG_WEIGHTS] += 4 * (uint64_t)k->weights[c];
        uint64_t end = 4 * ((uint64_t)k->next_at[c] + k->next[c]);
        if (k->next[c] && bytes[ARG_NEXT] < end) bytes[ARG_NEXT] = end;
    }
    command n = {.key = *k};
    ts_dispatch p;
    ts_dispatch_init(&p, d->dev->chip, TS_GEMV_COLS);
    describe(&p, k);
    ts_status s = ts_npu_command_from(&n.checked, d->config, &p, bytes, bytes[ARG_NEXT] ? ARGS : ARG_NEXT, NULL, err);
    ts_dispatch_free(&p);
    if (s == TS_OK) s = ts_npu_cmd_new(&n.cmd, d->ctx, n.checked, err);
    if (s != TS_OK) {
        ts_npu_command_free(n.checked);
        return s;
    }
    d->command[d->n_commands] = n;
    *out = &d->command[d->n_commands++];
    return TS_OK;
}

/* Room for so many bytes of sums. */
static ts_status reserve_sums(ts_gemv_dev *d, size_t bytes, ts_err *err) {
    ts_npu_bo bo;
    if (d->sums.bytes >= bytes) return TS_OK;
    TS_TRY(ts_npu_bo_init(&bo, d->dev, TS_NPU_SHARED, bytes, "sums", err));
    ts_npu_bo_fini(&d->sums);
    d->sums = bo;
    return TS_OK;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

struct combine {
    const ts_gemv_op *op;
    const uint8_t *results[TS_GEMV_MATS][TS_GEMV_CORES];
    const ts_qact *x;
    uint32_t all_tok, t0, n_tok;
    float *const *y;
    const size_t *ld;
    const ts_kern *kern;
    size_t first[TS_GEMV_MATS + 1]; /* tasks [first[m], first[m + 1]) are of matrix m */
};
enum { TASK_GROUPS = 8, ALONE_BYTES = 1 << 18 /* sums that one thread has combined before others are awake */ };

static void combine_task(void *arg, size_t task, int thread) {
    const struct combine *c = arg;
    (void)thread;
    int m = 0;
    while (task >= c->first[m + 1]) m++;
    const ts_gemv_mat *mat = &c->op->mat[m];
    uint32_t g = (uint32_t)(task - c->first[m]) * TASK_GROUPS,
             end = mat->n_group - g < TASK_GROUPS ? mat->n_group : g + TASK_GROUPS;
    for (; g < end; g++)
        ts_gemv_combine_group(mat, c->op->scales[m], c->results[m][ts_gemv_stream_of(mat, g)], c->x, c->all_tok, c->t0,
                              c->n_tok, g, c->kern, c->y[m], c->ld[m]);
}

static void combine_all(const ts_gemv_op *op, const layout *k, const ts_qact *x, uint32_t all_tok, uint32_t t0,
                        uint32_t n_tok, float *const *y, const size_t *ld, const ts_kern *kern, ts_pool *pool) {
    struct combine c = {.op = op, .x = x, .all_tok = all_tok, .t0 = t0, .n_tok = n_tok, .y = y, .ld = ld, .kern = kern};
    const uint8_t *at = (const uint8_t *)op->d->sums.ptr;
    for (int s = 0; s < TS_GEMV_CORES; s++) {
        for (int m = 0; m < op->n; m++) {
            c.results[m][s] = at;
            at += ts_gemv_result_bytes(&op->mat[m], s, n_tok);
        }
        at += TS_GEMV_O_BYTES; /* the proof */
    }
    for (int m = 0; m < op->n; m++) c.first[m + 1] = c.first[m] + (op->mat[m].n_group + TASK_GROUPS - 1) / TASK_GROUPS;
    if (4 * sum_words(k->sums) > ALONE_BYTES) ts_pool_run(pool, c.first[op->n], combine_task, &c);
    else
        for (size_t i = 0; i < c.first[op->n]; i++) combine_task(&c, i, 0);
}

static void fill_packets(const ts_gemv_op *op, const ts_qact *x, uint32_t all_tok, uint32_t t0, uint32_t n_tok) {
    uint8_t *packet = (uint8_t *)op->d->acts.ptr;
    ts_gemv_guard guard = {0};
    memcpy(guard.tag, op->tag, sizeof guard.tag);
    for (int m = 0; m < op->n; m++) {
        ts_gemv_fill_packets(&op->mat[m], x, all_tok, t0, n_tok, &guard, m == 0, m + 1 == op->n, op->skip, packet);
        packet += (size_t)ts_gemv_packets(&op->mat[m], n_tok) * TS_GEMV_A_BYTES;
    }
}

/* Each attempt has a number of its own: what an earlier one has left in memory proves nothing. */
static void number_packets(ts_gemv_dev *d, uint32_t packets) {
    d->number++;
    for (uint32_t p = 0; p < packets; p++)
        memcpy((uint8_t *)d->acts.ptr + (size_t)p * TS_GEMV_A_BYTES + TS_GEMV_H_NUMBER, &d->number, 4);
    ts_npu_bo_flush(&d->acts, 0, (size_t)packets * TS_GEMV_A_BYTES);
}

/* Do the proofs of all cores say that they have done this command, as the next one since the configuration was
 * loaded, with the weights that were due? Where nothing was taken ahead, an array that was configured anew in
 * between has lost nothing. */
static ts_status check_proofs(ts_gemv_dev *d, const ts_gemv_op *op, const layout *k, ts_gemv_cost *cost, ts_err *err) {
    ts_gemv_proof proof[TS_GEMV_CORES];
    const uint8_t *end = (const uint8_t *)d->sums.ptr;
    bool fresh = sum_words(k->sent) == 0;
    for (int s = 0; s < TS_GEMV_CORES; s++) {
        end += 4 * (size_t)k->sums[s];
        proof[s] = ts_gemv_proof_read(end - TS_GEMV_O_BYTES);
        fresh = fresh && proof[s].started == 1;
    }
    const uint32_t job = fresh ? 1 : d->jobs + 1;
    cost->proofs += TS_GEMV_CORES;
    for (uint32_t s = 0; s < TS_GEMV_CORES; s++) {
        const ts_gemv_proof *p = &proof[s], want = {d->number, s, job, job, op->tag[s] + op->buffers[s], 0};
        if (!memcmp(p, &want, sizeof want)) continue;
        cost->wrong_proofs++;
        return ts_fail(err, TS_E_DEVICE,
                       "NPU: the array has not computed with the weights that it was given (core %u: command %u for "
                       "%u, number %u and %u "
                       "since the configuration for %u, next tag 0x%x for 0x%x, tags differ in 0x%x): it was "
                       "configured anew, or lost data",
                       s, p->number, want.number, p->started, p->loaded, job, p->tag, want.tag, p->wrong);
    }
    cost->anew += fresh && d->jobs;
    d->jobs = job;
    return TS_OK;
}

/* From here on nothing is taken ahead of time. */
static void end_prefetch(ts_gemv_dev *d, const char *why) {
    if (!d->prefetch || d->keep_prefetch) return;
    d->prefetch = false;
    ts_log(TS_LOG_INFO, "NPU: no weights are taken ahead of time any more: %s", why);
}

/* May the next command leave weights of the one behind it in the array? Who shares the columns is asked about once a
 * token: the guard would notice what is lost, this saves the repetition. */
static bool may_prefetch(ts_gemv_dev *d) {
    enum { ASK_EVERY = 128 };
    if (d->prefetch && d->asked++ % ASK_EVERY == 0 && ts_npu_ctx_sharers(d->ctx) != 0)
        end_prefetch(d, "another program's context is on the same columns");
    return d->prefetch;
}

/* Hand the command over, and look at the clock now and then: the driver may change it at any time. */
static ts_status try_launch(flight *f, ts_err *err) {
    ts_gemv_dev *d = f->op->d;
    if (d->ctx->dead) {
        d->jobs = 0, d->ahead = NULL;
        TS_TRY(ts_npu_ctx_recover(d->ctx, err));
    }
    f->key = layout_of(f->op, f->n_tok, f->next);
    TS_TRY(reserve_sums(d, 4 * (size_t)sum_words(f->key.sums), err));
    TS_TRY(find_command(d, &f->key, &f->c, err));
    number_packets(d, f->key.packets);
    const ts_npu_arg args[ARGS] = {[ARG_WEIGHTS] = {.bo = &f->op->weights},
                                   [ARG_ACTS] = {.bo = &d->acts},
                                   [ARG_SUMS] = {.bo = &d->sums},
                                   [ARG_NEXT] = {.bo = f->next ? &f->next->weights : NULL}};
    TS_TRY(ts_npu_cmd_submit(f->c->cmd, args, ts_npu_command_args(f->c->checked), err));
    d->ahead = f->next;
    if (f->next) d->turn = f->key.turn ^ 1;
    if (!d->meter && d->looked++ % LOOK_EVERY == 0) ts_npu_clock_look(&d->clock, d->dev);
    return TS_OK;
}

static ts_status try_land(flight *f, ts_gemv_cost *cost, ts_err *err) {
    ts_gemv_dev *d = f->op->d;
    TS_TRY(ts_npu_cmd_wait(f->c->cmd, d->timeout_ns, err));
    ts_npu_bo_invalidate(&d->sums, 0, 4 * (size_t)sum_words(f->key.sums));
    return check_proofs(d, f->op, &f->key, cost, err);
}

/* The command has failed with `s`: is it worth a second try, in a new context? */
static bool once_more(flight *f, ts_status s, const ts_err *err) {
    ts_gemv_dev *d = f->op->d;
    if (s != TS_E_DEVICE) {
        /* a command may still be under way, and whoever stops frees what it uses */
        if (d->ctx->dead) ts_npu_ctx_drop(d->ctx);
        return false;
    }
    d->ctx->dead = true; /* what is in the array is not known any more */
    d->ahead = NULL;
    end_prefetch(d, "a command failed");
    if (!d->prefetch) f->next = NULL; /* what has just been lost once would be lost again */
    const char *report = d->meter ? d->meter->report(d->meter->ud) : "";
    if (*report) ts_log(TS_LOG_WARN, "%s", report);
    if (f->again) {
        ts_npu_ctx_drop(d->ctx);
        return false;
    }
    f->again = true;
    if (err) ts_log(TS_LOG_WARN, "%s; trying once more in a new context", err->msg);
    return true;
}

/* A command whose packets are written gets under way; a failure is answered by a second try in a new context. */
static ts_status launch(flight *f, ts_err *err) {
    for (;;) {
        const ts_status s = try_launch(f, err);
        if (s == TS_OK || !once_more(f, s, err)) return s;
    }
}

/* Its end, with the right proofs; there is one second try in all. */
static ts_status land(flight *f, ts_gemv_cost *cost, ts_err *err) {
    for (;;) {
        const ts_status s = try_land(f, cost, err);
        if (s == TS_OK || !once_more(f, s, err)) return s;
        TS_TRY(launch(f, err));
    }
}

/* Somebody frees an op that is under way. */
static void abandon(ts_gemv_dev *d) {
    flight f = d->run.f;
    d->run.f.op = NULL;
    if (land(&f, &(ts_gemv_cost){0}, NULL) != TS_OK && d->ctx->dead) ts_npu_ctx_drop(d->ctx);
}

static uint32_t tokens_of(const ts_gemv_op *op) {
    return packets_of(op->mat, op->n, TS_GEMV_TOKENS) <= TS_GEMV_PACKETS ? TS_GEMV_TOKENS : 1;
}

/* Tokens from t0 on, up to four, get under way. */
static ts_status begin_pass(ts_gemv_op *op, uint32_t t0, ts_err *err) {
    ts_gemv_dev *d = op->d;
    running *r = &d->run;
    const uint32_t step = tokens_of(op), n_tok = r->all_tok - t0 < step ? r->all_tok - t0 : step;
    const uint64_t begin = ts_now_ns();
    if (d->ahead && d->ahead != op) TS_TRY(ts_gemv_dev_drain(d, err));
    fill_packets(op, r->x, r->all_tok, t0, n_tok);
    r->fill_ns = ts_now_ns() - begin;
    const ts_gemv_op *next = t0 + n_tok < r->all_tok ? op : r->next;
    flight f = {.op = op, .n_tok = n_tok, .next = may_prefetch(d) ? next : NULL};
    TS_TRY(launch(&f, err));
    r->t0 = t0;
    r->f = f;
    return TS_OK;
}

/* Their results. */
static ts_status end_pass(ts_gemv_op *op, float *const *y, const size_t *ld, const ts_kern *kern,
                          ts_pool *pool, ts_gemv_cost *cost, ts_err *err) {
    ts_gemv_dev *d = op->d;
    flight f = d->run.f;
    ts_gemv_cost one = {0};
    d->run.f.op = NULL;
    const ts_status s = land(&f, &one, err);
    if (s != TS_OK) {
        if (cost) ts_gemv_cost_add(cost, &one); /* what went wrong is told, too */
        return s;
    }
    const uint64_t done = ts_now_ns();
    combine_all(op, &f.key, d->run.x, d->run.all_tok, d->run.t0, f.n_tok, y, ld, kern, pool);
    if (!cost) return TS_OK;
    one.commands = 1;
    one.tokens = f.n_tok;
    one.macs = op->macs * f.n_tok;
    one.weight_bytes = 4 * sum_words(f.key.weights);
    one.unit_bytes = op->unit_bytes;
    one.act_bytes = (uint64_t)f.key.packets * TS_GEMV_A_BYTES;
    one.sum_bytes = 4 * sum_words(f.key.sums);
    one.device_ns = f.c->cmd->done_ns - f.c->cmd->submit_ns;
    one.host_ns = d->run.fill_ns + ts_now_ns() - done;
    if (d->meter) {
        d->meter->last(d->meter->ud, &one.cycles, &one.launch_cycles);
        one.device_ns = one.cycles * 1000 / d->meter->mhz;
    }
    ts_gemv_cost_add(cost, &one);
    return TS_OK;
}

ts_status ts_gemv_op_submit(ts_gemv_op *op, const ts_qact *x, uint32_t n_tok, const ts_gemv_op *next, ts_err *err) {
    running *r = &op->d->run;
    if (r->f.op || !n_tok) return ts_fail(err, TS_E_INVAL, "NPU: %s", n_tok ? "an op is under way" : "no tokens");
    *r = (running){.x = x, .all_tok = n_tok, .next = next};
    return begin_pass(op, 0, err);
}

ts_status ts_gemv_op_wait(ts_gemv_op *op, float *const *y, const size_t *ld, const ts_kern *kern,
                          ts_pool *pool, ts_gemv_cost *cost, ts_err *err) {
    running *r = &op->d->run;
    if (r->f.op != op) return ts_fail(err, TS_E_INVAL, "NPU: the op is not under way");
    for (;;) {
        TS_TRY(end_pass(op, y, ld, kern, pool, cost, err));
        const uint32_t t0 = r->t0 + r->f.n_tok;
        if (t0 == r->all_tok) return TS_OK;
        TS_TRY(begin_pass(op, t0, err));
    }
}

ts_status ts_gemv_op_run(ts_gemv_op *op, const ts_qact *x, uint32_t n_tok, float *const *y, const size_t *ld,
                         const ts_gemv_op *next, const ts_kern *kern, ts_pool *pool, ts_gemv_cost *cost, ts_err *err) {
    if (!n_tok) return TS_OK;
    TS_TRY(ts_gemv_op_submit(op, x, n_tok, next, err));
    return ts_gemv_op_wait(op, y, ld, kern, pool, cost, err);
}

/* The op whose weights are there takes them with an input of zeros, and its sums are not looked at. */
ts_status ts_gemv_dev_drain(ts_gemv_dev *d, ts_err *err) {
    flight f = {.op = (ts_gemv_op *)(uintptr_t)d->ahead, .n_tok = 1};
    if (d->run.f.op) return ts_fail(err, TS_E_INVAL, "NPU: an op is under way");
    if (!f.op) return TS_OK;
    if (d->ctx->dead) {
        d->ahead = NULL;
        return TS_OK;
    }
    fill_packets(f.op, NULL, 1, 0, 1);
    TS_TRY(launch(&f, err));
    return land(&f, &(ts_gemv_cost){0}, err);
}
