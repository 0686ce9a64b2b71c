#!/bin/sh
# From a fresh Debian 12 to a conversation: install what is missing, build, chat.
# Usage: ./quickstart.sh [MODEL.gguf]      at a terminal: opens a chat; otherwise answers one prompt.
#                                          Without MODEL.gguf: the tiny model that comes with Tessera
#        ./quickstart.sh --check-tools     installs what ./check.sh needs, and stops there
set -eu
cd "$(dirname "$0")"

packages="gcc ninja-build meson pkg-config python3 libpcre2-dev libutf8proc-dev libjansson-dev libedit-dev libcmocka-dev"
check_packages="clang libclang-rt-14-dev lld shellcheck codespell git python3-numpy xilinx-bootgen"

missing() {
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$p"
    done
}

install() {
    # shellcheck disable=SC2046,SC2086  # lists of words on purpose
    need=$(missing $1)
    [ -z "$need" ] && return 0
    if ! command -v apt-get >/dev/null; then
        echo "quickstart: this system has no apt-get; please install: $need" >&2
        exit 1
    fi
    sudo=""
    if [ "$(id -u)" != 0 ]; then
        sudo=sudo
        command -v sudo >/dev/null || { echo "quickstart: please install as root: apt-get install $need" >&2; exit 1; }
    fi
    echo "quickstart: installing $need" >&2
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $need >build-apt.log 2>&1 || {
        $sudo apt-get update -q >>build-apt.log 2>&1
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $need >>build-apt.log 2>&1
    } || { echo "quickstart: apt-get failed; see build-apt.log" >&2; tail -5 build-apt.log >&2; exit 1; }
}

if [ "${1:-}" = --check-tools ]; then
    install "$packages $check_packages"
    exit 0
fi
install "$packages"

[ -f build/build.ninja ] || CC=${CC:-gcc} meson setup build >build-setup.log 2>&1 || { tail -20 build-setup.log >&2; exit 1; }
echo "quickstart: building" >&2
ninja -C build src/cli/tessera >build-ninja.log 2>&1 || { tail -20 build-ninja.log >&2; exit 1; }

tessera=./build/src/cli/tessera
if [ $# -gt 0 ]; then set -- -m "$1"; fi
if [ -t 0 ] && [ -t 1 ]; then
    exec $tessera chat "$@"
fi
exec $tessera run "$@" -p "Hello! Who are you?" -n 200 --temp 0
