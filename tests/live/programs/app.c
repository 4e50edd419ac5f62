/* app PROGRAM PAUSE: starts PROGRAM again and again, one after the other, PAUSE milliseconds apart. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    for (;;) {
        pid_t pid = vfork();
        if (pid == 0) {
            execl(argv[1], argv[1], NULL);
            _exit(127);
        }
        waitpid(pid, NULL, 0);
        usleep(1000 * atoi(argv[argc - 1]));
    }
}
