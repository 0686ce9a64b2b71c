/* tok_beside.c - what lies beside a tokenizer in its folder: added tokens, names and ids of its special tokens, chat
 * templates.
 *
 * Which of them wins where several speak of the same: for tokens tokenizer_config.json, then special_tokens_map.json,
 * then config.json, then generation_config.json; every id that one of them lists as an end is one. For the chat
 * template chat_template.jinja, which newer tools write, then chat_template.json, then tokenizer_config.json. */
#include "base/file.h"
#include "base/json_tree.h"
#include "base/log.h"
#include "base/stand_in.h"
#include "text/tok_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

enum { CONFIG_MAX = 16 << 20, CONFIG_VALUES = 1 << 20, NAMES_MAX = 64 };

/* dir/name; *path is NULL and *map empty where there is none. */
static ts_status map_beside(ts_map *map, char **path, const char *dir, const char *name, size_t most, ts_err *err) {
    *map = (ts_map){0};
    *path = ts_path_join(dir, name);
    if (!*path) return ts_fail_nomem(err, "a path", strlen(dir));
    if (!ts_file_exists(*path)) {
        ts_free(*path);
        *path = NULL;
        return TS_OK;
    }
    ts_status s = ts_map_open(map, *path, err);
    if (s == TS_OK && map->len > most)
        s = ts_fail(err, TS_E_LIMIT, "%s: %zu bytes; more than %zu are no such file", *path, map->len, most);
    return s;
}

static void unmap(ts_map *map, char *path) {
    ts_map_close(map);
    ts_free(path);
}

/* The same for JSON, in which no object may have a key twice. `tree` lives as long as `arena`. */
static ts_status map_tree(ts_map *map, char **path, const char *dir, const char *name, const ts_jval **tree,
                          ts_arena *arena, ts_err *err) {
    TS_TRY(map_beside(map, path, dir, name, CONFIG_MAX, err));
    if (!*path) return TS_OK;
    const ts_jlimits limits = {.values = CONFIG_VALUES};
    ts_status s = ts_no_stand_in((ts_span){map->data, map->len}, err);
    if (s == TS_OK) s = ts_jtree_parse(tree, arena, (const char *)map->data, map->len, &limits, err);
    return s == TS_OK ? s : ts_err_prefix(err, s, "%s", *path);
}

static ts_status map_json(ts_map *map, char **path, const char *dir, const char *name, ts_err *err) {
    ts_arena arena = {0};
    const ts_jval *tree;
    const ts_status s = map_tree(map, path, dir, name, &tree, &arena, err);
    ts_arena_free(&arena);
    return s;
}

/* Is dir/name an object that has one of these as its `key`? */
static ts_status says(bool *yes, const char *dir, const char *name, const char *key, const char *const *values,
                      ts_err *err) {
    ts_arena arena = {0};
    const ts_jval *tree = NULL;
    ts_map map;
    char *path;
    const ts_status s = map_tree(&map, &path, dir, name, &tree, &arena, err);
    if (s == TS_OK && path)
        for (; *values; values++) *yes |= ts_jval_is(ts_jval_get(tree, key), *values);
    ts_arena_free(&arena);
    unmap(&map, path);
    return s;
}

ts_status ts_tok_pre_beside(const char **pre, const char *dir, ts_err *err) {
    static const char *const types[] = {"qwen2", "qwen3", NULL};
    static const char *const classes[] = {"Qwen2Tokenizer", "Qwen2TokenizerFast", NULL};
    bool qwen = false;
    TS_TRY(says(&qwen, dir, "config.json", "model_type", types, err));
    TS_TRY(says(&qwen, dir, "tokenizer_config.json", "tokenizer_class", classes, err));
    *pre = qwen ? ts_pretok_name(TS_PRETOK_QWEN2) : NULL;
    return TS_OK;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* An id of the vocabulary, -1: none. */
static ts_token read_id(const ts_tokenizer *t, ts_json *j) {
    const int64_t id = ts_json_int(j);
    return !j->bad && id >= 0 && id < t->vocab.n ? (ts_token)id : -1;
}

static void read_ends(ts_tokenizer *t, ts_json *j) {
    ts_token id = -1;
    if (ts_json_peek(j) == TS_JSON_ARRAY) {
        ts_json_array(j);
        while (ts_json_item(j)) {
            const ts_token next = read_id(t, j);
            ts_tok_add_end(t, next);
            if (id < 0) id = next;
        }
    } else {
        ts_tok_add_end(t, id = read_id(t, j));
    }
    if (id < 0 || (t->eos >= 0 && !t->eos_guessed)) return;
    t->eos = id;
    t->eos_guessed = false;
}

static void read_ids(ts_tokenizer *t, ts_json *j) {
    ts_span key;
    ts_json_object(j);
    while (ts_json_key(j, &key)) {
        const ts_json_type type = ts_json_peek(j);
        const bool number = type == TS_JSON_NUMBER;
        if (ts_span_is(key, "eos_token_id") && (number || type == TS_JSON_ARRAY)) {
            read_ends(t, j);
        } else if (ts_span_is(key, "bos_token_id") && number) {
            const ts_token id = read_id(t, j);
            if (id < 0 || (t->bos >= 0 && !t->bos_guessed)) continue;
            t->bos = id;
            t->bos_guessed = false;
        } else if (ts_span_is(key, "pad_token_id") && number) {
            const ts_token id = read_id(t, j);
            if (t->pad < 0) t->pad = id;
        } else if (ts_span_is(key, "text_config") && type == TS_JSON_OBJECT) {
            read_ids(t, j); /* of a model with more than text; the depth is the reader's to limit */
        } else {
            ts_json_skip(j);
        }
    }
}

ts_status ts_tok_apply_ids(ts_tokenizer *t, const char *s, size_t len, ts_err *err) {
    ts_json j;
    ts_json_init(&j, s, len);
    read_ids(t, &j);
    ts_json_end(&j);
    const ts_status status = ts_json_status(&j, err);
    ts_json_fini(&j);
    return status;
}

typedef ts_status apply_fn(ts_tokenizer *t, const char *s, size_t len, ts_err *err);

static ts_status apply(ts_tokenizer *t, const char *dir, const char *name, apply_fn *fn, ts_err *err) {
    ts_map map;
    char *path;
    ts_status s = map_json(&map, &path, dir, name, err);
    if (s == TS_OK && path && (s = fn(t, (const char *)map.data, map.len, err)) != TS_OK)
        ts_err_prefix(err, s, "%s", path);
    unmap(&map, path);
    return s;
}

/* ---- added tokens ------------------------------------------------------------------------------------------------ */

static ts_status read_list(ts_tok_adds *list, const char *dir, const char *name, ts_tok_adds_form form, ts_err *err) {
    ts_map map;
    char *path;
    ts_status s = map_json(&map, &path, dir, name, err);
    if (s == TS_OK && path && (s = ts_tok_adds_parse(list, form, (const char *)map.data, map.len, err)) != TS_OK)
        ts_err_prefix(err, s, "%s", path);
    unmap(&map, path);
    return s;
}

ts_status ts_tok_adds_beside(ts_tok_adds *list, const char *dir, ts_err *err) {
    TS_TRY(read_list(list, dir, "tokenizer_config.json", TS_ADDS_DECODER, err));
    TS_TRY(read_list(list, dir, "added_tokens.json", TS_ADDS_IDS, err));
    TS_TRY(read_list(list, dir, "special_tokens_map.json", TS_ADDS_NAMES, err));
    return read_list(list, dir, "tokenizer_config.json", TS_ADDS_NAMES, err);
}

/* ---- chat templates ---------------------------------------------------------------------------------------------- */

static size_t without_blanks(const char *s, size_t len) {
    while (len && (s[len - 1] == '\n' || s[len - 1] == ' ' || s[len - 1] == '\r')) len--;
    return len;
}

/* The default template as it was before a file of its own was read, which wins. */
typedef struct before {
    char *text;
    size_t len;
} before;

static ts_status remember(before *b, const ts_tokenizer *t, ts_err *err) {
    *b = (before){0};
    if (!t->n_templates || strcmp(t->template[0].name, "default") != 0) return TS_OK;
    b->len = t->template[0].len;
    b->text = ts_strndup(t->template[0].text, b->len);
    return b->text ? TS_OK : ts_fail_nomem(err, "a chat template", b->len);
}

static void compare(before *b, const ts_tokenizer *t, const char *path) {
    if (b->text && t->n_templates) {
        const ts_tok_template *now = &t->template[0];
        const size_t n = without_blanks(now->text, now->len);
        if (n != without_blanks(b->text, b->len) || memcmp(now->text, b->text, n) != 0)
            ts_log(TS_LOG_WARN, "%s is the chat template; another one beside it, of an older kind, is not used", path);
    }
    ts_free(b->text);
}

/* The file is the template itself. */
static ts_status whole_file(ts_tokenizer *t, const char *s, size_t len, ts_err *err) {
    return ts_tok_add_template(t, (ts_span){0}, (ts_span){(const uint8_t *)s, len}, err);
}

static ts_status apply_template(ts_tokenizer *t, const char *dir, const char *name, apply_fn *fn, ts_err *err) {
    ts_map map;
    char *path;
    before b = {0};
    ts_status s =
        fn == whole_file ? map_beside(&map, &path, dir, name, CONFIG_MAX, err) : map_json(&map, &path, dir, name, err);
    if (s == TS_OK && path) s = remember(&b, t, err);
    if (s == TS_OK && path && (s = fn(t, (const char *)map.data, map.len, err)) != TS_OK)
        ts_err_prefix(err, s, "%s", path);
    if (s == TS_OK && path) compare(&b, t, path);
    else ts_free(b.text);
    unmap(&map, path);
    return s;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the files *.jinja in a folder, in order; those that cannot be a template's name are none. */
static ts_status list_templates(char **name, size_t *n, const char *dir, ts_err *err) {
    DIR *d = opendir(dir);
    if (!d && (errno == ENOENT || errno == ENOTDIR)) return TS_OK;
    if (!d) return ts_fail_os(err, TS_E_IO, errno, "cannot read the folder %s", dir);
    ts_status s = TS_OK;
    for (struct dirent *e; s == TS_OK && (e = readdir(d));) {
        const size_t len = strlen(e->d_name);
        if (len <= 6 || e->d_name[0] == '.' || strcmp(e->d_name + len - 6, ".jinja") != 0) continue;
        if (*n == NAMES_MAX) s = ts_fail(err, TS_E_LIMIT, "%s: more than %d templates", dir, (int)NAMES_MAX);
        else if (!(name[(*n)++] = ts_strndup(e->d_name, len))) s = ts_fail_nomem(err, "a path", len);
    }
    closedir(d);
    if (s == TS_OK && *n) qsort(name, *n, sizeof *name, by_name);
    return s;
}

/* additional_chat_templates/<name>.jinja */
static ts_status apply_named(ts_tokenizer *t, const char *dir, ts_err *err) {
    char *name[NAMES_MAX] = {0}, *sub = ts_path_join(dir, "additional_chat_templates");
    size_t n = 0;
    if (!sub) return ts_fail_nomem(err, "a path", strlen(dir));
    ts_status s = list_templates(name, &n, sub, err);
    for (size_t i = 0; i < n && s == TS_OK; i++) {
        ts_map map;
        char *path;
        s = map_beside(&map, &path, sub, name[i], CONFIG_MAX, err);
        const ts_span key = {(const uint8_t *)name[i], strlen(name[i]) - 6};
        if (s == TS_OK && path && (s = ts_tok_add_template(t, key, (ts_span){map.data, map.len}, err)) != TS_OK)
            ts_err_prefix(err, s, "%s", path);
        unmap(&map, path);
    }
    for (size_t i = 0; i < n; i++) ts_free(name[i]);
    ts_free(sub);
    return s;
}

ts_status ts_tok_apply_beside(ts_tokenizer *t, const char *dir, ts_err *err) {
    TS_TRY(apply(t, dir, "special_tokens_map.json", ts_tok_apply_config, err));
    TS_TRY(apply(t, dir, "tokenizer_config.json", ts_tok_apply_config, err));
    TS_TRY(apply(t, dir, "config.json", ts_tok_apply_ids, err));
    TS_TRY(apply(t, dir, "generation_config.json", ts_tok_apply_ids, err));
    TS_TRY(apply_template(t, dir, "chat_template.json", ts_tok_apply_config, err));
    TS_TRY(apply_template(t, dir, "chat_template.jinja", whole_file, err));
    return apply_named(t, dir, err);
}
