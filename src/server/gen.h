/* gen.h - something to generate: prompts, and how; its choices as they come; and the API that puts them into words.
 *
 * An API fills a srv_gen from a request (in a worker) and submits it (srv_submit). From then on it is the engine
 * thread's, which calls the API's functions as choices grow. */
#ifndef TS_SERVER_GEN_H
#define TS_SERVER_GEN_H

#include "server/bill.h"
#include "server/calls.h"
#include "server/fields.h"
#include "server/models.h"
#include "server/stops.h"

typedef struct srv_gen srv_gen;
typedef struct srv_choice srv_choice;

typedef struct srv_prob {
    ts_token token;
    float logprob;
} srv_prob;
enum { SRV_TOP = 20 };
typedef struct srv_logprob { /* of a token drawn */
    srv_prob drawn, top[SRV_TOP]; /* top: likeliest first */
    size_t begin, end;            /* characters of the text in front of it, and with it */
} srv_logprob;

/* The whole of what a choice has said so far. */
struct srv_choice {
    srv_gen *gen;
    uint32_t index;          /* among all of the request */
    uint32_t prompt;         /* which prompt it answers */
    ts_buf text, thinking;   /* without the calls; without the marks around thinking */
    srv_call *call;          /* [n_call] */
    size_t n_call, cap_call;
    srv_logprob *logprob;    /* [n_logprob] where they are asked for */
    size_t n_logprob, cap_logprob, told_logprob; /* told: how many an API has written already */
    size_t n_tokens;         /* drawn, the end token included */
    bool ended;
    ts_stop_reason reason;
    const char *stop;        /* the stop string that ended it; NULL: none */

    /* the scheduler's */
    enum { SRV_WAITS, SRV_READS, SRV_FORKS, SRV_DRAWS, SRV_OVER } state;
    ts_session *session;
    ts_sampler *sampler;
    ts_answer *answer;
    srv_parser parser;
    srv_stop stops;             /* in its text, where gen->kmp says so */
    uint64_t first_ns, last_ns; /* of the first and last token */
};

/* What an API hears of; `kind` says what the text is. */
typedef struct srv_delta {
    enum { SRV_TEXT, SRV_THINKING, SRV_CALL, SRV_ARGUMENTS } kind;
    const char *text; /* CALL: none, the call is the choice's last one, with id and name */
    size_t len;
} srv_delta;

/* What differs between the APIs. Streamed: start, then for each choice deltas and close, then finish, with
 * srv_job_write into the job. Otherwise `whole` alone. All return false for want of memory. */
typedef struct srv_api {
    const char *type; /* of a stream: "text/event-stream" */
    const char *ping; /* said into a stream where nothing else is to say for a while; NULL: nothing */
    bool (*start)(srv_gen *g);
    bool (*delta)(srv_gen *g, srv_choice *c, const srv_delta *d); /* logprobs told_logprob .. n_logprob come with it */
    bool (*close)(srv_gen *g, srv_choice *c);
    bool (*finish)(srv_gen *g);
    bool (*whole)(srv_gen *g, ts_buf *out);
    bool (*fail)(srv_gen *g, const srv_error *e); /* in the middle of a stream */
    const char *call_prefix; /* of the ids of calls; NULL: "call_" */
} srv_api;

struct srv_gen {
    srv_job *job;         /* held */
    const srv_api *api;
    void *own;            /* the API's, in the job's arena */
    srv_model *model;     /* held */
    char id[40];          /* "chatcmpl-..." */
    int64_t created;      /* seconds since 1970 */
    bool stream, include_usage;

    ts_token **prompt;    /* [n_prompt], owned; freed by ts_tokens_release */
    size_t *prompt_len;
    uint32_t n_prompt, n; /* prompts; choices for each */
    ts_sampler_opts sampling;
    ts_logit_bias *bias;  /* owned, sampling.bias */
    ts_generate_opts opts;
    const char *stop[SRV_STOPS + 1];
    ts_kmp *kmp;          /* [n_kmp] owned: those of them that are looked for in the text alone */
    size_t n_kmp;
    srv_form *form;       /* the constraint, held; NULL: none */
    ts_span schema;       /* its text, where it is a schema's; the request's */
    bool tools, one_call; /* calls are looked for, and are what the constraint allows */
    bool thinking;        /* blocks that end with </think> are told apart */
    bool thinks_first;    /* the prompt ends within such a block */
    bool logprobs;
    int top;              /* alternatives, 0 to SRV_TOP */
    bool echo;            /* the prompt's text in front of the answer */
    bool no_cache;
    bool all_timings;     /* in every piece of a stream */
    bool hides_thinking;  /* thoughts are told apart, and not told */
    bool tells_progress;  /* of reading the prompt, in a stream */
    const srv_choice *reads; /* whose prompt has been read further, while an API tells so */

    srv_choice *choice;   /* [n_choice] */
    uint32_t n_choice, n_ended;
    size_t n_cached;      /* tokens of the prompts found in the prefix store */
    uint64_t submitted_ns, started_ns, prompt_ns; /* taken up; prompts done */
    uint64_t read_ns, draw_ns;                    /* in passes with a prompt of it; in others */
    bool begun;           /* the stream's head was sent */
    srv_bill *bill;       /* owned; NULL: no memory for one */
    srv_gen *next;
};

/* What every API begins with: the job's body into f->object, the model that its field `model` names (loaded), and a
 * new srv_gen for them. NULL: *e says why not. */
srv_gen *srv_gen_open(srv_job *job, const srv_api *api, const char *id_prefix, srv_fields *f, srv_error *e);
/* And what it ends with: submit it, or, where *e is an error, free it (NULL-safe) and fail the job. */
void srv_gen_close(srv_job *job, srv_gen *g, srv_error *e);
/* A new one for this job, held model; NULL: no memory, told in *e. Freed by srv_gen_free until it is submitted. */
srv_gen *srv_gen_new(srv_job *job, const srv_api *api, srv_model *model, const char *id_prefix, srv_error *e);
void srv_gen_free(srv_gen *g);
/* Another prompt, whose tokens it takes. */
bool srv_gen_prompt(srv_gen *g, ts_token *tokens, size_t n, srv_error *e);
/* Is there room for these prompts? Where not, 400 of `param` with both numbers. */
bool srv_gen_fits(const srv_gen *g, const char *param, srv_error *e);
/* What all APIs call by the same names: temperature, top_p, top_k, min_p, typical_p, presence_penalty,
 * frequency_penalty, repeat_penalty, repeat_last_n, seed, logit_bias, ignore_eos. */
void srv_gen_sampling(srv_gen *g, const srv_fields *f);
/* Is this text one control token? An answer shows those only where it is told to. */
bool srv_is_control(const ts_engine *e, const char *text);
/* The constraint; `param` names it where it is refused. */
bool srv_gen_constrain(srv_gen *g, const ts_constraint_opts *o, const char *param, srv_error *e);
/* The tools of a request: `tools` an array in OpenAI's form; how: "auto", "none", "required", or with `named` a
 * name. */
bool srv_gen_tools(srv_gen *g, ts_span tools, const char *how, bool named, bool one_call, srv_error *e);

/* ---- a choice, by the engine thread (choice.c); false: no memory ---- */

/* What a token of its answer has brought: c->ended, where it was the last one. */
bool srv_choice_take(srv_choice *c, const ts_piece *p);
/* More text, in which nothing is looked for. */
bool srv_choice_say(srv_choice *c, const char *text, size_t len);
void srv_choice_fini(srv_choice *c);

/* Sums over all choices and prompts. */
size_t srv_gen_prompt_tokens(const srv_gen *g);
size_t srv_gen_tokens(const srv_gen *g);
/* "timings": {...} as llama-server has it, and "tessera": {...}. */
bool srv_put_timings(const srv_gen *g, ts_buf *out);

/* Hand it to the engine thread: it is no more the caller's. false: too many wait (429), it still is. */
bool srv_submit(srv_gen *g, srv_error *e);

#endif
