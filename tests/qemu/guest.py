#!/usr/bin/env python3
"""Run jobs in a guest whose kernel has the real amdxdna driver: below it the device of npu1-server, above it this build's programs.

One boot runs all the jobs given, a line each: "PASS name: words, seconds" or "FAIL name: why", then that job's output and what the
driver said; "skip: why; cure: how" for what could not be tried. QEMU, kernel and busybox come from the cache that fetch.py fills.
docs/npu/qemu.md tells how it fits together."""
import argparse
import contextlib
import dataclasses
import lzma
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import fetch
import initramfs
import mutants

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
MEMORY = "1G"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The jobs of one boot in their order. NAME-WORD is jobs/NAME with an argument.
JOBS = ["selftest", "model-q4_0", "model-q8_0", "clients", "holder", "hang", "stop", "status", "kill", "suspend", "module",
        "firmware", "memory", "lost", "wedged", "clock", "async", "models", "mutants"]
LONG_JOBS = ["differ", "patience"]  # with --long, too: they take minutes
PROGRAMS = ["src/cli/tessera", "tests/qemu/hold", "tests/qemu/differ"]  # of the build, in the guest's /bin
TYPES = ["q4_0", "q8_0"]
PROMPT, MESSAGE, TEXT = "Once upon a time", "Hello! Who are you?\n", "The cat sat on the mat and looked at the moon."
# What the CPU answers here, which the guest's NPU must equal: /expect/NAME and the arguments, with TYPE, PROMPT and OUT filled in.
ANSWERS = {
    "TYPE-24.txt": ["run", "-n", "24", "-f", "PROMPT"],
    "TYPE-once.txt": ["run", "--raw", "-n", "2", "-p", "Once"],
    "TYPE-cat.txt": ["run", "--raw", "-n", "2", "-p", "The cat"],
    "TYPE-chat.txt": ["chat", "-n", "4"],
    "TYPE.logits": ["eval", "-f", "TEXT", "--logits-out", "OUT"],
}


@dataclasses.dataclass
class Road:
    """A way in which the device reaches the program's memory."""
    what: str
    qemu: list[str]
    kernel: str  # words for its command line
    params: list[str] = dataclasses.field(default_factory=list)  # of the driver
    carveout: str = ""  # what to write into the debugfs file of this name


INTEL = ["-device", "intel-iommu,caching-mode=on,aw-bits=39"]
ROADS = {
    "sva": Road("the process's own addresses, by PASID", ["-device", "amd-iommu,dma-remap=on,device-iotlb=on"], "iommu=pt"),
    "iova": Road("addresses that the driver maps in the IOMMU", INTEL, "intel_iommu=on", ["force_iova=1"]),
    "carveout": Road("physical addresses, out of memory set aside", INTEL, "intel_iommu=on iommu=pt memmap=256M$512M",
                     carveout="0x10000000@0x20000000"),
}


def script(job: str) -> pathlib.Path:
    """Of a name in JOBS, or of a path to somebody's own."""
    return pathlib.Path(job) if "/" in job else HERE / "jobs" / job.partition("-")[0]


def said(job: str, key: str) -> str:
    """What a job's script says of itself in a line "# key: words"."""
    found = re.search(rf"^# {key}: (.+)$", script(job).read_text(), re.M)
    return found[1] if found else ""


def fits(job: str, kernel: str, road: str) -> bool:
    """Is the job for this kernel and road? Its script can name the oldest kernel, and the roads."""
    return fetch.numbers(kernel) >= fetch.numbers(said(job, "kernel") or "0") and road in (said(job, "roads") or road).split()


class Failure(Exception):
    """The guest or the device did not get as far as the jobs' own words."""


# ---- what the guest says ----

@dataclasses.dataclass
class Result:
    word: str  # PASS, FAIL or SKIP
    why: str
    seconds: float
    output: list[str]
    kernel: list[str]


class Report:
    """The guest's serial line, line by line: results of jobs."""

    def __init__(self, jobs: list[str]):
        self.jobs, self.results = jobs, {}
        self.job: str | None = None
        self.began = 0.0
        self.output: list[str] = []
        self.kernel: list[str] = []
        self.last: list[str] = []  # of everything, for what goes wrong outside the jobs
        self.up, self.loaded, self.done = "", "", False

    def feed(self, line: str, now: float) -> Result | None:
        """A result where the line ends a job."""
        self.last = [*self.last[-39:], line]
        mark = re.search(r"@@ (up|loaded|job|kernel|end|done)\b ?(.*)", line)  # behind what has no line's end, such as a program's last words
        if not mark:
            if self.job:
                self.output.append(line)
            return None
        word, rest = mark[1], mark[2]
        if self.job and mark.start():
            self.output.append(line[:mark.start()])
        if word == "job":
            self.job, self.began, self.output, self.kernel = rest, now, [], []
        elif word == "kernel":
            self.kernel.append(rest)
        elif word == "end" and self.job and (found := re.fullmatch(re.escape(self.job) + r" (\d+)", rest)):
            return self._end(int(found[1]), now)
        elif word in ("up", "loaded"):
            setattr(self, word, rest)
        elif word == "done":
            self.done = all(job in self.results for job in self.jobs)
        return None

    def _end(self, code: int, now: float) -> Result:
        verdicts = [m for line in self.output if (m := re.fullmatch(rf"(PASS|FAIL|SKIP) {re.escape(self.job)}: (.*)", line))]
        if code == 137:
            word, why = "FAIL", "it did not end in its time"
        elif len(verdicts) != 1:
            word, why = "FAIL", f"{len(verdicts)} verdicts, exit code {code}"
        elif (verdicts[0][1] == "FAIL") != (code != 0):
            word, why = "FAIL", f"exit code {code} after {verdicts[0][1]}"
        else:
            word, why = verdicts[0][1], verdicts[0][2]
        return self._keep(word, why, now)

    def _keep(self, word: str, why: str, now: float) -> Result:
        result = self.results[self.job] = Result(word, why, now - self.began, self.output, self.kernel)
        self.job = None
        return result

    def broken(self, why: str, now: float) -> None:
        """The guest is gone: the job under way has failed, and those that never began."""
        if self.job:
            self._keep("FAIL", why, now)
        for job in self.jobs:
            if job not in self.results:
                self.results[job] = Result("FAIL", "it never began", 0.0, [], [])


# ---- programs ----

class Program:
    """One that runs beside us; its output goes line by line to a queue as (name, line), at the end (name, None)."""

    def __init__(self, name: str, argv: list[str], lines: queue.Queue):
        self.name = name
        try:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                            preexec_fn=fetch.dies_with_us)
        except OSError as e:
            raise Failure(f"{argv[0]}: {e.strerror}") from None
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: queue.Queue) -> None:
        for line in self.process.stdout:
            lines.put((self.name, line.decode(errors="replace").replace("\r", "").rstrip("\n")))
        lines.put((self.name, None))

    def end(self, patience: float = 0.0) -> int:
        """Its exit code; it is killed where it does not end by itself."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def scratch() -> pathlib.Path:
    """A folder with a short path (sockets' may have 107 bytes) that QEMU's options can hold. Those of runs that were killed are removed."""
    for base in dict.fromkeys((tempfile.gettempdir(), "/tmp")):
        for old in pathlib.Path(base).glob("tessera-guest-*"):
            pid = old.name.split("-")[2]
            with contextlib.suppress(OSError):  # another one is as quick as we
                if pid.isdigit() and not os.path.exists(f"/proc/{pid}") and old.stat().st_uid == os.getuid():
                    shutil.rmtree(old, ignore_errors=True)
    base = tempfile.gettempdir()
    good = len(os.fsencode(base)) < 60 and not re.search(r'[,"\\]', base)
    return pathlib.Path(tempfile.mkdtemp(prefix=f"tessera-guest-{os.getpid()}-", dir=base if good else "/tmp"))


# ---- the guest's files ----

def answers(tessera: pathlib.Path, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """What the CPU says, as files."""
    for name, text in ("prompt", PROMPT), ("message", MESSAGE), ("text", TEXT):
        (folder / name).write_text(text)
    out = {name: folder / name for name in ("prompt", "message", "text")}
    for kind in TYPES:
        for pattern, words in ANSWERS.items():
            name = pattern.replace("TYPE", kind)
            filled = {"PROMPT": str(folder / "prompt"), "TEXT": str(folder / "text"), "OUT": str(folder / name)}
            argv = [str(tessera), words[0], "-m", str(SOURCE / f"models/tessera-tiny-{kind}.gguf"), "--device", "cpu",
                    *(filled.get(w, w) for w in words[1:]), *(["--temp", "0"] if words[0] != "eval" else [])]
            try:
                r = subprocess.run(argv, input=MESSAGE.encode() if words[0] == "chat" else b"", capture_output=True, timeout=120)
            except subprocess.TimeoutExpired:
                raise Failure(f"{' '.join(argv)}: no end after 120 s") from None
            if r.returncode:
                raise Failure(f"{' '.join(argv)}: exit code {r.returncode}: {r.stderr.decode(errors='replace')[-300:]}")
            if "OUT" not in words:
                (folder / name).write_bytes(r.stdout)
            out[name] = folder / name
    return out


def first_files(args, kernel: pathlib.Path, busybox: pathlib.Path, programs: dict[str, pathlib.Path], settings: dict[str, str],
                folder: pathlib.Path) -> bytes:
    """The guest's file system."""
    archive = initramfs.Archive()
    for name in "proc", "sys", "dev", "run", "tmp", "root", "bin":
        archive.folder(name)
    archive.file("bin/busybox", busybox, 0o755)
    archive.link("bin/sh", "busybox")
    archive.file("init", HERE / "init", 0o755)
    archive.file("lib.sh", HERE / "lib.sh")
    archive.text("etc/guest", "".join(f"{k}='{v}'\n" for k, v in settings.items()))
    archive.text("lib/firmware/amdnpu/1502_00/npu.sbin", "none\n")  # the driver loads it; the device does not look at it
    for path in sorted((kernel / "modules").iterdir()):
        archive.file(f"modules/{path.name}", path)
    for path in [*(pathlib.Path(job) for job in args.jobs if "/" in job), *sorted((HERE / "jobs").iterdir())]:  # first come, first served
        archive.file(f"jobs/{path.name}", path)
    for name, path in programs.items():
        archive.program(name, path)
    for kind in TYPES:
        archive.file(f"models/tessera-tiny-{kind}.gguf", SOURCE / f"models/tessera-tiny-{kind}.gguf")
    for name, path in answers(programs["bin/tessera"], folder).items():
        archive.file(f"expect/{name}", path)
    for path in sorted((HERE / "answers").glob("*.txt")):
        archive.file(f"expect/answers/{path.name}", path)
    return archive.bytes()


def seconds(job: str) -> int:
    """How long a job may take, as its script says, on a quiet machine several times over."""
    return int(said(job, "seconds") or 600)


def own_kernel(source: pathlib.Path, folder: pathlib.Path) -> str:
    """Lay a kernel that is not of the cache, vmlinuz and modules anywhere below `source`, into folder/kernel; its version."""
    try:
        fetch.lay_kernel([], str(source), folder / "kernel", source)
        return fetch.modinfo((folder / "kernel/modules" / f"{fetch.DRIVER}.ko").read_bytes(), "vermagic")[0].split()[0]
    except (fetch.Skip, ValueError, IndexError, OSError, lzma.LZMAError) as e:
        raise Failure(f"--kernel-dir {source}: {e.args[0] if isinstance(e, fetch.Skip) else e}") from None


# ---- one boot ----

class Guest:
    def __init__(self, args, cache: pathlib.Path, version: str, folder: pathlib.Path):
        self.args, self.folder, self.version = args, folder, version
        self.road = ROADS[args.road]
        self.qemu = cache / "qemu" / fetch.versions(cache, "qemu")[0]
        self.kernel = folder / "kernel" if args.kernel_dir else cache / "kernel" / version
        self.busybox = cache / "busybox" / fetch.versions(cache, "busybox")[0] / "busybox"
        self.lines: queue.Queue = queue.Queue()
        self.limits = {os.path.basename(job): seconds(job) for job in args.jobs if fits(job, version, args.road)}
        self.report = Report(list(self.limits))
        self.programs: list[Program] = []
        self.device_said: list[str] = []

    def settings(self) -> dict[str, str]:
        known = {line.partition(":")[0] for line in fetch.modinfo((self.kernel / "modules/amdxdna.ko").read_bytes(), "parm")}
        params = [*self.road.params, "tdr_timeout_ms=0", *self.args.params]  # an emulated second is no second
        lost = [p for p in [*self.road.params, *self.args.params] if p.partition("=")[0] not in known]
        if lost:
            raise Failure(f"kernel {self.version}: its amdxdna has no parameter {', '.join(lost)}")
        return {"road": self.args.road, "kernel": self.version.partition("+")[0], "jobs": " ".join(self.limits),
                "params": " ".join(p for p in params if p.partition("=")[0] in known), "carveout": self.road.carveout,
                "slow": str(self.args.patience)}

    def without(self, job: str, why: str) -> None:
        """A job that cannot begin has failed."""
        del self.limits[job]
        self.report.jobs.remove(job)
        self.report.results[job] = Result("FAIL", why, 0.0, [], [])
        show(job, self.report.results[job])

    def start(self) -> None:
        sock, qmp, control = (str(self.folder / n) for n in ("npu", "qmp", "control"))
        server = self.args.server or self.args.build / "tests/qemu/npu1-server"
        programs = {f"bin/{p.name}": p for p in (*(self.args.build / p for p in PROGRAMS), *self.args.program)}
        for program in server, *programs.values():
            if not program.is_file():
                raise Failure(f"there is no {program}" + ("" if program in self.args.program else f"; build it: ninja -C {self.args.build}"))
        try:
            if "mutants" in self.limits:
                try:
                    made = mutants.make(self.args.build.resolve(), self.folder / "mutants")
                    programs.update({f"mutants/{name}/tessera": path for name, path in made.items()})
                except mutants.Failure as e:  # the other jobs are none the worse
                    self.without("mutants", str(e))
            data = first_files(self.args, self.kernel, self.busybox, programs, self.settings(), self.folder)
        except ValueError as e:  # a library is not here
            raise Failure(str(e)) from None
        sva = self.args.road == "sva"
        (self.folder / "initrd").write_bytes((initramfs.acpi_archive() if sva else b"") + data)
        words = f"console=ttyS0 panic=-1 quiet mitigations=off nokaslr audit=0 apparmor=0 tsc=reliable no_timer_check {self.road.kernel}"
        self.device = Program("device", [str(server), "--protocol", str(self.args.protocol), "--control", control,
                                         *(["--qmp", qmp] if sva else []), *(["--verbose"] if self.args.verbose else []), sock],
                              self.lines)
        self.programs.append(self.device)
        begin = time.monotonic()
        while not (os.path.exists(sock) and os.path.exists(control)):
            if self.device.process.poll() is not None or time.monotonic() - begin > 20:
                time.sleep(0.1)  # its words
                self.drain()
                raise Failure(f"{server} does not listen: {' '.join(self.device_said[-3:]) or 'it says nothing'}")
            time.sleep(0.02)
        self.guest = Program("guest", [
            str(self.qemu / "ld.so"), "--library-path", str(self.qemu / "lib"), str(self.qemu / "qemu-system-x86_64"),
            "-L", str(self.qemu / "share"), "-nodefaults", "-no-user-config", "-no-reboot", "-nographic",
            "-machine", "q35,memory-backend=m", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2", "-m", MEMORY,
            "-object", f"memory-backend-memfd,id=m,size={MEMORY},share=on", *self.road.qemu,
            *(["-qmp", f"unix:{qmp},server=on,wait=off"] if sva else []),
            "-device", '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"%s"}}' % sock,
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-chardev", f"socket,id=control,path={control}", "-serial", "chardev:control",
            "-kernel", str(self.kernel / "vmlinuz"), "-initrd", str(self.folder / "initrd"), "-append", words], self.lines)
        self.programs.append(self.guest)

    def drain(self) -> None:
        while not self.lines.empty():
            name, line = self.lines.get()
            if name == "device" and line is not None:
                self.device_said.append(line)

    def limit(self, now: float) -> float:
        """How long the next line may be in coming."""
        if self.report.job:
            return self.report.began + self.limits[self.report.job] * self.args.patience + 30 - now
        return 120 * self.args.patience

    def follow(self, show) -> None:
        """Until the guest has switched itself off. show(job, result) at the end of each job."""
        ended: set[str] = set()
        while "guest" not in ended:
            try:
                name, line = self.lines.get(timeout=max(0.1, self.limit(time.monotonic())))
            except queue.Empty:
                raise Failure(f"the guest says nothing any more{' in ' + self.report.job if self.report.job else ''}") from None
            now = time.monotonic()
            if self.args.verbose:
                print(f"{name}: {line}", flush=True) if line is not None else None
            if line is None:
                ended.add(name)
                if name == "device" and not self.report.done and self.guest.process.poll() is None:
                    time.sleep(0.5)  # a guest that has ended ends the device too
                    if self.guest.process.poll() is None:
                        raise Failure(f"the device program has ended with {self.device.end(1)}")
            elif name == "device":
                self.device_said.append(line)
            else:
                result = self.report.feed(line, now)
                if result:
                    show(list(self.report.results)[-1], result)
                if re.search(r"Kernel panic|Oops:|BUG: ", line) and not self.report.job:
                    raise Failure(f"the guest's kernel: {line}")
        code = self.guest.end(5)
        if code or not self.report.done:
            lost = [job for job in self.limits if job not in self.report.results]
            raise Failure(f"QEMU has ended with {code} before the guest was ready" + (f": no end of {', '.join(lost)}" if lost else ""))

    def end(self) -> None:
        for p in reversed(self.programs):
            p.end(3 if p.name == "device" and self.report.done else 0)
        time.sleep(0.05)
        self.drain()


def indented(lines: list[str], most: int) -> str:
    return "".join(f"    {line}\n" for line in lines[-most:])


def show(job: str, r: Result) -> None:
    if r.word == "SKIP":
        print(f"skip: {job}: {r.why}", flush=True)
        return
    print(f"{r.word} {job}: {r.why}, {r.seconds:.1f} s", flush=True)
    if r.word == "FAIL":
        print(indented(r.output, 60) + (("  the kernel:\n" + indented(r.kernel, 40)) if r.kernel else ""), end="", flush=True)


def boot(args, cache: pathlib.Path, version: str) -> int:
    folder = scratch()
    if args.kernel_dir:
        try:
            version = own_kernel(args.kernel_dir, folder)
        except Failure as e:
            shutil.rmtree(folder, ignore_errors=True)
            print(f"guest: {e}", file=sys.stderr)
            return 2
    guest = Guest(args, cache, version, folder)
    begin = time.monotonic()
    failed = None
    try:
        try:
            guest.start()
            guest.follow(show)
        except Failure as e:
            failed = str(e)
        guest.end()
        if failed:
            known = set(guest.report.results)
            guest.report.broken(failed, time.monotonic())
            for job, r in guest.report.results.items():
                if job not in known:
                    show(job, r)
            print(f"guest: {failed}; its last lines:\n{indented(guest.report.last, 20)}  the device:\n{indented(guest.device_said, 10)}",
                  end="", flush=True)
    finally:
        for number in STOPS:  # a second Ctrl-C leaves nothing behind either
            signal.signal(number, signal.SIG_IGN)
        guest.end()
        if args.keep:  # under another name: those of runs that are gone are removed
            print(f"guest: kept: {folder.rename(folder.with_name(folder.name.replace('guest', 'kept', 1)))}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    words = [r.word for r in guest.report.results.values()]
    others = [job for job in args.jobs if os.path.basename(job) not in (*guest.limits, *guest.report.results)]
    print(f"guest: kernel {version}, {args.road}, protocol 5.{args.protocol}{''.join(' ' + p for p in args.params)}: "
          f"{words.count('PASS')} passed, {words.count('FAIL')} failed in {time.monotonic() - begin:.0f} s; "
          f"up after {guest.report.up} s, driver after {guest.report.loaded} s"
          + (f"; not for this kernel or road: {', '.join(others)}" if others else ""))
    return 1 if failed or "FAIL" in words else 0


def groups(jobs: list[str], n: int) -> list[list[str]]:
    """The jobs for n boots that end at about the same time, as their scripts say how long they take; in each the order stays."""
    out: list[list[str]] = [[] for _ in range(min(n, len(jobs)))]
    load = [0] * len(out)
    for job in sorted(jobs, key=lambda j: -int(said(j, "takes") or 10)):
        i = load.index(min(load))
        out[i].append(job)
        load[i] += int(said(job, "takes") or 10)
    return [sorted(group, key=jobs.index) for group in out]


def boots(args) -> int:
    """Some guests at the same time, each a guest.py of its own with a part of the jobs; their lines as they come."""
    options = ["--road", args.road, "--protocol", str(args.protocol), "--build", str(args.build), "--patience", str(args.patience),
               *(f"--{k}={v}" for k, v in (("kernel", args.kernel), ("kernel-dir", args.kernel_dir), ("server", args.server)) if v),
               *(f"--program={p}" for p in args.program), *([f"--params={' '.join(args.params)}"] if args.params else []),
               *(["--keep"] if args.keep else []), *(["--verbose"] if args.verbose else [])]
    lines: queue.Queue = queue.Queue()
    running: list[Program] = []
    try:
        for i, jobs in enumerate(groups(args.jobs, args.boots)):
            running.append(Program(str(i), [sys.executable, str(HERE / "guest.py"), *options, *jobs], lines))
        left = len(running)
        while left:
            line = lines.get()[1]
            left -= line is None
            if line is not None:
                print(line, flush=True)
        codes = [p.end(10) for p in running]
    finally:
        for number in STOPS:  # or they would not come to put away what is theirs
            signal.signal(number, signal.SIG_IGN)
        for p in running:
            p.process.terminate()
        for p in running:
            p.end(5)
    return next((c for c in codes if c not in (0, 77)), max(codes))


def main() -> int:
    parser = argparse.ArgumentParser(prog="guest.py", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Run jobs in a guest with the real amdxdna driver.",
                                     epilog="jobs: " + " ".join(JOBS) + "\nExit code: 0 all passed, 1 something failed, 2 wrong usage, "
                                     "77 the guest cannot be had, 130 interrupted.")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="a name, or the path of a script of your own, with a slash (default: all names)")
    parser.add_argument("--program", type=pathlib.Path, action="append", default=[], metavar="FILE",
                        help="put this program of your own into the guest's /bin, with its libraries; repeatable")
    parser.add_argument("--kernel", metavar="V", help="a version in the cache or its beginning, as 6.18 (default: the newest)")
    parser.add_argument("--kernel-dir", type=pathlib.Path, metavar="DIR",
                        help="a kernel of your own instead: DIR/vmlinuz, and its modules anywhere below DIR, .ko or .ko.xz")
    parser.add_argument("--road", choices=ROADS, default="sva", help="; ".join(f"{k}: {r.what}" for k, r in ROADS.items()) + " (default: sva)")
    parser.add_argument("--protocol", type=int, choices=(7, 8), default=8, help="minor version of the firmware's messages (default: 8)")
    parser.add_argument("--params", type=str.split, default=[], metavar="WORDS", help="parameters of the module, as force_cmdlist=0")
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build", metavar="DIR", help="the build whose programs run (default: build)")
    parser.add_argument("--server", type=pathlib.Path, metavar="PROGRAM", help="another device program")
    parser.add_argument("--patience", type=float, default=1.0, metavar="X", help="factor for all limits of time (default: 1)")
    parser.add_argument("--boots", type=int, choices=range(1, 9), default=1, metavar="N", help="share the jobs among N guests at the same time")
    parser.add_argument("--long", action="store_true", help=f"the jobs that take minutes, too: {', '.join(LONG_JOBS)}")
    parser.add_argument("--keep", action="store_true", help="keep initramfs and answers, and say where")
    parser.add_argument("--verbose", action="store_true", help="print all that guest and device say")
    args = parser.parse_args()
    if not 0 < args.patience < 1000:
        parser.error(f"--patience {args.patience}: it is more than 0 and less than 1000")
    args.jobs = args.jobs or JOBS + (LONG_JOBS if args.long else [])
    for job in args.jobs:
        if "/" in job and not re.fullmatch(r"[\w.+-]+", os.path.basename(job)):
            parser.error(f"{job}: the name of a script has letters, digits and . _ + - only")
        if job not in JOBS + LONG_JOBS and not ("/" in job and os.path.isfile(job)):
            parser.error(f"there is no {'script' if '/' in job else 'job'} {job}; there are {', '.join(JOBS + LONG_JOBS)}")

    def stop(_number, _frame):
        raise KeyboardInterrupt

    for number in STOPS:
        signal.signal(number, stop)
    try:
        cache = fetch.cache_folder()
        version = fetch.needed_kernel(cache, args.kernel, bool(args.kernel_dir))
        return boots(args) if args.boots > 1 else boot(args, cache, version)
    except fetch.Skip as e:
        print(f"skip: {e.args[0]}; cure: {e.args[1]}")
        return 77
    except KeyboardInterrupt:
        print("guest: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of "| head" nobody wants the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as e:  # a full disk, or a standard output that takes no more
        print(f"guest: {e.filename or 'a file'}: {e.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


if __name__ == "__main__":
    sys.exit(main())
