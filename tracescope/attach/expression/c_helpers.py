"""The C functions that all expressions share, for BCC: reads with a flag, and the arithmetic of `arithmetic`."""

from __future__ import annotations

from tracescope.attach.expression.types import Space

__all__ = ("HELPERS",)

_READ = """
static inline u64 ts_%(space)s_u%(bits)d(u64 address, u32 *failed)
{
    u%(bits)d value = 0;

    if (bpf_probe_read_%(space)s(&value, sizeof(value), (void *)address))
        *failed = 1;
    return value;
}
"""

_ADDRESS = """
/* An address to pass on. The compiler does not see that it is this memory's, and so loads nothing through it: of the
   context the verifier allows only loads through `ctx` itself. */
static inline u64 ts_address(const void *memory)
{
    u64 address = (u64)memory;

    asm volatile("" : "+r"(address));
    return address;
}
"""

# The end of a text, looked for in pieces of 63 bytes: `most` for an array without a NUL, 505 when there must be one.
_LENGTH = """
static inline u32 ts_%(space)s_length(u64 address, u32 most, u32 *failed)
{
    char piece[64];
    u32 turn, size;
    int got;

#pragma unroll
    for (turn = 0; turn < 8; turn++) {
        size = most - 63 * turn < 63 ? most - 63 * turn + 1 : 64;
        got = bpf_probe_read_%(space)s_str(piece, size, (void *)(address + 63 * turn));
        if (got < 0)
            break;
        if ((u32)got < size)
            return 63 * turn + got - 1;
        if (most <= 63 * turn + 63)
            return most;
    }
    *failed = 1;
    return 0;
}
"""

_ARITHMETIC = """
/* Numbers of 64 bits whose sign is known here, as values: -1 is below 5 whether 5 is signed or not. BPF divides only
   what has no sign. */
static inline int ts_compare(u64 left, u32 left_signed, u64 right, u32 right_signed)
{
    u32 left_negative = left_signed && (s64)left < 0, right_negative = right_signed && (s64)right < 0;

    if (left_negative != right_negative)
        return left_negative ? -1 : 1;
    return left < right ? -1 : left > right;
}

static inline u64 ts_divide(u64 left, u32 left_signed, u64 right, u32 right_signed)
{
    u32 left_negative = left_signed && (s64)left < 0, right_negative = right_signed && (s64)right < 0;
    u64 quotient;

    if (!right)
        return 0;
    quotient = (left_negative ? -left : left) / (right_negative ? -right : right);
    return left_negative != right_negative ? -quotient : quotient;
}

static inline u64 ts_remainder(u64 left, u32 left_signed, u64 right, u32 right_signed)
{
    u32 left_negative = left_signed && (s64)left < 0, right_negative = right_signed && (s64)right < 0;
    u64 rest;

    if (!right)
        return 0;
    rest = (left_negative ? -left : left) % (right_negative ? -right : right);
    return left_negative ? -rest : rest;
}

static inline u64 ts_shift_left(u64 value, u64 count)
{
    return count > 63 ? 0 : value << count;
}

static inline u64 ts_shift_right(u64 value, u32 value_signed, u64 count)
{
    if (value_signed)
        return (s64)value >> (count > 63 ? 63 : count);
    return count > 63 ? 0 : value >> count;
}
"""

_SPACES = (Space.KERNEL, Space.USER)

HELPERS = "".join(
    (
        "\n/* What expressions are made of. `failed` is set when memory cannot be read. */",
        _ADDRESS,
        *(_READ % {"space": space, "bits": bits} for space in _SPACES for bits in (8, 16, 32, 64)),
        *(_LENGTH % {"space": space} for space in _SPACES),
        _ARITHMETIC,
    )
)
"""Their text: once in a program, above all expressions."""
