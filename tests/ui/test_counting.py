"""The counting screen and the dialog that leads to it, with a session that a test fills."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.widgets import Input
from ui.fakes import make_app, screen_text, settle, type_text

from tracescope.attach.ask.keys import Counted, parse_keys, parse_linear
from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.ask.summary import KeyKind, Pow2, SummaryPlan, SummaryRow, summary_plan
from tracescope.attach.counting.shape import histograms
from tracescope.attach.counting.slices import Slices, bucket_range
from tracescope.attach.expression.parse import parse
from tracescope.attach.life import Counts, ProbeCount, SessionState
from tracescope.attach.plan import plan
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.symbols.stacks import Frame, Stack
from tracescope.attach.targets.target import Target
from tracescope.errors import AttachError
from tracescope.ui import attaching
from tracescope.ui.screens.browser import BrowserScreen
from tracescope.ui.screens.counting import CountingScreen
from tracescope.ui.screens.options import OptionsScreen
from tracescope.ui.screens.text import TextScreen
from tracescope.ui.widgets.counts import bar
from tracescope.ui.widgets.heat_map import heat

PROBE = "tracepoint:syscalls:sys_exit_execve"


class FakeCounting:
    """A session that has counted what a test says."""

    def __init__(self, targets: Sequence[Target], options: AttachOptions) -> None:
        self.options = options
        stacks = {"": (), "kernel": (KeyKind.KERNEL_STACK,)}[options.stack]
        keys = parse_keys(options.count_by, stacks)
        value = options.hist or options.sum
        self.counted = Counted(keys, parse(value) if value else None, Pow2() if options.hist else None)
        if options.lhist:
            self.counted = Counted(keys, *parse_linear(options.lhist))
        made = plan(targets)
        readings = [self.counted.reading(scope_of(probe.target, None), probe.index) for probe in made.probes]
        self.plan: SummaryPlan = summary_plan(made, self.counted.names, readings, self.counted.scale)
        self.state, self.error, self.stops = SessionState.RUN, None, 0
        self.failed: list[tuple[PlannedProbe, AttachError]] = []
        self.rows: list[SummaryRow] = []
        self.symbols = self

    def frames(self, stack: Stack) -> tuple[Frame, ...]:
        return tuple(Frame(address, f"function_{address}", 0) for address in stack.frames)

    def start(self) -> None:
        """Nothing to load."""

    def summary(self) -> list[SummaryRow]:
        return list(self.rows)

    def counts(self) -> Counts:
        return Counts(sum(row.count for row in self.rows), 0, 0, (ProbeCount(),))

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[FakeCounting]:
    """The sessions that the app opens."""
    opened: list[FakeCounting] = []

    def open_fake(_host: object, targets: Sequence[Target], options: AttachOptions, *, backend: str) -> FakeCounting:
        assert backend == "auto"
        opened.append(FakeCounting(targets, options))
        return opened[-1]

    monkeypatch.setattr(attaching, "count_in_kernel", open_fake)
    return opened


async def fill(pilot, mode: str, **texts: str) -> None:
    """Open the dialog for one probe, choose a mode, fill lines in, attach."""
    await type_text(pilot, "sys_exit_execve")
    await pilot.press("down", "A")
    await settle(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, OptionsScreen)
    while screen.query_one("#mode").value != mode:
        screen.query_one("#mode").action_choose(1)
    while screen.query_one("#stack").value != texts.get("stack", "no"):
        screen.query_one("#stack").action_choose(1)
    for name, text in texts.items():
        if name != "stack":
            screen.query_one(f"#{name}", Input).value = text
    await settle(pilot)
    await pilot.press("enter")
    await settle(pilot)


def row(count: int, *keys: object, bucket: int | None = None, total: int | None = None) -> SummaryRow:
    return SummaryRow(PROBE, keys, count, bucket, total, total and 1, total and 9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "texts", "options"),
    [
        ("count", {}, {"count": True}),
        ("count", {"by": "comm, pid", "top": "20"}, {"count_by": "comm, pid", "top": 20}),
        ("histogram", {"mode-of": "args.ret", "every": "1.5"}, {"hist": "args.ret", "interval": 1.5}),
        ("steps", {"mode-of": "args.ret:0:100:10"}, {"lhist": "args.ret:0:100:10"}),
        ("sum", {"mode-of": "args.ret", "by": "comm"}, {"sum": "args.ret", "count_by": "comm"}),
        ("count", {"stack": "kernel"}, {"stack": "kernel"}),
    ],
)
async def test_the_dialog_offers_what_the_command_line_does(counting, mode, texts, options):
    app, sessions = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await fill(pilot, mode, **texts)
        assert isinstance(app.screen, CountingScreen)
        (session,) = counting
        for name, value in options.items():
            assert getattr(session.options, name) == value
        assert not sessions


@pytest.mark.parametrize(
    ("mode", "texts", "words"),
    [
        ("histogram", {}, "hist needs a value"),
        ("count", {"show": "pid"}, "values to show are of single events"),
        ("count", {"top": "many"}, "'many' cannot be understood"),
        ("count", {"every": "0"}, "'0' cannot be understood"),
        ("steps", {"mode-of": "args.ret:0"}, "is no linear scale"),
        ("count", {"by": "args.nothing"}, "nothing"),
    ],
)
async def test_what_is_wrong_is_said_in_the_dialog(counting, mode, texts, words):
    app, _ = make_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await fill(pilot, mode, **texts)
        assert isinstance(app.screen, OptionsScreen)
        assert words in screen_text(app)


async def test_lines_about_counting_are_closed_while_every_event_is_wanted():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await type_text(pilot, "sys_exit_execve")
        await pilot.press("down", "A")
        await settle(pilot)
        closed = [
            name for name in ("mode-of", "by", "stack", "top", "every") if app.screen.query_one(f"#{name}").disabled
        ]
        assert len(closed) == 5
        app.screen.query_one("#mode").action_choose(1)
        await settle(pilot)
        # Counting takes no value.
        assert app.screen.query_one("#mode-of").disabled
        assert not app.screen.query_one("#by").disabled


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_table_sorts_by_each_column_and_opens_a_row(counting, size):
    app, _ = make_app()
    async with app.run_test(size=size) as pilot:
        await fill(pilot, "sum", **{"mode-of": "args.ret", "by": "comm"})
        counting[0].rows = [row(5, "few", total=500), row(70, "many", total=7), row(6, "\x1b[31mevil", total=60)]
        app.screen.update_counts()
        await pilot.pause()
        text = screen_text(app)
        assert "count▼" in text
        assert text.index("comm=many") < text.index("evil") < text.index("comm=few")
        assert "\\x1b[31mevil" in text
        await pilot.press("s")
        text = screen_text(app)
        assert "total▼" in text
        assert text.index("comm=few") < text.index("evil") < text.index("comm=many")
        await pilot.press("S")
        assert "total▲" in screen_text(app)
        await pilot.press("end", "enter")
        await settle(pilot)
        assert isinstance(app.screen, TextScreen)
        assert "comm=few  total 500  average 100.0  from 1 to 9" in screen_text(app)
        await pilot.press("escape", "y", "escape")
        await settle(pilot)
        assert isinstance(app.screen, BrowserScreen)
        assert counting[0].stops == 1


async def test_a_stack_is_shown_from_the_innermost_function_on(counting):
    app, _ = make_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await fill(pilot, "count", stack="kernel")
        counting[0].rows = [row(3, Stack((7, 8, 9))), row(1, Stack((), None, 14))]
        app.screen.update_counts()
        await pilot.pause()
        text = screen_text(app)
        assert "function_7 ← function_8 ← function_9" in text
        assert "(no stack)" in text
        await pilot.press("enter")
        await settle(pilot)
        assert "function_8+0x0" in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_a_histogram_has_a_bar_a_bucket_and_a_heat_map(counting, size):
    app, _ = make_app()
    async with app.run_test(size=size) as pilot:
        # No slice ends by itself.
        await fill(pilot, "histogram", **{"mode-of": "args.ret", "every": "9999"})
        screen, session = app.screen, counting[0]
        session.rows = [row(100, bucket=5), row(50, bucket=7), row(1, bucket=None)]
        screen.update_counts()
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert [line.split()[:-1] for line in lines[2:5]] == [
            ["[8,", "16)", "100"],
            ["[16,", "32)"],
            ["[32,", "64)", "50"],
        ]
        bars = [line.count("█") for line in lines[2:6]]
        assert bars[0] > size[0] * 0.6
        assert bars[1] == 0
        assert bars[2] == bars[0] // 2
        assert "(unreadable)" in lines[5]
        screen.end_slice()
        session.rows = [row(101, bucket=5), row(5050, bucket=7)]
        screen.end_slice()
        await pilot.press("v")
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert lines[1].startswith("9999 s a column")
        # The newest at the right, the highest at the top: 5,000 after 50, nothing between, 1 after 100.
        assert [line[:16].strip() for line in lines[2:5]] == ["[32, 64)", "[16, 32)", "[8, 16)"]
        assert [line[16:].split() for line in lines[2:5]] == [["▒█"], [], ["▓░"]]
        await pilot.press("v")
        screen.update_counts()
        await pilot.pause()
        assert "5,050 █" in screen_text(app)
        assert not any("Sort" in line for line in screen_text(app).splitlines()[-1:])


async def test_an_equal_step_histogram_names_its_ends(counting):
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await fill(pilot, "steps", **{"mode-of": "args.ret:0:30:10", "by": "comm"})
        counting[0].rows = [row(1, "a", bucket=0), row(2, "a", bucket=2), row(9, "b", bucket=4)]
        app.screen.update_counts()
        await pilot.pause()
        text = screen_text(app)
        for words in ("comm=b  (9)", "comm=a  (3)", "(..., 0)", "[10, 20)", "[30, ...)"):
            assert words in text
        assert text.index("comm=b") < text.index("comm=a")


async def test_going_to_another_screen_detaches_what_counts(counting):
    app, _ = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("down", "l")
        await settle(pilot)
        await pilot.press("escape")
        await fill(pilot, "count")
        app.pop_screen()
        await settle(pilot)
        assert counting[0].stops == 1


def test_slices_hold_what_came_in_each():
    slices = Slices(kept=2)
    slices.add([row(3, bucket=1)])
    slices.add([row(5, bucket=1), row(1, bucket=4), row(9, bucket=None)])
    assert list(slices.slices) == [{1: 3}, {1: 2, 4: 1}]
    assert bucket_range(slices.columns()) == range(1, 5)
    slices.add([row(5, bucket=1), row(1, bucket=4)])
    assert list(slices.slices) == [{1: 2, 4: 1}, {}]
    assert bucket_range(Slices().columns()) == range(0)


def test_slices_of_one_key_are_its_own_and_a_new_key_had_nothing_before():
    slices = Slices()
    slices.add([row(3, "a", bucket=1)])
    slices.add([row(5, "a", bucket=1), row(7, "b", bucket=4), row(9, "b", bucket=None)])
    slices.add([row(5, "a", bucket=1), row(8, "b", bucket=4), row(9, "b", bucket=None)])
    assert slices.columns((PROBE, ("a",))) == [{1: 3}, {1: 2}, {}]
    assert slices.columns((PROBE, ("b",))) == [{}, {4: 7}, {4: 1}]
    assert slices.columns() == [{1: 3}, {1: 2, 4: 7}, {4: 1}]
    assert slices.columns((PROBE, ("never",))) == [None] * 3


def test_only_the_largest_keys_and_the_chosen_one_are_kept_alone():
    slices = Slices(keys=2)
    small, middle, large = (place(name) for name in ("small", "middle", "large"))
    slices.add([row(1, "small", bucket=0), row(20, "middle", bucket=0), row(30, "large", bucket=0)])
    assert set(slices.alone) == {middle, large}
    assert slices.columns(small) == [None]
    slices.chosen = small
    slices.add([row(2, "small", bucket=0), row(20, "middle", bucket=0), row(30, "large", bucket=0)])
    assert set(slices.alone) == {small, middle, large}
    assert slices.columns(small) == [None, {0: 1}]
    # Overtaken: what is dropped is not known later, and nothing else is made of it.
    slices.chosen = None
    slices.add([row(90, "small", bucket=0), row(20, "middle", bucket=0), row(30, "large", bucket=0)])
    assert set(slices.alone) == {small, large}
    slices.add([row(90, "small", bucket=0), row(99, "middle", bucket=0), row(30, "large", bucket=0)])
    assert slices.columns(middle) == [None, None, None, {0: 79}]
    assert slices.columns() == [{0: 51}, {0: 1}, {0: 88}, {0: 79}]


def test_slices_of_thousands_of_keys_stay_within_their_memory():
    """16,384 places is what the kernel's table holds; each of them counts in each slice, the worst there is."""
    slices = Slices(kept=50, keys=64, cells=4000)
    tracemalloc.start()
    try:
        for turn in range(1, 81):
            rows = [row(turn * (key % 97 + 1), f"key-{key}", bucket=at) for key in range(512) for at in range(8)]
            slices.add(rows)
            if turn == 60:
                before, _ = tracemalloc.get_traced_memory()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(slices.alone) == 64
    kept = [slices.columns(one) for one in slices.alone]
    # 64 keys with 8 buckets a slice: 7 slices are all that 4,000 cells hold; the newest ones.
    assert all(sum(one is not None for one in columns) == 7 for columns in kept)
    assert all(columns[-7:].count(None) == 0 and len(columns) == 50 for columns in kept)
    assert after - before < 500_000


@settings(max_examples=200)
@given(
    st.lists(st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 3)), st.integers(1, 9)), max_size=12),
    st.integers(1, 8), st.integers(0, 7), st.integers(0, 30), st.sampled_from([None, 0, 5]),
)  # fmt: skip
def test_what_is_kept_alone_is_what_came(turns, kept, keys, cells, chosen):
    """Against a plain reading of the same: every column of every key, or None where it was not kept."""
    slices = Slices(kept, keys=keys, cells=cells)
    slices.chosen = None if chosen is None else place(chosen)
    counted = Counter[tuple[int, int]]()
    for came in turns:
        counted.update(came)
        slices.add([row(count, key, bucket=bucket) for (key, bucket), count in counted.items()])
    assert len(slices.alone) <= keys + (chosen is not None)
    newest = turns[-kept:]
    held = 0
    for key in range(7):
        true = [{bucket: n for (of, bucket), n in came.items() if of == key} for came in newest]
        columns = slices.columns(place(key))
        assert [one for one, was in zip(columns, true, strict=True) if one not in (None, was)] == []
        known = [one for one in columns if one is not None]
        # What is not known is the oldest.
        assert columns[len(columns) - len(known) :] == known
        held += sum(map(len, known))
    assert held <= cells


def place(*keys: object) -> tuple[str, tuple[object, ...]]:
    """A key as the slices know it."""
    return PROBE, keys


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_heat_map_is_of_all_keys_or_of_the_chosen_one(counting, size):
    app, _ = make_app()
    async with app.run_test(size=size) as pilot:
        await fill(pilot, "histogram", **{"mode-of": "args.ret", "by": "comm", "every": "9999"})
        screen, session = app.screen, counting[0]
        session.rows = [row(100, "dd", bucket=5), row(3, "\x1b[1mcat", bucket=2)]
        screen.update_counts()
        screen.end_slice()
        session.rows = [row(101, "dd", bucket=5), row(53, "\x1b[1mcat", bucket=2)]
        screen.update_counts()
        screen.end_slice()
        assert not screen.query_one("#whose").display
        assert "Heat map" in screen_text(app).splitlines()[-1]
        # The second histogram, under its title.
        await pilot.press("down", "down", "down")
        assert screen.bars.selected.keys == ("\x1b[1mcat",)
        await pilot.press("enter")
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert lines[1].rstrip() == "args.ret of comm=\\x1b[1mcat"
        # Only its own bucket; 50 after 3.
        assert [line.split() for line in lines[3:6]] == [["[1]", "▒█"], [], []]
        await pilot.press("v")
        assert not screen.query_one("#whose").display
        # The cursor stands where it stood, also when the order of the histograms is another one.
        session.rows = [row(101, "dd", bucket=5), row(953, "\x1b[1mcat", bucket=2)]
        screen.update_counts()
        assert screen.bars.selected.keys == ("\x1b[1mcat",)
        await pilot.press("v")
        await pilot.pause()
        text = screen_text(app)
        assert "args.ret of all keys together  → one key alone" in text
        assert "[8, 16)" in text
        assert "[1]" in text
        await pilot.press("right", "right")
        await pilot.pause()
        assert "args.ret of comm=dd" in screen_text(app)
        await pilot.press("right")
        await pilot.pause()
        assert "of all keys together" in screen_text(app)
        await pilot.press("left", "left")
        await pilot.pause()
        assert "of comm=\\x1b[1mcat" in screen_text(app)


async def test_a_key_that_was_not_kept_says_so(counting):
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await fill(pilot, "histogram", **{"mode-of": "args.ret", "by": "comm", "every": "9999"})
        screen, session = app.screen, counting[0]
        screen._slices.keys = 1
        session.rows = [row(100, "dd", bucket=5), row(3, "x" * 90, bucket=2)]
        screen.update_counts()
        screen.end_slice()
        await pilot.press("end", "enter")
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert lines[1].rstrip().endswith("x…  · not kept: only of the 1 largest keys")
        session.rows = [row(100, "dd", bucket=5), row(4, "x" * 90, bucket=2)]
        screen.end_slice()
        await pilot.pause()
        assert screen_text(app).splitlines()[3].rstrip().endswith(" ·░")


async def test_without_keys_there_is_one_heat_map(counting):
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await fill(pilot, "steps", **{"mode-of": "args.ret:0:30:10", "every": "9999"})
        counting[0].rows = [row(100, bucket=2)]
        app.screen.update_counts()
        app.screen.end_slice()
        before = screen_text(app)
        await pilot.press("enter")
        assert "Heat map" not in screen_text(app)
        assert screen_text(app) == before
        await pilot.press("v", "right")
        await pilot.pause()
        assert "together" not in screen_text(app)
        assert "Next key" not in screen_text(app)


def test_histograms_are_by_key_the_largest_first():
    found = histograms([row(1, "a", bucket=2), row(9, "b", bucket=None), row(2, "a", bucket=5)])
    assert [(one.keys, one.total) for one in found] == [(("b",), 9), (("a",), 3)]
    assert found[1].buckets == [2, 3, 4, 5]
    assert found[0].buckets == [None]


def test_a_bar_ends_with_an_eighth_and_is_never_longer_than_its_room():
    assert bar(0, 10, 20) == ""
    assert bar(1, 1_000_000, 20) == "▏"
    assert bar(10, 10, 20) == "█" * 20
    assert bar(1, 2, 5) == "██▌"


def test_shades_get_denser_and_never_thinner():
    for most in (1, 2, 3, 10, 5000, 10**12):
        shades = [
            " ░▒▓█".index(heat(count, most)[0]) for count in sorted({0, 1, *range(0, most, most // 50 + 1), most})
        ]
        assert shades == sorted(shades)
        assert shades[0] == 0
        assert min(shades[1:]) >= 1
    assert heat(5000, 5000)[0] == "█"
