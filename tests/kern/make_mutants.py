#!/usr/bin/env python3
"""Copies of the kernels' sources that are wrong in one place each, chosen at run time by the variable ts_mutant.

Usage: make_mutants.py SOURCE_ROOT OUT_DIR DEPFILE

OUT_DIR/mutants/kern/... are the sources with every mutant of mutants.txt in them; OUT_DIR/mutants.inc lists them for
check_mutants.c. A place that is no longer in its file, or twice, is an error: whoever changes the line moves its mutant
along.

mutants.txt: `@ FILE LEVELS CHECKS` (a file of src/kern; the levels that it is part of; what check_kern --only would take)
and below it, a line each, `what is wrong: text around it [[right ## wrong]] text around it`. An expression becomes
`(ts_mutant == N ? wrong : right)`, a statement (with a semicolon) an if."""
import pathlib
import re
import sys


def fail(message: str) -> None:
    sys.exit(f"make_mutants.py: {message}")


def read(path: pathlib.Path) -> list[dict]:
    found, file, levels, checks = [], "", "", ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@"):
            _, file, levels, checks = line.split()
            continue
        parts = re.fullmatch(r"\s*(.+?): (.*)\[\[(.+?) ## (.+?) ?\]\](.*)", line)
        if not parts:
            fail(f"{path.name}:{number}: no [[right ## wrong]]")
        what, before, right, wrong, after = (p.replace(r"\n", "\n") for p in parts.groups())
        for level in levels.split(","):
            found.append({"file": file, "level": level, "checks": checks, "what": what, "place": (before, right, after),
                          "wrong": wrong, "line": f"{path.name}:{number}"})
    return found


def main() -> None:
    root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    mutants = read(root / "tests/kern/mutants.txt")
    places: dict[tuple, int] = {}  # the same place of a template has one number, whatever the level
    edits: dict[str, list] = {}
    for m in mutants:
        key = (m["file"], m["place"], m["wrong"])
        if key not in places:
            places[key] = len(places) + 1
            before, right, after = m["place"]
            text = (root / "src/kern" / m["file"]).read_text()
            n = text.count(before + right + after)
            if n != 1:
                fail(f"{m['line']}: the place of \"{m['what']}\" is {n} times in src/kern/{m['file']}")
            at = text.index(before + right + after) + len(before)
            edits.setdefault(m["file"], []).append((at, at + len(right), right, m["wrong"], places[key]))
        m["number"] = places[key]
    for file, list_of in edits.items():
        text = (root / "src/kern" / file).read_text()
        whole: dict[tuple, list] = {}
        for at, end, right, wrong, number in list_of:
            whole.setdefault((at, end), []).append((wrong, number))
        spans = sorted(whole)
        for a, b in zip(spans, spans[1:]):
            if a[1] > b[0]:
                fail(f"{file}: two mutants overlap at {text[a[0]:b[1]]!r}")
        for at, end in reversed(spans):
            new = text[at:end]
            for wrong, number in whole[at, end]:
                new = (f"if (ts_mutant == {number}) {{ {wrong} }} else {{ {new} }}" if text[at:end].endswith(";") else
                       f"(ts_mutant == {number} ? {wrong} : {new})")
            text = text[:at] + new + text[end:]
        to = out / "mutants/kern" / file
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text)
    (out / "mutant.h").write_text("extern int ts_mutant;\n")
    pathlib.Path(sys.argv[3]).write_text("mutants.inc: " + " ".join(
        str(root / "src/kern" / file) for file in edits) + "\n")
    (out / "mutants.inc").write_text("".join(
        f'{{{m["number"]}, "{m["level"]}", "{m["checks"]}", "{pathlib.Path(m["file"]).name}", "{m["what"]}"}},\n'
        for m in mutants))


main()
