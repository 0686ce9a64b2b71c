/* folder.h - the model files of a folder, as they are now. */
#ifndef TS_SERVER_FOLDER_H
#define TS_SERVER_FOLDER_H

#include "tessera/tessera.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct srv_file {
    char *name;          /* in its folder; owned */
    uint64_t bytes;      /* of all parts of a split model */
    int64_t modified_ns; /* since 1970, of the part written last */
    uint64_t stamp;      /* of the parts' places on disk, sizes and times: another one is another file */
    bool known;          /* for who reads the list */
} srv_file;

typedef struct srv_folder {
    srv_file *file; /* [n] by name */
    size_t n, cap;
} srv_folder;

/* The file at `path`, whose name is not filled in. Errors: TS_E_IO. */
TS_NODISCARD ts_status srv_file_look(srv_file *out, const char *path, ts_err *err);

/* The *.gguf of the folder: regular files, also behind links; of a split model the first part stands for all. Nothing
 * is opened but the folder. Errors: TS_E_IO with the system's number, TS_E_NOMEM. */
TS_NODISCARD ts_status srv_folder_read(srv_folder *out, const char *dir, ts_err *err);
void srv_folder_free(srv_folder *f);
srv_file *srv_folder_find(const srv_folder *f, const char *name); /* NULL: there is none */

#endif
