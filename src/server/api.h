/* api.h - what the files of the APIs share: the way from a request to the engine thread, and pieces of JSON. */
#ifndef TS_SERVER_API_H
#define TS_SERVER_API_H

#include "server/gen.h"
#include "server/srv_chat.h"

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* The field `model` is there; else it is refused. */
bool srv_api_named(const srv_fields *f);
/* The conversation as the prompt, if it fits (else `param` is refused); it says whether there will be thoughts
 * (g->thinking). Constraints come behind it. */
bool srv_api_prompt(srv_gen *g, const srv_chat *c, const char *param, srv_error *e);
/* The field `tools` of an API whose tools have another form than OpenAI's: `read` appends each of them to the list, in
 * OpenAI's (srv_put_tool), or refuses it; `where` names it. */
typedef bool srv_read_tool(ts_buf *out, const ts_jval *tool, const char *where, srv_error *e);
bool srv_api_tools(srv_chat *c, const srv_fields *f, srv_read_tool *read);
/* A tool_choice of kind "allowed_tools", its `mode` and its `tools` in `in`: the same as *how, and those of c->tools
 * that it names into *tools, in the arena. */
bool srv_api_allowed(const srv_chat *c, const srv_fields *in, ts_arena *arena, const char **how, ts_span *tools);
/* A list of the model's tokens, 0 for one without any; *out by ts_alloc. Where one is none, 400 of `param`. */
bool srv_api_token_list(const srv_model *m, const ts_jval *list, const char *param, ts_token **out, srv_error *e);
/* A text as a prompt of its own. It is what a template would have made: its control tokens are meant. */
bool srv_api_text(srv_gen *g, const ts_jval *text, srv_error *e);
/* Does the model's template name this variable? */
bool srv_template_names(const srv_model *m, const char *variable);
/* Have it think or not, where its template can be told. One that always thinks does so, and its thoughts are told as
 * such: clients that say no to every model (Home Assistant, Claude Code for titles) can use it. */
bool srv_api_think(const srv_model *m, srv_chat *c, bool think, srv_error *e);
/* The field `chat_template_kwargs`: variables of the template. */
bool srv_api_vars(const srv_model *m, srv_chat *c, const srv_fields *f);
/* The answer has to be JSON of this schema (NULL: any object). */
bool srv_api_schema(srv_gen *g, const ts_jval *schema, const char *param, srv_error *e);
/* Can the arguments of a call be read? Those of one that was cut off cannot. */
bool srv_call_complete(const srv_call *call);

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* A JSON string; text NULL: an empty one. */
bool srv_put_text(ts_buf *out, const char *text, size_t len);
bool srv_put_string(ts_buf *out, const char *s);
/* A JSON value as it was written; NULL: what is said instead. */
bool srv_put_source(ts_buf *out, const ts_jval *v, const char *otherwise);
/* A time as RFC 3339 has it, in UTC with nanoseconds, quoted. */
bool srv_put_time(ts_buf *out, int64_t seconds, uint32_t ns);
bool srv_put_now(ts_buf *out);
/* A function as a tool of OpenAI's form; description and parameters nullable. */
bool srv_put_tool(ts_buf *out, const char *name, const char *description, const ts_jval *parameters);
/* Write into the stream what `b` holds where `ok`; frees it. */
bool srv_send(srv_job *job, ts_buf *b, bool ok);

#endif
