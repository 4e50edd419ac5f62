/* threads FAILING PROGRAM: a thread that is not the leader executes FAILING, which fails, and then PROGRAM, while another
   thread burns the CPU. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

static void *burn(void *nothing)
{
    for (volatile uint64_t turn = 0;; turn++)
        ;
    return nothing;
}

static void *replace(void *argv)
{
    char **names = argv, first[] = "from a thread", second[] = "failing", third[] = "done";

    execv(names[1], (char *[]){first, second, NULL});
    execv(names[2], (char *[]){first, third, NULL});
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    pthread_create(&thread, NULL, burn, NULL);
    pthread_create(&thread, NULL, replace, argv);
    pthread_join(thread, NULL);
    return argc;
}
