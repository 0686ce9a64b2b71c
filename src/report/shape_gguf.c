/* shape_gguf.c - a random model as a GGUF file. */
#include "format/gguf_write.h"
#include "report/shape.h"
#include "source/gguf_names.h"

#include <stdio.h>
#include <string.h>

/* A byte-level vocabulary: 256 bytes, an end token, and fillers. */
static ts_status put_vocabulary(ts_gguf_writer *w, uint32_t n, ts_err *err) {
    ts_span *token = ts_alloc(n, sizeof *token);
    int32_t *kind = ts_alloc(n, sizeof *kind);
    char *text = ts_alloc(n, 16);
    if (!token || !kind || !text) {
        ts_free(token), ts_free(kind), ts_free(text);
        return ts_fail_nomem(err, "a vocabulary", n * sizeof *token);
    }
    uint32_t other = 256; /* GPT-2's stand-ins for bytes that do not print */
    for (uint32_t i = 0; i < n; i++) {
        char *t = text + 16 * (size_t)i;
        kind[i] = i < 256 ? 1 : 3;
        if (i == 256) snprintf(t, 16, "<|end|>");
        else if (i > 256) snprintf(t, 16, "<|%u|>", i);
        else {
            uint32_t c = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174 ? i : other++;
            if (c < 128) t[0] = (char)c, t[1] = 0;
            else t[0] = (char)(0xc0 | c >> 6), t[1] = (char)(0x80 | (c & 63)), t[2] = 0;
        }
        token[i] = (ts_span){.data = (const uint8_t *)t, .len = strlen(t)};
    }
    ts_gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    ts_gguf_put_str(w, "tokenizer.ggml.pre", "llama-bpe");
    ts_gguf_put_strings(w, "tokenizer.ggml.tokens", token, n);
    ts_gguf_put_array(w, "tokenizer.ggml.token_type", TS_GGUF_I32, kind, n);
    ts_gguf_put_strings(w, "tokenizer.ggml.merges", token, 0);
    ts_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 256);
    ts_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 256);
    ts_gguf_put_str(w, "tokenizer.chat_template",
                    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
                    "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
                    "{{ '<|im_start|>assistant\\n' }}{% endif %}");
    ts_free(token), ts_free(kind), ts_free(text);
    return TS_OK;
}

static ts_status put_metadata(ts_gguf_writer *w, const ts_shape *s, ts_err *err) {
    char key[64];
#define KEY(name) (snprintf(key, sizeof key, "%s.%s", s->arch, name), key)
    ts_gguf_put_str(w, "general.architecture", s->arch);
    snprintf(key, sizeof key, "%s, random weights", s->name);
    ts_gguf_put_str(w, "general.name", key);
    ts_gguf_put_u32(w, KEY("block_count"), s->n_layer);
    ts_gguf_put_u32(w, KEY("context_length"), s->n_ctx);
    ts_gguf_put_u32(w, KEY("embedding_length"), s->d_model);
    ts_gguf_put_u32(w, KEY("feed_forward_length"), s->d_ff);
    ts_gguf_put_u32(w, KEY("attention.head_count"), s->n_head);
    ts_gguf_put_u32(w, KEY("attention.head_count_kv"), s->n_kv_head);
    ts_gguf_put_u32(w, KEY("attention.key_length"), s->head_dim);
    ts_gguf_put_u32(w, KEY("attention.value_length"), s->head_dim);
    ts_gguf_put_f32(w, KEY("attention.layer_norm_rms_epsilon"), s->norm_eps);
    ts_gguf_put_f32(w, KEY("rope.freq_base"), s->rope_base);
    ts_gguf_put_u32(w, KEY("rope.dimension_count"), s->n_rot ? s->n_rot : s->head_dim);
    if (s->window) ts_gguf_put_u32(w, KEY("attention.sliding_window"), s->window);
    if (s->linear > 0 || s->yarn > 0) {
        ts_gguf_put_str(w, KEY("rope.scaling.type"), s->yarn > 0 ? "yarn" : "linear");
        ts_gguf_put_f32(w, KEY("rope.scaling.factor"), s->yarn > 0 ? s->yarn : s->linear);
    }
    if (s->rope_ctx_orig) ts_gguf_put_u32(w, KEY("rope.scaling.original_context_length"), s->rope_ctx_orig);
    ts_gguf_put_u32(w, KEY("vocab_size"), s->n_vocab);
#undef KEY
    return put_vocabulary(w, s->n_vocab, err);
}

/* Who is told how far it is. */
struct watch {
    bool (*step)(void *ud, uint64_t done, uint64_t all);
    void *ud;
    uint64_t done, all; /* bytes of weights */
};

/* What a tensor is made with, alive until the file is written. */
struct maker {
    ts_random_tensor t;
    struct watch *watch;
};

static ts_status make_rows(void *ud, uint64_t first, uint64_t n, void *out, ts_err *err) {
    struct maker *m = ud;
    struct watch *w = m->watch;
    (void)first;
    if (w->step && !w->step(w->ud, w->done, w->all)) return ts_fail(err, TS_E_CANCELLED, "stopped");
    w->done += n * ts_dtype_row_bytes(m->t.type, m->t.cols);
    ts_random_rows(&m->t, n, out);
    return TS_OK;
}

static void add_tensor(ts_gguf_writer *w, struct maker *m) {
    char name[64];
    const ts_random_tensor *t = &m->t;
    const uint64_t dim[2] = {t->cols, t->rows};
    m->watch->all += (t->rows ? t->rows : 1) * ts_dtype_row_bytes(t->type, t->cols);
    ts_gguf_add_tensor_fn(w, ts_gguf_tensor_name(name, sizeof name, t->role, t->layer, t->bias), t->type,
                          t->rows ? 2 : 1, dim, make_rows, m);
}

ts_status ts_shape_make(const ts_shape *shape, const ts_mix *mix, uint64_t seed, ts_buf *out, ts_err *err) {
    return ts_shape_make_watched(shape, mix, seed, NULL, NULL, out, err);
}

ts_status ts_shape_make_watched(const ts_shape *shape, const ts_mix *mix, uint64_t seed,
                                bool (*step)(void *ud, uint64_t done, uint64_t all), void *ud, ts_buf *out,
                                ts_err *err) {
    const size_t n = ts_shape_tensors(shape, mix, seed, NULL);
    struct watch watch = {.step = step, .ud = ud};
    ts_random_tensor *t = ts_alloc(n, sizeof *t);
    struct maker *maker = ts_alloc(n, sizeof *maker);
    ts_gguf_writer *w = NULL;
    ts_status s = t && maker ? TS_OK : ts_fail_nomem(err, "a random model", n * sizeof *maker);
    if (s == TS_OK) s = ts_gguf_writer_new(&w, 64, err);
    if (s == TS_OK) s = put_metadata(w, shape, err);
    if (s == TS_OK) ts_shape_tensors(shape, mix, seed, t);
    for (size_t i = 0; s == TS_OK && i < n; i++) {
        maker[i] = (struct maker){t[i], &watch};
        add_tensor(w, &maker[i]);
    }
    if (s == TS_OK) s = ts_gguf_save_mem(w, out, err);
    ts_gguf_writer_free(w);
    ts_free(maker);
    ts_free(t);
    return s;
}
