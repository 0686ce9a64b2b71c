/* check.h - the static checker: what every configuration and every command is tested against before a device sees
 * it.
 *
 * Mistakes in these bytes are answered by a hang that may need a reboot (docs/npu/driver.md), so the runtime
 * takes configurations and commands only as ts_npu_config and ts_npu_command, which only this checker makes. It
 * works on the finished bytes, not on the description that they came from. Each rule has a test that breaks it
 * (tests/npu/test_check.c). */
#ifndef TS_XDNA_CHECK_H
#define TS_XDNA_CHECK_H

#include "xdna/balance.h"
#include "xdna/dispatch.h"
#include "xdna/pdi.h"
#include "xdna/route.h"

/* name, what must hold */
#define TS_RULES(RULE)                                                                                              \
    RULE(FORMAT, "the bytes are a well-formed PDI or instruction stream")                                           \
    RULE(COLUMNS, "addresses stay inside the partition's columns and the array's rows")                             \
    RULE(REGISTER, "only registers that this kind of list may set are written, and only with values we know")       \
    RULE(POLL, "nothing polls a register: there is no time-out")                                                    \
    RULE(PROGRAM, "a core's program is at most 16 KiB")                                                             \
    RULE(CORE, "a core is enabled exactly when it has a program")                                                   \
    RULE(SHIM_START, "a configuration starts no shim channel, a command no other")                                  \
    RULE(RING, "a channel that the configuration starts runs one closed ring of descriptors, without tokens")       \
    RULE(QUEUE, "no channel has more than 4 tasks under way")                                                       \
    RULE(BD_VALID, "a task uses descriptors that are completely written and valid, and ends")                       \
    RULE(BD_LIVE, "no descriptor is rewritten while a task may still read it")                                      \
    RULE(BD_HALF, "memtile descriptors 0-23 serve even channels, 24-47 odd ones")                                   \
    RULE(BD_RANGE, "a descriptor stays inside the memory it names")                                                 \
    RULE(BD_LOW, "a descriptor leaves the first 64 bytes of a memtile alone: firmware may keep marks there")        \
    RULE(BD_FEATURE, "descriptors use only what Tessera relies on: no compression, padding, out-of-order, secure")  \
    RULE(LOCK_RANGE, "locks exist, are taken and given by counting, and cannot leave 0 to 63")                      \
    RULE(LOCK_TAKER, "a lock is taken by one channel or core only: between two takers chance decides")              \
    RULE(LOCK_BALANCE, "what is given to a lock is taken from it")                                                  \
    RULE(ROUTE, "every stream connection is legal and every stream leads from a source to a sink")                  \
    RULE(PORT, "no stream port is set twice")                                                                       \
    RULE(TOKEN, "every wait has exactly one token before it, and every token its wait")                             \
    RULE(TOKEN_ROUTE, "a token has a controller number and a route to the firmware that keeps its header")          \
    RULE(WORDS, "words delivered are words consumed, in whole buffers")                                             \
    RULE(ORDER, "between two waits, tasks that empty the array are started before tasks that fill it")              \
    RULE(UNFINISHED, "at the end of a command everything it started is known to be complete")                       \
    RULE(AHEAD,                                                                                                     \
         "a transfer that outlives its command fits into the buffers that it fills, and the next command knows it") \
    RULE(ARGS, "at most 5 buffer arguments, and every transfer lies inside its argument")                           \
    RULE(PATCH, "the address of every shim task comes from an argument")

typedef enum ts_rule {
    TS_RULE_NONE,
#define RULE(name, text) TS_RULE_##name,
    TS_RULES(RULE)
#undef RULE
        TS_RULE_COUNT,
} ts_rule;
const char *ts_rule_name(ts_rule r); /* "queue" */
const char *ts_rule_text(ts_rule r); /* what must hold */

/* What the checker cannot see in a program: how many units one round of the core takes from and gives to a lock.
 * A core without any such line is taken to use the locks in its reach in ways that fit. */
typedef struct ts_core_use {
    ts_tile core, tile; /* tile: whose lock */
    int lock, acquire, release;
} ts_core_use;

typedef struct ts_npu_config ts_npu_config;

/* Check a configuration; the new object has its own copy of the PDI. rule (nullable): the rule that was broken.
 * Errors: TS_E_INVAL with "rule NAME: what, where"; TS_E_NOMEM. */
TS_NODISCARD ts_status ts_npu_config_check(ts_npu_config **out, const ts_chip *chip, const void *pdi, size_t len,
                                           int n_cols, const ts_core_use *uses, size_t n_uses, ts_rule *rule,
                                           ts_err *err);
void ts_npu_config_free(ts_npu_config *c);
ts_span ts_npu_config_pdi(const ts_npu_config *c);
int ts_npu_config_cols(const ts_npu_config *c);
const ts_chip *ts_npu_config_chip(const ts_npu_config *c);

typedef struct ts_npu_command ts_npu_command;

/* Check the instruction stream of a command against its configuration; arg_bytes[i] is the size of argument i
 * from the address that the command passes. claims: from the ts_dispatch. The new object has its own copy of the
 * stream. Errors: as above. */
TS_NODISCARD ts_status ts_npu_command_check(ts_npu_command **out, const ts_npu_config *config,
                                            const void *txn, size_t len, const uint64_t *arg_bytes,
                                            int n_args, const ts_claim *claims, size_t n_claims,
                                            ts_rule *rule, ts_err *err);
/* The same for a command that begins with transfers of the one before or leaves some behind (dispatch.h).
 * ts_npu_cmd_submit sees to it that they follow each other. */
TS_NODISCARD ts_status ts_npu_command_check_prefetched(ts_npu_command **out, const ts_npu_config *config,
                                                       const void *txn, size_t len, const uint64_t *arg_bytes,
                                                       int n_args, const ts_claim *claims, size_t n_claims,
                                                       const ts_prefetched *before, const ts_prefetched *behind,
                                                       ts_rule *rule, ts_err *err);
const ts_prefetched *ts_npu_command_before(const ts_npu_command *c);
const ts_prefetched *ts_npu_command_behind(const ts_npu_command *c);
void ts_npu_command_free(ts_npu_command *c);
ts_span ts_npu_command_txn(const ts_npu_command *c);
int ts_npu_command_args(const ts_npu_command *c);
/* Size that argument i must have at least, as checked. */
uint64_t ts_npu_command_arg_bytes(const ts_npu_command *c, int i);
const ts_npu_config *ts_npu_command_config(const ts_npu_command *c);

/* The whole way from a dispatch: finish, check. */
TS_NODISCARD ts_status ts_npu_command_from(ts_npu_command **out, const ts_npu_config *config, ts_dispatch *d,
                                           const uint64_t *arg_bytes, int n_args, ts_rule *rule, ts_err *err);

#endif
