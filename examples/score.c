/* score.c - one line about each line of standard input: how surprising the model finds it (nats a token, after the
 * first), and how near its meaning is to the first line's (cosine of mean embeddings).
 *
 *     cc score.c $(pkg-config --cflags --libs tessera) -lm -o score && ./score MODEL.gguf <texts
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tessera/tessera.h>

/* What the scores of one line need. */
struct score {
    const ts_token *token;
    size_t n;
    uint32_t n_vocab;
    double nats;
};

/* Logits after position pos say how likely the token behind it was. */
static bool add(void *ud, size_t pos, const float *logits) {
    struct score *s = ud;
    double sum = 0, best = (double)logits[0];
    if (pos + 1 == s->n) return true;
    for (uint32_t i = 1; i < s->n_vocab; i++) best = fmax(best, (double)logits[i]);
    for (uint32_t i = 0; i < s->n_vocab; i++) sum += exp((double)logits[i] - best);
    s->nats += best + log(sum) - (double)logits[s->token[pos + 1]];
    return true;
}

static double dot(const float *a, const float *b, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

int main(int argc, char **argv) {
    ts_err err;
    ts_engine *e = NULL;
    ts_session *s = NULL;
    ts_model_info info;
    float *first = NULL, *now = NULL;
    char line[4096];
    if (argc != 2) return fprintf(stderr, "usage: score MODEL.gguf\n"), 2;
    ts_status st = ts_engine_open(&e, argv[1], NULL, &err);
    if (st == TS_OK) st = ts_session_new(&s, e, NULL, &err);
    if (st == TS_OK) {
        ts_engine_info(e, &info);
        first = calloc(info.d_model, sizeof *first);
        now = calloc(info.d_model, sizeof *now);
        if (!first || !now) abort();
    }
    for (int n = 0; st == TS_OK && fgets(line, sizeof line, stdin); n++) {
        line[strcspn(line, "\n")] = 0;
        struct score score = {.n_vocab = info.n_vocab};
        ts_token *token = NULL;
        st = ts_engine_tokenize(e, line, strlen(line), TS_TOKENIZE_BOS, &token, &score.n, &err);
        score.token = token;
        if (st == TS_OK) st = ts_session_score(s, token, score.n, add, &score, &err);
        if (st == TS_OK)
            st = ts_session_embed(s, token, score.n, TS_POOLING_MEAN, true, n ? now : first, &err);
        ts_tokens_release(token);
        if (st == TS_OK)
            printf("%8.4f %8.4f  %s\n", score.n > 1 ? score.nats / (double)(score.n - 1) : 0.0,
                   dot(first, n ? now : first, info.d_model), line);
    }
    if (st != TS_OK) fprintf(stderr, "score: %s\n", err.msg);
    free(first);
    free(now);
    ts_session_free(s);
    ts_engine_close(e);
    return st == TS_OK ? 0 : 1;
}
