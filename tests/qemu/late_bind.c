/* Loaded in front of a program (LD_PRELOAD): bind returns 100 ms after the socket lies there, so that a signal comes
 * between. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* as sys/socket.h has it, whose own declaration takes a union */
int bind(int s, const void *at, unsigned len);

__attribute__((visibility("default"))) int bind(int s, const void *at, unsigned len) {
    const int r = (int)syscall(SYS_bind, s, at, len);
    struct timespec left = {.tv_nsec = 100000000};
    while (nanosleep(&left, &left)) {}
    return r;
}
