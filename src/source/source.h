/* source.h - where a model comes from: its configuration, its tensors by role, its tokenizer.
 *
 * What a file calls its tensors and keys, how it is mapped and what of it changes results without being followed, are
 * known to the source alone; the model sees roles. A file format is one implementation of ts_source_ops; where a format
 * keeps numbers otherwise than kernels read them, its tensors have no data but rows that are made. */
#ifndef TS_SOURCE_SOURCE_H
#define TS_SOURCE_SOURCE_H

#include "base/file.h"
#include "base/span.h"
#include "format/tensor.h"
#include "source/model_config.h"
#include "source/role.h"
#include "text/tokenizer.h"

typedef struct ts_source ts_source;

/* All are there unless they say otherwise. Messages name the file. */
typedef struct ts_source_ops {
    void (*close)(ts_source *s);
    /* The family, by the name that ts_arch has for it: borrowed, any bytes. */
    ts_status (*family)(const ts_source *s, ts_span *out, ts_err *err);
    /* The configuration of a model of that family. Errors: TS_E_FORMAT naming the key; TS_E_UNSUPP for what is
     * well-formed but not done (experts, other kinds of rope). */
    ts_status (*config)(const ts_source *s, const char *family, ts_model_config *out, ts_err *err);
    /* The tensor of a role, or its bias; NULL: there is none. `layer` counts for the roles of a layer. From now on it
     * counts as used. Rows are contiguous, dim[0] elements each; data stays until close. */
    const ts_tensor *(*tensor)(ts_source *s, ts_role role, uint32_t layer, bool bias);
    /* What a role is called here, and its tensor, for messages about one that is missing. The latter returns buf. */
    const char *(*role_name)(const ts_source *s, ts_role role);
    const char *(*tensor_name)(const ts_source *s, ts_role role, uint32_t layer, bool bias, char *buf, size_t len);
    /* Tensor number i of all n_tensors, in the order of the file. */
    const ts_tensor *(*tensor_at)(const ts_source *s, size_t i);
    /* Tensors that nobody has asked for, one at a time: *i is 0 at first. NULL: no more. */
    const ts_tensor *(*unused)(const ts_source *s, size_t *i);
    /* TS_E_UNSUPP for what is there, but not followed, and would make the results others. After all tensors have been
     * asked for. */
    ts_status (*refuse_rest)(const ts_source *s, const ts_model_config *c, ts_err *err);
    /* One line for people about settings that are not followed: at most cap bytes, how many there are. */
    size_t (*warn_rest)(const ts_source *s, const ts_model_config *c, char *out, size_t cap);
    /* The tokenizer, with the chat templates. `pre` as in ts_tokenizer_open. */
    ts_status (*tokenizer)(const ts_source *s, const char *pre, ts_tokenizer **out, ts_err *err);
    /* The bytes [first, first + len) of a tensor will not be read again soon: their pages may go. */
    void (*release)(const ts_source *s, const ts_tensor *t, size_t first, size_t len);
    /* They will be read soon: from a file, reading may begin. */
    void (*fetch)(const ts_source *s, const ts_tensor *t, size_t first, size_t len);
    /* Of tensors whose `data` is NULL, which are made: rows [first, first + n), one behind the other, in the tensor's
     * type. Any thread. NULL: there are no such tensors. */
    void (*rows)(const ts_source *s, const ts_tensor *t, uint64_t first, uint64_t n, void *out);
    /* The order in which the tensor's columns stand: column i belongs to input order[i]. NULL, or a NULL function: to
     * input i. Lives until close. */
    const uint32_t *(*order)(const ts_source *s, const ts_tensor *t);
    /* What is to be known of a tensor before its rows are taken for good: sums over the file's bytes, numbers that the
     * rows no longer show. TS_E_FORMAT. One thread at a time. NULL: nothing is. */
    ts_status (*check)(ts_source *s, const ts_tensor *t, ts_err *err);
    /* The type in which a GGUF file holds such a tensor, where that is another: TS_Q4_1 or TS_Q4_0 for U4G
     * (ts_u4g_carry), TS_F32 where neither holds its numbers. NULL: its own, always. */
    ts_dtype (*carrier)(const ts_source *s, const ts_tensor *t);
    /* All metadata, the tokenizer's too, as a GGUF file has them; tensors are not this one's. Borrowed until close.
     * Errors: those of the tokenizer. */
    ts_status (*metadata)(ts_source *s, const ts_gguf **out, ts_err *err);
    /* TS_E_IO where a file is not as it was when it was opened. */
    ts_status (*check_unchanged)(const ts_source *s, ts_err *err);
    /* What tells the source's files from others: part i's place on disk, size and time of the last change, mixed into
     * one number; *dev and *ino (nullable) are the file's. false: there is no such part, or it is in memory. */
    bool (*identity)(const ts_source *s, int i, uint64_t *mixed, uint64_t *dev, uint64_t *ino);
    /* The name of the part that ts_tensor.file counts. */
    const char *(*part)(const ts_source *s, int file);
} ts_source_ops;

struct ts_source { /* the implementation's object begins with it */
    const ts_source_ops *op;
    const char *name;      /* for messages: the path as given to open */
    size_t n_tensors;
    uint64_t n_params;     /* elements of all tensors */
    uint64_t file_bytes;
};

/* A model file or a Hugging Face folder (hf_model.h); which it is tells its content. Errors: those of the format. */
TS_NODISCARD ts_status ts_source_open(ts_source **out, const char *path, ts_err *err);
/* From memory, which stays the caller's until close. */
TS_NODISCARD ts_status ts_source_open_mem(ts_source **out, ts_span bytes, ts_err *err);

static inline uint64_t ts_map_identity(const ts_map *m) {
    uint64_t h = m->dev * 0x9e3779b97f4a7c15u ^ m->ino;
    h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u ^ (uint64_t)m->mtime_ns;
    return (h ^ h >> 32) * 0x94d049bb133111ebu ^ m->len;
}

/* Rows [first, first + n) of a tensor, where they lie or made in `scratch`, which has room for them. */
static inline const void *ts_source_rows(const ts_source *s, const ts_tensor *t, uint64_t first, uint64_t n,
                                         void *scratch) {
    if (t->data) return (const char *)t->data + first * ts_dtype_row_bytes(t->type, t->dim[0]);
    s->op->rows(s, t, first, n, scratch);
    return scratch;
}
enum { TS_ROWS_AT_A_TIME = 128 }; /* that are made best together, a multiple of 16 */

static inline void ts_source_close(ts_source *s) { /* NULL-safe */
    if (s) s->op->close(s);
}

#endif
