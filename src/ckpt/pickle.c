/* pickle.c - the machine: opcodes, stack, memo. What calls do stands in pickle_rebuild.c. */
#include "ckpt/pickle_int.h"

#include <stdarg.h>
#include <stdio.h>

/* Opcodes by their names in the pickle protocols 2 to 5. */
enum {
    OP_MARK = '(', OP_STOP = '.', OP_POP = '0', OP_POP_MARK = '1', OP_DUP = '2', OP_BINFLOAT = 'G', OP_BININT = 'J',
    OP_BININT1 = 'K', OP_BININT2 = 'M', OP_NONE = 'N', OP_BINPERSID = 'Q', OP_REDUCE = 'R', OP_BINUNICODE = 'X',
    OP_BINBYTES = 'B', OP_SHORT_BINBYTES = 'C', OP_EMPTY_LIST = ']', OP_APPEND = 'a', OP_BUILD = 'b', OP_GLOBAL = 'c',
    OP_APPENDS = 'e', OP_BINGET = 'h', OP_LONG_BINGET = 'j', OP_BINPUT = 'q', OP_LONG_BINPUT = 'r', OP_SETITEM = 's',
    OP_TUPLE = 't', OP_EMPTY_TUPLE = ')', OP_SETITEMS = 'u', OP_EMPTY_DICT = '}', OP_PROTO = 0x80, OP_NEWOBJ = 0x81,
    OP_TUPLE1 = 0x85, OP_TUPLE2 = 0x86, OP_TUPLE3 = 0x87, OP_NEWTRUE = 0x88, OP_NEWFALSE = 0x89, OP_LONG1 = 0x8A,
    OP_LONG4 = 0x8B, OP_SHORT_BINUNICODE = 0x8C, OP_BINUNICODE8 = 0x8D, OP_BINBYTES8 = 0x8E, OP_EMPTY_SET = 0x8F,
    OP_ADDITEMS = 0x90, OP_FROZENSET = 0x91, OP_NEWOBJ_EX = 0x92, OP_STACK_GLOBAL = 0x93, OP_MEMOIZE = 0x94,
    OP_FRAME = 0x95,
};

/* Those that are refused, for the message. */
static const struct {
    uint8_t op;
    const char *name;
} refused[] = {
    {'i', "INST"},      {'o', "OBJ"},        {0x82, "EXT1"},      {0x83, "EXT2"},         {0x84, "EXT4"},
    {'P', "PERSID"},    {'I', "INT"},        {'L', "LONG"},       {'F', "FLOAT"},         {'S', "STRING"},
    {'V', "UNICODE"},   {'T', "BINSTRING"},  {'U', "SHORT_BINSTRING"}, {'d', "DICT"},     {'l', "LIST"},
    {'p', "PUT"},       {'g', "GET"},        {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};

/* ---- values ------------------------------------------------------------------------------------------------------ */

ts_status ts_pvm_fail(const ts_pvm *vm, ts_status code, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return ts_fail(vm->err, code, "offset %zu: %s", vm->at, text);
}

ts_status ts_pvm_nomem(const ts_pvm *vm) {
    return ts_fail_nomem(vm->err, "the values of a pickle", vm->p->arena.total);
}

ts_status ts_pvm_alloc(ts_pvm *vm, size_t n, size_t size, void **out) {
    if (vm->p->arena.total > TS_PVM_BYTES)
        return ts_pvm_fail(vm, TS_E_LIMIT, "the pickle builds more than %d MiB of values", TS_PVM_BYTES >> 20);
    *out = ts_arena_calloc(&vm->p->arena, n, size);
    return *out ? TS_OK : ts_pvm_nomem(vm);
}

ts_status ts_pvm_new(ts_pvm *vm, ts_pkind kind, ts_pval **out) {
    void *v = NULL;
    TS_TRY(ts_pvm_alloc(vm, 1, sizeof **out, &v));
    *out = v;
    (*out)->kind = (uint8_t)kind;
    if (kind == TS_PK_LIST || kind == TS_PK_SET || kind == TS_PK_DICT) (*out)->last = &(*out)->first;
    return TS_OK;
}

/* Append where `last` points, and move it on. */
static ts_status append(ts_pvm *vm, ts_pitem ***last, ts_pval *key, ts_pval *value) {
    void *made = NULL;
    TS_TRY(ts_pvm_alloc(vm, 1, sizeof(ts_pitem), &made));
    ts_pitem *it = made;
    *it = (ts_pitem){.key = key, .value = value};
    **last = it;
    *last = &it->next;
    return TS_OK;
}

ts_status ts_pvm_add(ts_pvm *vm, ts_pval *to, ts_pval *key, ts_pval *value) {
    if (key && !ts_pval_is_key(key))
        return ts_pvm_fail(vm, TS_E_FORMAT, "a list, set or dict is the key of a dict, which it cannot be");
    TS_TRY(append(vm, to->kind == TS_PK_OBJECT ? &to->object->last : &to->last, key, value));
    to->n++;
    return TS_OK;
}

/* ---- stack and memo ---------------------------------------------------------------------------------------------- */

/* Below this nothing is to be had but by taking the mark away. */
static size_t fence(const ts_pvm *vm) {
    return vm->n_mark ? vm->mark[vm->n_mark - 1] : 0;
}

static ts_status need(const ts_pvm *vm, size_t n) {
    if (vm->n - fence(vm) >= n) return TS_OK;
    return ts_pvm_fail(vm, TS_E_FORMAT, "the stack has fewer values than the opcode takes: the pickle is damaged");
}

static ts_status push(ts_pvm *vm, ts_pval *v) {
    void *stack = vm->stack;
    if (vm->n == TS_PVM_STACK)
        return ts_pvm_fail(vm, TS_E_LIMIT, "the pickle has %d values on its stack at once", TS_PVM_STACK);
    if (!ts_grow(&stack, &vm->cap, vm->n + 1, sizeof *vm->stack)) return ts_pvm_nomem(vm);
    vm->stack = stack;
    vm->stack[vm->n++] = v;
    return TS_OK;
}

/* Take the last mark away; *first: where its values begin. */
static ts_status pop_mark(ts_pvm *vm, size_t *first) {
    if (!vm->n_mark) return ts_pvm_fail(vm, TS_E_FORMAT, "there is no mark for the opcode: the pickle is damaged");
    *first = vm->mark[--vm->n_mark];
    return TS_OK;
}

static ts_status push_mark(ts_pvm *vm) {
    void *mark = vm->mark;
    if (vm->n_mark == TS_PVM_MARKS)
        return ts_pvm_fail(vm, TS_E_LIMIT, "the pickle has %d marks on its stack at once", TS_PVM_MARKS);
    if (!ts_grow(&mark, &vm->cap_mark, vm->n_mark + 1, sizeof *vm->mark)) return ts_pvm_nomem(vm);
    vm->mark = mark;
    vm->mark[vm->n_mark++] = vm->n;
    return TS_OK;
}

/* Python numbers what it puts, so an index beyond the bytes that are read is nobody's; 64 Ki are allowed to any. */
static ts_status put(ts_pvm *vm, size_t index) {
    TS_TRY(need(vm, 1));
    if (index >= vm->in.pos + 65536)
        return ts_pvm_fail(vm, TS_E_LIMIT, "memo index %zu, where so many cannot have been put", index);
    if (index >= vm->cap_memo) {
        const size_t had = vm->cap_memo;
        void *memo = vm->memo;
        if (!ts_grow(&memo, &vm->cap_memo, index + 1, sizeof *vm->memo)) return ts_pvm_nomem(vm);
        vm->memo = memo;
        memset(vm->memo + had, 0, (vm->cap_memo - had) * sizeof *vm->memo);
    }
    vm->n_memo += !vm->memo[index];
    vm->memo[index] = vm->stack[vm->n - 1];
    return TS_OK;
}

static ts_status get(ts_pvm *vm, size_t index) {
    if (index >= vm->cap_memo || !vm->memo[index])
        return ts_pvm_fail(vm, TS_E_FORMAT, "memo entry %zu is used and was never put: the pickle is damaged", index);
    return push(vm, vm->memo[index]);
}

/* ---- what opcodes push ------------------------------------------------------------------------------------------- */

static ts_status push_int(ts_pvm *vm, int64_t i) {
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_new(vm, TS_PK_INT, &v));
    v->i = i;
    return push(vm, v);
}

/* Two's complement, little-endian, of any length. */
static ts_status push_long(ts_pvm *vm, ts_span s) {
    const uint8_t sign = s.len && s.data[s.len - 1] & 0x80 ? 0xFF : 0;
    size_t len = s.len;
    while (len > 8 && s.data[len - 1] == sign) len--;
    if (len > 8 || (len == 8 && (s.data[7] & 0x80) != (sign & 0x80))) {
        ts_pval *v = NULL;
        TS_TRY(ts_pvm_new(vm, TS_PK_BIG, &v));
        v->text = s;
        return push(vm, v);
    }
    uint8_t bytes[8];
    memset(bytes, sign, sizeof bytes);
    if (len) memcpy(bytes, s.data, len);
    int64_t i;
    memcpy(&i, bytes, sizeof i);
    return push_int(vm, i);
}

static ts_status push_text(ts_pvm *vm, ts_pkind kind, uint64_t len) {
    ts_pval *v = NULL;
    const ts_span s = ts_read_bytes(&vm->in, len);
    if (vm->in.fail) return TS_OK; /* the loop says so */
    TS_TRY(ts_pvm_new(vm, kind, &v));
    v->text = s;
    return push(vm, v);
}

static ts_status push_float(ts_pvm *vm) {
    ts_pval *v = NULL;
    const ts_span s = ts_read_bytes(&vm->in, 8);
    if (!s.data) return TS_OK;
    TS_TRY(ts_pvm_new(vm, TS_PK_FLOAT, &v));
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) bits = bits << 8 | s.data[i]; /* the one big-endian thing */
    memcpy(&v->f, &bits, sizeof v->f);
    return push(vm, v);
}

static ts_status push_empty(ts_pvm *vm, ts_pkind kind) {
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_new(vm, kind, &v));
    return push(vm, v);
}

/* The values from `first` on as one tuple or set. */
static ts_status gather(ts_pvm *vm, ts_pkind kind, size_t first) {
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_new(vm, kind, &v));
    if (kind == TS_PK_TUPLE && vm->n > first) {
        void *item = NULL;
        TS_TRY(ts_pvm_alloc(vm, vm->n - first, sizeof *v->item, &item));
        v->item = item;
        v->n = vm->n - first;
        memcpy(v->item, vm->stack + first, (size_t)v->n * sizeof *v->item);
    } else if (kind == TS_PK_SET) {
        for (size_t i = first; i < vm->n; i++) TS_TRY(ts_pvm_add(vm, v, NULL, vm->stack[i]));
    }
    vm->n = first;
    return push(vm, v);
}

static ts_status tuple_of(ts_pvm *vm, size_t n) {
    TS_TRY(need(vm, n));
    return gather(vm, TS_PK_TUPLE, vm->n - n);
}

/* A line of text, without its end. */
static ts_status read_line(ts_pvm *vm, ts_span *out) {
    const uint8_t *p = vm->in.in.data + vm->in.pos, *end = memchr(p, '\n', vm->in.in.len - vm->in.pos);
    if (!end) return ts_pvm_fail(vm, TS_E_FORMAT, "the name of a class or function has no end: the pickle is damaged");
    *out = ts_read_bytes(&vm->in, (uint64_t)(end - p));
    ts_read_bytes(&vm->in, 1);
    return TS_OK;
}

static ts_status op_global(ts_pvm *vm) {
    ts_span module, name;
    ts_pval *v = NULL;
    TS_TRY(read_line(vm, &module));
    TS_TRY(read_line(vm, &name));
    TS_TRY(ts_pvm_global(vm, module, name, &v));
    return push(vm, v);
}

static ts_status op_stack_global(ts_pvm *vm) {
    TS_TRY(need(vm, 2));
    const ts_pval *module = vm->stack[vm->n - 2], *name = vm->stack[vm->n - 1];
    if (module->kind != TS_PK_STR || name->kind != TS_PK_STR)
        return ts_pvm_fail(vm, TS_E_FORMAT, "the name of a class or function is no string");
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_global(vm, module->text, name->text, &v));
    vm->n -= 2;
    return push(vm, v);
}

/* ---- what opcodes do with what is there -------------------------------------------------------------------------- */

/* Values from `first` on go into the container below them: singly into a list or set, in pairs into a dict. */
static ts_status fill(ts_pvm *vm, size_t first, ts_pkind kind) {
    if (first == fence(vm))
        return ts_pvm_fail(vm, TS_E_FORMAT, "there is no container below the values: the pickle is damaged");
    ts_pval *to = vm->stack[first - 1];
    if (to->kind != kind && (to->kind != TS_PK_OBJECT || kind == TS_PK_SET))
        return ts_pvm_fail(vm, TS_E_FORMAT, "values are put into what is no %s",
                           kind == TS_PK_LIST ? "list" : kind == TS_PK_SET ? "set" : "dict");
    const size_t step = kind == TS_PK_DICT ? 2 : 1;
    if ((vm->n - first) % step) return ts_pvm_fail(vm, TS_E_FORMAT, "a key of a dict has no value");
    for (size_t i = first; i < vm->n; i += step)
        TS_TRY(ts_pvm_add(vm, to, step == 2 ? vm->stack[i] : NULL, vm->stack[i + step - 1]));
    vm->n = first;
    return TS_OK;
}

static ts_status fill_last(ts_pvm *vm, size_t n, ts_pkind kind) {
    TS_TRY(need(vm, n + 1));
    return fill(vm, vm->n - n, kind);
}

static ts_status fill_marked(ts_pvm *vm, ts_pkind kind) {
    size_t first = 0;
    TS_TRY(pop_mark(vm, &first));
    return fill(vm, first, kind);
}

/* A record of the class: no constructor runs. */
static ts_status op_newobj(ts_pvm *vm, size_t n) {
    TS_TRY(need(vm, n));
    const ts_pval *type = vm->stack[vm->n - n];
    ts_pval *args = vm->stack[vm->n - n + 1], *v = NULL;
    if (type->kind != TS_PK_GLOBAL || args->kind != TS_PK_TUPLE || (n == 3 && vm->stack[vm->n - 1]->kind != TS_PK_DICT))
        return ts_pvm_fail(vm, TS_E_FORMAT, "an object is made of no class, or with no tuple of arguments");
    void *object = NULL;
    TS_TRY(ts_pvm_new(vm, TS_PK_OBJECT, &v));
    TS_TRY(ts_pvm_alloc(vm, 1, sizeof *v->object, &object));
    v->object = object;
    *v->object = (ts_pobject){.type = type->global, .args = args};
    v->object->last = &v->object->first;
    vm->n -= n;
    return push(vm, v);
}

static ts_status op_reduce(ts_pvm *vm) {
    TS_TRY(need(vm, 2));
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_call(vm, vm->stack[vm->n - 2], vm->stack[vm->n - 1], &v));
    vm->n -= 2;
    return push(vm, v);
}

/* State is kept; no method is looked up. An OrderedDict's attributes (_metadata of a state dict) say nothing. */
static ts_status op_build(ts_pvm *vm) {
    TS_TRY(need(vm, 2));
    ts_pval *to = vm->stack[vm->n - 2];
    if (to->kind == TS_PK_DICT && to->ordered) {
        vm->n--;
        return TS_OK;
    }
    if (to->kind != TS_PK_OBJECT) return ts_pvm_fail(vm, TS_E_FORMAT, "state is given to what is no object");
    if (to->object->state) return ts_pvm_fail(vm, TS_E_FORMAT, "an object is given its state twice");
    to->object->state = vm->stack[--vm->n];
    return TS_OK;
}

static ts_status op_persistent(ts_pvm *vm) {
    TS_TRY(need(vm, 1));
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_persistent(vm, vm->stack[vm->n - 1], &v));
    vm->n--;
    return push(vm, v);
}

static ts_status op_pop(ts_pvm *vm) {
    if (vm->n == fence(vm) && vm->n_mark) {
        vm->n_mark--;
        return TS_OK;
    }
    TS_TRY(need(vm, 1));
    vm->n--;
    return TS_OK;
}

static ts_status unknown(const ts_pvm *vm, uint8_t op) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].op == op)
            return ts_pvm_fail(vm, TS_E_UNSUPP, "opcode %s, which PyTorch never writes: refused", refused[i].name);
    return ts_pvm_fail(vm, TS_E_FORMAT, "0x%02x is no opcode: the pickle is damaged", op);
}

static ts_status frame(const ts_pvm *vm, uint64_t len) {
    if (len <= vm->in.in.len - vm->in.pos) return TS_OK;
    return ts_pvm_fail(vm, TS_E_FORMAT, "a frame reaches beyond the end of the pickle");
}

/* One opcode. A read beyond the end leaves `fail` in the reader, and then nothing of what was pushed matters. */
static ts_status step(ts_pvm *vm, uint8_t op) {
    ts_reader *in = &vm->in;
    size_t first = 0;
    switch (op) {
    case OP_PROTO: {
        const unsigned version = ts_read_u8(in);
        if (version <= 5) return TS_OK;
        return ts_pvm_fail(vm, TS_E_UNSUPP, "version %u of the pickle protocol; 2 to 5 are read", version);
    }
    case OP_FRAME: {
        const uint64_t len = ts_read_u64(in);
        return frame(vm, len);
    }
    case OP_MARK: return push_mark(vm);
    case OP_POP: return op_pop(vm);
    case OP_POP_MARK:
        TS_TRY(pop_mark(vm, &first));
        vm->n = first;
        return TS_OK;
    case OP_DUP: TS_TRY(need(vm, 1)); return push(vm, vm->stack[vm->n - 1]);
    case OP_BINPUT: return put(vm, ts_read_u8(in));
    case OP_LONG_BINPUT: return put(vm, ts_read_u32(in));
    case OP_MEMOIZE: return put(vm, vm->n_memo);
    case OP_BINGET: return get(vm, ts_read_u8(in));
    case OP_LONG_BINGET: return get(vm, ts_read_u32(in));
    case OP_NONE: return push(vm, vm->none);
    case OP_NEWTRUE: return push(vm, vm->yes);
    case OP_NEWFALSE: return push(vm, vm->no);
    case OP_BININT: return push_int(vm, (int32_t)ts_read_u32(in));
    case OP_BININT1: return push_int(vm, ts_read_u8(in));
    case OP_BININT2: return push_int(vm, ts_read_u16(in));
    case OP_LONG1: return push_long(vm, ts_read_bytes(in, ts_read_u8(in)));
    case OP_LONG4: return push_long(vm, ts_read_bytes(in, ts_read_u32(in)));
    case OP_BINFLOAT: return push_float(vm);
    case OP_SHORT_BINUNICODE: return push_text(vm, TS_PK_STR, ts_read_u8(in));
    case OP_BINUNICODE: return push_text(vm, TS_PK_STR, ts_read_u32(in));
    case OP_BINUNICODE8: return push_text(vm, TS_PK_STR, ts_read_u64(in));
    case OP_SHORT_BINBYTES: return push_text(vm, TS_PK_BYTES, ts_read_u8(in));
    case OP_BINBYTES: return push_text(vm, TS_PK_BYTES, ts_read_u32(in));
    case OP_BINBYTES8: return push_text(vm, TS_PK_BYTES, ts_read_u64(in));
    case OP_EMPTY_TUPLE: return push_empty(vm, TS_PK_TUPLE);
    case OP_EMPTY_LIST: return push_empty(vm, TS_PK_LIST);
    case OP_EMPTY_DICT: return push_empty(vm, TS_PK_DICT);
    case OP_EMPTY_SET: return push_empty(vm, TS_PK_SET);
    case OP_TUPLE1: return tuple_of(vm, 1);
    case OP_TUPLE2: return tuple_of(vm, 2);
    case OP_TUPLE3: return tuple_of(vm, 3);
    case OP_TUPLE:
    case OP_FROZENSET:
        TS_TRY(pop_mark(vm, &first));
        return gather(vm, op == OP_TUPLE ? TS_PK_TUPLE : TS_PK_SET, first);
    case OP_APPEND: return fill_last(vm, 1, TS_PK_LIST);
    case OP_SETITEM: return fill_last(vm, 2, TS_PK_DICT);
    case OP_APPENDS: return fill_marked(vm, TS_PK_LIST);
    case OP_SETITEMS: return fill_marked(vm, TS_PK_DICT);
    case OP_ADDITEMS: return fill_marked(vm, TS_PK_SET);
    case OP_GLOBAL: return op_global(vm);
    case OP_STACK_GLOBAL: return op_stack_global(vm);
    case OP_NEWOBJ: return op_newobj(vm, 2);
    case OP_NEWOBJ_EX: return op_newobj(vm, 3);
    case OP_REDUCE: return op_reduce(vm);
    case OP_BUILD: return op_build(vm);
    case OP_BINPERSID: return op_persistent(vm);
    default: return unknown(vm, op);
    }
}

static ts_status run(ts_pvm *vm) {
    TS_TRY(ts_pvm_new(vm, TS_PK_NONE, &vm->none));
    TS_TRY(ts_pvm_new(vm, TS_PK_BOOL, &vm->yes));
    TS_TRY(ts_pvm_new(vm, TS_PK_BOOL, &vm->no));
    vm->yes->i = 1;
    for (;;) {
        vm->at = vm->in.pos;
        const uint8_t op = ts_read_u8(&vm->in);
        if (vm->in.fail) return ts_pvm_fail(vm, TS_E_FORMAT, "the pickle ends without STOP: it is cut off");
        if (op == OP_STOP) break;
        const ts_status s = step(vm, op);
        if (vm->in.fail) return ts_pvm_fail(vm, TS_E_FORMAT, "a value reaches beyond the end of the pickle");
        TS_TRY(s);
    }
    TS_TRY(need(vm, 1));
    vm->p->root = vm->stack[vm->n - 1];
    vm->p->used = vm->in.pos;
    return TS_OK;
}

ts_status ts_pickle_run(ts_pickle *p, ts_span in, ts_err *err) {
    *p = (ts_pickle){0};
    if (in.len > TS_PICKLE_MAX)
        return ts_fail(err, TS_E_LIMIT, "a pickle of %zu bytes; %d are the most", in.len, TS_PICKLE_MAX);
    ts_pvm vm = {.p = p, .in = ts_reader_of(in.data, in.len), .err = err};
    ts_status s = run(&vm);
    ts_free(vm.stack);
    ts_free(vm.mark);
    ts_free(vm.memo);
    if (s == TS_OK) s = ts_pickle_check(p, err);
    if (s != TS_OK) ts_pickle_free(p);
    return s;
}

void ts_pickle_free(ts_pickle *p) {
    ts_arena_free(&p->arena);
    *p = (ts_pickle){0};
}
