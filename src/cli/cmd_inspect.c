/* cmd_inspect.c - tessera inspect: what is in a model file, and what it takes to run it. The JSON form is described in
 * docs/formats/gguf.md; change it only by adding. */
#include "cli/arguments.h"
#include "cli/bundled.h"
#include "cli/cmd_inspect_arrays.h"
#include "cli/commands.h"
#include "cli/store.h"

#include "base/cpu.h"
#include "base/printable.h"
#include "engine/session.h"
#include "format/gguf.h"
#include "kern/kern.h"
#include "source/gguf_source.h"
#include "source/hf_source.h"
#include "source/leftover.h"
#include "text/tokenizer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DEFAULT_ITEMS = 8, /* of an array shown */
    TEXT_SHOWN = 100,  /* bytes of a string shown in the text form */
    MAX_LAYERS = 65536,
    F16_BYTES = 2,
};

typedef struct totals {
    uint64_t tensors, parameters, bytes;
} totals;

/* What a context of so many tokens takes. */
typedef struct context {
    const char *what; /* whose it is */
    uint64_t tokens, kv[3], total[3]; /* f16, f32, q8_0; total: weights and working memory too */
} context;

typedef struct report {
    const ts_gguf *g;      /* the file; of a folder its metadata, as a GGUF file would have them */
    const ts_hf_model *hf; /* NULL: a GGUF file */
    const char *path;      /* as it was given */
    long items;
    totals all, by_type[TS_DTYPES];
    uint64_t file_bytes;
    char arch[64];          /* printable; "" when the file has none */
    const char *kv_unknown; /* why the cache cannot be computed, or NULL */
    bool ctx_known;
    uint64_t ctx, kv_token_bytes, kv_bytes; /* f16 */
    uint64_t kv_q8_token_bytes;
    uint64_t working;       /* bytes that a pass works in, 0: not known */
    uint64_t available;     /* bytes of memory free here, 0: not known */
    context context[2];
    int n_context;
    ts_source *src;
    ts_model *model;        /* NULL: Tessera cannot make anything of it */
    ts_err refusal;         /* why the file cannot be run; code TS_OK: it can */
} report;

/* What the architecture section shows: <arch>.<key>. */
static const struct field {
    const char *label, *key;
} fields[] = {
    {"layers", "block_count"},
    {"context", "context_length"},
    {"width", "embedding_length"},
    {"feed-forward", "feed_forward_length"},
    {"heads", "attention.head_count"},
    {"KV heads", "attention.head_count_kv"},
    {"key length", "attention.key_length"},
    {"value length", "attention.value_length"},
    {"window", "attention.sliding_window"},
    {"experts", "expert_count"},
    {"experts used", "expert_used_count"},
    {"rope elements", "rope.dimension_count"},
    {"rope base", "rope.freq_base"},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

/* ---- files and tensors, of both forms ---------------------------------------------------------------------------- */

static int n_files(const report *r) {
    return r->hf ? ts_hf_folder_n_files(r->hf->folder) : ts_gguf_n_files(r->g);
}
static const char *file_path(const report *r, int i) {
    return r->hf ? ts_hf_folder_file(r->hf->folder, i) : ts_gguf_part_path(r->g, i);
}
static uint64_t file_len(const report *r, int i) {
    struct stat st;
    if (!r->hf) return ts_gguf_file(r->g, i)->len;
    return stat(file_path(r, i), &st) == 0 ? (uint64_t)st.st_size : 0;
}
static size_t n_tensors(const report *r) {
    return r->hf ? r->src->n_tensors : ts_gguf_n_tensors(r->g);
}
static const ts_tensor *tensor_at(const report *r, size_t i) {
    return r->hf ? r->src->op->tensor_at(r->src, i) : ts_gguf_tensor_at(r->g, i);
}

/* How the weights of a folder are quantised, as people write it; "": they are not, or nothing says how. */
static const char *method(const report *r) {
    static const char *const known[][2] = {{"awq", "AWQ"}, {"gptq", "GPTQ"}, {"quark", "Quark"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(r->hf->c.method, known[i][0])) return known[i][1];
    return r->hf->c.method;
}

static const ts_gguf_kv *arch_key(const report *r, const char *key) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->arch, key);
    return ts_gguf_find(r->g, full);
}

static bool is_number(ts_gguf_type t) {
    return t != TS_GGUF_STRING && t != TS_GGUF_ARRAY;
}

static bool is_float(ts_gguf_type t) {
    return t == TS_GGUF_F32 || t == TS_GGUF_F64;
}

/* A whole number >= 0 of one key, or of layer `i` where the file gives one per layer. */
static bool arch_number(const report *r, const char *key, uint64_t i, uint64_t *out) {
    const ts_gguf_kv *kv = arch_key(r, key);
    if (!kv || !is_number(kv->elem) || is_float(kv->elem)) return false;
    if (kv->type != TS_GGUF_ARRAY) i = 0;
    if (i >= kv->n || ts_gguf_int(kv, i) < 0) return false;
    *out = (uint64_t)ts_gguf_int(kv, i);
    return true;
}

static uint64_t pad(uint64_t v, uint64_t to) {
    return v > UINT64_MAX - to ? v : (v + to - 1) / to * to;
}

/* Entries of the vocabulary: what the file says, or else the length of its list of tokens. */
static bool vocabulary(const report *r, uint64_t *n) {
    const ts_gguf_kv *tokens = ts_gguf_find(r->g, "tokenizer.ggml.tokens");
    if (arch_number(r, "vocab_size", 0, n)) return true;
    if (tokens && tokens->type == TS_GGUF_ARRAY) *n = tokens->n;
    return tokens && tokens->type == TS_GGUF_ARRAY;
}

/* Bytes of keys and values that one token adds; the formula is in the help text. Returns why not, or NULL. */
static const char *kv_per_token(const report *r, uint64_t *bytes, uint64_t *q8_bytes) {
    static const char *const other_memory[] = {"ssm.state_size", "wkv.head_size", "attention.kv_lora_rank"};
    uint64_t layers, heads, width, sum = 0, q8_sum = 0;
    if (!*r->arch) return "the file names no architecture";
    for (size_t i = 0; i < sizeof other_memory / sizeof *other_memory; i++)
        if (arch_key(r, other_memory[i])) return "this architecture does not keep plain keys and values in every layer";
    if (!arch_number(r, "block_count", 0, &layers)) return "the file does not give the number of layers";
    if (layers > MAX_LAYERS) return "the number of layers is absurd";
    if (!arch_number(r, "embedding_length", 0, &width)) return "the file does not give the width of the model";
    for (uint64_t l = 0; l < layers; l++) {
        uint64_t kv_heads, key, value, layer, q8;
        if (!arch_number(r, "attention.head_count", l, &heads)) return "the file does not give the number of heads";
        if (!arch_number(r, "attention.head_count_kv", l, &kv_heads)) kv_heads = heads;
        if (!arch_number(r, "attention.key_length", l, &key)) key = heads ? width / heads : 0;
        if (!arch_number(r, "attention.value_length", l, &value)) value = heads ? width / heads : 0;
        key = pad(key, TS_HEAD_LANES);
        value = pad(value, TS_HEAD_LANES);
        if (__builtin_add_overflow(key, value, &layer) || __builtin_mul_overflow(layer, kv_heads, &layer) ||
            __builtin_mul_overflow(layer, (uint64_t)F16_BYTES, &layer) || __builtin_add_overflow(sum, layer, &sum))
            return "the numbers in the file are absurd";
        /* smaller: int8 and 2 bytes for each 32 of them, those of keys rounded up to pairs of blocks */
        q8 = pad(key, 32) + 2 * pad((key + 31) / 32, 2) + value + 2 * ((value + 31) / 32);
        q8_sum += q8 * kv_heads;
    }
    *bytes = sum;
    *q8_bytes = q8_sum;
    return NULL;
}

/* false: the numbers are absurd. */
static bool add_context(report *r, uint64_t tokens, const char *what) {
    context *c = &r->context[r->n_context];
    *c = (context){.what = what, .tokens = tokens};
    if (__builtin_mul_overflow(pad(tokens, TS_KV_TILE), r->kv_token_bytes, &c->kv[0]) ||
        __builtin_mul_overflow(c->kv[0], 2, &c->kv[1]) ||
        __builtin_mul_overflow(pad(tokens, TS_KV_TILE), r->kv_q8_token_bytes, &c->kv[2]))
        return false;
    for (int i = 0; i < 3; i++)
        if (__builtin_add_overflow(c->kv[i], r->all.bytes, &c->total[i]) ||
            __builtin_add_overflow(c->total[i], r->working, &c->total[i]))
            return false;
    r->n_context++;
    return true;
}

static void list_contexts(report *r, long asked) {
    uint64_t trained = 0, usual;
    if (r->model)
        r->working = ts_session_working_bytes(&r->model->c, (uint32_t)(r->ctx > UINT32_MAX ? UINT32_MAX : r->ctx));
    if (asked > 0) {
        if (!add_context(r, (uint64_t)asked, "which --ctx asks for"))
            r->kv_unknown = "the numbers in the file are absurd";
        return;
    }
    trained = r->ctx;
    usual = ts_session_default_ctx(trained > UINT32_MAX ? UINT32_MAX : (uint32_t)trained);
    bool ok = add_context(r, usual,
                          usual == trained ? "which run and chat take, and all that the model was trained for"
                                           : "which run and chat take");
    if (ok && usual != trained) ok = add_context(r, trained, "all that the model was trained for");
    if (!ok) r->kv_unknown = "the numbers in the file are absurd";
}

/* Would run and chat take the file? All but the weights' values is looked at. */
static void try_to_run(report *r) {
    ts_model *m;
    ts_tokenizer *tok;
    if (!r->hf && ts_gguf_source_new(&r->src, r->g, &r->refusal) != TS_OK) return;
    if (ts_model_survey(&r->model, r->src, &r->refusal) != TS_OK) return;
    ts_err e;
    if (ts_model_describe(&m, r->src, &e) == TS_OK) ts_model_close(m);
    else r->refusal = e;
    if (r->hf || r->refusal.code != TS_OK) return; /* a folder's tokenizer is the caller's */
    r->refusal.code = ts_tokenizer_from_gguf(&tok, r->g, NULL, &r->refusal);
    if (r->refusal.code == TS_OK) ts_tokenizer_free(tok);
}

/* A folder: its metadata with the tokenizer's, or, where that cannot be read, without and the reason. */
static ts_status open_folder(report *r, ts_err *err) {
    TS_TRY(ts_source_open(&r->src, r->path, err));
    r->hf = ts_hf_source_model(r->src);
    if (r->src->op->metadata(r->src, &r->g, &r->refusal) == TS_OK) r->refusal.code = TS_OK;
    else r->g = ts_hf_source_header(r->src);
    return TS_OK;
}

static void survey(report *r, long ctx) {
    const ts_gguf *g = r->g;
    for (int i = 0; i < n_files(r); i++) r->file_bytes += file_len(r, i);
    for (size_t i = 0; i < n_tensors(r); i++) {
        const ts_tensor *t = tensor_at(r, i);
        /* no overflow: the bytes of all tensors lie side by side in files, and no element has less than a bit */
        uint64_t n = t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
        totals *sums[] = {&r->all, &r->by_type[t->type]};
        for (int k = 0; k < 2; k++) {
            sums[k]->tensors++;
            sums[k]->parameters += n;
            sums[k]->bytes += t->bytes;
        }
    }
    ts_span arch = {0};
    if (ts_gguf_str(g, "general.architecture", false, &arch, NULL) == TS_OK && arch.data)
        ts_printable(r->arch, sizeof r->arch, arch.data, arch.len);
    r->kv_unknown = kv_per_token(r, &r->kv_token_bytes, &r->kv_q8_token_bytes);
    r->ctx_known = ctx > 0 || (arch_number(r, "context_length", 0, &r->ctx) && r->ctx > 0);
    if (ctx > 0) r->ctx = (uint64_t)ctx;
    if (!r->kv_unknown && !r->ctx_known) r->kv_unknown = "the file gives no context length: use --ctx";
    if (!r->kv_unknown && __builtin_mul_overflow(pad(r->ctx, TS_KV_TILE), r->kv_token_bytes, &r->kv_bytes))
        r->kv_unknown = "the numbers in the file are absurd";
    r->available = ts_mem_available();
    if (!r->kv_unknown) list_contexts(r, ctx);
}

/* ---- the text form ----------------------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as the same float: 0.1 rather than 0.100000001. */
static double shortest(float f) {
    char text[32];
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f) return strtod(text, NULL);
    }
    return (double)f;
}

/* 1234567 -> "1,234,567" */
static const char *grouped(char out[32], uint64_t v) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, v);
    char *p = out;
    for (int i = 0; i < n; i++) {
        *p++ = digits[i];
        if ((n - i) % 3 == 1 && i + 1 < n) *p++ = ',';
    }
    *p = 0;
    return out;
}
#define GROUPED(v) grouped((char[32]){0}, v)

static const char *sized(char out[32], uint64_t bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1024 && u < 6; u++) v /= 1024;
    snprintf(out, 32, u ? "%.2f %s" : "%.0f %s", v, units[u]);
    return out;
}
#define SIZED(v) sized((char[32]){0}, v)

static void print_string(ts_span s) {
    char text[TEXT_SHOWN];
    ts_printable(text, sizeof text, s.data, s.len);
    printf("\"%s\"", text);
}

static void print_number(const ts_gguf_kv *kv, uint64_t i) {
    uint64_t u;
    switch (kv->elem) {
    case TS_GGUF_F32: printf("%.9g", shortest((float)ts_gguf_num(kv, i))); break;
    case TS_GGUF_F64: printf("%.17g", ts_gguf_num(kv, i)); break;
    case TS_GGUF_BOOL: printf("%s", ts_gguf_int(kv, i) ? "true" : "false"); break;
    case TS_GGUF_U64: /* beyond what ts_gguf_int can give */
        memcpy(&u, kv->raw.data + i * sizeof u, sizeof u);
        printf("%" PRIu64, u);
        break;
    default: printf("%" PRId64, ts_gguf_int(kv, i)); break;
    }
}

static void print_value(const ts_gguf_kv *kv, long items) {
    ts_reader r = ts_reader_of(kv->raw.data, kv->raw.len);
    if (kv->type == TS_GGUF_STRING) {
        ts_span s = ts_gguf_next_string(&r);
        print_string(s);
        if (s.len >= TEXT_SHOWN) printf(" (%s bytes)", GROUPED(s.len));
    } else if (kv->type != TS_GGUF_ARRAY) {
        print_number(kv, 0);
    } else if (kv->elem == TS_GGUF_ARRAY) {
        printf("%s arrays", GROUPED(kv->n));
    } else {
        putchar('[');
        for (uint64_t i = 0; i < kv->n && i < (uint64_t)items; i++) {
            if (i) printf(", ");
            if (kv->elem == TS_GGUF_STRING)
                print_string(ts_gguf_next_string(&r));
            else
                print_number(kv, i);
        }
        printf(kv->n > (uint64_t)items ? "%s...] (%s in all)" : "]", items ? ", " : "", GROUPED(kv->n));
    }
}

static void print_type(const ts_gguf_kv *kv) {
    char name[24];
    snprintf(name, sizeof name, "%s%s", ts_gguf_type_name(kv->elem), kv->type == TS_GGUF_ARRAY ? "[]" : "");
    printf("%-9s ", name);
}

static void print_metadata(const report *r) {
    const ts_gguf *g = r->g;
    printf("Metadata: %s entries\n", GROUPED(ts_gguf_n_kv(g)));
    for (size_t i = 0; i < ts_gguf_n_kv(g); i++) {
        const ts_gguf_kv *kv = ts_gguf_kv_at(g, i);
        char key[128];
        ts_printable(key, sizeof key, kv->key, strlen(kv->key));
        printf("  %-40s ", key);
        print_type(kv);
        print_value(kv, r->items);
        putchar('\n');
    }
}

static void print_tensors(const report *r) {
    int widest = 4;
    for (size_t i = 0; i < n_tensors(r); i++) {
        size_t n = strlen(tensor_at(r, i)->name);
        if ((int)n > widest) widest = n > 60 ? 60 : (int)n;
    }
    printf("Tensors: %s\n", GROUPED(n_tensors(r)));
    if (!n_tensors(r)) return;
    bool split = n_files(r) > 1;
    printf("  %-*s  %-7s  %-22s  %14s  %14s%s\n", widest, "name", "type", "shape", "bytes", "offset",
           split ? "  file" : "");
    for (size_t i = 0; i < n_tensors(r); i++) {
        const ts_tensor *t = tensor_at(r, i);
        char name[128], shape[96];
        ts_printable(name, sizeof name, t->name, strlen(t->name));
        int n = 0;
        for (uint32_t d = 0; d < t->n_dims; d++)
            n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%" PRIu64, d ? " x " : "", t->dim[d]);
        printf("  %-*s  %-7s  %-22s  %14s  %14s", widest, name, ts_dtype_get(t->type)->name, shape, GROUPED(t->bytes),
               GROUPED(t->offset));
        if (split) printf("  %4d", t->file + 1);
        putchar('\n');
    }
}

static double bits_per_weight(const totals *t) {
    return t->parameters ? (double)t->bytes * 8 / (double)t->parameters : 0;
}

static void print_total_line(const totals *t, const char *label, bool supported) {
    printf("  %-14s %5s tensor%s %s parameters, %s, %.2f bits per weight%s\n", label, GROUPED(t->tensors),
           t->tensors == 1 ? ", " : "s,", GROUPED(t->parameters), SIZED(t->bytes), bits_per_weight(t),
           supported ? "" : " (Tessera cannot compute with this type)");
}

static void print_totals(const report *r) {
    printf("Size\n");
    for (uint32_t i = 0; i < TS_DTYPES; i++)
        if (r->by_type[i].tensors) print_total_line(&r->by_type[i], ts_dtype_get(i)->name, ts_dtype_get(i)->block);
    if (r->all.tensors)
        print_total_line(&r->all, "all", true);
    else
        printf("  %-14s the file has metadata only\n", "no weights");
    printf("  %-14s %s bytes", n_files(r) > 1 ? "files" : "file", GROUPED(r->file_bytes));
    if (n_files(r) > 1) printf(" in %d parts", n_files(r));
    putchar('\n');
}

static void print_architecture(const report *r) {
    uint64_t n = 0;
    ts_span name = {0};
    printf("Architecture\n  %-14s %s\n", "family", *r->arch ? r->arch : "(not given)");
    if (ts_gguf_str(r->g, "general.name", false, &name, NULL) == TS_OK && name.data) {
        printf("  %-14s ", "name");
        print_string(name);
        putchar('\n');
    }
    for (int i = 0; i < N_FIELDS; i++) {
        const ts_gguf_kv *kv = arch_key(r, fields[i].key);
        if (!kv) continue;
        printf("  %-14s ", fields[i].label);
        print_value(kv, r->items);
        putchar('\n');
    }
    if (vocabulary(r, &n)) printf("  %-14s %" PRIu64 "\n", "vocabulary", n);
}

static void print_fit(const report *r, const char *label, uint64_t need) {
    printf("  %-14s %s: %s%s, %s are free (measured now)\n", label, need <= r->available ? "yes" : "no", SIZED(need),
           r->working ? " with what a pass works in" : "", SIZED(r->available));
}

static void print_context(const report *r, const context *c) {
    printf("\n  %-14s %s tokens: %s\n", "context", GROUPED(c->tokens), c->what);
    printf("  %-14s %s: %s tokens", "KV cache", SIZED(c->kv[0]), GROUPED(c->tokens));
    if (c->tokens % TS_KV_TILE) printf(" (room for %s)", GROUPED(pad(c->tokens, TS_KV_TILE)));
    printf(" x %s bytes (f16)\n", GROUPED(r->kv_token_bytes));
    printf("  %-14s %s\n", "together", SIZED(r->all.bytes + c->kv[0]));
    printf("  %-14s %s, together %s\n", "with --kv f32", SIZED(c->kv[1]), SIZED(r->all.bytes + c->kv[1]));
    printf("  %-14s %s, together %s\n", "with --kv q8_0", SIZED(c->kv[2]), SIZED(r->all.bytes + c->kv[2]));
    if (!r->available) return;
    print_fit(r, "fits here", c->total[0]);
    print_fit(r, "with --kv f32", c->total[1]);
    print_fit(r, "with --kv q8_0", c->total[2]);
}

static void print_memory(const report *r) {
    uint64_t trained = 0;
    if (!r->all.tensors) return;
    printf("Memory to run\n  %-14s %s\n", "weights", SIZED(r->all.bytes));
    if (r->kv_unknown) {
        printf("  %-14s unknown: %s\n", "KV cache", r->kv_unknown);
        return;
    }
    for (int i = 0; i < r->n_context; i++) print_context(r, &r->context[i]);
    if (arch_number(r, "context_length", 0, &trained) && r->ctx > trained)
        printf("  %-14s the model was trained for a context of %s only\n", "note", GROUPED(trained));
}

/* A message without the name of the file, which stands above. */
static const char *without_path(const report *r) {
    const char *path = r->path, *msg = r->refusal.msg;
    size_t n = strlen(path);
    return !strncmp(msg, path, n) && !strncmp(msg + n, ": ", 2) ? msg + n + 2 : msg;
}

static const struct {
    ts_key_use use;
    const char *label, *json;
} key_lists[] = {{TS_KEY_REFUSED, "refused", "refused_keys"},
                 {TS_KEY_UNKNOWN, "unknown", "unknown_keys"},
                 {TS_KEY_IGNORED, "not followed", "ignored_keys"}};
enum { N_KEY_LISTS = sizeof key_lists / sizeof *key_lists };

static void print_verdict(const report *r) {
    char text[512];
    ts_printable(text, sizeof text, without_path(r), strlen(without_path(r)));
    printf("Tessera\n  %-14s %s%s\n", "runs it",
           r->refusal.code == TS_OK ? "yes" : "no: ", r->refusal.code == TS_OK ? "" : text);
    if (!r->model) return;
    const ts_tensor *t;
    for (size_t i = 0; (t = r->src->op->unused(r->src, &i)) != NULL;) {
        ts_printable(text, sizeof text, t->name, strlen(t->name));
        printf("  %-14s tensor %s\n", "not used", text);
    }
    for (int l = 0; l < N_KEY_LISTS; l++)
        for (size_t i = 0; i < ts_gguf_n_kv(r->g); i++) {
            if (ts_key_use_of(r->g, ts_gguf_kv_at(r->g, i), r->model->c.arch) != key_lists[l].use) continue;
            ts_key_show(ts_gguf_kv_at(r->g, i), text, sizeof text);
            printf("  %-14s %s\n", key_lists[l].label, text);
        }
}

static void print_text(const report *r, bool metadata, bool tensors, bool summary) {
    char path[512];
    ts_printable(path, sizeof path, r->path, strlen(r->path));
    if (r->hf) {
        printf("%s: %d file%s, %s", path, n_files(r), n_files(r) > 1 ? "s" : "",
               ts_hf_folder_is_torch(r->hf->folder) ? "PyTorch" : "safetensors");
        if (*method(r)) printf(", %s", method(r));
    } else {
        printf("%s: GGUF version %" PRIu32, path, ts_gguf_version(r->g));
        if (n_files(r) > 1) printf(", %d parts", n_files(r));
    }
    printf("\n\n");
    if (metadata) print_metadata(r);
    if (metadata && tensors) putchar('\n');
    if (tensors) print_tensors(r);
    if (!summary) return;
    putchar('\n');
    print_architecture(r);
    putchar('\n');
    print_totals(r);
    if (r->all.tensors) putchar('\n');
    print_memory(r);
    putchar('\n');
    print_verdict(r);
}

/* ---- the JSON form ----------------------------------------------------------------------------------------------- */

/* jansson takes UTF-8 only: bytes that are not become U+FFFD. NULL: out of memory. */
static json_t *json_text(const void *text, size_t len) {
    const uint8_t *s = text;
    ts_buf b = {0};
    bool ok = ts_buf_reserve(&b, len);
    for (size_t i = 0; i < len && ok;) {
        size_t n = ts_utf8_valid(s + i, len - i, NULL);
        ok = n ? ts_buf_append(&b, s + i, n) : ts_buf_puts(&b, "\xef\xbf\xbd");
        i += n ? n : 1;
    }
    json_t *j = ok ? json_stringn(b.data, b.len) : NULL;
    ts_buf_free(&b);
    return j;
}

static json_t *json_cstr(const char *s) { return json_text(s, strlen(s)); }

/* Numbers that JSON cannot hold become strings: infinities, NaN, and whole numbers beyond 2^63 - 1. */
static json_t *json_double(double v) {
    json_t *j = json_real(v);
    if (j) return j;
    return json_string(v != v ? "nan" : v > 0 ? "inf" : "-inf");
}

static json_t *json_uint(uint64_t v) {
    if (v <= INT64_MAX) return json_integer((json_int_t)v);
    return json_sprintf("%" PRIu64, v);
}

static json_t *json_number_at(const ts_gguf_kv *kv, uint64_t i) {
    uint64_t u;
    switch (kv->elem) {
    case TS_GGUF_F32: return json_double(shortest((float)ts_gguf_num(kv, i)));
    case TS_GGUF_F64: return json_double(ts_gguf_num(kv, i));
    case TS_GGUF_BOOL: return json_boolean(ts_gguf_int(kv, i));
    case TS_GGUF_U64: memcpy(&u, kv->raw.data + i * sizeof u, sizeof u); return json_uint(u);
    default: return json_integer(ts_gguf_int(kv, i));
    }
}

/* Put `value` into `object`, taking it over; *ok is cleared when there is none or no memory. */
static void set(json_t *object, const char *key, json_t *value, bool *ok) {
    if (json_object_set_new_nocheck(object, key, value) < 0) *ok = false;
}

static void append(json_t *array, json_t *value, bool *ok) {
    if (json_array_append_new(array, value) < 0) *ok = false;
}

/* The first `items` elements. */
static json_t *json_elements(const ts_gguf_kv *kv, uint64_t items, bool *ok) {
    json_t *a = json_array();
    ts_reader r = ts_reader_of(kv->raw.data, kv->raw.len);
    for (uint64_t i = 0; i < kv->n && i < items && *ok; i++) {
        if (kv->elem == TS_GGUF_STRING) {
            ts_span s = ts_gguf_next_string(&r);
            append(a, json_text(s.data, s.len), ok);
        } else {
            append(a, json_number_at(kv, i), ok);
        }
    }
    return a;
}

static json_t *json_value(const ts_gguf_kv *kv) {
    if (kv->type != TS_GGUF_STRING) return json_number_at(kv, 0);
    return json_text(kv->raw.data + 8, kv->raw.len - 8);
}

static json_t *json_metadata(const report *r, bool *ok) {
    json_t *object = json_object();
    for (size_t i = 0; i < ts_gguf_n_kv(r->g) && *ok; i++) {
        const ts_gguf_kv *kv = ts_gguf_kv_at(r->g, i);
        json_t *e = json_object(), *key = json_cstr(kv->key);
        set(e, "type", json_string(ts_gguf_type_name(kv->type)), ok);
        if (kv->type == TS_GGUF_ARRAY) {
            set(e, "element_type", json_string(ts_gguf_type_name(kv->elem)), ok);
            set(e, "count", json_uint(kv->n), ok);
            if (kv->elem != TS_GGUF_ARRAY) set(e, "values", json_elements(kv, (uint64_t)r->items, ok), ok);
        } else {
            set(e, "value", json_value(kv), ok);
        }
        if (key)
            set(object, json_string_value(key), e, ok);
        else
            *ok = false, json_decref(e);
        json_decref(key);
    }
    return object;
}

static json_t *json_tensors(const report *r, bool *ok) {
    json_t *list = json_array();
    for (size_t i = 0; i < n_tensors(r) && *ok; i++) {
        const ts_tensor *t = tensor_at(r, i);
        json_t *e = json_object(), *shape = json_array();
        for (uint32_t d = 0; d < t->n_dims; d++) append(shape, json_uint(t->dim[d]), ok);
        set(e, "name", json_cstr(t->name), ok);
        set(e, "type", json_string(ts_dtype_get(t->type)->name), ok);
        set(e, "shape", shape, ok);
        set(e, "bytes", json_uint(t->bytes), ok);
        set(e, "file", json_integer(t->file), ok);
        set(e, "offset", json_uint(t->offset), ok);
        append(list, e, ok);
    }
    return list;
}

static json_t *json_totals(const totals *t, const char *type, bool *ok) {
    json_t *e = json_object();
    if (type) set(e, "type", json_string(type), ok);
    set(e, "tensors", json_uint(t->tensors), ok);
    set(e, "parameters", json_uint(t->parameters), ok);
    set(e, "bytes", json_uint(t->bytes), ok);
    set(e, "bits_per_weight", json_double(bits_per_weight(t)), ok);
    return e;
}

static json_t *json_architecture(const report *r, bool *ok) {
    json_t *object = json_object();
    uint64_t n;
    set(object, "family", *r->arch ? json_cstr(r->arch) : json_null(), ok);
    for (int i = 0; i < N_FIELDS; i++) {
        const ts_gguf_kv *kv = arch_key(r, fields[i].key);
        json_t *v;
        if (!kv || kv->elem == TS_GGUF_ARRAY)
            v = json_null();
        else
            v = kv->type == TS_GGUF_ARRAY ? json_elements(kv, MAX_LAYERS, ok) : json_value(kv);
        set(object, fields[i].key, v, ok);
    }
    set(object, "vocab_size", vocabulary(r, &n) ? json_uint(n) : json_null(), ok);
    return object;
}

static json_t *json_memory(const report *r, bool *ok) {
    json_t *object = json_object();
    bool known = !r->kv_unknown;
    set(object, "weight_bytes", json_uint(r->all.bytes), ok);
    set(object, "context", r->ctx_known ? json_uint(r->ctx) : json_null(), ok);
    set(object, "kv_bytes_per_token", known ? json_uint(r->kv_token_bytes) : json_null(), ok);
    set(object, "kv_bytes", known ? json_uint(r->kv_bytes) : json_null(), ok);
    set(object, "total_bytes", known ? json_uint(r->all.bytes + r->kv_bytes) : json_null(), ok);
    set(object, "working_bytes", r->working ? json_uint(r->working) : json_null(), ok);
    set(object, "available_bytes", r->available ? json_uint(r->available) : json_null(), ok);
    json_t *list = json_array();
    for (int i = 0; i < r->n_context && known; i++) {
        const context *c = &r->context[i];
        json_t *e = json_object();
        set(e, "context", json_uint(c->tokens), ok);
        for (int kv = 0; kv < 3; kv++) {
            static const char *const key[3][3] = {{"kv_f16_bytes", "kv_f32_bytes", "kv_q8_0_bytes"},
                                                  {"total_f16_bytes", "total_f32_bytes", "total_q8_0_bytes"},
                                                  {"fits_f16", "fits_f32", "fits_q8_0"}};
            set(e, key[0][kv], json_uint(c->kv[kv]), ok);
            set(e, key[1][kv], json_uint(c->total[kv]), ok);
            set(e, key[2][kv], r->available ? json_boolean(c->total[kv] <= r->available) : json_null(), ok);
        }
        append(list, e, ok);
    }
    set(object, "contexts", list, ok);
    return object;
}

static void json_verdict(const report *r, json_t *root, bool *ok) {
    set(root, "runs", json_boolean(r->refusal.code == TS_OK), ok);
    set(root, "refusal", r->refusal.code == TS_OK ? json_null() : json_cstr(without_path(r)), ok);
    json_t *tensors = json_array();
    const ts_tensor *t;
    for (size_t i = 0; r->model && (t = r->src->op->unused(r->src, &i)) != NULL;)
        append(tensors, json_cstr(t->name), ok);
    set(root, "unused_tensors", tensors, ok);
    for (int l = 0; l < N_KEY_LISTS; l++) {
        json_t *keys = json_array();
        for (size_t i = 0; r->model && i < ts_gguf_n_kv(r->g); i++)
            if (ts_key_use_of(r->g, ts_gguf_kv_at(r->g, i), r->model->c.arch) == key_lists[l].use)
                append(keys, json_cstr(ts_gguf_kv_at(r->g, i)->key), ok);
        set(root, key_lists[l].json, keys, ok);
    }
}

static int print_json(const report *r, bool metadata, bool tensors, bool summary) {
    bool ok = true;
    json_t *root = json_object(), *files = json_array(), *types = json_array();
    const char *format = !r->hf ? "gguf" : ts_hf_folder_is_torch(r->hf->folder) ? "pytorch" : "safetensors";
    set(root, "format", json_string(format), &ok);
    set(root, "version", r->hf ? json_null() : json_integer(ts_gguf_version(r->g)), &ok);
    set(root, "quantization", r->hf && *r->hf->c.method ? json_cstr(r->hf->c.method) : json_null(), &ok);
    for (int i = 0; i < n_files(r); i++) {
        json_t *f = json_object();
        set(f, "path", json_cstr(file_path(r, i)), &ok);
        set(f, "bytes", json_uint(file_len(r, i)), &ok);
        bool has_data = !r->hf && ts_gguf_data_offset(r->g, i) < ts_gguf_file(r->g, i)->len;
        set(f, "data_offset", has_data ? json_uint(ts_gguf_data_offset(r->g, i)) : json_null(), &ok);
        append(files, f, &ok);
    }
    set(root, "files", files, &ok);
    if (metadata) set(root, "metadata", json_metadata(r, &ok), &ok);
    if (tensors) set(root, "tensors", json_tensors(r, &ok), &ok);
    if (summary) {
        for (uint32_t i = 0; i < TS_DTYPES; i++)
            if (r->by_type[i].tensors)
                append(types, json_totals(&r->by_type[i], ts_dtype_get(i)->name, &ok), &ok);
        set(root, "architecture", json_architecture(r, &ok), &ok);
        set(root, "types", json_incref(types), &ok);
        set(root, "totals", json_totals(&r->all, NULL, &ok), &ok);
        set(root, "file_bytes", json_uint(r->file_bytes), &ok);
        set(root, "memory", json_memory(r, &ok), &ok);
        json_verdict(r, root, &ok);
    }
    json_decref(types);
    /* only ASCII comes out: whatever a file holds, a terminal survives it; main reports a failed write */
    const size_t flags = JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15);
    if (ok) ok = json_dumpf(root, stdout, flags) == 0 || ferror(stdout);
    if (ok) putchar('\n');
    json_decref(root);
    if (!ok) fprintf(stderr, "tessera: out of memory\n");
    return ok ? CLI_OK : CLI_FAIL;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int run(const cli_command *self, int argc, char **argv) {
    bool json = false, metadata_only = false, tensors_only = false;
    long ctx = 0, items = DEFAULT_ITEMS;
    cli_list rest = {0};
    const char *model = NULL;
    const cli_opt opts[] = {
        {.kind = CLI_STR, .letter = 'm', .name = "model", .arg = "FILE", .out = &model, .values = "@model",
         .help = "the file, if it is no plain argument (default: as for tessera run)"},
        {.kind = CLI_FLAG, .name = "json", .out = &json, .help = "print JSON (docs/formats/gguf.md describes it)"},
        {.kind = CLI_FLAG, .name = "metadata-only", .out = &metadata_only, .help = "only the metadata"},
        {.kind = CLI_FLAG, .name = "tensors", .out = &tensors_only, .help = "only the list of tensors"},
        {.kind = CLI_INT, .letter = 'c', .name = "ctx", .also = "--ctx-size --num-ctx", .arg = "N", .out = &ctx,
         .min = 1, .max = 1 << 30,
         .help = "tokens to compute the KV cache for (default: what run and\nchat take, and the model's own context)"},
        {.kind = CLI_INT, .name = "items", .arg = "N", .out = &items, .min = 0, .max = 1e9,
         .help = "elements of an array to show (default: 8)"},
        {0},
    };
    int code = cli_parse(self, opts, argc, argv, &rest);
    if (code == CLI_OK && metadata_only && tensors_only)
        code = cli_usage_error(self, "--metadata-only and --tensors exclude each other");
    if (code == CLI_OK) code = cli_take_plain(self, CLI_PLAIN_MODEL, &rest, &model, NULL, NULL);
    if (code == CLI_OK && !model && !(model = cli_default_model(NULL)))
        code = cli_usage_error(self, "which model? Give a GGUF file or a Hugging Face folder");
    if (code == CLI_OK) code = cli_find_model(&model, false, true);
    if (code == CLI_OK) code = cli_check_model_path(model, false);
    if (code == CLI_OK) {
        ts_gguf *g = NULL;
        ts_err err;
        report r = {.path = model, .items = items};
        const bool folder = ts_hf_is_model(model), all = !metadata_only && !tensors_only;
        ts_hf_folder *files = NULL;
        if ((folder ? open_folder(&r, &err) : ts_gguf_open_as(&g, model, TS_GGUF_ANY_TYPE, &err)) != TS_OK) {
            r.refusal = err;
            if (folder && !metadata_only && err.code != TS_E_NOMEM && ts_hf_folder_open(&files, model, NULL) == TS_OK)
                code = cli_inspect_arrays(files, model, without_path(&r), json, all);
            else code = cli_fail(&err);
            ts_hf_folder_close(files);
        } else {
            if (!folder) r.g = g;
            if (all) try_to_run(&r);
            survey(&r, ctx);
            if (json)
                code = print_json(&r, !tensors_only, !metadata_only, all);
            else
                print_text(&r, !tensors_only, !metadata_only, all);
        }
        ts_model_close(r.model);
        ts_source_close(r.src);
        ts_gguf_close(g);
    }
    ts_free(rest.item);
    return code < 0 ? CLI_OK : code;
}

const cli_command cmd_inspect = {
    .name = "inspect",
    .args = "[FILE]",
    .files = "@model",
    .summary = "show what a model holds and the memory it needs to run",
    .text =
        "FILE is a GGUF file, or any part of a split one (all parts are read), or a\n"
        "Hugging Face folder, which is shown as the GGUF file that it would be: names\n"
        "and metadata are GGUF's, offsets those in the folder's files, 4-bit groups the\n"
        "types u4g32 to u4g128. GGUF files of architectures that Tessera cannot run are\n"
        "shown as well, as far as their metadata follows the common names.\n"
        "\n"
        "Memory to run = bytes of the tensors + KV cache + what a pass works in, where\n"
        "  KV cache = context, rounded up to 64 tokens, x bytes per token\n"
        "  bytes per token = sum over the layers of\n"
        "                    KV heads x (key length + value length) x 2 (f16),\n"
        "                    lengths rounded up to 16; twice that for f32; for q8_0\n"
        "                    1 byte an element and 2 for each 32 of them\n"
        "It fits here where that is no more than the memory that is free now, limits of\n"
        "containers counted. A sliding window does not make the cache smaller.\n"
        "\n"
        "At the end stands whether run and chat take the file, and what in it they would\n"
        "refuse or not follow.",
    .run = run,
};
