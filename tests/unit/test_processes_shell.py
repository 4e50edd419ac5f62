"""A copied command starts the same program with the same argv: asked of real shells."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracescope.errors import Refused
from tracescope.processes import ExecEvent, command_of, shell_command


@pytest.fixture(scope="module")
def show(tmp_path_factory):
    """A program that prints its whole argv, argv[0] too, each ended by NUL."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("show")
    source = folder / "show.c"
    source.write_text(
        "#include <stdio.h>\nint main(int c,char**v){for(int i=0;i<c;i++){fputs(v[i],stdout);putchar(0);}}\n"
    )
    subprocess.run([compiler, "-o", folder / "show", source], check=True)
    return str(folder / "show")


def argv_seen(shell: list[str], command: str, folder: str | None = None) -> list[str]:
    done = subprocess.run([*shell, "-c", command], capture_output=True, check=True, cwd=folder)
    assert done.stderr == b""
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


BASH = ["bash", "--norc"]
NASTY = [
    *(
        "",
        " ",
        "a b",
        "'",
        '"',
        "\\",
        "$HOME",
        "`id`",
        "$(id)",
        "*",
        "~",
        "!",
        "#",
        ";",
        "&&",
        "|",
        ">x",
        "{a,b}",
        "-n",
        "--",
        "-",
    ),
    *(
        "A=b",
        "\n",
        "a\nb",
        "\t",
        "\r",
        "\x1b[31m",
        "\x7f",
        "\udcff",
        "a\udcffb1",
        "é",
        "日本",
        "\u202e",
        "'\x01'",
        "\\x41",
        "\x017",
    ),
]


@pytest.mark.parametrize("word", NASTY)
def test_bash_passes_on_every_word_as_it_was(show, word):
    for argv in ((show, word, "end"), (word, "x")):
        assert argv_seen(BASH, shell_command(argv, show)) == list(argv)


@pytest.mark.parametrize("word", [word for word in NASTY if word.isprintable()])
def test_a_posix_shell_passes_on_every_printable_word(show, word):
    assert argv_seen(["sh"], shell_command((show, word, "end"), show)) == [show, word, "end"]


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=12).map(lambda data: os.fsdecode(data.replace(b"\0", b""))), min_size=1, max_size=5))
def test_any_bytes_come_through(show, words):
    assert argv_seen(BASH, shell_command(tuple(words), show)) == words


def test_a_thousand_arguments_come_through(show):
    words = [show, *(f"word {index}" for index in range(1000))]
    assert argv_seen(["sh"], shell_command(tuple(words), show)) == words


@pytest.mark.parametrize("name", ["-rf", "A=b", "A=b/show", "a b", "echo", "-x/show", "~", "if", "\udcfe"])
def test_a_path_is_never_an_option_an_assignment_or_a_builtin(show, tmp_path, name):
    target = tmp_path / name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(show, target)
    for argv in ((name, "x"), (f"./{name}", "x"), ("other", "x")):
        assert argv_seen(BASH, shell_command(argv, name), str(tmp_path)) == list(argv)


def test_a_command_without_any_argument_gets_an_empty_name_as_the_kernel_gives_it(show):
    assert argv_seen(BASH, shell_command((), show)) == [""]


def test_what_can_be_said_simply_is():
    assert shell_command(("/bin/ls", "-l", "a b"), "/bin/ls") == "/bin/ls -l 'a b'"
    assert shell_command(("ls", "-l"), "/bin/ls") == "(exec -a ls /bin/ls -l)"


def test_nothing_that_could_steer_a_terminal_is_in_the_command():
    command = shell_command(("/bin/x", "\x1b[201~\rid\n"), "/bin/x")
    assert command.isprintable()


def event(**more) -> ExecEvent:
    return ExecEvent(**{"time_ns": 0, "pid": 1, "filename": "/bin/x", "argv": ("/bin/x", "a"), **more})


def test_a_script_is_started_through_its_interpreter():
    script = event(filename="/opt/s.sh", argv=("/bin/sh", "/opt/s.sh", "a"), interpreter="/bin/sh")
    assert command_of(script) == "/bin/sh /opt/s.sh a"


@pytest.mark.parametrize(
    "more",
    [
        {"argv": None},
        {"argv": ("/bin/x", None)},
        {"argv_error": True},
        {"argv_truncated": True},
        {"filename": None},
        {"filename_error": True},
        {"filename": "/dev/fd/3"},
        {"argv": ("a\0b",)},
        {"argv": ("\ud800",)},
    ],
)
def test_half_a_command_is_refused(more):
    with pytest.raises(Refused, match="cannot be written down"):
        command_of(event(**more))
