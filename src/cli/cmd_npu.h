/* cmd_npu.h - the subcommands of `tessera npu`, and what they share. */
#ifndef TS_CLI_CMD_NPU_H
#define TS_CLI_CMD_NPU_H

#include "cli/opt.h"

#include "aie2/asm.h"

/* One file each: cmd_npu_<name>.c. */
extern const cli_command cmd_npu_asm, cmd_npu_dis, cmd_npu_exec, cmd_npu_replay, cmd_npu_selftest;

/* Assemble the file, its includes found beside it. Prints all messages to standard error. */
TS_NODISCARD ts_status npu_assemble_file(ts_aie2_program *p, const char *path, bool hazards, ts_err *err);

#endif
