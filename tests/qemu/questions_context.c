/* questions_context.c - contexts, their configuration. */
#include "questions.h"

#include <string.h>

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

static void context_no_heap(client *c) {
    result("no heap", context(c, 4));
    heap(c, false);
    result("heap not mapped", context(c, 4));
}

static void context_heap_unmapped(client *c) {
    heap(c, true);
    unmap(c, c->heap_at);
    answer("the heap's address is forgotten", "%s", forgotten(c, c->heap) ? "yes" : "no");
    result("heap unmapped again", context(c, 4));
}

static void context_heap_closed(client *c) {
    heap(c, true);
    result("the heap is closed", close_handle(c, c->heap));
    result("heap closed", context(c, 4));
}

static void context_misaligned(client *c) {
    void *p;
    heap(c, false);
    uint8_t *at = place(2 * (size_t)TS_HEAP_BYTES);
    result("heap mapped at 1 MiB past", map_at(c, c->heap, TS_HEAP_BYTES, at + MIB, &p));
    result("heap misaligned", context(c, 4));
}

static void context_tiles(client *c) {
    static const uint32_t k[] = {0, 1, 3, 4, 5, 7, 8, 12, 16, 17, 20, 23, 24, 1000};
    struct ts_uapi_hwctx_entry e[8];
    heap(c, true);
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        int r = context(c, k[i]);
        if (r == 0 && list(c, e, 8) == 1)
            answer(NAMED("%llu tiles", k[i]), "ok, columns %u to %u", e[0].start_col,
                   e[0].start_col + e[0].num_col - 1);
        else result(NAMED("%llu tiles", k[i]), r);
        if (r == 0) destroy(c, c->ctx);
    }
}

static void context_fields(client *c) {
    struct ts_uapi_qos_info qos = {0};
    struct ts_uapi_create_hwctx a = {.num_tiles = 4};
    context_tiles(c);
    result("umq_bo 1", context_with(c, (struct ts_uapi_create_hwctx){.umq_bo = 1}, 4));
    result("log_buf_bo 1", context_with(c, (struct ts_uapi_create_hwctx){.log_buf_bo = 1}, 4));
    result("max_opc, mem_size", context_with(c, (struct ts_uapi_create_hwctx){.max_opc = 77, .mem_size = 77}, 4));
    result("ext 1", context_with(c, (struct ts_uapi_create_hwctx){.ext = 1}, 4));
    result("ext_flags 1", context_with(c, (struct ts_uapi_create_hwctx){.ext_flags = 1}, 4));
    result("no qos", call(c, TS_IOCTL_CREATE_HWCTX, &a));
    a = (struct ts_uapi_create_hwctx){.qos_p = (uint64_t)(uintptr_t)&qos, .num_tiles = 4, .umq_doorbell = 77};
    int r = call(c, TS_IOCTL_CREATE_HWCTX, &a);
    answer("doorbell", "%s, 0x%x", name_of(r), a.umq_doorbell);
}

static void context_numbers(client *c) {
    client d;
    heap(c, true);
    context(c, 4);
    answer("first", "number %u, fence %u", c->ctx, c->sync);
    context(c, 4);
    answer("second", "number %u, fence %u", c->ctx, c->sync);
    result("destroy the second", destroy(c, 2));
    result("twice", destroy(c, 2));
    result("destroy 0", destroy(c, 0));
    result("destroy 99", destroy(c, 99));
    result("destroy, pad 1", call(c, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = 1, .pad = 1}));
    context(c, 4);
    answer("next", "number %u, %s fence", c->ctx, c->sync == 2 ? "the old" : "a new");
    if (!client_open(&d)) return;
    heap(&d, true);
    result("another file destroys 1", destroy(&d, 1));
    context(&d, 4);
    answer("first of another file", "number %u, fence %u", d.ctx, d.sync);
    client_close(&d);
}

static void context_many(client *c) {
    heap(c, true);
    for (unsigned i = 1; i <= 6; i++) {
        struct ts_uapi_hwctx_entry e[8] = {0};
        int r = context(c, 4), n = list(c, e, 8);
        answer(NAMED("%llu of one column", i), "%s, column %u", name_of(r), n > 0 ? e[n - 1].start_col : 0);
    }
    result("four columns beside six of one", context(c, 16));
    client d;
    under("firmware");
    result("a seventh context", context(c, 4));
    if (!client_open(&d)) return;
    heap(&d, true);
    result("a seventh context, another file", context(&d, 4));
    destroy(c, 3);
    result("after the end of one", context(&d, 4));
    client_close(&d);
}

/* Contexts of so many columns one after another, each with the first column it got; none is left. */
static void shape(client *c, const char *name, const char *cols) {
    uint32_t made[8];
    char text[160] = "";
    int n_made = 0;
    for (size_t i = 0; cols[i]; i++) {
        struct ts_uapi_hwctx_entry e[8] = {0};
        int r = context(c, 4 * (uint32_t)(cols[i] - '0')), n = list(c, e, 8);
        size_t used = strlen(text);
        if (r == 0 && n > 0) snprintf(text + used, sizeof text - used, "%s%u", i ? ", " : "", e[n - 1].start_col);
        else snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", name_of(r));
        if (r == 0) made[n_made++] = c->ctx;
    }
    answer(name, "%s", text);
    while (n_made) destroy(c, made[--n_made]);
}

static void context_shapes(client *c) {
    static const char *const k[] = {"444",   "41", "14", "2222", "3113", "1331", "1221", "11122",
                                    "11112", "23", "32", "5",    "51",   "15",   "55"};
    heap(c, true);
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "first columns of %s", k[i]);
        shape(c, name, k[i]);
    }
}

static void context_other_file(client *c) {
    client d;
    if (!client_open(&d)) return;
    heap(c, true), heap(&d, true);
    context(c, 16);
    result("four beside another file's four", context(&d, 16));
    client_close(&d);
    if (!client_open(&d)) return;
    heap(&d, true);
    result("one beside another file's four", context(&d, 4));
    destroy(c, c->ctx);
    result("one after the four", context(&d, 4));
    client_close(&d);
}

/* ---- configuration ----------------------------------------------------------------------------------------------- */

typedef struct cu_list {
    uint16_t n, pad[3];
    struct ts_uapi_cu_config cu[40];
} cu_list;

static int config_with(client *c, uint32_t ctx, uint32_t param, const cu_list *v, uint32_t size) {
    struct ts_uapi_config_hwctx a = {.handle = ctx, .param_type = param, .param_val = (uint64_t)(uintptr_t)v,
                                     .param_val_size = size};
    return call(c, TS_IOCTL_CONFIG_HWCTX, &a);
}

static void config_fields(client *c) {
    if (!buffers_ready(c)) return;
    context(c, 4);
    cu_list v = {.n = 1, .cu = {{.cu_bo = c->pdi}}};
    result("context 99", config_with(c, 99, 0, &v, 16));
    result("parameter 5", config_with(c, c->ctx, 5, &v, 16));
    result("no value", config_with(c, c->ctx, 0, NULL, 16));
    result("size 0", config_with(c, c->ctx, 0, &v, 0));
    result("size 8", config_with(c, c->ctx, 0, &v, 8));
    result("size 12", config_with(c, c->ctx, 0, &v, 12));
    static char large[8192];
    memcpy(large, &v, sizeof v);
    result("size 4097", config_with(c, c->ctx, 0, (const cu_list *)(const void *)large, 4097));
    struct ts_uapi_config_hwctx a = {.handle = c->ctx, .param_val = (uint64_t)(uintptr_t)&v, .param_val_size = 16,
                                     .pad = 1};
    result("pad 1", call(c, TS_IOCTL_CONFIG_HWCTX, &a));
    v.n = 0;
    result("0 CUs", config_with(c, c->ctx, 0, &v, 16));
    v.n = 1, v.pad[1] = 1;
    result("pad of the list 1", config_with(c, c->ctx, 0, &v, 16));
    v.pad[1] = 0, v.cu[0].pad[0] = 1;
    result("pad of a CU 1", config_with(c, c->ctx, 0, &v, 16));
    v.cu[0] = (struct ts_uapi_cu_config){.cu_bo = c->data};
    result("a shared buffer", config_with(c, c->ctx, 0, &v, 16));
    v.cu[0].cu_bo = c->heap;
    result("the heap", config_with(c, c->ctx, 0, &v, 16));
    v.cu[0].cu_bo = 999;
    result("handle 999", config_with(c, c->ctx, 0, &v, 16));
    v = (cu_list){.n = 33};
    for (int i = 0; i < 33; i++) v.cu[i].cu_bo = c->pdi;
    result("33 CUs", config_with(c, c->ctx, 0, &v, 8 + 33 * 8));
    v = (cu_list){.n = 1, .cu = {{.cu_bo = c->pdi}}};
    result("then the right one", config_with(c, c->ctx, 0, &v, 16));
    result("twice", config_with(c, c->ctx, 0, &v, 16));
    run(c, "a command");
}

static void config_again(client *c) {
    cu_list v = {.n = 1};
    if (!buffers_ready(c)) return;
    v.cu[0].cu_bo = c->pdi;
    context(c, 4);
    result("size 24, one CU", config_with(c, c->ctx, 0, &v, 24));
    context(c, 4);
    v.cu[0].cu_func = 1;
    result("function 1", config_with(c, c->ctx, 0, &v, 16));
    context(c, 4);
    uint64_t seq = 0;
    int r = exec(c, &seq);
    if (r) result("a command before it", r);
    else answer("a command before it", "taken, wait %s", name_of(wait_for(c, c->sync, seq, 8000, TO_ALL)));
    if (!renew(c)) return;
    write_packet(c);
    result("the PDI is closed under its context", close_handle(c, c->pdi));
    run(c, "a command after it");
}

static void config_bad(client *c) {
    if (!buffers_ready(c)) return;
    uint8_t *at = c->heap_at + (c->pdi_addr - TS_HEAP_BASE);
    memset(at, 0x55, 512);
    flush(at, 512);
    context(c, 4);
    result("a PDI of rubbish", configure(c, c->pdi));
    run(c, "a command after a PDI of rubbish");
}

const question questions_context[] = {
    {"context", context_no_heap},
    {"context", context_heap_unmapped},
    {"context", context_heap_closed},
    {"firmware", context_misaligned},
    {"context", context_fields},
    {"context", context_numbers},
    {"context", context_many},
    {"context", context_shapes},
    {"context", context_other_file},
    {"config", config_fields},
    {"config", config_again},
    {"firmware", config_bad},
    {NULL, NULL},
};
