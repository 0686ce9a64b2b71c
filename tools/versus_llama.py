#!/usr/bin/env python3
"""Tessera and llama.cpp in turn on the same files, medians and ratios: the measuring half of versus_llama.sh, whose --help
says what the options mean."""
import argparse
import datetime
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

CPUS = len(os.sched_getaffinity(0))
BUSY = 1.1  # times its processor time is what a loop may take
PARTS = ("prefill", "short", "decode", "batch", "depth", "busy")
LOOP = "import time\nfor _ in range(4):\n begin = time.perf_counter(), time.process_time()\n sum(range(3000000))\n" \
       " print((time.perf_counter() - begin[0]) / (time.process_time() - begin[1]))"
# until it is ended, or whoever started it is gone
BESIDE = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n for _ in range(10000000): pass"


class Failed(Exception):
    pass


class Stopped(Exception):
    pass


def say(text: str) -> None:
    print(f"versus_llama: {text}", file=sys.stderr, flush=True)


def busyness() -> float:
    """What a fixed loop takes of the clock, in units of its processor time, while one runs on every processor: the median
    of a few, of the processor where it is worst."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) for _ in range(CPUS)]
    return max(statistics.median(float(x) for x in loop.communicate()[0].split()) for loop in loops)


def run(command: list[str], **env: str) -> tuple[str, str]:
    """Standard output and standard error of a program, which ends when this one does."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
    try:
        out, err = child.communicate()
    except BaseException:
        child.kill()
        child.wait()
        raise
    if child.returncode:
        last = err.strip().splitlines()[-1:] or ["it said nothing"]
        raise Failed(f"{' '.join(command)}: exit code {child.returncode}: {last[0]}")
    return out, err


class Test:
    """A line of the table: what both programs do. `n` tokens at once or one by one, behind `depth`, in `parallel` sessions."""

    def __init__(self, part: str, model: str, threads: int, decode: bool, n: int, depth=0, parallel=1, kv="f16"):
        self.part, self.model, self.threads, self.decode, self.n = part, model, threads, decode, n
        self.depth, self.parallel, self.kv = depth, parallel, kv

    def name(self) -> str:
        text = f"decode {self.n}" if self.decode else f"prefill {self.n}"
        if self.parallel > 1:
            text += f", {self.parallel} together"
        if self.depth and self.part == "depth":
            text += f" behind {self.depth}, KV {self.kv.upper()}"
        return text + (", a busy process beside it" if self.part == "busy" else "")


def plan(args: argparse.Namespace) -> list[list[Test]]:
    """The tests, those together that one start of a program can run."""
    few, types, last = args.quick, list(args.models), args.threads[-1]
    groups = []
    for model in types:
        for threads in args.threads:
            groups.append([Test("prefill", model, threads, False, 128 if few else 512)] +
                          [Test("short", model, threads, False, n) for n in (8, 32)] +
                          [Test("decode", model, threads, True, 16 if few else 64)])
    for model in types[:3]:
        groups.append([Test("batch", model, last, True, 8 if few else 32, 32, parallel=n) for n in (2, 4, 8)])
    for depth in args.depths:
        for kv in "f16", "q8_0":
            groups.append([Test("depth", types[0], last, False, 64, depth, kv=kv),
                           Test("depth", types[0], last, True, 8 if few else 32, depth, kv=kv)])
    groups.append([Test("busy", types[0], last, True, 16 if few else 32)])
    groups = [[t for t in group if t.part in args.only] for group in groups]
    return [group for group in groups if group]


class Tessera:
    name = "Tessera"

    def __init__(self, path: str, level: str):
        self.path, self.env = path, {"TESSERA_CPU": level} if level else {}
        self.level, self.about = level, ""

    def run(self, group: list[Test], file: str, reps: int) -> list[dict]:
        one = group[0]
        n = {d: ",".join(str(t.n) for t in group if t.decode == d and one.part != "batch") or "0" for d in (False, True)}
        command = [self.path, "bench", "-m", file, "-t", str(one.threads), "-r", str(reps), "-d", str(one.depth), "--kv", one.kv,
                   "-p", n[False], "-n", n[True] if one.part != "batch" else str(one.n), "--json",
                   "--parallel", ",".join(str(t.parallel) for t in group if t.decode) or "1"]
        lines = json.loads(run(command, **self.env)[0])
        self.about = f"level {lines[0]['cpu_level']}"
        if self.level and lines[0]["cpu_level"] != self.level:
            raise Failed(f"{self.path} runs as {lines[0]['cpu_level']}, not as {self.level}")
        found = {(x["test"] == "decode", x["n"], max(1, x["parallel"])): x for x in lines}
        return [self.result(found, t) for t in group]

    def result(self, found: dict, t: Test) -> dict:
        x = found.get((t.decode, t.n, t.parallel))
        if not x:
            raise Failed(f"{self.path} bench --json has no line of {t.name()}")
        read = max(x["limit_read_gbps"], x["limit_read4_gbps"])
        limits = {k: x["limit_" + k] for k in ("read_gbps", "read4_gbps", "int8_gops", "narrow_gops")}
        return {"rate": x["tok_per_s"], "memory": x["read_gbps"] / read if t.decode else None,
                "arithmetic": x["int8_gops"] / x["limit_gops"], **limits}


class Llama:
    def __init__(self, name: str, folder: str, level: str):
        self.name, self.folder, self.level, self.about = name, folder, level, ""

    def run(self, group: list[Test], file: str, reps: int) -> list[dict]:
        return self.batched(group, file, reps) if group[0].part == "batch" else self.single(group, file, reps)

    def call(self, command: list[str]) -> list[dict]:
        out, err = run(command)
        variant = re.search(r"loaded CPU backend from \S*libggml-cpu-(\w+)\.so", err)
        if variant:
            self.about = f"ggml's variant {variant[1]}"
            if self.level == "avx2" and variant[1] != "haswell":
                raise Failed(f"{command[0]} took ggml's variant {variant[1]}, not haswell")
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def single(self, group: list[Test], file: str, reps: int) -> list[dict]:
        one = group[0]
        n = {d: ",".join(str(t.n) for t in group if t.decode == d) or "0" for d in (False, True)}
        command = [f"{self.folder}/llama-bench", "-m", file, "-t", str(one.threads), "-r", str(reps), "-d", str(one.depth),
                   "-p", n[False], "-n", n[True], "-o", "jsonl"]
        if one.kv != "f16":  # a quantised V takes flash attention
            command += ["-ctk", one.kv, "-ctv", one.kv, "-fa", "on"]
        found = {}
        for x in self.call(command):
            found[x["n_prompt"], x["n_gen"]] = statistics.median(x["samples_ts"])
            self.build = f"{x.get('build_number')} ({x.get('build_commit')})"
        return [self.result(found, (0, t.n) if t.decode else (t.n, 0), t) for t in group]

    def batched(self, group: list[Test], file: str, reps: int) -> list[dict]:
        most = max(t.parallel for t in group)
        one = group[0]
        command = [f"{self.folder}/llama-batched-bench", "-m", file, "-t", str(one.threads), "-c",
                   str((most * (one.depth + one.n) + 255) // 256 * 256), "-npp", str(one.depth), "-ntg", str(one.n),
                   "-npl", ",".join(str(t.parallel) for t in group), "--output-format", "jsonl"]
        rates: dict[int, list[float]] = {}
        for _ in range(reps):
            for _ in range(5):  # build 11669 loses its last lines now and then: its log is not flushed at the end
                lines = self.call(command)
                if len(lines) == len(group):
                    break
            for x in lines:
                rates.setdefault(x["pl"], []).append(x["speed_tg"])
        found = {pl: statistics.median(rate) for pl, rate in rates.items()}
        return [self.result(found, t.parallel, t) for t in group]

    def result(self, found: dict, key, t: Test) -> dict:
        if key not in found:
            raise Failed(f"{self.folder}: no line of {t.name()} in what it printed")
        return {"rate": found[key]}


class Comparison:
    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.programs = [Tessera(args.tessera, args.level), *(Llama(n, d, args.level) for n, d in args.own),
                         *(Llama(n, d, "") for n, d in args.peer)]
        self.groups = plan(args)
        self.results: dict[tuple[Test, str], list[dict]] = {}  # as many of every program
        self.rounds, self.disturbed = 0, 0

    def reps(self, group: list[Test]) -> int:
        return self.args.reps or (1 if group[0].part == "depth" or self.args.quick else 3)

    def one(self, program, group: list[Test]) -> list[dict]:
        beside = None
        try:
            if group[0].part == "busy":
                beside = subprocess.Popen([sys.executable, "-c", BESIDE], stderr=subprocess.DEVNULL)
            return program.run(group, self.args.models[group[0].model], self.reps(group))
        finally:
            if beside:
                beside.kill()
                beside.wait()

    def round(self, number: int, begin: float) -> None:
        """Every group, by one program after the other, who begins takes turns too."""
        shift = number % len(self.programs)
        for i, group in enumerate(self.groups):
            new: dict[tuple[Test, str], dict] = {}
            for program in self.programs[shift:] + self.programs[:shift]:
                left = ""
                done = number * len(self.groups) + i
                if done:
                    seconds = (time.monotonic() - begin) / done * (self.args.rounds * len(self.groups) - done)
                    left = f", about {seconds / 60:.0f} min left"
                t = group[0]
                say(f"round {number + 1} of {self.args.rounds}, {i + 1} of {len(self.groups)}: {t.model}, {t.part}, "
                    f"{t.threads} thread{'s' * (t.threads > 1)}: {program.name}{left}")
                for test, result in zip(group, self.one(program, group)):
                    new[test, program.name] = result
            for key, result in new.items():
                self.results.setdefault(key, []).append(result)
                self.keep(number, *key, result)
        self.rounds += 1

    def keep(self, number: int, test: Test, program: str, result: dict) -> None:
        if self.args.raw:
            with open(self.args.raw, "a") as f:
                f.write(json.dumps({"round": number + 1, "type": test.model, "threads": test.threads, "test": test.name(),
                                    "program": program, **result}) + "\n")

    def quiet(self, patience: int) -> bool:
        """Is the machine quiet, or does it become so within so many seconds?"""
        end = time.monotonic() + patience
        while (loop := busyness()) > BUSY:
            if time.monotonic() >= end:
                self.loop = loop
                return False
            say(f"the machine is busy (a loop takes {loop:.2f} times its processor time); waiting")
            time.sleep(5)
        return True

    def measure(self) -> None:
        begin = time.monotonic()
        for number in range(self.args.rounds):
            if not self.quiet(0 if number == 0 or self.args.force else 300):
                if number == 0 and not self.args.force:
                    say(f"this machine is busy: a loop takes {self.loop:.2f} times its processor time; stop what runs, or --force")
                    sys.exit(3)
                self.disturbed += 1
            self.round(number, begin)

    # ---- the table --------------------------------------------------------------------------------------------------------

    def row(self, test: Test) -> list[str]:
        def of(program: str, key="rate") -> list[float]:
            return [r[key] for r in self.results[test, program] if r.get(key) is not None]

        def share(key: str) -> str:
            values = of("Tessera", key)
            if not values:
                return ""
            value = statistics.median(values)
            return f"{100 * value:.0f} %" if value <= 1 else "in cache"

        peers = [p.name for p in self.programs[1:]]
        rates = {p.name: statistics.median(of(p.name)) for p in self.programs}
        best = max(peers, key=lambda p: rates[p])
        ratios = [a / b for a, b in zip(of("Tessera"), of(best))]
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
        return [test.model.upper(), test.name(), str(test.threads), *(f"{rate:.1f}" for rate in rates.values()),
                f"**{statistics.median(ratios):.2f}**{spread}", share("memory"), share("arithmetic")]

    def limits(self) -> str:
        """Of each number of threads, over all starts of Tessera but those beside a busy process."""
        texts = []
        for threads in self.args.threads:
            of = {k: [r[k] for (t, p), list_of in self.results.items() if p == "Tessera" and t.threads == threads and
                      t.part != "busy" for r in list_of] for k in ("read_gbps", "read4_gbps", "int8_gops", "narrow_gops")}
            if of["read_gbps"]:
                m = {k: f"{statistics.median(v):.{1 if 'read' in k else 0}f}" for k, v in of.items()}
                texts.append(f"{threads} thread{'s' * (threads > 1)}: read {m['read_gbps']} GB/s, in four streams a thread "
                             f"{m['read4_gbps']} GB/s ({min(of['read4_gbps']):.1f} to {max(of['read4_gbps']):.1f}); int8 "
                             f"{m['int8_gops']} GOP/s, weights of up to 6 bits {m['narrow_gops']} GOP/s")
        return "; ".join(texts)

    def table(self) -> str:
        cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
        peers = self.programs[1:]
        heads = ["type", "test", "threads", "Tessera", *(f"llama.cpp, {p.name}" for p in peers),
                 "ratio to the faster" if len(peers) > 1 else "ratio", "of the read limit", "of the arithmetic limit"]
        programs = "; ".join([f"Tessera, {self.programs[0].about}"] + [
            f"llama.cpp {p.name}, build {getattr(p, 'build', 'unknown')}{', ' * bool(p.about)}{p.about}" for p in peers])
        rounds = max(len(of) for of in self.results.values())
        lines = [f"{self.args.shape}, random weights; {cpu[1] if cpu else 'unknown processor'}, {CPUS} processors; "
                 f"{datetime.date.today()}. {programs}. Tokens per second, medians of {rounds} "
                 f"round{'s' * (rounds > 1)} in turn; of the ratio the median of the rounds, and their spread" +
                 (f". **{self.disturbed} of the rounds on a busy machine**" if self.disturbed else "") + ".",
                 "", f"Limits in the same runs: {self.limits()}.", "",
                 "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        order = {part: i for i, part in enumerate(PARTS)}
        tests = sorted((t for group in self.groups for t in group if (t, "Tessera") in self.results), key=lambda t: order[t.part])
        return "\n".join(lines + ["| " + " | ".join(self.row(t)) + " |" for t in tests])


def arguments() -> argparse.Namespace:
    def pair(text: str) -> tuple[str, str]:
        name, path = text.split("=", 1)
        return name, path

    def peer(text: str) -> tuple[str, str]:
        name, folder = pair(text)
        for program in "llama-bench", "llama-batched-bench":
            path = f"{folder}/{program}"
            if not os.path.isfile(path) or not os.access(path, os.X_OK):
                raise argparse.ArgumentTypeError(f"{text}: no {program} there; expected NAME=DIR with llama.cpp's programs")
        return name, folder

    def number(text: str) -> int:
        if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
            raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1")
        return int(text)

    def numbers(text: str) -> list[int]:
        return [number(x) for x in text.split(",")]

    def writable(text: str) -> str:
        place = text if os.path.exists(text) else os.path.dirname(text) or "."
        if not text or os.path.isdir(text) or not os.access(place, os.W_OK) or place != text and not os.path.isdir(place):
            raise argparse.ArgumentTypeError(f"{text}: cannot be written; expected a file, in a folder that is there")
        return text

    def parts(text: str) -> list[str]:
        for x in text.split(","):
            if x not in PARTS:
                raise argparse.ArgumentTypeError(f"{x}: there are {', '.join(PARTS)}")
        return text.split(",")

    p = argparse.ArgumentParser(prog="versus_llama.sh", add_help=False, usage=argparse.SUPPRESS, allow_abbrev=False)
    # own: the peers that versus_llama.sh made, which a level reaches
    for name, kind in (("--own", peer), ("--peer", peer), ("--model", pair)):
        p.add_argument(name, type=kind, action="append", default=[])
    p.add_argument("--raw", type=writable)
    for name in "--tessera", "--level", "--shape":
        p.add_argument(name, default="")
    for name in "--quick", "--force", "--check":
        p.add_argument(name, action="store_true")
    p.add_argument("--only", type=parts, default=list(PARTS))
    for name in "--threads", "--depths":
        p.add_argument(name, type=numbers)
    for name in "--rounds", "--reps":
        p.add_argument(name, type=number)
    args = p.parse_args()
    names = ["Tessera", "native", *(name for name, _ in args.peer)]
    for name in names[2:]:
        if names.count(name) > 1:
            p.error(f"argument --peer: {name}: expected another name for each, and neither Tessera nor native")
    args.models = dict(args.model)
    args.threads = args.threads or sorted({1, CPUS})
    args.depths = args.depths or ([512] if args.quick else [4096, 16384])
    args.rounds = args.rounds or (1 if args.quick else 5)
    return args


def main() -> int:
    args = arguments()
    if args.check:  # only whether the options are right
        return 0

    def stop(*_) -> None:
        for s in signal.SIGINT, signal.SIGTERM:
            signal.signal(s, signal.SIG_IGN)
        raise Stopped

    for s in signal.SIGINT, signal.SIGTERM:
        signal.signal(s, stop)
    comparison, code = Comparison(args), 0
    try:
        comparison.measure()
    except Stopped:
        say(f"stopped after {comparison.rounds} round{'s' * (comparison.rounds != 1)}")
        code = 130
    except (Failed, OSError, ValueError, KeyError) as e:
        say(str(e) if isinstance(e, (Failed, OSError)) else f"a program printed what is not understood: {e!r}")
        code = 1
    if comparison.results:
        print(comparison.table())
    return code


sys.exit(main())
