#!/usr/bin/env python3
"""compare.py with recorded answers, a list and a differ of the test's own: what it lets pass and what it names.

Exit code: 0 passed, 1 failed"""
import contextlib
import io
import pathlib
import sys
import tempfile

import compare

OLD, NEW = "a/one: ok\na/two: 9\n", "# a comment\na/one: ok\na/two: EINVAL\nb/three: ok, 4 written\n"
REASON = "because the device does not forgive it"


def run(folder: pathlib.Path, fake: str, strict: str) -> tuple[int, str]:
    """Exit code and output for a fake node that answers `fake`."""
    differ = folder / "differ"
    differ.write_text("#!/bin/sh\ncat <<'EOF'\n" + fake + "EOF\n")
    differ.chmod(0o755)
    (folder / "strictness.txt").write_text(strict)
    out, argv = io.StringIO(), sys.argv
    sys.argv = ["compare.py", str(differ)]
    try:
        with contextlib.redirect_stdout(out):
            try:
                code = compare.main()
            except SystemExit as e:
                code, text = 1, str(e)
                return code, out.getvalue() + text
    finally:
        sys.argv = argv
    return code, out.getvalue()


def main() -> int:
    bad = 0
    same = NEW.removeprefix("# a comment\n")
    stricter = same.replace("a/two: EINVAL", "a/two: EBUSY")
    line = f"7.3 | a/* | EBUSY | EINVAL | {REASON}\n"
    cases = [
        ("all the same", same, "# nothing\n", 0, "7.3: 3 answers, 3 are those of linux-7.3.10-sva.txt, 0 are stricter"),
        ("a difference that is listed", stricter, line, 0, "2 are those of"),
        ("one that is not", stricter, "", 1, 'a/two: the fake node says "EBUSY", linux-7.3.10-sva.txt "EINVAL"'),
        ("listed with another answer of the kernel", stricter, line.replace("EINVAL", "ok"), 1, "a/two: the fake node says"),
        ("listed, and no difference", same, line, 1, "strictness.txt, line 1: a/* is no difference in 7.3"),
        ("listed twice", stricter, line + line.replace("a/*", "a/two"), 1, "lines 1 and 2 of the list say the same"),
        ("without a reason", stricter, line.replace(REASON, "so"), 1, "strictness.txt, line 1: wanted are"),
        ("of a profile that is none", stricter, line.replace("7.3", "7.4"), 1, "strictness.txt, line 1: wanted are"),
        ("a question that was not recorded", same + "c/four: ok\n", "", 1, "other questions than in linux-7.3.10-sva.txt (c/four)"),
        ("an answer that is missing", same.replace("b/three: ok, 4 written\n", ""), "", 1, "(b/three): record it again"),
        ("an answer that comes twice", same + "a/one: ok\n", "", 1, "is no answer, or the second one"),
        ("no answer at all", "rubbish\n", "", 1, "'rubbish' is no answer"),
    ]
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        (folder / "answers").mkdir()
        for name, text in (("7.3.4-sva", OLD), ("7.3.10-sva", NEW), ("7.31.9-sva", OLD), ("7.3.11-iova", OLD)):
            (folder / f"answers/linux-{name}.txt").write_text(text)
        compare.HERE, compare.PROFILES = folder, {"7.3": ("7.3", "sva")}
        for name, fake, strict, code, words in cases:
            got, out = run(folder, fake, strict)
            if got != code or words not in out:
                print(f"{name}: exit code {got}, not {code}, or without \"{words}\":\n{out}")
                bad += 1
    print(f"{len(cases)} cases, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
