/* The strict fake node: a good sequence passes in every profile; every rule has a call that breaks it; the cache. */
#include "designs.h"
#include "loopback.h"
#include "support/alloc_fail.h"

#include "base/clock.h"
#include "xdna/uapi.h"

#include <errno.h>
#include <sys/mman.h>

/* A client that does everything right by hand, up to a command that could be given. */
typedef struct env {
    ts_fake *fake;
    const ts_npu_io *io;
    ts_fake_profile profile;
    loopback array;
    int fd;
    uint32_t heap, pdi, stream, packet, in, out, ctx, syncobj;
    char *heap_ptr, *in_ptr, *out_ptr;
    uint32_t *packet_ptr;
    uint64_t pdi_addr, stream_addr, in_addr, out_addr, heap_offset, in_offset;
    uint32_t args[8], n_args, stream_words;
    uint64_t seq;
    int result; /* of the last call */
} env;

enum { DATA = 8192 };

static int call(env *e, uint32_t request, void *arg) {
    return e->result = e->io->ioctl(e->io->ud, e->fd, request, arg);
}

static uint32_t make(env *e, uint32_t type, uint64_t size) {
    struct ts_uapi_create_bo a = {.size = size, .type = type};
    if (call(e, TS_IOCTL_CREATE_BO, &a) < 0) return 0;
    return a.handle;
}

static struct ts_uapi_get_bo_info info(env *e, uint32_t handle) {
    struct ts_uapi_get_bo_info a = {.handle = handle};
    call(e, TS_IOCTL_GET_BO_INFO, &a);
    return a;
}

static void *map(env *e, uint32_t handle, size_t len, void *want) {
    void *p = NULL;
    uint64_t offset = info(e, handle).map_offset;
    e->result = e->io->mmap(e->io->ud, e->fd, want, len, offset, &p);
    return p;
}

static void flush(env *e, const void *p, size_t n) {
    e->io->flush(e->io->ud, p, n);
}

static void *aligned_place(void) {
    char *p =
        mmap(NULL, 2 * (size_t)TS_HEAP_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(p != MAP_FAILED);
    munmap(p, 2 * (size_t)TS_HEAP_BYTES);
    return (void *)(((uintptr_t)p + TS_HEAP_BYTES - 1) & ~(uintptr_t)(TS_HEAP_BYTES - 1));
}

/* How far env_new goes. */
typedef enum stage { OPEN, HEAP, BUFFERS, CONTEXT, READY } stage;

static void make_heap(env *e) {
    e->heap = make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES);
    e->heap_ptr = map(e, e->heap, TS_HEAP_BYTES, aligned_place());
    assert_non_null(e->heap_ptr);
}

static void put_device(env *e, uint32_t *handle, uint64_t *addr, const void *data, size_t len) {
    *handle = make(e, TS_UAPI_BO_DEV, len);
    *addr = info(e, *handle).xdna_addr;
    char *p = e->heap_ptr + (*addr - TS_HEAP_BASE);
    memcpy(p, data, len);
    flush(e, p, len);
}

/* Where the device finds a shared buffer: kernels up to 6.18 say only where it is mapped. */
static uint64_t shared_addr(env *e, uint32_t handle) {
    struct ts_uapi_get_bo_info a = info(e, handle);
    return a.xdna_addr != TS_UAPI_INVALID_ADDR ? a.xdna_addr : a.vaddr;
}

static void make_packet(env *e) {
    const uint32_t w[] = {ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 10),
                          1,
                          3,
                          0,
                          (uint32_t)e->stream_addr,
                          (uint32_t)(e->stream_addr >> 32),
                          e->stream_words,
                          (uint32_t)e->in_addr,
                          (uint32_t)(e->in_addr >> 32),
                          (uint32_t)e->out_addr,
                          (uint32_t)(e->out_addr >> 32)};
    memcpy(e->packet_ptr, w, sizeof w);
}

static void make_buffers(env *e) {
    ts_err err;
    ts_design *d = loopback_design(1, 1, 256);
    ts_buf pdi = {0}, txn = {0};
    ts_dispatch p;
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    put_device(e, &e->pdi, &e->pdi_addr, pdi.data, pdi.len);
    loopback_dispatch(&p, 1, DATA / 4);
    assert_ok(ts_dispatch_finish(&p, &txn, &err));
    put_device(e, &e->stream, &e->stream_addr, txn.data, txn.len);
    e->packet = make(e, TS_UAPI_BO_CMD, 4096);
    e->packet_ptr = map(e, e->packet, 4096, NULL);
    e->in = make(e, TS_UAPI_BO_SHMEM, DATA);
    e->in_ptr = map(e, e->in, DATA, NULL);
    e->out = make(e, TS_UAPI_BO_SHMEM, DATA);
    e->out_ptr = map(e, e->out, DATA, NULL);
    e->in_addr = shared_addr(e, e->in);
    e->out_addr = shared_addr(e, e->out);
    e->stream_words = (uint32_t)(txn.len / 4);
    make_packet(e);
    e->args[0] = e->stream, e->args[1] = e->in, e->args[2] = e->out;
    e->n_args = 3;
    ts_buf_free(&pdi);
    ts_buf_free(&txn);
    ts_dispatch_free(&p);
    ts_design_free(d);
}

static void make_context(env *e) {
    struct ts_uapi_qos_info qos = {0};
    struct ts_uapi_create_hwctx a = {.qos_p = (uint64_t)(uintptr_t)&qos, .max_opc = 2048, .num_tiles = 4};
    assert_int_equal(call(e, TS_IOCTL_CREATE_HWCTX, &a), 0);
    e->ctx = a.handle;
    e->syncobj = a.syncobj_handle;
}

typedef struct cu_list {
    uint16_t num_cus, pad[3];
    struct ts_uapi_cu_config cu[2];
} cu_list;

static int configure(env *e) {
    cu_list list = {.num_cus = 1, .cu = {{.cu_bo = e->pdi}}};
    struct ts_uapi_config_hwctx a = {
        .handle = e->ctx, .param_val = (uint64_t)(uintptr_t)&list, .param_val_size = 16};
    return call(e, TS_IOCTL_CONFIG_HWCTX, &a);
}

static env *env_new(ts_fake_profile profile, stage to) {
    ts_err err;
    env *e = calloc(1, sizeof *e);
    assert_non_null(e);
    e->profile = profile;
    loopback_init(&e->array);
    ts_fake_options o = {.profile = profile, .array = &e->array.table};
    assert_ok(ts_fake_new(&e->fake, &o, &err));
    e->io = ts_fake_io(e->fake);
    e->fd = e->io->open(e->io->ud, "fake");
    assert_true(e->fd >= 0);
    if (to >= HEAP) make_heap(e);
    if (to >= BUFFERS) make_buffers(e);
    if (to >= CONTEXT) make_context(e);
    if (to >= READY) assert_int_equal(configure(e), 0);
    if (ts_fake_violations(e->fake))
        fail_msg("setup: %s: %s", ts_fake_rule_name(ts_fake_first_violation(e->fake)->rule),
                 ts_fake_first_violation(e->fake)->text);
    return e;
}

static void env_free(env *e) {
    ts_fake_free(e->fake);
    free(e);
}

static int exec(env *e) {
    struct ts_uapi_exec_cmd a = {.hwctx = e->ctx,
                                 .cmd_handles = e->packet,
                                 .args = (uint64_t)(uintptr_t)e->args,
                                 .cmd_count = 1,
                                 .arg_count = e->n_args};
    int r = call(e, TS_IOCTL_EXEC_CMD, &a);
    e->seq = a.seq;
    return r;
}

static int wait_for(env *e, uint64_t seq, uint64_t ns) {
    struct ts_uapi_syncobj_timeline_wait a = {.handles = (uint64_t)(uintptr_t)&e->syncobj,
                                              .points = (uint64_t)(uintptr_t)&seq,
                                              .timeout_nsec = (int64_t)(e->io->now_ns(e->io->ud) + ns),
                                              .count_handles = 1,
                                              .flags = TS_UAPI_WAIT_FOR_SUBMIT};
    return call(e, TS_IOCTL_SYNCOBJ_WAIT, &a);
}

static int run(env *e) {
    int r = exec(e);
    return r < 0 ? r : wait_for(e, e->seq, 0);
}

static int close_bo(env *e, uint32_t handle) {
    return call(e, TS_IOCTL_GEM_CLOSE, &(struct ts_uapi_gem_close){.handle = handle});
}
static int unmap(env *e, void *p, size_t n) {
    return e->result = e->io->munmap(e->io->ud, p, n);
}

/* ---- the good sequence ------------------------------------------------------------------------------------------- */

static void test_good(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
        env *e = env_new((ts_fake_profile)profile, READY);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < DATA; i++) e->in_ptr[i] = (char)(i * 7 + round);
            flush(e, e->in_ptr, DATA);
            e->packet_ptr[0] = ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 10);
            assert_int_equal(run(e), 0);
            assert_int_equal(ts_cmd_state(e->packet_ptr[0]), TS_CMD_COMPLETED);
            if (round == 0) assert_int_equal(e->out_ptr[100], 0); /* not seen before the lines are dropped */
            flush(e, e->out_ptr, DATA);
            assert_memory_equal(e->out_ptr, e->in_ptr, DATA);
        }
        assert_int_equal(e->array.runs, 3);
        assert_int_equal(e->array.loads, 1);
        assert_int_equal(call(e, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = e->ctx}),
                         0);
        assert_int_equal(
            call(e, TS_IOCTL_SYNCOBJ_DESTROY, &(struct ts_uapi_syncobj_destroy){.handle = e->syncobj}), 0);
        assert_int_equal(e->array.unloads, 1);
        unmap(e, e->in_ptr, DATA), unmap(e, e->out_ptr, DATA), unmap(e, e->packet_ptr, 4096);
        uint32_t all[] = {e->in, e->out, e->packet, e->stream, e->pdi};
        for (int i = 0; i < 5; i++) assert_int_equal(close_bo(e, all[i]), 0);
        unmap(e, e->heap_ptr, TS_HEAP_BYTES);
        assert_int_equal(close_bo(e, e->heap), 0);
        assert_int_equal(e->io->close(e->io->ud, e->fd), 0);
        assert_int_equal(ts_fake_violations(e->fake), 0);
        assert_true(ts_fake_calls(e->fake) > 30);
        env_free(e);
    }
}

/* ---- every rule -------------------------------------------------------------------------------------------------- */

#define CASE(name) static void name(env *e)

CASE(bad_fd) {
    e->fd = 7, call(e, TS_IOCTL_GET_INFO, &(struct ts_uapi_get_info){0});
}
CASE(set_state) {
    call(e, 0xC0106448, &(struct ts_uapi_get_info){0});
}
CASE(get_array) {
    call(e, 0xC018644A, &(struct ts_uapi_config_hwctx){0});
}
CASE(wait_cmd) {
    call(e, 0x40106449, &(struct ts_uapi_get_info){0});
}
CASE(null_arg) {
    call(e, TS_IOCTL_GET_INFO, NULL);
}
CASE(null_info) {
    call(e, TS_IOCTL_GET_INFO, &(struct ts_uapi_get_info){.param = 8, .buffer_size = 16});
}
CASE(bo_flags) {
    call(e, TS_IOCTL_CREATE_BO, &(struct ts_uapi_create_bo){.flags = 1, .size = 4096, .type = 1});
}
CASE(info_ext) {
    call(e, TS_IOCTL_GET_BO_INFO, &(struct ts_uapi_get_bo_info){.handle = e->in, .ext = 1});
}
CASE(info_param) {
    char b[8];
    call(e, TS_IOCTL_GET_INFO,
         &(struct ts_uapi_get_info){.param = 77, .buffer_size = 8, .buffer = (uint64_t)(uintptr_t)b});
}
CASE(info_small) {
    char b[8];
    call(e, TS_IOCTL_GET_INFO,
         &(struct ts_uapi_get_info){.param = 8, .buffer_size = 8, .buffer = (uint64_t)(uintptr_t)b});
}
CASE(bo_type) {
    make(e, 9, 4096);
}
CASE(bo_zero) {
    make(e, TS_UAPI_BO_SHMEM, 0);
}
CASE(packet_zero) {
    make(e, TS_UAPI_BO_CMD, 0);
}
CASE(dev_zero) {
    make(e, TS_UAPI_BO_DEV, 0);
}
CASE(bo_userptr) {
    call(e, TS_IOCTL_CREATE_BO, &(struct ts_uapi_create_bo){.vaddr = 4096, .size = 4096, .type = 1});
}
CASE(heap_small) {
    make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES / 2);
}
CASE(heap_large) {
    make(e, TS_UAPI_BO_DEV_HEAP, 2 * (uint64_t)TS_HEAP_BYTES);
}
CASE(heap_none) {
    make(e, TS_UAPI_BO_DEV_HEAP, 0);
}
CASE(heap_twice) {
    make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES);
}
CASE(dev_first) {
    make(e, TS_UAPI_BO_DEV, 4096);
}
CASE(dev_unmapped_heap) {
    make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES), make(e, TS_UAPI_BO_DEV, 4096);
}
CASE(heap_unaligned) {
    e->heap = make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES),
    map(e, e->heap, TS_HEAP_BYTES, (char *)aligned_place() + 4096);
}
CASE(heap_anywhere) {
    e->heap = make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES), map(e, e->heap, TS_HEAP_BYTES, NULL);
}
CASE(cmd_large) {
    make(e, TS_UAPI_BO_CMD, 32768 + 4096);
}
CASE(cmd_small) {
    make(e, TS_UAPI_BO_CMD, 3);
}
CASE(bad_handle) {
    info(e, 999);
}
CASE(close_twice) {
    uint32_t h = make(e, TS_UAPI_BO_SHMEM, 4096);
    close_bo(e, h), close_bo(e, h);
}
CASE(map_offset) {
    void *p;
    e->result = e->io->mmap(e->io->ud, e->fd, NULL, DATA, info(e, e->in).map_offset + 4096, &p);
}
CASE(map_nothing) {
    void *p;
    e->result = e->io->mmap(e->io->ud, e->fd, NULL, DATA, 0, &p);
}
CASE(map_foreign) {
    uint64_t offset = info(e, e->in).map_offset;
    void *p;
    int fd = e->io->open(e->io->ud, "fake");
    e->result = e->io->mmap(e->io->ud, fd, NULL, DATA, offset, &p);
}
CASE(map_part) {
    uint32_t h = make(e, TS_UAPI_BO_SHMEM, 8192);
    map(e, h, 4096, NULL);
}
CASE(map_dev) {
    map(e, e->stream, 4096, NULL);
}
CASE(map_twice) {
    map(e, e->in, DATA, NULL);
}
CASE(unmap_part) {
    unmap(e, e->in_ptr, 4096);
}
CASE(unmap_unknown) {
    char c = 0;
    unmap(e, &c, 1);
}
CASE(unmap_busy) {
    exec(e), unmap(e, e->in_ptr, DATA);
}
CASE(close_busy) {
    exec(e), close_bo(e, e->stream);
}
CASE(fence_busy) {
    exec(e), call(e, TS_IOCTL_SYNCOBJ_DESTROY, &(struct ts_uapi_syncobj_destroy){.handle = e->syncobj});
}
CASE(sync_from) {
    call(e, TS_IOCTL_SYNC_BO, &(struct ts_uapi_sync_bo){.handle = e->in, .direction = 1, .size = DATA});
}
CASE(sync_range) {
    call(e, TS_IOCTL_SYNC_BO, &(struct ts_uapi_sync_bo){.handle = e->in, .offset = 4096, .size = DATA});
}
CASE(sync_direction) {
    call(e, TS_IOCTL_SYNC_BO, &(struct ts_uapi_sync_bo){.handle = e->in, .direction = 2, .size = DATA});
}
CASE(flush_unknown) {
    char c[8] = "";
    flush(e, c, 8);
}
CASE(flush_past) {
    flush(e, e->in_ptr + 4096, DATA);
}

static void ctx_with(env *e, struct ts_uapi_create_hwctx a) {
    struct ts_uapi_qos_info qos = {0};
    if (a.qos_p == 1) qos.gops = 1;
    a.qos_p = a.qos_p == 2 ? 0 : (uint64_t)(uintptr_t)&qos;
    call(e, TS_IOCTL_CREATE_HWCTX, &a);
}
CASE(ctx_no_heap) {
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 4});
}
CASE(ctx_unmapped_heap) {
    make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES), ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 4});
}
CASE(ctx_misaligned_heap) { /* the mapping is what breaks a rule first */
    heap_unaligned(e);
    ts_fake_forgive(e->fake);
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 4});
}
CASE(ctx_no_tiles) {
    ctx_with(e, (struct ts_uapi_create_hwctx){0});
}
CASE(ctx_odd_tiles) {
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 6});
}
CASE(ctx_five_columns) {
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 20});
}
CASE(ctx_qos) {
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 4, .qos_p = 1});
}
CASE(ctx_no_qos) {
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 4, .qos_p = 2});
}
CASE(ctx_umq) {
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 4, .umq_bo = 1});
}
CASE(ctx_ext) {
    ctx_with(e, (struct ts_uapi_create_hwctx){.num_tiles = 4, .ext_flags = 1});
}
CASE(ctx_handle) {
    call(e, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = 4711});
}
CASE(ctx_pad) {
    call(e, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = e->ctx, .pad = 1});
}

static void config_with(env *e, cu_list list, uint32_t type, uint32_t size) {
    call(e, TS_IOCTL_CONFIG_HWCTX,
         &(struct ts_uapi_config_hwctx){.handle = e->ctx,
                                        .param_type = type,
                                        .param_val = (uint64_t)(uintptr_t)&list,
                                        .param_val_size = size});
}
CASE(cfg_type) {
    config_with(e, (cu_list){.num_cus = 1}, 1, 16);
}
CASE(cfg_large) {
    config_with(e, (cu_list){.num_cus = 1}, 0, 4097);
}
CASE(cfg_short) {
    config_with(e, (cu_list){.num_cus = 1, .cu = {{.cu_bo = e->pdi}}}, 0, 12);
}
CASE(cfg_shorter) {
    config_with(e, (cu_list){.num_cus = 1, .cu = {{.cu_bo = e->pdi}}}, 0, 4);
}
CASE(cfg_none) {
    config_with(e, (cu_list){0}, 0, 16);
}
CASE(cfg_two) {
    config_with(e, (cu_list){.num_cus = 2}, 0, 24);
}
CASE(cfg_shared_bo) {
    config_with(e, (cu_list){.num_cus = 1, .cu = {{.cu_bo = e->in}}}, 0, 16);
}
CASE(cfg_func) {
    config_with(e, (cu_list){.num_cus = 1, .cu = {{.cu_bo = e->pdi, .cu_func = 1}}}, 0, 16);
}
CASE(cfg_pad) {
    config_with(e, (cu_list){.num_cus = 1, .pad = {1}, .cu = {{.cu_bo = e->pdi}}}, 0, 16);
}
CASE(cfg_twice) {
    configure(e);
}
CASE(cfg_not_pdi) {
    char *p = e->heap_ptr + (e->pdi_addr - TS_HEAP_BASE);
    p[0] ^= 1;
    flush(e, p, 1);
    if (configure(e) == 0) run(e); /* the newest driver finds out with the first command */
}
CASE(cfg_array_refuses) {
    e->array.refuse_pdi = true;
    if (configure(e) == 0) run(e);
}
CASE(cfg_unflushed) {
    e->heap_ptr[e->pdi_addr - TS_HEAP_BASE + 0x160] ^= 1;
    if (configure(e) == 0) run(e);
}

static void exec_with(env *e, struct ts_uapi_exec_cmd a) {
    if (!a.hwctx) a.hwctx = e->ctx;
    if (!a.cmd_handles) a.cmd_handles = e->packet;
    if (!a.cmd_count) a.cmd_count = 1;
    if (!a.arg_count) a.arg_count = e->n_args;
    if (!a.args) a.args = (uint64_t)(uintptr_t)e->args;
    call(e, TS_IOCTL_EXEC_CMD, &a);
}
CASE(exec_type) {
    exec_with(e, (struct ts_uapi_exec_cmd){.type = 1});
}
CASE(exec_two) {
    exec_with(e, (struct ts_uapi_exec_cmd){.cmd_count = 2});
}
CASE(exec_ext) {
    exec_with(e, (struct ts_uapi_exec_cmd){.ext = 1});
}
CASE(exec_shared) {
    exec_with(e, (struct ts_uapi_exec_cmd){.cmd_handles = e->in});
}
CASE(exec_unmapped) {
    exec_with(e, (struct ts_uapi_exec_cmd){.cmd_handles = make(e, TS_UAPI_BO_CMD, 4096)});
}
CASE(exec_many) {
    exec_with(e, (struct ts_uapi_exec_cmd){.arg_count = 4096});
}
CASE(exec_cmd_arg) {
    e->args[e->n_args++] = e->packet, exec(e);
}
CASE(exec_arg_twice) {
    e->args[e->n_args++] = e->in, exec(e);
}
CASE(exec_arg_handle) {
    e->args[e->n_args++] = 999, exec(e);
}
CASE(exec_arg_unmapped) {
    e->args[e->n_args++] = make(e, TS_UAPI_BO_SHMEM, 4096), exec(e);
}
CASE(exec_ctx) {
    exec_with(e, (struct ts_uapi_exec_cmd){.hwctx = 77});
}
CASE(exec_unconfigured) {
    if (exec(e) == 0) wait_for(e, e->seq, 0); /* then it ends as ERROR */
}
CASE(exec_twice) {
    exec(e), exec(e);
}
CASE(cmd_state) {
    e->packet_ptr[0] = ts_cmd_header(TS_CMD_COMPLETED, 0, 10), exec(e);
}
CASE(cmd_bits) {
    e->packet_ptr[0] |= 1u << 10, exec(e);
}
CASE(cmd_start_npu) {
    e->packet_ptr[0] = ts_cmd_header(TS_CMD_NEW, 20, 10), exec(e);
}
CASE(cmd_op) {
    e->packet_ptr[2] = 2, exec(e);
}
CASE(cmd_short) {
    e->packet_ptr[0] = ts_cmd_header(TS_CMD_NEW, 0, 4), exec(e);
}
CASE(cmd_odd) {
    e->packet_ptr[0] = ts_cmd_header(TS_CMD_NEW, 0, 9), exec(e);
}
CASE(cmd_six_args) {
    e->packet_ptr[0] = ts_cmd_header(TS_CMD_NEW, 0, 18), exec(e);
}
CASE(cmd_mask) {
    e->packet_ptr[1] = 2, exec(e);
}
CASE(cmd_stream_shared) {
    e->packet_ptr[4] = (uint32_t)e->in_addr, e->packet_ptr[5] = (uint32_t)(e->in_addr >> 32), exec(e);
}
CASE(cmd_stream_long) {
    e->packet_ptr[6] = 1 << 20, exec(e);
}
CASE(cmd_stream_empty) {
    e->packet_ptr[6] = 0, exec(e);
}
CASE(cmd_addr_unknown) {
    e->packet_ptr[7] = 0x1000, e->packet_ptr[8] = 0, exec(e);
}
CASE(cmd_addr_before_mmap) { /* what a driver says of a buffer that is not mapped */
    uint64_t a = TS_UAPI_INVALID_ADDR;
    memcpy(e->packet_ptr + 7, &a, 8);
    exec(e);
}
CASE(cmd_addr_packet) {
    uint64_t a = shared_addr(e, e->packet);
    memcpy(e->packet_ptr + 7, &a, 8);
    exec(e);
}
CASE(cmd_arg_unlisted) {
    e->n_args = 2, exec(e);
}
CASE(cmd_stream_unlisted) {
    e->args[0] = e->pdi, exec(e);
}
CASE(stream_garbage) {
    char *p = e->heap_ptr + (e->stream_addr - TS_HEAP_BASE);
    p[16] = 0x77;
    flush(e, p + 16, 1);
    run(e);
}
CASE(stream_unflushed) {
    e->heap_ptr[e->stream_addr - TS_HEAP_BASE + 40] ^= 1, run(e);
}
CASE(input_unflushed) {
    e->in_ptr[4000] = 1, run(e);
}
CASE(output_dirty) {
    e->out_ptr[4000] = 1, run(e);
}
CASE(output_overwritten) {
    e->in_ptr[64] = 1;
    flush(e, e->in_ptr, DATA);
    run(e);
    e->out_ptr[64] = 5; /* without dropping the line first: on the machine the result would be lost */
    flush(e, e->out_ptr, DATA);
}
CASE(bus_past_buffer) { /* the second argument is 4 bytes further on: the last word is outside */
    uint64_t a = e->out_addr + 4;
    memcpy(e->packet_ptr + 9, &a, 8);
    run(e);
}
CASE(wait_handle) {
    e->syncobj = 999, wait_for(e, 0, 0);
}
CASE(wait_two) {
    uint64_t p = 0;
    call(e, TS_IOCTL_SYNCOBJ_WAIT,
         &(struct ts_uapi_syncobj_timeline_wait){.handles = (uint64_t)(uintptr_t)&e->syncobj,
                                                 .points = (uint64_t)(uintptr_t)&p,
                                                 .count_handles = 2});
}
CASE(wait_point) {
    wait_for(e, 5, 0);
}
CASE(wait_point_now) {
    uint64_t p = 5;
    call(e, TS_IOCTL_SYNCOBJ_WAIT,
         &(struct ts_uapi_syncobj_timeline_wait){.handles = (uint64_t)(uintptr_t)&e->syncobj,
                                                 .points = (uint64_t)(uintptr_t)&p,
                                                 .count_handles = 1});
}
CASE(wait_none) {
    call(e, TS_IOCTL_SYNCOBJ_WAIT, &(struct ts_uapi_syncobj_timeline_wait){0});
}
CASE(wait_flags) {
    uint64_t p = 0;
    call(e, TS_IOCTL_SYNCOBJ_WAIT,
         &(struct ts_uapi_syncobj_timeline_wait){.handles = (uint64_t)(uintptr_t)&e->syncobj,
                                                 .points = (uint64_t)(uintptr_t)&p,
                                                 .count_handles = 1,
                                                 .flags = 8});
}
CASE(end_heap_first) {
    close_bo(e, e->heap);
}
CASE(end_heap_unmapped_first) {
    unmap(e, e->heap_ptr, TS_HEAP_BYTES);
}
CASE(end_pdi_first) {
    close_bo(e, e->pdi);
}
CASE(end_mapped) {
    close_bo(e, e->in);
}
CASE(end_left_over) {
    e->result = e->io->close(e->io->ud, e->fd);
}

/* How a call that breaks a rule ends: with an error; OK: it passes, and is noted; FAILS: it passes, and the packet
 * says ERROR; FINE: there is nothing wrong with it in this profile. */
enum { FAILS = 0, OK = -1, FINE = -2 };

static const struct {
    const char *name;
    ts_fake_rule rule;
    stage stage;
    void (*fn)(env *e);
    int error[TS_FAKE_PROFILES]; /* what the call returns, in the order of ts_fake_profile */
} cases[] = {
#define ALL(e)                                                                                               \
    { e, e, e, e }
    {"a closed file", TS_FAKE_RULE_FD, OPEN, bad_fd, ALL(EBADF)},
    {"SET_STATE", TS_FAKE_RULE_REQUEST, OPEN, set_state, ALL(ENOTTY)},
    {"GET_ARRAY", TS_FAKE_RULE_REQUEST, OPEN, get_array, ALL(ENOTTY)},
    {"WAIT_CMD", TS_FAKE_RULE_REQUEST, OPEN, wait_cmd, ALL(ENOTTY)},
    {"no argument", TS_FAKE_RULE_POINTER, OPEN, null_arg, ALL(EFAULT)},
    {"no buffer for the answer", TS_FAKE_RULE_POINTER, OPEN, null_info, ALL(EFAULT)},
    {"no quality of service", TS_FAKE_RULE_POINTER, HEAP, ctx_no_qos, ALL(EFAULT)},
    {"flags of a buffer", TS_FAKE_RULE_MUST_BE_ZERO, OPEN, bo_flags, ALL(EINVAL)},
    {"ext of a query", TS_FAKE_RULE_MUST_BE_ZERO, BUFFERS, info_ext, ALL(EINVAL)},
    {"ext_flags of a context", TS_FAKE_RULE_MUST_BE_ZERO, HEAP, ctx_ext, ALL(EINVAL)},
    {"pad of a context's end", TS_FAKE_RULE_MUST_BE_ZERO, CONTEXT, ctx_pad, ALL(EINVAL)},
    {"pad of a CU list", TS_FAKE_RULE_MUST_BE_ZERO, CONTEXT, cfg_pad, ALL(EINVAL)},
    {"ext of a command", TS_FAKE_RULE_MUST_BE_ZERO, READY, exec_ext, ALL(EINVAL)},
    {"an unknown query", TS_FAKE_RULE_INFO_PARAM, OPEN, info_param, ALL(EOPNOTSUPP)},
    {"a small buffer for the answer", TS_FAKE_RULE_INFO_SIZE, OPEN, info_small, ALL(OK)},
    {"an unknown type", TS_FAKE_RULE_BO_TYPE, OPEN, bo_type, ALL(EINVAL)},
    {"no size", TS_FAKE_RULE_BO_SIZE, OPEN, bo_zero, ALL(ENOSPC)},
    {"a packet of no size", TS_FAKE_RULE_BO_SIZE, OPEN, packet_zero, {ENOSPC, ENOSPC, EINVAL, EINVAL}},
    {"a device buffer of no size", TS_FAKE_RULE_BO_SIZE, HEAP, dev_zero, ALL(EINVAL)},
    {"memory of one's own", TS_FAKE_RULE_BO_USERPTR, OPEN, bo_userptr, ALL(EINVAL)},
    {"half a heap", TS_FAKE_RULE_HEAP_SIZE, OPEN, heap_small, ALL(EINVAL)},
    {"a double heap", TS_FAKE_RULE_HEAP_SIZE, OPEN, heap_large, {ENOSPC, ENOSPC, EINVAL, EINVAL}},
    {"a heap of no size", TS_FAKE_RULE_HEAP_SIZE, OPEN, heap_none, {EINVAL, EINVAL, ENOSPC, ENOSPC}},
    {"a second heap", TS_FAKE_RULE_HEAP_ONCE, HEAP, heap_twice, {ENOSPC, ENOSPC, EBUSY, EBUSY}},
    {"a device buffer before the heap", TS_FAKE_RULE_HEAP_FIRST, OPEN, dev_first, {EAGAIN, EAGAIN, EINVAL, EINVAL}},
    {"a device buffer before the heap is mapped",
     TS_FAKE_RULE_HEAP_FIRST,
     OPEN,
     dev_unmapped_heap,
     {EAGAIN, EAGAIN, EINVAL, EINVAL}},
    {"a heap at an odd place", TS_FAKE_RULE_HEAP_ALIGN, OPEN, heap_unaligned, ALL(OK)},
    {"a heap anywhere", TS_FAKE_RULE_HEAP_ALIGN, OPEN, heap_anywhere, ALL(OK)},
    {"a large command buffer", TS_FAKE_RULE_CMD_SIZE, OPEN, cmd_large, ALL(EINVAL)},
    {"a tiny command buffer", TS_FAKE_RULE_CMD_SIZE, OPEN, cmd_small, ALL(EINVAL)},
    {"an unknown buffer", TS_FAKE_RULE_BO_HANDLE, OPEN, bad_handle, ALL(ENOENT)},
    {"a buffer closed twice", TS_FAKE_RULE_BO_HANDLE, OPEN, close_twice, ALL(EINVAL)},
    {"an argument that is no buffer", TS_FAKE_RULE_BO_HANDLE, READY, exec_arg_handle, ALL(ENOENT)},
    {"a wrong map offset", TS_FAKE_RULE_MMAP_OFFSET, BUFFERS, map_offset, ALL(EINVAL)},
    {"a map offset of nothing", TS_FAKE_RULE_MMAP_OFFSET, OPEN, map_nothing, {EOPNOTSUPP, EOPNOTSUPP, EINVAL, EINVAL}},
    {"another file's buffer", TS_FAKE_RULE_MMAP_OFFSET, BUFFERS, map_foreign, ALL(EACCES)},
    {"half a mapping", TS_FAKE_RULE_MMAP_LENGTH, OPEN, map_part, ALL(EINVAL)},
    {"a mapping of a device buffer", TS_FAKE_RULE_MMAP_DEV, BUFFERS, map_dev, ALL(EINVAL)},
    {"a second mapping", TS_FAKE_RULE_MMAP_ONCE, BUFFERS, map_twice, ALL(EEXIST)},
    {"half unmapped", TS_FAKE_RULE_MUNMAP, BUFFERS, unmap_part, ALL(EINVAL)},
    {"unmapped, but never mapped", TS_FAKE_RULE_MUNMAP, OPEN, unmap_unknown, ALL(EINVAL)},
    {"unmapped under way", TS_FAKE_RULE_BUSY, READY, unmap_busy, ALL(OK)},
    {"closed under way", TS_FAKE_RULE_BUSY, READY, close_busy, ALL(OK)},
    {"a fence gone under way", TS_FAKE_RULE_BUSY, READY, fence_busy, ALL(OK)},
    {"a sync from the device", TS_FAKE_RULE_SYNC_DIRECTION, BUFFERS, sync_from, ALL(EINVAL)},
    {"a sync in a third direction", TS_FAKE_RULE_SYNC_DIRECTION, BUFFERS, sync_direction, ALL(OK)},
    {"a sync past the end", TS_FAKE_RULE_SYNC_RANGE, BUFFERS, sync_range, ALL(OK)},
    {"a flush of something else", TS_FAKE_RULE_FLUSH_RANGE, OPEN, flush_unknown, ALL(OK)},
    {"a flush past the end", TS_FAKE_RULE_FLUSH_RANGE, BUFFERS, flush_past, ALL(OK)},
    {"a context before the heap", TS_FAKE_RULE_CTX_HEAP, OPEN, ctx_no_heap, ALL(ENOENT)},
    {"a context before the heap is mapped", TS_FAKE_RULE_CTX_HEAP, OPEN, ctx_unmapped_heap,
     {EAGAIN, EAGAIN, EINVAL, EINVAL}},
    {"a context with a heap at an odd place", TS_FAKE_RULE_CTX_HEAP, OPEN, ctx_misaligned_heap,
     {EINVAL, FINE, EINVAL, EINVAL}},
    {"a context without tiles", TS_FAKE_RULE_CTX_TILES, HEAP, ctx_no_tiles, ALL(EINVAL)},
    {"a column and a half", TS_FAKE_RULE_CTX_TILES, HEAP, ctx_odd_tiles, ALL(EINVAL)},
    {"five columns", TS_FAKE_RULE_CTX_TILES, HEAP, ctx_five_columns, ALL(EINVAL)},
    {"a wish for speed", TS_FAKE_RULE_CTX_QOS, HEAP, ctx_qos, ALL(EINVAL)},
    {"a user queue", TS_FAKE_RULE_CTX_UMQ, HEAP, ctx_umq, ALL(EINVAL)},
    {"an unknown context", TS_FAKE_RULE_CTX_HANDLE, OPEN, ctx_handle, ALL(EINVAL)},
    {"a command for an unknown context", TS_FAKE_RULE_CTX_HANDLE, READY, exec_ctx, ALL(EINVAL)},
    {"another configuration", TS_FAKE_RULE_CFG_PARAM, CONTEXT, cfg_type, ALL(EINVAL)},
    {"a long configuration", TS_FAKE_RULE_CFG_SIZE, CONTEXT, cfg_large, ALL(E2BIG)},
    {"a CU cut short", TS_FAKE_RULE_CFG_SIZE, CONTEXT, cfg_short, ALL(EINVAL)},
    {"a header cut short", TS_FAKE_RULE_CFG_SIZE, CONTEXT, cfg_shorter, ALL(EINVAL)},
    {"no CU", TS_FAKE_RULE_CFG_CUS, CONTEXT, cfg_none, ALL(EINVAL)},
    {"two CUs", TS_FAKE_RULE_CFG_CUS, CONTEXT, cfg_two, ALL(EINVAL)},
    {"a PDI in a shared buffer", TS_FAKE_RULE_CFG_BO, CONTEXT, cfg_shared_bo, ALL(EINVAL)},
    {"function 1", TS_FAKE_RULE_CFG_BO, CONTEXT, cfg_func, ALL(EINVAL)},
    {"configured twice", TS_FAKE_RULE_CFG_ONCE, READY, cfg_twice, ALL(EINVAL)},
    {"no PDI", TS_FAKE_RULE_PDI, CONTEXT, cfg_not_pdi, {FAILS, FAILS, FAILS, EINVAL}},
    {"a PDI that the array refuses", TS_FAKE_RULE_PDI, CONTEXT, cfg_array_refuses, {FAILS, FAILS, FAILS, EINVAL}},
    {"a command type", TS_FAKE_RULE_EXEC_TYPE, READY, exec_type, ALL(EINVAL)},
    {"two commands", TS_FAKE_RULE_EXEC_TYPE, READY, exec_two, ALL(EINVAL)},
    {"a shared buffer as command", TS_FAKE_RULE_EXEC_CMD, READY, exec_shared, ALL(EINVAL)},
    {"a command that is not mapped", TS_FAKE_RULE_EXEC_CMD, READY, exec_unmapped, ALL(EINVAL)},
    {"4096 arguments", TS_FAKE_RULE_EXEC_ARGS, READY, exec_many, ALL(EINVAL)},
    {"a command as argument", TS_FAKE_RULE_EXEC_ARGS, READY, exec_cmd_arg, ALL(EOPNOTSUPP)},
    {"an argument twice", TS_FAKE_RULE_EXEC_ARGS, READY, exec_arg_twice, ALL(EALREADY)},
    {"an argument that is not mapped", TS_FAKE_RULE_EXEC_ARGS, READY, exec_arg_unmapped, ALL(EINVAL)},
    {"a command before the configuration", TS_FAKE_RULE_EXEC_CONFIGURED, CONTEXT, exec_unconfigured,
     {FAILS, FAILS, EINVAL, EINVAL}},
    {"the same command twice", TS_FAKE_RULE_EXEC_PENDING, READY, exec_twice, ALL(EBUSY)},
    {"a packet that was used", TS_FAKE_RULE_CMD_STATE, READY, cmd_state, ALL(EINVAL)},
    {"a reserved bit", TS_FAKE_RULE_CMD_BITS, READY, cmd_bits, ALL(EINVAL)},
    {"START_NPU", TS_FAKE_RULE_CMD_OPCODE, READY, cmd_start_npu, ALL(EINVAL)},
    {"another operation of START_CU", TS_FAKE_RULE_CMD_OPCODE, READY, cmd_op, ALL(EINVAL)},
    {"a short packet", TS_FAKE_RULE_CMD_COUNT, READY, cmd_short, ALL(EINVAL)},
    {"half an argument", TS_FAKE_RULE_CMD_COUNT, READY, cmd_odd, ALL(EINVAL)},
    {"six arguments", TS_FAKE_RULE_CMD_COUNT, READY, cmd_six_args, ALL(EINVAL)},
    {"another CU", TS_FAKE_RULE_CMD_MASK, READY, cmd_mask, ALL(EINVAL)},
    {"a stream in a shared buffer", TS_FAKE_RULE_CMD_STREAM, READY, cmd_stream_shared, ALL(EINVAL)},
    {"a stream past its buffer", TS_FAKE_RULE_CMD_STREAM, READY, cmd_stream_long, ALL(EINVAL)},
    {"an empty stream", TS_FAKE_RULE_CMD_STREAM, READY, cmd_stream_empty, ALL(EINVAL)},
    {"an address of nothing", TS_FAKE_RULE_CMD_ADDRESS, READY, cmd_addr_unknown, ALL(EINVAL)},
    {"an address asked before mapping", TS_FAKE_RULE_CMD_ADDRESS, READY, cmd_addr_before_mmap, ALL(EINVAL)},
    {"the address of a packet", TS_FAKE_RULE_CMD_ADDRESS, READY, cmd_addr_packet, ALL(EINVAL)},
    {"an argument not in the list", TS_FAKE_RULE_CMD_PINNED, READY, cmd_arg_unlisted, ALL(EINVAL)},
    {"a stream not in the list", TS_FAKE_RULE_CMD_PINNED, READY, cmd_stream_unlisted, ALL(EINVAL)},
    {"a stream that is none", TS_FAKE_RULE_STREAM, READY, stream_garbage, ALL(FAILS)},
    {"a stream not flushed", TS_FAKE_RULE_STALE_READ, READY, stream_unflushed, ALL(FAILS)},
    {"an input not flushed", TS_FAKE_RULE_STALE_READ, READY, input_unflushed, ALL(FAILS)},
    {"a PDI not flushed", TS_FAKE_RULE_STALE_READ, CONTEXT, cfg_unflushed, {FAILS, FAILS, FAILS, EINVAL}},
    {"an output written by the CPU before", TS_FAKE_RULE_DIRTY_WRITE, READY, output_dirty, ALL(FAILS)},
    {"an output written by the CPU after", TS_FAKE_RULE_LOST_WRITE, READY, output_overwritten, ALL(OK)},
    {"a transfer past its buffer", TS_FAKE_RULE_BUS_ADDRESS, READY, bus_past_buffer, ALL(FAILS)},
    {"a wait for no fence", TS_FAKE_RULE_WAIT_HANDLE, READY, wait_handle, ALL(ENOENT)},
    {"a wait for two fences", TS_FAKE_RULE_WAIT_HANDLE, READY, wait_two, ALL(EINVAL)},
    {"a wait for nothing", TS_FAKE_RULE_WAIT_HANDLE, READY, wait_none, ALL(OK)},
    {"a wait for a command never given", TS_FAKE_RULE_WAIT_POINT, READY, wait_point, ALL(ETIME)},
    {"the same, not for its submission", TS_FAKE_RULE_WAIT_POINT, READY, wait_point_now, ALL(EINVAL)},
    {"unknown wait flags", TS_FAKE_RULE_WAIT_FLAGS, READY, wait_flags, ALL(EINVAL)},
    {"the heap unmapped under a context", TS_FAKE_RULE_ORDER_OF_END, CONTEXT, end_heap_unmapped_first, ALL(OK)},
    {"the heap closed while mapped", TS_FAKE_RULE_ORDER_OF_END, HEAP, end_heap_first, ALL(OK)},
    {"the PDI closed under its context", TS_FAKE_RULE_ORDER_OF_END, READY, end_pdi_first, ALL(OK)},
    {"a buffer closed while mapped", TS_FAKE_RULE_ORDER_OF_END, BUFFERS, end_mapped, ALL(OK)},
    {"things left at the end", TS_FAKE_RULE_LEFT_OVER, READY, end_left_over, ALL(OK)},
};

static void test_rules(void **state) {
    (void)state;
    bool broken[TS_FAKE_RULES_COUNT] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
            env *e = env_new((ts_fake_profile)profile, cases[i].stage);
            const int error = cases[i].error[profile], want = error > 0 ? -error : 0;
            const ts_fake_rule rule = error == FINE ? TS_FAKE_OK : cases[i].rule;
            e->result = 0;
            cases[i].fn(e);
            const ts_fake_verdict *v = ts_fake_first_violation(e->fake);
            if (v->rule != rule)
                fail_msg("%s, profile %d: rule %s, not %s (%s)", cases[i].name, profile, ts_fake_rule_name(v->rule),
                         ts_fake_rule_name(rule), v->text);
            if (e->result != want)
                fail_msg("%s, profile %d: result %d, not %d", cases[i].name, profile, e->result, want);
            if (error == FAILS) assert_int_equal(ts_cmd_state(e->packet_ptr[0]), TS_CMD_ERROR);
            broken[v->rule] = true;
            env_free(e);
        }
    for (int r = 1; r < TS_FAKE_RULES_COUNT; r++)
        if (!broken[r])
            fail_msg("no call breaks rule %s: %s", ts_fake_rule_name((ts_fake_rule)r),
                     ts_fake_rule_text((ts_fake_rule)r));
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void test_profiles_differ(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
        env *e = env_new((ts_fake_profile)profile, BUFFERS);
        struct ts_uapi_get_bo_info a = info(e, e->in);
        assert_int_equal(a.vaddr, (uint64_t)(uintptr_t)e->in_ptr);
        assert_int_equal(a.xdna_addr,
                         profile == TS_FAKE_6_14 || profile == TS_FAKE_6_18 ? TS_UAPI_INVALID_ADDR : e->in_addr);
        assert_int_equal(a.xdna_addr == a.vaddr, profile == TS_FAKE_7_3);
        a = info(e, e->stream);
        assert_int_equal(a.map_offset, TS_UAPI_INVALID_ADDR);
        assert_int_equal(a.xdna_addr % TS_DEV_BO_ALIGN, 0);
        /* a partial sync is a whole one in the first kernels: the other half goes along, or does not */
        e->in_ptr[0] = e->in_ptr[4096] = 1;
        call(e, TS_IOCTL_SYNC_BO, &(struct ts_uapi_sync_bo){.handle = e->in, .size = 64});
        assert_int_equal(e->result, 0);
        make_context(e);
        assert_int_equal(configure(e), 0);
        assert_int_equal(run(e), 0);
        assert_int_equal(ts_fake_first_violation(e->fake)->rule,
                         profile == TS_FAKE_6_14 ? TS_FAKE_OK : TS_FAKE_RULE_STALE_READ);
        env_free(e);
    }
}

static void test_queries(void **state) {
    (void)state;
    env *e = env_new(TS_FAKE_7_3, READY);
    char name[32] = "", little[4];
    struct ts_uapi_version v = {.name_len = sizeof name, .name = (uint64_t)(uintptr_t)name};
    assert_int_equal(call(e, TS_IOCTL_VERSION, &v), 0);
    assert_int_equal(v.name_len, strlen(TS_UAPI_DRIVER_NAME));
    assert_string_equal(name, TS_UAPI_DRIVER_NAME);
    v = (struct ts_uapi_version){.name_len = sizeof little, .name = (uint64_t)(uintptr_t)little};
    call(e, TS_IOCTL_VERSION, &v);
    assert_memory_equal(little, "amdx", 4);
    struct ts_uapi_aie_metadata m;
    struct ts_uapi_get_info g = {
        .param = TS_UAPI_INFO_AIE_METADATA, .buffer_size = 100, .buffer = (uint64_t)(uintptr_t)&m};
    assert_int_equal(call(e, TS_IOCTL_GET_INFO, &g), 0);
    assert_int_equal(g.buffer_size, 100); /* not changed */
    assert_true(m.cols == 5 && m.rows == 6 && m.core.row_start == 2 && m.mem.lock_count == 64);
    g = (struct ts_uapi_get_info){
        .param = TS_UAPI_INFO_SENSORS, .buffer_size = 100, .buffer = (uint64_t)(uintptr_t)&m};
    assert_int_equal(call(e, TS_IOCTL_GET_INFO, &g), -ENODEV);
    assert_int_equal(ts_fake_violations(e->fake), 0); /* asking is allowed */
    env_free(e);
}

/* The heap gives out aligned pieces, takes them back, and is full at 64 MiB. */
static void test_heap(void **state) {
    (void)state;
    env *e = env_new(TS_FAKE_6_18, HEAP);
    uint32_t a = make(e, TS_UAPI_BO_DEV, 100), b = make(e, TS_UAPI_BO_DEV, 40000),
             c = make(e, TS_UAPI_BO_DEV, 100);
    assert_int_equal(info(e, a).xdna_addr, TS_HEAP_BASE);
    assert_int_equal(info(e, b).xdna_addr, TS_HEAP_BASE + 32768);
    assert_int_equal(info(e, c).xdna_addr, TS_HEAP_BASE + 3 * 32768);
    assert_int_equal(info(e, c).vaddr, (uint64_t)(uintptr_t)e->heap_ptr + 3 * 32768);
    assert_int_equal(close_bo(e, b), 0);
    b = make(e, TS_UAPI_BO_DEV, 65536);
    assert_int_equal(info(e, b).xdna_addr, TS_HEAP_BASE + 32768);
    assert_int_equal(make(e, TS_UAPI_BO_DEV, TS_HEAP_BYTES), 0);
    assert_int_equal(e->result, -ENOSPC);
    int n = 0;
    while (make(e, TS_UAPI_BO_DEV, 1 << 20)) n++;
    assert_int_equal(n, 63);
    assert_int_equal(ts_fake_violations(e->fake), 0); /* running out is no mistake */
    env_free(e);
}

static void test_columns(void **state) {
    (void)state;
    ts_err err;
    ts_fake_options o = {.users = {{.pid = 4711, .start_col = 2, .n_cols = 2}}, .n_users = 1};
    env *e = env_new(TS_FAKE_7_3, HEAP);
    ts_fake *fake = e->fake;
    env second = *e;
    assert_ok(ts_fake_new(&second.fake, &o, &err));
    second.io = ts_fake_io(second.fake);
    second.fd = second.io->open(second.io->ud, "x");
    make_heap(&second);
    struct ts_uapi_qos_info qos = {0};
    struct ts_uapi_create_hwctx a = {.qos_p = (uint64_t)(uintptr_t)&qos, .num_tiles = 8};
    a.num_tiles = 12;
    assert_int_equal(call(&second, TS_IOCTL_CREATE_HWCTX, &a), -ENODEV); /* held in another width */
    a.num_tiles = 4;
    assert_int_equal(call(&second, TS_IOCTL_CREATE_HWCTX, &a), 0);
    assert_int_equal(call(&second, TS_IOCTL_CREATE_HWCTX, &a), 0);
    a.num_tiles = 16;
    assert_int_equal(call(&second, TS_IOCTL_CREATE_HWCTX, &a), -ENODEV); /* all, but in other widths */
    struct ts_uapi_hwctx_entry list[8];
    struct ts_uapi_get_info g = {
        .param = TS_UAPI_INFO_HW_CONTEXTS, .buffer_size = sizeof list, .buffer = (uint64_t)(uintptr_t)list};
    assert_int_equal(call(&second, TS_IOCTL_GET_INFO, &g), 0);
    /* what is left; the first kernels: what was written */
    assert_int_equal(g.buffer_size, sizeof list - 3 * sizeof list[0]);
    assert_true(list[0].start_col == 1 && list[1].start_col == 4 && list[2].pid == 4711);
    a.num_tiles = 8; /* columns 1 and 4 are taken: the two of process 4711 are shared */
    assert_int_equal(call(&second, TS_IOCTL_CREATE_HWCTX, &a), 0);
    g.buffer_size = sizeof list;
    assert_int_equal(call(&second, TS_IOCTL_GET_INFO, &g), 0);
    assert_int_equal(list[2].start_col, 2);
    assert_int_equal(list[3].start_col, 2);
    for (int i = 4; i < 6; i++) { /* six contexts are what there is */
        a.num_tiles = 4;
        assert_int_equal(call(&second, TS_IOCTL_CREATE_HWCTX, &a), 0);
    }
    assert_int_equal(call(&second, TS_IOCTL_CREATE_HWCTX, &a), -EINVAL); /* the firmware's word, whatever its reason */
    ts_fake_free(second.fake);
    o.n_users = 7;
    assert_status(ts_fake_new(&fake, &o, &err), TS_E_INVAL);
    env_free(e);
}

/* What is mapped keeps a closed file alive, and since 7.3 the file keeps its contexts. */
static void test_file_lives_on(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
        const bool keeps = profile == TS_FAKE_7_3 || profile == TS_FAKE_7_3_IOVA;
        env *e = env_new((ts_fake_profile)profile, READY), other = *e;
        other.fd = e->io->open(e->io->ud, "another");
        make_heap(&other);
        struct ts_uapi_qos_info qos = {0};
        struct ts_uapi_create_hwctx four = {.qos_p = (uint64_t)(uintptr_t)&qos, .num_tiles = 16};
        assert_int_equal(call(&other, TS_IOCTL_CREATE_HWCTX, &four), -ENODEV); /* columns are held in another width */
        assert_int_equal(e->io->close(e->io->ud, e->fd), 0);
        assert_int_equal(ts_fake_last(e->fake)->rule, TS_FAKE_RULE_LEFT_OVER);
        assert_int_equal(call(&other, TS_IOCTL_CREATE_HWCTX, &four), keeps ? -ENODEV : 0);
        if (!keeps) call(&other, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = four.handle});
        e->in_ptr[0] = 1; /* and the memory is there */
        unmap(e, e->in_ptr, DATA), unmap(e, e->out_ptr, DATA), unmap(e, e->packet_ptr, 4096);
        assert_int_equal(call(&other, TS_IOCTL_CREATE_HWCTX, &four), keeps ? -ENODEV : 0);
        unmap(e, e->heap_ptr, TS_HEAP_BYTES);
        if (keeps) assert_int_equal(call(&other, TS_IOCTL_CREATE_HWCTX, &four), 0);
        assert_int_equal(call(e, TS_IOCTL_GET_BO_INFO, &(struct ts_uapi_get_bo_info){.handle = e->in}), -EBADF);
        env_free(e);
    }
}

/* A closed handle is a handle less: what needs the buffer keeps it. */
static void test_closed(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
        env *e = env_new((ts_fake_profile)profile, READY);
        for (int i = 0; i < DATA; i++) e->in_ptr[i] = (char)i;
        flush(e, e->in_ptr, DATA);
        assert_int_equal(exec(e), 0);
        uint32_t all[] = {e->in, e->out, e->packet, e->stream, e->pdi, e->heap};
        for (int i = 0; i < 6; i++) assert_int_equal(close_bo(e, all[i]), 0);
        assert_int_equal(wait_for(e, e->seq, 0), 0);
        assert_int_equal(ts_cmd_state(e->packet_ptr[0]), TS_CMD_COMPLETED);
        flush(e, e->out_ptr, DATA);
        assert_memory_equal(e->out_ptr, e->in_ptr, DATA);
        assert_true(make(e, TS_UAPI_BO_DEV, 100) > e->heap); /* no handle comes twice */
        assert_true(make(e, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES) == 0); /* it is there until the file is closed */
        env_free(e);
    }
}

static uint32_t h_clock(env *e) {
    struct ts_uapi_clocks c = {0};
    call(e, TS_IOCTL_GET_INFO,
         &(struct ts_uapi_get_info){.param = TS_UAPI_INFO_CLOCKS,
                                    .buffer_size = sizeof c,
                                    .buffer = (uint64_t)(uintptr_t)&c});
    return c.h.freq_mhz;
}

/* 7.3 lowers the clock with its last context. */
static void test_clocks(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++) {
        env *e = env_new((ts_fake_profile)profile, HEAP);
        assert_int_equal(h_clock(e), 1600);
        make_context(e);
        assert_int_equal(h_clock(e), 1600);
        assert_int_equal(call(e, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = e->ctx}), 0);
        assert_int_equal(h_clock(e), profile == TS_FAKE_7_3 || profile == TS_FAKE_7_3_IOVA ? 800 : 1600);
        make_context(e);
        assert_int_equal(h_clock(e), 1600);
        env_free(e);
    }
}

/* Injected endings: what the packet says, what the context does afterwards. */
static void test_endings(void **state) {
    (void)state;
    static const struct {
        ts_fake_ending ending;
        uint32_t state;
        int wait, again;
    } k[] = {{TS_FAKE_END_ERROR, TS_CMD_ERROR, 0, 0},
             {TS_FAKE_END_ABORT, TS_CMD_ABORT, 0, -EIO},
             {TS_FAKE_END_TIMEOUT, TS_CMD_TIMEOUT, 0, -EIO},
             {TS_FAKE_END_NORESPONSE, TS_CMD_NORESPONSE, 0, -EIO},
             {TS_FAKE_END_LOST, TS_CMD_NEW, -ETIME, -EBUSY}};
    for (size_t i = 0; i < 10; i++) {
        const bool is_7_3 = i >= 5;
        env *e = env_new(is_7_3 ? TS_FAKE_7_3 : TS_FAKE_6_18, READY);
        const uint32_t payload = e->packet_ptr[3];
        ts_fake_end_command(e->fake, 1, k[i % 5].ending);
        assert_int_equal(exec(e), 0);
        uint64_t begin = e->io->now_ns(e->io->ud);
        assert_int_equal(wait_for(e, e->seq, 3000000), k[i % 5].wait);
        if (k[i % 5].wait) assert_true(e->io->now_ns(e->io->ud) - begin >= 3000000);
        assert_int_equal(ts_cmd_state(e->packet_ptr[0]), k[i % 5].state);
        /* newer drivers spoil it */
        assert_int_equal(e->packet_ptr[3], is_7_3 && !k[i % 5].wait ? UINT32_MAX : payload);
        assert_int_equal(e->array.runs, 0);
        make_packet(e);
        if (is_7_3 && k[i % 5].ending == TS_FAKE_END_TIMEOUT) { /* the driver has made the context anew */
            assert_int_equal(run(e), 0);
            assert_int_equal(ts_cmd_state(e->packet_ptr[0]), TS_CMD_COMPLETED);
        } else {
            assert_int_equal(exec(e), k[i % 5].again);
        }
        env_free(e);
    }
}

/* A command runs when it is waited for, or at once if asked: what is written in between is seen, or not. */
static void test_lazy(void **state) {
    (void)state;
    ts_err err;
    for (int eager = 0; eager < 2; eager++) {
        env *e = env_new(TS_FAKE_7_3, OPEN);
        ts_fake_options o = {.profile = TS_FAKE_7_3, .array = &e->array.table, .eager = eager};
        ts_fake_free(e->fake);
        assert_ok(ts_fake_new(&e->fake, &o, &err));
        e->io = ts_fake_io(e->fake);
        e->fd = e->io->open(e->io->ud, "x");
        make_heap(e);
        make_buffers(e);
        make_context(e);
        configure(e);
        exec(e);
        assert_int_equal(e->array.runs, eager);
        e->in_ptr[0] = 9; /* too early, as the device may still read */
        flush(e, e->in_ptr, 64);
        wait_for(e, e->seq, 0);
        flush(e, e->out_ptr, DATA);
        assert_int_equal(e->out_ptr[0], eager ? 0 : 9);
        env_free(e);
    }
}

static void test_coherent(void **state) {
    (void)state;
    ts_err err;
    env *e = env_new(TS_FAKE_7_3, OPEN);
    ts_fake_options o = {.profile = TS_FAKE_7_3, .array = &e->array.table, .coherent = true};
    ts_fake_free(e->fake);
    assert_ok(ts_fake_new(&e->fake, &o, &err));
    e->io = ts_fake_io(e->fake);
    e->fd = e->io->open(e->io->ud, "x");
    make_heap(e);
    make_buffers(e);
    make_context(e);
    configure(e);
    e->in_ptr[5] = 42;
    assert_int_equal(run(e), 0);
    assert_int_equal(e->out_ptr[5], 42);
    assert_int_equal(ts_fake_violations(e->fake), 0);
    env_free(e);
}

static void count_verdict(void *ud, const ts_fake_verdict *v) {
    int *n = ud;
    n[0]++;
    n[1] += v->result < 0;
}

static void test_faults(void **state) {
    (void)state;
    ts_err err;
    int n[2] = {0};
    ts_fake_options o = {.on_verdict = count_verdict, .on_verdict_ud = n};
    env *e = calloc(1, sizeof *e);
    assert_non_null(e);
    assert_ok(ts_fake_new(&e->fake, &o, &err));
    e->io = ts_fake_io(e->fake);
    ts_fake_fail(e->fake, TS_FAKE_OPEN, 1, EACCES);
    assert_int_equal(e->io->open(e->io->ud, "x"), -EACCES);
    e->fd = e->io->open(e->io->ud, "x");
    ts_fake_fail(e->fake, TS_IOCTL_CREATE_BO, 2, ENOMEM);
    assert_true(make(e, TS_UAPI_BO_SHMEM, 1) != 0);
    assert_true(make(e, TS_UAPI_BO_SHMEM, 1) == 0);
    assert_int_equal(e->result, -ENOMEM);
    assert_true(make(e, TS_UAPI_BO_SHMEM, 1) != 0);
    assert_int_equal(n[0], 5);
    assert_int_equal(n[1], 2);
    ts_fake_unplug(e->fake);
    assert_true(make(e, TS_UAPI_BO_SHMEM, 1) == 0);
    assert_int_equal(e->result, -ENODEV);
    assert_int_equal(ts_fake_violations(e->fake), 0);
    assert_string_equal(ts_fake_last(e->fake)->call, "CREATE_BO");
    env_free(e);
}

static bool open_and_map(void *ud) {
    (void)ud;
    ts_fake *fake;
    ts_fake_options o = {0};
    bool ok = false;
    if (ts_fake_new(&fake, &o, NULL) != TS_OK) return false;
    const ts_npu_io *io = ts_fake_io(fake);
    int fd = io->open(io->ud, "x");
    struct ts_uapi_create_bo a = {.size = 4096, .type = TS_UAPI_BO_SHMEM};
    void *p;
    if (io->ioctl(io->ud, fd, TS_IOCTL_CREATE_BO, &a) == 0) {
        struct ts_uapi_get_bo_info b = {.handle = a.handle};
        ok = io->ioctl(io->ud, fd, TS_IOCTL_GET_BO_INFO, &b) == 0 &&
             io->mmap(io->ud, fd, NULL, 4096, b.map_offset, &p) == 0;
    }
    ts_fake_free(fake);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(open_and_map, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_rules),         cmocka_unit_test(test_profiles_differ),
        cmocka_unit_test(test_queries), cmocka_unit_test(test_heap),          cmocka_unit_test(test_columns),
        cmocka_unit_test(test_endings), cmocka_unit_test(test_file_lives_on), cmocka_unit_test(test_closed),
        cmocka_unit_test(test_clocks),  cmocka_unit_test(test_lazy),          cmocka_unit_test(test_coherent),
        cmocka_unit_test(test_faults),  cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("fake", tests, NULL, NULL);
}
