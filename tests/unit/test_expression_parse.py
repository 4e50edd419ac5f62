"""The language of expressions as text: numbers, texts, strength of operators, and refusals with their place."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from expressions import OPERANDS, TEXT_OPERANDS, Grammar, host_scope
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tracescope.attach.expression.c_text import compile_condition, compile_value
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.mistake import ExpressionError
from tracescope.attach.expression.parse import DEEPEST, MOST, parse, parse_list
from tracescope.attach.expression.python_value import evaluate
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.syntax import Binary, Index, Logic, Member, Name, Number, String, Unary
from tracescope.attach.expression.tokens import LONGEST
from tracescope.attach.expression.types import Integer, Operand
from tracescope.errors import UsageError
from tracescope.printable import printable

SCOPE = host_scope()


def plain(node) -> object:
    """A tree as nested tuples."""
    match node:
        case Number(_, value):
            return value
        case String(_, data):
            return data
        case Name(_, word):
            return word
        case Member(_, base, name):
            return (".", plain(base), name)
        case Index(_, base, number):
            return ("[]", plain(base), number)
        case Unary(_, sign, operand):
            return (sign, plain(operand))
        case Binary(_, sign, left, right):
            return (sign, plain(left), plain(right))
        case Logic(_, sign, parts):
            return (sign, *map(plain, parts))


def tree(text: str) -> object:
    return plain(parse(text).root)


def refused(make: Callable[[], object]) -> ExpressionError | None:
    try:
        make()
    except ExpressionError as error:
        return error
    return None


def refusal(text: str, reader=parse) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        reader(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("10", 10),
        ("0x1F", 31),
        ("0X1f", 31),
        ("0o17", 15),
        ("0644", 0o644),
        ("0b101", 5),
        ("4K", 4096),
        ("0x10K", 16384),
        ("2M", 2 << 20),
        ("1G", 1 << 30),
        ("0.5K", 512),
        ("7ns", 7),
        ("3us", 3000),
        ("3µs", 3000),
        ("3μs", 3000),
        ("5ms", 5_000_000),
        ("1.5ms", 1_500_000),
        ("2s", 2_000_000_000),
        ("18446744073709551615", 2**64 - 1),
        ("0xffffffffffffffff", 2**64 - 1),
        ('"a b"', b"a b"),
        ("'a\"b'", b'a"b'),
        (r'"\n\t\r\e\\\"\'\x41\xff"', b"\n\t\r\x1b\\\"'A\xff"),
        ('"größe"', "größe".encode()),
        ('"\udcff"', b"\xff"),
        ('""', b""),
    ],
)
def test_literals(text: str, value: int | bytes):
    assert tree(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("08", "no number"),
        ("0x", "no number"),
        ("1_000", "no number"),
        ("10k", "no number"),
        ("1.5.2", "no number"),
        ("10UL", "no number"),
        ("1.", "no number"),
        ("0x1.8", "no number"),
        ("1.5", "not a whole number"),
        ("1.0000000000000000000000000000000001s", "not a whole number"),
        ("18446744073709551616", "64 bits"),
        ("99999999999G", "64 bits"),
        ("9" * 4000, "64 bits"),
        (r'"\q"', "escape"),
        (r'"\x4"', "escape"),
        (r'"a\x00b"', "NUL"),
        ('"\ud800"', "no encoding"),
        ('"abc', "no end"),
        ("'abc\\'", "no end"),
        ("#", "means nothing"),
        ("größe", "means nothing"),
        ("\x1b[31m", "means nothing"),
    ],
)
def test_what_is_no_literal_is_refused(text: str, why: str):
    error = refusal(text)
    assert why in error.why
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1 || 2 && 3", "1 || (2 && 3)"),
        ("1 && 2 == 3", "1 && (2 == 3)"),
        ("1 & 2 == 3", "(1 & 2) == 3"),
        ("1 == 2 | 3", "1 == (2 | 3)"),
        ("1 | 2 ^ 3 & 4", "1 | (2 ^ (3 & 4))"),
        ("1 & 2 << 3", "1 & (2 << 3)"),
        ("1 << 2 + 3", "1 << (2 + 3)"),
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("8 / 2 % 3", "(8 / 2) % 3"),
        ("!a == 1", "(!a) == 1"),
        ("-a * ~b", "(-a) * (~b)"),
        ("- - a", "-(-a)"),
        ("args.a->b[1].c == 1", "((args.a)->b)[1].c == 1"),
        ("a\n&&\tb", "a && b"),
    ],
)
def test_strength_of_operators(text: str, meant: str):
    assert tree(text) == tree(meant)


def test_a_row_of_the_same_logic_is_flat():
    assert tree("a && b && c || d") == ("||", ("&&", "a", "b", "c"), "d")
    assert tree("(a && b) && c") == ("&&", ("&&", "a", "b"), "c")
    assert len(parse(" || ".join(["a"] * 400)).root.parts) == 400


@pytest.mark.parametrize(
    ("text", "column", "why", "fix"),
    [
        ("", 1, "a value was expected", ""),
        ("   ", 4, "a value was expected", ""),
        ("a ==", 5, "a value was expected", ""),
        ("== a", 1, "a value was expected", ""),
        ("a b", 3, "an operator was expected", ""),
        ("a = 1", 3, "no comparison", "write =="),
        ("a and b", 3, "no operator", "write &&"),
        ("a or b", 3, "no operator", "write ||"),
        ("not a", 1, "no operator", "write !"),
        ("a < b < c", 7, "do not chain", "a < b && b < c"),
        ("a == b != c", 8, "do not chain", ""),
        ("(a", 1, "never closed", ")"),
        ("a && (b || (c)", 6, "never closed", ")"),
        ("(a b)", 4, "an operator or `)`", ""),
        ("a)", 2, "an operator was expected", ""),
        ("()", 2, "a value was expected", ""),
        ("args.", 6, "a name was expected", ""),
        ("args.5", 6, "a name was expected", ""),
        ("a[b]", 3, "an index is a number", ""),
        ("a[-1]", 3, "an index is a number", ""),
        ("a[1", 4, "`]` was expected", ""),
        ("a, b", 2, "an operator was expected", ""),
        ("a ? b : c", 3, "means nothing", ""),
        ("a == 'x", 6, "no end", "close it"),
        ("a && 5x", 6, "no number", "numbers are"),
    ],
)
def test_a_refusal_says_where_and_what_was_expected(text: str, column: int, why: str, fix: str):
    error = refusal(text)
    assert isinstance(error, UsageError)
    assert (error.at + 1, f"column {column}" in error.what) == (column, True)
    assert why in error.why
    assert fix in error.fix


def test_the_place_is_pointed_at_in_long_and_hostile_text():
    error = refusal("a && " * 100 + "\x1b[2J" + " && b" * 100)
    line, caret = error.pointed.split("\n")
    assert line[caret.index("^")] == "\\"
    assert len(line) < 100
    assert (line + error.what + error.why).isprintable()
    assert refusal("ab =\n").pointed == "ab =\\n\n   ^"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "(" * 50_000 + "a" + ")" * 50_000,
        "!" * 100_000 + "a",
        "-" * (LONGEST - 1) + "a",
        "(" * 2000 + "a" + ")" * 2000,
        "!(" * 40 + "a" + ")" * 40,
        "a" + "[0]" * 1000,
        "args" + ".a" * 1000,
        "+".join(["a"] * 2000),
        "'" + "\\x41" * 1000,
        "a" * LONGEST + "a",
    ],
)
def test_hostile_nesting_is_refused_and_not_followed(text: str):
    assert refusal(text, lambda text: check_condition(parse(text), SCOPE)).at <= LONGEST


def test_the_deepest_and_longest_that_is_accepted_goes_all_the_way():
    level, text = "1 || 1 && 1 == (1 | 1 ^ 1 & 1 << 1 + 1 * {})", "args.u8"
    while not (error := refused(lambda: compile_condition(check_condition(parse(text), SCOPE), "e"))):  # noqa: B023
        text = f"({level.replace('{}', text)})"
    assert error.why == f"this is nested more than {DEEPEST} levels deep"
    assert text.count("||") == (DEEPEST - 2) // 9 + 1
    long = " || ".join(f"args.u8 == {n}" for n in range(230))
    assert len(long) > 3800
    compile_condition(check_condition(parse(long), SCOPE), "e")
    compile_value(check_value(parse("args.u8" + " + args.u8" * (DEEPEST - 3)), SCOPE), "e")


def test_a_list_has_commas_between_its_expressions():
    listed = parse_list(" args.fd , comm, args.count / 4K ,(pid)")
    assert [item.title for item in listed] == ["args.fd", "comm", "args.count / 4K", "(pid)"]
    assert [plain(item.root) for item in listed] == [
        (".", "args", "fd"),
        "comm",
        ("/", (".", "args", "count"), 4096),
        "pid",
    ]
    assert parse_list("comm")[0].root == parse("comm").root
    assert [item.title for item in parse_list('comm == ",", pid')] == ['comm == ","', "pid"]


@pytest.mark.parametrize(
    ("text", "column"), [("", 1), (",", 1), ("a,", 3), ("a,,b", 3), ("a b", 3), (",".join("a" * (MOST + 1)), 17)]
)
def test_a_list_without_an_expression_somewhere_is_refused(text: str, column: int):
    assert refusal(text, parse_list).at + 1 == column


WORDS = """
    args comm O_CREAT ENOENT SIGKILL args.node->nowhere args.node.where args.node->names[2] args.node->names[1][3]
    args.node->points[9].x args.node args.node->inner args.node->label args.node->value.part args.node->tiny
    1 0x10 5ms 077 1.5 -1 2**64 18446744073709551615 "a" 'a*' "*b" "a*b" "a?" " ( ) [0] [ ] , . -> =~ = + - * / % & | ^
    ~ ! < > << >> == != <= >= && || \\ é \0
"""
fragments = st.sampled_from([*OPERANDS, *TEXT_OPERANDS, *WORDS.split(), " ", "\n"])
soups = st.lists(fragments, max_size=12).map(" ".join) | st.lists(fragments, max_size=12).map("".join) | st.text()


@given(
    soups | st.integers(0, 2**32).map(lambda seed: Grammar(random.Random(seed), OPERANDS, TEXT_OPERANDS).condition())
)
@example("args.node->where =~ 'a*' && args.node->compare")
def test_any_text_is_compiled_or_refused_with_its_place(text: str):
    for check, make in ((check_condition, compile_condition), (check_value, compile_value)):
        if error := refused(lambda: make(check(parse(text), SCOPE), "e")):  # noqa: B023
            assert 0 <= error.at <= len(text)
            assert error.why
            assert printable(str(error)) == str(error)
            assert f"column {error.at + 1}" in error.what


@given(st.lists(soups, max_size=4).map(",".join))
def test_any_list_is_read_or_refused_with_its_place(text: str):
    error = refused(lambda: parse_list(text))
    assert error is None or 0 <= error.at <= len(text)


@st.composite
def small_expressions(draw, depth: int = 4):
    """What Python reads the same: numbers that stay small, operators that bind there as here."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["pid", "tid", "low", "1", "2", "7", "100"]))
    sign = draw(
        st.sampled_from(["+", "-", "*", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "-x", "~x", "()", "()"])
    )
    left = draw(small_expressions(depth=depth - 1))
    if sign in ("-x", "~x"):
        return f"{sign[0]}({left})"
    right = draw(small_expressions(depth=depth - 1))
    if sign == "()":
        return f"({left})"
    return f"({left}) {sign} ({right})" if sign in "==!=<=>=" else f"{left} {sign} {right}"


@given(small_expressions(), st.integers(0, 50), st.integers(0, 50), st.integers(-50, 50))
def test_python_reads_and_computes_the_same(text: str, pid: int, tid: int, low: int):
    numbers = {"pid": Integer(4, signed=False), "tid": Integer(2, signed=True), "low": Integer(8, signed=True)}
    scope = Scope({name: Operand(type_, name) for name, type_ in numbers.items()})
    values = {"pid": pid, "tid": tid, "low": low}
    try:
        typed = check_value(parse(text), scope)
    except ExpressionError as error:
        # Python chains comparisons, and has no opinion on what is always so.
        assume("is always" not in error.why and "is never" not in error.why and "chain" not in error.why)
        raise
    assert evaluate(typed, values) == int(eval(text, {}, values))
