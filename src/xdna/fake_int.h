/* fake_int.h - the insides of the strict fake node; shared by fake_bo.c, fake_ctx.c, fake_mem.c, fake_run.c and
 * io_fake.c only. */
#ifndef TS_XDNA_FAKE_INT_H
#define TS_XDNA_FAKE_INT_H

#include "xdna/fake.h"
#include "xdna/txn.h"
#include "xdna/uapi.h"

enum {
    FAKE_LINE = 64,
    FAKE_PAGE = 4096,
    FAKE_CLIENTS = 64,
    FAKE_CTXS = TS_CONTEXTS_MAX,
    FAKE_ARGS = 16,
    FAKE_FAULTS = 8
};

/* Bytes that exist twice. */
typedef struct fake_mem {
    int fd; /* memfd behind the CPU's view */
    size_t bytes;
    uint8_t *cpu;     /* our mapping of it */
    uint8_t *dram;    /* the device's view; == cpu in a coherent node */
    uint64_t *hash;   /* of the CPU's line at the time when the device wrote it */
    uint8_t *written; /* a byte a line: the device has written it and the CPU has not dropped it since */
    uint8_t *user;    /* where the client has mapped it, or NULL */
} fake_mem;

typedef struct fake_bo {
    uint32_t handle; /* 0: closed, and alive for what else needs it; or the driver's own */
    bool own;        /* of a context: nobody has a handle */
    uint32_t type;
    uint64_t size, map_offset;
    uint64_t dev_addr; /* of heap and device buffers, and of all with an IOVA; 0: it is where it is mapped */
    uint64_t told;     /* where the driver believes that it is mapped, 0: nowhere */
    fake_mem mem;      /* not for device buffers: they are windows into the heap */
    int busy;          /* commands under way that use it */
    int pins;          /* contexts and device buffers that need it */
} fake_bo;

typedef struct fake_job {
    uint64_t seq;
    fake_bo *cmd, *args[FAKE_ARGS];
    int n_args;
} fake_job;

typedef struct fake_client fake_client;

typedef struct fake_ctx {
    fake_client *client; /* NULL: free slot */
    uint32_t handle, syncobj;
    uint32_t start_col, n_cols;
    uint64_t partition; /* those of equal columns have one, numbered as they came about */
    fake_bo *own[TS_CMDS_IN_FLIGHT]; /* the driver takes four buffers of the heap for itself */
    fake_bo *pdi;
    bool loaded; /* the array has taken the PDI */
    bool dead;   /* a command was given up: nothing more is taken */
    bool lost;   /* a completion that never comes */
    fake_job jobs[TS_CMDS_IN_FLIGHT];
    int n_jobs;
    uint64_t next_seq, n_done; /* n_done: all seq below are signalled */
    uint64_t submitted, completed;
    uint64_t last_run; /* number of its last command among all of the node */
} fake_ctx;

typedef struct fake_fence {
    uint32_t handle;
    fake_ctx *ctx; /* NULL: its context is gone, all is signalled */
    uint64_t end;  /* one past the last point, kept when the context goes */
} fake_fence;

struct fake_client {
    bool used;
    int fd; /* -1: closed; what is mapped keeps it alive */
    uint64_t born; /* files are listed in the order in which they were opened */
    fake_bo **bos;
    size_t n_bos, cap_bos;
    fake_bo *heap;
    fake_fence *fences;
    size_t n_fences, cap_fences;
    uint32_t last_bo, last_ctx, last_fence; /* handles; none is given out twice */
};

struct ts_fake {
    ts_fake_options o;
    ts_npu_io io;
    fake_client client[FAKE_CLIENTS];
    fake_ctx ctx[FAKE_CTXS];
    int next_fd;
    uint64_t next_offset, next_iova; /* IOVAs are given out from the top */
    uint64_t n_opened, n_partitions;
    bool unplugged;
    bool idle; /* the last context is gone: the clock is low */
    uint64_t passed_ns; /* what was waited for in vain: added to the clock instead */
    struct {
        uint32_t request;
        int nth, error;
    } fault[FAKE_FAULTS];
    struct {
        int nth;
        ts_fake_ending ending;
    } ending[FAKE_FAULTS];
    int reload_in, reload_every; /* commands; 0: never */
    uint64_t n_reloads, n_runs;
    ts_fake_verdict now, last, first;
    size_t n_calls, n_violations;
};

/* Note that the call being answered breaks a rule (the first one stands); returns -error. */
TS_PRINTF(4, 5) int fake_broken(ts_fake *f, ts_fake_rule rule, int error, const char *fmt, ...);

/* ---- fake_mem.c -------------------------------------------------------------------------------------------------- */

int fake_mem_new(fake_mem *m, size_t bytes, bool coherent); /* 0 or -errno */
void fake_mem_free(fake_mem *m);
void fake_mem_flush(ts_fake *f, fake_mem *m, size_t off, size_t len);
/* The device's accesses; a line that the CPU has not flushed breaks a rule. */
void fake_mem_read(ts_fake *f, const fake_mem *m, size_t off, void *data, size_t len);
void fake_mem_write(ts_fake *f, fake_mem *m, size_t off, const void *data, size_t len);

/* ---- io_fake.c --------------------------------------------------------------------------------------------------- */

/* Why this command ends otherwise than by being run, if a failure was asked for. */
ts_fake_ending fake_take_ending(ts_fake *f);
/* Copy an answer of `len` bytes to where the query wants it: 0 or -errno. */
int fake_put_info(ts_fake *f, const struct ts_uapi_get_info *g, const void *data, size_t len);

/* Linux 7.3, by either road to memory. */
static inline bool fake_is_7_3(const ts_fake *f) {
    return f->o.profile == TS_FAKE_7_3 || f->o.profile == TS_FAKE_7_3_IOVA;
}
static inline bool fake_by_iova(const ts_fake *f) {
    return f->o.profile == TS_FAKE_7_3_IOVA;
}

/* ---- fake_bo.c: buffers and mappings ----------------------------------------------------------------------------- */

fake_bo *fake_find_bo(const fake_client *c, uint32_t handle);
/* The memory behind a buffer and where in it the buffer begins. */
fake_mem *fake_bo_mem(const fake_client *c, fake_bo *bo, size_t *off);
/* Device address of a buffer, 0: it has none yet. */
uint64_t fake_bo_addr(const fake_bo *b);
/* Can the device get at the heap? */
bool fake_heap_mapped(const ts_fake *f, const fake_client *c);
/* A window of the heap; NULL: *error says why. */
fake_bo *fake_add_dev_bo(fake_client *c, uint64_t size, int *error);
/* Free a buffer that nothing needs any more. */
void fake_put_bo(fake_client *c, fake_bo *bo);
void fake_free_bos(fake_client *c); /* at the end of a file: all */
bool fake_has_maps(const fake_client *c);
int fake_create_bo(ts_fake *f, fake_client *c, struct ts_uapi_create_bo *a);
int fake_get_bo_info(ts_fake *f, fake_client *c, struct ts_uapi_get_bo_info *a);
int fake_sync_bo(ts_fake *f, fake_client *c, const struct ts_uapi_sync_bo *a);
int fake_gem_close(ts_fake *f, fake_client *c, const struct ts_uapi_gem_close *a);
int fake_map(ts_fake *f, fake_client *c, void *want, size_t len, uint64_t offset, void **out);
/* The mapped buffer that covers [addr, addr + len), of any file, and its file. */
fake_bo *fake_find_mapping(ts_fake *f, const void *addr, size_t len, fake_client **client);
int fake_unmap(ts_fake *f, fake_client **client, void *addr, size_t len);

/* ---- fake_ctx.c: columns, contexts, fences ----------------------------------------------------------------------- */

fake_ctx *fake_find_ctx(ts_fake *f, const fake_client *c, uint32_t handle); /* NULL breaks a rule */
bool fake_has_ctx(const ts_fake *f, const fake_client *c);
int fake_create_hwctx(ts_fake *f, fake_client *c, struct ts_uapi_create_hwctx *a);
int fake_destroy_hwctx(ts_fake *f, fake_client *c, const struct ts_uapi_destroy_hwctx *a);
void fake_end_ctxs(ts_fake *f, const fake_client *c); /* all of a file */
int fake_config_hwctx(ts_fake *f, fake_client *c, const struct ts_uapi_config_hwctx *a);
int fake_wait(ts_fake *f, fake_client *c, const struct ts_uapi_syncobj_timeline_wait *a);
int fake_destroy_syncobj(ts_fake *f, fake_client *c, const struct ts_uapi_syncobj_destroy *a);
int fake_info_contexts(ts_fake *f, struct ts_uapi_get_info *g);
int fake_info_status(ts_fake *f, const struct ts_uapi_get_info *g);
void fake_clocks(const ts_fake *f, uint32_t *npu_mhz, uint32_t *h_mhz);

/* ---- fake_run.c -------------------------------------------------------------------------------------------------- */

/* Is the packet in order? 0 or -errno. */
int fake_check_packet(ts_fake *f, const fake_ctx *x, const fake_job *job);
/* Hand the PDI of a configured context to the array; 0 or -errno. */
int fake_load_pdi(ts_fake *f, fake_ctx *x);
/* Run the oldest command; false: it will never end. */
bool fake_run_one(ts_fake *f, fake_ctx *x);
/* Give up all commands of a context, as at its end. */
void fake_drop_jobs(ts_fake *f, fake_ctx *x, uint32_t state);

#endif
