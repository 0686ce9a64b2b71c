/* Our PDIs against those of Debian's bootgen, byte for byte: random lists of commands, and all designs that Tessera
 * sends to an NPU. Argument: number of lists. Exit code 77 (skipped) where there is no bootgen. */
#include "bootgen.h"
#include "designs.h"

#include "base/rng.h"
#include "npu/gemv_array.h"

/* A random list in both forms. */
static void random_list(ts_rng *rng, raw_cdo *raw, ts_cdo *cdo) {
    raw->n = 0;
    int n = 1 + (int)ts_rng_below(rng, 60);
    for (int i = 0; i < n; i++) {
        uint32_t addr = ts_rng_u32(rng) & ~3u & 0x09ffffff,
                 p[4] = {0, addr, ts_rng_u32(rng), ts_rng_u32(rng)};
        bool wide = ts_rng_below(rng, 4) == 0; /* the 64-bit form with a high half of 0 */
        switch (ts_rng_below(rng, 8)) {
        case 0:
        case 1:
        case 2:
            raw_command(raw, wide ? 0x108 : 0x103, p + !wide, 2 + wide);
            ts_cdo_write(cdo, addr, p[2]);
            break;
        case 3:
            raw_command(raw, wide ? 0x107 : 0x102, p + !wide, 3 + wide);
            ts_cdo_mask_write(cdo, addr, p[2], p[3]);
            break;
        case 4:
            raw_command(raw, wide ? 0x106 : 0x101, (uint32_t[]){0, addr, p[2], p[3], i} + !wide, 4 + wide);
            ts_cdo_mask_poll(cdo, addr, p[2], p[3], (uint32_t)i);
            break;
        default: {
            static const uint32_t sizes[] = {1,   2,   3,   6,   8,   16,   251,  252,
                                             253, 254, 255, 256, 300, 4096, 16384};
            size_t len = sizes[ts_rng_below(rng, sizeof sizes / sizeof sizes[0])];
            uint32_t *data = malloc(4 * (len + 2));
            assert_non_null(data);
            data[0] = 0;
            data[1] = addr;
            for (size_t j = 0; j < len; j++) data[j + 2] = ts_rng_u32(rng);
            raw_command(raw, 0x105, data, len + 2);
            ts_cdo_block(cdo, addr, data + 2, len);
            free(data);
            break;
        }
        }
    }
}

static int n_lists = 40;

static void test_random_lists(void **state) {
    (void)state;
    ts_err err;
    ts_rng rng = ts_rng_seed(4);
    raw_cdo raw = {0};
    for (int i = 0; i < n_lists; i++) {
        ts_cdo cdo = {0};
        ts_buf pdi = {0};
        char what[32];
        random_list(&rng, &raw, &cdo);
        assert_ok(ts_pdi_write(&cdo, &pdi, &err));
        snprintf(what, sizeof what, "random list %d", i);
        assert_equals_bootgen(&raw, &pdi, what);
        ts_cdo_free(&cdo);
        ts_buf_free(&pdi);
    }
    free(raw.w);
}

/* bootgen makes the same file of the same commands, given to it without our alignment. */
static void compare(ts_span pdi, const char *what) {
    ts_err err;
    raw_cdo raw = {0};
    ts_cdo_reader r;
    ts_cdo_op op;
    bool more;
    size_t n_commands = 0;
    assert_ok(ts_pdi_open(&r, pdi.data, pdi.len, &err));
    for (;; n_commands++) {
        assert_ok(ts_cdo_next(&r, &op, &more, &err));
        if (!more) break;
        switch (op.kind) {
        case TS_CDO_WRITE: raw_command(&raw, 0x103, (uint32_t[]){op.addr, op.value}, 2); break;
        case TS_CDO_MASK_WRITE: raw_command(&raw, 0x102, (uint32_t[]){op.addr, op.mask, op.value}, 3); break;
        case TS_CDO_BLOCK: {
            uint32_t *payload = malloc(op.data.len + 8);
            assert_non_null(payload);
            payload[0] = 0;
            payload[1] = op.addr;
            memcpy(payload + 2, op.data.data, op.data.len);
            raw_command(&raw, 0x105, payload, op.data.len / 4 + 2);
            free(payload);
            break;
        }
        case TS_CDO_NOP: break;
        default: fail_msg("%s: command %zu is of a kind that no design has", what, n_commands);
        }
    }
    assert_true(n_commands > 20);
    ts_buf ours = {0};
    assert_true(ts_buf_append(&ours, pdi.data, pdi.len));
    assert_equals_bootgen(&raw, &ours, what);
    ts_buf_free(&ours);
    free(raw.w);
}

static void test_designs(void **state) {
    (void)state;
    ts_err err;
    for (int i = 0; i < 6; i++) {
        ts_design *d = i < 4 ? loopback_design(i + 1, i + 1, 64 << i) : gather_design(i == 4 ? 1 : 4);
        ts_buf pdi = {0};
        char what[32];
        assert_ok(ts_design_finish(d, &pdi, NULL, &err));
        snprintf(what, sizeof what, "design %d", i);
        compare((ts_span){(const uint8_t *)pdi.data, pdi.len}, what);
        ts_buf_free(&pdi);
        ts_design_free(d);
    }
}

/* The one configuration that all models run on. */
static void test_gemv(void **state) {
    (void)state;
    ts_err err;
    ts_npu_config *config;
    assert_ok(ts_gemv_config(&config, &ts_npu1, &err));
    compare(ts_npu_config_pdi(config), "the linear layers");
    ts_npu_config_free(config);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_lists), cmocka_unit_test(test_designs),
                                       cmocka_unit_test(test_gemv)};
    if (!have_bootgen()) {
        puts("skip: bootgen is not installed; cure: apt-get install xilinx-bootgen");
        return 77;
    }
    if (argc > 1) n_lists = atoi(argv[1]);
    return cmocka_run_group_tests_name("bootgen", tests, NULL, NULL);
}
