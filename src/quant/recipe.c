#include "quant/recipe.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const ts_recipe recipes[] = {
    {"f32", 0, TS_F32},      {"f16", 1, TS_F16},        {"bf16", 32, TS_BF16},     {"q8_0", 7, TS_Q8_0},
    {"q6_k", 18, TS_Q6_K},   {"q5_k_m", 17, TS_Q5_K},   {"q5_k_s", 16, TS_Q5_K},   {"q5_1", 9, TS_Q5_1},
    {"q5_0", 8, TS_Q5_0},    {"q4_k_m", 15, TS_Q4_K},   {"q4_k_s", 14, TS_Q4_K},   {"q4_1", 3, TS_Q4_1},
    {"q4_0", 2, TS_Q4_0},    {"iq4_nl", 25, TS_IQ4_NL}, {"iq4_xs", 30, TS_IQ4_XS}, {"q3_k_l", 13, TS_Q3_K},
    {"q3_k_m", 12, TS_Q3_K}, {"q3_k_s", 11, TS_Q3_K},   {"q2_k", 10, TS_Q2_K},     {"u4g32", 3, TS_U4G32},
    {"u4g64", 3, TS_U4G64},  {"u4g128", 3, TS_U4G128},  {"npu4", 3, TS_U4G128},
};
const ts_recipe ts_recipe_keep = {"keep", 0, TS_F32};
enum { N_RECIPES = sizeof recipes / sizeof *recipes };

static const char *const also[][2] = {{"q3_k", "q3_k_m"}, {"q4_k", "q4_k_m"}, {"q5_k", "q5_k_m"}, {"u4g", "u4g128"}};

const ts_recipe *ts_recipe_at(size_t i) {
    return i < N_RECIPES ? &recipes[i] : NULL;
}

ts_status ts_recipe_find(const ts_recipe **out, const char *name, ts_err *err) {
    const char *wanted = name;
    for (size_t i = 0; i < sizeof also / sizeof *also; i++)
        if (!strcasecmp(name, also[i][0])) wanted = also[i][1];
    char list[300];
    size_t len = 0;
    for (size_t i = 0; i < N_RECIPES; i++) {
        if (!strcasecmp(wanted, recipes[i].name)) {
            *out = &recipes[i];
            return TS_OK;
        }
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", recipes[i].name);
    }
    return ts_fail(err, TS_E_INVAL, "unknown type \"%.40s\": there are %s", name, list);
}

/* Where a rule holds. */
typedef enum where {
    EVERYWHERE,
    MORE,    /* the first and last eighth of the layers, and every third between */
    FIRST_2, /* layers */
    FIRST_4,
    EIGHTH, /* the first eighth of the layers */
    SIXTEENTH,
    PLAIN_EIGHTH,    /* the first eighth, without an importance matrix */
    WEIGHTED_EIGHTH, /* the first eighth, with one */
    SHARED,          /* four or more heads share their keys and values */
} where;

/* The first rule that holds counts. */
static const struct rule {
    const char *recipe, *part; /* part: between "blk.N." and ".weight" */
    where where;
    ts_dtype type;
} rules[] = {
    {"q4_0", "ffn_down", WEIGHTED_EIGHTH, TS_Q4_1},
    {"q5_0", "ffn_down", WEIGHTED_EIGHTH, TS_Q5_1},
    {"q4_k_s", "attn_v", FIRST_4, TS_Q5_K},
    {"q4_k_s", "ffn_down", EIGHTH, TS_Q5_K},
    {"q4_k_m", "attn_v", MORE, TS_Q6_K},
    {"q4_k_m", "ffn_down", MORE, TS_Q6_K},
    {"q5_k_m", "attn_v", MORE, TS_Q6_K},
    {"q5_k_m", "ffn_down", MORE, TS_Q6_K},
    {"q3_k_m", "attn_v", FIRST_2, TS_Q5_K},
    {"q3_k_m", "attn_v", EVERYWHERE, TS_Q4_K},
    {"q3_k_m", "ffn_down", SIXTEENTH, TS_Q5_K},
    {"q3_k_m", "ffn_down", EVERYWHERE, TS_Q4_K},
    {"q3_k_m", "attn_output", EVERYWHERE, TS_Q4_K},
    {"q3_k_l", "attn_v", EVERYWHERE, TS_Q5_K},
    {"q3_k_l", "ffn_down", EVERYWHERE, TS_Q5_K},
    {"q3_k_l", "attn_output", EVERYWHERE, TS_Q5_K},
    {"q2_k", "attn_v", SHARED, TS_Q4_K},
    {"q2_k", "attn_v", EVERYWHERE, TS_Q3_K},
    {"q2_k", "ffn_down", EVERYWHERE, TS_Q3_K},
    {"q2_k", "attn_output", EVERYWHERE, TS_Q3_K},
    {"iq4_nl", "attn_v", SHARED, TS_Q5_K},
    {"iq4_nl", "ffn_down", PLAIN_EIGHTH, TS_Q5_K},
    {"iq4_xs", "attn_v", SHARED, TS_Q5_K},
    {"iq4_xs", "ffn_down", PLAIN_EIGHTH, TS_Q5_K},
};

static uint32_t shared_by(const ts_recipe_model *m) {
    return m->n_kv_head ? m->n_head / m->n_kv_head : 1;
}

static bool holds(where w, const ts_recipe_model *m, uint32_t layer) {
    const uint32_t n = m->n_layer, eighth = n / 8;
    switch (w) {
    case EVERYWHERE:
        return true;
    case MORE:
        return layer < eighth || layer >= 7 * n / 8 || (layer - eighth) % 3 == 2;
    case FIRST_2:
        return layer < 2;
    case FIRST_4:
        return layer < 4;
    case EIGHTH:
        return layer < eighth;
    case SIXTEENTH:
        return layer < n / 16;
    case PLAIN_EIGHTH:
        return layer < eighth && !m->imatrix;
    case WEIGHTED_EIGHTH:
        return layer < eighth && m->imatrix;
    case SHARED:
        return shared_by(m) >= 4;
    }
    return false;
}

bool ts_recipe_is_head(const ts_recipe_model *m, const char *name) {
    return !strcmp(name, "output.weight") || (m->tied && !strcmp(name, "token_embd.weight"));
}

ts_dtype ts_recipe_type(const ts_recipe *r, const ts_recipe_model *m, const char *name) {
    const bool searched = ts_dtype_get(r->base)->block > 1;
    if (ts_dtype_is_u4g(r->base) && !strcmp(name, "token_embd.weight")) return TS_Q6_K;
    if (ts_recipe_is_head(m, name)) return searched && r->base != TS_Q8_0 ? TS_Q6_K : r->base;
    uint32_t layer;
    char part[40];
    if (sscanf(name, "blk.%u.%39[a-z_].weight", &layer, part) != 2) return r->base;
    if (!strcmp(part, "attn_qkv")) memcpy(part, "attn_v", sizeof "attn_v"); /* it has the values in it */
    ts_dtype type = r->base;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i].recipe, r->name) && !strcmp(rules[i].part, part) && holds(rules[i].where, m, layer)) {
            type = rules[i].type;
            break;
        }
    /* 70B: the few values of 80 layers are worth it */
    if (!strcmp(part, "attn_v") && m->n_layer == 80 && m->n_head != m->n_kv_head &&
        (type == TS_Q3_K || type == TS_Q4_K))
        type = TS_Q5_K;
    return type;
}

ts_dtype ts_recipe_fitting(ts_dtype type, uint64_t row, bool head) {
    if (row % ts_dtype_get(type)->block == 0) return type;
    switch (type) {
    case TS_Q4_K:
        type = TS_Q5_0;
        break;
    case TS_Q5_K:
        type = TS_Q5_1;
        break;
    case TS_Q6_K:
        type = TS_Q8_0;
        break;
    case TS_IQ4_XS:
        type = TS_IQ4_NL;
        break;
    default:
        type = TS_Q4_0;
        break; /* Q2_K, Q3_K */
    }
    if (head) type = TS_Q8_0;
    return row % ts_dtype_get(type)->block == 0 ? type : TS_F16;
}

bool ts_recipe_quantises(const ts_tensor *t) {
    static const char *const never[] = {"_norm.weight", "ffn_gate_inp", "position_embd",
                                        "token_types",  "rope_",        "conv1d"};
    const size_t n = strlen(t->name);
    if (t->n_dims < 2 || t->dim[1] * t->dim[2] * t->dim[3] < 2 || n < 7 || strcmp(t->name + n - 7, ".weight"))
        return false;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(t->name, never[i])) return false;
    return true;
}
