/* constrain: verdicts and where texts are rejected, refusals and their places, random texts against a validator of its
 * own, masks against every token by itself, memory that is let go, allocations that fail. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "base/rng.h"
#include "constrain/mask.h"
#include "constrain/sample.h"

#include <jansson.h>

static ts_err err;

static ts_status make(ts_automaton **a, ts_constraint_kind kind, const char *text) {
    const ts_automaton_opts o = {.spec = {.kind = kind, .text = text, .len = strlen(text), .exact = true}};
    return ts_automaton_new(a, &o, &err);
}

enum { ACCEPTED = -1, INCOMPLETE = -2 };

/* Where the text is rejected, or one of the above. */
static long verdict(ts_automaton *a, const char *text) {
    ts_place_id at = ts_automaton_start(a);
    for (size_t i = 0; text[i]; i++) {
        assert_ok(ts_automaton_byte(a, &at, (uint8_t)text[i], &err));
        if (at == TS_PLACE_NONE) return (long)i;
    }
    return ts_automaton_accepts(a, at) ? ACCEPTED : INCOMPLETE;
}

struct row {
    ts_constraint_kind kind;
    const char *text;
    struct {
        const char *text;
        long verdict;
    } check[8];
};

static const struct row rows[] = {
    {TS_CONSTRAIN_REGEX, "a(b|cd){2,3}e?", {{"abb", ACCEPTED}, {"abcdbe", ACCEPTED}, {"ab", INCOMPLETE}, {"abbbb", 4},
                                            {"acx", 2}, {"abbee", 4}}},
    {TS_CONSTRAIN_REGEX, "^a|b$", {{"a", ACCEPTED}, {"b", ACCEPTED}, {"ab", 1}}}, /* whole: nothing around */
    {TS_CONSTRAIN_REGEX, "(^a|b)+", {{"abb", ACCEPTED}, {"ba", 1}, {"aa", 1}}},
    {TS_CONSTRAIN_REGEX, "(a$|b)*", {{"bba", ACCEPTED}, {"", ACCEPTED}, {"ab", 1}}},
    {TS_CONSTRAIN_REGEX, "a^b", {{"", 0}}}, /* never looked at: refused below */
    {TS_CONSTRAIN_REGEX, "[^\\d\\s]+\\u{1F642}", {{"x\xF0\x9F\x99\x82", ACCEPTED}, {"\xF0\x9F\x99", INCOMPLETE},
                                                  {"x1", 1}, {"\xC0", 0}, {"\xED\xA0", 1}}},
    {TS_CONSTRAIN_REGEX, "\\p{Lu}[^\\p{L}]\\P{Nd}+",
     {{"\xC3\x89 x", ACCEPTED}, {"E1a", ACCEPTED}, {"e", 0}, {"Ea", 1}, {"E 1", 2}}},
    {TS_CONSTRAIN_GRAMMAR, "root ::= \"(\" root \")\" | x*\nx ::= [a-c] | \"\"", {{"((abc))", ACCEPTED},
                                                                              {"((", INCOMPLETE}, {"(a))", 3},
                                                                              {"", ACCEPTED}}},
    {TS_CONSTRAIN_GRAMMAR, "root ::= n | n \"+\" root # sum\nn ::= [0-9]{1,2}", {{"1+22+3", ACCEPTED}, {"123", 2},
                                                                          {"1+", INCOMPLETE}}},
    {TS_CONSTRAIN_SCHEMA, "{\"type\":\"integer\",\"minimum\":-12,\"maximum\":105}",
     {{"0", ACCEPTED}, {"-12", ACCEPTED}, {"-13", 2}, {"105", ACCEPTED}, {"106", 2}, {"-0", 1}, {"01", 1},
      {"-", INCOMPLETE}}},
    {TS_CONSTRAIN_SCHEMA, "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1.5}",
     {{"0.5", ACCEPTED}, {"0", INCOMPLETE}, {"0.0", INCOMPLETE}, {"1.50", ACCEPTED}, {"1.51", 3}, {"2", 0}, {"-", 0}}},
    {TS_CONSTRAIN_SCHEMA, "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10,\"maximum\":22}",
     {{"14", ACCEPTED}, {"21", ACCEPTED}, {"1", INCOMPLETE}, {"15", 1}, {"3", 0}}},
    {TS_CONSTRAIN_SCHEMA, "{\"type\":\"string\",\"pattern\":\"[0-9]$\",\"maxLength\":3}",
     {{"\"ab1\"", ACCEPTED}, {"\"ab\"", 3}, {"\"abc", 3}, {"\"\\\"\\n7\"", ACCEPTED}, {"\"\\u0031\"", 5}}},
    {TS_CONSTRAIN_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"ab\":{\"type\":\"null\"},\"b\\\"\":{\"type\":"
     "\"null\"}},\"required\":[\"ab\"],\"additionalProperties\":{\"type\":\"boolean\"}}",
     {{"{\"ab\":null}", ACCEPTED}, {"{\"a\":null}", 9}, {"{\"b", 2}, {"{\"ab\": null, \"b\\\"\":null,\"z\":true}",
      ACCEPTED},
      {"{\"ab\":null,\"a\":", 13}, {"{\"ab\":null,\"a\\", INCOMPLETE}, {"{\"ab\":null,\"aa\":n", 16}}},
    {TS_CONSTRAIN_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"additionalProperties\":false,"
     "\"minProperties\":2,"
     "\"maxProperties\":2,\"required\":[\"b\"]}",
     {{"{\"a\":1,\"b\":2}", ACCEPTED}, {"{\"b\":1,\"c\":2}", ACCEPTED}, {"{\"b\":1}", 6}, {"{\"a\":1,\"c\"", 8}}},
    {TS_CONSTRAIN_SCHEMA, "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"type\":\"null\"}],"
    "\"items\":false,\"minItems\":1}",
     {{"[1]", ACCEPTED}, {"[1, null]", ACCEPTED}, {"[1,null,", 7}, {"[]", 1}}},
    {TS_CONSTRAIN_SCHEMA, "{\"enum\":[\"a\",\"ab\",1.50,-0,[1,{\"x\":null}]]}",
     {{"\"ab\"", ACCEPTED}, {"1.5", ACCEPTED}, {"0", ACCEPTED}, {"[1, {\"x\":null}]", ACCEPTED}, {"\"b", 1}, {"-", 0}}},
    {TS_CONSTRAIN_SCHEMA, "{\"format\":\"date\"}",
     {{"\"2024-02-29\"", ACCEPTED}, {"\"2023-02-29\"", 10}, {"\"1900-02-29", 10}, {"\"2000-02-29\"", ACCEPTED}}},
    {TS_CONSTRAIN_SCHEMA, "{\"$ref\":\"#/$defs/l\",\"$defs\":{\"l\":{\"anyOf\":[{\"type\":\"null\"},"
    "{\"type\":\"array\","
                          "\"items\":{\"$ref\":\"#/$defs/l\"}}]}}}",
     {{"[[],null,[null]]", ACCEPTED}, {"[[", INCOMPLETE}, {"[1", 1}}},
    {TS_CONSTRAIN_SCHEMA, "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"}},"
    "\"required\":[\"k\"]},"
                          "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}]}",
     {{"{\"k\":\"a\"}", ACCEPTED}, {"{\"k\":\"b\"}", ACCEPTED}, {"{\"k\":\"c", 6}}},
};

static void test_verdicts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ts_automaton *a;
        if (strcmp(rows[i].text, "a^b") == 0) {
            assert_status(make(&a, rows[i].kind, rows[i].text), TS_E_UNSUPP);
            continue;
        }
        assert_ok(make(&a, rows[i].kind, rows[i].text));
        for (size_t k = 0; k < 8 && rows[i].check[k].text; k++) {
            const long got = verdict(a, rows[i].check[k].text);
            if (got != rows[i].check[k].verdict)
                fail_msg("%s: %s: %ld, not %ld", rows[i].text, rows[i].check[k].text, got, rows[i].check[k].verdict);
        }
        ts_automaton_free(a);
    }
}

static const struct refusal {
    ts_constraint_kind kind;
    const char *text, *where;
} refusals[] = {
    {TS_CONSTRAIN_REGEX, "ab(c", "byte 4"},
    {TS_CONSTRAIN_REGEX, "a(?=b)", "byte "},
    {TS_CONSTRAIN_REGEX, "(((a{1,999}){1,999}){1,999})", "byte "},
    {TS_CONSTRAIN_REGEX, "\\p{Nope}", "byte "},
    {TS_CONSTRAIN_REGEX, "\\p{Lu", "byte "},
    {TS_CONSTRAIN_GRAMMAR, "root ::= \"a\"\n\nb ::= c", "line 3"},
    {TS_CONSTRAIN_GRAMMAR, "root ::= x\nx ::= y \"a\"\ny ::= \"\" | x", "line "},
    {TS_CONSTRAIN_GRAMMAR, "root ::= \"a\" root", "line 1"},
    {TS_CONSTRAIN_SCHEMA, "{\"properties\":{\"a/b\":{\"minLength\":-1}}}", "#/properties/a~1b/minLength"},
    {TS_CONSTRAIN_SCHEMA, "{\"type\":\"string\",\"maxLenght\":3}", "#/maxLenght"},
    {TS_CONSTRAIN_SCHEMA, "{\"allOf\":[{},{\"uniqueItems\":true}]}", "#/allOf/1/uniqueItems"},
    {TS_CONSTRAIN_SCHEMA, "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\",\"minimum\":3}]}", "#/oneOf"},
    {TS_CONSTRAIN_SCHEMA, "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/a\"}]}}}",
     "#/$defs/a/anyOf/0"},
    {TS_CONSTRAIN_SCHEMA, "{\"oneOf\":[{\"anyOf\":[{\"const\":null},{\"type\":\"boolean\"}]},{\"type\":\"null\"}]}",
     "#/oneOf"},
    {TS_CONSTRAIN_SCHEMA, "[1", "#"},
    {TS_CONSTRAIN_SCHEMA, "{\"not\":{}}", "#"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        ts_automaton *a = NULL;
        char begin[100];
        const ts_status s = make(&a, refusals[i].kind, refusals[i].text);
        if (s != TS_E_FORMAT && s != TS_E_UNSUPP && s != TS_E_LIMIT) fail_msg("not refused: %s", refusals[i].text);
        assert_null(a);
        snprintf(begin, sizeof begin, "refused at %s", refusals[i].where);
        if (strncmp(err.msg, begin, strlen(begin)) != 0) fail_msg("%s: %s, not %s", refusals[i].text, err.msg, begin);
    }
}

/* What nobody asked for is left out unless all of a schema is wanted. */
static void test_narrow(void **state) {
    (void)state;
    static const char schema[] = "{\"properties\":{\"a\":{\"maxLength\":1},\"b\":{\"properties\":{},"
                                 "\"additionalProperties\":{}}}}";
    ts_automaton_opts o = {.spec = {.kind = TS_CONSTRAIN_SCHEMA, .text = schema, .len = sizeof schema - 1}};
    ts_automaton *a;
    assert_ok(ts_automaton_new(&a, &o, &err));
    assert_int_equal(verdict(a, "{\"a\":\"x\",\"b\":{\"z\":1}}"), ACCEPTED);
    assert_int_equal(verdict(a, "{\"c\""), 2);
    assert_int_equal(verdict(a, "1"), 0);
    assert_int_equal(verdict(a, "{\"a\":1"), 5);
    ts_automaton_free(a);
    o.spec.exact = true;
    assert_ok(ts_automaton_new(&a, &o, &err));
    assert_int_equal(verdict(a, "{\"a\":1,\"c\":null}"), ACCEPTED);
    assert_int_equal(verdict(a, "1"), ACCEPTED);
    assert_int_equal(verdict(a, "{\"a\":\"xy\"}"), 7);
    ts_automaton_free(a);
}

/* ---- random texts ---------------------------------------------------------------------------------------------- */

static size_t characters(const char *s) {
    size_t n = 0;
    for (; *s; s++) n += (*s & 0xC0) != 0x80;
    return n;
}

static bool is_type(const json_t *v, const char *type) {
    return strcmp(type, "integer") == 0  ? json_is_integer(v)
           : strcmp(type, "number") == 0 ? json_is_number(v)
           : strcmp(type, "string") == 0 ? json_is_string(v)
           : strcmp(type, "array") == 0  ? json_is_array(v)
           : strcmp(type, "object") == 0 ? json_is_object(v)
           : strcmp(type, "null") == 0   ? json_is_null(v)
                                         : json_is_boolean(v);
}

/* A validator of what the schemas below use, written from the standard. */
static bool valid(const json_t *v, const json_t *s, const json_t *root) {
    const json_t *k, *x;
    size_t i;
    const char *name;
    if (json_is_boolean(s)) return json_is_true(s);
    if ((k = json_object_get(s, "$ref"))) {
        const char *ref = json_string_value(k);
        return valid(v, strcmp(ref, "#") == 0 ? root : json_object_get(json_object_get(root, "$defs"), ref + 8), root);
    }
    if ((k = json_object_get(s, "type")) && !is_type(v, json_string_value(k))) return false;
    if ((k = json_object_get(s, "const")) && !json_equal(v, k)) return false;
    if ((k = json_object_get(s, "enum"))) {
        bool found = false;
        json_array_foreach(k, i, x) found |= json_equal(v, x);
        if (!found) return false;
    }
    if ((k = json_object_get(s, "anyOf"))) {
        bool found = false;
        json_array_foreach(k, i, x) found |= valid(v, x, root);
        if (!found) return false;
    }
    if ((k = json_object_get(s, "allOf")))
        json_array_foreach(k, i, x) if (!valid(v, x, root)) return false;
    if (json_is_number(v)) {
        const double d = json_number_value(v);
        if ((k = json_object_get(s, "minimum")) && d < json_number_value(k)) return false;
        if ((k = json_object_get(s, "maximum")) && d > json_number_value(k)) return false;
        if ((k = json_object_get(s, "exclusiveMaximum")) && d >= json_number_value(k)) return false;
        if ((k = json_object_get(s, "multipleOf")) && json_integer_value(v) % json_integer_value(k)) return false;
    }
    if (json_is_string(v)) {
        const size_t n = characters(json_string_value(v));
        if ((k = json_object_get(s, "minLength")) && n < (size_t)json_integer_value(k)) return false;
        if ((k = json_object_get(s, "maxLength")) && n > (size_t)json_integer_value(k)) return false;
    }
    if (json_is_array(v)) {
        const size_t n = json_array_size(v);
        const json_t *items = json_object_get(s, "items"), *prefix = json_object_get(s, "prefixItems");
        if ((k = json_object_get(s, "minItems")) && n < (size_t)json_integer_value(k)) return false;
        if ((k = json_object_get(s, "maxItems")) && n > (size_t)json_integer_value(k)) return false;
        json_array_foreach(v, i, x) {
            const json_t *one = i < json_array_size(prefix) ? json_array_get(prefix, i) : items;
            if (one && !valid(x, one, root)) return false;
        }
    }
    if (json_is_object(v)) {
        const json_t *props = json_object_get(s, "properties"), *more = json_object_get(s, "additionalProperties");
        const size_t n = json_object_size(v);
        if ((k = json_object_get(s, "minProperties")) && n < (size_t)json_integer_value(k)) return false;
        if ((k = json_object_get(s, "maxProperties")) && n > (size_t)json_integer_value(k)) return false;
        json_array_foreach(json_object_get(s, "required"), i, x)
            if (!json_object_get(v, json_string_value(x))) return false;
        json_object_foreach((json_t *)v, name, x) {
            const json_t *one = json_object_get(props, name);
            if (!one) one = more;
            if (one && !valid(x, one, root)) return false;
        }
    }
    return true;
}

static const char *const walked[] = {
    "{}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":3},\"b\":{\"type\":\"integer\","
    "\"minimum\":-3,\"maximum\":1234},\"c\":{\"enum\":[\"x\",null,2]}},\"required\":[\"b\",\"z\"],"
    "\"additionalProperties\":"
    "{\"type\":\"boolean\"}}",
    "{\"type\":\"array\",\"items\":{\"type\":\"number\",\"minimum\":-1.25,\"exclusiveMaximum\":10.5},\"minItems\":2,"
    "\"maxItems\":5}",
    "{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\","
    "\"multipleOf\":6},\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"v\"],"
    "\"additionalProperties\":false}}}",
    "{\"anyOf\":[{\"type\":\"string\",\"minLength\":2,\"maxLength\":4},{\"allOf\":[{\"type\":\"integer\","
    "\"minimum\":5},"
    "{\"maximum\":77}]},{\"type\":\"array\",\"prefixItems\":[{\"const\":\"k\"},{\"type\":\"null\"}],\"items\":false}]}",
    "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{},\"d\":{}},\"additionalProperties\":false,"
    "\"minProperties\":2,\"maxProperties\":3,\"required\":[\"c\"]}",
    "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0,"
    "\"maximum\":1}},\"maxProperties\":3,\"minProperties\":1}",
};

static void test_walks(void **state) {
    (void)state;
    ts_rng rng = ts_rng_seed(5);
    ts_buf text = {0};
    size_t done = 0;
    for (size_t i = 0; i < sizeof walked / sizeof *walked; i++) {
        ts_automaton *a;
        json_t *schema = json_loads(walked[i], 0, NULL);
        assert_non_null(schema);
        assert_ok(make(&a, TS_CONSTRAIN_SCHEMA, walked[i]));
        for (int n = 0; n < 300; n++) {
            bool whole;
            ts_buf_clear(&text);
            assert_ok(ts_automaton_sample(a, &rng, 600, &text, &whole, &err));
            if (!whole || strstr(text.data, "\\u0000")) continue; /* jansson's keys have no NUL */
            json_t *v = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            if (!v || !valid(v, schema, schema))
                fail_msg("%s allows %.*s", walked[i], (int)text.len, text.data);
            json_decref(v);
            done++;
        }
        ts_automaton_free(a);
        json_decref(schema);
    }
    ts_buf_free(&text);
    assert_true(done > 1000);
}

/* ---- masks ----------------------------------------------------------------------------------------------------- */

enum { TOKENS = 2000 };

typedef struct vocabulary {
    char text[TOKENS][12];
    size_t len[TOKENS];
    ts_trie *trie;
} vocabulary;

static bool bytes_of(void *ud, uint32_t id, ts_buf *out) {
    const vocabulary *v = ud;
    return ts_buf_append(out, v->text[id], v->len[id]);
}

/* All bytes, pieces of JSON and of words, halves of characters, and some tokens twice. */
static void make_vocabulary(vocabulary *v, ts_rng *rng) {
    static const char *const piece[] = {"\"", "\",", ", \"", "\":", ": ", "{\"", "}", "]", "[", ",", "a", "b", "ab",
     "null",
                                        "true", "1", "12", "-", "0.", "\\", "\\n", "\\\"", " ", "hello", "x y",
                                        "\xC3\xA9", "\xC3", "\xA9", "\xF0\x9F", "\x99\x82", "\xE6\x97\xA5", "\n", "<",
                                        "<tool", "_call>", "root", "(", ")", "+"};
    const size_t n = sizeof piece / sizeof *piece;
    memset(v, 0, sizeof *v);
    for (uint32_t id = 0; id < TOKENS; id++) {
        if (id == 7 || id == 8 || (id > 256 && id % 97 == 0)) continue; /* prints nothing */
        if (id < 256) {
            v->text[id][0] = (char)id;
            v->len[id] = 1;
            continue;
        }
        do {
            const char *p = piece[ts_rng_below(rng, n)];
            if (v->len[id] + strlen(p) > sizeof v->text[id]) break;
            memcpy(v->text[id] + v->len[id], p, strlen(p));
            v->len[id] += strlen(p);
        } while (ts_rng_below(rng, 3));
    }
    assert_ok(ts_trie_new(&v->trie, TOKENS, bytes_of, v, &err));
}

static void check_mask(ts_automaton *a, const vocabulary *v, ts_place_id at, const char *what) {
    uint32_t allowed[TOKENS / 32 + 1];
    bool any, some = false;
    assert_ok(ts_automaton_mask(a, v->trie, at, false, allowed, &any, &err));
    for (uint32_t id = 0; id < TOKENS; id++) {
        ts_place_id to = at;
        assert_ok(ts_automaton_bytes(a, &to, v->text[id], v->len[id], &err));
        const bool fits = to != TS_PLACE_NONE && v->len[id] > 0, may = allowed[id / 32] >> id % 32 & 1;
        some |= may;
        if (fits != may) fail_msg("%s: the mask %s token %u", what, may ? "allows" : "forbids", id);
    }
    assert_int_equal(any, some);
    assert_true(any || ts_automaton_accepts(a, at)); /* no dead ends */
}

static const struct row masked[] = {
    {.kind = TS_CONSTRAIN_SCHEMA, .text = "{}"},
    {.kind = TS_CONSTRAIN_SCHEMA, .text = "{\"type\":\"string\",\"maxLength\":5}"},
    {.kind = TS_CONSTRAIN_SCHEMA, .text = "{\"type\":\"string\",\"minLength\":3,\"maxLength\":400}"},
    {.kind = TS_CONSTRAIN_SCHEMA, .text = "{\"type\":\"string\",\"pattern\":\"^[a-z ]*$\"}"},
    {.kind = TS_CONSTRAIN_SCHEMA, .text = "{\"type\":\"string\",\"pattern\":\"o.*b\",\"maxLength\":9}"},
    {.kind = TS_CONSTRAIN_SCHEMA, .text = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"ab\":{}},"
                                          "\"additionalProperties\":{\"type\":\"string\"}}"},
    {.kind = TS_CONSTRAIN_SCHEMA, .text = "{\"anyOf\":[{\"type\":\"string\"},{\"enum\":[\"a\\nb\",\"ab\"]},"
    "{\"type\":\"array\"}]}"},
    {.kind = TS_CONSTRAIN_REGEX, .text = "[^\\n]*(\\n[^\\n<]+)*"},
    {.kind = TS_CONSTRAIN_REGEX, .text = "(ab|a|x y)+"},
    {.kind = TS_CONSTRAIN_GRAMMAR, .text = "root ::= l+\nl ::= [^\\n]* e\ne ::= \"\\n\" | \"(\" root \")\""},
    {.kind = TS_CONSTRAIN_TOOLS, .text = "[{\"type\":\"function\",\"function\":{\"name\":\"ab\","
    "\"parameters\":{\"type\":"
                                         "\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}}}]"},
};

static ts_status make_masked(ts_automaton **a, const struct row *r) {
    const ts_automaton_opts o = {.spec = {.kind = r->kind, .text = r->text, .len = strlen(r->text), .exact = true,
                                          .tool_format = "hermes", .thinking = r->kind == TS_CONSTRAIN_TOOLS}};
    return ts_automaton_new(a, &o, &err);
}

/* Along random walks, from places in the middle of characters too; what was let go on the way changes nothing. */
static void test_masks(void **state) {
    (void)state;
    static vocabulary v;
    ts_rng rng = ts_rng_seed(11);
    make_vocabulary(&v, &rng);
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
        ts_automaton *a;
        assert_ok(make_masked(&a, &masked[i]));
        for (int walk = 0; walk < 6; walk++) {
            ts_place_id at = ts_automaton_start(a);
            for (int step = 0; step < 25; step++) {
                uint32_t before[TOKENS / 32 + 1], after[TOKENS / 32 + 1];
                bool any;
                check_mask(a, &v, at, masked[i].text);
                if (ts_rng_below(&rng, 4) == 0) {
                    assert_ok(ts_automaton_mask(a, v.trie, at, false, before, &any, &err));
                    assert_ok(ts_automaton_collect(a, (ts_place_id *const[]){&at}, 1, &err));
                    assert_ok(ts_automaton_mask(a, v.trie, at, false, after, &any, &err));
                    assert_memory_equal(before, after, v.trie->n_words * sizeof *before);
                }
                ts_place_id to = TS_PLACE_NONE;
                for (int tries = 0; tries < 4000 && to == TS_PLACE_NONE; tries++) {
                    const uint32_t id = (uint32_t)ts_rng_below(&rng, TOKENS);
                    to = at;
                    if (v.len[id]) assert_ok(ts_automaton_bytes(a, &to, v.text[id], v.len[id], &err));
                }
                if (to == TS_PLACE_NONE) break;
                at = to;
            }
        }
        ts_automaton_free(a);
    }
    ts_trie_free(v.trie);
}

/* A space in front of a text that is not printed. */
static void test_first_space(void **state) {
    (void)state;
    static vocabulary v;
    ts_rng rng = ts_rng_seed(3);
    ts_automaton *a;
    uint32_t allowed[TOKENS / 32 + 1];
    bool any;
    make_vocabulary(&v, &rng);
    assert_ok(make(&a, TS_CONSTRAIN_REGEX, "a(b| )*"));
    assert_ok(ts_automaton_mask(a, v.trie, ts_automaton_start(a), true, allowed, &any, &err));
    for (uint32_t id = 0; id < TOKENS; id++) {
        const size_t drop = v.len[id] && v.text[id][0] == ' ';
        ts_place_id to = ts_automaton_start(a);
        assert_ok(ts_automaton_bytes(a, &to, v.text[id] + drop, v.len[id] - drop, &err));
        assert_int_equal(allowed[id / 32] >> id % 32 & 1, v.len[id] > drop && to != TS_PLACE_NONE);
    }
    ts_automaton_free(a);
    ts_trie_free(v.trie);
}

/* Token 7 of the vocabulary is [TOOL_CALLS], 8 is [ARGS]: matched as tokens, and their spelling is text. */
static ts_token find_control(void *ud, const char *text, size_t len) {
    (void)ud;
    return len == 12 && memcmp(text, "[TOOL_CALLS]", 12) == 0 ? 7 : len == 6 && memcmp(text, "[ARGS]", 6) == 0 ? 8 : -1;
}

/* A schema instead of text: its JSON, or calls, and nothing beside them. */
static void test_answer(void **state) {
    (void)state;
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
                      schema[] = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},"
                                 "\"required\":[\"n\"]}";
#define HERMES_CALL "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"
    static const struct {
        const char *format, *choice, *text;
        long verdict;
    } said[] = {
        {"hermes", "auto", "{\"n\": 1}", ACCEPTED},       {"hermes", "auto", HERMES_CALL, ACCEPTED},
        {"hermes", "auto", HERMES_CALL "\n" HERMES_CALL, ACCEPTED}, {"hermes", "auto", "{\"n\": ", INCOMPLETE},
        {"hermes", "auto", "", INCOMPLETE},                {"hermes", "auto", "so ", 0},
        {"hermes", "auto", "{\"n\": 1} ", 8},              {"hermes", "auto", "{\"n\": 1}" HERMES_CALL, 8},
        {"hermes", "auto", "{\"m\": 1}", 2},               {"hermes", "none", "{\"n\": 1}", ACCEPTED},
        {"hermes", "none", HERMES_CALL, 0},                {"hermes", "required", HERMES_CALL, ACCEPTED},
        {"hermes", "required", "{\"n\": 1}", 0},           {"llama3", "auto", "{\"n\": 1}", ACCEPTED},
        {"llama3", "auto", "{\"name\": \"f\", \"parameters\": {}}", ACCEPTED},
        {"mistral", "auto", "{\"n\": 1}", ACCEPTED},
        {"mistral", "auto", "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]", ACCEPTED},
    };
    ts_automaton *a;
    ts_automaton_opts o = {.spec = {.kind = TS_CONSTRAIN_TOOLS, .text = tools, .len = sizeof tools - 1,
                                    .answer = schema, .answer_len = sizeof schema - 1}};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        o.spec.tool_format = said[i].format, o.spec.tool_choice = said[i].choice;
        assert_ok(ts_automaton_new(&a, &o, &err));
        const long got = verdict(a, said[i].text);
        if (got != said[i].verdict) fail_msg("%s, %s: %s: %ld", said[i].format, said[i].choice, said[i].text, got);
        ts_automaton_free(a);
    }
    o.spec.tool_choice = "auto";
    static const char *const bad[][2] = {{"{\"type\":\"array\",\"uniqueItems\":true}",
                                          "refused at answer#/uniqueItems: "},
                                         {"{\"type\":\"integer\",\"enum\":[\"a\"]}", "refused at answer#"},
                                         {"{", "refused at answer#: "}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.spec.answer = bad[i][0], o.spec.answer_len = strlen(bad[i][0]);
        assert_true(ts_automaton_new(&a, &o, &err) != TS_OK);
        if (strncmp(err.msg, bad[i][1], strlen(bad[i][1])) != 0) fail_msg("%s: %s", bad[i][0], err.msg);
    }
}

static void test_control(void **state) {
    (void)state;
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
    ts_automaton_opts o = {.spec = {.kind = TS_CONSTRAIN_TOOLS, .text = tools, .len = sizeof tools - 1,
                                    .tool_format = "mistral-args"}, .find_control = find_control};
    static vocabulary v;
    ts_rng rng = ts_rng_seed(3);
    ts_automaton *a;
    uint32_t allowed[TOKENS / 32 + 1];
    bool any;
    make_vocabulary(&v, &rng);
    assert_ok(ts_automaton_new(&a, &o, &err));
    assert_int_equal(verdict(a, "see [TOOL_CALLS]g[ARGS]"), ACCEPTED); /* text */
    ts_place_id at = ts_automaton_start(a);
    assert_ok(ts_automaton_bytes(a, &at, "see ", 4, &err));
    assert_ok(ts_automaton_mask(a, v.trie, at, false, allowed, &any, &err));
    assert_true(allowed[0] >> 7 & 1 && !(allowed[0] >> 8 & 1));
    assert_ok(ts_automaton_control(a, &at, 7, &err));
    assert_ok(ts_automaton_bytes(a, &at, "f", 1, &err));
    assert_ok(ts_automaton_mask(a, v.trie, at, false, allowed, &any, &err));
    assert_true(allowed[0] == 1u << 8 && any);
    assert_ok(ts_automaton_control(a, &at, 8, &err));
    assert_ok(ts_automaton_bytes(a, &at, "{}", 2, &err));
    assert_true(at != TS_PLACE_NONE && ts_automaton_accepts(a, at));
    assert_ok(ts_automaton_control(a, &at, 8, &err));
    assert_int_equal(at, TS_PLACE_NONE);
    ts_automaton_free(a);
    o.spec.tool_choice = "none";
    assert_ok(ts_automaton_new(&a, &o, &err));
    assert_ok(ts_automaton_mask(a, v.trie, ts_automaton_start(a), false, allowed, &any, &err));
    assert_true(any);
    ts_place_id none = ts_automaton_start(a);
    assert_ok(ts_automaton_control(a, &none, 7, &err));
    assert_int_equal(none, TS_PLACE_NONE);
    ts_automaton_free(a);
    o.spec.tool_choice = "auto", o.spec.tool_named = true;
    assert_status(ts_automaton_new(&a, &o, &err), TS_E_UNSUPP);
    assert_non_null(strstr(err.msg, "refused at tool-choice"));
    ts_trie_free(v.trie);
}

/* What is thought is free; what is said keeps to the form, with or without thoughts in front of it. */
static void test_thinking(void **state) {
    (void)state;
    static const struct {
        const char *text;
        long may, within; /* where a block may begin; where one has begun */
    } said[] = {
        {"7", ACCEPTED, INCOMPLETE},
        {"<think>7</think>7", ACCEPTED, ACCEPTED},
        {"<think>\nHm < </thin\n</think>\n\n12", ACCEPTED, ACCEPTED},
        {"Hm</think>12", 0, ACCEPTED},
        {"</think>\n1", 1, ACCEPTED},
        {"<think>7", INCOMPLETE, INCOMPLETE},
        {"<think>a</think>", INCOMPLETE, INCOMPLETE},
        {"<think>a</think>x", 16, 16},
        {"<think>a</think>\n\n\n7", 18, 18},
        {"Hm", 0, INCOMPLETE},
    };
    for (int within = 0; within < 2; within++) {
        const ts_automaton_opts o = {.spec = {.kind = TS_CONSTRAIN_REGEX, .text = "[0-9]{1,3}", .len = 10,
                                              .thinking = !within, .in_thinking = within}};
        ts_automaton *a;
        assert_ok(ts_automaton_new(&a, &o, &err));
        for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
            const long is = verdict(a, said[i].text), want = within ? said[i].within : said[i].may;
            if (is != want) fail_msg("%s, %d: %ld, not %ld", said[i].text, within, is, want);
        }
        ts_automaton_free(a);
    }
}

/* ---- allocations ----------------------------------------------------------------------------------------------- */

static bool everything(void *ud) {
    const struct row *r = ud;
    static vocabulary v;
    ts_automaton *a = NULL;
    uint32_t allowed[8];
    bool any, ok = false;
    memset(&v, 0, sizeof v);
    for (uint32_t id = 0; id < 100; id++) v.text[id][0] = (char)(id + 30), v.text[id][1] = 'a', v.len[id] = 1 + id % 2;
    if (ts_trie_new(&v.trie, 100, bytes_of, &v, &err) != TS_OK) return false;
    if (make_masked(&a, r) == TS_OK) {
        ts_place_id at = ts_automaton_start(a);
        ok = true;
        for (int i = 0; i < 6 && ok; i++) {
            uint32_t id = 0;
            ok = ts_automaton_mask(a, v.trie, at, i == 1, allowed, &any, &err) == TS_OK;
            while (ok && any && id < 99 && !(allowed[id / 32] >> id % 32 & 1)) id++;
            if (ok && any) ok = ts_automaton_bytes(a, &at, v.text[id], v.len[id], &err) == TS_OK;
            if (ok && at == TS_PLACE_NONE) break;
            if (ok && i == 3) ok = ts_automaton_collect(a, (ts_place_id *const[]){&at}, 1, &err) == TS_OK;
        }
    }
    if (!ok && err.code != TS_E_NOMEM) fail_msg("%s: %s", r->text, err.msg);
    ts_automaton_free(a);
    ts_trie_free(v.trie);
    return ok;
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
        alloc_fail_loop(everything, (void *)&masked[i], false);
    for (size_t i = 0; i < sizeof walked / sizeof *walked; i++)
        alloc_fail_loop(everything, &(struct row){.kind = TS_CONSTRAIN_SCHEMA, .text = walked[i]}, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),    cmocka_unit_test(test_refusals), cmocka_unit_test(test_walks),
        cmocka_unit_test(test_narrow),      cmocka_unit_test(test_answer),
        cmocka_unit_test(test_masks),       cmocka_unit_test(test_control),  cmocka_unit_test(test_first_space),
        cmocka_unit_test(test_thinking),     cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("constrain", tests, NULL, NULL);
}
