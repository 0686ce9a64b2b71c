#!/usr/bin/env python3
"""The scenarios of the shared test data (import/hub) and those of more.json, against the fake hub of the shared test data;
three at a time, each with a hub of its own: they mostly wait.

Usage: scenarios.py TESSERA [--tls] [--more] [--only REGEX]. Exit code 0 all passed, 1 some failed, 77 no shared test data."""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from testdata import NO_SHARED, SHARED


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--more", action="store_true", help="more.json in the place of the shared ones")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    if not SHARED:
        print(f"skip: {NO_SHARED}")
        return 77
    hub = pathlib.Path(SHARED, "import/hub")
    more = ["--repos", str(hub / "repos.json"), "--repos", str(HERE / "more_repos.json"), "--plugin", str(HERE / "more_faults.py")] if args.more else []
    scenarios = json.loads((HERE / "more.json" if args.more else hub / "scenarios.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for i in range(3):
            part = pathlib.Path(folder, f"{i}.json")
            part.write_text(json.dumps(scenarios[i::3]))
            runs.append(subprocess.Popen([sys.executable, str(hub / "run.py"), "--client", os.path.abspath(args.program), "--pull-args",
                                          "--stall-timeout 2 --retry-wait 0.05", "--only", args.only, *more, *(["--tls"] if args.tls else []),
                                          str(part)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        counts, ok = [0, 0, 0], True
        for run in runs:
            *lines, last = run.communicate()[0].splitlines() or [""]
            total = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
            print("\n".join(lines if total else [*lines, last, "run.py did not come to its end"]), flush=True)
            counts = [n + int(m) for n, m in zip(counts, total.groups() if total else (0, 0, 0))]
            ok &= bool(total) and run.returncode == 0
    print("{} passed, {} failed, {} skipped".format(*counts))
    return 0 if ok and counts[0] else 1


if __name__ == "__main__":
    sys.exit(main())
