/* pickle_rebuild.c - the names that mean something: types of elements, storages, and the functions that rebuild tensors
 * and containers. A call of any other is refused. */
#include "ckpt/pickle_int.h"

#include <inttypes.h>
#include <stdio.h>

enum known {
    K_OTHER, /* a class, or a function that is never called */
    K_TENSOR,
    K_TENSOR_V2,
    K_TENSOR_V3,
    K_PARAMETER,
    K_PARAMETER_STATE,
    K_ORDERED_DICT,
    K_SET,
    K_SIZE,
    K_DEVICE,
    K_UNTYPED, /* a storage of bytes */
    K_STORAGE,
    K_DTYPE,
};

static const struct {
    const char *module, *name;
    enum known known;
} functions[] = {
    {"torch._utils", "_rebuild_tensor_v2", K_TENSOR_V2},
    {"torch._utils", "_rebuild_tensor", K_TENSOR},
    {"torch._utils", "_rebuild_tensor_v3", K_TENSOR_V3},
    {"torch._utils", "_rebuild_parameter", K_PARAMETER},
    {"torch._utils", "_rebuild_parameter_with_state", K_PARAMETER_STATE},
    {"collections", "OrderedDict", K_ORDERED_DICT},
    {"__builtin__", "set", K_SET},
    {"builtins", "set", K_SET},
    {"torch", "Size", K_SIZE},
    {"torch", "device", K_DEVICE},
    {"torch.storage", "UntypedStorage", K_UNTYPED},
    {"torch.storage", "_UntypedStorage", K_UNTYPED},
    {"torch", "UntypedStorage", K_UNTYPED},
};

static const ts_pdtype dtypes[] = {
    {"float32", "FloatStorage", TS_EL_F32, 4},
    {"float16", "HalfStorage", TS_EL_F16, 2},
    {"bfloat16", "BFloat16Storage", TS_EL_BF16, 2},
    {"float64", "DoubleStorage", TS_EL_F64, 8},
    {"int8", "CharStorage", TS_EL_I8, 1},
    {"uint8", "ByteStorage", TS_EL_U8, 1},
    {"int16", "ShortStorage", TS_EL_I16, 2},
    {"int32", "IntStorage", TS_EL_I32, 4},
    {"int64", "LongStorage", TS_EL_I64, 8},
    {"bool", "BoolStorage", TS_EL_BOOL, 1},
    {"complex64", "ComplexFloatStorage", TS_EL_OTHER, 8},
    {"complex128", "ComplexDoubleStorage", TS_EL_OTHER, 16},
    {"complex32", NULL, TS_EL_OTHER, 4},
    {"uint16", NULL, TS_EL_U16, 2},
    {"uint32", NULL, TS_EL_U32, 4},
    {"uint64", NULL, TS_EL_U64, 8},
    {"float8_e4m3fn", NULL, TS_EL_OTHER, 1},
    {"float8_e4m3fnuz", NULL, TS_EL_OTHER, 1},
    {"float8_e5m2", NULL, TS_EL_OTHER, 1},
    {"float8_e5m2fnuz", NULL, TS_EL_OTHER, 1},
    {"float8_e8m0fnu", NULL, TS_EL_OTHER, 1},
};

bool ts_pval_is(const ts_pval *v, const char *text) {
    return v && v->kind == TS_PK_STR && ts_span_is(v->text, text);
}

bool ts_pval_is_key(const ts_pval *v) {
    return v->kind != TS_PK_LIST && v->kind != TS_PK_DICT && v->kind != TS_PK_SET;
}

const char *ts_pglobal_name(const ts_pglobal *g, char *buf, size_t cap) {
    char module[64], name[64];
    ts_printable(module, sizeof module, g->module.data, g->module.len);
    ts_printable(name, sizeof name, g->name.data, g->name.len);
    snprintf(buf, cap, "%s.%s", module, name);
    return buf;
}

ts_status ts_pvm_global(ts_pvm *vm, ts_span module, ts_span name, ts_pval **out) {
    ts_pval *v = NULL;
    void *made = NULL;
    TS_TRY(ts_pvm_new(vm, TS_PK_GLOBAL, &v));
    TS_TRY(ts_pvm_alloc(vm, 1, sizeof(ts_pglobal), &made));
    ts_pglobal *g = made;
    *g = (ts_pglobal){.module = module, .name = name, .known = K_OTHER};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (ts_span_is(name, functions[i].name) && ts_span_is(module, functions[i].module))
            g->known = functions[i].known;
    if (ts_span_is(module, "torch"))
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
            const bool storage = dtypes[i].storage && ts_span_is(name, dtypes[i].storage);
            if (!storage && !ts_span_is(name, dtypes[i].name)) continue;
            g->known = storage ? K_STORAGE : K_DTYPE;
            g->dtype = &dtypes[i];
        }
    v->global = g;
    *out = v;
    return TS_OK;
}

/* ---- storages and tensors ---------------------------------------------------------------------------------------- */

ts_status ts_pvm_persistent(ts_pvm *vm, const ts_pval *id, ts_pval **out) {
    /* ("storage", class, key, device, elements), in old files with None behind */
    ts_pval *const *item = id->item;
    if (id->kind != TS_PK_TUPLE || id->n < 5 || id->n > 6 || !ts_pval_is(item[0], "storage"))
        return ts_pvm_fail(vm, TS_E_UNSUPP, "a persistent id that names no storage");
    if (item[1]->kind != TS_PK_GLOBAL || (item[1]->global->known != K_STORAGE && item[1]->global->known != K_UNTYPED)) {
        char name[200] = "something else";
        if (item[1]->kind == TS_PK_GLOBAL) ts_pglobal_name(item[1]->global, name, sizeof name);
        return ts_pvm_fail(vm, TS_E_UNSUPP, "%s is no class of storages that is known", name);
    }
    if (item[2]->kind != TS_PK_STR || item[4]->kind != TS_PK_INT || item[4]->i < 0 ||
        (id->n == 6 && item[5]->kind != TS_PK_NONE))
        return ts_pvm_fail(vm, TS_E_FORMAT, "the key or size of a storage is malformed");
    void *made = NULL;
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_new(vm, TS_PK_STORAGE, &v));
    TS_TRY(ts_pvm_alloc(vm, 1, sizeof(ts_pstorage), &made));
    ts_pstorage *s = made;
    *s = (ts_pstorage){.key = item[2]->text,
                       .dtype = item[1]->global->dtype,
                       .n = (uint64_t)item[4]->i,
                       .at = vm->at,
                       .next = vm->p->storages};
    vm->p->storages = v->storage = s;
    *out = v;
    return TS_OK;
}

static ts_status malformed(const ts_pvm *vm, const char *what) {
    return ts_pvm_fail(vm, TS_E_FORMAT, "a tensor is rebuilt from %s", what);
}

/* Sizes and strides, which may be tuples or lists in old files, and whether every element lies in the storage. */
static ts_status shape(const ts_pvm *vm, ts_ptensor *t, const ts_pval *size, const ts_pval *stride) {
    if (size->kind != TS_PK_TUPLE || stride->kind != TS_PK_TUPLE || size->n != stride->n)
        return malformed(vm, "sizes and strides that are not two tuples of one length");
    if (size->n > TS_ARRAY_DIMS)
        return ts_pvm_fail(vm, TS_E_UNSUPP, "a tensor of %" PRIu64 " dimensions; %d are the most", size->n,
                           TS_ARRAY_DIMS);
    t->n_dims = (uint32_t)size->n;
    t->n = 1;
    uint64_t last = 0; /* the farthest element, from the first */
    bool repeats = false, over = false;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        const ts_pval *d = size->item[i], *s = stride->item[i];
        if (d->kind != TS_PK_INT || s->kind != TS_PK_INT || d->i < 0 || s->i < 0)
            return malformed(vm, "a size or stride that is negative or no integer");
        t->dim[i] = (uint64_t)d->i;
        t->stride[i] = (uint64_t)s->i;
        over = over || __builtin_mul_overflow(t->n, t->dim[i], &t->n);
        uint64_t reach = 0;
        if (t->dim[i] > 1) {
            over = over || __builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &reach) ||
                   __builtin_add_overflow(last, reach, &last);
            repeats = repeats || t->stride[i] == 0;
        }
    }
    if (over) return malformed(vm, "sizes whose product is beyond 64 bits");
    const uint64_t has = t->dtype == t->storage->dtype ? t->storage->n : t->storage->n / t->dtype->bytes;
    if (t->offset > has || (t->n && last >= has - t->offset))
        return ts_pvm_fail(vm, TS_E_FORMAT,
                           "a tensor reaches beyond its storage of %" PRIu64 " elements (from element %" PRIu64
                           " on, the last one %" PRIu64 " behind it)",
                           has, t->offset, last);
    if (t->n > has && !repeats) return malformed(vm, "sizes and strides that use elements of the storage twice");
    if (t->n && (t->n - 1) / TS_PICKLE_REPEATS >= has)
        return ts_pvm_fail(vm, TS_E_LIMIT, "a stride of 0 makes %" PRIu64 " elements of a storage of %" PRIu64,
                           t->n, has);
    return TS_OK;
}

static ts_status tensor(ts_pvm *vm, enum known known, const ts_pval *args, ts_pval **out) {
    /* storage, offset, sizes, strides, then requires_grad, hooks, in v3 the type, and what else versions add */
    const uint64_t least = known == K_TENSOR ? 4 : known == K_TENSOR_V2 ? 6 : 7;
    const uint64_t most = known == K_TENSOR ? 4 : least + 1;
    ts_pval *const *a = args->item;
    if (args->n < least || args->n > most) return malformed(vm, "too few or too many arguments");
    if (a[0]->kind != TS_PK_STORAGE || a[1]->kind != TS_PK_INT || a[1]->i < 0)
        return malformed(vm, "no storage, or an offset that is negative or no integer");
    ts_pstorage *s = a[0]->storage;
    const ts_pdtype *dtype = s->dtype;
    if (known == K_TENSOR_V3) {
        if (a[6]->kind != TS_PK_GLOBAL || a[6]->global->known != K_DTYPE) {
            char name[200] = "no name";
            if (a[6]->kind == TS_PK_GLOBAL) ts_pglobal_name(a[6]->global, name, sizeof name);
            return ts_pvm_fail(vm, TS_E_UNSUPP, "%s is no type of elements that is known", name);
        }
        dtype = a[6]->global->dtype;
    }
    if (!dtype || (s->dtype && s->dtype != dtype))
        return malformed(vm, "a storage of another type of elements, or of none");
    void *made = NULL;
    ts_pval *v = NULL;
    TS_TRY(ts_pvm_new(vm, TS_PK_TENSOR, &v));
    TS_TRY(ts_pvm_alloc(vm, 1, sizeof(ts_ptensor), &made));
    v->tensor = made;
    *v->tensor = (ts_ptensor){.storage = s, .dtype = dtype, .offset = (uint64_t)a[1]->i};
    *out = v;
    return shape(vm, v->tensor, a[2], a[3]);
}

/* ---- containers -------------------------------------------------------------------------------------------------- */

/* A call copies items that the pickle may have written once and calls with many times. */
static ts_status count_copy(ts_pvm *vm) {
    if (vm->copied++ < vm->in.pos) return TS_OK;
    return ts_pvm_fail(vm, TS_E_LIMIT, "calls copy the same list over and over");
}

static ts_status ordered_dict(ts_pvm *vm, const ts_pval *args, ts_pval **out) {
    if (args->n > 1 || (args->n == 1 && args->item[0]->kind != TS_PK_LIST))
        return ts_pvm_fail(vm, TS_E_FORMAT, "an OrderedDict is made of something else than a list of pairs");
    TS_TRY(ts_pvm_new(vm, TS_PK_DICT, out));
    (*out)->ordered = true;
    if (!args->n) return TS_OK;
    for (const ts_pitem *it = args->item[0]->first; it; it = it->next) {
        const ts_pval *pair = it->value;
        if ((pair->kind != TS_PK_TUPLE && pair->kind != TS_PK_LIST) || pair->n != 2)
            return ts_pvm_fail(vm, TS_E_FORMAT, "an OrderedDict is made of something else than a list of pairs");
        const bool tuple = pair->kind == TS_PK_TUPLE;
        TS_TRY(count_copy(vm));
        TS_TRY(ts_pvm_add(vm, *out, tuple ? pair->item[0] : pair->first->value,
                          tuple ? pair->item[1] : pair->first->next->value));
    }
    return TS_OK;
}

static ts_status set(ts_pvm *vm, const ts_pval *args, ts_pval **out) {
    if (args->n > 1 || (args->n == 1 && args->item[0]->kind != TS_PK_LIST))
        return ts_pvm_fail(vm, TS_E_FORMAT, "a set is made of something else than a list");
    TS_TRY(ts_pvm_new(vm, TS_PK_SET, out));
    if (!args->n) return TS_OK;
    for (const ts_pitem *it = args->item[0]->first; it; it = it->next) {
        TS_TRY(count_copy(vm));
        TS_TRY(ts_pvm_add(vm, *out, NULL, it->value));
    }
    return TS_OK;
}

static ts_status device(ts_pvm *vm, const ts_pval *function, ts_pval *args, ts_pval **out) {
    void *object = NULL;
    TS_TRY(ts_pvm_new(vm, TS_PK_OBJECT, out));
    TS_TRY(ts_pvm_alloc(vm, 1, sizeof(ts_pobject), &object));
    (*out)->object = object;
    *(*out)->object = (ts_pobject){.type = function->global, .args = args};
    (*out)->object->last = &(*out)->object->first;
    return TS_OK;
}

ts_status ts_pvm_call(ts_pvm *vm, const ts_pval *function, ts_pval *args, ts_pval **out) {
    if (function->kind != TS_PK_GLOBAL || args->kind != TS_PK_TUPLE)
        return ts_pvm_fail(vm, TS_E_FORMAT, "a call of what is no function, or with no tuple of arguments");
    const enum known known = function->global->known;
    switch (known) {
    case K_TENSOR:
    case K_TENSOR_V2:
    case K_TENSOR_V3: return tensor(vm, known, args, out);
    case K_PARAMETER:
    case K_PARAMETER_STATE: /* tensor, requires_grad, hooks, state */
        if (args->n != (known == K_PARAMETER ? 3 : 4) || args->item[0]->kind != TS_PK_TENSOR)
            return malformed(vm, "the arguments of a parameter, of which the first is no tensor");
        *out = args->item[0];
        return TS_OK;
    case K_ORDERED_DICT: return ordered_dict(vm, args, out);
    case K_SET: return set(vm, args, out);
    case K_SIZE:
        if (args->n != 1 || args->item[0]->kind != TS_PK_TUPLE) return malformed(vm, "a torch.Size of no tuple");
        *out = args->item[0];
        return TS_OK;
    case K_DEVICE: return device(vm, function, args, out);
    default: break;
    }
    char name[200];
    return ts_pvm_fail(vm, TS_E_UNSUPP,
                       "the file calls %s, which no tensor needs: refused, and nothing was called",
                       ts_pglobal_name(function->global, name, sizeof name));
}
