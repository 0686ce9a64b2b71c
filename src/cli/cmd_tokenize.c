/* cmd_tokenize.c - tessera tokenize: text to tokens and back. */
#include "base/file.h"
#include "cli/arguments.h"
#include "cli/bundled.h"
#include "cli/commands.h"
#include "cli/pieces.h"
#include "cli/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 30 };

typedef struct args {
    const char *model, *prompt, *file, *pre, *decode;
    char *text; /* the text from standard input or plain arguments, owned */
    size_t len;
    bool bos, eos, special, ids, json;
} args;

typedef struct id_list {
    ts_token *id; /* [n] */
    size_t n, cap;
} id_list;

/* "1,2,3" or "1 2 3" */
static ts_status parse_ids(const ts_engine *e, const char *s, id_list *out, ts_err *err) {
    ts_model_info info;
    ts_engine_info(e, &info);
    while (*s) {
        char *end;
        long id = strtol(s, &end, 10);
        if (end == s || id < 0 || id >= (long)info.n_vocab)
            return ts_fail(err, TS_E_INVAL, "--decode: \"%.20s\" does not begin with a token id of 0 to %u", s,
                           info.n_vocab - 1);
        size_t need = out->n + 1;
        if (!ts_grow((void **)&out->id, &out->cap, need, sizeof *out->id)) return ts_fail_nomem(err, "tokens", need);
        out->id[out->n++] = (ts_token)id;
        for (s = end; *s == ',' || *s == ' ' || *s == '\n'; s++) {}
    }
    return TS_OK;
}

static ts_status decode(const ts_engine *e, const args *a, ts_buf *out, ts_err *err) {
    id_list ids = {0};
    char *text = NULL;
    size_t len;
    ts_status s = parse_ids(e, a->decode, &ids, err);
    if (s == TS_OK)
        s = ts_engine_detokenize(e, ids.id, ids.n, a->special ? TS_DETOKENIZE_SPECIAL : 0, &text, &len, err);
    if (s == TS_OK && !ts_buf_append(out, text, len)) s = ts_fail_nomem(err, "text", len);
    ts_text_release(text);
    ts_free(ids.id);
    return s;
}

static ts_status encode(const ts_engine *e, const args *a, ts_buf *out, ts_err *err) {
    ts_buf text = {0};
    ts_token *id = NULL;
    size_t n = 0;
    ts_status s = TS_OK;
    if (a->text) {
        if (!ts_buf_append(&text, a->text, a->len)) s = ts_fail_nomem(err, "text", a->len);
    } else if (a->prompt) {
        if (!ts_buf_puts(&text, a->prompt)) s = ts_fail_nomem(err, "text", strlen(a->prompt));
    } else {
        s = ts_file_read(&text, a->file, TEXT_MAX, err);
    }
    unsigned flags =
        (a->bos ? TS_TOKENIZE_BOS : 0) | (a->eos ? TS_TOKENIZE_EOS : 0) | (a->special ? TS_TOKENIZE_SPECIAL : 0);
    if (s == TS_OK) s = ts_engine_tokenize(e, text.data, text.len, flags, &id, &n, err);
    if (s == TS_OK) {
        bool ok = a->json  ? ts_buf_putc(out, '{') && cli_pieces_json(e, id, n, out) && ts_buf_putc(out, '}')
                  : a->ids ? cli_pieces_ids(id, n, out)
                           : cli_pieces_lines(e, id, n, out);
        if (!ok || !ts_buf_putc(out, '\n')) s = ts_fail_nomem(err, "output", out->len);
    }
    ts_buf_free(&text);
    ts_tokens_release(id);
    return s;
}

static int run(const cli_command *self, int argc, char **argv) {
    args a = {.bos = true, .eos = true};
    const cli_opt opts[] = {
        {CLI_STR, 'm', "model", "PATH", &a.model, 0, 0,
         "GGUF file, tokenizer.json, tokenizer.model, or a folder that holds\none of these or a vocabulary with "
         "its merges (default: as for tessera run)",
         .values = "@file"},
        {CLI_STR, 'p', "prompt", "TEXT", &a.prompt, 0, 0, "the text"},
        {CLI_STR, 'f', "file", "FILE", &a.file, 0, 0, "the text's file; - is standard input", .values = "@file"},
        {CLI_FLAG_OFF, 0, "no-bos", NULL, &a.bos, 0, 0, "do not put the begin token in front"},
        {CLI_FLAG_OFF, 0, "no-eos", NULL, &a.eos, 0, 0,
         "do not put the end token behind (few models' files ask for it)"},
        {CLI_FLAG, 0, "parse-special", NULL, &a.special, 0, 0,
         "the text of control tokens becomes those tokens;\nwith --decode: show them"},
        {CLI_STR, 0, "pre", "NAME", &a.pre, 0, 0,
         "how text is split, for files that do not say:\nllama-bpe, qwen2, gpt-2, smollm or tekken",
         .values = "llama-bpe qwen2 gpt-2 smollm tekken ..."},
        {CLI_FLAG, 0, "ids", NULL, &a.ids, 0, 0, "print the ids alone, with commas"},
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0, "print {\"tokens\": [...], \"pieces\": [...]}"},
        {CLI_STR, 0, "decode", "IDS", &a.decode, 0, 0, "the way back: ids with commas to text"},
        {0},
    };
    cli_list rest = {0};
    int code = cli_parse(self, opts, argc, argv, &rest);
    const char *given = a.decode ? "--decode" : a.file ? "-f" : a.prompt ? "-p" : NULL;
    if (code == CLI_OK && (a.prompt != NULL) + (a.file != NULL) + (a.decode != NULL) > 1)
        code = cli_usage_error(self, "give one of -p TEXT, -f FILE and --decode IDS");
    if (code == CLI_OK && a.ids && a.json) code = cli_usage_error(self, "--ids and --json exclude each other");
    if (code == CLI_OK) code = cli_take_plain(self, CLI_PLAIN_TEXT, &rest, &a.model, given, &a.text);
    if (code == CLI_OK && !a.model && !(a.model = cli_default_model(NULL)))
        code = cli_usage_error(self, "-m PATH is missing: whose tokenizer?");
    if (code == CLI_OK) code = cli_find_model(&a.model, false, true);
    if (code == CLI_OK) code = cli_check_model_path(a.model, true);
    if (a.text) a.len = strlen(a.text);
    else if (code == CLI_OK && !given) code = cli_read_stdin(self, CLI_STDIN_EXACT, &a.text, &a.len);
    if (code == CLI_OK && !given && !a.text)
        code =
            cli_usage_error(self, "what text? Give it as an argument, with -p TEXT or -f FILE, or on standard input");
    ts_free(rest.item);
    if (code) {
        ts_free(a.text);
        return code < 0 ? CLI_OK : code;
    }
    ts_err err;
    ts_engine *e;
    ts_buf out = {0};
    if (ts_engine_open(&e, a.model, &(ts_engine_opts){.pre = a.pre, .text_only = true}, &err) != TS_OK) {
        ts_free(a.text);
        return cli_fail(&err);
    }
    ts_status s = a.decode ? decode(e, &a, &out, &err) : encode(e, &a, &out, &err);
    if (s == TS_OK && out.len) fwrite(out.data, 1, out.len, stdout);
    ts_free(a.text);
    ts_buf_free(&out);
    ts_engine_close(e);
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}

const cli_command cmd_tokenize = {
    .name = "tokenize",
    .args = "[MODEL] [TEXT]",
    .files = "@file",
    .summary = "show how a text is cut into tokens, or put tokens together again",
    .text = "Prints one token a line, its id and its text, and the count. Special tokens in the text are plain text "
            "unless\n--parse-special is given.",
    .run = run,
};
