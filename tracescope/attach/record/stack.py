"""The C text that keeps stacks, each once: a number stands for it in keys. Pure.

The kernel's own map for stacks has one place for each hash of 14 bits or so, and gives up where two stacks meet. Here
the number is a hash of 63 bits over the addresses, and a stack is lost only when the map is full.
"""

from __future__ import annotations

from tracescope.attach.symbols.stacks import DEPTH

__all__ = ("stack_text",)

_STACK = """
struct stack {
    u64 frames[%(depth)d];
};
BPF_HASH(stacks, u64, struct stack, %(stacks)d);
/* Stacks are taken here, each program's in its own place: one may interrupt another. */
BPF_PERCPU_ARRAY(room, struct stack, %(probes)d);

/* The number of the current stack, or -errno. */
static inline s64 stack_number(void *ctx, u32 probe, u64 flags)
{
    struct stack *stack = room.lookup(&probe);
    u64 hash = 0, frame;
    u32 at;
    long size;

    if (!stack)
        return -12;
    size = bpf_get_stack(ctx, stack, sizeof(*stack), flags);
    if (size <= 0)
        return size ? size : -14;
#pragma clang loop unroll(disable)
    for (at = 0; at < %(depth)d; at++) {
        frame = stack->frames[at];
        if (!frame)
            break;
        hash = (hash ^ frame) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 32;
    }
    hash >>= 1;
    if (stacks.lookup(&hash))
        return hash;
    size = stacks.insert(&hash, stack);
    /* -17: it was added at the same moment on another CPU. */
    return size && size != -17 ? size : (s64)hash;
}
"""


def stack_text(stacks: int, probes: int) -> str:
    """The function `stack_number(ctx, probe, flags)` and its map of so many stacks."""
    return _STACK % {"depth": DEPTH, "stacks": stacks, "probes": probes}
