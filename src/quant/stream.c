#include "quant/stream.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/outfile.h"
#include "base/pool.h"
#include "base/printable.h"
#include "format/gguf.h"
#include "format/search.h"
#include "kern/kern.h"
#include "quant/grid.h"
#include "quant/stream_int.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    TASK = 1 << 15,    /* elements of a task, or one row: what is summed up together does not depend on threads */
    BATCH_TASKS = 256, /* between two writes */
    AHEAD = 64 << 20,  /* bytes of the source asked for beforehand */
    STATE_EVERY_MS = 2000,
    COST_SEARCH = 12,
    COST_ROUND = 2,
    COST_COPY = 1, /* of an element, in the progress */
};

typedef ts_quant_run_state run;

/* ---- a tensor ---------------------------------------------------------------------------------------------------- */

typedef struct task_result {
    double error, norm;
    uint64_t not_finite; /* the first such element of the task; UINT64_MAX: none */
    bool in_source;      /* or only in the result */
} task_result;

typedef struct work {
    const ts_quant_item *it;
    const ts_source *src;
    const uint32_t *order; /* of the source's columns */
    const ts_kern *kern;
    uint64_t rows, task_rows, first; /* of the tensor, a task, this batch */
    uint64_t n_rows;                 /* of this batch */
    size_t from_bytes, to_bytes;     /* a row */
    uint8_t *out;
    float *scratch; /* [thread][2][task_rows * dim[0]] */
    uint8_t *made;  /* [thread][task_rows] rows of the source, where they are made; one of U4G before it is carried */
    size_t made_bytes;
    task_result result[BATCH_TASKS];
} work;

/* Sums of squares: sixteen at a time, so that the compiler can, and in one order. */
static void add_squares(const float *x, const float *y, size_t n, double *error, double *norm) {
    for (size_t at = 0; at < n; at += 1024) {
        const size_t end = at + 1024 < n ? at + 1024 : n;
        float e[16] = {0}, s[16] = {0};
        size_t i = at;
        for (; i + 16 <= end; i += 16)
            for (int l = 0; l < 16; l++) {
                const float d = y[i + (size_t)l] - x[i + (size_t)l];
                e[l] += d * d;
                s[l] += x[i + (size_t)l] * x[i + (size_t)l];
            }
        for (int l = 0; i < end; i++, l++) {
            const float d = y[i] - x[i];
            e[l] += d * d;
            s[l] += x[i] * x[i];
        }
        for (int l = 0; l < 16; l++) *error += (double)e[l], *norm += (double)s[l];
    }
}

static void do_task(void *arg, size_t task, int thread) {
    work *w = arg;
    const ts_quant_item *it = w->it;
    const ts_tensor *t = it->from;
    const uint64_t row = t->dim[0], a = w->first + task * w->task_rows, end = w->first + w->n_rows,
                   b = a + w->task_rows < end ? a + w->task_rows : end, per_mat = t->dim[1];
    const size_t n = (size_t)((b - a) * row);
    float *x = w->scratch + (size_t)thread * 2 * w->task_rows * row, *y = x + w->task_rows * row;
    uint8_t *made = w->made + (size_t)thread * w->made_bytes;
    const uint8_t *from = ts_source_rows(w->src, t, a, b - a, made);
    uint8_t *to = w->out + (a - w->first) * w->to_bytes;
    task_result *r = &w->result[task];
    *r = (task_result){.not_finite = ts_find_not_finite(t->type, from, n), .in_source = true};
    if (r->not_finite < n) return;
    r->not_finite = UINT64_MAX;
    ts_dequant(t->type, from, x, n);
    for (uint64_t k = 0; k < b - a && w->order; k++) { /* inputs as they come: the second half is free yet */
        for (uint64_t i = 0; i < row; i++) y[w->order[i]] = x[k * row + i];
        memcpy(x + k * row, y, row * sizeof *x);
    }
    const bool carried = it->file != it->type;
    for (uint64_t k = 0; k < b - a; k++) {
        const ts_imatrix_entry *e = it->weights;
        const float *weights = e ? e->mean + (e->n_mat > 1 ? (a + k) / per_mat * row : 0) : NULL;
        uint8_t *row_to = to + k * w->to_bytes;
        ts_quant_round(w->kern, it->type, x + k * row, weights, (uint32_t)row, carried ? made : row_to, y + k * row);
        if (carried) ts_u4g_carry(it->file, made, row_to, (size_t)row);
    }
    size_t bad = ts_find_not_finite(it->file, to, n);
    if (bad == n) bad = ts_quant_lost(x, y, n);
    if (bad < n) {
        *r = (task_result){.not_finite = bad};
        return;
    }
    add_squares(x, y, n, &r->error, &r->norm);
}

ts_status ts_quant_too_large(const run *r, const ts_quant_item *it, uint64_t element, ts_err *err) {
    char name[80];
    ts_printable(name, sizeof name, it->from->name, strlen(it->from->name));
    return ts_fail(err, TS_E_FORMAT, "%s: tensor %s: element %" PRIu64 " is too large for %s: choose another type",
                   r->in->source->name, name, element, ts_dtype_get(it->type)->name);
}

uint64_t ts_quant_cost(const ts_quant_item *it) {
    if (it->copied) return it->n_el * COST_COPY;
    const bool searched = ts_search_takes(it->type, it->weights) || (ts_dtype_is_u4g(it->type) && it->weights);
    return it->n_el * (searched ? COST_SEARCH : COST_ROUND);
}

/* Rows that are made, in the type that the file has them in. */
static ts_status copy_made(run *r, const ts_quant_item *it, ts_err *err) {
    const ts_source *s = r->in->source;
    const ts_tensor *t = it->from;
    const uint64_t rows = it->n_el / t->dim[0];
    const size_t from = ts_dtype_row_bytes(t->type, t->dim[0]), to = ts_dtype_row_bytes(it->file, t->dim[0]);
    uint8_t *made = ts_alloc(TS_ROWS_AT_A_TIME, from), *out = ts_alloc(TS_ROWS_AT_A_TIME, to);
    ts_status st = made && out ? TS_OK : ts_fail_nomem(err, t->name, TS_ROWS_AT_A_TIME * (from + to));
    for (uint64_t k = 0; k < rows && st == TS_OK; k += TS_ROWS_AT_A_TIME) {
        const uint64_t n = rows - k < TS_ROWS_AT_A_TIME ? rows - k : TS_ROWS_AT_A_TIME;
        const void *data = ts_source_rows(s, t, k, n, made);
        if (it->file != t->type) {
            ts_u4g_carry(it->file, data, out, (size_t)(n * t->dim[0]));
            data = out;
        }
        st = ts_outfile_write(&r->file, data, (size_t)n * to, err);
        s->op->release(s, t, (size_t)k * from, (size_t)n * from);
        if (st == TS_OK) st = ts_watch_step(&r->watch, n * t->dim[0] * COST_COPY, err);
    }
    ts_free(made);
    ts_free(out);
    return st;
}

static ts_status copy_tensor(run *r, const ts_quant_item *it, ts_err *err) {
    const ts_source *s = r->in->source;
    if (!it->from->data || it->file != it->from->type) return copy_made(r, it, err);
    for (size_t at = 0; at < it->bytes;) {
        const size_t n = it->bytes - at < (4u << 20) ? (size_t)it->bytes - at : 4u << 20;
        TS_TRY(ts_outfile_write(&r->file, (const uint8_t *)it->from->data + at, n, err));
        s->op->release(s, it->from, at, n);
        at += n;
        TS_TRY(ts_watch_step(&r->watch, (uint64_t)((double)it->n_el * (double)n / (double)it->bytes) * COST_COPY, err));
    }
    return TS_OK;
}

static ts_status quantise_tensor(run *r, ts_quant_item *it, ts_err *err) {
    const ts_tensor *t = it->from;
    const ts_source *s = r->in->source;
    const uint64_t row = t->dim[0], cost = ts_quant_cost(it) / (it->n_el / row);
    work *w = ts_calloc(1, sizeof *w);
    if (!w) return ts_fail_nomem(err, t->name, sizeof *w);
    w->it = it;
    w->src = s;
    w->order = s->op->order ? s->op->order(s, t) : NULL;
    w->kern = &r->kern;
    w->rows = it->n_el / row;
    w->task_rows = row < TASK ? TASK / row : 1;
    if (!t->data && w->task_rows < TS_ROWS_AT_A_TIME) w->task_rows = TS_ROWS_AT_A_TIME;
    if (w->task_rows > w->rows) w->task_rows = w->rows;
    w->from_bytes = ts_dtype_row_bytes(t->type, row);
    w->to_bytes = ts_dtype_row_bytes(it->file, row);
    w->made_bytes = (size_t)w->task_rows * (t->data ? 0 : w->from_bytes);
    if (it->file != it->type && w->made_bytes < ts_dtype_row_bytes(it->type, row))
        w->made_bytes = ts_dtype_row_bytes(it->type, row);
    const uint64_t most = w->task_rows * BATCH_TASKS < w->rows ? w->task_rows * BATCH_TASKS : w->rows;
    size_t n = 0;
    const bool fits = ts_size_mul((size_t)(w->task_rows * row), 2 * (size_t)ts_pool_threads(r->pool), &n);
    w->out = ts_alloc((size_t)most, w->to_bytes);
    w->scratch = fits ? ts_alloc(n, sizeof *w->scratch) : NULL;
    w->made = ts_alloc((size_t)ts_pool_threads(r->pool), w->made_bytes);
    ts_status st =
        w->out && w->scratch && w->made ? TS_OK : ts_fail_nomem(err, t->name, (size_t)most * w->to_bytes + n * 4);
    it->error = it->norm = 0;
    for (; w->first < w->rows && st == TS_OK; w->first += w->n_rows) {
        w->n_rows = w->rows - w->first < most ? w->rows - w->first : most;
        const size_t tasks = (size_t)((w->n_rows + w->task_rows - 1) / w->task_rows), at = w->first * w->from_bytes,
                     bytes = w->n_rows * w->from_bytes;
        if (at + bytes < t->bytes) {
            const size_t left = t->bytes - at - bytes;
            s->op->fetch(s, t, at + bytes, left < AHEAD ? left : AHEAD);
        }
        ts_pool_run(r->pool, tasks, do_task, w);
        for (size_t k = 0; k < tasks && st == TS_OK; k++) {
            it->error += w->result[k].error, it->norm += w->result[k].norm;
            if (w->result[k].not_finite == UINT64_MAX) continue;
            const uint64_t element = (w->first + k * w->task_rows) * row + w->result[k].not_finite;
            char name[80];
            ts_printable(name, sizeof name, t->name, strlen(t->name));
            st = !w->result[k].in_source
                     ? ts_quant_too_large(r, it, element, err)
                     : ts_fail(err, TS_E_FORMAT, "%s: tensor %s: element %" PRIu64 " is not a finite number", s->name,
                               name, element);
        }
        if (st == TS_OK) st = ts_outfile_write(&r->file, w->out, (size_t)w->n_rows * w->to_bytes, err);
        s->op->release(s, t, at, bytes);
        if (st == TS_OK) st = ts_watch_step(&r->watch, cost * w->n_rows, err);
    }
    ts_free(w->out);
    ts_free(w->scratch);
    ts_free(w->made);
    ts_free(w);
    return st;
}

/* ---- what was done already --------------------------------------------------------------------------------------- */

/* Of all that decides what is written: the header has names, types and metadata. */
static uint64_t key_of(const run *r) {
    uint64_t h = ts_fnv1a(TS_FNV1A, r->p->header.data, r->p->header.len);
    h = ts_fnv1a(h, TESSERA_VERSION, sizeof TESSERA_VERSION);
    uint64_t id;
    for (int i = 0; r->in->source->op->identity(r->in->source, i, &id, NULL, NULL); i++)
        h = ts_fnv1a(h, &id, sizeof id);
    h = ts_fnv1a(h, r->o->token, r->o->n_token * sizeof *r->o->token);
    for (size_t i = 0; i < r->p->n; i++) {
        const ts_imatrix_entry *e = r->p->item[i].weights;
        h = ts_fnv1a(h, &i, sizeof i);
        if (e) h = ts_fnv1a(h, e->mean, e->n_in * e->n_mat * sizeof *e->mean);
    }
    return h;
}

/* The key, how many tensors, their errors; and a hash of all that, as a bit may turn. */
#define STATE_HEAD "tessera quantize, version 2\n"

static ts_status save_state(run *r, size_t n, ts_err *err) {
    TS_TRY(ts_outfile_sync(&r->file, err));
    ts_buf b = {0};
    bool ok = ts_buf_printf(&b, STATE_HEAD "%016" PRIx64 " %zu\n", r->key, n);
    for (size_t i = 0; i < n; i++) ok = ok && ts_buf_printf(&b, "%a %a\n", r->p->item[i].error, r->p->item[i].norm);
    ok = ok && ts_buf_printf(&b, "%016" PRIx64 "\n", ts_fnv1a(TS_FNV1A, b.data, b.len));
    const ts_status s =
        ok ? ts_file_write(r->state_path, b.data, b.len, err) : ts_fail_nomem(err, r->state_path, b.len);
    ts_buf_free(&b);
    r->saved_ns = ts_now_ns();
    if (s == TS_OK) r->n_saved = n;
    return s;
}

static bool parse_state(run *r, const char *text, size_t *n) {
    const char *all = text;
    if (strncmp(text, STATE_HEAD, strlen(STATE_HEAD)) != 0) return false;
    uint64_t key;
    int used = 0;
    text += strlen(STATE_HEAD);
    if (sscanf(text, "%16" SCNx64 " %zu\n%n", &key, n, &used) != 2 || !used || key != r->key || *n > r->p->n)
        return false;
    text += used;
    for (size_t i = 0; i < *n; i++) {
        char *end;
        ts_quant_item *it = &r->p->item[i];
        it->error = strtod(text, &end);
        if (end == text) return false;
        text = end;
        it->norm = strtod(text, &end);
        if (end == text || !(it->error >= 0) || !(it->norm >= 0)) return false;
        text = end + (*end == '\n');
    }
    uint64_t told;
    return sscanf(text, "%16" SCNx64 "\n%n", &told, &used) == 1 && !text[used] &&
           told == ts_fnv1a(TS_FNV1A, all, (size_t)(text - all));
}

/* How many tensors of a file of `had` bytes are done. */
static size_t tensors_done(run *r, uint64_t had) {
    ts_buf b = {0};
    ts_err none;
    size_t n = 0;
    bool ok = ts_file_exists(r->state_path) && ts_file_read(&b, r->state_path, 64 << 20, &none) == TS_OK && b.data &&
              parse_state(r, b.data, &n);
    ts_buf_free(&b);
    if (ok && n) ok = r->p->item[n - 1].offset + r->p->item[n - 1].bytes <= had;
    return ok ? n : 0;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static bool is_source(const run *r, const struct stat *st) {
    uint64_t id, dev, ino;
    for (int i = 0; r->in->source->op->identity(r->in->source, i, &id, &dev, &ino); i++)
        if (dev == (uint64_t)st->st_dev && ino == (uint64_t)st->st_ino) return true;
    return false;
}

static ts_status check_target(const run *r, const char *path, ts_err *err) {
    struct stat to;
    if (stat(path, &to) != 0) return TS_OK;
    if (S_ISDIR(to.st_mode)) return ts_fail(err, TS_E_INVAL, "%s is a folder: give the result a file's name", path);
    if (is_source(r, &to)) return ts_fail(err, TS_E_INVAL, "%s is the source: give the result another name", path);
    return TS_OK;
}

/* Once it is open: what it writes to, that is. */
static ts_status check_partial(const run *r, ts_err *err) {
    struct stat to;
    if (!r->file.tmp || fstat(r->file.fd, &to) < 0 || !is_source(r, &to)) return TS_OK;
    return ts_fail(err, TS_E_INVAL, "%s is the source: give the result another name", r->file.tmp);
}

ts_status ts_quant_check_room(const run *r, uint64_t beside, ts_err *err) {
    struct statvfs v;
    struct stat st;
    if (!r->file.tmp || fstatvfs(r->file.fd, &v) < 0 || fstat(r->file.fd, &st) < 0) return TS_OK;
    const double needed = (double)(r->p->file_bytes + beside), mib = 1024 * 1024,
                 room = (double)v.f_bavail * (double)v.f_frsize + 512 * (double)st.st_blocks;
    if (room >= needed) return TS_OK;
    return ts_fail(err, TS_E_IO, "%s: %.0f MiB are needed, %.0f MiB are left on the disk", r->file.path, needed / mib,
                   room / mib);
}

static ts_status pad(run *r, uint64_t to, ts_err *err) {
    static const uint8_t zeros[64];
    while (r->file.written < to) {
        const uint64_t n = to - r->file.written;
        TS_TRY(ts_outfile_write(&r->file, zeros, n < sizeof zeros ? (size_t)n : sizeof zeros, err));
    }
    return TS_OK;
}

ts_status ts_quant_write_item(run *r, ts_quant_item *it, ts_err *err) {
    if (r->in->source->op->check) TS_TRY(r->in->source->op->check(r->in->source, it->from, err));
    return it->copied ? copy_tensor(r, it, err) : quantise_tensor(r, it, err);
}

static ts_status write_from(run *r, size_t first, size_t *n_done, ts_err *err) {
    for (size_t i = 0; i < first; i++) r->watch.done += ts_quant_cost(&r->p->item[i]);
    TS_TRY(ts_watch_step(&r->watch, 0, err)); /* what there was already, for a forecast of the rest */
    if (!first) TS_TRY(ts_outfile_write(&r->file, r->p->header.data, r->p->header.len, err));
    for (size_t i = first; i < r->p->n; i++) {
        ts_quant_item *it = &r->p->item[i];
        TS_TRY(pad(r, it->offset, err));
        TS_TRY(ts_quant_write_item(r, it, err));
        *n_done = i + 1;
        if (r->file.tmp && ts_now_ns() - r->saved_ns > STATE_EVERY_MS * (uint64_t)1000000)
            TS_TRY(save_state(r, *n_done, err));
    }
    TS_TRY(pad(r, r->p->file_bytes, err));
    return r->in->source->op->check_unchanged(r->in->source, err);
}

ts_status ts_quant_begin(run *r, bool anew, ts_err *err) {
    r->begun = true;
    if (!r->file.tmp || !anew) return TS_OK;
    if (unlink(r->state_path) < 0 && errno != ENOENT)
        return ts_fail_os(err, TS_E_IO, errno, "cannot remove %s", r->state_path);
    ts_sync_folder_of(r->state_path);
    return TS_OK;
}

static uint64_t end_of(const run *r, size_t n) { /* of the first n tensors */
    return n ? r->p->item[n - 1].offset + r->p->item[n - 1].bytes : 0;
}

static ts_status begin_in_order(run *r, size_t first, ts_err *err) {
    TS_TRY(ts_quant_check_room(r, 0, err));
    TS_TRY(ts_quant_begin(r, first == 0, err));
    return ts_outfile_cut(&r->file, end_of(r, first), err);
}

/* Does what is whole stay? Where there is no room for more than that, it makes room for the note about it. */
static bool keep_tensors(run *r, size_t n_done) {
    ts_err none;
    if (!r->file.tmp || !n_done) return false;
    if (!r->begun || n_done == r->n_saved) return true;
    return (ts_outfile_cut(&r->file, end_of(r, n_done), &none) == TS_OK && save_state(r, n_done, &none) == TS_OK) ||
           r->n_saved;
}

/* Tensor by tensor, as the file has them. */
static ts_status write_in_order(run *r, uint64_t had, ts_quant_done *done, ts_err *err) {
    const size_t first = r->n_saved = tensors_done(r, had);
    size_t n_done = first;
    *done = (ts_quant_done){.n_kept = first, .began_anew = had && !first};
    ts_status s = begin_in_order(r, first, err);
    if (s == TS_OK) s = write_from(r, first, &n_done, err);
    done->kept_partial = s != TS_OK && s != TS_E_FORMAT && keep_tensors(r, n_done);
    return s;
}

/* Who has not begun leaves what there was: a run that was stopped may go on with it. */
static ts_status end_file(run *r, ts_status s, const ts_quant_done *done, bool had, ts_err *err) {
    if (s != TS_OK && (done->kept_partial || (had && !r->begun))) {
        ts_outfile_leave(&r->file);
        return s;
    }
    if (r->state_path) unlink(r->state_path); /* while DST.partial is still ours */
    if (s == TS_OK) return ts_outfile_commit(&r->file, err);
    ts_outfile_discard(&r->file);
    return s;
}

static ts_status write_file(run *r, const char *path, ts_quant_done *done, ts_err *err) {
    TS_TRY(check_target(r, path, err));
    uint64_t had;
    TS_TRY(ts_outfile_open_kept(&r->file, path, &had, err));
    ts_buf name = {0};
    ts_status s = ts_buf_printf(&name, "%s.state", r->file.path) ? TS_OK : ts_fail_nomem(err, path, strlen(path));
    r->state_path = name.data;
    r->saved_ns = ts_now_ns();
    if (s == TS_OK) s = check_partial(r, err);
    if (s == TS_OK) s = r->o->token ? ts_quant_write_layers(r, had, done, err) : write_in_order(r, had, done, err);
    s = end_file(r, s, done, had, err);
    ts_buf_free(&name);
    return s;
}

ts_status ts_quant_run(ts_quant_plan *p, const ts_quant_in *in, const char *path, const ts_quant_run_opts *o,
                       ts_quant_done *done, ts_err *err) {
    run r = {.p = p, .in = in, .o = o, .watch = {.progress = o->progress, .progress_ud = o->progress_ud}};
    *done = (ts_quant_done){0};
    ts_kern_init(&r.kern, o->level);
    r.key = key_of(&r);
    for (size_t i = 0; i < p->n; i++) r.watch.all += ts_quant_cost(&p->item[i]);
    TS_TRY(ts_pool_new(&r.pool, o->threads ? o->threads : ts_cpu_count(), err));
    const ts_status s = write_file(&r, path, done, err);
    ts_pool_free(r.pool);
    return s;
}
