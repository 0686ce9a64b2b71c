/* The option table: parsing, ranges, messages; the tables of all commands; words that are near to known ones. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "cli/commands.h"
#include "cli/common.h"
#include "cli/foreign.h"
#include "cli/nearest.h"
#include "text/chat.h"

typedef struct values {
    bool flag, on, no_off;
    const char *text, *word;
    long number;
    double real;
    cli_list list, rest;
} values;

static const cli_command command = {.name = "test", .args = "", .summary = "test"};

/* Parses a command line of words; the code of cli_parse. Messages go to standard error: the log of the test. */
static int parse(values *v, int n, const char *const *word) {
    *v = (values){.on = true, .number = -7, .real = -7};
    const cli_opt opts[] = {
        {CLI_GROUP, 0, NULL, NULL, NULL, 0, 0, "Heading"},
        {CLI_FLAG, 'q', "quiet", NULL, &v->flag, 0, 0, "flag"},
        {CLI_FLAG_OFF, 0, "no-on", NULL, &v->on, 0, 0, "flag"},
        {CLI_FLAG, 0, "no-off", NULL, &v->no_off, 0, 0, "flag"},
        {CLI_STR, 'p', "prompt", "TEXT", &v->text, 0, 0, "text", .also = "-sys --the-text"},
        {CLI_INT, 'n', "number", "N", &v->number, -1, 100, "number", .also = "--top-number"},
        {CLI_STR, 0, "word", "WORD", &v->word, 0, 0, "word", .values = "one two three"},
        {CLI_REAL, 0, "real", "X", &v->real, 0, 1, "real"},
        {CLI_LIST, 0, "list", "X", &v->list, 0, 0, "list"},
        {0},
    };
    char *argv[16] = {(char *)"test"};
    for (int i = 0; i < n; i++) argv[i + 1] = (char *)(uintptr_t)word[i];
    return cli_parse(&command, opts, n + 1, argv, &v->rest);
}

static void release(values *v) {
    ts_free(v->list.item);
    ts_free(v->rest.item);
}

#define PARSE(v, ...) \
    parse(v, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]){__VA_ARGS__})

static void test_forms(void **state) {
    (void)state;
    values v;
    assert_int_equal(PARSE(&v, "-q", "--no-on", "--no-off", "-p", "a", "--number=12", "--real", "0.5", "x", "-", "--",
                           "-y"),
                     CLI_OK);
    assert_true(v.flag && !v.on && v.no_off); /* a flag stores true, whatever it is called */
    assert_string_equal(v.text, "a");
    assert_int_equal(v.number, 12);
    assert_true(v.real == 0.5);
    assert_int_equal(v.rest.n, 3);
    assert_string_equal(v.rest.item[1], "-");
    assert_string_equal(v.rest.item[2], "-y");
    release(&v);
    assert_int_equal(PARSE(&v, "-p=abc", "-n-1", "--prompt=", "--list", "1", "--list=2"), CLI_OK);
    assert_string_equal(v.text, ""); /* the last one counts */
    assert_int_equal(v.number, -1);
    assert_int_equal(v.list.n, 2);
    assert_string_equal(v.list.item[1], "2");
    release(&v);
    assert_int_equal(PARSE(&v, "-n", "0x10", "-p", "-q"), CLI_OK); /* a value may look like an option */
    assert_int_equal(v.number, 16);
    assert_string_equal(v.text, "-q");
    assert_false(v.flag);
    release(&v);
}

/* Names of several letters are taken whole, with one dash as with two, and an underscore is a dash. */
static void test_names(void **state) {
    (void)state;
    static const char *const forms[][2] = {
        {"-sys", "x"},    {"--sys", "x"},     {"-sys=x"},       {"--the-text", "x"},
        {"--the_text=x"}, {"-the_text", "x"}, {"-prompt", "x"}, {"-p=x"},
    };
    values v;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        assert_int_equal(parse(&v, forms[i][1] ? 2 : 1, forms[i]), CLI_OK);
        assert_string_equal(v.text, "x");
        assert_int_equal(v.rest.n, 0);
        release(&v);
    }
    static const char *const numbers[][2] = {{"-n5"},      {"-n=5"}, {"-n", "5"}, {"-n+5"}, {"--top_number", "5"},
                                             {"-number=5"}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(parse(&v, numbers[i][1] ? 2 : 1, numbers[i]), CLI_OK);
        assert_int_equal(v.number, 5);
        release(&v);
    }
    assert_int_equal(PARSE(&v, "-p1,2", "--word", "two"), CLI_OK);
    assert_string_equal(v.text, "1,2");
    assert_string_equal(v.word, "two");
    release(&v);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[][3] = {
        {"--prom"}, {"-x"}, {"--"}, {"-n"}, {"-n", "abc"}, {"-n", ""}, {"-n", "1x"}, {"-n", "101"}, {"-n", "-2"},
        {"--number=1e3"}, {"-n", "99999999999999999999"}, {"--real", "nan"}, {"--real", "inf"}, {"--real", "1.5"},
        {"--real", "x"}, {"--quiet=1"}, {"-q1"}, {"--Heading"}, {"---quiet"}, {"--\033[31m"}, {"-pabc"},
        {"-ngl", "99"}, {"-nabc"}, {"--syst"}, {"-q5"}, {"--n", "5"}, {"-=5"}, {"--=5"}, {"--word", "four"},
        {"--word", "on"}, {"--word", ""}, {"-n5x"}, {"-fa", "on"}, {"--no-on=1"}, {"-N", "5"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        values v;
        int n = 0;
        while (n < 3 && bad[i][n]) n++;
        int expected = !strcmp(bad[i][0], "--") ? CLI_OK : CLI_USAGE;
        if (parse(&v, n, bad[i]) != expected) fail_msg("%s %s", bad[i][0], n > 1 ? bad[i][1] : "");
        assert_true(v.number == -7 && v.real == -7 && !v.flag);
        release(&v);
    }
}

static void test_set(void **state) {
    (void)state;
    long n = 5;
    const cli_opt opts[] = {{CLI_INT, 0, "top-k", "N", &n, 0, 10, "help"}, {0}};
    ts_err err;
    assert_null(cli_opt_find(opts, "top", 3));
    assert_ptr_equal(cli_opt_find(opts, "top-k=3", 5), opts);
    assert_ok(cli_opt_set(opts, "top-k", "7", &err));
    assert_int_equal(n, 7);
    assert_status(cli_opt_set(opts, "top-k", "11", &err), TS_E_INVAL);
    assert_string_equal(err.msg, "top-k: 11 is outside 0 to 10");
    assert_int_equal(n, 7);
}

static void test_message(void **state) {
    (void)state;
    const char *word;
    ts_err err;
    const cli_opt o = {CLI_STR, 0, "word", "W", &word, 0, 0, "word", .values = "one two three"};
    assert_status(cli_opt_set(&o, "-w", "tow", &err), TS_E_INVAL);
    assert_string_equal(err.msg, "-w: \"tow\" is not known; did you mean two? Known: one, two, three");
    assert_status(cli_opt_set(&o, "-w", "seven", &err), TS_E_INVAL);
    assert_string_equal(err.msg, "-w: \"seven\" is not known; known: one, two, three");
    const cli_opt open = {CLI_STR, 0, "word", "W", &word, 0, 0, "word", .values = "one ..."},
                  file = {CLI_STR, 0, "f", "F", &word, 0, 0, "f", .values = "@file"};
    assert_ok(cli_opt_set(&open, "-w", "seven", &err));
    assert_ok(cli_opt_set(&file, "-f", "seven", &err));
}

static size_t distance(const char *a, const char *b) {
    return cli_distance(a, strlen(a), b, strlen(b));
}

static void test_distance(void **state) {
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("tmep", "temp"), 1); /* neighbours swapped */
    assert_int_equal(distance("ca", "abc"), 3);    /* what was swapped is not edited again */
    assert_int_equal(distance("TOP_K", "top-k"), 0);
    assert_int_equal(distance("flaw", "lawn"), 2);
    char long_word[65];
    memset(long_word, 'a', 64), long_word[64] = 0;
    assert_true(distance(long_word, "a") == SIZE_MAX);
    long_word[63] = 0;
    assert_int_equal(distance(long_word, ""), 63);
    assert_int_equal(distance(long_word, long_word), 0);
}

static void test_nearest(void **state) {
    (void)state;
    static const char *const known[] = {"temp", "top-k", "top-p", "threads", "kv", "chat-template", "n"};
    static const struct {
        const char *typed, *meant;
    } pairs[] = {{"tmep", "temp"}, {"tmp", "temp"}, {"top_q", "top-k"},        {"thread", "threads"},
                 {"kw", NULL},     {"kvs", "kv"},   {"chat", "chat-template"}, {"hat-tmplate", "chat-template"},
                 {"x", NULL},      {"", NULL},      {"frobnicate", NULL},      {"thr", "threads"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        cli_nearest near = {.word = pairs[i].typed, .len = strlen(pairs[i].typed)};
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) cli_nearest_offer(&near, known[k], strlen(known[k]));
        if (!pairs[i].meant != !near.found || (near.found && strcmp(near.found, pairs[i].meant) != 0))
            fail_msg("%s: %s, not %s", pairs[i].typed, near.found ? near.found : "nothing",
                     pairs[i].meant ? pairs[i].meant : "nothing");
    }
}

/* ---- the tables of all commands ---------------------------------------------------------------------------------- */

struct seen {
    size_t commands, options;
};

/* No name and no letter stands for two options of a command, each can be found by all its names, and what is not an
 * option of Tessera's own is not promised to be one: a foreign name that a table has is only there for the other
 * commands. */
static void see(void *ud, const cli_command *cmd, const cli_opt *opts) {
    struct seen *s = ud;
    s->commands++;
    for (const cli_opt *o = opts; !cli_opt_is_end(o); o++) {
        if (o->kind == CLI_GROUP) continue;
        s->options++;
        assert_non_null(o->out);
        assert_true((o->kind == CLI_FLAG || o->kind == CLI_FLAG_OFF) == !o->arg);
        if (o->kind == CLI_FLAG_OFF) assert_memory_equal(o->name, "no-", 3);
        if (cli_opt_find(opts, o->name, strlen(o->name)) != o) fail_msg("%s has --%s twice", cmd->name, o->name);
        for (const cli_opt *other = opts; other != o; other++)
            if (o->letter && other->letter == o->letter) fail_msg("%s has -%c twice", cmd->name, o->letter);
        assert_true(o->letter != 'h');
        for (const char *p = o->also; p && *p;) {
            assert_int_equal(*p, '-');
            p += strspn(p, "-");
            size_t n = strcspn(p, " ");
            if (cli_opt_find(opts, p, n) != o) fail_msg("%s has --%.*s twice", cmd->name, (int)n, p);
            /* -np is bench's; to the other commands it is foreign, and asked for there */
            if (cli_foreign_option(p, n) && !(n == 2 && !memcmp(p, "np", 2)))
                fail_msg("%s: --%.*s is called foreign", cmd->name, (int)n, p);
            p += n + strspn(p + n, " ");
        }
    }
}

static void test_tables(void **state) {
    (void)state;
    struct seen s = {0};
    for (const cli_command *const *c = cli_commands; *c; c++) {
        assert_null(cli_foreign_command((*c)->name));
        if (!(*c)->parts) cli_options_of(*c, see, &s);
        for (const cli_command *const *p = (*c)->parts; p && *p; p++) cli_options_of(*p, see, &s);
    }
    assert_true(s.commands >= 11 && s.options > 80);
}

static void test_foreign(void **state) {
    (void)state;
    assert_non_null(cli_foreign_option("ngl", 3));
    assert_non_null(cli_foreign_option("n_gpu_layers", 12));
    assert_null(cli_foreign_option("ng", 2));
    assert_null(cli_foreign_option("", 0));
    assert_null(cli_foreign_option("ngl gpu-layers", 14));
    assert_non_null(cli_foreign_command("download"));
    assert_null(cli_foreign_command("run"));
    assert_non_null(cli_foreign_value("device", "CUDA"));
    assert_null(cli_foreign_value("device", "npu"));
    assert_null(cli_foreign_value("kv", "cuda"));
}

/* The names that completion and --chat-template's help give are those of text/chat.c, all of them. */
static void test_templates(void **state) {
    (void)state;
    char names[] = CLI_TEMPLATE_NAMES;
    size_t n = 0;
    for (char *p = strtok(names, " "); p; p = strtok(NULL, " "), n++) {
        ts_chat_template t;
        ts_err err;
        assert_ok(ts_chat_find(&t, p, &err));
    }
    assert_int_equal(n, TS_CHAT_TEMPLATES - 1);
}

static bool body(void *ud) {
    (void)ud;
    values v;
    int code = PARSE(&v, "--list", "a", "--list", "b", "c", "d");
    release(&v);
    return code == CLI_OK;
}

static void test_alloc(void **state) {
    (void)state;
    alloc_fail_loop(body, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests_name("opt", tests, NULL, NULL);
}
