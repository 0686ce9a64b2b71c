/* pickle.h - what a pickle of PyTorch says, as values that do nothing.
 *
 * A pickle is a program for a machine with a stack. This machine builds records and calls nothing, whatever the pickle
 * names: the few functions that rebuild tensors are known by name and done here, an object of any class becomes a
 * record of its class's name and its state, and a call of any other function is refused with its name. Every opcode
 * takes constant memory (but for tuples, whose items others have pushed), so what is built is bounded by the text. */
#ifndef TS_CKPT_PICKLE_H
#define TS_CKPT_PICKLE_H

#include "base/arena.h"
#include "base/span.h"
#include "ckpt/ndarray.h"

typedef enum ts_pkind {
    TS_PK_NONE,
    TS_PK_BOOL,
    TS_PK_INT,
    TS_PK_BIG, /* an integer beyond 64 bits */
    TS_PK_FLOAT,
    TS_PK_STR,
    TS_PK_BYTES,
    TS_PK_TUPLE,
    TS_PK_LIST,
    TS_PK_DICT,
    TS_PK_SET,
    TS_PK_GLOBAL, /* a name of a module: a class, a function, a type of elements */
    TS_PK_OBJECT,
    TS_PK_STORAGE,
    TS_PK_TENSOR,
} ts_pkind;

/* A type of elements, as PyTorch calls it. */
typedef struct ts_pdtype {
    const char *name;    /* "bfloat16" */
    const char *storage; /* "BFloat16Storage"; NULL where a storage has no such type */
    ts_elem elem;
    uint8_t bytes; /* of an element */
} ts_pdtype;

typedef struct ts_pval ts_pval;

typedef struct ts_pitem { /* of a list, set or dict, in order */
    ts_pval *key;         /* NULL in lists and sets */
    ts_pval *value;
    struct ts_pitem *next;
} ts_pitem;

typedef struct ts_pglobal {
    ts_span module, name;
    unsigned known; /* for pickle_rebuild.c */
    const ts_pdtype *dtype;
} ts_pglobal;

typedef struct ts_pobject {
    const ts_pglobal *type; /* its class */
    ts_pval *args, *state;  /* NULL where there are none; state: most often a dict of its attributes */
    ts_pitem *first, **last; /* what was appended to it or set in it, if its class is a list or a dict of a kind */
} ts_pobject;

typedef struct ts_pstorage {
    ts_span key;            /* which one */
    const ts_pdtype *dtype; /* NULL: bytes, whose meaning comes with the tensor */
    uint64_t n;             /* elements; bytes where dtype is NULL */
    size_t at;              /* where it is named, for messages */
    uint64_t offset;        /* for whoever knows where storages lie: of its data in the file */
    size_t member;          /* ... and which of the members it is */
    struct ts_pstorage *next;
} ts_pstorage;

/* Every element lies inside of the storage's n elements; sizes and strides are those of PyTorch, in elements. */
typedef struct ts_ptensor {
    ts_pstorage *storage;
    const ts_pdtype *dtype;
    uint64_t offset; /* of the first element in the storage */
    uint64_t n;      /* elements: the product of dim */
    uint32_t n_dims;
    uint64_t dim[TS_ARRAY_DIMS], stride[TS_ARRAY_DIMS];
} ts_ptensor;

struct ts_pval {
    uint8_t kind; /* ts_pkind */
    bool ordered; /* DICT: an OrderedDict, which may have attributes */
    uint32_t seen; /* for walks */
    uint64_t n;    /* items */
    union {
        int64_t i; /* BOOL, INT */
        double f;
        ts_span text; /* STR (as in the file, which may be no UTF-8), BYTES, BIG (two's complement, little-endian) */
        ts_pval **item; /* TUPLE */
        struct {
            ts_pitem *first, **last; /* LIST, SET, DICT */
        };
        const ts_pglobal *global;
        ts_pobject *object;
        ts_pstorage *storage;
        ts_ptensor *tensor;
    };
};

typedef struct ts_pickle {
    ts_arena arena;
    ts_pval *root;         /* what it leaves; parts may be shared */
    ts_pstorage *storages; /* all that it names, the last one first; one may be named more than once */
    size_t used;           /* bytes up to its end */
} ts_pickle;

enum {
    TS_PICKLE_DEPTH = 1000,   /* containers and objects in one another */
    TS_PICKLE_MAX = 64 << 20, /* bytes of a pickle */
    /* A tensor with a stride of 0 repeats what it has, at most so many times. */
    TS_PICKLE_REPEATS = 1024,
};

/* Run the pickle at the beginning of `in`. What it leaves holds no container that contains itself (objects may), no key
 * twice in a dict, and nothing nested deeper than TS_PICKLE_DEPTH. Texts borrow from `in`. Messages name the offset.
 * Errors, after which *p is empty: TS_E_FORMAT; TS_E_UNSUPP: what PyTorch's tensors do not need, a function above all;
 * TS_E_LIMIT; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_pickle_run(ts_pickle *p, ts_span in, ts_err *err);
void ts_pickle_free(ts_pickle *p); /* leaves *p empty */

/* "module.name" of a class or function, fit for a message. Returns buf. */
const char *ts_pglobal_name(const ts_pglobal *g, char *buf, size_t cap);
/* Is it this string? */
bool ts_pval_is(const ts_pval *v, const char *text);

#endif
