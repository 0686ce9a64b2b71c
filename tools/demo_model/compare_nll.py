#!/usr/bin/env python3
"""Mean negative log-likelihood per token of the test split: PyTorch's float weights, `tessera eval`, and llama.cpp.

    compare_nll.py --data DIR [--torch OUT/model.pt] [--tessera build/src/cli/tessera] [--server "llama-server"]
                   [--dialogues 60] FILE.gguf ...

All tokens of a dialogue but the first are predicted, control tokens too. With PyTorch, "q8_0" and "q4_0" in a file's name
are measured against the same float weights: the difference shows what rounding costs, and that no tensor is misread.
llama.cpp's server is asked for the probabilities of each next token; it must also cut every dialogue into the same tokens.
--server is the command that runs it (for example "chroot DIR llama-server"); FILE must be visible under the same name there.
Exit code 1 if llama.cpp and tessera differ by more than 0.01 on a file, or one of them from PyTorch by more than --allow."""
import argparse
import json
import math
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request

import bpe

CONTROL_TEXT = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"


def dialogues(data: pathlib.Path, count: int):
    tok = bpe.Tokenizer.load(data / "tokenizer.json")
    for _, line in zip(range(count), open(data / "test.jsonl", encoding="utf-8")):
        d = json.loads(line)
        ids, mine = tok.dialogue(d["system"], d["turns"])
        text = bpe.BOS + (CONTROL_TEXT.format("system", d["system"]) if d["system"] is not None else "")
        for user, answer in d["turns"]:
            text += CONTROL_TEXT.format("user", user.strip()) + CONTROL_TEXT.format("assistant", answer.strip())
        yield ids, mine, text


def by_torch(path: str, docs) -> tuple[float, float]:
    import torch
    from model import Llama, Loss
    torch.set_num_threads(1)
    state = torch.load(path)
    model = Llama(state["config"])
    model.load_state_dict(state["model"])
    total, n, own, n_own = 0.0, 0, 0.0, 0
    with torch.no_grad():
        for ids, mine, _ in docs:
            nll = Loss.apply(model(torch.tensor([ids[:-1]])), torch.tensor(ids[1:]))
            total, n = total + float(nll.sum()), n + len(nll)
            select = torch.tensor(mine[1:]) > 0
            own, n_own = own + float(nll[select].sum()), n_own + int(select.sum())
    return total / n, own / n_own


def by_tessera(program: str, gguf: str, docs) -> float:
    total, n = 0.0, 0
    with tempfile.NamedTemporaryFile("w", suffix=".ids") as f:
        for ids, _, _ in docs:
            f.seek(0)
            f.truncate()
            f.write(",".join(map(str, ids)))
            f.flush()
            done = subprocess.run([program, "eval", "-m", gguf, "--ids", f"@{f.name}", "--no-bos", "--json"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=True)
            result = json.loads(done.stdout.splitlines()[-1])
            assert result["tokens"] == len(ids) - 1, result
            total, n = total + result["nll_mean"] * result["tokens"], n + result["tokens"]
    return total / n


def by_llama_cpp(server: str, gguf: str, docs, port: int) -> float:
    process = subprocess.Popen([*shlex.split(server), "-m", gguf, "--port", str(port), "-c", "1024", "-np", "1", "-t", "1", "--no-webui", "-ctk", "f16", "-ctv", "f16"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path: str, body: dict | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}), timeout=60) as r:
            return json.load(r)
    try:
        for _ in range(240):
            try:
                ask("/health")
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"compare_nll: the server ended with {process.returncode}")
                time.sleep(0.25)
        vocab = None
        total, n = 0.0, 0
        for ids, _, text in docs:
            theirs = ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]
            if theirs != ids:
                sys.exit(f"compare_nll: llama.cpp cuts this text differently: {text!r}\n{theirs}\n{ids}")
            for k in range(1, len(ids)):
                answer = ask("/completion", {"prompt": ids[:k], "n_predict": 1, "n_probs": vocab or 1 << 16, "temperature": 0, "cache_prompt": True, "logit_bias": []})
                found = {t["id"]: t["logprob"] for t in answer["completion_probabilities"][0]["top_logprobs"]}
                vocab = len(found)
                total, n = total - found[ids[k]], n + 1
        return total / n
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--torch")
    parser.add_argument("--tessera")
    parser.add_argument("--server")
    parser.add_argument("--port", type=int, default=18173)
    parser.add_argument("--dialogues", type=int, default=60)
    parser.add_argument("--allow", type=float, default=0.05, help="difference from PyTorch")
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    docs = list(dialogues(args.data, args.dialogues))
    print(f"{len(docs)} dialogues, {sum(len(d[0]) - 1 for d in docs)} predicted tokens")
    code, truth = 0, None
    if args.torch:
        truth, own = by_torch(args.torch, docs)
        print(f"PyTorch, float32: {truth:.4f} (perplexity {math.exp(truth):.3f}); the model's own tokens alone: {own:.4f} (perplexity {math.exp(own):.3f})")
    for path in args.files:
        values = {}
        if args.tessera:
            values["tessera"] = by_tessera(args.tessera, path, docs)
        if args.server:
            values["llama.cpp"] = by_llama_cpp(args.server, path, docs, args.port)
        for name, v in values.items():
            print(f"{path}: {name} {v:.4f} (perplexity {math.exp(v):.3f})" + (f", {v - truth:+.4f} against float" if truth is not None else ""))
            if truth is not None and abs(v - truth) > args.allow:
                code = 1
        if len(values) == 2 and abs(values["tessera"] - values["llama.cpp"]) > 0.01:
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
