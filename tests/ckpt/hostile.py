"""Files and folders of weights that are hostile or merely odd: the verdicts of the shared test data, in one line, soon, with
little memory, without a trace in the folder they were read from; what is accepted is read as Python reads it.

Usage: hostile.py SAFETENSORS_READ IMPORT_DUMP"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from testdata import NO_SHARED, SHARED

SECONDS, MIB = 20, 400  # with sanitizers
WORDS = {  # what a refusal has to say, beside the name of the file
    "len-huge.safetensors": "a header of", "len-over-limit.safetensors": "at most 100000000", "len-zero.safetensors": "does not begin with {",
    "not-json.safetensors": "line 1", "not-object.safetensors": "does not begin with {", "duplicate-name.safetensors": "is there twice",
    "duplicate-name-escaped.safetensors": "is there twice", "overlap.safetensors": "overlap", "same-range.safetensors": "overlap",
    "trailing-bytes.safetensors": "behind the last array", "truncated.safetensors": "fetch it again", "shape-overflow.safetensors": "2^64",
    "shape-overflow-zero.safetensors": "whole number", "float-shape.safetensors": "whole number", "exponent-offset.safetensors": "whole number",
    "unknown-dtype.safetensors": "unknown dtype", "nul-in-name.safetensors": "NUL", "deep.safetensors": "expected an object",
    "html.safetensors": "a web page", "index-traversal": "not the name of a file in this folder",
    "index-absolute": "not the name of a file in this folder", "index-wrong-shard": "says", "index-missing-tensor": "is in none of the files",
    "index-not-string": "not the name of a file in this folder",
}
faults: list[str] = []


def run(words, folder: pathlib.Path):
    before = {p: p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen([str(w) for w in words], stdout=out, stderr=err, cwd=folder)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, said = out.read().decode(), err.read().decode(errors="replace")
    if {p: p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))} != before:
        faults.append(f"{words[1]}: has changed the folder it was read from")
    if time.monotonic() - begin > SECONDS:
        faults.append(f"{words[1]}: took {time.monotonic() - begin:.0f} seconds")
    if usage.ru_maxrss > MIB << 10:
        faults.append(f"{words[1]}: took {usage.ru_maxrss >> 10} MiB")
    return child.returncode, text, said


def as_python_reads(path: pathlib.Path):
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    lines = []
    for name, a in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            b, e = a["data_offsets"]
            lines.append(f"{a['dtype']} {'x'.join(map(str, a['shape'])) or 'scalar'} {8 + n + b} {e - b} {name}")
    return lines


def main() -> int:
    if not SHARED:
        print("skip:", NO_SHARED)
        return 77
    source = pathlib.Path(SHARED) / "import/fixtures/hostile"
    read, dump = map(os.path.abspath, sys.argv[1:3])
    expect = {n: v for n, v in json.loads((source / "expect.json").read_text()).items() if n.endswith(".safetensors") or n.startswith("index-")}
    if len(expect) < 29:
        faults.append(f"only {len(expect)} cases")
    with tempfile.TemporaryDirectory() as tmp:
        for name, case in expect.items():
            folder = pathlib.Path(tmp) / name.replace(".", "-")
            if (source / name).is_dir():
                folder.mkdir()
                for file in (source / name).iterdir():
                    shutil.copyfile(file, folder / file.name)
                code, out, err = run([dump, folder, "-", "-"], folder)
                said = str(folder)
            else:
                folder.mkdir()
                shutil.copyfile(source / name, folder / name)
                code, out, err = run([read, folder / name], folder)
                said = name
            verdict = {0: "accept", 1: "refuse"}.get(code, f"exit code {code}")
            if verdict not in case["verdict"].split("-or-"):
                faults.append(f"{name}: {verdict}, not {case['verdict']} ({case['why']}): {err.strip()}")
            elif code and (err.count("\n") != 1 or not err.strip().isprintable() or said not in err or WORDS[name] not in err):
                faults.append(f"{name}: refused for another reason, or not in one good line: {err!r}")
            elif not code and (err or out.splitlines() != as_python_reads(folder / name)):
                faults.append(f"{name}: read as {out!r} {err!r}")
    for fault in faults:
        print(fault)
    print(f"{len(expect)} cases, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
