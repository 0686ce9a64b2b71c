/* cmd_imatrix.c - tessera imatrix: how much each column of a model's matrices matters. */
#include "cli/arguments.h"
#include "cli/bundled.h"
#include "cli/commands.h"
#include "cli/common.h"

#include "base/file.h"
#include "base/log.h"
#include "quant/calibrate.h"

#include <stdio.h>
#include <string.h>

typedef struct imatrix_args {
    cli_model model;
    const char *text, *out;
    long chunk, chunks;
    bool head;
} imatrix_args;

enum { FEW_TOKENS = 512 };

static void report(const imatrix_args *a, const ts_imatrix *m, const char *file) {
    double tokens = 0; /* of a router's matrices, the one that has seen most */
    for (size_t i = 0; i < ts_imatrix_n(m); i++)
        if (ts_imatrix_at(m, i)->count > tokens) tokens = ts_imatrix_at(m, i)->count;
    if (tokens < FEW_TOKENS && !a->model.quiet)
        ts_log(TS_LOG_WARN, "%.0f tokens say little about which columns matter: some ten thousand do", tokens);
    printf("%s: %zu matrices, %.0f tokens of %s in pieces of %u\n", a->out, ts_imatrix_n(m), tokens, file,
           ts_imatrix_chunk_size(m));
}

static int calibrate(const cli_command *cmd, imatrix_args *a) {
    enum { LARGEST = 1 << 30 };
    ts_err err;
    ts_buf text = {0};
    const char *file = a->text ? a->text : cli_bundled_file("calibration.txt");
    if (!file) return cli_usage_error(cmd, "what text? Tessera's own is not installed: give --text FILE");
    if (ts_file_read(&text, file, LARGEST, &err) != TS_OK) return cli_fail(&err);
    ts_engine *e = NULL;
    ts_imatrix *m = NULL;
    const char *read[] = {a->model.path, file};
    int code = cli_check_output(cmd, a->out, read, 2);
    if (code == CLI_OK) code = cli_open_engine(cmd, &a->model, &e);
    if (code == CLI_OK) {
        cli_progress progress = {.what = "text", .unit = "tokens", .ended = a->model.quiet};
        const char *slash = strrchr(file, '/');
        const ts_calibrate_opts o = {.chunk = (uint32_t)a->chunk,
                                     .max_chunks = (uint32_t)a->chunks,
                                     .head = a->head,
                                     .dataset = slash ? slash + 1 : file,
                                     .progress = cli_progress_step,
                                     .progress_ud = &progress};
        ts_status s = ts_calibrate(e, text.len ? text.data : "", text.len, &o, &m, &err);
        cli_progress_end(&progress);
        if (s == TS_OK) s = ts_imatrix_save(m, a->out, &err);
        if (s != TS_OK) code = cli_fail(&err);
    }
    if (code == CLI_OK) report(a, m, file);
    ts_imatrix_free(m);
    ts_engine_close(e);
    ts_buf_free(&text);
    return code;
}

static int run(const cli_command *cmd, int argc, char **argv) {
    imatrix_args a = {.out = "imatrix.gguf"};
    const cli_opt opts[] = {
        {CLI_STR, 'f', "text", "FILE", &a.text, 0, 0,
         "the text (default: one that comes with Tessera: prose, dialogue, code, several languages); - is standard "
         "input",
         .also = "--file", .values = "@file"},
        {CLI_STR, 'o', "output", "FILE", &a.out, 0, 0, "the result (default imatrix.gguf)", .also = "--output-file",
         .values = "@file"},
        {CLI_INT, 0, "chunks", "N", &a.chunks, 1, 1 << 20, "only the first N pieces of the text"},
        {CLI_INT, 0, "chunk-size", "N", &a.chunk, 2, 1 << 20,
         "tokens of a piece, BOS included (default 512, or what the model was trained with)"},
        {CLI_FLAG, 0, "head", NULL, &a.head, 0, 0, "the head's input, too, which takes longer",
         .also = "--process-output"},
        {CLI_FLAG, 'q', "quiet", NULL, &a.model.quiet, 0, 0, "no notices"},
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Model"},
        {CLI_STR, 'm', "model", "FILE", &a.model.path, 0, 0, CLI_MODEL_HELP, .values = "@model"},
        {CLI_INT, 't', "threads", "N", &a.model.threads, 1, 1024, "threads (default: all processors)"},
        CLI_PRE_OPT(a.model),
        {0},
    };
    cli_list rest = {0};
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK) code = cli_take_plain(cmd, CLI_PLAIN_MODEL, &rest, &a.model.path, NULL, NULL);
    if (code == CLI_OK) code = cli_check_model(cmd, &a.model);
    cli_catch_interrupt();
    if (code == CLI_OK) code = calibrate(cmd, &a);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_imatrix = {
    .name = "imatrix",
    .args = "[MODEL]",
    .files = "@model",
    .summary = "find out which columns of a model's matrices matter, for quantize",
    .text = "Runs a text through the model and writes the mean square of every input of every linear layer as a GGUF "
            "file, which tessera quantize --imatrix and llama-quantize read. The model should be the one to be "
            "quantised, in F16, BF16 or Q8_0. Some ten thousand tokens are enough; more text changes little.",
    .run = run,
};
