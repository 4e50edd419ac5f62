"""What an import brings along: the lower rooms stay light, and each module says what it offers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tracescope

ROOT = Path(tracescope.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
MAIN = "from tracescope.cli.main import main; sys.exit(main())"
# The first argument is where to write, on exit, which heavy packages were loaded.
PROLOGUE = """
import atexit, pathlib, sys
report = pathlib.Path(sys.argv.pop(1))
heavy = ("bcc", "numpy", "rich", "textual")
atexit.register(lambda: report.write_text(" ".join(name for name in heavy if name in sys.modules)))
"""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def in_rooms(*rooms: str) -> str:
    """An import of every module of these rooms."""
    wanted = tuple(f"tracescope.{room}" for room in rooms)
    names = map(module_name, MODULES)
    return "import " + ", ".join(name for name in names if f"{name}.".startswith(tuple(f"{room}." for room in wanted)))


@pytest.fixture
def loaded_by(tmp_path: Path):
    """Which of the heavy packages a fresh interpreter has loaded when `code` is done."""

    def load(code: str, *arguments: str) -> set[str]:
        report = tmp_path / "loaded"
        command = [sys.executable, "-c", PROLOGUE + code, str(report), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return set(report.read_text().split())

    return load


def test_a_heavy_package_is_seen_when_it_is_loaded(loaded_by):
    assert loaded_by("import numpy, rich.text") == {"numpy", "rich"}


def test_what_list_needs_loads_nothing_heavy(loaded_by):
    assert loaded_by(in_rooms("errors", "model", "printable", "host", "sources", "catalog")) == set()


def test_attaching_loads_neither_textual_nor_the_systems_bcc(loaded_by):
    assert loaded_by(in_rooms("attach")) <= {"numpy"}


@pytest.mark.parametrize("command", ["", "list", "show", "symbols", "doctor"])
def test_the_help_of_a_command_loads_nothing_heavy(loaded_by, command: str):
    assert loaded_by(MAIN, *command.split(), "--help") == set()


def test_listing_a_recorded_host_loads_nothing_heavy(loaded_by, tmp_path: Path):
    events = tmp_path / "sys/kernel/tracing/events/sched/sched_switch"
    events.mkdir(parents=True)
    (events / "format").write_text('name: sched_switch\nID: 1\nformat:\n\nprint fmt: ""\n')
    (events.parents[1] / "../available_events").resolve().write_text("sched:sched_switch\n")
    assert loaded_by(MAIN, "list", "--host", str(tmp_path), "tracepoint:*") == set()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_offers_all_its_public_functions_and_classes(path: Path):
    definitions = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    body = ast.parse(path.read_bytes()).body
    public = {node.name for node in body if isinstance(node, definitions) and not node.name.startswith("_")}
    offered = getattr(importlib.import_module(module_name(path)), "__all__", ())
    assert public <= set(offered)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_offers_nothing_that_is_not_there(path: Path):
    module = importlib.import_module(module_name(path))
    assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []
