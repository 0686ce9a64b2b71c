#!/usr/bin/env python3
"""Standard inputs that no case file can give: a pipe in which nothing is written, a socket, a closed descriptor, a terminal.

Usage: check_stdin.py TESSERA TINY. Exit code 1 and one line for every fault."""
import json
import os
import pty
import socket
import subprocess
import sys
import tempfile
import time

BASE = ["--raw", "--json", "-n", "1"]
bad: list[str] = []


def start(program: str, *args: str, stdin) -> subprocess.Popen:
    return subprocess.Popen([program, "run", *args, *BASE], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, "TESSERA_MODEL": ""})


def finish(p: subprocess.Popen, what: str, tokens: int | None, timeout: float = 60) -> str:
    """Its standard error. tokens: of the prompt, BOS included; None: it has no prompt and must say so."""
    try:
        out, err = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        bad.append(f"{what}: it waits")
        return ""
    if tokens is None:
        if p.returncode != 2 or b"what prompt?" not in err:
            bad.append(f"{what}: exit code {p.returncode}: {err!r}")
    elif p.returncode or json.loads(out)["prompt_tokens"] != tokens:
        bad.append(f"{what}: exit code {p.returncode}, {out!r}, {err!r}")
    return err.decode()


def main() -> int:
    program, tiny = map(os.path.abspath, sys.argv[1:3])
    # a pipe in which nothing comes for some time: it says so, then takes what comes
    for args, tokens in ((["-m", tiny], 3), (["-m", tiny, "-p", "abc"], 8)):
        r, w = os.pipe()
        p = start(program, *args, stdin=r)
        os.close(r)
        line = p.stderr.readline().decode()
        if "reading standard input to its end" not in line:
            bad.append(f"a pipe in which nothing comes: {line!r}")
        if p.poll() is not None:
            bad.append("a pipe in which nothing comes: it did not wait")
        os.write(w, b"hi\n")
        os.close(w)
        finish(p, "a pipe in which something comes late", tokens)
    # pieces that come one by one
    r, w = os.pipe()
    p = start(program, "-m", tiny, stdin=r)
    os.close(r)
    for _ in range(3):
        os.write(w, b"x")
        time.sleep(0.1)
    os.close(w)
    if "reading" in finish(p, "pieces", 4):
        bad.append("pieces: it complains of waiting")
    # a socket that nobody writes to, as programs that start others leave it, does not stop an answer to -p
    a, b = socket.socketpair()
    finish(start(program, "-m", tiny, "-p", "abc", stdin=a.fileno()), "an idle socket", 4, 20)
    b.sendall(b"hi\n")
    b.shutdown(socket.SHUT_WR)
    finish(start(program, "-m", tiny, stdin=a.fileno()), "a socket", 3)
    a.close(), b.close()
    # a regular file, a closed descriptor, /dev/null
    with tempfile.TemporaryFile() as f:
        f.write(b"hi\n")
        f.seek(0)
        finish(start(program, "-m", tiny, "-p", "abc", stdin=f), "a file", 8)
    with open("/dev/null", "rb") as null:
        finish(start(program, "-m", tiny, "-p", "abc", stdin=null), "/dev/null", 4)
        finish(start(program, "-m", tiny, stdin=null), "/dev/null alone", None)
    closed = [program, "run", "-m", tiny, *BASE]
    for more, tokens in ((["-p", "abc"], 4), ([], None)):
        finish(subprocess.Popen(["sh", "-c", 'exec "$@" <&-', "sh", *closed, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, "TESSERA_MODEL": ""}), "a closed descriptor", tokens)
    # a terminal is not read
    parent, child = pty.openpty()
    finish(start(program, "-m", tiny, stdin=child), "a terminal", None, 20)
    finish(start(program, "-m", tiny, "-p", "abc", stdin=child), "a terminal with -p", 4, 20)
    os.close(parent), os.close(child)
    print("\n".join(bad) or "all passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
