from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_probes import KnownProbes

from tracescope.catalog.advice import stability
from tracescope.catalog.topics import Choice, choose, load_topics, parse_topics, topics_of
from tracescope.errors import Damaged
from tracescope.model import ProbeKind, Stability

TOPICS = load_topics()
NAMES = [(topic.id, name) for topic in TOPICS for entry in topic.probes for name in entry.names]
LINUX_6_18 = Path(__file__).parent.parent / "fixtures" / "topics" / "events-6.18.txt"

# Read from the kallsyms of the 6.18 host whose events are recorded; too new for the two Debians.
FUNCTIONS_6_18 = {
    "ext4_file_read_iter",
    "ext4_file_write_iter",
    "sk_skb_reason_drop",
    "swap_read_folio",
    "swap_writeout",
    "vfs_coredump",
}
IN_A_MODULE = {
    "tracepoint:nvme:nvme_complete_rq": "drivers/nvme/host/trace.h, with an NVMe disk",
    "tracepoint:sunrpc:rpc_stats_latency": "include/trace/events/sunrpc.h, with an NFS mount",
    "tracepoint:sunrpc:rpc_task_timeout": "include/trace/events/sunrpc.h, with an NFS mount",
    "tracepoint:nfs:*": "fs/nfs/nfstrace.h, with an NFS mount",
    "tracepoint:nfs4:*": "fs/nfs/nfs4trace.h, with an NFS 4 mount",
    "tracepoint:drm:drm_vblank_event": "drivers/gpu/drm/drm_trace.h, with a graphics driver",
    "tracepoint:gpu_scheduler:*": "drivers/gpu/drm/scheduler/gpu_scheduler_trace.h, with a graphics driver",
}
SHORT_LIVED = [
    "tracepoint:syscalls:sys_enter_execve",
    "tracepoint:syscalls:sys_exit_execve",
    "tracepoint:sched:sched_process_exec",
    "tracepoint:sched:sched_process_exit",
]
GOOD = """
[[topic]]
id = "x"
title = "X"
words = ["y"]
why = "Because."
watch = "Nothing."
probes = [{ probe = "tracepoint:a:b", why = "It is." }]
"""


@pytest.fixture(scope="module")
def hosts(debian11, debian12) -> list[KnownProbes]:
    linux_6_18 = KnownProbes(set(LINUX_6_18.read_text().split()), FUNCTIONS_6_18)
    return [KnownProbes.of(debian11), KnownProbes.of(debian12), linux_6_18]


@pytest.fixture(scope="module")
def bookworm(hosts) -> KnownProbes:
    return hosts[1]


def everything(probe: str) -> bool:
    return True


def nothing(probe: str) -> bool:
    return False


def ids(choices: list[Choice]) -> list[str]:
    return list(dict.fromkeys(choice.topic for choice in choices))


# The data


def test_there_are_at_least_32_topics():
    assert len(TOPICS) >= 32


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.id)
def test_a_topic_is_complete_and_written_as_sentences(topic):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", topic.id)
    assert len(topic.words) >= 4
    for text in (topic.why, topic.watch, *(entry.why for entry in topic.probes)):
        assert re.fullmatch(r"\S[^\n]*\.", text), text
    probes = [entry.probe for entry in topic.probes]
    assert len(set(probes)) == len(probes) > 1


def test_every_kernel_probe_of_a_topic_is_on_a_known_host_or_in_a_named_module(hosts):
    kernel = [(topic, name) for topic, name in NAMES if name.split(":")[0] not in ("uprobe", "uretprobe", "usdt")]
    assert len(kernel) > 300
    missing = [row for row in kernel if row[1] not in IN_A_MODULE and not any(host(row[1]) for host in hosts)]
    assert missing == []


def test_no_exception_is_stale(hosts):
    named = {name for _, name in NAMES}
    assert set(IN_A_MODULE) <= named
    assert [name for name in IN_A_MODULE if any(host(name) for host in hosts)] == []
    functions = {name.rpartition(":")[2] for name in named}
    assert functions >= FUNCTIONS_6_18
    assert not FUNCTIONS_6_18 & (hosts[0].functions | hosts[1].functions)


def test_a_fallback_is_never_more_stable_than_what_it_stands_in_for():
    ladder = list(Stability)
    for topic in TOPICS:
        for entry in topic.probes:
            steps = [
                ladder.index(stability(ProbeKind(kind), name))
                for kind, _, name in (full.partition(":") for full in entry.names)
            ]
            assert steps == sorted(steps), entry


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "topic = 5",
        "topic = [5]",
        "other = 1",
        GOOD + "\nnote = 'x'",
        GOOD.replace('why = "It', 'colour = "red", why = "It'),
        GOOD.replace('watch = "Nothing."', ""),
        GOOD.replace('watch = "Nothing."', "watch = 5"),
        GOOD.replace('words = ["y"]', 'words = "y"'),
        GOOD.replace('words = ["y"]', "words = [1]"),
        GOOD.replace('why = "It is." ', 'why = "It is.", fallbacks = "z" '),
        re.sub(r"probes = .*", "probes = []", GOOD),
        re.sub(r"probes = .*", "probes = ['x']", GOOD),
        re.sub(r"probes = .*", "probes = 3", GOOD),
        GOOD + GOOD,
    ],
)
def test_damaged_topics_are_refused(text):
    with pytest.raises(Damaged):
        parse_topics(text)


def test_good_topics_are_read():
    (topic,) = parse_topics(GOOD)
    assert (topic.id, topic.words, topic.probes[0].names) == ("x", ("y",), ("tracepoint:a:b",))


# Choosing


@pytest.mark.parametrize(
    "words",
    [
        ["short-lived", "processes"],
        ["short-lived processes"],
        ["Short", "Lived", "process"],
        ["shortlived"],
        ["short_lived_processes"],
    ],
)
def test_short_lived_processes_name_the_exec_and_exit_tracepoints_first(words, hosts):
    for host in hosts:
        choices = choose(words, host)
        assert [choice.probe for choice in choices[:4]] == SHORT_LIVED
        assert {choice.topic for choice in choices[:4]} == {"short-lived-processes"}
        assert [choice.rank for choice in choices] == list(range(1, len(choices) + 1))


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("process start", "process-start"),
        ("file open", "file-open"),
        ("opens", "file-open"),
        ("tcp retransmit", "tcp-retransmit"),
        ("retransmissions", "tcp-retransmit"),
        ("block latency", "block-latency"),
        ("run-queue latency", "scheduler-latency"),
        ("runqueue", "scheduler-latency"),
        ("which process was oom-killed", "oom"),
        ("who killed it", "signals"),
        ("offcpu", "off-cpu"),
        ("page_faults", "page-faults"),
        ("directories", "directory-lookup"),
        ("forking", "fork"),
        ("container escapes", "namespaces"),
        ("syscall errno", "syscall-errors"),
        ("sys_enter_futex", "lock-contention"),
        ("readline", "shell-commands"),
        ("gc", "runtimes"),
    ],
)
def test_words_find_their_topic(question, topic):
    assert ids(choose(question.split(), everything))[0] == topic


@pytest.mark.parametrize(
    ("tool", "topic"),
    [
        ("execsnoop", "process-start"),
        ("exitsnoop", "process-exit"),
        ("killsnoop", "signals"),
        ("opensnoop", "file-open"),
        ("statsnoop", "stat"),
        ("syncsnoop", "fsync"),
        ("cachestat", "page-cache"),
        ("drsnoop", "memory-reclaim"),
        ("compactsnoop", "compaction"),
        ("oomkill", "oom"),
        ("biolatency", "block-latency"),
        ("biosnoop", "block-latency"),
        ("runqlat", "scheduler-latency"),
        ("offcputime", "off-cpu"),
        ("cpudist", "context-switches"),
        ("tcpconnect", "tcp-connect"),
        ("tcpaccept", "tcp-accept"),
        ("tcpretrans", "tcp-retransmit"),
        ("tcpdrop", "tcp-drop-reset"),
        ("tcplife", "tcp-state"),
        ("tcptop", "tcp-throughput"),
        ("gethostlatency", "dns"),
        ("mountsnoop", "mounts"),
        ("capable", "capabilities"),
        ("syscount", "syscall-errors"),
        ("sslsniff", "tls"),
        ("bashreadline", "shell-commands"),
        ("memleak", "malloc"),
        ("ext4slower", "ext4"),
        ("xfsslower", "xfs"),
        ("nfsslower", "nfs"),
    ],
)
def test_a_tool_of_the_trade_finds_its_topic(tool, topic):
    assert ids(choose([tool], everything))[0] == topic


@pytest.mark.parametrize(
    ("typo", "topic"),
    [
        ("opensnop", "file-open"),
        ("biolatncy", "block-latency"),
        ("retransmitt", "tcp-retransmit"),
        ("procces exitt", "process-exit"),
    ],
)
def test_a_typo_still_finds_the_topic(typo, topic):
    assert ids(choose(typo.split(), everything))[0] == topic


def test_only_what_the_host_has_is_offered(bookworm):
    for topic in TOPICS:
        for choice in choose([topic.id], bookworm):
            assert not choice.probe or bookworm(choice.probe)


def test_a_fallback_is_offered_only_where_the_better_probe_is_absent(hosts):
    old, _, new = ([choice.probe for choice in choose(["block", "latency"], host)] for host in hosts)
    assert "tracepoint:block:block_io_start" in new
    assert "fentry:vmlinux:blk_account_io_start" not in new
    assert "tracepoint:block:block_io_start" not in old
    assert "fentry:vmlinux:blk_account_io_start" in old


def test_a_kernel_without_btf_gets_the_kprobe(bookworm):
    def has(probe: str) -> bool:
        return not probe.startswith(("fentry:", "fexit:")) and bookworm(probe)

    assert "kprobe:tcp_v4_connect" in [choice.probe for choice in choose(["tcpconnect"], has)]


def test_a_topic_without_a_probe_on_this_host_says_so(bookworm):
    (choice,) = choose(["nfs"], bookworm)
    assert (choice.topic, choice.probe, choice.near) == ("nfs", "", False)
    assert "tracepoint:sunrpc:rpc_stats_latency" in choice.why


def test_words_that_no_topic_knows_give_near_topics_without_probes():
    choices = choose(["zzzlatnc"], everything)
    assert 0 < len(choices) <= 3
    assert all(choice.near and not choice.probe and choice.why for choice in choices)


@pytest.mark.parametrize("words", [[], [""], ["the", "of"], ["qqqq", "wwww"], ["\x1b[31m"]])
def test_words_that_say_nothing_give_nothing(words):
    assert choose(words, everything) == []


def test_at_most_three_topics_answer():
    assert len(ids(choose(["tcp"], nothing))) == 3


@given(st.lists(st.one_of(st.text(max_size=12), st.sampled_from([word for topic in TOPICS for word in topic.words]))))
def test_any_words_get_an_answer_in_order(words):
    choices = choose(words, everything)
    assert [choice.rank for choice in choices] == list(range(1, len(choices) + 1))
    assert len({choice.topic for choice in choices}) <= 3
    assert len({choice.near for choice in choices}) <= 1


# The way back


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ("tracepoint:sched:sched_switch", ["scheduler-latency", "off-cpu", "context-switches"]),
        ("rawtracepoint:kvm_exit", ["kvm"]),
        ("tracepoint:ext4:ext4_error", ["disk-errors", "ext4"]),
        ("tracepoint:ext4:ext4_free_inode", ["ext4"]),
        ("kretprobe:vfs_read", ["file-read-write"]),
        ("fexit:vmlinux:vfs_read", ["file-read-write"]),
        ("fentry:vmlinux:swap_readpage", ["swap"]),
        ("tracepoint:syscalls:sys_exit_fsync", ["fsync", "syscall-errors"]),
        ("uprobe:/usr/lib/x86_64-linux-gnu/libc.so.6:getaddrinfo", ["dns"]),
        ("kprobe:nothing_of_the_sort", []),
        ("", []),
    ],
)
def test_a_probe_knows_its_topics(probe, expected):
    assert [topic.id for topic in topics_of(probe)] == expected


def test_a_function_is_no_tracepoint_of_the_same_name():
    assert "packet-drops" in [topic.id for topic in topics_of("tracepoint:skb:kfree_skb")]
    assert topics_of("kprobe:kfree_skb") == []
