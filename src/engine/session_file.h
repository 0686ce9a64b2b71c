/* session_file.h - a session's file: how it is read from any place. docs/formats/session.md. */
#ifndef TS_ENGINE_SESSION_FILE_H
#define TS_ENGINE_SESSION_FILE_H

#include "engine/session.h"

/* Where a session's file comes from: exactly `bytes` bytes, asked for from front to back. */
typedef struct ts_session_source {
    const char *name; /* for messages */
    uint64_t bytes;
    /* the next `len` of them into `to` */
    ts_status (*read)(void *ud, void *to, size_t len, ts_err *err);
    void *ud;
} ts_session_source;

/* ts_session_restore from there. */
TS_NODISCARD ts_status ts_session_restore_from(ts_session *s, const ts_session_source *from, ts_err *err);

/* Of the format of a session's file, of pages in memory, and of the arithmetic that makes keys and values
 * (docs/numerics.md): a change of any of them is another version. Files of the prefix store have it, too. */
enum { TS_SESSION_VERSION = 2 };

/* The checksum of a file, piece by piece: begin with {0}. */
typedef struct ts_session_sum {
    uint64_t h;
    uint8_t part[8]; /* of a word that is not complete */
    uint32_t n_part;
} ts_session_sum;
void ts_session_sum_add(ts_session_sum *sum, const void *data, size_t len);
uint64_t ts_session_sum_end(const ts_session_sum *sum);

/* What identifies the engine's model to a session's file: all that its logits depend on, tensors by samples. Errors:
 * TS_E_NOMEM. */
TS_NODISCARD ts_status ts_session_model_id(const ts_engine *e, uint64_t *id, ts_err *err);

#endif
