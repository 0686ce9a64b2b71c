/* The calls of the fake node: the table, failures that were asked for, queries, commands. */
#include "xdna/fake_int.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
} rules[TS_FAKE_RULES_COUNT] = {[TS_FAKE_OK] = {"ok", "no rule is broken"},
#define RULE(name, text) [TS_FAKE_RULE_##name] = {#name, text},
                                TS_FAKE_RULES(RULE)
#undef RULE
};

const char *ts_fake_rule_name(ts_fake_rule r) {
    return (unsigned)r < TS_FAKE_RULES_COUNT ? rules[r].name : "?";
}
const char *ts_fake_rule_text(ts_fake_rule r) {
    return (unsigned)r < TS_FAKE_RULES_COUNT ? rules[r].text : "?";
}

#define BROKEN(f, which, error, ...) fake_broken(f, TS_FAKE_RULE_##which, error, __VA_ARGS__)

int fake_broken(ts_fake *f, ts_fake_rule rule, int error, const char *fmt, ...) {
    if (f->now.rule == TS_FAKE_OK) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(f->now.text, sizeof f->now.text, fmt, ap);
        va_end(ap);
        f->now.rule = rule;
    }
    return -error;
}

static void begin(ts_fake *f, const char *call) {
    f->now = (ts_fake_verdict){.call = call};
}

static int end(ts_fake *f, int result) {
    f->now.result = result;
    f->last = f->now;
    f->n_calls++;
    if (f->now.rule != TS_FAKE_OK && !f->n_violations++) f->first = f->now;
    if (f->o.on_verdict) f->o.on_verdict(f->o.on_verdict_ud, &f->last);
    return result;
}

static fake_client *client_of(ts_fake *f, int fd) {
    for (int i = 0; i < FAKE_CLIENTS; i++)
        if (f->client[i].used && f->client[i].fd == fd && fd >= 0) return &f->client[i];
    BROKEN(f, FD, EBADF, "%d", fd);
    return NULL;
}

/* ---- failures asked for ------------------------------------------------------------------------------------------ */

void ts_fake_fail(ts_fake *f, uint32_t request, int nth, int error) {
    for (int i = 0; i < FAKE_FAULTS; i++)
        if (!f->fault[i].nth) {
            f->fault[i].request = request;
            f->fault[i].nth = nth;
            f->fault[i].error = error;
            return;
        }
}

void ts_fake_end_command(ts_fake *f, int nth, ts_fake_ending ending) {
    for (int i = 0; i < FAKE_FAULTS; i++)
        if (!f->ending[i].nth) {
            f->ending[i].nth = nth;
            f->ending[i].ending = ending;
            return;
        }
}

void ts_fake_unplug(ts_fake *f) {
    f->unplugged = true;
    for (int i = 0; i < FAKE_CTXS; i++)
        if (f->ctx[i].client) fake_drop_jobs(f, &f->ctx[i], TS_CMD_ABORT);
}

ts_fake_ending fake_take_ending(ts_fake *f) {
    ts_fake_ending e = TS_FAKE_END_WELL;
    for (int i = 0; i < FAKE_FAULTS; i++)
        if (f->ending[i].nth && --f->ending[i].nth == 0) e = f->ending[i].ending;
    if (e != TS_FAKE_END_WELL && !f->now.text[0])
        snprintf(f->now.text, sizeof f->now.text, "injected: the command ends otherwise");
    return e;
}

/* The error that this call is to fail with, or 0. */
static int take_fault(ts_fake *f, uint32_t request) {
    int error = 0;
    for (int i = 0; i < FAKE_FAULTS; i++)
        if (f->fault[i].nth && f->fault[i].request == request && --f->fault[i].nth == 0)
            error = f->fault[i].error;
    if (f->unplugged) error = ENODEV;
    if (error) snprintf(f->now.text, sizeof f->now.text, "injected");
    return error;
}

/* ---- queries ----------------------------------------------------------------------------------------------------- */

static int put_text(uint64_t dst, uint64_t *len, const char *text) {
    size_t n = strlen(text), room = (size_t)*len;
    if (dst && room) memcpy((void *)(uintptr_t)dst, text, n < room ? n : room);
    *len = n;
    return 0;
}

static int do_version(ts_fake *f, struct ts_uapi_version *v) {
    v->major = 0;
    v->minor = fake_is_7_3(f) ? 10 : f->o.profile == TS_FAKE_6_18 ? 1 : 0;
    v->patch = 0;
    put_text(v->name, &v->name_len, f->o.driver_name ? f->o.driver_name : TS_UAPI_DRIVER_NAME);
    put_text(v->date, &v->date_len, f->o.profile == TS_FAKE_6_14 ? "20240101" : "0");
    return put_text(v->desc, &v->desc_len, "AMD XDNA DRM implementation");
}

int fake_put_info(ts_fake *f, const struct ts_uapi_get_info *g, const void *data, size_t len) {
    if (!g->buffer) return BROKEN(f, POINTER, EFAULT, "no buffer");
    /* and the answer is cut short */
    if (g->buffer_size < len) BROKEN(f, INFO_SIZE, 0, "%u bytes, %zu needed", g->buffer_size, len);
    memcpy((void *)(uintptr_t)g->buffer, data, g->buffer_size < len ? g->buffer_size : len);
    return 0; /* buffer_size stays as it was, as the kernel leaves it */
}

static struct ts_uapi_tile_metadata tiles(const ts_chip *chip, ts_tile_kind kind, int row, int end) {
    return (struct ts_uapi_tile_metadata){.row_count = (uint16_t)(end - row),
                                          .row_start = (uint16_t)row,
                                          .dma_channel_count = chip->tile[kind].n_channels,
                                          .lock_count = chip->tile[kind].n_locks};
}

static int do_get_info(ts_fake *f, struct ts_uapi_get_info *g) {
    const ts_chip *chip = f->o.chip;
    switch (g->param) {
    case TS_UAPI_INFO_AIE_METADATA: {
        struct ts_uapi_aie_metadata m = {.col_size = 32 << 20,
                                         .cols = (uint16_t)(f->o.cols ? f->o.cols : chip->array_cols),
                                         .rows = (uint16_t)(f->o.rows ? f->o.rows : chip->rows),
                                         .version = {2, 0},
                                         .core = tiles(chip, TS_TILE_CORE, chip->core_row, chip->rows),
                                         .mem = tiles(chip, TS_TILE_MEM, TS_ROW_MEM, chip->core_row),
                                         .shim = tiles(chip, TS_TILE_SHIM, TS_ROW_SHIM, TS_ROW_MEM)};
        return fake_put_info(f, g, &m, sizeof m);
    }
    case TS_UAPI_INFO_AIE_VERSION:
        return fake_put_info(f, g, &(struct ts_uapi_aie_version){2, 0}, sizeof(struct ts_uapi_aie_version));
    case TS_UAPI_INFO_CLOCKS: {
        struct ts_uapi_clocks c = {.mp_npu = {.name = "MP-NPU Clock"}, .h = {.name = "H Clock"}};
        fake_clocks(f, &c.mp_npu.freq_mhz, &c.h.freq_mhz);
        return fake_put_info(f, g, &c, sizeof c);
    }
    case TS_UAPI_INFO_HW_CONTEXTS: return fake_info_contexts(f, g);
    case TS_UAPI_INFO_FIRMWARE: {
        const uint32_t *w = f->o.firmware;
        const uint16_t *seen = chip->firmware_seen;
        struct ts_uapi_firmware v = {seen[0], seen[1], seen[2], seen[3]};
        if (w[0] | w[1] | w[2] | w[3]) v = (struct ts_uapi_firmware){w[0], w[1], w[2], w[3]};
        return fake_put_info(f, g, &v, sizeof v);
    }
    case TS_UAPI_INFO_POWER_MODE:
        return fake_put_info(f, g, &(struct ts_uapi_power_mode){0}, sizeof(struct ts_uapi_power_mode));
    case TS_UAPI_INFO_SENSORS: return fake_is_7_3(f) ? -ENODEV : -EOPNOTSUPP; /* no sensors: no mistake to ask */
    case TS_UAPI_INFO_AIE_STATUS: return fake_info_status(f, g);
    default: return BROKEN(f, INFO_PARAM, EOPNOTSUPP, "%u", g->param);
    }
}

/* ---- the clock --------------------------------------------------------------------------------------------------- */

static uint64_t fake_now_ns(void *ud) {
    const ts_fake *f = ud;
    return ts_now_ns() + f->passed_ns;
}

static int fake_pause(void *ud, uint64_t ns) {
    ts_fake *f = ud;
    f->passed_ns += ns;
    return 0;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static int do_exec_cmd(ts_fake *f, fake_client *c, struct ts_uapi_exec_cmd *a) {
    if (a->ext || a->ext_flags) return BROKEN(f, MUST_BE_ZERO, EINVAL, "ext or ext_flags");
    if (a->type || a->cmd_count != 1)
        return BROKEN(f, EXEC_TYPE, EINVAL, "type %u, %u commands", a->type, a->cmd_count);
    if (a->arg_count > FAKE_ARGS) return BROKEN(f, EXEC_ARGS, EINVAL, "%u arguments", a->arg_count);
    if (a->arg_count && !a->args) return BROKEN(f, POINTER, EFAULT, "args");
    fake_job job = {.cmd = a->cmd_handles > UINT32_MAX ? NULL : fake_find_bo(c, (uint32_t)a->cmd_handles),
                    .n_args = (int)a->arg_count};
    if (!job.cmd || job.cmd->type != TS_UAPI_BO_CMD || !job.cmd->mem.user)
        return BROKEN(f, EXEC_CMD, EINVAL, "handle %llu", (unsigned long long)a->cmd_handles);
    for (uint32_t i = 0; i < a->arg_count; i++) {
        uint32_t handle;
        memcpy(&handle, (const char *)(uintptr_t)a->args + 4 * i, 4);
        fake_bo *b = fake_find_bo(c, handle);
        if (!b) return BROKEN(f, BO_HANDLE, ENOENT, "argument %u: %u", i, handle);
        if (b->type == TS_UAPI_BO_CMD)
            return BROKEN(f, EXEC_ARGS, EOPNOTSUPP, "argument %u is a command buffer", i);
        if (b->type == TS_UAPI_BO_SHMEM && !b->mem.user)
            return BROKEN(f, EXEC_ARGS, EINVAL, "argument %u is not mapped", i);
        for (uint32_t k = 0; k < i; k++)
            if (job.args[k] == b) return BROKEN(f, EXEC_ARGS, EALREADY, "argument %u was named before", i);
        job.args[i] = b;
    }
    fake_ctx *x = fake_find_ctx(f, c, a->hwctx);
    if (!x) return -EINVAL;
    if (x->dead) return -EIO;
    if (!x->pdi) { /* the newest takes it, and the firmware ends it with an error */
        BROKEN(f, EXEC_CONFIGURED, 0, "context %u", a->hwctx);
        if (!fake_is_7_3(f)) return -EINVAL;
    }
    if (job.cmd->busy) return BROKEN(f, EXEC_PENDING, EBUSY, "handle %u", job.cmd->handle);
    int e = fake_check_packet(f, x, &job);
    if (e < 0) return e;
    if (x->n_jobs == TS_CMDS_IN_FLIGHT && !fake_run_one(f, x))
        return -ERANGE; /* a kernel would wait here for ever */
    if (x->dead) return -EIO;
    job.seq = a->seq = x->next_seq++;
    job.cmd->busy++;
    for (int i = 0; i < job.n_args; i++) job.args[i]->busy++;
    x->jobs[x->n_jobs++] = job;
    x->submitted++;
    if (f->o.eager) fake_run_one(f, x);
    return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static int fake_open(void *ud, const char *path) {
    ts_fake *f = ud;
    begin(f, "open");
    int error = take_fault(f, TS_FAKE_OPEN);
    if (error) return end(f, -error);
    if (!path) return end(f, BROKEN(f, POINTER, EFAULT, "path"));
    for (int i = 0; i < FAKE_CLIENTS; i++)
        if (!f->client[i].used) {
            f->client[i] = (fake_client){.used = true, .fd = f->next_fd++, .born = f->n_opened++};
            return end(f, f->client[i].fd);
        }
    return end(f, -EMFILE);
}

static int dispatch(ts_fake *f, fake_client *c, uint32_t request, void *arg) {
    switch (request) {
    case TS_IOCTL_VERSION: return do_version(f, arg);
    case TS_IOCTL_GET_INFO: return do_get_info(f, arg);
    case TS_IOCTL_CREATE_BO: return fake_create_bo(f, c, arg);
    case TS_IOCTL_GET_BO_INFO: return fake_get_bo_info(f, c, arg);
    case TS_IOCTL_SYNC_BO: return fake_sync_bo(f, c, arg);
    case TS_IOCTL_GEM_CLOSE: return fake_gem_close(f, c, arg);
    case TS_IOCTL_CREATE_HWCTX: return fake_create_hwctx(f, c, arg);
    case TS_IOCTL_DESTROY_HWCTX: return fake_destroy_hwctx(f, c, arg);
    case TS_IOCTL_CONFIG_HWCTX: return fake_config_hwctx(f, c, arg);
    case TS_IOCTL_EXEC_CMD: return do_exec_cmd(f, c, arg);
    case TS_IOCTL_SYNCOBJ_WAIT: return fake_wait(f, c, arg);
    case TS_IOCTL_SYNCOBJ_DESTROY: return fake_destroy_syncobj(f, c, arg);
    default: return BROKEN(f, REQUEST, ENOTTY, "0x%08x", request);
    }
}

static const char *request_name(uint32_t request) {
    switch (request) {
    case TS_IOCTL_VERSION: return "VERSION";
    case TS_IOCTL_GET_INFO: return "GET_INFO";
    case TS_IOCTL_CREATE_BO: return "CREATE_BO";
    case TS_IOCTL_GET_BO_INFO: return "GET_BO_INFO";
    case TS_IOCTL_SYNC_BO: return "SYNC_BO";
    case TS_IOCTL_GEM_CLOSE: return "GEM_CLOSE";
    case TS_IOCTL_CREATE_HWCTX: return "CREATE_HWCTX";
    case TS_IOCTL_DESTROY_HWCTX: return "DESTROY_HWCTX";
    case TS_IOCTL_CONFIG_HWCTX: return "CONFIG_HWCTX";
    case TS_IOCTL_EXEC_CMD: return "EXEC_CMD";
    case TS_IOCTL_SYNCOBJ_WAIT: return "SYNCOBJ_WAIT";
    case TS_IOCTL_SYNCOBJ_DESTROY: return "SYNCOBJ_DESTROY";
    default: return "ioctl";
    }
}

static int fake_ioctl(void *ud, int fd, uint32_t request, void *arg) {
    ts_fake *f = ud;
    begin(f, request_name(request));
    int error = take_fault(f, request);
    if (error) return end(f, -error);
    fake_client *c = client_of(f, fd);
    if (!c) return end(f, -EBADF);
    if (!arg) return end(f, BROKEN(f, POINTER, EFAULT, "no argument"));
    return end(f, dispatch(f, c, request, arg));
}

static int fake_mmap(void *ud, int fd, void *want, size_t len, uint64_t offset, void **out) {
    ts_fake *f = ud;
    begin(f, "mmap");
    int error = take_fault(f, TS_FAKE_MMAP);
    if (error) return end(f, -error);
    fake_client *c = client_of(f, fd);
    return end(f, c ? fake_map(f, c, want, len, offset, out) : -EBADF);
}

static void release(ts_fake *f, fake_client *c) {
    fake_end_ctxs(f, c);
    fake_free_bos(c);
    ts_free(c->fences);
    *c = (fake_client){0};
}

static int fake_munmap(void *ud, void *addr, size_t len) {
    ts_fake *f = ud;
    fake_client *c = NULL;
    begin(f, "munmap");
    int e = fake_unmap(f, &c, addr, len);
    if (c && c->fd < 0 && !fake_has_maps(c)) release(f, c);
    return end(f, e);
}

/* What is mapped keeps the file alive, and with it, since 7.3, its contexts; before, they went with the descriptor. */
static int fake_close(void *ud, int fd) {
    ts_fake *f = ud;
    begin(f, "close");
    fake_client *c = client_of(f, fd);
    if (!c) return end(f, -EBADF);
    size_t n_left = 0;
    for (size_t i = 0; i < c->n_bos; i++) n_left += c->bos[i]->handle || c->bos[i]->mem.user;
    if (!f->unplugged && (n_left || fake_has_ctx(f, c) || c->n_fences))
        BROKEN(f, LEFT_OVER, 0, "%zu buffers, %zu fences, %s", n_left, c->n_fences,
               fake_has_ctx(f, c) ? "a context" : "no context");
    c->fd = -1;
    if (!fake_is_7_3(f)) fake_end_ctxs(f, c);
    if (!fake_has_maps(c)) release(f, c);
    return end(f, 0);
}

static void fake_flush(void *ud, const void *addr, size_t len) {
    ts_fake *f = ud;
    fake_client *c = NULL;
    begin(f, "flush");
    fake_bo *b = fake_find_mapping(f, addr, len, &c);
    if (!b) BROKEN(f, FLUSH_RANGE, 0, "%p, %zu bytes", addr, len);
    else fake_mem_flush(f, &b->mem, (size_t)((const uint8_t *)addr - b->mem.user), len);
    end(f, 0);
}

/* ---- the node ---------------------------------------------------------------------------------------------------- */

ts_status ts_fake_new(ts_fake **out, const ts_fake_options *options, ts_err *err) {
    if (options->n_users < 0 || options->n_users > TS_CONTEXTS_MAX || (unsigned)options->profile >= TS_FAKE_PROFILES)
        return ts_fail(err, TS_E_INVAL, "fake node: profile %d, %d users", (int)options->profile,
                       options->n_users);
    ts_fake *f = ts_calloc(1, sizeof *f);
    if (!f) return ts_fail_nomem(err, "the fake node", sizeof *f);
    f->o = *options;
    if (!f->o.chip) f->o.chip = &ts_npu1;
    f->next_fd = 1000; /* no descriptor of this process: a call that bypasses the table fails */
    f->next_offset = UINT64_C(1) << 32;
    f->next_iova = UINT64_C(1) << 39;
    f->io = (ts_npu_io){.name = "fake",
                        .ud = f,
                        .open = fake_open,
                        .ioctl = fake_ioctl,
                        .mmap = fake_mmap,
                        .munmap = fake_munmap,
                        .close = fake_close,
                        .flush = fake_flush,
                        .now_ns = fake_now_ns,
                        .pause = fake_pause};
    *out = f;
    return TS_OK;
}

void ts_fake_free(ts_fake *f) {
    if (!f) return;
    for (int i = 0; i < FAKE_CLIENTS; i++)
        if (f->client[i].used) release(f, &f->client[i]);
    ts_free(f);
}

const ts_npu_io *ts_fake_io(ts_fake *f) {
    return &f->io;
}
size_t ts_fake_calls(const ts_fake *f) {
    return f->n_calls;
}
size_t ts_fake_violations(const ts_fake *f) {
    return f->n_violations;
}
const ts_fake_verdict *ts_fake_first_violation(const ts_fake *f) {
    return &f->first;
}
const ts_fake_verdict *ts_fake_last(const ts_fake *f) {
    return &f->last;
}

void ts_fake_add_user(ts_fake *f, const ts_fake_user *user) {
    if (f->o.n_users < TS_CONTEXTS_MAX) f->o.users[f->o.n_users++] = *user;
}

void ts_fake_reconfigure(ts_fake *f, int nth, int every) {
    f->reload_in = nth;
    f->reload_every = every;
}

uint64_t ts_fake_reconfigured(const ts_fake *f) {
    return f->n_reloads;
}

void ts_fake_forgive(ts_fake *f) {
    f->n_violations = 0;
    f->first = (ts_fake_verdict){0};
}
