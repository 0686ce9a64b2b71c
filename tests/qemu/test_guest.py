#!/usr/bin/env python3
"""fetch.py, guest.py and initramfs.py without a guest: what is chosen, written and understood. apt is a stand-in.

Usage: test_guest.py [TEST]        Exit code: 0 passed, 1 failed"""
import contextlib
import io
import lzma
import os
import pathlib
import queue
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
from unittest import mock

import fetch
import guest
import initramfs
import mutants

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["linux-image-6.12.107+deb13-amd64", "linux-image-6.18.9+deb13-amd64", "linux-image-6.18.15+deb13-amd64",
         "linux-image-6.18.15+deb13-cloud-amd64", "linux-image-6.18.15+deb13-rt-amd64", "linux-binary-7.1.13+deb13-amd64",
         "linux-image-7.1.13+deb13-amd64", "linux-binary-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-amd64",
         "linux-image-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-cloud-amd64", "linux-image-amd64", "linux-headers-9.9-amd64"]


def same(got, wanted) -> None:
    assert got == wanted, f"{got!r} is not {wanted!r}"


def skipped(what, *args) -> str:
    """The reason that the call gives."""
    try:
        what(*args)
    except fetch.Skip as e:
        assert len(e.args) == 2 and all(e.args), e.args
        return e.args[0]
    raise AssertionError("it is not skipped")


def read_cpio(data: bytes) -> dict[str, tuple[int, bytes]]:
    """A reader of its own: name -> mode, content. Stops at the trailer."""
    out, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701" and at % 4 == 0, at
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name_at, length, name_length = at + 110, fields[6], fields[11]
        name = data[name_at:name_at + name_length]
        assert name.endswith(b"\0") and b"\0" not in name[:-1], name
        body = (name_at + name_length + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert not data[body:].strip(b"\0") and len(data) % 512 == 0
            return out
        assert name.decode()[:-1] not in out, name
        out[name.decode()[:-1]] = fields[1], data[body:body + length]
        at = (body + length + 3) & ~3


def test_archive(tmp):
    archive = initramfs.Archive()
    for n in range(6):
        archive.text(f"a/b/{'x' * n}.txt", "y" * n)
    archive.text("a/b/.txt", "a name is taken once")
    archive.link("sh", "busybox")
    archive.program("bin/python", sys.executable)
    got = read_cpio(archive.bytes())
    same([got[f"a/b/{'x' * n}.txt"] for n in range(6)], [(stat.S_IFREG | 0o644, b"y" * n) for n in range(6)])
    same(got["sh"], (stat.S_IFLNK | 0o777, b"busybox"))
    same(got["a"][0], stat.S_IFDIR | 0o755)
    names = list(got)
    assert names.index("a") < names.index("a/b") < names.index("a/b/.txt")
    libraries = initramfs.libraries(sys.executable)
    assert any("libc.so" in name for name in libraries) and any("/ld-linux" in name for name in libraries), libraries
    for name in libraries:
        same(got[name.lstrip("/")][1], pathlib.Path(name).read_bytes())
    same(got["bin/python"][0], stat.S_IFREG | 0o755)


def test_acpi(tmp):
    (mode, table), = (v for k, v in read_cpio(initramfs.acpi_archive()).items() if k.startswith("kernel/firmware/acpi/") and k.endswith(".aml"))
    same(sum(table) & 0xFF, 0)
    same(struct.unpack_from("<4sI", table), (b"IVRS", len(table)))
    kind, _, length, bdf = struct.unpack_from("<BBHH", table, 48)
    same((kind, length, bdf), (0x11, len(table) - 48, 0x08))
    same(struct.unpack_from("<Q", table, 72), (initramfs.EFR,))


def test_versions(tmp):
    same(fetch.numbers("1:11.1.3+ds-1~bpo13+1"), (11, 1, 3))
    assert fetch.numbers("1:10.0.13+ds") < fetch.QEMU_LEAST <= fetch.numbers("10.1.0")
    for wanted, is_it in ("6.18", True), ("6.18.15", True), ("6.18.15+deb13-amd64", True), ("6.1", False), ("6", True), ("6.18.1", False):
        same(fetch.matches("6.18.15+deb13-amd64", wanted), is_it)
    same(fetch.kernels(NAMES), [
        ("7.3.4+deb13-amd64", ["linux-binary-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-amd64"]),
        ("6.18.15+deb13-amd64", ["linux-image-6.18.15+deb13-amd64"]), ("6.18.9+deb13-amd64", ["linux-image-6.18.9+deb13-amd64"])])


class StandIn:
    """apt that knows some suites."""

    def __init__(self, suites: dict[str, tuple[list[str], list[str]]]):  # versions of QEMU, names
        self.suites, self.pool = suites, ()

    def mirrors(self) -> list[str]:
        return ["http://one/debian", "http://two/ubuntu"]

    def update(self, mirror: str, pool: tuple[str, ...]) -> str:
        self.pool = pool
        return "" if pool[-1] in self.suites and mirror == "http://one/debian" else f"{pool[-1]}: no Release file"

    def run(self, program: str, *words: str) -> tuple[int, str]:
        qemus, names = self.suites[self.pool[-1]]
        if words[0] == "pkgnames":
            return 0, "\n".join(names)
        return 0, "".join(f"qemu-system-x86 | {v} | http://one/debian {self.pool[-1]}/main amd64 Packages\n" for v in qemus)


def test_choice(tmp):
    new, old = "1:11.1.3+ds-1~bpo13+1", "1:10.0.13+ds-0+deb13u1"
    suite, qemu, kernels = fetch.choose(StandIn({"trixie-backports": ([new, old], NAMES)}), None, None)
    same((suite, qemu, kernels[0][0]), ("trixie-backports", new, "7.3.4+deb13-amd64"))
    kernels = fetch.choose(StandIn({"trixie-backports": ([new, old], NAMES)}), None, "6.18")[2]
    same([k for k, _ in kernels], ["6.18.15+deb13-amd64", "6.18.9+deb13-amd64"])
    # the suite has rolled: the next one
    same(fetch.choose(StandIn({"trixie-backports": ([old], NAMES), "sid": ([new], NAMES)}), None, None)[0], "sid")
    why = skipped(fetch.choose, StandIn({"trixie-backports": ([new], NAMES)}), None, "6.17")
    assert "no kernel 6.17; there are 7.3.4+deb13-amd64, 6.18.15" in why and "sid: no Release file" in why, why
    assert "no QEMU of 10.1" in skipped(fetch.choose, StandIn({"sid": ([old], NAMES)}), None, None)
    assert "no Release file" in skipped(fetch.choose, StandIn({}), "http://one/debian", None)


def test_apt_words(tmp):
    """What apt says, and what becomes of it: another suite, or one line."""
    apt = fetch.Apt(pathlib.Path(tmp))
    said: list = []
    apt.run = lambda *words, **more: said.pop()
    said.append((100, "Err:1 http://x sid InRelease\nE: The repository 'http://x sid Release' does not have a Release file.\n"))
    same(apt.update("http://x", ("sid",)), "sid: The repository 'http://x sid Release' does not have a Release file.")
    assert "[signed-by=" in (pathlib.Path(tmp) / "etc/sources.list").read_text()
    said.append((0, "W: GPG error: http://x sid InRelease: couldn't be verified because the public key is not available: NO_PUBKEY 1\n"))
    assert "NO_PUBKEY" in apt.update("http://x", ("sid",))
    said.append((0, "W: Failed to fetch http://x/InRelease  Could not resolve 'x'\n"))
    assert "cannot be reached" in skipped(apt.update, "http://x", ("sid",))
    said.append((0, ""))
    same(apt.update("http://x", ("sid",)), "")
    said.append((100, "E: Failed to fetch http://x/a.deb  404  Not Found\nE: Some files failed to download\n"))
    assert "no longer serves" in skipped(apt.get, ["download", "a"], "a")
    said.append((100, "E: Failed to fetch http://x/a.deb  Connection timed out\n"))
    assert "timed out" in skipped(apt.get, ["download", "a"], "a")


def elf(**info: str) -> bytes:
    """A module that has nothing but .modinfo."""
    text = b"".join(f"{k}={v}".encode() + b"\0" for k, v in info.items())
    names = b"\0.modinfo\0.shstrtab\0"
    section = struct.Struct("<IIQQQQIIQQ")
    at = 64 + 3 * section.size
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, section.size, 3, 2)
    table = section.pack(*[0] * 10) + section.pack(1, 1, 2, 0, at, len(text), 0, 0, 1, 0) \
        + section.pack(10, 3, 0, 0, at + len(text), len(names), 0, 0, 1, 0)
    return head + table + text + names


def test_modules(tmp):
    modules = {"npu": elf(name="npu", depends="drm,amd-pmf", parm="tdr:ms"), "drm": elf(depends=""), "amd_pmf": elf(depends="drm,hid"),
               "hid": elf(license="GPL")}
    same(fetch.load_order(modules.__getitem__, "npu", []), ["drm", "hid", "amd_pmf", "npu"])
    same(fetch.modinfo(modules["npu"], "parm"), ["tdr:ms"])


def test_own_kernel(tmp):
    """Modules lie in folders as they like, packed or not; what is missing is named."""
    source, out = pathlib.Path(tmp) / "own", pathlib.Path(tmp) / "out"
    (source / "lib/modules/kernel").mkdir(parents=True)

    def refused() -> str:
        try:
            return guest.own_kernel(source, out)
        except guest.Failure as e:
            return str(e).removeprefix(f"--kernel-dir {source}: ")

    assert "has no vmlinuz" in refused()
    (source / "vmlinuz").write_bytes(b"kernel")
    assert "has no module amdxdna" in refused()
    (source / "lib/modules/amdxdna.ko").write_bytes(b"no module")
    assert "ELF" in refused()
    shutil.rmtree(out)
    (source / "lib/modules/amdxdna.ko").write_bytes(elf(depends="")[:100])
    assert "cut off" in refused()
    shutil.rmtree(out)
    (source / "lib/modules/amdxdna.ko").write_bytes(elf(depends="amd-pmf", vermagic="9.8.7-own SMP"))
    assert "module amd_pmf is in none" in refused()
    shutil.rmtree(out)
    (source / "lib/modules/kernel/amd-pmf.ko.xz").write_bytes(lzma.compress(elf(depends="")))
    same((refused(), (out / "kernel/modules/order").read_text()), ("9.8.7-own", "amd_pmf\namdxdna\n"))
    code, text, err = script("guest.py", "--kernel-dir", f"{tmp}/none", TESSERA_GUEST_CACHE=f"{tmp}/cache")
    assert code == 77 and "no QEMU" in text, (code, text, err)


def test_part(tmp):
    """A part is there as a whole or not at all."""
    cache = pathlib.Path(tmp)
    with contextlib.suppress(RuntimeError), fetch.part(cache, "kernel", "7.3.4") as (target, _):
        (target / "vmlinuz").touch()
        raise RuntimeError
    same((fetch.versions(cache, "kernel"), os.listdir(tmp)), ([], []))
    for version in "6.18.15+deb13-amd64", "7.3.4+deb13-amd64", "6.18.9+deb13-amd64":
        with fetch.part(cache, "kernel", version) as (target, _):
            (target / "vmlinuz").touch()
    same(fetch.versions(cache, "kernel"), ["7.3.4+deb13-amd64", "6.18.15+deb13-amd64", "6.18.9+deb13-amd64"])
    same([fetch.kept_kernel(cache, w) for w in (None, "6.18", "7.2")], ["7.3.4+deb13-amd64", "6.18.15+deb13-amd64", None])
    same(sorted(os.listdir(tmp)), ["kernel"])


def test_damage(tmp):
    """What is not whole any more is not there: it is fetched again."""
    cache = pathlib.Path(tmp)

    def lay() -> pathlib.Path:
        with fetch.part(cache, "kernel", "7.3.4") as (target, _):
            (target / "modules").mkdir()
            (target / "modules/a b.ko").write_text("module")
            (target / "vmlinuz").write_text("kernel")
        return cache / "kernel/7.3.4"

    for damage in (lambda p: (p / "vmlinuz").write_text("kern"), lambda p: (p / "modules/a b.ko").unlink(), lambda p: (p / "files").unlink(),
                   lambda p: (p / "files").write_text("x\n"), lambda p: (p / "files").write_text(""),
                   lambda p: (shutil.rmtree(p), p.touch())):
        kept = lay()
        same(fetch.versions(cache, "kernel"), ["7.3.4"])
        damage(kept)
        same(fetch.versions(cache, "kernel"), [])
        shutil.rmtree(cache / "kernel")


def test_unpack(tmp):
    """Of a package what is wanted; one that is damaged is taken away, for apt would not fetch it again."""
    if not shutil.which("dpkg-deb"):
        print("skip: packages are not tried: dpkg-deb is not installed; cure: apt-get install dpkg")
        return
    source, deb, to = (pathlib.Path(tmp) / n for n in ("source", "x.deb", "to"))
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN/control").write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@localhost>\nDescription: x\n")
    (source / "usr/lib").mkdir(parents=True)
    (source / "usr/lib/x.so.1.2").write_bytes(os.urandom(300000))
    (source / "usr/lib/x.so.1").symlink_to("x.so.1.2")
    (source / "usr/other").touch()
    os.chmod(source / "DEBIAN", 0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", source, deb], check=True, capture_output=True)
    fetch.unpack(deb, to, ["usr/lib/*.so*"])
    same((to / "usr/lib/x.so.1").read_bytes(), (source / "usr/lib/x.so.1.2").read_bytes())
    assert not (to / "usr/other").exists()
    data = deb.read_bytes()
    for bad in data[:len(data) // 2] + bytes(5000) + data[len(data) // 2 + 5000:], data[:200000], b"", b"<html>":
        deb.write_bytes(bad)
        assert "x.deb is damaged" in skipped(fetch.unpack, deb, to, ["usr/lib/*.so*"])
        assert not deb.exists()


def a_cache(tmp: str) -> pathlib.Path:
    """A whole one with nothing in it."""
    cache = pathlib.Path(tmp) / "cache"
    cache.mkdir()
    for kind in "qemu", "kernel", "busybox":
        with fetch.part(cache, kind, "7.3.4") as (target, _):
            (target / "x").touch()
    return cache


def test_keep(tmp):
    """No build: every job has failed, in words; what is kept outlives the next run."""
    own = pathlib.Path(tmp) / "own"
    own.mkdir()
    env = {"TESSERA_GUEST_CACHE": str(a_cache(tmp)), "TMPDIR": str(own) if len(str(own)) < 60 else "/tmp"}
    code, out, err = script("guest.py", "--build", f"{tmp}/none", "--keep", "selftest", "hang", **env)
    assert code == 1 and f"there is no {tmp}/none/tests/qemu/npu1-server; build it: ninja -C {tmp}/none" in out, (out, err)
    same(re.findall(r"^FAIL (\w+): it never began", out, re.M), ["selftest", "hang"])
    kept = pathlib.Path(re.search(r"^guest: kept: (.+)$", out, re.M)[1])
    script("guest.py", "--build", f"{tmp}/none", "selftest", **env)
    try:
        same([p.name for p in kept.parent.glob(kept.name)], [kept.name])
    finally:
        shutil.rmtree(kept)


def test_no_writer(tmp):
    """A whole cache of somebody else is enough; standard output may be full or closed."""
    cache = a_cache(tmp)
    code, out, err = script("fetch.py", TESSERA_GUEST_CACHE=str(cache))
    assert code == 0 and "7.3.4" in err and not (cache / "lock").exists(), (code, out, err)
    with open("/dev/full", "w") as full:
        r = subprocess.run([sys.executable, str(HERE / "fetch.py"), "--list"], stdout=full, stderr=subprocess.PIPE, text=True)
    same((r.returncode, r.stderr), (1, "fetch: standard output: No space left on device\n"))
    p = subprocess.Popen([sys.executable, str(HERE / "fetch.py"), "--list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.close()
    same((p.stderr.read(), p.wait()), ("", 1))


def script(name: str, *args: str, **env: str) -> tuple[int, str, str]:
    r = subprocess.run([sys.executable, str(HERE / name), *args], env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in r.stderr, r.stderr
    return r.returncode, r.stdout, r.stderr


def test_skips(tmp):
    """Where the guest cannot be had: 77, the reason and its cure in one line."""
    empty = pathlib.Path(tmp) / "bin"
    empty.mkdir()
    (pathlib.Path(tmp) / "file").touch()
    for name, args, env, why in (("fetch.py", (), {"PATH": str(empty)}, "this system has no apt-get"),
                                 ("fetch.py", (), {"TESSERA_GUEST_CACHE": f"{tmp}/file/cache"}, "Not a directory"),
                                 ("fetch.py", (), {"TESSERA_GUEST_CACHE": f"{tmp}/a:b"}, "colon"),
                                 ("guest.py", (), {}, "no QEMU with a kernel in "), ("guest.py", ("--kernel", "6.18"), {}, "kernel 6.18")):
        code, out, err = script(name, *args, **{"TESSERA_GUEST_CACHE": f"{tmp}/cache", **env})
        assert code == 77 and out.startswith("skip: ") and "; cure: " in out and out.count("\n") == 1 and why in out, (name, code, out, err)
    code, out, _ = script("fetch.py", "--list", TESSERA_GUEST_CACHE=f"{tmp}/cache")
    same((code, out), (0, f"cache: {tmp}/cache\n"))
    for name in "fetch.py", "guest.py":
        same(script(name, "--help")[0], 0)
        same(script(name, "--frobnicate")[0], 2)
    code, _, err = script("guest.py", "nonsense")
    assert code == 2 and "there is no job nonsense" in err, err
    (pathlib.Path(tmp) / "a job").touch()
    for args, why in ((f"{tmp}/a job",), "letters, digits"), (("--patience", "0"), "more than 0"), (("--patience", "nan"), "more than 0"):
        code, _, err = script("guest.py", *args)
        assert code == 2 and why in err, err


def test_lock(tmp):
    """A second fetch.py waits, and says so."""
    env = {**os.environ, "TESSERA_GUEST_CACHE": tmp, "PATH": "/nonexistent"}
    with fetch.locked(pathlib.Path(tmp)):
        p = subprocess.Popen([sys.executable, str(HERE / "fetch.py")], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = p.stderr.readline()
        assert "waiting" in said and p.poll() is None, said
    assert p.communicate(timeout=30)[0].startswith("skip: ") and p.returncode == 77


def feed(report: guest.Report, text: str) -> list[guest.Result]:
    out = []
    for i, line in enumerate(text.splitlines()):
        out += [r for r in [report.feed(line, float(i))] if r]
    return out


def test_report(tmp):
    report = guest.Report(["a", "b-x", "c", "d", "e", "f"])
    got = feed(report, """@@ up 7.1
@@ loaded 9.2
@@ job a
words
PASS a: all of it
@@ end a 0
@@ job b-x
FAIL b-x: why
@@ kernel amdxdna said
@@ end b-x 1
@@ job c
@@ end c 0
@@ job d
PASS d: and yet
@@ end d 3
@@ job e
@@ end e 137
@@ job f
SKIP f: not here; cure: there
@@ end f 0
@@ done""")
    same([(r.word, r.why) for r in got], [("PASS", "all of it"), ("FAIL", "why"), ("FAIL", "0 verdicts, exit code 0"),
                                          ("FAIL", "exit code 3 after PASS"), ("FAIL", "it did not end in its time"),
                                          ("SKIP", "not here; cure: there")])
    same((report.up, report.loaded, report.done, got[1].kernel, got[0].output), ("7.1", "9.2", True, ["amdxdna said"],
                                                                                ["words", "PASS a: all of it"]))
    same(got[0].seconds, 3.0)
    report = guest.Report(["a", "b"])
    got = feed(report, "@@ job a\nPASS a: all of it\nhalf a line@@ end a 0\n@@ done")
    same((got[0].word, got[0].output[1:], report.done), ("PASS", ["half a line"], False))  # b is lost
    report = guest.Report(["a", "b"])
    feed(report, "@@ job a\nwords")
    report.broken("QEMU is gone", 9.0)
    same([(r.word, r.why) for r in report.results.values()], [("FAIL", "QEMU is gone"), ("FAIL", "it never began")])


def test_jobs(tmp):
    """Every job has a script that says how long it may take, and every script is a job."""
    jobs = guest.JOBS + guest.LONG_JOBS
    same({job.partition("-")[0] for job in jobs}, {p.name for p in (HERE / "jobs").iterdir()})
    for job in jobs:
        assert re.search(r"^# seconds: [1-9]\d*$", guest.script(job).read_text(), re.M), job
    own = pathlib.Path(tmp) / "own"
    own.write_text("# kernel: 7.0\n# roads: sva iova\n")
    same([guest.fits(str(own), *v) for v in (("7.3.4+deb13-amd64", "iova"), ("6.18.15+deb13-amd64", "sva"), ("7.3.4", "carveout"))],
         [True, False, False])
    own.write_text("")
    same((guest.script(str(own)), guest.seconds(str(own)), guest.fits(str(own), "6.18", "carveout")), (own, 600, True))


def test_groups(tmp):
    """For two guests at once: each job once, in order, and none waits long for the other."""
    for n in 1, 2, 3:
        got = guest.groups(guest.JOBS, n)
        same(sorted(sum(got, [])), sorted(guest.JOBS))
        assert all(group == sorted(group, key=guest.JOBS.index) for group in got), got
        loads = [sum(int(guest.said(job, "takes")) for job in group) for group in got]
        assert max(loads) - min(loads) <= 20, loads
    same(guest.groups(["clock"], 2), [["clock"]])


def test_mutants(tmp):
    """Each still finds the place that it changes, in a way that can be compiled, and a job to notice it."""
    for name, (file, edits) in mutants.MUTANTS.items():
        assert mutants.edited(name) != (mutants.SOURCE / file).read_text() and mutants.JOBS[name] in guest.JOBS, name
    same(mutants.with_output("ccache cc -Iinc -MD -MQ a.o -MF a.o.d -o a.o -c ../a.c".split(), "b.o"), "ccache cc -Iinc -o b.o -c ../a.c".split())
    mutants.MUTANTS["gone"] = "src/xdna/cmd.c", [("no such text", "")]
    try:
        mutants.edited("gone")
        raise AssertionError("it is made")
    except mutants.Failure as e:
        assert "0 times, not once" in str(e), e
    finally:
        del mutants.MUTANTS["gone"]


def test_without(tmp):
    """A job that cannot begin has failed, and the others go on."""
    g = guest.Guest.__new__(guest.Guest)
    g.limits, g.report = {"a": 1, "b": 1}, guest.Report(["a", "b"])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        g.without("b", "no compiler")
    same((g.limits, said.getvalue()), ({"a": 1}, "FAIL b: no compiler, 0.0 s\n"))
    feed(g.report, "@@ job a\nPASS a: all of it\n@@ end a 0\n@@ done")
    same((g.report.done, [r.word for r in g.report.results.values()]), (True, ["FAIL", "PASS"]))


def test_programs(tmp):
    """One that is not there is a failure in words; one that is left is ended with us."""
    lines: queue.Queue = queue.Queue()
    try:
        guest.Program("x", [f"{tmp}/none"], lines)
        raise AssertionError("it has started")
    except guest.Failure as e:
        same(str(e), f"{tmp}/none: No such file or directory")
    p = guest.Program("x", ["/bin/sh", "-c", "printf 'a\\r\\nb'; exec sleep 100"], lines)
    same([lines.get(timeout=10), p.process.poll()], [("x", "a"), None])
    same(p.end(), -9)
    inner = f"import sys, queue; sys.path.insert(0, {str(HERE)!r}); import guest; " \
            "p = guest.Program('x', ['sleep', '100'], queue.Queue()); print(p.process.pid, flush=True); import os; os.kill(os.getpid(), 9)"
    pid = int(subprocess.run([sys.executable, "-c", inner], capture_output=True, text=True).stdout)
    for _ in range(100):
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return
    raise AssertionError("it lives on")


def test_scratch(tmp):
    """A short path; what a killed run has left is removed."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    old = pathlib.Path(tempfile.gettempdir()) / f"tessera-guest-{gone.pid}-test"
    old.mkdir()
    path = guest.scratch()
    try:
        assert path.is_dir() and not old.exists() and len(str(path)) < 90, path
    finally:
        path.rmdir()
    for name in "a,b", "x" * 60:  # what QEMU's options, and sockets, cannot hold
        (pathlib.Path(tmp) / name).mkdir()
        with mock.patch.object(tempfile, "tempdir", f"{tmp}/{name}"):
            path = guest.scratch()
        path.rmdir()
        same(str(path.parent), "/tmp")


def main() -> int:
    failed = 0
    tests = [t for name, t in globals().items() if name.startswith("test_") and name in (sys.argv[1:] or [name])]
    for test in tests:
        with tempfile.TemporaryDirectory(prefix="tessera-guest-test-") as tmp, contextlib.redirect_stderr(io.StringIO()):
            try:
                test(tmp)
            except AssertionError as e:
                failed += 1
                print(f"FAILED: {test.__name__}: {e}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
