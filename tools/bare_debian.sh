#!/bin/sh
# The README's two commands on a bare Debian: a minimal system in a folder of its own, where nothing is installed that Tessera
# needs, first as an ordinary user, then as root, then as an ordinary user with the packages there. For root, with
# debootstrap; packages come from where this machine's apt gets them. ./check.sh --long runs it.
#
# Usage: tools/bare_debian.sh [--quick] [--root DIR]
#   --quick     root's run is ./check.sh --quick too, instead of all of ./check.sh
#   --root DIR  a fresh root of debootstrap to be used, and kept; by default one is made in $TMPDIR, and removed
# Prints a line "passed: what, seconds" or "FAILED: what" for each step; exit code 1 where there are such.
set -u

[ "$(id -u)" = 0 ] || { echo "bare_debian.sh: this takes root" >&2 && exit 2; }
# mounts and processes end with this script, however it ends
[ -n "${TESSERA_BARE:-}" ] || exec env TESSERA_BARE=1 unshare -m -p -f --kill-child sh "$0" "$@"
cd "$(dirname "$0")/.." || exit 2

root='' checks='' failures=0
while [ $# -gt 0 ]; do
    case $1 in
    --quick) checks=--quick ;;
    --root) root=$2 && shift ;;
    *) echo "bare_debian.sh: unknown argument $1" >&2 && exit 2 ;;
    esac
    shift
done

# shellcheck disable=SC1091
release=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-}")
release=${release:-bookworm}
sources=$(apt-get indextargets --format "deb \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" "Created-By: Packages" |
    grep -E " $release(-updates|-security)? main\$" | sort -u)
mirror=$(echo "$sources" | awk -v r="$release" '$3 == r { print $2; exit }')
[ -n "$mirror" ] || { echo "FAILED: this machine's apt has no source of Debian $release" && exit 1; }

if [ -z "$root" ]; then
    root=$(mktemp -d "${TMPDIR:-/tmp}/tessera-bare-XXXXXX") || exit 1
    trap 'umount "$root/proc" "$root/dev/pts" 2>/dev/null; rm -rf --one-file-system "$root"' EXIT
fi
include=''
case $sources in *https:*) include=--include=ca-certificates ;; esac
if [ ! -x "$root/bin/sh" ]; then
    begin=$(date +%s)
    # shellcheck disable=SC2086  # no word where there is none
    debootstrap --variant=minbase $include "$release" "$root" "$mirror" || { echo "FAILED: debootstrap" && exit 1; }
    echo "a bare Debian $release from $mirror: $(($(date +%s) - begin)) s"
fi
echo "$sources" >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::https?::Proxy' >"$root/etc/apt/apt.conf.d/90proxy"
if [ -n "$include" ] && ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null
fi
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb # as a fresh image has none
chroot "$root" id newcomer >/dev/null 2>&1 || chroot "$root" useradd -m -s /bin/sh newcomer
if ! mount -t proc proc "$root/proc" || ! mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"; then
    echo "FAILED: mounting /proc and /dev/pts"
    exit 1
fi

# The tree as it stands here, without what was built; owned by who will work in it.
lay() {
    rm -rf "${root:?}$2/tessera" && mkdir -p "$root$2/tessera" &&
        if [ -e .git ] && command -v git >/dev/null; then
            git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | tar -c --null -T - --ignore-failed-read
        else
            tar -c --exclude='./build*' .
        fi | tar -x --no-same-owner -C "$root$2/tessera" && chroot "$root" chown -R "$1:" "$2/tessera"
}

# cpu becomes the seconds of processor time that this script's children have used so far.
used() {
    times >"$root/tmp/times"
    cpu=$(awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, "m"); s += 60 * t[1] + t[2] } print int(s) }' "$root/tmp/times")
}

# try USER FOLDER CODE PATTERN COMMAND: the command ends with that exit code, and its last line matches the pattern.
try() {
    used
    begin=$(date +%s) before=$cpu
    echo "... $1: $5"
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$2" LANG=C.UTF-8 http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
        su "$1" -s /bin/sh -c "cd $2/tessera && $5" </dev/null >"$root/tmp/said" 2>&1
    code=$?
    used
    took="$(($(date +%s) - begin)) s, $((cpu - before)) s of CPU"
    last=$(tail -n 1 "$root/tmp/said")
    if [ $code = "$3" ] && echo "$last" | grep -Eq "$4"; then
        echo "passed: $1: $5: $took: $(echo "$last" | cut -c1-200)"
    else
        echo "FAILED: $1: $5: exit code $code after $took: $(echo "$last" | cut -c1-200)"
        tail -n 60 "$root/tmp/said" | sed 's/^/    /'
        failures=$((failures + 1))
    fi
}

green='^[1-9][0-9]* passed, 0 failed, [0-9]+ skipped$'
lay newcomer /home/newcomer
try newcomer /home/newcomer 1 'please install as root: apt-get install .*ninja-build' './quickstart.sh'
try newcomer /home/newcomer 1 'please install as root: apt-get install .*ninja-build' './check.sh'
lay root /root
try root /root 0 . './quickstart.sh'
try root /root 0 . './quickstart.sh' # the second time
# shellcheck disable=SC2086
try root /root 0 "$green" "./check.sh${checks:+ $checks}"
try newcomer /home/newcomer 0 . './quickstart.sh'
try newcomer /home/newcomer 0 "$green" './check.sh --quick'
[ $failures = 0 ]
