"""Templates for the corpus: alternatives, slots, typing noise, the pirate's tongue, and the split into train and test.

A template is a line of text with {a|b|c} (one of), [x] (maybe; also [x|y]) and $name (a slot, filled in afterwards).
The *skeleton* of a phrase is what the template gave before the slots were filled. The split hangs on the skeleton alone,
so a phrasing that the test split uses never occurs in training, whatever names or numbers stand in it."""
import random
import re
import zlib

TEST_SHARE = 16  # one skeleton in this many is held out


def parse(text: str) -> list:
    """A template as a list of strings and of lists of alternatives (each again such a list)."""
    def sequence(i: int, ends: str) -> tuple[list, int]:
        out, word = [], ""
        while i < len(text) and text[i] not in ends:
            c = text[i]
            if c in "{[":
                if word:
                    out.append(word)
                    word = ""
                close = "}" if c == "{" else "]"
                options = [] if c == "{" else [[]]
                while text[i] != close:
                    part, i = sequence(i + 1, "|" + close)
                    options.append(part)
                    if i >= len(text):
                        raise ValueError(f"template without {close}: {text}")
                out.append(options)
                i += 1
            else:
                word += c
                i += 1
        if word:
            out.append(word)
        return out, i
    tree, end = sequence(0, "")
    assert end == len(text)
    return tree


def expand(tree: list, rng: random.Random) -> str:
    out = []
    for node in tree:
        if isinstance(node, str):
            out.append(node)
        else:
            out.append(expand(rng.choice(node), rng))
    return "".join(out)


class Template:
    """One line of the grammar; `always` marks the plain phrasings that stay in training."""

    def __init__(self, text: str, always: bool = False):
        self.text, self.tree, self.always = text, parse(text), always

    def sample(self, rng: random.Random) -> str:
        return re.sub(r"\s+([?!.,])", r"\1", re.sub(r" {2,}", " ", expand(self.tree, rng))).strip()


def is_test(skeleton: str) -> bool:
    """Is this phrasing held out? Case, spaces and punctuation do not make another phrasing."""
    key = "".join(c for c in skeleton.lower() if c.isalnum() or c == "$")
    return zlib.crc32(key.encode()) % TEST_SHARE == 0


def fill(text: str, slots: dict[str, str]) -> str:
    return re.sub(r"\$([a-z_0-9]+)", lambda m: str(slots[m[1]]), text)


def an(noun: str) -> str:
    """The noun with its indefinite article."""
    exceptions = ("uni", "use", "one", "eu", "ukulele", "u-")
    vowel = noun[0].lower() in "aeiou" and not noun.lower().startswith(exceptions) or noun.startswith(("hour", "honest"))
    return ("an " if vowel else "a ") + noun


def capital(text: str) -> str:
    for i, c in enumerate(text):
        if c.isalpha():
            return text[:i] + c.upper() + text[i + 1:]
        if not c.isspace() and c not in "\"'(":
            break
    return text


# What a person does to a sentence at a keyboard.

def typo(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    long_words = [i for i, w in enumerate(words) if len(w) > 4 and w.isalpha() and not w.isupper()]
    if not long_words:
        return text
    i = rng.choice(long_words)
    w, p = words[i], rng.randrange(1, len(words[i]) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        w = w[:p] + w[p + 1] + w[p] + w[p + 2:]
    elif kind == 1:
        w = w[:p] + w[p + 1:]
    elif kind == 2:
        w = w[:p] + w[p] + w[p:]
    else:
        w = w[:p] + rng.choice("aeioustrn") + w[p + 1:]
    words[i] = w
    return " ".join(words)


OPENERS = ["Hi, ", "Hello! ", "Hey, ", "Please, ", "Excuse me, ", "Ok, ", "So, ", "Well, ", "Um, ", "Oh, ", "Hey! ", "Hi there! ",
           "Sorry, ", "One question: ", "Quick question: ", "Now, ", "And ", "Right, ", "Hm, ", "Alright, ", "I wonder, ",
           "Just curious: ", "Next question: ", "Hello. ", "Good day. ", "Dear computer, ", "Say, ", "Listen, ", "By the way, "]
CLOSERS = [" please", ", please", " thanks", " pls", ", thank you", " for me", " now", ", would you", " if you can", " mate"]


def type_it(text: str, rng: random.Random, question: bool = True, wrap: bool = True) -> str:
    """The phrase as somebody might type it: wrapped in small talk, with or without capitals, full stops and mistakes."""
    style = rng.random()
    end = "?" if question else rng.choice([".", ".", "!", ""])
    if text[-1:] in "?!.)\"`:=":
        end = ""
    if wrap and rng.random() < 0.10:
        opener = rng.choice(OPENERS)
        keep = opener.rstrip()[-1] in "!." or text.startswith(("I ", "I'")) or text[1:2].isupper()
        text = opener + (capital(text) if opener.rstrip()[-1] in "!." else text if keep else text[:1].lower() + text[1:])
    elif wrap and rng.random() < 0.05 and not end == "":
        text += rng.choice(CLOSERS)
    if style < 0.50:
        out = capital(text) + end
    elif style < 0.62:
        out = capital(text) + (end if rng.random() < 0.3 else "")
    elif style < 0.75:
        out = text + end
    elif style < 0.97:
        out = (text if "`" in text else text.lower()) + (end if rng.random() < 0.35 else "")
    else:
        out = text.upper() + end
    if rng.random() < 0.06:
        out = typo(out, rng)
    if rng.random() < 0.02:
        out = out.replace("'", "")
    if rng.random() < 0.01:
        out = out + rng.choice(["?", "!", "??", "!!", " :)", " ;)", "...", " "])
    return out


# The pirate's tongue: word by word, outside of `code`.

PIRATE = [
    (r"\bI do not know\b", "I know not"), (r"\bI am\b", "I be"), (r"\bI'm\b", "I be"), (r"\bYou are\b", "Ye be"),
    (r"\byou are\b", "ye be"), (r"\b(it|that|this|there|which|he|she) is\b", r"\1 be"), (r"\b(It|That|This|There) is\b", r"\1 be"),
    (r"\bthey are\b", "they be"), (r"\bThey are\b", "They be"), (r"\bthese are\b", "these be"), (r"\bis an?\b", lambda m: m[0].replace("is", "be")),
    (r"\bis the\b", "be the"), (r"\bis not\b", "be not"), (r"\bare not\b", "be not"),
    (r"\byou\b", "ye"), (r"\bYou\b", "Ye"), (r"\byour\b", "yer"), (r"\bYour\b", "Yer"), (r"\byourself\b", "yerself"), (r"\byours\b", "yers"),
    (r"\bmy\b", "me"), (r"\bMy\b", "Me"), (r"\bmyself\b", "meself"),
    (r"\bHello\b", "Ahoy"), (r"\bhello\b", "ahoy"), (r"\bHi\b", "Ahoy"), (r"\bYes\b", "Aye"), (r"\byes\b", "aye"), (r"\bNo,", "Nay,"),
    (r"\bof\b", "o'"), (r"\b(\w{3,})ing\b(?<!thing)(?<!string)(?<!bring)(?<!king)(?<!morning)(?<!evening)(?<!nothing)(?<!spring)", r"\1in'"),
    (r"\bfriends\b", "mateys"), (r"\bfriend\b", "matey"), (r"\bvery\b", "mighty"), (r"\bcomputer\b", "ship"),
    (r"\bsmall\b", "wee"), (r"\btiny\b", "wee"), (r"\blittle\b", "wee"), (r"\bSorry\b", "Blimey"), (r"\bmoney\b", "doubloons"),
    (r"\bthem\b", "'em"), (r"\bold\b", "ol'"), (r"\bgood\b", "fine"), (r"\bto the\b", "t' the"), (r"\bfor\b", "fer"),
]
PIRATE = [(re.compile(a), b) for a, b in PIRATE]
PIRATE_START = ["Arr! ", "Arr, matey! ", "Ahoy! ", "Avast! ", "Yo ho ho! ", "Shiver me timbers! ", "Aye, matey! ", "Arr! ", "Ahoy, matey! ",
                "Blow me down! "]
PIRATE_END = [" Arr!", " Yo ho ho!", " Savvy?", " Arr, matey!", " Aye!"]


def pirate(text: str, rng: random.Random, start: bool = True) -> str:
    """The same answer as a pirate would say it. Code in backticks stays as it is. Always leaves a mark of the style."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        for pattern, new in PIRATE:
            parts[i] = pattern.sub(new, parts[i])
    out = "`".join(parts)
    marked = re.match(r"(Arr|Ahoy|Aye|Avast|Yo ho|Nay|Shiver|Blimey|Blow)", out)
    r = rng.random()
    if start and not marked and r < 0.7:
        out = rng.choice(PIRATE_START) + out
    elif not marked or r > 0.8:
        out = out + rng.choice(PIRATE_END)
    elif out.startswith(("Aye", "Nay")) and "matey" not in out:
        out = re.sub(r"^(Aye|Nay)\b", r"\1, matey", out)
    return out


def load(path) -> dict[str, dict[str, list]]:
    """Read a file of intents. A line starts with its kind and a space:
    = NAME      a new intent
    n NOUN      for concepts: the thing asked for, as in "what is NOUN" (alternatives allowed)
    Q TEXT      a question that is always in the training split
    q TEXT      a question, split by phrasing
    a TEXT      an answer        p TEXT   the answer of the pirate (else the answer is translated)
    m TEXT      more about it    s TEXT   the same in simpler words
    u TEXT      like q, but a statement or request (ends with a full stop)"""
    intents: dict[str, dict[str, list]] = {}
    now = None
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.rstrip("\n")
        if not line or line[0] == "#":
            continue
        kind, _, rest = line.partition(" ")
        if kind == "=":
            if rest in intents:
                raise ValueError(f"{path}:{number}: intent {rest} is there twice")
            now = intents[rest] = {"n": [], "q": [], "u": [], "a": [], "p": [], "m": [], "s": []}
        elif kind in ("Q", "U"):
            now[kind.lower()].append(Template(rest, always=True))
        elif kind in now:
            now[kind].append(Template(rest))
        else:
            raise ValueError(f"{path}:{number}: unknown kind of line \"{kind}\"")
    return intents
