"""More than a hundred system calls with their memory, in our words and in strace's."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from attached import format_of
from strace_lines import Traced, parse_line

from tracescope.attach.meaning import Phase, Word, copies_of, meaning_of, result_meaning, tell
from tracescope.attach.meaning.names import MACHINE, family_of

SOURCE = Path(__file__).parent / "programs" / "calls.c"
ULL = (1 << 64) - 1
# strace names the calls as the manual does.
NAMES = {"newfstat": "fstat", "newuname": "uname", "umount": "umount2"}
# What strace shows as bare numbers, and what its version may not know yet.
NOT_NAMED_BY_STRACE = {"syslog.type", "sched_setscheduler.param", "membarrier.ret"}
SECOND, MICROSECOND = 1_000_000_000, 1000


@dataclass(frozen=True)
class Made:
    """A call as the program made it: raw arguments, and memory by address before and after."""

    name: str
    result: int
    arguments: list[int]
    before: dict[int, bytes]
    after: dict[int, bytes]


def made_call(line: str) -> Made:
    name, result, arguments, *memory = line.split("\t")
    numbers = [int(text, 16) for text in arguments.rstrip(",").split(",")]
    before, after = ({int(at, 16): bytes.fromhex(data) for at, data in re.findall(r"(\w+)=(\w*);", m)} for m in memory)
    return Made(name, int(result, 16), numbers, before, after)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, require: Callable[[bool, str], None]) -> list[tuple[Made, Traced]]:
    """Each call of the program, and strace's line of it."""
    require(shutil.which("gcc") is not None, "gcc is not installed")
    require(shutil.which("strace") is not None, "strace is not installed")
    require(family_of(MACHINE) == "x86", "the program is for x86-64")
    folder = tmp_path_factory.mktemp("calls")
    subprocess.run(["gcc", "-O1", "-w", "-o", folder / "calls", SOURCE], check=True)
    (folder / "empty").mkdir()
    command = ["strace", "-v", "-s", "4096", "-e", "signal=none", "-o", folder / "trace", folder / "calls"]
    done = subprocess.run(command, cwd=folder / "empty", capture_output=True, text=True, check=True)
    made = [made_call(line) for line in done.stdout.splitlines()]
    lines = iter((folder / "trace").read_text().splitlines())
    found = []
    for call in made:
        name = NAMES.get(call.name, call.name)
        # Before the first call the program is loaded; openat is the loader's too.
        seen = (one for line in lines if (one := parse_line(line)) and one.name == name)
        found.append((call, next(one for one in seen if found or b"file" in one.arguments)))
    return found


# ---- our words against strace's


def same(ours: Word, theirs: object) -> bool:
    """Do both say the same? Structures: every member of ours that strace shows."""
    if isinstance(theirs, bytes):
        return isinstance(ours, str) and ours.encode("utf-8", "surrogateescape") == theirs
    if isinstance(theirs, list):
        return same_list(ours, theirs)
    if isinstance(theirs, dict):
        return same_structure(ours, theirs)
    text = str(theirs).rpartition(" => ")[2]
    if text == "NULL":
        return ours in ({"address": "0x0"}, "0x0")
    if isinstance(ours, dict):
        return ours == {"address": text}
    if ours == "unchanged":
        return text == "-1"
    number = value_of(text)
    if number is not None:
        mine = ours if isinstance(ours, int) else value_of(ours) if isinstance(ours, str) else None
        return mine is not None and (mine - number) % (1 << 32) == 0
    return isinstance(ours, str) and set(ours.split("|")) == set(spelled(text).split("|"))


def value_of(text: str) -> int | None:
    if re.fullmatch(r"-?\d+|0x[0-9a-f]+", text):
        octal = re.fullmatch(r"0[0-7]+", text)
        return int(text, 8 if octal else 0)
    return None


def spelled(text: str) -> str:
    """strace's spelling of what we spell otherwise."""
    text = re.sub(r"makedev\((\w+), (\w+)\)", lambda m: f"{int(m[1], 0)}:{int(m[2], 0)}", text)
    text = re.sub(r"IOPRIO_PRIO_VALUE\((\w+), (\d+)\)", r"\1|\2", text)
    return re.sub(r"htons\((ETH_\w+)\)", r"\1", text).replace("RLIM64_INFINITY", "RLIM_INFINITY")


def same_list(ours: Word, theirs: list[object]) -> bool:
    if len(theirs) == 1 and "WIFEXITED" in str(theirs[0]):
        return same_status(ours, str(theirs[0]))
    if isinstance(theirs, list) and all(isinstance(one, str) and " " in one for one in theirs):
        return same_set(ours, str(theirs[0]) if theirs else "")
    if not isinstance(ours, list):
        return len(theirs) == 1 and same(ours, theirs[0])
    if ours and isinstance(ours[0], str) and str(ours[0]).startswith("SIG"):
        return same_set(ours, " ".join(map(str, theirs)))
    return len(ours) == len(theirs) and all(map(same, ours, theirs))


def same_set(ours: Word, text: str) -> bool:
    """`[INT TERM]`, `[3 5]`, `[128 => 16]`."""
    if " => " in text:
        return same(ours, text)
    names = text.split()
    return ours == [int(name) if name.isdigit() else f"SIG{name}" for name in names]


def same_status(ours: Word, text: str) -> bool:
    code = re.search(r"WEXITSTATUS\(s\) == (\d+)", text)
    return code is not None and ours == {"exit_code": int(code[1])}


def time_of(theirs: dict[str, object]) -> int | None:
    below = theirs.get("tv_nsec") or theirs.get("tv_usec") or "0"
    if "tv_sec" not in theirs:
        return None
    return int(str(theirs["tv_sec"])) * SECOND + int(str(below)) * (MICROSECOND if "tv_usec" in theirs else 1)


def same_structure(ours: Word, theirs: dict[str, object]) -> bool:
    nanoseconds = time_of(theirs)
    if nanoseconds is not None:
        return ours == nanoseconds
    if not isinstance(ours, dict):
        return False
    if "sa_family" in theirs:
        return ours == sockaddr(theirs)
    flat = {
        re.sub(r"^(st|stx|l|it|ru|rlim|si|iov|msg|f|ss|sa|sched)_", "", name): node for name, node in theirs.items()
    }
    if "atime_nsec" in flat:
        flat |= {f"{name}_ns": seconds(flat, name) for name in ("atime", "mtime", "ctime")}
    known = {name.removesuffix("_ns"): word for name, word in ours.items()}
    # The codes of signals we tell as numbers; behind more pointers strace reads on.
    shared = {name for name in known if name in flat and name not in ("iov", "data", "code")}
    shared -= {"base"} if isinstance(flat.get("base"), bytes) else set()
    shared -= {"atime", "mtime", "ctime", "btime"} if "atime_nsec" in flat else set()
    return len(shared) > 0 and all(same(known[name], flat[name]) for name in shared)


def seconds(flat: dict[str, object], name: str) -> str:
    return str(int(str(flat[name])) * SECOND + int(str(flat[f"{name}_nsec"])))


def sockaddr(theirs: dict[str, object]) -> dict[str, Word]:
    """strace's socket address as ours."""
    text = " ".join(f"{name}={node}" for name, node in theirs.items())
    found: dict[str, Word] = {"family": str(theirs["sa_family"])}
    address = re.search(r'inet_addr\("(.*?)"\)|inet_pton\(AF_INET6, "(.*?)"', text)
    port = re.search(r"htons\((\d+)\)", text)
    path = theirs.get("sun_path")
    if address and port:
        return found | {"address": address[1] or address[2], "port": int(port[1])}
    assert isinstance(path, bytes)
    if path.startswith(b"\0"):
        return found | {"path": "@" + path[1:].decode(), "abstract": True}
    return found | {"path": path.decode()}


# ---- the comparison


def compared(made: Made, traced: Traced) -> tuple[int, list[str]]:
    """How many arguments were compared, and those that differ."""
    fields = [f for f in format_of(f"syscalls:sys_enter_{made.name}").fields if f.name != "__syscall_nr"]
    fields = [field for field in fields if not field.location]
    assert len(fields) >= len(made.arguments), made.name
    raw = {field.name: value for field, value in zip(fields, made.arguments, strict=False)} | {"ret": made.result}
    shown = traced.arguments
    if made.name == "clone":
        shown = [str(node).partition("=")[2] for node in shown[::-1]]
    count, wrong = 0, []
    for field, value, theirs in zip(fields, made.arguments, shown, strict=False):
        for phase, memory in ((Phase.ENTER, made.before), (Phase.EXIT, made.after)):
            meaning = meaning_of(made.name, field.name, field.type, phase)
            wants = any(copy.copy.phase is phase for copy in copies_of(meaning))
            if phase is Phase.EXIT and (not wants or value not in memory or made.result >> 63):
                continue
            if phase is Phase.ENTER and wants and value and value not in memory:
                continue  # the program did not write it down
            if phase is Phase.ENTER and value in made.after and not wants:
                continue  # strace shows what was filled in
            told = tell(meaning, value, memory.get(value), raw)
            count += 1
            if f"{made.name}.{field.name}" in NOT_NAMED_BY_STRACE:
                continue
            if told.truncated or not same(told.word, theirs):
                wrong.append(f"{made.name}.{field.name} at {phase}: {told} is not {theirs!r}")
    return count, wrong


def test_arguments_and_memory_are_told_as_strace_tells_them(calls: list[tuple[Made, Traced]]):
    counts, wrong = 0, []
    for made, traced in calls:
        count, differing = compared(made, traced)
        counts += count
        wrong += differing
    assert wrong == []
    assert len({made.name for made, _ in calls}) > 100
    assert counts > 400


def test_results_are_told_as_strace_tells_them(calls: list[tuple[Made, Traced]]):
    wrong = []
    for made, traced in calls:
        raw = named_arguments(made)
        told = tell(result_meaning(made.name), made.result, None, raw).word
        flags = re.match(r"(?:flags )?([A-Z]+_\w+(?:\|\w+)*)$", traced.more)
        theirs = traced.error or (flags[1] if flags else traced.result)
        if f"{made.name}.ret" not in NOT_NAMED_BY_STRACE and not same(told, theirs):
            wrong.append(f"{made.name}: {told} is not {traced}")
    assert wrong == []


def named_arguments(made: Made) -> dict[str, int]:
    fields = [f for f in format_of(f"syscalls:sys_enter_{made.name}").fields if f.name != "__syscall_nr"]
    return {field.name: value for field, value in zip(fields, made.arguments, strict=False)}


def test_the_comparison_would_see_a_difference():
    assert not same("O_RDONLY", "O_WRONLY")
    assert not same(3, "4")
    assert not same("0644", "0640")
    assert not same({"family": "AF_INET"}, {"sa_family": "AF_INET", "sin_port": "htons(1)", "a": 'inet_addr("::1")'})
    assert not same([{"fd": 1, "events": "POLLIN"}], [{"fd": "1", "events": "POLLOUT"}])
    assert not same(["SIGINT"], ["INT TERM"])
    assert same("O_RDWR|O_CREAT", "O_CREAT|O_RDWR")
    assert same(1_000_000_005, {"tv_sec": "1", "tv_nsec": "5"})
    assert socket.AF_INET == 2
