/* client.h - QEMU and the amdxdna driver in small, for tests of the device: vfio-user messages over a socket pair,
 * guest memory in a memfd, registers, mailboxes. It reports with its return values, so that fuzz
 * targets can use it as well. */
#ifndef TS_TESTS_QEMU_CLIENT_H
#define TS_TESTS_QEMU_CLIENT_H

#include "qemu/vfu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CMD_VERSION = 1,
    CMD_DMA_MAP,
    CMD_DMA_UNMAP,
    CMD_GET_INFO,
    CMD_GET_REGION_INFO,
    CMD_GET_REGION_FDS,
    CMD_GET_IRQ_INFO,
    CMD_SET_IRQS,
    CMD_REGION_READ,
    CMD_REGION_WRITE,
    CMD_RESET = 13,
};
enum { CLIENT_NO_REPLY = 0x10, CLIENT_TIMEOUT_MS = 20000, CLIENT_VECTORS = 16 };

typedef struct client {
    vfu *v;
    int sock, served; /* the client's end, the server's */
    pthread_t thread;
    uint16_t next_id;
    int ram_fd;
    uint8_t *ram;
    size_t ram_bytes;
    int irq[CLIENT_VECTORS];
    uint8_t reply[VFU_BODY_MAX];
    uint32_t reply_len;
} client;

static inline void *client_serving(void *ud) {
    client *c = ud;
    vfu_serve(c->v, c->served);
    close(c->served);
    return NULL;
}

/* A sealed memfd of so many bytes, mapped; false: the system does not give it. */
static inline bool client_memory(client *c, size_t bytes) {
    c->ram_bytes = bytes;
    c->ram_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (c->ram_fd < 0 || ftruncate(c->ram_fd, (off_t)bytes) ||
        fcntl(c->ram_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
        return false;
    c->ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->ram_fd, 0);
    return c->ram != MAP_FAILED;
}

/* Serve v in a thread; nothing has been said yet. */
static inline client *client_start(vfu *v, size_t ram_bytes) {
    client *c = calloc(1, sizeof *c);
    int s[2];
    if (!c) return NULL;
    for (int i = 0; i < CLIENT_VECTORS; i++) c->irq[i] = -1;
    c->v = v;
    if (!client_memory(c, ram_bytes) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s)) abort();
    c->sock = s[0], c->served = s[1];
    if (pthread_create(&c->thread, NULL, client_serving, c)) abort();
    return c;
}

/* Hang up and wait for the server's end. */
static inline void client_stop(client *c) {
    close(c->sock);
    pthread_join(c->thread, NULL);
    for (int i = 0; i < CLIENT_VECTORS; i++)
        if (c->irq[i] >= 0) close(c->irq[i]);
    munmap(c->ram, c->ram_bytes);
    close(c->ram_fd);
    free(c);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static inline bool client_send_raw(client *c, const void *data, size_t len, const int *fds, int n_fds) {
    union {
        char bytes[CMSG_SPACE(64 * sizeof(int))];
        struct cmsghdr align;
    } extra;
    struct iovec io = {.iov_base = (void *)data, .iov_len = len};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
    memset(&extra, 0, sizeof extra);
    if (n_fds) {
        h.msg_control = &extra;
        h.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
        struct cmsghdr *m = CMSG_FIRSTHDR(&h);
        m->cmsg_level = SOL_SOCKET;
        m->cmsg_type = SCM_RIGHTS;
        m->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
        memcpy(CMSG_DATA(m), fds, (size_t)n_fds * sizeof(int));
    }
    while (len) {
        ssize_t n = sendmsg(c->sock, &h, MSG_NOSIGNAL);
        if (n <= 0) return false;
        len -= (size_t)n;
        io.iov_base = (char *)io.iov_base + n;
        io.iov_len = len;
        h.msg_control = NULL;
        h.msg_controllen = 0;
    }
    return true;
}

/* A header with `size` as it is given, then the body. */
static inline bool client_send_sized(client *c, uint16_t command, uint32_t size, uint32_t flags, const void *body,
                                     uint32_t len, const int *fds, int n_fds) {
    uint8_t *m = malloc(16 + (size_t)len);
    if (!m) abort();
    const uint32_t head[4] = {++c->next_id | (uint32_t)command << 16, size, flags, 0};
    memcpy(m, head, sizeof head);
    if (len) memcpy(m + 16, body, len);
    bool ok = client_send_raw(c, m, 16 + (size_t)len, fds, n_fds);
    free(m);
    return ok;
}

static inline bool client_receive(client *c, void *data, size_t len) {
    for (uint8_t *p = data; len;) {
        struct pollfd w = {.fd = c->sock, .events = POLLIN};
        if (poll(&w, 1, CLIENT_TIMEOUT_MS) <= 0) return false;
        ssize_t n = recv(c->sock, p, len, 0);
        if (n <= 0) return false;
        p += n, len -= (size_t)n;
    }
    return true;
}

/* The answer to the last message: 0, the server's errno, or -1 where none that makes sense has come. Its body is in
 * c->reply. */
static inline int client_answer(client *c, uint16_t command) {
    uint32_t head[4];
    if (!client_receive(c, head, sizeof head)) return -1;
    if (head[0] != (c->next_id | (uint32_t)command << 16) || head[1] < 16 || head[1] - 16 > sizeof c->reply) return -1;
    c->reply_len = head[1] - 16;
    if (!client_receive(c, c->reply, c->reply_len)) return -1;
    if (head[2] == 1 && !head[3]) return 0;
    return head[2] == (1 | 0x20) && head[3] && !c->reply_len ? (int)head[3] : -1;
}

static inline int client_call_fds(client *c, uint16_t command, const void *body, uint32_t len, const int *fds,
                                  int n_fds) {
    if (!client_send_sized(c, command, 16 + len, 0, body, len, fds, n_fds)) return -1;
    return client_answer(c, command);
}

static inline int client_call(client *c, uint16_t command, const void *body, uint32_t len) {
    return client_call_fds(c, command, body, len, NULL, 0);
}

static inline int client_version(client *c) {
    static const char body[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}";
    return client_call(c, CMD_VERSION, body, sizeof body);
}

static inline int client_map(client *c, uint64_t addr, uint64_t size, uint64_t offset, uint32_t flags) {
    uint8_t b[32] = {32, [4] = (uint8_t)flags};
    memcpy(b + 8, &offset, 8), memcpy(b + 16, &addr, 8), memcpy(b + 24, &size, 8);
    return client_call_fds(c, CMD_DMA_MAP, b, sizeof b, &c->ram_fd, 1);
}

static inline int client_unmap(client *c, uint64_t addr, uint64_t size, uint32_t flags) {
    uint8_t b[24] = {24, [4] = (uint8_t)flags};
    memcpy(b + 8, &addr, 8), memcpy(b + 16, &size, 8);
    return client_call(c, CMD_DMA_UNMAP, b, sizeof b);
}

static inline int client_set_irqs(client *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                                  const int *fds, int n_fds) {
    const uint32_t b[5] = {20, flags, index, start, count};
    return client_call_fds(c, CMD_SET_IRQS, b, sizeof b, fds, n_fds);
}

/* ---- regions ----------------------------------------------------------------------------------------------------- */

/* data: NULL where the answer is of no interest. */
static inline int client_read(client *c, uint32_t region, uint64_t off, void *data, uint32_t len) {
    uint8_t b[16];
    memcpy(b, &off, 8), memcpy(b + 8, &region, 4), memcpy(b + 12, &len, 4);
    int e = client_call(c, CMD_REGION_READ, b, sizeof b);
    if (e) return e;
    if (c->reply_len != 16 + len || memcmp(c->reply, b, 16)) return -1;
    if (data) memcpy(data, c->reply + 16, len);
    return 0;
}

static inline int client_write(client *c, uint32_t region, uint64_t off, const void *data, uint32_t len, bool posted) {
    uint8_t b[16 + 4096];
    if (len > 4096) abort();
    memcpy(b, &off, 8), memcpy(b + 8, &region, 4), memcpy(b + 12, &len, 4), memcpy(b + 16, data, len);
    if (!posted) return client_call(c, CMD_REGION_WRITE, b, 16 + len);
    return client_send_sized(c, CMD_REGION_WRITE, 16 + 16 + len, CLIENT_NO_REPLY, b, 16 + len, NULL, 0) ? 0 : -1;
}

#endif
