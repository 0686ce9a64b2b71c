/* vfu.h - a PCI function served over the vfio-user protocol (version 0.0), as QEMU's vfio-user-pci speaks it.
 *
 * One client on one connected UNIX stream socket. Guest memory comes as descriptors with DMA_MAP; reading and
 * writing it by messages, migration, dirty pages and mapped BARs are not offered. The client is not trusted:
 * whatever it sends is answered with an error, or with the end of the connection where the next message cannot be
 * found.
 * Source: "vfio-user Protocol Specification" of the QEMU documentation, and hw/vfio-user of QEMU 11.1 [doc]. */
#ifndef TS_TESTS_QEMU_VFU_H
#define TS_TESTS_QEMU_VFU_H

#include "qemu/dma.h"

enum { VFU_BARS = 6, VFU_VECTORS_MAX = 16, VFU_CONFIG_BYTES = 4096, VFU_BODY_MAX = 1 << 20 };

/* Called from the thread of vfu_serve. Accesses lie within the BAR and are 1 to VFU_BODY_MAX bytes long. */
typedef struct vfu_device {
    void *ud;
    uint8_t config[VFU_CONFIG_BYTES];   /* as after power-on; reset leaves what the client has written */
    uint8_t writable[VFU_CONFIG_BYTES]; /* bits of it that the client may change */
    uint32_t bar_bytes[VFU_BARS];       /* 0: none */
    uint32_t vectors;                   /* MSI-X */
    bool quiet;                         /* do not tell stderr what is refused */
    void (*bar_read)(void *ud, int bar, uint32_t off, void *data, uint32_t len);
    void (*bar_write)(void *ud, int bar, uint32_t off, const void *data, uint32_t len);
    void (*reset)(void *ud);
} vfu_device;

typedef struct vfu vfu;

vfu *vfu_new(void); /* NULL: out of memory */
void vfu_free(vfu *v);
void vfu_set_device(vfu *v, const vfu_device *d); /* borrowed; before vfu_serve */

/* Answer the client on the connected socket `sock` (borrowed) until it hangs up or breaks the framing. Guest memory
 * and interrupts are gone afterwards. */
void vfu_serve(vfu *v, int sock);

dma_map *vfu_memory(vfu *v);
/* Raise an MSI-X vector; from any thread. Nothing happens where the guest has not switched it on. */
void vfu_interrupt(vfu *v, uint32_t vector);

typedef struct vfu_counts {
    uint64_t messages, refused; /* taken, and answered with an error */
    uint64_t reads, writes, interrupts;
} vfu_counts;
vfu_counts vfu_get_counts(vfu *v);

#endif
