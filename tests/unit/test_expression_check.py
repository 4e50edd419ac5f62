"""Names, types and constants of expressions, and what a condition means where Python alone is asked."""

from __future__ import annotations

import errno
import signal

import pytest
from expressions import FLAGS

from tracescope.attach.expression.check import check_condition, check_number, check_value
from tracescope.attach.expression.guide import GUIDE
from tracescope.attach.expression.mistake import ExpressionError
from tracescope.attach.expression.parse import parse
from tracescope.attach.expression.python_value import Unknown, evaluate, holds
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.typed import Constant, reads, sign_of, type_of
from tracescope.attach.expression.types import (
    LONG,
    UNSIGNED_LONG,
    Array,
    Integer,
    Operand,
    Pointer,
    Space,
    Struct,
    Text,
)

NUMBERS = {
    "fd": Integer(4, signed=True),
    "count": Integer(8, signed=False),
    "ret": LONG,
    "mode": Integer(2, signed=False),
    "flags": Integer(4, signed=False, names=FLAGS),
    "how": Integer(8, signed=False, names={"O_CREAT": 1, "ENOENT": 99, "RESOLVE": 5}),
    "bit": Integer(4, signed=True, bits=1),
}
ARGS = {name: Operand(type_, "0") for name, type_ in NUMBERS.items()}
ARGS |= {
    "filename": Operand(Text(Space.USER), "0"),
    "label": Operand(Text(Space.KERNEL, 8), "0"),
    "big": Operand(Text(Space.KERNEL, 128), "0"),
    "pointer": Operand(Pointer(0, Space.KERNEL), "0"),
    "struct": Operand(Struct(1, Space.KERNEL), "0"),
    "array": Operand(Array(1, 3, Space.KERNEL), "0"),
}
SCOPE = Scope(
    {
        "pid": Operand(Integer(4, signed=False), "pid"),
        "comm": Operand(Text(Space.OWN, 16), "comm"),
        "ret": Operand(LONG, "ret"),
        "duration_ns": Operand(UNSIGNED_LONG, "duration"),
    },
    ARGS,
)


def condition(text: str):
    return check_condition(parse(text), SCOPE)


def value(text: str):
    return check_value(parse(text), SCOPE)


def computed(text: str, **args: int | bytes | None) -> int | bytes:
    return evaluate(value(text), {**args, **{f"args.{name}": it for name, it in args.items()}})


def refusal(text: str, check=condition) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        check(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("args.ret == -ENOENT", -errno.ENOENT),
        ("args.ret == SIGKILL", signal.SIGKILL),
        ("args.ret == -ERESTARTSYS", -512),
        ("args.ret == NULL", 0),
        ("args.ret == true", 1),
        ("args.flags == O_CREAT", 64),
        ("args.how == O_CREAT", 1),
        ("args.how == ENOENT", 99),
        ("O_CREAT == args.flags", 64),
        ("args.ret == 4K * 3 - 1", 12287),
        ("args.ret == ~0", -1),
        ("args.ret == -(1 << 63)", -(1 << 63)),
        ("args.ret == -7 / 2", -3),
        ("args.ret == -7 % 2", -1),
        ("args.ret == (3 > 2) + 1", 2),
        ("args.ret == 1 << 64", 0),
    ],
)
def test_constants_are_named_by_what_is_beside_them_and_computed(text: str, number: int):
    typed = condition(text)
    assert Constant(number) in (typed.left, typed.right)


def test_a_constant_is_looked_up_beside_itself_first_and_then_further_out():
    near = condition("(args.flags & O_CREAT) == args.how")
    assert near.left.right == Constant(64)
    far = condition("(args.count & (1 | RESOLVE)) == args.how")
    assert far.left.right == Constant(5)
    assert condition("args.flags == (O_CREAT | O_EXCL)").right == Constant(192)
    assert "several values here: 0x1 and 0x40" in refusal("(args.flags | args.how) == O_CREAT").why
    assert refusal("args.count == O_CREAT").why == "there is no builtin or constant O_CREAT"


@pytest.mark.parametrize(
    ("text", "column", "why", "fix"),
    [
        ("args.filname == 'x'", 6, "there is no argument filname", "did you mean args.filename"),
        ("args.PID == 1", 6, "there is no argument PID", "args.fd"),
        ("args.pid == 1", 6, "there is no argument pid", "did you mean pid"),
        ("fd == 1", 1, "no builtin or constant fd", "did you mean args.fd"),
        ("PIDD == 1", 1, "no builtin or constant PIDD", "pid"),
        ("args.flags & O_CREATE", 14, "no builtin or constant O_CREATE", "did you mean O_CREAT"),
        ("args.ret == -ENOEN", 14, "no builtin or constant ENOEN", "ENOENT"),
        ("args == 1", 1, "`args` is no value", "the arguments are args.fd, args.count"),
        ("zzzzqqqq", 1, "no builtin or constant zzzzqqqq", "the names are pid, comm, ret"),
        ("pid.x == 1", 5, "pid is a number and has no members", ""),
        ("pid[0] == 1", 4, "pid is a number and has no elements", ""),
        ("comm.x == 1", 6, "comm is a text and has no members", ""),
        ("args.pointer->x == 1", 15, "members of args.pointer are not known", "no BTF"),
        ("args.pointer[1] == 1", 13, "elements of args.pointer are not known", ""),
        ("5.x", 1, "no number", ""),
        ("(5)->x", 2, "members and elements belong to args.NAME", ""),
        ("x.y == 1", 1, "no builtin or constant x", ""),
        ("comm", 1, "comm is a text and no number", 'comm == "text"'),
        ("!comm", 2, "comm is a text and no number", ""),
        ("comm + 1", 1, "comm is a text and no number", ""),
        ("args.struct == 1", 6, "args.struct is a struct and no number", ""),
        ("args.array && 1", 6, "args.array is an array and no number", "args.array[0]"),
        ('"x"', 1, "a number was expected here and this is a text", "=="),
        ("args.fd == 'x'", 6, "a text was expected here", ""),
        ("'x' == 5", 8, "a text was expected here", ""),
        ("'x' == 'y'", 5, "one side of a comparison of texts is an operand", ""),
        ("comm < 'x'", 6, "texts are not compared with <", "== != and =~"),
        ("comm =~ comm", 6, "=~ has a pattern in quotes", ""),
        ("'a*' =~ comm", 6, "one side", "comm =~"),
        ("args.fd =~ 5", 9, "=~ compares texts", "=="),
        ("comm =~ 'abc'", 6, "a pattern has one *", "use =="),
        ("comm =~ '*a*'", 6, "a pattern has one *", '"begin*"'),
        ("comm =~ '*'", 6, "this matches every text", ""),
        ("comm =~ 'a?*'", 6, "a pattern knows * only", ""),
        ("comm =~ '[a]*'", 6, "a pattern knows * only", ""),
        ("comm == 'seventeen-letters'", 6, "comm holds at most 16 bytes, and this text has 17", "=~"),
        ("args.label == '123456789'", 12, "args.label holds at most 8 bytes", ""),
        (f"args.filename == '{'x' * 65}'", 15, "this text has 65 bytes, and at most 64", "=~"),
        ("args.filename == comm", 15, "args.filename is not", "quotes"),
        ("comm == args.big", 6, "args.big is not", "quotes"),
        ("args.fd / 0", 9, "divides by zero", ""),
        ("args.fd % (2 - 2)", 9, "divides by zero", ""),
        ("1 << 63 << 1 == args.count", 9, "does not fit in 64 bits", ""),
        ("-18446744073709551615 == args.ret", 1, "does not fit in 64 bits", ""),
        ("18446744073709551615 + 1 == args.ret", 22, "does not fit in 64 bits", ""),
    ],
)
def test_a_refusal_says_where_why_and_what_instead(text: str, column: int, why: str, fix: str):
    error = refusal(text)
    assert why in error.why
    assert fix in error.fix
    assert error.at + 1 == column


@pytest.mark.parametrize(
    ("text", "why", "fix"),
    [
        ("args.flags == -1", "args.flags is from 0 to 4294967295: it is never == -1", "-1 is 0xffffffff"),
        ("-1 == args.mode", "args.mode is from 0 to 65535: it is never == -1", "-1 is 0xffff"),
        ("args.fd != 0xffffffff", "it is always != 4294967295", ""),
        ("args.flags < 0", "it is never < 0", ""),
        ("0 <= args.count", "it is always >= 0", ""),
        ("args.mode > 64K", "it is never > 65536", ""),
        ("args.bit == 1", "args.bit is from -1 to 0: it is never == 1", ""),
    ],
)
def test_a_comparison_that_says_nothing_is_refused(text: str, why: str, fix: str):
    error = refusal(text)
    assert why in error.why
    assert fix in error.fix


@pytest.mark.parametrize("text", ["args.fd >= -2147483648 + 1", "args.mode < 65535", "args.ret < 0", "args.bit == -1"])
def test_a_comparison_at_the_edge_of_the_range_is_not(text: str):
    assert condition(text)


@pytest.mark.parametrize(
    ("text", "args", "result"),
    [
        ("args.ret < args.count", {"ret": -1, "count": 5}, 1),
        ("args.ret == args.count", {"ret": -1, "count": 2**64 - 1}, 0),
        ("args.count > 9223372036854775807", {"count": 1 << 63}, 1),
        ("args.count - 1", {"count": 0}, -1),
        ("args.count + 1", {"count": 2**64 - 1}, 0),
        ("args.count + args.ret", {"count": 1, "ret": -2}, -1),
        ("args.ret + 1", {"ret": 2**63 - 1}, -(2**63)),
        ("args.count & -8", {"count": 2**64 - 1}, 2**64 - 8),
        ("args.ret & -8", {"ret": -1}, -8),
        ("args.ret & 0xff", {"ret": -1}, 255),
        ("~args.count", {"count": 0}, -1),
        ("-args.count", {"count": 1 << 63}, -(1 << 63)),
        ("-args.ret", {"ret": -(1 << 63)}, -(1 << 63)),
        ("args.ret / 2", {"ret": -7}, -3),
        ("args.ret % 4", {"ret": -7}, -3),
        ("args.ret / args.fd", {"ret": -(1 << 63), "fd": -1}, -(1 << 63)),
        ("args.ret / args.fd", {"ret": 5, "fd": 0}, 0),
        ("args.ret % args.fd", {"ret": 5, "fd": 0}, 0),
        ("args.count / args.ret", {"count": 2**64 - 2, "ret": 2}, 2**63 - 1),
        ("args.count << args.fd", {"count": 1, "fd": 63}, 1 << 63),
        ("args.count << args.fd", {"count": 1, "fd": 64}, 0),
        ("args.count >> args.fd", {"count": 2**64 - 1, "fd": 63}, 1),
        ("args.count >> args.fd", {"count": 2**64 - 1, "fd": 64}, 0),
        ("args.ret >> args.fd", {"ret": -2, "fd": 99}, -1),
        ("args.ret >> args.fd", {"ret": -2, "fd": -1}, -1),
        ("args.ret << args.fd", {"ret": -2, "fd": -1}, 0),
        ("args.fd", {"fd": 2**32 - 1}, -1),
        ("args.mode", {"mode": -1}, 65535),
        ("args.bit", {"bit": 1}, -1),
        ("args.pointer", {"pointer": -1}, 2**64 - 1),
        ("!args.fd", {"fd": 3}, 0),
        ("!args.fd == 0", {"fd": 3}, 1),
        ("(args.fd == 3) + (args.ret == 3)", {"fd": 3, "ret": 3}, 2),
        ("args.fd && args.ret", {"fd": 2, "ret": 4}, 1),
        ("args.fd || args.ret", {"fd": 0, "ret": 0}, 0),
        ("duration_ns > 1.5ms", {"duration_ns": 1_500_001}, 1),
        ("args.filename", {"filename": b"/etc/passwd\0rest"}, b"/etc/passwd"),
        ("args.label", {"label": b"123456789"}, b"12345678"),
        ("args.label == '12345678'", {"label": b"123456789"}, 1),
        ("args.filename =~ '/etc/*'", {"filename": b"/etc/passwd"}, 1),
        ("args.filename =~ '*.so'", {"filename": b"/lib/x.so"}, 1),
        ("args.filename =~ 'a*a'", {"filename": b"a"}, 0),
        ("args.filename =~ 'a*a'", {"filename": b"aa"}, 1),
        ("args.filename != 'a'", {"filename": b""}, 1),
        ("comm == args.label", {"comm": b"same\0x", "label": b"same\0y"}, 1),
    ],
)
def test_what_an_expression_means(text: str, args: dict[str, int | bytes], result: int | bytes):
    assert computed(text, **args) == result


def test_a_condition_that_meets_an_unreadable_operand_is_false():
    for text in ("args.fd == 1", "!(args.fd == 1)", "args.fd != 1 || pid == 1", "args.fd - args.fd == 0"):
        assert not holds(condition(text), {"pid": 1, "args.fd": None})
        assert not holds(condition(text), {"pid": 1})
        assert not holds(condition(text), {"pid": 1, "args.fd": b"text"})
    assert holds(condition("pid == 1 || args.fd == 1"), {"pid": 1, "args.fd": None})
    assert not holds(condition("pid == 2 && args.fd == 1"), {"pid": 1, "args.fd": None})
    long = condition("args.filename =~ '*x'")
    assert holds(long, {"args.filename": b"x" * 503})
    assert not holds(long, {"args.filename": b"x" * 504})
    with pytest.raises(Unknown):
        evaluate(value("args.filename"), {"args.filename": None})


def test_a_value_knows_its_type_and_what_it_reads():
    assert type_of(value("args.flags")) == NUMBERS["flags"]
    assert type_of(value("args.flags & O_CREAT")) == UNSIGNED_LONG
    assert type_of(value("args.count - 1")) == LONG
    assert type_of(value("comm")) == Text(Space.OWN, 16)
    assert type_of(value("comm == 'x'")) == UNSIGNED_LONG
    assert sign_of(value("args.mode")) is None
    typed = condition("args.fd == 1 && (comm =~ 'x*' || !args.fd) && -args.ret < 5 && comm == args.label")
    assert [located.name for located in reads(typed)] == [
        "args.fd",
        "comm",
        "args.fd",
        "args.ret",
        "comm",
        "args.label",
    ]


def test_a_text_alone_is_no_value():
    assert "this text is no value by itself" in refusal('"sshd"', value).why
    assert "is a struct and no number" in refusal("args.struct", value).why
    assert "comm is a text and no number" in refusal("comm", lambda text: check_number(parse(text), SCOPE)).why
    assert check_number(parse("args.count / 4K"), SCOPE) == value("args.count / 4K")


def test_the_guide_tells_the_truth():
    for text in ("args.flags & O_CREAT == 0", 'comm =~ "begin*"', 'comm =~ "*end"', 'comm =~ "begin*end"'):
        assert condition(text)
        assert text.removeprefix("comm ") in GUIDE
    assert "duration_ns > 5ms" in GUIDE
    assert all(len(line) <= 120 for line in GUIDE.splitlines())
