#!/usr/bin/env python3
"""Black-box tests of the tessera program, driven by case files.

Usage: run_cases.py TESSERA CASES.toml [--only TEXT] [-v]
Exit code: 0 all passed, 1 some failed, 77 all skipped for want of the shared test data.

A case file is TOML: [[case]] tables with

  name         what is shown                                             (required)
  args         the arguments behind the program's name                   (required, list of strings)
  code         expected exit code                                        (default 0)
  stdin        text given on standard input                              (default: empty; [hex digits, ...] for bytes)
  stdout_to    a file that standard output goes to                       (for example "/dev/full")
  stdout_head  read that many bytes of standard output, then close it    (as "| head -c N" does)
  env          environment variables to set; false: to remove             (table of strings; there is no default model)
  files        files to make first, in the folder the program runs in    (table: name = text, or [hex digits, ...])
  cuts         files that begin like others                              (table: name = ["the other file", bytes])
  stdout       exact standard output                                     (string)
  stderr       exact standard error                                      (string)
  stdout_has   texts that must be in standard output, in this order      (string or list)
  stderr_has   texts that must be in standard error, in this order       (string or list)
  stdout_lacks texts that must not be in standard output                 (string or list)
  json         standard output is JSON; each entry is a path and a value (table: "memory/kv_bytes" = 5, "a/0/b" = "x")
  stderr_lines lines of standard error; -1: any number                   (default: 1 where the exit code is not 0)
  needs_shared the case reads $TESSERA_SHARED and is skipped without it  (default false)
  timeout      seconds                                                   (default 60)

In args, stdin, env, files and every expectation {shared} is the shared test data, {tiny} a small model with random weights,
{tmp} the folder the program runs in (fresh for each case, and its home) and {source} the source tree. Checked for every
case: no death by a signal, no sanitizer report, no control characters in what is printed, and where the exit code is not 0
one line on standard error (none where the reader of standard output has gone)."""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from testdata import NO_SHARED, SHARED, SOURCE

FIELDS = {"name", "args", "code", "stdin", "env", "files", "cuts", "stdout", "stderr", "stdout_has", "stderr_has",
          "stdout_lacks", "stdout_to", "stdout_head", "stderr_lines", "json", "needs_shared", "timeout"}
TINY = os.environ.get("TESSERA_TINY", "")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def as_list(value) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def lookup(tree, path: str):
    for part in path.split("/"):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def missing_in_order(text: str, wanted: list[str]) -> str | None:
    at = 0
    for w in wanted:
        found = text.find(w, at)
        if found < 0:
            return w
        at = found + len(w)
    return None


def content_bytes(content, fill) -> bytes:
    return fill(content).encode() if isinstance(content, str) else bytes.fromhex("".join(content))


def execute(argv: list[str], cwd: str, env: dict[str, str], stdin: bytes, case: dict) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error; subprocess.TimeoutExpired."""
    limit = case.get("timeout", 60)
    if "stdout_to" in case:
        with open(case["stdout_to"], "wb") as out:
            r = subprocess.run(argv, cwd=cwd, env=env, input=stdin, stdout=out, stderr=subprocess.PIPE, timeout=limit)
        return r.returncode, b"", r.stderr
    if "stdout_head" not in case:
        r = subprocess.run(argv, cwd=cwd, env=env, input=stdin, capture_output=True, timeout=limit)
        return r.returncode, r.stdout, r.stderr
    with open(os.path.join(cwd, "stdin"), "wb") as f:
        f.write(stdin)
    with open(os.path.join(cwd, "stdin"), "rb") as f, \
            subprocess.Popen(argv, cwd=cwd, env=env, stdin=f, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        try:
            out = p.stdout.read(case["stdout_head"])
            p.stdout.close()
            p.stdout = None
            _, err = p.communicate(timeout=limit)
            return p.returncode, out, err
        finally:
            p.kill()


def run_case(program: str, case: dict) -> list[str]:
    """The complaints about one case; none when it passed."""
    with tempfile.TemporaryDirectory(prefix="tessera-cli-") as tmp:
        def fill(text: str) -> str:
            for name, value in {"{shared}": SHARED, "{tiny}": TINY, "{tmp}": tmp, "{source}": str(SOURCE)}.items():
                text = text.replace(name, value)
            return text

        for name, content in case.get("files", {}).items():
            (pathlib.Path(tmp) / name).write_bytes(content_bytes(content, fill))
        for name, (source, size) in case.get("cuts", {}).items():
            (pathlib.Path(tmp) / name).write_bytes(pathlib.Path(fill(source)).read_bytes()[:size])
        env = {**os.environ, "HOME": tmp, "XDG_STATE_HOME": "", "TESSERA_MODEL": "", "TESSERA_PROGRESS": "0"}
        for k, v in case.get("env", {}).items():
            if v is False:
                env.pop(k, None)
            else:
                env[k] = fill(v)
        argv = [program, *map(fill, case["args"])]
        try:
            returncode, raw_out, raw_err = execute(argv, tmp, env, content_bytes(case.get("stdin", ""), fill), case)
        except subprocess.TimeoutExpired:
            return [f"ran longer than {case.get('timeout', 60)} s"]
        bad: list[str] = []
        code = case.get("code", 0)
        if returncode < 0:
            bad.append(f"died by signal {-returncode}")
        elif returncode != code:
            bad.append(f"exit code {returncode}, not {code}")
        out, err = raw_out.decode(errors="replace"), raw_err.decode(errors="replace")
        for name, raw, text in (("standard output", raw_out, out), ("standard error", raw_err, err)):
            if CONTROL.search(text):
                bad.append(f"control characters on {name}")
            try:
                raw.decode()
            except UnicodeDecodeError:
                bad.append(f"{name} is not UTF-8")
        if "Sanitizer" in err or "runtime error:" in err:
            bad.append("a sanitizer's report")
        listing = case["args"][:1] == ["npu"]  # a compiler's messages have as many lines as there are errors
        lines = case.get("stderr_lines", -1 if not code or "stderr" in case or listing else "stdout_head" not in case)
        if returncode and lines and "stderr" not in case and not err.strip():
            bad.append("failed without a word on standard error")
        elif lines >= 0 and (err.count("\n") != lines or not err.endswith("\n" if lines else "")):
            bad.append(f"standard error has {err.count(chr(10))} lines, not {int(lines)}")
        for name, text in (("stdout", out), ("stderr", err)):
            if name in case and text != fill(case[name]):
                bad.append(f"{name} is not as expected:\n--- expected\n{fill(case[name])}--- end")
            missing = missing_in_order(text, [fill(w) for w in as_list(case.get(name + "_has", []))])
            if missing is not None:
                bad.append(f"{name} lacks (at that point) {missing!r}")
        bad += [f"stdout has {w!r}" for w in map(fill, as_list(case.get("stdout_lacks", []))) if w in out]
        if "json" in case:
            try:
                tree = json.loads(out)
                for path, want in case["json"].items():
                    want = fill(want) if isinstance(want, str) else want
                    try:
                        got = lookup(tree, path)
                        if got != want or type(got) is not type(want):
                            bad.append(f"{path} is {got!r}, not {want!r}")
                    except (KeyError, IndexError, TypeError, ValueError):
                        bad.append(f"the JSON has no {path}")
            except ValueError as e:
                bad.append(f"stdout is not JSON: {e}")
        if bad:
            bad.append(f"command: {' '.join(argv)}\n--- stdout\n{out[-3000:]}--- stderr\n{err[-3000:]}--- end")
        return bad


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("cases")
    parser.add_argument("--only", default="")
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    with open(args.cases, "rb") as f:
        tables = tomllib.load(f)
    if set(tables) != {"case"}:
        sys.exit(f"{args.cases}: only [[case]] tables are allowed")
    if "{tiny}" in str(tables) and not TINY:
        sys.exit("TESSERA_TINY is not set: run the tests by meson, or make the file by tools/random_model tiny q4_0 FILE")
    count = {"passed": 0, "failed": 0, "skipped": 0}
    seen: set[str] = set()
    for case in tables["case"]:
        name = case.get("name", "?")
        unknown, missing = set(case) - FIELDS, {"name", "args"} - set(case)
        if unknown or missing or name in seen:
            sys.exit(f"{args.cases}: case \"{name}\": " + (f"unknown {sorted(unknown)} " if unknown else "") +
                     (f"missing {sorted(missing)} " if missing else "") + ("name used twice" if name in seen else ""))
        seen.add(name)
        if args.only not in name:
            continue
        if case.get("needs_shared") and not SHARED:
            count["skipped"] += 1
            continue
        bad = run_case(os.path.abspath(args.program), case)
        count["failed" if bad else "passed"] += 1
        if bad:
            print(f"FAILED: {name}")
            print("\n".join("  " + b for b in bad))
        elif args.v:
            print(f"passed: {name}")
    print(", ".join(f"{n} {what}" for what, n in count.items()))
    if count["skipped"]:
        print(f"skip: {count['skipped']} cases: {NO_SHARED}")
    if count["failed"]:
        return 1
    return 77 if count["skipped"] and not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
