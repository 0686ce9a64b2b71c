/* hold COLUMNS [SECONDS]: have a context of so many columns for so long (default: until it is killed), and do
 * nothing with it. */
#include "xdna/dev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    unsigned columns = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (!columns || argc > 3) {
        fputs("usage: hold COLUMNS [SECONDS]\n", stderr);
        return 2;
    }
    ts_err err = {0};
    ts_npu_dev *dev;
    if (ts_npu_dev_open(&dev, ts_npu_io_drm(), "/dev/accel/accel0", &err) != TS_OK) {
        fprintf(stderr, "hold: %s\n", err.msg);
        return 1;
    }
    struct ts_uapi_qos_info qos = {0};
    struct ts_uapi_create_hwctx create = {
        .qos_p = (uint64_t)(uintptr_t)&qos, .max_opc = 2048, .num_tiles = columns * dev->info.array.core.row_count};
    int r = ts_npu_ioctl(dev, TS_IOCTL_CREATE_HWCTX, &create);
    if (r == 0) {
        printf("held\n");
        fflush(stdout);
        if (argc == 3) sleep((unsigned)strtoul(argv[2], NULL, 10));
        else pause();
        ts_npu_ioctl(dev, TS_IOCTL_DESTROY_HWCTX, &(struct ts_uapi_destroy_hwctx){.handle = create.handle});
    } else {
        fprintf(stderr, "hold: no context of %u columns: %s\n", columns, strerror(-r));
    }
    ts_npu_dev_close(dev);
    return r != 0;
}
