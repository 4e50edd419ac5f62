"""Sessions that count in the kernel: their maps read, sorted and written."""
