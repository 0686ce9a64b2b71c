/* Tokens to a tree, by recursive descent with the precedences of Jinja2. */
#include "text/jinja/jinja_int.h"

#include <string.h>

typedef struct parser {
    tj *r;
    ts_jinja *t;
    const tj_tok *tok; /* the next one */
    struct frame {
        struct frame *up;
        tj_node *macro; /* the macro or call block that is being read, or NULL */
        int loops;      /* around us, within this macro */
    } *frame;
    tj_dict *ids; /* name to number */
    bool soft;    /* directly in an if: an unknown filter or test fails where it is reached, not before */
    tj_node **hard; /* the filters and tests that must be there */
    size_t n_hard, cap_hard;
} parser;

static tj_node *expression(parser *p);
static tj_node *expr_or(parser *p);
static tj_node *expr_unary(parser *p, bool with_filter);
static tj_node *postfix(parser *p, tj_node *n);
static tj_node *statements(parser *p, const char *const *ends, const char *what, const tj_tok *begin);

static void at(parser *p, const tj_tok *t) {
    p->r->line = t->line;
    p->r->col = t->col;
}

/* What a message calls a token. Caller's buffer. */
static const char *spell(const tj_tok *t, char buf[80]) {
    switch (t->kind) {
    case TJ_T_EOF: return "the end of the template";
    case TJ_T_DATA: return "text";
    case TJ_T_VAR_BEGIN: return "{{";
    case TJ_T_VAR_END: return "}}";
    case TJ_T_BLOCK_BEGIN: return "{%";
    case TJ_T_BLOCK_END: return "%}";
    case TJ_T_INT:
    case TJ_T_FLOAT: return "a number";
    case TJ_T_STR: return "a string";
    case TJ_T_OP: return t->op;
    case TJ_T_NAME: break;
    }
    size_t n = t->str->len < 60 ? t->str->len : 60;
    memcpy(buf, t->str->s, n);
    buf[n] = 0;
    return buf;
}

__attribute__((noreturn)) static void unexpected(parser *p, const char *wanted) {
    char buf[80];
    at(p, p->tok);
    tj_fail(p->r, TS_E_FORMAT, "%s where %s is wanted", spell(p->tok, buf), wanted);
}

static bool is_op(const parser *p, const char *op) { return p->tok->kind == TJ_T_OP && strcmp(p->tok->op, op) == 0; }
static bool is_name(const parser *p, const char *name) {
    return p->tok->kind == TJ_T_NAME && tj_str_is(p->tok->str, name);
}

static bool skip_op(parser *p, const char *op) {
    bool yes = is_op(p, op);
    p->tok += yes;
    return yes;
}

static bool skip_name(parser *p, const char *name) {
    bool yes = is_name(p, name);
    p->tok += yes;
    return yes;
}

static void want_op(parser *p, const char *op) {
    if (!skip_op(p, op)) unexpected(p, op);
}

static const tj_str *want_name(parser *p, const char *what) {
    if (p->tok->kind != TJ_T_NAME) unexpected(p, what);
    return p->tok++->str;
}

static tj_node *node(parser *p, tj_kind kind, const tj_tok *t) {
    tj_node *n = tj_alloc(p->r, 1, sizeof *n);
    n->kind = kind;
    n->line = t->line;
    n->col = t->col;
    return n;
}

/* A tree is evaluated by recursion, so its depth is limited when it is made. */
static tj_node *over(parser *p, tj_node *n, const tj_node *child) {
    if (child && child->depth + 1 > n->depth) n->depth = child->depth + 1;
    if (n->depth > p->r->max_depth) {
        p->r->line = n->line;
        p->r->col = n->col;
        tj_fail(p->r, TS_E_LIMIT, "nested too deeply (more than %u levels)", p->r->max_depth);
    }
    return n;
}

static void push(parser *p, tj_node *n, tj_node *child) {
    n->list = tj_more(p->r, n->list, n->n, &n->cap, sizeof *n->list);
    n->list[n->n++] = child;
    over(p, n, child);
}

/* The number of a variable's name. */
static uint32_t intern(parser *p, const tj_str *name) {
    ts_jinja *t = p->t;
    tj_val *known = tj_dict_name(p->r, p->ids, name);
    if (known) return (uint32_t)known->i;
    tj_dict_set(p->r, p->ids, tj_of_str(name), tj_int(t->n_names));
    size_t cap = t->cap_names;
    t->names = tj_more(p->r, t->names, t->n_names, &cap, sizeof *t->names);
    t->cap_names = (uint32_t)cap;
    t->names[t->n_names] = name;
    return t->n_names++;
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

static tj_node *constant(parser *p, const tj_tok *t, tj_val v) {
    tj_node *n = node(p, TJ_N_CONST, t);
    n->val = v;
    return n;
}

static tj_node *name_node(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_NAME, t);
    n->name = t->str;
    n->id = intern(p, t->str);
    return n;
}

/* Reading a variable inside macros may make them take more arguments than they name. */
static tj_node *load(parser *p, const tj_tok *t) {
    unsigned uses = tj_str_is(t->str, "caller")    ? TJ_USES_CALLER
                    : tj_str_is(t->str, "kwargs")  ? TJ_USES_KWARGS
                    : tj_str_is(t->str, "varargs") ? TJ_USES_VARARGS
                                                   : 0;
    for (struct frame *f = p->frame; f && uses; f = f->up)
        if (f->macro) f->macro->uses |= (uint8_t)uses;
    return name_node(p, t);
}

static bool tuple_end(const parser *p, const char *also) {
    return p->tok->kind == TJ_T_VAR_END || p->tok->kind == TJ_T_BLOCK_END || is_op(p, ")") ||
           (also && is_name(p, also));
}

/* `a` or `a, b, ...`. `parse` reads a member; `empty`: () is allowed. */
static tj_node *tuple(parser *p, tj_node *parse(parser *), const char *also, bool empty) {
    const tj_tok *first = p->tok;
    tj_node *n = node(p, TJ_N_TUPLE, first);
    bool comma = false;
    while (!tuple_end(p, also)) {
        push(p, n, parse(p));
        if (!skip_op(p, ",")) break;
        comma = true;
    }
    if (comma) return n;
    if (n->n) return n->list[0];
    if (!empty) unexpected(p, "an expression");
    return n;
}

static tj_node *display(parser *p, tj_kind kind, const tj_tok *t, const char *end) {
    tj_node *n = node(p, kind, t);
    while (!is_op(p, end)) {
        if (n->n) want_op(p, ",");
        if (is_op(p, end)) break;
        push(p, n, expression(p));
        if (kind == TJ_N_DICT) {
            want_op(p, ":");
            push(p, n, expression(p));
        }
    }
    p->tok++;
    return n;
}

static tj_node *primary(parser *p) {
    const tj_tok *t = p->tok;
    at(p, t);
    switch (t->kind) {
    case TJ_T_NAME:
        p->tok++;
        if (tj_str_is(t->str, "true") || tj_str_is(t->str, "True")) return constant(p, t, tj_bool(true));
        if (tj_str_is(t->str, "false") || tj_str_is(t->str, "False")) return constant(p, t, tj_bool(false));
        if (tj_str_is(t->str, "none") || tj_str_is(t->str, "None")) return constant(p, t, tj_none());
        return load(p, t);
    case TJ_T_STR: {
        tj_sb b;
        if (t[1].kind != TJ_T_STR) {
            p->tok++;
            return constant(p, t, tj_of_str(t->str));
        }
        tj_sb_init(p->r, &b);
        for (; p->tok->kind == TJ_T_STR; p->tok++) tj_sb_str(&b, p->tok->str);
        tj_str *s = tj_sb_done(&b);
        s->own = NULL;
        tj_chars(p->r, s);
        return constant(p, t, tj_of_str(s));
    }
    case TJ_T_INT: p->tok++; return constant(p, t, tj_int(t->i));
    case TJ_T_FLOAT: p->tok++; return constant(p, t, tj_float(t->f));
    case TJ_T_OP: {
        tj_node *n = NULL;
        if (skip_op(p, "(")) {
            n = tuple(p, expression, NULL, true);
            want_op(p, ")");
        } else if (skip_op(p, "[")) {
            n = display(p, TJ_N_LIST, t, "]");
        } else if (skip_op(p, "{")) {
            n = display(p, TJ_N_DICT, t, "}");
        }
        if (n) return n;
        break;
    }
    default: break;
    }
    unexpected(p, "an expression");
}

/* The arguments of a call, from behind "(" to behind ")". */
static void arguments(parser *p, tj_node *n) {
    struct tj_call *c = &n->args;
    bool first = true;
    while (!is_op(p, ")")) {
        if (!first) want_op(p, ",");
        first = false;
        if (is_op(p, ")")) break;
        at(p, p->tok);
        if (skip_op(p, "*")) {
            if (c->star || c->dstar) tj_fail(p->r, TS_E_FORMAT, "a second * or ** in a call");
            over(p, n, c->star = expression(p));
        } else if (skip_op(p, "**")) {
            if (c->dstar) tj_fail(p->r, TS_E_FORMAT, "a second ** in a call");
            over(p, n, c->dstar = expression(p));
        } else if (p->tok->kind == TJ_T_NAME && p->tok[1].kind == TJ_T_OP && strcmp(p->tok[1].op, "=") == 0) {
            if (c->dstar) tj_fail(p->r, TS_E_FORMAT, "an argument behind **");
            const tj_str *key = p->tok->str;
            for (size_t i = 0; i < c->n_kw; i++)
                if (tj_str_eq(c->kw[i], key))
                    tj_fail(p->r, TS_E_FORMAT, "the argument %.*s is given twice", (int)key->len, key->s);
            p->tok += 2;
            size_t cap = c->cap_kw;
            c->kw = tj_more(p->r, c->kw, c->n_kw, &cap, sizeof *c->kw);
            c->kwv = tj_more(p->r, c->kwv, c->n_kw, &c->cap_kw, sizeof *c->kwv);
            c->kw[c->n_kw] = key;
            tj_node *v = expression(p);
            c->kwv[c->n_kw++] = v;
            over(p, n, v);
        } else {
            if (c->n_kw || c->star || c->dstar)
                tj_fail(p->r, TS_E_FORMAT, "an argument without a name behind one with a name, * or **");
            c->pos = tj_more(p->r, c->pos, c->n_pos, &c->cap_pos, sizeof *c->pos);
            tj_node *v = expression(p);
            c->pos[c->n_pos++] = v;
            over(p, n, v);
        }
    }
    p->tok++;
}

static tj_node *call(parser *p, tj_node *f) {
    tj_node *n = node(p, TJ_N_CALL, p->tok);
    n->line = f->line;
    n->col = f->col;
    n->a = f;
    over(p, n, f);
    want_op(p, "(");
    arguments(p, n);
    return n;
}

/* name, or name.name */
static const tj_str *dotted(parser *p, const char *what) {
    const tj_str *name = want_name(p, what);
    while (skip_op(p, ".")) {
        const tj_str *more = want_name(p, what);
        tj_sb b;
        tj_sb_init(p->r, &b);
        tj_sb_str(&b, name);
        tj_sb_puts(&b, ".");
        tj_sb_str(&b, more);
        name = tj_sb_done(&b);
    }
    return name;
}

static void check_later(parser *p, tj_node *n) {
    if (p->soft || (n->fn && n->fn->fn)) return;
    p->hard = tj_more(p->r, p->hard, p->n_hard, &p->cap_hard, sizeof *p->hard);
    p->hard[p->n_hard++] = n;
}

void tj_check_func(tj *r, const tj_node *n) {
    const char *what = n->kind == TJ_N_TEST ? "test" : "filter";
    if (n->fn && n->fn->fn) return;
    r->line = n->line;
    r->col = n->col;
    if (n->fn) tj_fail(r, TS_E_UNSUPP, "the %s %s is not supported", what, n->fn->name);
    tj_fail(r, r->t ? TS_E_INVAL : TS_E_FORMAT, "No %s named '%.*s'.", what,
            (int)(n->name->len < 60 ? n->name->len : 60), n->name->s);
}

/* Behind "|", or behind the word filter. */
static tj_node *filter(parser *p, tj_node *of) {
    tj_node *n = node(p, TJ_N_FILTER, p->tok);
    n->name = dotted(p, "the name of a filter");
    n->fn = tj_find_filter(n->name);
    check_later(p, n);
    n->a = of;
    over(p, n, of);
    if (skip_op(p, "(")) arguments(p, n);
    return n;
}

static tj_node *test(parser *p, tj_node *of) {
    bool negated = skip_name(p, "not");
    tj_node *n = node(p, TJ_N_TEST, p->tok);
    n->name = dotted(p, "the name of a test");
    n->fn = tj_find_test(n->name);
    check_later(p, n);
    n->a = of;
    over(p, n, of);
    n->flag = negated;
    const tj_tok *t = p->tok;
    if (skip_op(p, "(")) {
        arguments(p, n);
    } else if ((t->kind == TJ_T_NAME && !is_name(p, "else") && !is_name(p, "or") && !is_name(p, "and")) ||
               t->kind == TJ_T_STR || t->kind == TJ_T_INT || t->kind == TJ_T_FLOAT || is_op(p, "[") || is_op(p, "{")) {
        at(p, t);
        if (is_name(p, "is")) tj_fail(p->r, TS_E_FORMAT, "tests cannot be chained with is");
        tj_node *v = postfix(p, primary(p));
        n->args.pos = tj_alloc(p->r, 1, sizeof *n->args.pos);
        n->args.pos[0] = v;
        n->args.n_pos = 1;
        over(p, n, v);
    }
    return n;
}

static tj_node *subscript_part(parser *p) {
    const tj_tok *t = p->tok;
    tj_node *part[3] = {0};
    int n = 0;
    if (!is_op(p, ":")) {
        part[0] = expression(p);
        if (!is_op(p, ":")) return part[0];
    }
    while (n < 2 && skip_op(p, ":")) {
        n++;
        if (!is_op(p, ":") && !is_op(p, "]") && !is_op(p, ",")) part[n] = expression(p);
    }
    tj_node *s = node(p, TJ_N_SLICE, t);
    s->a = part[0];
    s->b = part[1];
    s->c = part[2];
    for (int i = 0; i < 3; i++) over(p, s, part[i]);
    return s;
}

static tj_node *subscript(parser *p, tj_node *of) {
    const tj_tok *t = p->tok++;
    tj_node *n;
    if (t->op[0] == '.') {
        const tj_tok *key = p->tok;
        if (key->kind == TJ_T_INT) {
            p->tok++;
            n = node(p, TJ_N_ITEM, t);
            n->b = constant(p, key, tj_int(key->i));
        } else {
            n = node(p, TJ_N_ATTR, key);
            n->name = want_name(p, "a name or a number");
        }
    } else {
        n = node(p, TJ_N_ITEM, t);
        if (is_op(p, "]")) unexpected(p, "an expression");
        tj_node *first = subscript_part(p);
        if (is_op(p, ",")) {
            tj_node *list = node(p, TJ_N_TUPLE, t);
            push(p, list, first);
            while (skip_op(p, ",")) {
                if (is_op(p, "]")) break;
                push(p, list, subscript_part(p));
            }
            for (size_t i = 0; i < list->n; i++)
                if (list->list[i]->kind == TJ_N_SLICE) {
                    at(p, t);
                    tj_fail(p->r, TS_E_UNSUPP, "a slice among several subscripts is not supported");
                }
            first = list;
        }
        n->b = first;
        over(p, n, first);
        want_op(p, "]");
    }
    n->a = of;
    return over(p, n, of);
}

static tj_node *postfix(parser *p, tj_node *n) {
    for (;;) {
        if (is_op(p, ".") || is_op(p, "[")) n = subscript(p, n);
        else if (is_op(p, "(")) n = call(p, n);
        else return n;
    }
}

static tj_node *filters(parser *p, tj_node *n) {
    for (;;) {
        if (skip_op(p, "|")) n = filter(p, n);
        else if (skip_name(p, "is")) n = test(p, n);
        else if (is_op(p, "(")) n = call(p, n);
        else return n;
    }
}

static tj_node *expr_unary(parser *p, bool with_filter) {
    const tj_tok *t = p->tok;
    tj_node *n;
    tj_enter(p->r);
    at(p, t);
    if (is_op(p, "-") || is_op(p, "+")) {
        p->tok++;
        n = node(p, t->op[0] == '-' ? TJ_N_NEG : TJ_N_POS, t);
        n->a = expr_unary(p, false);
        over(p, n, n->a);
    } else {
        n = primary(p);
    }
    n = postfix(p, n);
    if (with_filter) n = filters(p, n);
    tj_leave(p->r);
    return n;
}

typedef tj_node *level(parser *p);
static tj_node *unary(parser *p) { return expr_unary(p, true); }

/* Operands of one level with left-associative operators between them: one flat node, however many they are. */
static tj_node *chain(parser *p, level *next, const char *const *ops, const tj_op *codes, int n_ops) {
    tj_node *first = next(p), *n = NULL;
    size_t cap_ops = 0;
    for (;;) {
        int k = 0;
        while (k < n_ops && !is_op(p, ops[k])) k++;
        if (k == n_ops) return n ? n : first;
        if (!n) {
            n = node(p, TJ_N_CHAIN, p->tok);
            push(p, n, first);
        }
        p->tok++;
        n->ops = tj_more(p->r, n->ops, n->n - 1, &cap_ops, 1);
        n->ops[n->n - 1] = (uint8_t)codes[k];
        push(p, n, next(p));
    }
}

static tj_node *expr_pow(parser *p) { return chain(p, unary, (const char *const[]){"**"}, (const tj_op[]){TJ_POW}, 1); }

static tj_node *expr_mul(parser *p) {
    static const char *const ops[] = {"*", "/", "//", "%"};
    static const tj_op codes[] = {TJ_MUL, TJ_DIV, TJ_FLOORDIV, TJ_MOD};
    return chain(p, expr_pow, ops, codes, 4);
}

static tj_node *listed(parser *p, tj_kind kind, level *next, bool more(parser *)) {
    const tj_tok *t = p->tok;
    tj_node *first = next(p);
    if (!more(p)) return first;
    tj_node *n = node(p, kind, t);
    push(p, n, first);
    do push(p, n, next(p));
    while (more(p));
    return n;
}

static bool tilde(parser *p) { return skip_op(p, "~"); }
static tj_node *expr_concat(parser *p) { return listed(p, TJ_N_CONCAT, expr_mul, tilde); }

static tj_node *expr_add(parser *p) {
    static const char *const ops[] = {"+", "-"};
    static const tj_op codes[] = {TJ_ADD, TJ_SUB};
    return chain(p, expr_concat, ops, codes, 2);
}

static bool compare_op(parser *p, tj_op *op) {
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    for (int k = 0; k < 6; k++)
        if (skip_op(p, ops[k])) {
            *op = (tj_op)(TJ_EQ + k);
            return true;
        }
    *op = TJ_IN;
    if (skip_name(p, "in")) return true;
    if (!is_name(p, "not") || p->tok[1].kind != TJ_T_NAME || !tj_str_is(p->tok[1].str, "in")) return false;
    p->tok += 2;
    *op = TJ_NOTIN;
    return true;
}

static tj_node *expr_compare(parser *p) {
    tj_node *first = expr_add(p), *n = NULL;
    size_t cap_ops = 0;
    for (;;) {
        const tj_tok *t = p->tok;
        tj_op op;
        if (!compare_op(p, &op)) return n ? n : first;
        if (!n) {
            n = node(p, TJ_N_CMP, t);
            push(p, n, first);
        }
        n->ops = tj_more(p->r, n->ops, n->n - 1, &cap_ops, 1);
        n->ops[n->n - 1] = (uint8_t)op;
        push(p, n, expr_add(p));
    }
}

static tj_node *expr_not(parser *p) {
    const tj_tok *t = p->tok;
    if (!skip_name(p, "not")) return expr_compare(p);
    tj_enter(p->r);
    tj_node *n = node(p, TJ_N_NOT, t);
    n->a = expr_not(p);
    tj_leave(p->r);
    return over(p, n, n->a);
}

static bool word_and(parser *p) { return skip_name(p, "and"); }
static bool word_or(parser *p) { return skip_name(p, "or"); }
static tj_node *expr_and(parser *p) { return listed(p, TJ_N_AND, expr_not, word_and); }
static tj_node *expr_or(parser *p) { return listed(p, TJ_N_OR, expr_and, word_or); }

static tj_node *expression(parser *p) {
    tj_enter(p->r);
    const tj_tok *t = p->tok;
    /* the value in front of an if is read before the if is seen, and is part of it all the same */
    bool soft = p->soft;
    size_t n_hard = p->n_hard;
    tj_node *n = expr_or(p);
    while (is_name(p, "if")) {
        p->tok++;
        p->n_hard = n_hard;
        p->soft = true;
        tj_node *c = node(p, TJ_N_COND, t);
        c->a = n;
        c->b = expr_or(p);
        if (skip_name(p, "else")) c->c = expression(p);
        over(p, c, c->a);
        over(p, c, c->b);
        n = over(p, c, c->c);
        p->soft = soft;
    }
    tj_leave(p->r);
    return n;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static tj_node *target_name(parser *p, bool with_attr) {
    const tj_tok *t = p->tok;
    want_name(p, "a variable's name");
    static const char *const reserved[] = {"true", "True", "false", "False", "none", "None"};
    at(p, t);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (tj_str_is(t->str, reserved[i])) tj_fail(p->r, TS_E_FORMAT, "%s is no variable", reserved[i]);
    for (struct frame *f = p->frame; f && tj_str_is(t->str, "loop"); f = f->up)
        if (f->loops) tj_fail(p->r, TS_E_FORMAT, "loop is a variable of the loop itself");
    if (with_attr && is_op(p, ".")) {
        p->tok++;
        tj_node *n = node(p, TJ_N_NSREF, t);
        n->name = t->str;
        n->id = intern(p, t->str);
        n->attr = want_name(p, "the name of an attribute");
        return n;
    }
    return name_node(p, t);
}

static tj_node *target_of_for(parser *p) {
    if (!skip_op(p, "(")) return target_name(p, false);
    tj_enter(p->r);
    tj_node *n = tuple(p, target_of_for, NULL, false);
    tj_leave(p->r);
    want_op(p, ")");
    return n;
}
static tj_node *target_of_set(parser *p) {
    if (!skip_op(p, "(")) return target_name(p, true);
    tj_enter(p->r);
    tj_node *n = tuple(p, target_of_set, NULL, false);
    tj_leave(p->r);
    want_op(p, ")");
    return n;
}

static void block_end(parser *p) {
    skip_op(p, ":");
    if (p->tok->kind != TJ_T_BLOCK_END) unexpected(p, "%}");
    p->tok++;
}

/* The body of a tag up to one of `ends`, which p->tok is at then. */
static tj_node *body(parser *p, const char *const *ends, const char *what, const tj_tok *begin, bool soft) {
    bool was = p->soft;
    p->soft = soft;
    block_end(p);
    tj_node *n = statements(p, ends, what, begin);
    p->soft = was;
    return n;
}

static tj_node *body_to(parser *p, const char *end, const char *what, const tj_tok *begin) {
    tj_node *n = body(p, (const char *const[]){end, NULL}, what, begin, false);
    p->tok++;
    return n;
}

static tj_node *st_for(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_FOR, t);
    n->a = tuple(p, target_of_for, "in", false);
    if (!skip_name(p, "in")) unexpected(p, "in");
    n->b = tuple(p, expr_or, "recursive", false);
    bool soft = p->soft;
    p->soft = false;
    if (skip_name(p, "if")) n->test = expression(p);
    p->soft = soft;
    n->flag = skip_name(p, "recursive");
    p->frame->loops++;
    n->c = body(p, (const char *const[]){"endfor", "else", NULL}, "for", t, false);
    p->frame->loops--;
    if (skip_name(p, "else")) n->d = body(p, (const char *const[]){"endfor", NULL}, "for", t, false);
    p->tok++;
    over(p, n, n->b);
    over(p, n, n->test);
    over(p, n, n->c);
    return over(p, n, n->d);
}

static tj_node *st_if(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_IF, t);
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    do {
        bool soft = p->soft;
        p->soft = true;
        push(p, n, tuple(p, expr_or, NULL, false));
        p->soft = soft;
        push(p, n, body(p, ends, "if", t, true));
    } while (skip_name(p, "elif"));
    if (skip_name(p, "else")) n->c = body(p, ends + 2, "if", t, true);
    p->tok++;
    return over(p, n, n->c);
}

static tj_node *st_set(parser *p, const tj_tok *t) {
    tj_node *target = tuple(p, target_of_set, NULL, false), *n;
    if (skip_op(p, "=")) {
        n = node(p, TJ_N_SET, t);
        n->b = tuple(p, expression, NULL, false);
    } else {
        n = node(p, TJ_N_SETBLOCK, t);
        while (skip_op(p, "|")) n->b = filter(p, n->b);
        n->c = body_to(p, "endset", "set", t);
        over(p, n, n->c);
    }
    n->a = target;
    over(p, n, target);
    return over(p, n, n->b);
}

/* The parameters of a macro or a caller, from behind "(". */
static void signature(parser *p, tj_node *n) {
    bool first = true;
    while (!is_op(p, ")")) {
        if (!first) want_op(p, ",");
        first = false;
        if (is_op(p, ")")) break;
        push(p, n, target_name(p, false));
        at(p, p->tok);
        if (skip_op(p, "=")) {
            n->args.pos = tj_more(p->r, n->args.pos, n->args.n_pos, &n->args.cap_pos, sizeof *n->args.pos);
            tj_node *v = expression(p);
            n->args.pos[n->args.n_pos++] = v;
            over(p, n, v);
        } else if (n->args.n_pos) {
            tj_fail(p->r, TS_E_FORMAT, "a parameter without a default behind one with a default");
        }
    }
    p->tok++;
}

/* A body that is called: loops around it cannot be left from inside. */
static void called_body(parser *p, tj_node *n, const char *end, const char *what, const tj_tok *t, bool macro) {
    struct frame f = {.up = p->frame, .macro = macro ? n : NULL};
    p->frame = &f;
    if (n->kind == TJ_N_MACRO || (n->kind == TJ_N_CALLBLOCK && is_op(p, "("))) {
        want_op(p, "(");
        signature(p, n);
    }
    if (n->kind == TJ_N_CALLBLOCK) {
        p->frame = f.up;
        n->b = expression(p);
        p->frame = &f;
        if (n->b->kind != TJ_N_CALL) {
            at(p, t);
            tj_fail(p->r, TS_E_FORMAT, "call wants a call: {%% call name(...) %%}");
        }
        over(p, n, n->b);
    }
    n->c = body_to(p, end, what, t);
    over(p, n, n->c);
    p->frame = f.up;
}

static tj_node *st_macro(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_MACRO, t), *name = target_name(p, false);
    n->name = name->name;
    n->id = name->id;
    called_body(p, n, "endmacro", "macro", t, true);
    return n;
}

static tj_node *st_call(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_CALLBLOCK, t);
    n->name = tj_str_lit(p->r, "caller");
    tj_chars(p->r, n->name);
    called_body(p, n, "endcall", "call", t, true);
    return n;
}

static tj_node *st_filter(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_FILTERBLOCK, t);
    do n->b = filter(p, n->b);
    while (skip_op(p, "|"));
    n->c = body_to(p, "endfilter", "filter", t);
    over(p, n, n->b);
    return over(p, n, n->c);
}

static tj_node *st_with(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_WITH, t);
    while (p->tok->kind != TJ_T_BLOCK_END) {
        if (n->n) want_op(p, ",");
        push(p, n, target_of_for(p));
        want_op(p, "=");
        push(p, n, expression(p));
    }
    n->c = body_to(p, "endwith", "with", t);
    return over(p, n, n->c);
}

static tj_node *st_generation(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_SCOPE, t);
    called_body(p, n, "endgeneration", "generation", t, false);
    return n;
}

static tj_node *st_print(parser *p, const tj_tok *t) {
    tj_node *n = node(p, TJ_N_BODY, t);
    while (p->tok->kind != TJ_T_BLOCK_END) {
        if (n->n) want_op(p, ",");
        tj_node *o = node(p, TJ_N_OUTPUT, p->tok);
        o->a = expression(p);
        push(p, n, over(p, o, o->a));
    }
    return n;
}

static tj_node *st_jump(parser *p, const tj_tok *t, tj_kind kind) {
    if (!p->frame->loops) {
        at(p, t);
        tj_fail(p->r, TS_E_FORMAT, "%s outside a loop", kind == TJ_N_BREAK ? "break" : "continue");
    }
    return node(p, kind, t);
}

static tj_node *statement(parser *p) {
    const tj_tok *t = p->tok;
    want_name(p, "the name of a tag");
    if (tj_str_is(t->str, "for")) return st_for(p, t);
    if (tj_str_is(t->str, "if")) return st_if(p, t);
    if (tj_str_is(t->str, "set")) return st_set(p, t);
    if (tj_str_is(t->str, "macro")) return st_macro(p, t);
    if (tj_str_is(t->str, "call")) return st_call(p, t);
    if (tj_str_is(t->str, "filter")) return st_filter(p, t);
    if (tj_str_is(t->str, "with")) return st_with(p, t);
    if (tj_str_is(t->str, "generation")) return st_generation(p, t);
    if (tj_str_is(t->str, "print")) return st_print(p, t);
    if (tj_str_is(t->str, "break")) return st_jump(p, t, TJ_N_BREAK);
    if (tj_str_is(t->str, "continue")) return st_jump(p, t, TJ_N_CONTINUE);
    at(p, t);
    static const char *const refused[] = {"include",    "import", "from",  "extends", "block",
                                          "autoescape", "do",     "trans", "debug"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (tj_str_is(t->str, refused[i]))
            tj_fail(p->r, TS_E_UNSUPP, "the tag %s is not supported in chat templates", refused[i]);
    tj_fail(p->r, TS_E_FORMAT, "there is no tag %.*s", (int)(t->str->len < 60 ? t->str->len : 60), t->str->s);
}

/* Text, outputs and tags up to a tag of `ends` (p->tok is at its name then), or to the end of the template where
 * that is NULL. */
static tj_node *statements(parser *p, const char *const *ends, const char *what, const tj_tok *begin) {
    tj_node *n = node(p, TJ_N_BODY, p->tok);
    tj_enter(p->r);
    for (;;) {
        const tj_tok *t = p->tok;
        tj_node *s;
        switch (t->kind) {
        case TJ_T_EOF:
            if (!ends) goto done;
            at(p, begin);
            tj_fail(p->r, TS_E_FORMAT, "this %s has no {%% end%s %%}", what, what);
        case TJ_T_DATA:
            p->tok++;
            s = node(p, TJ_N_DATA, t);
            s->val = tj_of_str(t->str);
            break;
        case TJ_T_VAR_BEGIN:
            p->tok++;
            s = node(p, TJ_N_OUTPUT, t);
            s->a = tuple(p, expression, NULL, false);
            over(p, s, s->a);
            if (p->tok->kind != TJ_T_VAR_END) unexpected(p, "}}");
            p->tok++;
            break;
        default:
            p->tok++; /* {% */
            for (int i = 0; ends && ends[i]; i++)
                if (is_name(p, ends[i])) goto done;
            if (p->tok->kind == TJ_T_NAME && p->tok->str->len > 3 &&
                (memcmp(p->tok->str->s, "end", 3) == 0 || is_name(p, "else") || is_name(p, "elif"))) {
                at(p, p->tok);
                if (!ends)
                    tj_fail(p->r, TS_E_FORMAT, "%.*s without its beginning",
                            (int)(p->tok->str->len < 60 ? p->tok->str->len : 60), p->tok->str->s);
                tj_fail(p->r, TS_E_FORMAT, "%.*s inside the %s of line %u, which has no {%% end%s %%} yet",
                        (int)(p->tok->str->len < 60 ? p->tok->str->len : 60), p->tok->str->s, what, begin->line, what);
            }
            s = statement(p);
            block_end(p);
        }
        push(p, n, s);
    }
done:
    tj_leave(p->r);
    return n;
}

void tj_parse(tj *r, ts_jinja *t, const char *text, size_t len) {
    struct frame top = {0};
    parser p = {.r = r, .t = t, .frame = &top, .ids = tj_dict_new(r, 0)};
    p.tok = tj_lex(r, text, len);
    static const char *const known[] = {"loop", "caller", "kwargs", "varargs"}; /* TJ_ID_... */
    for (int i = 0; i < 4; i++) {
        tj_str *s = tj_str_lit(r, known[i]);
        tj_chars(r, s);
        intern(&p, s);
    }
    t->body = statements(&p, NULL, NULL, NULL);
    for (size_t i = 0; i < p.n_hard; i++) tj_check_func(r, p.hard[i]);
    tj_scopes(r, t);
}
