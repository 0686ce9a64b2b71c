#include "kern/fmath.h"

/* log2 x = e + log2 m with m in [sqrt 1/2, sqrt 2), log m = 2 atanh s, s = (m - 1) / (m + 1), |s| <= 0.1716: thirteen
 * terms of the series leave less than 1e-19 of the value. */
double ts_log2_d(double x) {
    int e;
    double m = frexp(x, &e); /* exact */
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), z = s * s, p = 0;
    for (int k = 12; k >= 0; k--) p = fma(p, z, 1.0 / (2 * k + 1));
    double ln = 2 * s * p;
    return fma(ln, 0x1.71547652b82fep+0, (double)e);
}

/* 2^x = 2^n e^(r ln 2), |r| <= 1/2: the Taylor series to r^17. */
double ts_exp2_d(double x) {
    double n = rint(x), r = (x - n) * 0x1.62e42fefa39efp-1, p = 1;
    for (int k = 17; k >= 1; k--) p = fma(p, r / k, 1.0);
    return ldexp(p, (int)n);
}

double ts_pow_d(double base, double e) {
    return ts_exp2_d(e * ts_log2_d(base));
}

/* x = k pi/2 + r with pi/2 in three parts (161 bits), |r| <= pi/4; Taylor series to r^19 and r^18. */
void ts_sincos_d(double x, double *sin_x, double *cos_x) {
    double k = rint(x * 0x1.45f306dc9c883p-1);
    double r = fma(-k, 0x1.921fb54442d18p+0, x);
    r = fma(-k, 0x1.1a62633145c07p-54, r);
    r = fma(-k, -0x1.f1976b7ed8fbcp-110, r);
    double z = r * r, s = 1, c = 1;
    for (int i = 18; i >= 2; i -= 2) s = fma(-s, z / (i * (i + 1)), 1.0);
    for (int i = 17; i >= 1; i -= 2) c = fma(-c, z / (i * (i + 1)), 1.0);
    s *= r;
    switch ((long long)k & 3) {
    case 0: *sin_x = s, *cos_x = c; break;
    case 1: *sin_x = c, *cos_x = -s; break;
    case 2: *sin_x = -s, *cos_x = -c; break;
    default: *sin_x = -c, *cos_x = s; break;
    }
}
