#!/usr/bin/env python3
"""Many requests of all kinds from many clients, some of whom leave: every one that stays gets its whole answer, the same question always
the same answer, nothing is left running, and memory stays as it was.

Usage: soak.py TESSERA [--requests N] [--clients N] [--seed N] [--sanitized]        Exit code: 0 passed, 1 failed."""
import argparse
import collections
import http.client
import json
import pathlib
import random
import sys
import tempfile
import threading
import time

import serving

NAME = serving.NAME
TOOL = {"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["a", "b"], "additionalProperties": False}}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 999}, "s": {"type": "string", "maxLength": 9}},
          "required": ["n", "s"], "additionalProperties": False}


def kinds(rnd: random.Random) -> tuple[str, str, dict, int]:
    """A kind of request: its name, path, body and the status that it has to get."""
    words = " ".join(rnd.choice("cat dog sea sun red old house tree night river".split()) for _ in range(rnd.choice((2, 5, 20, 150))))
    n = rnd.randrange(1, 33)
    user = [{"role": "user", "content": f"{rnd.randrange(40)} {words}" if rnd.random() < 0.5 else f"What is {rnd.randrange(9)} + 2?"}]
    chat = {"model": NAME, "messages": user, "max_tokens": n, "temperature": rnd.choice((0, 0.9)), "seed": rnd.randrange(5)}
    choice = rnd.randrange(16)
    path = "/v1/chat/completions"
    if choice < 4:
        return "chat", path, chat, 200
    if choice < 7:
        return "stream", path, {**chat, "stream": True}, 200
    if choice == 7:
        return "schema", path, {**chat, "max_tokens": 60, "response_format": {"type": "json_schema", "json_schema": {"name": "o", "schema": SCHEMA}}}, 200
    if choice == 8:
        return "tools", path, {**chat, "max_tokens": 60, "tools": [TOOL], "tool_choice": "required", "stream": rnd.random() < 0.5}, 200
    if choice == 9:
        return "choices", path, {**chat, "n": 2, "logprobs": True, "top_logprobs": 3}, 200
    if choice == 10:
        return "completions", "/v1/completions", {"model": NAME, "prompt": [words[:80], "Once"], "max_tokens": n, "temperature": 0}, 200
    if choice == 11:
        return "embeddings", "/v1/embeddings", {"model": NAME, "input": [words[:200], "a cat"]}, 200
    if choice == 12:
        return "anthropic", "/v1/messages", {"model": NAME, "max_tokens": n, "messages": user, "temperature": 0, "stream": rnd.random() < 0.5}, 200
    if choice == 13:
        return "ollama", "/api/chat", {"model": NAME, "messages": user, "options": {"num_predict": n, "temperature": 0}}, 200
    if choice == 14:
        return "responses", "/v1/responses", {"model": NAME, "input": words[:100], "max_output_tokens": n, "temperature": 0}, 200
    bad = rnd.choice(({"messages": "x"}, {"model": NAME, "messages": user, "top_p": 7}, {"model": "none", "messages": user},
                      {"model": NAME, "messages": user, "grammar": "root ::= ("}, {"model": NAME, "messages": user * 900}))
    return "bad", path, bad, 404 if bad.get("model") == "none" else 400


def text_of(kind: str, body: bytes) -> str:
    """What of an answer has to be the same each time: all of it but ids, times and what was cached."""
    if kind in ("bad", "embeddings"):
        return ""
    out = []

    def walk(v) -> None:
        if isinstance(v, dict):
            for k, x in v.items():
                if k in ("content", "text", "arguments", "thinking", "delta", "partial_json", "logprob") and isinstance(x, (str, float)):
                    out.append(str(x))
                elif isinstance(x, (dict, list)) and k not in ("timings", "usage", "tessera", "tools", "response", "item", "part"):
                    walk(x)
        elif isinstance(v, list):
            for x in v:
                walk(x)
    for line in body.decode().splitlines():
        line = line.removeprefix("data: ")
        if line.startswith("{"):
            walk(json.loads(line))
    return "".join(out) if kind != "choices" else "|".join(out)


class Soak:
    def __init__(self, s: serving.Server, requests: int, seed: int):
        self.s, self.left, self.seed = s, requests, seed
        self.lock = threading.Lock()
        self.first: dict[str, str] = {}
        self.count = collections.Counter()
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        with self.lock:
            self.faults.append(text[:400])

    def one(self, rnd: random.Random, c: http.client.HTTPConnection) -> bool:
        """False: the connection cannot be used again."""
        kind, path, body, want = kinds(rnd)
        leaves = rnd.random() < 0.08 and kind != "bad"
        c.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        if leaves and rnd.random() < 0.5:
            c.close()
            self.count["left before an answer"] += 1
            return False
        r = c.getresponse()
        if leaves:
            r.read(rnd.randrange(1, 200))
            c.close()
            self.count["left within"] += 1
            return False
        data = r.read()
        self.count[kind] += 1
        if r.status == 429:
            self.count["told to come again"] += 1
            time.sleep(0.02)
            return True
        if r.status != want:
            self.fault(f"{kind}: status {r.status}, not {want}: {data[:200]}")
            return True
        text = text_of(kind, data)
        key = json.dumps([path, body], sort_keys=True)
        with self.lock:
            if text != self.first.setdefault(key, text):
                self.faults.append(f"{kind}: another text: {text[:100]!r}, first {self.first[key][:100]!r}")
        return True

    def client(self, number: int) -> None:
        rnd = random.Random(self.seed * 1000 + number)
        c = http.client.HTTPConnection("127.0.0.1", self.s.port, timeout=120)
        while True:
            with self.lock:
                if self.left == 0 or len(self.faults) > 20:
                    break
                self.left -= 1
            try:
                if not self.one(rnd, c):
                    c = http.client.HTTPConnection("127.0.0.1", self.s.port, timeout=120)
            except (OSError, http.client.HTTPException) as e:
                self.fault(f"lost: {type(e).__name__}: {e}")
                c.close()
                c = http.client.HTTPConnection("127.0.0.1", self.s.port, timeout=120)
        c.close()

    def run(self, clients: int) -> None:
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()


def busy(s: serving.Server) -> int:
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=60)
    c.request("GET", "/slots")
    n = sum(x["is_processing"] for x in json.loads(c.getresponse().read()))
    c.close()
    return n


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("tessera")
    p.add_argument("--requests", type=int, default=800)
    p.add_argument("--clients", type=int, default=12)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--sanitized", action="store_true", help="a sanitizer keeps what was freed for a while: memory is not looked at")
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp, serving.server(
            o.tessera, "-q", "--cache-dir", str(pathlib.Path(tmp) / "kv"), "--cache-memory", "16", "--cache-disk", "64") as s:
        warm = Soak(s, o.requests // 4, o.seed)
        warm.run(o.clients)
        before = s.memory()
        soak = Soak(s, o.requests - o.requests // 4, o.seed + 1)
        soak.first = warm.first
        begun = time.monotonic()
        soak.run(o.clients)
        seconds = time.monotonic() - begun
        end = time.monotonic() + 5
        while busy(s) and time.monotonic() < end:
            time.sleep(0.05)
        after, still = s.memory(), busy(s)
        total = warm.count + soak.count
        print(", ".join(f"{k} {v}" for k, v in sorted(total.items())))
        print(f"{o.requests} requests, {soak.count.total() / seconds:.0f} in a second; memory {before >> 20} MiB, then {after >> 20} MiB; "
              f"{len(soak.first)} different questions")
        faults = warm.faults + soak.faults
        if still:
            faults.append(f"{still} places are busy at the end")
        if after > before * 1.25 + (24 << 20) and not o.sanitized:
            faults.append(f"memory grew from {before >> 20} to {after >> 20} MiB")
        print("\n".join(faults))
        return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
