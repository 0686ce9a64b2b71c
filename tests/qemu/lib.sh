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

# skip WHY CURE: this job cannot be tried.
skip() {
    echo "SKIP $JOB: $1; cure: $2"
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

# answer NAME TYPE OPTION...: an answer of the bundled model; /tmp/NAME.txt, /tmp/NAME.err; its exit code.
answer() {
    name=$1 type=$2
    shift 2
    tessera run -m "/models/tessera-tiny-$type.gguf" --temp 0 --ledger "$@" >"/tmp/$name.txt" 2>"/tmp/$name.err"
}

# once NAME [OPTION...]: two tokens on the NPU.
once() {
    name=$1
    shift
    answer "$name" q4_0 --device npu --raw -n 2 -p Once "$@"
}

# well NAME COMMAND...: run what writes /tmp/NAME.err; fails where its exit code is not 0.
well() {
    name=$1
    shift
    "$@"
    code=$?
    [ $code = 0 ] || { cat "/tmp/$name.err" && fail "$name: exit code $code"; }
}

# badly NAME COMMAND...: the same, and it must end with 1, as what cannot be done does.
badly() {
    name=$1
    shift
    "$@"
    code=$?
    [ $code = 1 ] || { cat "/tmp/$name.err" && fail "$name: exit code $code, not 1"; }
}

# equal NAME EXPECTED: fails where the text is not the CPU's.
equal() { cmp "/tmp/$1.txt" "/expect/$2.txt" || { cat "/tmp/$1.txt" "/tmp/$1.err" && fail "$1: another text than the CPU's"; }; }

# told NAME WORDS: fails where the program did not say that on standard error.
told() { grep -q -F -e "$2" "/tmp/$1.err" || { cat "/tmp/$1.err" && fail "$1: it does not say \"$2\""; }; }

# on_npu NAME: how many commands the NPU ran for it; fails where the ledger does not say that it had all linear layers.
on_npu() {
    grep -q '^multiply-accumulates of linear layers on the device: 100.000 %' "/tmp/$1.err" || { cat "/tmp/$1.err" && fail "$1: not all on the NPU"; }
    sed -n 's/^device: \([0-9]*\) commands.*/\1/p' "/tmp/$1.err"
}

# right: a short answer has the CPU's text. After each fault.
right() {
    well right once right "$@"
    equal right q4_0-once
    on_npu right >/dev/null
}
