/* questions_memory.c - buffers, addresses and mappings, sync. */
#include "questions.h"

/* ---- buffers ----------------------------------------------------------------------------------------------------- */

static void buffer_types(client *c) {
    result("type 0", make(c, 0, PAGE, NULL));
    result("type 5", make(c, 5, PAGE, NULL));
    result("shared, size 0", make(c, TS_UAPI_BO_SHMEM, 0, NULL));
    result("shared, size 1", make(c, TS_UAPI_BO_SHMEM, 1, NULL));
    result("shared, 8 EiB", make(c, TS_UAPI_BO_SHMEM, UINT64_C(1) << 63, NULL));
    result("packet, size 0", make(c, TS_UAPI_BO_CMD, 0, NULL));
    result("packet, size 3", make(c, TS_UAPI_BO_CMD, 3, NULL));
    result("packet, size 4", make(c, TS_UAPI_BO_CMD, 4, NULL));
    result("packet, 32 KiB", make(c, TS_UAPI_BO_CMD, 32768, NULL));
    result("packet, 32 KiB and 1", make(c, TS_UAPI_BO_CMD, 32769, NULL));
    result("device, no heap", make(c, TS_UAPI_BO_DEV, PAGE, NULL));
    struct ts_uapi_create_bo a = {.flags = 1, .type = TS_UAPI_BO_SHMEM, .size = PAGE};
    result("flags 1", call(c, TS_IOCTL_CREATE_BO, &a));
    static uint8_t page[2 * PAGE] __attribute__((aligned(4096)));
    a = (struct ts_uapi_create_bo){.vaddr = (uint64_t)(uintptr_t)page, .type = TS_UAPI_BO_SHMEM, .size = PAGE};
    result("memory of one's own", call(c, TS_IOCTL_CREATE_BO, &a));
}

static void buffer_handles(client *c) {
    uint32_t a, b, d;
    make(c, TS_UAPI_BO_SHMEM, PAGE, &a);
    make(c, TS_UAPI_BO_CMD, PAGE, &b);
    answer("first handles", "%u, %u", a, b);
    result("close", close_handle(c, a));
    result("close twice", close_handle(c, a));
    result("close handle 0", close_handle(c, 0));
    result("close handle 999", close_handle(c, 999));
    make(c, TS_UAPI_BO_SHMEM, PAGE, &d);
    answer("handle of the next", "%s", d == a ? "the closed one's" : "a new one");
    result("close with pad 1", call(c, TS_IOCTL_GEM_CLOSE, &(struct ts_uapi_gem_close){.handle = d, .pad = 1}));
    client e;
    if (!client_open(&e)) return;
    result("another file's handle", close_handle(&e, b));
    client_close(&e);
}

static void heap_sizes(client *c) {
    static const struct {
        const char *name;
        uint64_t size;
    } k[] = {{"0", 0}, {"4 KiB", PAGE}, {"32 MiB", 32 * MIB}, {"64 MiB and 4 KiB", 64 * MIB + PAGE},
             {"128 MiB", 128 * MIB}, {"64 MiB", 64 * MIB}};
    (void)c;
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        client d;
        if (!client_open(&d)) return;
        char name[64];
        snprintf(name, sizeof name, "heap of %s", k[i].name);
        result(name, make(&d, TS_UAPI_BO_DEV_HEAP, k[i].size, NULL));
        client_close(&d);
    }
}

static void heap_order(client *c) {
    uint32_t h;
    result("heap", heap(c, false));
    result("a second heap", make(c, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES, NULL));
    result("device, heap not mapped", make(c, TS_UAPI_BO_DEV, PAGE, NULL));
    void *p = NULL;
    result("heap mapped", map_at(c, c->heap, TS_HEAP_BYTES, place(TS_HEAP_BYTES), &p));
    result("device", make(c, TS_UAPI_BO_DEV, PAGE, &h));
    result("heap unmapped", unmap(c, p));
    answer("its address is forgotten", "%s", forgotten(c, c->heap) ? "yes" : "no");
    result("device, heap unmapped", make(c, TS_UAPI_BO_DEV, PAGE, NULL));
    result("heap mapped again", map_at(c, c->heap, TS_HEAP_BYTES, place(TS_HEAP_BYTES), &p));
    result("device again", make(c, TS_UAPI_BO_DEV, PAGE, NULL));
    result("heap closed", close_handle(c, c->heap));
    result("device, heap closed", make(c, TS_UAPI_BO_DEV, PAGE, NULL));
    result("a heap after it", make(c, TS_UAPI_BO_DEV_HEAP, TS_HEAP_BYTES, NULL));
}

static uint64_t device_addr(client *c, uint32_t handle) {
    struct ts_uapi_get_bo_info g;
    return info_of(c, handle, &g) ? 0 : g.xdna_addr;
}

static void heap_pieces(client *c) {
    uint32_t h[8], rest;
    heap(c, true);
    static const uint64_t sizes[] = {100, 32768, 32769, 4096, 100000, 4096};
    for (size_t i = 0; i < 6; i++) {
        char name[64];
        make(c, TS_UAPI_BO_DEV, sizes[i], &h[i]);
        snprintf(name, sizeof name, "piece %zu, %llu bytes", i + 1, (unsigned long long)sizes[i]);
        answer(name, "%s", NAMED("0x%llx", device_addr(c, h[i])));
    }
    close_handle(c, h[2]); /* holes of two units and of one */
    close_handle(c, h[3]);
    close_handle(c, h[0]);
    make(c, TS_UAPI_BO_DEV, PAGE, &h[0]);
    answer("a small piece, holes of 1 and 3 units", "%s", NAMED("0x%llx", device_addr(c, h[0])));
    make(c, TS_UAPI_BO_DEV, 65536, &h[2]);
    answer("one of 64 KiB", "%s", NAMED("0x%llx", device_addr(c, h[2])));
    result("a piece of 0", make(c, TS_UAPI_BO_DEV, 0, NULL));
    result("a piece of 64 MiB", make(c, TS_UAPI_BO_DEV, TS_HEAP_BYTES, NULL));
    result("a piece of 64 MiB and 4 KiB", make(c, TS_UAPI_BO_DEV, TS_HEAP_BYTES + PAGE, NULL));
    int n = 0;
    while (make(c, TS_UAPI_BO_DEV, MIB, &rest) == 0) n++;
    answer("pieces of 1 MiB until it is full", "%d, then %s", n, name_of(make(c, TS_UAPI_BO_DEV, MIB, &rest)));
}

static void heap_of_context(client *c) {
    uint32_t h;
    heap(c, true);
    make(c, TS_UAPI_BO_DEV, PAGE, &h);
    answer("before a context", "%s", NAMED("0x%llx", device_addr(c, h)));
    context(c, 4);
    make(c, TS_UAPI_BO_DEV, PAGE, &h);
    answer("after a context", "%s", NAMED("0x%llx", device_addr(c, h)));
    destroy(c, c->ctx);
    make(c, TS_UAPI_BO_DEV, PAGE, &h);
    answer("after its end", "%s", NAMED("0x%llx", device_addr(c, h)));
    while (make(c, TS_UAPI_BO_DEV, MIB, NULL) == 0) {}
    while (make(c, TS_UAPI_BO_DEV, PAGE, NULL) == 0) {}
    result("a context in a full heap", context(c, 4));
}

/* ---- addresses and mappings -------------------------------------------------------------------------------------- */

static void addresses(client *c, const char *name, uint32_t handle, const void *pointer) {
    struct ts_uapi_get_bo_info g;
    int r = info_of(c, handle, &g);
    answer(name, "%s, vaddr %s, xdna_addr %s, map_offset %s", name_of(r), address(g.vaddr, pointer),
           address(g.xdna_addr, pointer), address(g.map_offset, NULL));
}

static void map_shared(client *c) {
    uint32_t h, packet;
    void *p = NULL, *q = NULL;
    make(c, TS_UAPI_BO_SHMEM, 2 * PAGE, &h);
    addresses(c, "shared, not mapped", h, NULL);
    result("map shared", map_at(c, h, 2 * PAGE, NULL, &p));
    addresses(c, "shared, mapped", h, p);
    result("map it again", map_at(c, h, 2 * PAGE, NULL, &q));
    addresses(c, "of the first of two mappings", h, p);
    result("unmap the first", unmap(c, p));
    addresses(c, "of the second, the first is gone", h, q);
    result("unmap the second", unmap(c, q));
    answer("its address is forgotten", "%s", forgotten(c, h) ? "yes" : "no");
    make(c, TS_UAPI_BO_CMD, PAGE, &packet);
    addresses(c, "packet, not mapped", packet, NULL);
    map_at(c, packet, PAGE, NULL, &p);
    addresses(c, "packet, mapped", packet, p);
}

static void map_again(client *c) {
    uint32_t h;
    void *p = NULL, *q = NULL;
    make(c, TS_UAPI_BO_SHMEM, PAGE, &h);
    map_at(c, h, PAGE, NULL, &p);
    unmap(c, p);
    forgotten(c, h);
    p = place(PAGE);
    result("mapped, unmapped, mapped elsewhere", map_at(c, h, PAGE, p, &q));
    addresses(c, "its addresses", h, q);
}

static void map_heap(client *c) {
    uint32_t h, other;
    void *p = NULL;
    struct ts_uapi_get_bo_info g;
    heap(c, false);
    addresses(c, "heap, not mapped", c->heap, NULL);
    map_at(c, c->heap, TS_HEAP_BYTES, place(TS_HEAP_BYTES), &p);
    addresses(c, "heap, mapped", c->heap, p);
    answer("heap's address", "%s", NAMED("0x%llx", device_addr(c, c->heap)));
    make(c, TS_UAPI_BO_DEV, PAGE, &h);
    make(c, TS_UAPI_BO_DEV, PAGE, &other);
    addresses(c, "device", other, (uint8_t *)p + TS_DEV_BO_ALIGN);
    info_of(c, h, &g);
    result("map a device buffer", map_offset(c, g.map_offset, PAGE, NULL, &p));
}

static void map_parts(client *c) {
    uint32_t h;
    void *p = NULL;
    struct ts_uapi_get_bo_info g;
    make(c, TS_UAPI_BO_SHMEM, 2 * PAGE, &h);
    info_of(c, h, &g);
    result("half of a buffer", map_offset(c, g.map_offset, PAGE, NULL, &p));
    addresses(c, "half of it mapped", h, p);
    result("past its end", map_offset(c, g.map_offset, 3 * PAGE, NULL, &p));
    result("from its second page", map_offset(c, g.map_offset + PAGE, PAGE, NULL, &p));
    result("at offset 0", map_offset(c, 0, PAGE, NULL, &p));
    client d;
    if (!client_open(&d)) return;
    result("another file's buffer", map_offset(&d, g.map_offset, 2 * PAGE, NULL, &p));
    client_close(&d);
}

static void unmap_parts(client *c) {
    uint32_t h;
    void *p = NULL;
    struct ts_uapi_get_bo_info g;
    make(c, TS_UAPI_BO_SHMEM, 2 * PAGE, &h);
    info_of(c, h, &g);
    if (map_offset(c, g.map_offset, 2 * PAGE, NULL, &p)) return;
    result("unmap half", unmap_part((uint8_t *)p + PAGE, PAGE));
    result("unmap the rest", unmap_part(p, PAGE));
    c->n_maps = 0;
    if (map_offset(c, g.map_offset, 2 * PAGE, NULL, &p)) return; /* whatever is left goes */
    unmap(c, p);
}

static void map_closed(client *c) {
    uint32_t h;
    void *p = NULL;
    struct ts_uapi_get_bo_info g;
    make(c, TS_UAPI_BO_SHMEM, PAGE, &h);
    if (map_at(c, h, PAGE, NULL, &p)) return;
    result("close while mapped", close_handle(c, h));
    *(volatile uint8_t *)p = 7;
    answer("the mapping then", "%s", *(volatile uint8_t *)p == 7 ? "holds" : "is gone");
    result("info then", info_of(c, h, &g));
    result("unmap then", unmap(c, p));
}

static void info_fields(client *c) {
    uint32_t h;
    make(c, TS_UAPI_BO_SHMEM, PAGE, &h);
    struct ts_uapi_get_bo_info g = {.handle = 999};
    result("info of handle 999", call(c, TS_IOCTL_GET_BO_INFO, &g));
    g = (struct ts_uapi_get_bo_info){.handle = h, .ext = 1};
    result("info, ext 1", call(c, TS_IOCTL_GET_BO_INFO, &g));
    g = (struct ts_uapi_get_bo_info){.handle = h, .ext_flags = 1};
    result("info, ext_flags 1", call(c, TS_IOCTL_GET_BO_INFO, &g));
    g = (struct ts_uapi_get_bo_info){.handle = h, .pad = 1};
    result("info, pad 1", call(c, TS_IOCTL_GET_BO_INFO, &g));
}

/* ---- sync -------------------------------------------------------------------------------------------------------- */

static int sync_bo(client *c, uint32_t h, uint32_t direction, uint64_t offset, uint64_t size) {
    struct ts_uapi_sync_bo a = {.handle = h, .direction = direction, .offset = offset, .size = size};
    return call(c, TS_IOCTL_SYNC_BO, &a);
}

static void syncs(client *c) {
    uint32_t h, packet, device;
    void *p;
    make(c, TS_UAPI_BO_SHMEM, 2 * PAGE, &h);
    result("not mapped", sync_bo(c, h, TS_UAPI_SYNC_TO_DEVICE, 0, 2 * PAGE));
    map_at(c, h, 2 * PAGE, NULL, &p);
    result("to the device", sync_bo(c, h, TS_UAPI_SYNC_TO_DEVICE, 0, 2 * PAGE));
    result("a part", sync_bo(c, h, TS_UAPI_SYNC_TO_DEVICE, 64, 64));
    result("from the device", sync_bo(c, h, TS_UAPI_SYNC_FROM_DEVICE, 0, 2 * PAGE));
    result("direction 2", sync_bo(c, h, 2, 0, 2 * PAGE));
    result("over the end", sync_bo(c, h, TS_UAPI_SYNC_TO_DEVICE, PAGE, 2 * PAGE));
    result("size 0", sync_bo(c, h, TS_UAPI_SYNC_TO_DEVICE, 0, 0));
    result("handle 999", sync_bo(c, 999, TS_UAPI_SYNC_TO_DEVICE, 0, PAGE));
    make(c, TS_UAPI_BO_CMD, PAGE, &packet);
    result("a packet", sync_bo(c, packet, TS_UAPI_SYNC_TO_DEVICE, 0, PAGE));
    heap(c, true);
    make(c, TS_UAPI_BO_DEV, PAGE, &device);
    result("a device buffer", sync_bo(c, device, TS_UAPI_SYNC_TO_DEVICE, 0, PAGE));
}

const question questions_memory[] = {
    {"buffer", buffer_types},
    {"buffer", buffer_handles},
    {"heap", heap_sizes},
    {"heap", heap_order},
    {"heap", heap_pieces},
    {"heap", heap_of_context},
    {"map", map_shared},
    {"map", map_again},
    {"map", map_heap},
    {"map", map_parts},
    {"map", unmap_parts},
    {"map", map_closed},
    {"map", info_fields},
    {"sync", syncs},
    {NULL, NULL},
};
