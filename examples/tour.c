/* tour.c - what the other examples do not show, a few lines each: messages to a sink, a prompt from JSON, stopping,
 * a second timeline, a beginning that is put into the model's mouth, a mask, a session in a file.
 *
 *     cc tour.c $(pkg-config --cflags --libs tessera) -o tour && ./tour MODEL.gguf FILE
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tessera/tessera.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

/* Asked often while a prompt or an answer is processed. */
static bool go_on(void *ud, uint64_t done, uint64_t all) {
    (void)ud, (void)done, (void)all;
    return !stopped;
}

static void log_line(void *ud, ts_log_level level, const char *line) {
    fprintf(ud, "%s: %s\n", level == TS_LOG_WARN ? "warning" : "note", line);
}

static bool print_piece(void *ud, const ts_piece *p) {
    (void)ud;
    fwrite(p->text, 1, p->len, stdout);
    return fflush(stdout) == 0;
}

/* Every call that can fail says why in one line. */
static void need(ts_status st, const ts_err *err) {
    if (st == TS_OK) return;
    fprintf(stderr, "tour: %s\n", err->msg);
    exit(1);
}

struct mask {
    uint32_t *bit; /* of each token: is it a number? */
    size_t bytes;
};

static struct mask numbers(const ts_engine *e, uint32_t n_vocab) {
    struct mask m = {.bytes = ((size_t)n_vocab + 31) / 32 * sizeof *m.bit};
    char text[64];
    size_t len;
    ts_err err;
    m.bit = calloc(1, m.bytes);
    if (!m.bit) abort();
    for (uint32_t i = 0; i < n_vocab; i++)
        if (ts_engine_token_text(e, (ts_token)i, text, sizeof text, &len, &err) == TS_OK && len > 0 &&
            len <= sizeof text && strspn(text, "0123456789") >= len)
            m.bit[i / 32] |= 1u << i % 32;
    return m;
}

/* All bits are set; a grammar would look at the history, these are always the same. */
static bool only_numbers(void *ud, const ts_token *history, size_t n_history, uint32_t *allowed) {
    const struct mask *m = ud;
    (void)history, (void)n_history;
    memcpy(allowed, m->bit, m->bytes);
    return true;
}

int main(int argc, char **argv) {
    static const char context[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"My name is Ada. What is 12 + 30?\"}],"
        " \"tools\": [], \"add_generation_prompt\": true}";
    static const char beginning[] = "12 + 30 = ";
    const ts_engine_opts how = {.device = "cpu", .n_threads = 2};
    const ts_session_opts room = {.n_ctx = 512, .kv = TS_KV_Q8_0, .progress = go_on};
    ts_sampler_opts draw = ts_sampler_defaults();
    ts_engine *e;
    ts_session *s, *other;
    ts_sampler *sampler;
    ts_model_info info;
    ts_prompt prompt;
    ts_generated g;
    ts_err err;
    ts_token *token;
    size_t n;
    if (argc != 3) return fprintf(stderr, "usage: tour MODEL.gguf FILE\n"), 2;
    ts_log_sink(log_line, stderr, TS_LOG_INFO);
    signal(SIGINT, on_signal);
    need(ts_engine_open(&e, argv[1], &how, &err), &err);
    ts_engine_info(e, &info);
    draw.temperature = 0;
    need(ts_sampler_new(&sampler, &draw, info.n_vocab, &err), &err);
    printf("a full context takes %llu KiB\n", (unsigned long long)ts_engine_context_bytes(e, &room) >> 10);
    need(ts_session_new(&s, e, &room, &err), &err);

    /* one prompt, two timelines: what they have in common is processed and kept once */
    need(ts_engine_chat_json(e, NULL, context, strlen(context), &prompt, &err), &err);
    need(ts_session_sync(s, prompt.token, prompt.n, &err), &err);
    need(ts_session_fork(&other, s, &err), &err);

    /* the first goes on by itself */
    ts_generate_opts opts = {.max_tokens = 64, .on_piece = print_piece};
    need(ts_generate(s, sampler, prompt.token, prompt.n, &opts, &g, &err), &err);
    printf("\n%s\n", g.reason == TS_STOP_END ? "the model ended it" : "something else ended it");

    /* the second has its answer begun for it, and may then say numbers only */
    need(ts_engine_tokenize(e, beginning, strlen(beginning), TS_TOKENIZE_NO_PREFIX, &token, &n, &err), &err);
    need(ts_session_append(other, token, n, &err), &err);
    ts_tokens_release(token);
    while (ts_session_pending(other)) need(ts_sessions_step(&other, 1, 0, &err), &err);
    struct mask mask = numbers(e, info.n_vocab);
    opts = (ts_generate_opts){.max_tokens = 2, .on_piece = print_piece, .mask = only_numbers, .mask_ud = &mask};
    const ts_token *line = ts_session_tokens(other, &n);
    need(ts_generate(other, sampler, line, n, &opts, &g, &err), &err);
    putchar('\n');

    /* to a file and back, as if it had never been interrupted */
    size_t before, after;
    (void)ts_session_tokens(s, &before);
    need(ts_session_save(s, argv[2], &err), &err);
    need(ts_session_truncate(s, 3, &err), &err);
    need(ts_session_restore(s, argv[2], &err), &err);
    line = ts_session_tokens(s, &after);
    char *text;
    need(ts_engine_detokenize(e, line + prompt.n, after - prompt.n, 0, &text, &n, &err), &err);
    printf("%s: %s\n", after == before ? "all of it is back" : "something is missing", text);
    ts_text_release(text);

    free(mask.bit);
    ts_prompt_release(&prompt);
    ts_session_free(other);
    ts_session_free(s);
    ts_sampler_free(sampler);
    ts_engine_close(e);
    return 0;
}
