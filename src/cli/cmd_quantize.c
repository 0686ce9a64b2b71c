/* cmd_quantize.c - tessera quantize: a model file with smaller weights; tessera convert: the same numbers as a GGUF
 * file. */
#include "cli/arguments.h"
#include "cli/bundled.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/kl.h"
#include "cli/table.h"

#include "base/file.h"
#include "base/json_write.h"
#include "base/printable.h"
#include "quant/calib.h"
#include "quant/method.h"
#include "quant/stream.h"
#include "text/tokenizer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct quantize_args {
    const char *from, *to, *type, *imatrix, *head, *embedding, *method, *calibration;
    cli_list rules;
    long threads, tokens;
    bool convert;
    bool dry_run, allow_requantize, json, quiet, report;
} quantize_args;

enum {
    TOKENS = 16384,   /* of calibration, unless --tokens says otherwise */
    REPORT_CTX = 256, /* tokens of a piece that a report is on */
};
static const double MIB = 1024 * 1024;

/* ---- what comes of it -------------------------------------------------------------------------------------------- */

/* Tensors of a kind and a type together. */
typedef struct sum {
    char kind[64];
    ts_dtype type;
    uint64_t tensors, bytes, n_el;
    double error, norm;
} sum;

static void add_to(sum *s, const ts_quant_item *it) {
    s->tensors++;
    s->bytes += it->bytes;
    s->n_el += it->n_el;
    s->error += it->error;
    s->norm += it->norm;
}

static void add_row(cli_table *t, const char *kind, const char *type, const sum *s, bool with_error) {
    cli_table_add(t, "%s", kind);
    cli_table_add(t, "%s", type);
    cli_table_add(t, "%" PRIu64, s->tensors);
    cli_table_add(t, "%.2f", (double)s->bytes * 8 / (double)s->n_el);
    cli_table_add(t, "%.1f", (double)s->bytes / MIB);
    if (!with_error) return;
    if (s->norm > 0 && isfinite(s->error / s->norm)) cli_table_add(t, "%.3f %%", 100 * sqrt(s->error / s->norm));
    else cli_table_skip(t, 1);
}

static ts_status print_table(FILE *to, const ts_quant_plan *p, bool with_error, ts_err *err) {
    static const cli_column columns[] = {
        {"tensors", .left = true}, {"type", .left = true}, {"number"}, {"bits/weight"}, {"MiB"}, {"r.m.s. error"}};
    cli_table t = {.column = columns, .n_columns = with_error ? 6 : 5};
    sum *kind = ts_calloc(p->n, sizeof *kind), all = {0};
    if (!kind) return ts_fail_nomem(err, "a table", p->n * sizeof *kind);
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        char name[64];
        ts_quant_kind(p->item[i].from->name, name);
        size_t k = 0;
        while (k < n && (strcmp(kind[k].kind, name) != 0 || kind[k].type != p->item[i].type)) k++;
        if (k == n) {
            memcpy(kind[n].kind, name, sizeof name);
            kind[n++].type = p->item[i].type;
        }
        add_to(&kind[k], &p->item[i]);
        add_to(&all, &p->item[i]);
    }
    for (size_t k = 0; k < n; k++) add_row(&t, kind[k].kind, ts_dtype_get(kind[k].type)->name, &kind[k], with_error);
    add_row(&t, "all", "", &all, with_error);
    ts_free(kind);
    ts_buf out = {0};
    const bool ok = cli_table_text(&t, 0, &out);
    if (ok) fwrite(out.data, 1, out.len, to); /* main tells of a failed write */
    cli_table_free(&t);
    ts_buf_free(&out);
    return ok ? TS_OK : ts_fail_nomem(err, "a table", 0);
}

static bool put_string(ts_buf *out, const char *s) {
    return ts_json_put_string(out, s, strlen(s));
}

/* `report`: of eval --kl, or NULL. */
static ts_status print_json(FILE *to, const quantize_args *a, const ts_recipe *r, const ts_quant_plan *p, size_t kept,
                            const ts_buf *report, ts_err *err) {
    ts_buf out = {0};
    bool ok = ts_buf_puts(&out, "{\"file\":") && (a->to ? put_string(&out, a->to) : ts_buf_puts(&out, "null")) &&
              ts_buf_printf(&out, ",\"type\":\"%s\",\"file_type\":%" PRIu32 ",\"bytes\":%" PRIu64 ",\"kept\":%zu",
                            r->name, r->file_type, p->file_bytes, kept) &&
              ts_buf_puts(&out, ",\"bits_per_weight\":") &&
              ts_json_put_real(&out, (double)p->data_bytes * 8 / (double)p->n_el, 4) &&
              ts_buf_puts(&out, ",\"tensors\":[");
    for (size_t i = 0; i < p->n && ok; i++) {
        const ts_quant_item *it = &p->item[i];
        ok = ts_buf_puts(&out, i ? ",\n{\"name\":" : "\n{\"name\":") && put_string(&out, it->from->name) &&
             ts_buf_printf(&out,
                           ",\"from\":\"%s\",\"type\":\"%s\",\"bytes\":%" PRIu64 ",\"fallback\":%s,\"weighted\":%s",
                           ts_dtype_get(it->from->type)->name, ts_dtype_get(it->type)->name, it->bytes,
                           it->fallback ? "true" : "false", it->weights ? "true" : "false");
        if (!a->dry_run && it->norm > 0 && isfinite(it->error / it->norm))
            ok = ok && ts_buf_puts(&out, ",\"error\":") && ts_json_put_real(&out, sqrt(it->error / it->norm), 7);
        ok = ok && ts_buf_putc(&out, '}');
    }
    ok = ok && ts_buf_puts(&out, "\n]");
    if (report) ok = ok && ts_buf_puts(&out, ",\n\"report\":") && ts_buf_append(&out, report->data, report->len);
    ok = ok && ts_buf_puts(&out, "}\n");
    if (ok) fwrite(out.data, 1, out.len, to);
    ts_buf_free(&out);
    return ok ? TS_OK : ts_fail_nomem(err, "the result", out.len);
}

static void notices(const quantize_args *a, const ts_quant_plan *p) {
    if (p->n_requantized) ts_log(TS_LOG_WARN, "%zu tensors are quantised already: the errors add up", p->n_requantized);
    if (p->n_fallback)
        ts_log(TS_LOG_WARN, "%zu tensors have rows that are no whole blocks of their type: they get a larger one",
               p->n_fallback);
    if (p->n_unweighted)
        ts_log(TS_LOG_WARN, "%s says nothing about %zu tensors: their columns count alike", a->imatrix,
               p->n_unweighted);
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static bool on_step(void *ud, uint64_t done, uint64_t all) {
    cli_progress *p = ud;
    if (!p->begin_ns) p->start = done; /* of an earlier run: it took no time now */
    return cli_progress_step(p, done, all);
}

/* The file: CLI_OK, or an exit code after one line. */
static int run_plan(const quantize_args *a, const ts_quant_in *in, ts_quant_plan *p, const ts_tokens *calibration,
                    ts_quant_done *done) {
    ts_err err;
    cli_progress progress = {.what = a->convert ? "converting" : "quantising", .ended = a->quiet};
    ts_quant_run_opts o = {.token = calibration->id,
                           .n_token = calibration->n,
                           .threads = (int)a->threads,
                           .progress = on_step,
                           .progress_ud = &progress};
    ts_status s = ts_cpu_choose(&o.level, getenv("TESSERA_CPU"), &err);
    if (s == TS_OK) s = ts_quant_run(p, in, a->to, &o, done, &err);
    cli_progress_end(&progress);
    if (s == TS_OK && done->n_kept && !a->quiet)
        ts_log(TS_LOG_INFO, "%zu of %zu tensors were there already, from a run that was stopped", done->n_kept, p->n);
    if (s == TS_OK && done->began_anew && !a->quiet)
        ts_log(TS_LOG_INFO, "%s.partial was of another source or other options: begun anew", a->to);
    if (s != TS_OK && done->kept_partial) {
        char why[sizeof err.msg];
        memcpy(why, err.msg, sizeof why);
        s = ts_fail(&err, s, "%.300s; what is done stays in %.100s.partial, and the same command goes on from there",
                    why, a->to);
    }
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}

/* The text: what calibration sees of it, and behind that what is held back for a report. */
typedef struct texts {
    ts_buf all;
    size_t seen;
} texts;

/* Four fifths, to a line's end where there is one before the last tenth, and no cut inside a character. */
static size_t cut_at(const char *text, size_t len) {
    const size_t least = len / 5 * 4, most = len / 10 * 9;
    const char *line = least < most ? memchr(text + least, '\n', most - least) : NULL;
    if (line) return (size_t)(line - text) + 1;
    size_t at = least;
    while (at < len && ((unsigned char)text[at] & 0xc0) == 0x80) at++;
    return at;
}

static ts_status read_text(texts *t, const char *file, bool hold_back, ts_err *err) {
    enum { LARGEST = 1 << 30 };
    TS_TRY(ts_file_read(&t->all, file, LARGEST, err));
    t->seen = hold_back ? cut_at(t->all.len ? t->all.data : "", t->all.len) : t->all.len;
    return TS_OK;
}

/* Is there enough for a report? It is asked before the long work. */
static ts_status check_report(ts_tokenizer *tok, const texts *t, const char *file, ts_err *err) {
    ts_tokens held = {0};
    TS_TRY(ts_tokenize(tok, t->all.len ? t->all.data + t->seen : "", t->all.len - t->seen, 0, &held, err));
    const size_t n = held.n + (ts_tokenizer_adds_bos(tok) ? 1 : 0);
    ts_tokens_free(&held);
    if (n >= REPORT_CTX) return TS_OK;
    return ts_fail(
        err, TS_E_INVAL,
        "--report is on the last fifth of %s, whose %zu tokens are too few (%d at least): take a longer text "
        "with --calibration, or leave --report out",
        file, n, (int)REPORT_CTX);
}

/* The calibration's tokens: chunks of the text, each with the begin token in front where the model has one. */
static ts_status calibration_of(const quantize_args *a, ts_tokenizer *tok, const texts *t, ts_tokens *out,
                                ts_err *err) {
    ts_tokens all = {0};
    ts_status s = ts_tokenize(tok, t->all.len ? t->all.data : "", t->seen, 0, &all, err);
    const ts_token bos = ts_tokenizer_adds_bos(tok) ? ts_tokenizer_bos(tok) : -1;
    const size_t most = a->tokens ? (size_t)a->tokens : TOKENS;
    out->id = s == TS_OK ? ts_alloc(most, sizeof *out->id) : NULL;
    if (s == TS_OK && !out->id) s = ts_fail_nomem(err, "the calibration", most * sizeof *out->id);
    for (size_t i = 0; s == TS_OK && i < all.n && out->n < most; out->n++)
        out->id[out->n] = bos >= 0 && out->n % TS_CALIB_CHUNK == 0 ? bos : all.id[i++];
    if (s == TS_OK && out->n < TS_CALIB_CHUNK)
        s = ts_fail(err, TS_E_INVAL, "%zu tokens of text are too few for a calibration (%d at least)", out->n,
                    (int)TS_CALIB_CHUNK);
    ts_tokens_free(&all);
    return s;
}

static ts_status prepare_text(const quantize_args *a, const ts_quant_in *in, bool method, const char *file, texts *t,
                              ts_tokens *calibration, ts_err *err) {
    ts_tokenizer *tok;
    TS_TRY(read_text(t, file, a->report, err));
    if (a->dry_run) return TS_OK;
    TS_TRY(in->source->op->tokenizer(in->source, NULL, &tok, err));
    ts_status s = a->report ? check_report(tok, t, file, err) : TS_OK;
    if (s == TS_OK && method) s = calibration_of(a, tok, t, calibration, err);
    ts_tokenizer_free(tok);
    return s;
}

/* The result beside its source, on text that no calibration has seen: printed, or appended to `json`. */
static int report(const cli_command *cmd, const quantize_args *a, const texts *t, ts_buf *json) {
    cli_model m = {.path = a->to, .threads = a->threads, .quiet = true, .ctx = REPORT_CTX};
    ts_engine *e = NULL;
    int code = cli_open_engine(cmd, &m, &e);
    if (code == CLI_OK) code = cli_kl_run(cmd, &m, e, a->from, t->all.data + t->seen, t->all.len - t->seen, json);
    ts_engine_close(e);
    return code;
}

/* Does the result go where this is printed? */
static bool is_stdout(const char *path) {
    struct stat a, b;
    return path && stat(path, &a) == 0 && fstat(STDOUT_FILENO, &b) == 0 && !S_ISCHR(a.st_mode) &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int print_result(const cli_command *cmd, const quantize_args *a, const ts_recipe *recipe, const ts_quant_plan *p,
                        const texts *t, size_t kept) {
    ts_err err;
    ts_buf json = {0};
    FILE *to = is_stdout(a->to) ? stderr : stdout;
    ts_status s = TS_OK;
    int code = CLI_OK;
    if (a->json) {
        if (a->report) code = report(cmd, a, t, &json);
        s = print_json(to, a, recipe, p, kept, json.len ? &json : NULL, &err);
    } else {
        s = print_table(to, p, !a->dry_run, &err);
        if (s == TS_OK && !a->dry_run) fprintf(to, "%s: %.1f MiB\n", a->to, (double)p->file_bytes / MIB);
        if (s == TS_OK && a->report) code = report(cmd, a, t, NULL);
    }
    ts_buf_free(&json);
    return s == TS_OK ? code : cli_fail(&err);
}

static int type_named(const cli_command *cmd, const char *option, const char *name, ts_dtype *out) {
    if (ts_dtype_find(name, out)) return CLI_OK;
    char list[400] = "";
    size_t n = 0;
    for (int i = 0; i < TS_DTYPES; i++)
        if (ts_dtype_get((ts_dtype)i)->block)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", ts_dtype_get((ts_dtype)i)->name);
    return cli_usage_error(cmd, "%s: unknown type \"%s\": there are %s", option, name, list);
}

/* PATTERN=TYPE; the pattern is cut off in a copy that the caller frees. */
static int parse_rules(const cli_command *cmd, const cli_list *list, ts_quant_rule *rule) {
    for (size_t i = 0; i < list->n; i++) {
        const char *equals = strrchr(list->item[i], '=');
        if (!equals || equals == list->item[i])
            return cli_usage_error(cmd, "--tensor-type %s: expected PATTERN=TYPE, as in attn_v=q6_k", list->item[i]);
        const int code = type_named(cmd, "--tensor-type", equals + 1, &rule[i].type);
        if (code) return code;
        rule[i].pattern = ts_strndup(list->item[i], (size_t)(equals - list->item[i]));
        if (rule[i].pattern) continue;
        ts_err err;
        (void)ts_fail_nomem(&err, "a pattern", strlen(list->item[i]));
        return cli_fail(&err);
    }
    return CLI_OK;
}

static int make(const cli_command *cmd, const quantize_args *a, ts_quant_opts *o, const char *file) {
    ts_err err;
    texts text = {0};
    ts_tokens calibration = {0};
    ts_imatrix *matrix = NULL;
    ts_quant_in in = {0};
    ts_quant_plan p = {0};
    ts_quant_done done = {0};
    ts_status s = a->imatrix ? ts_imatrix_open(&matrix, a->imatrix, &err) : TS_OK;
    o->imatrix = matrix;
    if (s == TS_OK) s = ts_quant_in_open(&in, a->from, &err);
    if (s == TS_OK) s = ts_quant_plan_make(&p, &in, o, &err);
    if (s == TS_OK && (o->method || a->report)) s = prepare_text(a, &in, o->method, file, &text, &calibration, &err);
    int code = s == TS_OK ? CLI_OK : cli_fail(&err);
    if (code == CLI_OK && !a->quiet) notices(a, &p);
    if (code == CLI_OK && !a->dry_run) code = run_plan(a, &in, &p, &calibration, &done);
    if (code == CLI_OK) code = print_result(cmd, a, o->recipe, &p, &text, done.n_kept);
    ts_tokens_free(&calibration);
    ts_quant_plan_free(&p);
    ts_quant_in_close(&in);
    ts_imatrix_free(matrix);
    ts_buf_free(&text.all);
    return code;
}

static int quantize(const cli_command *cmd, quantize_args *a, ts_quant_rule *rule) {
    ts_err err;
    ts_quant_opts o = {.imatrix_name = a->imatrix,
                       .rule = rule,
                       .n_rules = a->rules.n,
                       .has_head = a->head != NULL,
                       .has_embedding = a->embedding != NULL,
                       .allow_requantize = a->allow_requantize};
    if (!a->type) o.recipe = &ts_recipe_keep;
    else if (ts_recipe_find(&o.recipe, a->type, &err) != TS_OK) return cli_usage_error(cmd, "%s", err.msg);
    int code = parse_rules(cmd, &a->rules, rule);
    if (code == CLI_OK && a->head) code = type_named(cmd, "--head", a->head, &o.head);
    if (code == CLI_OK && a->embedding) code = type_named(cmd, "--embedding", a->embedding, &o.embedding);
    if (code) return code;
    const char *file = a->calibration ? a->calibration : cli_bundled_file("calibration.txt");
    if (a->method && !ts_quant_method_find(a->method, &o.method))
        return cli_usage_error(cmd, "--method %s: there are plain, awq, gptq and awq+gptq", a->method);
    if (a->to && !strcmp(a->to, "-")) return cli_usage_error(cmd, "-: give the result a file's name");
    if (a->report && is_stdout(a->to)) return cli_usage_error(cmd, "--report is about a file, not standard output");
    if (a->report && a->dry_run)
        return cli_usage_error(cmd, "--report is about a result, which --dry-run does not make");
    if (a->calibration && !o.method && !a->report)
        return cli_usage_error(cmd, "--calibration is for --method awq, gptq, awq+gptq and for --report");
    if (a->tokens && !o.method) return cli_usage_error(cmd, "--tokens is for --method awq, gptq and awq+gptq");
    if (o.method && a->imatrix)
        return cli_usage_error(cmd, "--method %s measures the inputs itself: leave out --imatrix", a->method);
    if ((o.method || a->report) && !file)
        return cli_usage_error(cmd, "what text? Tessera's own is not installed: --calibration FILE");
    if (o.method) o.calibration = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    /* a source that is a file is known better by who opens it: parts of it, links to it */
    const char *read[] = {ts_file_is_dir(a->from) ? a->from : NULL, o.method || a->report ? file : NULL, a->imatrix};
    if (!a->dry_run) code = cli_check_output(cmd, a->to, read, 3);
    return code ? code : make(cmd, a, &o, file);
}

/* SRC DST.gguf, and for quantize the type behind them, as llama-quantize has it. */
static int take_names(const cli_command *cmd, quantize_args *a, const cli_list *rest) {
    const bool typed = rest->n == 3 && !a->convert && !a->type;
    if (rest->n < 1 || rest->n > (typed ? 3 : 2))
        return cli_usage_error(cmd, "give the source and the result: SRC DST.gguf");
    a->from = rest->item[0];
    if (rest->n > 1) a->to = rest->item[1];
    if (typed) a->type = rest->item[2];
    if (!a->type && !a->convert) a->type = "q4_k_m";
    const int code = cli_check_model_path(a->from, false);
    if (code == CLI_OK && !a->to && !a->dry_run)
        return cli_usage_error(cmd, "where to? Give the result's name behind %s", a->from);
    return code;
}

static int run_args(const cli_command *cmd, const cli_opt *opts, int argc, char **argv, quantize_args *a) {
    cli_list rest = {0};
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK) code = take_names(cmd, a, &rest);
    ts_quant_rule *rule = ts_calloc(a->rules.n, sizeof *rule);
    if (code == CLI_OK && !rule) {
        ts_err err;
        (void)ts_fail_nomem(&err, "rules", a->rules.n * sizeof *rule);
        code = cli_fail(&err);
    }
    if (code == CLI_OK && a->threads && !a->quiet) cli_warn_threads(a->threads);
    cli_catch_interrupt();
    if (code == CLI_OK) code = quantize(cmd, a, rule);
    for (size_t i = 0; rule && i < a->rules.n; i++) ts_free((char *)rule[i].pattern);
    ts_free(rule);
    ts_free(a->rules.item);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    quantize_args a = {0};
    const cli_opt opts[] = {
        {CLI_STR, 'q', "type", "TYPE", &a.type, 0, 0,
         "of the result: q4_k_m (default), q4_k_s, q4_0, q5_k_m, q6_k, q8_0, iq4_xs, ...; for the NPU npu4",
         .values = "q4_k_m q4_k_s q4_0 q4_1 q5_k_m q5_k_s q5_0 q5_1 q6_k q8_0 iq4_nl iq4_xs q3_k_l q3_k_m q3_k_s q2_k "
                   "u4g32 u4g64 u4g128 npu4 f16 bf16 f32 ..."},
        {CLI_STR, 0, "method", "NAME", &a.method, 0, 0,
         "plain (default), or by what a text shows: awq scales columns, gptq makes up for errors, awq+gptq; slower, "
         "and nearer to the source",
         .values = "plain awq gptq awq+gptq"},
        {CLI_STR, 0, "calibration", "FILE", &a.calibration, 0, 0,
         "the text (default: one that comes with Tessera): some of what the model will be used for", .values = "@file"},
        {CLI_FLAG, 0, "report", NULL, &a.report, 0, 0,
         "at the end compare the result with its source, as tessera eval --kl does, on the last fifth of the text, "
         "which calibration does not see"},
        {CLI_INT, 0, "tokens", "N", &a.tokens, 512, 1 << 24, "of it, at most (default 16384)"},
        {CLI_STR, 0, "imatrix", "FILE", &a.imatrix, 0, 0,
         "how much each column of a matrix matters: a file of tessera imatrix or llama-imatrix", .values = "@file"},
        {CLI_LIST, 0, "tensor-type", "PATTERN=TYPE", &a.rules, 0, 0,
         "another type for some tensors: attn_v=q6_k, blk.?.ffn_down=q5_k, with * and ?; repeatable, a later one "
         "counts"},
        {CLI_STR, 0, "head", "TYPE", &a.head, 0, 0,
         "type of the head (output.weight, or the embedding where it is both)", .also = "--output-tensor-type"},
        {CLI_STR, 0, "embedding", "TYPE", &a.embedding, 0, 0, "type of token_embd.weight",
         .also = "--token-embedding-type"},
        {CLI_FLAG, 0, "allow-requantize", NULL, &a.allow_requantize, 0, 0,
         "take a source that is quantised already: the errors add up"},
        {CLI_FLAG, 0, "dry-run", NULL, &a.dry_run, 0, 0, "only show what would become of each tensor, and the size"},
        {CLI_INT, 't', "threads", "N", &a.threads, 1, 1024, "threads (default: all processors)"},
        {CLI_FLAG, 0, "quiet", NULL, &a.quiet, 0, 0, "no notices"},
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0, "one JSON object, with an entry for each tensor"},
        {0},
    };
    return run_args(cmd, opts, argc, argv, &a);
}

static int run_convert(const cli_command *cmd, int argc, char **argv) {
    quantize_args a = {.convert = true, .allow_requantize = true};
    const cli_opt opts[] = {
        {CLI_STR, 'q', "type", "TYPE", &a.type, 0, 0, "f32, f16 or bf16 for all matrices (default: each keeps its own)",
         .values = "f32 f16 bf16"},
        {CLI_FLAG, 0, "dry-run", NULL, &a.dry_run, 0, 0, "only show what would become of each tensor, and the size"},
        {CLI_INT, 't', "threads", "N", &a.threads, 1, 1024, "threads (default: all processors)"},
        {CLI_FLAG, 0, "quiet", NULL, &a.quiet, 0, 0, "no notices"},
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0, "one JSON object, with an entry for each tensor"},
        {0},
    };
    return run_args(cmd, opts, argc, argv, &a);
}

const cli_command cmd_convert = {
    .name = "convert",
    .args = "SRC DST.gguf",
    .files = "@model",
    .summary = "make a GGUF file of a Hugging Face folder, with the same numbers",
    .text =
        "Safetensors and PyTorch files become the GGUF file that they are run as: tessera run gives the same bits for "
        "both. 4-bit folders (AWQ, GPTQ, compressed-tensors, Quark) become Q4_0 or Q4_1, with a note that brings back "
        "their zero points; folders with act-order cannot be told in GGUF.\n"
        "\n"
        "A GGUF file may be the source too: split parts become one, --type turns weights into floats. As with tessera "
        "quantize, what is stopped goes on with the same command.",
    .run = run_convert,
};

const cli_command cmd_quantize = {
    .name = "quantize",
    .args = "SRC DST.gguf",
    .files = "@model",
    .summary = "make a smaller model file of one in F32, F16 or BF16",
    .text = "The source is a GGUF file, a Hugging Face folder, or a file of weights in one. The types are the mixes "
            "that llama.cpp has under these names. Scales are found by a search (of 4-bit groups where an importance "
            "matrix or a method says what counts), which an importance matrix makes better. npu4 is what the XDNA1 "
            "takes with the fewest bytes: 4-bit groups of 128, which GGUF holds as "
            "Q4_1.\n"
            "\n"
            "The result appears under its name when it is whole; until then it is DST.gguf.partial, beside a small "
            "DST.gguf.state. Whatever stops the program, Ctrl-C or a power cut, the same command goes on from there. "
            "At the end a table tells what became of the tensors: bits of a weight with its scales, and the root mean "
            "square of the error beside that of the weights.",
    .run = run,
};
