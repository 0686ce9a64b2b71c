/* Contexts of the fake node: who gets which columns, configuration, fences, and what queries say of all that. */
#include "xdna/fake_int.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BROKEN(f, which, error, ...) fake_broken(f, TS_FAKE_RULE_##which, error, __VA_ARGS__)

fake_ctx *fake_find_ctx(ts_fake *f, const fake_client *c, uint32_t handle) {
    for (int i = 0; handle && i < FAKE_CTXS; i++)
        if (f->ctx[i].client == c && f->ctx[i].handle == handle) return &f->ctx[i];
    BROKEN(f, CTX_HANDLE, EINVAL, "%u", handle);
    return NULL;
}

bool fake_has_ctx(const ts_fake *f, const fake_client *c) {
    for (int i = 0; i < FAKE_CTXS; i++)
        if (f->ctx[i].client == c) return true;
    return false;
}

/* ---- fences ------------------------------------------------------------------------------------------------------ */

static fake_fence *find_fence(const fake_client *c, uint32_t handle) {
    for (size_t i = 0; handle && i < c->n_fences; i++)
        if (c->fences[i].handle == handle) return &c->fences[i];
    return NULL;
}

int fake_wait(ts_fake *f, fake_client *c, const struct ts_uapi_syncobj_timeline_wait *a) {
    if (a->flags & ~(uint32_t)(TS_UAPI_WAIT_ALL | TS_UAPI_WAIT_FOR_SUBMIT))
        return BROKEN(f, WAIT_FLAGS, EINVAL, "0x%x", a->flags);
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    if (a->count_handles != 1)
        return BROKEN(f, WAIT_HANDLE, a->count_handles ? EINVAL : 0, "%u handles", a->count_handles);
    if (!a->handles || !a->points) return BROKEN(f, POINTER, EFAULT, "handles or points");
    uint32_t handle;
    uint64_t point;
    memcpy(&handle, (const void *)(uintptr_t)a->handles, sizeof handle);
    memcpy(&point, (const void *)(uintptr_t)a->points, sizeof point);
    const fake_fence *s = find_fence(c, handle);
    if (!s) return BROKEN(f, WAIT_HANDLE, ENOENT, "%u", handle);
    fake_ctx *x = s->ctx;
    if (point >= (x ? x->next_seq : s->end)) {
        BROKEN(f, WAIT_POINT, 0, "%llu", (unsigned long long)point);
        if (!(a->flags & TS_UAPI_WAIT_FOR_SUBMIT)) return -EINVAL;
    } else {
        bool alive = true;
        while (x && point >= x->n_done && alive) alive = fake_run_one(f, x);
        if (alive) return 0;
    }
    /* nothing comes any more: wait as long as was asked */
    const int64_t left = a->timeout_nsec - (int64_t)f->io.now_ns(f);
    if (left > 0) f->passed_ns += (uint64_t)left;
    return -ETIME;
}

int fake_destroy_syncobj(ts_fake *f, fake_client *c, const struct ts_uapi_syncobj_destroy *a) {
    fake_fence *s = find_fence(c, a->handle);
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    if (!s) return BROKEN(f, WAIT_HANDLE, EINVAL, "%u", a->handle);
    if (s->ctx && s->ctx->n_jobs) BROKEN(f, BUSY, 0, "a fence goes while commands are under way");
    *s = c->fences[--c->n_fences];
    return 0;
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

/* Some columns that are held, by another program or by a context of ours. */
typedef struct held {
    uint32_t start, n;
    uint64_t partition; /* 0: another program's */
} held;

static int list_held(const ts_fake *f, held *out) {
    int n = 0;
    for (int i = 0; i < f->o.n_users; i++) out[n++] = (held){f->o.users[i].start_col, f->o.users[i].n_cols, 0};
    for (int i = 0; i < FAKE_CTXS; i++)
        if (f->ctx[i].client) out[n++] = (held){f->ctx[i].start_col, f->ctx[i].n_cols, f->ctx[i].partition};
    return n;
}

/* As the driver's solver: of the columns for contexts the first that are free; else those that are held in the same
 * width, by the fewest contexts and of these the oldest, which are shared; else, where others hold them in another
 * width, none. */
static int place_columns(ts_fake *f, fake_ctx *x) {
    held h[2 * TS_CONTEXTS_MAX];
    const int n = list_held(f, h);
    const uint32_t first = f->o.chip->first_col, end = first + f->o.chip->cols;
    for (x->start_col = first; x->start_col + x->n_cols <= end; x->start_col++) {
        bool free_cols = true;
        for (int i = 0; i < n; i++)
            free_cols &= x->start_col + x->n_cols <= h[i].start || x->start_col >= h[i].start + h[i].n;
        if (!free_cols) continue;
        x->partition = ++f->n_partitions;
        return 0;
    }
    const held *best = NULL;
    int fewest = 0;
    for (int i = 0; i < n; i++) {
        int sharers = 0;
        for (int k = 0; k < n; k++) sharers += h[k].start == h[i].start && h[k].n == h[i].n;
        if (h[i].n != x->n_cols ||
            (best && (sharers > fewest || (sharers == fewest && h[i].partition >= best->partition))))
            continue;
        best = &h[i];
        fewest = sharers;
    }
    if (!best) return -ENODEV;
    x->start_col = best->start;
    x->partition = best->partition;
    return 0;
}

static int count_contexts(const ts_fake *f) {
    held h[2 * TS_CONTEXTS_MAX];
    return list_held(f, h);
}

void fake_clocks(const ts_fake *f, uint32_t *npu_mhz, uint32_t *h_mhz) {
    const ts_chip *chip = f->o.chip;
    const uint32_t most = f->o.h_clock_mhz ? f->o.h_clock_mhz : chip->array_mhz[1],
                   idle = most < chip->array_mhz[0] ? most : chip->array_mhz[0];
    const bool low = fake_is_7_3(f) && f->idle;
    *npu_mhz = chip->npu_mhz[!low];
    *h_mhz = low ? idle : most;
}

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

/* Columns, buffers of the driver's own and the firmware's consent for a context; what was taken is given back on
 * failure. */
static int set_up(ts_fake *f, fake_client *c, fake_ctx *x) {
    int e = 0, n_own = 0;
    for (; n_own < TS_CMDS_IN_FLIGHT && e == 0; n_own++) {
        int error;
        x->own[n_own] = fake_add_dev_bo(c, FAKE_PAGE, &error);
        if (!x->own[n_own]) {
            e = -error;
            break;
        }
        x->own[n_own]->own = true;
    }
    if (e == 0 && (x->n_cols < 1 || x->n_cols > f->o.chip->cols))
        e = BROKEN(f, CTX_TILES, EINVAL, "%u columns", x->n_cols);
    if (e == 0) e = place_columns(f, x);
    if (e == 0 && count_contexts(f) >= f->o.chip->contexts)
        e = -EINVAL; /* the firmware has no more: status 0x2000003 */
    if (e == 0 && !fake_by_iova(f) && (uintptr_t)c->heap->mem.user % TS_HEAP_BYTES)
        e = BROKEN(f, CTX_HEAP, EINVAL, "firmware status 0x4000003: the heap is not aligned");
    if (e == 0) return 0;
    while (n_own) {
        fake_bo *b = x->own[--n_own];
        b->own = false;
        fake_put_bo(c, b);
    }
    return e;
}

int fake_create_hwctx(ts_fake *f, fake_client *c, struct ts_uapi_create_hwctx *a) {
    if (a->ext || a->ext_flags) return BROKEN(f, MUST_BE_ZERO, EINVAL, "ext or ext_flags");
    if (!a->qos_p) return BROKEN(f, POINTER, EFAULT, "qos_p");
    struct ts_uapi_qos_info qos;
    memcpy(&qos, (const void *)(uintptr_t)a->qos_p, sizeof qos);
    if (qos.gops | qos.fps | qos.dma_bandwidth | qos.latency | qos.frame_exec_time | qos.priority)
        return BROKEN(f, CTX_QOS, EINVAL, "a request is set");
    if (a->umq_bo || a->log_buf_bo) return BROKEN(f, CTX_UMQ, EINVAL, "%u, %u", a->umq_bo, a->log_buf_bo);
    if (!c->heap) return BROKEN(f, CTX_HEAP, ENOENT, "no heap");
    if (!fake_heap_mapped(f, c)) return BROKEN(f, CTX_HEAP, fake_is_7_3(f) ? EAGAIN : EINVAL, "the heap is not mapped");
    const uint32_t core_rows = (uint32_t)ts_chip_core_rows(f->o.chip);
    if (a->num_tiles % core_rows) return BROKEN(f, CTX_TILES, EINVAL, "%u", a->num_tiles);
    int slot = 0;
    while (slot < FAKE_CTXS && f->ctx[slot].client) slot++;
    fake_ctx x = {.n_cols = a->num_tiles / core_rows};
    if (!ts_grow((void **)&c->fences, &c->cap_fences, c->n_fences + 1, sizeof *c->fences)) return -ENOMEM;
    int e = set_up(f, c, &x);
    if (e < 0) return e; /* where all slots are taken, too */
    x.client = c;
    x.handle = a->handle = ++c->last_ctx;
    x.syncobj = a->syncobj_handle = ++c->last_fence;
    f->ctx[slot] = x;
    f->idle = false;
    c->heap->pins++;
    c->fences[c->n_fences++] = (fake_fence){.handle = x.syncobj, .ctx = &f->ctx[slot]};
    if (fake_is_7_3(f)) a->umq_doorbell = UINT32_MAX; /* there is none; older ones leave the field alone */
    return 0;
}

static void end_ctx(ts_fake *f, fake_ctx *x) {
    fake_client *c = x->client;
    while (x->n_jobs && !f->unplugged && fake_run_one(f, x)) {}
    if (x->n_jobs) f->passed_ns += UINT64_C(2000000000); /* the driver's patience with what is under way */
    fake_drop_jobs(f, x, TS_CMD_ABORT);
    if (x->loaded && f->o.array && f->o.array->unload) f->o.array->unload(f->o.array->ud, (int)(x - f->ctx));
    for (size_t i = 0; i < c->n_fences; i++)
        if (c->fences[i].ctx == x) {
            c->fences[i].ctx = NULL;
            c->fences[i].end = x->next_seq;
        }
    for (int i = 0; i < TS_CMDS_IN_FLIGHT; i++) {
        x->own[i]->own = false;
        fake_put_bo(c, x->own[i]);
    }
    c->heap->pins--;
    if (x->pdi) {
        x->pdi->pins--;
        fake_put_bo(c, x->pdi);
    }
    *x = (fake_ctx){0};
    f->idle = count_contexts(f) == 0;
}

int fake_destroy_hwctx(ts_fake *f, fake_client *c, const struct ts_uapi_destroy_hwctx *a) {
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    fake_ctx *x = fake_find_ctx(f, c, a->handle);
    if (!x) return -EINVAL;
    end_ctx(f, x);
    return 0;
}

void fake_end_ctxs(ts_fake *f, const fake_client *c) {
    for (int i = 0; i < FAKE_CTXS; i++)
        if (f->ctx[i].client == c) end_ctx(f, &f->ctx[i]);
}

int fake_config_hwctx(ts_fake *f, fake_client *c, const struct ts_uapi_config_hwctx *a) {
    if (a->pad) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad");
    if (a->param_type != TS_UAPI_CONFIG_CU) return BROKEN(f, CFG_PARAM, EINVAL, "%u", a->param_type);
    if (a->param_val_size > TS_UAPI_CONFIG_BYTES_MAX) return BROKEN(f, CFG_SIZE, E2BIG, "%u bytes", a->param_val_size);
    if (!a->param_val) return BROKEN(f, POINTER, EFAULT, "param_val");
    fake_ctx *x = fake_find_ctx(f, c, a->handle);
    if (!x) return -EINVAL;
    if (x->pdi) return BROKEN(f, CFG_ONCE, EINVAL, "context %u", a->handle);
    struct ts_uapi_config_cu head;
    struct ts_uapi_cu_config cu;
    if (a->param_val_size < sizeof head) return BROKEN(f, CFG_SIZE, EINVAL, "%u bytes", a->param_val_size);
    memcpy(&head, (const void *)(uintptr_t)a->param_val, sizeof head);
    if (head.pad[0] | head.pad[1] | head.pad[2]) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad of the CU list");
    if (head.num_cus != 1) return BROKEN(f, CFG_CUS, EINVAL, "%u", head.num_cus);
    if (a->param_val_size < sizeof head + sizeof cu) return BROKEN(f, CFG_SIZE, EINVAL, "%u bytes", a->param_val_size);
    memcpy(&cu, (const char *)(uintptr_t)a->param_val + sizeof head, sizeof cu);
    fake_bo *b = fake_find_bo(c, cu.cu_bo);
    if (cu.pad[0] | cu.pad[1] | cu.pad[2]) return BROKEN(f, MUST_BE_ZERO, EINVAL, "pad of a CU");
    if (!b || b->type != TS_UAPI_BO_DEV || cu.cu_func)
        return BROKEN(f, CFG_BO, EINVAL, "handle %u, function %u", cu.cu_bo, cu.cu_func);
    x->pdi = b;
    /* the others do not wait for the firmware's answer */
    int e = f->o.profile == TS_FAKE_6_14 ? fake_load_pdi(f, x) : 0;
    if (e < 0) x->pdi = NULL;
    else b->pins++;
    return e;
}

/* ---- queries ----------------------------------------------------------------------------------------------------- */

/* Our contexts in the order in which they are listed: by file, then by number. */
static int in_order(const ts_fake *f, const fake_ctx **out) {
    int n = 0;
    for (int i = 0; i < FAKE_CTXS; i++) {
        const fake_ctx *x = &f->ctx[i];
        if (!x->client) continue;
        int k = n++;
        for (; k > 0 && (out[k - 1]->client->born > x->client->born ||
                         (out[k - 1]->client == x->client && out[k - 1]->handle > x->handle));
             k--)
            out[k] = out[k - 1];
        out[k] = x;
    }
    return n;
}

int fake_info_contexts(ts_fake *f, struct ts_uapi_get_info *g) {
    struct ts_uapi_hwctx_entry e[2 * TS_CONTEXTS_MAX] = {0};
    const fake_ctx *x[FAKE_CTXS];
    size_t n = (size_t)in_order(f, x);
    for (size_t i = 0; i < n; i++)
        e[i] = (struct ts_uapi_hwctx_entry){.context_id = x[i]->handle,
                                            .start_col = x[i]->start_col,
                                            .num_col = x[i]->n_cols,
                                            .pid = getpid(),
                                            .command_submissions = x[i]->submitted,
                                            .command_completions = x[i]->completed};
    for (int i = 0; i < f->o.n_users; i++)
        e[n++] = (struct ts_uapi_hwctx_entry){.context_id = (uint32_t)(100 + i),
                                              .start_col = f->o.users[i].start_col,
                                              .num_col = f->o.users[i].n_cols,
                                              .pid = f->o.users[i].pid};
    if (!g->buffer) return BROKEN(f, POINTER, EFAULT, "no buffer");
    const size_t room = g->buffer_size / sizeof e[0];
    if (n > room) {
        BROKEN(f, INFO_SIZE, 0, "%u bytes, %zu needed", g->buffer_size, n * sizeof e[0]);
        n = room; /* the rest is left out in silence */
    }
    memcpy((void *)(uintptr_t)g->buffer, e, n * sizeof e[0]);
    /* the first kernels say how much was written, later ones how much is left */
    const uint32_t used = (uint32_t)(n * sizeof e[0]);
    g->buffer_size = f->o.profile == TS_FAKE_6_14 ? used : g->buffer_size - used;
    return 0;
}

int fake_info_status(ts_fake *f, const struct ts_uapi_get_info *g) {
    struct {
        uint64_t buffer;
        uint32_t size, columns;
    } s = {0};
    const size_t len = g->buffer_size < sizeof s ? g->buffer_size : sizeof s;
    if (!g->buffer) return BROKEN(f, POINTER, EFAULT, "no buffer");
    memcpy(&s, (const void *)(uintptr_t)g->buffer, len);
    if (s.size && !s.buffer) return BROKEN(f, POINTER, EFAULT, "no buffer for the columns");
    if (s.size) memset((void *)(uintptr_t)s.buffer, 0, s.size); /* nothing is known of what the firmware writes there */
    s.columns = 0;
    held h[2 * TS_CONTEXTS_MAX];
    for (int i = list_held(f, h); i-- > 0;) s.columns |= ((1u << h[i].n) - 1) << h[i].start;
    return fake_put_info(f, g, &s, sizeof s);
}
