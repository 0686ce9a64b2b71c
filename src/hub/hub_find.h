/* hub_find.h - what the store holds of a repository: one walk for finding, listing and removing. */
#ifndef TS_HUB_HUB_FIND_H
#define TS_HUB_HUB_FIND_H

#include "hub/hub.h"
#include "hub/hub_store.h"

/* The choice in a snapshot, with the files that its index names; whole: nothing of it is missing. Errors as
 * ts_hub_choose. */
TS_NODISCARD ts_status ts_hub_choose_stored(ts_hub_choice *out, const ts_hub_place *p, const char *commit,
                                            ts_hub_files *files, const char *repo, const char *tag, bool is_file,
                                            bool for_npu, ts_err *err);
/* What is known of a choice, as a model. rev: what its name has behind @; "": nothing. */
TS_NODISCARD ts_status ts_hub_model_of(ts_hub_model *out, const ts_hub_opts *o, const char *cache,
                                       const ts_hub_place *p, const char *repo, const char *rev, const char *commit,
                                       const ts_hub_files *files, const ts_hub_choice *c, ts_err *err);
/* Add the files of an index that lies at `path`. */
TS_NODISCARD ts_status ts_hub_choose_by_index(ts_hub_choice *c, ts_hub_files *files, const char *path, ts_err *err);

#endif
