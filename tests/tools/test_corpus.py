#!/usr/bin/env python3
"""The corpus of the bundled model: the same seed gives the same text, and what is held out is never trained on.

Usage: test_corpus.py"""
import json
import pathlib
import random
import sys

TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools" / "demo_model"
sys.path.insert(0, str(TOOLS))
sys.dont_write_bytecode = True
import bpe      # noqa: E402
import corpus   # noqa: E402
import grammar  # noqa: E402
import rubric   # noqa: E402
import sums     # noqa: E402


class Recorder(corpus.Corpus):
    """Notes which phrasings were used."""

    def __init__(self, seed: int, test: bool):
        super().__init__(seed, test)
        self.seen: set[str] = set()

    def render(self, turn, state, tongue):
        if not turn.template.always:
            self.seen.add("".join(c for c in turn.user.lower() if c.isalnum() or c == "$"))
        return super().render(turn, state, tongue)


def test_templates() -> None:
    t = grammar.Template("{a|b|} x[y|z] $slot?")
    got = {t.sample(random.Random(i)) for i in range(200)}
    assert got == {f"{a}x{y} $slot?" for a in ("a ", "b ", "") for y in ("y", "z", "")}, got
    assert grammar.fill("$a and $b", {"a": "1", "b": "2"}) == "1 and 2"
    try:
        grammar.parse("{a|b")
        raise AssertionError("an open brace was accepted")
    except (ValueError, IndexError):
        pass


def test_split() -> None:
    train, test = Recorder(7, False), Recorder(7, True)
    trained = [train.dialogue() for _ in range(3000)]
    tested = [test.dialogue() for _ in range(400)]
    assert len(train.seen) > 3000 and len(test.seen) > 150, (len(train.seen), len(test.seen))
    assert not train.seen & test.seen, train.seen & test.seen
    again = Recorder(7, False)
    assert trained[:50] == [again.dialogue() for _ in range(50)], "the seed does not fix the corpus"
    other = Recorder(8, False)
    assert trained[:5] != [other.dialogue() for _ in range(5)]
    held = {corpus._key(p["u"][0]) for name in ("heldout.jsonl", "heldout2.jsonl") for p in rubric.read(TOOLS / name) if len(p["u"]) == 1 and p["c"] != "system"} - {""}
    for d in trained:
        for user, answer in d["turns"]:
            key = corpus._key(user)
            assert key not in held, f"a held-out prompt is trained on: {user}"
            assert answer and "$" not in answer and "{" not in answer, answer
    for d in trained + tested:  # the pirate speaks where he is asked to, and only there
        for user, answer in d["turns"]:
            if d["system"] == corpus.PIRATE and not answer[0].isalpha():
                continue
            if d["system"] == corpus.PIRATE and "said" not in answer and len(answer.split()) > 4:
                assert rubric.MARKS.search(answer), (user, answer)


def test_sums() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        template, slots, answer, eq = sums.ask(rng)
        text = template.sample(rng)
        assert "$" not in grammar.fill(text, {k: str(v) for k, v in slots.items()})
        if eq and "=" in eq:
            left, right = eq.split(" = ")
            assert eval(left.replace("/", "//")) == int(right), eq  # noqa: S307  # digits and signs only
            assert answer.startswith(eq), (eq, answer)


def test_tokenizer() -> None:
    counts = bpe.collections.Counter({"aab": 5, "aac": 3, "bab": 1})
    assert bpe.train(counts, 3) == [("a", "a"), ("aa", "b"), ("aa", "c")], bpe.train(counts, 3)
    tokens = [bpe.LETTER[b] for b in range(256)] + ["aa", "aab"] + bpe.SPECIAL
    tok = bpe.Tokenizer({"tokens": tokens, "merges": ["a a", "aa b"]})
    space = tokens.index("Ġ")
    assert tok.encode("aab aa 12") == [257, space, 256, space, tokens.index("1"), tokens.index("2")], tok.encode("aab aa 12")
    for text in ("aab aa 12", "é ☃\n\n x", "  two", ""):
        assert tok.decode(tok.encode(text)) == text
    ids, mine = tok.dialogue("s", [["u", "a"]])
    assert len(ids) == len(mine) and sum(m > 0 for m in mine) == 2 and ids[0] == tok.special[bpe.BOS] and ids[-1] == tok.special[bpe.EOT]


def test_rubric() -> None:
    plain, pirate = {"c": "x", "s": "P", "u": ["?"]}, {"c": "x", "s": "R", "u": ["?"]}
    assert rubric.faults(plain, "An NPU is a chip.", True) == []
    assert rubric.faults(plain, "An NPU is a chip.", False) == ["does not end"]
    assert rubric.faults(plain, "Arr, matey, an NPU be a chip!", True) == ["a pirate's words"]
    assert rubric.faults(pirate, "An NPU is a chip.", True) == ["not a pirate's words"]
    assert rubric.faults(pirate, "Arr! An NPU be a chip.", True) == []
    assert rubric.faults(plain, "It is so it is so it is so it is so.", True) == ["goes in circles"]
    assert rubric.faults(plain, "Type `tessera.", True) == ["backticks do not match"]
    assert rubric.faults({**plain, "n": "42"}, "12 + 30 = 42.", True) == []
    assert rubric.faults({**plain, "n": "42"}, "12 + 30 = 43.", True) == ["not 42"]
    assert rubric.faults({**plain, "k": "refuse"}, "The capital is Paris.", True) == ["not of the kind refuse"]
    assert rubric.faults({**plain, "w": ["cpu|gpu"]}, "It is a chip.", True) == ["lacks cpu|gpu"]
    assert rubric.faults({**plain, "k": "story"}, "Once there was a fox. The end.", True) == ["too short for a story"]
    for name in ("heldout.jsonl", "heldout2.jsonl", "dev.jsonl"):
        for p in rubric.read(TOOLS / name):
            assert set(p) <= {"c", "s", "u", "k", "w", "n"} and p.get("k", "id") in rubric.KINDS, p
            json.dumps([rubric.faults(p, "x", True)])
    assert len(rubric.read(TOOLS / "heldout.jsonl")) >= 200 and len(rubric.read(TOOLS / "heldout2.jsonl")) >= 100


for name, test in sorted(globals().items()):
    if name.startswith("test_"):
        test()
