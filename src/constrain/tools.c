/* tools.c - answers that call tools, as the chat templates of model families print calls.
 *
 * A call begins with a trigger, a control token or text; in front of it, with `auto`, text is free as long as it
 * does not hold the trigger. A control token that the vocabulary has is matched as that token: its spelling is plain
 * text. */
#include "base/json_tree.h"
#include "base/printable.h"
#include "constrain/chars.h"
#include "constrain/front.h"
#include "constrain/schema.h"

#include <stdio.h>
#include <string.h>

enum { NESTING = 256, VALUES_MAX = 1 << 20, TOOLS_MAX = 1000 };

typedef struct tool {
    ts_span name;
    ts_node args;
} tool;

typedef struct building {
    ts_automaton *a;
    const ts_automaton_opts *o;
    ts_arena arena;
    tool *tool;
    size_t n;
    bool free, call, none; /* text may come, a call may come */
} building;

/* How a family writes calls: head, then calls with `between` in front of each but the first, then tail. A call is
 * open, name, middle, arguments, close. Parts in \1 ... \1 are control tokens. */
static const struct family {
    const char *name, *trigger, *head, *open, *middle, *close, *between, *tail;
    bool once;      /* one call at most */
    bool json_name; /* the name stands in a JSON string */
} families[] = {
    {"hermes", "<tool_call>", "", "\1<tool_call>\1\n{\"name\": \"", "\", \"arguments\": ", "}\n\1</tool_call>\1", "\n",
     "", false, true},
    {"llama3", "<|python_tag|>", "", "{\"name\": \"", "\", \"parameters\": ", "}", "", "", true, true},
    {"mistral", "[TOOL_CALLS]", "\1[TOOL_CALLS]\1[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]", false,
     true},
    {"mistral-args", "[TOOL_CALLS]", "", "\1[TOOL_CALLS]\1", "\1[ARGS]\1", "", "", "", false, false},
    {"deepseek-r1", "<｜tool▁calls▁begin｜>", "\1<｜tool▁calls▁begin｜>\1",
     "\1<｜tool▁call▁begin｜>\1function\1<｜tool▁sep｜>\1", "\n```json\n", "\n```\1<｜tool▁call▁end｜>\1", "\n",
     "\1<｜tool▁calls▁end｜>\1", false, false},
    {"deepseek-v3", "<｜tool▁calls▁begin｜>", "\1<｜tool▁calls▁begin｜>\1", "\1<｜tool▁call▁begin｜>\1",
     "\1<｜tool▁sep｜>\1", "\1<｜tool▁call▁end｜>\1", "", "\1<｜tool▁calls▁end｜>\1", false, false},
};

static ts_token control(const ts_automaton_opts *o, const char *text, size_t len) {
    return o->find_control ? o->find_control(o->find_ud, text, len) : -1;
}

static ts_node control_or_text(building *b, const char *text, size_t len) {
    const ts_token id = control(b->o, text, len);
    return id >= 0 ? ts_ir_token(&b->a->ir, id) : ts_ir_lex(&b->a->ir, ts_rx_text(&b->a->rxs, text, len));
}

/* A part of a family's form, then `rest`. */
static ts_node form(building *b, const char *text, ts_node rest) {
    ts_node part[8];
    int n = 0;
    bool token = false;
    while (*text && n < 8) {
        const size_t len = strcspn(text, "\1");
        if (len) part[n++] = token ? control_or_text(b, text, len)
                                   : ts_ir_lex(&b->a->ir, ts_rx_text(&b->a->rxs, text, len));
        token = !token;
        text += len + (text[len] != 0);
    }
    while (n) rest = ts_ir_cat(&b->a->ir, part[--n], rest);
    return rest;
}

static ts_rx any_text(ts_automaton *a) {
    return ts_rx_rep(&a->rxs, ts_chars_any(&a->rxs, TS_SPELL_UTF8), 0, TS_RX_INF);
}

static ts_rx without(ts_automaton *a, ts_rx text, const char *what) {
    const ts_rx from = ts_rx_cat(&a->rxs, ts_rx_text(&a->rxs, what, strlen(what)), TS_RX_ANY);
    const ts_rx has = ts_rx_cat(&a->rxs, any_text(a), from);
    return ts_rx_and(&a->rxs, text, ts_rx_not(&a->rxs, has));
}

/* A name as it stands in a call. */
static ts_rx spell_name(building *b, ts_span name, bool json) {
    ts_buf s = {0};
    const bool ok = json ? ts_json_spell(&s, name.data, name.len) : ts_buf_append(&s, name.data, name.len);
    if (!ok) ts_work_nomem(&b->a->work);
    const ts_rx e = ok ? ts_rx_text(&b->a->rxs, s.data, s.len) : TS_RX_NEVER;
    ts_buf_free(&s);
    return e;
}

/* [CALL_ID] and nine letters or digits, which some of the family's models write behind the name. */
static ts_node call_id(building *b) {
    ts_byteset s = {0};
    const ts_token id = control(b->o, "[CALL_ID]", 9);
    if (id < 0) return TS_NODE_EMPTY;
    for (unsigned c = '0'; c <= 'z'; c++)
        if (c <= '9' || (c >= 'A' && c <= 'Z') || c >= 'a') ts_byteset_add(&s, c);
    const ts_node digits = ts_ir_lex(&b->a->ir, ts_rx_rep(&b->a->rxs, ts_rx_set(&b->a->rxs, &s), 9, 9));
    return ts_ir_rep(&b->a->ir, ts_ir_cat(&b->a->ir, ts_ir_token(&b->a->ir, id), digits), 0, 1);
}

/* One call of any of the tools. */
static ts_node any_call(building *b, const struct family *f) {
    ts_ir *ir = &b->a->ir;
    const ts_node id = strcmp(f->name, "mistral-args") == 0 ? call_id(b) : TS_NODE_EMPTY;
    ts_node *one = ts_arena_alloc(&b->arena, b->n + 1, sizeof *one);
    if (!one) return ts_work_nomem(&b->a->work), TS_NODE_NEVER;
    for (size_t i = 0; i < b->n; i++) {
        const ts_node behind = form(b, f->middle, ts_ir_cat(ir, b->tool[i].args, form(b, f->close, TS_NODE_EMPTY)));
        const ts_node name = ts_ir_lex(ir, spell_name(b, b->tool[i].name, f->json_name));
        one[i] = ts_ir_cat(ir, name, ts_ir_cat(ir, id, behind));
    }
    const uint32_t rule = ts_ir_rule(ir);
    const ts_node all = form(b, f->open, ts_ir_alt(ir, one, b->n)); /* the tools part behind what they share */
    if (b->a->work.bad == TS_OK) ir->rule[rule] = all;
    return ts_ir_call(ir, rule);
}

static ts_node calls(building *b, const struct family *f) {
    ts_ir *ir = &b->a->ir;
    const ts_node one = any_call(b, f);
    const bool once = f->once || b->o->spec.one_call;
    const ts_node more = once ? TS_NODE_EMPTY : ts_ir_rep(ir, form(b, f->between, one), 0, TS_RX_INF);
    ts_node all = form(b, f->head, ts_ir_cat(ir, one, ts_ir_cat(ir, more, form(b, f->tail, TS_NODE_EMPTY))));
    if (strcmp(f->name, "llama3") == 0) { /* behind its token, too */
        const ts_node tagged = ts_ir_cat(ir, control_or_text(b, f->trigger, strlen(f->trigger)), all);
        all = ts_ir_alt(ir, (ts_node[]){all, tagged}, 2);
    }
    return all;
}

/* Text in front of, or instead of, calls. */
static ts_rx free_text(building *b, const struct family *f) {
    ts_rxs *p = &b->a->rxs;
    ts_rx text = any_text(b->a);
    if (control(b->o, f->trigger, strlen(f->trigger)) < 0) text = without(b->a, text, f->trigger);
    if (strcmp(f->name, "llama3") != 0) return text;
    const size_t mark = p->n_tmp; /* what begins like a call is one */
    for (size_t i = 0; i < b->n; i++) ts_rx_push(p, spell_name(b, b->tool[i].name, true));
    const ts_rx from = ts_rx_cat(p, ts_rx_alt_from(p, mark), TS_RX_ANY);
    const ts_rx begins = ts_rx_cat(p, ts_rx_text(p, f->open, strlen(f->open)), from);
    return ts_rx_and(p, text, ts_rx_not(p, begins));
}

/* JSON instead of text. */
static ts_node answer_schema(building *b) {
    const ts_constraint_opts *o = &b->o->spec;
    const ts_jlimits limits = {.depth = NESTING, .values = VALUES_MAX};
    const ts_jval *root;
    ts_err err;
    const ts_status s = ts_jtree_parse(&root, &b->arena, o->answer, o->answer_len, &limits, &err);
    if (s == TS_OK) return b->a->answer = ts_schema_build(b->a, root, NULL, "answer#");
    ts_work_fail(&b->a->work, s, "%s", err.msg);
    ts_front_at(b->a, "answer#");
    return TS_NODE_NEVER;
}

static ts_node answer(building *b, const struct family *f) {
    ts_ir *ir = &b->a->ir;
    if (!b->free) return calls(b, f);
    if (b->o->spec.answer) {
        const ts_node said = answer_schema(b);
        return b->call && b->n ? ts_ir_alt(ir, (ts_node[]){said, calls(b, f)}, 2) : said;
    }
    const ts_node text = ts_ir_lex(ir, free_text(b, f));
    if (!b->call || b->n == 0) return text;
    const ts_node call = calls(b, f);
    if (strcmp(f->name, "llama3") == 0) return ts_ir_alt(ir, (ts_node[]){text, call}, 2);
    return ts_ir_cat(ir, text, ts_ir_rep(ir, call, 0, 1));
}

/* ---- the list of tools ----------------------------------------------------------------------------------------- */

static bool bad(building *b, size_t i, const char *where, const char *why) {
    ts_work_fail(&b->a->work, TS_E_FORMAT, "%s", why);
    ts_front_at(b->a, "#/%zu%s", i, where);
    return false;
}

/* {"type": "object"}: arguments are an object, whatever their schema leaves open. */
static const ts_jval *object_type(building *b) {
    static const char text[] = "{\"type\":\"object\"}";
    const ts_jval *v = NULL;
    if (ts_jtree_parse(&v, &b->arena, text, sizeof text - 1, NULL, NULL) != TS_OK) ts_work_nomem(&b->a->work);
    return v;
}

static bool read_tool(building *b, size_t i, const ts_jval *v, const ts_jval *object, ts_node empty) {
    const ts_jval *f = ts_jval_get(v, "function"), *name = ts_jval_get(f, "name"), *args = ts_jval_get(f, "parameters");
    const ts_jval *type = ts_jval_get(v, "type");
    if (type && !ts_jval_is(type, "function")) return bad(b, i, "/type", "tools of type \"function\" are known alone");
    if (!f || f->type != TS_JSON_OBJECT) return bad(b, i, "", "a tool has to have an object \"function\"");
    if (!name || name->type != TS_JSON_STRING || name->text.len == 0)
        return bad(b, i, "/function", "a function has to have a name");
    for (size_t k = 0; k < i; k++)
        if (b->tool[k].name.len == name->text.len && memcmp(b->tool[k].name.data, name->text.data, name->text.len) == 0)
            return bad(b, i, "/function/name", "there is a tool of this name already");
    b->tool[i] = (tool){.name = name->text, .args = empty};
    if (!args || args->type == TS_JSON_NULL || (args->type == TS_JSON_OBJECT && args->n == 0)) return true;
    char where[64];
    snprintf(where, sizeof where, "#/%zu/function/parameters", i);
    if (args->type != TS_JSON_OBJECT) return bad(b, i, "/function/parameters", "parameters have to be a schema");
    b->tool[i].args = ts_schema_build(b->a, args, object, where);
    return b->a->work.bad == TS_OK;
}

static bool read_tools(building *b, const ts_jval *list) {
    const ts_jval *object = object_type(b);
    const ts_node empty = ts_ir_text(&b->a->ir, "{}");
    size_t i = 0;
    if (list->type != TS_JSON_ARRAY) return ts_work_fail(&b->a->work, TS_E_FORMAT, "tools have to be a list");
    if (list->n > TOOLS_MAX) return ts_work_fail(&b->a->work, TS_E_LIMIT, "more than %d tools", TOOLS_MAX);
    b->tool = ts_arena_calloc(&b->arena, list->n + 1, sizeof *b->tool);
    if (!b->tool || !object) return ts_work_nomem(&b->a->work);
    for (const ts_jval *v = list->first; v; v = v->next, i++)
        if (!ts_work_pay(&b->a->work, 1 + i / 8) || !read_tool(b, i, v, object, empty)) return false;
    b->n = i;
    return true;
}

/* Leaves the tools that may be called. */
static bool choose(building *b) {
    const char *choice = b->o->spec.tool_choice ? b->o->spec.tool_choice : "auto";
    const bool named = b->o->spec.tool_named;
    b->free = !named && (strcmp(choice, "auto") == 0 || strcmp(choice, "none") == 0);
    b->call = named || strcmp(choice, "none") != 0;
    if (b->free || (!named && strcmp(choice, "required") == 0)) {
        if (b->free || b->n) return true;
        ts_work_fail(&b->a->work, TS_E_UNSUPP, "there is no tool to call");
        ts_front_at(b->a, "tool-choice");
        return false;
    }
    for (size_t i = 0; i < b->n; i++)
        if (b->tool[i].name.len == strlen(choice) && memcmp(b->tool[i].name.data, choice, strlen(choice)) == 0) {
            b->tool[0] = b->tool[i];
            b->n = 1;
            return true;
        }
    char shown[64];
    ts_printable(shown, sizeof shown, choice, strlen(choice));
    ts_work_fail(&b->a->work, TS_E_UNSUPP, "there is no tool called %s", shown);
    ts_front_at(b->a, "tool-choice");
    return false;
}

static const struct family *find_family(building *b) {
    const char *name = b->o->spec.tool_format;
    for (size_t i = 0; name && i < sizeof families / sizeof *families; i++)
        if (strcmp(name, families[i].name) == 0) return &families[i];
    ts_work_fail(&b->a->work, TS_E_UNSUPP, "calls are written as hermes, llama3, mistral, mistral-args, deepseek-r1 or "
                                           "deepseek-v3 have it");
    ts_front_at(b->a, "tool-format");
    return NULL;
}

/* Remember the arguments, so that what nothing satisfies is refused and not left out. */
static void note_arguments(building *b) {
    ts_automaton *a = b->a;
    if (!ts_work_grow(&a->work, (void **)&a->tool_args, &a->tool_args_cap, b->n, sizeof *a->tool_args)) return;
    for (size_t i = 0; i < b->n; i++) a->tool_args[i] = b->tool[i].args;
    a->n_tools = b->n;
}

ts_node ts_front_tools(ts_automaton *a, const ts_automaton_opts *opts) {
    building b = {.a = a, .o = opts};
    const ts_jval *list;
    ts_err err;
    ts_node node = TS_NODE_NEVER;
    const ts_jlimits limits = {.depth = NESTING, .values = VALUES_MAX};
    const struct family *f = find_family(&b);
    const ts_status s = f ? ts_jtree_parse(&list, &b.arena, opts->spec.text, opts->spec.len, &limits, &err) : TS_OK;
    if (s != TS_OK) ts_work_fail(&a->work, s, "%s", err.msg);
    else if (f && read_tools(&b, list)) {
        note_arguments(&b);
        if (choose(&b)) node = answer(&b, f);
    }
    ts_arena_free(&b.arena);
    return node;
}

ts_node ts_front_thinking(ts_automaton *a, const ts_automaton_opts *opts, ts_node root) {
    static const char begin[] = "<think>", end[] = "</think>";
    building b = {.a = a, .o = opts};
    const ts_token id = control(opts, end, sizeof end - 1);
    const ts_rx text = id < 0 ? without(a, any_text(a), end) : any_text(a);
    const ts_node lines = ts_ir_lex(&a->ir, ts_rx_rep(&a->rxs, ts_rx_text(&a->rxs, "\n", 1), 0, 2));
    const ts_node block = ts_ir_cat(&a->ir, ts_ir_lex(&a->ir, text), control_or_text(&b, end, sizeof end - 1));
    const ts_node thought = ts_ir_cat(&a->ir, block, ts_ir_cat(&a->ir, lines, root));
    if (opts->spec.in_thinking) return thought;
    const ts_node opened = ts_ir_cat(&a->ir, control_or_text(&b, begin, sizeof begin - 1), thought);
    return ts_ir_alt(&a->ir, (ts_node[]){root, opened}, 2);
}
