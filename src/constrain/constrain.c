/* constrain.c - making an automaton and walking it. */
#include "constrain/front.h"
#include "constrain/regex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BUILD_FUEL = 14 << 20 /* about half a second */, STEP_FUEL = 4 << 20, TEXT_MAX = 1 << 20 };

ts_node ts_front_at(ts_automaton *a, const char *fmt, ...) {
    if (a->where.len) return TS_NODE_NEVER;
    char text[64];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n > 0 && !ts_buf_puts(&a->where, text)) ts_work_nomem(&a->work);
    return TS_NODE_NEVER;
}

ts_node ts_front_regex(ts_automaton *a, const char *text, size_t len) {
    size_t at;
    const ts_rx e = ts_regex(&a->rxs, text, len, false, TS_SPELL_UTF8, &at);
    if (a->work.bad) ts_front_at(a, "byte %zu", at);
    return ts_ir_lex(&a->ir, e);
}

static ts_node front(ts_automaton *a, const ts_automaton_opts *o) {
    const ts_constraint_opts *c = &o->spec;
    if (c->kind == TS_CONSTRAIN_REGEX) a->whole = "byte 0";
    if (c->kind == TS_CONSTRAIN_GRAMMAR) a->whole = "line 1";
    if (c->len > TEXT_MAX || (c->answer && c->answer_len > TEXT_MAX)) {
        ts_work_fail(&a->work, TS_E_LIMIT, "it is larger than 1 MiB");
        return TS_NODE_NEVER;
    }
    switch (c->kind) {
    case TS_CONSTRAIN_REGEX: return ts_front_regex(a, c->text, c->len);
    case TS_CONSTRAIN_GRAMMAR: return ts_front_gbnf(a, c->text, c->len);
    case TS_CONSTRAIN_SCHEMA: return ts_front_schema(a, c->text, c->len);
    default: return ts_front_tools(a, o);
    }
}

static void finish(ts_automaton *a, ts_node root) {
    uint32_t rule;
    if (!ts_ir_finish(&a->ir, &rule)) {
        if (rule < a->rule_lines_cap) ts_front_at(a, "line %u", a->rule_line[rule]);
        return;
    }
    for (size_t i = 0; i < a->n_tools; i++)
        if (!a->ir.node[a->tool_args[i]].productive) {
            ts_work_fail(&a->work, TS_E_UNSUPP, "nothing satisfies it");
            ts_front_at(a, "#/%zu/function/parameters", i);
            return;
        }
    if (!a->ir.node[a->answer].productive) {
        ts_work_fail(&a->work, TS_E_UNSUPP, "nothing satisfies it");
        ts_front_at(a, "answer#");
        return;
    }
    a->root = root;
    a->start = ts_machine_start(&a->machine, root);
    if (a->start != TS_PLACE_NONE) return;
    ts_work_fail(&a->work, TS_E_UNSUPP, "nothing satisfies it");
    if (a->where.len == 0) {
        a->where = a->impossible;
        a->impossible = (ts_buf){0};
    }
}

static ts_status failed(const ts_automaton *a, ts_err *err) {
    if (a->work.bad == TS_E_NOMEM) return ts_fail_nomem(err, "the constraint", 0);
    return ts_fail(err, a->work.bad, "refused at %s: %s", a->where.len ? a->where.data : a->whole, a->work.why);
}

ts_status ts_automaton_new(ts_automaton **out, const ts_automaton_opts *opts, ts_err *err) {
    TS_NEED(opts->spec.text || opts->spec.len == 0, err, "a constraint has no text");
    TS_NEED(opts->spec.kind >= TS_CONSTRAIN_SCHEMA && opts->spec.kind <= TS_CONSTRAIN_TOOLS, err,
            "a constraint of an unknown kind, %d", (int)opts->spec.kind);
    ts_automaton *a = ts_calloc(1, sizeof *a);
    if (!a) return ts_fail_nomem(err, "the constraint", sizeof *a);
    a->whole = "#";
    a->narrow = !opts->spec.exact;
    a->answer = TS_NODE_EMPTY;
    a->work.fuel = BUILD_FUEL;
    if (ts_rxs_init(&a->rxs, &a->work) && ts_dfa_init(&a->dfa, &a->rxs) && ts_ir_init(&a->ir, &a->rxs, &a->dfa) &&
        ts_machine_init(&a->machine, &a->ir)) {
        a->quote = ts_rx_text(&a->rxs, "\"", 1);
        a->any_char = ts_chars_any(&a->rxs, TS_SPELL_JSON);
        ts_node root = front(a, opts);
        const bool thinks = opts->spec.thinking || opts->spec.in_thinking;
        if (a->work.bad == TS_OK && thinks) root = ts_front_thinking(a, opts, root);
        if (a->work.bad == TS_OK) finish(a, root);
    }
    if (a->work.bad != TS_OK) {
        const ts_status s = failed(a, err);
        ts_automaton_free(a);
        return s;
    }
    *out = a;
    return TS_OK;
}

void ts_automaton_free(ts_automaton *a) {
    if (!a) return;
    ts_masks_free(a->masks);
    ts_machine_free(&a->machine);
    ts_ir_free(&a->ir);
    ts_dfa_free(&a->dfa);
    ts_rxs_free(&a->rxs);
    ts_buf_free(&a->where);
    ts_buf_free(&a->impossible);
    ts_free(a->rule_line);
    ts_free(a->tool_args);
    ts_free(a);
}

ts_place_id ts_automaton_start(const ts_automaton *a) {
    return a->start;
}

ts_status ts_automaton_status(ts_automaton *a, ts_err *err) {
    if (a->broken) return ts_fail_nomem(err, "the constraint", 0);
    if (a->work.bad == TS_OK) return TS_OK;
    const ts_status s = a->work.bad == TS_E_NOMEM ? ts_fail_nomem(err, "the constraint", 0)
                                                  : ts_fail(err, a->work.bad, "the constraint fails: %s", a->work.why);
    a->work.bad = TS_OK;
    return s;
}

ts_status ts_automaton_byte(ts_automaton *a, ts_place_id *place, uint8_t byte, ts_err *err) {
    a->work.fuel = STEP_FUEL;
    const ts_place_id to = ts_machine_next(&a->machine, *place, byte);
    TS_TRY(ts_automaton_status(a, err));
    *place = to;
    return TS_OK;
}

ts_status ts_automaton_control(ts_automaton *a, ts_place_id *place, ts_token id, ts_err *err) {
    a->work.fuel = STEP_FUEL;
    const ts_place_id to = ts_machine_token(&a->machine, *place, id);
    TS_TRY(ts_automaton_status(a, err));
    *place = to;
    return TS_OK;
}

bool ts_automaton_accepts(const ts_automaton *a, ts_place_id place) {
    return ts_machine_accepts(&a->machine, place);
}

ts_automaton_size ts_automaton_get_size(const ts_automaton *a) {
    return (ts_automaton_size){.states = a->dfa.n, .cells = a->machine.n, .places = a->machine.n_places,
                               .rules = a->ir.n_rules};
}
