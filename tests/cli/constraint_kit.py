#!/usr/bin/env python3
"""The constraint kit of the shared test data (clients/schemas): `tessera constrain` on all of its cases. A case counts
as failed unless the kit asks for the impossible: it lists a text as accepted and as rejected, or an accepted text with
the keys of an object in another order than its schema's, which an engine may lawfully not allow (its README).

Usage: constraint_kit.py TESSERA [ARGUMENT OF run.py]..."""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from testdata import NO_SHARED, SHARED  # noqa: E402

# An order that no schema of the object has: the key that another branch names first stands first.
OTHER_ORDER = {"real/MCPspec/CreateMessageResult", "real/MCPspec/CallToolResult"}


def contradictory(case: dict) -> bool:
    texts = {kind: {json.dumps(t) for t in case.get(kind, [])} for kind in ("accept", "reject")}
    return bool(texts["accept"] & texts["reject"])


def main() -> int:
    kit = pathlib.Path(SHARED) / "clients/schemas"
    if not SHARED or not kit.is_dir():
        print(f"skip: {NO_SHARED}")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder) / "results"
        subprocess.run([sys.executable, str(kit / "run.py"), "--exe", f"{sys.argv[1]} constrain", "--json", str(results), "--slow", "5"] +
                       sys.argv[2:], stdout=subprocess.DEVNULL, check=False)
        rows = [json.loads(line) for line in results.read_text().splitlines()]
    cases = {}
    for path in kit.glob("*.jsonl"):
        for line in path.read_text("utf-8", "surrogatepass").split("\n"):
            if line:
                case = json.loads(line)
                cases[case["id"]] = case
    bad = [r for r in rows if r["result"] == "FAIL" and r["id"] not in OTHER_ORDER and not contradictory(cases[r["id"]])]
    for row in bad:
        print(row["class"], row["id"], "; ".join(row["faults"][:3]))
    counts = {result: sum(r["result"] == result for r in rows) for result in ("pass", "refused", "FAIL")}
    print(f"{counts['pass']} passed, {counts['refused']} refused where that is allowed, "
          f"{counts['FAIL'] - len(bad)} that ask for the impossible, {len(bad)} failed")
    return 1 if bad or len(rows) < 800 else 0


if __name__ == "__main__":
    sys.exit(main())
