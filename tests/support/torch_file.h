/* torch_file.h - files of torch.save from a short notation: pickles, and the zips around them. */
#ifndef TS_TESTS_TORCH_FILE_H
#define TS_TESTS_TORCH_FILE_H

#include "support/test.h"

#include "base/mem.h"
#include "base/span.h"

/* ---- pickles ----------------------------------------------------------------------------------------------------- */

static inline void pk_bytes(ts_buf *b, const void *data, size_t len) { assert_true(ts_buf_append(b, data, len)); }

static inline void pk_int(ts_buf *b, int64_t v) {
    assert_true(ts_buf_puts(b, "\x8a\x08") && ts_buf_append(b, &v, 8));
}

static inline void pk_str(ts_buf *b, const char *s, size_t len) {
    const uint32_t n = (uint32_t)len;
    assert_true(ts_buf_putc(b, 'X') && ts_buf_append(b, &n, 4));
    for (size_t i = 0; i < len; i++) assert_true(ts_buf_putc(b, s[i] == '_' ? ' ' : s[i] == '~' ? '_' : s[i]));
}

static inline void pk_tuple(ts_buf *b, const char *numbers) {
    assert_true(ts_buf_putc(b, '('));
    for (const char *p = numbers; *p && *p != ',' && *p != '-'; p += *p == '.') {
        char *end;
        pk_int(b, strtoll(p, &end, 0));
        p = end;
    }
    assert_true(ts_buf_putc(b, 't'));
}

/* Words, '_' in a text a space and '~' a '_':
 *   } ] ( ) t R u s a . ...   an opcode of one character     x:8104   bytes
 *   X:text  a string     i:n  an integer     c:module.name  a class or function     q:n h:n  memo, put and get
 *   S:storage,key,n           a storage of n elements
 *   T:storage,key,n,offset,sizes,strides   a tensor of it, sizes and strides as 2.3 (-: none) */
static inline void pickle(ts_buf *b, const char *notation) {
    for (const char *p = notation; *p;) {
        const size_t len = strcspn(p, " ");
        const char *arg = p + 2;
        if (len == 1) {
            assert_true(ts_buf_putc(b, *p));
        } else if (*p == 'x') {
            for (const char *h = arg; h < p + len; h += 2) {
                unsigned byte;
                assert_int_equal(sscanf(h, "%2x", &byte), 1);
                assert_true(ts_buf_putc(b, (char)byte));
            }
        } else if (*p == 'X') {
            pk_str(b, arg, len - 2);
        } else if (*p == 'i') {
            pk_int(b, strtoll(arg, NULL, 0));
        } else if (*p == 'c') {
            const char *dot = p + len;
            while (*--dot != '.') {}
            assert_true(ts_buf_putc(b, 'c') && ts_buf_append(b, arg, (size_t)(dot - arg)) && ts_buf_putc(b, '\n') &&
                        ts_buf_append(b, dot + 1, (size_t)(p + len - dot - 1)) && ts_buf_putc(b, '\n'));
        } else if (*p == 'q' || *p == 'h') {
            assert_true(ts_buf_putc(b, *p) && ts_buf_putc(b, (char)atoi(arg)));
        } else {
            char storage[40], key[40], sizes[40] = "-", strides[40] = "-", n[40], offset[40] = "0";
            const int got = sscanf(arg, "%39[^, ],%39[^, ],%39[^, ],%39[^, ],%39[^, ],%39[^, ]", storage, key, n,
                                   offset, sizes, strides);
            assert_true(*p == 'S' ? got == 3 : *p == 'T' && got == 6);
            if (*p == 'T') pk_bytes(b, "ctorch._utils\n_rebuild_tensor_v2\n(", 34);
            assert_true(ts_buf_putc(b, '('));
            pk_str(b, "storage", 7);
            assert_true(ts_buf_printf(b, "ctorch\n%s\n", storage));
            pk_str(b, key, strlen(key));
            pk_str(b, "cpu", 3);
            pk_int(b, strtoll(n, NULL, 0));
            pk_bytes(b, "tQ", 2);
            if (*p == 'T') {
                pk_int(b, strtoll(offset, NULL, 0));
                pk_tuple(b, sizes);
                pk_tuple(b, strides);
                pk_bytes(b, "\x89" "ccollections\nOrderedDict\n)RtR", 30);
            }
        }
        p += len;
        while (*p == ' ') p++;
    }
}

/* ---- zips -------------------------------------------------------------------------------------------------------- */

static inline uint32_t slow_crc32(const void *data, size_t len) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < len; i++) {
        c ^= ((const uint8_t *)data)[i];
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
    }
    return ~c;
}

typedef struct zip_file {
    ts_buf file, dir;
    unsigned n;
    bool descriptors; /* as PyTorch writes them: zeros in the local header, size and CRC behind the data */
    bool zip64;       /* sizes and places in Zip64's fields and records, which smaller files need not have */
    unsigned align;   /* of data, by padding in an extra field; 0: none */
} zip_file;

static inline void put_le(ts_buf *b, uint64_t v, size_t bytes) { assert_true(ts_buf_append(b, &v, bytes)); }

static inline void zip_add(zip_file *z, const char *name, const void *data, size_t len) {
    const size_t header = z->file.len, name_len = strlen(name);
    const uint32_t crc = slow_crc32(data, len), far = 0xFFFFFFFF;
    const bool late = z->descriptors;
    size_t pad = 0;
    if (z->align)
        while ((header + 30 + name_len + 4 + pad) % z->align) pad++;
    put_le(&z->file, 0x04034B50, 4);
    put_le(&z->file, 0, 2);
    put_le(&z->file, late ? 8 : 0, 2);
    put_le(&z->file, 0, 2);
    put_le(&z->file, 0, 4);
    put_le(&z->file, late ? 0 : crc, 4);
    put_le(&z->file, late ? 0 : len, 4);
    put_le(&z->file, late ? 0 : len, 4);
    put_le(&z->file, name_len, 2);
    put_le(&z->file, z->align ? 4 + pad : 0, 2);
    pk_bytes(&z->file, name, name_len);
    if (z->align) {
        pk_bytes(&z->file, "FB", 2);
        put_le(&z->file, pad, 2);
        while (pad--) assert_true(ts_buf_putc(&z->file, 'Z'));
    }
    pk_bytes(&z->file, data, len);
    if (late) {
        put_le(&z->file, 0x08074B50, 4);
        put_le(&z->file, crc, 4);
        put_le(&z->file, len, 4);
        put_le(&z->file, len, 4);
    }
    put_le(&z->dir, 0x02014B50, 4);
    put_le(&z->dir, 0, 4);
    put_le(&z->dir, late ? 8 : 0, 2);
    put_le(&z->dir, 0, 2);
    put_le(&z->dir, 0, 4);
    put_le(&z->dir, crc, 4);
    put_le(&z->dir, z->zip64 ? far : len, 4);
    put_le(&z->dir, z->zip64 ? far : len, 4);
    put_le(&z->dir, name_len, 2);
    put_le(&z->dir, z->zip64 ? 28 : 0, 2);
    put_le(&z->dir, 0, 2);
    put_le(&z->dir, 0, 8);
    put_le(&z->dir, z->zip64 ? far : header, 4);
    pk_bytes(&z->dir, name, name_len);
    if (z->zip64) {
        put_le(&z->dir, 1, 2);
        put_le(&z->dir, 24, 2);
        put_le(&z->dir, len, 8);
        put_le(&z->dir, len, 8);
        put_le(&z->dir, header, 8);
    }
    z->n++;
}

/* The directory and its end: z->file is complete. */
static inline void zip_finish(zip_file *z) {
    const size_t begin = z->file.len;
    if (z->dir.len) pk_bytes(&z->file, z->dir.data, z->dir.len);
    if (z->zip64) {
        const size_t at = z->file.len;
        put_le(&z->file, 0x06064B50, 4);
        put_le(&z->file, 44, 8);
        put_le(&z->file, 0, 4);
        put_le(&z->file, 0, 8);
        put_le(&z->file, z->n, 8);
        put_le(&z->file, z->n, 8);
        put_le(&z->file, z->dir.len, 8);
        put_le(&z->file, begin, 8);
        put_le(&z->file, 0x07064B50, 4);
        put_le(&z->file, 0, 4);
        put_le(&z->file, at, 8);
        put_le(&z->file, 1, 4);
    }
    put_le(&z->file, 0x06054B50, 4);
    put_le(&z->file, 0, 4);
    put_le(&z->file, z->zip64 ? 0xFFFF : z->n, 2);
    put_le(&z->file, z->zip64 ? 0xFFFF : z->n, 2);
    put_le(&z->file, z->zip64 ? 0xFFFFFFFF : z->dir.len, 4);
    put_le(&z->file, z->zip64 ? 0xFFFFFFFF : begin, 4);
    put_le(&z->file, 0, 2);
}

static inline void zip_free(zip_file *z) {
    ts_buf_free(&z->file);
    ts_buf_free(&z->dir);
}

static inline ts_span buf_bytes(const ts_buf *b) { return (ts_span){(const uint8_t *)b->data, b->len}; }

#endif
