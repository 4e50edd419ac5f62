"""Sessions on tracers that are not ours: the kernel's own trace buffers, bpftrace. They make the records of our own."""
