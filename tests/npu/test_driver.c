/* The runtime objects over the strict fake node: whole runs in every profile, every call failing once, endings
 * and recovery, messages, memory failures. No rule of the node is ever broken, and nothing is left open. */
#include "designs.h"
#include "loopback.h"
#include "support/alloc_fail.h"

#include "base/clock.h"
#include "base/log.h"
#include "xdna/advice.h"
#include "xdna/cmd.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 1024 }; /* a column */

typedef struct rig {
    ts_fake *fake;
    loopback array;
    ts_npu_config *config;
    ts_npu_command *command;
    ts_npu_dev *dev;
    ts_npu_ctx *ctx;
    ts_npu_cmd *cmd;
    ts_npu_bo in, out;
    int n_cols;
} rig;

/* Configuration and command: bytes only, no device. */
static void plan(rig *r, int n_cols) {
    ts_err err;
    ts_design *d = loopback_design(n_cols, 1, 256);
    ts_buf pdi = {0};
    ts_dispatch p;
    uint64_t bytes[2] = {4 * WORDS * (unsigned)n_cols, 4 * WORDS * (unsigned)n_cols};
    r->n_cols = n_cols;
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    assert_ok(ts_npu_config_check(&r->config, &ts_npu1, pdi.data, pdi.len, n_cols, NULL, 0, NULL, &err));
    loopback_dispatch(&p, n_cols, WORDS);
    assert_ok(ts_npu_command_from(&r->command, r->config, &p, bytes, 2, NULL, &err));
    ts_dispatch_free(&p);
    ts_buf_free(&pdi);
    ts_design_free(d);
}

static void unplan(rig *r) {
    ts_npu_command_free(r->command);
    ts_npu_config_free(r->config);
}

static ts_status node(rig *r, ts_fake_options o, ts_err *err) {
    loopback_init(&r->array);
    o.array = &r->array.table;
    return ts_fake_new(&r->fake, &o, err);
}

static ts_status bring_up_through(rig *r, const ts_npu_io *io, ts_err *err) {
    size_t bytes = 4 * WORDS * (size_t)r->n_cols;
    TS_TRY(ts_npu_dev_open(&r->dev, io, "/dev/accel/accel0", err));
    TS_TRY(ts_npu_bo_init(&r->in, r->dev, TS_NPU_SHARED, bytes, "input", err));
    TS_TRY(ts_npu_bo_init(&r->out, r->dev, TS_NPU_SHARED, bytes, "output", err));
    TS_TRY(ts_npu_ctx_new(&r->ctx, r->dev, r->config, err));
    return ts_npu_cmd_new(&r->cmd, r->ctx, r->command, err);
}

static ts_status bring_up(rig *r, ts_err *err) {
    return bring_up_through(r, ts_fake_io(r->fake), err);
}

static void bring_down(rig *r) {
    ts_npu_cmd_free(r->cmd);
    ts_npu_ctx_free(r->ctx);
    ts_npu_bo_fini(&r->in);
    ts_npu_bo_fini(&r->out);
    ts_npu_dev_close(r->dev);
    r->cmd = NULL, r->ctx = NULL, r->dev = NULL;
}

static ts_status submit(rig *r, ts_err *err) {
    return ts_npu_cmd_submit(r->cmd, (ts_npu_arg[]){{.bo = &r->in}, {.bo = &r->out}}, 2, err);
}

/* One loop-back with fresh data; the bytes must arrive. */
static ts_status loop_once(rig *r, unsigned seed, ts_err *err) {
    size_t bytes = 4 * WORDS * (size_t)r->n_cols;
    for (size_t i = 0; i < bytes; i++) r->in.ptr[i] = (char)(i * 13 + seed * 7 + (i >> 8));
    ts_npu_bo_flush(&r->in, 0, bytes);
    TS_TRY(submit(r, err));
    TS_TRY(ts_npu_cmd_wait(r->cmd, 20000000, err));
    ts_npu_bo_invalidate(&r->out, 0, bytes);
    assert_memory_equal(r->in.ptr, r->out.ptr, bytes);
    memset(r->out.ptr, 0, bytes); /* for the next round, and flushed, as it must be */
    ts_npu_bo_flush(&r->out, 0, bytes);
    return TS_OK;
}

static void assert_clean(rig *r) {
    const ts_fake_verdict *v = ts_fake_first_violation(r->fake);
    if (v->rule != TS_FAKE_OK) fail_msg("%s broke rule %s: %s", v->call, ts_fake_rule_name(v->rule), v->text);
}

static void test_runs(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (int n_cols = 1; n_cols <= ts_npu1.cols; n_cols++)
            for (int eager = 0; eager < 2; eager++) {
                ts_err err;
                rig r = {0};
                plan(&r, n_cols);
                assert_ok(
                    node(&r, (ts_fake_options){.profile = (ts_fake_profile)profile, .eager = eager}, &err));
                assert_ok(bring_up(&r, &err));
                assert_int_equal((uintptr_t)r.dev->heap % TS_HEAP_BYTES, 0);
                assert_int_equal(r.dev->info.firmware[3], 391);
                for (unsigned i = 0; i < 5; i++) assert_ok(loop_once(&r, i, &err));
                assert_true(r.cmd->done_ns >= r.cmd->submit_ns);
                bring_down(&r);
                assert_clean(&r);
                assert_int_equal(r.array.runs, 5);
                assert_int_equal(r.array.loads, 1);
                assert_int_equal(r.array.unloads, 1);
                ts_fake_free(r.fake);
                unplan(&r);
            }
}

/* Four commands under way, a fifth refused; each with its own place in the buffers. */
static void test_pipeline(void **state) {
    (void)state;
    ts_err err;
    rig r = {0};
    plan(&r, 1);
    assert_ok(node(&r, (ts_fake_options){.profile = TS_FAKE_7_3}, &err));
    assert_ok(bring_up(&r, &err));
    ts_npu_bo in, out;
    ts_npu_cmd *cmd[5];
    size_t one = 4 * WORDS;
    assert_ok(ts_npu_bo_init(&in, r.dev, TS_NPU_SHARED, 5 * one, "in", &err));
    assert_ok(ts_npu_bo_init(&out, r.dev, TS_NPU_SHARED, 5 * one, "out", &err));
    for (size_t i = 0; i < 5 * one; i++) in.ptr[i] = (char)(i >> 4);
    ts_npu_bo_flush(&in, 0, 5 * one);
    for (unsigned i = 0; i < 5; i++) {
        assert_ok(ts_npu_cmd_new(&cmd[i], r.ctx, r.command, &err));
        ts_npu_arg args[2] = {{&in, i * one}, {&out, i * one}};
        ts_status s = ts_npu_cmd_submit(cmd[i], args, 2, &err);
        assert_int_equal(s, i < 4 ? TS_OK : TS_E_INVAL);
        if (i == 0) {
            assert_status(ts_npu_cmd_submit(cmd[0], args, 2, &err), TS_E_INVAL);
            assert_string_equal(err.msg, "NPU: the command is still under way");
        }
    }
    assert_string_equal(err.msg, "NPU: 4 commands are under way already: wait for one");
    for (int i = 3; i >= 0; i--) assert_ok(ts_npu_cmd_wait(cmd[i], 1000000000, &err)); /* in any order */
    ts_npu_arg args[2] = {{&in, 4 * one}, {&out, 4 * one}};
    assert_ok(ts_npu_cmd_submit(cmd[4], args, 2, &err));
    ts_npu_cmd_free(cmd[4]); /* waits for it */
    ts_npu_bo_invalidate(&out, 0, 5 * one);
    assert_memory_equal(in.ptr, out.ptr, 5 * one);
    for (int i = 0; i < 4; i++) ts_npu_cmd_free(cmd[i]);
    ts_npu_bo_fini(&in);
    ts_npu_bo_fini(&out);
    bring_down(&r);
    assert_clean(&r);
    ts_fake_free(r.fake);
    unplan(&r);
}

static void test_bad_calls(void **state) {
    (void)state;
    ts_err err;
    rig r = {0};
    plan(&r, 1);
    assert_ok(node(&r, (ts_fake_options){0}, &err));
    assert_ok(bring_up(&r, &err));
    ts_npu_bo small;
    assert_ok(ts_npu_bo_init(&small, r.dev, TS_NPU_SHARED, 100, "small", &err));
    assert_int_equal(small.bytes, 4096);
    ts_npu_arg a[3] = {{&r.in, 0}, {&r.out, 0}, {&r.out, 0}};
    assert_status(ts_npu_cmd_submit(r.cmd, a, 3, &err), TS_E_INVAL);
    assert_status(ts_npu_cmd_submit(r.cmd, a, 1, &err), TS_E_INVAL);
    a[1].offset = 4;
    assert_status(ts_npu_cmd_submit(r.cmd, a, 2, &err), TS_E_INVAL);
    assert_non_null(strstr(err.msg, "argument 1: 4096 bytes at offset 4 of a buffer of 4096"));
    a[1] = (ts_npu_arg){&r.ctx->pdi, 0}; /* a device buffer is no argument */
    assert_status(ts_npu_cmd_submit(r.cmd, a, 2, &err), TS_E_INVAL);
    assert_status(ts_npu_cmd_wait(r.cmd, 1, &err), TS_E_INVAL);
    assert_status(ts_npu_bo_init(&(ts_npu_bo){0}, r.dev, TS_NPU_SHARED, 0, "nothing", &err), TS_E_INVAL);
    assert_status(ts_npu_bo_init(&(ts_npu_bo){0}, r.dev, TS_NPU_SHARED, SIZE_MAX, "all", &err), TS_E_INVAL);
    rig other = {0};
    plan(&other, 1);
    ts_npu_cmd *cmd;
    assert_status(ts_npu_cmd_new(&cmd, r.ctx, other.command, &err),
                  TS_E_INVAL); /* checked against another configuration */
    unplan(&other);
    ts_npu_bo_fini(&small);
    ts_npu_bo_fini(&small);
    ts_npu_bo_fini(NULL);
    ts_npu_ctx_free(NULL);
    ts_npu_cmd_free(NULL);
    ts_npu_dev_close(NULL);
    bring_down(&r);
    assert_clean(&r);
    ts_fake_free(r.fake);
    unplan(&r);
}

static void note_injected(void *ud, const ts_fake_verdict *v) {
    *(bool *)ud |= !strcmp(v->text, "injected");
}

/* Every call of a whole run fails once, with every error that a kernel gives: the run either recovers or stops
 * with one line, nothing leaks, and the node never sees a wrong order. */
static void test_every_call_fails(void **state) {
    (void)state;
    static const uint32_t requests[] = {TS_FAKE_OPEN,
                                        TS_FAKE_MMAP,
                                        TS_IOCTL_VERSION,
                                        TS_IOCTL_GET_INFO,
                                        TS_IOCTL_CREATE_BO,
                                        TS_IOCTL_GET_BO_INFO,
                                        TS_IOCTL_CREATE_HWCTX,
                                        TS_IOCTL_CONFIG_HWCTX,
                                        TS_IOCTL_EXEC_CMD,
                                        TS_IOCTL_SYNCOBJ_WAIT,
                                        TS_IOCTL_DESTROY_HWCTX,
                                        TS_IOCTL_GEM_CLOSE,
                                        TS_IOCTL_SYNCOBJ_DESTROY};
    static const int errors[] = {EINTR,  EAGAIN,     EINVAL, ENOSPC, ENOMEM, EIO,   EBUSY,
                                 ENODEV, EOPNOTSUPP, ENOENT, EACCES, ETIME,  EPROTO};
    int stopped = 0, recovered = 0;
    rig r = {0};
    plan(&r, 1);
    for (size_t q = 0; q < sizeof requests / sizeof requests[0]; q++)
        for (size_t k = 0; k < sizeof errors / sizeof errors[0]; k++)
            for (int nth = 1;; nth++) {
                ts_err err = {.msg = ""};
                rig x = r;
                bool hit = false;
                assert_ok(node(&x,
                               (ts_fake_options){.profile = (ts_fake_profile)((nth + (int)k) % TS_FAKE_PROFILES),
                                                 .on_verdict = note_injected,
                                                 .on_verdict_ud = &hit},
                               &err));
                ts_fake_fail(x.fake, requests[q], nth, errors[k]);
                ts_status s = bring_up(&x, &err);
                if (s == TS_OK) s = loop_once(&x, 1, &err);
                bool ending = requests[q] == TS_IOCTL_DESTROY_HWCTX || requests[q] == TS_IOCTL_GEM_CLOSE ||
                              requests[q] == TS_IOCTL_SYNCOBJ_DESTROY;
                bool soft = errors[k] == EINTR || errors[k] == EAGAIN;
                if (s != TS_OK) {
                    stopped++;
                    if (soft && requests[q] > 100)
                        fail_msg("request 0x%x, error %d: not tried again: %s", requests[q], errors[k],
                                 err.msg);
                    if (strncmp(err.msg, "NPU: ", 5) && !strstr(err.msg, ": NPU: "))
                        fail_msg("not a line for people: %s", err.msg);
                    assert_true(strlen(err.msg) > 30 && !strchr(err.msg, '\n'));
                    assert_true(err.code == s);
                } else {
                    recovered++;
                }
                bring_down(&x);
                if (!ending)
                    assert_clean(&x); /* a refused end leaves things behind: the file's end cleans up */
                ts_fake_free(x.fake);
                if (!hit) break; /* there is no nth call of that kind */
            }
    print_message("%d runs stopped with a message, %d went through\n", stopped, recovered);
    assert_true(stopped > 250 && recovered > 200);
    unplan(&r);
}

/* A gate in front of the fake node: an old driver, whose waits end 60 s after the submission; a person who stops
 * after a while; a program whose context goes while this one waits for room. */
static struct {
    ts_npu_io io;
    const ts_npu_io *fake;
    bool old;               /* no wait ends earlier than 59 s after its command */
    uint64_t submitted;
    int refusal;            /* of every context */
    int destroyed, created, lines, asked;
    int stop_after;         /* questions, 0: never */
    rig *leaver;            /* brought down in the pause number leave_in */
    int64_t ended;          /* its contexts are hidden from pause number leave_in on */
    int pauses, leave_in;
    const char *line;       /* lines with this are counted */
} gate;

static int gate_ioctl(void *ud, int fd, uint32_t request, void *arg) {
    const struct ts_uapi_syncobj_timeline_wait *w = arg;
    gate.destroyed += request == TS_IOCTL_DESTROY_HWCTX;
    gate.created += request == TS_IOCTL_CREATE_HWCTX;
    if (request == TS_IOCTL_EXEC_CMD) gate.submitted = gate.fake->now_ns(ud);
    if (request == TS_IOCTL_CREATE_HWCTX && gate.refusal) return -gate.refusal;
    if (request == TS_IOCTL_SYNCOBJ_WAIT && gate.old &&
        w->timeout_nsec - (int64_t)gate.submitted < INT64_C(59000000000))
        return -ETIME;
    int r = gate.fake->ioctl(ud, fd, request, arg);
    const struct ts_uapi_get_info *g = arg;
    if (request == TS_IOCTL_GET_INFO && g->param == TS_UAPI_INFO_HW_CONTEXTS && gate.leave_in &&
        gate.pauses >= gate.leave_in) {
        struct ts_uapi_hwctx_entry *to = (struct ts_uapi_hwctx_entry *)(uintptr_t)g->buffer;
        for (const struct ts_uapi_hwctx_entry *from = to; from->num_col; from++)
            if (from->pid != gate.ended) *to++ = *from;
        to->num_col = 0;
    }
    return r;
}

static int gate_pause(void *ud, uint64_t ns) {
    if (++gate.pauses == gate.leave_in && gate.leaver) bring_down(gate.leaver);
    return gate.pauses % 7 ? gate.fake->pause(ud, ns) : -EINTR; /* a signal that nobody has asked for */
}

static bool gate_stop(void *ud) {
    (void)ud;
    return ++gate.asked == gate.stop_after;
}

static void count_line(void *ud, ts_log_level level, const char *line) {
    (void)ud, (void)level;
    gate.lines += strstr(line, gate.line) != NULL;
}

static void gate_open(ts_fake *fake, const char *line) {
    memset(&gate, 0, sizeof gate);
    gate.fake = ts_fake_io(fake);
    gate.io = *gate.fake;
    gate.io.ioctl = gate_ioctl;
    gate.io.pause = gate_pause;
    gate.line = line;
    ts_log_sink(count_line, NULL, TS_LOG_DEBUG);
}

/* An old driver gives a command up after 60 s only: a wait that ends earlier has no answer yet. */
static void test_patience(void **state) {
    (void)state;
    ts_err err;
    rig r = {0};
    plan(&r, 1);
    assert_ok(node(&r, (ts_fake_options){.profile = TS_FAKE_6_14}, &err));
    gate_open(r.fake, "no end after 10 s");
    gate.old = true;
    assert_ok(bring_up_through(&r, &gate.io, &err));
    ts_npu_dev_stop_by(r.dev, (ts_npu_stop){gate_stop, NULL});
    ts_fake_end_command(r.fake, 1, TS_FAKE_END_TIMEOUT);
    assert_ok(submit(&r, &err));
    assert_status(ts_npu_cmd_wait(r.cmd, TS_NPU_TIMEOUT_NS, &err), TS_E_DEVICE);
    assert_non_null(strstr(err.msg, "ended as TIMEOUT")); /* the driver's word, not ours */
    assert_int_equal(gate.lines, 1);
    assert_in_range(gate.asked, 500, 600);
    assert_int_equal(gate.destroyed, 0);
    assert_ok(ts_npu_ctx_recover(r.ctx, &err));
    ts_fake_end_command(r.fake, 1, TS_FAKE_END_TIMEOUT); /* and at the end of a command that nobody waited for */
    assert_ok(submit(&r, &err));
    ts_npu_cmd_free(r.cmd);
    r.cmd = NULL;
    assert_int_equal(gate.lines, 2);
    assert_int_equal(gate.destroyed, 1);
    ts_log_sink(NULL, NULL, TS_LOG_INFO);
    bring_down(&r);
    assert_clean(&r);
    ts_fake_free(r.fake);
    unplan(&r);
}

/* Whoever does not want to wait for a command that does not end need not: the context goes, then all that it used,
 * and another can be made. A command that takes its time is not given up because of it. */
static void test_stop(void **state) {
    (void)state;
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (int how = 0; how < 3; how++) {
            ts_err err;
            rig r = {0};
            plan(&r, 1);
            assert_ok(node(&r, (ts_fake_options){.profile = (ts_fake_profile)profile}, &err));
            gate_open(r.fake, "no end after 10 s");
            assert_ok(bring_up_through(&r, &gate.io, &err));
            ts_npu_dev_stop_by(r.dev, (ts_npu_stop){gate_stop, NULL});
            gate.stop_after = 1;
            assert_ok(loop_once(&r, 1, &err));
            assert_int_equal(gate.asked, 0);
            gate.stop_after = how == 1 ? 120 : 12;
            ts_fake_end_command(r.fake, 1, TS_FAKE_END_LOST);
            assert_ok(submit(&r, &err));
            if (how < 2) {
                uint64_t begin = gate.io.now_ns(gate.io.ud);
                assert_status(ts_npu_cmd_wait(r.cmd, TS_NPU_TIMEOUT_NS, &err), TS_E_CANCELLED);
                assert_string_equal(err.msg, how ? "NPU: stopped; a command had no end after 12.9 s"
                                                 : "NPU: stopped; a command had no end after 2.1 s");
                assert_true(gate.io.now_ns(gate.io.ud) - begin < UINT64_C(13500000000));
                assert_int_equal(gate.lines, how);
            } else {
                ts_npu_cmd_free(r.cmd); /* also where nobody hears of it */
                r.cmd = NULL;
                assert_int_equal(gate.asked, 12);
            }
            if (how == 1) {
                assert_ok(ts_npu_ctx_recover(r.ctx, &err));
                assert_ok(loop_once(&r, 2, &err));
            }
            ts_log_sink(NULL, NULL, TS_LOG_INFO);
            bring_down(&r);
            assert_clean(&r);
            ts_fake_free(r.fake);
            unplan(&r);
        }
}

/* Columns that another program holds in another width: it is waited for up to 3 s, and told; when it goes, there is
 * room. */
static void test_room(void **state) {
    (void)state;
    rig p = {0};
    plan(&p, 4);
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (int how = 0; how < 3; how++) {
            ts_err err;
            rig r = p, other = {0};
            plan(&other, 1);
            assert_ok(node(&r, (ts_fake_options){.profile = (ts_fake_profile)profile}, &err));
            other.fake = r.fake;
            assert_ok(bring_up(&other, &err));
            gate_open(r.fake, "waiting up to 3 s for columns that others hold (columns 1-1: process ");
            gate.leaver = &other;
            gate.leave_in = how == 0 ? 11 : 0;
            const uint64_t begin = gate.io.now_ns(gate.io.ud);
            assert_ok(ts_npu_dev_open(&r.dev, &gate.io, "/dev/accel/accel0", &err));
            ts_npu_dev_stop_by(r.dev, (ts_npu_stop){gate_stop, NULL});
            gate.stop_after = how == 2 ? 5 : 0;
            assert_ok(ts_npu_bo_init(&r.in, r.dev, TS_NPU_SHARED, 4 * WORDS * 4, "input", &err));
            assert_ok(ts_npu_bo_init(&r.out, r.dev, TS_NPU_SHARED, 4 * WORDS * 4, "output", &err));
            ts_status s = ts_npu_ctx_new(&r.ctx, r.dev, r.config, &err);
            const uint64_t ns = gate.io.now_ns(gate.io.ud) - begin;
            if (how == 0) {
                assert_ok(s);
                assert_int_equal(gate.created, 12);
                assert_ok(ts_npu_cmd_new(&r.cmd, r.ctx, r.command, &err));
                assert_ok(loop_once(&r, 1, &err));
            } else if (how == 1) {
                assert_status(s, TS_E_DEVICE);
                assert_non_null(
                    strstr(err.msg,
                           "hold some of them in another width; close them and try again (columns 1-1: process "));
                assert_int_equal(err.os_errno, ENODEV);
                assert_true(ns >= UINT64_C(3000000000) && ns < UINT64_C(3500000000));
            } else {
                assert_status(s, TS_E_CANCELLED);
                assert_non_null(strstr(err.msg, "NPU: stopped while others held the columns (columns 1-1: process "));
                assert_int_equal(gate.created, 5);
            }
            assert_int_equal(gate.lines, 1);
            ts_log_sink(NULL, NULL, TS_LOG_INFO);
            bring_down(&r);
            if (how) bring_down(&other);
            assert_clean(&r);
            ts_fake_free(r.fake);
            unplan(&other);
        }
    unplan(&p);
}

/* Who else is on a context's columns? Only where nobody is may anything be left in the array. */
static void test_sharers(void **state) {
    (void)state;
    static const struct {
        ts_fake_user user;
        int n;
    } k[] = {{{4711, 3, 2}, 0}, {{4711, 3, 1}, 0}, {{4711, 1, 1}, 1}, {{4711, 1, 2}, 1}, {{4711, 2, 3}, 1}};
    rig p = {0};
    plan(&p, 2);
    for (size_t i = 0; i < TS_FAKE_PROFILES * (sizeof k / sizeof k[0]); i++) {
        ts_err err;
        rig r = p;
        assert_ok(node(&r, (ts_fake_options){.profile = (ts_fake_profile)(i % TS_FAKE_PROFILES)}, &err));
        assert_ok(bring_up(&r, &err));
        assert_int_equal(ts_npu_ctx_sharers(r.ctx), 0);
        ts_fake_add_user(r.fake, &k[i / TS_FAKE_PROFILES].user);
        assert_int_equal(ts_npu_ctx_sharers(r.ctx), k[i / TS_FAKE_PROFILES].n);
        ts_fake_fail(r.fake, TS_IOCTL_GET_INFO, 1, EOPNOTSUPP);
        assert_int_equal(ts_npu_ctx_sharers(r.ctx), -1);
        bring_down(&r);
        assert_clean(&r);
        ts_fake_free(r.fake);
    }
    unplan(&p);
}

/* A program that was killed has a command under way on the columns that this one gets: its context is waited for,
 * not the living ones'. */
static void test_ended(void **state) {
    (void)state;
    rig p = {0};
    plan(&p, 4);
    const pid_t zombie = fork(), gone = fork();
    assert_true(zombie >= 0 && gone >= 0);
    if (zombie == 0 || gone == 0) _exit(0);
    assert_int_equal(waitpid(gone, NULL, 0), gone);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    const struct {
        int64_t pid;
        int leave_in, stop_after, lines;
        ts_status status;
    } k[] = {{gone, 0, 0, 1, TS_OK},          {gone, 9, 0, 1, TS_OK},      {zombie, 9, 0, 1, TS_OK},
             {gone, 0, 4, 1, TS_E_CANCELLED}, {getppid(), 0, 0, 0, TS_OK}, {0, 0, 0, 0, TS_OK}};
    for (size_t i = 0; i < TS_FAKE_PROFILES * (sizeof k / sizeof k[0]); i++) {
        ts_err err;
        rig r = p;
        const size_t c = i / TS_FAKE_PROFILES;
        ts_fake_options o = {.profile = (ts_fake_profile)(i % TS_FAKE_PROFILES),
                             .n_users = 1,
                             .users = {{.pid = k[c].pid, .start_col = 1, .n_cols = 4}}};
        assert_ok(node(&r, o, &err));
        gate_open(r.fake, "waiting up to 3 s for the last command of process ");
        gate.ended = k[c].pid;
        gate.leave_in = k[c].leave_in;
        gate.stop_after = k[c].stop_after;
        const uint64_t begin = gate.io.now_ns(gate.io.ud);
        assert_ok(ts_npu_dev_open(&r.dev, &gate.io, "/dev/accel/accel0", &err));
        ts_npu_dev_stop_by(r.dev, (ts_npu_stop){gate_stop, NULL});
        assert_status(ts_npu_ctx_new(&r.ctx, r.dev, r.config, &err), k[c].status);
        assert_int_equal(gate.lines, k[c].lines);
        if (k[c].leave_in) assert_int_equal(gate.pauses, k[c].leave_in);
        else if (k[c].lines && !k[c].stop_after)
            assert_true(gate.io.now_ns(gate.io.ud) - begin >= UINT64_C(3000000000));
        else assert_true(gate.pauses < 5);
        ts_log_sink(NULL, NULL, TS_LOG_INFO);
        bring_down(&r);
        assert_clean(&r);
        ts_fake_free(r.fake);
    }
    assert_int_equal(waitpid(zombie, NULL, 0), zombie);
    unplan(&p);
}

/* A kernel may write more than it is asked for: as much as its structure has. */
static int wide_ioctl(void *ud, int fd, uint32_t request, void *arg) {
    int r = gate.fake->ioctl(ud, fd, request, arg);
    const struct ts_uapi_get_info *g = arg;
    if (r == 0 && request == TS_IOCTL_GET_INFO)
        memset((char *)(uintptr_t)g->buffer + (g->param == TS_UAPI_INFO_HW_CONTEXTS ? 2048 : 64), 0x55, 64);
    return r;
}

static void test_wide_answers(void **state) {
    (void)state;
    ts_err err;
    rig r = {0};
    plan(&r, 2);
    assert_ok(node(&r, (ts_fake_options){.profile = TS_FAKE_6_18}, &err));
    gate_open(r.fake, "");
    gate.io.ioctl = wide_ioctl;
    assert_ok(ts_npu_dev_query(&r.dev, &gate.io, "/dev/accel/accel0", &err));
    assert_true(!r.dev->heap && !r.dev->heap_handle && !r.dev->stop.asked);
    ts_npu_dev_close(r.dev);
    assert_ok(bring_up_through(&r, &gate.io, &err));
    uint32_t controller = 0, array = 0;
    assert_true(ts_npu_clocks(r.dev, &controller, &array) && controller == 847 && array == 1600);
    assert_ok(loop_once(&r, 1, &err));
    ts_log_sink(NULL, NULL, TS_LOG_INFO);
    bring_down(&r);
    assert_clean(&r);
    ts_fake_free(r.fake);
    unplan(&r);
}

/* Where a shared buffer is for the device: what the driver says, before it is mapped or after; the pointer where it
 * does not. */
static struct {
    uint64_t before, after;
    void *mapped;
} told;

static int told_ioctl(void *ud, int fd, uint32_t request, void *arg) {
    int r = gate.fake->ioctl(ud, fd, request, arg);
    if (r == 0 && request == TS_IOCTL_GET_BO_INFO &&
        ((struct ts_uapi_get_bo_info *)arg)->map_offset != TS_UAPI_INVALID_ADDR)
        ((struct ts_uapi_get_bo_info *)arg)->xdna_addr = told.mapped ? told.after : told.before;
    return r;
}

static int told_mmap(void *ud, int fd, void *want, size_t len, uint64_t offset, void **out) {
    int r = gate.fake->mmap(ud, fd, want, len, offset, out);
    if (r == 0) told.mapped = *out;
    return r;
}

static void test_addresses(void **state) {
    (void)state;
    const uint64_t none = TS_UAPI_INVALID_ADDR, iova = UINT64_C(0x7fffe00000);
    const struct {
        uint64_t before, after;
        bool pointer;
    } k[] = {{none, none, true} /* 6.18 and before */,
             {none, 0, true},
             {iova, iova, false} /* 7.3 with force_iova or a carveout */,
             {none, iova, false}};
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_err err;
        rig r = {0};
        ts_npu_bo bo;
        assert_ok(node(&r, (ts_fake_options){0}, &err));
        gate_open(r.fake, "");
        assert_ok(ts_npu_dev_open(&r.dev, &gate.io, "/dev/accel/accel0", &err));
        gate.io.ioctl = told_ioctl;
        gate.io.mmap = told_mmap;
        told.before = k[i].before, told.after = k[i].after, told.mapped = NULL;
        assert_ok(ts_npu_bo_init(&bo, r.dev, TS_NPU_SHARED, 8192, "a buffer", &err));
        assert_ptr_equal(bo.ptr, told.mapped);
        assert_true(bo.addr == (k[i].pointer ? (uint64_t)(uintptr_t)bo.ptr : iova));
        ts_npu_bo_fini(&bo);
        ts_log_sink(NULL, NULL, TS_LOG_INFO);
        ts_npu_dev_close(r.dev);
        assert_clean(&r);
        ts_fake_free(r.fake);
    }
}

/* What a kernel says where there is no context to be had, who is named, and whether it is tried again: not where
 * nothing can come free. */
static void test_refusals(void **state) {
    (void)state;
    static const struct {
        int error, n_users, tries;
        const char *text;
    } k[] = {
        {ENOSPC, 1, 35, "all columns are taken by other programs: close them and try again (columns 1-4: process 1)"},
        {EBUSY, 1, 35, "all 6 contexts of the NPU are taken: close some and try again (columns 1-4: process 1)"},
        {ENODEV, 2, 35,
         "other programs hold some of them in another width; close them and try again (columns 1-4: process 1, columns "
         "1-4: process 2)"},
        {ENODEV, 0, 35,
         "the driver has no columns for it, and names no program that holds any: perhaps its firmware has stopped; see "
         "the kernel log "},
        {EINVAL, 6, 35,
         "(Invalid argument): all 6 contexts of the NPU are taken: close some and try again (columns 1-4: process 1, "
         "columns 1-4: process 2, columns 1-4: process 3, "},
        {EINVAL, 5, 1, "(Invalid argument): the firmware refuses the context. After an earlier hang "},
        {EAGAIN, 1, 35, "(Resource temporarily unavailable): "},
        {EAGAIN, 0, 17, "(Resource temporarily unavailable): "},
        {EIO, 6, 1, "the firmware does not answer"},
        {ENOMEM, 6, 1, "not enough memory"},
    };
    rig p = {0};
    plan(&p, 4);
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        ts_err err;
        rig r = p;
        ts_fake_options o = {.profile = (ts_fake_profile)(i % TS_FAKE_PROFILES), .n_users = k[i].n_users};
        for (int u = 0; u < o.n_users; u++) o.users[u] = (ts_fake_user){.pid = u + 1, .start_col = 1, .n_cols = 4};
        assert_ok(node(&r, o, &err));
        gate_open(r.fake, "waiting up to 3 s");
        gate.refusal = k[i].error;
        assert_status(bring_up_through(&r, &gate.io, &err), k[i].error == ENOMEM ? TS_E_NOMEM : TS_E_DEVICE);
        if (!strstr(err.msg, k[i].text)) fail_msg("case %zu: \"%s\"", i, err.msg);
        if (!k[i].n_users || k[i].tries == 1) assert_null(strstr(err.msg, "(columns"));
        assert_int_equal(err.os_errno, k[i].error);
        if (k[i].error != EAGAIN) assert_int_equal(gate.created, k[i].tries);
        assert_int_equal(gate.lines, k[i].tries == 35);
        ts_log_sink(NULL, NULL, TS_LOG_INFO);
        bring_down(&r);
        assert_clean(&r);
        ts_fake_free(r.fake);
    }
    unplan(&p);
}

static void test_endings(void **state) {
    (void)state;
    static const struct {
        ts_fake_ending ending;
        const char *text;
        bool dead;
    } k[] = {
        {TS_FAKE_END_ERROR, "NPU: the command ended as ERROR: the firmware reports an error", false},
        {TS_FAKE_END_ABORT, "NPU: the command ended as ABORT: the driver gave it up", true},
        {TS_FAKE_END_TIMEOUT, "NPU: the command ended as TIMEOUT: it did not end in time", true},
        {TS_FAKE_END_NORESPONSE, "NPU: the command ended as NORESPONSE: the firmware does not answer", true},
        {TS_FAKE_END_LOST, "NPU: waiting for the NPU failed (Timer expired): no answer in time", true}};
    rig plan_only = {0};
    plan(&plan_only, 2);
    for (int profile = 0; profile < TS_FAKE_PROFILES; profile++)
        for (size_t i = 0; i < 5; i++) {
            ts_err err;
            rig r = plan_only;
            assert_ok(node(&r, (ts_fake_options){.profile = (ts_fake_profile)profile}, &err));
            assert_ok(bring_up(&r, &err));
            assert_ok(loop_once(&r, 1, &err));
            ts_fake_end_command(r.fake, 1, k[i].ending);
            assert_ok(submit(&r, &err));
            assert_status(ts_npu_cmd_wait(r.cmd, 2000000, &err), TS_E_DEVICE);
            if (strncmp(err.msg, k[i].text, strlen(k[i].text)))
                fail_msg("\"%s\", wanted \"%s\"", err.msg, k[i].text);
            assert_int_equal(r.ctx->dead, k[i].dead);
            if (k[i].dead) {
                assert_status(submit(&r, &err), TS_E_DEVICE);
                assert_non_null(strstr(err.msg, "the context is dead after an earlier failure"));
            }
            assert_ok(ts_npu_ctx_recover(r.ctx, &err)); /* and all is well again */
            assert_false(r.ctx->dead);
            assert_ok(loop_once(&r, 2, &err));
            assert_int_equal(r.array.loads, 2);
            bring_down(&r);
            assert_clean(&r);
            ts_fake_free(r.fake);
        }
    unplan(&plan_only);
}

/* A lost command and then the end, without recovery: the context goes first, then what it used. */
static void test_end_after_loss(void **state) {
    (void)state;
    for (int how = 0; how < 3; how++) {
        ts_err err;
        rig r = {0};
        plan(&r, 1);
        assert_ok(node(&r, (ts_fake_options){.profile = TS_FAKE_7_3}, &err));
        assert_ok(bring_up(&r, &err));
        ts_fake_end_command(r.fake, 1, TS_FAKE_END_LOST);
        assert_ok(submit(&r, &err));
        assert_status(ts_npu_cmd_wait(r.cmd, 1000000, &err), TS_E_DEVICE);
        if (how == 1) { /* recovery itself fails, then works */
            ts_fake_fail(r.fake, TS_IOCTL_CREATE_HWCTX, 1, EIO);
            assert_status(ts_npu_ctx_recover(r.ctx, &err), TS_E_DEVICE);
            assert_status(submit(&r, &err), TS_E_DEVICE);
            assert_status(ts_npu_cmd_wait(r.cmd, 1000000, &err), TS_E_DEVICE); /* it went with its context */
            assert_ok(ts_npu_ctx_recover(r.ctx, &err));
            assert_ok(loop_once(&r, 3, &err));
        }
        if (how == 2) {
            ts_fake_unplug(r.fake);
            assert_status(ts_npu_ctx_recover(r.ctx, &err), TS_E_DEVICE);
            assert_non_null(strstr(err.msg, "the NPU is gone"));
        }
        bring_down(&r);
        assert_clean(&r);
        ts_fake_free(r.fake);
        unplan(&r);
    }
}

/* The array itself hangs or refuses: the same words as for the real thing. */
static void test_array_failures(void **state) {
    (void)state;
    ts_err err;
    rig r = {0};
    plan(&r, 1);
    /* later ones find out with the first command */
    assert_ok(node(&r, (ts_fake_options){.profile = TS_FAKE_6_14}, &err));
    r.array.refuse_pdi = true;
    assert_status(bring_up(&r, &err), TS_E_DEVICE);
    assert_non_null(strstr(err.msg, "the firmware refuses the configuration"));
    bring_down(&r);
    ts_fake_forgive(r.fake); /* the refusal counts as a broken rule: the PDI was wrong */
    r.array.refuse_pdi = false;
    assert_ok(bring_up(&r, &err));
    r.array.channel[0][TS_S2MM][0].n =
        TS_DMA_QUEUE_DEPTH; /* a full queue: the task is dropped, its token never comes */
    r.array.channel[0][TS_S2MM][0].task[0] = (loop_task){.bd = {.words = 1 << 20}, .repeat = 1};
    assert_ok(submit(&r, &err));
    assert_status(ts_npu_cmd_wait(r.cmd, 1000000, &err), TS_E_DEVICE);
    assert_non_null(strstr(err.msg, "TIMEOUT"));
    assert_string_equal(ts_fake_last(r.fake)->text, "column 0 waits for a token that never comes");
    assert_ok(ts_npu_ctx_recover(r.ctx, &err));
    assert_ok(loop_once(&r, 5, &err));
    bring_down(&r);
    assert_clean(&r);
    ts_fake_free(r.fake);
    unplan(&r);
}

/* Words for what a person can do something about. */
static void test_messages(void **state) {
    (void)state;
    static const struct {
        ts_fake_options o;
        uint32_t request;
        int error;
        ts_status status;
        const char *text;
        int nth; /* of that request; 0: the first */
    } k[] = {
        {{.driver_name = "ivpu"}, 0, 0, TS_E_UNSUPP, "belongs to the driver \"ivpu\""},
        {{.cols = 8}, 0, 0, TS_E_UNSUPP, "8 columns and 6 rows; Tessera runs on XDNA1"},
        {{.firmware = {1, 4, 9, 100}}, 0, 0, TS_E_UNSUPP, "firmware 1.4.9.100 is too old: update linux-firmware"},
        {{.firmware = {1, 5, 1, 999}}, 0, 0, TS_E_UNSUPP, "too old"},
        {{.firmware = {1, 5, 2, 380}}, 0, 0, TS_OK, ""},
        {{.users = {{.pid = 4711, .start_col = 1, .n_cols = 4}}, .n_users = 1},
         0,
         0,
         TS_E_DEVICE,
         "hold some of them in another width; close them and try again (columns 1-4: process 4711)"},
        {{.users = {{.pid = 4712, .start_col = 1, .n_cols = 1}, {.pid = 4713, .start_col = 3, .n_cols = 1}},
          .n_users = 2},
         0,
         0,
         TS_E_DEVICE,
         "(columns 1-1: process 4712, columns 3-3: process 4713)"},
        {{.users = {{.pid = 4711, .start_col = 1, .n_cols = 2}, {.pid = 4712, .start_col = 3, .n_cols = 2}},
          .n_users = 2},
         0,
         0,
         TS_OK, /* of the width that we want: shared */
         ""},
        {{.users = {{1, 1, 1}, {2, 1, 1}, {3, 1, 1}, {4, 1, 1}, {5, 1, 1}, {6, 1, 1}}, .n_users = 6},
         0,
         0,
         TS_E_DEVICE,
         "all 6 contexts of the NPU are taken"},
        {{0}, TS_FAKE_OPEN, EACCES, TS_E_DEVICE, "add yourself to the group \"render\""},
        {{0}, TS_FAKE_OPEN, ENODEV, TS_E_DEVICE, "remove amd_iommu=off"},
        {{0}, TS_FAKE_OPEN, EINVAL, TS_E_DEVICE, "or load the driver with force_iova=1"},
        {{0}, TS_FAKE_OPEN, EOPNOTSUPP, TS_E_DEVICE, "shared virtual addressing"},
        {{0}, TS_FAKE_OPEN, ENOSPC, TS_E_DEVICE, "IOMMU has no address space left"},
        {{0}, TS_FAKE_OPEN, ENOENT, TS_E_DEVICE, "driver is not loaded"},
        {{0}, TS_IOCTL_CREATE_BO, EPERM, TS_E_DEVICE, "64 MiB heap"},
        {{0}, TS_IOCTL_CREATE_HWCTX, EINVAL, TS_E_DEVICE, "update the kernel and linux-firmware"},
        {{0}, TS_IOCTL_CREATE_HWCTX, EIO, TS_E_DEVICE, "reboot"},
        {{0}, TS_IOCTL_CONFIG_HWCTX, EINVAL, TS_E_DEVICE, "dmesg | grep amdxdna"},
        {{0}, TS_IOCTL_CREATE_HWCTX, EINVAL, TS_E_DEVICE, "After an earlier hang of the NPU it does until you reboot"},
        {{0}, TS_IOCTL_CREATE_BO, ENOSPC, TS_E_NOMEM,
         "heap failed (No space left on device): not enough memory for 64 MiB of device heap"},
        {{0}, TS_IOCTL_CREATE_BO, ENOSPC, TS_E_NOMEM,
         "input (8192 bytes): NPU: creating an NPU buffer failed (No space left on device): not enough memory", 2},
        {{0}, TS_IOCTL_CREATE_BO, ENOSPC, TS_E_DEVICE,
         "bytes): NPU: creating an NPU buffer failed (No space left on device): the device heap is full", 4},
        {{0}, TS_IOCTL_EXEC_CMD, EFAULT, TS_E_DEVICE, "memory of its buffers is gone"},
        {{0}, TS_IOCTL_CREATE_BO, ENODEV, TS_E_DEVICE, "the NPU is gone"},
        {{0}, TS_FAKE_MMAP, ENOMEM, TS_E_NOMEM, "not enough memory for 64 MiB"},
        {{0}, TS_FAKE_MMAP, EAGAIN, TS_E_DEVICE, "raise the memlock limit"},
    };
    rig p = {0};
    plan(&p, 2);
    for (size_t i = 0; i < TS_FAKE_PROFILES * (sizeof k / sizeof k[0]); i++) {
        ts_err err = {.msg = ""};
        rig r = p;
        ts_fake_options o = k[i / TS_FAKE_PROFILES].o;
        o.profile = (ts_fake_profile)(i % TS_FAKE_PROFILES);
        assert_ok(node(&r, o, &err));
        if (k[i / TS_FAKE_PROFILES].request)
            ts_fake_fail(r.fake, k[i / TS_FAKE_PROFILES].request,
                         k[i / TS_FAKE_PROFILES].nth ? k[i / TS_FAKE_PROFILES].nth : 1, k[i / TS_FAKE_PROFILES].error);
        ts_status s = bring_up(&r, &err);
        if (s == TS_OK && k[i / TS_FAKE_PROFILES].error) s = loop_once(&r, 1, &err);
        if (s != k[i / TS_FAKE_PROFILES].status || !strstr(err.msg, k[i / TS_FAKE_PROFILES].text))
            fail_msg("case %zu: status %d, \"%s\"", i, s, err.msg);
        if (k[i / TS_FAKE_PROFILES].error) assert_int_equal(err.os_errno, k[i / TS_FAKE_PROFILES].error);
        bring_down(&r);
        assert_clean(&r);
        ts_fake_free(r.fake);
    }
    unplan(&p);
}

/* Every symptom of docs/npu/driver.md has a line of its own. */
static void test_advice(void **state) {
    (void)state;
    static const struct {
        ts_npu_step step;
        int error;
    } symptoms[] = {{TS_NPU_OPEN, ENOENT},     {TS_NPU_OPEN, EACCES},    {TS_NPU_OPEN, ENODEV},
                    {TS_NPU_OPEN, EOPNOTSUPP}, {TS_NPU_OPEN, ENOSPC},    {TS_NPU_CONTEXT, ENOENT},
                    {TS_NPU_CONTEXT, EINVAL},  {TS_NPU_CONTEXT, ENOSPC}, {TS_NPU_CONTEXT, EBUSY},
                    {TS_NPU_CONFIG, EINVAL},   {TS_NPU_SUBMIT, EIO},     {TS_NPU_WAIT, ETIME},
                    {TS_NPU_MEMORY, EAGAIN},   {TS_NPU_HEAP, EAGAIN},    {TS_NPU_QUERY, EOPNOTSUPP}};
    const char *general = ts_npu_advice(TS_NPU_WAIT, EPROTO);
    for (size_t i = 0; i < sizeof symptoms / sizeof symptoms[0]; i++)
        assert_string_not_equal(ts_npu_advice(symptoms[i].step, symptoms[i].error), general);
    for (int step = 0; step < TS_NPU_STEPS; step++)
        for (int e = 1; e < 140; e++) assert_true(strlen(ts_npu_advice((ts_npu_step)step, e)) > 10);
    static const uint32_t status[] = {0x1000001, 0x100000c, 0x2000003, 0x2000006,
                                      0x3000003, 0x4000002, 0x4000003};
    for (size_t i = 0; i < 7; i++) assert_string_not_equal(ts_npu_firmware_text(status[i]), "unknown");
    assert_string_equal(ts_npu_firmware_text(0x100000d), "unknown");
    assert_string_equal(ts_npu_state_name(TS_CMD_TIMEOUT), "TIMEOUT");
    assert_string_equal(ts_npu_state_name(0), "unknown state");
    assert_string_equal(ts_npu_state_name(15), "unknown state");
    for (uint32_t s = 0; s < 16; s++) assert_true(strlen(ts_npu_state_text(s)) > 5);
    static const char *const lines[] = {
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_hw_start: firmware is not alive",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* Invalid mbox magic 0x0",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* Incompatible firmware protocol major 5 minor 5",
        "amdxdna 0000:c4:00.1: Direct firmware load for amdnpu/1502_00/npu.sbin failed with error -2",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_init: Running under hypervisor not supported",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_init: Running without IOMMU not supported",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* amdxdna_drm_open: PASID unavailable and carveout not configured",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* amdxdna_sva_init: SVA bind device failed, ret -95",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_init: failed to request_firmware amdnpu/1502_00/, ret -2",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* failed to validate fw, ret -5",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_tdr_detect: TDR timeout detected",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_alloc_resource: Allocate AIE resource failed, ret -19",
        "amdxdna: create context failed, status 0x2000003",
        "amdxdna: status 0x2000006",
        "amdxdna: load pdi 0x3000003",
        "amdxdna: 0x4000002",
        "amdxdna: 0x4000003",
        "amdxdna: async error 0x1000005",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_execbuf: Command bo size 4096 too large",
        "amdxdna 0000:c4:00.1: [drm] *ERROR* aie2_sched_job_run: failed, ret -22",
        "AMD-Vi: Event logged [IO_PAGE_FAULT device=c4:00.1 domain=0x0010 address=0x80000000 flags=0x0020]"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!ts_npu_log_advice(lines[i])) fail_msg("no advice for: %s", lines[i]);
    assert_null(ts_npu_log_advice("amdxdna 0000:c4:00.1: enabling device (0000 -> 0002)"));
}

static rig alloc_plan;

static bool whole_run(void *ud) {
    (void)ud;
    rig r = alloc_plan;
    ts_err err;
    if (node(&r, (ts_fake_options){.profile = TS_FAKE_7_3}, &err) != TS_OK) return false;
    bool ok = bring_up(&r, &err) == TS_OK && loop_once(&r, 1, &err) == TS_OK;
    bring_down(&r);
    assert_clean(&r);
    ts_fake_free(r.fake);
    return ok;
}

static void test_alloc(void **state) {
    (void)state;
    plan(&alloc_plan, 1);
    alloc_fail_loop(whole_run, NULL, false);
    unplan(&alloc_plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),           cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_bad_calls),      cmocka_unit_test(test_every_call_fails),
        cmocka_unit_test(test_patience),       cmocka_unit_test(test_sharers),
        cmocka_unit_test(test_stop),           cmocka_unit_test(test_room),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_wide_answers),   cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_endings),        cmocka_unit_test(test_end_after_loss),
        cmocka_unit_test(test_array_failures), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_advice),         cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("driver", tests, NULL, NULL);
}
