"""The words of BCC's C: maps, ring buffer, members of structs. Pure."""

from __future__ import annotations

from tracescope.attach.expression.chain import Offset
from tracescope.attach.targets.operand import operand_text
from tracescope.attach.targets.target import FunctionPlace, Shape, Target, UserPlace
from tracescope.export.c.carried import Carried
from tracescope.export.c.context import Context, bcc_context
from tracescope.export.c.dialect import Dialect, members_of
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

    parent = MEMBER + PARENT
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

    def stack_map(self, name: str, entries: int) -> str:
        # BPF_STACK_TRACE() rounds up with a function of the kernel's headers.
        rounded = 1 << (entries - 1).bit_length()
        return f'BPF_TABLE("stacktrace", int, struct bpf_stacktrace, {name}, {rounded});\n'

    def ring(self, name: str) -> str:
        return f"BPF_RINGBUF_OUTPUT({name}, {_RING_PAGES});\n"

    def lookup(self, table: str, key: str) -> str:
        return f"{table}.lookup(&{key})"

    def update(self, table: str, key: str, value: str, *, new: bool = False) -> str:
        return f"{table}.{'insert' if new else 'update'}(&{key}, &{value})"

    def delete(self, table: str, key: str) -> str:
        return f"{table}.delete(&{key})"

    def reserve(self, ring: str, size: str) -> str:
        return f"{ring}.ringbuf_reserve({size})"

    def submit(self, ring: str, event: str) -> str:
        return f"{ring}.ringbuf_submit({event}, 0)"

    def stack(self, table: str, flags: str) -> str:
        return f"{table}.get_stackid(ctx, {flags})"


def words() -> Dialect:
    """BCC's, as the writers of programs ask for them."""
    return _Bcc()
