/* What stands before monitor.c in the object that is shipped: numbers that are known only where it runs.

   Offsets, modes and filters are in `settings`, which is written before the programs are loaded: the verifier sees
   constants, and leaves out what a mode has no use for. */

struct settings {
    u32 strict;
    u32 records_exec;
    u32 records_life;
    u32 says_dead;
    u32 filters;            /* ONLY_* */
    u32 steps;              /* of `path` that are used */
    u32 path[PATH_STEPS];   /* to the number of a pid namespace: offsets, each of a pointer but for the last */
    u32 levels[CGROUPS];
    u64 cgroups[CGROUPS];   /* 0: no more */
    u32 offsets[OFFSETS];   /* in the running kernel's structures: the names are put before this */
};

const volatile struct settings settings = {};

#define STRICT (settings.strict)
#define RECORDS_EXEC (settings.records_exec)
#define RECORDS_LIFE (settings.records_life)
#define SAYS_DEAD (settings.says_dead)

/* What filters let through. */
struct choice {
    u64 filter;             /* one of ONLY_* */
    u64 value[2];
};

BPF_ARRAY(control, u32, 1);
BPF_HASH(tree, u32, u8, TREE);
BPF_HASH(choices, struct choice, u8, CHOICES);

static inline int chosen(u32 filter, u64 first, u64 second)
{
    struct choice choice = {.filter = filter, .value = {first, second}};

    return choices.lookup(&choice) != NULL;
}

static inline int in_cgroup(void)
{
    u32 at;

#pragma clang loop unroll(full)
    for (at = 0; at < CGROUPS; at++) {
        if (!settings.cgroups[at])
            return 0;
        if (bpf_get_current_ancestor_cgroup_id(settings.levels[at]) == settings.cgroups[at])
            return 1;
    }
    return 0;
}

static inline int in_namespace(void)
{
    u64 at = bpf_get_current_task();
    u32 step, number = 0;

#pragma clang loop unroll(full)
    for (step = 0; step < PATH_STEPS; step++) {
        if (step + 1 == settings.steps) {
            bpf_probe_read_kernel(&number, sizeof(number), (void *)(at + settings.path[step]));
            return chosen(ONLY_NAMESPACE, number, 0);
        }
        bpf_probe_read_kernel(&at, sizeof(at), (void *)(at + settings.path[step]));
    }
    return 0;
}

static inline int wanted(void)
{
    u32 filters = settings.filters, tid = bpf_get_current_pid_tgid();
    u64 pid = bpf_get_current_pid_tgid() >> 32;
    u64 comm[2] = {};
    int zero = 0;
    u32 *on = control.lookup(&zero);

    if (!on || !*on)
        return 0;
    if (filters & ONLY_PID && !chosen(ONLY_PID, pid, 0))
        return 0;
    if (filters & BUT_NOT_PID && chosen(BUT_NOT_PID, pid, 0))
        return 0;
    if (filters & ONLY_TID && !chosen(ONLY_TID, tid, 0))
        return 0;
    if (filters & ONLY_NAMESPACE && !in_namespace())
        return 0;
    if (filters & ONLY_UID && !chosen(ONLY_UID, (u32)bpf_get_current_uid_gid(), 0))
        return 0;
    if (filters & ONLY_CGROUP && !in_cgroup())
        return 0;
    if (filters & ONLY_COMM) {
        bpf_get_current_comm(comm, sizeof(comm));
        if (!chosen(ONLY_COMM, comm[0], comm[1]))
            return 0;
    }
    if (filters & ONLY_TREE && !tree.lookup(&tid))
        return 0;
    return 1;
}
