#!/bin/sh
# From a fresh Debian 12 to a conversation: install what is missing, build, chat. What it is doing stands on the terminal's
# last line, or in a line every ten seconds where there is no terminal.
set -eu

usage() {
    cat <<'END'
Usage: ./quickstart.sh [MODEL.gguf]
           install what is missing, build, and chat: at a terminal a
           conversation opens, otherwise one prompt is answered. Without
           MODEL.gguf: the tiny model that comes with Tessera
       ./quickstart.sh --tools         only install what the build needs
       ./quickstart.sh --check-tools   only install what ./check.sh needs
Packages come from apt, as root or by sudo. CC=clang builds with clang. Exit
code: the program's; 1 where something could not be installed or built, 2 for a
wrong argument.
END
}

say() { echo "quickstart: $*" >&2; }
die() {
    say "$@"
    exit 1
}

mode=chat model=
for arg; do
    case $arg in
    -h | --help) usage && exit 0 ;;
    --tools | --check-tools) mode=$arg ;;
    -*) say "unknown option \"$arg\" (see ./quickstart.sh --help)" && exit 2 ;;
    *)
        [ -z "$model" ] || { say "one model at a time: \"$model\" and \"$arg\" were given" && exit 2; }
        [ -e "$arg" ] || die "there is no file $arg"
        [ ! -d "$arg" ] || die "$arg is a folder; the model's .gguf file is wanted"
        case $arg in /*) model=$arg ;; *) model=$PWD/$arg ;; esac
        ;;
    esac
done
cd "$(dirname "$0")"

compiler=gcc
case ${CC:-} in *clang*) compiler=clang ;; esac
packages="$compiler ninja-build meson pkg-config python3 libpcre2-dev libutf8proc-dev libjansson-dev libedit-dev libmicrohttpd-dev
    libcurl4-openssl-dev libssl-dev libcmocka-dev"
check_packages="gcc clang libclang-rt-14-dev shellcheck codespell git zsh fish groff-base python3-jinja2 xilinx-bootgen
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user nodejs npm chromium"
tessera=./build/src/cli/tessera

# The packages of the list that are not there. Where there is no dpkg, the programs and libraries are looked for.
missing() {
    if command -v dpkg-query >/dev/null; then
        # shellcheck disable=SC2086  # a list of words on purpose
        have=" $(dpkg-query -W -f='${Package}=${db:Status-Status} ' $1 2>/dev/null || :) "
        for p in $1; do
            case $have in *" $p=installed "*) continue ;; esac
            # from wherever: other packages than Debian's bring them, which do not go together with these
            case $p in nodejs) command -v node ;; npm | chromium) command -v "$p" ;; *) false ;; esac >/dev/null && continue
            printf '%s ' "$p"
            have="$have$p=installed " # it may stand in the list twice
        done
        return
    fi
    for p in $1; do
        case $p in
        ninja-build) command -v ninja >/dev/null ;;
        xilinx-bootgen) command -v bootgen >/dev/null ;;
        python3-jinja2) python3 -c 'import jinja2' 2>/dev/null ;;
        groff-base) command -v groff >/dev/null ;;
        gcc-aarch64-linux-gnu) command -v aarch64-linux-gnu-gcc >/dev/null ;;
        libc6-dev-arm64-cross) [ -d /usr/aarch64-linux-gnu/include ] ;;
        qemu-user) command -v qemu-aarch64 >/dev/null ;;
        nodejs) command -v node >/dev/null ;;
        libpcre2-dev) pkg-config --exists libpcre2-8 ;;
        libcurl4-openssl-dev) pkg-config --exists libcurl ;;
        lib*-dev) p2=${p%-dev} && { pkg-config --exists "${p2#lib}" || pkg-config --exists "$p2" || [ "$p2" = libclang-rt-14 ]; } ;;
        *) command -v "$p" >/dev/null ;;
        esac || printf '%s ' "$p"
    done
}

# follow WHAT LOG COMMAND...: run the command with its words in the log, and show how far it is. Its exit code is the command's.
follow() {
    what=$1 log=$2
    shift 2
    { "$@" 2>&1 </dev/null && echo "exit code 0" || echo "exit code $?"; } | {
        code=1 shown=$(date +%s) width=0 ending='\n'
        if [ -t 2 ]; then
            width=$(stty size <&2 2>/dev/null) && width=${width#* }
            [ "${width:-0}" -ge 20 ] 2>/dev/null || width=80
            ending='\033[K\r'
            printf "%.$((width - 1))s$ending" "$what ..." >&2
        fi
        while IFS= read -r line; do
            case $line in
            "ninja: Entering"*) continue ;;
            "exit code "*) code=${line#exit code } && continue ;;
            dlstatus:* | pmstatus:*) # apt: kind:package:percent:text
                text=${line#*:*:}
                text="${text%%[.:]*} %: ${text#*:}"
                ;;
            "["*/*"]"*) text="${line%%]*}]" ;; # ninja
            *) text=$line ;;
            esac
            case $line in ??status:*) ;; *) printf '%s\n' "$line" >&3 || : ;; esac
            if [ "$width" = 0 ]; then
                now=$(date +%s)
                [ $((now - shown)) -ge 10 ] || continue
                shown=$now
                printf '%.150s\n' "$what: $text" >&2
            else
                printf "%.$((width - 1))s$ending" "$what: $text" >&2
            fi
        done 3>"$log"
        [ "$width" = 0 ] || printf '\033[K' >&2
        exit "$code"
    }
}

# What went wrong stands at the end of the log; a full disk has no room for a log.
failed() {
    free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print $4 }')
    [ "${free:-9999}" -ge 1024 ] || die "$1: the disk is full"
    tail -20 "$2" >&2 2>/dev/null || :
    die "$1; its words are in $2"
}

install() {
    need=$(missing "$1")
    need=${need% }
    [ -n "$need" ] || return 0
    command -v apt-get >/dev/null || die "this system has no apt-get; please install what Debian calls: $need"
    sudo=
    if [ "$(id -u)" != 0 ]; then
        sudo=sudo
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            # sudo may ask for a password only where somebody can see the question
            { command -v sudo >/dev/null && [ -t 0 ] && [ -t 2 ] && say "by sudo: apt-get install $need" && sudo -v; } ||
                die "please install as root: apt-get install $need"
        fi
    fi
    say "installing $need"
    apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o APT::Status-Fd=1 -o DPkg::Lock::Timeout=300 --no-install-recommends"
    # shellcheck disable=SC2086  # lists of words on purpose
    follow installing build-apt.log $apt install $need || {
        follow "asking for the list of packages" build-apt.log $apt update || :
        follow installing build-apt.log $apt install $need
    } || {
        # one that this system does not have does not keep the others away
        for p in $need; do follow "installing $p" build-apt.log $apt install "$p" || :; done
        need=$(missing "$1")
        [ -z "$need" ] || failed "apt-get could not install ${need% }" build-apt.log
    }
}

if [ "$mode" = --check-tools ]; then
    install "$packages $check_packages"
    exit 0
fi
if [ ! -w . ] || { [ -d build ] && [ ! -w build ]; }; then
    # somebody else's folder: what they have built will do
    [ "$mode" = chat ] && [ -x $tessera ] ||
        { [ "$mode" = --tools ] && [ -z "$(missing "$packages")" ] && exit 0; } ||
        die "this user may not write in $PWD; copy the folder to a place of yours, and start it there"
else
    install "$packages"
    [ "$mode" = chat ] || exit 0
    if [ ! -f build/build.ninja ]; then
        rm -rf build/meson-private build/meson-info # of a configuration that was interrupted
        follow configuring build-setup.log env CC="${CC:-$compiler}" meson setup build || failed "meson could not configure the build" build-setup.log
    fi
    follow building build-ninja.log ninja -C build src/cli/tessera || failed "ninja could not build" build-ninja.log
fi

if [ -n "$model" ]; then set -- -m "$model"; else set --; fi
if [ -t 0 ] && [ -t 1 ]; then exec $tessera chat "$@"; fi
exec $tessera run "$@" -p "Hello! Who are you?" -n 200 --temp 0 </dev/null # the prompt is this, whatever waits in a pipe
