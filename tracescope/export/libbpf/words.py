"""The words of libbpf's C: maps, what carries events, members of structs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from tracescope.attach.expression.chain import Offset
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.targets.target import FunctionPlace, PerfPlace, Shape, Target, TracepointPlace, UserPlace
from tracescope.errors import Refused
from tracescope.export.c.carried import Carried
from tracescope.export.c.context import Context, libbpf_context
from tracescope.export.c.dialect import Dialect, members_of, room_text
from tracescope.export.tracer import Tracer
from tracescope.model import ProbeKind
from tracescope.sources.btf import Btf

__all__ = ("words",)

_PARENT = """
static __always_inline u32 parent(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, real_parent, tgid);
}
"""
_RING = """\
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} events SEC(".maps");
"""
_PERF = """\
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");
"""
_SECTIONS = {
    ProbeKind.KPROBE: "kprobe/",
    ProbeKind.KRETPROBE: "kretprobe/",
    ProbeKind.FENTRY: "fentry/",
    ProbeKind.FEXIT: "fexit/",
}


class _Libbpf:
    """The words of libbpf's C."""

    parent = _PARENT
    inline = "__always_inline"
    lose = "__sync_fetch_and_add(&lost, 1);\n"

    def __init__(self, btf: Btf | None, transport: Transport) -> None:
        self._btf, self._transport = btf, transport

    def context(self, target: Target, rows: tuple[Carried, ...], name: str) -> Context:
        return libbpf_context(target, rows, name, self._btf)

    def section(self, target: Target) -> str:
        return f'SEC("{_section(target)}")\n'

    def function(self, target: Target, name: str) -> str:  # noqa: ARG002 - what the protocol says
        return name

    def offset(self, step: Offset) -> str:
        named, rest = members_of(step)
        terms = [f"bpf_core_field_offset({struct}, {member})" for struct, member in named]
        return " + ".join([*terms, *([f"{rest}ULL"] if rest or not terms else [])])

    def hash_map(self, name: str, key: str, value: str, entries: int, *, lru: bool = False) -> str:
        kind = "BPF_MAP_TYPE_LRU_HASH" if lru else "BPF_MAP_TYPE_HASH"
        return (
            f"struct {{\n\t__uint(type, {kind});\n\t__uint(max_entries, {entries});\n"
            f'\t__type(key, {key});\n\t__type(value, {value});\n}} {name} SEC(".maps");\n'
        )

    def per_cpu(self, name: str, value: str) -> str:
        return (
            f"struct {{\n\t__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);\n\t__uint(max_entries, 1);\n"
            f'\t__type(key, u32);\n\t__type(value, {value});\n}} {name} SEC(".maps");\n'
        )

    def stack_map(self, name: str, entries: int) -> str:
        return (
            f"struct {{\n\t__uint(type, BPF_MAP_TYPE_STACK_TRACE);\n\t__uint(max_entries, {entries});\n"
            f"\t__uint(key_size, sizeof(u32));\n\t__uint(value_size, STACK_DEPTH * sizeof(u64));\n"
            f'}} {name} SEC(".maps");\n'
        )

    def events(self, structs: Sequence[str]) -> str:
        if self._transport is Transport.RING:
            return _RING
        return _PERF + (room_text(self, structs) if structs else "")

    def lookup(self, table: str, key: str) -> str:
        return f"bpf_map_lookup_elem(&{table}, &{key})"

    def update(self, table: str, key: str, value: str, *, new: bool = False) -> str:
        return f"bpf_map_update_elem(&{table}, &{key}, &{value}, {'BPF_NOEXIST' if new else 'BPF_ANY'})"

    def delete(self, table: str, key: str) -> str:
        return f"bpf_map_delete_elem(&{table}, &{key})"

    def reserve(self) -> str:
        return "bpf_ringbuf_reserve(&events, sizeof(*event), 0)" if self._transport is Transport.RING else "room()"

    def submit(self) -> str:
        if self._transport is Transport.RING:
            return "bpf_ringbuf_submit(event, 0);\n"
        return f"if ({self.output('event', 'sizeof(*event)')})\n{indent(self.lose, chr(9))}"

    def output(self, event: str, size: str) -> str:
        if self._transport is Transport.RING:
            return f"bpf_ringbuf_output(&events, {event}, {size}, 0)"
        return f"bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, {event}, {size})"

    def stack(self, table: str, flags: str) -> str:
        return f"bpf_get_stackid(ctx, &{table}, {flags})"


def words(tracer: Tracer) -> Dialect:
    """The words of libbpf's C, on a kernel with this tracer's types."""
    return _Libbpf(tracer.btf, tracer.transport)


def _section(target: Target) -> str:
    place = target.place
    match place:
        case TracepointPlace(name):
            if target.shape is Shape.WORDS:
                return f"raw_tp/{name}"
            return f"tracepoint/{target.format.group}/{name}"
        case FunctionPlace(name, _, offset):
            if not all(char.isalnum() or char in "_." for char in name) or not name.isascii():
                raise Refused(f"{target.probe} cannot be exported", "its name holds other characters than names do")
            return f"{_SECTIONS[target.kind]}{name}{f'+{offset:#x}' if offset else ''}"
        case UserPlace():
            if target.kind is ProbeKind.USDT:
                return "usdt"
            return "uretprobe" if target.kind is ProbeKind.URETPROBE else "uprobe"
        case PerfPlace():
            return "perf_event"
    raise Refused(f"{target.probe} cannot be exported", "libbpf has no such kind of program", "--as bcc or bpftrace")
