"""A `tessera serve` for tests, and npm packages by their lock files."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = SOURCE / "models/tessera-tiny-q8_0.gguf"
NAME = "tessera-tiny-q8_0"


class Server:
    """Started on a free port; `said` is what it has written so far."""

    def __init__(self, tessera: str, *options: str, env: dict[str, str] | None = None, model: bool = True):
        self.log = tempfile.TemporaryFile("w+")
        argv = [tessera, "serve", *(["-m", str(MODEL)] if model else []), "--port", "0", "--no-cache-dir", *options]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env={**os.environ, "TESSERA_API_KEY": "", **(env or {})})
        self.port = 0
        for _ in range(1200):
            found = re.search(r"^tessera: http://\S+?:(\d+)/", self.said, re.M)
            if found:
                self.port = int(found.group(1))
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server did not begin (exit code {self.process.poll()}):\n{self.said}")

    @property
    def said(self) -> str:
        self.log.flush()
        here = os.dup(self.log.fileno())
        size = os.fstat(here).st_size
        text = os.pread(here, size, 0).decode(errors="replace")
        os.close(here)
        return text

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> int:
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) << 10

    def stop(self, patience: float = 60) -> int:
        """By SIGTERM, as an orderly end: its exit code. What a sanitizer says is in `said` then."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -1


@contextlib.contextmanager
def server(tessera: str, *options: str, **more):
    """For a with: it has to end in order, or the test has failed."""
    s = Server(tessera, *options, **more)
    try:
        yield s
        alive = s.process.poll() is None
        code = s.stop()
        if not alive or code != 0 or "Sanitizer" in s.said:
            print(s.said[-6000:])
            sys.exit(f"the server {'ended with' if alive else 'had ended before, with'} exit code {code}")
    finally:
        s.process.kill()
        s.process.wait()


def node() -> tuple[str, str]:
    """Why there is no Node that will do, and a cure; two empty texts: there is one."""
    cure = "install Node 20 or newer with npm (Debian 13: apt-get install nodejs npm)"
    for tool in "node", "npm":
        if not shutil.which(tool):
            return f"there is no {tool}", cure
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    if int(re.match(r"v(\d+)", version).group(1)) < 20:
        return f"Node is {version}", cure
    return "", ""


def packages(folder: pathlib.Path) -> tuple[pathlib.Path | None, str]:
    """A copy of the folder, whose package-lock.json is installed there, kept between runs; or None and why not."""
    tag = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "node_modules" not in p.parts):
        tag.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    root = SOURCE / "build-npm"
    root.mkdir(exist_ok=True)
    place = root / f"{folder.name}-{tag.hexdigest()[:16]}"
    with open(root / "lock", "w") as lock:  # the builds' tests may run at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / "node_modules/.complete").exists():
            return place, ""
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns("node_modules"), copy_function=shutil.copyfile)
        os.chmod(place, 0o755)
        r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=place, capture_output=True, text=True)
        if r.returncode:
            why = [line for line in r.stderr.splitlines() if line.strip()]
            return None, f"npm cannot install the packages: {why[0] if why else r.returncode}"
        (place / "node_modules/.complete").write_text("")
        return place, ""
