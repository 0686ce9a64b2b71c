#define _GNU_SOURCE /* memmem */
#include "xdna/host.h"

#include "base/cpu.h"
#include "xdna/advice.h"
#include "xdna/chip.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VENDOR_AMD = 0x1022, PATH = 512 };

/* Cut to the buffer: a path that is too long names nothing, which is what "absent" means here. */
TS_PRINTF(3, 4) static void put(char *buf, size_t len, const char *fmt, ...);
static void put(char *buf, size_t len, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, len, fmt, ap);
    va_end(ap);
}

/* The first line of a small file, without its end; empty when it cannot be read. */
static void read_line(const char *path, char *buf, size_t len) {
    buf[0] = 0;
    FILE *f = fopen(path, "r");
    if (!f) return;
    if (fgets(buf, (int)len, f)) buf[strcspn(buf, "\n")] = 0;
    fclose(f);
}

static uint32_t read_hex(const char *dir, const char *name) {
    char path[PATH + 64], line[64];
    put(path, sizeof path, "%s/%s", dir, name);
    read_line(path, line, sizeof line);
    return (uint32_t)strtoul(line, NULL, 16);
}

/* The last part of where a symbolic link points to; empty: no link. */
static void link_name(const char *path, char *buf, size_t len) {
    char target[PATH];
    ssize_t n = readlink(path, target, sizeof target - 1);
    buf[0] = 0;
    if (n <= 0) return;
    target[n] = 0;
    const char *slash = strrchr(target, '/');
    put(buf, len, "%s", slash ? slash + 1 : target);
}

static void find_node(const char *root, ts_npu_chip *chip) {
    char dir[PATH], path[PATH + 300], slot[64];
    put(dir, sizeof dir, "%s/sys/class/accel", root);
    DIR *d = opendir(dir);
    if (!d) return;
    for (const struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, "accel", 5)) continue;
        put(path, sizeof path, "%s/%s/device", dir, e->d_name);
        link_name(path, slot, sizeof slot);
        if (!strcmp(slot, chip->slot) && strlen(e->d_name) < sizeof chip->node - sizeof "/dev/accel/")
            put(chip->node, sizeof chip->node, "/dev/accel/%s", e->d_name);
    }
    closedir(d);
}

static int by_slot(const void *a, const void *b) {
    return strcmp(((const ts_npu_chip *)a)->slot, ((const ts_npu_chip *)b)->slot);
}

static void find_chips(const char *root, ts_npu_host *h) {
    char dir[PATH], path[PATH + 300], link[PATH + 310];
    put(dir, sizeof dir, "%s/sys/bus/pci/devices", root);
    DIR *d = opendir(dir);
    if (!d) return;
    for (const struct dirent *e; (e = readdir(d)) && h->n_chips < TS_NPU_CHIPS_MAX;) {
        if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof h->chip[0].slot) continue;
        put(path, sizeof path, "%s/%s", dir, e->d_name);
        uint32_t device = read_hex(path, "device");
        if (read_hex(path, "vendor") != VENDOR_AMD || !ts_chip_of_pci(device)) continue;
        ts_npu_chip *chip = &h->chip[h->n_chips++];
        put(chip->slot, sizeof chip->slot, "%s", e->d_name);
        chip->device = device;
        put(link, sizeof link, "%s/driver", path);
        link_name(link, chip->driver, sizeof chip->driver);
        find_node(root, chip);
    }
    closedir(d);
    qsort(h->chip, (size_t)h->n_chips, sizeof h->chip[0], by_slot); /* the order of a folder is chance */
}

/* The version that a file's name carries: linux-firmware has npu.sbin as a link to npu.sbin.1.5.5.391. */
static void version_in_name(const char *path, char *buf, size_t len) {
    char name[64];
    unsigned v[4];
    int end = 0;
    link_name(path, name, sizeof name);
    const char *digits = strpbrk(name, "0123456789");
    if (!strncmp(name, "npu_", 4)) digits = strstr(name, "sbin.") ? strstr(name, "sbin.") + 5 : NULL;
    if (digits && sscanf(digits, "%u.%u.%u.%u%n", &v[0], &v[1], &v[2], &v[3], &end) == 4 && end)
        put(buf, len, "%u.%u.%u.%u", v[0], v[1], v[2], v[3]);
}

static bool has_firmware(const char *root, const ts_chip *chip, char *version, size_t len) {
    static const char *const names[] = {"npu.sbin", "npu_7.sbin", "npu.dev.sbin"}, *const ends[] = {"", ".xz",
                                                                                                    ".zst"};
    static const char *const folders[] = {"/lib/firmware", "/usr/lib/firmware"};
    for (size_t f = 0; f < 2; f++)
        for (size_t n = 0; n < 3; n++)
            for (size_t e = 0; e < 3; e++) {
                char path[PATH + 64];
                put(path, sizeof path, "%s%s/%s/%s%s", root, folders[f], chip->firmware_dir, names[n], ends[e]);
                if (access(path, F_OK) != 0) continue;
                version_in_name(path, version, len);
                return true;
            }
    return false;
}

static int count_entries(const char *path) {
    DIR *d = opendir(path);
    int n = 0;
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* A word of the kernel command line, whole. */
static bool has_word(const char *line, const char *word) {
    size_t n = strlen(word);
    for (const char *p = line; (p = strstr(p, word)); p += n)
        if ((p == line || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

void ts_npu_host_probe(ts_npu_host *h, const char *root) {
    char path[PATH], line[4096];
    *h = (ts_npu_host){0};
    find_chips(root, h);
    put(path, sizeof path, "%s/proc/sys/kernel/osrelease", root);
    read_line(path, h->kernel, sizeof h->kernel);
    if (sscanf(h->kernel, "%d.%d", &h->kernel_major, &h->kernel_minor) != 2)
        h->kernel_major = h->kernel_minor = 0;
    put(path, sizeof path, "%s/sys/bus/pci/drivers/amdxdna", root);
    h->loaded = access(path, F_OK) == 0;
    h->firmware = has_firmware(root, &ts_npu1, h->firmware_version, sizeof h->firmware_version);
    put(path, sizeof path, "%s/sys/kernel/iommu_groups", root);
    h->iommu_groups = count_entries(path);
    put(path, sizeof path, "%s/proc/cmdline", root);
    read_line(path, line, sizeof line);
    h->amd_iommu_off = has_word(line, "amd_iommu=off") || has_word(line, "iommu=off");
    h->iommu_pt = has_word(line, "iommu=pt");
    if (*root ? !ts_cpu_hypervisor_of(NULL, root, h->hypervisor, sizeof h->hypervisor)
              : !ts_cpu_hypervisor(h->hypervisor, sizeof h->hypervisor))
        h->hypervisor[0] = 0;
    struct rlimit r;
    h->memlock =
        getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur != RLIM_INFINITY ? (uint64_t)r.rlim_cur : UINT64_MAX;
}

static bool kernel_older(const ts_npu_host *h, int major, int minor) {
    return h->kernel_major &&
           (h->kernel_major < major || (h->kernel_major == major && h->kernel_minor < minor));
}

/* Why a driver that is there has not taken the chip, as far as can be seen from here; its own words are in the
 * kernel log. */
static const char *why_refused(const ts_npu_host *h) {
    if (!h->firmware)
        return ": the firmware is missing; install linux-firmware (Debian: firmware-amd-graphics), then load the "
               "driver again";
    if (!h->iommu_groups)
        return ": it needs the IOMMU; enable it in the BIOS and remove amd_iommu=off from the kernel command line";
    if (*h->hypervisor) return ": in a virtual machine drivers from Linux 7 on refuse to";
    return ": its firmware does not start, perhaps after an earlier hang or with a file that does not fit; reboot, or "
           "update linux-firmware";
}

ts_status ts_npu_host_node(const ts_npu_host *h, char *path, size_t len, ts_err *err) {
    const ts_npu_chip *npu = NULL, *other = NULL;
    for (int i = h->n_chips - 1; i >= 0; i--)
        *(ts_chip_of_pci(h->chip[i].device)->runs ? &npu : &other) = &h->chip[i];
    if (!npu && other) {
        const ts_chip *kind = ts_chip_of_pci(other->device);
        return ts_fail(err, TS_E_UNSUPP,
                       "NPU: %s is an %s NPU (PCI 1022:%04x: %s); Tessera runs on %s (%s) only: use --device npu-sim "
                       "or cpu",
                       other->slot, kind->generation, other->device, kind->processors, ts_npu1.generation,
                       ts_npu1.processors);
    }
    if (!npu)
        return ts_fail(err, TS_E_DEVICE,
                       "NPU: none found (PCI 1022:%04x): %s processors have one; if this is one, enable NPU or IPU in "
                       "the BIOS. --device npu-sim runs anywhere",
                       ts_npu1.pci_device, ts_npu1.processors);
    if (!npu->driver[0] && kernel_older(h, 6, 14))
        return ts_fail(err, TS_E_DEVICE, "NPU: kernel %s has no amdxdna driver: it needs Linux 6.14 or newer",
                       h->kernel);
    if (!npu->driver[0] && h->loaded)
        return ts_fail(
            err, TS_E_DEVICE,
            "NPU: the amdxdna driver is loaded, but has not taken %s%s (sudo dmesg | grep amdxdna says more)",
            npu->slot, why_refused(h));
    if (!npu->driver[0])
        return ts_fail(
            err, TS_E_DEVICE,
            "NPU: no driver is bound to %s: try modprobe amdxdna, and look for a blacklist in "
            "/etc/modprobe.d%s",
            npu->slot,
            h->firmware
                ? ""
                : "; the firmware is missing too: install linux-firmware (Debian: firmware-amd-graphics)");
    if (strcmp(npu->driver, "amdxdna"))
        return ts_fail(err, TS_E_DEVICE, "NPU: %s is bound to the driver %s, not to amdxdna", npu->slot,
                       npu->driver);
    if (!npu->node[0])
        return ts_fail(
            err, TS_E_DEVICE, "NPU: the amdxdna driver offers no node for %s: see dmesg | grep amdxdna%s",
            npu->slot,
            h->firmware
                ? ""
                : "; the firmware is missing: install linux-firmware (Debian: firmware-amd-graphics)");
    put(path, len, "%s", npu->node);
    return TS_OK;
}

const char *ts_npu_host_warning(const ts_npu_host *h, uint64_t locked_bytes, int i, char *buf, size_t len) {
    int n = 0;
    if (kernel_older(h, 6, 14) && n++ == i) {
        put(buf, len, "kernel %s is older than 6.14, the first with an amdxdna driver", h->kernel);
        return buf;
    }
    if ((h->amd_iommu_off || !h->iommu_groups) && n++ == i) {
        put(buf, len,
            "the IOMMU is off%s: the NPU driver needs it; enable it in the BIOS and remove amd_iommu=off",
            h->amd_iommu_off ? " (kernel command line)" : "");
        return buf;
    }
    if (h->iommu_pt && kernel_older(h, 6, 18) && n++ == i) { /* 6.18.15 and 7.3.4 do with it */
        put(buf, len,
            "iommu=pt is on the command line of kernel %s: with drivers before 6.18 opening the NPU fails; remove it",
            h->kernel);
        return buf;
    }
    if (!h->firmware && n++ == i) {
        put(buf, len,
            "no firmware file %s/npu.sbin: install linux-firmware (Debian: firmware-amd-graphics)",
            ts_npu1.firmware_dir);
        return buf;
    }
    if (h->memlock < locked_bytes && n++ == i) {
        put(buf, len,
            "the memlock limit is %llu MiB, %llu MiB may have to be pinned: raise it (ulimit -l unlimited, "
            "or limits.conf)",
            (unsigned long long)(h->memlock >> 20), (unsigned long long)(locked_bytes >> 20));
        return buf;
    }
    return NULL;
}

/* ---- the kernel log ---------------------------------------------------------------------------------------------- */

/* The line that begins at `at`, its end not included. */
static size_t line_len(const char *at, const char *end) {
    const char *nl = memchr(at, '\n', (size_t)(end - at));
    return (size_t)((nl ? nl : end) - at);
}

/* Is a line of the log for a report? The IOMMU writes "IO_PAGE_FAULT device=c4:00.1", with or without "0000:" in
 * front. */
static bool is_of_npu(const char *line, size_t len, const char *slot) {
    if (memmem(line, len, "amdxdna", 7)) return true;
    if (!strncmp(slot, "0000:", 5)) slot += 5;
    return *slot && memmem(line, len, "IO_PAGE_FAULT", 13) && memmem(line, len, slot, strlen(slot));
}

bool ts_npu_log_pick(ts_buf *out, const char *text, size_t len, const char *slot, int max) {
    const char *end = text + len;
    int n = 0, seen = 0;
    for (const char *p = text; p < end; p += line_len(p, end) + 1) n += is_of_npu(p, line_len(p, end), slot);
    for (const char *p = text; p < end; p += line_len(p, end) + 1) {
        size_t l = line_len(p, end);
        char line[512];
        if (!is_of_npu(p, l, slot) || seen++ < n - max) continue;
        put(line, sizeof line, "%.*s", (int)(l < sizeof line ? l : sizeof line - 1), p);
        const char *advice = ts_npu_log_advice(line);
        if (!ts_buf_printf(out, "%s\n", line) || (advice && !ts_buf_printf(out, "    that is: %s\n", advice)))
            return false;
    }
    return true;
}

int ts_npu_kernel_log(ts_buf *out, const char *slot, int max) {
    enum { READ_ALL = 3, SIZE = 10 }; /* SYSLOG_ACTION_*, which no header has for programs */
    int size = klogctl(SIZE, NULL, 0);
    if (size < 0) return -errno;
    char *text = ts_alloc(1, (size_t)size);
    if (!text) return -ENOMEM;
    int n = klogctl(READ_ALL, text, size), error = errno;
    int r = n < 0 ? -error : ts_npu_log_pick(out, text, (size_t)n, slot, max) ? 0 : -ENOMEM;
    ts_free(text);
    return r;
}
