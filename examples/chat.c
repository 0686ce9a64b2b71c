/* chat.c - a conversation: each line of standard input is a question, answers come as they are drawn.
 *
 *     cc chat.c $(pkg-config --cflags --libs tessera) -o chat && ./chat MODEL.gguf
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tessera/tessera.h>

enum { MOST = 64 };

static bool print_piece(void *ud, const ts_piece *p) {
    char **said = ud;
    size_t n = strlen(*said);
    char *longer = realloc(*said, n + p->len + 1);
    if (!longer) return false;
    *said = longer;
    memcpy(longer + n, p->text, p->len);
    longer[n + p->len] = 0;
    fwrite(p->text, 1, p->len, stdout);
    return fflush(stdout) == 0;
}

static char *copy(const char *s) {
    char *c = malloc(strlen(s) + 1);
    return c ? strcpy(c, s) : NULL;
}

/* The conversation so far becomes a prompt; what of it the session has processed before is not processed again. */
static ts_status answer(ts_engine *e, ts_session *s, ts_sampler *sampler, const ts_message *msg, size_t n, char **said,
                        ts_err *err) {
    ts_prompt prompt;
    ts_generated g;
    const ts_generate_opts opts = {.on_piece = print_piece, .ud = said};
    ts_status st = ts_engine_chat(e, NULL, msg, n, &prompt, err);
    if (st != TS_OK) return st;
    st = ts_generate(s, sampler, prompt.token, prompt.n, &opts, &g, err);
    ts_prompt_release(&prompt);
    return st;
}

int main(int argc, char **argv) {
    ts_err err;
    ts_engine *e = NULL;
    ts_session *s = NULL;
    ts_sampler *sampler = NULL;
    ts_model_info info;
    ts_message msg[MOST];
    char line[4096];
    size_t n = 0;
    if (argc != 2) return fprintf(stderr, "usage: chat MODEL.gguf\n"), 2;
    ts_sampler_opts how = ts_sampler_defaults();
    how.temperature = 0;
    ts_status st = ts_engine_open(&e, argv[1], NULL, &err);
    if (st == TS_OK) ts_engine_info(e, &info);
    if (st == TS_OK) st = ts_session_new(&s, e, NULL, &err);
    if (st == TS_OK) st = ts_sampler_new(&sampler, &how, info.n_vocab, &err);
    while (st == TS_OK && n + 2 <= MOST && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *question = copy(line), *said = copy("");
        if (!question || !said) abort();
        msg[n].role = "user", msg[n++].content = question;
        st = answer(e, s, sampler, msg, n, &said, &err);
        msg[n].role = "assistant", msg[n++].content = said;
        putchar('\n');
    }
    if (st != TS_OK) fprintf(stderr, "chat: %s\n", err.msg);
    while (n--) free((char *)msg[n].content);
    ts_sampler_free(sampler);
    ts_session_free(s);
    ts_engine_close(e);
    return st == TS_OK ? 0 : 1;
}
