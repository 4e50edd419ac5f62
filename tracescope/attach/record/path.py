"""The C text that reads a file's path: the names up to the root, across mounts, as d_path() goes. Pure."""

from __future__ import annotations

from dataclasses import asdict

from tracescope.attach.record.offsets import ObjectOffsets

__all__ = ("PATH_BYTES", "path_text")

PATH_BYTES = 2047
"""The most that `read_path()` appends; also a mask that bounds it for the verifier."""
_STEPS, _NAME = 32, 256


_PATH = """
/* The names from the file that a `struct path` leads to up to the root, each with its NUL; how many bytes they take.
   That number lives in memory: the verifier forgets memory, so one turn of the loop looks to it like the next. */
static inline void read_path(char *text, u64 *length, u64 path)
{
    u64 mnt = pointer_at(path + %(mnt)d), dentry = pointer_at(path + %(dentry)d), parent;
    u64 used;
    u32 step;
    long size;

    *length = 0;
#pragma clang loop unroll(disable)
    for (step = 0; step < %(steps)d; step++) {
        if (mnt && dentry == pointer_at(mnt + %(mnt_root)d)) {
            parent = pointer_at(mnt - %(mount_mnt)d + %(mnt_parent)d);
            if (parent == mnt - %(mount_mnt)d)
                break;
            dentry = pointer_at(mnt - %(mount_mnt)d + %(mnt_mountpoint)d);
            mnt = parent + %(mount_mnt)d;
            continue;
        }
        parent = pointer_at(dentry + %(d_parent)d);
        if (!dentry || dentry == parent)
            break;
        used = *length;
        if (used > %(room)d)
            break;
        size = bpf_probe_read_kernel_str(&text[used], %(name)d, (void *)pointer_at(dentry + %(d_name)d));
        if (size <= 0)
            break;
        *length = used + size;
        dentry = parent;
    }
}
"""


def path_text(offsets: ObjectOffsets) -> str:
    """The function `read_path(text, length, path)`; `text` has room for PATH_BYTES."""
    return _PATH % {**asdict(offsets), "steps": _STEPS, "name": _NAME, "room": PATH_BYTES - _NAME}
