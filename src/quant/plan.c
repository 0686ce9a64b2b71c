#include "quant/plan.h"

#include "base/printable.h"
#include "format/gguf_write.h"
#include "format/quant.h"
#include "format/search.h"
#include "quant/method.h"
#include "source/gguf_source.h"
#include "source/group_keys.h"
#include "source/hf_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the source -------------------------------------------------------------------------------------------------- */

static ts_status model_of(ts_quant_in *in, ts_err *err) {
    ts_span arch = {0};
    char key[160];
    TS_TRY(ts_gguf_str(in->gguf, "general.architecture", true, &arch, err));
    const int n = arch.len < 60 ? (int)arch.len : 60;
    ts_recipe_model *m = &in->model;
    snprintf(key, sizeof key, "%.*s.block_count", n, (const char *)arch.data);
    TS_TRY(ts_gguf_u32(in->gguf, key, true, &m->n_layer, err));
    /* families that have none, or one for each layer, do without the rules that ask for it */
    snprintf(key, sizeof key, "%.*s.attention.head_count", n, (const char *)arch.data);
    if (ts_gguf_u32(in->gguf, key, true, &m->n_head, NULL) != TS_OK) m->n_head = 1;
    m->n_kv_head = m->n_head;
    snprintf(key, sizeof key, "%.*s.attention.head_count_kv", n, (const char *)arch.data);
    if (ts_gguf_u32(in->gguf, key, false, &m->n_kv_head, NULL) != TS_OK) m->n_kv_head = m->n_head;
    m->tied = !ts_gguf_tensor(in->gguf, "output.weight");
    return TS_OK;
}

ts_status ts_quant_in_open(ts_quant_in *in, const char *path, ts_err *err) {
    *in = (ts_quant_in){0};
    if (ts_hf_is_model(path)) {
        TS_TRY(ts_hf_source_open(&in->source, path, err));
        TS_TRY(in->source->op->metadata(in->source, &in->gguf, err));
    } else {
        TS_TRY(ts_gguf_open_as(&in->own, path, TS_GGUF_ANY_TYPE, err));
        in->gguf = in->own;
        TS_TRY(ts_gguf_source_new(&in->source, in->own, err));
    }
    TS_TRY(model_of(in, err));
    if (in->source->n_tensors) return TS_OK;
    return ts_fail(err, TS_E_FORMAT, "%s: there are no tensors to be quantised", path);
}

void ts_quant_in_close(ts_quant_in *in) {
    ts_source_close(in->source);
    ts_gguf_close(in->own);
    *in = (ts_quant_in){0};
}

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

/* Does all of s[0..n) fit? * is any text, ? any character. Backs up to the last star only, which is enough. */
static bool glob(const char *p, const char *s, size_t n) {
    const char *star = NULL;
    size_t i = 0, after = 0;
    while (i < n) {
        if (*p == '*') star = p++, after = i;
        else if (*p && (*p == '?' || *p == s[i])) p++, i++;
        else if (star) p = star + 1, i = ++after;
        else return false;
    }
    while (*p == '*') p++;
    return !*p;
}

static bool fits(const char *pattern, const char *name) {
    for (const char *from = name;; from++) {
        for (const char *to = from;; to++) {
            to += strcspn(to, ".");
            if (glob(pattern, from, (size_t)(to - from))) return true;
            if (!*to) break;
        }
        from += strcspn(from, ".");
        if (!*from) return false;
    }
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static ts_dtype wanted(const ts_quant_opts *o, const ts_recipe_model *m, const char *name, ts_dtype own, bool *used) {
    ts_dtype type = o->recipe == &ts_recipe_keep ? own : ts_recipe_type(o->recipe, m, name);
    const bool head = ts_recipe_is_head(m, name);
    if (head && o->has_head) type = o->head;
    if (!head && o->has_embedding && !strcmp(name, "token_embd.weight")) type = o->embedding;
    for (size_t i = 0; i < o->n_rules; i++)
        if (fits(o->rule[i].pattern, name)) {
            type = o->rule[i].type;
            used[i] = true;
        }
    return type;
}

static ts_status weights_of(const ts_quant_opts *o, const ts_tensor *t, const ts_imatrix_entry **out, ts_err *err) {
    const ts_imatrix_entry *e = o->imatrix ? ts_imatrix_find(o->imatrix, t->name) : NULL;
    if (e && (e->n_in != t->dim[0] || (e->n_mat != 1 && e->n_mat != t->dim[2] * t->dim[3])))
        return ts_fail(err, TS_E_INVAL,
                       "%s: \"%.60s\" has %zu columns of %zu matrices, the model's %" PRIu64 " of %" PRIu64
                       ": it is another model's",
                       o->imatrix_name, t->name, e->n_in, e->n_mat, t->dim[0], t->dim[2] * t->dim[3]);
    *out = e;
    return TS_OK;
}

/* Is it of its type already, and to be rounded again? By a method all of a layer are; inputs in another order, which
 * GGUF cannot say, are put in their place. */
static bool is_anew(const ts_quant_in *in, const ts_quant_opts *o, const ts_quant_item *it) {
    const ts_source *s = in->source;
    if (it->type != it->from->type || ts_dtype_get(it->type)->block <= 1) return false;
    if (o->method && !strncmp(it->from->name, "blk.", 4) && ts_recipe_quantises(it->from)) return true;
    return o->recipe != &ts_recipe_keep && ts_dtype_is_u4g(it->type) && s->op->order && s->op->order(s, it->from);
}

static ts_status take_type(ts_quant_plan *p, const ts_quant_in *in, const ts_quant_opts *o, ts_quant_item *it,
                           ts_err *err) {
    const ts_tensor *t = it->from;
    const ts_dtype_info *from = ts_dtype_get(t->type);
    char name[80];
    ts_printable(name, sizeof name, t->name, strlen(t->name));
    if (!from->block)
        return ts_fail(err, TS_E_UNSUPP, "%s: tensor %s is of type %s, which cannot be read", in->source->name, name,
                       from->name);
    if (from->block > 1 && ts_dtype_get(it->type)->block > 1) {
        p->n_requantized++;
        if (!o->allow_requantize)
            return ts_fail(err, TS_E_INVAL,
                           "%s: tensor %s is %s already, and quantising twice adds the errors: take a file in F16, "
                           "BF16 or F32, or say --allow-requantize",
                           in->source->name, name, from->name);
    }
    if (ts_dtype_get(it->type)->block > 1) TS_TRY(weights_of(o, t, &it->weights, err));
    const bool weighed = ts_search_takes(it->type, true) || ts_dtype_is_u4g(it->type);
    if (o->imatrix && !it->weights && weighed && strcmp(t->name, "token_embd.weight") &&
        strcmp(t->name, "output.weight"))
        p->n_unweighted++;
    return TS_OK;
}

static ts_status choose(ts_quant_plan *p, const ts_quant_in *in, const ts_quant_opts *o, const ts_recipe_model *m,
                        ts_quant_item *it, bool *used, ts_err *err) {
    const ts_source *s = in->source;
    const ts_tensor *t = it->from;
    it->type = t->type;
    if (ts_recipe_quantises(t)) {
        const ts_dtype asked = wanted(o, m, t->name, t->type, used);
        it->type = asked == t->type ? asked : ts_recipe_fitting(asked, t->dim[0], ts_recipe_is_head(m, t->name));
        it->fallback = it->type != asked;
    }
    p->n_fallback += it->fallback;
    it->copied = it->type == t->type && !is_anew(in, o, it);
    if (!it->copied) TS_TRY(take_type(p, in, o, it, err));
    it->file = it->type;
    if (!ts_dtype_is_u4g(it->type)) return TS_OK;
    it->file = it->copied && s->op->carrier ? s->op->carrier(s, t) : ts_u4g_carrier(false);
    if (it->file == TS_F32) { /* no form of blocks holds it */
        it->type = it->file;
        it->copied = false;
        return TS_OK;
    }
    if (!it->copied || !s->op->order || !s->op->order(s, t)) return TS_OK;
    return ts_fail(err, TS_E_UNSUPP,
                   "%s: %s has its inputs in the order of act-order, which GGUF has no place for: the folder runs as "
                   "it is; a file of it has to be quantised anew (tessera quantize --allow-requantize)",
                   s->name, t->name);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool is_ours(const char *key) {
    return !strncmp(key, "tessera.import.", 15) || !strncmp(key, "tessera.quantize.", 17) ||
           !strcmp(key, "general.file_type") || !strcmp(key, "general.quantization_version") ||
           !strcmp(key, "general.alignment") || !strncmp(key, "quantize.imatrix.", 17) || !strncmp(key, "split.", 6);
}

/* How large the groups are that Q4_1 carries, and which Q4_1 is none of them. */
static ts_status put_groups(ts_gguf_writer *w, const ts_quant_plan *p, ts_err *err) {
    ts_group_key *key = ts_alloc(p->n, sizeof *key);
    size_t n = 0;
    if (!key) return ts_fail_nomem(err, "the sizes of groups", p->n * sizeof *key);
    for (size_t i = 0; i < p->n; i++) {
        const ts_quant_item *it = &p->item[i];
        if (ts_dtype_is_u4g(it->type) || ts_u4g_may_be(it->file))
            key[n++] = (ts_group_key){it->from->name, ts_dtype_is_u4g(it->type) ? ts_u4g_group(it->type) : 0};
    }
    const ts_status s = ts_group_keys_put(w, key, n, err);
    ts_free(key);
    return s;
}

/* llama.cpp's number for the type that most elements have. */
static uint32_t file_type_of(const ts_quant_plan *p) {
    uint64_t n[TS_DTYPES] = {0};
    ts_dtype most = TS_F32;
    for (size_t i = 0; i < p->n; i++) n[p->item[i].file] += p->item[i].from->dim[0] * p->item[i].from->dim[1];
    for (int t = 0; t < TS_DTYPES; t++)
        if (n[t] > n[most]) most = (ts_dtype)t;
    for (size_t i = 0; ts_recipe_at(i); i++)
        if (ts_recipe_at(i)->base == most) return ts_recipe_at(i)->file_type;
    return 0;
}

static ts_status put_metadata(ts_gguf_writer *w, const ts_quant_plan *p, const ts_quant_in *in, const ts_quant_opts *o,
                              ts_err *err) {
    for (size_t i = 0; i < ts_gguf_n_kv(in->gguf); i++) {
        const ts_gguf_kv *kv = ts_gguf_kv_at(in->gguf, i);
        if (!is_ours(kv->key)) ts_gguf_put_kv(w, kv);
    }
    const bool keep = o->recipe == &ts_recipe_keep;
    const ts_gguf_kv *was = keep ? ts_gguf_find(in->gguf, "general.file_type") : NULL;
    const uint32_t type = keep ? file_type_of(p) : o->recipe->file_type;
    if (was) ts_gguf_put_kv(w, was);
    else ts_gguf_put_u32(w, "general.file_type", type);
    if (type != 0 && type != 1 && type != 32) ts_gguf_put_u32(w, "general.quantization_version", 2);
    TS_TRY(put_groups(w, p, err));
    if (o->calibration) {
        ts_gguf_put_str(w, "tessera.quantize.method", ts_quant_method_name(o->method));
        ts_gguf_put_str(w, "tessera.quantize.calibration", o->calibration);
    }
    if (!o->imatrix) return TS_OK;
    ts_gguf_put_str(w, "quantize.imatrix.file", o->imatrix_name);
    if (*ts_imatrix_dataset(o->imatrix)) ts_gguf_put_str(w, "quantize.imatrix.dataset", ts_imatrix_dataset(o->imatrix));
    ts_gguf_put_u32(w, "quantize.imatrix.entries_count", (uint32_t)ts_imatrix_n(o->imatrix));
    if (ts_imatrix_chunks(o->imatrix))
        ts_gguf_put_u32(w, "quantize.imatrix.chunks_count", ts_imatrix_chunks(o->imatrix));
    return TS_OK;
}

static ts_status lay_out(ts_quant_plan *p, const ts_quant_in *in, const ts_quant_opts *o, ts_err *err) {
    enum { ALIGNMENT = 32 };
    ts_gguf_writer *w = NULL;
    TS_TRY(ts_gguf_writer_new(&w, ALIGNMENT, err));
    ts_status s = put_metadata(w, p, in, o, err);
    uint64_t at = 0;
    for (size_t i = 0; i < p->n; i++) {
        ts_quant_item *it = &p->item[i];
        const ts_tensor *t = it->from;
        ts_gguf_add_tensor_fn(w, t->name, it->file, t->n_dims, t->dim, NULL, NULL);
        it->n_el = t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
        it->bytes = it->file == t->type ? t->bytes : ts_dtype_row_bytes(it->file, t->dim[0]) * (it->n_el / t->dim[0]);
        it->offset = at;
        at += (it->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        p->n_el += it->n_el;
        p->data_bytes += it->bytes;
    }
    if (s == TS_OK) s = ts_gguf_save_header(w, &p->header, err);
    ts_gguf_writer_free(w);
    for (size_t i = 0; i < p->n; i++) p->item[i].offset += p->header.len;
    p->file_bytes = p->header.len + at;
    return s;
}

ts_status ts_quant_plan_make(ts_quant_plan *p, const ts_quant_in *in, const ts_quant_opts *o, ts_err *err) {
    *p = (ts_quant_plan){.n = in->source->n_tensors, .method = o->method};
    p->item = ts_calloc(p->n, sizeof *p->item);
    bool *used = ts_calloc(o->n_rules, sizeof *used);
    ts_status s = p->item && used ? TS_OK : ts_fail_nomem(err, "the list of tensors", p->n * sizeof *p->item);
    ts_recipe_model m = in->model;
    m.imatrix = o->imatrix != NULL;
    for (size_t i = 0; i < p->n && s == TS_OK; i++) {
        p->item[i].from = in->source->op->tensor_at(in->source, i);
        s = choose(p, in, o, &m, &p->item[i], used, err);
    }
    for (size_t i = 0; i < o->n_rules && s == TS_OK; i++)
        if (!used[i])
            s = ts_fail(err, TS_E_INVAL, "%s: no matrix is called \"%.60s\"", in->source->name, o->rule[i].pattern);
    ts_free(used);
    return s == TS_OK ? lay_out(p, in, o, err) : s;
}

void ts_quant_plan_free(ts_quant_plan *p) {
    ts_free(p->item);
    ts_buf_free(&p->header);
    *p = (ts_quant_plan){0};
}

void ts_quant_kind(const char *name, char out[64]) {
    unsigned layer;
    int skip = 0;
    if (sscanf(name, "blk.%u.%n", &layer, &skip) < 1 || !skip) skip = 0;
    const size_t n = strlen(name + skip), end = n > 7 && !strcmp(name + skip + n - 7, ".weight") ? n - 7 : n;
    ts_printable(out, 64, name + skip, end);
}
