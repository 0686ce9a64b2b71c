#!/usr/bin/env python3
"""tessera quantize as a whole: the same bytes for every number of threads and level, also when the program is killed and run again;
what it refuses; and, where llama.cpp is installed as tools/versus_llama.sh does it, the same types as llama-quantize chooses.

Usage: test_quantize.py TESSERA SMALL_DISK.so [TEST]        Exit code: 0 passed, 1 failed"""
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tessera/versus/debian"
TYPES = ["q4_k_m", "q4_k_s", "q4_0", "q4_1", "q5_k_m", "q5_k_s", "q5_0", "q5_1", "q3_k_m", "q3_k_l", "q3_k_s", "q2_k", "q6_k",
         "q8_0", "iq4_nl", "iq4_xs", "f16", "bf16"]
NO_LLAMA = "skip: no llama.cpp to compare with; cure: tools/versus_llama.sh, as root, installs it"


# ---- models ----------------------------------------------------------------------------------------------------------------

def string(s: str) -> bytes:
    return struct.pack("<Q", len(s)) + s.encode()


def make_model(path: pathlib.Path, layers: int, width: int, heads: int, kv_heads: int, ff: int, *, tied: bool = False,
               fused: bool = False, seed: int = 1) -> None:
    """A Llama of that shape in F32, with a vocabulary of bytes; noise from a short stretch of random numbers."""
    vocab, head = 272, width // heads
    tensors = [("token_embd.weight", (width, vocab)), ("output_norm.weight", (width,))]
    if not tied:
        tensors.append(("output.weight", (width, vocab)))
    for i in range(layers):
        kv = kv_heads * head
        attention = [("attn_qkv", (width, width + 2 * kv))] if fused else [
            ("attn_q", (width, width)), ("attn_k", (width, kv)), ("attn_v", (width, kv))]
        tensors += [(f"blk.{i}.{name}.weight", shape) for name, shape in [
            ("attn_norm", (width,)), *attention, ("attn_output", (width, width)), ("ffn_norm", (width,)),
            ("ffn_gate", (width, ff)), ("ffn_up", (width, ff)), ("ffn_down", (ff, width))]]
    u32 = {"block_count": layers, "context_length": 128, "embedding_length": width, "feed_forward_length": ff,
           "attention.head_count": heads, "attention.head_count_kv": kv_heads, "rope.dimension_count": head, "vocab_size": vocab}
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + [f"word{i}" for i in range(vocab - 259)]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (vocab - 259)
    entries = [string("general.architecture") + struct.pack("<I", 8) + string("llama"),
               string("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5),
               string("tokenizer.ggml.model") + struct.pack("<I", 8) + string("llama"),
               string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, vocab) + b"".join(map(string, names)),
               string("tokenizer.ggml.scores") + struct.pack(f"<IIQ{vocab}f", 9, 6, vocab, *[0] * vocab),
               string("tokenizer.ggml.token_type") + struct.pack(f"<IIQ{vocab}i", 9, 5, vocab, *kinds)]
    entries += [string("llama." + key) + struct.pack("<II", 4, value) for key, value in u32.items()]
    rng = random.Random(seed)
    noise = struct.pack("<30000f", *[rng.gauss(0, 1) * 0.05 for _ in range(30000)])
    header, data, at = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries), [], 0
    for name, shape in tensors:
        n = 4
        for d in shape:
            n *= d
        header += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, at)
        shift = 4 * rng.randrange(20000)
        ones = struct.pack(f"<{n // 4}f", *[1] * (n // 4)) if "norm" in name else (noise[shift:] + noise * (n // len(noise) + 1))[:n]
        data.append(ones + b"\0" * (-n % 32))
        at += len(data[-1])
    path.write_bytes(header + b"\0" * (-len(header) % 32) + b"".join(data))


SHAPES = {"gqa": (16, 256, 8, 2, 512), "mha": (12, 256, 8, 8, 512), "tied": (9, 256, 8, 4, 512), "80 layers": (80, 256, 8, 1, 256),
          "80 layers, mha": (80, 256, 8, 8, 256), "96 and 172 wide": (6, 96, 4, 2, 172), "96, tied": (6, 96, 4, 1, 160),
          "36 wide": (6, 36, 4, 2, 64), "fused": (8, 256, 8, 4, 512), "1 layer": (1, 256, 4, 1, 256)}


# ---- programs --------------------------------------------------------------------------------------------------------------

def run(*args, env: dict | None = None, code: int = 0) -> subprocess.CompletedProcess:
    r = subprocess.run([sys.argv[1], *map(str, args)], capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=300)
    assert r.returncode == code, (args, r.returncode, r.stderr)
    return r


def llama(*args, until: str = "") -> str:
    """What a program of llama.cpp says, which has `until` in it."""
    for _ in range(10):  # its last lines are lost now and then
        said = llama_once(*args)
        if until in said:
            return said
    raise AssertionError((args, said[-500:]))


def llama_once(*args) -> str:
    r = subprocess.run(["chroot", str(CACHE), "env", "-i", "PATH=/usr/bin:/bin", "HOME=/tmp", *map(str, args)], capture_output=True,
                       text=True, errors="replace", timeout=600)
    assert r.returncode == 0, (args, r.stdout[-1000:], r.stderr[-1000:])
    return r.stdout + r.stderr


def have_llama() -> bool:
    return os.geteuid() == 0 and (CACHE / "usr/bin/llama-quantize").exists()


class Inside:
    """A folder that programs of llama.cpp see, too."""

    def __enter__(self) -> pathlib.Path:
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="tessera-quantize-", dir=CACHE / "tmp"))
        return self.path

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.path)


def seen(path: pathlib.Path) -> str:
    """Its name inside."""
    return "/" + str(path.relative_to(CACHE))


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- tests -----------------------------------------------------------------------------------------------------------------

def test_same_bytes(tmp: pathlib.Path) -> None:
    src, out = tmp / "src.gguf", tmp / "out.gguf"
    make_model(src, 2, 256, 4, 2, 768)
    levels = ["ref"] + [level for level in ("avx2", "avx512vnni") if subprocess.run(
        [sys.argv[1], "quantize", src, out, "q8_0"], env={**os.environ, "TESSERA_CPU": level}, capture_output=True).returncode == 0]
    for kind in ("q4_k_m", "iq4_xs", "q2_k", "q5_1"):
        digests = set()
        for level in levels:
            for threads in (1, 2, 5):
                run("quantize", src, out, "--type", kind, "-t", threads, "--quiet", env={"TESSERA_CPU": level})
                digests.add(digest(out))
        assert len(digests) == 1, (kind, levels)
        run("eval", "-m", out, "-p", "some text")
    assert sorted(p.name for p in tmp.iterdir()) == ["out.gguf", "src.gguf"]


def test_killed(tmp: pathlib.Path) -> None:
    """kill -9 at any time, then the same again: the bytes of a run that nobody has disturbed."""
    src, out, whole = tmp / "src.gguf", tmp / "out.gguf", tmp / "whole.gguf"
    make_model(src, 24, 512, 8, 2, 1024)
    args = ["--type", "q4_k_m", "-t", "1", "--tensor-type", "ffn_up=q5_k"]
    slow = {**os.environ, "TESSERA_CPU": "ref"}
    begin = time.monotonic()
    run("quantize", src, whole, *args, env=slow)
    took, kept = time.monotonic() - begin, 0
    for share in (0.2, 0.5, 0.9):
        p = subprocess.Popen([sys.argv[1], "quantize", src, out, *args], env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(took * share)
        p.send_signal(signal.SIGKILL)
        p.wait()
        assert not out.exists() or p.returncode == 0
    r = json.loads(run("quantize", src, out, *args, "--json").stdout)
    assert digest(out) == digest(whole)
    # Ctrl-C: one line, and what was done stays
    p = subprocess.Popen([sys.argv[1], "quantize", src, tmp / "c.gguf", *args], env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(took * 0.5)
    p.send_signal(signal.SIGINT)
    said = p.communicate()[1]
    if p.returncode:
        assert said.count("\n") == 1 and "stopped" in said and "goes on from there" in said, said
        assert (tmp / "c.gguf.partial").exists() and (tmp / "c.gguf.state").exists() and not (tmp / "c.gguf").exists()
        # damaged notes about it, other options: begun anew
        state = (tmp / "c.gguf.state").read_bytes()
        (tmp / "c.gguf.state").write_bytes(state[:-3])
        assert json.loads(run("quantize", src, tmp / "c.gguf", *args, "--json", "--quiet").stdout)["kept"] == 0
        assert digest(tmp / "c.gguf") == digest(whole)
        p = subprocess.Popen([sys.argv[1], "quantize", src, tmp / "d.gguf", *args], env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(took * 0.5)
        p.send_signal(signal.SIGINT)
        p.communicate()
        if p.returncode:
            r = json.loads(run("quantize", src, tmp / "d.gguf", *args, "--json").stdout)
            assert r["kept"] > 0 and all("error" in t for t in r["tensors"] if t["type"] != t["from"]), r["kept"]
            assert digest(tmp / "d.gguf") == digest(whole)
    assert not [p.name for p in tmp.iterdir() if p.suffix in (".partial", ".state")]


def test_full_disk(tmp: pathlib.Path) -> None:
    """A disk that gets full, and is full still: what is whole stays, and is gone on with once there is room."""
    src, out, whole, text = tmp / "src.gguf", tmp / "out.gguf", tmp / "whole.gguf", tmp / "text"
    make_model(src, 6, 256, 4, 2, 512)
    text.write_text("".join(f"line {i * i} of a text\n" for i in range(100)))
    partial, state = tmp / "out.gguf.partial", tmp / "out.gguf.state"
    for method in ([], ["--method", "gptq", "--calibration", text, "--tokens", "512"]):
        args = ["--type", "q4_0", "--quiet", *method]
        run("quantize", src, whole, *args)
        # with a method the layers come last, and their states lie beside
        size, beside = whole.stat().st_size, 2 * 512 * 256 * 4 if method else 0
        disk = {"LD_PRELOAD": os.path.abspath(sys.argv[2]), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        for full in {"DISK_BYTES": str(int(size * 0.8) + beside)}, {"DISK_FREE": "10000"}:
            r = run("quantize", src, out, *args, env=disk | full, code=1)
            assert r.stderr.count("\n") == 1 and "goes on from there" in r.stderr, (method, full, r.stderr)
            assert ("No space left" if "DISK_BYTES" in full else "MiB are needed") in r.stderr, (method, full, r.stderr)
            assert partial.exists() and state.exists() and not out.exists(), (method, full)
        r = json.loads(run("quantize", src, out, *args, "--json").stdout)
        assert r["kept"] > 5 and digest(out) == digest(whole), (method, r["kept"])
        assert not partial.exists() and not state.exists()
        out.unlink()
        # no room from the first byte on: nothing stays, what others have left does
        run("quantize", src, out, *args, env=disk | {"DISK_FREE": "10000"}, code=1)
        assert not partial.exists() and not state.exists()
        partial.write_bytes(b"of somebody else")
        run("quantize", src, out, *args, env=disk | {"DISK_FREE": "10000"}, code=1)
        assert partial.read_bytes() == b"of somebody else"
        partial.unlink()


def test_refused(tmp: pathlib.Path) -> None:
    src, out = tmp / "src.gguf", tmp / "out.gguf"
    make_model(src, 1, 256, 4, 2, 256)
    (tmp / "link.gguf").symlink_to(src)
    before = digest(src)
    for to in (src, tmp / "link.gguf"):
        r = run("quantize", src, to, code=2)
        assert "is the source: give the result another name" in r.stderr, r.stderr
    assert digest(src) == before
    partial = tmp / "p.gguf.partial"
    src.rename(partial)
    assert "is the source" in run("quantize", partial, tmp / "p.gguf", code=2).stderr
    partial.rename(src)
    assert digest(src) == before
    run("quantize", src, out, "q4_0")
    # rounded again to its own type, too
    assert "quantising twice adds the errors" in run("quantize", out, tmp / "o2.gguf", "q4_0", "--method", "awq", code=2).stderr
    assert "quantising twice adds the errors" in run("quantize", out, tmp / "o2.gguf", "q8_0", code=2).stderr
    r = run("quantize", out, tmp / "o2.gguf", "q8_0", "--allow-requantize")
    assert "are quantised already: the errors add up" in r.stderr
    bad = bytearray(src.read_bytes())
    bad[-4 * 1000:-4 * 999] = struct.pack("<f", float("nan"))
    src.write_bytes(bad)
    r = run("quantize", src, tmp / "o3.gguf", code=1)
    assert re.search(r"tensor blk\.0\.ffn_down\.weight: element \d+ is not a finite number", r.stderr), r.stderr
    assert sorted(p.name for p in tmp.iterdir()) == ["link.gguf", "o2.gguf", "out.gguf", "src.gguf"]
    full = subprocess.run([sys.argv[1], "quantize", src, "/dev/full", "f16"], capture_output=True, text=True)
    assert full.returncode == 1 and full.stderr.count("\n") == 1, full.stderr


def test_other_types(tmp: pathlib.Path) -> None:
    """A type that nothing here computes with: convert carries it over, quantize says which tensor it is."""
    iq2_xxs, rows, row = 16, 3, 256
    blocks = bytes(range(256))[:66] * rows  # 66 bytes for 256 elements
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + string("general.architecture") + struct.pack("<I", 8) + string("llama") + (
        string("llama.block_count") + struct.pack("<II", 4, 1)) + string("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, row, rows, iq2_xxs, 0)
    src, out = tmp / "src.gguf", tmp / "out.gguf"
    src.write_bytes(head + b"\0" * (-len(head) % 32) + blocks)
    run("convert", src, out)
    assert blocks in out.read_bytes()
    for args in (["convert", "--type", "f16"], ["quantize", "--type", "q8_0", "--allow-requantize"]):
        r = run(args[0], src, tmp / "o.gguf", *args[1:], code=1)
        assert "blk.0.attn_q.weight" in r.stderr and "iq2_xxs" in r.stderr and "cannot be read" in r.stderr, r.stderr


def test_groups(tmp: pathlib.Path) -> None:
    """4-bit groups lie in the file as Q4_1; Q4_1 beside them stays what it is, also through convert."""
    src, out, again = tmp / "src.gguf", tmp / "out.gguf", tmp / "again.gguf"
    make_model(src, 2, 256, 4, 2, 512)
    run("quantize", src, out, "npu4", "--tensor-type", "attn_v=q4_1", "--tensor-type", "blk.1.ffn_up=u4g32", "--head", "q4_1")
    run("convert", out, again)
    told = [{t["name"]: t["type"] for t in json.loads(run("convert", "--dry-run", "--json", f).stdout)["tensors"]} for f in (out, again)]
    assert told[0] == told[1]
    assert told[0]["blk.0.attn_v.weight"] == told[0]["output.weight"] == "q4_1", told[0]
    assert told[0]["blk.1.ffn_up.weight"] == "u4g32" and told[0]["blk.0.ffn_up.weight"] == "u4g128", told[0]
    said = [json.loads(run("eval", "-m", f, "-p", "some text", "--json").stdout)["perplexity"] for f in (out, again)]
    assert said[0] == said[1], said


def test_report(tmp: pathlib.Path) -> None:
    """On text that no calibration sees, with and without lines; one JSON object; standard output has the file alone."""
    src, out, text = tmp / "src.gguf", tmp / "out.gguf", tmp / "text"
    make_model(src, 1, 256, 4, 2, 256)
    lines = "".join(f"line {i * i} of a text, {i % 7} times\n" for i in range(200))
    for content in (lines, lines.replace("\n", " "), "\u00fc" * 3000):
        text.write_text(content)
        r = json.loads(run("quantize", src, out, "q4_0", "--report", "--calibration", text, "--json").stdout)
        held = len(content.encode()) / 5
        assert 0 < r["report"]["tokens"] <= held / 2 + 1 and r["report"]["kl_mean"] > 0, r["report"]
    said = run("quantize", src, out, "q4_0", "--json").stdout
    assert "report" not in json.loads(said)
    piped = subprocess.run([sys.argv[1], "quantize", src, "/dev/stdout", "q4_0", "--json"], capture_output=True)
    assert piped.returncode == 0 and piped.stdout == out.read_bytes() and json.loads(piped.stderr)["file"] == "/dev/stdout"


def test_types(tmp: pathlib.Path) -> None:
    """Every type for every shape, with an importance matrix and without: what llama-quantize would choose."""
    if not have_llama():
        return print(NO_LLAMA)
    with Inside() as inside:
        for name, shape in SHAPES.items():
            src, matrix = inside / "src.gguf", inside / "imatrix.dat"
            make_model(src, *shape, tied="tied" in name, fused=name == "fused")
            tensors = json.loads(run("quantize", src, "--dry-run", "--json", "--quiet").stdout)["tensors"]
            columns = {n: c for n, c in re.findall(r"(blk\.\S+)\s+f32\s+(\d+) x \d+", run("inspect", src).stdout)}
            matrix.write_bytes(struct.pack("<i", len(columns)) + b"".join(
                struct.pack("<i", len(n)) + n.encode() + struct.pack("<ii", 1, int(c)) + struct.pack(f"<{c}f", *[1] * int(c))
                for n, c in columns.items()))
            for kind in TYPES:
                for extra in ((), ("--imatrix", matrix)):
                    said = llama("llama-quantize", *(("--imatrix", seen(matrix)) if extra else ()), "--dry-run", seen(src),
                                 kind.upper())
                    theirs = dict(re.findall(r"\] (\S+) +- \[.*MiB -> .*\((\w+)\)", said))
                    ours = json.loads(run("quantize", src, "--dry-run", "--json", "--quiet", "--type", kind, *extra).stdout)
                    mine = {t["name"]: t["type"] for t in ours["tensors"] if t["type"] != t["from"]}
                    assert theirs and mine == theirs, (name, kind, extra, [(n, mine.get(n), theirs.get(n)) for n in {*mine, *theirs}
                                                                          if mine.get(n) != theirs.get(n)][:5])
            assert len(tensors) > 5


def test_files(tmp: pathlib.Path) -> None:
    """llama.cpp takes our files, says the same type and size, and so do we of its files."""
    if not have_llama():
        return print(NO_LLAMA)
    with Inside() as inside:
        src = inside / "src.gguf"
        make_model(src, 8, 256, 8, 2, 512)
        for kind in ("q4_k_m", "q4_0", "iq4_xs"):
            ours, theirs = inside / "ours.gguf", inside / "theirs.gguf"
            run("quantize", src, ours, kind)
            llama("llama-quantize", seen(src), seen(theirs), kind.upper())
            a, b = (json.loads(run("inspect", "--json", f).stdout) for f in (ours, theirs))
            for key in ("general.file_type", "general.quantization_version"):
                assert a["metadata"][key] == b["metadata"][key], (key, a["metadata"][key], b["metadata"][key])
            llama("llama-perplexity", "-m", seen(ours), "-f", "/usr/share/common-licenses/Apache-2.0", "-c", "64", "--chunks", "2",
                  until="Final estimate: PPL")
            run("eval", "-m", theirs, "-p", "some text")


def test_imatrix(tmp: pathlib.Path) -> None:
    """The same text through both programs: the same means, but for activations of 8 bits; each quantises with the other's file."""
    if not have_llama():
        return print(NO_LLAMA)
    with Inside() as inside:
        src, text, ours, theirs, old = (inside / n for n in ("src.gguf", "text", "ours.gguf", "theirs.gguf", "theirs.dat"))
        make_model(src, 3, 256, 8, 2, 512)
        text.write_text("".join(random.Random(3).choice("etaoin shrdlu\n") for _ in range(127 * 6)))  # bytes are tokens
        run("imatrix", src, "--text", text, "--chunk-size", "128", "-o", ours)
        for out, form in ((theirs, "gguf"), (old, "dat")):
            out.unlink(missing_ok=True)
            llama("llama-imatrix", "-m", seen(src), "-f", seen(text), "-c", "128", "-o", seen(out), "--output-format", form)
        results = {}
        for name, matrix in (("none", None), ("ours", ours), ("theirs", theirs), ("old", old)):
            out = inside / "out.gguf"
            results[name] = json.loads(run("quantize", src, out, "q4_k_s", "--json", *(("--imatrix", matrix) if matrix else ())).stdout)
            results[name]["bytes"] = out.read_bytes()
        weighted = [t["name"] for t in results["ours"]["tensors"] if t["weighted"]]
        assert len(weighted) == 3 * 7 and weighted == [t["name"] for t in results["theirs"]["tensors"] if t["weighted"]]
        a, b, c, d = (results[n]["bytes"][-20000:] for n in ("none", "ours", "theirs", "old"))
        alike = lambda p, q: sum(x == y for x, y in zip(p, q)) / len(p)
        assert alike(c, d) > 0.99 and alike(b, c) > alike(a, c) + 0.1, (alike(a, c), alike(b, c), alike(c, d))
        llama("llama-quantize", "--imatrix", seen(ours), seen(src), seen(inside / "o.gguf"), "Q4_K_S")
        said = json.loads(run("inspect", "--json", inside / "o.gguf").stdout)["metadata"]
        for key, value in (("entries_count", 21), ("chunks_count", 6), ("dataset", "text")):
            assert said["quantize.imatrix." + key]["value"] == value, (key, said["quantize.imatrix." + key])


def test_divergence(tmp: pathlib.Path) -> None:
    """eval --kl says what llama-perplexity --kl-divergence says, but for activations of 8 bits and its base in 16."""
    if not have_llama():
        return print(NO_LLAMA)
    with Inside() as inside:
        src, small, text, base = (inside / n for n in ("src.gguf", "small.gguf", "text", "base"))
        make_model(src, 2, 256, 8, 2, 512)
        text.write_text("".join(random.Random(4).choice("etaoin shrdlu\n") for _ in range(64 * 12)))
        run("quantize", src, small, "q2_k")
        ours = json.loads(run("eval", "-m", small, "--kl", src, "-f", text, "--ctx", "64", "--json").stdout)
        llama("llama-perplexity", "-m", seen(src), "-f", seen(text), "-c", "64", "--kl-divergence-base", seen(base))
        said = llama("llama-perplexity", "-m", seen(small), "-f", seen(text), "-c", "64", "--kl-divergence-base", seen(base), "--kl-divergence",
                     until="Same top p:")
        theirs = {k: float(re.search(rf"{re.escape(name)} *: *(-?[\d.]+)", said)[1]) for k, name in (
            ("kl_mean", "Mean    KLD"), ("kl_median", "Median  KLD"), ("perplexity", "Mean PPL(Q)"), ("dp_rms", "RMS Δp"), ("same_top", "Same top p"))}
        theirs["dp_rms"] /= 100
        theirs["same_top"] /= 100
        for k, value in theirs.items():
            assert abs(ours[k] - value) < max(0.03 * value, 0.02 if k == "same_top" else 2e-4), (k, ours[k], value)


TESTS = {n.removeprefix("test_"): f for n, f in list(globals().items()) if n.startswith("test_")}


def main() -> int:
    for name in sys.argv[3:] or TESTS:
        with tempfile.TemporaryDirectory(prefix="tessera-quantize-") as tmp:
            TESTS[name](pathlib.Path(tmp))
        print(name, "passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
