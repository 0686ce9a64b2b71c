/* random_model.c - write a model file of a known shape with random weights, for benchmarks beside other programs and
 * for tests. Run when a comparison needs a file: random_model SHAPE TYPE [OUT.gguf [SEED]] SHAPE and TYPE as in
 * `tessera bench --shape SHAPE -q TYPE`. Without OUT.gguf nothing is made: the exit code says whether
 * there are such. */
#include "base/file.h"
#include "report/shape.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: random_model SHAPE TYPE [OUT.gguf [SEED]]\n");
        return 2;
    }
    const ts_shape *shape;
    ts_mix mix;
    ts_buf file = {0};
    ts_err err;
    ts_status s = ts_shape_find(&shape, argv[1], &err);
    if (s == TS_OK) s = ts_mix_find(&mix, argv[2], &err);
    if (s == TS_OK && argc == 3) return 0;
    if (s == TS_OK) s = ts_shape_make(shape, &mix, argc > 4 ? strtoull(argv[4], NULL, 0) : 1, &file, &err);
    if (s == TS_OK) s = ts_file_write(argv[3], file.data, file.len, &err);
    ts_buf_free(&file);
    if (s == TS_OK) return 0;
    fprintf(stderr, "random_model: %s\n", err.msg);
    return s == TS_E_INVAL ? 2 : 1;
}
