/* Memory of the fake node, twice: what the CPU sees through its caches, and what lies in DRAM. A line is in one
 * of three states: equal in both; dirty (the CPU has written, cpu != dram); or written by the device and not yet
 * dropped by the CPU, which then still sees the old bytes. */
#define _GNU_SOURCE /* memfd_create */
#include "xdna/fake_int.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t lines_of(size_t bytes) {
    return (bytes + FAKE_LINE - 1) / FAKE_LINE;
}

int fake_mem_new(fake_mem *m, size_t bytes, bool coherent) {
    *m = (fake_mem){.fd = -1, .bytes = bytes};
    m->fd = memfd_create("tessera-fake-npu", MFD_CLOEXEC);
    if (m->fd < 0) return -errno;
    int e = ENOMEM;
    if (ftruncate(m->fd, (off_t)bytes) < 0) goto fail;
    m->cpu = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
    if (m->cpu == MAP_FAILED) {
        m->cpu = NULL;
        goto fail;
    }
    if (coherent) {
        m->dram = m->cpu;
        return 0;
    }
    /* large and mostly untouched: pages come when they are used */
    size_t lines = lines_of(bytes);
    uint8_t *p = mmap(NULL, lines * (FAKE_LINE + sizeof *m->hash + 1), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) goto fail;
    m->dram = p;
    m->hash = (uint64_t *)(void *)(p + lines * FAKE_LINE);
    m->written = (uint8_t *)(m->hash + lines);
    return 0;
fail:
    fake_mem_free(m);
    return -e;
}

void fake_mem_free(fake_mem *m) {
    if (m->dram && m->dram != m->cpu) munmap(m->dram, lines_of(m->bytes) * (FAKE_LINE + sizeof *m->hash + 1));
    if (m->cpu) munmap(m->cpu, m->bytes);
    if (m->fd >= 0) close(m->fd);
    *m = (fake_mem){.fd = -1};
}

static uint64_t hash_line(const uint8_t *line) {
    uint64_t h = 0x9e3779b97f4a7c15u, w;
    for (int i = 0; i < FAKE_LINE; i += 8) {
        memcpy(&w, line + i, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

/* No line of [first, last] was written by the device? */
static bool none_written(const fake_mem *m, size_t first, size_t last) {
    return !memchr(m->written + first, 1, last - first + 1);
}

void fake_mem_flush(ts_fake *f, fake_mem *m, size_t off, size_t len) {
    if (m->dram == m->cpu || !len) return;
    size_t first = off / FAKE_LINE, last = (off + len - 1) / FAKE_LINE;
    if (none_written(m, first, last)) { /* the common case: only write back */
        memcpy(m->dram + first * FAKE_LINE, m->cpu + first * FAKE_LINE, (last - first + 1) * FAKE_LINE);
        return;
    }
    for (size_t i = first; i <= last; i++) {
        uint8_t *cpu = m->cpu + i * FAKE_LINE, *dram = m->dram + i * FAKE_LINE;
        if (m->written[i] && hash_line(cpu) == m->hash[i]) {
            memcpy(cpu, dram, FAKE_LINE); /* clean in the cache: dropped, and read again from memory */
        } else {
            if (m->written[i])
                fake_broken(f, TS_FAKE_RULE_LOST_WRITE, 0, "byte 0x%zx of a buffer of 0x%zx bytes",
                            i * FAKE_LINE, m->bytes);
            memcpy(dram, cpu, FAKE_LINE); /* and the device's bytes are gone */
        }
        m->written[i] = 0;
    }
}

/* Lines that the CPU has written and not flushed, as seen at a device access; `which` is the rule they break. */
static void check_clean(ts_fake *f, const fake_mem *m, size_t off, size_t len, ts_fake_rule which) {
    size_t first = off / FAKE_LINE, last = (off + len - 1) / FAKE_LINE;
    const size_t at = first * FAKE_LINE, n = (last - first + 1) * FAKE_LINE;
    if (!memcmp(m->cpu + at, m->dram + at, n)) return;
    for (size_t i = first; i <= last; i++)
        if (!m->written[i] && memcmp(m->cpu + i * FAKE_LINE, m->dram + i * FAKE_LINE, FAKE_LINE)) {
            fake_broken(f, which, 0, "byte 0x%zx of a buffer of 0x%zx bytes", i * FAKE_LINE, m->bytes);
            return;
        }
}

void fake_mem_read(ts_fake *f, const fake_mem *m, size_t off, void *data, size_t len) {
    if (!len) return;
    if (m->dram != m->cpu) check_clean(f, m, off, len, TS_FAKE_RULE_STALE_READ);
    memcpy(data, m->dram + off, len);
}

void fake_mem_write(ts_fake *f, fake_mem *m, size_t off, const void *data, size_t len) {
    if (!len) return;
    if (m->dram != m->cpu) {
        check_clean(f, m, off, len, TS_FAKE_RULE_DIRTY_WRITE);
        for (size_t i = off / FAKE_LINE; i <= (off + len - 1) / FAKE_LINE; i++) {
            if (m->written[i]) continue;
            m->hash[i] = hash_line(m->cpu + i * FAKE_LINE);
            m->written[i] = 1;
        }
    }
    memcpy(m->dram + off, data, len);
}
