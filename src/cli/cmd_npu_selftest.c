/* cmd_npu_selftest.c - `tessera npu selftest`: climb the ladder on the NPU of this machine or on the simulated one,
 * and leave a log that can be sent with a report. */
#include "base/log.h"
#include "cli/cmd_npu.h"
#include "cli/output.h"
#include "cli/progress.h"

#include "device/dev_npu.h"
#include "npu/ladder.h"
#include "sim/simnode.h"
#include "xdna/host.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KERNEL_LINES = 20 };

typedef struct report {
    FILE *log;
    bool quiet; /* standard output is for JSON */
    int lost;   /* errno of the first line that did not get into the file, 0: all did */
} report;

/* A hang, even of the whole machine, must not take the line with it. */
static void say(void *ud, const char *line) {
    report *r = ud;
    if (fprintf(r->log, "%s\n", line) < 0 || fflush(r->log) != 0) r->lost = r->lost ? r->lost : errno;
    /* EINVAL: no file, a pipe say */
    else if (fsync(fileno(r->log)) != 0 && errno != EINVAL && !r->lost) r->lost = errno;
    if (r->quiet) return;
    puts(line);
    fflush(stdout);
}

TS_PRINTF(2, 3) static void sayf(report *r, const char *fmt, ...);
static void sayf(report *r, const char *fmt, ...) {
    char line[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    say(r, line);
}

/* What the runtime has to say belongs into the report; standard output may be for JSON. */
static void say_log(void *ud, ts_log_level level, const char *line) {
    report *r = ud;
    sayf(r, "    %s%s", level == TS_LOG_WARN ? "warning: " : "", line);
    if (r->quiet) fprintf(stderr, "tessera: %s\n", line);
}

static void describe_host(report *r, const ts_npu_host *h) {
    char line[512];
    sayf(r, "tessera %s, kernel %s, firmware file %s%s, %d IOMMU groups", TESSERA_VERSION, h->kernel,
         !h->firmware           ? "missing"
         : *h->firmware_version ? ""
                                : "found",
         h->firmware ? h->firmware_version : "", h->iommu_groups);
    if (*h->hypervisor) sayf(r, "this is a virtual machine (%s): no figure here is measured on an NPU", h->hypervisor);
    for (int i = 0; i < h->n_chips; i++)
        sayf(r, "chip %s: PCI 1022:%04x, driver %s, node %s", h->chip[i].slot, h->chip[i].device,
             h->chip[i].driver[0] ? h->chip[i].driver : "(none)", h->chip[i].node[0] ? h->chip[i].node : "(none)");
    for (int i = 0; ts_npu_host_warning(h, UINT64_C(256) << 20, i, line, sizeof line); i++)
        sayf(r, "warning: %s", line);
}

/* What the driver has to say, which is often more than an error number. */
static void tell_kernel_log(report *r, const ts_npu_host *h) {
    ts_buf text = {0};
    const char *slot = h->n_chips ? h->chip[0].slot : ""; /* of the chip that runs, if one does */
    for (int i = 0; i < h->n_chips; i++)
        if (h->chip[i].node[0]) slot = h->chip[i].slot;
    int e = ts_npu_kernel_log(&text, slot, KERNEL_LINES);
    if (e < 0) {
        sayf(r,
             "The kernel log cannot be read (%s). Please add the output of: sudo dmesg | grep -i -e amdxdna -e "
             "IO_PAGE_FAULT | tail -%d",
             strerror(-e), KERNEL_LINES);
    } else if (!text.len) {
        say(r, "The kernel log has no lines of amdxdna.");
    } else {
        sayf(r, "The last lines of amdxdna in the kernel log:");
        for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            say(r, line);
        }
    }
    ts_buf_free(&text);
}

static json_t *json_rungs(const ts_ladder_result *res, int failed) {
    json_t *a = json_array();
    for (int i = 1; i <= res->reached || i == failed; i++)
        json_array_append_new(a, json_pack("{s:i, s:s, s:b, s:f}", "rung", i, "name", ts_ladder_rung_name(i), "ok",
                                           i != failed, "wall_ms", res->ms[i - 1]));
    return a;
}

static json_t *json_figures(const ts_ladder_result *res, const char *source) {
    json_t *a = json_array();
    for (int i = 0; i < res->n_figures; i++) {
        const ts_ladder_figure *f = &res->figure[i];
        json_array_append_new(a, json_pack("{s:s, s:i, s:f, s:s, s:s}", "name", f->name, "rung", f->rung, "value",
                                           f->value, "unit", f->unit, "source", source));
    }
    return a;
}

static int print_json(const ts_ladder_result *res, const char *device, const char *log, const ts_npu_host *h,
                      ts_evidence evidence, const ts_err *error) {
    int failed = error ? res->reached + 1 : 0;
    const uint32_t *fw = res->info.firmware;
    char firmware[64];
    snprintf(firmware, sizeof firmware, "%u.%u.%u.%u", fw[0], fw[1], fw[2], fw[3]);
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:o, s:o, s:s?, s:s*, s:s*}", "device", device, "version",
                          TESSERA_VERSION, "kernel", h->kernel, "firmware", firmware, "passed", !error, "reached",
                          res->reached, "rungs", json_rungs(res, failed), "figures",
                          json_figures(res, ts_evidence_name(evidence)), "log", log, "error", error ? error->msg : NULL,
                          "virtual_machine", evidence == TS_VIRTUAL ? h->hypervisor : NULL);
    char *text = j ? json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (text) puts(text);
    free(text);
    json_decref(j);
    ts_err err;
    return text ? CLI_OK : (ts_fail_nomem(&err, "the report", 4096), cli_fail(&err));
}

static int cannot_write(const char *path, int error) {
    ts_err err;
    ts_fail_os(&err, TS_E_IO, error, "%s: cannot write the report", path);
    return cli_fail(&err);
}

/* Close the file; where nothing of the report got into it, it goes. 0, or the errno of what was lost. */
static int close_log(report *r, const char *path) {
    struct stat st;
    bool empty = r->lost && fstat(fileno(r->log), &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
    if (fclose(r->log) != 0 && !r->lost) r->lost = errno;
    if (empty) (void)unlink(path);
    return r->lost;
}

/* Two firmwares: what the chip runs was loaded before the file was replaced, or from an initramfs that has the old
 * one. */
static void tell_firmware(report *r, const ts_npu_host *h, const ts_npu_info *info) {
    char runs[64];
    snprintf(runs, sizeof runs, "%u.%u.%u.%u", info->firmware[0], info->firmware[1], info->firmware[2],
             info->firmware[3]);
    if (*h->firmware_version && info->firmware[0] && strcmp(runs, h->firmware_version) != 0)
        sayf(r, "warning: the chip runs firmware %s, the file is %s: rebuild the initramfs and reboot", runs,
             h->firmware_version);
}

static void tell_end(report *r, const ts_npu_host *h, ts_evidence evidence, int reached) {
    switch (evidence) {
    case TS_MEASURED: sayf(r, "Rungs 1 to %d passed. Please send this log: it helps everyone.", reached); break;
    case TS_SIMULATED: sayf(r, "Rungs 1 to %d passed. All figures are simulated.", reached); break;
    case TS_VIRTUAL:
        sayf(r,
             "Rungs 1 to %d passed in a virtual machine (%s): no figure was measured on an NPU. This log says nothing "
             "about a chip.",
             reached, h->hypervisor);
        break;
    }
}

static int run(const cli_command *self, int argc, char **argv) {
    const char *device = "npu", *log_path = "npu-selftest.log", *node = NULL;
    long to = TS_LADDER_RUNGS, seed = 0;
    bool json = false;
    cli_list rest = {0};
    const cli_opt opts[] = {
        {CLI_STR, 0, "device", "NAME", &device, 0, 0,
         "npu (default): the NPU of this machine; npu-sim: the simulated one", .values = "npu npu-sim", .behind = ":+"},
        {CLI_INT, 0, "to", "N", &to, 1, TS_LADDER_RUNGS,
         "the last rung to climb (default: all); 1 only asks the driver"},
        {CLI_STR, 0, "log", "FILE", &log_path, 0, 0, "write the report here too (default: npu-selftest.log)",
         .values = "@file"},
        {CLI_FLAG, 0, "json", NULL, &json, 0, 0, "print the result as one JSON object"},
        {CLI_STR, 0, "node", "PATH", &node, 0, 0, "use this device node instead of looking for one", .values = "@file"},
        {CLI_INT, 0, "sim-seed", "N", &seed, 0, 9007199254740992.0,
         "npu-sim: shake all latencies (default 0: nominal)"},
        {0},
    };
    int code = cli_parse(self, opts, argc, argv, &rest);
    if (code == CLI_OK && rest.n) code = cli_usage_error(self, "unexpected argument \"%s\"", rest.item[0]);
    ts_device_plan devices = {0};
    ts_err err = {.msg = ""};
    if (code == CLI_OK && ts_device_parse(&devices, device, ts_devices, &err) != TS_OK)
        code = cli_usage_error(self, "%s", err.msg);
    if (code == CLI_OK && (devices.n != 1 || devices.use[0].percent != 100 || devices.allow_cpu_ops))
        code = cli_usage_error(self, "--device: here it is npu, npu-sim or npu-sim:seed=N");
    ts_npu_options o_npu = {0};
    if (code == CLI_OK) o_npu = ts_npu_options_of(&devices.use[0]);
    const bool simulated = o_npu.simulated;
    if (o_npu.prefetch != TS_PREFETCH_AUTO) code = cli_usage_error(self, "--device: nothing is prefetched here");
    if (!seed) seed = (long)o_npu.seed;
    if (code == CLI_OK && simulated && node)
        code = cli_usage_error(self, "--node is of a real NPU and does not go with --device npu-sim");
    if (code == CLI_OK && !simulated && seed) code = cli_usage_error(self, "--sim-seed is for --device npu-sim");
    ts_free(rest.item);
    if (code) return code == -1 ? CLI_OK : code;

    ts_npu_host h;
    char found[64] = "";
    ts_status there = TS_OK;
    ts_npu_host_probe(&h, "");
    if (!simulated && !node) {
        there = ts_npu_host_node(&h, found, sizeof found, &err);
        if (there != TS_OK && !h.n_chips) return cli_fail(&err); /* else the report and the kernel log say more */
        node = found;
    }
    ts_simnode *sim = NULL;
    if (simulated && ts_simnode_new(&sim, &(ts_simnode_options){.seed = (uint64_t)seed, .strict = true}, &err) != TS_OK)
        return cli_fail(&err);
    report r = {.log = fopen(log_path, "w"), .quiet = json};
    if (!r.log) {
        const int error = errno;
        ts_simnode_free(sim);
        return cannot_write(log_path, error);
    }
    if (simulated) sayf(&r, "tessera %s, kernel %s, npu-sim: nothing here was measured", TESSERA_VERSION, h.kernel);
    else describe_host(&r, &h);
    if (r.lost) { /* nothing is risked that could not be told afterwards */
        ts_simnode_free(sim);
        return cannot_write(log_path, close_log(&r, log_path));
    }
    ts_ladder_options o = {.io = simulated ? ts_simnode_io(sim) : ts_npu_io_drm(), .path = node ? node : "npu-sim",
                           .meter = simulated ? ts_simnode_meter(sim) : NULL,
                           .evidence = *h.hypervisor ? TS_VIRTUAL : TS_MEASURED, .to = (int)to,
                           .stop = {cli_interrupt_stop, NULL}, .say = say, .ud = &r};
    ts_ladder_result res = {0};
    cli_catch_interrupt();
    ts_log_sink(say_log, &r, TS_LOG_INFO);
    ts_status s = there == TS_OK ? ts_npu_ladder(&o, &res, &err) : there;
    ts_log_sink(cli_progress_log, NULL, TS_LOG_INFO);
    if (!simulated) tell_firmware(&r, &h, &res.info);
    if (s == TS_E_CANCELLED) {
        sayf(&r, "Stopped; %d rungs were passed.", res.reached);
    } else if (s != TS_OK) {
        say(&r, err.msg);
        if (simulated && *ts_simnode_report(sim)) say(&r, ts_simnode_report(sim));
        if (!simulated) tell_kernel_log(&r, &h);
        sayf(&r, "Please send %s with a report: which rung failed, and the lines above, are all that is needed.",
             log_path);
    } else {
        tell_end(&r, &h, ts_ladder_evidence(&o), res.reached);
    }
    ts_simnode_free(sim);
    const int lost = close_log(&r, log_path);
    if (json)
        code = print_json(&res, devices.use[0].device->name, lost ? NULL : log_path, &h, ts_ladder_evidence(&o),
                          s != TS_OK ? &err : NULL);
    else if (!lost) printf("written to %s\n", log_path);
    if (s != TS_OK) code = cli_fail(&err);
    if (lost) return cannot_write(log_path, lost);
    return code;
}

const cli_command cmd_npu_selftest = {
    .name = "npu selftest",
    .args = "",
    .summary = "try the NPU step by step up to its full speed, write a report",
    .text =
        "Rungs: 1 queries, 2 heap and context, 3 an empty configuration, 4 4 KiB round in one column, 5 in four,\n"
        "6 one core, 7 linear layers of each type against the CPU bit for bit, 8 bandwidth of reading on 1, 2, 4\n"
        "and 8 channels, 9 latency of a submission and what lasts from one to the next. It stops at the first that\n"
        "fails. Save your work first: a hang of the NPU can need a reboot on older kernels. See docs/npu/silicon.md.",
    .run = run,
};
