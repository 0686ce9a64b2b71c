#!/usr/bin/env python3
"""Make tessera(1): the page's own text with every command's options as the program tells them.

Usage: make_man.py TESSERA VERSION tessera.1.in OUT. Run by the build."""
import pathlib
import subprocess
import sys


def main() -> int:
    program, version, source, out = sys.argv[1:]
    commands = subprocess.run([program, "--help-roff"], stdout=subprocess.PIPE, check=True, text=True).stdout
    page = pathlib.Path(source).read_text()
    pathlib.Path(out).write_text(page.replace("@VERSION@", version).replace("@COMMANDS@\n", commands))
    return 0


if __name__ == "__main__":
    sys.exit(main())
