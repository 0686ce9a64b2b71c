#!/usr/bin/env python3
"""Lay what the guest needs into a cache: QEMU with vfio-user-pci, a kernel whose amdxdna is a module, a static busybox.

All of it comes from the package archive of a newer Debian by apt, with lists and a cache of its own: nothing is installed, nothing
of the running system is changed, and root is not needed. The archive's address is the one in apt's own configuration. Finished parts
are renamed into place, so that an interrupted run can be started again: packages that were complete are not fetched twice.

Source of the package names: Debian's kernel team splits the kernel into linux-binary (vmlinuz) and linux-modules since 7.2; before,
linux-image had both."""
import argparse
import contextlib
import ctypes
import errno
import fcntl
import fnmatch
import lzma
import os
import pathlib
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import time

# Newest first where several would do: packages of a stable release's backports go with that release's libraries.
POOLS = [("trixie", "trixie-backports"), ("forky", "forky-backports"), ("forky",), ("sid",)]
QEMU_LEAST = (10, 1)  # the first with vfio-user-pci
KERNEL_LEAST = (6, 18)  # the first that Debian built with amdxdna
DRIVER = "amdxdna"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DISK = 550 << 20  # bytes at the worst moment: packages of QEMU and of the larger kernel, and what is unpacked
ROOM = "make room, or set TESSERA_GUEST_CACHE to a folder on another disk"
SIZES = ("QEMU and its libraries: 38 MB to load, 63 MB on disk; kernel 7.3: 121 MB to load, 19 MB on disk; 6.18: 167 MB, 16 MB; "
         "lists of packages: 10 MB, removed at the end")


class Skip(Exception):
    """The guest cannot be had here. Arguments: why, and what would cure it."""


def say(text: str) -> None:
    print(f"fetch: {text}", file=sys.stderr, flush=True)


def tell(text: str, code: int) -> int:
    """On standard output; the exit code, which is 1 where nobody takes it."""
    try:
        print(text, flush=True)
        return code
    except OSError as e:
        if not isinstance(e, BrokenPipeError):  # of "| head" nobody wants the rest
            say(f"standard output: {e.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def numbers(version: str) -> tuple[int, ...]:
    """The upstream part of a Debian version, to be compared: "1:11.1.3+ds-1" is (11, 1, 3)."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found[1].split("."))) if found else ()


def matches(version: str, wanted: str) -> bool:
    """Is "6.18.15+deb13-amd64" what "6.18", "6.18.15" or its whole name ask for?"""
    return version == wanted or (re.fullmatch(r"\d+(\.\d+)*", wanted) is not None
                                 and numbers(version)[:wanted.count(".") + 1] == numbers(wanted))


def kernels(names: list[str]) -> list[tuple[str, list[str]]]:
    """Of all package names: kernels that can have the driver, newest first, each with the packages that make it up. Kernels for
    the cloud and for real time are left out, and so are those whose modules are no longer offered."""
    have, out = set(names), []
    for version in {m[1] for n in names if (m := re.fullmatch(r"linux-(?:image|binary)-(\d+(?:\.\d+)+(?:\+deb\d+)?-amd64)", n))}:
        if numbers(version) < KERNEL_LEAST:
            continue
        if {f"linux-binary-{version}", f"linux-modules-{version}"} <= have:
            out.append((version, [f"linux-binary-{version}", f"linux-modules-{version}"]))
        elif f"linux-binary-{version}" not in have:
            out.append((version, [f"linux-image-{version}"]))
    return sorted(out, key=lambda k: (numbers(k[0]), k[0]), reverse=True)


def cache_folder() -> pathlib.Path:
    path = os.environ.get("TESSERA_GUEST_CACHE")
    if not path:
        path = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tessera", "guest")
    path = os.path.abspath(path)
    if re.search(r"[:;,]", path):  # separators of the dynamic linker and of QEMU's options
        raise Skip(f"the cache's path {path} has a colon, semicolon or comma in it", "set TESSERA_GUEST_CACHE to another folder")
    return pathlib.Path(path)


def dies_with_us() -> None:
    """In the child: killed when this process is gone, however it ends. Source: prctl(2), PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def whole(folder: pathlib.Path) -> bool:
    """Is every file of a part of the cache there in its length, as the part's own list says?"""
    try:
        lines = (folder / "files").read_text().splitlines()
        return bool(lines) and all(os.stat(folder / path).st_size == int(n) for n, _, path in (line.partition(" ") for line in lines))
    except (OSError, ValueError):
        return False


def versions(cache: pathlib.Path, kind: str) -> list[str]:
    """Whole ones in the cache, newest first; kind is qemu, kernel or busybox."""
    try:
        found = [p.name for p in (cache / kind).iterdir() if whole(p)]
    except OSError:
        return []
    return sorted(found, key=lambda v: (numbers(v), v), reverse=True)


def kept_kernel(cache: pathlib.Path, wanted: str | None) -> str | None:
    """The newest kernel of the cache that is the one asked for, if any was."""
    return next((v for v in versions(cache, "kernel") if not wanted or matches(v, wanted)), None)


def needed_kernel(cache: pathlib.Path, wanted: str | None, own: bool = False) -> str:
    """The same, or "own" where the caller brings one, when all else that a guest takes is there; Skip where not."""
    version = "own" if own else kept_kernel(cache, wanted)
    if not version or not versions(cache, "qemu") or not versions(cache, "busybox"):
        raise Skip(f"the guest: no QEMU with {'kernel ' + wanted if wanted else 'a kernel'} in {cache}",
                   "tests/qemu/fetch.py" + (f" --kernel {wanted}" if wanted else ""))
    return version


def size(path: pathlib.Path) -> int:
    return sum(p.lstat().st_size for p in path.rglob("*") if p.is_file())


# ---- apt ----

def network(text: str) -> str:
    """The line of apt's output that says that the archive cannot be reached; "" where there is none."""
    found = re.search(r"^.*(?:Could not (?:resolve|connect)|Temporary failure|timed out|Unable to connect|Network is unreachable|"
                      r"Connection (?:failed|refused)|No route to host|certificate).*$", text, re.M | re.I)
    return found[0].strip() if found else ""


class Apt:
    """apt with lists and cache in a folder of ours."""

    def __init__(self, folder: pathlib.Path, arch: str = "amd64"):
        self.folder = folder
        for d in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "etc/trusted.gpg.d"):
            (folder / d).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        # the system's sources ...
        self.private = {"Dir::State": folder / "state", "Dir::State::status": folder / "status", "Dir::Cache": folder / "cache",
                        "APT::Architecture": arch, "APT::Architectures": arch, "APT::Sandbox::User": "root", "Acquire::Languages": "none",
                        "Acquire::http::Timeout": 15, "Acquire::https::Timeout": 15, "Acquire::Retries": 3,
                        "Acquire::AllowReleaseInfoChange": "true", "APT::Get::AllowUnauthenticated": "false"}
        # ... or one of ours
        self.own = {**self.private, "Dir::Etc": folder / "etc", "Dir::Etc::sourcelist": folder / "etc/sources.list",
                    "Dir::Etc::sourceparts": "/dev/null", "APT::Default-Release": ""}

    def run(self, program: str, *words: str, own: bool = True, what: str = "", cwd: pathlib.Path | None = None) -> tuple[int, str]:
        """Exit code and output; `what`: progress is told under this name, every five seconds."""
        options = self.own if own else self.private
        argv = [program, *(f"-o{k}={v}" for k, v in options.items()), *(["-oAPT::Status-Fd=1"] if what else []), *words]
        p = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
                             preexec_fn=dies_with_us)  # or it would keep its locks
        out, told = [], time.monotonic()
        try:
            for line in p.stdout:
                status = re.match(r"dlstatus:\d+:([\d.]+):", line)
                if not status:
                    out.append(line)
                elif time.monotonic() - told >= 5:
                    told = time.monotonic()
                    say(f"{what}: {float(status[1]):.0f} %")
            return p.wait(), "".join(out)
        finally:
            if p.poll() is None:
                p.terminate()
                p.wait()

    def mirrors(self) -> list[str]:
        """Addresses of archives that the running system uses; those of security updates have no such packages."""
        text = self.run("apt-get", "update", "--print-uris", own=False)[1]
        found = dict.fromkeys(re.findall(r"^'([^']+)/dists/[^']+'", text, re.M))
        return sorted((m for m in found if "security" not in m), key=lambda m: not m.endswith("/debian"))

    def update(self, mirror: str, pool: tuple[str, ...]) -> str:
        """Take this pool's lists. "" or why there are none."""
        (self.folder / "etc/sources.list").write_text("".join(f"deb [signed-by={KEYRING}] {mirror} {s} main\n" for s in pool))
        code, text = self.run("apt-get", "-q", "-oAcquire::Retries=0", "update", what=f"list of packages of {pool[-1]}")
        if code == 0 and not re.search(r"^[EW]: .*(?:Failed to fetch|couldn't be verified|is not signed)", text, re.M):
            return ""
        self.full(text)
        if network(text):
            raise Skip(f"the archive cannot be reached ({network(text)[:200]})", "try again with a network; what was complete is kept")
        errors = re.findall(r"^[EW]: (.+)$", text, re.M)
        return f"{pool[-1]}: {errors[0] if errors else f'apt-get update ended with {code}'}"

    def full(self, text: str) -> None:
        if "No space left on device" in text or shutil.disk_usage(self.folder).free < 1 << 20:
            raise Skip("the disk is full", ROOM)

    def get(self, words: list[str], what: str, cwd: pathlib.Path | None = None, own: bool = True) -> None:
        begin = time.monotonic()
        code, text = self.run("apt-get", "-q", "-y", *words, own=own, what=what, cwd=cwd)
        if code == 0:
            loaded = re.search(r"^Fetched (.+?) in", text, re.M)
            say(f"{what}: {loaded[1] if loaded else 'nothing'} loaded in {time.monotonic() - begin:.0f} s")
            return
        self.full(text)
        errors = re.findall(r"^E: (.+)$", text, re.M)
        why = next((e for e in errors if "404" in e), (errors or [f"apt-get ended with {code}"])[0])
        if " 404 " in why or "Unable to locate" in why or "has no installation candidate" in why:
            raise Skip(f"{what}: the archive lists a package that it no longer serves ({why[:200]})", "ask for another version: --kernel")
        raise Skip(f"{what}: {network(text)[:200] or why[:200]}", "run it again; what was complete is kept")


# ---- packages ----

def unpack(deb: pathlib.Path, to: pathlib.Path, patterns: list[str]) -> None:
    """Files and links of a package whose path (without "./") matches one of the patterns; owner and time are left out. A damaged
    package is removed: apt looks at the size alone, and would take it again."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
        try:
            with tarfile.open(fileobj=p.stdout, mode="r|") as tar:
                for m in tar:
                    unpack_one(tar, m, to, patterns)
            good = p.wait() == 0
        except tarfile.TarError:
            good = False
    if not good:
        deb.unlink(missing_ok=True)
        raise Skip(f"the package {deb.name} is damaged", "run it again: that package is fetched anew")


def unpack_one(tar: tarfile.TarFile, m: tarfile.TarInfo, to: pathlib.Path, patterns: list[str]) -> None:
    name = m.name.removeprefix("./").lstrip("/")
    if ".." in name.split("/") or not any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
        return
    path = to / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if m.isfile():
        with open(path, "wb") as f:
            shutil.copyfileobj(tar.extractfile(m), f)
        path.chmod(m.mode & 0o777)
    elif m.issym():
        path.unlink(missing_ok=True)
        path.symlink_to(m.linkname)


def modinfo(module: bytes, key: str) -> list[str]:
    """Values of a key in a kernel module's section .modinfo; ValueError where it is none. Source: the ELF specification; Linux include/linux/moduleinfo.h."""
    if module[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    try:
        shoff, = struct.unpack_from("<Q", module, 40)
        shentsize, shnum, shstrndx = struct.unpack_from("<HHH", module, 58)
        sections = [struct.unpack_from("<IIQQQQ", module, shoff + i * shentsize) for i in range(shnum)]  # name type flags addr offset size
        names = sections[shstrndx][4]
    except (struct.error, IndexError):
        raise ValueError("the ELF file is cut off") from None
    for name, _, _, _, offset, length in sections:
        if module[names + name:names + name + 9] == b".modinfo\0":
            fields = module[offset:offset + length].split(b"\0")
            return [f.split(b"=", 1)[1].decode() for f in fields if f.startswith(key.encode() + b"=")]
    return []


def load_order(read, name: str, done: list[str]) -> list[str]:
    """The modules that `name` needs and itself, each behind those that it needs. read(name) gives a module's bytes."""
    if name not in done:
        for line in modinfo(read(name), "depends"):
            for d in filter(None, line.split(",")):
                load_order(read, d.replace("-", "_"), done)
        done.append(name)
    return done


def lay_kernel(debs: list[pathlib.Path], version: str, to: pathlib.Path, tmp: pathlib.Path) -> None:
    """Kernel and modules out of their packages: to/vmlinuz, to/modules/NAME.ko, to/modules/order."""
    for deb in debs:
        unpack(deb, tmp, ["*/vmlinuz", "boot/vmlinuz-*", "*.ko", "*.ko.xz"])
    images = [p for p in tmp.rglob("vmlinuz*") if p.is_file()]
    files = {p.name.split(".")[0].replace("-", "_"): p for p in tmp.rglob("*.ko*")}
    if not images or DRIVER not in files:
        raise Skip(f"kernel {version} has no {'vmlinuz' if not images else 'module ' + DRIVER}", "ask for another version: --kernel")

    def read(name: str) -> bytes:
        if name not in files:
            raise Skip(f"kernel {version}: module {name} is in none of its packages", "ask for another version: --kernel")
        data = files[name].read_bytes()
        return lzma.decompress(data) if files[name].suffix == ".xz" else data

    (to / "modules").mkdir(parents=True)
    shutil.copyfile(images[0], to / "vmlinuz")
    order = load_order(read, DRIVER, [])
    for name in order:
        (to / "modules" / f"{name}.ko").write_bytes(read(name))
    (to / "modules/order").write_text("".join(f"{name}\n" for name in order))


def lay_qemu(debs: list[pathlib.Path], to: pathlib.Path, tmp: pathlib.Path) -> None:
    """QEMU with the libraries that its dynamic linker names, and that linker, which need not be the running system's."""
    for deb in debs:
        unpack(deb, tmp, ["usr/bin/qemu-system-x86_64", "*/ld-linux-x86-64.so.2", "lib/*.so*", "usr/lib/*.so*", "usr/share/seabios/*.bin",
                          "usr/share/qemu/*.bin"])
    linker = next((p for p in (tmp / "lib64/ld-linux-x86-64.so.2", tmp / "usr/lib64/ld-linux-x86-64.so.2",
                               tmp / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2") if p.is_file()), None)
    program = tmp / "usr/bin/qemu-system-x86_64"
    if not linker or not program.is_file():
        raise Skip("qemu-system-x86 or libc6 is laid out in a way that this script does not know", "tell the maintainers its version")
    (to / "lib").mkdir(parents=True)
    (to / "share").mkdir()
    folders = f"{tmp}/usr/lib/x86_64-linux-gnu:{tmp}/lib/x86_64-linux-gnu"
    text = subprocess.run([linker, "--library-path", folders, "--list", program], capture_output=True, text=True).stdout
    lost = re.findall(r"^\s*(\S+) => not found", text, re.M)
    if lost or "=>" not in text:
        raise Skip(f"QEMU needs libraries that its packages do not bring: {', '.join(lost) or 'no list'}", "tell the maintainers its version")
    for name, path in re.findall(r"^\s*(\S+) => (\S+) \(", text, re.M):
        shutil.copyfile(path, to / "lib" / os.path.basename(name))
    for source, target in ((program, "qemu-system-x86_64"), (linker, "ld.so")):
        shutil.copyfile(source, to / target)
        (to / target).chmod(0o755)
    for p in [*(tmp / "usr/share/qemu").glob("*.bin"), *(tmp / "usr/share/seabios").glob("*.bin")]:
        if p.is_file():  # links to packages that were not asked for
            shutil.copyfile(p, to / "share" / p.name)


@contextlib.contextmanager
def part(cache: pathlib.Path, kind: str, version: str):
    """(target, scratch) folders; when the block ends well the target is renamed to cache/kind/version, else nothing is left."""
    work = cache / ".part"
    shutil.rmtree(work, ignore_errors=True)
    (work / "scratch").mkdir(parents=True)
    (work / "target").mkdir()
    try:
        yield work / "target", work / "scratch"
        files = [p for p in sorted((work / "target").rglob("*")) if p.is_file()]
        (work / "target/files").write_text("".join(f"{p.stat().st_size} {p.relative_to(work / 'target')}\n" for p in files))
        (cache / kind).mkdir(exist_ok=True)
        shutil.rmtree(cache / kind / version, ignore_errors=True)
        (work / "target").rename(cache / kind / version)
    finally:
        shutil.rmtree(work, ignore_errors=True)


# ---- all of it ----

def needed_here() -> None:
    if platform.machine() != "x86_64":
        raise Skip(f"the programs for the guest are built for x86-64, and this is {platform.machine()}", "use an x86-64 machine")
    for tool in "apt-get", "apt-cache", "dpkg-deb":
        if not shutil.which(tool):
            raise Skip(f"this system has no {tool}", "use Debian 12 or newer, or lay a cache made there, TESSERA_GUEST_CACHE")
    if not os.path.exists(KEYRING):
        raise Skip("the Debian archive's keys are not here", "apt-get install debian-archive-keyring")


def choose(apt: Apt, mirror: str | None, kernel: str | None) -> tuple[str, str, list[tuple[str, list[str]]]]:
    """Suite, version of QEMU, kernels. The lists of the suite are then apt's."""
    mirrors = [mirror] if mirror else apt.mirrors()
    if not mirrors:
        raise Skip("apt's configuration names no archive", "name a Debian archive: --mirror URL")
    whys = []
    for m in mirrors:
        for pool in POOLS:
            why = apt.update(m, pool)
            if why:
                whys.append(why)
                continue
            shown = apt.run("apt-cache", "madison", "qemu-system-x86")[1]
            qemus = [line.split("|")[1].strip() for line in shown.splitlines() if line.count("|") == 2]
            qemu = max(qemus, key=numbers, default="")
            found = kernels(apt.run("apt-cache", "pkgnames")[1].split())
            wanted = [k for k in found if not kernel or matches(k[0], kernel)]
            if numbers(qemu) >= QEMU_LEAST and wanted:
                return pool[-1], qemu, wanted
            whys.append(f"{pool[-1]}: no QEMU of 10.1 or newer" if numbers(qemu) < QEMU_LEAST else
                        f"{pool[-1]}: no kernel {kernel or 'with ' + DRIVER}; there are {', '.join(k[0] for k in found) or 'none'}")
    raise Skip("; ".join(dict.fromkeys(whys))[:600], "name another Debian archive: --mirror URL" + (", or another --kernel" if kernel else ""))


def complete(cache: pathlib.Path, kernel: str | None) -> str | None:
    """The kernel's version where the cache has all that is asked for."""
    return kept_kernel(cache, kernel) if versions(cache, "qemu") and versions(cache, "busybox") else None


def fetch(cache: pathlib.Path, kernel: str | None, mirror: str | None, update: bool) -> str:
    """Fill the cache; the kernel's version."""
    kept = complete(cache, kernel)  # by another fetch.py that was waited for
    if kept and not update:
        return kept
    needed_here()
    free = shutil.disk_usage(cache).free
    if free < DISK:
        raise Skip(f"{cache} has {free >> 20} MB of room, {DISK >> 20} are wanted", ROOM)
    apt = Apt(cache / "apt")
    suite, qemu, found = choose(apt, mirror, kernel)
    say(f"{suite}: QEMU {qemu}, kernel {found[0][0]}")
    archives = cache / "apt/cache/archives"
    label = re.sub(r"^\d+:", "", qemu)
    if label not in versions(cache, "qemu") or not versions(cache, "busybox"):
        apt.run("apt-get", "autoclean")  # an earlier run's, of versions that are no longer listed
        apt.get(["install", "--download-only", "--no-install-recommends", "-t", suite, f"qemu-system-x86={qemu}", "busybox-static"],
                f"QEMU {label}")
        debs = sorted(archives.glob("*.deb"))
        with part(cache, "qemu", label) as (target, scratch):
            lay_qemu(debs, target, scratch)
        deb = next(d for d in debs if d.name.startswith("busybox-static_"))
        with part(cache, "busybox", deb.name.split("_")[1].split("%3a")[-1]) as (target, scratch):
            unpack(deb, scratch, ["usr/bin/busybox", "bin/busybox"])
            shutil.copy(next(scratch.rglob("busybox")), target / "busybox")
    for i, (version, packages) in enumerate(found):
        if version in versions(cache, "kernel"):
            break
        folder = archives / version
        folder.mkdir(exist_ok=True)
        try:
            apt.get(["download", *packages], f"kernel {version}", folder)
        except Skip as e:
            if "no longer serves" not in str(e) or i == len(found) - 1:
                raise
            say(f"{e.args[0]}; trying {found[i + 1][0]}")
            continue
        with part(cache, "kernel", version) as (target, scratch):
            lay_kernel([d for p in packages for d in folder.glob(f"{p}_*.deb")], version, target, scratch)
        break
    shutil.rmtree(cache / "apt", ignore_errors=True)
    return version


@contextlib.contextmanager
def locked(cache: pathlib.Path):
    try:
        cache.mkdir(parents=True, exist_ok=True)
        f = open(cache / "lock", "w")
    except OSError as e:
        raise Skip(f"{cache}: {e.strerror}", "set TESSERA_GUEST_CACHE to a folder that can be written") from None
    with f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another fetch.py is at work in this cache; waiting for it")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="fetch.py", description="Fetch QEMU, a kernel with amdxdna and busybox for tests/qemu/guest.py "
                                     f"from a newer Debian, by apt, without root. {SIZES}.",
                                     epilog="The cache is $TESSERA_GUEST_CACHE, by default tessera/guest in the user's cache folder. Exit "
                                     "code: 0 it is there, 77 it cannot be had (the reason is said), 2 wrong usage, 130 interrupted.")
    parser.add_argument("--kernel", metavar="V", help="a version or the beginning of one, as 6.18 (default: the newest)")
    parser.add_argument("--mirror", metavar="URL", help="a Debian archive (default: apt's own)")
    parser.add_argument("--update", action="store_true", help="look for newer versions although the cache is complete")
    parser.add_argument("--list", action="store_true", help="show what the cache holds, and nothing else")
    args = parser.parse_args()
    try:
        cache = cache_folder()
        if args.list:
            parts = [(kind, v) for kind in ("qemu", "kernel", "busybox") for v in versions(cache, kind)]
            return tell("\n".join([f"cache: {cache}", *(f"{k} {v}, {(size(cache / k / v) >> 20) + 1} MB" for k, v in parts)]), 0)
        version = complete(cache, args.kernel)
        if not version or args.update:
            with locked(cache):
                version = fetch(cache, args.kernel, args.mirror, args.update)
        say(f"QEMU {versions(cache, 'qemu')[0]}, kernel {version}, busybox {versions(cache, 'busybox')[0]} are in {cache}")
        return 0
    except Skip as e:
        return tell(f"skip: {e.args[0]}; cure: {e.args[1]}", 77)
    except OSError as e:
        return tell(f"skip: {e.filename or 'the cache'}: {e.strerror}; cure: "
                    + (ROOM if e.errno == errno.ENOSPC else "set TESSERA_GUEST_CACHE to another folder"), 77)
    except KeyboardInterrupt:
        say("interrupted; what was complete is kept")
        return 130


if __name__ == "__main__":
    sys.exit(main())
