#!/usr/bin/env python3
"""The completion that the program prints for a shell, in that shell: it parses, and completes commands, options, values and files.

Usage: check_completion.py TESSERA bash|zsh|fish. Exit code 1 and one line for every fault; 77 where the shell is not installed."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

from check_man import OPTION, commands, output

FILES = ["a.gguf", "B.GGUF", "my model.gguf", "b.txt", "c.s"]
STORED = "org/tiny:Q8_0"
MODELS = {"a.gguf", "B.GGUF", "my model.gguf", "sub", STORED}
# words typed, the last one being completed, and all that must come
CASES: list[tuple[list[str], set[str]]] = [
    (["ru"], {"run"}),
    (["run", "--ledger-c"], {"--ledger-check"}),
    (["run", "--tem"], {"--temp", "--temperature", "--template-var"}),
    (["run", "--cache"], {"--cache-type-k", "--cache-type-v"}),
    (["run", "--device", ""], {"cpu", "npu", "npu-sim"}),
    (["run", "--device", "n"], {"npu", "npu-sim"}),
    (["run", "-dev", "npu-"], {"npu-sim"}),
    (["chat", "--kv", ""], {"f16", "f32", "q8_0"}),
    (["bench", "--shape", "tin"], {"tiny", "tinyllama"}),
    (["run", "--chat-template", "zep"], {"zephyr"}),
    (["npu", ""], {"asm", "dis", "exec", "replay", "selftest"}),
    (["npu", "asm", "--li"], {"--listing"}),
    (["npu", "selftest", "--device", ""], {"npu", "npu-sim"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["help", "insp"], {"inspect"}),
    (["run", "-m", "a"], {"a.gguf"}),
    (["run", "-m", "org"], {STORED}),
    (["run", "-p", "x", "--model", "my"], {"my model.gguf"}),
    (["npu", "asm", "c"], {"c.s"}),
]


class Shell:
    def __init__(self, program: str, script: str, cwd: str):
        self.program, self.script, self.cwd = program, script, cwd

    def end(self) -> None:
        pass

    def run(self, *argv: str) -> str:
        return subprocess.run(argv, cwd=self.cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                              env={**os.environ, "HOME": self.cwd}).stdout


class Bash(Shell):
    def complete(self, words: list[str]) -> set[str]:
        typed = ["tessera"]
        for w in words:  # as the line editor cuts them
            typed += [p for p in re.split("(=)", w) if p or w == ""]
        if words[-1].endswith("="):
            typed.append("")
        said = self.run("bash", "--norc", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tessera; '
                        'for r in "${COMPREPLY[@]}"; do printf "%s\\n" "$r"; done', "bash", self.script, *typed)
        return set(said.splitlines())

    def more(self, bad: list[str]) -> None:
        for words, want in ((["run", "--device=n"], {"npu", "npu-sim"}), (["run", "--device="], {"cpu", "npu", "npu-sim"}),
                            (["run", "--model=a"], {"a.gguf"}), (["run", "-m", ""], MODELS), (["run", ""], MODELS),
                            (["run", "-f", ""], {*FILES, "sub"}), (["run", "-n", ""], set()), (["run", "--logits"], set())):
            got = self.complete(words)
            if got != want:
                bad.append(f"{words}: {sorted(got)}, not {sorted(want)}")
        for command in commands(self.program):
            names = {"-h", "--help"}
            for letter, long, also, _ in OPTION.findall(output(self.program, *command, "--help")):
                names |= {f"-{letter}"} if letter else set()
                names |= {f"--{long}", *also.split(", ")[1:]}
            got = self.complete([*command, "-"])
            if got != names:
                bad.append(f"{command} -: {sorted(got ^ names)} too many or too few")


class Fish(Shell):
    def complete(self, words: list[str]) -> set[str]:
        quoted = [re.sub(r"([ ])", r"\\\1", w) for w in words]
        said = self.run("fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]', self.script, "tessera " + " ".join(quoted))
        return {line.split("\t")[0].rstrip("/").replace("\\ ", " ") for line in said.splitlines()}


class Zsh(Shell):
    """One zsh in a terminal. Its completion is called by a widget that prints all matches: a compadd of its own notes what
    is added."""

    def __init__(self, program: str, script: str, cwd: str):
        super().__init__(program, script, cwd)
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(cwd)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {"HOME": cwd, "PATH": os.environ["PATH"], "TESSERA_CACHE": os.environ["TESSERA_CACHE"], "TERM": "dumb", "ZDOTDIR": cwd})
        os.write(self.fd, ("PS1=; stty -echo; autoload -Uz compinit; compinit -u -D; source " + script + "; compdef _tessera tessera; "
                           "compadd() { builtin compadd -O got \"$@\" 2>/dev/null; all+=($got); builtin compadd \"$@\"; }; "
                           "_say() { typeset -ga all=() got=(); _main_complete; print -rl -- '<<<' $all '>>>'; "
                           "compstate[list]=; compstate[insert]=; }; "
                           "zle -C say complete-word _say; bindkey -e; bindkey '^I' say; print rea''dy\n").encode())
        self.until("ready")

    def until(self, mark: str, limit: float = 60) -> str:
        text, end = "", time.monotonic() + limit
        while mark not in text and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    break
        return text

    def complete(self, words: list[str]) -> set[str]:
        os.write(self.fd, ("\x15tessera " + " ".join(w.replace(" ", "\\ ") for w in words) + "\t").encode())
        inner = self.until(">>>").split("<<<")[-1].split(">>>")[0]
        return {re.sub(r"[=/]$", "", line.strip().replace("\\ ", " ")) for line in inner.replace("\r", "").splitlines() if line.strip()}

    def end(self) -> None:
        os.close(self.fd)  # hangs up
        os.waitpid(self.pid, 0)


def main() -> int:
    program, shell = os.path.abspath(sys.argv[1]), sys.argv[2]
    if not shutil.which(shell):
        print(f"skip: {shell} is not installed; cure: apt-get install {shell}")
        return 77
    bad: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tessera-completion-") as base:
        script, tmp = os.path.join(base, "completion"), os.path.join(base, "files")
        os.mkdir(tmp)
        pathlib.Path(script).write_text(output(program, "completion", shell))
        for name in FILES:
            pathlib.Path(tmp, name).write_text("")
        os.mkdir(os.path.join(tmp, "sub"))
        os.environ["PATH"] = os.path.dirname(program) + ":" + os.environ["PATH"]
        os.environ["TESSERA_CACHE"] = os.path.join(base, "store")
        snapshot = pathlib.Path(base, "store/models--org--tiny/snapshots", "1" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "tiny-Q8_0.gguf").write_text("")
        said = subprocess.run([shell, "-n", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if said.returncode or said.stdout:
            bad.append(f"{shell} -n: {said.stdout}")
        s = {"bash": Bash, "zsh": Zsh, "fish": Fish}[shell](program, script, tmp)
        top = s.complete([""])
        names = {c[0] for c in commands(program)} | {"help", "version"}
        if top != names:
            bad.append(f"commands: {sorted(top)}, not {sorted(names)}")
        for words, want in CASES:
            got = s.complete(words)
            if got != want:
                bad.append(f"{words}: {sorted(got)}, not {sorted(want)}")
        if isinstance(s, Bash):
            s.more(bad)
        s.end()
    print("\n".join(bad) or f"{shell}: all passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
