/* combine_avx2.c - a device's integer sums to floats for Haswell, Zen 1 and later: the eight rows are a ymm register.
 * Specification: kern/kern.h. */
#include "kern/kern.h"

#include <immintrin.h>

enum { ROWS = 8 };

static inline __m256 load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline __m256i load_sums(const ts_sums *s, const uint8_t *row) {
    return s->pairs ? _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)row))
                    : _mm256_loadu_si256((const __m256i *)(const void *)row);
}

/* Those of the Q4_0 program, whose weights may have zero points. */
static void combine_zeros(const ts_sums *s, float part[8]) {
    const uint32_t share = s->share ? s->share : 1;
    const __m256i eight = _mm256_set1_epi32(8);
    __m256 sum = _mm256_loadu_ps(part), d = _mm256_setzero_ps();
    __m256i z = eight;
    const uint16_t *scale = s->scale;
    for (uint32_t b = 0; b < s->n; b++) {
        if (b % share == 0) {
            d = load_f16(scale);
            z = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(scale + ROWS)));
            z = _mm256_sub_epi32(z, eight);
            scale += 3 * ROWS / 2;
        }
        const uint8_t *row = s->sum + (s->pairs ? b / 2 * s->step + b % 2 * 16 : b * s->step);
        const __m256 dx = _mm256_set1_ps(s->dx[(size_t)b * s->dx_step]);
        const __m256i off8 = _mm256_set1_epi32(s->off8[(size_t)b * s->dx_step]),
                      isum = _mm256_add_epi32(load_sums(s, row), _mm256_srai_epi32(_mm256_madd_epi16(z, off8), 3));
        sum = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(isum), dx), d, sum);
    }
    _mm256_storeu_ps(part, sum);
}

static TS_COMBINE(combine) {
    if (s->off8) {
        combine_zeros(s, part);
        return;
    }
    __m256 sum = _mm256_loadu_ps(part);
    const uint16_t *scale = s->scale;
    for (uint32_t b = 0; b < s->n; b++, scale += s->min_at ? 2 * ROWS : ROWS) {
        const uint8_t *row = s->sum + (s->pairs ? b / 2 * s->step + b % 2 * 16 : b * s->step);
        const __m256 dx = _mm256_set1_ps(s->dx[(size_t)b * s->dx_step]);
        __m256i v = load_sums(s, row);
        sum = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(v), dx), load_f16(scale), sum);
        if (!s->min_at) continue;
        v = _mm256_loadu_si256((const __m256i *)(const void *)(row + s->min_at));
        sum = _mm256_fnmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(v), dx), load_f16(scale + ROWS), sum);
    }
    _mm256_storeu_ps(part, sum);
}

void ts_kern_init_avx2_combine(ts_kern *k) {
    k->combine = combine;
}
