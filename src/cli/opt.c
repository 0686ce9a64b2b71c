#include "cli/opt.h"

#include "base/printable.h"
#include "cli/help.h"

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
    fprintf(stderr, "tessera %s: %s (see tessera %s --help)\n", cmd->name, shown, cmd->name);
    return CLI_USAGE;
}

int cli_fail(const ts_err *err) {
    char shown[LINE];
    ts_printable(shown, sizeof shown, err->msg, strlen(err->msg));
    fprintf(stderr, "tessera: %s\n", shown);
    return err->code == TS_E_INVAL ? CLI_USAGE : CLI_FAIL;
}

bool cli_opt_is_end(const cli_opt *o) {
    return o->kind == CLI_GROUP && !o->help;
}

ts_status cli_opt_set(const cli_opt *o, const char *shown, const char *value, ts_err *err) {
    char *end;
    errno = 0;
    switch (o->kind) {
    case CLI_GROUP: break;
    case CLI_FLAG: *(bool *)o->out = strncmp(o->name, "no-", 3) != 0; break;
    case CLI_STR: *(const char **)o->out = value; break;
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
        if (!*value || *end || !isfinite(v)) return ts_fail(err, TS_E_INVAL, "%s: \"%s\" is not a number", shown, value);
        if (v < o->min || v > o->max)
            return ts_fail(err, TS_E_INVAL, "%s: %s is outside %g to %g", shown, value, o->min, o->max);
        *(double *)o->out = v;
        break;
    }
    case CLI_LIST: {
        cli_list *l = o->out;
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

const cli_opt *cli_opt_find(const cli_opt *opts, const char *name, size_t len) {
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->name && o->kind != CLI_GROUP && strlen(o->name) == len && !memcmp(o->name, name, len)) return o;
    return NULL;
}

static const cli_opt *find_letter(const cli_opt *opts, char letter) {
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->letter && o->letter == letter && o->kind != CLI_GROUP) return o;
    return NULL;
}

int cli_parse(const cli_command *cmd, const cli_opt *opts, int argc, char **argv, cli_list *rest) {
    const cli_opt positional = {.kind = CLI_LIST, .name = "argument", .out = rest};
    bool only_positional = false;
    for (int i = 1; i < argc; i++) {
        char *a = argv[i], *value = NULL, shown[80];
        if (only_positional || a[0] != '-' || !a[1]) {
            int e = store(cmd, &positional, "argument", a);
            if (e) return e;
            continue;
        }
        if (!strcmp(a, "--")) {
            only_positional = true;
            continue;
        }
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            cli_help(cmd, opts);
            return -1;
        }
        if (!strcmp(a, "--help-roff")) {
            cli_help_roff(cmd, opts);
            return -1;
        }
        const cli_opt *o;
        if (a[1] == '-') {
            value = strchr(a, '=');
            size_t len = value ? (size_t)(value - a - 2) : strlen(a + 2);
            o = cli_opt_find(opts, a + 2, len);
            snprintf(shown, sizeof shown, "--%.*s", (int)(len > 70 ? 70 : len), a + 2);
            if (value) value++;
        } else {
            o = find_letter(opts, a[1]);
            snprintf(shown, sizeof shown, "-%c", a[1]);
            if (a[2]) value = a + 2;
        }
        if (!o) return cli_usage_error(cmd, "unknown option %s", shown);
        if (o->kind == CLI_FLAG) {
            if (value) return cli_usage_error(cmd, "%s takes no value", shown);
        } else if (!value) {
            if (++i >= argc) return cli_usage_error(cmd, "%s needs a value: %s", shown, o->arg);
            value = argv[i];
        }
        int e = store(cmd, o, shown, value);
        if (e) return e;
    }
    return CLI_OK;
}
