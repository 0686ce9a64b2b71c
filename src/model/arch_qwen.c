/* arch_qwen.c - Qwen2 / Qwen2.5 (biases on q, k, v) and Qwen3 (RMSNorm on every head's q and k): otherwise Llama's
 * forward pass. Source: Yang et al. 2024, 2025 (arXiv 2407.10671,
 * 2505.09388). */
#include "model/step.h"

const ts_arch ts_arch_qwen2 = {
    .name = "qwen2",
    .need_biases = 1u << TS_ROLE_Q | 1u << TS_ROLE_K | 1u << TS_ROLE_V,
    .forward = ts_llama_forward,
};

const ts_arch ts_arch_qwen3 = {
    .name = "qwen3",
    .head_norms = true,
    .forward = ts_llama_forward,
};
