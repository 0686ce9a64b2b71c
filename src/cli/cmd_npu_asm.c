/* cmd_npu_asm.c - `tessera npu asm` and `tessera npu dis`: AIE2 text to program memory and back. */
#include "cli/cmd_npu.h"
#include "cli/common.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

enum { MAX_SOURCE = 16 << 20 };

/* Included files are looked for beside the file that was named on the command line. */
static ts_status include(void *ud, const char *path, ts_buf *out, ts_err *err) {
    const char *main_file = ud, *slash = strrchr(main_file, '/');
    if (*path == '/' || !slash) return ts_file_read(out, path, MAX_SOURCE, err);
    char *dir = ts_strndup(main_file, (size_t)(slash - main_file) + (slash == main_file));
    char *full = dir ? ts_path_join(dir, path) : NULL;
    ts_status e = full ? ts_file_read(out, full, MAX_SOURCE, err) : ts_fail_nomem(err, "a path", strlen(path));
    ts_free(dir);
    ts_free(full);
    return e;
}

ts_status npu_assemble_file(ts_aie2_program *p, const char *path, bool hazards, ts_err *err) {
    ts_buf text = {0};
    *p = (ts_aie2_program){0};
    ts_status e = ts_file_read(&text, path, MAX_SOURCE, err);
    if (e == TS_OK) {
        ts_aie2_asm_opts opts = {.include = include, .ud = (void *)path, .no_hazards = !hazards};
        e = ts_aie2_assemble(p, path, text.data ? text.data : "", text.len, &opts, err);
        if (p->messages.len) fputs(p->messages.data, stderr);
    }
    ts_buf_free(&text);
    return e;
}

/* "dir/name.s" -> "dir/name" */
static size_t stem_length(const char *path) {
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    return dot && dot > (slash ? slash + 1 : path) ? (size_t)(dot - path) : strlen(path);
}

static ts_status write_data(const ts_aie2_program *p, const char *out_path, ts_err *err) {
    for (size_t i = 0; i < p->n_data; i++) {
        ts_buf name = {0};
        const ts_aie2_data *d = &p->data[i];
        ts_status e = TS_E_NOMEM;
        if (ts_buf_append(&name, out_path, stem_length(out_path)) && ts_buf_printf(&name, ".%05x.dat", d->addr))
            e = ts_file_write(name.data, d->bytes.data ? d->bytes.data : "", d->bytes.len, err);
        else ts_fail_nomem(err, "a file name", strlen(out_path));
        if (e == TS_OK) fprintf(stderr, "%s: %zu bytes of data for address 0x%05x\n", name.data, d->bytes.len, d->addr);
        ts_buf_free(&name);
        TS_TRY(e);
    }
    return TS_OK;
}

static int run_asm(const cli_command *self, int argc, char **argv) {
    const char *out_path = NULL;
    bool listing = false, map = false, hazards = true;
    cli_list rest = {0};
    ts_aie2_program p = {0};
    ts_err err = {0};
    ts_buf text = {0};
    const cli_opt opts[] = {
        {CLI_STR, 'o', "output", "FILE", &out_path, 0, 0, "write the program memory image here"},
        {CLI_FLAG, 0, "listing", NULL, &listing, 0, 0, "print addresses, bytes, cycles, loops and registers"},
        {CLI_FLAG, 0, "map", NULL, &map, 0, 0, "print sections and symbols"},
        {CLI_FLAG_OFF, 0, "no-hazards", NULL, &hazards, 0, 0, "do not check the timing of the program"},
        {0},
    };
    int code = cli_parse(self, opts, argc, argv, &rest);
    if (code) goto out;
    if (rest.n != 1) {
        code = cli_usage_error(self, "give one file to assemble");
        goto out;
    }
    code = cli_check_output(self, out_path, (const char *const *)rest.item, 1);
    if (code) goto out;
    ts_status e = npu_assemble_file(&p, rest.item[0], hazards, &err);
    if (e == TS_E_FORMAT) { /* the messages are printed already */
        fprintf(stderr, "tessera: %s: %u error%s\n", rest.item[0], p.n_errors, p.n_errors == 1 ? "" : "s");
        code = CLI_FAIL;
        goto out;
    }
    if (e == TS_OK && out_path) e = ts_file_write(out_path, p.code.data ? p.code.data : "", p.code.len, &err);
    if (e == TS_OK && out_path) e = write_data(&p, out_path, &err);
    if (e == TS_OK && ((listing && !ts_aie2_listing(&text, &p)) || (map && !ts_aie2_map(&text, &p))))
        e = ts_fail_nomem(&err, "the listing", text.len);
    if (e != TS_OK) {
        code = cli_fail(&err);
        goto out;
    }
    if (text.len) fputs(text.data, stdout);
    if (!out_path && !listing && !map) printf("%zu bytes, %zu bundles\n", p.code.len, p.n_lines);
out:
    ts_buf_free(&text);
    ts_aie2_program_free(&p);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_npu_asm = {
    .name = "npu asm",
    .args = "FILE.s",
    .files = "@file",
    .summary = "assemble a core program",
    .text = "The syntax is in docs/npu/isa.md. Data sections are written beside the output, one file each, named by\n"
            "their address.",
    .run = run_asm,
};

static int run_dis(const cli_command *self, int argc, char **argv) {
    long base = 0;
    bool listing = false;
    cli_list rest = {0};
    ts_aie2_program p = {0};
    ts_err err = {0};
    ts_map file = {0};
    ts_buf text = {0};
    const cli_opt opts[] = {
        {CLI_INT, 0, "base", "N", &base, 0, 0xfffff, "address of the first byte, 0 by default"},
        {CLI_FLAG, 0, "listing", NULL, &listing, 0, 0, "with addresses and bytes"},
        {0},
    };
    int code = cli_parse(self, opts, argc, argv, &rest);
    if (code) goto out;
    if (rest.n != 1) {
        code = cli_usage_error(self, "give one file to disassemble");
        goto out;
    }
    size_t unknown = 0;
    ts_status e = ts_map_open(&file, rest.item[0], &err);
    if (e == TS_OK && file.len > 1 << 20)
        e = ts_fail(&err, TS_E_LIMIT, "%s: more than 1 MiB is no core program", rest.item[0]);
    if (e == TS_OK) e = ts_aie2_disassemble(&p, file.data, file.len, (uint32_t)base, &unknown, &err);
    bool ok = true;
    if (e == TS_OK && listing) ok = ts_aie2_listing(&text, &p);
    for (size_t i = 0; e == TS_OK && !listing && ok && i < p.n_lines; i++)
        ok = ts_aie2_bundle_print(&text, &p.line[i].b) && ts_buf_putc(&text, '\n');
    if (e == TS_OK && !ok) e = ts_fail_nomem(&err, "the text", text.len);
    if (e != TS_OK) {
        code = cli_fail(&err);
        goto out;
    }
    if (text.len) fputs(text.data, stdout);
    if (p.messages.len) fputs(p.messages.data, stderr);
    fprintf(stderr, "%zu bundles, %zu unknown\n", p.n_lines, unknown);
    code = unknown ? CLI_FAIL : CLI_OK;
out:
    ts_buf_free(&text);
    ts_aie2_program_free(&p);
    ts_map_close(&file);
    ts_free(rest.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_npu_dis = {
    .name = "npu dis",
    .args = "FILE.bin",
    .files = "@file",
    .summary = "disassemble program memory",
    .text = "The text assembles to the same bytes again. Bytes that are no bundle are counted and skipped; the exit\n"
            "code is then 1.",
    .run = run_dis,
};
