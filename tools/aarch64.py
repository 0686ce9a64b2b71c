#!/usr/bin/env python3
"""Make ready for a build for 64-bit ARM: the libraries that Tessera stands on, and meson's cross file, in build-aarch64-root of the
source tree. Then:

    meson setup --cross-file build-aarch64-root/cross.ini build-aarch64 && ninja -C build-aarch64
    qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=build-aarch64-root/usr/lib/aarch64-linux-gnu PROGRAM

The libraries are the running Debian's packages for arm64, by apt with lists of its own (tests/qemu/fetch.py): nothing is installed, no
architecture is added to the system, root is not needed. The compiler, its C library and QEMU are ordinary packages:
gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user.

Usage: tools/aarch64.py. Exit code: 0 all is there, 77 it cannot be had (the reason is said)."""
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/qemu"))
import fetch  # noqa: E402

# Headers with the libraries that they are of, and what those need.
PACKAGES = ["libpcre2-dev", "libpcre2-8-0", "libutf8proc-dev", "libutf8proc2", "libjansson-dev", "libjansson4", "libedit-dev", "libedit2",
            "libbsd0", "libmd0", "libtinfo6", "libcmocka-dev", "libcmocka0"]
TARGET, WORK = ROOT / "build-aarch64-root", ROOT / "build-aarch64-root.part"
LIB = TARGET / "usr/lib/aarch64-linux-gnu"
WRAPPER = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-E", f"LD_LIBRARY_PATH={LIB}"]
CROSS_FILE = f"""[binaries]
c = 'aarch64-linux-gnu-gcc'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = {WRAPPER}

[properties]
sys_root = '{TARGET}'
pkg_config_libdir = '{LIB}/pkgconfig'

[built-in options]
c_args = ['-isystem', '{TARGET}/usr/include', '-isystem', '{TARGET}/usr/include/aarch64-linux-gnu']
c_link_args = ['-L{LIB}', '-Wl,-rpath-link,{LIB}']

[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
"""


def lay() -> None:
    for tool in "apt-get", "dpkg-deb":
        if not shutil.which(tool):
            raise fetch.Skip(f"this system has no {tool}", "use Debian 12 or newer")
    apt = fetch.Apt(WORK / "apt", "arm64")
    text = apt.run("apt-get", "-q", "update", own=False, what="list of packages")[1]
    if fetch.network(text) and not list((WORK / "apt/state/lists").glob("*Packages*")):
        raise fetch.Skip(f"the archive cannot be reached ({fetch.network(text)[:200]})", "try again with a network")
    debs = WORK / "debs"
    debs.mkdir()
    apt.get(["download", *PACKAGES], "libraries", debs, own=False)
    for deb in sorted(debs.glob("*.deb")):
        fetch.unpack(deb, WORK / "root", ["usr/include/*", "usr/lib/*.so*", "usr/lib/*.pc", "lib/*.so*"])
    for path in (WORK / "root/lib").rglob("*.so*"):  # libraries in one folder
        path.rename(WORK / "root/usr/lib" / path.parent.name / path.name)
    (WORK / "root/packages").write_text("\n".join(PACKAGES))
    shutil.rmtree(TARGET, ignore_errors=True)
    (WORK / "root").rename(TARGET)


def main() -> int:
    try:
        if not (TARGET / "packages").exists() or (TARGET / "packages").read_text() != "\n".join(PACKAGES):
            shutil.rmtree(WORK, ignore_errors=True)
            try:
                lay()
            finally:
                shutil.rmtree(WORK, ignore_errors=True)
        (TARGET / "cross.ini").write_text(CROSS_FILE)
        return 0
    except fetch.Skip as e:
        return fetch.tell(f"skip: libraries for aarch64: {e.args[0]}; cure: {e.args[1]}", 77)
    except OSError as e:
        return fetch.tell(f"skip: libraries for aarch64: {e.filename or WORK}: {e.strerror}; cure: make room, or run as the folder's owner", 77)


if __name__ == "__main__":
    sys.exit(main())
