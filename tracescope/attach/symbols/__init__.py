"""Addresses as names: the kernel's, a process's, a just-in-time compiler's; stacks of them."""
