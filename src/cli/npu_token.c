#include "cli/npu_token.h"

#include "base/cpu.h"
#include "cli/sim_speed.h"
#include "cli/stats.h"
#include "cli/table.h"
#include "cli/term.h"
#include "device/dev_npu.h"
#include "report/shape.h"
#include "npu/gemv_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPS = 12 };

/* An op of a layer kind, how often a token runs it, what it cost. */
typedef struct entry {
    char name[48];
    ts_gemv_bench_op op;
    uint32_t count;
    ts_gemv_cost cost;
} entry;

typedef struct plan {
    entry e[MAX_OPS];
    int n;
    double dma_rate; /* bytes a microsecond of all channels, at the clock of the run */
} plan;

static void add(plan *p, const char *name, uint32_t count, int n, const ts_gemv_shape *shape) {
    entry *e = &p->e[p->n++];
    *e = (entry){.op = {.n = n}, .count = count};
    snprintf(e->name, sizeof e->name, "%s", name);
    for (int i = 0; i < n; i++) {
        e->op.shape[i] = shape[i];
        if (i == 0 || shape[i].type != shape[0].type)
            snprintf(e->name + strlen(e->name), sizeof e->name - strlen(e->name), "%c%s", i ? '+' : ' ',
                     ts_dtype_get(shape[i].type)->name);
    }
}

static void add_layer(plan *p, const ts_shape *s, const ts_mix *mix, bool more, uint32_t count) {
    const ts_widths w = ts_shape_widths(s);
    for (ts_mat_group g = 0; g < TS_LAYER_GROUPS; g++) {
        const ts_mat_group_info *group = &ts_layer_group[g];
        ts_gemv_shape shape[TS_GROUP_MATS];
        for (int i = 0; i < group->n; i++) {
            const ts_role r = (ts_role)((int)group->first + i);
            shape[i] = (ts_gemv_shape){ts_mix_type(mix, r, more), ts_role_out(r, &w), ts_role_in(r, &w)};
        }
        add(p, group->name, count, group->n, shape);
    }
}

/* In running order: the first op has nothing before it and is the first of a token; it comes again, prefetched, at
 * the end of the layers, for all the other times. */
static void make_plan(plan *p, const ts_shape *s, const ts_mix *mix) {
    uint32_t more = 0;
    for (uint32_t i = 0; i < s->n_layer; i++) more += ts_shape_more_bits(i, s->n_layer);
    const bool mixed = mix->more != mix->base && more > 0 && more < s->n_layer,
               first_more = ts_shape_more_bits(0, s->n_layer);
    const uint32_t n_first = mixed ? (first_more ? more : s->n_layer - more) : s->n_layer;
    add_layer(p, s, mix, first_more, n_first);
    if (mixed) add_layer(p, s, mix, !first_more, s->n_layer - n_first);
    p->e[0].count = 1;
    if (n_first > 1) {
        entry *again = &p->e[p->n++];
        *again = p->e[0];
        again->count = n_first - 1;
        snprintf(p->e[0].name + strlen(p->e[0].name), sizeof p->e[0].name - strlen(p->e[0].name), ", first");
    }
    add(p, "output", 1, 1, (ts_gemv_shape[]){{mix->head, s->n_vocab, s->d_model}});
}

/* All of a token, in microseconds and bytes. */
typedef struct total {
    double device, gap, launch, read, write, bound, host;
    uint64_t commands, macs, weights, units, acts, sums;
} total;

static double bound_us(const plan *p, const ts_gemv_cost *c) {
    double in = (double)(c->weight_bytes + c->act_bytes) / p->dma_rate, out = (double)c->sum_bytes / p->dma_rate;
    return in > out ? in : out;
}

static total add_up(const plan *p, double gap_us, uint32_t mhz) {
    total t = {0};
    for (int i = 0; i < p->n; i++) {
        const entry *e = &p->e[i];
        const ts_gemv_cost *c = &e->cost;
        const double n = e->count;
        t.device += n * (double)c->device_ns / 1000;
        t.gap += n * gap_us * (double)c->commands;
        t.launch += mhz ? n * (double)c->launch_cycles / mhz : 0;
        t.read += n * (double)(c->weight_bytes + c->act_bytes) / p->dma_rate;
        t.write += n * (double)c->sum_bytes / p->dma_rate;
        t.bound += n * bound_us(p, c);
        t.host += n * (double)c->host_ns / 1000;
        t.commands += e->count * c->commands, t.macs += e->count * c->macs, t.weights += e->count * c->weight_bytes;
        t.units += e->count * c->unit_bytes, t.acts += e->count * c->act_bytes, t.sums += e->count * c->sum_bytes;
    }
    return t;
}

static const cli_column op_columns[] = {{"operation", true, 0}, {"times", false, 5},   {"cmds", false, 3},
                                        {"MMAC", false, 4},     {"weights", false, 2}, {"acts", false, 1},
                                        {"sums", false, 1},     {"time", false, 0},    {"bound", false, 0},
                                        {"share", false, 0}};

static bool add_ops(ts_buf *out, const plan *p, int width) {
    cli_table t = {.column = op_columns, .n_columns = sizeof op_columns / sizeof *op_columns};
    for (int i = 0; i < p->n; i++) {
        const entry *e = &p->e[i];
        const ts_gemv_cost *c = &e->cost;
        double b = bound_us(p, c), us = (double)c->device_ns / 1000;
        cli_table_add(&t, "%s", e->name);
        cli_table_add(&t, "%u", e->count);
        cli_table_add(&t, "%llu", (unsigned long long)c->commands);
        cli_table_add(&t, "%.1f", (double)c->macs * 1e-6);
        cli_table_add(&t, "%llu", (unsigned long long)c->weight_bytes);
        cli_table_add(&t, "%llu", (unsigned long long)c->act_bytes);
        cli_table_add(&t, "%llu", (unsigned long long)c->sum_bytes);
        cli_table_add(&t, "%.1f", us);
        cli_table_add(&t, "%.1f", b);
        cli_table_add(&t, "%.1f%%", 100 * b / us);
    }
    bool ok = cli_table_text(&t, width, out);
    cli_table_free(&t);
    return ok;
}

static bool add_share(ts_buf *out, const char *what, double us, double all) {
    return ts_buf_printf(out, "%-58s %10.0f %6.1f%%\n", what, us, 100 * us / all);
}

static const char *clock_text(char out[40], const ts_gemv_dev *d) {
    const ts_npu_clock c = ts_gemv_dev_clock(d);
    return cli_clock_text(out, &(ts_model_info){.device_mhz = c.mhz,
                                                .device_mhz_least = c.least,
                                                .device_mhz_most = c.most});
}

static void print_table(const plan *p, const total *t, const ts_shape *s, const char *type, const ts_gemv_dev *d,
                        bool sim, double gap_us, int n_threads) {
    const ts_evidence evidence = ts_gemv_dev_evidence(d);
    char how[100], clock[40];
    const double all = t->device + t->gap;
    ts_buf out = {0};
    bool ok =
        ts_buf_printf(&out, "%s %s, one token, linear layers on %s; clock %s%s\n", s->name, type,
                      sim ? "npu-sim" : "npu", clock_text(clock, d),
                      sim ? " (of the simulation)" : " (as the driver said meanwhile)") &&
        ts_buf_printf(&out,
                      "every result equals the CPU's, bit for bit; times in microseconds, %s; bound: bytes at %.1f "
                      "GB/s, the slower of "
                      "read and write\n\n",
                      cli_evidence_text(how, evidence), p->dma_rate * 1e-3) &&
        add_ops(&out, p, cli_term_width(stdout)) &&
        ts_buf_printf(&out,
                      "\nbytes of a token: packed weights %llu + padding %llu + activations %llu + sums %llu = %llu\n",
                      (unsigned long long)t->units, (unsigned long long)(t->weights - t->units),
                      (unsigned long long)t->acts, (unsigned long long)t->sums,
                      (unsigned long long)(t->weights + t->acts + t->sums)) &&
        ts_buf_printf(&out, "\n%-58s %10s %7s\n", "where a token's time goes (derived)", "us", "share") &&
        add_share(&out, "bound of 8 DMA channels: reading", t->read, all) &&
        add_share(&out, "  (writing at the same time)", t->write, all);
    if (sim)
        ok =
            ok && add_share(&out, "submission: host's and driver's part, not in the cycles", t->gap, all) &&
            add_share(&out, "submission: launch by the firmware", t->launch, all) &&
            add_share(&out, "tasks, ends of ops, less what prefetch hides", all - t->bound - t->gap - t->launch, all) &&
            ts_buf_printf(&out, "%-58s %10.0f\n", "a command's fixed cost [silicon, others]: 160 us, outside", gap_us);
    ok = ok && ts_buf_printf(&out, "%-58s %10.0f\n", "all", all) &&
         ts_buf_printf(
             &out,
             "\n%.2f tokens/s (derived from %s times, %llu commands a token); the bound alone would be %.2f: %.1f %%\n",
             1e6 / all, ts_evidence_name(evidence), (unsigned long long)t->commands, 1e6 / t->bound,
             100 * t->bound / all) &&
         ts_buf_printf(&out,
                       "not included: the host's part of the linear layers, %.0f us on %d threads of this machine "
                       "(measured), and attention",
                       t->host, n_threads);
    if (ok) cli_term_print(stdout, out.data, false);
    else fprintf(stderr, "tessera: out of memory\n");
    ts_buf_free(&out);
}

static void print_json(const plan *p, const total *t, const ts_shape *s, const char *type, const ts_gemv_dev *d,
                       bool sim, double gap_us) {
    const double all = t->device + t->gap;
    printf("{\"shape\":\"%s\",\"type\":\"%s\",\"device\":\"%s\",\"clock_mhz\":%u,\"evidence\":\"%s\",\"ops\":[",
           s->name, type, sim ? "npu-sim" : "npu", ts_gemv_dev_clock(d).mhz, ts_evidence_name(ts_gemv_dev_evidence(d)));
    for (int i = 0; i < p->n; i++) {
        const entry *e = &p->e[i];
        const ts_gemv_cost *c = &e->cost;
        printf("%s\n "
               "{\"operation\":\"%s\",\"times\":%u,\"commands\":%llu,\"macs\":%llu,\"weight_bytes\":%llu,\"padding_"
               "bytes\":%llu,"
               "\"activation_bytes\":%llu,\"sum_bytes\":%llu,\"time_us\":%.3f,\"bound_us\":%.3f}",
               i ? "," : "", e->name, e->count, (unsigned long long)c->commands, (unsigned long long)c->macs,
               (unsigned long long)c->unit_bytes, (unsigned long long)(c->weight_bytes - c->unit_bytes),
               (unsigned long long)c->act_bytes, (unsigned long long)c->sum_bytes, (double)c->device_ns / 1000,
               bound_us(p, c));
    }
    printf("],\n\"commands\":%llu,\"macs\":%llu,\"device_us\":%.1f,\"submit_us\":%.1f,\"gap_us\":%.1f,\"bound_us\":%."
           "1f,\"bound_share\":%.5f,"
           "\"tok_per_s\":%.4f,\"tok_per_s_evidence\":\"derived\",\"host_us\":%.1f}\n",
           (unsigned long long)t->commands, (unsigned long long)t->macs, t->device, t->gap, gap_us, t->bound,
           t->bound / all, 1e6 / all, t->host);
}

/* The simulator's time goes with the multiply-accumulates: progress is told in them. */
struct steps {
    const plan *p;
    cli_progress progress;
    uint64_t all;
};

static uint64_t macs_of(const entry *e) {
    uint64_t sum = 0;
    for (int i = 0; i < e->op.n; i++) sum += e->op.shape[i].n_rows * e->op.shape[i].K;
    return sum;
}

static bool on_step(void *ud, uint64_t done, uint64_t all) {
    struct steps *s = ud;
    uint64_t macs = 0;
    (void)all;
    for (uint64_t i = 0; i < done; i++) macs += macs_of(&s->p->e[i]);
    return cli_progress_step(&s->progress, macs, s->all);
}

static void begin_steps(struct steps *s, const plan *p, bool sim, uint64_t width, const ts_kern *kern, ts_pool *pool) {
    double rate;
    ts_err err;
    *s = (struct steps){.p = p,
                        .progress = {.what = sim ? "simulating" : "running", .unit = "MMAC", .per_unit = 1000000}};
    for (int i = 0; i < p->n; i++) s->all += macs_of(&p->e[i]);
    if (sim && cli_sim_rate(width, kern, pool, &rate, &err) == TS_OK) {
        char text[300];
        const double seconds = (double)s->all / rate;
        s->progress.guess_ns = (uint64_t)(seconds * 1e9);
        snprintf(text, sizeof text,
                 "npu-sim simulates the NPU cycle by cycle: about %.0f %s for %d ops (derived: %.1f million "
                 "multiply-accumulates at %.1f million a "
                 "second, measured on one layer)",
                 seconds < 120 ? seconds : seconds / 60, seconds < 120 ? "s" : "min", p->n, (double)s->all * 1e-6,
                 rate * 1e-6);
        if (seconds > 2) cli_term_print(stderr, text, true);
    }
    cli_progress_begin(&s->progress);
    (void)cli_progress_step(&s->progress, 0, s->all);
}

static ts_status run_plan(plan *p, const ts_npu_options *o, int n_threads, ts_npu *npu, ts_err *err) {
    ts_gemv_bench_op op[MAX_OPS];
    ts_gemv_cost cost[MAX_OPS];
    ts_kern kern;
    ts_cpu_level level;
    ts_pool *pool;
    for (int i = 0; i < p->n; i++) {
        const char *why = ts_gemv_refusal(p->e[i].op.shape, p->e[i].op.n);
        if (why) return ts_fail(err, TS_E_UNSUPP, "%s: %s", p->e[i].name, why);
        op[i] = p->e[i].op;
    }
    TS_TRY(ts_cpu_choose(&level, getenv("TESSERA_CPU"), err));
    ts_kern_init(&kern, level);
    TS_TRY(ts_npu_open(npu, o, err));
    TS_TRY(ts_pool_new(&pool, n_threads, err));
    struct steps steps;
    begin_steps(&steps, p, o->simulated, op[0].shape[0].K, &kern, pool);
    ts_status s = ts_gemv_bench(npu->gemv, op, p->n, &kern, pool, on_step, &steps, cost, err);
    cli_progress_end(&steps.progress);
    ts_pool_free(pool);
    for (int i = 0; i < p->n && s == TS_OK; i++) p->e[i].cost = cost[i];
    return s;
}

int cli_npu_token(const cli_command *cmd, const cli_model *m, const char *shape_name, const char *type, long threads,
                  bool json) {
    const ts_shape *shape = NULL;
    ts_mix mix;
    ts_err err;
    plan p = {0};
    ts_npu npu = {0};
    ts_device_plan devices;
    ts_status s = ts_device_parse(&devices, m->device_text, ts_devices, &err);
    if (s == TS_OK && (devices.n != 1 || devices.use[0].percent != 100))
        return cli_usage_error(cmd, "with --shape on an NPU, --device is one device that has all rows");
    ts_npu_options o = {0};
    if (s == TS_OK) o = ts_npu_options_of(&devices.use[0]);
    o.stop = (ts_npu_stop){cli_interrupt_stop, NULL};
    const bool sim = o.simulated;
    const int n_threads = threads > 0 ? (int)threads : ts_cpu_count();
    if (s == TS_OK) s = ts_shape_find(&shape, shape_name, &err);
    if (s == TS_OK) s = ts_mix_find(&mix, type, &err);
    if (s == TS_OK) {
        make_plan(&p, shape, &mix);
        s = run_plan(&p, &o, n_threads, &npu, &err);
    }
    if (s == TS_OK) {
        /* a real device's times have it in them */
        const double gap_us = sim ? (double)ts_sim_submit_gap() / TS_SIM_CLOCK_MHZ : 0;
        p.dma_rate = ts_gemv_dma_bytes_per_us(ts_gemv_dev_clock(npu.gemv).mhz);
        const total t = add_up(&p, gap_us, sim ? TS_SIM_CLOCK_MHZ : 0);
        if (json) print_json(&p, &t, shape, type, npu.gemv, sim, gap_us);
        else print_table(&p, &t, shape, type, npu.gemv, sim, gap_us, n_threads);
    }
    ts_npu_close(&npu);
    return s == TS_OK ? CLI_OK : cli_fail(&err);
}
