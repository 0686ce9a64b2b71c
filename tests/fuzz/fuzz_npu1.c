/* The device behind vfio-user, from a client and a guest of any kind: nothing that they send, write or order brings
 * it down, and nothing is left when they have gone.
 *
 * An input whose first byte is even is sent as it is. Else the rest are records: a byte that says what, and its
 * numbers (below); they begin with the firmware alive and a context of one column with a loop-back configuration. */
#define _GNU_SOURCE /* memfd_create */
#include "qemu/driver.h"

#include "xdna/design.h"
#include "xdna/dispatch.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { RAM = 1 << 20, RAM_AT = 0x40000000, STREAM_OFF = 0x20000, RECORDS_MAX = 64, MAX_CYCLES = 100000 };

typedef struct input {
    const uint8_t *at;
    size_t len;
} input;

static uint32_t take(input *in, int bytes) { /* zeros behind the end */
    uint32_t v = 0;
    for (int i = 0; i < bytes && in->len; i++, in->at++, in->len--) v |= (uint32_t)*in->at << 8 * i;
    return v;
}

static uint32_t take_some(input *in, uint8_t *out, uint32_t most) {
    uint32_t n = take(in, 1) * 4 % (most + 1);
    for (uint32_t i = 0; i < n; i++) out[i] = (uint8_t)take(in, 1);
    return n;
}

/* Configuration and a command for it, in the heap; the command's words. */
static uint32_t prepare(client *c) {
    static ts_buf pdi, txn;
    if (!pdi.data) {
        ts_design *d;
        ts_dispatch p;
        if (ts_design_new(&d, &ts_npu1, 1, NULL) != TS_OK) abort();
        ts_tile shim = ts_tile_at(0, 0), mem = ts_tile_at(0, 1);
        ts_tile_buf b = ts_design_buffer(d, mem, "b", 64, TS_ANY_BANK);
        ts_tile_lock empty = ts_design_lock(d, mem, "e", 1), full = ts_design_lock(d, mem, "f", 0);
        ts_design_dma(d, mem, TS_S2MM, 0, (ts_ring_step[]){{.buffer = b, .acquire = empty, .release = full}}, 1);
        ts_design_dma(d, mem, TS_MM2S, 0, (ts_ring_step[]){{.buffer = b, .acquire = full, .release = empty}}, 1);
        ts_design_flow(d, ts_end_dma(shim, 0), (ts_end[]){ts_end_dma(mem, 0)}, 1);
        ts_design_flow(d, ts_end_dma(mem, 0), (ts_end[]){ts_end_dma(shim, 0)}, 1);
        if (ts_design_finish(d, &pdi, NULL, NULL) != TS_OK) abort();
        ts_design_free(d);
        ts_dispatch_init(&p, &ts_npu1, 1);
        ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_S2MM, .arg = 1, .words = 16, .token = true});
        ts_dispatch_task(&p, &(ts_shim_task){.dir = TS_MM2S, .words = 16});
        ts_dispatch_wait(&p, 0, TS_S2MM, 0);
        ts_dispatch_implies(&p, 0, TS_MM2S, 0);
        if (ts_dispatch_finish(&p, &txn, NULL) != TS_OK) abort();
        ts_dispatch_free(&p);
    }
    memcpy(c->ram, pdi.data, pdi.len);
    memcpy(c->ram + STREAM_OFF, txn.data, txn.len);
    return (uint32_t)txn.len / 4;
}

/* A context as the driver makes it; false: something of it was not answered. */
static bool context(client *c, ring *mgmt, ring *ch) {
    static const uint8_t create[28] = {1, [4] = 1, 1, [8] = 1};
    answer a;
    if (!driver_ask(c, mgmt, 2, create, sizeof create, &a) || a.word[0]) return false;
    const uint32_t *w = a.word, heap[5] = {w[1], RAM_AT, 0, RAM / 2, 0}, cu[33] = {1, 0x4000000 >> 15};
    *ch = (ring){w[4], w[3], w[5], w[6], w[8], w[7], w[9], w[10], w[2] & 15, 0, 0, 0};
    return driver_ask(c, mgmt, 0x106, heap, sizeof heap, &a) && driver_ask(c, ch, 0x11, cu, sizeof cu, &a) &&
           !a.word[0];
}

static void records(npu1 *n, client *c, input *in) {
    ring r[2]; /* management, the context */
    uint32_t minor;
    uint8_t b[1024];
    char reply[512];
    answer a;
    if (client_version(c) || client_map(c, RAM_AT, RAM, 0, 3) || !driver_irqs(c) || !driver_start(c, &r[0], &minor))
        abort();
    uint32_t words = prepare(c);
    if (!context(c, &r[0], &r[1])) abort();
    for (int i = 0; in->len && i < RECORDS_MAX; i++) {
        uint32_t what = take(in, 1), x, y;
        switch (what % 12) {
        case 0: /* a message of any kind: command, flags, size beyond what comes */
            x = take(in, 1), y = take(in, 1);
            memset(b, 0, sizeof b);
            uint32_t len = take_some(in, b, 256), size = 16 + len + (y & 8 ? take(in, 4) : 0);
            if (!client_send_sized(c, (uint16_t)x, size, y & 0x37, b, len, &c->ram_fd, y >> 6 & 1)) return;
            if (size != 16 + len) return; /* it waits for the rest, or has hung up */
            if (!(y & 0x10)) client_answer(c, (uint16_t)x);
            break;
        case 1: /* write to a BAR */
            x = take(in, 1) & 7, y = take(in, 3);
            uint32_t bytes = take_some(in, b, 64);
            if (bytes && client_write(c, x, y, b, bytes, true)) return;
            break;
        case 2: client_read(c, take(in, 1) & 7, take(in, 3), NULL, 1 + take(in, 1)); break;
        case 3: /* a message of the driver's */
            x = take(in, 1) & 1, y = take(in, 2) & 0x1ff;
            memset(b, 0, sizeof b);
            driver_send(c, &r[x], y, b, take_some(in, b, 128));
            if (r[x].x2i_tail >= 3000) return;
            break;
        case 4: /* the command that is good, its words changed */
        {
            uint32_t w[20] = {0, 3, 0, 0x4000000 + STREAM_OFF, 0, words, RAM_AT + RAM / 2, 0, RAM_AT + RAM / 2 + 4096,
                              0};
            x = take(in, 1);
            if (x < 20) w[x] ^= take(in, 4);
            driver_send(c, &r[1], 0xC, w, sizeof w);
            if (r[1].x2i_tail >= 3000) return;
            break;
        }
        case 5: /* guest memory: configuration, stream, anything */
            y = take(in, 3) & (RAM - 1);
            x = take_some(in, b, 64);
            if (y + x <= RAM) memcpy(c->ram + y, b, x);
            break;
        case 6:
            client_map(c, (uint64_t)take(in, 2) << 12, (uint64_t)take(in, 1) << 12, (uint64_t)take(in, 1) << 12,
                       take(in, 1) & 7);
            break;
        case 7: client_unmap(c, (uint64_t)take(in, 3) << 12, (uint64_t)take(in, 2) << 12, take(in, 1) & 3); break;
        case 8: /* an order */
            x = take_some(in, b, 60);
            b[x] = 0;
            if (!strstr((char *)b, "delay")) npu1_order(n, (char *)b, reply, sizeof reply);
            break;
        case 9: driver_psp(c, take(in, 1) & 3); break;
        case 10:
            x = take(in, 2);
            driver_smu(c, take(in, 1) & 15, &x);
            break;
        case 11: driver_take(c, &r[take(in, 1) & 1], &a, 3); break; /* let it work */
        }
    }
}

/* Bytes of any kind, while answers are read and thrown away. */
static void stream(client *c, const uint8_t *data, size_t len) {
    static uint8_t sink[65536];
    bool more = true;
    while (more) {
        struct pollfd p = {.fd = c->sock, .events = POLLIN | (len ? POLLOUT : 0)};
        if (poll(&p, 1, CLIENT_TIMEOUT_MS) <= 0) abort();
        if (p.revents & (POLLIN | POLLHUP)) more = recv(c->sock, sink, sizeof sink, MSG_DONTWAIT) > 0;
        if (!len || !(p.revents & POLLOUT)) continue;
        ssize_t n = send(c->sock, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) data += n, len -= (size_t)n;
        else len = 0;
        if (!len) shutdown(c->sock, SHUT_WR);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (!len) return 0;
    vfu *v = vfu_new();
    npu1 *n = v ? npu1_new(v, &(npu1_options){.minor = 8, .max_cycles = MAX_CYCLES, .quiet = true}) : NULL;
    client *c = n ? client_start(v, RAM) : NULL;
    if (!c) abort();
    if (data[0] & 1) records(n, c, &(input){data + 1, len - 1});
    else if (len > 1) stream(c, data + 1, len - 1);
    client_stop(c);
    if (dma_get_counts(vfu_memory(v)).ranges) abort();
    npu1_free(n);
    vfu_free(v);
    return 0;
}
