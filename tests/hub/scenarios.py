#!/usr/bin/env python3
"""The scenarios of the shared test data (import/hub) and those of more.json, against the fake hub of the shared test data.

Usage: scenarios.py TESSERA [--tls] [--more] [--only REGEX]. Exit code 0 all passed, 1 some failed, 77 no shared test data."""
import argparse
import os
import pathlib
import subprocess
import sys

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
    return subprocess.run([sys.executable, str(hub / "run.py"), "--client", os.path.abspath(args.program), "--pull-args",
                           "--stall-timeout 2 --retry-wait 0.05", "--only", args.only, *more, *(["--tls"] if args.tls else []),
                           str(HERE / "more.json" if args.more else hub / "scenarios.json")]).returncode


if __name__ == "__main__":
    sys.exit(main())
