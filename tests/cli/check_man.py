#!/usr/bin/env python3
"""The manual page against the program: every command and option that --help shows is in the page, every option that the
page's own text speaks of exists, every help fits a terminal of 80 columns, and groff (where there is one) has nothing to complain about.

Usage: check_man.py TESSERA PAGE SOURCE_OF_PAGE. Exit code 1 and one line for every fault."""
import re
import shutil
import subprocess
import sys

OPTION = re.compile(r"^ {2}(?:-(\w), | {4})--([\w-]+)((?:, --?[\w-]+)*)( \S+)?(?:  |$)", re.M)
WIDTH = 80  # of a terminal


def output(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True, text=True).stdout


def commands(program: str, *path: str) -> list[list[str]]:
    """All commands, as words: ["run"], ["npu", "asm"], ... A command that lists commands is taken apart."""
    text = output(program, *path, "--help")
    if "\nCommands:\n  " not in text or "COMMAND" not in text.split("\n")[0]:
        return [list(path)]
    names = re.findall(r"^ {2}([a-z]+) {2,}\S", text.split("\nCommands:\n")[1].split("\n\n")[0], re.M)
    return [c for name in names for c in commands(program, *path, name)]


def main() -> int:
    program, page_path, source_path = sys.argv[1:]
    page = open(page_path).read().replace("\\-", "-")
    source = open(source_path).read().replace("\\-", "-")
    bad: list[str] = []
    sections = {title.split(" [options]")[0]: body
                for title, body in re.findall(r'^\.SS "tessera (.*?)"\n(.*?)(?=^\.S[SH] |\Z)', page, re.M | re.S)}
    every_option = {"help", "version"}
    found = commands(program)
    if len(found) < 6:
        bad.append(f"only {len(found)} commands were found: {found}")
    for path in sorted({tuple(c[:n]) for c in found for n in range(len(c) + 1)}):
        for line in output(program, *path, "--help").splitlines():
            if len(line) > WIDTH:
                bad.append(f"{' '.join(path)} --help has a line of {len(line)} characters: {line}")
    for command in found:
        name, text = " ".join(command), output(program, *command, "--help")
        if name not in sections:
            bad.append(f"the page has no section for {name}")
            continue
        options = OPTION.findall(text)
        if not text.startswith(f"Usage: tessera {name} ") or ("h", "help", "", "") not in options:
            bad.append(f"{name} --help has no usage line, or no --help")
        for letter, long, also, arg in options:
            every_option |= {long, *re.findall(r"--([\w-]+)", also)}
            names = ([f"-{letter}"] if letter else []) + [f"--{long}"] + also.split(", ")[1:]
            entry = ", ".join(f"\\fB{n}\\fR" for n in names) + (f" \\fI{arg[1:]}\\fR" if arg else "")
            if long != "help" and f"\n.TP\n{entry}\n" not in sections[name]:
                bad.append(f"{name}: the page lacks --{long}")
        if len(options) - 1 != sections[name].count("\n.TP\n"):
            bad.append(f"{name}: {len(options) - 1} options in --help, {sections[name].count(chr(10) + '.TP' + chr(10))} in the page")
    for title in sections:
        if title.split() not in found:
            bad.append(f"the page has a section for {title}, which is no command")
    for long in re.findall(r"--([a-z][\w-]*)", source):
        if long not in every_option:
            bad.append(f"the page speaks of --{long}, which no command has")
    if shutil.which("groff"):
        said = output("groff", "-ww", "-z", "-man", page_path)
        if said:
            bad.append(f"groff: {said.strip()}")
    else:
        print("skip: groff, which would check the page's markup, is not installed; cure: apt-get install groff-base")
    print("\n".join(bad) or f"{len(found)} commands, {len(every_option)} options")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
