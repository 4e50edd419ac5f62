"""Views: the rows that a query selects, against a slow check of every row by itself."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import translate
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_host import BLACKLIST, FUNCTIONS, PERF, event_format, event_path, kallsyms, made_catalog

from tracescope.catalog.query import FILTERS, Term, parse_query, toggle
from tracescope.catalog.store import FUNCTION_KINDS, KIND_ORDER, SYMBOL, Catalog, Row

SYMBOLS = kallsyms(
    "T vfs_read",
    "t vfs_read.cold",
    "T __pfx_vfs_read",
    "T VFS_Write",
    "d vfs_table",
    "t twin",
    "t twin",
    "t read_it fuse",
    "t fuse_read fuse",
    "b fuse_read_buf fuse",
    "t twin overlay",
    "T __traceiter_sched_switch",
    "T __traceiter_sys_enter",
    "T schedule",
)
EVENTS = [("sched", "sched_switch"), ("sched", "sched_wakeup"), ("syscalls", "sys_enter_read"), ("fuse", "fuse_read")]
FILES = {
    "proc/kallsyms": SYMBOLS,
    FUNCTIONS: "vfs_read\nVFS_Write\ntwin\nschedule\nread_it [fuse]\n",
    BLACKLIST: "0x0-0x0\tschedule\n",
    PERF: "  cpu-clock   [Software event]\n  cs   [Software event]\n  msr/tsc/   [Kernel PMU event]\n",
    event_path("ftrace", "function"): event_format("function", "unsigned long ip"),
    **{event_path(*event): event_format(event[1], "int fuse_read", "struct file * read") for event in EVENTS},
}

LETTERS = st.sampled_from(
    ["read", "vfs", "sched", "fuse", "it", "_", ".", ":", "*", "?", "[rv]", "[!x]", "[", "T", "x"]
)
WORDS = st.lists(LETTERS, min_size=1, max_size=4).map("".join)
NAMES = st.sampled_from(
    ["vfs_read", "twin", "sched_switch", "sys_enter_*", "*read*", "vmlinux:vfs", "vml", "fuse:fuse_read"]
)
KINDS = st.sampled_from(KIND_ORDER)
FULL = st.tuples(KINDS, NAMES).map(":".join)
VALUES = {
    "kind": st.lists(KINDS, min_size=1, max_size=2).map(",".join),
    "group": st.sampled_from(["sched", "s*", "fuse", "sched,fuse", "vmlinux", "none"]),
    "module": st.sampled_from(["fuse", "vmlinux", "overlay,fuse", "*", "none"]),
    "type": st.sampled_from(["t", "T", "tT", "bd"]),
    "verdict": st.sampled_from(["yes", "no", "yes,no", "unknown"]),
    "arg": st.just("file"),
    "returns": st.just("int"),
    "field": st.sampled_from(["fuse_read", "read", "ip"]),
}
FILTER = st.sampled_from(FILTERS).flatmap(lambda key: VALUES[key].map(lambda value: f"{key}:{value}"))
TERM = st.one_of(WORDS, FULL, FILTER)
QUERY = st.lists(st.tuples(st.sampled_from(["", "-"]), TERM).map("".join), max_size=3).map(" ".join)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Catalog:
    return made_catalog(tmp_path_factory.mktemp("host"), FILES)


def satisfies(catalog: Catalog, row: Row, term: Term) -> bool:
    """One row against one term, from what the row says of itself."""
    text = term.text.lower()
    is_function = row.kind in FUNCTION_KINDS or row.kind == SYMBOL
    group = row.module if is_function else row.group
    event = catalog.knowledge.formats.get(f"{row.group}:{row.name}") if row.kind in ("tracepoint", "format") else None
    if term.key == "kind":
        found = row.kind in term.text.split(",")
    elif term.key in ("group", "module"):
        right_sort = is_function is (term.key == "module")
        name = (group or "vmlinux").lower()
        found = right_sort and any(re.match(translate(part), name) for part in text.split(","))
    elif term.key == "type":
        found = bool(row.type) and row.type in term.text
    elif term.key == "verdict":
        found = catalog.verdict(row.kind, row.entry).answer in term.text.split(",")
    elif term.key in ("arg", "returns", "field"):
        fields = event.fields if event else ()
        names = {"arg": [f.type for f in fields], "field": [f.name for f in fields], "returns": []}[term.key]
        found = any(re.search(rf"\b{term.text}\b", name) if term.key == "arg" else name == term.text for name in names)
    elif term.key == "probe":
        full = f"symbol:{row.probe}" if row.kind == SYMBOL else row.probe
        found = row.kind == text.partition(":")[0] and holds(text, full.lower())
    else:
        found = holds(text, (f"{group}:{row.name}" if group else row.name).lower())
    return found is not term.exclude


def holds(pattern: str, text: str) -> bool:
    if not re.search(r"[*?\[]", pattern):
        return pattern in text
    return any(re.match(translate(glob), text) for glob in (pattern, f"*:{pattern}"))


def keys(rows) -> list:
    return [row.key for row in rows]


@given(QUERY)
def test_a_view_has_exactly_the_rows_that_satisfy_the_query(small, text: str) -> None:
    terms = parse_query(text).terms
    expected = {row.key for row in small.view("") if all(satisfies(small, row, term) for term in terms)}
    found = keys(small.view(text))
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_the_slow_check_is_not_idle(small) -> None:
    everything = len(small.view(""))
    for text in ("read", "kind:kprobe", "group:sched", "module:fuse", "type:t", "verdict:no", "arg:file", "field:ip"):
        assert 0 < len(small.view(text)) < everything


@given(QUERY, QUERY)
def test_typing_on_gives_the_same_rows_as_a_fresh_view(small, before: str, after: str) -> None:
    previous = small.view(before)
    for text in (f"{before} {after}", f"{before}{after}", after):
        assert keys(small.view(text, previous)) == keys(small.view(text))


@given(st.lists(TERM, max_size=4))
def test_the_order_of_words_does_not_change_the_rows(small, words: list[str]) -> None:
    assert set(keys(small.view(" ".join(words)))) == set(keys(small.view(" ".join(reversed(words)))))


@given(TERM)
def test_a_word_and_its_exclusion_share_the_rows_among_them(small, word: str) -> None:
    with_it, without = keys(small.view(word)), keys(small.view(f"-{word}"))
    if parse_query(word) != parse_query(f"-{word}"):
        assert sorted(map(repr, with_it + without)) == sorted(map(repr, keys(small.view(""))))


@given(st.text())
def test_any_text_gives_a_view(small, text: str) -> None:
    view = small.view(text)
    assert len(list(view)) == len(view)
    view.facets()


@given(QUERY)
def test_a_row_is_found_again_by_its_key(small, text: str) -> None:
    view = small.view(text)
    assert [view.index(view.row(place).key) for place in range(len(view))] == list(range(len(view)))


@given(QUERY)
def test_facets_count_the_rows(small, text: str) -> None:
    view = small.view(text)
    rows = list(view)
    facets = {name: dict(counts) for name, counts in view.facets().items()}
    functions = {row.entry: row for row in rows if row.kind in FUNCTION_KINDS or row.kind == SYMBOL}
    others = [row for row in rows if row.entry not in functions]
    assert facets["kind"] == Counter(row.kind for row in rows)
    assert facets["group"] == Counter(row.group for row in others if row.group)
    assert facets["module"] == Counter(row.module or "vmlinux" for row in functions.values())
    assert facets["type"] == Counter(row.type for row in functions.values() if row.type)


@pytest.mark.parametrize("key", ["kind", "group", "module", "type"])
def test_a_facet_chosen_shows_as_many_rows_as_it_counted(catalog12, key: str) -> None:
    kinds = Counter(row.kind for row in catalog12.view("read"))
    for value, count in catalog12.view("read").facets()[key][:5]:
        chosen = catalog12.view(toggle("read", key, value))
        shown = {(row.entry, row.kind) if key in ("kind", "group") else row.entry for row in chosen}
        assert len(shown) == count
        assert {row.kind for row in chosen} <= set(kinds)


@pytest.mark.parametrize(
    "text", ["", "kind:symbol twin", "kind:tracepoint", "tcp", "__x64_sys*", "verdict:no module:fuse", "vfs_read"]
)
def test_rows_of_a_whole_kernel_are_found_again_by_their_keys(catalog12, text: str) -> None:
    view = catalog12.view(text)
    places = range(0, len(view), max(1, len(view) // 50))
    assert len(places) > 0 or text == "kind:symbol twin"
    assert [view.index(view.row(place).key) for place in places] == list(places)


@pytest.mark.parametrize(
    "text",
    ["read", "tcp send", "*execve*", "kind:kprobe vfs_", "-kind:symbol fuse", "group:s* enter", "module:fuse -read",
     "type:tT x64_sys", "verdict:no kind:fentry snd", "kprobe:vfs_*", "fentry:vmlinux:vfs", "fentry:vm", "-symbol:a"],
)  # fmt: skip
def test_a_whole_kernels_view_has_the_rows_that_satisfy_the_query(catalog12, text: str) -> None:
    terms = parse_query(text).terms
    view = catalog12.view(text)
    inside = {(kind, entry) for kind, entries in view.segments for entry in entries}
    assert all(satisfies(catalog12, row, term) for row in islice(view, 3000) for term in terms)
    everything = catalog12.view("")
    for place in range(0, len(everything), 97):
        row = everything.row(place)
        assert ((row.kind, row.entry) in inside) is all(satisfies(catalog12, row, term) for term in terms)


def test_the_exact_name_comes_first_then_what_begins_with_it_then_the_rest_and_padding_last(catalog12) -> None:
    names = [row.name for row in catalog12.view("kind:symbol vfs_read")]
    assert names[0] == "vfs_read"
    ranks = [
        0 if name == "vfs_read" else 3 if name.startswith("__pfx_") else 1 if name.startswith("vfs_read") else 2
        for name in names
    ]
    assert ranks == sorted(ranks)
    assert {0, 1, 2} <= set(ranks)


def test_kinds_come_in_the_order_of_stability(small) -> None:
    kinds = list(dict.fromkeys(row.kind for row in small.view("")))
    assert kinds == sorted(kinds, key=KIND_ORDER.index)
    assert {"tracepoint", "rawtracepoint", "fentry", "kprobe", "software", "pmu", "format", "symbol"} <= set(kinds)


def test_a_key_of_nothing_is_nowhere(small) -> None:
    view = small.view("read")
    for key in (
        None,
        "vfs_read",
        ("kprobe", "", "none", -1),
        ("symbol", "", "vfs_read", 99),
        ("kprobe", "", "schedule", -1),
    ):
        assert view.index(key) is None
