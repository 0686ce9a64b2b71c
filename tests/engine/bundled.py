#!/usr/bin/env python3
"""The bundled model: the same logits and the same likelihood of its transcript at every CPU level that this processor reaches,
and with several numbers of threads, bit for bit.

Usage: bundled.py TESSERA SOURCE CHECK_KERN        Exit code: 0 passed, 1 failed"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TESSERA, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])


def run(env: dict, *argv: str) -> str:
    r = subprocess.run([TESSERA, *argv], capture_output=True, text=True, env={**os.environ, **env})
    if r.returncode:
        sys.exit(f"{' '.join(argv)[:200]}: exit code {r.returncode}\n{r.stderr}")
    return r.stdout


def text() -> str:
    lines = (SOURCE / "tools/demo_model/transcript-q8_0-t0.jsonl").read_text().splitlines()[:12]
    return "\n".join(f"{user}\n{answer}" for line in lines for user, answer in json.loads(line)["turns"])


said = subprocess.run([sys.argv[3], "--levels"], capture_output=True, text=True, check=True).stdout.splitlines()
levels = [line for line in said if not line.startswith("skip: ")]  # weakest first
print("\n".join(line for line in said if line.startswith("skip: ")))
ways = [(levels[-1], 2), (levels[-1], 1)] + list(zip(reversed(levels[:-1]), (3, 1, 2)))
failed = False
with tempfile.TemporaryDirectory() as tmp:
    out = pathlib.Path(tmp) / "logits"
    for kind in "q8_0", "q4_0":
        model = str(SOURCE / f"models/tessera-tiny-{kind}.gguf")
        seen = {}
        for level, threads in ways:
            summary = run({"TESSERA_CPU": level}, "eval", "-m", model, "-p", text(), "--ctx", "256", "-t", str(threads), "--json")
            run({"TESSERA_CPU": level}, "eval", "-m", model, "-p", text()[:400], "-t", str(threads), "--logits-out", str(out))
            seen[level, threads] = (out.read_bytes(), json.loads(summary.splitlines()[-1])["nll_mean"])
        first = next(iter(seen.values()))
        for key, value in seen.items():
            if value != first:
                print(f"FAILED: {kind}: {key} gives other bits than {next(iter(seen))}")
                failed = True
        print(f"{kind}: mean NLL {first[1]:.6f}, {len(first[0])} bytes of logits, the same {len(seen)} times")
sys.exit(failed)
