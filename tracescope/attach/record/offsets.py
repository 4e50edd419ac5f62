"""Where the running kernel's structures keep what programs read: offsets in bytes, from BTF."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tracescope.sources.btf import Btf

__all__ = ("ObjectOffsets", "Offsets")


@dataclass(frozen=True, slots=True)
class Offsets:
    """In struct task_struct and struct mm_struct (include/linux/sched.h, mm_types.h)."""

    real_parent: int
    tgid: int
    mm: int
    arg_start: int
    arg_end: int
    pid: int
    comm: int
    typed: int
    """1: programs get the current task as a pointer to read through (bpf_get_current_task_btf, since 5.11); 0: not."""

    @classmethod
    def from_btf(cls, btf: Btf) -> Offsets:
        """Read them; raises Missing."""
        task, memory = "task_struct", "mm_struct"
        return cls(
            btf.member_offset(task, "real_parent"),
            btf.member_offset(task, "tgid"),
            btf.member_offset(task, "mm"),
            btf.member_offset(memory, "arg_start"),
            btf.member_offset(memory, "arg_end"),
            btf.member_offset(task, "pid"),
            btf.member_offset(task, "comm"),
            int(sys.byteorder == "little" and "BPF_FUNC_get_current_task_btf" in (btf.enum("bpf_func_id") or {})),
        )


@dataclass(frozen=True, slots=True)
class ObjectOffsets:
    """On the way from a file, a path or a task to its names (include/linux/path.h, dcache.h, sched.h, fs/mount.h)."""

    mnt: int
    dentry: int
    d_parent: int
    d_name: int
    mnt_root: int
    mount_mnt: int
    mnt_parent: int
    mnt_mountpoint: int
    f_path: int
    task_pid: int
    task_comm: int

    @classmethod
    def from_btf(cls, btf: Btf) -> ObjectOffsets:
        """Read them; raises Missing."""
        return cls(
            btf.member_offset("path", "mnt"),
            btf.member_offset("path", "dentry"),
            btf.member_offset("dentry", "d_parent"),
            btf.member_offset("dentry", "d_name", "name"),
            btf.member_offset("vfsmount", "mnt_root"),
            btf.member_offset("mount", "mnt"),
            btf.member_offset("mount", "mnt_parent"),
            btf.member_offset("mount", "mnt_mountpoint"),
            btf.member_offset("file", "f_path"),
            btf.member_offset("task_struct", "pid"),
            btf.member_offset("task_struct", "comm"),
        )
