#!/usr/bin/env python3
"""Make tessera(1): the page's own text with every command's options as the program tells them (--help-roff).

Usage: make_man.py VERSION tessera.1.in OPTIONS OUT. Run by the build."""
import pathlib
import sys


def main() -> int:
    version, source, options, out = sys.argv[1:]
    page = pathlib.Path(source).read_text()
    pathlib.Path(out).write_text(page.replace("@VERSION@", version).replace("@COMMANDS@\n", pathlib.Path(options).read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
