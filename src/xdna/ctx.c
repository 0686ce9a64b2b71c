#include "xdna/ctx.h"

#include "base/log.h"
#include "base/mem.h"
#include "xdna/advice.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOM_NS UINT64_C(3000000000) /* a driver gives the command of a program that was killed up after 2 s */
#define LOOK_NS UINT64_C(100000000)

/* The contexts that are there: who has them, "columns 1-4: process 4711", for a person who wants to know whom to
 * close. */
typedef struct holders {
    bool told; /* false: the driver does not answer */
    size_t n, most; /* most: that the firmware has */
    char text[256];
} holders;

static holders find_holders(const ts_npu_dev *dev) {
    struct ts_uapi_hwctx_entry e[8];
    holders h = {.most = dev->chip->contexts};
    size_t used = 0;
    h.told = ts_npu_users(dev, e, 8, &h.n, NULL) == TS_OK;
    for (size_t i = 0; i < h.n && i < 8; i++) {
        uint32_t last = e[i].start_col + (e[i].num_col ? e[i].num_col - 1 : 0);
        int w = snprintf(h.text + used, sizeof h.text - used, "%scolumns %u-%u: process %lld", used ? ", " : "",
                         e[i].start_col, last, (long long)e[i].pid);
        if (w < 0 || (size_t)w >= sizeof h.text - used) break;
        used += (size_t)w;
    }
    return h;
}

/* Is something taken that may come free? Columns held in another width are ENODEV, and a context too many is what
 * the firmware makes of it, EINVAL [doc: Linux 7.3]; others had ENOSPC, EBUSY, EAGAIN. A device that is gone is
 * ENODEV too, and does not answer. */
static bool is_taken(int result, const holders *h) {
    switch (-result) {
    case ENODEV:
    case ENOSPC:
    case EBUSY: return h->told;
    case EAGAIN: return h->n > 0;
    case EINVAL: return h->n >= h->most;
    default: return false;
    }
}

/* Why there is no context, and who is in the way. */
static ts_status refused(int result, const holders *h, ts_err *err) {
    const char *advice = ts_npu_advice(TS_NPU_CONTEXT, -result);
    if (result == -ENODEV && !h->told) advice = ts_npu_advice(TS_NPU_QUERY, ENODEV);
    else if (is_taken(result, h) && h->n >= h->most) advice = ts_npu_advice(TS_NPU_CONTEXT, EBUSY);
    else if (result == -ENODEV && !h->n)
        advice = "the driver has no columns for it, and names no program that holds any: perhaps its firmware has "
                 "stopped; see the kernel log "
                 "(dmesg | grep amdxdna), or reboot";
    ts_status s =
        ts_fail(err, result == -ENOMEM ? TS_E_NOMEM : TS_E_DEVICE, "NPU: %s (%s): %s%s%s%s",
                ts_npu_step_text(TS_NPU_CONTEXT), ts_os_error(-result).text, advice,
                is_taken(result, h) && h->n ? " (" : "", is_taken(result, h) ? h->text : "",
                is_taken(result, h) && h->n ? ")" : "");
    if (err) err->os_errno = -result;
    return s;
}

/* Columns of the array, not configured yet. */
static ts_status create(ts_npu_ctx *ctx, int n_cols, ts_err *err) {
    const ts_npu_io *io = ctx->dev->io;
    const uint64_t begin = io->now_ns(io->ud);
    struct ts_uapi_qos_info qos = {0}; /* nothing asked: the highest clock */
    uint32_t tiles = (uint32_t)(n_cols * ts_chip_core_rows(ctx->dev->chip));
    for (bool told = false;; told = true) {
        struct ts_uapi_create_hwctx create = {
            .qos_p = (uint64_t)(uintptr_t)&qos, .max_opc = 2048, .num_tiles = tiles};
        int r = ts_npu_ioctl(ctx->dev, TS_IOCTL_CREATE_HWCTX, &create);
        if (r == 0) {
            ctx->handle = create.handle;
            ctx->syncobj = create.syncobj_handle;
            return TS_OK;
        }
        const holders h = find_holders(ctx->dev);
        if (!is_taken(r, &h) || io->now_ns(io->ud) - begin >= ROOM_NS) return refused(r, &h, err);
        if (!told)
            ts_log(TS_LOG_INFO, "NPU: waiting up to 3 s for columns that others hold (%s)",
                   h.n ? h.text : "the driver does not say who");
        if (ts_npu_dev_stopped(ctx->dev))
            return ts_fail(err, TS_E_CANCELLED, "NPU: stopped while others held the columns (%s)",
                           h.n ? h.text : "the driver does not say who");
        (void)io->pause(io->ud, LOOK_NS); /* a signal may mean that somebody wants to stop, which is asked next */
    }
}

static ts_status configure(ts_npu_ctx *ctx, ts_err *err) {
    union { /* a header and one entry, as one run of bytes */
        struct ts_uapi_config_cu head;
        char bytes[sizeof(struct ts_uapi_config_cu) + sizeof(struct ts_uapi_cu_config)];
    } cus = {.head = {.num_cus = 1}};
    struct ts_uapi_cu_config cu = {.cu_bo = ctx->pdi.handle};
    memcpy(cus.bytes + sizeof cus.head, &cu, sizeof cu);
    struct ts_uapi_config_hwctx config = {.handle = ctx->handle,
                                          .param_type = TS_UAPI_CONFIG_CU,
                                          .param_val = (uint64_t)(uintptr_t)&cus,
                                          .param_val_size = sizeof cus};
    int r = ts_npu_ioctl(ctx->dev, TS_IOCTL_CONFIG_HWCTX, &config);
    return r < 0 ? ts_npu_fail(err, TS_NPU_CONFIG, r) : TS_OK;
}

static void destroy(ts_npu_ctx *ctx) {
    if (ctx->handle)
        ts_npu_ioctl(ctx->dev, TS_IOCTL_DESTROY_HWCTX,
                     &(struct ts_uapi_destroy_hwctx){.handle = ctx->handle});
    if (ctx->syncobj)
        ts_npu_ioctl(ctx->dev, TS_IOCTL_SYNCOBJ_DESTROY,
                     &(struct ts_uapi_syncobj_destroy){.handle = ctx->syncobj});
    ctx->handle = ctx->syncobj = 0;
    ctx->prefetched = (ts_prefetched){0};
}

/* ---- who else is on the columns ---------------------------------------------------------------------------------- */

enum { LISTED = 32 };

/* All contexts, *n of them, and which is ours; NULL: the driver does not say clearly. */
static const struct ts_uapi_hwctx_entry *find_own(const ts_npu_ctx *ctx, struct ts_uapi_hwctx_entry e[LISTED],
                                                  size_t *n) {
    const struct ts_uapi_hwctx_entry *own = NULL;
    size_t alike = 0;
    if (!ctx->handle || ts_npu_users(ctx->dev, e, LISTED, n, NULL) != TS_OK || *n > LISTED) return NULL;
    /* numbers of contexts are told anew for each process, and in a container the process has another number there
     * [doc] */
    for (size_t i = 0; i < *n; i++) {
        if (e[i].context_id != ctx->handle || e[i].num_col != (uint32_t)ts_npu_config_cols(ctx->config)) continue;
        alike++;
        if (!own || e[i].pid == getpid()) own = &e[i];
    }
    return alike > 1 && own->pid != getpid() ? NULL : own;
}

static bool shares(const struct ts_uapi_hwctx_entry *a, const struct ts_uapi_hwctx_entry *b) {
    return a != b && a->start_col < b->start_col + b->num_col && b->start_col < a->start_col + a->num_col;
}

int ts_npu_ctx_sharers(const ts_npu_ctx *ctx) {
    struct ts_uapi_hwctx_entry e[LISTED];
    size_t n = 0;
    int sharers = 0;
    const struct ts_uapi_hwctx_entry *own = find_own(ctx, e, &n);
    for (size_t i = 0; own && i < n; i++) sharers += shares(&e[i], own);
    return own ? sharers : -1;
}

/* Is there no such process any more, or only its exit code? */
static bool has_ended(int64_t pid) {
    char path[40], line[300] = "";
    if (pid <= 0 || pid > INT32_MAX) return false;
    if (kill((pid_t)pid, 0) != 0) return errno == ESRCH;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const char *state = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL; /* proc(5): "PID (NAME) S ..." */
    fclose(f);
    return state && state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X');
}

/* A process that shares our columns and has ended, 0: none that is seen. Only where the driver's numbers of
 * processes are ours. */
static int64_t find_ended(const ts_npu_ctx *ctx) {
    struct ts_uapi_hwctx_entry e[LISTED];
    size_t n = 0;
    const struct ts_uapi_hwctx_entry *own = find_own(ctx, e, &n);
    for (size_t i = 0; own && own->pid == getpid() && i < n; i++)
        if (shares(&e[i], own) && has_ended(e[i].pid)) return e[i].pid;
    return 0;
}

/* The driver destroys the context of a program that was killed when its last command has ended or was given up.
 * Until then a command of ours would stand behind that one, and be given up in its place, for the driver keeps one
 * time for all [doc: 7.3]. */
static ts_status let_ended_go(ts_npu_ctx *ctx, ts_err *err) {
    const ts_npu_io *io = ctx->dev->io;
    const uint64_t begin = io->now_ns(io->ud);
    int64_t pid;
    for (bool told = false; (pid = find_ended(ctx)) != 0 && io->now_ns(io->ud) - begin < ROOM_NS; told = true) {
        if (!told)
            ts_log(TS_LOG_INFO, "NPU: waiting up to 3 s for the last command of process %lld, which has ended",
                   (long long)pid);
        if (ts_npu_dev_stopped(ctx->dev))
            return ts_fail(err, TS_E_CANCELLED,
                           "NPU: stopped while process %lld, which has ended, had a command under way", (long long)pid);
        (void)io->pause(io->ud, LOOK_NS);
    }
    return TS_OK;
}

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

static ts_status create_configured(ts_npu_ctx *ctx, ts_err *err) {
    TS_TRY(create(ctx, ts_npu_config_cols(ctx->config), err));
    TS_TRY(configure(ctx, err));
    return let_ended_go(ctx, err);
}

ts_status ts_npu_ctx_new(ts_npu_ctx **out, ts_npu_dev *dev, const ts_npu_config *config, ts_err *err) {
    if (ts_npu_config_chip(config) != dev->chip)
        return ts_fail(err, TS_E_INVAL, "NPU: the configuration is for %s, the device is %s",
                       ts_npu_config_chip(config)->name, dev->chip->name);
    ts_npu_ctx *ctx = ts_calloc(1, sizeof *ctx);
    if (!ctx) return ts_fail_nomem(err, "an NPU context", sizeof *ctx);
    ctx->dev = dev;
    ctx->config = config;
    ts_span pdi = ts_npu_config_pdi(config);
    ts_status s = ts_npu_bo_init(&ctx->pdi, dev, TS_NPU_DEVICE, pdi.len, "the configuration", err);
    if (s == TS_OK) {
        memcpy(ctx->pdi.ptr, pdi.data, pdi.len);
        ts_npu_bo_flush(&ctx->pdi, 0, ctx->pdi.bytes);
        s = create_configured(ctx, err);
    }
    if (s != TS_OK) {
        ts_npu_ctx_free(ctx);
        return s;
    }
    *out = ctx;
    return TS_OK;
}

ts_status ts_npu_ctx_try(ts_npu_dev *dev, int n_cols, ts_err *err) {
    ts_npu_ctx ctx = {.dev = dev};
    TS_TRY(create(&ctx, n_cols, err));
    destroy(&ctx);
    return TS_OK;
}

void ts_npu_ctx_free(ts_npu_ctx *ctx) {
    if (!ctx) return;
    destroy(ctx);
    ts_npu_bo_fini(&ctx->pdi);
    ts_free(ctx);
}

void ts_npu_ctx_drop(ts_npu_ctx *ctx) {
    destroy(ctx);
    ctx->n_pending = 0;
    ctx->dead = true;
    ctx->generation++;
}

ts_status ts_npu_ctx_recover(ts_npu_ctx *ctx, ts_err *err) {
    ts_npu_ctx_drop(ctx);
    ts_status s = create_configured(ctx, err);
    if (s != TS_OK) destroy(ctx);
    else ctx->dead = false;
    return s;
}
