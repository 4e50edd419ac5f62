"""The kernel's own trace buffers: an instance of our own, its pages read and decoded."""
