#define _GNU_SOURCE /* memfd_create */
/* The vfio-user server and its map of guest memory: what QEMU sends is answered, and what no client should send is
 * refused. */
#include "qemu/client.h"
#include "support/alloc_fail.h"
#include "support/test.h"

#include <dirent.h>

enum { BAR_BYTES = 0x2000, RAM = 1 << 20, MIB = 1 << 20 };

/* A function with memory behind BAR 0 and two vectors. */
typedef struct toy {
    vfu *v;
    vfu_device d;
    uint8_t bar[BAR_BYTES];
    int resets;
} toy;

static void toy_read(void *ud, int bar, uint32_t off, void *data, uint32_t len) {
    const toy *t = ud;
    if (bar || off > BAR_BYTES || len > BAR_BYTES - off) abort();
    memcpy(data, t->bar + off, len);
}
static void toy_write(void *ud, int bar, uint32_t off, const void *data, uint32_t len) {
    toy *t = ud;
    if (bar || off > BAR_BYTES || len > BAR_BYTES - off) abort();
    memcpy(t->bar + off, data, len);
}
static void toy_reset(void *ud) {
    toy *t = ud;
    t->resets++;
}

static client *start(toy *t) {
    memset(t, 0, sizeof *t);
    t->d = (vfu_device){.ud = t, .bar_bytes = {BAR_BYTES}, .vectors = 2, .quiet = true, .bar_read = toy_read,
                        .bar_write = toy_write, .reset = toy_reset};
    t->d.config[0] = 0x22, t->d.config[1] = 0x10;
    t->d.writable[4] = 0x0f;
    t->v = vfu_new();
    assert_non_null(t->v);
    vfu_set_device(t->v, &t->d);
    client *c = client_start(t->v, RAM);
    assert_non_null(c);
    return c;
}

static client *start_open(toy *t) {
    client *c = start(t);
    assert_int_equal(client_version(c), 0);
    return c;
}

static void stop(toy *t, client *c) {
    client_stop(c);
    assert_int_equal(dma_get_counts(vfu_memory(t->v)).ranges, 0);
    vfu_free(t->v);
}

static int open_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static uint32_t word(const uint8_t *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

/* ---- the protocol ------------------------------------------------------------------------------------------------ */

static void introduction(void **state) {
    (void)state;
    toy t;
    client *c = start(&t);
    uint8_t body[64] = {0};
    uint32_t id = 0;
    /* VERSION comes first */
    assert_int_equal(client_call(c, CMD_GET_INFO, "\20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), EINVAL);
    assert_int_equal(client_read(c, 7, 0, &id, 4), EINVAL);
    assert_int_equal(client_call(c, CMD_VERSION, body, 3), EINVAL);
    assert_int_equal(client_call(c, CMD_VERSION, "\1\0\0\0", 4), EINVAL);    /* 1.0 */
    assert_int_equal(client_call(c, CMD_VERSION, "\0\0\0\0{}", 6), EINVAL);  /* a text without an end */
    assert_int_equal(client_version(c), 0);
    assert_true(c->reply_len > 5 && !c->reply[c->reply_len - 1]);
    assert_non_null(strstr((char *)c->reply + 4, "\"max_dma_maps\":65535"));
    assert_int_equal(client_version(c), EINVAL); /* once */

    memset(body, 0, sizeof body);
    body[0] = 16;
    assert_int_equal(client_call(c, CMD_GET_INFO, body, 16), 0);
    assert_int_equal(c->reply_len, 16);
    assert_int_equal(word(c->reply + 4), 3);
    assert_int_equal(word(c->reply + 8), 9);
    body[0] = 15;
    assert_int_equal(client_call(c, CMD_GET_INFO, body, 16), EINVAL);
    assert_int_equal(client_call(c, CMD_GET_INFO, body, 12), EINVAL);
    for (uint8_t region = 0; region < 10; region++) {
        body[0] = 32, body[8] = region;
        assert_int_equal(client_call(c, CMD_GET_REGION_INFO, body, 32), region < 9 ? 0 : EINVAL);
        if (region < 9) assert_int_equal(word(c->reply + 16), region == 0 ? BAR_BYTES : region == 7 ? 4096 : 0);
    }
    for (uint8_t irq = 0; irq < 6; irq++) {
        body[0] = 16, body[8] = irq;
        assert_int_equal(client_call(c, CMD_GET_IRQ_INFO, body, 16), irq < 5 ? 0 : EINVAL);
        if (irq < 5) assert_int_equal(word(c->reply + 12), irq == 2 ? 2 : 0);
    }
    assert_int_equal(client_call(c, CMD_GET_REGION_FDS, body, 16), ENOTSUP);
    assert_int_equal(client_call(c, 0, NULL, 0), ENOTSUP);
    assert_int_equal(client_call(c, 11, body, 16), ENOTSUP);
    assert_int_equal(client_call(c, 0xffff, body, 16), ENOTSUP);
    assert_int_equal(client_call(c, CMD_RESET, body, 4), EINVAL);
    assert_int_equal(client_call(c, CMD_RESET, NULL, 0), 0);
    assert_int_equal(t.resets, 1);
    /* what is no command, and flags that nobody knows */
    assert_true(client_send_sized(c, CMD_RESET, 16, 1, NULL, 0, NULL, 0));
    assert_int_equal(client_answer(c, CMD_RESET), EINVAL);
    assert_true(client_send_sized(c, CMD_RESET, 16, 0x100, NULL, 0, NULL, 0));
    assert_int_equal(client_answer(c, CMD_RESET), EINVAL);
    assert_int_equal(t.resets, 1);
    assert_true(vfu_get_counts(t.v).refused >= 15);
    stop(&t, c);
}

static void regions(void **state) {
    (void)state;
    toy t;
    client *c = start_open(&t);
    uint8_t b[64], data[64];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i + 1);
    assert_int_equal(client_write(c, 0, 0x10, data, 16, false), 0);
    assert_int_equal(c->reply_len, 16);
    assert_int_equal(client_write(c, 0, 0x20, data + 16, 3, true), 0); /* no answer */
    assert_int_equal(client_read(c, 0, 0x10, b, 19), 0);
    assert_memory_equal(b, data, 19);
    assert_int_equal(client_read(c, 0, BAR_BYTES - 4, b, 4), 0);
    assert_int_equal(client_read(c, 0, BAR_BYTES - 3, NULL, 4), EINVAL); /* over the end */
    assert_int_equal(client_read(c, 0, BAR_BYTES, NULL, 1), EINVAL);
    assert_int_equal(client_read(c, 0, UINT64_MAX, NULL, 1), EINVAL);
    assert_int_equal(client_read(c, 0, UINT64_MAX - 3, NULL, 8), EINVAL);
    assert_int_equal(client_read(c, 0, 0, NULL, 0), EINVAL);
    assert_int_equal(client_read(c, 1, 0, NULL, 4), EINVAL); /* no such BAR */
    assert_int_equal(client_read(c, 8, 0, NULL, 4), EINVAL);
    assert_int_equal(client_read(c, UINT32_MAX, 0, NULL, 4), EINVAL);
    assert_int_equal(client_read(c, 0, 0, NULL, BAR_BYTES + 1), EINVAL);
    assert_int_equal(client_read(c, 0, 0, NULL, UINT32_MAX), EINVAL);
    assert_int_equal(client_read(c, 0, 0, NULL, UINT32_MAX - 15), EINVAL);
    assert_int_equal(client_write(c, 0, BAR_BYTES - 2, data, 4, false), EINVAL);
    /* a count that is not that of the bytes which came */
    memset(b, 0, sizeof b);
    b[12] = 8;
    assert_int_equal(client_call(c, CMD_REGION_WRITE, b, 20), EINVAL);
    assert_int_equal(client_call(c, CMD_REGION_WRITE, b, 28), EINVAL);
    assert_int_equal(client_call(c, CMD_REGION_WRITE, b, 8), EINVAL);
    assert_int_equal(client_call(c, CMD_REGION_READ, b, 17), EINVAL);
    /* a posted write that is refused is not answered either */
    assert_int_equal(client_write(c, 0, BAR_BYTES, data, 4, true), 0);
    /* configuration space: only what is writable changes */
    assert_int_equal(client_write(c, 7, 0, "\xff\xff\xff\xff\xff\xff", 6, false), 0);
    assert_int_equal(client_read(c, 7, 0, b, 6), 0);
    assert_memory_equal(b, "\x22\x10\x00\x00\x0f\x00", 6);
    assert_int_equal(client_read(c, 7, 4092, b, 4), 0);
    assert_int_equal(client_read(c, 7, 4093, NULL, 4), EINVAL);
    assert_int_equal(client_call(c, CMD_RESET, NULL, 0), 0);
    assert_int_equal(client_read(c, 7, 4, b, 1), 0);
    assert_int_equal(b[0], 0);
    stop(&t, c);
}

static void interrupts(void **state) {
    (void)state;
    enum { NONE = 1, BOOL = 2, EVENTFD = 4, MASK = 8, TRIGGER = 0x20, MSIX = 2 };
    toy t;
    client *c = start_open(&t);
    int before = open_fds(), fd[3];
    uint64_t n = 0;
    for (int i = 0; i < 3; i++) fd[i] = eventfd(0, EFD_CLOEXEC);
    vfu_interrupt(t.v, 0); /* not switched on: nothing */
    assert_int_equal(client_set_irqs(c, EVENTFD | TRIGGER, MSIX, 0, 1, fd, 1), 0); /* in pieces */
    assert_int_equal(client_set_irqs(c, EVENTFD | TRIGGER, MSIX, 1, 1, fd + 1, 1), 0);
    vfu_interrupt(t.v, 1);
    assert_int_equal(read(fd[1], &n, 8), 8);
    assert_int_equal(n, 1);
    vfu_interrupt(t.v, 2); /* beyond what there is */
    vfu_interrupt(t.v, UINT32_MAX);
    assert_int_equal(client_set_irqs(c, NONE | TRIGGER, MSIX, 0, 1, NULL, 0), 0); /* try one */
    assert_int_equal(read(fd[0], &n, 8), 8);
    uint8_t both[22] = {20, [4] = BOOL | TRIGGER, [8] = MSIX, [16] = 2, [21] = 1};
    assert_int_equal(client_call(c, CMD_SET_IRQS, both, 22), 0);
    assert_int_equal(read(fd[1], &n, 8), 8);
    assert_int_equal(client_call(c, CMD_SET_IRQS, both, 21), EINVAL);
    assert_int_equal(vfu_get_counts(t.v).interrupts, 3);
    assert_int_equal(client_set_irqs(c, EVENTFD | TRIGGER, MSIX, 1, 1, NULL, 0), 0); /* -1: off */
    vfu_interrupt(t.v, 1);
    assert_int_equal(vfu_get_counts(t.v).interrupts, 3);
    assert_int_equal(client_set_irqs(c, EVENTFD | TRIGGER, MSIX, 0, 2, fd, 2), 0); /* others in their place */

    static const struct {
        uint32_t flags, index, start, count;
        int n_fds;
    } bad[] = {
        {EVENTFD | TRIGGER, MSIX, 0, 3, 3},          /* more vectors than there are */
        {EVENTFD | TRIGGER, MSIX, 2, 1, 1},
        {EVENTFD | TRIGGER, MSIX, UINT32_MAX, 2, 2}, /* start + count is 1 */
        {EVENTFD | TRIGGER, MSIX, 1, UINT32_MAX, 0},
        {EVENTFD | TRIGGER, MSIX, 0, 2, 1},          /* fewer descriptors than vectors */
        {EVENTFD | TRIGGER, MSIX, 0, 1, 2},
        {EVENTFD | TRIGGER, MSIX, 0, 0, 1},
        {EVENTFD | TRIGGER, 0, 0, 1, 1},             /* no INTx */
        {EVENTFD | TRIGGER, 5, 0, 1, 1},
        {NONE | TRIGGER, MSIX, 0, 3, 0},
        {NONE | TRIGGER, MSIX, 0, 1, 1},
        {NONE | MASK, MSIX, 0, 1, 0},
        {EVENTFD | NONE | TRIGGER, MSIX, 0, 1, 1},
        {TRIGGER, MSIX, 0, 1, 0},
        {BOOL | TRIGGER, MSIX, 0, UINT32_MAX, 0},
        {0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (client_set_irqs(c, bad[i].flags, bad[i].index, bad[i].start, bad[i].count, fd, bad[i].n_fds) != EINVAL)
            fail_msg("SET_IRQS %zu is taken", i);
    vfu_interrupt(t.v, 0); /* all of that has changed nothing */
    assert_int_equal(read(fd[0], &n, 8), 8);
    assert_int_equal(client_set_irqs(c, NONE | TRIGGER, MSIX, 0, 0, NULL, 0), 0); /* all off */
    for (int i = 0; i < 3; i++) close(fd[i]);
    assert_int_equal(open_fds(), before); /* the server has kept none, of the refused ones neither */
    stop(&t, c);
}

/* Descriptors with messages that take none, and more than there is room for: closed. */
static void stray_descriptors(void **state) {
    (void)state;
    toy t;
    client *c = start_open(&t);
    int fd[40], before = open_fds();
    for (int i = 0; i < 40; i++) fd[i] = c->ram_fd;
    uint8_t body[32] = {32};
    assert_int_equal(client_call_fds(c, CMD_RESET, NULL, 0, fd, 3), EINVAL);
    assert_int_equal(client_call_fds(c, CMD_GET_INFO, body, 16, fd, 16), EINVAL);
    assert_int_equal(client_call_fds(c, CMD_DMA_MAP, body, 32, fd, 2), EINVAL);
    assert_int_equal(client_call_fds(c, CMD_RESET, NULL, 0, fd, 40), EINVAL);
    /* in the middle of a message, too */
    uint32_t head[4] = {++c->next_id | (uint32_t)CMD_GET_INFO << 16, 32, 0, 0};
    assert_true(client_send_raw(c, head, 10, fd, 10));
    assert_true(client_send_raw(c, (uint8_t *)head + 10, 6, fd, 10));
    assert_true(client_send_raw(c, body, 16, fd, 10));
    assert_int_equal(client_answer(c, CMD_GET_INFO), EINVAL);
    assert_int_equal(open_fds(), before);
    stop(&t, c);
}

/* The connection ends where the next message cannot be found, or when the client hangs up anywhere in one. */
static void broken_framing(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 15, 16 + VFU_BODY_MAX + 1, UINT32_MAX};
    int before = open_fds();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        toy t;
        client *c = start_open(&t);
        char byte;
        assert_true(client_send_sized(c, CMD_RESET, sizes[i], 0, NULL, 0, NULL, 0));
        assert_int_equal(client_answer(c, CMD_RESET), EINVAL);
        assert_false(client_receive(c, &byte, 1)); /* gone */
        stop(&t, c);
        assert_int_equal(t.resets, 0);
    }
    for (uint32_t cut = 1; cut < 48; cut++) {
        toy t;
        client *c = start_open(&t);
        uint8_t m[48] = {1, 0, CMD_DMA_MAP, 0, 48, [16] = 32, [20] = 3, [16 + 25] = 0x10};
        assert_int_equal(client_map(c, 0, 0x1000, 0, 3), 0);
        assert_true(client_send_raw(c, m, cut, &c->ram_fd, 1));
        stop(&t, c);
    }
    assert_int_equal(open_fds(), before);
}

/* ---- guest memory ------------------------------------------------------------------------------------------------ */

static void memory(void **state) {
    (void)state;
    toy t;
    client *c = start_open(&t);
    dma_map *m = vfu_memory(t.v);
    uint8_t b[16] = {0};
    assert_int_equal(client_map(c, 0x100000, 0x4000, 0, 3), 0);
    /* goes on, elsewhere in the file, only to be read */
    assert_int_equal(client_map(c, 0x104000, 0x1000, 0x8000, 1), 0);
    assert_int_equal(client_map(c, UINT64_MAX - 0xfff, 0x1000, 0xf000, 3), 0); /* up to the end of addresses */
    strcpy((char *)c->ram + 0x3ffc, "abcd");
    strcpy((char *)c->ram + 0x8000, "efgh");
    assert_true(dma_read(m, 0x103ffc, b, 8)); /* over the seam */
    assert_memory_equal(b, "abcdefgh", 8);
    assert_true(dma_write(m, 0x100010, "x", 1));
    assert_int_equal(c->ram[0x10], 'x');
    assert_false(dma_write(m, 0x104000, "x", 1));
    assert_false(dma_read(m, 0x104fff, b, 2));
    assert_false(dma_read(m, 0xfffff, b, 2));
    assert_true(dma_write(m, UINT64_MAX, "y", 1));
    assert_int_equal(c->ram[0xffff], 'y');
    assert_false(dma_write(m, UINT64_MAX, "yz", 2)); /* 0 is not behind it */

    static const struct {
        uint64_t addr, size, offset;
        uint32_t flags;
        int error;
    } bad[] = {
        {0x100000, 0x1000, 0, 3, EEXIST}, {0xff000, 0x2000, 0, 3, EEXIST}, {0x103000, 0x1000, 0, 3, EEXIST},
        {0x104000, 0x2000, 0, 3, EEXIST}, {0, UINT64_MAX - 0xfff, 0, 3, EEXIST},
        {UINT64_MAX - 0xfff, 0x1000, 0, 3, EEXIST}, {0x200000, 0, 0, 3, EINVAL}, {0x200001, 0x1000, 0, 3, EINVAL},
        {0x200000, 0x1001, 0, 3, EINVAL}, {0x200000, 0x1000, 1, 3, EINVAL}, {0x200000, 0x1000, 0, 0, EINVAL},
        {0x200000, 0x1000, 0, 4, EINVAL}, {UINT64_MAX - 0xfff, 0x2000, 0, 3, EINVAL},
        {0x200000, RAM + 0x1000, 0, 3, EINVAL}, {0x200000, 0x1000, RAM, 3, EINVAL},
        {0x200000, 0x2000, RAM - 0x1000, 3, EINVAL}, {0x200000, 0x1000, UINT64_MAX - 0xfff, 3, EINVAL},
        {0x200000, UINT64_MAX - 0x200fff, 0, 3, EINVAL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int e = client_map(c, bad[i].addr, bad[i].size, bad[i].offset, bad[i].flags);
        if (e != bad[i].error) fail_msg("DMA_MAP %zu: %s", i, e < 0 ? "no answer" : strerror(e));
    }
    uint8_t body[32] = {32, [4] = 3, [18] = 0x20, [25] = 0x10};
    assert_int_equal(client_call(c, CMD_DMA_MAP, body, 31), EINVAL);
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC), shrinks = memfd_create("unsealed", MFD_CLOEXEC);
    assert_int_equal(ftruncate(shrinks, 0x1000), 0);
    assert_int_equal(client_call_fds(c, CMD_DMA_MAP, body, 32, &zero, 1), EINVAL);
    assert_int_equal(client_call_fds(c, CMD_DMA_MAP, body, 32, &shrinks, 1), EPERM);
    close(zero), close(shrinks);
    /* without a descriptor: it is there, but out of reach */
    assert_int_equal(client_call(c, CMD_DMA_MAP, body, 32), 0);
    assert_false(dma_read(m, 0x200000, b, 1));
    assert_int_equal(dma_get_counts(m).ranges, 4);

    assert_int_equal(client_unmap(c, 0x100000, 0x2000, 0), EINVAL); /* a part of a range */
    assert_int_equal(client_unmap(c, 0x101000, 0x10000, 0), EINVAL);
    assert_int_equal(client_unmap(c, 0x100000, 0, 0), EINVAL);
    assert_int_equal(client_unmap(c, 0x100000, UINT64_MAX, 0), EINVAL);
    assert_int_equal(client_unmap(c, 0x100000, 0x4000, 1), EINVAL); /* dirty pages */
    assert_int_equal(client_unmap(c, 0x100000, 0x4000, 2), EINVAL); /* all, and yet a range */
    assert_int_equal(client_unmap(c, 0x300000, 0x1000, 0), 0);      /* nothing there: nothing to do */
    assert_int_equal(dma_get_counts(m).ranges, 4);
    assert_int_equal(client_unmap(c, 0x100000, 0x5000, 0), 0); /* two at once */
    assert_int_equal(c->reply_len, 24);
    assert_int_equal(dma_get_counts(m).ranges, 2);
    assert_false(dma_read(m, 0x100000, b, 1));
    assert_int_equal(client_unmap(c, 0, 0, 2), 0);
    assert_int_equal(dma_get_counts(m).ranges, 0);
    assert_int_equal(dma_get_counts(m).bytes, 0);
    stop(&t, c);
}

/* Pages come and go in any order; a plain table says what must be there. And no more than so many. */
static void many_ranges(void **state) {
    (void)state;
    enum { PAGES = 512, STEPS = 20000 };
    client c = {0};
    bool there[PAGES] = {false};
    uint32_t r = 12345;
    dma_map *m = dma_new();
    assert_non_null(m);
    assert_true(client_memory(&c, RAM));
    for (int i = 0; i < STEPS; i++) {
        r = r * 1664525 + 1013904223;
        uint32_t page = r >> 16 & (PAGES - 1), n = 1 + (r >> 8 & 3);
        if (page + n > PAGES) n = 1;
        if (r >> 30) {
            int e = dma_add(m, (uint64_t)page * DMA_PAGE, DMA_PAGE, 3, c.ram_fd, (uint64_t)(page % 256) * DMA_PAGE);
            assert_int_equal(e, there[page] ? EEXIST : 0);
            there[page] = true;
        } else {
            assert_int_equal(dma_remove(m, (uint64_t)page * DMA_PAGE, (uint64_t)n * DMA_PAGE), 0);
            for (uint32_t k = 0; k < n; k++) there[page + k] = false;
        }
    }
    uint64_t n = 0;
    dma_lock(m);
    for (uint32_t p = 0; p < PAGES; p++) {
        size_t len = 2 * DMA_PAGE;
        const uint8_t *at = dma_at(m, (uint64_t)p * DMA_PAGE + 5, true, &len);
        assert_int_equal(at != NULL, there[p]);
        if (at) assert_int_equal(len, DMA_PAGE - 5);
        n += there[p];
    }
    dma_unlock(m);
    assert_int_equal(dma_get_counts(m).ranges, n);
    dma_remove_all(m);
    for (uint64_t i = 0; i < DMA_RANGES_MAX; i++)
        assert_int_equal(dma_add(m, (DMA_RANGES_MAX - i) * DMA_PAGE, DMA_PAGE, 3, c.ram_fd, 0), 0);
    assert_int_equal(dma_add(m, 0, DMA_PAGE, 3, c.ram_fd, 0), ENOSPC);
    assert_int_equal(dma_remove(m, DMA_PAGE, (uint64_t)DMA_RANGES_MAX * DMA_PAGE), 0);
    int fd[DMA_FILES_MAX + 1]; /* different files, at most so many at a time */
    for (int i = 0; i <= DMA_FILES_MAX; i++) {
        client one = {0};
        assert_true(client_memory(&one, DMA_PAGE));
        munmap(one.ram, DMA_PAGE);
        fd[i] = one.ram_fd;
        assert_int_equal(dma_add(m, (uint64_t)i * DMA_PAGE, DMA_PAGE, 3, fd[i], 0), i < DMA_FILES_MAX ? 0 : ENOSPC);
    }
    assert_int_equal(dma_remove(m, 0, DMA_PAGE), 0);
    assert_int_equal(dma_add(m, 0, DMA_PAGE, 3, fd[DMA_FILES_MAX], 0), 0);
    for (int i = 0; i <= DMA_FILES_MAX; i++) close(fd[i]);
    dma_free(m);
    munmap(c.ram, RAM);
    close(c.ram_fd);
}

static bool made(void *ud) {
    const client *c = ud;
    bool ok = false;
    vfu *v = vfu_new();
    if (v)
        ok = !dma_add(vfu_memory(v), 0, DMA_PAGE, 3, c->ram_fd, 0) &&
             !dma_add(vfu_memory(v), DMA_PAGE, DMA_PAGE, 3, c->ram_fd, 0);
    vfu_free(v);
    return ok;
}

static void failing_allocations(void **state) {
    (void)state;
    client c = {0};
    assert_true(client_memory(&c, RAM));
    alloc_fail_loop(made, &c, false);
    munmap(c.ram, RAM);
    close(c.ram_fd);
    /* the client is told, and may go on */
    toy t;
    client *q = start_open(&t);
    alloc_fail_at(1, true);
    int e = 0;
    const uint32_t head[4] = {++q->next_id | (uint32_t)CMD_DMA_MAP << 16, 48, 0, 0};
    uint8_t m[48] = {0};
    memcpy(m, head, sizeof head);
    m[16] = 32, m[20] = 3, m[16 + 25] = 0x10;
    assert_true(client_send_raw(q, m, sizeof m, &q->ram_fd, 1)); /* no memory is asked for on this side */
    e = client_answer(q, CMD_DMA_MAP);
    alloc_fail_at(0, false);
    assert_int_equal(e, ENOMEM);
    assert_int_equal(client_map(q, 0, 0x1000, 0, 3), 0);
    stop(&t, q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(introduction),   cmocka_unit_test(regions),
        cmocka_unit_test(interrupts),     cmocka_unit_test(stray_descriptors),
        cmocka_unit_test(broken_framing), cmocka_unit_test(memory),
        cmocka_unit_test(many_ranges),    cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
