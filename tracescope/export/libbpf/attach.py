"""What libbpf does not attach by itself: probes in programs, and counters; in C. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracescope.attach.targets.target import PerfPlace, Target, UserPlace
from tracescope.export.c.literal import c_string
from tracescope.export.c.program import Program
from tracescope.export.tracer import Tracer
from tracescope.model import ProbeKind

__all__ = ("attach_more_text",)

_PERF = """
static struct bpf_link *links[1024];
static int link_count;

/* A counter belongs to a CPU: one for each. */
static int attach_samples(struct bpf_program *program, __u32 type, __u64 config, __u64 period, bool frequency, bool one)
{
	struct perf_event_attr attr = {.type = type, .size = sizeof(attr), .config = config};
	int cpu, fd, count = libbpf_num_possible_cpus();

	attr.sample_period = period; /* the same place as sample_freq */
	attr.freq = frequency;
	for (cpu = 0; cpu < (one ? 1 : count) && link_count < 1024; cpu++) {
		fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
		if (fd < 0 && (errno == ENODEV || errno == ENXIO))
			continue; /* this CPU is off */
		if (fd < 0)
			return -errno;
		links[link_count] = bpf_program__attach_perf_event(program, fd);
		if (!links[link_count]) {
			int error = -errno;

			close(fd);
			return error;
		}
		link_count++;
	}
	return link_count ? 0 : -ENODEV;
}
"""


def attach_more_text(tracer: Tracer, made: list[Program]) -> str:
    """The function `attach_more()`, and what it needs."""
    calls: list[str] = []
    for one in made:
        if one.entry and one.target.end:
            calls += _attach(one.target, one.entry)
            calls += _attach(one.target.end, one.function)
        else:
            calls += _attach(one.target, one.function)
    links = (
        ""
        if not calls or any("attach_samples" in call for call in calls)
        else "\nstatic struct bpf_link *links[1024];\nstatic int link_count;\n"
    )
    perf = _PERF if any("attach_samples" in call for call in calls) else ""
    body = "".join(calls)
    variable = "\tint error;\n\n" if "error" in body else ""
    options = "\tLIBBPF_OPTS(bpf_uprobe_opts, options);\n\n" if "options." in body else ""
    return (
        f"{links}{perf}\n/* Probes in programs, and counters: libbpf does not attach them by itself. */\n"
        f"static int attach_more(struct {tracer.name}_bpf *skel)\n{{\n"
        f"{options}{variable}\t(void)skel;\n{body}\treturn 0;\n}}\n\n"
    )


def _attach(target: Target, function: str) -> Iterator[str]:
    place, program = target.place, f"skel->progs.{function}"
    if isinstance(place, PerfPlace):
        number = place.frequency or place.period
        flags = f"{_bool(bool(place.frequency))}, {_bool(place.one_cpu)}"
        yield (
            f"\terror = attach_samples({program}, {place.type}, {place.config:#x}ULL, {number}ULL, {flags});\n"
            "\tif (error)\n\t\treturn error;\n"
        )
    if not isinstance(place, UserPlace):
        return
    path = c_string(place.path)
    test = "\tif (!links[link_count])\n\t\treturn -errno;\n\tlink_count++;\n"
    if target.kind is ProbeKind.USDT:
        provider, name = (c_string(word) for word in target.probe.rsplit(":", 2)[1:])
        yield (
            f"\tlinks[link_count] = bpf_program__attach_usdt({program}, {place.pid}, {path},\n"
            f"\t\t\t\t\t\t\t     {provider}, {name}, NULL);\n{test}"
        )
        return
    for site in place.sites:
        symbol = target.probe.rpartition(":")[2]
        plain = len(place.sites) == 1 and symbol.isascii() and symbol.isidentifier()
        where = f"\toptions.func_name = {c_string(symbol)};\n" if plain else "\toptions.func_name = NULL;\n"
        offset = "0" if plain else f"{site.offset:#x}"
        yield (
            f"{where}\toptions.retprobe = {_bool(target.kind is ProbeKind.URETPROBE)};\n"
            f"\tlinks[link_count] = bpf_program__attach_uprobe_opts({program}, {place.pid}, {path},\n"
            f"\t\t\t\t\t\t\t\t    {offset}, &options);\n{test}"
        )


def _bool(value: bool) -> str:
    return "true" if value else "false"
