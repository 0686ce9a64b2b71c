/* jinja_int.h - the inside of the Jinja interpreter: values, tree, interpreter state.
 *
 * Everything that a parse or a render makes lives in one arena, values are immutable (namespaces, cyclers and
 * joiners aside: the sandbox has no operation that changes a list or a dict), and a failure leaves by longjmp from
 * any depth: there is nothing to clean up but the arena, and no value can be used after a check was forgotten. tj_
 * is the prefix of this module's inner names. A function that gets a `tj *` may leave by tj_fail; it never returns a
 * half-made value. */
#ifndef TS_TEXT_JINJA_JINJA_INT_H
#define TS_TEXT_JINJA_JINJA_INT_H

#include "base/arena.h"
#include "text/jinja/jinja.h"
#include "base/utf8.h"

#include <setjmp.h>

typedef struct tj tj;
typedef struct tj_node tj_node;
typedef struct tj_val tj_val;

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* A growing text with marks. mk: one byte of mark (0 template, 1 data) per byte; NULL: all are `data`. */
typedef struct tj_sb {
    tj *r;
    char *s;
    uint8_t *mk;
    size_t len, cap;
    bool data;
} tj_sb;

typedef struct tj_str {
    const char *s; /* valid UTF-8, not NUL-ended */
    size_t len;
    const uint8_t *mk; /* as in tj_sb */
    tj_sb *own;        /* the buffer that s and mk are the beginning of, or NULL: what is appended may go there */
    int64_t n_chars;   /* -1: not counted yet */
    bool data;
    bool markup; /* made by |safe or |escape: what is added to it is escaped */
} tj_str;

typedef enum tj_seq_kind {
    TJ_LIST,
    TJ_TUPLE,
    TJ_RANGE,
    TJ_KEYS,
    TJ_VALUES,
    TJ_ITEMS,
    TJ_GROUP, /* what groupby makes: a pair with names */
} tj_seq_kind;

typedef struct tj_seq {
    tj_val *v;
    size_t n, cap;
    tj_seq_kind kind;
    int64_t start, stop, step; /* TJ_RANGE */
} tj_seq;

typedef struct tj_entry tj_entry;
typedef struct tj_dict { /* in the order of insertion */
    tj_entry *e;
    size_t n, cap;
    uint32_t *index; /* open addressing, entry + 1; NULL for few entries */
    size_t n_index;  /* a power of two */
} tj_dict;

typedef struct tj_gen { /* what map, select, ... make: can be read once */
    tj_seq *q;
    size_t pos;
    const char *type;
} tj_gen;

typedef enum tj_undef_kind {
    TJ_UNDEF_NAME, /* name */
    TJ_UNDEF_ATTR, /* of, name */
    TJ_UNDEF_ITEM, /* of, key */
    TJ_UNDEF_UNSAFE,
    TJ_UNDEF_HINT, /* hint */
} tj_undef_kind;
typedef struct tj_undef {
    tj_undef_kind kind;
    const char *of; /* the type of the object as messages name it */
    const tj_str *name;
    const char *hint;
} tj_undef;

typedef enum tj_type {
    TJ_ABSENT, /* no value: an argument that was not given, a variable that was not set */
    TJ_UNDEF,
    TJ_NONE,
    TJ_BOOL,
    TJ_INT,
    TJ_FLOAT,
    TJ_STR,
    TJ_SEQ,
    TJ_DICT,
    TJ_GEN,
    TJ_NS,
    TJ_MACRO,
    TJ_FUNC,
    TJ_METHOD,
    TJ_LOOP,
    TJ_CYCLER,
    TJ_JOINER,
} tj_type;

struct tj_val {
    tj_type t;
    union {
        bool b;
        int64_t i;
        double f;
        const tj_str *s;
        tj_seq *q;
        tj_dict *d; /* TJ_DICT; TJ_NS: its attributes */
        tj_gen *g;
        const tj_undef *u;
        struct tj_macro *m;
        const struct tj_func *fn;
        struct tj_method *me;
        struct tj_loop *l;
        struct tj_cycler *c;
        struct tj_joiner *j;
    };
};
struct tj_entry {
    tj_val key, val;
};

typedef struct tj_cycler {
    tj_seq *q;
    size_t pos;
} tj_cycler;
typedef struct tj_joiner {
    tj_val sep;
    bool used;
} tj_joiner;

/* Variables of one scope. A macro keeps the scope that it was written in. */
typedef struct tj_env {
    struct tj_env *up; /* NULL: the template's own scope, whose variables are tj.vars */
    struct tj_var {
        uint32_t id;
        tj_val v;
    } *v;
    uint32_t n, cap;
} tj_env;

typedef struct tj_macro {
    const tj_node *def; /* TJ_N_MACRO or TJ_N_CALLBLOCK */
    tj_env *env;
} tj_macro;

typedef struct tj_loop {
    tj_seq *q;
    size_t pos;           /* of the item after the current one in q */
    const tj_node *def;   /* TJ_N_FOR */
    tj_env *env;          /* around the loop */
    tj_val prev, cur;     /* TJ_ABSENT: none */
    tj_val ahead;         /* an item that was looked at already */
    tj_val changed;
    int64_t index0, depth0;
} tj_loop;

/* ---- arguments --------------------------------------------------------------------------------------------------- */

typedef struct tj_args {
    tj_val *v;
    size_t n;
    const tj_str **kw; /* names of the n_kw keyword arguments */
    tj_val *kwv;
    size_t n_kw;
} tj_args;

typedef tj_val tj_fn(tj *r, tj_val self, tj_args *a);
/* A filter, test, global or method. `params` names its parameters, blank-separated, `self` aside; those behind "/"
 * are optional, "*" at the end lets any further arguments through. The function is called with a->v filled up to the
 * number of parameters: TJ_ABSENT where one was not given, and no keyword arguments (except those let through by
 * "*"). */
typedef struct tj_func {
    const char *name, *params;
    tj_fn *fn; /* NULL: known and refused */
} tj_func;
typedef struct tj_method {
    tj_val self;
    const tj_func *fn;
} tj_method;

/* ---- tree -------------------------------------------------------------------------------------------------------- */

typedef enum tj_kind {
    /* expressions */
    TJ_N_CONST,  /* val */
    TJ_N_NAME,   /* name, id */
    TJ_N_TUPLE,  /* list */
    TJ_N_LIST,   /* list */
    TJ_N_DICT,   /* list: key, value, key, value, ... */
    TJ_N_COND,   /* a if b else c (NULL) */
    TJ_N_OR,     /* list */
    TJ_N_AND,    /* list */
    TJ_N_NOT,    /* a */
    TJ_N_CMP,    /* list, ops[i] between list[i] and list[i + 1] */
    TJ_N_CHAIN,  /* list, ops: left-associative + - * / // % ** */
    TJ_N_CONCAT, /* list */
    TJ_N_NEG,    /* a */
    TJ_N_POS,    /* a */
    TJ_N_ATTR,   /* a.name */
    TJ_N_ITEM,   /* a[b] */
    TJ_N_SLICE,  /* a:b:c, each may be NULL; only as b of TJ_N_ITEM */
    TJ_N_CALL,   /* a(args) */
    TJ_N_FILTER, /* a | name(args); a NULL: the body of a block */
    TJ_N_TEST,   /* a is name(args) */
    TJ_N_NSREF,  /* name.attr as a target */
    /* statements */
    TJ_N_DATA,       /* val */
    TJ_N_OUTPUT,     /* a */
    TJ_N_IF,         /* list: test, body, test, body, ...; c: else body or NULL */
    TJ_N_FOR,        /* a: target, b: iterable, test: filter or NULL, c: body, d: else or NULL; flag: recursive */
    TJ_N_SET,        /* a: target, b: value */
    TJ_N_SETBLOCK,   /* a: target, b: filter or NULL, c: body */
    TJ_N_MACRO,      /* name, id, list: parameters (TJ_N_NAME), args.pos: defaults of the last ones, c: body */
    TJ_N_CALLBLOCK,  /* the same for the caller; b: TJ_N_CALL */
    TJ_N_FILTERBLOCK, /* b: filter, c: body */
    TJ_N_WITH,       /* list: target, value, ...; c: body */
    TJ_N_SCOPE,      /* c: body: block, generation */
    TJ_N_BODY,       /* list */
    TJ_N_BREAK,
    TJ_N_CONTINUE,
} tj_kind;

typedef enum tj_op {
    TJ_ADD,
    TJ_SUB,
    TJ_MUL,
    TJ_DIV,
    TJ_FLOORDIV,
    TJ_MOD,
    TJ_POW,
    TJ_EQ,
    TJ_NE,
    TJ_LT,
    TJ_LE,
    TJ_GT,
    TJ_GE,
    TJ_IN,
    TJ_NOTIN,
} tj_op;

enum { TJ_USES_CALLER = 1, TJ_USES_KWARGS = 2, TJ_USES_VARARGS = 4 };

struct tj_node {
    tj_kind kind;
    uint32_t line, col;
    uint32_t id; /* of a variable */
    uint32_t depth; /* of the tree below */
    uint8_t uses;   /* TJ_N_MACRO, TJ_N_CALLBLOCK: TJ_USES_... */
    bool flag;
    tj_node *a, *b, *c, *d, *test;
    tj_node **list;
    uint8_t *ops;
    size_t n, cap;
    const tj_str *name;
    const tj_str *attr;
    const tj_func *fn; /* TJ_N_FILTER, TJ_N_TEST; NULL: there is none of that name */
    tj_val val;
    struct tj_var *own; /* TJ_N_BODY of a scope: the variables that begin as undefined (jinja_scope.c) */
    size_t n_own;
    struct tj_call {
        tj_node **pos, **kwv;
        const tj_str **kw;
        size_t n_pos, n_kw, cap_pos, cap_kw;
        tj_node *star, *dstar;
    } args;
};

enum { TJ_ID_LOOP, TJ_ID_CALLER, TJ_ID_KWARGS, TJ_ID_VARARGS }; /* variables with a meaning, in every template */

struct ts_jinja {
    ts_arena arena;
    tj_node *body;
    const tj_str **names; /* of the variables, by id */
    uint32_t n_names, cap_names;
};

/* ---- state of a parse or a render -------------------------------------------------------------------------------- */

struct tj {
    ts_arena arena;
    jmp_buf fail;
    ts_status status;
    ts_err err;
    uint32_t line, col; /* where we are; 0: nowhere */
    uint64_t steps, max_steps;
    uint32_t depth, max_depth;
    size_t max_text, max_memory;
    /* of a render */
    const ts_jinja *t;
    const ts_jinja_opts *opts;
    const json_t *context;
    tj_val *vars;    /* the template's own scope, by id */
    tj_val *globals; /* variables of the context and the built-in ones, by id; TJ_ABSENT: not looked up yet */
    tj_sb *out;
    tj_env *env;
    int64_t loop_depth;
};

/* Leave with an error at the current place. */
__attribute__((noreturn)) TS_PRINTF(3, 4) void tj_fail(tj *r, ts_status code, const char *fmt, ...);
__attribute__((noreturn)) void tj_nomem(tj *r);
/* An operation on an undefined value. */
__attribute__((noreturn)) void tj_fail_undef(tj *r, const tj_undef *u);
__attribute__((noreturn)) void tj_fail_steps(tj *r);
void *tj_alloc(tj *r, size_t n, size_t size); /* zeroed */
/* Room for one more element behind *n; cap doubles. */
void *tj_more(tj *r, void *array, size_t n, size_t *cap, size_t size);
/* Count work: n steps, or n bytes handled. */
static inline void tj_step(tj *r, uint64_t n) {
    r->steps += n;
    if (r->steps > r->max_steps) tj_fail_steps(r);
}
static inline void tj_bytes(tj *r, size_t n) { tj_step(r, n / 16 + 1); }
void tj_enter(tj *r); /* one level deeper; tj_leave when back */
static inline void tj_leave(tj *r) { r->depth--; }

/* jinja_parse.c */
void tj_parse(tj *r, ts_jinja *t, const char *text, size_t len);
void tj_check_func(tj *r, const tj_node *n); /* fails where the filter or test of n is not there */

/* jinja_scope.c */
void tj_scopes(tj *r, ts_jinja *t);

/* jinja_lex.c */
typedef enum tj_tok_kind {
    TJ_T_EOF,
    TJ_T_DATA,
    TJ_T_VAR_BEGIN,
    TJ_T_VAR_END,
    TJ_T_BLOCK_BEGIN,
    TJ_T_BLOCK_END,
    TJ_T_NAME,
    TJ_T_STR,
    TJ_T_INT,
    TJ_T_FLOAT,
    TJ_T_OP, /* str: the operator's characters */
} tj_tok_kind;
typedef struct tj_tok {
    tj_tok_kind kind;
    uint32_t line, col;
    char op[3];
    const tj_str *str;
    int64_t i;
    double f;
} tj_tok;
tj_tok *tj_lex(tj *r, const char *text, size_t len); /* ends with TJ_T_EOF */

/* ---- jinja_str.c: strings ---------------------------------------------------------------------------------------- */

tj_str *tj_str_new(tj *r, const char *s, size_t len, bool data); /* borrows s */
tj_str *tj_str_lit(tj *r, const char *s);                        /* the template's own; borrows s */
tj_str *tj_str_sub(tj *r, const tj_str *s, size_t from, size_t to); /* bytes; shares */
tj_str *tj_str_cat(tj *r, const tj_str *a, const tj_str *b);
tj_str *tj_str_escape(tj *r, const tj_str *s); /* & < > " ' ; what is markup already stays */
const tj_str *tj_str_as(tj *r, const tj_str *s, bool markup);
int64_t tj_chars(tj *r, const tj_str *s);
/* The byte at which character i begins; 0 <= i <= tj_chars. */
size_t tj_byte_of(tj *r, const tj_str *s, int64_t i);
bool tj_str_eq(const tj_str *a, const tj_str *b);
bool tj_str_is(const tj_str *a, const char *b);
bool tj_mark(const tj_str *s, size_t byte);
/* The character at byte i < s->len, its bytes in *n. */
static inline uint32_t tj_char_at(const tj_str *s, size_t i, size_t *n) {
    uint32_t c = 0;
    int k = ts_utf8_decode(s->s + i, s->len - i, &c);
    *n = k > 0 ? (size_t)k : 1;
    return c;
}
/* Where `what` begins in s[from..to), or -1. */
int64_t tj_find(tj *r, const tj_str *s, size_t from, size_t to, const tj_str *what, bool last);

void tj_sb_init(tj *r, tj_sb *b);
void tj_sb_add(tj_sb *b, const char *s, size_t len, bool data);
void tj_sb_puts(tj_sb *b, const char *s); /* the template's own */
void tj_sb_fill(tj_sb *b, const char *s, size_t len, size_t times, bool data);
void tj_sb_str(tj_sb *b, const tj_str *s);
void tj_sb_sub(tj_sb *b, const tj_str *s, size_t from, size_t to);
void tj_sb_char(tj_sb *b, uint32_t cp, bool data);
tj_str *tj_sb_done(tj_sb *b);

/* jinja_unicode.c: characters as Python sees them */
bool tj_is_space(uint32_t c);
bool tj_is_word(uint32_t c);
bool tj_is_alpha(uint32_t c);
bool tj_is_digit(uint32_t c);
bool tj_is_decimal(uint32_t c);
bool tj_is_numeric(uint32_t c);
bool tj_is_upper(uint32_t c);
bool tj_is_lower(uint32_t c);
bool tj_is_title(uint32_t c);
bool tj_is_printable(uint32_t c);
typedef enum tj_case { TJ_UPPER, TJ_LOWER, TJ_TITLE } tj_case;
/* Append the character at byte `at` of s in another case and return its bytes. */
size_t tj_sb_case(tj_sb *b, const tj_str *s, size_t at, tj_case to);

/* ---- jinja_value.c ----------------------------------------------------------------------------------------------- */

#define TJ_V(type, field, value) ((tj_val){.t = (type), .field = (value)})
static inline tj_val tj_none(void) { return (tj_val){.t = TJ_NONE}; }
static inline tj_val tj_bool(bool b) { return TJ_V(TJ_BOOL, b, b); }
static inline tj_val tj_int(int64_t i) { return TJ_V(TJ_INT, i, i); }
static inline tj_val tj_float(double f) { return TJ_V(TJ_FLOAT, f, f); }
static inline tj_val tj_of_str(const tj_str *s) { return TJ_V(TJ_STR, s, s); }
static inline tj_val tj_of_seq(tj_seq *q) { return TJ_V(TJ_SEQ, q, q); }
tj_val tj_undef_hint(tj *r, const char *hint);
tj_val tj_undef_attr(tj *r, tj_val of, const tj_str *name);
tj_val tj_undef_item(tj *r, tj_val of, tj_val key);

tj_seq *tj_seq_new(tj *r, tj_seq_kind kind, size_t cap);
void tj_seq_push(tj *r, tj_seq *q, tj_val v);
tj_val tj_gen_of(tj *r, tj_seq *q, const char *type);
tj_seq *tj_pair(tj *r, tj_val a, tj_val b);
tj_dict *tj_dict_new(tj *r, size_t cap);
void tj_dict_set(tj *r, tj_dict *d, tj_val key, tj_val v);
tj_val *tj_dict_get(tj *r, const tj_dict *d, tj_val key); /* NULL: not there */
tj_val *tj_dict_name(tj *r, const tj_dict *d, const tj_str *key);

const char *tj_type_name(tj_val v); /* as Python's messages name it */
const char *tj_object_name(tj *r, tj_val v); /* as Jinja2's do: "dict object" */
bool tj_truth(tj_val v);
bool tj_eq(tj *r, tj_val a, tj_val b);
bool tj_same(tj_val a, tj_val b); /* Python's "is" */
/* -1, 0, 1, 2: not comparable numbers (NaN); fails for wrong types */
int tj_cmp(tj *r, tj_val a, tj_val b, const char *op);
bool tj_contains(tj *r, tj_val item, tj_val in);
bool tj_is_number(tj_val v);  /* bool, int, float */
bool tj_as_int(tj_val v, int64_t *out); /* bool, int */
double tj_as_double(tj_val v);
int64_t tj_len(tj *r, tj_val v);
tj_seq *tj_iter(tj *r, tj_val v); /* all items; fails where Python's iter() does */
bool tj_iterable(tj_val v);
tj_str *tj_to_str(tj *r, tj_val v);  /* str() */
void tj_sb_val(tj_sb *b, tj_val v);  /* str() */
void tj_sb_repr(tj_sb *b, tj_val v);
void tj_sb_int(tj_sb *b, int64_t i);
void tj_sb_float(tj_sb *b, double f);
tj_val tj_binop(tj *r, tj_op op, tj_val a, tj_val b); /* jinja_arith.c */
tj_val tj_negate(tj *r, tj_val a);
double tj_round(double x, int digits);

/* jinja_json.c */
tj_val tj_from_json(tj *r, const json_t *j, bool data);
tj_val tj_variable(tj *r, const char *name); /* of the context; TJ_ABSENT: none */
typedef struct tj_json_opts {
    const tj_str *indent; /* NULL: one line */
    const tj_str *item_sep, *key_sep;
    bool ascii, sort;
} tj_json_opts;
void tj_sb_json(tj_sb *b, tj_val v, const tj_json_opts *o, int level);

/* jinja_eval.c */
tj_val tj_eval(tj *r, const tj_node *n);
tj_val tj_call(tj *r, tj_val f, tj_args *a);
tj_val tj_call_func(tj *r, const tj_func *fn, const char *what, tj_val self, tj_args *a);
tj_val tj_getattr(tj *r, tj_val v, const tj_str *name);
tj_val tj_getitem(tj *r, tj_val v, tj_val key);
tj_val tj_slice(tj *r, tj_val v, tj_val start, tj_val stop, tj_val step);
/* jinja_exec.c */
void tj_exec_template(tj *r);
tj_val tj_lookup(tj *r, const tj_node *n);
tj_val tj_call_macro(tj *r, tj_macro *m, tj_args *a);
tj_val tj_call_loop(tj *r, tj_loop *l, tj_args *a);
tj_val tj_loop_attr(tj *r, tj_loop *l, const tj_str *name);
/* tables */
const tj_func *tj_find_filter(const tj_str *name);
const tj_func *tj_find_test(const tj_str *name);
const tj_func *tj_find_global(const char *name);
const tj_func *tj_find_method(tj_val v, const tj_str *name);
bool tj_is_unsafe(tj_val v, const tj_str *name); /* an attribute that the sandbox keeps closed */
const tj_func *tj_func_in(const tj_func *table, size_t n, const char *name, size_t len);
extern const tj_func tj_filters_text[], tj_filters_seq[];
extern const size_t tj_n_filters_text, tj_n_filters_seq;

/* jinja_format.c */
tj_str *tj_percent(tj *r, const tj_str *f, tj_val args);
tj_val tj_str_format(tj *r, tj_val self, tj_args *a);
/* jinja_wordwrap.c */
tj_str *tj_wordwrap(tj *r, const tj_str *s, int64_t width, bool cut, const tj_str *nl, bool hyphens);
/* jinja_time.c */
tj_str *tj_strftime(tj *r, const tj_str *f, int64_t now);

/* Arguments that functions share. */
static inline bool tj_given(tj_args *a, size_t i) { return i < a->n && a->v[i].t != TJ_ABSENT; }
int64_t tj_arg_int(tj *r, tj_args *a, size_t i, int64_t otherwise);
bool tj_arg_bool(tj_args *a, size_t i, bool otherwise);
const tj_str *tj_arg_str(tj *r, tj_args *a, size_t i, const char *otherwise, const char *what); /* must be a string */

#endif
