#include "hub/hub_select.h"

#include "base/printable.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void ts_hub_choice_free(ts_hub_choice *c) {
    ts_free(c->file);
    *c = (ts_hub_choice){0};
}

static ts_status add(ts_hub_choice *c, const ts_hub_file *file, ts_err *err) {
    for (size_t i = 0; i < c->n; i++)
        if (c->file[i] == file) return TS_OK;
    if (c->n == TS_HUB_MODEL_FILES_MAX)
        return ts_fail(err, TS_E_LIMIT, "the model has more than %d files", TS_HUB_MODEL_FILES_MAX);
    if (!ts_grow((void **)&c->file, &c->cap, c->n + 1, sizeof *c->file))
        return ts_fail_nomem(err, "the files of a model", (c->n + 1) * sizeof *c->file);
    c->file[c->n++] = file;
    return TS_OK;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static ts_status check_doubt(const ts_hub_choice *c, ts_err *err) {
    for (size_t i = 0; i < c->n; i++)
        if (c->file[i]->fault)
            return ts_fail(err, TS_E_FORMAT, "%s cannot be fetched: by the hub's list of files, %s", c->file[i]->path,
                           c->file[i]->fault);
        else if (c->file[i]->doubtful)
            return ts_fail(err, TS_E_FORMAT,
                           "the list of files names %s twice, or another file whose name differs in capitals alone: "
                           "nothing is taken of it",
                           c->file[i]->path);
    return TS_OK;
}

/* ---- GGUF -------------------------------------------------------------------------------------------------------- */

/* All parts of the file that `one` is a part of. */
static ts_status add_parts(ts_hub_choice *c, const ts_hub_files *f, const ts_hub_file *one, ts_err *err) {
    size_t prefix, k;
    unsigned index, count, i, n;
    if (!ts_hub_split(one->path, &prefix, &index, &count)) return add(c, one, err);
    const ts_hub_file **part = ts_calloc(count, sizeof *part);
    if (!part) return ts_fail_nomem(err, one->path, count * sizeof *part);
    for (size_t j = 0; j < f->n; j++)
        if (ts_hub_split(f->item[j].path, &k, &i, &n) && n == count && k == prefix &&
            !strncmp(f->item[j].path, one->path, k) && ts_hub_is_gguf(f->item[j].path))
            part[i - 1] = &f->item[j];
    ts_status s = TS_OK;
    for (unsigned j = 0; j < count && s == TS_OK; j++)
        s = part[j] ? add(c, part[j], err)
                    : ts_fail(err, TS_E_FORMAT, "%s: part %u of %u is missing", one->path, j + 1, count);
    ts_free(part);
    return s;
}

/* Is it the same file, or a part of the same? */
static bool same_model(const ts_hub_file *a, const ts_hub_file *b) {
    size_t ka, kb;
    unsigned i, na, nb;
    if (a == b) return true;
    return ts_hub_split(a->path, &ka, &i, &na) && ts_hub_split(b->path, &kb, &i, &nb) && ka == kb && na == nb &&
           !strncmp(a->path, b->path, ka);
}

static int depth_of(const char *path) {
    int n = 0;
    for (; *path; path++) n += *path == '/';
    return n;
}

/* The less the sooner; INT_MAX: not at all. */
static int rank_by_default(const char *quant, bool for_npu) {
    if (for_npu && ts_hub_quant_fits(quant, "Q4_0") == 2) return -1;
    for (int i = 0; ts_hub_preferred[i]; i++) {
        const int fit = ts_hub_quant_fits(quant, ts_hub_preferred[i]);
        if (fit) return 2 * i + (fit == 1);
    }
    return 1000;
}

static int rank_by_tag(const ts_hub_file *e, const char *quant, const char *tag) {
    if (ts_hub_is_quant(tag)) {
        const int fit = ts_hub_quant_fits(quant, tag);
        return fit ? 2 - fit : INT_MAX;
    }
    const char *name = name_of(e->path);
    const size_t n = strlen(name) - strlen(".gguf");
    if (!strcasecmp(e->path, tag)) return 0;
    if (!strcasecmp(name, tag)) return 1;
    if (strlen(tag) == n && !strncasecmp(name, tag, n)) return 2;
    return ts_hub_has_word(e->path, tag) ? 3 : INT_MAX;
}

static bool sooner(int ra, const ts_hub_file *a, int rb, const ts_hub_file *b) {
    if (ra != rb) return ra < rb;
    const int da = depth_of(a->path), db = depth_of(b->path);
    if (da != db) return da < db;
    const size_t la = strlen(a->path), lb = strlen(b->path);
    return la != lb ? la < lb : strcmp(a->path, b->path) < 0;
}

/* "Q4_K_M, Q8_0": the quants that there are, or names of files where they say none. */
static void list_quants(const ts_hub_files *f, char *out, size_t cap) {
    size_t used = 0;
    *out = 0;
    for (size_t i = 0; i < f->n && used + 64 < cap; i++) {
        char quant[TS_HUB_QUANT_MAX], shown[60];
        const char *path = f->item[i].path;
        if (!ts_hub_is_gguf(path) || ts_hub_is_aside(path)) continue;
        if (ts_hub_quant_of(path, quant)) snprintf(shown, sizeof shown, "%s", quant);
        else ts_printable(shown, sizeof shown, path, strlen(path));
        const char *at = strstr(out, shown);
        const size_t n = strlen(shown);
        bool there = false;
        for (; at && !there; at = strstr(at + 1, shown))
            there = (at == out || at[-1] == ' ') && (!at[n] || at[n] == ',');
        if (!there) used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? ", " : "", shown);
    }
}

/* *found: there was something to choose among. */
static ts_status choose_gguf(ts_hub_choice *c, const ts_hub_files *f, const char *repo, const char *tag, bool for_npu,
                             bool *found, ts_err *err) {
    const ts_hub_file *best = NULL;
    int best_rank = INT_MAX;
    size_t n_models = 0;
    char quant[TS_HUB_QUANT_MAX], list[400];
    *found = false;
    for (size_t i = 0; i < f->n; i++) {
        const ts_hub_file *e = &f->item[i];
        size_t prefix;
        unsigned index = 1, count;
        if (!ts_hub_is_gguf(e->path) || ts_hub_is_aside(e->path)) continue;
        *found = true;
        n_models += !ts_hub_split(e->path, &prefix, &index, &count) || index == 1;
        ts_hub_quant_of(e->path, quant);
        const int rank = *tag ? rank_by_tag(e, quant, tag) : rank_by_default(quant, for_npu);
        if (rank == INT_MAX || (best && !sooner(rank, e, best_rank, best))) continue;
        best = e, best_rank = rank;
    }
    if (!*found) return TS_OK;
    list_quants(f, list, sizeof list);
    if (!best) return ts_fail(err, TS_E_IO, "%s has no %s; there are: %s", repo, tag, list);
    if (!*tag && best_rank == 1000 && n_models > 1)
        return ts_fail(err, TS_E_IO,
                       "%s has several models and none of the usual quants; say which, as in %s:QUANT or "
                       "%s/FILE: %s",
                       repo, repo, repo, list);
    ts_hub_quant_of(best->path, c->quant);
    c->kind = TS_HUB_GGUF;
    TS_TRY(add_parts(c, f, best, err));
    for (size_t i = 0; i < f->n; i++) {
        const ts_hub_file *e = &f->item[i];
        size_t prefix;
        unsigned index = 1, count;
        if (!ts_hub_is_gguf(e->path) || ts_hub_is_aside(e->path) || same_model(e, best)) continue;
        if (ts_hub_split(e->path, &prefix, &index, &count) && index != 1) continue;
        ts_hub_quant_of(e->path, quant);
        c->n_alike += (*tag ? rank_by_tag(e, quant, tag) : rank_by_default(quant, for_npu)) == best_rank;
    }
    return TS_OK;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

static bool is_of_folder(const char *path) {
    static const char *const names[] = {
        "config.json",        "generation_config.json",  "tokenizer.json",   "tokenizer.model", "tokenizer_config.json",
        "added_tokens.json",  "special_tokens_map.json", "vocab.json",       "merges.txt",      "chat_template.jinja",
        "chat_template.json", "quantize_config.json",    "quant_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(path, names[i])) return true;
    return ts_begins(path, "LICENSE") || ts_begins(path, "LICENCE") || ts_begins(path, "NOTICE");
}

/* What holds the tensors where no index says it: files of the folder itself that end so. */
static ts_status add_tensors(ts_hub_choice *c, const ts_hub_files *f, const char *prefix, const char *end,
                             ts_err *err) {
    bool model = false;
    for (size_t i = 0; i < f->n; i++) model |= ts_begins(f->item[i].path, "model") && ts_ends(f->item[i].path, end);
    for (size_t i = 0; i < f->n; i++) {
        const char *path = f->item[i].path;
        size_t k, other;
        unsigned index, count, j, m, there = 0;
        if (strchr(path, '/') || !ts_begins(path, prefix) || !ts_ends(path, end)) continue;
        if (model && ts_begins(path, "consolidated")) continue;
        TS_TRY(add(c, &f->item[i], err));
        if (!ts_hub_split(path, &k, &index, &count) || index != 1) continue;
        /* the list is sorted: they stand together */
        for (size_t l = i; l < f->n && !strncmp(f->item[l].path, path, k); l++)
            there += ts_hub_split(f->item[l].path, &other, &j, &m) && other == k && m == count &&
                     ts_ends(f->item[l].path, end);
        if (there != count) return ts_fail(err, TS_E_FORMAT, "%s: there are %u of its %u parts", path, there, count);
    }
    return TS_OK;
}

/* The rules of source/hf_index.h: the index, the one file of the usual name, else what there is. */
static ts_status choose_weights(ts_hub_choice *c, const ts_hub_files *f, const char *single, const char *prefix,
                                const char *end, ts_err *err) {
    char index[64];
    snprintf(index, sizeof index, "%s.index.json", single);
    c->index = ts_hub_files_find(f, index);
    const ts_hub_file *one = ts_hub_files_find(f, single);
    if (c->index) return TS_OK;
    return one ? add(c, one, err) : add_tensors(c, f, prefix, end, err);
}

static ts_status choose_folder(ts_hub_choice *c, const ts_hub_files *f, const char *repo, ts_err *err) {
    c->kind = TS_HUB_FOLDER;
    for (size_t i = 0; i < f->n; i++)
        if (is_of_folder(f->item[i].path)) TS_TRY(add(c, &f->item[i], err));
    const size_t before = c->n;
    TS_TRY(choose_weights(c, f, "model.safetensors", "", ".safetensors", err));
    if (!c->index && c->n == before) TS_TRY(choose_weights(c, f, "pytorch_model.bin", "pytorch_model", ".bin", err));
    if (c->index) TS_TRY(add(c, c->index, err));
    if (c->n == before || !ts_hub_files_find(f, "config.json"))
        return ts_fail(err, TS_E_IO, "there is no model in %s: neither a GGUF file, nor config.json with safetensors",
                       repo);
    return TS_OK;
}

ts_status ts_hub_choose_indexed(ts_hub_choice *c, const ts_hub_files *f, const char *const *path, size_t n,
                                ts_err *err) {
    for (size_t i = 0; i < n; i++) {
        const ts_hub_file *e = ts_hub_files_find(f, path[i]);
        if (!e) return ts_fail(err, TS_E_FORMAT, "%s names %s, which is not there", c->index->path, path[i]);
        TS_TRY(add(c, e, err));
    }
    return check_doubt(c, err);
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

static ts_status choose_file(ts_hub_choice *c, const ts_hub_files *f, const char *repo, const char *path, ts_err *err) {
    const ts_hub_file *e = ts_hub_files_find(f, path);
    for (int way = 0; way < 2 && !e; way++) /* in other capitals, then without its folder: where only one fits */
        for (size_t i = 0, n = 0; i < f->n; i++)
            if (!strcasecmp(way ? name_of(f->item[i].path) : f->item[i].path, path)) e = n++ ? NULL : &f->item[i];
    char list[400];
    list_quants(f, list, sizeof list);
    if (!e) return ts_fail(err, TS_E_IO, "%s has no file %s%s%s", repo, path, *list ? "; there are: " : "", list);
    c->kind = ts_hub_is_gguf(e->path) ? TS_HUB_GGUF : TS_HUB_FILE;
    ts_hub_quant_of(e->path, c->quant);
    return c->kind == TS_HUB_GGUF ? add_parts(c, f, e, err) : add(c, e, err);
}

ts_status ts_hub_choose(ts_hub_choice *out, const ts_hub_files *f, const char *repo, const char *tag, bool is_file,
                        bool for_npu, ts_err *err) {
    ts_hub_choice c = {0};
    bool found = false;
    if (!strcasecmp(tag, "latest")) tag = "";
    const bool folder = !is_file && (!strcasecmp(tag, TS_HUB_FOLDER_TAG) || !strcasecmp(tag, "folder"));
    ts_status s = TS_OK;
    if (is_file) s = choose_file(&c, f, repo, tag, err);
    else if (!folder) s = choose_gguf(&c, f, repo, tag, for_npu, &found, err);
    if (s == TS_OK && !is_file && !found) {
        if (*tag && !folder) s = ts_fail(err, TS_E_IO, "%s has no %s: there is no GGUF file in it", repo, tag);
        else s = choose_folder(&c, f, repo, err);
    }
    if (s == TS_OK) s = check_doubt(&c, err);
    if (s == TS_OK) *out = c;
    else ts_hub_choice_free(&c);
    return s;
}

bool ts_hub_choice_name(ts_buf *out, const ts_hub_choice *c, const ts_hub_files *f) {
    const char *const tags[] = {c->quant, "", TS_HUB_FOLDER_TAG};
    for (size_t i = 0; i < 3 && c->n && c->kind != TS_HUB_FILE; i++) {
        ts_hub_choice again;
        ts_err err;
        if (i == 0 && !*c->quant) continue;
        if (i == 1 && *c->quant) continue;
        if (ts_hub_choose(&again, f, "", tags[i], false, false, &err) != TS_OK) continue;
        const bool same = again.kind == c->kind && again.file[0] == c->file[0];
        ts_hub_choice_free(&again);
        if (same) return !*tags[i] || (ts_buf_putc(out, ':') && ts_buf_puts(out, tags[i]));
    }
    return !c->n || (ts_buf_putc(out, '/') && ts_buf_puts(out, c->file[0]->path));
}
