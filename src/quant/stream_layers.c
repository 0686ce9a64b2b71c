/* stream_layers.c - a quantised model by calibration: what is outside the layers first, then layer after layer. */
#include "base/hash.h"
#include "quant/method.h"
#include "quant/stream_int.h"

#include <stdlib.h>
#include <string.h>

typedef ts_quant_run_state run;

/* The layers' work. */
typedef struct layers {
    run *r;
    ts_calib c;
    bool *in_layer; /* [n] of the plan's items */
    uint32_t next;  /* layer that is to be done */
} layers;

static ts_quant_item *item_of(const run *r, const ts_tensor *t) {
    for (size_t i = 0; i < r->p->n; i++)
        if (r->p->item[i].from == t) return &r->p->item[i];
    return NULL;
}

static const ts_tensor *tensor_of(const layers *l, ts_role role, uint32_t layer, bool bias) {
    return l->r->in->source->op->tensor(l->r->in->source, role, layer, bias);
}

/* ---- what was done already --------------------------------------------------------------------------------------- */

typedef struct state_head {
    char magic[16];
    uint64_t key, items, floats;
    uint32_t next, zero;
} state_head;
static const char magic[16] = "tessera layers2";

static size_t state_bytes(const layers *l) {
    return sizeof(state_head) + 16 * l->r->p->n + (size_t)l->c.n * l->c.c.d_model * sizeof(float) + sizeof(uint64_t);
}

/* Write, and take into the hash that ends the file. */
static ts_status put_state(ts_outfile *f, uint64_t *hash, const void *data, size_t len, ts_err *err) {
    *hash = ts_fnv1a(*hash, data, len);
    return ts_outfile_write(f, data, len, err);
}

static ts_status save(layers *l, ts_err *err) {
    const run *r = l->r;
    const size_t floats = (size_t)l->c.n * l->c.c.d_model;
    state_head h = {.key = r->key, .items = r->p->n, .floats = floats, .next = l->next};
    uint64_t hash = TS_FNV1A;
    ts_outfile f;
    memcpy(h.magic, magic, sizeof magic);
    TS_TRY(ts_outfile_sync(&l->r->file, err));
    TS_TRY(ts_outfile_open(&f, r->state_path, err));
    ts_status st = put_state(&f, &hash, &h, sizeof h, err);
    for (size_t i = 0; i < r->p->n && st == TS_OK; i++)
        st = put_state(&f, &hash, (const double[]){r->p->item[i].error, r->p->item[i].norm}, 16, err);
    if (st == TS_OK) st = put_state(&f, &hash, l->c.x, floats * sizeof *l->c.x, err);
    if (st == TS_OK) st = ts_outfile_write(&f, &hash, sizeof hash, err);
    if (st == TS_OK) return ts_outfile_commit(&f, err);
    ts_outfile_discard(&f);
    return st;
}

/* Layers that an earlier run has left; false: nothing of this. */
static bool restore(layers *l, uint64_t had) {
    const run *r = l->r;
    ts_map m;
    state_head h;
    uint64_t hash;
    const size_t floats = (size_t)l->c.n * l->c.c.d_model, all = state_bytes(l), end = all - sizeof hash;
    if (had != r->p->file_bytes || ts_map_open(&m, r->state_path, NULL) != TS_OK) return false;
    bool ok = m.len == all;
    if (ok) memcpy(&h, m.data, sizeof h), memcpy(&hash, m.data + end, sizeof hash);
    ok = ok && !memcmp(h.magic, magic, sizeof magic) && h.key == r->key && h.items == r->p->n && h.floats == floats &&
         h.next > 0 && h.next <= l->c.c.n_layer && hash == ts_fnv1a(TS_FNV1A, m.data, end);
    for (size_t i = 0; ok && i < r->p->n; i++) {
        memcpy(&r->p->item[i].error, m.data + sizeof h + 16 * i, 8);
        memcpy(&r->p->item[i].norm, m.data + sizeof h + 16 * i + 8, 8);
    }
    if (ok) memcpy(l->c.x, m.data + sizeof h + 16 * r->p->n, floats * sizeof(float));
    if (ok) l->next = h.next;
    ts_map_close(&m);
    return ok;
}

/* ---- a layer ----------------------------------------------------------------------------------------------------- */

static ts_status put(run *r, const ts_quant_item *it, const void *data, size_t bytes, ts_err *err) {
    const size_t bad = ts_find_not_finite(it->file, data, (size_t)it->n_el);
    if (bad < it->n_el) return ts_quant_too_large(r, it, bad, err);
    TS_TRY(ts_outfile_seek(&r->file, it->offset, err));
    return ts_outfile_write(&r->file, data, bytes, err);
}

/* Floats in the item's type, which is one of floats. */
static ts_status put_floats(run *r, const ts_quant_item *it, const float *v, ts_err *err) {
    if (it->file == TS_F32) return put(r, it, v, (size_t)it->n_el * sizeof *v, err);
    void *out = ts_alloc((size_t)it->bytes, 1);
    if (!out) return ts_fail_nomem(err, it->from->name, (size_t)it->bytes);
    ts_quantize(it->file, v, out, (size_t)it->n_el);
    const ts_status st = put(r, it, out, (size_t)it->bytes, err);
    ts_free(out);
    return st;
}

static ts_status put_blocks(run *r, const ts_quant_item *it, const void *blocks, ts_err *err) {
    if (it->file == it->type) return put(r, it, blocks, (size_t)it->bytes, err);
    void *out = ts_alloc((size_t)it->bytes, 1);
    if (!out) return ts_fail_nomem(err, it->from->name, (size_t)it->bytes);
    ts_u4g_carry(it->file, blocks, out, (size_t)it->n_el);
    const ts_status st = put(r, it, out, (size_t)it->bytes, err);
    ts_free(out);
    return st;
}

static ts_status write_layer(layers *l, const ts_calib_layer *w, const ts_quant_layer *q, ts_err *err) {
    for (ts_role role = 0; role < TS_LAYER_ROLES; role++) {
        const bool mat = role < TS_LAYER_MATS;
        const ts_tensor *t = tensor_of(l, role, l->next, false), *b = mat ? tensor_of(l, role, l->next, true) : NULL;
        ts_quant_item *it = t ? item_of(l->r, t) : NULL, *bias = b ? item_of(l->r, b) : NULL;
        if (it && mat && q->blocks[role]) {
            if (q->lost[role] != UINT64_MAX) return ts_quant_too_large(l->r, it, q->lost[role], err);
            it->error = q->error[role], it->norm = q->norm[role];
            TS_TRY(put_blocks(l->r, it, q->blocks[role], err));
        } else if (it) {
            TS_TRY(put_floats(l->r, it, mat ? w->mat[role] : w->vec[role - TS_LAYER_MATS], err));
        }
        if (bias) TS_TRY(put_floats(l->r, bias, w->bias[role], err));
    }
    return TS_OK;
}

/* What its matrices become; one that is missing is an error later. */
static void layer_types(const layers *l, uint32_t layer, ts_dtype type[TS_LAYER_MATS]) {
    for (ts_role role = 0; role < TS_LAYER_MATS; role++) {
        const ts_tensor *t = tensor_of(l, role, layer, false);
        type[role] = t ? item_of(l->r, t)->type : TS_F32;
    }
}

static uint64_t layer_cost(const layers *l, uint32_t layer) {
    ts_dtype type[TS_LAYER_MATS];
    layer_types(l, layer, type);
    return ts_quant_layer_cost(&l->c, type, l->r->p->method);
}

static ts_status do_layer(layers *l, ts_err *err) {
    ts_calib_layer w;
    ts_quant_layer q = {0};
    TS_TRY(ts_calib_load(&w, &l->c, l->next, err));
    layer_types(l, l->next, q.type);
    ts_status st = TS_OK;
    for (ts_role role = 0; role < TS_LAYER_MATS && st == TS_OK; role++) {
        const ts_quant_item *it = item_of(l->r, w.tensor[role]);
        if (!ts_act_block(it->type)) continue;
        const size_t bytes = ts_dtype_row_bytes(it->type, it->from->dim[0]) * (size_t)it->from->dim[1];
        if (!(q.blocks[role] = ts_alloc(bytes, 1))) st = ts_fail_nomem(err, it->from->name, bytes);
    }
    if (st == TS_OK) st = ts_quant_layer_run(&l->c, &w, &q, l->r->p->method, &l->r->watch, err);
    if (st == TS_OK) st = write_layer(l, &w, &q, err);
    for (int role = 0; role < TS_LAYER_MATS; role++) ts_free(q.blocks[role]);
    ts_calib_layer_fini(&w);
    const char *name = l->r->in->source->name;
    if (st != TS_OK && st != TS_E_CANCELLED && strncmp(err->msg, name, strlen(name)) != 0)
        ts_err_prefix(err, st, "%s, layer %u", name, l->next);
    return st;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static ts_status write_outside(layers *l, ts_err *err) {
    run *r = l->r;
    TS_TRY(ts_quant_begin(r, true, err));
    TS_TRY(ts_outfile_cut(&r->file, 0, err));
    TS_TRY(ts_outfile_write(&r->file, r->p->header.data, r->p->header.len, err));
    for (size_t i = 0; i < r->p->n; i++) {
        if (l->in_layer[i]) continue;
        TS_TRY(ts_outfile_seek(&r->file, r->p->item[i].offset, err));
        TS_TRY(ts_quant_write_item(r, &r->p->item[i], err));
    }
    return ts_outfile_cut(&r->file, r->p->file_bytes, err); /* as long as it will be */
}

static ts_status find_layers(layers *l, ts_err *err) {
    run *r = l->r;
    l->in_layer = ts_calloc(r->p->n, sizeof *l->in_layer);
    if (!l->in_layer) return ts_fail_nomem(err, "the list of tensors", r->p->n);
    for (uint32_t layer = 0; layer < l->c.c.n_layer; layer++)
        for (ts_role role = 0; role < TS_LAYER_ROLES; role++)
            for (int bias = 0; bias < 2; bias++) {
                const ts_tensor *t = tensor_of(l, role, layer, bias);
                const ts_quant_item *it = t ? item_of(r, t) : NULL;
                if (!it) continue;
                l->in_layer[it - r->p->item] = true;
            }
    r->watch.all = 0;
    for (uint32_t layer = 0; layer < l->c.c.n_layer; layer++) r->watch.all += layer_cost(l, layer);
    for (size_t i = 0; i < r->p->n; i++)
        if (!l->in_layer[i]) r->watch.all += ts_quant_cost(&r->p->item[i]);
    return TS_OK;
}

static size_t tensors_before(const layers *l) {
    size_t n = 0;
    for (uint32_t layer = 0; layer < l->next; layer++)
        for (ts_role role = 0; role < TS_LAYER_ROLES; role++)
            for (int bias = 0; bias < 2; bias++) n += tensor_of(l, role, layer, bias) != NULL;
    return n;
}

static ts_status write_all(layers *l, uint64_t had, ts_quant_done *done, ts_err *err) {
    run *r = l->r;
    TS_TRY(ts_calib_init(&l->c, r->in->source, r->o->token, r->o->n_token, &r->kern, r->pool, err));
    TS_TRY(find_layers(l, err));
    const bool goes_on = restore(l, had);
    done->n_kept = goes_on ? tensors_before(l) : 0;
    TS_TRY(ts_quant_check_room(r, 2 * state_bytes(l), err)); /* the old one and the new one */
    if (goes_on) {
        TS_TRY(ts_quant_begin(r, false, err));
        r->watch.done = r->watch.all;
        for (uint32_t layer = l->next; layer < l->c.c.n_layer; layer++) r->watch.done -= layer_cost(l, layer);
        TS_TRY(ts_watch_step(&r->watch, 0, err)); /* for a forecast of the rest */
    } else {
        done->began_anew = had > 0;
        TS_TRY(write_outside(l, err));
    }
    while (l->next < l->c.c.n_layer) {
        const uint64_t done_then = r->watch.done + layer_cost(l, l->next);
        TS_TRY(do_layer(l, err));
        l->next++;
        TS_TRY(save(l, err));
        done->kept_partial = true;
        r->watch.done = done_then;
    }
    TS_TRY(ts_outfile_seek(&r->file, r->p->file_bytes, err));
    return r->in->source->op->check_unchanged(r->in->source, err);
}

ts_status ts_quant_write_layers(ts_quant_run_state *r, uint64_t had, ts_quant_done *done, ts_err *err) {
    layers l = {.r = r};
    *done = (ts_quant_done){0};
    if (!r->file.tmp)
        return ts_fail(err, TS_E_INVAL, "%s: layers are not written in order: give the result a file's name",
                       r->file.path);
    const ts_status st = write_all(&l, had, done, err);
    done->kept_partial = st != TS_OK && st != TS_E_FORMAT && (done->kept_partial || done->n_kept);
    ts_calib_fini(&l.c);
    ts_free(l.in_layer);
    return st;
}
