/* devices.h - the devices that linear layers can run on beside the CPU, and the text that chooses them.
 *
 *   TEXT    cpu | DEVICE[+DEVICE...]
 *   DEVICE  NAME[:OPTION[,OPTION...]]
 *   OPTION  WORD | NAME=VALUE: those of the device, and for each one
 *           rows=N%         it has N of a hundred rows of every layer, in whole groups of 16; what no device has is
 *                           the CPU's. Several devices need it, but for the last, which has the rest
 *           allow-cpu-ops   layers that it cannot take run on the CPU */
#ifndef TS_DEVICE_DEVICES_H
#define TS_DEVICE_DEVICES_H

#include "model/linear_dev.h"

enum { TS_DEVICE_VALUES = 4, TS_DEVICES_AT_ONCE = 4 };

typedef struct ts_device_option {
    const char *name;
    int slot;          /* of ts_device_choice.value */
    const char *words; /* "auto|on|off": NAME=WORD, and the value is the word's number; */
    uint64_t most;     /* NAME=N, up to this; */
    uint64_t is;       /* neither: NAME alone, and the value is this */
} ts_device_option;

typedef struct ts_device_choice {
    const struct ts_device *device;
    uint64_t value[TS_DEVICE_VALUES]; /* by slot; 0 where nothing was said */
    bool given[TS_DEVICE_VALUES];
    uint32_t percent; /* of the rows of each layer */
} ts_device_choice;

typedef struct ts_device {
    const char *name;
    const ts_device_option *option; /* ended by one without a name */
    /* `stop`: asked while the device keeps us waiting, nullable. */
    ts_status (*open)(ts_linear_dev *out, const ts_device_choice *c, ts_stop_fn *stop, void *stop_ud, ts_err *err);
} ts_device;

/* Those that Tessera knows, ended by NULL. */
extern const ts_device *const ts_devices[];

typedef struct ts_device_plan {
    ts_device_choice use[TS_DEVICES_AT_ONCE];
    int n; /* 0: the CPU alone */
    bool allow_cpu_ops;
} ts_device_plan;

/* NULL is "cpu". Errors: TS_E_INVAL naming what is not understood and what there is. */
TS_NODISCARD ts_status ts_device_parse(ts_device_plan *out, const char *text, const ts_device *const *known,
                                       ts_err *err);

#endif
