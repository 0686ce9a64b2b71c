/* cmd_bench.c - tessera bench: prefill and decode speed, beside the limits of the machine measured in the same run. */
#include "base/cpu.h"
#include "base/json_write.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/npu_token.h"
#include "cli/stats.h"
#include "cli/term.h"
#include "engine/engine.h"
#include "report/shape.h"
#include "report/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LIST = 32 };

typedef struct list {
    long v[MAX_LIST];
    int n;
} list;

typedef struct bench_args {
    cli_model model;
    const char *shape, *type, *prefill, *decode, *threads, *depth, *parallel;
    long reps;
    bool json, csv;
} bench_args;

/* What is to be measured. */
typedef struct plan {
    list prefill, decode, depth, parallel, threads;
} plan;

static int parse_list(const cli_command *cmd, const char *name, const char *text, long min, list *out) {
    out->n = 0;
    for (const char *p = text; *p;) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || errno || v < min || v > 1 << 24 || (*end && *end != ',') || out->n == MAX_LIST)
            return cli_usage_error(cmd, "%s %s: expected up to %d numbers from %ld on, with commas between", name, text,
                                   MAX_LIST, min);
        out->v[out->n++] = v;
        p = *end ? end + 1 : end;
    }
    return CLI_OK;
}

static int parse_plan(const cli_command *cmd, const bench_args *a, plan *p) {
    int code = parse_list(cmd, "-p", a->prefill ? a->prefill : "512", 0, &p->prefill);
    if (code == CLI_OK) code = parse_list(cmd, "-n", a->decode ? a->decode : "128", 0, &p->decode);
    if (code == CLI_OK) code = parse_list(cmd, "-d", a->depth ? a->depth : "0", 0, &p->depth);
    if (code == CLI_OK) code = parse_list(cmd, "--parallel", a->parallel ? a->parallel : "1", 1, &p->parallel);
    p->threads = (list){.v = {ts_cpu_count()}, .n = 1};
    if (code == CLI_OK && a->threads) code = parse_list(cmd, "-t", a->threads, 1, &p->threads);
    return code;
}

struct table {
    const bench_args *a;
    ts_model_info info;
    ts_bench_limits limits;
    const char *label;
    bool first;
    size_t peak;     /* bytes, of what is not the measurement of the limits */
    bool peak_whole; /* that could not be told apart */
};

static void print_head(struct table *t) {
    if (t->a->json) printf("[");
    else if (t->a->csv)
        printf("model,params,weight_bytes,device,cpu_level,threads,test,n,depth,tok_per_s,sd,min,max,reps,read_gbps,"
               "int8_gops,"
               "limit_read_gbps,limit_int8_gops,evidence,parallel,limit_read4_gbps,limit_narrow_gops,limit_gops\n");
    t->first = true;
}

static void print_limits(const struct table *t) {
    if (t->a->json || t->a->csv) return;
    char n[20], size[20], name[32], machine[64] = "";
    if (ts_cpu_hypervisor(name, sizeof name)) snprintf(machine, sizeof machine, "; a virtual machine: %s", name);
    ts_buf text = {0};
    bool ok =
        ts_buf_printf(&text, "%s%s: %s parameters, %s of weights; KV cache %s\n", t->first ? "" : "\n", t->label,
                      cli_count_text(n, (double)t->info.n_params), cli_bytes_text(size, (double)t->info.token_bytes),
                      t->a->model.kv ? t->a->model.kv : "f16") &&
        cli_stats_device(&text, &t->info) &&
        ts_buf_printf(
            &text,
            "limits of the CPU's threads: read %.1f GB/s, in four streams a thread %.1f GB/s; int8 %.0f GOP/s, "
            "weights of up to 6 bits %.0f GOP/s (measured%s: median of %ld%s)\n\n",
            t->limits.read_gbps, t->limits.read4_gbps, t->limits.int8_gops, t->limits.narrow_gops,
            t->info.evidence == TS_MEASURED ? ", as all rates here" : "; rates", t->a->reps, machine) &&
        ts_buf_printf(&text, "%-14s %9s %7s  %-21s %s", "test", "tok/s", "+-", "memory", "arithmetic");
    if (ok) cli_term_print(stdout, text.data, false);
    ts_buf_free(&text);
}

/* Weights that the cache holds are not read from memory: a share of its bandwidth would mean nothing. */
static bool in_cache(const struct table *t, double share) {
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return share > 1 || (cache > 0 && t->info.token_bytes <= (uint64_t)cache / 2);
}

static void print_result(struct table *t, const ts_bench_test *test, const ts_bench_result *r) {
    char name[60];
    snprintf(name, sizeof name, "%s%u", test->decode ? "tg" : "pp", test->n);
    if (test->parallel > 1) snprintf(name + strlen(name), sizeof name - strlen(name), " x %u", test->parallel);
    if (test->depth) snprintf(name + strlen(name), sizeof name - strlen(name), " @ d%u", test->depth);
    if (t->a->json) {
        ts_buf label = {0};
        printf("%s\n  "
               "{\"model\":%s,\"params\":%llu,\"weight_bytes\":%llu,\"device\":\"%s\",\"cpu_level\":\"%s\",\"threads\":"
               "%d,",
               t->first ? "" : ",", ts_json_put_string(&label, t->label, strlen(t->label)) ? label.data : "\"\"",
               (unsigned long long)t->info.n_params, (unsigned long long)t->info.token_bytes, t->info.device,
               t->info.cpu_level, t->info.n_threads);
        printf("\"test\":\"%s\",\"n\":%u,\"depth\":%u,\"parallel\":%u,"
               "\"tok_per_s\":%.4f,\"sd\":%.4f,\"min\":%.4f,\"max\":%.4f,\"reps\":%d,"
               "\"read_gbps\":%.3f,\"int8_gops\":%.3f,\"limit_read_gbps\":%.3f,\"limit_int8_gops\":%.3f,\"evidence\":"
               "\"%s\",\"time_kind\":\"%s\",\"limit_read4_gbps\":%.3f,\"limit_narrow_gops\":%.3f,"
               "\"limit_gops\":%.3f}",
               test->decode ? "decode" : "prefill", test->n, test->depth, test->parallel, r->rate, r->sd, r->min,
               r->max, r->n_reps, r->gbps, r->gops, t->limits.read_gbps, t->limits.int8_gops,
               ts_evidence_name(t->info.evidence), cli_time_kind(&t->info), t->limits.read4_gbps, t->limits.narrow_gops,
               ts_bench_gops_limit(&t->limits, r));
        ts_buf_free(&label);
    } else if (t->a->csv) {
        printf("\"%s\",%llu,%llu,%s,%s,%d,%s,%u,%u,%.4f,%.4f,%.4f,%.4f,%d,%.3f,%.3f,%.3f,%.3f,%s,%u,%.3f,%.3f,%.3f\n",
               t->label, (unsigned long long)t->info.n_params, (unsigned long long)t->info.token_bytes, t->info.device,
               t->info.cpu_level, t->info.n_threads, test->decode ? "decode" : "prefill", test->n, test->depth, r->rate,
               r->sd, r->min, r->max, r->n_reps, r->gbps, r->gops, t->limits.read_gbps, t->limits.int8_gops,
               ts_evidence_name(t->info.evidence), test->parallel, t->limits.read4_gbps, t->limits.narrow_gops,
               ts_bench_gops_limit(&t->limits, r));
    } else {
        const bool cpu = !strcmp(t->info.device, "cpu"); /* the limits are the CPU's */
        const double share = r->gbps / ts_bench_read_limit(&t->limits);
        char mem[40] = "", arithmetic[40];
        if (test->decode && !cpu) snprintf(mem, sizeof mem, "%5.1f GB/s", r->gbps);
        else if (test->decode && in_cache(t, share)) snprintf(mem, sizeof mem, "%5.1f GB/s (in cache)", r->gbps);
        else if (test->decode) snprintf(mem, sizeof mem, "%5.1f GB/s (%3.0f %%)", r->gbps, 100 * share);
        snprintf(arithmetic, sizeof arithmetic, cpu ? "%6.1f GOP/s (%3.0f %%)" : "%6.1f GOP/s", r->gops,
                 100 * r->gops / ts_bench_gops_limit(&t->limits, r));
        printf("%-14s %9.2f %7.2f  %-21s %s\n", name, r->rate, r->sd, mem, arithmetic);
    }
    fflush(stdout);
    t->first = false;
}

static int run_tests(bench_args *a, ts_engine *e, struct table *t, const list *tests, const list *depths,
                     uint32_t parallel, bool decode) {
    ts_err err;
    for (int d = 0; d < depths->n; d++)
        for (int i = 0; i < tests->n; i++) {
            if (tests->v[i] == 0) continue;
            ts_bench_test test = {.decode = decode, .n = (uint32_t)tests->v[i], .depth = (uint32_t)depths->v[d],
                                  .parallel = parallel};
            ts_session_opts so = {.n_ctx = (uint32_t)a->model.ctx,
                                  .kv = cli_kv_named(a->model.kv)};
            cli_progress progress = {.what = decode ? "decode" : "prefill", .unit = "tokens"};
            ts_bench_result r;
            cli_progress_begin(&progress);
            ts_status s = ts_bench_run(e, &so, &test, (int)a->reps, cli_progress_step, &progress, &r, &err);
            cli_progress_end(&progress);
            if (s == TS_E_NOMEM)
                ts_err_add(&err, "; use smaller -p, -n and -d%s", so.kv == TS_KV_F32 ? ", or --kv f16" : "");
            if (s != TS_OK) return cli_fail(&err);
            print_result(t, &test, &r);
        }
    return CLI_OK;
}

static size_t max(size_t a, size_t b) {
    return a > b ? a : b;
}

static int bench(bench_args *a, const plan *p, ts_engine *e) {
    if (!a->reps) a->reps = 5;
    int code = CLI_OK;
    struct table t = {.a = a};
    print_head(&t);
    for (int i = 0; i < p->threads.n && code == CLI_OK; i++) {
        ts_err err;
        cli_progress progress = {.what = "measuring what this machine can do"};
        cli_progress_begin(&progress);
        t.peak = max(t.peak, ts_mem_peak());
        bool done = ts_engine_use_threads(e, (int)p->threads.v[i], &err) == TS_OK &&
                    ts_bench_measure_limits(e, &t.limits, &err) == TS_OK;
        t.peak_whole |= !ts_mem_peak_reset();
        cli_progress_end(&progress);
        if (!done) {
            code = cli_fail(&err);
            break;
        }
        ts_engine_info(e, &t.info);
        t.label = *t.info.name ? t.info.name : a->model.path;
        print_limits(&t);
        code = run_tests(a, e, &t, &p->prefill, &p->depth, 1, false);
        for (int k = 0; k < p->parallel.n && code == CLI_OK; k++)
            code = run_tests(a, e, &t, &p->decode, &p->depth, (uint32_t)p->parallel.v[k], true);
    }
    if (a->json && t.info.arch) printf("\n]\n");
    if (code == CLI_OK && !a->json && !a->csv)
        printf("\nmodel loaded in %.2f s; peak memory %zu MiB%s (measured)\n", (double)t.info.load_ns * 1e-9,
               max(t.peak, ts_mem_peak()) >> 20, t.peak_whole ? ", 512 of them to measure the limits" : "");
    return code == CLI_OK ? cli_report_ledger(&a->model, e, true) : code;
}

/* A random model in memory instead of a file; `file` keeps the bytes alive. */
static int open_shape(const bench_args *a, ts_buf *file, ts_engine **out) {
    const ts_shape *shape;
    ts_mix mix;
    ts_err err;
    ts_status s = ts_shape_find(&shape, a->shape, &err);
    if (s == TS_OK) s = ts_mix_find(&mix, a->type, &err);
    cli_progress making = {.what = "making random weights", .unit = "MiB", .per_unit = 1 << 20};
    cli_progress loading = {.what = "loading", .unit = "MiB", .per_unit = 1 << 20};
    cli_progress_begin(&making);
    if (s == TS_OK) s = ts_shape_make_watched(shape, &mix, 1, cli_progress_step, &making, file, &err);
    cli_progress_end(&making);
    ts_engine_opts opts = cli_engine_opts(&a->model);
    opts.progress = cli_progress_step;
    opts.progress_ud = &loading;
    cli_progress_begin(&loading);
    if (s == TS_OK) s = ts_engine_open_memory(out, file->data, file->len, &opts, &err);
    cli_progress_end(&loading);
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}

static int run(const cli_command *cmd, int argc, char **argv) {
    bench_args a = {0};
    const cli_opt opts[] = {
        {CLI_STR, 'm', "model", "FILE", &a.model.path, 0, 0, CLI_MODEL_HELP, .values = "@model"},
        CLI_HF_OPTS(a.model),
        {CLI_STR, 0, "shape", "NAME", &a.shape, 0, 0,
         "random weights in memory instead: llama-3-8b, llama-3.2-1b, llama-3.2-3b, tinyllama, qwen2.5-0.5b, "
         "qwen3-0.6b, tiny",
         .values = "llama-3-8b llama-3.2-1b llama-3.2-3b tinyllama qwen2.5-0.5b qwen3-0.6b tiny"},
        {CLI_STR, 'q', "type", "TYPE", &a.type, 0, 0,
         "of the random weights: q4_0 (default), q4_k_m, q5_k_m, q6_k, q8_0, ...",
         .values = "q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q4_k_m q5_k q5_k_m q6_k iq4_nl iq4_xs mxfp4 f16 bf16 f32 "
                   "..."},
        {CLI_STR, 'p', "prefill", "N,...", &a.prefill, 0, 0, "prompt lengths (default 512; 0: none)"},
        {CLI_STR, 'n', "decode", "N,...", &a.decode, 0, 0, "tokens one by one (default 128; 0: none)"},
        {CLI_STR, 'd', "depth", "N,...", &a.depth, 0, 0, "tokens in the context before (default 0)"},
        {CLI_STR, 0, "parallel", "N,...", &a.parallel, 0, 0,
         "sessions that decode together, a token of each in a pass (default 1)", .also = "-np"},
        {CLI_STR, 't', "threads", "N,...", &a.threads, 0, 0, "threads (default: all processors)"},
        {CLI_INT, 'r', "reps", "N", &a.reps, 1, TS_BENCH_MAX_REPS, "repetitions after a warm-up (default 5)"},
        CLI_PRE_OPT(a.model),
        CLI_DEVICE_OPTS(a.model),
        CLI_KV_OPTS(a.model),
        {CLI_FLAG, 0, "json", NULL, &a.json, 0, 0, "a JSON array, an object per line of the table"},
        {CLI_FLAG, 0, "csv", NULL, &a.csv, 0, 0, "comma-separated values with a header"},
        {0},
    };
    cli_list rest = {0};
    ts_buf file = {0};
    ts_engine *e = NULL;
    ts_kv_type kv;
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK) code = cli_take_hf(cmd, &a.model);
    if (code == CLI_OK) code = cli_take_plain(cmd, CLI_PLAIN_MODEL, &rest, &a.model.path, NULL, NULL);
    if (code == CLI_OK && a.model.path && a.shape)
        code = cli_usage_error(cmd, "give -m FILE or --shape NAME, not both");
    if (code == CLI_OK) code = cli_kv_type(cmd, &a.model, &kv);
    if (code == CLI_OK) code = cli_device(cmd, &a.model);
    if (code == CLI_OK && a.type && !a.shape)
        code = cli_usage_error(cmd, "--type is for --shape: a file has its own types");
    if (code == CLI_OK && a.model.pre && a.shape)
        code = cli_usage_error(cmd, "--pre is about the tokenizer of a file, not for --shape");
    if (code == CLI_OK && a.json && a.csv) code = cli_usage_error(cmd, "--json and --csv exclude each other");
    if (!a.type) a.type = "q4_0";
    plan p = {0};
    if (code == CLI_OK) code = parse_plan(cmd, &a, &p);
    for (int i = 0; a.threads && i < p.threads.n && code == CLI_OK; i++) cli_warn_threads(p.threads.v[i]);
    cli_catch_interrupt();
    if (code == CLI_OK && a.shape && a.model.device && strcmp(a.model.device, "cpu") != 0) {
        if (a.prefill || a.decode || a.depth || a.reps || a.csv || kv != TS_KV_F16 || a.model.ledger ||
            a.model.ledger_check || a.model.allow_cpu_ops)
            code = cli_usage_error(
                cmd,
                "with --shape on an NPU the layers of one token are run, and -p, -n, -d, -r, --csv, --kv, --ledger, "
                "--ledger-check and --allow-cpu-ops have no meaning");
        if (code == CLI_OK && a.parallel)
            code = cli_usage_error(cmd, "--parallel is for tests of a whole model, not for --shape on an NPU");
        const long n_threads = a.threads ? p.threads.v[0] : 0;
        if (code == CLI_OK && p.threads.n > 1)
            code = cli_usage_error(cmd, "with --shape on an NPU, -t takes one number");
        if (code == CLI_OK) code = cli_npu_token(cmd, &a.model, a.shape, a.type, n_threads, a.json);
        ts_free(rest.item);
        return code;
    }
    if (code == CLI_OK) code = a.shape ? open_shape(&a, &file, &e) : cli_open_engine(cmd, &a.model, &e);
    if (code == CLI_OK) code = bench(&a, &p, e);
    ts_engine_close(e);
    ts_buf_free(&file);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_bench = {
    .name = "bench",
    .args = "[MODEL]",
    .files = "@model",
    .summary = "measure prefill and decode speed",
    .text = "ppN processes N tokens at once, tgN one by one, \"@ dM\" after M tokens, \"x P\" in P sessions together. "
            "Memory is what the weights and "
            "the KV\n"
            "cache amount to per token, arithmetic counts two operations per multiply-accumulate of the linear layers; "
            "both\n"
            "stand beside what the same threads reached in the same run: of memory, each thread reading one stream, or "
            "four far\n"
            "apart (the share is of the better one); of arithmetic, with weights of 8 bits, and of at most 6, whose "
            "products some\n"
            "processors add up in 16 bits (the share is of both, as the model's types are mixed). \"in cache\": the "
            "weights fit\n"
            "the processor's cache, and the memory's bandwidth is no limit.\n"
            "\n"
            "With --shape and --device npu or npu-sim, the linear layers of one token are run at true size: one layer "
            "of each\n"
            "kind and the output layer, their results compared with the CPU. From their times the tokens a second are "
            "derived\n"
            "and set beside the bound of eight DMA channels. Options for tests of a whole model (-p, -n, -d, -r) are "
            "refused then.",
    .run = run,
};
