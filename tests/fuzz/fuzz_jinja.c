/* Chat templates: the input up to a line "---" is the template, the rest the context as JSON (without it: a small
 * conversation). */
#include "text/jinja/jinja.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char usual[] = "{\"messages\": [{\"role\": \"system\", \"content\": \" Be brief. \"}, {\"role\": "
                            "\"user\", \"content\": \"H\xC3\xA9llo <b>\"},"
                            "{\"role\": \"assistant\", \"content\": \"a\\nb\", \"tool_calls\": [{\"function\": "
                            "{\"name\": \"f\", \"arguments\": {\"x\": 1.5, \"y\": [null, true]}}}]}],"
                            "\"tools\": null, \"bos_token\": \"<s>\", \"x\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": "
                            "\"two\"}, \"add_generation_prompt\": true}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const char *const trusted[] = {"bos_token", NULL};
    const char *text = (const char *)data;
    const char *cut = NULL;
    for (size_t i = 0; i + 5 <= len && !cut; i++)
        if (memcmp(text + i, "\n---\n", 5) == 0) cut = text + i;
    json_t *context = cut ? json_loadb(cut + 5, len - (size_t)(cut + 5 - text), 0, NULL) : json_loads(usual, 0, NULL);
    ts_jinja *t = NULL;
    ts_err err = {0};
    if (ts_jinja_parse(&t, text, cut ? (size_t)(cut - text) : len, &err) == TS_OK) {
        ts_jinja_opts opts = {
            .now = 1722000000, .max_steps = 200000, .max_output = 1 << 18, .max_memory = 16 << 20, .trusted = trusted};
        ts_jinja_out out = {0};
        ts_status s = ts_jinja_render(t, context, &opts, &out, &err);
        if (s == TS_OK) {
            size_t end = 0;
            for (size_t i = 0; i < out.n_data; i++) {
                if (out.data[i].begin >= out.data[i].end || out.data[i].end > out.text.len ||
                    (i && out.data[i].begin <= end))
                    abort();
                end = out.data[i].end;
            }
            json_t *s8 = json_stringn(out.text.len ? out.text.data : "", out.text.len); /* NULL: not UTF-8 */
            if (!s8) abort();
            json_decref(s8);
        } else if (!err.msg[0] || strchr(err.msg, '\n') || out.text.data) {
            abort();
        }
        ts_jinja_out_free(&out);
    } else if (t || !err.msg[0] || strchr(err.msg, '\n')) {
        abort();
    }
    ts_jinja_free(t);
    json_decref(context);
    return 0;
}
