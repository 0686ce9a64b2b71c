/* torch.h - read files of PyTorch (.bin, .pt, .pth: torch.save of a state dict or of a whole model) without running
 * what is in them.
 *
 * The file is mapped, never copied: arrays borrow from the mapping until ts_torch_close. They may be views: transposed,
 * of a larger storage, two of the same bytes, or with a stride of 0 (at most TS_PICKLE_REPEATS times what is there).
 *
 * What becomes an array: a tensor of a dict under its key; of a module (an object with _parameters, _buffers, _modules)
 * what its state_dict() would give, under the path; of a module whose class ends in QLinearPerGrp or WQLinear also what
 * it holds as plain attributes ("lm_head.qweight"). A dict's "state_dict" or "model" is taken in its place, "module."
 * in front of a name is cut. Everything else in the file is passed over, and never called. */
#ifndef TS_CKPT_TORCH_H
#define TS_CKPT_TORCH_H

#include "base/file.h"
#include "base/span.h"
#include "ckpt/ndarray.h"

typedef struct ts_torch ts_torch;

enum {
    TS_TORCH_ARRAYS = 1 << 20, /* at most, of a file */
    TS_TORCH_NAME = 4096,      /* bytes of a name, at most */
};

/* The zip's directory and its pickle are read and checked, with the CRC of the latter; that every array lies in the
 * file. Data are not read: ts_torch_check. Files from before PyTorch 1.6, which are no zips, are read too.
 * Errors: TS_E_IO; TS_E_FORMAT; TS_E_UNSUPP: a call, an opcode, a type that weights do not need; a TorchScript archive;
 * TS_E_LIMIT; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_torch_open(ts_torch **out, const char *path, ts_err *err);
/* From memory, which stays the caller's until close. `name` stands for the path in messages. */
TS_NODISCARD ts_status ts_torch_open_mem(ts_torch **out, ts_span bytes, const char *name, ts_err *err);
void ts_torch_close(ts_torch *t); /* NULL-safe */

/* The arrays, in the order of the file; no two have the same name. */
size_t ts_torch_n(const ts_torch *t);
const ts_array *ts_torch_at(const ts_torch *t, size_t i);

/* An integer beside the arrays: "<path>.group_size", "<path>.w_bit" and the like of the modules of quantised linear
 * layers, "config.hidden_size" and the like of a whole model's configuration. false: there is none. */
bool ts_torch_int(const ts_torch *t, const char *name, int64_t *v);

/* Compare the data that array i lies in with their CRC: all of its storage is read, once for all arrays of the same.
 * TS_E_FORMAT: they are damaged. Files from before PyTorch 1.6 have no CRC. One thread at a time. */
TS_NODISCARD ts_status ts_torch_check(ts_torch *t, size_t i, ts_err *err);
/* The bytes [first, first + len) behind array i's data will not be read again soon: their pages leave our resident
 * memory (they come back when touched). Nothing happens for a file opened from memory. */
void ts_torch_release(const ts_torch *t, size_t i, uint64_t first, uint64_t len);
const ts_map *ts_torch_map(const ts_torch *t);
/* TS_E_IO where the file has been written to since it was opened. */
TS_NODISCARD ts_status ts_torch_unchanged(const ts_torch *t, ts_err *err);

#endif
