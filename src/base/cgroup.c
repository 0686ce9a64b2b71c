#define _GNU_SOURCE
#include "base/cgroup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_CAP = 4096, TEXT_CAP = 8192 };

/* The beginning of dir/name as text. */
static bool read_text(const char *dir, const char *name, char *buf, size_t cap) {
    char path[PATH_CAP + 64];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return false;
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(buf, 1, cap - 1, f);
    buf[n] = 0;
    fclose(f);
    return n > 0;
}

/* A whole number; "max" and -1, which mean none, are no number. */
static bool read_number(const char *dir, const char *name, uint64_t *out) {
    char text[64], *end;
    if (!read_text(dir, name, text, sizeof text) || text[0] < '0' || text[0] > '9') return false;
    *out = strtoull(text, &end, 10);
    return *end == 0 || *end == '\n';
}

/* The number behind "name " at the beginning of a line. */
static uint64_t stat_value(const char *text, const char *name) {
    size_t n = strlen(name);
    for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (!strncmp(p, name, n) && p[n] == ' ') return strtoull(p + n, NULL, 10);
    return 0;
}

static void limit_cpus(ts_cgroup_limits *l, double quota, double period) {
    if (quota > 0 && period > 0 && (l->cpus == 0 || quota / period < l->cpus)) l->cpus = quota / period;
}

/* `cache`: pages of files, which are dropped before memory runs out. */
static void limit_mem(ts_cgroup_limits *l, uint64_t limit, uint64_t used, uint64_t cache) {
    used = used > cache ? used - cache : 0;
    uint64_t left = limit > used ? limit - used : 1;
    if (!l->mem_limited || left < l->mem) l->mem = left;
    l->mem_limited = true;
}

static void group_v2(ts_cgroup_limits *l, const char *dir) {
    char text[TEXT_CAP];
    double quota, period;
    uint64_t limit, used = 0;
    if (read_text(dir, "cpu.max", text, sizeof text) && sscanf(text, "%lf %lf", &quota, &period) == 2)
        limit_cpus(l, quota, period);
    static const char *const limits[] = {"memory.max", "memory.high"};
    for (int i = 0; i < 2; i++) {
        if (!read_number(dir, limits[i], &limit)) continue;
        (void)read_number(dir, "memory.current", &used);
        if (!read_text(dir, "memory.stat", text, sizeof text)) text[0] = 0;
        limit_mem(l, limit, used, stat_value(text, "inactive_file") + stat_value(text, "active_file"));
    }
}

static void cpu_v1(ts_cgroup_limits *l, const char *dir) {
    uint64_t quota, period;
    if (read_number(dir, "cpu.cfs_quota_us", &quota) && read_number(dir, "cpu.cfs_period_us", &period))
        limit_cpus(l, (double)quota, (double)period);
}

static void memory_v1(ts_cgroup_limits *l, const char *dir) {
    char text[TEXT_CAP];
    uint64_t limit, used = 0;
    /* "unlimited" */
    if (!read_number(dir, "memory.limit_in_bytes", &limit) || limit >= INT64_MAX / 4096 * 4096) return;
    (void)read_number(dir, "memory.usage_in_bytes", &used);
    if (!read_text(dir, "memory.stat", text, sizeof text)) text[0] = 0;
    limit_mem(l, limit, used, stat_value(text, "total_inactive_file") + stat_value(text, "total_active_file"));
}

/* Ask the group at mount/path and every one above it, the mount itself included: in a container without a namespace
 * of its own, /proc names groups of the host that are not visible, and the mount is the container's group. */
static void walk(ts_cgroup_limits *l, const char *mount, const char *path,
                 void (*group)(ts_cgroup_limits *, const char *)) {
    char dir[PATH_CAP];
    size_t base = strlen(mount);
    if (strstr(path, "..")) path = ""; /* outside of our name space */
    if (snprintf(dir, sizeof dir, "%s%s", mount, path) >= (int)sizeof dir) snprintf(dir, sizeof dir, "%s", mount);
    for (;;) {
        group(l, dir);
        char *slash = strrchr(dir, '/');
        if (!slash || slash < dir + base) return;
        *slash = 0;
    }
}

/* The path of our group in the hierarchy with `controller` (NULL: version 2, "0::/path") of /proc/self/cgroup. */
static void group_path(const char *self, const char *controller, char *out, size_t cap) {
    *out = 0;
    for (const char *line = self; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        const char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL,
                   *end = strchrnul(line, '\n');
        if (!second || second > end) continue;
        bool found = !controller && second == first + 1 && *line == '0';
        for (const char *p = first + 1; controller && p < second;
             p = memchr(p, ',', (size_t)(second - p)), p = p ? p + 1 : second) {
            size_t n = strlen(controller);
            found |= n <= (size_t)(second - p) && !strncmp(p, controller, n) && (p[n] == ',' || p[n] == ':');
        }
        size_t len = (size_t)(end - second - 1);
        if (!found || len >= cap) continue;
        memcpy(out, second + 1, len);
        out[len] = 0;
        if (len && out[len - 1] == '/') out[len - 1] = 0;
        return;
    }
}

ts_cgroup_limits ts_cgroup_read(const char *root, const char *self) {
    static const struct {
        const char *mount, *controller; /* NULL: version 2 */
        void (*group)(ts_cgroup_limits *, const char *);
    } places[] = {
        {"", NULL, group_v2},           {"/unified", NULL, group_v2},         {"/cpu", "cpu", cpu_v1},
        {"/cpu,cpuacct", "cpu", cpu_v1}, {"/cpuacct,cpu", "cpu", cpu_v1}, {"/memory", "memory", memory_v1},
    };
    ts_cgroup_limits l = {0};
    char mount[PATH_CAP], path[PATH_CAP];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(mount, sizeof mount, "%s%s", root, places[i].mount);
        group_path(self, places[i].controller, path, sizeof path);
        walk(&l, mount, path, places[i].group);
    }
    return l;
}
