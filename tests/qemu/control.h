/* control.h - the channel by which a test in the guest tells the device what shall go wrong: a UNIX stream socket
 * that QEMU joins to a serial line of the guest.
 *
 * One line an order, one line an answer, "ok[ words]" or "error: words". Numbers as in C. Commands are counted over
 * all contexts.
 *
 *   hang N               the Nth command from now never ends (1: the next)
 *   fault N [STATUS]     it ends with that status of the firmware and does nothing (0x1000009)
 *   delay N MS [EVERY]   it takes so many milliseconds longer; and each EVERYth after it
 *   lose N [EVERY]       before it, the array of its context is configured anew in silence; and before each EVERYth
 *   after it
 *   refuse OP STATUS [N] the next N (1) management messages OP, or configurations of a context (0x11), get this
 *   status instead
 *   async TYPE COL ROW   tell the driver of an asynchronous error of a tile: access, stream, bus, instruction, ecc,
 *   lock, dma, parity;
 *                        columns 0 to 4 are those of the device
 *   protocol MINOR       the mailbox protocol is 5.MINOR from the firmware's next start on
 *   dead 0|1             1: the firmware does not come alive when it is started
 *   clock MHZ            the H clock that the SMU grants at most; 0: what is asked
 *   counts               commands=N failed=N contexts=N created=N starts=N suspends=N reloads=N messages=N unmapped=N
 *   ...
 *   reset                forget all orders */
#ifndef TS_TESTS_QEMU_CONTROL_H
#define TS_TESTS_QEMU_CONTROL_H

#include "qemu/npu1.h"

typedef struct control control;

/* Serve orders on a listening socket (taken over), one connection after the other, in a thread. NULL: out of memory,
 * or no thread; the socket is closed. */
control *control_start(npu1 *n, int listening);
void control_stop(control *c); /* NULL-safe */

#endif
