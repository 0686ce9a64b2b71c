#include "cli/bundled.h"
#include "base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "tessera-tiny-q8_0.gguf"

/* `path` = the folder of the program, its last `up` parts taken off, + "/" + rest + "/" + NAME; is it a file? */
static bool beside(char path[PATH_MAX], const char *program, int up, const char *rest) {
    size_t len = strlen(program);
    for (int i = 0; i <= up; i++) {
        while (len > 0 && program[len - 1] != '/') len--;
        if (len == 0) return false;
        len--; /* the slash */
    }
    int n = snprintf(path, PATH_MAX, "%.*s/%s/" NAME, (int)len, program, rest);
    return n > 0 && n < PATH_MAX && ts_file_exists(path) && !ts_file_is_dir(path);
}

const char *cli_default_model(bool *bundled) {
    static char path[PATH_MAX];
    if (bundled) *bundled = false;
    const char *own = getenv("TESSERA_MODEL");
    if (own) return *own ? own : NULL;
    if (bundled) *bundled = true;
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        program[n] = 0;
        if (beside(path, program, 1, "share/tessera")) return path; /* PREFIX/bin/tessera */
    }
    if (ts_file_exists(TS_DATADIR "/" NAME)) return TS_DATADIR "/" NAME;
    if (n > 0 && beside(path, program, 3, "models")) return path; /* SOURCE/build/src/cli/tessera */
    if (bundled) *bundled = false;
    return NULL;
}
