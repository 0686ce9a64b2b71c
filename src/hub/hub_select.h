/* hub_select.h - which files of a repository are the model that a name asks for. The same for a hub's listing and for
 * what the store holds, so that a name finds there what was pulled by it. */
#ifndef TS_HUB_HUB_SELECT_H
#define TS_HUB_HUB_SELECT_H

#include "hub/hub_listing.h"
#include "hub/hub_quant.h"

typedef enum ts_hub_kind {
    TS_HUB_GGUF,   /* a GGUF file, or all parts of one */
    TS_HUB_FOLDER, /* configuration, tokenizer and tensors, as transformers keeps them */
    TS_HUB_FILE,   /* a single file that was asked for by its path, of whatever kind */
} ts_hub_kind;

enum { TS_HUB_MODEL_FILES_MAX = 2000 };
#define TS_HUB_FOLDER_TAG "safetensors"

typedef struct ts_hub_choice { /* free with ts_hub_choice_free */
    ts_hub_kind kind;
    const ts_hub_file **file; /* owned; of the list that was given. The first is the one to open, in a folder any */
    size_t n, cap;
    char quant[TS_HUB_QUANT_MAX]; /* "": its name says none */
    /* of a folder, NULL: none. Its contents say which tensors' files belong to it: ts_hub_choose_indexed */
    const ts_hub_file *index;
    size_t n_alike; /* other files that the name would fit as well */
} ts_hub_choice;

void ts_hub_choice_free(ts_hub_choice *c);
/* `tag` and `is_file` as in ts_hub_name; for_npu: Q4_0 before others where no quant is asked for. `repo` is for
 * messages. Errors: TS_E_IO: there is none such, and what there is; TS_E_FORMAT: a part is missing, or a name is in
 * doubt or what the list says of it cannot be; TS_E_LIMIT: more than TS_HUB_MODEL_FILES_MAX files. */
TS_NODISCARD ts_status ts_hub_choose(ts_hub_choice *out, const ts_hub_files *f, const char *repo, const char *tag,
                                     bool is_file, bool for_npu, ts_err *err);
/* Add the files that the index names. TS_E_FORMAT where one is not in the list. */
TS_NODISCARD ts_status ts_hub_choose_indexed(ts_hub_choice *c, const ts_hub_files *f, const char *const *path, size_t n,
                                             ts_err *err);
/* The shortest name behind ORG/NAME that chooses these files of that list again: ":Q4_K_M", "/FILE" or "". */
TS_NODISCARD bool ts_hub_choice_name(ts_buf *out, const ts_hub_choice *c, const ts_hub_files *f);

#endif
