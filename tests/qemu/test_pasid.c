/* Addresses of processes: the tables of the AMD IOMMU, as the kernel fills them, and QEMU's word for where they are. */
#define _GNU_SOURCE /* memfd_create */
#include "qemu/driver.h"
#include "qemu/pasid.h"
#include "support/test.h"

#include <sys/un.h>

enum {
    RAM = 8 << 20,
    BDF = 0x10,
    PASID = 0x207, /* two levels of GCR3 table */
    DEVICES = 0x1000, /* places in memory, which is mapped at 0 */
    GCR3_TOP = 0x2000,
    GCR3 = 0x3000,
    PML4 = 0x4000,
    PDPT = 0x5000,
    PD = 0x6000,
    PT = 0x7000,
    DATA = 0x10000,
    LARGE = 4 << 20, /* a page of 2 MiB */
    ALL = 7,         /* present, writable, user */
    ACCESSED = 0x20,
    DIRTY = 0x40,
    SIZE = 0x80,
};
#define VA UINT64_C(0x7f1234567000)

typedef struct env {
    client c; /* its memory only */
    dma_map *m;
    pasid_walker *p;
} env;

static uint64_t *entry(const env *e, uint64_t table, uint64_t i) {
    return (uint64_t *)(void *)(e->c.ram + table) + i;
}

static uint64_t index_of(uint64_t addr, int level) {
    return addr >> (12 + 9 * level) & 511;
}

/* The tables for pages at VA (one present, one absent, one only to be read) and at VA + 2 MiB (a large one). */
static void make_tables(const env *e) {
    uint64_t *dte = entry(e, DEVICES + 32 * BDF, 0);
    memset(e->c.ram, 0, DATA);
    /* valid, guest translation, two levels */
    dte[0] = 1 | UINT64_C(1) << 55 | UINT64_C(1) << 56 | (uint64_t)(GCR3_TOP >> 12 & 7) << 58;
    dte[1] = (uint64_t)(GCR3_TOP >> 15 & 0xffff) << 16;
    *entry(e, GCR3_TOP, PASID >> 9) = GCR3 | 1;
    *entry(e, GCR3, PASID & 511) = PML4 | 1;
    *entry(e, PML4, index_of(VA, 3)) = PDPT | ALL;
    *entry(e, PDPT, index_of(VA, 2)) = PD | ALL;
    *entry(e, PD, index_of(VA, 1)) = PT | ALL;
    *entry(e, PD, index_of(VA, 1) + 1) = LARGE | ALL | SIZE;
    *entry(e, PT, index_of(VA, 0)) = DATA | ALL;
    *entry(e, PT, index_of(VA, 0) + 2) = (DATA + 0x2000) | 5;
    *entry(e, PT, index_of(VA, 0) + 3) = (DATA + 0x3000) | 3; /* the kernel's */
    *entry(e, PT, index_of(VA, 0) + 4) = ((uint64_t)RAM + 0x10000) | ALL; /* beyond the memory */
}

static env start(void) {
    env e = {.m = dma_new()};
    assert_non_null(e.m);
    assert_true(client_memory(&e.c, RAM));
    assert_int_equal(dma_add(e.m, 0, RAM, 3, e.c.ram_fd, 0), 0);
    e.p = pasid_new(e.m, "/nowhere", BDF);
    assert_non_null(e.p);
    make_tables(&e);
    pasid_set_table(e.p, DEVICES);
    return e;
}

static void stop(env *e) {
    pasid_free(e->p);
    dma_free(e->m);
    munmap(e->c.ram, RAM);
    close(e->c.ram_fd);
}

/* Offset in memory, or -1. */
static long at(env *e, uint32_t pasid, uint64_t addr, bool write, size_t *len) {
    size_t n = 8192, whole = 1;
    dma_lock(e->m);
    const uint8_t *p = pasid_at(e->p, pasid, addr, write, &n), *base = dma_at(e->m, 0, false, &whole);
    dma_unlock(e->m);
    if (len) *len = n;
    return p ? p - base : -1;
}

static void pages(void **state) {
    (void)state;
    env e = start();
    size_t len;
    uint64_t *leaf = entry(&e, PT, index_of(VA, 0));
    assert_int_equal(at(&e, PASID, VA + 5, false, &len), DATA + 5);
    assert_int_equal(len, 4096 - 5);
    assert_int_equal(*leaf, DATA | ALL | ACCESSED); /* as the hardware marks them */
    assert_int_equal(*entry(&e, PD, index_of(VA, 1)), PT | ALL | ACCESSED);
    assert_int_equal(at(&e, PASID, VA + 6, true, NULL), DATA + 6);
    assert_int_equal(*leaf, DATA | ALL | ACCESSED | DIRTY);
    *leaf &= ~(uint64_t)(ACCESSED | DIRTY); /* the kernel looks for used pages */
    assert_int_equal(at(&e, PASID, VA, true, NULL), DATA);
    assert_int_equal(*leaf, DATA | ALL | ACCESSED | DIRTY);
    assert_int_equal(at(&e, PASID, VA + 0x1000, false, NULL), -1);
    assert_int_equal(at(&e, PASID, VA + 0x2000, false, NULL), DATA + 0x2000);
    assert_int_equal(at(&e, PASID, VA + 0x2000, true, NULL), -1);
    assert_int_equal(*entry(&e, PT, index_of(VA, 0) + 2), (DATA + 0x2000) | 5 | ACCESSED);
    assert_int_equal(at(&e, PASID, VA + 0x3000, false, NULL), -1);
    assert_int_equal(at(&e, PASID, VA + 0x4000, false, NULL), -1);
    assert_int_equal(at(&e, PASID, VA + 0x200000 + 0x12345, true, &len), LARGE + ((VA + 0x12345) & 0x1fffff));
    assert_int_equal(len, 4096 - 0x345);
    assert_int_equal(at(&e, PASID, VA | UINT64_C(1) << 47, false, NULL), -1); /* no user's address */
    assert_int_equal(at(&e, PASID, UINT64_MAX, false, NULL), -1);
    assert_int_equal(at(&e, PASID + 1, VA, false, NULL), -1);
    assert_int_equal(at(&e, 7, VA, false, NULL), -1);
    assert_int_equal(at(&e, 1 << 18, VA, false, NULL), -1); /* more than two levels hold */
    stop(&e);
}

/* A translation that is kept does not outlive what it came from. */
static void changes(void **state) {
    (void)state;
    env e = start();
    uint64_t *leaf = entry(&e, PT, index_of(VA, 0)), *root = entry(&e, GCR3, PASID & 511);
    assert_int_equal(at(&e, PASID, VA, true, NULL), DATA);
    *leaf = (DATA + 0x5000) | ALL; /* the page has moved */
    assert_int_equal(at(&e, PASID, VA, true, NULL), DATA + 0x5000);
    *leaf = 0;
    assert_int_equal(at(&e, PASID, VA, false, NULL), -1);
    *leaf = DATA | ALL;
    assert_int_equal(at(&e, PASID, VA, false, NULL), DATA);
    *root = 0; /* the process is gone */
    assert_int_equal(at(&e, PASID, VA, false, NULL), -1);
    *root = PML4 | 1;
    assert_int_equal(at(&e, PASID, VA, false, NULL), DATA);
    assert_int_equal(dma_remove(e.m, 0, RAM), 0); /* the memory is */
    dma_lock(e.m);
    size_t n = 8;
    assert_null(pasid_at(e.p, PASID, VA, false, &n));
    dma_unlock(e.m);
    assert_int_equal(dma_add(e.m, 0, RAM, 3, e.c.ram_fd, 0), 0);
    assert_int_equal(at(&e, PASID, VA, false, NULL), DATA);
    pasid_flush(e.p);
    pasid_set_table(e.p, 0);
    assert_int_equal(at(&e, PASID, VA, false, NULL), -1);
    stop(&e);
}

static void other_tables(void **state) {
    (void)state;
    env e = start();
    uint64_t *dte = entry(&e, DEVICES + 32 * BDF, 0);
    static const uint64_t cleared[] = {1, UINT64_C(1) << 55};
    for (size_t i = 0; i < 2; i++) {
        dte[0] &= ~cleared[i];
        assert_int_equal(at(&e, PASID, VA, false, NULL), -1);
        dte[0] |= cleared[i];
    }
    dte[0] |= UINT64_C(3) << 56; /* four levels: there is no such thing */
    assert_int_equal(at(&e, PASID, VA, false, NULL), -1);
    dte[0] &= ~(UINT64_C(3) << 56);
    *entry(&e, GCR3_TOP, 3) = PML4 | 1; /* one level */
    assert_int_equal(at(&e, 3, VA, false, NULL), DATA);
    assert_int_equal(at(&e, 512 + 3, VA, false, NULL), -1);
    *entry(&e, GCR3_TOP, 3) = RAM | 1; /* tables outside of the memory, and at odd places */
    assert_int_equal(at(&e, 3, VA, false, NULL), -1);
    *entry(&e, GCR3_TOP, 3) = PML4 | 1;
    *entry(&e, PML4, index_of(VA, 3)) |= SIZE; /* no such page */
    pasid_flush(e.p);
    assert_int_equal(at(&e, 3, VA, false, NULL), -1);
    *entry(&e, PML4, index_of(VA, 3)) = PDPT | ALL;
    *entry(&e, PDPT, index_of(VA, 2)) = SIZE | ALL; /* a page of 1 GiB, at 0, of which a part is there */
    assert_int_equal(at(&e, 3, VA - (VA & 0x3fffffff) + 0x1234, false, NULL), 0x1234);
    assert_int_equal(at(&e, 3, VA, false, NULL), -1);
    /* five levels */
    dte[2] = UINT64_C(1) << 54;
    *entry(&e, GCR3_TOP, 3) = 0x8000 | 1;
    *entry(&e, 0x8000, 0) = PML4 | ALL;
    *entry(&e, PDPT, index_of(VA, 2)) = PD | ALL;
    assert_int_equal(at(&e, 3, VA, false, NULL), DATA);
    *entry(&e, 0x8000, 5) = PML4 | ALL;
    assert_int_equal(at(&e, 3, UINT64_C(5) << 48 | VA, false, NULL), DATA);
    stop(&e);
}

/* ---- QMP --------------------------------------------------------------------------------------------------------- */

typedef struct qemu { /* answers once */
    int listening;
    const char *value;
    pthread_t thread;
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
} qemu;

static void *answering(void *ud) {
    qemu *q = ud;
    char line[512];
    int s = accept(q->listening, NULL, NULL);
    static const char hello[] = "{\"QMP\": {\"version\": {}}}\r\n", done[] = "{\"return\": {}}\r\n";
    if (send(s, hello, strlen(hello), 0) > 0 && recv(s, line, sizeof line, 0) > 0 &&
        send(s, done, strlen(done), 0) > 0 && recv(s, line, sizeof line, 0) > 0 && q->value) {
        usleep(20000);
        send(s, q->value, strlen(q->value), MSG_NOSIGNAL);
    }
    close(s);
    return NULL;
}

static void qmp(void **state) {
    (void)state;
    static const struct {
        const char *value;
        bool known;
    } cases[] = {
        {"{\"return\": \"00000000fed80000: 0x0000000000001fff\\r\\n\"}\r\n", true},
        {"{\"return\": \"00000000fed80000: 0x0000000000000000\\r\\n\"}\r\n", false},
        {"{\"error\": {\"desc\": \"no such command\\r\\n\"}}\r\n", false},
        {NULL, false}, /* hangs up */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        env e = start();
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        qemu q = {.value = cases[i].value, .listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        snprintf(q.path, sizeof q.path, "%s/qmp-%d-%zu", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid(),
                 i);
        strcpy(sa.sun_path, q.path);
        assert_int_equal(bind(q.listening, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(listen(q.listening, 1), 0);
        assert_int_equal(pthread_create(&q.thread, NULL, answering, &q), 0);
        pasid_free(e.p);
        e.p = pasid_new(e.m, q.path, BDF);
        assert_non_null(e.p);
        assert_false(pasid_wait(e.p, 0)); /* nobody has asked */
        pasid_ask(e.p);
        pasid_ask(e.p); /* once is enough */
        assert_int_equal(pasid_wait(e.p, 5000), cases[i].known);
        assert_int_equal(at(&e, PASID, VA, false, NULL), cases[i].known ? DATA : -1);
        pthread_join(q.thread, NULL);
        close(q.listening);
        unlink(q.path);
        if (!cases[i].known) { /* nobody is there */
            pasid_ask(e.p);
            assert_false(pasid_wait(e.p, 5000));
        }
        stop(&e);
    }
}

/* ---- the device -------------------------------------------------------------------------------------------------- */

/* A context of a process: its heap is found through the tables; a page that is not there is an error of the command. */
static void context_of_a_process(void **state) {
    (void)state;
    vfu *v = vfu_new();
    assert_non_null(v);
    pasid_walker *p = pasid_new(vfu_memory(v), "/nowhere", BDF);
    assert_non_null(p);
    npu1 *n = npu1_new(v, &(npu1_options){.minor = 8, .pasid = p, .quiet = true});
    client *c = client_start(v, RAM);
    ring mgmt, ch;
    uint32_t minor, w = 0;
    answer a;
    env e = {.c = *c};
    make_tables(&e);
    assert_int_equal(client_version(c), 0);
    assert_int_equal(client_read(c, 7, 0x100, &w, 4), 0);
    assert_int_equal(w & 0xffff, 0x1b); /* PASID; then ATS, PRI */
    assert_int_equal(client_read(c, 7, w >> 20, &w, 4), 0);
    assert_int_equal(w & 0xffff, 0x0f);
    assert_int_equal(client_read(c, 7, w >> 20, &w, 4), 0);
    assert_int_equal(w, 1 << 16 | 0x13);
    assert_int_equal(client_map(c, 0, RAM, 0, 3), 0);
    assert_true(driver_irqs(c));
    assert_true(driver_start(c, &mgmt, &minor));
    pasid_set_table(p, DEVICES);
    const uint8_t create[28] = {1, [4] = 1, 1, [8] = 1, [10] = PASID & 255, PASID >> 8};
    assert_true(driver_ask(c, &mgmt, 2, create, sizeof create, &a));
    assert_int_equal(a.word[0], 0);
    const uint32_t *q = a.word;
    ch = (ring){q[4], q[3], q[5], q[6], q[8], q[7], q[9], q[10], q[2] & 0xffff, 0, 0, 0};
    const uint32_t heap[5] = {q[1], (uint32_t)VA, (uint32_t)(VA >> 32), 0x2000, 0}, cu[33] = {1, 0x4000000 >> 15};
    assert_true(driver_ask(c, &mgmt, 0x106, heap, sizeof heap, &a));
    assert_int_equal(a.word[0], 0);
    assert_true(driver_ask(c, &ch, 0x11, cu, sizeof cu, &a));
    assert_int_equal(a.word[0], 0);
    /* the stream is in the first page, which is there, or in the second, which is not */
    uint32_t exec[20] = {0, 3, 0, 0x4000000, 0, 4};
    assert_true(driver_ask(c, &ch, 0xC, exec, sizeof exec, &a));
    assert_int_equal(a.word[0], 0x3000003); /* it was read; there is no PDI */
    assert_int_equal(*entry(&e, PT, index_of(VA, 0)) & ACCESSED, ACCESSED);
    assert_int_equal(npu1_get_counts(n).unmapped, 0);
    exec[3] = 0x4001000;
    assert_true(driver_ask(c, &ch, 0xC, exec, sizeof exec, &a));
    assert_int_equal(a.word[0], 0x4000001);
    assert_int_equal(npu1_get_counts(n).unmapped, 1);
    client_stop(c);
    npu1_free(n);
    pasid_free(p);
    vfu_free(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages), cmocka_unit_test(changes),              cmocka_unit_test(other_tables),
        cmocka_unit_test(qmp),   cmocka_unit_test(context_of_a_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
