"""Templates and contexts on which the interpreter and Jinja2 must agree: (template, context). check_jinja.py runs them.

SAME: the same text, or an error with the same message. FAIL: both fail, each in its own words. DIFFERENT: (template, context,
what the interpreter makes of it, why it differs)."""

X = {"x": "ab c", "n": 5, "f": 2.5, "t": True, "no": False, "nil": None, "l": [3, 1, 2], "s": ["b", "A", "c"], "e": [], "d": {"b": 1, "a": "two", "C": None},
     "u": "Grüße, Ελλάς 日本 🙂", "html": "<a href=\"x\">T&C's</a>", "nested": {"a": {"b": [10, {"c": "deep"}]}},
     "people": [{"name": "Bo", "age": 30, "tags": ["x", "y"]}, {"name": "al", "age": 25}, {"name": "Cy", "age": 30, "ok": True}],
     "messages": [{"role": "system", "content": " Sys "}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo\n", "tool_calls": [
         {"type": "function", "function": {"name": "f", "arguments": {"q": "é", "k": [1, 2.0, True, None]}}}]}, {"role": "tool", "content": "{\"a\": 1}"}]}

EXPRESSIONS = """
1 + 2 * 3 - 4 / 2
7 // 2, -7 // 2, 7 // -2, 7 % 3, -7 % 3, 7 % -3
7.5 // 2, -7.5 // 2, 7.5 % 2, -7.5 % 2, 7.5 % -2
2 ** 3 ** 2, 2 ** -1, 2 ** 0.5, (-2) ** 2, -2 ** 2
1 / 3, 10 / 5, 1e16, 1e15, 123456789012345678.0, 1e-4, 1e-5, 0.1 + 0.2, 1.0, 100.0, 1.5e300, 5e-324
1_000, 0x1F, 0b101, 0o17, 1_0.5, 1e3, 1E-2
'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] ~ {'a': 1}
'a' 'b' "c"
'a\\n\\t\\x41\\u00e9\\U0001F642\\101\\q\\\\'
"it's", 'say "x"', 'both \\' and "'
x + '!' * 3
[1, 2] + [3], (1, 2) + (3,), [1] * 3, 'ab' * 0, 'ab' * -1, 2 * 'x'
1 == 1.0, 1 == true, '1' == 1, none == none, [1, 2] == [1, 2], {'a': 1} == {'a': 1.0}, (1,) == [1]
1 < 2 < 3, 1 < 3 < 2, 1 < 2 > 1, 'a' < 'b', [1, 2] < [1, 3], (1,) < (1, 2), 'Z' < 'a'
1 in [1, 2], 3 not in [1, 2], 'b' in 'abc', 'x' in d, 'a' in d, '' in '', 1 in {1: 2}, none in [none]
not true, not 0, not '' and 1, 1 and 0 or 3, 0 or '' or 'z', none and 1, 1 or undefinedthing
'yes' if t else 'no', 'yes' if no else 'no', 'x' if no, ('x' if no)|default('d')
1 if false else 2 if false else 3
[1, 2, 3][0], [1, 2, 3][-1], [1, 2, 3][1:], [1, 2, 3][:-1], [1, 2, 3][::-1], [1, 2, 3, 4][1:3], [1, 2, 3, 4][::2], [1, 2, 3, 4][-2:]
'hello'[0], 'hello'[-1], 'hello'[1:3], 'hello'[::-1], 'hello'[10:], 'hello'[:100], 'hello'[4:1], 'hello'[4:1:-1], u[0], u[1:5], u[-1]
(1, 2, 3)[1:], range(10)[2:5], range(10)[::3]|list, range(5)|list, range(1, 10, 3)|list, range(5, 0, -2)|list, range(3)
l[5], l[5] is defined, d.zz, d['zz'], d.a, d['a'], d.b + 1, nested.a.b[1].c, nested['a']['b'][0]
d, l, s, nil, t, f, people[0], (1,), (), [], {}, (1, 'a', none)
{'a': 1, 2: 'b', none: 3, 1.5: 4, true: 5, (1, 2): 6}
{'a': 1, 'a': 2}, {1: 'a', 1.0: 'b', true: 'c'}
-n, +n, -f, -true, +true, not n, --n
true + true, true * 3, false - 1
[1, [2, [3, {'k': (4,)}]]]
'%s and %s' % ('a', 1), '%d%%' % 5, '%5.1f|%-5s|%05d|%+d|%x|%X|%o|%e|%g|%c' % (3.14159, 'ab', 42, 7, 255, 255, 8, 12345.678, 0.0001, 'z')
'%(a)s-%(b)r' % {'a': 1, 'b': 'x'}, '%s' % [1], '%s' % {'a': 1}, 'a' % missing, 'a' % [1], 'a' % {}, '%r' % 'q', '%.2s' % 'abc', '%*d' % (5, 3)
'%i %u %5s|%-8s|%08.3f|%#x|% d' % (3.7, 2, 'é', 'ü', 3.14159, 255, 5)
'{} {}'.format(1, 'a'), '{1}{0}'.format('a', 'b'), '{a}{b}'.format(a=1, b=2), '{{}}'.format(), '{0.name}{0[age]}'.format(people[0])
'{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:+}|{:,}|{:.2f}|{:x}|{:#x}|{:b}|{:%}|{:e}|{:g}'.format('a', 'b', 'c', 'd', 42, 5, 1234567, 3.14159, 255, 255, 5, 0.25, 12345.678, 0.5)
'{!r} {!s:>4} {:{w}}'.format('a', 'b', 'c', w=3), '{:.3}'.format('abcdef'), '{:.3}'.format(3.14159), '{:_}'.format(1234567), '{:}'.format(2.0), '{:5}|'.format(true)
1 is odd, 2 is even, 9 is divisibleby 3, 9 is divisibleby(2), 1 is not odd
x is string, n is string, n is number, f is number, t is number, n is integer, t is integer, f is integer, f is float, n is float, t is boolean, n is boolean
d is mapping, l is mapping, l is iterable, x is iterable, n is iterable, nil is iterable, missing is iterable, d is iterable
l is sequence, x is sequence, d is sequence, n is sequence, (1,) is sequence, range(2) is sequence, missing is sequence
nil is none, n is none, missing is none, missing is defined, missing is undefined, n is defined, nil is defined, nil is not none
t is true, no is false, 1 is true, 'True' is true, n is sameas 5, nil is sameas none, t is sameas true
n is eq 5, n is ne 5, n is lt 6, n is le 5, n is gt 5, n is ge 5, n is equalto 5, n is greaterthan(4), n is lessthan 4, n == 5 is true
'a' is in 'abc', 1 is in [1], 'abc' is lower, 'ABC' is upper, 'Ab' is lower, 'upper' is filter, 'nope' is filter, 'odd' is test, range is callable, n is callable
x is defined and x is string or no, not x is defined, x is not defined
(missing is defined) ~ '', missing, missing ~ 'x', [missing], missing|default('d'), nil|default('d'), nil|default('d', true), ''|d('e', boolean=true)
missing == missing2, missing != 1, missing in [1], not missing
x|upper, x|lower, x|capitalize, x|title, 'hELLO wORLD'|title, "it's o'neil-x (y) [z]"|title, "it's o'neil"|capitalize
'  pad  '|trim, 'xxaxx'|trim('x'), '\\u3000 a\\u00a0\\u200b'|trim, x|length, l|length, d|length, u|length, u|count, ''|length, (1, 2)|length, range(7)|length
l|sort, l|sort(reverse=true), s|sort, s|sort(case_sensitive=true), s|sort(true, true), people|sort(attribute='age')|map(attribute='name')|list, people|sort(attribute='age,name')|map(attribute='name')|list
'cab'|sort, d|sort, {'b': 1, 'A': 2}|sort
d|dictsort, d|dictsort(true), {'b': 2, 'a': 3}|dictsort(false, 'value'), {'b': 2, 'a': 3}|dictsort(reverse=true), d|items|list, d.items()|list
l|first, l|last, e|first, e|last, 'abc'|first, 'abc'|last, d|first, d|last, range(3)|last
l|min, l|max, s|min, s|max, e|min, e|max, people|max(attribute='age'), people|min(attribute='age'), s|max(case_sensitive=true)
l|sum, people|sum(attribute='age'), [0.1, 0.2]|sum, [[1], [2]]|sum(start=[]), e|sum, l|sum(start=10)
l|join, l|join(', '), s|join('-'), [1, none, true, 1.5]|join('|'), people|join(', ', attribute='name'), 'abc'|join('.'), d|join(','), missing|join('x'), l|join(1)
people|map(attribute='age')|list, people|map(attribute='zz', default='-')|list, s|map('upper')|list, s|map('replace', 'A', 'z')|join, people|map(attribute='tags.0')|list, people|map(attribute='tags.0', default='?')|list, people|map(attribute='tags')|map('default', [])|list
l|select('odd')|list, l|reject('odd')|list, l|select('gt', 1)|list, [0, 1, '', 'a', none]|select|list, [0, 1, '', 'a', none]|reject|list, l|select('in', [1, 2])|list, l|select('==', 1)|list, l|select('divisibleby', 3)|list
people|selectattr('ok')|list, people|rejectattr('ok')|map(attribute='name')|list, people|selectattr('age', 'equalto', 30)|map(attribute='name')|list, people|selectattr('name', 'in', ['al'])|list|length, people|selectattr('tags', 'defined')|list|length, people|rejectattr('tags', 'undefined')|list|length
[1, 2, 1, 'a', 'A']|unique|list, ['a', 'A', 'b']|unique(case_sensitive=true)|list, people|unique(attribute='age')|map(attribute='name')|list
l|reverse|list, 'abc'|reverse, d|reverse|list, (1, 2)|reverse|list, u|reverse
'abc'|list, d|list, range(3)|list, (1, 2)|list, d.keys()|list, d.values()|list, l|list
[1, 2, 3, 4, 5]|batch(2)|list, [1, 2, 3]|batch(2, 'x')|list, [1, 2, 3, 4, 5]|slice(2)|list, [1, 2, 3, 4, 5]|slice(3, 'x')|list, [1, 2, 3, 4, 5, 6]|slice(3, 0)|list, 'abcde'|batch(2)|map('join')|list
people|groupby('age'), people|groupby('age')|map(attribute='list')|map('length')|list, people|groupby('age')|map(attribute='grouper')|list, people|groupby('ok', default=false)|map('first')|list, s|groupby(0)|list
'3'|int, '3.7'|int, 'x'|int, 'x'|int(7), 3.9|int, -3.9|int, true|int, nil|int, '0x1f'|int(base=16), '0x1f'|int(0, 0), ' 12 '|int, '1_000'|int, '-5'|int, '+5'|int, '1e3'|int, ''|int, 'ff'|int(base=16), [1]|int(3), '0b11'|int(0, 2)
'3'|float, '3.7'|float, 'x'|float, 'x'|float(1), 5|float, '1e3'|float, nil|float, ' 2.5 '|float, '1_0.5'|float, true|float, '.5'|float, '5.'|float
42.55|round, 42.55|round(1), 42.55|round(1, 'floor'), 42.55|round(1, 'ceil'), 42.4|round|int, 2.5|round, 3.5|round, -2.5|round, 5|round, 1234|round(-2), 0.125|round(2), 2.675|round(2), 42.1|round(0, 'ceil'), 5|round(0, 'floor'), 1e20|round
-5|abs, 5.5|abs, (-5.5)|abs, true|abs
x|replace('b', 'X'), 'aaa'|replace('a', 'b', 2), 'aaa'|replace('', '-'), 'a1b1'|replace(1, 'z'), 'aaa'|replace('a', '')
'a\\nb\\n\\nc'|indent, 'a\\nb'|indent(2), 'a\\nb'|indent(2, true), 'a\\n\\nb'|indent(2, false, true), 'a\\nb\\n'|indent(1), 'a\\nb'|indent('> '), 'a\\nb'|indent(width=3, first=true), ''|indent, 'a\\r\\nb'|indent(1), 'a\\n'|indent(2, true, true)
html|escape, html|e|e, html|safe|e, html|forceescape, (html|e) + '<b>', '<b>' + (html|e), (html|safe) ~ '<b>', html|e ~ '<b>', (html|e)|upper, (html|safe)|replace('<', '['), '<b>'|safe is escaped, '<b>' is escaped, (('<b>'|safe) + '<i>')|length, ('<%s>'|safe) % '<x>', '<%s>'|safe|format('<y>'), ('<{}>'|safe).format('&'), ('<'|safe).join(['>', 'a', 1])
[html|e], ['<a>'|safe]
x|center(10) ~ '|', 'abc'|center(6) ~ '|', 'abcd'|center(7) ~ '|', 'abcd'|center(2) ~ '|'
'a b  c'|wordcount, u|wordcount, ''|wordcount, "it's x-y"|wordcount
'%s is %d'|format('a', 3), '%(x)s'|format(x=1), '%5s|'|format('é'), '%s'|format([1])
'hello world foo'|truncate(9), 'hello world foo'|truncate(9, true), 'hello world foo'|truncate(9, false, '~'), 'hello world foo'|truncate(9, true, '', 0), 'hello'|truncate(3), 'hello wo'|truncate(5), 'hello world foo bar'|truncate(11, leeway=0)
'a b&c/d?é'|urlencode, {'a b': 1, 'c': 'd&/'}|urlencode, [('a', 'b c'), ('d', 2)]|urlencode, 5|urlencode
'<p>Hello &amp; <b>you</b>\\n  there</p><!-- no -->'|striptags, 'a < b'|striptags
1000|filesizeformat, 1|filesizeformat, 0|filesizeformat, 1000000|filesizeformat, 1024|filesizeformat(true), 123456789|filesizeformat, 1500.5|filesizeformat, '2048'|filesizeformat(true)
{'class': 'a b', 'id': none, 'x': '<'}|xmlattr, {'a': 1}|xmlattr(false), {}|xmlattr
'a b c d e f g'|wordwrap(5), 'aaaaaaaaaa bb'|wordwrap(4), 'one two\\nthree four five'|wordwrap(9), 'aaaaaaaaaa bb'|wordwrap(4, false), 'well-known words'|wordwrap(6), 'x y z'|wordwrap(3, wrapstring='|'), u|wordwrap(3), '   a   b'|wordwrap(2), 'well-known e-mail x-y --- a1-b2 up-to-date'|wordwrap(7), 'a-b-c-d-e-f-g-h'|wordwrap(4), 'abcd      e'|wordwrap(4), '      '|wordwrap(3), 'mother-in-law'|wordwrap(8), 'mother-in-law'|wordwrap(3, break_on_hyphens=false), ''|wordwrap(3), 'aa bb'|wordwrap(1, false)
{'b': 1, 'a': [1, 2]}|pprint, 'x'|pprint, 1.5|pprint, none|pprint
5|string ~ 'x', 1.0|string, none|string, [1, 'a']|string, true|string|lower, missing|string
missing|upper, missing|length, missing|list, missing|sort, missing|map('upper')|list, missing|trim, missing|first, missing|items|list, missing|join, missing|replace('a', 'b'), missing|sum, missing|reverse|list, missing|unique|list, missing|title, missing|e, missing|select|list
people[0]|attr('name'), d|attr('items') is defined, d|attr('zz')
d|tojson, l|tojson, x|tojson, u|tojson, nil|tojson, t|tojson, f|tojson, 1.0|tojson, 1e100|tojson, (1, 2)|tojson, {1: 2, none: 3, true: 4, 1.5: 5}|tojson, 'q"\\\\ \\n\\t\\x01\\x7f\\u2028/<>&'|tojson, []|tojson, {}|tojson
nested|tojson(indent=2), l|tojson(indent=0), [[], {}, [1]]|tojson(indent=4), d|tojson(indent='--'), u|tojson(ensure_ascii=true), 'é🙂\\x7f'|tojson(true), d|tojson(separators=(',', ':')), {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true), nested|tojson(indent=none), d|tojson(none, 1), messages[2]|tojson
x.upper(), x.lower(), x.title(), x.capitalize(), "they're bill's".title(), 'aB'.swapcase(), 'ß'.upper(), 'ŉ ﬁ'.upper(), 'ΑΣ ΣΑΣ'.lower(), 'ǆ'.title(), 'İ'.lower(), 'ﬃx'.capitalize(), 'ÀÉ'.lower(), 'straße'.title()
' a b '.strip() ~ '|', ' a '.lstrip() ~ '|', ' a '.rstrip() ~ '|', 'xyax'.strip('xy'), 'éaé'.strip('é'), 'a\\n'.rstrip('\\n'), 'abc'.strip(none), 'abcabc'.lstrip('ab'), '\\u2003a\\x1f\\x85'.strip()
'a,b,,c'.split(','), 'a b  c '.split(), ' a  b c'.split(none, 1), 'a,b,c'.split(',', 1), 'a,b,c'.rsplit(',', 1), ' a b  c '.rsplit(none, 1), 'a,b,c'.split(',', maxsplit=1), 'abc'.split('x'), ''.split(), ''.split(','), 'a--b--c'.split('--'), 'a--b--c'.split('--')[-1], 'aXbXc'.rsplit('X'), 'a b c'.split(' ', 0), ' a b '.split(none, 0), 'a b'.rsplit(none, 0), 'aaa'.rsplit('aa', 1)
'a\\nb\\r\\nc\\rd\\x0be\\u2028f'.splitlines(), 'a\\nb\\n'.splitlines(true), ''.splitlines(), '\\n'.splitlines()
'abc'.startswith('a'), 'abc'.startswith(('x', 'ab')), 'abc'.endswith('c'), 'abc'.endswith(('x', 'bc')), 'abc'.startswith(''), 'abc'.startswith('b', 1), 'abc'.endswith('b', 0, 2), 'abc'.startswith('', 5), 'abc'.startswith(())
'abcabc'.find('c'), 'abcabc'.rfind('c'), 'abcabc'.find('z'), 'abcabc'.find('c', 3), 'abcabc'.find('a', 1, 3), 'abcabc'.index('b'), u.find('日'), 'abc'.find(''), 'abc'.rfind(''), 'abc'.find('', 3), 'abc'.find('', 4), 'abcabc'.rindex('a'), 'abc'.find('c', -1)
'abcabc'.count('a'), 'aaaa'.count('aa'), 'abc'.count(''), 'abc'.count('b', 2), u.count('')
'aXbX'.replace('X', '-'), 'aXbX'.replace('X', '-', 1), 'ab'.replace('', '.'), 'ab'.replace('', '.', 2), 'é'.replace('é', 'e'), ''.replace('', 'x'), ''.replace('', 'x', 0)
', '.join(['a', 'b']), ''.join(s), '-'.join('abc'), ','.join(d), ','.join(s|map('upper'))
'a=b=c'.partition('='), 'a=b=c'.rpartition('='), 'abc'.partition('='), 'abc'.rpartition('=')
'prefix-x'.removeprefix('prefix-'), 'x.txt'.removesuffix('.txt'), 'abc'.removeprefix('z'), 'abc'.removesuffix('')
'12'.isdigit(), '1a'.isdigit(), ''.isdigit(), '²'.isdigit(), '²'.isdecimal(), '½'.isnumeric(), 'ab'.isalpha(), 'aé日'.isalpha(), 'a1'.isalnum(), ' \\t'.isspace(), 'AB1'.isupper(), 'ab1'.islower(), '1'.isupper(), 'Ab Cd'.istitle(), 'abc'.isascii(), 'é'.isascii(), 'a b'.isalpha(), 'ª'.islower()
'5'.zfill(3), '-5'.zfill(4), 'abc'.ljust(5) ~ '|', 'abc'.rjust(5, '.'), 'abc'.center(8, '*'), 'ab'.center(5, '*'), 'abc'.zfill(2), 'é'.rjust(3, 'ü'), 'a\\tb'.expandtabs(4)
d.get('a'), d.get('zz'), d.get('zz', 5), d.keys(), d.values(), d.items(), d.copy(), 'a' in d.keys(), d.items()|length, d.keys()|first
l.index(1), l.count(3), (1, 2, 1).count(1), (1, 2).index(2), [1, [2]].index([2])
namespace(a=1).a, namespace({'b': 2}).b, namespace(), namespace(a=1, b='x'), dict(a=1, b=2), dict([('x', 1)]), dict({'a': 1}, b=3), dict()
2.0.is_integer(), 2.5.is_integer(), (1.5).is_integer()
nested.items()|list|tojson, people|map('tojson')|list, (people|map(attribute='name')|list) + ['z']
l|sort|first ~ s|last|upper, (l|length > 2) and 'many' or 'few', x|length + 1, -n|abs, 2 * 3|string, n|string + 'x' if t
strftime_now('%Y-%m-%d %H:%M:%S'), strftime_now('%d %b %Y'), strftime_now('%A, %B %-d, %Y'), strftime_now('%a %e %j %U %W %w %y %I %p %%'), strftime_now('%c|%x|%X|%D|%F|%T|%R|%h|%C|%u|%G-W%V|%g'), strftime_now('%_d|%-m|%-H|%0e|%k|%l|%s'), strftime_now('é%Yü'), strftime_now('')
cycler('a', 'b').next(), joiner('|')() ~ joiner()(), range(3) == range(3), range(0) is defined
[1, 2, 3] | map('string') | join, [[1, 2], [3]] | map('sum') | list, [['b', 1], ['a', 2]]|sort, [(2, 'x'), (1, 'y')]|map('first')|list, ['b', 'a']|map('attr', 'zz')|list|length, [{'a': 2}, {'a': 1}]|sort(attribute='a'), ['x']|map('indent', 2, true)|list
d['a']['b'], x.zz, n.zz, nil.zz, x['zz'], n['zz'], l['zz'], l.zz, d[1], d[nil], d[[1]], x[nil], l['0'], people.0.name, l.0
messages[0]['role'] == 'system', messages[-1].role, messages[1:]|length, messages|map(attribute='role')|join(','), messages[-1]['content'][:4], messages|selectattr('role', 'ne', 'tool')|list|length, messages|rejectattr('role', 'in', ['tool', 'user'])|map(attribute='content')|map('trim')|join
'a' < 'é' < '日' < '🙂', 'é'|length, '🙂'[0], 'a🙂b'[1:], '🙂b'.index('b')
[true, false, none]|tojson, [true, false, none], '\\x00\\x1b\\u200b\\u00ad\\ue000é', ['\\x00\\x1b\\u200b\\u00ad\\ue000é\\U000e0001\\n\\r\\\\']
9223372036854775807, -9223372036854775807, 1.7976931348623157e308, 1e22, 1e21, 123456.789e3, 0.00001234, 1/0.3
loop is defined, caller is defined
'a' ~ ('b' if true else 'c') ~ 'd', ('a', 'b')[n > 3], {'k': 'v'}['k'], {'k': {'x': [1]}}.k.x[0], [d.a, d.b]|join
10 - 2 - 3, 100 / 10 / 2, 2 * 3 % 4, 'a' ~ 'b' * 2, 1 - -1, 1 + +1
not 1 == 2, not (1 == 2), 1 == 2 or 2 == 2, 1 not in [2] and 2 in [2], none is none == true
'abc' in 'xabcx' in ['xabcx'], 1 < 2 == true, 3 > 2 > 1 != 0
"{{ not }}", '{% if %}', '{# c #}'
x == 'ab c' and n == 5, (x), ((n)), (x, n), (x,), [x, n,], {'a': x,}
""".strip().splitlines()

SAME = [("{{ (%s) }}" % line, X) for line in EXPRESSIONS]
SAME += [("{%% for v in (%s,) %%}{{ v }}|{%% endfor %%}" % line, X) for line in EXPRESSIONS]

STATEMENTS = [
    # text and white space
    "a\nb\n", "a\n\n", "\n", " ", "a\r\nb\rc\r\n",
    "{% if t %}\n  x\n{% endif %}\ny", "  {% if t %}  \n  x\n  {% endif %}  \ny", "{%- if t -%}\n x \n{%- endif -%}\n y", " {%+ if t +%}\n x\n {%+ endif %}\n",
    "  {# c #}\n  a", "a {# c #} b", "a\n  {#- c -#}\n  b", "{# a\nb #}\nc", "{#- -#} a", "a{#-#}b", "{#+ x +#}\ny", "a  {{ n }}  b", "a\n{{ n }}\nb", "a  {{- n -}}  b", " {{+ n }} ", "{{-1}} {{ -1 }}", "{{- -1 }}",
    "{% raw %}{{ a }}{% if %}{% endraw %}", "  {% raw %}  \n x {% endraw %}\ny", "{%- raw -%}  {{ x }}  {%- endraw -%}  b", "{% raw %}\n  {% endraw %}x", "a {%- raw %} x {% endraw -%} b",
    "{{ '}}' }}{{ \"%}\" }}{{ '{{' }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': {}}}}}", "{ { } } {a} %} }} #}", "{{n}}{{x}}", "{{\nn\n}}", "{%\nif t\n%}x{%\nendif\n%}",
    "\u00a0{% if t %}a{% endif %}\u2003\n", "é\u3000{%- if t %}a{% endif -%}\u00a0 b", "{% if t %}a{% endif %}\n\nb", "x{% if t %}\n{% endif %}", "  {%- if t %}\n  a{% endif %}",
    "{% if t %}{% if no %}{% else %}b{% endif %}{% endif %}", "  {% if t %}{{ n }}{% endif %}  ", "\t{% if t %}\n\t\ta\n\t{% endif %}\n\tb",
    # if
    "{% if no %}a{% elif t %}b{% else %}c{% endif %}", "{% if no %}a{% elif nil %}b{% else %}c{% endif %}", "{% if e %}a{% endif %}", "{% if d %}a{% endif %}{% if {} %}b{% endif %}{% if 0.0 %}c{% endif %}{% if ' ' %}d{% endif %}",
    "{% if missing %}a{% else %}b{% endif %}", "{% if x and not no %}a{% endif %}", "{% if 1, 2 %}a{% endif %}", "{% if (l|select('gt', 5)) %}always{% endif %}", "{% if t: %}a{% endif %}",
    # for
    "{% for i in l %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for i in l %}[{{ loop.previtem }}|{{ loop.nextitem }}]{% endfor %}", "{% for i in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}", "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in e %}a{% else %}none{% endfor %}", "{% for i in missing %}a{% else %}none{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}{{ v }}{% endfor %}", "{% for c in 'héy' %}{{ c }}.{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3)), (4, [5, 6])] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}", "{% for i in l if i > 1 %}{{ loop.index }}:{{ i }}{{ loop.length }}{{ loop.last }} {% endfor %}", "{% for i in l if i > 9 %}x{% else %}none{% endfor %}",
    "{% for i in range(10) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in range(5) %}{% if i is odd %}{% continue %}{% endif %}{{ i }}{% endfor %}", "{% for i in l %}{% for j in l %}{% if j == i %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{{ loop.index }};{% endfor %}",
    "{% for i in range(3) %}{% set q %}a{% if i == 1 %}{% continue %}{% endif %}b{% endset %}{{ q }}{% endfor %}", "{% for i in range(3) %}{% for j in range(3) %}{{ loop.index }}{% endfor %}{{ loop.index }}|{% endfor %}",
    "{% for n in [1, [2, [3, 4]], 5] recursive %}{% if n is iterable %}({{ loop(n) }}){% else %}{{ n }}{% endif %}{% endfor %}", "{% for n in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ loop.depth }}{{ n.v }}{{ loop(n.c) }}{% endfor %}",
    "{% for i in l|sort|reverse %}{{ i }}{% endfor %}", "{% for i in l[1:] %}{{ i }}{% endfor %}", "{% for i in l|select('odd') %}{{ loop.index }}{{ i }}{{ loop.last }}{% endfor %}", "{% for i in range(0) %}{% else %}e{% endfor %}", "{% for i in l, s %}{{ i }}{% endfor %}", "{% for x in x %}{{ x }}-{% endfor %}{{ x }}",
    "{% for i in l %}{{ loop }}{% endfor %}", "{% for i in l %}{% if loop.first %}{% set y = i %}{% endif %}{{ y }}{% endfor %}", "{% for g, items in people|groupby('age') %}{{ g }}:{{ items|map(attribute='name')|join(',') }};{% endfor %}",
    "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{% set g = l|select('odd') %}{{ g|first }}{{ g|first }}{{ g|list }}", "{% for i in (l|map('string')) %}{{ i }}{{ loop.length }}{% endfor %}",
    "{% set ns = namespace(stop=false) %}{% for i in l if not ns.stop %}{{ i }}{% set ns.stop = true %}{% endfor %}", "{% set ns = namespace(stop=false) %}{% for i in l if not ns.stop %}{{ i }}{{ loop.index }}{% set ns.stop = true %}{% endfor %}",
    # set
    "{% set a = 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set (a, b) = [1, 2] %}{{ a }}{{ b }}", "{% set a = 1, %}{{ a }}", "{% set a = 1 if t else 2 %}{{ a }}", "{% set a %}x{{ n }}y{% endset %}{{ a }}{{ a|length }}", "{% set a | upper %}x{{ n }}{% endset %}{{ a }}", "{% set a | replace('x', 'y') | upper %}x{% endset %}{{ a }}",
    "{% set ns = namespace(v=0) %}{% for i in l %}{% set ns.v = ns.v + i %}{% endfor %}{{ ns.v }}", "{% set ns = namespace() %}{% set ns.a %}block{% endset %}{{ ns.a }}", "{% set ns = namespace(a=[]) %}{% for i in l %}{% set ns.a = ns.a + [i * 2] %}{% endfor %}{{ ns.a }}",
    "{% set a = 1 %}{% for i in l %}{% set a = a + i %}{{ a }},{% endfor %}{{ a }}", "{% set a = 1 %}{% if t %}{% set a = 2 %}{% endif %}{{ a }}", "{% for i in l %}{% set z = i %}{% endfor %}{{ z is defined }}", "{% set x = x + '!' %}{{ x }}", "{% set x = 1 %}{{ x }}", "{% set messages = messages[1:] %}{{ messages|length }}{% for m in messages %}{{ m.role }}{% endfor %}",
    "{% if no %}{% set q = 1 %}{% endif %}{{ q is defined }}", "{% if t %}{% set q = 1 %}{% endif %}{{ q }}", "{% set q = missing %}{{ q is defined }}{{ q }}", "{% set ns = namespace(a=1) %}{{ ns.b is defined }}{{ ns.b }}{{ ns['a'] }}", "{% set ns = namespace(a=1) %}{% set other = ns %}{% set other.a = 2 %}{{ ns.a }}",
    "{% set add_generation_prompt = true if add_generation_prompt is not defined else add_generation_prompt %}{{ add_generation_prompt }}", "{% if not q is defined %}{% set q = false %}{% endif %}{{ q }}", "{% for i in l %}{{ y }}{% endfor %}{% set y = 1 %}", "{% for i in l %}{{ x }}{% endfor %}{% set x = 1 %}{{ x }}", "{{ x }}{% for i in l %}{{ x }}{% endfor %}{% set x = 1 %}{{ x }}",
    "{% if no %}{% set x = 1 %}{% endif %}{{ x }}", "{% if no %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}", "{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% set x = 1 %}{{ m() }}", "{% for i in [1] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}", "{% for i in [1, 2] %}{% if i == 2 %}{{ x }}{% endif %}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% for i in [1, 2] %}{% if no %}{% set x = 9 %}{% endif %}{{ x }}{% endfor %}", "{% for i in [1, 2] %}{% if i == 1 %}{% set x = 9 %}{% endif %}{{ x }}{% endfor %}",
    # with
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with a = n %}{% with a = a + 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}{% endwith %}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% for i in l %}{% with j = i * 2 %}{{ j }}{{ loop.index }}{% endwith %}{% endfor %}",
    # macros
    "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(1, c='z') }}|{{ m(b=1, a=0) }}|{{ m() }}", "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, a=3) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in {{ n }}{% endcall %}", "{% macro m() %}[{{ caller(1, b=2) }}]{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{% if caller is defined %}{{ caller() }}{% else %}none{% endif %}{% endmacro %}{{ m() }}{% call m() %}c{% endcall %}", "{% macro m(n) %}{% if n > 0 %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% set q = 1 %}{% macro m() %}{{ q }}{% set q = 2 %}{{ q }}{% endmacro %}{{ m() }}{{ q }}", "{% macro m() %}{{ q }}{% endmacro %}{% set q = 7 %}{{ m() }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m('y') }}{{ x }}", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}  x  {% endmacro %}{{ m()|trim }}{{ m() ~ '|' }}{{ m()|length }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.caller }}", "{% macro m() %}a\n{% endmacro %}{{ m() + 'b' }}", "{% macro m(l) %}{% for i in l %}{{ i }}{{ loop.index }}{% endfor %}{% endmacro %}{% for j in [1, 2] %}{{ m(l) }}{{ loop.index }};{% endfor %}", "{% macro m(a) -%} {{ a }} {%- endmacro %}[{{ m(1) }}]",
    "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}o{% endmacro %}{{ outer() }}{{ inner is defined }}", "{% set f = range %}{{ f(3)|list }}", "{% set m = 'abc'.upper %}{{ m() }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(1, *[2]) }}{{ m(b=5, *[6]) }}", "{{ 'a-b'.split(*['-']) }}{{ dict(**{'a': 1}) }}{{ range(*[1, 4])|list }}",
    "{% macro m(messages) %}{{ messages }}{% endmacro %}{{ m(1) }}{{ messages|length }}", "{% macro m(loop) %}{{ loop }}{% endmacro %}{{ m(1) }}", "{% macro wrap() %}<{{ caller() }}>{% endmacro %}{% for i in l %}{% call wrap() %}{{ i }}{{ loop.index }}{% endcall %}{% endfor %}",
    "{% macro t(spec) %}{% if spec.type == 'array' %}{{ t(spec['items']) }}[]{% elif spec.type is string %}{{ spec.type }}{% else %}{% for s in spec.type %}{{ s }}{{ ' | ' if not loop.last }}{% endfor %}{% endif %}{% endmacro %}{{ t({'type': 'array', 'items': {'type': ['a', 'b']}}) }}",
    # filter blocks, generation
    "{% filter upper %}a{{ n }}b{% endfilter %}", "{% filter replace('a', 'x') | upper %}abc{% endfilter %}", "{% filter trim %} {% for i in l %}{{ i }}{% endfor %} {% endfilter %}", "{% generation %}a{{ n }}{% endgeneration %}", "{% for m in messages %}{% generation %}{% set q = m.role %}{{ q }}{{ loop.index }}{% endgeneration %}{% endfor %}{{ q is defined }}", "  {% generation %}\n x\n  {% endgeneration %}\n", "{%- generation -%} a {%- endgeneration -%}",
    "{% filter indent(2) %}a\nb\n{% endfilter %}", "{% print n %}{% print n, x %}",
    # things with state
    "{% set j = joiner('; ') %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}", "{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}", "{% set ns = namespace(l=l, d=d) %}{{ ns.l[0] }}{{ ns.d.a }}",
    # a chat
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content']|trim + '<|end|>\\n' }}{% if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{{ c.function|tojson(indent=4) }}{{ c.function.arguments|tojson }}{% for k, v in c.function.arguments|items %}{{ k }}: {{ v if v is string else v|tojson }}{% endfor %}{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{{ system }}{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ '!' }}{% endif %}{{ loop.index0 }}{{ m.role }}{% endfor %}",
    "{% set ns = namespace(last=-1) %}{% for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}{% if ns.last == -1 and m.role == 'user' %}{% set ns.last = i %}{% endif %}{% endfor %}{{ ns.last }}", "{% for m in messages %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}{% endfor %}",
    "{{ messages[2]['tool_calls'][0]['function']['arguments'].items()|map('join', '=')|join('&') }}", "{% set roles = messages|map(attribute='role')|list %}{{ roles.index('user') if 'user' in roles else -1 }}", "{{- messages[0].content | trim -}} {{- '' -}}",
    "{% for m in messages %}{%- if m.role == 'user' -%}\n  U:{{ m.content }}\n{%- elif m.role == 'assistant' %}\n  A:{{ m.content }}\n{%- endif %}\n{% endfor %}",
    # lazily unknown
    "{% if no %}{{ x|nosuch }}{% endif %}ok", "{{ 1 if t else x|nosuch }}", "{{ x|nosuch if no else 2 }}", "{{ 1 if t else x is nosuch }}", "{% if 'nosuch' is filter %}{{ x|nosuch }}{% else %}no{% endif %}",
]
SAME += [(s, X) for s in STATEMENTS if s]

# errors with Jinja2's own message
SAME += [(s, X) for s in [
    "{{ missing.a }}", "{{ d.zz.y }}", "{{ d['zz']['y'] }}", "{{ l[9].x }}", "{{ nil.a.b }}", "{{ n.a.b }}", "{{ x.foo() }}", "{{ missing() }}", "{{ missing + 1 }}", "{{ 1 + missing }}", "{{ 'a' + missing }}", "{{ -missing }}", "{{ missing < 1 }}", "{{ missing[0] }}", "{{ d.zz() }}", "{{ messages[10]['role'] }}", "{{ messages[10].role }}", "{{ x.zz.y }}", "{{ x[99].y }}",
    "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ 'a' + none }}", "{{ [1] + 'a' }}", "{{ [1] + (1,) }}", "{{ none + 1 }}", "{{ {} + {} }}", "{{ 1 - 'a' }}", "{{ 'a' * 'b' }}", "{{ 'a' * 1.5 }}", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1.0 / 0 }}", "{{ -'a' }}", "{{ 'a' < 1 }}", "{{ none < 1 }}", "{{ 1 >= 'x' }}", "{{ {} > 1 }}", "{{ 1 in 'a' }}", "{{ none in 'a' }}", "{{ 1 in 2 }}", "{{ 'a' in none }}",
    "{% for i in 5 %}{% endfor %}", "{% for i in none %}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, b in l %}{% endfor %}", "{% set a, b = 1, 2, 3 %}", "{{ 5|length }}", "{{ none|length }}", "{{ 5|list }}", "{{ 5|join }}", "{{ none|join(',') }}", "{{ [1, 'a']|sort }}", "{{ [1, 'a']|max }}", "{{ missing|tojson }}", "{{ [missing]|tojson }}", "{{ {'a': missing}|tojson }}", "{{ (l|map('string'))|tojson }}", "{{ d.keys()|tojson }}", "{{ range|tojson }}",
    "{{ raise_exception('No way: ' ~ n) }}", "{{ raise_exception('') }}", "{{ l.append(1) }}", "{{ d.update({}) }}", "{{ d.pop('a') }}", "{{ d.__class__ }}{{ x.__class__.y }}", "{{ l.append }}|{{ d.pop }}|{{ x.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ l.sort() }}", "{{ d.setdefault('a', 1) }}", "{% set n.x = 1 %}", "{% set d.x = 1 %}",
    "{{ 'abc'.index('z') }}", "{{ 'a'.split('') }}", "{{ ','.join([1]) }}", "{{ ','.join(1) }}", "{{ '%d' % 'a' }}", "{{ '%s %s' % 'a' }}", "{{ '%s' % (1, 2) }}", "{{ '%y' % 1 }}", "{{ '{} {}'.format(1) }}", "{{ '{' .format(1) }}", "{{ '}'.format(1) }}", "{{ 'a'.startswith(1) }}", "{{ 'a'.startswith(('a', 1), 0) }}", "{{ 'x'() }}", "{{ none() }}", "{{ d() }}", "{{ n() }}", "{{ range(1, 2, 0) }}", "{{ [1][::0] }}", "{{ l['a':] }}", "{{ d[1:] }}", "{{ n[1:] }}", "{% filter length %}a{% endfilter %}", "{{ l|truncate(1, leeway=0) }}", "{{ l|wordwrap }}", "{{ {[]: 1} }}", "{{ {{}: 1} }}", "{{ d.get([]) }}", "{{ [[1]]|unique|list }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}", "{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{{ ('x' if no).y }}", "{{ e|first + 1 }}", "{{ e|min + 1 }}", "{{ missing|int }}", "{{ missing|float }}", "{{ missing|abs }}", "{{ missing|dictsort }}", "{{ 5|items|list }}", "{{ 5|dictsort }}", "{% for i in l %}{{ loop.previtem + 1 }}{% endfor %}", "{% for i in l %}{{ loop.zz.y }}{% endfor %}", "{% for i in l %}{{ loop(l) }}{% endfor %}",
    "{{ namespace(a=1).b.c }}", "{{ namespace(1) }}", "{{ dict([1]) }}", "{{ range(200000) }}", "{{ l.index(99) }}", "{{ cycler() }}", "{{ 5|indent }}", "{{ missing|indent }}", "{{ 'abc'|truncate(1) }}", "{{ l|map('string')|last }}", "{{ 5|last }}", "{{ 5|first }}", "{{ 'a'|sum }}", "{{ ['a']|sum }}", "{{ [{}]|sum(attribute='x') }}", "{{ l|map('string')|length }}", "{{ (l|map('string'))[0].x }}",
] if s]

# both fail, in words of their own
FAIL = [(s, X) for s in [
    "{{ x", "{{ x }", "{% if %}", "{% if t %}", "{% endif %}", "{% else %}", "{% for %}{% endfor %}", "{% for i %}{% endfor %}", "{% for i in l %}{% endif %}", "{% nosuch %}", "{{ x|nosuch }}", "{{ x is nosuch }}", "{% if t %}{% for i in l %}{{ i|nosuch }}{% endfor %}{% endif %}", "{{ 'a }}", "{{ (1 }}", "{{ [1 }}", "{{ {1: }}", "{{ {'a'} }}", "{{ 1 + }}", "{{ * 2 }}", "{{ a b }}", "{{ 1 2 }}", "{{ x. }}", "{{ x| }}", "{{ x is }}", "{{ ) }}", "{{ f(a=1, 2) }}", "{{ f(**a, b) }}", "{{ a = 1 }}", "{{ ! }}", "{{ x ? 1 : 2 }}", "{{ $x }}", "{{ 'a' \\ }}", "{{ }}", "{% %}", "{% set %}", "{% set 1 = 2 %}", "{% set true = 1 %}", "{% set a = %}", "{% set a.b.c = 1 %}", "{% macro %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(1) %}{% endmacro %}", "{% call x %}{% endcall %}", "{% filter %}{% endfilter %}", "{# open", "a\n  {% raw +%}\n{% endraw +%}\nb", "{% for i in l %}{% set loop = 5 %}{{ loop }}{% endfor %}", "{% raw %}open", "{% break %}", "{% continue %}", "{% for i in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% include 'a' %}", "{% import 'a' as b %}", "{% from 'a' import b %}", "{% extends 'a' %}", "{% do l.append(1) %}", "{{ x is string is string }}", "{{ not }}", "{{ 1 if }}", "{{ '\\x4' }}", "{{ '\\u12' }}", "{% with a %}{% endwith %}", "{% for i in l recursive if x %}{% endfor %}", "{% if t %}{% elif %}{% endif %}", "{{ a[ }}", "{{ a[] }}", "{{ f(, ) }}", "{{ f(1,, 2) }}", "{{ [1,, 2] }}",
    "{{ 'a'.upper(1) }}", "{{ x|upper(1) }}", "{{ x|replace('a') }}", "{{ x|indent(1, 2, 3, 4) }}", "{{ x|default(zz=1) }}", "{{ l|map|list }}", "{{ l|map(zz=1)|list }}", "{{ l|selectattr|list }}", "{{ l|select('nosuch')|list }}", "{{ l|map('nosuch')|list }}", "{{ 5|round(0, 'x') }}", "{{ 'x'|round }}", "{{ 'x'|abs }}", "{{ d|dictsort(false, 'x') }}", "{{ x.split(1) }}", "{{ x.strip(1) }}", "{{ 'a'.center(3, 'xy') }}", "{{ range() }}", "{{ range('a') }}", "{{ joiner(1, 2) }}", "{{ strftime_now() }}", "{{ strftime_now(1) }}", "{{ raise_exception() }}", "{{ d.get() }}", "{{ '%(a)s' % 1 }}", "{{ '%(a)s' % {} }}", "{{ '{a}'.format() }}", "{{ '{:d}'.format('a') }}", "{{ '{:q}'.format(1) }}", "{{ f(*1) }}", "{{ dict(**1) }}", "{{ l|tojson(indent={}) }}", "{{ l|batch }}", "{{ l|slice }}", "{{ 1 is divisibleby }}", "{{ l|groupby }}", "{{ n|xmlattr }}", "{{ [1, 2]|join(',', 'a').b.c }}", "{{ 'abc'|wordwrap(0) }}", "{{ 'x'|format(1) }}", "{{ 9 is divisibleby 0 }}", "{{ x is odd }}", "{{ x.encode(1, 2, 3) }}",
] if s]

DIFFERENT = [
    ("{{ 2 ** 64 }}", {}, None, "integers have 64 bits"),
    ("{{ 9223372036854775807 + 1 }}", {}, None, "integers have 64 bits"),
    ("{{ l|map('string') }}", X, None, "Python prints an address"),
    ("{{ range }}", {}, None, "Python prints an address"),
    ("{{ x|random }}", X, None, "a prompt is the same every time"),
    ("{{ lipsum() }}", {}, None, "a prompt is the same every time"),
    ("{% block a %}x{% endblock %}", {}, None, "templates that inherit are not chat templates"),
    ("{{ self is defined }}", {}, "False", "no blocks, so no self"),
    ("{{ 1e400 }}{{ [-1e400] }}{{ [1e400]|tojson }}", {}, "inf[-inf][Infinity]", "Jinja2 compiles the second to a name that is not there"),
    ("{{ (-8) ** 0.5 }}", {}, None, "no complex numbers"),
]
