#include "cli/ledger.h"

#include "cli/stats.h"
#include "cli/table.h"
#include "cli/term.h"
#include "npu/gemv_dev.h"

#include <stdio.h>
#include <string.h>

/* All rows; *n of them. Free with ts_free. NULL: out of memory. */
static ts_ledger_row *rows_of(const ts_engine *e, size_t *n) {
    *n = ts_engine_ledger(e, NULL, 0);
    ts_ledger_row *r = ts_calloc(*n ? *n : 1, sizeof *r);
    if (r) ts_engine_ledger(e, r, *n);
    return r;
}

struct totals {
    uint64_t macs, cpu_macs, weights, padding, acts, sums, commands, device_ns, host_ns, bound_ns, step_ns, cpu_ns,
        checked, differ;
    uint64_t proofs, wrong_proofs, anew;
    bool device;
    ts_evidence evidence;
};

static struct totals add_up(const ts_ledger_row *r, size_t n) {
    struct totals t = {0};
    for (size_t i = 0; i < n; i++, r++) {
        const bool cpu = !strcmp(r->device, "cpu");
        t.macs += r->macs;
        if (cpu) {
            t.cpu_macs += r->macs;
            *(r->linear ? &t.cpu_ns : &t.step_ns) += r->device_ns;
            continue;
        }
        t.device = true;
        t.evidence = r->evidence;
        t.weights += r->weight_bytes - r->padding_bytes, t.padding += r->padding_bytes;
        t.acts += r->act_bytes, t.sums += r->sum_bytes, t.commands += r->commands;
        t.device_ns += r->device_ns, t.host_ns += r->host_ns, t.bound_ns += r->bound_ns;
        t.checked += r->checked, t.differ += r->differ;
        t.proofs += r->proofs, t.wrong_proofs += r->wrong_proofs, t.anew += r->anew;
    }
    return t;
}

static double percent(uint64_t part, uint64_t whole) {
    return whole ? 100 * (double)part / (double)whole : 0;
}

static const cli_column columns[] = {
    {"operation", true, 0}, {"device", true, 8},      {"calls", false, 6},   {"tokens", false, 3},
    {"MMAC", false, 5},     {"weights MB", false, 7}, {"acts MB", false, 2}, {"sums MB", false, 2},
    {"host ms", false, 4},  {"time ms", false, 0},    {"evidence", true, 0}, {"of bound", false, 9},
    {"checksum", true, 1},  {"check", true, 0},
};

static void add_row(cli_table *t, const ts_ledger_row *r) {
    const bool device = strcmp(r->device, "cpu") != 0;
    char rows[40] = "";
    if (r->rows != r->rows_all) snprintf(rows, sizeof rows, ", %u of %u rows", r->rows, r->rows_all);
    cli_table_add(t, "%s%s%s%s", r->op, *r->types ? " " : "", r->types, rows);
    cli_table_add(t, "%s", r->device);
    cli_table_add(t, "%llu", (unsigned long long)r->calls);
    cli_table_add(t, "%llu", (unsigned long long)r->tokens);
    if (r->linear) {
        cli_table_add(t, "%.2f", (double)r->macs * 1e-6);
        cli_table_add(t, "%.3f", (double)r->weight_bytes * 1e-6);
    } else {
        cli_table_skip(t, 2);
    }
    if (r->linear && device) {
        cli_table_add(t, "%.3f", (double)r->act_bytes * 1e-6);
        cli_table_add(t, "%.3f", (double)r->sum_bytes * 1e-6);
        cli_table_add(t, "%.3f", (double)r->host_ns * 1e-6);
    } else {
        cli_table_skip(t, 3);
    }
    cli_table_add(t, "%.3f", (double)r->device_ns * 1e-6);
    cli_table_add(t, "%s", ts_evidence_name(r->evidence));
    if (r->linear && device && r->device_ns) cli_table_add(t, "%.1f %%", percent(r->bound_ns, r->device_ns));
    else cli_table_skip(t, 1);
    if (r->checked) {
        cli_table_add(t, "%016llx", (unsigned long long)r->sum_device);
        cli_table_add(t, "%s", r->sum_device == r->sum_cpu && !r->differ ? "= cpu" : "DIFFERS");
    } else {
        cli_table_skip(t, 2);
    }
}

static bool add_totals(ts_buf *out, const struct totals *t, const ts_engine *e) {
    bool ok = true;
    if (t->device) {
        char how[100], clock[40];
        ts_model_info info;
        ts_engine_info(e, &info);
        ok = ts_buf_printf(out, "multiply-accumulates of linear layers on the device: %.3f %% of %.2f million\n",
                           percent(t->macs - t->cpu_macs, t->macs), (double)t->macs * 1e-6) &&
             ts_buf_printf(out, "bytes moved: weights %llu + padding %llu + activations %llu + sums %llu = %llu\n",
                           (unsigned long long)t->weights, (unsigned long long)t->padding, (unsigned long long)t->acts,
                           (unsigned long long)t->sums,
                           (unsigned long long)(t->weights + t->padding + t->acts + t->sums)) &&
             ts_buf_printf(out,
                           "device: %llu commands, %.3f ms (%s), %.1f %% of the DMA bound (derived, %.1f GB/s at %s); "
                           "host's part %.3f ms (measured)\n",
                           (unsigned long long)t->commands, (double)t->device_ns * 1e-6,
                           cli_evidence_text(how, t->evidence), percent(t->bound_ns, t->device_ns),
                           ts_gemv_dma_bytes_per_us(info.device_mhz) * 1e-3, cli_clock_text(clock, &info),
                           (double)t->host_ns * 1e-6) &&
             ts_buf_printf(out,
                           "guard: %llu proofs of cores checked, %llu wrong; array found configured anew %llu times, "
                           "nothing lost\n",
                           (unsigned long long)t->proofs, (unsigned long long)t->wrong_proofs,
                           (unsigned long long)t->anew);
    }
    ok = ok && ts_buf_printf(out, "cpu: linear layers %.3f ms, everything else %.3f ms (measured)\n",
                             (double)t->cpu_ns * 1e-6, (double)t->step_ns * 1e-6);
    return ok && (!t->checked || ts_buf_printf(out, "check: %llu results computed on the CPU too, %llu differ\n",
                                               (unsigned long long)t->checked, (unsigned long long)t->differ));
}

void cli_ledger_print(const ts_engine *e, FILE *out) {
    size_t n;
    ts_buf text = {0};
    cli_table table = {.column = columns, .n_columns = sizeof columns / sizeof *columns};
    ts_ledger_row *r = rows_of(e, &n);
    bool ok = r != NULL;
    for (int linear = 1; linear >= 0 && ok; linear--)
        for (size_t i = 0; i < n; i++)
            if (r[i].linear == (linear == 1)) add_row(&table, &r[i]);
    if (ok) {
        struct totals t = add_up(r, n);
        ok = cli_table_text(&table, cli_term_width(out), &text) && add_totals(&text, &t, e);
    }
    if (ok) text.data[text.len - 1] = 0; /* the printer ends the last line */
    cli_term_print(out, ok ? text.data : "ledger: out of memory", false);
    ts_buf_free(&text);
    cli_table_free(&table);
    ts_free(r);
}

bool cli_ledger_agrees(const ts_engine *e) {
    size_t n;
    ts_ledger_row *r = rows_of(e, &n);
    bool ok = r != NULL;
    for (size_t i = 0; ok && i < n; i++) ok = r[i].differ == 0 && r[i].sum_device == r[i].sum_cpu;
    ts_free(r);
    return ok;
}

static bool json_row(const ts_ledger_row *r, ts_buf *out) {
    return ts_buf_printf(
               out,
               "{\"operation\":\"%s\",\"types\":\"%s\",\"device\":\"%s\",\"linear\":%s,\"output_rows\":%u,"
               "\"output_rows_all\":%u,\"calls\":%llu,\"tokens\":%llu,"
               "\"commands\":%llu,\"macs\":%llu,\"weight_bytes\":%llu,\"padding_bytes\":%llu,\"activation_bytes\":%llu,"
               "\"sum_bytes\":%llu,\"cycles\":%llu,\"time_ns\":%llu,\"host_ns\":%llu,\"bound_ns\":%llu,\"evidence\":\"%"
               "s\"", r->op, r->types, r->device, r->linear ? "true" : "false", r->rows, r->rows_all,
               (unsigned long long)r->calls,
               (unsigned long long)r->tokens, (unsigned long long)r->commands, (unsigned long long)r->macs,
               (unsigned long long)(r->weight_bytes - r->padding_bytes), (unsigned long long)r->padding_bytes,
               (unsigned long long)r->act_bytes, (unsigned long long)r->sum_bytes, (unsigned long long)r->cycles,
               (unsigned long long)r->device_ns, (unsigned long long)r->host_ns, (unsigned long long)r->bound_ns,
               ts_evidence_name(r->evidence)) &&
           (!r->checked ||
            ts_buf_printf(out,
                          ",\"checked\":%llu,\"differ\":%llu,\"checksum\":\"%016llx\",\"checksum_cpu\":\"%016llx\"",
                          (unsigned long long)r->checked, (unsigned long long)r->differ,
                          (unsigned long long)r->sum_device, (unsigned long long)r->sum_cpu)) &&
           ts_buf_putc(out, '}');
}

bool cli_ledger_json(const ts_engine *e, ts_buf *out) {
    size_t n;
    ts_ledger_row *r = rows_of(e, &n);
    if (!r) return false;
    struct totals t = add_up(r, n);
    ts_model_info info;
    ts_engine_info(e, &info);
    bool ok = ts_buf_puts(out, "{\"rows\":[");
    for (size_t i = 0; ok && i < n; i++) ok = (i == 0 || ts_buf_putc(out, ',')) && json_row(&r[i], out);
    ok = ok && ts_buf_printf(
                   out,
                   "],\"device_mac_share\":%.6f,\"weight_bytes\":%llu,\"padding_bytes\":%llu,\"activation_bytes\":%llu,"
                   "\"sum_bytes\":%llu,\"moved_bytes\":%llu,\"commands\":%llu,\"device_ns\":%llu,\"bound_ns\":%llu,"
                   "\"clock_mhz\":%u,\"clock_mhz_least\":%u,\"clock_mhz_most\":%u,\"device_evidence\":\"%s\",\"bound_"
                   "evidence\":\"derived\",\"checked\":%llu,\"differ\":%llu,"
                   "\"guard\":{\"proofs\":%llu,\"wrong\":%llu,\"anew\":%llu}}",
                   percent(t.macs - t.cpu_macs, t.macs) / 100, (unsigned long long)t.weights,
                   (unsigned long long)t.padding, (unsigned long long)t.acts, (unsigned long long)t.sums,
                   (unsigned long long)(t.weights + t.padding + t.acts + t.sums), (unsigned long long)t.commands,
                   (unsigned long long)t.device_ns, (unsigned long long)t.bound_ns, info.device_mhz,
                   info.device_mhz_least, info.device_mhz_most, ts_evidence_name(t.evidence),
                   (unsigned long long)t.checked, (unsigned long long)t.differ, (unsigned long long)t.proofs,
                   (unsigned long long)t.wrong_proofs, (unsigned long long)t.anew);
    ts_free(r);
    return ok;
}
