/* differ.c - the same questions to the real driver and to the strict fake node, one line an answer.
 *
 *   differ drm [NODE]          the driver behind NODE (default /dev/accel/accel0)
 *   differ fake 6.14|6.18|7.3|7.3-iova  the fake node in that profile
 *
 * What the real driver said is kept in answers/, and compare.py holds the fake node to it. Exit code 2: usage, 1: no
 * node. */
#define _GNU_SOURCE /* strerrorname_np */
#include "questions.h"

#include "xdna/fake.h"
#include "xdna/pdi.h"
#include "xdna/txn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static const ts_npu_io *io;
static const char *node = "/dev/accel/accel0", *group;
enum { PATIENCE_MS = 3000 }; /* for work that the driver puts off */
ts_buf good_pdi, good_stream;

/* ---- answers ----------------------------------------------------------------------------------------------------- */

void answer(const char *name, const char *fmt, ...) {
    va_list ap;
    printf("%s/%s: ", group, name);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

void under(const char *name) {
    group = name;
}

const char *name_of(int r) {
    const char *n = r < 0 ? strerrorname_np(-r) : "ok";
    return n ? n : "unknown error";
}

void result(const char *name, int r) {
    answer(name, "%s", name_of(r));
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

bool client_open(client *c) {
    *c = (client){.fd = io->open(io->ud, node)};
    if (c->fd < 0) result("open", c->fd);
    return c->fd >= 0;
}

int close_file(client *c) {
    int r = c->fd >= 0 ? io->close(io->ud, c->fd) : 0;
    c->fd = -1;
    return r;
}

void client_close(client *c) {
    while (c->n_maps) unmap(c, c->map[c->n_maps - 1].at);
    close_file(c);
}

int call(client *c, uint32_t request, void *arg) {
    return io->ioctl(io->ud, c->fd, request, arg);
}

void flush(const void *at, size_t len) {
    io->flush(io->ud, at, len);
}

int make(client *c, uint32_t type, uint64_t size, uint32_t *handle) {
    struct ts_uapi_create_bo a = {.type = type, .size = size};
    int r = call(c, TS_IOCTL_CREATE_BO, &a);
    if (handle) *handle = r ? 0 : a.handle;
    return r;
}

int info_of(client *c, uint32_t handle, struct ts_uapi_get_bo_info *g) {
    *g = (struct ts_uapi_get_bo_info){.handle = handle};
    return call(c, TS_IOCTL_GET_BO_INFO, g);
}

int close_handle(client *c, uint32_t handle) {
    return call(c, TS_IOCTL_GEM_CLOSE, &(struct ts_uapi_gem_close){.handle = handle});
}

int map_offset(client *c, uint64_t offset, size_t len, void *want, void **at) {
    int r = io->mmap(io->ud, c->fd, want, len, offset, at);
    if (r == 0 && c->n_maps < CLIENT_MAPS) {
        c->map[c->n_maps].at = *at;
        c->map[c->n_maps++].len = len;
    }
    return r;
}

int map_at(client *c, uint32_t handle, size_t len, void *want, void **at) {
    struct ts_uapi_get_bo_info g;
    int r = info_of(c, handle, &g);
    return r ? r : map_offset(c, g.map_offset, len, want, at);
}

int unmap_part(const void *at, size_t len) {
    return io->munmap(io->ud, (void *)(uintptr_t)at, len);
}

int unmap(client *c, void *at) {
    for (int i = 0; i < c->n_maps; i++)
        if (c->map[i].at == at) {
            int r = io->munmap(io->ud, at, c->map[i].len);
            c->map[i] = c->map[--c->n_maps];
            return r;
        }
    return -EINVAL;
}

void *place(size_t len) {
    uint8_t *p = mmap(NULL, len + TS_HEAP_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    munmap(p, len + TS_HEAP_BYTES);
    return (void *)(((uintptr_t)p + TS_HEAP_BYTES - 1) & ~(uintptr_t)(TS_HEAP_BYTES - 1));
}

int heap(client *c, bool mapped) {
    void *p = NULL;
    int r = make(c, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES, &c->heap);
    if (r == 0 && mapped) r = map_at(c, c->heap, TS_HEAP_BYTES, place(TS_HEAP_BYTES), &p);
    c->heap_at = p;
    return r;
}

int put(client *c, const ts_buf *bytes, uint32_t *handle, uint64_t *addr) {
    struct ts_uapi_get_bo_info g;
    int r = make(c, TS_UAPI_BO_DEV, bytes->len, handle);
    if (r || (r = info_of(c, *handle, &g))) return r;
    uint8_t *at = c->heap_at + (g.xdna_addr - TS_HEAP_BASE);
    *addr = g.xdna_addr;
    memcpy(at, bytes->data, bytes->len);
    flush(at, bytes->len);
    return 0;
}

int context_with(client *c, struct ts_uapi_create_hwctx a, uint32_t tiles) {
    struct ts_uapi_qos_info qos = {0};
    if (!a.qos_p) a.qos_p = (uint64_t)(uintptr_t)&qos;
    a.num_tiles = tiles;
    int r = call(c, TS_IOCTL_CREATE_HWCTX, &a);
    if (r == 0) {
        c->ctx = a.handle;
        c->sync = a.syncobj_handle;
    }
    return r;
}

int context(client *c, uint32_t tiles) {
    return context_with(c, (struct ts_uapi_create_hwctx){0}, tiles);
}

int destroy(client *c, uint32_t ctx) {
    return call(c, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = ctx});
}

int configure(client *c, uint32_t pdi) {
    struct {
        uint16_t n, pad[3];
        struct ts_uapi_cu_config cu;
    } v = {.n = 1, .cu = {.cu_bo = pdi}};
    struct ts_uapi_config_hwctx a = {.handle = c->ctx,
                                     .param_val = (uint64_t)(uintptr_t)&v,
                                     .param_val_size = sizeof v};
    return call(c, TS_IOCTL_CONFIG_HWCTX, &a);
}

int get_info(client *c, uint32_t param, void *buffer, uint32_t *size) {
    struct ts_uapi_get_info g = {.param = param, .buffer_size = *size, .buffer = (uint64_t)(uintptr_t)buffer};
    int r = call(c, TS_IOCTL_GET_INFO, &g);
    *size = g.buffer_size;
    return r;
}

int list(client *c, struct ts_uapi_hwctx_entry *e, size_t cap) {
    uint32_t size = (uint32_t)(cap * sizeof *e);
    memset(e, 0, size);
    int r = get_info(c, TS_UAPI_INFO_HW_CONTEXTS, e, &size), n = 0;
    while (r == 0 && (size_t)n < cap && e[n].num_col) n++;
    return r ? r : n;
}

void write_packet(client *c) {
    const uint32_t w[] = {ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 8), 1, TS_CMD_TRANSACTION, 0,
                          (uint32_t)c->stream_addr, (uint32_t)(c->stream_addr >> 32), (uint32_t)(good_stream.len / 4),
                          (uint32_t)c->data_addr,
                          (uint32_t)(c->data_addr >> 32)};
    memset(c->words, 0, PAGE);
    memcpy(c->words, w, sizeof w);
    flush(c->words, PAGE);
}

bool buffers_ready(client *c) {
    void *p = NULL;
    struct ts_uapi_get_bo_info g;
    int r = heap(c, true);
    if (r == 0) r = put(c, &good_pdi, &c->pdi, &c->pdi_addr);
    if (r == 0) r = put(c, &good_stream, &c->stream, &c->stream_addr);
    if (r == 0) r = make(c, TS_UAPI_BO_SHMEM, PAGE, &c->data);
    if (r == 0) r = map_at(c, c->data, PAGE, NULL, &p);
    if (r == 0) r = info_of(c, c->data, &g);
    if (r == 0) {
        c->data_at = p;
        c->data_addr = g.xdna_addr != TS_UAPI_INVALID_ADDR ? g.xdna_addr : g.vaddr;
        memset(p, 0, PAGE);
        flush(p, PAGE);
        r = make(c, TS_UAPI_BO_CMD, PAGE, &c->packet);
    }
    if (r == 0) r = map_at(c, c->packet, PAGE, NULL, &p);
    if (r) {
        result("(buffers)", r);
        return false;
    }
    c->words = p;
    write_packet(c);
    return true;
}

bool renew(client *c) {
    if (c->ctx) destroy(c, c->ctx);
    c->ctx = 0;
    int r = context(c, 4);
    if (r == 0) r = configure(c, c->pdi);
    if (r) result("(context)", r);
    write_packet(c);
    return r == 0;
}

bool ready(client *c) {
    return buffers_ready(c) && renew(c);
}

int exec_with(client *c, uint32_t packet, const uint32_t *args, uint32_t n, struct ts_uapi_exec_cmd a, uint64_t *seq) {
    if (!a.hwctx) a.hwctx = c->ctx;
    if (!a.cmd_count) a.cmd_count = 1;
    a.cmd_handles = packet;
    a.args = (uint64_t)(uintptr_t)args;
    a.arg_count = n;
    int r = call(c, TS_IOCTL_EXEC_CMD, &a);
    if (seq) *seq = a.seq;
    return r;
}

int exec(client *c, uint64_t *seq) {
    const uint32_t args[] = {c->stream, c->data};
    return exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){0}, seq);
}

int wait_for(client *c, uint32_t sync, uint64_t point, int ms, uint32_t flags) {
    struct ts_uapi_syncobj_timeline_wait w = {.handles = (uint64_t)(uintptr_t)&sync,
                                              .points = (uint64_t)(uintptr_t)&point,
                                              .timeout_nsec = (int64_t)io->now_ns(io->ud) + ms * INT64_C(1000000),
                                              .count_handles = 1,
                                              .flags = flags};
    return call(c, TS_IOCTL_SYNCOBJ_WAIT, &w);
}

uint32_t state_of(const client *c) {
    return ts_cmd_state(__atomic_load_n(c->words, __ATOMIC_ACQUIRE));
}

void run(client *c, const char *name) {
    uint64_t seq = 0;
    int r = exec(c, &seq);
    if (r) {
        result(name, r);
        return;
    }
    r = wait_for(c, c->sync, seq, 8000, TS_UAPI_WAIT_FOR_SUBMIT);
    answer(name, "taken, wait %s, state %u", name_of(r), state_of(c));
}

void spoil(client *c, bool bad) {
    uint8_t *at = c->heap_at + (c->stream_addr - TS_HEAP_BASE);
    if (bad) memset(at, 0x55, good_stream.len);
    else memcpy(at, good_stream.data, good_stream.len);
    flush(at, good_stream.len);
}

bool forgotten(client *c, uint32_t handle) {
    struct ts_uapi_get_bo_info g;
    for (int i = 0; i <= PATIENCE_MS; i++) {
        if (info_of(c, handle, &g) || g.vaddr == TS_UAPI_INVALID_ADDR) return true;
        io->pause(io->ud, 1000000);
    }
    return false;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static int usage(void) {
    fputs("usage: differ drm [NODE] | differ fake 6.14|6.18|7.3|7.3-iova\n", stderr);
    return 2;
}

/* 0, or 1 where the node could not be opened for a question. */
static int ask_all(void) {
    static const question *const all[] = {questions_info, questions_memory, questions_context, questions_command,
                                          questions_end};
    int missing = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (const question *q = all[i]; q->group; q++) {
            client c;
            group = q->group;
            if (!client_open(&c)) {
                missing = 1;
                continue;
            }
            q->ask(&c);
            client_close(&c);
        }
    return missing;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        ts_fake_profile profile;
    } profiles[] = {{"6.14", TS_FAKE_6_14}, {"6.18", TS_FAKE_6_18}, {"7.3", TS_FAKE_7_3},
                    {"7.3-iova", TS_FAKE_7_3_IOVA}};
    ts_err err;
    ts_fake *fake = NULL;
    ts_cdo nothing = {0};
    ts_txn one = {0};
    if (argc >= 2 && argc <= 3 && !strcmp(argv[1], "drm")) {
        io = ts_npu_io_drm();
        if (argc == 3) node = argv[2];
    } else if (argc == 3 && !strcmp(argv[1], "fake")) {
        ts_fake_options o = {0};
        size_t i = 0;
        while (i < sizeof profiles / sizeof profiles[0] && strcmp(argv[2], profiles[i].name)) i++;
        if (i == sizeof profiles / sizeof profiles[0]) return usage();
        o.profile = profiles[i].profile;
        if (ts_fake_new(&fake, &o, &err) != TS_OK) return fprintf(stderr, "differ: %s\n", err.msg), 1;
        io = ts_fake_io(fake);
    } else {
        return usage();
    }
    ts_txn_nop(&one);
    if (ts_pdi_write(&nothing, &good_pdi, &err) != TS_OK ||
        ts_txn_finish(&one, &ts_npu1, 1, &good_stream, &err) != TS_OK)
        return fprintf(stderr, "differ: %s\n", err.msg), 1;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was answered before a crash is seen */
    const int missing = ask_all();
    ts_txn_free(&one);
    ts_buf_free(&good_pdi);
    ts_buf_free(&good_stream);
    ts_fake_free(fake);
    return missing;
}
