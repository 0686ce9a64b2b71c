"""A small hub for tests: one repository interface, one CDN on another address, and the faults that matter most. It lives in this process;
what was asked of it stands in `asked`."""
import hashlib
import http.server
import json
import re
import socketserver
import threading
import time
import urllib.parse

TOKEN = "hf_token-of-the-small-hub"


class File:
    def __init__(self, path: str, data: bytes):
        self.path, self.data, self.big = path, data, len(data) > 1000
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self.hash = self.sha256 if self.big else self.git

    def entry(self) -> dict:
        e = {"type": "file", "path": self.path, "size": len(self.data), "oid": "f" * 40 if self.big else self.git}
        return e | ({"lfs": {"oid": self.sha256, "size": len(self.data), "pointerSize": 130}} if self.big else {})


class Asked:
    """A request: `side` is hub or cdn; sent counts the bytes of the body."""

    def __init__(self, side: str, path: str, headers):
        self.side, self.path, self.range, self.token, self.sent = side, path, headers.get("Range"), headers.get("Authorization"), 0


class SmallHub:
    """files: repository -> list of File. Faults, to be set between commands: `cut` (bytes after which a CDN's answer ends, a list that is used
    up from its front; None: whole), `hold` (stay silent after so many bytes), `flip` (a byte that is wrong), `ranges` (False: none), `rate`
    (bytes a second), `gated`, `extra` (entries that the listing has besides), `pages` (entries of a page), `refuse` (status, and with it a
    `message`, a `body`: the hub's own answer to everything), `location` (of redirects to the CDN)."""

    def __init__(self, files: dict[str, list[File]]):
        self.files, self.asked, self.lock, self.over = files, [], threading.Lock(), threading.Event()
        self.calm()
        self.servers, self.url = [], {}
        for side, host in (("hub", "127.0.0.1"), ("cdn", "127.0.0.2")):
            server = Threads((host, 0), Handler)
            server.hub, server.side = self, side
            self.url[side] = f"http://{host}:{server.server_address[1]}"
            self.servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def calm(self) -> None:
        self.cut, self.hold, self.flip, self.ranges, self.rate, self.gated, self.extra, self.pages = [], None, None, True, None, False, [], 1000
        self.refuse, self.location = None, None

    def commit(self, repo: str) -> str:
        return hashlib.sha1("".join(f.path + f.sha256 for f in self.files[repo]).encode()).hexdigest()

    def stop(self) -> None:
        self.over.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 64

    def handle_error(self, request, client_address) -> None:
        pass  # clients that leave are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args) -> None:
        pass

    def do_GET(self) -> None:
        hub = self.server.hub
        self.noted = Asked(self.server.side, self.path, self.headers)
        with hub.lock:
            hub.asked.append(self.noted)
        path = urllib.parse.unquote(self.path.split("?")[0])
        if self.server.side == "cdn":
            return self.bytes(next(f for fs in hub.files.values() for f in fs if f.sha256 == path[1:]))
        api = re.match(r"/api/models/([^/]+/[^/]+)/(revision|tree)/", path)
        file = re.match(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path)
        if hub.refuse:
            status, say = hub.refuse
            return self.answer(status, say.get("body", b""), {"X-Error-Message": say["message"]} if "message" in say else {})
        repo = (api or file).group(1) if api or file else None
        if repo not in hub.files:
            return self.answer(401, b'{"error": "Invalid username or password."}')
        if hub.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, b'{"error": "restricted"}', {"X-Error-Code": "GatedRepo"})
        if api and api.group(2) == "revision":
            return self.answer(200, json.dumps({"id": repo, "sha": hub.commit(repo), "cardData": {"license": "mit"}}).encode())
        if api:
            entries, first = [f.entry() for f in hub.files[repo]] + hub.extra, int((re.search(r"from=(\d+)", self.path) or [0, 0])[1])
            more = {"Link": f'<{hub.url["hub"]}{path}?recursive=true&from={first + hub.pages}>; rel="next"'} if first + hub.pages < len(entries) else {}
            return self.answer(200, json.dumps(entries[first:first + hub.pages]).encode(), more)
        found = next((f for f in hub.files[repo] if f.path == file.group(3)), None)
        if not found:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        if found.big:
            return self.answer(302, b"Found", {"Location": hub.location or f'{hub.url["cdn"]}/{found.sha256}?Signature=secret', "X-Linked-Etag": f'"{found.sha256}"'})
        return self.bytes(found)

    def answer(self, status: int, body: bytes, headers: dict[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def bytes(self, f: File) -> None:
        hub, data, begin = self.server.hub, f.data, 0
        if hub.flip is not None and hub.flip < len(data):
            data = data[:hub.flip] + bytes([data[hub.flip] ^ 1]) + data[hub.flip + 1:]
        if self.noted.range and hub.ranges:
            begin = int(self.noted.range[6:-1])
            if begin >= len(data):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        with hub.lock:
            cut = hub.cut.pop(0) if hub.cut and f.big else None
        for at in range(begin, len(data), 10000):
            piece = data[at:at + 10000]
            if cut is not None:
                piece = piece[:max(0, cut - self.noted.sent)]
            if hub.hold is not None and self.noted.sent >= hub.hold:
                hub.over.wait(60)
            self.wfile.write(piece)
            self.noted.sent += len(piece)
            if cut is not None and self.noted.sent >= cut:
                self.close_connection = True
                return
            if hub.rate:
                time.sleep(len(piece) / hub.rate)
