/* @NAME@: loads @NAME@.bpf.c, prints what it hands over. Written by TraceScope.
 *
 * Text from the traced programs is printed in quotes, with escapes: it cannot reach the terminal.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/perf_event.h>
#include <linux/types.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "@NAME@.h"
#include "@NAME@.skel.h"

static volatile sig_atomic_t stop;
static bool verbose;
static unsigned long long shown, most; /* events printed; after how many to end, 0: never */
static double duration;		       /* seconds, 0: until interrupted */

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_DEBUG && !verbose ? 0 : vfprintf(stderr, format, arguments);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* A text in quotes; all that is no plain ASCII is escaped. */
__attribute__((unused)) static void print_text(const char *text, size_t size)
{
	size_t at;

	putchar('"');
	for (at = 0; at < size && text[at]; at++) {
		unsigned char byte = text[at];

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20 || byte > 0x7e)
			printf("\\x%02x", byte);
		else
			putchar(byte);
	}
	putchar('"');
}

__attribute__((unused)) static void print_bytes(const unsigned char *bytes, size_t size)
{
	size_t at;

	printf("0x");
	for (at = 0; at < size; at++)
		printf("%02x", bytes[at]);
}
@BODY@
/* Options ------------------------------------------------------------------------------------------------ */

static const char usage[] =
	"usage: @NAME@ [options]\n"
	"@WHAT@\n"
	"  -p, --pid PID        only this process; may be given several times\n"
	"  -t, --tid TID        only this thread\n"
	"  -u, --uid UID        only this user\n"
	"  -c, --comm NAME      only threads of this name\n"
@TREE_USAGE@	"  -d, --duration S     end after so many seconds\n"
@COUNT_USAGE@	"  -v, --verbose        what libbpf says\n"
	"  -h, --help           this text\n";

static const struct option options[] = {
	{"pid", required_argument, NULL, 'p'},	    {"tid", required_argument, NULL, 't'},
	{"uid", required_argument, NULL, 'u'},	    {"comm", required_argument, NULL, 'c'},
	{"duration", required_argument, NULL, 'd'}, {"count", required_argument, NULL, 'n'},
	{"verbose", no_argument, NULL, 'v'},	    {"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static struct list {
	__u32 values[MAX_FILTERS];
	__u32 count;
} pids = {@PIDS@}, tids = {@TIDS@}, uids = {@UIDS@};
static const char *comms[MAX_FILTERS] = {@COMMS@};
static __u32 comm_count = @COMM_COUNT@;

static void refuse(const char *what, const char *value)
{
	fprintf(stderr, "@NAME@: %s: %s\n", what, value);
	exit(2);
}

static unsigned long long number(const char *text)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-')
		refuse("this is no number", text);
	return value;
}

static void add(struct list *list, const char *text)
{
	unsigned long long value = number(text);

	if (list->count == MAX_FILTERS)
		refuse("too many values; this one is over", text);
	if (value > 0xffffffffULL)
		refuse("this number is too large", text);
	list->values[list->count++] = value;
}

static void parse(int argc, char **argv)
{
	char *end;
	int option;

	while ((option = getopt_long(argc, argv, "p:t:u:c:d:n:vh", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			add(&pids, optarg);
			break;
		case 't':
			add(&tids, optarg);
			break;
		case 'u':
			add(&uids, optarg);
			break;
		case 'c':
			if (comm_count == MAX_FILTERS)
				refuse("too many names; this one is over", optarg);
			comms[comm_count++] = optarg;
			break;
		case 'd':
			duration = strtod(optarg, &end);
			if (end == optarg || *end || !(duration > 0))
				refuse("this is no duration", optarg);
			break;
		case 'n':
			most = number(optarg);
			break;
		case 'v':
			verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc)
		refuse("this argument means nothing here", argv[optind]);
}

/* Before loading: the verifier takes these for constants and drops the tests that nobody asked for. */
static void set_filters(struct @NAME@_bpf *skel)
{
	__u32 at;

	skel->rodata->self = getpid();
	for (at = 0; at < pids.count; at++)
		skel->rodata->pids[at] = pids.values[at];
	for (at = 0; at < tids.count; at++)
		skel->rodata->tids[at] = tids.values[at];
	for (at = 0; at < uids.count; at++)
		skel->rodata->uids[at] = uids.values[at];
	/* A thread's name has 15 bytes and a NUL. */
	for (at = 0; at < comm_count; at++)
		strncpy((char *)skel->rodata->comms[at].bytes, comms[at], 15);
	skel->rodata->pid_count = pids.count;
	skel->rodata->tid_count = tids.count;
	skel->rodata->uid_count = uids.count;
	skel->rodata->comm_count = comm_count;
}

int main(int argc, char **argv)
{
	struct @NAME@_bpf *skel;
@BUFFER_VARIABLE@	double end;
	int error;

	parse(argc, argv);
	libbpf_set_print(print_libbpf);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);

	skel = @NAME@_bpf__open();
	if (!skel) {
		fprintf(stderr, "@NAME@: the programs cannot be opened: %s\n", strerror(errno));
		return 1;
	}
	set_filters(skel);
	error = @NAME@_bpf__load(skel);
	if (error) {
		fprintf(stderr, "@NAME@: the kernel refuses the programs: %s%s\n", strerror(-error),
			error == -EPERM ? "; run as root" : "");
		goto out;
	}
@BEFORE_ATTACH@	error = @NAME@_bpf__attach(skel);
	if (!error)
		error = attach_more(skel);
	if (error) {
		fprintf(stderr, "@NAME@: the programs cannot be attached: %s\n", strerror(-error));
		goto out;
	}
@AFTER_ATTACH@	fprintf(stderr, "tracing; Ctrl-C ends it\n");
	end = duration > 0 ? now() + duration : 0;
	while (!stop && !(end > 0 && now() >= end) && !(most && shown >= most)) {
@WAIT@	}
@FINISH@	error = 0;
out:
@CLEAN@	@NAME@_bpf__destroy(skel);
	return error ? 1 : 0;
}
