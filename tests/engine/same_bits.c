/* same_bits.c - the numeric contract, end to end: the logits of a model depend on the file, the tokens and the KV
 * type, and on nothing else. Compared are hashes of all bits, for every model of the zoo (every tensor type, every
 * feature of the families):
 *   every level that this processor reaches; 1, 2 and 3 threads;
 *   the prompt as a whole (ts_session_score), token by token, in odd pieces;
 *   a prefix from the cache: sync to A, to B that begins like A, and to A again.
 *
 * And against bits.txt: the bits do not change from one compiler, machine or version to the next unless somebody means
 * to change the arithmetic, who then writes the file anew and says so in docs/numerics.md.
 *
 * Usage: same_bits BITS.txt [--all | --quick] [--only MODEL] [-v]
 *        same_bits --print > BITS.txt
 *   without --all each model is run in a few ways that together use every level, thread count and manner of feeding;
 *   with it in all of them, over a longer context; with --quick (emulators) in one way a level, without reused
 *   prefixes, and of the families a third. */
#define _GNU_SOURCE
#include "base/cpu.h"
#include "base/mem.h"
#include "support/levels.h"
#include "tessera/tessera.h"
#include "vectors/zoo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOK = 300, GOLDEN_TOK = 66 }; /* all runs are at least that long */

typedef enum feed { WHOLE, ONE_BY_ONE, PIECES, REUSE } feed;
static const char *const feed_name[] = {"whole", "one by one", "in pieces", "with a reused prefix"};

typedef struct way {
    ts_cpu_level level;
    int n_threads;
    feed feed;
} way;

/* What a run has seen: a hash of the logits after each position, 0 where they were not asked for. */
typedef struct seen {
    uint64_t hash[MAX_TOK];
    uint64_t other; /* after the timeline B that shares a prefix; 0: not visited */
} seen;

static const char *model_name, *kv_name;
static int failures, comparisons;
static bool all, quick, verbose, print;
static char golden[16384]; /* bits.txt: "model kv hash" a line */

static void die(const char *what, const ts_err *err) {
    printf("FAILED: %s, kv %s: %s: %s\n", model_name, kv_name, what, err->msg);
    exit(1);
}

/* FNV-1a over words; every logit must be a number, or the comparison would mean little. */
static uint64_t hash_logits(const float *x, uint32_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            printf("FAILED: %s, kv %s: logit %u is %g\n", model_name, kv_name, i, (double)x[i]);
            exit(1);
        }
        uint32_t u;
        memcpy(&u, &x[i], 4);
        h = (h ^ u) * 0x100000001b3u;
    }
    return h;
}

struct scoring {
    seen *out;
    uint32_t n_vocab;
};

static bool on_logits(void *ud, size_t pos, const float *logits) {
    struct scoring *s = ud;
    s->out->hash[pos] = hash_logits(logits, s->n_vocab);
    return true;
}

static uint64_t sync_to(ts_session *s, const ts_token *token, size_t n, uint32_t n_vocab) {
    ts_err err;
    if (ts_session_sync(s, token, n, &err) != TS_OK) die("sync", &err);
    return hash_logits(ts_session_logits(s), n_vocab);
}

/* Timeline B: the first 3/4 of A, then other tokens. */
static void make_other(ts_token *b, const ts_token *a, size_t n, uint32_t n_vocab) {
    for (size_t i = 0; i < n; i++) b[i] = i < n * 3 / 4 ? a[i] : (ts_token)(((uint32_t)a[i] + 1) % n_vocab);
}

static void run(ts_engine *e, ts_kv_type kv, feed how, const ts_token *token, size_t n, seen *out) {
    static const size_t piece[] = {1, 3, 5, 17, 2, 33, 16, 7, 64, 1, 1, 15};
    ts_model_info info;
    ts_engine_info(e, &info);
    ts_session *s;
    ts_err err;
    const ts_session_opts opts = {.n_ctx = (uint32_t)n, .kv = kv};
    if (ts_session_new(&s, e, &opts, &err) != TS_OK) die("session", &err);
    ts_token other[MAX_TOK];
    make_other(other, token, n, info.n_vocab);
    *out = (seen){0};
    switch (how) {
    case WHOLE:
        if (ts_session_score(s, token, n, on_logits, &(struct scoring){out, info.n_vocab}, &err) != TS_OK)
            die("score", &err);
        break;
    case ONE_BY_ONE:
        for (size_t i = 1; i <= n; i++) out->hash[i - 1] = sync_to(s, token, i, info.n_vocab);
        break;
    case PIECES:
        for (size_t i = 0, k = 0; i < n; k++) {
            i += piece[k % (sizeof piece / sizeof *piece)];
            if (i > n) i = n;
            out->hash[i - 1] = sync_to(s, token, i, info.n_vocab);
        }
        break;
    case REUSE:
        out->hash[n - 1] = sync_to(s, token, n, info.n_vocab);
        out->other = sync_to(s, other, n, info.n_vocab);
        if (sync_to(s, token, n, info.n_vocab) != out->hash[n - 1]) out->hash[n - 1] = 1; /* A again, from B's cache */
        out->hash[n / 2] = sync_to(s, token, n / 2 + 1, info.n_vocab);                    /* back into A itself */
        ts_session_stats stats;
        ts_session_get_stats(s, &stats);
        if (stats.n_reused != 2 * (n * 3 / 4) + n / 2) {
            printf("FAILED: %s: %llu tokens were reused\n", model_name, (unsigned long long)stats.n_reused);
            failures++;
        }
        break;
    }
    ts_session_free(s);
}

static ts_engine *open_engine(const ts_buf *file, ts_cpu_level level, int n_threads) {
    ts_engine *e;
    ts_err err;
    const ts_engine_opts opts = {.n_threads = n_threads, .cpu_level = ts_cpu_level_name(level)};
    if (ts_engine_open_memory(&e, file->data, file->len, &opts, &err) != TS_OK) die("open", &err);
    ts_model_info info;
    ts_engine_info(e, &info);
    if (strcmp(info.cpu_level, ts_cpu_level_name(level)) || info.n_threads != n_threads) {
        printf("FAILED: asked for %s and %d threads, got %s and %d\n", ts_cpu_level_name(level), n_threads,
               info.cpu_level, info.n_threads);
        exit(1);
    }
    return e;
}

static void compare(const seen *want, const seen *got, way w, size_t n) {
    size_t n_compared = 0;
    for (size_t i = 0; i < n; i++) {
        if (!got->hash[i]) continue;
        n_compared++;
        if (got->hash[i] == want->hash[i]) continue;
        printf("FAILED: %s, kv %s: logits after position %zu differ: %s, %d threads, fed %s\n", model_name, kv_name, i,
               ts_cpu_level_name(w.level), w.n_threads, feed_name[w.feed]);
        failures++;
        break;
    }
    if (got->other && got->other != want->other) {
        printf("FAILED: %s, kv %s: logits with a prefix from the cache differ: %s, %d threads\n", model_name, kv_name,
               ts_cpu_level_name(w.level), w.n_threads);
        failures++;
    }
    comparisons += (int)n_compared;
    if (verbose)
        printf("  %s, %d threads, fed %s: %zu positions\n", ts_cpu_level_name(w.level), w.n_threads, feed_name[w.feed],
               n_compared);
}

/* All positions' logits as one number, to be compared with that of bits.txt. */
static void check_golden(const seen *base) {
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < GOLDEN_TOK; i++) h = (h ^ base->hash[i]) * 0x100000001b3u;
    char line[100];
    snprintf(line, sizeof line, "%s %s %016llx\n", model_name, kv_name, (unsigned long long)h);
    if (print) {
        fputs(line, stdout);
    } else if (!strstr(golden, line)) {
        printf("FAILED: bits.txt does not have the line %s", line);
        failures++;
    }
}

/* Is this way part of the short run? `number` of the model and KV type spreads the feeds over the levels. */
static bool chosen(way w, size_t number, ts_cpu_level best) {
    if (print) return false;
    if (all) return true;
    if (w.level == TS_CPU_REF && best > TS_CPU_REF) return false; /* the baseline has it */
    if (quick && (number / 3 + (size_t)w.level) % 3 + 1 != (size_t)w.n_threads) return false;
    return (feed)((number + (size_t)w.level + (size_t)w.n_threads) % (quick ? REUSE : 4)) == w.feed;
}

static void check_model(const zoo_model *m, size_t number, ts_kv_type kv) {
    const ts_cpu_level best = ts_cpu_detect();
    const bool by_type = number >= zoo_first_type;
    const size_t n = all ? 2 * 64 + 73 : by_type ? 66 : 64 + 23;
    model_name = m->shape.name;
    kv_name = ts_kv_type_name(kv);
    if (verbose) printf("%s, kv %s\n", model_name, kv_name);
    ts_token token[MAX_TOK], other[MAX_TOK];
    zoo_prompt(m->shape.n_vocab, token, n);
    make_other(other, token, n, m->shape.n_vocab);
    ts_buf raw = {0};
    ts_err err;
    if (zoo_make(m, &raw, &err) != TS_OK) die("make", &err);
    ts_buf file = {.data = ts_alloc_aligned(raw.len, 1), .len = raw.len};
    if (!file.data) abort();
    memcpy(file.data, raw.data, raw.len);
    ts_buf_free(&raw);

    /* the baseline: the reference kernels on one thread, the prompt as a whole, B on a session of its own */
    seen want, b;
    ts_engine *e = open_engine(&file, TS_CPU_REF, 1);
    run(e, kv, WHOLE, token, n, &want);
    if (!quick) {
        run(e, kv, WHOLE, other, n, &b);
        want.other = b.hash[n - 1];
    }
    ts_engine_close(e);
    check_golden(&want);
    for (int level = TS_CPU_REF; level < TS_CPU_LEVELS; level = next_level(level))
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            e = NULL;
            for (int f = WHOLE; f <= REUSE; f++) {
                way w = {(ts_cpu_level)level, n_threads, (feed)f};
                if (!chosen(w, number + (size_t[]){0, 2, 1}[kv], best)) continue;
                if (!e) e = open_engine(&file, w.level, w.n_threads);
                seen got;
                run(e, kv, w.feed, token, n, &got);
                compare(&want, &got, w, n);
            }
            ts_engine_close(e);
        }
    ts_free(file.data);
}

int main(int argc, char **argv) {
    const char *only = NULL, *bits = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--all")) all = true;
        else if (!strcmp(argv[i], "--quick")) quick = true;
        else if (!strcmp(argv[i], "--print")) print = true;
        else if (!strcmp(argv[i], "-v")) verbose = true;
        else if (!strcmp(argv[i], "--only") && i + 1 < argc) only = argv[++i];
        else if (argv[i][0] != '-' && !bits) bits = argv[i];
        else return fprintf(stderr, "same_bits: unknown option %s\n", argv[i]), 2;
    }
    const ts_cpu_level best = print ? ts_cpu_detect() : levels_here();
    FILE *f = bits ? fopen(bits, "rb") : NULL;
    if (!f && !print) return fprintf(stderr, "same_bits: the file bits.txt is needed\n"), 2;
    if (f) golden[fread(golden, 1, sizeof golden - 1, f)] = 0, fclose(f);
    for (size_t i = 0; zoo_at(i); i++) {
        if (only && strcmp(only, zoo_at(i)->shape.name)) continue;
        /* the short run takes all KV types where architectures differ, and turns where only the weights do; the quick
         * one turns, and a third of the architectures */
        for (int kv = TS_KV_F16; kv <= TS_KV_Q8_0; kv++) {
            const bool turn = i >= zoo_first_type ? i % 3 == (size_t)kv : !quick || i == 3 * (i / 9 * 3 + (size_t)kv);
            if (all || print || turn) check_model(zoo_at(i), i, (ts_kv_type)kv);
        }
    }
    if (print) return failures;
    printf("%d positions compared, %d failures; levels up to %s\n", comparisons, failures, ts_cpu_level_name(best));
    return failures || !comparisons;
}
