/* getppid RATE SECONDS: so many getppid() a second, 0: as many as it can, from the end of a line of its input on. Prints
   how many it made, and the nanoseconds that they took. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

int main(int argc, char **argv)
{
    long long rate = atoll(argv[1]), calls = 0, busy = 0, begin, end, before;
    struct timespec tick = {0, 1000000};

    getchar();
    begin = now(), end = begin + (long long)(atof(argv[2]) * 1e9);
    for (; now() < end; calls += rate ? rate / 1000 : 1000) {
        before = now();
        for (long long at = 0; at < (rate ? rate / 1000 : 1000); at++)
            syscall(SYS_getppid);
        busy += now() - before;
        if (rate)
            nanosleep(&tick, 0);
    }
    printf("%lld %lld\n", calls, busy);
    return 0;
}
