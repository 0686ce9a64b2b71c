#define _GNU_SOURCE /* MSG_CMSG_CLOEXEC */
#include "qemu/vfu.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    VERSION = 1,
    DMA_MAP = 2,
    DMA_UNMAP = 3,
    GET_INFO = 4,
    GET_REGION_INFO = 5,
    GET_IRQ_INFO = 7,
    SET_IRQS = 8,
    REGION_READ = 9,
    REGION_WRITE = 10,
    RESET = 13,
};
enum { TYPE_MASK = 15, TYPE_COMMAND = 0, TYPE_REPLY = 1, NO_REPLY = 0x10, FAILED = 0x20 }; /* flags of a message */
enum { CONFIG_REGION = 7, REGIONS = 9, MSIX = 2, IRQS = 5, MSGS_FDS_MAX = VFU_VECTORS_MAX };
enum { INFO_RESET = 1, INFO_PCI = 2, REGION_RW = 3, IRQ_EVENTFD = 1, IRQ_NO_RESIZE = 8, UNMAP_ALL = 2 };
enum { SET_NONE = 1, SET_BOOL = 2, SET_EVENTFD = 4, SET_DATA = 7, SET_TRIGGER = 0x20 };
enum { HEAD_BYTES = 16, ACCESS_BYTES = 16, SET_BYTES = 20 };

static const char capabilities[] =
    "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048560,\"pgsizes\":4096,"
    "\"max_dma_maps\":65535}}";
_Static_assert(MSGS_FDS_MAX == 16 && VFU_BODY_MAX - ACCESS_BYTES == 1048560 && DMA_PAGE == 4096 &&
                   DMA_RANGES_MAX == 65535,
               "what the text says");

typedef struct message {
    uint16_t id, command;
    uint32_t flags;
    uint8_t *body; /* the request's, then the reply's; VFU_BODY_MAX bytes of room */
    uint32_t len, out;
    int fd[MSGS_FDS_MAX]; /* -1: taken */
    int n_fds;
} message;

struct vfu {
    int sock;
    const vfu_device *d;
    uint8_t config[VFU_CONFIG_BYTES];
    bool open; /* VERSION was exchanged */
    dma_map *memory;
    pthread_mutex_t irq_lock;
    int irq[VFU_VECTORS_MAX]; /* eventfds, -1: off */
    message m;
    atomic_uint_fast64_t messages, refused, reads, writes, interrupts;
};

vfu *vfu_new(void) {
    vfu *v = ts_calloc(1, sizeof *v);
    if (!v) return NULL;
    for (int i = 0; i < VFU_VECTORS_MAX; i++) v->irq[i] = -1;
    v->memory = dma_new();
    v->m.body = ts_alloc(1, VFU_BODY_MAX);
    if (v->memory && v->m.body && !pthread_mutex_init(&v->irq_lock, NULL)) return v;
    dma_free(v->memory);
    ts_free(v->m.body);
    ts_free(v);
    return NULL;
}

void vfu_free(vfu *v) {
    if (!v) return;
    dma_free(v->memory);
    pthread_mutex_destroy(&v->irq_lock);
    ts_free(v->m.body);
    ts_free(v);
}

void vfu_set_device(vfu *v, const vfu_device *d) {
    v->d = d;
    memcpy(v->config, d->config, sizeof v->config);
}

dma_map *vfu_memory(vfu *v) {
    return v->memory;
}

vfu_counts vfu_get_counts(vfu *v) {
    return (vfu_counts){v->messages, v->refused, v->reads, v->writes, v->interrupts};
}

static uint32_t word(const uint8_t *p) {
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static uint64_t word64(const uint8_t *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* ---- interrupts -------------------------------------------------------------------------------------------------- */

void vfu_interrupt(vfu *v, uint32_t vector) {
    const uint64_t one = 1;
    if (vector >= VFU_VECTORS_MAX) return;
    pthread_mutex_lock(&v->irq_lock);
    /* a full counter or a descriptor that is no eventfd is the client's own business */
    if (v->irq[vector] >= 0 && write(v->irq[vector], &one, sizeof one) == sizeof one) v->interrupts++;
    pthread_mutex_unlock(&v->irq_lock);
}

/* fd: -1 switches it off. */
static void set_irq(vfu *v, uint32_t vector, int fd) {
    pthread_mutex_lock(&v->irq_lock);
    if (v->irq[vector] >= 0) close(v->irq[vector]);
    v->irq[vector] = fd;
    pthread_mutex_unlock(&v->irq_lock);
}

static int set_irqs(vfu *v, message *m) {
    if (m->len < SET_BYTES) return EINVAL;
    uint32_t argsz = word(m->body), flags = word(m->body + 4), index = word(m->body + 8), start = word(m->body + 12),
             count = word(m->body + 16);
    if (argsz < SET_BYTES || index >= IRQS) return EINVAL;
    uint32_t data = flags & SET_DATA;
    if (flags != (data | SET_TRIGGER) || (data != SET_NONE && data != SET_BOOL && data != SET_EVENTFD)) return EINVAL;
    if (m->len != SET_BYTES + (data == SET_BOOL ? count : 0)) return EINVAL; /* before count is used: it may be huge */
    if (m->n_fds && data != SET_EVENTFD) return EINVAL;
    uint32_t n = index == MSIX ? v->d->vectors : 0;
    if (start > n || count > n - start) return EINVAL;
    if (data == SET_NONE && !count) { /* all off */
        for (uint32_t i = 0; i < n; i++) set_irq(v, i, -1);
        return 0;
    }
    if (data != SET_EVENTFD) { /* the client tries them out */
        for (uint32_t i = 0; i < count; i++)
            if (data == SET_NONE || m->body[SET_BYTES + i]) vfu_interrupt(v, start + i);
        return 0;
    }
    /* a run of vectors that are switched off comes without descriptors */
    if (m->n_fds && (uint32_t)m->n_fds != count) return EINVAL;
    for (int i = 0; i < m->n_fds; i++) {
        int fl = fcntl(m->fd[i], F_GETFL);
        if (fl < 0 || fcntl(m->fd[i], F_SETFL, fl | O_NONBLOCK) < 0) return EINVAL; /* never wait for a client */
    }
    for (uint32_t i = 0; i < count; i++) {
        set_irq(v, start + i, m->n_fds ? m->fd[i] : -1);
        if (m->n_fds) m->fd[i] = -1;
    }
    return 0;
}

/* ---- commands: 0 or an errno ------------------------------------------------------------------------------------- */

static int version(vfu *v, message *m) {
    uint16_t major;
    if (v->open || m->len < 4) return EINVAL;
    memcpy(&major, m->body, sizeof major);
    if (major || (m->len > 4 && m->body[m->len - 1])) return EINVAL; /* a text of capabilities ends in 0 */
    v->open = true;
    memset(m->body, 0, 4); /* 0.0 */
    memcpy(m->body + 4, capabilities, sizeof capabilities);
    m->out = 4 + sizeof capabilities;
    return 0;
}

static int map(vfu *v, message *m) {
    enum { BYTES = 32 };
    if (m->len != BYTES || m->n_fds > 1) return EINVAL;
    return dma_add(v->memory, word64(m->body + 16), word64(m->body + 24), word(m->body + 4), m->n_fds ? m->fd[0] : -1,
                   word64(m->body + 8));
}

static int unmap(vfu *v, message *m) {
    enum { BYTES = 24 };
    if (m->len != BYTES) return EINVAL;
    uint32_t flags = word(m->body + 4);
    uint64_t addr = word64(m->body + 8), size = word64(m->body + 16);
    m->out = BYTES;
    if (flags == 0) return dma_remove(v->memory, addr, size);
    if (flags != UNMAP_ALL || addr || size) return EINVAL;
    dma_remove_all(v->memory);
    return 0;
}

static uint32_t region_bytes(const vfu *v, uint32_t region) {
    return region < VFU_BARS ? v->d->bar_bytes[region] : region == CONFIG_REGION ? VFU_CONFIG_BYTES : 0;
}

static int info(const vfu *v, message *m) {
    const uint32_t w[4] = {sizeof w, INFO_RESET | INFO_PCI, REGIONS, IRQS};
    (void)v;
    if (m->len < sizeof w || word(m->body) < sizeof w) return EINVAL;
    memcpy(m->body, w, sizeof w);
    m->out = sizeof w;
    return 0;
}

static int region_info(const vfu *v, message *m) {
    enum { BYTES = 32 };
    if (m->len < BYTES || word(m->body) < BYTES || word(m->body + 8) >= REGIONS) return EINVAL;
    uint32_t region = word(m->body + 8), size = region_bytes(v, region);
    const uint32_t w[BYTES / 4] = {BYTES, size ? REGION_RW : 0, region, 0, size};
    memcpy(m->body, w, BYTES);
    m->out = BYTES;
    return 0;
}

static int irq_info(const vfu *v, message *m) {
    uint32_t w[4] = {sizeof w};
    if (m->len < sizeof w || word(m->body) < sizeof w || word(m->body + 8) >= IRQS) return EINVAL;
    w[2] = word(m->body + 8);
    if (w[2] == MSIX) w[1] = IRQ_EVENTFD | IRQ_NO_RESIZE, w[3] = v->d->vectors;
    memcpy(m->body, w, sizeof w);
    m->out = sizeof w;
    return 0;
}

static int region_access(vfu *v, message *m, bool write) {
    if (m->len < ACCESS_BYTES) return EINVAL;
    uint64_t off = word64(m->body);
    uint32_t region = word(m->body + 8), n = word(m->body + 12), size = region_bytes(v, region);
    uint8_t *data = m->body + ACCESS_BYTES;
    if (!n || n > VFU_BODY_MAX - ACCESS_BYTES || m->len != ACCESS_BYTES + (write ? n : 0)) return EINVAL;
    if (off >= size || n > size - off) return EINVAL;
    if (region == CONFIG_REGION) {
        uint8_t *c = v->config + off;
        const uint8_t *mask = v->d->writable + off;
        if (!write) memcpy(data, c, n);
        for (uint32_t i = 0; write && i < n; i++) c[i] = (uint8_t)((c[i] & ~mask[i]) | (data[i] & mask[i]));
    } else if (write) {
        v->d->bar_write(v->d->ud, (int)region, (uint32_t)off, data, n);
    } else {
        v->d->bar_read(v->d->ud, (int)region, (uint32_t)off, data, n);
    }
    if (write) v->writes++;
    else v->reads++;
    m->out = ACCESS_BYTES + (write ? 0 : n);
    return 0;
}

static int reset(vfu *v, message *m) {
    if (m->len) return EINVAL;
    v->d->reset(v->d->ud);
    memcpy(v->config, v->d->config, sizeof v->config);
    return 0;
}

static int carry_out(vfu *v, message *m) {
    if ((m->flags & TYPE_MASK) != TYPE_COMMAND || (m->flags & ~(uint32_t)(TYPE_MASK | NO_REPLY))) return EINVAL;
    if (!v->open && m->command != VERSION) return EINVAL;
    if (m->n_fds && m->command != DMA_MAP && m->command != SET_IRQS) return EINVAL;
    switch (m->command) {
    case VERSION: return version(v, m);
    case DMA_MAP: return map(v, m);
    case DMA_UNMAP: return unmap(v, m);
    case GET_INFO: return info(v, m);
    case GET_REGION_INFO: return region_info(v, m);
    case GET_IRQ_INFO: return irq_info(v, m);
    case SET_IRQS: return set_irqs(v, m);
    case REGION_READ: return region_access(v, m, false);
    case REGION_WRITE: return region_access(v, m, true);
    case RESET: return reset(v, m);
    default: return ENOTSUP;
    }
}

/* ---- the socket -------------------------------------------------------------------------------------------------- */

static bool send_all(int sock, const void *data, size_t len) {
    for (const uint8_t *p = data; len;) {
        ssize_t n = send(sock, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n, len -= (size_t)n;
    }
    return true;
}

/* Keep descriptors as far as there is room, close the rest. */
static void take_fds(message *m, struct msghdr *h) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (m->n_fds < MSGS_FDS_MAX) m->fd[m->n_fds++] = fd;
            else close(fd);
        }
    }
}

/* Those that nobody has taken. */
static void close_fds(message *m) {
    for (int i = 0; i < m->n_fds; i++)
        if (m->fd[i] >= 0) close(m->fd[i]);
    m->n_fds = 0;
}

/* false: the client has hung up. */
static bool receive(vfu *v, message *m, void *data, size_t len) {
    for (uint8_t *p = data; len;) {
        union {
            char bytes[CMSG_SPACE(MSGS_FDS_MAX * sizeof(int))];
            struct cmsghdr align;
        } control;
        struct iovec io = {.iov_base = p, .iov_len = len};
        struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(v->sock, &h, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        take_fds(m, &h);
        p += n, len -= (size_t)n;
    }
    return true;
}

static bool reply(vfu *v, const message *m, int error) {
    const uint32_t out = error ? 0 : m->out;
    const uint32_t w[4] = {m->id | (uint32_t)m->command << 16, HEAD_BYTES + out, TYPE_REPLY | (error ? FAILED : 0),
                           (uint32_t)error};
    return send_all(v->sock, w, sizeof w) && send_all(v->sock, m->body, out);
}

/* One message and its answer; false: the connection is over. */
static bool serve_one(vfu *v, message *m) {
    uint32_t head[4];
    if (!receive(v, m, head, sizeof head)) return false;
    m->id = (uint16_t)head[0], m->command = (uint16_t)(head[0] >> 16), m->flags = head[2];
    v->messages++;
    if (head[1] < HEAD_BYTES || head[1] - HEAD_BYTES > VFU_BODY_MAX) { /* where does the next one begin? */
        if (!v->d->quiet)
            fprintf(stderr, "npu1-server: vfio-user message %u of %u bytes: the connection ends\n", m->command,
                    head[1]);
        v->refused++;
        reply(v, m, EINVAL);
        return false;
    }
    m->len = head[1] - HEAD_BYTES;
    if (!receive(v, m, m->body, m->len)) return false;
    int error = carry_out(v, m);
    if (error) {
        if (!v->d->quiet)
            fprintf(stderr, "npu1-server: vfio-user message %u of %u bytes is refused: %s\n", m->command, m->len,
                    strerror(error));
        v->refused++;
    }
    close_fds(m); /* before the client can see that it is done */
    return (m->flags & NO_REPLY) || reply(v, m, error);
}

void vfu_serve(vfu *v, int sock) {
    message *m = &v->m;
    v->sock = sock;
    v->open = false;
    do {
        m->n_fds = 0;
        m->out = 0;
    } while (serve_one(v, m));
    close_fds(m);
    for (uint32_t i = 0; i < VFU_VECTORS_MAX; i++) set_irq(v, i, -1);
    dma_remove_all(v->memory);
}
