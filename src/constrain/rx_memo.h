/* rx_memo.h - derivatives that were just computed. */
#ifndef TS_CONSTRAIN_RX_MEMO_H
#define TS_CONSTRAIN_RX_MEMO_H

#include "constrain/rx.h"

enum { RX_MEMO = 1 << 13 };
typedef struct ts_rx_memo {
    ts_rx of, is; /* of 0: empty */
    uint32_t byte;
} ts_rx_memo;

#endif
