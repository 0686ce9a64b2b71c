/* The reader of safetensors: what it gives, every rule of the format, what is no such file, damage anywhere. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/safetensors.h"

#include <unistd.h>

static ts_err err;

static ts_span span(const ts_buf *b) {
    return (ts_span){(const uint8_t *)b->data, b->len};
}

static void put(ts_buf *b, const void *data, size_t len) {
    assert_true(ts_buf_append(b, data, len));
}

/* A file of this header and n bytes that count up from 1. */
static ts_buf file_of(const char *header, size_t header_len, size_t n) {
    ts_buf b = {0};
    const uint64_t len = header_len;
    put(&b, &len, sizeof len);
    put(&b, header, header_len);
    for (size_t i = 0; i < n; i++) put(&b, &(uint8_t){(uint8_t)(i + 1)}, 1);
    return b;
}

static void one_line(ts_status s) {
    assert_int_equal(err.code, s);
    if (!*err.msg || strpbrk(err.msg, "\n\r\x1b")) fail_msg("not one line: %s", err.msg);
}

/* ---- what is read ------------------------------------------------------------------------------------------------ */

static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                           "\"scalar\":{\"shape\":[],\"data_offsets\":[0,4],\"dtype\":\"F32\"},"
                           "\"none\":{\"dtype\":\"I64\",\"shape\":[3,0,7],\"data_offsets\":[16,16],\"more\":[{}]},"
                           "\"empty at 4\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]},"
                           "\"\\u0061\\n\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[16,18]}}   ";

static void test_good(void **state) {
    (void)state;
    ts_buf b = file_of(good, sizeof good - 1, 18);
    ts_safetensors *s;
    assert_ok(ts_safetensors_open_mem(&s, span(&b), &err));
    assert_int_equal(ts_safetensors_n(s), 5);
    const size_t at = 8 + sizeof good - 1;
    const ts_array *a = ts_safetensors_at(s, 0);
    assert_string_equal(a->name, "b");
    assert_int_equal(a->elem, TS_EL_F16);
    assert_string_equal(a->elem_name, "F16");
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->dim[0], 2);
    assert_int_equal(a->dim[1], 3);
    assert_int_equal(a->stride[0], 3);
    assert_int_equal(a->stride[1], 1);
    assert_int_equal(a->bytes, 12);
    assert_int_equal(a->offset, at + 4);
    assert_ptr_equal(a->data, b.data + at + 4);
    assert_int_equal(a->data[0], 5);
    assert_true(ts_array_is_packed(a));
    a = ts_safetensors_at(s, 1);
    assert_int_equal(a->n_dims, 0);
    assert_int_equal(a->bytes, 4);
    a = ts_safetensors_at(s, 2);
    assert_int_equal(a->n_dims, 3);
    assert_int_equal(a->bytes, 0);
    assert_string_equal(ts_safetensors_at(s, 4)->name, "a\n");
    ts_safetensors_close(s);
    ts_buf_free(&b);
    b = file_of("{}", 2, 0); /* no arrays at all is a file too */
    assert_ok(ts_safetensors_open_mem(&s, span(&b), &err));
    assert_int_equal(ts_safetensors_n(s), 0);
    ts_safetensors_close(s);
    ts_buf_free(&b);
    ts_safetensors_close(NULL);
}

/* Every element type: how many bytes two of them have. */
static void test_dtypes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ts_elem elem;
        int n, bytes;
    } t[] = {{"BOOL", TS_EL_BOOL, 2, 2},         {"U8", TS_EL_U8, 2, 2},         {"I8", TS_EL_I8, 2, 2},
             {"U16", TS_EL_U16, 2, 4},           {"I16", TS_EL_I16, 2, 4},       {"F16", TS_EL_F16, 2, 4},
             {"BF16", TS_EL_BF16, 2, 4},         {"U32", TS_EL_U32, 2, 8},       {"I32", TS_EL_I32, 2, 8},
             {"F32", TS_EL_F32, 2, 8},           {"U64", TS_EL_U64, 2, 16},      {"I64", TS_EL_I64, 2, 16},
             {"F64", TS_EL_F64, 2, 16},          {"C64", TS_EL_OTHER, 2, 16},    {"F8_E4M3", TS_EL_OTHER, 2, 2},
             {"F8_E5M2", TS_EL_OTHER, 2, 2},     {"F8_E8M0", TS_EL_OTHER, 2, 2}, {"F8_E4M3FNUZ", TS_EL_OTHER, 2, 2},
             {"F8_E5M2FNUZ", TS_EL_OTHER, 2, 2}, {"F4", TS_EL_OTHER, 2, 1},      {"F6_E2M3", TS_EL_OTHER, 4, 3},
             {"F6_E3M2", TS_EL_OTHER, 4, 3}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char header[160];
        const int len =
            snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]}}",
                     t[i].name, t[i].n, t[i].bytes);
        ts_buf b = file_of(header, (size_t)len, (size_t)t[i].bytes);
        ts_safetensors *s;
        assert_ok(ts_safetensors_open_mem(&s, span(&b), &err));
        assert_int_equal(ts_safetensors_at(s, 0)->elem, t[i].elem);
        assert_string_equal(ts_safetensors_at(s, 0)->elem_name, t[i].name);
        assert_int_equal(ts_safetensors_at(s, 0)->bytes, t[i].bytes);
        ts_safetensors_close(s);
        ts_buf_free(&b);
    }
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

#define ONE(dtype, shape, offsets) "{\"x\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(a, b)                                                                                                      \
    "{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" a "},\"y\":{\"dtype\":\"U8\",\"shape\":[4],"            \
    "\"data_offsets\":" b "}}"
#define AS_IS(text) text, sizeof text - 1

typedef struct refusal {
    const char *header;
    size_t len; /* 0: strlen */
    int n;      /* bytes of data */
    const char *words;
} refusal;

static const refusal refused[] = {
    /* the header */
    {" {}", 0, 0, "does not begin with {"},
    {"[]", 0, 0, "does not begin with {"},
    {"\xEF\xBB\xBF{}", 0, 0, "does not begin with {"},
    {"{", 0, 0, "ends too early"},
    {"{} x", 0, 0, "something behind the end"},
    {AS_IS("{}\0"), 0, "something behind the end"},
    {"{\"x\":{\"dtype\":\"U8\"}", 0, 0, "shape is missing"},
    {"{\"\xC0\x80\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 0, 1, "not UTF-8 at byte 10"},
    {"{\"\xED\xA0\x80\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 0, 1, "not UTF-8 at byte 10"},
    {"{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 0, 1, "surrogate"},
    {"{\"x\":[]}", 0, 0, "expected an object"},
    {"{\"x\":null}", 0, 0, "expected an object"},
    /* __metadata__ is of strings, and there once */
    {"{\"__metadata__\":{\"a\":1}}", 0, 0, "expected a string"},
    {"{\"__metadata__\":{\"a\":{}}}", 0, 0, "expected a string"},
    {"{\"__metadata__\":[]}", 0, 0, "expected an object"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, 0, "__metadata__ is there twice"},
    {"{\"__metadata__\":{\"a\":\"1\",\"b\":\"\",\"a\":\"1\"}}", 0, 0, "a key of __metadata__ is there twice"},
    {"{\"__metadata__\":{\"a\":\"1\",\"\\u0061\":\"2\"}}", 0, 0, "a key of __metadata__ is there twice"},
    {"{\"__metadata__\":{\"\":\"\",\"\":\"\"}}", 0, 0, "a key of __metadata__ is there twice"},
    {"{\"__metadata__\":{\"a\\u0000b\":\"\",\"a\\u0000b\":\"\"}}", 0, 0, "a key of __metadata__ is there twice"},
    /* what an array must say, once */
    {"{\"x\":{\"shape\":[],\"data_offsets\":[0,1]}}", 0, 1, "dtype is missing"},
    {"{\"x\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 0, 1, "shape is missing"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[]}}", 0, 1, "data_offsets are missing"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[],\"dtype\":\"I8\",\"data_offsets\":[0,1]}}", 0, 1, "dtype is there twice"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[],\"shape\":[1],\"data_offsets\":[0,1]}}", 0, 1, "shape is there twice"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"data_offsets\":[0,1]}}", 0, 1,
     "data_offsets are there twice"},
    {ONE("U9", "[1]", "[0,1]"), 0, 1, "an unknown dtype"},
    {ONE("u8", "[1]", "[0,1]"), 0, 1, "an unknown dtype"},
    {ONE("", "[1]", "[0,1]"), 0, 1, "an unknown dtype"},
    {"{\"x\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 0, 1, "expected a string"},
    /* names */
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},\"x\":{\"dtype\":\"U8\",\"shape\":[],"
     "\"data_offsets\":[1,2]}}",
     0, 2, "array \"x\" is there twice"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},\"\\u0078\":{\"dtype\":\"U8\",\"shape\":[],"
     "\"data_offsets\":[1,2]}}",
     0, 2, "array \"x\" is there twice"},
    {"{\"x\\u0000y\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 0, 1, "a name with a NUL"},
    /* whole numbers without a sign */
    {ONE("U8", "[1.0]", "[0,1]"), 0, 1, "expected a whole number"},
    {ONE("U8", "[1e0]", "[0,1]"), 0, 1, "expected a whole number"},
    {ONE("U8", "[-1]", "[0,1]"), 0, 1, "at least 0"},
    {ONE("U8", "[-0]", "[0,0]"), 0, 0, "at least 0"},
    {ONE("U8", "[\"1\"]", "[0,1]"), 0, 1, "expected a number"},
    {ONE("U8", "1", "[0,1]"), 0, 1, "expected an array"},
    {ONE("U8", "[1]", "[0,1.0]"), 0, 1, "expected a whole number"},
    {ONE("U8", "[1]", "[0,1e0]"), 0, 1, "expected a whole number"},
    {ONE("U8", "[1]", "[-1,0]"), 0, 1, "at least 0"},
    {ONE("U8", "[01]", "[0,1]"), 0, 1, "malformed"},
    {ONE("U8", "[1]", "[0]"), 0, 1, "data_offsets are two numbers"},
    {ONE("U8", "[1]", "[0,1,1]"), 0, 1, "data_offsets are two numbers"},
    {ONE("U8", "[1]", "[]"), 0, 1, "data_offsets are two numbers"},
    {ONE("U8", "[9223372036854775808]", "[0,1]"), 0, 1, "expected a whole number"},
    {ONE("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 0, 1, "more than 8 dimensions"},
    /* sizes */
    {ONE("U8", "[4294967296,4294967296]", "[0,0]"), 0, 0, "multiplies to more than 2^64"},
    {ONE("U8", "[4294967296,4294967296,0]", "[0,0]"), 0, 0, "multiplies to more than 2^64"},
    {ONE("F64", "[288230376151711744]", "[0,0]"), 0, 0, "bits are too many"},
    {ONE("F4", "[3]", "[0,2]"), 0, 2, "no whole bytes"},
    {ONE("F6_E3M2", "[2]", "[0,2]"), 0, 2, "no whole bytes"},
    {ONE("U8", "[2]", "[0,1]"), 0, 1, "bytes 0 to 1 for a shape of 2 bytes"},
    {ONE("U8", "[1]", "[0,2]"), 0, 2, "bytes 0 to 2 for a shape of 1 bytes"},
    {ONE("U8", "[0]", "[1,0]"), 0, 0, "bytes 1 to 0 for a shape of 0 bytes"},
    {ONE("U8", "[4]", "[0,4]"), 0, 1, "array \"x\" ends 3 bytes behind the end of the file: it is incomplete"},
    {ONE("U8", "[0]", "[9223372036854775807,9223372036854775807]"), 0, 0, "behind the end of the file"},
    /* every byte is one array's */
    {TWO("[0,4]", "[2,6]"), 0, 6, "array \"y\" begins at byte"},
    {TWO("[0,4]", "[2,6]"), 0, 6, "arrays overlap"},
    {TWO("[0,4]", "[0,4]"), 0, 4, "arrays overlap"},
    {TWO("[0,4]", "[5,9]"), 0, 9, "arrays leave a hole"},
    {TWO("[1,5]", "[5,9]"), 0, 9, "arrays leave a hole"},
    {TWO("[0,4]", "[4,8]"), 0, 9, "1 bytes stand behind the last array"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"U8\",\"shape\":[0],"
     "\"data_offsets\":[2,2]}}",
     0, 4, "arrays overlap"}, /* an empty one inside of another */
    {"{}", 0, 1, "1 bytes stand behind the last array"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const refusal *r = &refused[i];
        ts_buf b = file_of(r->header, r->len ? r->len : strlen(r->header), (size_t)r->n);
        ts_safetensors *s = NULL;
        const ts_status st = ts_safetensors_open_mem(&s, span(&b), &err);
        if (st != TS_E_FORMAT) fail_msg("%s: %s", r->header, ts_status_name(st));
        assert_null(s);
        one_line(st);
        if (!strstr(err.msg, r->words)) fail_msg("%s: \"%s\" does not mention %s", r->header, err.msg, r->words);
        ts_buf_free(&b);
    }
}

/* Lengths of the header that cannot be, and files that end anywhere. */
static void test_lengths(void **state) {
    (void)state;
    static const struct {
        uint64_t n;
        const char *words;
    } t[] = {{0, "does not begin with {"},
             {3, "something"},
             {11, "ends in its header: 1 bytes are missing"},
             {100000000, "ends in its header"},
             {100000001, "a header of 100000001 bytes"},
             {UINT64_MAX, "at most 100000000"},
             {UINT64_MAX - 7, "at most 100000000"},
             {1ull << 63, "at most 100000000"}};
    for (size_t i = 1; i < sizeof t / sizeof *t; i++) {
        ts_safetensors *s = NULL;
        ts_buf b = file_of("{}        ", 10, 0);
        memcpy(b.data, &t[i].n, 8);
        if (i == 1) b.data[10] = '!'; /* and inside of it something else */
        assert_status(ts_safetensors_open_mem(&s, span(&b), &err), TS_E_FORMAT);
        one_line(TS_E_FORMAT);
        if (!strstr(err.msg, t[i].words)) fail_msg("%s", err.msg);
        ts_buf_free(&b);
    }
    ts_buf b = file_of(good, sizeof good - 1, 18);
    for (size_t len = 0; len < b.len; len++) {
        ts_safetensors *s = NULL;
        uint8_t *exact = malloc(len ? len : 1);
        assert_non_null(exact);
        memcpy(exact, b.data, len);
        assert_status(ts_safetensors_open_mem(&s, (ts_span){exact, len}, &err), TS_E_FORMAT);
        one_line(TS_E_FORMAT);
        free(exact);
    }
    ts_buf_free(&b);
}

/* A header of brackets, of 100,000 names, of a name that is too long: told soon, without much memory or stack. */
static void test_large(void **state) {
    (void)state;
    ts_buf h = {0};
    ts_safetensors *s = NULL;
    assert_true(ts_buf_puts(&h, "{\"x\":{\"y\":"));
    for (int i = 0; i < 30000; i++) assert_true(ts_buf_putc(&h, '['));
    ts_buf b = file_of(h.data, h.len, 0);
    assert_status(ts_safetensors_open_mem(&s, span(&b), &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "nested too deeply"));
    ts_buf_free(&b);
    ts_buf_clear(&h);
    assert_true(ts_buf_putc(&h, '{'));
    for (int i = 0; i < 100000; i++) /* the names' order is not that of the data */
        assert_true(ts_buf_printf(&h, "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                                  i ? "," : "", i * 7919 % 100000, i, i + 1));
    assert_true(ts_buf_putc(&h, '}'));
    b = file_of(h.data, h.len, 100000);
    assert_ok(ts_safetensors_open_mem(&s, span(&b), &err));
    assert_int_equal(ts_safetensors_n(s), 100000);
    ts_safetensors_close(s);
    ts_buf_free(&b);
    for (int more = 0; more < 2; more++) { /* 64 KiB, and a byte more */
        ts_buf_clear(&h);
        assert_true(ts_buf_puts(&h, "{\""));
        for (int i = 0; i < (64 << 10) + more; i++) assert_true(ts_buf_putc(&h, 'n'));
        assert_true(ts_buf_puts(&h, "\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,2]}}"));
        b = file_of(h.data, h.len, 2);
        assert_status(ts_safetensors_open_mem(&s, span(&b), &err), TS_E_FORMAT);
        one_line(TS_E_FORMAT); /* the name itself is cut off */
        assert_non_null(strstr(err.msg, more ? "more than 64 KiB" : "bytes 0 to 2 for a shape of 1 bytes"));
        ts_buf_free(&b);
    }
    ts_buf_free(&h);
}

/* Names are anything: what a terminal takes for commands is not passed on. */
static void test_names_in_messages(void **state) {
    (void)state;
    static const char h[] = "{\"\\u001b[2J\\n\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}";
    ts_safetensors *s = NULL;
    ts_buf b = file_of(h, sizeof h - 1, 1);
    assert_status(ts_safetensors_open_mem(&s, span(&b), &err), TS_E_FORMAT);
    one_line(TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "\\x1b[2J\\n"));
    ts_buf_free(&b);
}

static void test_other_files(void **state) {
    (void)state;
    static const struct {
        const char *begin, *words;
        ts_status code;
    } t[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull", TS_E_UNSUPP},
        {"<!DOCTYPE html><html>", "a web page", TS_E_UNSUPP},
        {"<!doctype html>", "a web page", TS_E_UNSUPP},
        {"\n <html><head>", "a web page", TS_E_UNSUPP},
        {"<html>", "a web page", TS_E_UNSUPP},
        {"<HTML>", "a web page", TS_E_UNSUPP},
        {"{\"error\":\"Access to model is restricted\"}", "an answer of a server", TS_E_UNSUPP},
        {"\x1f\x8b\x08 and more of it", "gzip", TS_E_UNSUPP},
        {"GGUF\x03 and more", "rename it to .gguf", TS_E_UNSUPP},
        {"PK\x03\x04 and more", "a zip", TS_E_UNSUPP},
        {"Access to model meta-llama/X is restricted and you are not in the authorized list.", "an answer of a server",
         TS_E_UNSUPP},
        {"", "0 bytes are no safetensors file", TS_E_FORMAT},
        {"1234567", "7 bytes are no safetensors file", TS_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        ts_safetensors *s = NULL;
        const ts_span bytes = {(const uint8_t *)t[i].begin, strlen(t[i].begin)};
        const ts_status st = ts_safetensors_open_mem(&s, bytes, &err);
        if (st != t[i].code) fail_msg("%s: %s: %s", t[i].begin, ts_status_name(st), err.msg);
        one_line(st);
        if (!strstr(err.msg, t[i].words)) fail_msg("%s: %s", t[i].begin, err.msg);
    }
}

/* Every byte of the file turned over in every bit: refused in one line, or read without leaving the file. */
static void test_damage(void **state) {
    (void)state;
    ts_buf b = file_of(good, sizeof good - 1, 18);
    int n_good = 0, n_bad = 0;
    uint8_t *exact = malloc(b.len);
    assert_non_null(exact);
    for (size_t i = 0; i < 8 + sizeof good - 1; i++)
        for (int bit = 0; bit < 9; bit++) {
            ts_safetensors *s = NULL;
            memcpy(exact, b.data, b.len);
            exact[i] = (uint8_t)(bit == 8 ? 0 : exact[i] ^ 1 << bit);
            const ts_status st = ts_safetensors_open_mem(&s, (ts_span){exact, b.len}, &err);
            if (st != TS_OK) {
                n_bad++;
                one_line(st);
                assert_null(s);
                continue;
            }
            n_good++;
            size_t bytes = 0;
            for (size_t k = 0; k < ts_safetensors_n(s); k++) {
                const ts_array *a = ts_safetensors_at(s, k);
                bytes += a->bytes;
                assert_true(a->data >= exact && a->data + a->bytes <= exact + b.len);
                assert_int_equal(strlen(a->name), strnlen(a->name, 100));
            }
            assert_int_equal(bytes, 18);
            ts_safetensors_close(s);
        }
    free(exact);
    ts_buf_free(&b);
    assert_true(n_good > 50); /* letters of names and of fields that nobody reads */
    assert_true(n_bad > 2000);
}

/* ---- from a file ------------------------------------------------------------------------------------------------- */

static bool open_path(void *path) {
    ts_safetensors *s;
    if (ts_safetensors_open(&s, path, NULL) != TS_OK) return false;
    ts_safetensors_close(s);
    return true;
}

static bool open_bytes(void *b) {
    ts_safetensors *s;
    if (ts_safetensors_open_mem(&s, span(b), NULL) != TS_OK) return false;
    ts_safetensors_close(s);
    return true;
}

static void test_file(void **state) {
    (void)state;
    char path[] = "/tmp/test_safetensors.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    ts_safetensors *s = NULL;
    assert_status(ts_safetensors_open(&s, path, &err), TS_E_FORMAT);
    if (!strstr(err.msg, path) || !strstr(err.msg, ": 0 bytes")) fail_msg("%s", err.msg);
    ts_buf b = file_of(good, sizeof good - 1, 18);
    assert_ok(ts_file_write(path, b.data, b.len, &err));
    assert_ok(ts_safetensors_open(&s, path, &err));
    assert_int_equal(ts_safetensors_map(s)->len, b.len);
    assert_int_equal(ts_safetensors_at(s, 1)->data[0], 1);
    assert_ok(ts_map_check(ts_safetensors_map(s), path, &err));
    ts_safetensors_close(s);
    alloc_fail_loop(open_path, path, false);
    alloc_fail_loop(open_bytes, &b, false);
    ts_buf_free(&b);
    unlink(path);
    assert_status(ts_safetensors_open(&s, path, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, path));
    assert_status(ts_safetensors_open(&s, "/tmp", &err), TS_E_IO);
    one_line(TS_E_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_dtypes), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),     cmocka_unit_test(test_large),  cmocka_unit_test(test_names_in_messages),
        cmocka_unit_test(test_other_files), cmocka_unit_test(test_damage), cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
