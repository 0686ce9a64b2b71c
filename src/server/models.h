/* models.h - the models of a server: which there are, loading them when they are asked for, and letting them go. */
#ifndef TS_SERVER_MODELS_H
#define TS_SERVER_MODELS_H

#include "server/forms.h"
#include "server/job.h"
#include "server/server.h"

/* How a model's template writes calls of tools: ts_constraint_opts.tool_format has the names. */
typedef enum srv_calls {
    SRV_CALLS_HERMES, /* also where the template knows no tools: they are then told in words (generic) */
    SRV_CALLS_LLAMA3,
    SRV_CALLS_MISTRAL,
    SRV_CALLS_MISTRAL_ARGS,
    SRV_CALLS_DEEPSEEK_R1,
    SRV_CALLS_DEEPSEEK_V3,
} srv_calls;
extern const char *const srv_calls_name[];

typedef struct srv_model {
    const char *name, *path; /* owned */
    const char *file;        /* in path: its name in the folder; NULL: one that was given by itself */
    const char *device;      /* borrowed; NULL: the server's */
    bool kept;               /* never unloaded */
    uint64_t stamp;          /* srv_file's */
    int64_t modified;        /* seconds since 1970, of the file */
    uint64_t file_bytes;
    char digest[65];         /* of name, size and time: what Ollama's clients compare */

    /* while it is loaded; set before anybody else holds it */
    ts_engine *engine;
    ts_prefix_store *prefix; /* NULL: none */
    srv_forms forms;
    bool has_forms;
    ts_model_info info;
    uint32_t n_ctx;          /* of a request */
    srv_calls calls;
    bool generic_calls;      /* the template knows no tools */
    bool thinks;             /* the template has blocks that end with </think> */
    uint64_t serial;         /* of this loading; no other one of this or of any model has it */

    /* under the list's lock */
    uint32_t users;
    bool loading;
    bool gone;               /* its file was removed or replaced: freed once nobody uses it */
    uint64_t used_ns;        /* when the last user let go */
    int64_t keep_s;          /* seconds that it is kept without a request; -1: for ever */
    struct srv_model *next;  /* of those that are gone */
} srv_model;

/* The list: those that were given (which stay), then those of the folder by name, as it is when somebody asks for one
 * or for all. Nothing of a request is ever made part of a path: names are looked for among those of the list. Of a
 * file that was removed or replaced the requests that have it end with it, later ones do not see it. Any thread. */
typedef struct srv_models srv_models;
TS_NODISCARD ts_status srv_models_new(srv_models **out, const ts_server_opts *o, ts_err *err);
void srv_models_free(srv_models *m); /* NULL-safe; nobody uses one any more */

/* The model of that name (":latest" behind it is nothing; NULL or "": the first one), loaded, held until
 * srv_model_drop. Loading takes seconds. NULL: *e says why not. */
srv_model *srv_models_get(srv_models *m, const char *name, srv_error *e);
void srv_model_hold(srv_models *m, srv_model *model);
void srv_model_drop(srv_models *m, srv_model *model);
/* Keep it so many seconds behind the last request: 0: not at all, -1: for ever. Until it is loaded again. */
void srv_model_keep(srv_models *m, srv_model *model, int64_t seconds);
/* Unload the model of that name when its requests have ended. false: there is none, or it is kept. */
bool srv_models_let_go(srv_models *m, const char *name);
/* Let go of what has not been used for its time, and of what is gone. Called now and then. */
void srv_models_tidy(srv_models *m);

/* Can it be asked about what is known while it is loaded? Under the list's lock, or by who holds it. */
static inline bool srv_model_ready(const srv_model *m) { return !m->loading && m->engine; }

/* `see` is called under a lock, and what it gets is there no longer than it. */
typedef bool srv_model_see(void *ud, const srv_model *model);
/* All of the list, until `see` says false, which is then the result. */
bool srv_models_each(srv_models *m, srv_model_see *see, void *ud);
/* The one of that name, whatever `see` says. false: there is none. */
bool srv_models_find(srv_models *m, const char *name, srv_model_see *see, void *ud);
/* 404: there is none; `name` may be NULL. Returns false. */
bool srv_refuse_model(srv_error *e, const char *name);
/* Those that are loaded, also what is gone and still used, without a look at the folder. */
void srv_models_loaded(srv_models *m, srv_model_see *see, void *ud);

/* Take the folder's path out of a text about the model, which a client gets: its file's name stays. */
void srv_model_hide_folder(const srv_model *m, char *text);

#endif
