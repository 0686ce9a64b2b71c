/* strftime_now: dates in the C locale, as Python on Linux writes them. */
#include "text/jinja/jinja_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};

typedef struct date {
    int64_t now, year;
    int month, day, yday, wday, hour, min, sec; /* month, yday from 0; wday 0: Sunday */
} date;

static bool leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

static date date_of(int64_t now) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    date d = {.now = now, .year = 1970};
    int64_t day = now / 86400, sec = now % 86400;
    if (sec < 0) sec += 86400, day--;
    d.hour = (int)(sec / 3600);
    d.min = (int)(sec / 60 % 60);
    d.sec = (int)(sec % 60);
    d.wday = (int)(((day + 4) % 7 + 7) % 7);
    int64_t cycles = day / 146097; /* 400 years */
    if (day % 146097 < 0) cycles--;
    day -= cycles * 146097;
    d.year += cycles * 400;
    for (int n; day >= (n = leap(d.year) ? 366 : 365); d.year++) day -= n;
    d.yday = (int)day;
    for (int n; day >= (n = lengths[d.month] + (d.month == 1 && leap(d.year))); d.month++) day -= n;
    d.day = (int)day + 1;
    return d;
}

/* Week of ISO 8601 and its year. */
static int iso_week(const date *d, int64_t *year) {
    int monday = (d->wday + 6) % 7; /* days since Monday */
    int w = (d->yday - monday + 10) / 7;
    *year = d->year;
    if (w < 1) {
        --*year;
        int last = d->yday + (leap(*year) ? 366 : 365);
        return (last - monday + 10) / 7;
    }
    int n = leap(d->year) ? 366 : 365;
    if (w == 53 && d->yday - monday + 3 >= n) {
        ++*year;
        return 1;
    }
    return w;
}

/* The field of one directive; false: none of that letter. pad: '0', '_' or 0 (none). */
static bool field(char *out, size_t cap, const date *d, char c, char pad) {
    int64_t v, year;
    int width = 2;
    int h12 = d->hour % 12 ? d->hour % 12 : 12;
    char own = '0'; /* how the directive pads by itself */
    switch (c) {
    case 'a': snprintf(out, cap, "%.3s", days[d->wday]); return true;
    case 'A': snprintf(out, cap, "%s", days[d->wday]); return true;
    case 'b':
    case 'h': snprintf(out, cap, "%.3s", months[d->month]); return true;
    case 'B': snprintf(out, cap, "%s", months[d->month]); return true;
    case 'p': snprintf(out, cap, "%s", d->hour < 12 ? "AM" : "PM"); return true;
    case 'P': snprintf(out, cap, "%s", d->hour < 12 ? "am" : "pm"); return true;
    case 'n': snprintf(out, cap, "\n"); return true;
    case 't': snprintf(out, cap, "\t"); return true;
    case '%': snprintf(out, cap, "%%"); return true;
    case 'Z':
    case 'z': *out = 0; return true; /* a time without a zone */
    case 'c':
        snprintf(out, cap, "%.3s %.3s %2d %02d:%02d:%02d %" PRId64, days[d->wday], months[d->month], d->day, d->hour,
                 d->min, d->sec, d->year);
        return true;
    case 'D':
    case 'x': snprintf(out, cap, "%02d/%02d/%02d", d->month + 1, d->day, (int)(d->year % 100)); return true;
    case 'F': snprintf(out, cap, "%" PRId64 "-%02d-%02d", d->year, d->month + 1, d->day); return true;
    case 'T':
    case 'X': snprintf(out, cap, "%02d:%02d:%02d", d->hour, d->min, d->sec); return true;
    case 'R': snprintf(out, cap, "%02d:%02d", d->hour, d->min); return true;
    case 'r': snprintf(out, cap, "%02d:%02d:%02d %s", h12, d->min, d->sec, d->hour < 12 ? "AM" : "PM"); return true;
    case 'd': v = d->day; break;
    case 'e': v = d->day, own = '_'; break;
    case 'H': v = d->hour; break;
    case 'k': v = d->hour, own = '_'; break;
    case 'I': v = h12; break;
    case 'l': v = h12, own = '_'; break;
    case 'j': v = d->yday + 1, width = 3; break;
    case 'm': v = d->month + 1; break;
    case 'M': v = d->min; break;
    case 'S': v = d->sec; break;
    case 'f': v = 0, width = 6; break;
    case 's': v = d->now, width = 1; break;
    case 'u': v = d->wday ? d->wday : 7, width = 1; break;
    case 'w': v = d->wday, width = 1; break;
    case 'U': v = (d->yday + 7 - d->wday) / 7; break;
    case 'W': v = (d->yday + 7 - (d->wday + 6) % 7) / 7; break;
    case 'V': v = iso_week(d, &year); break;
    case 'G': iso_week(d, &year), v = year, width = 1; break;
    case 'g': iso_week(d, &year), v = year % 100; break;
    case 'y': v = d->year % 100; break;
    case 'Y': v = d->year, width = 1; break;
    case 'C': v = d->year / 100; break;
    default: return false;
    }
    if (!pad) pad = own;
    if (pad == '-') width = 1;
    snprintf(out, cap, pad == '_' ? "%*" PRId64 : "%0*" PRId64, width, v);
    return true;
}

tj_str *tj_strftime(tj *r, const tj_str *f, int64_t now) {
    date d = date_of(now);
    tj_sb b;
    tj_sb_init(r, &b);
    for (size_t i = 0; i < f->len;) {
        size_t p = i;
        while (p < f->len && f->s[p] != '%') p++;
        tj_sb_sub(&b, f, i, p);
        i = p;
        if (p >= f->len) break;
        p++;
        char pad = 0, out[80];
        bool upper = false;
        for (; p < f->len && f->s[p] && strchr("-_0^", f->s[p]); p++) {
            if (f->s[p] == '^') upper = true;
            else pad = f->s[p];
        }
        if (p < f->len && field(out, sizeof out, &d, f->s[p], pad)) {
            for (char *c = out; *c && upper; c++)
                if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
            tj_sb_add(&b, out, strlen(out), tj_mark(f, i));
            i = p + 1;
        } else { /* no directive: stays as it is */
            size_t e = p < f->len ? p : f->len;
            tj_sb_sub(&b, f, i, e);
            i = e;
            if (i < f->len && f->s[i] != '%') {
                size_t n = 1;
                while (i + n < f->len && (f->s[i + n] & 0xC0) == 0x80) n++;
                tj_sb_sub(&b, f, i, i + n);
                i += n;
            }
        }
    }
    return tj_sb_done(&b);
}
