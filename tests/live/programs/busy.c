/* Nearly all of its time is spent in one named function. */
#include <time.h>

static volatile unsigned long turns;

static void __attribute__((noinline)) spin_in_here(double seconds)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	do {
		for (int at = 0; at < 1000000; at++)
			turns += at;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec - begin.tv_sec + (now.tv_nsec - begin.tv_nsec) / 1e9 < seconds);
}

int main(void)
{
	spin_in_here(0.5);
	return 0;
}
