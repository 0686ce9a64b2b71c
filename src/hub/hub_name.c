#include "hub/hub_name.h"

#include "base/printable.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- parts of names ---------------------------------------------------------------------------------------------- */

/* ORG or NAME. */
static bool is_id(const char *s, size_t len) {
    if (len == 0 || len > TS_HUB_ID_MAX || strchr("-.", s[0]) || strchr("-.", s[len - 1])) return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.') return false;
        if (i && s[i] == s[i - 1] && (s[i] == '-' || s[i] == '.')) return false;
    }
    return len < 4 || strncasecmp(s + len - 4, ".git", 4) != 0;
}

bool ts_hub_is_repo(const char *s, size_t len) {
    const char *slash = memchr(s, '/', len);
    return slash && is_id(s, (size_t)(slash - s)) && is_id(slash + 1, len - (size_t)(slash - s) - 1);
}

bool ts_hub_is_hash(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f')) return false;
    return len == 40 || len == 64;
}

bool ts_hub_is_commit(const char *s, size_t len) {
    return len == TS_HUB_COMMIT && ts_hub_is_hash(s, len);
}

const char *ts_hub_path_fault(const char *path, size_t len) {
    if (len == 0) return "it is empty";
    if (len > TS_HUB_PATH_MAX) return "it is too long";
    if (path[0] == '/') return "it is absolute";
    if (len >= 2 && path[1] == ':' && isalpha((unsigned char)path[0])) return "it begins with a drive";
    size_t begin = 0, depth = 0;
    for (size_t i = 0; i <= len;) {
        if (i == len || path[i] == '/') {
            if (i < len && ++depth > TS_HUB_DEPTH_MAX) return "it lies too deep in folders";
            const size_t n = i - begin;
            if (n == 0) return "a part of it is empty";
            if (n > 255) return "a part of it is longer than 255 bytes";
            if (path[begin] == '.' && (n == 1 || (n == 2 && path[begin + 1] == '.'))) return "it leaves its folder";
            begin = ++i;
            continue;
        }
        uint32_t c = 0;
        const int k = ts_utf8_decode(path + i, len - i, &c);
        if (!k) return "it is not UTF-8";
        if (ts_is_control(c)) return c < 0xa0 ? "it has control characters" : "it has characters that do not show";
        if (c == '\\') return "it has a backslash";
        i += (size_t)k;
    }
    return NULL;
}

/* What git allows in a name, and nothing that means something in an address or to a shell's eye. */
static bool is_rev(const char *s, size_t len) {
    if (len == 0 || len > TS_HUB_REV_MAX || s[0] == '-' || ts_hub_path_fault(s, len)) return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f || strchr("~^:?*[\\@#%\"'", s[i]) ||
            (s[i] == '.' && i + 1 < len && s[i + 1] == '.'))
            return false;
    return true;
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

bool ts_hub_put_encoded(ts_buf *out, const char *s, size_t len, bool slashes) {
    for (size_t i = 0; i < len; i++) {
        const bool plain = is_alnum(s[i]) || strchr("-._~", s[i]) || (slashes && s[i] == '/');
        if (!(plain && s[i] ? ts_buf_putc(out, s[i]) : ts_buf_printf(out, "%%%02X", (unsigned char)s[i]))) return false;
    }
    return ts_buf_reserve(out, 0);
}

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* s[0..len) without its percent signs to out[cap]; false: it is no such text, or too long. */
static bool decode(char *out, size_t cap, const char *s, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '%') {
            if (i + 2 >= len || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0) return false;
            c = (char)(hex(s[i + 1]) << 4 | hex(s[i + 2]));
            i += 2;
        }
        if (n + 1 >= cap || !c) return false;
        out[n++] = c;
    }
    out[n] = 0;
    return true;
}

static const char *behind(const char *text, const char *prefix) {
    const size_t n = strlen(prefix);
    return strncasecmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* What stands behind the hub's name in front of `text`. *address: there was one. NULL: another host's address. */
static const char *without_host(const char *text, const char *endpoint, bool *address) {
    static const char *const hosts[] = {"https://huggingface.co/",
                                        "http://huggingface.co/",
                                        "https://www.huggingface.co/",
                                        "https://hf.co/",
                                        "http://hf.co/",
                                        "www.huggingface.co/",
                                        "huggingface.co/",
                                        "hf.co/"};
    const char *rest;
    *address = true;
    if (endpoint && (rest = behind(text, endpoint)) && *rest == '/') return rest + 1;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if ((rest = behind(text, hosts[i]))) return rest;
    *address = false;
    if ((rest = behind(text, "hf://")) || (rest = behind(text, "hf:"))) return rest;
    return strstr(text, "://") ? NULL : text;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static ts_status wrong(const char *text, const char *why, ts_err *err) {
    return ts_fail(err, TS_E_INVAL,
                   "\"%s\": %s; a model of the hub is called ORG/NAME, ORG/NAME:QUANT or ORG/NAME/FILE, with @REVISION "
                   "behind it where it is not the newest",
                   text, why);
}

/* "/resolve/REV/FILE" and its like: the end of an address, also where the beginning has not been pasted. *fits: it is
 * one. */
static ts_status take_address(ts_hub_name *n, const char *text, const char *rest, bool *fits, ts_err *err) {
    static const char *const kinds[] = {"/resolve/", "/blob/", "/raw/", "/tree/"};
    size_t k = 0, len = strcspn(rest, "?#");
    *fits = false;
    while (k < sizeof kinds / sizeof *kinds && strncmp(rest, kinds[k], strlen(kinds[k])) != 0) k++;
    if (k == sizeof kinds / sizeof *kinds) return TS_OK;
    *fits = true;
    const char *rev = rest + strlen(kinds[k]), *end = rest + len;
    if (rev > end) return wrong(text, "the address ends too early", err);
    const char *slash = memchr(rev, '/', (size_t)(end - rev)), *rev_end = slash ? slash : end;
    if (!decode(n->rev, sizeof n->rev, rev, (size_t)(rev_end - rev)) || !is_rev(n->rev, strlen(n->rev)))
        return wrong(text, "its revision cannot be one", err);
    if (!slash || slash + 1 == end) return TS_OK;
    if (!decode(n->tag, sizeof n->tag, slash + 1, (size_t)(end - slash - 1)) ||
        ts_hub_path_fault(n->tag, strlen(n->tag)))
        return wrong(text, "its file cannot be one", err);
    n->is_file = k < 3;
    return TS_OK;
}

/* Bytes of the revision in "REV/FILE", which can have slashes itself; 0: there is no file in it. */
static size_t rev_before_file(const char *s) {
    static const char *const ends[] = {".gguf", ".safetensors", ".json", ".jinja", ".model", ".bin", ".md", ".txt"};
    const size_t n = strlen(s);
    bool file = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !file; i++) {
        const size_t k = strlen(ends[i]);
        file = n > k && !strcasecmp(s + n - k, ends[i]);
    }
    const char *slash = strchr(s, '/');
    for (int i = 0; i < 2 && slash && !strncmp(s, "refs/", 5); i++) slash = strchr(slash + 1, '/'); /* refs/pr/1 */
    return file && slash ? (size_t)(slash - s) : 0;
}

/* Where the revision begins, in what stands behind ORG/NAME: the last @, unless that belongs to a file's name. */
static const char *find_rev(const char *rest) {
    const char *at = *rest == '/' ? strrchr(rest, '@') : strchr(rest, '@');
    if (!at) return NULL;
    const size_t n = strlen(at);
    if (*rest == '/' && n > 5 && strncasecmp(at + n - 5, ".gguf", 5) == 0) return NULL;
    return at;
}

ts_status ts_hub_name_parse(ts_hub_name *out, const char *text, const char *endpoint, ts_err *err) {
    ts_hub_name n = {0};
    bool address, fits = false;
    const char *s = without_host(text, endpoint, &address);
    if (!s) return wrong(text, "an address, but not one of the hub", err);
    const char *slash = strchr(s, '/');
    size_t len = slash ? (size_t)(slash - s) + 1 + strcspn(slash + 1, address ? "/:@?#" : "/:@") : strlen(s);
    if (!slash || !ts_hub_is_repo(s, len))
        return wrong(text, !*s ? "it is empty" : "this is not the name of a repository", err);
    memcpy(n.repo, s, len);
    const char *rest = s + len;
    if (*rest == '/') TS_TRY(take_address(&n, text, rest, &fits, err));
    if (address && !fits && (*rest == '?' || *rest == '#' || !strcmp(rest, "/"))) rest = "";
    if (!fits && *rest) {
        const char *at = find_rev(rest), *colon = at && *rest == '@' ? strchr(at, ':') : NULL;
        const char *tag = rest, *tag_end = at ? at : rest + strlen(rest);
        if (at) {
            const size_t before = *rest == '@' && !colon ? rev_before_file(at + 1) : 0;
            const char *end = colon ? colon : before ? at + 1 + before : at + strlen(at);
            const size_t rev_len = (size_t)(end - at - 1);
            if (!is_rev(at + 1, rev_len)) return wrong(text, "what stands behind @ cannot be a revision", err);
            memcpy(n.rev, at + 1, rev_len);
            if (colon || before) tag = end, tag_end = end + strlen(end);
        }
        if (tag < tag_end) {
            n.is_file = *tag == '/';
            const size_t tag_len = (size_t)(tag_end - tag - 1);
            const char *fault = ts_hub_path_fault(tag + 1, tag_len);
            if (fault) return wrong(text, tag_len ? fault : "what stands behind the name is empty", err);
            memcpy(n.tag, tag + 1, tag_len);
        }
    }
    *out = n;
    return TS_OK;
}

/* ---- what the surroundings say ----------------------------------------------------------------------------------- */

ts_status ts_hub_endpoint(char **out, const char *text, const char *what, ts_err *err) {
    while (isspace((unsigned char)*text)) text++;
    size_t n = strlen(text);
    while (n && (isspace((unsigned char)text[n - 1]) || text[n - 1] == '/')) n--;
    const char *host = behind(text, "https://");
    if (!host) host = behind(text, "http://");
    if (!host || n <= (size_t)(host - text))
        return ts_fail(err, TS_E_INVAL, "%s is \"%s\": an address like https://huggingface.co is wanted", what, text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f || strchr("\"<>\\^`{|}?#@", text[i]))
            return ts_fail(err, TS_E_INVAL,
                           "%s is no plain address: one like https://huggingface.co is wanted, without "
                           "a name, a password, ? or #",
                           what);
    *out = ts_strndup(text, n);
    return *out ? TS_OK : ts_fail_nomem(err, what, n);
}

ts_status ts_hub_token(char **out, const char *text, size_t len, const char *what, ts_err *err) {
    while (len && isspace((unsigned char)*text)) text++, len--;
    while (len && isspace((unsigned char)text[len - 1])) len--;
    *out = NULL;
    if (!len) return TS_OK;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f)
            return ts_fail(err, TS_E_INVAL,
                           "%s: byte %zu of the token is a blank, a control character or not ASCII; it "
                           "is not used",
                           what, i + 1);
    if (len > 4096) return ts_fail(err, TS_E_INVAL, "%s: a token of %zu bytes cannot be one", what, len);
    *out = ts_strndup(text, len);
    return *out ? TS_OK : ts_fail_nomem(err, what, len);
}
