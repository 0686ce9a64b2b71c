/* What the reader of PyTorch's files says of one. Usage: torch_read [--hex] FILE [NAME...]
 *
 * Every array on a line: name, type of elements, "packed" or "view", sizes (1x2x3), and with --hex its bytes,
 * row-major. Then the integers of the given names. All CRCs are checked. A file that is refused: one line on standard
 * error, exit code 1. */
#include "ckpt/torch.h"

#include <inttypes.h>
#include <stdio.h>

static void print_rows(const ts_array *a, uint32_t dim, const uint8_t *at, size_t width) {
    if (dim == a->n_dims) {
        for (size_t i = 0; i < width; i++) printf("%02x", at[i]);
        return;
    }
    for (uint64_t i = 0; i < a->dim[dim]; i++) print_rows(a, dim + 1, at + i * a->stride[dim] * width, width);
}

static void print_array(const ts_array *a, bool hex) {
    uint64_t n = 1;
    printf("%s %s %s ", a->name, a->elem_name, ts_array_is_packed(a) ? "packed" : "view");
    for (uint32_t i = 0; i < a->n_dims; n *= a->dim[i++]) printf("%s%" PRIu64, i ? "x" : "", a->dim[i]);
    if (!a->n_dims) printf("scalar");
    if (hex && n) {
        printf(" ");
        print_rows(a, 0, a->data, a->bytes / n);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    const bool hex = argc > 1 && strcmp(argv[1], "--hex") == 0;
    char **arg = argv + 1 + hex;
    ts_err err = {0};
    ts_torch *t = NULL;
    if (argc < 2 + hex) return 2;
    ts_status s = ts_torch_open(&t, arg[0], &err);
    for (size_t i = 0; s == TS_OK && i < ts_torch_n(t); i++) s = ts_torch_check(t, i, &err);
    for (size_t i = 0; s == TS_OK && i < ts_torch_n(t); i++) {
        const ts_array *a = ts_torch_at(t, i);
        print_array(a, hex);
        ts_torch_release(t, i, 0, a->bytes);
    }
    if (s == TS_OK) s = ts_torch_unchanged(t, &err);
    for (char **name = arg + 1; s == TS_OK && *name; name++) {
        int64_t v = 0;
        if (ts_torch_int(t, *name, &v)) printf("%s = %" PRId64 "\n", *name, v);
        else printf("%s = none\n", *name);
    }
    if (s != TS_OK) fprintf(stderr, "%s: %s\n", ts_status_name(s), err.msg);
    ts_torch_close(t);
    return s == TS_OK ? 0 : 1;
}
