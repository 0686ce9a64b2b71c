/* The reader of stored zips: what PyTorch writes, what may be in a zip else, what is refused and where. */
#include "support/test.h"
#include "support/alloc_fail.h"
#include "support/torch_file.h"

#include "ckpt/zip.h"

static ts_err err;

static ts_span text(const char *s) { return (ts_span){(const uint8_t *)s, strlen(s)}; }

/* Three members, of 5, 0 and 300 bytes. */
static void sample(zip_file *z) {
    char data[300];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
    zip_add(z, "m/b", "hello", 5);
    zip_add(z, "m/a", "", 0);
    zip_add(z, "m/data/12", data, sizeof data);
    zip_finish(z);
}

static void test_forms(void **state) {
    (void)state;
    for (unsigned form = 0; form < 8; form++) {
        zip_file z = {.descriptors = form & 1, .zip64 = form & 2, .align = form & 4 ? 64 : 0};
        sample(&z);
        ts_zip zip;
        assert_true(ts_zip_looks(buf_bytes(&z.file)));
        assert_ok(ts_zip_open(&zip, buf_bytes(&z.file), &err));
        assert_int_equal(zip.n, 3);
        const ts_zip_member *m = ts_zip_find(&zip, text("m/"), text("b"));
        assert_non_null(m);
        assert_int_equal(m->size, 5);
        assert_memory_equal(z.file.data + m->offset, "hello", 5);
        if (z.align) assert_int_equal(m->offset % 64, 0);
        m = ts_zip_find(&zip, text("m/data/"), text("12"));
        assert_int_equal(m->size, 300);
        for (size_t i = 0; i < 3; i++) assert_ok(ts_zip_check(&zip, &zip.member[i], &err));
        assert_null(ts_zip_find(&zip, text("m/data/"), text("1")));
        assert_null(ts_zip_find(&zip, text("m/data/"), text("123")));
        assert_null(ts_zip_find(&zip, text("m/data/12/"), text("")));
        assert_null(ts_zip_find(&zip, text(""), text("")));
        assert_int_equal(ts_zip_find(&zip, text(""), text("m/a"))->size, 0);
        z.file.data[m->offset + 299] ^= 1; /* a multiple of 8 and more */
        assert_status(ts_zip_check(&zip, m, &err), TS_E_FORMAT);
        assert_non_null(strstr(err.msg, "member \"m/data/12\": its data do not have the CRC"));
        ts_zip_close(&zip);
        zip_free(&z);
    }
}

/* Zeros in a local header, without a word about a descriptor: the directory counts. */
static void test_zeros(void **state) {
    (void)state;
    zip_file z = {0};
    ts_zip zip;
    sample(&z);
    memset(z.file.data + 14, 0, 12);
    assert_ok(ts_zip_open(&zip, buf_bytes(&z.file), &err));
    ts_zip_close(&zip);
    zip_free(&z);
}

static void test_comment(void **state) {
    (void)state;
    zip_file z = {0};
    ts_zip zip;
    sample(&z);
    const size_t end = z.file.len - 22;
    pk_bytes(&z.file, "a comment", 9);
    z.file.data[end + 20] = 9;
    assert_ok(ts_zip_open(&zip, buf_bytes(&z.file), &err));
    ts_zip_close(&zip);
    /* a second end record in the comment, which a search from the end meets first */
    ts_buf second = {0};
    pk_bytes(&second, z.file.data + end, 20);
    put_le(&second, 0, 2);
    z.file.len -= 9;
    pk_bytes(&z.file, second.data, second.len);
    z.file.data[end + 20] = 22;
    assert_status(ts_zip_open(&zip, buf_bytes(&z.file), &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "holds another"));
    z.file.data[z.file.len - 2] = 1; /* and one that no other reading agrees with */
    assert_status(ts_zip_open(&zip, buf_bytes(&z.file), &err), TS_E_FORMAT);
    ts_buf_free(&second);
    zip_free(&z);
}

/* Changes of bytes in a good file: where they count from, and what is said. */
typedef struct change {
    char from; /* l: the local header of m/b, d: its directory entry, D: the second entry, e: the end record, 6: Zip64's
                  record, L: its locator, t: cut so much off the end, j: so much in front of the file */
    unsigned at, bytes;
    uint64_t to;
    bool zip64;
    const char *says;
} change;

static const change changes[] = {
    {'e', 8, 2, 2, false, "several disks"},
    {'e', 8, 4, 0x20002, false, "more than its members"},
    {'e', 8, 4, 0x40004, false, "do not fit into a directory"},
    {'e', 8, 4, 0x70007, false, "do not fit into a directory"},
    {'e', 4, 2, 1, false, "several disks"},
    {'e', 6, 2, 1, false, "several disks"},
    {'e', 12, 4, 100, false, "does not end where its end record begins"},
    {'e', 16, 4, 0x7FFFFFFF, false, "does not end where its end record begins"},
    {'e', 0, 4, 0, false, "no end record"},
    {'e', 20, 2, 1, false, "no end record"},
    {'t', 1, 0, 0, false, "no end record"},
    {'t', 30, 0, 0, false, "no end record"},
    {'j', 3, 0, 0, false, "does not end where its end record begins"},
    {'d', 0, 4, 0, false, "no entry of the zip's directory"},
    {'d', 8, 2, 1, false, "byte 410: member \"m/b\": encrypted"},
    {'d', 8, 2, 0x41, false, "encrypted"},
    {'d', 8, 2, 0x20, false, "flags"},
    {'d', 8, 2, 0x2000, false, "flags"},
    {'d', 10, 2, 8, false, "compressed"},
    {'d', 16, 4, 1, false, "another size or CRC"},
    {'d', 20, 4, 6, false, "two different sizes"},
    {'d', 20, 8, (uint64_t)6 << 32 | 6, false, "another size or CRC"},
    {'d', 28, 2, 0, false, "no name"},
    {'d', 28, 2, 4000, false, "ends inside of an entry"},
    {'d', 34, 2, 1, false, "another disk"},
    {'d', 42, 4, 1, false, "no local header stands"},
    {'d', 42, 4, 0x7FFFFFFF, false, "byte 2147483647: member \"m/b\": its local header lies outside"},
    {'d', 42, 4, 0xFFFFFFFF, false, "extra fields"},
    {'d', 46, 1, 0, false, "a NUL in it"},
    {'d', 46, 1, 'M', false, "another name than the directory"},
    {'l', 6, 2, 1, false, "encrypted"},
    {'l', 8, 2, 8, false, "compressed"},
    {'l', 14, 4, 1, false, "another size or CRC"},
    {'l', 18, 4, 1, false, "another size or CRC"},
    {'l', 22, 4, 1, false, "another size or CRC"},
    {'l', 26, 2, 4, false, "another name"},
    {'l', 28, 2, 60000, false, "another name"},
    {'D', 42, 4, 0, false, "another name"},
    {'6', 0, 4, 0, true, "no Zip64 end record"},
    {'6', 4, 8, 45, true, "does not end where its locator begins"},
    {'6', 24, 8, 4, true, "several disks"},
    {'6', 32, 8, (uint64_t)1 << 60, true, "several disks"},
    {'6', 40, 8, 1, true, "does not end where"},
    {'6', 48, 8, UINT64_MAX, true, "does not end where"},
    {'L', 4, 4, 1, true, "several disks"},
    {'L', 8, 8, UINT64_MAX, true, "no Zip64 end record"},
    {'L', 16, 4, 2, true, "several disks"},
    {'e', 8, 4, 0x20002, true, "end records differ"},
    {'e', 16, 4, 0, true, "end records differ"},
    {'d', 49, 2, 7, true, "extra fields"},           /* the Zip64 field is another one */
    {'d', 51, 2, 23, true, "extra fields"},          /* and too short */
    {'d', 51, 2, 25, true, "extra fields"},          /* and too long */
    {'d', 53, 8, UINT64_MAX, true, "two different sizes"},
    {'d', 69, 8, UINT64_MAX, true, "its local header lies outside"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const change *c = &changes[i];
        zip_file z = {.zip64 = c->zip64};
        sample(&z);
        const size_t end = z.file.len - 22, dir = end - z.dir.len - (c->zip64 ? 76 : 0);
        if (c->from == 't') {
            z.file.len -= c->at;
        } else if (c->from == 'j') {
            ts_buf more = {0};
            pk_bytes(&more, "PK\3\4", c->at);
            pk_bytes(&more, z.file.data, z.file.len);
            ts_buf_free(&z.file);
            z.file = more;
        } else {
            const size_t base = c->from == 'l'   ? 0
                                : c->from == 'd' ? dir
                                : c->from == 'D' ? dir + 49
                                : c->from == '6' ? end - 76
                                : c->from == 'L' ? end - 20
                                                 : end;
            memcpy(z.file.data + base + c->at, &c->to, c->bytes);
        }
        ts_zip zip = {.n = 7};
        const ts_status s = ts_zip_open(&zip, buf_bytes(&z.file), &err);
        if (s == TS_OK) fail_msg("change %zu (%c %u: %s) was accepted", i, c->from, c->at, c->says);
        assert_int_equal(zip.n, 0);
        if (!strstr(err.msg, c->says)) fail_msg("change %zu: \"%s\" is not in \"%s\"", i, c->says, err.msg);
        zip_free(&z);
    }
}

/* A member whose data are another member, with its header; and two of one name. */
static void test_overlap(void **state) {
    (void)state;
    zip_file inner = {0}, z = {0};
    ts_zip zip;
    zip_add(&inner, "in", "xyz", 3);
    zip_add(&z, "out", inner.file.data, inner.file.len);
    const uint32_t header = 33; /* behind the header of "out" */
    memcpy(inner.dir.data + 42, &header, 4);
    pk_bytes(&z.dir, inner.dir.data, inner.dir.len);
    z.n++;
    zip_finish(&z);
    assert_status(ts_zip_open(&zip, buf_bytes(&z.file), &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "member \"in\": it overlaps another"));
    zip_free(&inner);
    zip_free(&z);

    /* the last one reaches into the directory, and both headers say so */
    z = (zip_file){0};
    zip_add(&z, "a", "xyz", 3);
    zip_finish(&z);
    z.file.data[18] = z.file.data[22] = z.file.data[34 + 20] = z.file.data[34 + 24] = 4;
    assert_status(ts_zip_open(&zip, buf_bytes(&z.file), &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "byte 31: member \"a\": its data reach beyond"));
    zip_free(&z);

    z = (zip_file){0};
    zip_add(&z, "a\nb", "xyz", 3);
    zip_add(&z, "a\nb", "xyz", 3);
    zip_finish(&z);
    assert_status(ts_zip_open(&zip, buf_bytes(&z.file), &err), TS_E_FORMAT);
    assert_non_null(strstr(err.msg, "member \"a\\nb\": two members have this name"));
    zip_free(&z);
}

/* Whatever single byte is changed, and wherever the file ends: no read outside, one line. */
static void test_damage(void **state) {
    (void)state;
    for (unsigned zip64 = 0; zip64 < 2; zip64++) {
        zip_file z = {.zip64 = zip64};
        zip_add(&z, "m/b", "hello", 5);
        zip_finish(&z);
        for (size_t cut = 0; cut < z.file.len; cut++) {
            ts_zip zip;
            char *exact = ts_alloc(cut, 1);
            if (cut) memcpy(exact, z.file.data, cut);
            assert_true(ts_zip_open(&zip, (ts_span){(uint8_t *)exact, cut}, &err) != TS_OK);
            assert_null(strchr(err.msg, '\n'));
            ts_free(exact);
        }
        for (size_t i = 0; i < z.file.len; i++)
            for (unsigned v = 1; v < 256; v += 18) {
                ts_zip zip;
                z.file.data[i] ^= (char)v;
                if (ts_zip_open(&zip, buf_bytes(&z.file), &err) == TS_OK) {
                    for (size_t k = 0; k < zip.n; k++) (void)(ts_zip_check(&zip, &zip.member[k], &err) == TS_OK);
                    ts_zip_close(&zip);
                }
                z.file.data[i] ^= (char)v;
            }
        zip_free(&z);
    }
}

static bool open_sample(void *ud) {
    ts_zip zip;
    if (ts_zip_open(&zip, buf_bytes(ud), &err) != TS_OK) return false;
    ts_zip_close(&zip);
    return true;
}

static void test_alloc(void **state) {
    (void)state;
    zip_file z = {.zip64 = true};
    sample(&z);
    alloc_fail_loop(open_sample, &z.file, false);
    zip_free(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_zeros),   cmocka_unit_test(test_comment),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_overlap), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("zip", tests, NULL, NULL);
}
