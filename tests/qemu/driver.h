/* driver.h - what the amdxdna driver does with an npu1, by hand: PSP, SMU, mailbox rings, messages. Like client.h it
 * reports with return values. */
#ifndef TS_TESTS_QEMU_DRIVER_H
#define TS_TESTS_QEMU_DRIVER_H

#include "qemu/client.h"
#include "qemu/npu1.h"

/* Addresses on the NPU's bus, and messages; written down here a second time, from the driver's source. */
enum {
    D_PSP_GO = 0x3010090,
    D_SMU_GO = 0x3010094,
    D_PSP_COMMAND = 0x30100A0,
    D_PSP_RESPONSE = 0x30100A4,
    D_SMU_COMMAND = 0x30100AC,
    D_SMU_RESPONSE = 0x30100B0,
    D_SMU_ARG = 0x30100B4,
    D_WAIT_MODE = 0x3010034,
    D_ALIVE = 0x30BF000,
};
#define D_PSP_READY 0x80000000u
#define D_TOMBSTONE 0xDEADFACEu

typedef struct ring { /* a pair of them */
    /* on the bus */
    uint32_t x2i_tail_reg, x2i_head_reg, x2i_buf, x2i_bytes, i2x_tail_reg, i2x_head_reg, i2x_buf, i2x_bytes;
    uint32_t vector, x2i_tail, i2x_head, next;
} ring;

typedef struct answer {
    uint32_t id, op, len;
    uint32_t word[64];
} answer;

/* Which BAR an address of the bus is in, and where. */
static inline uint32_t driver_place(uint32_t addr, uint64_t *off) {
    uint32_t at = addr >= 0x30C0000 ? 0x30C0000 : addr >= 0x3080000 ? 0x3080000 : 0x3000000;
    *off = addr - at;
    return at == 0x30C0000 ? 4 : at == 0x3080000 ? 2 : 0;
}

static inline uint32_t driver_read(client *c, uint32_t addr) {
    uint64_t off;
    uint32_t value = 0xEEEEEEEE, bar = driver_place(addr, &off);
    return client_read(c, bar, off, &value, 4) ? 0xEEEEEEEE : value;
}

static inline void driver_write_some(client *c, uint32_t addr, const void *data, uint32_t len) {
    uint64_t off;
    uint32_t bar = driver_place(addr, &off);
    if (client_write(c, bar, off, data, len, true)) abort();
}

static inline void driver_write(client *c, uint32_t addr, uint32_t value) {
    driver_write_some(c, addr, &value, 4);
}

/* The response; 0 is good. 0xFFFFFFFF: the PSP is not ready. */
static inline uint32_t driver_psp(client *c, uint32_t command) {
    if (!(driver_read(c, D_PSP_COMMAND) & D_PSP_READY)) return 0xFFFFFFFF;
    driver_write(c, D_PSP_COMMAND, command);
    driver_write(c, D_PSP_RESPONSE, 0x1000); /* an argument */
    driver_write(c, D_PSP_GO, 0);
    driver_write(c, D_PSP_GO, 1);
    if (!(driver_read(c, D_PSP_COMMAND) & D_PSP_READY)) return 0xFFFFFFFF;
    return driver_read(c, D_PSP_RESPONSE);
}

/* The response, 1 is good; *value: argument and result. */
static inline uint32_t driver_smu(client *c, uint32_t command, uint32_t *value) {
    driver_write(c, D_SMU_RESPONSE, 0);
    driver_write(c, D_SMU_ARG, *value);
    driver_write(c, D_SMU_COMMAND, command);
    driver_write(c, D_SMU_GO, 0);
    driver_write(c, D_SMU_GO, 1);
    *value = driver_read(c, D_SMU_ARG);
    return driver_read(c, D_SMU_RESPONSE);
}

/* PSP start, then the record; false: the firmware is not alive, or the record makes no sense. */
static inline bool driver_start(client *c, ring *mgmt, uint32_t *minor) {
    uint32_t w[16];
    if (driver_psp(c, 1) || driver_psp(c, 2)) return false;
    uint32_t at = driver_read(c, D_ALIVE);
    if (!at) return false;
    for (uint32_t i = 0; i < 16; i++) w[i] = driver_read(c, at + 4 * i);
    driver_write(c, D_ALIVE, 0);
    if (w[8] != 0x55504E5F || w[10] != 5) return false;
    *mgmt = (ring){w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[9], 0, 0, 0};
    *minor = w[11];
    return true;
}

/* Descriptors for all vectors. */
static inline bool driver_irqs(client *c) {
    for (int i = 0; i < CLIENT_VECTORS; i++) {
        c->irq[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (c->irq[i] < 0) return false;
    }
    return !client_set_irqs(c, 4 | 0x20, 2, 0, CLIENT_VECTORS, c->irq, CLIENT_VECTORS);
}

/* Put a message into the ring; its number. */
static inline uint32_t driver_send(client *c, ring *ch, uint32_t op, const void *payload, uint32_t len) {
    uint8_t m[16 + 1024];
    uint32_t id = 0x1D000000 | (ch->next++ & 255), tail = ch->x2i_tail;
    const uint32_t head[4] = {len, len | 1 << 16, id, op}, tombstone = D_TOMBSTONE;
    if (len > 1024) abort();
    memcpy(m, head, sizeof head);
    memcpy(m + 16, payload, len);
    if (tail + 16 + len > ch->x2i_bytes - 4) {
        driver_write(c, ch->x2i_buf + tail, tombstone);
        tail = 0;
    }
    driver_write_some(c, ch->x2i_buf + tail, m, 16 + len);
    ch->x2i_tail = tail + 16 + len;
    driver_write(c, ch->x2i_tail_reg, ch->x2i_tail);
    return id;
}

/* The next answer, if one comes within so many milliseconds. */
static inline bool driver_take(client *c, ring *ch, answer *a, int ms) {
    while (driver_read(c, ch->i2x_tail_reg) == ch->i2x_head) {
        uint64_t n;
        struct pollfd p = {.fd = c->irq[ch->vector], .events = POLLIN};
        if (poll(&p, 1, ms) <= 0) return false;
        if (read(p.fd, &n, sizeof n) != sizeof n) return false;
        driver_write(c, ch->i2x_head_reg + 4, 0);
    }
    uint32_t h[4];
    for (uint32_t i = 0; i < 4; i++) h[i] = driver_read(c, ch->i2x_buf + ch->i2x_head + 4 * i);
    if (h[0] == D_TOMBSTONE && ch->i2x_head) {
        ch->i2x_head = 0;
        driver_write(c, ch->i2x_head_reg, 0);
        return driver_take(c, ch, a, ms);
    }
    if (h[0] > sizeof a->word || h[1] != (h[0] | 1 << 16)) return false;
    *a = (answer){.id = h[2], .op = h[3], .len = h[0]};
    for (uint32_t i = 0; i < h[0] / 4; i++) a->word[i] = driver_read(c, ch->i2x_buf + ch->i2x_head + 16 + 4 * i);
    ch->i2x_head += 16 + h[0];
    driver_write(c, ch->i2x_head_reg, ch->i2x_head);
    return true;
}

/* A message and its answer; false: none, or one to another message. */
static inline bool driver_ask(client *c, ring *ch, uint32_t op, const void *payload, uint32_t len, answer *a) {
    uint32_t id = driver_send(c, ch, op, payload, len);
    return driver_take(c, ch, a, CLIENT_TIMEOUT_MS) && a->id == id && a->op == op;
}

#endif
