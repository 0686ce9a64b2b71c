#include "cli/bundled.h"
#include "base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "tessera-tiny-q8_0.gguf"

/* `path` = the folder of the program, its last `up` parts taken off, + "/" + rest + "/" + name; is it a file? */
static bool beside(char path[PATH_MAX], const char *program, int up, const char *rest, const char *name) {
    size_t len = strlen(program);
    for (int i = 0; i <= up; i++) {
        while (len > 0 && program[len - 1] != '/') len--;
        if (len == 0) return false;
        len--; /* the slash */
    }
    int n = snprintf(path, PATH_MAX, "%.*s/%s/%s", (int)len, program, rest, name);
    return n > 0 && n < PATH_MAX && ts_file_exists(path) && !ts_file_is_dir(path);
}

const char *cli_bundled_file(const char *name) {
    static char path[PATH_MAX];
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        program[n] = 0;
        if (beside(path, program, 1, "share/tessera", name)) return path; /* PREFIX/bin/tessera */
    }
    snprintf(path, sizeof path, "%s/%s", TS_DATADIR, name);
    if (ts_file_exists(path)) return path;
    if (n > 0 && beside(path, program, 3, "models", name)) return path; /* SOURCE/build/src/cli/tessera */
    return NULL;
}

const char *cli_default_model(bool *bundled) {
    if (bundled) *bundled = false;
    const char *own = getenv("TESSERA_MODEL");
    if (own) return *own ? own : NULL;
    static char path[PATH_MAX]; /* beside what others ask for */
    const char *found = cli_bundled_file(MODEL);
    if (!found) return NULL;
    if (bundled) *bundled = true;
    snprintf(path, sizeof path, "%s", found);
    return path;
}
