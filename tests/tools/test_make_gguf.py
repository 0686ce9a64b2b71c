#!/usr/bin/env python3
"""tools/demo_model/make_gguf writes what its folder says, and names what is wrong with a folder.

Usage: test_make_gguf.py MAKE_GGUF TESSERA"""
import array
import json
import pathlib
import subprocess
import sys
import tempfile

MAKE, TESSERA = sys.argv[1], sys.argv[2]
MANIFEST = """str general.architecture llama
str general.name A model with spaces
u32 llama.block_count 1
f32 llama.rope.freq_base 500000
bool tokenizer.ggml.add_bos_token true
text tokenizer.chat_template template
strings tokenizer.ggml.tokens tokens
i32s tokenizer.ggml.token_type types
tensor token_embd.weight 64 3
tensor blk.0.attn_q.weight 64 2
tensor output_norm.weight 64
"""


def folder(root: pathlib.Path, manifest: str = MANIFEST) -> pathlib.Path:
    root.mkdir()
    (root / "manifest.txt").write_text(manifest)
    (root / "template").write_text("two\nlines")
    (root / "tokens").write_text("a\nĠb\n<|c|>\n", encoding="utf-8")
    (root / "types").write_text("1\n1\n3\n")
    for name, n in (("token_embd.weight", 192), ("blk.0.attn_q.weight", 128), ("output_norm.weight", 64)):
        (root / f"{name}.f32").write_bytes(array.array("f", [0.25 * (i % 9 - 4) for i in range(n)]).tobytes())
    return root


def make(root: pathlib.Path, kind: str) -> subprocess.CompletedProcess:
    return subprocess.run([MAKE, str(root), kind, str(root / "out.gguf")], capture_output=True, text=True)


def check_types(root: pathlib.Path, kind: str, embd: str, matrix: str) -> None:
    done = make(root, kind)
    assert done.returncode == 0, done.stderr
    shown = json.loads(subprocess.run([TESSERA, "inspect", "--json", str(root / "out.gguf")], capture_output=True, check=True).stdout)
    types = {t["name"]: t["type"] for t in shown["tensors"]}
    assert types == {"token_embd.weight": embd, "blk.0.attn_q.weight": matrix, "output_norm.weight": "f32"}, types
    meta = {k: v.get("value", v.get("values")) for k, v in shown["metadata"].items()}
    assert meta["general.name"] == "A model with spaces", meta
    assert meta["tokenizer.chat_template"] == "two\nlines", meta
    assert meta["tokenizer.ggml.tokens"] == ["a", "Ġb", "<|c|>"], meta
    assert meta["tokenizer.ggml.token_type"] == [1, 1, 3], meta
    assert meta["llama.rope.freq_base"] == 500000 and meta["tokenizer.ggml.add_bos_token"] is True, meta


def check_refused(root: pathlib.Path, says: str, kind: str = "q8_0") -> None:
    done = make(root, kind)
    assert done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1, (done.returncode, done.stderr, says)
    assert not (root / "out.gguf").exists()


with tempfile.TemporaryDirectory() as tmp:
    t = pathlib.Path(tmp)
    check_types(folder(t / "a"), "q8_0", "q8_0", "q8_0")
    check_types(folder(t / "b"), "q4_0", "q8_0", "q4_0")  # the embeddings keep eight bits
    check_types(folder(t / "c"), "f16", "f16", "f16")
    check_refused(folder(t / "d"), "tensor blk.0.attn_q.weight: rows of 64 do not fit q4_K", "q4_K")
    check_refused(t / "none", "manifest.txt")
    check_refused(folder(t / "e", MANIFEST.replace("64 3", "64 4")), "token_embd.weight.f32 has 768 bytes, not 1024")
    check_refused(folder(t / "f", MANIFEST + "tensor gone 32\n"), "gone.f32")
    check_refused(folder(t / "g", MANIFEST + "i64 key 1\n"), 'unknown kind of entry "i64"')
    check_refused(folder(t / "h", MANIFEST + "u32 key 4294967296\n"), '"4294967296" is not a whole number')
    check_refused(folder(t / "i", MANIFEST + "tensor big 2 2 2\n"), "tensor big has more than two dimensions")
    check_refused(folder(t / "j", MANIFEST + "str key\n"), '"str" needs a name and a value')
    check_refused(folder(t / "k", MANIFEST + "u32 general.name 1\n"), "general.name")  # a key twice
    assert subprocess.run([MAKE, tmp, "q9_9", "x"], capture_output=True).returncode == 2
