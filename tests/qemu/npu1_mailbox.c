/* The rings of messages: 8 KiB of SRAM and eight registers for each channel. The places are this device's own
 * choice, the driver is told them. The guest is free to write anything anywhere: what it can reach is checked
 * whenever it is read. */
#include "qemu/npu1_int.h"

#include <string.h>

enum {
    RINGS_AT = 0x30A0000, /* x2i and i2x of channel 0, then of channel 1, ... */
    CHANNEL_REGS = 32,    /* bytes of registers for a channel */
    X2I_HEAD = 0,
    X2I_TAIL = 4,
    I2X_HEAD = 16,
    PENDING = 20, /* the driver looks for it behind I2X_HEAD: 1 says that there are answers */
    I2X_TAIL = 24,
    VERSION_BIT = 1 << 16,
};
#define TOMBSTONE 0xDEADFACEu /* in place of a message: go on at the ring's begin */

static uint32_t *reg(npu1 *n, int channel, int which) {
    return &n->mreg[(CHANNEL_REGS * channel + which) / 4];
}

static uint8_t *ring(npu1 *n, int channel, bool i2x) {
    return n->sram + (RINGS_AT - BAR2_AT) + 2 * RING_BYTES * channel + (i2x ? RING_BYTES : 0);
}

void npu1_describe_channel(int channel, uint32_t w[8]) {
    uint32_t r = BAR4_AT + CHANNEL_REGS * (uint32_t)channel, b = RINGS_AT + 2 * RING_BYTES * (uint32_t)channel;
    const uint32_t all[8] = {r + X2I_TAIL, r + X2I_HEAD,   b,         RING_BYTES, r + I2X_TAIL,
                             r + I2X_HEAD, b + RING_BYTES, RING_BYTES};
    memcpy(w, all, sizeof all);
}

void npu1_open_channel(npu1 *n, int channel) {
    n->channel[channel] = (npu1_channel){.open = true};
    memset(reg(n, channel, 0), 0, CHANNEL_REGS);
}

static void break_channel(npu1 *n, int channel, const char *why, uint32_t value) {
    n->channel[channel].broken = true;
    npu1_say(n, "channel %d: %s 0x%x: no further message is taken", channel, why, value);
}

bool npu1_waiting(const npu1 *n, int channel) {
    const npu1_channel *c = &n->channel[channel];
    return n->alive && c->open && !c->broken && n->mreg[(CHANNEL_REGS * channel + X2I_TAIL) / 4] != c->x2i_head;
}

bool npu1_take(npu1 *n, int channel, npu1_message *m) {
    npu1_channel *c = &n->channel[channel];
    const uint8_t *r = ring(n, channel, false);
    while (npu1_waiting(n, channel)) {
        uint32_t head = c->x2i_head, tail = *reg(n, channel, X2I_TAIL), h[HEAD_BYTES / 4];
        if (tail > RING_BYTES || tail % 4) {
            break_channel(n, channel, "tail", tail);
            return false;
        }
        memcpy(h, r + head, 4);
        if (head > RING_BYTES - HEAD_BYTES || h[0] == TOMBSTONE) {
            if (!head) {
                break_channel(n, channel, "a tombstone at", head);
                return false;
            }
            c->x2i_head = *reg(n, channel, X2I_HEAD) = 0;
            continue;
        }
        memcpy(h, r + head, sizeof h);
        if (h[0] > PAYLOAD_MAX || h[0] % 4 || HEAD_BYTES + h[0] > RING_BYTES - head ||
            (tail > head && HEAD_BYTES + h[0] > tail - head)) {
            break_channel(n, channel, "a message of bytes", h[0]);
            return false;
        }
        memset(m, 0, sizeof *m);
        m->len = h[0], m->id = h[2], m->op = h[3];
        memcpy(m->bytes, r + head + HEAD_BYTES, m->len);
        c->x2i_head = *reg(n, channel, X2I_HEAD) = head + HEAD_BYTES + m->len;
        n->counts.messages++;
        npu1_say(n, "channel %d: message 0x%x, %u bytes", channel, m->op, m->len);
        return true;
    }
    return false;
}

void npu1_answer(npu1 *n, int channel, uint32_t id, uint32_t op, const void *data, uint32_t len) {
    npu1_channel *c = &n->channel[channel];
    uint8_t *r = ring(n, channel, true);
    uint32_t head = *reg(n, channel, I2X_HEAD), tail = c->i2x_tail, size = HEAD_BYTES + len;
    const uint32_t h[HEAD_BYTES / 4] = {len, len | VERSION_BIT, id, op}, tombstone = TOMBSTONE;
    /* up to the end of the ring, where a word is left for a tombstone; or again from its begin; never up to the head
     * itself, for that would mean an empty ring */
    bool behind = tail >= head, here = behind ? tail + size <= RING_BYTES - 4 : tail + size < head;
    if (head > RING_BYTES || (!here && (!behind || size >= head))) {
        npu1_say(n, "channel %d: no room for the answer to 0x%x", channel, op);
        return;
    }
    if (!here) {
        memcpy(r + tail, &tombstone, sizeof tombstone);
        tail = 0;
    }
    memcpy(r + tail, h, sizeof h);
    memcpy(r + tail + HEAD_BYTES, data, len);
    c->i2x_tail = *reg(n, channel, I2X_TAIL) = tail + size;
    *reg(n, channel, PENDING) = 1;
    vfu_interrupt(n->v, (uint32_t)channel);
}

void npu1_mailbox_written(npu1 *n, uint32_t off, uint32_t len) {
    npu1_message m;
    for (int ch = 0; ch < NPU1_CHANNELS; ch++) { /* what is the device's stays as it was */
        *reg(n, ch, X2I_HEAD) = n->channel[ch].x2i_head;
        *reg(n, ch, I2X_TAIL) = n->channel[ch].i2x_tail;
    }
    if (off >= CHANNEL_REGS * NPU1_CHANNELS || !len) return;
    while (npu1_take(n, 0, &m)) npu1_manage(n, &m);
    pthread_cond_signal(&n->work);
}
