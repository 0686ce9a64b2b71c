/* questions_info.c - the driver, clocks, what it says of chip and firmware, contexts as files see them. */
#include "questions.h"

#include <string.h>
#include <unistd.h>

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

const question questions_info[] = {
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
    {NULL, NULL},
};
