"""Events to processes: links, lives, pid reuse, order, folding, memory."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from process_events import MS, T0, at, end, fail, fork, run

from tracescope.processes import ProcessTable, exit_words, summarize


def table_of(*events, **options) -> ProcessTable:
    table = ProcessTable(**options)
    for event in events:
        table.add(event)
    return table


def row(table: ProcessTable, program: str):
    (found,) = [row for row in summarize(table).programs if row.program == program]
    return found


# Parents and lives.


def test_a_process_is_linked_to_who_forked_it():
    table = table_of(fork(0, 11, 10), run(1, 11, "/bin/sh"), fork(2, 12, 11), run(3, 12, "/bin/ls"))
    assert [process.pid for process in table.ancestors(table.find(12))] == [11, 10]
    assert {process.pid for process in table.children()[table.find(11).serial]} == {12}


def test_a_parent_that_was_there_before_is_shown_as_such_and_has_no_program_of_its_own():
    table = table_of(run(0, 11, "/bin/ls", ppid=10))
    parent = table.find(10)
    assert (parent.there_before, parent.program, parent.runs) == (True, "", ())
    assert not table.find(11).there_before
    assert "pid" not in {row.program for row in summarize(table).programs}


def test_at_a_fork_the_parent_has_the_name_of_the_child():
    table = table_of(fork(0, 11, 10, comm="app"))
    assert (table.find(10).program, table.find(10).there_before) == ("app", True)


def test_a_seeded_process_is_the_one_that_events_speak_of_later():
    table = ProcessTable()
    table.known(10, 10_000, "app", "/usr/bin/app", 1)
    for event in (fork(0, 11, 10), end(5, 10, start_ns=10_000)):
        table.add(event)
    assert (table.find(10).program, table.find(10).exit_words) == ("/usr/bin/app", "exit 0")
    assert [process.pid for process in table.ancestors(table.find(11))] == [10, 1]


def test_seeding_after_the_first_events_fills_in_what_they_left_open():
    table = table_of(fork(0, 11, 10), run(1, 11, "/bin/ls"))
    table.known(10, 3, "app", "/usr/bin/app", 1)
    table.known(11, 3, "wrong", "/wrong", 1)
    assert table.find(10).program == "/usr/bin/app"
    assert (table.find(11).program, table.find(11).there_before) == ("/bin/ls", False)


def test_a_seeded_pid_with_a_later_start_is_another_process():
    table = ProcessTable()
    table.known(10, 10_000, "old", "/old", 1)
    old = table.find(10)
    table.add(run(1, 10, "/new", start_ns=10_000 + 30 * MS))
    assert table.find(10) is not old
    assert (old.alive, old.exit_words, table.find(10).there_before) == (False, "status unknown", False)


def test_a_seeded_start_is_only_as_exact_as_a_clock_tick():
    table = ProcessTable()
    table.known(10, 10_000_000, "sh", "/bin/sh", 1)
    table.add(run(1, 10, "/bin/ls", start_ns=10_000_000 + 9 * MS))
    assert [process.pid for process in table] == [10, 1]


def test_exec_after_exec_is_one_process_with_a_list_of_programs():
    table = table_of(fork(0, 11, 10), run(1, 11, "/bin/sh"), run(2, 11, "/usr/bin/env"), run(3, 11, "/bin/ls"))
    table.add(end(9, 11))
    process = table.find(11)
    assert [event.filename for event in process.runs] == ["/bin/sh", "/usr/bin/env", "/bin/ls"]
    assert process.life_ns == 6 * MS
    assert [
        (name, row(table, name).starts, row(table, name).ended, row(table, name).alive)
        for name in ("/bin/sh", "/bin/ls")
    ] == [
        ("/bin/sh", 1, 0, 0),
        ("/bin/ls", 1, 1, 0),
    ]


def test_endless_exec_keeps_the_latest_programs_and_counts_all():
    table = table_of(*(run(ms, 11, f"/bin/p{ms}") for ms in range(100)))
    assert (len(table.find(11).runs), table.find(11).execs) == (16, 100)
    assert table.find(11).program == "/bin/p99"


def test_the_lifetime_of_the_tracer_counts_else_exec_to_exit_else_fork_to_exit():
    table = table_of(
        *(fork(0, 11, 1), run(1, 11, "/a"), end(9, 11, lifetime_ns=123)),
        *(fork(0, 12, 1), run(1, 12, "/a"), end(9, 12)),
        *(fork(0, 13, 1, comm="a"), end(9, 13)),
        end(9, 14, comm="old"),
    )
    assert [table.find(pid).life_ns for pid in (11, 12, 13, 14)] == [123, 8 * MS, 9 * MS, None]


def test_a_daemon_keeps_who_forked_it_and_shows_who_adopted_it():
    table = table_of(
        *(fork(0, 11, 10, comm="sh"), run(1, 11, "/usr/sbin/daemon"), fork(2, 12, 11), end(3, 11)),
        *(fork(4, 13, 12), end(5, 12), run(6, 13, "/usr/sbin/worker", ppid=1)),
    )
    daemon = table.find(13)
    assert [process.pid for process in table.ancestors(daemon)] == [12, 11, 10]
    assert daemon.adopted_by == 1
    assert daemon.alive


def test_a_process_that_lives_through_detach_stays_alive():
    table = table_of(fork(0, 11, 10), run(1, 11, "/bin/sleep"))
    assert (table.find(11).exit_words, row(table, "/bin/sleep").alive, row(table, "/bin/sleep").ended) == (
        "alive",
        1,
        0,
    )
    assert table.find(11).age_ns(at(1001)) == 1000 * MS


def test_an_exec_of_a_thread_that_is_not_the_leader_is_of_the_process():
    table = table_of(fork(0, 11, 10), run(1, 11, "/bin/ls", tid=15), end(2, 11))
    assert (len(table), table.find(11).program, table.find(15)) == (2, "/bin/ls", None)


def test_an_exec_without_an_enter_has_the_best_name_there_is():
    table = table_of(
        run(0, 11, "/dev/fd/3", argv=("tool", "-x")),
        run(0, 12, "", filename_error=True, argv=(None,), comm="cold"),
        run(0, 13, "/opt/script.sh", argv=("/bin/sh", "/opt/script.sh"), interpreter="/bin/sh", exe="/usr/bin/dash"),
        run(0, 14, "/dev/fd/3", argv=("tool", "-x"), exe="/opt/tool"),
        run(0, 15, "./tool", exe="/opt/tool"),
        run(0, 16, "./script.sh", interpreter="/bin/sh", exe="/usr/bin/dash"),
    )
    names = ["tool", "cold", "/opt/script.sh", "/opt/tool", "/opt/tool", "./script.sh"]
    assert [table.find(pid).program for pid in range(11, 17)] == names


def test_a_fork_that_never_execs_counts_as_a_start_of_its_parents_program_when_it_ends():
    table = table_of(run(0, 10, "/usr/sbin/httpd"), fork(1, 11, 10), fork(2, 12, 10))
    assert (row(table, "/usr/sbin/httpd").starts, row(table, "/usr/sbin/httpd").alive) == (1, 3)
    table.add(end(5, 11))
    found = row(table, "/usr/sbin/httpd")
    assert (found.starts, found.forks, found.ended, found.alive) == (2, 1, 1, 2)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (end(0, 1, 0), "exit 0"),
        (end(0, 1, 1), "exit 1"),
        (end(0, 1, 0, signal=9, core=False), "SIGKILL"),
        (end(0, 1, None, signal=11, core=True), "SIGSEGV core"),
        (end(0, 1, None, signal=37), "SIGRTMIN+3"),
        (end(0, 1, None, signal=34), "SIGRTMIN"),
        (end(0, 1, None, signal=99), "signal 99"),
        (end(0, 1, None), "status unknown"),
        (None, "status unknown"),
    ],
)
def test_how_a_process_ended_in_words(event, words):
    assert exit_words(event) == words


# The same pid again.


def test_a_pid_that_comes_again_is_another_process():
    table = table_of(run(0, 11, "/a", start_ns=1), end(1, 11, start_ns=1), run(2, 11, "/b", start_ns=2))
    first, second = table
    assert (first.program, first.alive, second.program, second.alive) == ("/a", False, "/b", True)


def test_a_pid_that_comes_again_ends_the_process_whose_exit_was_lost():
    table = table_of(run(0, 11, "/a", start_ns=1), fork(2, 11, 1, start_ns=2))
    first = next(iter(table))
    assert (first.alive, first.exit_words, row(table, "/a").alive, row(table, "/a").ended) == (
        False,
        "status unknown",
        0,
        0,
    )


def test_without_start_times_the_order_tells_processes_with_one_pid_apart():
    table = table_of(
        *(run(0, 11, "/a", start_ns=None), end(1, 11, start_ns=None)),
        *(run(2, 11, "/b", start_ns=None), end(3, 11, 7, start_ns=None)),
        *(fork(4, 11, 1, start_ns=None, comm="c"),),
    )
    assert [(process.program, process.exit_words) for process in table if process.pid == 11] == [
        ("/a", "exit 0"),
        ("/b", "exit 7"),
        ("c", "alive"),
    ]


def test_an_event_of_the_former_owner_of_a_pid_does_not_touch_the_present_one():
    table = table_of(run(2, 11, "/new", start_ns=20), end(1, 11, 3, start_ns=10, comm="old"))
    assert (table.find(11).program, table.find(11).alive) == ("/new", True)
    assert [process.exit_words for process in table] == ["alive", "exit 3"]


def test_a_parent_is_told_by_its_start_time_when_its_pid_came_again():
    table = table_of(
        *(run(0, 10, "/first", start_ns=1), end(5, 10, start_ns=1), run(6, 10, "/second", start_ns=2)),
        run(7, 11, "/child", ppid=10, parent_start_ns=1),
    )
    assert table.process(table.find(11).parent).program == "/first"


def test_a_parent_without_start_time_is_the_one_who_lived_then():
    table = table_of(run(0, 10, "/a", start_ns=1), end(1, 10, start_ns=1), run(9, 11, "/child", ppid=10))
    assert table.process(table.find(11).parent).program == ""


# Order.

STORY = (
    fork(0, 11, 10, comm="app"),
    run(1, 11, "/bin/sh", comm="sh"),
    run(2, 11, "/bin/ls", comm="ls"),
    end(3, 11, 1, cpu_ns=5 * MS, comm="ls"),
)


def seen(table: ProcessTable):
    process = table.find(11)
    programs = {
        row.program: (row.starts, row.forks, row.ended, row.alive, row.exits, row.cpu_ns)
        for row in summarize(table).programs
    }
    runs = [event.filename for event in process.runs]
    return process.program, runs, process.exit_words, process.forked, process.there_before, process.life_ns, programs


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_events_that_come_out_of_order_tell_the_same_story(order):
    assert seen(table_of(*(STORY[index] for index in order))) == seen(table_of(*STORY))


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_a_fork_after_its_exit_counts_once(order):
    events = (fork(0, 11, 10, comm="app"), end(3, 11, 0, comm="app"))
    table = table_of(*(events[index] for index in order))
    found = row(table, "app")
    assert (found.starts, found.forks, found.ended, found.alive, table.find(11).life_ns) == (1, 1, 1, 0, 3 * MS)


def test_without_start_times_a_late_exec_belongs_to_the_process_that_ended_after_it():
    table = table_of(end(3, 11, 1, start_ns=None, comm="ls"), run(1, 11, "/bin/ls", start_ns=None))
    assert len(table) == 1
    assert (row(table, "/bin/ls").starts, row(table, "/bin/ls").exits) == (1, (("exit 1", 1),))


def test_an_exit_that_is_reported_twice_counts_once():
    table = table_of(run(0, 11, "/a"), end(1, 11), end(1, 11))
    assert (row(table, "/a").ended, row(table, "/a").alive) == (1, 0)


def test_a_child_seen_before_its_parents_own_fork_is_linked_all_the_same():
    table = table_of(fork(2, 12, 11, start_ns=None), fork(1, 11, 10, start_ns=None, comm="app"))
    assert [process.pid for process in table.ancestors(table.find(12))] == [11, 10]
    assert not table.find(11).there_before


# Failed execs.


def walk(pid: int, name: str, *folders: str, first: float = 0, **more):
    return [fail(first + index, pid, f"{folder}/{name}", **more) for index, folder in enumerate(folders)]


def test_a_path_walk_is_one_row():
    places = [f"/p{index}" for index in range(9)]
    table = table_of(*walk(11, "make", *places), run(20, 11, "/usr/bin/make"))
    (found,) = table.failed
    assert (found.tried, found.words()) == (9, "tried 9 places, found /usr/bin/make")
    assert found.places == [f"{place}/make" for place in places]
    assert summarize(table).failures == 0


def test_a_path_walk_that_finds_nothing_is_one_failure():
    table = table_of(*walk(11, "nope", "/a", "/b", "/c"), end(9, 11, 127))
    assert [found.words() for found in table.failed] == ["ENOENT, tried 3 places"]
    assert (summarize(table).failures, row(table, "nope").failures) == (1, 1)


def test_another_name_ends_a_walk():
    table = table_of(*walk(11, "gcc", "/a", "/b"), *walk(11, "cc", "/a", first=5), run(9, 11, "/usr/bin/cc"))
    assert [(found.program, found.tried, found.found) for found in table.failed] == [
        ("gcc", 2, None),
        ("cc", 1, "/usr/bin/cc"),
    ]
    assert summarize(table).failures == 1


def test_walks_of_two_threads_do_not_mix():
    events = itertools.chain(*zip(walk(11, "x", "/a", "/b"), walk(11, "x", "/a", "/b", tid=12), strict=True))
    assert [found.tried for found in table_of(*events).failed] == [2, 2]


def test_the_walk_of_a_thread_is_found_by_the_exec_that_makes_it_the_leader():
    table = table_of(*walk(11, "x", "/a", "/b", tid=12), run(9, 11, "/c/x"))
    assert [found.found for found in table.failed] == ["/c/x"]


def test_a_folder_that_path_names_twice_is_one_place():
    table = table_of(fail(0, 11, "/a/x"), fail(0.01, 11, "/a/x"), fail(0.02, 11, "/b/x"), fail(0.03, 11, "/b/x"))
    assert [(found.tried, found.places) for found in table.failed] == [(2, ["/a/x", "/b/x"])]


def test_the_first_place_again_is_a_new_walk():
    table = table_of(*walk(11, "x", "/a", "/b"), *walk(11, "x", "/a", "/b", first=5), *walk(11, "x", "/a", first=9))
    assert [found.tried for found in table.failed] == [2, 2, 1]
    assert summarize(table).failures == 2


@pytest.mark.parametrize("errno", ["EACCES", "E2BIG", "ENOEXEC"])
def test_an_error_that_is_not_enoent_has_a_row_of_its_own(errno):
    table = table_of(*walk(11, "x", "/a"), fail(1, 11, "/b/x", errno), fail(2, 11, "/c/x"), run(3, 11, "/d/x"))
    assert [(found.errno, found.program, found.found) for found in table.failed] == [
        ("ENOENT", "x", "/d/x"),
        (errno, "/b/x", None),
    ]
    assert summarize(table).failures == 1


def test_an_error_without_its_name_is_named_by_its_number():
    table = table_of(fail(0, 11, "/x", None, ret=-2), run(1, 12, "/y"), fail(2, 12, "/z", None, ret=-13))
    assert [found.errno for found in table.failed] == ["ENOENT", "EACCES"]


def test_a_failed_exec_leaves_the_process_as_it_was():
    table = table_of(run(0, 11, "/bin/sh"), fail(1, 11, "/nope", comm="sh"))
    assert (table.find(11).program, table.find(11).alive, table.find(11).execs) == ("/bin/sh", True, 1)


def test_tasks_that_never_end_do_not_keep_their_walks_open_for_ever():
    table = table_of(*(fail(0, pid, "/x") for pid in range(1, 10_000)))
    assert summarize(table).failures >= 10_000 - 1 - 4096


# Memory.


def test_old_dead_processes_are_forgotten_and_stay_in_the_sums():
    events = [
        event for pid in range(2, 1002) for event in (fork(pid, pid, 1), run(pid, pid, "/bin/x"), end(pid + 3, pid, 1))
    ]
    table = table_of(*events, keep=50)
    found = row(table, "/bin/x")
    assert (len(table), found.starts, found.ended, found.exits) == (51, 1000, 1000, (("exit 1", 1000),))


def test_many_program_names_are_summed_up_and_nothing_is_lost():
    events = [
        event
        for pid in range(2, 2002)
        for event in (run(pid, pid, f"/tmp/build-{pid}/conftest", ppid=1), end(pid + 1, pid, cpu_ns=MS))
    ]
    table = table_of(*events, max_groups=100)
    summary = summarize(table)
    assert len(table.groups) <= 101
    assert (summary.starts, summary.cpu_ns, sum(row.starts for row in summary.programs)) == (2000, 2000 * MS, 2000)
    assert summary.programs[-1].program == ""


def test_long_arguments_are_bounded_by_their_bytes():
    text = "x" * (1 << 20)
    events = [event for pid in range(2, 102) for event in (run(pid, pid, "/x", text[:-3] + str(pid)), end(pid, pid))]
    table = table_of(*events)
    assert 50 < len(table) < 70


def test_a_chain_of_forks_that_each_end_does_not_grow():
    events = [
        event for pid in range(2, 3000) for event in (fork(pid, pid, pid - 1, comm="hydra"), end(pid + 0.5, pid - 1))
    ]
    table = table_of(*events, keep=10)
    assert len(table) == 11
    assert len(table.groups) < 30
    assert row(table, "hydra").forks == 2997


@st.composite
def any_events(draw):
    pid = st.integers(1, 4)
    start = st.sampled_from([None, 1, 2])
    ms = st.integers(0, 20)
    common = {
        "start_ns": draw(start),
        "ppid": draw(st.sampled_from([None, 0, 1, 2, 3, 4])),
        "cgroup_id": draw(st.sampled_from([None, 1])),
    }
    kind = draw(st.sampled_from(["fork", "run", "fail", "end"]))
    if kind == "fork":
        return fork(draw(ms), draw(pid), **common)
    if kind == "run":
        return run(draw(ms), draw(pid), draw(st.sampled_from(["/a", "/b", "c"])), **common)
    if kind == "fail":
        return fail(draw(ms), draw(pid), draw(st.sampled_from(["/a", "/b/a", ""])), **common)
    return end(draw(ms), draw(pid), **common)


@given(st.lists(any_events(), max_size=40), st.sampled_from([1, 3, 100]), st.sampled_from([2, 100]))
def test_any_events_in_any_order_keep_the_sums_right(events, keep, max_groups):
    table = table_of(*events, keep=keep, max_groups=max_groups, ncpus=2)
    summary = summarize(table)
    forks = sum(row.forks for row in summary.programs)
    assert summary.starts == sum(type(event).__name__ == "ExecEvent" for event in events) + forks
    assert all(row.alive >= 0 and row.ended >= 0 and row.forks >= 0 for row in summary.programs)
    assert sum(not process.alive for process in table) <= keep
    assert summary.alive == sum(process.alive and process.group is not None for process in table)


def test_starts_are_counted_by_the_second():
    table = table_of(run(0, 11, "/a"), run(10, 12, "/a"), run(2000, 13, "/a"))
    assert dict(table.starts_by_second) == {T0 // 10**9: 2, T0 // 10**9 + 2: 1}
