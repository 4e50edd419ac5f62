/* Makes system calls, and then says which: one line a call,
 *     NAME <tab> RESULT <tab> ARGUMENT,… <tab> ADDRESS=BYTES;… before <tab> ADDRESS=BYTES;… after
 * in hexadecimal, NAME as tracefs has it. Nothing else is called between the first line's call and the last one's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct memory {
    const void *start;
    size_t size;
};

static char log_text[1 << 20];
static char *end = log_text;
static struct memory before[4], after[4];
static int befores, afters;

static void number(unsigned long value)
{
    char digits[17];
    int n = 0;

    do
        digits[n++] = "0123456789abcdef"[value & 15];
    while (value >>= 4);
    while (n)
        *end++ = digits[--n];
}

static void bytes(const struct memory *all, int count)
{
    *end++ = '\t';
    for (int i = 0; i < count; i++) {
        const unsigned char *at = all[i].start;

        number((unsigned long)at);
        *end++ = '=';
        for (size_t n = 0; n < all[i].size; n++) {
            *end++ = "0123456789abcdef"[at[n] >> 4];
            *end++ = "0123456789abcdef"[at[n] & 15];
        }
        *end++ = ';';
    }
}

static void in(const void *start, size_t size)
{
    before[befores++] = (struct memory){start, size};
}

static void out(const void *start, size_t size)
{
    after[afters++] = (struct memory){start, size};
}

static long call(const char *name, long nr, int count, const long *args)
{
    static char entry[1 << 14];
    char *start = end;
    size_t size;
    long result;

    bytes(before, befores); /* the memory as it is now; the line is put together when the result is known */
    size = end - start;
    memcpy(entry, start, size);
    end = start;
    result = syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (result == -1)
        result = -errno;
    if (nr == SYS_clone && result == 0)
        syscall(SYS_exit_group, 3);
    while (*name)
        *end++ = *name++;
    *end++ = '\t';
    number(result);
    *end++ = '\t';
    for (int i = 0; i < count; i++) {
        number(args[i]);
        *end++ = ',';
    }
    memcpy(end, entry, size);
    end += size;
    bytes(after, afters);
    *end++ = '\n';
    befores = afters = 0;
    return result;
}

#define L(...) ((long[6]){__VA_ARGS__})
#define COUNT(...) ((int)(sizeof((long[]){__VA_ARGS__}) / sizeof(long)))
#define AS(name, nr, ...) call(#name, SYS_##nr, COUNT(__VA_ARGS__), L(__VA_ARGS__))
#define CALL(name, ...) AS(name, name, __VA_ARGS__)
#define P(x) ((long)(x))

static const char *text(const char *string)
{
    in(string, strlen(string) + 1);
    return string;
}

static void files(void)
{
    static struct stat st;
    static struct statx stx;
    static struct statfs fs;
    static char buffer[256];
    static int ends[2];
    static struct flock lock;
    static struct timespec times[2] = {{1, 500}, {0, (1 << 30) - 2}};
    static struct iovec vec[2] = {{"ab", 2}, {"cde", 3}};
    static uint64_t how[3] = {O_RDONLY | O_CLOEXEC, 0, 8};
    static loff_t from = 1;
    long fd, other, linked;

    fd = CALL(openat, AT_FDCWD, P(text("file")), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    in("hello\n", 6), CALL(write, fd, P("hello\n"), 6);
    in("\x01\xff\"\\", 4), CALL(pwrite64, fd, P("\x01\xff\"\\"), 4, 2);
    in(vec, sizeof(vec)), CALL(writev, fd, P(vec), 2);
    CALL(lseek, fd, 0, SEEK_SET);
    out(buffer, 64), CALL(read, fd, P(buffer), 64);
    out(buffer, 64), CALL(pread64, fd, P(buffer), 3, 1);
    out(&st, sizeof(st)), AS(newfstat, fstat, fd, P(&st));
    out(&st, sizeof(st)), CALL(newfstatat, AT_FDCWD, P(text("file")), P(&st), AT_SYMLINK_NOFOLLOW);
    CALL(newfstatat, AT_FDCWD, P(text("missing")), P(&st), 0);
    out(&stx, sizeof(stx)), CALL(statx, AT_FDCWD, P(text("file")), AT_STATX_DONT_SYNC, STATX_MODE | STATX_SIZE, P(&stx));
    out(&fs, sizeof(fs)), CALL(statfs, P(text("/")), P(&fs));
    CALL(fcntl, fd, F_GETFL);
    CALL(fcntl, fd, F_SETFL, O_RDWR | O_APPEND | O_NONBLOCK);
    CALL(fcntl, fd, F_GETFD);
    CALL(fcntl, fd, F_SETFD, FD_CLOEXEC);
    other = CALL(fcntl, fd, F_DUPFD_CLOEXEC, 20);
    lock.l_type = F_WRLCK, lock.l_start = 1, lock.l_len = 10;
    in(&lock, sizeof(lock)), CALL(fcntl, fd, F_SETLK, P(&lock));
    lock.l_type = F_RDLCK, lock.l_whence = SEEK_END;
    in(&lock, sizeof(lock)), CALL(fcntl, fd, F_OFD_SETLK, P(&lock));
    CALL(flock, fd, LOCK_SH | LOCK_NB);
    CALL(dup3, other, 21, O_CLOEXEC);
    CALL(close_range, 20, 21, 0);
    CALL(access, P(text("file")), R_OK | W_OK);
    CALL(access, P(text("file")), F_OK);
    CALL(faccessat2, AT_FDCWD, P(text("file")), X_OK, AT_EACCESS);
    CALL(mkdirat, AT_FDCWD, P(text("dir")), 01755);
    CALL(unlinkat, AT_FDCWD, P(text("dir")), AT_REMOVEDIR);
    linked = CALL(linkat, AT_FDCWD, P(text("file")), AT_FDCWD, P(text("link")), AT_SYMLINK_FOLLOW);
    (void)linked;
    CALL(rename, P(text("link")), P(text("renamed")));
    CALL(renameat2, AT_FDCWD, P(text("renamed")), AT_FDCWD, P(text("file")), RENAME_NOREPLACE);
    CALL(symlinkat, P(text("to/\"what\"\n")), AT_FDCWD, P(text("symlink")));
    out(buffer, 64), CALL(readlinkat, AT_FDCWD, P(text("symlink")), P(buffer), 64);
    CALL(fchmodat, AT_FDCWD, P(text("file")), 04751);
    CALL(chown, P(text("file")), -1, -1);
    CALL(fchownat, AT_FDCWD, P(text("file")), 0, -1, AT_SYMLINK_NOFOLLOW);
    CALL(mknodat, AT_FDCWD, P(text("fifo")), S_IFIFO | 0600, 0);
    CALL(mknodat, AT_FDCWD, P(text("/proc/no/device")), S_IFCHR | 0600, (8 << 8) | 1);
    in(times, sizeof(times)), CALL(utimensat, AT_FDCWD, P(text("file")), P(times), AT_SYMLINK_NOFOLLOW);
    CALL(fallocate, fd, 1, 0, 4096);
    CALL(fadvise64, fd, 0, 10, POSIX_FADV_WILLNEED);
    CALL(sync_file_range, fd, 0, 10, 3);
    CALL(ftruncate, fd, 5);
    in(&from, 8), CALL(copy_file_range, fd, P(&from), fd, 0, 1, 0);
    in("value", 5), CALL(setxattr, P(text("file")), P(text("user.name")), P("value"), 5, 1);
    out(buffer, 64), CALL(getxattr, P(text("file")), P(text("user.name")), P(buffer), 64);
    in(how, sizeof(how)), CALL(openat2, AT_FDCWD, P(text("file")), P(how), sizeof(how));
    out(ends, sizeof(ends)), CALL(pipe2, P(ends), O_NONBLOCK | O_CLOEXEC);
    CALL(tee, ends[0], ends[1], 10, 2);
    CALL(ioctl, ends[0], 0x5413, P(buffer));
    out(buffer, 4), CALL(ioctl, ends[0], 0x541B, P(buffer));
    CALL(mount, P(text("none")), P(text("/proc/no/place")), P(text("tmpfs")), 1 | 2 | 4, 0);
    AS(umount, umount2, P(text("/proc/no/place")), 2 | 8);
    out(buffer, 256), CALL(getcwd, P(buffer), 256);
}

static void memory(void)
{
    static int word;
    static struct timespec soon = {0, 1000};
    char *map = (char *)CALL(mmap, 0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CALL(mprotect, P(map), 4096, PROT_READ);
    CALL(mprotect, P(map), 4096, PROT_NONE);
    CALL(madvise, P(map + 4096), 4096, MADV_DONTNEED);
    CALL(msync, P(map), 8192, MS_ASYNC | MS_INVALIDATE);
    CALL(mremap, P(map), 8192, 4096, MREMAP_MAYMOVE, 0);
    CALL(munmap, P(map), 4096);
    CALL(mmap, 0, 0, PROT_EXEC, MAP_SHARED | MAP_FIXED | MAP_LOCKED, 0, 0);
    CALL(memfd_create, P(text("name")), MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CALL(futex, P(&word), FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    in(&soon, sizeof(soon)), CALL(futex, P(&word), FUTEX_WAIT_PRIVATE, 0, P(&soon), 0, 0);
    CALL(membarrier, 0, 0, 0);
    CALL(shmget, 0, 4096, 01000 | 0600);
    CALL(mlockall, 8);
}

static void sockets(void)
{
    static struct sockaddr_in inet = {.sin_family = AF_INET};
    static struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6};
    static struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "\0calls"};
    static struct sockaddr_storage peer;
    static socklen_t length;
    static struct linger linger = {1, 5};
    static char buffer[64];
    static int ends[2], one = 1;
    static struct pollfd polled[2];
    static fd_set set;
    static struct timespec none;
    static struct timeval now;
    static struct msghdr message;
    static struct iovec vec = {"x", 1};
    long tcp, udp, unix_socket, connected;

    inet.sin_addr.s_addr = htonl(0x7f000001);
    inet6.sin6_addr = in6addr_loopback;
    tcp = CALL(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    in(&one, 4), CALL(setsockopt, tcp, SOL_SOCKET, SO_REUSEADDR, P(&one), 4);
    in(&one, 4), CALL(setsockopt, tcp, SOL_TCP, TCP_NODELAY, P(&one), 4);
    in(&linger, 8), CALL(setsockopt, tcp, SOL_SOCKET, SO_LINGER, P(&linger), 8);
    in(&inet, sizeof(inet)), CALL(bind, tcp, P(&inet), sizeof(inet));
    CALL(listen, tcp, 5);
    length = sizeof(peer);
    out(&peer, 16), out(&length, 4), CALL(getsockname, tcp, P(&peer), P(&length));
    connected = CALL(socket, AF_INET, SOCK_STREAM, 0);
    memcpy(&inet, &peer, sizeof(inet));
    in(&inet, sizeof(inet)), CALL(connect, connected, P(&inet), sizeof(inet));
    length = sizeof(peer);
    out(&peer, 16), out(&length, 4), CALL(accept4, tcp, P(&peer), P(&length), SOCK_NONBLOCK);
    length = 4;
    out(&one, 4), out(&length, 4), CALL(getsockopt, tcp, SOL_SOCKET, SO_KEEPALIVE, P(&one), P(&length));
    CALL(shutdown, connected, SHUT_WR);
    udp = CALL(socket, AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP);
    inet6.sin6_port = htons(9);
    in("payload", 7), in(&inet6, 28), CALL(sendto, udp, P("payload"), 7, MSG_DONTWAIT | MSG_NOSIGNAL, P(&inet6), 28);
    out(buffer, 64), CALL(recvfrom, udp, P(buffer), 64, MSG_PEEK, 0, 0);
    message.msg_iov = &vec, message.msg_iovlen = 1;
    CALL(sendmsg, udp, P(&message), MSG_NOSIGNAL);
    unix_socket = CALL(socket, AF_UNIX, SOCK_DGRAM, 0);
    in(&local, 8), CALL(bind, unix_socket, P(&local), 8);
    strcpy(local.sun_path, "socket");
    in(&local, 9), CALL(connect, unix_socket, P(&local), 9);
    CALL(socket, AF_NETLINK, SOCK_RAW, 16);
    CALL(socket, AF_PACKET, SOCK_RAW, htons(3));
    out(ends, 8), CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, P(ends));
    polled[0] = (struct pollfd){ends[0], POLLIN, 0}, polled[1] = (struct pollfd){ends[1], POLLIN | POLLOUT, 0};
    in(polled, 16), CALL(poll, P(polled), 2, 0);
    in(polled, 16), in(&none, 16), CALL(ppoll, P(polled), 1, P(&none), 0, 8);
    FD_SET(ends[1], &set);
    in(&set, 128), in(&now, 16), CALL(select, ends[1] + 1, 0, P(&set), 0, P(&now));
}

static void events(void)
{
    static struct epoll_event event = {EPOLLIN | EPOLLET, {.u64 = 0x1234}}, ready[2];
    static uint64_t mask = 1 << (SIGUSR1 - 1) | 1 << (SIGUSR2 - 1);
    static struct itimerspec timer = {{0, 0}, {1, 5}}, old;
    long epoll, fd;

    epoll = CALL(epoll_create1, EPOLL_CLOEXEC);
    fd = CALL(eventfd2, 1, EFD_NONBLOCK | 1);
    in(&event, sizeof(event)), CALL(epoll_ctl, epoll, EPOLL_CTL_ADD, fd, P(&event));
    out(ready, sizeof(ready)), CALL(epoll_wait, epoll, P(ready), 2, 0);
    CALL(epoll_ctl, epoll, EPOLL_CTL_DEL, fd, 0);
    in(&mask, 8), CALL(signalfd4, -1, P(&mask), 8, O_CLOEXEC);
    fd = CALL(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK);
    in(&timer, 32), out(&old, 32), CALL(timerfd_settime, fd, 0, P(&timer), P(&old));
    out(&old, 32), CALL(timerfd_gettime, 99, P(&old));
    fd = CALL(inotify_init1, IN_CLOEXEC);
    CALL(inotify_add_watch, fd, P(text("/")), IN_CREATE | IN_DELETE | IN_ONLYDIR);
}

static void processes(void)
{
    static uint64_t mask = 1 << (SIGINT - 1) | 1ul << (SIGTERM - 1), previous;
    static struct timespec wait = {0, 1000}, left, got;
    static struct itimerval interval = {{0, 0}, {100, 0}}, before_it;
    static struct rlimit limit = {512, RLIM_INFINITY}, old_limit;
    static struct rusage usage;
    static struct utsname name;
    static struct sched_param parameter;
    static char buffer[64];
    static int status;
    static uint64_t attribute[3] = {1 << 3 | 1, 0, 0};
    static siginfo_t info;
    long pid = getpid(), child;

    CALL(kill, pid, 0);
    CALL(tgkill, pid, pid, SIGURG);
    in(&mask, 8), out(&previous, 8), CALL(rt_sigprocmask, SIG_BLOCK, P(&mask), P(&previous), 8);
    out(&previous, 8), CALL(rt_sigprocmask, SIG_SETMASK, 0, P(&previous), 8);
    out(&previous, 8), CALL(rt_sigpending, P(&previous), 8);
    child = CALL(clone, SIGCHLD | CLONE_PTRACE * 0, 0, 0, 0, 0);
    out(&status, 4), out(&usage, sizeof(usage)), CALL(wait4, child, P(&status), __WALL, P(&usage));
    child = CALL(clone, SIGCHLD, 0, 0, 0, 0);
    out(&info, sizeof(info)), CALL(waitid, P_PID, child, P(&info), WEXITED | WNOWAIT, 0);
    CALL(wait4, -1, 0, WNOHANG, 0);
    CALL(clone, CLONE_THREAD | CLONE_VM, 0, 0, 0, 0);
    in(&wait, 16), CALL(nanosleep, P(&wait), P(&left));
    in(&wait, 16), CALL(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, P(&wait), 0);
    out(&got, 16), CALL(clock_gettime, CLOCK_REALTIME, P(&got));
    in(&interval, 32), out(&before_it, 32), CALL(setitimer, ITIMER_REAL, P(&interval), P(&before_it));
    CALL(prctl, PR_SET_NAME, P(text("renamed")));
    CALL(prctl, PR_SET_PDEATHSIG, SIGKILL);
    CALL(prctl, PR_CAPBSET_READ, 21);
    out(buffer, 16), CALL(prctl, PR_GET_NAME, P(buffer));
    in(&limit, 16), out(&old_limit, 16), CALL(prlimit64, 0, RLIMIT_NOFILE, P(&limit), P(&old_limit));
    out(&usage, sizeof(usage)), CALL(getrusage, RUSAGE_CHILDREN, P(&usage));
    CALL(personality, 0xffffffff);
    CALL(umask, 022);
    in(&parameter, 4), CALL(sched_setscheduler, 0, SCHED_BATCH, P(&parameter));
    CALL(sched_get_priority_max, SCHED_FIFO);
    CALL(ioprio_set, 1, 0, 2 << 13 | 4);
    CALL(getpriority, PRIO_PROCESS, 0);
    CALL(unshare, 0);
    CALL(setns, -1, CLONE_NEWNET);
    out(buffer, 0), CALL(getrandom, P(buffer), 0, 1);
    CALL(seccomp, 2, 0, 0);
    CALL(bpf, 5, 0, 0);
    CALL(perf_event_open, 0, 0, -1, -1, 8);
    CALL(keyctl, 99, 0, 0, 0, 0);
    CALL(keyctl, 0, -2, 0, 0, 0);
    CALL(kcmp, pid, pid, 1, 0, 0);
    in(attribute, 8), CALL(landlock_create_ruleset, P(attribute), 8, 0);
    out(&name, sizeof(name)), AS(newuname, uname, P(&name));
    CALL(ptrace, 0x4200, 0, 0, 3);
    CALL(reboot, 0xfee1dead, 0, 0x01234567, 0);
    CALL(setresuid, -1, 0, -1);
    CALL(rt_sigqueueinfo, pid, 99, 0);
    CALL(sethostname, P("host"), -1);
    CALL(syslog, 10, 0, 0);
}

int main(void)
{
    files();
    memory();
    sockets();
    events();
    processes();
    fwrite(log_text, 1, end - log_text, stdout);
    return 0;
}
