/* zip.h - the directory of a zip whose members are stored, as PyTorch writes it: nothing is unpacked or extracted.
 *
 * The central directory is what counts (behind PyTorch's local headers stand data descriptors, and zeros in them), but
 * both must tell the same story. Zip64, data descriptors and padding in extra fields are read; compression, encryption,
 * several disks, members that overlap or lie outside, and two members of one name are refused. */
#ifndef TS_CKPT_ZIP_H
#define TS_CKPT_ZIP_H

#include "base/mem.h"
#include "base/span.h"

typedef struct ts_zip_member {
    ts_span name;    /* bytes as in the directory, never empty, without a NUL; borrowed from the file */
    uint64_t header; /* where its local header begins */
    uint64_t offset; /* where its data begin, at any alignment */
    uint64_t size;
    uint32_t crc;
} ts_zip_member;

typedef struct ts_zip {
    ts_span file;          /* borrowed, must stay until ts_zip_close */
    ts_zip_member *member; /* sorted by name */
    size_t n;
    uint32_t crc_table[8][256];
} ts_zip;

/* Does it begin as a zip with a member does? */
bool ts_zip_looks(ts_span file);
/* Read the directory; *z is zeroed on failure. Messages name byte and member, not the file. Errors: TS_E_FORMAT;
 * TS_E_UNSUPP: compressed, encrypted; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_zip_open(ts_zip *z, ts_span file, ts_err *err);
void ts_zip_close(ts_zip *z); /* leaves *z empty */

/* The member whose name is the two texts one behind the other; NULL: there is none. */
const ts_zip_member *ts_zip_find(const ts_zip *z, ts_span first, ts_span second);
/* Read all data of a member and compare their CRC-32. TS_E_FORMAT: they are damaged. */
TS_NODISCARD ts_status ts_zip_check(const ts_zip *z, const ts_zip_member *m, ts_err *err);

#endif
