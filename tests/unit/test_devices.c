/* The text that chooses devices: what it can say, and what is answered to everything else. */
#include "support/test.h"

#include "device/dev_npu.h"

static void test_said(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int n;
        bool sim, cpu_ops;
        ts_prefetch prefetch;
        uint64_t seed;
        uint32_t percent;
    } k[] = {
        {NULL, 0, false, false, 0, 0, 0},
        {"cpu", 0, false, false, 0, 0, 0},
        {"npu", 1, false, false, TS_PREFETCH_AUTO, 0, 100},
        {"npu-sim", 1, true, false, TS_PREFETCH_AUTO, 0, 100},
        {"npu-sim:seed=3,no-prefetch", 1, true, false, TS_PREFETCH_OFF, 3, 100},
        {"npu-sim:no-prefetch,prefetch=off", 1, true, false, TS_PREFETCH_OFF, 0, 100},
        {"npu:prefetch=on,allow-cpu-ops,rows=7%", 1, false, true, TS_PREFETCH_ON, 0, 7},
        {"npu-sim:rows=100%,seed=9007199254740992", 1, true, false, TS_PREFETCH_AUTO, UINT64_C(9007199254740992), 100},
        {"npu-sim:rows=30%+npu:allow-cpu-ops", 2, true, true, TS_PREFETCH_AUTO, 0, 30},
    };
    for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
        ts_device_plan p;
        ts_err err;
        if (ts_device_parse(&p, k[i].text, ts_devices, &err) != TS_OK) fail_msg("%s: %s", k[i].text, err.msg);
        assert_int_equal(p.n, k[i].n);
        assert_int_equal(p.allow_cpu_ops, k[i].cpu_ops);
        if (!p.n) continue;
        const ts_npu_options o = ts_npu_options_of(&p.use[0]);
        assert_true(o.simulated == k[i].sim && o.prefetch == k[i].prefetch && o.seed == k[i].seed);
        assert_int_equal(p.use[0].percent, k[i].percent);
        if (p.n == 2) assert_int_equal(p.use[1].percent, 70);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } k[] = {
        {"", "unknown device \"\"; known: cpu, npu, npu-sim"},
        {"gpu", "unknown device \"gpu\"; known: cpu, npu, npu-sim"},
        {"npu-sim ", "unknown device \"npu-sim \"; known: cpu, npu, npu-sim"},
        {"npu:", "device npu: unknown option \"\"; known: prefetch=auto|on|off, no-prefetch, rows=N%, allow-cpu-ops"},
        {"npu:seed=3", "device npu: unknown option \"seed=3\"; known: prefetch=auto|on|off, no-prefetch, rows=N%, "
                       "allow-cpu-ops"},
        {"npu-sim:seed", "device npu-sim: unknown option \"seed\"; known: prefetch=auto|on|off, no-prefetch, seed=N, "
                         "rows=N%, allow-cpu-ops"},
        {"npu-sim:seed=", "device npu-sim: seed=: it takes a number up to 9007199254740992"},
        {"npu-sim:seed=-1", "device npu-sim: seed=-1: it takes a number up to 9007199254740992"},
        {"npu-sim:seed=9007199254740993",
         "device npu-sim: seed=9007199254740993: it takes a number up to 9007199254740992"},
        {"npu-sim:seed=99999999999999999999",
         "device npu-sim: seed=99999999999999999999: it takes a number up to 9007199254740992"},
        {"npu-sim:seed=1,seed=2", "device npu-sim: seed contradicts an option before it"},
        {"npu-sim:prefetch=perhaps", "device npu-sim: prefetch=perhaps: it takes auto|on|off"},
        {"npu-sim:prefetch=on,no-prefetch", "device npu-sim: no-prefetch contradicts an option before it"},
        {"npu-sim:rows=0%", "device npu-sim: rows=0%: it takes 1% to 100%"},
        {"npu-sim:rows=101%", "device npu-sim: rows=101%: it takes 1% to 100%"},
        {"npu-sim:rows=50", "device npu-sim: rows=50: it takes 1% to 100%"},
        {"npu-sim:rows", "device npu-sim: unknown option \"rows\"; known: "},
        {"npu-sim+npu", "device npu-sim: with another behind it, it needs rows=N%"},
        {"npu-sim:rows=60%+npu:rows=50%", "device npu: rows: there are 40% left for it"},
        {"npu-sim:rows=100%+npu", "device npu: rows: there are 0% left for it"},
        {"npu-sim:rows=10%+", "unknown device \"\""},
        {"npu-sim:rows=50%+cpu", "device cpu: it stands alone, without options; it has the rows that the others do "
                                 "not: NAME:rows=N%"},
        {"cpu:rows=50%", "device cpu: it stands alone"},
        {"npu:rows=1%+npu:rows=1%+npu:rows=1%+npu:rows=1%+npu", "more than 4 devices at once"},
    };
    for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
        ts_device_plan p = {.n = 77};
        ts_err err;
        assert_status(ts_device_parse(&p, k[i].text, ts_devices, &err), TS_E_INVAL);
        if (strncmp(err.msg, k[i].says, strlen(k[i].says)) != 0) fail_msg("%s: %s", k[i].text, err.msg);
        assert_null(strchr(err.msg, '\n'));
        assert_int_equal(p.n, 77);
    }
    char longer[5000];
    ts_device_plan p;
    ts_err err;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_status(ts_device_parse(&p, longer, ts_devices, &err), TS_E_INVAL);
    memcpy(longer, "npu:", 4);
    assert_status(ts_device_parse(&p, longer, ts_devices, &err), TS_E_INVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_said),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
