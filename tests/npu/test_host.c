/* Looking around on a machine: made-up /sys trees of machines with and without an NPU, and what is said about
 * each. */
#include "support/test.h"

#include "xdna/host.h"
#include "xdna/io.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64];

static void make_dirs(const char *path) {
    char p[1024];
    snprintf(p, sizeof p, "%s/%s", root, path);
    for (char *s = p + 1; *s; s++)
        if (*s == '/') {
            *s = 0;
            mkdir(p, 0755);
            *s = '/';
        }
    mkdir(p, 0755);
}

static void put_file(const char *path, const char *text) {
    char p[1024], dir[512];
    snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = 0;
    make_dirs(dir);
    snprintf(p, sizeof p, "%s/%s", root, path);
    FILE *f = fopen(p, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_link(const char *path, const char *target) {
    char p[1024], dir[512];
    snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = 0;
    make_dirs(dir);
    snprintf(p, sizeof p, "%s/%s", root, path);
    assert_int_equal(symlink(target, p), 0);
}

typedef struct machine {
    const char *device, *driver, *node, *kernel, *cmdline;
    bool firmware, iommu, loaded;
    const char *vendor; /* of the machine's firmware */
} machine;

static void build(const machine *m) {
    strcpy(root, "/tmp/tessera-host-XXXXXX");
    assert_non_null(mkdtemp(root));
    put_file("sys/bus/pci/devices/0000:00:00.0/vendor", "0x1022\n");
    put_file("sys/bus/pci/devices/0000:00:00.0/device", "0x14e8\n");
    if (m->device) {
        put_file("sys/bus/pci/devices/0000:c4:00.1/vendor", "0x1022\n");
        put_file("sys/bus/pci/devices/0000:c4:00.1/device", m->device);
    }
    if (m->driver) {
        char target[128];
        snprintf(target, sizeof target, "../../../bus/pci/drivers/%s", m->driver);
        put_link("sys/bus/pci/devices/0000:c4:00.1/driver", target);
    }
    if (m->node) {
        char path[128];
        put_link("sys/class/accel/accel0/device",
                 "../../../devices/pci0000:00/0000:00:08.2/0000:01:00.0"); /* something else */
        snprintf(path, sizeof path, "sys/class/accel/%s/device", m->node);
        put_link(path, "../../../devices/pci0000:00/0000:00:08.2/0000:c4:00.1");
    }
    if (m->kernel) put_file("proc/sys/kernel/osrelease", m->kernel);
    put_file("proc/cmdline", m->cmdline ? m->cmdline : "BOOT_IMAGE=/vmlinuz quiet\n");
    if (m->firmware) put_file("lib/firmware/amdnpu/1502_00/npu.sbin.xz", "x");
    if (m->iommu) make_dirs("sys/kernel/iommu_groups/0");
    if (m->loaded) make_dirs("sys/bus/pci/drivers/amdxdna");
    if (m->vendor) put_file("sys/class/dmi/id/sys_vendor", m->vendor);
}

static void demolish(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

static void test_machines(void **state) {
    (void)state;
    static const struct {
        machine m;
        ts_status status;
        const char *text; /* the node, or part of the message */
    } k[] = {
        {{"0x1502\n", "amdxdna", "accel1", "6.18.2-amd64\n", NULL, true, true}, TS_OK, "/dev/accel/accel1"},
        {{NULL, NULL, NULL, "6.18.2\n", NULL, true, true}, TS_E_DEVICE, "none found (PCI 1022:1502)"},
        {{"0x17f0\n", "amdxdna", "accel1", "6.18.2\n", NULL, true, true},
         TS_E_UNSUPP,
         "0000:c4:00.1 is an XDNA2 NPU (PCI 1022:17f0: Strix"},
        {{"0x1502\n", NULL, NULL, "6.12.40\n", NULL, true, true},
         TS_E_DEVICE,
         "kernel 6.12.40 has no amdxdna driver: it needs Linux 6.14"},
        {{"0x1502\n", NULL, NULL, "6.18.2\n", NULL, true, true},
         TS_E_DEVICE,
         "no driver is bound to 0000:c4:00.1: try modprobe amdxdna"},
        {{"0x1502\n", NULL, NULL, "6.18.2\n", NULL, false, true}, TS_E_DEVICE, "the firmware is missing too"},
        {{"0x1502\n", NULL, NULL, "7.3.4\n", NULL, true, true, true},
         TS_E_DEVICE,
         "the amdxdna driver is loaded, but has not taken 0000:c4:00.1: its firmware does not start, perhaps after an "
         "earlier hang"},
        {{"0x1502\n", NULL, NULL, "7.3.4\n", NULL, false, true, true},
         TS_E_DEVICE,
         "has not taken 0000:c4:00.1: the firmware is missing; install"},
        {{"0x1502\n", NULL, NULL, "7.3.4\n", NULL, true, false, true},
         TS_E_DEVICE,
         "has not taken 0000:c4:00.1: it needs the IOMMU"},
        {{"0x1502\n", NULL, NULL, "7.3.4\n", NULL, true, true, true, "QEMU\n"},
         TS_E_DEVICE,
         "in a virtual machine drivers from Linux 7 on refuse to"},
        {{"0x1502\n", "vfio-pci", NULL, "6.18.2\n", NULL, true, true},
         TS_E_DEVICE,
         "bound to the driver vfio-pci, not to amdxdna"},
        {{"0x1502\n", "amdxdna", NULL, "6.18.2\n", NULL, true, true}, TS_E_DEVICE, "offers no node for 0000:c4:00.1"},
        {{"0x1502\n", "amdxdna", NULL, "6.18.2\n", NULL, false, true},
         TS_E_DEVICE,
         "the firmware is missing: install linux-firmware"},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_npu_host h;
        ts_err err = {.msg = ""};
        char path[40] = "";
        build(&k[i].m);
        ts_npu_host_probe(&h, root);
        ts_status s = ts_npu_host_node(&h, path, sizeof path, &err);
        if (s != k[i].status || !strstr(s == TS_OK ? path : err.msg, k[i].text))
            fail_msg("case %zu: status %d, %s %s", i, s, path, err.msg);
        demolish();
    }
}

static void test_warnings(void **state) {
    (void)state;
    static const struct {
        machine m;
        uint64_t locked;
        int n;
        const char *first;
    } k[] = {
        {{"0x1502\n", "amdxdna", "accel1", "7.3.4\n", NULL, true, true}, 0, 0, NULL},
        {{"0x1502\n", "amdxdna", "accel1", "6.14.0\n", NULL, true, true}, 0, 0, NULL},
        {{"0x1502\n", "amdxdna", "accel1", "6.13.9\n", NULL, true, true}, 0, 1, "kernel 6.13.9 is older"},
        {{"0x1502\n", "amdxdna", "accel1", "7.3.4\n", "quiet amd_iommu=off\n", true, false},
         0,
         1,
         "the IOMMU is off (kernel command line)"},
        {{"0x1502\n", "amdxdna", "accel1", "7.3.4\n", "quiet\n", true, false}, 0, 1, "the IOMMU is off:"},
        {{"0x1502\n", "amdxdna", "accel1", "7.3.4\n", "iommu=pt quiet\n", true, true}, 0, 0, NULL},
        {{"0x1502\n", "amdxdna", "accel1", "6.17.8\n", "iommu=pt quiet\n", true, true},
         0,
         1,
         "iommu=pt is on the command line of kernel 6.17.8"},
        {{"0x1502\n", "amdxdna", "accel1", "7.3.4\n", "amd_iommu=offset xiommu=pt\n", true, true}, 0, 0, NULL},
        {{"0x1502\n", "amdxdna", "accel1", "7.3.4\n", NULL, false, true}, 0, 1, "no firmware file"},
        {{"0x1502\n", "amdxdna", "accel1", "6.1.0\n", "iommu=pt\n", false, false}, 0, 4, "kernel 6.1.0"},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_npu_host h;
        char buf[300];
        int n = 0;
        build(&k[i].m);
        ts_npu_host_probe(&h, root);
        while (ts_npu_host_warning(&h, k[i].locked, n, buf, sizeof buf)) {
            if (n == 0 &&
                strncmp(buf, k[i].first ? k[i].first : "(none)", k[i].first ? strlen(k[i].first) : 6))
                fail_msg("case %zu: %s", i, buf);
            n++;
        }
        assert_int_equal(n, k[i].n);
        demolish();
    }
    ts_npu_host h = {.firmware = true, .iommu_groups = 3, .memlock = 8 << 20, .kernel_major = 7};
    char buf[300];
    assert_null(ts_npu_host_warning(&h, 8 << 20, 0, buf, sizeof buf));
    assert_non_null(ts_npu_host_warning(&h, 64 << 20, 0, buf, sizeof buf));
    assert_non_null(strstr(buf, "the memlock limit is 8 MiB, 64 MiB may have to be pinned"));
}

/* The version is in the name that the link points to. */
static void test_firmware(void **state) {
    (void)state;
    static const struct {
        const char *file, *target, *version;
    } k[] = {
        {"npu.sbin.xz", "npu.sbin.1.5.5.391.xz", "1.5.5.391"}, {"npu.sbin", "npu.sbin.1.5.2.380", "1.5.2.380"},
        {"npu_7.sbin.zst", "npu_7.sbin.1.5.6.399.zst", "1.5.6.399"}, {"npu.sbin", "npu.sbin.new", ""},
        {"npu.sbin", "npu_7.sbin", ""},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_npu_host h;
        char path[128], real[128];
        build(&(machine){.device = "0x1502\n"});
        snprintf(path, sizeof path, "lib/firmware/amdnpu/1502_00/%s", k[i].file);
        snprintf(real, sizeof real, "lib/firmware/amdnpu/1502_00/%s", k[i].target);
        put_file(real, "x");
        put_link(path, k[i].target);
        ts_npu_host_probe(&h, root);
        assert_true(h.firmware);
        assert_string_equal(h.firmware_version, k[i].version);
        demolish();
    }
}

/* A machine is asked for its names; where it has another root, only that counts. */
static void test_virtual(void **state) {
    (void)state;
    ts_npu_host h;
    build(&(machine){.device = "0x1502\n"});
    ts_npu_host_probe(&h, root);
    assert_string_equal(h.hypervisor, "");
    put_file("sys/class/dmi/id/sys_vendor", "QEMU\n");
    ts_npu_host_probe(&h, root);
    assert_string_equal(h.hypervisor, "QEMU");
    demolish();
}

static void test_this_machine(void **state) {
    (void)state;
    ts_npu_host h;
    ts_npu_host_probe(&h, "");
    assert_true(h.kernel_major >= 2); /* whatever it is, it is read */
    ts_npu_host_probe(&h, "/nonexistent");
    assert_int_equal(h.n_chips, 0);
    assert_int_equal(h.kernel_major, 0);
}

/* The lines of the kernel log that a report needs: the last of the driver's, with what they mean. */
static void test_kernel_log(void **state) {
    (void)state;
    static const char log[] =
        "<6>[    1.0] usb 1-1: new device\n"
        "<6>[    2.0] amdxdna 0000:c4:00.1: enabling device\n"
        "<3>[    3.0] amdxdna 0000:c4:00.1: [drm] *ERROR* Incompatible firmware protocol major 5 minor 5\n"
        "<6>[    4.0] eth0: link is up\n"
        "<4>[    4.5] AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=0x0002 address=0x1000 flags=0x0000]\n"
        "<4>[    4.6] AMD-Vi: Event logged [IO_PAGE_FAULT device=c4:00.1 domain=0x0010 address=0x80000000 "
        "flags=0x0020]\n"
        "<3>[    5.0] amdxdna 0000:c4:00.1: create context failed, status 0x2000003";
    ts_buf out = {0};
    assert_true(ts_npu_log_pick(&out, log, sizeof log - 1, "0000:c4:00.1", 3));
    assert_string_equal(
        out.data,
        "<3>[    3.0] amdxdna 0000:c4:00.1: [drm] *ERROR* Incompatible firmware protocol major 5 minor 5\n"
        "    that is: the firmware is too old for this kernel: update linux-firmware\n"
        "<4>[    4.6] AMD-Vi: Event logged [IO_PAGE_FAULT device=c4:00.1 domain=0x0010 address=0x80000000 "
        "flags=0x0020]\n"
        "    that is: the NPU reached for memory that it was not given: at a low address a descriptor whose address "
        "was "
        "never filled in, else a buffer that the command does not list; please report it\n"
        "<3>[    5.0] amdxdna 0000:c4:00.1: create context failed, status 0x2000003\n"
        "    that is: the firmware is wedged by an earlier hang; reboot (drivers from August 2026 on cycle the NPU's "
        "power by themselves: then try again)\n");
    ts_buf_clear(&out);
    assert_true(ts_npu_log_pick(&out, log, sizeof log - 1, "", 20));
    assert_non_null(strstr(out.data, "enabling device\n<3>[    3.0]")); /* no advice for what is no error */
    assert_null(strstr(out.data, "eth0"));
    assert_null(strstr(out.data, "IO_PAGE_FAULT")); /* another device's, or unknown whose */
    ts_buf_clear(&out);
    assert_true(ts_npu_log_pick(&out, log, 33, "", 20) && out.len == 0);
    int r = ts_npu_kernel_log(&out, "0000:c4:00.1", 20); /* whatever this machine lets us see */
    assert_true(r == 0 || r == -EPERM || r == -ENOSYS);
    ts_buf_free(&out);
}

/* The real node's table on things that are there on any machine. */
static void test_drm(void **state) {
    (void)state;
    const ts_npu_io *io = ts_npu_io_drm();
    assert_int_equal(io->open(io->ud, "/nonexistent"), -ENOENT);
    int fd = io->open(io->ud, "/dev/null");
    assert_true(fd >= 0);
    int x = 0;
    assert_int_equal(io->ioctl(io->ud, fd, 0xC0406400, &x), -ENOTTY);
    void *p;
    assert_true(io->mmap(io->ud, fd, NULL, 4096, 0, &p) < 0);
    assert_int_equal(io->close(io->ud, fd), 0);
    assert_int_equal(io->close(io->ud, fd), -EBADF);
    char path[] = "/tmp/tessera-io-XXXXXX";
    fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(fd, 8192), 0);
    assert_int_equal(io->mmap(io->ud, fd, NULL, 8192, 0, &p), 0);
    memset(p, 0x5a, 8192);
    io->flush(io->ud, (char *)p + 3, 5000); /* flushing changes nothing that a CPU could see */
    io->flush(io->ud, p, 0);
    for (int i = 0; i < 8192; i++) assert_int_equal(((char *)p)[i], 0x5a);
    pid_t child = fork(); /* which must not keep the mapping, and with it the file: there it is not mapped */
    assert_true(child >= 0);
    if (child == 0) _exit(msync(p, 8192, MS_ASYNC) != 0 && errno == ENOMEM ? 0 : 1);
    int ended = -1;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    void *again;
    assert_int_equal(io->mmap(io->ud, fd, p, 8192, 0, &again), -EEXIST);
    assert_int_equal(io->munmap(io->ud, p, 8192), 0);
    assert_int_equal(io->mmap(io->ud, fd, p, 8192, 0, &again), 0);
    assert_ptr_equal(again, p);
    io->munmap(io->ud, p, 8192);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_machines),   cmocka_unit_test(test_warnings),
                                       cmocka_unit_test(test_kernel_log), cmocka_unit_test(test_firmware),
                                       cmocka_unit_test(test_virtual),    cmocka_unit_test(test_this_machine),
                                       cmocka_unit_test(test_drm)};
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
