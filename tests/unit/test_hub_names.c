/* Names of models, quants in names of files, and which files of a repository are the model. */
#include "support/alloc_fail.h"
#include "support/test.h"

#include "hub/hub_name.h"
#include "hub/hub_select.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *text, *repo, *rev, *tag;
        bool is_file;
    } good[] = {
        {"a/b", "a/b", "", "", false},
        {"Org-1/Na_me.2:Q4_K_M", "Org-1/Na_me.2", "", "Q4_K_M", false},
        {"a/b@v1", "a/b", "v1", "", false},
        {"a/b@v1:Q8_0", "a/b", "v1", "Q8_0", false},
        {"a/b:Q8_0@v1", "a/b", "v1", "Q8_0", false},
        {"a/b@refs/pr/3:Q8_0", "a/b", "refs/pr/3", "Q8_0", false},
        {"a/b:x.gguf", "a/b", "", "x.gguf", false},
        {"a/b/x.gguf", "a/b", "", "x.gguf", true},
        {"a/b/c d/x (1).gguf", "a/b", "", "c d/x (1).gguf", true},
        {"a/b/x.gguf@main", "a/b", "main", "x.gguf", true},
        {"a/b/x@1.gguf", "a/b", "", "x@1.gguf", true},
        {"a/b@main/x.gguf", "a/b", "main", "x.gguf", true},
        {"a/b@main/c/x.gguf", "a/b", "main", "c/x.gguf", true},
        {"a/b@refs/pr/3/c/x.GGUF", "a/b", "refs/pr/3", "c/x.GGUF", true},
        {"a/b@refs/pr/3", "a/b", "refs/pr/3", "", false},
        {"a/b@release/v1.2", "a/b", "release/v1.2", "", false},
        {"a/b@main/x:Q8_0", "a/b", "main/x", "Q8_0", false},
        {"a/b/resolve/main/x%20y.gguf", "a/b", "main", "x y.gguf", true},
        {"a/b/blob/main/c/x.gguf?download=true", "a/b", "main", "c/x.gguf", true},
        {"a/b/tree/v1", "a/b", "v1", "", false},
        {"hf:a/b", "a/b", "", "", false},
        {"hf://a/b:F16", "a/b", "", "F16", false},
        {"hf.co/a/b:F16", "a/b", "", "F16", false},
        {"huggingface.co/a/b", "a/b", "", "", false},
        {"https://huggingface.co/a/b", "a/b", "", "", false},
        {"https://huggingface.co/a/b/", "a/b", "", "", false},
        {"https://huggingface.co/a/b?library=gguf", "a/b", "", "", false},
        {"https://huggingface.co/a/b/tree/main", "a/b", "main", "", false},
        {"https://hf.co/a/b/resolve/main/x%20y%23.gguf?download=true", "a/b", "main", "x y#.gguf", true},
        {"https://huggingface.co/a/b/blob/refs%2Fpr%2F1/c/x.gguf", "a/b", "refs/pr/1", "c/x.gguf", true},
        {"http://mirror:80/hub/a/b/raw/main/x.gguf#top", "a/b", "main", "x.gguf", true},
    };
    static const char *const bad[] = {"",
                                      "a",
                                      "a/",
                                      "/b",
                                      "a//b",
                                      "../b",
                                      "a/..",
                                      "a/.b",
                                      "a/b.",
                                      "a/b.git",
                                      "a/-b",
                                      "a/b--c",
                                      "a/b..c",
                                      "a b/c",
                                      "a/b c",
                                      "a/b:",
                                      "a/b@",
                                      "a/b/",
                                      "a/b/../c",
                                      "a/b:../c",
                                      "a/b//c",
                                      "a/b@-x",
                                      "a/b@x..y",
                                      "a/b@x y",
                                      "a/b@a@b:c",
                                      "a/b/c\\d",
                                      "a/b/\x1b[2J",
                                      "a/\xff",
                                      "https://example.org/a/b",
                                      "https://huggingface.co/a",
                                      "https://huggingface.co/a/b/resolve/",
                                      "ftp://huggingface.co/a/b",
                                      "https://huggingface.co/a/b/resolve/main/%2e%2e/x",
                                      "https://huggingface.co/a/b/resolve/main/x%0",
                                      "https://huggingface.co/a/b/resolve/main/%00"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ts_hub_name n;
        ts_err err;
        if (ts_hub_name_parse(&n, good[i].text, "http://mirror:80/hub", &err) != TS_OK)
            fail_msg("%s: %s", good[i].text, err.msg);
        assert_string_equal(n.repo, good[i].repo);
        assert_string_equal(n.rev, good[i].rev);
        assert_string_equal(n.tag, good[i].tag);
        if (n.is_file != good[i].is_file) fail_msg("%s: a file or not?", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ts_hub_name n;
        ts_err err;
        if (ts_hub_name_parse(&n, bad[i], NULL, &err) != TS_E_INVAL) fail_msg("\"%s\" is a name", bad[i]);
    }
    char longest[2 * TS_HUB_ID_MAX + 3];
    memset(longest, 'x', sizeof longest);
    longest[TS_HUB_ID_MAX] = '/';
    assert_true(ts_hub_is_repo(longest, 2 * TS_HUB_ID_MAX + 1));
    assert_false(ts_hub_is_repo(longest, 2 * TS_HUB_ID_MAX + 2));
}

static void test_paths(void **state) {
    (void)state;
    static const char *const good[] = {"a",        "a/b.c", ".gitattributes", "a b", "#?%+",
                                       "\xc3\xbc", "...",   "ab:c",           "con", "\xe2\x80\xa6"};
    static const char *const bad[] = {"", "/a", "a/", "a//b", ".", "..", "a/..", "a/./b", "../a", "a\\b", "C:/a", "c:a",
                                      "a\nb", "a\x7f", "\xc2\x85", "\xff",
                                      /* turned around, isolated, hidden */
                                      "\xe2\x80\xaegpj", "\xe2\x81\xa6x", "\xe2\x81\xa9", "x\xe2\x80\x8b",
                                      "\xef\xbb\xbfx", "\xd8\x9c", "\xf3\xa0\x81\x81"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (ts_hub_path_fault(good[i], strlen(good[i]))) fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!ts_hub_path_fault(bad[i], strlen(bad[i]))) fail_msg("%s", bad[i]);
    assert_non_null(ts_hub_path_fault("a\0b", 3));
    char deep[100];
    for (size_t i = 0; i < sizeof deep; i++) deep[i] = i % 2 ? '/' : 'd';
    assert_null(ts_hub_path_fault(deep, 65)); /* 32 folders and a file */
    assert_non_null(ts_hub_path_fault(deep, 67));
    char name[300];
    memset(name, 'x', sizeof name);
    assert_null(ts_hub_path_fault(name, 255));
    assert_non_null(ts_hub_path_fault(name, 256));
}

static void test_encoding(void **state) {
    (void)state;
    ts_buf b = {0};
    assert_true(ts_hub_put_encoded(&b, "a b/\xc3\xbc#?%+", 10, true));
    assert_string_equal(b.data, "a%20b/%C3%BC%23%3F%25%2B");
    ts_buf_clear(&b);
    assert_true(ts_hub_put_encoded(&b, "refs/pr/1", 9, false));
    assert_string_equal(b.data, "refs%2Fpr%2F1");
    ts_buf_free(&b);
}

static void test_surroundings(void **state) {
    (void)state;
    char *s = NULL;
    ts_err err;
    assert_ok(ts_hub_endpoint(&s, " https://x.org:8/hub// \n", "E", &err));
    assert_string_equal(s, "https://x.org:8/hub");
    ts_free(s);
    static const char *const no_address[] = {"x.org",       "ftp://x",     "https://",    "http:///",
                                             "https://a@b", "https://a b", "https://a?b", "https://a\x01"};
    for (size_t i = 0; i < sizeof no_address / sizeof *no_address; i++)
        if (ts_hub_endpoint(&s, no_address[i], "E", &err) != TS_E_INVAL) fail_msg("%s", no_address[i]);
    assert_ok(ts_hub_token(&s, " hf_abc\r\n", 9, "T", &err));
    assert_string_equal(s, "hf_abc");
    ts_free(s);
    assert_ok(ts_hub_token(&s, " \n", 2, "T", &err));
    assert_null(s);
    static const char *const no_token[] = {"hf_a\nb", "hf_a b", "hf_\x7f", "hf_\xc3\xbc", "a\r\nX: y"};
    for (size_t i = 0; i < sizeof no_token / sizeof *no_token; i++) {
        assert_status(ts_hub_token(&s, no_token[i], strlen(no_token[i]), "T", &err), TS_E_INVAL);
        assert_null(strstr(err.msg, "hf_"));
    }
}

/* ---- quants ------------------------------------------------------------------------------------------------------ */

static void test_quants(void **state) {
    (void)state;
    static const char *const names[][2] = {{"tiny-Q4_K_M.gguf", "Q4_K_M"},
                                           {"dots-7b-chat.q5_k_m.gguf", "Q5_K_M"},
                                           {"Q4_K_M/name-00001-of-00003.gguf", "Q4_K_M"},
                                           {"a-BF16.gguf", "BF16"},
                                           {"a-F16.gguf", "F16"},
                                           {"a_f32.gguf", "F32"},
                                           {"a-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
                                           {"a-UD-IQ2_XXS.gguf", "UD-IQ2_XXS"},
                                           {"a-Q4_0_4_4.gguf", "Q4_0_4_4"},
                                           {"a-Q4_0.gguf", "Q4_0"},
                                           {"a-Q4_0_imatrix.gguf", "Q4_0"},
                                           {"F16/a-Q8_0.gguf", "Q8_0"},
                                           {"a-f16-Q4_K_S.gguf", "Q4_K_S"},
                                           {"a-MXFP4_MOE.gguf", "MXFP4_MOE"},
                                           {"a-mxfp4.gguf", "MXFP4"},
                                           {"a-TQ1_0.gguf", "TQ1_0"},
                                           {"a.i1-IQ3_M.gguf", "IQ3_M"},
                                           {"model.gguf", ""},
                                           {"aQ4_K_M.gguf", ""},
                                           {"a-Q4_K_Mx.gguf", "Q4_K"},
                                           {"a-Q4.gguf", ""},
                                           {"a-BQ4_0.gguf", ""},
                                           {"", ""}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char q[TS_HUB_QUANT_MAX];
        ts_hub_quant_of(names[i][0], q);
        if (strcmp(q, names[i][1]) != 0) fail_msg("%s: %s, not %s", names[i][0], q, names[i][1]);
    }
    assert_int_equal(ts_hub_quant_fits("UD-Q4_K_XL", "q4_k_xl"), 1);
    assert_int_equal(ts_hub_quant_fits("UD-Q4_K_XL", "ud-q4_k_xl"), 2);
    assert_int_equal(ts_hub_quant_fits("BF16", "F16"), 0);
    assert_int_equal(ts_hub_quant_fits("", ""), 0);
    assert_true(ts_hub_is_quant("q4_k_m") && ts_hub_is_quant("UD-Q4_K_XL") && !ts_hub_is_quant("Q4_K_M.gguf") &&
                !ts_hub_is_quant("v2"));
    assert_true(ts_hub_has_word("a/my-v2.gguf", "V2") && !ts_hub_has_word("a/my-v2_b.gguf", "v2") &&
                !ts_hub_has_word("a/myv2.gguf", "v2"));
    assert_true(ts_hub_is_aside("mmproj-F16.gguf") && ts_hub_is_aside("d/MTP-x.gguf") &&
                ts_hub_is_aside("x-imatrix.gguf") && !ts_hub_is_aside("smtp-x.gguf"));
    size_t prefix;
    unsigned index, count;
    assert_true(ts_hub_split("a/b-00002-OF-00010.GGUF", &prefix, &index, &count) && prefix == 3 && index == 2 &&
                count == 10);
    static const char *const whole[] = {"b-00000-of-00003.gguf", "b-00004-of-00003.gguf", "b-0001-of-0003.gguf",
                                        "-00001-of-00003.gguf",  "b00001-of-00003.gguf",  ""};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        assert_false(ts_hub_split(whole[i], &prefix, &index, &count));
}

/* ---- choices ----------------------------------------------------------------------------------------------------- */

static const char hash[] = "0123456789012345678901234567890123456789012345678901234567890123";

static void fill(ts_hub_files *f, const char *paths) {
    ts_err err;
    for (const char *p = paths; *p;) {
        const size_t n = strcspn(p, " ");
        assert_ok(ts_hub_files_add(f, p, n, 1, hash, &err));
        p += n + (p[n] == ' ');
    }
    ts_hub_files_end(f);
}

/* The chosen paths with blanks between, and what names them; "!" and the beginning of a message where there are none.
 */
static void choose(const char *paths, const char *tag, bool is_file, bool npu, const char *want, const char *name) {
    ts_hub_files f = {0};
    ts_hub_choice c = {0};
    ts_buf got = {0}, called = {0};
    ts_err err;
    fill(&f, paths);
    if (ts_hub_choose(&c, &f, "a/b", tag, is_file, npu, &err) == TS_OK)
        for (size_t i = 0; i < c.n; i++) assert_true(ts_buf_printf(&got, "%s%s", i ? " " : "", c.file[i]->path));
    else assert_true(ts_buf_printf(&got, "!%s", err.msg));
    if (*want == '!' ? strncmp(got.data, want, strlen(want)) != 0 : strcmp(got.data, want) != 0)
        fail_msg("%s of %s: %s", tag, paths, got.data);
    if (name) {
        assert_true(ts_hub_choice_name(&called, &c, &f) && ts_buf_reserve(&called, 1));
        assert_string_equal(called.data, name);
    }
    ts_hub_choice_free(&c);
    ts_hub_files_free(&f);
    ts_buf_free(&got), ts_buf_free(&called);
}

static void test_choices(void **state) {
    (void)state;
    const char *const many =
        "mmproj-F16.gguf x-BF16.gguf x-F16.gguf x-Q4_0.gguf x-Q4_K_M.gguf x-Q8_0.gguf x-imatrix.gguf";
    choose(many, "", false, false, "x-Q4_K_M.gguf", ":Q4_K_M");
    choose(many, "latest", false, false, "x-Q4_K_M.gguf", NULL);
    choose(many, "", false, true, "x-Q4_0.gguf", ":Q4_0");
    choose(many, "F16", false, false, "x-F16.gguf", ":F16");
    choose(many, "Q9_Z", false, false, "!a/b has no Q9_Z; there are: BF16, F16, Q4_0, Q4_K_M, Q8_0", NULL);
    choose(many, "X-Q8_0.GGUF", false, false, "x-Q8_0.gguf", ":Q8_0");
    choose(many, "mmproj-F16.gguf", true, false, "mmproj-F16.gguf", "/mmproj-F16.gguf");
    choose(many, "no.gguf", true, false, "!a/b has no file no.gguf; there are: ", NULL);
    choose("model.gguf", "", false, false, "model.gguf", "");
    choose("a.gguf b.gguf", "", false, false, "!a/b has several models", NULL);
    choose("a.gguf b.gguf", "b", false, false, "b.gguf", "/b.gguf");
    choose("z/x-Q4_K_M.gguf y-Q4_K_M.gguf yy-Q4_K_M.gguf", "q4_k_m", false, false, "y-Q4_K_M.gguf", ":Q4_K_M");
    choose("z/x-Q4_K_M.gguf y-Q4_K_M.gguf yy-Q4_K_M.gguf", "z/x-Q4_K_M.gguf", true, false, "z/x-Q4_K_M.gguf",
           "/z/x-Q4_K_M.gguf");
    choose("p/x-Q4_0-00001-of-00002.gguf p/x-Q4_0-00002-of-00002.gguf q/x-Q4_0-00001-of-00002.gguf",
           "p/x-Q4_0-00002-of-00002.gguf", true, false, "p/x-Q4_0-00001-of-00002.gguf p/x-Q4_0-00002-of-00002.gguf",
           ":Q4_0");
    choose("q/x-Q4_0-00001-of-00002.gguf", "", false, false, "!q/x-Q4_0-00001-of-00002.gguf: part 2 of 2 is missing",
           NULL);
    choose("q/x-Q4_0-00001-of-99999.gguf", "", false, false,
           "!q/x-Q4_0-00001-of-99999.gguf: part 2 of 99999 is missing", NULL);
    choose("A-Q4_0.gguf a-Q4_0.gguf a-Q8_0.gguf", "Q4_0", false, false, "!the list of files names", NULL);
    choose("A-Q4_0.gguf a-Q4_0.gguf a-Q8_0.gguf", "Q8_0", false, false, "a-Q8_0.gguf", ":Q8_0");
    choose("LICENSE.txt config.json consolidated.safetensors model.safetensors x/model.safetensors tokenizer.json y.h5",
           "", false, false, "LICENSE.txt config.json tokenizer.json model.safetensors", "");
    choose("config.json model.safetensors x-Q4_0.gguf", "safetensors", false, false, "config.json model.safetensors",
           ":safetensors");
    choose("config.json model-00001-of-00002.safetensors", "", false, false,
           "!model-00001-of-00002.safetensors: there are 1 of its 2 parts", NULL);
    choose("config.json model.fp16.safetensors model.safetensors model-00001-of-00002.safetensors", "", false, false,
           "config.json model.safetensors", "");
    choose("config.json pytorch_model.bin pytorch_model.fp16.bin", "", false, false, "config.json pytorch_model.bin",
           "");
    choose("config.json pytorch_model.bin training_args.bin", "", false, false, "config.json pytorch_model.bin", "");
    choose("config.json", "", false, false, "!there is no model in a/b", NULL);
    choose("model.safetensors", "", false, false, "!there is no model in a/b", NULL);
    choose("config.json model.safetensors", "Q4_0", false, false, "!a/b has no Q4_0: there is no GGUF", NULL);
}

static void test_many(void **state) {
    (void)state;
    ts_hub_files f = {0};
    ts_hub_choice c = {0};
    ts_err err;
    char path[60];
    for (unsigned i = 1; i <= 50000; i++) {
        snprintf(path, sizeof path, "x-Q4_0-%05u-of-50000.gguf", i);
        assert_ok(ts_hub_files_add(&f, path, strlen(path), 1, hash, &err));
        snprintf(path, sizeof path, "model%u-00001-of-00001.safetensors", i);
        assert_ok(ts_hub_files_add(&f, path, strlen(path), 1, hash, &err));
    }
    assert_ok(ts_hub_files_add(&f, "config.json", 11, 1, hash, &err));
    ts_hub_files_end(&f);
    assert_status(ts_hub_choose(&c, &f, "a/b", "", false, false, &err), TS_E_LIMIT);
    assert_status(ts_hub_choose(&c, &f, "a/b", "safetensors", false, false, &err), TS_E_LIMIT);
    ts_hub_files_free(&f);
}

static void test_index(void **state) {
    (void)state;
    ts_hub_files f = {0};
    ts_hub_choice c = {0};
    ts_err err;
    const char **path = NULL;
    size_t n = 0;
    fill(&f, "a.safetensors b.safetensors config.json model.safetensors.index.json");
    assert_ok(ts_hub_choose(&c, &f, "a/b", "", false, false, &err));
    assert_non_null(c.index);
    assert_int_equal(c.n, 2);
    const char good[] = "{\"metadata\": {}, \"weight_map\": {\"x\": \"b.safetensors\", \"y\": \"b.safetensors\"}}";
    assert_ok(ts_hub_index_parse(&f.arena, &path, &n, good, sizeof good - 1, &err));
    assert_int_equal(n, 1);
    assert_ok(ts_hub_choose_indexed(&c, &f, path, n, &err));
    assert_int_equal(c.n, 3);
    ts_free(path);
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"weight_map\": {}}",
                                      "{\"weight_map\": {\"x\": \"../b\"}}",
                                      "{\"weight_map\": {\"x\": 1}}",
                                      "<html>",
                                      "{\"weight_map\": {\"x\": \"a\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_status(ts_hub_index_parse(&f.arena, &path, &n, bad[i], strlen(bad[i]), &err), TS_E_FORMAT);
    const char *const none[] = {"c.safetensors"};
    assert_status(ts_hub_choose_indexed(&c, &f, none, 1, &err), TS_E_FORMAT);
    ts_hub_choice_free(&c);
    ts_hub_files_free(&f);
}

static bool choose_once(void *ud) {
    static const char json[] = "[{\"type\":\"file\",\"path\":\"x-Q4_0-00001-of-00002.gguf\",\"size\":1,\"oid\":\"\"},"
                               "{\"type\":\"file\",\"path\":\"x-Q4_0-00002-of-00002.gguf\",\"size\":1,\"oid\":\"\"}]";
    ts_hub_files f = {0};
    ts_hub_choice c = {0};
    ts_err err;
    ts_buf name = {0};
    (void)ud;
    bool ok = ts_hub_files_page(&f, json, sizeof json - 1, &err) == TS_OK;
    if (ok) ts_hub_files_end(&f);
    ok = ok && ts_hub_choose(&c, &f, "a/b", "", false, false, &err) == TS_OK && ts_hub_choice_name(&name, &c, &f);
    ts_buf_free(&name);
    ts_hub_choice_free(&c);
    ts_hub_files_free(&f);
    return ok;
}

static void test_memory(void **state) {
    (void)state;
    alloc_fail_loop(choose_once, NULL, true); /* the name is then one that is longer */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_paths),  cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_surroundings), cmocka_unit_test(test_quants), cmocka_unit_test(test_choices),
        cmocka_unit_test(test_index),        cmocka_unit_test(test_many),   cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
