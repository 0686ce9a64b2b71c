/* cmd_npu_exec.c - `tessera npu exec`: run a program on the model of one core. */
#include "cli/cmd_npu.h"
#include "cli/common.h"

#include "aie2/core.h"
#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct machine {
    ts_aie2_core core;
    uint8_t *mem[TS_AIE2_WINDOWS];
    int32_t lock[64];
    uint32_t *in; /* words of the input stream */
    size_t in_words, in_next;
    ts_buf out; /* words of the output stream */
    unsigned n_undefined;
} machine;

/* ---- what the core sees: locks that start at 0, streams from and to files ---------------------------------------- */

static bool acquire(void *ud, unsigned lock, int32_t v) {
    machine *m = ud;
    if (v < 0 ? m->lock[lock] < -v : m->lock[lock] != v) return false;
    m->lock[lock] += v < 0 ? v : -v;
    return true;
}
static bool release(void *ud, unsigned lock, int32_t v) {
    machine *m = ud;
    m->lock[lock] += v;
    return true;
}
static bool stream_read(void *ud, uint32_t *word, bool *tlast) {
    machine *m = ud;
    if (m->in_next == m->in_words) return false;
    *word = m->in[m->in_next++];
    *tlast = m->in_next == m->in_words;
    return true;
}
static bool stream_write(void *ud, uint32_t word, bool tlast) {
    machine *m = ud;
    (void)tlast;
    return ts_buf_append(&m->out, &word, 4);
}
static void undefined(void *ud, uint32_t pc, ts_aie2_reg reg) {
    machine *m = ud;
    if (m->n_undefined++ < 20)
        fprintf(stderr, "pc 0x%05x: %s is read, but was never written\n", pc, ts_aie2_reg_print(reg));
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* "NAME=VALUE" or "ADDR=FILE": the left side's length, and the number on the right when there is one */
static const char *split(const char *arg, size_t *left) {
    const char *eq = strchr(arg, '=');
    *left = eq ? (size_t)(eq - arg) : 0;
    return eq ? eq + 1 : NULL;
}

static bool parse_u32(const char *s, size_t len, uint32_t *out) {
    char text[24], *end;
    if (!len || len >= sizeof text) return false;
    memcpy(text, s, len);
    text[len] = 0;
    long long v = strtoll(text, &end, 0);
    if (*end || v < -(1ll << 31) || v >= 1ll << 32) return false;
    *out = (uint32_t)v;
    return true;
}

static ts_status put_memory(machine *m, uint32_t addr, const void *data, size_t len, ts_err *err) {
    uint32_t window = (addr >> 16) - 4;
    if (window >= TS_AIE2_WINDOWS || len > TS_AIE2_DM_BYTES - (addr & 0xffff))
        return ts_fail(err, TS_E_INVAL, "%zu bytes at 0x%05x do not fit a memory (0x40000 to 0x7ffff, 64 KiB each)",
                       len, addr);
    if (len) memcpy(m->mem[window] + (addr & 0xffff), data, len);
    return TS_OK;
}

static ts_status load_memory(machine *m, const cli_list *list, ts_err *err) {
    for (size_t i = 0; i < list->n; i++) {
        size_t left;
        uint32_t addr;
        const char *file = split(list->item[i], &left);
        if (!file || !parse_u32(list->item[i], left, &addr))
            return ts_fail(err, TS_E_INVAL, "--mem %s: give ADDRESS=FILE", list->item[i]);
        ts_buf b = {0};
        ts_status e = ts_file_read(&b, file, TS_AIE2_DM_BYTES, err);
        if (e == TS_OK) e = put_memory(m, addr, b.data, b.len, err);
        ts_buf_free(&b);
        TS_TRY(e);
    }
    return TS_OK;
}

static ts_status set_registers(machine *m, const cli_list *regs, const cli_list *locks, ts_err *err) {
    for (size_t i = 0; i < regs->n; i++) {
        size_t left;
        uint32_t v;
        const char *value = split(regs->item[i], &left);
        ts_aie2_reg r = value ? ts_aie2_reg_find(regs->item[i], left) : TS_REGS;
        if (r == TS_REGS || ts_aie2_regs[r].bytes != 4 || ts_aie2_regs[r].kind >= TS_K_L ||
            !parse_u32(value, strlen(value), &v))
            return ts_fail(err, TS_E_INVAL, "--reg %s: give a scalar register and a number, as r0=5", regs->item[i]);
        ts_aie2_core_set32(&m->core, r, v);
    }
    for (size_t i = 0; i < locks->n; i++) {
        size_t left;
        uint32_t n, v;
        const char *value = split(locks->item[i], &left);
        if (!value || !parse_u32(locks->item[i], left, &n) || n > 63 || !parse_u32(value, strlen(value), &v))
            return ts_fail(err, TS_E_INVAL, "--lock %s: give NUMBER=VALUE, 0 to 63", locks->item[i]);
        m->lock[n] = (int32_t)v;
    }
    return TS_OK;
}

static ts_status load_program(machine *m, const char *path, bool hazards, ts_err *err) {
    size_t n = strlen(path);
    if (n > 2 && !strcmp(path + n - 2, ".s")) {
        ts_aie2_program p;
        ts_status e = npu_assemble_file(&p, path, hazards, err);
        if (e == TS_OK) e = ts_aie2_core_load(&m->core, 0, (const uint8_t *)p.code.data, p.code.len, err);
        for (size_t i = 0; i < p.n_data && e == TS_OK; i++)
            e = put_memory(m, p.data[i].addr, p.data[i].bytes.data, p.data[i].bytes.len, err);
        ts_aie2_program_free(&p);
        return e;
    }
    ts_map map;
    TS_TRY(ts_map_open(&map, path, err));
    ts_status e = ts_aie2_core_load(&m->core, 0, map.data, map.len, err);
    ts_map_close(&map);
    return e == TS_OK ? e : ts_err_prefix(err, e, "%s", path);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void print_vector(const uint8_t *p, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;) printf("%02x%s", p[i], i && i % 4 == 0 ? "_" : "");
}

/* The bundle without its nops. */
static bool print_busy(ts_buf *text, const ts_aie2_bundle *b) {
    bool ok = true;
    for (int s = 0; s < TS_SLOTS && ok; s++) {
        if (!(b->set >> s & 1) || ts_aie2_is_nop((ts_aie2_slot)s, &b->inst[s])) continue;
        ok = (!text->len || ts_buf_puts(text, " ; ")) && ts_aie2_inst_print(text, &b->inst[s]);
    }
    return ok && (text->len || ts_buf_puts(text, "nop"));
}

/* One line a bundle: cycle, address, text, then the registers that changed. */
static bool trace_step(machine *m, ts_aie2_event *event) {
    uint8_t before[TS_RF_BYTES];
    ts_buf text = {0};
    ts_aie2_core *c = &m->core;
    uint64_t cycle = c->cycle;
    uint32_t pc = c->pc;
    const ts_aie2_bundle *b = ts_aie2_core_next(c);
    bool ok = b ? print_busy(&text, b) : ts_buf_puts(&text, "(no bundle)");
    memcpy(before, c->rf, sizeof before);
    *event = ts_aie2_core_run(c, 1);
    printf("%6" PRIu64 "  %05x  %-60s", cycle, pc, ok ? text.data : "");
    if (*event == TS_AIE2_STALL) printf(" waits");
    for (int r = 0; r < TS_REGS; r++) {
        const ts_aie2_reginfo *i = &ts_aie2_regs[r];
        bool part = i->kind < TS_K_L && i->kind != TS_K_X && i->kind != TS_K_BM && i->kind != TS_K_CM;
        if (!part || !memcmp(before + i->at, c->rf + i->at, i->bytes)) continue;
        printf(" %s=", i->name);
        print_vector(c->rf + i->at, i->bytes);
    }
    putchar('\n');
    ts_buf_free(&text);
    return ok;
}

static ts_status dump(const machine *m, const char *arg, ts_err *err) {
    const char *comma = strchr(arg, ',');
    uint32_t addr, len;
    if (!comma || !parse_u32(arg, (size_t)(comma - arg), &addr) || !parse_u32(comma + 1, strlen(comma + 1), &len) ||
        (addr >> 16) - 4 >= TS_AIE2_WINDOWS || len > TS_AIE2_DM_BYTES - (addr & 0xffff))
        return ts_fail(err, TS_E_INVAL, "--dump %s: give ADDRESS,LENGTH within a memory", arg);
    const uint8_t *p = m->mem[(addr >> 16) - 4] + (addr & 0xffff);
    for (uint32_t i = 0; i < len; i += 16) {
        printf("%05x ", addr + i);
        for (uint32_t k = i; k < i + 16 && k < len; k++) printf(" %02x", p[k]);
        putchar('\n');
    }
    return TS_OK;
}

static const char *stall_name(ts_aie2_stall s) {
    static const char *const names[] = {"nothing", "a lock", "a word of the input stream", "room in the output stream",
                                        "the cascade input", "the cascade output"};
    return names[s];
}

static int report(machine *m, ts_aie2_event e, double seconds, long max_cycles) {
    ts_aie2_core *c = &m->core;
    fprintf(stderr, "%" PRIu64 " cycles, %" PRIu64 " bundles, %" PRIu64 " lost to bank conflicts", c->cycle, c->bundles,
            c->bank_stalls);
    if (seconds > 0.01) fprintf(stderr, "; %.1f million bundles a second", (double)c->bundles * 1e-6 / seconds);
    fputc('\n', stderr);
    if (m->n_undefined > 20) fprintf(stderr, "... %u more reads of registers never written\n", m->n_undefined - 20);
    switch (e) {
    case TS_AIE2_DONE: return CLI_OK;
    case TS_AIE2_ERROR: return cli_fail(&c->error);
    case TS_AIE2_STALL:
        if (c->stall == TS_AIE2_STALL_LOCK)
            fprintf(stderr, "tessera: pc 0x%05x waits for lock %u, which stays %d\n", c->pc, c->stall_lock,
                    m->lock[c->stall_lock & 63]);
        else fprintf(stderr, "tessera: pc 0x%05x waits for %s, which does not come\n", c->pc, stall_name(c->stall));
        return CLI_FAIL;
    default: fprintf(stderr, "tessera: pc 0x%05x: not done after %ld cycles\n", c->pc, max_cycles); return CLI_FAIL;
    }
}

static int run(const cli_command *self, int argc, char **argv) {
    cli_list rest = {0}, mems = {0}, dumps = {0}, regs = {0}, locks = {0};
    const char *stream_in = NULL, *stream_out = NULL;
    bool trace = false, hazards = true, check = true;
    long max_cycles = 10000000;
    machine *m = NULL;
    ts_buf in = {0};
    ts_err err = {0};
    const cli_opt opts[] = {
        {CLI_LIST, 0, "mem", "ADDR=FILE", &mems, 0, 0,
         "put a file into memory before the run; own memory is at 0x70000"},
        {CLI_LIST, 0, "reg", "REG=N", &regs, 0, 0, "set a scalar register, as p0=0x70000"},
        {CLI_LIST, 0, "lock", "N=V", &locks, 0, 0, "set a lock, 48-63 are the core's own; the others start at 0"},
        {CLI_STR, 0, "stream-in", "FILE", &stream_in, 0, 0, "32-bit words that the input stream delivers"},
        {CLI_STR, 0, "stream-out", "FILE", &stream_out, 0, 0, "write the words of the output stream here"},
        {CLI_LIST, 0, "dump", "ADDR,LEN", &dumps, 0, 0, "print memory after the run"},
        {CLI_FLAG, 0, "trace", NULL, &trace, 0, 0, "a line for each bundle, with the registers that change"},
        {CLI_INT, 0, "max-cycles", "N", &max_cycles, 1, 1e15, "stop after this many cycles (10 million)"},
        {CLI_FLAG_OFF, 0, "no-hazards", NULL, &hazards, 0, 0, "a .s file: do not check its timing"},
        {CLI_FLAG_OFF, 0, "no-undefined", NULL, &check, 0, 0,
         "do not tell of registers that are read but never written"},
        {0},
    };
    int code = cli_parse(self, opts, argc, argv, &rest);
    if (code) goto out;
    if (rest.n != 1) {
        code = cli_usage_error(self, "give one program");
        goto out;
    }
    const char *read[] = {rest.item[0], stream_in};
    code = cli_check_output(self, stream_out, read, 2);
    if (code) goto out;
    ts_status e = (m = ts_calloc(1, sizeof *m)) ? TS_OK : ts_fail_nomem(&err, "a core", sizeof *m);
    ts_aie2_outside outside = {.ud = m,
                               .acquire = acquire,
                               .release = release,
                               .stream_read = stream_read,
                               .stream_write = stream_write,
                               .undefined = undefined};
    for (int i = 0; i < TS_AIE2_WINDOWS && e == TS_OK; i++)
        if (!(outside.mem[i] = m->mem[i] = ts_calloc(TS_AIE2_DM_BYTES, 1)))
            e = ts_fail_nomem(&err, "memory", TS_AIE2_DM_BYTES);
    if (e == TS_OK) e = ts_aie2_core_init(&m->core, &outside, &err);
    if (e == TS_OK) e = load_program(m, rest.item[0], hazards, &err);
    if (e == TS_OK) e = load_memory(m, &mems, &err);
    if (e == TS_OK) e = set_registers(m, &regs, &locks, &err);
    if (e == TS_OK && stream_in) e = ts_file_read(&in, stream_in, 1 << 30, &err);
    if (e != TS_OK) {
        code = cli_fail(&err);
        goto out;
    }
    m->in = (uint32_t *)(void *)in.data;
    m->in_words = in.len / 4;
    m->core.check_undefined = check;
    ts_aie2_event event = TS_AIE2_RAN;
    clock_t begin = clock(); /* processor time: the model uses one core, others may be busy */
    if (trace) {
        while (event == TS_AIE2_RAN && m->core.cycle < (uint64_t)max_cycles)
            if (!trace_step(m, &event)) break;
    } else {
        event = ts_aie2_core_run(&m->core, (uint64_t)max_cycles);
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    uint64_t cycles = m->core.cycle;
    ts_aie2_core_drain(&m->core, 16); /* stores on their way arrive */
    m->core.cycle = cycles;
    for (size_t i = 0; i < dumps.n && e == TS_OK; i++) e = dump(m, dumps.item[i], &err);
    if (e == TS_OK && stream_out) e = ts_file_write(stream_out, m->out.data ? m->out.data : "", m->out.len, &err);
    code = e != TS_OK ? cli_fail(&err) : report(m, event, seconds, max_cycles);
out:
    if (m) {
        ts_aie2_core_fini(&m->core);
        for (int i = 0; i < TS_AIE2_WINDOWS; i++) ts_free(m->mem[i]);
        ts_buf_free(&m->out);
    }
    ts_free(m);
    ts_buf_free(&in);
    ts_free(rest.item), ts_free(mems.item), ts_free(dumps.item), ts_free(regs.item), ts_free(locks.item);
    return code == -1 ? CLI_OK : code;
}

const cli_command cmd_npu_exec = {
    .name = "npu exec",
    .args = "FILE.bin | FILE.s",
    .files = "@file",
    .summary = "run a program on the model of one core",
    .text = "Starts at address 0 and ends at `done`. A .s file is assembled first and its data put into memory.",
    .run = run,
};
