"""What is shipped: the wheel's content, the pinned versions, the scripts that the README names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tracescope

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("tracescope-*.whl")
    assert path.name == f"tracescope-{tracescope.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_every_file_of_the_package_is_in_the_wheel(wheel: set[str]):
    package = ROOT / "tracescope"
    files = {
        str(path.relative_to(ROOT))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {name for name in wheel if name.startswith("tracescope/")} == files


@pytest.mark.parametrize(
    "name",
    ["tracescope/py.typed", "tracescope/ui/app.tcss", "tracescope/catalog/topics.toml", "tracescope/cli/main.py"],
)
def test_what_the_program_reads_at_run_time_is_in_the_wheel(wheel: set[str], name: str):
    assert name in wheel


def test_the_shim_headers_are_in_the_wheel(wheel: set[str]):
    assert [name for name in wheel if name.startswith("tracescope/attach/shim/") and name.endswith(".h")]


def test_nothing_but_the_package_and_its_metadata_is_in_the_wheel(wheel: set[str]):
    assert {name.split("/")[0] for name in wheel} == {"tracescope", f"tracescope-{tracescope.__version__}.dist-info"}


def test_the_licence_is_in_the_wheel(wheel: set[str]):
    assert f"tracescope-{tracescope.__version__}.dist-info/licenses/LICENSE" in wheel


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_no_address_of_a_package_is_pinned(name: str):
    assert not re.search(r"://|\s@\s|--hash|--index", (ROOT / name).read_text())


def test_everything_that_is_installed_for_the_project_is_pinned():
    """Follow the requirements from the project down, as installed here."""
    waiting = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    waiting += [Requirement(text) for text in PROJECT["project"]["optional-dependencies"]["dev"]]
    pinned = {canonicalize_name(name) for name in PINS}
    seen: set[str] = set()
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name in seen:
            continue
        seen.add(name)
        below = map(Requirement, requires(name) or ())
        waiting += [need for need in below if need.marker is None or need.marker.evaluate({"extra": ""})]
    assert seen - pinned == set()


def test_the_pinned_versions_satisfy_the_project():
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    for text in PROJECT["project"]["dependencies"]:
        need = Requirement(text)
        assert need.specifier.contains(pins[canonicalize_name(need.name)])


def test_the_commands_at_the_top_of_the_readme_can_be_run():
    first = (ROOT / "README.md").read_text().split("## ")[0]
    commands = re.findall(r"^    (\S+)", first, re.MULTILINE)
    assert commands == ["script/run", "script/test"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


@pytest.mark.parametrize("script", ["script/run", "script/test", "script/bench", "script/setup.sh", ".ci/run"])
def test_a_script_is_valid_bash(script: str):
    done = subprocess.run(["bash", "-n", ROOT / script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
