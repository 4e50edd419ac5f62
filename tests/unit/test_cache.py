"""The cache: what comes from it is what would be read anew, and nothing that anybody did to its files shows."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_host import KALLSYMS, event_format, event_path, kallsyms, make_host

from tracescope.catalog import cache, fingerprint
from tracescope.catalog.detail import describe
from tracescope.catalog.packed import KernelTypes
from tracescope.catalog.read import ALL_SOURCES, read_all, read_sources
from tracescope.catalog.store import Catalog
from tracescope.host import SnapshotHost

SOURCES = ("tracefs", "kallsyms")
FILES = {
    KALLSYMS: kallsyms("T _stext", "T vfs_read", "t fuse_open fuse", "d jiffies", "T vfs_Write", "t fuse_open fuse"),
    event_path("sched", "sched_switch"): event_format("sched_switch", "char comm[16]", "int pid"),
    event_path("sched", "sched_wakeup"): event_format("sched_wakeup", "char comm[16]", "int pid", number=8),
    "proc/modules": "fuse 200704 3 - Live 0xffffffffc0600000\n",
    "proc/sys/kernel/random/boot_id": "one\n",
    "sys/kernel/notes": "build one\n",
    "sys/kernel/tracing/dynamic_events": "",
    "sys/module/fuse/notes/.note.gnu.build-id": "fuse one\n",
    "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    "proc/self/status": "CapEff:\t000001ffffffffff\n",
}


class LiveFolder(SnapshotHost):
    """A folder that is read as if it were this machine."""

    live = True


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tracescope"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's folder."""
    return make_host(tmp_path / "host", FILES)


def everything(catalog: Catalog) -> tuple[object, ...]:
    """What two equal catalogs have in common; BTF by its modules."""
    known = catalog.knowledge
    groups = [catalog.group(entry) for entry in range(len(catalog))]
    columns = (catalog.names, catalog.texts, catalog.facts, catalog.symbol_rows, groups, catalog.sections)
    reports = {name: (report.state, report.count, report.why, report.fix) for name, report in known.reports.items()}
    rest = (known.symbols, known.formats, known.perf, known.host, known.shows_exports, sorted(known.btf), reports)
    return *columns, *rest


def anew(host: SnapshotHost, sources: tuple[str, ...] = SOURCES) -> Catalog:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.OFF, "off")
        return read_sources(host, sources)


def is_kept(host: SnapshotHost, sources: tuple[str, ...] = SOURCES) -> bool:
    """True when the next reading comes from the cache."""
    catalog = read_sources(host, sources)
    return isinstance(catalog.knowledge.btf, KernelTypes)


class TestEqual:
    @pytest.mark.parametrize("name", ["debian11", "debian12"])
    def test_a_recorded_host_from_the_cache_is_the_one_read_anew(self, request, kept: Path, name: str):
        host = request.getfixturevalue(name)
        cold = anew(host, ALL_SOURCES)
        first, again = read_sources(host, ALL_SOURCES), read_sources(host, ALL_SOURCES)
        assert isinstance(again.knowledge.btf, KernelTypes)
        assert everything(cold) == everything(first)
        assert everything(cold) == everything(again)

    def test_the_details_of_a_probe_are_the_same(self, debian12: SnapshotHost, kept: Path):
        cold, _, again = (read_sources(debian12, ALL_SOURCES) for _ in range(3))
        for probe in ("tracepoint:sched:sched_switch", "fentry:vmlinux:vfs_read", "kprobe:tcp_sendmsg", "jiffies"):
            ours, theirs = cold.find(probe), again.find(probe)
            assert ours == theirs
            assert ours is not None
            assert describe(cold, ours) == describe(again, theirs)

    def test_the_tui_gets_one_catalog_and_every_report(self, debian12: SnapshotHost, kept: Path):
        cold = read_sources(debian12, ALL_SOURCES)
        catalogs: list[Catalog] = []
        reports = {}
        read_all(debian12, lambda report: reports.update({report.name: report}), catalogs.append)
        assert [everything(catalog) for catalog in catalogs] == [everything(cold)]
        assert reports == cold.knowledge.reports

    def test_each_set_of_sources_is_kept_by_itself(self, root: Path, kept: Path):
        host = LiveFolder(root)
        read_sources(host, SOURCES)
        assert not is_kept(host, ("tracefs",))
        assert is_kept(host, SOURCES)

    def test_btf_that_cannot_be_read_any_more_is_empty(self, root: Path):
        types = KernelTypes(LiveFolder(root), ["vmlinux", "fuse"])
        assert [list(table.functions()) for table in types.values()] == [[], []]
        assert types.get("ext4") is None


class TestKey:
    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("proc/sys/kernel/random/boot_id", "two\n"),
            ("sys/kernel/notes", "build two\n"),
            ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
            ("proc/modules", ""),
            ("proc/modules", "fuse 200704 3 - Live 0xffffffffc0700000\n"),
            ("sys/module/fuse/notes/.note.gnu.build-id", "fuse two\n"),
            ("sys/kernel/tracing/dynamic_events", "p:kprobes/mine vfs_read\n"),
            ("sys/kernel/tracing/events/mine/new/format", event_format("new", "int a")),
            ("proc/self/status", "CapEff:\t0000000000000000\n"),
            (KALLSYMS, kallsyms("T _stext", "T vfs_read", "t fuse_open fuse", "d jiffies", "T vfs_rename")),
        ],
    )
    def test_what_changes_the_answers_is_read_anew(self, root: Path, kept: Path, path: str, text: str):
        host = LiveFolder(root)
        read_sources(host, SOURCES)
        assert is_kept(host)
        make_host(root, {path: text})
        assert not is_kept(host)
        assert everything(read_sources(host, SOURCES)) == everything(anew(host))

    def test_who_uses_a_module_does_not_matter(self, root: Path, kept: Path):
        host = LiveFolder(root)
        read_sources(host, SOURCES)
        make_host(root, {"proc/modules": "fuse 200704 5 cuse,virtiofs, Live 0xffffffffc0600000\n"})
        assert is_kept(host)

    def test_other_rights_are_another_key(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        before = fingerprint.fingerprint(LiveFolder(root), SOURCES)
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        assert fingerprint.fingerprint(LiveFolder(root), SOURCES) != before

    def test_another_program_is_another_key(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        before = fingerprint.fingerprint(LiveFolder(root), SOURCES)
        monkeypatch.setattr(fingerprint, "__version__", "0.0.0")
        assert fingerprint.fingerprint(LiveFolder(root), SOURCES) != before

    def test_a_tool_that_was_replaced_is_asked_again(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        tools = tmp_path / "bin"
        tools.mkdir()
        monkeypatch.setenv("PATH", str(tools))
        keys = {fingerprint.fingerprint(LiveFolder(root), ("perf",))}
        for text in ("old", "newer"):
            (tools / "perf").write_text(text)
            keys.add(fingerprint.fingerprint(LiveFolder(root), ("perf",)))
        assert len(keys) == 3

    @pytest.mark.parametrize(
        "generated", [(), ("t bpf_prog_1 bpf",), ("t tramp __builtin__ftrace", "t bpf_prog_2 bpf", "t bpf_prog_2 bpf")]
    )
    def test_code_that_comes_and_goes_is_never_kept(self, root: Path, kept: Path, generated: tuple[str, ...]):
        host = LiveFolder(root)
        for rows in (("t bpf_prog_0 bpf", "t slot __builtin__kprobes"), generated):
            text = FILES[KALLSYMS] + kallsyms(*rows) if rows else FILES[KALLSYMS]
            make_host(root, {KALLSYMS: text})
            catalog = read_sources(host, SOURCES)
            assert everything(catalog) == everything(anew(host))
        assert is_kept(host)

    def test_a_zip_that_was_replaced_is_read_anew(self, root: Path, tmp_path: Path, kept: Path):
        path = tmp_path / "host.zip"
        write_zip(path, FILES)
        read_sources(SnapshotHost(path), SOURCES)
        assert is_kept(SnapshotHost(path))
        write_zip(path, FILES | {KALLSYMS: kallsyms("T only")})
        catalog = read_sources(SnapshotHost(path), SOURCES)
        assert not isinstance(catalog.knowledge.btf, KernelTypes)
        assert everything(catalog) == everything(anew(SnapshotHost(path)))

    def test_a_folder_is_never_kept(self, root: Path, kept: Path):
        read_sources(SnapshotHost(root), SOURCES)
        assert not is_kept(SnapshotHost(root))
        assert not kept.exists()

    def test_switched_off_nothing_is_read_or_written(self, root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(cache.OFF, "off")
        read_sources(LiveFolder(root), SOURCES)
        assert not is_kept(LiveFolder(root))
        assert not kept.exists()


def write_zip(path: Path, files: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


PLAIN = {"names": ["vfs_read", "vfs_write"], "facts": bytes(range(64)), "numbers": [(1, 2.5, None, True)]}


@pytest.fixture(scope="class")
def whole() -> Iterator[tuple[Path, bytes]]:
    """A kept file and its bytes."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        assert cache.save("key", PLAIN)
        (path,) = Path(folder, "tracescope").iterdir()
        yield path, path.read_bytes()


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


class TestDamage:
    def test_what_was_saved_is_loaded(self, whole: tuple[Path, bytes]):
        put(*whole)
        assert cache.load("key") == PLAIN
        assert cache.load("another key") is None

    @given(flips=st.sets(st.integers(0, 8 * 200 - 1), min_size=1, max_size=8))
    def test_flipped_bits_throw_the_file_away(self, whole: tuple[Path, bytes], flips: set[int]):
        path, data = whole
        damaged = bytearray(data)
        for flip in flips:
            damaged[flip // 8 * len(data) // 200] ^= 1 << flip % 8
        if damaged == data:
            return
        put(path, bytes(damaged))
        assert cache.load("key") is None
        assert not path.exists()

    def test_every_single_flipped_bit_is_seen(self, whole: tuple[Path, bytes]):
        path, data = whole
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            put(path, bytes(damaged))
            assert cache.load("key") is None

    @given(length=st.integers(0, 200), tail=st.binary(max_size=3))
    def test_a_file_that_was_cut_or_grew_is_thrown_away(self, whole: tuple[Path, bytes], length: int, tail: bytes):
        path, data = whole
        damaged = data[: length * len(data) // 200] + tail
        if damaged == data:
            return
        put(path, damaged)
        assert cache.load("key") is None
        assert not path.exists()

    def test_a_damaged_cache_gives_the_same_catalog(self, root: Path, kept: Path):
        host = LiveFolder(root)
        read_sources(host, SOURCES)
        (path,) = kept.iterdir()
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        put(path, bytes(data))
        assert everything(read_sources(host, SOURCES)) == everything(anew(host))
        assert is_kept(host)


class TestTrust:
    def test_the_folder_and_its_files_are_closed_to_others(self, kept: Path):
        cache.save("key", PLAIN)
        assert kept.stat().st_mode & 0o777 == 0o700
        assert [path.stat().st_mode & 0o777 for path in kept.iterdir()] == [0o600]

    @pytest.mark.parametrize("mode", [0o602, 0o620, 0o604, 0o666])
    def test_a_file_that_others_may_touch_is_thrown_away(self, kept: Path, mode: int):
        cache.save("key", PLAIN)
        (path,) = kept.iterdir()
        path.chmod(mode)
        assert cache.load("key") is None
        assert not path.exists()

    def test_a_folder_that_others_may_touch_is_not_used(self, kept: Path):
        cache.save("key", PLAIN)
        kept.chmod(0o777)
        assert cache.load("key") is None
        assert not cache.save("key", PLAIN)

    def test_what_another_user_owns_is_not_used(self, kept: Path, monkeypatch: pytest.MonkeyPatch):
        cache.save("key", PLAIN)
        before = {path: path.read_bytes() for path in kept.iterdir()}
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert cache.load("key") is None
        assert not cache.save("key", {"other": 1})
        assert {path: path.read_bytes() for path in kept.iterdir()} == before

    def test_nothing_is_made_in_another_users_home(self, kept: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert not cache.save("key", PLAIN)
        assert not kept.parent.exists()

    def test_links_are_not_followed(self, kept: Path, tmp_path: Path):
        cache.save("key", PLAIN)
        (path,) = kept.iterdir()
        target = path.rename(tmp_path / "target")
        path.symlink_to(target)
        assert cache.load("key") is None
        assert target.exists()
        kept.rename(tmp_path / "elsewhere")
        kept.symlink_to(tmp_path / "elsewhere")
        assert not cache.save("key", PLAIN)

    def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(self, kept: Path):
        cache.save("key", PLAIN)
        (path,) = kept.iterdir()
        path.unlink()
        os.mkfifo(path, 0o600)
        assert cache.load("key") is None


class TestFiles:
    @pytest.mark.parametrize("below", ["file", "file/deeper", "missing/deeper"])
    def test_without_a_place_for_it_everything_works(self, root: Path, tmp_path: Path, monkeypatch, below: str):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / below))
        assert everything(read_sources(LiveFolder(root), SOURCES)) == everything(anew(LiveFolder(root)))
        assert not is_kept(LiveFolder(root))

    def test_a_disk_that_is_full_leaves_nothing_behind(self, kept: Path, monkeypatch: pytest.MonkeyPatch):
        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "rename", full)
        assert not cache.save("key", PLAIN)
        assert list(kept.iterdir()) == []

    def test_the_newest_files_stay_and_those_in_use(self, kept: Path):
        for number in range(40):
            cache.save(f"key {number}", PLAIN)
            for path in kept.iterdir():
                os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))
            assert cache.load("key 0") == PLAIN
        assert len(list(kept.iterdir())) == 12
        assert cache.load("key 39") == PLAIN
        assert cache.load("key 5") is None

    def test_what_a_dead_process_left_goes_away_in_time(self, kept: Path):
        cache.save("key", PLAIN)
        old, new = kept / ".old.1.1", kept / ".new.2.2"
        for path in (old, new):
            path.write_bytes(b"half a file")
        os.utime(old, (0, time.time() - 7200))
        cache.save("key", PLAIN)
        assert (old.exists(), new.exists()) == (False, True)

    def test_processes_that_write_at_once_leave_a_whole_file(self, kept: Path):
        program = (
            "import sys; from tracescope.catalog import cache\n"
            "mine = [sys.argv[1]] * 20000\n"
            "for _ in range(30):\n"
            "    assert cache.save('key', mine)\n"
            "    found = cache.load('key')\n"
            "    assert found and len(set(found)) == 1 and len(found) == 20000\n"
        )
        running = [subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(3)]
        assert [process.wait() for process in running] == [0, 0, 0]
        assert len(list(kept.iterdir())) == 1
