/* steady CALLS SECONDS: CALLS system calls a second, of twelve kinds in turn, for SECONDS. Says "ready", waits for a
   line, and in the end says how often it made each: NAME COUNT. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK 1000000L /* nanoseconds */

static const struct { const char *name; long number; } kinds[] = {
    {"getppid", SYS_getppid}, {"getuid", SYS_getuid}, {"geteuid", SYS_geteuid}, {"getgid", SYS_getgid},
    {"getegid", SYS_getegid}, {"getpgid", SYS_getpgid}, {"getsid", SYS_getsid}, {"gettid", SYS_gettid},
    {"getpriority", SYS_getpriority}, {"getcpu", SYS_getcpu}, {"sched_getscheduler", SYS_sched_getscheduler},
    {"sched_get_priority_max", SYS_sched_get_priority_max},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv)
{
    long rate = atol(argv[1]), made[KINDS] = {0}, all = 0;
    double seconds = atof(argv[2]);
    struct timespec at, begin;

    puts("ready");
    fflush(stdout);
    getchar();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    at = begin;
    for (;;) {
        double passed = at.tv_sec - begin.tv_sec + (at.tv_nsec - begin.tv_nsec) / 1e9;

        for (; all < passed * rate; all++) {
            syscall(kinds[all % KINDS].number, 0, 0, 0);
            made[all % KINDS]++;
        }
        if (passed >= seconds)
            break;
        nanosleep(&(struct timespec){0, TICK}, NULL);
        clock_gettime(CLOCK_MONOTONIC, &at);
    }
    for (size_t kind = 0; kind < KINDS; kind++)
        printf("%s %ld\n", kinds[kind].name, made[kind]);
    return 0;
}
