"""The exec tracer as a libbpf project. Pure."""

from __future__ import annotations

from tracescope.export.c.events import header_text
from tracescope.export.c.shared import FILL
from tracescope.export.c.tree import libbpf_tree
from tracescope.export.exec_programs import about_text, libbpf_text, structs_text
from tracescope.export.libbpf import loader, project
from tracescope.export.libbpf.words import words
from tracescope.export.text import template
from tracescope.export.tracer import Tracer

__all__ = ("exec_project",)

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
    dialect = words(tracer)
    tree, tree_programs = libbpf_tree(dialect) if tracer.filters.tree else ("", "")
    about = about_text(tracer)
    notes = "".join(f"\n *{' ' if line else ''}{line}" for line in about.splitlines())
    head = project.head_text(tracer, dialect, f"\n{dialect.events([])}", notes=notes, tree=tree)
    program = head + FILL.replace("@INLINE@", dialect.inline) + libbpf_text(tracer, dialect) + tree_programs
    name = tracer.name
    listed = "".join(f"    {end.probe}\n" for one in tracer.targets for end in (one, one.end) if end)
    return {
        f"{name}.bpf.c": program,
        f"{name}.h": header_text(tracer, structs_text()),
        f"{name}.c": loader.exec_loader(tracer, template("exec_loader.c", {}), _CASES),
        "Makefile": template("Makefile", {"NAME": name}),
        "README.md": template(
            "README.md",
            {
                "NAME": name,
                "PROBES": listed,
                "NOTES": f"\n{about}\n",
            },
        ),
    }
