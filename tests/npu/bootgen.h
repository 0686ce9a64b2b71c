/* bootgen.h - run Debian's xilinx-bootgen on a raw CDO and compare its PDI with ours. */
#ifndef TS_TESTS_BOOTGEN_H
#define TS_TESTS_BOOTGEN_H

#include "support/test.h"

#include "base/file.h"
#include "xdna/pdi.h"

#include <unistd.h>

/* A list in the plain form that a tool would hand to bootgen: no alignment, every command as it is called. */
typedef struct raw_cdo {
    uint32_t *w;
    size_t n, cap;
} raw_cdo;

static inline void raw_put(raw_cdo *r, uint32_t word) {
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 1024;
        r->w = realloc(r->w, r->cap * sizeof *r->w);
        assert_non_null(r->w);
    }
    r->w[r->n++] = word;
}

static inline void raw_command(raw_cdo *r, uint32_t op, const uint32_t *payload, size_t n) {
    raw_put(r, (uint32_t)(n < 255 ? n : 255) << 16 | op);
    if (n >= 255) raw_put(r, (uint32_t)n);
    for (size_t i = 0; i < n; i++) raw_put(r, payload[i]);
}

static inline bool have_bootgen(void) {
    return system("bootgen -arch versal -help >/dev/null 2>&1") != 127 * 256;
}

/* bootgen's PDI of the raw list equals `ours` byte for byte. */
static inline void assert_equals_bootgen(const raw_cdo *raw, const ts_buf *ours, const char *what) {
    ts_err err;
    char dir[] = "/tmp/tessera-bootgen-XXXXXX", path[128], command[512];
    assert_non_null(mkdtemp(dir));
    ts_buf file = {0};
    uint32_t head[5] = {4, 0x004F4443, 0x200, (uint32_t)raw->n, 0};
    head[4] = ~(head[0] + head[1] + head[2] + head[3]);
    assert_true(ts_buf_append(&file, head, sizeof head) && ts_buf_append(&file, raw->w, 4 * raw->n));
    snprintf(path, sizeof path, "%s/a.bin", dir);
    assert_ok(ts_file_write(path, file.data, file.len, &err));
    static const char bif[] = "all:\n{\n id_code = 0x14ca8093\n extended_id_code = 0x01\n image\n {\n"
                              "  name=aie_image, id=0x1c000000\n  { type=cdo\n   file=a.bin\n  }\n }\n}\n";
    snprintf(path, sizeof path, "%s/a.bif", dir);
    assert_ok(ts_file_write(path, bif, sizeof bif - 1, &err));
    snprintf(command, sizeof command, "cd %s && bootgen -arch versal -image a.bif -o a.pdi -w >log 2>&1",
             dir);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/a.pdi", dir);
    ts_buf theirs = {0};
    assert_ok(ts_file_read(&theirs, path, 1 << 26, &err));
    size_t n = ours->len < theirs.len ? ours->len : theirs.len, i = 0;
    while (i < n && ours->data[i] == theirs.data[i]) i++;
    if (i != ours->len || i != theirs.len)
        fail_msg("%s: differs from bootgen at byte 0x%zx (ours %zu bytes, bootgen %zu)", what, i, ours->len,
                 theirs.len);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    ts_buf_free(&file);
    ts_buf_free(&theirs);
}

#endif
