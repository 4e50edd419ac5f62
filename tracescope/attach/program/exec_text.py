"""The C text that follows the pointers of an execve call: file name, argv, envp. Pure."""

from __future__ import annotations

import struct
from enum import IntFlag

__all__ = ("ARGUMENT_BYTES", "TEXT", "TEXT_BYTES", "ExecFlag", "reader_text")

# What is kept: arguments; bytes of one, with its NUL; bytes after which no further one is begun; variables counted.
_ARGS, ARGUMENT_BYTES, TEXT_BYTES, _ENVP = 128, 4096, 8192, 512
TEXT = struct.Struct("=IIII2Q")
"""`struct text`: flags, argc, envc, used, unread."""


class ExecFlag(IntFlag):
    """What `struct text` says about itself."""

    FILENAME_UNREAD = 1
    ARGV_UNREAD = 2
    """The array of pointers could not be read to its end."""
    ARGV_CUT = 4
    """More arguments, or a longer one, than are kept."""
    ENVP_UNREAD = 8
    ENVP_CUT = 16
    FROM_MEMORY = 32
    """The arguments are those that the new program found on its stack."""


_READ_TEXT = """
#define FILENAME_UNREAD %(FILENAME_UNREAD)d
#define ARGV_UNREAD %(ARGV_UNREAD)d     /* the array of pointers */
#define ARGV_CUT %(ARGV_CUT)d
#define ENVP_UNREAD %(ENVP_UNREAD)d
#define ENVP_CUT %(ENVP_CUT)d
#define FROM_MEMORY %(FROM_MEMORY)d     /* as the new program found them */

struct text {
    u32 flags;
    u32 argc;
    u32 envc;
    u32 used;       /* bytes of text: file name and arguments, each with its NUL */
    u64 unread[2];  /* bit n: argument n could not be read and is not in the text */
};

/* The number of variables: eight pointers at once, and one by one where they end next to memory that cannot be read. */
static inline void count_envp(struct text *text, u64 envp)
{
    u64 some[8];
    u32 step, at;

    if (!envp)
        return;
#pragma clang loop unroll(disable)
    for (step = 0; step < %(envp)d / 8; step++) {
        if (bpf_probe_read_user(some, sizeof(some), (void *)(envp + 8 * (u64)text->envc)))
            break;
#pragma clang loop unroll(full)
        for (at = 0; at < 8; at++) {
            if (!some[at])
                return;
            text->envc++;
        }
    }
#pragma clang loop unroll(disable)
    for (at = 0; at < 8; at++) {
        if (bpf_probe_read_user(some, 8, (void *)(envp + 8 * (u64)text->envc))) {
            text->flags |= ENVP_UNREAD;
            return;
        }
        if (!some[0])
            return;
        text->envc++;
    }
    text->flags |= ENVP_CUT;
}

/* Read all that the pointers at `at` lead to: file name, argv, envp. What the loops find goes to memory and not to
   variables: the verifier forgets memory, so one turn of a loop looks to it like the next. */
static inline void read_text(struct text *text, char *bytes, u64 *at)
{
    u64 argv = at[1], envp = at[2], pointer = 0;
    u32 used, index;
    int size;
    char last;

    __builtin_memset(text, 0, sizeof(*text));
    size = bpf_probe_read_user_str(bytes, %(argument)d, (void *)at[0]);
    if (size > 0)
        text->used = size;
    else
        text->flags |= FILENAME_UNREAD;
#pragma clang loop unroll(disable)
    for (index = 0; index <= %(args)d; index++) {
        text->argc = index;
        pointer = 0;
        if (argv && bpf_probe_read_user(&pointer, sizeof(pointer), (void *)(argv + 8 * index))) {
            text->flags |= ARGV_UNREAD;
            break;
        }
        used = text->used;
        if (!pointer)
            break;
        if (index == %(args)d || used >= %(text)d) {
            text->flags |= ARGV_CUT;
            break;
        }
        size = bpf_probe_read_user_str(&bytes[used], %(argument)d, (void *)pointer);
        if (size <= 0) {
            text->unread[(index >> 6) & 1] |= 1ULL << (index & 63);
            continue;
        }
        text->used = used + size;
        last = 0;
        if (size == %(argument)d && !bpf_probe_read_user(&last, 1, (void *)(pointer + %(argument)d - 1)) && last)
            text->flags |= ARGV_CUT;
    }
    if (%(counted)d)
        count_envp(text, envp);
}
"""


def reader_text(*, counted: bool = True) -> str:
    """`struct text` and what fills it from the pointers of a call: file name, argv, and envp if counted."""
    numbers = {"counted": int(counted), "argument": ARGUMENT_BYTES, "args": _ARGS, "envp": _ENVP, "text": TEXT_BYTES}
    return _READ_TEXT % {**{str(flag.name): int(flag) for flag in ExecFlag}, **numbers}
