"""What the C of a BCC program and of a libbpf project have in common."""
