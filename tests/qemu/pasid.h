/* pasid.h - what an IOMMU does for a device that uses the addresses of a process: from a PASID through the guest's
 * tables to guest memory.
 *
 * vfio-user has no word for PASIDs, so the device reads the AMD IOMMU's tables in guest memory by itself: device
 * table entry, GCR3 table, and the process's own page table, with accessed and dirty bits set as the hardware sets
 * them. Guest memory has to be mapped at its physical addresses (the guest's iommu=pt). Where the device table lies
 * is asked of QEMU over QMP.
 * Source: AMD I/O Virtualization Technology Specification, device table entries and guest translation [doc]. */
#ifndef TS_TESTS_QEMU_PASID_H
#define TS_TESTS_QEMU_PASID_H

#include "qemu/dma.h"

typedef struct pasid_walker pasid_walker;

/* qmp: path of QEMU's QMP socket, borrowed; bdf: bus, device and function of the device. NULL: out of memory. */
pasid_walker *pasid_new(dma_map *m, const char *qmp, unsigned bdf);
void pasid_free(pasid_walker *p);

/* Ask for the device table's place in a thread of its own: the answer needs QEMU's main loop, which may be waiting
 * for ours. */
void pasid_ask(pasid_walker *p);
/* Wait for the answer, at most so long; false: there is none. Without the memory's lock. */
bool pasid_wait(pasid_walker *p, int milliseconds);
/* The place, as pasid_ask would find it; 0: forget it. */
void pasid_set_table(pasid_walker *p, uint64_t device_table);

/* Forget translations, as before each command. One that is kept is used only while the entries that it came from are
 * unchanged. */
void pasid_flush(pasid_walker *p);
/* With the memory's lock held, from one thread: where `addr` of the process is, and how many bytes follow it there
 * (at most *len); NULL: no page, or not for writing, or not for user mode. */
uint8_t *pasid_at(pasid_walker *p, uint32_t pasid, uint64_t addr, bool write, size_t *len);

#endif
