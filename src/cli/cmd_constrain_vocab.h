/* cmd_constrain_vocab.h - tessera constrain --vocab: masks of a model's tokens along texts. */
#ifndef TS_CLI_CMD_CONSTRAIN_VOCAB_H
#define TS_CLI_CMD_CONSTRAIN_VOCAB_H

#include "cli/opt.h"
#include "tessera/tessera.h"

/* For each text: the time that masks take, before each of its tokens; and that each mask allows exactly the tokens
 * whose bytes go on, among them the next one of the text. *whole: every text is a whole one. One line a text. */
TS_NODISCARD ts_status constrain_vocab(const char *model, const ts_constraint_opts *opts, const cli_list *texts,
                                       bool json, bool *whole, ts_err *err);

#endif
