/* The pickle machine: what opcodes leave, what is refused and where, how much memory and time anything may take. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/torch_file.h"

#include "ckpt/pickle.h"

#include <time.h>

static ts_err err;

static ts_status run(ts_pickle *p, ts_buf *text, const char *notation) {
    pickle(text, notation);
    return ts_pickle_run(p, buf_bytes(text), &err);
}

/* A value in words; `depth` is for objects, which may hold themselves. */
static void show(ts_buf *b, const ts_pval *v, int depth) {
    char name[200];
    static const char *const open = "([{<", *const close = ")]}>";
    const ts_pitem *it = NULL;
    bool ok = true;
    if (depth > 20) {
        assert_true(ts_buf_puts(b, "..."));
        return;
    }
    switch ((ts_pkind)v->kind) {
    case TS_PK_NONE: ok = ts_buf_puts(b, "none"); break;
    case TS_PK_BOOL: ok = ts_buf_puts(b, v->i ? "true" : "false"); break;
    case TS_PK_INT: ok = ts_buf_printf(b, "%lld", (long long)v->i); break;
    case TS_PK_BIG: ok = ts_buf_printf(b, "big%zu", v->text.len); break;
    case TS_PK_FLOAT: ok = ts_buf_printf(b, "%g", v->f); break;
    case TS_PK_STR:
    case TS_PK_BYTES:
        ok = ts_buf_printf(b, "%s\"%.*s\"", v->kind == TS_PK_STR ? "" : "b", (int)v->text.len,
                           (const char *)v->text.data);
        break;
    case TS_PK_GLOBAL: ok = ts_buf_puts(b, ts_pglobal_name(v->global, name, sizeof name)); break;
    case TS_PK_STORAGE: ok = ts_buf_printf(b, "storage%llu", (unsigned long long)v->storage->n); break;
    case TS_PK_TENSOR: ok = ts_buf_printf(b, "%s%llu", v->tensor->dtype->name, (unsigned long long)v->tensor->n); break;
    case TS_PK_OBJECT:
        ok = ts_buf_printf(b, "%s(", ts_pglobal_name(v->object->type, name, sizeof name));
        if (v->object->args) show(b, v->object->args, depth + 1);
        if (v->object->state) show(b, v->object->state, depth + 1);
        it = v->object->first;
        break;
    case TS_PK_TUPLE:
        ok = ts_buf_putc(b, '(');
        for (uint64_t i = 0; i < v->n; i++) {
            if (i) assert_true(ts_buf_putc(b, ','));
            show(b, v->item[i], depth + 1);
        }
        break;
    case TS_PK_LIST:
    case TS_PK_DICT:
    case TS_PK_SET:
        ok = ts_buf_putc(b, open[v->kind - TS_PK_TUPLE]);
        it = v->first;
        break;
    }
    assert_true(ok);
    for (const ts_pitem *i = it; i; i = i->next) {
        if (i != it) assert_true(ts_buf_putc(b, ','));
        if (i->key) {
            show(b, i->key, depth + 1);
            assert_true(ts_buf_putc(b, ':'));
        }
        show(b, i->value, depth + 1);
    }
    if (v->kind >= TS_PK_TUPLE && v->kind <= TS_PK_SET) assert_true(ts_buf_putc(b, close[v->kind - TS_PK_TUPLE]));
    if (v->kind == TS_PK_OBJECT) assert_true(ts_buf_putc(b, ')'));
}

static const struct {
    const char *text, *leaves;
} good[] = {
    {"x:8002 N .", "none"},
    {"x:8005 x:950100000000000000 x:88 .", "true"}, /* with a frame around */
    {"( x:4b07 x:4d0102 x:4affffffff x:89 t .", "(7,513,-1,false)"},
    {"( x:8a00 x:8a01ff x:8a0200ff x:8b020000000001 t .", "(0,-1,-256,256)"},
    {"( x:8a09000000000000008000 x:8a09ffffffffffffff7fff x:8a080000000000000080 x:8a09ffffffffffffffff00 t .",
     "(big9,big9,-9223372036854775808,big9)"},
    {"x:47c004000000000000 .", "-2.5"},
    {"( X:text x:8c0161 x:8d0100000000000000 x:62 x:430163 x:420100000064 x:8e010000000000000065 t .",
     "(\"text\",\"a\",\"b\",b\"c\",b\"d\",b\"e\")"},
    {") .", "()"},
    {"i:1 x:85 i:2 i:3 x:86 i:4 i:5 i:6 x:87 x:87 .", "((1),(2,3),(4,5,6))"},
    {"] ( i:1 i:2 e i:3 a .", "[1,2,3]"},
    {"} X:a i:1 s ( X:b i:2 i:5 i:3 u .", "{\"a\":1,\"b\":2,5:3}"},
    {"x:8f ( i:1 i:2 x:90 .", "<1,2>"},
    {"( i:1 i:2 x:91 .", "<1,2>"},
    {"i:1 i:2 0 .", "1"},
    {"i:1 ( i:2 i:3 1 .", "1"},
    {"i:1 ( 0 .", "1"},
    {"i:1 2 x:86 .", "(1,1)"},
    {"] q:3 ( h:3 h:3 t .", "([],[])"},
    {"X:a x:94 0 X:b x:94 0 h:0 h:1 x:86 .", "(\"a\",\"b\")"},
    {"X:a x:72ff000000 0 x:6aff000000 .", "\"a\""},
    {"c:os.system .", "os.system"},
    {"X:os X:system x:93 .", "os.system"},
    {"c:my.Class ) x:81 .", "my.Class(())"},
    {"c:my.Class i:1 x:85 } x:92 .", "my.Class((1))"},
    {"c:my.Class ) x:81 } X:n i:3 s b .", "my.Class((){\"n\":3})"},
    {"c:my.Class ) x:81 } N x:86 b .", "my.Class(()({},none))"},
    {"c:my.Class ) x:81 i:9 b .", "my.Class(()9)"},
    {"c:my.List ) x:81 i:9 a ( i:8 e .", "my.List(()9,8)"},
    {"c:my.Dict ) x:81 X:k i:9 s .", "my.Dict(()\"k\":9)"},
    {"c:collections.OrderedDict ) R .", "{}"},
    {"c:collections.OrderedDict ] ] X:a a i:1 a a X:b i:2 x:86 a x:85 R .", "{\"a\":1,\"b\":2}"},
    {"c:collections.OrderedDict ) R X:a i:1 s } X:~metadata } s b .", "{\"a\":1}"},
    {"c:__builtin__.set ] i:1 a x:85 R .", "<1>"},
    {"c:builtins.set ) R .", "<>"},
    {"c:torch.Size i:1 i:2 x:86 x:85 R .", "(1,2)"},
    {"c:torch.device X:cpu x:85 R .", "torch.device((\"cpu\"))"},
    {"c:torch.bfloat16 .", "torch.bfloat16"},
    {"S:HalfStorage,0,6 .", "storage6"},
    {"T:FloatStorage,0,6,0,2.3,3.1 .", "float326"},
    {"T:FloatStorage,0,6,5,-,- .", "float321"},     /* a scalar */
    {"T:FloatStorage,0,6,6,0.7,9.9 .", "float320"}, /* nothing, behind the last */
    {"T:FloatStorage,0,6,0,3.2,1.3 .", "float326"},
    {"T:FloatStorage,0,6,0,1.6,1000000.1 .", "float326"}, /* the stride of one row does not matter */
    {"T:FloatStorage,0,6,0,1024.6,0.1 .", "float326144"},
    {"T:ComplexFloatStorage,0,6,0,6,1 .", "complex646"},
    {"c:torch._utils._rebuild_parameter T:BFloat16Storage,0,6,0,6,1 x:88 c:collections.OrderedDict ) R x:87 R .",
     "bfloat166"},
    {"c:torch._utils._rebuild_parameter_with_state ( T:ByteStorage,0,6,0,6,1 x:88 } } t R .", "uint86"},
    {"c:torch._utils._rebuild_tensor_v3 ( ( X:storage c:torch.storage.UntypedStorage X:0 X:cpu i:12 t Q i:1 i:5 x:85 "
     "i:1 x:85 x:89 } c:torch.uint16 } t R .", "uint165"},
    {"c:torch._utils._rebuild_tensor ( S:LongStorage,0,6 i:0 i:6 x:85 i:1 x:85 t R .", "int646"},
    /* an object may hold itself */
    {"c:my.Class ) x:81 q:1 } X:me h:1 s b .", "my.Class((){\"me\":my.Class((){\"me\":my.Class(()..."},
};

static void test_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ts_buf text = {0}, shown = {0};
        ts_pickle p;
        if (run(&p, &text, good[i].text) != TS_OK) fail_msg("%s: %s", good[i].text, err.msg);
        assert_int_equal(p.used, text.len);
        show(&shown, p.root, 0);
        const size_t n = strlen(good[i].leaves);
        const bool cut = n > 3 && strcmp(good[i].leaves + n - 3, "...") == 0;
        if (cut ? strncmp(shown.data, good[i].leaves, n - 3) != 0 : strcmp(shown.data, good[i].leaves) != 0)
            fail_msg("%s: %s, not %s", good[i].text, shown.data, good[i].leaves);
        ts_pickle_free(&p);
        ts_buf_free(&text);
        ts_buf_free(&shown);
    }
}

static const struct {
    const char *text, *says;
    ts_status status;
} bad[] = {
    {"", "without STOP", TS_E_FORMAT},
    {"x:8002 }", "offset 3: the pickle ends without STOP", TS_E_FORMAT},
    {".", "fewer values", TS_E_FORMAT},
    {"i:1 ( .", "fewer values", TS_E_FORMAT},
    {"x:8006 N .", "version 6", TS_E_UNSUPP},
    {"x:80", "beyond the end", TS_E_FORMAT},
    {"x:4d01", "beyond the end", TS_E_FORMAT},
    {"x:58ffffffff X:a .", "beyond the end", TS_E_FORMAT},
    {"x:8dffffffffffffff7f X:a .", "beyond the end", TS_E_FORMAT},
    {"x:8e0000000000000080 X:a .", "beyond the end", TS_E_FORMAT},
    {"x:8effffffffffffffff X:a .", "beyond the end", TS_E_FORMAT},
    {"x:8bffffffff .", "beyond the end", TS_E_FORMAT},
    {"x:8bffffff7f .", "beyond the end", TS_E_FORMAT},
    {"x:47", "beyond the end", TS_E_FORMAT},
    {"x:95ffffffffffffffff N .", "frame", TS_E_FORMAT},
    {"R .", "offset 0: the stack has fewer values", TS_E_FORMAT},
    {"i:1 x:86 .", "fewer values", TS_E_FORMAT},
    {"i:1 ( i:2 x:86 .", "fewer values", TS_E_FORMAT}, /* not through the mark */
    {"0 .", "fewer values", TS_E_FORMAT},
    {"2 .", "fewer values", TS_E_FORMAT},
    {"( 2 .", "fewer values", TS_E_FORMAT},
    {"t .", "no mark", TS_E_FORMAT},
    {"] e .", "no mark", TS_E_FORMAT},
    {"u .", "no mark", TS_E_FORMAT},
    {"1 .", "no mark", TS_E_FORMAT},
    {"( i:1 e .", "no container", TS_E_FORMAT},
    {"] ( ( i:1 e .", "no container", TS_E_FORMAT},
    {"} i:1 a .", "no list", TS_E_FORMAT},
    {"] i:1 i:1 s .", "no dict", TS_E_FORMAT},
    {"] ( i:1 x:90 .", "no set", TS_E_FORMAT},
    {"} ( i:1 u .", "has no value", TS_E_FORMAT},
    {"} ] i:1 s .", "key of a dict", TS_E_FORMAT},
    {"} } i:1 s .", "key of a dict", TS_E_FORMAT},
    {"h:5 .", "memo entry 5", TS_E_FORMAT},
    {"x:6affffffff .", "memo entry 4294967295", TS_E_FORMAT},
    {"] x:72ffffff7f .", "offset 1: memo index 2147483647", TS_E_LIMIT},
    {"q:1 .", "fewer values", TS_E_FORMAT},
    {"x:94 .", "fewer values", TS_E_FORMAT},
    {"( X:ls x:696f730a73797374656d0a .", "INST", TS_E_UNSUPP},
    {"( c:os.system X:ls o .", "OBJ", TS_E_UNSUPP},
    {"x:8201 .", "EXT1", TS_E_UNSUPP},
    {"x:83 .", "EXT2", TS_E_UNSUPP},
    {"x:84 .", "EXT4", TS_E_UNSUPP},
    {"P .", "PERSID", TS_E_UNSUPP},
    {"x:49310a .", "opcode INT,", TS_E_UNSUPP},
    {"L .", "opcode LONG,", TS_E_UNSUPP},
    {"F .", "opcode FLOAT,", TS_E_UNSUPP},
    {"x:53 .", "opcode STRING,", TS_E_UNSUPP},
    {"V .", "UNICODE", TS_E_UNSUPP},
    {"x:96 .", "BYTEARRAY8", TS_E_UNSUPP},
    {"x:97 .", "NEXT_BUFFER", TS_E_UNSUPP},
    {"x:ff .", "0xff is no opcode", TS_E_FORMAT},
    {"x:636f73 .", "has no end", TS_E_FORMAT},
    {"i:1 X:a x:93 .", "is no string", TS_E_FORMAT},
    {"c:os.system X:ls x:85 R .", "calls os.system", TS_E_UNSUPP},
    {"c:builtins.eval X:1 x:85 R .", "calls builtins.eval", TS_E_UNSUPP},
    {"X:posix X:system x:93 X:ls x:85 R .", "calls posix.system", TS_E_UNSUPP},
    {"X:os\nx X:system x:93 X:ls x:85 R .", "calls os\\nx.system", TS_E_UNSUPP},
    {"c:torch.load ) R .", "calls torch.load", TS_E_UNSUPP},
    {"c:torch.storage._load~from~bytes ) R .", "calls torch.storage._load", TS_E_UNSUPP},
    {"c:functools.partial c:os.system x:85 R .", "calls functools.partial", TS_E_UNSUPP},
    {"c:collections.OrderedDict.fromkeys ) R .", "calls collections.OrderedDict.fromkeys", TS_E_UNSUPP},
    {"c:my.Class ) R .", "calls my.Class", TS_E_UNSUPP},
    {"c:torch.bfloat16 ) R .", "calls torch.bfloat16", TS_E_UNSUPP},
    {"c:torch.FloatStorage ) R .", "calls torch.FloatStorage", TS_E_UNSUPP},
    {"i:1 ) R .", "no function", TS_E_FORMAT},
    {"c:collections.OrderedDict ] R .", "no function, or with no tuple", TS_E_FORMAT},
    {"c:collections.OrderedDict i:1 x:85 R .", "list of pairs", TS_E_FORMAT},
    {"c:collections.OrderedDict ] i:1 x:85 a x:85 R .", "list of pairs", TS_E_FORMAT},
    {"c:collections.OrderedDict ] X:ab a x:85 R .", "list of pairs", TS_E_FORMAT},
    {"c:builtins.set X:ab x:85 R .", "a list", TS_E_FORMAT},
    {"c:torch.Size ] x:85 R .", "torch.Size", TS_E_FORMAT},
    {"c:torch._utils._rebuild_parameter i:1 i:2 i:3 x:87 R .", "no tensor", TS_E_FORMAT},
    {"i:1 ) x:81 .", "no class", TS_E_FORMAT},
    {"c:my.Class ] x:81 .", "no class, or with no tuple", TS_E_FORMAT},
    {"c:my.Class ) i:1 x:92 .", "no class", TS_E_FORMAT},
    {"} } b .", "no object", TS_E_FORMAT},
    {"c:my.Class } b .", "no object", TS_E_FORMAT}, /* attributes of a class */
    {"T:FloatStorage,0,6,0,6,1 } b .", "no object", TS_E_FORMAT},
    {"c:my.Class ) x:81 } b } b .", "state twice", TS_E_FORMAT},
    {"X:storage Q .", "names no storage", TS_E_UNSUPP},
    {"( X:module i:1 i:1 i:1 i:1 t Q .", "names no storage", TS_E_UNSUPP},
    {"( X:storage c:os.system X:0 X:cpu i:1 t Q .", "os.system is no class of storages", TS_E_UNSUPP},
    {"( X:storage X:x X:0 X:cpu i:1 t Q .", "no class of storages", TS_E_UNSUPP},
    {"( X:storage c:torch.FloatStorage i:0 X:cpu i:1 t Q .", "malformed", TS_E_FORMAT},
    {"S:FloatStorage,0,-1 .", "malformed", TS_E_FORMAT},
    {"( X:storage c:torch.FloatStorage X:0 X:cpu i:1 i:1 t Q .", "malformed", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,7,1 .", "beyond its storage of 6", TS_E_FORMAT},
    {"T:FloatStorage,0,6,1,6,1 .", "beyond its storage", TS_E_FORMAT},
    {"T:FloatStorage,0,6,6,1,1 .", "beyond its storage", TS_E_FORMAT},
    {"T:FloatStorage,0,6,7,0,1 .", "beyond its storage", TS_E_FORMAT},
    {"T:FloatStorage,0,0,0,-,- .", "beyond its storage of 0", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,2.3,4.1 .", "beyond its storage", TS_E_FORMAT},
    {"T:FloatStorage,0,6,9223372036854775807,2,9223372036854775807 .", "beyond its storage", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,4611686018427387904.8,0.0 .", "beyond 64 bits", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,4611686018427387904.8.0,0.0.0 .", "beyond 64 bits", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,3.3,4611686018427387904.1 .", "beyond its storage", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,5.5,4611686018427387904.1 .", "beyond 64 bits", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,4611686018427387904,0 .", "stride of 0", TS_E_LIMIT},
    {"T:FloatStorage,0,6,0,1025.6,0.1 .", "stride of 0", TS_E_LIMIT},
    {"T:FloatStorage,0,6,0,3.3,1.1 .", "twice", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,2.3,1 .", "of one length", TS_E_FORMAT},
    {"T:FloatStorage,0,6,0,1.1.1.1.1.1.1.1.1,1.1.1.1.1.1.1.1.1 .", "9 dimensions", TS_E_UNSUPP},
    {"T:UntypedStorage,0,6,0,6,1 .", "or of none", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor ( S:FloatStorage,0,6 i:-1 i:6 x:85 i:1 x:85 t R .", "negative", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor ( S:FloatStorage,0,6 i:0 i:-6 x:85 i:1 x:85 t R .", "negative", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor ( S:FloatStorage,0,6 i:0 i:2 x:85 i:-1 x:85 t R .", "negative", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor ( S:FloatStorage,0,6 i:0 i:6 i:1 t R .", "two tuples", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor ( S:FloatStorage,0,6 i:0 i:6 x:85 t R .", "too few", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor ) R .", "too few", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor ( i:0 i:0 i:6 x:85 i:1 x:85 t R .", "no storage", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor_v3 ( S:FloatStorage,0,12 i:1 i:5 x:85 i:1 x:85 x:89 } c:torch.uint16 t R .",
     "another type", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor_v3 ( S:UntypedStorage,0,12 i:1 i:6 x:85 i:1 x:85 x:89 } c:torch.uint16 t R .",
     "beyond its storage of 6", TS_E_FORMAT},
    {"c:torch._utils._rebuild_tensor_v3 ( S:UntypedStorage,0,12 i:1 i:6 x:85 i:1 x:85 x:89 } c:os.system t R .",
     "os.system is no type", TS_E_UNSUPP},
    {"c:torch._utils._rebuild_qtensor ) R .", "calls torch._utils._rebuild_qtensor", TS_E_UNSUPP},
    {"} q:0 X:me h:0 s .", "contains itself", TS_E_FORMAT},
    {"] q:0 h:0 a .", "contains itself", TS_E_FORMAT},
    {"] q:0 } X:a h:0 x:85 s a .", "contains itself", TS_E_FORMAT},
    {"c:my.Class ) x:81 ] q:0 h:0 a b .", "contains itself", TS_E_FORMAT}, /* below an object, not through one */
    {"} X:a i:1 s X:a i:1 s .", "the key \"a\" twice", TS_E_FORMAT},
    {"] } ( i:1 i:1 X:a i:1 i:1 i:1 u a .", "twice", TS_E_FORMAT},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ts_buf text = {0};
        ts_pickle p = {.used = 9};
        const ts_status s = run(&p, &text, bad[i].text);
        if (s == TS_OK) fail_msg("%s: was accepted", bad[i].text);
        if (s != bad[i].status || !strstr(err.msg, bad[i].says))
            fail_msg("%s: %s: \"%s\", not \"%s\"", bad[i].text, ts_status_name(s), err.msg, bad[i].says);
        assert_true(!p.root && !p.arena.head);
        ts_buf_free(&text);
    }
}

static void repeat(ts_buf *b, const char *s, size_t len, size_t times) {
    while (times--) pk_bytes(b, s, len);
}

/* Large and nasty: an answer at once, in memory that the text pays for. */
static void test_bounds(void **state) {
    (void)state;
    static const char *const names[] = {"deep", "deep objects", "laughs", "copies", "many", "marks", "lists", "keys"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        ts_buf b = {0};
        ts_status want = TS_E_LIMIT;
        if (k == 0) { /* half a million lists in one another */
            repeat(&b, "]", 1, 500000);
            repeat(&b, "a", 1, 499999);
        } else if (k == 1) { /* objects, whose states hold each other */
            repeat(&b, "cm\nC\n)\x81", 7, 300000);
            repeat(&b, "b", 1, 299999);
        } else if (k == 2) { /* ten references at each level */
            pk_bytes(&b, "]q\0", 3);
            for (int level = 1; level < 200; level++) {
                const char get[] = {'h', (char)(level - 1)}, put[] = {'e', 'q', (char)level};
                pk_bytes(&b, "](", 2);
                repeat(&b, get, 2, 10);
                pk_bytes(&b, put, 3);
            }
            want = TS_OK;
        } else if (k == 3) { /* one long list, made a set over and over */
            pk_bytes(&b, "cbuiltins\nset\nq\0](", 18);
            repeat(&b, "N", 1, 100000);
            pk_bytes(&b, "e\x85q\1", 4);
            repeat(&b, "h\0h\1R", 5, 100000);
        } else if (k == 4) { /* a long tuple */
            pk_bytes(&b, "(", 1);
            repeat(&b, "N", 1, 3000000);
            pk_bytes(&b, "t", 1);
            want = TS_OK;
        } else if (k == 5) { /* marks alone */
            repeat(&b, "(", 1, 3000000);
        } else if (k == 6) { /* one list in many objects: it is walked once */
            pk_bytes(&b, "](", 2);
            repeat(&b, "N", 1, 300000);
            pk_bytes(&b, "eq\0(", 4);
            repeat(&b, "h\0", 2, 300000);
            pk_bytes(&b, "t", 1);
            want = TS_OK;
        } else { /* two long keys that differ at their ends, to be compared over and over */
            char *key = ts_alloc(1 << 20, 1);
            memset(key, 'k', 1 << 20);
            pk_str(&b, key, 1 << 20);
            pk_bytes(&b, "q\0" "0", 3);
            key[(1 << 20) - 1] = 'l';
            pk_str(&b, key, 1 << 20);
            pk_bytes(&b, "q\1" "0](", 5);
            repeat(&b, "}(h\0Nh\1Nu", 9, 100000);
            pk_bytes(&b, "e", 1);
            ts_free(key);
        }
        pk_bytes(&b, ".", 1);
        ts_pickle p;
        const clock_t begin = clock();
        const ts_status s = ts_pickle_run(&p, buf_bytes(&b), &err);
        const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (s != want) fail_msg("%s: %s: %s", names[k], ts_status_name(s), s == TS_OK ? "" : err.msg);
        if (k == 3) assert_non_null(strstr(err.msg, "over and over"));
        if (seconds > 10) fail_msg("%s: %g seconds", names[k], seconds);
        if (s == TS_OK) {
            assert_true(p.arena.total < 65536 + 100 * b.len);
            ts_pickle_free(&p);
        }
        ts_buf_free(&b);
    }
}

/* Cut anywhere, and with any byte changed: an answer, never a read outside. */
static void test_damage(void **state) {
    (void)state;
    ts_buf text = {0};
    ts_pickle p;
    assert_ok(run(&p, &text, "x:8004 } ( X:a T:FloatStorage,0,6,0,2.3,3.1 X:b c:my.Class ) x:81 } X:n i:3 s b q:1 X:c "
                             "c:collections.OrderedDict ] ] X:a a h:1 a a x:85 R X:d x:8f ( i:1 x:90 u ."));
    ts_pickle_free(&p);
    for (size_t cut = 0; cut < text.len; cut++) {
        char *exact = ts_alloc(cut, 1);
        if (cut) memcpy(exact, text.data, cut);
        assert_true(ts_pickle_run(&p, (ts_span){(uint8_t *)exact, cut}, &err) != TS_OK);
        ts_free(exact);
    }
    for (size_t i = 0; i < text.len; i++)
        for (unsigned v = 0; v < 256; v++) {
            const char was = text.data[i];
            text.data[i] = (char)v;
            if (ts_pickle_run(&p, buf_bytes(&text), &err) == TS_OK) ts_pickle_free(&p);
            else assert_true(!strpbrk(err.msg, "\n\r\x1b"));
            text.data[i] = was;
        }
    ts_buf_free(&text);
}

static bool run_again(void *ud) {
    ts_pickle p;
    if (ts_pickle_run(&p, buf_bytes(ud), &err) != TS_OK) return false;
    ts_pickle_free(&p);
    return true;
}

static void test_alloc(void **state) {
    (void)state;
    ts_buf text = {0};
    pickle(&text, "] ( ");
    repeat(&text, "(])}(NNu", 8, 900); /* several blocks of the arena */
    repeat(&text, "t", 1, 900);
    pickle(&text, "T:FloatStorage,0,6,0,2.3,3.1 c:my.Class ) x:81 q:200 x:72ff0f0000 e .");
    alloc_fail_loop(run_again, &text, false);
    ts_buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("pickle", tests, NULL, NULL);
}
