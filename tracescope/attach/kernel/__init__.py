"""What is asked of the kernel itself: system calls, programs, links, perf events, the verifier's answers."""
