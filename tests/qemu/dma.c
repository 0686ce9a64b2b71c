#define _GNU_SOURCE /* F_GET_SEALS */
#include "qemu/dma.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef struct memory_file { /* mapped whole, for as long as a range lies in it */
    dev_t dev;
    ino_t ino;
    bool writable;
    uint8_t *at;
    uint64_t size;
    size_t ranges; /* 0: the entry is free */
} memory_file;

typedef struct range {
    uint64_t addr, size;
    uint8_t *at; /* NULL: out of reach */
    uint8_t file, flags;
} range;

/* Ranges are sorted by address, in an array with a gap in it: guests with an IOMMU map and unmap tens of thousands
 * of pages one after the other at neighbouring addresses, which then moves next to nothing. */
struct dma_map {
    pthread_mutex_t lock;
    range *r; /* [0, gap) and [gap + cap - n, cap) */
    size_t n, cap, gap;
    memory_file file[DMA_FILES_MAX];
    uint64_t generation;
    dma_counts counts;
};

dma_map *dma_new(void) {
    dma_map *m = ts_calloc(1, sizeof *m);
    if (m && pthread_mutex_init(&m->lock, NULL)) {
        ts_free(m);
        return NULL;
    }
    return m;
}

void dma_free(dma_map *m) {
    if (!m) return;
    dma_remove_all(m);
    pthread_mutex_destroy(&m->lock);
    ts_free(m->r);
    ts_free(m);
}

void dma_lock(dma_map *m) {
    pthread_mutex_lock(&m->lock);
}

void dma_unlock(dma_map *m) {
    pthread_mutex_unlock(&m->lock);
}

/* ---- the array with a gap ---------------------------------------------------------------------------------------- */

static range *nth(const dma_map *m, size_t i) {
    return &m->r[i < m->gap ? i : i + (m->cap - m->n)];
}

static void move_gap(dma_map *m, size_t to) {
    size_t wide = m->cap - m->n;
    if (to == m->gap) return;
    if (to < m->gap) memmove(m->r + to + wide, m->r + to, (m->gap - to) * sizeof *m->r);
    else memmove(m->r + m->gap, m->r + m->gap + wide, (to - m->gap) * sizeof *m->r);
    m->gap = to;
}

static bool make_room(dma_map *m) {
    if (m->n < m->cap) return true;
    move_gap(m, m->n);
    return ts_grow((void **)&m->r, &m->cap, m->n + 1, sizeof *m->r);
}

/* The first range that ends behind addr. */
static size_t lower(const dma_map *m, uint64_t addr) {
    size_t lo = 0, hi = m->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const range *r = nth(m, mid);
        if (r->addr + (r->size - 1) < addr) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* ---- memory files ------------------------------------------------------------------------------------------------ */

/* The entry that holds the first `need` bytes of a file, with one range more in it; 0 or an errno. */
static int take_file(dma_map *m, int fd, uint64_t need, bool writable, uint8_t *index) {
    struct stat st;
    int unused = -1;
    if (fstat(fd, &st) < 0) return errno;
    for (int i = 0; i < DMA_FILES_MAX; i++) {
        memory_file *f = &m->file[i];
        if (!f->ranges) unused = i;
        if (!f->ranges || f->dev != st.st_dev || f->ino != st.st_ino || f->writable != writable || f->size < need)
            continue;
        f->ranges++;
        *index = (uint8_t)i;
        return 0;
    }
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size < need) return EINVAL;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK)) return EPERM;
    if (unused < 0) return ENOSPC;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return errno;
    m->file[unused] = (memory_file){.dev = st.st_dev, .ino = st.st_ino, .writable = writable, .at = at,
                                    .size = (uint64_t)st.st_size, .ranges = 1};
    *index = (uint8_t)unused;
    return 0;
}

static void forget(dma_map *m, const range *r) {
    m->counts.unmaps++;
    m->counts.bytes -= r->size;
    if (!r->at) return;
    memory_file *f = &m->file[r->file];
    if (--f->ranges) return;
    munmap(f->at, (size_t)f->size);
    f->at = NULL;
}

/* ---- ranges ------------------------------------------------------------------------------------------------------ */

static int add(dma_map *m, uint64_t addr, uint64_t size, uint32_t flags, int fd, uint64_t offset) {
    uint64_t end;
    range r = {.addr = addr, .size = size, .flags = (uint8_t)flags};
    if (!size || (addr | size | offset) % DMA_PAGE || addr + (size - 1) < addr) return EINVAL;
    if (!flags || (flags & ~(uint32_t)(DMA_READABLE | DMA_WRITABLE))) return EINVAL;
    if (__builtin_add_overflow(offset, size, &end)) return EINVAL;
    size_t i = lower(m, addr);
    if (i < m->n && nth(m, i)->addr <= addr + (size - 1)) return EEXIST;
    if (m->n == DMA_RANGES_MAX) return ENOSPC;
    if (!make_room(m)) return ENOMEM;
    if (fd >= 0) {
        int e = take_file(m, fd, end, flags & DMA_WRITABLE, &r.file);
        if (e) return e;
        r.at = m->file[r.file].at + offset;
    }
    move_gap(m, i);
    m->r[m->gap++] = r;
    m->n++;
    m->counts.maps++;
    m->counts.bytes += size;
    if (m->counts.bytes > m->counts.bytes_most) m->counts.bytes_most = m->counts.bytes;
    return 0;
}

int dma_add(dma_map *m, uint64_t addr, uint64_t size, uint32_t flags, int fd, uint64_t offset) {
    dma_lock(m);
    int e = add(m, addr, size, flags, fd, offset);
    dma_unlock(m);
    return e;
}

static void remove_some(dma_map *m, size_t from, size_t to) {
    move_gap(m, from);
    for (size_t i = from; i < to; i++) forget(m, nth(m, i));
    m->n -= to - from; /* what stood behind the gap is now part of it */
    m->generation++;
}

int dma_remove(dma_map *m, uint64_t addr, uint64_t size) {
    if (!size || addr + (size - 1) < addr) return EINVAL;
    int e = 0;
    dma_lock(m);
    uint64_t last = addr + (size - 1);
    size_t i = lower(m, addr), j = i;
    while (j < m->n && nth(m, j)->addr <= last) {
        const range *r = nth(m, j++);
        if (r->addr < addr || r->addr + (r->size - 1) > last) e = EINVAL;
    }
    if (!e && j > i) remove_some(m, i, j);
    dma_unlock(m);
    return e;
}

void dma_remove_all(dma_map *m) {
    dma_lock(m);
    remove_some(m, 0, m->n);
    dma_unlock(m);
}

/* ---- access ------------------------------------------------------------------------------------------------------ */

uint8_t *dma_at(const dma_map *m, uint64_t addr, bool write, size_t *len) {
    size_t i = lower(m, addr);
    if (i == m->n) return NULL;
    const range *r = nth(m, i);
    if (r->addr > addr || !r->at || !(r->flags & (write ? DMA_WRITABLE : DMA_READABLE))) return NULL;
    uint64_t off = addr - r->addr;
    if (*len > r->size - off) *len = (size_t)(r->size - off);
    return r->at + off;
}

uint64_t dma_generation(const dma_map *m) {
    return m->generation;
}

bool dma_read(dma_map *m, uint64_t addr, void *data, size_t len) {
    uint8_t *to = data;
    dma_lock(m);
    while (len) {
        size_t n = len;
        const uint8_t *at = dma_at(m, addr, false, &n);
        if (!at) break;
        memcpy(to, at, n);
        to += n, addr += n, len -= n;
    }
    dma_unlock(m);
    return !len;
}

bool dma_write(dma_map *m, uint64_t addr, const void *data, size_t len) {
    const uint8_t *from = data;
    dma_lock(m);
    while (len) {
        size_t n = len;
        uint8_t *at = dma_at(m, addr, true, &n);
        if (!at) break;
        memcpy(at, from, n);
        from += n, addr += n, len -= n;
    }
    dma_unlock(m);
    return !len;
}

dma_counts dma_get_counts(dma_map *m) {
    dma_lock(m);
    dma_counts c = m->counts;
    c.ranges = m->n;
    dma_unlock(m);
    return c;
}
