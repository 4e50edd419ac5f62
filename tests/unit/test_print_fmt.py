"""Print formats: arguments split, tables read, expressions computed as C does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.host import SnapshotHost
from tracescope.sources.c_expression import evaluate
from tracescope.sources.print_fmt import fields_in_hex, flag_tables, split_print_fmt
from tracescope.sources.tracefs import parse_format, read_formats

FIXTURES = Path(__file__).parent.parent / "fixtures" / "formats"
CONVERSION = re.compile(r"%[-+ #0]*(\*|\d+)?(?:\.(\*|\d*))?(?:hh|h|ll|l|z|L|t)?([a-zA-Z%])")


def arguments_wanted(print_format: str) -> int:
    return sum(
        (kind != "%") + (width == "*") + (digits == "*") for width, digits, kind in CONVERSION.findall(print_format)
    )


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_every_print_fmt_of_a_recorded_host_has_an_argument_for_each_conversion(
    host: str, request: pytest.FixtureRequest
):
    snapshot: SnapshotHost = request.getfixturevalue(host)
    events = read_formats(snapshot).formats
    assert len(events) > 1300
    for event in events:
        print_format, arguments = split_print_fmt(event.print_fmt)
        assert len(arguments) == arguments_wanted(print_format), event.probe


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_every_table_of_a_recorded_host_names_a_field_of_its_event(host: str, request: pytest.FixtureRequest):
    snapshot: SnapshotHost = request.getfixturevalue(host)
    count = 0
    for event in read_formats(snapshot).formats:
        names = {f.name for f in event.fields}
        tables = flag_tables(event.print_fmt)
        count += len(tables)
        assert {table.field for table in tables} <= names, event.probe
        assert all(f"REC->{table.field}" in table.expression for table in tables)
    assert count > 150


def test_a_table_of_symbols():
    (table,) = flag_tables('"%s", __print_symbolic(REC->vec, { 0, "HI" }, { 1, "TIMER" }, { -1, ((void *)0) })')
    assert (table.field, table.kind, table.expression) == ("vec", "symbolic", "REC->vec")
    assert table.names == ((0, "HI"), (1, "TIMER"))


def test_a_table_of_flags_in_an_old_format():
    event = parse_format((FIXTURES / "sched_switch-2.6.31.txt").read_bytes(), "sched")
    (table,) = flag_tables(event.print_fmt)
    assert (table.field, table.kind, table.delimiter) == ("prev_state", "flags", "|")
    assert dict(table.names)[16] == "Z"
    assert len(table.names) == 8


def test_values_are_expressions_and_unknown_ones_leave_the_others():
    (table,) = flag_tables(
        '"%s", (REC->f) ? __print_flags_u64((unsigned long)REC->f & ~0x3, " | ", {( unsigned long)(( gfp_t)((((1UL))) '
        '<< (6))), "IO" }, {(1 << 5) | 2, "A" "\\x42" }, { VM_FAULT_OOM, "OOM" }, {-9ULL, "a, {b} )"}) : "none"'
    )
    assert table.names == ((64, "IO"), (34, "AB"), (2**64 - 9, "a, {b} )"))
    assert (table.field, table.delimiter) == ("f", " | ")
    assert table.expression == "(unsigned long)REC->f & ~0x3"


def test_a_table_over_no_field_or_without_known_values_is_left_out():
    assert flag_tables('"%s", __print_symbolic(2ULL, { 1, "a" })') == ()
    assert flag_tables('"%s", __print_symbolic(REC->x, { FOO, "a" })') == ()
    assert flag_tables('"%s", __print_symbolic(REC->x)') == ()
    assert flag_tables('"%s", __print_flags(REC->x, delimiter, { 1, "a" })') == ()


def test_two_tables_over_one_field_both_come():
    tables = flag_tables('"%s", REC->s ? __print_flags(REC->x, "|", {1, "a"}) : __print_flags(REC->x, "", {1, "b"})')
    assert [table.names for table in tables] == [((1, "a"),), ((1, "b"),)]
    assert [table.delimiter for table in tables] == ["|", ""]


@pytest.mark.parametrize(
    ("text", "literal", "arguments"),
    [
        ('"a=%d b=%s", REC->a, __get_str(b)', "a=%d b=%s", ("REC->a", "__get_str(b)")),
        ('"\\t=> %ps\\n" "\\t=> %ps\\n", (void *)REC->c[0], (void *)REC->c[1]', "\t=> %ps\n\t=> %ps\n", None),
        ('"two\nlines: %d", f(REC->a, ",", (b, c))', "two\nlines: %d", ('f(REC->a, ",", (b, c))',)),
        ('"name: 0x%lx \\"%s\\"", REC->n, __get_str(s)', 'name: 0x%lx "%s"', ("REC->n", "__get_str(s)")),
        ('"say "%s" now", REC->a', 'say "%s" now', ("REC->a",)),
        ('"nothing", ', "nothing", ()),
        ('"nothing"', "nothing", ()),
        ("", "", ()),
    ],
)
def test_a_print_fmt_splits_into_its_string_and_arguments(text, literal, arguments):
    found = split_print_fmt(text)
    assert found[0] == literal
    if arguments is not None:
        assert found[1] == arguments


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12", 12),
        ("0x1F", 31),
        ("010", 8),
        ("1UL << 3", 8),
        ("(1 << 5) | 2", 34),
        ("1 + 2 * 3 - -4", 11),
        ("( unsigned long)(( gfp_t)((((1UL))) << (6)))", 64),
        ("((u32)((((1UL))) << (31)))", 1 << 31),
        ("1 << 31", -(1 << 31)),
        ("1u << 31", 1 << 31),
        ("-1", -1),
        ("-9ULL", 2**64 - 9),
        ("~0xffff", -65536),
        ("~0u", 2**32 - 1),
        ("(u32)-1", 2**32 - 1),
        ("(unsigned char)300 + 1", 45),
        ("(signed char)255", -1),
        ("(const char *)5", 5),
        ("'a'", 97),
        (r"'\n'", 10),
        (r"'\''", 39),
        (r"'\xff'", -1),
        ("sizeof(u32) * 2", 8),
        ("sizeof(unsigned long)", 8),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("1 ? 2 : 3", 2),
        ("0 ? 2 : 1 ? 4 : 5", 4),
        ("-1 < 0u", 0),
        ("!3 || 2 && 1", 1),
        ("0xffffffffffffffff", 2**64 - 1),
    ],
)
def test_an_expression_has_the_value_that_c_gives_it(expression: str, value: int):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "FOO",
        "(FOO)",
        "f(1)",
        "sizeof(struct x)",
        "1 / 0",
        "1 << 64",
        "08",
        "1 ? 2",
        "1 2",
        "(1",
        "1)",
        "REC->x",
        "1.5",
        "((void *)0) + x",
        "(" * 10_000,
        "~" * 10_000,
        "(u8)" * 10_000 + "1",
        "1 ? 1 : " * 10_000 + "1",
        "9" * 10_000,
    ],
)
def test_an_expression_that_has_no_known_value_is_none(expression: str):
    assert evaluate(expression) is None


def test_fields_come_from_the_given_names():
    assert evaluate("(((REC->ioprio) >> 13) & (8 - 1))", {"REC->ioprio": 0x6001}) == 3
    assert evaluate("REC->ret < 0", {"REC->ret": -2}) == 1


def test_long_and_deep_text_takes_no_depth():
    deep = "__print_flags(" * 5_000
    assert flag_tables(f'"%s", {deep}') == ()
    assert split_print_fmt(f'"{deep}", {"(" * 100_000}')[1] == ("(" * 100_000,)
    assert split_print_fmt('"' + '\\"' * 100_000)[1] == ()
    assert evaluate("1+" * 20_000 + "1") == 20_001


@given(st.text(max_size=200) | st.text(alphabet="\"\\',(){}[]REC->x1 __print_flags(", max_size=200))
def test_any_text_gives_parts_and_tables(text: str):
    literal, arguments = split_print_fmt(text)
    assert isinstance(literal, str)
    assert all(argument == argument.strip() for argument in arguments)
    flag_tables(text)
    flag_tables(f'"%s", __print_flags(REC->x, "|", {{ {text}, "a" }})')


@given(st.text(alphabet="0123456789abcdefxulLU()+-*/%&|^~!<>?:' sizeof", max_size=60))
def test_any_expression_has_a_value_of_64_bits_or_none(text: str):
    value = evaluate(text)
    assert value is None or -(1 << 63) <= value < 1 << 64


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.text(max_size=8).filter(lambda s: "\0" not in s)), min_size=1))
def test_a_table_written_and_read_is_the_same(names: list[tuple[int, str]]):
    entries = ", ".join(
        '{{ {}, "{}" }}'.format(value, name.replace("\\", "\\\\").replace('"', '\\"')) for value, name in names
    )
    (table,) = flag_tables(f'"%s", __print_symbolic(REC->x, {entries})')
    assert table.names == tuple(names)


@pytest.mark.parametrize(
    ("print_fmt", "shown"),
    [
        ('"%pS", (void *)REC->ip', {"ip": "ps"}),
        ('"%ps %p %#x", REC->function, REC->work, REC->flags', {"function": "ps", "work": "p", "flags": "x"}),
        ('"%ds %*pbl %pS", REC->a, 8, REC->b, REC->c', {"b": "p", "c": "ps"}),
        ('"%d", REC->a', {}),
    ],
)
def test_what_the_kernel_shows_in_hexadecimal_or_as_a_symbol(print_fmt: str, shown: dict[str, str]):
    assert fields_in_hex(print_fmt) == shown
