/* differ.h - a client of an amdxdna node, real or fake, that can ask questions.
 *
 * A question is a function; it gets an open file of its own, does something right or wrong, and tells what came
 * back, one line an answer: "group/name: answer". Equal questions give equal lines on every node, whatever the time
 * they take: addresses are compared and not printed, and what a driver does in its own time is waited for. */
#ifndef TS_TESTS_QEMU_DIFFER_H
#define TS_TESTS_QEMU_DIFFER_H

#include "base/mem.h"
#include "xdna/io.h"
#include "xdna/uapi.h"

#include <stdbool.h>

enum { MIB = 1 << 20, PAGE = 4096, CLIENT_MAPS = 24 };

/* One open file and what a well-behaved client makes in it. */
typedef struct client {
    int fd;
    uint32_t heap, pdi, stream, packet, data; /* buffers; 0: not made */
    uint32_t ctx, sync;
    uint8_t *heap_at, *data_at; /* where they are mapped */
    uint32_t *words;            /* the packet, mapped */
    uint64_t pdi_addr, stream_addr, data_addr;
    struct {
        void *at;
        size_t len;
    } map[CLIENT_MAPS]; /* a mapping keeps its file alive: they go before it */
    int n_maps;
} client;

/* Print "group/name: answer"; the group is that of the question being asked. */
TS_PRINTF(2, 3) void answer(const char *name, const char *fmt, ...);
void under(const char *group); /* from here on, until the question's end */
/* The same of a result: "ok", or the error's name. */
void result(const char *name, int r);
/* "ok", or the name of error -r ("EINVAL"). */
const char *name_of(int r);

bool client_open(client *c);  /* false: answered already */
void client_close(client *c); /* mappings, then the file */
int close_file(client *c);    /* only the file: mappings stay */
int call(client *c, uint32_t request, void *arg);
void flush(const void *at, size_t len);

/* Calls with their usual arguments; 0 or -errno, unless said. */
int make(client *c, uint32_t type, uint64_t size, uint32_t *handle);
int info_of(client *c, uint32_t handle, struct ts_uapi_get_bo_info *g);
int close_handle(client *c, uint32_t handle);
int map_at(client *c, uint32_t handle, size_t len, void *want, void **at); /* noted for client_close */
int map_offset(client *c, uint64_t offset, size_t len, void *want, void **at);
int unmap(client *c, void *at);           /* a mapping that was noted */
int unmap_part(const void *at, size_t len); /* of one: forget it, or never client_close */
void *place(size_t len);                  /* a multiple of 64 MiB where `len` bytes are free */
int heap(client *c, bool mapped);
int put(client *c, const ts_buf *bytes, uint32_t *handle, uint64_t *addr); /* into a device buffer */
int context(client *c, uint32_t tiles); /* into c->ctx and c->sync */
int context_with(client *c, struct ts_uapi_create_hwctx a, uint32_t tiles);
int destroy(client *c, uint32_t ctx);
int configure(client *c, uint32_t pdi);
int get_info(client *c, uint32_t param, void *buffer, uint32_t *size);
/* Contexts as a file sees them; their number, or -errno. */
int list(client *c, struct ts_uapi_hwctx_entry *e, size_t cap);
/* Heap, PDI, stream of one no-op, data, packet, a context of one column with its configuration. false: answered. */
bool ready(client *c);
bool buffers_ready(client *c); /* all of it but the context */
bool renew(client *c);         /* another context instead, and the packet made new. false: answered */
void write_packet(client *c);  /* the correct one */
void spoil(client *c, bool bad); /* the stream becomes rubbish, or what it was */
int exec(client *c, uint64_t *seq);
int exec_with(client *c, uint32_t packet, const uint32_t *args, uint32_t n, struct ts_uapi_exec_cmd a, uint64_t *seq);
int wait_for(client *c, uint32_t sync, uint64_t point, int ms, uint32_t flags);
/* Give the packet as it is and tell how that ends: refused, or the wait's result and the packet's state. */
void run(client *c, const char *name);
uint32_t state_of(const client *c); /* of the packet */

extern ts_buf good_pdi, good_stream; /* a configuration of nothing, a stream of one no-op */
/* The driver forgets where a buffer was mapped, in its own time; false: it does not. */
bool forgotten(client *c, uint32_t handle);

#endif
