#!/usr/bin/env python3
"""What `ninja install` puts down is a library that programs can use: installed into a temporary folder, the examples are built
against it by pkg-config alone, as C99 and with warnings as errors, shared and static, and run.

Usage: test_install.py BUILD SOURCE CC..."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BUILD, SOURCE, CC = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
bad: list[str] = []


def check(what: str, ok: bool, more: object = "") -> None:
    if not ok:
        bad.append(what)
        print(f"FAILED: {what} {more}")


def run(*args: object, code: int = 0, **more) -> subprocess.CompletedProcess:
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=240, **more)
    if r.returncode != code:
        print(" ".join(map(str, args)), r.stdout, r.stderr, sep="\n")
    return r


def declared() -> set[str]:
    """Functions of the public header; those that are inline there are in no library."""
    text = re.sub(r"/\*.*?\*/", "", (SOURCE / "include/tessera/tessera.h").read_text(), flags=re.S)
    inline = set(re.findall(r"static inline[^;{(]*?\b(ts_\w+)\(", text))
    text = re.sub(r"\{[^{}]*\}", ";", text)
    types = set(re.findall(r"typedef [^;(]*?\b(ts_\w+)\(", text))
    return set(re.findall(r"\b(ts_\w+)\(", text)) - inline - types


def exported(library: pathlib.Path) -> set[str]:
    return {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).stdout.splitlines() if line.split()[-2] in "TDBRVW"}


def with_prefix(root: pathlib.Path) -> None:
    options = {o["name"]: o["value"] for o in json.loads(run("meson", "introspect", "--buildoptions", BUILD).stdout)}
    prefix = root / options["prefix"].lstrip("/")
    lib = prefix / options["libdir"]
    for path in (prefix / "bin/tessera", lib / "libtessera.so", lib / "libtessera.a", lib / "pkgconfig/tessera.pc",
                 prefix / "include/tessera/tessera.h", prefix / "share/tessera/tessera-tiny-q8_0.gguf"):
        check(f"{path.relative_to(root)} is installed", path.exists())
    shared = lib / "libtessera.so"
    check("the library's exact name is its version's", re.fullmatch(r"libtessera\.so\.\d+\.\d+\.\d+", shared.resolve().name) is not None)
    check("it exports what the header declares and no more", exported(shared) == declared(),
          sorted(exported(shared) ^ declared()))
    version = run(prefix / "bin/tessera", "--version").stdout
    env = {**os.environ, "PKG_CONFIG_PATH": str(lib / "pkgconfig"), "LD_LIBRARY_PATH": str(lib)}

    def pkg(*args: str) -> list[str]:
        return run("pkg-config", f"--define-variable=prefix={prefix}", *args, "tessera", env=env).stdout.split()

    check("pkg-config tells the program's version", f"tessera {pkg('--modversion')[0]}\n" == version, version)
    model = prefix / "share/tessera/tessera-tiny-q8_0.gguf"
    said = "My name is Ada. What is 12 + 30?\nWhat is my name?\n"
    told = {}
    for how in ("shared", "static"):
        libs = pkg("--libs") if how == "shared" else [a if a != "-ltessera" else str(lib / "libtessera.a") for a in pkg("--libs", "--static")]
        for name in ("batch", "chat", "score", "tour"):
            program = root / f"{name}-{how}"
            r = run(*CC, "-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", *pkg("--cflags"), SOURCE / f"examples/{name}.c",
                    *libs, "-lm", "-o", program)
            check(f"{program.name} builds", r.returncode == 0)
            if r.returncode == 0:
                ldd = run("ldd", program, env=env).stdout
                check(f"{program.name} is {how}", (str(lib) in ldd) == (how == "shared"), ldd)
                r = run(program, model, *([root / "tour.session"] if name == "tour" else []), env=env, input=said)
                check(f"{program.name} runs", r.returncode == 0)
                told[name] = told.get(name, r.stdout)
                check(f"{name}: the same with either library", told[name] == r.stdout, (told[name], r.stdout))
    check("chat: what the program answers", told.get("chat") == "12 + 30 = 42.\nYou are Ada.\n", told.get("chat"))
    check("batch: all at once, each as if it were alone", told.get("batch", "").count("\n") == 2 and "12 + 30 = 42.\n" in told["batch"],
          told.get("batch"))
    check("tour: a twin's answer, a mask, a file and back", told.get("tour", "").splitlines()[1:] ==
          ["12 + 30 = 42.", "the model ended it", "42", "all of it is back: 12 + 30 = 42."], told.get("tour"))
    rows = [line.split()[:2] for line in told.get("score", "").splitlines()]
    check("score: two lines, the first as near to itself as can be",
          len(rows) == 2 and rows[0][1] == "1.0000" and 0 < float(rows[0][0]) < 20 and -1 < float(rows[1][1]) < 1, rows)
    r = run(root / "chat-shared", root / "none.gguf", code=1, env=env)
    check("chat: a missing model is one line", r.returncode == 1 and r.stderr.count("\n") == 1 and "none.gguf" in r.stderr, r)


def main() -> int:
    for tool in ("pkg-config", "nm", "ldd"):
        if not shutil.which(tool):
            print(f"skip: no {tool}; cure: install it")
            return 77
    with tempfile.TemporaryDirectory(prefix="tessera-install-") as tmp:
        r = run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", tmp)
        check("installs", r.returncode == 0)
        if r.returncode == 0:
            with_prefix(pathlib.Path(tmp))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
