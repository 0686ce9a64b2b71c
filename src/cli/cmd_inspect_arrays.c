#include "cli/cmd_inspect_arrays.h"
#include "cli/commands.h"

#include "base/json_write.h"
#include "base/printable.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

static bool put_text(ts_buf *b, const char *key, const char *text) {
    return ts_buf_printf(b, "\"%s\": ", key) && ts_json_put_string(b, text, strlen(text));
}

static bool put_array(ts_buf *b, const ts_array *a) {
    bool ok = ts_buf_puts(b, "    {") && put_text(b, "name", a->name) && ts_buf_puts(b, ", ") &&
              put_text(b, "type", a->elem_name) && ts_buf_puts(b, ", \"shape\": [");
    for (uint32_t i = a->n_dims; i-- > 0 && ok;) /* the row first, as everywhere */
        ok = ts_buf_printf(b, "%" PRIu64 "%s", a->dim[i], i ? ", " : "");
    return ok &&
           ts_buf_printf(b, "], \"bytes\": %zu, \"file\": %d, \"offset\": %" PRIu64 "}", a->bytes, a->file, a->offset);
}

static bool put_json(ts_buf *b, const ts_hf_folder *f, const char *why, bool summary) {
    bool ok =
        ts_buf_printf(b, "{\n  \"format\": \"%s\",\n  \"version\": null,\n  \"quantization\": null,\n  \"files\": [\n",
                      ts_hf_folder_is_torch(f) ? "pytorch" : "safetensors");
    const int n = ts_hf_folder_n_files(f);
    for (int i = 0; i < n && ok; i++)
        ok = ts_buf_puts(b, "    {") && put_text(b, "path", ts_hf_folder_file(f, i)) &&
             ts_buf_printf(b, ", \"bytes\": %zu, \"data_offset\": null}%s\n", ts_hf_folder_map(f, i)->len,
                           i + 1 < n ? "," : "");
    ok = ok && ts_buf_puts(b, "  ],\n  \"tensors\": [");
    const ts_array *a;
    for (size_t i = 0; ok && (a = ts_hf_folder_at(f, i)); i++) ok = ts_buf_puts(b, i ? ",\n" : "\n") && put_array(b, a);
    ok = ok && ts_buf_puts(b, "\n  ]");
    if (summary) ok = ok && ts_buf_puts(b, ",\n  \"runs\": false,\n  ") && put_text(b, "refusal", why);
    return ok && ts_buf_puts(b, "\n}\n");
}

/* Characters beyond ASCII as \u, so that a terminal survives any name. */
static void print_ascii(const ts_buf *b) {
    uint32_t cp = 0;
    for (size_t i = 0; i < b->len;) {
        const int n = ts_utf8_decode(b->data + i, b->len - i, &cp); /* what is no UTF-8 has been replaced */
        if (cp < 128) putchar((int)cp);
        else if (cp < 0x10000) printf("\\u%04x", cp);
        else printf("\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + (cp & 0x3ff));
        i += n > 0 ? (size_t)n : 1;
    }
}

static void print_arrays(const ts_hf_folder *f) {
    int widest = 4;
    size_t n = 0;
    const ts_array *a;
    for (; (a = ts_hf_folder_at(f, n)); n++) {
        const size_t len = strlen(a->name);
        if ((int)len > widest) widest = len > 60 ? 60 : (int)len;
    }
    printf("Tensors: %zu\n  %-*s  %-12s  %-22s  %14s%s\n", n, widest, "name", "type", "shape", "bytes",
           ts_hf_folder_n_files(f) > 1 ? "  file" : "");
    for (size_t i = 0; (a = ts_hf_folder_at(f, i)); i++) {
        char name[128], shape[200] = "";
        ts_printable(name, sizeof name, a->name, strlen(a->name));
        for (uint32_t d = a->n_dims, at = 0; d-- > 0;)
            at += (uint32_t)snprintf(shape + at, sizeof shape - at, "%" PRIu64 "%s", a->dim[d], d ? " x " : "");
        printf("  %-*s  %-12s  %-22s  %14zu", widest, name, a->elem_name, shape, a->bytes);
        if (ts_hf_folder_n_files(f) > 1) printf("  %4d", a->file + 1);
        putchar('\n');
    }
}

int cli_inspect_arrays(const ts_hf_folder *f, const char *path, const char *why, bool json, bool summary) {
    char text[512];
    if (json) {
        ts_buf b = {0};
        const bool ok = put_json(&b, f, why, summary);
        if (ok) print_ascii(&b);
        else fprintf(stderr, "tessera: out of memory\n");
        ts_buf_free(&b);
        return ok ? CLI_OK : CLI_FAIL;
    }
    ts_printable(text, sizeof text, path, strlen(path));
    printf("%s: %d file%s, %s\n", text, ts_hf_folder_n_files(f), ts_hf_folder_n_files(f) > 1 ? "s" : "",
           ts_hf_folder_is_torch(f) ? "PyTorch" : "safetensors");
    putchar('\n');
    print_arrays(f);
    ts_printable(text, sizeof text, why, strlen(why));
    if (summary) printf("\nTessera\n  %-14s no: %s\n", "runs it", text);
    return CLI_OK;
}
