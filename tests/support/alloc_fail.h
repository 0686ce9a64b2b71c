/* alloc_fail.h - fail the N-th allocation of a test: the C allocator is replaced at link time (--wrap). */
#ifndef TS_TESTS_ALLOC_FAIL_H
#define TS_TESTS_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>

/* The n-th allocation from now (1 = the next) fails, as do all after it when `sticky`. n = 0: none fails. */
void alloc_fail_at(long n, bool sticky);
/* Did an allocation fail since alloc_fail_at? */
bool alloc_fail_hit(void);
/* Allocations made since alloc_fail_at, and those not yet freed since program start. */
long alloc_fail_count(void);
long alloc_fail_live(void);

/* The N-th allocation loop: body(ud) must return true when it succeeded, false after a clean failure. Calls it with
 * allocation 1, 2, 3, ... failing until it succeeds without a failure; asserts that nothing leaks on the way, and that
 * a body that saw a failure did not report success unless `may_recover`. */
void alloc_fail_loop(bool (*body)(void *ud), void *ud, bool may_recover);

#endif
