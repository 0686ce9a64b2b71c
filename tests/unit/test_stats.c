/* What figures are called: measured, simulated, or of a virtual machine, which nobody is to take for an NPU's. */
#include "support/test.h"

#include "cli/stats.h"

static void test_device(void **state) {
    (void)state;
    static const struct {
        const char *device;
        ts_evidence evidence;
        const char *text, *kind;
    } k[] = {
        {"cpu", TS_MEASURED, "device: cpu avx2, 2 threads (measured)\n", "host time"},
        {"npu", TS_MEASURED, "device: npu and cpu avx2, 2 threads (measured)\n", "host time"},
        {"npu", TS_VIRTUAL, "device: npu and cpu avx2, 2 threads\n        speeds are of a virtual machine",
         "host time"},
        {"npu-sim", TS_MEASURED,
         "device: npu-sim, the simulated NPU, on cpu avx2, 2 threads\n        speeds are host time of the simulator "
         "(measured), not an NPU's\n",
         "host time of the simulator"},
    };
    for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
        const ts_model_info info = {.device = k[i].device, .cpu_level = "avx2", .n_threads = 2,
                                    .evidence = k[i].evidence};
        ts_buf out = {0};
        assert_true(cli_stats_device(&out, &info));
        if (strncmp(out.data, k[i].text, strlen(k[i].text)) != 0) fail_msg("case %zu: %s", i, out.data);
        assert_int_equal(strstr(out.data, "not measured on an NPU") != NULL, k[i].evidence == TS_VIRTUAL);
        assert_int_equal(strstr(out.data, "(measured)") != NULL, k[i].evidence != TS_VIRTUAL);
        assert_string_equal(cli_time_kind(&info), k[i].kind);
        ts_buf_free(&out);
    }
}

static void test_clock(void **state) {
    (void)state;
    char text[40];
    ts_model_info info = {.device = "npu", .cpu_level = "avx2", .n_threads = 1};
    ts_buf out = {0};
    assert_string_equal(cli_clock_text(text, &info), "a clock that nobody tells");
    info.device_mhz = info.device_mhz_least = info.device_mhz_most = 1600;
    assert_string_equal(cli_clock_text(text, &info), "1600 MHz");
    info.device_mhz_least = 800;
    assert_string_equal(cli_clock_text(text, &info), "800 to 1600 MHz");
    assert_true(cli_stats_device(&out, &info));
    assert_string_equal(out.data, "device: npu and cpu avx2, 1 thread, array at 800 to 1600 MHz (measured)\n");
    ts_buf_free(&out);
}

static void test_evidence(void **state) {
    (void)state;
    char text[100];
    assert_string_equal(cli_evidence_text(text, TS_MEASURED), "measured");
    assert_string_equal(cli_evidence_text(text, TS_SIMULATED), "simulated");
    const char *of = cli_evidence_text(text, TS_VIRTUAL);
    assert_int_equal(strncmp(of, "of a virtual machine", 20), 0);
    assert_non_null(strstr(of, ", not measured on an NPU"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_device), cmocka_unit_test(test_clock),
                                       cmocka_unit_test(test_evidence)};
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
