/* bus.h - a model file that is shortened while it is mapped: an error instead of a death. */
#ifndef TS_CLI_BUS_H
#define TS_CLI_BUS_H

/* From now on a read beyond the new end of a mapped file (SIGBUS) puts the terminal back as it is at this call,
 * writes one line with the file's name to standard error and ends the process with exit code 1. Other reasons for
 * the signal stay as they were. */
void cli_catch_bus_error(void);

#endif
