#!/usr/bin/env python3
"""What README, guide and the bundled model's grammar tell people to type is what the program takes: every command line that begins
with `tessera` is held against the program's own --help, every chat command against the list of `chat --help`, and every file
of the repository that a page names is there. What docs/library.md shows of C is quoted from the examples, which the test install
compiles and runs. Nothing is run but --help.

Usage: test_docs.py TESSERA SOURCE. Exit code 1 and one line for every fault."""
import pathlib
import re
import shlex
import subprocess
import sys

PAGES = ["README.md", "docs/guide.md", "docs/README.md", "docs/npu/silicon.md", "docs/npu/qemu.md",
         "docs/testing.md", "docs/speed.md", "models/README.md", "CONTRIBUTING.md", "docs/library.md", "docs/architecture.md", "docs/models/pull.md",
         "examples/README.md"]
GUEST = ["tests/qemu/guest.py", "tests/qemu/fetch.py", "tests/qemu/record.py", "tests/qemu/server.c", "check.sh"]  # options of qemu.md
GRAMMAR = ["self.txt", "usage.txt", "concepts.txt"]
OPTION = re.compile(r"^ {2}(?:-\w|    --).*", re.M)  # names with commas between, the value's name, then the words about it
PROGRAM = re.compile(r"^(?:\./)?(?:build/src/cli/)?tessera$")
ENDS = {"|", "||", "&&", ";", "&"}


def output(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout


class Tessera:
    """The commands and options that --help shows."""

    def __init__(self, program: str):
        self.program = program
        self.known: dict[tuple[str, ...], dict[str, bool]] = {}

    def commands(self, *path: str) -> list[str]:
        """The names of the commands below this one; none where it is one itself."""
        text = output(self.program, *path, "--help")
        if "COMMAND" not in text.split("\n")[0]:
            return []
        return re.findall(r"^ {2}([a-z]+) {2,}\S", text.split("\nCommands:\n")[1].split("\n\n")[0], re.M)

    def options(self, *path: str) -> dict[str, bool]:
        """Name, with its dashes: does it take a value?"""
        if path not in self.known:
            self.known[path] = {"--help": False, "-h": False}
            for line in OPTION.findall(output(self.program, *path, "--help")):
                names = re.split(r" {2,}", line.strip())[0].split(", ")
                self.known[path].update({name.split(" ")[0]: " " in names[-1] for name in names})
        return self.known[path]

    def faults(self, words: list[str]) -> list[str]:
        """What is wrong with the words of a command line, the program's name left out."""
        path: list[str] = []
        words = list(words)
        while words and words[0] not in ("--help", "-h", "--version") and (below := self.commands(*path)):
            if words[0] not in below and words[0] != "COMMAND":
                return [f"there is no command \"{' '.join(path + words[:1])}\""]
            if words[0] == "COMMAND":
                return []
            path.append(words.pop(0))
        if not path:
            return [] if words in ([], ["--help"], ["-h"], ["--version"]) else [f"what is {words}?"]
        options, out = self.options(*path), []
        while words:
            word = words.pop(0)
            if word == "--" or not word.startswith("-") or word == "-":
                continue  # a file, a prompt
            name, equals, _ = word.partition("=")
            if name not in options:
                out.append(f"{' '.join(path)} has no option {name}")
            elif options[name] and not equals:
                if not words:
                    out.append(f"{name} needs a value")
                words = words[1:]
        return out


def command_lines(text: str) -> list[str]:
    """Blocks of code and pieces between backticks."""
    out, fenced = [], False
    for line in text.split("\n"):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            out.append(line.strip().removeprefix("$ "))
        else:
            out += re.findall(r"`([^`]+)`", line)
    return out


def tessera_words(line: str) -> list[list[str]]:
    """The words behind each `tessera` of a line; a pipe has several commands, a comment ends it."""
    if "tessera" not in line:
        return []
    try:
        words = shlex.split(line.replace("|", " | ").replace(";", " ; "), comments=True)
    except ValueError:
        return []
    out: list[list[str]] = []
    inside = False
    for i, word in enumerate(words):
        starts = i == 0 or words[i - 1] in ENDS or re.match(r"^[A-Z_]+=", words[i - 1])
        if word in ENDS or word.startswith((">", "2>", "<")):
            inside = False
        elif starts and PROGRAM.match(word):
            out.append([])
            inside = True
        elif inside:
            out[-1].append(word)
    return out


def check_lines(name: str, lines: list[str], tessera: Tessera, chat: set[str]) -> tuple[list[str], int]:
    bad, seen = [], 0
    for line in lines:
        for words in tessera_words(line):
            seen += 1
            bad += [f"{name}: `{line}`: {fault}" for fault in tessera.faults(words)]
        if re.match(r"/[a-z]+( |$)", line):
            seen += 1
            if line.split()[0] not in chat:
                bad.append(f"{name}: `{line}`: chat has no such command")
    return bad, seen


def plain(text: str) -> list[str]:
    """Lines without their indentation."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def quotes(page: str, text: str, source: pathlib.Path) -> list[str]:
    """The page's blocks of C are lines that stand together in one of the examples, those of the shell in their README."""
    there = {"c": [plain(p.read_text(encoding="utf-8")) for p in sorted((source / "examples").glob("*.c"))],
             "sh": [plain((source / "examples/README.md").read_text(encoding="utf-8"))]}
    bad, seen = [], 0
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        want = plain(block)
        seen += 1
        if not any(want == lines[i:i + len(want)] for lines in there.get(kind, []) for i in range(len(lines))):
            bad.append(f"{page}: no example has these lines together: {' / '.join(want)[:150]}")
    names = set(re.findall(r"`(ts_\w+|TS_\w+)", text))
    header = (source / "include/tessera/tessera.h").read_text(encoding="utf-8")
    bad += [f"{page}: tessera.h has no {name}" for name in sorted(names) if not re.search(rf"\b{name}\b", header)]
    return bad + ([f"{page}: only {seen} quotes: does this test still read it?"] if seen < 8 else [])


def self_check(tessera: Tessera, chat: set[str]) -> list[str]:
    """The test can fail: lines that must be refused."""
    wrong = ["tessera nosuch", "tessera run --nosuch", "tessera run -p", "cat x | tessera chat --nosuch y", "/nosuch", "tessera npu nosuch"]
    return [f"this line should have been refused: {line}" for line in wrong if not check_lines("", [line], tessera, chat)[0]]


def main() -> int:
    tessera, source = Tessera(sys.argv[1]), pathlib.Path(sys.argv[2])
    chat = set(re.findall(r"^ {2}(/[a-z]+)", output(sys.argv[1], "chat", "--help"), re.M))
    chat |= set(re.findall(r"also (/[a-z]+)", output(sys.argv[1], "chat", "--help"))) | {"/quit", "/exit", "/clear"}
    bad, counts = self_check(tessera, chat), {}
    for page in PAGES:
        text = (source / page).read_text(encoding="utf-8")
        faults, counts[page] = check_lines(page, command_lines(text), tessera, chat)
        bad += faults
        if page == "docs/library.md":
            bad += quotes(page, text, source)
        for path in set(re.findall(r"[`(]((?:docs|tools|tests|src|include|models)/[\w./-]*\w)[`)#]", text)):
            here = (source / page).parent / path
            if not (source / path).exists() and not here.exists() and not path.endswith((".1", ".so", ".a")):
                bad.append(f"{page}: there is no {path}")
        for path in re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", text):
            if not ((source / page).parent / path).exists():
                bad.append(f"{page}: a link leads to {path}, which is not there")
    options = set(re.findall(r"--[a-z][a-z-]*", "".join((source / path).read_text(encoding="utf-8") for path in GUEST)))
    bad += [f"docs/npu/qemu.md: no program of the guest has an option {word}"
            for word in sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", (source / "docs/npu/qemu.md").read_text(encoding="utf-8"))) - options)]
    for name in GRAMMAR:  # the answers, not the questions: people ask for what there is not
        lines = (source / "tools/demo_model" / name).read_text(encoding="utf-8").split("\n")
        answers = [piece for line in lines if line[:2] in ("a ", "p ", "m ", "s ") for piece in re.findall(r"`([^`]+)`", line)]
        faults, counts[name] = check_lines(f"tools/demo_model/{name}", answers, tessera, chat)
        bad += faults
    for name, at_least in (("README.md", 5), ("docs/guide.md", 40), ("usage.txt", 40)):
        if counts[name] < at_least:
            bad.append(f"{name}: only {counts[name]} commands were found in it: does this test still read it?")
    print(", ".join(f"{name}: {n}" for name, n in counts.items() if n), "commands")
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
