/* cpu.h - what this processor and machine offer.
 *
 * Instruction-set levels are named bundles, weakest first: the rows of cpu_levels.def.
 * A program may ask for less than there is (tests and bug reports): the command line by $TESSERA_CPU. */
#ifndef TS_BASE_CPU_H
#define TS_BASE_CPU_H

#include "base/err.h"

#include <stddef.h>

typedef enum ts_cpu_level {
#define LEVEL(NAME, ...) TS_CPU_##NAME, /* TS_CPU_REF is plain C, for any machine */
#include "base/cpu_levels.def"
    TS_CPU_LEVELS,
} ts_cpu_level;

const char *ts_cpu_level_name(ts_cpu_level level);
/* What a processor needs for it, in words. */
const char *ts_cpu_level_needs(ts_cpu_level level);

/* Does this processor (and the operating system's register saving) support the level? */
bool ts_cpu_has(ts_cpu_level level);
/* The highest level that it supports. */
ts_cpu_level ts_cpu_detect(void);

/* The level of this name; NULL or "": the highest that there is. TS_E_INVAL for an unknown name or a level that this
 * processor does not have. */
TS_NODISCARD ts_status ts_cpu_choose(ts_cpu_level *level, const char *name, ts_err *err);

/* Processors this process may use: those of its affinity mask (taskset, a container's cpuset), fewer where a control
 * group gives it less time than that (rounded up). At least 1. */
int ts_cpu_count(void);

/* Is this a virtual machine? Then the hypervisor's name, "QEMU TCG", "KVM", ..., is in buf. */
bool ts_cpu_hypervisor(char *buf, size_t len);
/* The same from the name that the processor tells (the 12 bytes of CPUID leaf 0x40000000, and a NUL; NULL: it tells
 * of no hypervisor, in bit 31 of leaf 1's ECX), and, where that is none or unknown, from the firmware's names under
 * `root`/sys/class/dmi/id. */
bool ts_cpu_hypervisor_of(const char *vendor, const char *root, char *buf, size_t len);

/* Bytes of memory that can be had without swapping: MemAvailable, or less where a control group (or one above it) or
 * ulimit -v leaves less. 1 where nothing is left, 0 if unknown. */
size_t ts_mem_available(void);
/* The most resident memory this process has had, in bytes. */
size_t ts_mem_peak(void);
/* Count that from now on. false: the system does not allow it. */
bool ts_mem_peak_reset(void);

#endif
