"""Programs that follow a process and its descendants. Pure."""

from __future__ import annotations

from tracescope.export.c.dialect import Dialect

__all__ = ("libbpf_tree",)

_LIBBPF = """
/* Followed as the thread does it: its children are in before they run, and it leaves when it ends. */
SEC("tracepoint/sched/sched_process_fork")
int follow_fork(struct trace_event_raw_sched_process_fork *ctx)
{
	u32 parent = bpf_get_current_pid_tgid(), child = ctx->child_pid;
	u8 one = 1;

	if (bpf_map_lookup_elem(&tree, &parent))
		bpf_map_update_elem(&tree, &child, &one, BPF_ANY);
	return 0;
}

/* A thread that is not the leader takes the leader's id in exec. */
SEC("tracepoint/sched/sched_process_exec")
int follow_exec(struct trace_event_raw_sched_process_exec *ctx)
{
	u32 before = ctx->old_pid, after = ctx->pid;
	u8 one = 1;

	if (before != after && bpf_map_lookup_elem(&tree, &before)) {
		bpf_map_update_elem(&tree, &after, &one, BPF_ANY);
		bpf_map_delete_elem(&tree, &before);
	}
	return 0;
}

/* Attached last, and so run last: the other programs on this event are to find the thread followed. */
SEC("raw_tp/sched_process_exit")
int follow_exit(void *ctx)
{
	u32 thread = bpf_get_current_pid_tgid();

	(void)ctx;
	bpf_map_delete_elem(&tree, &thread);
	return 0;
}
"""
_FOLLOWED = """
static __always_inline bool followed(void)
{
	u32 thread = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&tree, &thread) != 0;
}
"""


def libbpf_tree(dialect: Dialect) -> tuple[str, str]:
    """The map with its test, and the programs that keep it."""
    table = dialect.hash_map("tree", "u32", "u8", 32768)
    return f"\n/* The threads that are followed. */\n{table}{_FOLLOWED}", _LIBBPF
