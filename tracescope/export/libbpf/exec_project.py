"""The exec tracer as a libbpf project. Pure."""

from __future__ import annotations

from tracescope.export.c.events import header_text
from tracescope.export.c.shared import FILL
from tracescope.export.c.tree import libbpf_tree
from tracescope.export.exec_programs import ABOUT, CALLS, libbpf_text, structs_text
from tracescope.export.libbpf import loader, project
from tracescope.export.text import template
from tracescope.export.tracer import Tracer

__all__ = ("exec_project",)

_SCRATCH = """\
/* Events are put together here: an event that is larger than a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec_event);
} scratch SEC(".maps");
"""
_CASES = """\
	case 0:
	case 1:
		if (size < offsetof(struct exec_event, argv))
			return 0;
		print_exec(data, size);
		break;
	case 2:
		if (size < sizeof(struct exit_event))
			return 0;
		print_exit(data);
		break;
	default:
		return 0;
"""


def exec_project(tracer: Tracer) -> dict[str, str]:
    """The files by name; raises Refused."""
    dialect = project.words(tracer.btf)
    maps = (
        f"{dialect.hash_map('calls', 'u64', 'struct call', CALLS, lru=True)}\n"
        f"/* When a process's last exec was done. */\n{dialect.hash_map('started', 'u32', 'u64', 32768)}\n{_SCRATCH}"
    )
    tree, tree_programs = libbpf_tree(dialect) if tracer.filters.tree else ("", "")
    notes = "".join(f"\n *{' ' if line else ''}{line}" for line in ABOUT.splitlines())
    head = project.head_text(tracer, dialect, f"\n{dialect.ring('events')}", notes=notes, tree=tree)
    program = head + FILL.replace("@INLINE@", "__always_inline") + libbpf_text(maps) + tree_programs
    name = tracer.name
    listed = "".join(f"    {target.probe}\n" for target in tracer.targets)
    return {
        f"{name}.bpf.c": program,
        f"{name}.h": header_text(name, structs_text()),
        f"{name}.c": loader.exec_loader(tracer, template("exec_loader.c", {}), _CASES),
        "Makefile": template("Makefile", {"NAME": name}),
        "README.md": template("README.md", {"NAME": name, "PROBES": listed, "NOTES": f"\n{ABOUT}\n"}),
    }
