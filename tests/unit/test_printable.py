"""Text from the traced world, before it reaches a terminal."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.printable import _UNSAFE, decode, printable

ANY_TEXT = st.text(st.characters(codec=None, categories=None))  # lone surrogates and controls too


@given(ANY_TEXT)
def test_no_control_format_or_separator_character_that_steers_a_terminal_is_left(text: str):
    shown = printable(text)
    assert not {char for char in shown if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}}
    assert not {char for char in shown if unicodedata.bidirectional(char) in {"LRE", "RLE", "LRO", "RLO", "PDF"}}
    assert not {char for char in shown if unicodedata.bidirectional(char) in {"LRI", "RLI", "FSI", "PDI"}}


@given(st.binary())
def test_any_bytes_become_text_that_can_be_written_as_utf8(data: bytes):
    printable(decode(data)).encode("utf-8")


@given(st.text(st.characters(categories=["L", "N", "P", "Sc", "Sm", "Zs"])))
def test_plain_text_is_left_alone(text: str):
    assert printable(text) == text


@given(ANY_TEXT)
def test_what_is_printable_stays_as_it_is_the_second_time(text: str):
    assert printable(printable(text)) == printable(text)


@given(st.binary())
def test_decoding_keeps_every_byte(data: bytes):
    assert decode(data).encode("utf-8", "surrogateescape") == data


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"ls -l", "ls -l"),
        ("größe 日本 🙂".encode(), "größe 日本 🙂"),
        (b"\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        (b"a\nb\tc\rd", r"a\nb\tc\rd"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\xc2\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe".encode(), r"\u202egnp.exe"),
        (b"[red]markup[/red]", "[red]markup[/red]"),
        (b"\x00\x7f", r"\x00\x7f"),
    ],
)
def test_each_hostile_text_shows_what_it_holds(raw: bytes, shown: str):
    assert printable(decode(raw)) == shown


def test_everything_that_steers_a_terminal_is_escaped():
    left = [chr(code) for code in range(sys.maxunicode + 1) if _UNSAFE.match(chr(code))]
    assert [char for char in left if printable(char) == char] == []
