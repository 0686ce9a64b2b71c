/* Saved sessions: a file that is damaged or hostile, restored, and where that succeeds a token more. The first byte of
 * the input: bit 0: the rest is the file itself; otherwise it is a list of changes to a valid file, 8 bytes each: where
 * (4 bytes), with what (4 bytes). Bit 1: the checksum is made to fit; bit 2: the model's identity too; bit 3: the cache
 * is q8_0. */
#include "base/file.h"
#include "engine/session_file.h"
#include "report/shape.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { N_CTX = 192, N = 70, VOCAB = 270, AT_MODEL = 16 };

static const ts_shape shape = {.name = "fuzz", .arch = "llama", .n_layer = 2, .d_model = 32, .d_ff = 64, .n_head = 2,
                               .n_kv_head = 1, .head_dim = 12, .n_vocab = VOCAB, .n_ctx = 256, .rope_base = 10000,
                               .norm_eps = 1e-5f};

static ts_engine *e;
static ts_session *session[2]; /* f16, q8_0 */
static ts_buf valid[2];

static void must(ts_status st) {
    if (st != TS_OK) abort();
}

/* A session that has something in it, and the file of it. */
static void make_valid(ts_kv_type kv, ts_session **s, ts_buf *file) {
    char path[] = "/tmp/ts-fuzz-session-XXXXXX";
    ts_token token[N];
    for (int i = 0; i < N; i++) token[i] = i * 7 % VOCAB;
    must(ts_session_new(s, e, &(ts_session_opts){.n_ctx = N_CTX, .kv = kv}, NULL));
    must(ts_session_sync(*s, token, N, NULL));
    const int fd = mkstemp(path);
    if (fd < 0) abort();
    close(fd);
    must(ts_session_save(*s, path, NULL));
    must(ts_file_read(file, path, 1 << 20, NULL));
    unlink(path);
}

static void prepare(void) {
    ts_buf model = {0};
    must(ts_shape_make(&shape, &(ts_mix){TS_Q8_0, TS_Q8_0, TS_Q8_0}, 1, &model, NULL));
    void *file = ts_alloc_aligned(model.len, 1); /* the engine's until the program ends */
    if (!file) abort();
    memcpy(file, model.data, model.len);
    must(ts_engine_open_memory(&e, file, model.len, &(ts_engine_opts){.n_threads = 1}, NULL));
    ts_buf_free(&model);
    make_valid(TS_KV_F16, &session[0], &valid[0]);
    make_valid(TS_KV_Q8_0, &session[1], &valid[1]);
}

struct memory {
    const char *data;
    size_t left;
};

static ts_status read_memory(void *ud, void *to, size_t len, ts_err *err) {
    struct memory *m = ud;
    if (len > m->left) return ts_fail(err, TS_E_FORMAT, "it ends too early");
    memcpy(to, m->data, len);
    m->data += len;
    m->left -= len;
    return TS_OK;
}

static void change(ts_buf *file, const uint8_t *op) {
    uint32_t where, what;
    memcpy(&where, op, 4);
    memcpy(&what, op + 4, 4);
    if (where == UINT32_MAX) file->len = what < file->len ? what : file->len; /* cut off */
    else if (file->len >= 4) memcpy(file->data + where % (file->len - 3), &what, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 1 || len > 1 << 16) return 0;
    if (!e) prepare();
    ts_buf file = {0};
    const int q8 = data[0] >> 3 & 1;
    ts_session *s = session[q8];
    if (data[0] & 1) {
        if (!ts_buf_append(&file, data + 1, len - 1)) return 0;
    } else {
        if (!ts_buf_append(&file, valid[q8].data, valid[q8].len)) return 0;
        for (size_t i = 1; i + 8 <= len; i += 8) change(&file, data + i);
    }
    uint64_t id;
    if (ts_session_model_id(e, &id, NULL) != TS_OK) abort();
    if (data[0] & 4 && file.len >= AT_MODEL + 8) memcpy(file.data + AT_MODEL, &id, 8);
    if (data[0] & 2 && file.len >= 8) {
        ts_session_sum sum = {0};
        ts_session_sum_add(&sum, file.data, file.len - 8);
        const uint64_t h = ts_session_sum_end(&sum);
        memcpy(file.data + file.len - 8, &h, 8);
    }
    struct memory m = {file.data, file.len};
    const ts_session_source from = {.name = "fuzz", .bytes = file.len, .read = read_memory, .ud = &m};
    if (ts_session_restore_from(s, &from, NULL) == TS_OK) {
        size_t n;
        const ts_token *t = ts_session_tokens(s, &n);
        ts_token longer[N_CTX];
        if (n > N_CTX) abort();
        for (size_t i = 0; i < n; i++) {
            if (t[i] < 0 || t[i] >= VOCAB) abort();
            longer[i] = t[i];
        }
        if (n < N_CTX) {
            longer[n] = 3;
            (void)!ts_session_sync(s, longer, n + 1, NULL); /* keys and values may be anything, infinite too */
        }
    }
    ts_buf_free(&file);
    return 0;
}
