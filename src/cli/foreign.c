#include "cli/foreign.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

typedef struct foreign {
    const char *names; /* with blanks between */
    const char *say;
} foreign;

#define NO_GPU      "there is no GPU code yet: layers run on the CPU, or on the NPU with --device npu"
#define PULL        "a model of the hub is fetched by tessera pull ORG/NAME:QUANT, or at once with -hf ORG/NAME:QUANT"
#define SERVER      "the server is a command of its own: tessera serve -m FILE.gguf (tessera serve --help)"
#define NO_SAMPLER  "this sampler is not there; --help lists those that are, under Sampling"
#define FROM_FILE   "this is read from the model file and cannot be changed"
#define ONE_SPEED   "this does not need an option here: leave it out"

/* ---- options: what an option of Tessera does too is an alias in that option's table, not a line here ------------- */

static const foreign options[] = {
    {"ngl gpu-layers n-gpu-layers num-gpu mg main-gpu sm split-mode ts tensor-split ot override-tensor nkvo "
     "no-kv-offload kvo "
     "kv-offload cmoe cpu-moe ncmoe n-cpu-moe no-op-offload op-offload fit gpu",
     NO_GPU},
    {"fa flash-attn no-flash-attn", "attention needs no option: there is one way, which keeps no matrix of scores"},
    {"b batch-size ub ubatch-size num-batch",
     "the prompt goes through up to 256 tokens at a time, which gives the same bits as any other batch: leave it out"},
    {"tb threads-batch", "prompt and answer use the same threads: -t N"},
    {"mu model-url dr docker-repo insecure", PULL "; another host's file fetch yourself (curl -LO URL)"},
    {"hff hf-file", "the file stands behind the name: -hf ORG/NAME/FILE"},
    {"hft hf-token token", "the token comes from $HF_TOKEN: a command line can be read by others"},
    {"mmap mmp no-mmap mlock dio direct-io no-direct-io use-mmap use-mlock",
     "weights are packed into memory of their own while the file is mapped, so there is nothing to choose: leave it "
     "out"},
    {"cnv conversation i interactive if interactive-first ins instruct",
     "tessera chat is a conversation and tessera run one answer: leave the option out"},
    {"no-cnv no-conversation",
     "tessera run gives one answer; with --raw it continues the text without a chat template"},
    {"st single-turn", "tessera run -p TEXT answers one message and ends"},
    {"mli multiline-input", "in tessera chat, \"\"\" begins and ends a message of several lines"},
    {"color co colors", "colours come by themselves on a terminal that has them, unless NO_COLOR is set: leave it out"},
    {"v verbose verbosity lv log-verbosity verbose-prompt log-verbose stats",
     "tessera run prints its statistics without asking, tessera chat with --verbose; tessera tokenize shows a prompt's "
     "tokens"},
    {"q quiet silent simple-io log-disable no-perf perf no-display-prompt display-prompt log-file log-colors "
     "log-prefix log-timestamps "
     "ld logdir no-show-timings show-timings",
     "the answer alone goes to standard output, everything else to standard error (2>FILE); tessera run -q leaves that "
     "out"},
    {"warmup no-warmup",
     "there is no warm-up in run and chat, and bench leaves its first run out of the figures: leave it out"},
    {"num-predict max-new-tokens max-length", "the length of the answer is limited by -n N"},
    {"context-length ctx-len max-model-len max-seq-len", "the size of the context is --ctx N"},
    {"jinja no-jinja",
     "chat templates are taken from the model file without an option; --chat-template NAME takes another"},
    {"cml chatml", "--chat-template chatml"},
    {"keep context-shift no-context-shift dt defrag-thold swa-full cram cache-ram ctxcp swa-checkpoints",
     "nothing is dropped from a full context: the answer ends and says so, and --ctx N makes room from the start"},
    {"prompt-cache prompt-cache-all prompt-cache-ro lcs lookup-cache-static lcd lookup-cache-dynamic",
     "tessera chat keeps the cache of its conversation, and /save FILE and /load FILE keep the conversation"},
    {"e escape no-escape",
     "the prompt is taken as it is: let the shell write line breaks ($'one\\ntwo') or use -f FILE"},
    {"bf binary-file", "-f FILE takes any bytes with --raw"},
    {"in-prefix in-suffix in-prefix-bos",
     "what stands around a message is the chat template's: --chat-template NAME, or --raw for none"},
    {"think hidethinking reasoning-format reasoning-budget reasoning",
     "whether a model thinks is decided by its chat template and your message"},
    {"np parallel ns sequences cb cont-batching no-cont-batching nocb slots no-slots props metrics",
     "many requests at a time are computed by tessera serve, always together; --parallel N there says how many"},
    {"api-key", "a command line can be read by others: tessera serve takes keys from --key-file or $TESSERA_API_KEY"},
    {"alias a", "tessera serve calls a model NAME with -m NAME=FILE.gguf"},
    {"keepalive ttl", "tessera serve --models DIR lets a model go after --idle-unload SECONDS"},
    {"port host path api-prefix no-webui webui timeout to threads-http embeddings embedding reranking rerank", SERVER},
    {"numa", "there is no NUMA control: numactl --cpunodebind=0 --membind=0 tessera ... does it from outside"},
    {"C cpu-mask Cr cpu-range cpu-strict prio poll Cb cpu-mask-batch Crb cpu-range-batch cpu-strict-batch prio-batch "
     "poll-batch delay",
     "pin the program from outside: taskset -c 0-3 tessera ...; -t N sets the threads"},
    {"lora lora-scaled lora-base lora-init-without-apply control-vector control-vector-scaled "
     "control-vector-layer-range adapter",
     "adapters are not applied: merge them into the model file first"},
    {"grammar grammar-file j json-schema jf json-schema-file format bnf",
     "there is no grammar of this name here; tessera run and chat have --json-schema FILE and --grammar FILE"},
    {"mm mmproj mmproj-url image audio no-mmproj mmproj-offload no-mmproj-offload mv vocoder",
     "only text models run here"},
    {"md model-draft draft draft-n draft-max draft-min draft-n-min draft-p-min ngld gpu-layers-draft devd device-draft "
     "cd ctx-size-draft hfd hfrd hf-repo-draft "
     "speculative",
     "there is no speculative decoding yet"},
    {"rope-scaling rope-scale rope-freq-base rope-freq-scale yarn-orig-ctx yarn-ext-factor yarn-attn-factor "
     "yarn-beta-slow "
     "yarn-beta-fast grp-attn-n gan grp-attn-w gaw override-kv rms-norm-eps",
     FROM_FILE},
    {"mirostat mirostat-lr mirostat-ent mirostat-eta mirostat-tau dynatemp-range dynatemp-exp dry-multiplier dry-base "
     "dry-allowed-length dry-penalty-last-n dry-sequence-breaker xtc-probability xtc-threshold tfs top-n-sigma "
     "top-nsigma "
     "adaptive-target adaptive-decay num-beams",
     NO_SAMPLER},
    {"samplers sampling-seq sampler-seq", "the order of the samplers is fixed; --help lists them in it"},
    {"do-sample greedy", "--temp 0 always takes the likeliest token, any other temperature draws"},
    {"n-probs num-logprobs", "--logprobs K gives the log-probabilities"},
    {"ppl perplexity ppl-stride ppl-output-type hellaswag winogrande multiple-choice kl-divergence all-logits "
     "kl-divergence-base",
     "tessera eval computes perplexity, and with --logits-out FILE all logits"},
    {"chunks", "tessera eval --truncate scores the first --ctx tokens alone"},
    {"list-devices", "the devices are cpu, npu and npu-sim; tessera npu selftest --to 1 asks for the NPU"},
    {"o output output-format",
     "tessera bench has --json and --csv, other results go where standard output goes (> FILE)"},
    {"pg", "bench measures the prompt (-p N) and the answer (-n N) apart"},
    {"show-count no-parse-special", ONE_SPEED},
    {"stdin", "standard input is read where no text is given, or with -f -"},
    {"dtype torch-dtype load-in-4bit load-in-8bit quantize",
     "weights are used in the types that the file has; tessera quantize makes smaller ones"},
    {"trust-remote-code revision tokenizer", "everything is read from the one GGUF file: -m FILE.gguf"},
    {"nowordwrap wordwrap", "pipe the output through cat for lines as the model wrote them"},
    {"grp batched mul-mat-q no-mul-mat-q ncpu low-vram", ONE_SPEED},
};

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static const foreign commands[] = {
    {"ls models", "the models of the store are listed by tessera list"},
    {"ps stop kill load unload status log top",
     "nothing runs in the background: a model is loaded by tessera run, chat or serve and leaves with it"},
    {"get download fetch", PULL},
    {"push upload", "nothing is sent to anybody"},
    {"search find", "the hub's own pages search; tessera pull without a name has a short list of models"},
    {"import add", "a file need not be in the store: every command takes it itself, -m FILE.gguf"},
    {"server start daemon api launch", SERVER},
    {"show info", "show is called inspect: tessera inspect FILE.gguf"},
    {"gguf-dump gguf dump metadata hash gguf-hash", "what a file holds is told by tessera inspect FILE.gguf"},
    {"remove delete", "removing is called rm: tessera rm NAME, of those in tessera list"},
    {"cp copy mv rename", "the store has the hub's names; a copy of one's own is a file, -m FILE.gguf"},
    {"create convert-hf-to-gguf",
     "GGUF files are made by tessera convert FOLDER FILE.gguf, smaller ones by tessera quantize"},
    {"export-lora merge split gguf-split",
     "model files are not merged or split here: llama.cpp's llama-export-lora and llama-gguf-split do it"},
    {"finetune train", "models are not trained here"},
    {"perplexity ppl", "perplexity is called eval: tessera eval -m FILE.gguf -f TEXT"},
    {"devices device list-devices gpus validate check doctor diagnose selftest probe test",
     "is there an NPU and does it work: tessera npu selftest; other devices are cpu and npu-sim"},
    {"generate complete completion-text answer ask infer predict prompt cli main simple",
     "one answer is called run: tessera run -m FILE.gguf \"your question\""},
    {"talk interactive repl converse assistant", "a conversation is called chat: tessera chat FILE.gguf"},
    {"embed embedding embeddings rerank rank", "there are no embeddings: Tessera generates text"},
    {"benchmark batched-bench speed", "measuring speed is called bench: tessera bench -m FILE.gguf"},
    {"detokenize detokenise decode", "tokens become text with tessera tokenize -m FILE.gguf --decode 1,2,3"},
    {"encode", "text becomes tokens with tessera tokenize -m FILE.gguf -p TEXT"},
    {"login logout signin signout",
     "there is no account here; a token of the hub comes from $HF_TOKEN, or from the file that hf auth login leaves"},
    {"update upgrade install uninstall", "Tessera comes from its source: git pull, then ninja -C build install"},
    {"config set env", "there is no configuration file: options stand on the command line, TESSERA_MODEL names a model "
                       "to use without -m"},
    {"tune gui tui web ui webui", "there is no such surface: tessera chat is the conversation at the terminal"},
    {"man manual docs", "the manual is man tessera once installed; tessera COMMAND --help tells the same"},
};

/* ---- values ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *option;
    foreign value;
} values[] = {
    {"device",
     {"gpu cuda cuda0 cuda1 vulkan vulkan0 metal rocm rocm0 hip sycl opencl igpu dgpu mps amd nvidia", NO_GPU}},
    {"device", {"xdna xdna1 npu0 npu1 ryzenai ipu amdxdna", "the NPU is called npu, the simulated one npu-sim"}},
    {"kv", {"f64 q4-0 q4-1 q5-0 q5-1 iq4-nl bf16 q8 q4 int8 fp8", "the KV cache is of type f16, f32 or q8_0"}},
};

/* ---- */

static char plain(char c) {
    return c == '_' ? '-' : c;
}

static bool has(const char *names, const char *word, size_t len) {
    for (const char *p = names; len && *p;) {
        size_t n = strcspn(p, " "), i = 0;
        while (i < n && i < len && p[i] == plain(word[i])) i++;
        if (i == n && i == len) return true;
        p += n + strspn(p + n, " ");
    }
    return false;
}

static const char *look(const foreign *f, size_t n, const char *word, size_t len) {
    for (size_t i = 0; i < n; i++)
        if (has(f[i].names, word, len)) return f[i].say;
    return NULL;
}

const char *cli_foreign_option(const char *name, size_t len) {
    return look(options, sizeof options / sizeof *options, name, len);
}

const char *cli_foreign_command(const char *name) {
    return look(commands, sizeof commands / sizeof *commands, name, strlen(name));
}

const char *cli_foreign_value(const char *option, const char *value) {
    char word[32];
    size_t n = strlen(value);
    if (n >= sizeof word) return NULL;
    for (size_t i = 0; i <= n; i++) word[i] = (char)tolower((unsigned char)value[i]);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!strcmp(values[i].option, option) && has(values[i].value.names, word, n)) return values[i].value.say;
    return NULL;
}
