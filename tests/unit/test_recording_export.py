"""Exports of a recording, read back by other means; the replay command."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from process_events import at, end, fail, fork, run

from tracescope.cli.main import main
from tracescope.printable import printable
from tracescope.processes import ExecEvent, ExecFailed, ExitEvent, ForkEvent
from tracescope.processes.events import keys_of
from tracescope.recording import Recorder
from tracescope.recording_export import COLUMNS, csv_lines, perfetto_lines

STORY = [
    fork(0, 11, 10, comm="app"),
    fail(1, 11, "/usr/local/bin/sh", ret=-2),
    run(2, 11, "/bin/sh", "-c", "=cmd()", comm="sh", ppid=10, uid=0),
    run(5, 11, "/bin/ls", "-l", comm="ls"),
    end(9, 11, 1, cpu_ns=3_000_000, comm="ls"),
    fork(9, 12, 10, comm="app"),
    end(10, 12, None, signal=9),
    run(11, 13, "/bin/sleep", "9"),
    end(12, 99, comm="was there"),
]
ROWS = [event.to_json() for event in STORY]
PROBES = [
    {
        "time": "2026-01-01T00:00:00.000100Z",
        "cpu": 1,
        "probe": "tracepoint:sched:x",
        "pid": 5,
        "tid": 6,
        "comm": "a",
        "args": {"n": 1},
    },
    {
        "time": "2026-01-01T00:00:00.000200Z",
        "cpu": 1,
        "probe": "kretprobe:f",
        "pid": 5,
        "tid": 6,
        "comm": "a",
        "args": {},
        "ret": 0,
        "duration_ns": 50_000,
    },
]


def table(kind: str, rows) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_lines(kind, rows)), newline="")))


def trace(kind: str, rows) -> list[dict]:
    return json.loads("".join(perfetto_lines(kind, rows)))["traceEvents"]


def test_csv_has_always_the_same_columns_and_loses_nothing():
    read = table("exec", ROWS)
    assert len(read) == len(ROWS)
    for row, data in zip(read, ROWS, strict=True):
        assert tuple(row) == COLUMNS["exec"]
        for key in COLUMNS["exec"]:
            value = data.get(key)
            assert row[key] == (
                "" if value is None else value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            )
        assert set(data) <= set(row)


@pytest.mark.parametrize("kind", [ForkEvent, ExecEvent, ExecFailed, ExitEvent])
def test_csv_has_a_column_for_all_that_an_event_can_tell(kind):
    assert set(keys_of(kind)) <= set(COLUMNS["exec"])


def test_csv_of_probes_keeps_arguments_as_json():
    read = table("attach", PROBES)
    assert [json.loads(row["args"]) for row in read] == [{"n": 1}, {}]
    assert tuple(read[0]) == COLUMNS["attach"]


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_sees_no_formula(text: str):
    (row,) = table("exec", [run(0, 1, text, comm=text).to_json()])
    assert row["comm"][0] == row["filename"][0] == "'"


def test_a_number_stays_a_number():
    (row,) = table("exec", [fail(0, 1, "/x", ret=-2).to_json()])
    assert row["ret"] == "-2"


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_csv_has_one_line_an_event_whatever_is_in_it(words):
    text = "".join(csv_lines("exec", [run(0, 1, *words, comm=words[0]).to_json()]))
    assert text.count("\r\n") == 2
    assert all(printable(part) == part for part in text.split("\r\n"))
    (row,) = table("exec", [run(0, 1, *words).to_json()])
    assert json.loads(row["argv"]) == words


def test_processes_become_slices_one_a_program():
    slices = [(row["pid"], row["name"], row["ts"], row["dur"]) for row in trace("exec", ROWS) if row["ph"] == "X"]
    begin = at(0) // 1000
    assert slices == [
        (11, "sh", begin + 2000, 3000),
        (11, "ls", begin + 5000, 4000),
        (12, "app", begin + 9000, 1000),
        (13, "sleep", begin + 11000, 1000),
    ]


def test_slices_carry_arguments_and_the_end():
    by_name = {row["name"]: row["args"] for row in trace("exec", ROWS) if row["ph"] == "X"}
    assert by_name["sh"] == {
        "program": "/bin/sh",
        "argv": ["/bin/sh", "-c", "=cmd()"],
        "exit": "exec",
        "ppid": 10,
        "uid": 0,
    }
    assert by_name["ls"]["exit"] == "exit 1"
    assert by_name["app"]["exit"] == "SIGKILL"
    assert by_name["sleep"]["exit"] == "alive at the end"


def test_failed_execs_become_instants():
    (row,) = [row for row in trace("exec", ROWS) if row["ph"] == "i"]
    assert (row["name"], row["ts"], row["s"], row["args"]["ret"]) == (
        "ENOENT /usr/local/bin/sh",
        at(1) // 1000,
        "t",
        -2,
    )


def test_a_track_is_named_by_the_program():
    names = {row["pid"]: row["args"]["name"] for row in trace("exec", ROWS) if row["ph"] == "M"}
    assert names == {11: "ls", 12: "app", 13: "sleep"}


def test_slices_of_one_track_follow_each_other():
    """What the trace format asks for: slices on a track nest or do not overlap."""
    ends: dict[int, int] = {}
    for row in trace("exec", ROWS):
        assert isinstance(row["pid"], int)
        assert isinstance(row["tid"], int)
        assert isinstance(row["name"], str)
        assert row["ph"] in {"X", "i", "M"}
        if row["ph"] == "X":
            assert row["ts"] >= ends.get(row["pid"], 0)
            ends[row["pid"]] = row["ts"] + row["dur"]


def test_probes_become_slices_when_they_have_a_duration():
    marks = [(row["ph"], row["name"], row["tid"], row.get("dur")) for row in trace("attach", PROBES)]
    assert marks == [("i", "tracepoint:sched:x", 6, None), ("X", "kretprobe:f", 6, 50)]
    assert trace("attach", PROBES)[1]["ts"] == trace("attach", PROBES)[0]["ts"] + 50


def test_an_empty_trace_is_valid():
    assert trace("exec", []) == []


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["event", "time", "pid", "argv", "comm", "probe"]),
            st.integers() | st.text() | st.lists(st.text()),
        )
    )
)
def test_odd_events_break_no_export(rows):
    for kind in COLUMNS:
        assert isinstance(trace(kind, rows), list)
        assert len(table(kind, rows)) == len(rows)


def test_bytes_that_are_no_text_do_not_get_into_the_trace():
    (row,) = [row for row in trace("exec", [run(0, 1, "/x/\udcff", "\x1b").to_json()]) if row["ph"] == "X"]
    assert (row["name"], row["args"]["argv"]) == ("\\xff", ["/x/\\xff", "\\x1b"])


# tracescope replay


def record(path: Path, rows=ROWS, kind: str = "exec", lost: int = 0) -> str:
    with Recorder(path, kind=kind, host={"ncpus": 2}) as recorder:
        for row in rows:
            recorder.write(row)
        recorder.close(lost)
    return str(path)


def test_replay_as_json_prints_what_was_recorded(tmp_path: Path, capsys):
    assert main(["replay", record(tmp_path / "r", lost=4), "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == ROWS
    assert err == "9 events, 4 lost\n"


def test_replay_as_text_prints_a_line_an_event(tmp_path: Path, capsys):
    main(["replay", record(tmp_path / "r")])
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 7
    assert " fork " not in out
    assert "/bin/sh [/bin/sh -c '=cmd()']" in out
    assert err.splitlines()[-1] == "9 events, 0 lost"


def test_replay_of_probes_prints_what_attach_prints(tmp_path: Path, capsys):
    main(["replay", record(tmp_path / "r", [*PROBES, {"time": "2026-01-01T00:00:00Z"}], kind="attach")])
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first.split()[1:] == ["1", "5", "6", "-", "a", "sched:x", "n=1"]
    assert second.endswith("kretprobe:f ret=0")
    assert "cannot be read" in err


def test_replay_of_a_killed_recording_says_what_is_missing(tmp_path: Path, capsys):
    path = tmp_path / "r"
    record(path)
    path.write_bytes(path.read_bytes()[:-80])
    main(["replay", str(path), "--json"])
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("tracescope: the recording stops")
    assert err[-1] == "8 events, unknown lost"


def test_replay_of_processes_says_what_they_add_up_to(tmp_path: Path, capsys):
    main(["replay", record(tmp_path / "r"), "--processes"])
    out = capsys.readouterr().out
    assert out.splitlines()[0].endswith("no loop")
    assert any(line.endswith("/bin/ls  1 exit 1") for line in out.splitlines())


def test_replay_of_probes_has_no_processes(tmp_path: Path, capsys):
    assert main(["replay", record(tmp_path / "r", PROBES, kind="attach"), "--processes"]) == 1
    assert "fix: record with tracescope exec" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["--json", "--csv", "--perfetto", "--processes"])
def test_replay_into_a_new_file_and_never_over_another(tmp_path: Path, capsys, form: str):
    path, out = record(tmp_path / "r"), tmp_path / "out"
    assert main(["replay", path, form, "-o", str(out)]) == 0
    written = out.read_bytes()
    assert written
    assert main(["replay", path, form, "-o", str(out)]) == 1
    assert out.read_bytes() == written
    assert capsys.readouterr().out == ""


def test_replay_with_a_speed_keeps_the_distances(tmp_path: Path, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tracescope.cli.replay.time.monotonic", lambda: now[0])
    monkeypatch.setattr("tracescope.cli.replay.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    main(["replay", record(tmp_path / "r"), "--json", "--speed", "0.5"])
    assert now[0] == pytest.approx(0.024)
    assert len(capsys.readouterr().out.splitlines()) == 9


@pytest.mark.parametrize("speed", ["0", "-1", "x", "nan", "inf"])
def test_a_speed_that_is_none_is_wrong_usage(tmp_path: Path, speed: str):
    with pytest.raises(SystemExit, match="2"):
        main(["replay", "r", f"--speed={speed}"])


def test_replay_of_a_foreign_file_is_refused(tmp_path: Path, capsys):
    (tmp_path / "x").write_text("hello")
    assert main(["replay", str(tmp_path / "x")]) == 1
    assert "fix: " in capsys.readouterr().err
