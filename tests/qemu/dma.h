/* dma.h - guest memory as the client of a vfio-user device has mapped it for the device.
 *
 * A map of ranges of device addresses (IOVAs, or guest physical addresses) to pieces of memory files, which are
 * mapped into this process once each. All functions take the map's lock by themselves, but for dma_at, whose pointer
 * is good for as long as the caller holds it; so a range that has been removed is never touched again, whatever
 * thread asks. */
#ifndef TS_TESTS_QEMU_DMA_H
#define TS_TESTS_QEMU_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dma_map dma_map;

enum {
    DMA_READABLE = 1, /* flags of a range: what the device may do */
    DMA_WRITABLE = 2,
    DMA_RANGES_MAX = 65535, /* at a time; more is ENOSPC */
    DMA_FILES_MAX = 16,     /* different files at a time */
    DMA_PAGE = 4096,        /* addresses, sizes and offsets are multiples of it */
};

dma_map *dma_new(void); /* NULL: out of memory */
void dma_free(dma_map *m);

/* Map `size` bytes of the file `fd` from `offset` on at `addr`; fd < 0: a range that the device cannot reach. The
 * caller keeps fd. The file must be sealed against shrinking (F_SEAL_SHRINK), or the client could take the memory
 * away under our hands. 0, or an errno: EINVAL (not whole pages, flags, beyond the end of address space or file),
 * EEXIST (overlaps another), EPERM (not sealed), ENOSPC (too many), ENOMEM. */
int dma_add(dma_map *m, uint64_t addr, uint64_t size, uint32_t flags, int fd, uint64_t offset);
/* Take away every range within; 0, or EINVAL when one of them sticks out (nothing happens then). */
int dma_remove(dma_map *m, uint64_t addr, uint64_t size);
void dma_remove_all(dma_map *m);

/* Copy between the device and guest memory; false: some of it is not mapped, or not for this. Bytes before may have
 * been copied. */
bool dma_read(dma_map *m, uint64_t addr, void *data, size_t len);
bool dma_write(dma_map *m, uint64_t addr, const void *data, size_t len);

void dma_lock(dma_map *m);
void dma_unlock(dma_map *m);
/* With the lock held: where `addr` is, and how many bytes follow it there (at most *len); NULL: nowhere. */
uint8_t *dma_at(const dma_map *m, uint64_t addr, bool write, size_t *len);
/* With the lock held: changes whenever a pointer from dma_at may have become bad. */
uint64_t dma_generation(const dma_map *m);

typedef struct dma_counts {
    uint64_t maps, unmaps, ranges; /* added and removed so far, mapped now */
    uint64_t bytes, bytes_most;    /* mapped now, and at most */
} dma_counts;
dma_counts dma_get_counts(dma_map *m);

#endif
