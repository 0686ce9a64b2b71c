#!/usr/bin/env python3
"""Every option of every command has an effect: a run without it and a run with it differ in what is printed, in the exit code or
in the files that are left, while a second run without it does not; and each of its other names does the same.

Usage: check_options.py TESSERA TINY SOURCE [--only TEXT]. TINY: a small model with random weights. An option that is not in the
table below is a fault, so that a new option brings its proof along; so is an entry for an option that is gone.
Exit code 1 and some lines for every fault."""
import argparse
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

from check_man import OPTION, commands, output

HOT = ["-l", "72=1000"]  # token 72 of the tiny model is the letter H
END = ["-l", "256=1000"]  # token 256 ends an answer
RUN = ["run", "-m", "{tiny}", "-p", "hello", "-n", "12", "--seed", "1", "--json"]
SIM = ["run", "-m", "{tiny}", "--raw", "-p", "x", "-n", "2", "--temp", "0", "--seed", "1", "--json", "--ledger", "--device", "npu-sim"]
CHAT = ["chat", "-m", "{tiny}", "-n", "8", "--seed", "1", "--no-history"]
EVAL = ["eval", "-m", "{tiny}", "-p", "Once upon a time there was a small model.", "--json"]
BENCH = ["bench", "--shape", "tiny", "-p", "2", "-n", "0", "-r", "1", "--json"]
CONVERT = ["convert", "{odd}", "out", "--quiet"]
QUANTIZE = ["quantize", "{odd}", "out", "--quiet"]
GPTQ = [*QUANTIZE, "--json", "--method", "gptq", "--calibration", "text"]
IMATRIX = ["imatrix", "{tiny}", "--chunks", "2"]
MATRIX = {"matrix": struct.pack("<ii19sii256f", 1, 19, b"blk.0.attn_q.weight", 1, 256, *range(1, 257))}
TOK = ["tokenize", "-m", "{tiny}", "-p", "Hello <|end|>", "--ids"]
ASM = {"a.s": "start: movxm r0, #5\nlda r1, [p0], #4 ; add r2, r0, r0\ndone\n"}
HAZARD = {"a.s": "lda r1, [p0], #4\nadd r2, r1, r0\ndone\n"}
LOOP = {"a.s": "movxm ls, #l\nmovxm le, #l\nmova r1, #0\nmova lc, #100\nmova r2, #3\nmovxm p0, #0x70000\nnop\nnop\n"
               "l: add r1, r1, r2\nst r1, [p0, #0]\ndone\n"}
LOCKED = {"a.s": "mova r0, #-1\nacq #48, r0\ndone\n"}
STREAM = {"a.s": "mov r0, SS\nnop\nnop\nnop\nnop\nnop\nnop\nadd r1, r0, r0\nmov ms, r1\ndone\n", "in": "abcd"}
BINARY = {"a.bin": b"\x19\x08\x00\x10\x01\x00"}
CAPTURE = {"a.jsonl": '{"batch": 0, "index": 0, "instruction": "ABS", "in_offset": 0, "in": "8989a575", "out_offset": 0, "out": '
                      '"8989a574", "code": "598002000100010001000100010001000100191c01100100010001000100010019800209"}\n'}
JINJA = "{{ x }}{{ tools }}{{ documents }}{{ strftime_now('%Y') }}{{ messages[0].content }}"
CONTEXT = {"c": '{"messages": [{"role": "user", "content": "Hi"}]}', "t": JINJA, "list": '[{"title": "x"}]'}
PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves in a byte-level vocabulary
ENDS = {"tokenizer.json": json.dumps({
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
            "added_tokens": [{"id": 256, "content": "</s>", "special": True}],
            "model": {"type": "BPE", "merges": [], "vocab": {
                c: i for i, c in enumerate([chr(b) for b in PRINTABLE] + [chr(256 + i) for i in range(256 - len(PRINTABLE))])}}}),
        "tokenizer_config.json": '{"add_eos_token": true, "eos_token": "</s>"}'}
FORM = {"s": '{"enum":[1,2]}', "g": 'root ::= "1" | "2"', "r": "a|b", "one": "1", "two": "{\"a\":1}", "o": '{"properties":{"b":{}}}',
        "tools": '[{"function":{"name":"f"}}]', "call": '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
        "calls": '\n'.join(['<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'] * 2)}
CALLS = ["constrain", "--tools", "tools", "--tool-format", "hermes", "--check"]
TEXT = {"text": "A text in a file.", "other": "Another text in a file."}
LONG = {name: " ".join(f"{name} {i * i}" for i in range(400)) for name in ("text", "other")}

# command -> option -> (arguments without it, arguments with it, files that are there, standard input). Where the second is
# a list that begins with "+", it is added to the first.
Effect = tuple


def model_options(base: list[str], sim: list[str], ctx: list[str]) -> dict:
    """The options that CLI_MODEL_OPTS gives to a command; `sim` runs on the simulated NPU with a ledger in JSON, `ctx` needs more
    than 8 tokens of context."""
    cpu = [a for a in sim if a not in ("--device", "npu-sim", "--ledger")]
    return {
        "model": (base, ["+", "--model", "{bundled}"]),
        "device": (cpu + ["--ledger"], ["+", "--device", "npu-sim"]),
        "allow-cpu-ops": ([*sim, "-m", "{odd}"], ["+", "--allow-cpu-ops"]),
        "ledger": (cpu, ["+", "--ledger"]),
        "ledger-check": (sim, ["+", "--ledger-check"]),
        "no-prefetch": (sim, ["+", "--no-prefetch"]),
        "prefetch": (sim, ["+", "--prefetch", "off"]),
        "sim-seed": (sim, ["+", "--sim-seed", "5"]),
        "ctx": (ctx, ["+", "--ctx", "8"]),
        "pre": ([*base, "-m", "{nopre}"], ["+", "--pre", "gpt-2"]),
        "kv": (base, ["+", "--kv", "f32"]),
        "cache-type-k": (base, ["+", "--cache-type-k", "f32"]),
        "cache-type-v": (base, ["+", "--cache-type-v", "f32"]),
    }


def template_options(base: list[str], stdin: str = "") -> dict:
    base = base + ["--ledger", "--chat-template-file", "t"]  # the ledger counts the tokens of the prompt
    return {name: (base, ["+", f"--{name}", value], CONTEXT, stdin) for name, value in
            {"template-var": "x=1", "now": "2024-07-26T12:00:00", "tools": "list", "documents": "list"}.items()} | {
        "chat-template": (base[:-2], ["+", "--chat-template", "zephyr"], {}, stdin),
        "chat-template-file": (base[:-2], ["+", "--chat-template-file", "t"], CONTEXT, stdin)}


def sampling_options(base: list[str], stdin: str = "") -> dict:
    plain = {
        "logit-bias": ["--logit-bias", "72=1000"], "repeat-penalty": ["--repeat-penalty", "50"],
        "frequency-penalty": ["--frequency-penalty", "90"], "presence-penalty": ["--presence-penalty", "90"],
        "top-k": ["--top-k", "1"], "typical": ["--typical", "0.01"], "top-p": ["--top-p", "0.01"], "min-p": ["--min-p", "1"],
        "temp": ["--temp", "0"], "seed": ["--seed", "2"],
    }
    table = {name: (base, ["+", *args], {}, stdin) for name, args in plain.items()}
    table["penalty-window"] = ([*base, "--temp", "0", "--repeat-penalty", "50"], ["+", "--penalty-window", "1"], {}, stdin)
    table["stop"] = ([*base, *HOT], ["+", "--stop", "HHH"], {}, stdin)
    return table


EFFECTS: dict[str, dict[str, Effect]] = {
    "run": {
        **model_options(RUN + ["--logprobs", "1"], SIM, RUN),
        **sampling_options(RUN),
        **template_options(RUN),
        "threads": (RUN, ["+", "--threads", "1"]),
        "prompt": (["run", "-m", "{tiny}", "--json", "-n", "3", "-s", "1"], ["+", "--prompt", "hello"]),
        "file": (["run", "-m", "{tiny}", "--json", "-n", "3", "-s", "1"], ["+", "--file", "text"], TEXT),
        "ids": (["run", "-m", "{tiny}", "--json", "-n", "3", "-s", "1"], ["+", "--ids", "65,66"]),
        "predict": (RUN, ["+", "--predict", "3"]),
        "system": (RUN, ["+", "--system", "You are small."]),
        "raw": (RUN, ["+", "--raw"]),
        "ignore-eos": (RUN + END, ["+", "--ignore-eos"]),
        "special": (RUN + END + ["--ignore-eos"], ["+", "--special"]),
        "json": (RUN[:-1], ["+", "--json"]),
        "logprobs": (RUN, ["+", "--logprobs", "2"]),
        "quiet": (RUN[:-1], ["+", "--quiet"]),
        "json-schema": (RUN, ["+", "--json-schema", "s"], FORM),
        "grammar": (RUN, ["+", "--grammar", "g"], FORM),
    },
    "constrain": {
        "schema": (["constrain", "--check", "one"], ["+", "--schema", "s"], FORM),
        "regex": (["constrain", "--check", "one"], ["+", "--regex", "1"], FORM),
        "regex-file": (["constrain", "--check", "one"], ["+", "--regex-file", "r"], FORM),
        "grammar": (["constrain", "--check", "one"], ["+", "--grammar", "g"], FORM),
        "tools": (["constrain", "--tool-format", "hermes", "--check", "one"], ["+", "--tools", "tools"], FORM),
        "tool-format": (["constrain", "--tools", "tools"], ["+", "--tool-format", "hermes"], FORM),
        "tool-choice": (CALLS + ["one"], ["+", "--tool-choice", "required"], FORM),
        "one-call": (CALLS + ["calls"], ["+", "--one-call"], FORM),
        "narrow": (["constrain", "--schema", "o", "--check", "two"], ["+", "--narrow"], FORM),
        "check": (["constrain", "--schema", "s"], ["+", "--check", "one"], FORM),
        "sample": (["constrain", "--schema", "s"], ["+", "--sample", "3"], FORM),
        "seed": (["constrain", "--schema", "s", "--sample", "9"], ["+", "--seed", "2"], FORM),
        "vocab": (["constrain", "--schema", "s", "--check", "one"], ["+", "--vocab", "{tiny}"], FORM),
        "json": (["constrain", "--regex", "b", "--check", "one"], ["+", "--json"], FORM),
    },
    "chat": {
        **{k: (*v, {}, "hello\n") for k, v in model_options(CHAT, CHAT + ["-n", "1", "--ledger", "--device", "npu-sim"], CHAT).items()},
        **template_options(CHAT, "hello\n"),
        **sampling_options(CHAT, "hello\n"),
        "threads": (CHAT, ["+", "--threads", "64"], {}, "hello\n"),  # a warning: its effect is seen in run
        "kv": (CHAT + ["-n", "300", "--temp", "2"], ["+", "--kv", "f32"], {}, "hello\n"),
        "predict": (CHAT, ["+", "--predict", "3"], {}, "hello\n"),
        "system": (CHAT, ["+", "--system", "You are small."], {}, "/system\n"),
        "verbose": (CHAT, ["+", "--verbose"], {}, "hello\n"),
        "json-schema": (CHAT, ["+", "--json-schema", "s"], FORM, "hello\n"),
        "grammar": (CHAT, ["+", "--grammar", "g"], FORM, "hello\n"),
        "auto-trim": (CHAT + ["-n", "1", "--ctx", "128"], ["+", "--auto-trim"], {}, "one\ntwo\nthree\n"),
    },
    "eval": {
        **model_options(EVAL, EVAL[:3] + ["-p", "ab", "--json", "--ledger", "--device", "npu-sim"], EVAL),
        "threads": (EVAL, ["+", "--threads", "64"]),  # a warning: its effect is seen in run
        "quiet": (EVAL + ["-t", "64"], ["+", "--quiet"]),
        "file": (EVAL[:3] + ["--json"], ["+", "--file", "text"], TEXT),
        "prompt": (EVAL[:3] + ["--json"], ["+", "--prompt", "Hello"]),
        "ids": (EVAL[:3] + ["--json"], ["+", "--ids", "65,66,67"]),
        "separator": (EVAL, ["+", "--separator", "small"]),
        "truncate": (EVAL + ["--ctx", "8"], ["+", "--truncate"]),
        "logits-out": (EVAL, ["+", "--logits-out", "logits"]),
        "kl": (EVAL + ["--ctx", "8"], ["+", "--kl", "{tiny}"]),
        "no-bos": (EVAL, ["+", "--no-bos"]),
        "json": (EVAL[:-1], ["+", "--json"]),
    },
    "convert": {
        "type": (CONVERT, ["+", "--type", "f32"]),
        "dry-run": (CONVERT, ["+", "--dry-run"]),
        "threads": (CONVERT[:-1], ["+", "--threads", "64"]),  # a warning: the bytes are the same
        "quiet": (CONVERT[:-1] + ["-t", "64"], ["+", "--quiet"]),
        "json": (CONVERT, ["+", "--json"]),
    },
    "quantize": {
        "method": (QUANTIZE + ["--json"], ["+", "--method", "gptq"]),
        "calibration": (GPTQ, ["+", "--calibration", "other"], LONG),
        "tokens": (GPTQ, ["+", "--tokens", "200"], LONG),
        "report": (GPTQ, ["+", "--report"], LONG),
        "type": (QUANTIZE, ["+", "--type", "q6_k"]),
        "imatrix": (QUANTIZE, ["+", "--imatrix", "matrix"], MATRIX),
        "tensor-type": (QUANTIZE, ["+", "--tensor-type", "attn_v=q8_0"]),
        "head": (QUANTIZE, ["+", "--head", "q8_0"]),
        "embedding": (QUANTIZE, ["+", "--embedding", "q8_0"]),
        "allow-requantize": (["quantize", "{tiny}", "out", "--quiet"], ["+", "--allow-requantize"]),
        "dry-run": (QUANTIZE, ["+", "--dry-run"]),
        "threads": (["quantize", "{odd}", "out"], ["+", "--threads", "64"]),  # a warning: the bytes are the same
        "quiet": (["quantize", "{odd}", "out", "-t", "64"], ["+", "--quiet"]),
        "json": (QUANTIZE, ["+", "--json"]),
    },
    "imatrix": {
        "text": (IMATRIX, ["+", "--text", "text"], TEXT),
        "output": (IMATRIX, ["+", "--output", "other"]),
        "chunks": (IMATRIX, ["+", "--chunks", "1"]),
        "chunk-size": (IMATRIX, ["+", "--chunk-size", "100"]),
        "head": (IMATRIX, ["+", "--head"]),
        "quiet": (IMATRIX + ["-t", "64"], ["+", "--quiet"]),
        "model": (["imatrix", "--chunks", "2"], ["+", "--model", "{odd}"]),
        "threads": (IMATRIX, ["+", "--threads", "64"]),  # a warning: the sums are the same
        "pre": (["imatrix", "{nopre}", "--chunks", "2"], ["+", "--pre", "gpt-2"]),
    },
    "bench": {
        **{name: (BENCH, ["+", f"--{name}", "f32"]) for name in ("cache-type-k", "cache-type-v")},
        "kv": (BENCH[:-1], ["+", "--kv", "f32"]),
        "device": (BENCH, ["+", "--device", "npu-sim"]),
        "allow-cpu-ops": (["bench", "-m", "{odd}", *BENCH[3:], "--device", "npu-sim"], ["+", "--allow-cpu-ops"]),
        "pre": (["bench", "-m", "{nopre}", *BENCH[3:]], ["+", "--pre", "gpt-2"]),
        "ledger": (BENCH, ["+", "--ledger"]),
        "ledger-check": (["bench", "-m", "{tiny}", *BENCH[3:], "--device", "npu-sim"], ["+", "--ledger-check"]),
        "no-prefetch": (["bench", "--shape", "tiny", "--device", "npu-sim", "--json"], ["+", "--no-prefetch"]),
        "prefetch": (["bench", "--shape", "tiny", "--device", "npu-sim", "--json"], ["+", "--prefetch", "off"]),
        "sim-seed": (["bench", "--shape", "tiny", "--device", "npu-sim", "--json"], ["+", "--sim-seed", "7"]),
        "model": (["bench", *BENCH[3:]], ["+", "--model", "{tiny}"]),
        "shape": (["bench", *BENCH[3:]], ["+", "--shape", "tiny"]),
        "type": (BENCH, ["+", "--type", "q8_0"]),
        "prefill": (BENCH, ["+", "--prefill", "3"]),
        "parallel": (["bench", "--shape", "tiny", "-p", "0", "-n", "1", "-r", "1", "--json"], ["+", "--parallel", "2"]),
        "decode": (BENCH, ["+", "--decode", "3"]),
        "depth": (BENCH, ["+", "--depth", "1"]),
        "threads": (BENCH, ["+", "--threads", "1"]),
        "reps": (BENCH, ["+", "--reps", "2"]),
        "json": (BENCH[:-1], ["+", "--json"]),
        "csv": (BENCH[:-1], ["+", "--csv"]),
    },
    "tokenize": {
        "model": (["tokenize", "-p", "Hello", "--ids"], ["+", "--model", "{tiny}"]),
        "prompt": (["tokenize", "-m", "{tiny}"], ["+", "--prompt", "Hello"]),
        "file": (["tokenize", "-m", "{tiny}"], ["+", "--file", "text"], TEXT),
        "no-bos": (TOK, ["+", "--no-bos"]),
        "no-eos": (["tokenize", "-m", ".", "-p", "a", "--ids"], ["+", "--no-eos"], ENDS),
        "parse-special": (TOK, ["+", "--parse-special"]),
        "ids": (TOK[:-1], ["+", "--ids"]),
        "json": (TOK[:-1], ["+", "--json"]),
        "pre": (["tokenize", "-m", "vocab.tiktoken", "-p", "x"], ["+", "--pre", "gpt-2"], {"vocab.tiktoken": "IQ== 0\n"}),
        "decode": (["tokenize", "-m", "{tiny}"], ["+", "--decode", "72,73"]),
    },
    "template": {
        "model": (["template", "--context", "c"], ["+", "--model", "{tiny}"], CONTEXT),
        "file": (["template", "--context", "c"], ["+", "--file", "t"], CONTEXT),
        "context": (["template", "-f", "t"], ["+", "--context", "c"], CONTEXT),
        "chat-template": (["template", "-m", "{tiny}", "--context", "c"], ["+", "--chat-template", "zephyr"], CONTEXT),
        "template-var": (["template", "-f", "t", "--context", "c"], ["+", "--template-var", "x=1"], CONTEXT),
        "now": (["template", "-f", "t", "--context", "c", "--now", "2025-01-01T00:00:00"], ["+", "--now", "2024-07-26T12:00:00"], CONTEXT),
        "tools": (["template", "-f", "t", "--context", "c", "--now", "2025-01-01T00:00:00"], ["+", "--tools", "list"], CONTEXT),
        "documents": (["template", "-f", "t", "--context", "c", "--now", "2025-01-01T00:00:00"], ["+", "--documents", "list"], CONTEXT),
        "tokens": (["template", "-m", "{tiny}", "--context", "c"], ["+", "--tokens"], CONTEXT),
        "json": (["template", "-m", "{tiny}", "--context", "c"], ["+", "--json"], CONTEXT),
        "pre": (["template", "-m", "vocab.tiktoken", "-f", "t", "--context", "c"], ["+", "--pre", "gpt-2"], CONTEXT | {"vocab.tiktoken": "IQ== 0\n"}),
    },
    "inspect": {
        "model": (["inspect"], ["+", "--model", "{tiny}"]),
        "json": (["inspect", "{tiny}"], ["+", "--json"]),
        "metadata-only": (["inspect", "{tiny}"], ["+", "--metadata-only"]),
        "tensors": (["inspect", "{tiny}"], ["+", "--tensors"]),
        "ctx": (["inspect", "{tiny}"], ["+", "--ctx", "512"]),
        "items": (["inspect", "{tiny}"], ["+", "--items", "3"]),
    },
    "npu asm": {
        "output": (["npu", "asm", "a.s"], ["+", "--output", "a.bin"], ASM),
        "listing": (["npu", "asm", "a.s"], ["+", "--listing"], ASM),
        "map": (["npu", "asm", "a.s"], ["+", "--map"], ASM),
        "no-hazards": (["npu", "asm", "a.s"], ["+", "--no-hazards"], HAZARD),
    },
    "npu dis": {
        "base": (["npu", "dis", "a.bin", "--listing"], ["+", "--base", "0x100"], BINARY),
        "listing": (["npu", "dis", "a.bin"], ["+", "--listing"], BINARY),
    },
    "npu exec": {
        "mem": (["npu", "exec", "a.s", "--dump", "0x70010,4"], ["+", "--mem", "0x70010=in"], STREAM | LOOP),
        "reg": (["npu", "exec", "--trace", "a.s"], ["+", "--reg", "r2=5"], {"a.s": "mov r3, r2\ndone\n"}),
        "lock": (["npu", "exec", "a.s"], ["+", "--lock", "48=1"], LOCKED),
        "stream-in": (["npu", "exec", "a.s"], ["+", "--stream-in", "in"], STREAM),
        "stream-out": (["npu", "exec", "a.s", "--stream-in", "in"], ["+", "--stream-out", "out"], STREAM),
        "dump": (["npu", "exec", "a.s"], ["+", "--dump", "0x70000,4"], LOOP),
        "trace": (["npu", "exec", "a.s"], ["+", "--trace"], LOOP),
        "max-cycles": (["npu", "exec", "a.s"], ["+", "--max-cycles", "50"], LOOP),
        "no-hazards": (["npu", "exec", "a.s"], ["+", "--no-hazards"], HAZARD),
        "no-undefined": (["npu", "exec", "a.s"], ["+", "--no-undefined"], {"a.s": "add r0, r1, r1\ndone\n"}),
    },
    "npu replay": {
        "json": (["npu", "replay", "a.jsonl"], ["+", "--json"], CAPTURE),
        "instructions": (["npu", "replay", "a.jsonl"], ["+", "--instructions"], CAPTURE),
        "show": (["npu", "replay", "a.jsonl"], ["+", "--show", "different"], CAPTURE),
    },
    "npu selftest": {
        "device": (["npu", "selftest", "--to", "0"], ["npu", "selftest", "--to", "1", "--device", "npu-sim"]),
        "to": (["npu", "selftest", "--device", "npu-sim", "--to", "1"], ["+", "--to", "3"]),
        "log": (["npu", "selftest", "--device", "npu-sim", "--to", "1"], ["+", "--log", "mine"]),
        "json": (["npu", "selftest", "--device", "npu-sim", "--to", "1"], ["+", "--json"]),
        "node": (["npu", "selftest", "--to", "1", "--node", "/no/such/node"], ["+", "--node", "/dev/null"]),
        "sim-seed": (["npu", "selftest", "--device", "npu-sim", "--to", "5", "--json"], ["+", "--sim-seed", "7"]),
    },
}
# What shows only at a terminal or in what is measured, and the test that watches it there.
HUB = "../hub/own_hub.py"
ELSEWHERE = {("chat", "no-history"): "chat_pty.py", ("list", "json"): HUB, ("list", "quiet"): HUB, ("rm", "all"): HUB} | {
    (command, option): HUB for command in ("run", "chat", "eval", "bench", "serve") for option in ("hf-repo", "offline")} | {
    ("pull", option): HUB for option in ("offline", "device", "json", "quiet", "connections", "stall-timeout", "retry-wait")}
SERVED = "../server/behaviour.py"  # a server has to be asked

TIMED = {"bench", "selftest"}  # what they print is measured, all but their JSON
MEASURED = re.compile(r'("\w*(?:_ms|_ns|per_s|memory_bytes|gbps|gops|sd|min|max|kernel|host_us|limit_\\w+)":) ?[^,}\n]+')


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tiny")
    parser.add_argument("odd")
    parser.add_argument("source")
    parser.add_argument("--only", default="", help="options whose \"command --name\" contains this")
    args = parser.parse_args()
    program = os.path.abspath(args.program)
    names = {"{tiny}": os.path.abspath(args.tiny), "{odd}": os.path.abspath(args.odd),
             "{bundled}": os.path.abspath(f"{args.source}/models/tessera-tiny-q8_0.gguf")}
    seen: dict[tuple, tuple] = {}
    # a file that does not say how text is split
    nopre = tempfile.NamedTemporaryFile(suffix=".gguf")
    nopre.write(pathlib.Path(args.tiny).read_bytes().replace(b"tokenizer.ggml.pre", b"tokenizer.ggml.not"))
    nopre.flush()
    names["{nopre}"] = nopre.name

    def observe(words: list[str], files: dict, stdin: str, again: bool = False) -> tuple:
        key = (*words, *sorted(files.items()), stdin, again)
        if key not in seen:
            seen[key] = run([program, *(names.get(w, w) for w in words)], files, stdin)
        return seen[key]

    bad: list[str] = []
    count = 0
    for command in commands(program):
        name = " ".join(command)
        table = dict(EFFECTS.get(name, {}))
        for letter, long, also, _ in OPTION.findall(output(program, *command, "--help")):
            entry = table.pop(long, None)
            if long == "help" or args.only not in f"{name} --{long}":
                continue
            elsewhere = ELSEWHERE.get((name, long)) or (SERVED if name == "serve" else None)
            if elsewhere:
                watcher = pathlib.Path(__file__).parent / elsewhere
                if f'"--{long}"' not in watcher.read_text():
                    bad.append(f"{name} --{long}: {watcher.name} does not use it")
                continue
            if not entry:
                bad.append(f"{name} --{long}: no proof of an effect; add a line to EFFECTS in {os.path.basename(__file__)}")
                continue
            base, more, files, stdin = (*entry, *({}, "")[len(entry) - 2:])
            words = base + more[1:] if more[0] == "+" else more
            count += 1
            without, again, used = observe(base, files, stdin), observe(base, files, stdin, again=True), observe(words, files, stdin)
            if without != again:
                bad.append(f"{name} --{long}: two runs without it differ: {differences(without, again)}")
            elif without == used:
                bad.append(f"{name} --{long} has no effect: {' '.join(words)}")
            for other in ([f"-{letter}"] if letter else []) + also.split(", ")[1:]:
                same = observe([other if w == f"--{long}" else w for w in words], files, stdin)
                if same != used and f"--{long}" not in used[2]:
                    bad.append(f"{name} {other} is not --{long}: {differences(used, same)}")
        bad += [f"{name} --{long}: there is no such option" for long in table]
    print("\n".join(bad) or f"{count} options, {len(seen)} different runs")
    return 1 if bad else 0


def run(argv: list[str], files: dict, stdin: str) -> tuple:
    """Exit code, standard output and error without what is measured, the files that were left with their sizes, and the
    simulated times of a ledger, which are the same every time."""
    with tempfile.TemporaryDirectory(prefix="tessera-options-") as tmp:
        for name, text in files.items():
            pathlib.Path(tmp, name).write_bytes(text if isinstance(text, bytes) else text.encode())
        r = subprocess.run(argv, cwd=tmp, input=stdin.encode(), capture_output=True, timeout=120,
                           env={**os.environ, "HOME": tmp, "XDG_STATE_HOME": "", "TESSERA_MODEL": "", "TESSERA_PROGRESS": "0"})
        left = {p.name: 0 if "selftest" in argv else p.stat().st_size for p in pathlib.Path(tmp).iterdir() if p.name not in files and p.is_file()}
    out, err = (t.decode(errors="replace") for t in (r.stdout, r.stderr))
    out = MEASURED.sub(r"\1 #", out) if out[:1] in "{[" or not TIMED & set(argv) else mask(out)
    err = re.sub(r"npu-sim simulates .*\n", "", err)  # a forecast, where it takes long
    out = re.sub(r".*\(measured.*", lambda m: mask(m[0]), out)
    return r.returncode, out, mask(err), left, re.findall(r"([\d.]+) +simulated", err)


def mask(text: str) -> str:
    """Without numbers and the blanks in front of them; "f16" stays."""
    return re.sub(r" *(?<![A-Za-z\d.])\d[\d.]*", "#", text)


def differences(a: tuple, b: tuple) -> str:
    return "; ".join(f"{what} {x!r:.300} and {y!r:.300}" for what, x, y in
                     zip(("exit code", "stdout", "stderr", "files", "simulated"), a, b) if x != y)


if __name__ == "__main__":
    sys.exit(main())
