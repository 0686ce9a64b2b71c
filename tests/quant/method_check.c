/* A model quantised by a method and turned back to floats, so that nothing but the rounding of its weights shows.
 * Usage: method_check MODEL.gguf TYPE METHOD CALIBRATION_TEXT TOKENS OUT.gguf [THREADS [LEVEL]]
 *
 * METHOD: plain, awq, gptq, awq+gptq, or search: plain with the inputs' mean squares as weights. Matrices whose rows
 * are no whole blocks of TYPE stay. OUT is the model with all tensors in F32. */
#include "base/file.h"
#include "format/gguf_write.h"
#include "quant/grid.h"
#include "quant/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct floats {
    float *v; /* NULL: as in the source */
    const ts_tensor *t;
    const ts_source *src;
} floats;

static ts_status rows(void *ud, uint64_t first, uint64_t n, void *out, ts_err *err) {
    const floats *f = ud;
    const size_t cols = (size_t)f->t->dim[0];
    if (f->v) memcpy(out, f->v + first * cols, (size_t)n * cols * sizeof(float));
    else ts_dequant(f->t->type, ts_source_rows(f->src, f->t, first, n, NULL), out, (size_t)n * cols);
    (void)err;
    return TS_OK;
}

static size_t index_of(const ts_source *s, const ts_tensor *t) {
    for (size_t i = 0; i < s->n_tensors; i++)
        if (s->op->tensor_at(s, i) == t) return i;
    abort();
}

static float *copy(const float *v, size_t n) {
    float *c = malloc(n * sizeof *c);
    return c ? memcpy(c, v, n * sizeof *c) : NULL;
}

static void plain(ts_calib_layer *l, const ts_calib *c, ts_quant_layer *q) {
    for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
        const size_t K = ts_role_in(r, &c->width), n = K * ts_role_out(r, &c->width);
        if (!ts_act_block(q->type[r])) continue;
        if (ts_dtype_is_u4g(q->type[r]))
            for (size_t i = 0; i < n; i += K)
                ts_u4g_quantize(q->type[r], l->mat[r] + i, NULL, false,
                                (char *)q->blocks[r] + i / 32 * sizeof(ts_block_u4g), K);
        else ts_quantize(q->type[r], l->mat[r], q->blocks[r], n);
        ts_dequant(q->type[r], q->blocks[r], l->mat[r], n);
    }
}

int main(int argc, char **argv) {
    ts_err err;
    ts_dtype type;
    unsigned method = 0;
    const bool is_plain = argc > 3 && !strcmp(argv[3], "plain");
    if (argc < 7 || !ts_dtype_find(argv[2], &type) ||
        (strcmp(argv[3], "search") && !ts_quant_method_find(argv[3], &method)))
        return 2;
    ts_source *s;
    ts_tokenizer *tok;
    ts_pool *pool;
    ts_kern kern;
    ts_buf text = {0};
    ts_tokens ids = {0};
    ts_cpu_level level = ts_cpu_detect();
    if (argc > 8 && ts_cpu_choose(&level, argv[8], &err) != TS_OK) goto fail;
    ts_kern_init(&kern, level);
    if (ts_pool_new(&pool, argc > 7 ? atoi(argv[7]) : 1, &err) != TS_OK || ts_source_open(&s, argv[1], &err) != TS_OK ||
        s->op->tokenizer(s, NULL, &tok, &err) != TS_OK || ts_file_read(&text, argv[4], 1 << 24, &err) != TS_OK)
        goto fail;
    /* chunks of TS_CALIB_CHUNK, each with the begin token in front */
    if (ts_tokenize(tok, text.data, text.len, 0, &ids, &err) != TS_OK) goto fail;
    const size_t want = (size_t)atoi(argv[5]);
    ts_token *token = malloc(want * sizeof *token);
    size_t n = 0;
    for (size_t i = 0; i < ids.n && n < want; n++)
        token[n] = n % TS_CALIB_CHUNK == 0 ? ts_tokenizer_bos(tok) : ids.id[i++];
    ts_calib c;
    if (ts_calib_init(&c, s, token, n, &kern, pool, &err) != TS_OK) goto fail;
    floats *f = calloc(s->n_tensors, sizeof *f);
    for (size_t i = 0; i < s->n_tensors; i++) f[i] = (floats){.t = s->op->tensor_at(s, i), .src = s};
    for (uint32_t layer = 0; layer < c.c.n_layer; layer++) {
        ts_calib_layer l;
        ts_quant_layer q = {0};
        if (ts_calib_load(&l, &c, layer, &err) != TS_OK) goto fail;
        for (ts_role r = 0; r < TS_LAYER_MATS; r++) {
            const size_t K = ts_role_in(r, &c.width), row = ts_dtype_row_bytes(type, K);
            q.type[r] = row ? type : TS_F32;
            if (row) q.blocks[r] = malloc(row * ts_role_out(r, &c.width));
        }
        if (is_plain) plain(&l, &c, &q);
        else if (ts_quant_layer_run(&c, &l, &q, method, NULL, &err) != TS_OK) goto fail;
        for (ts_role r = 0; r < TS_LAYER_ROLES; r++) {
            const bool mat = r < TS_LAYER_MATS;
            const ts_tensor *t = s->op->tensor(s, r, layer, false), *b = mat ? s->op->tensor(s, r, layer, true) : NULL;
            if (!t) continue;
            f[index_of(s, t)].v = copy(mat ? l.mat[r] : l.vec[r - TS_LAYER_MATS], (size_t)(t->dim[0] * t->dim[1]));
            if (b) f[index_of(s, b)].v = copy(l.bias[r], (size_t)b->dim[0]);
            if (mat) free(q.blocks[r]);
        }
        ts_calib_layer_fini(&l);
    }
    ts_gguf_writer *w;
    const ts_gguf *g;
    if (s->op->metadata(s, &g, &err) != TS_OK || ts_gguf_writer_new(&w, 0, &err) != TS_OK) goto fail;
    for (size_t i = 0; i < ts_gguf_n_kv(g); i++) ts_gguf_put_kv(w, ts_gguf_kv_at(g, i));
    for (size_t i = 0; i < s->n_tensors; i++)
        ts_gguf_add_tensor_fn(w, f[i].t->name, TS_F32, f[i].t->n_dims, f[i].t->dim, rows, &f[i]);
    if (ts_gguf_save(w, argv[6], &err) != TS_OK) goto fail;
    return 0;
fail:
    fprintf(stderr, "%s\n", err.msg);
    return 1;
}
