/* cmd_constrain.c - tessera constrain: what texts a schema, pattern, grammar or list of tools allows. */
#include "base/file.h"
#include "cli/cmd_constrain_vocab.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "constrain/sample.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1 << 30, SAMPLE_MAX = 4000 };

typedef struct args {
    const char *schema, *regex, *regex_file, *grammar, *tools, *format, *choice, *vocab;
    bool one_call, narrow, json;
    cli_list check;
    long sample, seed;
} args;

/* One line: accepted, incomplete, or where no accepted text goes on so. */
static ts_status check(ts_automaton *a, const char *path, bool json, bool *accepted, ts_err *err) {
    ts_buf text = {0};
    ts_place_id at = ts_automaton_start(a);
    size_t i = 0;
    ts_status s = ts_file_read(&text, path, TEXT_MAX, err);
    while (s == TS_OK && i < text.len) {
        s = ts_automaton_byte(a, &at, (uint8_t)text.data[i], err);
        if (at == TS_PLACE_NONE) break;
        i++;
        if (s == TS_OK && ts_automaton_is_large(a))
            s = ts_automaton_collect(a, (ts_place_id *const[]){&at}, 1, err);
    }
    *accepted = s == TS_OK && at != TS_PLACE_NONE && ts_automaton_accepts(a, at);
    if (s == TS_OK && at == TS_PLACE_NONE) {
        printf(json ? "{\"result\":\"rejected\",\"at\":%zu}\n" : "rejected at byte %zu\n", i);
    } else if (s == TS_OK) {
        const char *word = *accepted ? "accepted" : "incomplete";
        printf(json ? "{\"result\":\"%s\"}\n" : "%s\n", word);
    }
    ts_buf_free(&text);
    return s;
}

/* What the options say, its texts in `text` and `answer`. */
static ts_status read_spec(const args *a, ts_buf *text, ts_buf *answer, ts_constraint_opts *o, ts_err *err) {
    const char *path = a->tools ? a->tools : a->schema ? a->schema : a->regex_file ? a->regex_file : a->grammar;
    *o = (ts_constraint_opts){.tool_format = a->format, .tool_choice = a->choice, .one_call = a->one_call,
                              .exact = !a->narrow};
    o->kind = a->tools     ? TS_CONSTRAIN_TOOLS
              : a->schema  ? TS_CONSTRAIN_SCHEMA
              : a->grammar ? TS_CONSTRAIN_GRAMMAR
                           : TS_CONSTRAIN_REGEX;
    if (a->tools && a->schema) {
        TS_TRY(ts_file_read(answer, a->schema, TEXT_MAX, err));
        o->answer = answer->data ? answer->data : "";
        o->answer_len = answer->len;
    }
    if (!a->regex) TS_TRY(ts_file_read(text, path, TEXT_MAX, err));
    else if (!ts_buf_puts(text, a->regex)) return ts_fail_nomem(err, "the expression", strlen(a->regex));
    o->text = text->data ? text->data : "";
    o->len = text->len;
    return TS_OK;
}

static ts_status sample(const args *a, ts_automaton *m, ts_err *err) {
    ts_rng rng = ts_rng_seed((uint64_t)a->seed);
    ts_buf text = {0};
    ts_status s = TS_OK;
    for (long i = 0; s == TS_OK && i < a->sample; i++) {
        bool whole;
        ts_buf_clear(&text);
        s = ts_automaton_sample(m, &rng, SAMPLE_MAX, &text, &whole, err);
        if (s == TS_OK && whole) fwrite(text.data ? text.data : "", 1, text.len, stdout);
        if (s == TS_OK && whole) putchar('\n');
    }
    ts_buf_free(&text);
    return s;
}

static ts_status check_all(const args *a, const ts_constraint_opts *o, bool *all, ts_err *err) {
    ts_automaton *m;
    TS_TRY(ts_automaton_new(&m, &(ts_automaton_opts){.spec = *o}, err));
    ts_status s = sample(a, m, err);
    *all = true;
    for (size_t i = 0; s == TS_OK && i < a->check.n; i++) {
        bool accepted;
        s = check(m, a->check.item[i], a->json, &accepted, err);
        *all &= accepted;
    }
    ts_automaton_free(m);
    return s;
}

static int work(const args *a) {
    ts_err err;
    ts_buf text = {0}, answer = {0};
    ts_constraint_opts o;
    bool all = true;
    ts_status s = read_spec(a, &text, &answer, &o, &err);
    if (s == TS_OK && a->vocab) s = constrain_vocab(a->vocab, &o, &a->check, a->json, &all, &err);
    else if (s == TS_OK) s = check_all(a, &o, &all, &err);
    ts_buf_free(&text);
    ts_buf_free(&answer);
    if (s == TS_OK) return all ? CLI_OK : CLI_FAIL;
    (void)cli_fail(&err);
    return strncmp(err.msg, "refused at ", 11) == 0 ? CLI_USAGE : CLI_FAIL;
}

static int run(const cli_command *self, int argc, char **argv) {
    args a = {0};
    const cli_opt opts[] = {
        {CLI_STR, 0, "schema", "FILE", &a.schema, 0, 0,
         "JSON of this JSON Schema; with --tools: what is said instead of a call", .values = "@file"},
        {CLI_STR, 0, "regex", "TEXT", &a.regex, 0, 0, "what this regular expression (ECMA-262) matches whole"},
        {CLI_STR, 0, "regex-file", "FILE", &a.regex_file, 0, 0, "the same, from a file", .values = "@file"},
        {CLI_STR, 0, "grammar", "FILE", &a.grammar, 0, 0, "texts of this grammar (GBNF)", .values = "@file"},
        {CLI_STR, 0, "tools", "FILE", &a.tools, 0, 0, "answers that may call these tools (an OpenAI tools array)",
         .values = "@file"},
        {CLI_STR, 0, "tool-format", "NAME", &a.format, 0, 0,
         "how calls are written: hermes, llama3, mistral, mistral-args, deepseek-r1 or deepseek-v3",
         .values = "hermes llama3 mistral mistral-args deepseek-r1 deepseek-v3"},
        {CLI_STR, 0, "tool-choice", "NAME", &a.choice, 0, 0, "auto, required, none or a tool's name (default auto)",
         .values = "auto required none ..."},
        {CLI_FLAG, 0, "one-call", NULL, &a.one_call, 0, 0, "one call at most"},
        {CLI_FLAG, 0, "narrow", NULL, &a.narrow, 0, 0,
         "schemas: no keys and types that nobody asked for, as run, chat and serve have it"},
        {CLI_LIST, 0, "check", "FILE", &a.check, 0, 0, "say of this text whether it is allowed; repeatable",
         .values = "@file"},
        {CLI_INT, 0, "sample", "N", &a.sample, 0, 1 << 20, "print N random texts that are allowed, a line each"},
        {CLI_INT, 0, "seed", "N", &a.seed, 0, 1 << 30, "of --sample (default 0)"},
        {CLI_STR, 0, "vocab", "MODEL", &a.vocab, 0, 0,
         "with this model's tokens: how long the masks along each text take, and that they allow exactly the tokens "
         "whose bytes go on",
         .values = "@file"},
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0, "a JSON object a text"},
        {0},
    };
    cli_list rest = {0};
    int code = cli_parse(self, opts, argc, argv, &rest);
    const int given = (a.schema || a.tools) + !!a.regex + !!a.regex_file + !!a.grammar;
    if (code == CLI_OK && given != 1)
        code = cli_usage_error(self, "give one of --schema, --regex, --regex-file, --grammar and --tools");
    if (code == CLI_OK && rest.n)
        code = cli_usage_error(self, "\"%s\" is no option; texts come with --check", rest.item[0]);
    if (code == CLI_OK && a.tools && !a.format) code = cli_usage_error(self, "--tools needs --tool-format");
    if (code == CLI_OK) code = work(&a);
    ts_free(rest.item);
    ts_free(a.check.item);
    return code < 0 ? CLI_OK : code;
}

const cli_command cmd_constrain = {
    .name = "constrain",
    .args = "",
    .summary = "check texts against a schema, pattern, grammar or tools",
    .text = "Prints a line for each --check: \"accepted\", \"incomplete\" (it is the beginning of an accepted text) or "
            "\"rejected at byte N\" (nothing that begins with N + 1 of its bytes is accepted). Exit status 0: all are "
            "accepted, 1: not all, 2: the constraint is refused, with the place of what cannot be kept.",
    .run = run,
};
