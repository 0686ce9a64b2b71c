/* cmd_npu_replay.c - `tessera npu replay`: captured silicon results against the core model, per instruction. */
#include "cli/cmd_npu.h"

#include "aie2/replay.h"
#include "base/arena.h"
#include "base/file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 1 << 30 };

typedef struct record {
    ts_aie2_capture c;
    long batch, index;
    ts_aie2_insn insn;
    const char *name;
    int initialised; /* 1: every source is loaded in the test, 0: some are not, -1: not told */
    size_t line;
} record;

typedef struct records {
    record *r;
    size_t n, cap;
    ts_arena arena;
} records;

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static ts_status get_hex(json_t *o, const char *key, ts_arena *a, const uint8_t **out, size_t *len, ts_err *err) {
    const char *s = json_string_value(json_object_get(o, key));
    if (!s) return ts_fail(err, TS_E_FORMAT, "no string \"%s\"", key);
    size_t n = strlen(s) / 2;
    uint8_t *b = ts_arena_alloc(a, n + 1, 1);
    if (!b) return ts_fail_nomem(err, "a record", n);
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);
        if (hi < 0 || lo < 0) return ts_fail(err, TS_E_FORMAT, "\"%s\" is not hexadecimal", key);
        b[i] = (uint8_t)(hi << 4 | lo);
    }
    if (strlen(s) % 2) return ts_fail(err, TS_E_FORMAT, "\"%s\" has an odd number of digits", key);
    *out = b;
    *len = n;
    return TS_OK;
}

static ts_status get_int(json_t *o, const char *key, long lo, long hi, long *out, ts_err *err) {
    json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
        return ts_fail(err, TS_E_FORMAT, "\"%s\" is missing or not a number from %ld to %ld", key, lo, hi);
    *out = (long)json_integer_value(v);
    return TS_OK;
}

static ts_status read_record(records *rs, json_t *o, size_t line, ts_err *err) {
    if (!ts_grow((void **)&rs->r, &rs->cap, rs->n + 1, sizeof *rs->r)) return ts_fail_nomem(err, "records", sizeof *rs->r);
    record *r = &rs->r[rs->n];
    long in_offset = 0, out_offset = 0;
    *r = (record){.line = line};
    TS_TRY(get_int(o, "batch", 0, 1 << 30, &r->batch, err));
    TS_TRY(get_int(o, "index", 0, 1 << 30, &r->index, err));
    TS_TRY(get_int(o, "in_offset", 0, 1 << 20, &in_offset, err));
    TS_TRY(get_int(o, "out_offset", 0, 1 << 20, &out_offset, err));
    TS_TRY(get_hex(o, "code", &rs->arena, &r->c.code, &r->c.code_len, err));
    TS_TRY(get_hex(o, "in", &rs->arena, &r->c.in, &r->c.in_len, err));
    TS_TRY(get_hex(o, "out", &rs->arena, &r->c.out, &r->c.out_len, err));
    r->c.in_offset = (uint32_t)in_offset;
    r->c.out_offset = (uint32_t)out_offset;
    r->c.got = ts_arena_calloc(&rs->arena, r->c.out_len + 1, 1);
    r->c.known = ts_arena_calloc(&rs->arena, r->c.out_len + 1, 1);
    const char *name = json_string_value(json_object_get(o, "instruction"));
    if (!name) return ts_fail(err, TS_E_FORMAT, "no string \"instruction\"");
    for (r->insn = 0; r->insn < TS_INSNS && strcmp(ts_aie2_insns[r->insn].name, name); r->insn++) {}
    if (r->insn == TS_INSNS) return ts_fail(err, TS_E_FORMAT, "there is no instruction \"%.60s\"", name);
    r->name = ts_aie2_insns[r->insn].name;
    json_t *u = json_object_get(o, "uninitialised_sources");
    r->initialised = json_is_array(u) ? json_array_size(u) == 0 : -1;
    if (!r->c.got || !r->c.known) return ts_fail_nomem(err, "a record", r->c.out_len);
    rs->n++;
    return TS_OK;
}

static ts_status read_file(records *rs, const char *path, ts_err *err) {
    ts_buf text = {0};
    ts_status e = ts_file_read(&text, path, MAX_FILE, err);
    size_t line = 0;
    for (char *p = text.data; e == TS_OK && p && *p;) {
        char *nl = strchr(p, '\n');
        size_t len = nl ? (size_t)(nl - p) : strlen(p);
        line++;
        if (strspn(p, " \t\r") < len) {
            json_error_t why;
            json_t *o = json_loadb(p, len, 0, &why);
            if (!json_is_object(o)) e = ts_fail(err, TS_E_FORMAT, "%s", o ? "not a JSON object" : why.text);
            else e = read_record(rs, o, line, err);
            json_decref(o);
            if (e != TS_OK) ts_err_prefix(err, e, "%s:%zu", path, line);
        }
        p += len + (nl != NULL);
    }
    if (e == TS_OK && !rs->n) e = ts_fail(err, TS_E_FORMAT, "%s: no records", path);
    ts_buf_free(&text);
    return e;
}

/* ---- telling ------------------------------------------------------------------------------------------------------- */

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
        return space && space - t > 2 && space[-1] == 'f' && space[-2] == '.' ? "float multiply, add" : "integer multiply, add";
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

static void print_difference(const record *r) {
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
    records rs = {0};
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
    int shown = !show ? -1 : !strcmp(show, "different") ? 1 : !strcmp(show, "unmodelled") ? 2 : !strcmp(show, "undefined") ? 3 : -2;
    if (shown == -2) {
        code = cli_usage_error(self, "--show: \"%s\" is not one of different, undefined, unmodelled", show);
        goto out;
    }
    ts_status e = read_file(&rs, rest.item[0], &err);
    if (e == TS_OK && !(insns = ts_calloc(rs.n, sizeof *insns))) e = ts_fail_nomem(&err, "a table", rs.n);
    for (size_t i = 0; i < rs.n && e == TS_OK;) {
        size_t n = 1;
        while (i + n < rs.n && rs.r[i + n].batch == rs.r[i].batch) n++;
        ts_aie2_capture *c = ts_calloc(n, sizeof *c);
        if (!c) e = ts_fail_nomem(&err, "a batch", n);
        for (size_t k = 0; c && k < n; k++) c[k] = rs.r[i + k].c;
        if (c) e = ts_aie2_replay(c, n, &err);
        for (size_t k = 0; c && k < n; k++) rs.r[i + k].c = c[k];
        ts_free(c);
        if (e != TS_OK) ts_err_prefix(&err, e, "%s: batch %ld", rest.item[0], rs.r[i].batch);
        i += n;
    }
    if (e != TS_OK) {
        code = cli_fail(&err);
        goto out;
    }
    for (size_t i = 0; i < rs.n; i++) {
        record *r = &rs.r[i];
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
        fprintf(stderr, "tessera: %u of %zu results differ from silicon (--show different)\n", total[TS_REPLAY_DIFFERENT],
                rs.n);
        code = CLI_FAIL;
    }
out:
    ts_free(insns);
    ts_free(rs.r);
    ts_arena_free(&rs.arena);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_npu_replay = {
    .name = "npu replay",
    .args = "FILE.jsonl",
    .summary = "run captured instructions in the core model and compare with silicon",
    .text = "Each line of the file is a test: its code, what it read, what silicon wrote. The tests of a batch run in\n"
            "order on one register state. The exit code is 1 when a result differs.",
    .run = run,
};
