/* The leader ends at once; four threads each burn 20 ms of CPU, and the last one ends the process with status 5. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

static void *burn(void *nothing)
{
    struct timespec now;

    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while (now.tv_nsec < 20000000);
    return nothing;
}

static void *last(void *threads)
{
    burn(NULL);
    for (int index = 0; index < 3; index++)
        pthread_join(((pthread_t *)threads)[index], NULL);
    exit(5);
}

static pthread_t threads[3];

int main(void)
{
    pthread_t thread;

    for (int index = 0; index < 3; index++)
        pthread_create(&threads[index], NULL, burn, NULL);
    pthread_create(&thread, NULL, last, threads);
    pthread_exit(NULL);
}
