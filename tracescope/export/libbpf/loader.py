"""The loader of a libbpf project in C, and its README. Pure."""

from __future__ import annotations

from tracescope.errors import Refused
from tracescope.export.c.literal import c_string
from tracescope.export.c.program import Program, probes_of
from tracescope.export.exec_programs import what_text
from tracescope.export.libbpf.attach import attach_more_text
from tracescope.export.libbpf.counts import counting
from tracescope.export.libbpf.stream import CLOCK, FOLLOW, PRINT_HEAD, on_event_text, stream_values, streaming
from tracescope.export.text import template
from tracescope.export.tracer import Tracer

__all__ = ("exec_loader", "loader", "readme")

_MOST = 16


def loader(tracer: Tracer, made: list[Program]) -> str:
    """NAME.c; raises Refused."""
    values = _values(tracer, _usage(made))
    values |= counting(tracer, made) if tracer.counts else streaming(tracer, made)
    values["BODY"] += attach_more_text(tracer, made)
    values["AFTER_ATTACH"] = (_LAST if tracer.filters.tree else "") + values["AFTER_ATTACH"]
    if "links[" in values["BODY"]:
        values["CLEAN"] = "\twhile (link_count)\n\t\tbpf_link__destroy(links[--link_count]);\n" + values["CLEAN"]
    return template("loader.c", values)


def _values(tracer: Tracer, what: str) -> dict[str, str]:
    filters = tracer.filters
    return {
        "NAME": tracer.name,
        "WHAT": what,
        "PIDS": _list(filters.pid),
        "TIDS": _list(filters.tid),
        "UIDS": _list(filters.uid),
        "COMMS": ", ".join(map(c_string, _few(filters.comm))) or "NULL",
        "COMM_COUNT": str(len(filters.comm)),
        "TREE_USAGE": "",
        "CLEAN": "",
        "COUNT_USAGE": "" if tracer.counts else '\t"  -n, --count N        end after so many events\\n"\n',
        "BEFORE_ATTACH": _followed(tracer),
    }


def _usage(made: list[Program]) -> str:
    return "Prints events of\\n" + "\\n".join(f"    {c_string(probe)[1:-1]}" for probe in probes_of(made))


def _few(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > _MOST:
        raise Refused(f"{len(values)} names are too many", f"the exported program takes {_MOST}", "name fewer")
    return values


def _list(numbers: tuple[int, ...]) -> str:
    if len(numbers) > _MOST:
        raise Refused(f"{len(numbers)} values are too many", f"the exported program takes {_MOST}", "name fewer")
    return f"{{{', '.join(str(int(number)) for number in numbers) or 0}}}, {len(numbers)}"


def _followed(tracer: Tracer) -> str:
    lines = [
        f"\terror = follow(bpf_map__fd(skel->maps.tree), {int(pid)});\n\tif (error)\n\t\tgoto out;\n"
        for pid in tracer.filters.tree
    ]
    if lines:
        lines.append("\tbpf_program__set_autoattach(skel->progs.follow_exit, false);\n")
    return "".join(lines)


_LAST = """\
	skel->links.follow_exit = bpf_program__attach(skel->progs.follow_exit);
	if (!skel->links.follow_exit) {
		error = -errno;
		fprintf(stderr, "the end of threads cannot be followed: %s\\n", strerror(errno));
		goto out;
	}
"""


def exec_loader(tracer: Tracer, printing: str, cases: str) -> str:
    """NAME.c of the exec tracer: how its events are printed, and the cases that tell them apart."""
    values = _values(tracer, what_text(tracer)) | stream_values(tracer)
    values["BODY"] = f"{PRINT_HEAD}{CLOCK}{printing}{on_event_text(tracer, cases)}"
    values["BODY"] += FOLLOW if tracer.filters.tree else ""
    values["BODY"] += attach_more_text(tracer, [])
    values["AFTER_ATTACH"] = (_LAST if tracer.filters.tree else "") + values["AFTER_ATTACH"]
    return template("loader.c", values)


def readme(tracer: Tracer, made: list[Program]) -> str:
    """README.md."""
    listed = "".join(f"    {probe}\n" for probe in probes_of(made) if probe.isprintable())
    notes = "".join(f"{note}\n" for note in tracer.notes)
    return template("README.md", {"NAME": tracer.name, "PROBES": listed, "NOTES": f"\n{notes}" if notes else ""})
