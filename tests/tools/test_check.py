#!/usr/bin/env python3
"""tools/check.py, check.sh and quickstart.sh: what they count, say and end with. check.py runs in a folder where meson, ninja
and the tools are small stand-ins, so that every outcome can be had.

Usage: test_check.py [TEST]        Exit code: 0 passed, 1 failed"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
NO_DATA = "skip: 3 cases: no shared test data; cure: lay them somewhere"
COUNTS = "2 passed, 0 failed, 0 skipped"  # the build and the test


class Place:
    """A tree with check.py and programs of the given names on the path; tests: name -> shell command; suites: name ->
    those that a test is in, unit where there is none."""

    def __init__(self, tmp: str, tests: dict[str, str], programs=("gcc", "clang", "shellcheck", "codespell", "aarch64-linux-gnu-gcc", "qemu-aarch64"),
                 quick=True, suites={}):
        self.root = pathlib.Path(tmp)
        self.mode = ["--quick"] if quick else []
        bin_ = self.root / "bin"
        bin_.mkdir()
        (self.root / "tools").mkdir()
        shutil.copy(SOURCE / "tools/check.py", self.root / "tools")
        shown = [{"cmd": ["/bin/sh", "-c", command], "env": {}, "name": name, "workdir": None, "timeout": 30,
                  "suite": [f"t:{suite}" for suite in suites.get(name, ["unit"])], "priority": 0}
                 for name, command in tests.items()]
        (self.root / "tests.json").write_text(json.dumps(shown))
        self.put("meson", f'if [ "$1" = setup ]; then for f; do case $f in build*) /bin/mkdir -p "$f"; esac; done; exit 0; fi\n'
                          f'/bin/cat "{self.root}/tests.json"')
        (self.root / "tests/qemu").mkdir(parents=True)
        self.guest('print("PASS rungs: 1 to 9, 3.0 s")')
        self.aarch64("")
        self.put("ninja", 'echo "[1/2] a"; echo "[2/2] b"')
        for p in programs:
            self.put(p, "exit 0")
        self.env = {"PATH": str(bin_), "TESSERA_SHARED": ""}

    def put(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text("#!/bin/sh\n" + text + "\n")
        path.chmod(0o755)

    def guest(self, runs: str, fetches: str = "") -> None:
        """Python lines of the programs that fetch and run the guest."""
        for name, text in ("guest.py", runs), ("fetch.py", fetches):
            (self.root / "tests/qemu" / name).write_text(f"import sys\n{text}\n")

    def aarch64(self, text: str) -> None:
        """Python lines of the program that makes ready for aarch64. Its cross file has a wrapper that says that it was there."""
        (self.root / "build-aarch64-root").mkdir(exist_ok=True)
        (self.root / "build-aarch64-root/cross.ini").write_text("[binaries]\nexe_wrapper = ['/usr/bin/env', 'EMULATED=yes']\n")
        (self.root / "tools/aarch64.py").write_text(f"import sys\n{text}\n")

    def start(self, *args: str, **env: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, str(self.root / "tools/check.py"), *self.mode, *args], env={**self.env, **env},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *args: str, **env: str) -> tuple[int, list[str], str]:
        p = self.start(*args, **env)
        out, err = p.communicate(timeout=60)
        assert "Traceback" not in out + err, out + err
        return p.returncode, out.splitlines(), out


def has(text: str, wanted: str) -> None:
    assert wanted in text, f"{wanted!r} is not in:\n{text}"


def test_green(tmp):
    code, lines, out = Place(tmp, {"good": "echo fine"}).run()
    assert code == 0 and lines[-1] == COUNTS, out
    has(out, "[1/1] ok")


def test_failure_in_its_own_words(tmp):
    code, lines, out = Place(tmp, {"good": "true", "bad": "echo the reason; exit 3", "dead": "kill -11 $$"}).run()
    assert code == 1 and lines[-1] == "2 passed, 2 failed, 0 skipped", out
    for text in "        the reason\n", "failed: build: bad: exit code 3\n", "failed: build: dead: died by signal 11\n":
        has(out, text)


def test_skips(tmp):
    """All of a test, a part of one, and one that gives no reason; each with its cure."""
    place = Place(tmp, {"all": f"echo '{NO_DATA}'; exit 77", "part": f"echo '{NO_DATA}'; echo 'skip: avx9: too new; cure: wait'",
                        "mute": "exit 77"})
    code, lines, out = place.run()
    assert code == 0 and lines[-1] == "2 passed, 0 failed, 4 skipped", out
    for text in ("skipped: no shared test data: build: all, part\n    cure: lay them somewhere\n",
                 "skipped: avx9: too new: build: part\n    cure: wait\n", "the test gives no reason: build: mute\n"):
        has(out, text)
    # where the data are there, nothing may be skipped for want of them; the processor is another matter
    code, lines, out = place.run(TESSERA_SHARED=tmp)
    assert code == 1 and lines[-1] == "1 passed, 2 failed, 2 skipped", out
    has(out, "failed: build: part: skipped: 3 cases: no shared test data\n")


def test_missing_tools(tmp):
    """Skipped with the package to be installed; a failure with --strict."""
    place = Place(tmp, {"good": "true"}, programs=["gcc"], quick=False)
    code, lines, out = place.run()
    assert code == 0 and lines[-1] == "6 passed, 0 failed, 5 skipped", out
    for text in "clang is not installed", "cure: apt-get install shellcheck", "codespell is not installed", "cure: apt-get install gcc-aarch64":
        has(out, text)
    code, lines, out = place.run("--strict")
    assert code == 1 and lines[-1] == "6 passed, 5 failed, 0 skipped", out


def test_thread_sanitizer(tmp):
    """Where gcc has none: a skip, and a failure with --strict. Where its programs do not start: a skip."""
    place = Place(tmp, {"good": "true"}, quick=False)
    refuse = 'for w; do case $w in -fsanitize=thread) why=1; esac; [ "$before" = -o ] && out=$w; before=$w; done; [ -n "$why" ] || exit 0\n'
    place.put("gcc", refuse + "exit 1")
    out = place.run()[2]
    has(out, "skipped: gcc's thread sanitizer is not installed: build-tsan\n    cure: apt-get install libtsan2\n")
    has(place.run("--strict")[2], "failed: build-tsan: skipped: gcc's thread sanitizer is not installed\n")
    place.put("gcc", refuse + 'echo "exit 66" >"$out"; /bin/chmod +x "$out"')
    out = place.run("--strict")[2]
    has(out, "skipped: programs with gcc's thread sanitizer do not start on this kernel: build-tsan\n")
    assert not (place.root / "build-tsan-probe").exists()


def test_aarch64(tmp):
    """Tests of its suite are started by the emulator; libraries that cannot be had are a skip even with --strict."""
    place = Place(tmp, {"arm": 'case $PWD in *-aarch64) [ "$EMULATED" = yes ] ;; *) [ -z "$EMULATED" ] ;; esac', "other": "true"}, quick=False,
                  suites={"arm": ["aarch64"]})
    code, lines, out = place.run()
    rest = 5 + 2 * 3 + 1 + 3  # builds, the tests in three, the guest, lints; the fuzz targets are missing
    assert lines[-1] == f"{rest + 2} passed, 1 failed, 0 skipped", out
    has(out, "build-aarch64 tests: 1 passed, 0 failed")
    place.aarch64('sys.exit(print("skip: libraries for aarch64: no network; cure: a network") or 77)')
    code, lines, out = place.run("--strict")
    assert lines[-1] == f"{rest} passed, 1 failed, 1 skipped", out
    has(out, "skipped: libraries for aarch64: no network: build-aarch64: build and tests\n    cure: a network\n")
    place.aarch64("sys.exit(3)")
    has(place.run()[2], "failed: build-aarch64: libraries: exit code 3\n")


def test_guest(tmp):
    """A test for each job; a guest that cannot be had is a skip even with --strict, one that ends oddly a failure."""
    place = Place(tmp, {"good": "true"}, quick=False)
    rest = 6 + 3 + 3  # builds, the test in each, lints; the fuzz targets are missing
    place.guest('print("PASS rungs: 1 to 9, 3.0 s\\nFAIL model: another text, 2.0 s\\n    a b c\\nskip: tdr: old; cure: new"); sys.exit(1)')
    code, lines, out = place.run()
    assert code == 1 and lines[-1] == f"{rest + 1} passed, 2 failed, 1 skipped", out
    for text in "failed: guest: model: another text, 2.0 s\n", "  PASS rungs: 1 to 9", "      a b c\n", "skipped: tdr: old: guest\n    cure: new\n":
        has(out, text)
    place.guest('sys.exit(print("skip: the guest: no QEMU; cure: fetch.py") or 77)')
    code, lines, out = place.run()
    assert lines[-1] == f"{rest} passed, 1 failed, 1 skipped", out
    place.guest('print("PASS rungs: 1 to 9, 3.0 s")', 'sys.exit(print("skip: no network; cure: a network") or 77)')
    code, lines, out = place.run("--strict")
    assert lines[-1] == f"{rest} passed, 1 failed, 1 skipped", out
    has(out, "skipped: no network: guest\n    cure: a network\n")
    place.guest("sys.exit(3)")
    code, lines, out = place.run()
    assert lines[-1] == f"{rest} passed, 2 failed, 0 skipped", out
    has(out, "failed: guest: exit code 3\n")
    place.guest('print("PASS " + "".join(["job", *sys.argv[7:]]) + ": words")')
    out = place.run("--long")[2]
    for text in "PASS job: ", "PASS job--roadiova--long: ", "guest kernel 6.18 long:\n  PASS job--kernel6.18--long: ", "PASS job--protocol7: ":
        has(out, text)


def test_everything(tmp):
    """All the steps, with data: three builds and their tests, those without data, the builds for races and for aarch64 (whose
    suites are empty here), the fuzz targets, the lints."""
    place = Place(tmp, {"good": 'echo "data $TESSERA_SHARED"', "hungry": f'[ -n "$TESSERA_SHARED" ] || {{ echo "{NO_DATA}"; exit 77; }}'},
                  quick=False, suites={"hungry": ["unit", "data"]})
    folder = place.root / "build-fuzz/tests/fuzz"
    folder.mkdir(parents=True)
    for name, text in {"fuzz_a": "echo '#77 DONE'", "fuzz_b": "echo 'ERROR: libFuzzer: deadly signal'; exit 77"}.items():
        (folder / name).write_text("#!/bin/sh\n" + text + "\n")
        (folder / name).chmod(0o755)
    code, lines, out = place.run("--strict", TESSERA_SHARED=tmp)
    assert code == 1 and lines[-1] == f"{6 + 3 * 2 + 1 + 1 + 3 + 1} passed, 1 failed, 0 skipped", out
    for text in ("ok      fuzz_a, 4 s, 77 runs\n", "fuzz_b: exit code 77\n        ERROR: libFuzzer: deadly signal\n",
                 "build-clang tests: 2 passed", "build-san tests without test data: 1 passed", "shellcheck: ok", "codespell: ok",
                 "failed: fuzz_b: exit code 77\n"):
        has(out, text)


def test_suites(tmp):
    """Every test runs in the first build, and by its suites in others."""
    first, clang, san, tsan, arm = "build tests", "build-clang tests", "build-san tests", "build-tsan tests", "build-aarch64 tests"
    hungry = "build-san tests without test data"
    wanted = {"unit": [first, clang, san], "data": [first, clang, san, hungry], "slow": [first, san], "once": [first], "source": [first],
              "threads": [first, clang, san, tsan], "aarch64": [first, clang, san, arm], "long": []}
    place = Place(tmp, {name: "true" for name in wanted}, quick=False, suites={name: ["unit", name] for name in wanted})
    (place.root / "data").mkdir()

    def ran(*args: str) -> dict[str, list[str]]:
        seen, step = {name: [] for name in wanted}, ""
        for line in place.run(*args, TESSERA_SHARED=f"{tmp}/data")[1]:
            if m := re.match(r"(build\S*): \d+ (tests.*), \d+ at a time$", line):
                step = f"{m[1]} {m[2]}"
            elif m := re.match(r"  \[\d+/\d+\] ok .* s  unit (\w+)$", line):
                seen[m[1]].append(step)
        return seen

    seen = ran()
    assert seen == wanted, seen
    wanted = {name: [*steps[:1], clang, *[s for s in steps[1:] if s != clang]] for name, steps in wanted.items()}
    wanted["long"] = [first, clang]
    seen = ran("--long")
    assert seen == wanted, seen
    place.mode = ["--quick"]
    seen = ran()
    assert [name for name in wanted if seen[name] != [first]] == ["slow", "long"] and not seen["slow"] + seen["long"], seen


def test_no_meson(tmp):
    place = Place(tmp, {"good": "true"})
    (place.root / "bin/meson").unlink()
    code, lines, out = place.run()
    assert code == 1 and lines[-1] == "0 passed, 1 failed, 0 skipped", out
    has(out, "there is no program meson")


def test_build_fails(tmp):
    place = Place(tmp, {"good": "true"})
    place.put("ninja", "echo 'a.c:1: error: no'; exit 1")
    code, lines, out = place.run()
    assert code == 1 and lines[-1] == "0 passed, 1 failed, 0 skipped", out
    has(out, "        a.c:1: error: no\n")


def test_too_long(tmp):
    """A test that does not end is ended, with what it has started."""
    place = Place(tmp, {"stuck": "/bin/sleep 1000 & echo $!; wait"})
    tests = json.loads((place.root / "tests.json").read_text())
    tests[0]["timeout"] = 0.1
    (place.root / "tests.json").write_text(json.dumps(tests))
    code, lines, out = place.run()
    assert code == 1 and lines[-1] == "1 passed, 1 failed, 0 skipped", out
    has(out, "ran too long")
    assert gone(int(next(line for line in lines if line.strip().isdigit()))), out


def gone(pid: int) -> bool:
    for _ in range(50):
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_stopped(tmp):
    """Ctrl-C: one line, the counts so far, and nothing goes on."""
    place = Place(tmp, {"good": "true", "slow": f"echo $$ >{tmp}/pid; exec /bin/sleep 1000"})
    p = place.start()
    seen = ""
    while "] ok" not in seen or not (place.root / "pid").exists():
        seen += p.stdout.readline()
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 130 and not err, (p.returncode, err)
    assert out.splitlines()[-1] == "2 passed, 0 failed, 0 skipped", out
    has(out, "stopped by SIGINT after ")
    assert gone(int((place.root / "pid").read_text()))


def test_reader_gone(tmp):
    place = Place(tmp, {f"good{i}": f"/bin/sleep 0.{i}" for i in range(9)})
    p = place.start()
    p.stdout.readline()
    p.stdout.close()
    err = p.stderr.read()
    assert p.wait(timeout=30) == 1 and not err, err


def test_full_disk(tmp):
    place = Place(tmp, {"good": "true"})
    with open("/dev/full", "w") as full:
        r = subprocess.run([sys.executable, str(place.root / "tools/check.py"), "--quick"], env=place.env, stdout=full,
                           stderr=subprocess.PIPE, text=True)
    assert r.returncode == 1 and "Traceback" not in r.stderr and r.stderr.count("\n") == 1, r.stderr
    has(r.stderr, "No space left on device")


def test_clang_folder(tmp):
    """quickstart.sh with CC=clang has filled build/: gcc takes a folder of its own."""
    place = Place(tmp, {"good": "true"})
    (place.root / "build").mkdir()
    (place.root / "build/compile_commands.json").write_text('[{"command": "ccache clang -c a.c"}]')
    code, lines, out = place.run()
    assert code == 0 and lines[-1] == COUNTS, out
    has(out, "build-gcc: gcc build: ok")


def script(*argv: str, cwd=None) -> tuple[int, str, str]:
    r = subprocess.run([str(SOURCE / argv[0]), *argv[1:]], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=cwd)
    return r.returncode, r.stdout, r.stderr


def test_arguments(tmp):
    """--help helps, and what is wrong is one line; nothing is built for either."""
    for name in "check.sh", "quickstart.sh":
        code, out, err = script(name, "--help")
        assert code == 0 and out.startswith(f"Usage: ./{name}") and not err, (out, err)
        code, out, err = script(name, "--frobnicate")
        assert code == 2 and not out and err.count("\n") == 1 and '"--frobnicate"' in err, (code, out, err)
    assert script("check.sh", "--quick", "--long")[0] == 2
    for argv, code, text in ((["no.gguf"], 1, "there is no file no.gguf"), (["."], 1, "is a folder"),
                             (["a", "b"], 1, "there is no file a"), ([__file__, __file__], 2, "one model at a time")):
        got, out, err = script("quickstart.sh", *argv, cwd=tmp)
        assert got == code and not out and err.count("\n") == 1 and text in err, (argv, got, out, err)


def main() -> int:
    failed = 0
    tests = [t for name, t in globals().items() if name.startswith("test_") and name in (sys.argv[1:] or [name])]
    for test in tests:
        with tempfile.TemporaryDirectory(prefix="tessera-check-") as tmp:
            try:
                test(tmp)
            except AssertionError as e:
                failed += 1
                print(f"FAILED: {test.__name__}: {e}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
