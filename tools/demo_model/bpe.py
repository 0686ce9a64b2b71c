#!/usr/bin/env python3
"""The tokenizer of the bundled model: byte-level BPE with the split pattern that GGUF calls "llama-bpe".

    bpe.py --corpus DIR/train.jsonl --out DIR/tokenizer.json [--size 2048] [--dialogues 60000]
    bpe.py --gguf FILE.gguf --tessera build/src/cli/tessera --out DIR/tokenizer.json      (the one of a finished model)

Digits are never merged, so that numbers are read digit by digit. The last ids are the control tokens of the Llama 3
chat format. The pattern is written for Python's re, whose classes differ from the real ones only outside of the Latin
and other common scripts; the corpus is ASCII but for a few greetings and letters that the model must not understand."""
import argparse
import collections
import functools
import heapq
import json
import pathlib
import re
import subprocess

SPLIT = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:[^\r\n\w]|_)?[^\W\d_]+|\d{1,3}| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BOS, HEADER, END_HEADER, EOT, END = "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"
RESULT = re.compile(r"= (-?\d+)")
RESULT_WEIGHT = 4
FIRST, FIRST_WEIGHT = 4, 2
SPECIAL = [BOS, END, HEADER, END_HEADER, EOT]


def byte_letters() -> list[str]:
    """The printable stand-in of each byte, as in GPT-2's vocabulary files: visible Latin-1 stays, the rest moves to U+0100 and up."""
    out, moved = [], 0
    for b in range(256):
        if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255:
            out.append(chr(b))
        else:
            out.append(chr(256 + moved))
            moved += 1
    return out


LETTER = byte_letters()
BYTE = {c: b for b, c in enumerate(LETTER)}


def letters(text: str) -> str:
    return "".join(LETTER[b] for b in text.encode("utf-8"))


def train(counts: collections.Counter, merges: int) -> list[tuple[str, str]]:
    """The merges, best first: again and again the most frequent neighbouring pair (ties: the smaller text)."""
    words = [list(w) for w in counts]
    freq = list(counts.values())
    pairs: collections.Counter = collections.Counter()
    where = collections.defaultdict(set)
    for i, w in enumerate(words):
        for p in zip(w, w[1:]):
            pairs[p] += freq[i]
            where[p].add(i)
    heap = [(-n, p) for p, n in pairs.items()]
    heapq.heapify(heap)
    out = []
    while len(out) < merges and heap:
        n, pair = heapq.heappop(heap)
        if pairs[pair] != -n:
            if pairs[pair] > 0:
                heapq.heappush(heap, (-pairs[pair], pair))
            continue
        out.append(pair)
        changed = set()
        for i in where.pop(pair):
            w, k = words[i], 0
            for p in zip(w, w[1:]):
                pairs[p] -= freq[i]
                changed.add(p)
            new = []
            while k < len(w):
                if k + 1 < len(w) and (w[k], w[k + 1]) == pair:
                    new.append(w[k] + w[k + 1])
                    k += 2
                else:
                    new.append(w[k])
                    k += 1
            words[i] = new
            for p in zip(new, new[1:]):
                pairs[p] += freq[i]
                where[p].add(i)
                changed.add(p)
        for p in changed:
            if p != pair and pairs[p] > 0:
                heapq.heappush(heap, (-pairs[p], p))
        pairs[pair] = 0
    return out


class Tokenizer:
    def __init__(self, data: dict):
        self.tokens: list[str] = data["tokens"]  # in the letters of LETTER; control tokens as they are
        self.merges = [tuple(m.split(" ")) for m in data["merges"]]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.id = {t: i for i, t in enumerate(self.tokens)}
        self.special = {t: self.id[t] for t in SPECIAL}
        self.word = functools.lru_cache(maxsize=200000)(self._word)

    @classmethod
    def load(cls, path) -> "Tokenizer":
        return cls(json.load(open(path, encoding="utf-8")))

    def _word(self, word: str) -> tuple[int, ...]:
        parts = letters(word)
        if parts in self.id:  # like llama.cpp and tiktoken: a whole word of the vocabulary needs no merging
            return (self.id[parts],)
        parts = list(parts)
        while len(parts) > 1:
            rank, i = min((self.rank.get((parts[i], parts[i + 1]), 1 << 30), i) for i in range(len(parts) - 1))
            if rank == 1 << 30:
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        return tuple(self.id[p] for p in parts)

    def encode(self, text: str) -> list[int]:
        out: list[int] = []
        for m in SPLIT.finditer(text):
            out.extend(self.word(m[0]))
        return out

    def decode(self, ids) -> str:
        raw = bytearray()
        for i in ids:
            t = self.tokens[i]
            raw += t.encode() if t in self.special else bytes(BYTE[c] for c in t)
        return raw.decode("utf-8", errors="replace")

    def message(self, role: str, text: str) -> list[int]:
        s = self.special
        return [s[HEADER], *self.encode(role), s[END_HEADER], *self.encode("\n\n" + text.strip()), s[EOT]]

    def opening(self) -> list[int]:
        """What stands before an answer."""
        s = self.special
        return [s[HEADER], *self.encode("assistant"), s[END_HEADER], *self.encode("\n\n")]

    def dialogue(self, system: str | None, turns) -> tuple[list[int], list[int]]:
        """All ids, and for each its weight in training: 0 for what the model did not write, 1 for what it did, more for the
        first tokens of an answer, which decide what it will be, and for the digits of results. A turn without an answer opens one."""
        ids, mine = [self.special[BOS]], [0]

        def add(part, flag):
            ids.extend(part)
            mine.extend([flag] * len(part))
        if system is not None:
            add(self.message("system", system), 0)
        for turn in turns:
            add(self.message("user", turn[0]), 0)
            add(self.opening(), 0)
            if len(turn) > 1:
                answer = turn[1].strip()
                start = len(mine)
                add(self.encode(answer) + [self.special[EOT]], 1)
                mine[start:start + FIRST] = [FIRST_WEIGHT] * min(FIRST, len(mine) - start)
                result = RESULT.search(answer)
                if result:
                    # digits, signs and spaces are tokens of their own, so the text before the result is a whole number of tokens
                    at = start + len(self.encode(answer[:result.start(1)]))
                    for i in range(at, at + len(self.encode(result[1]))):
                        mine[i] = RESULT_WEIGHT
        return ids, mine


def from_gguf(tessera: str, gguf: str) -> dict:
    """The tokenizer that a file of ours holds, in the form that Tokenizer loads."""
    shown = json.loads(subprocess.run([tessera, "inspect", "--json", "--metadata-only", "--items", "1000000", gguf], stdout=subprocess.PIPE, check=True).stdout)
    values = {name: shown["metadata"][f"tokenizer.ggml.{name}"]["values"] for name in ("tokens", "merges")}
    if values["tokens"][:256] != LETTER or values["tokens"][-len(SPECIAL):] != SPECIAL:
        raise ValueError(f"{gguf}: not a tokenizer that bpe.py made")
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=pathlib.Path)
    source.add_argument("--gguf")
    parser.add_argument("--tessera", default=str(pathlib.Path(__file__).resolve().parent.parent.parent / "build/src/cli/tessera"))
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--dialogues", type=int, default=60000)
    args = parser.parse_args()
    if args.gguf:
        json.dump(from_gguf(args.tessera, args.gguf), open(args.out, "w", encoding="utf-8"), ensure_ascii=False, indent=0)
        return
    counts: collections.Counter = collections.Counter()
    with open(args.corpus, encoding="utf-8") as f:
        for _, line in zip(range(args.dialogues), f):
            d = json.loads(line)
            # the blank line of the chat format is a word of its own, in front of each message
            texts = ["\n\n", "user", "system", "assistant", d["system"] or ""] + [t for turn in d["turns"] for t in turn]
            for text in texts:
                counts.update(m[0] for m in SPLIT.finditer(text) if not any(c.isdigit() for c in m[0]))
    words = collections.Counter({letters(w): n for w, n in counts.items() if len(letters(w)) > 1})
    merges = train(words, args.size - 256 - len(SPECIAL))
    tokens = [LETTER[b] for b in range(256)]
    for a, b in merges:
        assert a + b not in tokens, (a, b)
        tokens.append(a + b)
    tokens += SPECIAL
    assert len(tokens) == args.size
    json.dump({"tokens": tokens, "merges": [f"{a} {b}" for a, b in merges]}, open(args.out, "w", encoding="utf-8"), ensure_ascii=False, indent=0)
    print(f"{len(counts)} different words, {len(tokens)} tokens")


if __name__ == "__main__":
    main()
