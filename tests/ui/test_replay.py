"""A recording played back on a clock that the test moves."""

from __future__ import annotations

import pytest
from process_events import at, end, fail, run
from ui.fakes import screen_text

from tracescope.errors import Refused
from tracescope.recording import Recorder, open_recording
from tracescope.ui import process_feed
from tracescope.ui.config import Config
from tracescope.ui.process_replay import Replay
from tracescope.ui.replay import ReplayApp, replay_of


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(process_feed, "_PERIOD", 0.0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    """One start a second for 20 s; each ends 10 ms later; a failed exec at the end; 3 events lost."""
    found = tmp_path / "storm.rec"
    with Recorder(found, kind="exec", host={"ncpus": 2}) as recorder:
        for second in range(20):
            recorder.write(run(second * 1000, 100 + second, "/bin/x", str(second)).to_json())
            recorder.write(end(second * 1000 + 10, 100 + second).to_json())
        recorder.write(fail(20_000, 7, "/bin/y").to_json())
        recorder.close(3)
    return found


@pytest.fixture
def replay(path, clock):
    return replay_of_clock(path, clock)


def replay_of_clock(path, clock):
    return Replay(open_recording(path), clock=clock)


def passes(replay, clock, seconds):
    clock.now += seconds
    replay.pull()
    return replay.table.events


def test_events_come_when_their_time_has_come(replay, clock):
    assert passes(replay, clock, 0) == 1
    assert passes(replay, clock, 0.5) == 2
    assert passes(replay, clock, 0.6) == 4
    assert replay.now_ns == at(1100)


def test_a_pause_holds_the_time(replay, clock):
    passes(replay, clock, 1.5)
    replay.pause()
    assert passes(replay, clock, 100) == 4
    replay.pause()
    assert passes(replay, clock, 1) == 6


def test_speed_multiplies_the_time_and_is_bounded(replay, clock):
    replay.change_speed(2)
    assert passes(replay, clock, 1) == 5
    for _ in range(20):
        replay.change_speed(2)
    assert replay.speed == 1024
    for _ in range(20):
        replay.change_speed(0.5)
    assert replay.speed == 0.125


def test_a_jump_back_gives_what_was_there_then(replay, clock):
    passes(replay, clock, 12.5)
    assert replay.table.events == 26
    replay.jump(-5)
    assert passes(replay, clock, 0) == 16
    assert replay.now_ns == at(7500)
    replay.jump(5)
    assert passes(replay, clock, 0) == 26
    replay.jump(-100)
    assert passes(replay, clock, 0) == 1
    assert replay.now_ns == at(0)


def test_the_end_is_where_the_last_event_is(replay, clock):
    assert replay.end_ns is None
    replay.measure()
    assert replay.end_ns == at(20_000)
    replay.jump(1000)
    assert passes(replay, clock, 0) == 41
    assert replay.over
    assert replay.lost == 3
    assert replay.now_ns == at(20_000)
    replay.pause()
    assert passes(replay, clock, 0) == 1
    assert replay.playing


def test_what_takes_long_is_caught_up_in_slices(path, clock, tmp_path):
    many = tmp_path / "many.rec"
    with Recorder(many, kind="exec") as recorder:
        for number in range(1000):
            recorder.write(run(number, number + 1, "/bin/x").to_json())

    def late():
        clock.now += 0.1
        return clock.now

    replay = replay_of_clock(many, late)
    replay.playing = False
    replay.seek(at(5000))
    replay.pull()
    assert replay.behind
    assert replay.now_ns == replay.table.now_ns < at(999)
    for _ in range(20):
        replay.pull()
    assert not replay.behind
    assert replay.table.events == 1000
    assert replay.now_ns == at(999)


def test_a_cut_and_damaged_file_is_played_as_far_as_it_goes(path, clock):
    data = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        b"".join(data[:5]) + b'{"event": "exec", "pid": "x"}\n{broken\n' + b"".join(data[5:9]) + data[9][:20]
    )
    replay = replay_of_clock(path, clock)
    replay.measure()
    assert passes(replay, clock, 100) == 8
    assert replay.unreadable == 1
    assert replay.recording.damaged == 1
    assert "stops in the middle of a line" in " ".join(replay.recording.notes())


def test_an_empty_recording_is_over_at_once(tmp_path, clock):
    empty = tmp_path / "empty.rec"
    Recorder(empty, kind="exec").close()
    replay = replay_of_clock(empty, clock)
    replay.measure()
    assert passes(replay, clock, 1) == 0
    assert replay.over


def test_a_recording_of_probes_is_refused(tmp_path):
    Recorder(tmp_path / "a.rec", kind="attach").close()
    with pytest.raises(Refused, match="no processes"):
        replay_of(open_recording(tmp_path / "a.rec"))


async def ticks(pilot):
    pilot.app._tick()
    await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (40, 10)])
async def test_the_keys_control_the_time(replay, clock, size):
    app = ReplayApp(replay, Config())
    async with app.run_test(size=size) as pilot:
        while replay.end_ns is None:
            await pilot.pause(0.01)
        clock.now += 8.5
        await ticks(pilot)
        assert "00:08.5 of 00:20.0" in screen_text(app)
        assert "playing" in screen_text(app)
        for key, words in (
            ("space", "held"),
            ("left", "00:03.5"),
            ("right", "00:08.5"),
            ("home", "00:00.0"),
            ("end", "00:20.0"),
            ("plus", "2×"),
            ("minus", "1×"),
        ):
            await pilot.press(key)
            await ticks(pilot)
            assert words in screen_text(app), key
        assert "3 lost" in screen_text(app)


async def test_the_times_keys_rest_while_a_filter_is_typed(replay, clock):
    app = ReplayApp(replay, Config())
    async with app.run_test(size=(80, 24)) as pilot:
        clock.now += 8.5
        await ticks(pilot)
        await pilot.press("slash", *"bin", "home", "a", "space", "end", "plus")
        assert app.screen.query_one("FilterInput").value == "a bin+"
        assert replay.playing
        assert replay.speed == 1


async def test_all_views_go_back_with_the_time(replay, clock):
    app = ReplayApp(replay, Config())
    async with app.run_test(size=(80, 24)) as pilot:
        clock.now += 18.5
        for key in ("1", "2", "3"):
            await pilot.press(key)
            await ticks(pilot)
            assert app.screen._view.row_count > 0
        await pilot.press("home")
        await ticks(pilot)
        assert replay.table.events == 1
        assert app.screen._view.row_count == 1
