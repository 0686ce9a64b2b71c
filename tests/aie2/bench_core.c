/* How fast the core model runs the int8 GEMV loop, in bundles a second of processor time: machines are busy, and the
 * model uses one core. The figure that it must not fall below on an idle machine is 20 million. */
#include "support/test.h"

#include "aie2/asm.h"
#include "aie2/core.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PASSES = 240, SAMPLES = 9 };

int main(void) {
    static uint8_t mem[TS_AIE2_DM_BYTES];
    char path[500];
    ts_err err;
    ts_buf text = {0};
    ts_aie2_program p;
    ts_aie2_core core;
    ts_aie2_outside out = {0};
    double best = 0;
    snprintf(path, sizeof path, "%s/tests/aie2/gemv_i8.s", getenv("TESSERA_SOURCE"));
    assert_ok(ts_file_read(&text, path, 1 << 20, &err));
    assert_ok(ts_aie2_assemble(&p, path, text.data, text.len, NULL, &err));
    out.mem[TS_AIE2_OWN] = mem;
    assert_ok(ts_aie2_core_init(&core, &out, &err));
    assert_ok(ts_aie2_core_load(&core, 0, (const uint8_t *)p.code.data, p.code.len, &err));
    for (size_t i = 0; i < sizeof mem; i++) mem[i] = (uint8_t)(i * 37 + i / 251);
    for (int sample = 0; sample < SAMPLES; sample++) {
        uint64_t bundles = 0;
        clock_t begin = clock();
        while (bundles < 2000000) {
            ts_aie2_core_reset(&core);
            for (int i = 0; i < 4; i++)
                ts_aie2_core_set32(&core, (ts_aie2_reg)(TS_R_p0 + i), 0x70000 + 0x4000 * (uint32_t)i);
            ts_aie2_core_set32(&core, TS_R_r4, PASSES);
            assert_int_equal(ts_aie2_core_run(&core, 10000), TS_AIE2_DONE);
            bundles += core.bundles;
        }
        double rate = (double)bundles * 1e-6 * CLOCKS_PER_SEC / (double)(clock() - begin);
        printf("%.1f ", rate);
        if (rate > best) best = rate;
    }
    printf("\nint8 GEMV on the core model: %.1f million bundles a second of processor time (the best of %d)\n", best,
           SAMPLES);
    ts_aie2_core_fini(&core);
    ts_aie2_program_free(&p);
    ts_buf_free(&text);
    return 0;
}
