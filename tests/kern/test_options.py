#!/usr/bin/env python3
"""check_kern --only and --bench: every kernel of kern.h has a name there, a table has a line of it for every level, and a wrong name is
answered with those that there are.

Usage: test_options.py CHECK_KERN KERN_H"""
import re
import subprocess
import sys


def run(*args: str) -> tuple[int, str, str]:
    r = subprocess.run([sys.argv[1], *args], capture_output=True, text=True)
    return r.returncode, r.stdout, r.stderr


def main() -> int:
    code, out, err = run("--only", "nonsense")
    assert code == 2 and not out and err.count("\n") == 1, (code, out, err)
    said, names = err.strip().split("; known: ")
    assert said == "check_kern: --only nonsense: there is no such check or kernel", err
    known = names.split(", ")
    table = re.search(r"typedef struct ts_kern \{(.*?)\} ts_kern;", open(sys.argv[2]).read(), re.S)[1]
    kernels = re.findall(r"\*(\w+)", re.sub(r"/\*.*?\*/", "", table))
    assert len(kernels) > 15 and not [k for k in kernels if k not in known], (kernels, known)
    levels = run("--levels")[1].splitlines()
    levels = levels[:sum(not x.startswith("skip") for x in levels)]
    # one of each way that a line is made; the limits are the probes' lines
    for only, lines in (("gemm_f f16", 4), ("combine", 1), ("att_merge", 1), ("probe_read", 0)):
        assert only in known, only
        code, out, err = run("--bench", "--only", only)
        assert code == 0 and not err and re.search(r"\n[1-9]\d* comparisons, 0 failed", out), (out, err)
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
        limits, found = [r for r in rows if r[0] in levels], [r for r in rows if r[0] == only]
        assert [r[0] for r in limits] == levels and all("GB/s" in r[1] and "GOP/s" in r[4] for r in limits), out
        assert [r[1] for r in found] == levels * lines and all(float(r[3]) > 0 for r in found), out
    return 0


sys.exit(main())
