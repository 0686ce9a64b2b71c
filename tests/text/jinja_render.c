/* Renders chat templates for check_jinja.py. Standard input: a JSON list of {"template", "context", "now"
 * (seconds)}; standard output: a JSON list of {"text", "data": [[begin, end], ...]} or {"error"}. */
#include "text/jinja/jinja.h"

#include <stdio.h>
#include <string.h>

static json_t *render(const json_t *c) {
    static const char *const trusted[] = {"bos_token", "eos_token", NULL};
    ts_err err = {0};
    ts_jinja *t = NULL;
    ts_jinja_out out = {0};
    json_t *made = json_object();
    const json_t *text = json_object_get(c, "template");
    ts_jinja_opts opts = {.now = json_integer_value(json_object_get(c, "now")), .trusted = trusted};
    ts_status s = ts_jinja_parse(&t, json_string_value(text), json_string_length(text), &err);
    if (s == TS_OK) s = ts_jinja_render(t, json_object_get(c, "context"), &opts, &out, &err);
    if (s == TS_OK) {
        json_t *data = json_array();
        for (size_t i = 0; i < out.n_data; i++)
            json_array_append_new(data,
                                  json_pack("[I, I]", (json_int_t)out.data[i].begin, (json_int_t)out.data[i].end));
        json_object_set_new(made, "text", json_stringn(out.text.len ? out.text.data : "", out.text.len));
        json_object_set_new(made, "data", data);
    } else {
        json_object_set_new(made, "error", json_string(err.msg));
        json_object_set_new(made, "status", json_string(ts_status_name(s)));
    }
    ts_jinja_out_free(&out);
    ts_jinja_free(t);
    return made;
}

int main(void) {
    json_error_t e;
    json_t *cases = json_loadf(stdin, JSON_ALLOW_NUL, &e), *results = json_array();
    if (!json_is_array(cases)) {
        fprintf(stderr, "standard input: %s\n", cases ? "not a list" : e.text);
        return 1;
    }
    for (size_t i = 0; i < json_array_size(cases); i++)
        json_array_append_new(results, render(json_array_get(cases, i)));
    json_dumpf(results, stdout, JSON_COMPACT);
    json_decref(cases);
    json_decref(results);
    return 0;
}
