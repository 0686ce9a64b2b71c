/* cmd_template.c - tessera template: what a chat template makes of a conversation. */
#include "base/file.h"
#include "base/json_write.h"
#include "cli/arguments.h"
#include "cli/bundled.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pieces.h"
#include "cli/store.h"
#include "cli/template_opts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONTEXT_MAX = 256 << 20 };

typedef struct args {
    cli_template template;
    const char *model, *context, *pre;
    bool tokens, json;
} args;

/* The context: an object, or a list of messages alone. */
static ts_status read_context(const char *path, json_t **out, ts_err *err) {
    ts_buf text = {0};
    json_error_t e;
    bool is_stdin = !strcmp(path, "-");
    const char *name = is_stdin ? "standard input" : path;
    ts_status s = ts_file_read(&text, path, CONTEXT_MAX, err);
    json_t *j = s == TS_OK ? json_loadb(text.data ? text.data : "", text.len, JSON_ALLOW_NUL, &e) : NULL;
    ts_buf_free(&text);
    if (s != TS_OK) return s;
    if (!j && json_error_code(&e) == json_error_out_of_memory) return ts_fail_nomem(err, "the context", text.len);
    if (!j) return ts_fail(err, TS_E_FORMAT, "%s: line %d, column %d: %s", name, e.line, e.column, e.text);
    if (json_is_array(j)) {
        json_t *o = json_object();
        if (!o || json_object_set_new(o, "messages", j) != 0) {
            json_decref(o);
            return ts_fail_nomem(err, "the context", 0);
        }
        j = o;
    }
    if (json_is_object(j)) {
        *out = j;
        return TS_OK;
    }
    json_decref(j);
    return ts_fail(err, TS_E_FORMAT, "%s: neither a JSON object like {\"messages\": [...]} nor a list of messages",
                   name);
}

/* {"text": "...", "data": [[begin, end], ...], "tokens": [...], "pieces": [...]} */
static bool write_json(const ts_engine *e, const ts_prompt *p, bool tokens, ts_buf *out) {
    if (!ts_buf_puts(out, "{\"text\":") || !ts_json_put_string(out, p->text, p->len) ||
        !ts_buf_puts(out, ",\"data\":["))
        return false;
    for (size_t i = 0; i < p->n_data; i++)
        if (!ts_buf_printf(out, "%s[%zu,%zu]", i ? "," : "", p->data[i].begin, p->data[i].end)) return false;
    return ts_buf_putc(out, ']') &&
           (!tokens || (ts_buf_putc(out, ',') && cli_pieces_json(e, p->token, p->n, out))) && ts_buf_puts(out, "}\n");
}

static ts_status print(const args *a, const ts_engine *e, const ts_prompt *p, ts_err *err) {
    ts_buf out = {0};
    bool line = !a->tokens && isatty(STDOUT_FILENO) && p->len && p->text[p->len - 1] != '\n';
    bool ok = a->json     ? write_json(e, p, a->tokens, &out)
              : a->tokens ? cli_pieces_lines(e, p->token, p->n, &out) && ts_buf_putc(&out, '\n')
                          : ts_buf_append(&out, p->text, p->len) && (!line || ts_buf_putc(&out, '\n'));
    if (ok && (a->json || a->tokens)) fwrite(out.data, 1, out.len, stdout); /* main tells of an output that is gone */
    else if (ok) cli_put_text(out.data ? out.data : "", out.len);
    ts_buf_free(&out);
    return ok ? TS_OK : ts_fail_nomem(err, "the prompt", p->len);
}

/* The variables of the command line go into the context itself: one that the template does not use is no fault here. */
static ts_status show(const args *a, const ts_engine *e, ts_err *err) {
    json_t *context = NULL;
    char *json = NULL;
    ts_prompt prompt = {0};
    ts_model_info info;
    ts_chat_opts o = a->template.opts;
    o.vars = NULL;
    ts_engine_info(e, &info);
    ts_status s = read_context(a->context, &context, err);
    if (s == TS_OK &&
        (json_object_update(context, a->template.all) != 0 || !(json = json_dumps(context, JSON_COMPACT))))
        s = ts_fail_nomem(err, "the variables", 0);
    if (s == TS_OK) {
        s = ts_engine_chat_json(e, &o, json, strlen(json), &prompt, err);
        if (s == TS_E_UNSUPP && a->model && !info.chat_template && !o.text) ts_err_add(err, "; give one with -f FILE");
    }
    if (s == TS_OK) s = print(a, e, &prompt, err);
    ts_prompt_release(&prompt);
    free(json); /* jansson's */
    json_decref(context);
    return s;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    args a = {0};
    const cli_opt opts[] = {
        {CLI_STR, 'm', "model", "PATH", &a.model, 0, 0,
         "whose template and special tokens: a GGUF file, or a tokenizer as for tessera tokenize (default without -f: "
         "as for tessera run)",
         .values = "@file"},
        {CLI_STR, 'f', "file", "FILE", &a.template.file, 0, 0, "a Jinja template; with -m in the place of the model's",
         .values = "@file"},
        {CLI_STR, 0, "context", "FILE", &a.context, 0, 0,
         "the variables, a JSON object: {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], "
         "\"add_generation_prompt\": true}; or the list "
         "of messages alone; - is standard input",
         .values = "@file"},
        {CLI_STR, 0, "chat-template", "NAME", &a.template.name, 0, 0,
         "one of the model's other templates (tool_use), or one that is built in, as for tessera run"},
        {CLI_STR, 0, "tools", "FILE", &a.template.tools, 0, 0, "the variable tools: a JSON list", .values = "@file"},
        {CLI_STR, 0, "documents", "FILE", &a.template.documents, 0, 0, "the variable documents: a JSON list",
         .values = "@file"},
        CLI_TEMPLATE_VAR_OPTS(a.template),
        {CLI_FLAG, 0, "tokens", NULL, &a.tokens, 0, 0, "print the model's tokens instead of the text"},
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0,
         "print {\"text\": \"...\", \"data\": [[begin, end], ...]}, data being the bytes that came from the variables; "
         "with --tokens also "
         "\"tokens\" and \"pieces\""},
        {CLI_STR, 0, "pre", "NAME", &a.pre, 0, 0,
         "how text is split, for files that do not say: llama-bpe, qwen2, gpt-2, smollm or tekken",
         .values = "llama-bpe qwen2 gpt-2 smollm tekken ..."},
        {0},
    };
    cli_list rest = {0};
    ts_engine *e = NULL;
    ts_err err;
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK) code = cli_take_plain(cmd, CLI_PLAIN_MODEL, &rest, &a.model, NULL, NULL);
    if (code == CLI_OK && a.model) code = cli_find_model(&a.model, false, true);
    if (code == CLI_OK && a.model) code = cli_check_model_path(a.model, true);
    if (code == CLI_OK && !a.context) code = cli_usage_error(cmd, "what conversation? Give it with --context FILE");
    if (code == CLI_OK && a.template.name && a.template.file)
        code = cli_usage_error(cmd, "give -f or --chat-template, not both");
    if (code == CLI_OK && !a.model && !a.template.file) a.model = cli_default_model(NULL);
    if (code == CLI_OK && !a.model && !a.template.file)
        code = cli_usage_error(cmd, "which template? Give -m PATH or -f FILE");
    if (code == CLI_OK && !a.model && a.tokens)
        code = cli_usage_error(cmd, "--tokens needs a model's tokenizer: -m PATH");
    if (code == CLI_OK && !a.model && a.pre) code = cli_usage_error(cmd, "--pre is about the model of -m PATH");
    if (code == CLI_OK) code = cli_template_read(cmd, &a.template);
    const ts_engine_opts text = {.pre = a.pre, .text_only = true};
    if (code == CLI_OK && ts_engine_open(&e, a.model, &text, &err) != TS_OK) code = cli_fail(&err);
    if (code == CLI_OK && show(&a, e, &err) != TS_OK) {
        (void)cli_fail(&err);
        code = CLI_FAIL; /* a template that refuses is no wrong usage */
    }
    ts_engine_close(e);
    cli_template_free(&a.template);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_template = {
    .name = "template",
    .args = "[MODEL] --context FILE",
    .files = "@file",
    .summary = "show what a chat template makes of a conversation",
    .text = "The template is a Jinja program, run as Hugging Face's apply_chat_template runs it. bos_token, eos_token "
            "and the\n"
            "like are the model's where the context does not name them. Control tokens are recognised in what the "
            "template\n"
            "wrote, never in what came from the variables.\n"
            "\n"
            "Exit code: 0 printed, 1 the template refused the context (the message says where: line and column) or "
            "something\n"
            "could not be read, 2 wrong usage.",
    .run = run,
};
