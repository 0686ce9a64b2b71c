#!/usr/bin/env python3
"""The body of check.sh: builds, test runs, fuzzing and lints, counted. Run it through ./check.sh.

Every step prints one line. A meson test counts as one; so does a build, a fuzz target or a lint. A missing tool is a
failure, not a skip: quickstart.sh --check-tools installs them all."""
import argparse
import glob
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COUNT = {"passed": 0, "failed": 0, "skipped": 0}
FAILED: list[str] = []


def note(kind: str, name: str, text: str = "") -> None:
    COUNT[kind] += 1
    if kind == "failed":
        FAILED.append(name)
    if kind != "passed":
        print(f"  {kind.upper()}: {name} {text}", flush=True)


def run(argv: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(argv, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")


def tail(text: str, lines: int = 40) -> str:
    return "\n".join("      " + line for line in text.splitlines()[-lines:])


def step(name: str, argv: list[str], env: dict[str, str] | None = None) -> bool:
    begin = time.time()
    print(f"{name} ...", flush=True)
    r = run(argv, env)
    if r.returncode == 0:
        note("passed", name)
        print(f"  ok, {time.time() - begin:.0f} s", flush=True)
        return True
    note("failed", name, f"(exit code {r.returncode})")
    print(tail(r.stdout), flush=True)
    return False


def build(folder: str, env: dict[str, str], options: list[str]) -> bool:
    path = ROOT / folder
    if not (path / "build.ninja").exists():
        if not step(f"configure {folder}", ["meson", "setup", folder, "-Dwerror=true", *options], env):
            return False
    return step(f"build {folder}", ["ninja", "-C", folder], env)


def tests(folder: str, env: dict[str, str], extra: list[str]) -> None:
    begin = time.time()
    print(f"test {folder} ...", flush=True)
    r = run(["meson", "test", "-C", folder, "--no-rebuild", *extra], env)
    log = ROOT / folder / "meson-logs" / "testlog.json"
    if not log.exists() or log.stat().st_mtime < begin:
        note("failed", f"test {folder}", "(did not run)")
        print(tail(r.stdout))
        return
    for line in log.read_text().splitlines():
        t = json.loads(line)
        name = f"{folder}: {t['name']}"
        if t["result"] == "OK":
            note("passed", name)
        elif t["result"] == "SKIP":
            # with the test data at hand nothing may be skipped for want of it
            note("failed" if "TESSERA_SHARED" in os.environ else "skipped", name)
        else:
            note("failed", name, t["result"])
            print(tail(t.get("stdout", "") + t.get("stderr", "")))
    print(f"  {time.time() - begin:.0f} s", flush=True)


def fuzz(folder: str, seconds: int) -> None:
    for exe in sorted(glob.glob(str(ROOT / folder / "tests/fuzz/fuzz_*"))):
        if not os.access(exe, os.X_OK) or os.path.isdir(exe):
            continue
        name = os.path.basename(exe)
        work = ROOT / folder / "corpus" / name
        work.mkdir(parents=True, exist_ok=True)
        seeds = [str(p) for p in [ROOT / "tests/fuzz/corpus" / name] if p.is_dir()]
        step(f"{name} for {seconds} s",
             [exe, f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=0",
              f"-artifact_prefix={work}/", str(work), *seeds])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", type=int, default=0)
    args = parser.parse_args()
    gcc, clang = {"CC": "gcc"}, {"CC": "clang"}
    setup = ["--timeout-multiplier", "4"] + (["--setup", "long"] if args.long else [])  # a busy machine is no failure
    if build("build", gcc, []):
        tests("build", gcc, setup)
    if build("build-clang", clang, []):
        tests("build-clang", clang, setup if args.long else [*setup, "--no-suite", "slow"])
    san = ["-Db_sanitize=address,undefined", "-Dbuildtype=debugoptimized", "-Dc_args=-fno-sanitize-recover=all"]
    if build("build-san", gcc, san):
        tests("build-san", gcc, ["--timeout-multiplier", "20"])
    if build("build-fuzz", clang, ["-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                                   "-Dc_args=-fno-sanitize-recover=all"]):
        fuzz("build-fuzz", 600 if args.long else 5)
    scripts = [str(p.relative_to(ROOT)) for p in [ROOT / "check.sh", ROOT / "quickstart.sh", ROOT / ".ci/run"]]
    step("shellcheck", ["shellcheck", *scripts])
    step("codespell", ["codespell", "--ignore-words=tests/lint/codespell-ignore.txt",
                       "--skip=./build*,./.git,*.gguf,./tests/fuzz/corpus,*.jsonl,*.json,*.def,*.f32", "."])
    for name in FAILED:
        print(f"failed: {name}")
    print(f"{COUNT['passed']} passed, {COUNT['failed']} failed, {COUNT['skipped']} skipped")
    return 1 if COUNT["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
