"""Names and values that would break out of a quote or a comment: built without a warning, and run."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from exported import SHIM, build, export, python_with_bcc, running

from tracescope.cli.main import main

FOLDERS = {
    "blanks and quotes": "a 'b' \"c\" d",
    "a shell's words": "$(touch pwned) `touch pwned` $HOME; touch pwned #",
    "comments": "*@/ /*x?? //",
    "escapes": "back\\slash \\n %s%n \\",
    "line break": "one\ntwo",
    "not UTF-8": "caf\udce9 ä",
}
COMMS = ('a"b', "back\\slash", "new\nline", "caf\udce9", "$(id)", "*/", '"""', "??/", "%s%n", "'")
WHERES = (
    r'comm != "quo\"te" && comm != "back\\slash" && comm != "\x01\n??/"',
    """comm != 'it is "\\'' && comm != '*/ // \\\\'""",
    'comm != "$(touch pwned)" && comm != "@NAME@" && comm != "??/"',
)
OPENAT = "tracepoint:syscalls:sys_enter_openat"


def compile_bcc(program: Path) -> None:
    """BCC compiles the C inside; nothing is loaded, except what BCC attaches by a program's name."""
    code = (
        "import ast, sys, re, bcc\n"
        "text = open(sys.argv[1], encoding='utf-8').read()\n"
        "tree = ast.parse(text)\n"
        "given = {n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign)\n"
        "         and isinstance(n.targets[0], ast.Name)}\n"
        "program = ast.literal_eval(given['PROGRAM'])\n"
        "flags = ['-Wall', '-Werror=comment', '-Werror=trigraphs', '-Werror=unknown-escape-sequence']\n"
        "flags += [f'-D{name}=0' for name in set(re.findall(r'\\bOFFSET_\\w+', program))]\n"
        "b = bcc.BPF(text=program, cflags=flags)\n"
        "print(b.num_functions() if hasattr(b, 'num_functions') else 1)\n"
    )
    ran = subprocess.run(
        [python_with_bcc() or "", "-I", "-c", code, str(program)], capture_output=True, text=True, timeout=120,
        errors="replace", env={"BCC_KERNEL_SOURCE": str(SHIM), "PATH": "/usr/bin:/bin:/usr/sbin"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert int(ran.stdout) > 0


@pytest.mark.parametrize("where", WHERES)
def test_texts_of_conditions_and_names(where, tmp_path, vmlinux):
    words = [OPENAT, "--where", where, "--show", "comm"]
    for name in COMMS:
        words += ["--comm", name]
    native = build(export(tmp_path, "libbpf", words), vmlinux)
    assert "--comm" in subprocess.run([native, "--help"], capture_output=True, text=True, timeout=10).stdout
    (python,) = export(tmp_path, "bcc", words).iterdir()
    filters = re.search(r"^FILTERS = (.*)$", python.read_text("utf-8"), re.MULTILINE)
    assert tuple(ast.literal_eval(filters[1])["comm"]) == COMMS
    compile_bcc(python)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_a_path_is_only_a_path(folder, tmp_path, vmlinux, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / folder.replace("/", "") if folder != FOLDERS["comments"] else tmp_path / folder
    place.mkdir(parents=True)
    program = place / "traced"
    source = Path(__file__).parent / "programs" / "usdt.c"
    subprocess.run(["gcc", "-O1", "-o", str(tmp_path / "traced"), str(source)], check=True)
    shutil.move(tmp_path / "traced", program)
    words = [f"uprobe:{program}:twice"]
    native = build(export(tmp_path, "libbpf", words), vmlinux)
    (python,) = export(tmp_path, "bcc", words).iterdir()
    with running([python_with_bcc() or "", "-I", str(python)], [str(native)]) as tracers:
        subprocess.run([str(program), "7"], check=True, capture_output=True, timeout=30)
        outs = [tracer.stop() for tracer in tracers]
    counts = [len(re.findall(r"arg0=", out)) for out in outs]
    assert counts[0] == counts[1] > 0
    assert all(re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out) is None for out in outs)
    assert main(["export", *words, "--as", "bpftrace"]) == 1
    assert "other characters than names do" in capsys.readouterr().err
    assert not list(tmp_path.rglob("pwned"))


def test_functions_that_are_no_identifiers(tmp_path, vmlinux):
    program = tmp_path / "traced"
    source = tmp_path / "odd.c"
    names = ("_ZN3fooC1Ev", "part.isra.0", "dollar$name", "while_", "int.0")
    body = "".join(
        f'__attribute__((noinline)) int f{at}(int x) __asm__("{name}"); int f{at}(int x) {{ return x + {at}; }}\n'
        for at, name in enumerate(names)
    )
    calls = " + ".join(f"f{at}(c)" for at in range(len(names)))
    source.write_text(f"{body}int main(int c, char **v) {{ (void)v; return ({calls}) == 0; }}\n")
    subprocess.run(["gcc", "-O1", "-fno-ipa-icf", "-o", str(program), str(source)], check=True)
    words = [f"uprobe:{program}:{name}" for name in names]
    native = build(export(tmp_path, "libbpf", words), vmlinux)
    (python,) = export(tmp_path, "bcc", words).iterdir()
    with running([python_with_bcc() or "", "-I", str(python)], [str(native)]) as tracers:
        subprocess.run([str(program)], check=True, timeout=30)
        outs = [tracer.stop() for tracer in tracers]
    for name in names:
        assert [out.count(f":{name} ") for out in outs] == [1, 1], (name, outs)


def test_the_static_program_needs_nothing_beside_it(tmp_path, vmlinux):
    for library in ("elf", "z", "bpf"):
        found = list(Path("/usr/lib").glob(f"*/lib{library}.a"))
        assert found, f"lib{library}.a is not installed: libbpf-dev brings it"
    folder = export(tmp_path, "libbpf", [OPENAT])
    (folder / "vmlinux.h").symlink_to(vmlinux)
    made = subprocess.run(["make", "-s", "-C", str(folder), "static"], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    (native,) = folder.glob("*-static")
    headers = subprocess.run(["readelf", "-ld", str(native)], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in headers
    assert "NEEDED" not in headers
    with running([str(native)]) as (tracer,):
        subprocess.run(["/bin/cat", "/dev/null"], check=True)
        assert 'filename="/dev/null"' in tracer.stop()


def test_kernel_functions_are_compiled_by_bcc(tmp_path):
    from tracescope.attach.open import kernel_types
    from tracescope.attach.targets.btf import function_target
    from tracescope.export.bcc import project as bcc
    from tracescope.export.tracer import Tracer
    from tracescope.host import open_host
    from tracescope.model import ProbeKind

    types = kernel_types(open_host(None))
    kinds = (ProbeKind.KPROBE, ProbeKind.KRETPROBE)
    targets = tuple(function_target(kind, "vfs_read", "", types) for kind in kinds)
    for number, asked in enumerate(({}, {"where": "ret < 0"}, {"count_by": "comm, kstack"})):
        chosen = targets[1:] if "where" in asked else targets
        (text,) = bcc.project(Tracer("reads", chosen, btf=types, **asked)).values()
        file = tmp_path / f"reads{number}.py"
        file.write_text(text)
        compile_bcc(file)
