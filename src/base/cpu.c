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

#if defined(__x86_64__)
#    include <cpuid.h>
#    define CAN(feature) __builtin_cpu_supports(#feature)
/* A bit of CPUID leaf 7, sub-leaf 1, EAX: what compilers cannot ask for by name. */
static bool can_7_1(unsigned bit) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> bit & 1);
}
#elif defined(__aarch64__)
#    include <sys/auxv.h>
#    define CAN(vector, feature) ((getauxval(vector) & (feature)) != 0)
#endif

static const struct {
    const char *name, *needs;
} levels[TS_CPU_LEVELS] = {
#define LEVEL(NAME, name, can, needs) {#name, needs},
#include "base/cpu_levels.def"
};

const char *ts_cpu_level_name(ts_cpu_level level) {
    return levels[level].name;
}

const char *ts_cpu_level_needs(ts_cpu_level level) {
    return levels[level].needs;
}

bool ts_cpu_has(ts_cpu_level level) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    const bool has[TS_CPU_LEVELS] = {
#define LEVEL(NAME, name, can, needs) can,
#include "base/cpu_levels.def"
    };
    return has[level];
}

ts_cpu_level ts_cpu_detect(void) {
    int level = TS_CPU_LEVELS - 1;
    while (!ts_cpu_has((ts_cpu_level)level)) level--;
    return (ts_cpu_level)level;
}

/* their names: "a, b or c" */
static void level_list(char *buf, size_t len) {
    size_t n = 0;
    for (int i = 0; i < TS_CPU_LEVELS && n < len; i++)
        n += (size_t)snprintf(buf + n, len - n, "%s%s", i == 0 ? "" : i + 1 < TS_CPU_LEVELS ? ", " : " or ",
                              levels[i].name);
}

ts_status ts_cpu_choose(ts_cpu_level *level, const char *name, ts_err *err) {
    char list[200];
    if (!name || !*name) {
        *level = ts_cpu_detect();
        return TS_OK;
    }
    for (int i = 0; i < TS_CPU_LEVELS; i++) {
        if (strcmp(name, levels[i].name) != 0) continue;
        if (!ts_cpu_has((ts_cpu_level)i))
            return ts_fail(err, TS_E_INVAL, "CPU level %s needs %s; the best of this processor is %s", name,
                           levels[i].needs, levels[ts_cpu_detect()].name);
        *level = (ts_cpu_level)i;
        return TS_OK;
    }
    level_list(list, sizeof list);
    return ts_fail(err, TS_E_INVAL, "CPU level \"%.40s\" is unknown; use %s", name, list);
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
    /* the kernel refuses a mask that is too short for the machine */
    for (int cpus = 1024; cpus <= 1 << 16; cpus *= 2) {
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

/* ---- a virtual machine ------------------------------------------------------------------------------------------- */

static const struct {
    const char *vendor, *name;
} hypervisors[] = {
    {"TCGTCGTCGTCG", "QEMU TCG"},   {"KVMKVMKVM", "KVM"},       {"Linux KVM Hv", "KVM"},
    {"Microsoft Hv", "Hyper-V"},    {"VMwareVMware", "VMware"}, {"XenVMMXenVMM", "Xen"},
    {"VBoxVBoxVBox", "VirtualBox"}, {"bhyve bhyve ", "bhyve"},  {" lrpepyh vr", "Parallels"},
    {"prl hyperv  ", "Parallels"},  {"ACRNACRNACRN", "ACRN"},   {" QNXQVMBSQG ", "QNX"},
};

/* What a hypervisor's firmware calls the machine; the makers of laptops have other products. */
static const struct {
    const char *file, *begin, *name;
} virtual_machines[] = {
    {"sys_vendor", "QEMU", "QEMU"}, {"product_name", "KVM", "KVM"}, {"product_name", "VMware", "VMware"},
    {"product_name", "VirtualBox", "VirtualBox"}, {"product_name", "Virtual Machine", "Hyper-V"},
    {"product_name", "HVM domU", "Xen"}, {"product_name", "Parallels", "Parallels"},
    {"product_name", "Google Compute Engine", "KVM"}, {"sys_vendor", "Bochs", "Bochs"},
};

bool ts_cpu_hypervisor_of(const char *vendor, const char *root, char *buf, size_t len) {
    char path[300], line[100];
    for (size_t i = 0; vendor && i < sizeof hypervisors / sizeof *hypervisors; i++)
        if (strcmp(vendor, hypervisors[i].vendor) == 0) {
            snprintf(buf, len, "%s", hypervisors[i].name);
            return true;
        }
    for (size_t i = 0; i < sizeof virtual_machines / sizeof *virtual_machines; i++) {
        snprintf(path, sizeof path, "%s/sys/class/dmi/id/%s", root, virtual_machines[i].file);
        if (!find_line(path, virtual_machines[i].begin, line, sizeof line)) continue;
        snprintf(buf, len, "%s", virtual_machines[i].name);
        return true;
    }
    if (vendor) snprintf(buf, len, "an unknown hypervisor");
    return vendor != NULL;
}

bool ts_cpu_hypervisor(char *buf, size_t len) {
    const char *told = NULL;
#if defined(__x86_64__)
    char vendor[13] = "";
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 31)) {
        told = vendor;
        __cpuid(0x40000000, a, b, c, d);
        memcpy(vendor, &b, 4), memcpy(vendor + 4, &c, 4), memcpy(vendor + 8, &d, 4);
    }
#endif
    return ts_cpu_hypervisor_of(told, "", buf, len);
}

size_t ts_mem_available(void) {
    char buf[64];
    unsigned long long kib, pages;
    if (!find_line("/proc/meminfo", "MemAvailable", buf, sizeof buf) || sscanf(buf, "%llu", &kib) != 1) return 0;
    unsigned long long bytes = kib * 1024;
    ts_cgroup_limits l = own_cgroup();
    if (l.mem_limited && l.mem < bytes) bytes = l.mem;
    struct rlimit as; /* ulimit -v */
    if (getrlimit(RLIMIT_AS, &as) == 0 && as.rlim_cur != RLIM_INFINITY &&
        find_line("/proc/self/statm", "", buf, sizeof buf) && sscanf(buf, "%llu", &pages) == 1) {
        unsigned long long used = pages * (unsigned long long)sysconf(_SC_PAGESIZE),
                           left = as.rlim_cur > used ? as.rlim_cur - used : 0;
        if (left < bytes) bytes = left;
    }
    return bytes ? (size_t)bytes : 1;
}

size_t ts_mem_peak(void) {
    char buf[64];
    unsigned long long kib;
    struct rusage u;
    if (find_line("/proc/self/status", "VmHWM", buf, sizeof buf) && sscanf(buf, "%llu", &kib) == 1)
        return (size_t)kib * 1024;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (size_t)u.ru_maxrss * 1024 : 0;
}

bool ts_mem_peak_reset(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC); /* proc(5): 5 resets the peak */
    bool done = fd >= 0 && write(fd, "5", 1) == 1;
    if (fd >= 0) close(fd);
    return done;
}
