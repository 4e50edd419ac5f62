/* Burns 8 ms of CPU and ends. */
#include <time.h>

int main(void)
{
    struct timespec now;

    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_nsec < 8000000);
    return 0;
}
