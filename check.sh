#!/bin/sh
# Run all checks: gcc and clang builds with -Werror, the tests, the tests again under ASan+UBSan, short fuzzing, lints.
# Usage: ./check.sh [--long]   (--long adds soaks, long fuzzing and big sweeps)
# Ends with "N passed, N failed, N skipped"; exit code 0 only when nothing failed.
set -u
cd "$(dirname "$0")" || exit 1
: "${TESSERA_SHARED:=$(cd .. && pwd)/shared}"
if [ -d "$TESSERA_SHARED" ]; then export TESSERA_SHARED; else unset TESSERA_SHARED; fi
long=0
[ "${1:-}" = --long ] && long=1
exec python3 tools/check.py --long=$long
