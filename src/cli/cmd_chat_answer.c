/* cmd_chat_answer.c - one answer of a chat: the prompt's tokens, the stream of text, the counts.
 *
 * The prompt of every turn is what the template makes of all messages. What the model sees is thus a function of the
 * messages alone: a conversation that was saved and loaded, retried, or held by another program gives the same
 * tokens, hence the same logits. ts_session_sync then finds how far these tokens agree with those in the KV cache,
 * and only the rest is processed.
 *
 * The tokens that the model drew are not put back into later prompts in the place of their text. Where drawing and
 * tokenising agree, which is the rule, that would change nothing; where they do not (a model may spell a word with
 * other pieces than the tokenizer does), it would show the model a prompt that its template never gives, and the
 * cost of being right is to process the rest of that answer again, once. What must not happen is that the *text* of
 * an answer differs from what was drawn, because then every turn would lose the cache. Two things see to that: the
 * end token, which closes the turn in the template just as the model did, and the space that templates of the Llama
 * 2 kind write in front of answers, which the model writes too (drop_space). */
#include "base/clock.h"
#include "base/cpu.h"
#include "cli/cmd_chat.h"
#include "cli/output.h"

#include <string.h>

/* The prompt of the exchanges from `first` on and a new message. */
static ts_status prompt_of(chat *c, size_t first, const char *user, ts_prompt *out, ts_err *err) {
    ts_message *msg = ts_alloc(2 * c->talk.n + 2, sizeof *msg);
    if (!msg) return ts_fail_nomem(err, "messages", c->talk.n);
    size_t n = chat_talk_messages(&c->talk, first, user, msg);
    ts_status s = ts_engine_chat(c->e, &c->template.opts, msg, n, out, err);
    ts_free(msg);
    return s;
}

static ts_status prompt_tokens(chat *c, size_t first, const char *user, ts_token **out, size_t *n, ts_err *err) {
    ts_prompt p;
    TS_TRY(prompt_of(c, first, user, &p, err));
    *out = p.token, *n = p.n;
    p.token = NULL;
    ts_prompt_release(&p);
    return TS_OK;
}

const char *chat_template_name(const chat *c) {
    return c->template.name ? c->template.name : c->template.file ? c->template.file : c->info.chat_template;
}

ts_status chat_count(chat *c, size_t first, const char *user, size_t *n, ts_err *err) {
    *n = 0;
    if (first >= c->talk.n && !user) return TS_OK;
    ts_token *token;
    TS_TRY(prompt_tokens(c, first, user, &token, n, err));
    ts_tokens_release(token);
    return TS_OK;
}

/* Does the template write a space in front of answers that is not there where an answer is to begin? */
static bool writes_space(chat *c, ts_message *msg, size_t n, const ts_prompt *question) {
    static const char mark[] = "ANSWER";
    ts_prompt answered;
    msg[n] = (ts_message){"assistant", mark};
    msg[n + 1] = (ts_message){"user", "question"};
    if (ts_engine_chat(c->e, &c->template.opts, msg, n + 2, &answered, NULL) != TS_OK) return false;
    bool space = false;
    for (size_t i = 0; i < answered.n_data; i++) {
        const char *s = answered.text + answered.data[i].begin;
        if (answered.data[i].end - answered.data[i].begin < sizeof mark - 1 || memcmp(s, mark, sizeof mark - 1) != 0)
            continue;
        space = s > answered.text && s[-1] == ' ' && question->len && question->text[question->len - 1] != ' ';
    }
    ts_prompt_release(&answered);
    return space;
}

ts_status chat_check_template(chat *c, ts_err *err) {
    ts_message msg[4];
    size_t n = 0;
    ts_prompt question;
    if (c->talk.system) msg[n++] = (ts_message){"system", c->talk.system};
    msg[n++] = (ts_message){"user", "question"};
    TS_TRY(ts_engine_chat(c->e, &c->template.opts, msg, n, &question, err));
    c->drop_space = writes_space(c, msg, n, &question);
    ts_prompt_release(&question);
    return TS_OK;
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

struct stream {
    chat *c;
    ts_buf text;
    bool begun; /* the first text has come */
    bool nomem;
};

static bool on_piece(void *ud, const ts_piece *p) {
    struct stream *w = ud;
    chat *c = w->c;
    cli_progress_end(&c->model.prompt);
    if (p->len) {
        size_t skip = !w->begun && c->drop_space && p->text[0] == ' ';
        w->begun = true;
        if (!ts_buf_append(&w->text, p->text + skip, p->len - skip)) w->nomem = true;
        if (!c->gone && p->len > skip) c->gone = !cli_put_text(p->text + skip, p->len - skip);
    }
    return !w->nomem && !c->gone && !cli_interrupted();
}

/* The answer's last line is ended: what follows begins at the left. In a pipe every answer has a line break of its
 * own behind it. */
static void end_line(chat *c, const ts_buf *text) {
    bool ended = text->len && text->data[text->len - 1] == '\n';
    if (!c->gone) c->gone = !cli_put_end();
    if (!c->gone && (!text->len || (ended && !c->terminal))) c->gone = !cli_put_text("\n", 1);
}

static void add_counts(chat *c, const ts_generated *g, size_t n_prompt) {
    ts_session_stats st;
    ts_session_get_stats(c->s, &st);
    /* one new token of a prompt is processed as a decoding step, and the last one drawn is not processed at all */
    c->last = (cli_counts){.n_answers = 1, .n_prompt = n_prompt, .n_reused = st.n_reused,
                           .n_read = n_prompt - st.n_reused, .n_drawn = g->n_tokens,
                           .n_steps = g->n_tokens ? g->n_tokens - 1 : 0, .first_ns = g->first_ns};
    c->last.read_ns = g->n_tokens ? g->first_ns : g->total_ns;
    c->last.draw_ns = c->last.n_steps ? g->total_ns - g->first_ns : 0;
    c->last_reason = g->reason;
    c->last_seed = c->settings.sampling.temp > 0 ? c->settings.sampling.seed : -1;
    cli_counts_add(&c->all, &c->last);
}

static ts_status generate(chat *c, const ts_token *prompt, size_t n_prompt, struct stream *w, ts_generated *g,
                          ts_err *err) {
    ts_sampler *sampler;
    cli_sampling *sampling = &c->settings.sampling;
    TS_TRY(cli_sampler_new(sampling, c->info.n_vocab, &sampler, err));
    ts_generate_opts opts = {.max_tokens = (size_t)c->settings.n_predict, .stop = sampling->stop.item,
                             .n_stop = sampling->stop.n, .on_piece = on_piece, .ud = w,
                             .constraint = c->constrain.constraint};
    ts_session_stats_reset(c->s);
    cli_interrupt_clear();
    cli_progress_begin(&c->model.prompt);
    ts_status s = ts_generate(c->s, sampler, prompt, n_prompt, &opts, g, err);
    cli_progress_end(&c->model.prompt);
    ts_sampler_free(sampler);
    if (s == TS_OK && w->nomem) s = ts_fail_nomem(err, "the answer", w->text.len);
    return s;
}

/* What makes room from the start, where it does: a model knows no more than it was trained with. */
static const char *more_room(const chat *c) {
    return ts_session_n_ctx(c->s) < c->info.n_ctx_train ? ", --ctx N at the start makes room" : "";
}

/* No room for the message even alone. */
static void refuse_message(chat *c, size_t n) {
    const uint32_t n_ctx = ts_session_n_ctx(c->s), most = c->info.n_ctx_train;
    if (n >= most)
        chat_refuse(c, "the message has %zu tokens with its template, the model's context only %u: shorten it", n,
                    n_ctx > most ? n_ctx : most);
    else
        chat_refuse(c,
                    "the message has %zu tokens with its template, the context only %u: shorten it, or start with "
                    "--ctx %zu or more",
                    n, n_ctx, n + 512 < most ? n + 512 : most);
}

/* No room for the prompt: what can be done about it. */
static void refuse_full(chat *c, size_t n_prompt, const char *user) {
    size_t alone = 0;
    uint32_t n_ctx = ts_session_n_ctx(c->s);
    ts_err err;
    if (c->talk.n == 0 || chat_count(c, c->talk.n, user, &alone, &err) != TS_OK || alone > n_ctx)
        refuse_message(c, alone ? alone : n_prompt);
    else if (c->terminal)
        chat_refuse(c,
                    "the context is full: conversation and message have %zu tokens, it holds %u. /trim forgets the "
                    "oldest exchanges; then "
                    "Up brings your message back. /reset forgets all of them%s.",
                    n_prompt, n_ctx, more_room(c));
    else
        chat_refuse(
            c,
            "the context is full: conversation and message have %zu tokens, it holds %u; /trim drops the oldest "
            "exchanges, /reset all of them%s",
            n_prompt, n_ctx, more_room(c));
}

/* --auto-trim: the oldest exchanges make room for the message, until half of the context is free. */
static ts_status make_room(chat *c, const char *user, ts_err *err) {
    const uint32_t n_ctx = ts_session_n_ctx(c->s);
    size_t n = 0, tokens = 0;
    for (; n < c->talk.n; n++) {
        TS_TRY(chat_count(c, n, user, &tokens, err));
        if (tokens <= n_ctx / 2) break;
    }
    chat_talk_drop_first(&c->talk, n);
    chat_note(c, "(the context was full: the oldest %zu exchange%s forgotten)", n, n == 1 ? " is" : "s are");
    return TS_OK;
}

/* Before the context is full: once, at four fifths. */
static void warn_full(chat *c) {
    size_t used;
    const uint32_t n_ctx = ts_session_n_ctx(c->s);
    (void)ts_session_tokens(c->s, &used);
    const bool late = used >= n_ctx / 5 * 4;
    if (late && !c->warned && c->terminal && !c->auto_trim)
        chat_note(c,
                  "(%zu of %u tokens of the context are used. When it is full: /trim forgets the oldest exchanges, "
                  "/reset all of them)",
                  used, n_ctx);
    c->warned = late;
}

bool chat_answer(chat *c, const char *user) {
    ts_err err;
    ts_token *prompt;
    size_t n_prompt;
    ts_status got = prompt_tokens(c, 0, user, &prompt, &n_prompt, &err);
    if (got == TS_OK && n_prompt > ts_session_n_ctx(c->s) && c->auto_trim && c->talk.n) {
        ts_tokens_release(prompt);
        got = make_room(c, user, &err);
        if (got == TS_OK) got = prompt_tokens(c, 0, user, &prompt, &n_prompt, &err);
    }
    if (got != TS_OK) {
        chat_fail(c, &err);
        return false;
    }
    if (n_prompt > ts_session_n_ctx(c->s)) {
        refuse_full(c, n_prompt, user);
        ts_tokens_release(prompt);
        return false;
    }
    struct stream w = {.c = c};
    ts_generated g;
    ts_status s = generate(c, prompt, n_prompt, &w, &g, &err);
    ts_tokens_release(prompt);
    bool kept = false;
    if (s == TS_OK) {
        end_line(c, &w.text);
        add_counts(c, &g, n_prompt);
        c->settings.sampling.seed++; /* every answer has a seed of its own, and a given first one makes all of them */
        kept = chat_talk_push(&c->talk, ts_strdup(user), ts_strdup(w.text.data ? w.text.data : ""));
        c->n_cached = c->talk.n;
        if (!kept) s = ts_fail_nomem(&err, "the answer", w.text.len);
    } else if (w.text.len) {
        end_line(c, &w.text);
    }
    ts_buf_free(&w.text);
    if (s == TS_E_CANCELLED) chat_refuse(c, "stopped before the answer began; the message is not kept");
    else if (s != TS_OK) chat_fail(c, &err);
    else if (g.reason == TS_STOP_CANCELLED && !c->gone) chat_note(c, "(stopped)");
    else if (g.reason == TS_STOP_CONTEXT)
        chat_refuse(
            c,
            "the context of %u tokens is full, the answer is cut off: /trim drops the oldest exchanges, /reset all of "
            "them%s",
            ts_session_n_ctx(c->s), more_room(c));
    if (kept && c->verbose) chat_print_last(c);
    if (kept && g.reason != TS_STOP_CONTEXT) warn_full(c);
    return kept;
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

static void print(chat *c, bool ok, ts_buf *lines) {
    if (ok) {
        lines->data[lines->len - 1] = 0; /* the note ends the last line */
        chat_note(c, "%s", lines->data);
    }
    ts_buf_free(lines);
}

size_t chat_used(chat *c) {
    size_t n, counted;
    ts_err err;
    if (!c->talk.n) return 0;
    (void)ts_session_tokens(c->s, &n);
    return c->talk.n != c->n_cached && chat_count(c, 0, NULL, &counted, &err) == TS_OK ? counted : n;
}

void chat_print_last(chat *c) {
    ts_buf out = {0};
    print(c,
          cli_stats_counts(&out, &c->last, cli_stop_name(c->last_reason), c->last_seed) &&
              cli_stats_device(&out, &c->info),
          &out);
}

void chat_print_stats(chat *c) {
    ts_buf out = {0};
    ts_session_stats st;
    ts_session_get_stats(c->s, &st);
    bool ok = true;
    if (c->last.n_answers)
        ok = ts_buf_puts(&out, "the last answer\n") &&
             cli_stats_counts(&out, &c->last, cli_stop_name(c->last_reason), c->last_seed);
    ok = ok && ts_buf_printf(&out, "the session: %zu answer%s\n", c->all.n_answers, c->all.n_answers == 1 ? "" : "s") &&
         cli_stats_counts(&out, &c->all, NULL, -1) &&
         ts_buf_printf(&out, "context: %zu of %u tokens used, %.1f MiB of KV cache\n", chat_used(c),
                       ts_session_n_ctx(c->s), (double)st.kv_bytes / 1048576) &&
         ts_buf_printf(&out, "memory: %zu MiB peak\n", ts_mem_peak() >> 20) && cli_stats_device(&out, &c->info);
    print(c, ok, &out);
}
