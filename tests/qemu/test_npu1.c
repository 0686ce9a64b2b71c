/* The device as the driver sees it: start, queries, contexts, commands on the simulated array, orders, and what no
 * driver does. */
#define _GNU_SOURCE /* memfd_create */
#include "qemu/control.h"
#include "qemu/driver.h"

#include "base/clock.h"
#include "npu/sims.h"
#include "support/alloc_fail.h"
#include "xdna/regs.h"

#include <sys/un.h>

enum {
    RAM = 16 << 20,
    RAM_AT = 0x40000000, /* where the guest's memory is for the device */
    HEAP_BYTES = 4 << 20, /* at the begin of it */
    PDI_OFF = 0,          /* in the heap */
    STREAM_OFF = 0x100000,
    SLOTS_OFF = 0x200000,
    IN_OFF = 6 << 20, /* in the memory */
    OUT_OFF = 8 << 20,
    ASYNC_OFF = 10 << 20,
    HEAP_DEV = 0x4000000,
    WORDS = 512, /* that a column sends round */
};
enum { INVALID_PARAM = 0x4000003, INVALID_COMMAND = 0x4000002, INVALID_BUFFER = 0x4000001, DMA_ERROR = 0x1000009 };

typedef struct env {
    vfu *v;
    npu1 *n;
    client *c;
    ring mgmt;
    uint32_t minor;
} env;

static env start_with(const npu1_options *o) {
    env e = {.v = vfu_new()};
    assert_non_null(e.v);
    e.n = npu1_new(e.v, o);
    assert_non_null(e.n);
    e.c = client_start(e.v, RAM);
    assert_non_null(e.c);
    assert_int_equal(client_version(e.c), 0);
    assert_int_equal(client_map(e.c, RAM_AT, RAM, 0, 3), 0);
    assert_true(driver_irqs(e.c));
    return e;
}

static env start(void) {
    env e = start_with(&(npu1_options){.minor = 8, .quiet = true});
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    return e;
}

static void stop(env *e) {
    client_stop(e->c);
    npu1_free(e->n);
    vfu_free(e->v);
}

static uint64_t count(const env *e, const char *key) {
    char line[512], find[32];
    npu1_order(e->n, "counts", line, sizeof line);
    assert_memory_equal(line, "ok ", 3);
    snprintf(find, sizeof find, " %s=", key);
    const char *at = strstr(line, find);
    if (!at) fail_msg("%s has no %s", line, key);
    return strtoull(at + strlen(find), NULL, 10);
}

static void order(const env *e, const char *line, const char *want) {
    char reply[512];
    npu1_order(e->n, line, reply, sizeof reply);
    if (strcmp(reply, want)) fail_msg("\"%s\": %s, not %s", line, reply, want);
}

/* The status of a message that is answered by one word. */
static uint32_t ask(env *e, ring *ch, uint32_t op, const void *payload, uint32_t len) {
    answer a;
    if (!driver_ask(e->c, ch, op, payload, len, &a)) fail_msg("no answer to 0x%x", op);
    return a.word[0];
}

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

static uint32_t create(env *e, int start_col, int cols, uint16_t pasid, ring *ch, uint32_t *id) {
    answer a;
    uint8_t req[28] = {
        1, [4] = (uint8_t)start_col, (uint8_t)cols, [8] = 1, [10] = (uint8_t)pasid, (uint8_t)(pasid >> 8)};
    assert_true(driver_ask(e->c, &e->mgmt, 2, req, sizeof req, &a));
    assert_int_equal(a.len, 76);
    const uint32_t *w = a.word;
    *id = w[1];
    /* here heads come first */
    *ch = (ring){w[4], w[3], w[5], w[6], w[8], w[7], w[9], w[10], w[2] & 0xffff, 0, 0, 0};
    if (!w[0]) assert_int_equal(w[2] >> 16, 1);
    return w[0];
}

static uint32_t map_heap(env *e, uint32_t id, uint64_t addr, uint64_t bytes) {
    uint32_t req[5] = {id, (uint32_t)addr, (uint32_t)(addr >> 32), (uint32_t)bytes, (uint32_t)(bytes >> 32)};
    return ask(e, &e->mgmt, 0x106, req, sizeof req);
}

static uint32_t destroy(env *e, uint32_t id) {
    return ask(e, &e->mgmt, 3, &id, 4);
}

static uint32_t configure(env *e, ring *ch, uint32_t pdi_dev) {
    uint32_t req[33] = {1, pdi_dev >> 15};
    return ask(e, ch, 0x11, req, sizeof req);
}

/* A context with this PDI, ready for commands. */
static ring context(env *e, int start_col, int cols, const ts_buf *pdi, uint32_t *id) {
    ring ch;
    assert_int_equal(create(e, start_col, cols, 0, &ch, id), 0);
    assert_int_equal(map_heap(e, *id, RAM_AT, HEAP_BYTES), 0);
    memcpy(e->c->ram + PDI_OFF, pdi->data, pdi->len);
    assert_int_equal(configure(e, &ch, HEAP_DEV + PDI_OFF), 0);
    return ch;
}

static ts_buf loop_pdi(int cols) {
    ts_buf pdi = {0};
    ts_err err;
    ts_design *d = loopback_design(cols, TS_ROW_MEM, 256);
    assert_ok(ts_design_finish(d, &pdi, NULL, &err));
    ts_design_free(d);
    return pdi;
}

/* The stream's bytes to STREAM_OFF + off; its words. */
static uint32_t put_stream(env *e, uint32_t off, const ts_buf *txn) {
    memcpy(e->c->ram + STREAM_OFF + off, txn->data, txn->len);
    return (uint32_t)txn->len / 4;
}

static uint32_t put_nop(env *e, uint32_t off, int cols) {
    ts_txn t = {0};
    ts_buf b = {0};
    ts_err err;
    ts_txn_nop(&t);
    assert_ok(ts_txn_finish(&t, &ts_npu1, cols, &b, &err));
    uint32_t words = put_stream(e, off, &b);
    ts_txn_free(&t);
    ts_buf_free(&b);
    return words;
}

static uint32_t put_loop(env *e, uint32_t off, int cols) {
    ts_dispatch p;
    ts_buf b = {0};
    ts_err err;
    loopback_dispatch(&p, cols, WORDS);
    assert_ok(ts_dispatch_finish(&p, &b, &err));
    uint32_t words = put_stream(e, off, &b);
    ts_dispatch_free(&p);
    ts_buf_free(&b);
    return words;
}

/* The words of a START_CU behind the CU's number. */
typedef struct start_cu {
    uint32_t word[19];
} start_cu;

static start_cu start_of(uint32_t stream_off, uint32_t words, uint64_t in, uint64_t out) {
    return (start_cu){{3, 0, HEAP_DEV + STREAM_OFF + stream_off, 0, words, (uint32_t)in, (uint32_t)(in >> 32),
                       (uint32_t)out, (uint32_t)(out >> 32)}};
}

static start_cu loop_start(uint32_t words) {
    return start_of(0, words, RAM_AT + IN_OFF, RAM_AT + OUT_OFF);
}

static void give(env *e, ring *ch, uint32_t cu, const start_cu *s) {
    uint32_t req[20] = {cu};
    memcpy(req + 1, s->word, sizeof s->word);
    driver_send(e->c, ch, 0xC, req, sizeof req);
}

static uint32_t execute(env *e, ring *ch, const start_cu *s) {
    answer a;
    give(e, ch, 0, s);
    assert_true(driver_take(e->c, ch, &a, CLIENT_TIMEOUT_MS));
    assert_int_equal(a.op, 0xC);
    assert_int_equal(a.len, 4);
    return a.word[0];
}

static bool answers_within(env *e, ring *ch, int ms) {
    answer a;
    return driver_take(e->c, ch, &a, ms);
}

static void fill_input(env *e, int cols) {
    uint32_t *in = (uint32_t *)(void *)(e->c->ram + IN_OFF);
    for (uint32_t i = 0; i < WORDS * (uint32_t)cols; i++) in[i] = i * 2654435761u + 1;
    memset(e->c->ram + OUT_OFF, 0, 4u * WORDS * (uint32_t)cols);
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

static void firmware_starts(void **state) {
    (void)state;
    env e = start_with(&(npu1_options){.minor = 7, .quiet = true});
    uint32_t value = 0;
    assert_int_equal(driver_smu(e.c, 4, &value), 1);
    assert_int_equal(driver_smu(e.c, 3, &value), 1);
    assert_int_not_equal(driver_smu(e.c, 9, &value), 1);
    assert_int_equal(driver_read(e.c, D_ALIVE), 0);
    assert_int_equal(driver_psp(e.c, 2), 0xFFFF0007); /* nothing was validated */
    assert_int_equal(driver_psp(e.c, 9), 0xFFFF0007);
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    assert_int_equal(e.minor, 7);
    order(&e, "protocol 8", "ok");
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    assert_int_equal(e.minor, 8);
    order(&e, "dead 1", "ok");
    assert_false(driver_start(e.c, &e.mgmt, &e.minor));
    order(&e, "reset", "ok"); /* the protocol as well */
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    assert_int_equal(e.minor, 7);
    assert_int_equal(count(&e, "starts"), 3);
    /* clocks are granted as asked, up to a limit */
    value = 1600;
    assert_int_equal(driver_smu(e.c, 6, &value), 1);
    assert_int_equal(value, 1600);
    order(&e, "clock 1028", "ok");
    assert_int_equal(driver_smu(e.c, 6, &value), 1);
    assert_int_equal(value, 1028);
    value = 847;
    assert_int_equal(driver_smu(e.c, 5, &value), 1);
    assert_int_equal(value, 847);
    /* one write over both doorbells rings both */
    driver_write(e.c, D_SMU_RESPONSE, 0);
    driver_write(e.c, D_SMU_COMMAND, 7);
    driver_write(e.c, D_PSP_COMMAND, 3);
    uint32_t both[2] = {1, 1};
    driver_write_some(e.c, D_PSP_GO, both, 8);
    assert_int_equal(driver_read(e.c, D_SMU_RESPONSE), 1);
    assert_int_equal(driver_read(e.c, D_PSP_COMMAND), D_PSP_READY);
    assert_int_equal(count(&e, "suspends"), 1);
    stop(&e);
}

static void queries(void **state) {
    (void)state;
    static const struct {
        uint32_t op, len, answer, status;
    } cases[] = {
        {0x10A, 12, 4, 0}, {0x103, 4, 4, 0}, {0x101, 4, 4, 0}, {0x102, 4, 4, 0}, {0x108, 4, 20, 0}, {0xF, 4, 8, 0},
        {0xE, 4, 48, 0}, {0x10B, 4, 12, 0}, {0x10A, 8, 4, INVALID_PARAM}, {3, 0, 4, INVALID_PARAM},
        {2, 24, 76, INVALID_PARAM}, {3, 4, 4, INVALID_PARAM}, {0x106, 20, 4, INVALID_PARAM}, {0xD, 20, 8, 0},
        {0xD, 16, 8, INVALID_PARAM}, {0x999, 4, 4, INVALID_COMMAND}, {0, 0, 4, INVALID_COMMAND},
    };
    env e = start();
    answer a;
    uint32_t req[8] = {77}; /* no context has this number */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].op == 0xD) req[0] = RAM_AT;
        assert_true(driver_ask(e.c, &e.mgmt, cases[i].op, req, cases[i].len, &a));
        if (a.len != cases[i].answer || a.word[0] != cases[i].status)
            fail_msg("case %zu: %u bytes, status 0x%x", i, a.len, a.word[0]);
        if (cases[i].op == 0x101) assert_int_equal(driver_read(e.c, D_WAIT_MODE) & 1, 1);
        if (cases[i].op == 0x102) assert_int_equal(driver_read(e.c, D_WAIT_MODE) & 1, 0);
    }
    assert_true(driver_ask(e.c, &e.mgmt, 4, req, 16, &a)); /* telemetry: its status comes last */
    assert_int_equal(a.len, 16);
    assert_int_equal(a.word[3], INVALID_COMMAND);
    for (int i = 0; i < 200; i++) { /* round the rings */
        assert_true(driver_ask(e.c, &e.mgmt, 0xE, req, 4, &a));
        assert_int_equal(a.word[2] & 0xffff, 1);
        assert_int_equal(a.word[3], 5 | 6 << 16);
    }
    order(&e, "refuse 0x108 0x2000006 2", "ok");
    for (int i = 0; i < 3; i++) {
        assert_true(driver_ask(e.c, &e.mgmt, 0x108, req, 4, &a));
        assert_int_equal(a.len, 20);
        assert_int_equal(a.word[0], i < 2 ? 0x2000006 : 0);
    }
    /* put down and started again */
    assert_int_equal(driver_psp(e.c, 3), 0);
    assert_int_equal(driver_read(e.c, D_WAIT_MODE), 0);
    driver_send(e.c, &e.mgmt, 0x108, req, 4);
    assert_false(answers_within(&e, &e.mgmt, 20));
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    assert_int_equal(ask(&e, &e.mgmt, 0x108, req, 4), 0);
    assert_int_equal(count(&e, "suspends"), 1);
    stop(&e);
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static void commands(void **state) {
    (void)state;
    env e = start();
    uint32_t id;
    ts_buf pdi = loop_pdi(2);
    ring ch = context(&e, 1, 2, &pdi, &id);
    fill_input(&e, 2);
    uint32_t words = put_loop(&e, 0, 2);
    start_cu loop = loop_start(words), nop = start_of(0x8000, put_nop(&e, 0x8000, 2), 0, 0);
    assert_int_equal(execute(&e, &ch, &nop), 0);
    assert_int_equal(execute(&e, &ch, &loop), 0);
    assert_memory_equal(e.c->ram + IN_OFF, e.c->ram + OUT_OFF, 2 * 4 * WORDS);

    /* chains of either kind: slots one behind the other, each with what it needs only */
    for (int npu = 0; npu < 2; npu++) {
        uint32_t slots[64] = {0}, n = 0, req[6] = {0};
        for (int i = 0; i < 2; i++) {
            const start_cu *s = i ? &loop : &nop;
            uint32_t args = i ? 9 : 5;
            if (npu) slots[n] = 1, n += 12;
            else n += 1;
            slots[n++] = args;
            memcpy(slots + n, s->word, 4 * args);
            n += args;
        }
        fill_input(&e, 2);
        memcpy(e.c->ram + SLOTS_OFF, slots, 4 * n);
        uint32_t *r = req + 2 * npu;
        r[0] = HEAP_DEV + SLOTS_OFF, r[2] = 4 * n, r[3] = 2;
        answer a;
        assert_true(driver_ask(e.c, &ch, npu ? 0x18 : 0x12, req, sizeof req, &a));
        assert_int_equal(a.len, 12);
        assert_int_equal(a.word[0], 0);
        assert_memory_equal(e.c->ram + IN_OFF, e.c->ram + OUT_OFF, 2 * 4 * WORDS);
        /* which of them has failed */
        order(&e, "fault 2 0x1000002", "ok");
        assert_true(driver_ask(e.c, &ch, npu ? 0x18 : 0x12, req, sizeof req, &a));
        assert_int_equal(a.word[0], 0x1000002);
        assert_int_equal(a.word[1], 1);
        assert_int_equal(a.word[2], 0x1000002);
        /* slots that are cut off, a slot of another kind, too many, too long */
        r[2] = 4 * n - 4;
        assert_true(driver_ask(e.c, &ch, npu ? 0x18 : 0x12, req, sizeof req, &a));
        assert_int_equal(a.word[1], 1);
        assert_int_equal(a.word[2], INVALID_PARAM);
        r[2] = 4 * n, r[3] = 3;
        assert_true(driver_ask(e.c, &ch, npu ? 0x18 : 0x12, req, sizeof req, &a));
        assert_int_equal(a.word[1], 2);
        assert_int_equal(a.word[2], INVALID_PARAM);
        r[2] = 4097;
        assert_true(driver_ask(e.c, &ch, npu ? 0x18 : 0x12, req, sizeof req, &a));
        assert_int_equal(a.word[0], INVALID_BUFFER);
        r[2] = 64, r[3] = UINT32_MAX, r[0] = HEAP_DEV + HEAP_BYTES - 32;
        assert_true(driver_ask(e.c, &ch, npu ? 0x18 : 0x12, req, sizeof req, &a));
        assert_int_equal(a.word[0], INVALID_BUFFER);
        if (!npu) continue;
        slots[0] = 2;
        memcpy(e.c->ram + SLOTS_OFF, slots, 4 * n);
        r[0] = HEAP_DEV + SLOTS_OFF, r[2] = 4 * n, r[3] = 1;
        assert_true(driver_ask(e.c, &ch, 0x18, req, sizeof req, &a));
        assert_int_equal(a.word[2], INVALID_COMMAND);
    }
    /* what is wrong with a command */
    start_cu s = nop;
    s.word[0] = 4;
    assert_int_equal(execute(&e, &ch, &s), INVALID_PARAM);
    s = nop, s.word[2] = 0x1000;
    assert_int_equal(execute(&e, &ch, &s), INVALID_BUFFER);
    s = nop, s.word[3] = UINT32_MAX;
    assert_int_equal(execute(&e, &ch, &s), INVALID_BUFFER);
    s = nop, s.word[4] = 0;
    assert_int_equal(execute(&e, &ch, &s), INVALID_PARAM);
    s = nop, s.word[4] = UINT32_MAX;
    assert_int_equal(execute(&e, &ch, &s), INVALID_PARAM);
    s = nop, s.word[4] = 2; /* less than a head */
    assert_int_equal(execute(&e, &ch, &s), 0x3000002);
    give(&e, &ch, 1, &nop); /* another CU */
    answer a;
    assert_true(driver_take(e.c, &ch, &a, CLIENT_TIMEOUT_MS));
    assert_int_equal(a.word[0], INVALID_PARAM);
    assert_int_equal(ask(&e, &ch, 0x10, &nop, 40), INVALID_COMMAND);
    assert_int_equal(ask(&e, &ch, 0xC, &nop, 0), INVALID_PARAM);
    assert_int_equal(ask(&e, &ch, 7, &nop, 24), 0);
    assert_int_equal(execute(&e, &ch, &nop), 0); /* and nothing of it has done harm */
    assert_int_equal(count(&e, "unmapped"), 0);
    assert_int_equal(count(&e, "reloads"), 0);
    assert_int_equal(count(&e, "contexts"), 1);
    assert_int_equal(destroy(&e, id), 0);
    assert_int_equal(destroy(&e, id), INVALID_PARAM);
    assert_int_equal(count(&e, "contexts"), 0);
    ts_buf_free(&pdi);
    stop(&e);
}

/* A configuration that is none is found out when the first command needs it. */
static void bad_configuration(void **state) {
    (void)state;
    env e = start();
    uint32_t id, req[33] = {2};
    ts_buf pdi = loop_pdi(1);
    ring ch = context(&e, 1, 1, &pdi, &id);
    start_cu nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
    memset(e.c->ram, 0x55, 64);
    assert_int_equal(execute(&e, &ch, &nop), 0x3000003);
    memset(e.c->ram + 0xD4, 0xff, 4); /* a length beyond everything */
    assert_int_equal(execute(&e, &ch, &nop), 0x3000003);
    memcpy(e.c->ram, pdi.data, pdi.len);
    assert_int_equal(execute(&e, &ch, &nop), 0);
    assert_int_equal(configure(&e, &ch, HEAP_DEV + HEAP_BYTES), 0);
    assert_int_equal(execute(&e, &ch, &nop), 0x3000003);
    assert_int_equal(ask(&e, &ch, 0x11, req, sizeof req), INVALID_PARAM); /* two CUs */
    assert_int_equal(ask(&e, &ch, 0x11, req, 4), INVALID_PARAM);
    order(&e, "refuse 0x11 0x3000003", "ok");
    assert_int_equal(configure(&e, &ch, HEAP_DEV), 0x3000003);
    assert_int_equal(configure(&e, &ch, HEAP_DEV), 0);
    assert_int_equal(execute(&e, &ch, &nop), 0);
    ring bare; /* not configured at all */
    uint32_t id2;
    assert_int_equal(create(&e, 2, 1, 0, &bare, &id2), 0);
    assert_int_equal(execute(&e, &bare, &nop), INVALID_PARAM);
    ts_buf_free(&pdi);
    stop(&e);
}

static void heaps(void **state) {
    (void)state;
    env e = start();
    uint32_t id, more[5];
    ring ch;
    ts_buf pdi = loop_pdi(1);
    assert_int_equal(create(&e, 0, 0, 0, &ch, &id), INVALID_PARAM);
    assert_int_equal(create(&e, 4, 2, 0, &ch, &id), INVALID_PARAM);
    assert_int_equal(create(&e, 255, 1, 0, &ch, &id), INVALID_PARAM);
    assert_int_equal(create(&e, 1, 255, 0, &ch, &id), INVALID_PARAM);
    assert_int_equal(create(&e, 1, 1, 0, &ch, &id), 0);
    assert_int_equal(map_heap(&e, id, RAM_AT, 0), INVALID_PARAM);
    assert_int_equal(map_heap(&e, id, UINT64_MAX - 5, 7), INVALID_PARAM);
    assert_int_equal(map_heap(&e, id, 1, UINT64_MAX), 0); /* a strange one, but nothing is there yet */
    assert_int_equal(configure(&e, &ch, HEAP_DEV), 0);
    start_cu nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
    assert_int_equal(execute(&e, &ch, &nop), INVALID_BUFFER);
    assert_true(count(&e, "unmapped") > 0);
    /* two pieces, of which the second comes first in memory: the PDI lies across */
    memcpy(e.c->ram + RAM - 0x8000, pdi.data, 0x8000 < pdi.len ? 0x8000 : pdi.len);
    uint32_t seam = 0x100;
    memcpy(e.c->ram + RAM - seam, pdi.data, seam);
    memcpy(e.c->ram, pdi.data + seam, pdi.len - seam);
    assert_int_equal(map_heap(&e, id, RAM_AT + RAM - seam, seam), 0);
    memcpy(more, (uint32_t[]){id, RAM_AT, 0, HEAP_BYTES, 0}, sizeof more);
    assert_int_equal(ask(&e, &e.mgmt, 0x115, more, sizeof more), 0);
    assert_int_equal(configure(&e, &ch, HEAP_DEV), 0);
    nop.word[2] = HEAP_DEV + seam + STREAM_OFF + 0x8000;
    assert_int_equal(execute(&e, &ch, &nop), 0);
    for (int i = 0; i < 6; i++) assert_int_equal(ask(&e, &e.mgmt, 0x115, more, sizeof more), 0);
    assert_int_equal(ask(&e, &e.mgmt, 0x115, more, sizeof more), 0x2000003); /* eight pieces at most */
    ts_buf_free(&pdi);
    stop(&e);
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

enum { LOCK = 9, COLUMN = 504 };

/* A stream that sets a lock of the memtile; its value is seen in the column's status. */
static start_cu lock_start(env *e, uint32_t off, uint32_t value) {
    ts_txn t = {0};
    ts_buf b = {0};
    ts_err err;
    ts_txn_write(&t, ts_addr(ts_tile_at(0, TS_ROW_MEM), ts_lock_off(TS_TILE_MEM, LOCK)), value);
    assert_ok(ts_txn_finish(&t, &ts_npu1, 1, &b, &err));
    uint32_t words = put_stream(e, off, &b);
    ts_txn_free(&t);
    ts_buf_free(&b);
    return start_of(off, words, 0, 0);
}

static uint32_t column_status(env *e, uint32_t which, uint32_t columns, uint32_t room, uint32_t *bytes) {
    answer a;
    uint32_t req[5] = {RAM_AT + ASYNC_OFF, 0, room, columns, which};
    memset(e->c->ram + ASYNC_OFF, 0xee, 8192);
    assert_true(driver_ask(e->c, &e->mgmt, 0xD, req, sizeof req, &a));
    *bytes = a.word[1];
    return a.word[0];
}

/* The memtile's locks come behind four cores of 80 bytes, six channels in both directions and six event registers. */
static uint32_t lock_of(env *e, uint32_t col) {
    uint32_t bytes;
    assert_int_equal(column_status(e, 1u << col, 1, 8192, &bytes), 0);
    assert_int_equal(bytes, COLUMN);
    assert_int_equal(e->c->ram[ASYNC_OFF + COLUMN], 0xee);
    return e->c->ram[ASYNC_OFF + 4 * 80 + 48 + 24 + LOCK];
}

static void status_of_columns(void **state) {
    (void)state;
    env e = start();
    uint32_t id, bytes, sp;
    ts_buf pdi = loop_pdi(1);
    assert_int_equal(lock_of(&e, 3), 0); /* nobody has the column */
    ring ch = context(&e, 3, 1, &pdi, &id);
    start_cu s = lock_start(&e, 0, 5);
    assert_int_equal(execute(&e, &ch, &s), 0);
    assert_int_equal(lock_of(&e, 3), 5);
    assert_int_equal(lock_of(&e, 2), 0);
    assert_int_equal(column_status(&e, 0x1f, 5, 8192, &bytes), 0);
    assert_int_equal(bytes, 5 * COLUMN);
    memcpy(&sp, e.c->ram + ASYNC_OFF + 3 * COLUMN + 16, 4); /* the first event register of a core */
    assert_int_equal(sp, 2);
    assert_int_equal(column_status(&e, 0x1f, 4, 8192, &bytes), INVALID_PARAM);
    assert_int_equal(column_status(&e, 0x20, 1, 8192, &bytes), INVALID_PARAM);
    assert_int_equal(column_status(&e, 0, UINT32_MAX, 8192, &bytes), INVALID_PARAM);
    assert_int_equal(column_status(&e, 3, 2, 2 * COLUMN - 1, &bytes), INVALID_BUFFER);
    assert_int_equal(client_unmap(e.c, RAM_AT, RAM, 0), 0);
    assert_int_equal(column_status(&e, 1, 1, 8192, &bytes), INVALID_BUFFER);
    assert_int_equal(count(&e, "unmapped"), 1);
    ts_buf_free(&pdi);
    stop(&e);
}

/* Contexts on the same columns take turns, and each finds them configured anew; others do not disturb. */
static void shared_columns(void **state) {
    (void)state;
    env e = start();
    uint32_t a, b, other;
    ts_buf pdi = loop_pdi(1);
    ring ca = context(&e, 1, 1, &pdi, &a), cb = context(&e, 1, 1, &pdi, &b), co = context(&e, 2, 1, &pdi, &other);
    start_cu set = lock_start(&e, 0, 7), nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
    assert_int_equal(execute(&e, &ca, &set), 0);
    assert_int_equal(execute(&e, &co, &nop), 0);
    assert_int_equal(execute(&e, &ca, &nop), 0);
    assert_int_equal(lock_of(&e, 1), 7); /* kept from command to command */
    assert_int_equal(count(&e, "reloads"), 0);
    assert_int_equal(execute(&e, &cb, &nop), 0); /* its own first configuration */
    assert_int_equal(lock_of(&e, 1), 0);
    assert_int_equal(count(&e, "reloads"), 0);
    assert_int_equal(execute(&e, &ca, &nop), 0);
    assert_int_equal(lock_of(&e, 1), 0);
    assert_int_equal(count(&e, "reloads"), 1);
    assert_int_equal(execute(&e, &co, &nop), 0);
    assert_int_equal(count(&e, "reloads"), 1);
    /* lost by order: before the second command from now and each third after it */
    order(&e, "lose 2 3", "ok");
    uint64_t reloads = 1;
    for (int i = 1; i <= 9; i++) {
        assert_int_equal(execute(&e, &ca, &set), 0);
        assert_int_equal(execute(&e, &co, &nop), 0); /* commands are counted over all contexts */
        for (int k = 2 * i - 1; k <= 2 * i; k++) reloads += k >= 2 && (k - 2) % 3 == 0;
        assert_int_equal(count(&e, "reloads"), reloads);
    }
    order(&e, "reset", "ok");
    order(&e, "lose 1", "ok");
    assert_int_equal(execute(&e, &ca, &nop), 0);
    assert_int_equal(lock_of(&e, 1), 0);
    ts_buf_free(&pdi);
    stop(&e);
}

static void all_contexts(void **state) {
    (void)state;
    env e = start();
    uint32_t id[7];
    ring ch[7];
    ts_buf pdi = loop_pdi(1);
    for (int i = 0; i < 6; i++) ch[i] = context(&e, 1 + i % 4, 1, &pdi, &id[i]);
    assert_int_equal(create(&e, 1, 1, 0, &ch[6], &id[6]), 0x2000003);
    start_cu nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
    for (int i = 0; i < 6; i++) give(&e, &ch[i], 0, &nop);
    for (int i = 0; i < 6; i++) assert_true(answers_within(&e, &ch[i], CLIENT_TIMEOUT_MS));
    assert_int_equal(destroy(&e, id[2]), 0);
    ch[2] = context(&e, 1, 4, &pdi, &id[6]); /* four columns, though the PDI has one */
    assert_int_equal(execute(&e, &ch[2], &nop), 0);
    assert_int_equal(count(&e, "created"), 7);
    assert_int_equal(count(&e, "contexts"), 6);
    assert_int_equal(client_call(e.c, CMD_RESET, NULL, 0), 0);
    assert_int_equal(count(&e, "contexts"), 0);
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    ts_buf_free(&pdi);
    stop(&e);
}

/* ---- what goes wrong --------------------------------------------------------------------------------------------- */

static void hanging(void **state) {
    (void)state;
    env e = start();
    uint32_t a, b, other;
    ts_buf pdi = loop_pdi(1);
    ring ca = context(&e, 1, 1, &pdi, &a), cb = context(&e, 1, 1, &pdi, &b), co = context(&e, 2, 1, &pdi, &other);
    start_cu nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
    order(&e, "hang 2", "ok");
    assert_int_equal(execute(&e, &ca, &nop), 0);
    give(&e, &ca, 0, &nop);
    give(&e, &ca, 0, &nop);
    assert_false(answers_within(&e, &ca, 50));
    assert_int_equal(count(&e, "hung"), 1);
    give(&e, &cb, 0, &nop);
    assert_false(answers_within(&e, &cb, 20));    /* the columns are taken */
    assert_int_equal(execute(&e, &co, &nop), 0);  /* others are not */
    order(&e, "refuse 3 0x2000006", "ok");        /* the firmware is busy with it */
    assert_int_equal(destroy(&e, a), 0x2000006);
    assert_int_equal(count(&e, "hung"), 1);
    assert_int_equal(destroy(&e, a), 0);
    assert_true(answers_within(&e, &cb, CLIENT_TIMEOUT_MS)); /* now it is its turn */
    ca = context(&e, 1, 1, &pdi, &a);
    assert_int_equal(execute(&e, &ca, &nop), 0);
    assert_int_equal(count(&e, "hung"), 0);
    assert_int_equal(count(&e, "failed"), 1);
    ts_buf_free(&pdi);
    stop(&e);
}

static void faults_and_delays(void **state) {
    (void)state;
    env e = start();
    uint32_t id;
    ts_buf pdi = loop_pdi(1);
    ring ch = context(&e, 1, 1, &pdi, &id);
    start_cu nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
    order(&e, "fault 1", "ok");
    order(&e, "fault 3 0x1000004", "ok");
    assert_int_equal(execute(&e, &ch, &nop), DMA_ERROR);
    assert_int_equal(execute(&e, &ch, &nop), 0);
    assert_int_equal(execute(&e, &ch, &nop), 0x1000004);
    assert_int_equal(execute(&e, &ch, &nop), 0);
    order(&e, "delay 1 60 2", "ok");
    for (int i = 0; i < 3; i++) {
        uint64_t t = ts_now_ns();
        assert_int_equal(execute(&e, &ch, &nop), 0);
        if (i != 1) assert_true(ts_now_ns() - t >= 60000000);
    }
    order(&e, "reset", "ok");
    order(&e, "delay 1 600000", "ok"); /* a context that is destroyed does not wait for it */
    give(&e, &ch, 0, &nop);
    assert_false(answers_within(&e, &ch, 30));
    assert_int_equal(destroy(&e, id), 0);
    ch = context(&e, 1, 1, &pdi, &id);
    assert_int_equal(execute(&e, &ch, &nop), 0);
    ts_buf_free(&pdi);
    stop(&e);
}

/* Leave n buffers for asynchronous errors. */
static void leave_buffers(env *e, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t req[3] = {RAM_AT + ASYNC_OFF + 8192 * i, 0, 8192};
        memset(e->c->ram + ASYNC_OFF + 8192 * i, 0xee, 8192);
        driver_send(e->c, &e->mgmt, 0x10C, req, sizeof req);
    }
}

static void assert_error(env *e, uint32_t buffer, int row, int col, uint32_t module, uint32_t event) {
    answer a;
    uint32_t w[6];
    assert_true(driver_take(e->c, &e->mgmt, &a, CLIENT_TIMEOUT_MS));
    assert_int_equal(a.op, 0x10C);
    assert_int_equal(a.len, 8);
    assert_int_equal(a.word[0] | a.word[1], 0);
    memcpy(w, e->c->ram + ASYNC_OFF + 8192 * buffer, sizeof w);
    assert_int_equal(w[0], 1);
    assert_int_equal(w[3] & 0xff, row);
    assert_int_equal(w[3] >> 8 & 0xff, col);
    assert_int_equal(w[4], module);
    assert_int_equal(w[5] & 0xff, event);
}

static void asynchronous_errors(void **state) {
    (void)state;
    env e = start();
    uint32_t id;
    order(&e, "async dma 1 0", "error: the driver has left no buffer for it");
    const uint32_t small[3] = {RAM_AT + ASYNC_OFF, 0, 23};
    driver_send(e.c, &e.mgmt, 0x10C, small, sizeof small);
    assert_int_equal(ask(&e, &e.mgmt, 0x108, small, 4), 0); /* it has been taken */
    order(&e, "async dma 1 0", "error: the driver has left no buffer for it");
    leave_buffers(&e, 6);
    assert_false(answers_within(&e, &e.mgmt, 10)); /* not before there is something to tell */
    order(&e, "async dma 1 0", "ok");
    assert_error(&e, 0, 0, 1, 2, 72);
    order(&e, "async parity 4 5", "ok");
    assert_error(&e, 1, 5, 4, 0, 91);
    order(&e, "async lock 2 1", "ok");
    assert_error(&e, 2, 1, 2, 0, 139);
    order(&e, "async instruction 0 2", "ok");
    assert_error(&e, 3, 2, 0, 1, 59);
    order(&e, "async instruction 0 0", "error: such a tile has no such error");
    order(&e, "async heat 0 0", "error: such a tile has no such error");
    order(&e, "async dma 5 0", "error: there is no such tile");
    order(&e, "async dma 0 6", "error: there is no such tile");
    assert_int_equal(count(&e, "async"), 4);

    /* an argument that is not mapped is an error of the shim's DMA in its column, and of the command */
    ts_buf pdi = loop_pdi(2);
    ring ch = context(&e, 2, 2, &pdi, &id);
    uint32_t words = put_loop(&e, 0, 2);
    /* the second column's part is beyond the end */
    start_cu s = start_of(0, words, RAM_AT + RAM - 4 * WORDS, RAM_AT + OUT_OFF);
    assert_int_equal(execute(&e, &ch, &s), DMA_ERROR);
    assert_error(&e, 4, 0, 3, 2, 73);
    assert_true(count(&e, "unmapped") > 0);
    assert_int_equal(execute(&e, &ch, &s), DMA_ERROR); /* the array takes nothing more until it is configured */
    assert_false(answers_within(&e, &e.mgmt, 10));     /* and has said why */
    assert_int_equal(count(&e, "async"), 5);
    assert_int_equal(destroy(&e, id), 0);

    for (int i = 0; i < 15; i++) leave_buffers(&e, 1);
    leave_buffers(&e, 1); /* one too many */
    answer a;
    assert_true(driver_take(e.c, &e.mgmt, &a, CLIENT_TIMEOUT_MS));
    assert_int_equal(a.word[0], 0x2000003);
    assert_int_equal(client_unmap(e.c, RAM_AT, RAM, 0), 0);
    order(&e, "async dma 1 0", "error: the driver has left no buffer for it"); /* it is not there any more */
    ts_buf_free(&pdi);
    stop(&e);
}

/* Without an order: what a command waits for never comes. The columns tell of it, and the heap's message can fail as
 * well. */
static void deadlock(void **state) {
    (void)state;
    env e = start();
    uint32_t id, core, bytes;
    ts_buf pdi = loop_pdi(1), b = {0};
    ts_txn t = {0};
    ts_err err;
    ring ch = context(&e, 1, 1, &pdi, &id);
    ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 0);
    assert_ok(ts_txn_finish(&t, &ts_npu1, 1, &b, &err));
    start_cu s = start_of(0, put_stream(&e, 0, &b), 0, 0);
    give(&e, &ch, 0, &s);
    for (int i = 0; i < 2000 && !count(&e, "hung"); i++) usleep(1000);
    assert_int_equal(count(&e, "hung"), 1);
    assert_false(answers_within(&e, &ch, 10));
    assert_int_equal(column_status(&e, 1 << 1, 1, 8192, &bytes), 0);
    memcpy(&core, e.c->ram + ASYNC_OFF + 4 * 80, 4); /* S2MM 0 of the memtile: it waits for words */
    assert_int_equal(core >> 4 & 1, 1);
    assert_int_equal(destroy(&e, id), 0);
    assert_int_equal(create(&e, 1, 1, 0, &ch, &id), 0);
    order(&e, "refuse 0x106 0x2000004", "ok");
    assert_int_equal(map_heap(&e, id, RAM_AT, HEAP_BYTES), 0x2000004);
    assert_int_equal(destroy(&e, id), 0);
    ts_txn_free(&t);
    ts_buf_free(&b);
    ts_buf_free(&pdi);
    stop(&e);
}

/* ---- a command that runs on -------------------------------------------------------------------------------------- */

/* A core that never stops, and a wait for what never comes: the simulator has work for hours. */
static void put_endless(env *e, ts_buf *pdi) {
    ts_design *d;
    ts_err err;
    ts_buf code = assemble("top:    j #top\n        .rept 5\n        nop\n        .endr\n"), b = {0};
    ts_txn t = {0};
    assert_ok(ts_design_new(&d, &ts_npu1, 1, &err));
    ts_design_program(d, ts_tile_at(0, 2), code.data, code.len);
    assert_ok(ts_design_finish(d, pdi, NULL, &err));
    ts_design_free(d);
    ts_buf_free(&code);
    ts_txn_wait(&t, ts_tile_at(0, 0), TS_S2MM, 0);
    assert_ok(ts_txn_finish(&t, &ts_npu1, 1, &b, &err));
    put_stream(e, 0x4000, &b);
    ts_txn_free(&t);
    ts_buf_free(&b);
}

static void busy_contexts(void **state) {
    (void)state;
    env e = start();
    uint32_t id, id2, req[4] = {0};
    ts_buf endless = {0}, pdi = loop_pdi(1);
    put_endless(&e, &endless);
    for (int end = 0; end < 4; end++) { /* how it is taken away */
        ring ch = context(&e, 1, 1, &endless, &id);
        start_cu s = start_of(0x4000, 4 + 4, 0, 0);
        uint64_t before = count(&e, "commands");
        give(&e, &ch, 0, &s);
        for (int i = 0; i < 5000 && count(&e, "commands") == before; i++) usleep(1000);
        assert_false(answers_within(&e, &ch, 20));
        uint64_t t = ts_now_ns();
        assert_int_equal(ask(&e, &e.mgmt, 0x108, req, 4), 0); /* nobody waits for it */
        assert_int_equal(client_map(e.c, 0x80000000, 0x1000, 0, 3), 0);
        assert_int_equal(client_unmap(e.c, 0x80000000, 0x1000, 0), 0);
        if (end == 0) assert_int_equal(destroy(&e, id), 0);
        if (end == 1) assert_int_equal(driver_psp(e.c, 3), 0);
        if (end == 2) assert_int_equal(client_call(e.c, CMD_RESET, NULL, 0), 0);
        assert_true(ts_now_ns() - t < 10000000000); /* the command alone would take hours */
        if (end == 3) break; /* the client hangs up */
        if (end) assert_true(driver_start(e.c, &e.mgmt, &e.minor));
        assert_int_equal(count(&e, "contexts"), 0);
        ch = context(&e, 1, 1, &pdi, &id2); /* the thread is free again */
        start_cu nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
        assert_int_equal(execute(&e, &ch, &nop), 0);
        assert_int_equal(destroy(&e, id2), 0);
    }
    ts_buf_free(&endless);
    ts_buf_free(&pdi);
    stop(&e);
}

/* Once the driver knows that a context is gone its memory may be another's: not a byte of it is written any more. */
static void no_late_writes(void **state) {
    (void)state;
    enum { BIG = 128 * 1024, BYTES = 4 * BIG, TRIES = 10 };
    env e = start();
    uint32_t id;
    ts_buf pdi = loop_pdi(1), b = {0};
    ts_dispatch p;
    ts_err err;
    loopback_dispatch(&p, 1, BIG);
    assert_ok(ts_dispatch_finish(&p, &b, &err));
    start_cu s = loop_start(put_stream(&e, 0, &b));
    volatile uint8_t *out = e.c->ram + OUT_OFF;
    for (int i = 0; i < TRIES; i++) {
        memset(e.c->ram + IN_OFF, 0x77, BYTES);
        memset(e.c->ram + OUT_OFF, 0, BYTES);
        ring ch = context(&e, 1, 1, &pdi, &id);
        give(&e, &ch, 0, &s);
        for (int k = 0; k < 200000 && !out[256 * i]; k++) usleep(100); /* it has begun to write */
        assert_int_equal(out[256 * i], 0x77);
        assert_int_equal(destroy(&e, id), 0);
        memset(e.c->ram + OUT_OFF, 0x11, BYTES);
        usleep(5000);
        for (size_t k = 0; k < BYTES; k++)
            if (out[k] != 0x11) fail_msg("byte %zu was written after the context's end", k);
    }
    ts_dispatch_free(&p);
    ts_buf_free(&b);
    ts_buf_free(&pdi);
    stop(&e);
}

/* Memory goes away under commands: each ends, in one way or another, and none touches what is gone. */
static void memory_goes_away(void **state) {
    (void)state;
    env e = start();
    uint32_t id;
    ts_buf pdi = loop_pdi(1);
    uint32_t words = put_loop(&e, 0, 1);
    start_cu s = loop_start(words);
    for (int i = 0; i < 20; i++) {
        answer a;
        ring ch = context(&e, 1, 1, &pdi, &id);
        give(&e, &ch, 0, &s);
        usleep((useconds_t)(i * 50));
        assert_int_equal(client_unmap(e.c, RAM_AT, RAM, 0), 0);
        assert_true(driver_take(e.c, &ch, &a, CLIENT_TIMEOUT_MS));
        assert_int_equal(client_map(e.c, RAM_AT, RAM, 0, 3), 0);
        assert_int_equal(destroy(&e, id), 0);
    }
    ts_buf_free(&pdi);
    stop(&e);
}

/* ---- what no driver does ----------------------------------------------------------------------------------------- */

static void wild_rings(void **state) {
    (void)state;
    static const uint32_t tails[] = {1, 4097, 4100, UINT32_MAX, 0x80000000};
    static const uint32_t sizes[] = {1, 2, 1028, 4096, UINT32_MAX - 15, UINT32_MAX, 0x80000000, D_TOMBSTONE};
    env e = start();
    uint32_t w[4] = {0};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        driver_write(e.c, e.mgmt.x2i_tail_reg, tails[i]);
        assert_false(answers_within(&e, &e.mgmt, 1));
        assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        w[0] = sizes[i];
        driver_write_some(e.c, e.mgmt.x2i_buf, w, sizeof w);
        driver_write(e.c, e.mgmt.x2i_tail_reg, 64);
        assert_false(answers_within(&e, &e.mgmt, 1));
        assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    }
    /* near the end of the ring: a message that would go on behind it */
    while (e.mgmt.x2i_tail < 3500) assert_int_equal(ask(&e, &e.mgmt, 0x108, w, 4), 0);
    w[0] = 1020, w[3] = 0x108;
    driver_write_some(e.c, e.mgmt.x2i_buf + e.mgmt.x2i_tail, w, sizeof w);
    driver_write(e.c, e.mgmt.x2i_tail_reg, 4);
    assert_false(answers_within(&e, &e.mgmt, 1));
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    /* what is the device's cannot be written */
    driver_write(e.c, e.mgmt.x2i_head_reg, 0x12345);
    driver_write(e.c, e.mgmt.i2x_tail_reg, 0x54321);
    assert_int_equal(driver_read(e.c, e.mgmt.x2i_head_reg), 0);
    assert_int_equal(driver_read(e.c, e.mgmt.i2x_tail_reg), 0);
    /* a reader who stands nowhere gets no answer */
    driver_write(e.c, e.mgmt.i2x_head_reg, UINT32_MAX);
    driver_send(e.c, &e.mgmt, 0x108, w, 4);
    assert_int_equal(driver_read(e.c, e.mgmt.i2x_tail_reg), 0);
    /* nobody reads: the ring is never written over */
    driver_write(e.c, e.mgmt.i2x_head_reg, 0);
    for (int i = 0; i < 300; i++) driver_send(e.c, &e.mgmt, 0xE, w, 4);
    assert_true(driver_read(e.c, e.mgmt.i2x_tail_reg) <= 4096 - 4);
    assert_int_equal(driver_read(e.c, e.mgmt.i2x_buf + 12), 0xE);
    /* garbage everywhere */
    uint8_t junk[4096];
    uint32_t r = 1;
    for (uint32_t at = 0; at < 0x40000; at += sizeof junk) {
        for (size_t i = 0; i < sizeof junk; i++) junk[i] = (uint8_t)((r = r * 1664525 + 1013904223) >> 24);
        driver_write_some(e.c, 0x3080000 + at, junk, sizeof junk);
        driver_write_some(e.c, 0x30C0000 + at, junk, sizeof junk);
    }
    for (uint32_t at = 0; at < 0x80000; at += sizeof junk) driver_write_some(e.c, 0x3000000 + at, junk, sizeof junk);
    assert_int_equal(client_call(e.c, CMD_RESET, NULL, 0), 0);
    assert_true(driver_start(e.c, &e.mgmt, &e.minor));
    assert_int_equal(ask(&e, &e.mgmt, 0x108, w, 4), 0);
    /* BAR1 is QEMU's: it reads as 0 */
    w[0] = 1;
    assert_int_equal(client_write(e.c, 1, 0, w, 4, false), 0);
    assert_int_equal(client_read(e.c, 1, 0, w, 4), 0);
    assert_int_equal(w[0], 0);
    assert_int_equal(client_read(e.c, 3, 0, NULL, 4), EINVAL);
    stop(&e);
}

static void failing_allocations(void **state) {
    (void)state;
    env e = start();
    uint32_t id;
    ring ch;
    ts_buf pdi = loop_pdi(1);
    start_cu nop = start_of(0x8000, put_nop(&e, 0x8000, 1), 0, 0);
    int failed = 0;
    /* messages are written by hand here: the client's own allocations are not to fail */
    for (long n = 1;; n++) {
        ch = context(&e, 1, 1, &pdi, &id);
        uint32_t req[20] = {0};
        memcpy(req + 1, nop.word, sizeof nop.word);
        const uint32_t posted = 1 | (uint32_t)CMD_REGION_WRITE << 16, sram = ch.x2i_buf + ch.x2i_tail - 0x3080000;
        const uint32_t head[12] = {posted, 16 + 16 + 16 + 80, CLIENT_NO_REPLY, 0,  sram, 0, 2, 16 + 80,
                                   80,     80 | 1 << 16,      0x1D000001,      0xC};
        const uint32_t bell[9] = {posted, 16 + 16 + 4, CLIENT_NO_REPLY,      0, ch.x2i_tail_reg - 0x30C0000, 0,
                                  4,      4,           ch.x2i_tail + 16 + 80};
        uint64_t old;
        (void)!read(e.c->irq[ch.vector], &old, sizeof old); /* of an answer that was seen before its interrupt */
        alloc_fail_at(n, true);
        assert_true(client_send_raw(e.c, head, sizeof head, NULL, 0));
        assert_true(client_send_raw(e.c, req, sizeof req, NULL, 0));
        assert_true(client_send_raw(e.c, bell, sizeof bell, NULL, 0));
        struct pollfd p = {.fd = e.c->irq[ch.vector], .events = POLLIN};
        assert_int_equal(poll(&p, 1, CLIENT_TIMEOUT_MS), 1);
        bool hit = alloc_fail_hit();
        alloc_fail_at(0, false);
        answer a;
        assert_true(driver_take(e.c, &ch, &a, CLIENT_TIMEOUT_MS));
        assert_int_equal(a.word[0] != 0, hit);
        failed += hit;
        assert_int_equal(destroy(&e, id), 0);
        if (!hit) break;
    }
    assert_true(failed > 3);
    ts_buf_free(&pdi);
    stop(&e);
}

/* ---- the control channel ----------------------------------------------------------------------------------------- */

static void say(int s, const char *text) {
    assert_int_equal(send(s, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hear(int s, const char *want) {
    char got[512] = "";
    size_t n = 0;
    while (n < strlen(want)) {
        struct pollfd p = {.fd = s, .events = POLLIN};
        assert_int_equal(poll(&p, 1, CLIENT_TIMEOUT_MS), 1);
        ssize_t k = recv(s, got + n, sizeof got - 1 - n, 0);
        assert_true(k > 0);
        got[n += (size_t)k] = 0;
    }
    assert_string_equal(got, want);
}

static void control_channel(void **state) {
    (void)state;
    env e = start();
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(sa_family_t);
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), s;
    assert_int_equal(bind(l, (struct sockaddr *)&sa, len), 0); /* a name of the system's choice */
    assert_int_equal(listen(l, 1), 0);
    len = sizeof sa;
    assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &len), 0);
    control *c = control_start(e.n, l);
    assert_non_null(c);
    for (int i = 0; i < 2; i++) { /* one after the other */
        s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(s, (struct sockaddr *)&sa, len), 0);
        say(s, "hang 1\r\n");
        hear(s, "ok\n");
        say(s, "\n\nre");
        say(s, "set\nhang\nhang 0\n");
        hear(s, "ok\nerror: a number is missing\nerror: commands are counted from 1\n");
        char line[400];
        memset(line, 'x', sizeof line);
        line[sizeof line - 2] = '\n', line[sizeof line - 1] = 0;
        say(s, line);
        hear(s, "error: the line is too long\n");
        say(s, "   \ndance\nreset\n");
        hear(s, "error: no order\nerror: no such order\nok\n");
        if (!i) say(s, "res"); /* cut off */
        close(s);
    }
    control_stop(c);
    static const char *const bad[][2] = {
        {"hang x", "error: that is no number"}, {"hang -1", "error: that is no number"},
        {"hang 1 2", "error: too many words"}, {"hang 99999999999999999999", "error: that is no number"},
        {"hang 0x8000000000000000", "error: a number is too large"},
        {"fault 1 0", "error: a status is a number of 32 bits, not 0"},
        {"fault 1 0x100000000", "error: a status is a number of 32 bits, not 0"},
        {"delay 1 600001", "error: more than ten minutes"}, {"refuse 2", "error: a number is missing"},
        {"refuse 2 3 0", "error: a number is too large, or 0 times"},
        {"protocol 256", "error: a minor number is at most 255"}, {"dead 2", "error: 0 or 1"},
        {"clock 0x100000000", "error: a number is too large"}, {"async", "error: a name is missing"},
        {"async dma", "error: a number is missing"}, {"reset 1", "error: too many words"}, {"", "error: no order"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) order(&e, bad[i][0], bad[i][1]);
    for (int i = 0; i < 32; i++) order(&e, "hang 1000", "ok"), order(&e, "refuse 2 3", "ok");
    order(&e, "lose 1000", "error: too many orders are pending");
    order(&e, "refuse 2 3", "error: too many orders are pending");
    order(&e, "reset", "ok");
    stop(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firmware_starts), cmocka_unit_test(queries), cmocka_unit_test(commands),
        cmocka_unit_test(bad_configuration), cmocka_unit_test(heaps), cmocka_unit_test(status_of_columns),
        cmocka_unit_test(shared_columns), cmocka_unit_test(all_contexts), cmocka_unit_test(hanging),
        cmocka_unit_test(faults_and_delays), cmocka_unit_test(asynchronous_errors), cmocka_unit_test(deadlock),
        cmocka_unit_test(busy_contexts), cmocka_unit_test(no_late_writes), cmocka_unit_test(memory_goes_away),
        cmocka_unit_test(wild_rings), cmocka_unit_test(failing_allocations), cmocka_unit_test(control_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
