"""Arithmetic with numbers up to 99: questions in many forms, and answers that always begin with the sum itself."""
import random

from grammar import Template
import words


def _t(text: str) -> list[Template]:
    return [Template(line[1:], always=True) if line[0] == "!" else Template(line) for line in text.strip().split("\n")]


ADD = _t("""!What is $a + $b
!$a + $b
!what is $a plus $b
{$a+$b|$a + $b|$a plus $b|$a and $b|$a + $b =|$a+$b=|$a plus $b is|$a plus $b equals|$a and $b makes|$a added to $b}
{what is|what's|whats|how much is|how much are|calculate|compute|tell me|work out|do you know|find|solve|can you tell me|please compute|I need|what does|what would|what might} {$a + $b|$a plus $b|$a+$b} [be|make|equal|come to|]
{add|sum|add up|please add|can you add|could you add|now add} $a {and|to|with|plus} $b [for me|please|]
{what is|what's|tell me|compute|calculate|find|give me|how big is|how much is} the sum of $a and $b
{what|how much} {do|will|would} {I|you|we} {get|have} {if|when} {I|you|we} {add|put together|count together} $a {and|to|with} $b
{can you|could you|would you|please} {calculate|compute|work out|do|solve|tell me} {$a + $b|$a plus $b|$a+$b} [for me|please|]
{I have|you have|Tom has|she has|we have} $a $things and {get|gets|buy|find|finds|receive} $b more. How many {$things|of them|} {are there|do I have|is that|are that|is it} [now|in all|in total|]
there are $a $things {here|on the table|in a box|in one basket} and $b {there|on the floor|in another box|in the other basket}. How many [$things] {are there|is that} {in all|in total|together|altogether}
{if I have|if there are} $a $things and $b {more|others|more come|are added}, how many {are there|do I have|is that|have I got} [in total|now|]
{one box has|my brother has|Anna has|a shop has} $a $things, {another has|my sister has|Ben has|a second shop has} $b. How many {are that|do they have|are there} together
{and|ok, and|now} $a + $b
{and|what about|how about} $a {plus|+} $b""")
SUB = _t("""!What is $a - $b
!$a - $b
!what is $a minus $b
{$a-$b|$a - $b|$a minus $b|$a less $b|$a - $b =|$a-$b=|$a minus $b is|$a take away $b}
{what is|what's|whats|how much is|calculate|compute|tell me|work out|do you know|find|solve|can you tell me|please compute|what does} {$a - $b|$a minus $b|$a-$b} [be|make|equal|come to|]
{subtract|take|please subtract|can you subtract|now subtract|please take} $b from $a
{take|take away} $b {away|off} from $a
{what is|what's|tell me|compute|calculate|find|how big is} the difference {between|of} $a and $b
{what|how much} {is left|remains|do I get|do you get} {if|when} {I|you} {take|subtract} $b from $a
{can you|could you|would you|please} {calculate|compute|work out|do|solve|tell me} {$a - $b|$a minus $b|$a-$b} [for me|please|]
{I have|you have|Tom has|she has|we have} $a $things and {lose|give away|eat|sell|loses|gives away|sells} $b [of them]. How many {$things|of them|} {are left|are there|remain|do I have} [now|]
there are $a $things {in the box|on the table|in a basket|on the tree}. $b {are taken away|fall down|disappear|get lost}. How many {are left|remain|are still there}
{if I have|if there are} $a $things and $b {go away|are taken|get lost|are sold}, how many {are left|remain|do I have|stay}
{of|out of} $a $things, $b are {gone|broken|sold|lost}. How many {are left|remain}
{and|what about|how about} $a {minus|-} $b""")
MUL = _t("""!What is $a times $b
!What is $a * $b
!$a * $b
{$a*$b|$a x $b|$a times $b|$a * $b =|$ax$b|$a by $b|$a multiplied by $b|$a * $b}
{what is|what's|whats|how much is|calculate|compute|tell me|work out|do you know|find|solve|can you tell me|please compute} {$a * $b|$a times $b|$a x $b|$a*$b|$a multiplied by $b|$ax$b}
{multiply|please multiply|can you multiply|could you multiply} $a {by|with|and|times} $b [for me|please|]
{what is|what's|tell me|compute|calculate|find} the product of $a and $b
{can you|could you|would you|please} {calculate|compute|work out|do|solve|tell me} {$a * $b|$a times $b|$a x $b} [for me|please|]
{I have|there are|we have} $a {boxes|bags|rows|baskets} with $b $things {each|in each}. How many $things are {that|there} [in all|in total|]
{and|what about|how about} $a times $b""")
DIV = _t("""!What is $c / $a
!What is $c divided by $a
{$c/$a|$c / $a|$c divided by $a|$c over $a|$c : $a|$c:$a|$c / $a =|$c/$a=}
{what is|what's|how much is|calculate|compute|tell me|work out|find|solve} {$c / $a|$c divided by $a|$c over $a|$c/$a}
{divide|please divide|can you divide|share} $c by $a [for me|please|]
{I share|we share|share} $c $things {among|between} $a {people|friends|children}. How many does each {get|one get|person get}
{I have|we have|there are} $c $things for $a {people|friends|children|kids|guests}. How many {does each get|for each|does each one get|is that for each}
{how many times does|how often does} $a {go into|fit into|go in|fit in} $c
{can you|could you|please} {divide|compute|calculate|work out} {$c by $a|$c / $a|$c divided by $a}
{and|what about|how about} $c {divided by|/} $a""")
HALF = _t("""!What is half of $c
{what is|what's|how much is|tell me|}half of $c
{half of|the half of|one half of} $c
{halve|divide in two|split in half} $c""")
DOUBLE = _t("""!What is double $a
{what is|what's|how much is|tell me} {double $a|twice $a|two times $a|the double of $a}
{double|twice} $a""")
CHECK = _t("""{is|does} {$a + $b|$a plus $b} {equal|equal to|the same as|really|=|make|} $c
{is it true that|is it right that|am I right that|do you agree that|I think} $a {+|plus} $b {is|=|makes|equals} $c
$a + $b = $c, {right|is that right|correct|is that correct|true or false|is it|yes or no}""")
THREE = _t("""{what is|what's|how much is|} $a + $b + $c
{add|sum} $a, $b and $c
{what is|} $a plus $b plus $c""")
COMPARE = _t("""!Which is bigger, $a or $b
{which|which number|what|what number} is {bigger|larger|greater|more|higher}, $a or $b
{is $a {bigger|larger|greater|more} than $b|what is more: $a or $b|$a or $b, which is {bigger|more|larger}|compare $a and $b}""")
EVEN = _t("""{is $a {even|odd|an even number|an odd number}|is $a {even or odd|odd or even}|$a: even or odd|is the number $a {even|odd}}""")
NEXT = _t("""{what|which number} {comes|is} {after|right after|next after} $a
{which number follows|what follows|what is the next number after|count on from|tell me the number after} $a""")
BIG = _t("""{what is|what's|how much is|calculate|compute|tell me|work out|} {$big + $b|$big * $b|$big times $b|$big minus $b|$big divided by $a|$a * $big|$big plus $big2|$big * $big2|$big / $a|$big - $big2|$a times $big|$b plus $big}
{add|multiply|divide|subtract} $big {and|by|with} {$big2|$b}
{what is|find} the {sum|product|difference} of $big and {$big2|$b}
{what is|how much is|} {$a * $x|$a times $x|$x times $b|$x * $x2}
{multiply} {$a by $x|$x and $x2}""")


OUT_OF_RANGE = ["That is too big for me. I only do small sums, with numbers up to 99.",
                "I am too small for that sum: I only know numbers up to 99, and products up to 12 * 12."]
NOT_WHOLE = ["I am too small for that: I only know whole numbers, up to 99."]


def _big(rng: random.Random) -> int:
    """A number out of the model's range, of three digits more often than not."""
    return rng.randrange(100, 1000) if rng.random() < 0.6 else rng.randrange(1, 10) * 10 ** rng.randrange(2, 6) if rng.random() < 0.4 else rng.randrange(1000, 10 ** rng.randrange(4, 8))


def _decimal(rng: random.Random) -> str:
    return f"{rng.randrange(0, 100)}.{rng.randrange(1, 10)}"


def _out_of_range(rng: random.Random):
    """A sum in the usual words, with numbers that are too large for the model or not whole."""
    kind = rng.choices(["add", "sub", "mul", "div", "half", "double", "decimal", "three"], [34, 26, 14, 9, 3, 3, 6, 5])[0]
    thing = rng.choice(words.THINGS)
    small = rng.randrange(1, 100)
    if kind == "decimal":
        a, b = (_decimal(rng), _decimal(rng) if rng.random() < 0.6 else small)
        return rng.choice(rng.choice([ADD, SUB, MUL])), {"a": a, "b": b, "ax": f"{a}x", "things": thing}, rng.choice(NOT_WHOLE), None
    if kind in ("add", "sub"):
        a, b = _big(rng), _big(rng) if rng.random() < 0.6 else small
        if kind == "sub" and a < b or kind == "add" and rng.random() < 0.3:
            a, b = b, a
        return rng.choice(ADD if kind == "add" else SUB), {"a": a, "b": b, "things": thing}, rng.choice(OUT_OF_RANGE), None
    if kind == "mul":
        a, b = (rng.randrange(13, 100), rng.randrange(13, 100)) if rng.random() < 0.4 else (_big(rng), rng.randrange(2, 1000))
        if rng.random() < 0.5:
            a, b = b, a
        return rng.choice(MUL), {"a": a, "b": b, "ax": f"{a}x", "things": thing}, rng.choice(OUT_OF_RANGE), None
    if kind == "div":
        return rng.choice(DIV), {"a": rng.randrange(2, 100), "c": max(160, _big(rng)), "things": thing}, rng.choice(OUT_OF_RANGE), None
    if kind == "half":
        return rng.choice(HALF), {"c": _big(rng)}, rng.choice(OUT_OF_RANGE), None
    if kind == "double":
        return rng.choice(DOUBLE), {"a": _big(rng)}, rng.choice(OUT_OF_RANGE), None
    return rng.choice(THREE), {"a": _big(rng), "b": _big(rng) if rng.random() < 0.5 else small, "c": _big(rng)}, rng.choice(OUT_OF_RANGE), None


def _pair(rng: random.Random) -> tuple[int, int]:
    r = rng.random()
    if r < 0.15:
        return rng.randrange(0, 11), rng.randrange(0, 11)
    if r < 0.25:
        return rng.randrange(0, 21), rng.randrange(0, 21)
    if r < 0.40:
        a, b = rng.randrange(10, 100), rng.randrange(0, 10)
        return (a, b) if rng.random() < 0.6 else (b, a)
    return rng.randrange(10, 100), rng.randrange(10, 100)


def _spell(rng: random.Random, n: int, on: bool) -> str:
    return words.number_word(n) if on else str(n)


def ask(rng: random.Random):
    """(template, slots, answer, the plain equation for "are you sure?") of one sum."""
    kind = rng.choices(["add", "sub", "mul", "div", "half", "double", "check", "three", "compare", "even", "next", "big"],
                       [34, 28, 12, 10, 2, 2, 3, 2, 3, 2, 2, 16])[0]
    thing = rng.choice(words.THINGS)
    if kind in ("add", "sub"):
        a, b = _pair(rng)
        if kind == "sub" and a < b and rng.random() < 0.9:
            a, b = b, a
        spelled = rng.random() < (0.12 if max(a, b) <= 20 else 0.04)
        t = rng.choice(ADD if kind == "add" else SUB)
        if spelled:
            while "+" in t.text or "-" in t.text:
                t = rng.choice(ADD if kind == "add" else SUB)
        c, sign = (a + b, "+") if kind == "add" else (a - b, "-")
        eq = f"{a} {sign} {b} = {c}"
        slots = {"a": _spell(rng, a, spelled), "b": _spell(rng, b, spelled), "things": thing}
        if "$things" in t.text and c >= 0:
            tail = rng.choice(["", f" So it is {c} {thing}.", f" That makes {c} {thing}."])
            return t, slots, f"{eq}.{tail}", eq
        return t, slots, f"{eq}.", eq
    if kind in ("mul", "div", "half", "double"):
        a, b = rng.randrange(1, 13), rng.randrange(0, 13)
        spelled = rng.random() < 0.06
        if kind == "mul":
            t = rng.choice(MUL)
            if spelled:
                while "*" in t.text or "x" in t.text:
                    t = rng.choice(MUL)
            eq = f"{a} * {b} = {a * b}"
            return t, {"a": _spell(rng, a, spelled), "b": _spell(rng, b, spelled), "ax": f"{a}x", "things": thing}, f"{eq}.", eq
        if kind == "div":
            r = rng.random()
            if r < 0.04:
                return rng.choice(DIV), {"a": 0, "c": rng.randrange(1, 100), "things": thing}, "Nothing can be divided by 0.", None
            if r < 0.24 and a > 1:
                rest = rng.randrange(1, a)
                return rng.choice(DIV), {"a": a, "c": a * b + rest, "things": thing}, f"{a * b + rest} / {a} = {b}, remainder {rest}.", None
            eq = f"{a * b} / {a} = {b}"
            return rng.choice(DIV), {"a": a, "c": a * b, "things": thing}, f"{eq}.", eq
        if kind == "half":
            c = 2 * rng.randrange(1, 50)
            eq = f"{c} / 2 = {c // 2}"
            return rng.choice(HALF), {"c": c}, f"{eq}.", eq
        a = rng.randrange(1, 100)
        eq = f"2 * {a} = {2 * a}"
        return rng.choice(DOUBLE), {"a": a}, f"{eq}.", eq
    if kind == "check":
        a, b = rng.randrange(0, 30), rng.randrange(0, 30)
        c = a + b if rng.random() < 0.5 else max(0, a + b + rng.choice([-10, -2, -1, 1, 2, 10]))
        eq = f"{a} + {b} = {a + b}"
        return rng.choice(CHECK), {"a": a, "b": b, "c": c}, f"{eq}, so {'yes, that is right' if c == a + b else 'no, that is not right'}.", eq
    if kind == "three":
        a, b, c = (rng.randrange(0, 11) for _ in range(3))
        eq = f"{a} + {b} + {c} = {a + b + c}"
        return rng.choice(THREE), {"a": a, "b": b, "c": c}, f"{eq}.", eq
    if kind == "compare":
        a, b = rng.sample(range(0, 100 if rng.random() < 0.7 else 1000), 2)
        eq = f"{max(a, b)} is bigger than {min(a, b)}"
        return rng.choice(COMPARE), {"a": a, "b": b}, f"{eq}.", eq
    if kind == "even":
        a = rng.randrange(0, 100)
        eq = f"{a} is {'odd' if a % 2 else 'even'}"
        return rng.choice(EVEN), {"a": a}, f"{eq}.", eq
    if kind == "next":
        a = rng.randrange(0, 99)
        eq = f"after {a} comes {a + 1}"
        return rng.choice(NEXT), {"a": a}, f"After {a} comes {a + 1}.", eq
    if rng.random() < 0.75:
        return _out_of_range(rng)
    big = rng.randrange(100, 10 ** rng.randrange(3, 7))
    slots = {"big": big, "big2": rng.randrange(100, 100000), "a": rng.randrange(2, 100), "b": rng.randrange(2, 1000),
             "x": rng.randrange(13, 100), "x2": rng.randrange(13, 100)}
    t = rng.choice(BIG)
    return t, slots, rng.choice(OUT_OF_RANGE), None
