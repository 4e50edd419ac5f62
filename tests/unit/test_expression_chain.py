"""Chains of members over the compiled sample of every kind of type, against a C compiler's reading of that memory."""

from __future__ import annotations

import ctypes
import random
import shutil
from pathlib import Path

import pytest
from expressions import UNREAD, host_library, value_function

from tracescope.attach.expression.c_text import compile_value
from tracescope.attach.expression.chain import Load, Located, Offset, index, member, operand
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.mistake import ExpressionError, Unfit
from tracescope.attach.expression.parse import parse
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.types import Array, Integer, Operand, Pointer, Space, Struct, Text
from tracescope.sources.btf import Btf
from tracescope.sources.btf_types import Kind

FIXTURES = Path(__file__).parents[1] / "fixtures" / "btf"
SAMPLES = {order: Btf.parse((FIXTURES / f"sample-{order}.btf").read_bytes()) for order in ("little", "big")}
BTF = SAMPLES["little"]
WORD = (1 << 64) - 1


def pointer(name: str, space: Space = Space.KERNEL, btf: Btf = BTF) -> Operand:
    found = btf.find(name)
    assert found is not None
    return Operand(Pointer(found, space), "pointer")


SCOPE = Scope(
    {"number": Operand(Integer(4, signed=True), "number")},
    {
        "node": pointer("struct node"),
        "flags": pointer("struct flags"),
        "packet": pointer("struct packet"),
        "counter": pointer("atomic_t"),
        "color": pointer("enum color"),
        "user": pointer("struct node", Space.USER),
        "void": Operand(Pointer(0, Space.KERNEL), "pointer"),
        "lone": pointer("struct point"),
    },
    BTF,
)


def located(text: str) -> Located:
    return check_value(parse(text), SCOPE).located


def refusal(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        check_condition(parse(text), SCOPE)
    return caught.value


# What a C compiler calls the same member of a `struct node *n` (flags *f, packet *p, atomic_t *c).
NUMBERS = {
    "args.node->low": "n->low",
    "args.node.low": "n->low",
    "args.node->key": "n->key",
    "args.node->bytes[2]": "(u8)n->bytes[2]",
    "args.node->tiny": "n->tiny",
    "args.node->points[3].y": "n->points[3].y",
    "args.node->points[0]->x": "n->points[0].x",
    "args.node->names[1][15]": "(u8)n->names[1][15]",
    "args.node->value.whole": "n->value.whole",
    "args.node->inner.a": "n->inner.a",
    "args.node->other": "(u64)n->other",
    "args.node->other->a": "n->other->a",
    "args.node->state": "n->state",
    "args.node->aligned": "n->aligned",
    "args.node->last.length": "n->last.length",
    "args.node->last.at.y": "n->last.at.y",
    "args.node->last.stamp": "n->last.stamp",
    "args.node->rest[2]": "n->rest[2]",
    "args.node->next": "(u64)n->next",
    "args.node->next->low": "n->next->low",
    "args.node->next->next->points[1].x": "n->next->next->points[1].x",
    "args.node[1].low": "n[1].low",
    "args.node->compare": "(u64)n->compare",
    "args.node->opaque": "(u64)n->opaque",
    "args.node->label[1]": "(u8)n->label[1]",
    "args.node->where[0]": "(u8)n->where[0]",
    "args.flags->first": "f->first",
    "args.flags->second": "f->second",
    "args.flags->third": "f->third",
    "args.flags->fourth": "f->fourth",
    "args.flags->fifth": "f->fifth",
    "args.flags->sixth": "f->sixth",
    "args.packet->length": "p->length",
    "args.packet->at.x": "p->at.x",
    "args.packet->stamp": "p->stamp",
    "args.counter->counter": "c->counter",
    "args.color[1]": "e[1]",
    "args.user->next->inner.a": "n->next->inner.a",
}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler here")
def test_chains_read_what_the_compilers_members_are(tmp_path: Path):
    sample = (FIXTURES / "sample.c").read_text().split("struct node first USED;", maxsplit=1)[0]
    lines = [line for line in sample.splitlines() if not line.startswith(("typedef unsigned", "//"))]
    names = "struct node *n, struct flags *f, struct packet *p, atomic_t *c, enum color *e"
    casts = ["(struct node *)at", "(struct flags *)at", "(struct packet *)at", "(atomic_t *)at", "(enum color *)at"]
    functions = ["\n".join(lines) + "\n"]
    for number, (chain, theirs) in enumerate(NUMBERS.items()):
        functions.append(
            value_function(f"ours{number}", compile_value(check_value(parse(chain), SCOPE), "v"), "u64 pointer")
        )
        functions.append(f"static u64 read{number}({names})\n{{\n    return (u64)({theirs});\n}}\n")
        functions.append(f"u64 theirs{number}(u64 at)\n{{\n    return read{number}({', '.join(casts)});\n}}\n")
    library = host_library(tmp_path, "".join(functions))
    source = random.Random(1)
    nodes = [ctypes.create_string_buffer(source.randbytes(4096), 4096) for _ in range(3)]
    texts = ctypes.create_string_buffer(b"a text")
    first, second, third = map(ctypes.addressof, nodes)
    for node, following in ((nodes[0], second), (nodes[1], third), (nodes[2], first)):
        for member_name, target in (("next", following), ("other", third), ("label", 0), ("where", 0)):
            at = BTF.member_offset("node", member_name)
            node[at : at + 8] = (target or ctypes.addressof(texts)).to_bytes(8, "little")
    for at in (first, second, third):
        for number, chain in enumerate(NUMBERS):
            assert library[f"ours{number}"](ctypes.c_uint64(at)) == library[f"theirs{number}"](ctypes.c_uint64(at)), (
                chain
            )
    assert library["ours0"](ctypes.c_uint64(0)) == UNREAD


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("args.node->low", Integer(4, signed=False)),
        ("args.node->key", Integer(8, signed=False)),
        ("args.node->tiny", Integer(1, signed=False, names={"SMALL": 0, "SMALLER": 1})),
        ("args.node->state", Integer(4, signed=False, names={"OFF": 0, "ON": 1})),
        ("args.flags->third", Integer(4, signed=True, bits=3)),
        ("args.flags->fifth", Integer(1, signed=False, names={"false": 0, "true": 1}, bits=1)),
        ("args.node->bytes", Text(Space.KERNEL, 3)),
        ("args.node->names[1]", Text(Space.KERNEL, 16)),
        ("args.node->label", Text(Space.KERNEL)),
        ("args.node->where", Text(Space.USER)),
        ("args.user->label", Text(Space.USER)),
        ("args.user->names[0]", Text(Space.USER, 16)),
    ],
)
def test_a_member_has_the_type_that_the_kernel_gives_it(text: str, type_):
    found = located(text)
    assert found.type == type_
    if isinstance(type_, Integer):
        assert dict(found.type.names) == dict(type_.names)


def test_what_a_chain_loads_is_in_the_memory_that_its_pointers_lead_to():
    assert located("args.node->next->low").steps == (Offset(0), Load(Space.KERNEL, 8), Offset(8), Load(Space.KERNEL, 4))
    assert located("args.user->next->low").steps == (Offset(0), Load(Space.USER, 8), Offset(8), Load(Space.USER, 4))
    assert located("args.node->where[3]").steps[-1] == Load(Space.USER, 1)
    assert located("args.node->points[3].y").steps == (Offset(16 + 4 + 12 + 2), Load(Space.KERNEL, 2))


def test_a_chain_is_named_as_c_writes_it():
    assert located("args.node.next.points[1]->x").name == "args.node->next->points[1].x"


@pytest.mark.parametrize(
    ("text", "column", "why", "fix"),
    [
        ("args.node->lo == 1", 12, "struct node has no member lo", "did you mean low"),
        ("args.node->zzzz == 1", 12, "struct node has no member zzzz", "the members are next, low"),
        ("args.node->inner == 1", 12, "args.node->inner is a struct and no number", "the members are a"),
        ("args.node->points == 1", 12, "is an array and no number", "args.node->points[0]"),
        ("args.node->points[4].x", 18, "args.node->points has 4 elements", "[3]"),
        ("args.node->names[0][16]", 20, "args.node->names[0] has 16 elements", "[15]"),
        ("args.node->low.x", 16, "args.node->low is a number and has no members", ""),
        ("args.node->label.x", 18, "args.node->label is a text and has no members", ""),
        ("args.node->opaque->x", 20, "the members of struct unknown are not known", ""),
        ("args.node->compare->x", 21, "has no members", ""),
        ("args.void->x", 12, "leads to void, which has no members", ""),
        ("args.void[1]", 10, "args.void[1] cannot be located", ""),
        ("args.color->x", 13, "leads to enum color, which has no members", "args.color[0]"),
        ("args.node->value.part", 18, "a value of type float cannot be read", ""),
        ("args.node->hooks[0]->x", 22, "has no members", ""),
        ("args.node[99999999999]", 10, "cannot be located", ""),
        ("args.node->label[99999]", 17, "too far away", ""),
        ("args.node->tiny == SMALER", 20, "no builtin or constant SMALER", "did you mean SMALLER"),
    ],
)
def test_a_chain_that_leads_nowhere_is_refused_at_its_place(text: str, column: int, why: str, fix: str):
    error = refusal(text)
    assert (why in error.why, error.why) == (True, error.why)
    assert fix in error.fix
    assert error.at + 1 == column


def test_enum_constants_of_a_member_have_names():
    assert check_condition(parse("args.node->tiny == SMALLER && args.node->state == ON"), SCOPE)


@pytest.mark.parametrize("order", SAMPLES)
def test_every_member_of_every_struct_is_where_the_btf_says(order: str):
    table = SAMPLES[order]
    count = 0
    for type_id in table.ids(Kind.STRUCT, Kind.UNION):
        start = Located.of("x", Operand(Struct(type_id, Space.KERNEL), "x"))
        for name in table.member_names(type_id):
            found = table.find_member(type_id, name)
            assert found is not None
            try:
                value = member(start, name, table)
            except Unfit as error:
                assert "cannot be read" in error.why  # noqa: PT017
                continue
            (offset, *_) = value.steps
            assert isinstance(offset, Offset)
            assert offset.bytes == found.offset // 8
            count += 1
    assert count > 40


def test_parameters_of_functions_are_operands():
    parameters = {
        name: operand(BTF, type_id, "x") for name, _, type_id in [*BTF.parameters("sum"), *BTF.parameters("find")]
    }
    assert isinstance(parameters["a"].type, Pointer)
    assert parameters["color"].type.names == {"RED": 0, "GREEN": 5, "BLUE": 6}
    assert parameters["name"].type == Text(Space.KERNEL)
    assert operand(BTF, BTF.find("struct node") or 0, "x") is None
    assert operand(BTF, BTF.find("union number") or 0, "x") is None


def test_without_btf_nothing_is_looked_up():
    node = Located.of("args.node", SCOPE.args["node"])
    for make in (lambda: member(node, "low", None), lambda: index(node, 1, None)):
        with pytest.raises(Unfit, match="not known"):
            make()
    array = Located.of("args.all", Operand(Array(1, 3, Space.KERNEL), "x"))
    with pytest.raises(Unfit, match="not known"):
        index(array, 1, None)
