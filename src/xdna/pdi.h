/* pdi.h - the container in which a CDO goes to the NPU firmware ("programmable device image").
 *
 * A PDI is an image header table, one image header and one partition, the CDO, padded to 16 bytes. The bytes
 * equal those of AMD's bootgen for the same list (docs/npu/config.md). One PDI is loaded per hardware context,
 * from a buffer in the device heap. */
#ifndef TS_XDNA_PDI_H
#define TS_XDNA_PDI_H

#include "xdna/cdo.h"
#include "xdna/chip.h"

/* Append a PDI with the commands of `cdo` to `out`. Errors: TS_E_NOMEM, TS_E_LIMIT (longer than the fields hold). */
TS_NODISCARD ts_status ts_pdi_write(const ts_cdo *cdo, ts_buf *out, ts_err *err);

/* Check a PDI and open its command list for reading (it borrows `data`). Errors: TS_E_FORMAT naming the part that is
 * wrong, TS_E_UNSUPP for images made for another chip or with several partitions. */
TS_NODISCARD ts_status ts_pdi_open(ts_cdo_reader *r, const void *data, size_t len, ts_err *err);

/* Append a listing of the commands, one line each with register and field names, to `out`. */
TS_NODISCARD ts_status ts_pdi_print(const ts_chip *chip, const void *data, size_t len, ts_buf *out, ts_err *err);

#endif
