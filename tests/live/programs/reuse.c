/* reuse PROGRAM: starts PROGRAM twice with the same process id, one after the other. Prints the id. */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    pid_t first = fork(), id = first;
    struct clone_args again = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&id, .set_tid_size = 1};

    if (first == 0)
        execl(argv[1], argv[1], "first", NULL);
    waitpid(first, NULL, 0);
    id = first;
    pid_t second = syscall(SYS_clone3, &again, sizeof(again));
    if (second == 0)
        execl(argv[1], argv[1], "second", NULL);
    if (second < 0) {
        perror("clone3");
        return argc;
    }
    waitpid(second, NULL, 0);
    printf("%d\n", first);
    return second != first;
}
