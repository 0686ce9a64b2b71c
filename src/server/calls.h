/* calls.h - an answer's text taken apart: what is said, what was thought, and calls of tools. */
#ifndef TS_SERVER_CALLS_H
#define TS_SERVER_CALLS_H

#include "base/mem.h"
#include "server/models.h"

typedef struct srv_call {
    char id[32];      /* "call_..." */
    ts_buf name, arguments; /* owned; arguments: JSON text */
} srv_call;

typedef enum srv_parser_state {
    SRV_AT_BEGIN,     /* nothing has been said */
    SRV_IN_THINKING,  /* where the prompt ends within such a block, the parser begins here */
    SRV_IN_THOUGHT,   /* the same, behind its first character that is not white */
    SRV_BEHIND,       /* a block or a call has ended, and nothing was said since */
    SRV_IN_TEXT,
    SRV_IN_ARGUMENTS, /* of a call */
    SRV_AT_CLOSE,     /* behind them */
    SRV_AT_NEXT,      /* behind one call of a list */
} srv_parser_state;

/* The state of taking apart; zero-initialise, then say the form, what to look for, and where it begins. */
typedef struct srv_parser {
    srv_calls form;
    bool calls, thinks;   /* look for calls; for <think> ... </think> */
    srv_parser_state state;
    bool called;          /* there was a call */
    uint32_t depth;       /* of brackets within arguments */
    bool string, escape;  /* inside a string of them; behind a backslash */
    ts_buf held;          /* what may be the beginning of a mark */
} srv_parser;

/* Who hears of it: text, thoughts, a call's name (which begins it), more of its arguments. false: stop. */
typedef enum srv_part { SRV_PART_TEXT, SRV_PART_THINKING, SRV_PART_NAME, SRV_PART_ARGUMENTS } srv_part;
typedef bool srv_part_fn(void *ud, srv_part part, const char *text, size_t len);

/* More of the text, in pieces of any size: the parts are the same. White space around blocks and calls is nobody's.
 * The marks of calls have to be in the text where they are control tokens (ts_generate_opts.special); without `calls`
 * they are text, and a constraint's business. `last`: it is over; what is held is text, unless it is a call that has
 * not got as far as its arguments. false: no memory, or `fn` says so. */
bool srv_parser_feed(srv_parser *p, const char *text, size_t len, bool last, srv_part_fn *fn, void *ud);
void srv_parser_free(srv_parser *p);

#endif
