#include "text/chat.h"
const char *ts_chat_name(ts_chat_template t) { (void)t; return "x"; }
ts_status ts_chat_find(ts_chat_template *out, const char *name, ts_err *err) { (void)out;(void)name;(void)err; return TS_E_UNSUPP; }
ts_status ts_chat_detect(ts_chat_template *out, const char *jinja, size_t len, ts_err *err) { (void)out;(void)jinja;(void)len;(void)err; return TS_E_UNSUPP; }
ts_status ts_chat_apply(ts_chat_template t, const ts_message *msg, size_t n, const char *bos, bool answer, ts_buf *out, ts_err *err) { (void)t;(void)msg;(void)n;(void)bos;(void)answer;(void)out;(void)err; return TS_E_UNSUPP; }
