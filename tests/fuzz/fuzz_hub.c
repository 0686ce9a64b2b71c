/* What a hub sends, by its first byte: a page of a listing, from which a model is then chosen; what is said about a
 * model; an index of shards; headers of an answer; and names that people type. Whatever is accepted keeps to what the
 * headers of src/hub promise. */
#include "hub/hub_http.h"
#include "hub/hub_listing.h"
#include "hub/hub_select.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool kept) {
    if (!kept) abort();
}

static void listing(const char *s, size_t len) {
    static const char *const tags[] = {"", "Q4_0", "safetensors", "x.gguf"};
    ts_hub_files f = {0};
    ts_err err;
    if (ts_hub_files_page(&f, s, len, &err) == TS_OK) {
        ts_hub_files_end(&f);
        for (size_t i = 0; i < f.n; i++) {
            need(!ts_hub_path_fault(f.item[i].path, strlen(f.item[i].path)) &&
                 ts_hub_files_find(&f, f.item[i].path) == &f.item[i]);
            need(!*f.item[i].hash || ts_hub_is_hash(f.item[i].hash, strlen(f.item[i].hash)));
        }
        for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
            ts_hub_choice c, again;
            ts_buf name = {0};
            if (ts_hub_choose(&c, &f, "a/b", tags[i], i == 3, i == 0, &err) != TS_OK) continue;
            need(c.n && ts_hub_choice_name(&name, &c, &f));
            if (c.kind == TS_HUB_GGUF && name.len) { /* its name chooses it again */
                need(ts_hub_choose(&again, &f, "a/b", name.data + 1, name.data[0] == '/', false, &err) == TS_OK &&
                     again.n == c.n && again.file[0] == c.file[0]);
                ts_hub_choice_free(&again);
            }
            ts_buf_free(&name);
            ts_hub_choice_free(&c);
        }
    }
    ts_hub_files_free(&f);
}

static void headers(const char *s, size_t len) {
    ts_hub_answer a = {.own = true};
    ts_span url = {0};
    ts_buf out = {0};
    ts_err err;
    for (const char *end = s + len; s < end;) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        const size_t n = nl ? (size_t)(nl - s) + 1 : (size_t)(end - s);
        ts_hub_answer_header(&a, s, n);
        s += n;
    }
    need(!*a.linked_hash || ts_hub_is_hash(a.linked_hash, strlen(a.linked_hash)));
    if (a.link.len && ts_hub_link_next(a.link.data, &url)) need(url.len && url.data >= (uint8_t *)a.link.data);
    if (a.location.len && ts_hub_redirect(&out, "https://m:1/hub", "https://h/a", a.location.data, &err) == TS_OK)
        need(!strncmp(out.data, "https://", 8));
    ts_buf_free(&out);
    ts_hub_answer_free(&a);
}

static void typed(const char *s) {
    ts_hub_name n;
    char quant[TS_HUB_QUANT_MAX], *text = NULL;
    ts_err err;
    if (ts_hub_name_parse(&n, s, "http://m:1/hub", &err) == TS_OK) {
        need(ts_hub_is_repo(n.repo, strlen(n.repo)) && (!*n.tag || !ts_hub_path_fault(n.tag, strlen(n.tag))));
        need(!strstr(n.rev, "..") && !strchr(n.rev, '\\'));
    }
    if (ts_hub_quant_of(s, quant)) need(ts_hub_is_quant(quant));
    if (ts_hub_endpoint(&text, s, "E", &err) == TS_OK) ts_free(text);
    if (ts_hub_token(&text, s, strlen(s), "T", &err) == TS_OK) ts_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ts_hub_info info;
    ts_arena arena = {0};
    const char **path = NULL;
    size_t n = 0;
    ts_err err;
    if (size < 2) return 0;
    char *s = ts_strndup((const char *)data + 1, size - 1);
    need(s != NULL);
    switch (data[0] % 5) {
    case 0:
        listing(s, size - 1);
        break;
    case 1:
        if (ts_hub_info_parse(&info, s, size - 1, &err) == TS_OK)
            need(ts_hub_is_commit(info.commit, strlen(info.commit)));
        break;
    case 2:
        if (ts_hub_index_parse(&arena, &path, &n, s, size - 1, &err) != TS_OK) break;
        for (size_t i = 0; i < n; i++) need(!ts_hub_path_fault(path[i], strlen(path[i])));
        ts_free(path);
        break;
    case 3:
        headers(s, size - 1);
        break;
    default:
        typed(s);
    }
    ts_arena_free(&arena);
    ts_free(s);
    return 0;
}
