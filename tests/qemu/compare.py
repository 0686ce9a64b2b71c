#!/usr/bin/env python3
"""The fake node answers as the recorded kernels do (answers/), but for what strictness.txt lists with its reasons: every difference
must be listed, and every line of the list must be a difference.

Usage: compare.py DIFFER [--show]      --show prints differences in the form of the list. Exit code: 0 as it should be, 1 not,
2 for a wrong argument"""
import fnmatch
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# Profile of the fake node -> kernel and road whose newest recorded answers it has.
PROFILES = {"7.3": ("7.3", "sva"), "7.3-iova": ("7.3", "iova"), "6.18": ("6.18", "sva")}


def numbers(version: str) -> list[int]:
    return [int(n) for n in version.split(".")]


def golden(kernel: str, road: str) -> pathlib.Path:
    found = [p for p in (HERE / "answers").glob(f"linux-{kernel}*-{road}.txt")
             if re.fullmatch(rf"linux-{re.escape(kernel)}(\.\d+)?-{road}", p.stem)]
    if not found:
        sys.exit(f"compare: there are no answers of Linux {kernel}, {road}")
    return max(found, key=lambda p: numbers(p.stem.split("-")[1]))


def read(text: str, where: str) -> dict[str, str]:
    """Question -> answer, in their order."""
    out: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, colon, answer = line.partition(": ")
        if not colon or name in out:
            sys.exit(f"compare: {where}: {line!r} is no answer, or the second one")
        out[name] = answer
    return out


def read_list(path: pathlib.Path) -> list[tuple[int, list[str], list[str]]]:
    """(number of the line, profiles, [question, fake, kernel, reason]); patterns as in file names, "[" is not special."""
    out = []
    for n, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = [p.strip() for p in line.split(" | ")]
        if len(parts) != 5 or not all(parts) or len(parts[4]) < 20 or not set(parts[0].split()) <= set(PROFILES):
            sys.exit(f"compare: {path.name}, line {n}: wanted are profiles | question | the fake node | the kernel | a reason")
        out.append((n, parts[0].split(), parts[1:]))
    return out


def like(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-") or sys.argv[2:] not in ([], ["--show"]):
        print(__doc__[__doc__.index("Usage"):], file=sys.stderr)
        return 2
    differ, show = sys.argv[1], len(sys.argv) > 2
    if not os.access(differ, os.X_OK):
        print(f"compare: there is no program {differ}; build it: ninja -C build tests/qemu/differ", file=sys.stderr)
        return 1
    entries = read_list(HERE / "strictness.txt")
    used: set[tuple[int, str]] = set()
    bad = []
    for profile, of in PROFILES.items():
        path = golden(*of)
        kernel = read(path.read_text(), path.name)
        r = subprocess.run([differ, "fake", profile], capture_output=True, text=True, timeout=120)
        if r.returncode:
            bad.append(f"{profile}: differ ends with {r.returncode}: {r.stderr[-200:]}")
        fake = read(r.stdout, f"the fake node, {profile}")
        if list(fake) != list(kernel):
            lost = [*(n for n in kernel if n not in fake), *(n for n in fake if n not in kernel)] or ["their order"]
            bad.append(f"{profile}: other questions than in {path.name} ({', '.join(lost[:3])}): record it again (tests/qemu/record.py)")
        differences = [n for n in kernel if n in fake and fake[n] != kernel[n]]
        for name in differences:
            hit = [(n, profile) for n, profiles, (q, a, b, _) in entries
                   if profile in profiles and like(name, q) and like(fake[name], a) and like(kernel[name], b)]
            used.update(hit)
            if show:
                print(f"{profile} | {name} | {fake[name]} | {kernel[name]}")
            elif not hit:
                bad.append(f"{profile}: {name}: the fake node says \"{fake[name]}\", {path.name} \"{kernel[name]}\"")
            elif len(hit) > 1:
                bad.append(f"{profile}: {name}: lines {' and '.join(str(n) for n, _ in hit)} of the list say the same")
        print(f"{profile}: {len(kernel)} answers, {len(kernel) - len(differences)} are those of {path.name}, {len(differences)} are stricter on purpose")
    for n, profiles, (q, *_) in entries:
        for profile in profiles:
            if (n, profile) not in used and not show:
                bad.append(f"strictness.txt, line {n}: {q} is no difference in {profile}")
    for line in bad:
        print(f"compare: {line}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
