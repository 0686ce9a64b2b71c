/* server.h - models behind HTTP: the APIs of OpenAI, Anthropic and Ollama, and our own. docs/server.md.
 *
 * Threads. One (libmicrohttpd's) parses HTTP and writes answers. A few *workers* read requests: JSON, templates,
 * tokens, constraints, loading of models, embeddings. One *engine thread* owns the sessions of all requests and
 * computes, in each step one token of everybody who generates and a piece of the prompts that wait (scheduler.c). A
 * request is a *job* (job.h), which goes from the first to the second, to the third where something is to be
 * generated, and writes what it has to say into a buffer that the first one sends. */
#ifndef TS_SERVER_SERVER_H
#define TS_SERVER_SERVER_H

#include "tessera/tessera.h"

typedef struct ts_server ts_server;

typedef struct ts_server_model {
    const char *path, *name; /* name NULL: that of the file without ".gguf" */
    const char *device;      /* where it runs; NULL: as the engine's options say */
} ts_server_model;

typedef struct ts_server_peer { /* another server that the page compares this one with */
    const char *name, *url;     /* "http://127.0.0.1:8081"; it has to allow this server's origin */
} ts_server_peer;

typedef struct ts_server_opts {
    const char *host;  /* "127.0.0.1"; an address that others reach needs keys, or `insecure` */
    uint16_t port;     /* 0: any that is free */
    bool insecure;
    const char *const *key; /* one of these is asked for; none: nothing is */
    size_t n_key;
    const char *const *allow_host; /* names that this server is called by, beside localhost and `host` */
    size_t n_allow_host;
    const char *const *allow_origin; /* web pages of these origins may use it: "https://app.example" */
    size_t n_allow_origin;

    const ts_server_model *model; /* loaded at the beginning, and kept */
    size_t n_model;
    const char *models_dir;       /* NULL, or a folder whose *.gguf are loaded when they are asked for */
    uint32_t max_loaded;          /* models in memory at a time, the kept ones beside them (default 1) */
    uint32_t idle_unload_s;       /* seconds without a request after which such a model goes (default 300) */
    ts_engine_opts engine;        /* device, threads, ...; strings borrowed */
    ts_kv_type kv;

    uint32_t n_parallel; /* requests that are computed at a time (default 4) */
    uint32_t n_ctx;      /* tokens of one of them (default: as ts_session_opts.n_ctx) */
    uint32_t n_queue;    /* requests that wait (default 64); more are told to come again */
    uint32_t max_body;   /* bytes of a request (default 32 MiB) */
    uint32_t timeout_s;  /* for a request to arrive (default 30) */
    uint32_t drain_s;    /* for what is computed to end, once the server is told to stop (default 30) */

    const ts_server_peer *peer;
    size_t n_peer;

    const char *cache_dir;   /* of the prefix store on disk; NULL: none */
    uint64_t cache_memory, cache_disk; /* bytes; 0: the defaults of ts_prefix_opts */
    bool any_model; /* a request may name a model that there is not: the first one answers */
    /* a line for each request that has ended, never with a text of it; NULL: none */
    void (*log)(void *ud, const char *line);
    void *log_ud;
} ts_server_opts;

/* Is it where to listen at all addresses ("0.0.0.0", "::"), and nothing that a browser could be sent to? */
bool ts_server_is_any(const char *host);
/* What keeps it from being a key, "has fewer than 8 characters"; NULL: nothing. Static. */
const char *ts_server_key_fault(const char *key);

/* Load models, bind, begin to answer. `opts` is copied, what it points to is borrowed until ts_server_free. Errors:
 * TS_E_INVAL: options that do not go together; TS_E_IO: the address is taken or not ours; those of ts_engine_open. */
TS_NODISCARD ts_status ts_server_new(ts_server **out, const ts_server_opts *opts, ts_err *err);
uint16_t ts_server_port(const ts_server *s);
/* Take no more requests, let those that are computed end, at most drain_s. Again: end them now. Any thread; not from a
 * signal handler. */
void ts_server_stop(ts_server *s);
/* Wait until it has stopped. */
void ts_server_wait(ts_server *s);
void ts_server_free(ts_server *s); /* NULL-safe; stops it first */

#endif
