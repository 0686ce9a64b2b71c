#!/usr/bin/env python3
"""Every statement that DRIVER.md and CONFIG.md make about what an NPU or its driver refuses has a failing example: the places
are taken from the two notes (where the shared data are there), the table is rules_tested.txt, and each proof it names must
exist. Every rule of the strict node and of the static checker must be named by the table or the documentation's own tables.

Usage: rules_tested.py SOURCE_ROOT"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from testdata import NO_SHARED, SHARED


def rows(text: str) -> list[list[str]]:
    """The body rows of the first table in text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def tables(text: str) -> list[str]:
    return re.findall(r"(?:^\|.*\n)+", text, re.M)


def section(text: str, number: int) -> str:
    return re.split(r"^## ", text, flags=re.M)[[int(n) for n in re.findall(r"^## (\d+)\.", text, re.M)].index(number) + 1]


def places(shared: pathlib.Path) -> list[str]:
    driver = (shared / "xdna/DRIVER.md").read_text()
    config = (shared / "xdna/CONFIG.md").read_text()
    found = [f"DRIVER 2.{row[0]}" for row in rows(tables(section(driver, 2))[1])]
    found += [f"DRIVER 3.{n}" for n in re.findall(r"^(\d+)\. ", section(driver, 3), re.M)]
    fields, packets = tables(section(driver, 4))[:2]
    found += [f"DRIVER 4.{n}" for n in range(1, len(rows(fields)) + 1)]
    found += [f"DRIVER 4.p{n}" for n in range(1, len(rows(packets)) + 1)]
    for s in (5, 6):
        found += [f"DRIVER {s}.{n}" for n in range(1, len(rows(section(driver, s))) + 1)]
    clauses = re.sub(r"\([^)]*\)", "", section(config, 9).split("unless:", 1)[1]).split(";")
    found += [f"CONFIG 9.{n}" for n in range(1, len(clauses) + 1)]
    return found


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    tests = root / "tests/npu"
    bad = []
    rules = {kind: set(re.findall(r"RULE\((\w+),\s*\"", re.sub(r"\\\n\s*", "", (root / header).read_text())))
             for kind, header in (("fake", "src/xdna/fake.h"), ("check", "src/xdna/check.h"))}
    used = {"fake": set(), "check": set()}
    seen: dict[str, int] = {}
    for n, line in enumerate((tests / "rules_tested.txt").read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = [p.strip() for p in line.split(" | ")]
        if len(parts) != 3:
            bad.append(f"line {n}: three parts are wanted")
            continue
        if parts[0] in seen:
            bad.append(f"line {n}: {parts[0]} stands in line {seen[parts[0]]} already")
        seen[parts[0]] = n
        for proof in parts[2].split():
            kind, _, name = proof.partition(":")
            if kind in rules:
                if name not in rules[kind]:
                    bad.append(f"line {n}: there is no rule {proof}")
                source = "test_fake.c" if kind == "fake" else "test_check.c"
                prefix = "TS_FAKE_RULE_" if kind == "fake" else "TS_RULE_"
                if not re.search(rf"\b{prefix}{name}\b", (tests / source).read_text()):
                    bad.append(f"line {n}: {source} has no case of {proof}")
                used[kind].add(name)
                continue
            file = tests / f"{kind}.c"
            if not file.exists() or not re.search(rf"\bcmocka_unit_test\({name}\)", file.read_text()):
                bad.append(f"line {n}: there is no test {proof}")
    own = {"FD", "SHIM_START", "RING", "FORMAT", "AHEAD"}  # ours, beyond the notes
    for kind in rules:
        for name in sorted(rules[kind] - used[kind] - own):
            bad.append(f"the rule {kind}:{name} is not in the table")
    if not SHARED:
        print(f"skip: that the table has every place of the notes: {NO_SHARED}")
    else:
        wanted = places(pathlib.Path(SHARED))
        for p in wanted:
            if p not in seen:
                bad.append(f"{p} has no line")
        for p in seen:
            if p not in wanted and not p.startswith("OURS "):
                bad.append(f"line {seen[p]}: the notes have no {p}")
        print(f"{len(set(wanted))} places")
    for line in bad:
        print(f"rules_tested: {line}")
    print(f"{len(seen)} lines, {len(used['fake'])} rules of the node, {len(used['check'])} of the checker")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
