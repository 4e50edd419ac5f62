
/* Arguments one by one, as a list. */
static void print_argv(const struct exec_event *event, size_t size)
{
	size_t at = 0, known = size - offsetof(struct exec_event, argv);

	if (known > event->argv_size)
		known = event->argv_size;
	fputs(" argv=[", stdout);
	while (at < known) {
		size_t length = strnlen(event->argv + at, known - at);

		if (at)
			fputs(", ", stdout);
		print_text(event->argv + at, length);
		at += length + 1;
	}
	printf("]%s%s", event->argv_cut ? " argv_truncated=1" : "", event->head.unread & 2 ? " argv_unread=1" : "");
}

/* The file as the kernel names it: of execveat, from the descriptor on. */
static void print_path(const struct exec_event *event)
{
	char path[sizeof(event->filename) + 24];
	const char *name = event->filename;

	if (event->fd == AT_FDCWD || name[0] == '/') {
		print_text(name, sizeof(event->filename));
		return;
	}
	snprintf(path, sizeof(path), "/dev/fd/%d%s%.*s", event->fd, name[0] ? "/" : "",
		 (int)sizeof(event->filename), name);
	print_text(path, sizeof(path));
}

static void print_exec(const struct exec_event *event, size_t size)
{
	print_head(&event->head, event->head.probe ? "exec_failed" : "exec");
	fputs(" filename=", stdout);
	if (event->head.unread & 1)
		putchar('?');
	else
		print_path(event);
	print_argv(event, size);
	printf(" ret=%lld", (long long)event->ret);
	if (event->ret)
		printf(" error=\"%s\"", strerror(-event->ret));
	if (event->duration_ns)
		printf(" duration_ns=%llu", (unsigned long long)event->duration_ns);
}

static void print_exit(const struct exit_event *event)
{
	print_head(&event->head, "exit");
	if (event->signal)
		printf(" signal=%u", event->signal);
	else
		printf(" exit_code=%u", event->exit_code);
	printf(" lifetime_ns=%llu cpu_ns=%llu", (unsigned long long)event->lifetime_ns,
	       (unsigned long long)event->cpu_ns);
}
