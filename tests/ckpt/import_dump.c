/* What Tessera makes of a model, for a comparison with another implementation. Usage:
 *     import_dump MODEL TENSORS LOGITS [--device D] [--threads N] ID...
 *
 * TENSORS gets every tensor's numbers as F32, one behind the other; standard output a line for each: name, sizes as
 * GGUF has them, type. LOGITS gets the logits after each of the tokens, F32 [n][n_vocab], with an F32 KV cache. "-":
 * not that file. */
#include "base/mem.h"
#include "engine/engine.h"
#include "format/quant.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_status dump_tensor(const ts_source *s, const ts_tensor *t, FILE *to, ts_err *err) {
    const size_t row_bytes = ts_dtype_row_bytes(t->type, t->dim[0]), n = (size_t)t->dim[0];
    printf("%s %llu %llu %s\n", t->name, (unsigned long long)t->dim[0], (unsigned long long)t->dim[1],
           ts_dtype_get(t->type)->name);
    void *scratch = ts_alloc(t->dim[1], row_bytes);
    float *row = ts_alloc(n, sizeof *row);
    if (!scratch || !row) return ts_fail_nomem(err, t->name, row_bytes);
    const char *rows = ts_source_rows(s, t, 0, t->dim[1], scratch);
    const uint32_t *order = s->op->order ? s->op->order(s, t) : NULL;
    for (uint64_t r = 0; r < t->dim[1] && to; r++) {
        ts_dequant(t->type, rows + r * row_bytes, row, n);
        float *out = row;
        if (order) { /* as inputs come */
            out = ts_alloc(n, sizeof *out);
            if (!out) return ts_fail_nomem(err, t->name, n * sizeof *out);
            for (size_t i = 0; i < n; i++) out[order[i]] = row[i];
        }
        const bool ok = fwrite(out, sizeof *out, n, to) == n;
        if (out != row) ts_free(out);
        if (!ok) return ts_fail(err, TS_E_IO, "cannot write");
    }
    ts_free(scratch);
    ts_free(row);
    return TS_OK;
}

static ts_status dump_tensors(const char *path, const char *out, ts_err *err) {
    ts_source *s;
    FILE *to = strcmp(out, "-") ? fopen(out, "wb") : NULL;
    TS_TRY(ts_source_open(&s, path, err));
    ts_status st = TS_OK;
    for (size_t i = 0; i < s->n_tensors && st == TS_OK; i++) {
        if (s->op->check) st = s->op->check(s, s->op->tensor_at(s, i), err);
        if (st == TS_OK) st = dump_tensor(s, s->op->tensor_at(s, i), to, err);
    }
    ts_source_close(s);
    if (to && fclose(to) && st == TS_OK) st = ts_fail(err, TS_E_IO, "%s: cannot be written", out);
    return st;
}

static ts_status dump_logits(const char *path, const char *out, const ts_engine_opts *opts, const ts_token *id,
                             size_t n, ts_err *err) {
    ts_engine *e;
    ts_session *s;
    FILE *to = fopen(out, "wb");
    if (!to) return ts_fail(err, TS_E_IO, "%s: cannot be written", out);
    TS_TRY(ts_engine_open(&e, path, opts, err));
    TS_TRY(ts_session_new(&s, e, &(ts_session_opts){.n_ctx = 64, .kv = TS_KV_F32}, err));
    const uint32_t n_vocab = e->model->c.n_vocab;
    ts_status st = TS_OK;
    for (size_t i = 0; i < n && st == TS_OK; i++) {
        st = ts_session_sync(s, id, i + 1, err);
        if (st == TS_OK && fwrite(ts_session_logits(s), sizeof(float), n_vocab, to) != n_vocab)
            st = ts_fail(err, TS_E_IO, "%s: cannot be written", out);
    }
    ts_session_free(s);
    ts_engine_close(e);
    fclose(to);
    return st;
}

int main(int argc, char **argv) {
    ts_engine_opts opts = {.n_threads = 1};
    ts_token id[64];
    size_t n = 0;
    ts_err err;
    for (int i = 4; i < argc; i++) {
        if (!strcmp(argv[i], "--device") && i + 1 < argc) opts.device = argv[++i];
        else if (!strcmp(argv[i], "--threads") && i + 1 < argc) opts.n_threads = atoi(argv[++i]);
        else if (n < 64) id[n++] = atoi(argv[i]);
    }
    if (argc < 4) return 2;
    ts_status st = dump_tensors(argv[1], argv[2], &err);
    if (st == TS_OK && strcmp(argv[3], "-") != 0) st = dump_logits(argv[1], argv[3], &opts, id, n, &err);
    if (st != TS_OK) fprintf(stderr, "%s\n", err.msg);
    return st != TS_OK;
}
