"""Names that would steer a terminal: escaped in text, escaped in JSON, never a second line."""

from __future__ import annotations

import contextlib
import io
import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_host import BPFTRACE, FUNCTIONS, PERF, event_format, event_path, kallsyms, make_host

from tracescope.cli.main import main

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
ESCAPE, BIDI, MARKUP, BYTE = "red\x1b[31m", "abc\u202ecba", "[bold]x[/]", "b\udcff"
NAMES = [ESCAPE, BIDI, MARKUP, BYTE, "a\x9bb", "bell\x07", "c\x7fd"]
FILES = {
    "proc/kallsyms": kallsyms(*(f"T {name}" for name in NAMES), f"t in_module {ESCAPE}", "T register_kprobe"),
    FUNCTIONS: "".join(f"{name}\n" for name in NAMES),
    PERF: f"  {ESCAPE}   [Software event]\n  x{BIDI}   [Software event]\n",
    BPFTRACE: f"kprobe:{ESCAPE}\n",
    event_path("made", "made"): event_format(f"made{ESCAPE}", f"int {ESCAPE}", "int plain")
    .replace("REC->a", f"REC->{ESCAPE}\\n[/bold]"),
}  # fmt: skip
COMMANDS = [
    ["list", "-a", "-v"],
    ["list", "--json", "-v"],
    ["symbols"],
    ["symbols", "--json"],
    *(
        ["show", *options, probe]
        for options in ([], ["--json"])
        for probe in (f"kprobe:{ESCAPE}", BYTE, f"software:{ESCAPE}")
    ),
    ["show", f"kprobe:{ESCAPE}x"],
    ["show", f"tracepoint:made:made{ESCAPE}"],
    ["choose", ESCAPE],
    ["doctor"],
    ["doctor", "--json"],
]


def is_plain(text: str) -> bool:
    """No control, no line separator, no lone surrogate, nothing that turns the direction of text."""
    return not any(
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in TURNS
        for char in text.replace("\n", "")
    )


@pytest.mark.parametrize("words", COMMANDS, ids=repr)
def test_no_command_prints_terminal_control(tmp_path, capsys, words: list[str]) -> None:
    make_host(tmp_path, FILES)
    main(["--host", str(tmp_path), *words])
    captured = capsys.readouterr()
    assert is_plain(captured.out)
    assert is_plain(captured.err)
    assert captured.out or captured.err


def test_json_keeps_the_bytes_of_a_name_and_one_line_an_object(tmp_path, capsys) -> None:
    make_host(tmp_path, FILES)
    assert main(["--host", str(tmp_path), "list", "--json", "kprobe:*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == sorted([*NAMES, "in_module", "register_kprobe"])
    assert b"kprobe:b\xff" in [json.loads(line)["probe"].encode("utf-8", "surrogateescape") for line in lines]


def test_text_shows_the_escapes(tmp_path, capsys) -> None:
    make_host(tmp_path, FILES)
    main(["--host", str(tmp_path), "list", "-a", "kprobe:red*", "kprobe:b*", "kprobe:abc*"])
    assert capsys.readouterr().out.splitlines() == [
        r"kprobe:abc\u202ecba", r"kprobe:bell\x07", r"kprobe:b\xff", r"kprobe:red\x1b[31m",
    ]  # fmt: skip


def printed(words: list[str]) -> tuple[int, str]:
    """The status of a command and all that it printed; capsys is for one test, not for each example."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        return main(words), out.getvalue()


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=40), max_size=5), st.binary(max_size=200))
def test_files_of_any_bytes_give_rows_or_a_refusal_and_plain_text(tmp_path_factory, rows, format_file) -> None:
    host = tmp_path_factory.mktemp("host")
    files = {
        "proc/kallsyms": b"\n".join(b"ffffffff81000000 T " + row for row in rows) + b"\n",
        FUNCTIONS: b"\n".join(rows) + b"\n",
        event_path("a", "b"): b"name: b\nID: 1\nformat:\n" + format_file,
    }
    make_host(host, files)
    for words in (["list", "-a", "-v"], ["symbols"]):
        status, text = printed(["--host", str(host), *words])
        assert status in (0, 1)
        assert is_plain(text)
