/* What stands before monitor.c in the object that is shipped: numbers that are known only where it runs.

   Offsets are CO-RE relocations: libbpf puts them in, from the running kernel's BTF. The structures have only the
   members that are asked for; their kinds count (a pointer, a number, a structure), not their types. Modes and filters
   are in `settings`, which is written before the programs are loaded: the verifier sees constants. */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list_head { struct list_head *next; };
struct counter { int counter; };
struct sched_entity { u64 sum_exec_runtime; };
struct task_struct {
    void *mm, *real_parent, *group_leader, *thread_pid, *signal;
    int pid, tgid, exit_code, exit_state;
    u64 start_time, utime, stime;
    struct list_head thread_node;
    struct sched_entity se;
};
struct signal_struct {
    struct counter live;
    u32 flags;
    int group_exit_code;
    struct list_head thread_head;
    u64 utime, stime, sum_sched_runtime, maxrss;
};
struct upid { int nr; };
struct pid {
    u32 level;
    struct upid numbers[1];
};
struct mm_struct {
    u64 arg_start, arg_end;
    void *exe_file;
};
struct linux_binprm { const char *filename, *interp; };
struct path { void *mnt, *dentry; };
struct file { struct path f_path; };
struct qstr { const char *name; };
struct dentry {
    void *d_parent;
    struct qstr d_name;
};
struct vfsmount { void *mnt_root; };
struct mount {
    struct vfsmount mnt;
    void *mnt_parent, *mnt_mountpoint;
};
#pragma clang attribute pop

#define OFFSET(type, member) __builtin_preserve_field_info(((struct type *)0)->member, 0)
#define SIZE(type) __builtin_preserve_type_info(*(struct type *)0, 1)

#define TASK_STRUCT_MM OFFSET(task_struct, mm)
#define TASK_STRUCT_PID OFFSET(task_struct, pid)
#define TASK_STRUCT_TGID OFFSET(task_struct, tgid)
#define TASK_STRUCT_REAL_PARENT OFFSET(task_struct, real_parent)
#define TASK_STRUCT_GROUP_LEADER OFFSET(task_struct, group_leader)
#define TASK_STRUCT_START_TIME OFFSET(task_struct, start_time)
#define TASK_STRUCT_THREAD_PID OFFSET(task_struct, thread_pid)
#define TASK_STRUCT_SIGNAL OFFSET(task_struct, signal)
#define TASK_STRUCT_THREAD_NODE OFFSET(task_struct, thread_node)
#define TASK_STRUCT_EXIT_CODE OFFSET(task_struct, exit_code)
#define TASK_STRUCT_EXIT_STATE OFFSET(task_struct, exit_state)
#define TASK_STRUCT_UTIME OFFSET(task_struct, utime)
#define TASK_STRUCT_STIME OFFSET(task_struct, stime)
#define TASK_STRUCT_SE OFFSET(task_struct, se)
#define SCHED_ENTITY_SUM_EXEC_RUNTIME OFFSET(sched_entity, sum_exec_runtime)
#define SIGNAL_STRUCT_LIVE OFFSET(signal_struct, live)
#define SIGNAL_STRUCT_FLAGS OFFSET(signal_struct, flags)
#define SIGNAL_STRUCT_GROUP_EXIT_CODE OFFSET(signal_struct, group_exit_code)
#define SIGNAL_STRUCT_THREAD_HEAD OFFSET(signal_struct, thread_head)
#define SIGNAL_STRUCT_UTIME OFFSET(signal_struct, utime)
#define SIGNAL_STRUCT_STIME OFFSET(signal_struct, stime)
#define SIGNAL_STRUCT_SUM_SCHED_RUNTIME OFFSET(signal_struct, sum_sched_runtime)
#define SIGNAL_STRUCT_MAXRSS OFFSET(signal_struct, maxrss)
#define PID_LEVEL OFFSET(pid, level)
#define PID_NUMBERS OFFSET(pid, numbers)
#define UPID_NR OFFSET(upid, nr)
#define UPID_BYTES SIZE(upid)
#define MM_STRUCT_ARG_START OFFSET(mm_struct, arg_start)
#define MM_STRUCT_ARG_END OFFSET(mm_struct, arg_end)
#define MM_STRUCT_EXE_FILE OFFSET(mm_struct, exe_file)
#define LINUX_BINPRM_FILENAME OFFSET(linux_binprm, filename)
#define LINUX_BINPRM_INTERP OFFSET(linux_binprm, interp)
#define FILE_F_PATH OFFSET(file, f_path)
#define PATH_MNT OFFSET(path, mnt)
#define PATH_DENTRY OFFSET(path, dentry)
#define DENTRY_D_PARENT OFFSET(dentry, d_parent)
#define DENTRY_D_NAME OFFSET(dentry, d_name)
#define QSTR_NAME OFFSET(qstr, name)
#define VFSMOUNT_MNT_ROOT OFFSET(vfsmount, mnt_root)
#define MOUNT_MNT OFFSET(mount, mnt)
#define MOUNT_MNT_PARENT OFFSET(mount, mnt_parent)
#define MOUNT_MNT_MOUNTPOINT OFFSET(mount, mnt_mountpoint)

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
