"""A listing that was kept: printed again byte for byte, and never when the host would say something else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from made_host import event_format, event_path

from tracescope.catalog import cache, read
from tracescope.cli.main import main

reader = read.read_sources
LIST = ("list", "-v", "tracepoint:*")


def write_host(path: Path, *fields: str) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(event_path("sched", "sched_switch"), event_format("sched_switch", *fields))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_host(tmp_path / "host.zip", "int one")
    return tmp_path / "host.zip"


def listed(capsys: pytest.CaptureFixture[str], host: Path, *words: str) -> tuple[str, str]:
    assert main(["--host", str(host), *(words or LIST)]) == 0
    out, err = capsys.readouterr()
    return out, err


@pytest.mark.parametrize("words", [LIST, ("list", "tracepoint:*"), ("list", "--json", "-v", "tracepoint:*"), ("list",)])
def test_the_second_listing_is_the_first_and_reads_nothing(
    capsys: pytest.CaptureFixture[str], host: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = listed(capsys, host, *words)
    assert first[0]
    monkeypatch.setattr(read, "read_sources", None)
    assert listed(capsys, host, *words) == first


def test_other_words_have_their_own_listing(capsys: pytest.CaptureFixture[str], host: Path) -> None:
    with_arguments, without = listed(capsys, host), listed(capsys, host, "list", "tracepoint:*")
    assert "    int one\n" in with_arguments[0]
    assert with_arguments[0].startswith(without[0])
    assert listed(capsys, host, "list", "-v", "nothing")[0] == ""
    assert listed(capsys, host, "list", "-v", "nothing") == listed(capsys, host, "list", "-v", "nothing")
    assert listed(capsys, host) == with_arguments


def test_another_host_under_the_same_name_is_read_anew(capsys: pytest.CaptureFixture[str], host: Path) -> None:
    listed(capsys, host)
    write_host(host, "int other")
    assert "    int other\n" in listed(capsys, host)[0]


def test_a_change_of_our_own_program_is_a_reason_to_read_anew(
    capsys: pytest.CaptureFixture[str], host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = listed(capsys, host)
    monkeypatch.setattr("tracescope.catalog.fingerprint.__version__", "later")
    calls = []
    monkeypatch.setattr(read, "read_sources", lambda *of: calls.append(of) or reader(*of))
    assert listed(capsys, host) == first
    assert calls


def test_what_cannot_be_trusted_is_thrown_away(capsys: pytest.CaptureFixture[str], host: Path, tmp_path: Path) -> None:
    first = listed(capsys, host)
    (file,) = (tmp_path / "cache" / "tracescope").glob("listing-*")
    data = file.read_bytes()
    for damaged in (b"", data[:-1], data[:40], data[:100] + b"x" + data[101:]):
        file.write_bytes(damaged)
        assert listed(capsys, host) == first


@pytest.mark.usefixtures("host")
def test_nothing_is_kept_of_what_is_refused_or_read_from_a_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    with zipfile.ZipFile(tmp_path / "host.zip") as made:
        made.extractall(folder)
    first = listed(capsys, folder)
    assert listed(capsys, folder) == first
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as made:
        made.writestr("proc/version", "x")
    assert main(["--host", str(tmp_path / "empty.zip"), *LIST]) == 1
    assert not list((tmp_path / "cache").glob("tracescope/listing-*"))


def test_without_the_cache_nothing_is_kept(
    capsys: pytest.CaptureFixture[str], host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.OFF, "off")
    first = listed(capsys, host)
    assert listed(capsys, host) == first
    assert not list((tmp_path / "cache").glob("tracescope/*"))
