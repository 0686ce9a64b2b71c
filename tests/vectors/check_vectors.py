#!/usr/bin/env python3
"""The engine's logits for the models of the zoo against those that other implementations computed (manifest.json, data/).

Usage: check_vectors.py TESSERA MAKE_MODEL [--only MODEL] [--measure]
--measure prints the largest differences seen for every bound.

Differences are taken relative to the spread (standard deviation) of the model's exact logits: their root mean square, and
the largest. What they are compared with, and why the bounds are what they are:

  exact, float weights   double precision. f32 rounding leaves 4e-7 rms, 2e-6 at most. With an f16 KV cache a key or value
                         at the middle of two f16 numbers may round either way: an error of 2^-11 of one element.
  exact, quantised       the engine rounds the inputs of quantised layers to int8. For normally distributed inputs the step is
                         amax / 127 with amax about 2.1 deviations in a block of 32, 2.9 in one of 256: 0.5 % and 0.7 % rms
                         per layer, and a model of 2 blocks (8 layers deep) adds up a few of them.
  int8                   double precision with inputs rounded as the contract says, on a prompt where no input is near a
                         rounding boundary: as tight as float weights, for every quantised type.
  llama                  llama.cpp. F32: f32 rounding on both sides. F16 and BF16: llama.cpp rounds the inputs too, to
                         f16 (2^-11) or bf16 (2^-8). Quantised: it rounds inputs to int8 by rules of its own (scales
                         in f16 for 32-blocks, another sign for 256-blocks), so both sides contribute."""
import array
import hashlib
import json
import math
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
FLOAT = {"f32", "f16", "bf16"}
# (source, weights, KV type): rms, largest. Behind it: the worst model's. The engine's own figures are the same on every
# machine (docs/numerics.md), so that the bounds need to leave room for a change of its arithmetic only.
BOUNDS = {
    ("exact", "float", "f32"): (8e-7, 3e-6),      # 4.0e-7 1.4e-6
    ("exact", "float", "f16"): (1e-4, 5e-4),      # 1.6e-5 7.1e-5, if one element rounds the other way 1e-3 of its effect
    ("exact", "quant", "f32"): (0.04, 0.2),       # 0.029 0.12
    ("int8", "quant", "f32"): (8e-7, 3e-6),       # 2.0e-7 7.0e-7
    ("llama", "f32", "f32"): (2e-6, 1e-5),        # 8.1e-7 3.6e-6
    ("llama", "f16", "f32"): (1.5e-3, 6e-3),      # 6.7e-4 3.0e-3
    ("llama", "bf16", "f32"): (0.01, 0.05),       # 5.5e-3 0.023
    ("llama", "quant", "f32"): (0.03, 0.15),      # 0.016 0.085
}


def floats(data: bytes) -> array.array:
    a = array.array("f", data)
    if sys.byteorder == "big":
        a.byteswap()
    return a


def run(*argv) -> str:
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{' '.join(map(str, argv))[:300]}\nexit code {r.returncode}\n{r.stderr}")
    return r.stdout


class Checker:
    def __init__(self, tessera: str, make_model: str, measure: bool):
        self.tessera, self.make_model, self.measure = tessera, make_model, measure
        self.manifest = json.loads((HERE / "manifest.json").read_text())
        self.failed, self.n_parts, self.worst = [], 0, {}
        self.tmp = tempfile.TemporaryDirectory(prefix="tessera-vectors-")
        self.dir = pathlib.Path(self.tmp.name)

    def logits(self, model: pathlib.Path, ids: list[int], kv: str, memory: dict) -> array.array:
        """Of all positions; kept in `memory`, since several sources answer the same prompt."""
        key = (tuple(ids), kv)
        if key not in memory:
            out = self.dir / "logits"
            run(self.tessera, "eval", "-m", model, "--kv", kv, "--ctx", len(ids), "--ids", ",".join(map(str, ids)), "--logits-out", out)
            memory[key] = floats(out.read_bytes())
        return memory[key]

    def fail(self, text: str) -> None:
        print(f"FAILED: {text}")
        self.failed.append(text)

    def weights_of(self, name: str, model: pathlib.Path) -> set[str]:
        """The types of the model's matrices, embedding aside where there is an output layer of its own."""
        tensors = json.loads(run(self.tessera, "inspect", "--json", model))["tensors"]
        matrices = {t["name"]: t["type"] for t in tensors if len(t["shape"]) == 2}
        if "output.weight" in matrices:
            del matrices["token_embd.weight"]
        return set(matrices.values())

    def check(self, name: str, entry: dict) -> None:
        model = self.dir / "model.gguf"
        run(self.make_model, name, model)
        if hashlib.sha256(model.read_bytes()).hexdigest() != entry["sha256"]:
            return self.fail(f"{name}: the generator makes another file than the vectors belong to (see make_vectors.py)")
        data = (HERE / "data" / f"{name}.f32").read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["data_sha256"]:
            return self.fail(f"{name}: the stored logits are damaged")
        stored, types, at, memory, spread = floats(data), self.weights_of(name, model), 0, {}, 0.0
        quant = bool(types - FLOAT)
        kind = "quant" if quant else "bf16" if "bf16" in types else "f16" if "f16" in types else "f32"
        for part in entry["parts"]:
            logits = self.logits(model, part.get("ids", self.manifest["prompt"]), part["kv"], memory)
            n_vocab = len(logits) // len(part.get("ids", self.manifest["prompt"]))
            want = stored[at:at + len(part["positions"]) * n_vocab]
            at += len(want)
            got = [x for p in part["positions"] for x in logits[p * n_vocab:(p + 1) * n_vocab]]
            if part["source"] == "exact" and not spread:
                mean = sum(want) / len(want)
                spread = math.sqrt(sum((x - mean) ** 2 for x in want) / len(want))
            self.compare(name, part, kind, got, want, spread)
        if at != len(stored):
            self.fail(f"{name}: {len(stored)} logits are stored, {at} expected")

    def compare(self, name: str, part: dict, kind: str, got: list, want, spread: float) -> None:
        self.n_parts += 1
        diff = [abs(a - b) / spread for a, b in zip(got, want, strict=True)]
        seen = (math.sqrt(sum(d * d for d in diff) / len(diff)), max(diff))
        group = kind if part["source"] == "llama" else "quant" if kind == "quant" else "float"
        key = (part["source"], group, part["kv"])
        self.worst[key] = tuple(max(a, b) for a, b in zip(self.worst.get(key, (0, 0)), seen))
        if self.measure:
            print(f"{name:16} {'/'.join(key):18} rms {seen[0]:.2e}  largest {seen[1]:.2e}")
        if not (seen[0] <= BOUNDS[key][0] and seen[1] <= BOUNDS[key][1]):
            self.fail(f"{name}, {'/'.join(key)}: rms {seen[0]:.2e}, largest {seen[1]:.2e}, bounds {BOUNDS[key]}")


def main() -> int:
    tessera, make_model = sys.argv[1:3]
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else None
    c = Checker(tessera, make_model, "--measure" in sys.argv)
    names = run(make_model, "--list").split()
    if names != list(c.manifest["models"]):
        c.fail("the manifest and the zoo have different models (see make_vectors.py)")
    prompt = ",".join(map(str, c.manifest["prompt"]))
    if run(make_model, "--prompt", len(c.manifest["prompt"])).strip() != prompt:
        c.fail("the zoo's prompt has changed (see make_vectors.py)")
    for name in names:
        if only in (None, name) and name in c.manifest["models"]:
            c.check(name, c.manifest["models"][name])
    if c.measure:
        for key, (rms, most) in c.worst.items():
            print(f"worst {'/'.join(key):18} rms {rms:.2e}  largest {most:.2e}  bounds {BOUNDS[key]}")
    print(f"{c.n_parts} sets of logits compared, {len(c.failed)} failures")
    return 1 if c.failed or not c.n_parts else 0


if __name__ == "__main__":
    sys.exit(main())
