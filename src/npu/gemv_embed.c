/* gemv_embed.c - a tool of the build: assemble gemv.s with the constants of gemv_core.h and write it as a C array.
 *
 * Usage: gemv_embed gemv.s gemv_code.c. An error of the assembler fails the build and names line and column. */
#include "aie2/asm.h"
#include "base/file.h"
#include "npu/gemv_core.h"

#include <stdio.h>
#include <string.h>

/* The one file that gemv.s includes. */
static ts_status constants(void *ud, const char *path, ts_buf *out, ts_err *err) {
    (void)ud;
    if (strcmp(path, "gemv_core.h") != 0) return ts_fail(err, TS_E_INVAL, "only gemv_core.h can be included");
    bool ok = true;
#define EQU(name, value) ok = ok && ts_buf_printf(out, ".equ " #name ", %lld\n", (long long)(value));
    TS_GEMV_CONSTANTS(EQU)
#undef EQU
    return ok ? TS_OK : ts_fail_nomem(err, "constants", 0);
}

int main(int argc, char **argv) {
    ts_buf text = {0};
    ts_err err = {0};
    ts_aie2_program p = {0};
    if (argc != 3) {
        fputs("usage: gemv_embed SOURCE.s OUT.c\n", stderr);
        return 2;
    }
    if (ts_file_read(&text, argv[1], 1 << 20, &err) != TS_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    ts_aie2_asm_opts opts = {.include = constants};
    if (ts_aie2_assemble(&p, argv[1], text.data, text.len, &opts, &err) != TS_OK || p.n_warnings) {
        fputs(p.messages.data ? p.messages.data : err.msg, stderr);
        return 1;
    }
    FILE *f = fopen(argv[2], "wb");
    if (!f) {
        perror(argv[2]);
        return 1;
    }
    fprintf(f, "/* gemv.s, assembled: %zu bytes of %d. Made by gemv_embed. */\n#include \"npu/gemv_code.h\"\n\n",
            p.code.len, TS_AIE2_PM_BYTES);
    fprintf(f, "const uint32_t ts_gemv_code_bytes = %zu;\nconst uint8_t ts_gemv_code[] = {", p.code.len);
    for (size_t i = 0; i < p.code.len; i++) fprintf(f, "%s%u,", i % 24 ? "" : "\n", (unsigned char)p.code.data[i]);
    fputs("\n};\n", f);
    bool bad = ferror(f);
    bad |= fclose(f) != 0;
    ts_aie2_program_free(&p);
    ts_buf_free(&text);
    return bad;
}
