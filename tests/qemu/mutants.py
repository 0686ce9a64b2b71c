#!/usr/bin/env python3
"""Programs with one fault each on the driver's side, to prove that the jobs of the guest notice it.

A fault is an edit of one source file. The file is compiled with the build's own command and linked in front of the build's libraries,
so that the program differs from the real one in nothing else.

Usage: mutants.py BUILD OUT        writes OUT/NAME/tessera for each; exit code 1 and one line where one cannot be made."""
import json
import os
import pathlib
import shlex
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = "src/cli/tessera"
# name -> file, and pairs of what stands there exactly once and what takes its place; the job JOBS[name] must fail
MUTANTS = {
    "packet": ("src/xdna/cmd.c", [  # the halves of the stream's address are swapped
        ("    w[4] = (uint32_t)cmd->stream.addr;\n", "    w[5] = (uint32_t)cmd->stream.addr;\n"),
        ("    w[5] = (uint32_t)(cmd->stream.addr >> 32);\n", "    w[4] = (uint32_t)(cmd->stream.addr >> 32);\n")]),
    "munmap": ("src/xdna/bo.c", [  # buffers stay mapped
        ("    if (bo->ptr && bo->kind != TS_NPU_DEVICE) io->munmap(io->ud, bo->ptr, bo->bytes);\n", "    (void)io;\n")]),
    "clock": ("src/npu/gemv_dev.c", [  # the clock is the one from before there was a context
        ("    if (s == TS_OK) ts_npu_dev_stop_by(d->dev, o->stop);\n", "    if (s == TS_OK) ts_npu_clock_look(&d->clock, d->dev);\n"),
        ("    if (!d->meter && d->looked++ % LOOK_EVERY == 0) ts_npu_clock_look(&d->clock, d->dev);\n", "")]),
}
JOBS = {"packet": "clients", "munmap": "models", "clock": "clock"}


class Failure(Exception):
    """A mutant cannot be made."""


def edited(name: str) -> str:
    """The source of a mutant."""
    file, edits = MUTANTS[name]
    text = (SOURCE / file).read_text()
    for old, new in edits:
        if text.count(old) != 1:
            raise Failure(f"mutant {name}: {old.strip()!r} stands in {file} {text.count(old)} times, not once: mutants.py must follow it")
        text = text.replace(old, new)
    return text


def run(argv: list[str], folder: pathlib.Path) -> str:
    try:
        r = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as e:
        raise Failure(f"{argv[0]} in {folder}: {e.strerror}") from None
    if r.returncode:
        raise Failure(f"{' '.join(argv[:2])} ... ends with {r.returncode}: {r.stdout[-400:].strip()}")
    return r.stdout


def compile_command(build: pathlib.Path, file: str) -> tuple[pathlib.Path, list[str]]:
    """Folder and words of the build's command for a source file."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if (pathlib.Path(entry["directory"]) / entry["file"]).resolve() == SOURCE / file:
            return pathlib.Path(entry["directory"]), shlex.split(entry["command"])
    raise Failure(f"{build} has no command to compile {file}")


def with_output(words: list[str], out: str) -> list[str]:
    """The words with another file behind -o; what tells ninja of headers is left out."""
    words = list(words)
    for option in "-MF", "-MQ":
        if option in words:
            del words[words.index(option):words.index(option) + 2]
    words = [w for w in words if w != "-MD"]
    words[words.index("-o") + 1] = out
    return words


def make(build: pathlib.Path, out: pathlib.Path) -> dict[str, pathlib.Path]:
    """All of them: name -> program."""
    try:
        link = shlex.split(run(["ninja", "-C", str(build), "-t", "commands", PROGRAM], build).strip().splitlines()[-1])
        made = {}
        for name, (file, _) in MUTANTS.items():
            folder = (out / name).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            source = folder / os.path.basename(file)
            source.write_text(edited(name))
            where, words = compile_command(build, file)
            words = [str(source) if not w.startswith("-") and (where / w).resolve() == SOURCE / file else w for w in words]
            run(with_output(words, str(folder / "mutant.o")), where)
            words = with_output(link, str(folder / "tessera"))
            words.insert(words.index("-o"), str(folder / "mutant.o"))  # first: the library's own is then not wanted
            run(words, build)
            made[name] = folder / "tessera"
        return made
    except (OSError, ValueError, LookupError) as e:
        raise Failure(f"mutants: {e}") from None


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        print(__doc__[__doc__.index("Usage"):], file=sys.stderr)
        return 2
    try:
        for name, path in make(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])).items():
            print(f"{name}: {path}")
        return 0
    except Failure as e:
        print(e, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
