/* The APIs beside OpenAI's chats, from a request's body to its answer's last byte, with the bundled model: whole and
 * streamed answers say the same, and the same as a chat of OpenAI's; calls, cut answers, counts, refusals in the API's
 * own form. (Without the failing allocator of other tests, which one thread uses at a time.) */
#include "support/test.h"

#include "base/json_tree.h"
#include "server/server_int.h"

#include <time.h>

static ts_server *srv;
static ts_arena arena;
static ts_err err;

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static const srv_route *find(const char *path) {
    static const srv_route *const tables[] = {srv_openai_routes, srv_anthropic_routes, srv_ollama_routes,
                                              srv_responses_routes};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const srv_route *r = tables[t]; r->path; r++)
            if (!strcmp(r->path, path)) return r;
    fail_msg("there is no %s", path);
    return NULL;
}

/* The answer's bytes, NUL-terminated, in the arena; *status of it. */
static char *ask(const char *path, const char *body, int *status) {
    const struct timespec tick = {.tv_nsec = 100 * 1000};
    srv_job *job = srv_job_new(srv);
    ts_buf out = {0};
    assert_non_null(job);
    assert_true(ts_buf_puts(&job->body, body));
    job->route = find(path);
    job->route->handle(job);
    for (bool over = false; !over; nanosleep(&tick, NULL)) {
        pthread_mutex_lock(&job->lock);
        over = job->ended;
        assert_true(ts_buf_append(&out, job->out.data ? job->out.data + job->taken : "", job->out.len - job->taken));
        job->taken = job->out.len;
        pthread_mutex_unlock(&job->lock);
    }
    *status = job->status;
    char *text = ts_arena_strndup(&arena, out.data ? out.data : "", out.len);
    assert_non_null(text);
    ts_buf_free(&out);
    srv_job_drop(job);
    return text;
}

static const ts_jval *json(const char *text, size_t len) {
    const ts_jval *v = NULL;
    if (ts_jtree_parse(&v, &arena, text, len, NULL, &err) != TS_OK) fail_msg("%s: %.*s", err.msg, (int)len, text);
    return v;
}

static const ts_jval *answer(const char *path, const char *body) {
    int status;
    const char *text = ask(path, body, &status);
    if (status != 200) fail_msg("%s: %d %s", path, status, text);
    return json(text, strlen(text));
}

/* A value within a value: names and numbers of items, "content.0.text". */
static const ts_jval *at(const ts_jval *v, const char *path) {
    for (const char *p = path; v && *p;) {
        char name[40];
        const size_t n = strcspn(p, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        if (v->type == TS_JSON_ARRAY) {
            const ts_jval *item = v->first;
            for (long i = strtol(name, NULL, 10); i > 0 && item; i--) item = item->next;
            v = item;
        } else {
            v = ts_jval_get(v, name);
        }
        p += n + (p[n] == '.');
    }
    return v;
}

static const char *text_at(const ts_jval *v, const char *path) {
    const ts_jval *found = at(v, path);
    if (!found || found->type != TS_JSON_STRING)
        fail_msg("no text at %s in %.*s", path, (int)v->source.len, (const char *)v->source.data);
    return (const char *)found->text.data;
}

static long number_at(const ts_jval *v, const char *path) {
    const ts_jval *found = at(v, path);
    int64_t n;
    if (!srv_whole(found, &n))
        fail_msg("no number at %s in %.*s", path, (int)v->source.len, (const char *)v->source.data);
    return (long)n;
}

/* The next event or line of a stream; NULL: it is over. `name`: what stands behind "event: ". */
static const ts_jval *next_event(const char **stream, char *name, size_t cap) {
    if (name) *name = 0;
    while (**stream) {
        const char *line = *stream;
        const size_t n = strcspn(line, "\n");
        *stream += n + (line[n] == '\n');
        if (name && n > 7 && !strncmp(line, "event: ", 7)) snprintf(name, cap, "%.*s", (int)n - 7, line + 7);
        if (n > 6 && !strncmp(line, "data: ", 6)) return json(line + 6, n - 6);
        if (n > 0 && *line == '{') return json(line, n);
    }
    return NULL;
}

#define STORY "Tell me a story about a cat."
#define SCHEMA                                                                                                         \
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9}},"                  \
    "\"required\":[\"a\"],\"additionalProperties\":false}"

/* What a chat of OpenAI's says to the story. */
static const char *chat_text(int max) {
    char body[300];
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"" STORY "\"}],\"temperature\":0,"
             "\"max_tokens\":%d}", max);
    return text_at(answer("/v1/chat/completions", body), "choices.0.message.content");
}

/* ---- Anthropic's ------------------------------------------------------------------------------------------------- */

#define MESSAGES(more) \
    "{\"model\":\"m\",\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":\"" STORY "\"}]" more "}"

/* The order of events, and what they add up to. */
static void add_up(const char *stream, char *order, size_t cap, ts_buf *text, ts_buf *arguments, const char **stop) {
    char name[60];
    size_t len = 0;
    *order = 0;
    for (const ts_jval *e; (e = next_event(&stream, name, sizeof name));) {
        assert_string_equal(name, text_at(e, "type"));
        if (!len || strcmp(order + len, name) != 0) {
            if (*order) strncat(order, " ", cap - strlen(order) - 1);
            len = strlen(order);
            strncat(order, name, cap - len - 1);
        }
        const ts_jval *t = at(e, "delta.text"), *a = at(e, "delta.partial_json"), *r = at(e, "delta.stop_reason");
        if (t) assert_true(ts_buf_append(text, t->text.data, t->text.len));
        if (a) assert_true(ts_buf_append(arguments, a->text.data, a->text.len));
        if (r) *stop = (const char *)r->text.data;
    }
}

static void test_anthropic(void **state) {
    (void)state;
    const ts_jval *r = answer("/v1/messages", MESSAGES(",\"max_tokens\":20"));
    assert_string_equal(text_at(r, "content.0.text"), chat_text(20));
    assert_string_equal(text_at(r, "stop_reason"), "max_tokens");
    assert_int_equal(number_at(r, "usage.output_tokens"), 20);
    const long n = number_at(answer("/v1/messages/count_tokens", MESSAGES("")), "input_tokens");
    assert_int_equal(number_at(r, "usage.input_tokens") + number_at(r, "usage.cache_read_input_tokens"), n);

    int status;
    char order[400];
    const char *stop = "";
    ts_buf text = {0}, arguments = {0};
    const char *stream = ask("/v1/messages", MESSAGES(",\"max_tokens\":20,\"stream\":true"), &status);
    add_up(stream, order, sizeof order, &text, &arguments, &stop);
    assert_string_equal(order, "message_start content_block_start content_block_delta content_block_stop message_delta "
                               "message_stop");
    assert_string_equal(text.data, text_at(r, "content.0.text"));
    assert_string_equal(stop, "max_tokens");
    ts_buf_free(&text);
    ts_buf_free(&arguments);
}

static void test_anthropic_tools(void **state) {
    (void)state;
#define CALL ",\"tools\":[{\"name\":\"f\",\"input_schema\":" SCHEMA "}],\"tool_choice\":"
#define NAMED "{\"type\":\"tool\",\"name\":\"f\"}"
    const ts_jval *r = answer("/v1/messages", MESSAGES(CALL NAMED ",\"max_tokens\":200"));
    assert_string_equal(text_at(r, "stop_reason"), "tool_use");
    assert_string_equal(text_at(r, "content.0.type"), "tool_use");
    assert_string_equal(text_at(r, "content.0.name"), "f");
    (void)number_at(r, "content.0.input.a");
    assert_null(at(r, "content.1"));

    int status;
    char order[400];
    const char *stop = "";
    ts_buf text = {0}, arguments = {0};
    const char *stream = ask("/v1/messages", MESSAGES(CALL NAMED ",\"max_tokens\":200,\"stream\":true"), &status);
    add_up(stream, order, sizeof order, &text, &arguments, &stop);
    assert_int_equal(text.len, 0);
    assert_string_equal(stop, "tool_use");
    const ts_span input = at(r, "content.0.input")->source;
    assert_true(arguments.len == input.len && !memcmp(arguments.data, input.data, input.len));
    ts_buf_free(&arguments);
    /* a call that was cut off is nobody's */
    r = answer("/v1/messages", MESSAGES(CALL "{\"type\":\"any\"},\"max_tokens\":12"));
    assert_string_equal(text_at(r, "stop_reason"), "max_tokens");
    assert_null(at(r, "content.0"));
#undef NAMED
#undef CALL
}

/* The system message in all its forms; the line that changes with every request is not part of it. */
static void test_anthropic_system(void **state) {
    (void)state;
    static const char *const same[] = {
        ",\"system\":\"Be brief.\"", ",\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\"}]",
        (",\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: a=1\"},{\"type\":\"text\",\"text\":"
         "\"Be brief.\",\"cache_control\":{\"type\":\"ephemeral\"}}]")};
    long n[3];
    char body[600];
    for (int i = 0; i < 3; i++) {
        snprintf(body, sizeof body, MESSAGES("%s"), same[i]);
        n[i] = number_at(answer("/v1/messages/count_tokens", body), "input_tokens");
    }
    assert_true(n[0] == n[1] && n[1] == n[2]);
    assert_true(n[0] > number_at(answer("/v1/messages/count_tokens", MESSAGES("")), "input_tokens"));
}

/* ---- Ollama's ---------------------------------------------------------------------------------------------------- */

#define OLLAMA(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"" STORY "\"}]," more "}"

static void test_ollama(void **state) {
    (void)state;
    int status;
    ts_buf text = {0};
    const char *stream = ask("/api/chat", OLLAMA("\"options\":{\"temperature\":0,\"num_predict\":20}"), &status);
    const ts_jval *last = NULL;
    for (const ts_jval *e; (e = next_event(&stream, NULL, 0)); last = e) {
        if (last) assert_false(at(last, "done")->truth);
        assert_true(ts_buf_puts(&text, text_at(e, "message.content")));
    }
    assert_true(last && at(last, "done")->truth);
    assert_string_equal(text_at(last, "done_reason"), "length");
    assert_int_equal(number_at(last, "eval_count"), 20);
    assert_true(number_at(last, "total_duration") >= number_at(last, "eval_duration"));
    assert_string_equal(text.data, chat_text(20));
    ts_buf_free(&text);

    const ts_jval *r = answer("/api/generate", "{\"model\":\"m:latest\",\"prompt\":\"" STORY "\",\"stream\":false,"
                                               "\"options\":{\"temperature\":0,\"num_predict\":20}}");
    assert_string_equal(text_at(r, "response"), chat_text(20));
    assert_string_equal(text_at(r, "model"), "m:latest");
    const long n = number_at(r, "prompt_eval_count");
    r = answer("/api/generate", "{\"model\":\"m\",\"prompt\":\"" STORY "\",\"stream\":false,\"raw\":true,\"options\":"
                                "{\"num_predict\":1}}");
    assert_true(number_at(r, "prompt_eval_count") < n);
    r = answer("/api/generate", "{\"model\":\"m\",\"keep_alive\":\"1h30m\"}");
    assert_string_equal(text_at(r, "done_reason"), "load");
    r = answer("/api/chat", OLLAMA("\"stream\":false,\"format\":" SCHEMA ",\"options\":{\"num_predict\":60}"));
    (void)number_at(json(text_at(r, "message.content"), strlen(text_at(r, "message.content"))), "a");
}

static void test_ollama_lists(void **state) {
    (void)state;
    const ts_jval *r = answer("/api/tags", "");
    assert_string_equal(text_at(r, "models.0.name"), "m:latest");
    assert_string_equal(text_at(r, "models.0.details.family"), "llama");
    assert_int_equal(strlen(text_at(r, "models.0.digest")), 64);
    r = answer("/api/ps", "");
    assert_int_equal(number_at(r, "models.0.context_length"), 512);
    assert_int_equal(strlen(text_at(r, "models.0.expires_at")), 30);
    r = answer("/api/show", "{\"model\":\"m\"}");
    assert_string_equal(text_at(r, "capabilities.0"), "completion");
    const ts_jval *info = at(r, "model_info");
    assert_true(ts_jval_is(ts_jval_get(info, "general.architecture"), "llama"));
    assert_true(ts_span_is(ts_jval_get(info, "llama.context_length")->text, "512"));
}

static void test_embeddings(void **state) {
    (void)state;
    const ts_jval *r = answer("/api/embed", "{\"model\":\"m\",\"input\":[\"a cat\",\"a dog\",\"a cat\"]}");
    const ts_jval *all = at(r, "embeddings");
    assert_int_equal(all->n, 3);
    const ts_span first = all->first->source, third = all->first->next->next->source;
    assert_true(first.len == third.len && !memcmp(first.data, third.data, first.len));
    double squares = 0;
    for (const ts_jval *v = all->first->first; v; v = v->next) {
        const double x = strtod((const char *)v->text.data, NULL);
        squares += x * x;
    }
    assert_true(squares > 0.9999 && squares < 1.0001);
    r = answer("/api/embeddings", "{\"model\":\"m\",\"prompt\":\"a cat\"}");
    assert_true(at(r, "embedding")->n == all->first->n);
    assert_string_equal(text_at(at(answer("/v1/embeddings", "{\"model\":\"m\",\"input\":[1,2]}"), "data.0"), "object"),
                        "embedding");
}

/* ---- Responses --------------------------------------------------------------------------------------------------- */

/* The last event's response; numbers rise, and the items that were done are those of its output. */
static const ts_jval *add_up_response(const char *stream, ts_buf *deltas) {
    long sequence = -1;
    size_t items = 0;
    const ts_jval *done[8] = {0}, *last = NULL;
    char name[60];
    for (const ts_jval *e; (e = next_event(&stream, name, sizeof name)); last = e) {
        assert_string_equal(name, text_at(e, "type"));
        assert_true(number_at(e, "sequence_number") > sequence);
        sequence = number_at(e, "sequence_number");
        const ts_jval *delta = at(e, "delta");
        if (delta) assert_true(ts_buf_append(deltas, delta->text.data, delta->text.len));
        if (!strcmp(name, "response.output_item.done") && items < 8) done[items++] = at(e, "item");
    }
    assert_non_null(last);
    const ts_jval *output = at(last, "response.output"), *item = output->first;
    assert_int_equal(output->n, items);
    for (size_t i = 0; i < items; i++, item = item->next)
        assert_true(item->source.len == done[i]->source.len &&
                    !memcmp(item->source.data, done[i]->source.data, item->source.len));
    return at(last, "response");
}

static void test_responses(void **state) {
    (void)state;
#define INPUT "{\"model\":\"m\",\"input\":\"" STORY "\",\"temperature\":0,"
    int status;
    ts_buf deltas = {0};
    const ts_jval *r = answer("/v1/responses", INPUT "\"max_output_tokens\":20}");
    assert_string_equal(text_at(r, "output.0.content.0.text"), chat_text(20));
    assert_string_equal(text_at(r, "status"), "incomplete");
    assert_string_equal(text_at(r, "incomplete_details.reason"), "max_output_tokens");
    assert_int_equal(number_at(r, "usage.total_tokens"),
                     number_at(r, "usage.input_tokens") + number_at(r, "usage.output_tokens"));
    const char *stream = ask("/v1/responses", INPUT "\"max_output_tokens\":20,\"stream\":true}", &status);
    const ts_jval *s = add_up_response(stream, &deltas);
    assert_string_equal(deltas.data, chat_text(20));
    assert_string_equal(text_at(s, "status"), "incomplete");
    ts_buf_free(&deltas);

#define CALL                                                                                                           \
    "\"max_output_tokens\":200,\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":" SCHEMA "}],"          \
    "\"tool_choice\":\"required\",\"parallel_tool_calls\":false"
    r = answer("/v1/responses", INPUT CALL "}");
    assert_string_equal(text_at(r, "status"), "completed");
    assert_string_equal(text_at(r, "output.0.type"), "function_call");
    stream = ask("/v1/responses", INPUT CALL ",\"stream\":true}", &status);
    s = add_up_response(stream, &deltas);
    assert_string_equal(deltas.data, text_at(r, "output.0.arguments"));
    assert_string_equal(text_at(s, "output.0.arguments"), deltas.data);
    ts_buf_free(&deltas);
    /* and back again */
    r = answer("/v1/responses",
               "{\"model\":\"m\",\"max_output_tokens\":4,\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
               "\"input_text\",\"text\":\"Hi\"}]},{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\","
               "\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"5\"}]}");
    assert_true(strlen(text_at(r, "output.0.content.0.text")) > 0);
#undef CALL
#undef INPUT
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
#define A "{\"model\":\"m\",\"max_tokens\":3,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
    static const struct {
        const char *path, *body;
        int status;
        const char *words;
    } bad[] = {
        {"/v1/messages", "{", 400, "JSON"},
        {"/v1/messages", "{\"model\":\"m\",\"max_tokens\":3}", 400, "messages is missing"},
        {"/v1/messages", "{\"model\":\"m\",\"max_tokens\":3,\"messages\":[]}", 400, "messages is empty"},
        {"/v1/messages", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", 400, "max_tokens"},
        {"/v1/messages", "{\"max_tokens\":3}", 400, "model is missing"},
        {"/v1/messages", "{\"model\":\"n\",\"max_tokens\":3}", 404, "n"},
        {"/v1/messages", "{\"model\":\"m\",\"max_tokens\":3,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                         "\"image\"}]}]}", 400, "messages[0].content[0] is of type image"},
        {"/v1/messages", "{\"model\":\"m\",\"max_tokens\":3,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                         "\"tool_result\",\"content\":\"5\"}]}]}", 400, "tool_use_id"},
        {"/v1/messages", A ",\"tool_choice\":{\"type\":\"any\"}}", 400, "no tools"},
        {"/v1/messages", A ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"w\"}]}", 400, "tools[0]"},
        {"/v1/messages", A ",\"tools\":[{\"name\":\"f\"}],\"tool_choice\":{\"type\":\"tool\",\"name\":\"gg\"}}", 400,
         "gg"},
        {"/v1/messages", A ",\"temperature\":-1}", 400, "temperature"},
        {"/v1/messages/count_tokens", "{\"model\":\"m\"}", 400, "messages"},
        {"/api/chat", "{\"model\":\"m\",\"messages\":\"x\"}", 400, "messages has to be a list"},
        {"/api/chat", "{\"model\":\"n\",\"messages\":[]}", 404, "n"},
        {"/api/chat", "{\"messages\":[]}", 400, "model is missing"},
        {"/api/chat", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"images\":[\"QQ\"]}]}", 400,
         "messages[0].images"},
        {"/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"suffix\":\"y\"}", 400, "suffix"},
        {"/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"think\":true}", 400, "does not support thinking"},
        {"/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"options\":{\"num_ctx\":100000}}", 400, "num_ctx"},
        {"/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"keep_alive\":\"5 minutes\"}", 400, "keep_alive"},
        {"/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"format\":\"xml\"}", 400, "format"},
        {"/api/embed", "{\"model\":\"m\",\"input\":[]}", 400, "empty"},
        {"/api/embed", "{\"model\":\"m\",\"input\":[1,99999]}", 400, "no token"},
        {"/api/embed", "{\"model\":\"m\",\"input\":{}}", 400, "input has to be"},
        {"/v1/responses", "{\"model\":\"m\"}", 400, "input has to be"},
        {"/v1/responses", "{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":\"r\"}", 400, "keeps no"},
        {"/v1/responses", "{\"model\":\"m\",\"input\":\"x\",\"store\":true}", 400, "store"},
        {"/v1/responses", "{\"model\":\"m\",\"input\":\"x\",\"truncation\":\"auto\"}", 400, "truncation"},
        {"/v1/responses", "{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"i\"}]}", 400, "input[0]"},
        {"/v1/responses", "{\"model\":\"m\",\"input\":\"x\",\"tools\":[{\"type\":\"web_search\"}]}", 400, "tools[0]"},
    };
#undef A
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status;
        const char *text = ask(bad[i].path, bad[i].body, &status);
        const ts_jval *v = json(text, strlen(text));
        const char *words = !strncmp(bad[i].path, "/api/", 5) ? text_at(v, "error") : text_at(v, "error.message");
        if (status != bad[i].status || !strstr(words, bad[i].words))
            fail_msg("%s %s: %d %s", bad[i].path, bad[i].body, status, text);
        if (!strncmp(bad[i].path, "/v1/messages", 12)) {
            assert_string_equal(text_at(v, "type"), "error");
            assert_string_equal(text_at(v, "error.type"), status == 404 ? "not_found_error" : "invalid_request_error");
        }
    }
}

static int set_up(void **state) {
    (void)state;
    static char path[512];
    snprintf(path, sizeof path, "%s/models/tessera-tiny-q8_0.gguf", getenv("TESSERA_SOURCE"));
    const ts_server_model model = {.path = path, .name = "m"};
    assert_ok(ts_server_new(&srv, &(ts_server_opts){.model = &model, .n_model = 1, .n_parallel = 2, .n_ctx = 512,
                                                    .engine = {.n_threads = 1}}, &err));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    ts_server_free(srv);
    ts_arena_free(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anthropic),    cmocka_unit_test(test_anthropic_tools),
        cmocka_unit_test(test_anthropic_system), cmocka_unit_test(test_ollama), cmocka_unit_test(test_ollama_lists),
        cmocka_unit_test(test_embeddings),   cmocka_unit_test(test_responses), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("srv_apis", tests, set_up, tear_down);
}
