"""Expressions as C: compiled on this machine they decide what Python decides; only our own words are in the text."""

from __future__ import annotations

import ctypes
import itertools
import random
import re
import shutil
from pathlib import Path

import pytest
from expressions import (
    EDGES,
    NUMBERS,
    OPERANDS,
    TEXT_OPERANDS,
    UNREAD,
    Context,
    Grammar,
    condition_function,
    host_library,
    host_scope,
    random_values,
    value_function,
)
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.expression.c_helpers import HELPERS
from tracescope.attach.expression.c_text import compile_condition, compile_value, copy_text
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.mistake import ExpressionError
from tracescope.attach.expression.parse import parse
from tracescope.attach.expression.python_value import Unknown, evaluate, holds
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.types import Operand, Space, Text

SCOPE = host_scope()
WORD = (1 << 64) - 1
NOTHING = random_values(Grammar(random.Random(0), OPERANDS, TEXT_OPERANDS))
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler here")


def condition(text: str, scope: Scope = SCOPE):
    return check_condition(parse(text), scope)


def value(text: str, scope: Scope = SCOPE):
    return check_value(parse(text), scope)


def accepted(make, check, count: int):
    """So many texts that are not refused, with what they are checked to be."""
    found, refused = [], 0
    while len(found) < count:
        text = make()
        try:
            found.append((text, check(text)))
        except ExpressionError:
            refused += 1
        assert refused < 2 * count + 50, "most are refused"
    return found


@needs_gcc
@pytest.mark.parametrize("seed", range(4))
def test_compiled_conditions_decide_as_python_does(seed: int, tmp_path: Path):
    grammar = Grammar(random.Random(seed), OPERANDS, TEXT_OPERANDS)
    made = accepted(grammar.condition, condition, 250)
    functions = [condition_function(f"c{n}", compile_condition(typed, f"e{n}")) for n, (_, typed) in enumerate(made)]
    library = host_library(tmp_path, "".join(functions))
    seen = {True: 0, False: 0}
    for _ in range(40):
        values = random_values(grammar)
        context = Context(values)
        for number, (text, typed) in enumerate(made):
            wanted = holds(typed, values)
            assert bool(context.call(library[f"c{number}"])) == wanted, (text, values)
            seen[wanted] += 1
    assert min(seen.values()) > 1000


@needs_gcc
@pytest.mark.parametrize("seed", range(2))
def test_compiled_values_are_what_python_computes(seed: int, tmp_path: Path):
    grammar = Grammar(random.Random(seed), OPERANDS, TEXT_OPERANDS)
    made = accepted(lambda: grammar.number(4), value, 200)
    functions = [value_function(f"v{n}", compile_value(typed, f"e{n}")) for n, (_, typed) in enumerate(made)]
    library = host_library(tmp_path, "".join(functions))
    for _ in range(40):
        values = random_values(grammar)
        context = Context(values)
        for number, (text, typed) in enumerate(made):
            try:
                wanted = evaluate(typed, values)
            except Unknown:
                wanted = UNREAD
            assert context.call(library[f"v{number}"]) == wanted & WORD, (text, values)


@needs_gcc
def test_every_operator_on_every_pair_of_signs_and_special_numbers(tmp_path: Path):
    signs = ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "==", "!=", "<", "<=", ">", ">=")
    pairs = [*itertools.product(("s64", "u32"), ("u64", "s32")), *itertools.product(("u64", "s32"), ("s64", "u32"))]
    cases = [(f"args.{one} {sign} args.{other}") for (one, other), sign in itertools.product(pairs, signs)]
    typed = {text: value(text) for text in cases}
    functions = [value_function(f"v{n}", compile_value(made, f"e{n}")) for n, made in enumerate(typed.values())]
    library = host_library(tmp_path, "".join(functions))
    for one, other in itertools.product(EDGES, EDGES):
        values = {**NOTHING, "args.s64": one, "args.u32": one, "args.u64": other, "args.s32": other}
        context = Context(values)
        for number, (text, made) in enumerate(typed.items()):
            wanted = evaluate(made, values)
            assert context.call(library[f"v{number}"]) == wanted & WORD, (text, one, other)


TEXTS = [
    "",
    "a",
    "ab",
    "1234567",
    "12345678",
    "123456789",
    "x" * 15,
    "x" * 16,
    "y" * 63,
    "y" * 64,
    "1234567x",
    "b/a.so",
]


@needs_gcc
def test_texts_of_every_length_are_compared_in_every_way(tmp_path: Path):
    cases = []
    for name, text in itertools.product(TEXT_OPERANDS, TEXTS):
        for pattern in (f'== "{text}"', f'=~ "{text}*"', f'=~ "*{text}"', f'=~ "{text[:2]}*{text[2:]}"'):
            try:
                cases.append((f"{name} {pattern}", condition(f"{name} {pattern}")))
            except ExpressionError:  # longer than the array, or only a star
                continue
    assert len(cases) > 200
    functions = [condition_function(f"c{n}", compile_condition(typed, f"e{n}")) for n, (_, typed) in enumerate(cases)]
    library = host_library(tmp_path, "".join(functions))
    held = 0
    # Around the end of each piece in which the end of a text is looked for, and beyond what is looked at.
    long = ["b" * length + "b/a.so" for length in (56, 57, 58, 119, 120, 121, 490, 497, 498, 499, 600)]
    for text in (*TEXTS, *(text + "z" for text in TEXTS), *long):
        values = {**NOTHING, **dict.fromkeys(TEXT_OPERANDS, text.encode())}
        context = Context(values)
        for number, (source, typed) in enumerate(cases):
            wanted = holds(typed, values)
            assert bool(context.call(library[f"c{number}"])) == wanted, (source, text)
            held += wanted
    assert held > 300


@needs_gcc
def test_two_arrays_are_compared_up_to_their_end(tmp_path: Path):
    typed = condition("args.own == args.array || args.unaligned != args.own && args.s8 == 1")
    library = host_library(tmp_path, condition_function("c", compile_condition(typed, "e")))
    texts = (b"", b"a", b"fifteen-letters", b"x" * 16, b"x" * 15, None)
    for own, other, third in itertools.product(texts[:-1], texts, texts[:-1]):
        values = {**NOTHING, "args.own": own, "args.array": other, "args.unaligned": third, "args.s8": len(own) % 2}
        assert bool(Context(values).call(library["c"])) == holds(typed, values), values


@needs_gcc
def test_text_is_a_value_by_its_address_and_is_copied_from_there(tmp_path: Path):
    made = {name: compile_value(value(name), f"v{index}") for index, name in enumerate(TEXT_OPERANDS)}
    functions = []
    for index, found in enumerate(made.values()):
        copy = copy_text(found, "target", 8)
        functions.append(
            f"{found.definitions}int t{index}(u64 *ctx, char *target)\n{{\n{found.statements}    return {copy};\n}}\n"
        )
    library = host_library(tmp_path, "".join(functions))
    values = {
        **NOTHING,
        **dict.fromkeys(TEXT_OPERANDS, b"a text"),
        "args.path": None,
        "args.name": b"a longer text",
    }
    context = Context(values)
    for index, name in enumerate(made):
        target = ctypes.create_string_buffer(8)
        size = library[f"t{index}"](context.buffer, target)
        wanted = {"args.path": (-14, b""), "args.name": (8, b"a longe")}.get(name, (7, b"a text"))
        assert (size, target.value) == wanted
    with pytest.raises(TypeError):
        copy_text(compile_value(value("args.s8"), "v"), "target", 8)


@needs_gcc
def test_reads_happen_only_as_far_as_the_answer_needs_them(tmp_path: Path):
    cases = {
        "args.node != NULL && args.node->low == 0": False,
        "args.node == 0 || args.node->low == 0": True,
        "args.node->low == 0 || args.node == 0": False,
        "!(args.node->low == 0)": False,
        "!(args.node->low == 0 && args.node->low == 1)": False,
        "args.node && args.node->low || args.u8 == 7": True,
        '!(args.name == "a")': False,
        'args.name != "a"': False,
        'args.u8 == 7 || args.name == "a"': True,
        'args.name =~ "*a" || args.u8 == 7': False,
    }
    typed = {text: condition(text) for text in cases}
    functions = [condition_function(f"c{n}", compile_condition(made, f"e{n}")) for n, made in enumerate(typed.values())]
    library = host_library(tmp_path, "".join(functions))
    values = {**NOTHING, "args.u8": 7, "args.name": None}
    values |= {name: None for name in OPERANDS if "->" in name} | {"args.node": 0}
    for number, (text, wanted) in enumerate(cases.items()):
        assert holds(typed[text], values) is wanted, text
        assert bool(Context(values).call(library[f"c{number}"])) is wanted, text


OURS = re.compile(
    r"(where|ts|bpf_probe_read)_\w+|text\d*|(0x[0-9a-f]+|\d+)(ULL|LL|U)?|[us](8|16|32|64)|char|int|void|static|inline"
    r"|if|return|address|failed|size|length|one|other|first|second|ctx|[][(){}=+*/%&|^~!<>,;-]"
)


@st.composite
def hostile_texts(draw):
    """Expressions around texts of any characters, and names that C would understand."""
    text = draw(st.text(max_size=40)).replace("\\", "\\\\").replace('"', '\\"')
    operand = draw(st.sampled_from([*TEXT_OPERANDS, "comm", 'args.x"); evil(', "asm", "args.__asm__", "printk"]))
    pattern = draw(st.sampled_from(['{} == "{}"', '{} =~ "{}*"', '"{}" != {}', '{} =~ "*{}"']))
    first, second = (text, operand) if pattern.startswith('"') else (operand, text)
    return pattern.format(first, second)


@given(hostile_texts())
def test_nothing_of_an_expression_reaches_the_compiler_but_numbers(text: str):
    try:
        made = compile_condition(condition(text), "where")
    except ExpressionError:
        return
    whole = made.definitions + made.statements + made.value
    assert whole.isascii()
    for word in re.findall(r"[A-Za-z_]\w*|\d\w*|\S", whole):
        assert OURS.fullmatch(word), word


@given(st.integers(0, 2**32))
def test_names_of_the_user_never_are_names_in_c(seed: int):
    grammar = Grammar(random.Random(seed), OPERANDS, TEXT_OPERANDS)
    try:
        made = compile_condition(condition(grammar.condition()), "where")
    except ExpressionError:
        return
    whole = made.definitions + made.statements + made.value
    for name in (*NUMBERS, "O_CREAT", "EINVAL", "args", "node", "low", "next"):
        assert OURS.fullmatch(name) or not re.search(rf"\b{name}\b", whole)
    assert '"' not in whole
    assert "'" not in whole
    assert "\\" not in whole


@pytest.mark.parametrize("prefix", ["", "1", "a b", "a;", "A", "é", "a" * 40, "a\n"])
def test_a_prefix_is_a_plain_identifier(prefix: str):
    with pytest.raises(ValueError, match="prefix"):
        compile_condition(condition("args.s8 == 1"), prefix)


def test_a_condition_that_cannot_fail_has_no_flag():
    made = compile_condition(condition('args.s8 == 1 && args.own == "sshd"'), "where")
    assert made.statements == ""
    assert "failed" not in made.definitions + made.value


def test_equal_texts_share_their_function():
    made = compile_condition(condition('args.name == "sshd" || args.path == "sshd" || args.name == "sshd"'), "where")
    assert made.definitions.count("static inline") == 2


def test_the_programs_own_memory_is_compared_in_words():
    scope = Scope({"comm": Operand(Text(Space.OWN, 16), "record->comm")})
    made = compile_condition(condition('comm == "bash-with-15by"', scope), "where")
    assert "probe_read" not in made.definitions
    assert made.definitions.count("u64 *") == 1
    with pytest.raises(ValueError, match="size"):
        Text(Space.OWN)


def test_the_shared_functions_are_defined_once_and_divide_without_sign():
    functions = re.findall(r"^static inline \w+ (\w+)\(", HELPERS, re.MULTILINE)
    assert len(functions) == len(set(functions))
    assert all(name.startswith("ts_") for name in functions)
    assert not re.search(r"\(s64\)[^;]*[/%]", HELPERS)
