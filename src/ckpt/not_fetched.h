/* not_fetched.h - what lies in place of a file of a model where fetching it went wrong. */
#ifndef TS_CKPT_NOT_FETCHED_H
#define TS_CKPT_NOT_FETCHED_H

#include "base/err.h"
#include "base/span.h"

/* TS_E_UNSUPP in one line where the text is a pointer of Git LFS, a web page, a server's answer that it gives no
 * access, or compressed: what it is, and what to do. Messages name no file. */
TS_NODISCARD ts_status ts_not_fetched(ts_span file, ts_err *err);

#endif
