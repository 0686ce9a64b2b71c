/* npu_bits.c - --device npu-sim gives the logits of --device cpu, bit for bit: random models of odd shapes in every
 * type that the NPU takes, mixed types and types that stay on the CPU, the shared stories260K; one to seven tokens
 * at a time; for every seed of the simulated array's latencies (strict: memory exists twice, mishaps are errors).
 *
 * Usage: npu_bits SEEDS [MODELS [N]]   seeds 1 to SEEDS, and 0, which is nominal time with the ledger's own check;
 * MODELS: the folder of the bundled model, whose first N files (2, all of them, where N is not given) are tried too */
#include "base/mem.h"
#include "report/shape.h"
#include "tessera/tessera.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 272, TOKENS = 13, MODELS = 9 };

#define SHAPE(name_, arch_, layers, d, ff, heads, kv_heads, hd)                                                     \
    {                                                                                                               \
        .name = name_, .arch = arch_, .n_layer = layers, .d_model = d, .d_ff = ff, .n_head = heads,                 \
        .n_kv_head = kv_heads, .head_dim = hd, .n_vocab = VOCAB, .n_ctx = 64, .rope_base = 10000, .norm_eps = 1e-5f \
    }

static const struct {
    ts_shape shape;
    ts_mix mix;
    bool cpu_ops; /* some layers cannot run on the NPU */
} models[MODELS] = {
    {SHAPE("q8_0", "llama", 2, 96, 160, 3, 1, 32), {TS_Q8_0, TS_Q8_0, TS_Q8_0}, false},
    {SHAPE("q4_0", "llama", 2, 224, 1120, 7, 1, 32), {TS_Q4_0, TS_Q4_0, TS_Q4_0}, false},
    {SHAPE("q4_k", "llama", 1, 256, 1280, 4, 2, 64), {TS_Q4_K, TS_Q4_K, TS_Q4_K}, false},
    {SHAPE("q6_k", "llama", 1, 512, 256, 8, 1, 64), {TS_Q6_K, TS_Q6_K, TS_Q6_K}, false},
    {SHAPE("q4_k_m", "llama", 2, 256, 768, 4, 2, 64), {TS_Q4_K, TS_Q6_K, TS_Q6_K}, false},
    {SHAPE("qwen2, biases", "qwen2", 2, 224, 128, 7, 1, 32), {TS_Q8_0, TS_Q4_0, TS_Q4_0}, false},
    {SHAPE("qwen3, wide heads", "qwen3", 1, 256, 512, 4, 2, 128), {TS_Q4_0, TS_Q6_K, TS_Q8_0}, false},
    {SHAPE("rows of no whole blocks", "llama", 1, 288, 256, 3, 1, 96), {TS_Q4_K, TS_Q4_K, TS_Q4_K}, false},
    {SHAPE("types side by side", "llama", 2, 256, 352, 4, 2, 64), {TS_Q4_K, TS_BF16, TS_Q5_0}, true},
};

static void die(const char *model, const char *what, const ts_err *err) {
    printf("FAILED: %s: %s: %s\n", model, what, err->msg);
    exit(1);
}

static const uint8_t pieces[][TOKENS] = {{1, 2, 3, 4, 1, 2}, {7, 6}, {4, 4, 4, 1}, {2, 3, 1, 1, 3, 3}};
enum { MANNERS = sizeof pieces / sizeof *pieces };

static ts_kv_type kv; /* models take turns with F16 and Q8_0 */

/* The logits after each piece; rows of others stay as they are. */
static void run(const char *name, ts_engine *e, const uint8_t *piece, const ts_token *token, float *out,
                uint32_t n_vocab) {
    ts_session *s;
    ts_err err;
    if (ts_session_new(&s, e, &(ts_session_opts){.n_ctx = TOKENS, .kv = kv}, &err) != TS_OK) die(name, "session", &err);
    for (size_t n = 0; n < TOKENS; piece++) {
        n += *piece;
        if (ts_session_sync(s, token, n, &err) != TS_OK) die(name, "sync", &err);
        memcpy(out + (n - 1) * n_vocab, ts_session_logits(s), n_vocab * sizeof *out);
    }
    ts_session_free(s);
}

/* The ledger says that everything agrees, that the device has worked, and whether the CPU had to. */
static void check_ledger(const char *name, const ts_engine *e, bool cpu_ops) {
    ts_ledger_row row[64];
    size_t n = ts_engine_ledger(e, row, 64);
    uint64_t checked = 0, differ = 0, cpu = 0;
    for (size_t i = 0; i < n && i < 64; i++) {
        checked += row[i].checked;
        differ += row[i].differ + (row[i].sum_device != row[i].sum_cpu);
        cpu += row[i].linear && !strcmp(row[i].device, "cpu");
    }
    if (checked && !differ && !cpu == !cpu_ops) return;
    printf("FAILED: %s: ledger: %llu results checked, %llu differ, %llu kinds of layers on the CPU\n", name,
           (unsigned long long)checked, (unsigned long long)differ, (unsigned long long)cpu);
    exit(1);
}

struct source {
    const char *path; /* or */
    const void *file;
    size_t len;
};

static ts_engine *open_engine(const char *name, const struct source *from, const ts_engine_opts *o) {
    ts_engine *e;
    ts_err err;
    if ((from->path ? ts_engine_open(&e, from->path, o, &err)
                    : ts_engine_open_memory(&e, from->file, from->len, o, &err)) != TS_OK)
        die(name, o->device ? o->device : "cpu", &err);
    return e;
}

/* Compare all manners of feeding with all seeds against the CPU, which is fed token by token. */
static void compare(const char *name, const struct source *from, bool cpu_ops, unsigned seeds) {
    kv = kv == TS_KV_F16 ? TS_KV_Q8_0 : TS_KV_F16;
    ts_engine *e = open_engine(name, from, &(ts_engine_opts){.n_threads = 1});
    ts_model_info info;
    ts_engine_info(e, &info);
    const uint32_t n_vocab = info.n_vocab;
    ts_token token[TOKENS];
    for (int i = 0; i < TOKENS; i++) token[i] = (ts_token)(((uint32_t)i * 97 + 5) % n_vocab);
    const size_t bytes = (size_t)TOKENS * n_vocab * sizeof(float);
    float *want = malloc(bytes), *got = malloc(bytes);
    if (!want || !got) abort();
    run(name, e, (const uint8_t[TOKENS]){1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, token, want, n_vocab);
    ts_engine_close(e);
    unsigned runs = 0;
    for (unsigned seed = 0; seed <= seeds; seed++) {
        char device[80];
        snprintf(device, sizeof device, "npu-sim:seed=%u%s%s", seed, cpu_ops ? ",allow-cpu-ops" : "",
                 seed % 4 == 3 ? ",no-prefetch" : "");
        e = open_engine(name, from,
                        &(ts_engine_opts){.device = device, .n_threads = 2, .ledger_check = seed == 0});
        for (size_t p = 0; p < MANNERS; p++) {
            if (seed && p != seed % MANNERS) continue; /* each seed one manner, seed 0 all */
            memcpy(got, want, bytes);
            run(name, e, pieces[p], token, got, n_vocab);
            runs++;
            if (memcmp(got, want, bytes) != 0) {
                printf("FAILED: %s: seed %u, manner %zu: the logits are not those of the CPU\n", name, seed, p);
                exit(1);
            }
        }
        if (seed == 0) check_ledger(name, e, cpu_ops);
        ts_engine_close(e);
    }
    printf("%s: %u runs equal to the CPU's\n", name, runs);
    free(want);
    free(got);
}

/* Refused by name unless the CPU is allowed to help. */
static void check_refusal(const char *name, const struct source *from) {
    ts_engine *e;
    ts_err err;
    ts_status s = ts_engine_open_memory(&e, from->file, from->len, &(ts_engine_opts){.device = "npu-sim"}, &err);
    if (s == TS_OK) printf("FAILED: %s: not refused\n", name), exit(1);
    if (s != TS_E_UNSUPP || !strstr(err.msg, "tensor blk.") || !strstr(err.msg, "--allow-cpu-ops"))
        die(name, "refused with", &err);
}

int main(int argc, char **argv) {
    unsigned seeds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 5;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < MODELS; i++) {
        ts_buf file = {0};
        ts_err err;
        const char *name = models[i].shape.name;
        if (ts_shape_make(&models[i].shape, &models[i].mix, 1, &file, &err) != TS_OK) die(name, "model", &err);
        void *copy = ts_alloc_aligned(1, file.len);
        if (!copy) abort();
        memcpy(copy, file.data, file.len);
        const struct source from = {.file = copy, .len = file.len};
        if (models[i].cpu_ops) check_refusal(name, &from);
        compare(name, &from, models[i].cpu_ops, seeds);
        ts_free(copy);
        ts_buf_free(&file);
    }
    const char *shared = getenv("TESSERA_SHARED");
    if (!shared || !*shared)
        puts("skip: stories260K: no shared test data; cure: lay them beside the source tree as ../shared, or set "
             "TESSERA_SHARED");
    for (int i = 0; i < 2 && shared && *shared; i++) {
        char path[500];
        snprintf(path, sizeof path, "%s/assets/models/stories260K/stories260K.%s.gguf", shared, i ? "q4_0" : "q8_0");
        compare(i ? "stories260K q4_0" : "stories260K q8_0", &(struct source){.path = path}, true, seeds);
    }
    const unsigned bundled = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 2;
    for (unsigned i = 0; i < 2 && i < bundled && argc > 2; i++) {
        char path[500];
        snprintf(path, sizeof path, "%s/tessera-tiny-%s.gguf", argv[2], i ? "q4_0" : "q8_0");
        compare(i ? "tessera-tiny q4_0" : "tessera-tiny q8_0", &(struct source){.path = path}, false, seeds);
    }
    return 0;
}
