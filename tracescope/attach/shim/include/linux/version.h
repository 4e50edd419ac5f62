/* BCC compares against 4.8 only. 5.8 is the first kernel with a BPF ring buffer, so the least that we run on. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 8, 0)
