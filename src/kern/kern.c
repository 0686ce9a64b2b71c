#include "kern/kern.h"

static void (*const levels[TS_CPU_LEVELS])(ts_kern *k) = {
#define LEVEL(NAME, name, ...) ts_kern_init_##name,
#include "base/cpu_levels.def"
};

void ts_kern_init(ts_kern *k, ts_cpu_level level) {
    *k = (ts_kern){.level = level};
    for (int i = 0; i <= (int)level; i++)
        if (ts_cpu_has((ts_cpu_level)i)) levels[i](k);
}
