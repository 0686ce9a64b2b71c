#!/usr/bin/env python3
"""The body of check.sh: builds, test runs, fuzzing and lints, counted. Run it through ./check.sh.

A test counts as one; so does a build, a fuzz target or a lint. What is left out is counted too, once for each reason that a
test gives in a line "skip: why; cure: how" (exit code 77: all of it was left out). It counts as failed instead where the test
data are there and the reason is that they are not, and with --strict where a tool is not installed.

Nothing is silent: what runs stands on the terminal's last line, or in a line every ten seconds where there is no terminal.
How long things took is kept in build/check-times.json, for the forecast of the next run."""
import argparse
import ast
import collections
import configparser
import dataclasses
import glob
import json
import os
import pathlib
import platform
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMES = pathlib.Path("build/check-times.json")
CPUS = len(os.sched_getaffinity(0))
# Seconds of one step on two cores (Zen 4), without ccache, for the first run's forecast; later ones know better.
EXPECTED = {"build": 180, "build tests": 540, "build-clang": 115, "build-clang tests": 105, "build-san": 110, "build-san tests": 600,
            "build-san tests without test data": 5, "build-tsan": 38, "build-tsan tests": 25, "build-aarch64": 95, "build-aarch64 tests": 72,
            "build-fuzz": 130, "fuzz targets": 75, "lints": 3, "guest": 105, "guest, other roads": 1200, "bare Debian": 900}
# What guest.py is asked for: always, and with --long.
GUEST = [[]]
GUEST_LONG = [["differ", "patience"], ["--road", "iova", "--long"], ["--road", "carveout", "--long"], ["--kernel", "6.18", "--long"],
              ["--protocol", "7"], ["--params", "force_cmdlist=0"], ["--protocol", "7", "--params", "force_cmdlist=0"]]
# Suites (tests/meson.build says what they are) that do not run again in a build after the first.
NOT_IN_CLANG, NOT_IN_SAN = frozenset({"source", "once", "slow"}), frozenset({"source", "once"})
# What gcc believes of data flow depends on what it inlines; instrumented and at -O1 it is wrong there. The builds without
# sanitizers keep these warnings.
NOT_WARNED = ["-Wno-format-truncation", "-Wno-maybe-uninitialized"]
CROSS_FILE = "build-aarch64-root/cross.ini"  # tools/aarch64.py writes it
NO_DATA, NOT_INSTALLED = "no shared test data", "is not installed"


def sanitized(by: str, *c_args: str) -> list[str]:
    """Options of a build with sanitizers. At -O1 it compiles in two thirds of the time, and of what a debugger could know
    the lines that a report names are enough."""
    return [f"-Db_sanitize={by}", "-Doptimization=1", "-Ddebug=false", " ".join(["-Dc_args=-g1", *c_args])]


def clock(seconds: float) -> str:
    s = int(seconds + 0.5)
    return f"{s} s" if s < 100 else f"{s // 60} min {s % 60:02} s"


class Screen:
    """Lines that stay, and one that says what is going on."""

    def __init__(self, out):
        self.out, self.shown, self.last = out, "", time.monotonic()
        self.tty = out.isatty()

    def say(self, text: str) -> None:
        self.out.write(("\r\033[K" if self.shown else "") + text + "\n" + (self.shown if self.tty else ""))
        self.out.flush()
        self.last = time.monotonic()

    def status(self, text: str) -> None:
        if self.tty:
            text = text[:shutil.get_terminal_size().columns - 1]
            if text != self.shown:
                self.out.write("\r\033[K" + text)
                self.out.flush()
            self.shown = text
        elif text and time.monotonic() - self.last >= 10:
            self.say("  ... " + text)


@dataclasses.dataclass
class Skip:
    why: str
    cure: str
    names: list[str] = dataclasses.field(default_factory=list)


class Tally:
    """What passed, failed and was skipped. `data`: the test data are there; `strict`: no tool may be missing."""

    def __init__(self, data: bool, strict: bool):
        self.data, self.strict = data, strict
        self.passed, self.failed, self.skips = 0, [], {}

    def ok(self) -> None:
        self.passed += 1

    def fail(self, name: str, why: str) -> None:
        self.failed.append(f"{name}: {why}")

    def skip(self, name: str, why: str, cure: str) -> bool:
        """False where it may not be skipped, and so has failed."""
        if (self.data and NO_DATA in why) or (self.strict and NOT_INSTALLED in why):
            self.fail(name, f"skipped: {why}")
            return False
        key = NO_DATA if NO_DATA in why else why  # however many parts they are wanted for
        self.skips.setdefault(key, Skip(key, cure)).names.append(name)
        return True

    @property
    def skipped(self) -> int:
        return sum(len(s.names) for s in self.skips.values())

    def lines(self) -> list[str]:
        """The end of the report; the counts are its last line."""
        out = []
        for s in self.skips.values():
            groups = collections.defaultdict(list)
            for name in s.names:
                where, _, what = name.rpartition(": ")
                groups[where].append(what)
            out.append(f"skipped: {s.why}: " + "; ".join((f"{k}: " if k else "") + ", ".join(sorted(v)) for k, v in groups.items()))
            out.append(f"    cure: {s.cure}")
        out += [f"failed: {f}" for f in self.failed]
        return [*out, f"{self.passed} passed, {len(self.failed)} failed, {self.skipped} skipped"]


def reasons(text: str) -> list[tuple[str, str]]:
    """What a test's output says that it has left out: why and cure, each once. Numbers of parts are joined."""
    seen = collections.Counter()
    for line in re.findall(r"^skip: (.+)$", text, re.M):
        why, _, cure = line.partition("; cure: ")
        seen[why.strip(), cure.strip() or "the test does not say"] += 1
    if not seen and re.search(r"^\[  SKIPPED \]", text, re.M):  # cmocka's skip() alone
        seen["the test gives no reason", "say it in the test: SKIP(why, cure) of support/test.h"] += 1
    return list(seen)


def words(text: str, lines: int = 40) -> str:
    """The end of a failing test's output, and before it what looks like the failure itself."""
    all_lines = text.rstrip().splitlines()
    early = [line for line in all_lines[:-lines] if re.search(r"FAILED|\[  ERROR|error:|ERROR: |runtime error", line)]
    return "\n".join("        " + line for line in early[:20] + all_lines[-lines:])


def full_disk() -> str:
    """To be added to what failed."""
    return " (the disk is full)" if shutil.disk_usage(ROOT).free < 1 << 20 else ""


class Stopped(Exception):
    pass


class Programs:
    """Programs that run in sessions of their own, so that all of what they start can be ended."""

    def __init__(self):
        self.running: set[subprocess.Popen] = set()
        self.lock = threading.Lock()
        self.closed = False

    def start(self, argv: list[str], **more) -> subprocess.Popen:
        with self.lock:
            if self.closed:
                raise Stopped
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 start_new_session=True, **more)
            self.running.add(p)
            return p

    def end(self, p: subprocess.Popen) -> None:
        try:
            os.killpg(p.pid, signal.SIGKILL)  # also what a test has left behind
        except (ProcessLookupError, PermissionError):
            pass
        with self.lock:
            self.running.discard(p)

    def end_all(self) -> None:
        """They get a second to put away what they have laid out, such as sockets."""
        with self.lock:
            self.closed = True
        running = list(self.running)
        for p in running:
            try:
                os.killpg(p.pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                pass
        deadline = time.monotonic() + 1
        while any(p.poll() is None for p in running) and time.monotonic() < deadline:
            time.sleep(0.02)
        for p in running:
            self.end(p)

    def capture(self, argv: list[str], timeout: float | None = None, **more) -> tuple[int | None, str]:
        """Exit code (None: it ran longer than timeout) and all its output."""
        p = self.start(argv, **more)
        try:
            out, _ = p.communicate(timeout=timeout)
            return p.returncode, out.decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.end(p)
            return None, p.communicate()[0].decode(errors="replace")
        finally:
            self.end(p)


class Check:
    def __init__(self, args, screen: Screen):
        self.args, self.screen, self.programs = args, screen, Programs()
        data = os.environ.get("TESSERA_SHARED", "")
        self.tally = Tally(bool(data) and os.path.isdir(data), args.strict)
        self.begin = time.monotonic()
        self.times: dict = {}
        try:
            self.times = json.loads((ROOT / TIMES).read_text())
        except (OSError, ValueError):
            pass
        self.plan: list[str] = []
        self.done = 0.0  # expected seconds of the steps behind us
        self.levels_said = False
        # the caller's settings do not change what is tested
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("TESSERA_") or k in ("TESSERA_SHARED", "TESSERA_GUEST_CACHE")}

    # ---- time ----

    def expected(self, key: str) -> float:
        return self.times.get("steps", {}).get(key) or EXPECTED.get(key, 10)

    def forecast(self, part: float = 0.0) -> str:
        """`part` of the current step, plan[0], is done."""
        spent = time.monotonic() - self.begin
        if not self.plan:
            return clock(spent)
        here = self.expected(self.plan[0])
        done = self.done + part * here
        left = sum(map(self.expected, self.plan)) - part * here
        pace = (spent + 60) / (done + 60)  # this machine's, on this day; the first minute proves little
        return f"{clock(spent)}, about {max(1, round(left * pace / 60))} min left"

    def step_ended(self, key: str, seconds: float) -> None:
        self.done += self.expected(key)
        if key in self.plan:
            self.plan.remove(key)
        self.times.setdefault("steps", {})[key] = round(seconds, 1)

    def keep_times(self) -> None:
        try:
            if (ROOT / TIMES).parent.is_dir():
                (ROOT / TIMES).write_text(json.dumps(self.times))
        except OSError:
            pass  # only a forecast is lost

    # ---- one program ----

    def follow(self, what: str, argv: list[str], env: dict[str, str] | None = None) -> tuple[int | None, str]:
        """Exit code (None: there is no such program) and output; shows [n/m] of ninja, or the last line."""
        try:
            p = self.programs.start(argv, cwd=ROOT, env={**self.env, **(env or {})})
        except FileNotFoundError:
            return None, f"there is no program {argv[0]}"
        lines: queue.Queue = queue.Queue()

        def read() -> None:
            for line in p.stdout:
                lines.put(line.decode(errors="replace"))
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        out, shown, part, begin = [], "", 0.0, time.monotonic()
        while True:
            try:
                line = lines.get(timeout=0.25)
                if line is None:
                    break
                out.append(line)
                n = re.match(r"\[(\d+)/(\d+)\]", line)
                shown = n[0] if n else line.strip() if not part else shown
                part = int(n[1]) / int(n[2]) if n else part
            except queue.Empty:
                pass
            self.screen.status(f"{what} {shown[:60]} {clock(time.monotonic() - begin)}  ({self.forecast(part)})")
        code = p.wait()
        self.programs.end(p)
        self.screen.status("")
        return code, "".join(out)

    def step(self, name: str, argv: list[str], env: dict[str, str] | None = None) -> bool:
        begin = time.monotonic()
        code, out = self.follow(name, argv, env)
        took = clock(time.monotonic() - begin)
        if code == 0:
            self.tally.ok()
            self.screen.say(f"{name}: ok, {took}")
            return True
        why = out if code is None else f"exit code {code}{full_disk()}"
        self.tally.fail(name, why)
        self.screen.say(f"{name}: FAILED after {took}: {why}")
        if code is not None:
            self.screen.say(words(out))
        return False

    def have(self, name: str, tool: str, package: str) -> bool:
        """Is the tool there? `name` is skipped, or has failed, where it is not."""
        if shutil.which(tool):
            return True
        why = f"{tool} {NOT_INSTALLED}"
        skipped = self.tally.skip(name, why, f"apt-get install {package}")
        self.screen.say(f"{name}: {'skipped' if skipped else 'FAILED'}: {why}")
        return False

    # ---- builds and tests ----

    def build(self, folder: str, cc: str, options: list[str], targets: list[str] = ()) -> bool:
        begin = time.monotonic()
        env = {"CC": cc}
        path = ROOT / folder
        if path.is_dir() and not os.access(path, os.W_OK):
            self.tally.fail(f"{folder}: build", f"this user may not write in {folder}; remove the folder, or run as its owner")
            self.screen.say(f"{folder}: build: FAILED: this user may not write there")
            return False
        configured = (path / "build.ninja").exists()
        if path.is_dir() and not configured:
            shutil.rmtree(path / "meson-private", ignore_errors=True)  # of a configuration that was interrupted
            shutil.rmtree(path / "meson-info", ignore_errors=True)
        # again each time: it may have been configured before a library or a header was there, or without -Werror
        code, out = self.follow(f"{folder}: configure", ["meson", "setup", *(["--reconfigure"] if configured else []), folder,
                                                        "-Dwerror=true", *options], env)
        if code != 0:
            self.tally.fail(f"{folder}: configure", f"exit code {code}{full_disk()}")
            self.screen.say(f"{folder}: configure: FAILED\n{words(out)}")
            return False
        wanted = list(targets)
        if wanted:
            known = self.follow(folder, ["ninja", "-C", folder, "-t", "targets", "all"])[1]
            wanted = [t for t in re.findall(r"^([^:\s]+):", known, re.M) if any(re.fullmatch(w, t) for w in wanted)]
        ok = self.step(f"{folder}: {cc} build{' ' + options[0] if options else ''}", ["ninja", "-C", folder, *wanted], env)
        self.step_ended(folder, time.monotonic() - begin)
        return ok

    def listed(self, folder: str, suites: set[str], without: set[str]) -> list[dict]:
        text = subprocess.run(["meson", "introspect", "--tests", folder], cwd=ROOT, capture_output=True, text=True).stdout
        chosen = []
        for t in json.loads(text):
            have = {s.rpartition(":")[2] for s in t["suite"]}
            if not have & without and (not suites or have & suites):
                chosen.append(t)
        known = self.times.get(folder, {})
        return sorted(chosen, key=lambda t: -known.get(t["name"], t["priority"]))  # the longest first

    def one_test(self, folder: str, test: dict, patience: int, env: dict[str, str], by: list[str]) -> tuple[int | None, str, float]:
        begin = time.monotonic()
        san = {"ASAN_OPTIONS": "abort_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
        full = {**self.env, **san, "MALLOC_PERTURB_": str(random.randrange(1, 256)), **test["env"], **env}
        try:
            code, out = self.programs.capture([*by, *test["cmd"]], (test["timeout"] or 600) * patience,
                                              cwd=test["workdir"] or ROOT / folder, env=full)
        except OSError as e:
            code, out = 127, str(e)
        return code, out, time.monotonic() - begin

    def judge(self, name: str, code: int | None, out: str) -> tuple[str, str]:
        """Counts a test; the word and the reasons to be shown."""
        left_out = reasons(out)
        if code == 77 and not left_out:
            left_out = [("the test gives no reason", "let it print: skip: why; cure: how")]
        if code not in (0, 77):
            why = "ran too long" if code is None else f"died by signal {-code}" if code < 0 else f"exit code {code}"
            self.tally.fail(name, why + full_disk())
            return "FAILED", why + full_disk()
        bad = [why for why, cure in left_out if not self.tally.skip(name, why, cure)]
        if bad:
            return "FAILED", "; ".join(f"skipped: {why}" for why in bad)
        if code == 77:
            return "skipped", "; ".join(why for why, _ in left_out)
        self.tally.ok()
        return "ok", "; ".join(f"left out: {why}" for why, _ in left_out)

    def tests(self, folder: str, suites: set[str] = frozenset(), without: set[str] = frozenset(), patience: int = 10,
              env: dict[str, str] | None = None, what: str = "tests", by: list[str] = ()) -> None:
        """`by`: the words that start this build's programs, where the processor does not."""
        begin = time.monotonic()
        todo = self.listed(folder, suites, without)
        if not by:
            self.levels(folder)
        waiting: queue.Queue = queue.Queue()
        for t in todo:
            waiting.put(t)
        ended: queue.Queue = queue.Queue()
        running: dict[str, float] = {}

        def work() -> None:
            while True:
                try:
                    t = waiting.get_nowait()
                    running[t["name"]] = time.monotonic()
                    ended.put((t, *self.one_test(folder, t, patience, env or {}, by)))
                except (queue.Empty, Stopped):
                    return
                except Exception as e:  # a fault of this script must not become a silent wait
                    ended.put((t, 127, repr(e), 0.0))

        for _ in range(CPUS):
            threading.Thread(target=work, daemon=True).start()
        known = self.times.get(folder, {})
        weight = {t["name"]: known.get(t["name"], 1.0) for t in todo}
        total, done, n = sum(weight.values()) or 1, 0.0, 0
        self.screen.say(f"{folder}: {len(todo)} {what}, {CPUS} at a time")
        before = self.tally.passed, len(self.tally.failed), self.tally.skipped
        while n < len(todo):
            try:
                t, code, out, seconds = ended.get(timeout=0.25)
                n += 1
                running.pop(t["name"], None)
                done += weight[t["name"]]
                if what == "tests":
                    self.times.setdefault(folder, {})[t["name"]] = round(seconds, 2)
                suite = t["suite"][0].rpartition(":")[2]
                if what != "tests":  # without data on purpose: what is left out is not counted
                    out = "" if code in (0, 77) else out
                    code = 0 if code == 77 else code
                word, why = self.judge(f"{folder} {what}: {t['name']}" if what != "tests" else f"{folder}: {t['name']}", code, out)
                width = len(str(len(todo)))
                self.screen.say(f"  [{n:{width}}/{len(todo)}] {word:7} {seconds:6.1f} s  {suite} {t['name']}{': ' + why if why else ''}")
                if word == "FAILED":
                    self.screen.say(words(out))
            except queue.Empty:
                pass
            now = time.monotonic()
            names = ", ".join(f"{name} {clock(now - since)}" for name, since in list(running.items()))
            self.screen.status(f"{folder} [{n}/{len(todo)}] {names}  ({self.forecast(done / total)})")
        self.screen.status("")
        self.step_ended(f"{folder} {what}", time.monotonic() - begin)
        passed, failed, skipped = (a - b for a, b in
                                   zip((self.tally.passed, len(self.tally.failed), self.tally.skipped), before))
        self.screen.say(f"{folder} {what}: {passed} passed, {failed} failed, {skipped} skipped in "
                        f"{clock(time.monotonic() - begin)} ({self.forecast()})")
        self.keep_times()

    def levels(self, folder: str) -> None:
        """One line about the processor, once: which kernels can be tried on it."""
        check_kern = ROOT / folder / "tests/kern/check_kern"
        if self.levels_said or not check_kern.exists():
            return
        self.levels_said = True
        said = subprocess.run([check_kern, "--levels"], capture_output=True, text=True).stdout.splitlines()
        cpu = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M) if os.path.exists("/proc/cpuinfo") else None
        missing = [line[6:].partition(":")[0] for line in said if line.startswith("skip: ")]
        reached = [line for line in said if not line.startswith("skip: ")]
        self.screen.say(f"processor: {cpu[1] if cpu else 'unknown'}, {CPUS} processors to run on; kernel levels tried: {', '.join(reached)}"
                        + (f"; compiled but not tried, this processor lacks them: {', '.join(missing)}" if missing else ""))

    def compiler_of(self, folder: str) -> str:
        """gcc or clang, of a configured folder; "" where there is none."""
        try:
            first = json.loads((ROOT / folder / "compile_commands.json").read_text())[0]["command"].split()
        except (OSError, ValueError, LookupError):
            return ""
        words_ = [os.path.basename(w) for w in first[:3]]
        return "clang" if any(w.startswith("clang") for w in words_) else "gcc"

    def unit_programs(self, folder: str) -> None:
        """Without cmocka most tests are not built."""
        try:
            found = {d["name"] for d in json.loads((ROOT / folder / "meson-info/intro-dependencies.json").read_text())}
        except (OSError, ValueError):
            return
        if "cmocka" not in found:
            why = f"cmocka {NOT_INSTALLED}"
            self.tally.skip(f"{folder}: the unit and NPU tests", why, "apt-get install libcmocka-dev")
            self.screen.say(f"{folder}: the unit and NPU tests are left out: {why}")

    def fuzz(self, folder: str, seconds: int) -> None:
        targets = [exe for exe in sorted(glob.glob(str(ROOT / folder / "tests/fuzz/fuzz_*")))
                   if os.access(exe, os.X_OK) and not os.path.isdir(exe)]
        if not targets:
            self.tally.fail("fuzz targets", "there are none")
        begin, ended, waiting = time.monotonic(), queue.Queue(), queue.Queue()
        for exe in targets:
            waiting.put(exe)

        def work() -> None:
            while True:
                try:
                    exe = waiting.get_nowait()
                    name = os.path.basename(exe)
                    found = ROOT / folder / "corpus" / name
                    found.mkdir(parents=True, exist_ok=True)
                    seeds = [str(p) for p in [ROOT / "tests/fuzz/corpus" / name] if p.is_dir()]
                    ended.put((name, *self.programs.capture(
                        [exe, f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=0",
                         f"-artifact_prefix={found}/", str(found), *seeds], 20 * seconds + 120, cwd=ROOT, env=self.env)))
                except (queue.Empty, Stopped):
                    return
                except Exception as e:
                    ended.put((name, 127, repr(e)))

        for _ in range(CPUS):
            threading.Thread(target=work, daemon=True).start()
        n = 0
        while n < len(targets):
            try:
                name, code, out = ended.get(timeout=0.25)
                n += 1
                runs = re.findall(r"^#(\d+)\s", out, re.M)
                if code == 0:
                    self.tally.ok()
                    self.screen.say(f"  [{n:2}/{len(targets)}] ok      {name}, {seconds} s, {runs[-1] if runs else 0} runs")
                else:
                    self.tally.fail(name, f"exit code {code}")
                    self.screen.say(f"  [{n:2}/{len(targets)}] FAILED  {name}: exit code {code}\n{words(out)}")
            except queue.Empty:
                pass
            self.screen.status(f"fuzz targets [{n}/{len(targets)}]  ({self.forecast(n / len(targets))})")
        self.screen.status("")
        self.step_ended("fuzz targets", time.monotonic() - begin)

    def thread_sanitizer_here(self) -> bool:
        """Its library need not be there; and where addresses are more random than it expects, its programs do not start."""
        probe = ROOT / "build-tsan-probe"
        code, out = self.programs.capture(
            ["/bin/sh", "-c", f'echo "int main(void) {{ return 0; }}" | gcc -x c - -fsanitize=thread -o "{probe}" || exit 1; '
             f'[ ! -x "{probe}" ] || "{probe}" || exit 2'], cwd=ROOT, env=self.env)
        probe.unlink(missing_ok=True)
        if code == 0:
            return True
        why, cure = {1: (f"gcc's thread sanitizer {NOT_INSTALLED}", "apt-get install libtsan2")}.get(
            code, ("programs with gcc's thread sanitizer do not start on this kernel", "sysctl vm.mmap_rnd_bits=28, or a newer gcc"))
        skipped = self.tally.skip("build-tsan", why, cure)
        self.screen.say(f"build-tsan: {'skipped' if skipped else 'FAILED'}: {why}")
        return False

    def fuzzer_here(self) -> bool:
        """clang alone does not bring libFuzzer and the sanitizers' libraries."""
        if not self.have("fuzz targets", "clang", "clang libclang-rt-14-dev"):
            return False
        probe = ROOT / "build-fuzz-probe"
        code, _ = self.programs.capture(
            ["/bin/sh", "-c", 'echo "int LLVMFuzzerTestOneInput(const char *p, unsigned long n);'
             'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return !p && n; }" | '
             f'clang -x c - -fsanitize=fuzzer,address,undefined -o "{probe}"'], cwd=ROOT, env=self.env)
        probe.unlink(missing_ok=True)
        if code == 0:
            return True
        why = f"clang's libFuzzer {NOT_INSTALLED}"
        skipped = self.tally.skip("fuzz targets", why, "apt-get install libclang-rt-14-dev")
        self.screen.say(f"fuzz targets: {'skipped' if skipped else 'FAILED'}: {why}")
        return False

    def aarch64(self, suites: set[str], without: set[str], patience: int) -> None:
        """The whole tree by Debian's cross compiler, and in QEMU the tests whose results an architecture could change."""
        name = "build-aarch64"
        if not (self.have(f"{name}: build and tests", "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
                and self.have(f"{name}: build and tests", "qemu-aarch64", "qemu-user")):
            return
        code, out = self.follow(f"{name}: libraries", [sys.executable, "tools/aarch64.py"])
        if code == 77:
            for why, cure in reasons(out):
                self.tally.skip(f"{name}: build and tests", why, cure)
                self.screen.say(f"{name}: skipped: {why}")
        elif code != 0:
            self.tally.fail(f"{name}: libraries", f"exit code {code}{full_disk()}")
            self.screen.say(f"{name}: libraries: FAILED\n{words(out)}")
        elif self.build(name, "aarch64-linux-gnu-gcc", [f"--cross-file={CROSS_FILE}", "-Dserver=disabled"]):
            cross = configparser.ConfigParser()
            cross.read(ROOT / CROSS_FILE)
            self.tests(name, suites, without, patience, by=ast.literal_eval(cross["binaries"]["exe_wrapper"]))

    # ---- all of it ----

    def quick(self, folder: str, cc: str) -> None:
        self.plan = [folder, f"{folder} tests"]
        if self.build(folder, cc, []):
            self.unit_programs(folder)
            self.tests(folder, {"unit", "cli", "lint"}, {"long", "slow"})

    def all(self, folder: str, gcc: bool) -> None:
        long = self.args.long
        patience = 100 if long else 10  # a busy machine is no failure
        not_these = frozenset() if long else frozenset({"long"})
        data = self.tally.data
        self.plan = [k for k in (*((folder, f"{folder} tests", "guest") if gcc else ()),
                                 *(("guest, other roads",) if gcc and long else ()), "build-clang", "build-clang tests",
                                 *(("build-san", "build-san tests") if gcc else ()),
                                 *(["build-san tests without test data"] if data and gcc else []),
                                 *(("build-tsan", "build-tsan tests") if gcc else ()),
                                 *(("build-aarch64", "build-aarch64 tests") if gcc else ()), "build-fuzz", "fuzz targets", "lints",
                                 *(["bare Debian"] if long else []))]
        if gcc and self.build(folder, "gcc", []):
            self.unit_programs(folder)
            self.tests(folder, without=not_these, patience=patience)
            self.guests("guest", folder, GUEST)
            if long:
                self.guests("guest, other roads", folder, GUEST_LONG)
        if self.have("build-clang: build and tests", "clang", "clang") and self.build("build-clang", "clang", []):
            self.tests("build-clang", without=not_these if long or not gcc else not_these | NOT_IN_CLANG, patience=patience)
        if gcc and self.build("build-san", "gcc", sanitized("address,undefined", "-fno-sanitize-recover=all",
                                                            *NOT_WARNED)):
            not_san = NOT_IN_SAN | ({"long"} if long else {"long", "san-long"})
            self.tests("build-san", without=not_san, patience=20)
            if data:  # as every stranger's clone: what a test has in hand when it skips must be freed
                self.tests("build-san", {"data"}, not_san, 20, {"TESSERA_SHARED": ""}, "tests without test data")
        # races: the programs with several threads at a time, and no other
        if gcc and self.thread_sanitizer_here() and self.build("build-tsan", "gcc", [
                *sanitized("thread", *NOT_WARNED), "-Dlibedit=disabled"], [r"tests/unit/test_(threads|fork|kv|prefix_threads|server|srv_apis)"]):
            self.tests("build-tsan", {"threads"}, patience=20, env={"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"})
        if gcc and platform.machine() != "aarch64":  # there the first build is this one
            self.aarch64({"aarch64", "aarch64-long"} if long else {"aarch64"}, not_these, patience)
        if self.fuzzer_here() and self.build("build-fuzz", "clang", [
                *sanitized("address,undefined", "-fno-sanitize-recover=all"), "-Dfuzz=true", "-Db_lundef=false"],
                [r"tests/fuzz/fuzz_\w+"]):
            self.fuzz("build-fuzz", 600 if long else 4)
        begin = time.monotonic()
        scripts = ["check.sh", "quickstart.sh", ".ci/run", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("tools/*.sh")))]
        if self.have("shellcheck", "shellcheck", "shellcheck"):
            self.step("shellcheck", ["shellcheck", *scripts])
            # busybox's shell, and variables that the harness sets
            self.step("shellcheck of the guest's", ["shellcheck", "-e", "SC1091,SC2154,SC3045", "tests/qemu/init", "tests/qemu/lib.sh",
                                                    *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("tests/qemu/jobs/*")))])
        if self.have("codespell", "codespell", "codespell"):
            self.step("codespell", ["codespell", "--ignore-words=tests/lint/codespell-ignore.txt",
                                    "--skip=./build*,./.git,./tools/demo_model/*.txt,./tools/demo_model/*.py,*.gguf,./tests/fuzz/corpus,*.jsonl,*.json,*.def,*.f32,./models/calibration.txt", "."])
        self.step_ended("lints", time.monotonic() - begin)
        if long:
            self.bare_debian()

    def guests(self, step: str, folder: str, runs: list[list[str]]) -> None:
        """The real driver in a guest: each "PASS job: words" or "FAIL job: why" of guest.py is a test. Where the guest cannot be had
        that is a skip, with --strict too: the archive it comes from is not ours."""
        begin = time.monotonic()
        for options in runs:
            name = " ".join(["guest", *(w.removeprefix("--") for w in options)])
            code, out = 0, ""
            if self.args.strict:
                kernel = options[:2] if options[:1] == ["--kernel"] else []
                code, out = self.follow(f"{name}: fetching", [sys.executable, "tests/qemu/fetch.py", *kernel])
            if code == 0:
                code, more = self.follow(name, [sys.executable, "tests/qemu/guest.py", "--build", folder,
                                                "--patience", "10" if self.args.long else "4", "--boots", str(min(2, CPUS)),
                                                *options])
                out += more
            verdicts = re.findall(r"^(PASS|FAIL) (\S+): (.*)$", out, re.M)
            for word, job, why in verdicts:
                if word == "PASS":
                    self.tally.ok()
                else:
                    self.tally.fail(f"{name}: {job}", why)
            for why, cure in reasons(out):
                self.tally.skip(name, why, cure)
            self.screen.say("\n".join([f"{name}:", *("  " + line for line in out.splitlines())]))
            if code not in (0, 77) and "FAIL" not in (word for word, *_ in verdicts):
                self.tally.fail(name, f"exit code {code}{full_disk()}")
        self.step_ended(step, time.monotonic() - begin)

    def bare_debian(self) -> None:
        """The README's two commands where nothing is installed; the script's "passed:" and "FAILED:" lines are counted."""
        name, begin = "the two commands on a bare Debian", time.monotonic()
        if os.getuid() != 0:
            self.tally.skip(name, "this takes root", "run ./check.sh --long as root")
        elif self.have(name, "debootstrap", "debootstrap"):
            code, out = self.follow(name, ["sh", "tools/bare_debian.sh"])
            for line in re.findall(r"^(?:passed|FAILED): .*$", out, re.M):
                self.screen.say(line)
                if line.startswith("passed: "):
                    self.tally.ok()
                else:
                    self.tally.fail("bare Debian", line[8:])
            if code != 0:
                self.tally.fail(name, f"exit code {code}")
                self.screen.say(words(out))
        self.step_ended("bare Debian", time.monotonic() - begin)

    def main(self) -> None:
        shared = os.environ.get("TESSERA_SHARED", "")
        self.screen.say(f"test data: {shared}" if self.tally.data else
                        f"test data: none ({shared + ' is no folder' if shared else 'no ../shared, and TESSERA_SHARED is not set'}); "
                        "tests that need them are skipped")
        folder = "build"
        if self.compiler_of(folder) == "clang":
            folder = "build-gcc"  # quickstart.sh was told to use clang
        gcc = bool(shutil.which("gcc"))
        if self.args.quick:
            self.quick(folder if gcc else "build-clang", "gcc" if gcc else "clang")
            return
        if not gcc:
            self.have("gcc and sanitizer builds, and their tests", "gcc", "gcc")
        self.all(folder, gcc)


def main() -> int:
    parser = argparse.ArgumentParser(prog="check.sh", description="see ./check.sh --help")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--strict", action="store_true")
    check = Check(parser.parse_args(), Screen(sys.stdout))
    if not os.access(ROOT, os.W_OK):
        print(f"check.sh: this user may not write in {ROOT}; copy the folder to a place of yours, and start it there", file=sys.stderr)
        return 1

    def stop(number, _frame):
        raise KeyboardInterrupt(number)

    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, stop)
    code = 0
    try:
        try:
            check.main()
        except KeyboardInterrupt as e:
            for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(s, signal.SIG_IGN)
            check.programs.end_all()
            code = 128 + (e.args[0] if e.args else signal.SIGINT)
            check.screen.status("")
            check.screen.say(f"stopped by {signal.Signals(code - 128).name} after {clock(time.monotonic() - check.begin)}; so far:")
        except BrokenPipeError:
            raise
        except OSError as e:  # a full disk, no processes left
            check.programs.end_all()
            check.screen.status("")
            check.tally.fail("check.sh", f"{e.strerror}{': ' + str(e.filename) if e.filename else ''}")
        check.keep_times()
        for line in check.tally.lines():
            check.screen.say(line)
    except OSError as e:  # standard output takes no more; of "| head" nobody wants the rest
        check.programs.end_all()
        if not isinstance(e, BrokenPipeError):
            print(f"check.sh: standard output: {e.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return code or (1 if check.tally.failed else 0)


if __name__ == "__main__":
    sys.exit(main())
