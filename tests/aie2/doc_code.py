#!/usr/bin/env python3
"""The first kernel of docs/npu/isa.md does what the text says: assembles without a word, and adds bytes.

Arguments: the program, the source folder. The code blocks of section 10 are taken out of the text as they stand.
"""
import pathlib
import re
import subprocess
import sys
import tempfile


def blocks(text):
    """The indented blocks of assembly of section 10, in order."""
    section = text.split("## 10.")[1].split("\n## 11.")[0]
    found = re.findall(r"(?:^(?:    .*)?\n)+", section, re.M)
    return [b for b in found if "done" in b]


def run(program, code, n, folder):
    a = bytes((i * 7 + 3) & 255 for i in range(64 * n + 1024))
    b = bytes((i * i + 11) & 255 for i in range(64 * n + 1024))
    (folder / "a").write_bytes(a)
    (folder / "b").write_bytes(b)
    (folder / "add.s").write_text(code)
    asm = subprocess.run([program, "npu", "asm", "--listing", folder / "add.s"], capture_output=True, text=True, check=False)
    if asm.returncode or asm.stderr:
        sys.exit(f"does not assemble:\n{asm.stderr}")
    done = subprocess.run([program, "npu", "exec", folder / "add.s", "--no-undefined", "--mem", f"0x70000={folder}/a", "--mem",
                           f"0x74000={folder}/b", "--dump", f"0x7a000,{64 * n}"], capture_output=True, text=True, check=False)
    got = bytes(int(x, 16) for line in done.stdout.splitlines() for x in line.split()[1:])
    want = bytes((x + y) & 255 for x, y in zip(a, b))[:64 * n]
    if done.returncode or got != want:
        sys.exit(f"wrong sums, exit {done.returncode}: {done.stderr}\n{got.hex()}\n{want.hex()}")
    return asm.stdout, done.stderr


def main(program, source):
    straight, loop = blocks((pathlib.Path(source) / "docs/npu/isa.md").read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run(program, straight, 1, folder)
        listing, _ = run(program, loop, 4, folder)
        if "2 cycles a pass" not in listing:
            sys.exit("the listing does not state 2 cycles a pass")
        # a nop less, and the assembler names the register
        (folder / "short.s").write_text(straight.replace("nop\n", "\n", 1))
        short = subprocess.run([program, "npu", "asm", folder / "short.s"], capture_output=True, text=True, check=False)
        if short.returncode != 1 or "put 1 more" not in short.stderr:
            sys.exit(f"a nop less is not refused: {short.stderr}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
