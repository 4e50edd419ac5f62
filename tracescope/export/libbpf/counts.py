"""How a libbpf project prints what it counted, in C. Pure."""

from __future__ import annotations

from tracescope.attach.ask.summary import KeyKind
from tracescope.export.c.carried import Form
from tracescope.export.c.events import tracer_keys
from tracescope.export.c.keys import Key
from tracescope.export.c.literal import c_string
from tracescope.export.c.program import Program
from tracescope.export.libbpf.stream import FOLLOW
from tracescope.export.tracer import Tracer

__all__ = ("counting",)

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


def counting(tracer: Tracer, made: list[Program]) -> dict[str, str]:
    """The parts of the loader that counts need, by their names in its template."""
    keys = tracer_keys(tracer)
    follow = FOLLOW if tracer.filters.tree else ""
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
        "BUFFER_VARIABLE": "",
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
