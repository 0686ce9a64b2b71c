/* make_model.c - write a model of the zoo to a file, for another implementation to load.
 *
 * Usage: make_model NAME OUT.gguf    the model
 *        make_model --list           the names
 *        make_model --prompt N       the first N tokens of the prompt that all models are asked */
#include "base/file.h"
#include "vectors/zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_prompt(size_t n) {
    int32_t *token = ts_alloc(n, sizeof *token);
    if (!token) return 1;
    zoo_prompt(zoo_at(0)->shape.n_vocab, token, n);
    for (size_t i = 0; i < n; i++) printf("%s%d", i ? "," : "", token[i]);
    printf("\n");
    ts_free(token);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; zoo_at(i); i++) puts(zoo_at(i)->shape.name);
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "--prompt")) return print_prompt((size_t)strtoul(argv[2], NULL, 10));
    const zoo_model *m = argc == 3 ? zoo_find(argv[1]) : NULL;
    if (!m) {
        fprintf(stderr, "make_model: a model's name (make_model --list) and a file are needed\n");
        return 2;
    }
    ts_buf file = {0};
    ts_err err;
    ts_status s = zoo_make(m, &file, &err);
    if (s == TS_OK) s = ts_file_write(argv[2], file.data, file.len, &err);
    if (s != TS_OK) fprintf(stderr, "make_model: %s\n", err.msg);
    ts_buf_free(&file);
    return s == TS_OK ? 0 : 1;
}
