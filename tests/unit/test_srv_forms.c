/* Constraints that are kept for the next request: found again, apart where anything differs, let go in order. */
#include "support/test.h"
#include "support/alloc_fail.h"

#include "server/forms.h"

static ts_err err;
static ts_engine *e;

static int setup(void **state) {
    char path[512];
    const char *source = getenv("TESSERA_SOURCE");
    (void)state;
    snprintf(path, sizeof path, "%s/models/tessera-tiny-q4_0.gguf", source ? source : ".");
    assert_ok(ts_engine_open(&e, path, &(ts_engine_opts){.text_only = true}, &err));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    ts_engine_close(e);
    return 0;
}

static ts_constraint_opts regex(const char *text) {
    return (ts_constraint_opts){.kind = TS_CONSTRAIN_REGEX, .text = text, .len = strlen(text)};
}

static void test_found_again(void **state) {
    (void)state;
    srv_forms f;
    srv_form *a, *b, *c, *d;
    ts_constraint_opts o = regex("a|b");
    srv_forms_init(&f);
    assert_ok(srv_form_get(&f, e, &o, &a, &err));
    assert_ok(srv_form_get(&f, e, &o, &b, &err));
    assert_ptr_equal(a, b);
    o.thinking = true;
    assert_ok(srv_form_get(&f, e, &o, &c, &err));
    o = regex("a|c");
    assert_ok(srv_form_get(&f, e, &o, &d, &err));
    assert_true(a != c && a != d && c != d);
    assert_ptr_not_equal(srv_form_constraint(a), srv_form_constraint(d));
    srv_form_drop(&f, b), srv_form_drop(&f, c), srv_form_drop(&f, d);
    srv_form_drop(&f, NULL);
    for (int i = 0; i < 3 * SRV_FORMS; i++) { /* a is held, and stays though it falls out of the list */
        char text[16];
        snprintf(text, sizeof text, "x%d", i);
        o = regex(text);
        assert_ok(srv_form_get(&f, e, &o, &d, &err));
        srv_form_drop(&f, d);
    }
    assert_non_null(srv_form_constraint(a));
    o = regex("a|b");
    assert_ok(srv_form_get(&f, e, &o, &b, &err));
    assert_ptr_not_equal(a, b);
    srv_form_drop(&f, a), srv_form_drop(&f, b);
    o = regex("(");
    assert_status(srv_form_get(&f, e, &o, &a, &err), TS_E_FORMAT);
    srv_forms_fini(&f);
}

static bool get_once(void *ud) {
    srv_forms f;
    srv_form *a;
    const ts_constraint_opts o = regex("a+");
    (void)ud;
    srv_forms_init(&f);
    const ts_status s = srv_form_get(&f, e, &o, &a, &err);
    if (s == TS_OK) srv_form_drop(&f, a);
    else assert_int_equal(s, TS_E_NOMEM);
    srv_forms_fini(&f);
    return s == TS_OK;
}

static void test_memory(void **state) {
    (void)state;
    assert_true(get_once(NULL)); /* the vocabulary's trie is the engine's, made once */
    alloc_fail_loop(get_once, NULL, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found_again), cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
