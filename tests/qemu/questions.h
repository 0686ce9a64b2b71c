/* questions.h - the questions of differ, by subject. Each gets a client with a file of its own; where it needs a second
 * one it opens it. Names of answers are unique within a group. The group "firmware" is what the driver makes of answers
 * that, in a guest, our device gives in the firmware's place: there the kernel confirms the way of an answer, not the
 * answer. */
#ifndef TS_TESTS_QEMU_QUESTIONS_H
#define TS_TESTS_QEMU_QUESTIONS_H

#include "differ.h"

#include <stdio.h>

typedef struct question {
    const char *group;
    void (*ask)(client *c);
} question;

/* The last of each has no group. */
extern const question questions_info[], questions_memory[], questions_context[], questions_command[], questions_end[];

#define TO_ALL (TS_UAPI_WAIT_ALL | TS_UAPI_WAIT_FOR_SUBMIT)

/* An address without its figures. */
static inline const char *address(uint64_t v, const void *pointer) {
    if (v == TS_UAPI_INVALID_ADDR) return "none";
    return v == (uint64_t)(uintptr_t)pointer ? "the pointer" : "an address";
}

static inline const char *named(char *buf, size_t len, const char *fmt, unsigned long long v) {
    snprintf(buf, len, fmt, v);
    return buf;
}
#define NAMED(fmt, v) named((char[64]){0}, 64, fmt, (unsigned long long)(v))

#endif
