"""A snapshot gives back what its host gave: files, tools' output, and refusals."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import made_host
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.catalog.cache import OFF
from tracescope.catalog.detail import describe
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.cli.main import main
from tracescope.errors import Damaged, Forbidden, Missing, Refused, TraceScopeError
from tracescope.host import TOOL_FILES, Host, SnapshotHost
from tracescope.snapshot import SnapshotReport, write_snapshot
from tracescope.snapshot_files import REFUSED, parse_refusals, refusals_json

TRACEFS = "/sys/kernel/tracing"
FORMAT = f"{TRACEFS}/events/sched/sched_switch/format"
FILES = {
    "proc/version": "Linux version 6.1.0",
    made_host.KALLSYMS: made_host.kallsyms("T vfs_read", "t fuse_open fuse", "T register_kprobe"),
    "proc/modules": "fuse 16384 1 - Live 0xffffffffc0402000 (E)\n",
    made_host.FUNCTIONS: "vfs_read\nfuse_open [fuse]\n",
    "sys/kernel/tracing/available_filter_functions_addrs": "ffffffff81000010 vfs_read\n",
    "sys/kernel/tracing/printk_formats": '0xffffffff82345678 : "at 0x12, %s"\n',
    made_host.BLACKLIST: "0xffffffff81000020-0xffffffff81000030\tdo_nothing\n",
    "sys/kernel/notes": b"\4\0\0\0note",
    FORMAT.lstrip("/"): made_host.event_format("sched_switch", "int a"),
    "sys/kernel/tracing/events/sched/sched_switch/id": "7\n",
    "tools/uname.txt": "Linux made 6.1.0\n",
    made_host.PERF: "\n  cpu-clock                    [Software event]\n",
}


class RefusingHost:
    """A host that refuses some paths and tools of another one."""

    live = False

    def __init__(self, host: Host, refusals: Mapping[str, TraceScopeError]) -> None:
        self.host = host
        self.refusals = refusals
        self.label = "refusing"
        self.notes: list[str] = []

    def _check(self, path: str) -> None:
        if path in self.refusals:
            raise self.refusals[path]

    def read(self, path: str) -> bytes:
        self._check(path)
        return self.host.read(path)

    def names(self, path: str) -> list[str]:
        self._check(path)
        return self.host.names(path)

    def exists(self, path: str) -> bool:
        return self.host.exists(path)

    def run(self, *command: str) -> bytes:
        self._check(" ".join(command))
        return self.host.run(*command)

    @property
    def tracefs(self) -> str:
        self._check("tracefs")
        return self.host.tracefs

    def close(self) -> None:
        self.host.close()


def quiet(path: str, done: int, total: int) -> None:
    pass


@pytest.fixture(autouse=True)
def no_cache(monkeypatch) -> None:
    """What was kept of an earlier read would hide a wrong one."""
    monkeypatch.setenv(OFF, "off")


@pytest.fixture
def host(tmp_path: Path) -> SnapshotHost:
    return SnapshotHost(made_host.make_host(tmp_path / "made", FILES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "out" / "host.zip"


@pytest.fixture
def take(file: Path):
    """Write a host to `file`; give the report and the snapshot as a host."""
    opened = []

    def write(host: Host, **options: bool) -> tuple[SnapshotReport, SnapshotHost]:
        file.parent.mkdir(exist_ok=True)
        report = write_snapshot(host, file, quiet, **options)
        opened.append(SnapshotHost(file))
        return report, opened[-1]

    yield write
    for one in opened:
        one.close()


def columns(catalog: Catalog) -> list[object]:
    """Every row, and what its verdict is made of."""
    knowledge = catalog.knowledge
    groups = [catalog.group(entry) for entry in range(len(catalog))]
    return [catalog.sections, catalog.names, groups, catalog.facts, knowledge.host, knowledge.formats, knowledge.perf]


def states(catalog: Catalog) -> list[object]:
    return [(r.name, r.state, r.count, r.why, r.fix) for r in catalog.knowledge.reports.values()]


class TestRoundTrip:
    def test_every_file_comes_back(self, host, take):
        report, copy = take(host)
        assert {name: copy.read(name) for name in FILES} == {name: host.read(name) for name in FILES}
        assert set(report.names) == {*FILES, REFUSED}
        assert report.size == report.file.stat().st_size

    def test_folders_list_the_same_names(self, host, take):
        _, copy = take(host)
        for path in ("/proc", TRACEFS, f"{TRACEFS}/events", f"{TRACEFS}/events/sched"):
            assert copy.names(path) == host.names(path)

    def test_the_report_says_why_each_file_is_left_out(self, host, take):
        report, _ = take(host)
        assert "sys/kernel/btf/vmlinux" in report.left_out
        assert not report.left_out.keys() & FILES.keys()
        assert all(error.what for error in report.left_out.values())

    def test_a_recorded_debian_gives_the_same_catalog(self, debian12, catalog12, take):
        _, copy = take(debian12)
        again = read_sources(copy, ALL_SOURCES)
        assert states(again) == states(catalog12)
        assert columns(again) == columns(catalog12)
        view = again.view("")
        for row in map(view.row, range(0, len(view), 9973)):
            assert describe(again, row) == describe(catalog12, row)

    def test_a_snapshot_of_a_snapshot_holds_the_same(self, host, take, tmp_path):
        report, copy = take(host)
        again = write_snapshot(copy, tmp_path / "again.zip", quiet)
        assert again.names == report.names
        with zipfile.ZipFile(report.file) as one, zipfile.ZipFile(again.file) as two:
            different = [name for name in report.names if name != REFUSED and one.read(name) != two.read(name)]
            assert different == []
            assert {n: r["state"] for n, r in json.loads(one.read(REFUSED)).items()} == {
                n: r["state"] for n, r in json.loads(two.read(REFUSED)).items()
            }

    @pytest.mark.parametrize("name", ["ä", os.fsdecode(b"\xff"), "\u202e"])
    def test_a_name_that_no_kernel_gives_is_left_out_and_told(self, tmp_path, take, name):
        odd = made_host.event_path("sched", name)
        report, copy = take(SnapshotHost(made_host.make_host(tmp_path / "made", {**FILES, odd: "name: x\nID: 1\n"})))
        assert isinstance(report.left_out[odd], Damaged)
        assert odd not in report.names
        assert copy.read(FORMAT)

    def test_what_a_tool_printed_comes_back_and_so_does_nothing(self, host, take):
        class Silent(RefusingHost):
            def run(self, *command: str) -> bytes:
                return b"" if command == ("perf", "list", "hw") else super().run(*command)

        _, copy = take(Silent(host, {}))
        assert copy.run("perf", "list", "hw") == b""
        assert copy.run("uname", "-a") == b"Linux made 6.1.0\n"
        with pytest.raises(Missing):
            copy.run("bpftrace", "-l")


REFUSALS = [
    Forbidden("it is shut", "not permitted", "run as root"),
    Missing("it is away", "no such"),
    Damaged("bad", "I/O"),
]


class TestRefusals:
    @pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
    @pytest.mark.parametrize("path", ["/proc/kallsyms", f"{TRACEFS}/available_filter_functions", FORMAT])
    def test_a_refused_file_is_refused_again_in_the_same_words(self, host, take, path, error):
        report, copy = take(RefusingHost(host, {path: error}))
        with pytest.raises(type(error)) as caught:
            copy.read(path)
        assert (caught.value.what, caught.value.why, caught.value.fix) == (error.what, error.why, error.fix)
        assert report.left_out[path.strip("/")] is error

    def test_a_forbidden_file_is_there_and_a_missing_one_is_not(self, host, take):
        _, copy = take(RefusingHost(host, {FORMAT: REFUSALS[0], "/proc/kallsyms": REFUSALS[1]}))
        assert copy.exists(FORMAT)
        assert "format" in copy.names(FORMAT.removesuffix("/format"))
        assert not copy.exists("/proc/kallsyms")
        assert copy.names("/proc") == ["modules", "version"]

    @pytest.mark.parametrize("path", [f"{TRACEFS}/events", f"{TRACEFS}/events/sched"])
    def test_a_forbidden_folder_is_forbidden_again(self, host, take, path):
        _, copy = take(RefusingHost(host, {path: REFUSALS[0]}))
        with pytest.raises(Forbidden):
            copy.names(path)

    def test_tracefs_that_cannot_be_opened_is_refused_again(self, host, take):
        _, copy = take(RefusingHost(host, {"tracefs": REFUSALS[0]}))
        with pytest.raises(Forbidden, match="it is shut"):
            _ = copy.tracefs

    def test_a_tool_that_failed_fails_again(self, host, take):
        _, copy = take(RefusingHost(host, {"perf list": REFUSALS[2]}))
        with pytest.raises(Damaged, match="bad"):
            copy.run("perf", "list")

    def test_an_unzipped_snapshot_refuses_too(self, host, take, tmp_path):
        report, _ = take(RefusingHost(host, {FORMAT: REFUSALS[0]}))
        with zipfile.ZipFile(report.file) as archive:
            archive.extractall(tmp_path / "unzipped")
        with pytest.raises(Forbidden, match="it is shut"):
            SnapshotHost(tmp_path / "unzipped").read(FORMAT)

    @pytest.mark.parametrize(
        "refused",
        [
            {
                f"{TRACEFS}/available_filter_functions_addrs": REFUSALS[0],
                "/sys/kernel/debug/kprobes/blacklist": REFUSALS[0],
            },
            {"tracefs": REFUSALS[0]},
            {"/proc/kallsyms": REFUSALS[0]},
            {f"{TRACEFS}/events": REFUSALS[0], "/sys/kernel/btf": REFUSALS[0], "/sys/kernel/btf/vmlinux": REFUSALS[0]},
            {"perf list": REFUSALS[1], "bpftrace -l": REFUSALS[2]},
        ],
        ids=" ".join,
    )
    def test_verdicts_and_states_are_those_of_the_host_that_refused(self, host, take, refused):
        partial = RefusingHost(host, refused)
        _, copy = take(partial)
        theirs, ours = read_sources(partial, ALL_SOURCES), read_sources(copy, ALL_SOURCES)
        assert states(ours) == states(theirs)
        assert columns(ours) == columns(theirs)
        assert [ours.verdict(row.kind, row.entry) for row in ours.view("")] == [
            theirs.verdict(row.kind, row.entry) for row in theirs.view("")
        ]


class TestRefusalsFile:
    @given(
        st.dictionaries(
            st.text(max_size=20),
            st.builds(lambda of, *parts: of(*parts), st.sampled_from([Missing, Forbidden, Damaged]), *[st.text()] * 3),
        )
    )
    def test_what_is_written_is_read(self, errors):
        refusals = parse_refusals(refusals_json(errors))
        for name, error in errors.items():
            with pytest.raises(type(error)) as caught:
                refusals.check(name)
            assert (caught.value.what, caught.value.why, caught.value.fix) == (error.what, error.why, error.fix)

    JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["state", "what", "a/b", ""]), inner, max_size=3)
    ))  # fmt: skip

    @given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
    def test_anything_else_is_damaged_or_harmless(self, data):
        try:
            refusals = parse_refusals(data)
        except Damaged:
            return
        assert "proc/version" not in refusals

    @pytest.mark.parametrize("data", ["[" * 100_000, "\xff", "7", '{"a": {"state": "gone"}}'])
    def test_a_damaged_one_is_noted_and_the_rest_is_read(self, tmp_path, data):
        host = SnapshotHost(made_host.make_host(tmp_path / "made", {**FILES, REFUSED: data}))
        assert len(host.notes) == 1
        assert host.read("/proc/version")
        with pytest.raises(Missing):
            host.read("/sys/kernel/btf/vmlinux")

    def test_a_snapshot_of_an_older_program_has_none(self, debian12):
        assert debian12.notes == []
        assert not debian12.exists(f"/{REFUSED}")


class TestAddresses:
    def test_no_kernel_address_is_left(self, debian12, take):
        report, copy = take(debian12, addresses=False)
        address = re.compile(rb"f{4,8}[89a-f][0-9a-f]{7}\b")
        assert address.search(debian12.read("/proc/kallsyms"))
        texts = [name for name in report.names if not name.startswith("sys/kernel/btf/")]
        assert [name for name in texts if address.search(copy.read(name))] == []

    def test_only_addresses_are_gone(self, host, take):
        _, copy = take(host, addresses=False)
        zeros = "0" * 16
        assert copy.read("/proc/kallsyms").decode() == re.sub(
            "^[0-9a-f]{16}", zeros, FILES[made_host.KALLSYMS], flags=re.M
        )
        assert copy.read("/proc/modules") == b"fuse 16384 1 - Live 0x0000000000000000 (E)\n"
        assert copy.read(f"{TRACEFS}/printk_formats") == b'0x0000000000000000 : "at 0x12, %s"\n'
        assert copy.read(f"/{made_host.BLACKLIST}").decode() == f"0x{zeros}-0x{zeros}\tdo_nothing\n"
        for path in ("/sys/kernel/notes", f"{TRACEFS}/available_filter_functions_addrs"):
            with pytest.raises(Missing, match="left out"):
                copy.read(path)

    def test_they_are_kept_without_being_asked(self, host, take):
        _, copy = take(host)
        assert copy.read("/proc/kallsyms").startswith(b"ffffffff81000010 T vfs_read")


class TestWriting:
    def test_only_the_owner_can_read_it(self, host, take):
        report, _ = take(host)
        assert stat.S_IMODE(report.file.stat().st_mode) == 0o600

    def test_progress_tells_every_file_and_ends_at_the_total(self, host, tmp_path):
        heard = []
        report = write_snapshot(host, tmp_path / "a.zip", lambda *said: heard.append(said))
        total = heard[0][2]
        assert [done for _, done, _ in heard] == list(range(total + 1))
        assert {path for path, _, _ in heard} >= {f"/tools/{name}" for name in TOOL_FILES.values()}
        assert {name for name in report.names if name != REFUSED} <= {path.strip("/") for path, _, _ in heard}

    def test_a_file_that_is_there_is_kept(self, host, tmp_path):
        (tmp_path / "a.zip").write_text("mine")
        with pytest.raises(Refused, match="there already"):
            write_snapshot(host, tmp_path / "a.zip", quiet)
        assert (tmp_path / "a.zip").read_text() == "mine"

    def test_force_replaces_it(self, host, tmp_path):
        (tmp_path / "a.zip").write_text("mine")
        write_snapshot(host, tmp_path / "a.zip", quiet, force=True)
        assert SnapshotHost(tmp_path / "a.zip").read("/proc/version")

    def test_what_is_no_regular_file_is_never_replaced(self, host, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
            with pytest.raises(Refused, match="regular"):
                write_snapshot(host, path, quiet, force=True)
        assert Path("/dev/null").is_char_device()

    def test_a_folder_that_is_not_there_is_a_refusal(self, host, tmp_path):
        with pytest.raises(Refused, match="No such file"):
            write_snapshot(host, tmp_path / "no" / "a.zip", quiet)

    def test_a_full_disk_is_a_refusal_and_leaves_nothing(self, host, file, monkeypatch):
        def full(*args):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        file.parent.mkdir()
        monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(Refused, match="No space left"):
            write_snapshot(host, file, quiet)
        assert list(file.parent.iterdir()) == []

    def test_an_interruption_leaves_what_was_there(self, host, file):
        def interrupt(path: str, done: int, total: int) -> None:
            if done == total // 2:
                raise KeyboardInterrupt

        file.parent.mkdir()
        file.write_text("mine")
        with pytest.raises(KeyboardInterrupt):
            write_snapshot(host, file, interrupt, force=True)
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        assert file.read_text() == "mine"


class TestCommand:
    def test_it_says_what_is_in_it_and_what_is_not(self, tmp_path, capsys):
        made = made_host.make_host(tmp_path / "made", FILES)
        assert main(["--host", str(made), "snapshot", str(tmp_path / "a.zip")]) == 0
        out, err = capsys.readouterr()
        assert "2 of events" in out
        assert "/sys/kernel/btf/vmlinux is not there" in out
        assert err == ""

    def test_a_second_time_is_a_refusal_with_its_fix(self, tmp_path, capsys):
        command = ["--host", str(made_host.make_host(tmp_path / "made", FILES)), "snapshot", str(tmp_path / "a.zip")]
        assert main(command) == 0
        assert main(command) == 1
        assert "--force" in capsys.readouterr().err
        assert main([*command, "--force"]) == 0


def broken_btf(data: bytes, how: str) -> bytes:
    half = len(data) // 2
    return {
        "cut": data[:half],
        "no magic": b"\0\0" + data[2:],
        "empty": b"",
        "text": b"BTF is not here\n" * 100,
        "zeros inside": data[: half // 2] + bytes(half) + data[half // 2 + half :],
        "noise inside": data[: half // 2] + bytes(range(256)) * 16 + data[half // 2 + 4096 :],
    }[how]


class TestDamagedTypes:
    """Wrong bytes in BTF: everything else still works, nothing ends in a traceback."""

    @pytest.fixture(params=["cut", "no magic", "empty", "text", "zeros inside", "noise inside"])
    def damaged(self, request, debian12, tmp_path) -> str:
        names = [made_host.KALLSYMS, made_host.FUNCTIONS, "sys/kernel/tracing/events/sched/sched_switch/format"]
        files = {name: debian12.read(f"/{name}") for name in names}
        btf = broken_btf(debian12.read("/sys/kernel/btf/vmlinux"), request.param)
        return str(made_host.make_host(tmp_path / "damaged", {**files, "sys/kernel/btf/vmlinux": btf}))

    @pytest.mark.parametrize(
        "command",
        [
            ["list", "kprobe:vfs_re*"],
            ["list", "-v", "*:*vfs_re*"],
            ["show", "kprobe:vfs_read"],
            ["symbols", "vfs_read"],
        ],
    )
    def test_the_commands_answer_or_refuse(self, damaged, command, capsys):
        status = main(["--host", damaged, *command])
        out, err = capsys.readouterr()
        assert (status, "vfs_read" in out) == (0, True) or (status == 1 and "damaged" in err)

    def test_a_diff_still_compares_the_rest(self, damaged, capsys):
        assert main(["diff", damaged, damaged, "--json"]) == 0
        summary = json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]
        kprobes = [row for row in summary["survival"] if row["kind"] == "kprobe"]
        assert sum(row["unchanged"] for row in kprobes) > 30_000
