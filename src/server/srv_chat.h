/* srv_chat.h - a conversation as all APIs know it, and how it becomes the tokens of a prompt. */
#ifndef TS_SERVER_SRV_CHAT_H
#define TS_SERVER_SRV_CHAT_H

#include "server/fields.h"
#include "server/models.h"

typedef struct srv_tool_call {
    const char *id, *name; /* id NULL: none */
    ts_span arguments;     /* JSON text of an object, or whatever a client has sent */
} srv_tool_call;

typedef struct srv_message {
    enum { SRV_SYSTEM, SRV_USER, SRV_ASSISTANT, SRV_TOOL } role;
    ts_buf content;        /* all parts joined; owned */
    ts_span thinking;      /* of an assistant's turn; may be empty */
    srv_tool_call *call;   /* [n_call] in the request's arena */
    size_t n_call;
    const char *tool_call_id, *name; /* of a tool's result; NULL: not said */
} srv_message;

/* Of one request; zero-initialise. The messages grow, everything else is borrowed from the request. */
typedef struct srv_chat {
    srv_message *message;
    size_t n, cap;
    ts_span tools;       /* JSON array in OpenAI's form, as text; empty: none */
    ts_span vars;        /* JSON object: more variables of the template; empty: none */
    bool continue_last;  /* an assistant's last turn is gone on with */
    bool no_opening;     /* the template does not open the assistant's turn (add_generation_prompt: false) */
    ts_buf own_tools, own_vars; /* where `tools`, `vars` are made here; owned */
} srv_chat;

/* The messages in OpenAI's form: roles system, developer, user, assistant, tool; content text, parts of text, null. */
bool srv_chat_read(srv_chat *c, const ts_jval *messages, ts_arena *arena, srv_error *e);
/* A further message; *out is it, zeroed but for its role. false: no memory, told in *e. */
bool srv_chat_add(srv_chat *c, int role, srv_message **out, srv_error *e);
/* Append text to a message. */
bool srv_chat_text(srv_message *m, const void *text, size_t len, srv_error *e);
/* Content that is text, an array of parts {"type": "text" (or another of `types`), "text": ...}, or null, appended to
 * a message; anything else is refused. `where` names it. */
bool srv_chat_content(srv_message *m, const ts_jval *content, const char *where, srv_error *e);
/* One call more of an assistant's turn. */
bool srv_chat_call(srv_message *m, const srv_tool_call *call, ts_arena *arena, srv_error *e);
void srv_chat_free(srv_chat *c);

/* The turn that is gone on with; NULL: none. */
const srv_message *srv_chat_last(const srv_chat *c);
/* The prompt. Tools of a template that knows none are told in words, and called as TS_CALLS_HERMES does. */
bool srv_chat_prompt(const srv_chat *c, const srv_model *m, ts_prompt *out, srv_error *e);

#endif
