/* storm LOOPS STARTS PROGRAM: each loop starts PROGRAM that often, as fast as it can, one after the other.
   PROGRAM gets the loop and the number as arguments. Prints the nanoseconds that it took. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void run(int loop, int starts, char *program)
{
    char loop_text[16], number_text[16];
    char *argv[] = {program, loop_text, number_text, NULL}, *envp[] = {NULL};

    snprintf(loop_text, sizeof(loop_text), "%d", loop);
    for (int number = 0; number < starts; number++) {
        snprintf(number_text, sizeof(number_text), "%d", number);
        pid_t pid = vfork();
        if (pid == 0) {
            execve(program, argv, envp);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            exit(1);
    }
}

int main(int argc, char **argv)
{
    int loops = atoi(argv[1]), starts = atoi(argv[2]), failed = 0, status;
    struct timespec begin, end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int loop = 0; loop < loops; loop++) {
        if (fork() == 0) {
            run(loop, starts, argv[3]);
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        failed |= status;
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%lld\n", (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec);
    return failed != 0;
}
