"""Functions that the programs of both dialects have, with `@INLINE@` for the word that each has for it."""

from __future__ import annotations

__all__ = ("BUCKET", "FILL")

FILL = """
static @INLINE@ void fill(struct event_head *head, u32 probe)
{
	u64 id = bpf_get_current_pid_tgid();

	head->time_ns = bpf_ktime_get_ns();
	head->probe = probe;
	head->pid = id >> 32;
	head->tid = id;
	head->ppid = parent();
	head->uid = bpf_get_current_uid_gid();
	head->unread = 0;
	bpf_get_current_comm(head->comm, sizeof(head->comm));
}
"""
BUCKET = """
/* Buckets in powers of two: 0 for what is negative, 1 for 0, then from 2 on [1, 2), [2, 4), [4, 8) … */
static @INLINE@ u32 bucket(u64 value, int is_signed)
{
	u32 log = 0, more;

	if (is_signed && (s64)value < 0)
		return 0;
	if (!value)
		return 1;
	more = (value > 0xffffffff) << 5;
	value >>= more;
	log |= more;
	more = (value > 0xffff) << 4;
	value >>= more;
	log |= more;
	more = (value > 0xff) << 3;
	value >>= more;
	log |= more;
	more = (value > 0xf) << 2;
	value >>= more;
	log |= more;
	more = (value > 0x3) << 1;
	value >>= more;
	log |= more;
	return 2 + (log | value >> 1);
}
"""
