/* Arithmetic as Python does it, on 64-bit integers and doubles; + and * of texts and lists. */
#include "text/jinja/jinja_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

__attribute__((noreturn)) static void wrong_types(tj *r, tj_op op, tj_val a, tj_val b) {
    if (op == TJ_ADD && a.t == TJ_STR)
        tj_fail(r, TS_E_INVAL, "can only concatenate str (not \"%s\") to str", tj_type_name(b));
    if (op == TJ_ADD && a.t == TJ_SEQ && a.q->kind <= TJ_TUPLE) {
        const char *t = tj_type_name(a);
        tj_fail(r, TS_E_INVAL, "can only concatenate %s (not \"%s\") to %s", t, tj_type_name(b), t);
    }
    bool sa = a.t == TJ_STR || a.t == TJ_SEQ, sb = b.t == TJ_STR || b.t == TJ_SEQ;
    if (op == TJ_MUL && (sa || sb))
        tj_fail(r, TS_E_INVAL, "can't multiply sequence by non-int of type '%s'", tj_type_name(sa ? b : a));
    tj_fail(r, TS_E_INVAL, "unsupported operand type(s) for %s: '%s' and '%s'", signs[op], tj_type_name(a),
            tj_type_name(b));
}

__attribute__((noreturn)) static void overflow(tj *r) {
    tj_fail(r, TS_E_UNSUPP, "the result of an integer operation does not fit in 64 bits");
}

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t int_pow(tj *r, int64_t base, int64_t e) {
    int64_t out = 1;
    for (;;) {
        if (e & 1 && __builtin_mul_overflow(out, base, &out)) overflow(r);
        e >>= 1;
        if (!e) return out;
        if (__builtin_mul_overflow(base, base, &base)) overflow(r);
    }
}

static tj_val ints(tj *r, tj_op op, int64_t a, int64_t b) {
    int64_t out;
    switch (op) {
    case TJ_ADD:
        if (__builtin_add_overflow(a, b, &out)) overflow(r);
        return tj_int(out);
    case TJ_SUB:
        if (__builtin_sub_overflow(a, b, &out)) overflow(r);
        return tj_int(out);
    case TJ_MUL:
        if (__builtin_mul_overflow(a, b, &out)) overflow(r);
        return tj_int(out);
    case TJ_DIV:
        if (!b) tj_fail(r, TS_E_INVAL, "division by zero");
        return tj_float((double)((long double)a / (long double)b));
    case TJ_FLOORDIV:
    case TJ_MOD:
        if (!b) tj_fail(r, TS_E_INVAL, "integer division or modulo by zero");
        if (b == -1) {
            if (op == TJ_MOD) return tj_int(0);
            if (__builtin_sub_overflow(0, a, &out)) overflow(r);
            return tj_int(out);
        }
        if (op == TJ_FLOORDIV) return tj_int(floor_div(a, b));
        return tj_int(a - b * floor_div(a, b));
    default:
        if (b < 0) {
            if (!a) tj_fail(r, TS_E_INVAL, "0.0 cannot be raised to a negative power");
            return tj_float(pow((double)a, (double)b));
        }
        if (a == 0 || a == 1 || a == -1) return tj_int(!b ? 1 : a == -1 && b % 2 == 0 ? 1 : a);
        return tj_int(int_pow(r, a, b));
    }
}

static double float_mod(double a, double b) {
    double m = fmod(a, b);
    if (m != 0 && (m < 0) != (b < 0)) m += b;
    else if (m == 0) m = copysign(0.0, b);
    return m;
}

static tj_val floats(tj *r, tj_op op, double a, double b) {
    switch (op) {
    case TJ_ADD: return tj_float(a + b);
    case TJ_SUB: return tj_float(a - b);
    case TJ_MUL: return tj_float(a * b);
    case TJ_DIV:
        if (b == 0) tj_fail(r, TS_E_INVAL, "float division by zero");
        return tj_float(a / b);
    case TJ_FLOORDIV: {
        if (b == 0) tj_fail(r, TS_E_INVAL, "float floor division by zero");
        double q = (a - float_mod(a, b)) / b;
        return tj_float(q == 0 ? copysign(0.0, a / b) : floor(q + 0.5));
    }
    case TJ_MOD:
        if (b == 0) tj_fail(r, TS_E_INVAL, "float modulo");
        return tj_float(float_mod(a, b));
    default:
        if (a == 0 && b < 0) tj_fail(r, TS_E_INVAL, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b)) tj_fail(r, TS_E_UNSUPP, "complex numbers are not supported");
        return tj_float(pow(a, b));
    }
}

static tj_val repeat(tj *r, tj_val of, int64_t times) {
    size_t n = times > 0 ? (size_t)times : 0;
    if (of.t == TJ_STR) {
        tj_sb b;
        tj_sb_init(r, &b);
        if (of.s->len && n > r->max_text / of.s->len)
            tj_fail(r, TS_E_LIMIT, "a text becomes longer than %zu bytes", r->max_text);
        for (size_t i = 0; i < n && of.s->len; i++) tj_sb_str(&b, of.s);
        tj_str *s = tj_sb_done(&b);
        s->markup = of.s->markup;
        return tj_of_str(s);
    }
    tj_seq *q = tj_seq_new(r, of.q->kind, 0);
    for (size_t i = 0; i < n && of.q->n; i++)
        for (size_t k = 0; k < of.q->n; k++) tj_seq_push(r, q, of.q->v[k]);
    return tj_of_seq(q);
}

static bool repeatable(tj_val v) { return v.t == TJ_STR || (v.t == TJ_SEQ && v.q->kind <= TJ_TUPLE); }

static bool plain_tuple(tj_val v) { return v.t == TJ_SEQ && (v.q->kind == TJ_TUPLE || v.q->kind == TJ_GROUP); }

tj_val tj_binop(tj *r, tj_op op, tj_val a, tj_val b) {
    int64_t x, y;
    if (tj_is_number(a) && tj_is_number(b)) {
        if (tj_as_int(a, &x) && tj_as_int(b, &y)) return ints(r, op, x, y);
        return floats(r, op, tj_as_double(a), tj_as_double(b));
    }
    if (a.t == TJ_STR && op == TJ_MOD) return tj_of_str(tj_percent(r, a.s, b));
    if (a.t == TJ_UNDEF) tj_fail_undef(r, a.u);
    if (b.t == TJ_UNDEF) tj_fail_undef(r, b.u);
    if (op == TJ_ADD && a.t == TJ_STR && b.t == TJ_STR) {
        if (a.s->markup != b.s->markup) { /* what is added to markup is escaped */
            a.s = a.s->markup ? a.s : tj_str_escape(r, a.s);
            b.s = b.s->markup ? b.s : tj_str_escape(r, b.s);
        }
        tj_str *s = tj_str_cat(r, a.s, b.s);
        s->markup = a.s->markup;
        return tj_of_str(s);
    }
    if (op == TJ_ADD && a.t == TJ_SEQ && b.t == TJ_SEQ &&
        ((a.q->kind == TJ_LIST && b.q->kind == TJ_LIST) || (plain_tuple(a) && plain_tuple(b)))) {
        tj_seq *q = tj_seq_new(r, a.q->kind == TJ_LIST ? TJ_LIST : TJ_TUPLE, a.q->n + b.q->n);
        for (size_t i = 0; i < a.q->n; i++) tj_seq_push(r, q, a.q->v[i]);
        for (size_t i = 0; i < b.q->n; i++) tj_seq_push(r, q, b.q->v[i]);
        return tj_of_seq(q);
    }
    if (op == TJ_MUL && repeatable(a) && tj_as_int(b, &y)) return repeat(r, a, y);
    if (op == TJ_MUL && repeatable(b) && tj_as_int(a, &x)) return repeat(r, b, x);
    wrong_types(r, op, a, b);
}

tj_val tj_negate(tj *r, tj_val a) {
    int64_t i;
    if (a.t == TJ_FLOAT) return tj_float(-a.f);
    if (a.t == TJ_UNDEF) tj_fail_undef(r, a.u);
    if (!tj_as_int(a, &i)) tj_fail(r, TS_E_INVAL, "bad operand type for unary -: '%s'", tj_type_name(a));
    return ints(r, TJ_SUB, 0, i);
}

/* To so many decimal digits, halves of the exact value to even, as Python's round(). */
double tj_round(double x, int digits) {
    if (!isfinite(x) || digits > 320) return x;
    if (digits < -310) return 0 * x;
    char s[800];
    if (digits >= 0) {
        snprintf(s, sizeof s, "%.*f", digits, x);
        return strtod(s, NULL);
    }
    long double scale = powl(10, -digits);
    return (double)(nearbyintl((long double)x / scale) * scale);
}
