#!/usr/bin/env python3
"""Record what the real driver answers to the questions of differ.c: one boot of a guest, one file answers/linux-VERSION-ROAD.txt.

For a new kernel: fetch.py --kernel V, record.py --kernel V, and `git diff` shows what it says otherwise than before."""
import argparse
import pathlib
import shutil
import sys

import fetch
import guest

ANSWERS = guest.HERE / "answers"
JOB = "differ-record"


def record(args, cache: pathlib.Path, version: str) -> int:
    folder = guest.scratch()
    g = guest.Guest(args, cache, version, folder)
    failed = ""
    try:
        g.start()
        g.follow(lambda *_: None)
    except guest.Failure as e:
        failed = str(e)
    finally:
        g.end()
        shutil.rmtree(folder, ignore_errors=True)
    result = g.report.results.get(JOB)
    if failed or not result or result.word != "PASS":
        why = failed or (result.why if result else "the job never began")
        print(f"record: {why}; the guest's last lines:\n{guest.indented(g.report.last, 20)}", end="", file=sys.stderr)
        return 1
    lines = [line.removeprefix("answer ") for line in result.output if line.startswith("answer ")]
    names = [line.partition(": ")[0] for line in lines]
    if len(set(names)) != len(names) or not all(": " in line for line in lines):
        print("record: the answers are not one line a question", file=sys.stderr)
        return 1
    kernel = version.partition("+")[0]
    path = ANSWERS / f"linux-{kernel}-{args.road}.txt"
    driver = next((line.partition(": ")[2] for line in lines if line.startswith("driver/its number")), "?")
    ANSWERS.mkdir(exist_ok=True)
    path.write_text(f"# What amdxdna {driver} of Linux {version} answers to differ, road {args.road} ({g.road.what}),\n"
                    f"# above npu1-server with protocol 5.{args.protocol}. Written by tests/qemu/record.py, not by hand.\n"
                    + "".join(line + "\n" for line in lines))
    print(f"{path.relative_to(guest.SOURCE)}: {len(lines)} answers in {result.seconds:.0f} s")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="record.py", description="Record the real driver's answers to the questions of differ.",
                                     epilog="Exit code: 0 recorded, 1 failed, 2 wrong usage, 77 the guest cannot be had, "
                                     "130 interrupted.")
    parser.add_argument("--kernel", metavar="V", help="a version in the cache or its beginning, as 6.18 (default: the newest)")
    parser.add_argument("--road", choices=guest.ROADS, default="sva", help="how the device reaches memory (default: sva)")
    parser.add_argument("--build", type=pathlib.Path, default=guest.SOURCE / "build", metavar="DIR", help="the build whose programs run")
    parser.add_argument("--patience", type=float, default=1.0, metavar="X", help="factor for all limits of time (default: 1)")
    parser.add_argument("--verbose", action="store_true", help="print all that guest and device say")
    args = parser.parse_args()
    args.jobs, args.server, args.protocol, args.params, args.program, args.keep = [JOB], None, 8, [], [], False
    args.kernel_dir = None
    try:
        cache = fetch.cache_folder()
        return record(args, cache, fetch.needed_kernel(cache, args.kernel))
    except fetch.Skip as e:
        print(f"skip: {e.args[0]}; cure: {e.args[1]}")
        return 77
    except KeyboardInterrupt:
        print("record: interrupted", file=sys.stderr)
        return 130
    except OSError as e:
        print(f"record: {e.filename or 'a file'}: {e.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
