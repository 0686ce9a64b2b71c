#!/usr/bin/env python3
"""Make the stored logits of tests/vectors anew: tests/vectors/data/*.f32 and manifest.json.

Usage: make_vectors.py BUILD_FOLDER CHROOT     (CHROOT: a Debian system with libllama-dev and gcc in it; as root)
Run it when tests/vectors/zoo.c or src/report/shape.c changes what a model consists of; needs NumPy.

For every model of the zoo:
  exact     exact_llama.py, double precision, on the long prompt; a few positions
  exact-kv-f16  the same with keys and values rounded to f16
  int8      exact_llama.py --int8 on a short prompt of its own: searched for until no input of a quantised layer is closer
            than MARGIN steps to a rounding boundary, so that there is one right answer; its last positions. Only
            where the model has quantised layers.
  llama     llama.cpp (llama_logits.c) on the long prompt, where it takes the model; KV cache f32"""
import datetime
import hashlib
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

import numpy as np

import exact_llama

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/vectors"
N_PROMPT, POSITIONS = 200, [0, 63, 64, 130, 199]  # around and behind the borders of the KV cache's tiles
N_SHORT, SHORT_POSITIONS, MARGIN = 6, [0, 4, 5], 2e-4
KV_F16 = ("gqa3-hd40", "window", "qwen3", "f16")
# the models that llama.cpp does not run as the file means them, and why
NOT_LLAMA = {"rot-half": "refuses heads that are rotated in part", "window": "ignores the sliding window of llama files",
             "window-1": "ignores the sliding window of llama files"}


def output(*argv) -> str:
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True).stdout.strip()


class Llama:
    """llama.cpp in the chroot."""

    def __init__(self, root: pathlib.Path):
        self.root, self.dir = root, pathlib.Path(tempfile.mkdtemp(prefix="vectors-", dir=root / "tmp"))
        self.inside = pathlib.Path("/tmp") / self.dir.name
        shutil.copy(ROOT / "tools/llama_logits.c", self.dir)
        self.run("gcc", "-O1", "-o", self.inside / "llama_logits", self.inside / "llama_logits.c", "-lllama", "-lggml", "-lggml-base")

    def run(self, *argv) -> str:
        return output("chroot", self.root, *argv)

    def version(self) -> str:
        return self.run("dpkg-query", "-W", "-f", "${Package} ${Version}; ", "libllama0", "libggml0").strip("; ")

    def logits(self, model: pathlib.Path, ids: list[int]) -> np.ndarray:
        shutil.copy(model, self.dir / "model.gguf")
        self.run(self.inside / "llama_logits", self.inside / "model.gguf", ",".join(map(str, ids)), self.inside / "out", "f32")
        return np.fromfile(self.dir / "out", "<f4").reshape(len(ids), -1)

    def close(self):
        shutil.rmtree(self.dir)


def short_prompt(model: exact_llama.Model, n_vocab: int) -> tuple[list[int], np.ndarray]:
    rng = np.random.default_rng(1)
    for _ in range(100000):
        ids = rng.integers(0, n_vocab, N_SHORT).tolist()
        logits = model.logits(ids)
        if model.margin >= MARGIN:
            return ids, logits
    sys.exit("no prompt keeps clear of rounding boundaries")


def vectors_of(name: str, path: pathlib.Path, prompt: list[int], llama: Llama) -> dict:
    entry = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size, "parts": []}
    parts = []

    def keep(source: str, logits: np.ndarray, ids: list[int] | None, positions: list[int], kv: str = "f32"):
        entry["parts"].append({"source": source, "kv": kv, "positions": positions} | ({"ids": ids} if ids else {}))
        parts.append(logits[positions].astype("<f4"))

    exact = exact_llama.Model(str(path))
    keep("exact", exact.logits(prompt), None, POSITIONS)
    if name in KV_F16:
        keep("exact", exact_llama.Model(str(path), kv_f16=True).logits(prompt), None, POSITIONS, "f16")
    if any(kind in exact_llama.ACT_BLOCK for kind, _, _ in exact.file.tensors.values()):
        ids, logits = short_prompt(exact_llama.Model(str(path), int8=True), exact.embedding.shape[0])
        keep("int8", logits, ids, SHORT_POSITIONS)
    if name in NOT_LLAMA:
        entry["no_llama"] = NOT_LLAMA[name]
    else:
        keep("llama", llama.logits(path, prompt), None, POSITIONS)
    data = b"".join(p.tobytes() for p in parts)
    (OUT / "data" / f"{name}.f32").write_bytes(data)
    entry["data_sha256"] = hashlib.sha256(data).hexdigest()
    return entry


def main() -> None:
    build, llama = pathlib.Path(sys.argv[1]), Llama(pathlib.Path(sys.argv[2]))
    make_model = build / "tests/vectors/make_model"
    shutil.rmtree(OUT / "data", ignore_errors=True)
    (OUT / "data").mkdir()
    prompt = [int(i) for i in output(make_model, "--prompt", N_PROMPT).split(",")]
    manifest = {
        "about": "logits of the models of zoo.c, f32 little endian, per model: the parts in order, [position][vocabulary]",
        "made_by": "tools/make_vectors.py", "made_on": datetime.date.today().isoformat(), "machine": platform.machine(),
        "exact": f"tools/exact_llama.py, NumPy {np.__version__}, Python {platform.python_version()}",
        "llama": f"llama.cpp: Debian {llama.version()}; tools/llama_logits.c, KV cache f32, no flash attention, 1 thread",
        "margin": MARGIN, "prompt": prompt, "models": {}}
    try:
        with tempfile.TemporaryDirectory() as tmp:
            for name in output(make_model, "--list").split():
                path = pathlib.Path(tmp) / "model.gguf"
                output(make_model, name, path)
                manifest["models"][name] = vectors_of(name, path, prompt, llama)
                print(name, flush=True)
    finally:
        llama.close()
    text = json.dumps(manifest, indent=1)
    (OUT / "manifest.json").write_text(compact(text) + "\n")


def compact(text: str) -> str:
    """Lists of numbers on one line."""
    lines, inside = [], False
    for line in text.splitlines():
        if inside:
            lines[-1] += line.strip() + (" " if line.endswith(",") else "")
            inside = not line.strip().startswith("]")
        else:
            lines.append(line)
            inside = line.endswith("[") and '"parts"' not in line
    return "\n".join(lines)


if __name__ == "__main__":
    main()
