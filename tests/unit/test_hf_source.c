/* A Hugging Face folder as a source: every allocation of opening it fails once, cleanly; files that change under it;
 * what its configuration's text alone may be. The forms of folders are tests/ckpt/forms.py's. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/tiny_tokenizer.h"

#include "base/file.h"
#include "format/gguf.h"
#include "format/quant.h"
#include "source/gguf_names.h"
#include "source/hf_source.h"

#include <unistd.h>

enum { D = 64, FF = 96, VOCAB = 288, KV = 32 };

static ts_err err;
static char dir[40];

static char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}
static void put_text(const char *name, const char *text, size_t len) {
    assert_ok(ts_file_write(path_of(name), text, len, &err));
}

/* A safetensors file that grows. */
typedef struct weights {
    ts_buf header, data;
} weights;

static void *add(weights *w, const char *name, const char *dtype, size_t size, unsigned rows, unsigned cols, int fill) {
    const size_t n = (size_t)rows * (cols ? cols : 1) * size, at = w->data.len;
    char shape[40];
    snprintf(shape, sizeof shape, cols ? "%u,%u" : "%u", rows, cols);
    assert_true(ts_buf_printf(&w->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                              w->header.len ? "," : "{", name, dtype, shape, at, at + n));
    assert_true(ts_buf_reserve(&w->data, n));
    memset(w->data.data + at, fill, n);
    w->data.len += n;
    return w->data.data + at;
}

/* GPTQ, of groups of `group`; in act-order where `turned`: the groups the other way round. */
static void add_gptq(weights *w, const char *name, unsigned n_out, unsigned n_in, unsigned group, bool turned) {
    char full[120];
#define NAME(part) (snprintf(full, sizeof full, "model.layers.0.%s." part, name), full)
    add(w, NAME("qweight"), "I32", 4, n_in / 8, n_out, 0x57);
    add(w, NAME("qzeros"), "I32", 4, n_in / group, n_out / 8, 0x33);
    add(w, NAME("scales"), "F16", 2, n_in / group, n_out, 0x2c);
    char *g_idx = add(w, NAME("g_idx"), "I32", 4, n_in, 0, 0);
    for (unsigned i = 0; i < n_in; i++)
        memcpy(g_idx + 4 * i, &(int32_t){(int32_t)((turned ? n_in - 1 - i : i) / group)}, 4);
#undef NAME
}

static const char config[] =
    "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":1,\"vocab_size\":288,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
    "\"original_max_position_embeddings\":64},\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4},"
    "\"eos_token_id\":[7,8]}";

static void make_folder(void) {
    weights w = {0};
    ts_buf file = {0}, json = {0};
    strcpy(dir, "/tmp/tessera-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    add(&w, "model.embed_tokens.weight", "BF16", 2, VOCAB, D, 0x3c);
    add(&w, "model.norm.weight", "F16", 2, D, 0, 0x3c);
    add(&w, "model.layers.0.input_layernorm.weight", "F64", 8, D, 0, 0x3f);
    add(&w, "model.layers.0.post_attention_layernorm.weight", "F32", 4, D, 0, 0x3f);
    add(&w, "model.layers.0.self_attn.q_proj.weight", "F16", 2, D, D, 0x2c);
    add(&w, "model.layers.0.self_attn.q_proj.bias", "F16", 2, D, 0, 0x2c);
    add(&w, "model.layers.0.self_attn.k_proj.weight", "F64", 8, KV, D, 0x3f);
    add_gptq(&w, "self_attn.v_proj", KV, D, 32, true);
    add_gptq(&w, "self_attn.o_proj", D, D, 64, false);
    add_gptq(&w, "mlp.gate_proj", FF, D, 32, true);
    add_gptq(&w, "mlp.up_proj", FF, D, 32, false);
    add_gptq(&w, "mlp.down_proj", D, FF, 32, false);
    assert_true(ts_buf_putc(&w.header, '}'));
    assert_true(ts_buf_append(&file, &(uint64_t){w.header.len}, 8));
    assert_true(ts_buf_append(&file, w.header.data, w.header.len));
    assert_true(ts_buf_append(&file, w.data.data, w.data.len));
    put_text("model.safetensors", file.data, file.len);
    put_text("config.json", config, sizeof config - 1);
    assert_true(tiny_json(&json, false, false));
    put_text("tokenizer.json", json.data, json.len);
    ts_buf_free(&w.header), ts_buf_free(&w.data), ts_buf_free(&file), ts_buf_free(&json);
}

static void drop_folder(void) {
    static const char *const all[] = {"model.safetensors", "config.json", "tokenizer.json"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) (void)unlink(path_of(all[i]));
    assert_int_equal(rmdir(dir), 0);
}

/* All that a folder says; where that is no success, nothing is left. */
static bool open_all(void *path) {
    ts_source *s;
    const ts_gguf *g;
    if (ts_source_open(&s, path, NULL) != TS_OK) return false;
    ts_model_config c;
    bool ok = s->op->config(s, "llama", &c, NULL) == TS_OK;
    for (size_t i = 0; i < s->n_tensors && ok; i++) ok = s->op->check(s, s->op->tensor_at(s, i), NULL) == TS_OK;
    ok = ok && s->op->metadata(s, &g, NULL) == TS_OK;
    if (ok) { /* where it is one, it is a whole one */
        const ts_gguf_kv *kv = ts_gguf_find(g, TS_KEY_IMPORT_GROUPS),
                         *ends = ts_gguf_find(g, "tokenizer.ggml.eos_token_ids");
        assert_non_null(kv);
        assert_int_equal(kv->n, 1); /* o's groups are of 64 */
        assert_true(ends && ends->n >= 2);
        assert_non_null(ts_gguf_tensor(g, "rope_freqs.weight"));
        assert_int_equal(ts_gguf_tensor(g, "blk.0.attn_output.weight")->type, TS_U4G64);
        assert_int_equal(ts_gguf_tensor(g, "blk.0.ffn_gate.weight")->type, TS_U4G32);
        assert_int_equal(ts_gguf_tensor(g, "blk.0.ffn_up.weight")->type, TS_F32); /* another order than gate's */
        assert_int_equal(ts_gguf_tensor(g, "blk.0.attn_k.weight")->type, TS_F32);
    }
    ts_source_close(s);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    make_folder();
    assert_true(open_all(dir));
    alloc_fail_loop(open_all, dir, true); /* the compiler of patterns does without its machine code */
    drop_folder();
}

static void test_changed(void **state) {
    (void)state;
    make_folder();
    ts_source *s;
    assert_ok(ts_source_open(&s, dir, &err));
    assert_ok(s->op->check_unchanged(s, &err));
    assert_int_equal(truncate(path_of("model.safetensors"), 100), 0);
    assert_status(s->op->check_unchanged(s, &err), TS_E_IO);
    assert_non_null(strstr(err.msg, "model.safetensors"));
    ts_source_close(s);
    assert_status(ts_source_open(&s, dir, &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "the file ends in its header"));
    drop_folder();
}

static void test_config_text(void **state) {
    (void)state;
    ts_hf_config c;
    assert_ok(ts_hf_config_read_mem(&c, (ts_span){(const uint8_t *)config, sizeof config - 1}, &err));
    assert_string_equal(c.family, "llama");
    assert_int_equal(c.head_dim, 16);
    assert_int_equal(c.q4.method, TS_Q4_GPTQ);
    for (size_t len = 0; len < sizeof config - 1; len++) { /* cut off anywhere */
        assert_status(ts_hf_config_read_mem(&c, (ts_span){(const uint8_t *)config, len}, &err), TS_E_FORMAT);
        assert_int_equal(strncmp(err.msg, "config.json: ", 13), 0);
    }
}

static void quiet(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level, (void)line;
}

int main(void) {
    ts_log_sink(quiet, NULL, TS_LOG_WARN);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alloc), cmocka_unit_test(test_changed),
                                       cmocka_unit_test(test_config_text)};
    return cmocka_run_group_tests_name("hf_source", tests, NULL, NULL);
}
