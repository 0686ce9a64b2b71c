#!/usr/bin/env python3
"""Every function that a header of src/ declares has a user: a line of the program, a test or a tool that names it, beside its
declaration and its definition, which begin in column 0. (What tessera.h declares has users elsewhere.)

Usage: used.py SOURCE_ROOT. Prints the functions that have none; exit code 1 if there are any."""
import collections
import pathlib
import re
import sys

NAME = re.compile(r"\b[a-z_][a-z0-9_]*\b")
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    declared: dict[str, str] = {}
    used: collections.Counter = collections.Counter()
    for folder in ("include", "src", "tests", "tools", "examples"):
        for path in sorted((root / folder).rglob("*.[chs]")):
            text = COMMENT.sub(lambda m: "\n" * m[0].count("\n"), path.read_text(errors="replace"))
            for number, line in enumerate(text.splitlines(), 1):
                own = re.match(r"[A-Za-z_].*?\b([a-z_][a-z0-9_]*)\((?!\*)", line)
                if own and path.suffix == ".h" and folder == "src" and not line.startswith(("static", "typedef", "INL")):
                    declared.setdefault(own[1], f"{path.relative_to(root)}:{number}")
                names = NAME.findall(line)
                if own and own[1] in names:
                    names.remove(own[1])
                used.update(names)
    unused = [f"{where}: {name}: nobody calls it" for name, where in declared.items() if not used[name]]
    for line in sorted(unused):
        print(line)
    return 1 if unused else 0


if __name__ == "__main__":
    sys.exit(main())
