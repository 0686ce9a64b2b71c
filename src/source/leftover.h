/* leftover.h - what a GGUF file holds beyond what Tessera computes with.
 *
 * A key or tensor that changes what a model computes and is not followed gives wrong results without a sign. So
 * every key has one of these uses, and every tensor that no layer has asked for is refused (gguf_source.c). Source of
 * the names: ggml's GGUF documentation and the constants of its converters (docs/formats/gguf.md). */
#ifndef TS_SOURCE_LEFTOVER_H
#define TS_SOURCE_LEFTOVER_H

#include "format/gguf.h"

typedef enum ts_key_use {
    TS_KEY_USED,     /* followed, or checked to be what Tessera does anyway */
    TS_KEY_HARMLESS, /* describes; or belongs to something else (another program, parts that the model does not have) */
    TS_KEY_IGNORED,  /* a wish that is not followed: settings of sampling */
    TS_KEY_UNKNOWN,  /* in the model's or the tokenizer's name space, and not known here: it may matter */
    TS_KEY_REFUSED,  /* changes the results in a way that Tessera does not follow */
} ts_key_use;

/* What becomes of `kv` in a model of architecture `arch`. */
ts_key_use ts_key_use_of(const ts_gguf *g, const ts_gguf_kv *kv, const char *arch);

/* "key = value", printable and at most cap bytes. */
void ts_key_show(const ts_gguf_kv *kv, char *out, size_t cap);

/* TS_E_UNSUPP naming the first key that is TS_KEY_REFUSED and its value. */
TS_NODISCARD ts_status ts_keys_check(const ts_gguf *g, const char *arch, ts_err *err);

/* One line for people about the keys that are ignored or unknown: at most cap bytes, how many there are. Empty:
 * none. */
size_t ts_keys_warning(const ts_gguf *g, const char *arch, char *out, size_t cap);

#endif
