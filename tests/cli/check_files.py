#!/usr/bin/env python3
"""Files that are no files, files that change while they are in use or hold what is not followed, and the limits of a container.

Usage: check_files.py TESSERA TINY.gguf SHRINK.so     (a small model; shrink.c)
Exit code: 0 all passed, 1 some failed. Cases that need more rights than there are say so and are left out."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SAY = ["--temp", "0", "-n", "4", "--logit-bias", "72=1000"]


class Place:
    def __init__(self, tessera: str, tiny: str, shrink: str, tmp: str):
        self.tessera, self.tiny, self.tmp = os.path.abspath(tessera), os.path.abspath(tiny), pathlib.Path(tmp)
        self.shrink = os.path.abspath(shrink)
        self.env = {**os.environ, "HOME": tmp, "XDG_STATE_HOME": "", "TESSERA_MODEL": ""}

    def run(self, *args: str, **more) -> subprocess.CompletedProcess:
        more.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([self.tessera, *args], env=self.env, capture_output=True, text=True, timeout=60, **more)

    def fifo(self) -> str:
        path = self.tmp / "fifo"
        if not path.exists():
            os.mkfifo(path)
        return str(path)

    def chat_around(self, change) -> tuple[int, str, str]:
        """A conversation of two questions with change(path of the model) between them: exit code, answers, messages."""
        path = self.tmp / "model.gguf"
        shutil.copyfile(self.tiny, path)
        p = subprocess.Popen([self.tessera, "chat", "-m", str(path), "--no-history", *SAY], env=self.env,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdin.write(b"one\n")
        p.stdin.flush()
        first = p.stdout.read(4)  # the model is loaded and has begun to answer
        deadline = time.monotonic() + 20  # and is done with it, when it waits for a line
        while pathlib.Path(f"/proc/{p.pid}/wchan").exists() and time.monotonic() < deadline:
            if pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S":
                time.sleep(0.2)
                break
            time.sleep(0.01)
        change(path)
        out, err = p.communicate(b"two\n", timeout=60)  # takes no offence at a program that has gone
        return p.returncode, (first + out).decode(), err.decode()


def test_pipe_as_model(p: Place) -> None:
    for args in (("run", "-p", "x", "-m"), ("chat", "-m"), ("eval", "-p", "x", "-m"), ("bench", "-m"), ("tokenize", "-p", "x", "-m"),
                 ("inspect",)):
        r = p.run(*args, p.fifo())
        assert r.returncode == 1 and r.stderr == f"tessera: {p.fifo()} is a pipe, not a file\n", (args, r)


def test_pipe_as_text(p: Place) -> None:
    for args in (("run", "-f", p.fifo()), ("eval", "-f", p.fifo()), ("tokenize", "-f", p.fifo()), ("run", "--ids", "@" + p.fifo())):
        r = p.run(*args, "-m", p.tiny)
        assert r.returncode == 1 and "is a pipe that nobody writes to" in r.stderr and r.stderr.count("\n") == 1, (args, r)
    r = subprocess.run(["sh", "-c", f'printf "hello world" | "{p.tessera}" tokenize -m "{p.tiny}" -f /dev/stdin --ids'], capture_output=True,
                       text=True, timeout=60)
    assert r.returncode == 0 and r.stdout == p.run("tokenize", "-m", p.tiny, "-p", "hello world", "--ids").stdout, r


def test_pipe_as_output(p: Place) -> None:
    r = p.run("eval", "-m", p.tiny, "-p", "hello", "--logits-out", p.fifo())
    assert r.returncode == 1 and r.stderr == f"tessera: {p.fifo()} is a pipe that nobody reads\n", r
    out = p.tmp / "logits"
    out.write_bytes(b"before")
    r = p.run("eval", "-m", p.tiny, "--ids", "1,99999999", "--logits-out", str(out))  # what fails leaves what was there
    assert r.returncode == 2 and out.read_bytes() == b"before" and len(list(p.tmp.glob("logits*"))) == 1, r


def test_shortened(p: Place) -> None:
    for size in (0, 4096, os.path.getsize(p.tiny) // 2):
        code, _, err = p.chat_around(lambda path: os.truncate(path, size))
        assert code == 1 and "model.gguf has been" in err and err.count("\n") == 1, (size, code, err)


def test_shortened_while_opened(p: Place) -> None:
    """Every command that opens a model, the file being cut as soon as it is mapped: one line that names it, no signal. What is
    left may be all that a command reads."""
    path = p.tmp / "cut.gguf"
    whole = os.path.getsize(p.tiny)
    for size in (0, 4096, whole // 2, whole - 1):
        for args in (("run", "-p", "x", "-n", "2"), ("chat", "--no-history"), ("bench", "-p", "8", "-n", "2"), ("eval", "-p", "x"),
                     ("tokenize", "-p", "x"), ("template", "--context", "-", "--chat-template", "chatml"), ("inspect",), ("inspect", "--tensors")):
            shutil.copyfile(p.tiny, path)
            env = {**p.env, "LD_PRELOAD": p.shrink, "SHRINK_FILE": str(path), "SHRINK_TO": str(size),
                   "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
            model = ["-m", str(path)] if args[0] != "inspect" else [str(path)]
            said = '[{"role": "user", "content": "x"}]\n'
            r = subprocess.run([p.tessera, *args, *model], env=env, input=said, capture_output=True, text=True, timeout=60)
            assert os.path.getsize(path) == size, (args, r)
            told = r.returncode == 1 and r.stderr.startswith("tessera: ") and "cut.gguf" in r.stderr and r.stderr.count("\n") == 1
            assert told or (size and r.returncode == 0 and args[0] in ("tokenize", "template", "inspect")), (size, args, r)


def test_written_over(p: Place) -> None:
    other = bytearray(pathlib.Path(p.tiny).read_bytes())
    other[-4096:] = bytes(4096)

    def change(path: pathlib.Path) -> None:
        with open(path, "r+b") as f:  # in place: the same file, the same size
            f.write(other)

    code, _, err = p.chat_around(change)
    assert code == 1 and "model.gguf has been written to while it was in use" in err and err.count("\n") == 1, (code, err)


def test_replaced(p: Place) -> None:
    def change(path: pathlib.Path) -> None:
        path.with_suffix(".new").write_bytes(b"something else")
        path.with_suffix(".new").rename(path)

    code, out, err = p.chat_around(change)
    assert code == 0 and out.count("HHHH") == 2 and not err, (code, out, err)
    code, out, err = p.chat_around(lambda path: path.unlink())
    assert code == 0 and out.count("HHHH") == 2 and not err, (code, out, err)


def test_leftovers(p: Place) -> None:
    """Keys of the same length in the place of others: one that nobody knows, one that would change results."""
    plain = pathlib.Path(p.tiny).read_bytes()
    for old, new, code, says, listed in (
            (b"llama.attention.value_length", b"llama.attention.xalue_length", 0, "warning: unknown.gguf: metadata that is not followed: "
             "llama.attention.xalue_length = 64\n", "  unknown        llama.attention.xalue_length = 64\n"),
            (b"llama.vocab_size", b"llama.dense_size", 1, "llama.dense_size = 512: Tessera does not do this",
             "  refused        llama.dense_size = 512\n")):
        assert plain.count(old) == 1
        (p.tmp / "unknown.gguf").write_bytes(plain.replace(old, new))
        r = p.run("run", "-m", "unknown.gguf", "--raw", "-p", "hi", "-n", "1", "-q", cwd=p.tmp)
        assert r.returncode == code and says in r.stderr and r.stderr.count("\n") == 1, r
        r = p.run("inspect", "unknown.gguf", cwd=p.tmp)
        assert r.returncode == 0 and listed in r.stdout and ("runs it        yes" in r.stdout) == (code == 0), r
        r = p.run("inspect", "--json", "unknown.gguf", cwd=p.tmp)
        tree = json.loads(r.stdout)
        assert tree["runs"] == (code == 0) and tree["refused_keys" if code else "unknown_keys"] == [new.decode()], tree


def test_quota(p: Place) -> None:
    """A container that may use one processor's time: one thread by default, and as many as are asked for."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        print("  left out: no right to make a mount namespace")
        return
    for files, want in (({"cpu.max": "100000 100000"}, 1), ({"cpu.max": "50000 100000"}, 1), ({"cpu.max": "max 100000"}, None),
                        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1)):
        make = "".join(f' && mkdir -p "$(dirname /sys/fs/cgroup/{f})" && echo "{v}" >/sys/fs/cgroup/{f}' for f, v in files.items())
        script = f'mount -t tmpfs none /sys/fs/cgroup{make} && exec "{p.tessera}" run -m "{p.tiny}" --raw -p hi -n 1 --json'
        r = subprocess.run(["unshare", "-m", "sh", "-c", script], env=p.env, capture_output=True, text=True, timeout=60)
        if r.returncode and "mount" in r.stderr:
            print("  left out: no right to mount")
            return
        want = want or len(os.sched_getaffinity(0))
        assert r.returncode == 0 and f'"threads":{want},' in r.stdout, (files, r)
    # a memory limit that is used up is named, not overlooked
    script = ('mount -t tmpfs none /sys/fs/cgroup && echo 1048576 >/sys/fs/cgroup/memory.max && echo 1048576 >/sys/fs/cgroup/memory.current && '
              f'exec "{p.tessera}" run -m "{p.tiny}" --raw -p hi -n 1')
    r = subprocess.run(["unshare", "-m", "sh", "-c", script], env=p.env, capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and "0 MiB are free" in r.stderr, r


def main() -> int:
    failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        with tempfile.TemporaryDirectory(prefix="tessera-files-") as tmp:
            try:
                test(Place(sys.argv[1], sys.argv[2], sys.argv[3], tmp))
            except (AssertionError, subprocess.TimeoutExpired) as e:
                print(f"FAILED {name}: {e}")
                failed += 1
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
