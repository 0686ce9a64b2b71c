#include "cli/cmd_chat_talk.h"

#include <string.h>

void chat_talk_free(chat_talk *t) {
    chat_talk_drop_last(t, t->n);
    ts_free(t->exchange);
    ts_free(t->system);
    *t = (chat_talk){0};
}

bool chat_talk_set_system(chat_talk *t, const char *text) {
    char *copy = NULL;
    if (text && *text && !(copy = ts_strdup(text))) return false;
    ts_free(t->system);
    t->system = copy;
    return true;
}

bool chat_talk_push(chat_talk *t, char *user, char *answer) {
    if (user && answer && ts_grow((void **)&t->exchange, &t->cap, t->n + 1, sizeof *t->exchange)) {
        t->exchange[t->n++] = (chat_exchange){user, answer};
        return true;
    }
    ts_free(user);
    ts_free(answer);
    return false;
}

void chat_talk_drop_first(chat_talk *t, size_t n) {
    if (n > t->n) n = t->n;
    for (size_t i = 0; i < n; i++) {
        ts_free(t->exchange[i].user);
        ts_free(t->exchange[i].answer);
    }
    if (n) memmove(t->exchange, t->exchange + n, (t->n - n) * sizeof *t->exchange);
    t->n -= n;
}

void chat_talk_drop_last(chat_talk *t, size_t n) {
    for (; n && t->n; n--) {
        t->n--;
        ts_free(t->exchange[t->n].user);
        ts_free(t->exchange[t->n].answer);
    }
}

size_t chat_talk_messages(const chat_talk *t, size_t first, const char *user, ts_message *out) {
    size_t n = 0;
    if (t->system) out[n++] = (ts_message){"system", t->system};
    for (size_t i = first; i < t->n; i++) {
        out[n++] = (ts_message){"user", t->exchange[i].user};
        out[n++] = (ts_message){"assistant", t->exchange[i].answer};
    }
    if (user) out[n++] = (ts_message){"user", user};
    return n;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

void chat_settings_table(chat_settings *s, cli_opt out[CHAT_OPTIONS]) {
    const cli_opt table[] = {
        {CLI_INT, 'n', "predict", "N", &s->n_predict, -1, 1 << 24,
         "at most N tokens an answer (default 0 or -1: until it ends)",
         .also = "--n-predict --max-tokens --num-predict"},
        CLI_SAMPLING_OPTS(s->sampling),
        {0},
    };
    _Static_assert(sizeof table <= CHAT_OPTIONS * sizeof *table, "CHAT_OPTIONS is too small");
    memcpy(out, table, sizeof table);
}

void chat_settings_free(chat_settings *s) {
    cli_sampling_free(&s->sampling);
    for (size_t i = 0; i < s->n_owned; i++) ts_free(s->owned[i]);
    ts_free(s->owned);
    *s = (chat_settings){0};
}

ts_status chat_settings_set(chat_settings *s, const char *name, const char *value, uint32_t n_vocab, ts_err *err) {
    cli_opt table[CHAT_OPTIONS];
    chat_settings_table(s, table);
    const cli_opt *o = cli_opt_find(table, name, strlen(name));
    if (!o) return ts_fail(err, TS_E_INVAL, "there is no setting \"%s\"", name);
    if (o->out == &s->sampling.bias) {
        ts_logit_bias bias;
        TS_TRY(cli_parse_bias(name, value, n_vocab, &bias, err));
    }
    if (o->kind != CLI_LIST) return cli_opt_set(o, name, value, err);
    char *copy = ts_strdup(value); /* the list borrows it */
    if (copy && ts_grow((void **)&s->owned, &s->owned_cap, s->n_owned + 1, sizeof *s->owned)) {
        ts_status st = cli_opt_set(o, name, copy, err);
        if (st == TS_OK) s->owned[s->n_owned++] = copy;
        else ts_free(copy);
        return st;
    }
    ts_free(copy);
    return ts_fail_nomem(err, name, strlen(value));
}

ts_status chat_settings_unset(chat_settings *s, const char *name, ts_err *err) {
    chat_settings fresh = {.sampling = cli_sampling_defaults()};
    cli_opt table[CHAT_OPTIONS], defaults[CHAT_OPTIONS];
    chat_settings_table(s, table);
    chat_settings_table(&fresh, defaults);
    const cli_opt *o = cli_opt_find(table, name, strlen(name));
    if (!o) return ts_fail(err, TS_E_INVAL, "there is no setting \"%s\"", name);
    const void *from = defaults[o - table].out;
    if (o->kind == CLI_INT) *(long *)o->out = *(const long *)from;
    else if (o->kind == CLI_REAL) *(double *)o->out = *(const double *)from;
    else ((cli_list *)o->out)->n = 0;
    return TS_OK;
}
