#include "cli/stats.h"

#include "base/cpu.h"

#include <stdio.h>
#include <string.h>

void cli_counts_add(cli_counts *sum, const cli_counts *one) {
    sum->n_answers += one->n_answers;
    sum->n_prompt += one->n_prompt;
    sum->n_reused += one->n_reused;
    sum->n_read += one->n_read;
    sum->n_drawn += one->n_drawn;
    sum->n_steps += one->n_steps;
    sum->read_ns += one->read_ns;
    sum->draw_ns += one->draw_ns;
    sum->first_ns += one->first_ns;
}

static bool add_rate(ts_buf *out, size_t n, uint64_t ns) {
    return !n || !ns || ts_buf_printf(out, ", %.1f tok/s", cli_rate(n, ns));
}

bool cli_stats_counts(ts_buf *out, const cli_counts *c, const char *end, long seed) {
    bool ok = ts_buf_printf(out, "prompt: %zu tokens", c->n_prompt) &&
              (!c->n_reused || ts_buf_printf(out, " (%zu from the cache)", c->n_reused)) &&
              add_rate(out, c->n_read, c->read_ns) &&
              (!c->n_answers ||
               ts_buf_printf(out, ", first token after %.0f ms", (double)c->first_ns * 1e-6 / (double)c->n_answers));
    ok = ok && ts_buf_printf(out, "\nanswer: %zu tokens", c->n_drawn) && add_rate(out, c->n_steps, c->draw_ns);
    if (end) ok = ok && ts_buf_printf(out, ", ended by: %s", end);
    if (seed >= 0) ok = ok && ts_buf_printf(out, ", seed %ld", seed);
    return ok && ts_buf_putc(out, '\n');
}

static bool simulated(const ts_model_info *info) {
    return strcmp(info->device, "npu-sim") == 0;
}

const char *cli_device_text(char out[100], const ts_model_info *info) {
    const char *device = simulated(info)                ? "npu-sim, the simulated NPU, on "
                         : !strcmp(info->device, "cpu") ? ""
                                                        : info->device;
    snprintf(out, 100, "%s%scpu %s, %d thread%s", device, *device && !simulated(info) ? " and " : "", info->cpu_level,
             info->n_threads, info->n_threads == 1 ? "" : "s");
    return out;
}

const char *cli_evidence_text(char out[100], ts_evidence e) {
    char name[32];
    if (e == TS_VIRTUAL && ts_cpu_hypervisor(name, sizeof name))
        snprintf(out, 100, "of a virtual machine (%s), not measured on an NPU", name);
    else if (e == TS_VIRTUAL) snprintf(out, 100, "of a virtual machine, not measured on an NPU");
    else snprintf(out, 100, "%s", ts_evidence_name(e));
    return out;
}

const char *cli_clock_text(char out[40], const ts_model_info *info) {
    if (!info->device_mhz) snprintf(out, 40, "a clock that nobody tells");
    else if (info->device_mhz_least == info->device_mhz_most) snprintf(out, 40, "%u MHz", info->device_mhz);
    else snprintf(out, 40, "%u to %u MHz", info->device_mhz_least, info->device_mhz_most);
    return out;
}

bool cli_stats_device(ts_buf *out, const ts_model_info *info) {
    char text[100];
    char clock[40];
    bool ok = ts_buf_printf(out, "device: %s", cli_device_text(text, info));
    if (info->device_mhz && !simulated(info))
        ok = ok && ts_buf_printf(out, ", array at %s", cli_clock_text(clock, info));
    if (info->evidence == TS_VIRTUAL)
        return ok && ts_buf_printf(out, "\n        speeds are %s\n", cli_evidence_text(text, info->evidence));
    if (!simulated(info)) return ok && ts_buf_printf(out, " (%s)\n", cli_evidence_text(text, info->evidence));
    return ok && ts_buf_puts(out, "\n        speeds are host time of the simulator (measured), not an NPU's\n");
}

const char *cli_time_kind(const ts_model_info *info) {
    return simulated(info) ? "host time of the simulator" : "host time";
}

static const char *human(char out[20], double v, double step, const char *const unit[]) {
    int i = 0;
    while (v >= step && unit[i + 1]) v /= step, i++;
    snprintf(out, 20, "%.*f %s", v >= 100 || i == 0 ? 0 : v >= 10 ? 1 : 2, v, unit[i]);
    return out;
}

const char *cli_count_text(char out[20], double v) {
    static const char *const unit[] = {"", "K", "M", "G", "T", NULL};
    return human(out, v, 1000, unit);
}

const char *cli_bytes_text(char out[20], double v) {
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    return human(out, v, 1024, unit);
}
