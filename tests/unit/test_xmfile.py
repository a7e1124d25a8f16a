"""The evaluator of domain files against what Python 2.7 made of the same programs."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xend.config.xmfile import OptionValue, Run, load
from xend.config.xmlimits import ExitRequested
from xend.errors import ConfigError

DATA = Path(__file__).parents[1] / "data" / "python2.txt"


def cases() -> list[tuple[str, str]]:
    _, *texts = DATA.read_text().rstrip("\n").split("\n---\n")
    parts = (text.partition("\n=>\n") for text in texts)
    return [(source, expected) for source, _, expected in parts]


CASES = cases()


def run(path: Path, **variables: str) -> tuple[str, str, dict[str, OptionValue] | None]:
    """What the file prints, its end ("!! code text") and its options."""
    out, err = io.StringIO(), io.StringIO()
    context = Run(
        stdout=out, stderr=err, env={"HOME": "/root"}, cwd="/", argv=["xm"], variables=variables
    )
    try:
        options = load(str(path), context)
    except ConfigError as error:
        return out.getvalue(), f"!! 1 {err.getvalue()}Error: {error}", None
    except ExitRequested as leave:
        return out.getvalue(), f"!! {leave.code} {err.getvalue()}{leave.text}", None
    return out.getvalue(), "", options


def options_of(tmp_path: Path, text: str, **variables: str) -> dict[str, OptionValue]:
    path = tmp_path / "domain"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    _, end, options = run(path, **variables)
    assert options is not None, end
    return options


def refusal(tmp_path: Path, text: str | bytes) -> ConfigError:
    path = tmp_path / "domain"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    sink = io.StringIO()
    context = Run(stdout=sink, stderr=sink, env={}, cwd="/", argv=["xm"], variables={})
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(str(path), context)
    assert time.process_time() - started < 2  # under 1 s on an idle machine
    return caught.value


@pytest.mark.parametrize("number", range(len(CASES)))
def test_as_python_2(number: int, tmp_path: Path) -> None:
    source, expected = CASES[number]
    path = tmp_path / "domain"
    path.write_text(source + "\n")
    printed, end, _ = run(path)
    got = (printed + end).replace(str(path), "FILE")
    assert got.rstrip("\n") == expected.rstrip("\n")


def test_only_four_types_make_options(tmp_path: Path) -> None:
    options = options_of(
        tmp_path,
        "a=1\nb='t'\nc=1.5\nd=[1]\ne=True\nf=3L\ng=u'u'\nh=(1,)\ni={}\nj=None\nk=2**70\n",
    )
    assert options.items() >= {"a": 1, "b": "t", "c": 1.5, "d": [1]}.items()
    assert not set("efghijk") & options.keys()


def test_variables_of_the_command_line_are_there_as_text(tmp_path: Path) -> None:
    options = options_of(tmp_path, "name = 'vm%d' % int(vmid)\nt = vmid * 2\n", vmid="3")
    assert options["name"] == "vm3"
    assert options["t"] == "33"


def test_a_declared_variable_is_checked(tmp_path: Path) -> None:
    text = (
        "def check(name, value):\n"
        "    if not value: raise ValueError('must be set')\n"
        "    return int(value)\n"
        "xm_vars.var('vmid', use='number', check=check)\n"
        "xm_vars.check()\n"
        "memory = 64 * vmid\n"
    )
    assert options_of(tmp_path, text, vmid="4")["memory"] == 256
    error = refusal(tmp_path, text)
    assert str(error) == "vmid - must be set"


def test_text_in_utf_8_stays_text(tmp_path: Path) -> None:
    options = options_of(tmp_path, "description = 'café'\nn = len('é')\nx = '\\xc3\\xa9'\n")
    assert (options["description"], options["n"], options["x"]) == ("café", 2, "é")


def test_an_included_file(tmp_path: Path) -> None:
    (tmp_path / "common").write_text("memory = 333\nextra = 'from include'\n")
    options = options_of(tmp_path, f"execfile('{tmp_path}/common')\nmemory += 1\n")
    assert (options["memory"], options["extra"]) == (334, "from include")


def test_a_file_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("one\ntwo\n")
    options = options_of(
        tmp_path,
        f"f = open('{tmp_path}/list')\na = f.readline().strip()\nb = [l.strip() for l in f]\n"
        f"with open('{tmp_path}/list') as g: c = len(g.read())\n",
    )
    assert (options["a"], options["b"], options["c"]) == ("one", ["two"], 8)


def test_what_a_list_holds_is_kept(tmp_path: Path) -> None:
    options = options_of(tmp_path, "l = [1, 2L, u'u', ('t', 1), None, True, [[]]]\n")
    assert options["l"] == [1, 2, "u", ("t", 1), None, True, [[]]]


REFUSED = [
    ("import os\nos.system('reboot')\n", 2, "os.system is not available"),
    ("import os\nx = os.popen('date').read()\n", 2, "os.popen is not available"),
    ("import subprocess\n", 1, "it starts processes"),
    ("import urllib\n", 1, "it uses the network"),
    ("import os\nos.remove('/etc/passwd')\n", 2, "os.remove is not available"),
    ("open('/tmp/x', 'w')\n", 1, "for writing"),
    ("x = (1).__class__\n", 1, "__class__"),
    ("x = ().__class__.__bases__[0].__subclasses__()\n", 1, "__class__"),
    ("x = '{0.__class__}'.format(1)\n", 1, "the attribute in {0.__class__}"),
    ("class A:\n    pass\n", 1, "a class"),
    ("def f():\n    yield 1\nf()\n", 2, "yield"),
    ("import time\ntime.sleep(9)\n", 2, "time.sleep"),
    ("x = raw_input()\n", 1, "raw_input"),
    ("__import__('os')\n", 1, "__import__"),
    ("import re\nre.match('(a+)+$', 'a' * 40)\n", 2, "on a text of 40 characters"),
    ("import re\nre.match('a*a*a*a*b', 'a' * 500)\n", 2, "on a text of 500 characters"),
    ("open('/dev/zero')\n", 1, "not a regular file"),
]


@pytest.mark.parametrize(("text", "line", "reason"), REFUSED)
def test_what_is_refused_is_named_with_its_place(
    text: str, line: int, reason: str, tmp_path: Path
) -> None:
    error = refusal(tmp_path, text)
    assert reason in str(error)
    assert str(error).startswith(f"{tmp_path}/domain:{line}:")
    assert "write instead: " in str(error)
    assert error.fields["line"] == line
    assert error.fields["column"] >= 1


def test_a_refusal_cannot_be_caught(tmp_path: Path) -> None:
    error = refusal(tmp_path, "import os\ntry:\n    os.system('x')\nexcept:\n    pass\n")
    assert "os.system" in str(error)


ENDLESS = {
    "a loop": "while 1: pass\n",
    "recursion": "global f\ndef f(n): return f(n + 1)\nf(0)\n",
    "doubling a text": "x = 'a'\nwhile 1: x = x + x\n",
    "a huge list": "x = [0] * 10**9\n",
    "a huge range": "range(10**9)\n",
    "a huge power": "x = 9**9**9\n",
    "a huge shift": "x = 1 << 10**9\n",
    "a huge width": "x = '%1000000000d' % 1\n",
    "a huge width given": "x = '%*d' % (10**9, 1)\n",
    "a huge field": "x = '{:>1000000000}'.format(1)\n",
    "padding": "x = 'a'.ljust(10**9)\n",
    "replacing": "x = 'a' * 1000\nx = x.replace('a', x).replace('a', x)\n",
    "joining": "x = 'a' * 100000\n''.join([x] * 100000)\n",
    "a list into itself": "l = [1]\nwhile 1: l.extend(l)\n",
    "a list in itself": "l = []\nl.append(l)\ndisk = l\n",
    "nested twice": "x = [1]\nfor i in range(40): x = [x, x]\nprint x == [x]\n",
    "nested twice as a key": "x = (1,)\nfor i in range(40): x = (x, x)\nhash(x)\n",
    "nested twice as text": "x = (1,)\nfor i in range(40): x = (x, x)\nprint x\n",
    "parentheses": "x = " + "(" * 10000 + ")" * 10000,
    "brackets": "x = " + "[" * 10000,
    "signs": "x = " + "-" * 10000 + "1",
    "blocks": "".join(" " * i + "if 1:\n" for i in range(200)),
    "calls": "f" + "()" * 20000,
    "generators": "sum(1 for a in range(1000) for b in range(1000) for c in range(1000))\n",
    "itself": "execfile(xm_file)\n",
    "exec of itself": "s = 'exec s'\nexec s\n",
    "printing": "while 1: print 'a' * 10000\n",
    "searching": "x = range(100000)\nfor i in range(100000): -1 in x\n",
    "arguments": "def f(*a): return a\nx = range(1000000)\nwhile 1: f(*x)\n",
    "splitting": "x = 'a ' * 500000\nwhile 1: x.split()\n",
    "looking for a text": "x = 'a' * 1000000\nwhile 1: ('a' * 999 + 'b') in x\n",
    "dropping letters": "x = 'b' * 500000\nwhile 1: x.translate(None, 'a' * 500000)\n",
    "a file again and again": "while 1: open(xm_file)\n",
    "all files of a host": "import glob\nwhile 1: glob.glob('/*/*/*/*/*/nothing')\n",
    "programs within": "while 1: eval('1 +' * 1000 + '1')\n",
    "many words": "x = 1\n" * 30000,
    "an expression of nothing": "import re\nre.match('(|)' * 40 + 'x', 'aa')\n",
    "an expression with a comment": (
        "import re\nre.compile('( # )\\n a*)*b', re.X).match('a' * 30)\n"
    ),
    "an expression at each place": "import re\nre.search('a*x', 'a' * 1000000)\n",
    "expressions": "import re\nwhile 1: re.search('a*x', 'a' * 1000)\n",
    "rounds of nothing": "import re\nre.match('(?:(?:(?:^){1000}){1000}){1000}b', 'a')\n",
    "a long replacement": "import re\nwhile 1: re.sub('(.)', r'\\1' * 900, 'a' * 500)\n",
    "replacing what is ahead": "import re\nre.sub('(?=(.*))', r'\\1' * 500, 'a' * 1000)\n",
    "comparing texts": "x = 'a' * 1000000\ny = 'a' * 1000000\nfor i in range(100000): x == y\n",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_nothing_takes_for_ever(name: str, tmp_path: Path) -> None:
    refusal(tmp_path, ENDLESS[name])


def test_expressions_that_are_quick(tmp_path: Path) -> None:
    """And what Python 2 made of empty matches."""
    options = options_of(
        tmp_path,
        "import re\n"
        "mac = re.match('([0-9a-f]{2}(:[0-9a-f]{2}){5})$', '00:16:3e:00:00:01').group(1)\n"
        "ip = re.match(r'(\\d{1,3}\\.){3}\\d{1,3}$', '10.0.0.1').group(0)\n"
        "flags = re.search('flags.*vmx', 'flags : fpu\\n' * 3000 + 'flags : vmx') is not None\n"
        "x = [re.sub('x*', '-', 'abxd'), re.split('x*', 'axbc'), re.findall('x*', 'axb'),\n"
        "     re.subn('a', 'b', 'aa'), [m.group(0) for m in re.finditer('[0-9]', 'a1b2')],\n"
        "     re.sub('(a)(b)', r'\\2\\1', 'abab'), re.findall('(a)(b)?', 'ab a'),\n"
        "     re.sub('a', 'b', 'aaa', 2), re.split('(,)', 'a,b'), re.findall('A', 'aA', re.I),\n"
        "     re.sub('[0-9]', lambda m: str(int(m.group(0)) + 1), 'a1'),\n"
        "     re.findall('[[a]', 'a[b')]\n"
        "flags = int(flags)\n",
    )
    assert (options["mac"], options["ip"]) == ("00:16:3e:00:00:01", "10.0.0.1")
    assert options["flags"] == 1
    assert options["x"] == [
        *("-a-b-d-", ["a", "bc"], ["", "x", "", ""], ("bb", 2), ["1", "2"], "baba"),
        *([("a", "b"), ("a", "")], "bba", ["a", ",", "b"], ["a", "A"], "a2", ["a", "["]),
    ]


def test_fields_within_fields_and_generators(tmp_path: Path) -> None:
    options = options_of(
        tmp_path,
        "a = '{0:{1}d}|{n:{w}}'.format(7, 3, n='x', w=2)\n"
        "b = [x for x in (y * 2 for y in range(3))]\n"
        "c = [k for k in {'a': 1}.iterkeys()]\n"
        "d = 'abc'.encode('hex') + '6162'.decode('hex')\n",
    )
    assert [options[name] for name in "abcd"] == ["  7|x ", [0, 2, 4], ["a"], "616263ab"]


def test_files_that_a_pattern_finds(tmp_path: Path) -> None:
    for name in ("a.cfg", "b.cfg", ".c.cfg", "d/e.cfg", "d/f.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    options = options_of(
        tmp_path,
        "import glob\n"
        f"here = '{tmp_path}/in/'\n"
        "a = [x[len(here):] for x in glob.glob(here + '*.cfg')]\n"
        "b = [x[len(here):] for x in glob.glob(here + '*/[ef].*')]\n"
        "c = glob.glob(here + 'a.cfg') == [here + 'a.cfg'] and len(glob.glob(here + 'x'))\n"
        "d = [x[len(here):] for x in glob.glob(here + '.*')]\n",
    )
    assert options["a"] == ["a.cfg", "b.cfg"]
    assert options["b"] == ["d/e.cfg", "d/f.txt"]
    assert (options["c"], options["d"]) == (0, [".c.cfg"])


def test_bytes_that_are_not_the_encoding(tmp_path: Path) -> None:
    error = refusal(tmp_path, b"x = 1\ny = '\xff'\n")
    assert error.fields["line"] == 2
    assert error.fields["column"] == 6
    assert "coding" in error.fields["expected"]


def test_a_declared_encoding(tmp_path: Path) -> None:
    options = options_of(tmp_path, "# -*- coding: latin-1 -*-\nx = '\udce9'\n")
    assert options["x"] == "\udce9"
    assert "unknown encoding" in str(refusal(tmp_path, "# coding: klingon\n"))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    assert "too large" in str(refusal(tmp_path, b"a = 1\n" * 1_000_000))


def test_no_text_at_all(tmp_path: Path) -> None:
    assert "NUL" in str(refusal(tmp_path, b"x = 1\n\0\n"))


@given(st.text(alphabet="abx01 =+-*/%()[]{},:.'\"\\\n\t#`<>!&|^~;@$?", max_size=60))
def test_no_text_crashes_the_evaluator(text: str) -> None:
    """Anything is either run, or refused with an error of its own."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "domain"
        path.write_text(text)
        run(path)
