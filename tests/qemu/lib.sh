#!/bin/sh
# What the jobs have in common. A job ends with `pass WORDS` or `fail WORDS`; JOB is its name.
# shellcheck shell=sh disable=SC2154  # /etc/guest sets road, kernel, params, carveout, slow
. /etc/guest

pass() {
    echo "PASS $JOB: $*"
    exit 0
}

fail() {
    echo "FAIL $JOB: $*"
    exit 1
}

# skip WHY: this job says nothing on this kernel or road.
skip() {
    echo "SKIP $JOB: $*"
    exit 0
}

# ctl ORDER...: tell the device something; its reply is printed. See control.h for the orders.
ctl() {
    {
        echo "$*" >&3
        if read -t 20 -r reply <&3; then echo "$reply"; else echo "error: no reply"; fi
    } 3<>/dev/ttyS1
}

# order ORDER...: the same, and the job fails where the device refuses.
order() {
    case $(ctl "$@") in ok*) ;; *) fail "the device refuses the order \"$*\"" ;; esac
}

# count KEY: one of the device's counters.
count() { ctl counts | tr ' ' '\n' | sed -n "s/^$1=//p"; }

# load [PARAMETER...]: the driver with the guest's parameters and these.
load() {
    # shellcheck disable=SC2086  # a list of words
    insmod /modules/amdxdna.ko $params "$@" || echo "insmod amdxdna $params $* failed"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ ! -c /dev/accel/accel0 ] || break
        usleep 100000
    done
    [ -z "$carveout" ] || find /sys/kernel/debug -name carveout | while read -r f; do echo "$carveout" >"$f"; done
}

# again [PARAMETER...]: unload and load the driver. With parameters, init does it once more after the job.
again() {
    rmmod amdxdna || return
    rm -f /run/loaded
    [ $# = 0 ] || : >/run/loaded
    load "$@"
}

newer() { [ "$(printf '%s\n%s\n' "$1" "$kernel" | sort -V | head -n 1)" = "$1" ]; } # newer VERSION: this kernel is that or newer

model() { echo "/models/tessera-tiny-$1.gguf"; }

# answer NAME DEVICE N OPTIONS...: N tokens to the prompt of /expect/prompt; /tmp/NAME.txt, /tmp/NAME.err; its exit code.
answer() {
    name=$1 device=$2 n=$3
    shift 3
    tessera run --temp 0 --ledger --device "$device" -n "$n" -f /expect/prompt "$@" >"/tmp/$name.txt" 2>"/tmp/$name.err"
}

# on_npu NAME: how many commands the NPU ran for it; fails where the ledger does not say that it had all linear layers.
on_npu() {
    grep -q '^multiply-accumulates of linear layers on the device: 100.000 %' "/tmp/$1.err" || { cat "/tmp/$1.err" && fail "$1: not all on the NPU"; }
    sed -n 's/^device: \([0-9]*\) commands.*/\1/p' "/tmp/$1.err"
}

# right: a short answer has the CPU's text. After each fault.
right() {
    answer right npu 2 -m "$(model q4_0)" || { cat /tmp/right.err && fail "the run after it ends with $?"; }
    cmp -s /tmp/right.txt /expect/q4_0-2.txt || { cat /tmp/right.txt && fail "the run after it has another text than the CPU"; }
    on_npu right >/dev/null
}
