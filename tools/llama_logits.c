/* llama_logits.c - the logits that llama.cpp computes for given tokens. Not part of the build: make_vectors.py
 * compiles it against an installed libllama (Debian: libllama-dev) and runs it when the stored vectors are made
 * anew.
 *
 * Usage: llama_logits MODEL.gguf 1,2,3 OUT.f32 f32|f16
 * One thread, no flash attention, KV cache of the given type; output f32 [position][vocabulary]. */
#include <ggml-backend.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void errors_only(enum ggml_log_level level, const char *text, void *ud) {
    (void)ud;
    if (level >= GGML_LOG_LEVEL_WARN) fputs(text, stderr);
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "llama_logits: MODEL IDS OUT f32|f16\n"), 2;
    llama_log_set(errors_only, NULL);
    ggml_backend_load_all();
    llama_backend_init();
    static llama_token token[4096];
    int n = 0;
    for (char *p = strtok(argv[2], ","); p && n < 4096; p = strtok(NULL, ",")) token[n++] = atoi(p);
    struct llama_model_params mp = llama_model_default_params();
    struct llama_model *model = llama_model_load_from_file(argv[1], mp);
    if (!model) return 1;
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = cp.n_batch = cp.n_ubatch = 512;
    cp.n_threads = cp.n_threads_batch = 1;
    cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    cp.type_k = cp.type_v = strcmp(argv[4], "f16") ? GGML_TYPE_F32 : GGML_TYPE_F16;
    struct llama_context *ctx = llama_init_from_model(model, cp);
    if (!ctx) return 1;
    struct llama_batch b = llama_batch_init(512, 0, 1);
    b.n_tokens = n;
    for (int i = 0; i < n; i++) {
        b.token[i] = token[i];
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    if (llama_decode(ctx, b)) return fprintf(stderr, "llama_decode failed\n"), 1;
    FILE *f = fopen(argv[3], "wb");
    if (!f) return perror(argv[3]), 1;
    size_t n_vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int i = 0; i < n; i++) fwrite(llama_get_logits_ith(ctx, i), sizeof(float), n_vocab, f);
    return fclose(f) ? 1 : 0;
}
