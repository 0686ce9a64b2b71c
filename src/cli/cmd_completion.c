/* cmd_completion.c - tessera completion: what a shell must know to complete a command line, made from the option
 * tables. */
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/nearest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- what the shells have in common ------------------------------------------------------------------------------ */

/* The last word of a command's name: "npu asm" is typed as two. */
static const char *last_word(const cli_command *c) {
    const char *blank = strrchr(c->name, ' ');
    return blank ? blank + 1 : c->name;
}

/* Text within single quotes; `also` are characters that the shell's completion wants escaped by a backslash. */
static void put_quoted(const char *s, const char *also) {
    for (; *s; s++)
        if (*s == '\'') printf("'\\''");
        else if (strchr(also, *s)) printf("\\%c", *s);
        else putchar(*s == '\n' ? ' ' : *s);
}

/* All names of an option with their dashes, one after the other; false at the end. */
typedef struct names {
    const cli_opt *o;
    int step;
    const char *also;
    char name[64];
} names;

static bool next(names *n) {
    for (;;) {
        int step = n->step++;
        if (step == 0 && n->o->letter) return snprintf(n->name, sizeof n->name, "-%c", n->o->letter) > 0;
        if (step == 1 && n->o->name) return snprintf(n->name, sizeof n->name, "--%s", n->o->name) > 0;
        if (step == 2) n->also = n->o->also;
        if (step < 2) continue;
        if (!n->also || !*n->also) return false;
        size_t len = strcspn(n->also, " ");
        snprintf(n->name, sizeof n->name, "%.*s", (int)len, n->also);
        n->also += len + strspn(n->also + len, " ");
        return true;
    }
}

static const cli_opt HELP = {.kind = CLI_FLAG, .letter = 'h', .name = "help", .help = "this text"};

/* Words of a list of values, without "...". */
static void put_values(const char *values) {
    size_t len = strlen(values);
    if (len >= 4 && !strcmp(values + len - 4, " ...")) len -= 4;
    printf("%.*s", (int)len, values);
}

/* ---- bash -------------------------------------------------------------------------------------------------------- */

static void bash_values(const char *values) {
    if (!values) printf("kind=none");
    else if (*values == '@') printf("kind=%s", values + 1);
    else printf("words='"), put_values(values), printf("'");
}

static void bash_command(void *ud, const cli_command *c, const cli_opt *opts) {
    (void)ud;
    printf("    '%s')\n        options='-h --help", c->name);
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        for (names n = {.o = o}; o->kind != CLI_GROUP && next(&n);) printf(" %s", n.name);
    printf("'\n        case $before in\n");
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++) {
        if (o->kind == CLI_GROUP || !o->arg) continue;
        const char *bar = "        ";
        for (names n = {.o = o}; next(&n); bar = "|") printf("%s%s", bar, n.name);
        printf(") "), bash_values(o->values), printf(" ;;\n");
    }
    printf("        *) ");
    if (c->files) bash_values(c->files);
    else printf("kind=none");
    printf("; plain=1 ;;\n        esac ;;\n");
}

static void bash_list(const char *name, const cli_command *const *list) {
    printf("    '%s')\n        words='", name);
    for (const cli_command *const *c = list; *c; c++) printf("%s%s", c == list ? "" : " ", last_word(*c));
    printf(*name ? "'; options='-h --help' ;;\n" : " help version'; options='--help --version' ;;\n");
}

static void bash(void) {
    printf("# Completion of tessera for bash, made by tessera completion bash.\n"
           "_tessera() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= options= words= kind= "
           "plain= i\n"
           "    # --name=value comes as three words\n"
           "    if [[ $cur == = ]]; then cur=\n"
           "    elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        [[ ${COMP_WORDS[i]} == -* ]] && break\n"
           "        [[ -z $command && ${COMP_WORDS[i]} == help ]] && continue\n"
           "        command+=${command:+ }${COMP_WORDS[i]}\n"
           "        case $command in ");
    const char *bar = "";
    for (const cli_command *const *c = cli_commands; *c; c++)
        if ((*c)->parts) printf("%s%s", bar, (*c)->name), bar = "|";
    printf(") ;; *) break ;; esac\n"
           "    done\n"
           "    case $command in\n");
    bash_list("", cli_commands);
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if ((*c)->parts) bash_list((*c)->name, (*c)->parts);
        for (const cli_command *const *p = (*c)->parts; p && *p; p++) cli_options_of(*p, bash_command, NULL);
        if (!(*c)->parts) cli_options_of(*c, bash_command, NULL);
    }
    printf(
        "    esac\n"
        "    local IFS=$'\\n'\n"
        "    COMPREPLY=()\n"
        "    if [[ $cur == -* && ( -n $plain || -z $kind$words || -n $words && -n $options && -z $command ) ]]; then\n"
        "        COMPREPLY=($(IFS=' '; compgen -W \"$options\" -- \"$cur\"))\n"
        "    elif [[ -n $words ]]; then\n"
        "        COMPREPLY=($(IFS=' '; compgen -W \"$words\" -- \"$cur\"))\n"
        "    else\n"
        "        case $kind in\n"
        "        model) COMPREPLY=($(compgen -f -X '!*.[gG][gG][uU][fF]' -- \"$cur\"; compgen -d -- \"$cur\"\n"
        "                            compgen -W \"$(\"${COMP_WORDS[0]}\" list --quiet 2>/dev/null)\" -- \"$cur\")) ;;\n"
        "        file) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
        "        dir) COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n"
        "        esac\n"
        "        compopt -o filenames 2>/dev/null\n"
        "    fi\n"
        "}\n"
        "complete -F _tessera tessera\n");
}

/* ---- zsh --------------------------------------------------------------------------------------------------------- */

static void zsh_values(const char *values) {
    if (!values) return;
    if (!strcmp(values, "@model")) printf("_tessera_models");
    else if (!strcmp(values, "@dir")) printf("_files -/");
    else if (*values == '@') printf("_files");
    else printf("("), put_values(values), printf(")");
}

static void zsh_option(const cli_opt *o) {
    for (names n = {.o = o}; next(&n);) {
        printf("            '%s%s%s[", o->kind == CLI_LIST ? "*" : "", n.name,
               !o->arg            ? ""
               : n.name[1] == '-' ? "="
               : n.name[2]        ? ""
                                  : "+");
        put_quoted(o->help, "[]:\\");
        printf("]");
        if (o->arg) printf(":"), put_quoted(o->arg, ":\\"), printf(":"), zsh_values(o->values);
        printf("' \\\n");
    }
}

static void zsh_command(void *ud, const cli_command *c, const cli_opt *opts) {
    (void)ud;
    printf("        (%s)\n        _arguments \\\n", last_word(c));
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->kind != CLI_GROUP) zsh_option(o);
    zsh_option(&HELP);
    printf("            '*:%s:", c->files ? "file" : "");
    zsh_values(c->files);
    printf("' ;;\n");
}

/* A function that completes the name of a command of the list, then hands over to it. */
static void zsh_list(const char *function, const cli_command *const *list) {
    printf("%s() {\n    local context state line\n    local -a commands=(\n", function);
    for (const cli_command *const *c = list; *c; c++) {
        printf("        '%s:", last_word(*c));
        put_quoted((*c)->summary, ":\\");
        printf("'\n");
    }
    if (list == cli_commands) printf("        'help:tell about a command'\n        'version:print the version'\n");
    printf("    )\n    typeset -A opt_args\n"
           "    _arguments -C '(-)'{-h,--help}'[this text]' '1: :->command' '*:: :->rest'\n"
           "    case $state in\n"
           "    (command) _describe -t commands command commands ;;\n"
           "    (rest)\n        case $words[1] in\n");
    for (const cli_command *const *c = list; *c; c++)
        if ((*c)->parts) printf("        (%s) _tessera_%s ;;\n", last_word(*c), last_word(*c));
        else cli_options_of(*c, zsh_command, NULL);
    if (list == cli_commands) printf("        (help) _describe -t commands command commands ;;\n");
    printf("        esac ;;\n    esac\n}\n\n");
}

static void zsh(void) {
    printf("#compdef tessera\n# Completion of tessera for zsh, made by tessera completion zsh.\n\n"
           "# files, and names of the store\n"
           "_tessera_models() {\n"
           "    local -a names=(${(f)\"$(tessera list --quiet 2>/dev/null)\"})\n"
           "    compadd -a names\n"
           "    _files -g \"*.(gguf|GGUF)\"\n"
           "}\n\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        char function[40];
        snprintf(function, sizeof function, "_tessera_%s", (*c)->name);
        if ((*c)->parts) zsh_list(function, (*c)->parts);
    }
    zsh_list("_tessera", cli_commands);
    printf("if [[ $funcstack[1] == _tessera ]]; then _tessera \"$@\"\n"
           "else compdef _tessera tessera; fi\n");
}

/* ---- fish -------------------------------------------------------------------------------------------------------- */

#define FISH_MODELS "(__fish_complete_suffix .gguf; tessera list --quiet 2>/dev/null)"

static void fish_values(const char *values) {
    if (!values) printf(" -x");
    else if (!strcmp(values, "@model")) printf(" -x -k -a '" FISH_MODELS "'");
    else if (!strcmp(values, "@dir")) printf(" -x -a '(__fish_complete_directories)'");
    else if (*values == '@') printf(" -r -F");
    else printf(" -x -a '"), put_values(values), printf("'");
}

static void fish_condition(const cli_command *c) {
    const char *blank = strchr(c->name, ' ');
    printf("complete -c tessera -n '__tessera_is %.*s", blank ? (int)(blank - c->name) : (int)strlen(c->name), c->name);
    printf(blank ? " %s'" : "'", blank ? blank + 1 : "");
}

static void fish_option(const cli_command *c, const cli_opt *o) {
    fish_condition(c);
    for (names n = {.o = o}; next(&n);)
        if (n.name[1] == '-') printf(" -l %s", n.name + 2);
        else printf(n.name[2] ? " -o %s" : " -s %s", n.name + 1);
    if (o->arg) fish_values(o->values);
    printf(" -d '");
    put_quoted(o->help, "");
    printf("'\n");
}

static void fish_command(void *ud, const cli_command *c, const cli_opt *opts) {
    (void)ud;
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++)
        if (o->kind != CLI_GROUP) fish_option(c, o);
    fish_option(c, &HELP);
    if (!c->files) return;
    fish_condition(c);
    if (!strcmp(c->files, "@model")) printf(" -k -a '" FISH_MODELS "'\n");
    else if (*c->files == '@') printf(" -F\n");
    else printf(" -a '"), put_values(c->files), printf("'\n");
}

static void fish_name(const cli_command *c, const char *after) {
    printf("complete -c tessera -n '__tessera_is%s%s' -a %s -d '", *after ? " " : "", after, last_word(c));
    put_quoted(c->summary, "");
    printf("'\n");
}

static void fish(void) {
    printf(
        "# Completion of tessera for fish, made by tessera completion fish.\n"
        "# Are these the command and its part, the words before the first option? Without words: is there none yet?\n"
        "function __tessera_is\n"
        "    set -l words\n"
        "    for word in (commandline -opc)[2..-1]\n"
        "        string match -q -- '-*' $word; and break\n"
        "        set -a words $word\n"
        "        contains -- $word");
    for (const cli_command *const *c = cli_commands; *c; c++)
        if ((*c)->parts) printf(" %s", (*c)->name);
    printf("; or break\n"
           "    end\n"
           "    test \"$words\" = \"$argv\"\n"
           "end\n"
           "complete -c tessera -f\n");
    for (const cli_command *const *c = cli_commands; *c; c++) fish_name(*c, "");
    printf("complete -c tessera -n __tessera_is -a help -d 'tell about a command'\n"
           "complete -c tessera -n __tessera_is -a version -d 'print the version'\n"
           "complete -c tessera -n __tessera_is -s h -l help -d 'this text'\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        for (const cli_command *const *p = (*c)->parts; p && *p; p++) {
            fish_name(*p, (*c)->name);
            cli_options_of(*p, fish_command, NULL);
        }
        if (!(*c)->parts) cli_options_of(*c, fish_command, NULL);
    }
    printf("complete -c tessera -n '__tessera_is help' -a '");
    for (const cli_command *const *c = cli_commands; *c; c++) printf("%s%s", c == cli_commands ? "" : " ", (*c)->name);
    printf("'\n");
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int run(const cli_command *cmd, int argc, char **argv) {
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    const cli_opt opts[] = {{0}};
    cli_list rest = {0};
    int code = cli_parse(cmd, opts, argc, argv, &rest);
    if (code == CLI_OK && rest.n != 1) code = cli_usage_error(cmd, "which shell? Give bash, zsh or fish");
    const char *name = code == CLI_OK ? rest.item[0] : "";
    ts_free(rest.item);
    if (code) return code == -1 ? CLI_OK : code;
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(name, shells[i].name)) {
            shells[i].print();
            return CLI_OK;
        }
    return cli_usage_error(cmd, "there is no completion for \"%s\"; known: bash, zsh, fish", name);
}

const cli_command cmd_completion = {
    .name = "completion",
    .args = "SHELL",
    .summary = "print completion for bash, zsh or fish",
    .text = "Installed with the program (ninja install). To try it from the build folder:\n"
            "\n"
            "  eval \"$(tessera completion bash)\"         in ~/.bashrc\n"
            "  source <(tessera completion zsh)          in ~/.zshrc, after compinit\n"
            "  tessera completion fish | source          in ~/.config/fish/config.fish\n"
            "\n"
            "Completes commands, options, values that are known by name, and files: *.gguf and the names of tessera "
            "list where a model is wanted.",
    .run = run,
    .files = "bash zsh fish",
};
