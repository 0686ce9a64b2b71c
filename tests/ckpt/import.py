"""Folders in every form that Tessera reads, made by another implementation (numpy and the formats' own packers): the
numbers of every tensor bit for bit, logits within the rounding of int8 activations, tokens.

Usage: import.py IMPORT_DUMP TESSERA"""
import hashlib
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import testdata

# r.m.s. of the difference to exact activations, in parts of the logits' deviation (seen: 0.019 to 0.049), and of 4-bit
# models to a second implementation of rule 1 of docs/numerics.md, whose KV cache and sums are doubles (seen: 2e-7)
# SHARP: the largest difference in F32 to sums in double precision (seen: 3.3e-6, an F32's rounding where logits reach 33)
EXACT, INT8, SHARP = 0.08, 1e-5, 5e-6


def floats(path):
    raw = pathlib.Path(path).read_bytes()
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def rms(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / len(a))


def run(*cmd, **kw):
    p = subprocess.run(cmd, capture_output=True, text=True, timeout=120, **kw)
    if p.returncode:
        sys.exit(f"{' '.join(map(str, cmd[:2]))}: exit code {p.returncode}: {p.stderr.strip()}")
    return p.stdout


def check_tensors(name, listing, raw, want):
    at, seen = 0, {}
    for line in listing.splitlines():
        tensor, cols, rows, _ = line.split()
        n = 4 * int(cols) * int(rows)
        seen[tensor] = hashlib.sha256(raw[at:at + n]).hexdigest()
        at += n
    wrong = [t for t in want if seen.get(t) != want[t]["sha256_f32"]]
    assert not wrong, f"{name}: other numbers in {len(wrong)} of {len(want)} tensors, first {wrong[0]}"
    assert set(seen) == set(want), f"{name}: {sorted(set(seen) ^ set(want))}"


def check(folder, dump, tessera, tmp):
    expect = json.loads((folder / "expect/expect.json").read_text())
    ids, vocab = expect["ids"], expect["vocab"]
    raw, out = tmp / "tensors", tmp / "logits"
    listing = run(dump, folder, raw, out, *map(str, ids))
    check_tensors(folder.name, listing, raw.read_bytes(), expect["gguf"])
    got, want = floats(out), floats(folder / "expect/logits.f32")
    bound = 2e-5 if "u4g" not in listing else EXACT * expect["logits_std"]
    error = rms(got, want)
    assert error <= bound, f"{folder.name}: logits differ by {error:.3g} r.m.s., allowed {bound:.3g}"
    line = f"{folder.name}: {len(expect['gguf'])} tensors, r.m.s. {error / expect['logits_std']:.2g}"
    sharp = folder / "expect/logits_int8.f32"
    if sharp.exists():
        want = floats(sharp)
        error = rms(got[-len(want):], want) / expect["logits_std"]
        assert error <= INT8, f"{folder.name}: logits differ by {error:.3g} from those of int8 activations"
        line += f", int8 {error:.2g}"
    for sample in expect["tokenizer_samples"]:
        text = sample["text"]
        tokens = run(tessera, "tokenize", "-m", str(folder), "--no-bos", "--ids", "-p", text)
        assert tokens.strip() == ",".join(map(str, sample["ids"])), f"{folder.name}: {text!r}: {tokens}"
    # the same bits whatever computes: the simulated NPU, more threads
    again = tmp / "again"
    for more in ["--threads", "3"], ["--device", "npu-sim:allow-cpu-ops"]:
        run(dump, folder, "-", again, *more, *map(str, ids[:4]))
        assert again.read_bytes() == out.read_bytes()[:16 * vocab], f"{folder.name}: {more} changes bits"
    check_converted(folder, expect, dump, tessera, tmp, out.read_bytes(), "actorder" in folder.name)
    print(line)


def check_converted(folder, expect, dump, tessera, tmp, logits, act_order):
    """The GGUF file of a folder gives its bits and its tokens, and turned to F32 the exact logits."""
    file, again, sharp = tmp / "c.gguf", tmp / "converted", tmp / "f32.gguf"
    ids = list(map(str, expect["ids"]))
    p = subprocess.run([tessera, "convert", folder, file, "--quiet"], capture_output=True, text=True, timeout=60)
    if act_order:
        assert p.returncode == 1 and "act-order" in p.stderr, p.stderr
    else:
        assert p.returncode == 0, p.stderr
        run(dump, file, "-", again, *ids)
        assert again.read_bytes() == logits, f"{folder.name}: the GGUF file gives other bits"
        for sample in expect["tokenizer_samples"]:
            tokens = run(tessera, "tokenize", "-m", file, "--no-bos", "--ids", "-p", sample["text"])
            assert tokens.strip() == ",".join(map(str, sample["ids"])), f"{folder.name}: {sample['text']!r}: {tokens}"
    run(tessera, "convert", folder, sharp, "--type", "f32", "--quiet")
    run(dump, sharp, "-", again, *ids)
    worst = max(abs(a - b) for a, b in zip(floats(again), floats(folder / "expect/logits.f32")))
    assert worst <= SHARP * expect["logits_std"], f"{folder.name}: in F32 logits differ by {worst}"


def main():
    if not testdata.SHARED:
        print("skip:", testdata.NO_SHARED)
        return 77
    folders = sorted(p.parent.parent for p in pathlib.Path(testdata.SHARED).glob("import/fixtures/*/expect/expect.json"))
    assert len(folders) >= 14, f"{len(folders)} folders"
    with tempfile.TemporaryDirectory() as tmp:
        for folder in folders:
            check(folder, sys.argv[1], sys.argv[2], pathlib.Path(tmp))


if __name__ == "__main__":
    sys.exit(main())
