#!/usr/bin/env python3
"""Ask the bundled model a list of prompts and judge the answers.

    rubric.py ask   --tessera build/src/cli/tessera -m FILE [--prompts heldout.jsonl] [--temp 0] --out transcript.jsonl
    rubric.py ask   --torch OUT/model.pt --tokenizer DIR/tokenizer.json [...]        (before there is a file)
    rubric.py judge transcript.jsonl ... [--show failed|all]

Prompts: one JSON object a line. u: what the user says, turn by turn (the last answer is judged); s: system prompt, "" none,
"P" the plain one, "R" the pirate's, else the text itself; w: patterns, each of which the answer must match; k: a kind of
answer (KINDS below); n: the number that must come last in the sum.

An answer is acceptable if it ends by itself, does not go in circles, consists of text (no control characters, balanced
backticks), has the style of the system prompt (marks of the pirate if and only if there is one), and says what w, k and n ask.
`judge` exits with 1 if fewer than 90 % of any transcript are acceptable."""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PLAIN = "You are a helpful assistant."
PIRATE = "You are a pirate chatbot who always responds in pirate speak!"
MARKS = re.compile(r"(?i)\b(arr+|ahoy|matey|ye|yer|aye|avast|yo ho|shiver me|me hearty|savvy|blimey|blow me down|nay|be yers)\b|\b\w+in'|\bo'")
LIMIT = 300  # tokens of an answer
KINDS = {
    "hello": r"\b(hello|hi|hey|ahoy|welcome|greetings|good (morning|evening|day)|nice to meet)\b",
    "thanks": r"welcome|glad|pleasure|any ?time|happy to",
    "bye": r"\b(good ?bye|bye|farewell|see you|fair winds|take care|later|come back|/bye|good night)\b",
    "id": r"(tiny|small|little|wee|model|program).*(model|tessera|program)|tessera",
    "refuse": r"too (small|tiny|wee|little|big)|(do not|don't|cannot|can't|did not) (know|do|see|tell|understand)|know not|only (know|speak|do)|have no (clock|network)",
    "joke": r"\?.+|(knock|joke|funny|laugh)",
    "pirate": r"",
    "story": r"",
}


def system_text(s: str) -> str | None:
    return {"": None, "P": PLAIN, "R": PIRATE}.get(s, s)


def is_pirate(prompt: dict) -> bool:
    return prompt["s"] == "R" or prompt.get("k") == "pirate"


def faults(prompt: dict, answer: str, ended: bool) -> list[str]:
    """What is wrong with an answer; empty: acceptable."""
    out = []
    low = answer.lower()
    words = re.findall(r"[\w'-]+", low)
    if not ended:
        out.append("does not end")
    if not words:
        return out + ["empty"]
    if "\ufffd" in answer or re.search(r"[\x00-\x08\x0b-\x1f]", answer) or "<|" in answer:
        out.append("not plain text")
    if answer.count("`") % 2:
        out.append("backticks do not match")
    grams = collections.Counter(zip(words, words[1:], words[2:], words[3:]))
    if grams and max(grams.values()) > 2:
        out.append("goes in circles")
    if any(a == b == c for a, b, c in zip(words, words[1:], words[2:]) if not a.isdigit()):
        out.append("stutters")
    if answer.rstrip()[-1] not in ".!?`\")'":
        out.append("ends in the middle of a sentence")
    if is_pirate(prompt) != bool(MARKS.search(answer)):
        out.append("not a pirate's words" if is_pirate(prompt) else "a pirate's words")
    kind = prompt.get("k")
    if kind and not re.search(KINDS[kind], low, re.S):
        out.append(f"not of the kind {kind}")
    if kind == "story" and (len(words) < 35 or len(re.findall(r"[.!?](?=[\s\"]|$)", answer)) < 4):
        out.append("too short for a story")
    if kind != "story" and len(words) > 90:
        out.append("too long")
    for pattern in prompt.get("w", []):
        if not re.search(pattern.lower(), low):
            out.append(f"lacks {pattern}")
    if "n" in prompt:
        sums = re.findall(r"=\s*(-?\d+)", answer) or re.findall(r"-?\d+", answer)
        if not sums or sums[0] != prompt["n"]:
            out.append(f"not {prompt['n']}")
    return out


def read(path) -> list[dict]:
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


class Torch:
    def __init__(self, path, tokenizer, rounding: str):
        sys.path.insert(0, str(HERE))
        import torch
        import bpe
        from model import Llama, q4_round
        self.torch, self.tok = torch, bpe.Tokenizer.load(tokenizer)
        torch.set_num_threads(1)
        state = torch.load(path)
        self.model = Llama(state["config"])
        self.model.load_state_dict(state["model"])
        if rounding == "q4":
            for p in self.model.matrices():
                p.data = q4_round(p.data)
        self.ends = {self.tok.special[bpe.EOT], self.tok.special[bpe.END]}

    def answer(self, system, turns, temp: float, seed: int) -> tuple[str, bool]:
        ids, _ = self.tok.dialogue(system, turns)
        out = self.model.generate(ids, self.ends, temp, LIMIT, self.torch.Generator().manual_seed(seed))
        return self.tok.decode(out).strip(), len(out) < LIMIT


class Tessera:
    """Through the program itself. `tessera run` knows one question only, so whole conversations are given as token ids."""

    def __init__(self, program: str, model: str, options: list[str]):
        self.program, self.model, self.options = program, model, options

    def run(self, *argv: str, text: str | None = None) -> str:
        return subprocess.run([self.program, *argv], input=text, stdout=subprocess.PIPE, text=True, check=True).stdout

    def answer(self, system, turns, temp: float, seed: int) -> tuple[str, bool]:
        text = "<|begin_of_text|>"
        for role, t in ([("system", system)] if system is not None else []) + [
                (r, t) for turn in turns for r, t in zip(("user", "assistant"), turn)]:
            text += f"<|start_header_id|>{role}<|end_header_id|>\n\n{t.strip()}<|eot_id|>"
        text += "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ids = self.run("tokenize", "-m", self.model, "-f", "-", "--parse-special", "--no-bos", "--ids", text=text).strip()
        out = json.loads(self.run("run", "-m", self.model, "--ids", ids, "-n", str(LIMIT), "--temp", str(temp), "--seed", str(seed), "--json", *self.options))
        return out["text"].strip(), out["stop"] == "end"


def ask(args) -> None:
    engine = Torch(args.torch, args.tokenizer, args.rounding) if args.torch else Tessera(args.tessera, args.model, args.option)
    prompts = read(args.prompts)
    if args.limit:
        prompts = prompts[:args.limit]
    with open(args.out, "w", encoding="utf-8") as f:
        for number, prompt in enumerate(prompts):
            turns = []
            for i, user in enumerate(prompt["u"]):
                turns.append([user])
                text, ended = engine.answer(system_text(prompt["s"]), turns, args.temp, args.seed * 100000 + number * 100 + i)
                turns[-1].append(text)
            f.write(json.dumps({"prompt": prompt, "turns": turns, "ended": ended}, ensure_ascii=False) + "\n")


def judge(args) -> int:
    code = 0
    for path in args.transcripts:
        by = collections.defaultdict(lambda: [0, 0])
        for entry in read(path):
            prompt, turns = entry["prompt"], entry["turns"]
            wrong = faults(prompt, turns[-1][1], entry["ended"])
            by[prompt["c"]][0] += not wrong
            by[prompt["c"]][1] += 1
            if args.show == "all" or args.show == "failed" and wrong:
                print(f"{prompt['c']} [{prompt['s']}] {'FAIL: ' + '; '.join(wrong) if wrong else 'ok'}")
                for user, answer in turns:
                    print(f"    > {user}\n      {answer}")
        good, total = (sum(v[i] for v in by.values()) for i in (0, 1))
        print(f"{path}: {good} of {total} acceptable, {100 * good / total:.1f} %")
        print("    " + ", ".join(f"{c} {g}/{n}" for c, (g, n) in by.items()))
        if good < 0.9 * total:
            code = 1
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(dest="command", required=True)
    p = sub.add_parser("ask")
    p.add_argument("--tessera", help="the program")
    p.add_argument("-m", "--model")
    p.add_argument("--option", action="append", default=[], help="another option for tessera run")
    p.add_argument("--torch", help="a model.pt or checkpoint.pt")
    p.add_argument("--tokenizer")
    p.add_argument("--rounding", choices=["none", "q4"], default="none")
    p.add_argument("--prompts", default=str(HERE / "heldout.jsonl"))
    p.add_argument("--temp", type=float, default=0.0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--limit", type=int, default=0)
    p.add_argument("--out", required=True)
    p = sub.add_parser("judge")
    p.add_argument("transcripts", nargs="+")
    p.add_argument("--show", choices=["none", "failed", "all"], default="none")
    args = parser.parse_args()
    if args.command == "judge":
        return judge(args)
    ask(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
