/* openai.h - what other APIs take from OpenAI's. */
#ifndef TS_SERVER_OPENAI_H
#define TS_SERVER_OPENAI_H

#include "server/gen.h"

/* "stop", "length" or "tool_calls". Static storage. */
const char *srv_openai_reason(const srv_choice *c);

#endif
