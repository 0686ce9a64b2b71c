#include "cli/arguments.h"

#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_LIMIT = 1 << 30, PATIENCE_MS = 2000 };

/* ---- what is a model --------------------------------------------------------------------------------------------- */

#define NO_FILE "there is no file \"%s\": a model is a GGUF file, or the name of one in the store (tessera list)"

/* Formats of other programs by the end of a file's name. */
static const struct {
    const char *end, *what;
} formats[] = {
    {".ckpt", "PyTorch"}, {".onnx", "ONNX"}, {".ggml", "old GGML"}, {".tflite", "TensorFlow"}, {".h5", "TensorFlow"},
    {".npz", "NumPy"}, {".mlmodel", "Core ML"}, {".mlpackage", "Core ML"}, {".pte", "ExecuTorch"}, {".exl2", "EXL2"},
};

/* Weights of Hugging Face folders, which are read. */
static const char *const weights[] = {".safetensors", ".bin", ".pt", ".pth"};

static bool ends_in(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n > k && !strcasecmp(s + n - k, end);
}

static const char *format_of_name(const char *path) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (ends_in(path, formats[i].end)) return formats[i].what;
    return NULL;
}

/* A regular file that begins as neither GGUF nor something that the reader of GGUF knows by sight (not_gguf in
 * format/gguf.c). */
static bool is_of_unknown_content(const char *path) {
    char b[9] = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, b, sizeof b) : 0;
    close(fd);
    static const char *const known[] = {"GGUF", "PK",   "<",    "{",        "version ",
                                        "lmgg", "fmgg", "tjgg", "\x1f\x8b", "\x28\xb5"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strncmp(b, known[i], strlen(known[i]))) return false;
    return n > 0 && b[8] != '{';
}

static bool has_blank(const char *s) {
    return s[strcspn(s, " \t\r\n")] != 0;
}

static bool is_address(const char *s) {
    const char *colon = strstr(s, "://");
    return colon && colon > s && colon - s <= 16 && !has_blank(s);
}

static bool has_host(const char *s) {
    return !strncmp(s, "hf.co/", 6) || !strncmp(s, "huggingface.co/", 15) || !strncmp(s, "www.huggingface.co/", 19) ||
           !strncmp(s, "registry.ollama.ai/", 19) || !strncmp(s, "ollama.com/", 11) ||
           !strncmp(s, "modelscope.cn/", 14);
}

bool cli_looks_like_model(const char *arg) {
    if (!*arg) return false;
    if (ts_file_exists(arg) || ends_in(arg, ".gguf")) return true;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (ends_in(arg, weights[i])) return true;
    return !has_blank(arg) && (strchr(arg, '/') || format_of_name(arg));
}

/* What a folder holds: files of these kinds, and the first GGUF file. */
struct folder {
    int n_gguf;
    bool weights, config; /* of Hugging Face's form; repositories of GGUF files have a config.json, too */
    char first[256];
};

static bool look_into(const char *path, struct folder *f) {
    DIR *d = opendir(path);
    if (!d) return false;
    for (struct dirent *e; (e = readdir(d));) {
        if (ends_in(e->d_name, ".gguf")) {
            if (!f->n_gguf++ || strcmp(e->d_name, f->first) < 0) snprintf(f->first, sizeof f->first, "%s", e->d_name);
        }
        f->config |= !strcmp(e->d_name, "config.json");
        f->weights |= ends_in(e->d_name, ".safetensors") || ends_in(e->d_name, ".pt") || ends_in(e->d_name, ".pth") ||
                      !strncmp(e->d_name, "pytorch_model", 13) || ends_in(e->d_name, ".safetensors.index.json");
    }
    closedir(d);
    return true;
}

/* A model that cannot be opened: the work fails, whatever was typed. */
TS_PRINTF(1, 2) static int refuse(const char *fmt, ...) {
    char line[700];
    ts_err err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    (void)ts_fail(&err, TS_E_IO, "%s", line);
    return cli_fail(&err);
}

static int refuse_folder(const char *path) {
    struct folder f = {0};
    if (!look_into(path, &f)) return CLI_OK; /* opening tells why */
    const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
    if (f.weights) return CLI_OK;
    if (f.n_gguf == 1) return refuse("%s is a folder; the model in it is %s%s%s", path, path, slash, f.first);
    if (f.n_gguf)
        return refuse("%s is a folder with %d GGUF files; give one of them, for example %s%s%s", path, f.n_gguf, path,
                      slash, f.first);
    return CLI_OK;
}

/* A file of a Hugging Face folder beside its weights: the folder is meant. */
static int refuse_part(const char *path) {
    static const char *const names[] = {"config.json", "tokenizer.json", "tokenizer_config.json", ".index.json",
                                        "tokenizer.model", "generation_config.json"};
    const char *slash = strrchr(path, '/');
    char folder[600] = ".";
    struct folder f = {0};
    bool part = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *name = slash ? slash + 1 : path;
        part |= *names[i] == '.' ? ends_in(name, names[i]) : !strcmp(name, names[i]);
    }
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + (slash == path), path);
    if (!part || !look_into(folder, &f) || !(f.weights && f.config)) return CLI_OK;
    return refuse("%s is one file of a Hugging Face folder; give the folder: %s", path, folder);
}

/* The folder that a path names is there: then the file is meant, and it is missing. */
static bool folder_exists(const char *path) {
    const char *slash = strrchr(path, '/');
    char dir[1024];
    if (!slash) return false;
    int n = snprintf(dir, sizeof dir, "%.*s", (int)(slash - path) + (slash == path), path);
    return n > 0 && n < (int)sizeof dir && ts_file_is_dir(dir);
}

/* Letters and marks of names in other programs' stores: "llama3.2:1b". */
static bool is_plain_name(const char *s) {
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("._:@-", *s)) return false;
    return true;
}

int cli_check_model_path(const char *path, bool tokenizer) {
    const char *format = tokenizer ? NULL : format_of_name(path);
    if (ts_file_is_dir(path)) return tokenizer ? CLI_OK : refuse_folder(path);
    if (ts_file_exists(path)) {
        const int code = tokenizer ? CLI_OK : refuse_part(path);
        if (code != CLI_OK) return code;
        if (!format || !is_of_unknown_content(path)) return CLI_OK;
        return refuse("%s: not a GGUF file but, by its name, one of %s; convert it to GGUF first", path, format);
    }
    if (is_address(path) || has_host(path))
        return refuse("%s is an address: one of the hub is fetched by tessera pull, or with -hf in the place of -m; a "
                      "file of another host fetch yourself (curl -LO ...) and give its name",
                      path);
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (ends_in(path, weights[i])) return refuse("cannot open %s: there is no such file", path);
    if (format) return refuse("cannot open %s: there is no such file, and Tessera reads GGUF, not %s", path, format);
    if (!*path || ends_in(path, ".gguf") || strchr("/.~", *path) || folder_exists(path) ||
        (tokenizer && ends_in(path, ".json")))
        return CLI_OK; /* opening tells what is missing */
    if (is_plain_name(path)) return refuse(NO_FILE, path);
    if (strchr(path, '/') && !has_blank(path))
        return refuse("there is no file %s, and no model of this name in the store; one of the hub is fetched by "
                      "tessera pull, or with -hf in the place of -m",
                      path);
    return CLI_OK;
}

/* ---- plain arguments --------------------------------------------------------------------------------------------- */

static int join(const cli_list *rest, size_t from, char **text) {
    ts_buf b = {0};
    bool ok = ts_buf_reserve(&b, 1);
    for (size_t i = from; i < rest->n && ok; i++)
        ok = (i == from || ts_buf_putc(&b, ' ')) && ts_buf_puts(&b, rest->item[i]);
    if (ok) {
        *text = b.data;
        return CLI_OK;
    }
    ts_err err;
    (void)ts_fail_nomem(&err, "the prompt", b.len);
    ts_buf_free(&b);
    return cli_fail(&err);
}

int cli_take_plain(const cli_command *cmd, cli_plain what, const cli_list *rest, const char **model, const char *given,
                   char **text) {
    size_t i = 0;
    if (!*model && rest->n) {
        const char *first = rest->item[0];
        const bool unknown = what == CLI_PLAIN_TEXT && !given && !cli_looks_like_model(first),
                   is_text = unknown && rest->n == 1;
        if (unknown && !has_blank(first)) return refuse(NO_FILE "; a text stands behind -p", first);
        if (!is_text) *model = rest->item[i++];
    }
    if (i == rest->n) return CLI_OK;
    if (what == CLI_PLAIN_MODEL)
        return cli_usage_error(cmd, "unexpected argument \"%s\": the only plain argument is the model", rest->item[i]);
    if (given)
        return cli_usage_error(cmd, "unexpected argument \"%s\": %s gives the text already", rest->item[i], given);
    return join(rest, i, text);
}

/* ---- standard input ---------------------------------------------------------------------------------------------- */

int cli_read_stdin(const cli_command *cmd, unsigned how, char **text, size_t *len) {
    struct stat st;
    ts_buf b = {0};
    ts_err err;
    *len = 0;
    if (fstat(STDIN_FILENO, &st) != 0 || isatty(STDIN_FILENO)) return CLI_OK;
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
    if ((how & CLI_STDIN_MORE) && S_ISSOCK(st.st_mode) && poll(&wait, 1, 50) <= 0) return CLI_OK;
    if (poll(&wait, 1, PATIENCE_MS) == 0)
        fprintf(stderr, "tessera %s: reading standard input to its end (</dev/null: there is none)\n", cmd->name);
    ts_status s = ts_file_read(&b, "-", TEXT_LIMIT, &err);
    if (!(how & CLI_STDIN_EXACT) && b.len && b.data[b.len - 1] == '\n') {
        b.len--;
        if (b.len && b.data[b.len - 1] == '\r') b.len--;
    }
    if (s == TS_OK && b.len && !ts_buf_reserve(&b, 1)) s = ts_fail_nomem(&err, "standard input", b.len);
    if (s != TS_OK || !b.len) {
        ts_buf_free(&b);
        return s == TS_OK ? CLI_OK : cli_fail(&err);
    }
    b.data[b.len] = 0;
    *text = b.data;
    *len = b.len;
    return CLI_OK;
}
