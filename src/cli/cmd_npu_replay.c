/* cmd_npu_replay.c - `tessera npu replay`: captured silicon results against the core model, per instruction. */
#include "cli/cmd_npu.h"

#include "base/file.h"
#include "cli/npu_captures.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 1 << 30 };

/* ---- telling ----------------------------------------------------------------------------------------------------- */

/* The class of an instruction, as the table of results has it. */
static const char *class_of(ts_aie2_insn id) {
    const ts_aie2_insninfo *i = &ts_aie2_insns[id];
    const char *t = i->text;
    for (int k = 0; k < i->n_ops; k++)
        if (i->slot == TS_SLOT_VEC && i->op[k].cls == TS_C_mQQXw) return "sparse multiply";
    if (strstr(t, "sparse") || strstr(t, "compr")) return "sparse load";
    if (!strncmp(t, "padd", 4)) return "pointer arithmetic";
    if (i->mem & TS_MEM_STORE) return "store";
    if (i->mem & TS_MEM_LOAD) return "load";
    if (strstr(t, "vups")) return "ups";
    if (!strncmp(t, "vsrs", 4)) return "srs";
    if (i->slot == TS_SLOT_VEC) {
        const char *space = strchr(t, ' ');
        return space && space - t > 2 && space[-1] == 'f' && space[-2] == '.' ? "float multiply, add"
                                                                              : "integer multiply, add";
    }
    if (!strncmp(t, "vpack", 5) || !strncmp(t, "vunpack", 7) || !strncmp(t, "vconv", 5) || !strncmp(t, "vfloor", 6))
        return "pack, unpack, convert";
    static const char *const permute[] = {"vshuffle", "vshift",  "vbcst",   "vext",  "vinsert",
                                          "vpush",    "vmov", "vbcstshfl"};
    for (size_t k = 0; k < sizeof permute / sizeof *permute; k++)
        if (!strncmp(t, permute[k], strlen(permute[k]))) return "permute, move";
    if (*t == 'v') return "lanes, compare, select";
    if (!strncmp(t, "mov", 3)) return "scalar move";
    if (*t == 'j' || !strncmp(t, "ret", 3) || !strncmp(t, "acq", 3) || !strncmp(t, "rel", 3)) return "control";
    return "scalar arithmetic";
}

typedef struct tally {
    const char *name;
    unsigned n[TS_REPLAY_VERDICTS];
} tally;

static tally *tally_of(tally *t, size_t *n, const char *name) {
    for (size_t i = 0; i < *n; i++)
        if (!strcmp(t[i].name, name)) return &t[i];
    t[*n] = (tally){.name = name};
    return &t[(*n)++];
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const tally *)a)->name, ((const tally *)b)->name);
}

static const char *const VERDICTS[TS_REPLAY_VERDICTS] = {"equal", "different", "not modelled", "undefined input"};

static void print_row(const char *name, const unsigned n[TS_REPLAY_VERDICTS]) {
    printf("%-40s %8u %10u %13u %16u\n", name, n[0], n[1], n[2], n[3]);
}

static void print_difference(const npu_capture *r) {
    printf("batch %ld test %ld %s (line %zu)\n", r->batch, r->index, r->name, r->line);
    if (r->c.why[0]) {
        printf("  %s\n", r->c.why);
        return;
    }
    const struct {
        const char *name;
        const uint8_t *p;
    } rows[] = {{"silicon", r->c.out}, {"model  ", r->c.got}};
    for (int k = 0; k < 2; k++) {
        printf("  %s ", rows[k].name);
        for (size_t i = 0; i < r->c.out_len; i++) {
            if (k && !r->c.known[i]) printf("..");
            else printf("%02x", rows[k].p[i]);
        }
        putchar('\n');
    }
}

static json_t *tally_json(const tally *t) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i}", "name", t->name, "equal", (int)t->n[0], "different", (int)t->n[1],
                     "not_modelled", (int)t->n[2], "undefined_input", (int)t->n[3]);
}

static bool print_json(const tally *insns, size_t n_insns, const tally *classes, size_t n_classes,
                       const tally groups[3]) {
    json_t *root = json_object(), *a = json_array(), *b = json_array(), *g = json_array();
    for (size_t i = 0; i < n_insns; i++) json_array_append_new(a, tally_json(&insns[i]));
    for (size_t i = 0; i < n_classes; i++) json_array_append_new(b, tally_json(&classes[i]));
    for (size_t i = 0; i < 3; i++) json_array_append_new(g, tally_json(&groups[i]));
    json_object_set_new(root, "instructions", a);
    json_object_set_new(root, "classes", b);
    json_object_set_new(root, "groups", g);
    bool ok = json_dumpf(root, stdout, JSON_INDENT(1)) == 0;
    json_decref(root);
    putchar('\n');
    return ok;
}

static int run(const cli_command *self, int argc, char **argv) {
    bool json = false, per_insn = false;
    const char *show = NULL;
    cli_list rest = {0};
    npu_captures rs = {0};
    ts_buf text = {0};
    ts_err err = {0};
    tally *insns = NULL, classes[32] = {{0}};
    tally groups[3] = {{.name = "sources loaded in the test"}, {.name = "sources not told"}, {.name = "other sources"}};
    size_t n_insns = 0, n_classes = 0;
    const cli_opt opts[] = {
        {CLI_FLAG, 0, "json", NULL, &json, 0, 0, "print the tables as JSON"},
        {CLI_FLAG, 0, "instructions", NULL, &per_insn, 0, 0, "a row for each instruction, not only for each class"},
        {CLI_STR, 0, "show", "KIND", &show, 0, 0, "print the tests that are: different, undefined, unmodelled"},
        {0},
    };
    int code = cli_parse(self, opts, argc, argv, &rest);
    if (code) goto out;
    if (rest.n != 1) {
        code = cli_usage_error(self, "give one file of captures");
        goto out;
    }
    int shown = !show                         ? -1
                : !strcmp(show, "different")  ? 1
                : !strcmp(show, "unmodelled") ? 2
                : !strcmp(show, "undefined")  ? 3
                                              : -2;
    if (shown == -2) {
        code = cli_usage_error(self, "--show: \"%s\" is not one of different, undefined, unmodelled", show);
        goto out;
    }
    const char *path = rest.item[0];
    ts_status e = ts_file_read(&text, path, MAX_FILE, &err);
    if (e == TS_OK) e = npu_captures_parse(&rs, text.data ? text.data : "", text.len, path, &err);
    if (e == TS_OK && !(insns = ts_calloc(rs.n, sizeof *insns))) e = ts_fail_nomem(&err, "a table", rs.n);
    if (e == TS_OK) e = npu_captures_replay(&rs, path, &err);
    if (e != TS_OK) {
        code = cli_fail(&err);
        goto out;
    }
    for (size_t i = 0; i < rs.n; i++) {
        npu_capture *r = &rs.r[i];
        tally_of(insns, &n_insns, r->name)->n[r->c.verdict]++;
        tally_of(classes, &n_classes, class_of(r->insn))->n[r->c.verdict]++;
        groups[r->initialised == 1 ? 0 : r->initialised == -1 ? 1 : 2].n[r->c.verdict]++;
        if ((int)r->c.verdict == shown) print_difference(r);
    }
    qsort(insns, n_insns, sizeof *insns, by_name);
    qsort(classes, n_classes, sizeof *classes, by_name);
    unsigned total[TS_REPLAY_VERDICTS] = {0};
    for (size_t i = 0; i < n_classes; i++)
        for (int k = 0; k < TS_REPLAY_VERDICTS; k++) total[k] += classes[i].n[k];
    if (json) {
        code = print_json(insns, n_insns, classes, n_classes, groups) ? CLI_OK : CLI_FAIL;
    } else {
        printf("%-40s %8s %10s %13s %16s\n", "", VERDICTS[0], VERDICTS[1], VERDICTS[2], VERDICTS[3]);
        for (size_t i = 0; per_insn && i < n_insns; i++) print_row(insns[i].name, insns[i].n);
        if (per_insn) putchar('\n');
        for (size_t i = 0; i < n_classes; i++) print_row(classes[i].name, classes[i].n);
        putchar('\n');
        for (size_t i = 0; i < 3; i++) print_row(groups[i].name, groups[i].n);
        print_row("all", total);
    }
    if (code == CLI_OK && total[TS_REPLAY_DIFFERENT]) {
        fprintf(stderr, "tessera: %u of %zu results differ from silicon (--show different)\n",
                total[TS_REPLAY_DIFFERENT], rs.n);
        code = CLI_FAIL;
    }
out:
    ts_free(insns);
    npu_captures_free(&rs);
    ts_buf_free(&text);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_npu_replay = {
    .name = "npu replay",
    .args = "FILE.jsonl",
    .files = "@file",
    .summary = "run captured instructions in the core model, compare with silicon",
    .text = "Each line of the file is a test: its code, what it read, what silicon wrote. The tests of a batch run in\n"
            "order on one register state. The exit code is 1 when a result differs.",
    .run = run,
};
