/* cgroup.h - what the control groups of this process (containers, systemd slices) allow.
 *
 * A limit holds for a group and all groups below it, so every ancestor is asked and the tightest counts. Read are
 * version 2 (cpu.max, memory.max, memory.high) and version 1 (cpu.cfs_quota_us, memory.limit_in_bytes) under their
 * usual places. */
#ifndef TS_BASE_CGROUP_H
#define TS_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ts_cgroup_limits {
    double cpus;      /* processors' worth of time, 0: no quota */
    bool mem_limited; /* is there a memory limit? */
    /* bytes that may still be used: the limit less what is used and cannot be dropped, never below 1 */
    uint64_t mem;
} ts_cgroup_limits;

/* `root`: where the hierarchies are mounted ("/sys/fs/cgroup"). `self`: the text of /proc/self/cgroup, "" when
 * unknown. What cannot be read counts as no limit. */
ts_cgroup_limits ts_cgroup_read(const char *root, const char *self);

#endif
