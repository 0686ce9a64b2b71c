/* The engine's edge: a damaged model file, opened, given a conversation and eight tokens to say. The input is either
 * a file ("GGUF"...) or, which goes deeper, a list of changes to a small valid model: its first byte chooses the
 * model and the cache, then 8 bytes each: what to do, where (3 bytes), with what (4 bytes). */
#include "base/log.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "report/shape.h"
#include "tessera/tessera.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { N_MODELS = 6, N_CTX = 192 };

#define TINY(...)                                                                                             \
    {                                                                                                         \
        .name = "fuzz", .n_layer = 2, .d_model = 32, .d_ff = 64, .n_head = 2, .n_kv_head = 1, .head_dim = 16, \
        .n_vocab = 270, .n_ctx = 256, .rope_base = 10000, .norm_eps = 1e-5f, __VA_ARGS__                      \
    }
static const struct {
    ts_shape shape;
    ts_mix mix;
} models[N_MODELS] = {
    {TINY(.arch = "llama"), {TS_Q4_0, TS_Q8_0, TS_Q4_0}},
    {TINY(.arch = "llama", .tied = true, .linear = 2), {TS_F32, TS_F32, TS_F32}},
    {TINY(.arch = "qwen2", .tied = true), {TS_F16, TS_F16, TS_BF16}},
    {TINY(.arch = "qwen3", .yarn = 4, .rope_ctx_orig = 64), {TS_Q8_0, TS_Q8_0, TS_Q5_1}},
    {TINY(.arch = "llama", .window = 7), {TS_MXFP4, TS_IQ4_NL, TS_Q4_1}},
    {TINY(.arch = "llama", .rope_factor = 32), {TS_BF16, TS_Q8_0, TS_F32}},
};

/* The models, made once; where their tensor data begins. */
static ts_buf made[N_MODELS];
static size_t data_at[N_MODELS];

static bool make(int i) {
    ts_gguf *g;
    if (made[i].len) return true;
    if (ts_shape_make(&models[i].shape, &models[i].mix, 1 + (uint64_t)i, &made[i], NULL) != TS_OK) return false;
    if (ts_gguf_open_mem(&g, (ts_span){.data = (const uint8_t *)made[i].data, .len = made[i].len}, "fuzz", 0, NULL) !=
        TS_OK)
        abort();
    data_at[i] = (size_t)ts_gguf_data_offset(g, 0);
    ts_gguf_close(g);
    return true;
}

static void put(uint8_t *file, size_t len, size_t at, const void *what, size_t n) {
    if (at < len) memcpy(file + at, what, n < len - at ? n : len - at);
}

/* One change; returns the file's length after it. */
static size_t change(uint8_t *file, size_t len, size_t data_begin, const uint8_t op[8]) {
    static const float floats[] = {0, -1, 1e-45f, 1e-20f, 1e5f, 1e20f, 3e38f, INFINITY, -INFINITY, (float)NAN};
    static const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e00, 0x7bff, 0xfbff, 0x0001, 0x7f80, 0xff80};
    uint32_t where = op[1] | (uint32_t)op[2] << 8 | (uint32_t)op[3] << 16, what;
    memcpy(&what, op + 4, 4);
    const size_t in_data = data_begin < len ? data_begin + where % (len - data_begin) : where % len,
                 in_head = where % (data_begin < len ? data_begin : len);
    switch (op[0] % 10) {
    case 0: file[in_head] = op[4]; break;
    case 1: file[in_head] ^= (uint8_t)(1u << op[4] % 8); break;
    case 2: put(file, len, in_head, &what, 4); break;
    case 3: put(file, len, in_head, &floats[op[4] % 10], 4); break;
    case 4: put(file, len, in_data & ~(size_t)3, &floats[op[4] % 10], 4); break;
    case 5: put(file, len, in_data & ~(size_t)1, &halves[op[4] % 8], 2); break;
    case 6: file[in_data] = op[4]; break;
    case 7: /* a name or value in the place of another */
        if (in_head < len && what % len < len) {
            uint8_t tmp[16];
            size_t from = what % len, n = len - from < sizeof tmp ? len - from : sizeof tmp;
            memcpy(tmp, file + from, n);
            put(file, len, in_head, tmp, n);
        }
        break;
    case 8: return where % len ? where % len : 1;
    case 9: /* multiply a run of F32 weights */
        for (size_t at = in_data & ~(size_t)3, n = 0; at + 4 <= len && n < 64; at += 4, n++) {
            float f;
            memcpy(&f, file + at, 4);
            f *= floats[op[4] % 7];
            memcpy(file + at, &f, 4);
        }
        break;
    }
    return len;
}

static void check_message(ts_status s, const ts_err *err) {
    if (err->code != s || !*err->msg || strpbrk(err->msg, "\n\r\x1b")) abort();
}

static void hear_nothing(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level;
    if (strpbrk(line, "\n\r\x1b")) abort();
}

static bool finite_logits(void *ud, const ts_piece *p) {
    const ts_model_info *info = ud;
    for (uint32_t i = 0; i < info->n_vocab; i++)
        if (!isfinite(p->logits[i])) abort();
    if (p->token < 0 || (uint32_t)p->token >= info->n_vocab) abort();
    return true;
}

static void talk(ts_engine *e, ts_kv_type kv) {
    ts_err err = {0};
    ts_model_info info;
    ts_engine_info(e, &info);
    const ts_message msg[] = {{"user", "Hi, \xc3\xa4 <|end|> you"}};
    const char *plain = "once upon a time";
    ts_prompt prompt = {0};
    ts_session *s = NULL;
    ts_sampler *sampler = NULL;
    ts_status st = ts_engine_chat(e, NULL, msg, 1, &prompt, &err);
    if (st != TS_OK) { /* a damaged template: the model is there all the same */
        check_message(st, &err);
        st = ts_engine_tokenize(e, plain, strlen(plain), TS_TOKENIZE_BOS, &prompt.token, &prompt.n, &err);
    }
    if (st == TS_OK) st = ts_session_new(&s, e, &(ts_session_opts){.n_ctx = N_CTX, .kv = kv}, &err);
    ts_sampler_opts so = ts_sampler_defaults();
    if (st == TS_OK) st = ts_sampler_new(&sampler, &so, info.n_vocab, &err);
    ts_generated out = {0};
    if (st == TS_OK)
        st = ts_generate(s, sampler, prompt.token, prompt.n,
                         &(ts_generate_opts){.max_tokens = 8, .on_piece = finite_logits, .ud = &info}, &out, &err);
    if (st != TS_OK) check_message(st, &err);
    if (out.n_tokens > 8) abort();
    ts_sampler_free(sampler);
    ts_session_free(s);
    ts_prompt_release(&prompt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (!len) return 0;
    ts_log_sink(hear_nothing, NULL, TS_LOG_DEBUG);
    const bool raw = len >= 4 && !memcmp(data, "GGUF", 4);
    const int model = data[0] % N_MODELS;
    if (!raw && !make(model)) return 0;
    size_t n = raw ? len : made[model].len;
    void *file;
    /* exactly as long as it is, so that a read past the end is seen */
    if (posix_memalign(&file, 64, n)) return 0;
    memcpy(file, raw ? (const void *)data : made[model].data, n);
    for (size_t i = 1; !raw && i + 8 <= len; i += 8) n = change(file, n, data_at[model], data + i);
    void *exact = file;
    if (!raw && n != made[model].len) { /* cut */
        if (posix_memalign(&exact, 64, n)) exact = NULL;
        else memcpy(exact, file, n);
        free(file);
        if (!exact) return 0;
    }
    ts_engine *e = NULL;
    ts_err err = {0};
    ts_status s = ts_engine_open_memory(&e, exact, n, &(ts_engine_opts){.n_threads = 1}, &err);
    if (s == TS_OK) talk(e, data[0] & 0x80 ? TS_KV_F32 : TS_KV_F16);
    else check_message(s, &err);
    if (s == TS_OK) ts_engine_close(e);
    free(exact);
    return 0;
}
