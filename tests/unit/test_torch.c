/* PyTorch's files: what becomes an array and under which name, whole models, old files, what is refused. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/torch_file.h"

#include "base/file.h"
#include "ckpt/torch.h"

#include <unistd.h>

static ts_err err;

/* A file of this pickle and of storages "key:bytes,key:bytes", whose bytes count up from the key's first character. */
static void make_zip(zip_file *z, const char *notation, const char *storages) {
    ts_buf text = {0};
    pickle(&text, notation);
    zip_add(z, "m/data.pkl", text.data, text.len);
    ts_buf_free(&text);
    for (const char *p = storages; *p; p += *p == ',') {
        char key[40], name[60];
        int n = 0, used = 0;
        uint8_t data[4096];
        assert_int_equal(sscanf(p, "%39[^:,]:%d%n", key, &n, &used), 2);
        for (int i = 0; i < n; i++) data[i] = (uint8_t)(key[0] + i);
        snprintf(name, sizeof name, "m/data/%s", key);
        zip_add(z, name, data, (size_t)n);
        p += used;
    }
    zip_add(z, "m/version", "3\n", 2);
}

static ts_status open_zip(ts_torch **t, zip_file *z, const char *notation, const char *storages) {
    make_zip(z, notation, storages);
    zip_finish(z);
    return ts_torch_open_mem(t, buf_bytes(&z->file), "some.pt", &err);
}

/* "name:type[sizes]@offset in data of the first array; ..." */
static void show(ts_buf *b, const ts_torch *t) {
    for (size_t i = 0; i < ts_torch_n(t); i++) {
        const ts_array *a = ts_torch_at(t, i);
        uint64_t n = 1, far = 0;
        assert_true(ts_buf_printf(b, "%s%s:%s[", i ? " " : "", a->name, a->elem_name));
        for (uint32_t k = 0; k < a->n_dims; k++) {
            assert_true(ts_buf_printf(b, "%s%llu", k ? "," : "", (unsigned long long)a->dim[k]));
            n *= a->dim[k];
            if (a->dim[k]) far += (a->dim[k] - 1) * a->stride[k];
        }
        assert_true(ts_buf_printf(b, "]%s", ts_array_is_packed(a) ? "" : "/"));
        const size_t width = n ? a->bytes / n : 0;
        if (a->elem != TS_EL_OTHER && n) assert_int_equal(width, ts_elem_size(a->elem));
        if (n) assert_true(ts_buf_printf(b, "%c%c", a->data[0], a->data[far * width])); /* the first, the last */
    }
}

#define MODULE(cls, attributes) "c:" cls " ) x:81 } ( " attributes " u b"
#define ORDERED(items) "c:collections.OrderedDict ) R ( " items " u"

static const struct {
    const char *pickle, *storages, *arrays;
} good[] = {
    {"} X:w T:FloatStorage,A,6,0,2.3,3.1 s .", "A:24", "w:float32[2,3]AU"},
    {ORDERED("X:b T:HalfStorage,A,8,2,3,1 X:a T:HalfStorage,A,8,0,2.2,1.2") " } X:~metadata } s b .", "A:16",
     "b:float16[3]EI a:float16[2,2]/AG"},
    {"} X:w T:ByteStorage,A,6,5,-,- s .", "A:6", "w:uint8[]FF"},
    {"} X:w T:ByteStorage,A,6,6,3.0.2,2.2.1 s .", "A:6", "w:uint8[3,0,2]/"},
    {"} X:w T:ByteStorage,A,0,0,0,1 s .", "A:0", "w:uint8[0]"},
    {"} X:w T:CharStorage,A,4,0,3.4,0.1 s .", "A:4", "w:int8[3,4]/AD"},
    {"} ( X:a T:IntStorage,A,1,0,1,1 X:b T:LongStorage,B,1,0,1,1 X:c T:ShortStorage,C,1,0,1,1 X:d "
     "T:DoubleStorage,D,1,0,1,1 X:e T:BoolStorage,E,1,0,1,1 X:f T:ComplexFloatStorage,F,1,0,1,1 u .",
     "A:4,B:8,C:2,D:8,E:1,F:8",
     "a:int32[1]AA b:int64[1]BB c:int16[1]CC d:float64[1]DD e:bool[1]EE f:complex64[1]FF"},
    {"} X:w c:torch._utils._rebuild_tensor_v3 ( S:UntypedStorage,A,6 i:1 i:2 x:85 i:1 x:85 x:89 } c:torch.uint16 t R s "
     ".",
     "A:6", "w:uint16[2]CE"},
    /* what stands beside tensors */
    {"} ( X:w T:ByteStorage,A,1,0,1,1 X:n i:3 X:none N i:7 T:ByteStorage,A,1,0,1,1 X:cfg "
     MODULE("my.Config", "X:n i:3") " X:deep } X:w T:ByteStorage,A,1,0,1,1 s X:l ] T:ByteStorage,A,1,0,1,1 a u .",
     "A:1", "w:uint8[1]AA"},
    /* a training run's file: the model in it, once */
    {"} ( X:epoch i:3 X:model } X:w T:ByteStorage,A,1,0,1,1 s X:optimizer } X:v T:ByteStorage,A,1,0,1,1 s u .", "A:1",
     "w:uint8[1]AA"},
    {"} ( X:model } X:no T:ByteStorage,A,1,0,1,1 s X:state~dict } X:w T:ByteStorage,A,1,0,1,1 s u .", "A:1",
     "w:uint8[1]AA"},
    {"} ( X:model } X:name X:llama s X:w T:ByteStorage,A,1,0,1,1 u .", "A:1", "w:uint8[1]AA"},
    {"} X:model " MODULE("x.Net", "X:~parameters } X:w T:ByteStorage,A,1,0,1,1 s") " s .", "A:1", "w:uint8[1]AA"},
    {"} X:net " MODULE("x.Net", "X:~parameters } X:w T:ByteStorage,A,1,0,1,1 s") " s .", "A:1", "net.w:uint8[1]AA"},
    {"} X:module.w T:ByteStorage,A,1,0,1,1 s .", "A:1", "w:uint8[1]AA"},
    {"} X:module. T:ByteStorage,A,1,0,1,1 s .", "A:1", "module.:uint8[1]AA"},
    {"c:my.Dict ) x:81 X:w T:ByteStorage,A,1,0,1,1 s .", "A:1", "w:uint8[1]AA"}, /* a class that is a dict */
    /* modules: parameters, buffers, submodules in order; what a state dict leaves out is left out */
    {MODULE("x.Net", "X:training x:89 X:~parameters " ORDERED("X:w T:ByteStorage,A,9,0,1,1 X:none N")
            " X:~buffers " ORDERED("X:b T:ByteStorage,A,9,1,1,1 X:t T:ByteStorage,A,9,2,1,1")
            " X:~non~persistent~buffers~set c:builtins.set ] X:t a x:85 R X:stray T:ByteStorage,A,9,3,1,1"
            " X:~modules " ORDERED(
                "X:0 " MODULE("x.A", "X:~parameters } X:w T:ByteStorage,A,9,4,1,1 s X:~modules } X:in "
                                     MODULE("x.B", "X:~parameters } X:v T:ByteStorage,A,9,5,1,1 s") " s")
                " X:none N X:1 " MODULE("x.A", "X:~parameters } X:w T:ByteStorage,A,9,6,1,1 s"))) " .",
     "A:9", "w:uint8[1]AA b:uint8[1]BB 0.w:uint8[1]EE 0.in.v:uint8[1]FF 1.w:uint8[1]GG"},
    /* state as a pair of dicts; DataParallel around */
    {MODULE("x.DataParallel", "X:~modules } X:module c:x.Net ) x:81 N } X:~parameters } X:w T:ByteStorage,A,1,0,1,1 s "
                              "s x:86 b s") " .", "A:1", "w:uint8[1]AA"},
    /* quantised layers: plain attributes, or buffers */
    {MODULE("x.Net", "X:~modules } ( X:q " MODULE("qlinear.QLinearPerGrp",
            "X:~parameters } X:~buffers } X:weight N X:qweight T:CharStorage,A,4,0,2.2,2.1 X:scales "
            "T:BFloat16Storage,B,2,0,2.1,1.1 X:bias N X:w~bit i:4 X:group~size i:32 X:biasshape x:89")
            " X:p " MODULE("qmodule.WQLinear", "X:~buffers } X:qweight T:CharStorage,A,4,2,2,1 s X:group~size i:128")
            " X:o " MODULE("x.Other", "X:~buffers } X:qweight T:CharStorage,A,4,3,1,1 s X:loose "
                                      "T:CharStorage,A,4,3,1,1 X:group~size i:7")
            " u X:config " MODULE("x.Config", "X:hidden~size i:128 X:name X:llama") ) " .", "A:4,B:4",
     "q.qweight:int8[2,2]AD q.scales:bfloat16[2,1]BD p.qweight:int8[2]CD o.qweight:int8[1]DD"},
    /* a module that two have is walked once, a tensor that two have is in both; a module may know its parent */
    {MODULE("x.Net", "X:~modules } ( X:a " MODULE("x.A", "X:~parameters } X:w T:ByteStorage,A,1,0,1,1 q:9 s")
                     " q:8 X:b h:8 X:c " MODULE("x.A", "X:~parameters } X:w h:9 s") " u") " .", "A:1",
     "a.w:uint8[1]AA c.w:uint8[1]AA"},
    {MODULE("x.Net", "X:~modules } ( X:a c:q.WQLinear ) x:81 } q:7 X:w T:ByteStorage,A,1,0,1,1 s b X:b c:q.WQLinear ) "
                     "x:81 h:7 b u") " .", "A:1", "a.w:uint8[1]AA"},
    {"c:x.Net ) x:81 q:1 } X:~modules } X:a " MODULE("x.A", "X:~parameters } X:w T:ByteStorage,A,1,0,1,1 s X:~modules "
     "} X:up h:1 s") " s s b .", "A:1", "a.w:uint8[1]AA"},
};

static void test_arrays(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        zip_file z = {.descriptors = true, .zip64 = i & 1, .align = 64};
        ts_torch *t = NULL;
        ts_buf shown = {0};
        if (open_zip(&t, &z, good[i].pickle, good[i].storages) != TS_OK) fail_msg("%s: %s", good[i].pickle, err.msg);
        show(&shown, t);
        if (strcmp(shown.data, good[i].arrays) != 0)
            fail_msg("%s:\n%s\nnot %s", good[i].pickle, shown.data, good[i].arrays);
        for (size_t k = 0; k < ts_torch_n(t); k++) assert_ok(ts_torch_check(t, k, &err));
        ts_torch_close(t);
        ts_buf_free(&shown);
        zip_free(&z);
    }
}

static void test_ints(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!strstr(good[i].pickle, "QLinear")) continue;
        zip_file z = {0};
        ts_torch *t = NULL;
        int64_t v = -1;
        assert_ok(open_zip(&t, &z, good[i].pickle, good[i].storages));
        assert_true(ts_torch_int(t, "q.w_bit", &v) && v == 4);
        assert_true(ts_torch_int(t, "q.group_size", &v) && v == 32);
        assert_true(ts_torch_int(t, "p.group_size", &v) && v == 128);
        assert_true(ts_torch_int(t, "config.hidden_size", &v) && v == 128);
        assert_false(ts_torch_int(t, "o.group_size", &v)); /* of another class */
        assert_false(ts_torch_int(t, "q.biasshape", &v));  /* true or false */
        assert_false(ts_torch_int(t, "config.name", &v));
        assert_false(ts_torch_int(t, "", &v));
        ts_torch_close(t);
        zip_free(&z);
        return;
    }
    fail_msg("no model with quantised layers");
}

static const struct {
    const char *pickle, *storages, *says;
    ts_status status;
} bad[] = {
    {"i:7 .", "", "some.pt: data.pkl: neither a dict of tensors nor a model", TS_E_FORMAT},
    {"} .", "", "a dict without tensors", TS_E_FORMAT},
    {"} X:net } X:w T:ByteStorage,A,1,0,1,1 s s .", "A:1", "tensors under \"net\" alone", TS_E_FORMAT},
    {"T:ByteStorage,A,1,0,1,1 .", "A:1", "without a name", TS_E_FORMAT},
    {MODULE("my.Strange", "X:n i:1") " .", "", "of the class my.Strange, and no tensors; download", TS_E_FORMAT},
    {"} ( X:n i:1 X:cfg " MODULE("my.Strange", "X:n i:1") " u .", "", "of the class my.Strange, and no", TS_E_FORMAT},
    {"} X:w c:os.system X:ls x:85 R s .", "", "some.pt: data.pkl: offset", TS_E_UNSUPP},
    {"} X:w T:FloatStorage,B,6,0,6,1 s .", "A:24", "storage \"B\" (offset 99 of data.pkl): the zip has no such",
     TS_E_FORMAT},
    {"} X:w T:FloatStorage,A,6,0,6,1 s .", "A:20", "another size than the pickle says", TS_E_FORMAT},
    {"} X:w T:FloatStorage,A,6,0,6,1 s .", "A:28", "another size than the pickle says", TS_E_FORMAT},
    {"} X:w T:FloatStorage,A,4611686018427387904,0,6,1 s .", "A:0", "another size than the pickle says", TS_E_FORMAT},
    {"} ( X:w T:ByteStorage,A,4,0,4,1 X:v T:FloatStorage,A,1,0,1,1 u .", "A:4", "two types lie in it", TS_E_FORMAT},
    {"} ( X:w T:ByteStorage,A,4,0,4,1 X:v T:CharStorage,A,4,0,1,1 u .", "A:4", "two types lie in it", TS_E_FORMAT},
    {"} X:w T:ByteStorage,../data/A,4,0,4,1 s .", "A:4", "no plain name", TS_E_FORMAT},
    {"} X:w T:ByteStorage,/A,4,0,4,1 s .", "A:4", "no plain name", TS_E_FORMAT},
    {"} X:w T:ByteStorage,..,4,0,4,1 s .", "A:4", "no plain name", TS_E_FORMAT},
    {"} ( X:w T:ByteStorage,A,4,0,4,1 X:no S:ByteStorage,B,1 u .", "A:4", "storage \"B\"", TS_E_FORMAT},
    {"} ( X:w T:ByteStorage,A,4,0,4,1 X:module.w T:ByteStorage,A,4,0,1,1 u .", "A:4", "two tensors have the name \"w\"",
     TS_E_FORMAT},
    {"} X: T:ByteStorage,A,4,0,4,1 s .", "A:4", "is empty", TS_E_FORMAT},
    {"} x:5803000000610062 T:ByteStorage,A,4,0,4,1 s .", "A:4", "the name \"a\\x00b\" has a byte", TS_E_FORMAT},
    {"} x:5802000000c328 T:ByteStorage,A,4,0,4,1 s .", "A:4", "no UTF-8", TS_E_FORMAT},
    {"} X:self q:1 } q:2 X:w T:ByteStorage,A,4,0,4,1 s X:me h:2 s s .", "A:4", "contains itself", TS_E_FORMAT},
};

static void assert_refused(ts_status s, ts_status want, const ts_torch *t, const char *what, const char *says) {
    if (s == TS_OK) fail_msg("%s: was accepted", what);
    assert_null(t);
    if (s != want || !strstr(err.msg, says) || strpbrk(err.msg, "\n\r\x1b"))
        fail_msg("%s: %s: \"%s\", not \"%s\"", what, ts_status_name(s), err.msg, says);
}

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        zip_file z = {0};
        ts_torch *t = NULL;
        const ts_status s = open_zip(&t, &z, bad[i].pickle, bad[i].storages);
        assert_refused(s, bad[i].status, t, bad[i].pickle, bad[i].says);
        zip_free(&z);
    }
}

#define PLAIN "} X:w T:ByteStorage,A,4,0,4,1 s ."

/* Members beside the usual ones. */
static void test_members(void **state) {
    (void)state;
    static const struct {
        const char *name, *data, *says;
        ts_status status;
    } more[] = {
        {"m/byteorder", "little", NULL, TS_OK},
        {"m/.data/serialization_id", "123", NULL, TS_OK},
        {"m/../../etc/passwd", "x", NULL, TS_OK}, /* a name that nobody uses */
        {"m/data/", "", NULL, TS_OK},
        {"m/byteorder", "big", "byte order is not", TS_E_UNSUPP},
        {"m/byteorder", "", "byte order is not", TS_E_UNSUPP},
        {"m/constants.pkl", "x", "TorchScript", TS_E_UNSUPP},
        {"n/data.pkl", "x", "two members data.pkl", TS_E_FORMAT},
        {"data.pkl", "x", "two members data.pkl", TS_E_FORMAT},
        {"m/n/data.pkl", "x", "two members data.pkl", TS_E_FORMAT},
        {"m/data/A", "x", "two members have this name", TS_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        zip_file z = {0};
        ts_torch *t = NULL;
        make_zip(&z, PLAIN, "A:4");
        zip_add(&z, more[i].name, more[i].data, strlen(more[i].data));
        zip_finish(&z);
        const ts_status s = ts_torch_open_mem(&t, buf_bytes(&z.file), "some.pt", &err);
        if (more[i].status != TS_OK) assert_refused(s, more[i].status, t, more[i].name, more[i].says);
        else assert_ok(s);
        ts_torch_close(t);
        zip_free(&z);
    }
    static const char *const names[] = {"data.pkl", "m/n/data.pkl", "m/xdata.pkl", "m/data.pkl/"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        zip_file z = {0};
        ts_torch *t = NULL;
        zip_add(&z, names[i], "N.", 2);
        zip_finish(&z);
        const ts_status s = ts_torch_open_mem(&t, buf_bytes(&z.file), "some.pt", &err);
        assert_refused(s, TS_E_FORMAT, t, names[i], "no member <name>/data.pkl");
        zip_free(&z);
    }
}

/* Damage: of the pickle at once, of a storage when it is looked at, once for all arrays in it. */
static void test_crc(void **state) {
    (void)state;
    zip_file z = {0};
    ts_torch *t = NULL;
    make_zip(&z, "} ( X:a T:ByteStorage,A,4,0,2,1 X:b T:ByteStorage,A,4,2,2,1 X:c T:ByteStorage,B,4,0,4,1 u .",
             "A:4,B:4");
    zip_finish(&z);
    assert_ok(ts_torch_open_mem(&t, buf_bytes(&z.file), "some.pt", &err));
    uint8_t *data = (uint8_t *)(uintptr_t)ts_torch_at(t, 0)->data;
    data[3] ^= 0x10;
    assert_ok(ts_torch_check(t, 2, &err));
    assert_status(ts_torch_check(t, 0, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "some.pt: tensor a: byte "));
    assert_non_null(strstr(err.msg, "member \"m/data/A\": its data do not have the CRC"));
    assert_status(ts_torch_check(t, 1, &err), TS_E_FORMAT);
    data[3] ^= 0x10;
    assert_ok(ts_torch_check(t, 1, &err));
    data[3] ^= 0x10;
    assert_ok(ts_torch_check(t, 0, &err)); /* its storage has been checked */
    ts_torch_close(t);
    z.file.data[45] ^= 1;
    const ts_status s = ts_torch_open_mem(&t, buf_bytes(&z.file), "some.pt", &err);
    assert_refused(s, TS_E_FORMAT, t, "crc", "member \"m/data.pkl\": its data do not have the CRC");
    zip_free(&z);
}

static void test_not_torch(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } files[] = {{"", "is empty"},
                 {"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
                 {"<!DOCTYPE html>", "web page"},
                 {"\x1f\x8b\x08", "gzip"},
                 {"GGUF", "neither a zip nor a pickle"},
                 {"PK\3\4", "too few for a zip"},
                 {"\x80\2N.", "no file of torch.save"},
                 {"\x80\2cos\nsystem\n)R.", "calls os.system"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        ts_torch *t = NULL;
        ts_span s = {(const uint8_t *)files[i].text, strlen(files[i].text)};
        const ts_status status = ts_torch_open_mem(&t, s, "some.pt", &err);
        const ts_status want = i == 7 || (i >= 1 && i <= 3) ? TS_E_UNSUPP : TS_E_FORMAT;
        assert_refused(status, want, t, files[i].says, files[i].says);
    }
    ts_torch *t = NULL;
    assert_status(ts_torch_open(&t, "/nowhere/some.pt", &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "/nowhere/some.pt"));
}

/* ---- from before PyTorch 1.6 ------------------------------------------------------------------------------------- */

#define HEAD "x:80028a0a6cfc9c46f9206aa850192e x:80024de9032e x:8002 } X:little~endian x:88 s ."

static void make_legacy(ts_buf *b, const char *notation, const char *data) {
    pickle(b, notation);
    for (const char *p = data; *p; p += *p == ',') { /* "elements:bytes", any bytes */
        int n = 0, bytes = 0, used = 0;
        assert_int_equal(sscanf(p, "%d:%d%n", &n, &bytes, &used), 2);
        put_le(b, (uint64_t)(int64_t)n, 8);
        for (int i = 0; i < bytes; i++) put_le(b, 'a' + (unsigned)i, 1);
        p += used;
    }
}

#define TWO "x:8002 } ( X:w T:FloatStorage,B,2,0,2,1 X:v T:ByteStorage,A,3,1,2,1 X:u T:ByteStorage,A,3,0,1,1 u . "

static void test_legacy(void **state) {
    (void)state;
    static const struct {
        const char *pickle, *data, *says;
        ts_status status;
    } cases[] = {
        {HEAD " " TWO "x:8002 ] ( X:B X:A e .", "2:8,3:3", NULL, TS_OK},
        {HEAD " " TWO "x:8002 ] ( X:A X:B e .", "3:3,2:8", NULL, TS_OK},
        {HEAD " " TWO "x:8002 ] ( X:B X:A e .", "2:8,3:2", "storage 2 of 2 reaches beyond the end", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 ] ( X:B X:A e .", "2:8", "beyond the end", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 ] ( X:B X:A e .", "2:8,4:4", "another size", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 ] ( X:B X:A e .", "2:8,-1:3", "beyond the end", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 ] ( X:B X:A X:C e .", "2:8,3:3,1:1", "a storage that no tensor has", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 ] ( X:B X:B e .", "2:8,2:8", "the same key", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 ] ( X:B e .", "2:8", "storage \"A\"", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 ] ( X:B i:1 e .", "2:8,3:3", "no string", TS_E_FORMAT},
        {HEAD " " TWO "x:8002 } .", "2:8,3:3", "is no list", TS_E_FORMAT},
        {HEAD " " TWO, "", "the pickle of the list of storages at byte", TS_E_FORMAT},
        {HEAD " x:8002 } ( X:w T:ByteStorage,A,3,0,1,1 X:v T:CharStorage,A,3,0,1,1 u . x:8002 ] X:A a .", "3:3",
         "two types of elements", TS_E_FORMAT},
        {HEAD, "", "the pickle of the tensors at byte", TS_E_FORMAT},
        {"x:80028a0a6cfc9c46f9206aa850192e x:80024de8032e", "", "not known", TS_E_UNSUPP},
        {"x:80028a0a6cfc9c46f9206aa850192e x:80024de9032e x:8002 } X:little~endian x:89 s .", "", "big-endian",
         TS_E_UNSUPP},
        {"x:80028a0a6cfc9c46f9206aa850182e", "", "no file of torch.save", TS_E_FORMAT},
        {HEAD " x:8002 } ] ] s . ] .", "", "the pickle of the tensors", TS_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ts_buf b = {0}, shown = {0};
        ts_torch *t = NULL;
        make_legacy(&b, cases[i].pickle, cases[i].data);
        const ts_status s = ts_torch_open_mem(&t, buf_bytes(&b), "old.bin", &err);
        if (cases[i].status != TS_OK) {
            assert_refused(s, cases[i].status, t, cases[i].pickle, cases[i].says);
        } else {
            assert_ok(s);
            show(&shown, t);
            assert_string_equal(shown.data, "w:float32[2]ae v:uint8[2]bc u:uint8[1]aa");
            assert_ok(ts_torch_check(t, 0, &err)); /* there is none */
            for (size_t cut = 0; cut < b.len; cut++) {
                ts_torch *none = NULL;
                assert_true(ts_torch_open_mem(&none, (ts_span){(uint8_t *)b.data, cut}, "old.bin", &err) != TS_OK);
            }
        }
        ts_torch_close(t);
        ts_buf_free(&shown);
        ts_buf_free(&b);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void test_file(void **state) {
    (void)state;
    char path[] = "/tmp/test_torch.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    zip_file z = {0};
    make_zip(&z, PLAIN, "A:4");
    zip_finish(&z);
    assert_ok(ts_file_write(path, z.file.data, z.file.len, &err));
    ts_torch *t = NULL;
    assert_ok(ts_torch_open(&t, path, &err));
    ts_torch_release(t, 0, 0, 4);
    ts_torch_release(t, 0, 0, UINT64_MAX);
    ts_torch_release(t, 0, UINT64_MAX, 1);
    assert_memory_equal(ts_torch_at(t, 0)->data, "ABCD", 4);
    assert_memory_equal(z.file.data + ts_torch_at(t, 0)->offset, "ABCD", 4);
    assert_ok(ts_torch_unchanged(t, &err));
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fputs("PK", f);
    fclose(f);
    truncate(path, 50) == 0 ? (void)0 : fail();
    assert_status(ts_torch_unchanged(t, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, path));
    ts_torch_close(t);
    ts_torch_close(NULL);
    unlink(path);
    zip_free(&z);
}

static bool open_again(void *ud) {
    ts_torch *t = NULL;
    if (ts_torch_open_mem(&t, buf_bytes(ud), "some.pt", &err) != TS_OK) return false;
    ts_torch_close(t);
    return true;
}

static bool open_path(void *ud) {
    ts_torch *t = NULL;
    if (ts_torch_open(&t, ud, &err) != TS_OK) return false;
    ts_torch_close(t);
    return true;
}

static void test_alloc(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        zip_file z = {0};
        make_zip(&z, good[i].pickle, good[i].storages);
        zip_finish(&z);
        alloc_fail_loop(open_again, &z.file, false);
        zip_free(&z);
    }
    ts_buf old = {0};
    make_legacy(&old, HEAD " " TWO "x:8002 ] ( X:B X:A e .", "2:8,3:3");
    alloc_fail_loop(open_again, &old, false);
    char path[] = "/tmp/test_torch.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(ts_file_write(path, old.data, old.len, &err));
    alloc_fail_loop(open_path, path, false);
    unlink(path);
    ts_buf_free(&old);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays), cmocka_unit_test(test_ints),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_members), cmocka_unit_test(test_crc),      cmocka_unit_test(test_not_torch),
        cmocka_unit_test(test_legacy), cmocka_unit_test(test_file),      cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("torch", tests, NULL, NULL);
}
