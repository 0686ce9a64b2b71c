/* npu1-server: an npu1 for one QEMU. */
#define _GNU_SOURCE /* accept4 */
#include "qemu/control.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_WRONG_USAGE = 2 };

static const char usage[] = "usage: npu1-server [--protocol MINOR] [--qmp SOCKET [--bdf N]]\n"
                            "                   [--control SOCKET] [--verbose] SOCKET\n";
static const char help[] =
    "\n"
    "An npu1 behind a vfio-user socket, for one QEMU (vfio-user-pci) whose guest\n"
    "runs the amdxdna driver. It ends when QEMU hangs up and prints its counts on\n"
    "stderr.\n"
    "\n"
    "  --protocol MINOR  of the firmware's mailbox protocol 5: 7 or 8 (8)\n"
    "  --qmp SOCKET      QEMU's QMP socket: the device can do PASIDs then, by the\n"
    "                    tables of QEMU's AMD IOMMU\n"
    "  --bdf N           bus << 8 | device << 3 | function in the guest (0x10)\n"
    "  --control SOCKET  listen here for orders, one a line (tests/qemu/control.h)\n"
    "  --verbose         every message and command on stderr\n"
    "  --help            this\n";

typedef struct arguments {
    npu1_options device;
    const char *qmp, *control, *socket;
    unsigned bdf;
} arguments;

static bool number(const char *s, unsigned long most, unsigned *out) {
    char *end;
    errno = 0;
    unsigned long v = strtoul(s, &end, 0);
    if (*s < '0' || *s > '9' || *end || errno || v > most) return false;
    *out = (unsigned)v;
    return true;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, arguments *a) {
    static const struct option options[] = {{"protocol", 1, NULL, 'p'}, {"qmp", 1, NULL, 'q'},
                                            {"bdf", 1, NULL, 'b'},      {"control", 1, NULL, 'c'},
                                            {"verbose", 0, NULL, 'v'},  {"help", 0, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    *a = (arguments){.device = {.minor = 8}, .bdf = 0x10};
    bool bdf = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        bool good = true;
        switch (c) {
        case 'p': good = number(optarg, 8, &a->device.minor) && a->device.minor >= 7; break;
        case 'q': a->qmp = optarg; break;
        case 'b': good = bdf = number(optarg, 0xFFFF, &a->bdf); break;
        case 'c': a->control = optarg; break;
        case 'v': a->device.verbose = true; break;
        case 'h': fputs(usage, stdout), fputs(help, stdout); return EXIT_SUCCESS;
        default: fputs(usage, stderr); return EXIT_WRONG_USAGE;
        }
        if (good) continue;
        fprintf(stderr, "npu1-server: --%s: \"%s\" is no such number\n%s", c == 'p' ? "protocol" : "bdf", optarg,
                usage);
        return EXIT_WRONG_USAGE;
    }
    if (optind + 1 == argc && (!bdf || a->qmp)) {
        a->socket = argv[optind];
        return -1;
    }
    fprintf(stderr, "npu1-server: %s\n%s",
            optind + 1 == argc ? "--bdf says nothing without --qmp" : "one socket, on which QEMU is served", usage);
    return EXIT_WRONG_USAGE;
}

static bool fits(const char *path) {
    if (*path && strlen(path) < sizeof((struct sockaddr_un *)NULL)->sun_path) return true;
    fprintf(stderr, "npu1-server: %s: no path for a socket\n", *path ? path : "\"\"");
    return false;
}

/* Sockets that lie in the file system, for a signal that ends us. NULL: none. */
static const char *volatile laid[2];

static void end_by_signal(int number) {
    for (int i = 0; i < 2; i++)
        if (laid[i]) unlink(laid[i]);
    signal(number, SIG_DFL);
    raise(number);
}

/* Off while a socket is laid or taken away, or one that the handler does not know of would be left behind. Off in main
 * before the first thread starts, so that no thread of the device takes the signal meanwhile. */
static void signals_may_end_us(bool may) {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT), sigaddset(&ends, SIGTERM);
    pthread_sigmask(may ? SIG_UNBLOCK : SIG_BLOCK, &ends, NULL);
}

static void take_away(int i) {
    const char *path = laid[i];
    laid[i] = NULL;
    if (path) unlink(path);
}

/* A listening socket, laid[i]; -1 with a line on stderr. What lay there is not replaced. */
static int listen_at(const char *path, int i) {
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (!fits(path)) return -1;
    strcpy(sa.sun_path, path);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s >= 0 && !bind(s, (struct sockaddr *)&sa, sizeof sa)) {
        laid[i] = path;
        if (!listen(s, 1)) return s;
    }
    fprintf(stderr, "npu1-server: %s: %s\n", path, strerror(errno));
    take_away(i);
    if (s >= 0) close(s);
    return -1;
}

static void print_counts(vfu *v, npu1 *n) {
    char line[512];
    vfu_counts c = vfu_get_counts(v);
    dma_counts d = dma_get_counts(vfu_memory(v));
    npu1_order(n, "counts", line, sizeof line);
    fprintf(
        stderr,
        "vfio-user: messages=%llu refused=%llu reads=%llu writes=%llu interrupts=%llu most_mapped_kib=%llu\nnpu1: %s\n",
        (unsigned long long)c.messages, (unsigned long long)c.refused, (unsigned long long)c.reads,
        (unsigned long long)c.writes, (unsigned long long)c.interrupts, (unsigned long long)(d.bytes_most / 1024),
        line + strlen("ok "));
}

/* The exit code. */
static int serve(const arguments *a, vfu *v, npu1 *n) {
    control *c = NULL;
    int s = -1;
    if (a->control) { /* first: who waits for the other socket finds both */
        int listening = listen_at(a->control, 0);
        if (listening < 0) return EXIT_FAILED;
        c = control_start(n, listening);
        if (!c) {
            fprintf(stderr, "npu1-server: out of memory\n");
            take_away(0);
            return EXIT_FAILED;
        }
    }
    int listening = listen_at(a->socket, 1);
    if (listening >= 0) {
        signals_may_end_us(true);
        s = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        signals_may_end_us(false);
        if (s < 0) fprintf(stderr, "npu1-server: %s: %s\n", a->socket, strerror(errno));
        close(listening);
        take_away(1);
    }
    if (s >= 0) {
        signals_may_end_us(true);
        vfu_serve(v, s);
        signals_may_end_us(false);
        close(s);
    }
    control_stop(c);
    take_away(0);
    if (s >= 0) print_counts(v, n);
    return s >= 0 ? EXIT_SUCCESS : EXIT_FAILED;
}

int main(int argc, char **argv) {
    arguments a;
    int rc = parse(argc, argv, &a);
    if (rc >= 0) return rc;
    if (a.qmp && !fits(a.qmp)) return EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN); /* what the client gives for an interrupt may be a pipe that nobody reads */
    if (signal(SIGINT, SIG_IGN) != SIG_IGN) signal(SIGINT, end_by_signal); /* a shell's background ignores it */
    signal(SIGTERM, end_by_signal);
    signals_may_end_us(false);
    vfu *v = vfu_new();
    if (v && a.qmp) a.device.pasid = pasid_new(vfu_memory(v), a.qmp, a.bdf);
    npu1 *n = v && (!a.qmp || a.device.pasid) ? npu1_new(v, &a.device) : NULL;
    if (n) rc = serve(&a, v, n);
    else fprintf(stderr, "npu1-server: out of memory, or no thread\n"), rc = EXIT_FAILED;
    npu1_free(n);
    pasid_free(a.device.pasid);
    vfu_free(v);
    return rc;
}
