#!/usr/bin/env python3
"""The build's check of the instruction table refuses tables with mistakes.

Arguments: the source folder, the compiler. Each case changes one place of a copy of isa.def; isa_check, built on the copy,
must fail and name the culprit. Unchanged, it must pass.
"""
import glob
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

def insn(text, name):
    """The table entry of an instruction, of some lines."""
    return re.search(rf"^TS_ISA_INSN\({name}, .*?(?=^TS_ISA_INSN)", text, re.M | re.S).group(0)


def duplicate_value(text):
    """SUB gets the mask and value of ADD: two instructions for one word."""
    add = re.search(r"0x[0-9a-f]+, 0x[0-9a-f]+", insn(text, "ADD")).group(0)
    line = insn(text, "SUB")
    return text.replace(line, re.sub(r"0x[0-9a-f]+, 0x[0-9a-f]+", add, line, count=1))


def drop_instruction(text):
    """An instruction is missing."""
    return text.replace(insn(text, "SUB"), "")


def overlap_operand(text):
    """An operand field moves onto fixed bits."""
    line = insn(text, "ADD")
    return text.replace(line, re.sub(r"P\((\d+), ", "P(0, ", line))


def drop_format(text):
    """A bundle format is missing."""
    return re.sub(r"^TS_ISA_FORMAT\(.*\n", "", text, count=1, flags=re.M)


CASES = {
    None: None,
    "are both": duplicate_value,
    "606 instructions": drop_instruction,
    "overlaps": overlap_operand,
    "77 formats": drop_format,
}


def main(source, cc):
    with tempfile.TemporaryDirectory() as name:
        tmp = pathlib.Path(name)
        shutil.copytree(f"{source}/src/aie2", tmp / "aie2")
        table = (tmp / "aie2/isa.def").read_text()
        for want, change in CASES.items():
            text = change(table) if change else table
            if change and text == table:
                sys.exit(f"{change.__name__} changed nothing")
            (tmp / "aie2/isa.def").write_text(text)
            files = [str(tmp / "aie2" / f) for f in ("isa_check.c", "isa.c", "bundle.c")]
            files += sorted(glob.glob(f"{source}/src/base/*.c"))
            subprocess.run([*cc, "-std=gnu2x", "-O0", "-w", '-DTESSERA_VERSION=""', f"-I{tmp}", f"-I{source}/src",
                            f"-I{source}/include", *files,
                            "-o", str(tmp / "check"), "-lm", "-lpthread"], check=True)
            run = subprocess.run([str(tmp / "check")], capture_output=True, text=True, check=False)
            if (run.returncode == 0) != (want is None) or (want and want not in run.stderr):
                sys.exit(f"{change.__name__ if change else 'unchanged'}: exit {run.returncode}, {run.stderr[:300]}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
