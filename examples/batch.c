/* batch.c - all lines of standard input are questions, answered together: each weight is read once for all of them.
 * It is the loop of a server, without the network.
 *
 *     cc batch.c $(pkg-config --cflags --libs tessera) -o batch && ./batch MODEL.gguf <questions
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tessera/tessera.h>

enum { MOST = 16, CONTEXT = 512 };

struct client {
    ts_session *s;
    ts_sampler *sampler;
    ts_answer *answer;
    char text[4096];
    size_t len;
    bool over;
};

static ts_status begin(struct client *c, ts_engine *e, const char *question, ts_err *err) {
    const ts_session_opts room = {.n_ctx = CONTEXT};
    const ts_message msg = {"user", question};
    ts_sampler_opts how = ts_sampler_defaults();
    ts_model_info info;
    ts_prompt p;
    how.temperature = 0;
    ts_engine_info(e, &info);
    ts_status st = ts_engine_chat(e, NULL, &msg, 1, &p, err);
    if (st != TS_OK) return st;
    st = ts_session_new(&c->s, e, &room, err);
    if (st == TS_OK) st = ts_sampler_new(&c->sampler, &how, info.n_vocab, err);
    if (st == TS_OK) st = ts_answer_new(&c->answer, e, c->sampler, p.token[p.n - 1], NULL, err);
    if (st == TS_OK) st = ts_session_prepare(c->s, p.token, p.n, err);
    ts_prompt_release(&p);
    return st;
}

/* The next token of a client whose prompt has been read: a server would send the piece. */
static ts_status next(struct client *c, ts_err *err) {
    size_t n;
    const ts_piece *p;
    const ts_token *line = ts_session_tokens(c->s, &n);
    ts_status st = ts_answer_next(c->answer, ts_session_logits(c->s), line, n, &p, err);
    if (st == TS_OK && !p->last && n == CONTEXT) st = ts_answer_finish(c->answer, TS_STOP_CONTEXT, &p, err);
    if (st != TS_OK) return st;
    size_t room = sizeof c->text - c->len, len = p->len < room ? p->len : room;
    memcpy(c->text + c->len, p->text, len);
    c->len += len;
    c->over = p->last;
    return c->over ? TS_OK : ts_session_append(c->s, &p->token, 1, err);
}

int main(int argc, char **argv) {
    static struct client client[MOST];
    ts_session *busy[MOST];
    ts_err err;
    ts_engine *e = NULL;
    char line[4096];
    size_t n = 0;
    if (argc != 2) return fprintf(stderr, "usage: batch MODEL.gguf\n"), 2;
    ts_status st = ts_engine_open(&e, argv[1], NULL, &err);
    while (st == TS_OK && n < MOST && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        st = begin(&client[n++], e, line, &err);
    }
    while (st == TS_OK) {
        size_t n_busy = 0;
        for (size_t i = 0; i < n; i++)
            if (!client[i].over) busy[n_busy++] = client[i].s;
        if (!n_busy) break;
        st = ts_sessions_step(busy, n_busy, 0, &err);
        for (size_t i = 0; st == TS_OK && i < n; i++)
            if (!client[i].over && !ts_session_pending(client[i].s)) st = next(&client[i], &err);
    }
    for (size_t i = 0; i < n; i++) {
        if (st == TS_OK) printf("%.*s\n", (int)client[i].len, client[i].text);
        ts_answer_free(client[i].answer);
        ts_sampler_free(client[i].sampler);
        ts_session_free(client[i].s);
    }
    if (st != TS_OK) fprintf(stderr, "batch: %s\n", err.msg);
    ts_engine_close(e);
    return st == TS_OK ? 0 : 1;
}
