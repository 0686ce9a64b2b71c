#include "cli/opt.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_usage_error(const cli_command *cmd, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "tessera %s: ", cmd->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, " (see tessera %s --help)\n", cmd->name);
    va_end(ap);
    return CLI_USAGE;
}

int cli_fail(const ts_err *err) {
    fprintf(stderr, "tessera: %s\n", err->msg);
    return err->code == TS_E_INVAL ? CLI_USAGE : CLI_FAIL;
}

static bool is_end(const cli_opt *o) {
    return o->kind == CLI_GROUP && !o->help;
}

void cli_help(const cli_command *cmd, const cli_opt *opts) {
    printf("Usage: tessera %s [options]%s%s\n\n%s.\n", cmd->name, *cmd->args ? " " : "", cmd->args, cmd->summary);
    if (cmd->text) printf("\n%s\n", cmd->text);
    bool headed = false;
    for (const cli_opt *o = opts; !is_end(o); o++) {
        if (o->kind == CLI_GROUP) {
            printf("\n%s:\n", o->help);
            headed = true;
            continue;
        }
        if (!headed) printf("\nOptions:\n");
        headed = true;
        char left[64], letter[5] = "    ";
        if (o->letter) snprintf(letter, sizeof letter, "-%c%s ", o->letter, o->name ? "," : " ");
        snprintf(left, sizeof left, "  %s%s%s%s%s", letter, o->name ? "--" : "", o->name ? o->name : "",
                 o->arg ? " " : "", o->arg ? o->arg : "");
        /* the help text may hold line breaks; each line is indented to the column */
        const char *h = o->help;
        printf("%-30s ", left);
        if (strlen(left) > 30) printf("\n%31s", "");
        for (; *h; h++) {
            putchar(*h);
            if (*h == '\n') printf("%31s", "");
        }
        putchar('\n');
    }
    printf("%s      --help                   this text\n", headed ? "" : "\nOptions:\n");
}

static int store(const cli_command *cmd, const cli_opt *o, const char *shown, const char *value) {
    char *end;
    errno = 0;
    switch (o->kind) {
    case CLI_GROUP: break;
    case CLI_FLAG: *(bool *)o->out = strncmp(o->name, "no-", 3) != 0; break;
    case CLI_STR: *(const char **)o->out = value; break;
    case CLI_INT: {
        long v = strtol(value, &end, 0);
        if (!*value || *end || errno) return cli_usage_error(cmd, "%s: \"%s\" is not a whole number", shown, value);
        if ((double)v < o->min || (double)v > o->max)
            return cli_usage_error(cmd, "%s: %ld is outside %.0f to %.0f", shown, v, o->min, o->max);
        *(long *)o->out = v;
        break;
    }
    case CLI_REAL: {
        double v = strtod(value, &end);
        if (!*value || *end || !isfinite(v)) return cli_usage_error(cmd, "%s: \"%s\" is not a number", shown, value);
        if (v < o->min || v > o->max)
            return cli_usage_error(cmd, "%s: %s is outside %g to %g", shown, value, o->min, o->max);
        *(double *)o->out = v;
        break;
    }
    case CLI_LIST: {
        cli_list *l = o->out;
        if (!ts_grow((void **)&l->item, &l->cap, l->n + 1, sizeof *l->item)) {
            fprintf(stderr, "tessera: out of memory\n");
            return CLI_FAIL;
        }
        l->item[l->n++] = value;
        break;
    }
    }
    return CLI_OK;
}

static const cli_opt *find_long(const cli_opt *opts, const char *name, size_t len) {
    for (const cli_opt *o = opts; !is_end(o); o++)
        if (o->name && o->kind != CLI_GROUP && strlen(o->name) == len && !memcmp(o->name, name, len)) return o;
    return NULL;
}

static const cli_opt *find_letter(const cli_opt *opts, char letter) {
    for (const cli_opt *o = opts; !is_end(o); o++)
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
        const cli_opt *o;
        if (a[1] == '-') {
            value = strchr(a, '=');
            size_t len = value ? (size_t)(value - a - 2) : strlen(a + 2);
            o = find_long(opts, a + 2, len);
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
