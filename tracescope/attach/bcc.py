"""Compile BPF C with the distribution's BCC, in a process of its own: `python -I -S bcc.py < request > answer`.

Input: a JSON object {"text", "cflags", "debug"}. Output: a JSON object {"programs": {name: hex}, "maps": {name: {…}}};
what `debug` asks for (8: the instructions with their source) is on standard error. Status 3: BCC is not installed. LLVM
takes 130 MB and writes to standard error when it likes: here neither touches the screen.
This file runs as a script and imports nothing of tracescope.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Iterator
from glob import glob
from types import ModuleType
from typing import Any

__all__ = ("MISSING", "find_bcc")

MISSING = 3
_PLACES = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib/python3*/site-packages",
    "/usr/lib64/python3*/site-packages",
    "/usr/local/lib/python3*/dist-packages",
    "/usr/local/lib/python3*/site-packages",
)


def find_bcc() -> importlib.machinery.ModuleSpec | None:
    """The distribution's `bcc` package, not imported; a package of that name without libbcc is another one."""
    for place in (path for pattern in _PLACES for path in sorted(glob(pattern), reverse=True)):
        spec = importlib.machinery.PathFinder.find_spec("bcc", [place])
        if spec and spec.submodule_search_locations:
            inside = list(spec.submodule_search_locations)
            if importlib.machinery.PathFinder.find_spec("bcc.libbcc", inside):
                return spec
    return None


def _load_bcc() -> ModuleType | None:
    spec = find_bcc()
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    # By its spec and not by sys.path: nothing else of the distribution's packages can come along.
    sys.modules["bcc"] = module
    spec.loader.exec_module(module)
    return module if hasattr(module, "BPF") else None


def _programs(lib: Any, module: Any) -> Iterator[tuple[str, str]]:
    for index in range(lib.bpf_num_functions(module)):
        name = lib.bpf_function_name(module, index)
        start, size = lib.bpf_function_start(module, name), lib.bpf_function_size(module, name)
        yield name.decode("ascii"), ctypes.string_at(start, size).hex()


def _maps(lib: Any, module: Any) -> Iterator[tuple[str, dict[str, int]]]:
    lib.bpf_table_name.restype = ctypes.c_char_p
    for size_of in (lib.bpf_table_key_size, lib.bpf_table_leaf_size):
        size_of.restype, size_of.argtypes = ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_char_p]
    for index in range(lib.bpf_num_tables(ctypes.c_void_p(module))):
        name = lib.bpf_table_name(ctypes.c_void_p(module), ctypes.c_size_t(index))
        yield (
            name.decode("ascii"),
            {
                "fd": lib.bpf_table_fd(module, name),
                "kind": lib.bpf_table_type_id(module, index),
                "key": lib.bpf_table_key_size(module, name),
                "value": lib.bpf_table_leaf_size(module, name),
                "entries": lib.bpf_table_max_entries_id(module, index),
                "flags": lib.bpf_table_flags_id(module, index),
            },
        )


def _main() -> int:
    request = json.load(sys.stdin)
    bcc = _load_bcc()
    if bcc is None:
        return MISSING
    lib = bcc.lib
    # The class only to compile: its methods that attach go through debugfs.
    module = bcc.BPF(text=request["text"].encode("ascii"), cflags=request["cflags"], debug=request["debug"]).module
    json.dump({"programs": dict(_programs(lib, module)), "maps": dict(_maps(lib, module))}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
