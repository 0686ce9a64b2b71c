#include "ckpt/zip.h"

#include "base/printable.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    END_BYTES = 22,       /* of the end record, without its comment */
    END64_BYTES = 56,     /* of Zip64's, without what may follow */
    LOCATOR_BYTES = 20,   /* between the two: where the latter stands */
    ENTRY_BYTES = 46,     /* of a directory entry, without name, extra fields and comment */
    LOCAL_BYTES = 30,     /* of a local header, without name and extra fields */
    COMMENT_MAX = 0xFFFF,
    /* Flags that change nothing for stored data: options of compression, sizes behind the data, names in UTF-8. */
    FLAG_OPTIONS = 6,
    FLAG_DESCRIPTOR = 8,
    FLAG_UTF8 = 0x800,
    EXTRA_ZIP64 = 1,
};
static const uint32_t LOCAL_MAGIC = 0x04034B50, ENTRY_MAGIC = 0x02014B50, END_MAGIC = 0x06054B50,
                      END64_MAGIC = 0x06064B50, LOCATOR_MAGIC = 0x07064B50;
static const uint32_t IN_ZIP64 = 0xFFFFFFFF; /* a field whose value stands in the Zip64 record or extra field */

typedef struct directory {
    uint64_t begin, bytes, n;
    uint64_t end; /* where the records behind it begin */
} directory;

static uint32_t u32_at(ts_span file, size_t at) {
    ts_reader r = {.in = file, .pos = at};
    return ts_read_u32(&r);
}

/* ---- the end records --------------------------------------------------------------------------------------------- */

static ts_status fail_at(ts_err *err, uint64_t at, const char *what) {
    return ts_fail(err, TS_E_FORMAT, "byte %" PRIu64 ": %s", at, what);
}

/* The end record: the last one whose comment ends where the file does. A comment that holds another is a file that two
 * programs read differently. */
static ts_status find_end(ts_span file, size_t *out, ts_err *err) {
    if (file.len < END_BYTES)
        return ts_fail(err, TS_E_FORMAT, "%zu bytes are too few for a zip: the download may be incomplete", file.len);
    const size_t last = file.len - END_BYTES, first = last > COMMENT_MAX ? last - COMMENT_MAX : 0;
    bool any = false, found = false;
    for (size_t at = last + 1; at-- > first;) {
        if (u32_at(file, at) != END_MAGIC) continue;
        const size_t comment = (size_t)file.data[at + 20] | (size_t)file.data[at + 21] << 8;
        const bool fits = comment == last - at;
        if (fits && any) return fail_at(err, at, "the comment of the zip's end record holds another: refused");
        if (fits) *out = at;
        any = true;
        found = found || fits;
    }
    if (found) return TS_OK;
    return ts_fail(err, TS_E_FORMAT,
                   "the zip has no end record, the file ends early or has bytes behind it: download or save it again");
}

/* A field of the end record, with that of Zip64's where there is one. */
static bool merge(uint64_t *field, uint64_t none, bool is64, uint64_t field64) {
    if (is64 && *field == none) *field = field64;
    return !is64 || *field == field64;
}

static ts_status read_end(ts_span file, directory *d, ts_err *err) {
    size_t end = 0;
    TS_TRY(find_end(file, &end, err));
    ts_reader r = {.in = file, .pos = end + 4}, r64 = {0};
    uint64_t disk = ts_read_u16(&r), start_disk = ts_read_u16(&r), here = ts_read_u16(&r);
    d->n = ts_read_u16(&r);
    d->bytes = ts_read_u32(&r);
    d->begin = ts_read_u32(&r);
    d->end = end;
    const bool is64 = end >= LOCATOR_BYTES + END64_BYTES && u32_at(file, end - LOCATOR_BYTES) == LOCATOR_MAGIC;
    uint64_t disk64 = 0, start64 = 0, here64 = 0, n64 = 0, bytes64 = 0, begin64 = 0;
    if (is64) {
        const size_t at = end - LOCATOR_BYTES;
        r64 = (ts_reader){.in = file, .pos = at + 4};
        const uint32_t its_disk = ts_read_u32(&r64);
        const uint64_t where = ts_read_u64(&r64);
        const uint32_t disks = ts_read_u32(&r64);
        if (its_disk != 0 || disks > 1) return fail_at(err, at, "a zip of several disks; put it together first");
        if (where > at - END64_BYTES || u32_at(file, (size_t)where) != END64_MAGIC)
            return fail_at(err, at, "the Zip64 locator points to no Zip64 end record: the file is damaged");
        r64.pos = (size_t)where + 4;
        if (ts_read_u64(&r64) != at - where - 12)
            return fail_at(err, where, "the Zip64 end record does not end where its locator begins");
        ts_read_u32(&r64); /* versions */
        disk64 = ts_read_u32(&r64);
        start64 = ts_read_u32(&r64);
        here64 = ts_read_u64(&r64);
        n64 = ts_read_u64(&r64);
        bytes64 = ts_read_u64(&r64);
        begin64 = ts_read_u64(&r64);
        d->end = where;
    }
    if (!merge(&disk, 0xFFFF, is64, disk64) || !merge(&start_disk, 0xFFFF, is64, start64) ||
        !merge(&here, 0xFFFF, is64, here64) || !merge(&d->n, 0xFFFF, is64, n64) ||
        !merge(&d->bytes, IN_ZIP64, is64, bytes64) || !merge(&d->begin, IN_ZIP64, is64, begin64))
        return fail_at(err, end, "the zip's two end records differ");
    if (disk != 0 || start_disk != 0 || here != d->n)
        return fail_at(err, end, "a zip of several disks; put it together first");
    if (d->begin > d->end || d->bytes != d->end - d->begin)
        return ts_fail(err, TS_E_FORMAT,
                       "byte %zu: the zip's directory is said to have %" PRIu64 " bytes from %" PRIu64
                       " on, which does not end where its end record begins, at %" PRIu64,
                       end, d->bytes, d->begin, d->end);
    if (d->n > d->bytes / ENTRY_BYTES)
        return ts_fail(err, TS_E_FORMAT,
                       "byte %zu: %" PRIu64 " members do not fit into a directory of %" PRIu64 " bytes", end, d->n,
                       d->bytes);
    return TS_OK;
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static ts_status fail_member(ts_err *err, ts_status code, const ts_zip_member *m, uint64_t at, const char *what) {
    char name[80];
    ts_printable(name, sizeof name, m->name.data, m->name.len);
    return ts_fail(err, code, "byte %" PRIu64 ": member \"%s\": %s", at, name, what);
}

/* Fill in what an entry leaves to its Zip64 field: in this order, only what is missing. */
static bool read_zip64(ts_span extra, uint64_t *size, uint64_t *packed, uint64_t *header, uint32_t *disk) {
    const bool any = *size == IN_ZIP64 || *packed == IN_ZIP64 || *header == IN_ZIP64 || *disk == 0xFFFF;
    ts_reader r = ts_reader_of(extra.data, extra.len);
    bool seen = false;
    while (r.pos < extra.len) {
        const uint16_t id = ts_read_u16(&r), len = ts_read_u16(&r);
        const ts_span body = ts_read_bytes(&r, len);
        if (r.fail) return false;
        if (id != EXTRA_ZIP64) continue;
        if (seen) return false;
        seen = true;
        ts_reader f = ts_reader_of(body.data, body.len);
        if (*size == IN_ZIP64) *size = ts_read_u64(&f);
        if (*packed == IN_ZIP64) *packed = ts_read_u64(&f);
        if (*header == IN_ZIP64) *header = ts_read_u64(&f);
        if (*disk == 0xFFFF) *disk = ts_read_u32(&f);
        if (f.fail) return false;
    }
    return seen || !any;
}

/* What the local header says, which must be what the directory says; finds where the data begin. */
static ts_status read_local(ts_zip_member *m, ts_span file, uint64_t end, ts_err *err) {
    if (end < LOCAL_BYTES || m->header > end - LOCAL_BYTES)
        return fail_member(err, TS_E_FORMAT, m, m->header, "its local header lies outside of the file");
    ts_reader r = {.in = {file.data, (size_t)end}, .pos = (size_t)m->header};
    const uint32_t magic = ts_read_u32(&r);
    ts_read_u16(&r);
    const unsigned flags = ts_read_u16(&r), method = ts_read_u16(&r);
    ts_read_u32(&r);
    const uint32_t crc = ts_read_u32(&r), packed = ts_read_u32(&r), size = ts_read_u32(&r);
    const uint16_t name_len = ts_read_u16(&r), extra_len = ts_read_u16(&r);
    const ts_span name = ts_read_bytes(&r, name_len);
    ts_read_bytes(&r, extra_len);
    if (magic != LOCAL_MAGIC)
        return fail_member(err, TS_E_FORMAT, m, m->header, "no local header stands where the directory says");
    if (r.fail || name.len != m->name.len || memcmp(name.data, m->name.data, name.len) != 0)
        return fail_member(err, TS_E_FORMAT, m, m->header, "its local header has another name than the directory");
    if (flags & 1) return fail_member(err, TS_E_UNSUPP, m, m->header, "encrypted; save it without a password");
    if (method != 0) return fail_member(err, TS_E_UNSUPP, m, m->header, "compressed, which PyTorch's files never are");
    const bool later = flags & FLAG_DESCRIPTOR || (crc | packed | size) == 0;
    if (!later && ((size != IN_ZIP64 && (size != m->size || packed != m->size)) || crc != m->crc))
        return fail_member(err, TS_E_FORMAT, m, m->header, "its local header has another size or CRC");
    m->offset = r.pos;
    if (m->size > end - m->offset)
        return fail_member(err, TS_E_FORMAT, m, m->offset,
                           "its data reach beyond where the directory begins: download or save the file again");
    return TS_OK;
}

static ts_status read_entry(ts_reader *r, ts_zip_member *m, ts_span file, const directory *d, ts_err *err) {
    const size_t at = r->pos;
    const uint32_t magic = ts_read_u32(r);
    ts_read_u32(r); /* versions */
    const unsigned flags = ts_read_u16(r), method = ts_read_u16(r);
    ts_read_u32(r); /* time */
    m->crc = ts_read_u32(r);
    uint64_t packed = ts_read_u32(r), size = ts_read_u32(r);
    const uint16_t name_len = ts_read_u16(r), extra_len = ts_read_u16(r), comment_len = ts_read_u16(r);
    uint32_t disk = ts_read_u16(r);
    ts_read_u16(r); /* attributes */
    ts_read_u32(r);
    uint64_t header = ts_read_u32(r);
    m->name = ts_read_bytes(r, name_len);
    const ts_span extra = ts_read_bytes(r, extra_len);
    ts_read_bytes(r, comment_len);
    if (r->fail) return fail_at(err, at, "the zip's directory ends inside of an entry: its count or size is wrong");
    if (magic != ENTRY_MAGIC) return fail_at(err, at, "no entry of the zip's directory: its count or size is wrong");
    if (m->name.len == 0 || memchr(m->name.data, 0, m->name.len))
        return fail_at(err, at, "a member of the zip has no name, or a NUL in it");
    if (!read_zip64(extra, &size, &packed, &header, &disk))
        return fail_member(err, TS_E_FORMAT, m, at, "its extra fields are malformed");
    if (flags & 1) return fail_member(err, TS_E_UNSUPP, m, at, "encrypted; save it without a password");
    if (method != 0) return fail_member(err, TS_E_UNSUPP, m, at, "compressed, which PyTorch's files never are");
    if (flags & ~(unsigned)(FLAG_OPTIONS | FLAG_DESCRIPTOR | FLAG_UTF8))
        return fail_member(err, TS_E_UNSUPP, m, at, "its flags ask for what PyTorch never writes");
    if (disk != 0) return fail_member(err, TS_E_FORMAT, m, at, "on another disk; put the zip together first");
    if (packed != size) return fail_member(err, TS_E_FORMAT, m, at, "stored, but with two different sizes");
    m->size = size;
    m->header = header;
    return read_local(m, file, d->begin, err);
}

static int by_name(const void *a, const void *b) {
    const ts_span x = ((const ts_zip_member *)a)->name, y = ((const ts_zip_member *)b)->name;
    const int c = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
    return c ? c : (x.len > y.len) - (x.len < y.len);
}

static int by_place(const void *a, const void *b) {
    const uint64_t x = ((const ts_zip_member *)a)->header, y = ((const ts_zip_member *)b)->header;
    return (x > y) - (x < y);
}

static ts_status check_members(ts_zip *z, ts_err *err) {
    qsort(z->member, z->n, sizeof *z->member, by_place);
    for (size_t i = 1; i < z->n; i++) {
        const ts_zip_member *before = &z->member[i - 1];
        if (z->member[i].header < before->offset + before->size)
            return fail_member(err, TS_E_FORMAT, &z->member[i], z->member[i].header, "it overlaps another member");
    }
    qsort(z->member, z->n, sizeof *z->member, by_name);
    for (size_t i = 1; i < z->n; i++)
        if (by_name(&z->member[i - 1], &z->member[i]) == 0)
            return fail_member(err, TS_E_FORMAT, &z->member[i], z->member[i].header, "two members have this name");
    return TS_OK;
}

/* ---- interface --------------------------------------------------------------------------------------------------- */

/* Eight bytes a step: table[k][b] is what byte b adds to the CRC with k bytes behind it. */
static void make_crc_table(ts_zip *z) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
        z->crc_table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) {
            const uint32_t c = z->crc_table[k - 1][i];
            z->crc_table[k][i] = c >> 8 ^ z->crc_table[0][c & 255];
        }
}

bool ts_zip_looks(ts_span file) {
    return file.len >= 4 && u32_at(file, 0) == LOCAL_MAGIC;
}

ts_status ts_zip_open(ts_zip *z, ts_span file, ts_err *err) {
    directory d = {0};
    *z = (ts_zip){0};
    TS_TRY(read_end(file, &d, err));
    ts_zip made = {.file = file, .n = (size_t)d.n, .member = ts_alloc((size_t)d.n, sizeof *made.member)};
    if (!made.member) return ts_fail_nomem(err, "the zip's directory", (size_t)d.n * sizeof *made.member);
    ts_reader r = {.in = {file.data, (size_t)(d.begin + d.bytes)}, .pos = (size_t)d.begin};
    ts_status s = TS_OK;
    for (size_t i = 0; i < made.n && s == TS_OK; i++) s = read_entry(&r, &made.member[i], file, &d, err);
    if (s == TS_OK && r.pos != r.in.len) s = fail_at(err, r.pos, "the zip's directory has more than its members");
    if (s == TS_OK) s = check_members(&made, err);
    if (s != TS_OK) {
        ts_free(made.member);
        return s;
    }
    make_crc_table(&made);
    *z = made;
    return TS_OK;
}

void ts_zip_close(ts_zip *z) {
    ts_free(z->member);
    *z = (ts_zip){0};
}

const ts_zip_member *ts_zip_find(const ts_zip *z, ts_span first, ts_span second) {
    size_t low = 0, high = z->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const ts_span name = z->member[mid].name;
        const size_t n1 = name.len < first.len ? name.len : first.len;
        int c = n1 ? memcmp(name.data, first.data, n1) : 0;
        if (c == 0 && name.len < first.len) c = -1;
        if (c == 0) {
            const ts_span rest = {name.data + first.len, name.len - first.len};
            const size_t n2 = rest.len < second.len ? rest.len : second.len;
            c = n2 ? memcmp(rest.data, second.data, n2) : 0;
            if (c == 0) c = (rest.len > second.len) - (rest.len < second.len);
        }
        if (c == 0) return &z->member[mid];
        if (c < 0) low = mid + 1;
        else high = mid;
    }
    return NULL;
}

static uint32_t crc32_of(const ts_zip *z, ts_span s) {
    uint32_t c = ~0u;
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        uint32_t a, b;
        memcpy(&a, s.data + i, 4);
        memcpy(&b, s.data + i + 4, 4);
        a ^= c;
        c = z->crc_table[7][a & 255] ^ z->crc_table[6][a >> 8 & 255] ^ z->crc_table[5][a >> 16 & 255] ^
            z->crc_table[4][a >> 24] ^ z->crc_table[3][b & 255] ^ z->crc_table[2][b >> 8 & 255] ^
            z->crc_table[1][b >> 16 & 255] ^ z->crc_table[0][b >> 24];
    }
    for (; i < s.len; i++) c = c >> 8 ^ z->crc_table[0][(c ^ s.data[i]) & 255];
    return ~c;
}

ts_status ts_zip_check(const ts_zip *z, const ts_zip_member *m, ts_err *err) {
    const uint32_t crc = crc32_of(z, (ts_span){z->file.data + m->offset, (size_t)m->size});
    if (crc == m->crc) return TS_OK;
    return fail_member(err, TS_E_FORMAT, m, m->offset,
                       "its data do not have the CRC that the zip says, they are damaged: download or save it again");
}
