"""What holds for every command: exit statuses, `--host`, help, and standard output that carries data only."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from made_host import FUNCTIONS, PERF, event_format, event_path, kallsyms, make_host

from tracescope.cli import main as cli
from tracescope.cli.main import COMMANDS, build_parser, main
from tracescope.cli.output import heading
from tracescope.errors import Refused, UsageError

RUN = [sys.executable, "-c", "import sys; from tracescope.cli.main import main; sys.exit(main())"]


@pytest.fixture
def host(tmp_path: Path) -> str:
    files = {
        "proc/kallsyms": kallsyms("T vfs_read", "d jiffies", "t fuse_read fuse"),
        FUNCTIONS: "vfs_read\n",
        PERF: "  cpu-clock   [Software event]\n",
        event_path("sched", "sched_switch"): event_format("sched_switch", "int a"),
    }
    return str(make_host(tmp_path, files))


READING = {
    "list": ["tracepoint:*"],
    "show": ["kprobe:vfs_read"],
    "symbols": ["vfs_*"],
    "choose": ["off-cpu"],
    "doctor": [],
}


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_host_goes_before_and_after_the_command(host: str, capsys, command: str, options: list[str]) -> None:
    words = [command, *options, *READING[command]]
    before_status, before = main(["--host", host, *words]), capsys.readouterr().out
    after_status, after = main([*words, f"--host={host}"]), capsys.readouterr().out
    assert (before_status, after_status) == (0, 0)
    # doctor tells how long each source took.
    timing = re.compile(r"in \d+\.\d+ s")
    assert timing.sub("", before) == timing.sub("", after) != ""


@pytest.mark.parametrize("command", READING)
def test_json_is_one_object_a_line_of_plain_ascii(host: str, capsys, command: str) -> None:
    assert main(["--host", host, command, "--json", *READING[command]]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.endswith("\n")
    assert all(isinstance(json.loads(line), dict) for line in out.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--none"],
        ["show"],
        ["show", "a", "b"],
        ["none"],
        ["symbols", "--type"],
        ["attach"],
        ["attach", "tracepoint:a:b", "--count", "x"],
        ["attach", "tracepoint:a:b", "--uid", "no such user"],
        ["--host"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_and_prints_nothing(capsys, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: tracescope" in captured.err


@pytest.mark.parametrize(
    ("words", "wrong", "fix"),
    [
        (
            ["attach", "x:y", "--durtion", "3"],
            "unrecognized arguments: --durtion",
            "--duration; tracescope attach --help",
        ),
        (["atach", "x"], "invalid choice: 'atach'", "did you mean attach; tracescope --help"),
        (["list", "--zzz"], "unrecognized arguments: --zzz", "fix: tracescope list --help"),
        (["attach", "x:y", "--count", "0"], "at least 1", "tracescope attach --help"),
        (["attach", "x:y", "--duration", "-1"], "no number of seconds", "tracescope attach --help"),
        (["attach", "x:y", "--interval", "nan"], "no number of seconds", "tracescope attach --help"),
    ],
)
def test_wrong_usage_names_what_was_meant_or_the_help_of_that_command(capsys, words, wrong: str, fix: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    shown = capsys.readouterr()
    assert (end.value.code, shown.out) == (2, "")
    assert wrong in shown.err
    assert fix in shown.err


def test_without_a_terminal_the_browser_is_wrong_usage(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "the browser needs a terminal" in captured.err


@pytest.mark.parametrize(
    ("error", "status"),
    [(Refused("it is so", "of this", "mend it"), 1), (UsageError("it is so", "of this", "mend it"), 2)],
)
def test_a_refusal_says_what_why_and_fix_on_standard_error(capsys, monkeypatch, error: Exception, status: int) -> None:
    def refuse(_: object) -> int:
        raise error

    monkeypatch.setattr("tracescope.cli.doctor.run", refuse)
    assert main(["doctor"]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "tracescope: it is so\n  why: of this\n  fix: mend it\n"


@pytest.mark.parametrize("where", ["none.zip", "file"])
@pytest.mark.parametrize("command", READING)
def test_a_host_that_is_no_snapshot_is_refused(tmp_path: Path, capsys, command: str, where: str) -> None:
    (tmp_path / "file").write_text("no zip")
    assert main(["--host", str(tmp_path / where), command, *READING[command]]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"tracescope: {tmp_path / where} is not ")


@pytest.mark.parametrize("command", ["list", "symbols", "show", "choose"])
def test_a_host_with_no_source_is_refused_with_the_first_ones_reason(tmp_path: Path, capsys, command: str) -> None:
    make_host(tmp_path, {"proc/version": "Linux"})
    assert main(["--host", str(tmp_path), command, *READING[command]]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nothing to read on this host" in captured.err
    assert "why: " in captured.err


def test_doctor_of_a_host_with_no_source_says_so_of_each_and_is_done(tmp_path: Path, capsys) -> None:
    make_host(tmp_path, {"proc/version": "Linux"})
    assert main(["--host", str(tmp_path), "doctor", "--json"]) == 0
    checks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"tracefs", "kallsyms", "ftrace", "blacklist", "btf", "perf", "bpftrace"} <= {
        check["name"] for check in checks
    }
    assert all(check["why"] for check in checks if check["health"] != "ok")
    assert {check["health"] for check in checks} <= {"ok", "limited", "broken"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_ends_with_status_0_and_names_the_command(capsys, command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"tracescope {command}" in out
    assert "--host" in out


def test_the_help_names_every_command_with_its_line_and_the_exit_statuses(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for command, (_, line) in COMMANDS.items():
        assert f"{command} {line}" in out
    assert "0 done, 1 refused" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_in_a_commands_help_can_be_typed(command: str) -> None:
    words = cli.import_module(f"tracescope.cli.{COMMANDS[command][0]}").__doc__
    for example in re.findall(r"^ {4}tracescope (.*)$", words, re.MULTILINE):
        arguments, _ = cli._split(shlex.split(example, comments=True))
        assert build_parser(arguments).parse_args(arguments).command == command


def test_the_command_behind_two_dashes_is_not_parsed(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("tracescope.cli.attach.run", lambda args: seen.append(args) or 0)
    assert main(["attach", "tracepoint:a:b", "--json", "--", "echo", "--json", "--", "x"]) == 0
    assert seen[0].run_command == ["echo", "--json", "--", "x"]
    assert seen[0].probes == ["tracepoint:a:b"]


@pytest.mark.parametrize("command", READING)
def test_a_command_behind_two_dashes_is_wrong_usage_where_none_is_started(capsys, command: str) -> None:
    assert main([command, *READING[command], "--", "echo"]) == 2
    assert "only attach and exec start a command" in capsys.readouterr().err


def test_an_interrupted_command_is_status_130_without_a_word(monkeypatch, capsys) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracescope.cli.list_probes.run", interrupt)
    assert main(["list"]) == 130
    assert capsys.readouterr() == ("", "")


# In a process of its own


def many(tmp_path: Path) -> str:
    """A host whose listing is more than a pipe holds."""
    events = "".join(f"  made:event_{number:05}_{'x' * 40}   [Software event]\n" for number in range(5000))
    return str(make_host(tmp_path, {PERF: events}))


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, options: list[str]) -> None:
    with subprocess.Popen(
        [*RUN, "--host", many(tmp_path), "list", *options, "software:*"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"event_00000" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE


def test_an_interrupt_in_the_middle_of_output_is_status_130(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*RUN, "--host", many(tmp_path), "list", "software:*"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)  # the pipe is full: it stands in a write
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == b""
        assert process.wait() == 130


def test_a_full_disk_is_said_and_is_status_1(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*RUN, "--host", many(tmp_path), "list", "software:*"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == (f"tracescope: the output cannot be written\n  why: {os.strerror(errno.ENOSPC)}\n")


def test_a_terminal_that_is_not_utf8_gets_escapes(tmp_path: Path) -> None:
    host = make_host(tmp_path, {PERF: "  événement   [Software event]\n"})
    done = subprocess.run(
        [*RUN, "--host", str(host), "list", "software:*"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"software:\\xe9v\\xe9nement\n")


def test_a_closed_standard_output_is_said_and_is_status_1() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tracescope list >&-"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    assert "standard output is closed" in done.stderr


@pytest.mark.parametrize("where", ["stdout", "stderr"])
def test_columns_are_named_for_a_person_only(monkeypatch, capsys, where: str) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    heading("time pid")
    monkeypatch.setattr(f"sys.{where}.isatty", lambda: False)
    heading("not seen")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "time pid\n")
