"""How a libbpf project prints single events, in C. Pure."""

from __future__ import annotations

from tracescope.attach.kernel.transport import Transport
from tracescope.export.c.carried import ARGUMENTS, Column, Form
from tracescope.export.c.literal import c_string
from tracescope.export.c.program import Program
from tracescope.export.tracer import Tracer

__all__ = ("CLOCK", "FOLLOW", "PRINT_HEAD", "on_event_text", "stream_values", "streaming")

_TITLE = "TIME            PID     TID     PPID    COMM             PROBE VALUES"
PRINT_HEAD = """
/* The wall clock at CLOCK_MONOTONIC 0, in nanoseconds. */
static long long started_ns;

static void print_head(const struct event_head *head, const char *probe)
{
	unsigned long long time_ns = started_ns + head->time_ns;
	time_t seconds = time_ns / 1000000000;
	struct tm local;
	char text[16];

	localtime_r(&seconds, &local);
	strftime(text, sizeof(text), "%H:%M:%S", &local);
	printf("%s.%06llu %-7u %-7u %-7u ", text, time_ns / 1000 % 1000000, head->pid, head->tid, head->ppid);
	print_text(head->comm, sizeof(head->comm));
	printf(" %s", probe);
}
"""
_ON_EVENT = """
static int on_event(void *context, void *data, size_t size)
{
	const struct event_head *head = data;

	(void)context;
	if (size < sizeof(*head) || (most && shown >= most))
		return 0;
	switch (head->probe) {
%s	}
	putchar('\\n');
	shown++;
	return 0;
}
"""
_PERF_EVENT = """
static unsigned long long told; /* lost, as far as the kernel has told: with the next event that finds room */

static void on_sample(void *context, int cpu, void *data, __u32 size)
{
	(void)cpu;
	on_event(context, data, size);
}

static void on_lost(void *context, int cpu, __u64 count)
{
	(void)context;
	(void)cpu;
	told += count;
}
"""
_ATTACH = """\
	buffer = %(open)s;
	if (!buffer) {
		error = -errno;
		fprintf(stderr, "%(name)s: no %(way)s buffer: %%s\\n", strerror(errno));
		goto out;
	}
	set_clock();
	puts("%(title)s");
"""
# Kernels before 5.2 do not tell the program that there was no room.
_MORE_LOST = "skel->bss->lost > told ? (unsigned long long)skel->bss->lost : told"
_OPEN_RING = "ring_buffer__new(bpf_map__fd(skel->maps.events), on_event, NULL, NULL)"
_OPEN_PERF = "perf_buffer__new(bpf_map__fd(skel->maps.events), PERF_PAGES, on_sample, on_lost, NULL, NULL)"
CLOCK = """
static void set_clock(void)
{
	struct timespec wall, monotonic;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	started_ns = (wall.tv_sec - monotonic.tv_sec) * 1000000000LL + wall.tv_nsec - monotonic.tv_nsec;
}
"""
_PRINT_ARGV = """\
{{
		__u32 at;

		putchar('[');
		for (at = 0; at < {value}_count && at < {most}; at++) {{
			fputs(at ? ", " : "", stdout);
			if ({value}_unread & 1U << at)
				putchar('?');
			else
				print_text({value}[at], sizeof({value}[at]));
		}}
		fputs({value}_count > {most} ? ", ...]" : "]", stdout);
	}}"""
FOLLOW = """
/* This process; its children from now on come by themselves. */
static int follow(int tree, __u32 thread)
{
	__u8 one = 1;

	return bpf_map_update_elem(tree, &thread, &one, BPF_ANY) ? -errno : 0;
}
"""


def streaming(tracer: Tracer, made: list[Program]) -> dict[str, str]:
    """The parts of the loader that single events need, by their names in its template."""
    body = PRINT_HEAD + CLOCK
    body += "".join(map(_print_event, made))
    cases = "".join(
        f"\tcase {one.number}:\n\t\tif (size < sizeof(struct {one.struct}))\n\t\t\treturn 0;\n"
        f"\t\tprint_{one.struct}(data);\n\t\tbreak;\n"
        for one in made
    )
    body += on_event_text(tracer, f"{cases}\tdefault:\n\t\treturn 0;\n")
    return {"BODY": body + (FOLLOW if tracer.filters.tree else ""), **stream_values(tracer)}


def stream_values(tracer: Tracer) -> dict[str, str]:
    """Those of them that are the same whatever the events are."""
    ring = tracer.transport is Transport.RING
    way = "ring" if ring else "perf"
    lost = "(unsigned long long)skel->bss->lost"
    values = {"open": _OPEN_RING if ring else _OPEN_PERF, "name": tracer.name, "way": way, "title": _TITLE}
    return {
        "BUFFER_VARIABLE": f"\tstruct {way}_buffer *buffer = NULL;\n",
        "AFTER_ATTACH": _ATTACH % values,
        "WAIT": f"\t\terror = {way}_buffer__poll(buffer, 100);\n\t\tif (error < 0 && error != -EINTR)\n\t\t\tbreak;\n",
        "FINISH": (
            f"\t/* What was handed over before the end. */\n\t{way}_buffer__consume(buffer);\n"
            f'\tfprintf(stderr, "%llu events, %llu lost\\n", shown, {lost if ring else _MORE_LOST});\n'
        ),
        "CLEAN": f"\t{way}_buffer__free(buffer);\n",
    }


def on_event_text(tracer: Tracer, cases: str) -> str:
    """`on_event()`, which tells events apart by these cases, and what else the buffer calls."""
    return _ON_EVENT % cases + ("" if tracer.transport is Transport.RING else _PERF_EVENT)


def _print_event(program: Program) -> str:
    lines = "".join(_print(column, _failed(program, number)) for number, column in enumerate(program.columns))
    label = c_string(program.target.probe)
    return (
        f"\nstatic void print_{program.struct}(const struct {program.struct} *event)\n{{\n"
        f"\tprint_head(&event->head, {label});\n{lines}}}\n"
    )


def _failed(program: Program, number: int) -> str:
    """The test for a value that could not be read; empty for one that always can."""
    bit = min(number, 31)
    return f"event->head.unread & 1U << {bit}" if f"head.unread |= 1U << {bit};" in program.text else ""


def _print(column: Column, failed: str) -> str:
    title = c_string(f" {column.title}=")
    value = f"event->{column.name}"
    shown = {
        Form.SIGNED: f'printf("%lld", (long long){value});',
        Form.UNSIGNED: f'printf("%llu", (unsigned long long){value});',
        Form.ADDRESS: f'printf("%#llx", (unsigned long long){value});',
        Form.TEXT: f"print_text({value}, sizeof({value}));",
        Form.BYTES: f"print_bytes({value}, sizeof({value}));",
        Form.ARGV: _PRINT_ARGV.format(value=value, most=ARGUMENTS),
    }[column.form]
    if not failed:
        return f"\tfputs({title}, stdout);\n\t{shown}\n"
    unread = f"\tif ({failed})\n\t\tputchar('?');\n\telse"
    space = " " if column.form is Form.ARGV else "\n\t\t"
    return f"\tfputs({title}, stdout);\n{unread}{space}{shown}\n"
