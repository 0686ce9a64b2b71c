#include "quant/gptq.h"
#include "quant/grid.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum {
    TILE = 64,     /* rows and columns of the blocks that matrices are worked on in */
    COLUMNS = 128, /* whose errors are gathered before those behind them are changed */
    ROWS = 32,     /* of a task of ts_gptq_rows */
    AT_ONCE = 16,  /* tasks between two looks at the watch */
    PASSES = 4,    /* of settling */
};

static uint32_t tiles(uint32_t n) {
    return (n + TILE - 1) / TILE;
}
static uint32_t at_most(uint32_t n, uint32_t most) {
    return n < most ? n : most;
}

ts_status ts_gptq_init(ts_gptq *g, uint32_t n_in, bool products, ts_err *err) {
    *g = (ts_gptq){.n_in = n_in};
    if (products) g->h = ts_calloc((size_t)n_in * n_in, sizeof *g->h);
    g->square = ts_calloc(n_in, sizeof *g->square);
    if ((g->h || !products) && g->square) return TS_OK;
    ts_gptq_fini(g);
    return ts_fail_nomem(err, "the inputs' products", (size_t)n_in * n_in * sizeof(float));
}

void ts_gptq_fini(ts_gptq *g) {
    ts_free(g->h);
    ts_free(g->u);
    ts_free(g->square);
    *g = (ts_gptq){0};
}

/* y[j][i] = dot(row i of a, row j of b) over n, for na rows of a and nb of b, ld floats apart: in the order of
 * TS_GEMM_F. */
static void dots(const ts_kern *kern, const float *a, uint32_t na, const float *b, uint32_t nb, size_t ld, uint32_t n,
                 float *y, size_t ld_y) {
    kern->gemm_f[TS_F32](a, ld * sizeof *a, n, b, ld, nb, 0, na, y, ld_y);
}

/* ---- the sum of products ----------------------------------------------------------------------------------------- */

struct adding {
    ts_gptq *g;
    const float *x; /* [n_in][n] inputs in reverse order */
    uint32_t n;
    const ts_kern *kern;
};

static void add_task(void *arg, size_t task, int thread) {
    const struct adding *a = arg;
    (void)thread;
    const uint32_t K = a->g->n_in, i0 = (uint32_t)task * TILE, ni = at_most(K - i0, TILE);
    float y[TILE * TILE];
    for (uint32_t j0 = 0; j0 <= i0; j0 += TILE) {
        const uint32_t nj = at_most(K - j0, TILE);
        dots(a->kern, a->x + (size_t)j0 * a->n, nj, a->x + (size_t)i0 * a->n, ni, a->n, a->n, y, TILE);
        for (uint32_t i = 0; i < ni; i++)
            for (uint32_t j = 0; j < nj; j++) a->g->h[(size_t)(i0 + i) * K + j0 + j] += y[i * TILE + j];
    }
}

ts_status ts_gptq_add(ts_gptq *g, const float *x, uint32_t n, const ts_kern *kern, ts_pool *pool, ts_err *err) {
    const uint32_t K = g->n_in;
    const float before = (float)((double)g->n_tok / (double)(g->n_tok + n)), each = 1 / (float)(g->n_tok + n);
    for (uint32_t i = 0; i < K; i++) {
        float sum = 0;
        for (uint32_t t = 0; t < n; t++) sum += x[(size_t)t * K + i] * x[(size_t)t * K + i];
        g->square[i] = g->square[i] * before + sum * each;
    }
    g->n_tok += n;
    if (!g->h) return TS_OK;
    float *turned = ts_alloc((size_t)K * n, sizeof *turned);
    if (!turned) return ts_fail_nomem(err, "the inputs", (size_t)K * n * sizeof *turned);
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < K; i++) turned[(size_t)(K - 1 - i) * n + t] = x[(size_t)t * K + i];
    ts_pool_run(pool, tiles(K), add_task, &(struct adding){.g = g, .x = turned, .n = n, .kern = kern});
    ts_free(turned);
    return TS_OK;
}

/* ---- factors ----------------------------------------------------------------------------------------------------- */

/* The lower triangle of `a` is worked on; the upper one keeps what it was. */
struct factoring {
    float *a, *u;
    uint32_t K, at; /* `at`: of the block of columns */
    const ts_kern *kern;
};

/* Take off what the columns before have: a[I][J] -= L[I][..] L[J][..]'. */
static void update_task(void *arg, size_t task, int thread) {
    const struct factoring *f = arg;
    (void)thread;
    const uint32_t i0 = f->at + (uint32_t)task * TILE, ni = at_most(f->K - i0, TILE), nj = at_most(f->K - f->at, TILE);
    float y[TILE * TILE];
    dots(f->kern, f->a + (size_t)f->at * f->K, nj, f->a + (size_t)i0 * f->K, ni, f->K, f->at, y, TILE);
    for (uint32_t i = 0; i < ni; i++)
        for (uint32_t j = 0; j < nj; j++)
            if (f->at + j <= i0 + i) f->a[(size_t)(i0 + i) * f->K + f->at + j] -= y[i * TILE + j];
}

/* false: not positive. */
static bool factor_block(const struct factoring *f) {
    const uint32_t n = at_most(f->K - f->at, TILE);
    for (uint32_t j = 0; j < n; j++) {
        float *row = f->a + (size_t)(f->at + j) * f->K + f->at;
        double d = (double)row[j];
        for (uint32_t k = 0; k < j; k++) d -= (double)row[k] * (double)row[k];
        if (!(d > 0) || !(d < (double)FLT_MAX)) return false;
        row[j] = (float)sqrt(d);
        for (uint32_t i = j + 1; i < n; i++) {
            float *other = f->a + (size_t)(f->at + i) * f->K + f->at;
            double s = (double)other[j];
            for (uint32_t k = 0; k < j; k++) s -= (double)other[k] * (double)row[k];
            other[j] = (float)(s / (double)row[j]);
        }
    }
    return true;
}

/* A row below the block: what its elements there have to be. */
static void solve_task(void *arg, size_t task, int thread) {
    const struct factoring *f = arg;
    (void)thread;
    const uint32_t first = f->at + TILE + (uint32_t)task * TILE, end = first + at_most(f->K - first, TILE);
    for (uint32_t i = first; i < end; i++) {
        float *row = f->a + (size_t)i * f->K + f->at;
        for (uint32_t j = 0; j < TILE; j++) {
            const float *l = f->a + (size_t)(f->at + j) * f->K + f->at;
            float s = row[j];
            for (uint32_t k = 0; k < j; k++) s -= row[k] * l[k];
            row[j] = s / l[j];
        }
    }
}

/* *ok: it has one. */
static ts_status cholesky(struct factoring *f, ts_watch *watch, ts_pool *pool, bool *ok, ts_err *err) {
    *ok = false;
    for (f->at = 0; f->at < f->K; f->at += TILE) {
        const uint32_t below = f->K - f->at;
        if (f->at) ts_pool_run(pool, tiles(below), update_task, f);
        if (!factor_block(f)) return TS_OK;
        if (below > TILE) ts_pool_run(pool, tiles(below - TILE), solve_task, f);
        TS_TRY(ts_watch_step(watch, (uint64_t)below * at_most(below, TILE) * (f->at + TILE) / TS_WATCH_PRODUCTS, err));
    }
    *ok = true;
    return TS_OK;
}

/* The inverse of the block of L at i0, lower triangular. */
static void invert_block(const float *a, uint32_t K, uint32_t i0, uint32_t n, float inv[TILE * TILE]) {
    memset(inv, 0, TILE * TILE * sizeof *inv);
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t i = j; i < n; i++) {
            const float *row = a + (size_t)(i0 + i) * K + i0;
            double s = i == j;
            for (uint32_t k = j; k < i; k++) s -= (double)row[k] * (double)inv[k * TILE + j];
            inv[i * TILE + j] = (float)(s / (double)row[i]);
        }
}

/* A block of columns of the inverse of L, which are rows of u: block by block downwards. */
static void invert_task(void *arg, size_t task, int thread) {
    const struct factoring *f = arg;
    (void)thread;
    const uint32_t K = f->K, j0 = f->at + (uint32_t)task * TILE, nj = at_most(K - j0, TILE);
    float inv[TILE * TILE], y[TILE * TILE];
    for (uint32_t i0 = j0; i0 < K; i0 += TILE) {
        const uint32_t ni = at_most(K - i0, TILE);
        invert_block(f->a, K, i0, ni, inv);
        if (i0 == j0) {
            for (uint32_t i = 0; i < ni; i++)
                for (uint32_t j = 0; j <= i; j++) f->u[(size_t)(j0 + j) * K + i0 + i] = inv[i * TILE + j];
            continue;
        }
        dots(f->kern, f->u + (size_t)j0 * K + j0, nj, f->a + (size_t)i0 * K + j0, ni, K, i0 - j0, y, TILE);
        for (uint32_t i = 0; i < ni; i++)
            for (uint32_t j = 0; j < nj; j++) {
                float s = 0;
                for (uint32_t k = 0; k <= i; k++) s += inv[i * TILE + k] * y[k * TILE + j];
                f->u[(size_t)(j0 + j) * K + i0 + i] = -s;
            }
    }
}

static ts_status invert(struct factoring *f, ts_watch *watch, ts_pool *pool, ts_err *err) {
    for (f->at = 0; f->at < f->K; f->at += AT_ONCE * TILE) {
        const uint32_t below = f->K - f->at, tasks = at_most(tiles(below), AT_ONCE);
        ts_pool_run(pool, tasks, invert_task, f);
        TS_TRY(ts_watch_step(watch, (uint64_t)below * below / 2 * tasks * TILE / TS_WATCH_PRODUCTS, err));
    }
    return TS_OK;
}

uint64_t ts_gptq_factor_cost(uint32_t n_in) { /* a sixth of the cube each: for R, and for its inverse */
    return (uint64_t)n_in * n_in / 3 * n_in / TS_WATCH_PRODUCTS;
}

/* The lower triangle again, with the diagonal damped; a column without input stands for itself. */
static void restore(float *h, const float *diagonal, uint32_t K, float damp) {
    for (uint32_t i = 0; i < K; i++) {
        for (uint32_t j = 0; j < i; j++) h[(size_t)i * K + j] = h[(size_t)j * K + i];
        h[(size_t)i * K + i] = (diagonal[i] > 0 ? diagonal[i] : 1) + damp;
    }
}

ts_status ts_gptq_factor(ts_gptq *g, float damp, const ts_kern *kern, ts_pool *pool, ts_err *err) {
    const uint32_t K = g->n_in;
    float *diagonal = ts_alloc(K, sizeof *diagonal);
    double mean = 0;
    g->u = ts_calloc((size_t)K * K, sizeof *g->u);
    assert(g->n_tok);
    if (!g->u || !diagonal) {
        ts_free(diagonal);
        return ts_fail_nomem(err, "the inverse factor", (size_t)K * K * sizeof *g->u);
    }
    const float scale = 1 / (float)g->n_tok;
    for (uint32_t i = 0; i < K; i++)
        for (uint32_t j = 0; j <= i; j++) g->h[(size_t)j * K + i] = g->h[(size_t)i * K + j] * scale;
    for (uint32_t i = 0; i < K; i++) {
        diagonal[i] = g->h[(size_t)i * K + i];
        mean += (double)diagonal[i] / K;
    }
    ts_status st = isfinite(mean) ? TS_OK : ts_fail(err, TS_E_FORMAT, "the activations' squares are not finite");
    struct factoring f = {.a = g->h, .u = g->u, .K = K, .kern = kern};
    bool ok = false;
    for (int tries = 0; st == TS_OK && !ok && tries < 6; tries++, damp *= 10) {
        restore(g->h, diagonal, K, damp * (float)(mean > 0 ? mean : 1));
        st = cholesky(&f, g->watch, pool, &ok, err);
    }
    if (st == TS_OK && !ok) st = ts_fail(err, TS_E_FORMAT, "the activations' products have no Cholesky factor");
    if (st == TS_OK) st = invert(&f, g->watch, pool, err);
    restore(g->h, diagonal, K, damp / 10 * (float)(mean > 0 ? mean : 1));
    ts_free(diagonal);
    return st;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

struct rows {
    const ts_gptq *g;
    ts_dtype type;
    float *w;
    uint32_t n_out, first; /* rows; those before `first` are done */
    uint8_t *blocks;
    size_t row_bytes;
    const ts_kern *kern;
    uint32_t group, n_groups; /* columns with one grid, and how many such a row has */
    float *delta;             /* [threads][2][ROWS][n_in] what is taken off; the weights as they were */
    ts_grid *grid;            /* [threads][ROWS][n_groups] */
};

/* Columns [c0, c1) of rows [r0, r0 + n): each rounded, the others of them changed by it, its error kept in e[r][c1 - 1
 * - column]. */
static void round_columns(const struct rows *p, uint32_t r0, uint32_t n, uint32_t c0, uint32_t c1, ts_grid *grid,
                          float e[ROWS][COLUMNS]) {
    const uint32_t K = p->g->n_in, m = c1 - c0;
    float u[COLUMNS][COLUMNS]; /* rows of U inside the columns */
    for (uint32_t a = 0; a < m; a++)
        for (uint32_t b = a; b < m; b++) u[a][b] = p->g->u[(size_t)(K - 1 - c0 - b) * K + K - 1 - c0 - a];
    for (uint32_t r = 0; r < n; r++) {
        float *w = p->w + (size_t)(r0 + r) * K;
        for (uint32_t a = 0; a < m; a++) {
            const uint32_t c = c0 + a, in_group = c % p->group;
            ts_grid *q = &grid[r * p->n_groups + c / p->group];
            if (in_group == 0) ts_grid_fix(q, p->type, w + c, p->g->square + c, at_most(K - c, p->group), p->kern);
            const float value = ts_grid_round(q, in_group, w[c]), error = (w[c] - value) / u[a][a];
            w[c] = value;
            e[r][m - 1 - a] = error;
            for (uint32_t b = a + 1; b < m; b++) w[c0 + b] -= error * u[a][b];
        }
    }
}

/* Elements once more, after all have been rounded: coordinate descent on the same sum of squares, (w - q) H (w - q)'.
 * `slope` is (w - q) H of a row, inputs in reverse order. Inside a block of columns it follows at once, for the others
 * by what has moved in the block, which is kept in moved[c1 - 1 - column]: H is read once for ROWS rows. */
struct sweep {
    const struct rows *p;
    uint32_t c0, c1; /* the block */
    float *q, *slope;
    ts_grid *grid;
    float *moved;
};

static void move(const struct sweep *s, uint32_t c, float step) {
    const uint32_t K = s->p->g->n_in, first = K - s->c1;
    const float *h = s->p->g->h + (size_t)(K - 1 - c) * K + first;
    s->moved[s->c1 - 1 - c] += step;
    for (uint32_t j = 0; j < s->c1 - s->c0; j++) s->slope[first + j] -= step * h[j];
}

/* Each rounded anew to what is best beside all others as they are. */
static bool settle(const struct sweep *s) {
    const uint32_t K = s->p->g->n_in, group = s->p->group;
    bool any = false;
    for (uint32_t c = s->c0; c < s->c1; c++) {
        const uint32_t at = K - 1 - c;
        const float was = s->q[c], by = s->slope[at] / s->p->g->h[(size_t)at * K + at],
                    now = ts_grid_round(&s->grid[c / group], c % group, was + by);
        if (now == was) continue;
        s->q[c] = now;
        move(s, c, now - was);
        any = true;
    }
    return any;
}

/* The steps of the groups, each the best for the codes as they are beside all others. */
static bool restep(const struct sweep *s) {
    const uint32_t K = s->p->g->n_in, group = s->p->group;
    bool any = false;
    for (uint32_t g0 = s->c0; g0 < s->c1; g0 += group) {
        ts_grid *g = &s->grid[g0 / group];
        float code[COLUMNS], up = 0, down = 0;
        const float was = g->step[0], zero = ts_dtype_is_u4g(g->type) ? (float)g->b.m : 0;
        for (uint32_t i = 0; i < g->n; i++) code[i] = (float)g->b.q[i] - zero;
        for (uint32_t i = 0; i < g->n; i++) {
            const float *h = s->p->g->h + (size_t)(K - 1 - g0 - i) * K + K - g0 - g->n;
            float sum = 0;
            for (uint32_t j = 0; j < g->n; j++) sum += h[g->n - 1 - j] * code[j];
            up += code[i] * s->slope[K - 1 - g0 - i];
            down += code[i] * sum;
        }
        if (!(down > 0) || !ts_grid_restep(g, up / down)) continue;
        const float step = g->step[0] - was;
        for (uint32_t i = 0; i < g->n; i++) {
            if (step * code[i] == 0) continue;
            s->q[g0 + i] = g->zero[0] + g->step[0] * (float)g->b.q[i];
            move(s, g0 + i, step * code[i]);
            any = true;
        }
    }
    return any;
}

/* n rows q and their slopes, f32 [n, K]; `other` is as large. */
static void sweep_rows(const struct rows *p, bool (*f)(const struct sweep *), float *q, float *slope, uint32_t n,
                       ts_grid *grid, float *other) {
    const uint32_t K = p->g->n_in;
    float moved[ROWS][COLUMNS];
    for (uint32_t c0 = 0, c1; c0 < K; c0 = c1) {
        c1 = c0 + at_most(K - c0, COLUMNS);
        bool any = false;
        memset(moved, 0, sizeof moved);
        for (uint32_t r = 0; r < n; r++) {
            const struct sweep s = {.p = p,
                                    .c0 = c0,
                                    .c1 = c1,
                                    .q = q + (size_t)r * K,
                                    .slope = slope + (size_t)r * K,
                                    .grid = grid + r * p->n_groups,
                                    .moved = moved[r]};
            any |= f(&s);
        }
        if (!any) continue;
        p->kern->gemm_f[TS_F32](p->g->h + K - c1, K * sizeof *p->g->h, c1 - c0, moved[0], COLUMNS, n, 0, K, other, K);
        for (uint32_t r = 0; r < n; r++) {
            float *to = slope + (size_t)r * K;
            const float *by = other + (size_t)r * K;
            for (uint32_t j = 0; j < K - c1; j++) to[j] -= by[j];
            for (uint32_t j = K - c0; j < K; j++) to[j] -= by[j];
        }
    }
}

static void rows_task(void *arg, size_t task, int thread) {
    const struct rows *p = arg;
    const uint32_t K = p->g->n_in, r0 = p->first + (uint32_t)task * ROWS, n = at_most(p->n_out - r0, ROWS);
    float *delta = p->delta + (size_t)thread * 2 * ROWS * K, *was = delta + (size_t)ROWS * K;
    ts_grid *grid = p->grid + (size_t)thread * ROWS * p->n_groups;
    float e[ROWS][COLUMNS];
    memcpy(was, p->w + (size_t)r0 * K, (size_t)n * K * sizeof *was);
    for (uint32_t c0 = 0, c1; c0 < K; c0 = c1) {
        c1 = c0 + at_most(K - c0, COLUMNS);
        round_columns(p, r0, n, c0, c1, grid, e);
        const uint32_t left = K - c1; /* rows 0 .. left - 1 of u belong to the columns behind, the last one first */
        if (!left) break;
        p->kern->gemm_f[TS_F32](p->g->u + left, K * sizeof *p->g->u, c1 - c0, e[0], COLUMNS, n, 0, left, delta, K);
        for (uint32_t r = 0; r < n; r++) {
            float *w = p->w + (size_t)(r0 + r) * K;
            for (uint32_t j = 0; j < left; j++) w[K - 1 - j] -= delta[(size_t)r * K + j];
        }
    }
    for (uint32_t r = 0; r < n; r++) /* what is lost, in reverse order */
        for (uint32_t c = 0; c < K; c++)
            delta[(size_t)r * K + K - 1 - c] = was[(size_t)r * K + c] - p->w[(size_t)(r0 + r) * K + c];
    p->kern->gemm_f[TS_F32](p->g->h, K * sizeof *p->g->h, K, delta, K, n, 0, K, was, K);
    for (int pass = 0; pass < PASSES; pass++) {
        sweep_rows(p, settle, p->w + (size_t)r0 * K, was, n, grid, delta);
        if (pass + 1 == PASSES || p->group > COLUMNS) continue; /* blocks of 256 have no step of their own */
        sweep_rows(p, restep, p->w + (size_t)r0 * K, was, n, grid, delta);
    }
    for (uint32_t r = 0; r < n; r++)
        for (uint32_t k = 0; k < p->n_groups; k++)
            ts_grid_put(&grid[r * p->n_groups + k],
                        p->blocks + (r0 + r) * p->row_bytes + ts_dtype_row_bytes(p->type, (uint64_t)k * p->group));
}

uint64_t ts_gptq_row_cost(uint32_t n_in) {
    return (uint64_t)n_in * n_in * 9 / TS_WATCH_PRODUCTS;
}

ts_status ts_gptq_rows(const ts_gptq *g, ts_dtype type, float *w, uint32_t n_out, void *blocks, const ts_kern *kern,
                       ts_pool *pool, ts_err *err) {
    const size_t threads = (size_t)ts_pool_threads(pool);
    if (!ts_grid_size(type) || !ts_dtype_row_bytes(type, g->n_in))
        return ts_fail(err, TS_E_UNSUPP, "GPTQ does not quantise rows of %u to %s", g->n_in, ts_dtype_get(type)->name);
    struct rows p = {.g = g,
                     .type = type,
                     .w = w,
                     .n_out = n_out,
                     .blocks = blocks,
                     .row_bytes = ts_dtype_row_bytes(type, g->n_in),
                     .kern = kern,
                     .group = ts_grid_size(type),
                     .delta = ts_alloc(threads * 2 * ROWS * g->n_in, sizeof(float))};
    p.n_groups = (g->n_in + p.group - 1) / p.group;
    p.grid = ts_alloc(threads * ROWS * p.n_groups, sizeof *p.grid);
    assert(g->u && g->h);
    ts_status st = TS_OK;
    if (!p.delta || !p.grid) st = ts_fail_nomem(err, "the columns' errors", threads * ROWS * g->n_in * sizeof(float));
    for (uint32_t n; p.first < n_out && st == TS_OK; p.first += n) {
        n = at_most(n_out - p.first, AT_ONCE * ROWS);
        ts_pool_run(pool, (n + ROWS - 1) / ROWS, rows_task, &p);
        st = ts_watch_step(g->watch, ts_gptq_row_cost(g->n_in) * n, err);
    }
    ts_free(p.delta);
    ts_free(p.grid);
    return st;
}
