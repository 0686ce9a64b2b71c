#!/usr/bin/env python3
"""Real clients against `tessera serve`: the cases of the shared clients' kit, every level of them, with and without a key, and many
clients at once, whose texts may not differ from those that they get alone.

Usage: clients.py TESSERA [--only REGEX]        Exit code: 0 passed, 1 failed, 77 no kit, no Node, or no network for npm."""
import argparse
import http.client
import json
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import serving  # noqa: E402
from testdata import NO_SHARED, SHARED  # noqa: E402


def run(place: pathlib.Path, s: serving.Server, *options: str) -> bool:
    r = subprocess.run(["node", "run.mjs", "--base", s.base, "--model", serving.NAME, "--timeout", "240", *options], cwd=place,
                       stdout=subprocess.PIPE, text=True)
    lines = r.stdout.splitlines()
    print("\n".join(line for line in lines if not line.startswith("PASS")))
    # a case that skips says why: what is left out here is run against another of these servers
    return r.returncode == 0 and bool(re.fullmatch(r"\d+ passed, 0 failed, \d+ skipped", lines[-1]))


def places_for_seconds(tessera: str) -> int:
    """So many answers of 1000 tokens at a time take this build a few seconds: what a client that leaves can be seen at."""
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 200, "ignore_eos": True})
    with serving.server(tessera, "-q", "-t", "1") as s:
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=240)
        begun = time.monotonic()
        c.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        c.getresponse().read()
        seconds = time.monotonic() - begun
        c.close()
    return next((n for n in (2, 4, 8, 16, 32) if n * 5 * seconds * 0.4 > 6), 64)  # together they take less than half each


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("tessera")
    p.add_argument("--only", default=".")
    o = p.parse_args()
    if not SHARED:
        print(f"skip: {NO_SHARED}")
        return 77
    why, cure = serving.node()
    if why:
        print(f"skip: {why}; cure: {cure}")
        return 77
    place, why = serving.packages(pathlib.Path(SHARED) / "clients")
    if not place:
        print(f"skip: {why}; cure: try again with a network")
        return 77
    ok = True
    key = "a-key-for-tests-0123456789"
    slow = "^many.abort-unstreamed$"  # wants an answer that takes a while
    with serving.server(o.tessera, "-q") as s:
        ok &= run(place, s, "--only", o.only, "--not", f"{slow}|^auth|^anthropic.key")
        load = subprocess.run(["node", "load.mjs", "--base", s.base, "--model", serving.NAME, "--clients", "1,2,4,8", "--requests", "6",
                               "--max-tokens", "48"], cwd=place, stdout=subprocess.PIPE, text=True)
        print(load.stdout)
        lines = [line for line in load.stdout.splitlines() if " clients: " in line]
        ok &= load.returncode == 0 and len(lines) == 4 and all(" 0 errors" in line and " 0 texts differ" in line for line in lines)
    places = str(places_for_seconds(o.tessera))
    with serving.server(o.tessera, "-q", "-t", "1", "--parallel", places) as s:
        ok &= run(place, s, "--only", slow, "--parallel", places)
    with serving.server(o.tessera, "-q", env={"TESSERA_API_KEY": key}) as s:
        ok &= run(place, s, "--key", key, "--only", "^auth|^anthropic.key|^chat.shape|^models")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
