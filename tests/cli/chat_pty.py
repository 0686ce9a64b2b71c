#!/usr/bin/env python3
"""tessera chat (and run) at a terminal: a pseudo-terminal stands in for the person.

Usage: chat_pty.py TESSERA TINY.gguf [--plain] [--only TEXT] [-v]
--plain: the program was built without libedit, what needs a line editor is left out.

Exit code: 0 all passed, 1 some failed, 77 where there are no pseudo-terminals.

Every step waits for what the program prints, not for time: a loaded machine makes this slow, not wrong. In the tiny model
token 72 is the letter H, 27 is ESC and 256 ends an answer; a large --logit-bias makes it say what the test needs. What a
conversation holds is read from /save, because what stands on the screen is the editor's business."""
import argparse
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

LIMIT = 240.0  # seconds for one step, on a machine that is busy with other things
PROMPT, MORE = b">>> ", b"... "
UP, LEFT, HOME, CTRL_C, CTRL_D = b"\x1b[A", b"\x1b[D", b"\x01", b"\x03", b"\x04"


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, argv: list[str], env: dict[str, str | None], size: tuple[int, int] = (24, 80)):
        self.screen, self.seen = b"", 0
        full = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **env}
        full = {k: v for k, v in full.items() if v is not None}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):  # whatever the caller ignores, as nohup does
                    signal.signal(sig, signal.SIG_DFL)
                os.execve(argv[0], argv, full)
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.code: int | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def resize(self, cols: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, cols, 0, 0))

    def read(self) -> bool:
        """What has come; False at the end."""
        if not select.select([self.fd], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.screen += data
        return bool(data)

    def expect(self, text: bytes) -> bytes:
        """Wait for `text` behind what was expected before; returns what stands in front of it."""
        end = time.monotonic() + LIMIT
        while (at := self.screen.find(text, self.seen)) < 0:
            alive = self.read()
            if self.screen.find(text, self.seen) >= 0:
                continue
            assert alive, f"the program ended; expected {text!r} behind {self.screen[self.seen:]!r}"
            assert time.monotonic() < end, f"waited {LIMIT:.0f} s for {text!r}; have {self.screen[self.seen:]!r}"
        before = self.screen[self.seen:at]
        self.seen = at + len(text)
        return before

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.fd, data):]

    def line(self, text: bytes, then: bytes = PROMPT) -> bytes:
        """Type a line, wait for the next prompt; returns what was printed in between (with the line's echo)."""
        self.send(text + b"\r")
        self.expect(b"\n")
        return self.expect(then)

    def end(self) -> int:
        end = time.monotonic() + LIMIT
        while self.read():
            assert time.monotonic() < end, f"the program does not end: {self.screen[self.seen:]!r}"
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code


class Place:
    """The program, the model, and a fresh folder that is the home."""

    def __init__(self, tessera: str, tiny: str, tmp: str):
        self.tessera, self.tiny, self.tmp = tessera, tiny, pathlib.Path(tmp)
        self.env: dict[str, str | None] = {"HOME": tmp, "XDG_STATE_HOME": None}

    def env_set(self) -> dict[str, str]:
        return {k: v for k, v in self.env.items() if v is not None}

    def chat(self, *args: str, say: str = "72=1000", **env: str | None) -> Terminal:
        return Terminal([self.tessera, "chat", "-m", self.tiny, "--logit-bias", say, *args], {**self.env, **env})

    def talk(self, t: Terminal) -> list[str]:
        """The conversation: contents of all messages."""
        path = self.tmp / "talk.json"
        t.line(f"/save {path}".encode())
        messages = json.loads(path.read_text())["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2), messages
        return [m["content"] for m in messages]

    @property
    def history(self) -> pathlib.Path:
        return self.tmp / ".local/state/tessera/history"


def test_banner(p: Place) -> None:
    with p.chat("-n", "3", "--ctx", "777", "-t", "1") as t:
        banner = t.expect(PROMPT)
        for text in (b"tiny, random weights: llama, 1.44 M parameters, 84", b" KiB; template jinja (201\r\nbytes); context 777",
                     b"device: cpu ", b", 1 thread", b"/help", b"Ctrl-C", b"Ctrl-D"):
            assert text in banner, (text, banner)
        assert b"HHH\r\n" in t.line(b"hello")
        t.send(CTRL_D)
        assert t.end() == 0


def test_bye(p: Place) -> None:
    with p.chat() as t:
        t.expect(PROMPT)
        t.send(b"/bye\r")
        assert t.end() == 0


def test_interrupt_prompt(p: Place) -> None:
    with p.chat("-n", "1") as t:
        t.expect(PROMPT)
        t.send(CTRL_C)
        assert b"Ctrl-D" in t.expect(PROMPT)
        t.send(b"dropped")
        t.expect(b"dropped")
        t.send(CTRL_C)
        assert b"Ctrl-D" not in t.expect(PROMPT)
        t.line(b"kept")
        t.line(b'"""', MORE)
        t.line(b"dropped, too", MORE)
        t.send(CTRL_C)
        t.expect(PROMPT)
        t.line(b"also kept")
        assert p.talk(t) == ["kept", "H", "also kept", "H"]
        t.send(CTRL_D)
        assert t.end() == 0


def test_interrupt_answer(p: Place) -> None:
    with p.chat(TESSERA_CPU="ref") as t:
        t.expect(PROMPT)
        t.send(b"talk\r")
        t.expect(b"HHHH")
        t.send(CTRL_C)
        t.expect(b"(stopped)")
        t.expect(PROMPT)
        user, answer = p.talk(t)
        assert user == "talk" and set(answer) == {"H"} and 4 <= len(answer) < 1900, (user, answer)
        t.line(b"/set predict 2")  # the interruption is over: the next answer comes whole
        assert b"HH\r\n" in t.line(b"more")
        assert p.talk(t) == ["talk", answer, "more", "HH"]
        t.send(CTRL_D)
        assert t.end() == 0


def test_interrupt_reading(p: Place) -> None:
    """Ctrl-C while a long message is processed: the progress line goes, and the message does not stay."""
    with p.chat("-n", "1", TESSERA_CPU="ref") as t:
        t.expect(PROMPT)
        t.line(b'"""', MORE)
        for _ in range(3):
            t.line(b"long " * 100, MORE)
        t.send(b'"""\r')
        t.expect(b"prompt: ")
        t.send(CTRL_C)
        t.expect(b"stopped before the answer began")
        t.expect(PROMPT)
        t.line(b"short")
        assert p.talk(t) == ["short", "H"]


def test_multi_line(p: Place) -> None:
    with p.chat("-n", "1") as t:
        t.expect(PROMPT)
        t.line(b'"""', MORE)
        t.line(b"one", MORE)
        t.line(b"/two", MORE)
        t.line(b'"""')
        t.line(b'"""three', MORE)
        t.line(b'four"""')
        t.line(b"five\\", MORE)
        t.line(b"six")
        assert p.talk(t)[::2] == ["one\n/two", "three\nfour", "five\nsix"]


def test_end_within_block(p: Place) -> None:
    with p.chat("-n", "1") as t:
        t.expect(PROMPT)
        t.line(b'"""', MORE)
        t.line(b"one", MORE)
        t.send(CTRL_D)
        assert t.end() == 0


def test_line_editing(p: Place) -> None:
    with p.chat("-n", "1") as t:
        t.expect(PROMPT)
        t.line("wörld €😀".encode() + LEFT * 2 + b"\x7f" + "ü".encode() + HOME + b"hello ")
        t.line(b"abc def ghi\x17\x17xyz")  # Ctrl-W: a word back
        t.line(b"killed\x15put")           # Ctrl-U: the line
        assert p.talk(t)[::2] == ["hello wörldü€😀", "abc xyz", "put"]
        t.send(b"full line" + HOME + CTRL_D)  # deletes a character, does not leave
        t.expect(b"ull line")
        t.line(b"")
        assert p.talk(t)[-2] == "ull line"


def test_paste(p: Place) -> None:
    with p.chat("-n", "1") as t:
        t.expect(b"\x1b[?2004h")
        t.expect(PROMPT)
        t.send(b"see: \x1b[200~first\rsecond\r/bye\n\x1b[20x\xe2\x82\xac\x1b[201~ end")
        t.expect(b" end")
        t.line(b"")
        assert p.talk(t) == ["see: first\nsecond\n/bye\n\x1b[20x€ end", "H"]
        t.send(CTRL_D)
        t.end()
        assert t.screen.count(b"\x1b[?2004h") == t.screen.count(b"\x1b[?2004l")


def test_history(p: Place) -> None:
    with p.chat("-n", "1") as t:
        t.expect(PROMPT)
        t.line(b"first")
        t.line(b'"""', MORE)
        t.line(b"back\\slash", MORE)
        t.line(b'"""')
        t.line(b"last")
        t.line(b"last")
        t.send(CTRL_D)
        assert t.end() == 0
    assert p.history.read_text() == 'first\n"""\\nback\\\\slash\\n"""\nlast\n'
    assert p.history.stat().st_mode & 0o777 == 0o600
    assert p.history.parent.stat().st_mode & 0o777 == 0o700
    with p.chat("-n", "1") as t:
        t.expect(PROMPT)
        t.send(UP)
        t.expect(b"last")
        t.send(UP)
        t.expect(b"back")
        t.send(UP)
        t.expect(b"first")
        t.line(b"!")
        t.send(UP * 3)
        t.expect(b"back")
        t.line(b"")
        assert p.talk(t)[::2] == ["first!", "back\\slash"]
    with p.chat("--no-history", "-n", "1") as t:
        t.expect(PROMPT)
        t.line(b"secret")
        t.send(UP)
        t.expect(b"secret")
        t.send(CTRL_C)
        t.expect(PROMPT)
        t.send(CTRL_D)
        assert t.end() == 0
    assert "secret" not in p.history.read_text()


def test_state_home(p: Place) -> None:
    with p.chat("-n", "1", XDG_STATE_HOME=str(p.tmp / "state")) as t:
        t.expect(PROMPT)
        t.line(b"here")
        t.send(CTRL_D)
        assert t.end() == 0
    assert (p.tmp / "state/tessera/history").read_text() == "here\n"
    assert not p.history.exists()


def test_no_home(p: Place) -> None:
    """Where no history can be kept there is none: no word about it, and the session's own lines are there."""
    (p.tmp / "file").write_text("")
    (p.tmp / "broken/tessera/history").mkdir(parents=True)
    (p.tmp / "shut").mkdir()
    (p.tmp / "shut").chmod(0o500)
    for home, state in (("/dev/null", None), (None, None), ("", ""), (str(p.tmp / "file"), None), ("/proc", None),
                        (None, str(p.tmp / "broken")), (str(p.tmp / "shut"), None)):
        with p.chat("-n", "1", HOME=home, XDG_STATE_HOME=state) as t:
            t.expect(PROMPT)
            assert b"HHH" not in t.line(b"hello")
            t.send(UP)
            t.expect(b"hello")
            t.line(b"!")
            assert p.talk(t)[::2] == ["hello", "hello!"]
            t.send(CTRL_D)
            assert t.end() == 0
            low = t.screen.lower()
            assert b"history" not in low and b"cannot" not in low, t.screen


def test_control_characters(p: Place) -> None:
    with p.chat("-n", "3", say="27=1000") as t:
        t.expect(PROMPT)
        shown = t.line(b"hello")
        assert b"\\x1b\\x1b\\x1b\r\n" in shown and b"\x1b\x1b" not in shown, shown
        assert p.talk(t) == ["hello", "\x1b\x1b\x1b"]
        # a conversation's texts are shown by commands, too
        t.line(b"/system \x16\x1b[2Jx")
        shown = t.line(b"/system")
        assert b"\\x1b[2Jx" in shown, shown


def settled(data: bytes) -> bytes:
    """Without the progress that a busy machine shows before a line: what was written over."""
    return re.sub(rb"(?:(?<=\n)|^)(?:\r[^\r\n]*)+\r(?!\n)", b"", data)


def test_run_at_terminal(p: Place) -> None:
    for say, shown in (("72=1000", b"HHH\r\n"), ("27=1000", b"\\x1b\\x1b\\x1b\r\n"), ("10=1000", b"\r\n\r\n\r\n"), ("256=1000", b"")):
        with Terminal([p.tessera, "run", "-m", p.tiny, "-p", "x", "-q", "-n", "3", "--logit-bias", say], p.env) as t:
            assert t.end() == 0
            assert settled(t.screen) == shown, (say, t.screen)


def test_no_progress_within_answers(p: Place) -> None:
    """The progress line is for the prompt: an answer that takes long has none in it."""
    with Terminal([p.tessera, "run", "-m", p.tiny, "-p", "x", "-n", "300", "--logit-bias", "72=1000"],
                  {**p.env, "TESSERA_CPU": "ref"}) as t:
        assert t.end() == 0
        assert plain(t.screen).startswith(("H" * 80 + "\n") * 3 + "H" * 60 + "\nprompt: 52 tokens"), t.screen


def plain(data: bytes) -> str:
    """What stays: no sequences for colours, nothing that was written over (progress)."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode()).replace("\r\n", "\n")
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))


def test_wrapped(p: Place) -> None:
    """Answers, remarks and statistics are broken between words at any width; the text is the model's."""
    argv = [p.tessera, "run", "-p", "Tell me a story about a duck", "--seed", "3", "--temp", "0.5"]
    exact = json.loads(subprocess.run([*argv, "--json"], env={**os.environ, **p.env_set()}, capture_output=True, check=True).stdout)["text"]
    for cols in (33, 80, 132):
        with Terminal(argv, p.env, (24, cols)) as t:
            assert t.end() == 0
            shown = plain(t.screen)
            assert max(len(line) for line in shown.split("\n")) <= cols, (cols, shown)
            assert " ".join(exact.split()) in " ".join(shown.split()), (exact, shown)
            assert "device: cpu" in shown and "(measured)" in " ".join(shown.split())
            begin = shown.index(exact.split()[0])
            for line, after in zip(shown[begin:].split("\n"), shown[begin:].split("\n")[1:]):  # no line ends too early
                if line and after and not after.startswith(("prompt:", "answer:", "memory:", "device:", "       ")):
                    assert len(line) + 1 + len(after.split(" ")[0]) > cols, (cols, line, after)


def test_wrapped_errors(p: Place) -> None:
    """So are errors; where standard error is no terminal they stay one line."""
    for command, words in ((("run", "-m", p.tiny), "tessera run: what prompt? "), (("run", "-m", p.tiny, "--tmep", "1"), "did you mean --temp? (see tessera run --help)"),
                           (("run", "-m", p.tiny, "-p", "x", "--ctx", "3"), "do not fit into the context of 3 ")):
        with Terminal([p.tessera, *command], p.env, (24, 40)) as t:
            assert t.end() != 0
            shown = plain(t.screen)
            assert words.strip() in " ".join(shown.split()), shown
            lines = shown.rstrip("\n").split("\n")
            assert len(lines) > 1 and max(map(len, lines)) <= 40 and not any(line.startswith(" ") for line in lines), shown
        r = subprocess.run([p.tessera, *command], env={**os.environ, **p.env_set()}, capture_output=True, stdin=subprocess.DEVNULL)
        assert r.stderr.count(b"\n") == 1, r.stderr


def test_interrupt_random_weights(p: Place) -> None:
    """bench --shape makes gigabytes of weights: it says how far it is, and Ctrl-C ends it."""
    for shape in ("llama-3-8b", "tinyllama"):
        with Terminal([p.tessera, "bench", "--shape", shape, "-q", "q4_0"], p.env) as t:
            t.expect(b"making random weights: ")
            t.send(CTRL_C)
            t.expect(b"tessera: stopped")
            assert t.end() == 1


def test_tables(p: Place) -> None:
    """Tables fit: what matters most stays, and what had no room is named."""
    for command, kept, lost in ((("run", "-p", "x", "-n", "1", "--device", "npu-sim", "--ledger-check"), ("operation", "device", "evidence", "= cpu"), "acts MB"),
                                (("bench", "-r", "1", "-n", "2", "-p", "2"), ("tok/s", "memory", "arithmetic"), None),
                                (("bench", "--shape", "tiny", "--device", "npu-sim"), ("operation", "share"), None)):
        model = () if "--shape" in command else ("-m", p.tiny)
        for cols in (60, 80, 200):
            if command[0] == "bench" and cols != 80:
                continue
            with Terminal([p.tessera, *command, *model], p.env, (40, cols)) as t:
                assert t.end() == 0
                shown = plain(t.screen)
                assert max(map(len, shown.split("\n"))) <= cols, (cols, shown)
                assert all(word in shown for word in kept), shown
                if lost:
                    assert ("(no room here for: " in shown and lost in shown) == (cols < 200), (cols, shown)


def test_colours(p: Place) -> None:
    """Remarks are dim where there are colours, answers never are."""
    argv = [p.tessera, "run", "-m", p.tiny, "-p", "x", "-n", "3", "--logit-bias", "72=1000"]
    for env, dim in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False), ({"TERM": None}, False),
                     ({"TERM": "dumb", "CLICOLOR_FORCE": "1"}, True), ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False)):
        with Terminal(argv, {**p.env, "TESSERA_PROGRESS": "0", **env}) as t:  # a busy machine may load for long
            assert t.end() == 0
            assert settled(t.screen).startswith(b"HHH\r\n" + (b"\x1b[2mprompt: " if dim else b"prompt: ")), (env, t.screen)
            assert t.screen.endswith(b"(measured)\x1b[22m\r\n" if dim else b"(measured)\r\n"), (env, t.screen)
            assert t.screen.count(b"\x1b") == 2 * dim, (env, t.screen)
    r = subprocess.run(argv, env={**os.environ, **p.env_set()}, capture_output=True)
    assert r.stdout == b"HHH\n" and b"\x1b" not in r.stderr, r


def test_resize(p: Place) -> None:
    """The width may change in the middle of an answer."""
    with Terminal([p.tessera, "run", "-m", p.tiny, "-p", "x", "-q", "-n", "300", "--logit-bias", "72=1000"],
                  {**p.env, "TESSERA_CPU": "ref"}) as t:
        t.expect(b"H\r\nHHHH")
        t.resize(40)
        assert t.end() == 0
        lengths = [len(line) for line in plain(t.screen).split("\n")[:-1]]
        assert sum(lengths) == 300 and lengths[0] == 80 and 40 in lengths and all(n <= 80 for n in lengths), lengths
        assert all(n == 40 for n in lengths[lengths.index(40):-1]), lengths


def echo_of(t: Terminal) -> bool:
    return bool(termios.tcgetattr(t.fd)[3] & termios.ECHO)


def wait_echo(t: Terminal, want: bool) -> None:
    end = time.monotonic() + LIMIT
    while echo_of(t) != want:
        t.read()
        assert time.monotonic() < end, f"echo is not {want}"


def test_typed_ahead(p: Place) -> None:
    """What is typed while an answer runs is not shown in it, and is there for the next line, with its corrections."""
    with p.chat("-n", "120", TESSERA_CPU="ref") as t:
        before = termios.tcgetattr(t.fd)
        t.expect(PROMPT)
        t.send(b"first\r")
        t.expect(b"HHHH")
        assert not echo_of(t)
        t.send(b"secx\x7fond\r/set predict 2\r/sta")
        answer = t.expect(PROMPT)
        assert re.fullmatch(rb"[H\r\n]*(\x1b\[\?2004h)?", answer), answer
        t.expect(b"ond\r\n")  # the editor shows corrections as it likes
        t.expect(PROMPT)
        t.expect(PROMPT)
        t.expect(b"/sta")
        t.line(b"ts")
        t.line(b"third")
        assert p.talk(t) == ["first", "H" * 120, "second", "H" * 120, "third", "HH"]
        t.send(CTRL_D)
        t.expect(b"\x1b[?2004l")
        wait_echo(t, True)
        assert termios.tcgetattr(t.fd)[3] == before[3]
        assert t.end() == 0


def test_signals_in_answer(p: Place) -> None:
    """A program that dies in an answer leaves the echo on."""
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGSEGV):
        with p.chat(TESSERA_CPU="ref") as t:
            before = termios.tcgetattr(t.fd)
            t.expect(PROMPT)
            t.send(b"talk\r")
            t.expect(b"HHHH")
            assert not echo_of(t)
            os.kill(t.pid, sig)
            wait_echo(t, True)
            assert termios.tcgetattr(t.fd)[3] == before[3]
            while t.read():
                pass
            died = os.waitpid(t.pid, 0)[1] & 0x7f
            t.code = -sig
            # a sanitizer reports SIGSEGV, and then exits or aborts as its options say
            assert died in ((0, signal.SIGABRT) if b"Sanitizer" in t.screen else (sig,)), (sig, died)


def test_interrupt_thrice(p: Place) -> None:
    """The same for Ctrl-C that nobody listens to: the program is held up by a stopped thread of its own."""
    with p.chat(TESSERA_CPU="ref") as t:
        t.expect(PROMPT)
        t.send(b"talk\r")
        t.expect(b"HHHH")
        os.kill(t.pid, signal.SIGSTOP)  # three are counted before anything is asked
        for _ in range(3):
            os.kill(t.pid, signal.SIGINT)
        os.kill(t.pid, signal.SIGCONT)
        t.expect(b"(stopped)")  # equal signals that wait are one
        t.expect(PROMPT)
        t.send(CTRL_D)
        assert t.end() == 0


def test_stop_in_answer(p: Place) -> None:
    """Ctrl-Z: the shell has a terminal that echoes; after fg the answer goes on, and still there is no echo."""
    command = f'"{p.tessera}" chat -m "{p.tiny}" -n 200 --logit-bias 72=1000; stty -a | grep -q " echo " && echo ECHO-IS-ON; fg'
    with Terminal(["/bin/sh", "-m", "-c", command], {**p.env, "TESSERA_CPU": "ref"}) as t:
        t.expect(PROMPT)
        t.send(b"talk\r")
        t.expect(b"HHHH")
        t.send(b"\x1a")
        t.expect(b"ECHO-IS-ON")
        t.expect(b"HHHH")
        assert not echo_of(t)
        t.expect(PROMPT)
        user, answer = p.talk(t)
        assert user == "talk" and answer == "H" * 200
        t.send(CTRL_D)
        assert t.end() == 0


def test_completion(p: Place) -> None:
    (p.tmp / "file one.json").write_text("{}")
    (p.tmp / "folder").mkdir()
    (p.tmp / "folder/inner").write_text("text of a file")
    with p.chat("-n", "1") as t:
        t.expect(PROMPT)
        t.send(b"/und\t\r")
        t.expect(b"nothing to take back")
        t.expect(PROMPT)
        t.send(b"/se\ttem\t0.5\r")  # /set temp 0.5
        t.expect(b"temp              0.5")
        t.expect(PROMPT)
        t.send(b"/s\t")
        listed = t.expect(b"/system")
        for word in (b"/save", b"/set", b"/show", b"/stats"):
            assert word in listed, listed
        t.send(b"\x15/unset seed\t\r")
        t.expect(b"seed              -1")
        t.expect(PROMPT)
        t.send(f"/read {p.tmp}/fo\ti\t\r".encode())
        t.expect(b"H\r\n")
        t.expect(PROMPT)
        t.send(f"/load {p.tmp}/file\t\r".encode())
        t.expect(b"file one.json: ")
        t.expect(PROMPT)
        t.line(b"a\tb")  # in a message it does nothing
        assert p.talk(t) == ["text of a file", "H", "ab", "H"]


def test_confirmations(p: Place) -> None:
    """Every command that changes something says so in one line."""
    with p.chat("-n", "1", "--seed", "3") as t:
        t.expect(PROMPT)
        t.line(b"hello")
        for command, words in ((b"/set temp 0.25", "temp              0.25"), (b"/set parameter top_k 7", "top-k             7"),
                               (b"/set temperature 0.5", "temp              0.5"), (b"/set num_predict 3", "predict           3"),
                               (b"/set repeat_last_n 9", "penalty-window    9"), (b"/unset temperature", "temp              0.8"),
                               (b"/system Be brief.", "the system prompt is set"), (b"/set system Be long.", "the system prompt is set"),
                               (b"/show system", "Be long."), (b'/system ""', "the system prompt is removed"), (b"/set verbose", "statistics after every answer"),
                               (b"/set quiet", "no statistics"), (b"/set nowordwrap", "lines are broken where"), (b"/set wordwrap", "between words"),
                               (b"/set ctx 9", "at the start only: tessera chat --ctx N"), (b"/set foo 1", 'there is no setting "foo"; there are predict, '),
                               (b"/show parameters", "top-k             7"), (b"/show template", "jinja"), (b"/show nothing", "/show info, system"),
                               (b"/reset", "forgotten: 1 exchange"), (b"/reset", "forgotten: 0 exchanges")):
            shown = plain(t.line(command))
            assert words in " ".join(shown.split("\n")), (command, shown)
        for command, lines in ((b"/help", 19), (b"/show", 6)):
            shown = plain(t.line(command)).split("\n")[:-1]
            assert len(shown) == lines and max(map(len, shown)) <= 80, shown
        t.send(CTRL_D)
        assert t.end() == 0


def test_other_model(p: Place) -> None:
    """/model goes on with another file; what fails leaves everything as it was."""
    with p.chat("-n", "2") as t:
        t.expect(PROMPT)
        t.line(b"one")
        t.line(b"/model /no/such.gguf")
        t.line(b"two")
        bundled = pathlib.Path(__file__).resolve().parents[2] / "models/tessera-tiny-q8_0.gguf"
        shown = plain(t.line(f"/model {bundled}".encode()))
        assert "Tessera Tiny: llama, 5.25 M parameters" in shown and "goes on with it: 2 exchanges" in shown, shown
        t.line(b"three")
        shown = plain(t.line(f"/model {p.tiny}".encode()))
        assert "tiny, random weights" in shown, shown
        t.line(b"four")
        talk = p.talk(t)
        assert talk[:4] == ["one", "HH", "two", "HH"] and talk[4] == "three" and talk[6:] == ["four", "HH"], talk
        t.send(CTRL_D)
        assert t.end() == 0


def test_context_warning(p: Place) -> None:
    """A full context is announced, and the way out is a word."""
    with p.chat("-n", "1", "--ctx", "128") as t:
        t.expect(PROMPT)
        assert b"of the context are used" not in t.line(b"one")
        assert " of 128 tokens of the context are used" in plain(t.line(b"two")), t.screen
        shown = " ".join(plain(t.line(b"three")).split())
        assert "/trim forgets the oldest exchanges; then Up brings your message back." in shown, shown
        t.line(b"/trim")
        t.send(UP * 2)
        t.expect(b"three")
        t.line(b"")
        assert p.talk(t) == ["three", "H"]
    with p.chat("-n", "1", "--ctx", "128", "--auto-trim") as t:
        t.expect(PROMPT)
        for text in (b"one", b"two"):
            assert b"context" not in t.line(text)
        assert "(the context was full: the oldest 2 exchanges are forgotten)" in plain(t.line(b"three")), t.screen
        assert p.talk(t) == ["three", "H"]


def test_progress(p: Place) -> None:
    """Forecasts count down, and only from something that was measured; in a log there is a line now and then."""
    long, short = p.tmp / "long", p.tmp / "short"
    long.write_text("word " * 120)
    short.write_text("word " * 40)
    argv = [p.tessera, "run", "-m", p.tiny, "--raw", "-n", "1", "-q", "-f"]
    with Terminal([*argv, str(long)], {**p.env, "TESSERA_CPU": "ref"}) as t:
        assert t.end() == 0
        shown = re.findall(rb"prompt: (\d+) of (\d+) tokens, (\d+) s (left|so far)", t.screen)
        assert len(shown) >= 5 and len({done for done, *_ in shown}) >= 4, shown  # finer than the batches of 256
        assert all(which == b"so far" for done, _, _, which in shown if done == b"0"), shown
        left = [int(s) for _, _, s, which in shown if which == b"left"]
        assert left and left[-1] <= left[0], shown
        assert re.search(rb"\r +\r([^\r]*\r\n)?$", t.screen), t.screen[-200:]  # and the line is gone
    with Terminal([p.tessera, "run", "-m", p.tiny, "-p", "x", "-n", "150", "--json", "--logit-bias", "72=1000"], {**p.env, "TESSERA_CPU": "ref"}) as t:
        assert t.end() == 0
        assert re.search(rb"answer: \d+ of 150 tokens, \d+ s (left|so far)", t.screen), t.screen
        assert json.loads(plain(t.screen))["text"] == "H" * 150
    env = {**os.environ, **p.env_set(), "TESSERA_CPU": "ref"}
    for every, wanted in (("0.05", True), ("0", False)):
        r = subprocess.run([*argv, str(short)], env={**env, "TESSERA_PROGRESS": every}, capture_output=True, check=True)
        lines = r.stderr.decode().splitlines()
        assert all(re.fullmatch(r"(loading|prompt)(: \d+ of \d+ (tokens|MiB))?, \d+ s (left|so far)", line) for line in lines), lines
        assert bool(lines) == wanted, (every, lines)


def test_interrupt_run(p: Place) -> None:
    with Terminal([p.tessera, "run", "-m", p.tiny, "-p", "x", "--logit-bias", "72=1000"], {**p.env, "TESSERA_CPU": "ref"}) as t:
        t.expect(b"HHHH")
        t.send(CTRL_C)
        t.expect(b"ended by: cancelled")
        assert t.end() == 1


def test_signals(p: Place) -> None:
    """A signal that ends the program at the prompt leaves the terminal as it was."""
    for sig in (signal.SIGTERM, signal.SIGHUP):
        with p.chat() as t:
            before = termios.tcgetattr(t.fd)
            t.expect(PROMPT)
            t.send(b"x")
            t.expect(b"x")
            assert termios.tcgetattr(t.fd)[3] != before[3]  # the editor has it
            os.kill(t.pid, sig)
            t.expect(b"\x1b[?2004l")
            after = termios.tcgetattr(t.fd)
            assert t.end() == -sig
            assert after[3] == before[3], (after, before)


def test_dumb_terminal(p: Place) -> None:
    with p.chat("-n", "2", TERM="dumb", LC_ALL="C") as t:
        t.expect(PROMPT)
        t.line("wörld".encode())
        assert p.talk(t) == ["wörld", "HH"]
        t.send(CTRL_D)
        assert t.end() == 0


def test_output_elsewhere(p: Place) -> None:
    """Prompts and remarks do not go into a file that the answers go to."""
    out = p.tmp / "out"
    command = f'exec "{p.tessera}" chat -m "{p.tiny}" -n 2 --logit-bias 72=1000 >"{out}"'
    with Terminal(["/bin/sh", "-c", command], p.env) as t:
        t.expect(PROMPT)
        t.line(b"one")
        t.line(b"/stats")
        t.send(CTRL_D)
        assert t.end() == 0
    assert out.read_bytes() == b"HH\n"


def test_interrupt_pipe(p: Place) -> None:
    """Without a terminal Ctrl-C ends the program, whether it answers or waits for input."""
    for wait in (b"HHHH", b""):
        argv = [p.tessera, "chat", "-m", p.tiny, "--logit-bias", "72=1000", *(() if wait else ("-n", "1"))]
        with subprocess.Popen(argv, env={**os.environ, "HOME": str(p.tmp), "TESSERA_CPU": "ref"}, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as q:
            try:
                q.stdin.write(b"x\n")
                q.stdin.flush()
                assert q.stdout.read(max(len(wait), 2)) == (wait or b"H\n")
                q.send_signal(signal.SIGINT)
                q.stdout.read()
                assert q.wait(LIMIT) == 1
            finally:
                q.kill()


def test_save_is_atomic(p: Place) -> None:
    """A disk that is full in the middle of /save leaves the old file."""
    path = p.tmp / "talk.json"
    path.write_text("precious")
    path.chmod(0o600)
    command = f'ulimit -f 1; exec "{p.tessera}" chat -m "{p.tiny}" -n 1 --logit-bias 72=1000'
    text = "x" * 1500
    for name, saved in (("/dev/full", False), (str(path), False), (str(path), True)):
        argv = ["/bin/sh", "-c", command if not saved else command.replace("ulimit -f 1;", "")]
        r = subprocess.run(argv, input=f"{text}\n/save {name}\n".encode(), capture_output=True, timeout=LIMIT,
                           env={**os.environ, "HOME": str(p.tmp)})
        assert r.returncode == (0 if saved else 1), r
        assert r.stdout == b"H\n" and (saved or r.stderr.startswith(b"tessera chat: cannot write ")), r
        assert (path.read_text() == "precious") != saved
        assert path.stat().st_mode & 0o777 == 0o600
        assert sorted(os.listdir(p.tmp)) == ["talk.json"], os.listdir(p.tmp)


NEED_EDITOR = {test_line_editing, test_paste, test_history, test_state_home, test_no_home, test_signals, test_control_characters,
               test_dumb_terminal, test_typed_ahead, test_completion, test_context_warning}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("tessera")
    parser.add_argument("tiny")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    os.environ.pop("TESSERA_PROGRESS", None)  # progress is among what is tested
    try:
        for fd in pty.openpty():
            os.close(fd)
    except OSError as e:
        print(f"skip: this system has no pseudo-terminals ({e}); cure: mount -t devpts devpts /dev/pts")
        return 77
    failed = passed = 0
    if args.plain:
        print(f"skip: {len(NEED_EDITOR)} tests of line editing: built without libedit; cure: apt-get install libedit-dev")
    for name, test in list(globals().items()):
        if not name.startswith("test_") or args.only not in name or (args.plain and test in NEED_EDITOR):
            continue
        with tempfile.TemporaryDirectory(prefix="tessera-pty-") as tmp:
            begin = time.monotonic()
            try:
                test(Place(os.path.abspath(args.tessera), os.path.abspath(args.tiny), tmp))
                passed += 1
                if args.v:
                    print(f"passed: {name}, {time.monotonic() - begin:.1f} s", flush=True)
            except AssertionError as e:
                failed += 1
                where = e.__traceback__
                while where.tb_next and where.tb_next.tb_frame.f_code.co_filename == __file__:
                    where = where.tb_next
                print(f"FAILED: {name}, line {where.tb_lineno}: {e}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
