/* The core model against silicon: edge captures of conversions and bfloat16 multiplies, the arithmetic goldens, and the
 * replayed instruction captures through the program; and the instruction table against the facts it is made from. */
#include "support/test.h"

#include "aie2/asm.h"
#include "aie2/core.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct machine {
    ts_aie2_core core;
    uint8_t mem[TS_AIE2_DM_BYTES];
} machine;

static machine mach;

#define WAIT7 "nop\nnop\nnop\nnop\nnop\nnop\nnop\n"
#define IN                                                                                                         \
    "        movxm p0, #0x70000\n        movxm p1, #0x74000\n        mov s0, r2\n        movx crRnd, r3\n        " \
    "movx crSat, r4\n"

static void program(const char *body) {
    ts_err err;
    ts_aie2_program p;
    ts_buf text = {0};
    assert_true(ts_buf_printf(&text, "%s%s", IN, body));
    assert_ok(ts_aie2_assemble(&p, "test", text.data, text.len, NULL, &err));
    ts_buf_free(&text);
    ts_aie2_core_fini(&mach.core);
    ts_aie2_outside out = {0};
    out.mem[TS_AIE2_OWN] = mach.mem;
    assert_ok(ts_aie2_core_init(&mach.core, &out, &err));
    assert_ok(ts_aie2_core_load(&mach.core, 0, (const uint8_t *)p.code.data, p.code.len, &err));
    ts_aie2_program_free(&p);
}

static void run(uint32_t conf, uint32_t shift, uint32_t rnd, uint32_t sat) {
    ts_aie2_core_reset(&mach.core);
    ts_aie2_core_set32(&mach.core, TS_R_r1, conf);
    ts_aie2_core_set32(&mach.core, TS_R_r2, shift);
    ts_aie2_core_set32(&mach.core, TS_R_r3, rnd);
    ts_aie2_core_set32(&mach.core, TS_R_r4, sat);
    ts_aie2_event e = ts_aie2_core_run(&mach.core, 1000);
    if (e != TS_AIE2_DONE) fail_msg("%s", mach.core.error.msg);
    ts_aie2_core_drain(&mach.core, 16);
}

/* Numbers of a JSON array as little-endian elements of `bytes` bytes, padded with zeros. */
static size_t put(uint8_t *to, json_t *array, size_t first, size_t n, unsigned bytes) {
    memset(to, 0, n * bytes);
    size_t k = 0;
    for (; k < n && first + k < json_array_size(array); k++) {
        int64_t v = json_integer_value(json_array_get(array, first + k));
        memcpy(to + k * bytes, &v, bytes);
    }
    return k;
}

static json_t *load(const char *name) {
    char path[500];
    char rel[200];
    snprintf(rel, sizeof rel, "xdna/vectors/%s", name);
    const char *p = shared_path(path, sizeof path, rel);
    if (!p) return NULL;
    json_error_t why;
    json_t *j = json_load_file(p, 0, &why);
    if (!j) fail_msg("%s: %s", p, why.text);
    return j;
}

typedef struct counts {
    unsigned equal, different, nan;
} counts;

static bool is_nan32(uint32_t v) {
    return (v & 0x7fffffff) > 0x7f800000;
}
static bool is_nan16(uint32_t v) {
    return (v & 0x7fff) > 0x7f80;
}

/* Compare `n` results of `bytes` bytes at 0x74000. NaN payloads count apart when they differ. */
static void compare(counts *c, json_t *want, size_t first, size_t n, unsigned bytes, bool is_float) {
    for (size_t k = 0; k < n; k++) {
        uint32_t got = 0, w = (uint32_t)json_integer_value(json_array_get(want, first + k));
        if (bytes == 2) w &= 0xffff;
        if (bytes == 1) w &= 0xff;
        memcpy(&got, mach.mem + 0x4000 + k * bytes, bytes);
        bool nan = is_float && (bytes == 2 ? is_nan16(w) && is_nan16(got) : is_nan32(w) && is_nan32(got));
        if (got == w) c->equal++;
        else if (nan) c->nan++;
        else {
            c->different++;
            print_message("element %zu: 0x%x, silicon 0x%x\n", first + k, got, w);
        }
    }
}

static const char CONV[] = "vlda amll0, [p0, #0]\nvlda amlh0, [p0, #32]\n" WAIT7
                           "vconv.bf16.fp32 wl0, bml0\nnop\nnop\nvst wl0, [p1, #0]\ndone\n";
static const char EXPAND[] = "vlda wl0, [p0, #0]\n" WAIT7
                             "vconv.fp32.bf16 bml0, wl0\nnop\nnop\nvst amll0, [p1, #0]\nvst amlh0, [p1, #32]\ndone\n";
static const char FLOOR[] = "vlda wl0, [p0, #0]\n" WAIT7
                            "vfloor.s32.bf16 x0, wl0, s0\nnop\nnop\nvst wl0, [p1, #0]\nvst wh0, [p1, #32]\ndone\n";
static const char MUL_F[] = "vlda wl0, [p0], #32\nvlda wh0, [p0], #32\nvlda wl1, [p0], #32\nvlda wh1, [p0], #32\n" WAIT7
                            "vmul.f bml0, x0, x1, r1\n" WAIT7 "vst amll0, [p1, #0]\nvst amlh0, [p1, #32]\ndone\n";
static const char MUL_I[] = "vlda wl0, [p0], #32\nvlda wh0, [p0], #32\nvlda wl1, [p0], #32\nvlda wh1, [p0], #32\n" WAIT7
                            "vmul cm0, x0, x1, r1\n" WAIT7 "vst amll0, [p1, #0]\nvst amlh0, [p1, #32]\n"
                            "vst amhl0, [p1, #64]\nvst amhh0, [p1, #96]\ndone\n";
/* the same through the quick path of vmac */
static const char MAC_I[] =
    "vlda wl0, [p0], #32 ; vclr cm0\nvlda wh0, [p0], #32\nvlda wl1, [p0], #32\n"
    "vlda wh1, [p0], #32\n" WAIT7 "vmac cm0, cm0, x0, x1, r1\n" WAIT7
    "vst amll0, [p1, #0]\nvst amlh0, [p1, #32]\nvst amhl0, [p1, #64]\nvst amhh0, [p1, #96]\ndone\n";
static const char SRS[] = "vlda amll0, [p0, #0]\nvlda amlh0, [p0, #32]\n" WAIT7
                          "vsrs.s16.s32 wl0, bml0, s0\n" WAIT7 "vst wl0, [p1, #0]\ndone\n";
static const char UPS[] = "vlda wl0, [p0, #0]\n" WAIT7
                          "vups.s32.s16 bml0, wl0, s0\n" WAIT7 "vst amll0, [p1, #0]\nvst amlh0, [p1, #32]\ndone\n";
static const char PACK[] = "vlda wl0, [p0, #0]\nvlda wh0, [p0, #32]\n" WAIT7
                           "vpack.s8.s16 wl0, x0\n" WAIT7 "vst wl0, [p1, #0]\ndone\n";

/* One kind of test over a whole file: lanes per run, bytes in and out. */
static counts sweep(const char *text, json_t *in, json_t *want, size_t lanes, unsigned in_bytes, unsigned out_bytes,
                    bool is_float, uint32_t shift, uint32_t rnd, uint32_t sat) {
    counts c = {0};
    program(text);
    for (size_t i = 0; i < json_array_size(in); i += lanes) {
        size_t n = put(mach.mem, in, i, lanes, in_bytes);
        run(0, shift, rnd, sat);
        compare(&c, want, i, n, out_bytes, is_float);
    }
    return c;
}

static counts multiply(const char *text, json_t *a, json_t *b, json_t *want, size_t na, size_t nb, size_t nc,
                       unsigned bytes, bool is_float, uint32_t conf) {
    counts c = {0};
    program(text);
    for (size_t t = 0; t * na < json_array_size(a); t++) {
        memset(mach.mem, 0, 128);
        put(mach.mem, a, t * na, na, bytes);
        put(mach.mem + 64, b, t * nb, nb, bytes);
        run(conf, 0, 0, 0);
        compare(&c, want, t * nc, nc, 4, is_float);
    }
    return c;
}

static void add(counts *sum, counts c) {
    sum->equal += c.equal;
    sum->different += c.different;
    sum->nan += c.nan;
}

static void test_edges(void **state) {
    (void)state;
    static const int modes[] = {0, 1, 2, 3, 8, 9, 10, 11, 12, 13};
    counts sum = {0};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char name[80];
        snprintf(name, sizeof name, "edge_vec_conv_bf16_edge_r%d.json", modes[i]);
        json_t *j = load(name);
        SKIP_WITHOUT(j);
        add(&sum, sweep(CONV, json_object_get(j, "input"), json_object_get(j, "expected"), 16, 4, 2, true, 0,
                        (uint32_t)modes[i], 0));
        json_decref(j);
    }
    json_t *j = load("edge_vec_convexp_bf16_denorm.json");
    add(&sum, sweep(EXPAND, json_object_get(j, "input"), json_object_get(j, "expected"), 16, 2, 4, true, 0, 0, 0));
    json_decref(j);
    j = load("edge_vec_vfloor_bf16_denorm.json");
    add(&sum, sweep(FLOOR, json_object_get(j, "input"), json_object_get(j, "expected"), 16, 2, 4, false, 0, 0, 0));
    json_decref(j);
    j = load("edge_vec_mac_bf16_ovf.json");
    add(&sum, multiply(MUL_F, json_object_get(j, "input_a"), json_object_get(j, "input_b"),
                       json_object_get(j, "expected"), 32, 32, 16, 2, true, 0x1c));
    json_decref(j);
    print_message("%u edge points equal, %u NaN with another payload\n", sum.equal, sum.nan);
    assert_int_equal(sum.different, 0);
    assert_int_equal(sum.nan, 0); /* the payloads are modelled as well */
    assert_int_equal(sum.equal, 960 + 256 + 256 + 864);
}

static void test_goldens(void **state) {
    (void)state;
    json_t *all = load("vector_verify_goldens.json"), *g;
    SKIP_WITHOUT(all);
    counts sum = {0};
    size_t index;
    json_array_foreach(all, index, g) {
        const char *name = json_string_value(json_object_get(g, "kernel"));
        json_t *in = json_object_get(g, "IN"), *a = json_object_get(g, "INA"), *b = json_object_get(g, "INB");
        json_t *want = json_object_get(g, "EXP");
        int rnd = 0, sat = 1;
        if (!want) continue; /* inputs only */
        if (sscanf(name, "vec_srs_i32_r%d_s%d", &rnd, &sat) == 2 || !strcmp(name, "vec_srs_i32"))
            add(&sum, sweep(SRS, in, want, 16, 4, 2, false, 4, (uint32_t)rnd, (uint32_t)sat));
        else if (!strncmp(name, "vec_ups_i32", 11))
            add(&sum, sweep(UPS, in, want, 16, 2, 4, false, 4, 0, strstr(name, "_s1") != NULL));
        else if (!strncmp(name, "vec_pack_i16", 12)) {
            sat = strstr(name, "_s3") ? 3 : strstr(name, "_s1") || strstr(name, "_sat") ? 1 : 0;
            add(&sum, sweep(PACK, in, want, 32, 2, 1, false, 0, 0, (uint32_t)sat));
        } else if (sscanf(name, "vec_conv_bf16_edge_r%d", &rnd) == 1 || sscanf(name, "vec_conv_bf16_r%d", &rnd) == 1)
            add(&sum, sweep(CONV, in, want, 16, 4, 2, true, 0, (uint32_t)rnd, 0));
        else if (!strcmp(name, "vec_conv_bf16")) /* to nearest even */
            add(&sum, sweep(CONV, in, want, 16, 4, 2, true, 0, 12, 0));
        else if (!strcmp(name, "vec_convexp_bf16_denorm")) add(&sum, sweep(EXPAND, in, want, 16, 2, 4, true, 0, 0, 0));
        else if (!strcmp(name, "vec_vfloor_bf16_denorm")) add(&sum, sweep(FLOOR, in, want, 16, 2, 4, false, 0, 0, 0));
        else if (!strcmp(name, "vec_mac_i8")) {
            add(&sum, multiply(MUL_I, a, b, want, 32, 64, 32, 1, false, 0x308));
            add(&sum, multiply(MAC_I, a, b, want, 32, 64, 32, 1, false, 0x308));
        } else if (!strcmp(name, "vec_mac_i16")) add(&sum, multiply(MUL_I, a, b, want, 8, 16, 32, 2, false, 0x318));
        else if (!strncmp(name, "vec_mac_bf16", 12)) add(&sum, multiply(MUL_F, a, b, want, 32, 32, 16, 2, true, 0x1c));
        else fail_msg("no test for %s", name);
    }
    json_decref(all);
    print_message("%u golden values equal, %u NaN with another payload\n", sum.equal, sum.nan);
    assert_int_equal(sum.different, 0);
    assert_true(sum.equal > 12000);
}

/* The committed table is what the generator makes of the facts. */
static void test_generated(void **state) {
    (void)state;
    char path[500], command[1500];
    const char *json = shared_path(path, sizeof path, "xdna/aie2_encoding.json"), *source = getenv("TESSERA_SOURCE");
    SKIP_WITHOUT(json);
    *strrchr(path, '/') = 0;
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/tools/gen_isa.py' '%s' | cmp - '%s/src/aie2/isa.def'",
             source, path, source);
    assert_int_equal(system(command), 0);
}

/* The text of every capture assembles to the bytes that another assembler made of it, one bundle a line. */
static void test_capture_text(void **state) {
    (void)state;
    char path[500], *line = NULL;
    size_t cap = 0, records = 0, bundles = 0, refused = 0;
    const char *file = shared_path(path, sizeof path, "xdna/vectors/isa_hw.jsonl");
    SKIP_WITHOUT(file);
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    for (ssize_t len; (len = getline(&line, &cap, f)) > 0; records++) {
        json_t *r = json_loadb(line, (size_t)len, 0, NULL), *text;
        const char *code = json_string_value(json_object_get(r, "code"));
        size_t i;
        ts_buf source = {0};
        ts_aie2_program p;
        ts_err err;
        json_array_foreach(json_object_get(r, "asm"), i, text)
            assert_true(ts_buf_printf(&source, "%s\n", json_string_value(text)));
        if (ts_aie2_assemble(&p, "capture", source.data, source.len, &(ts_aie2_asm_opts){.no_hazards = true}, &err) !=
            TS_OK) {
            /* negative lanes, which the other assembler cuts off */
            if (!strstr(err.msg, "error: -") || !strstr(source.data, "vextbcst"))
                fail_msg("record %zu: %s", records, err.msg);
            refused++;
            ts_aie2_program_free(&p);
            ts_buf_free(&source);
            json_decref(r);
            continue;
        }
        assert_int_equal(p.n_lines, i);
        assert_int_equal(p.code.len * 2, strlen(code));
        for (size_t k = 0; k < p.code.len; k++) {
            char hex[3];
            snprintf(hex, sizeof hex, "%02x", (unsigned char)p.code.data[k]);
            if (memcmp(hex, code + 2 * k, 2) != 0) fail_msg("record %zu: byte %zu is %s", records, k, hex);
        }
        bundles += p.n_lines;
        ts_aie2_program_free(&p);
        ts_buf_free(&source);
        json_decref(r);
    }
    free(line);
    fclose(f);
    print_message("%zu captures, %zu bundles: text and bytes agree; %zu refused\n", records, bundles, refused);
    assert_true(records > 3000);
    assert_true(refused <= 18);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capture_text),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_generated),
    };
    int e = cmocka_run_group_tests_name("aie2 vectors", tests, NULL, NULL);
    ts_aie2_core_fini(&mach.core);
    return e;
}
