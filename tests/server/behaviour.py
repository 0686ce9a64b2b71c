#!/usr/bin/env python3
"""What the clients' kit does not ask: who may use the server, models that come and go, prompts found again after a restart, an orderly
end and a disorderly one, what is logged.

Usage: behaviour.py TESSERA [NAME...]        Exit code: 0 passed, 1 failed."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import serving

TESSERA = sys.argv[1]
NAME = serving.NAME
HELLO = [{"role": "user", "content": "Hello"}]
LONG = [{"role": "user", "content": "Tell me a long story about a dog, a cat and a mouse who live by the sea. " + "They are friends. " * 80}]


class Answer:
    def __init__(self, r: http.client.HTTPResponse):
        self.status, self.headers, self.body = r.status, r.headers, r.read()

    @property
    def json(self):
        return json.loads(self.body)


def ask(s: serving.Server, path: str, body=None, method: str | None = None, **headers: str) -> Answer:
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=120)
    data = None if body is None else body if isinstance(body, (bytes, str)) else json.dumps(body)
    h = {k.replace("_", "-"): v for k, v in headers.items()}
    if data is not None:
        h.setdefault("content-type", "application/json")
    c.request(method or ("GET" if data is None else "POST"), path, data, h)
    a = Answer(c.getresponse())
    c.close()
    return a


def chat(s: serving.Server, model: str = NAME, messages=None, **more) -> Answer:
    return ask(s, "/v1/chat/completions", {"model": model, "messages": messages or HELLO, "temperature": 0, "max_tokens": 8, **more})


def raw(s: serving.Server, text: str) -> bytes:
    """What comes back, to the end of the connection, which is the server's to close."""
    with socket.create_connection(("127.0.0.1", s.port), 10) as c:
        c.sendall(text.encode("latin-1"))
        parts = []
        while part := c.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


def must(kept: bool, what: str) -> None:
    if not kept:
        raise AssertionError(what)


def same(got, want, what: str) -> None:
    must(got == want, f"{what}: {str(got)[:300]}, expected {str(want)[:300]}")


def until(what: str, ask_again, seconds: float = 20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = ask_again()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def refused(*options: str, code: int, words: str, env: dict[str, str] | None = None) -> None:
    r = subprocess.run([TESSERA, "serve", "--port", "0", "--no-cache-dir", *options], capture_output=True, text=True, timeout=60,
                       stdin=subprocess.DEVNULL, env={**os.environ, "TESSERA_API_KEY": "", **(env or {})})
    same(r.returncode, code, f"exit code of {options}")
    must(words in r.stderr and r.stderr.count("\n") <= 2, f"{options}: {r.stderr}")


# ---- who may ask ----

def addresses(tmp: pathlib.Path) -> None:
    model = ["-m", str(serving.MODEL)]
    refused(*model, "--host", "0.0.0.0", code=2, words="--key-file")
    refused(*model, "--host", "no.such.host.invalid", code=2, words="no.such.host.invalid", env={"TESSERA_API_KEY": "long-enough"})
    refused("-m", str(tmp / "none.gguf"), code=1, words="none.gguf")
    refused("--models", str(tmp / "none"), code=1, words="none")
    (tmp / "empty").mkdir()
    refused("--models", str(tmp / "empty"), code=2, words="there is no model")
    refused(*model, *model, code=2, words="two models are called")
    refused(*model, "--peer", "x", code=2, words="--peer")
    with serving.server(TESSERA, "-q", "--peer", "next=http://127.0.0.1:1") as s:
        same(ask(s, "/tessera/peers").json, {"peers": [{"name": "next", "base": "http://127.0.0.1:1"}]}, "peers")
        must("connect-src 'self' http://127.0.0.1:1" in ask(s, "/", accept="text/html").headers["content-security-policy"], "CSP")
    for origin in "*", "app.example", "https://app.example/", "https://app.example/x", "https://*.example", "null", "file://", "://a", "https://App.example", \
                  "https://app.example:443", "http://[::1]:80", "https://a b", "https://app.example:x", "https://u@app.example", "https://app.example?x":
        refused(*model, "--allow-origin", "https://a.example", "--allow-origin", origin, code=2, words=f"--allow-origin {origin}: no page has that origin")
    for host in "http://x/", "name:8080", "[::1]", "*", "*.example", "x/", "a b", "::1:x":
        refused(*model, "--allow-host", "a.example", "--allow-host", host, code=2, words=f"--allow-host {host}: a name or an address alone")
    for option in "-m", "--models", "--key-file", "--cache-dir", "--host", "--allow-host", "--allow-origin", "--peer", "--also-on":
        refused(*([] if option in ("-m", "--models") else model), option, "", code=2, words=f"{option} needs a value")
    refused("-m", "name=", code=2, words="there is no file behind the name")
    with serving.server(TESSERA, "-q", *(x for o in ("http://localhost:3000", "https://[::1]:8443", "app://obsidian.md", "http://a.example:443",
                                                     "chrome-extension://abcdefgh") for x in ("--allow-origin", o)),
                        *(x for o in ("box", "Box-2.example", "10.0.0.1", "fd00::5") for x in ("--allow-host", o))) as s:
        for o in "https://[::1]:8443", "app://obsidian.md", "chrome-extension://abcdefgh":
            same(ask(s, "/health", origin=o).headers["access-control-allow-origin"], o, "an origin that is allowed")
        for o in "box", "box-2.example:1", "10.0.0.1", "[fd00::5]:99":
            same(ask(s, "/health", host=o).status, 200, o)
    refused(*model, "--also-on", "toaster", code=2, words="toaster")
    refused(*model, "--parallel", "0", code=2, words="parallel")
    refused(*model, "what", code=2, words="what")
    with serving.server(TESSERA, "-q") as s:
        refused(*model, "--port", str(s.port), code=1, words="another program")
    with serving.server(TESSERA, "-q", "--host", "0.0.0.0", "--insecure") as s:
        must(f"http://127.0.0.1:{s.port}/ (page)" in s.said and "at all addresses" in s.said, f"where it is: {s.said}")
        same(chat(s).status, 200, "everybody may")
        same(ask(s, "/health", host="elsewhere.example").status, 403, "a foreign name")
        same(ask(s, "/health", host=f"10.1.2.3:{s.port}").status, 200, "an address of it")


def keys(tmp: pathlib.Path) -> None:
    f = tmp / "keys"
    f.write_text("# two of them\n\nfirst-key-1234\r\nsecond-key-123\n")
    f.chmod(0o644)
    (tmp / "short").write_text("abc\n")
    (tmp / "comment").write_text("# none\n")
    (tmp / "nothing").write_text("")
    model = ["-m", str(serving.MODEL), "--key-file"]
    (tmp / "blank").write_text("# one\r\n\r\nlong-enough-1\r\nlong enough\r\n")
    refused(*model, str(tmp / "short"), code=2, words="short, line 1: the key has fewer than 8")
    refused(*model, str(tmp / "blank"), code=2, words="blank, line 4: the key has white space")
    refused(*model[:2], code=2, words="TESSERA_API_KEY has fewer than 8", env={"TESSERA_API_KEY": "abc"})
    refused(*model, str(tmp / "comment"), code=2, words="no key")
    refused(*model, str(tmp / "nothing"), code=2, words="empty")
    refused(*model, str(tmp / "missing"), code=1, words="missing")
    with serving.server(TESSERA, "--key-file", str(f)) as s:
        must("chmod 600" in s.said, "others can read the keys, and nobody says so")
        for key in "first-key-1234", "second-key-123":
            same(ask(s, "/v1/models", authorization=f"Bearer {key}").status, 200, "a right key")
            same(ask(s, "/api/tags", x_api_key=key).status, 200, "a right key")
        for key in "first-key-123", "first-key-12345", "# two of them", "", "first-key-1234 second-key-123":
            a = ask(s, "/v1/models", authorization=f"Bearer {key}")
            same((a.status, a.json["error"]["code"]), (401, "invalid_api_key"), f"the key {key!r}")
        for path in "/v1/models", "/metrics", "/slots", "/props", "/tessera/live", "/tessera/ledger/x", "/api/tags", "/v1/nothing":
            must(ask(s, path).status in (401, 404), f"{path} is open")
        for path in "/health", "/":
            same(ask(s, path).status, 200, path)
        same(ask(s, "/v1/messages", {}, ).json["error"]["type"], "authentication_error", "Anthropic's word for it")
        got = raw(s, f"POST /v1/messages HTTP/1.1\r\nHost: localhost:{s.port}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        same((got.count(b"HTTP/1."), got[9:12]), (1, b"401"), f"a body that is held back: {got[:300]}")
        must("first-key" not in s.said and "second-key" not in s.said, "a key is in the log")


def origins(tmp: pathlib.Path) -> None:
    app = "https://app.example"
    with serving.server(TESSERA, "-q", "--allow-origin", app, "--allow-host", "box.example") as s:
        a = ask(s, "/v1/models", origin=app)
        same((a.status, a.headers["access-control-allow-origin"]), (200, app), "an origin that is allowed")
        a = ask(s, "/v1/chat/completions", method="OPTIONS", origin=app, access_control_request_method="POST")
        same((a.status, a.headers["access-control-allow-origin"]), (204, app), "its preflight")
        usual = a.headers["access-control-allow-headers"]
        must("authorization" in usual and "*" not in usual, "headers of the preflight")
        same(a.headers["access-control-allow-methods"], "GET, POST, OPTIONS", "methods of the preflight")
        long = ",".join(f"x-stainless-{i}" for i in range(200))
        for names, want in ((long, long), ("authorization, Anthropic-Dangerous-Direct-Browser-Access", None), ("x" * 5000, usual), ("x;y", usual),
                            ("x\u00e9", usual), ("", usual)):
            a = ask(s, "/v1/chat/completions", method="OPTIONS", origin=app, access_control_request_method="POST", access_control_request_headers=names)
            same((a.status, a.headers["access-control-allow-headers"]), (204, want or names), "what a preflight asks for")
        a = ask(s, "/v1/models", origin=app)
        same((a.headers["access-control-expose-headers"], a.headers["access-control-allow-headers"]), ("Retry-After", None), "what a page may read")
        for origin in "https://app.example.evil", "http://app.example", "null", f"http://localhost:{s.port + 1}", "file://":
            a = ask(s, "/v1/models", origin=origin)
            same((a.status, a.headers["access-control-allow-origin"]), (403, None), origin)
            a = ask(s, "/v1/chat/completions", method="OPTIONS", origin=origin, access_control_request_headers="x-a")
            same((a.status, a.headers["access-control-allow-headers"]), (403, None), f"preflight of {origin}")
        a = ask(s, "/v1/models", origin=f"http://localhost:{s.port}")
        same((a.status, a.headers["access-control-allow-origin"]), (200, None), "its own page")
        same(chat_text(s, "text/plain", f"http://localhost:{s.port}"), 415, "its own page with a form")
        for host in "box.example", "box.example:443", f"127.0.0.1:{s.port}", f"[::1]:{s.port}":
            same(ask(s, "/health", host=host).status, 200, host)
        for host in "evil.example", "127.0.0.1", f"127.0.0.1:{s.port + 1}", f"127.0.0.1:{s.port}x", "", f"box.example.evil:{s.port}", "[::1":
            must(ask(s, "/health", host=host).status in (400, 403), f"Host {host!r}")


    with serving.server(TESSERA, "-q", "--allow-host", "box.example", env={"TESSERA_API_KEY": "the-right-one"}) as s:
        here, end = f"localhost:{s.port}", "Connection: close\r\n\r\n"
        for target in f"http://{here}/health", f"HTTP://127.0.0.1:{s.port}/health?a=http://b", "http://box.example/health", f"http://[::1]:{s.port}/":
            must(raw(s, f"GET {target} HTTP/1.1\r\nHost: {here}\r\n{end}").startswith(b"HTTP/1.1 200"), target)
        must(b"Ollama is running" in raw(s, f"GET http://{here} HTTP/1.1\r\nHost: {here}\r\n{end}"), "a name without a path")
        for target in "http://evil.example/health", "http:///health", "http://evil.example", f"http://a@{here}/health", f"http://{here}.evil/health", "http://localhost/health", \
                      f"http://{'x' * 300}/health":
            got = raw(s, f"GET {target} HTTP/1.1\r\nHost: {here}\r\n{end}")
            must(got.startswith(b"HTTP/1.1 403"), f"{target}: {got[:200]}")
        must(raw(s, f"GET http://{here}/health HTTP/1.1\r\nHost: evil.example\r\n{end}").startswith(b"HTTP/1.1 403"), "a foreign Host beside our name")
        must(raw(s, f"GET http://{here}/slots HTTP/1.1\r\nHost: {here}\r\n{end}").startswith(b"HTTP/1.1 401"), "without a key")
        for twice in (f"Origin: http://{here}\r\nOrigin: http://{here}", "Authorization: Bearer the-right-one\r\nauthorization: Bearer x",
                      "X-Api-Key: the-right-one\r\nx-api-key: the-right-one"):
            got = raw(s, f"GET /v1/models HTTP/1.1\r\nHost: {here}\r\n{twice}\r\n{end}")
            must(got.startswith(b"HTTP/1.1 400") and b"there are 2" in got, f"{twice!r}: {got[:300]}")
        got = raw(s, f"GET /v1/models HTTP/1.1\r\nHost: {here}\r\nAuthorization: Bearer the-right-one\r\nX-Api-Key: other\r\n{end}")
        must(got.startswith(b"HTTP/1.1 200"), f"one of each: {got[:300]}")


def chat_text(s: serving.Server, kind: str, origin: str) -> int:
    return ask(s, "/v1/chat/completions", json.dumps({"model": NAME, "messages": HELLO}), content_type=kind, origin=origin).status


# ---- models ----

def models(tmp: pathlib.Path) -> None:
    folder = tmp / "models"
    folder.mkdir()
    for name in "a", "b":
        shutil.copy(serving.MODEL, folder / f"{name}.gguf")
    (folder / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    (folder / "empty.gguf").write_bytes(b"")
    (folder / "cut.gguf").write_bytes(serving.MODEL.read_bytes()[:300000])
    (folder / "notes.txt").write_text("no model")
    (folder / "folder.gguf").mkdir()
    (folder / "dangling.gguf").symlink_to("nowhere")
    os.mkfifo(folder / "fifo.gguf")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "socket.gguf"))
    with serving.server(TESSERA, "-q", "--models", str(folder), "--max-loaded", "1", "--idle-unload", "1", model=False) as s:
        def loaded() -> set[str]:
            return {m["id"] for m in ask(s, "/v1/models").json["data"] if m["loaded"]}
        same([m["id"] for m in ask(s, "/v1/models").json["data"]], ["a", "b", "broken", "cut", "empty"], "the folder's models")
        same(loaded(), set(), "none is loaded yet")
        must(all("n_ctx" not in slot for slot in ask(s, "/slots").json), "a context that nobody knows yet")
        want = chat(s, "a").json["choices"][0]["message"]["content"]
        same(loaded(), {"a"}, "the one that was asked for")
        must(all(slot["n_ctx"] > 0 for slot in ask(s, "/slots").json), "the context, once it is known")
        same(chat(s, "b:latest").json["choices"][0]["message"]["content"], want, "the same file")
        same(loaded(), {"b"}, "one at a time")
        def bill() -> list[tuple]:
            rows = ask(s, f"/tessera/ledger/{chat(s, 'a', cache_prompt=False).json['id']}").json["rows"]
            return [(r["op"], r["calls"], r["tokens"]) for r in rows]
        first = bill()
        must(first, "a bill without rows")
        same(chat(s, "b").status, 200, "the other one")
        same(bill(), first, "the same bill of a model that was loaded again")
        for name, words in ("broken", "GGUF version 0"), ("empty", "empty"), ("cut", "incomplete"):
            a = chat(s, name)
            same((a.status, a.json["error"]["type"]), (500, "server_error"), f"the {name} file")
            said = a.json["error"]["message"]
            must(f"{name}.gguf" in said and f"model {name}" in said and words in said and "/" not in said, f"the {name} file: {said}")
        a = ask(s, "/api/generate", {"model": "cut", "prompt": "x"})
        must(a.status == 500 and "/" not in a.json["error"], f"for Ollama's clients: {a.body}")
        same(chat(s, "a").status, 200, "and on it goes")
        for name in "c", "../a", "/etc/passwd", "a.gguf", "A", "a\x00", "x" * 5000:
            same((chat(s, name).status), 400 if "\x00" in name else 404, f"the model {name[:20]!r}")
        until("an idle model goes", lambda: loaded() == set())
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda i: chat(s, "ab"[i % 2]), range(16)))
        must(all(a.status == 200 and a.json["choices"][0]["message"]["content"] == want or a.status == 503 for a in got),
             f"both at once: {[(a.status, a.body[:100]) for a in got]}")
        must(any(a.status == 200 for a in got), "nobody was answered")
        same(ask(s, "/api/generate", {"model": "a", "keep_alive": 0}).status, 200, "keep_alive 0")
        until("keep_alive 0 lets it go", lambda: "a" not in loaded())
    folders(tmp)
    with serving.server(TESSERA, "-q", "-m", f"other={serving.MODEL}") as s:
        same([m["id"] for m in ask(s, "/v1/models").json["data"]], [NAME, "other"], "a name of one's own")
        same(chat(s, "other").status, 200, "by that name")
        same(chat(s, "gpt-4").status, 404, "no other name")
    with serving.server(TESSERA, "-q", "--any-model") as s:
        same(chat(s, "gpt-4").status, 200, "--any-model")


def folders(tmp: pathlib.Path) -> None:
    """Files that come, go and change while the server runs."""
    folder, other = tmp / "changing", serving.SOURCE / "models/tessera-tiny-q4_0.gguf"
    folder.mkdir()
    shutil.copy(serving.MODEL, folder / "a.gguf")
    shutil.copy(serving.MODEL, folder / "b.gguf")
    with serving.server(TESSERA, "-q", "--models", str(folder), "--max-loaded", "2", model=False) as s:
        def listed() -> dict[str, int]:
            own = {m["id"]: m["meta"]["size"] for m in ask(s, "/v1/models").json["data"]}
            same({m["name"].removesuffix(":latest"): m["size"] for m in ask(s, "/api/tags").json["models"]}, own, "the lists")
            return own

        def text(a: Answer) -> str:
            same(a.status, 200, f"an answer: {a.body[:300]}")
            return a.json["choices"][0]["message"]["content"]

        def digest(name: str) -> str:
            return next(m["digest"] for m in ask(s, "/api/tags").json["models"] if m["name"] == f"{name}:latest")
        more = {"max_tokens": 60, "messages": [{"role": "user", "content": "Tell me a story about a cat."}]}
        eight = text(chat(s, "a", **more))
        with serving.server(TESSERA, "-q", "-m", f"a={other}", model=False) as alone:
            four = text(chat(alone, "a", **more))
        must(eight != four, "the two models say the same: they cannot be told apart here")
        # added
        same(chat(s, "c").status, 404, "not yet there")
        shutil.copy(other, folder / "c.gguf")
        same(text(chat(s, "c", **more)), four, "a file that was added, by its name")
        shutil.copy(other, folder / "d.gguf")
        same(list(listed()), ["a", "b", "c", "d"], "a file that was added, in the list")
        same(ask(s, "/v1/models/d").json["meta"]["size"], other.stat().st_size, "and alone")
        # replaced, by renaming and in its place, loaded and not
        for name in "a", "b":
            before = digest(name)
            shutil.copy(other, folder / ".new")
            (folder / ".new").rename(folder / f"{name}.gguf")
            same(listed()[name], other.stat().st_size, f"the size of {name}, renamed over")
            must(digest(name) != before, "its digest")
            same(text(chat(s, name, **more)), four, f"the new {name}, renamed over")
            (folder / f"{name}.gguf").write_bytes(serving.MODEL.read_bytes())
            same(text(chat(s, name, **more)), eight, f"the new {name}, written over")
            same(listed()[name], serving.MODEL.stat().st_size, f"the size of {name}, written over")
        # the same size, another time
        data = bytearray((folder / "a.gguf").read_bytes())
        (folder / "a.gguf").write_bytes(data)
        same(text(chat(s, "a", **more)), eight, "the same bytes again")
        # removed while it answers
        def busy() -> bool:
            return any(slot["is_processing"] for slot in ask(s, "/slots").json)
        until("the last answer is over", lambda: not busy())
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(chat, s, "a", max_tokens=900, ignore_eos=True)
            until("it answers", busy)
            (folder / "a.gguf").unlink()
            gone = chat(s, "a")
            same((gone.status, gone.json["error"]["code"]), (404, "model_not_found"), "a file that was removed")
            same(job.result().json["usage"]["completion_tokens"], 900, "the answer that was begun")
        same(list(listed()), ["b", "c", "d"], "the rest")
        same(ask(s, "/v1/models/a").status, 404, "and alone")
        same(ask(s, "/api/generate", {"model": "a", "keep_alive": 0}).status, 404, "nothing to unload")
        same(ask(s, "/v1/completions", {"prompt": "x", "max_tokens": 1}).json.get("model"), "b", "the first one now")
        for name in "bcd":
            (folder / f"{name}.gguf").unlink()
        same(listed(), {}, "none is left")
        same(ask(s, "/v1/completions", {"prompt": "x", "max_tokens": 1}).status, 404, "none is left to answer")
        shutil.copy(other, folder / "a.gguf")
        same(text(chat(s, "a", **more)), four, "and one again")


def devices(tmp: pathlib.Path) -> None:
    with serving.server(TESSERA, "-q", "--also-on", "npu-sim", "--ledger-check") as s:
        a, b = chat(s, max_tokens=2, logprobs=True), chat(s, f"{NAME}@npu-sim", max_tokens=2, logprobs=True)
        same(a.json["choices"], b.json["choices"], "the simulated NPU's answer")
        same((a.json["tessera"]["device"], b.json["tessera"]["device"]), ("cpu", "npu-sim"), "devices")
        bill = ask(s, f"/tessera/ledger/{b.json['id']}").json
        rows = [r for r in bill["rows"] if r["device"] == "npu-sim"]
        must(rows and all(r["evidence"] == "simulated" and r["differ"] == 0 and r["checked"] > 0 for r in rows), f"its bill: {bill}")
        must(all(r["sum_device"] == r["sum_cpu"] for r in rows), "checksums differ")
        must(abs(sum(r["share"] for r in bill["rows"]) - 1) < 1e-3, "shares of the time")


def engines(tmp: pathlib.Path) -> None:
    """Options of the engine and its sessions."""
    def said(*options: str, model: str = NAME) -> dict:
        with serving.server(TESSERA, "--quiet", *options) as s:
            a = chat(s, model, max_tokens=2, logprobs=True)
            must(a.status == 200, f"{options}: {a.body}")
            must(s.said.count("\n") == 1, f"--quiet is not quiet: {s.said}")
            return {**a.json, "slots": ask(s, "/slots").json}
    plain = said()
    one = said("--threads", "1", "--ctx", "128", "--pre", "llama-bpe")
    same(one["choices"], plain["choices"], "with one thread")
    same((one["tessera"]["threads"], one["slots"][0]["n_ctx"]), (1, 128), "threads, context")
    rounded = [said(*options)["choices"] for options in (("--kv", "q8_0"), ("--cache-type-k", "q8_0", "--cache-type-v", "q8_0"))]
    same(rounded[0], rounded[1], "a cache of Q8_0 by two names")
    must(rounded[0] != plain["choices"], "a cache of Q8_0 changes nothing")
    refused("-m", str(serving.MODEL), "--cache-type-k", "q8_0", code=2, words="one type")
    for options in ("--no-prefetch",), ("--prefetch", "off", "--sim-seed", "3", "--allow-cpu-ops"):
        sim = said("--device", "npu-sim", *options)
        same((sim["choices"], sim["tessera"]["device"]), (plain["choices"], "npu-sim"), f"the simulated NPU with {options}")
    refused("-m", str(serving.MODEL), "--device", "npu-sim", "--prefetch", "on", "--no-prefetch", code=2, words="not both")
    refused("-m", str(serving.MODEL), "--device", "toaster", code=2, words="toaster")
    refused("--models", str(serving.SOURCE / "models"), "--device", "toaster", code=2, words="toaster")
    with serving.server(TESSERA, "--port", "0", "--model", f"two={serving.MODEL}") as s:
        same(chat(s, "two").status, 200, "--model")


# ---- prompts that are known ----

def probabilities(a: Answer):
    return [(t["token"], t["logprob"]) for t in a.json["choices"][0]["logprobs"]["content"]]


def restart(tmp: pathlib.Path) -> None:
    def cached(a: Answer) -> int:
        return a.json["usage"]["prompt_tokens_details"]["cached_tokens"]
    more = {"messages": LONG, "logprobs": True, "max_tokens": 12}
    store = tmp / "kv"
    start = lambda: serving.server(TESSERA, "-q", "--cache-dir", str(store))  # noqa: E731
    with start() as s:
        fresh = chat(s, **more)
        same((fresh.status, cached(fresh)), (200, 0), "a prompt that is new")
        again = chat(s, **more)
        must(cached(again) >= 64, f"{cached(again)} tokens from memory")
        same(probabilities(again), probabilities(fresh), "log-probabilities with a prefix from memory")
        same(cached(chat(s, **more, cache_prompt=False)), 0, "cache_prompt false")
    must(any(store.iterdir()), "nothing is on disk")
    for f in store.rglob("*"):
        same(oct(f.stat().st_mode & 0o77), "0o0", f"mode of {f.name}")
    with start() as s:
        later = chat(s, **more)
        must(cached(later) >= 64, f"{cached(later)} tokens from disk")
        same(probabilities(later), probabilities(fresh), "log-probabilities with a prefix from disk")
    for f in store.rglob("*"):  # damaged files are no hits, and no harm
        if f.is_file():
            data = bytearray(f.read_bytes())
            data[len(data) // 2] ^= 1
            f.write_bytes(data)
    with start() as s:
        later = chat(s, **more)
        same(probabilities(later), probabilities(fresh), "log-probabilities beside damaged files")
    small = tmp / "small"
    with serving.server(TESSERA, "-q", "--cache-dir", str(small), "--cache-disk", "2", "--cache-memory", "1") as s:
        for i in range(12):
            chat(s, messages=[{"role": "user", "content": f"{i} {LONG[0]['content']}"}])
    size = sum(f.stat().st_size for f in small.iterdir())
    must(0 < size <= 2 << 20, f"{size} bytes are on disk, with --cache-disk 2")
    with serving.server(TESSERA, "-q", "--no-cache-dir", env={"XDG_CACHE_HOME": str(tmp / "xdg")}) as s:
        chat(s, **more)
    must(not (tmp / "xdg").exists(), "--no-cache-dir")
    # killed while it writes: again and again
    for i in range(4):
        s = serving.Server(TESSERA, "-q", "--cache-dir", str(store), "--cache-memory", "1")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(lambda k: chat(s, messages=[{"role": "user", "content": f"{k} {LONG[0]['content']}"}]), k)
                    for k in range(8 * i, 8 * i + 8)]
            time.sleep(0.05 + 0.1 * i)
            s.process.send_signal(signal.SIGKILL)
            for j in jobs:
                with contextlib.suppress(Exception):
                    j.result()
        s.process.wait()
    with start() as s:
        later = chat(s, **more)
        same(probabilities(later), probabilities(fresh), "log-probabilities after kill -9")


# ---- ends ----

def ends(tmp: pathlib.Path) -> None:
    def begin(s: serving.Server, tokens: int) -> socket.socket:
        c = socket.create_connection(("127.0.0.1", s.port), 60)
        body = json.dumps({"model": NAME, "messages": HELLO, "max_tokens": tokens, "ignore_eos": True, "stream": True, "temperature": 0})
        c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{s.port}\r\nContent-Type: application/json\r\n"
                  f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        c.recv(1)
        return c

    def rest(c: socket.socket) -> bytes:
        parts = []
        while True:
            part = c.recv(1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
    s = serving.Server(TESSERA, "-q", "--parallel", "64", "-t", "1", "--drain", "200")
    try:
        streams = [begin(s, 600) for _ in range(16)]
        s.process.send_signal(signal.SIGTERM)
        until("it says that it stops", lambda: "stopping" in s.said)
        with contextlib.suppress(OSError):
            must(ask(s, "/health").status == 503, "a new request while it stops")
        for c in streams:
            must(b"data: [DONE]" in rest(c), "an answer was cut off by SIGTERM")
        same(s.process.wait(30), 0, "exit code")
        s = serving.Server(TESSERA, "-q")
        with socket.create_connection(("127.0.0.1", s.port), 20) as c:  # what has not arrived is not waited for
            c.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost:{s.port}\r\nContent-Length: 100\r\n\r\n{{".encode())
            time.sleep(0.2)
            s.process.send_signal(signal.SIGTERM)
            same(s.process.wait(10), 0, "exit code with a request that has not arrived")
        s = serving.Server(TESSERA, "-q", "--parallel", "64", "-t", "1")
        streams = [begin(s, 900) for _ in range(48)]
        s.process.send_signal(signal.SIGINT)
        until("it says that it stops", lambda: "stopping" in s.said)
        s.process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        same(s.process.wait(30), 0, "exit code")
        must(time.monotonic() - begun < 10, "the second Ctrl-C did not end it")
        for c in streams:
            with contextlib.suppress(OSError):
                rest(c)
        s = serving.Server(TESSERA, "-q", "-t", "1")  # a worker is in the middle of something long, and nothing can stop that
        body = json.dumps({"model": NAME, "input": ["Tell me a story about a dog. " * 60] * 2000})
        with socket.create_connection(("127.0.0.1", s.port), 20) as c:
            c.sendall(f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost:{s.port}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            time.sleep(0.5)
            for _ in range(2):
                s.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
            same(s.process.poll(), None, "the end of a server whose worker is at it")
            s.process.send_signal(signal.SIGTERM)
            same((until("the end by a third signal", lambda: s.process.poll() is not None, 5), s.process.poll()), (True, 1), "exit code")
        s = serving.Server(TESSERA, "-q", "--parallel", "64", "-t", "1", "--drain", "1")
        streams = [begin(s, 1000) for _ in range(60)]
        begun = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        same(s.process.wait(30), 0, "exit code")
        must(time.monotonic() - begun < 20, "--drain 1 took long")
        for c in streams:
            with contextlib.suppress(OSError):
                rest(c)
    finally:
        s.process.kill()
        s.process.wait()


def limits(tmp: pathlib.Path) -> None:
    with serving.server(TESSERA, "-q", "--max-body", "1", "--timeout", "2", "--parallel", "2") as s:
        same(chat(s, messages=[{"role": "user", "content": "x" * (2 << 20)}]).status, 413, "a body that is too large")
        same(chat(s, n=2).status, 200, "as many choices as places")
        same(chat(s, repeat_penalty=0.01).status, 200, "the least penalty")
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
            "a": {"type": "string", "minLength": 200}}, "required": ["a"], "additionalProperties": False}}}
        cut = chat(s, tools=[tool], tool_choice="required", max_tokens=40, stop=["arguments", "tool", "}"]).json["choices"][0]
        same((cut["finish_reason"], len(cut["message"]["tool_calls"])), ("length", 1), "a call that was cut off")
        a = chat(s, json_schema={"type": "integer"}, response_format={"type": "json_object"})
        same((a.status, a.json["error"]["param"]), (400, "json_schema"), "two forms at a time")
        for n in 3, 64:
            a = chat(s, n=n)
            same((a.status, a.json["error"]["param"]), (400, "n"), "more choices than places")
        for body, where in (({"stop": ["x"] * 17}, "stop"), ({"seed": 1.5}, "seed"), ({"seed": 1e30}, "seed"), ({"top_k": -2}, "top_k"),
                            ({"max_tokens": 10**30}, "max_tokens"), ({"logit_bias": {"99999": 1}}, "logit_bias"),
                            ({"logit_bias": {"1": 101}}, "logit_bias"), ({"mirostat": 2}, "mirostat"), ({"functions": [{}]}, "functions"),
                            ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}},
                             "response_format.json_schema.schema")):
            a = chat(s, **body)
            same((a.status, a.json["error"]["param"]), (400, where), f"{body}")
        with serving.server(TESSERA, "-q", "--parallel", "1", "--queue", "1") as one, concurrent.futures.ThreadPoolExecutor(16) as pool:
            got = list(pool.map(lambda i: chat(one, max_tokens=300, ignore_eos=True), range(16)))
            must({a.status for a in got} == {200, 429}, f"--queue 1: {[a.status for a in got]}")
            must(all(a.headers["retry-after"] for a in got if a.status == 429), "Retry-After")
            files = lambda: len(os.listdir(f"/proc/{one.process.pid}/fd"))  # noqa: E731
            before = files()
            for part in [b"GET /he", f"POST /tokenize HTTP/1.1\r\nHost: localhost:{one.port}\r\nContent-Length: 9\r\n\r\n{{".encode()] * 50:
                with socket.create_connection(("127.0.0.1", one.port), 20) as c:
                    c.sendall(part)
            until("connections that ended in the middle of a request are closed", lambda: files() <= before, 10)
        yes = {"grammar": 'root ::= "\\n" | "\\t"', "max_tokens": 3}
        tokens = [t for t in range(ask(s, "/v1/models").json["data"][0]["meta"]["n_vocab"])
                  if ask(s, "/detokenize", {"tokens": [t]}).json["content"] in ("\n", "\t")]
        a = chat(s, **yes, logit_bias={str(t): -100 for t in tokens})
        same(a.status, 400, f"a bias that leaves nothing: {a.body[:200]}")
        for head in ("Transfer-Encoding : chunked", "Content-Length : 5", "Transfer-Encoding: xchunked", "Transfer-Encoding: gzip, chunked",
                     "Content-Length: 5\0", f"Authorization: Bearer a\0b\r\nContent-Length: 5"):
            with socket.create_connection(("127.0.0.1", s.port), 20) as c:  # what others would read as two requests
                c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{s.port}\r\n{head}\r\n\r\n"
                          f"GET /slots HTTP/1.1\r\nHost: localhost:{s.port}\r\n\r\n".encode())
                got = b""
                while part := c.recv(1 << 16):
                    got += part
            must(got.startswith(b"HTTP/1.1 400") and b"is_processing" not in got, f"{head!r}: {got[:300]}")
        host, post = f"Host: localhost:{s.port}\r\n", "POST /v1/messages HTTP/1.1\r\n"
        with socket.create_connection(("127.0.0.1", s.port), 20) as other:  # in the middle of its head all the while
            other.sendall(f"POST /tokenize HTTP/1.1\r\n{host}Content-Length: 15\r\nX-A: b\r\nX-".encode())
            for text in (f"{post}\r\n", *(f"{post}{host}Content-Length:{n}\r\n\r\nhello" for n in (" +5", " -5", "", " 0x5", " 5, 5", " " + "9" * 30)),
                         f"{post}{host}Content-Length: +5\r\nExpect: 100-continue\r\n\r\n", f"{post}: x\r\n{host}\r\n",
                         f"POST /v1/messages?a b HTTP/1.1\r\n{host}\r\n", f"POST /v1/messages /x HTTP/1.1\r\n{host}\r\n"):
                got = raw(s, text)
                head, _, body = got.partition(b"\r\n\r\n")
                same((got.count(b"HTTP/1."), got[:13], b"connection: close" in head.lower()), (1, b"HTTP/1.1 400 ", True), f"{text!r}: {got[:300]}")
                same(json.loads(body)["error"]["type"], "invalid_request_error", f"{text!r}")
            for text, status in ((f"{post}{host}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", b"400"),
                                 (f"{post}{host}no colon\r\n\r\n", b"400"), (f"GET / HTTP/2.0\r\n{host}\r\n", b"505"),
                                 (f"GET / HTTP/1.1\r\n{host}X: {'x' * (65 << 10)}\r\n\r\n", b"431")):
                got = raw(s, text)
                same((got.count(b"HTTP/1."), got[9:12]), (1, status), f"{text[:200]!r}: {got[:300]}")
            for path, more, status in (("/v1/messages", "Host: evil.example\r\n", b"403"), ("/v1/nothing", host, b"404"), ("/health", host, b"405"),
                                       ("/v1/messages", f"{host}Origin: https://evil.example\r\n", b"403")):
                got = raw(s, f"POST {path} HTTP/1.1\r\n{more}Content-Length: 15\r\nExpect: 100-Continue\r\n\r\n")
                same((got.count(b"HTTP/1."), got[9:12]), (1, status), f"{path}, whose body is held back: {got[:300]}")
            got = raw(s, f"{post}{host}Content-Length: {(1 << 20) + 1}\r\nExpect: 100-continue\r\n\r\n")
            same((got.count(b"HTTP/1."), got[9:12]), (1, b"413"), f"a body that is too large, held back: {got[:300]}")
            with socket.create_connection(("127.0.0.1", s.port), 20) as c:
                c.sendall(f"POST /tokenize HTTP/1.1\r\n{host}Content-Length: 15\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".encode())
                same(c.recv(1 << 16), b"HTTP/1.1 100 Continue\r\n\r\n", "a body that is held back")
                c.sendall(b'{"content":"a"}')
                must(c.recv(1 << 16).startswith(b"HTTP/1.1 200"), "and comes then")
            other.sendall(b'C: d\r\n\r\n{"content":"a"}')
            must(other.recv(1 << 16).startswith(b"HTTP/1.1 200"), "a head beside bad ones")
        slow = socket.create_connection(("127.0.0.1", s.port), 60)
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        begun = time.monotonic()
        while True:  # it drips on, and is closed all the same
            try:
                slow.sendall(b"x")
                slow.settimeout(0.3)
                if not slow.recv(10):
                    break
            except TimeoutError:
                must(time.monotonic() - begun < 15, "a connection that brings no request stays open")
            except OSError:
                break
        same(chat(s).status, 200, "others are served")


# ---- fields ----

# What changes an answer and is not done here, by the API: refused by its name. What follows says nothing, and is no reason to refuse.
UNKNOWN = {
    "sampling": ({"mirostat": 2, "dynatemp_range": 0.5, "xtc_probability": 0.1, "dry_multiplier": 0.8, "top_n_sigma": 1, "tfs_z": 0.9, "top_a": 0.2,
                  "adaptive_target": 0.5, "min_keep": 5, "n_indent": 4, "repetition_penalty": 1.1, "length_penalty": 2, "use_beam_search": True,
                  "min_tokens": 4, "stop_token_ids": [1], "bad_words": ["no"], "allowed_token_ids": [1], "logits_processors": ["x"],
                  "include_stop_str_in_output": True, "samplers": ["temperature", "top_k"]},
                 {"mirostat": 0, "top_n_sigma": -0.5, "tfs_z": 1.0, "adaptive_target": -0.01, "repetition_penalty": 1, "length_penalty": 1.0, "min_keep": 1,
                  "use_beam_search": False, "min_tokens": 0, "stop_token_ids": [], "bad_words": None, "dry_multiplier": 0.0, "samplers": []}),
    "openai": ({"audio": {"voice": "a"}, "web_search_options": {"a": 1}, "lora": [{"id": 0, "scale": 1}], "id_slot": 0.5, "slot_id": 1,
                "image_data": [{"id": 1}], "multimodal_data": ["x"], "t_max_predict_ms": 10, "post_sampling_probs": True,
                "response_fields": ["content"], "return_tokens": True, "return_token_ids": True, "return_tokens_as_token_ids": True, "n_cmpl": 2,
                "guided_json": {"type": "object"}, "guided_regex": "a", "guided_choice": ["a"], "guided_grammar": "root ::= a",
                "structured_outputs": {"json": {}}, "prompt_logprobs": 1, "truncate_prompt_tokens": 4, "skip_special_tokens": False, "best_of": 3},
               {"id_slot": -1, "slot_id": -1, "n_keep": 5, "n_discard": 1, "image_data": [], "t_max_predict_ms": -5, "max_tokens": -1, "stop": ["."], "return_progress": False, "post_sampling_probs": False,
                "response_fields": [], "n_cmpl": 1, "truncate_prompt_tokens": -1, "skip_special_tokens": True, "prediction": {"type": "content",
                "content": "x"}, "best_of": 1, "user": "me", "metadata": {"a": "b"}, "nobody_knows": 1}),
    "chat": ({"functions": [{}], "function_call": {"name": "f"}, "echo": True, "prompt": "x", "suffix": "x", "chat_template": "x", "n_probs": 3,
              "documents": [{"a": 1}], "thinking_forced_open": True, "add_special_tokens": True, "parse_tool_calls": False, "top_logprobs": 2,
              "reasoning_format": "none", "chat_template_kwargs": {"enable_thinking": True}, "continue_final_message": True,
              "tool_choice": "required"},
             {"echo": False, "n_probs": 0, "parse_tool_calls": True, "top_logprobs": 0, "reasoning_format": "auto", "reasoning_effort": "none", "function_call": "auto", "max_completion_tokens": 3, "include_reasoning": False,
              "chat_template_kwargs": {"enable_thinking": False}, "continue_final_message": False, "tool_choice": "auto"}),
    "text": ({"suffix": "x", "tools": [{}], "tool_choice": "required", "messages": HELLO, "chat_template": "x", "chat_template_kwargs": {"a": 1},
              "continue_final_message": True, "max_completion_tokens": 4, "add_special_tokens": False},
             {"tools": [], "tool_choice": "none", "add_special_tokens": True}),
    "llama": ({"logprobs": 21, "n_probs": 21}, {"n_probs": 0, "logprobs": 3}),
    "responses": ({"stop": ["x"], "n": 2, "max_tokens": 4, "max_completion_tokens": 4, "messages": HELLO, "response_format": {"type": "text"},
                   "json_schema": {"a": 1}, "grammar": "x", "logprobs": True, "context_management": [{}], "chat_template_kwargs": {"a": 1}},
                  {"n": 1, "chat_template_kwargs": {}, "stop": []}),
    "anthropic": ({"mcp_servers": [{}], "container": "x", "stop": ["x"], "n": 2, "max_completion_tokens": 4, "response_format": {"type": "text"},
                   "json_schema": {"a": 1}, "grammar": "x", "logprobs": True, "top_logprobs": 2, "thinking": {"type": "never"}},
                  {"n": 1, "thinking": {"type": "disabled"}, "mcp_servers": []}),
    "ollama": ({"template": "x", "logprobs": True, "top_logprobs": 1, "temperature": 0, "top_p": 0.5, "top_k": 4, "min_p": 0, "seed": 1, "stop": ["x"],
                "num_predict": 4, "num_ctx": 64, "max_tokens": 4, "response_format": {"type": "text"}, "json_schema": {"a": 1}, "grammar": "x",
                "tool_choice": "required", "think": True}, {"num_ctx": 0, "logprobs": False, "think": False, "tool_choice": "auto"}),
    "options": ({}, {"num_keep": 24, "num_gpu": 99, "num_thread": 2}),
}


def fields(tmp: pathlib.Path) -> None:
    messages, text = {"messages": HELLO, "max_tokens": 2}, {"prompt": "Hello", "max_tokens": 2}
    apis = (("/v1/chat/completions", messages, "sampling openai chat"), ("/v1/completions", text, "sampling openai text"),
            ("/completion", {"prompt": "Hello", "n_predict": 2}, "sampling openai text llama"),
            ("/v1/responses", {"input": "Hello", "max_output_tokens": 16}, "sampling responses"),
            ("/v1/messages", messages, "sampling anthropic"), ("/api/chat", {"messages": HELLO, "stream": False}, "ollama"),
            ("/api/generate", {"prompt": "Hello", "stream": False}, "ollama"))
    with serving.server(TESSERA, "-q") as s:
        def check(path: str, body: dict, name: str, value, inside: str = "", say: bool = True) -> None:
            more = {inside: {"num_predict": 2, name: value}} if inside else {name: value}
            a = ask(s, path, {"model": NAME, **body, **more})
            if not say:
                same(a.status, 200, f"{path} with {name} {value}: {a.body[:200]}")
                return
            same(a.status, 400, f"{path} with {name} {value}")
            must(f"{name}" in a.body.decode(), f"{path} with {name}: {a.body[:200]}")
            error = a.json["error"]
            if isinstance(error, dict) and "param" in error:
                same(error["param"].split(".")[-1] if inside else error["param"], name, f"param of {path} with {name}")
        for path, body, kinds in apis:
            for kind in kinds.split():
                for say, names in zip((True, False), UNKNOWN[kind]):
                    for name, value in names.items():
                        check(path, body, name, value, say=say)
        for kind in "sampling", "options":
            for say, names in zip((True, False), UNKNOWN[kind]):
                for name, value in names.items():
                    check("/api/chat", {"messages": HELLO, "stream": False}, name, value, "options", say)
        # what is said in other words
        draw = {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "min_p": 0.1, "presence_penalty": 1, "seed": 4, "max_tokens": 24}
        text_of = lambda **more: chat(s, **{**draw, **more}).json["choices"][0]["message"]["content"]  # noqa: E731
        want = text_of()
        same(text_of(samplers=["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]), want, "all samplers")
        same(text_of(samplers=["penalties", "top_k", "typ_p", "tfs_z", "typical_p", "xtc", "top_p", "min_p", "adaptive_p", "temperature"]), want, "with old names")
        same(text_of(samplers=["temperature"]), text_of(top_k=0, top_p=1, min_p=0, presence_penalty=0), "the temperature alone")
        same(text_of(samplers=["top_k"], temperature=0.1), text_of(temperature=1, top_p=1, min_p=0, presence_penalty=0), "top_k alone")
        a = ask(s, "/completion", {"prompt": "Hello", "n_predict": 4, "n_probs": 2, "temperature": 0, "ignore_eos": True}).json
        b = ask(s, "/v1/completions", {"model": NAME, "prompt": "Hello", "max_tokens": 4, "logprobs": 2, "temperature": 0, "ignore_eos": True}).json
        p = a["completion_probabilities"]
        same([t["logprob"] for t in p], b["choices"][0]["logprobs"]["token_logprobs"], "n_probs")
        same([[t["id"] for t in q["top_logprobs"]][0] for q in p], [q["id"] for q in p], "the likeliest is drawn")
        streamed = [json.loads(line[6:]) for line in ask(s, "/completion", {"prompt": "Hello", "n_predict": 4, "n_probs": 2, "temperature": 0,
                    "ignore_eos": True, "stream": True}).body.decode().split("\n") if line.startswith("data: {")]
        same([t for c in streamed for t in c.get("completion_probabilities", [])], p, "n_probs in a stream")
        # where a token stands in the text: control tokens have none
        raw = ask(s, "/v1/completions", {"model": NAME, "prompt": "Hello", "max_tokens": 40, "logprobs": 0, "temperature": 1.5, "seed": 3,
                                         "ignore_eos": True}).json["choices"][0]
        tokens, at = raw["logprobs"]["tokens"], raw["logprobs"]["text_offset"]
        must(any(t.startswith("<|") for t in tokens), f"no control token is among {tokens}")
        same([raw["text"][i:i + len(t)] for t, i in zip(tokens, at) if not t.startswith("<|")],
             [t for t in tokens if not t.startswith("<|")], "text_offset")
        # an assistant's turn that is gone on with, or not
        begun = HELLO + [{"role": "assistant", "content": "Hello! I"}]
        rest = chat(s, messages=begun).json["choices"][0]["message"]["content"]
        whole = chat(s).json["choices"][0]["message"]["content"]
        must(whole.startswith("Hello! I" + rest[:8]), f"{rest!r} does not go on with {whole!r}")
        new = chat(s, messages=begun, continue_final_message=False)
        must(new.json["usage"]["prompt_tokens"] > chat(s, messages=begun).json["usage"]["prompt_tokens"], "a new turn has an opening")
        same(ask(s, "/apply-template", {"messages": begun}).json["n_tokens"], chat(s, messages=begun).json["usage"]["prompt_tokens"], "the template's text")
        same(chat(s, messages=begun, continue_final_message=True, add_generation_prompt=False).json["choices"][0]["message"]["content"], rest,
             "as vLLM's clients and llama-server's page ask for it")
        same(chat(s, repetition_penalty=1.1, repeat_penalty=1.1).status, 200, "by both names")
        prompts = [ask(s, "/apply-template", {"messages": HELLO, "add_generation_prompt": on}).json["prompt"] for on in (False, True)]
        must(prompts[1].startswith(prompts[0]) and "assistant" not in prompts[0] and "assistant" in prompts[1], f"{prompts}")
        same(chat(s, add_generation_prompt=False).json["usage"]["prompt_tokens"],
             ask(s, "/apply-template", {"messages": HELLO, "add_generation_prompt": False}).json["n_tokens"], "no opening")
        # some of the tools
        tools = [{"type": "function", "function": {"name": n, "parameters": {"type": "object", "properties": {}}}} for n in "fg"]
        some = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}}
        for seed in range(6):
            a = chat(s, tools=tools, tool_choice=some, max_tokens=80, seed=seed, temperature=1.5, parallel_tool_calls=False).json["choices"][0]["message"]
            same([c["function"]["name"] for c in a["tool_calls"]], ["g"], "the tool that is allowed")
        flat = [{"type": "function", "name": n, "parameters": {"type": "object", "properties": {}}} for n in "fg"]
        a = ask(s, "/v1/responses", {"model": NAME, "input": "x", "tools": flat, "max_output_tokens": 80, "temperature": 1.5, "parallel_tool_calls": False,
                "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}}).json
        same([o["name"] for o in a["output"] if o["type"] == "function_call"], ["f"], "the tool that is allowed, in Responses")
        # a schema beside tools: its JSON is what is said instead of a call
        schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"], "additionalProperties": False}
        form = {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}
        seen = set()
        for seed in range(12):
            more = {"tools": tools, "seed": seed, "temperature": 1.5, "max_tokens": 200, "stop": ["f"], **form}
            c = chat(s, **more).json["choices"][0]
            m = c["message"]
            seen.add(c["finish_reason"])
            if c["finish_reason"] == "tool_calls":
                must(not m["content"] and all(json.loads(t["function"]["arguments"]) == {} for t in m["tool_calls"]), f"a call: {m}")
            else:
                must(re.fullmatch(r'\{ ?"n": ?[0-9] ?\}', m["content"]), f"JSON of the schema: {c}")
            same(chat(s, **more, tool_choice="required").json["choices"][0]["finish_reason"], "tool_calls", "a call that is promised")
            must(json.loads(chat(s, **more, tool_choice="none").json["choices"][0]["message"]["content"])["n"] < 10, "no call")
        must("stop" in seen, f"no answer is JSON: {seen}")
        a = chat(s, tools=tools, grammar='root ::= "a"')
        same((a.status, a.json["error"]["param"]), (400, "tools"), "a grammar beside tools")
        a = chat(s, tools=tools, response_format={"type": "json_schema", "json_schema": {"schema": {"type": "array", "uniqueItems": True}}})
        same((a.status, a.json["error"]["param"]), (400, "response_format.json_schema.schema"), "a schema that cannot be kept, beside tools")
        for path, body in (("/v1/responses", {"input": "x", "tools": flat, "text": {"format": {"type": "json_schema", "name": "s", "schema": schema}}}),
                           ("/v1/messages", {"messages": HELLO, "max_tokens": 100, "tools": [{"name": "f", "input_schema": {"type": "object"}}],
                                             "output_config": {"format": {"type": "json_schema", "schema": schema}}}),
                           ("/api/chat", {"messages": HELLO, "tools": tools, "format": schema, "stream": False})):
            a = ask(s, path, {"model": NAME, **body})
            same(a.status, 200, f"{path} with tools and a schema: {a.body[:200]}")
        for choice, where in (({"type": "function", "function": {"name": "x"}}, "tool_choice"), ("sometimes", "tool_choice"),
                              ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}, "tool_choice.allowed_tools.tools"),
                              ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "x"}}]}},
                               "tool_choice.allowed_tools.tools")):
            a = chat(s, tools=tools, tool_choice=choice)
            same((a.status, a.json["error"]["param"]), (400, where), f"{choice}")
        for bad in (-1, 10**6, 1.5, "1", None, 10**30):
            for path, body, where in (("/v1/completions", {"prompt": [1, bad]}, "prompt"), ("/completion", {"prompt": [1, bad]}, "prompt"),
                                      ("/detokenize", {"tokens": [1, bad]}, "tokens"), ("/v1/embeddings", {"input": [1, bad]}, "input")):
                a = ask(s, path, {"model": NAME, **body})
                same((a.status, a.json["error"]["param"]), (400, where), f"{path} with the token {bad!r}")
        same(ask(s, "/detokenize", {"tokens": []}).json["content"], "", "no tokens")
        a = ask(s, "/v1/models/nobody")
        same((a.status, a.json["error"]["code"]), (404, "model_not_found"), "a model that there is not")
        long = "word " * 4000
        for path, body, where in (("/v1/chat/completions", {"messages": [{"role": "user", "content": long}]}, "messages"),
                                  ("/v1/completions", {"prompt": long}, "prompt"), ("/v1/responses", {"input": long}, "input")):
            e = ask(s, path, {"model": NAME, **body}).json["error"]
            same((e["code"], e["param"]), ("context_length_exceeded", where), f"a prompt too long for {path}")
        same(ask(s, "/completion", {"prompt": "x", "n_predict": 0}).json["error"]["param"], "n_predict", "no tokens at all")
        timed = [json.loads(line[6:]) for line in chat(s, stream=True, timings_per_token=True).body.decode().split("\n") if line.startswith("data: {")]
        must(all(c["timings"]["predicted_n"] > 0 for c in timed[1:]), "timings in every piece")
        for path, body in (("/v1/chat/completions", {"messages": LONG}), ("/v1/completions", {"prompt": LONG[0]["content"]}),
                           ("/completion", {"prompt": LONG[0]["content"]})):
            told = [json.loads(line[6:]) for line in ask(s, path, {"model": NAME, "max_tokens": 2, "stream": True, "return_progress": True,
                    "cache_prompt": False, **body}).body.decode().split("\n") if line.startswith("data: {")]
            steps = [c["prompt_progress"] for c in told if "prompt_progress" in c]
            must(steps and steps[-1]["processed"] == steps[-1]["total"] > 300, f"progress of {path}: {steps}")
            must([p["processed"] for p in steps] == sorted(p["processed"] for p in steps), "progress goes on")


def thinks(tmp: pathlib.Path) -> None:
    """A model whose template opens a block of thoughts, which this one never closes."""
    data = serving.MODEL.read_bytes()
    at = data.index(b"tokenizer.chat_template") + len(b"tokenizer.chat_template") + 12
    size = int.from_bytes(data[at - 8:at], "little")
    template = (b"{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>' + m.content + '<|eot_id|>' }}"
                b"{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|><think>' }}{# </think>")
    (tmp / "m.gguf").write_bytes(data[:at] + template.ljust(size - 2) + b"#}" + data[at + size:])
    with serving.server(TESSERA, "-q", "-m", f"{NAME}={tmp / 'm.gguf'}", model=False) as s:
        a = chat(s, max_tokens=30, ignore_eos=True).json["choices"][0]["message"]
        must(a["content"] == "" and len(a["reasoning_content"]) > 20, f"thoughts: {a}")
        word = a["reasoning_content"].split()[2]
        for more in {"stop": [word]}, {"reasoning_effort": "none"}, {"reasoning_format": "deepseek"}:
            same(chat(s, max_tokens=30, ignore_eos=True, **more).json["choices"][0]["message"], a, f"the same thoughts with {more}")
        hidden = chat(s, max_tokens=30, ignore_eos=True, include_reasoning=False)
        same(hidden.json["choices"][0]["message"], {"role": "assistant", "content": "", "refusal": None}, "thoughts that are not told")
        same(hidden.json["usage"]["completion_tokens"], 30, "they count")
        whole = chat(s, max_tokens=30, ignore_eos=True, stream=True).body.decode()
        same("".join(re.findall(r'"reasoning_content":"([^"]*)"', whole)).replace("\\n", "\n"), a["reasoning_content"], "thoughts in a stream")
        must("reasoning_content" not in chat(s, max_tokens=30, stream=True, include_reasoning=False).body.decode(), "hidden in a stream, too")
        for path, body in (("/v1/messages", {"messages": HELLO, "max_tokens": 8, "thinking": {"type": "disabled"}}),
                           ("/api/chat", {"messages": HELLO, "think": False, "stream": False, "options": {"num_predict": 8}}),
                           ("/v1/responses", {"input": "Hello", "max_output_tokens": 16, "reasoning": {"effort": "none"}})):
            same(ask(s, path, {"model": NAME, **body}).status, 200, f"{path}: who says no to every model")
        a = chat(s, chat_template_kwargs={"enable_thinking": False})
        same((a.status, a.json["error"]["param"]), (400, "chat_template_kwargs"), "a variable that the template does not have")


def leaving(tmp: pathlib.Path) -> None:
    """Those who leave are counted as such, however they do it."""
    with serving.server(TESSERA, "-t", "1", "--parallel", "2") as s:
        def counted(what: str) -> int:
            return int(float(re.search(rf"^tessera_requests_{what}_total (\S+)$", ask(s, "/metrics").body.decode(), re.M).group(1)))
        for i in range(10):
            body = json.dumps({"model": NAME, "messages": HELLO, "max_tokens": 900, "ignore_eos": True})
            with socket.create_connection(("127.0.0.1", s.port), 20) as c:
                c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{s.port}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                until("it is computed", lambda: any(p["is_processing"] for p in ask(s, "/slots").json))
                if i % 2:
                    c.shutdown(socket.SHUT_WR)
                    until("its place is free", lambda: not any(p["is_processing"] for p in ask(s, "/slots").json))
            until("its place is free", lambda: not any(p["is_processing"] for p in ask(s, "/slots").json))
        until("all are counted", lambda: counted("abandoned") == 10)
        same(counted("refused"), 0, "nobody was refused")
        same(s.said.count("(the client has left)"), 10, "lines of the log")


def pings(tmp: pathlib.Path) -> None:
    """Who waits for a place hears at once that it is served, and something every ten seconds."""
    def begin(s: serving.Server, path: str, **more) -> socket.socket:
        c = socket.create_connection(("127.0.0.1", s.port), 60)
        body = json.dumps({"model": NAME, "messages": HELLO, "max_tokens": 1000, "stream": True, **more})
        c.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost:{s.port}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        return c
    with serving.server(TESSERA, "-q", "--device", "npu-sim", "--parallel", "1") as s:  # which takes longer than that
        first = begin(s, "/v1/chat/completions", ignore_eos=True)
        until("it is computed", lambda: any(p["is_processing"] for p in ask(s, "/slots").json))
        wait = {c: (b"", word) for c, word in ((begin(s, "/v1/chat/completions"), b": ping\n\n"), (begin(s, "/v1/completions", prompt="x", messages=None), b": ping\n\n"),
                (begin(s, "/v1/messages"), b'event: ping\ndata: {"type":"ping"}\n\n'), (begin(s, "/v1/responses", input="x", messages=None, max_tokens=None), b": ping\n\n"))}
        begun = time.monotonic()
        for c, (_, word) in wait.items():
            got = c.recv(1 << 16)
            must(got.startswith(b"HTTP/1.1 200") and word not in got and time.monotonic() - begun < 5, f"the head of a stream that waits: {got[:200]}")
            wait[c] = got, word
        for c, (got, word) in wait.items():
            while word not in got and time.monotonic() - begun < 20:
                got += c.recv(1 << 16)
            must(word in got and time.monotonic() - begun > 8, f"no {word} within 20 s: {got[-200:]}")
        for c in first, *wait:
            c.close()
        until("all places are free", lambda: not any(p["is_processing"] for p in ask(s, "/slots").json), 30)


def telling(tmp: pathlib.Path) -> None:
    with serving.server(TESSERA) as s:
        secret = "a secret about a friendly zebra"
        a = chat(s, messages=[{"role": "user", "content": secret}])
        until("the log has a line", lambda: re.search(r"POST /v1/chat/completions 200 .* \+ 8 tokens$", s.said, re.M))
        must("zebra" not in s.said and a.json["choices"][0]["message"]["content"][:20] not in s.said, "a text is in the log")
        for path in "/slots", "/metrics", "/props", f"/tessera/ledger/{a.json['id']}":
            must(b"zebra" not in ask(s, path).body, f"a text is in {path}")
        page = ask(s, "/", accept="text/html")
        tag = page.headers["etag"]
        must(b"<script" in page.body and tag, "the page")
        same(ask(s, "/", accept="text/html", if_none_match=tag).status, 304, "the page once more")
        must(ask(s, "/").body.startswith(b"Ollama is running"), "the probe of Ollama's clients")
        same(ask(s, "/", method="HEAD").body, b"", "HEAD")
        a = ask(s, "/v1/chat/completions")
        same(a.status, 405, "GET on chat/completions")
        live = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30)
        live.request("GET", "/tessera/live")
        r = live.getresponse()
        figures = json.loads(r.readline().removeprefix(b"data: "))
        must({"tok_s", "processing", "waiting", "watts"} <= figures.keys(), f"figures: {figures}")
        live.close()
        numbers = dict(re.findall(r"^tessera_(\w+) (\S+)$", ask(s, "/metrics").body.decode(), re.M))
        must(float(numbers["tokens_predicted_total"]) == 8, f"tokens drawn: {numbers}")


TESTS = {f.__name__: f for f in (addresses, keys, origins, models, devices, engines, restart, ends, limits, fields, thinks, leaving, pings, telling)}


def main() -> int:
    failed = 0
    for name, test in TESTS.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        with tempfile.TemporaryDirectory() as tmp:
            begun = time.monotonic()
            try:
                test(pathlib.Path(tmp))
                print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
            except (AssertionError, OSError, RuntimeError, KeyError, ValueError, SystemExit, http.client.HTTPException) as e:
                failed += 1
                print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
