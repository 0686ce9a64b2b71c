#define _GNU_SOURCE /* timegm */
#include "base/clock.h"

#include "base/printable.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t ts_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t ts_local_now(void) {
    time_t t = time(NULL);
    struct tm tm;
    return localtime_r(&t, &tm) ? (int64_t)timegm(&tm) : (int64_t)t;
}

ts_status ts_local_parse(const char *s, int64_t *out, ts_err *err) {
    struct tm tm = {0};
    char rest = 0, sep = 'T';
    int n = sscanf(s, "%4d-%2d-%2d%c%2d:%2d:%2d%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &sep, &tm.tm_hour, &tm.tm_min,
                   &tm.tm_sec, &rest);
    struct tm same = {.tm_year = tm.tm_year - 1900, .tm_mon = tm.tm_mon - 1, .tm_mday = tm.tm_mday,
                      .tm_hour = tm.tm_hour, .tm_min = tm.tm_min, .tm_sec = tm.tm_sec};
    int day = tm.tm_mday;
    int64_t t = (int64_t)timegm(&same); /* a day that the month lacks becomes one of the next month */
    if ((n == 3 || n == 6 || n == 7) && (sep == 'T' || sep == ' ') && tm.tm_mon >= 1 && tm.tm_mon <= 12 && day >= 1 &&
        same.tm_mday == day && tm.tm_hour >= 0 && tm.tm_hour < 24 && tm.tm_min >= 0 && tm.tm_min < 60 &&
        tm.tm_sec >= 0 && tm.tm_sec < 60) {
        *out = t;
        return TS_OK;
    }
    char shown[40];
    ts_printable(shown, sizeof shown, s, strlen(s));
    return ts_fail(err, TS_E_INVAL, "\"%s\" is not a time like 2024-07-26T12:00:00", shown);
}
