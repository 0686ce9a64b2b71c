#!/usr/bin/env python3
"""Write the files of the page as one C file: arrays of bytes, and the table that src/server/page.c looks in.

Usage: embed.py OUTPUT.c FILE...; run by meson. index.html is "/", every other file "/page/NAME". A file's tag is a hash
of its content, so a browser asks again and is told in a few bytes that nothing has changed."""
import hashlib
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def array(name: str, data: bytes) -> str:
    rows = (",".join(map(str, data[i:i + 32])) for i in range(0, len(data), 32))
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "};\n"


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    arrays, rows = [], []
    for n, path in enumerate(map(pathlib.Path, sorted(sys.argv[2:]))):
        data = path.read_bytes()
        tag = hashlib.sha256(data).hexdigest()[:16]
        where = "/" if path.name == "index.html" else f"/page/{path.name}"
        arrays.append(array(f"file_{n}", data))
        rows.append(f'    {{"{where}", "{TYPES[path.suffix]}", file_{n}, sizeof file_{n}, "\\"{tag}\\""}},\n')
    pathlib.Path(sys.argv[1]).write_text(
        "/* Written by src/server/page/embed.py. */\n#include \"server/page.h\"\n\n" + "".join(arrays) +
        "\nextern const srv_page_file srv_page_table[];\nconst srv_page_file srv_page_table[] = {\n" + "".join(rows) +
        "    {0},\n};\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
