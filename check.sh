#!/bin/sh
# Run all checks: gcc and clang builds with -Werror, the tests, the tests again under ASan+UBSan, short fuzzing, lints.
set -u

usage() {
    cat <<'END'
Usage: ./check.sh [--quick | --long] [--strict]
  --quick    a first answer in three minutes: gcc build, unit and command line
             tests
  --long     also soaks, long fuzzing, big sweeps, the guest with other kernels
             and roads to memory, and, as root where there is debootstrap, the
             two commands of the README on a bare Debian
  --strict   a missing tool is a failure, not a skip; what the guest needs is
             fetched first (CI)
Missing tools are installed first, as root or by sudo; without either, what
needs them is skipped. The guest, a machine in QEMU with the real NPU driver
above a simulated NPU, runs where tests/qemu/fetch.py has been; docs/npu/qemu.md
tells more. TESSERA_SHARED names the folder of shared test data
(default: ../shared where it exists; empty: none). Where there are data, no test
may be skipped for want of them. The last line is "N passed, N failed, N
skipped"; exit code: 0 when nothing failed, 1 when something did, 2 for a wrong
argument, 130 after Ctrl-C.
END
}

mode='' strict=''
for arg; do
    case $arg in
    -h | --help) usage && exit 0 ;;
    --strict) strict=$arg ;;
    --quick | --long)
        [ "${mode:-$arg}" = "$arg" ] || { echo "check.sh: $mode and $arg do not go together" >&2 && exit 2; }
        mode=$arg
        ;;
    *) echo "check.sh: unknown argument \"$arg\" (see ./check.sh --help)" >&2 && exit 2 ;;
    esac
done
if [ -n "${TESSERA_SHARED:-}" ] && [ -d "$TESSERA_SHARED" ]; then TESSERA_SHARED=$(cd "$TESSERA_SHARED" && pwd); fi
cd "$(dirname "$0")" || exit 1
if [ -z "${TESSERA_SHARED+set}" ] && [ -d ../shared ]; then TESSERA_SHARED=$(cd ../shared && pwd); fi
export TESSERA_SHARED="${TESSERA_SHARED:-}"

tools=--check-tools
[ "$mode" != --quick ] || tools=--tools
if ! ./quickstart.sh $tools; then
    [ -z "$strict" ] && [ $tools = --check-tools ] && ./quickstart.sh --tools 2>/dev/null || exit 1
    echo "check.sh: going on without them: what needs them is skipped" >&2
fi
# shellcheck disable=SC2086  # no word where there is none
exec python3 tools/check.py $mode $strict
