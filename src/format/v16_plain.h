/* v16_plain.h - sixteen f32 lanes on any processor, as four vectors of four in the compiler's own notation; every
 * operation is IEEE 754's on each lane, so all levels' v16 give the same bits. */
#ifndef TS_FORMAT_V16_PLAIN_H
#define TS_FORMAT_V16_PLAIN_H

#include <stdint.h>
#include <string.h>

#define INL static inline __attribute__((always_inline))
#ifdef __clang__
#    define UNROLL _Pragma("clang loop unroll(full)")
#else
#    define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float v4_ __attribute__((vector_size(16)));
typedef int32_t v4i_ __attribute__((vector_size(16)));

typedef struct v16 {
    v4_ q[4];
} v16;

/* Lanes 4 i to 4 i + 3 of a function's value are `expression`. */
#define V16_EACH(name, args, expression)          \
    INL v16 name args {                           \
        v16 r_;                                   \
        { enum { i = 0 }; r_.q[i] = expression; } \
        { enum { i = 1 }; r_.q[i] = expression; } \
        { enum { i = 2 }; r_.q[i] = expression; } \
        { enum { i = 3 }; r_.q[i] = expression; } \
        return r_;                                \
    }

INL v4_ v4_set1_(float x) { return (v4_){x, x, x, x}; }
INL v4_ v4_if_(v4i_ m, v4_ x, v4_ y) { return (v4_)((m & (v4i_)x) | (~m & (v4i_)y)); }
INL v4_ v4_load_(const float *p) {
    v4_ x;
    memcpy(&x, p, sizeof x);
    return x;
}

V16_EACH(v16_set1, (float x), v4_set1_(x))
V16_EACH(v16_load, (const float *p), v4_load_(p + 4 * i))
V16_EACH(v16_add, (v16 a, v16 b), a.q[i] + b.q[i])
V16_EACH(v16_sub, (v16 a, v16 b), a.q[i] - b.q[i])
V16_EACH(v16_mul, (v16 a, v16 b), a.q[i] * b.q[i])
V16_EACH(v16_div, (v16 a, v16 b), a.q[i] / b.q[i])
V16_EACH(v16_abs, (v16 x), (v4_)((v4i_)x.q[i] & 0x7fffffff))
/* acc where x is NaN, and of two zeros */
V16_EACH(v16_max, (v16 x, v16 acc), v4_if_(x.q[i] > acc.q[i], x.q[i], acc.q[i]))
V16_EACH(v16_min, (v16 x, v16 acc), v4_if_(x.q[i] < acc.q[i], x.q[i], acc.q[i]))
/* a < b ? x : y */
V16_EACH(v16_if_less, (v16 a, v16 b, v16 x, v16 y), v4_if_(a.q[i] < b.q[i], x.q[i], y.q[i]))
/* To nearest even, |x| below 2^22: 1.5 * 2^23 has units of 1, so the sum rounds. (Of -0.3 it makes +0.) */
V16_EACH(v16_nearest, (v16 x), (x.q[i] + 0x1.8p23f) - 0x1.8p23f)
INL void v16_store(float *p, v16 x) { memcpy(p, x.q, sizeof x.q); }
#undef V16_EACH

#endif
