#!/usr/bin/env python3
"""The rules of the static checker (check.h) stand in docs/npu/config.md and those of the fake node (fake.h) in
docs/npu/driver.md, with the same words; the figures of timing.def stand in docs/npu/simulator.md. Usage: rules_in_docs.py SOURCE_ROOT"""
import pathlib
import re
import sys


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    bad = 0
    for header, page in (("src/xdna/check.h", "docs/npu/config.md"), ("src/xdna/fake.h", "docs/npu/driver.md")):
        code = re.sub(r"\\\n\s*", "", (root / header).read_text())
        rules = re.findall(r'RULE\((\w+),\s*"([^"]+)"\)', code)
        table = (root / page).read_text().split("| rule | what must hold |", 1)[-1].split("\n\n", 1)[0]
        rows = re.findall(r"^\| ([A-Z_0-9]+) \| (.+) \|$", table, re.M)
        for wanted in sorted(set(rules) - set(rows)):
            print(f"{page}: lacks the rule {wanted[0]}: {wanted[1]}")
            bad += 1
        for extra in sorted(set(rows) - set(rules)):
            print(f"{page}: has a rule that {header} does not: {extra[0]}: {extra[1]}")
            bad += 1
        if len(rules) < 20:
            print(f"{header}: only {len(rules)} rules found")
            bad += 1
    code = (root / "src/sim/timing.def").read_text()
    rows = re.findall(r'^TIMING\((\w+), (\d+), (\d+), (\d+), "([^"]+)", "([^"]+)", "([^"]+)"\)$', code, re.M)
    page = (root / "docs/npu/simulator.md").read_text()
    for name, nominal, low, high, unit, source, text in rows:
        if f"| {name} | {nominal} | {low}-{high} | {unit} | {source} | {text} |\n" not in page:
            print(f"docs/npu/simulator.md: lacks the figure {name} as timing.def has it")
            bad += 1
    if len(rows) != code.count("TIMING(") - 1:  # one in the comment
        print("src/sim/timing.def: a line is not in the form that the documentation takes")
        bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
