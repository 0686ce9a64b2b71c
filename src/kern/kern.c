#include "kern/kern.h"

void ts_kern_init(ts_kern *k, ts_cpu_level level) {
    *k = (ts_kern){.level = level};
    ts_kern_init_ref(k);
#if defined(__x86_64__)
    if (level >= TS_CPU_AVX2) ts_kern_init_avx2(k);
    if (level >= TS_CPU_AVX512VNNI) ts_kern_init_avx512vnni(k);
#endif
}
