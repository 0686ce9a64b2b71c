/* gemv_code.h - the core program as it goes into program memory at address 0. */
#ifndef TS_NPU_GEMV_CODE_H
#define TS_NPU_GEMV_CODE_H

#include <stdint.h>

extern const uint8_t ts_gemv_code[];
extern const uint32_t ts_gemv_code_bytes;

#endif
