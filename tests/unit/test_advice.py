from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_probes import KnownProbes

from tracescope.catalog import advice
from tracescope.catalog.advice import better, stability
from tracescope.model import ProbeKind, Stability

EVENTS_6_18 = Path(__file__).parent.parent / "fixtures" / "topics" / "events-6.18.txt"
PADDING = r"__(?:pfx|cfi)_(\w+)"  # Only kernels with call padding have these symbols: not the recorded ones.


@pytest.fixture(scope="module")
def bullseye(debian11) -> KnownProbes:
    return KnownProbes.of(debian11)


@pytest.fixture(scope="module")
def bookworm(debian12) -> KnownProbes:
    return KnownProbes.of(debian12)


@pytest.fixture(scope="module")
def hosts(bullseye, bookworm) -> list[KnownProbes]:
    return [bullseye, bookworm, KnownProbes(set(EVENTS_6_18.read_text().split()), set())]


def offered(probe: str, host: KnownProbes) -> list[str]:
    kind, _, name = probe.partition(":")
    return [alternative.probe for alternative in better(ProbeKind(kind), name, host, host.groups)]


# Stability


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ("tracepoint:sched:sched_switch", Stability.STABLE),
        ("usdt:/usr/bin/python3.11:python:gc__start", Stability.STABLE),
        ("software:page-faults", Stability.STABLE),
        ("hardware:cycles", Stability.STABLE),
        ("cache:L1-dcache-loads", Stability.STABLE),
        ("pmu:cpu/cycles/", Stability.STABLE),
        ("rawtracepoint:sched_switch", Stability.TYPED),
        ("fentry:vmlinux:vfs_read", Stability.TYPED),
        ("fexit:vmlinux:vfs_read", Stability.TYPED),
        ("kprobe:vfs_read", Stability.UNSTABLE),
        ("kretprobe:vfs_read", Stability.UNSTABLE),
        ("uprobe:/bin/bash:readline", Stability.UNSTABLE),
        ("uprobe:/opt/x.part/lib.so:main", Stability.UNSTABLE),
        ("uprobe:/opt/go:main.main", Stability.UNSTABLE),
        ("kprobe:finish_task_switch.isra.0", Stability.FRAGILE),
        ("kprobe:link_path_walk.part.0.constprop.0", Stability.FRAGILE),
        ("kretprobe:do_exit.cold", Stability.FRAGILE),
        ("kprobe:x.llvm.1234567", Stability.FRAGILE),
        ("uprobe:/bin/x:f.constprop.3", Stability.FRAGILE),
    ],
)
def test_the_ladder(probe, expected):
    kind, _, name = probe.partition(":")
    assert stability(ProbeKind(kind), name) is expected


def test_every_kind_has_a_step():
    assert {stability(kind, "x") for kind in ProbeKind} == {Stability.STABLE, Stability.TYPED, Stability.UNSTABLE}


# Better by name


def test_a_copy_of_execve_is_led_to_the_tracepoints(bookworm):
    assert "do_execveat_common.isra.0" in bookworm.functions
    assert offered("kprobe:do_execveat_common.isra.0", bookworm)[:2] == [
        "tracepoint:syscalls:sys_enter_execve",
        "tracepoint:sched:sched_process_exec",
    ]


@pytest.mark.parametrize(
    ("probe", "first"),
    [
        ("kprobe:__x64_sys_openat", ["tracepoint:syscalls:sys_enter_openat", "tracepoint:syscalls:sys_exit_openat"]),
        ("kretprobe:__x64_sys_openat", ["tracepoint:syscalls:sys_exit_openat", "tracepoint:syscalls:sys_enter_openat"]),
        ("kprobe:__do_sys_clone", ["tracepoint:sched:sched_process_fork", "tracepoint:task:task_newtask"]),
        ("kprobe:do_sys_openat2", ["tracepoint:syscalls:sys_enter_openat"]),
        ("kretprobe:do_sys_openat2", ["tracepoint:syscalls:sys_exit_openat"]),
        ("kprobe:ksys_read", ["tracepoint:syscalls:sys_enter_read"]),
        ("kprobe:__se_sys_read", ["tracepoint:syscalls:sys_enter_read"]),
        ("kprobe:__sys_sendmsg", ["tracepoint:syscalls:sys_enter_sendmsg"]),
        ("kprobe:__ia32_sys_openat", ["tracepoint:raw_syscalls:sys_enter", "tracepoint:syscalls:sys_enter_openat"]),
        ("kprobe:__ia32_compat_sys_execve", ["tracepoint:sched:sched_process_exec"]),
        ("kprobe:__x64_sys_execve", ["tracepoint:syscalls:sys_enter_execve"]),
        ("kprobe:bprm_execve", ["tracepoint:syscalls:sys_enter_execve", "tracepoint:sched:sched_process_exec"]),
        ("kprobe:__traceiter_sched_switch", ["tracepoint:sched:sched_switch"]),
        ("kprobe:__bpf_trace_sched_switch", ["tracepoint:sched:sched_switch"]),
        ("kprobe:trace_event_raw_event_sched_switch", ["tracepoint:sched:sched_switch"]),
        ("kprobe:perf_trace_sched_switch", ["tracepoint:sched:sched_switch"]),
        ("kprobe:trace_raw_output_sched_switch", ["tracepoint:sched:sched_switch"]),
        ("kprobe:__probestub_sched_switch", ["tracepoint:sched:sched_switch"]),
        ("kprobe:tcp_retransmit_skb", ["tracepoint:tcp:tcp_retransmit_skb", "fentry:vmlinux:tcp_retransmit_skb"]),
        ("kprobe:kfree_skb_reason", ["tracepoint:skb:kfree_skb"]),
        ("kprobe:blk_mq_start_request", ["tracepoint:block:block_rq_issue"]),
        ("kprobe:blk_account_io_done", ["tracepoint:block:block_rq_complete"]),
        ("kprobe:vfs_read", ["fentry:vmlinux:vfs_read", "tracepoint:syscalls:sys_enter_read"]),
        ("kprobe:vfs_unlink", ["fentry:vmlinux:vfs_unlink", "tracepoint:syscalls:sys_enter_unlinkat"]),
        ("kprobe:vfs_fsync_range", ["fentry:vmlinux:vfs_fsync_range", "tracepoint:syscalls:sys_enter_fsync"]),
        ("kprobe:try_to_wake_up", ["tracepoint:sched:sched_wakeup"]),
        ("kprobe:ttwu_do_wakeup", ["tracepoint:sched:sched_wakeup"]),
        ("kprobe:finish_task_switch.isra.0", ["tracepoint:sched:sched_switch"]),
        ("kprobe:__schedule", ["tracepoint:sched:sched_switch"]),
        ("kprobe:oom_kill_process", ["tracepoint:oom:mark_victim"]),
        ("kprobe:handle_mm_fault", ["tracepoint:exceptions:page_fault_user"]),
        ("kprobe:tcp_set_state", ["tracepoint:sock:inet_sock_set_state"]),
        ("kprobe:__kmalloc_node", ["tracepoint:kmem:kmalloc"]),
        ("kprobe:kfree", ["tracepoint:kmem:kfree"]),
        ("kprobe:do_exit", ["tracepoint:sched:sched_process_exit"]),
        ("kprobe:wake_up_new_task", ["tracepoint:sched:sched_process_fork", "tracepoint:task:task_newtask"]),
        ("kprobe:kernel_clone", ["tracepoint:sched:sched_process_fork", "tracepoint:task:task_newtask"]),
        ("kprobe:__send_signal_locked", ["tracepoint:signal:signal_generate"]),
        ("kprobe:load_module", ["tracepoint:module:module_load"]),
        ("kprobe:security_file_open", ["fentry:vmlinux:security_file_open"]),
        ("kprobe:cap_capable", ["fentry:vmlinux:cap_capable"]),
        ("kprobe:tcp_sendmsg", ["fentry:vmlinux:tcp_sendmsg"]),
        ("kretprobe:tcp_sendmsg", ["fexit:vmlinux:tcp_sendmsg"]),
        ("kprobe:virtio:virtio_max_dma_size", ["fentry:virtio:virtio_max_dma_size"]),
        ("fentry:vmlinux:tcp_sendmsg", ["fexit:vmlinux:tcp_sendmsg"]),
        ("fexit:vmlinux:tcp_sendmsg", []),
        ("kprobe:__pfx_tcp_sendmsg", ["fentry:vmlinux:tcp_sendmsg", "kprobe:tcp_sendmsg"]),
        ("kprobe:tcp_sendmsg.cold", ["fentry:vmlinux:tcp_sendmsg"]),
        ("kretprobe:tcp_sendmsg.cold", ["fexit:vmlinux:tcp_sendmsg", "kretprobe:tcp_sendmsg"]),
        ("rawtracepoint:sched_switch", ["tracepoint:sched:sched_switch"]),
        ("tracepoint:sched:sched_switch", ["rawtracepoint:sched_switch"]),
        ("tracepoint:syscalls:sys_enter_openat", ["tracepoint:syscalls:sys_exit_openat"]),
        ("tracepoint:syscalls:sys_exit_openat", ["tracepoint:syscalls:sys_enter_openat"]),
        ("tracepoint:raw_syscalls:sys_enter", ["tracepoint:raw_syscalls:sys_exit"]),
        ("tracepoint:irq:softirq_entry", ["tracepoint:irq:softirq_exit"]),
        ("tracepoint:irq:softirq_exit", ["tracepoint:irq:softirq_entry"]),
        ("tracepoint:lock:contention_begin", ["tracepoint:lock:contention_end"]),
        ("tracepoint:kmem:kmem_cache_alloc", ["tracepoint:kmem:kmem_cache_free"]),
        ("kprobe:nothing_of_the_sort", []),
        ("uprobe:/bin/bash:readline", []),
        ("software:page-faults", []),
        ("kprobe:", []),
    ],
)
def test_the_better_probe_on_debian_12(probe, first, bookworm):
    assert [name for name in offered(probe, bookworm) if name in first or not first] == first
    assert offered(probe, bookworm)[:1] == first[:1]


def test_a_function_that_only_serves_a_tracepoint_gets_nothing_but_the_tracepoint(bookworm):
    assert offered("kprobe:__traceiter_sched_switch", bookworm) == ["tracepoint:sched:sched_switch"]


def test_an_event_name_in_two_groups_gives_both():
    host = KnownProbes({"a:twin", "b:twin"}, set())
    assert offered("rawtracepoint:twin", host) == ["tracepoint:a:twin", "tracepoint:b:twin"]


def test_where_there_is_no_event_the_function_is_left(bullseye):
    assert offered("kprobe:__mutex_lock_slowpath", bullseye) == ["fentry:vmlinux:__mutex_lock_slowpath"]


def test_older_kernels_get_their_own_names(bullseye):
    assert offered("kprobe:send_signal", bullseye)[0] == "tracepoint:signal:signal_generate"
    assert "tracepoint:kmem:kmalloc_node" in offered("kprobe:__kmalloc_node", bullseye)


def test_every_answer_exists_is_new_and_is_explained_for_every_function_of_debian_12(bookworm):
    advised = 0
    for function in sorted(bookworm.functions)[::17]:
        found = better(ProbeKind.KPROBE, function, bookworm, bookworm.groups)
        assert len(found) <= 5
        assert len({alternative.probe for alternative in found}) == len(found)
        for probe, why in found:
            assert bookworm(probe)
            assert probe != f"kprobe:{function}"
            assert why.endswith(".")
        advised += bool(found)
    assert advised > 2000


@given(st.sampled_from(list(ProbeKind)), st.text(max_size=30))
def test_any_name_is_answered(kind, name):
    everything = better(kind, name, lambda probe: True, {})
    assert f"{kind}:{name}" not in [probe for probe, _ in everything]
    assert len(everything) <= 5


# The rules


def test_every_probe_that_a_rule_names_in_full_is_on_a_known_host(hosts):
    named = {p.probe for rule in advice._rules() for p in rule.proposals if not re.search(r"[\\{*]", p.probe)}
    assert len(named) > 80
    assert [probe for probe in sorted(named) if not any(host(probe) for host in hosts)] == []


def test_every_rule_is_for_something_that_a_known_host_has(hosts):
    events = set().union(*(host.events for host in hosts))
    names = events | {event.partition(":")[2] for event in events} | set().union(*(host.functions for host in hosts))
    bases = names | {name.partition(".")[0] for name in names}
    unused = [rule.match.pattern for rule in advice._rules() if not any(map(rule.match.fullmatch, bases))]
    assert unused == [PADDING]


def test_every_reason_is_one_plain_sentence():
    for rule in advice._rules():
        for proposal in rule.proposals:
            assert re.fullmatch(r"[A-Z][^\n]*\.", proposal.why), proposal
