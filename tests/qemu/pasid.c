#include "qemu/pasid.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, CACHED = 1024, DTE_BYTES = 32, QMP_SECONDS = 5 };

/* The IOMMU's first register, the device table's base, where QEMU puts its AMD IOMMU. */
#define TABLE_REGISTER "0xfed80000"

#define ADDR_MASK UINT64_C(0x000ffffffffff000)
/* Bits of page table entries. */
enum { PRESENT = 1, WRITABLE = 2, USER = 4, ACCESSED = 0x20, DIRTY = 0x40, LARGE = 0x80 };

typedef _Atomic uint64_t entry;

typedef struct translation {
    uint8_t *at; /* NULL: none */
    uint64_t page, value, root_value;
    const entry *leaf, *root; /* as they were: value, root_value */
    uint32_t pasid;
    bool writable;
} translation;

struct pasid_walker {
    dma_map *memory;
    const char *qmp;
    unsigned bdf;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    uint64_t table; /* of devices; 0: not known */
    bool asking, joinable;
    pthread_t thread;
    uint64_t generation; /* of the memory's map, when the cache was last empty */
    translation cache[CACHED];
};

pasid_walker *pasid_new(dma_map *m, const char *qmp, unsigned bdf) {
    pasid_walker *p = ts_calloc(1, sizeof *p);
    if (!p) return NULL;
    p->memory = m;
    p->qmp = qmp;
    p->bdf = bdf;
    if (pthread_mutex_init(&p->lock, NULL) || pthread_cond_init(&p->answered, NULL)) {
        ts_free(p);
        return NULL;
    }
    return p;
}

void pasid_free(pasid_walker *p) {
    if (!p) return;
    if (p->joinable) pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->answered);
    pthread_mutex_destroy(&p->lock);
    ts_free(p);
}

void pasid_set_table(pasid_walker *p, uint64_t device_table) {
    pthread_mutex_lock(&p->lock);
    p->table = device_table & ADDR_MASK;
    pthread_mutex_unlock(&p->lock);
}

static void answer(pasid_walker *p, uint64_t device_table) { /* 0: there is none */
    pthread_mutex_lock(&p->lock);
    if (device_table) p->table = device_table;
    p->asking = false;
    pthread_cond_broadcast(&p->answered);
    pthread_mutex_unlock(&p->lock);
}

/* ---- QMP --------------------------------------------------------------------------------------------------------- */

/* Send a line (nullable) and read until `until` has come; false: an error, or nothing for QMP_SECONDS. */
static bool talk(int s, const char *line, const char *until, char *answer, size_t size) {
    size_t n = 0, len = line ? strlen(line) : 0;
    if (len && send(s, line, len, MSG_NOSIGNAL) != (ssize_t)len) return false;
    while (n + 1 < size) {
        ssize_t got = recv(s, answer + n, size - n - 1, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        n += (size_t)got;
        answer[n] = 0;
        if (strstr(answer, until)) return true;
    }
    return false;
}

static uint64_t ask_qemu(const char *path) {
    const struct timeval patience = {.tv_sec = QMP_SECONDS};
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char a[4096];
    uint64_t table = 0;
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) return 0;
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!connect(s, (struct sockaddr *)&sa, sizeof sa) && talk(s, NULL, "\"QMP\"", a, sizeof a) &&
        talk(s, "{\"execute\":\"qmp_capabilities\"}\n", "\"return\"", a, sizeof a) &&
        talk(s,
             "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"xp /1gx " TABLE_REGISTER
             "\"}}\n",
             "\\r\\n", a, sizeof a)) {
        const char *value = strstr(a, ": 0x");
        if (value) table = strtoull(value + 2, NULL, 16) & ADDR_MASK;
    }
    close(s);
    return table;
}

static void *asking(void *ud) {
    pasid_walker *p = ud;
    uint64_t table = ask_qemu(p->qmp);
    if (!table) fprintf(stderr, "npu1-server: QMP at %s does not tell where the device table is\n", p->qmp);
    answer(p, table);
    return NULL;
}

void pasid_ask(pasid_walker *p) {
    pthread_mutex_lock(&p->lock);
    bool need = !p->table && !p->asking;
    if (need) p->asking = true;
    pthread_mutex_unlock(&p->lock);
    if (!need) return;
    if (p->joinable) pthread_join(p->thread, NULL); /* it has answered */
    p->joinable = !pthread_create(&p->thread, NULL, asking, p);
    if (!p->joinable) answer(p, 0);
}

bool pasid_wait(pasid_walker *p, int milliseconds) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += milliseconds / 1000;
    end.tv_nsec += milliseconds % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) end.tv_sec++, end.tv_nsec -= 1000000000L;
    pthread_mutex_lock(&p->lock);
    while (p->asking && pthread_cond_timedwait(&p->answered, &p->lock, &end) == 0) {}
    bool known = p->table != 0;
    pthread_mutex_unlock(&p->lock);
    return known;
}

/* ---- the tables -------------------------------------------------------------------------------------------------- */

static entry *entry_at(const pasid_walker *p, uint64_t addr) {
    size_t n = sizeof(entry);
    uint8_t *at = dma_at(p->memory, addr, true, &n);
    return at && n == sizeof(entry) && (uintptr_t)at % sizeof(entry) == 0 ? (entry *)(void *)at : NULL;
}

static bool value_at(const pasid_walker *p, uint64_t addr, uint64_t *value) {
    const entry *e = entry_at(p, addr);
    if (e) *value = atomic_load(e);
    return e;
}

/* The GCR3 entry of a PASID, which points to the process's page table, and that table's levels; NULL: none. */
static const entry *root_of(pasid_walker *p, uint32_t pasid, int *levels) {
    uint64_t d[3], table;
    pthread_mutex_lock(&p->lock);
    table = p->table;
    pthread_mutex_unlock(&p->lock);
    if (!table) return NULL;
    for (int i = 0; i < 3; i++)
        if (!value_at(p, table + DTE_BYTES * (uint64_t)p->bdf + 8 * (uint64_t)i, &d[i])) return NULL;
    if (!(d[0] & 1) || !(d[0] >> 55 & 1)) return NULL; /* valid; guest translation */
    unsigned deep = d[0] >> 56 & 3;                    /* levels of the GCR3 table, less one */
    uint64_t at = (d[0] >> 58 & 7) << 12 | (d[1] >> 16 & 0xffff) << 15 | (d[1] >> 43) << 31;
    *levels = (d[2] >> 54 & 3) == 1 ? 5 : 4;
    if (deep > 2 || pasid >> 9 * (deep + 1)) return NULL;
    for (;; deep--) {
        const entry *e = entry_at(p, at + 8 * (uint64_t)(pasid >> 9 * deep & 511));
        if (!deep || !e) return e;
        uint64_t next = atomic_load(e);
        if (!(next & PRESENT)) return NULL;
        at = next & ADDR_MASK;
    }
}

/* Fill *t for the page of addr; false: not there, or not for this. */
static bool walk(pasid_walker *p, uint32_t pasid, uint64_t addr, bool write, translation *t) {
    int levels;
    const entry *root = root_of(p, pasid, &levels);
    if (!root) return false;
    uint64_t root_value = atomic_load(root), value = 0;
    if (!(root_value & PRESENT)) return false;
    int top = 12 + 9 * levels; /* user addresses are positive numbers */
    if (addr >> (top - 1)) return false;
    uint64_t table = root_value & ADDR_MASK;
    entry *e = NULL;
    int level = levels - 1;
    for (;;) {
        e = entry_at(p, table + 8 * (addr >> (12 + 9 * level) & 511));
        value = e ? atomic_load(e) : 0;
        if (!(value & PRESENT) || !(value & USER) || (write && !(value & WRITABLE))) return false;
        bool leaf = !level || (value & LARGE);
        if (leaf && level > 2) return false;
        uint64_t marked = value | ACCESSED | (leaf && write ? DIRTY : 0);
        /* the guest was faster: look again */
        if (marked != value && !atomic_compare_exchange_strong(e, &value, marked)) continue;
        value = marked;
        if (leaf) break;
        table = value & ADDR_MASK;
        level--;
    }
    uint64_t size = UINT64_C(1) << (12 + 9 * level), base = value & ADDR_MASK & ~(size - 1);
    size_t n = PAGE;
    uint8_t *at = dma_at(p->memory, base + (addr & (size - 1) & ~(uint64_t)(PAGE - 1)), write, &n);
    if (!at || n < PAGE) return false;
    *t = (translation){.at = at, .page = addr / PAGE, .value = value, .root_value = root_value, .leaf = e, .root = root,
                       .pasid = pasid, .writable = write};
    return true;
}

void pasid_flush(pasid_walker *p) {
    memset(p->cache, 0, sizeof p->cache);
}

uint8_t *pasid_at(pasid_walker *p, uint32_t pasid, uint64_t addr, bool write, size_t *len) {
    uint64_t page = addr / PAGE, off = addr % PAGE;
    translation *t = &p->cache[page % CACHED];
    if (p->generation != dma_generation(p->memory)) { /* pointers may have become bad */
        pasid_flush(p);
        p->generation = dma_generation(p->memory);
    }
    bool good = t->at && t->page == page && t->pasid == pasid && (t->writable || !write) &&
                atomic_load(t->leaf) == t->value && atomic_load(t->root) == t->root_value;
    if (!good) {
        t->at = NULL;
        if (!walk(p, pasid, addr, write, t)) return NULL;
    }
    if (*len > PAGE - off) *len = (size_t)(PAGE - off);
    return t->at + off;
}
