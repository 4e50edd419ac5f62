/* The process monitor: one record for each fork, exec, failed exec and end of a process.

   A call of execve is remembered at its entry under its task: the task stays the same when exec by a thread changes the
   thread id. What was executed is read when the exec is done, from the new program's own memory, where the kernel has
   just put it; what failed is read when the call returns, while the caller's memory is still there.

   monitor_program.py puts before this: numbers, among them the offsets of this kernel's structures (STRUCT_MEMBER);
   `struct text` and read_text(); the map `control` and wanted(). The functions' names say what they hang on. */

struct head {
    u64 time_ns;            /* CLOCK_MONOTONIC, like all times here */
    u64 start_ns;           /* of the process: with pid it names one process for ever */
    u64 parent_start_ns;
    u64 cgroup;
    u32 kind;
    u32 flags;
    u32 pid;                /* of the process (tgid) */
    u32 tid;
    u32 ppid;
    u32 uid;
    u32 ns_pid;             /* as the process sees itself; 0 when that is pid */
    u32 cpu;
    char comm[16];
};

/* An exec that is done. The bytes: filename, interpreter, argv as it is in memory, the executed file's name and those
   of its folders up to the root. */
struct started {
    struct head head;
    u64 entered_ns;
    u64 argv_bytes;         /* true size */
    s32 fd;
    u32 at_flags;
    u32 name_size;
    u32 interpreter_size;
    u32 argv_size;
    u32 exe_size;
    char comm_before[16];
    char bytes[BYTES_MASK + 1];
};

/* An exec that failed. The bytes: filename and arguments, as struct text says. */
struct failed {
    struct head head;
    u64 entered_ns;
    s64 ret;
    s32 fd;
    u32 at_flags;
    struct text text;
    char bytes[BYTES_MASK + 1];
};

/* The end of a process. */
struct ended {
    struct head head;
    u64 started_ns;         /* when its last exec was done; 0 when nobody saw it */
    u64 user_ns;            /* these two count ticks */
    u64 system_ns;
    u64 cpu_ns;             /* exact */
    u64 max_rss;            /* pages */
    u32 status;             /* as wait() gives it */
    u32 padding;
};

/* A call of execve or execveat that has not returned. */
struct call {
    u64 time_ns;
    u64 mm;
    u64 at[3];              /* filename, argv; 0: envp is left alone */
    s32 fd;
    u32 at_flags;
    u32 flags;
    u32 tid;
    char comm[16];
    char name[KEPT_NAME];   /* for when the memory that held it is gone */
};

struct count {
    u64 events;             /* handed over */
    u64 lost;               /* the ring was full */
};

struct scratch {
    char bytes[sizeof(struct started)];
};

#if PERF_BUFFER
BPF_PERF_OUTPUT(events);
#else
BPF_RINGBUF_OUTPUT(events, RING / PAGE_SIZE);
#endif
BPF_PERCPU_ARRAY(counts, struct count, 4);
/* For exec, for what failed: no program interrupts itself on a CPU, under PREEMPT_RT another one may. */
BPF_PERCPU_ARRAY(scratch, struct scratch, 2);
/* By task. A call that never returns is forgotten when there is no room. */
BPF_TABLE("lru_hash", u64, struct call, calls, CALLS);
BPF_HASH(programs, u32, u64, PROCESSES);        /* when the last exec handed over was done, by process */

static inline u64 read64(u64 at)
{
    u64 value = 0;

    bpf_probe_read_kernel(&value, sizeof(value), (void *)at);
    return value;
}

static inline u32 read32(u64 at)
{
    u32 value = 0;

    bpf_probe_read_kernel(&value, sizeof(value), (void *)at);
    return value;
}

static inline void fill(struct head *head, u32 kind, u64 task)
{
    u64 leader = read64(task + TASK_STRUCT_GROUP_LEADER), parent = read64(task + TASK_STRUCT_REAL_PARENT);
    u64 pid = read64(leader + TASK_STRUCT_THREAD_PID);
    u32 level = read32(pid + PID_LEVEL);

    head->time_ns = bpf_ktime_get_ns();
    head->start_ns = read64(leader + TASK_STRUCT_START_TIME);
    head->parent_start_ns = read64(read64(parent + TASK_STRUCT_GROUP_LEADER) + TASK_STRUCT_START_TIME);
    head->cgroup = bpf_get_current_cgroup_id();
    head->kind = kind;
    head->flags = 0;
    head->pid = read32(task + TASK_STRUCT_TGID);
    head->tid = read32(task + TASK_STRUCT_PID);
    head->ppid = read32(parent + TASK_STRUCT_TGID);
    head->uid = bpf_get_current_uid_gid();
    head->ns_pid = level ? read32(pid + PID_NUMBERS + level * UPID_BYTES + UPID_NR) : 0;
    head->cpu = bpf_get_smp_processor_id();
    bpf_get_current_comm(head->comm, sizeof(head->comm));
}

static inline int hand_over(u64 *ctx, u32 kind, void *record, u64 size)
{
    struct count *count = counts.lookup(&kind);

    if (!count)
        return 0;
#if PERF_BUFFER
    if (events.perf_submit(ctx, record, size))
#else
    if (events.ringbuf_output(record, size, BPF_RB_NO_WAKEUP))
#endif
        count->lost++;
    else
        count->events++;
    return 0;
}

/* The names from a file up to the root, each with its NUL: across mounts, as d_path() goes. */
static inline void append_exe(struct started *record, u64 file)
{
    u64 mnt = read64(file + FILE_F_PATH + PATH_MNT), dentry = read64(file + FILE_F_PATH + PATH_DENTRY), parent;
    u32 step, used;
    int size;

#pragma clang loop unroll(disable)
    for (step = 0; step < EXE_STEPS; step++) {
        if (dentry == read64(mnt + VFSMOUNT_MNT_ROOT)) {
            parent = read64(mnt - MOUNT_MNT + MOUNT_MNT_PARENT);
            if (parent == mnt - MOUNT_MNT)
                return;
            dentry = read64(mnt - MOUNT_MNT + MOUNT_MNT_MOUNTPOINT);
            mnt = parent + MOUNT_MNT;
            continue;
        }
        used = record->name_size + record->interpreter_size + record->argv_size + record->exe_size;
        if (used > BYTES_MASK - 256)
            break;
        size = bpf_probe_read_kernel_str(&record->bytes[used], 256, (void *)read64(dentry + DENTRY_D_NAME + QSTR_NAME));
        if (size <= 0)
            break;
        record->exe_size += size;
        parent = read64(dentry + DENTRY_D_PARENT);
        if (parent == dentry)
            return;
        dentry = parent;
    }
    record->head.flags |= EXE_CUT;
}

static inline void append_argv(struct started *record, u64 mm, u32 used)
{
    u64 start = read64(mm + MM_STRUCT_ARG_START), size = read64(mm + MM_STRUCT_ARG_END) - start;

    record->argv_bytes = size;
    if (size > ARGV) {
        size = ARGV;
        record->head.flags |= ARGV_CUT;
    }
    if (start && !bpf_probe_read_user(&record->bytes[used & BYTES_MASK / 2], size, (void *)start))
        record->argv_size = size;
    else
        record->head.flags |= ARGV_UNREAD;
}

/* `call` is 0 when nobody saw it begin, `interpreter` when there is none or nobody knows. */
static inline int started(u64 *ctx, u64 task, struct call *call, u64 name, u64 interpreter, u32 tid)
{
    u64 mm = read64(task + TASK_STRUCT_MM);
    u32 used = 0;
    int zero = 0, size;
    struct started *record = (void *)scratch.lookup(&zero);

    if (!record)
        return 0;
    fill(&record->head, EXEC, task);
    if (RECORDS_LIFE)
        programs.update(&record->head.pid, &record->head.time_ns);
    __builtin_memset(&record->entered_ns, 0, sizeof(*record) - sizeof(record->head) - sizeof(record->bytes));
    record->head.tid = tid;
    record->head.flags = NOT_ENTERED;
    if (call) {
        record->entered_ns = call->time_ns;
        record->fd = call->fd;
        record->at_flags = call->at_flags;
        record->head.flags = call->flags;
        __builtin_memcpy(record->comm_before, call->comm, sizeof(call->comm));
    }
    size = bpf_probe_read_kernel_str(record->bytes, NAME, (void *)name);
    if (size > 0)
        used = record->name_size = size;
    if (STRICT && size == KEPT_NAME)
        record->head.flags |= NAME_CUT;
    if (interpreter) {
        size = bpf_probe_read_kernel_str(&record->bytes[used], INTERPRETER, (void *)interpreter);
        if (size > 0) {
            record->interpreter_size = size;
            used += size;
        }
    }
    append_argv(record, mm, used);
    append_exe(record, read64(mm + MM_STRUCT_EXE_FILE));
    used = record->name_size + record->interpreter_size + record->argv_size + record->exe_size;
    return hand_over(ctx, EXEC, record, sizeof(*record) - sizeof(record->bytes) + (used & BYTES_MASK));
}

static inline int failed(u64 *ctx, u64 task, struct call *call, s64 ret)
{
    int second = 1;
    struct failed *record = (void *)scratch.lookup(&second);

    if (!record)
        return 0;
    fill(&record->head, FAILED, task);
    __builtin_memset(&record->entered_ns, 0, sizeof(*record) - sizeof(record->head) - sizeof(record->bytes));
    record->ret = ret;
    record->head.flags = NOT_ENTERED;
    record->text.flags = FILENAME_UNREAD | ARGV_UNREAD;
    if (call) {
        record->entered_ns = call->time_ns;
        record->fd = call->fd;
        record->at_flags = call->at_flags;
        record->head.flags = call->flags;
        if (call->mm == read64(task + TASK_STRUCT_MM)) {
            read_text(&record->text, record->bytes, call->at);
        } else if (call->name[0]) {
            /* Past the point of no return: the caller's memory is gone. */
            __builtin_memcpy(record->bytes, call->name, sizeof(call->name));
            record->text.flags = ARGV_UNREAD;
            record->text.used = sizeof(call->name);
            if (call->name[KEPT_NAME - 2])
                record->head.flags |= NAME_CUT;
        }
    }
    return hand_over(ctx, FAILED, record, sizeof(*record) - sizeof(record->bytes) + (record->text.used & BYTES_MASK));
}

static inline int enter(struct call *call)
{
    u64 task = bpf_get_current_task();
    int zero = 0;
    u32 *on = control.lookup(&zero);

    if (!on || !*on)
        return 0;
    call->time_ns = bpf_ktime_get_ns();
    call->mm = read64(task + TASK_STRUCT_MM);
    call->tid = bpf_get_current_pid_tgid();
    bpf_get_current_comm(call->comm, sizeof(call->comm));
    bpf_probe_read_user_str(call->name, sizeof(call->name), (void *)call->at[0]);
    return calls.update(&task, call);
}

static inline int leave(u64 *ctx, s64 ret)
{
    u64 task = bpf_get_current_task();
    struct call *call = calls.lookup(&task);

    if (ret < 0 && wanted())
        failed(ctx, task, call, ret);
    /* The memory that held the filename is gone by now. */
    if (STRICT && RECORDS_EXEC && ret >= 0 && call && wanted())
        started(ctx, task, call, (u64)call->name, 0, call->tid);
    if (call)
        calls.delete(&task);
    return 0;
}

/* The arguments are words of the tracepoint's record. */
#ifdef SYS_ENTER_EXECVE_ARGV
int sys_enter_execve(u64 *ctx)
{
    struct call call = {.at = {ctx[SYS_ENTER_EXECVE_FILENAME], ctx[SYS_ENTER_EXECVE_ARGV]}};

    return enter(&call);
}
#endif

#ifdef SYS_ENTER_EXECVEAT_ARGV
int sys_enter_execveat(u64 *ctx)
{
    struct call call = {.at = {ctx[SYS_ENTER_EXECVEAT_FILENAME], ctx[SYS_ENTER_EXECVEAT_ARGV]}};

    call.fd = ctx[SYS_ENTER_EXECVEAT_FD];
    call.at_flags = ctx[SYS_ENTER_EXECVEAT_FLAGS];
    call.flags = AT;
    return enter(&call);
}
#endif

/* One program serves both: what returns looks the same. */
#ifdef SYS_EXIT_EXECVE_RET
#define SYS_EXIT_RET SYS_EXIT_EXECVE_RET
#elif defined(SYS_EXIT_EXECVEAT_RET)
#define SYS_EXIT_RET SYS_EXIT_EXECVEAT_RET
#endif
#ifdef SYS_EXIT_RET
int sys_exit(u64 *ctx)
{
    return leave(ctx, ctx[SYS_EXIT_RET]);
}
#endif

BPF_HASH(ending, u64, struct ended, ENDING);    /* by task: ended, and still on its CPU */

static inline void add_thread(struct ended *record, u64 task)
{
    record->user_ns += read64(task + TASK_STRUCT_UTIME);
    record->system_ns += read64(task + TASK_STRUCT_STIME);
    record->cpu_ns += read64(task + TASK_STRUCT_SE + SCHED_ENTITY_SUM_EXEC_RUNTIME);
}

/* Threads that are gone are in the signal struct's sums, those that nobody has reaped yet are not. */
static inline void add_others(struct ended *record, u64 task, u64 signal)
{
    u64 head = signal + SIGNAL_STRUCT_THREAD_HEAD, node = read64(head);
    u32 step;

    record->user_ns = read64(signal + SIGNAL_STRUCT_UTIME);
    record->system_ns = read64(signal + SIGNAL_STRUCT_STIME);
    record->cpu_ns = read64(signal + SIGNAL_STRUCT_SUM_SCHED_RUNTIME);
#pragma clang loop unroll(disable)
    for (step = 0; step < THREADS && node != head; step++) {
        if (node - TASK_STRUCT_THREAD_NODE != task)
            add_thread(record, node - TASK_STRUCT_THREAD_NODE);
        node = read64(node);
    }
}

static inline int ended(u64 *ctx, u64 task, u64 signal)
{
    struct ended record = {};
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    u64 *since = programs.lookup(&pid);
    int zero = 0;
    u32 *on = control.lookup(&zero);

    if (!on || !*on)
        return 0;
    if (since) {
        record.started_ns = *since;
        programs.delete(&pid);
    } else if (!wanted()) {
        return 0;
    }
    fill(&record.head, EXIT, task);
    if (read32(signal + SIGNAL_STRUCT_FLAGS) & SIGNAL_GROUP_EXIT)
        record.status = read32(signal + SIGNAL_STRUCT_GROUP_EXIT_CODE);
    else
        record.status = read32(read64(task + TASK_STRUCT_GROUP_LEADER) + TASK_STRUCT_EXIT_CODE);
    record.max_rss = read64(signal + SIGNAL_STRUCT_MAXRSS);
    add_others(&record, task, signal);
    if (!ending.update(&task, &record))
        return 0;
    add_thread(&record, task);
    return hand_over(ctx, EXIT, &record, sizeof(record));
}

#if WITH_LIFE
/* The sums of a thread are brought up to date when it leaves its CPU: what lived 3 ms may have used 0 until then. */
int raw_switch(u64 *ctx)
{
    u64 task = ctx[1];
    struct ended *found;
    struct ended record;

    if (!read32(task + TASK_STRUCT_EXIT_STATE))
        return 0;
    found = ending.lookup(&task);
    if (!found)
        return 0;
    __builtin_memcpy(&record, found, sizeof(record));
    ending.delete(&task);
    add_thread(&record, task);
    return hand_over(ctx, EXIT, &record, sizeof(record));
}
#endif

#if WITH_LIFE || FOLLOWS
int raw_fork(u64 *ctx)
{
    u64 task = ctx[1];
    u32 parent = bpf_get_current_pid_tgid(), child = read32(task + TASK_STRUCT_PID);
    struct head record;
    u8 one = 1;

#if FOLLOWS
    if (tree.lookup(&parent))
        tree.update(&child, &one);
#endif
    if (RECORDS_LIFE && child == read32(task + TASK_STRUCT_TGID) && wanted()) {
        fill(&record, FORK, task);
        hand_over(ctx, FORK, &record, sizeof(record));
    }
    return 0;
}

int raw_exec(u64 *ctx)
{
    u64 task = ctx[0], bprm = ctx[2], name = read64(bprm + LINUX_BINPRM_FILENAME);
    u64 interpreter = read64(bprm + LINUX_BINPRM_INTERP);
    u32 before = ctx[1], tid = bpf_get_current_pid_tgid();
    struct call *call;
    u8 one = 1;

#if FOLLOWS
    /* A thread that is not the leader takes the leader's id. */
    if (before != tid && tree.lookup(&before)) {
        tree.update(&tid, &one);
        tree.delete(&before);
    }
#endif
    if (!RECORDS_LIFE)
        return 0;
    call = calls.lookup(&task);
    if (wanted())
        started(ctx, task, call, name, interpreter == name ? 0 : interpreter, before);
    if (call)
        calls.delete(&task);
    return 0;
}

int raw_exit(u64 *ctx)
{
    u64 task = ctx[0], signal = read64(task + TASK_STRUCT_SIGNAL);
    u32 tid = bpf_get_current_pid_tgid();

    calls.delete(&task);
    /* Two last threads that end at the same time may both see that none lives. */
    if (RECORDS_LIFE && (SAYS_DEAD ? (u8)ctx[1] : !read32(signal + SIGNAL_STRUCT_LIVE)))
        ended(ctx, task, signal);
#if FOLLOWS
    tree.delete(&tid);
#endif
    return 0;
}
#endif
