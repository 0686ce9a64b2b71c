/* The GGUF reader and writer: round trips, look-up, typed access, hostile files, split models, real fixtures. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/printable.h"
#include "base/rng.h"
#include "format/gguf.h"
#include "format/gguf_write.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

static ts_err err;

static ts_span span(const char *s) {
    return (ts_span){.data = (const uint8_t *)s, .len = strlen(s)};
}
static ts_span buf_span(const ts_buf *b) {
    return (ts_span){.data = (const uint8_t *)b->data, .len = b->len};
}

static void assert_contains(const char *text, const char *part, const char *name) {
    if (!strstr(text, part)) fail_msg("%s: \"%s\" is not in \"%s\"", name, part, text);
}

/* ---- files from a short notation --------------------------------------------------------------------------------- */

/* Words: H:v,t,k the header with version, tensors, entries · 1:n 2:n 4:n 8:n a little-endian number of that width (-
 * for negative) · s:text a string with its length (\0 in it: "~") · r:text bare bytes · z:n zeros · p:n zeros up to
 * a multiple of n. A '_' in a text stands for a space. */
static void make(ts_buf *b, const char *notation) {
    for (const char *p = notation; *p;) {
        while (*p == ' ') p++;
        if (!*p) break;
        char kind = *p;
        const char *arg = p + 2;
        size_t len = strcspn(arg, " ");
        assert_int_equal(p[1], ':');
        p = arg + len;
        if (kind == 'H') {
            unsigned version;
            uint64_t tensors, entries;
            assert_int_equal(sscanf(arg, "%u,%" SCNu64 ",%" SCNu64, &version, &tensors, &entries), 3);
            assert_true(ts_buf_puts(b, "GGUF") && ts_buf_append(b, &version, 4) && ts_buf_append(b, &tensors, 8) &&
                        ts_buf_append(b, &entries, 8));
        } else if (kind >= '1' && kind <= '8') {
            uint64_t v = strtoull(arg, NULL, 0);
            assert_true(ts_buf_append(b, &v, (size_t)(kind - '0')));
        } else if (kind == 's' || kind == 'r') {
            uint64_t n = len;
            if (kind == 's') assert_true(ts_buf_append(b, &n, 8));
            for (size_t i = 0; i < len; i++)
                assert_true(ts_buf_putc(b, arg[i] == '_' ? ' ' : arg[i] == '~' ? '\0' : arg[i]));
        } else if (kind == 'z') {
            for (long n = strtol(arg, NULL, 0); n > 0; n--) assert_true(ts_buf_putc(b, 0));
        } else {
            assert_int_equal(kind, 'p');
            for (size_t n = strtoul(arg, NULL, 0); b->len % n;) assert_true(ts_buf_putc(b, 0));
        }
    }
}

/* ---- round trip -------------------------------------------------------------------------------------------------- */

static ts_status rows_of_17(void *ud, uint64_t first, uint64_t n, void *out, ts_err *e) {
    uint64_t *next = ud;
    if (first != *next) return ts_fail(e, TS_E_INVAL, "rows out of order");
    *next += n;
    for (uint64_t r = 0; r < n; r++)
        for (int i = 0; i < 32; i++) ((float *)out)[r * 32 + i] = (float)(first + r) + (float)i / 32;
    return TS_OK;
}

enum { FN_ROWS = 20000 }; /* 2.5 MB: several chunks */

static ts_gguf_writer *sample_writer(uint32_t alignment, const float *data, uint64_t *next_row) {
    ts_gguf_writer *w = NULL;
    if (ts_gguf_writer_new(&w, alignment, &err) != TS_OK) return NULL;
    ts_gguf_put_str(w, "general.architecture", "llama");
    ts_gguf_put_u32(w, "u32", 4000000000u);
    ts_gguf_put_f32(w, "f32", -1.5f);
    ts_gguf_put_bool(w, "yes", true);
    ts_gguf_put_bool(w, "no", false);
    ts_gguf_put_scalar(w, "u8", TS_GGUF_U8, &(uint8_t){200});
    ts_gguf_put_scalar(w, "i8", TS_GGUF_I8, &(int8_t){-7});
    ts_gguf_put_scalar(w, "u16", TS_GGUF_U16, &(uint16_t){60000});
    ts_gguf_put_scalar(w, "i16", TS_GGUF_I16, &(int16_t){-300});
    ts_gguf_put_scalar(w, "i32", TS_GGUF_I32, &(int32_t){-70000});
    ts_gguf_put_scalar(w, "u64", TS_GGUF_U64, &(uint64_t){UINT64_MAX});
    ts_gguf_put_scalar(w, "i64", TS_GGUF_I64, &(int64_t){INT64_MIN});
    ts_gguf_put_scalar(w, "f64", TS_GGUF_F64, &(double){1e300});
    ts_gguf_put_array(w, "ints", TS_GGUF_I32, (int32_t[]){1, -2, 3}, 3);
    ts_gguf_put_array(w, "empty", TS_GGUF_U8, "", 0);
    ts_gguf_put_strings(w, "words", (ts_span[]){span("a"), span(""), {.data = (const uint8_t *)"x\0y", .len = 3}}, 3);
    ts_gguf_put_bytes(w, "raw", (ts_span){.data = (const uint8_t *)"\xff\0", .len = 2});
    ts_gguf_add_tensor(w, "a", TS_F32, 2, (uint64_t[]){5, 3}, data);
    ts_gguf_add_tensor(w, "q", TS_Q8_0, 1, (uint64_t[]){32}, data);
    if (next_row) ts_gguf_add_tensor_fn(w, "rows", TS_F32, 3, (uint64_t[]){32, FN_ROWS / 2, 2}, rows_of_17, next_row);
    ts_gguf_add_tensor(w, "b", TS_F16, 1, (uint64_t[]){1}, data);
    return w;
}

static void check_sample(const ts_gguf *g, uint32_t alignment, const float *data) {
    uint32_t u = 1;
    float f = 0;
    bool b = false;
    ts_span s;
    assert_int_equal(ts_gguf_version(g), 3);
    assert_int_equal(ts_gguf_n_files(g), 1);
    assert_ok(ts_gguf_str(g, "general.architecture", true, &s, &err));
    assert_true(s.len == 5 && !memcmp(s.data, "llama", 5));
    assert_ok(ts_gguf_u32(g, "u32", true, &u, &err));
    assert_int_equal(u, 4000000000u);
    assert_ok(ts_gguf_u32(g, "u8", true, &u, &err));
    assert_int_equal(u, 200);
    assert_ok(ts_gguf_u32(g, "u16", true, &u, &err));
    assert_int_equal(u, 60000);
    assert_ok(ts_gguf_f32(g, "f32", true, &f, &err));
    assert_true(f == -1.5f);
    assert_ok(ts_gguf_f32(g, "i16", true, &f, &err));
    assert_true(f == -300);
    assert_ok(ts_gguf_f32(g, "u64", true, &f, &err));
    assert_true(f == 0x1p64f);
    assert_ok(ts_gguf_bool(g, "yes", true, &b, &err));
    assert_true(b);
    assert_ok(ts_gguf_bool(g, "no", true, &b, &err));
    assert_false(b);
    assert_ok(ts_gguf_str(g, "raw", true, &s, &err));
    assert_true(s.len == 2 && s.data[0] == 0xff && s.data[1] == 0);
    const struct {
        const char *key;
        int64_t i;
        double d;
    } nums[] = {{"u8", 200, 200},
                {"i8", -7, -7},
                {"u16", 60000, 60000},
                {"i16", -300, -300},
                {"u32", 4000000000, 4e9},
                {"i32", -70000, -70000},
                {"u64", INT64_MAX, 0x1p64},
                {"i64", INT64_MIN, -0x1p63},
                {"f32", -1, -1.5},
                {"f64", INT64_MAX, 1e300},
                {"yes", 1, 1}};
    for (size_t i = 0; i < sizeof nums / sizeof *nums; i++) {
        const ts_gguf_kv *kv = ts_gguf_find(g, nums[i].key);
        assert_non_null(kv);
        assert_true(ts_gguf_int(kv, 0) == nums[i].i && ts_gguf_num(kv, 0) == nums[i].d);
    }
    const ts_gguf_kv *kv = ts_gguf_find(g, "ints");
    assert_true(kv->type == TS_GGUF_ARRAY && kv->elem == TS_GGUF_I32 && kv->n == 3);
    assert_int_equal(ts_gguf_int(kv, 1), -2);
    assert_true(ts_gguf_num(kv, 2) == 3);
    assert_int_equal(ts_gguf_find(g, "empty")->n, 0);
    kv = ts_gguf_find(g, "words");
    ts_reader r = ts_reader_of(kv->raw.data, kv->raw.len);
    assert_int_equal(ts_gguf_next_string(&r).len, 1);
    assert_int_equal(ts_gguf_next_string(&r).len, 0);
    s = ts_gguf_next_string(&r);
    assert_true(s.len == 3 && !memcmp(s.data, "x\0y", 3) && r.pos == kv->raw.len);
    assert_null(ts_gguf_find(g, "nothing"));

    const ts_tensor *t = ts_gguf_tensor(g, "a");
    assert_non_null(t);
    assert_true(t->type == TS_F32 && t->n_dims == 2 && t->dim[0] == 5 && t->dim[1] == 3 && t->dim[2] == 1);
    assert_int_equal(t->bytes, 60);
    assert_memory_equal(t->data, data, 60);
    assert_int_equal(ts_gguf_tensor(g, "q")->bytes, 34);
    assert_null(ts_gguf_tensor(g, "c"));
    for (size_t i = 0; i < ts_gguf_n_tensors(g); i++) {
        t = ts_gguf_tensor_at(g, i);
        assert_int_equal(t->offset % alignment, 0);
        assert_ptr_equal(t->data, ts_gguf_file(g, 0)->data + t->offset);
        assert_ptr_equal(t, ts_gguf_tensor(g, t->name));
    }
    assert_int_equal(ts_gguf_data_offset(g, 0), ts_gguf_tensor(g, "a")->offset);
}

static void temp_path(char path[64]) {
    strcpy(path, "/tmp/tessera-gguf-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static void test_round_trip(void **state) {
    (void)state;
    float data[15];
    for (int i = 0; i < 15; i++) data[i] = (float)i;
    static const uint32_t alignments[] = {0, 8, 64, 4096};
    for (size_t k = 0; k < sizeof alignments / sizeof *alignments; k++) {
        uint32_t alignment = alignments[k] ? alignments[k] : 32, v = 0;
        uint64_t next = 0;
        char path[64];
        temp_path(path);
        ts_gguf_writer *w = sample_writer(alignments[k], data, &next);
        assert_ok(ts_gguf_save(w, path, &err));
        assert_int_equal(next, FN_ROWS);
        ts_gguf *g = NULL;
        assert_ok(ts_gguf_open(&g, path, &err));
        check_sample(g, alignment, data);
        assert_string_equal(ts_gguf_path(g), path);
        assert_string_equal(ts_gguf_part_path(g, 0), path);
        assert_ok(ts_gguf_u32(g, "general.alignment", false, &v, &err));
        assert_int_equal(v, alignments[k] ? alignment : 0);
        const ts_tensor *t = ts_gguf_tensor(g, "rows");
        for (int i = 0; i < FN_ROWS; i += 997)
            assert_true(((const float *)t->data)[i * 32 + 31] == (float)i + 31.0f / 32);

        /* the same from memory; and copied entry by entry */
        ts_buf mem = {0}, copy = {0};
        next = 0;
        assert_ok(ts_gguf_save_mem(w, &mem, &err));
        assert_int_equal(mem.len, ts_gguf_file(g, 0)->len);
        assert_memory_equal(mem.data, ts_gguf_file(g, 0)->data, mem.len);
        assert_ok(ts_gguf_save_header(w, &copy, &err)); /* all but the tensors */
        assert_int_equal(copy.len, ts_gguf_data_offset(g, 0));
        assert_memory_equal(copy.data, mem.data, copy.len);
        ts_buf_clear(&copy);
        ts_gguf_writer_free(w);
        assert_ok(ts_gguf_writer_new(&w, alignments[k], &err));
        for (size_t i = 0; i < ts_gguf_n_kv(g); i++) ts_gguf_put_kv(w, ts_gguf_kv_at(g, i));
        for (size_t i = 0; i < ts_gguf_n_tensors(g); i++) {
            t = ts_gguf_tensor_at(g, i);
            ts_gguf_add_tensor(w, t->name, t->type, t->n_dims, t->dim, t->data);
        }
        assert_ok(ts_gguf_save_mem(w, &copy, &err));
        assert_int_equal(copy.len, mem.len);
        assert_memory_equal(copy.data, mem.data, mem.len);
        ts_gguf_writer_free(w);
        ts_gguf_close(g);
        assert_ok(ts_gguf_open_mem(&g, buf_span(&mem), "memory", 0, &err));
        check_sample(g, alignment, data);
        ts_gguf_close(g);
        ts_buf_free(&mem);
        ts_buf_free(&copy);
        unlink(path);
    }
    ts_gguf_close(NULL);
    ts_gguf_writer_free(NULL);
}

/* Version 2, arrays in arrays, tensors in another order than their data, no padding behind the last one. */
static void test_unusual(void **state) {
    (void)state;
    ts_buf b = {0};
    make(&b, "H:2,2,2 s:nested 4:9 4:9 8:2 4:8 8:2 s:ab s:c 4:9 8:1 4:5 8:2 4:-1 4:7  s:after 4:4 4:5"
             " s:late 4:1 8:4 4:0 8:32  s:early 4:1 8:3 4:0 8:0  p:32 4:1 4:2 4:3 p:32 4:4 4:5 4:6 4:7");
    ts_gguf *g = NULL;
    assert_ok(ts_gguf_open_mem(&g, buf_span(&b), "m", 0, &err));
    const ts_gguf_kv *kv = ts_gguf_find(g, "nested");
    assert_true(kv->elem == TS_GGUF_ARRAY && kv->n == 2);
    assert_int_equal(kv->raw.len, 12 + 10 + 9 + 12 + 12 + 8);
    uint32_t v = 0;
    assert_ok(ts_gguf_u32(g, "after", true, &v, &err));
    assert_int_equal(v, 5);
    assert_int_equal(ts_gguf_version(g), 2);
    assert_string_equal(ts_gguf_tensor_at(g, 0)->name, "late");
    assert_int_equal(((const int32_t *)ts_gguf_tensor(g, "late")->data)[3], 7);
    assert_int_equal(((const int32_t *)ts_gguf_tensor(g, "early")->data)[2], 3);

    /* a nested array copied into another file */
    ts_gguf_writer *w;
    assert_ok(ts_gguf_writer_new(&w, 0, &err));
    ts_gguf_put_kv(w, kv);
    ts_buf out = {0};
    assert_ok(ts_gguf_save_mem(w, &out, &err));
    ts_gguf *h = NULL;
    assert_ok(ts_gguf_open_mem(&h, buf_span(&out), "m", 0, &err));
    const ts_gguf_kv *copy = ts_gguf_find(h, "nested");
    assert_int_equal(copy->raw.len, kv->raw.len);
    assert_memory_equal(copy->raw.data, kv->raw.data, kv->raw.len);
    ts_gguf_close(h);
    ts_gguf_writer_free(w);
    ts_buf_free(&out);
    ts_gguf_close(g);

    /* a type that is only named: refused, unless asked for */
    ts_buf_clear(&b);
    make(&b, "H:3,1,0 s:t 4:1 8:256 4:17 8:0 p:32 z:74");
    assert_status(ts_gguf_open_mem(&g, buf_span(&b), "m", 0, &err), TS_E_UNSUPP);
    assert_contains(err.msg, "type iq2_xs, which Tessera does not support", "iq2_xs");
    assert_ok(ts_gguf_open_mem(&g, buf_span(&b), "m", TS_GGUF_ANY_TYPE, &err));
    assert_int_equal(ts_gguf_tensor_at(g, 0)->bytes, 74);
    ts_gguf_close(g);
    ts_buf_free(&b);
}

/* ---- typed access ------------------------------------------------------------------------------------------------ */

static void test_access(void **state) {
    (void)state;
    ts_buf b = {0};
    make(&b, "H:3,0,9 s:str 4:8 s:hi s:neg 4:5 4:-5 s:big 4:10 8:4294967296 s:arr 4:9 4:4 8:1 4:1 s:bool 4:7 1:1"
             " s:f64 4:12 8:0x7fd0000000000000 s:f32 4:6 4:0x3f000000 s:i64 4:11 8:-1 s:ok 4:10 8:4294967295");
    ts_gguf *g = NULL;
    assert_ok(ts_gguf_open_mem(&g, buf_span(&b), "FILE", 0, &err));
    uint32_t u = 77;
    float f = 77;
    bool t = true;
    ts_span s = {.len = 77};
    const struct {
        char kind;
        const char *key;
        bool required;
        const char *part; /* NULL: TS_OK */
    } cases[] = {
        {'u', "nothing", false, NULL},
        {'f', "nothing", false, NULL},
        {'b', "nothing", false, NULL},
        {'s', "nothing", false, NULL},
        {'u', "nothing", true, "FILE: the key \"nothing\" is missing"},
        {'f', "nothing", true, "FILE: the key \"nothing\" is missing"},
        {'b', "nothing", true, "FILE: the key \"nothing\" is missing"},
        {'s', "nothing", true, "FILE: the key \"nothing\" is missing"},
        {'u', "str", false, "FILE: byte 39: key \"str\" is a string, not a whole number"},
        {'u', "arr", false, "key \"arr\" is an array, not a whole number"},
        {'u', "neg", false, "key \"neg\" is -5, not within 0 to 4294967295"},
        {'u', "big", false, "key \"big\" is 4294967296, not within 0 to 4294967295"},
        {'u', "i64", false, "key \"i64\" is -1, not within"},
        {'u', "f32", false, "key \"f32\" is a f32, not a whole number"},
        {'u', "bool", false, "key \"bool\" is a bool, not a whole number"},
        {'f', "str", false, "key \"str\" is a string, not a number"},
        {'f', "bool", false, "key \"bool\" is a bool, not a number"},
        {'f', "f64", false, "too large for a float"},
        {'b', "neg", false, "key \"neg\" is an i32, not a bool"},
        {'s', "neg", false, "key \"neg\" is an i32, not a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *key = cases[i].key;
        bool req = cases[i].required;
        ts_status st = cases[i].kind == 'u'   ? ts_gguf_u32(g, key, req, &u, &err)
                       : cases[i].kind == 'f' ? ts_gguf_f32(g, key, req, &f, &err)
                       : cases[i].kind == 'b' ? ts_gguf_bool(g, key, req, &t, &err)
                                              : ts_gguf_str(g, key, req, &s, &err);
        assert_int_equal(st, cases[i].part ? TS_E_FORMAT : TS_OK);
        if (cases[i].part) assert_contains(err.msg, cases[i].part, key);
        assert_true(u == 77 && f == 77 && t && s.len == 77); /* untouched */
    }
    assert_ok(ts_gguf_u32(g, "ok", true, &u, &err));
    assert_int_equal(u, UINT32_MAX);
    assert_string_equal(ts_gguf_type_name(TS_GGUF_F64), "f64");
    assert_string_equal(ts_gguf_type_name((ts_gguf_type)13), "unknown");
    ts_gguf_close(g);
    ts_buf_free(&b);
}

/* Many tensors: each is found, and none that is not there. */
static void test_many(void **state) {
    (void)state;
    enum { MANY = 20000 };
    ts_gguf_writer *w;
    assert_ok(ts_gguf_writer_new(&w, 0, &err));
    char name[32];
    uint8_t byte = 0;
    float x = 1;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "t%d", i * 7919 % MANY);
        ts_gguf_put_scalar(w, name, TS_GGUF_U8, &byte);
        ts_gguf_add_tensor(w, name, TS_F32, 1, (uint64_t[]){1}, &x);
    }
    ts_buf b = {0};
    assert_ok(ts_gguf_save_mem(w, &b, &err));
    ts_gguf_writer_free(w);
    ts_gguf *g = NULL;
    assert_ok(ts_gguf_open_mem(&g, buf_span(&b), "m", 0, &err));
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_string_equal(ts_gguf_tensor(g, name)->name, name);
        assert_string_equal(ts_gguf_find(g, name)->key, name);
    }
    assert_null(ts_gguf_tensor(g, "t20000"));
    assert_null(ts_gguf_tensor(g, ""));
    ts_gguf_close(g);
    ts_buf_free(&b);
}

/* ---- hostile files ----------------------------------------------------------------------------------------------- */

static const struct hostile {
    const char *name, *notation;
    ts_status status;
    const char *part; /* of the message */
} hostile[] = {
    {"empty", "", TS_E_FORMAT, "byte 0: the file is empty"},
    {"text", "r:hello_world", TS_E_FORMAT, "byte 0: not a GGUF file: it does not begin"},
    {"three bytes", "r:GGU", TS_E_FORMAT, "byte 0: not a GGUF file"},
    {"only magic", "r:GGUF", TS_E_FORMAT, "byte 4: the file ends in its header"},
    {"safetensors", "8:40 r:{\"__metadata__\":{}}", TS_E_FORMAT, "looks like a safetensors file"},
    {"torch zip", "4:0x04034b50 z:20", TS_E_FORMAT, "looks like a zip archive"},
    {"old ggml", "4:0x67676a74 z:20", TS_E_FORMAT, "looks like a GGJT file"},
    {"lfs pointer", "r:version_https://git-lfs.github.com/spec/v1", TS_E_FORMAT, "git lfs pull"},
    {"web page", "r:<html>", TS_E_FORMAT, "looks like a web page"},
    {"version 0", "H:0,0,0", TS_E_UNSUPP, "byte 4: GGUF version 0 is unknown"},
    {"version 1", "H:1,0,0", TS_E_UNSUPP, "byte 4: GGUF version 1 is obsolete"},
    {"version 4", "H:4,0,0", TS_E_UNSUPP, "GGUF version 4 is unknown; Tessera reads 2 and 3"},
    {"big-endian", "H:50331648,0,0", TS_E_UNSUPP, "byte 4: the file is big-endian"},
    {"cut header", "r:GGUF 4:3 8:0", TS_E_FORMAT, "the file ends in its header"},
    {"many tensors", "H:3,18446744073709551615,0", TS_E_FORMAT, "byte 8: 18446744073709551615 tensors cannot be"},
    {"many entries", "H:3,0,1000 z:500", TS_E_FORMAT, "byte 16: 1000 metadata entries cannot be"},
    {"count beyond data", "H:3,0,1", TS_E_FORMAT, "byte 16: 1 metadata entries cannot be"},
    {"long key", "H:3,0,1 8:70000 z:80000", TS_E_FORMAT,
     "byte 24: the name of key 0 is 70000 bytes long; at most 65535"},
    {"key length", "H:3,0,1 8:0xffffffffffffffff z:20", TS_E_FORMAT, "name of key 0 is 18446744073709551615 bytes"},
    {"cut key", "H:3,0,1 8:100 z:20", TS_E_FORMAT, "byte 24: the file ends in the name of key 0"},
    {"NUL in key", "H:3,0,1 s:a~b 4:0 z:20", TS_E_FORMAT, "the name of key 0 (\"a\\x00b\") has a NUL byte in it"},
    {"escape in key", "H:3,0,1 8:4 4:0x6d315b1b 4:99 z:9", TS_E_FORMAT, "key \"\\x1b[1m\": value type 99"},
    {"cut value type", "H:3,0,1 s:abcdef 2:4", TS_E_FORMAT, "byte 38: key \"abcdef\": the file ends before its value"},
    {"unknown value type", "H:3,0,1 s:a 4:13 z:9", TS_E_FORMAT, "byte 37: key \"a\": value type 13 is unknown"},
    {"unknown element type", "H:3,0,1 s:a 4:9 4:77 8:0 z:9", TS_E_FORMAT, "key \"a\": value type 77 is unknown"},
    {"cut u64", "H:3,0,1 s:a 4:10 4:1", TS_E_FORMAT, "byte 37: key \"a\": 1 u64 do not fit in the 4 bytes left"},
    {"cut string", "H:3,0,1 s:a 4:8 8:9 r:abc", TS_E_FORMAT,
     "byte 37: key \"a\": string 1 of 1 (9 bytes) runs past the end"},
    {"string length", "H:3,0,1 s:a 4:8 8:0xfffffffffffffff8 z:9", TS_E_FORMAT, "runs past the end of the file"},
    {"absurd array", "H:3,0,1 s:a 4:9 4:5 8:0x4000000000000001 z:9", TS_E_FORMAT,
     "byte 49: key \"a\": 4611686018427387905 i32 do not fit in the 9 bytes left"},
    {"absurd string array", "H:3,0,1 s:a 4:9 4:8 8:0x2000000000000001 z:9", TS_E_FORMAT, "strings do not fit in the 9"},
    {"cut string array", "H:3,0,1 s:a 4:9 4:8 8:3 s:x s:y 8:5 r:x", TS_E_FORMAT, "string 3 of 3 (5 bytes) runs past"},
    {"cut nested array", "H:3,0,1 s:a 4:9 4:9 8:2 4:0 8:0 4:0 8:99", TS_E_FORMAT, "99 u8 do not fit in the 0 bytes"},
    {"cut array header", "H:3,0,1 s:a 4:9 4:9 8:2 4:0 8:8 z:12", TS_E_FORMAT,
     "byte 69: key \"a\": the file ends in an array's"},
    {"deep arrays", "H:3,0,1 s:a 4:9 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:0 8:0",
     TS_E_FORMAT, "arrays nested more than 8 deep"},
    {"bool 2", "H:3,0,1 s:a 4:7 1:2", TS_E_FORMAT, "byte 37: key \"a\": a bool is 2, neither 0 nor 1"},
    {"bool in array", "H:3,0,1 s:a 4:9 4:7 8:3 1:0 1:1 1:9", TS_E_FORMAT, "byte 51: key \"a\": a bool is 9"},
    {"key twice", "H:3,0,3 s:a 4:0 1:1 s:b 4:0 1:1 s:a 4:0 1:1", TS_E_FORMAT, "byte 65: key \"a\" is there twice"},
    {"alignment 0", "H:3,0,1 s:general.alignment 4:4 4:0", TS_E_FORMAT, "general.alignment is 0; it must be"},
    {"alignment 4", "H:3,0,1 s:general.alignment 4:4 4:4", TS_E_FORMAT, "byte 53: general.alignment is 4; it must be"},
    {"alignment 24", "H:3,0,1 s:general.alignment 4:4 4:24", TS_E_FORMAT, "general.alignment is 24; it must be"},
    {"alignment huge", "H:3,0,1 s:general.alignment 4:4 4:0x80000000", TS_E_FORMAT, "a power of two from 8 to 2^30"},
    {"alignment text", "H:3,0,1 s:general.alignment 4:8 s:32", TS_E_FORMAT, "\"general.alignment\" is a string, not"},
    {"cut tensor", "H:3,1,0 s:tens 4:2 8:32 8:2 4:0", TS_E_FORMAT,
     "byte 36: the file ends in the entry of tensor \"tens\""},
    {"tensor name", "H:3,1,0 8:256 z:300", TS_E_FORMAT, "the name of tensor 0 is 256 bytes long; at most 255"},
    {"NUL in tensor", "H:3,1,0 s:a~ 4:1 8:1 4:0 8:0 p:32 z:4", TS_E_FORMAT, "tensor 0 (\"a\\x00\") has a NUL byte"},
    {"no dimensions", "H:3,1,0 s:t 4:0 4:0 8:0 p:32 z:64", TS_E_FORMAT,
     "byte 33: tensor \"t\" has 0 dimensions; 1 to 4"},
    {"five dimensions", "H:3,1,0 s:t 4:5 8:1 8:1 8:1 8:1 8:1 4:0 8:0 p:32 z:4", TS_E_FORMAT, "has 5 dimensions"},
    {"zero dimension", "H:3,1,0 s:t 4:2 8:1 8:0 4:0 8:0 p:32 z:4", TS_E_FORMAT,
     "byte 45: tensor \"t\": dimension 1 is 0"},
    {"dimension overflow", "H:3,1,0 s:t 4:4 8:65536 8:65536 8:65536 8:65536 4:0 8:0 p:32 z:64", TS_E_FORMAT,
     "byte 37: tensor \"t\": its dimensions multiply to more than 2^63"},
    {"byte overflow", "H:3,1,0 s:t 4:1 8:0x4000000000000000 4:0 8:0 p:32 z:64", TS_E_FORMAT,
     "multiply to more than 2^63"},
    {"half blocks", "H:3,1,0 s:t 4:1 8:48 4:8 8:0 p:32 z:64", TS_E_FORMAT,
     "tensor \"t\": rows of 48 are not a multiple of q8_0's block of 32"},
    {"unknown type", "H:3,1,0 s:t 4:1 8:32 4:50 8:0 p:32 z:64", TS_E_UNSUPP,
     "byte 45: tensor \"t\" has the unknown type 50"},
    {"huge type", "H:3,1,0 s:t 4:1 8:32 4:-1 8:0 p:32 z:64", TS_E_UNSUPP, "has the unknown type 4294967295"},
    {"withdrawn type", "H:3,1,0 s:t 4:1 8:32 4:4 8:0 p:32 z:64", TS_E_UNSUPP, "of type q4_2, which Tessera does not"},
    {"misaligned", "H:3,1,0 s:t 4:1 8:4 4:0 8:8 p:32 z:64", TS_E_FORMAT,
     "byte 49: tensor \"t\": offset 8 is not a multiple of 32"},
    {"outside", "H:3,1,0 s:t 4:1 8:4 4:0 8:64 p:32 z:64", TS_E_FORMAT,
     "byte 64: tensor \"t\" (16 bytes at offset 64 of the data) runs past the end of the file at 128"},
    {"offset overflow", "H:3,1,0 s:t 4:1 8:4 4:0 8:0xffffffffffffffe0 p:32 z:64", TS_E_FORMAT, "runs past the end"},
    {"no data", "H:3,1,0 s:t 4:1 8:4 4:0 8:0", TS_E_FORMAT,
     "byte 64: tensor \"t\" (16 bytes at offset 0 of the data) runs"},
    {"overlap", "H:3,2,0 s:a 4:1 8:9 4:0 8:0 s:b 4:1 8:1 4:0 8:32 p:32 z:64", TS_E_FORMAT,
     "byte 128: tensors \"a\" and \"b\" overlap"},
    {"same place", "H:3,2,0 s:a 4:1 8:1 4:0 8:0 s:b 4:1 8:1 4:0 8:0 p:32 z:64", TS_E_FORMAT, "\"a\" and \"b\" overlap"},
    {"tensor twice", "H:3,2,0 s:a 4:1 8:1 4:0 8:0 s:a 4:1 8:1 4:0 8:32 p:32 z:64", TS_E_FORMAT,
     "byte 128: tensor \"a\" is there twice"},
    {"split in memory", "H:3,0,1 s:split.count 4:2 2:3", TS_E_UNSUPP, "part of a split model"},
};

static void test_hostile(void **state) {
    (void)state;
    char path[64];
    temp_path(path);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        const struct hostile *h = &hostile[i];
        ts_buf b = {0};
        make(&b, h->notation);
        ts_gguf *g = (ts_gguf *)&b; /* must stay untouched */
        ts_status s = ts_gguf_open_mem(&g, buf_span(&b), "FILE", TS_GGUF_ANY_TYPE, &err);
        if (s != h->status) fail_msg("%s: %s: %s", h->name, ts_status_name(s), s ? err.msg : "");
        assert_ptr_equal(g, &b);
        assert_int_equal(err.code, s);
        assert_contains(err.msg, h->part, h->name);
        assert_int_equal(strncmp(err.msg, "FILE: byte ", 11), 0);
        assert_null(strchr(err.msg, '\n'));
        assert_status(ts_gguf_open_mem(&g, buf_span(&b), "FILE", TS_GGUF_ANY_TYPE, NULL), s);
        /* a file behaves the same, but for the parts of a split model */
        if (!strstr(h->notation, "split.")) {
            assert_ok(ts_file_write(path, b.data ? b.data : "", b.len, &err));
            assert_status(ts_gguf_open(&g, path, &err), h->status);
            assert_contains(err.msg, h->part, h->name);
            assert_contains(err.msg, path, h->name);
        }
        ts_buf_free(&b);
    }
    unlink(path);
    ts_gguf *g = NULL;
    assert_status(ts_gguf_open(&g, path, &err), TS_E_IO);
    assert_contains(err.msg, path, "missing file");
    assert_status(ts_gguf_open(&g, "/tmp", &err), TS_E_IO);
    assert_contains(err.msg, "folder", "folder");
    /* a very long path leaves room for what is wrong */
    char long_name[2000];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    assert_status(ts_gguf_open_mem(&g, span("hello"), long_name, 0, &err), TS_E_FORMAT);
    assert_contains(err.msg, "does not begin with \"GGUF\"", "long path");
}

/* A valid file with a bit of everything, cut at every byte, fails each time; with bytes changed it never crashes. */
static void test_damage(void **state) {
    (void)state;
    float data[15] = {0};
    ts_gguf_writer *w = sample_writer(0, data, NULL);
    ts_buf b = {0};
    assert_ok(ts_gguf_save_mem(w, &b, &err));
    ts_gguf_writer_free(w);
    ts_gguf *g = NULL;
    assert_ok(ts_gguf_open_mem(&g, buf_span(&b), "m", 0, &err));
    const ts_tensor *last = ts_gguf_tensor(g, "b");
    size_t needed = last->offset + last->bytes;
    ts_gguf_close(g);
    for (size_t n = 0; n < b.len; n++) {
        uint8_t *copy = malloc(n ? n : 1); /* of exactly that size: reading past it is caught */
        assert_non_null(copy);
        memcpy(copy, b.data, n);
        ts_status s = ts_gguf_open_mem(&g, (ts_span){.data = copy, .len = n}, "FILE", 0, &err);
        if ((s == TS_OK) != (n >= needed)) fail_msg("cut at %zu of %zu: %s", n, b.len, ts_status_name(s));
        if (s == TS_OK) ts_gguf_close(g);
        else assert_contains(err.msg, "FILE: byte ", "cut file");
        free(copy);
    }
    ts_rng rng = ts_rng_seed(11);
    int opened = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(b.len);
        assert_non_null(copy);
        memcpy(copy, b.data, b.len);
        for (uint64_t k = ts_rng_below(&rng, 3) + 1; k; k--)
            copy[ts_rng_below(&rng, b.len)] = ts_rng_below(&rng, 2) ? (uint8_t)ts_rng_u32(&rng) : 0xff;
        if (ts_gguf_open_mem(&g, (ts_span){.data = copy, .len = b.len}, "m", TS_GGUF_ANY_TYPE, &err) == TS_OK) {
            opened++;
            ts_gguf_close(g);
        } else {
            assert_null(strpbrk(err.msg, "\n\r\x1b"));
        }
        free(copy);
    }
    assert_true(opened > 1000 && opened < 19000);
    ts_buf_free(&b);
}

/* ---- writer errors ----------------------------------------------------------------------------------------------- */

static void test_writer_errors(void **state) {
    (void)state;
    const float x[64] = {0};
    char long_name[80];
    memset(long_name, 'n', sizeof long_name);
    long_name[64] = 0;
    static const struct {
        const char *name; /* NULL: the long one */
        ts_dtype type;
        uint32_t n_dims;
        uint64_t dim[4];
        const char *part;
    } cases[] = {
        {"", TS_F32, 1, {1}, "1 to 63 bytes are allowed"},
        {NULL, TS_F32, 1, {1}, "1 to 63 bytes are allowed"},
        {"t", TS_F32, 0, {1}, "0 dimensions"},
        {"t", TS_F32, 5, {1, 1, 1, 1}, "5 dimensions"},
        {"t", TS_F32, 2, {1, 0}, "dimension 1 is 0"},
        {"t", TS_F32, 3, {1, UINT64_MAX, 2}, "too large"},
        {"t", TS_F32, 2, {1ull << 40, 1ull << 40}, "too large"},
        {"t", TS_Q4_K, 1, {64}, "rows of 64 cannot be stored as q4_K"},
        {"t", (ts_dtype)50, 1, {64}, "cannot be stored as this type"},
        {"first", TS_F32, 1, {1}, "tensor \"first\" is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_gguf_writer *w;
        ts_buf b = {0};
        assert_ok(ts_gguf_writer_new(&w, 0, &err));
        ts_gguf_add_tensor(w, "first", TS_F32, 1, (uint64_t[]){1}, x);
        ts_gguf_add_tensor(w, cases[i].name ? cases[i].name : long_name, cases[i].type, cases[i].n_dims, cases[i].dim,
                           x);
        ts_gguf_put_u32(w, "after", 1); /* does not hide the failure */
        assert_status(ts_gguf_save_mem(w, &b, &err), TS_E_INVAL);
        assert_contains(err.msg, cases[i].part, "writer");
        assert_int_equal(b.len, 0);
        ts_gguf_writer_free(w);
        ts_buf_free(&b);
    }
    ts_gguf_writer *w;
    assert_status(ts_gguf_writer_new(&w, 7, &err), TS_E_INVAL);
    assert_status(ts_gguf_writer_new(&w, 4, &err), TS_E_INVAL);
    assert_ok(ts_gguf_writer_new(&w, 0, &err));
    ts_gguf_put_u32(w, "", 1);
    ts_buf b = {0};
    assert_status(ts_gguf_save_mem(w, &b, &err), TS_E_INVAL);
    assert_contains(err.msg, "a key of 0 bytes: 1 to 65535 are allowed", "writer");
    ts_gguf_writer_free(w);
    assert_ok(ts_gguf_writer_new(&w, 0, &err));
    ts_gguf_put_u32(w, "a", 1);
    ts_gguf_put_str(w, "a", "x");
    assert_status(ts_gguf_save_mem(w, &b, &err), TS_E_INVAL);
    assert_contains(err.msg, "key \"a\" is there twice", "writer");
    ts_gguf_writer_free(w);

    /* a failing rows function: its error, and the old file still there */
    char path[64];
    temp_path(path);
    assert_ok(ts_file_write(path, "old", 3, &err));
    assert_ok(ts_gguf_writer_new(&w, 0, &err));
    uint64_t wrong_row = 5;
    ts_gguf_add_tensor_fn(w, "t", TS_F32, 1, (uint64_t[]){32}, rows_of_17, &wrong_row);
    assert_status(ts_gguf_save(w, path, &err), TS_E_INVAL);
    assert_string_equal(err.msg, "rows out of order");
    assert_ok(ts_file_read(&b, path, 100, &err));
    assert_string_equal(b.data, "old");
    assert_status(ts_gguf_save(w, "/nonexistent/folder/file.gguf", &err), TS_E_IO);
    assert_contains(err.msg, "/nonexistent/folder/file.gguf", "writer");
    ts_gguf_writer_free(w);
    ts_buf_free(&b);
    unlink(path);
}

/* ---- split models ------------------------------------------------------------------------------------------------ */

/* Part `i` (from 0) of `n` in folder `dir`; the values in the file may lie. */
typedef struct split_part {
    int name_i, name_n;   /* in the file name */
    int no, count, total; /* keys; -1: absent */
    const char *tensor;   /* its one tensor */
    const char *key;      /* one more, NULL: none */
    uint32_t value;
} split_part;

static void write_part(const char *dir, const split_part *p, char path[128]) {
    static const float x[3] = {1, 2, 3};
    snprintf(path, 128, "%s/m-%05d-of-%05d.gguf", dir, p->name_i + 1, p->name_n);
    ts_gguf_writer *w;
    assert_ok(ts_gguf_writer_new(&w, 0, &err));
    if (p->name_i == 0) ts_gguf_put_str(w, "general.architecture", "llama");
    if (p->no >= 0) ts_gguf_put_scalar(w, "split.no", TS_GGUF_U16, &(uint16_t){(uint16_t)p->no});
    if (p->count >= 0) ts_gguf_put_scalar(w, "split.count", TS_GGUF_U16, &(uint16_t){(uint16_t)p->count});
    if (p->total >= 0) ts_gguf_put_scalar(w, "split.tensors.count", TS_GGUF_I32, &(int32_t){p->total});
    if (p->key) ts_gguf_put_u32(w, p->key, p->value);
    ts_gguf_add_tensor(w, p->tensor, TS_F32, 1, (uint64_t[]){3}, x);
    assert_ok(ts_gguf_save(w, path, &err));
    ts_gguf_writer_free(w);
}

static const struct split_case {
    const char *name;
    split_part part[3];
    int open;         /* which of them */
    const char *fail; /* part of the message; NULL: opens, with 3 tensors */
} split_cases[] = {
    {"good", {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}}, 0, NULL},
    {"any part", {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}}, 1, NULL},
    {"last part", {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}}, 2, NULL},
    {"no totals", {{0, 3, 0, 3, -1, "a"}, {1, 3, 1, 3, -1, "b"}, {2, 3, 2, 3, 3, "c"}}, 0, NULL},
    {"missing part", {{0, 3, 0, 3, 3, "a"}, {0, 0, 0, 0, 0, NULL}, {2, 3, 2, 3, 3, "c"}}, 0, "part 2 of 3 of "},
    {"missing first",
     {{0, 0, 0, 0, 0, NULL}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}},
     2,
     "m-00001-of-00003.gguf: No"},
    {"swapped",
     {{0, 3, 0, 3, 3, "a"}, {1, 3, 2, 3, 3, "b"}, {2, 3, 1, 3, 3, "c"}},
     0,
     "split.no is 2, but the name says 1"},
    {"self-referring",
     {{0, 3, 0, 3, 3, "a"}, {1, 3, 0, 3, 3, "a"}, {2, 3, 2, 3, 3, "c"}},
     0,
     "split.no is 0, but the name"},
    {"other count",
     {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 4, 3, "c"}},
     0,
     "split.count is 4, but 3 in "},
    {"not a part",
     {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, -1, 3, "b"}, {2, 3, 2, 3, 3, "c"}},
     0,
     "\"split.count\" is missing"},
    {"no number", {{0, 3, -1, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}}, 0, "\"split.no\" is missing"},
    {"number beyond",
     {{0, 3, 3, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}},
     0,
     "\"split.no\" is 3, not within 0 to 2"},
    {"renamed",
     {{0, 2, 0, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}},
     0,
     "does not end in -00001-of-00003.gguf"},
    {"too many parts",
     {{0, 3, 0, 60000, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c"}},
     0,
     "split.count is 60000; at most 4096"},
    {"wrong total",
     {{0, 3, 0, 3, 4, "a"}, {1, 3, 1, 3, 4, "b"}, {2, 3, 2, 3, 4, "c"}},
     0,
     "split.tensors.count is 4, but the parts have 3 tensors"},
    {"one wrong total",
     {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, 3, 7, "b"}, {2, 3, 2, 3, 3, "c"}},
     0,
     "split.tensors.count is 7"},
    {"the same key",
     {{0, 3, 0, 3, 3, "a", "llama.x", 5}, {1, 3, 1, 3, 3, "b", "llama.x", 5}, {2, 3, 2, 3, 3, "c"}},
     2,
     NULL},
    {"a key of part 2",
     {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, 3, 3, "b", "llama.x", 5}, {2, 3, 2, 3, 3, "c"}},
     0,
     "key \"llama.x\" is not as in part 1"},
    {"two values",
     {{0, 3, 0, 3, 3, "a", "llama.x", 5}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "c", "llama.x", 6}},
     1,
     "\"llama.x\" is not as in part 1"},
    {"tensor twice",
     {{0, 3, 0, 3, 3, "a"}, {1, 3, 1, 3, 3, "b"}, {2, 3, 2, 3, 3, "a"}},
     0,
     "tensor \"a\" is there twice"},
};

static bool open_split(void *ud) {
    ts_gguf *g = NULL;
    if (ts_gguf_open(&g, ud, &err) != TS_OK) return false;
    ts_gguf_close(g);
    return true;
}

static void test_split(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof split_cases / sizeof *split_cases; i++) {
        const struct split_case *c = &split_cases[i];
        char dir[] = "/tmp/tessera-split-XXXXXX", path[3][128] = {{0}};
        assert_non_null(mkdtemp(dir));
        for (int k = 0; k < 3; k++)
            if (c->part[k].tensor) write_part(dir, &c->part[k], path[k]);
        ts_gguf *g = NULL;
        ts_status s = ts_gguf_open(&g, path[c->open], &err);
        if (c->fail) {
            if (s == TS_OK) fail_msg("%s: opened", c->name);
            assert_contains(err.msg, c->fail, c->name);
            assert_contains(err.msg, dir, c->name);
        } else {
            assert_ok(s);
            assert_int_equal(ts_gguf_n_files(g), 3);
            assert_int_equal(ts_gguf_n_tensors(g), 3);
            assert_non_null(ts_gguf_find(g, "general.architecture")); /* of part 1, whichever was named */
            assert_string_equal(ts_gguf_path(g), path[c->open]);
            for (int k = 0; k < 3; k++) {
                const ts_tensor *t = ts_gguf_tensor(g, c->part[k].tensor);
                assert_ptr_equal(t, ts_gguf_tensor_at(g, (size_t)k));
                assert_int_equal(t->file, k);
                assert_true(((const float *)t->data)[2] == 3);
                assert_ptr_equal(t->data, ts_gguf_file(g, k)->data + t->offset);
                assert_string_equal(ts_gguf_part_path(g, k), path[k]);
            }
            ts_gguf_close(g);
        }
        if (i == 1) alloc_fail_loop(open_split, path[1], false);
        for (int k = 0; k < 3; k++)
            if (*path[k]) unlink(path[k]);
        rmdir(dir);
    }
}

/* ---- real files -------------------------------------------------------------------------------------------------- */

static void test_fixtures(void **state) {
    (void)state;
    static const struct {
        const char *file;
        int files;
        size_t n_kv, n_tensors;
        const char *fail;
    } cases[] = {
        {"gguf-fixtures/docker-dummy.gguf", 1, 15, 10, NULL},
        {"gguf-fixtures/docker-dummy-00001-of-00002.gguf", 2, 18, 10, NULL},
        {"gguf-fixtures/docker-dummy-00002-of-00002.gguf", 2, 18, 10, NULL},
        {"gguf-fixtures/ggml-vocab-gpt-2.gguf", 1, 16, 0, NULL},
        {"gguf-fixtures/ggml-vocab-llama-spm.gguf", 1, 22, 0, NULL},
        {"gguf-fixtures/ggml-vocab-phi-3.gguf", 1, 26, 0, NULL},
        {"gguf-fixtures/las7-empty.gguf", 1, 1, 0, NULL},
        {"gguf-fixtures/llama-2-tiny-random.gguf", 1, 18, 12, NULL},
        {"gguf-fixtures/las7-tiny.gguf", 0, 0, 0, "the file is incomplete"},
        {"gguf-fixtures/ollama-api-test.gguf", 0, 0, 0, "the file ends in its header"},
        {"gguf-fixtures/las7-tiny.safetensors", 0, 0, 0, "looks like a safetensors file"},
        {"models/demo_rand_params.pth", 0, 0, 0, "looks like a zip archive"},
        {"models/stories260K/stories260K.f32.gguf", 1, 18, 47, NULL},
        {"models/stories260K/stories260K.q4_0.gguf", 1, 18, 47, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[200], path[500];
        snprintf(name, sizeof name, "assets/%s", cases[i].file);
        SKIP_WITHOUT(shared_path(path, sizeof path, name));
        ts_gguf *g = NULL;
        ts_status s = ts_gguf_open(&g, path, &err);
        if (cases[i].fail) {
            assert_int_equal(s, TS_E_FORMAT);
            assert_contains(err.msg, cases[i].fail, cases[i].file);
            continue;
        }
        assert_ok(s);
        assert_int_equal(ts_gguf_n_files(g), cases[i].files);
        assert_int_equal(ts_gguf_n_kv(g), cases[i].n_kv);
        assert_int_equal(ts_gguf_n_tensors(g), cases[i].n_tensors);
        ts_gguf_close(g);
    }
    /* a few facts about the trained model, known from its description */
    char path[500];
    ts_gguf *g = NULL;
    uint32_t v = 0;
    assert_ok(
        ts_gguf_open(&g, shared_path(path, sizeof path, "assets/models/stories260K/stories260K.q8_0.gguf"), &err));
    assert_ok(ts_gguf_u32(g, "llama.embedding_length", true, &v, &err));
    assert_int_equal(v, 64);
    assert_ok(ts_gguf_u32(g, "llama.block_count", true, &v, &err));
    assert_int_equal(v, 5);
    const ts_tensor *t = ts_gguf_tensor(g, "token_embd.weight");
    assert_true(t && t->dim[0] == 64 && t->dim[1] == 512);
    t = ts_gguf_tensor(g, "blk.4.ffn_down.weight");
    assert_true(t && t->type == TS_F16 && t->dim[0] == 172 && t->dim[1] == 64);
    const ts_gguf_kv *tokens = ts_gguf_find(g, "tokenizer.ggml.tokens");
    assert_true(tokens && tokens->elem == TS_GGUF_STRING && tokens->n == 512);
    ts_gguf_close(g);
}

/* ---- printable --------------------------------------------------------------------------------------------------- */

static void test_printable(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
        size_t cap;
    } cases[] = {
        {"", "", 8},
        {"plain", "plain", 100},
        {"\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80", "\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80", 100},
        {"a\nb\tc\r\x1b[31m\x7f", "a\\nb\\tc\\r\\x1b[31m\\x7f", 100},
        {"\xc2\x9b", "\\x9b", 100},             /* C1: a terminal's escape in one character */
        {"x\xe2\x80\xaey", "x\\u{202e}y", 100}, /* right-to-left override */
        {"\xd8\x9c\xe2\x81\xa6\xf3\xa0\x81\x81", "\\u{61c}\\u{2066}\\u{e0041}", 100}, /* a mark, an isolate, a tag */
        {"\xff\xc0\x80\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 100},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 100}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 100},
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd", 100}, /* cut */
        {"1234567", "1234567", 8},
        {"12345678", "1234...", 8},
        {"123\xc3\xa9"
         "678",
         "123...", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[120];
        memset(out, 'z', sizeof out);
        size_t n = ts_printable(out, cases[i].cap, cases[i].in, strlen(cases[i].in));
        assert_string_equal(out, cases[i].out);
        assert_int_equal(n, strlen(out));
        for (size_t k = cases[i].cap; k < sizeof out; k++) assert_int_equal(out[k], 'z');
    }
    char out[20];
    assert_int_equal(ts_printable(out, sizeof out, "a\0b", 3), 6);
    assert_string_equal(out, "a\\x00b");
    ts_rng rng = ts_rng_seed(5);
    for (int round = 0; round < 20000; round++) {
        uint8_t in[30];
        char o[64];
        size_t n = (size_t)ts_rng_below(&rng, sizeof in + 1), cap = 8 + (size_t)ts_rng_below(&rng, sizeof o - 8);
        for (size_t i = 0; i < n; i++) in[i] = (uint8_t)ts_rng_u32(&rng);
        size_t len = ts_printable(o, cap, in, n);
        assert_true(len < cap && strlen(o) == len);
        for (size_t i = 0; i < len;) { /* what comes out is printable UTF-8 */
            uint32_t c = 0;
            size_t k = ts_utf8_valid((const uint8_t *)o + i, len - i, &c);
            assert_true(k > 0 && c >= 0x20);
            i += k;
        }
    }
}

/* ---- allocation failures ----------------------------------------------------------------------------------------- */

static bool open_mem(void *ud) {
    const ts_buf *b = ud;
    ts_gguf *g = NULL;
    if (ts_gguf_open_mem(&g, buf_span(b), "m", 0, &err) != TS_OK) return false;
    ts_gguf_close(g);
    return true;
}

static bool write_sample(void *ud) {
    const char *path = ud;
    static const float data[15];
    uint64_t next = 0;
    ts_gguf_writer *w = sample_writer(64, data, &next);
    if (!w) return false;
    ts_status s = ts_gguf_save(w, path, &err);
    if (s != TS_OK) {
        assert_int_equal(s, TS_E_NOMEM);
        assert_contains(err.msg, "out of memory", "writer");
    }
    ts_gguf_writer_free(w);
    return s == TS_OK;
}

static bool write_mem(void *ud) {
    (void)ud;
    static const float data[15];
    ts_buf b = {0};
    ts_gguf_writer *w = sample_writer(0, data, NULL);
    bool ok = w && ts_gguf_save_mem(w, &b, &err) == TS_OK;
    if (!ok) assert_int_equal(b.len, 0);
    ts_gguf_writer_free(w);
    ts_buf_free(&b);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    static const float data[15];
    char path[64];
    temp_path(path);
    ts_gguf_writer *w = sample_writer(0, data, NULL);
    ts_buf b = {0};
    assert_ok(ts_gguf_save_mem(w, &b, &err));
    ts_gguf_writer_free(w);
    alloc_fail_loop(open_mem, &b, false);
    assert_ok(ts_file_write(path, b.data, b.len, &err));
    alloc_fail_loop(open_split, path, false);
    ts_buf_free(&b);
    alloc_fail_loop(write_mem, NULL, false);
    alloc_fail_loop(write_sample, path, false);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_unusual),       cmocka_unit_test(test_access),
        cmocka_unit_test(test_many),       cmocka_unit_test(test_hostile),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_split),      cmocka_unit_test(test_writer_errors), cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_printable),  cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
