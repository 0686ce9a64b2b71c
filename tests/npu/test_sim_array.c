/* The array simulator as a whole: data through shim, memtiles and cores. */
#include "sims.h"

static void loopback(void **state) {
    (void)state;
    for (int row = 1; row <= 2; row++)
        for (int n_cols = 1; n_cols <= 4; n_cols += 3) {
            enum { WORDS = 4096 };
            host_block h;
            ts_dispatch p;
            host_block_init(&h, 8 * WORDS * 4);
            fill_words(h.data, (size_t)WORDS * n_cols, 7);
            ts_array *a = array_of(loopback_design(n_cols, row, 256), &(ts_array_options){.n_cols = n_cols});
            loopback_dispatch(&p, n_cols, WORDS);
            run_well(a, &p, &h, (uint64_t[]){0, 4 * WORDS * 4}, 2);
            assert_memory_equal(h.data, h.data + 4 * WORDS * 4, (size_t)4 * WORDS * n_cols);
            ts_buf t = {0};
            assert_true(ts_array_print_costs(a, &t));
            print_message("%s", t.data);
            ts_buf_free(&t);
            ts_array_free(a);
            free(h.data);
        }
}

static void doubler(void **state) {
    (void)state;
    for (int n_cols = 1; n_cols <= 4; n_cols += 3)
        for (uint64_t seed = 0; seed < 5; seed++) {
            enum { WORDS = 4096, PART = 4 * WORDS * 4 };
            host_block h;
            ts_dispatch p;
            host_block_init(&h, 2 * PART);
            fill_words(h.data, (size_t)WORDS * n_cols, 9);
            ts_array *a = array_of(doubler_design(n_cols, 256), &(ts_array_options){.n_cols = n_cols, .seed = seed});
            for (int run = 0; run < 3; run++) {
                memset(h.data + PART, 0, PART);
                loopback_dispatch(&p, n_cols, WORDS);
                run_well(a, &p, &h, (uint64_t[]){0, PART}, 2);
                for (int i = 0; i < WORDS * n_cols; i++) {
                    uint32_t x, y;
                    memcpy(&x, h.data + 4 * i, 4);
                    memcpy(&y, h.data + PART + 4 * i, 4);
                    assert_int_equal(y, 2 * x);
                }
                fprintf(stderr, "seed %d run %d %d\n", (int)seed, run, (int)ts_array_cycles(a));
            }
            ts_buf t = {0};
            assert_true(ts_array_print_costs(a, &t));
            fprintf(stderr, "%s", t.data);
            ts_buf_free(&t);
            ts_array_free(a);
            free(h.data);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(loopback), cmocka_unit_test(doubler)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
