/* questions_end.c - waiting, and how things end. */
#include "questions.h"

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static int destroy_sync(client *c, uint32_t handle, uint32_t pad) {
    struct ts_uapi_syncobj_destroy a = {.handle = handle, .pad = pad};
    return call(c, TS_IOCTL_SYNCOBJ_DESTROY, &a);
}

static void waits(client *c) {
    if (!ready(c)) return;
    result("point 0, nothing given", wait_for(c, c->sync, 0, 50, TS_UAPI_WAIT_FOR_SUBMIT));
    result("the same, not for submission", wait_for(c, c->sync, 0, 50, 0));
    uint64_t seq = 0;
    if (exec(c, &seq)) return;
    result("a point that was given", wait_for(c, c->sync, seq, 8000, TS_UAPI_WAIT_FOR_SUBMIT));
    result("no flags", wait_for(c, c->sync, seq, 50, 0));
    result("all", wait_for(c, c->sync, seq, 50, TO_ALL));
    result("no time left", wait_for(c, c->sync, seq, -1000, TS_UAPI_WAIT_FOR_SUBMIT));
    result("a point not given", wait_for(c, c->sync, seq + 1, 50, TS_UAPI_WAIT_FOR_SUBMIT));
    result("a point not given, no time", wait_for(c, c->sync, seq + 1, -1000, TS_UAPI_WAIT_FOR_SUBMIT));
    result("a point not given, not for submission", wait_for(c, c->sync, seq + 1, 50, 0));
    result("handle 999", wait_for(c, 999, seq, 50, TO_ALL));
    result("handle 0", wait_for(c, 0, seq, 50, TO_ALL));
    result("flags 0x80", wait_for(c, c->sync, seq, 50, 0x80));
    uint64_t point = seq;
    struct ts_uapi_syncobj_timeline_wait w = {.handles = (uint64_t)(uintptr_t)&c->sync,
                                              .points = (uint64_t)(uintptr_t)&point};
    result("no handles", call(c, TS_IOCTL_SYNCOBJ_WAIT, &w));
    const uint32_t handles[] = {c->sync, c->sync};
    const uint64_t points[] = {seq, seq};
    w = (struct ts_uapi_syncobj_timeline_wait){.handles = (uint64_t)(uintptr_t)handles,
                                               .points = (uint64_t)(uintptr_t)points,
                                               .count_handles = 2,
                                               .flags = TO_ALL};
    result("two handles", call(c, TS_IOCTL_SYNCOBJ_WAIT, &w));
    w.count_handles = 1, w.handles = 0;
    result("no list", call(c, TS_IOCTL_SYNCOBJ_WAIT, &w));
}

static void wait_ended(client *c) {
    uint64_t seq = 0;
    if (!ready(c) || exec(c, &seq)) return;
    wait_for(c, c->sync, seq, 8000, TO_ALL);
    destroy(c, c->ctx);
    result("after its context's end", wait_for(c, c->sync, seq, 50, TO_ALL));
    result("the next point then", wait_for(c, c->sync, seq + 1, 50, TO_ALL));
    result("destroy, pad 1", destroy_sync(c, c->sync, 1));
    result("destroy", destroy_sync(c, c->sync, 0));
    result("destroy twice", destroy_sync(c, c->sync, 0));
    result("destroy 0", destroy_sync(c, 0, 0));
    result("after the fence's end", wait_for(c, c->sync, seq, 50, TO_ALL));
}

static void wait_fence_gone(client *c) {
    uint64_t seq = 0;
    if (!ready(c)) return;
    int r = exec(c, &seq);
    answer("destroy the fence under way", "%s, %s", name_of(r), name_of(destroy_sync(c, c->sync, 0)));
    result("then its context", destroy(c, c->ctx));
    answer("the command then", "state %u", state_of(c));
    if (!renew(c)) return;
    answer("fence of the next context", "%s", c->sync == 1 ? "the old number" : "a new number");
    result("destroy the fence first", destroy_sync(c, c->sync, 0));
    result("a command without a fence", exec(c, &seq));
    result("the end of its context", destroy(c, c->ctx));
    answer("that command then", "state %u", state_of(c));
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

static void end_left(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    heap(c, true);
    if (!client_open(&d)) return;
    if (ready(&d)) {
        answer("contexts while it is open", "%d", list(c, e, 8));
        result("close with mappings left", close_file(&d));
        answer("contexts then", "%d", list(c, e, 8));
        int r = context(c, 16);
        result("another width then", r);
        if (r == 0) destroy(c, c->ctx);
        while (d.n_maps > 1) unmap(&d, d.map[d.n_maps - 1].at);
        answer("contexts, one mapping left", "%d", list(c, e, 8));
        client_close(&d);
        answer("contexts after the last mapping", "%d", list(c, e, 8));
        result("another width at last", context(c, 16));
    } else {
        client_close(&d);
    }
}

static void end_handles_closed(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    if (!client_open(&d)) return;
    heap(&d, true);
    context(&d, 4);
    close_handle(&d, d.heap);
    close_file(&d);
    answer("contexts, heap closed, a mapping left", "%d", list(c, e, 8));
    client_close(&d);
    answer("and after the mapping", "%d", list(c, e, 8));
}

static void end_unmapped(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    if (!client_open(&d)) return;
    if (ready(&d)) {
        while (d.n_maps) unmap(&d, d.map[d.n_maps - 1].at);
        result("close with everything left but mappings", close_file(&d));
        answer("contexts after that", "%d", list(c, e, 8));
    }
    client_close(&d);
}

static void end_under_way(client *c) {
    client d;
    struct ts_uapi_hwctx_entry e[8];
    uint64_t seq;
    if (!client_open(&d)) return;
    if (ready(&d)) {
        int r = exec(&d, &seq);
        while (d.n_maps) unmap(&d, d.map[d.n_maps - 1].at);
        answer("close with a command under way", "%s, %s", name_of(r), name_of(close_file(&d)));
        answer("contexts after a command under way", "%d", list(c, e, 8));
    }
    client_close(&d);
    if (ready(c)) run(c, "a command after all that");
}

static void end_many(client *c) {
    enum { MANY = 16, HEAPS = 6 }; /* a heap is 64 MiB at once */
    client d[MANY];
    struct ts_uapi_hwctx_entry e[8];
    int n = 0, heaps = 0, contexts = 0;
    while (n < MANY && client_open(&d[n])) n++;
    for (int i = 0; i < HEAPS && i < n; i++) {
        heaps += heap(&d[i], true) == 0;
        contexts += context(&d[i], 16) == 0;
    }
    answer("files, heaps and contexts of four columns at once", "%d, %d, %d, %d listed", n, heaps, contexts,
           list(c, e, 8));
    while (n) client_close(&d[--n]);
}

static void end_closed(client *c) {
    client d;
    struct ts_uapi_get_bo_info g;
    if (!client_open(&d)) return;
    const int fd = d.fd;
    client_close(&d);
    d.fd = fd;
    result("a call on a closed file", info_of(&d, 1, &g));
    (void)c;
}

const question questions_end[] = {
    {"wait", waits},
    {"wait", wait_ended},
    {"wait", wait_fence_gone},
    {"end", end_left},
    {"end", end_handles_closed},
    {"end", end_unmapped},
    {"end", end_under_way},
    {"end", end_many},
    {"end", end_closed},
    {NULL, NULL},
};
