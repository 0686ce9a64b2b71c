#!/usr/bin/env python3
"""The engine against stories260K, a small trained Llama: text, logits and likelihood of an outside implementation.

Usage: stories.py TESSERA TYPE [--measure]      TYPE: f32, f16, bf16, q8_0, q4_0, q4_1
Exit code: 0 passed, 1 failed, 77 no shared test data ($TESSERA_SHARED/assets/models/stories260K).

The references were computed in double precision from the weights as the file holds them, with exact activations. Float
weights must agree to rounding: the same greedy text, logits to LOGITS, likelihood to NLL. Quantised weights are multiplied with
quantised activations here (docs/numerics.md), so their bounds are on the likelihood and on the size of the
difference. --measure prints what was seen beside each bound."""
import array
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from testdata import NO_SHARED, SHARED

VOCAB = 512
# largest logit difference; root mean square of it; difference of the mean NLL; largest difference of a story's NLL per
# token. Seen, in this order: float types 1.4e-5 1.7e-6 2e-8 1.3e-7; q8_0 0.28 0.061 8.9e-4 4.0e-3; q4_0 0.34 0.061
# 4.7e-4 3.7e-3; q4_1 0.29 0.061 6.9e-4 3.7e-3. They are the same on every machine; the bounds leave room for a change
# of the arithmetic that costs up to twice as much.
FLOAT, QUANT = (3e-5, 4e-6, 1e-7, 4e-7), (0.7, 0.12, 0.002, 0.008)
BOUNDS = {"f32": FLOAT, "f16": FLOAT, "bf16": FLOAT, "q8_0": QUANT, "q4_0": QUANT, "q4_1": QUANT}
FAILED = []
measure = False


def check(what: str, value: float, bound: float) -> None:
    if measure:
        print(f"  {what}: {value:.3g} (bound {bound:g})")
    if not value <= bound:
        FAILED.append(f"{what} is {value:.6g}, the bound {bound:g}")


def same(what: str, got, want) -> None:
    if got != want:
        FAILED.append(f"{what}: {got!r}\n  expected {want!r}")


def tessera(program: str, *args) -> str:
    r = subprocess.run([program, *map(str, args)], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{' '.join(map(str, args))}: exit code {r.returncode}\n{r.stderr}")
    return r.stdout


def floats(path: pathlib.Path) -> array.array:
    a = array.array("f", path.read_bytes())
    if sys.byteorder == "big":
        a.byteswap()
    return a


def golden(data: pathlib.Path, name: str) -> tuple[list[int], list[int], str]:
    """Prompt, answer and text of a golden. Its ids follow BOS, so with a longer prompt they begin with the rest of
    it; logits there are for every position from BOS on."""
    j = json.loads((data / f"{name}.json").read_text())
    rest = j["prompt_ids"][1:]
    same(f"{name}: the prompt in the golden's ids", j["ids"][:len(rest)], rest)
    return j["prompt_ids"], j["ids"][len(rest):], (data / f"{name}.txt").read_text().rstrip("\n")


def greedy(program: str, data: pathlib.Path, model: pathlib.Path, name: str, prompt: str) -> None:
    """Temperature 0 from a prompt: all tokens of the golden, and its text."""
    prompt_ids, ids, text = golden(data, name)
    out = json.loads(tessera(program, "run", "-m", model, "--raw", "--kv", "f32", "--temp", 0, "--json",
                             "-n", len(ids), *(["-p", prompt] if prompt else ["--ids", "1"])))
    same(f"{name}: number of prompt tokens", out["prompt_tokens"], len(prompt_ids))
    same(f"{name}: tokens", out["tokens"], ids)
    same(f"{name}: text", (prompt + out["text"]).rstrip("\n"), text)


def logits(program: str, data: pathlib.Path, model: pathlib.Path, name: str, bounds: tuple, tmp: pathlib.Path) -> None:
    """The golden's own tokens fed in: the logits of every position."""
    prompt_ids, ids, _ = golden(data, name)
    file = tmp / "logits"
    tessera(program, "eval", "-m", model, "--kv", "f32", "--ids", ",".join(map(str, (prompt_ids + ids)[:-1])),
            "--logits-out", file)
    got, ref = floats(file), floats(data / f"{name}.logits.f32")
    same(f"{name}: number of logits", len(got), len(ref))
    diff = [abs(a - b) for a, b in zip(got, ref)]
    check(f"{name}: largest logit difference", max(diff), bounds[0])
    check(f"{name}: rms logit difference", math.sqrt(sum(d * d for d in diff) / len(diff)), bounds[1])


def likelihood(program: str, data: pathlib.Path, model: pathlib.Path, kind: str, bounds: tuple) -> None:
    rows = [json.loads(line) for line in tessera(
        program, "eval", "-m", model, "-f", data / "nll_stories.txt", "--separator", "<|endoftext|>", "--truncate",
        "--ctx", 512, "--kv", "f32", "--json").splitlines()]
    want = [json.loads(line) for line in (data / f"{kind}.nll.jsonl").read_text().splitlines()]
    same("number of stories", len(rows), len(want))
    same("stories", len(want) - 1, 60)
    worst = 0.0
    for got, ref in zip(rows[:-1], want[:-1]):
        same(f"story {ref['story']}: tokens", got["tokens"], ref["tokens"])
        worst = max(worst, abs(got["nll_sum"] - ref["nll_sum"]) / ref["tokens"])
    same("tokens", rows[-1]["tokens"], want[-1]["total_tokens"])
    check("largest difference of a story's NLL, per token", worst, bounds[3])
    if measure:
        print(f"  mean NLL {rows[-1]['nll_mean']:.6f}, reference {want[-1]['mean_nll']:.6f}")
    check("difference of the mean NLL", abs(rows[-1]["nll_mean"] - want[-1]["mean_nll"]), bounds[2])


def main() -> int:
    global measure
    program, kind = sys.argv[1:3]
    measure = "--measure" in sys.argv
    if not SHARED:
        print(f"skip: {NO_SHARED}")
        return 77
    data = pathlib.Path(SHARED) / "assets/models/stories260K"
    model, bounds = data / f"stories260K.{kind}.gguf", BOUNDS[kind]
    exact = kind in ("f32", "f16", "bf16")
    with tempfile.TemporaryDirectory(prefix="tessera-stories-") as tmp:
        logits(program, data, model, f"{kind}.greedy", bounds, pathlib.Path(tmp))
        if exact:
            greedy(program, data, model, f"{kind}.greedy", "")
        if kind == "f32":  # the original checkpoint's own goldens: from nothing, and from a prompt as text
            logits(program, data, model, "greedy_empty", bounds, pathlib.Path(tmp))
            logits(program, data, model, "greedy_tom", bounds, pathlib.Path(tmp))
            greedy(program, data, model, "greedy_tom", "One day, Tom and his dog went to the")
    likelihood(program, data, model, kind, bounds)
    for f in FAILED:
        print(f"FAILED: {f}")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
