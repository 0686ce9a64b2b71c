/* Files of the KV store: one that is damaged or hostile, read tile by tile, and what comes of it used for a token more.
 * The first byte of the input: bit 0: the rest is the file itself; otherwise it is a list of changes to a valid file, 8
 * bytes each: where (4 bytes; all ones: the length), with what (4 bytes). Bit 1: the checksums are made to fit; bit 2:
 * the model's identity and the versions too; bit 3: the cache is q8_0. */
#define _GNU_SOURCE /* memfd_create */
#include "engine/prefix_file.h"
#include "engine/session_file.h"
#include "report/shape.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { N_CTX = 256, N = 192, FIRST = 1, VOCAB = 270 };

static const ts_shape shape = {.name = "fuzz", .arch = "llama", .n_layer = 2, .d_model = 32, .d_ff = 64, .n_head = 2,
                               .n_kv_head = 1, .head_dim = 12, .n_vocab = VOCAB, .n_ctx = 256, .rope_base = 10000,
                               .norm_eps = 1e-5f};

static ts_engine *e;
static uint64_t model;
static ts_token token[N];
static struct of_type {
    ts_session *s; /* of all tokens */
    ts_prefix_path path;
    ts_buf file; /* tiles 1 and 2 of them */
} of[2]; /* f16, q8_0 */

static void must(bool ok) {
    if (!ok) abort();
}

static int file_of(const void *data, size_t len) {
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    return fd;
}

static void prepare_type(struct of_type *t, ts_kv_type kv) {
    char path[] = "/tmp/ts-fuzz-prefix-XXXXXX", name[64];
    uint64_t bytes;
    must(ts_session_new(&t->s, e, &(ts_session_opts){.n_ctx = N_CTX, .kv = kv}, NULL) == TS_OK);
    must(ts_session_sync(t->s, token, N, NULL) == TS_OK);
    must(ts_prefix_path_init(&t->path, model, kv, token, N / TS_KV_TILE, NULL) == TS_OK);
    must(mkdtemp(path));
    snprintf(name, sizeof name, "%s/a", path);
    must(ts_prefix_file_write(name, model, &t->s->kv, &t->path, FIRST, t->s->kv.page + FIRST, &bytes, NULL) == TS_OK);
    must(ts_buf_reserve(&t->file, bytes));
    FILE *f = fopen(name, "rb");
    must(f && fread(t->file.data, 1, bytes, f) == bytes && fgetc(f) == EOF);
    t->file.len = bytes;
    fclose(f);
    unlink(name);
    rmdir(path);
}

static void prepare(void) {
    ts_buf made = {0};
    must(ts_shape_make(&shape, &(ts_mix){TS_Q8_0, TS_Q8_0, TS_Q8_0}, 1, &made, NULL) == TS_OK);
    void *file = ts_alloc_aligned(made.len, 1); /* the engine's until the program ends */
    must(file);
    memcpy(file, made.data, made.len);
    must(ts_engine_open_memory(&e, file, made.len, &(ts_engine_opts){.n_threads = 1}, NULL) == TS_OK);
    ts_buf_free(&made);
    must(ts_session_model_id(e, &model, NULL) == TS_OK);
    for (int i = 0; i < N; i++) token[i] = i * 7 % VOCAB;
    prepare_type(&of[0], TS_KV_F16);
    prepare_type(&of[1], TS_KV_Q8_0);
}

static void change(ts_buf *file, const uint8_t *op) {
    uint32_t where, what;
    memcpy(&where, op, 4);
    memcpy(&what, op + 4, 4);
    if (where == UINT32_MAX) file->len = what < file->len ? what : file->len; /* cut off */
    else if (file->len >= 4) memcpy(file->data + where % (file->len - 3), &what, 4);
}

static uint64_t sum_of(const void *a, size_t len_a, const void *b, size_t len_b) {
    ts_session_sum sum = {0};
    ts_session_sum_add(&sum, a, len_a);
    ts_session_sum_add(&sum, b, len_b);
    return ts_session_sum_end(&sum);
}

/* Checksums that fit, of what there is. */
static void seal(ts_buf *file, bool identity) {
    ts_prefix_head h;
    if (file->len < sizeof h) return;
    memcpy(&h, file->data, sizeof h);
    if (identity) {
        ts_prefix_head good;
        memcpy(&good, of[0].file.data, sizeof good);
        memcpy(h.magic, good.magic, sizeof h.magic);
        h.model = model, h.version = good.version, h.arithmetic = good.arithmetic;
    }
    const uint64_t table = h.n * sizeof(ts_prefix_entry), tokens = ((uint64_t)h.first + h.n) * 256,
                   pages = (sizeof h + table + tokens + 63) / 64 * 64;
    for (uint64_t i = 0; h.page_bytes < 1 << 20 && i < h.n && pages + (i + 1) * h.page_bytes <= file->len; i++) {
        const uint64_t sum = sum_of(file->data + pages + i * h.page_bytes, h.page_bytes, "", 0);
        memcpy(file->data + sizeof h + i * sizeof(ts_prefix_entry) + offsetof(ts_prefix_entry, sum), &sum, sizeof sum);
    }
    if (sizeof h + table + tokens <= file->len) h.token_sum = sum_of(file->data + sizeof h + table, tokens, "", 0);
    if (sizeof h + table <= file->len)
        h.head_sum = sum_of(&h, offsetof(ts_prefix_head, head_sum), file->data + sizeof h, table);
    memcpy(file->data, &h, sizeof h);
}

/* The file's tiles in place of the session's own, and a token more. */
static void use(const struct of_type *t, const ts_prefix_file *f) {
    ts_session *s;
    uint32_t same, n = FIRST;
    if (!f->known || ts_prefix_file_compare(f, &t->path, &same, NULL) != TS_OK) return;
    must(same <= t->path.n && same <= f->h.first + f->h.n);
    must(ts_session_fork(&s, t->s, NULL) == TS_OK);
    for (; n < same && n >= f->h.first; n++) {
        char *page;
        must(ts_kv_page_new(&s->kv, &page, NULL) == TS_OK);
        if (ts_prefix_file_page(f, n - f->h.first, &s->kv, page, NULL) != TS_OK) {
            ts_kv_page_drop(&s->kv, page);
            break;
        }
        ts_kv_put(&s->kv, n, page);
    }
    must(ts_session_truncate(s, (size_t)n * TS_KV_TILE, NULL) == TS_OK);
    (void)!ts_session_append(s, token, 3, NULL);
    (void)!ts_sessions_step(&s, 1, 0, NULL); /* keys and values are finite, and may be anything */
    ts_session_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 1 || len > 1 << 16) return 0;
    if (!e) prepare();
    ts_buf file = {0};
    const struct of_type *t = &of[data[0] >> 3 & 1];
    if (data[0] & 1) {
        must(ts_buf_append(&file, data + 1, len - 1));
    } else {
        must(ts_buf_append(&file, t->file.data, t->file.len));
        for (size_t i = 1; i + 8 <= len; i += 8) change(&file, data + i);
    }
    if (data[0] & 6) seal(&file, data[0] & 4);
    ts_prefix_file f;
    if (ts_prefix_file_from(&f, file_of(file.data, file.len), "fuzz", NULL) == TS_OK) {
        use(t, &f);
        ts_prefix_file_close(&f);
    }
    ts_buf_free(&file);
    return 0;
}
