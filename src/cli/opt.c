#include "cli/opt.h"

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/foreign.h"
#include "cli/help.h"
#include "cli/nearest.h"
#include "cli/term.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 1000 }; /* a message; what is longer is cut */

int cli_usage_error(const cli_command *cmd, const char *fmt, ...) {
    char raw[LINE], shown[LINE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    ts_printable(shown, sizeof shown, raw, strlen(raw));
    char line[LINE + 100];
    snprintf(line, sizeof line, "tessera %s: %s (see tessera %s --help)", cmd->name, shown, cmd->name);
    cli_term_print(stderr, line, false);
    return CLI_USAGE;
}

int cli_fail(const ts_err *err) {
    char shown[LINE];
    ts_printable(shown, sizeof shown, err->msg, strlen(err->msg));
    char line[LINE + 100];
    snprintf(line, sizeof line, "tessera: %s", shown);
    cli_term_print(stderr, line, false);
    return err->code == TS_E_INVAL ? CLI_USAGE : CLI_FAIL;
}

bool cli_opt_is_end(const cli_opt *o) {
    return o->kind == CLI_GROUP && !o->help;
}

static bool is_flag(const cli_opt *o) {
    return o->kind == CLI_FLAG || o->kind == CLI_FLAG_OFF;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The next name of a list with blanks between, without its dashes; NULL at the end. */
static const char *next_name(const char **list, size_t *len) {
    if (!*list) return NULL;
    const char *name = *list + strspn(*list, " -");
    *len = strcspn(name, " ");
    *list = name + *len;
    return *len ? name : NULL;
}

static bool same_name(const char *a, size_t a_len, const char *b, size_t b_len) {
    if (a_len != b_len) return false;
    for (size_t i = 0; i < a_len; i++)
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i])) return false;
    return true;
}

const cli_opt *cli_opt_find(const cli_opt *opts, const char *name, size_t len) {
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++) {
        if (o->kind == CLI_GROUP) continue;
        if (o->name && same_name(o->name, strlen(o->name), name, len)) return o;
        const char *list = o->also;
        size_t n;
        for (const char *other; (other = next_name(&list, &n));)
            if (same_name(other, n, name, len)) return o;
    }
    return NULL;
}

const char *cli_opt_nearest(const cli_opt *opts, const char *name, size_t len) {
    cli_nearest near = {.word = name, .len = len};
    const char *found = NULL;
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++) {
        if (o->kind == CLI_GROUP || !o->name) continue;
        cli_nearest before = near;
        cli_nearest_offer(&near, o->name, strlen(o->name));
        const char *list = o->also;
        size_t n;
        for (const char *other; (other = next_name(&list, &n));) cli_nearest_offer(&near, other, n);
        if (near.found != before.found) found = o->name;
    }
    return found;
}

static const cli_opt *find_letter(const cli_opt *opts, char letter) {
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->letter && o->letter == letter && o->kind != CLI_GROUP) return o;
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* A word that is none of those in the table: what is known, and what was probably meant. */
static ts_status unknown_value(const cli_opt *o, const char *shown, const char *value, ts_err *err) {
    const char *say = o->name ? cli_foreign_value(o->name, value) : NULL, *list = o->values, *word;
    cli_nearest near = {.word = value, .len = strlen(value)};
    char known[300] = "";
    size_t n, used = 0;
    while ((word = next_name(&list, &n))) {
        cli_nearest_offer(&near, word, n);
        if (used < sizeof known - 1)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%.*s", used ? ", " : "", (int)n, word);
    }
    if (say) return ts_fail(err, TS_E_INVAL, "%s: \"%s\" is not known here: %s; known: %s", shown, value, say, known);
    if (near.found)
        return ts_fail(err, TS_E_INVAL, "%s: \"%s\" is not known; did you mean %.*s? Known: %s", shown, value,
                       (int)near.found_len, near.found, known);
    return ts_fail(err, TS_E_INVAL, "%s: \"%s\" is not known; known: %s", shown, value, known);
}

static bool is_known_value(const cli_opt *o, const char *value) {
    if (!o->values || *o->values == '@') return true;
    const char *list = o->values, *word;
    size_t n, len = o->behind ? strcspn(value, o->behind) : strlen(value);
    while ((word = next_name(&list, &n)))
        if ((n == len && !memcmp(word, value, n)) || (n == 3 && !memcmp(word, "...", 3))) return true;
    return false;
}

ts_status cli_opt_set(const cli_opt *o, const char *shown, const char *value, ts_err *err) {
    char *end;
    errno = 0;
    switch (o->kind) {
    case CLI_GROUP: break;
    case CLI_FLAG: *(bool *)o->out = true; break;
    case CLI_FLAG_OFF: *(bool *)o->out = false; break;
    case CLI_STR:
        if (!is_known_value(o, value)) return unknown_value(o, shown, value, err);
        *(const char **)o->out = value;
        break;
    case CLI_INT: {
        long v = strtol(value, &end, 0);
        if (!*value || *end || (errno && errno != ERANGE))
            return ts_fail(err, TS_E_INVAL, "%s: \"%s\" is not a whole number", shown, value);
        if (errno || (double)v < o->min || (double)v > o->max)
            return ts_fail(err, TS_E_INVAL, "%s: %s is outside %.0f to %.0f", shown, value, o->min, o->max);
        *(long *)o->out = v;
        break;
    }
    case CLI_REAL: {
        double v = strtod(value, &end);
        if (!*value || *end || !isfinite(v))
            return ts_fail(err, TS_E_INVAL, "%s: \"%s\" is not a number", shown, value);
        if (v < o->min || v > o->max)
            return ts_fail(err, TS_E_INVAL, "%s: %s is outside %g to %g", shown, value, o->min, o->max);
        *(double *)o->out = v;
        break;
    }
    case CLI_LIST: {
        cli_list *l = o->out;
        /* a plain argument has no arg */
        if (!*value && o->arg) return ts_fail(err, TS_E_INVAL, "%s needs a value: %s", shown, o->arg);
        if (!ts_grow((void **)&l->item, &l->cap, l->n + 1, sizeof *l->item))
            return ts_fail_nomem(err, shown, (l->n + 1) * sizeof *l->item);
        l->item[l->n++] = value;
        break;
    }
    }
    return TS_OK;
}

static int store(const cli_command *cmd, const cli_opt *o, const char *shown, const char *value) {
    ts_err err;
    ts_status s = cli_opt_set(o, shown, value, &err);
    if (s == TS_OK) return CLI_OK;
    return s == TS_E_INVAL ? cli_usage_error(cmd, "%s", err.msg) : cli_fail(&err);
}

/* ---- tables of other commands ------------------------------------------------------------------------------------ */

static struct {
    cli_see *see;
    void *ud;
} viewer; /* set while cli_options_of runs a command for its table alone */

void cli_options_of(const cli_command *cmd, cli_see *see, void *ud) {
    char name[32], *argv[] = {name, NULL};
    snprintf(name, sizeof name, "%s", cmd->name);
    viewer.see = see, viewer.ud = ud;
    cmd->run(cmd, 1, argv);
    viewer.see = NULL;
}

struct owners { /* which commands have an option, in words */
    const char *name;
    size_t len;
    bool is_long;
    char list[100];
};

static void see_owner(void *ud, const cli_command *cmd, const cli_opt *opts) {
    struct owners *w = ud;
    const cli_opt *o = w->is_long ? cli_opt_find(opts, w->name, w->len) : find_letter(opts, *w->name);
    size_t used = strlen(w->list);
    if (o) snprintf(w->list + used, sizeof w->list - used, "%s%s", used ? ", " : "", cmd->name);
}

static void find_owners(const cli_command *const *list, struct owners *w) {
    for (; *list; list++)
        if ((*list)->parts) find_owners((*list)->parts, w);
        else cli_options_of(*list, see_owner, w);
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

/* An argument that begins with a dash, taken apart. */
struct typed {
    const char *name; /* without dashes */
    size_t len;
    bool is_long;      /* two dashes, or more than one letter */
    const char *value; /* behind "=" or close to the letter; NULL: none */
    char shown[80];    /* what a message calls it */
};

static bool begins_number(const char *s) {
    s += *s == '-' || *s == '+';
    s += *s == '.';
    return *s >= '0' && *s <= '9';
}

static const cli_opt *find_typed(const cli_opt *opts, const char *arg, struct typed *t) {
    t->name = arg + (arg[1] == '-' ? 2 : 1);
    t->len = strcspn(t->name, "=");
    t->is_long = arg[1] == '-' || t->len != 1;
    t->value = t->name[t->len] ? t->name + t->len + 1 : NULL;
    snprintf(t->shown, sizeof t->shown, "%.*s", (int)(t->name - arg + (ptrdiff_t)t->len), arg);
    const cli_opt *o = t->is_long ? cli_opt_find(opts, t->name, t->len) : find_letter(opts, *t->name);
    if (o || arg[1] == '-' || !begins_number(t->name + 1) || !(o = find_letter(opts, *t->name))) return o;
    t->value = t->name + 1; /* -n5 */
    snprintf(t->shown, sizeof t->shown, "-%c", *t->name);
    return o;
}

static int unknown_option(const cli_command *cmd, const cli_opt *opts, const struct typed *t) {
    size_t bare = t->len; /* -ngl99 */
    while (bare > 1 && t->name[bare - 1] >= '0' && t->name[bare - 1] <= '9') bare--;
    const char *say = cli_foreign_option(t->name, t->len);
    if (!say) say = cli_foreign_option(t->name, bare);
    if (say) return cli_usage_error(cmd, "unknown option %s: %s", t->shown, say);
    struct owners w = {.name = t->name, .len = t->len, .is_long = t->is_long};
    if (t->len) find_owners(cli_commands, &w);
    const char *near = cli_opt_nearest(opts, t->name, t->len);
    if (near && cli_distance(near, strlen(near), t->name, t->len) <= 1) *w.list = 0;
    if (*w.list) return cli_usage_error(cmd, "unknown option %s; it is one of %s", t->shown, w.list);
    if (near) return cli_usage_error(cmd, "unknown option %s; did you mean --%s?", t->shown, near);
    const cli_opt *o = t->is_long ? find_letter(opts, *t->name) : NULL;
    if (o && !is_flag(o) && t->shown[1] != '-')
        return cli_usage_error(cmd, "unknown option %s; a value stands apart: -%c %s", t->shown, *t->name,
                               t->shown + 2);
    return cli_usage_error(cmd, "unknown option %s", t->shown);
}

int cli_parse(const cli_command *cmd, const cli_opt *opts, int argc, char **argv, cli_list *rest) {
    const cli_opt positional = {.kind = CLI_LIST, .name = "argument", .out = rest};
    bool only_positional = false;
    if (viewer.see) {
        viewer.see(viewer.ud, cmd, opts);
        return -1;
    }
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (only_positional || a[0] != '-' || !a[1]) {
            int e = store(cmd, &positional, "argument", a);
            if (e) return e;
            continue;
        }
        if (!strcmp(a, "--")) {
            only_positional = true;
            continue;
        }
        struct typed t;
        const cli_opt *o = find_typed(opts, a, &t);
        if (!o && (!strcmp(a, "-h") || !strcmp(a, "--help") || !strcmp(a, "-help") || !strcmp(a, "--usage") ||
                   !strcmp(a, "-?"))) {
            cli_help(cmd, opts);
            return -1;
        }
        if (!o && !strcmp(a, "--version")) {
            printf("tessera %s\n", TESSERA_VERSION);
            return -1;
        }
        if (!o) return unknown_option(cmd, opts, &t);
        if (is_flag(o)) {
            if (t.value) return cli_usage_error(cmd, "%s takes no value", t.shown);
        } else if (!t.value) {
            if (++i >= argc) return cli_usage_error(cmd, "%s needs a value: %s", t.shown, o->arg);
            t.value = argv[i];
        }
        int e = store(cmd, o, t.shown, t.value);
        if (e) return e;
    }
    return CLI_OK;
}
