/* inline.h - how the kernels' templates make straight code.
 *
 * Loops over tokens and words have constant bounds and must become straight code, or the registers become memory.
 * (With TS_NO_UNROLL they stay loops: tests.) */
#ifndef TS_KERN_SIMD_INLINE_H
#define TS_KERN_SIMD_INLINE_H

#define INL static inline __attribute__((always_inline))
#if defined(TS_NO_UNROLL)
#    define UNROLL
#    define NO_UNROLL
#elif defined(__clang__)
#    define UNROLL    _Pragma("clang loop unroll(full)")
#    define NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#    define UNROLL    _Pragma("GCC unroll 16")
#    define NO_UNROLL _Pragma("GCC unroll 1")
#endif
/* What p points at is in memory here, not in registers. */
#define IN_MEMORY(p) __asm__ volatile("" : : "r"(p) : "memory")
/* What was read from memory before is not kept in registers. */
#define READ_AGAIN() __asm__ volatile("" : : : "memory")

#endif
