/* BPF_RINGBUF_OUTPUT counts in pages. TraceScope passes the machine's own page size. */
#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif
