/* hub_lock.h - one process at a time, by flock on a file that stays. */
#ifndef TS_HUB_HUB_LOCK_H
#define TS_HUB_HUB_LOCK_H

#include "base/err.h"

#include <stdbool.h>

typedef struct ts_hub_lock {
    int fd;       /* -1: not held */
    bool certain; /* the file system is one on which a lock keeps others out: not Lustre, NFS and their like, where
                   * flock can succeed for everybody */
} ts_hub_lock;

/* Asked while another holds it, ten times a second: its process (0: not known); false: do not wait. */
typedef bool ts_hub_wait(void *ud, long pid);
/* `wait` NULL: do not wait. Errors: TS_E_LIMIT: another holds it, and that was enough; TS_E_IO. */
TS_NODISCARD ts_status ts_hub_lock_take(ts_hub_lock *l, const char *path, bool shared, ts_hub_wait *wait, void *ud,
                                        ts_err *err);
void ts_hub_lock_leave(ts_hub_lock *l);

#endif
