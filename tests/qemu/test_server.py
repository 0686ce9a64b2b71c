#!/usr/bin/env python3
"""The program npu1-server: options, sockets, exit codes, what it prints; the client is a few bytes.

Usage: test_server.py PROGRAM LATE_BIND.so        Exit code: 0 passed, 1 failed"""
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

PROGRAM, LATE_BIND = (str(pathlib.Path(arg).resolve(strict=True)) for arg in sys.argv[1:])
PATIENCE = 20  # seconds
USAGE = "usage: npu1-server "


def ran(*args: str) -> tuple[int, str, str]:
    done = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


def joined(path: pathlib.Path) -> socket.socket:
    """A connection, as soon as somebody listens."""
    end = time.monotonic() + PATIENCE
    while True:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(PATIENCE)
        try:
            s.connect(str(path))
            return s
        except OSError:
            s.close()
            assert time.monotonic() < end, f"nobody listens at {path}"
            time.sleep(0.01)


def options() -> None:
    code, out, err = ran("--help")
    assert code == 0 and out.startswith(USAGE) and "--control" in out and not err, (code, out, err)
    assert max(map(len, out.splitlines())) <= 80, out
    for args, says in [
        ([], "one socket"), (["a", "b"], "one socket"), (["--protocol", "6", "a"], '--protocol: "6"'), (["--protocol", "9", "a"], '--protocol: "9"'),
        (["--protocol", "x", "a"], '--protocol: "x"'), (["--protocol", "", "a"], '--protocol: ""'), (["--qmp", "q", "--bdf", "65536", "a"], '--bdf: "65536"'),
        (["--bdf", "-1", "a"], '--bdf: "-1"'), (["--bdf", "8", "a"], "--bdf says nothing without --qmp"), (["--nonsense", "a"], "unrecognized option"),
        (["--qmp"], "requires an argument"),
    ]:
        code, out, err = ran(*args)
        assert code == 2 and not out and says in err and USAGE in err, (args, code, out, err)


def sockets(folder: pathlib.Path) -> None:
    there = folder / "there"
    there.write_text("somebody's")
    for args in ([str(there)], ["--control", str(there), str(folder / "new")], [str(folder / "no" / "folder")], ["x" * 200], [""],
                 ["--qmp", "y" * 200, str(folder / "new")]):
        code, out, err = ran(*args)
        assert code == 1 and not out and err.startswith("npu1-server: ") and err.count("\n") == 1, (args, code, out, err)
    assert there.read_text() == "somebody's"
    assert sorted(os.listdir(folder)) == ["there"]


def session(folder: pathlib.Path) -> None:
    """A client that says hello, an order on the other channel, and the counts at the end."""
    main, control = folder / "main", folder / "control"
    server = subprocess.Popen([PROGRAM, "--control", str(control), "--protocol", "7", str(main)], stderr=subprocess.PIPE, text=True)
    try:
        client = joined(main)
        orders = joined(control)
        body = struct.pack("<HH", 0, 0)
        client.sendall(struct.pack("<HHIII", 1, 1, 16 + len(body), 0, 0) + body)
        number, command, _size, flags, error = struct.unpack("<HHIII", client.recv(16, socket.MSG_WAITALL))
        assert (number, command, flags, error) == (1, 1, 1, 0)
        orders.sendall(b"clock 1028\ncounts\n")
        heard = b""
        while heard.count(b"\n") < 2:
            heard += orders.recv(1000)
        lines = heard.decode().splitlines()
        assert lines[0] == "ok" and lines[1].startswith("ok commands=0 failed=0 contexts=0 created=0 starts=0 suspends=0 reloads=0 messages=0 unmapped=0"), lines
        client.close()
        _, err = server.communicate(timeout=PATIENCE)
    finally:
        server.kill()
        server.wait()
    last = err.splitlines()[-2:]
    assert server.returncode == 0, (server.returncode, err)
    assert last[0].startswith("vfio-user: messages=1 refused=0 ") and last[1].startswith("npu1: commands=0 "), err
    orders.close()
    assert not main.exists() and not control.exists()


def stopped(folder: pathlib.Path, late: bool) -> None:
    """Ctrl-C leaves no socket that would be in the way of the next one; late: nor where it comes between bind and what follows."""
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    env = {**os.environ, **({"LD_PRELOAD": LATE_BIND, "ASAN_OPTIONS": asan} if late else {})}
    main, control = folder / "main", folder / "control"
    for number in signal.SIGINT, signal.SIGTERM:
        server = subprocess.Popen([PROGRAM, "--control", str(control), str(main)], stderr=subprocess.DEVNULL, env=env,
                                  preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        try:
            orders = joined(control)
            client = joined(main) if number == signal.SIGTERM else None
            end = time.monotonic() + PATIENCE
            while main.exists() != (client is None):
                assert time.monotonic() < end, os.listdir(folder)
                time.sleep(0.01)
            server.send_signal(number)
            assert server.wait(PATIENCE) == -number
            assert not os.listdir(folder), os.listdir(folder)
        finally:
            server.kill()
            server.wait()
        orders.close()


with tempfile.TemporaryDirectory() as name:
    options()
    sockets(pathlib.Path(name))
for late in False, True:
    with tempfile.TemporaryDirectory() as name:
        stopped(pathlib.Path(name), late)
with tempfile.TemporaryDirectory() as name:
    session(pathlib.Path(name))
print("npu1-server: options, sockets, a session, Ctrl-C")
