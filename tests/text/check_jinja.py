#!/usr/bin/env python3
"""The Jinja interpreter beside Jinja2, on the cases of jinja_cases.py.

Usage: check_jinja.py RENDER [--write] [-v]
       check_jinja.py --oracle      (internal: renders the cases of standard input with Jinja2)

Expected are the texts that Jinja2 made and that are stored in jinja_vectors.json; where Jinja2 is installed (Debian: python3-jinja2)
it renders all cases anew, and must agree with what is stored. --write stores what it makes. The environment is the one that transformers
makes: an immutable sandbox, trim_blocks, lstrip_blocks, loop controls, {% generation %}, its own tojson, raise_exception and
strftime_now."""
import datetime
import hashlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE / "jinja_vectors.json"
NOW = 1721995509  # 2024-07-26 12:05:09


def oracle_environment():
    import jinja2
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

        def _render(self, caller):
            return caller()

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def strftime_now(form):
        return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=NOW)).strftime(form)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env, jinja2.__version__


def oracle() -> int:
    import os
    import time
    os.environ["TZ"] = "UTC"
    time.tzset()
    env, version = oracle_environment()
    results = []
    for template, context in json.load(sys.stdin):
        try:
            results.append({"text": env.from_string(template).render(**context)})
        except RecursionError:
            raise
        except Exception as e:  # whatever a template can raise
            results.append({"error": str(e), "type": type(e).__name__})
    json.dump({"jinja2": version, "python": sys.version.split()[0], "results": results}, sys.stdout)
    return 0


def ask_jinja2(cases: list) -> dict | None:
    """What the installed Jinja2 makes of the cases; None where there is none."""
    for python in dict.fromkeys([sys.executable, "/usr/bin/python3"]):
        if not pathlib.Path(python).exists() or subprocess.run([python, "-c", "import jinja2"], capture_output=True, check=False).returncode:
            continue
        r = subprocess.run([python, __file__, "--oracle"], input=json.dumps(cases), capture_output=True, text=True, check=False)
        if r.returncode:
            sys.exit(f"Jinja2 failed:\n{r.stderr}")
        return json.loads(r.stdout)
    return None


def message(error: str) -> str:
    """An error of the interpreter without its place."""
    place, _, text = error.partition(": ")
    return text if place.startswith("line ") else f"(no place) {error}"


def main() -> int:
    if "--oracle" in sys.argv:
        return oracle()
    from jinja_cases import DIFFERENT, FAIL, SAME
    groups = [(t, c, "same") for t, c in SAME] + [(t, c, "fail") for t, c in FAIL]
    cases = [[t, c] for t, c, _ in groups]
    digest = hashlib.sha256(json.dumps(cases).encode()).hexdigest()
    fresh = ask_jinja2(cases)
    if "--write" in sys.argv:
        if not fresh:
            sys.exit("--write needs Jinja2 (Debian: apt-get install python3-jinja2)")
        about = "what Jinja2 makes of the cases of jinja_cases.py, in order"
        lines = ",\n".join(json.dumps(r, ensure_ascii=False) for r in fresh["results"])
        VECTORS.write_text(f'{{"about": "{about}", "made_by": "tests/text/check_jinja.py --write", "jinja2": "{fresh["jinja2"]}", '
                           f'"python": "{fresh["python"]}", "cases_sha256": "{digest}", "results": [\n{lines}]}}\n')
    stored = json.loads(VECTORS.read_text())
    failed = []
    if stored["cases_sha256"] != digest:
        sys.exit("the cases have changed since jinja_vectors.json was written: run check_jinja.py RENDER --write where Jinja2 is installed")
    if not fresh:
        print("skip: asking Jinja2 anew: python3-jinja2 is not installed; cure: apt-get install python3-jinja2")
    else:
        for (template, _, kind), a, b in zip(groups, stored["results"], fresh["results"], strict=True):
            if a.get("text") != b.get("text") or (kind == "fail") != ("error" in b) and kind == "fail":
                failed.append(f"{template!r}\n  stored (Jinja2 {stored['jinja2']}): {a}\n  Jinja2 {fresh['jinja2']} here: {b}")
    extra = [[t, c] for t, c, _, _ in DIFFERENT]
    asked = [{"template": t, "context": c, "now": NOW} for t, c in cases + extra]
    r = subprocess.run([sys.argv[1]], input=json.dumps(asked), capture_output=True, text=True, check=False)
    if r.returncode:
        sys.exit(f"{sys.argv[1]}: exit code {r.returncode}\n{r.stderr}")
    results = json.loads(r.stdout)
    for (template, _, kind), want, got in zip(groups, stored["results"], results):
        if kind == "fail":
            good = "error" in want and "error" in got and message(got["error"]) and not got["error"].startswith("(no place)")
        elif "error" in want:
            good = "error" in got and message(got["error"]) == want["error"]
        else:
            good = got.get("text") == want["text"]
        if not good:
            failed.append(f"{template!r}\n  Jinja2: {want}\n  here:   {got}")
    for (template, _, want, why), got in zip(DIFFERENT, results[len(groups):], strict=True):
        if got.get("text") != want:
            failed.append(f"{template!r} ({why})\n  expected: {want}\n  here:     {got}")
    for text in failed if "-v" in sys.argv else failed[:20]:
        print(f"FAILED: {text}")
    asked_too = f"Jinja2 {fresh['jinja2']} asked" if fresh else "no Jinja2 here to ask"
    print(f"{len(groups)} cases like Jinja2 {stored['jinja2']} ({asked_too}), {len(DIFFERENT)} named differences, {len(failed)} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
