/* What the reader makes of a safetensors file, for a comparison with another one. Usage: safetensors_read FILE. A line
 * an array: its type, its sizes ("2x3", "scalar"), where it begins in the file, its bytes, its name. */
#include "ckpt/safetensors.h"

#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv) {
    ts_safetensors *s;
    ts_err err;
    if (argc != 2) return 2;
    if (ts_safetensors_open(&s, argv[1], &err) != TS_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    for (size_t i = 0; i < ts_safetensors_n(s); i++) {
        const ts_array *a = ts_safetensors_at(s, i);
        printf("%s ", a->elem_name);
        for (uint32_t k = 0; k < a->n_dims; k++) printf("%s%" PRIu64, k ? "x" : "", a->dim[k]);
        printf("%s %" PRIu64 " %zu %s\n", a->n_dims ? "" : "scalar", a->offset, a->bytes, a->name);
    }
    ts_safetensors_close(s);
    return 0;
}
