/* The questions of differ. Each function has a file of its own; where it needs a second client it opens one. Names
 * of answers are unique within a group. The group "firmware" is what the driver makes of answers that, in a guest,
 * our device gives in the firmware's place: there the kernel confirms the way of an answer, not the answer. */
#include "differ.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TO_ALL (TS_UAPI_WAIT_ALL | TS_UAPI_WAIT_FOR_SUBMIT)

/* An address without its figures. */
static const char *address(uint64_t v, const void *pointer) {
    if (v == TS_UAPI_INVALID_ADDR) return "none";
    return v == (uint64_t)(uintptr_t)pointer ? "the pointer" : "an address";
}

static const char *named(char *buf, size_t len, const char *fmt, unsigned long long v) {
    snprintf(buf, len, fmt, v);
    return buf;
}
#define NAMED(fmt, v) named((char[64]){0}, 64, fmt, (unsigned long long)(v))

/* ---- driver ------------------------------------------------------------------------------------------------------ */

static void version(client *c) {
    char name[32] = "", date[32] = "", desc[64] = "";
    struct ts_uapi_version v = {.name_len = sizeof name - 1,
                                .name = (uint64_t)(uintptr_t)name,
                                .date_len = sizeof date - 1,
                                .date = (uint64_t)(uintptr_t)date,
                                .desc_len = sizeof desc - 1,
                                .desc = (uint64_t)(uintptr_t)desc};
    result("version", call(c, TS_IOCTL_VERSION, &v));
    answer("its number", "%d.%d.%d", v.major, v.minor, v.patch);
    answer("its texts", "%s, %s, %s", name, date, desc);
    char cut[5] = "####";
    v = (struct ts_uapi_version){.name_len = 3, .name = (uint64_t)(uintptr_t)cut};
    int r = call(c, TS_IOCTL_VERSION, &v);
    answer("a name cut short", "%s, %s of %llu", name_of(r), cut, (unsigned long long)v.name_len);
}

static void requests(client *c) {
    uint64_t nothing[16] = {0};
    result("request 8", call(c, 0xC0106448, nothing));
    result("request 9", call(c, 0x40106449, nothing));
    result("request 10", call(c, 0xC018644A, nothing));
    result("request 31", call(c, 0xC010645F, nothing));
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

static void clocks_line(client *c, const char *name) {
    struct ts_uapi_clocks k = {0};
    uint32_t size = sizeof k;
    int r = get_info(c, TS_UAPI_INFO_CLOCKS, &k, &size);
    answer(name, "%s, %u and %u MHz", name_of(r), k.mp_npu.freq_mhz, k.h.freq_mhz);
}

static void clocks(client *c) { /* the very first question of a freshly loaded driver */
    clocks_line(c, "at first");
    heap(c, true);
    result("a context", context(c, 4));
    clocks_line(c, "with a context");
    client d;
    if (client_open(&d)) {
        clocks_line(&d, "with a context of another file");
        client_close(&d);
    }
    destroy(c, c->ctx);
    clocks_line(c, "after the last context");
    context(c, 16);
    clocks_line(c, "with a context again");
}

static void clocks_later(client *c) {
    clocks_line(c, "in a new file, no contexts");
    heap(c, true);
    struct ts_uapi_qos_info qos = {.gops = 1, .fps = 1};
    struct ts_uapi_create_hwctx a = {.qos_p = (uint64_t)(uintptr_t)&qos};
    result("a context with a small wish", context_with(c, a, 4));
    clocks_line(c, "with a small wish");
    qos = (struct ts_uapi_qos_info){.gops = 1000000, .fps = 1000};
    result("a context with a large wish", context_with(c, a, 4));
}

/* ---- info -------------------------------------------------------------------------------------------------------- */

/* Bytes of a buffer that are not 0xa5 any more: up to the last of them. */
static size_t touched(const uint8_t *b, size_t len) {
    while (len && b[len - 1] == 0xa5) len--;
    return len;
}

static void info_sizes(client *c) {
    static const struct {
        uint32_t param, size;
        const char *name;
    } k[] = {{TS_UAPI_INFO_AIE_METADATA, 64, "metadata"}, {TS_UAPI_INFO_AIE_VERSION, 8, "version"},
             {TS_UAPI_INFO_CLOCKS, 48, "clocks"}, {TS_UAPI_INFO_FIRMWARE, 16, "firmware"},
             {TS_UAPI_INFO_POWER_MODE, 8, "power mode"}};
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        const uint32_t sizes[] = {k[i].size, k[i].size + 16, 4};
        for (int j = 0; j < 3; j++) {
            uint8_t b[256];
            uint32_t size = sizes[j];
            memset(b, 0xa5, sizeof b);
            int r = get_info(c, k[i].param, b, &size);
            char name[64];
            snprintf(name, sizeof name, "%s, %s", k[i].name,
                     j == 0   ? "its size"
                     : j == 1 ? "16 bytes more"
                              : "4 bytes");
            answer(name, "%s, %zu written, size then %u", name_of(r), touched(b, sizeof b), size);
        }
    }
}

static void info_params(client *c) {
    static const uint32_t k[] = {6, 7, 11, 12, 13, 99};
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        uint64_t b[64] = {0};
        uint32_t size = sizeof b;
        result(NAMED("parameter %llu", k[i]), get_info(c, k[i], b, &size));
    }
    uint8_t b[4096];
    uint32_t size = sizeof b;
    int r = get_info(c, TS_UAPI_INFO_SENSORS, b, &size);
    result("sensors", r);
    size = 64;
    result("no buffer", get_info(c, TS_UAPI_INFO_AIE_METADATA, NULL, &size));
}

static void info_values(client *c) {
    struct ts_uapi_aie_metadata m = {0};
    struct ts_uapi_firmware f = {0};
    struct ts_uapi_power_mode p = {0};
    struct ts_uapi_clocks k = {0};
    uint32_t size = sizeof m;
    get_info(c, TS_UAPI_INFO_AIE_METADATA, &m, &size);
    answer("columns, rows", "%u, %u", m.cols, m.rows);
    answer("rows, first row, channels, locks", "core %u %u %u %u, memory %u %u %u %u, shim %u %u %u %u",
           m.core.row_count, m.core.row_start, m.core.dma_channel_count, m.core.lock_count, m.mem.row_count,
           m.mem.row_start, m.mem.dma_channel_count, m.mem.lock_count, m.shim.row_count, m.shim.row_start,
           m.shim.dma_channel_count, m.shim.lock_count);
    get_info(c, TS_UAPI_INFO_FIRMWARE, &f, (size = sizeof f, &size));
    get_info(c, TS_UAPI_INFO_POWER_MODE, &p, (size = sizeof p, &size));
    get_info(c, TS_UAPI_INFO_CLOCKS, &k, (size = sizeof k, &size));
    answer("firmware", "%u.%u.%u.%u", f.major, f.minor, f.patch, f.build);
    answer("power mode", "%u", p.power_mode);
    answer("names of clocks", "%.16s, %.16s", (const char *)k.mp_npu.name, (const char *)k.h.name);
}

/* The status of all columns, as large as the metadata say that it is. */
static void status_line(client *c, const char *name, bool somewhere) {
    static uint8_t inner[1 << 20];
    struct ts_uapi_aie_metadata m = {0};
    struct {
        uint64_t buffer;
        uint32_t size, columns;
    } s = {.columns = 99};
    uint32_t size = sizeof m;
    int r = get_info(c, TS_UAPI_INFO_AIE_METADATA, &m, &size);
    const uint64_t all = (uint64_t)m.cols * m.col_size;
    s.size = (uint32_t)(all < sizeof inner ? all : sizeof inner);
    s.buffer = somewhere ? (uint64_t)(uintptr_t)inner : 0;
    size = sizeof s;
    if (r == 0) r = get_info(c, TS_UAPI_INFO_AIE_STATUS, &s, &size);
    if (r) result(name, r);
    else answer(name, "ok, columns 0x%x, size then %u", s.columns, size);
}

static void info_status(client *c) {
    status_line(c, "status of columns, no context", true);
    heap(c, true);
    context(c, 8);
    status_line(c, "status of columns, a context of two", true);
    status_line(c, "status of columns, no buffer", false);
}

/* The stream becomes rubbish, or what it was. */
static void spoil(client *c, bool bad) {
    uint8_t *at = c->heap_at + (c->stream_addr - TS_HEAP_BASE);
    if (bad) memset(at, 0x55, good_stream.len);
    else memcpy(at, good_stream.data, good_stream.len);
    flush(at, good_stream.len);
}

/* ---- contexts, as files see them --------------------------------------------------------------------------------- */

static void entry_line(const char *name, const struct ts_uapi_hwctx_entry *e) {
    answer(name,
           "number %u, columns %u to %u, %s process, %llu given, %llu ended, %llu migrations, %llu preemptions, %llu "
           "errors",
           e->context_id, e->start_col, e->start_col + e->num_col - 1, e->pid == getpid() ? "this" : "another",
           (unsigned long long)e->command_submissions, (unsigned long long)e->command_completions,
           (unsigned long long)e->migrations, (unsigned long long)e->preemptions, (unsigned long long)e->errors);
}

static void list_one(client *c) {
    struct ts_uapi_hwctx_entry e[8];
    uint32_t size = sizeof e;
    int r = get_info(c, TS_UAPI_INFO_HW_CONTEXTS, e, &size);
    answer("none", "%s, size then %u of 512", name_of(r), size);
    if (!ready(c)) return;
    size = sizeof e;
    r = get_info(c, TS_UAPI_INFO_HW_CONTEXTS, e, &size);
    answer("one", "%s, size then %u of 512", name_of(r), size);
    entry_line("its entry", e);
    run(c, "a command");
    list(c, e, 8);
    entry_line("after a command", e);
    write_packet(c);
    spoil(c, true);
    run(c, "a command that fails");
    list(c, e, 8);
    entry_line("after one that failed", e);
    size = 63;
    r = get_info(c, TS_UAPI_INFO_HW_CONTEXTS, e, &size);
    answer("63 bytes", "%s, size then %u", name_of(r), size);
    size = 0;
    r = get_info(c, TS_UAPI_INFO_HW_CONTEXTS, e, &size);
    answer("0 bytes", "%s, size then %u", name_of(r), size);
    size = 64;
    result("no buffer", get_info(c, TS_UAPI_INFO_HW_CONTEXTS, NULL, &size));
    destroy(c, c->ctx);
    size = sizeof e;
    r = get_info(c, TS_UAPI_INFO_HW_CONTEXTS, e, &size);
    answer("after its end", "%s, size then %u of 512", name_of(r), size);
}

static void list_two(client *c) {
    struct ts_uapi_hwctx_entry e[8];
    client d;
    if (!client_open(&d)) return;
    heap(c, true), heap(&d, true);
    context(&d, 4); /* the second file's first */
    context(c, 4);
    context(c, 4);
    answer("three of two files", "%d seen by the first, %d by the second", list(c, e, 8), list(&d, e, 8));
    for (int i = 0; i < 3; i++) entry_line(NAMED("of two files, entry %llu", i), &e[i]);
    uint32_t size = 2 * sizeof e[0];
    memset(e, 0xa5, sizeof e);
    int r = get_info(c, TS_UAPI_INFO_HW_CONTEXTS, e, &size);
    answer("three, room for two", "%s, %zu written, size then %u of 128", name_of(r), touched((uint8_t *)e, sizeof e),
           size);
    client_close(&d);
    answer("after the second file's end", "%d", list(c, e, 8));
}

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

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* The packet's words after a command, or what became of them. */
static void words_line(const client *c, const char *name, const uint32_t *before, size_t n) {
    size_t same = 0, ones = 0;
    for (size_t i = 1; i < n; i++) {
        same += c->words[i] == before[i];
        ones += c->words[i] == UINT32_MAX;
    }
    answer(name, "header 0x%08x, payload %s", c->words[0],
           same == n - 1   ? "kept"
           : ones == n - 1 ? "all ones"
                           : "changed");
}

static void command_good(client *c) {
    uint32_t before[PAGE / 4];
    if (!ready(c)) return;
    uint64_t seq = 99, next = 99;
    memcpy(before, c->words, PAGE);
    int r = exec(c, &seq);
    answer("good", "%s, number %llu", name_of(r), (unsigned long long)seq);
    result("wait for it", wait_for(c, c->sync, seq, 8000, TO_ALL));
    words_line(c, "packet after it", before, 9);
    write_packet(c);
    r = exec(c, &next);
    answer("the next", "%s, number %llu", name_of(r), (unsigned long long)next);
    result("wait for the next", wait_for(c, c->sync, next, 8000, TO_ALL));
    result("wait for the first once more", wait_for(c, c->sync, seq, 0, TO_ALL));
}

static void command_again(client *c) {
    write_packet(c);
    run(c, "once");
    run(c, "again, packet not made new");
    write_packet(c);
    run(c, "again, packet made new");
    write_packet(c);
    uint64_t a = 0;
    int r = exec(c, &a), s = exec(c, &a);
    answer("twice at once", "%s and %s", name_of(r), name_of(s));
    wait_for(c, c->sync, a, 8000, TO_ALL);
}

/* One word of the packet is another; in a context of its own. */
static void twist(client *c, const char *name, int word, uint32_t value) {
    if (!renew(c)) return;
    c->words[word] = value;
    flush(c->words, PAGE);
    run(c, name);
}

static void packet_header(client *c) {
    static const uint32_t states[] = {0, 2, 3, 4, 5, 7, 8, 15};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        twist(c, NAMED("state %llu", states[i]), 0, ts_cmd_header(states[i], TS_CMD_OP_START_CU, 8));
    static const uint32_t operations[] = {1, 5, 31};
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        twist(c, NAMED("operation %llu", operations[i]), 0, ts_cmd_header(TS_CMD_NEW, operations[i], 8));
    twist(c, "reserved bit 4", 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 8) | 1u << 4);
    twist(c, "reserved bit 31", 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 8) | 1u << 31);
    twist(c, "mask 0", 1, 0);
}

static void packet_words(client *c) {
    static const uint32_t counts[] = {0, 1, 2, 5, 6, 7, 9, 16, 18, 20, 21, 1023, 1024, 2047};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        twist(c, NAMED("count %llu", counts[i]), 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, counts[i]));
    twist(c, "mask 2", 1, 2);
    twist(c, "masks 0x80000001", 1, 0x80000001);
    twist(c, "a second mask", 0, ts_cmd_header(TS_CMD_NEW, TS_CMD_OP_START_CU, 8) | 1u << 10);
    twist(c, "operation 4 of START_CU", 2, 4);
    twist(c, "a stream of 0 words", 6, 0);
}

static void packet_error(client *c) {
    uint32_t before[PAGE / 4];
    uint64_t seq = 0;
    if (!renew(c)) return;
    spoil(c, true);
    memcpy(before, c->words, PAGE);
    int r = exec(c, &seq);
    if (r) {
        result("packet after an error", r);
        return;
    }
    wait_for(c, c->sync, seq, 8000, TO_ALL);
    words_line(c, "packet after an error", before, PAGE / 4);
    spoil(c, false);
    write_packet(c);
    run(c, "a command after an error");
}

static void stream_rubbish(client *c) {
    if (!renew(c)) return;
    spoil(c, true);
    run(c, "a stream of rubbish");
}

static void command_fields(client *c) {
    if (!renew(c)) return;
    const uint32_t args[] = {c->stream, c->data, 999};
    const struct ts_uapi_exec_cmd none = {0};
    result("type 1", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.type = 1}, NULL));
    result("ext 1", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.ext = 1}, NULL));
    result("ext_flags 1", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.ext_flags = 1}, NULL));
    result("context 99", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.hwctx = 99}, NULL));
    result("2 commands", exec_with(c, c->packet, args, 2, (struct ts_uapi_exec_cmd){.cmd_count = 2}, NULL));
    result("handle 999", exec_with(c, 999, args, 2, none, NULL));
    /* not handle 0: some drivers take it, others run into it when the command begins */
    result("a device buffer as packet", exec_with(c, c->stream, args, 2, none, NULL));
    result("the heap as packet", exec_with(c, c->heap, args, 2, none, NULL));
    result("no list", exec_with(c, c->packet, NULL, 2, none, NULL));
    result("argument 999", exec_with(c, c->packet, args, 3, none, NULL));
    result("4096 arguments", exec_with(c, c->packet, args, 4096, none, NULL));
    run(c, "after all these, the right one");
}

/* A good packet, but with this list. */
static void with_list(client *c, const char *name, const uint32_t *args, uint32_t n) {
    uint64_t seq = 0;
    write_packet(c);
    int r = exec_with(c, c->packet, args, n, (struct ts_uapi_exec_cmd){0}, &seq);
    if (r) {
        result(name, r);
        return;
    }
    r = wait_for(c, c->sync, seq, 8000, TO_ALL);
    answer(name, "taken, wait %s, state %u", name_of(r), state_of(c));
}

static void command_lists(client *c) {
    uint32_t unmapped, gone, packet, empty, many[64];
    void *p = NULL;
    if (!renew(c)) return;
    make(c, TS_UAPI_BO_SHMEM, PAGE, &unmapped);
    make(c, TS_UAPI_BO_SHMEM, PAGE, &gone);
    map_at(c, gone, PAGE, NULL, &p);
    unmap(c, p);
    forgotten(c, gone);
    make(c, TS_UAPI_BO_CMD, PAGE, &packet);
    map_at(c, packet, PAGE, NULL, &p);
    with_list(c, "nothing listed", NULL, 0);
    with_list(c, "the stream not listed", (const uint32_t[]){c->data}, 1);
    with_list(c, "the data not listed", (const uint32_t[]){c->stream}, 1);
    with_list(c, "a buffer not mapped", (const uint32_t[]){c->stream, c->data, unmapped}, 3);
    with_list(c, "a buffer unmapped again", (const uint32_t[]){c->stream, c->data, gone}, 3);
    with_list(c, "a buffer twice", (const uint32_t[]){c->stream, c->data, c->data}, 3);
    with_list(c, "two device buffers", (const uint32_t[]){c->stream, c->data, c->pdi}, 3);
    with_list(c, "the heap", (const uint32_t[]){c->stream, c->data, c->heap}, 3);
    with_list(c, "a packet listed", (const uint32_t[]){c->stream, c->data, packet}, 3);
    with_list(c, "the packet itself listed", (const uint32_t[]){c->stream, c->data, c->packet}, 3);
    many[0] = c->stream, many[1] = c->data;
    for (int i = 2; i < 17; i++) make(c, TS_UAPI_BO_DEV, PAGE, &many[i]);
    with_list(c, "16 buffers", many, 16);
    with_list(c, "17 buffers", many, 17);
    make(c, TS_UAPI_BO_CMD, PAGE, &empty);
    result("a packet of zeros that is not mapped", exec_with(c, empty, many, 2, (struct ts_uapi_exec_cmd){0}, NULL));
}

static void command_shared(client *c) {
    uint64_t seq = 0;
    if (!renew(c)) return;
    const uint32_t args[] = {c->stream};
    memcpy(c->data_at, c->words, 64);
    flush(c->data_at, 64);
    int r = exec_with(c, c->data, args, 1, (struct ts_uapi_exec_cmd){0}, &seq);
    if (r) result("a shared buffer as packet", r);
    else answer("a shared buffer as packet", "taken, wait %s", name_of(wait_for(c, c->sync, seq, 8000, TO_ALL)));
}

static void command_large(client *c) {
    void *p = NULL;
    if (!renew(c)) return;
    int r = make(c, TS_UAPI_BO_CMD, 32768, &c->packet);
    if (r == 0) r = map_at(c, c->packet, 32768, NULL, &p);
    if (r) {
        result("a packet buffer of 32 KiB", r);
        return;
    }
    c->words = p;
    write_packet(c);
    run(c, "a packet buffer of 32 KiB");
}

static void command_deep(client *c) {
    uint64_t seq = 0;
    int r = 0, n = 0;
    if (!renew(c)) return;
    while (n < 8 && r == 0) {
        uint32_t h;
        void *p = NULL;
        r = make(c, TS_UAPI_BO_CMD, PAGE, &h);
        if (r == 0) r = map_at(c, h, PAGE, NULL, &p);
        if (r) break;
        memcpy(p, c->words, 64);
        flush(p, 64);
        const uint32_t args[] = {c->stream, c->data};
        r = exec_with(c, h, args, 2, (struct ts_uapi_exec_cmd){0}, &seq);
        n += r == 0;
    }
    answer("eight in a row", "%d taken, %s, last number %llu", n, name_of(r), (unsigned long long)seq);
    result("wait for the last", wait_for(c, c->sync, seq, 8000, TO_ALL));
}

static void commands(client *c) {
    command_good(c);
    command_again(c);
    command_fields(c);
    command_lists(c);
    command_shared(c);
    command_deep(c);
    command_large(c);
}

static void packets(client *c) {
    if (!ready(c)) return;
    packet_header(c);
    packet_error(c);
    under("firmware");
    packet_words(c);
    stream_rubbish(c);
}

static void command_contexts(client *c) {
    client d;
    if (!ready(c)) return;
    const uint32_t first = c->ctx, fence = c->sync;
    int r = context(c, 4);
    if (r == 0) r = configure(c, c->pdi);
    result("a second context", r);
    run(c, "a command of the second");
    c->ctx = first, c->sync = fence;
    write_packet(c);
    run(c, "a command of the first");
    if (client_open(&d)) {
        if (buffers_ready(&d)) {
            d.ctx = first;
            uint64_t seq;
            result("a command of another file's context", exec(&d, &seq));
        }
        client_close(&d);
    }
    destroy(c, first);
    write_packet(c);
    uint64_t seq;
    result("a command of a context that is gone", exec(c, &seq));
}

static void command_closed(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    if (r) {
        result("(command)", r);
        return;
    }
    result("close its packet under way", close_handle(c, c->packet));
    result("close its stream under way", close_handle(c, c->stream));
    result("close its data under way", close_handle(c, c->data));
    r = wait_for(c, c->sync, seq, 8000, TO_ALL);
    answer("how it ends", "wait %s, state %u", name_of(r), state_of(c));
    result("a command with the closed ones", exec(c, &seq));
}

static void command_data_closed(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    result("close an argument", close_handle(c, c->data));
    result("a command with it", exec(c, &seq));
}

static void command_heap_closed(client *c) {
    if (!ready(c)) return;
    result("close the heap under a context", close_handle(c, c->heap));
    run(c, "a command after it");
}

static void command_unmapped(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    answer("unmap its data under way", "%s, %s", name_of(r), name_of(unmap(c, c->data_at)));
    r = wait_for(c, c->sync, seq, 8000, TO_ALL);
    answer("how that ends", "wait %s, state %u", name_of(r), state_of(c));
}

static void command_destroyed(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    answer("destroy its context under way", "%s, %s", name_of(r), name_of(destroy(c, c->ctx)));
    r = wait_for(c, c->sync, seq, 3000, TO_ALL);
    answer("how a destroyed one ends", "wait %s, state %u", name_of(r), state_of(c));
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static int destroy_sync(client *c, uint32_t handle, uint32_t pad) {
    struct ts_uapi_syncobj_destroy a = {.handle = handle, .pad = pad};
    return call(c, TS_IOCTL_SYNCOBJ_DESTROY, &a);
}

static void waits(client *c) {
    if (!ready(c)) return;
    result("point 0, nothing given", wait_for(c, c->sync, 0, 50, TS_UAPI_WAIT_FOR_SUBMIT));
    result("the same, not for submission", wait_for(c, c->sync, 0, 50, 0));
    uint64_t seq = 0;
    if (exec(c, &seq)) return;
    result("a point that was given", wait_for(c, c->sync, seq, 8000, TS_UAPI_WAIT_FOR_SUBMIT));
    result("no flags", wait_for(c, c->sync, seq, 50, 0));
    result("all", wait_for(c, c->sync, seq, 50, TO_ALL));
    result("no time left", wait_for(c, c->sync, seq, -1000, TS_UAPI_WAIT_FOR_SUBMIT));
    result("a point not given", wait_for(c, c->sync, seq + 1, 50, TS_UAPI_WAIT_FOR_SUBMIT));
    result("a point not given, no time", wait_for(c, c->sync, seq + 1, -1000, TS_UAPI_WAIT_FOR_SUBMIT));
    result("a point not given, not for submission", wait_for(c, c->sync, seq + 1, 50, 0));
    result("handle 999", wait_for(c, 999, seq, 50, TO_ALL));
    result("handle 0", wait_for(c, 0, seq, 50, TO_ALL));
    result("flags 0x80", wait_for(c, c->sync, seq, 50, 0x80));
    uint64_t point = seq;
    struct ts_uapi_syncobj_timeline_wait w = {.handles = (uint64_t)(uintptr_t)&c->sync,
                                              .points = (uint64_t)(uintptr_t)&point};
    result("no handles", call(c, TS_IOCTL_SYNCOBJ_WAIT, &w));
    const uint32_t handles[] = {c->sync, c->sync};
    const uint64_t points[] = {seq, seq};
    w = (struct ts_uapi_syncobj_timeline_wait){.handles = (uint64_t)(uintptr_t)handles,
                                               .points = (uint64_t)(uintptr_t)points,
                                               .count_handles = 2,
                                               .flags = TO_ALL};
    result("two handles", call(c, TS_IOCTL_SYNCOBJ_WAIT, &w));
    w.count_handles = 1, w.handles = 0;
    result("no list", call(c, TS_IOCTL_SYNCOBJ_WAIT, &w));
}

static void wait_ended(client *c) {
    uint64_t seq = 0;
    if (!ready(c) || exec(c, &seq)) return;
    wait_for(c, c->sync, seq, 8000, TO_ALL);
    destroy(c, c->ctx);
    result("after its context's end", wait_for(c, c->sync, seq, 50, TO_ALL));
    result("the next point then", wait_for(c, c->sync, seq + 1, 50, TO_ALL));
    result("destroy, pad 1", destroy_sync(c, c->sync, 1));
    result("destroy", destroy_sync(c, c->sync, 0));
    result("destroy twice", destroy_sync(c, c->sync, 0));
    result("destroy 0", destroy_sync(c, 0, 0));
    result("after the fence's end", wait_for(c, c->sync, seq, 50, TO_ALL));
}

static void wait_fence_gone(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    answer("destroy the fence under way", "%s, %s", name_of(r), name_of(destroy_sync(c, c->sync, 0)));
    result("then its context", destroy(c, c->ctx));
    answer("the command then", "state %u", state_of(c));
    if (!renew(c)) return;
    answer("fence of the next context", "%s", c->sync == 1 ? "the old number" : "a new number");
    result("destroy the fence first", destroy_sync(c, c->sync, 0));
    result("a command without a fence", exec(c, &seq));
    result("the end of its context", destroy(c, c->ctx));
    answer("that command then", "state %u", state_of(c));
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

static void end_left(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    heap(c, true);
    if (!client_open(&d)) return;
    if (ready(&d)) {
        answer("contexts while it is open", "%d", list(c, e, 8));
        result("close with mappings left", close_file(&d));
        answer("contexts then", "%d", list(c, e, 8));
        int r = context(c, 16);
        result("another width then", r);
        if (r == 0) destroy(c, c->ctx);
        while (d.n_maps > 1) unmap(&d, d.map[d.n_maps - 1].at);
        answer("contexts, one mapping left", "%d", list(c, e, 8));
        client_close(&d);
        answer("contexts after the last mapping", "%d", list(c, e, 8));
        result("another width at last", context(c, 16));
    } else {
        client_close(&d);
    }
}

static void end_handles_closed(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    if (!client_open(&d)) return;
    heap(&d, true);
    context(&d, 4);
    close_handle(&d, d.heap);
    close_file(&d);
    answer("contexts, heap closed, a mapping left", "%d", list(c, e, 8));
    client_close(&d);
    answer("and after the mapping", "%d", list(c, e, 8));
}

static void end_unmapped(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    if (!client_open(&d)) return;
    if (ready(&d)) {
        while (d.n_maps) unmap(&d, d.map[d.n_maps - 1].at);
        result("close with everything left but mappings", close_file(&d));
        answer("contexts after that", "%d", list(c, e, 8));
    }
    client_close(&d);
}

static void end_under_way(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    uint64_t seq;
    if (!client_open(&d)) return;
    if (ready(&d)) {
        int r = exec(&d, &seq);
        while (d.n_maps) unmap(&d, d.map[d.n_maps - 1].at);
        answer("close with a command under way", "%s, %s", name_of(r), name_of(close_file(&d)));
        answer("contexts after a command under way", "%d", list(c, e, 8));
    }
    client_close(&d);
    if (ready(c)) run(c, "a command after all that");
}

static void end_many(client *c) {
    enum { MANY = 16, HEAPS = 6 }; /* a heap is 64 MiB at once */
    client d[MANY];
    struct ts_uapi_hwctx_entry e[8];
    int n = 0, heaps = 0, contexts = 0;
    while (n < MANY && client_open(&d[n])) n++;
    for (int i = 0; i < HEAPS && i < n; i++) {
        heaps += heap(&d[i], true) == 0;
        contexts += context(&d[i], 16) == 0;
    }
    answer("files, heaps and contexts of four columns at once", "%d, %d, %d, %d listed", n, heaps, contexts,
           list(c, e, 8));
    while (n) client_close(&d[--n]);
}

static void end_closed(client *c) {
    client d;
    struct ts_uapi_get_bo_info g;
    if (!client_open(&d)) return;
    const int fd = d.fd;
    client_close(&d);
    d.fd = fd;
    result("a call on a closed file", info_of(&d, 1, &g));
    (void)c;
}

const question questions[] = {
    {"clocks", clocks}, /* first: what a freshly loaded driver says */
    {"clocks", clocks_later},
    {"driver", version},
    {"driver", requests},
    {"info", info_sizes},
    {"info", info_params},
    {"firmware", info_values},
    {"info", info_status},
    {"contexts", list_one},
    {"contexts", list_two},
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
    {"command", commands},
    {"packet", packets},
    {"command", command_contexts},
    {"command", command_closed},
    {"command", command_data_closed},
    {"command", command_heap_closed},
    {"command", command_unmapped},
    {"command", command_destroyed},
    {"wait", waits},
    {"wait", wait_ended},
    {"wait", wait_fence_gone},
    {"end", end_left},
    {"end", end_handles_closed},
    {"end", end_unmapped},
    {"end", end_under_way},
    {"end", end_many},
    {"end", end_closed},
    {NULL, NULL},
};
