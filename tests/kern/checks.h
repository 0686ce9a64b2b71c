/* checks.h - one variant of every kernel against another, bit for bit, and the quantised product against the file's own
 * blocks. */
#ifndef TS_TESTS_CHECKS_H
#define TS_TESTS_CHECKS_H

#include "kern/kern.h"

#include <stdio.h>

struct checking {
    uint64_t seed;
    const char *only;    /* checks and kernels with this in their names; NULL: all */
    bool break_it;       /* flip a bit of an output now and then */
    bool stop;           /* at the first difference, silently: exit status 1 */
    bool quick;          /* a third of the rounds, but of quantising all */
    int checks, failures;
};
extern struct checking checking;

/* Is there a check or kernel that checking.only is about? The list of them, for people. What the check of a type's
 * product is called. */
bool check_only_known(void);
void check_list_known(FILE *f);
void check_name_of(ts_dtype type, char out[32]);

void check_all(const ts_kern *ref, const ts_kern *lev, const char *level);

/* n bytes that end right before an unmapped page. */
void *guarded(size_t n);
void guarded_free(void *p, size_t n);
/* `kind`: 0 gaussian, 1 any bits, infinities, NaN, 2 mostly zeros and denormals, 3 saturating, 4 gaussian with a few
 * wild values, 5 of one sign, 6 integers and halves of a scale of 1, 7 all the same */
enum { FILL_KINDS = 8 };
void fill_floats(float *x, size_t n, int kind);

/* A packed matrix, its file form and its place in guarded memory. */
struct matrix {
    ts_qmat m;
    uint8_t *file;
    size_t row_bytes;
    void *data;
};

struct matrix make_matrix(ts_dtype type, uint32_t rows, uint32_t cols);
void free_matrix(struct matrix *x);
ts_qact make_act(uint32_t K, uint32_t n_tok);
void quantise_all(const ts_kern *k, ts_qact *a, const float *x, uint32_t K, uint32_t n_tok);

#endif
