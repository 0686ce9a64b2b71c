/* cmd_chat_talk.h - a conversation: the system prompt, questions with their answers, and the file they are kept in. */
#ifndef TS_CLI_CMD_CHAT_TALK_H
#define TS_CLI_CMD_CHAT_TALK_H

#include "cli/common.h"

typedef struct chat_exchange { /* owned strings, UTF-8 */
    char *user, *answer;
} chat_exchange;

typedef struct chat_talk { /* zero-initialise; free with chat_talk_free */
    char *system; /* owned; NULL: none */
    chat_exchange *exchange;
    size_t n, cap;
} chat_talk;

void chat_talk_free(chat_talk *t);
/* Copies; "" and NULL: none. false when out of memory, the old one is kept. */
TS_NODISCARD bool chat_talk_set_system(chat_talk *t, const char *text);
/* Takes both strings over, on failure too. */
TS_NODISCARD bool chat_talk_push(chat_talk *t, char *user, char *answer);
/* Drop n exchanges from the front or the back. */
void chat_talk_drop_first(chat_talk *t, size_t n);
void chat_talk_drop_last(chat_talk *t, size_t n);
/* The messages of the exchanges from `first` on, with the system prompt, then `user` (NULL: none). Room for
 * 2 * t->n + 2; borrowed strings. Returns how many. */
size_t chat_talk_messages(const chat_talk *t, size_t first, const char *user, ts_message *out);

/* What may be set within a chat: the sampling and the length of answers. */
typedef struct chat_settings { /* free with chat_settings_free */
    cli_sampling sampling;
    long n_predict;
    char **owned; /* strings that `sampling` borrows but argv does not own */
    size_t n_owned, owned_cap;
} chat_settings;
enum { CHAT_OPTIONS = 20 };
/* The option table over *s, ended as cli_parse wants it. */
void chat_settings_table(chat_settings *s, cli_opt out[CHAT_OPTIONS]);
void chat_settings_free(chat_settings *s);
/* Set one option by its long name, keeping a copy of `value`; the whole is checked against the vocabulary. Errors:
 * TS_E_INVAL naming the option, TS_E_NOMEM; *s is then as before. */
TS_NODISCARD ts_status chat_settings_set(chat_settings *s, const char *name, const char *value, uint32_t n_vocab,
                                         ts_err *err);
/* Back to the default; lists become empty. TS_E_INVAL for an unknown name. */
TS_NODISCARD ts_status chat_settings_unset(chat_settings *s, const char *name, ts_err *err);

/* ---- cmd_chat_file.c: the file
 *
 * JSON: {"format": "tessera-chat", "version": 1, "model": "...", "template": "...", "system": "...",
 *        "settings": {"temp": 0.8, ..., "stop": ["..."]}, "messages": [{"role": "user", "content": "..."}, ...]}
 * Settings carry the names of the options. When reading, everything but "messages" may be missing, a first message
 * of the role "system" is taken for the system prompt, and members of other names are passed over. Without
 * "settings" the present ones stay; a setting that is missing among them gets its default. */

/* Append the file's text. The conversation is UTF-8 (cmd_chat.c sees to that); the rest is made so. */
TS_NODISCARD ts_status chat_file_write(const chat_talk *t, const chat_settings *s, const char *model,
                                       const char *template_name, ts_buf *out, ts_err *err);
/* *t and *s are replaced on success and untouched on failure. Errors: TS_E_FORMAT naming the place, TS_E_UNSUPP for
 * another
 * version, TS_E_INVAL for a setting out of range, TS_E_NOMEM. */
TS_NODISCARD ts_status chat_file_read(const char *text, size_t len, uint32_t n_vocab, chat_talk *t, chat_settings *s,
                                      ts_err *err);

#endif
