#include "source/leftover.h"

#include "base/printable.h"

#include <stdio.h>
#include <string.h>

/* What a key may say without changing anything. */
typedef enum neutral {
    ANY,         /* whatever it says */
    ZERO,        /* 0, false, empty */
    ONE,         /* 1, true */
    ZERO_OR_ONE, /* factors, for which 0 stands for "not set" */
    LAYOUT,      /* the order of q's and k's rows that every converter writes */
    SWIGLU,      /* the activation of these families */
} neutral;

typedef struct rule {
    const char *key; /* ended by '*': all that begin so */
    ts_key_use use;  /* where the value is not neutral */
    neutral neutral;
} rule;

/* Behind "<architecture>.". */
static const rule model_rules[] = {
    {"block_count", TS_KEY_USED, ANY},
    {"context_length", TS_KEY_USED, ANY},
    {"embedding_length", TS_KEY_USED, ANY},
    {"feed_forward_length", TS_KEY_USED, ANY},
    {"vocab_size", TS_KEY_USED, ANY},
    {"attention.head_count", TS_KEY_USED, ANY},
    {"attention.head_count_kv", TS_KEY_USED, ANY},
    {"attention.key_length", TS_KEY_USED, ANY},
    {"attention.value_length", TS_KEY_USED, ANY},
    {"attention.layer_norm_rms_epsilon", TS_KEY_USED, ANY},
    {"attention.scale", TS_KEY_USED, ANY},
    {"attention.sliding_window", TS_KEY_USED, ANY},
    {"rope.dimension_count", TS_KEY_USED, ANY},
    {"rope.freq_base", TS_KEY_USED, ANY},
    {"rope.scale_linear", TS_KEY_USED, ANY},
    {"rope.scaling.type", TS_KEY_USED, ANY},
    {"rope.scaling.factor", TS_KEY_USED, ANY},
    {"rope.scaling.attn_factor", TS_KEY_USED, ANY},
    {"rope.scaling.original_context_length", TS_KEY_USED, ANY},
    {"rope.scaling.yarn_ext_factor", TS_KEY_USED, ANY},
    {"rope.scaling.yarn_attn_factor", TS_KEY_USED, ANY},
    {"rope.scaling.yarn_beta_fast", TS_KEY_USED, ANY},
    {"rope.scaling.yarn_beta_slow", TS_KEY_USED, ANY},
    /* refused by gguf_config.c where there are any; without, the rest about experts says nothing */
    {"expert_count", TS_KEY_USED, ANY},
    {"expert_shared_count", TS_KEY_REFUSED, ZERO},
    {"expert_*", TS_KEY_HARMLESS, ANY},
    {"experts_per_group", TS_KEY_HARMLESS, ANY},
    {"leading_dense_block_count", TS_KEY_HARMLESS, ANY},
    {"interleave_moe_layer_step", TS_KEY_HARMLESS, ANY},
    {"moe_every_n_layers", TS_KEY_HARMLESS, ANY},
    {"rope.scaling.finetuned", TS_KEY_HARMLESS, ANY},
    {"attention.layer_norm_epsilon", TS_KEY_HARMLESS, ANY}, /* of norms that these families do not have */
    {"rope.*_swa", TS_KEY_REFUSED, ZERO},                   /* see matches() */
    {"rope.dimension_sections", TS_KEY_REFUSED, ZERO},
    {"rope.freq_scale", TS_KEY_REFUSED, ZERO_OR_ONE},
    {"rope.scaling.*", TS_KEY_REFUSED, ZERO},
    {"attention.causal", TS_KEY_REFUSED, ONE},
    {"attention.output_scale", TS_KEY_REFUSED, ZERO_OR_ONE},
    {"attention.value_scale", TS_KEY_REFUSED, ZERO_OR_ONE},
    {"attention.sliding_window_pattern", TS_KEY_REFUSED, ONE}, /* where there is a window */
    {"attention.max_alibi_bias", TS_KEY_REFUSED, ZERO},
    {"attention.clamp_kqv", TS_KEY_REFUSED, ZERO},
    {"attention.group_norm_epsilon", TS_KEY_REFUSED, ZERO},
    {"attention.group_norm_groups", TS_KEY_REFUSED, ZERO},
    {"attention.relative_buckets_count", TS_KEY_REFUSED, ZERO},
    {"attention.temperature_length", TS_KEY_REFUSED, ZERO},
    {"attention.temperature_scale", TS_KEY_REFUSED, ZERO},
    {"attention.shared_kv_layers", TS_KEY_REFUSED, ZERO},
    {"attention.recurrent_layers", TS_KEY_REFUSED, ZERO},
    {"attention.key_length_*", TS_KEY_REFUSED, ZERO},
    {"attention.value_length_*", TS_KEY_REFUSED, ZERO},
    {"attention.indexer.*", TS_KEY_REFUSED, ZERO},
    {"attention.*_lora_rank", TS_KEY_REFUSED, ZERO},
    {"use_parallel_residual", TS_KEY_REFUSED, ZERO},
    {"tensor_data_layout", TS_KEY_REFUSED, LAYOUT},
    {"feed_forward_type", TS_KEY_REFUSED, ZERO},
    {"hidden_act", TS_KEY_REFUSED, SWIGLU},
    {"hidden_activation", TS_KEY_REFUSED, SWIGLU},
    {"feed_forward_activation", TS_KEY_REFUSED, SWIGLU},
    {"pooling_type", TS_KEY_REFUSED, ZERO},
    {"classifier.*", TS_KEY_REFUSED, ZERO},
    {"logit_scale", TS_KEY_REFUSED, ZERO_OR_ONE},
    {"residual_scale", TS_KEY_REFUSED, ZERO_OR_ONE},
    {"embedding_scale", TS_KEY_REFUSED, ZERO_OR_ONE},
    {"attention_scale", TS_KEY_REFUSED, ZERO},
    {"attn_logit_softcapping", TS_KEY_REFUSED, ZERO},
    {"router_logit_softcapping", TS_KEY_REFUSED, ZERO},
    {"final_logit_softcapping", TS_KEY_REFUSED, ZERO},
    {"swin_norm", TS_KEY_REFUSED, ZERO},
    {"swiglu_clamp*", TS_KEY_REFUSED, ZERO},
    {"rescale_every_n_layers", TS_KEY_REFUSED, ZERO},
    {"time_mix_extra_dim", TS_KEY_REFUSED, ZERO},
    {"time_decay_extra_dim", TS_KEY_REFUSED, ZERO},
    {"token_shift_count", TS_KEY_REFUSED, ZERO},
    {"activation_sparsity_scale", TS_KEY_REFUSED, ZERO},
    {"altup.*", TS_KEY_REFUSED, ZERO},
    {"laurel.*", TS_KEY_REFUSED, ZERO},
    {"embedding_length_per_layer_input", TS_KEY_REFUSED, ZERO},
    {"nextn_predict_layers", TS_KEY_REFUSED, ZERO},
    {"n_deepstack_layers", TS_KEY_REFUSED, ZERO},
    {"decoder_block_count", TS_KEY_REFUSED, ZERO},
    {"full_attention_interval", TS_KEY_REFUSED, ZERO_OR_ONE},
    {"features_length", TS_KEY_REFUSED, ZERO},
    {"dense_*", TS_KEY_REFUSED, ZERO},
    {"ssm.*", TS_KEY_REFUSED, ZERO},
    {"wkv.*", TS_KEY_REFUSED, ZERO},
    {"kda.*", TS_KEY_REFUSED, ZERO},
    {"shortconv.*", TS_KEY_REFUSED, ZERO},
    {"posnet.*", TS_KEY_REFUSED, ZERO},
    {"convnext.*", TS_KEY_REFUSED, ZERO},
    {"vision.*", TS_KEY_REFUSED, ZERO},
    {"audio.*", TS_KEY_REFUSED, ZERO},
};

static const rule tokenizer_rules[] = {
    {"chat_template*", TS_KEY_USED, ANY},
    {"huggingface.json", TS_KEY_HARMLESS, ANY},
    {"ggml.model", TS_KEY_USED, ANY},
    {"ggml.pre", TS_KEY_USED, ANY},
    {"ggml.tokens", TS_KEY_USED, ANY},
    {"ggml.token_type", TS_KEY_USED, ANY},
    {"ggml.scores", TS_KEY_USED, ANY},
    {"ggml.merges", TS_KEY_USED, ANY},
    {"ggml.add_bos_token", TS_KEY_USED, ANY},
    {"ggml.add_eos_token", TS_KEY_USED, ANY},
    {"ggml.bos_token_id", TS_KEY_USED, ANY},
    {"ggml.eos_token_id", TS_KEY_USED, ANY},
    {"ggml.eos_token_ids", TS_KEY_USED, ANY},
    {"ggml.eot_token_id", TS_KEY_USED, ANY},
    {"ggml.eom_token_id", TS_KEY_USED, ANY},
    {"ggml.unknown_token_id", TS_KEY_USED, ANY},
    {"ggml.add_space_prefix", TS_KEY_USED, ANY},          /* of "llama"; see ts_key_use_of for "gpt2" */
    {"ggml.remove_extra_whitespaces", TS_KEY_USED, ANY},  /* the same */
    {"ggml.token_type_count", TS_KEY_HARMLESS, ANY},      /* for tensors that would be left over */
    {"ggml.*_token_id", TS_KEY_HARMLESS, ANY},            /* names for tokens: padding, separators, middles of code */
    {"ggml.add_sep_token", TS_KEY_REFUSED, ZERO},
    {"ggml.precompiled_charsmap", TS_KEY_REFUSED, ZERO},
    {"ggml.normalizer*", TS_KEY_REFUSED, ZERO},
    {"ggml.lowercase", TS_KEY_REFUSED, ZERO},
    {"ggml.escape_whitespaces", TS_KEY_REFUSED, ONE},
    {"ggml.treat_whitespace_as_suffix", TS_KEY_REFUSED, ZERO},
    {"ggml.byte_fallback", TS_KEY_REFUSED, ONE},
};

static bool string_is(ts_span s, const char *word) {
    return s.len == strlen(word) && !memcmp(s.data, word, s.len);
}

static bool is_neutral(const ts_gguf_kv *kv, neutral what) {
    if (what == ANY) return true;
    if (kv->elem == TS_GGUF_ARRAY) return kv->n == 0;
    ts_reader r = ts_reader_of(kv->raw.data, kv->raw.len);
    for (uint64_t i = 0; i < kv->n; i++) {
        if (kv->elem == TS_GGUF_STRING) {
            ts_span s = ts_gguf_next_string(&r);
            bool ok = s.len == 0 || string_is(s, "none");
            if (what == LAYOUT) ok |= string_is(s, "Meta AI original pth") || string_is(s, "reference");
            if (what == SWIGLU) ok |= string_is(s, "silu") || string_is(s, "swiglu");
            if (!ok) return false;
            continue;
        }
        double v = ts_gguf_num(kv, i);
        if (!((v == 0 && what != ONE) || (v == 1 && (what == ONE || what == ZERO_OR_ONE)))) return false;
    }
    return true;
}

/* '*' stands for any text. */
static bool matches(const char *pattern, const char *key) {
    const char *star = strchr(pattern, '*');
    if (!star) return !strcmp(pattern, key);
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1), n = strlen(key);
    return n >= head + tail && !strncmp(pattern, key, head) && !strcmp(star + 1, key + n - tail);
}

static ts_key_use by_rules(const rule *rules, size_t n, const ts_gguf_kv *kv, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (matches(rules[i].key, key))
            return rules[i].neutral == ANY            ? rules[i].use
                   : is_neutral(kv, rules[i].neutral) ? TS_KEY_HARMLESS
                                                      : rules[i].use;
    return TS_KEY_UNKNOWN;
}

static ts_key_use use_of_tokenizer(const ts_gguf *g, const ts_gguf_kv *kv, const char *key) {
    ts_span model = {0};
    bool bytes =
        ts_gguf_str(g, "tokenizer.ggml.model", false, &model, NULL) == TS_OK && model.data && string_is(model, "gpt2");
    if (bytes && (!strcmp(key, "ggml.add_space_prefix") || !strcmp(key, "ggml.remove_extra_whitespaces")))
        /* nobody follows them for byte-level vocabularies */
        return is_neutral(kv, ZERO) ? TS_KEY_HARMLESS : TS_KEY_IGNORED;
    return by_rules(tokenizer_rules, sizeof tokenizer_rules / sizeof *tokenizer_rules, kv, key);
}

static ts_key_use use_of_model(const ts_gguf *g, const ts_gguf_kv *kv, const char *arch, const char *key) {
    if (!strcmp(key, "attention.sliding_window_pattern")) {
        char full[128];
        uint32_t window = 0;
        snprintf(full, sizeof full, "%s.attention.sliding_window", arch);
        if (ts_gguf_u32(g, full, false, &window, NULL) == TS_OK && window == 0) return TS_KEY_HARMLESS;
    }
    return by_rules(model_rules, sizeof model_rules / sizeof *model_rules, kv, key);
}

ts_key_use ts_key_use_of(const ts_gguf *g, const ts_gguf_kv *kv, const char *arch) {
    static const char tokenizer[] = "tokenizer.", sampling[] = "general.sampling.";
    const size_t n = strlen(arch);
    if (!strncmp(kv->key, arch, n) && kv->key[n] == '.') return use_of_model(g, kv, arch, kv->key + n + 1);
    if (!strncmp(kv->key, tokenizer, sizeof tokenizer - 1))
        return use_of_tokenizer(g, kv, kv->key + sizeof tokenizer - 1);
    if (!strncmp(kv->key, sampling, sizeof sampling - 1)) return TS_KEY_IGNORED;
    if (!strcmp(kv->key, "general.architecture") || !strcmp(kv->key, "general.alignment")) return TS_KEY_USED;
    if (!strcmp(kv->key, "general.type")) { /* an adapter or a projector is no model */
        ts_span s = {0};
        return ts_gguf_str(g, kv->key, false, &s, NULL) == TS_OK && string_is(s, "model") ? TS_KEY_USED
                                                                                          : TS_KEY_REFUSED;
    }
    if (!strcmp(kv->key, "general.quantization_version")) { /* of the block formats: 2 since before GGUF */
        uint32_t v = 0;
        return ts_gguf_u32(g, kv->key, false, &v, NULL) == TS_OK && v <= 2 ? TS_KEY_USED : TS_KEY_REFUSED;
    }
    if (!strncmp(kv->key, "adapter.", 8)) return TS_KEY_REFUSED;
    return TS_KEY_HARMLESS;
}

void ts_key_show(const ts_gguf_kv *kv, char *out, size_t cap) {
    char key[80], value[48];
    ts_printable(key, sizeof key, kv->key, strlen(kv->key));
    if (kv->type == TS_GGUF_STRING) {
        char text[40];
        ts_printable(text, sizeof text, kv->raw.data + 8, kv->raw.len - 8);
        snprintf(value, sizeof value, "\"%s\"", text);
    } else if (kv->type == TS_GGUF_ARRAY) {
        snprintf(value, sizeof value, "[%llu %s]", (unsigned long long)kv->n, ts_gguf_type_name(kv->elem));
    } else if (kv->type == TS_GGUF_BOOL) {
        snprintf(value, sizeof value, "%s", ts_gguf_int(kv, 0) ? "true" : "false");
    } else {
        snprintf(value, sizeof value, "%.*g", kv->type == TS_GGUF_F32 ? 7 : 15, ts_gguf_num(kv, 0));
    }
    snprintf(out, cap, "%s = %s", key, value);
}

ts_status ts_keys_check(const ts_gguf *g, const char *arch, ts_err *err) {
    for (size_t i = 0; i < ts_gguf_n_kv(g); i++) {
        const ts_gguf_kv *kv = ts_gguf_kv_at(g, i);
        if (ts_key_use_of(g, kv, arch) != TS_KEY_REFUSED) continue;
        char shown[140];
        ts_key_show(kv, shown, sizeof shown);
        return ts_fail(err, TS_E_UNSUPP,
                       "%s: byte %llu: %s: Tessera does not do this, and without it the results would be others",
                       ts_gguf_path(g), (unsigned long long)kv->offset, shown);
    }
    return TS_OK;
}

size_t ts_keys_warning(const ts_gguf *g, const char *arch, char *out, size_t cap) {
    enum { ROOM = 24 }; /* for " and N more" */
    size_t n = 0, shown = 0, used = 0;
    *out = 0;
    for (size_t i = 0; i < ts_gguf_n_kv(g); i++) {
        const ts_gguf_kv *kv = ts_gguf_kv_at(g, i);
        ts_key_use use = ts_key_use_of(g, kv, arch);
        if (use != TS_KEY_IGNORED && use != TS_KEY_UNKNOWN) continue;
        char text[140];
        ts_key_show(kv, text, sizeof text);
        n++;
        if (used + strlen(text) + 2 + ROOM > cap) continue;
        used += (size_t)snprintf(out + used, cap - used, "%s%s", shown++ ? ", " : "", text);
    }
    if (n > shown) snprintf(out + used, cap - used, "%s%zu more", shown ? " and " : "", n - shown);
    return n;
}
