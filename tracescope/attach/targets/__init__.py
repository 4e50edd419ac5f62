"""A probe as it is attached: where, what its words are, and what the kernel or the binary says of their types."""
