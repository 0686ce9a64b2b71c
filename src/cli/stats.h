/* stats.h - statistics as short lines, the same ones in every command. */
#ifndef TS_CLI_STATS_H
#define TS_CLI_STATS_H

#include "cli/common.h"

/* Counts of one answer, or of several added up. Times are measured. */
typedef struct cli_counts {
    size_t n_answers;
    size_t n_prompt, n_reused; /* tokens of the prompts, and those of them that were in the KV cache already */
    size_t n_read;             /* processed to read the prompts, in read_ns */
    size_t n_drawn;            /* tokens of the answers, the end tokens included */
    size_t n_steps;            /* tokens processed to draw them, in draw_ns: the first comes with the prompt */
    uint64_t read_ns, draw_ns, first_ns;
} cli_counts;
void cli_counts_add(cli_counts *sum, const cli_counts *one);

/* Append "prompt: ..." and "answer: ...", two lines. `end`: why the answer ended, NULL: several did; `seed` -1: none
 * is told. */
TS_NODISCARD bool cli_stats_counts(ts_buf *out, const cli_counts *c, const char *end, long seed);
/* Append "device: ..." with what the figures are: measured, and for the simulated NPU of what; or an NPU's in a
 * virtual machine. */
TS_NODISCARD bool cli_stats_device(ts_buf *out, const ts_model_info *info);
/* "cpu avx2, 2 threads", "npu and cpu avx2, 2 threads", "npu-sim, the simulated NPU, on cpu avx2, 2 threads". */
const char *cli_device_text(char out[100], const ts_model_info *info);
/* What these figures are, for a person: "measured", or "of a virtual machine (KVM), not measured on an NPU". */
const char *cli_evidence_text(char out[100], ts_evidence e);
/* The array's clock while commands ran: "1600 MHz", "800 to 1600 MHz", "a clock that nobody tells". */
const char *cli_clock_text(char out[40], const ts_model_info *info);
/* What rates and times of this device are, for programs: "host time", or "host time of the simulator". */
const char *cli_time_kind(const ts_model_info *info);

/* 1234567 as "1.23 M" or "1.18 MiB": three digits and a unit. */
const char *cli_count_text(char out[20], double v);
const char *cli_bytes_text(char out[20], double v);

#endif
