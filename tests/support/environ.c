/* The surroundings of a test program, wherever it is started from: TESSERA_SOURCE is the source tree, TESSERA_SHARED
 * the shared test data. What is set is kept (an empty TESSERA_SHARED means: none); else ../shared beside the source
 * tree is taken if it is there now, whatever was there when the build was configured. Linked whole into every test
 * program. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

__attribute__((constructor)) static void find_data(void) {
    setenv("TESSERA_SOURCE", SOURCE_ROOT, 0);
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/../shared", getenv("TESSERA_SOURCE"));
    const char *set = getenv("TESSERA_SHARED");
    if (set ? stat(set, &st) != 0 || !S_ISDIR(st.st_mode) : stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        setenv("TESSERA_SHARED", "", 1);
    else if (!set) setenv("TESSERA_SHARED", path, 1);
}
