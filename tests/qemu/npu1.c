#include "qemu/npu1_int.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    PSP_GO = 0x3010090,
    SMU_GO = 0x3010094,
    PSP_COMMAND = 0x30100A0, /* reads as the status */
    PSP_ARG0 = 0x30100A4,    /* reads as the response, 0: good */
    SMU_COMMAND = 0x30100AC,
    SMU_RESPONSE = 0x30100B0,
    SMU_ARG = 0x30100B4, /* reads as the result */
    ALIVE = 0x30BF000,   /* in SRAM: where the record of the management channel is; 0: not alive */
    RECORD = 0x30BF040,  /* a place of our choice */
};
enum { PSP_VALIDATE = 1, PSP_START = 2, PSP_RELEASE = 3 };
enum { SMU_POWER_ON = 3, SMU_POWER_OFF = 4, SMU_NPU_CLOCK = 5, SMU_H_CLOCK = 6, SMU_SOFT_DPM = 7, SMU_HARD_DPM = 8 };
#define PSP_READY     0x80000000u
#define PSP_BAD_STATE 0xFFFF0007u
#define SMU_DONE      1u
#define SMU_UNKNOWN   0xFEu /* [guess]: anything but 1 */
#define MAGIC         0x55504E5Fu

void npu1_say(const npu1 *n, const char *fmt, ...) {
    if (!n->o.verbose) return;
    char line[256];
    struct timespec t;
    va_list ap;
    clock_gettime(CLOCK_MONOTONIC, &t);
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "npu1 %lld.%06ld %s\n", (long long)t.tv_sec, t.tv_nsec / 1000, line);
}

static uint32_t *reg(npu1 *n, uint32_t addr) {
    return &n->reg[(addr - BAR0_AT) / 4];
}

/* ---- PSP and SMU ------------------------------------------------------------------------------------------------- */

static void stop(npu1 *n) {
    for (int i = 0; i < NPU1_CONTEXTS; i++) npu1_drop_context(n, i);
    memset(n->sram, 0, sizeof n->sram);
    memset(n->mbox, 0, sizeof n->mbox);
    memset(n->channel, 0, sizeof n->channel);
    n->n_async = 0;
    n->alive = n->validated = false;
    *reg(n, REG_WAIT_MODE) = 0;
}

static void start(npu1 *n) {
    uint32_t record[16] = {[8] = MAGIC, [9] = 0 /* vector */, [10] = 5, [11] = n->minor};
    const uint32_t at = RECORD;
    stop(n);
    if (n->dead) {
        npu1_say(n, "the firmware does not come alive, as ordered");
        return;
    }
    if (n->o.pasid) pasid_ask(n->o.pasid);
    npu1_open_channel(n, 0);
    npu1_describe_channel(0, record);
    memcpy(n->sram + (RECORD - BAR2_AT), record, sizeof record);
    memcpy(n->sram + (ALIVE - BAR2_AT), &at, sizeof at);
    n->alive = true;
    n->counts.starts++;
}

/* The image itself is not looked at: it lies at a physical address, which nobody maps for the device on the IOVA
 * road. */
static void psp(npu1 *n) {
    uint32_t command = *reg(n, PSP_COMMAND), response = 0;
    npu1_say(n, "PSP command %u", command);
    if (command == PSP_VALIDATE) {
        stop(n);
        n->validated = true;
    } else if (command == PSP_START && n->validated) {
        start(n);
    } else if (command == PSP_RELEASE) {
        n->counts.suspends += n->alive;
        stop(n);
    } else {
        response = PSP_BAD_STATE;
    }
    *reg(n, PSP_ARG0) = response;
    *reg(n, PSP_COMMAND) = PSP_READY;
}

static void smu(npu1 *n) {
    uint32_t command = *reg(n, SMU_COMMAND), *value = reg(n, SMU_ARG), response = SMU_DONE;
    npu1_say(n, "SMU command %u, %u", command, *value);
    switch (command) {
    case SMU_POWER_ON:
    case SMU_NPU_CLOCK: /* granted as asked: the argument stands as the result */
    case SMU_SOFT_DPM:
    case SMU_HARD_DPM: break;
    case SMU_POWER_OFF: stop(n); break;
    case SMU_H_CLOCK:
        if (n->clock_most && *value > n->clock_most) *value = n->clock_most;
        break;
    default: response = SMU_UNKNOWN;
    }
    *reg(n, SMU_RESPONSE) = response;
}

/* ---- BARs -------------------------------------------------------------------------------------------------------- */

static uint8_t *bytes_of(npu1 *n, int bar) {
    return bar == 0 ? n->bar0 : bar == 2 ? n->sram : bar == 4 ? n->mbox : NULL;
}

static bool covers(uint32_t off, uint32_t len, uint32_t addr) {
    uint32_t at = addr - BAR0_AT;
    return off <= at && len >= 4 && off + len >= at + 4;
}

static void bar_read(void *ud, int bar, uint32_t off, void *data, uint32_t len) {
    npu1 *n = ud;
    const uint8_t *b = bytes_of(n, bar);
    pthread_mutex_lock(&n->lock);
    if (b) memcpy(data, b + off, len);
    else memset(data, 0, len);
    pthread_mutex_unlock(&n->lock);
}

static void bar_write(void *ud, int bar, uint32_t off, const void *data, uint32_t len) {
    npu1 *n = ud;
    uint8_t *b = bytes_of(n, bar);
    if (!b) return;
    pthread_mutex_lock(&n->lock);
    memcpy(b + off, data, len);
    if (bar == 0 && covers(off, len, PSP_GO) && *reg(n, PSP_GO) == 1) psp(n);
    if (bar == 0 && covers(off, len, SMU_GO) && *reg(n, SMU_GO) == 1) smu(n);
    if (bar == 4) npu1_mailbox_written(n, off, len);
    pthread_mutex_unlock(&n->lock);
}

static void power_on(npu1 *n) {
    stop(n);
    memset(n->bar0, 0, sizeof n->bar0);
    *reg(n, PSP_COMMAND) = PSP_READY;
    if (n->o.pasid) pasid_set_table(n->o.pasid, 0);
}

static void reset(void *ud) {
    npu1 *n = ud;
    npu1_say(n, "reset");
    pthread_mutex_lock(&n->lock);
    power_on(n);
    pthread_mutex_unlock(&n->lock);
}

/* ---- PCI configuration ------------------------------------------------------------------------------------------- */

static void put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)value, at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, value), put16(at + 2, value >> 16);
}

/* Source: PCI Express base specification; what Linux asks of a function with PASIDs is in docs/npu/qemu.md. */
static void configuration(vfu_device *d, bool pasids) {
    enum { EXPRESS = 0x40, MSIX = 0x80, PASID = 0x100, ATS = 0x110, PRI = 0x120 };
    uint8_t *c = d->config, *w = d->writable;
    put16(c + 0x00, 0x1022), put16(c + 0x02, 0x1502);
    put16(c + 0x06, 0x0010);                                        /* status: there are capabilities */
    put32(c + 0x08, 0x11800000);                                    /* class: signal processing */
    put32(c + 0x18, 0x0C);                                          /* BAR2: 64 bits, prefetchable */
    put16(c + 0x2C, 0x1022), put16(c + 0x2E, 0x1502);
    c[0x34] = EXPRESS;
    put16(w + 0x04, 0x0547);                                        /* command: memory, master, parity, SERR, no INTx */
    w[0x0C] = w[0x3C] = 0xFF;                                       /* cache line, interrupt line */
    for (int i = 0; i < VFU_BARS; i++)
        if (d->bar_bytes[i]) put32(w + 0x10 + 4 * i, ~(d->bar_bytes[i] - 1));
    put32(w + 0x1C, 0xFFFFFFFF);                                    /* BAR2's upper half */

    c[EXPRESS] = 0x10, c[EXPRESS + 1] = MSIX;
    put16(c + EXPRESS + 0x02, 0x0002);                              /* an endpoint, version 2 */
    put32(c + EXPRESS + 0x04, 0x10008000);                          /* can be reset; role-based errors */
    put16(c + EXPRESS + 0x0C, 0x0011), put16(c + EXPRESS + 0x12, 0x0011); /* 2.5 GT/s, one lane */
    put32(c + EXPRESS + 0x24, 1u << 21);                            /* end-to-end prefixes: a PASID needs them */
    put16(w + EXPRESS + 0x08, 0x7FFF), put16(w + EXPRESS + 0x10, 0x0FFB), put16(w + EXPRESS + 0x28, 0x041F);

    c[MSIX] = 0x11;
    put16(c + MSIX + 2, d->vectors - 1);
    put32(c + MSIX + 4, 1), put32(c + MSIX + 8, 0x1000 | 1);        /* both in BAR1 */
    put16(w + MSIX + 2, 0xC000);
    if (!pasids) return;
    put32(c + PASID, ATS << 20 | 1 << 16 | 0x1B);
    put16(c + PASID + 4, 16 << 8);                                  /* of 16 bits */
    put16(w + PASID + 6, 0x0001);
    put32(c + ATS, PRI << 20 | 1 << 16 | 0x0F);
    put16(c + ATS + 4, 0x0020);                                     /* aligned requests */
    put16(w + ATS + 6, 0x801F);
    put32(c + PRI, 1 << 16 | 0x13);
    put16(c + PRI + 6, 0x0100);                                     /* stopped */
    put32(c + PRI + 8, 32);                                         /* requests at a time */
    put16(w + PRI + 4, 0x0003);
    put32(w + PRI + 12, 0xFFFFFFFF);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

npu1 *npu1_new(vfu *v, const npu1_options *o) {
    npu1 *n = ts_calloc(1, sizeof *n);
    if (!n) return NULL;
    n->v = v;
    n->memory = vfu_memory(v);
    n->o = *o;
    n->minor = o->minor;
    n->function = (vfu_device){.ud = n, .bar_bytes = {BAR0_BYTES, BAR1_BYTES, BAR2_BYTES, 0, BAR4_BYTES, 0},
                               .vectors = 16, .quiet = o->quiet, .bar_read = bar_read, .bar_write = bar_write,
                               .reset = reset};
    configuration(&n->function, o->pasid != NULL);
    power_on(n);
    if (pthread_mutex_init(&n->lock, NULL) || pthread_cond_init(&n->work, NULL) ||
        pthread_create(&n->thread, NULL, npu1_worker, n)) {
        ts_free(n);
        return NULL;
    }
    vfu_set_device(v, &n->function);
    return n;
}

void npu1_free(npu1 *n) {
    if (!n) return;
    pthread_mutex_lock(&n->lock);
    stop(n);
    n->quit = true;
    pthread_cond_signal(&n->work);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    pthread_cond_destroy(&n->work);
    pthread_mutex_destroy(&n->lock);
    ts_free(n);
}

npu1_counts npu1_get_counts(npu1 *n) {
    pthread_mutex_lock(&n->lock);
    npu1_counts c = n->counts;
    c.unmapped = n->unmapped;
    for (int i = 0; i < NPU1_CONTEXTS; i++) {
        c.contexts += n->ctx[i] != NULL;
        c.hung += n->ctx[i] && n->ctx[i]->hung;
    }
    pthread_mutex_unlock(&n->lock);
    return c;
}
