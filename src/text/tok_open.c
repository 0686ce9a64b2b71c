/* tok_open.c - find the tokenizer at a path and read it with the loader for its format, which is told by content. */
#include "base/file.h"
#include "base/stand_in.h"
#include "format/gguf.h"
#include "base/json_pull.h"
#include "text/tok_impl.h"

#include <dirent.h>
#include <errno.h>

typedef enum format { /* in the order of preference within a folder */
    GGUF,
    VOCAB_JSON, /* with MERGES */
    MERGES,
    SENTENCEPIECE,
    TIKTOKEN,
    TOKENIZER_JSON,
    OTHER,
} format;

/* ---- which format ---------------------------------------------------------------------------------------------- */

static format sniff_json(const char *s, size_t len) {
    ts_json j;
    ts_span key;
    format f = OTHER;
    ts_json_init(&j, s, len);
    ts_json_object(&j);
    bool more = ts_json_key(&j, &key);
    if (more && ts_json_peek(&j) == TS_JSON_NUMBER) { /* {"!": 0, "\"": 1, ... */
        ts_json_int(&j);
        if (ts_json_key(&j, &key) && ts_json_peek(&j) == TS_JSON_NUMBER) f = VOCAB_JSON;
        more = false;
    }
    while (more && f == OTHER) {
        if (ts_span_is(key, "model") || ts_span_is(key, "added_tokens") || ts_span_is(key, "pre_tokenizer"))
            f = TOKENIZER_JSON;
        else ts_json_skip(&j);
        more = ts_json_key(&j, &key);
    }
    ts_json_fini(&j);
    return f;
}

static bool is_base64(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z') ||
              s[i] == '+' || s[i] == '/' || (s[i] == '=' && i + 2 >= len)))
            return false;
    return len > 0 && len % 4 == 0;
}

/* Are the first lines all of two parts with a space between? Then they are merges, or "base64 rank". */
static format sniff_lines(const char *s, size_t len) {
    bool ranks = true;
    size_t pos = len >= 8 && memcmp(s, "#version", 8) == 0 ? strcspn(s, "\n") + 1 : 0;
    int n = 0;
    for (; n < 50 && pos < len; n++) {
        const char *line = s + pos, *end = memchr(line, '\n', len - pos);
        if (!end) break;
        size_t size = (size_t)(end - line);
        pos += size + 1;
        if (size > 0 && line[size - 1] == '\r') size--;
        const char *space = size > 1 ? memchr(line + 1, ' ', size - 1) : NULL;
        if (!space || space + 1 == line + size || memchr(space + 1, ' ', size - (size_t)(space + 1 - line)))
            return OTHER;
        ranks = ranks && is_base64(line, (size_t)(space - line));
        for (const char *p = space + 1; p < line + size; p++) ranks = ranks && *p >= '0' && *p <= '9';
    }
    return n == 0 ? OTHER : ranks ? TIKTOKEN : MERGES;
}

/* s[0..len) is the beginning of the file, or all of it. */
static format sniff(const char *s, size_t len) {
    if (len >= 4 && memcmp(s, "GGUF", 4) == 0) return GGUF;
    size_t i = len >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < len && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t')) i++;
    if (i < len && s[i] == '{') return sniff_json(s, len);
    /* a SentencePiece model begins with a piece (field 1), and that with its text (field 1) */
    if (len >= 4 && s[0] == '\n' && s[(uint8_t)s[1] < 0x80 ? 2 : 3] == '\n') return SENTENCEPIECE;
    return sniff_lines(s, len);
}

/* ---- one file -------------------------------------------------------------------------------------------------- */

/* Settings that lie beside the tokenizer, then the last checks. Takes t: on failure it is freed. */
static ts_status finish(ts_tokenizer *t, const char *dir, ts_tokenizer **out, ts_err *err) {
    ts_status s = ts_tok_apply_beside(t, dir, err);
    if (s == TS_OK) s = ts_tok_finish(t, err);
    if (s == TS_OK) *out = t;
    else ts_tokenizer_free(t);
    return s;
}

static ts_status open_gguf(ts_tokenizer **out, const char *path, const char *pre, ts_err *err) {
    ts_gguf *g;
    /* tensors of types that Tessera can not compute with do not matter here */
    TS_TRY(ts_gguf_open_as(&g, path, TS_GGUF_ANY_TYPE, err));
    ts_status s = ts_tokenizer_from_gguf(out, g, pre, err);
    ts_gguf_close(g);
    return s;
}

static ts_status load_text(ts_tokenizer **out, const ts_map *map, const char *pre, const ts_tok_adds *more,
                           ts_err *err) {
    const char *s = (const char *)map->data;
    if (map->len > TS_TOK_FILE_MAX) return ts_fail(err, TS_E_LIMIT, "larger than a tokenizer can be");
    TS_TRY(ts_no_stand_in((ts_span){map->data, map->len}, err));
    format f = sniff(s, map->len);
    if (pre && (f == TOKENIZER_JSON || f == SENTENCEPIECE))
        return ts_fail(err, TS_E_INVAL, "this file says itself how text is split; leave out --pre");
    switch (f) {
    case TOKENIZER_JSON: return ts_tok_from_json(out, s, map->len, err);
    case SENTENCEPIECE: return ts_tok_from_spm(out, s, map->len, more, err);
    case TIKTOKEN: return ts_tok_from_tiktoken(out, s, map->len, pre, more, err);
    case VOCAB_JSON:
    case MERGES: return ts_fail(err, TS_E_FORMAT, "one half of a vocabulary and its merges; name the folder of both");
    case GGUF:
    case OTHER: break;
    }
    return ts_fail(err, TS_E_FORMAT, "not a tokenizer: neither GGUF, tokenizer.json, SentencePiece nor tiktoken");
}

static ts_status open_file(ts_tokenizer **out, const char *path, const char *pre, ts_err *err) {
    ts_map map;
    TS_TRY(ts_map_open(&map, path, err));
    if (map.len >= 4 && memcmp(map.data, "GGUF", 4) == 0) {
        ts_map_close(&map);
        return open_gguf(out, path, pre, err);
    }
    const char *slash = strrchr(path, '/');
    char *dir = slash ? ts_strndup(path, (size_t)(slash - path) + 1) : ts_strdup(".");
    ts_tokenizer *t = NULL;
    ts_tok_adds more = {0};
    ts_status s = dir ? ts_tok_adds_beside(&more, dir, err) : ts_fail_nomem(err, "a path", strlen(path));
    if (s == TS_OK && (s = load_text(&t, &map, pre, &more, err)) != TS_OK) ts_err_prefix(err, s, "%s", path);
    ts_map_close(&map);
    if (s == TS_OK) s = finish(t, dir, out, err);
    ts_tok_adds_free(&more);
    ts_free(dir);
    return s;
}

/* ---- a folder -------------------------------------------------------------------------------------------------- */

static ts_status load_pair(ts_tokenizer **out, const ts_map *v, const ts_map *m, const char *pre,
                           const ts_tok_adds *more, ts_err *err) {
    const ts_span vocab = {v->data, v->len}, merges = {m->data, m->len};
    if (v->len > TS_TOK_FILE_MAX || m->len > TS_TOK_FILE_MAX)
        return ts_fail(err, TS_E_LIMIT, "larger than a tokenizer can be");
    TS_TRY(ts_no_stand_in(vocab, err));
    TS_TRY(ts_no_stand_in(merges, err));
    return ts_tok_from_pair(out, vocab, merges, pre, more, err);
}

static ts_status open_pair(ts_tokenizer **out, const char *dir, const char *vocab, const char *merges, const char *pre,
                           ts_err *err) {
    ts_map v = {0}, m = {0};
    ts_tokenizer *t = NULL;
    ts_tok_adds more = {0};
    ts_status s = pre ? TS_OK : ts_tok_pre_beside(&pre, dir, err);
    if (s == TS_OK) s = ts_tok_adds_beside(&more, dir, err);
    if (s == TS_OK) s = ts_map_open(&v, vocab, err);
    if (s == TS_OK) s = ts_map_open(&m, merges, err);
    if (s == TS_OK && (s = load_pair(&t, &v, &m, pre, &more, err)) != TS_OK)
        ts_err_prefix(err, s, "%s and %s", vocab, merges);
    ts_map_close(&m);
    ts_map_close(&v);
    ts_tok_adds_free(&more);
    return s == TS_OK ? finish(t, dir, out, err) : s;
}

typedef struct found { /* of one format: the first two paths in the order of names */
    char *first, *second;
} found;

static void note(found *f, char *path) {
    char *drop = path;
    if (!f->first || strcmp(path, f->first) < 0) {
        drop = f->second;
        f->second = f->first;
        f->first = path;
    } else if (!f->second || strcmp(path, f->second) < 0) {
        drop = f->second;
        f->second = path;
    }
    ts_free(drop);
}

/* JSON files of a model folder that map names to numbers without being a vocabulary, and later parts of a split GGUF */
static bool ignored(const char *name) {
    static const char *const names[] = {
        "config.json", "generation_config.json", "tokenizer_config.json", "added_tokens.json",
        "special_tokens_map.json", "quantize_config.json", "quant_config.json", "quantization_config.json",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    const size_t len = strlen(name);
    if (len > 11 && strcmp(name + len - 11, ".index.json") == 0) return true;
    const char *of = strstr(name, "-of-");
    return *name == '.' || (of && of - name >= 5 && strncmp(of - 5, "00001", 5) != 0);
}

static ts_status scan(const char *dir, found *list, ts_err *err) {
    DIR *d = opendir(dir);
    if (!d) return ts_fail_os(err, TS_E_IO, errno, "cannot read the folder %s", dir);
    ts_status s = TS_OK;
    for (struct dirent *e; s == TS_OK && (e = readdir(d));) {
        if (ignored(e->d_name)) continue;
        char *path = ts_path_join(dir, e->d_name);
        if (!path) {
            s = ts_fail_nomem(err, "a path", strlen(dir));
            break;
        }
        ts_map map;
        format f = OTHER;
        if (!ts_file_is_dir(path) && ts_map_open(&map, path, NULL) == TS_OK) {
            f = sniff((const char *)map.data, map.len < 1 << 16 ? map.len : 1 << 16);
            ts_map_close(&map);
        }
        if (f == OTHER) ts_free(path);
        else note(&list[f], path);
    }
    closedir(d);
    return s;
}

static ts_status choose(ts_tokenizer **out, const char *dir, const found *list, const char *pre, ts_err *err) {
    for (int f = 0; f < OTHER; f++) {
        bool pair = f == VOCAB_JSON;
        const found *other = pair ? &list[MERGES] : &list[f];
        if (f == MERGES || !list[f].first || !other->first) continue;
        if (list[f].second || other->second) {
            bool here = list[f].second != NULL;
            return ts_fail(err, TS_E_FORMAT, "%s holds more than one tokenizer: %s and %s; name one of them", dir,
                           here ? list[f].first : other->first, here ? list[f].second : other->second);
        }
        if (pair) return open_pair(out, dir, list[f].first, other->first, pre, err);
        return open_file(out, list[f].first, pre, err);
    }
    return ts_fail(err, TS_E_FORMAT, "%s holds no tokenizer: neither GGUF, tokenizer.json, tokenizer.model nor a "
                   "vocabulary with its merges", dir);
}

/* What lies there under its usual name. *there is false where nothing does. */
static ts_status open_usual(ts_tokenizer **out, const char *dir, const char *pre, bool *there, ts_err *err) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"};
    char *path[4];
    ts_status s = TS_OK;
    for (int i = 0; i < 4; i++)
        if (!(path[i] = ts_path_join(dir, names[i])) && s == TS_OK) s = ts_fail_nomem(err, "a path", strlen(dir));
    *there = false;
    for (int i = 0; i < 3 && s == TS_OK && !*there; i++) {
        const bool pair = i == 2;
        *there = ts_file_exists(path[i]) && (!pair || ts_file_exists(path[3]));
        if (*there) s = pair ? open_pair(out, dir, path[2], path[3], pre, err) : open_file(out, path[i], pre, err);
    }
    for (int i = 0; i < 4; i++) ts_free(path[i]);
    return s;
}

static ts_status open_dir(ts_tokenizer **out, const char *dir, const char *pre, ts_err *err) {
    bool there;
    ts_status s = open_usual(out, dir, pre, &there, err);
    if (s != TS_OK || there) return s;
    found list[OTHER] = {0};
    s = scan(dir, list, err);
    if (s == TS_OK) s = choose(out, dir, list, pre, err);
    for (int f = 0; f < OTHER; f++) {
        ts_free(list[f].first);
        ts_free(list[f].second);
    }
    return s;
}

ts_status ts_tokenizer_open(ts_tokenizer **out, const char *path, const char *pre, ts_err *err) {
    return ts_file_is_dir(path) ? open_dir(out, path, pre, err) : open_file(out, path, pre, err);
}
