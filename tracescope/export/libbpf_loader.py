"""The loader of a libbpf project in C, and its README. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.targets.target import PerfPlace, Target, UserPlace
from tracescope.errors import Refused
from tracescope.export.c.carried import ARGUMENTS, Column, Form
from tracescope.export.c.events import tracer_keys
from tracescope.export.c.literal import c_string
from tracescope.export.c.programs import Key, Program
from tracescope.export.text import template
from tracescope.export.tracer import Tracer
from tracescope.model import ProbeKind

__all__ = ("exec_loader", "loader", "readme")

_MOST = 16
_TITLE = "TIME            PID     TID     PPID    COMM             PROBE VALUES"

_PRINT_HEAD = """
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
_RING_ATTACH = """\
	ring = ring_buffer__new(bpf_map__fd(skel->maps.events), on_event, NULL, NULL);
	if (!ring) {
		error = -errno;
		fprintf(stderr, "%s: no ring buffer: %%s\\n", strerror(errno));
		goto out;
	}
	set_clock();
	puts("%s");
"""
_CLOCK = """
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
_COUNTED = """
struct row {
	struct count_key key;
	__u64 count;
};

static int more_first(const void *left, const void *right)
{
	const struct row *one = left, *other = right;
%(order)s
	return one->count < other->count ? 1 : one->count > other->count ? -1 : 0;
}
%(stacks)s
static void print_keys(struct %(name)s_bpf *skel, const struct count_key *key)
{
	(void)skel;
	(void)key;
%(keys)s}

/* What was counted, the most first. */
static int print_counts(struct %(name)s_bpf *skel)
{
	int fd = bpf_map__fd(skel->maps.counts);
	struct count_key key, *last = NULL;
	size_t count = 0, at;
	struct row *rows = calloc(bpf_map__max_entries(skel->maps.counts), sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	while (count < bpf_map__max_entries(skel->maps.counts) && !bpf_map_get_next_key(fd, last, &key)) {
		rows[count].key = key;
		last = &rows[count].key;
		if (!bpf_map_lookup_elem(fd, &key, &rows[count].count))
			count++;
	}
	qsort(rows, count, sizeof(*rows), more_first);
	for (at = 0; at < count; at++) {
		printf("%%12llu  %%s", (unsigned long long)rows[at].count, probes[rows[at].key.probe]);
		print_keys(skel, &rows[at].key);
%(bucket)s		putchar('\\n');
		shown += rows[at].count;
	}
	free(rows);
	return 0;
}
"""
_BUCKET = """\
		if (rows[at].key.bucket < 2)
			printf(rows[at].key.bucket ? " [0]" : " [below 0]");
		else
			printf(" [%llu, %llu)", 1ULL << (rows[at].key.bucket - 2),
			       2ULL << (rows[at].key.bucket - 2));
"""
_SAME_KEY = """
	/* The buckets of one histogram stand together, in their order. */
	struct count_key first = one->key, second = other->key;
	int order;

	first.bucket = second.bucket = 0;
	order = memcmp(&first, &second, sizeof(first));
	if (order)
		return order;
	return one->key.bucket < other->key.bucket ? -1 : one->key.bucket > other->key.bucket;
"""
_STACKS = """
/* The kernel's symbols, by address. */
static struct symbol {
	unsigned long long address;
	char name[64];
} *symbols;
static size_t symbol_count;

static int by_address(const void *left, const void *right)
{
	const struct symbol *one = left, *other = right;

	return one->address < other->address ? -1 : one->address > other->address;
}

static void read_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	size_t room = 0;
	struct symbol symbol;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %*c %63s", &symbol.address, symbol.name) != 2 || !symbol.address)
			continue;
		if (symbol_count == room) {
			struct symbol *more = realloc(symbols, (room = room ? 2 * room : 65536) * sizeof(*symbols));

			if (!more)
				break;
			symbols = more;
		}
		symbols[symbol_count++] = symbol;
	}
	if (file)
		fclose(file);
	qsort(symbols, symbol_count, sizeof(*symbols), by_address);
}

static void print_frame(unsigned long long address, bool kernel)
{
	size_t low = 0, high = symbol_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symbols[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (kernel && low)
		printf("\\n\\t\\t%s+%#llx", symbols[low - 1].name, address - symbols[low - 1].address);
	else
		printf("\\n\\t\\t%#llx", address);
}

static void print_stack(struct @NAME@_bpf *skel, __s64 number, bool kernel)
{
	__u64 frames[STACK_DEPTH] = {0};
	__u32 key = number, at;

	if (number < 0 || bpf_map_lookup_elem(bpf_map__fd(skel->maps.stacks), &key, frames)) {
		printf("\\n\\t\\t(no stack: %lld)", (long long)number);
		return;
	}
	if (kernel && !symbols)
		read_symbols();
	for (at = 0; at < STACK_DEPTH && frames[at]; at++)
		print_frame(frames[at], kernel);
}
"""
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


def loader(tracer: Tracer, made: list[Program]) -> str:
    """NAME.c; raises Refused."""
    values = _values(tracer, _usage(made))
    values |= _counting(tracer, made) if tracer.counts else _streaming(tracer, made)
    values["BODY"] += _attach_more(tracer, made)
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
    return "Prints events of\\n" + "\\n".join(f"    {c_string(one.target.probe)[1:-1]}" for one in made)


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


_FOLLOW = """
/* This process; its children from now on come by themselves. */
static int follow(int tree, __u32 thread)
{
	__u8 one = 1;

	return bpf_map_update_elem(tree, &thread, &one, BPF_ANY) ? -errno : 0;
}
"""


def exec_loader(tracer: Tracer, printing: str, cases: str) -> str:
    """NAME.c of the exec tracer: how its events are printed, and the cases that tell them apart."""
    values = _values(tracer, "Shows programs that start, fail to start, and end.") | _stream_values(tracer)
    values["BODY"] = f"{_PRINT_HEAD}{_CLOCK}{printing}{_ON_EVENT % cases}{_FOLLOW if tracer.filters.tree else ''}"
    values["BODY"] += _attach_more(tracer, [])
    values["AFTER_ATTACH"] = (_LAST if tracer.filters.tree else "") + values["AFTER_ATTACH"]
    return template("loader.c", values)


# Events


def _streaming(tracer: Tracer, made: list[Program]) -> dict[str, str]:
    body = _PRINT_HEAD + _CLOCK
    body += "".join(map(_print_event, made))
    cases = "".join(
        f"\tcase {one.number}:\n\t\tif (size < sizeof(struct {one.struct}))\n\t\t\treturn 0;\n"
        f"\t\tprint_{one.struct}(data);\n\t\tbreak;\n"
        for one in made
    )
    body += _ON_EVENT % f"{cases}\tdefault:\n\t\treturn 0;\n"
    return {"BODY": body + (_FOLLOW if tracer.filters.tree else ""), **_stream_values(tracer)}


def _stream_values(tracer: Tracer) -> dict[str, str]:
    return {
        "RING_VARIABLE": "\tstruct ring_buffer *ring = NULL;\n",
        "AFTER_ATTACH": _RING_ATTACH % (tracer.name, _TITLE),
        "WAIT": ("\t\terror = ring_buffer__poll(ring, 100);\n\t\tif (error < 0 && error != -EINTR)\n\t\t\tbreak;\n"),
        "FINISH": (
            "\t/* What was handed over before the end. */\n\tring_buffer__consume(ring);\n"
            '\tfprintf(stderr, "%llu events, %llu lost\\n", shown, (unsigned long long)skel->bss->lost);\n'
        ),
        "CLEAN": "\tring_buffer__free(ring);\n",
    }


def _print_event(program: Program) -> str:
    lines = "".join(_print(column, number) for number, column in enumerate(program.columns))
    label = c_string(program.target.probe)
    return (
        f"\nstatic void print_{program.struct}(const struct {program.struct} *event)\n{{\n"
        f"\tprint_head(&event->head, {label});\n{lines}}}\n"
    )


def _print(column: Column, bit: int) -> str:
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
    unread = f"\tif (event->head.unread & 1U << {min(bit, 31)})\n\t\tputchar('?');\n\telse"
    space = " " if column.form is Form.ARGV else "\n\t\t"
    return f"\tfputs({title}, stdout);\n{unread}{space}{shown}\n"


# Counts


def _counting(tracer: Tracer, made: list[Program]) -> dict[str, str]:
    keys = tracer_keys(tracer)
    follow = _FOLLOW if tracer.filters.tree else ""
    labels = ", ".join(c_string(one.target.probe) for one in made)
    stacks = any(key.kind.is_stack for key in keys)
    values = {
        "name": tracer.name,
        "order": _SAME_KEY if tracer.hist else "",
        "stacks": _STACKS.replace("@NAME@", tracer.name) if stacks else "",
        "keys": "".join(map(_print_key, keys)),
        "bucket": _BUCKET if tracer.hist else "",
    }
    if tracer.hist:
        counted = (_COUNTED % values).replace(
            "\n\treturn one->count < other->count ? 1 : one->count > other->count ? -1 : 0;", ""
        )
    else:
        counted = _COUNTED % values
    return {
        "BODY": f"\nstatic const char *const probes[] = {{{labels}}};\n{counted}{follow}",
        "RING_VARIABLE": "",
        "AFTER_ATTACH": "",
        "WAIT": "\t\tusleep(50000);\n",
        "FINISH": (
            "\t/* Nothing is counted any more while it is read. */\n"
            f"\t{tracer.name}_bpf__detach(skel);\n\terror = print_counts(skel);\n"
            '\tfprintf(stderr, "%llu events, %llu lost\\n", shown, (unsigned long long)skel->bss->lost);\n'
        ),
    }


def _print_key(key: Key) -> str:
    column = key.column
    value = f"key->{column.name}"
    title = f"\tfputs({c_string(f' {column.title}=')}, stdout);\n"
    if key.kind.is_stack:
        kernel = "true" if key.kind is KeyKind.KERNEL_STACK else "false"
        of = "" if kernel == "true" else f'\tprintf("(process %llu)", (unsigned long long){value}_pid);\n'
        return f"{title}{of}\tprint_stack(skel, {value}, {kernel});\n"
    if column.form is Form.TEXT:
        return f"{title}\tprint_text({value}, sizeof({value}));\n"
    form, type_ = {
        Form.SIGNED: ("%lld", "long long"),
        Form.UNSIGNED: ("%llu", "unsigned long long"),
    }.get(column.form, ("%#llx", "unsigned long long"))
    return f'{title}\tprintf("{form}", ({type_}){value});\n'


# What libbpf does not attach by itself


def _attach_more(tracer: Tracer, made: list[Program]) -> str:
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


def readme(tracer: Tracer, made: list[Program]) -> str:
    """README.md."""
    listed = "".join(f"    {one.target.probe}\n" for one in made if one.target.probe.isprintable())
    notes = "".join(f"{note}\n" for note in tracer.notes)
    return template("README.md", {"NAME": tracer.name, "PROBES": listed, "NOTES": f"\n{notes}" if notes else ""})
