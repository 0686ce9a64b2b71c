/* The base layer: memory, arena, spans, files, CPU choice, thread pool. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/arena.h"
#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/outfile.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/span.h"

#include <errno.h>
#include <stdatomic.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_sizes(void **state) {
    (void)state;
    assert_null(ts_alloc(SIZE_MAX / 2, 3));
    assert_null(ts_calloc(SIZE_MAX / 2, 3));
    assert_null(ts_alloc_aligned(SIZE_MAX - 3, 1));
    void *p = ts_alloc_aligned(3, 5);
    assert_int_equal((uintptr_t)p % 64, 0);
    ts_free(p);
    ts_free(NULL);
}

static void test_buf(void **state) {
    (void)state;
    ts_buf b = {0};
    assert_true(ts_buf_printf(&b, "%s-%d", "a", 17));
    for (int i = 0; i < 1000; i++) assert_true(ts_buf_putc(&b, 'x'));
    assert_int_equal(b.len, 1004);
    assert_memory_equal(b.data, "a-17xxx", 7);
    assert_int_equal(b.data[b.len], 0);
    assert_false(ts_buf_reserve(&b, SIZE_MAX));
    assert_int_equal(b.len, 1004);
    ts_buf_free(&b);
}

static void test_arena(void **state) {
    (void)state;
    ts_arena a = {0};
    char *prev = NULL;
    for (size_t i = 1; i < 3000; i += 7) {
        char *p = ts_arena_alloc(&a, i, 3);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 0x5a, i * 3);
        assert_ptr_not_equal(p, prev);
        prev = p;
    }
    assert_string_equal(ts_arena_strndup(&a, "hello world", 5), "hello");
    assert_null(ts_arena_alloc(&a, SIZE_MAX, 2));
    ts_arena_free(&a);
    assert_null(a.head);
}

static void test_span(void **state) {
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
    ts_reader r = ts_reader_of(bytes, sizeof bytes);
    assert_int_equal(ts_read_u16(&r), 0x0201);
    assert_int_equal(ts_read_u32(&r), 0x06050403);
    assert_int_equal(ts_read_u32(&r), 0);
    assert_true(r.fail);
    assert_int_equal(ts_read_u8(&r), 0); /* failure is sticky */
    r = ts_reader_of(bytes, sizeof bytes);
    assert_null(ts_read_bytes(&r, UINT64_MAX).data);
    assert_true(r.fail);
}

static void test_file(void **state) {
    (void)state;
    ts_err err;
    ts_map map;
    assert_status(ts_map_open(&map, "/dev/null/file", &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "/dev/null/file"));
    assert_status(ts_map_open(&map, "/", &err), TS_E_IO);
    char path[] = "/tmp/tessera-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(ts_map_open(&map, path, &err));
    assert_null(map.data);
    assert_ok(ts_file_write(path, "hello", 5, &err));
    assert_ok(ts_map_open(&map, path, &err));
    assert_int_equal(map.len, 5);
    assert_memory_equal(map.data, "hello", 5);
    ts_map_close(&map);
    ts_buf b = {0};
    assert_status(ts_file_read(&b, path, 4, &err), TS_E_LIMIT);
    ts_buf_clear(&b);
    assert_ok(ts_file_read(&b, path, 5, &err));
    assert_string_equal(b.data, "hello");
    ts_buf_free(&b);
    assert_status(ts_file_write("/dev/null/file", "x", 1, &err), TS_E_IO);
    /* messages name the file that was asked for, not the one beside it */
    static const char *const nowhere[][2] = {{"/no/such/folder/file",
                                              "cannot write /no/such/folder/file: No such file or directory"},
                                             {"/", "cannot write /: Is a directory"},
                                             {"/tmp", "cannot write /tmp: Is a directory"},
                                             {"/no/such/", "cannot write /no/such/: No such file or directory"},
                                             {"", "cannot write : No such file or directory"}};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        assert_status(ts_file_write(nowhere[i][0], "x", 1, &err), TS_E_IO);
        assert_string_equal(err.msg, nowhere[i][1]);
    }
    /* replaced: behind a link, keeping its permissions */
    struct stat st;
    char other[64];
    snprintf(other, sizeof other, "%s.link", path);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink(path, other), 0);
    assert_ok(ts_file_write(other, "worlds", 6, &err));
    assert_true(lstat(other, &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(lstat(path, &st) == 0 && st.st_size == 6 && (st.st_mode & 0777) == 0600);
    unlink(other);
    unlink(path);
    /* what is no regular file is written to, not replaced */
    assert_ok(ts_file_write("/dev/null", "x", 1, &err));
    assert_true(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    assert_status(ts_file_write("/dev/full", "x", 1, &err), TS_E_IO);
    assert_int_equal(err.os_errno, ENOSPC);
    assert_true(stat("/dev/full", &st) == 0 && S_ISCHR(st.st_mode));
    assert_status(ts_file_write("/tmp", "x", 1, &err), TS_E_IO);
    char *j = ts_path_join("a/", "b"), *k = ts_path_join("a", "b"), *l = ts_path_join("", "b");
    assert_string_equal(j, "a/b");
    assert_string_equal(k, "a/b");
    assert_string_equal(l, "b");
    ts_free(j), ts_free(k), ts_free(l);
}

/* What is no file is refused at once, whatever opening it would wait for. */
static void test_no_file(void **state) {
    (void)state;
    ts_err err;
    ts_map map;
    ts_buf b = {0};
    char dir[] = "/tmp/ts_base_XXXXXX", fifo[64], sock[64];
    assert_non_null(mkdtemp(dir));
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    snprintf(sock, sizeof sock, "%s/socket", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", sock);
    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    const struct {
        const char *path, *map_says, *read_says;
    } t[] = {{dir, "is a folder, not a file", "Is a directory"},
             {fifo, "is a pipe, not a file", "is a pipe that nobody writes to"},
             {sock, "is a socket, not a file", "is a socket, not a file"},
             {"/dev/zero", "is a device, not a file", "is a device, not a file"},
             {"/dev/null", "is a device, not a file", NULL}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_status(ts_map_open(&map, t[i].path, &err), TS_E_IO);
        assert_non_null(strstr(err.msg, t[i].map_says));
        assert_non_null(strstr(err.msg, t[i].path));
        if (t[i].read_says) {
            assert_status(ts_file_read(&b, t[i].path, 100, &err), TS_E_IO);
            assert_non_null(strstr(err.msg, t[i].read_says));
        } else {
            assert_ok(ts_file_read(&b, t[i].path, 100, &err));
        }
        assert_int_equal(b.len, 0);
    }
    assert_status(ts_file_write(fifo, "x", 1, &err), TS_E_IO); /* nobody reads it */
    assert_non_null(strstr(err.msg, "is a pipe that nobody reads"));
    /* a pipe with a writer is read to its end, also where the writer is slow: process substitution */
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fd[0]);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++) {
            usleep(20000);
            if (write(fd[1], "abc", 3) != 3) _exit(1);
        }
        _exit(0);
    }
    close(fd[1]);
    assert_ok(ts_file_read(&b, path, 100, &err));
    assert_string_equal(b.data, "abcabcabc");
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(fd[0]);
    close(s);
    ts_buf_free(&b);
    unlink(fifo), unlink(sock), rmdir(dir);
}

/* Pages that a mapping will need come by themselves. */
enum { MAP_PAGES = 256 };

static size_t resident(const ts_map *map) {
    static unsigned char there[MAP_PAGES];
    size_t n = 0;
    assert_int_equal(mincore((void *)(uintptr_t)map->data, map->len, there), 0);
    for (int i = 0; i < MAP_PAGES; i++) n += there[i] & 1;
    return n;
}

static void test_willneed(void **state) {
    (void)state;
    static char content[1 << 16] = "page";
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char path[] = "/var/tmp/ts_base_XXXXXX"; /* on a disk more often than /tmp */
    ts_map map;
    ts_err err;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (int i = 0; i < MAP_PAGES; i++) assert_int_equal(write(fd, content, page), page);
    assert_int_equal(fdatasync(fd), 0);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    assert_ok(ts_map_open(&map, path, &err));
    unlink(path);
    const size_t before = resident(&map);
    ts_map_willneed(&map, map.len, 1); /* beyond the end: nothing */
    ts_map_willneed(&map, 100 * page + 5, SIZE_MAX);
    for (int ms = 0; resident(&map) < MAP_PAGES - 100; ms++) {
        assert_in_range(ms, 0, 30000);
        usleep(1000);
    }
    assert_memory_equal(map.data + 255 * page, content, page);
    ts_map_close(&map);
    if (before == MAP_PAGES) SKIP("a file's pages stay in memory here", "run where /var/tmp is on a disk");
}

/* A file that changes under its mapping is noticed; one that is replaced under its name is not our file any more. */
static void test_map_check(void **state) {
    (void)state;
    ts_err err;
    ts_map map;
    char path[] = "/tmp/ts_base_XXXXXX", other[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_null(ts_map_path_at(&map));
    assert_ok(ts_map_open(&map, path, &err));
    assert_string_equal(ts_map_path_at(map.data + 9), path);
    assert_ok(ts_map_check(&map, path, &err));
    const struct timespec later[2] = {{.tv_sec = 2000000000}, {.tv_sec = 2000000000}};
    assert_int_equal(pwrite(fd, "x", 1, 3), 1); /* the same size: its time tells, here put where no clock is */
    assert_int_equal(futimens(fd, later), 0);
    assert_status(ts_map_check(&map, path, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, path));
    ts_map_close(&map);
    assert_null(ts_map_path_at(map.data + 9));
    assert_ok(ts_map_open(&map, path, &err));
    assert_int_equal(ftruncate(fd, 4), 0);
    assert_status(ts_map_check(&map, path, &err), TS_E_IO);
    snprintf(other, sizeof other, "%s.new", path);
    assert_ok(ts_file_write(other, "anything", 8, &err));
    assert_int_equal(rename(other, path), 0);
    assert_ok(ts_map_check(&map, path, &err));
    unlink(path);
    assert_ok(ts_map_check(&map, path, &err));
    ts_map_close(&map);
    close(fd);
    /* more mappings than are remembered: those beyond are not known, and all close as usual */
    static ts_map many[100];
    for (int i = 0; i < 100; i++) assert_ok(ts_map_open(&many[i], "/proc/self/exe", &err));
    assert_non_null(ts_map_path_at(many[0].data));
    for (int i = 0; i < 100; i++) ts_map_close(&many[i]);
}

static void put_file(const char *root, const char *name, const char *text) {
    char path[256], *slash = path;
    snprintf(path, sizeof path, "%s/%s", root, name);
    while ((slash = strchr(slash + 1, '/')) != NULL) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    ts_err err;
    assert_ok(ts_file_write(path, text, strlen(text), &err));
}

static void remove_tree(const char *root) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

/* What tells a virtual machine: the processor first, which names the hypervisor; then the names of its firmware. */
static void test_hypervisor(void **state) {
    (void)state;
    static const struct {
        const char *vendor, *file, *text, *name; /* name NULL: no virtual machine */
    } k[] = {
        {"TCGTCGTCGTCG", NULL, NULL, "QEMU TCG"},
        {"KVMKVMKVM", "sys_vendor", "QEMU\n", "KVM"},
        {"Microsoft Hv", NULL, NULL, "Hyper-V"},
        {" lrpepyh vr", NULL, NULL, "Parallels"},
        {"TCGTCGTCG", NULL, NULL, "an unknown hypervisor"},
        {"", NULL, NULL, "an unknown hypervisor"},
        {"", "sys_vendor", "QEMU\n", "QEMU"}, /* a hypervisor with its name hidden */
        {NULL, "sys_vendor", "QEMU\n", "QEMU"},
        {NULL, "product_name", "VMware Virtual Platform\n", "VMware"},
        {NULL, "product_name", "Virtual Machine\n", "Hyper-V"},
        {NULL, "sys_vendor", "Microsoft Corporation\n", NULL}, /* makes laptops too */
        {NULL, "sys_vendor", "LENOVO\n", NULL},
        {NULL, "product_name", "21ME0000GE\n", NULL},
        {NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
        char root[] = "/tmp/ts_dmi_XXXXXX", name[32] = "", file[64];
        assert_non_null(mkdtemp(root));
        if (k[i].file) {
            snprintf(file, sizeof file, "sys/class/dmi/id/%s", k[i].file);
            put_file(root, file, k[i].text);
        }
        bool is = ts_cpu_hypervisor_of(k[i].vendor, root, name, sizeof name);
        if (is != (k[i].name != NULL) || (is && strcmp(name, k[i].name))) fail_msg("case %zu: %d \"%s\"", i, is, name);
        remove_tree(root);
    }
    char name[32], flags[8192] = "";
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (f) {
        flags[fread(flags, 1, sizeof flags - 1, f)] = 0;
        fclose(f);
    }
    if (strstr(flags, " hypervisor")) assert_true(ts_cpu_hypervisor(name, sizeof name) && *name);
    assert_string_equal(ts_evidence_name(TS_MEASURED), "measured");
    assert_string_equal(ts_evidence_name(TS_SIMULATED), "simulated");
    assert_string_equal(ts_evidence_name(TS_VIRTUAL), "virtual");
}

static void test_cgroup(void **state) {
    (void)state;
    char root[] = "/tmp/ts_cgroup_XXXXXX";
    assert_non_null(mkdtemp(root));
    ts_cgroup_limits l = ts_cgroup_read(root, "0::/a/b\n");
    assert_true(l.cpus == 0 && !l.mem_limited);

    /* version 2: the tightest of the group and all above it; "max" is none */
    put_file(root, "cpu.max", "max 100000\n");
    put_file(root, "a/cpu.max", "150000 100000\n");
    put_file(root, "a/b/cpu.max", "400000 100000\n");
    put_file(root, "a/memory.max", "1000000\n");
    put_file(root, "a/memory.current", "900000\n");
    put_file(root, "a/memory.stat", "anon 100\ninactive_file 300000\nactive_file 200000\n");
    put_file(root, "a/b/memory.max", "max\n");
    put_file(root, "a/b/memory.current", "5000\n");
    l = ts_cgroup_read(root, "1:name=systemd:/x\n0::/a/b\n");
    assert_true(l.cpus == 1.5);
    assert_true(l.mem_limited);
    assert_int_equal(l.mem, 600000); /* what files take up can be dropped */
    put_file(root, "a/b/memory.high", "100000\n");
    assert_int_equal(ts_cgroup_read(root, "0::/a/b\n").mem, 95000);
    put_file(root, "a/b/memory.high", "4000\n"); /* nothing left is not "no limit" */
    assert_int_equal(ts_cgroup_read(root, "0::/a/b\n").mem, 1);
    /* another group's limits are not ours; a group that cannot be seen (a container) has the mount's */
    assert_true(ts_cgroup_read(root, "0::/c\n").cpus == 0);
    put_file(root, "cpu.max", "50000 100000\n");
    assert_true(ts_cgroup_read(root, "0::/docker/123\n").cpus == 0.5);
    assert_true(ts_cgroup_read(root, "0::/../../x\n").cpus == 0.5);
    assert_true(ts_cgroup_read(root, "").cpus == 0.5);
    remove_tree(root);

    /* version 1: controllers in folders of their own */
    assert_int_equal(mkdir(root, 0700), 0);
    put_file(root, "cpu,cpuacct/x/cpu.cfs_quota_us", "200000\n");
    put_file(root, "cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    put_file(root, "cpu,cpuacct/x/y/cpu.cfs_quota_us", "-1\n");
    put_file(root, "cpu,cpuacct/x/y/cpu.cfs_period_us", "100000\n");
    put_file(root, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    put_file(root, "memory/x/memory.limit_in_bytes", "500000\n");
    put_file(root, "memory/x/memory.usage_in_bytes", "200000\n");
    put_file(root, "memory/x/memory.stat", "cache 7\ninactive_file 1\ntotal_inactive_file 50000\n");
    l = ts_cgroup_read(root, "4:memory:/x/y\n3:cpuacct,cpu:/x/y\n");
    assert_true(l.cpus == 2);
    assert_int_equal(l.mem, 350000);
    assert_false(ts_cgroup_read(root, "4:memory:/\n").mem_limited);
    remove_tree(root);
}

/* For the user alone: whatever the umask is and the name has been. */
static void test_private(void **state) {
    (void)state;
    ts_err err;
    ts_outfile f, again;
    struct stat st;
    char dir[] = "/tmp/tessera-test-XXXXXX", path[64], link[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a", dir);
    snprintf(link, sizeof link, "%s/b", dir);
    assert_ok(ts_file_write(path, "hello", 5, &err));
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(symlink("a", link), 0);
    const mode_t mask = umask(0);
    const char *const names[] = {path, link};
    for (int i = 0; i < 2; i++) {
        assert_ok(ts_outfile_open_private(&f, names[i], &err));
        assert_true(fstat(f.fd, &st) == 0 && (st.st_mode & 0777) == 0600); /* from the beginning on */
        assert_status(ts_outfile_open_private(&again, names[i], &err), TS_E_IO);
        assert_int_equal(err.os_errno, EEXIST);
        assert_ok(ts_outfile_write(&f, "world", 5, &err));
        assert_ok(ts_outfile_commit(&f, &err));
        assert_true(lstat(names[i], &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600);
    }
    umask(mask);
    assert_status(ts_outfile_open_private(&f, "/no/such/file", &err), TS_E_IO);
    unlink(path), unlink(link);
    assert_int_equal(rmdir(dir), 0);
}

/* What is left of a run that died is there for the next one, which has it for itself. */
static void test_kept(void **state) {
    (void)state;
    ts_err err;
    ts_outfile f, again;
    uint64_t had;
    char dir[] = "/tmp/tessera-test-XXXXXX", path[64], partial[80];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a", dir);
    snprintf(partial, sizeof partial, "%s.partial", path);
    assert_ok(ts_outfile_open_kept(&f, path, &had, &err));
    assert_int_equal(had, 0);
    assert_ok(ts_outfile_write(&f, "hello world", 11, &err));
    assert_status(ts_outfile_open_kept(&again, path, &had, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "another process is writing"));
    assert_ok(ts_outfile_sync(&f, &err));
    ts_outfile_leave(&f);
    assert_true(ts_file_exists(partial) && !ts_file_exists(path));
    assert_ok(ts_outfile_open_kept(&f, path, &had, &err));
    assert_int_equal(had, 11);
    assert_ok(ts_outfile_cut(&f, 6, &err));
    assert_ok(ts_outfile_write(&f, "again", 5, &err));
    assert_int_equal(f.written, 11);
    assert_ok(ts_outfile_commit(&f, &err));
    ts_buf b = {0};
    assert_ok(ts_file_read(&b, path, 100, &err));
    assert_string_equal(b.data, "hello again");
    ts_buf_free(&b);
    assert_false(ts_file_exists(partial));
    assert_status(ts_outfile_open_kept(&f, "/no/such/file", &had, &err), TS_E_IO);
    assert_ok(ts_outfile_open_kept(&f, "/dev/null", &had, &err)); /* nothing to keep */
    assert_ok(ts_outfile_cut(&f, 0, &err));
    assert_ok(ts_outfile_commit(&f, &err));
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static void test_cpu(void **state) {
    (void)state;
    ts_err err;
    ts_cpu_level level;
    assert_ok(ts_cpu_choose(&level, "ref", &err));
    assert_int_equal(level, TS_CPU_REF);
    assert_status(ts_cpu_choose(&level, "avx3", &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "is unknown; use ref, "));
    assert_true(ts_cpu_has(TS_CPU_REF) && ts_cpu_has(ts_cpu_detect()));
    for (int i = 0; i < TS_CPU_LEVELS; i++) { /* each row: a name, and a level that is there or is not */
        const char *name = ts_cpu_level_name((ts_cpu_level)i);
        assert_non_null(strstr(err.msg, name));
    }
    for (int i = 0; i < TS_CPU_LEVELS; i++) {
        const char *name = ts_cpu_level_name((ts_cpu_level)i);
        if (ts_cpu_has((ts_cpu_level)i)) {
            assert_ok(ts_cpu_choose(&level, name, &err));
            assert_int_equal(level, i);
        } else {
            assert_status(ts_cpu_choose(&level, name, &err), TS_E_INVAL);
            assert_non_null(strstr(err.msg, ts_cpu_level_name(ts_cpu_detect())));
        }
    }
    assert_ok(ts_cpu_choose(&level, "", &err));
    assert_ok(ts_cpu_choose(&level, NULL, &err));
    assert_int_equal(level, ts_cpu_detect());
    assert_true(ts_cpu_count() >= 1);
    assert_true(ts_mem_available() > 0);
    assert_true(ts_mem_peak() > 0);
    ts_big big;
    const size_t bytes = (size_t)64 << 20;
    assert_ok(ts_big_alloc(&big, bytes, false, "a test", &err));
    memset(big.ptr, 1, bytes);
    assert_true(ts_mem_peak() >= bytes);
    ts_big_free(&big);
    assert_true(ts_mem_peak() >= bytes); /* it stays */
    if (ts_mem_peak_reset()) assert_true(ts_mem_peak() < bytes);
}

static void test_big(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, TS_HUGE_PAGE - 1, TS_HUGE_PAGE, TS_HUGE_PAGE + 64, 5 * TS_HUGE_PAGE + 1};
    ts_err err;
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof *sizes); i++) {
        const size_t bytes = sizes[i / 2];
        ts_big big, other;
        assert_ok(ts_big_alloc(&big, bytes, i % 2, "a test", &err));
        if (i % 2) assert_true((uintptr_t)big.ptr % TS_HUGE_PAGE == 0);
        assert_ok(ts_big_alloc(&other, bytes, i % 2, "a test", &err));
        for (size_t at = 0; at < bytes; at += 4096) assert_true(((char *)big.ptr)[at] == 0);
        memset(big.ptr, 1, bytes), memset(other.ptr, 2, bytes);
        for (size_t at = 0; at < bytes; at += 4096) assert_true(((char *)big.ptr)[at] == 1);
        ts_big_free(&big), ts_big_free(&other);
        assert_null(big.ptr);
    }
    ts_big none;
    assert_int_equal(ts_big_alloc(&none, SIZE_MAX - 5, true, "a test", &err), TS_E_NOMEM);
    assert_int_equal(ts_big_alloc(&none, SIZE_MAX / 2, true, "a test", &err), TS_E_NOMEM);
}

struct counts {
    atomic_int run[1000];
};

static void count_task(void *arg, size_t task, int thread) {
    struct counts *c = arg;
    (void)thread;
    atomic_fetch_add(&c->run[task], 1);
}

static void test_pool(void **state) {
    (void)state;
    ts_err err;
    ts_pool *pool;
    assert_status(ts_pool_new(&pool, 0, &err), TS_E_INVAL);
    ts_rng rng = ts_rng_seed(1);
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        assert_ok(ts_pool_new(&pool, n_threads, &err));
        assert_int_equal(ts_pool_threads(pool), n_threads);
        for (int round = 0; round < 400; round++) {
            static struct counts c;
            memset(&c, 0, sizeof c);
            size_t n = (size_t)ts_rng_below(&rng, 40);
            if (round % 100 == 99) usleep(2000); /* let the workers fall asleep */
            ts_pool_run(pool, n, count_task, &c);
            for (size_t i = 0; i < 1000; i++) assert_int_equal(c.run[i], i < n);
        }
        ts_pool_free(pool);
    }
    ts_pool_free(NULL);
}

/* Processor time of this process, in ms. */
static double used_ms(void) {
    struct rusage r;
    assert_int_equal(getrusage(RUSAGE_SELF, &r), 0);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-3;
}

static void sleep_task(void *arg, size_t task, int thread) {
    (void)thread;
    usleep(task == *(size_t *)arg ? 200000 : 1000);
}

static void nap_task(void *arg, size_t task, int thread) {
    (void)thread;
    usleep((unsigned)((*(int *)arg + 13 * (int)task) % 60));
}

/* Who waits sleeps: workers between two jobs, the caller for a task that another thread has, the other workers too. */
static void test_pool_sleeps(void **state) {
    (void)state;
    ts_err err;
    ts_pool *pool;
    static struct counts c;
    assert_ok(ts_pool_new(&pool, 4, &err));
    ts_pool_run(pool, 40, count_task, &c);
    double before = used_ms();
    usleep(200000);
    assert_true(used_ms() - before < 100); /* four that do not sleep would take 200 at least */
    for (size_t slow = 0; slow < 4; slow++) {
        before = used_ms();
        ts_pool_run(pool, 4, sleep_task, &slow);
        assert_true(used_ms() - before < 100);
    }
    for (int i = 0; i < 1000; i++) ts_pool_run(pool, 2 + (size_t)i % 5, nap_task, &i); /* whenever the last one ends */
    ts_pool_free(pool);
}

static bool make_pool(void *ud) {
    (void)ud;
    ts_pool *pool = NULL;
    if (ts_pool_new(&pool, 2, NULL) != TS_OK) return false;
    ts_pool_free(pool);
    return true;
}

static bool use_memory(void *ud) {
    (void)ud;
    ts_arena a = {0};
    ts_buf b = {0};
    bool ok = ts_arena_alloc(&a, 100000, 1) && ts_arena_alloc(&a, 10, 1) && ts_arena_alloc(&a, 70000, 1) &&
              ts_buf_puts(&b, "hello") && ts_buf_reserve(&b, 1000);
    ts_buf_free(&b);
    ts_arena_free(&a);
    ts_big big = {0};
    ok = ok && ts_big_alloc(&big, 1 << 20, true, "test", NULL) == TS_OK;
    ts_big_free(&big);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(make_pool, NULL, false);
    alloc_fail_loop(use_memory, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_buf),      cmocka_unit_test(test_arena),
        cmocka_unit_test(test_span),       cmocka_unit_test(test_file),     cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_pool),       cmocka_unit_test(test_alloc),    cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_map_check),  cmocka_unit_test(test_willneed), cmocka_unit_test(test_pool_sleeps),
        cmocka_unit_test(test_hypervisor), cmocka_unit_test(test_cgroup),   cmocka_unit_test(test_big),
        cmocka_unit_test(test_private), cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
