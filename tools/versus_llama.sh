#!/bin/sh
# Tessera beside llama.cpp on this machine: the same random-weight models in both programs, in turn, medians and ratios as a
# Markdown table, with the limits measured in the same runs. This script makes ready what is run; versus_llama.py runs it.
set -u

usage() {
    cat <<'END'
Usage: tools/versus_llama.sh [options]

Compares `tessera bench` with llama.cpp's llama-bench and llama-batched-bench: both read the same files of random weights, and
take turns. Prints a Markdown table with medians over the rounds, the ratio to the faster llama.cpp, and what share of the
machine's limits Tessera reached. Build Tessera first (ninja -C build); stop whatever else runs: a busy machine is refused.

llama.cpp comes from Debian sid, installed into a folder of its own and run there by chroot: this takes root, debootstrap,
unshare and an apt source of Debian, 500 MB once. Models take 1 GB for each type of the 1B shape. All of it stays in the cache.

  --quick           a first answer: Q4_0, one round, few and short tests
  --only PART,...   of: prefill (512), short (prompts of 8 and 32), decode, batch (2, 4, 8 decodes together), depth (prefill and
                    decode behind 4096 and 16384 tokens, KV cache F16 and Q8_0), busy (decode beside a busy process)
  --types T,...     default q4_0,q4_k_m,q8_0,q6_k,q5_k_m,iq4_xs; depth and busy take the first alone, batch the first three
  --threads N,...   default 1,2 (one, and all processors where these are not two); batch, depth and busy take the last alone
  --depths N,...    default 4096,16384
  --shape NAME      of `tessera bench --shape` (default llama-3.2-1b)
  --rounds N        default 5
  --reps N          of a test in a round, of which the median counts (default 3; 1 in depth and with --quick)
  --level LEVEL     force Tessera, Debian's llama.cpp and that of --native to avx2 (TESSERA_CPU; ggml's haswell) instead of the
                    best that each has for this processor
  --native          also a llama.cpp compiled here for this processor (takes npm, git, cmake, a C++ compiler, 10 minutes once)
  --peer NAME=DIR   instead of Debian's: a llama.cpp that you have, DIR with llama-bench and llama-batched-bench; needs no root;
                    may be given several times; --level does not reach it, the table shows
                    which of ggml's variants it took
  --build DIR       where Tessera is built (default: build)
  --cache DIR       default $XDG_CACHE_HOME/tessera/versus, by default in ~/.cache
  --mirror URL      of Debian, where this machine's apt has none
  --stale-mirror    take a mirror whose index has expired (a frozen one); signatures are checked all the same
  --raw FILE        append every single result, a line of JSON each
  --force           measure on a busy machine too; the table says so

The machine counts as busy where a fixed loop on all processors takes more than 1.1 times its processor time. Between rounds
that is looked at again, and waited for. Ctrl-C stops: programs that were started end, mounts vanish, and the table of
what is done so far is printed. All six parts with five rounds take hours, depth most of them; --only takes them apart.
Exit code: 0 done, 1 something failed, 2 wrong usage, 3 the machine is busy, 130 stopped.
END
}

die() {
    echo "versus_llama.sh: $*" >&2
    exit 1
}

need() { # COMMAND PACKAGE WHY
    command -v "$1" >/dev/null || die "$3 takes $1: apt-get install $2 (as root)"
}

wrong() {
    echo "versus_llama.sh: $*; --help tells more" >&2
    exit 2
}

tools=$(dirname "$0")
build=$tools/../build cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tessera/versus shape=llama-3.2-1b level='' native='' mirror='' stale=''
types=q4_0,q4_k_m,q8_0,q6_k,q5_k_m,iq4_xs quick='' peers=''

# measured: the options that versus_llama.py takes as they are, quoted for eval.
measured=''
pass() {
    measured="$measured '$1=$(printf '%s\n' "$2" | sed "s/'/'\\\\''/g")'"
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h) usage && exit 0 ;;
        --quick) quick=1 ;;
        --native) native=1 ;;
        --stale-mirror) stale=1 ;;
        --force) measured="$measured --force" ;;
        --only | --types | --threads | --depths | --shape | --rounds | --reps | --level | --peer | --build | --cache | --mirror | --raw)
            [ $# -gt 1 ] || wrong "$1 takes a value"
            case $1 in
            --types) types=$2 ;;
            --shape) shape=$2 ;;
            --level) case $2 in avx2) level=$2 ;; *) wrong "--level $2: known is avx2" ;; esac ;;
            --peer) case $2 in ?*=?*) peers=1 && pass --peer "$2" ;; *) wrong "--peer $2: expected NAME=DIR" ;; esac ;;
            --build) build=$2 ;;
            --cache) cache=$2 ;;
            --mirror) mirror=$2 ;;
            *) pass "$1" "$2" ;;
            esac
            shift
            ;;
        *) wrong "unknown argument $1" ;;
        esac
        shift
    done
}
parse "$@"
need python3 python3 "the comparison"
eval "python3 \"\$tools/versus_llama.py\" --check $measured" || exit # before anything is installed, compiled or written
for program in src/cli/tessera tools/random_model; do
    [ -x "$build/$program" ] || die "no $program in $build: meson setup $build && ninja -C $build, or --build DIR"
done
case ,$types, in *,,* | *[!A-Za-z0-9_,]*) wrong "--types $types: expected names of types with a comma between them" ;; esac
for type in $(echo "$types" | tr , ' '); do
    why=$("$build/tools/random_model" "$shape" "$type" 2>&1) || wrong "--shape $shape --types $type: ${why#random_model: }"
done
if [ -n "$quick" ]; then
    types=${types%%,*}
    measured="--quick $measured"
fi
mkdir -p "$cache/models" || die "cannot make $cache/models; --cache DIR names another place"
cache=$(cd "$cache" && pwd) || exit 1

# ---- llama.cpp of Debian sid, in a folder of its own ------------------------------------------------------------------------

install_debian() {
    need debootstrap debootstrap "Debian's llama.cpp"
    if [ -z "$mirror" ]; then
        mirror=$(apt-get indextargets --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT) \$(ORIGIN)" \
            "Created-By: Packages" 2>/dev/null | awk '$3 == "main" && $4 == "Debian" && $2 !~ /security/ { print $1; exit }')
        [ -n "$mirror" ] || die "this machine's apt has no source of Debian; --mirror URL names one"
    fi
    new=$cache/debian.new
    rm -rf --one-file-system "$new"
    trap 'rm -rf --one-file-system "$new"' EXIT
    trap 'exit 130' INT TERM
    echo "versus_llama.sh: installing Debian's llama.cpp into $cache/debian" >&2
    include=''
    case $mirror in https:*) include=--include=ca-certificates ;; esac
    # shellcheck disable=SC2086  # no word where there is none
    debootstrap --variant=minbase $include sid "$new" "$mirror" >"$cache/debian.log" 2>&1 ||
        die "debootstrap failed; the end of $cache/debian.log: $(tail -n 1 "$cache/debian.log")"
    apt-config dump | grep -E '^Acquire::https?::Proxy' >"$new/etc/apt/apt.conf.d/90proxy"
    [ -z "$stale" ] || echo 'Acquire::Check-Valid-Until "false";' >"$new/etc/apt/apt.conf.d/90stale"
    if [ -n "$include" ] && ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
        cp /usr/local/share/ca-certificates/*.crt "$new/usr/local/share/ca-certificates/"
        chroot "$new" update-ca-certificates >/dev/null
    fi
    chroot "$new" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive http_proxy="${http_proxy:-}" \
        https_proxy="${https_proxy:-}" sh -c \
        'apt-get update -q && apt-get install -y -q --no-install-recommends llama.cpp-tools llama.cpp-tools-extra &&
            apt-get clean' \
        >>"$cache/debian.log" 2>&1 || {
        ! grep -q 'is expired' "$cache/debian.log" || die "the index of $mirror has expired; --stale-mirror takes it all the same"
        die "installing llama.cpp failed; the end of $cache/debian.log: $(tail -n 1 "$cache/debian.log")"
    }
    # what an earlier run left there, incomplete: mv would move into it
    rm -rf --one-file-system "$cache/debian" || exit 1
    mv "$new" "$cache/debian" || exit 1
    trap - EXIT INT TERM
}

# Programs of that name which run Debian's in its folder, and there the models under the same path as here.
debian() {
    root=$cache/debian
    [ -x "$root/usr/bin/llama-batched-bench" ] || install_debian
    mkdir -p "$root$cache/models" "$cache/debian-bin" || exit 1
    mount --bind "$cache/models" "$root$cache/models" || die "cannot mount the models into $root"
    if [ "$level" = avx2 ]; then # ggml takes the best of the variants that it finds
        backends=$(dirname "$(find "$root/usr/lib" -name libggml-cpu-haswell.so)")
        mkdir -p "$cache/debian-avx2" || exit 1
        cp "$backends/libggml-cpu-haswell.so" "$cache/debian-avx2/" || die "no libggml-cpu-haswell.so in $root"
        mount --bind "$cache/debian-avx2" "$backends" || die "cannot hide ggml's other variants in $root"
    fi
    for program in llama-bench llama-batched-bench; do
        printf '#!/bin/sh\nexec chroot "%s" env -i PATH=/usr/bin:/bin HOME=/tmp %s "$@"\n' "$root" "$program" \
            >"$cache/debian-bin/$program" && chmod +x "$cache/debian-bin/$program" || exit 1
    done
    pass --own "Debian=$cache/debian-bin"
}

# ---- llama.cpp compiled here, of the release that an npm package brings along -----------------------------------------------

native() {
    flags=-DGGML_NATIVE=ON
    [ "$level" != avx2 ] || flags='-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF'
    to=$cache/native${level:+-$level}
    if [ ! -x "$to/bin/llama-bench" ] || [ ! -x "$to/bin/llama-batched-bench" ]; then
        for program in npm git cmake c++; do
            need $program "$(echo $program | sed 's/c++/g++/')" --native
        done
        echo "versus_llama.sh: compiling llama.cpp into $to" >&2
        if [ ! -f "$cache/llama.cpp/CMakeLists.txt" ]; then
            rm -rf "$cache/npm" "$cache/llama.cpp"
            mkdir "$cache/npm" || exit 1
            (cd "$cache/npm" && npm pack --silent node-llama-cpp && tar xzf ./*.tgz package/llama/gitRelease.bundle &&
                git clone -q package/llama/gitRelease.bundle "$cache/llama.cpp") >"$cache/native.log" 2>&1 ||
                die "no source of llama.cpp; the end of $cache/native.log: $(tail -n 1 "$cache/native.log")"
            rm -rf "$cache/npm"
        fi
        # shellcheck disable=SC2086  # a list of words
        (cmake -S "$cache/llama.cpp" -B "$to" -DCMAKE_BUILD_TYPE=Release $flags -DGGML_OPENMP=ON -DLLAMA_BUILD_TESTS=OFF \
            -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF \
            -DBUILD_SHARED_LIBS=OFF && cmake --build "$to" --target llama-bench llama-batched-bench -j "$(nproc)") \
            >"$cache/native.log" 2>&1 || die "compiling failed; the end of $cache/native.log: $(tail -n 1 "$cache/native.log")"
    fi
    pass --own "native=$to/bin"
}

# ---- the models, and off -----------------------------------------------------------------------------------------------------

if [ -z "$peers" ]; then
    if [ -z "${TESSERA_VERSUS:-}" ]; then # mounts end with this process, however it ends
        [ "$(id -u)" = 0 ] || die "Debian's llama.cpp runs by chroot, which takes root; without it: --peer NAME=DIR with your own"
        need unshare util-linux "Debian's llama.cpp"
        TESSERA_VERSUS=1 exec unshare -m sh "$0" "$@"
    fi
    debian
fi
[ -z "$native" ] || native

for type in $(echo "$types" | tr , ' '); do
    model=$cache/models/$shape-$type.gguf
    if [ ! -f "$model" ] || [ -n "$(find "$build/tools/random_model" -newer "$model")" ]; then
        echo "versus_llama.sh: making $model" >&2
        trap 'rm -f "$model.new"; exit 130' INT TERM
        if ! "$build/tools/random_model" "$shape" "$type" "$model.new" || ! mv "$model.new" "$model"; then
            rm -f "$model.new"
            exit 1
        fi
        trap - INT TERM
    fi
    pass --model "$type=$model"
done
[ -z "$level" ] || pass --level "$level"
pass --shape "$shape"
pass --tessera "$build/src/cli/tessera"
eval "exec python3 \"\$tools/versus_llama.py\" $measured"
