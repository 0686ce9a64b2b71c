#include "cli/repl_history.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_LIMIT = 64 << 20 };

bool cli_history_escape(ts_buf *out, const char *entry) {
    for (; *entry; entry++) {
        bool special = *entry == '\n' || *entry == '\\';
        if ((special && !ts_buf_putc(out, '\\')) || !ts_buf_putc(out, *entry == '\n' ? 'n' : *entry)) return false;
    }
    return true;
}

bool cli_history_unescape(ts_buf *out, const char *line, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = line[i];
        if (c == '\\' && i + 1 < len) c = line[++i] == 'n' ? '\n' : line[i];
        if (!ts_buf_putc(out, c)) return false;
    }
    return true;
}

/* Make the folders in front of the last part of `path`. Those that exist are left as they are. */
static void make_folders(char *path) {
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        (void)mkdir(path, 0700); /* the one that matters shows when the file is opened */
        *p = '/';
    }
}

char *cli_history_path(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    ts_buf path = {0};
    bool ok;
    if (state && *state == '/') ok = ts_buf_printf(&path, "%s/tessera/history", state); /* a relative one is invalid */
    else if (home && *home == '/') ok = ts_buf_printf(&path, "%s/.local/state/tessera/history", home);
    else return NULL;
    if (ok) make_folders(path.data);
    else ts_buf_free(&path);
    return path.data;
}

void cli_history_read(const char *path, void (*fn)(void *ud, const char *entry), void *ud) {
    ts_buf file = {0}, entry = {0};
    struct stat st;
    /* a pipe would keep us waiting */
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || ts_file_read(&file, path, FILE_LIMIT, NULL) != TS_OK ||
        !file.len) {
        ts_buf_free(&file);
        return;
    }
    size_t n = 0, begin = file.len;
    if (file.data[begin - 1] == '\n') begin--;
    while (begin > 0 && (file.data[begin - 1] != '\n' || ++n < CLI_HISTORY_ENTRIES)) begin--;
    size_t older = 0;
    for (size_t i = 0; i < begin; i++) older += file.data[i] == '\n';
    if (older > CLI_HISTORY_ENTRIES && ts_file_write(path, file.data + begin, file.len - begin, NULL) != TS_OK)
        older = 0; /* it stays long: nobody is harmed */
    for (const char *p = file.data + begin, *end = file.data + file.len; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((nl ? nl : end) - p);
        ts_buf_clear(&entry);
        if (len && !memchr(p, 0, len) && cli_history_unescape(&entry, p, len)) fn(ud, entry.data);
        p += len + 1;
    }
    ts_buf_free(&file);
    ts_buf_free(&entry);
}

void cli_history_append(const char *path, const char *entry) {
    ts_buf line = {0};
    if (cli_history_escape(&line, entry) && ts_buf_putc(&line, '\n')) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
        if (fd >= 0) {
            (void)!write(fd, line.data, line.len); /* whole lines, so that several sessions may write */
            close(fd);
        }
    }
    ts_buf_free(&line);
}
