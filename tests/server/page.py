#!/usr/bin/env python3
"""The page of `tessera serve` in Debian's Chromium: the cases of page/run.mjs, against this server with its twin on the simulated NPU and
another one beside it, and against the fake server of page/fake.mjs for hostile texts and failures.

Usage: page.py TESSERA [options of run.mjs]        Exit code: 0 passed, 1 failed, 77 no Chromium, no Node, or no network for npm."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import serving


def main() -> int:
    why, cure = serving.node()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not why and not chromium:
        why, cure = "there is no chromium", "apt-get install chromium"
    place = None
    if not why:
        place, why = serving.packages(pathlib.Path(__file__).resolve().parent / "page")
        cure = "try again with a network"
    if not place:
        print(f"skip: {why}; cure: {cure}")
        return 77
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])  # known before the peer, which has to allow this origin
    with serving.server(sys.argv[1], "-q", "--allow-origin", f"http://127.0.0.1:{port}") as peer, \
            serving.server(sys.argv[1], "-q", "--port", port, "--also-on", "npu-sim", "--ledger-check", "--peer", f"next-door={peer.base}") as s:
        r = subprocess.run(["node", "run.mjs", "--base", s.base, "--model", serving.NAME, "--twin", f"{serving.NAME}@npu-sim",
                            "--chromium", chromium, *sys.argv[2:]], cwd=place, stdout=subprocess.PIPE, text=True,
                           env={**os.environ, "TESSERA_SOURCE": str(serving.SOURCE)})
    lines = r.stdout.splitlines()
    print("\n".join(line for line in lines if not line.startswith("PASS")))
    return 0 if r.returncode == 0 and re.fullmatch(r"\d+ passed, 0 failed, \d+ skipped", lines[-1]) else 1


if __name__ == "__main__":
    sys.exit(main())
