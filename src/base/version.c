/* version.c - of the library; meson.build says it. */
#include "tessera/tessera.h"

const char *ts_version(void) {
    return TESSERA_VERSION;
}

uint32_t ts_version_number(void) {
    return TS_VERSION_MAJOR << 16 | TS_VERSION_MINOR << 8 | TS_VERSION_PATCH;
}
