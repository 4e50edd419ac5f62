"""The door to a host: this machine, a recorded one, and recordings that are damaged or hostile."""

from __future__ import annotations

import os
import struct
import tempfile
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope import host as host_module
from tracescope.errors import Damaged, Forbidden, Missing, TraceScopeError
from tracescope.host import TOOL_FILES, LiveHost, SnapshotHost, open_host
from tracescope.snapshot_files import MAX_BYTES

FILES = {
    "proc/version": b"Linux version 6.1.0",
    "proc/sys/kernel/osrelease": b"6.1.0-test\n",
    "sys/kernel/tracing/events/sched/sched_switch/format": b"name: sched_switch\n" * 40,
    "tools/uname.txt": b"Linux test 6.1.0",
    "tools/perf-list.txt": b"",
}
FOLDERS = ("/", "/proc", "/proc/sys", "/sys/kernel/tracing/events", "/sys/kernel/tracing/events/sched")


def zip_bytes(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as out:
        for name, data in files.items():
            out.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


@pytest.fixture
def make_zip(tmp_path: Path):
    """Write bytes, or a dict of files, as a zip; give its path."""

    def write(content: bytes | dict[str, bytes]) -> Path:
        path = tmp_path / "host.zip"
        path.write_bytes(content if isinstance(content, bytes) else zip_bytes(content))
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "host"
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


@pytest.fixture(params=["zip", "folder"])
def snapshot(request: pytest.FixtureRequest, make_zip, folder: Path):
    host = SnapshotHost(make_zip(FILES) if request.param == "zip" else folder)
    yield host
    host.close()


class TestLive:
    def test_a_proc_file_is_read_whole_although_its_size_reads_zero(self, live_host: LiveHost):
        assert os.stat("/proc/version").st_size == 0
        assert live_host.read("/proc/version") == Path("/proc/version").read_bytes()

    def test_the_names_of_a_folder_are_sorted(self, live_host: LiveHost):
        names = live_host.names("/proc/sys/kernel")
        assert names == sorted(names)
        assert {"osrelease", "kptr_restrict"} <= set(names)

    @pytest.mark.parametrize("path", ["/proc/no-such-file", "/proc/version/below"])
    def test_what_is_not_there_is_missing(self, live_host: LiveHost, path: str):
        with pytest.raises(Missing, match=path):
            live_host.read(path)
        with pytest.raises(Missing, match=path):
            live_host.names(path)
        assert not live_host.exists(path)

    @pytest.mark.parametrize("code", [1, 13])  # EPERM, EACCES
    def test_what_the_kernel_refuses_is_forbidden(self, live_host: LiveHost, monkeypatch, code: int):
        def refuse(*args):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(Forbidden, match=os.strerror(code)):
            live_host.read("/proc/version")

    def test_a_read_that_fails_half_way_is_a_refusal_and_closes_the_file(self, live_host: LiveHost):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Damaged, match="directory"):
            live_host.read("/proc")
        assert len(os.listdir("/proc/self/fd")) == before

    def test_a_tool_is_run_and_its_output_kept(self, live_host: LiveHost):
        assert os.uname().release.encode() in live_host.run("uname", "-a")

    def test_only_known_read_only_tools_are_run(self, live_host: LiveHost):
        with pytest.raises(ValueError, match="read-only"):
            live_host.run("rm", "-rf", "/")

    def test_a_tool_that_is_not_installed_is_missing(self, live_host: LiveHost, monkeypatch, tmp_path: Path):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(Missing, match="bpftrace is not installed"):
            live_host.run("bpftrace", "-l")

    def test_a_tool_that_fails_says_why(self, live_host: LiveHost, monkeypatch, tmp_path: Path):
        self.install(tmp_path, "perf", "echo 'perf not found for kernel 6.1' >&2; exit 2")
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with pytest.raises(Missing, match="status 2: perf not found for kernel"):
            live_host.run("perf", "list")

    def test_a_tool_that_hangs_is_stopped(self, monkeypatch, tmp_path: Path):
        self.install(tmp_path, "perf", "exec sleep 600")
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with pytest.raises(Damaged, match="gave no answer"):
            LiveHost(tool_timeout=0.05).run("perf", "list")

    @staticmethod
    def install(folder: Path, name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


class TestTracefs:
    """`LiveHost.tracefs` on folders that stand for /sys/kernel/tracing."""

    @pytest.fixture
    def mount_point(self, tmp_path: Path, monkeypatch) -> Path:
        monkeypatch.setattr(host_module, "_TRACEFS", str(tmp_path / "tracing"))
        monkeypatch.setattr(host_module, "_OLD_TRACEFS", str(tmp_path / "debug"))
        monkeypatch.setattr(host_module, "_MOUNT", f"mkdir {tmp_path}/tracing/events")
        return tmp_path / "tracing"

    def test_a_mounted_tracefs_is_found(self, live_host: LiveHost, mount_point: Path):
        (mount_point / "events").mkdir(parents=True)
        assert live_host.tracefs == str(mount_point)
        assert live_host.notes == []

    def test_the_debugfs_place_serves_when_there_is_no_other(self, live_host: LiveHost, mount_point: Path):
        (mount_point.parent / "debug" / "events").mkdir(parents=True)
        assert live_host.tracefs == str(mount_point.parent / "debug")

    def test_a_kernel_without_tracing_says_so(self, live_host: LiveHost, mount_point: Path):
        with pytest.raises(Missing, match="CONFIG_TRACING"):
            _ = live_host.tracefs

    def test_root_mounts_it_and_notes_that(self, live_host: LiveHost, mount_point: Path, monkeypatch):
        mount_point.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert live_host.tracefs == str(mount_point)
        assert len(live_host.notes) == 1

    @pytest.mark.parametrize("command", ["false", "no-such-command-here"])
    def test_a_mount_that_fails_shows_the_command(self, live_host, mount_point: Path, monkeypatch, command: str):
        mount_point.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(host_module, "_MOUNT", command)
        with pytest.raises(Missing, match="not mounted") as caught:
            _ = live_host.tracefs
        assert caught.value.fix == command

    def test_without_root_the_command_is_shown(self, live_host: LiveHost, mount_point: Path, monkeypatch):
        mount_point.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(Missing, match="not mounted") as caught:
            _ = live_host.tracefs
        assert caught.value.fix == f"sudo {host_module._MOUNT}"


class TestSnapshot:
    def test_every_file_reads_as_it_was_recorded(self, snapshot: SnapshotHost):
        assert {name: snapshot.read(f"/{name}") for name in FILES} == FILES

    def test_every_folder_lists_what_lies_in_it(self, snapshot: SnapshotHost):
        assert [snapshot.names(path) for path in FOLDERS] == [
            ["proc", "sys", "tools"],
            ["sys", "version"],
            ["kernel"],
            ["sched"],
            ["sched_switch"],
        ]

    def test_files_and_folders_exist_and_nothing_else(self, snapshot: SnapshotHost):
        assert all(map(snapshot.exists, (*FOLDERS, *(f"/{name}" for name in FILES))))
        assert not snapshot.exists("/proc/kallsyms")

    @pytest.mark.parametrize("path", ["/proc/kallsyms", "/nowhere", "/proc/version/below"])
    def test_what_was_not_recorded_is_missing(self, snapshot: SnapshotHost, path: str):
        with pytest.raises(Missing):
            snapshot.read(path)
        with pytest.raises(Missing):
            snapshot.names(path)

    def test_the_recorded_output_stands_for_the_tool(self, snapshot: SnapshotHost):
        assert snapshot.run("uname", "-a") == FILES["tools/uname.txt"]

    @pytest.mark.parametrize("command", [("perf", "list"), ("bpftrace", "-l")])
    def test_an_empty_or_absent_output_is_a_missing_tool(self, snapshot: SnapshotHost, command: tuple[str, ...]):
        with pytest.raises(Missing):
            snapshot.run(*command)

    def test_tracefs_is_where_it_was(self, snapshot: SnapshotHost):
        assert snapshot.tracefs == "/sys/kernel/tracing"

    def test_a_snapshot_without_tracefs_says_so(self, make_zip):
        with pytest.raises(Missing, match="no tracefs"):
            _ = SnapshotHost(make_zip({"proc/version": b""})).tracefs

    def test_a_recorded_debian_gives_the_same_from_zip_and_folder(self, debian11: SnapshotHost, tmp_path: Path):
        wanted = "/sys/kernel/tracing/events/sched"
        for name in debian11.names(wanted):
            path = tmp_path / f"{wanted}/{name}/format".lstrip("/")
            path.parent.mkdir(parents=True)
            path.write_bytes(debian11.read(f"{wanted}/{name}/format"))
        copy = SnapshotHost(tmp_path)
        assert copy.names(wanted) == debian11.names(wanted)
        assert len(copy.names(wanted)) > 10


class TestDamaged:
    def test_no_such_file_is_missing(self, tmp_path: Path):
        with pytest.raises(Missing):
            open_host(str(tmp_path / "no.zip"))

    @pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x7fELF" * 1000, {}, {"proc/": b""}])
    def test_what_is_no_snapshot_is_refused(self, make_zip, content):
        with pytest.raises(Damaged, match="not a snapshot"):
            SnapshotHost(make_zip(content))

    def test_a_device_or_a_pipe_is_refused_without_reading_it(self, tmp_path: Path):
        os.mkfifo(tmp_path / "pipe")
        for path in ("/dev/zero", tmp_path / "pipe"):
            with pytest.raises(Damaged, match="neither a zip nor a folder"):
                SnapshotHost(path)

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
    def test_a_cut_zip_is_refused(self, make_zip, part: float):
        whole = zip_bytes(FILES)
        with pytest.raises(Damaged):
            SnapshotHost(make_zip(whole[: int(len(whole) * part)]))

    def test_a_wrong_byte_is_seen_by_the_checksum(self, make_zip):
        data = zip_bytes({"proc/version": b"Linux version 6.1.0"}, zipfile.ZIP_STORED)
        host = SnapshotHost(make_zip(data.replace(b"version 6", b"version 7", 1)))
        with pytest.raises(Damaged, match="CRC"):
            host.read("/proc/version")

    def test_an_encrypted_file_is_refused(self, make_zip):
        data = bytearray(zip_bytes({"proc/version": b"x" * 100}))
        for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(signature) + flags] |= 1
        with pytest.raises(Damaged, match="encrypted"):
            SnapshotHost(make_zip(bytes(data))).read("/proc/version")

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_only_deflate_is_unpacked(self, make_zip, method: int):
        host = SnapshotHost(make_zip(zip_bytes(FILES, method)))
        with pytest.raises(Damaged, match="deflate"):
            host.read("/proc/version")

    def test_a_bomb_that_declares_its_size_is_not_unpacked(self, make_zip):
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out, out.open("proc/kallsyms", "w") as file:
            for _ in range(MAX_BYTES >> 24):
                file.write(bytes(1 << 24))
            file.write(b"\0")
        with pytest.raises(Damaged, match="too large: over 256 MiB"):
            SnapshotHost(make_zip(buffer.getvalue())).read("/proc/kallsyms")

    def test_a_bomb_that_lies_about_its_size_is_cut_there(self, make_zip):
        data = zip_bytes({"proc/kallsyms": bytes(1 << 20)})
        lying = data.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 10))
        with pytest.raises(Damaged, match="CRC"):
            SnapshotHost(make_zip(lying)).read("/proc/kallsyms")

    def test_a_name_of_many_folders_is_ignored(self, make_zip):
        host = SnapshotHost(make_zip({"a/" * 30_000 + "b": b"", "proc/version": b"x"}))
        assert host.names("/") == ["proc"]
        assert len(host.notes) == 1

    def test_a_large_file_in_a_folder_is_refused(self, folder: Path):
        with open(folder / "proc/kallsyms", "wb") as file:
            file.truncate(MAX_BYTES + 1)
        with pytest.raises(Damaged, match="too large"):
            SnapshotHost(folder).read("/proc/kallsyms")

    def test_a_pipe_in_a_folder_is_refused(self, folder: Path):
        os.mkfifo(folder / "proc/kallsyms")
        with pytest.raises(Damaged, match="regular"):
            SnapshotHost(folder).read("/proc/kallsyms")


OUTSIDE = ["/etc/passwd", "../outside", "proc/../../outside", "..\\outside", "a/../../../../tmp/outside", "."]


class TestPathsThatLeadOut:
    @pytest.mark.parametrize("name", OUTSIDE)
    def test_such_a_name_in_a_zip_is_ignored_and_noted(self, make_zip, name: str, tmp_path: Path):
        before = sorted(tmp_path.rglob("*"))
        host = SnapshotHost(make_zip({name: b"owned", "proc/version": b"fine"}))
        assert host.names("/") == ["proc"]
        assert len(host.notes) == 1
        assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "host.zip"]

    @pytest.mark.parametrize("path", ["/../outside", "/proc/../../outside"])
    def test_such_a_path_is_missing_in_a_folder(self, folder: Path, path: str):
        (folder.parent / "outside").write_text("secret")
        host = SnapshotHost(folder)
        assert not host.exists(path)
        with pytest.raises(Missing):
            host.read(path)

    @pytest.mark.parametrize("target", ["/etc", "/etc/passwd", "../outside", "../../outside"])
    def test_a_link_out_of_the_folder_is_missing(self, folder: Path, target: str):
        (folder.parent / "outside").write_text("secret")
        (folder / "proc/link").symlink_to(target)
        host = SnapshotHost(folder)
        assert not host.exists("/proc/link")
        with pytest.raises(Missing):
            host.read("/proc/link")
        with pytest.raises(Missing):
            host.names("/proc/link")

    def test_links_in_a_circle_are_damaged(self, folder: Path):
        (folder / "proc/link").symlink_to("link")
        host = SnapshotHost(folder)
        assert not host.exists("/proc/link")
        with pytest.raises(Damaged):
            host.read("/proc/link")

    def test_a_link_inside_the_folder_is_followed(self, folder: Path):
        (folder / "proc/link").symlink_to("version")
        assert SnapshotHost(folder).read("/proc/link") == FILES["proc/version"]


WHOLE = zip_bytes(FILES)
EDITS = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8)


def read_all(data: bytes) -> None:
    """Open the zip and read all that it claims to hold; only a TraceScopeError may come out, and it is swallowed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "host.zip"
        path.write_bytes(data)
        try:
            host = SnapshotHost(path)
        except TraceScopeError:
            return
        waiting = ["/"]
        while waiting:
            place = waiting.pop()
            for name in host.names(place):
                below = f"{place}/{name}"
                assert host.exists(below)
                with suppress(Missing):
                    waiting += [below] if host.names(below) else []
                with suppress(TraceScopeError):
                    host.read(below)
        host.close()
        assert os.listdir(folder) == ["host.zip"]


@given(EDITS, st.integers(0, len(WHOLE)))
def test_wrong_bytes_in_a_zip_raise_nothing_but_a_refusal(edits: list[tuple[int, int]], cut: int):
    data = bytearray(WHOLE)
    for place, value in edits:
        data[place] = value
    read_all(bytes(data))
    read_all(bytes(data[:cut]))


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), min_size=1, max_size=6))
def test_wrong_bytes_in_the_directory_of_a_zip_raise_nothing_but_a_refusal(edits: list[tuple[int, int]]):
    data = bytearray(WHOLE)
    start = WHOLE.index(b"PK\x01\x02")
    for place, value in edits:
        data[start + place] = value
    read_all(bytes(data))


@given(st.binary(max_size=200))
def test_any_bytes_before_the_end_record_raise_nothing_but_a_refusal(data: bytes):
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(data), 0, 0)
    read_all(data + end)


def test_each_tool_has_its_own_file_in_a_snapshot():
    assert len(set(TOOL_FILES.values())) == len(TOOL_FILES)
