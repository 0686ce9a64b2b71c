#!/usr/bin/env python3
"""Write a trained model as a plain folder that make_gguf turns into a GGUF file.

    export.py --model OUT/model.pt --tokenizer DIR/tokenizer.json --out FOLDER

FOLDER receives manifest.txt (one entry a line, see make_gguf.c), tokens.txt and merges.txt (one a line), the chat
template, and one file of raw little-endian float32 for each tensor. The rows of q and k are put into the order that
GGUF's "llama" architecture has: rotary pairs are neighbours there, and the two halves of a head in model.py."""
import argparse
import pathlib
import shutil

import torch

import bpe

HERE = pathlib.Path(__file__).resolve().parent
NAME = "Tessera Tiny"
DESCRIPTION = "A very small chat model that comes with Tessera, trained from scratch on dialogues written for it"


def interleave(w: torch.Tensor, heads: int) -> torch.Tensor:
    rows, cols = w.shape
    return w.reshape(heads, 2, rows // heads // 2, cols).transpose(1, 2).reshape(rows, cols)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    args = parser.parse_args()
    state = torch.load(args.model, map_location="cpu")
    c, p = state["config"], {k.removeprefix("p."): v.float() for k, v in state["model"].items()}
    tok = bpe.Tokenizer.load(args.tokenizer)
    out = args.out
    out.mkdir(parents=True, exist_ok=True)

    (out / "tokens.txt").write_text("".join(t + "\n" for t in tok.tokens), encoding="utf-8")
    (out / "merges.txt").write_text("".join(f"{a} {b}\n" for a, b in tok.merges), encoding="utf-8")
    (out / "token_type.txt").write_text("".join("3\n" if t in tok.special else "1\n" for t in tok.tokens), encoding="utf-8")
    shutil.copyfile(HERE / "chat_template.jinja", out / "chat_template.jinja")

    head = c["dim"] // c["heads"]
    lines = [f"str general.architecture llama", f"str general.type model", f"str general.name {NAME}", f"str general.description {DESCRIPTION}",
             f"str general.license apache-2.0", f"u32 llama.vocab_size {c['vocab']}", f"u32 llama.context_length {c['context']}",
             f"u32 llama.embedding_length {c['dim']}", f"u32 llama.block_count {c['layers']}", f"u32 llama.feed_forward_length {c['hidden']}",
             f"u32 llama.attention.head_count {c['heads']}", f"u32 llama.attention.head_count_kv {c['kv_heads']}",
             f"f32 llama.attention.layer_norm_rms_epsilon {c['eps']}", f"u32 llama.rope.dimension_count {head}", f"f32 llama.rope.freq_base {c['theta']}",
             "str tokenizer.ggml.model gpt2", "str tokenizer.ggml.pre llama-bpe", "strings tokenizer.ggml.tokens tokens.txt",
             "i32s tokenizer.ggml.token_type token_type.txt", "strings tokenizer.ggml.merges merges.txt",
             f"u32 tokenizer.ggml.bos_token_id {tok.special[bpe.BOS]}", f"u32 tokenizer.ggml.eos_token_id {tok.special[bpe.EOT]}",
             "bool tokenizer.ggml.add_bos_token true", "text tokenizer.chat_template chat_template.jinja"]

    def tensor(name: str, w: torch.Tensor) -> None:
        (out / f"{name}.f32").write_bytes(w.contiguous().numpy().astype("<f4").tobytes())
        lines.append(f"tensor {name} {' '.join(str(n) for n in reversed(w.shape))}")

    tensor("token_embd.weight", p["embd"])
    for i in range(c["layers"]):
        tensor(f"blk.{i}.attn_norm.weight", p[f"{i}_norm1"])
        tensor(f"blk.{i}.attn_q.weight", interleave(p[f"{i}_q"], c["heads"]))
        tensor(f"blk.{i}.attn_k.weight", interleave(p[f"{i}_k"], c["kv_heads"]))
        for ours, theirs in (("v", "attn_v"), ("o", "attn_output"), ("norm2", "ffn_norm"), ("gate", "ffn_gate"), ("up", "ffn_up"), ("down", "ffn_down")):
            tensor(f"blk.{i}.{theirs}.weight", p[f"{i}_{ours}"])
    tensor("output_norm.weight", p["norm"])
    (out / "manifest.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
