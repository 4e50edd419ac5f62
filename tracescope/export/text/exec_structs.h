#define ARGV_BYTES 4096
#define ARGUMENT_BYTES 256
#define ARGUMENTS 32
#ifndef AT_FDCWD
#define AT_FDCWD -100
#endif

/* What every event begins with. */
struct event_head {
	__u64 time_ns;	/* CLOCK_MONOTONIC */
	__u32 probe;	/* 0: exec, 1: exec_failed, 2: exit */
	__u32 pid;	/* of the process (tgid) */
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 unread;	/* bit 0: the file name could not be read, bit 1: an argument */
	char comm[16];
};

/* A program that was started, or could not be. */
struct exec_event {
	struct event_head head;
	__u64 duration_ns;	/* since the call began; 0: nobody saw that (a 32-bit program, or the tracer came later) */
	__s64 ret;		/* 0, or -errno */
	__u32 argv_size;	/* bytes of argv, each argument with its NUL */
	__u32 argv_cut;		/* 1: there is more of it */
	__s32 fd;		/* that a failed execveat was given; AT_FDCWD: none */
	char filename[256];
	char argv[ARGV_BYTES];
};

/* The end of a process. */
struct exit_event {
	struct event_head head;
	__u64 lifetime_ns;	/* since its last exec; of one that never called exec, since its start */
	__u64 cpu_ns;
	__u32 exit_code;
	__u32 signal;		/* that killed it, or 0 */
};
