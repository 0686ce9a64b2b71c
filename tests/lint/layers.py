#!/usr/bin/env python3
"""The layer rule of docs/architecture.md, checked on the #include lines: a folder of src/ includes only itself and the
folders below it. Also: the headers of GGUF are included by few, vector instructions are for src/kern, where TESSERA_CPU
chooses, file names are unique in src/, a header guard names its folder and file, no line of C is wider than 120
columns, and a weight type and a level are named where their rows and their own code are, and nowhere else.

Usage: layers.py SOURCE_ROOT. Prints the lines that break a rule; exit code 1 if there are any."""
import pathlib
import re
import sys

BELOW = {
    "base": [],
    "constrain": ["base"],
    "format": ["base"],
    "text": ["base", "format"],
    "kern": ["base", "format"],
    "ckpt": ["base", "format"],
    "source": ["base", "format", "text", "kern", "ckpt"],
    "aie2": ["base"],
    "xdna": ["base", "aie2"],
    "sim": ["base", "aie2", "xdna"],
    "npu": ["base", "format", "kern", "aie2", "xdna"],
    "power": ["base"],
    "hub": ["base"],
    "model": ["base", "format", "source", "kern"],
    "device": ["base", "format", "source", "kern", "xdna", "sim", "npu", "model"],
    "engine": ["base", "constrain", "format", "source", "text", "kern", "model", "device", "power"],
    "report": ["base", "format", "source", "kern", "power", "engine"],
    "quant": ["base", "format", "text", "source", "kern", "model", "engine"],
    "server": ["base", "format", "source", "text", "engine", "report"],
    "cli": ["base", "constrain", "format", "source", "text", "kern", "aie2", "sim", "xdna", "npu", "power", "model", "device",
            "engine", "report", "quant", "server", "hub"],
}

NO_KERNELS = ["xdna/io_drm.c"]  # cache lines are flushed there
# What GGUF calls things is known where it is read and where it is shown or written; everything else asks a ts_source.
GGUF = {"format/gguf.h", "format/gguf_write.h", "source/gguf_source.h", "source/gguf_names.h", "source/leftover.h"}
KNOWS_GGUF = {"format/", "source/", "text/tok_gguf.c", "text/tok_open.c", "text/tok_put.c", "report/shape_gguf.c", "quant/", "cli/cmd_inspect.c"}
# Commands stand on tessera.h and base; these are about what lies below (ledger: the device's bandwidth) or beside them.
CLI_BELOW = re.compile(r"(cmd_inspect(_\w+)?|cmd_bench|cmd_quantize|cmd_imatrix|cmd_constrain(_\w+)?|cmd_serve|cmd_(pull|list|rm)|store|(cmd_)?npu(_\w+)?|sim_speed|ledger)\.[ch]")

COLUMNS = 120


def too_wide(root: pathlib.Path) -> int:
    bad = 0
    for folder in ("include", "src", "tests", "tools", "examples"):
        for path in sorted((root / folder).rglob("*.[ch]")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if len(line) > COLUMNS:
                    print(f"{path.relative_to(root)}:{number}: {len(line)} columns; {COLUMNS} are the most")
                    bad += 1
    return bad


# Where a weight type or a level may be named; everybody else asks its row (CONTRIBUTING.md).
ROWS = [(re.compile(r"\bTS_(Q\d_[01K]|IQ\d_\w+|MXFP4)\b"),
         ["format/quant.c", "format/quantize.c", "format/search",  # what its blocks mean
          "npu/pack.c", "npu/ladder_work.c", "cli/sim_speed.c",  # those that the NPU's program takes
          "model/attention.c", "model/config.c", "model/kv.c",  # keys of a Q8_0 cache lie as Q8_0 weights do
          "report/shape.c", "quant/recipe.c"]),  # mixes of types
        (re.compile(r"(?i)avx"), ["kern/x86/"]),
        (re.compile(r"(?i)dotprod|i8mm"), ["kern/arm/"])]


def one_row(root: pathlib.Path) -> int:
    bad = 0
    for path in sorted((root / "src").rglob("*.[ch]")):
        rel = str(path.relative_to(root / "src"))
        text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), path.read_text(), flags=re.S)
        for pattern, allowed in ROWS:
            for found in pattern.finditer(text):
                if any(rel.startswith(a) for a in allowed):
                    continue
                line = text.count("\n", 0, found.start()) + 1
                print(f"src/{rel}:{line}: {found.group()} is named here; ask its row of wtype.def or cpu_levels.def")
                bad += 1
    return bad


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    bad = too_wide(root) + one_row(root)
    seen: dict[str, pathlib.Path] = {}
    for path in sorted((root / "src").rglob("*.[ch]")):
        rel = path.relative_to(root / "src")
        layer = rel.parts[0]
        if layer not in BELOW:
            print(f"src/{rel}: the folder is not a layer (tests/lint/layers.py)")
            bad += 1
            continue
        if path.name in seen:
            print(f"src/{rel}: {seen[path.name]} has the same name")
            bad += 1
        seen[path.name] = rel
        text = path.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"<(immintrin|arm_neon)\.h>", line) and layer != "kern" and str(rel) not in NO_KERNELS:
                print(f"src/{rel}:{number}: kernels are in src/kern, where TESSERA_CPU chooses")
                bad += 1
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            if found.group(1) in GGUF and not any(str(rel).startswith(place) for place in KNOWS_GGUF):
                print(f"src/{rel}:{number}: only the source of GGUF files may include {found.group(1)}")
                bad += 1
            first = found.group(1).split("/")[0]
            below = BELOW[layer] if layer != "cli" or CLI_BELOW.fullmatch(path.name) else ["base"]
            if first in ("tessera", layer) or first in below or "/" not in found.group(1):
                continue
            print(f"src/{rel}:{number}: {layer} may not include {found.group(1)}")
            bad += 1
        if path.suffix == ".h" and not path.name.endswith("_tmpl.h"):
            guard = "TS_" + re.sub(r"\W", "_", str(rel)).upper()
            if f"#ifndef {guard}\n#define {guard}\n" not in text:
                print(f"src/{rel}: the include guard should be {guard}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
