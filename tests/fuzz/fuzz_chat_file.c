/* The file of a conversation (tessera chat, /load): what can be read is written and read back unchanged. */
#include "cli/cmd_chat_talk.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { VOCAB = 1000 };
    chat_talk t = {0};
    chat_settings s = {.sampling = cli_sampling_defaults()};
    ts_buf text = {0}, again = {0};
    ts_err err;
    if (chat_file_read((const char *)data, size, VOCAB, &t, &s, &err) == TS_OK) {
        ts_status ok = chat_file_write(&t, &s, "model", "llama2", &text, &err);
        assert(ok == TS_OK);
        ok = chat_file_read(text.data, text.len, VOCAB, &t, &s, &err);
        assert(ok == TS_OK);
        ok = chat_file_write(&t, &s, "model", "llama2", &again, &err);
        assert(ok == TS_OK && text.len == again.len && !memcmp(text.data, again.data, text.len));
    } else {
        assert(err.msg[0] && t.n == 0 && !t.system);
    }
    ts_buf_free(&text);
    ts_buf_free(&again);
    chat_talk_free(&t);
    chat_settings_free(&s);
    return 0;
}
