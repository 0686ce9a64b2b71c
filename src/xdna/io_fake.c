/* The calls of the fake node: arguments as the kernel checks them, buffers, contexts, queue, fences. */
#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */
#include "xdna/fake_int.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* ---- objects ------------------------------------------------------------------------------------------- */

static fake_client *client_of(ts_fake *f, int fd) {
    for (int i = 0; i < FAKE_CLIENTS; i++)
        if (f->client[i].fd == fd && fd >= 0) return &f->client[i];
    BROKEN(f, FD, EBADF, "%d", fd);
    return NULL;
}

fake_bo *fake_find_bo(const fake_client *c, uint32_t handle) {
    for (size_t i = 0; handle && i < c->n_bos; i++)
        if (c->bos[i]->handle == handle) return c->bos[i];
    return NULL;
}

fake_mem *fake_bo_mem(const fake_client *c, fake_bo *bo, size_t *off) {
    if (bo->type != TS_UAPI_BO_DEV) {
        *off = 0;
        return &bo->mem;
    }
    *off = (size_t)(bo->dev_addr - TS_HEAP_BASE);
    return &c->heap->mem;
}

static fake_ctx *find_ctx(ts_fake *f, const fake_client *c, uint32_t handle) {
    for (int i = 0; handle && i < FAKE_CTXS; i++)
        if (f->ctx[i].client == c && f->ctx[i].handle == handle) return &f->ctx[i];
    BROKEN(f, CTX_HANDLE, EINVAL, "%u", handle);
    return NULL;
}

static bool has_ctx(const ts_fake *f, const fake_client *c) {
    for (int i = 0; i < FAKE_CTXS; i++)
        if (f->ctx[i].client == c) return true;
    return false;
}

static fake_syncobj *find_syncobj(fake_client *c, uint32_t handle) {
    for (int i = 0; handle && i < FAKE_CTXS; i++)
        if (c->syncobj[i].handle == handle) return &c->syncobj[i];
    return NULL;
}

static void remove_bo(fake_client *c, fake_bo *bo) {
    for (size_t i = 0; i < c->n_bos; i++) {
        if (c->bos[i] != bo) continue;
        c->bos[i] = c->bos[--c->n_bos];
        break;
    }
    if (c->heap == bo) c->heap = NULL;
    if (bo->type != TS_UAPI_BO_DEV) fake_mem_free(&bo->mem);
    ts_free(bo);
}

static fake_bo *add_bo(fake_client *c, uint32_t type, uint64_t size) {
    if (!ts_grow((void **)&c->bos, &c->cap_bos, c->n_bos + 1, sizeof *c->bos)) return NULL;
    fake_bo *b = ts_calloc(1, sizeof *b);
    if (!b) return NULL;
    b->type = type;
    b->size = size;
    b->mem.fd = -1;
    c->bos[c->n_bos++] = b;
    return b;
}

/* A window of the heap, first fit at the alignment that PDI addresses need. NULL: out of memory or heap; *error
 * says. */
static fake_bo *add_dev_bo(fake_client *c, uint64_t size, int *error) {
    uint64_t at = TS_HEAP_BASE;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < c->n_bos; i++) {
            const fake_bo *b = c->bos[i];
            if (b->type != TS_UAPI_BO_DEV || at + size <= b->dev_addr || at >= b->dev_addr + b->size)
                continue;
            at = (b->dev_addr + b->size + TS_DEV_BO_ALIGN - 1) & ~(uint64_t)(TS_DEV_BO_ALIGN - 1);
            moved = true;
        }
    }
    *error = ENOSPC;
    if (size > TS_HEAP_BYTES || at + size > TS_HEAP_BASE + TS_HEAP_BYTES) return NULL;
    *error = ENOMEM;
    fake_bo *b = add_bo(c, TS_UAPI_BO_DEV, size);
    if (b) b->dev_addr = at;
    return b;
}

/* ---- failures asked for -------------------------------------------------------------------------------- */

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
        if (f->ctx[i].client) fake_drop_jobs(&f->ctx[i], TS_CMD_ABORT);
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

/* ---- queries ------------------------------------------------------------------------------------------- */

static int put_text(uint64_t dst, uint64_t *len, const char *text) {
    size_t n = strlen(text), room = (size_t)*len;
    if (dst && room) memcpy((void *)(uintptr_t)dst, text, n < room ? n : room);
    *len = n;
    return 0;
}

static int do_version(ts_fake *f, struct ts_uapi_version *v) {
    v->major = 0;
    v->minor = f->o.profile == TS_FAKE_6_14 ? 0 : f->o.profile == TS_FAKE_6_18 ? 6 : 16;
    v->patch = 0;
    put_text(v->name, &v->name_len, f->o.driver_name ? f->o.driver_name : TS_UAPI_DRIVER_NAME);
    put_text(v->date, &v->date_len, f->o.profile == TS_FAKE_6_14 ? "20240101" : "0");
    return put_text(v->desc, &v->desc_len, "AMD XDNA DRM implementation");
}

static int put_info(ts_fake *f, struct ts_uapi_get_info *g, const void *data, size_t len) {
    if (!g->buffer) return BROKEN(f, POINTER, EFAULT, "no buffer");
    if (g->buffer_size < len)
        return BROKEN(f, INFO_SIZE, EINVAL, "%u bytes, %zu needed", g->buffer_size, len);
    memcpy((void *)(uintptr_t)g->buffer, data,
           len); /* buffer_size stays as it was, as the kernel leaves it */
    return 0;
}

static struct ts_uapi_tile_metadata tiles(int rows, int start, int dma, int locks) {
    return (struct ts_uapi_tile_metadata){.row_count = (uint16_t)rows,
                                          .row_start = (uint16_t)start,
                                          .dma_channel_count = (uint16_t)dma,
                                          .lock_count = (uint16_t)locks};
}

static int info_contexts(ts_fake *f, struct ts_uapi_get_info *g) {
    struct ts_uapi_hwctx_entry e[FAKE_CTXS + 6] = {0};
    size_t n = 0;
    for (int i = 0; i < FAKE_CTXS; i++) {
        const fake_ctx *x = &f->ctx[i];
        if (!x->client) continue;
        e[n++] = (struct ts_uapi_hwctx_entry){.context_id = x->handle,
                                              .start_col = x->start_col,
                                              .num_col = x->n_cols,
                                              .pid = getpid(),
                                              .command_submissions = x->submitted,
                                              .command_completions = x->completed};
    }
    for (int i = 0; i < f->o.n_users; i++)
        e[n++] = (struct ts_uapi_hwctx_entry){.context_id = (uint32_t)(100 + i),
                                              .start_col = f->o.users[i].start_col,
                                              .num_col = f->o.users[i].n_cols,
                                              .pid = f->o.users[i].pid};
    int r = put_info(f, g, e, n * sizeof e[0]);
    /* the first kernels say how much was written, later ones how much is left */
    uint32_t used = (uint32_t)(n * sizeof e[0]);
    if (r == 0) g->buffer_size = f->o.profile == TS_FAKE_6_14 ? used : g->buffer_size - used;
    return r;
}

static int do_get_info(ts_fake *f, struct ts_uapi_get_info *g) {
    switch (g->param) {
    case TS_UAPI_INFO_AIE_METADATA: {
        struct ts_uapi_aie_metadata m = {.col_size = 32 << 20,
                                         .cols = (uint16_t)(f->o.cols ? f->o.cols : 5),
                                         .rows = (uint16_t)(f->o.rows ? f->o.rows : 6),
                                         .version = {2, 0},
                                         .core = tiles(4, 2, 2, 16),
                                         .mem = tiles(1, 1, 6, 64),
                                         .shim = tiles(1, 0, 2, 16)};
        return put_info(f, g, &m, sizeof m);
    }
    case TS_UAPI_INFO_AIE_VERSION:
        return put_info(f, g, &(struct ts_uapi_aie_version){2, 0}, sizeof(struct ts_uapi_aie_version));
    case TS_UAPI_INFO_CLOCKS: {
        struct ts_uapi_clocks c = {.mp_npu = {.name = "MP-NPU Clock", .freq_mhz = 847},
                                   .h = {.name = "H Clock", .freq_mhz = 1600}};
        if (f->o.h_clock_mhz) c.h.freq_mhz = f->o.h_clock_mhz;
        return put_info(f, g, &c, sizeof c);
    }
    case TS_UAPI_INFO_HW_CONTEXTS: return info_contexts(f, g);
    case TS_UAPI_INFO_FIRMWARE: {
        const uint32_t *w = f->o.firmware;
        struct ts_uapi_firmware v = {1, 5, 5, 391};
        if (w[0] | w[1] | w[2] | w[3]) v = (struct ts_uapi_firmware){w[0], w[1], w[2], w[3]};
        return put_info(f, g, &v, sizeof v);
    }
    case TS_UAPI_INFO_POWER_MODE:
        return put_info(f, g, &(struct ts_uapi_power_mode){0}, sizeof(struct ts_uapi_power_mode));
    case TS_UAPI_INFO_SENSORS: return -EOPNOTSUPP; /* normal on this chip, no mistake to ask */
    default: return BROKEN(f, INFO_PARAM, EOPNOTSUPP, "%u", g->param);
    }
}

/* ---- buffers ------------------------------------------------------------------------------------------- */

static int create_heap(ts_fake *f, fake_client *c, const struct ts_uapi_create_bo *a, fake_bo **out) {
    if (a->size != TS_HEAP_BYTES)
        return BROKEN(f, HEAP_SIZE, EINVAL, "%llu bytes", (unsigned long long)a->size);
    if (c->heap) return BROKEN(f, HEAP_ONCE, f->o.profile == TS_FAKE_7 ? EOPNOTSUPP : EBUSY, "a second heap");
    fake_bo *b = add_bo(c, a->type, a->size);
    if (!b) return -ENOMEM;
    int e = fake_mem_new(&b->mem, (size_t)a->size, f->o.coherent);
    if (e < 0) {
        remove_bo(c, b);
        return e;
    }
    b->dev_addr = TS_HEAP_BASE;
    c->heap = *out = b;
    return 0;
}

static int create_dev(ts_fake *f, fake_client *c, const struct ts_uapi_create_bo *a, fake_bo **out) {
    int error = 0;
    if (!c->heap || !c->heap->mem.user)
        return BROKEN(f, HEAP_FIRST, f->o.profile == TS_FAKE_7 ? EAGAIN : EINVAL, "%s",
                      c->heap ? "the heap is not mapped" : "no heap");
    *out = add_dev_bo(c, (a->size + FAKE_PAGE - 1) & ~(uint64_t)(FAKE_PAGE - 1), &error);
    return *out ? 0 : -error;
}

static int create_shared(ts_fake *f, fake_client *c, const struct ts_uapi_create_bo *a, fake_bo **out) {
    if (a->type == TS_UAPI_BO_CMD && (a->size < 4 || a->size > TS_CMD_BO_MAX))
        return BROKEN(f, CMD_SIZE, EINVAL, "%llu bytes", (unsigned long long)a->size);
    uint64_t size = (a->size + FAKE_PAGE - 1) & ~(uint64_t)(FAKE_PAGE - 1);
    if (size < a->size || size > (UINT64_C(1) << 44)) return -ENOMEM;
    fake_bo *b = add_bo(c, a->type, size);
    if (!b) return -ENOMEM;
    int e = fake_mem_new(&b->mem, (size_t)size, f->o.coherent);
    if (e < 0) {
        remove_bo(c, b);
        return e;
    }
    *out = b;
    return 0;
}

static int do_create_bo(ts_fake *f, fake_client *c, struct ts_uapi_create_bo *a) {
    fake_bo *b = NULL;
    int e;
    if (a->flags) return BROKEN(f, MUST_BE_ZERO, EINVAL, "flags");
    if (a->vaddr) return BROKEN(f, BO_USERPTR, EINVAL, "0x%llx", (unsigned long long)a->vaddr);
    if (!a->size) return BROKEN(f, BO_SIZE, EINVAL, "0 bytes");
    switch (a->type) {
    case TS_UAPI_BO_DEV_HEAP: e = create_heap(f, c, a, &b); break;
    case TS_UAPI_BO_DEV: e = create_dev(f, c, a, &b); break;
    case TS_UAPI_BO_SHMEM:
    case TS_UAPI_BO_CMD: e = create_shared(f, c, a, &b); break;
    default: return BROKEN(f, BO_TYPE, EINVAL, "%u", a->type);
    }
    if (e < 0) return e;
    b->handle = a->handle = c->next_handle++;
    b->map_offset = a->type == TS_UAPI_BO_DEV ? TS_UAPI_INVALID_ADDR : f->next_offset;
    f->next_offset += (b->size + FAKE_PAGE) & ~(uint64_t)(FAKE_PAGE - 1); /* never the same offset twice */
    return 0;
}

static int do_get_bo_info(ts_fake *f, fake_client *c, struct ts_uapi_get_bo_info *a) {
    if (a->ext || a->ext_flags || a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "ext, ext_flags or pad");
    const fake_bo *b = fake_find_bo(c, a->handle);
    if (!b) return BROKEN(f, BO_HANDLE, ENOENT, "%u", a->handle);
    uint64_t user = TS_UAPI_INVALID_ADDR;
    if (b->type == TS_UAPI_BO_DEV && c->heap && c->heap->mem.user)
        user = (uint64_t)(uintptr_t)c->heap->mem.user + (b->dev_addr - TS_HEAP_BASE);
    else if (b->type != TS_UAPI_BO_DEV && b->mem.user) user = (uint64_t)(uintptr_t)b->mem.user;
    a->map_offset = b->map_offset;
    a->vaddr = user;
    /* a shared buffer's address is where it is mapped; the first kernels do not say so here */
    a->xdna_addr = b->dev_addr ? b->dev_addr : f->o.profile == TS_FAKE_6_14 ? TS_UAPI_INVALID_ADDR : user;
    return 0;
}

static int do_sync_bo(ts_fake *f, fake_client *c, const struct ts_uapi_sync_bo *a) {
    fake_bo *b = fake_find_bo(c, a->handle);
    if (!b) return BROKEN(f, BO_HANDLE, ENOENT, "%u", a->handle);
    if (b->type == TS_UAPI_BO_CMD) return BROKEN(f, BO_TYPE, EOPNOTSUPP, "a command buffer is not synced");
    if (a->direction != TS_UAPI_SYNC_TO_DEVICE) return BROKEN(f, SYNC_DIRECTION, EINVAL, "%u", a->direction);
    if (a->offset >= b->size || a->size > b->size - a->offset || !a->size)
        return BROKEN(f, SYNC_RANGE, EINVAL, "%llu bytes at %llu of %llu", (unsigned long long)a->size,
                      (unsigned long long)a->offset, (unsigned long long)b->size);
    size_t off;
    fake_mem *m = fake_bo_mem(c, b, &off);
    if (f->o.profile == TS_FAKE_6_14)
        fake_mem_flush(f, m, off, (size_t)b->size); /* always the whole buffer */
    else fake_mem_flush(f, m, off + (size_t)a->offset, (size_t)a->size);
    return f->now.rule == TS_FAKE_OK ? 0 : -EINVAL;
}

static int do_gem_close(ts_fake *f, fake_client *c, const struct ts_uapi_gem_close *a) {
    fake_bo *b = fake_find_bo(c, a->handle);
    if (!b) return BROKEN(f, BO_HANDLE, EINVAL, "%u", a->handle);
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    if (b->busy) return BROKEN(f, BUSY, EBUSY, "buffer %u is closed while a command uses it", a->handle);
    if (b->mem.user)
        return BROKEN(f, ORDER_OF_END, EBUSY, "buffer %u is closed while it is mapped", a->handle);
    for (int i = 0; i < FAKE_CTXS; i++)
        if (f->ctx[i].client == c && f->ctx[i].pdi == b)
            return BROKEN(f, ORDER_OF_END, EBUSY, "the PDI of a context is closed");
    if (b == c->heap)
        for (size_t i = 0; i < c->n_bos; i++)
            if (c->bos[i]->type == TS_UAPI_BO_DEV)
                return BROKEN(f, ORDER_OF_END, EBUSY, "the heap is closed before its buffers");
    remove_bo(c, b);
    return 0;
}

/* ---- contexts ------------------------------------------------------------------------------------------ */

/* Columns 1 to 4 of the array that neither another program nor a context of ours holds; else those that others hold in the same
 * width, which are shared; else, where others hold them in another width, none. */
static int place_columns(const ts_fake *f, uint32_t n, uint32_t *start) {
    for (*start = 1; *start + n <= 5; ++*start) {
        bool free_cols = true;
        for (int i = 0; i < f->o.n_users; i++)
            free_cols &= *start + n <= f->o.users[i].start_col ||
                         *start >= f->o.users[i].start_col + f->o.users[i].n_cols;
        for (int i = 0; i < FAKE_CTXS; i++)
            if (f->ctx[i].client)
                free_cols &=
                    *start + n <= f->ctx[i].start_col || *start >= f->ctx[i].start_col + f->ctx[i].n_cols;
        if (free_cols) return 0;
    }
    for (int i = 0; i < f->o.n_users + FAKE_CTXS; i++) {
        const fake_ctx *x = i < FAKE_CTXS ? &f->ctx[i] : NULL;
        const ts_fake_user *u = x ? NULL : &f->o.users[i - FAKE_CTXS];
        if ((x ? x->client != NULL : true) && (x ? x->n_cols : u->n_cols) == n) {
            *start = x ? x->start_col : u->start_col;
            return 0;
        }
    }
    return -ENODEV;
}

static int do_create_hwctx(ts_fake *f, fake_client *c, struct ts_uapi_create_hwctx *a) {
    if (a->ext || a->ext_flags) return BROKEN(f, MUST_BE_ZERO, EINVAL, "ext or ext_flags");
    if (!a->qos_p) return BROKEN(f, POINTER, EFAULT, "qos_p");
    struct ts_uapi_qos_info qos;
    memcpy(&qos, (const void *)(uintptr_t)a->qos_p, sizeof qos);
    if (qos.gops | qos.fps | qos.dma_bandwidth | qos.latency | qos.frame_exec_time | qos.priority)
        return BROKEN(f, CTX_QOS, EINVAL, "a request is set");
    if (a->umq_bo || a->log_buf_bo) return BROKEN(f, CTX_UMQ, EINVAL, "%u, %u", a->umq_bo, a->log_buf_bo);
    if (!c->heap) return BROKEN(f, CTX_HEAP, ENOENT, "no heap");
    if (!c->heap->mem.user || (uintptr_t)c->heap->mem.user % TS_HEAP_BYTES)
        return BROKEN(f, CTX_HEAP, EINVAL, "firmware status 0x4000003: the heap is %s",
                      c->heap->mem.user ? "not aligned" : "not mapped");
    uint32_t n_cols = a->num_tiles / 4;
    if (a->num_tiles % 4 || n_cols < 1 || n_cols > 4) return BROKEN(f, CTX_TILES, EINVAL, "%u", a->num_tiles);
    int slot = 0, n_used = f->o.n_users;
    for (int i = 0; i < FAKE_CTXS; i++) n_used += f->ctx[i].client != NULL;
    while (slot < FAKE_CTXS && f->ctx[slot].client) slot++;
    if (n_used >= FAKE_CTXS || slot == FAKE_CTXS) return -EBUSY;
    fake_syncobj *s = c->syncobj;
    while (s < c->syncobj + FAKE_CTXS && s->handle) s++;
    if (s == c->syncobj + FAKE_CTXS) return -ENOMEM;
    fake_ctx x = {.n_cols = n_cols};
    int e = place_columns(f, n_cols, &x.start_col);
    for (int i = 0; i < TS_CMDS_IN_FLIGHT && e == 0; i++) {
        int error;
        x.own[i] = add_dev_bo(c, FAKE_PAGE, &error);
        if (!x.own[i]) e = -error;
    }
    if (e < 0) {
        for (int i = 0; i < TS_CMDS_IN_FLIGHT && x.own[i]; i++) remove_bo(c, x.own[i]);
        return e;
    }
    x.client = c;
    x.handle = a->handle = c->next_handle++;
    x.syncobj = a->syncobj_handle = c->next_handle++;
    x.next_seq = x.n_done = f->o.profile == TS_FAKE_7 ? 1 : 0;
    f->ctx[slot] = x;
    *s = (fake_syncobj){.handle = x.syncobj, .ctx = &f->ctx[slot]};
    a->umq_doorbell = 0;
    return 0;
}

static void destroy_ctx(ts_fake *f, fake_ctx *x) {
    fake_drop_jobs(x, TS_CMD_ABORT);
    if (x->loaded && f->o.array && f->o.array->unload) f->o.array->unload(f->o.array->ud, (int)(x - f->ctx));
    fake_syncobj *s = find_syncobj(x->client, x->syncobj);
    if (s) {
        s->ctx = NULL;
        s->end = x->next_seq;
    }
    for (int i = 0; i < TS_CMDS_IN_FLIGHT; i++) remove_bo(x->client, x->own[i]);
    *x = (fake_ctx){0};
}

static int do_destroy_hwctx(ts_fake *f, fake_client *c, const struct ts_uapi_destroy_hwctx *a) {
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    fake_ctx *x = find_ctx(f, c, a->handle);
    if (!x) return -EINVAL;
    destroy_ctx(f, x);
    return 0;
}

static int do_config_hwctx(ts_fake *f, fake_client *c, const struct ts_uapi_config_hwctx *a) {
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    if (a->param_type != TS_UAPI_CONFIG_CU) return BROKEN(f, CFG_PARAM, EINVAL, "%u", a->param_type);
    if (a->param_val_size > TS_UAPI_CONFIG_BYTES_MAX)
        return BROKEN(f, CFG_SIZE, E2BIG, "%u bytes", a->param_val_size);
    if (!a->param_val) return BROKEN(f, POINTER, EFAULT, "param_val");
    fake_ctx *x = find_ctx(f, c, a->handle);
    if (!x) return -EINVAL;
    if (x->pdi) return BROKEN(f, CFG_ONCE, EINVAL, "context %u", a->handle);
    struct ts_uapi_config_cu head;
    struct ts_uapi_cu_config cu;
    if (a->param_val_size < sizeof head) return BROKEN(f, CFG_SIZE, EINVAL, "%u bytes", a->param_val_size);
    memcpy(&head, (const void *)(uintptr_t)a->param_val, sizeof head);
    if (head.pad[0] | head.pad[1] | head.pad[2]) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad of the CU list");
    if (head.num_cus != 1) return BROKEN(f, CFG_CUS, EINVAL, "%u", head.num_cus);
    if (a->param_val_size < sizeof head + sizeof cu)
        return BROKEN(f, CFG_SIZE, EINVAL, "%u bytes", a->param_val_size);
    memcpy(&cu, (const char *)(uintptr_t)a->param_val + sizeof head, sizeof cu);
    fake_bo *b = fake_find_bo(c, cu.cu_bo);
    if (cu.pad[0] | cu.pad[1] | cu.pad[2]) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad of a CU");
    if (!b || b->type != TS_UAPI_BO_DEV || cu.cu_func)
        return BROKEN(f, CFG_BO, EINVAL, "handle %u, function %u", cu.cu_bo, cu.cu_func);
    x->pdi = b;
    if (f->o.profile == TS_FAKE_7) return 0; /* loaded with the first command */
    int e = fake_load_pdi(f, x);
    if (e < 0) x->pdi = NULL;
    return e < 0 ? e : 0;
}

/* ---- the clock ----------------------------------------------------------------------------------------- */

static uint64_t fake_now_ns(void *ud) {
    const ts_fake *f = ud;
    return ts_now_ns() + f->passed_ns;
}

static int fake_pause(void *ud, uint64_t ns) {
    ts_fake *f = ud;
    f->passed_ns += ns;
    return 0;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

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
        job.args[i] = b;
    }
    fake_ctx *x = find_ctx(f, c, a->hwctx);
    if (!x) return -EINVAL;
    if (x->dead) return -EIO;
    if (!x->pdi) return BROKEN(f, EXEC_CONFIGURED, EINVAL, "context %u", a->hwctx);
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

static int do_wait(ts_fake *f, fake_client *c, struct ts_uapi_syncobj_timeline_wait *a) {
    if (a->flags & ~(uint32_t)(TS_UAPI_WAIT_ALL | TS_UAPI_WAIT_FOR_SUBMIT))
        return BROKEN(f, WAIT_FLAGS, EINVAL, "0x%x", a->flags);
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    if (a->count_handles != 1) return BROKEN(f, WAIT_HANDLE, EINVAL, "%u handles", a->count_handles);
    if (!a->handles || !a->points) return BROKEN(f, POINTER, EFAULT, "handles or points");
    uint32_t handle;
    uint64_t point;
    memcpy(&handle, (const void *)(uintptr_t)a->handles, sizeof handle);
    memcpy(&point, (const void *)(uintptr_t)a->points, sizeof point);
    const fake_syncobj *s = find_syncobj(c, handle);
    if (!s) return BROKEN(f, WAIT_HANDLE, ENOENT, "%u", handle);
    fake_ctx *x = s->ctx;
    if (point >= (x ? x->next_seq : s->end))
        return BROKEN(f, WAIT_POINT, EINVAL, "%llu", (unsigned long long)point);
    bool alive = true;
    while (x && point >= x->n_done && alive) alive = fake_run_one(f, x);
    if (alive) return 0;
    const int64_t left = a->timeout_nsec - (int64_t)fake_now_ns(f); /* nothing comes any more: wait as long as was asked */
    if (left > 0) f->passed_ns += (uint64_t)left;
    return -ETIME;
}

static int do_syncobj_destroy(ts_fake *f, fake_client *c, const struct ts_uapi_syncobj_destroy *a) {
    fake_syncobj *s = find_syncobj(c, a->handle);
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    if (!s) return BROKEN(f, WAIT_HANDLE, EINVAL, "%u", a->handle);
    if (s->ctx && s->ctx->n_jobs) return BROKEN(f, BUSY, EBUSY, "a fence goes while commands are under way");
    *s = (fake_syncobj){0};
    return 0;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

static int fake_open(void *ud, const char *path) {
    ts_fake *f = ud;
    begin(f, "open");
    int error = take_fault(f, TS_FAKE_OPEN);
    if (error) return end(f, -error);
    if (!path) return end(f, BROKEN(f, POINTER, EFAULT, "path"));
    for (int i = 0; i < FAKE_CLIENTS; i++)
        if (f->client[i].fd < 0) {
            f->client[i] = (fake_client){.fd = f->next_fd++, .next_handle = 1};
            return end(f, f->client[i].fd);
        }
    return end(f, -EMFILE);
}

static int dispatch(ts_fake *f, fake_client *c, uint32_t request, void *arg) {
    switch (request) {
    case TS_IOCTL_VERSION: return do_version(f, arg);
    case TS_IOCTL_GET_INFO: return do_get_info(f, arg);
    case TS_IOCTL_CREATE_BO: return do_create_bo(f, c, arg);
    case TS_IOCTL_GET_BO_INFO: return do_get_bo_info(f, c, arg);
    case TS_IOCTL_SYNC_BO: return do_sync_bo(f, c, arg);
    case TS_IOCTL_GEM_CLOSE: return do_gem_close(f, c, arg);
    case TS_IOCTL_CREATE_HWCTX: return do_create_hwctx(f, c, arg);
    case TS_IOCTL_DESTROY_HWCTX: return do_destroy_hwctx(f, c, arg);
    case TS_IOCTL_CONFIG_HWCTX: return do_config_hwctx(f, c, arg);
    case TS_IOCTL_EXEC_CMD: return do_exec_cmd(f, c, arg);
    case TS_IOCTL_SYNCOBJ_WAIT: return do_wait(f, c, arg);
    case TS_IOCTL_SYNCOBJ_DESTROY: return do_syncobj_destroy(f, c, arg);
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

static int map_bo(ts_fake *f, fake_client *c, void *want, size_t len, uint64_t offset, void **out) {
    fake_bo *b = NULL;
    if (offset == TS_UAPI_INVALID_ADDR)
        return BROKEN(f, MMAP_DEV, EINVAL, "a device buffer has no mapping of its own");
    for (size_t i = 0; i < c->n_bos; i++)
        if (c->bos[i]->handle && c->bos[i]->map_offset == offset) b = c->bos[i];
    if (!b) return BROKEN(f, MMAP_OFFSET, EINVAL, "0x%llx", (unsigned long long)offset);
    if (len != b->size)
        return BROKEN(f, MMAP_LENGTH, EINVAL, "%zu of %llu bytes", len, (unsigned long long)b->size);
    if (b->mem.user) return BROKEN(f, MMAP_ONCE, EEXIST, "buffer %u", b->handle);
    if (b == c->heap && (!want || (uintptr_t)want % TS_HEAP_BYTES))
        return BROKEN(f, HEAP_ALIGN, EINVAL, "%p", want);
    void *p =
        mmap(want, len, PROT_READ | PROT_WRITE, MAP_SHARED | (want ? MAP_FIXED_NOREPLACE : 0), b->mem.fd, 0);
    if (p == MAP_FAILED) return -errno;
    if (want && p != want) {
        munmap(p, len);
        return -EEXIST;
    }
    b->mem.user = p;
    *out = p;
    return 0;
}

static int fake_mmap(void *ud, int fd, void *want, size_t len, uint64_t offset, void **out) {
    ts_fake *f = ud;
    begin(f, "mmap");
    int error = take_fault(f, TS_FAKE_MMAP);
    if (error) return end(f, -error);
    fake_client *c = client_of(f, fd);
    return end(f, c ? map_bo(f, c, want, len, offset, out) : -EBADF);
}

/* The mapped buffer that covers [addr, addr + len), of any client. */
static fake_bo *find_mapping(ts_fake *f, const void *addr, size_t len, fake_client **client) {
    for (int k = 0; k < FAKE_CLIENTS; k++)
        for (size_t i = 0; i < f->client[k].n_bos; i++) {
            fake_bo *b = f->client[k].bos[i];
            if (!b->mem.user) continue;
            uintptr_t base = (uintptr_t)b->mem.user, at = (uintptr_t)addr;
            if (at < base || at - base >= b->size || len > b->size - (at - base)) continue;
            *client = &f->client[k];
            return b;
        }
    return NULL;
}

static int fake_munmap(void *ud, void *addr, size_t len) {
    ts_fake *f = ud;
    fake_client *c = NULL;
    begin(f, "munmap");
    fake_bo *b = find_mapping(f, addr, len, &c);
    if (!b || b->mem.user != addr || b->size != len)
        return end(f, BROKEN(f, MUNMAP, EINVAL, "%p, %zu bytes", addr, len));
    if (b->busy)
        return end(f, BROKEN(f, BUSY, EBUSY, "buffer %u is unmapped while a command uses it", b->handle));
    if (b == c->heap && has_ctx(f, c) && !f->unplugged)
        return end(f, BROKEN(f, ORDER_OF_END, EBUSY, "the heap is unmapped under a context"));
    munmap(addr, len);
    b->mem.user = NULL;
    return end(f, 0);
}

static void close_client(ts_fake *f, fake_client *c) {
    for (int i = 0; i < FAKE_CTXS; i++)
        if (f->ctx[i].client == c) destroy_ctx(f, &f->ctx[i]);
    while (c->n_bos) {
        fake_bo *b = c->bos[c->n_bos - 1];
        if (b->mem.user) munmap(b->mem.user, b->size);
        remove_bo(c, b);
    }
    ts_free(c->bos);
    *c = (fake_client){.fd = -1};
}

static int fake_close(void *ud, int fd) {
    ts_fake *f = ud;
    begin(f, "close");
    fake_client *c = client_of(f, fd);
    if (!c) return end(f, -EBADF);
    size_t n_sync = 0;
    for (int i = 0; i < FAKE_CTXS; i++) n_sync += c->syncobj[i].handle != 0;
    if (!f->unplugged && (c->n_bos || has_ctx(f, c) || n_sync))
        BROKEN(f, LEFT_OVER, 0, "%zu buffers, %zu fences, %s", c->n_bos, n_sync,
               has_ctx(f, c) ? "a context" : "no context");
    close_client(f, c);
    return end(f, 0);
}

static void fake_flush(void *ud, const void *addr, size_t len) {
    ts_fake *f = ud;
    fake_client *c = NULL;
    begin(f, "flush");
    fake_bo *b = find_mapping(f, addr, len, &c);
    if (!b) BROKEN(f, FLUSH_RANGE, 0, "%p, %zu bytes", addr, len);
    else fake_mem_flush(f, &b->mem, (size_t)((const uint8_t *)addr - b->mem.user), len);
    end(f, 0);
}

/* ---- the node ------------------------------------------------------------------------------------------ */

ts_status ts_fake_new(ts_fake **out, const ts_fake_options *options, ts_err *err) {
    if (options->n_users < 0 || options->n_users > 6 || (unsigned)options->profile >= TS_FAKE_PROFILES)
        return ts_fail(err, TS_E_INVAL, "fake node: profile %d, %d users", (int)options->profile,
                       options->n_users);
    ts_fake *f = ts_calloc(1, sizeof *f);
    if (!f) return ts_fail_nomem(err, "the fake node", sizeof *f);
    f->o = *options;
    f->next_fd = 1000; /* no descriptor of this process: a call that bypasses the table fails */
    f->next_offset = UINT64_C(1) << 32;
    for (int i = 0; i < FAKE_CLIENTS; i++) f->client[i].fd = -1;
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
        if (f->client[i].fd >= 0) close_client(f, &f->client[i]);
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
    if (f->o.n_users < 6) f->o.users[f->o.n_users++] = *user;
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
