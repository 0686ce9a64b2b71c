#define _GNU_SOURCE /* accept4 */
#include "qemu/control.h"

#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256, REPLY_BYTES = 512 };

struct control {
    npu1 *n;
    int listening, conn, wake[2];
    pthread_t thread;
    char line[LINE_MAX_BYTES];
    size_t len;
    bool too_long;
};

static void hang_up(control *c) {
    if (c->conn >= 0) close(c->conn);
    c->conn = -1;
    c->len = 0;
    c->too_long = false;
}

static void obey(control *c) {
    char reply[REPLY_BYTES];
    c->line[c->len] = 0;
    if (c->too_long) strcpy(reply, "error: the line is too long");
    else npu1_order(c->n, c->line, reply, sizeof reply - 1);
    c->len = 0;
    c->too_long = false;
    strcat(reply, "\n");
    /* nobody reads: never wait for it */
    if (send(c->conn, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) hang_up(c);
}

static void take(control *c) {
    char piece[LINE_MAX_BYTES];
    ssize_t n = recv(c->conn, piece, sizeof piece, 0);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) hang_up(c);
    for (ssize_t i = 0; i < n && c->conn >= 0; i++) {
        if (piece[i] == '\n') {
            if (c->len || c->too_long) obey(c);
        } else if (piece[i] == '\r' || !piece[i]) { /* a serial line may add them */
        } else if (c->len + 1 < sizeof c->line) {
            c->line[c->len++] = piece[i];
        } else {
            c->too_long = true;
        }
    }
}

static void *serve(void *ud) {
    control *c = ud;
    for (;;) {
        struct pollfd p[3] = {{.fd = c->wake[0], .events = POLLIN},
                              {.fd = c->conn < 0 ? c->listening : -1, .events = POLLIN},
                              {.fd = c->conn, .events = POLLIN}};
        if (poll(p, 3, -1) < 0 && errno != EINTR) break;
        if (p[0].revents) break;
        if (p[1].revents) c->conn = accept4(c->listening, NULL, NULL, SOCK_CLOEXEC);
        if (p[2].revents) take(c);
    }
    hang_up(c);
    return NULL;
}

control *control_start(npu1 *n, int listening) {
    control *c = ts_calloc(1, sizeof *c);
    if (!c || pipe(c->wake)) {
        ts_free(c);
        close(listening);
        return NULL;
    }
    c->n = n;
    c->listening = listening;
    c->conn = -1;
    if (!pthread_create(&c->thread, NULL, serve, c)) return c;
    close(c->wake[0]), close(c->wake[1]);
    close(listening);
    ts_free(c);
    return NULL;
}

void control_stop(control *c) {
    if (!c) return;
    close(c->wake[1]); /* its other end is readable now */
    pthread_join(c->thread, NULL);
    close(c->wake[0]);
    close(c->listening);
    ts_free(c);
}
