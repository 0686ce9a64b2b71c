/* hash.h - FNV-1a of 64 bits: for identities that nobody attacks. */
#ifndef TS_BASE_HASH_H
#define TS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define TS_FNV1A UINT64_C(0xcbf29ce484222325) /* of nothing */

static inline uint64_t ts_fnv1a(uint64_t hash, const void *data, size_t len) {
    for (size_t i = 0; i < len; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
