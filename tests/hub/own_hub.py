#!/usr/bin/env python3
"""tessera pull, list, rm and -hf against a small hub of our own (small_hub.py): what must hold whatever else does.

Usage: own_hub.py TESSERA TINY.gguf [--only REGEX]. Exit code 0 all passed, 1 some failed."""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from small_hub import TOKEN, File, SmallHub

QUICK = ["--stall-timeout", "2", "--retry-wait", "0.05"]
Q4 = File("tiny-Q4_K_M.gguf", b"GGUF" + bytes(i * 7 % 251 for i in range(300000)))
Q8 = File("tiny-Q8_0.gguf", b"GGUF" + bytes(i * 11 % 253 for i in range(200000)))
TESTS = []


def test(f):
    TESTS.append(f)
    return f


class Place:
    """A home of its own, and a hub."""

    def __init__(self, program: str, tiny: str):
        self.program, self.tmp = program, tempfile.mkdtemp(prefix="tessera-hub-")
        self.home = pathlib.Path(self.tmp, "home")
        self.home.mkdir()
        self.cache = self.home / ".cache/huggingface/hub"
        self.tiny = File("tiny-Q4_0.gguf", pathlib.Path(tiny).read_bytes())
        self.hub = SmallHub({
            "org/tiny": [Q4, Q8, File("README.md", b"# tiny\n"), File("tiny-imatrix.gguf", b"GGUF" * 500)],
            "org/runs": [self.tiny],
            "org/split": [File(f"Q4_0/s-Q4_0-0000{i}-of-00003.gguf", b"GGUF" + bytes([i]) * 50000) for i in (1, 2, 3)],
            "org/folder": [File("config.json", b"{}"), File("merges.txt", b""), File("tokenizer.json", b"{}"),
                           File("model.safetensors", b"tensors!" * 9000), File("flax_model.msgpack", b"x" * 5000)]})

    def env(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k == "PATH" or k.endswith("SAN_OPTIONS")}
        return kept | {"HOME": str(self.home), "HF_ENDPOINT": self.hub.url["hub"], "NO_COLOR": "1"} | more

    def start(self, *argv: str, **more: str) -> subprocess.Popen:
        argv = [*argv, *QUICK] if argv[0] == "pull" else list(argv)
        return subprocess.Popen([self.program, *argv], env=self.env(**more), cwd=self.tmp, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def end(self, p: subprocess.Popen, code: int) -> str:
        out, err = p.communicate(timeout=60)
        said = out + err
        assert p.returncode == code, f"{p.args[1:]}: exit code {p.returncode}, not {code}: {said}"
        assert TOKEN not in said and "Sanitizer" not in said, said
        return said

    def run(self, *argv: str, code: int = 0, **more: str) -> str:
        return self.end(self.start(*argv, **more), code)

    def asked(self, side: str) -> list:
        return [a for a in self.hub.asked if a.side == side]

    def forget(self) -> None:
        self.hub.asked.clear()

    def found(self, f: File) -> list[pathlib.Path]:
        """Whole files of that name."""
        return [p for p in self.home.rglob(pathlib.PurePath(f.path).name) if p.read_bytes() == f.data]

    def parts(self) -> list[pathlib.Path]:
        return list(self.home.rglob("*.tessera-part*"))

    def put(self, repo: str, f: File, data: bytes | None = None) -> pathlib.Path:
        """As another program leaves it in the cache; the blob."""
        top, commit = self.cache / ("models--" + repo.replace("/", "--")), self.hub.commit(repo)
        for d in "blobs", "refs", f"snapshots/{commit}":
            (top / d).mkdir(parents=True, exist_ok=True)
        (top / "refs/main").write_text(commit)
        (top / "blobs" / f.hash).write_bytes(f.data if data is None else data)
        (top / f"snapshots/{commit}/{f.path}").symlink_to(f"../../blobs/{f.hash}")
        return top / "blobs" / f.hash

    def clear(self) -> None:
        self.hub.stop()
        shutil.rmtree(self.tmp, ignore_errors=True)


@test
def plain(p: Place) -> None:
    said = p.run("pull", "org/tiny")
    assert "org/tiny:Q4_K_M" in said and "taken: Q4_K_M" in said and "mit" in said, said
    assert p.found(Q4) and not p.found(Q8) and not p.parts()
    assert (p.cache / "models--org--tiny/refs/main").read_text() == p.hub.commit("org/tiny")
    assert len(p.hub.asked) == 4, [a.path for a in p.hub.asked]
    p.forget()
    assert "was there" in p.run("pull", "org/tiny:q4_k_m") and not p.asked("cdn")
    p.forget()
    p.run("pull", "--offline", "org/tiny")
    assert "offline" in p.run("pull", "--offline", "org/tiny:Q8_0", code=1) and not p.hub.asked
    assert p.run("pull", "--quiet", "org/tiny") == "org/tiny:Q4_K_M\n"


@test
def list_and_rm(p: Place) -> None:
    p.run("pull", "org/tiny:Q4_K_M"), p.run("pull", "org/tiny/tiny-Q8_0.gguf"), p.run("pull", "org/folder")
    said = p.run("list")
    assert all(name in said for name in ("org/tiny:Q4_K_M", "org/tiny:Q8_0", "org/folder")) and "another" not in said, said
    found = json.loads(p.run("list", "--json"))
    assert [m["kind"] for m in found] == ["folder", "gguf", "gguf"] and all(m["ours"] for m in found), found
    assert p.run("list", "--quiet") == "org/folder\norg/tiny:Q4_K_M\norg/tiny:Q8_0\n"
    assert "Q4_K_M" in p.run("rm", "org/tiny", code=2)
    p.run("rm", "org/tiny:Q4_K_M")
    assert not p.found(Q4) and p.found(Q8)
    assert not (p.cache / f"models--org--tiny/blobs/{Q4.sha256}").exists()
    p.run("rm", "org/tiny:Q4_K_M", code=1)
    p.run("rm", "--all", "org/tiny"), p.run("rm", "org/folder")
    assert json.loads(p.run("list", "--json")) == [] and not list(p.cache.glob("models--*"))


@test
def unfinished(p: Place) -> None:
    """What a broken pull has left is listed, and goes by itself while models stay."""
    p.run("pull", "org/tiny:Q8_0")
    p.hub.cut = [100000] + [0] * 9
    p.run("pull", "org/tiny:Q4_K_M", code=1)
    found = json.loads(p.run("list", "--json"))
    assert [(m["name"], m["kind"], m["bytes"]) for m in found] == [("org/tiny", "unfinished", 100000), ("org/tiny:Q8_0", "gguf", len(Q8.data))], found
    assert "tessera rm org/tiny" in p.run("rm", "org/tiny:Q4_K_M", code=1) and p.parts()
    assert "models stay" in p.run("rm", "org/tiny")
    assert p.found(Q8) and not p.parts() and "unfinished" not in p.run("list")
    p.hub.cut = [None] + [0] * 9  # a whole part of a model, and nothing of the next one
    p.run("pull", "org/split", "--connections", "1", code=1)
    found = json.loads(p.run("list", "--json"))
    assert found[0]["kind"] == "unfinished" and found[0]["bytes"] == len(p.hub.files["org/split"][0].data), found
    p.run("rm", "org/split")
    assert not list(p.cache.glob("models--org--split"))
    # one name that is not there does not keep the others
    p.run("rm", "org/none", "org/tiny:Q8_0", "x", code=1)
    assert not p.found(Q8)


@test
def resume(p: Place) -> None:
    p.hub.cut = [100000, 50000]
    p.run("pull", "org/tiny")
    assert [a.range for a in p.asked("cdn")] == [None, "bytes=100000-", "bytes=150000-"] and p.found(Q4)
    assert sum(a.sent for a in p.asked("cdn")) == len(Q4.data)


@test
def resume_without_ranges(p: Place) -> None:
    p.hub.ranges, p.hub.cut = False, [100000]
    p.run("pull", "org/tiny")
    assert p.found(Q4) and not p.parts()


@test
def wrong_bytes(p: Place) -> None:
    p.hub.flip = 123456
    said = p.run("pull", "org/tiny", code=1)
    assert Q4.sha256 in said and not p.found(Q4) and not p.parts() and not list(p.home.rglob("*.gguf")), said
    p.hub.calm()
    p.run("pull", "org/tiny")
    assert p.found(Q4)


@test
def part_of_yesterday(p: Place) -> None:
    """A part that is spoilt is found out; a whole one takes no request."""
    for spoil, ranges in ((lambda d: bytes([d[0] ^ 1]) + d[1:50000], ["bytes=50000-", None]), (lambda d: d + b"more", [None]), (lambda d: d, [])):
        p.run("pull", "org/tiny")
        p.run("rm", "org/tiny")
        blobs = p.cache / "models--org--tiny/blobs"
        blobs.mkdir(parents=True)
        (blobs / (Q4.sha256 + ".tessera-part")).write_bytes(spoil(Q4.data))
        assert "unfinished" in p.run("list")
        p.forget()
        p.run("pull", "org/tiny")
        assert p.found(Q4) and [a.range for a in p.asked("cdn")] == ranges and not p.parts()


@test
def token(p: Place) -> None:
    p.hub.gated, p.hub.pages = True, 1
    assert "HF_TOKEN" in p.run("pull", "org/tiny", code=1)
    p.forget()
    p.run("pull", "org/tiny", HF_TOKEN=TOKEN + "\n")
    assert all(a.token for a in p.asked("hub")) and p.asked("cdn") and not any(a.token for a in p.asked("cdn"))
    assert "HF_TOKEN" in p.run("pull", "org/tiny", code=2, HF_TOKEN="a\r\nX: y")
    (p.home / "t").write_text(TOKEN + "\n")
    p.run("pull", "org/tiny:Q8_0", HF_TOKEN_PATH="~/t")
    assert all(TOKEN not in f.read_text(errors="replace") for f in p.home.rglob("*") if f.is_file() and f.name != "t")


@test
def token_sent_back(p: Place) -> None:
    """Whatever a server does with the token, it is shown to nobody (Place.end looks for it in all that is printed)."""
    for say in ({"message": f"the token {TOKEN} has no access"}, {"message": "x" * 280 + TOKEN}, {"body": json.dumps({"error": f"Bearer {TOKEN}"}).encode()}):
        p.hub.refuse = (403, say)
        said = p.run("pull", "org/tiny", code=1, HF_TOKEN=TOKEN)
        assert TOKEN[:8] not in said, said
    p.hub.calm()
    for to in (f"ftp://x/{TOKEN}", f"http://127.0.0.1:1/{TOKEN}/x", "http://127.0.0.1:1/" + "".join(f"%{ord(c):02x}" for c in TOKEN)):
        p.hub.location = to
        said = p.run("pull", "org/tiny", "--json", "--retry-wait", "0.001", code=1, HF_TOKEN=TOKEN)
        assert TOKEN[:8] not in said and "hf_" in said and "%68%66" not in said, said
    p.hub.calm()
    p.hub.extra = [{"type": "file", "path": path, "size": 5000, "oid": "", "lfs": {"oid": "0" * 64, "size": 5000}} for path in (f"../{TOKEN}", f"{TOKEN}-Q5_K_M.gguf")]
    assert "2 names" in p.run("pull", "org/tiny", HF_TOKEN=TOKEN)
    assert "has no Q5_K_M" in p.run("pull", "org/tiny:Q5_K_M", code=1, HF_TOKEN=TOKEN)
    assert not [f for f in p.home.rglob("*") if TOKEN in f.name]


@test
def hostile_names(p: Place) -> None:
    p.hub.extra = [{"type": "file", "path": path, "size": 5000, "oid": "0" * 40, "lfs": {"oid": "0" * 64, "size": 5000}} for path in (
        "../x-Q4_K_M.gguf", "/x-Q4_K_M.gguf", "a/../../x-Q4_K_M.gguf", "..\\x-Q4_K_M.gguf", "", "a//x-Q4_K_M.gguf", "C:x-Q4_K_M.gguf", "x\n-Q4_K_M.gguf")]
    assert "8 names of the hub's list are refused" in p.run("pull", "org/tiny")
    assert p.found(Q4) and not list(p.home.rglob("x*")) and not list(pathlib.Path(p.tmp).glob("x*"))
    p.hub.extra = [{"type": "file", "path": "TINY-Q8_0.gguf", "size": 5000, "oid": "0" * 40, "lfs": {"oid": "0" * 64, "size": 5000}}]
    assert "capitals" in p.run("pull", "org/tiny:Q8_0", code=1)


@test
def several_at_once(p: Place) -> None:
    p.hub.rate = 400000
    started = [p.start("pull", "org/tiny") for _ in range(4)]
    said = [p.end(x, 0) for x in started]
    assert len(p.asked("cdn")) == 1 and p.found(Q4) and not p.parts() and any("waiting for process" in s for s in said), said


@test
def interrupted(p: Place) -> None:
    for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        p.hub.hold = 100000
        p.forget()
        running = p.start("pull", "org/tiny")
        for _ in range(600):
            if any(a.sent >= 100000 for a in p.asked("cdn")) or running.poll() is not None:
                break
            time.sleep(0.02)
        time.sleep(0.2)
        running.send_signal(sig)
        said = p.end(running, code)
        assert sig == signal.SIGKILL or "kept" in said
        assert not p.found(Q4) and [q.read_bytes() for q in p.parts()] == [Q4.data[:100000]]
        assert "being fetched" not in p.run("list")
        p.hub.calm()
        p.forget()
        p.run("pull", "org/tiny")
        assert [a.range for a in p.asked("cdn")] == ["bytes=100000-"] and p.found(Q4)
        p.run("rm", "org/tiny")


@test
def split(p: Place) -> None:
    p.run("pull", "org/split", "--connections", "2")
    assert all(p.found(f) for f in p.hub.files["org/split"])
    assert json.loads(p.run("list", "--json"))[0]["files"] == 3
    del p.hub.files["org/split"][1]
    p.forget()
    p.run("rm", "org/split")
    assert "part 2 of 3 is missing" in p.run("pull", "org/split:Q4_0", code=1) and not p.asked("cdn")


@test
def folder(p: Place) -> None:
    p.run("pull", "org/folder")
    assert all(p.found(f) for f in p.hub.files["org/folder"][:4]) and not p.found(p.hub.files["org/folder"][4])


@test
def other_programs(p: Place) -> None:
    """What they have fetched is found, checked once, and fetched anew where it is damaged."""
    blob = p.put("org/runs", p.tiny)
    run = ["run", "-m", "org/runs:Q4_0", "-p", "x", "-n", "1", "--json"]
    assert "another program" in p.run("list")
    p.run(*run)
    known = list((p.home / ".local/state/tessera/verified").iterdir())
    assert [k.name for k in known] == [p.tiny.sha256] and not p.hub.asked
    data = bytearray(p.tiny.data)
    data[-1] ^= 1
    blob.write_bytes(data)
    said = p.run(*run, code=1)
    assert "damaged" in said and "tessera pull" in said, said
    p.run("pull", "org/runs")
    assert blob.read_bytes() == p.tiny.data
    p.run(*run)


@test
def everywhere(p: Place) -> None:
    """-hf and -m NAME, in commands that open a model."""
    end = ["-p", "x", "-n", "1", "--json"]
    assert "not in the store" in p.run("run", "--hf-repo", "org/runs", *end, "--offline", code=1) and not p.hub.asked
    assert "org/runs:Q4_0" in p.run("run", "-hf", "org/runs", *end)
    assert p.found(p.tiny)
    p.forget()
    assert "is taken, from the store" in p.run("run", "--hf-repo", "org/runs", *end, "--offline")
    p.run("run", "-m", "org/runs", *end), p.run("run", "org/runs", *end)
    p.run("chat", "-hf", "org/runs", "--offline", "-n", "1"), p.run("bench", "-hf", "org/runs", "--offline", "-p", "1", "-n", "0", "-r", "1", "--json")
    p.run("eval", "-hf", "org/runs", "--offline", "-p", "some text", "--json"), p.run("inspect", "org/runs:Q4_0")
    p.run("tokenize", "-m", "hf:org/runs", "-p", "x"), p.run("run", *end, TESSERA_MODEL="org/runs:Q4_0")
    assert not p.hub.asked, [a.path for a in p.hub.asked]
    p.run("run", "-m", "a.gguf", "-hf", "org/runs", *end, code=2)
    p.run("run", "-m", "org/none", *end, code=1)
    served = p.start("serve", "--hf-repo", "mine=org/runs", "--offline", "--port", "0", "--no-cache-dir")
    line = ""
    while "http://" not in line and served.poll() is None:
        line = served.stderr.readline()
    served.terminate()
    p.end(served, 0)
    assert "http://" in line


@test
def device(p: Place) -> None:
    p.hub.files["org/tiny"].append(File("tiny-Q4_0.gguf", b"GGUF" + b"0" * 5000))
    assert "org/tiny:Q4_0" in p.run("pull", "org/tiny", "--device", "npu") and "Q4_K_M" in p.run("pull", "org/tiny")


@test
def report(p: Place) -> None:
    p.hub.cut = [100000]
    got = json.loads(p.run("pull", "org/tiny", "--json"))
    assert got["name"] == "org/tiny:Q4_K_M" and got["fetched_bytes"] == len(Q4.data) and pathlib.Path(got["path"]).read_bytes() == Q4.data
    assert [r.get("from") for r in got["requests"] if r["url"].startswith(p.hub.url["cdn"])] == [None, 100000] and "secret" not in json.dumps(got)
    p.hub.cut = [0] * 99
    got = json.loads(p.run("pull", "org/tiny:Q8_0", "--json", code=1).split("\ntessera: ")[0].split("tessera: ")[0])
    assert "error" in got and got["requests"]


@test
def names_to_type(p: Place) -> None:
    """What is printed to be typed is right for a shell, and nothing in a name acts on the terminal."""
    evil = File("a';touch evil;'-Q5_0.gguf", b"GGUF" + b"5" * 5000)
    long = File("d/" * 3 + "l" * 240 + "-Q6_K.gguf", b"GGUF" + b"6" * 5000)
    p.hub.files["org/tiny"] += [evil, long, File("mmproj-tiny-F16.gguf", b"GGUF" + b"m" * 5000)]
    p.hub.extra = [{"type": "file", "path": path, "size": 5000, "oid": "", "lfs": {"oid": "0" * 64, "size": 5000}}
                   for path in ("\u202egpj.fugg-Q2_K.gguf", "x\u2066-Q2_K.gguf", "x\u200b-Q2_K.gguf")]
    for f in evil, long:
        said = p.run("pull", "org/tiny/" + f.path)
        command = said.split("to run it: ")[1].split("\n")[0]
        typed = subprocess.run(["sh", "-c", command.replace("tessera", "printf '%s|'", 1)], capture_output=True, text=True, cwd=p.tmp).stdout
        name = typed.split("|")[2]
        assert p.run("pull", "--offline", name) and not pathlib.Path(p.tmp, "evil").exists(), (command, typed)
    assert "3 names" in said and not any(c in said for c in "\u202e\u2066\u200b"), said
    for path in "mmproj-tiny-F16.gguf", "README.md":
        said = p.run("pull", "org/tiny/" + path)
        assert "no model" in said and "to run it" not in said, said
        p.run("rm", "org/tiny/" + path)


@test
def surroundings(p: Place) -> None:
    """Addresses of the mirror are names everywhere; offline, no token and no certificate is looked at."""
    end = ["-p", "x", "-n", "1", "--json"]
    url = p.hub.url["hub"]
    for endpoint in url, url + "/", f" {url}// ":
        p.run("pull", url + "/org/runs", HF_ENDPOINT=endpoint), p.run("run", "-hf", url + "/org/runs", *end, HF_ENDPOINT=endpoint)
        p.run("run", "-m", url + "/org/runs:Q4_0", *end, HF_ENDPOINT=endpoint), p.run("rm", url + "/org/runs", HF_ENDPOINT=endpoint)
    p.run("pull", "org/runs@main/tiny-Q4_0.gguf"), p.run("pull", "org/runs/resolve/main/tiny-Q4_0.gguf"), p.run("pull", "org/runs/blob/main/tiny-Q4_0.gguf")
    bad = {"HF_TOKEN": "a b", "SSL_CERT_FILE": "/no/such/file"}
    assert "HF_TOKEN" in p.run("pull", "org/runs", code=2, HF_TOKEN="a b") and "SSL_CERT_FILE" in p.run("pull", "org/runs", code=1, SSL_CERT_FILE="/no/such/file")
    p.run("pull", "--offline", "org/runs", **bad), p.run("pull", "org/runs", HF_HUB_OFFLINE="1", **bad)
    assert "not in the store" in p.run("run", "-hf", "org/none", "--offline", *end, code=1, **bad)
    p.run("pull", "org/runs", "--device", "gpu", code=2), p.run("pull", "--device", "npux", code=2)


@test
def stall(p: Place) -> None:
    """--stall-timeout and --retry-wait are what they say."""
    p.hub.hold = 100000
    begin = time.monotonic()
    process = subprocess.run([p.program, "pull", "org/tiny", "--stall-timeout", "0.3", "--retry-wait", "0.01"], env=p.env(), capture_output=True, text=True, timeout=60)
    took = time.monotonic() - begin  # each try brings 100000 bytes and stalls
    assert process.returncode == 0 and 0.6 < took < 20 and len(p.asked("cdn")) == 4, (took, process.stderr, len(p.asked("cdn")))


@test
def read_only(p: Place) -> None:
    """A cache that may not be written to is read; what is not there goes to one of our own."""
    if os.geteuid() == 0 and subprocess.run([p.program, "--version"], user=65534, capture_output=True).returncode:
        print("skip: a read-only cache: the build folder is closed to other users; cure: chmod a+rx it")
        return
    p.put("org/runs", p.tiny)
    shared = pathlib.Path(p.tmp, "shared")
    p.cache.rename(shared)
    as_other = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    os.chmod(p.tmp, 0o755)
    if as_other:
        subprocess.run(["chown", "-R", "65534:65534", str(p.home)], check=True)
    for d in [shared, *shared.rglob("*")]:
        if d.is_dir() and not d.is_symlink():
            d.chmod(0o555)

    def go(*argv: str, code: int = 0) -> str:
        r = subprocess.run([p.program, *argv], env=p.env(HF_HUB_CACHE=str(shared)), cwd="/", capture_output=True, text=True, timeout=60, **as_other)
        assert r.returncode == code, r.stderr
        return r.stdout + r.stderr
    go("pull", "org/runs", *QUICK)
    assert not p.asked("cdn")
    assert "may not be written to" in go("pull", "org/tiny", *QUICK)
    assert (p.home / ".cache/tessera/hub/models--org--tiny").is_dir()
    said = go("list")
    assert "org/runs" in said and "org/tiny:Q4_K_M" in said
    go("rm", "org/tiny")
    assert not (p.home / ".cache/tessera/hub/models--org--tiny").exists()
    assert "may not be written to" in go("rm", "org/runs", code=1)
    # what is damaged there is fetched to our own, and found there
    blob = shared / f"models--org--runs/blobs/{p.tiny.sha256}"
    blob.chmod(0o644)
    blob.write_bytes(p.tiny.data[:-1] + b"!")
    blob.chmod(0o444)
    run = ["run", "-m", "org/runs:Q4_0", "-p", "x", "-n", "1", "--json"]
    assert "damaged" in go(*run, code=1)
    go("pull", "org/runs", *QUICK), go(*run)
    go("rm", "org/runs:Q4_0")
    assert not list(p.home.rglob(p.tiny.sha256)) and blob.exists()
    for d in [shared, *shared.rglob("*")]:
        if d.is_dir() and not d.is_symlink():
            d.chmod(0o755)
    if not as_other:
        return
    # one that several write to: files of others are locked by reading them, and where they cannot be, our own is taken
    shared = pathlib.Path(p.tmp, "several")
    p.run("pull", "org/tiny:Q4_K_M", HF_HUB_CACHE=str(shared))
    for d in [shared, *shared.rglob("*")]:
        if d.is_dir() and not d.is_symlink():
            d.chmod(0o777)
    (shared / f".locks/models--org--tiny/{Q8.sha256}.lock").write_text("")
    part = shared / f"models--org--tiny/blobs/{Q8.sha256}.tessera-part"
    part.write_bytes(Q8.data[:1000])
    part.chmod(0o600)
    go("pull", "org/tiny:Q8_0", *QUICK)
    assert (shared / f"models--org--tiny/blobs/{Q8.sha256}").read_bytes() == Q8.data and not part.exists()
    (shared / ".locks/models--org--tiny/tessera.lock").chmod(0o600)
    go("rm", "org/tiny:Q8_0", code=1)
    p.hub.files["org/tiny"].append(File("tiny-Q5_0.gguf", b"GGUF" + b"5" * 5000))
    assert "may not be written to" in go("pull", "org/tiny:Q5_0", *QUICK)
    assert p.found(p.hub.files["org/tiny"][-1])


@test
def nothing_else(p: Place) -> None:
    p.run("pull", "", code=2), p.run("pull", "a b/c", code=2), p.run("pull", "x", code=2), p.run("pull", "https://example.org/a/b", code=2)
    p.run("pull", "org/tiny", code=2, HF_ENDPOINT="ftp://x"), p.run("rm", "x", code=2), p.run("rm", code=2)
    assert "None was tried" in p.run("pull") and not p.hub.asked
    assert "not found" in p.run("pull", "org/none", code=1)
    assert hashlib.sha256(Q4.data).hexdigest() == Q4.sha256


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tiny")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    failed = 0
    for f in TESTS:
        if not re.search(args.only, f.__name__):
            continue
        place = Place(os.path.abspath(args.program), args.tiny)
        try:
            f(place)
            print(f"ok   {f.__name__}", flush=True)
        except Exception as e:  # a test that fails is told, and the others go on
            failed += 1
            where = e.__traceback__.tb_next.tb_lineno if e.__traceback__.tb_next else 0
            print(f"FAIL {f.__name__}, line {where}: {type(e).__name__} {e}"[:1500], flush=True)
        place.clear()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
