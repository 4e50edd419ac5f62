"""What processes add up to: programs, CPU of the dead, spawners, loops, and the one line."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from process_events import MS, T0, at, end, fork, run

from tracescope.processes import ProcessTable, duration_words, share_words, summarize, summary_line
from tracescope.processes.tally import bucket, quantile


def add_starts(table, path, number, *, parent=812, every=10.0, life=5.0, code=1, cpu=0.0, first=0.0, pids=None, **more):
    """So many starts of a program, one after the other."""
    pids = pids or count(1000)
    for index in range(number):
        pid, moment = next(pids), first + index * every
        argv = more.get("arguments", lambda index: ())(index)
        common = {"cgroup_id": more.get("cgroup_id")}
        table.add(fork(moment, pid, parent, comm=more.get("comm", "app"), **common))
        table.add(run(moment + 0.1, pid, path, *argv, **common))
        table.add(end(moment + life, pid, code, cpu_ns=round(cpu * MS), signal=more.get("signal"), **common))


def program(summary, name):
    (found,) = [row for row in summary.programs if row.program == name]
    return found


def test_the_story():
    table = ProcessTable(ncpus=2, begin_ns=T0)
    table.known(812, 1, "app", "/opt/app", 1)
    add_starts(table, "/usr/bin/stress", 300, every=14, life=11, cpu=23.2)
    summary = summarize(table, at(14 * 300))
    assert summary_line(summary) == (
        "`/usr/bin/stress`, 4,286 starts a minute, 83 % of CPU, all spawned by `/opt/app` (pid 812), "
        "median life 11 ms, 100 % exit 1: restart loop"
    )


def test_the_cpu_of_the_dead_is_the_share_of_the_machine_over_the_window():
    table = ProcessTable(ncpus=4, begin_ns=T0)
    add_starts(table, "/burn", 100, every=100, life=50, cpu=40, code=0)
    add_starts(table, "/idle", 10, every=1000, life=50, cpu=1, code=0, pids=count(5000))
    summary = summarize(table, at(10_000))
    burn = program(summary, "/burn")
    assert burn.cpu_ns == 4000 * MS
    assert burn.cpu_share == pytest.approx(4000 / 10_000 / 4)
    assert burn.seen_share == pytest.approx(4000 / 4010)
    assert summary.programs[0] is burn


def test_of_a_long_life_only_the_part_in_the_window_counts_as_recent_cpu():
    table = ProcessTable(ncpus=1, begin_ns=T0)
    table.add(end(10_000, 50, comm="old", lifetime_ns=1_000_000 * MS, cpu_ns=500_000 * MS))
    found = program(summarize(table), "old")
    assert (found.cpu_ns, found.cpu_share) == (500_000 * MS, pytest.approx(0.5))


def test_a_process_whose_age_nobody_knows_cannot_have_used_more_than_the_machine_has():
    table = ProcessTable(ncpus=2, begin_ns=T0)
    table.add(end(1000, 50, comm="old", cpu_ns=500_000 * MS))
    assert program(summarize(table), "old").cpu_share == pytest.approx(1)


def test_without_the_number_of_cpus_there_is_no_share_of_the_machine():
    table = ProcessTable()
    add_starts(table, "/x", 20, cpu=1)
    summary = summarize(table)
    assert (summary.cpu_share, program(summary, "/x").cpu_share, program(summary, "/x").seen_share) == (None, None, 1)
    assert "CPU" not in summary_line(summary)


def test_what_is_long_over_is_in_the_totals_and_not_in_the_rates():
    table = ProcessTable(ncpus=1, begin_ns=T0)
    add_starts(table, "/x", 50, cpu=1)
    table.add(run(600_000, 9000, "/y"))
    found = program(summarize(table), "/x")
    assert (found.starts, found.recent_starts, found.starts_per_minute, found.cpu_ns) == (50, 0, 0, 50 * MS)
    assert found.cpu_share == 0
    assert summarize(table).loops == ()


def test_rates_are_taken_over_half_to_a_whole_window():
    table = ProcessTable(begin_ns=T0)
    add_starts(table, "/x", 2000, every=100)
    summary = summarize(table)
    assert 30_000 * MS <= summary.window_ns <= 60_000 * MS
    assert summary.starts_per_minute == pytest.approx(600, rel=0.01)


def test_parents_exits_and_short_lives_of_a_program():
    table = ProcessTable(short_lived_ns=100 * MS)
    add_starts(table, "/x", 6, parent=10, code=0, comm="a")
    add_starts(table, "/x", 3, parent=20, life=500, code=2, pids=count(5000), comm="b")
    found = program(summarize(table), "/x")
    assert [(parent.program, starts) for parent, starts in found.parents] == [("a", 6), ("b", 3)]
    assert (found.exits, found.short_lived) == ((("exit 0", 6), ("exit 2", 3)), 6)


class Counted(str):
    """A name that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("programs", [100, 1000])
def test_the_work_for_a_program_does_not_grow_with_the_number_of_programs(programs):
    table = ProcessTable()
    for number in range(programs):
        add_starts(table, Counted(f"/bin/program-{number}"), 1, first=number, pids=count(1000 + number))
    Counted.compared = 0
    assert len(summarize(table).programs) == programs
    # Twice each, and once each time that sorting compares two.
    assert Counted.compared <= 20 * programs


@given(st.lists(st.integers(0, 1 << 62), min_size=1), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_right_within_a_bucket(lives, share):
    buckets = {}
    for life in lives:
        buckets[bucket(life)] = buckets.get(bucket(life), 0) + 1
    exact = sorted(lives)[max(-(-round(share * 100) * len(lives) // 100) - 1, 0)]
    assert quantile(buckets, share) == pytest.approx(exact, rel=0.033)


def test_a_quantile_of_nothing_is_not_known():
    assert quantile({}, 0.5) is None


# Spawners.


def test_top_spawners_by_children_and_descendants():
    table = ProcessTable()
    table.add(run(0, 10, "/bin/make", ppid=1))
    table.add(fork(0, 11, 10))
    table.add(run(1, 11, "/bin/sh"))
    add_starts(table, "/bin/cc", 5, parent=11, first=2000, life=2)
    by_pid = {row.parent.pid: row for row in summarize(table, at(5000)).spawners}
    assert (by_pid[11].children, by_pid[11].descendants) == (5, 5)
    assert (by_pid[10].children, by_pid[10].descendants) == (1, 6)


def test_what_a_short_lived_shell_starts_counts_for_the_one_who_started_the_shell():
    table = ProcessTable()
    table.known(10, 1, "app", "/opt/app", 1)
    for index in range(30):
        shell, child = 1000 + 2 * index, 1001 + 2 * index
        table.add(fork(index * 50, shell, 10))
        table.add(run(index * 50 + 1, shell, "/bin/sh", "-c", "burn"))
        table.add(fork(index * 50 + 2, child, shell))
        table.add(run(index * 50 + 3, child, "/bin/burn"))
        table.add(end(index * 50 + 20, child, 1))
        table.add(end(index * 50 + 21, shell, 1))
    summary = summarize(table)
    (spawner,) = summary.spawners
    assert (spawner.parent.program, spawner.children, spawner.descendants) == ("/opt/app", 30, 60)
    assert [(loop.program, loop.direct) for loop in summary.loops] == [("/bin/burn", False), ("/bin/sh", True)]
    assert "`/bin/burn`, 30 starts so far, all descended from `/opt/app` (pid 10)" in summary_line(summary)


def test_a_short_script_that_starts_one_program_many_times_is_named_itself():
    table = ProcessTable()
    table.add(fork(0, 11, 10, comm="sh"))
    table.add(run(1, 11, "/opt/script"))
    add_starts(table, "/bin/false", 8, parent=11, first=2)
    add_starts(table, "/bin/once", 1, parent=11, first=90, pids=count(5000))
    table.add(end(200, 11))
    summary = summarize(table)
    assert "`/bin/false`, 8 starts so far, all spawned by `/opt/script` (pid 11)" in summary_line(summary)
    assert [parent.pid for parent, _ in program(summary, "/bin/once").parents] == [10]


def test_who_starts_short_lived_children_is_named_while_they_live():
    table = ProcessTable()
    table.known(10, 1, "app", "/opt/app", 1)
    table.add(fork(0, 11, 10))
    table.add(run(0, 11, "/bin/sh"))
    table.add(fork(1, 12, 11))
    table.add(run(2, 12, "/bin/burn"))
    young, grown = summarize(table, at(10)), summarize(table, at(5000))
    assert [parent.pid for parent, _ in program(young, "/bin/burn").parents] == [10]
    assert [parent.pid for parent, _ in program(grown, "/bin/burn").parents] == [11]


# Loops.


def loops(**options):
    table = ProcessTable()
    number = options.pop("number", 30)
    add_starts(table, "/svc", number, **options)
    return summarize(table).loops


def test_a_crash_loop_is_found_after_five_starts():
    assert loops(number=4) == ()
    (loop,) = loops(number=5)
    assert (loop.failing, loop.exit_words, loop.share, loop.parent.pid) == (True, "exit 1", 1, 812)


def test_a_loop_of_killed_processes_names_the_signal():
    (loop,) = loops(code=None, signal=11)
    assert (loop.failing, loop.exit_words) == (True, "SIGSEGV")


def test_the_same_command_again_and_again_is_a_loop_even_if_it_ends_well():
    (loop,) = loops(code=0)
    assert not loop.failing
    assert loops(code=0, number=19) == ()


def test_a_build_is_no_loop():
    assert loops(code=0, number=500, arguments=lambda index: ("-c", f"file{index}.c")) == ()


def test_long_lives_are_no_loop():
    assert loops(every=3000, life=2000, number=12) == ()


def test_one_service_under_changing_parents_is_a_loop_in_its_cgroup():
    table = ProcessTable()
    for index in range(10):
        table.known(100 + index, 1, "shim", "/bin/shim", 1)
        add_starts(table, "/svc", 1, parent=100 + index, first=index * 100, pids=count(1000 + index), cgroup_id=77)
    (loop,) = summarize(table).loops
    assert (loop.parent, loop.cgroup_id, loop.starts) == (None, 77, 10)
    assert "all in cgroup 77" in summary_line(summarize(table))


def test_a_mixed_parentage_is_said_as_a_share():
    table = ProcessTable(begin_ns=T0)
    add_starts(table, "/svc", 30)
    add_starts(table, "/svc", 3, parent=99, pids=count(5000), comm="other")
    assert "91 % spawned by `app` (pid 812)" in summary_line(summarize(table))


# The line.


def test_two_loops_are_named_and_the_rest_counted():
    table = ProcessTable(begin_ns=T0, ncpus=2)
    for index, name in enumerate(["/burner", "/service", "/third", "/fourth"]):
        add_starts(table, name, 40, every=100, pids=count(1000 * (index + 1)), cpu=20 - index)
    line = summary_line(summarize(table))
    assert line.count("restart loop") == 2
    assert line.startswith("`/burner`")
    assert line.endswith("; 2 more loops")
    assert summary_line(summarize(table), len(line)) == line
    shorter = summary_line(summarize(table), 150)
    assert shorter == f"{line.partition('; ')[0]}; 3 more loops"
    # The first one is named whatever it takes.
    assert summary_line(summarize(table), 0) == shorter


@pytest.mark.parametrize(
    ("number", "every", "line"),
    [
        (0, 1, "0 starts so far, no loop"),
        (1, 1, "1 start so far, no loop"),
        (2, 1, "2 starts so far, no loop"),
        (312, 192, "312 starts a minute, no loop"),
    ],
)
def test_the_line_is_honest_when_there_is_little_to_say(number, every, line):
    table = ProcessTable(begin_ns=T0, window_ns=240_000 * MS)
    for index in range(number):
        table.add(run(index * every, 1000 + index, f"/bin/tool{index}"))
    assert summary_line(summarize(table, at(60_000 if number > 9 else 100))) == line


def test_hostile_names_cannot_steer_the_terminal():
    table = ProcessTable()
    add_starts(table, "/tmp/\x1b[2J\nx\udcff", 20, comm="\x1b]0;evil\x07")
    line = summary_line(summarize(table))
    assert line.isprintable()
    assert r"/tmp/\x1b[2J\nx\xff" in line


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (0, "0 s"),
        (850, "850 ns"),
        (850_000, "850 µs"),
        (11 * MS, "11 ms"),
        (999_400_000, "999 ms"),
        (1200 * MS, "1.2 s"),
        (42_000 * MS, "42 s"),
        (180_000 * MS, "3.0 min"),
        (7_200_000 * MS, "2.0 h"),
        (86_400_000 * MS * 30, "30 d"),
    ],
)
def test_durations_in_words(ns, words):
    assert duration_words(ns) == words


@pytest.mark.parametrize(
    ("share", "words"), [(0, "0 %"), (0.001, "<1 %"), (0.83, "83 %"), (0.999, ">99 %"), (1, "100 %"), (1.5, "150 %")]
)
def test_shares_in_words(share, words):
    assert share_words(share) == words
