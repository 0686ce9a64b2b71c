/* pickle_int.h - what the parts of the pickle machine share. */
#ifndef TS_CKPT_PICKLE_INT_H
#define TS_CKPT_PICKLE_INT_H

#include "base/printable.h"
#include "ckpt/pickle.h"

typedef struct ts_pvm {
    ts_pickle *p;
    ts_reader in;
    size_t at; /* where the opcode stands */
    ts_pval **stack;
    size_t n, cap;
    size_t *mark; /* how much was on the stack at each mark */
    size_t n_mark, cap_mark;
    ts_pval **memo; /* by index; NULL where nothing was put */
    size_t cap_memo, n_memo;
    size_t copied; /* items that calls have copied from a list: no more than the pickle has bytes */
    ts_pval *none, *yes, *no;
    ts_err *err;
} ts_pvm;

enum {
    TS_PVM_BYTES = 512 << 20,  /* of values, at most: those of half a million tensors */
    TS_PVM_STACK = 4 << 20,    /* values; Python writes what a dict or list has in pieces of a thousand */
    TS_PVM_MARKS = 4 * TS_PICKLE_DEPTH, /* one at most for what is nested once more */
};

/* "offset N: ...", TS_E_FORMAT or another code. */
TS_PRINTF(3, 4) ts_status ts_pvm_fail(const ts_pvm *vm, ts_status code, const char *fmt, ...);
ts_status ts_pvm_nomem(const ts_pvm *vm);

/* A zeroed value of this kind, or memory of a value. Errors: TS_E_NOMEM, TS_E_LIMIT. */
TS_NODISCARD ts_status ts_pvm_new(ts_pvm *vm, ts_pkind kind, ts_pval **out);
TS_NODISCARD ts_status ts_pvm_alloc(ts_pvm *vm, size_t n, size_t size, void **out);
/* Append to a list, set or dict. */
TS_NODISCARD ts_status ts_pvm_add(ts_pvm *vm, ts_pval *to, ts_pval *key, ts_pval *value);

/* pickle_rebuild.c: a name, a call of one of the few functions, a storage. */
TS_NODISCARD ts_status ts_pvm_global(ts_pvm *vm, ts_span module, ts_span name, ts_pval **out);
TS_NODISCARD ts_status ts_pvm_call(ts_pvm *vm, const ts_pval *function, ts_pval *args, ts_pval **out);
TS_NODISCARD ts_status ts_pvm_persistent(ts_pvm *vm, const ts_pval *id, ts_pval **out);
/* Can it be a key of a dict? */
bool ts_pval_is_key(const ts_pval *v);

/* pickle_check.c: what ts_pickle_run promises of the whole. */
TS_NODISCARD ts_status ts_pickle_check(ts_pickle *p, ts_err *err);

#endif
