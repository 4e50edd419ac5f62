"""The words of BCC's C: maps, what carries events, members of structs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from tracescope.attach.expression.chain import Offset
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.targets.operand import operand_text
from tracescope.attach.targets.target import FunctionPlace, Shape, Target, UserPlace
from tracescope.export.c.carried import Carried
from tracescope.export.c.context import Context, bcc_context
from tracescope.export.c.dialect import Dialect, members_of, room_text
from tracescope.model import ProbeKind

__all__ = ("MEMBER", "PARENT", "words")

_RING_PAGES = 1024
MEMBER = """
/* A member of a kernel's struct: where it lies comes from the running kernel's BTF. */
static inline u64 member(u64 address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}
"""
PARENT = """
static inline u32 parent(void)
{
	u64 task = member(bpf_get_current_task() + OFFSET_struct_task_struct_real_parent);

	return member(task + OFFSET_struct_task_struct_tgid);
}
"""


class _Bcc:
    """The words of BCC's C."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    parent = MEMBER + PARENT
    inline = "inline"
    lose = "int zero = 0;\n\nlost.atomic_increment(zero);\n"

    def context(self, target: Target, rows: tuple[Carried, ...], name: str) -> Context:
        if target.shape is Shape.OPERANDS:
            assert isinstance(target.place, UserPlace)
            operands = target.place.sites[0].operands
            reads = {
                one.field.name: f"\tu64 {one.name}_word = 0;\n\t{operand_text(operand, f'{one.name}_word')}\n"
                f"\t{one.type} {one.name} = {one.name}_word;\n"
                for one, operand in zip(rows, operands, strict=False)
            }
            return Context("u64 *ctx", {one.field.name: one.name for one in rows}, reads)
        return bcc_context(target, rows, name)

    def section(self, target: Target) -> str:  # noqa: ARG002 - what the protocol says
        return ""

    def function(self, target: Target, name: str) -> str:
        if target.kind in (ProbeKind.FENTRY, ProbeKind.FEXIT):
            assert isinstance(target.place, FunctionPlace)
            return f"{str(target.kind).upper()}({target.place.module or 'vmlinux'}, {target.place.name})"
        return name

    def offset(self, step: Offset) -> str:
        named, rest = members_of(step)
        terms = [f"OFFSET_{struct.replace(' ', '_')}_{member}" for struct, member in named]
        return " + ".join([*terms, *([f"{rest}ULL"] if rest or not terms else [])])

    def hash_map(self, name: str, key: str, value: str, entries: int, *, lru: bool = False) -> str:
        if lru:
            return f'BPF_TABLE("lru_hash", {key}, {value}, {name}, {entries});\n'
        return f"BPF_HASH({name}, {key}, {value}, {entries});\n"

    def per_cpu(self, name: str, value: str) -> str:
        return f"BPF_PERCPU_ARRAY({name}, {value}, 1);\n"

    def stack_map(self, name: str, entries: int) -> str:
        # BPF_STACK_TRACE() rounds up with a function of the kernel's headers.
        rounded = 1 << (entries - 1).bit_length()
        return f'BPF_TABLE("stacktrace", int, struct bpf_stacktrace, {name}, {rounded});\n'

    def events(self, structs: Sequence[str]) -> str:
        if self._transport is Transport.RING:
            return f"BPF_RINGBUF_OUTPUT(events, {_RING_PAGES});\n"
        declared = "BPF_PERF_OUTPUT(events);\n"
        return declared + (room_text(self, structs) if structs else "")

    def lookup(self, table: str, key: str) -> str:
        return f"{table}.lookup(&{key})"

    def update(self, table: str, key: str, value: str, *, new: bool = False) -> str:
        return f"{table}.{'insert' if new else 'update'}(&{key}, &{value})"

    def delete(self, table: str, key: str) -> str:
        return f"{table}.delete(&{key})"

    def reserve(self) -> str:
        return "events.ringbuf_reserve(sizeof(*event))" if self._transport is Transport.RING else "room()"

    def submit(self) -> str:
        if self._transport is Transport.RING:
            return "events.ringbuf_submit(event, 0);\n"
        return f"if ({self.output('event', 'sizeof(*event)')}) {{\n{indent(self.lose, chr(9))}}}\n"

    def output(self, event: str, size: str) -> str:
        if self._transport is Transport.RING:
            return f"events.ringbuf_output({event}, {size}, 0)"
        return f"events.perf_submit(ctx, {event}, {size})"

    def stack(self, table: str, flags: str) -> str:
        return f"{table}.get_stackid(ctx, {flags})"


def words(transport: Transport = Transport.RING) -> Dialect:
    """BCC's, as the writers of programs ask for them."""
    return _Bcc(transport)
