#define _GNU_SOURCE
#include "base/cpu.h"

#include "base/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *const level_names[TS_CPU_LEVELS] = {"ref", "avx2", "avx512vnni"};

const char *ts_cpu_level_name(ts_cpu_level level) {
    return level_names[level];
}

ts_cpu_level ts_cpu_detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")))
        return TS_CPU_REF; /* every AVX2 processor has F16C, which gcc 12 cannot ask for */
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
        return TS_CPU_AVX512VNNI;
    return TS_CPU_AVX2;
#else
    return TS_CPU_REF;
#endif
}

ts_status ts_cpu_choose(ts_cpu_level *level, ts_err *err) {
    ts_cpu_level have = ts_cpu_detect();
    const char *mask = getenv("TESSERA_CPU");
    if (!mask || !*mask) {
        *level = have;
        return TS_OK;
    }
    for (int i = 0; i < TS_CPU_LEVELS; i++) {
        if (strcmp(mask, level_names[i]) != 0) continue;
        if (i > (int)have)
            return ts_fail(err, TS_E_INVAL, "TESSERA_CPU=%s: this processor only reaches %s", mask, level_names[have]);
        *level = (ts_cpu_level)i;
        return TS_OK;
    }
    return ts_fail(err, TS_E_INVAL, "TESSERA_CPU=%s: unknown level; use ref, avx2 or avx512vnni", mask);
}

static ts_cgroup_limits own_cgroup(void) {
    char self[8192] = "";
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (f) {
        self[fread(self, 1, sizeof self - 1, f)] = 0;
        fclose(f);
    }
    return ts_cgroup_read("/sys/fs/cgroup", self);
}

/* Processors that the affinity mask (taskset, a cpuset) leaves. */
static int affinity_count(void) {
    for (int cpus = 1024; cpus <= 1 << 16; cpus *= 2) { /* the kernel refuses a mask that is too short for the machine */
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set) return 0;
        size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
        int n = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : -errno;
        CPU_FREE(set);
        if (n != -EINVAL) return n > 0 ? n : 0;
    }
    return 0;
}

int ts_cpu_count(void) {
    int n = affinity_count();
    if (n == 0) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    double quota = own_cgroup().cpus;
    if (quota > 0 && quota < n) { /* 1.5 processors' worth of time keep two threads busy most of the time: round up */
        int whole = (int)quota;
        n = whole < quota ? whole + 1 : whole;
    }
    return n > 0 ? n : 1;
}

/* The value behind the first line of `path` that starts with `key`, without leading blanks and ':'. */
static int find_line(const char *path, const char *key, char *buf, size_t len) {
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    char line[512];
    int found = 0;
    while (!found && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        char *v = line + strlen(key);
        v += strspn(v, " \t:");
        v[strcspn(v, "\n")] = 0;
        snprintf(buf, len, "%s", v);
        found = 1;
    }
    fclose(f);
    return found;
}

void ts_cpu_model(char *buf, size_t len) {
    if (!find_line("/proc/cpuinfo", "model name", buf, len)) snprintf(buf, len, "unknown");
}

size_t ts_mem_available(void) {
    char buf[64];
    unsigned long long kib, pages;
    if (!find_line("/proc/meminfo", "MemAvailable", buf, sizeof buf) || sscanf(buf, "%llu", &kib) != 1) return 0;
    unsigned long long bytes = kib * 1024;
    ts_cgroup_limits l = own_cgroup();
    if (l.mem_limited && l.mem < bytes) bytes = l.mem;
    struct rlimit as; /* ulimit -v */
    if (getrlimit(RLIMIT_AS, &as) == 0 && as.rlim_cur != RLIM_INFINITY && find_line("/proc/self/statm", "", buf, sizeof buf) &&
        sscanf(buf, "%llu", &pages) == 1) {
        unsigned long long used = pages * (unsigned long long)sysconf(_SC_PAGESIZE), left = as.rlim_cur > used ? as.rlim_cur - used : 0;
        if (left < bytes) bytes = left;
    }
    return bytes ? (size_t)bytes : 1;
}

size_t ts_mem_peak(void) {
    char buf[64];
    unsigned long long kib;
    struct rusage u;
    if (find_line("/proc/self/status", "VmHWM", buf, sizeof buf) && sscanf(buf, "%llu", &kib) == 1) return (size_t)kib * 1024;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (size_t)u.ru_maxrss * 1024 : 0;
}

bool ts_mem_peak_reset(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC); /* proc(5): 5 resets the peak */
    bool done = fd >= 0 && write(fd, "5", 1) == 1;
    if (fd >= 0) close(fd);
    return done;
}
