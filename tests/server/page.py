#!/usr/bin/env python3
"""The page of `tessera serve` in a real Chromium: the cases of page/run.mjs, those of any server against one with the bundled model,
its twin on the simulated NPU and a peer, the hostile ones against page/fake.mjs; and once more what a key touches.

Usage: page.py TESSERA [--only REGEX] [--not REGEX]        Exit code: 0 passed, 1 failed, 77 no Chromium, no Node, or no network for npm."""
import argparse
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import serving

HERE = pathlib.Path(__file__).resolve().parent
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(place: pathlib.Path, browser: str, s: serving.Server, *options: str) -> bool:
    r = subprocess.run(["node", "run.mjs", "--base", s.base, "--model", serving.NAME, "--chromium", browser, *options], cwd=place,
                       env={**os.environ, "TESSERA_SOURCE": str(serving.SOURCE)}, stdout=subprocess.PIPE, text=True)
    print(r.stdout, end="")
    return r.returncode == 0 and bool(re.search(r"^[1-9]\d* passed, 0 failed, 0 skipped$", r.stdout, re.M))


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("tessera")
    p.add_argument("--only", default=".")
    p.add_argument("--not", dest="leave_out", default="^$")
    o = p.parse_args()
    why, cure = serving.node()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not why and not browser:
        why, cure = "there is no Chromium", "apt-get install chromium"
    if why:
        print(f"skip: {why}; cure: {cure}")
        return 77
    place, why = serving.packages(HERE / "page")
    if not place:
        print(f"skip: {why}; cure: try again with a network")
        return 77
    port = free_port()  # the peer has to know it before the server has it
    with serving.server(o.tessera, "-q", "-t", "1", "--allow-origin", f"http://127.0.0.1:{port}") as peer, \
            serving.server(o.tessera, "-q", "--port", str(port), "--also-on", "npu-sim", "--ledger-check", "--peer",
                           f"next-door={peer.base}") as s:
        ok = run(place, browser, s, "--twin", f"{serving.NAME}@npu-sim", "--only", o.only, "--not", o.leave_out)
    key = "a-key-for-tests-0123456789"
    with serving.server(o.tessera, "-q", env={"TESSERA_API_KEY": key}) as s:
        ok &= run(place, browser, s, "--key", key, "--only", "^chat.(same-text|reload)$|^figures")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
