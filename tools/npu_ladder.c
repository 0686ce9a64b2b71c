/* First contact with an XDNA1 NPU: says what this machine has, then climbs the ladder of src/xdna/ladder.h and
 * stops at the first failure. What it prints also goes to a file that can be sent with a report. See
 * docs/npu/silicon.md.
 *
 * Usage: npu_ladder [--to N] [--node PATH] [LOG]     LOG: npu-report.txt */
#include "xdna/host.h"
#include "xdna/ladder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(void *ud, const char *line) {
    FILE *log = ud;
    puts(line);
    fflush(stdout);
    if (log) {
        fprintf(log, "%s\n", line);
        fflush(log); /* a hang must not take the report with it */
    }
}

static void describe(const ts_npu_host *h, FILE *log) {
    char line[512];
    snprintf(line, sizeof line, "tessera %s, kernel %s, firmware file %s, %d IOMMU groups", TESSERA_VERSION,
             h->kernel, h->firmware ? "found" : "missing", h->iommu_groups);
    say(log, line);
    for (int i = 0; i < h->n_chips; i++) {
        const ts_npu_chip *c = &h->chip[i];
        snprintf(line, sizeof line, "chip %s: PCI 1022:%04x, driver %s, node %s", c->slot, c->device,
                 c->driver[0] ? c->driver : "(none)", c->node[0] ? c->node : "(none)");
        say(log, line);
    }
    for (int i = 0; ts_npu_host_warning(h, UINT64_C(64) << 20, i, line, sizeof line); i++) {
        char text[600];
        snprintf(text, sizeof text, "warning: %s", line);
        say(log, text);
    }
}

int main(int argc, char **argv) {
    const char *node = NULL, *log_path = "npu-report.txt";
    int to = TS_LADDER_RUNGS;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--to") && i + 1 < argc) to = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--node") && i + 1 < argc) node = argv[++i];
        else if (argv[i][0] != '-') log_path = argv[i];
        else return fprintf(stderr, "usage: npu_ladder [--to N] [--node PATH] [LOG]\n"), 2;
    }
    if (to < 1 || to > TS_LADDER_RUNGS)
        return fprintf(stderr, "npu_ladder: rungs are 1 to %d\n", TS_LADDER_RUNGS), 2;
    FILE *log = fopen(log_path, "w");
    if (!log) fprintf(stderr, "npu_ladder: cannot write %s; going on without\n", log_path);
    ts_npu_host h;
    ts_err err = {.msg = ""};
    char found[64];
    ts_npu_host_probe(&h, "");
    describe(&h, log);
    ts_status s = node ? TS_OK : ts_npu_host_node(&h, found, sizeof found, &err);
    if (s == TS_OK) s = ts_npu_ladder(ts_npu_io_drm(), node ? node : found, to, say, log, NULL, &err);
    if (s != TS_OK) {
        say(log, err.msg);
        say(log, "Please add the output of: dmesg | grep -i amdxdna | tail -40");
    } else {
        say(log, "All rungs passed. Thank you: please send this report.");
    }
    if (log && fclose(log) == 0) printf("written to %s\n", log_path);
    return s == TS_OK ? 0 : 1;
}
